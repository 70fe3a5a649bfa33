//! The HTTP clients that the daemon lends to connectors and uses itself: time-outs, a size limit, no proxies from the
//! environment, and for a connector only its own platform, without redirects. What strangers named is fetched by the
//! guarded [`Fetcher`].

pub mod addresses;
mod fetch;
mod file_name;
mod guard;
mod post;

use std::sync::OnceLock;
use std::time::Duration;

pub use fetch::{Download, FetchError, Fetcher, Pace, Wish};
pub use guard::{Hosts, Rules};
pub use post::{PostAnswer, Poster};

use axum::body::Bytes;
use deskbell_sdk::client::{BoxFuture, Http, HttpFailure};
use reqwest::redirect::Policy;

/// The longest answer that is read where nothing else is said, in bytes.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;
/// How long a short call may take.
const CALL_TIME: Duration = Duration::from_secs(10);
/// The slowest line that a file is sent over, in bytes a second.
const SLOWEST_UPLOAD: u64 = 64 * 1024;

/// Where TLS looks for its arithmetic; harmless to call again.
pub fn install_tls() {
    // An error says that it is there already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// What every client has in common.
pub fn builder() -> reqwest::ClientBuilder {
    install_tls();
    reqwest::Client::builder()
        .redirect(Policy::none())
        .no_proxy()
        .connect_timeout(Duration::from_secs(5))
        .timeout(CALL_TIME)
        .user_agent(concat!("Deskbell/", env!("CARGO_PKG_VERSION")))
}

/// A client for short calls. Making one reads all certificates of the system, which takes several milliseconds: it is made once
/// by who calls often.
pub fn client() -> Result<reqwest::Client, reqwest::Error> {
    builder().build()
}

/// How long a call may take that carries so many bytes: 15 s, and what a line of 64 KiB/s needs for them.
#[must_use]
pub const fn upload_time(body_bytes: u64) -> Duration {
    Duration::from_secs(15 + body_bytes / SLOWEST_UPLOAD)
}

/// The client for calls that carry something, made once.
/// Each call has a connection of its own: one that was kept might be gone, and nobody would know whether the call
/// arrived. Its time is the caller's to set ([`PlatformClient::within`]).
pub fn upload_client() -> Result<reqwest::Client, reqwest::Error> {
    static CLIENT: OnceLock<reqwest::Client> = OnceLock::new();
    if let Some(client) = CLIENT.get() {
        return Ok(client.clone());
    }
    let client = builder().pool_max_idle_per_host(0).build()?;
    Ok(CLIENT.get_or_init(|| client).clone())
}

/// A client for calls in which the platform waits until something happens, at most `longest_wait`.
pub fn waiting_client(longest_wait: Duration) -> Result<reqwest::Client, reqwest::Error> {
    builder()
        .timeout(longest_wait + Duration::from_secs(15))
        .build()
}

/// The client of one channel: it calls the channel's platform and nobody else.
#[derive(Clone, Debug)]
pub struct PlatformClient {
    client: reqwest::Client,
    base: String,
    max_answer_bytes: usize,
    time: Option<Duration>,
}

impl PlatformClient {
    /// For the platform at `base`.
    #[must_use]
    pub fn new(client: reqwest::Client, base: &str) -> Self {
        Self {
            client,
            base: base.trim_end_matches('/').to_owned(),
            max_answer_bytes: MAX_ANSWER_BYTES,
            time: None,
        }
    }

    /// The same, whose calls may take so long, whatever the client says.
    #[must_use]
    pub const fn within(mut self, time: Duration) -> Self {
        self.time = Some(time);
        self
    }

    /// The same, with longer answers.
    #[must_use]
    pub const fn with_answers_up_to(mut self, max_answer_bytes: usize) -> Self {
        self.max_answer_bytes = max_answer_bytes;
        self
    }

    async fn answer(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Bytes>, HttpFailure> {
        let uri = request.uri().to_string();
        let own = uri
            .strip_prefix(&self.base)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']));
        if !own {
            return Err(HttpFailure::not_sent(
                "a connector may only call its own platform",
            ));
        }
        let host = request.uri().host().unwrap_or_default().to_owned();
        let failed = |error: &reqwest::Error| {
            let why = if error.is_timeout() {
                "did not answer in time"
            } else if error.is_connect() {
                "cannot be reached"
            } else {
                "broke off"
            };
            let say = format!("{host} {why}");
            if error.is_connect() {
                HttpFailure::not_sent(say)
            } else {
                HttpFailure::unanswered(say)
            }
        };
        let (parts, body) = request.into_parts();
        let mut outgoing = self
            .client
            .request(parts.method, uri)
            .headers(parts.headers)
            .body(body);
        if let Some(time) = self.time {
            outgoing = outgoing.timeout(time);
        }
        let mut incoming = outgoing.send().await.map_err(|error| failed(&error))?;
        let mut answer = http::Response::builder().status(incoming.status());
        for (name, value) in incoming.headers() {
            answer = answer.header(name, value);
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = incoming.chunk().await.map_err(|error| failed(&error))? {
            if bytes.len() + chunk.len() > self.max_answer_bytes {
                let most = self.max_answer_bytes;
                return Err(HttpFailure::unanswered(format!(
                    "{host} answered more than {most} bytes"
                )));
            }
            bytes.extend_from_slice(&chunk);
        }
        answer.body(bytes.into()).map_err(|_| {
            HttpFailure::unanswered(format!("{host} answered something that is no HTTP"))
        })
    }
}

impl Http for PlatformClient {
    fn call(
        &self,
        request: http::Request<Bytes>,
    ) -> BoxFuture<'_, Result<http::Response<Bytes>, HttpFailure>> {
        Box::pin(self.answer(request))
    }
}
