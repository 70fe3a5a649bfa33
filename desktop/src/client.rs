//! The daemon's API, as far as this program calls it.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use reqwest::header::{ACCEPT, HeaderMap};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use url::{Host, Url};

use crate::keeping::Account;
use crate::wire::{Channel, Claimed, Conversation, Page, Ring};

/// How long a call may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// A stream says at least every 15 s that it lives; one that is silent for so long is dead.
const STREAM_SILENCE: Duration = Duration::from_secs(25);
/// The longest answer that is read, in bytes.
const MOST_BYTES: usize = 8 * 1024 * 1024;
/// How many rings a page has.
const PAGE: usize = 200;
/// How many pages are read: more than anybody can answer.
const MOST_PAGES: usize = 100;
/// The longest reason that the daemon takes, in characters.
const MOST_DETAIL_CHARS: usize = 300;

/// Why a call came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The daemon does not let us in.
    #[error("the daemon does not let this computer in any more: {0}")]
    SignedOut(String),
    /// The daemon says no.
    #[error("{detail}")]
    Refused {
        /// The status of HTTP.
        status: u16,
        /// Its words.
        detail: String,
        /// When to try again.
        retry_after: Option<Duration>,
    },
    /// It was not reached, or said what is not understood.
    #[error("{0}")]
    Away(String),
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Problem {
    title: Option<String>,
    detail: Option<String>,
}

/// A daemon, and what lets us in.
#[derive(Clone, Debug)]
pub struct Daemon {
    /// For calls.
    client: Client,
    /// For the stream, which never ends.
    streams: Client,
    account: Account,
}

fn builder() -> reqwest::ClientBuilder {
    // An error says that it is there already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder()
        .redirect(Policy::none())
        .connect_timeout(Duration::from_secs(8))
        .user_agent(concat!("deskbell-desktop/", env!("CARGO_PKG_VERSION")))
}

/// An address of a daemon as a person gives it. A token in clear crosses no network unless somebody insists.
///
/// # Errors
/// Says what is wrong with it.
pub fn address(text: &str, plain_http: bool) -> Result<Url> {
    let given = text.trim();
    let whole = if given.contains("://") {
        given.to_owned()
    } else {
        format!("https://{given}")
    };
    let mut url = Url::parse(&whole).with_context(|| {
        format!("{given:?} is no address; use one such as https://desk.example.com")
    })?;
    let here = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => {
            bail!("{given:?} names no computer; use an address such as https://desk.example.com")
        }
    };
    match url.scheme() {
        "https" => {}
        "http" if here || plain_http => {}
        "http" => bail!(
            "{given} has no encryption: whoever listens on the way could read your customers' messages and sign in as you. Use https://…, or --plain-http where you trust the network"
        ),
        other => bail!("{other}:// is no address of a desk; use https://…"),
    }
    ensure!(
        url.username().is_empty() && url.password().is_none(),
        "leave name and password out of the address"
    );
    // What people copy from the browser.
    let path = url
        .path()
        .split("/desk")
        .next()
        .unwrap_or_default()
        .trim_end_matches('/')
        .to_owned();
    url.set_path(&path);
    url.set_query(None);
    url.set_fragment(None);
    Ok(url)
}

fn join(server: &Url, path: &str) -> Result<Url> {
    let base = server.as_str().trim_end_matches('/');
    Url::parse(&format!("{base}{path}")).with_context(|| format!("{base}{path} is no address"))
}

/// Claims a code that the desk shows.
///
/// # Errors
/// Where the daemon is not reached or refuses it, in words for people.
pub async fn claim(server: &Url, code: &str, name: &str) -> Result<Claimed> {
    let client = builder().timeout(PATIENCE).build()?;
    let body = json!({ "code": code, "name": name, "kind": "desktop" });
    let request = client
        .post(join(server, "/api/v1/devices/claim")?)
        .json(&body);
    let answer = send(request).await.map_err(|failure| match failure {
        Failure::Refused { status: 404 | 405, .. } => anyhow!("{server} knows no such code. It is good for 10 minutes and once: let the desk show a new one"),
        Failure::Away(words) => anyhow!("{server} cannot be reached: {words}"),
        other => anyhow!("{other}"),
    })?;
    let answer = text(answer).await.map_err(|failure| anyhow!("{failure}"))?;
    serde_json::from_str(&answer)
        .context("the answer is not understood; is this a Deskbell, and not an older one?")
}

async fn send(request: RequestBuilder) -> Result<Response, Failure> {
    let answer = request
        .send()
        .await
        .map_err(|error| Failure::Away(in_words(&error)))?;
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let retry_after = retry_after(answer.headers());
    let problem: Problem = text(answer)
        .await
        .ok()
        .and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_default();
    let detail = problem
        .detail
        .or(problem.title)
        .unwrap_or_else(|| format!("it answers {status}"));
    if status == StatusCode::UNAUTHORIZED {
        return Err(Failure::SignedOut(detail));
    }
    Err(Failure::Refused {
        status: status.as_u16(),
        detail,
        retry_after,
    })
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers
        .get("retry-after")?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds))
}

/// The body of an answer, within the limit.
async fn text(mut answer: Response) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    loop {
        match answer.chunk().await {
            Ok(Some(more)) if bytes.len() + more.len() > MOST_BYTES => {
                return Err(Failure::Away("the answer is too long".to_owned()));
            }
            Ok(Some(more)) => bytes.extend_from_slice(&more),
            Ok(None) => return Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Err(error) => return Err(Failure::Away(in_words(&error))),
        }
    }
}

/// An error with its causes, and without the address: whoever reads it knows it.
fn in_words(error: &reqwest::Error) -> String {
    let mut words = if error.is_timeout() {
        "it does not answer in time".to_owned()
    } else if error.is_connect() {
        "no connection".to_owned()
    } else {
        "the connection broke".to_owned()
    };
    let mut cause = std::error::Error::source(error);
    while let Some(one) = cause {
        let more = one.to_string();
        if !words.ends_with(&more) {
            words.push_str(": ");
            words.push_str(&more);
        }
        cause = one.source();
    }
    words
}

impl Daemon {
    /// The one of an account.
    ///
    /// # Errors
    /// Where TLS cannot be set up.
    pub fn new(account: Account) -> Result<Self> {
        let client = builder().timeout(PATIENCE).build()?;
        let streams = builder().read_timeout(STREAM_SILENCE).build()?;
        Ok(Self {
            client,
            streams,
            account,
        })
    }

    /// Who we are.
    #[must_use]
    pub fn account(&self) -> &Account {
        &self.account
    }

    fn url(&self, path: &str) -> Result<Url, Failure> {
        join(&self.account.server, path).map_err(|error| Failure::Away(error.to_string()))
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<T, Failure> {
        let mut request = self
            .client
            .request(method, self.url(path)?)
            .bearer_auth(&self.account.token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = text(send(request).await?).await?;
        let answer = if answer.is_empty() { "null" } else { &answer };
        serde_json::from_str(answer)
            .map_err(|error| Failure::Away(format!("the answer is not understood: {error}")))
    }

    /// Opens the stream; `after` is the last event that was heard.
    ///
    /// # Errors
    /// Where it is not opened.
    pub async fn events(&self, after: Option<u64>) -> Result<Response, Failure> {
        let mut request = self.streams.get(self.url("/api/v1/events")?);
        request = request
            .bearer_auth(&self.account.token)
            .header(ACCEPT, "text/event-stream");
        if let Some(after) = after {
            request = request.header("last-event-id", after);
        }
        match tokio::time::timeout(PATIENCE, send(request)).await {
            Ok(result) => result,
            Err(_) => Err(Failure::Away("it does not answer in time".to_owned())),
        }
    }

    /// Every ring that rings now.
    ///
    /// # Errors
    /// Where they cannot be read, all of them.
    pub async fn ringing(&self) -> Result<Vec<Ring>, Failure> {
        let mut rings = Vec::new();
        let mut cursor: Option<String> = None;
        for _ in 0..MOST_PAGES {
            let mut path = format!("/api/v1/bell?state=ringing&limit={PAGE}");
            if let Some(cursor) = &cursor {
                path.push_str("&cursor=");
                path.extend(url::form_urlencoded::byte_serialize(cursor.as_bytes()));
            }
            let page: Page<Ring> = self.call(Method::GET, &path, None).await?;
            rings.extend(page.data);
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        Ok(rings)
    }

    /// A conversation.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub async fn conversation(&self, id: &str) -> Result<Conversation, Failure> {
        self.call(Method::GET, &format!("/api/v1/conversations/{id}"), None)
            .await
    }

    /// The channels that we may see.
    ///
    /// # Errors
    /// Where they cannot be read.
    pub async fn channels(&self) -> Result<Vec<Channel>, Failure> {
        let page: Page<Channel> = self
            .call(Method::GET, "/api/v1/channels?limit=200", None)
            .await?;
        Ok(page.data)
    }

    /// Takes a ring.
    ///
    /// # Errors
    /// Where it could not be taken: 409 where somebody else has it, or it is over.
    pub async fn take(&self, ring: &str) -> Result<(), Failure> {
        let path = format!("/api/v1/bell/{ring}/ack");
        self.call::<Value>(Method::POST, &path, Some(json!({})))
            .await
            .map(drop)
    }

    /// Tells that a ring was shown here; `failed` says in words what was not seen or not heard.
    ///
    /// # Errors
    /// Where it cannot be told.
    pub async fn shown(
        &self,
        ring: &str,
        failed: bool,
        detail: Option<&str>,
    ) -> Result<(), Failure> {
        let detail = detail.map(|words| words.chars().take(MOST_DETAIL_CHARS).collect::<String>());
        let body = json!({
            "device": "desktop", "device_id": self.account.device_id, "failed": failed, "detail": detail,
        });
        let path = format!("/api/v1/bell/{ring}/shown");
        self.call::<Value>(Method::POST, &path, Some(body))
            .await
            .map(drop)
    }

    /// Answers a test of this device.
    ///
    /// # Errors
    /// Where it cannot be told.
    pub async fn confirm(&self, test: &str, failed: Option<&str>) -> Result<(), Failure> {
        let Some(device) = &self.account.device_id else {
            return Ok(());
        };
        let detail = failed.map(|words| words.chars().take(MOST_DETAIL_CHARS).collect::<String>());
        let body = json!({ "test": test, "failed": failed.is_some(), "detail": detail });
        let path = format!("/api/v1/devices/{device}/confirm");
        self.call::<Value>(Method::POST, &path, Some(body))
            .await
            .map(drop)
    }

    /// Takes this device out of the daemon's list: its token is worth nothing from then on.
    ///
    /// # Errors
    /// Where the daemon is not reached.
    pub async fn remove_device(&self) -> Result<(), Failure> {
        let Some(device) = &self.account.device_id else {
            return Ok(());
        };
        let path = format!("/api/v1/devices/{device}");
        self.call::<Value>(Method::DELETE, &path, None)
            .await
            .map(drop)
    }

    /// Who the daemon takes us for.
    ///
    /// # Errors
    /// Where it cannot be asked, or does not let us in.
    pub async fn me(&self) -> Result<Value, Failure> {
        self.call(Method::GET, "/api/v1/me", None).await
    }

    /// Where the desk shows a conversation, an alarm, or what waits.
    #[must_use]
    pub fn desk_url(&self, id: Option<&str>) -> String {
        let server = self.account.server.as_str().trim_end_matches('/');
        // Ids come from the daemon and are no part of a path of ours unless they look like ids.
        let is_id = |id: &&str| {
            id.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        };
        match id.filter(is_id) {
            Some(id) if id.starts_with("rng_") => format!("{server}/desk/bell/{id}"),
            Some(id) => format!("{server}/desk/inbox/unanswered/{id}"),
            None => format!("{server}/desk/inbox/unanswered"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_what_people_copy_and_never_in_clear_by_accident() {
        for (given, kept) in [
            ("desk.example.com", "https://desk.example.com/"),
            (
                " https://desk.example.com/desk/inbox/unanswered?x=1#a ",
                "https://desk.example.com/",
            ),
            ("https://example.com/shop/", "https://example.com/shop"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080/"),
            ("http://[::1]:8080/desk", "http://[::1]:8080/"),
            ("http://localhost:8080", "http://localhost:8080/"),
        ] {
            assert_eq!(address(given, false).expect(given).as_str(), kept);
        }
        for (given, words) in [
            ("http://desk.example.com", "no encryption"),
            ("http://localhost.example.com", "no encryption"),
            ("ftp://desk.example.com", "no address of a desk"),
            (
                "https://anna:x@desk.example.com",
                "leave name and password out",
            ),
            ("", "no address"),
        ] {
            let error = format!("{:#}", address(given, false).expect_err(given));
            assert!(error.contains(words), "{given}: {error}");
        }
        assert!(address("http://desk.example.com", true).is_ok());
    }

    #[test]
    fn the_desk_is_opened_where_the_conversation_is() {
        let account = |server: &str| Account {
            server: Url::parse(server).expect("an address"),
            token: String::new(),
            device_id: None,
            user_id: None,
            user_name: None,
        };
        let daemon = Daemon::new(account("https://example.com/shop")).expect("a client");
        assert_eq!(
            daemon.desk_url(Some("cnv_1")),
            "https://example.com/shop/desk/inbox/unanswered/cnv_1"
        );
        assert_eq!(
            daemon.desk_url(Some("rng_1")),
            "https://example.com/shop/desk/bell/rng_1"
        );
        assert_eq!(
            daemon.desk_url(Some("../evil")),
            "https://example.com/shop/desk/inbox/unanswered"
        );
        assert_eq!(
            daemon.url("/api/v1/me").expect("an address").as_str(),
            "https://example.com/shop/api/v1/me"
        );
    }
}
