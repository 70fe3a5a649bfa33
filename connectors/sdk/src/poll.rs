//! Asking a platform for what is new.

use std::time::Duration;

use bytes::Bytes;

use crate::client::{BoxFuture, CallError, Http};
use crate::inbound::Inbound;

/// What one look at the platform brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Polled {
    /// What came, oldest first, each as the platform wrote it. Each is decoded alone, so that one that cannot be
    /// understood takes no other with it.
    pub updates: Vec<Bytes>,
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

    /// Says what happened in one of [`Polled::updates`]. Pure; what cannot be understood is
    /// [`crate::Event::Undecodable`].
    fn decode(&self, update: &Bytes) -> Vec<Inbound>;

    /// How long one look may wait at the platform.
    fn longest_wait(&self) -> Duration {
        Duration::ZERO
    }

    /// How long the platform keeps what nobody fetches; `None`: for ever, or it can be read later in another way.
    fn keeps_for(&self) -> Option<Duration> {
        None
    }
}
