//! Catching up: reading at the platform what no delivery brought.

use crate::client::{BoxFuture, CallError, Http};
use crate::inbound::NewMessage;
use crate::time::Time;

/// Threads, the one with the newest activity first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ThreadPage {
    /// The threads.
    pub threads: Vec<ThreadHead>,
    /// Threads of the page that could not be understood; the others stand.
    pub unreadable: Vec<Unreadable>,
    /// Where older ones are; `None`: there are none.
    pub next: Option<String>,
}

/// One thread, with the newest of its messages.
#[derive(Clone, Debug, PartialEq)]
pub struct ThreadHead {
    /// Where its newest messages are: what [`Backfill::messages`] takes.
    pub first: String,
    /// When the platform last saw something happen in it, where it tells.
    pub updated_at: Option<Time>,
    /// Its newest messages.
    pub newest: MessagePage,
}

/// Messages of one thread.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MessagePage {
    /// The messages, newest first, in the words in which deliveries tell them.
    pub messages: Vec<NewMessage>,
    /// Messages of the page that could not be understood; the others stand.
    pub unreadable: Vec<Unreadable>,
    /// Where older ones are; `None`: there are none.
    pub older: Option<String>,
}

/// Something that could not be understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// It as it came.
    pub raw: String,
    /// What was wrong with it; holds no secret.
    pub why: String,
}

/// Reads a platform's history. The daemon decides how far back, keeps the pace, and stores each message once.
pub trait Backfill: Send + Sync {
    /// Calls a second that the platform allows for reading its history, looks for the fate of a send among them.
    fn calls_per_second(&self) -> u32 {
        2
    }

    /// A page of threads; `at` is the `next` of the page before.
    fn threads<'a>(
        &'a self,
        http: &'a dyn Http,
        at: Option<&'a str>,
    ) -> BoxFuture<'a, Result<ThreadPage, CallError>>;

    /// Messages of a thread; `at` is the thread's `first`, or the `older` of the page before.
    fn messages<'a>(
        &'a self,
        http: &'a dyn Http,
        at: &'a str,
    ) -> BoxFuture<'a, Result<MessagePage, CallError>>;
}
