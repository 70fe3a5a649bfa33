//! Lets connections in, and keeps doing so whatever happens.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::connection::{Accepted, serve_connection};

const SHORTEST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Accepts until the shutdown, and closes the listener. New certificates are taken up meanwhile.
pub(super) async fn accept_until(
    shutdown: &CancellationToken,
    listener: TcpListener,
    router: &Router,
    shared: &Arc<Shared>,
) {
    let following_tls = async {
        match &shared.tls {
            Some(tls) => tls.follow(shared.options.tls_reload_interval).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        () = shutdown.cancelled() => {}
        () = accept_for_ever(&listener, router, shared) => {}
        () = following_tls => {}
    }
}

async fn accept_for_ever(listener: &TcpListener, router: &Router, shared: &Arc<Shared>) {
    let most = shared.options.max_connections.min(Semaphore::MAX_PERMITS);
    let free = Arc::new(Semaphore::new(most));
    let mut failures = Failures::default();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                failures.over();
                let_in(stream, peer, &free, router, shared);
            }
            Err(error) => {
                if let Some(pause) = failures.pause_after(&error) {
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }
}

fn let_in(
    stream: TcpStream,
    peer: SocketAddr,
    free: &Arc<Semaphore>,
    router: &Router,
    shared: &Arc<Shared>,
) {
    let peer = peer.ip().to_canonical();
    let Ok(permit) = Arc::clone(free).try_acquire_owned() else {
        count_refusal("total");
        return;
    };
    let peer_is_trusted = shared.proxies.trust(peer);
    let mut place = None;
    if !peer_is_trusted {
        place = shared.connections.take(peer);
        if place.is_none() {
            count_refusal("address");
            return;
        }
    }
    let accepted = Accepted {
        stream,
        peer,
        peer_is_trusted,
        places: (permit, place),
    };
    let connection = serve_connection(accepted, router.clone(), Arc::clone(shared));
    shared.lifetime.tasks.spawn(connection);
}

fn count_refusal(reason: &'static str) {
    metrics::counter!("deskbell_connections_refused_total", "reason" => reason).increment(1);
}

/// A run of failures to accept, such as no free file descriptor: reported once, answered by waiting.
#[derive(Debug, Default)]
struct Failures {
    pause: Duration,
}

impl Failures {
    /// How long to wait before the next try; `None` where only the one connection failed.
    fn pause_after(&mut self, error: &io::Error) -> Option<Duration> {
        use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
        if matches!(
            error.kind(),
            ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
        ) {
            return None;
        }
        count_refusal("accept");
        if self.pause.is_zero() {
            tracing::error!(
                "cannot accept connections: {error}; trying on. \
                 Where it says that too many files are open, raise the limit (LimitNOFILE=, ulimit -n)"
            );
        }
        self.pause = (self.pause * 2).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
        Some(self.pause)
    }

    /// A connection was accepted.
    fn over(&mut self) {
        if !self.pause.is_zero() {
            tracing::info!("accepting connections again");
        }
        self.pause = Duration::ZERO;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d01_a_lack_of_descriptors_is_waited_out() {
        let mut failures = Failures::default();
        let too_many_open_files = io::Error::from_raw_os_error(24);
        let mut pauses = Vec::new();
        for _ in 0..10 {
            pauses.extend(failures.pause_after(&too_many_open_files));
        }
        assert_eq!(pauses.len(), 10);
        assert_eq!(pauses[0], SHORTEST_PAUSE);
        assert!(pauses.is_sorted());
        assert_eq!(pauses[9], LONGEST_PAUSE);
        failures.over();
        assert_eq!(
            failures.pause_after(&too_many_open_files),
            Some(SHORTEST_PAUSE)
        );
        let gone = io::Error::from(io::ErrorKind::ConnectionAborted);
        assert_eq!(failures.pause_after(&gone), None);
    }
}
