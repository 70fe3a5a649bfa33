//! The queue and the desk's rules together, with a clock that is turned: what a day without the other end does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use deskbell_sdk::Time;

use super::queue::{Ended, Queue};
use crate::desk::Decision;
use crate::desk::hooks::{NewDelivery, Outcome, RecordDeliveries, SettleAttempt};
use crate::id::{DeliveryId, HookId, Ids};
use crate::store::Store;
use crate::store::draft::Draft;
use crate::store::entry::{
    Entry, HookAttempt, HookDeliveryEntry, HookDeliveryState, HookEntry, HookKind, OpenHookDelivery,
};
use crate::store::memory::MemoryStore;

const HOOK: HookId = HookId(7);
const BEGIN_MS: i64 = 1_790_000_000_000;
const HOUR_MS: i64 = 60 * 60 * 1000;
const LANES: u64 = 5;
/// The pauses of the configuration where it says nothing, in milliseconds.
const PAUSES_MS: [i64; 11] = [
    1_000, 5_000, 30_000, 300_000, 1_800_000, 7_200_000, 18_000_000, 36_000_000, 50_400_000,
    72_000_000, 86_400_000,
];

/// A hook whose other end is down from one time to another.
struct World {
    store: MemoryStore,
    ids: Ids,
    queue: Queue,
    now_ms: i64,
    down_ms: std::ops::Range<i64>,
    /// The numbers of the events of each lane, as they were taken.
    taken: BTreeMap<u64, Vec<u64>>,
    attempts: usize,
}

impl World {
    fn new(down_ms: std::ops::Range<i64>) -> Self {
        let mut world = Self {
            store: MemoryStore::new(),
            ids: Ids::after(0, 1),
            queue: Queue::default(),
            now_ms: BEGIN_MS,
            down_ms,
            taken: BTreeMap::new(),
            attempts: 0,
        };
        let hook = HookEntry {
            id: HOOK,
            kind: HookKind::Webhook,
            url: "https://hooks.example".to_owned(),
            events: BTreeSet::from(["channel.health".to_owned()]),
            channels: None,
            escalation: false,
            enabled: true,
            disabled_reason: None,
            secret: None,
            former_secret: None,
            access_token: None,
            created_at: Time::from_millis(BEGIN_MS),
            from_seq: 0,
            replay: None,
            failing_since: None,
            version: 0,
            command: None,
        };
        let mut draft = Draft::new(&world.store, &mut world.ids, Time::from_millis(BEGIN_MS));
        draft.put(hook.put(HOOK.key().to_vec()));
        let group = draft.into_group();
        world.store.commit(group).expect("memory");
        world.know_hook();
        world
    }

    fn know_hook(&mut self) {
        let all = BTreeSet::from([HOOK]);
        self.queue.set_hooks(&all, &all);
    }

    fn decide<D: Decision>(&mut self, decision: &D) -> D::Answer {
        let now = Time::from_millis(self.now_ms);
        let mut draft = Draft::new(&self.store, &mut self.ids, now);
        let answer = decision.decide(&mut draft).expect("memory");
        let group = draft.into_group();
        self.store.commit(group).expect("memory");
        answer
    }

    fn happens(&mut self, seq: u64) {
        let new = NewDelivery {
            hook: HOOK,
            seq,
            event: "channel.health".to_owned(),
            event_at: Time::from_millis(self.now_ms),
            lane: seq % LANES,
            conversation: None,
            contact: None,
            ring: None,
            message: None,
            hops: 0,
            body: seq.to_string(),
        };
        let record = RecordDeliveries {
            new: vec![new],
            to: Some(seq),
            replayed: None,
        };
        for entry in self.decide(&record) {
            let due_at = entry.due_at.unwrap_or(entry.created_at);
            self.queue.add(HOOK, entry.lane, entry.id, due_at);
        }
    }

    /// As after a restart: all that is known is what the store has.
    fn forget(&mut self) {
        self.queue = Queue::default();
        let open = OpenHookDelivery::scan(&self.store, &[], None, usize::MAX).expect("memory");
        for (key, open) in open {
            let (hook, id) = HookDeliveryEntry::of_key(&key).expect("a key");
            self.queue.add(hook, open.lane, id, open.due_at);
        }
        self.know_hook();
        let hook = HookEntry::get(&self.store, &HOOK.key());
        if hook
            .expect("memory")
            .expect("there")
            .failing_since
            .is_some()
        {
            self.queue.set_down(HOOK);
        }
    }

    /// Tries all that is due, as often as something is.
    fn work(&mut self) {
        loop {
            let due = self.queue.due(Time::from_millis(self.now_ms));
            if due.is_empty() {
                return;
            }
            for (_, lane, id) in due {
                self.attempt(lane, id);
            }
        }
    }

    fn attempt(&mut self, lane: u64, id: DeliveryId) {
        self.attempts += 1;
        let now = Time::from_millis(self.now_ms);
        let is_down = self.down_ms.contains(&self.now_ms);
        let entry = HookDeliveryEntry::get(&self.store, &HookDeliveryEntry::key(HOOK, id));
        let entry = entry.expect("memory").expect("there");
        if !is_down {
            let seq = entry.seq.expect("an event");
            self.taken.entry(lane).or_default().push(seq);
        }
        let (outcome, ended) = if is_down {
            (Outcome::Later(None), Ended::Trouble(None))
        } else {
            (Outcome::Taken, Ended::Taken)
        };
        let settle = SettleAttempt {
            hook: HOOK,
            delivery: id,
            attempt: HookAttempt {
                at: now,
                took_ms: 1,
                status: Some(if is_down { 503 } else { 200 }),
                error: None,
                answer: None,
            },
            outcome,
            pauses_ms: Arc::from(PAUSES_MS),
            jitter: 0.5,
        };
        let again = self.decide(&settle);
        self.queue.settle(HOOK, lane, id, again);
        self.queue.pace(HOOK, ended, now);
    }
}

/// Turns the clock through `hours`, with an event every ten minutes for as long as `events_for`, and a restart now and then.
fn live(world: &mut World, hours: i64, events_for: i64) -> u64 {
    let mut seq = 0;
    let mut next_event_ms = BEGIN_MS;
    let ends_ms = BEGIN_MS + hours * HOUR_MS;
    let mut restart_ms = BEGIN_MS + 5 * HOUR_MS;
    while world.now_ms < ends_ms {
        if world.now_ms >= next_event_ms && world.now_ms < BEGIN_MS + events_for * HOUR_MS {
            seq += 1;
            world.happens(seq);
            next_event_ms += 10 * 60 * 1000;
        }
        if world.now_ms >= restart_ms {
            world.forget();
            restart_ms += 7 * HOUR_MS;
        }
        world.work();
        let wait_ms = world.queue.wait_ms(Time::from_millis(world.now_ms));
        // As the task does: it sleeps until something is due, but never for long.
        world.now_ms += wait_ms.unwrap_or(60_000).clamp(1, 60_000);
    }
    seq
}

#[test]
fn f34_a_day_without_the_other_end_loses_nothing_and_keeps_the_order() {
    for down_hours in [1, 24, 48] {
        let from_ms = BEGIN_MS + 2 * HOUR_MS;
        let back_ms = from_ms + down_hours * HOUR_MS;
        let mut world = World::new(from_ms..back_ms);
        // Where every conversation has something that was tried in vain, the next try may be most of a day away.
        let all = live(&mut world, down_hours + 44, down_hours + 4);
        for (lane, taken) in &world.taken {
            let wanted: Vec<u64> = (1..=all).filter(|seq| seq % LANES == *lane).collect();
            assert_eq!(*taken, wanted, "lane {lane} after {down_hours} hours");
        }
        assert_eq!(world.taken.len(), LANES as usize);
        assert_eq!(world.queue.all_waiting(), 0);
        let log = HookDeliveryEntry::scan(&world.store, &[], None, usize::MAX).expect("memory");
        let delivered = |entry: &HookDeliveryEntry| entry.state == HookDeliveryState::Delivered;
        assert_eq!(log.len() as u64, all);
        assert!(log.iter().all(|(_, entry)| delivered(entry)));
        // While it is down it is asked now and then.
        let asked = world.attempts as u64 - all;
        assert!(
            asked < 100 * down_hours.unsigned_abs(),
            "{asked} in {down_hours} hours"
        );
    }
}

#[test]
fn f34_once_it_is_back_all_that_waits_comes_within_minutes() {
    // An hour of events, most of which have been tried in vain so often that their next try is most of a day away.
    let back_ms = BEGIN_MS + 50 * HOUR_MS;
    let mut world = World::new(BEGIN_MS..back_ms);
    let all = live(&mut world, 51, 1);
    let taken: usize = world.taken.values().map(Vec::len).sum();
    assert_eq!((all, taken), (6, 6));
    let log = HookDeliveryEntry::scan(&world.store, &[], None, usize::MAX).expect("memory");
    for (_, entry) in log {
        let last = entry.attempts.last().expect("it was tried");
        let late_ms = last.at.as_millis() - back_ms;
        assert!((0..11 * 60 * 1000).contains(&late_ms), "{late_ms} ms later");
        assert!(
            entry.tries < 12,
            "what only asks is no try: {}",
            entry.tries
        );
    }
}

#[test]
fn f34_one_that_never_comes_back_is_given_up_visibly_after_days() {
    let mut world = World::new(BEGIN_MS..i64::MAX);
    let all = live(&mut world, 24 * 6, 1);
    let log = HookDeliveryEntry::scan(&world.store, &[], None, usize::MAX).expect("memory");
    let first = log.iter().filter(|(_, entry)| entry.seq <= Some(LANES));
    assert_eq!(log.len() as u64, all);
    for (_, entry) in first {
        assert_eq!(entry.state, HookDeliveryState::Dead, "{:?}", entry.seq);
        let tried_ms = entry.attempts.last().map_or(0, |last| last.at.as_millis()) - BEGIN_MS;
        assert!(tried_ms > 72 * HOUR_MS, "given up after {tried_ms} ms");
    }
}
