//! The bell: which message rings, when it climbs, and what ends it.
//!
//! Rings follow conversations. After each decision of the desk [`follow`] looks at the conversations that it changed, in
//! the same durable step: no message can exist without its ring, and no rule elsewhere can forget one. Time and the
//! steps are arguments.

#[cfg(test)]
mod held_tests;
mod steps;
#[cfg(test)]
mod tests;
mod whom;

use std::sync::Arc;

use deskbell_sdk::{DeliveryState, Direction, Time};

pub use steps::Steps;
pub use whom::{ESCALATION, EVERYBODY, Missing, ON_CALL, Person, missing, whom};

use super::Decision;
use super::after_hours::is_automatic_answer;
use super::hours::closed;
use crate::id::{ConversationId, DeviceId, MessageId, RingId, UserId};
use crate::store::change::EventBody;
use crate::store::draft::Draft;
use crate::store::entry::{
    AfterHours, Alarm, Attempt, AttemptResult, ChannelHoursEntry, Entry, OpenRing, RingEnd,
    RingEntry, RingState,
};
use crate::store::record::{ChannelNo, ConversationRecord, MessageKind, MessageRecord, Status};
use crate::store::{Found, Scope};

/// How many attempts of a ring are kept; later ones push the oldest out that were only handed over.
const MAX_ATTEMPTS: usize = 200;

/// What happened to one conversation in a decision.
#[derive(Default)]
struct Happened {
    /// The customer's newest message that came.
    came: Option<Arc<MessageRecord>>,
    /// An answer that was queued or is being tried again.
    under_way: Option<MessageId>,
    /// An answer that ended without being sent.
    came_to_nothing: Vec<MessageId>,
}

/// Brings the rings up to date with what a decision changed: with the events of the draft from `from` on.
pub fn follow(draft: &mut Draft<'_>, from: usize, steps: &Steps) -> Found<()> {
    let mut touched: Vec<(ConversationId, Happened)> = Vec::new();
    for event in draft.events_since(from) {
        let Some(conversation) = event.body.conversation() else {
            continue;
        };
        let place = touched.iter().position(|(id, _)| *id == conversation.id);
        let place = place.unwrap_or_else(|| {
            touched.push((conversation.id, Happened::default()));
            touched.len() - 1
        });
        let happened = &mut touched[place].1;
        match &event.body {
            EventBody::MessageCreated { message, .. } => happened.created(message),
            EventBody::MessageUpdated { message, .. } => happened.updated(message),
            _ => {}
        }
    }
    for (id, happened) in touched {
        if let Some(now) = draft.conversation(&Scope::whole_desk(), id)? {
            settle(draft, &now, &happened, steps)?;
        }
    }
    Ok(())
}

impl Happened {
    fn created(&mut self, message: &Arc<MessageRecord>) {
        if message.is_from_customer() {
            self.came = Some(Arc::clone(message));
        } else {
            self.updated(message);
        }
    }

    fn updated(&mut self, message: &Arc<MessageRecord>) {
        let is_answer = message.direction == Direction::Outbound
            && message.kind == MessageKind::Message
            && !is_automatic_answer(message);
        if !is_answer {
            return;
        }
        match message
            .changes
            .delivery
            .as_ref()
            .map(|delivery| delivery.state)
        {
            Some(DeliveryState::Queued) => self.under_way = Some(message.id),
            Some(DeliveryState::Failed | DeliveryState::Unknown) => {
                self.came_to_nothing.push(message.id);
            }
            _ => {}
        }
    }
}

/// Whether a customer waits there and somebody should hear it.
fn wants_somebody(conversation: &ConversationRecord) -> bool {
    conversation.waiting_since.is_some()
        && matches!(conversation.status, Status::Open | Status::Pending)
}

fn settle(
    draft: &mut Draft<'_>,
    conversation: &Arc<ConversationRecord>,
    happened: &Happened,
    steps: &Steps,
) -> Found<()> {
    let open = match conversation.ring {
        Some(id) => draft.entry::<RingEntry>(&RingEntry::key(id))?,
        None => None,
    };
    match open.filter(|ring| ring.state == RingState::Ringing) {
        Some(ring) => go_on(draft, conversation, happened, ring, steps),
        None => begin_where_due(draft, conversation, happened, steps),
    }
}

/// A conversation without a ring: does one begin?
fn begin_where_due(
    draft: &mut Draft<'_>,
    conversation: &Arc<ConversationRecord>,
    happened: &Happened,
    steps: &Steps,
) -> Found<()> {
    if !wants_somebody(conversation) {
        return Ok(());
    }
    let now = draft.now();
    let came = happened
        .came
        .as_ref()
        .filter(|message| message.place() > conversation.answered_up_to)
        .filter(|message| steps.is_news(message.sent_at, now))
        .map(|message| message.id);
    // Somebody gave it back, woke it or opened it again: whoever waits there rings anew.
    let given_back = || -> Found<Option<MessageId>> {
        let Some(before) = draft.conversation_before(conversation.id)? else {
            return Ok(None);
        };
        let was_kept = before.assignee.is_some() && conversation.assignee.is_none();
        let slept = !wants_somebody(&before) && before.waiting_since.is_some();
        let last = conversation.last_message.as_ref();
        Ok(last.filter(|_| was_kept || slept).map(|last| last.place.id))
    };
    let message = match came {
        Some(message) => Some(message),
        None => given_back()?,
    };
    let Some(message) = message else {
        return Ok(());
    };
    let held_until = held_until(draft, Some(conversation.channel), now)?;
    let ring = RingEntry {
        id: RingId(draft.new_id()),
        conversation: Some(conversation.id),
        message: Some(message),
        channel: Some(conversation.channel),
        state: RingState::Ringing,
        step: u32::from(held_until.is_none()),
        started_at: now,
        next_step_at: held_until.or_else(|| Some(steps.after(1, now, now))),
        taken_at: None,
        taken_by: None,
        ended: None,
        ended_at: None,
        silenced_by: happened.under_way,
        assignee: conversation.assignee,
        attempts: Vec::new(),
        held_until,
        alarm: None,
        told: Vec::new(),
    };
    let id = ring.id;
    draft.amend_conversation(conversation.id, |conversation| conversation.ring = Some(id));
    keep(draft, &ring);
    draft.bell_rung(ring);
    Ok(())
}

/// A conversation that rings: does it go on?
fn go_on(
    draft: &mut Draft<'_>,
    conversation: &Arc<ConversationRecord>,
    happened: &Happened,
    mut ring: RingEntry,
    steps: &Steps,
) -> Found<()> {
    let now = draft.now();
    let end = match conversation.status {
        Status::Resolved => Some(RingEnd::Resolved),
        Status::Snoozed => Some(RingEnd::Snoozed),
        _ if conversation.waiting_since.is_none() => Some(why_nobody_waits(draft, conversation)?),
        _ => None,
    };
    if let Some(end) = end {
        finish(draft, ring, RingState::Ended, Some(end));
        return Ok(());
    }
    if conversation.assignee != ring.assignee {
        ring.assignee = conversation.assignee;
        if let Some(assignee) = conversation.assignee {
            // To take is to be assigned.
            ring.taken_by = Some(assignee.to_string());
            finish(draft, ring, RingState::Taken, None);
            return Ok(());
        }
        keep(draft, &ring);
    }
    let before = ring.silenced_by;
    if let Some(answer) = ring.silenced_by
        && (happened.came_to_nothing.contains(&answer) || happened.came.is_some())
    {
        ring.silenced_by = None;
    }
    if let Some(answer) = happened.under_way {
        ring.silenced_by = Some(answer);
    }
    if ring.silenced_by != before {
        if ring.silenced_by.is_none() {
            // It goes on where it was: the next step is due when it would have been, and not all that were missed at once.
            ring.next_step_at = if ring.is_held() {
                ring.held_until
            } else {
                Some(steps.after(ring.step, ring.climbs_from(), now))
            };
        }
        let rings_on = ring.silenced_by.is_none() && !ring.is_held();
        keep(draft, &ring);
        if rings_on {
            draft.bell_rung(ring);
        }
    }
    Ok(())
}

/// Nobody waits any more: because of an answer, or because what was asked is gone.
fn why_nobody_waits(draft: &Draft<'_>, conversation: &ConversationRecord) -> Found<RingEnd> {
    let before = draft.conversation_before(conversation.id)?;
    let answered = before.is_none_or(|before| before.answered_up_to < conversation.answered_up_to);
    Ok(if answered {
        RingEnd::Answered
    } else {
        RingEnd::Withdrawn
    })
}

/// Writes a ring that goes on.
fn keep(draft: &mut Draft<'_>, ring: &RingEntry) {
    draft.put(ring.put(RingEntry::key(ring.id)));
    let open = OpenRing::from(ring);
    draft.put(open.put(ring.id.key().to_vec()));
}

/// Until when a channel is closed whose rings wait for it to open.
fn held_until(draft: &Draft<'_>, channel: Option<ChannelNo>, now: Time) -> Found<Option<Time>> {
    let Some(channel) = channel else {
        return Ok(None);
    };
    let hours = draft.entry::<ChannelHoursEntry>(&ChannelHoursEntry::key(channel))?;
    let hours = hours.filter(|hours| hours.after_hours == AfterHours::Hold);
    Ok(hours
        .and_then(|hours| closed(&hours, now))
        .map(|(_, stretch)| stretch.until))
}

/// Ends a ring.
fn finish(draft: &mut Draft<'_>, mut ring: RingEntry, state: RingState, end: Option<RingEnd>) {
    let now = draft.now();
    ring.state = state;
    ring.ended = end;
    ring.ended_at = Some(now);
    ring.next_step_at = None;
    ring.silenced_by = None;
    if state == RingState::Taken {
        ring.taken_at = Some(now);
    }
    draft.put(ring.put(RingEntry::key(ring.id)));
    draft.put(OpenRing::remove(ring.id.key().to_vec()));
    super::telling::over(draft, &ring);
    if let Some(conversation) = ring.conversation {
        draft.amend_conversation(conversation, |conversation| conversation.ring = None);
    }
    if state == RingState::Taken {
        draft.bell_acknowledged(ring);
    }
}

/// Begins the ring of an alarm.
pub(super) fn begin_alarm(
    draft: &mut Draft<'_>,
    alarm: Alarm,
    channel: Option<ChannelNo>,
    steps: &Steps,
) -> RingEntry {
    let now = draft.now();
    let ring = RingEntry {
        id: RingId(draft.new_id()),
        conversation: None,
        message: None,
        channel,
        state: RingState::Ringing,
        step: 1,
        started_at: now,
        next_step_at: Some(steps.after(1, now, now)),
        taken_at: None,
        taken_by: None,
        ended: None,
        ended_at: None,
        silenced_by: None,
        assignee: None,
        attempts: Vec::new(),
        held_until: None,
        alarm: Some(alarm),
        told: Vec::new(),
    };
    keep(draft, &ring);
    draft.bell_rung(ring.clone());
    ring
}

/// Ends the ring of an alarm, since nothing is wrong any more. Devices that sound hear it.
pub(super) fn finish_alarm(draft: &mut Draft<'_>, ring: RingEntry) {
    let id = ring.id;
    finish(draft, ring, RingState::Ended, Some(RingEnd::Resolved));
    if let Ok(Some(ring)) = draft.entry::<RingEntry>(&RingEntry::key(id)) {
        draft.bell_acknowledged(ring);
    }
}

/// Writes what is told of an alarm that rings; it does not ring anew for that.
pub(super) fn keep_alarm(draft: &mut Draft<'_>, ring: &RingEntry) {
    keep(draft, ring);
}

/// The next step of a ring is due.
#[derive(Clone, Debug)]
pub struct Climb {
    /// Which.
    pub ring: RingId,
    /// The steps.
    pub steps: Arc<Steps>,
}

impl Decision for Climb {
    /// The ring after it; `None` where it has ended, is silent, or is not due.
    type Answer = Option<RingEntry>;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<Self::Answer> {
        let Some(mut ring) = draft.entry::<RingEntry>(&RingEntry::key(self.ring))? else {
            return Ok(None);
        };
        let now = draft.now();
        let goes_on = ring.state == RingState::Ringing && ring.silenced_by.is_none();
        let is_due = |due_at| self.steps.is_due(due_at, now);
        if !goes_on || !ring.is_held() && !ring.next_step_at.is_some_and(is_due) {
            return Ok(None);
        }
        // An alarm waits for nothing.
        let channel = ring.channel.filter(|_| ring.alarm.is_none());
        let held_until = held_until(draft, channel, now)?;
        if ring.is_held() && held_until.is_some() && ring.held_until == held_until {
            return Ok(None);
        }
        if held_until.is_some() {
            // It is closed now, or opens at another time than it did: whoever hears it is told that it waits.
            ring.step = 0;
            (ring.held_until, ring.next_step_at) = (held_until, held_until);
            // Devices that show it take it away until it rings again.
            ring.told.clear();
            super::telling::over(draft, &ring);
            keep(draft, &ring);
            draft.bell_rung(ring.clone());
            return Ok(Some(ring));
        }
        if ring.is_held() {
            ring.step = 1;
            ring.held_until = Some(now);
            ring.next_step_at = Some(self.steps.after(1, now, now));
            keep(draft, &ring);
            draft.bell_rung(ring.clone());
            return Ok(Some(ring));
        }
        // After a time away the steps that were missed are not made up for one by one.
        ring.step = self
            .steps
            .reached(ring.climbs_from(), now)
            .max((ring.step + 1).min(self.steps.count()));
        ring.next_step_at = Some(self.steps.after(ring.step, ring.climbs_from(), now));
        keep(draft, &ring);
        draft.bell_rung(ring.clone());
        Ok(Some(ring))
    }
}

/// Somebody takes what rings.
#[derive(Clone, Debug)]
pub struct Take {
    /// What they may see.
    pub scope: Scope,
    /// Which ring.
    pub ring: RingId,
    /// The person, where it is one: the conversation is theirs then.
    pub user: Option<UserId>,
    /// `usr_…` or `tok_…`.
    pub taker: String,
}

/// How taking went.
#[derive(Clone, Debug)]
pub enum Taken {
    /// It is theirs now, or was already.
    Done(RingEntry),
    /// Somebody else has it, or it has ended.
    Over(RingEntry),
    /// They know no such ring.
    NoRing,
}

impl Decision for Take {
    type Answer = Taken;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<Taken> {
        let ring = draft.entry::<RingEntry>(&RingEntry::key(self.ring))?;
        let Some(mut ring) = ring.filter(|ring| ring.is_seen_by(&self.scope)) else {
            return Ok(Taken::NoRing);
        };
        if ring.state != RingState::Ringing {
            return Ok(if ring.taken_by.as_ref() == Some(&self.taker) {
                Taken::Done(ring)
            } else {
                Taken::Over(ring)
            });
        }
        ring.taken_by = Some(self.taker.clone());
        if let Some(user) = self.user {
            ring.assignee = Some(user);
        }
        let Some(id) = ring.conversation else {
            // An alarm is nobody's afterwards.
            ring.assignee = None;
            finish(draft, ring.clone(), RingState::Taken, None);
            let taken = draft.entry::<RingEntry>(&RingEntry::key(self.ring))?;
            return Ok(Taken::Done(taken.unwrap_or(ring)));
        };
        let Some(conversation) = draft.conversation(&self.scope, id)? else {
            return Ok(Taken::NoRing);
        };
        let mut conversation = (*conversation).clone();
        conversation.ring = None;
        conversation.version += 1;
        if let Some(user) = self.user {
            conversation.assignee = Some(user);
            conversation.last_activity_at = conversation.last_activity_at.max(draft.now());
        }
        draft.update_conversation(conversation);
        finish(draft, ring.clone(), RingState::Taken, None);
        let taken = draft.entry::<RingEntry>(&RingEntry::key(self.ring))?;
        Ok(Taken::Done(taken.unwrap_or(ring)))
    }
}

/// Something came of telling a device.
#[derive(Clone, Debug)]
pub struct NoteAttempt {
    /// The ring.
    pub ring: RingId,
    /// What came of it. One of the same device and step is replaced where this one says more.
    pub attempt: Attempt,
}

impl Decision for NoteAttempt {
    /// The ring after it; `None` where there is none.
    type Answer = Option<RingEntry>;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<Self::Answer> {
        let Some(mut ring) = draft.entry::<RingEntry>(&RingEntry::key(self.ring))? else {
            return Ok(None);
        };
        note(&mut ring, &self.attempt);
        draft.put(ring.put(RingEntry::key(ring.id)));
        super::devices::says(draft, &self.attempt)?;
        Ok(Some(ring))
    }
}

/// Puts an attempt into the ledger of a ring: what a device says again, or further of the same attempt, is one line.
pub(super) fn note(ring: &mut RingEntry, attempt: &Attempt) {
    let is_of_device = |known: &Attempt| {
        known.device_id == attempt.device_id
            && known.user == attempt.user
            && known.device == attempt.device
    };
    let is_under_way = |known: &&mut Attempt| {
        known.device_id.is_some() && is_of_device(known) && known.result == AttemptResult::Sent
    };
    // A device says what it showed, and not at which step: at the one at which it was last told.
    let told_at = ring.attempts.iter().rev().find(|known| {
        known.device_id.is_some() && is_of_device(known) && known.result == AttemptResult::Sent
    });
    let step = attempt
        .step
        .or_else(|| told_at.and_then(|known| known.step));
    let step = step.or((ring.step > 0).then_some(ring.step));
    // What was sent and shown are two lines: how long it took from the one to the other is what the ledger is for.
    let came_to_nothing = matches!(
        attempt.result,
        AttemptResult::Failed | AttemptResult::Expired
    );
    if came_to_nothing && let Some(known) = ring.attempts.iter_mut().rev().find(is_under_way) {
        known.result = attempt.result;
        known.detail.clone_from(&attempt.detail);
        return;
    }
    let last_of_device = ring.attempts.iter().rev().find(|known| is_of_device(known));
    let shown_already = attempt.result == AttemptResult::Shown
        && last_of_device
            .is_some_and(|known| known.result == AttemptResult::Shown && known.step == step);
    if shown_already {
        return;
    }
    if ring.attempts.len() >= MAX_ATTEMPTS {
        let oldest = ring
            .attempts
            .iter()
            .position(|known| known.result == AttemptResult::Sent)
            .unwrap_or(0);
        ring.attempts.remove(oldest);
    }
    ring.attempts.push(Attempt {
        step,
        ..attempt.clone()
    });
}

/// Where a ring of a device is looked up by the device.
#[must_use]
pub fn told_on(ring: &RingEntry, device: DeviceId) -> bool {
    ring.attempts
        .iter()
        .any(|attempt| attempt.device_id == Some(device))
}

/// How old a message may be that rings.
#[must_use]
pub fn is_news(steps: &Steps, sent_at: Time, now: Time) -> bool {
    steps.is_news(sent_at, now)
}
