//! Ids that a platform gave: opaque text.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

/// An id of the platform's. Platforms write them as strings or as numbers; a number keeps its digits as they were
/// written, so that ids above 2^53 never collide (W12).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ExternalId(String);

impl ExternalId {
    /// The longest id that is kept, in bytes; Meta's message ids stay below 512.
    pub const MAX_BYTES: usize = 1024;

    /// Takes an id as it is.
    #[must_use]
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// The id of something that the platform gave none: made of what tells it from others, so that the same delivery
    /// twice has the same id. `kind` is a short lower-case word.
    #[must_use]
    pub fn synthesised(kind: &str, parts: &[&str]) -> Self {
        let mut digest = Sha256::new();
        for part in parts {
            // With its length before it, no part can pass for two.
            digest.update(part.len().to_be_bytes());
            digest.update(part.as_bytes());
        }
        Self(format!("{kind}:{}", hex::encode(&digest.finalize()[..16])))
    }

    /// The id's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id's text, owned.
    #[must_use]
    pub fn into_string(self) -> String {
        self.0
    }
}

impl fmt::Debug for ExternalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for ExternalId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ExternalId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?.get();
        let id = match raw.as_bytes().first() {
            Some(b'"') => serde_json::from_str::<Cow<'_, str>>(raw)
                .map_err(serde::de::Error::custom)?
                .into_owned(),
            Some(b'-' | b'0'..=b'9') => raw.to_owned(),
            _ => return Err(serde::de::Error::custom("an id is a string or a number")),
        };
        if id.is_empty() || id.len() > Self::MAX_BYTES {
            return Err(serde::de::Error::custom("an id has 1 to 1024 bytes"));
        }
        if id.chars().any(char::is_control) {
            return Err(serde::de::Error::custom("an id has no control characters"));
        }
        Ok(Self(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w12_ids_around_the_limits_of_numbers_never_collide() {
        let written = [
            "9007199254740991",
            "9007199254740992",
            "9007199254740993",
            "9223372036854775807",
            "9223372036854775808",
            "18446744073709551615",
            "18446744073709551616",
            "18446744073709551617",
            "1e22",
            "10000000000000000000000",
            "\"9007199254740994\"",
        ];
        let read: std::collections::BTreeSet<ExternalId> = written
            .iter()
            .map(|json| serde_json::from_str(json).expect(json))
            .collect();
        assert_eq!(read.len(), written.len());
    }

    #[test]
    fn w13_ids_that_no_store_keeps_are_refused() {
        assert!(serde_json::from_str::<ExternalId>(r#""a\u0000b""#).is_err());
        assert!(serde_json::from_str::<ExternalId>(r#""a\nb""#).is_err());
        assert!(serde_json::from_str::<ExternalId>(r#""mid.$cAAE:é""#).is_ok());
    }

    #[test]
    fn a_made_id_is_the_same_for_the_same_parts_only() {
        let made = ExternalId::synthesised("postback", &["2001", "17", "BUY"]);
        assert_eq!(
            made,
            ExternalId::synthesised("postback", &["2001", "17", "BUY"])
        );
        assert!(made.as_str().starts_with("postback:"));
        for other in [
            &["20011", "7", "BUY"][..],
            &["2001", "17"],
            &["2001", "17", "BUY", ""],
        ] {
            assert_ne!(made, ExternalId::synthesised("postback", other));
        }
    }

    #[test]
    fn a_number_and_its_string_are_one_id() {
        let number: ExternalId = serde_json::from_str("369239263222822").expect("number");
        let text: ExternalId = serde_json::from_str("\"369239263222822\"").expect("text");
        assert_eq!(number, text);
        assert!(serde_json::from_str::<ExternalId>("null").is_err());
        assert!(serde_json::from_str::<ExternalId>("{}").is_err());
        assert!(serde_json::from_str::<ExternalId>("\"\"").is_err());
    }
}
