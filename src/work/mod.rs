//! The runtime of work items: what was decided together with an event and is still to be done.
//!
//! Items stand in lanes, one a conversation. A lane is carried out in order by a task of its own, so that a dead
//! platform or a doubtful send delays nobody else. Nothing is in memory only: after a crash the items are read again,
//! and one that was being attempted is looked into before anything else is done.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use deskbell_sdk::Time;

use crate::app::App;
use crate::desk::outbox::Next;
use crate::id::{ConversationId, WorkId};
use crate::store::entry::{Entry, WorkEntry};

/// How many items are read at once.
const BATCH: usize = 512;
/// How soon an item is tried again whose step could not be recorded.
const STORE_WAIT: Duration = Duration::from_millis(500);

/// The lanes that have something to do.
#[derive(Debug, Default)]
pub struct Lanes {
    waiting: Mutex<HashMap<ConversationId, VecDeque<(WorkId, Time)>>>,
}

impl Lanes {
    fn lock(&self) -> MutexGuard<'_, HashMap<ConversationId, VecDeque<(WorkId, Time)>>> {
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
    fn add(&self, entry: &WorkEntry) -> bool {
        let mut lanes = self.lock();
        let lane = lanes.entry(entry.conversation).or_default();
        lane.push_back((entry.id, entry.due_at));
        lane.len() == 1
    }

    /// The item that is due next in a lane.
    fn front(&self, lane: ConversationId) -> Option<(WorkId, Time)> {
        self.lock().get(&lane)?.front().copied()
    }

    /// The front item is done with. Says whether the lane has another.
    fn pop(&self, lane: ConversationId) -> bool {
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

    fn due(&self, lane: ConversationId, at: Time) {
        if let Some(front) = self.lock().get_mut(&lane).and_then(VecDeque::front_mut) {
            front.1 = at;
        }
    }
}

/// Takes up what is on record, and then what comes, until the daemon stops.
pub async fn run(app: App) {
    let mut head = app.writer.head();
    let mut last: Option<Vec<u8>> = None;
    loop {
        head.borrow_and_update();
        if let Err(error) = take_up(&app, &mut last) {
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

/// Takes up the items behind `last`: ids grow, so that what is new is always behind.
fn take_up(app: &App, last: &mut Option<Vec<u8>>) -> crate::store::Found<()> {
    loop {
        let items = WorkEntry::scan(&*app.store, &[], last.as_deref(), BATCH)?;
        let whole = items.len() < BATCH;
        for (key, entry) in items {
            *last = Some(key);
            if app.lanes.add(&entry) {
                tokio::spawn(lane(Arc::clone(app), entry.conversation));
            }
        }
        if whole {
            return Ok(());
        }
    }
}

/// Carries out a lane until it is empty.
async fn lane(app: App, lane: ConversationId) {
    while let Some((work, due_at)) = app.lanes.front(lane) {
        let wait = due_at.as_millis() - app.clock.now().as_millis();
        if let Ok(wait_ms) = u64::try_from(wait) {
            tokio::select! {
                () = app.stopping.cancelled() => return,
                () = tokio::time::sleep(Duration::from_millis(wait_ms)) => {}
            }
        }
        if app.stopping.is_cancelled() {
            return;
        }
        match crate::outbox::carry_out(&app, work).await {
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
