//! Who we are, in the words of push services: tokens of RFC 8292, signed with ES256, one an origin.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use deskbell_sdk::{Secret, Time};
use http::HeaderValue;
use serde_json::json;
use web_push_native::p256::ecdsa::signature::Signer as _;
use web_push_native::p256::ecdsa::{Signature, SigningKey};

use crate::secrets::random_bytes;

/// How long a token works: 12 hours, in seconds. Push services take 24 at the most.
const WORKS_SECONDS: i64 = 12 * 60 * 60;
/// How long it is used: a clock that is a little behind must not make it too old. In seconds.
const USED_SECONDS: i64 = 11 * 60 * 60;
/// The most origins of which a token is kept.
const MOST_ORIGINS: usize = 1_000;

/// The key of this desk.
pub struct Vapid {
    key: SigningKey,
    public: Vec<u8>,
    subject: String,
    tokens: Mutex<HashMap<String, (HeaderValue, i64)>>,
}

impl std::fmt::Debug for Vapid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vapid").finish_non_exhaustive()
    }
}

impl Vapid {
    /// A new private key, as base64url.
    #[must_use]
    pub fn new_private() -> Secret {
        loop {
            let bytes = random_bytes::<32>();
            // One number in 2^32 is none of the curve's.
            if SigningKey::from_slice(&bytes).is_ok() {
                return Secret::new(URL_SAFE_NO_PAD.encode(bytes));
            }
        }
    }

    /// From a private key, as base64url; `None` where it is none. `subject` says whom a push service may ask: `mailto:` or
    /// `https:`.
    #[must_use]
    pub fn from_private(private: &Secret, subject: String) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(private.expose()).ok()?;
        let key = SigningKey::from_slice(&bytes).ok()?;
        let public = key.verifying_key().to_encoded_point(false);
        Some(Self {
            public: public.as_bytes().to_vec(),
            key,
            subject,
            tokens: Mutex::default(),
        })
    }

    /// The public key: 65 bytes.
    #[must_use]
    pub fn public(&self) -> &[u8] {
        &self.public
    }

    /// The `Authorization` for a push service.
    #[must_use]
    pub fn authorization(&self, origin: &str, now: Time) -> Option<HeaderValue> {
        let seconds = now.as_millis().div_euclid(1000);
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((token, made)) = tokens.get(origin)
            && (0..USED_SECONDS).contains(&(seconds - made))
        {
            return Some(token.clone());
        }
        let mut header = HeaderValue::from_str(&self.signed(origin, seconds)).ok()?;
        header.set_sensitive(true);
        if tokens.len() >= MOST_ORIGINS {
            tokens.clear();
        }
        tokens.insert(origin.to_owned(), (header.clone(), seconds));
        Some(header)
    }

    /// The next token for this origin is a new one.
    pub fn forget(&self, origin: &str) {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.remove(origin);
    }

    fn signed(&self, origin: &str, now_seconds: i64) -> String {
        let header = r#"{"typ":"JWT","alg":"ES256"}"#;
        let exp = now_seconds + WORKS_SECONDS;
        let claims = json!({ "aud": origin, "exp": exp, "sub": self.subject }).to_string();
        let text = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header),
            URL_SAFE_NO_PAD.encode(claims)
        );
        let signature: Signature = self.key.sign(text.as_bytes());
        format!(
            "vapid t={text}.{}, k={}",
            URL_SAFE_NO_PAD.encode(signature.to_bytes()),
            URL_SAFE_NO_PAD.encode(&self.public)
        )
    }
}
