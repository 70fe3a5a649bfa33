//! What a provider of identities publishes about itself, kept for a while: its addresses and its keys.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use openidconnect::core::CoreJsonWebKeySet;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;
use tokio::time::Instant;
use url::{Host, Url};

use super::OidcError;
use crate::http_client;

/// For how long what was read is taken for true.
const FRESH: Duration = Duration::from_secs(60 * 60);
/// For how long it is used where the provider cannot be asked again.
const LAST_GOOD: Duration = Duration::from_secs(24 * 60 * 60);
/// How long it is between two readings for a key that is not known.
const PAUSE: Duration = Duration::from_secs(10);
/// The longest answer of a provider, in bytes.
const MAX_ANSWER_BYTES: usize = 1024 * 1024;

/// What a provider publishes.
#[derive(Debug)]
pub(super) struct Provider {
    pub(super) authorization_endpoint: Url,
    pub(super) token_endpoint: Url,
    /// Whether the client's secret goes into a header; else into the body.
    pub(super) takes_basic: bool,
    /// Whether it names itself in each answer (RFC 9207).
    pub(super) names_itself: bool,
    pub(super) keys: CoreJsonWebKeySet,
    read_at: Instant,
}

/// The document of OpenID Connect Discovery.
#[derive(Deserialize)]
struct Document {
    issuer: String,
    authorization_endpoint: Url,
    token_endpoint: Url,
    jwks_uri: Url,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

/// Calls the provider; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    /// The provider is on this machine: it may be asked by plain HTTP.
    is_local: bool,
    http: reqwest::Client,
}

/// Reads what the provider publishes.
#[derive(Debug)]
pub(super) struct Providers {
    issuer: String,
    caller: Caller,
    known: Mutex<Option<Arc<Provider>>>,
    pause: Duration,
}

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
#[error("{host} {why}")]
pub(super) struct NoAnswer {
    host: String,
    why: &'static str,
}

impl From<NoAnswer> for OidcError {
    fn from(error: NoAnswer) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl Providers {
    pub(super) fn new(issuer: &str) -> Result<Self, reqwest::Error> {
        Ok(Self {
            issuer: issuer.to_owned(),
            caller: Caller {
                is_local: Url::parse(issuer).is_ok_and(|url| is_loopback(&url)),
                // No redirects, no proxies, short: `http_client` says how short.
                http: http_client::client()?,
            },
            known: Mutex::new(None),
            pause: if cfg!(test) { Duration::ZERO } else { PAUSE },
        })
    }

    pub(super) fn caller(&self) -> Caller {
        self.caller.clone()
    }

    /// What the provider publishes: read now, or lately.
    pub(super) async fn get(&self) -> Result<Arc<Provider>, OidcError> {
        let mut known = self.known.lock().await;
        if let Some(provider) = known.as_ref().filter(|one| one.read_at.elapsed() < FRESH) {
            return Ok(Arc::clone(provider));
        }
        match self.read().await {
            Ok(provider) => {
                let provider = Arc::new(provider);
                *known = Some(Arc::clone(&provider));
                Ok(provider)
            }
            Err(error) => {
                let last = known
                    .as_ref()
                    .filter(|one| one.read_at.elapsed() < LAST_GOOD);
                match last {
                    Some(last) => {
                        tracing::warn!(%error, "what the provider of identities published before is used");
                        Ok(Arc::clone(last))
                    }
                    None => Err(error),
                }
            }
        }
    }

    /// The same, read anew because of a key that is not in `former`.
    pub(super) async fn anew(&self, former: &Provider) -> Result<Arc<Provider>, OidcError> {
        let mut known = self.known.lock().await;
        if let Some(provider) = known.as_ref()
            && (provider.read_at > former.read_at || provider.read_at.elapsed() < self.pause)
        {
            return Ok(Arc::clone(provider));
        }
        let provider = Arc::new(self.read().await?);
        *known = Some(Arc::clone(&provider));
        Ok(provider)
    }

    async fn read(&self) -> Result<Provider, OidcError> {
        let unavailable = |why: &str| OidcError::Unavailable(why.to_owned());
        let place = format!(
            "{}/.well-known/openid-configuration",
            self.issuer.trim_end_matches('/')
        );
        let place = Url::parse(&place).map_err(|_| unavailable("the issuer is no address"))?;
        let document: Document = self.read_json(&place).await?;
        if document.issuer != self.issuer {
            return Err(unavailable(
                "it calls itself by another name; `issuer` must be exactly what it says, also its last slash",
            ));
        }
        let endpoints = [
            &document.authorization_endpoint,
            &document.token_endpoint,
            &document.jwks_uri,
        ];
        if !endpoints.into_iter().all(|url| self.caller.is_safe(url)) {
            return Err(unavailable("one of its addresses is not https"));
        }
        let keys = self.read_json(&document.jwks_uri).await?;
        let methods = document.token_endpoint_auth_methods_supported;
        Ok(Provider {
            authorization_endpoint: document.authorization_endpoint,
            token_endpoint: document.token_endpoint,
            // Where it does not say, that is what it takes (Discovery 1.0, section 3).
            takes_basic: methods
                .is_none_or(|methods| methods.iter().any(|one| one == "client_secret_basic")),
            names_itself: document.authorization_response_iss_parameter_supported,
            keys,
            read_at: Instant::now(),
        })
    }

    async fn read_json<T: DeserializeOwned>(&self, place: &Url) -> Result<T, OidcError> {
        let request = http::Request::get(place.as_str())
            .header(http::header::ACCEPT, "application/json")
            .body(Vec::new())
            .map_err(|_| OidcError::Unavailable("its address cannot be asked".to_owned()))?;
        let answer = self.caller.call(request).await?;
        let host = place.host_str().unwrap_or_default();
        if answer.status() != http::StatusCode::OK {
            let status = answer.status().as_u16();
            return Err(OidcError::Unavailable(format!("{host} answered {status}")));
        }
        serde_json::from_slice(answer.body()).map_err(|_| {
            OidcError::Unavailable(format!("{host} answered something that cannot be read"))
        })
    }
}

impl Caller {
    /// Whether nobody on the way reads or changes what goes to an address.
    fn is_safe(&self, url: &Url) -> bool {
        url.scheme() == "https" || (self.is_local && url.scheme() == "http" && is_loopback(url))
    }

    /// Calls the provider.
    pub(super) async fn call(
        &self,
        request: http::Request<Vec<u8>>,
    ) -> Result<http::Response<Vec<u8>>, NoAnswer> {
        let (parts, body) = request.into_parts();
        let host = parts.uri.host().unwrap_or_default().to_owned();
        let failed = |why: &'static str| NoAnswer {
            host: host.clone(),
            why,
        };
        let url = Url::parse(&parts.uri.to_string()).map_err(|_| failed("has no address"))?;
        if !self.is_safe(&url) {
            return Err(failed("is not reached by https"));
        }
        let sent = self
            .http
            .request(parts.method, url)
            .headers(parts.headers)
            .body(Bytes::from(body))
            .send();
        let mut answer = sent.await.map_err(|error| match error.is_timeout() {
            true => failed("did not answer in time"),
            false => failed("cannot be reached"),
        })?;
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|_| failed("broke off"))? {
            if bytes.len() + chunk.len() > MAX_ANSWER_BYTES {
                return Err(failed("answered too much"));
            }
            bytes.extend_from_slice(&chunk);
        }
        let mut response = http::Response::new(bytes);
        *response.status_mut() = answer.status();
        *response.headers_mut() = answer.headers().clone();
        Ok(response)
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
