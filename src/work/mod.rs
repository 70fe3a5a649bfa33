//! The runtime of work items: what was decided together with an event and is still to be done.
//!
//! Executors plug in by [`Executor`] and do not know one another. Where order matters, [`lanes`] carries items out one
//! after the other, a lane for each conversation; where it does not, [`pool`] carries out a few at once for each
//! channel. Nothing is in memory only: after a crash the items are read again.

pub mod lanes;
pub mod pool;

use std::time::Duration;

use deskbell_sdk::Time;
use deskbell_sdk::client::BoxFuture;

use crate::app::App;
use crate::desk::Next;
use crate::id::WorkId;
use crate::store::Found;
use crate::store::entry::Entry;
use crate::writer::WriteError;

pub use lanes::Lanes;

/// How many items are read at once.
const BATCH: usize = 512;
/// The longest wait that is ever decided, and more: two hours, in milliseconds. A later due time was decided by a clock
/// that was ahead, or is read by one that was set back: nobody shall wait years for it.
const LONGEST_WAIT_MS: i64 = 2 * 60 * 60 * 1000;
/// How soon an item is tried again whose step could not be recorded.
const STORE_WAIT: Duration = Duration::from_millis(500);

/// An item as the runtime sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its id.
    pub id: WorkId,
    /// What it stands in line with: a conversation in [`lanes`], a channel in [`pool`].
    pub line: u64,
    /// When it is due.
    pub due_at: Time,
    /// Which of those that are due goes first in [`pool`]: the lowest.
    pub rank: i64,
}

/// The entries of a table behind `after` as items, for [`Executor::on_record`].
pub fn items<E: Entry>(
    app: &App,
    after: Option<&[u8]>,
    limit: usize,
    item: impl Fn(&E) -> Item,
) -> Found<Vec<(Vec<u8>, Item)>> {
    let entries = E::scan(&*app.store, &[], after, limit)?.into_iter();
    Ok(entries.map(|(key, entry)| (key, item(&entry))).collect())
}

/// Carries out items of one kind.
pub trait Executor: Send + Sync + 'static {
    /// The name in logs and metrics.
    fn name(&self) -> &'static str;

    /// Items on record behind the key `after`, by key, at most `limit`. Keys grow: what is new is always behind.
    fn on_record(
        &self,
        app: &App,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Found<Vec<(Vec<u8>, Item)>>;

    /// Takes an item one step further, and says what comes next for it.
    fn carry_out<'a>(
        &'a self,
        app: &'a App,
        work: WorkId,
    ) -> BoxFuture<'a, Result<Next, WriteError>>;
}

/// How long until something is due, in milliseconds.
fn wait_ms(due_at: Time, now: Time) -> u64 {
    let wait_ms = due_at.as_millis().saturating_sub(now.as_millis());
    if wait_ms > LONGEST_WAIT_MS {
        return 0;
    }
    u64::try_from(wait_ms).unwrap_or(0)
}

/// Reads what is new behind `last`, and moves it.
fn what_is_new(
    app: &App,
    executor: &dyn Executor,
    last: &mut Option<Vec<u8>>,
    mut take: impl FnMut(Item),
) -> Found<()> {
    loop {
        let items = executor.on_record(app, last.as_deref(), BATCH)?;
        let whole = items.len() < BATCH;
        for (key, item) in items {
            *last = Some(key);
            take(item);
        }
        if whole {
            return Ok(());
        }
    }
}
