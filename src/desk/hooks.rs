//! Outgoing hooks: who is told what, in which order, how often it is tried, and when it is given up.
//!
//! What a hook is to be told is written in the same step as the place in the log up to which was looked: a crash at any
//! moment loses nothing and decides nothing twice. What was told and not recorded is told again under the same id, by
//! which the other end knows it.

pub mod commands;

use std::collections::BTreeSet;
use std::sync::Arc;

use deskbell_sdk::Time;

use super::Decision;
use super::audit::{Told, audit};
use crate::id::{ContactId, ConversationId, DeliveryId, HookId, MessageId, RingId};
use crate::store::draft::Draft;
use crate::store::entry::{
    Actor, Entry, HookAttempt, HookCursor, HookDeliveryEntry, HookDeliveryState, HookEntry,
    HookKind, OpenHookDelivery, SealedValue,
};
use crate::store::{Found, Scope};

/// Most hooks.
pub const MOST_HOOKS: usize = 50;
/// How many attempts of a delivery are kept.
const KEPT_ATTEMPTS: usize = 12;
/// How long what was signed with a former secret is signed with it as well, in milliseconds.
const ROTATION_MS: i64 = 24 * 60 * 60 * 1000;
/// The longest that `Retry-After` is obeyed, in milliseconds.
const LONGEST_AFTER_MS: i64 = 24 * 60 * 60 * 1000;
/// How much longer than all its pauses together a delivery is tried, in milliseconds.
const GRACE_MS: i64 = 60 * 60 * 1000;

/// Makes a hook.
#[derive(Clone, Debug)]
pub struct MakeHook {
    /// It; its id, times and place in the log are given when it is made.
    pub hook: HookEntry,
    /// Who asks.
    pub by: Actor,
}

impl Decision for MakeHook {
    /// `None` where there are as many as there may be.
    type Answer = Option<HookEntry>;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<Self::Answer> {
        // Those of the configuration have a limit of their own.
        let is_made = |(_, hook): &&(Vec<u8>, HookEntry)| hook.kind != HookKind::Command;
        if draft.all::<HookEntry>()?.iter().filter(is_made).count() >= MOST_HOOKS {
            return Ok(None);
        }
        let hook = HookEntry {
            id: HookId(draft.new_id()),
            created_at: draft.now(),
            from_seq: draft.head(),
            ..self.hook.clone()
        };
        draft.put(hook.put(hook.id.key().to_vec()));
        audit(draft, &self.by, told("hook.created", &hook))?;
        Ok(Some(hook))
    }
}

/// What is told of a hook: where it leads may hold a secret, so that only the host is named.
fn told(action: &'static str, hook: &HookEntry) -> Told {
    let events: Vec<String> = hook.events.iter().cloned().collect();
    Told::of(action)
        .to("hook", hook.id, name_of(hook))
        .with("events", events)
        .with("enabled", hook.enabled)
}

/// What a hook is called: the id of a command, else the host, since the rest of an address may be a secret.
#[must_use]
pub fn name_of(hook: &HookEntry) -> String {
    hook.command.clone().unwrap_or_else(|| host_of(&hook.url))
}

/// The host of an address, without anything behind it.
fn host_of(url: &str) -> String {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    host.chars().take(255).collect()
}

/// Changes a hook. What is `None` stays.
#[derive(Clone, Debug)]
pub struct ChangeHook {
    /// Which.
    pub hook: HookId,
    /// Where it is told.
    pub url: Option<String>,
    /// What it wants.
    pub events: Option<BTreeSet<String>>,
    /// Of which channels.
    pub channels: Option<Option<BTreeSet<String>>>,
    /// Whether only what climbed.
    pub escalation: Option<bool>,
    /// Whether it is told anything.
    pub enabled: Option<bool>,
    /// What opens the server at the other end.
    pub access_token: Option<Option<SealedValue>>,
    /// Who asks.
    pub by: Actor,
}

impl Decision for ChangeHook {
    /// `None` where there is no such hook.
    type Answer = Option<HookEntry>;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<Self::Answer> {
        let Some(before) = draft.entry::<HookEntry>(&self.hook.key())? else {
            return Ok(None);
        };
        let mut hook = before.clone();
        if let Some(url) = &self.url {
            hook.url.clone_from(url);
        }
        if let Some(events) = &self.events {
            hook.events.clone_from(events);
        }
        if let Some(channels) = &self.channels {
            hook.channels.clone_from(channels);
        }
        if let Some(escalation) = self.escalation {
            hook.escalation = escalation;
        }
        if let Some(token) = &self.access_token {
            hook.access_token.clone_from(token);
        }
        if let Some(enabled) = self.enabled {
            if enabled && !hook.enabled {
                // What happened while it was off is not told by itself; that is what a replay is for.
                hook.from_seq = draft.head();
                hook.failing_since = None;
            }
            hook.enabled = enabled;
            hook.disabled_reason = None;
        }
        if hook != before {
            hook.version += 1;
            draft.put(hook.put(hook.id.key().to_vec()));
            audit(draft, &self.by, told("hook.changed", &hook))?;
        }
        Ok(Some(hook))
    }
}

/// Removes a hook. What it was told goes in steps of its own.
#[derive(Clone, Debug)]
pub struct RemoveHook {
    /// Which.
    pub hook: HookId,
    /// Who asks.
    pub by: Actor,
}

impl Decision for RemoveHook {
    /// Whether there was one.
    type Answer = bool;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<bool> {
        let Some(hook) = draft.entry::<HookEntry>(&self.hook.key())? else {
            return Ok(false);
        };
        draft.put(HookEntry::remove(hook.id.key().to_vec()));
        audit(draft, &self.by, told("hook.deleted", &hook))?;
        Ok(true)
    }
}

/// Gives a hook a new secret; for a day its deliveries are signed with the former one as well.
#[derive(Clone, Debug)]
pub struct RotateSecret {
    /// Which.
    pub hook: HookId,
    /// The new one.
    pub secret: SealedValue,
    /// Who asks.
    pub by: Actor,
}

impl Decision for RotateSecret {
    /// `None` where there is no such hook, or none that signs.
    type Answer = Option<HookEntry>;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<Self::Answer> {
        let Some(mut hook) = draft.entry::<HookEntry>(&self.hook.key())? else {
            return Ok(None);
        };
        if hook.kind != HookKind::Webhook {
            return Ok(None);
        }
        let until = draft.now().plus_millis(ROTATION_MS);
        hook.former_secret = hook.secret.take().map(|secret| (secret, until));
        hook.secret = Some(self.secret.clone());
        hook.version += 1;
        draft.put(hook.put(hook.id.key().to_vec()));
        audit(draft, &self.by, told("hook.secret_rotated", &hook))?;
        Ok(Some(hook))
    }
}

/// Puts secrets of a hook in the place of the same ones, sealed anew.
#[derive(Clone, Debug)]
pub struct ResealHook {
    /// The hook with them.
    pub hook: HookEntry,
}

impl Decision for ResealHook {
    /// Whether the hook was still as it was read.
    type Answer = bool;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<bool> {
        let at = self.hook.id.key();
        let Some(mut hook) = draft.entry::<HookEntry>(&at)? else {
            return Ok(false);
        };
        if hook.version != self.hook.version {
            return Ok(false);
        }
        hook.secret.clone_from(&self.hook.secret);
        hook.former_secret.clone_from(&self.hook.former_secret);
        hook.access_token.clone_from(&self.hook.access_token);
        draft.put(hook.put(at.to_vec()));
        Ok(true)
    }
}

/// Something that a hook is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDelivery {
    /// The hook.
    pub hook: HookId,
    /// The number of the event.
    pub seq: u64,
    /// Its type.
    pub event: String,
    /// When it happened.
    pub event_at: Time,
    /// What it stands in line with.
    pub lane: u64,
    /// The conversation that it tells of.
    pub conversation: Option<ConversationId>,
    /// The contact that it tells of; not where it tells that the contact is gone.
    pub contact: Option<ContactId>,
    /// The ring that it tells of.
    pub ring: Option<RingId>,
    /// The message that it tells of.
    pub message: Option<MessageId>,
    /// How many hooks led to it.
    pub hops: u8,
    /// The body.
    pub body: String,
}

/// The log was looked at up to `to`: what hooks are to be told of it is written together with that place.
#[derive(Clone, Debug)]
pub struct RecordDeliveries {
    /// What they are to be told, in the order of the log.
    pub new: Vec<NewDelivery>,
    /// Up to which event was looked; `None` where events are told again.
    pub to: Option<u64>,
    /// How far each replay has come.
    pub replayed: Option<(HookId, u64)>,
}

impl Decision for RecordDeliveries {
    /// What was written; what tells of somebody who is gone, or is for a hook that is off, is not.
    type Answer = Vec<HookDeliveryEntry>;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<Self::Answer> {
        let looked_at = match self.to {
            Some(to) => {
                let cursor = draft.entry::<HookCursor>(HookCursor::KEY)?;
                let looked_at = cursor.map_or(0, |cursor| cursor.seq);
                if looked_at < to {
                    draft.put(HookCursor { seq: to }.put(HookCursor::KEY.to_vec()));
                }
                looked_at
            }
            None => 0,
        };
        if let Some((hook, next)) = self.replayed {
            let Some(mut hook) = draft.entry::<HookEntry>(&hook.key())? else {
                return Ok(Vec::new());
            };
            let Some((from, to)) = hook.replay.filter(|(from, _)| *from < next) else {
                return Ok(Vec::new());
            };
            hook.replay = Some((from.max(next), to)).filter(|(from, to)| from < to);
            draft.put(hook.put(hook.id.key().to_vec()));
        }
        let mut written = Vec::new();
        for new in &self.new {
            let is_known = self.to.is_some() && new.seq <= looked_at;
            let hook = draft.entry::<HookEntry>(&new.hook.key())?;
            if is_known || !hook.is_some_and(|hook| hook.enabled) || is_gone(draft, new)? {
                continue;
            }
            let entry = HookDeliveryEntry {
                id: DeliveryId(draft.new_id()),
                hook: new.hook,
                seq: Some(new.seq),
                event: new.event.clone(),
                event_at: new.event_at,
                lane: new.lane,
                conversation: new.conversation,
                contact: new.contact,
                ring: new.ring,
                hops: new.hops,
                body: new.body.clone(),
                created_at: draft.now(),
                state: HookDeliveryState::Waiting,
                due_at: None,
                tries: 0,
                attempts: Vec::new(),
                message: new.message,
            };
            written.push(wait(draft, entry, None));
        }
        Ok(written)
    }

    fn weight(&self) -> usize {
        let bodies: usize = self.new.iter().map(|new| new.body.len() + 256).sum();
        1024 + bodies
    }
}

/// Whether somebody of whom it tells was erased meanwhile.
fn is_gone(draft: &Draft<'_>, new: &NewDelivery) -> Found<bool> {
    let desk = Scope::whole_desk();
    if let Some(conversation) = new.conversation
        && draft.conversation(&desk, conversation)?.is_none()
    {
        return Ok(true);
    }
    Ok(match new.contact {
        Some(contact) => draft.contact(&desk, contact)?.is_none(),
        None => false,
    })
}

/// Writes a delivery that waits; due at once where nothing is said.
fn wait(
    draft: &mut Draft<'_>,
    mut entry: HookDeliveryEntry,
    due_at: Option<Time>,
) -> HookDeliveryEntry {
    let due_at = due_at.unwrap_or_else(|| draft.now());
    entry.state = HookDeliveryState::Waiting;
    entry.due_at = Some(due_at);
    let key = HookDeliveryEntry::key(entry.hook, entry.id);
    draft.put(entry.put(key.clone()));
    let open = OpenHookDelivery {
        due_at,
        lane: entry.lane,
        seq: entry.seq,
    };
    draft.put(open.put(key));
    entry
}

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was taken.
    Taken,
    /// It was not; it may be later, not before so many milliseconds where the other end says so.
    Later(Option<i64>),
    /// It never will be: it is given up.
    Never,
    /// There is nobody any more: the hook is switched off for this reason, and what waits for it stays.
    Off(String),
}

/// An attempt has ended.
#[derive(Clone, Debug)]
pub struct SettleAttempt {
    /// The hook.
    pub hook: HookId,
    /// The delivery.
    pub delivery: DeliveryId,
    /// The attempt.
    pub attempt: HookAttempt,
    /// What came of it.
    pub outcome: Outcome,
    /// The pauses between attempts, in milliseconds.
    pub pauses_ms: Arc<[i64]>,
    /// A number between 0 and 1, by which those who failed together spread.
    pub jitter: f64,
}

impl Decision for SettleAttempt {
    /// When it is due again; `None` where it is done with or gone.
    type Answer = Option<Time>;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<Self::Answer> {
        let key = HookDeliveryEntry::key(self.hook, self.delivery);
        let Some(mut entry) = draft.entry::<HookDeliveryEntry>(&key)? else {
            draft.put(OpenHookDelivery::remove(key));
            return Ok(None);
        };
        let now = draft.now();
        self.note_health(draft, now)?;
        let its_time = entry.due_at.filter(|due_at| is_ahead(*due_at, now));
        if let (Some(due_at), Outcome::Later(_)) = (its_time, &self.outcome) {
            // Somebody looked whether the other end is back: that is none of its tries, and not to be kept for days.
            return Ok(Some(due_at));
        }
        entry.tries += 1;
        if entry.attempts.len() >= KEPT_ATTEMPTS {
            entry.attempts.remove(0);
        }
        entry.attempts.push(self.attempt.clone());
        let due_at = match &self.outcome {
            Outcome::Taken => {
                entry.state = HookDeliveryState::Delivered;
                None
            }
            Outcome::Later(after_ms) => {
                entry.state = HookDeliveryState::Dead;
                self.next(&entry, now, *after_ms)
            }
            Outcome::Never => {
                entry.state = HookDeliveryState::Dead;
                None
            }
            // It waits for whoever switches the hook on again.
            Outcome::Off(_) if entry.seq.is_some() => Some(now),
            Outcome::Off(_) => {
                entry.state = HookDeliveryState::Dead;
                None
            }
        };
        if let Some(due_at) = due_at {
            wait(draft, entry, Some(due_at));
        } else {
            entry.due_at = None;
            draft.put(entry.put(key.clone()));
            draft.put(OpenHookDelivery::remove(key));
        }
        Ok(due_at)
    }

    fn weight(&self) -> usize {
        4 * 1024
    }
}

impl SettleAttempt {
    /// When a delivery is tried again that failed; `None`: it is given up.
    fn next(&self, entry: &HookDeliveryEntry, now: Time, after_ms: Option<i64>) -> Option<Time> {
        let made = usize::try_from(entry.tries).unwrap_or(usize::MAX);
        let pause_ms = *self.pauses_ms.get(made.checked_sub(1)?)?;
        let all_ms: i64 = self.pauses_ms.iter().sum();
        // Where many wait behind a host that is down, not each is tried at each of its times.
        let since = entry.attempts.first().map_or(now, |first| first.at);
        if now.as_millis() - since.as_millis() > all_ms.saturating_add(all_ms / 5) + GRACE_MS {
            return None;
        }
        let spread_ms = super::part_of(pause_ms / 5, self.jitter);
        let asked_ms = after_ms.unwrap_or(0).clamp(0, LONGEST_AFTER_MS);
        Some(now.plus_millis((pause_ms + spread_ms).max(asked_ms)))
    }

    /// How the hook stands after it.
    fn note_health(&self, draft: &mut Draft<'_>, now: Time) -> Found<()> {
        let Some(mut hook) = draft.entry::<HookEntry>(&self.hook.key())? else {
            return Ok(());
        };
        let before = hook.clone();
        match &self.outcome {
            Outcome::Taken => hook.failing_since = None,
            Outcome::Later(_) | Outcome::Never => {
                hook.failing_since = hook.failing_since.or(Some(now))
            }
            Outcome::Off(why) => {
                hook.failing_since = hook.failing_since.or(Some(now));
                if hook.enabled {
                    hook.enabled = false;
                    hook.disabled_reason = Some(why.clone());
                }
            }
        }
        if hook != before {
            draft.put(hook.put(hook.id.key().to_vec()));
        }
        Ok(())
    }
}

/// The longest wait that is ever decided, and more, in milliseconds: a later due time was decided by a clock that was
/// ahead.
const LONGEST_WAIT_MS: i64 = 40 * 60 * 60 * 1000;

/// Whether a time is still to come, as far as the clock can be believed.
#[must_use]
pub fn is_ahead(at: Time, now: Time) -> bool {
    let wait_ms = at.as_millis().saturating_sub(now.as_millis());
    wait_ms > 0 && wait_ms <= LONGEST_WAIT_MS
}

/// Somebody tries a hook: gives the test its place in the log of deliveries. What came of it is settled as an attempt
/// without pauses; where it never is, the test stays as one that was given up.
#[derive(Clone, Debug)]
pub struct BeginTest {
    /// The hook.
    pub hook: HookId,
    /// What is sent.
    pub body: String,
}

impl Decision for BeginTest {
    /// The delivery; `None` where the hook is gone.
    type Answer = Option<HookDeliveryEntry>;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<Self::Answer> {
        if draft.entry::<HookEntry>(&self.hook.key())?.is_none() {
            return Ok(None);
        }
        let entry = HookDeliveryEntry {
            id: DeliveryId(draft.new_id()),
            hook: self.hook,
            seq: None,
            event: TEST.to_owned(),
            event_at: draft.now(),
            lane: 0,
            conversation: None,
            contact: None,
            ring: None,
            hops: 0,
            body: self.body.clone(),
            created_at: draft.now(),
            state: HookDeliveryState::Dead,
            due_at: None,
            tries: 0,
            attempts: Vec::new(),
            message: None,
        };
        draft.put(entry.put(HookDeliveryEntry::key(entry.hook, entry.id)));
        Ok(Some(entry))
    }
}

/// The type of the event that tries a hook.
pub const TEST: &str = "test";

/// What is to be told again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
    /// One delivery.
    One(DeliveryId),
    /// Every event behind this number.
    Behind(u64),
}

/// A hook is to be told something again.
#[derive(Clone, Debug)]
pub struct ReplayHook {
    /// The hook.
    pub hook: HookId,
    /// What.
    pub again: Again,
    /// Who asks.
    pub by: Actor,
}

/// How asking to be told again went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replayed {
    /// So many events are told again, or looked at for it.
    Begun(u64),
    /// The hook is switched off.
    Off,
    /// There is no such hook or delivery, or it is a test.
    Unknown,
    /// Another replay is under way.
    UnderWay,
}

impl Decision for ReplayHook {
    type Answer = Replayed;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<Replayed> {
        let Some(mut hook) = draft.entry::<HookEntry>(&self.hook.key())? else {
            return Ok(Replayed::Unknown);
        };
        if !hook.enabled {
            return Ok(Replayed::Off);
        }
        let count = match self.again {
            Again::One(delivery) => {
                let key = HookDeliveryEntry::key(self.hook, delivery);
                let entry = draft.entry::<HookDeliveryEntry>(&key)?;
                let Some(mut entry) = entry.filter(|entry| entry.seq.is_some()) else {
                    return Ok(Replayed::Unknown);
                };
                entry.tries = 0;
                entry.attempts.clear();
                wait(draft, entry, None);
                1
            }
            Again::Behind(seq) => {
                if hook.replay.is_some() {
                    return Ok(Replayed::UnderWay);
                }
                let head = draft.head();
                hook.replay = Some((seq, head)).filter(|(seq, head)| seq < head);
                draft.put(hook.put(hook.id.key().to_vec()));
                head.saturating_sub(seq)
            }
        };
        let told = told("hook.replayed", &hook).with("events", count.to_string());
        audit(draft, &self.by, told)?;
        Ok(Replayed::Begun(count))
    }
}

/// Takes away deliveries that are kept no longer, or whose hook is gone.
#[derive(Clone, Debug)]
pub struct DropDeliveries {
    /// Their keys.
    pub keys: Vec<Vec<u8>>,
}

impl Decision for DropDeliveries {
    type Answer = ();

    fn decide(&self, draft: &mut Draft<'_>) -> Found<()> {
        for key in &self.keys {
            draft.put(HookDeliveryEntry::remove(key.clone()));
            draft.put(OpenHookDelivery::remove(key.clone()));
        }
        Ok(())
    }

    fn weight(&self) -> usize {
        1024 + 64 * self.keys.len()
    }
}

/// So much waits for a hook that it is switched off.
#[derive(Clone, Debug)]
pub struct SwitchOff {
    /// Which.
    pub hook: HookId,
    /// Why.
    pub reason: String,
}

impl Decision for SwitchOff {
    type Answer = ();

    fn decide(&self, draft: &mut Draft<'_>) -> Found<()> {
        if let Some(mut hook) = draft.entry::<HookEntry>(&self.hook.key())?
            && hook.enabled
        {
            hook.enabled = false;
            hook.disabled_reason = Some(self.reason.clone());
            draft.put(hook.put(hook.id.key().to_vec()));
        }
        Ok(())
    }
}
