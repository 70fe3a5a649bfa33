//! The HTTP client that the daemon lends: time-outs, size limits, the address guard and the rate limit come with it.

use std::fmt;
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
pub struct HttpFailure {
    /// What went wrong.
    pub say: String,
    /// Whether the platform may have had the request all the same: the line was up, and only the answer is missing.
    pub may_have_arrived: bool,
}

impl HttpFailure {
    /// The request never left.
    #[must_use]
    pub fn not_sent(say: impl Into<String>) -> Self {
        Self {
            say: say.into(),
            may_have_arrived: false,
        }
    }

    /// The request left, and no answer came.
    #[must_use]
    pub fn unanswered(say: impl Into<String>) -> Self {
        Self {
            say: say.into(),
            may_have_arrived: true,
        }
    }
}

impl fmt::Display for HttpFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.say)
    }
}

impl std::error::Error for HttpFailure {}
