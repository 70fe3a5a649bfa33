//! The rules of the desk, once, for every engine: given what is known and a command, which records change.
//!
//! Everything here is a decision without I/O. What is known comes through the [`Draft`]; time and ids are arguments
//! that it carries. A [`Decision`] may be asked again (the writer throws a draft away where another command of the
//! group failed), so deciding changes nothing but the draft.

pub mod access;
pub mod arrivals;
pub mod changes;
pub mod contacts;
pub mod conversations;
pub mod import;
pub mod outbox;
#[cfg(test)]
mod outbox_tests;
#[cfg(test)]
mod properties;
pub mod replies;
pub mod sweep;
#[cfg(test)]
mod testing;
pub mod visits;

use crate::store::Found;
use crate::store::draft::Draft;

/// A command that the desk decides.
pub trait Decision: Send + 'static {
    /// What the caller gets once the decision is durable.
    type Answer: Send + 'static;

    /// Decides. An error means that the store could not be read; what the rules refuse is an answer.
    fn decide(&self, draft: &mut Draft<'_>) -> Found<Self::Answer>;

    /// About how many bytes of memory it holds while it waits.
    fn weight(&self) -> usize {
        1024
    }
}
