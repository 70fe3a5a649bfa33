//! Fetching a file from an address that a stranger may have chosen: the guarded client.
//!
//! Each hop of a redirection is checked as the first address was, and redirections are followed by hand. The bytes are
//! handed on as they come and counted after decoding, so that neither a lie about the length nor a packed bomb gets
//! further than the limit.

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use deskbell_sdk::Secret;
use deskbell_sdk::retry_after::retry_after;
use http::{HeaderMap, StatusCode, header};
use reqwest::dns::Resolve;
use tokio::time::{Instant, timeout_at};
use url::Url;

use super::guard::{CheckedResolver, Hosts, Rules, SystemResolver, check, checked, in_words};
use super::{CALL_TIME, PlatformClient, builder, file_name};

/// How long and how slow a download may be.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// The longest that one may take in all.
    pub total: Duration,
    /// How long its speed is measured.
    pub window: Duration,
    /// The fewest bytes that come in a window.
    pub window_bytes: u64,
    /// How many redirections are followed.
    pub redirects: usize,
}

impl Pace {
    /// At most two minutes in all, at least 1 KiB/s over each 10 s, at most 3 redirections.
    pub const ORDINARY: Self = Self {
        total: Duration::from_secs(120),
        window: Duration::from_secs(10),
        window_bytes: 10 * 1024,
        redirects: 3,
    };
}

/// What is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Wish<'a> {
    /// The address. It may hold a token and stands in no error.
    pub url: &'a Secret,
    /// The `Authorization` header; it is given to hosts of the platform's only, and to no other after a redirection.
    pub authorization: Option<&'a Secret>,
    /// Whose addresses may be fetched.
    pub hosts: &'a Hosts,
    /// The most bytes.
    pub most_bytes: u64,
}

/// Why nothing came. The texts name the host and the reason, never a path, a query or a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchError {
    /// The address is none that is fetched.
    Refused(String),
    /// The link no longer works: 403, 404 or 410.
    Gone(String),
    /// More bytes than wanted.
    TooLarge,
    /// Something that may pass.
    Failed {
        /// What.
        say: String,
        /// When to come again, where the host says.
        after: Option<Duration>,
    },
}

impl FetchError {
    /// Something that may pass.
    #[must_use]
    pub fn failed(say: impl Into<String>) -> Self {
        Self::Failed {
            say: say.into(),
            after: None,
        }
    }
}

impl std::fmt::Display for FetchError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(say) | Self::Gone(say) | Self::Failed { say, .. } => f.write_str(say),
            Self::TooLarge => f.write_str("it is larger than the desk keeps"),
        }
    }
}

impl StdError for FetchError {}

/// Fetches files.
#[derive(Clone, Debug)]
pub struct Fetcher {
    /// Connects to addresses that the rules allow.
    guarded: reqwest::Client,
    /// Connects to the channels' own platforms.
    own: reqwest::Client,
    rules: Rules,
    pace: Pace,
}

impl Fetcher {
    /// One that fetches from the public internet.
    pub fn new() -> Result<Self, reqwest::Error> {
        Self::with(Rules::PUBLIC, Pace::ORDINARY, Arc::new(SystemResolver))
    }

    /// One with other rules, or another way to look names up.
    pub fn with(
        rules: Rules,
        pace: Pace,
        resolver: Arc<dyn Resolve>,
    ) -> Result<Self, reqwest::Error> {
        let resolver = CheckedResolver {
            inner: resolver,
            allows: rules.allows,
        };
        let patient = || builder().timeout(pace.total).referer(false);
        Ok(Self {
            guarded: patient().dns_resolver(Arc::new(resolver)).build()?,
            own: patient().build()?,
            rules,
            pace,
        })
    }

    /// For asking the platform at `base`, each call for a short time. Asking by what is there already reads no certificates
    /// of the system anew, which takes several milliseconds.
    #[must_use]
    pub fn platform(&self, base: &str) -> PlatformClient {
        PlatformClient::new(self.own.clone(), base).within(CALL_TIME)
    }

    /// Begins to fetch; the bytes come by [`Download::chunk`].
    pub async fn begin(&self, wish: Wish<'_>) -> Result<Download, FetchError> {
        let ends = Instant::now() + self.pace.total;
        let mut url =
            checked(wish.url.expose(), &self.rules, wish.hosts).map_err(FetchError::Refused)?;
        let mut authorization = wish.authorization.filter(|_| wish.hosts.is_platforms(&url));
        for _ in 0..=self.pace.redirects {
            let response = timeout_at(ends, self.ask(&url, authorization, wish.hosts))
                .await
                .unwrap_or_else(|_| {
                    Err(FetchError::failed(format!(
                        "{} did not answer in time",
                        host(&url)
                    )))
                })?;
            let status = response.status();
            if !is_redirection(status) {
                return self.judge(response, &url, wish.most_bytes, ends);
            }
            let next = self.next_hop(response.headers(), &url, wish.hosts)?;
            if next.origin() != url.origin() {
                authorization = None;
            }
            url = next;
        }
        let say = format!(
            "{} leads on more than {} times",
            host(&url),
            self.pace.redirects
        );
        Err(FetchError::Refused(say))
    }

    /// Where a redirection leads, checked as the first address was.
    fn next_hop(&self, headers: &HeaderMap, from: &Url, hosts: &Hosts) -> Result<Url, FetchError> {
        let next = location(headers, from)?;
        if from.scheme() == "https" && next.scheme() != "https" {
            let say = format!("{} leads away from https", host(from));
            return Err(FetchError::Refused(say));
        }
        check(&next, &self.rules, hosts)
            .map_err(|say| FetchError::Refused(format!("{} leads on: {say}", host(from))))?;
        Ok(next)
    }

    async fn ask(
        &self,
        url: &Url,
        authorization: Option<&Secret>,
        hosts: &Hosts,
    ) -> Result<reqwest::Response, FetchError> {
        let client = if hosts.is_own(url) {
            &self.own
        } else {
            &self.guarded
        };
        let mut request = client.get(url.clone());
        if let Some(authorization) = authorization {
            let mut value = http::HeaderValue::try_from(authorization.expose())
                .map_err(|_| FetchError::failed("the authorization cannot stand in a header"))?;
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        request.send().await.map_err(|error| failed(&error, url))
    }

    fn judge(
        &self,
        response: reqwest::Response,
        url: &Url,
        most_bytes: u64,
        ends: Instant,
    ) -> Result<Download, FetchError> {
        let host = host(url);
        let status = response.status();
        match status {
            StatusCode::OK => {}
            StatusCode::FORBIDDEN | StatusCode::NOT_FOUND | StatusCode::GONE => {
                return Err(FetchError::Gone(format!(
                    "{host} has it no longer ({})",
                    status.as_u16()
                )));
            }
            _ => {
                return Err(FetchError::Failed {
                    say: format!("{host} answered {}", status.as_u16()),
                    after: retry_after(response.headers()),
                });
            }
        }
        // A lie about the length is found by counting; an honest one saves the way.
        let is_packed = response.headers().contains_key(header::CONTENT_ENCODING);
        if !is_packed
            && response
                .content_length()
                .is_some_and(|length| length > most_bytes)
        {
            return Err(FetchError::TooLarge);
        }
        Ok(Download {
            name: file_name::of(response.headers()),
            response,
            url: url.clone(),
            pace: self.pace,
            ends,
            window_ends: Instant::now() + self.pace.window,
            window_bytes: 0,
            left_bytes: most_bytes,
        })
    }
}

/// A file that is coming.
pub struct Download {
    /// The name that the host gives it: one line, no path.
    pub name: Option<String>,
    response: reqwest::Response,
    url: Url,
    pace: Pace,
    ends: Instant,
    window_ends: Instant,
    window_bytes: u64,
    left_bytes: u64,
}

impl std::fmt::Debug for Download {
    /// Without the address.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Download")
            .field("left_bytes", &self.left_bytes)
            .finish_non_exhaustive()
    }
}

impl Download {
    /// The next bytes; `None` at the end.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, FetchError> {
        let too_slow = |url: &Url| FetchError::failed(format!("{} is too slow", host(url)));
        loop {
            if Instant::now() >= self.ends {
                return Err(too_slow(&self.url));
            }
            let until = self.window_ends.min(self.ends);
            match timeout_at(until, self.response.chunk()).await {
                Ok(Ok(Some(bytes))) => {
                    let count = bytes.len() as u64;
                    self.window_bytes += count;
                    self.left_bytes = self
                        .left_bytes
                        .checked_sub(count)
                        .ok_or(FetchError::TooLarge)?;
                    return Ok(Some(bytes));
                }
                Ok(Ok(None)) => return Ok(None),
                Ok(Err(error)) => return Err(failed(&error, &self.url)),
                Err(_) if Instant::now() >= self.ends => {}
                Err(_) if self.window_bytes < self.pace.window_bytes => {
                    return Err(too_slow(&self.url));
                }
                Err(_) => {
                    self.window_ends = Instant::now() + self.pace.window;
                    self.window_bytes = 0;
                }
            }
        }
    }
}

/// The answers that name another address (RFC 9110, 15.4).
const fn is_redirection(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

fn location(headers: &HeaderMap, from: &Url) -> Result<Url, FetchError> {
    let unreadable = || {
        FetchError::failed(format!(
            "{} leads on to something that is no address",
            host(from)
        ))
    };
    let next = headers
        .get(header::LOCATION)
        .and_then(|value| std::str::from_utf8(value.as_bytes()).ok())
        .ok_or_else(unreadable)?;
    from.join(next).map_err(|_| unreadable())
}

fn host(url: &Url) -> &str {
    url.host_str().unwrap_or("the host")
}

fn failed(error: &reqwest::Error, url: &Url) -> FetchError {
    FetchError::failed(in_words(error, url))
}

#[cfg(test)]
mod tests;
