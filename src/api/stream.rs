//! `GET /api/v1/events`: every change that the caller may see, as Server-Sent Events.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_util::Stream;
use futures_util::stream;
use serde::Deserialize;
use serde_json::json;
use tokio::time::{Instant, Sleep};
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::{Signed, note_use};
use super::body::Query;
use super::problem::Problem;
use crate::access::{Caller, Who};
use crate::app::App;
use crate::live::{
    Frame, Lagged, Live, Reader as Present, Seat, StreamPlace, Subscription, frame, framed,
};
use crate::server::DirectWriter;
use crate::store::entry::Right;

/// How often a quiet stream says that it lives; clients may expect it every 15 s.
const HEARTBEAT: Duration = Duration::from_secs(12);
/// How often it is checked that the caller may still listen.
const CHECK: Duration = Duration::from_secs(4);
/// How many events are read from the log at once.
const BATCH: usize = 256;

/// The routes.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(events))
}

/// Where a stream begins.
#[derive(Clone, Copy, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct From {
    /// Everything after the event with this number; 0 begins at the oldest that is kept. `Last-Event-ID` goes before it.
    after: Option<u64>,
}

/// Every change, live
///
/// Server-Sent Events: `id` is the number of the event in the log, `event` its type, `data` a JSON object with `seq`,
/// `type`, `at` and `data`. Without `Last-Event-ID` and `after` it begins now; its first lines hold the comment
/// `: position N`, from which a reader resumes that is cut before its first event. `reset` says that what was missed is no
/// longer kept: read the lists anew. A comment comes at least every 15 seconds. A reader that is too slow is dropped,
/// and resumes by `Last-Event-ID`.
#[utoipa::path(get, path = "/api/v1/events", tag = "events", params(From, ("Last-Event-ID" = Option<u64>, Header, description = "The last event that was seen")),
    responses((status = 200, description = "The stream", content_type = "text/event-stream", body = String),
        (status = 400, body = Problem), (status = 401, body = Problem), (status = 403, body = Problem), (status = 429, body = Problem)))]
async fn events(
    State(app): State<App>,
    signed: Signed,
    Query(from): Query<From>,
    headers: HeaderMap,
    direct: Option<Extension<DirectWriter>>,
) -> Result<Response, Problem> {
    let caller = signed.with(Right::Read)?;
    let after = position(&headers, from.after)?;
    let limits = &app.config.limits;
    let most = match caller.who {
        Who::User { .. } | Who::Device { .. } | Who::SetupSession { .. } => limits.streams_per_user,
        Who::Token { .. } | Who::Bootstrap | Who::Local => limits.streams_per_token,
    };
    let Some(place) = Live::place(&app, caller.owner(), most as usize) else {
        return Err(Problem::too_many(
            format!("{most} streams are open already. Close some, or share one."),
            5,
        ));
    };
    let place = place.of(Present::of(&caller));
    let direct = direct.map(|Extension(direct)| direct);
    Ok(answer(reader(app, caller, after, direct, place)))
}

/// The position that a request names.
pub(super) fn position(headers: &HeaderMap, after: Option<u64>) -> Result<Option<u64>, Problem> {
    match headers.get("last-event-id") {
        None => Ok(after),
        Some(value) => match value
            .to_str()
            .ok()
            .and_then(|text| text.trim().parse().ok())
        {
            Some(seq) => Ok(Some(seq)),
            None => Err(Problem::bad_request(
                "`Last-Event-ID` is the `id` of an event: a number.",
            )),
        },
    }
}

/// A response of Server-Sent Events that no proxy should hold back.
pub(super) fn answer(
    events: impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static,
) -> Response {
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/event-stream; charset=utf-8"),
        ),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (
            header::HeaderName::from_static("x-accel-buffering"),
            HeaderValue::from_static("no"),
        ),
    ];
    (headers, Body::from_stream(events)).into_response()
}

/// One reader: first what the log has, then what comes.
struct Reader {
    app: App,
    /// Left at the hub while there is nothing to say, and only then.
    seat: Option<Box<Seat>>,
    /// What was read from the log and not yet shown.
    from_log: std::vec::IntoIter<crate::store::LogEvent>,
    /// Whether the log may have more.
    catching_up: bool,
    live: Subscription,
    greeting: Option<Bytes>,
    check_at: Instant,
    /// Rings at the first of the next check and the next heartbeat, or before: it is set anew only where it rang, since
    /// timers cost and events are many.
    alarm: Pin<Box<Sleep>>,
    _place: StreamPlace,
}

/// What a reader waited for.
enum Woken {
    Frame(Arc<Frame>),
    /// It was too slow.
    Lagged,
    /// There may be something else to do.
    Look,
}

fn reader(
    app: App,
    caller: Caller,
    after: Option<u64>,
    direct: Option<DirectWriter>,
    place: StreamPlace,
) -> impl Stream<Item = Result<Bytes, Infallible>> {
    // Subscribed before the head is read: what comes between is seen twice and shown once.
    let live = app.live.subscribe();
    let (head, oldest) = (app.store.head(), app.store.oldest());
    let resumable = |after: u64| after == 0 || (after <= head && after + 1 >= oldest);
    let (seen, catching_up, reset) = match after {
        None => (head, false, None),
        Some(after) if resumable(after) => (after, true, None),
        Some(_) => {
            let data = json!({ "seq": head, "type": "reset", "at": app.clock.now(), "data": {} });
            (head, false, Some(framed(Some(head), "reset", &data)))
        }
    };
    // Where it begins, so that a reader that is cut before its first event can resume, too.
    let mut greeting = format!("retry: 1000\n: hello\n: position {seen}\n\n").into_bytes();
    greeting.extend_from_slice(&reset.unwrap_or_default());
    let now = Instant::now();
    let seat = Seat::new(Arc::clone(&app), caller, seen, direct, now);
    let reader = Reader {
        app,
        seat: Some(Box::new(seat)),
        from_log: Vec::new().into_iter(),
        catching_up,
        live,
        greeting: Some(Bytes::from(greeting)),
        check_at: now + CHECK,
        alarm: Box::pin(tokio::time::sleep_until(now + CHECK)),
        _place: place,
    };
    stream::unfold(reader, |mut reader| async {
        let bytes = reader.next().await?;
        reader.seat.as_mut()?.told_at = Instant::now();
        Some((Ok(bytes), reader))
    })
}

impl Reader {
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(greeting) = self.greeting.take() {
            return Some(greeting);
        }
        loop {
            if self.app.stopping.is_cancelled() {
                return None;
            }
            // Here and not only while waiting: a long way through the log must neither outlive a revoked token nor be
            // silent where nothing in it is for this reader.
            let now = Instant::now();
            let seat = self.seat.as_mut()?;
            if now >= self.check_at {
                self.check_at = now + CHECK;
                seat.look_up_caller(true)?;
                note_use(&self.app, seat.caller());
            }
            if now >= seat.told_at + HEARTBEAT {
                return Some(Bytes::from_static(b":\n\n"));
            }
            if let Some(event) = self.from_log.next() {
                seat.seen = event.seq;
                let frame = frame(event, &*self.app.store, &self.app.view());
                if let Some(text) = seat.show(&frame)? {
                    return Some(text);
                }
                continue;
            }
            if self.catching_up {
                let seen = seat.seen;
                self.read_log(seen).await?;
                continue;
            }
            if self.alarm.is_elapsed() {
                let next = self.check_at.min(seat.told_at + HEARTBEAT);
                self.alarm.as_mut().reset(next);
            }
            match std::future::poll_fn(|cx| self.poll_woken(cx)).await {
                Woken::Frame(frame) => {
                    let seat = self.seat.as_mut()?;
                    if frame.seq.is_some_and(|seq| seq <= seat.seen) {
                        continue;
                    }
                    seat.seen = frame.seq.unwrap_or(seat.seen);
                    if let Some(text) = seat.show(&frame)? {
                        return Some(text);
                    }
                }
                // The end is clean: the client resumes from the log by the last id it saw.
                Woken::Lagged => {
                    metrics::counter!("deskbell_streams_dropped_total").increment(1);
                    return None;
                }
                Woken::Look => {}
            }
        }
    }

    /// Waits, with the seat at the hub; it is back when this is ready.
    fn poll_woken(&mut self, cx: &mut Context<'_>) -> Poll<Woken> {
        match self.live.poll_frame(cx, &mut self.seat) {
            Poll::Ready(Ok(frame)) => return Poll::Ready(Woken::Frame(frame)),
            Poll::Ready(Err(Lagged)) => return Poll::Ready(Woken::Lagged),
            Poll::Pending => {}
        }
        // The hub wakes all when the daemon stops.
        if !self.app.stopping.is_cancelled() && self.alarm.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.live.take_seat(&mut self.seat);
        Poll::Ready(Woken::Look)
    }

    /// Reads on in the log; ends the stream where that fails, so that the client tries again.
    async fn read_log(&mut self, seen: u64) -> Option<()> {
        let app = Arc::clone(&self.app);
        if seen > 0 && seen + 1 < app.store.oldest() {
            // What comes next was dropped while the reader was on its way: it hears `reset` when it resumes.
            return None;
        }
        let events = tokio::task::spawn_blocking(move || app.store.events(seen, BATCH))
            .await
            .ok()?;
        match events {
            Ok(events) => {
                self.catching_up = !events.is_empty();
                self.from_log = events.into_iter();
                Some(())
            }
            Err(error) => {
                tracing::error!(%error, "a stream cannot resume from the log");
                None
            }
        }
    }
}
