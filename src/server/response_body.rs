//! An answer's body: it keeps its request alive, and on HTTP/2 shows whether its reader reads.

use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::Instant;

use super::addresses::Place;
use super::state::{ConnectionState, RunningRequest};

/// A frame of HTTP/2. A reader is seen to read by the frames it takes, so frames must be small.
const FRAME_BYTES: usize = 16 * 1024;

tokio::task_local! {
    /// The watch over the HTTP/2 stream whose task this is.
    static STREAM: Arc<StreamWatch>;
}

/// Since when a stream of HTTP/2 holds a frame that its reader does not take. HTTP/2 has a window
/// for each stream, so a reader can stall one while the socket flows.
#[derive(Debug, Default)]
struct StreamWatch {
    offered: Mutex<Option<Instant>>,
    connection: OnceLock<Arc<ConnectionState>>,
}

impl StreamWatch {
    fn set(&self, offered: Option<Instant>) {
        *self.offered.lock().unwrap_or_else(PoisonError::into_inner) = offered;
    }

    /// Where the socket is what holds the frame up, the reader is not to blame: many streams may
    /// share a slow line, and the socket has a limit of its own.
    fn stalled_since(&self) -> Option<Instant> {
        let offered = (*self.offered.lock().unwrap_or_else(PoisonError::into_inner))?;
        let connection = self.connection.get();
        let congested = connection.and_then(|it| it.last_write_pending());
        Some(congested.map_or(offered, |congested| congested.max(offered)))
    }
}

/// Runs one HTTP/2 stream; drops it, which resets it, when its reader takes no frame for `longest`.
pub(super) async fn watch_stream(stream: impl Future<Output = ()>, longest: Duration) {
    let watch = Arc::new(StreamWatch::default());
    let mut stream = std::pin::pin!(STREAM.scope(Arc::clone(&watch), stream));
    let mut alarm = std::pin::pin!(tokio::time::sleep(longest));
    std::future::poll_fn(|cx| {
        if stream.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        loop {
            let Some(since) = watch.stalled_since() else {
                return Poll::Pending;
            };
            if since + longest <= Instant::now() {
                break;
            }
            alarm.as_mut().reset(since + longest);
            ready!(alarm.as_mut().poll(cx));
        }
        metrics::counter!("deskbell_requests_cut_total", "reason" => "write").increment(1);
        Poll::Ready(())
    })
    .await;
}

/// The body of an answer; its request runs until it is dropped.
#[derive(Debug)]
pub(super) struct AnswerBody {
    body: Body,
    /// What is left of a frame that was too large for `FRAME_BYTES`.
    rest: Bytes,
    watch: Option<Arc<StreamWatch>>,
    _running: RunningRequest,
    _place: Option<Place>,
}

impl AnswerBody {
    /// To be made in the task that sends the answer.
    pub(super) fn new(body: Body, running: RunningRequest, place: Option<Place>) -> Self {
        let watch = STREAM.try_with(Arc::clone).ok();
        if let Some(watch) = &watch {
            let connection = Arc::clone(running.connection());
            watch.connection.get_or_init(|| connection);
        }
        Self {
            body,
            rest: Bytes::new(),
            watch,
            _running: running,
            _place: place,
        }
    }
}

impl http_body::Body for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        let Some(watch) = &this.watch else {
            return Pin::new(&mut this.body).poll_frame(cx);
        };
        // To be asked for more means that the frame before was taken.
        watch.set(None);
        if this.rest.is_empty() {
            match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => this.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                end => return Poll::Ready(end),
            }
        }
        let piece = this.rest.split_to(this.rest.len().min(FRAME_BYTES));
        watch.set(Some(Instant::now()));
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = u64::try_from(self.rest.len()).unwrap_or(u64::MAX);
        let inner = self.body.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower().saturating_add(rest));
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint
    }
}
