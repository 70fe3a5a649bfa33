//! The inbox in memory: a projection of the log that knows every conversation that is not resolved, and spam.
//!
//! It answers what the inbox asks most: who waits longest, what is mine, how many there are of each, at the same cost
//! whether fifty conversations are open or fifty thousand. It keeps some 300 bytes for each of them, and nothing that
//! the store does not have: at the start, and wherever the log no longer reaches back to where it stands, it is built
//! anew from the conversations. A reader first brings it up to the head of the log, so that a write is visible to every
//! read that starts after its answer; [`follow`] does the same beforehand, so that a reader has little to do.

mod rows;
#[cfg(test)]
mod tests;
mod wanted;

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use deskbell_sdk::Time;

use crate::id::{ConversationId, UserId};
use crate::store::{Found, Read, Scope};
pub use rows::Counts;
use rows::Rows;
pub use wanted::{Order, Statuses, Wanted};

/// How many conversations or events are read at once.
const BATCH: usize = 500;

/// The inbox.
#[derive(Debug, Default)]
pub struct Inbox {
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The number of the newest event that is taken in; `None`: it is still to be built.
    position: Option<u64>,
    rows: Rows,
}

impl Inbox {
    /// At most `limit` of the conversations that are wanted and stand behind a place in this order, each with the time by
    /// which it is ordered.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn page(
        &self,
        store: &dyn Read,
        scope: &Scope,
        wanted: &Wanted,
        order: Order,
        behind: Option<(Time, ConversationId)>,
        limit: usize,
    ) -> Found<Vec<(Time, ConversationId)>> {
        let state = self.current(store)?;
        Ok(state.rows.page(scope, wanted, order, behind, limit))
    }

    /// How many conversations are wanted; `most` where there are so many or more.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn count(
        &self,
        store: &dyn Read,
        scope: &Scope,
        wanted: &Wanted,
        most: usize,
    ) -> Found<usize> {
        let state = self.current(store)?;
        Ok(state
            .rows
            .page(scope, wanted, Order::Activity, None, most)
            .len())
    }

    /// How many conversations a person sees in each of the views that everybody has.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn counts(&self, store: &dyn Read, scope: &Scope, user: Option<UserId>) -> Found<Counts> {
        Ok(self.current(store)?.rows.counts(scope, user))
    }

    /// The sleeping conversations that are to wake at or before `now`, at most `limit`, and when the next one is to.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn sleepers(
        &self,
        store: &dyn Read,
        now: Time,
        limit: usize,
    ) -> Found<(Vec<ConversationId>, Option<Time>)> {
        Ok(self.current(store)?.rows.sleepers(now, limit))
    }

    /// Lets go of a conversation that the store no longer has.
    pub fn gone(&self, conversation: ConversationId) {
        self.write().rows.remove(conversation);
    }

    /// Brings it up to the head of the log, or builds it.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn catch_up(&self, store: &dyn Read) -> Found<()> {
        self.current(store).map(drop)
    }

    fn current(&self, store: &dyn Read) -> Found<RwLockReadGuard<'_, State>> {
        let head = store.head();
        loop {
            let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
            if state.position.is_some_and(|position| position >= head) {
                return Ok(state);
            }
            drop(state);
            self.write().catch_up(store, head)?;
        }
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes in what the log has up to `head`.
    fn catch_up(&mut self, store: &dyn Read, head: u64) -> Found<()> {
        loop {
            let position = match self.position {
                // What was dropped in between cannot be taken in any more.
                Some(position) if position + 1 >= store.oldest() => position,
                _ => self.build(store)?,
            };
            if position >= head {
                return Ok(());
            }
            let events = store.events(position, BATCH)?;
            let Some(last) = events.last() else {
                // Nothing is left of what stood there: what was erased is out of the log.
                self.position = Some(head);
                return Ok(());
            };
            let last = last.seq;
            for event in &events {
                self.rows.take_in(&event.body);
            }
            self.position = Some(last);
        }
    }

    /// Reads every conversation; gives the position from which the log goes on. What is written meanwhile is read twice,
    /// which is harmless.
    fn build(&mut self, store: &dyn Read) -> Found<u64> {
        let position = store.head();
        let scope = Scope::of_all_channels();
        let mut rows = Rows::default();
        let mut after = ConversationId(0);
        loop {
            let stretch = store.conversations_after(&scope, after, BATCH)?;
            for conversation in &stretch {
                rows.set(conversation);
                after = conversation.id;
            }
            if stretch.len() < BATCH {
                break;
            }
        }
        self.rows = rows;
        self.position = Some(position);
        Ok(position)
    }
}
