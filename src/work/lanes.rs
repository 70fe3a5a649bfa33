//! Items in order: one lane a conversation, carried out by a task of its own, so that a dead platform or a doubtful send
//! delays nobody else.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use deskbell_sdk::Time;

use super::{Executor, Item, STORE_WAIT, wait_ms, what_is_new};
use crate::app::App;
use crate::desk::Next;
use crate::id::WorkId;

/// The lanes that have something to do.
#[derive(Debug, Default)]
pub struct Lanes {
    waiting: Mutex<HashMap<u64, VecDeque<(WorkId, Time)>>>,
}

impl Lanes {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, VecDeque<(WorkId, Time)>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many items wait, for the metrics.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().values().map(VecDeque::len).sum()
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Puts an item at the end of its lane. Says whether the lane was empty and needs a task.
    fn add(&self, item: Item) -> bool {
        let mut lanes = self.lock();
        let lane = lanes.entry(item.line).or_default();
        lane.push_back((item.id, item.due_at));
        lane.len() == 1
    }

    /// The item that is due next in a lane.
    fn front(&self, lane: u64) -> Option<(WorkId, Time)> {
        self.lock().get(&lane)?.front().copied()
    }

    /// The front item is done with. Says whether the lane has another.
    fn pop(&self, lane: u64) -> bool {
        let mut lanes = self.lock();
        let Some(items) = lanes.get_mut(&lane) else {
            return false;
        };
        items.pop_front();
        if items.is_empty() {
            lanes.remove(&lane);
            return false;
        }
        true
    }

    fn due(&self, lane: u64, at: Time) {
        if let Some(front) = self.lock().get_mut(&lane).and_then(VecDeque::front_mut) {
            front.1 = at;
        }
    }
}

/// Takes up what is on record, and then what comes, until the daemon stops.
pub async fn run(app: App, executor: Arc<dyn Executor>) {
    let mut head = app.writer.head();
    let mut last: Option<Vec<u8>> = None;
    loop {
        head.borrow_and_update();
        let taken = what_is_new(&app, &*executor, &mut last, |item| {
            if app.lanes.add(item) {
                tokio::spawn(lane(Arc::clone(&app), Arc::clone(&executor), item.line));
            }
        });
        if let Err(error) = taken {
            tracing::error!(%error, "waiting work cannot be read; it is tried again");
            tokio::time::sleep(STORE_WAIT).await;
            continue;
        }
        tokio::select! {
            () = app.stopping.cancelled() => return,
            changed = head.changed() => if changed.is_err() { return },
        }
    }
}

/// Carries out a lane until it is empty.
async fn lane(app: App, executor: Arc<dyn Executor>, lane: u64) {
    while let Some((work, due_at)) = app.lanes.front(lane) {
        let wait = Duration::from_millis(wait_ms(due_at, app.clock.now()));
        tokio::select! {
            () = app.stopping.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
        if app.stopping.is_cancelled() {
            return;
        }
        match executor.carry_out(&app, work).await {
            Ok(Next::At(due_at)) => app.lanes.due(lane, due_at),
            Ok(Next::Done) => {
                if !app.lanes.pop(lane) {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "a step of an answer could not be recorded; it is tried again");
                tokio::time::sleep(STORE_WAIT).await;
            }
        }
    }
}
