//! The connections: accepts them, serves HTTP/1.1 and HTTP/2 on them, and cuts those that hold on
//! without getting anywhere.
//!
//! Every wait for a peer has an end: for its TLS handshake and its request's head
//! ([`Options::header_timeout`]), its body ([`Options::body_timeout`]), its reading of our answer
//! ([`Options::write_stall_timeout`]), its next request ([`Options::idle_timeout`]). A stream that is
//! open because nothing happens in the shop lives for ever. No address holds more than its share.
//!
//! Handlers find [`ClientAddress`] and [`Scheme`] in the extensions of each request, and
//! [`UnvouchedForwarding`] in those that only seem to come from the peer; a [`DirectWriter`] where a streamed answer may be
//! written past the connection's task.

mod accept;
mod addresses;
mod connection;
mod framing;
mod observed;
mod patience;
mod request_body;
mod response_body;
mod service;
mod socket;
mod stall;
mod state;
#[cfg(test)]
mod tests;
mod tls;
mod validity;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use axum::Router;
use hyper_util::server::conn::auto;
use ipnet::IpNet;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use request_body::BodyTooSlow;
pub use socket::{Chunk, DirectWriter, Written};
pub use tls::{TlsError, TlsFiles, check_tls};
pub use validity::certificates_end;

use addresses::{AddressCounter, TrustedProxies};
use connection::StreamExecutor;
use tls::ReloadedTls;

/// How long tasks may take to notice that they were dropped.
const KILL_TIMEOUT: Duration = Duration::from_secs(1);

/// The limits of the server. [`Options::default`] is right for a server on the open internet.
#[derive(Debug, Clone)]
pub struct Options {
    /// Whose X-Forwarded-For and X-Forwarded-Proto are believed. Their own connections are counted
    /// against no address; the requests they forward are, each against its client's.
    pub trusted_proxies: Vec<IpNet>,
    /// Connections of one address (of one /64 in IPv6), or, behind a trusted proxy, its requests and
    /// streams at one time. Beyond it connections are closed at once and requests answered 429.
    pub connections_per_address: usize,
    /// Connections of all together; beyond it new ones are closed at once.
    pub max_connections: usize,
    /// Serves TLS with these files; without them plain HTTP.
    pub tls: Option<TlsFiles>,
    /// How often the TLS files are looked at for changes.
    pub tls_reload_interval: Duration,
    /// From the connection to its first request's complete head, TLS included; on later requests from
    /// the head's first byte.
    pub header_timeout: Duration,
    /// How long a connection may wait for its next request.
    pub idle_timeout: Duration,
    /// The longest wait for a request's body, for bytes that do not come or come too slowly in all.
    pub body_timeout: Duration,
    /// The longest wait for a reader that takes nothing of an answer, or takes it too slowly in all.
    pub write_stall_timeout: Duration,
    /// What counts as too slow, for bodies and for readers.
    pub bytes_per_second: u32,
    /// How long running requests have to end after the shutdown began.
    pub drain: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            trusted_proxies: Vec::new(),
            connections_per_address: 1024,
            max_connections: 20_000,
            tls: None,
            tls_reload_interval: Duration::from_secs(5),
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            body_timeout: Duration::from_secs(8),
            write_stall_timeout: Duration::from_secs(12),
            bytes_per_second: 1024,
            drain: Duration::from_secs(8),
        }
    }
}

/// Who sent a request: the peer of the connection, or whom a trusted proxy names. IPv4 in IPv6 is
/// IPv4 here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

/// How the client came: by TLS served here, or as a trusted proxy says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scheme {
    /// True for https.
    pub https: bool,
}

/// In the extensions of a request that carried a proxy's headers and came from a peer that is not
/// trusted: whoever sent it need not be on the peer's machine, so it is not to pass as local.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnvouchedForwarding;

/// What the connections have in common.
#[derive(Debug)]
struct Shared {
    options: Options,
    proxies: TrustedProxies,
    connections: Arc<AddressCounter>,
    forwarded_requests: Arc<AddressCounter>,
    tls: Option<ReloadedTls>,
    protocol: auto::Builder<StreamExecutor>,
    lifetime: Arc<Lifetime>,
    /// The operator was told of a proxy that is not in `trusted_proxies`.
    told_of_proxy: AtomicBool,
}

/// When connections and their streams end.
#[derive(Debug)]
struct Lifetime {
    /// No new requests; what runs may end. Comes with `kill` at the latest.
    closing: CancellationToken,
    /// What still runs is dropped.
    kill: CancellationToken,
    tasks: TaskTracker,
    write_stall_timeout: Duration,
}

/// Serves the router on the listener until `shutdown` is cancelled; then waits for running requests,
/// at most [`Options::drain`], and drops the rest. Streams that never end by themselves should watch
/// `shutdown` too, or they take the whole of it. Dropping the future drops every connection.
///
/// # Errors
/// When the TLS files cannot be served at the start (the source is a [`TlsError`]). Nothing that a
/// peer does, and no lack of file descriptors, ends it.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    options: Options,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    describe_metrics();
    let tls = options.tls.clone().map(ReloadedTls::open).transpose();
    let tls = tls.map_err(std::io::Error::other)?;
    let kill = CancellationToken::new();
    let lifetime = Arc::new(Lifetime {
        closing: kill.child_token(),
        kill,
        tasks: TaskTracker::new(),
        write_stall_timeout: options.write_stall_timeout,
    });
    let shared = Arc::new(Shared {
        proxies: TrustedProxies(options.trusted_proxies.clone()),
        connections: AddressCounter::new(options.connections_per_address),
        forwarded_requests: AddressCounter::new(options.connections_per_address),
        tls,
        protocol: connection::protocol(Arc::clone(&lifetime)),
        lifetime: Arc::clone(&lifetime),
        told_of_proxy: AtomicBool::new(false),
        options,
    });
    let _nothing_outlives_this = lifetime.kill.clone().drop_guard();

    accept::accept_until(&shutdown, listener, &router, &shared).await;

    lifetime.closing.cancel();
    lifetime.tasks.close();
    let drained = tokio::time::timeout(shared.options.drain, lifetime.tasks.wait()).await;
    if drained.is_err() {
        tracing::info!(
            tasks = lifetime.tasks.len(),
            "dropping what did not end in time"
        );
        lifetime.kill.cancel();
        // Nothing can be done about a handler that blocks its thread.
        drop(tokio::time::timeout(KILL_TIMEOUT, lifetime.tasks.wait()).await);
    }
    Ok(())
}

fn describe_metrics() {
    metrics::describe_gauge!("deskbell_connections", "Open connections");
    metrics::describe_counter!(
        "deskbell_connections_refused_total",
        "Connections closed at once, by the limit they met: address, total, or accept for failures to accept"
    );
    metrics::describe_counter!(
        "deskbell_requests_refused_total",
        "Requests answered before they reached a handler: malformed, or client for one over its limit"
    );
    metrics::describe_counter!(
        "deskbell_requests_cut_total",
        "Peers given up for slowness, by where: handshake, head, body, write"
    );
}
