//! Telling something to an address that somebody chose: the guarded client for what goes out.
//!
//! The address is checked as those of [`super::Fetcher`] are, names are looked up once and only lead to public addresses,
//! and no redirection is followed. Of the answer no more is read than is wanted.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use http::{HeaderMap, StatusCode};
use reqwest::dns::Resolve;
use tokio::time::{Instant, timeout_at};
use url::Url;

use super::builder;
use super::guard::{CheckedResolver, Hosts, Rules, SystemResolver, check, in_words};

/// The longest that one call takes in all.
const TIME: Duration = Duration::from_secs(15);

/// What was answered.
#[derive(Clone, Debug)]
pub struct PostAnswer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The beginning of the body.
    pub body: Vec<u8>,
}

/// Tells addresses that somebody chose.
#[derive(Clone, Debug)]
pub struct Poster {
    client: reqwest::Client,
    rules: Option<Rules>,
    time: Duration,
}

impl Poster {
    /// One for the public internet by https; with `private` for every address, by http as well.
    ///
    /// # Errors
    /// Where no client can be made.
    pub fn new(private: bool) -> Result<Self, reqwest::Error> {
        let rules = (!private).then_some(Rules::PUBLIC);
        Self::with(rules, Arc::new(SystemResolver), TIME)
    }

    /// One with other rules, another way to look names up, another time.
    ///
    /// # Errors
    /// Where no client can be made.
    pub fn with(
        rules: Option<Rules>,
        resolver: Arc<dyn Resolve>,
        time: Duration,
    ) -> Result<Self, reqwest::Error> {
        let all: fn(IpAddr) -> bool = |_| true;
        let resolver = CheckedResolver {
            inner: resolver,
            allows: rules.map_or(all, |rules| rules.allows),
        };
        let client = builder()
            .timeout(time)
            .referer(false)
            .dns_resolver(Arc::new(resolver))
            .build()?;
        Ok(Self {
            client,
            rules,
            time,
        })
    }

    /// Whether an address may be told at all, as far as it says so itself: where its name leads is seen when it is called.
    ///
    /// # Errors
    /// Why not, in words that name the host and nothing behind it.
    pub fn check(&self, text: &str) -> Result<Url, String> {
        let url =
            Url::parse(text).map_err(|error| format!("the address cannot be read: {error}"))?;
        match &self.rules {
            Some(rules) => check(&url, rules, &Hosts::default())?,
            None if !url.username().is_empty() || url.password().is_some() => {
                return Err("the address holds a name or a password".to_owned());
            }
            None if !matches!(url.scheme(), "http" | "https") || url.host().is_none() => {
                return Err("the address is neither http nor https".to_owned());
            }
            None => {}
        }
        Ok(url)
    }

    /// Posts, and reads at most `most_bytes` of the answer.
    ///
    /// # Errors
    /// Why there is no answer, in words that name the host and nothing behind it.
    pub async fn post(
        &self,
        url: &str,
        headers: HeaderMap,
        body: Bytes,
        most_bytes: usize,
    ) -> Result<PostAnswer, String> {
        let url = self.check(url)?;
        let ends = Instant::now() + self.time;
        let request = self.client.post(url.clone()).headers(headers).body(body);
        let mut answer = timeout_at(ends, request.send())
            .await
            .map_err(|_| {
                format!(
                    "{} did not answer in time",
                    url.host_str().unwrap_or("the host")
                )
            })?
            .map_err(|error| in_words(&error, &url))?;
        let mut body = Vec::new();
        // What was answered counts; a body that does not come changes nothing about it.
        while body.len() < most_bytes
            && let Ok(Ok(Some(chunk))) = timeout_at(ends, answer.chunk()).await
        {
            body.extend_from_slice(&chunk);
        }
        body.truncate(most_bytes);
        Ok(PostAnswer {
            status: answer.status(),
            headers: answer.headers().clone(),
            body,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use reqwest::dns::{Addrs, Name, Resolving};

    use super::*;

    /// Says one address at first and another afterwards.
    struct ChangesItsMind(AtomicUsize, [&'static str; 2]);

    impl Resolve for ChangesItsMind {
        fn resolve(&self, _: Name) -> Resolving {
            let asked = self.0.fetch_add(1, Ordering::SeqCst);
            let address: IpAddr = self.1[asked.min(1)].parse().expect("an address");
            let found: Addrs = Box::new(std::iter::once(SocketAddr::new(address, 0)));
            Box::pin(async move { Ok(found) })
        }
    }

    #[tokio::test]
    async fn o01_a_name_that_leads_inside_is_not_called() {
        for inside in ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "fd00::1"] {
            let names = Arc::new(ChangesItsMind(AtomicUsize::new(0), [inside, inside]));
            let poster = Poster::with(Some(Rules::PUBLIC), names, Duration::from_secs(30));
            let poster = poster.expect("a client");
            let told = poster.post(
                "https://hooks.example/secret",
                HeaderMap::new(),
                Bytes::new(),
                10,
            );
            let why = told.await.expect_err("refused");
            assert!(why.contains("hooks.example is refused"), "{why}");
            assert!(!why.contains("secret"), "{why}");
        }
    }
}
