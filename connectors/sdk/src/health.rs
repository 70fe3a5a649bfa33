//! Whether a channel's credentials work at its platform.

use crate::client::{BoxFuture, Http};

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
