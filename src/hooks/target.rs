//! What speaks at the other end of a hook: one file each. A target makes words of an event, a request of the words, and
//! understands the answer.

mod discord;
mod gotify;
mod ntfy;
mod pushover;
mod slack;
mod teams;
mod webhook;
mod words;

use axum::body::Bytes;
use deskbell_sdk::{Secret, Time};
use http::{HeaderMap, HeaderValue, header};
use serde_json::Value;
use url::Url;

use crate::http_client::PostAnswer;
use crate::store::entry::{HookDeliveryEntry, HookEntry, HookKind};

/// What is to be told.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// Its type.
    pub kind: &'a str,
    /// When it happened.
    pub at: Time,
    /// What it is about, as the stream shows it.
    pub data: &'a Value,
    /// The message that it is about, where that is not in `data`: the one that rings.
    pub message: Option<&'a Value>,
    /// Where people reach this desk, without a slash at its end.
    pub desk: &'a str,
}

/// A delivery on its way.
#[derive(Clone, Copy, Debug)]
pub struct Sending<'a> {
    /// The hook.
    pub hook: &'a HookEntry,
    /// What it is told.
    pub told: &'a HookDeliveryEntry,
    /// Now.
    pub now: Time,
    /// What it is signed with.
    pub secrets: &'a [Secret],
    /// What opens the server at the other end.
    pub access_token: Option<&'a Secret>,
}

/// What is posted.
#[derive(Clone, Debug)]
pub struct Post {
    /// Where.
    pub url: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// What an answer means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was taken.
    Taken,
    /// The other end is in trouble: all that waits for it comes later, not before so many milliseconds where it says so.
    Trouble {
        /// How long to wait at least.
        after_ms: Option<i64>,
    },
    /// The other end works and does not take this; it may take it later.
    Refused,
    /// The other end works and will never take this.
    Never,
    /// There is nobody any more: why, in words that say what to do.
    Off(String),
}

/// Whether the server at the other end is opened by an access token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// By none: its address is the secret, or deliveries are signed.
    None,
    /// By one, where the server wants that.
    Possible,
    /// By one, always: what it is, in words.
    Needed(&'static str),
}

/// What speaks at the other end.
pub trait Target: Sync {
    /// Whether an address can be one of this kind.
    ///
    /// # Errors
    /// Why not, in words.
    fn check(&self, _url: &Url) -> Result<(), String> {
        Ok(())
    }

    /// Whether it takes an access token.
    fn access(&self) -> Access {
        Access::None
    }

    /// How many calls it allows at once; `None`: as many as are made of one hook.
    fn at_once(&self) -> Option<usize> {
        None
    }

    /// The body that tells an event: at most 20 kB.
    fn render(&self, event: &Event<'_>) -> String;

    /// The request.
    ///
    /// # Errors
    /// Why it cannot be made, in words.
    fn request(&self, sending: &Sending<'_>) -> Result<Post, String>;

    /// What the answer means.
    fn judge(&self, answer: &PostAnswer) -> Verdict;
}

/// The target of a kind.
#[must_use]
pub fn of(kind: HookKind) -> &'static dyn Target {
    match kind {
        HookKind::Webhook | HookKind::Command => &webhook::StandardWebhook,
        HookKind::Ntfy => &ntfy::Ntfy,
        HookKind::Slack => &slack::Slack,
        HookKind::Gotify => &gotify::Gotify,
        HookKind::Pushover => &pushover::Pushover,
        HookKind::Discord => &discord::Discord,
        HookKind::Teams => &teams::Teams,
    }
}

#[cfg(test)]
mod tests;

/// What may be sent in a day or a month is used up: how long to wait where the server does not say, in milliseconds.
const QUOTA_WAIT_MS: i64 = 6 * 60 * 60 * 1000;

/// How long the other end asks for, in milliseconds.
fn after_ms(answer: &PostAnswer) -> Option<i64> {
    let after = deskbell_sdk::retry_after::retry_after(&answer.headers)?;
    i64::try_from(after.as_millis()).ok()
}

/// A body of JSON to an address.
fn post_of_json(url: impl Into<String>, body: &str) -> Post {
    let json = HeaderValue::from_static("application/json");
    Post {
        url: url.into(),
        headers: HeaderMap::from_iter([(header::CONTENT_TYPE, json)]),
        body: Bytes::copy_from_slice(body.as_bytes()),
    }
}

/// A value of a header that no log shows.
fn secret_value(text: &str) -> Result<HeaderValue, String> {
    let value = HeaderValue::try_from(text);
    let mut value = value.map_err(|_| "its access token cannot stand in a header".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

/// What an answer means that says nothing of its own.
fn otherwise(answer: &PostAnswer) -> Verdict {
    match answer.status.as_u16() {
        200..=299 => Verdict::Taken,
        _ if is_trouble(answer) => Verdict::Trouble {
            after_ms: after_ms(answer),
        },
        300..=399 => Verdict::Refused,
        _ => Verdict::Never,
    }
}

/// Whether a status tells of trouble that passes, and not of a request that does not do.
fn is_trouble(answer: &PostAnswer) -> bool {
    answer.status.is_server_error() || matches!(answer.status.as_u16(), 408 | 425 | 429)
}
