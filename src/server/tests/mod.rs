//! The server as its peers find it, over real sockets.

mod addresses;
mod closing;
mod direct;
mod http2;
mod slow;
mod smuggling;
mod tls;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_stream::wrappers::BroadcastStream;
use tokio_util::sync::CancellationToken;

use super::*;

/// Far more than anything here should take, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// What the handlers of the test router share with the test.
#[derive(Debug, Clone)]
struct Shop {
    /// Everything sent here goes to every open stream.
    events: tokio::sync::broadcast::Sender<Bytes>,
    /// How many bodies of answers are alive.
    bodies: Arc<AtomicUsize>,
    /// What writes past the task to the streams that were opened, in order; `None` where there is no way.
    direct: Arc<Mutex<Vec<Option<DirectWriter>>>>,
}

impl Shop {
    fn bodies(&self) -> usize {
        self.bodies.load(Ordering::SeqCst)
    }

    async fn until_bodies_are(&self, wanted: usize) {
        until(&format!("{wanted} bodies"), || self.bodies() == wanted).await;
    }
}

/// Waits for something to become true.
async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !so() {
        assert!(Instant::now() < end, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[derive(Debug)]
struct Alive(Arc<AtomicUsize>);

impl Alive {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A stream that says nothing until the shop has news.
async fn stream(State(shop): State<Shop>, direct: Option<Extension<DirectWriter>>) -> Body {
    let direct = direct.map(|Extension(direct)| direct);
    shop.direct.lock().expect("not poisoned").push(direct);
    let alive = Alive::new(&shop.bodies);
    let events = BroadcastStream::new(shop.events.subscribe());
    Body::from_stream(events.map(move |event| {
        let _alive = &alive;
        event
    }))
}

/// An answer without end, as fast as it is read.
async fn flood(State(shop): State<Shop>) -> Body {
    let alive = Alive::new(&shop.bodies);
    Body::from_stream(futures_util::stream::repeat_with(move || {
        let _alive = &alive;
        Ok::<_, std::io::Error>(Bytes::from_static(&[b'.'; 64 * 1024]))
    }))
}

async fn bytes(Path(count): Path<usize>) -> Bytes {
    vec![b'.'; count].into()
}

async fn who(
    Extension(client): Extension<ClientAddress>,
    Extension(scheme): Extension<Scheme>,
    unvouched: Option<Extension<UnvouchedForwarding>>,
    headers: HeaderMap,
) -> String {
    let told = headers.contains_key("x-forwarded-for") || headers.contains_key("x-real-ip");
    let unvouched = unvouched.is_some();
    format!(
        "{} https={} told={told} unvouched={unvouched}",
        client.0, scheme.https
    )
}

fn shop_router() -> (Router, Shop) {
    let shop = Shop {
        events: tokio::sync::broadcast::channel(16).0,
        bodies: Arc::default(),
        direct: Arc::default(),
    };
    let router = Router::new()
        .route("/", get(async || "fine"))
        .route("/length", post(async |body: Bytes| body.len().to_string()))
        .route(
            "/refuse",
            post(async || (StatusCode::PAYLOAD_TOO_LARGE, "no")),
        )
        .route(
            "/slow",
            get(async || {
                tokio::time::sleep(Duration::from_millis(500)).await;
                "done"
            }),
        )
        .route("/bytes/{count}", get(bytes))
        .route("/stream", get(stream))
        .route("/flood", get(flood))
        .route("/who", get(who))
        .layer(axum::extract::DefaultBodyLimit::disable())
        .with_state(shop.clone());
    (router, shop)
}

/// A running server. It ends with the value.
#[derive(Debug)]
struct Running {
    address: SocketAddr,
    shop: Shop,
    shutdown: CancellationToken,
    task: JoinHandle<std::io::Result<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn start(options: Options) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await;
    start_on(listener.expect("a free port"), options)
}

fn start_on(listener: TcpListener, options: Options) -> Running {
    let address = listener.local_addr().expect("an address");
    let (router, shop) = shop_router();
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(serve(listener, router, options, shutdown.clone()));
    Running {
        address,
        shop,
        shutdown,
        task,
    }
}

/// Limits short enough to be waited for, apart enough to be told from one another, and long enough for a machine on
/// which a process may not get its turn for a second.
fn quick() -> Options {
    Options {
        header_timeout: Duration::from_secs(2),
        idle_timeout: Duration::from_secs(12),
        body_timeout: Duration::from_secs(2),
        write_stall_timeout: Duration::from_secs(2),
        ..Options::default()
    }
}

/// As many connections as are wanted, or fewer where the system allows few files.
fn many(wanted: usize) -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let open_files = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<usize>().ok())
        .unwrap_or(256);
    wanted.min(open_files / 10)
}

/// A peer that says exactly what a test wants.
#[derive(Debug)]
struct Peer(TcpStream);

impl Peer {
    async fn connect(server: &Running) -> Self {
        Self(
            TcpStream::connect(server.address)
                .await
                .expect("a connection"),
        )
    }

    /// Connects and sends; the server may hang up meanwhile.
    async fn saying(server: &Running, bytes: impl AsRef<[u8]>) -> Self {
        let mut peer = Self::connect(server).await;
        peer.say(bytes).await;
        peer
    }

    async fn say(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.0.write_all(bytes.as_ref()).await.is_ok()
    }

    /// All that comes until the server closes.
    async fn hear_to_the_end(&mut self) -> String {
        let mut heard = Vec::new();
        let read = timeout(PATIENCE, self.0.read_to_end(&mut heard)).await;
        // A reset ends it as well as a proper end.
        drop(read.expect("the server closes"));
        String::from_utf8_lossy(&heard).into_owned()
    }

    /// What comes until `mark` has come; fails where the server closes before.
    async fn hear_until(&mut self, mark: &str) -> String {
        let mut heard = String::new();
        while !heard.contains(mark) {
            let mut part = [0; 4096];
            let read = timeout(PATIENCE, self.0.read(&mut part)).await;
            let read = read.expect("an answer in time").expect("no reset");
            assert_ne!(read, 0, "closed after {heard:?}");
            heard.push_str(&String::from_utf8_lossy(&part[..read]));
        }
        heard
    }

    /// True while the connection is open and silent.
    async fn is_quiet(&mut self) -> bool {
        let mut byte = [0];
        timeout(Duration::from_millis(20), self.0.peek(&mut byte))
            .await
            .is_err()
    }
}

/// Proves that the server still serves others.
async fn assert_served(server: &Running) {
    let request = "GET / HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n";
    let heard = Peer::saying(server, request).await.hear_to_the_end().await;
    assert!(heard.starts_with("HTTP/1.1 200"), "{heard}");
    assert!(heard.ends_with("fine"), "{heard}");
}

fn http_client() -> reqwest::ClientBuilder {
    // Another test of this process may have done it.
    drop(rustls::crypto::ring::default_provider().install_default());
    reqwest::Client::builder().no_proxy().timeout(PATIENCE)
}
