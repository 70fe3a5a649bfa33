//! A request's body, with an end to the patience for those who send it slowly (D01, W09).

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::BoxError;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use super::patience::Patience;
use super::state::ConnectionState;

/// The error of a request body whose sender was too slow. Whatever failure a handler makes of it,
/// the sender is answered 408.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the request body came too slowly")]
pub struct BodyTooSlow;

/// Counts only the time in which a handler waits for the sender; a handler may take its own.
#[derive(Debug)]
pub(super) struct TimedBody {
    body: Incoming,
    patience: Patience,
    alarm: Option<Pin<Box<Sleep>>>,
    ended: bool,
    too_slow: Arc<AtomicBool>,
    state: Arc<ConnectionState>,
}

impl TimedBody {
    /// Sets `too_slow` when it gives the sender up.
    pub(super) fn new(
        body: Incoming,
        patience: Patience,
        too_slow: Arc<AtomicBool>,
        state: Arc<ConnectionState>,
    ) -> Self {
        Self {
            body,
            patience,
            alarm: None,
            ended: false,
            too_slow,
            state,
        }
    }
}

impl Body for TimedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.too_slow.load(Ordering::Relaxed) {
            return Poll::Ready(None);
        }
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        let now = Instant::now();
        match polled {
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                self.patience.progress(now, bytes);
                self.alarm = None;
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error.into()))),
            Poll::Ready(None) => {
                self.ended = true;
                Poll::Ready(None)
            }
            Poll::Pending => {
                let until = self.patience.wait(now);
                let alarm = self
                    .alarm
                    .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
                if alarm.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                metrics::counter!("deskbell_requests_cut_total", "reason" => "body").increment(1);
                self.too_slow.store(true, Ordering::Relaxed);
                Poll::Ready(Some(Err(BodyTooSlow.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for TimedBody {
    fn drop(&mut self) {
        if !self.ended && !self.body.is_end_stream() {
            self.state.body_left_unread();
        }
    }
}
