//! Whom a ring tells, on what, and what came of it.
//!
//! Whom is decided in the same step as the ring itself, and so is the work of telling their browsers: there is no moment
//! at which one is there without the other. Companions and open desks hear the ring on the stream and look whether their
//! person is among those who are told.

use std::collections::{BTreeSet, HashSet};

use deskbell_sdk::Time;

use super::bell::{self, Person};
use super::devices::{change, remove};
use super::{Decision, Next, doubled};
use crate::id::{ConversationId, DeviceId, RingId, UserId, WorkId};
use crate::store::change::EventBody;
use crate::store::draft::Draft;
use crate::store::entry::{
    Attempt, AttemptResult, DeviceKind, DevicesEntry, Entry, RingEntry, TeamEntry, Telling,
    TellingEntry,
};
use crate::store::{Found, Scope, Table};

/// So many rings wait for a device at the most: beyond that one notification tells of all (F30).
pub const MOST_WAITING: u32 = 20;
/// With those that are not kept out by them: the first of each channel, and alarms.
const MOST_WITH_OTHERS: u32 = 2 * MOST_WAITING;
/// How long a telling is of use whose ring has no next step, in milliseconds.
const LONGEST_MS: i64 = 60 * 60 * 1000;
/// The first wait after a telling that failed, in milliseconds.
const FIRST_WAIT_MS: i64 = 1_000;
/// The longest, in milliseconds.
const LONGEST_WAIT_MS: i64 = 60_000;
/// A device that has failed for so long is tried once an hour, in milliseconds.
const HOUR_MS: i64 = 60 * 60 * 1000;
/// A device that has failed for so long is tried once a day, in milliseconds (O08).
const DAY_MS: i64 = 24 * HOUR_MS;
/// How long it is told that a ring is over: a browser that sleeps shows the ring until it hears it. In milliseconds.
const OVER_MS: i64 = HOUR_MS;

/// Those who could be told of a ring at a time, and how they stand then.
pub type People<'a> = &'a dyn Fn(&RingEntry, Time) -> Found<Vec<Person>>;

/// Who could be told, for one group of decisions.
pub struct Around<'a> {
    people: People<'a>,
    /// Who has no device, as the store says.
    bare: HashSet<UserId>,
}

impl std::fmt::Debug for Around<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Around").finish_non_exhaustive()
    }
}

impl<'a> Around<'a> {
    /// Of what `people` says.
    #[must_use]
    pub fn new(people: People<'a>) -> Self {
        Self {
            people,
            bare: HashSet::new(),
        }
    }

    fn devices(&mut self, draft: &Draft<'_>, user: UserId) -> Found<Option<DevicesEntry>> {
        if self.bare.contains(&user) && !draft.changes(Table::Devices, &user.key()) {
            return Ok(None);
        }
        let devices = draft.entry::<DevicesEntry>(&user.key())?;
        if devices.is_none() {
            self.bare.insert(user);
        }
        Ok(devices)
    }
}

/// Decides whom the rings tell that rang since the draft had `from` events, and what their browsers are to be told.
pub fn address(draft: &mut Draft<'_>, from: usize, around: &mut Around<'_>) -> Found<()> {
    let rung = draft.events_since(from).iter();
    let rung: Vec<RingEntry> = rung
        .filter_map(|event| match &event.body {
            EventBody::BellRung { ring } => Some((**ring).clone()),
            _ => None,
        })
        .collect();
    for mut ring in rung {
        let people = (around.people)(&ring, draft.now())?;
        let team = match ring.conversation {
            Some(conversation) => team_of(draft, conversation)?,
            None => BTreeSet::new(),
        };
        ring.told = bell::whom(ring.step, ring.assignee, &team, &people);
        for user in ring.told.clone() {
            tell(draft, around, &mut ring, user)?;
        }
        draft.put(ring.put(RingEntry::key(ring.id)));
        draft.amend_rung(from, ring);
    }
    Ok(())
}

fn team_of(draft: &Draft<'_>, conversation: ConversationId) -> Found<BTreeSet<UserId>> {
    let conversation = draft.conversation(&Scope::whole_desk(), conversation)?;
    let Some(team) = conversation.and_then(|conversation| conversation.team) else {
        return Ok(BTreeSet::new());
    };
    let team = draft.entry::<TeamEntry>(&team.key())?;
    Ok(team.map(|team| team.members).unwrap_or_default())
}

/// The work of telling the browsers of one person.
fn tell(
    draft: &mut Draft<'_>,
    around: &mut Around<'_>,
    ring: &mut RingEntry,
    user: UserId,
) -> Found<()> {
    let Some(mut devices) = around.devices(draft, user)? else {
        return Ok(());
    };
    let now = draft.now();
    let mut is_changed = false;
    for device in &mut devices.devices {
        let rests = device.next_try_at.is_some_and(|at| rests_until(at, now));
        if device.kind != DeviceKind::WebPush || rests {
            continue;
        }
        // A flood in one channel drowns neither the customer of another nor what is wrong with the desk.
        let is_of_another = ring
            .channel
            .is_some_and(|channel| !device.waiting_in.contains(&channel));
        let goes_beyond = is_of_another || ring.alarm.is_some();
        let most = if goes_beyond {
            MOST_WITH_OTHERS
        } else {
            MOST_WAITING
        };
        if device.waiting >= most {
            let attempt = Attempt {
                at: now,
                user: Some(user),
                device: device.kind.word().to_owned(),
                device_id: Some(device.id),
                result: AttemptResult::Sent,
                detail: Some("as one of many that wait".to_owned()),
                step: Some(ring.step),
            };
            bell::note(ring, &attempt);
            continue;
        }
        device.waiting += 1;
        if is_of_another {
            device.waiting_in.extend(ring.channel);
        }
        is_changed = true;
        let id = WorkId(draft.new_id());
        let longest = now.plus_millis(LONGEST_MS);
        let telling = TellingEntry {
            id,
            user,
            device: device.id,
            what: Telling::Ring {
                ring: ring.id,
                conversation: ring.conversation,
                step: ring.step,
            },
            tries: 0,
            due_at: now,
            until: ring.next_step_at.unwrap_or(longest).min(longest),
            created_at: now,
        };
        draft.put(telling.put(id.key().to_vec()));
    }
    if is_changed {
        super::devices::keep(draft, user, &devices);
    }
    Ok(())
}

/// A later time than any rest lasts was decided by a clock that was ahead.
fn rests_until(at: Time, now: Time) -> bool {
    now < at && at <= now.plus_millis(DAY_MS + HOUR_MS)
}

/// A ring is over: the browsers that were told are told that, too.
pub(super) fn over(draft: &mut Draft<'_>, ring: &RingEntry) {
    let word = DeviceKind::WebPush.word();
    let told = ring.attempts.iter();
    let told: BTreeSet<(UserId, DeviceId)> = told
        .filter(|attempt| attempt.device == word && attempt.result != AttemptResult::Expired)
        .filter_map(|attempt| attempt.user.zip(attempt.device_id))
        .collect();
    for (user, device) in told {
        put_over(draft, ring.id, ring.conversation, user, device);
    }
}

fn put_over(
    draft: &mut Draft<'_>,
    ring: RingId,
    conversation: Option<ConversationId>,
    user: UserId,
    device: DeviceId,
) {
    let (id, now) = (WorkId(draft.new_id()), draft.now());
    let telling = TellingEntry {
        id,
        user,
        device,
        what: Telling::Over { ring, conversation },
        tries: 0,
        due_at: now,
        until: now.plus_millis(OVER_MS),
        created_at: now,
    };
    draft.put(telling.put(id.key().to_vec()));
}

/// Whether a telling is still of use at `now`. What lies before its own begin was decided by another clock.
#[must_use]
pub fn is_of_use(telling: &TellingEntry, ring: Option<&RingEntry>, now: Time) -> bool {
    let lasts = now < telling.until;
    match telling.what {
        Telling::Ring { step, .. } => {
            lasts && ring.is_some_and(|ring| ring.sounds() && ring.step == step)
        }
        // Who waits there anew is rung anew, under another ring.
        Telling::Over { .. } | Telling::Test { .. } => lasts,
    }
}

fn ring_of(draft: &Draft<'_>, telling: &TellingEntry) -> Found<Option<RingEntry>> {
    match telling.what {
        Telling::Ring { ring, .. } | Telling::Over { ring, .. } => {
            draft.entry::<RingEntry>(&RingEntry::key(ring))
        }
        Telling::Test { .. } => Ok(None),
    }
}

/// An attempt begins: it is on record before it is made.
#[derive(Clone, Debug)]
pub struct Begin {
    /// The items that it carries: one, or many rings in one notification.
    pub works: Vec<WorkId>,
}

impl Decision for Begin {
    /// Those of them that are to be told; what is of no use any more is gone.
    type Answer = Vec<TellingEntry>;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<Self::Answer> {
        let now = draft.now();
        let mut begun = Vec::new();
        for work in &self.works {
            let Some(mut telling) = draft.entry::<TellingEntry>(&work.key())? else {
                continue;
            };
            let mut ring = ring_of(draft, &telling)?;
            if !is_of_use(&telling, ring.as_ref(), now) {
                done(draft, &telling)?;
                continue;
            }
            telling.tries += 1;
            draft.put(telling.put(work.key().to_vec()));
            if let (Some(ring), Telling::Ring { .. }) = (&mut ring, telling.what) {
                ledger(draft, ring, &telling, AttemptResult::Sent, None);
            }
            begun.push(telling);
        }
        Ok(begun)
    }
}

fn ledger(
    draft: &mut Draft<'_>,
    ring: &mut RingEntry,
    telling: &TellingEntry,
    result: AttemptResult,
    detail: Option<String>,
) {
    let attempt = Attempt {
        at: draft.now(),
        user: Some(telling.user),
        device: DeviceKind::WebPush.word().to_owned(),
        device_id: Some(telling.device),
        result,
        detail,
        step: match telling.what {
            Telling::Ring { step, .. } => Some(step),
            Telling::Over { .. } | Telling::Test { .. } => None,
        },
    };
    bell::note(ring, &attempt);
    draft.put(ring.put(RingEntry::key(ring.id)));
}

/// An item is done with.
fn done(draft: &mut Draft<'_>, telling: &TellingEntry) -> Found<()> {
    draft.put(TellingEntry::remove(telling.id.key().to_vec()));
    if matches!(telling.what, Telling::Ring { .. }) {
        change(draft, telling.user, telling.device, |device| {
            device.waiting = device.waiting.saturating_sub(1);
            if device.waiting == 0 {
                device.waiting_in.clear();
            }
        })?;
    }
    Ok(())
}

/// Why a device could not be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The subscription is gone for good.
    Gone,
    /// Trying again does not mend it: the reason in words.
    Refused(String),
    /// It may pass: the reason in words, and when to come again where the push service says.
    Passing(String, Option<i64>),
    /// It is nobody's business any more: the person may not sign in or not see it.
    NotTheirs,
}

/// An attempt has ended.
#[derive(Clone, Debug)]
pub struct Finish {
    /// The items that it carried.
    pub works: Vec<WorkId>,
    /// What came of it.
    pub ended: Result<(), Trouble>,
    /// A number between 0 and 1 that spreads the next attempts.
    pub jitter: f64,
}

impl Decision for Finish {
    /// What comes next for the first of the items.
    type Answer = Next;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<Next> {
        let mut next = Next::Done;
        for (place, work) in self.works.iter().enumerate() {
            if let Some(telling) = draft.entry::<TellingEntry>(&work.key())? {
                let of_this = self.finish(draft, &telling)?;
                if place == 0 {
                    next = of_this;
                }
            }
        }
        Ok(next)
    }
}

impl Finish {
    fn finish(&self, draft: &mut Draft<'_>, telling: &TellingEntry) -> Found<Next> {
        let now = draft.now();
        let ring = ring_of(draft, telling)?;
        let (result, why) = match &self.ended {
            Ok(()) => {
                change(draft, telling.user, telling.device, |device| {
                    device.failing_since = None;
                    device.detail = None;
                    device.next_try_at = None;
                })?;
                done(draft, telling)?;
                // While it was on its way somebody took it: what comes late must not stay.
                if let (Telling::Ring { .. }, Some(ring)) = (telling.what, &ring)
                    && !ring.sounds()
                {
                    let (user, device) = (telling.user, telling.device);
                    put_over(draft, ring.id, ring.conversation, user, device);
                }
                return Ok(Next::Done);
            }
            Err(Trouble::NotTheirs) => {
                done(draft, telling)?;
                return Ok(Next::Done);
            }
            Err(Trouble::Gone) => {
                let why = "the browser has ended its subscription".to_owned();
                (AttemptResult::Expired, why)
            }
            Err(Trouble::Refused(why) | Trouble::Passing(why, _)) => {
                (AttemptResult::Failed, why.clone())
            }
        };
        if let (Telling::Ring { .. }, Some(mut ring)) = (telling.what, ring) {
            ledger(draft, &mut ring, telling, result, Some(why.clone()));
        }
        if result == AttemptResult::Expired {
            draft.put(TellingEntry::remove(telling.id.key().to_vec()));
            remove(draft, telling.user, telling.device)?;
            return Ok(Next::Done);
        }
        let failing = change(draft, telling.user, telling.device, |device| {
            let since = device.failing_since.filter(|since| *since <= now);
            let since = since.unwrap_or(now);
            device.failing_since = Some(since);
            device.detail = Some(why);
            let failed_for_ms = now.as_millis() - since.as_millis();
            device.next_try_at = match failed_for_ms {
                DAY_MS.. => Some(now.plus_millis(DAY_MS)),
                HOUR_MS.. => Some(now.plus_millis(HOUR_MS)),
                _ => None,
            };
        })?;
        let rests = failing.is_none_or(|device| device.next_try_at.is_some());
        if let Err(Trouble::Passing(_, after_ms)) = &self.ended
            && !rests
        {
            let wait_ms = doubled(telling.tries, FIRST_WAIT_MS, LONGEST_WAIT_MS, self.jitter);
            let due_at = now.plus_millis(after_ms.unwrap_or(0).max(wait_ms));
            if due_at < telling.until {
                let later = TellingEntry {
                    due_at,
                    ..telling.clone()
                };
                draft.put(later.put(telling.id.key().to_vec()));
                return Ok(Next::At(due_at));
            }
        }
        done(draft, telling)?;
        Ok(Next::Done)
    }
}

#[cfg(test)]
mod tests;
