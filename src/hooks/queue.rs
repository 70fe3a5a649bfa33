//! What waits for hooks, in memory: whose turn it is. Pure; the time is an argument.
//!
//! The deliveries of one conversation go to a hook one after the other: the next only when the one before was taken or
//! given up. A hook has a few attempts at once, and only one while the other end is in trouble, with growing pauses; when
//! it takes something again, what waits for a later try is tried at once. Where all that waits for one that is down comes
//! much later, the first is tried before its time now and then, to see whether it is back.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use deskbell_sdk::Time;

use crate::desk::hooks::is_ahead;
use crate::id::{DeliveryId, HookId};

/// How many attempts are made at once for a hook.
const AT_ONCE: usize = 4;
/// After so many failures in a row the other end is down, and not just one delivery refused.
const DOWN_AFTER: u32 = 3;
/// The first pause of a hook in trouble, in milliseconds; it doubles.
const FIRST_PAUSE_MS: i64 = 500;
/// The longest pause of a hook in trouble, in milliseconds.
const LONGEST_PAUSE_MS: i64 = 60 * 1000;
/// How often a hook that is down is asked whether it is back, in milliseconds.
const PROBE_MS: i64 = 10 * 60 * 1000;

/// How an attempt ended, for the pace of its hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// It was taken.
    Taken,
    /// The other end is in trouble; not before so many milliseconds where it says so.
    Trouble(Option<i64>),
    /// The other end refused this one.
    Refused,
}

/// What waits.
#[derive(Debug, Default)]
pub(super) struct Queue {
    hooks: HashMap<HookId, Line>,
}

/// What waits for one hook.
#[derive(Debug, Default)]
struct Line {
    lanes: HashMap<u64, BTreeMap<DeliveryId, Time>>,
    /// The first of each lane that is not being tried.
    heads: BTreeSet<(Time, u64)>,
    running: HashMap<u64, DeliveryId>,
    waiting: usize,
    failures: u32,
    /// How many attempts are made at once; `None`: [`AT_ONCE`].
    at_once: Option<usize>,
    pause_until: Option<Time>,
    /// When it was last tried, in this run.
    tried_at: Option<Time>,
    is_off: bool,
}

impl Line {
    /// Puts the first of a lane among the heads, where none of the lane is being tried.
    fn raise(&mut self, lane: u64) {
        if self.running.contains_key(&lane) {
            return;
        }
        let first = self
            .lanes
            .get(&lane)
            .and_then(|lane| lane.first_key_value());
        if let Some((_, due_at)) = first {
            self.heads.insert((*due_at, lane));
        }
    }

    fn lower(&mut self, lane: u64) {
        let first = self
            .lanes
            .get(&lane)
            .and_then(|lane| lane.first_key_value());
        if let Some((_, due_at)) = first {
            self.heads.remove(&(*due_at, lane));
        }
    }

    fn add(&mut self, lane: u64, id: DeliveryId, due_at: Time) {
        self.lower(lane);
        if self
            .lanes
            .entry(lane)
            .or_default()
            .insert(id, due_at)
            .is_none()
        {
            self.waiting += 1;
        }
        self.raise(lane);
    }

    fn places(&self) -> usize {
        let most = if self.failures == 0 {
            self.at_once.unwrap_or(AT_ONCE)
        } else {
            1
        };
        most.saturating_sub(self.running.len())
    }

    fn next(&mut self, now: Time) -> Option<(u64, DeliveryId)> {
        if self.is_off
            || self.places() == 0
            || self.pause_until.is_some_and(|until| is_ahead(until, now))
        {
            return None;
        }
        let first = self.heads.first().filter(|(due_at, _)| *due_at <= now);
        let far = || {
            self.heads
                .last()
                .filter(|(due_at, _)| !is_ahead(*due_at, now))
        };
        let probe = || {
            self.heads
                .first()
                .filter(|_| self.probe_in_ms(now) == Some(0))
        };
        let (due_at, lane) = *first.or_else(far).or_else(probe)?;
        self.heads.remove(&(due_at, lane));
        let id = *self.lanes.get(&lane)?.first_key_value()?.0;
        self.running.insert(lane, id);
        Some((lane, id))
    }

    fn wait_ms(&self, now: Time) -> Option<i64> {
        if self.is_off || self.places() == 0 {
            return None;
        }
        let (due_at, _) = self.heads.first()?;
        let until_ms = |at: Time| at.as_millis().saturating_sub(now.as_millis()).max(0);
        let due_ms = self.probe_in_ms(now).map_or(until_ms(*due_at), |probe_ms| {
            probe_ms.min(until_ms(*due_at))
        });
        Some(
            self.pause_until
                .map_or(due_ms, |until| due_ms.max(until_ms(until))),
        )
    }

    /// How long until it is asked whether it is back, in milliseconds; `None`: it is not down.
    fn probe_in_ms(&self, now: Time) -> Option<i64> {
        if self.failures < DOWN_AFTER {
            return None;
        }
        let passed_ms = self.tried_at.map_or(PROBE_MS, |at| {
            now.as_millis().saturating_sub(at.as_millis())
        });
        // A clock that was set back asks at once.
        let is_sane = passed_ms >= 0;
        Some(if is_sane {
            (PROBE_MS - passed_ms).max(0)
        } else {
            0
        })
    }
}

impl Queue {
    /// Something waits.
    pub(super) fn add(&mut self, hook: HookId, lane: u64, id: DeliveryId, due_at: Time) {
        self.hooks.entry(hook).or_default().add(lane, id, due_at);
    }

    /// How many wait for a hook.
    #[must_use]
    pub(super) fn waiting(&self, hook: HookId) -> usize {
        self.hooks.get(&hook).map_or(0, |line| line.waiting)
    }

    /// How many wait in all.
    #[must_use]
    pub(super) fn all_waiting(&self) -> usize {
        self.hooks.values().map(|line| line.waiting).sum()
    }

    /// Which hooks are told something, from now on. One that is switched on begins without a pause; those that are gone are
    /// forgotten.
    pub(super) fn set_hooks(&mut self, on: &BTreeSet<HookId>, known: &BTreeSet<HookId>) {
        self.hooks
            .retain(|hook, line| known.contains(hook) || !line.running.is_empty());
        for (hook, line) in &mut self.hooks {
            let is_off = !on.contains(hook);
            if line.is_off && !is_off {
                (line.failures, line.pause_until) = (0, None);
            }
            line.is_off = is_off;
        }
        for hook in known {
            self.hooks.entry(*hook).or_default().is_off = !on.contains(hook);
        }
    }

    /// Makes so many attempts at once for a hook, and not the usual number.
    pub(super) fn set_at_once(&mut self, hook: HookId, most: usize) {
        self.hooks.entry(hook).or_default().at_once = Some(most);
    }

    /// A hook was in trouble before this run began: it is tried one by one, and when it takes something, all that waits
    /// follows at once.
    pub(super) fn set_down(&mut self, hook: HookId) {
        let line = self.hooks.entry(hook).or_default();
        line.failures = line.failures.max(DOWN_AFTER);
    }

    /// Takes out what is to be tried now.
    pub(super) fn due(&mut self, now: Time) -> Vec<(HookId, u64, DeliveryId)> {
        let mut due = Vec::new();
        for (hook, line) in &mut self.hooks {
            while let Some((lane, id)) = line.next(now) {
                due.push((*hook, lane, id));
            }
        }
        due
    }

    /// How long until something is due, in milliseconds; `None`: nothing waits for a time.
    #[must_use]
    pub(super) fn wait_ms(&self, now: Time) -> Option<i64> {
        self.hooks
            .values()
            .filter_map(|line| line.wait_ms(now))
            .min()
    }

    /// An attempt has ended: the delivery is due again, or done with.
    pub(super) fn settle(&mut self, hook: HookId, lane: u64, id: DeliveryId, again: Option<Time>) {
        let Some(line) = self.hooks.get_mut(&hook) else {
            return;
        };
        line.lower(lane);
        line.running.remove(&lane);
        if let Some(waiting) = line.lanes.get_mut(&lane) {
            let was_there = match again {
                Some(due_at) => {
                    waiting.insert(id, due_at);
                    false
                }
                None => waiting.remove(&id).is_some(),
            };
            if waiting.is_empty() {
                line.lanes.remove(&lane);
            }
            line.waiting -= usize::from(was_there);
        }
        line.raise(lane);
    }

    /// Takes in how an attempt ended, for the pace of its hook.
    pub(super) fn pace(&mut self, hook: HookId, ended: Ended, now: Time) {
        let Some(line) = self.hooks.get_mut(&hook) else {
            return;
        };
        line.tried_at = Some(now);
        match ended {
            Ended::Trouble(after_ms) => {
                line.failures = line.failures.saturating_add(1);
                let grown_ms = FIRST_PAUSE_MS << (line.failures - 1).min(10);
                let pause_ms = grown_ms.min(LONGEST_PAUSE_MS).max(after_ms.unwrap_or(0));
                line.pause_until = Some(now.plus_millis(pause_ms));
            }
            // The other end works, whatever it thinks of this one.
            Ended::Taken | Ended::Refused => {
                let was_down = line.failures >= DOWN_AFTER;
                (line.failures, line.pause_until) = (0, None);
                if was_down && ended == Ended::Taken {
                    line.hurry(now);
                }
            }
        }
    }
}

impl Line {
    /// What waits for a later try is tried now: what kept it is over.
    fn hurry(&mut self, now: Time) {
        for (lane, waiting) in &mut self.lanes {
            if self.running.contains_key(lane) {
                continue;
            }
            if let Some(mut first) = waiting.first_entry()
                && *first.get() > now
            {
                self.heads.remove(&(*first.get(), *lane));
                first.insert(now);
                self.heads.insert((now, *lane));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOOK: HookId = HookId(1);

    fn at(seconds: i64) -> Time {
        Time::from_millis(1_800_000_000_000 + seconds * 1000)
    }

    fn queue(hooks: &[u64]) -> Queue {
        let mut queue = Queue::default();
        let all: BTreeSet<_> = hooks.iter().copied().map(HookId).collect();
        queue.set_hooks(&all, &all);
        queue
    }

    fn ids(due: &[(HookId, u64, DeliveryId)]) -> Vec<u64> {
        let mut ids: Vec<_> = due.iter().map(|(_, _, id)| id.0).collect();
        ids.sort_unstable();
        ids
    }

    #[test]
    fn f34_one_of_a_conversation_at_a_time_and_in_order() {
        let mut queue = queue(&[1]);
        for id in 1..=3 {
            queue.add(HOOK, 7, DeliveryId(id), at(0));
        }
        queue.add(HOOK, 8, DeliveryId(4), at(0));
        assert_eq!(ids(&queue.due(at(0))), [1, 4]);
        assert!(queue.due(at(0)).is_empty(), "both are being tried");
        queue.settle(HOOK, 7, DeliveryId(1), Some(at(30)));
        assert!(queue.due(at(29)).is_empty(), "what is behind it waits");
        assert_eq!(queue.wait_ms(at(29)), Some(1000));
        assert_eq!(ids(&queue.due(at(30))), [1]);
        queue.settle(HOOK, 7, DeliveryId(1), None);
        assert_eq!(ids(&queue.due(at(30))), [2]);
        assert_eq!(queue.waiting(HOOK), 3);
    }

    #[test]
    fn f34_a_hook_that_hangs_holds_up_no_other() {
        let mut queue = queue(&[1, 2]);
        for lane in 0..20 {
            queue.add(HOOK, lane, DeliveryId(lane), at(0));
            queue.add(HookId(2), lane, DeliveryId(100 + lane), at(0));
        }
        assert_eq!(queue.due(at(0)).len(), 2 * AT_ONCE);
        queue.settle(HookId(2), 0, DeliveryId(100), None);
        let next = queue.due(at(0));
        assert_eq!((next.len(), next[0].0), (1, HookId(2)));
    }

    #[test]
    fn f34_a_hook_in_trouble_is_tried_one_by_one_and_catches_up_at_once() {
        let mut queue = queue(&[1]);
        for lane in 0..10 {
            queue.add(HOOK, lane, DeliveryId(lane), at(0));
        }
        let first = queue.due(at(0));
        for (hook, lane, id) in first {
            queue.settle(hook, lane, id, Some(at(36_000)));
            queue.pace(hook, Ended::Trouble(None), at(0));
        }
        assert!(queue.due(at(1)).is_empty(), "it pauses");
        let probe = queue.due(at(10));
        assert_eq!(probe.len(), 1);
        queue.settle(HOOK, probe[0].1, probe[0].2, None);
        queue.pace(HOOK, Ended::Taken, at(10));
        let mut all = Vec::new();
        loop {
            let due = queue.due(at(11));
            if due.is_empty() {
                break;
            }
            for (hook, lane, id) in due {
                queue.settle(hook, lane, id, None);
                all.push(id);
            }
        }
        assert_eq!(all.len(), 9, "also those that were due in ten hours");
        assert_eq!(queue.all_waiting(), 0);
    }

    #[test]
    fn f34_one_that_is_down_is_asked_now_and_then_whether_it_is_back() {
        let mut queue = queue(&[1]);
        for lane in 0..3 {
            queue.add(HOOK, lane, DeliveryId(lane), at(0));
        }
        for (hook, lane, id) in queue.due(at(0)) {
            queue.settle(hook, lane, id, Some(at(36_000)));
            queue.pace(hook, Ended::Trouble(None), at(0));
        }
        assert_eq!(queue.wait_ms(at(10)), Some(590_000));
        assert!(queue.due(at(599)).is_empty());
        let probe = queue.due(at(600));
        assert_eq!(probe.len(), 1);
        queue.settle(HOOK, probe[0].1, probe[0].2, Some(at(36_000)));
        queue.pace(HOOK, Ended::Trouble(None), at(601));
        assert!(queue.due(at(1200)).is_empty());
        let probe = queue.due(at(1201));
        queue.settle(HOOK, probe[0].1, probe[0].2, None);
        queue.pace(HOOK, Ended::Taken, at(1201));
        assert_eq!(queue.due(at(1201)).len(), 2, "it is back");
    }

    #[test]
    fn one_that_is_refused_alone_slows_nothing_down_and_is_not_hurried() {
        let mut queue = queue(&[1]);
        queue.add(HOOK, 1, DeliveryId(1), at(0));
        queue.add(HOOK, 2, DeliveryId(2), at(0));
        for (hook, lane, id) in queue.due(at(0)) {
            if id.0 == 1 {
                queue.settle(hook, lane, id, Some(at(300)));
                queue.pace(hook, Ended::Refused, at(0));
            } else {
                queue.settle(hook, lane, id, None);
                queue.pace(hook, Ended::Taken, at(0));
            }
        }
        assert!(queue.due(at(299)).is_empty());
        assert_eq!(ids(&queue.due(at(300))), [1]);
    }

    #[test]
    fn what_the_other_end_asks_for_is_kept_and_what_is_off_waits() {
        let mut queue = queue(&[1]);
        queue.add(HOOK, 1, DeliveryId(1), at(0));
        queue.add(HOOK, 2, DeliveryId(2), at(0));
        let due = queue.due(at(0));
        queue.settle(HOOK, due[0].1, due[0].2, Some(at(0)));
        queue.pace(HOOK, Ended::Trouble(Some(120_000)), at(0));
        queue.settle(HOOK, due[1].1, due[1].2, Some(at(0)));
        assert!(queue.due(at(119)).is_empty());
        let known = BTreeSet::from([HOOK]);
        queue.set_hooks(&BTreeSet::new(), &known);
        assert!(queue.due(at(1000)).is_empty());
        assert_eq!(queue.wait_ms(at(1000)), None);
        queue.set_hooks(&known, &known);
        assert_eq!(ids(&queue.due(at(1))), [1, 2], "and begins without a pause");
        queue.set_hooks(&BTreeSet::new(), &BTreeSet::new());
        assert_eq!(
            queue.waiting(HOOK),
            2,
            "it goes when its attempts have ended"
        );
    }

    #[test]
    fn f11_a_clock_that_was_set_back_lets_nothing_wait_for_years() {
        let mut queue = queue(&[1]);
        queue.add(HOOK, 1, DeliveryId(1), at(60));
        queue.add(HOOK, 2, DeliveryId(2), at(10_000_000));
        assert_eq!(ids(&queue.due(at(0))), [2]);
        assert_eq!(ids(&queue.due(at(60))), [1]);
    }
}
