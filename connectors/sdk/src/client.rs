//! The HTTP client that the daemon lends: time-outs, size limits, the address guard and the rate limit come with it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

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

/// Why a call that asks a platform for something brought nothing. (What sends has [`crate::send::SendError`], since
/// there a lost answer is a matter of its own.)
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallError {
    /// Worth another try: too many calls, the platform's trouble, a line that broke.
    Retry {
        /// When the platform says, where it does.
        after: Option<Duration>,
        /// What went wrong.
        say: String,
    },
    /// Refused for good: asking again brings the same.
    Refused {
        /// The platform's code.
        code: String,
        /// What it means and what can be done.
        say: String,
    },
    /// The channel's credentials do not work.
    Credentials {
        /// What to do.
        say: String,
    },
}

impl CallError {
    /// Worth another try, and the platform does not say when.
    #[must_use]
    pub fn retry(say: impl Into<String>) -> Self {
        Self::Retry {
            after: None,
            say: say.into(),
        }
    }
}

impl From<HttpFailure> for CallError {
    fn from(failure: HttpFailure) -> Self {
        Self::retry(failure.say)
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Retry { say, .. } | Self::Refused { say, .. } | Self::Credentials { say } => {
                f.write_str(say)
            }
        }
    }
}

impl std::error::Error for CallError {}
