//! Which hook is to be told what of the log.

use std::collections::{BTreeSet, HashSet};

use crate::app::App;
use crate::desk::bell::ESCALATION;
use crate::desk::hooks::NewDelivery;
use crate::id::HookId;
use crate::store::change::{EventBody, LogEvent};
use crate::store::entry::{Entry, HookCursor, HookEntry, OpenHookDelivery, RingEntry};
use crate::store::record::ChannelNo;
use crate::store::{Found, Scope};

use super::target::{self, Event};

/// How many events are looked at in one turn.
const BATCH: usize = 100;
/// How many bytes of bodies are written in one step.
const STEP_BYTES: usize = 2 * 1024 * 1024;
/// After so many events of which nobody is told anything the place in the log is written down all the same.
const KEEP_EVERY: u64 = 1_000;

/// Follows the log.
#[derive(Debug)]
pub(super) struct Follower {
    /// Up to which event was looked; the store may know an earlier one.
    position: u64,
    /// The place that the store knows.
    kept: u64,
    /// The step from which hooks for escalation hear a ring.
    escalation: u32,
}

/// What was found in a stretch of the log.
#[derive(Debug)]
pub(super) struct Looked {
    /// What hooks are to be told.
    pub(super) new: Vec<NewDelivery>,
    /// Up to which event was looked; `None` for what is told again.
    pub(super) to: Option<u64>,
    /// How far a replay has come.
    pub(super) replayed: Option<(HookId, u64)>,
    /// Whether the place is to be written down even where nobody is told anything.
    pub(super) is_to_be_kept: bool,
    /// Whether there is more.
    pub(super) more: bool,
}

impl Follower {
    /// Goes on where the store says.
    pub(super) fn new(app: &App) -> Self {
        let steps = crate::bell::of_config(&app.config.bell);
        Self {
            position: 0,
            kept: 0,
            // Where a ring never climbs so high, its last step is the one.
            escalation: ESCALATION.min(steps.count()),
        }
    }

    /// Looks at the next stretch of the log, and at the next of what is told again.
    pub(super) fn look(&mut self, app: &App) -> Found<Vec<Looked>> {
        let store = &*app.store;
        if self.kept == 0 {
            self.kept = HookCursor::get(store, HookCursor::KEY)?.map_or(0, |cursor| cursor.seq);
            self.position = self.position.max(self.kept);
        }
        // In this order: a hook that is not seen below was made after `head`, and hears only what is behind.
        let head = store.head();
        let hooks = super::all(store)?;
        let on: Vec<&HookEntry> = hooks.iter().filter(|hook| hook.enabled).collect();
        let mut looked = Vec::new();
        match on.iter().map(|hook| hook.from_seq).min() {
            None => self.position = self.position.max(head),
            Some(first) => {
                self.position = self.position.max(first.min(head));
                let events = store.events(self.position, BATCH)?;
                // Anew: one may have been made before these events and after the look above.
                let hooks = super::all(store)?;
                let on: Vec<&HookEntry> = hooks.iter().filter(|hook| hook.enabled).collect();
                if let Some(found) = self.stretch(app, &on, &events) {
                    looked.push(found);
                }
            }
        }
        if let Some(hook) = on.iter().find(|hook| hook.replay.is_some()) {
            looked.extend(self.replay(app, hook)?);
        }
        Ok(looked)
    }

    fn stretch(&self, app: &App, on: &[&HookEntry], events: &[LogEvent]) -> Option<Looked> {
        let mut new = Vec::new();
        let (mut bytes, mut to) = (0, None);
        for event in events {
            for hook in on.iter().filter(|hook| hook.from_seq < event.seq) {
                if let Some(delivery) = self.delivery(app, hook, event) {
                    bytes += delivery.body.len();
                    new.push(delivery);
                }
            }
            to = Some(event.seq);
            if bytes >= STEP_BYTES {
                break;
            }
        }
        let to = to?;
        Some(Looked {
            new,
            to: Some(to),
            replayed: None,
            is_to_be_kept: to >= self.kept + KEEP_EVERY,
            more: events.len() == BATCH || events.last().is_some_and(|last| last.seq > to),
        })
    }

    /// Events that a hook is told again. What waits for it anyway is left out.
    fn replay(&self, app: &App, hook: &HookEntry) -> Found<Option<Looked>> {
        let Some((from, to)) = hook.replay else {
            return Ok(None);
        };
        let events = app.store.events(from, BATCH)?;
        let waiting = OpenHookDelivery::scan(&*app.store, &hook.id.key(), None, usize::MAX)?;
        let waiting: HashSet<u64> = waiting
            .into_iter()
            .filter_map(|(_, open)| open.seq)
            .collect();
        let mut new = Vec::new();
        let (mut bytes, mut next) = (0, to);
        for event in &events {
            if event.seq > to {
                break;
            }
            if !waiting.contains(&event.seq)
                && let Some(delivery) = self.delivery(app, hook, event)
            {
                bytes += delivery.body.len();
                new.push(delivery);
            }
            next = event.seq;
            if bytes >= STEP_BYTES {
                break;
            }
        }
        Ok(Some(Looked {
            new,
            to: None,
            replayed: Some((hook.id, next.max(from + 1))),
            is_to_be_kept: true,
            more: next < to,
        }))
    }

    /// What a hook is told of an event; `None` where it does not hear it.
    fn delivery(&self, app: &App, hook: &HookEntry, event: &LogEvent) -> Option<NewDelivery> {
        let kind = kind(&event.body);
        if !hook.events.contains(kind) {
            return None;
        }
        if hook.escalation
            && let EventBody::BellRung { ring } = &event.body
            && ring.step < self.escalation
        {
            return None;
        }
        let scope = match &hook.channels {
            None => Scope::of_all_channels(),
            Some(slugs) => {
                let numbers: BTreeSet<ChannelNo> = slugs
                    .iter()
                    .filter_map(|slug| app.channels.number_of(slug))
                    .collect();
                let channels = event.body.channels();
                if !channels.iter().any(|channel| numbers.contains(channel)) {
                    return None;
                }
                Scope::of_channels(numbers)
            }
        };
        let shown = app.view().event(&*app.store, &scope, event);
        let data = serde_json::to_value(&shown.data).unwrap_or_default();
        let desk = app.public_url();
        let rung = match (&event.body, hook.kind) {
            // The event names the message; people want its words.
            (EventBody::BellRung { ring }, kind) if kind.is_for_people() => {
                rung_message(app, &scope, ring)
            }
            _ => None,
        };
        let body = target::of(hook.kind).render(&Event {
            kind,
            at: event.at,
            data: &data,
            message: rung.as_ref(),
            desk: &desk,
        });
        let mut delivery = NewDelivery {
            hook: hook.id,
            seq: event.seq,
            event: kind.to_owned(),
            event_at: event.at,
            lane: 0,
            conversation: event
                .body
                .conversation()
                .map(|conversation| conversation.id),
            contact: None,
            ring: None,
            message: None,
            hops: event.hops,
            body,
        };
        delivery.lane = delivery
            .conversation
            .map_or(0, |conversation| conversation.0);
        match &event.body {
            EventBody::MessageCreated { message, .. }
            | EventBody::MessageUpdated { message, .. } => {
                delivery.message = Some(message.id);
            }
            EventBody::ContactCreated { contact } | EventBody::ContactUpdated { contact } => {
                delivery.contact = Some(contact.id);
                delivery.lane = contact.id.0;
            }
            EventBody::ContactDeleted { contact, .. } => delivery.lane = contact.0,
            EventBody::ChannelHealth { channel, .. } => delivery.lane = u64::from(channel.0),
            EventBody::BellRung { ring } | EventBody::BellAcknowledged { ring } => {
                delivery.ring = Some(ring.id);
                delivery.conversation = ring.conversation;
                delivery.lane = ring
                    .conversation
                    .map_or(ring.id.0, |conversation| conversation.0);
            }
            _ => {}
        }
        Some(delivery)
    }

    /// Nothing was written of a stretch of which nobody is told anything.
    pub(super) fn advance(&mut self, looked: &Looked) {
        self.position = self.position.max(looked.to.unwrap_or(0));
    }

    /// A stretch is written.
    pub(super) fn kept(&mut self, looked: &Looked) {
        self.advance(looked);
        self.kept = self.kept.max(looked.to.unwrap_or(0));
    }
}

/// The message that rings, as the stream shows messages.
fn rung_message(app: &App, scope: &Scope, ring: &RingEntry) -> Option<serde_json::Value> {
    let message = app
        .store
        .message(scope, ring.channel?, ring.message?)
        .ok()??;
    let conversation = app.store.conversation(scope, ring.conversation?).ok()??;
    let shown = app.view().message(&*app.store, &message, &conversation);
    serde_json::to_value(shown).ok()
}

/// The type of an event, as the stream names it.
const fn kind(body: &EventBody) -> &'static str {
    match body {
        EventBody::MessageCreated { .. } => "message.created",
        EventBody::MessageUpdated { .. } => "message.updated",
        EventBody::ConversationCreated { .. } => "conversation.created",
        EventBody::ConversationUpdated { .. } => "conversation.updated",
        EventBody::ContactCreated { .. } => "contact.created",
        EventBody::ContactUpdated { .. } => "contact.updated",
        EventBody::ContactDeleted { .. } => "contact.deleted",
        EventBody::ChannelHealth { .. } => "channel.health",
        EventBody::BellRung { .. } => "bell.rung",
        EventBody::BellAcknowledged { .. } => "bell.acknowledged",
    }
}
