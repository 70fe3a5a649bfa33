//! The socket, with an end to the patience for peers that do not read (D03).

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::patience::Patience;
use super::socket::Socket;
use super::state::ConnectionState;

/// A socket whose writes fail when the peer takes too long to read. It lies below TLS, where each
/// write is a step forward of the peer; a connection with nothing to write is never touched.
#[derive(Debug)]
pub(super) struct StallGuard {
    socket: Socket,
    state: Arc<ConnectionState>,
    patience: Patience,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl StallGuard {
    /// Waits at most `longest` for a reader that reads nothing, or less than the rate.
    pub(super) fn new(
        socket: Socket,
        state: Arc<ConnectionState>,
        longest: Duration,
        bytes_per_second: u32,
    ) -> Self {
        Self {
            socket,
            state,
            patience: Patience::new(longest, bytes_per_second),
            alarm: None,
        }
    }

    fn watch(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let now = Instant::now();
        let late = self.socket.gone_late();
        if late > 0 {
            self.patience.progress(now, late);
            self.alarm = None;
        }
        match written {
            Poll::Ready(Ok(bytes)) => {
                self.patience.progress(now, bytes);
                self.state.bytes_written(bytes);
                self.alarm = None;
                Poll::Ready(Ok(bytes))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                self.state.write_is_pending();
                let until = self.patience.wait(now);
                let alarm = self
                    .alarm
                    .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
                ready!(alarm.as_mut().poll(cx));
                metrics::counter!("deskbell_requests_cut_total", "reason" => "write").increment(1);
                Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the peer reads too slowly",
                )))
            }
        }
    }
}

impl AsyncRead for StallGuard {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buf)
    }
}

impl AsyncWrite for StallGuard {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(cx, buf);
        self.watch(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, bufs);
        self.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    // What a direct write has left over.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.socket).poll_flush(cx) {
            Poll::Pending => self.watch(cx, Poll::Pending).map_ok(|_bytes| ()),
            Poll::Ready(Ok(())) if self.alarm.is_some() => {
                let _ = self.watch(cx, Poll::Ready(Ok(0)));
                Poll::Ready(Ok(()))
            }
            flushed => flushed,
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
