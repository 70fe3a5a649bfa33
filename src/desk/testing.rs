//! A desk for the tests of its rules.

use deskbell_sdk::{Event, Time};

use super::arrivals::{Arrivals, Outcome};
use super::{Decision, after_hours, bell};
use crate::id::Ids;
use crate::store::draft::Draft;
use crate::store::memory::MemoryStore;
use crate::store::record::{ChannelNo, MessageRecord};
use crate::store::{Read, Scope, Store};

/// The channel of the tests.
pub(super) const CHANNEL: ChannelNo = ChannelNo(1);
/// The platform's times lie around this one; the deliveries arrive an hour later.
pub(super) const BASE_MS: i64 = 1_790_000_000_000;

/// A desk in memory with a clock that stands until it is turned.
pub(super) struct Desk {
    pub(super) store: MemoryStore,
    ids: Ids,
    pub(super) now: i64,
    /// Who works and sees the channel.
    pub(super) people: Vec<bell::Person>,
    /// The channel in which something comes.
    pub(super) channel: ChannelNo,
}

impl Desk {
    pub(super) fn new() -> Self {
        Self {
            store: MemoryStore::new(),
            ids: Ids::after(0, 1),
            now: BASE_MS + 3_600_000,
            people: Vec::new(),
            channel: CHANNEL,
        }
    }

    pub(super) fn decide<D: Decision>(&mut self, decisions: &[D]) -> Vec<D::Answer> {
        self.now += 1;
        let people = self.people.clone();
        let duty = move |_: &crate::store::entry::RingEntry, _| Ok(people.clone());
        let mut around = super::telling::Around::new(&duty);
        let mut draft = Draft::new(&self.store, &mut self.ids, Time::from_millis(self.now));
        let answers = decisions
            .iter()
            .map(|decision| {
                let from = draft.event_count();
                let answer = decision.decide(&mut draft).expect("memory");
                let steps = bell::Steps::default();
                bell::follow(&mut draft, from, &steps).expect("memory");
                super::telling::address(&mut draft, from, &mut around).expect("memory");
                after_hours::follow(&mut draft, from, &steps).expect("memory");
                answer
            })
            .collect();
        let group = draft.into_group();
        self.store.commit(group).expect("memory");
        answers
    }

    pub(super) fn deliver(&mut self, events: &[Event]) -> Outcome {
        let received_at = Time::from_millis(self.now);
        let arrivals = events.iter().map(|event| Arrivals {
            events: vec![(self.channel, event.clone())],
            received_at,
            raw: None,
            cursor: None,
        });
        let outcomes = self.decide(&arrivals.collect::<Vec<_>>());
        outcomes
            .into_iter()
            .fold(Outcome::default(), |mut sum, one| {
                sum.new += one.new;
                sum.known += one.known;
                sum
            })
    }

    pub(super) fn message(&self, external_id: &str) -> MessageRecord {
        let scope = Scope::whole_desk();
        let id = self
            .store
            .message_by_external_id(&scope, CHANNEL, external_id)
            .expect("memory");
        let id = id.expect("the message is there");
        (*self
            .store
            .message(&scope, CHANNEL, id)
            .expect("memory")
            .expect("there"))
        .clone()
    }
}
