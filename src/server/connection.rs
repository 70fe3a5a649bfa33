//! One connection from its acceptance to its end.

use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep};
use tokio_rustls::TlsAcceptor;
use tokio_util::either::Either;

use super::Shared;
use super::addresses::Place;
use super::observed::Observed;
use super::response_body::watch_stream;
use super::service::RequestService;
use super::socket::{Sending, Socket};
use super::stall::StallGuard;
use super::state::{ConnectionState, Expiry};

/// Request headers together, and what is buffered of each direction of an HTTP/1 connection.
const HEADER_BYTES_MAX: usize = 32 * 1024;
/// Header lines of one HTTP/1 request.
const HEADERS_MAX: usize = 100;
/// The same bound for HTTP/2, where each name and value counts 32 bytes more.
const HEADER_LIST_BYTES_MAX: u32 = 32 * 1024;
const STREAMS_MAX: u32 = 200;
/// What a client may send before a handler reads it: this much memory a connection.
const CONNECTION_WINDOW_BYTES: u32 = 256 * 1024;
const STREAM_WINDOW_BYTES: u32 = 128 * 1024;
const SEND_BUFFER_BYTES: usize = 64 * 1024;
/// Streams reset by the client before they were taken up, and resets that its faults forced on us:
/// beyond them the connection is closed (rapid reset).
const PENDING_RESETS_MAX: usize = 20;
const ERROR_RESETS_MAX: usize = 128;
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a connection without a request may take to close once it was told to.
const CLOSING_TIMEOUT: Duration = Duration::from_secs(1);

/// Spawns the streams of HTTP/2, so that they end with the server and when their readers stall.
#[derive(Debug, Clone)]
pub(super) struct StreamExecutor(pub(super) Arc<super::Lifetime>);

impl<F> hyper::rt::Executor<F> for StreamExecutor
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let lifetime = Arc::clone(&self.0);
        self.0.tasks.spawn(async move {
            let watched = watch_stream(stream, lifetime.write_stall_timeout);
            lifetime.kill.run_until_cancelled(Box::pin(watched)).await;
        });
    }
}

/// How HTTP is spoken here.
pub(super) fn protocol(lifetime: Arc<super::Lifetime>) -> auto::Builder<StreamExecutor> {
    let mut builder = auto::Builder::new(StreamExecutor(lifetime));
    builder
        .http1()
        // Ours tells a slow head from an idle connection.
        .header_read_timeout(None)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEADER_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEADER_LIST_BYTES_MAX)
        .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
        .max_local_error_reset_streams(ERROR_RESETS_MAX)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .max_send_buf_size(SEND_BUFFER_BYTES);
    builder
}

/// A connection that was let in.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) stream: TcpStream,
    /// In canonical form.
    pub(super) peer: IpAddr,
    pub(super) peer_is_trusted: bool,
    /// Its place among all connections and, for all but trusted proxies, among its address's.
    pub(super) places: (OwnedSemaphorePermit, Option<Place>),
}

/// Serves the connection until it ends, is cut or the server stops.
pub(super) async fn serve_connection(accepted: Accepted, router: Router, shared: Arc<Shared>) {
    let Accepted {
        stream,
        peer,
        peer_is_trusted,
        places: _places,
    } = accepted;
    let _counted = CountedConnection::new();
    let options = &shared.options;
    let deadline = Instant::now() + options.header_timeout;
    let state = ConnectionState::new(options.header_timeout, options.idle_timeout);
    // The stream of events has small writes that must not wait for one another.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!("a connection was gone at once: {error}");
        return;
    }
    let socket = Socket::new(stream);
    let sending = socket.sending();
    let stream = StallGuard::new(
        socket,
        Arc::clone(&state),
        options.write_stall_timeout,
        options.bytes_per_second,
    );
    let stream = match &shared.tls {
        None => Either::Left(stream),
        Some(tls) => {
            let handshake = TlsAcceptor::from(tls.current()).accept(stream);
            tokio::select! {
                biased;
                () = shared.lifetime.closing.cancelled() => return,
                finished = tokio::time::timeout_at(deadline, handshake) => match finished {
                    Ok(Ok(stream)) => Either::Right(Box::new(stream)),
                    Ok(Err(error)) => {
                        tracing::debug!("a TLS handshake failed: {error}");
                        return;
                    }
                    Err(_elapsed) => {
                        count_cut("handshake");
                        return;
                    }
                },
            }
        }
    };
    let service = RequestService {
        https: shared.tls.is_some(),
        router,
        peer,
        peer_is_trusted,
        state: Arc::clone(&state),
        direct: shared.tls.is_none().then(|| sending.clone()),
        shared: Arc::clone(&shared),
    };
    let stream = TokioIo::new(Observed::new(stream, Arc::clone(&state)));
    let connection = shared.protocol.serve_connection(stream, service);
    Box::pin(drive(connection, &state, &sending, &shared.lifetime)).await;
}

type HttpConnection<'a> =
    auto::Connection<'a, TokioIo<Observed<Transport>>, RequestService, StreamExecutor>;
type Transport = Either<StallGuard, Box<tokio_rustls::server::TlsStream<StallGuard>>>;

async fn drive(
    connection: HttpConnection<'_>,
    state: &Arc<ConnectionState>,
    sending: &Sending,
    lifetime: &super::Lifetime,
) {
    let mut connection = pin!(connection);
    let mut alarm = pin!(tokio::time::sleep(Duration::ZERO));
    let mut closing = None;
    loop {
        let expiry = tokio::select! {
            biased;
            // One or the other: a stream polls what it waits for at each event.
            () = lifetime.closing.cancelled(), if closing.is_none() => Expiry::Idle,
            () = lifetime.kill.cancelled(), if closing.is_some() => return,
            expiry = run(connection.as_mut(), alarm.as_mut(), state, sending, closing) => match expiry {
                Some(expiry) => expiry,
                None => return,
            },
        };
        match expiry {
            Expiry::Head => {
                count_cut("head");
                return;
            }
            // Said properly where that is quick: HTTP/2 tells the client that it may try elsewhere.
            Expiry::Idle => {
                closing = Some(Instant::now() + CLOSING_TIMEOUT);
                connection.as_mut().graceful_shutdown();
            }
            Expiry::Closing => return,
        }
    }
}

/// Runs the connection until it ends (`None`) or its time is over.
async fn run(
    mut connection: Pin<&mut HttpConnection<'_>>,
    mut alarm: Pin<&mut Sleep>,
    state: &ConnectionState,
    sending: &Sending,
    closing: Option<Instant>,
) -> Option<Expiry> {
    std::future::poll_fn(|cx| {
        state.register(cx.waker());
        sending.begins();
        if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
            if let Err(error) = ended {
                tracing::debug!("a connection ended: {error}");
            }
            return Poll::Ready(None);
        }
        // It writes until all is written or the socket takes no more.
        if !state.is_write_pending() {
            sending.rests();
        }
        loop {
            let Some((deadline, expiry)) = state.deadline(closing) else {
                return Poll::Pending;
            };
            if deadline <= Instant::now() {
                return Poll::Ready(Some(expiry));
            }
            // Deadlines move with each request, timers cost: one that rings too early is set anew.
            if alarm.is_elapsed() || alarm.deadline() > deadline {
                alarm.as_mut().reset(deadline);
            }
            ready!(alarm.as_mut().poll(cx));
        }
    })
    .await
}

fn count_cut(reason: &'static str) {
    metrics::counter!("deskbell_requests_cut_total", "reason" => reason).increment(1);
}

/// Keeps the number of open connections.
#[derive(Debug)]
struct CountedConnection;

impl CountedConnection {
    fn new() -> Self {
        metrics::gauge!("deskbell_connections").increment(1.0);
        Self
    }
}

impl Drop for CountedConnection {
    fn drop(&mut self) {
        metrics::gauge!("deskbell_connections").decrement(1.0);
    }
}
