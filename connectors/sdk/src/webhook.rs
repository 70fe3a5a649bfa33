//! Deliveries of a platform: the handshake, the check, the decoding.

use std::fmt;

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, Method};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::inbound::Inbound;
use crate::secret::Secret;

/// A request at a channel's webhook address, with its whole body as the bytes that came.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The method.
    pub method: &'a Method,
    /// What stands behind the question mark, as it came; empty where there is none.
    pub query: &'a str,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The body.
    pub body: &'a Bytes,
}

impl<'a> Request<'a> {
    /// The header's value where it stands exactly once and is visible ASCII; everything else is refused, so that no
    /// two readers of the request can see different values (W02).
    pub fn single_header(&self, name: &str) -> Result<&'a str, Rejected> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next().ok_or(Rejected::Missing)?;
        if values.next().is_some() {
            return Err(Rejected::Wrong);
        }
        value.to_str().map_err(|_| Rejected::Wrong)
    }

    /// The first value of a query parameter, percent-decoded; the raw name counts (`hub.mode`, not `hub_mode`).
    #[must_use]
    pub fn query_value(&self, name: &str) -> Option<String> {
        self.query.split('&').find_map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (percent_decoded(key)? == name).then(|| percent_decoded(value))?
        })
    }
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                if !digits.iter().all(u8::is_ascii_hexdigit) {
                    return None;
                }
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

/// What to answer to a platform: always `text/plain` and never sniffed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: String,
}

/// A delivery that was checked. It can be made only by the checking functions of this module, so that no connector
/// can forget to check (W01).
#[derive(Clone, Debug)]
pub struct Verified {
    body: Bytes,
}

impl Verified {
    /// A delivery that was checked when it came, and that the daemon has kept since, to be decoded once more. For
    /// nothing else: what comes is checked.
    #[must_use]
    pub const fn kept(body: Bytes) -> Self {
        Self { body }
    }

    /// The bytes that were checked.
    #[must_use]
    pub const fn body(&self) -> &Bytes {
        &self.body
    }
}

/// A delivery that was not let in. Nothing of it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejected {
    /// What proves the sender is missing.
    Missing,
    /// What should prove the sender does not.
    Wrong,
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "the signature is missing",
            Self::Wrong => "the signature does not match",
        })
    }
}

impl std::error::Error for Rejected {}

/// A delivery that is not in the platform's format at all. (One bad event in a good envelope is
/// [`crate::Event::Undecodable`] instead.)
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed(pub String);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Malformed {}

/// Receives what a platform delivers.
pub trait Webhook: Send + Sync {
    /// The largest body, in bytes; above it the answer is 413.
    fn max_body_bytes(&self) -> usize {
        1024 * 1024
    }

    /// Answers the platform's own verification of the address; `None` where the request is none.
    fn handshake(&self, _request: &Request<'_>) -> Option<Reply> {
        None
    }

    /// Checks who sent the request, over the raw bytes, before anything is parsed.
    fn verify(&self, request: &Request<'_>) -> Result<Verified, Rejected>;

    /// Says what happened. Pure: the same bytes give the same events.
    fn decode(&self, delivery: &Verified) -> Result<Vec<Inbound>, Malformed>;
}

/// Checks a header of the form `sha256=<64 lower-case hex digits>`: HMAC-SHA256 over the raw body under any of
/// `secrets`. Where that fails and the body has bytes outside ASCII, it is tried once more over the form in which
/// each of them is written as `\uXXXX`, which some proxies undo (Meta signs the escaped form).
pub fn hmac_sha256_prefixed(
    request: &Request<'_>,
    header: &str,
    secrets: &[Secret],
) -> Result<Verified, Rejected> {
    let presented = request.single_header(header)?;
    let digits = presented.strip_prefix("sha256=").ok_or(Rejected::Wrong)?;
    let tag = lower_hex_32(digits).ok_or(Rejected::Wrong)?;
    let matches = |body: &[u8]| {
        secrets
            .iter()
            .any(|secret| hmac_matches(secret, body, &tag))
    };
    if matches(request.body) {
        return Ok(Verified {
            body: request.body.clone(),
        });
    }
    if !request.body.is_ascii()
        && let Some(escaped) = escaped_form(request.body)
        && matches(escaped.as_bytes())
    {
        return Ok(Verified {
            body: request.body.clone(),
        });
    }
    Err(Rejected::Wrong)
}

/// Checks a header that carries a shared secret as it is (Telegram's `X-Telegram-Bot-Api-Secret-Token`).
pub fn shared_secret(
    request: &Request<'_>,
    header: &str,
    secret: &Secret,
) -> Result<Verified, Rejected> {
    let presented = request.single_header(header)?;
    if same_secret(secret, presented) {
        Ok(Verified {
            body: request.body.clone(),
        })
    } else {
        Err(Rejected::Wrong)
    }
}

/// Compares a secret with what was presented in constant time (the lengths may be learnt). An empty secret never
/// matches.
#[must_use]
pub fn same_secret(secret: &Secret, presented: &str) -> bool {
    let secret = secret.expose().as_bytes();
    !secret.is_empty() && bool::from(secret.ct_eq(presented.as_bytes()))
}

/// Whether `signature` is the lower-case hex HMAC-SHA256 of `message` under `secret`, compared in constant time.
#[must_use]
pub fn is_hmac_sha256_hex(secret: &Secret, message: &[u8], signature: &str) -> bool {
    lower_hex_32(signature).is_some_and(|tag| hmac_matches(secret, message, &tag))
}

/// The lower-case hex HMAC-SHA256 of `message`.
#[must_use]
pub fn hmac_sha256_hex(secret: &Secret, message: &[u8]) -> String {
    hex::encode(keyed(secret, message).finalize().into_bytes())
}

fn keyed(secret: &Secret, message: &[u8]) -> Hmac<Sha256> {
    // HMAC takes a key of any length, so this cannot fail; an empty key is refused by the callers' settings.
    #[expect(clippy::expect_used, reason = "HMAC accepts keys of every length")]
    let mut mac =
        Hmac::<Sha256>::new_from_slice(secret.expose().as_bytes()).expect("any key length");
    mac.update(message);
    mac
}

fn hmac_matches(secret: &Secret, message: &[u8], tag: &[u8; 32]) -> bool {
    !secret.expose().is_empty() && keyed(secret, message).verify_slice(tag).is_ok()
}

fn lower_hex_32(digits: &str) -> Option<[u8; 32]> {
    let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if digits.len() != 64 || !digits.bytes().all(lower) {
        return None;
    }
    let mut tag = [0; 32];
    hex::decode_to_slice(digits, &mut tag).ok()?;
    Some(tag)
}

/// The body with every character outside ASCII written as `\uXXXX` in lower case, as Meta writes its JSON.
fn escaped_form(body: &[u8]) -> Option<String> {
    use std::fmt::Write as _;
    let text = std::str::from_utf8(body).ok()?;
    let mut escaped = String::with_capacity(body.len() + body.len() / 2);
    for character in text.chars() {
        if character.is_ascii() {
            escaped.push(character);
        } else {
            for unit in character.encode_utf16(&mut [0; 2]) {
                write!(escaped, "\\u{unit:04x}").ok()?;
            }
        }
    }
    Some(escaped)
}
