//! What becomes of an answer on its way out: each step is decided and durable before the next is taken.
//!
//! A reply is cut into parts; a work item carries it from part to part. The attempt is on record before the socket is
//! touched, so that a crash in between leaves an item of which nobody knows whether the platform has it: such an item
//! is looked for, and never sent again blindly.

use deskbell_sdk::send::PartPlan;
use deskbell_sdk::{DeliveryState, Time};

use super::changes::{self, delivery};
use super::{Decision, Next, conversations};
use crate::id::{ConversationId, MessageId, WorkId};
use crate::store::draft::Draft;
use crate::store::entry::{Entry, PartRecord, WorkEntry, WorkState};
use crate::store::record::{
    AttachmentBytes, ChannelNo, ConversationRecord, DeliveryRecord, MessageChanges, MessageRecord,
};
use crate::store::{Found, Scope};

/// Within what the first retry comes, in milliseconds; each further one within twice as much, up to [`LONGEST_WAIT_MS`].
/// Where in it is chance.
const FIRST_WAIT_MS: i64 = 3_000;
/// The longest wait between two attempts: five minutes, in milliseconds.
const LONGEST_WAIT_MS: i64 = 5 * 60 * 1000;
/// How long an answer is tried: a day, in milliseconds. Later it would surprise its reader more than help.
const TRIED_FOR_MS: i64 = 24 * 60 * 60 * 1000;
/// How long a paused channel's items wait before they are looked at again, in milliseconds.
const PAUSED_WAIT_MS: i64 = 30 * 1000;
/// From when on a send that the platform does not show is taken for not sent, in milliseconds.
const NOT_SENT_AFTER_MS: i64 = 20 * 1000;
/// How long the fate of a send is looked for, in milliseconds.
const LOOK_FOR_MS: i64 = 60 * 1000;
/// The same by the clock, which may be wrong: an hour, in milliseconds. A daemon that is started again and again counts
/// anew each time.
const LOOK_FOR_AT_MOST_MS: i64 = 60 * 60 * 1000;
/// When it is first looked for, in milliseconds. Platforms let a channel look rarely (Meta: twice a second), so each
/// further look waits longer, and one comes right when an absence begins to tell.
const FIRST_LOOK_MS: i64 = 3 * 1000;
/// How often it is looked for once an absence tells, in milliseconds.
const LATE_LOOK_MS: i64 = 10 * 1000;

/// What the platform gives back with a part, where it can: which message and part it is.
#[must_use]
pub fn send_token(message: MessageId, part: usize) -> String {
    format!("dbk:{message}:{part}")
}

/// The message and part of a token that [`send_token`] made.
#[must_use]
pub fn read_send_token(token: &str) -> Option<(MessageId, usize)> {
    let (message, part) = token.strip_prefix("dbk:")?.split_once(':')?;
    Some((message.parse().ok()?, part.parse().ok()?))
}

/// A part that is to be sent, or looked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Errand {
    /// The item.
    pub work: WorkId,
    /// Its channel.
    pub channel: ChannelNo,
    /// The platform's id of the thread.
    pub thread: String,
    /// The message.
    pub message: std::sync::Arc<MessageRecord>,
    /// Which part of it.
    pub part: usize,
    /// What the part is.
    pub plan: PartPlan,
    /// The platform's id of the message that is answered.
    pub reply_to: Option<String>,
    /// The ordinary window has closed; only the extended rule lets it out.
    pub window_extended: bool,
    /// When the attempt began.
    pub attempted_at: Time,
    /// Ids of our other messages of the thread, which are not this one.
    pub known: Vec<String>,
}

/// The reply windows of a channel, in milliseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Windows {
    /// The ordinary one; `None`: always open.
    pub ordinary_ms: Option<i64>,
    /// The extended one, where it is switched on.
    pub extended_ms: Option<i64>,
}

/// Whether an answer may go out now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// As an ordinary answer.
    Open,
    /// Only as a person's answer under the extended rule.
    Extended,
    /// No longer.
    Closed,
}

impl Windows {
    /// How a conversation's window stands at `now`. A minute before its end it counts as closed.
    #[must_use]
    pub fn at(self, conversation: &ConversationRecord, now: Time) -> Window {
        let Some(ordinary_ms) = self.ordinary_ms else {
            return Window::Open;
        };
        let Some(acted_at) = conversation.customer_acted_at else {
            return Window::Closed;
        };
        let ends = |window_ms: i64| acted_at.plus_millis(window_ms - 60_000);
        if now < ends(ordinary_ms) {
            Window::Open
        } else if self
            .extended_ms
            .is_some_and(|extended_ms| now < ends(extended_ms))
        {
            Window::Extended
        } else {
            Window::Closed
        }
    }
}

/// Takes an item up: the attempt is on record before anything leaves.
#[derive(Clone, Debug)]
pub struct Begin {
    /// The item.
    pub work: WorkId,
    /// The channel's windows.
    pub windows: Windows,
}

impl Decision for Begin {
    /// What to send; `None` where the item is done with.
    type Answer = Option<Errand>;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<Option<Errand>> {
        let Some(mut item) = Item::read(draft, self.work)? else {
            return Ok(None);
        };
        let now = draft.now();
        let window = self.windows.at(&item.conversation, now);
        if window == Window::Closed {
            let say = "The platform's reply window closed before this could be sent.";
            item.fail(
                draft,
                DeliveryState::Failed,
                "reply-window-closed",
                say,
                false,
            );
            return Ok(None);
        }
        item.entry.looking_since = None;
        let attempts = item.entry.state.attempts() + 1;
        item.entry.state = WorkState::Attempting {
            attempts,
            since: now,
        };
        item.keep(draft);
        item.errand(draft, window == Window::Extended, now)
    }
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The platform has it, under this id.
    Sent(Option<String>),
    /// Certainly not sent; try again, at the earliest after so many milliseconds.
    Retry(Option<i64>),
    /// Nobody knows.
    Unknown,
    /// Refused for good, with a code and a sentence.
    Refused(String, String),
    /// The channel's credentials do not work.
    Credentials,
    /// It certainly did not arrive, as was found by looking.
    NotSent,
    /// It is not to be seen yet.
    NotSeen,
    /// The platform could not be asked.
    Unanswered,
    /// The platform does not tell.
    Untold,
}

/// Records how an attempt, or a look for its fate, ended.
#[derive(Clone, Debug)]
pub struct Finish {
    /// The item.
    pub work: WorkId,
    /// Which part was attempted.
    pub part: usize,
    /// How it ended.
    pub ended: Ended,
    /// Between 0 and 1: spreads the retries of many.
    pub jitter: f64,
    /// For how long this daemon has looked for it by now, in milliseconds that have really passed: by the clock, which may
    /// be set, an absence would tell too soon, and the answer would be sent twice.
    pub looking_ms: i64,
}

impl Decision for Finish {
    type Answer = Next;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<Next> {
        let Some(mut item) = Item::read(draft, self.work)? else {
            return Ok(Next::Done);
        };
        if item.entry.next_part != self.part {
            // The echo was quicker and has moved the item on.
            return Ok(Next::At(item.entry.due_at));
        }
        let now = draft.now();
        match &self.ended {
            Ended::Sent(external_id) => item.part_sent(draft, external_id.clone())?,
            Ended::Retry(after_ms) => item.again(draft, now, after_ms.unwrap_or(0), self.jitter),
            Ended::NotSent => item.again(draft, now, 0, self.jitter),
            Ended::Credentials => {
                item.entry.state = WorkState::Waiting {
                    attempts: item.entry.state.attempts().saturating_sub(1),
                };
                item.entry.due_at = now.plus_millis(PAUSED_WAIT_MS);
                item.keep(draft);
            }
            Ended::Refused(code, say) => item.fail(draft, DeliveryState::Failed, code, say, false),
            Ended::Unknown => item.look(draft, now, 0),
            Ended::NotSeen | Ended::Unanswered | Ended::Untold => {
                // Not since the attempt began: a large file is on its way for minutes.
                let looking_since = item.entry.looking_since.unwrap_or(now);
                let by_clock_ms = now.as_millis() - looking_since.as_millis();
                let is_over = self.looking_ms >= LOOK_FOR_MS || by_clock_ms >= LOOK_FOR_AT_MOST_MS;
                if self.ended == Ended::NotSeen && self.looking_ms >= NOT_SENT_AFTER_MS {
                    item.again(draft, now, 0, self.jitter);
                } else if self.ended == Ended::Untold || is_over {
                    let say = "The platform's answer was lost, and it does not tell whether the customer has this. \
                               Look there before you send it again.";
                    item.fail(draft, DeliveryState::Unknown, "unknown", say, true);
                } else {
                    item.look(draft, now, self.looking_ms);
                }
            }
        }
        Ok(item.next())
    }
}

/// After a crash: what was being attempted may or may not have left.
#[derive(Clone, Debug)]
pub struct Resume {
    /// The item.
    pub work: WorkId,
}

impl Decision for Resume {
    /// The part to look for, where there is one.
    type Answer = Option<Errand>;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<Option<Errand>> {
        let Some(mut item) = Item::read(draft, self.work)? else {
            return Ok(None);
        };
        let since = match item.entry.state {
            WorkState::Waiting { .. } => return Ok(None),
            WorkState::Attempting { since, .. } => {
                item.look(draft, since, 0);
                since
            }
            WorkState::Looking { since, .. } => since,
        };
        item.errand(draft, false, since)
    }
}

/// An echo told that a part arrived. Says whether it was news.
pub(super) fn echoed(
    draft: &mut Draft<'_>,
    channel: ChannelNo,
    token: &str,
    external_id: &str,
) -> Found<Option<(bool, ConversationId, MessageId)>> {
    let Some((id, part)) = read_send_token(token) else {
        return Ok(None);
    };
    let Some(message) = draft.message(channel, id)? else {
        return Ok(None);
    };
    let found = Some((true, message.conversation, id));
    match Item::read(draft, message.work())? {
        Some(mut item) if item.entry.next_part == part => {
            item.part_sent(draft, Some(external_id.to_owned()))?;
            Ok(found)
        }
        // An earlier part's echo comes late, or a later one's first: only its id is news.
        _ => {
            let scope = Scope::whole_desk();
            let Some(conversation) = draft.conversation(&scope, message.conversation)? else {
                return Ok(found);
            };
            let news = part_arrived(draft, &message, &conversation, part, external_id)?;
            Ok(Some((news, message.conversation, id)))
        }
    }
}

/// A part of a message that is no longer under way is at the platform after all. Says whether that was news.
pub(super) fn part_arrived(
    draft: &mut Draft<'_>,
    message: &MessageRecord,
    conversation: &ConversationRecord,
    part: usize,
    external_id: &str,
) -> Found<bool> {
    let before = message;
    let (mut message, mut conversation) = (before.clone(), conversation.clone());
    message.set_part_id(part, external_id);
    // What was thought lost has arrived after all, once each of its parts has.
    let was_lost = message
        .changes
        .delivery
        .as_ref()
        .is_some_and(|known| known.state == DeliveryState::Unknown)
        && message.knows_all_parts();
    if was_lost {
        sent(&mut message, draft.now());
        conversations::answered_by(draft, &mut conversation, &message)?;
    }
    if message == *before {
        return Ok(false);
    }
    message.version += 1;
    conversation.version += 1;
    draft.update_message(message, conversation);
    Ok(true)
}

/// The platform has the message, by the sending that is under way or was the last.
fn sent(message: &mut MessageRecord, now: Time) {
    let mut change = delivery(DeliveryState::Sent, now);
    if let (Some(change), Some(known)) = (&mut change.delivery, &message.changes.delivery) {
        change.attempt = known.attempt;
    }
    changes::merge(&mut message.changes, &change);
}

/// A message that is to be sent once more is at the platform after all, as its history shows: it settles the item that
/// waits. Says whether there was one.
pub(super) fn found_while_waiting(
    draft: &mut Draft<'_>,
    message: &MessageRecord,
    external_id: &str,
) -> Found<bool> {
    match Item::read(draft, message.work())? {
        Some(mut item) if matches!(item.entry.state, WorkState::Waiting { .. }) => {
            item.part_sent(draft, Some(external_id.to_owned()))?;
            Ok(true)
        }
        _ => Ok(false),
    }
}

/// A work item with what it is about.
struct Item {
    entry: WorkEntry,
    message: MessageRecord,
    conversation: ConversationRecord,
    gone: bool,
}

impl Item {
    /// Reads an item; one whose message is gone is removed.
    fn read(draft: &mut Draft<'_>, work: WorkId) -> Found<Option<Self>> {
        let Some(entry) = draft.entry::<WorkEntry>(&work.key())? else {
            return Ok(None);
        };
        let message = draft.message(entry.channel, entry.message)?;
        let conversation = draft.conversation(&Scope::whole_desk(), entry.conversation)?;
        match (message, conversation) {
            (Some(message), Some(conversation)) => Ok(Some(Self {
                entry,
                message: (*message).clone(),
                conversation: (*conversation).clone(),
                gone: false,
            })),
            _ => {
                draft.put(WorkEntry::remove(work.key().to_vec()));
                Ok(None)
            }
        }
    }

    fn keep(&self, draft: &mut Draft<'_>) {
        draft.put(self.entry.put(self.entry.id.key().to_vec()));
    }

    fn remove(&mut self, draft: &mut Draft<'_>) {
        self.gone = true;
        draft.put(WorkEntry::remove(self.entry.id.key().to_vec()));
    }

    fn next(&self) -> Next {
        if self.gone {
            Next::Done
        } else {
            Next::At(self.entry.due_at)
        }
    }

    fn errand(
        &self,
        draft: &Draft<'_>,
        window_extended: bool,
        attempted_at: Time,
    ) -> Found<Option<Errand>> {
        let Some(plan) = self.entry.parts.get(self.entry.next_part) else {
            return Ok(None);
        };
        let mut known = Vec::new();
        for message in draft.messages(self.conversation.id, crate::store::Place::LAST, 50)? {
            known.extend(message.external_ids().map(str::to_owned));
        }
        Ok(Some(Errand {
            work: self.entry.id,
            channel: self.entry.channel,
            thread: self.conversation.thread.clone(),
            message: std::sync::Arc::new(self.message.clone()),
            part: self.entry.next_part,
            plan: match plan {
                PartRecord::Text(text) => PartPlan::Text(text.clone()),
                PartRecord::File(place) => PartPlan::File(*place),
            },
            reply_to: self
                .message
                .reply_to
                .clone()
                .filter(|_| self.entry.next_part == 0),
            window_extended,
            attempted_at,
            known,
        }))
    }

    /// The next part is at the platform; after the last the whole answer is.
    fn part_sent(&mut self, draft: &mut Draft<'_>, external_id: Option<String>) -> Found<()> {
        if let Some(external_id) = external_id {
            self.message.set_part_id(self.entry.next_part, &external_id);
        }
        self.entry.next_part += 1;
        let now = draft.now();
        if self.entry.next_part < self.entry.parts.len() {
            self.entry.state = WorkState::Waiting { attempts: 0 };
            self.entry.due_at = now;
            self.keep(draft);
        } else {
            sent(&mut self.message, now);
            conversations::answered_by(draft, &mut self.conversation, &self.message)?;
            self.remove(draft);
        }
        self.write(draft);
        Ok(())
    }

    fn write(&mut self, draft: &mut Draft<'_>) {
        self.message.version += 1;
        self.conversation.version += 1;
        conversations::show_last(&mut self.conversation, &self.message);
        draft.update_message(self.message.clone(), self.conversation.clone());
    }

    /// Waits for another attempt, or gives up after a day.
    fn again(&mut self, draft: &mut Draft<'_>, now: Time, after_ms: i64, jitter: f64) {
        let attempts = self.entry.state.attempts();
        if now.as_millis() - self.entry.created_at.as_millis() > TRIED_FOR_MS {
            let say = "It was tried for a day, and the platform took it at no time. Send it again if it still matters.";
            self.fail(draft, DeliveryState::Failed, "gave-up", say, true);
            return;
        }
        let spread = super::spread(attempts, FIRST_WAIT_MS, LONGEST_WAIT_MS, jitter);
        self.entry.state = WorkState::Waiting { attempts };
        // On top of the platform's word, which it gives to many at once.
        self.entry.due_at = now.plus_millis(after_ms.saturating_add(spread));
        self.keep(draft);
    }

    /// Looks for it at the platform, for `for_ms` milliseconds by now; `since` is when the attempt began.
    fn look(&mut self, draft: &mut Draft<'_>, since: Time, for_ms: i64) {
        let attempts = self.entry.state.attempts();
        let since = self.entry.state.since().unwrap_or(since);
        self.entry.state = WorkState::Looking { attempts, since };
        let now = draft.now();
        self.entry.looking_since.get_or_insert(now);
        let wait_ms = if for_ms < FIRST_LOOK_MS {
            FIRST_LOOK_MS
        } else if for_ms < NOT_SENT_AFTER_MS {
            (2 * for_ms).min(NOT_SENT_AFTER_MS - for_ms + 500)
        } else {
            LATE_LOOK_MS
        };
        self.entry.due_at = now.plus_millis(wait_ms);
        self.keep(draft);
    }

    /// It ends here: not sent, or nobody knows. The customer still waits.
    fn fail(
        &mut self,
        draft: &mut Draft<'_>,
        state: DeliveryState,
        code: &str,
        say: &str,
        retryable: bool,
    ) {
        let say = if self.entry.next_part > 0 {
            format!(
                "{} of {} parts were sent. {say}",
                self.entry.next_part,
                self.entry.parts.len()
            )
        } else {
            say.to_owned()
        };
        let failed = DeliveryRecord {
            state,
            at: draft.now(),
            error: Some((code.to_owned(), say, retryable)),
            attempt: self
                .message
                .changes
                .delivery
                .as_ref()
                .map_or(0, |known| known.attempt),
            sent_parts: u32::try_from(self.entry.next_part).ok(),
        };
        changes::merge(
            &mut self.message.changes,
            &MessageChanges {
                delivery: Some(failed),
                ..MessageChanges::default()
            },
        );
        if state == DeliveryState::Unknown {
            // An echo may still come: it is to be seen then whether there are parts that never left.
            let further = self.entry.parts.len().saturating_sub(1);
            if self.message.part_ids.len() < further {
                self.message.part_ids.resize(further, None);
            }
        }
        self.remove(draft);
        self.write(draft);
    }
}

/// The content hashes of a message's files, in order.
#[must_use]
pub fn contents(message: &MessageRecord) -> Vec<Option<&str>> {
    message
        .attachments
        .iter()
        .map(|attachment| match &attachment.bytes {
            AttachmentBytes::Stored(content) => Some(content.as_str()),
            _ => None,
        })
        .collect()
}
