//! The socket, into which a streamed answer may also be written without its connection's task.
//!
//! A live stream has a thousand readers for one event. To wake a thousand tasks, each of which reads its connection's
//! state from memory that no cache holds, costs as much as the writes themselves. So a [`DirectWriter`] writes a piece of
//! such an answer itself, as HTTP/1.1 would have: a chunk. It does so only while the connection's task rests and has
//! nothing on its way; the task and a direct write exclude each other.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// A connection's socket.
#[derive(Debug)]
pub(super) struct Socket {
    read: OwnedReadHalf,
    sending: Sending,
}

/// What writes to the socket: HTTP, and beside it direct writers.
#[derive(Clone, Debug)]
pub(super) struct Sending(Arc<Mutex<Side>>);

#[derive(Debug)]
struct Side {
    /// Gone with the connection.
    half: Option<OwnedWriteHalf>,
    /// HTTP's task rests, and all it had to say is sent.
    is_at_rest: bool,
    /// What the socket did not take of a direct write: it goes before everything else.
    rest: Vec<u8>,
    /// How much of the rest has gone since it was asked last.
    gone: usize,
}

impl Socket {
    pub(super) fn new(stream: TcpStream) -> Self {
        let (read, half) = stream.into_split();
        let side = Side {
            half: Some(half),
            is_at_rest: false,
            rest: Vec::new(),
            gone: 0,
        };
        Self {
            read,
            sending: Sending(Arc::new(Mutex::new(side))),
        }
    }

    /// Who else may write to it.
    pub(super) fn sending(&self) -> Sending {
        self.sending.clone()
    }

    /// How many bytes of direct writes have gone after them, since this was asked last.
    pub(super) fn gone_late(&self) -> usize {
        std::mem::take(&mut self.sending.lock().gone)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.sending.lock().half = None;
    }
}

impl Sending {
    fn lock(&self) -> MutexGuard<'_, Side> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// HTTP's task works: from now on it alone writes.
    pub(super) fn begins(&self) {
        self.lock().is_at_rest = false;
    }

    /// HTTP's task waits, and has nothing on its way.
    pub(super) fn rests(&self) {
        self.lock().is_at_rest = true;
    }
}

impl Side {
    fn half(&mut self) -> io::Result<&mut OwnedWriteHalf> {
        self.half
            .as_mut()
            .ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.rest.is_empty() {
            let rest = std::mem::take(&mut self.rest);
            let written = self.half().map(|half| Pin::new(half).poll_write(cx, &rest));
            self.rest = rest;
            let bytes = ready!(written?)?;
            if bytes == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.rest.drain(..bytes);
            self.gone += bytes;
        }
        // A reader that was slow once need not cost memory from then on.
        self.rest = Vec::new();
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.read).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut side = self.sending.lock();
        ready!(side.poll_rest(cx))?;
        Pin::new(side.half()?).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut side = self.sending.lock();
        ready!(side.poll_rest(cx))?;
        Pin::new(side.half()?).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.sending.lock().poll_rest(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut side = self.sending.lock();
        ready!(side.poll_rest(cx))?;
        Pin::new(side.half()?).poll_shutdown(cx)
    }
}

/// A piece of a streamed answer, as HTTP/1.1 writes it.
#[derive(Debug)]
pub struct Chunk(Vec<u8>);

impl Chunk {
    /// Of these bytes, one after the other. A chunk without any would end the answer, so there is none then.
    #[must_use]
    pub fn of<'a>(parts: impl Iterator<Item = &'a [u8]> + Clone) -> Option<Self> {
        let length: usize = parts.clone().map(<[u8]>::len).sum();
        if length == 0 {
            return None;
        }
        let mut chunk = Vec::with_capacity(length + 20);
        chunk.extend_from_slice(format!("{length:x}\r\n").as_bytes());
        parts.for_each(|part| chunk.extend_from_slice(part));
        chunk.extend_from_slice(b"\r\n");
        Some(Self(chunk))
    }
}

/// Writes pieces of an answer whose length is not known, past the connection's task. In the extensions of requests of
/// HTTP/1.1 without TLS; whoever uses it has to know that the answer is streamed as it is.
#[derive(Clone, Debug)]
pub struct DirectWriter(Sending);

/// What became of a direct write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// The socket has it.
    Whole,
    /// The socket has the beginning: the connection's task has to be woken, and sends the rest before anything else.
    Begun,
    /// Nothing was written: the connection's task works, or the socket is full or gone. Give it to the task.
    Nothing,
}

impl DirectWriter {
    pub(super) const fn new(sending: Sending) -> Self {
        Self(sending)
    }

    /// Writes the chunk now, or nothing.
    pub fn write(&self, chunk: &Chunk) -> Written {
        let mut side = self.0.lock();
        if !side.is_at_rest || !side.rest.is_empty() {
            return Written::Nothing;
        }
        let Some(half) = &side.half else {
            return Written::Nothing;
        };
        match half.try_write(&chunk.0) {
            Ok(bytes) if bytes == chunk.0.len() => Written::Whole,
            Ok(bytes) if bytes > 0 => {
                side.rest = chunk.0[bytes..].to_vec();
                side.is_at_rest = false;
                Written::Begun
            }
            _ => Written::Nothing,
        }
    }
}
