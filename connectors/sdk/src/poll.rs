//! Asking a platform for what is new.

use std::time::Duration;

use bytes::Bytes;

use crate::client::{BoxFuture, CallError, Http};
use crate::inbound::Inbound;

/// What one look at the platform brought.
#[derive(Clone, Debug, PartialEq)]
pub struct Polled {
    /// What happened, oldest first.
    pub events: Vec<Inbound>,
    /// The platform's answer as it came, kept beside what was decided of it.
    pub raw: Bytes,
    /// Where the next look begins. The daemon keeps it in the same durable step as the events, and only then looks
    /// again: what a platform takes as a confirmation is never given before.
    pub next: String,
    /// How long to wait before the next look; `None`: not at all.
    pub wait: Option<Duration>,
}

/// Asks a platform for what is new. The daemon owns the loop and the cursor.
pub trait Poll: Send + Sync {
    /// Looks once. A platform that lets a call wait until something happens is waited for inside, at most
    /// [`Self::longest_wait`]. Dropping the future loses nothing.
    fn poll<'a>(
        &'a self,
        http: &'a dyn Http,
        since: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Polled, CallError>>;

    /// How long one look may wait at the platform.
    fn longest_wait(&self) -> Duration {
        Duration::ZERO
    }
}
