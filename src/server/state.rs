//! What one connection is doing, and until when it may go on so.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::time::Instant;

use super::framing::{Framing, Head};

/// A connection that moved this many bytes since it was last looked at is not idle, whatever its
/// requests say: the end of an answer may still be on its way to a slow reader.
const BYTES_THAT_COUNT_AS_LIFE: usize = 16 * 1024;

/// Why a connection's time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expiry {
    /// No complete request head in time.
    Head,
    /// Nothing to do for long.
    Idle,
    /// It was told to close and did not.
    Closing,
}

/// Shared by everything that sees a part of one connection.
#[derive(Debug)]
pub(super) struct ConnectionState {
    header_timeout: Duration,
    idle_timeout: Duration,
    inner: Mutex<Inner>,
    driver: AtomicWaker,
}

#[derive(Debug)]
struct Inner {
    accepted_at: Instant,
    idle_since: Instant,
    head_since: Option<Instant>,
    requests: usize,
    had_request: bool,
    http2: bool,
    write_pending: bool,
    write_pended_at: Option<Instant>,
    written: usize,
    unread_body: bool,
    framing: Framing,
}

impl ConnectionState {
    /// A connection accepted now.
    pub(super) fn new(header_timeout: Duration, idle_timeout: Duration) -> Arc<Self> {
        let now = Instant::now();
        Arc::new(Self {
            header_timeout,
            idle_timeout,
            inner: Mutex::new(Inner {
                accepted_at: now,
                idle_since: now,
                head_since: None,
                requests: 0,
                had_request: false,
                http2: false,
                write_pending: false,
                write_pended_at: None,
                written: 0,
                unread_body: false,
                framing: Framing::new(),
            }),
            driver: AtomicWaker::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes came in and are about to be parsed.
    pub(super) fn bytes_read(&self, bytes: &[u8]) {
        let mut inner = self.lock();
        if inner.http2 {
            return;
        }
        inner.framing.feed(bytes);
        if inner.requests == 0 && inner.head_since.is_none() {
            inner.head_since = Some(Instant::now());
        }
    }

    /// The socket took `bytes`.
    pub(super) fn bytes_written(&self, bytes: usize) {
        let mut inner = self.lock();
        if std::mem::take(&mut inner.write_pending) {
            inner.write_pended_at = Some(Instant::now());
        }
        inner.written += bytes;
        if inner.written >= BYTES_THAT_COUNT_AS_LIFE {
            inner.written = 0;
            inner.idle_since = Instant::now();
        }
    }

    /// The socket takes nothing at the moment.
    pub(super) fn write_is_pending(&self) {
        self.lock().write_pending = true;
    }

    /// The socket took nothing when it was last written to.
    pub(super) fn is_write_pending(&self) -> bool {
        self.lock().write_pending
    }

    /// When the socket last took nothing; now, where it still does.
    pub(super) fn last_write_pending(&self) -> Option<Instant> {
        let inner = self.lock();
        if inner.write_pending {
            return Some(Instant::now());
        }
        inner.write_pended_at
    }

    /// A request's body was dropped before its end: the peer is still sending.
    pub(super) fn body_left_unread(&self) {
        self.lock().unread_body = true;
    }

    /// True where the peer may be sending what nobody will read, so that closing at once could
    /// take our answer from it.
    pub(super) fn peer_may_be_sending(&self) -> bool {
        let inner = self.lock();
        inner.unread_body || inner.head_since.is_some()
    }

    /// A request begins and lasts until the value is dropped. With it, for HTTP/1, what was seen of
    /// its head.
    pub(super) fn begin_request(self: &Arc<Self>, http2: bool) -> (RunningRequest, Option<Head>) {
        let mut inner = self.lock();
        inner.requests += 1;
        inner.had_request = true;
        inner.head_since = None;
        inner.unread_body = false;
        inner.http2 = http2;
        let head = inner.framing.next_head();
        drop(inner);
        (RunningRequest(Arc::clone(self)), head)
    }

    /// Says whom to wake when the last request ends.
    pub(super) fn register(&self, waker: &Waker) {
        self.driver.register(waker);
    }

    /// Until when the connection may do as it does; `None` while it works on a request or an answer
    /// is on its way. `closing` is the limit of one that was told to close.
    pub(super) fn deadline(&self, closing: Option<Instant>) -> Option<(Instant, Expiry)> {
        let inner = self.lock();
        if inner.requests > 0 || inner.write_pending {
            return None;
        }
        if let Some(closing) = closing {
            return Some((closing, Expiry::Closing));
        }
        if !inner.had_request {
            return Some((inner.accepted_at + self.header_timeout, Expiry::Head));
        }
        Some(match inner.head_since {
            Some(since) => (since + self.header_timeout, Expiry::Head),
            None => (inner.idle_since + self.idle_timeout, Expiry::Idle),
        })
    }
}

/// A request that is being answered; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct RunningRequest(Arc<ConnectionState>);

impl RunningRequest {
    /// The connection it came by.
    pub(super) fn connection(&self) -> &Arc<ConnectionState> {
        &self.0
    }
}

impl Drop for RunningRequest {
    fn drop(&mut self) {
        let mut inner = self.0.lock();
        inner.requests -= 1;
        inner.written = 0;
        inner.idle_since = Instant::now();
        // The streams of HTTP/2 are tasks of their own; the connection's task must hear of it.
        let wake = inner.http2 && inner.requests == 0;
        drop(inner);
        if wake {
            self.0.driver.wake();
        }
    }
}
