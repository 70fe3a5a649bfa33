//! `Idempotency-Key`: a request that is sent again does nothing again, and gets the first answer again.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use sha2::{Digest, Sha256};

use super::problem::Problem;
use crate::access::Caller;
use crate::desk::Decision;
use crate::store::Found;
use crate::store::draft::Draft;
use crate::store::entry::{Entry, IdempotencyEntry};

/// The header's name.
pub const HEADER: &str = "idempotency-key";
/// The longest key, in characters.
pub const MAX_KEY_CHARS: usize = 255;

/// The key of a request, where it has one: 1 to 255 visible ASCII characters, meant for this path and caller only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey {
    path: String,
    key: Option<String>,
}

/// What is kept of a request: under which key, and the hash of what it asked for.
pub type Remembered = (Vec<u8>, Vec<u8>);

impl IdempotencyKey {
    /// Under what the request of this caller is remembered, with the hash of its body.
    #[must_use]
    pub fn remember(&self, owner: &str, body: &[u8]) -> Option<Remembered> {
        let key = self.key.as_deref()?;
        let mut hash = Sha256::new();
        for part in [owner, &self.path, key] {
            // Lengths between the parts: no two requests share a key by where their parts meet.
            hash.update(part.len().to_be_bytes());
            hash.update(part.as_bytes());
        }
        Some((hash.finalize().to_vec(), Sha256::digest(body).to_vec()))
    }

    /// The same, for a caller of the API.
    #[must_use]
    pub fn of(&self, caller: &Caller, body: &[u8]) -> Option<Remembered> {
        self.remember(&caller.owner(), body)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let wrong = || {
            Problem::bad_request(format!(
                "`Idempotency-Key` is 1 to {MAX_KEY_CHARS} visible ASCII characters, given once."
            ))
        };
        let mut values = parts.headers.get_all(HEADER).iter();
        let key = match (values.next(), values.next()) {
            (None, _) => None,
            (Some(_), Some(_)) => return Err(wrong()),
            (Some(value), None) => {
                let bytes = value.as_bytes();
                let visible = bytes.iter().all(u8::is_ascii_graphic);
                if !visible || bytes.is_empty() || bytes.len() > MAX_KEY_CHARS {
                    return Err(wrong());
                }
                Some(value.to_str().map_err(|_| wrong())?.to_owned())
            }
        };
        Ok(Self {
            path: parts.uri.path().to_owned(),
            key,
        })
    }
}

/// 422: the key was used for another request.
#[must_use]
pub fn key_reused() -> Problem {
    Problem::new(
        axum::http::StatusCode::UNPROCESSABLE_ENTITY,
        "idempotency-key-reused",
        "This key was used for another request",
        "`Idempotency-Key` came before with another body. Use a new key for a new request.",
    )
}

/// A decision that is carried out once for each key.
#[derive(Clone, Debug)]
pub struct Once<D: Decision> {
    /// The decision.
    pub decision: D,
    /// The key, where the request has one.
    pub remembered: Option<Remembered>,
    /// The id of what it made; empty where nothing was made, and then the same request may try again.
    pub made: fn(&D::Answer) -> String,
}

/// How it went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OnceAnswer<A> {
    /// It was done now.
    Now(A),
    /// It was done before, and made this.
    Before(String),
    /// The key belongs to another request.
    KeyReused,
}

impl<D: Decision> Decision for Once<D>
where
    D::Answer: Send,
{
    type Answer = OnceAnswer<D::Answer>;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<Self::Answer> {
        if let Some((key, body)) = &self.remembered
            && let Some(before) = draft.entry::<IdempotencyEntry>(key)?
        {
            return Ok(if before.body == *body {
                OnceAnswer::Before(before.made)
            } else {
                OnceAnswer::KeyReused
            });
        }
        let answer = self.decision.decide(draft)?;
        let made = (self.made)(&answer);
        if let Some((key, body)) = &self.remembered
            && !made.is_empty()
        {
            let entry = IdempotencyEntry {
                body: body.clone(),
                made,
                at: draft.now(),
            };
            draft.put(entry.put(key.clone()));
        }
        Ok(OnceAnswer::Now(answer))
    }

    fn weight(&self) -> usize {
        self.decision.weight()
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderValue, Request};

    use super::*;

    async fn key(values: &[&[u8]]) -> Result<IdempotencyKey, Problem> {
        let mut request = Request::builder()
            .uri("/api/v1/attachments?x=1")
            .body(())
            .expect("a request");
        for value in values {
            request
                .headers_mut()
                .append(HEADER, HeaderValue::from_bytes(value).expect("a header"));
        }
        IdempotencyKey::from_request_parts(&mut request.into_parts().0, &()).await
    }

    #[tokio::test]
    async fn only_a_short_visible_key_is_taken_and_only_one() {
        assert_eq!(key(&[]).await.expect("none").remember("me", b""), None);
        assert!(
            key(&[b"a"])
                .await
                .expect("short")
                .remember("me", b"")
                .is_some()
        );
        assert!(key(&[&[b'k'; 255]]).await.is_ok());
        for wrong in [
            &[&b""[..]][..],
            &[b"a b"],
            &[b"\xc3\xa9"],
            &[&[b'k'; 256]],
            &[b"a", b"a"],
        ] {
            assert_eq!(key(wrong).await.expect_err("refused").status, 400);
        }
    }

    #[tokio::test]
    async fn keys_of_others_paths_and_callers_do_not_meet() {
        let one = key(&[b"k"]).await.expect("a key");
        let other_path = IdempotencyKey {
            path: "/api/v1/tokens".to_owned(),
            ..one.clone()
        };
        let shifted = IdempotencyKey {
            path: "/api/v1/attachmentsk".to_owned(),
            key: Some(String::new()),
        };
        let of =
            |key: &IdempotencyKey, owner: &str| key.remember(owner, b"").expect("there is a key").0;
        assert_eq!(of(&one, "me"), of(&one, "me"));
        assert_ne!(of(&one, "me"), of(&one, "you"));
        assert_ne!(of(&one, "me"), of(&other_path, "me"));
        assert_ne!(of(&one, "me"), of(&shifted, "me"));
    }
}
