//! Secrets at rest: those of channels that were made through the API, and of people's second factors, are sealed in the
//! store (K01).
//!
//! Each value is sealed by XChaCha20-Poly1305 with a nonce of its own of 192 random bits. What is authenticated beside
//! it is the channel's slug and the setting's key: a sealed value that is put in the place of another does not open. The
//! key is made of the daemon's by HMAC-SHA256, and each value names the key that sealed it, so that the daemon's can be
//! changed (K02).

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use deskbell_sdk::Secret;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::{Zeroize, Zeroizing};

use crate::secrets::random_bytes;
use crate::store::entry::SealedValue;

/// How many bytes of a key's hash name it.
const KEY_ID_BYTES: usize = 8;

/// Seals and opens.
#[derive(Debug)]
pub struct Sealer {
    current: Key,
    previous: Vec<Key>,
}

struct Key {
    id: String,
    key: Zeroizing<[u8; 32]>,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key").field("id", &self.id).finish()
    }
}

impl Key {
    fn of(secret: &Secret) -> Self {
        let key = derived(secret, b"deskbell: the key that seals secrets of channels");
        let id = derived(secret, b"deskbell: the name of that key");
        Self {
            id: hex::encode(&id[..KEY_ID_BYTES]),
            key,
        }
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new((&*self.key).into())
    }
}

fn derived(secret: &Secret, purpose: &[u8]) -> Zeroizing<[u8; 32]> {
    #[expect(clippy::expect_used, reason = "HMAC accepts keys of every length")]
    let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(secret.expose().as_bytes())
        .expect("any key length");
    mac.update(purpose);
    Zeroizing::new(mac.finalize().into_bytes().into())
}

/// Where a value belongs: nowhere else does it open.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The channel's slug.
    pub channel: &'a str,
    /// The setting's key.
    pub setting: &'a str,
}

impl<'a> Place<'a> {
    /// An attempt to sign in by a provider of identities, while a browser keeps it. No slug has a space.
    pub const SIGN_IN: Place<'static> = Place {
        channel: "a sign-in",
        setting: "attempt",
    };

    /// What the deliveries of a hook are signed with.
    pub const HOOK_SECRET: Place<'static> = Place {
        channel: "a hook",
        setting: "secret",
    };

    /// What opens the server at the other end of a hook.
    pub const HOOK_ACCESS: Place<'static> = Place {
        channel: "a hook",
        setting: "access token",
    };

    /// The secret of a person's authenticator.
    #[must_use]
    pub const fn second_factor(person: &'a str) -> Self {
        Self {
            channel: "a second factor",
            setting: person,
        }
    }

    /// The private key by which push services know the daemon.
    pub const PUSH_KEY: Place<'static> = Place {
        channel: "web push",
        setting: "vapid",
    };

    /// The subscription of a browser, by the hash of its endpoint in hex.
    #[must_use]
    pub const fn subscription(endpoint: &'a str) -> Self {
        Self {
            channel: "a push subscription",
            setting: endpoint,
        }
    }

    /// Its bytes; lengths keep two places from meeting by where their parts end.
    fn bytes(self) -> Vec<u8> {
        let mut bytes = b"deskbell channel secret 1".to_vec();
        for part in [self.channel, self.setting] {
            bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bytes.extend_from_slice(part.as_bytes());
        }
        bytes
    }
}

/// Why a value does not open.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Another key sealed it.
    #[error(
        "was sealed with another key ({sealed_by}) than the daemon has now ({has}): put the former key into `[secrets] previous_keys` and start again, or enter the secret anew"
    )]
    OtherKey {
        /// The name of the key that sealed it.
        sealed_by: String,
        /// The name of the key that the daemon has.
        has: String,
    },
    /// It was changed, or belongs somewhere else.
    #[error(
        "does not open: what is kept was changed, or belongs to another channel or setting; enter the secret anew"
    )]
    Damaged,
    /// It is too long to be sealed.
    #[error("is too long to be sealed")]
    TooLong,
}

impl Sealer {
    /// Seals with `key`; opens also what one of `previous` sealed.
    #[must_use]
    pub fn new(key: &Secret, previous: &[Secret]) -> Self {
        Self {
            current: Key::of(key),
            previous: previous.iter().map(Key::of).collect(),
        }
    }

    /// Seals a secret for its place.
    pub fn seal(&self, place: Place<'_>, secret: &Secret) -> Result<SealedValue, SealError> {
        let nonce: [u8; 24] = random_bytes();
        let payload = Payload {
            msg: secret.expose().as_bytes(),
            aad: &place.bytes(),
        };
        let sealed = self
            .current
            .cipher()
            .encrypt(&XNonce::from(nonce), payload)
            .map_err(|_| SealError::TooLong)?;
        Ok(SealedValue {
            key: self.current.id.clone(),
            nonce: nonce.to_vec(),
            sealed,
        })
    }

    /// Opens what was sealed for this place.
    pub fn open(&self, place: Place<'_>, value: &SealedValue) -> Result<Secret, SealError> {
        let mut keys = std::iter::once(&self.current).chain(&self.previous);
        let key = keys
            .find(|key| key.id == value.key)
            .ok_or_else(|| SealError::OtherKey {
                sealed_by: value.key.clone(),
                has: self.current.id.clone(),
            })?;
        let nonce: [u8; 24] = value
            .nonce
            .as_slice()
            .try_into()
            .map_err(|_| SealError::Damaged)?;
        let payload = Payload {
            msg: &value.sealed,
            aad: &place.bytes(),
        };
        let plain = key
            .cipher()
            .decrypt(&XNonce::from(nonce), payload)
            .map_err(|_| SealError::Damaged)?;
        String::from_utf8(plain).map(Secret::new).map_err(|error| {
            error.into_bytes().zeroize();
            SealError::Damaged
        })
    }

    /// Whether the key that the daemon has now sealed it.
    #[must_use]
    pub fn is_current(&self, value: &SealedValue) -> bool {
        value.key == self.current.id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: Place<'_> = Place {
        channel: "page",
        setting: "app_secret",
    };

    fn sealer(key: &str, previous: &[&str]) -> Sealer {
        let previous: Vec<_> = previous.iter().copied().map(Secret::new).collect();
        Sealer::new(&Secret::new(key), &previous)
    }

    #[test]
    fn k01_a_sealed_value_opens_in_its_place_only_and_tells_nothing() {
        let sealer = sealer("the key", &[]);
        let secret = Secret::new("canary-ž-secret");
        let sealed = sealer.seal(PAGE, &secret).expect("sealed");
        assert_eq!(sealer.open(PAGE, &sealed).expect("opens"), secret);
        let again = sealer.seal(PAGE, &secret).expect("sealed");
        assert_ne!(
            (&sealed.nonce, &sealed.sealed),
            (&again.nonce, &again.sealed)
        );
        assert!(!format!("{sealer:?}{sealed:?}").contains("canary"));
        let elsewhere = [
            ("page", "verify_token"),
            ("page2", "app_secret"),
            ("pag", "eapp_secret"),
            ("pageapp_", "secret"),
            ("", "pageapp_secret"),
        ];
        for (channel, setting) in elsewhere {
            let place = Place { channel, setting };
            assert_eq!(sealer.open(place, &sealed), Err(SealError::Damaged));
        }
        for at in 0..sealed.sealed.len() {
            let mut changed = sealed.clone();
            changed.sealed[at] ^= 1;
            assert_eq!(sealer.open(PAGE, &changed), Err(SealError::Damaged));
        }
        for at in 0..24 {
            let mut changed = sealed.clone();
            changed.nonce[at] ^= 1;
            assert_eq!(sealer.open(PAGE, &changed), Err(SealError::Damaged));
        }
        let cut = SealedValue {
            nonce: vec![0; 23],
            sealed: Vec::new(),
            ..sealed
        };
        assert_eq!(sealer.open(PAGE, &cut), Err(SealError::Damaged));
    }

    #[test]
    fn k02_a_former_key_opens_and_the_present_one_seals() {
        let old = sealer("the old key", &[]);
        let secret = Secret::new("canary");
        let sealed = old.seal(PAGE, &secret).expect("sealed");
        let new = sealer("the new key", &["a key before", "the old key"]);
        assert_eq!(new.open(PAGE, &sealed).expect("opens"), secret);
        assert!(old.is_current(&sealed) && !new.is_current(&sealed));
        let resealed = new.seal(PAGE, &secret).expect("sealed");
        assert!(new.is_current(&resealed));
        let refused = old.open(PAGE, &resealed).expect_err("another key");
        assert!(matches!(refused, SealError::OtherKey { .. }));
        assert!(refused.to_string().contains("previous_keys"));
        // A key that calls itself by another's name opens nothing either.
        let renamed = SealedValue {
            key: resealed.key.clone(),
            ..sealed
        };
        assert_eq!(new.open(PAGE, &renamed), Err(SealError::Damaged));
    }
}
