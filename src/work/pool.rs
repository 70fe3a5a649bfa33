//! Items without an order: a few at once for each channel, so that a dead host delays no other channel.
//!
//! Of the items of a channel that are due, the one with the lowest rank goes first; every fourth time it is the one that
//! is due longest, so that none starves.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use deskbell_sdk::Time;
use tokio::task::{Id, JoinSet};
use tokio::time::Instant;

use super::{Executor, Item, STORE_WAIT, wait_ms, what_is_new};
use crate::app::App;
use crate::desk::Next;
use crate::id::{WorkId, given_at};
use crate::writer::WriteError;

/// The longest sleep: a clock that was set or a machine that slept is noticed after it.
const LONGEST_SLEEP: Duration = Duration::from_secs(20);
/// How long an item is left alone whose step the store did not take, in milliseconds. Nobody waits for it, and a store
/// in trouble has better things to do.
const REFUSED_WAIT_MS: i64 = 5 * 1000;
/// How long an item is left alone whose execution panicked, in milliseconds.
const PANIC_WAIT_MS: i64 = 60 * 1000;
/// Every so many times the item that is due longest goes first.
const LONGEST_DUE_EVERY: u32 = 4;

/// The items of one channel.
#[derive(Debug, Default)]
struct Line {
    waiting: BTreeMap<WorkId, Item>,
    running: usize,
    turns: u32,
}

impl Line {
    /// Takes the item out that goes next, where one is due.
    fn next(&mut self, now: Time) -> Option<Item> {
        let waiting = self.waiting.values();
        let due = waiting.filter(|item| wait_ms(item.due_at, now) == 0);
        let next = if self.turns % LONGEST_DUE_EVERY == LONGEST_DUE_EVERY - 1 {
            due.min_by_key(|item| (item.due_at, item.id))
        } else {
            due.min_by_key(|item| (item.rank, item.id))
        };
        let next = *next?;
        self.turns = self.turns.wrapping_add(1);
        self.waiting.remove(&next.id)
    }
}

/// Takes up what is on record, and then what comes, `at_once` for each channel, until the daemon stops.
pub async fn run(app: App, executor: Arc<dyn Executor>, at_once: usize) {
    let mut head = app.writer.head();
    let mut last: Option<Vec<u8>> = None;
    let mut lines: HashMap<u64, Line> = HashMap::new();
    let mut running: JoinSet<Result<Next, WriteError>> = JoinSet::new();
    let mut items: HashMap<Id, Item> = HashMap::new();
    let mut wake_at = Instant::now();
    loop {
        head.borrow_and_update();
        let mut is_new = false;
        let taken = what_is_new(&app, &*executor, &mut last, |item| {
            lines
                .entry(item.line)
                .or_default()
                .waiting
                .insert(item.id, item);
            is_new = true;
        });
        if let Err(error) = taken {
            tracing::error!(%error, "waiting work cannot be read; it is tried again");
            tokio::time::sleep(STORE_WAIT).await;
            continue;
        }
        // Most of what the log tells is nothing of ours: then there is nothing to look through.
        if is_new || Instant::now() >= wake_at {
            let now = app.clock.now();
            for line in lines.values_mut() {
                while line.running < at_once
                    && let Some(item) = line.next(now)
                {
                    line.running += 1;
                    let (app, executor) = (Arc::clone(&app), Arc::clone(&executor));
                    let step = async move { executor.carry_out(&app, item.id).await };
                    items.insert(running.spawn(step).id(), item);
                }
            }
            tell(&*executor, &lines, &items, now);
            wake_at = Instant::now() + until_due(&lines, at_once, now);
        }
        tokio::select! {
            () = app.stopping.cancelled() => return,
            changed = head.changed() => if changed.is_err() { return },
            () = tokio::time::sleep_until(wake_at) => {}
            Some(ended) = running.join_next_with_id() => {
                let now = app.clock.now();
                let (id, next) = match ended {
                    Ok((id, Ok(next))) => (id, next),
                    Ok((id, Err(error))) => {
                        tracing::warn!(work = executor.name(), %error, "a step could not be recorded; it is tried again");
                        (id, Next::At(now.plus_millis(REFUSED_WAIT_MS)))
                    }
                    Err(error) => {
                        tracing::error!(work = executor.name(), "carrying out an item panicked; it is tried again");
                        (error.id(), Next::At(now.plus_millis(PANIC_WAIT_MS)))
                    }
                };
                settle(&mut lines, items.remove(&id), next);
                wake_at = Instant::now();
            }
        }
    }
}

/// An item's step has ended.
fn settle(lines: &mut HashMap<u64, Line>, item: Option<Item>, next: Next) {
    let Some(item) = item else {
        return;
    };
    let line = lines.entry(item.line).or_default();
    line.running = line.running.saturating_sub(1);
    if let Next::At(due_at) = next {
        line.waiting.insert(item.id, Item { due_at, ..item });
    } else if line.running == 0 && line.waiting.is_empty() {
        lines.remove(&item.line);
    }
}

/// How long until an item is due in a line that has a place.
fn until_due(lines: &HashMap<u64, Line>, at_once: usize, now: Time) -> Duration {
    let next = lines
        .values()
        .filter(|line| line.running < at_once)
        .flat_map(|line| line.waiting.values())
        .map(|item| wait_ms(item.due_at, now))
        .min();
    next.map_or(LONGEST_SLEEP, |wait_ms| {
        Duration::from_millis(wait_ms.max(1)).min(LONGEST_SLEEP)
    })
}

/// Tells the metrics how much waits, and how old the oldest is.
fn tell(
    executor: &dyn Executor,
    lines: &HashMap<u64, Line>,
    running: &HashMap<Id, Item>,
    now: Time,
) {
    let float = |number: u64| f64::from(u32::try_from(number).unwrap_or(u32::MAX));
    let waiting = lines.values().flat_map(|line| line.waiting.keys());
    let all = waiting.chain(running.values().map(|item| &item.id));
    let (mut count, mut oldest) = (0_u64, None);
    for id in all {
        count += 1;
        oldest = oldest.map_or(Some(*id), |oldest: WorkId| Some(oldest.min(*id)));
    }
    let age_ms = oldest.map_or(0, |id| now.as_millis() - given_at(id.0).as_millis());
    let age_seconds = u64::try_from(age_ms / 1000).unwrap_or(0);
    metrics::gauge!("deskbell_work_waiting", "work" => executor.name()).set(float(count));
    metrics::gauge!("deskbell_work_oldest_seconds", "work" => executor.name())
        .set(float(age_seconds));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(id: u64, due_ms: i64, rank: i64) -> Item {
        Item {
            id: WorkId(id),
            line: 1,
            due_at: Time::from_millis(due_ms),
            rank,
        }
    }

    #[test]
    fn the_lowest_rank_goes_first_and_none_starves() {
        let mut line = Line::default();
        for id in 1..=100_u64 {
            let rank = -i64::try_from(id).expect("small");
            line.waiting.insert(WorkId(id), item(id, rank.abs(), rank));
        }
        line.waiting
            .insert(WorkId(500), item(500, 10_000, i64::MIN));
        let now = Time::from_millis(5_000);
        let order: Vec<u64> = std::iter::from_fn(|| line.next(now))
            .map(|item| item.id.0)
            .collect();
        assert_eq!(order[..8], [100, 99, 98, 1, 97, 96, 95, 2]);
        assert_eq!(order.len(), 100, "what is not due waits");
        assert!(line.next(now).is_none());
        assert_eq!(
            line.next(Time::from_millis(10_000)).map(|item| item.id.0),
            Some(500)
        );
    }

    #[test]
    fn f11_a_clock_that_was_set_back_lets_nobody_wait_for_years() {
        let mut line = Line::default();
        line.waiting.insert(WorkId(1), item(1, 10_000, 0));
        line.waiting.insert(WorkId(2), item(2, 10_000_000_000, 0));
        let now = Time::from_millis(0);
        assert_eq!(line.next(now).map(|item| item.id.0), Some(2));
        assert!(line.next(now).is_none(), "what is due in ten seconds waits");
    }

    #[test]
    fn a_full_line_makes_nobody_wake_for_it() {
        let mut lines: HashMap<u64, Line> = HashMap::new();
        let full = lines.entry(1).or_default();
        full.running = 4;
        full.waiting.insert(WorkId(1), item(1, 0, 0));
        let now = Time::from_millis(1_000);
        assert_eq!(until_due(&lines, 4, now), LONGEST_SLEEP);
        lines
            .entry(2)
            .or_default()
            .waiting
            .insert(WorkId(2), item(2, 1_250, 0));
        assert_eq!(until_due(&lines, 4, now), Duration::from_millis(250));
    }
}
