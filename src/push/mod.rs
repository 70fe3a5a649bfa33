//! Web Push: tells a browser something by its push service (RFC 8030), so that nobody between reads it (RFC 8291), and
//! the push service knows who asks (RFC 8292).
//!
//! Where a push service is, the browser says, and with it whoever registers: it is called by the guarded client only (O07).

mod kept;
mod vapid;

use std::time::Duration;

use axum::body::Bytes;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use deskbell_sdk::retry_after::retry_after;
use deskbell_sdk::{Secret, Time};
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use web_push_native::p256::PublicKey;
use web_push_native::{Auth, encrypt};

use crate::http_client::Poster;

pub use kept::{key, seal_anew};
pub use vapid::Vapid;

/// The longest message, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 3 * 1024;
/// How much of a push service's answer is read, in bytes: nothing of it is used.
const MOST_ANSWER_BYTES: usize = 1024;

/// Sends to push services.
#[derive(Debug)]
pub struct Push {
    poster: Poster,
    vapid: Option<Vapid>,
}

/// What is wrong with a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// The endpoint: why, in words.
    Endpoint(String),
    /// The public key.
    PublicKey,
    /// The authentication secret.
    Auth,
}

/// How soon it matters, in the words of RFC 8030.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// Also to a device that saves its battery.
    High,
    /// To a device that is awake.
    Normal,
}

/// What is sent.
#[derive(Clone, Debug)]
pub struct Note {
    /// The message, at most [`MAX_MESSAGE_BYTES`].
    pub message: Vec<u8>,
    /// How long the push service keeps it for a browser that is away.
    pub ttl: Duration,
    /// How soon it matters.
    pub urgency: Urgency,
    /// At most 32 letters of base64url: it takes the place of one of the same topic that waits.
    pub topic: Option<String>,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The push service has it.
    Sent,
    /// The subscription is gone for good.
    Gone,
    /// Trying again does not mend it: why, in words.
    Refused(String),
    /// It may pass: why, in words, and when to come again where the push service says.
    Passing(String, Option<Duration>),
}

/// A subscription as it is sealed.
#[derive(Serialize, Deserialize)]
struct Kept {
    endpoint: String,
    p256dh: String,
    auth: String,
}

impl Push {
    /// With the key of this desk, where there is one. `private` allows push services at private addresses and by http.
    ///
    /// # Errors
    /// Where there is no HTTP client.
    pub fn new(private: bool, vapid: Option<Vapid>) -> Result<Self, reqwest::Error> {
        Ok(Self {
            poster: Poster::new(private)?,
            vapid,
        })
    }

    /// The public key that browsers subscribe with: 65 bytes; `None` where there is no key.
    #[must_use]
    pub fn public_key(&self) -> Option<&[u8]> {
        self.vapid.as_ref().map(Vapid::public)
    }

    /// Checks a subscription; gives what is to be sealed of it.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self, endpoint: &str, p256dh: &str, auth: &str) -> Result<Secret, Wrong> {
        self.poster.check(endpoint).map_err(Wrong::Endpoint)?;
        let kept = Kept {
            endpoint: endpoint.to_owned(),
            p256dh: p256dh.trim_end_matches('=').to_owned(),
            auth: auth.trim_end_matches('=').to_owned(),
        };
        public_key(&kept.p256dh).ok_or(Wrong::PublicKey)?;
        auth_of(&kept.auth).ok_or(Wrong::Auth)?;
        let json = serde_json::to_string(&kept).map_err(|_| Wrong::Auth)?;
        Ok(Secret::new(json))
    }

    /// Sends to a subscription, as [`Push::check`] gave it. It takes 15 s at the most.
    pub async fn send(&self, now: Time, subscription: &Secret, note: &Note) -> Outcome {
        let Some(vapid) = &self.vapid else {
            let why = "there is no key for Web Push: look at the daemon's log";
            return Outcome::Refused(why.to_owned());
        };
        let Ok(kept) = serde_json::from_str::<Kept>(subscription.expose()) else {
            return Outcome::Refused("what is kept of the subscription cannot be read".to_owned());
        };
        let origin = match self.poster.check(&kept.endpoint) {
            Ok(url) => url.origin().ascii_serialization(),
            Err(why) => return Outcome::Refused(why),
        };
        let (Some(body), Some(headers)) =
            (encrypted(&kept, note), headers(vapid, now, &origin, note))
        else {
            return Outcome::Refused("it cannot be encrypted for this subscription".to_owned());
        };
        let posted = self
            .poster
            .post(&kept.endpoint, headers, body, MOST_ANSWER_BYTES)
            .await;
        let outcome = match posted {
            Err(why) => Outcome::Passing(why, None),
            Ok(answer) => judge(answer.status.as_u16(), &answer.headers, &origin),
        };
        if matches!(outcome, Outcome::Refused(_)) {
            // Should it be the token that is not liked: the next try has another.
            vapid.forget(&origin);
        }
        outcome
    }
}

fn judge(status: u16, headers: &HeaderMap, origin: &str) -> Outcome {
    match status {
        200..=299 => Outcome::Sent,
        404 | 410 => Outcome::Gone,
        401 | 403 => Outcome::Refused(format!(
            "{origin} does not take this desk's key ({status}): turn notifications off and on again in that browser"
        )),
        408 | 429 | 500..=599 => {
            Outcome::Passing(format!("{origin} answered {status}"), retry_after(headers))
        }
        _ => Outcome::Refused(format!("{origin} answered {status}")),
    }
}

fn public_key(p256dh: &str) -> Option<PublicKey> {
    let bytes = URL_SAFE_NO_PAD.decode(p256dh).ok()?;
    PublicKey::from_sec1_bytes(&bytes)
        .ok()
        .filter(|_| bytes.len() == 65)
}

fn auth_of(auth: &str) -> Option<Auth> {
    let bytes: [u8; 16] = URL_SAFE_NO_PAD.decode(auth).ok()?.try_into().ok()?;
    Some(bytes.into())
}

/// A new key for each message: nothing is ever encrypted twice with one.
fn encrypted(kept: &Kept, note: &Note) -> Option<Bytes> {
    if note.message.len() > MAX_MESSAGE_BYTES {
        return None;
    }
    let (key, auth) = (public_key(&kept.p256dh)?, auth_of(&kept.auth)?);
    let body = encrypt(note.message.clone(), &key, &auth).ok()?;
    Some(body.into())
}

fn headers(vapid: &Vapid, now: Time, origin: &str, note: &Note) -> Option<HeaderMap> {
    let urgency = match note.urgency {
        Urgency::High => "high",
        Urgency::Normal => "normal",
    };
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, vapid.authorization(origin, now)?);
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("aes128gcm"));
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    headers.insert(
        HeaderName::from_static("ttl"),
        HeaderValue::from(note.ttl.as_secs()),
    );
    headers.insert(
        HeaderName::from_static("urgency"),
        HeaderValue::from_static(urgency),
    );
    if let Some(topic) = &note.topic {
        let topic = HeaderValue::from_str(topic).ok()?;
        headers.insert(HeaderName::from_static("topic"), topic);
    }
    Some(headers)
}

#[cfg(test)]
mod tests;
