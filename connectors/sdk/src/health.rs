//! Whether a channel's credentials work at its platform.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;

/// A future that a trait object can return.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The HTTP client that the daemon lends: time-outs, size limits, the address guard and the rate limit come with it.
pub trait Http: Send + Sync {
    /// One call. Redirects are not followed.
    fn call(
        &self,
        request: http::Request<Bytes>,
    ) -> BoxFuture<'_, Result<http::Response<Bytes>, HttpFailure>>;
}

/// A call that brought no answer. The text names the host and the reason, never the query or a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpFailure(pub String);

impl std::fmt::Display for HttpFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for HttpFailure {}

/// How a thing stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It works.
    Fine,
    /// It works, and will not for long, or not wholly; or it could not be looked at.
    Doubtful,
    /// It does not work.
    Broken,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What: `token`, `page` …
    pub what: &'static str,
    /// How it stands.
    pub standing: Standing,
    /// What was found and, where it is not fine, what to do: plain words.
    pub say: String,
}

/// Asks the platform whether the credentials work.
pub trait Health: Send + Sync {
    /// Looks. It never fails: what cannot be asked is a finding.
    fn look<'a>(&'a self, http: &'a dyn Http) -> BoxFuture<'a, Vec<Finding>>;
}
