//! The rules of the desk, once, for every engine: given what is known and a command, which records change.
//!
//! Everything here is a decision without I/O. What is known comes through the [`Draft`]; time and ids are arguments
//! that it carries. A [`Decision`] may be asked again (the writer throws a draft away where another command of the
//! group failed), so deciding changes nothing but the draft.

pub mod access;
mod activities;
pub mod after_hours;
pub mod alarms;
pub mod albums;
pub mod arrivals;
pub mod audit;
pub mod bell;
pub mod catch_up;
#[cfg(test)]
mod catch_up_tests;
pub mod changes;
pub mod changing;
pub mod channels;
mod claims;
pub mod contacts;
pub mod conversations;
pub mod deletions;
pub mod devices;
pub mod duty;
pub mod erasure;
pub mod hooks;
pub mod hours;
pub mod identities;
pub mod import;
pub mod labels;
pub mod media;
pub mod outbox;
#[cfg(test)]
mod outbox_tests;
pub mod people;
pub mod profiles;
#[cfg(test)]
mod properties;
pub mod reach;
pub mod replay;
pub mod replies;
pub mod restore;
pub mod retry;
mod revisions;
pub mod sweep;
pub mod taking;
pub mod teams;
pub mod telling;
#[cfg(test)]
mod testing;
pub mod two_factor;
pub mod visits;
pub mod working;

use deskbell_sdk::Time;

use crate::store::Found;
use crate::store::draft::Draft;

/// What comes next for an item of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It is done with.
    Done,
    /// It is due again at this time.
    At(Time),
}

/// A wait that doubles from `first_ms` with each attempt up to `longest_ms`, spread by `jitter` (0 to 1) so that many
/// who failed together do not come together again. In milliseconds.
fn doubled(attempts: u32, first_ms: i64, longest_ms: i64, jitter: f64) -> i64 {
    part_of(whole(attempts, first_ms, longest_ms), 0.5 + 0.5 * jitter)
}

/// The same spread over all of it, from nothing on: for what must not come as a herd, however many failed together.
fn spread(attempts: u32, first_ms: i64, longest_ms: i64, jitter: f64) -> i64 {
    part_of(whole(attempts, first_ms, longest_ms), jitter)
}

fn whole(attempts: u32, first_ms: i64, longest_ms: i64) -> i64 {
    first_ms
        .saturating_mul(1 << attempts.saturating_sub(1).min(20))
        .min(longest_ms)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "a wait of minutes, spread"
)]
fn part_of(whole_ms: i64, part: f64) -> i64 {
    (whole_ms as f64 * part) as i64
}

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
