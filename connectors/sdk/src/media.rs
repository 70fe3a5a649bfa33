//! Where the bytes of what a customer sent can be fetched.

use std::fmt;

use crate::client::{BoxFuture, CallError, Http};
use crate::inbound::Source;
use crate::secret::Secret;

/// An attachment, or the picture of a person, whose bytes are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// Where the platform said they are.
    pub source: &'a Source,
    /// The platform's id of the message; empty for the picture of a person.
    pub message: &'a str,
    /// Which of the message's attachments it is, from 0.
    pub place: usize,
    /// The platform's id of the attachment.
    pub external_id: Option<&'a str>,
    /// The address that the message told no longer works: ask for a new one.
    pub expired: bool,
}

/// Where bytes can be fetched.
#[derive(Clone, PartialEq, Eq)]
pub struct Located {
    /// The address. It may hold a token, so it is never logged or shown.
    pub url: Secret,
    /// The `Authorization` header that goes with it. It is given only to the channel's `api_base` and to what
    /// [`Media::hosts`] names, and after a redirection to another origin to nobody.
    pub authorization: Option<Secret>,
}

impl fmt::Debug for Located {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Located").finish_non_exhaustive()
    }
}

/// Finds the bytes of attachments. Without it, an address that a message told is fetched as it is.
pub trait Media: Send + Sync {
    /// The domains from which the platform gives files, each with what is below it: `cdn.example`. `None`: from any host
    /// of the public internet. The channel's `api_base` need not be named.
    fn hosts(&self) -> Option<&[&str]> {
        None
    }

    /// Where the bytes are now. `Refused`: they are gone for good, or the platform never gives them.
    fn locate<'a>(
        &'a self,
        http: &'a dyn Http,
        wanted: Wanted<'a>,
    ) -> BoxFuture<'a, Result<Located, CallError>>;
}
