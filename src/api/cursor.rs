//! Cursors: opaque, and sealed so that nobody can make one (T07).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use deskbell_sdk::{Secret, Time};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::problem::Problem;
use crate::id::{ContactId, ConversationId, MessageId, QuarantineId};
use crate::search::Rank;
use crate::store::Place;

/// How many bytes of the seal stand in a cursor.
const SEAL_BYTES: usize = 8;

/// Makes and reads cursors.
#[derive(Debug)]
pub struct Cursors {
    key: Secret,
}

/// A place in a list, as bytes.
pub trait Position: Sized {
    /// Which list it belongs to: a cursor of one is refused in another.
    const LIST: u8;
    /// Its bytes.
    fn to_bytes(&self) -> Vec<u8>;
    /// From its bytes.
    fn from_bytes(bytes: &[u8]) -> Option<Self>;
}

impl Cursors {
    /// With a key of the daemon's own, so that cursors live through a restart.
    #[must_use]
    pub const fn new(key: Secret) -> Self {
        Self { key }
    }

    fn seal(&self, bytes: &[u8]) -> [u8; SEAL_BYTES] {
        #[expect(clippy::expect_used, reason = "HMAC accepts keys of every length")]
        let mut mac =
            Hmac::<Sha256>::new_from_slice(self.key.expose().as_bytes()).expect("any key length");
        mac.update(b"cursor");
        mac.update(bytes);
        let mut seal = [0; SEAL_BYTES];
        seal.copy_from_slice(&mac.finalize().into_bytes()[..SEAL_BYTES]);
        seal
    }

    /// A secret that only this daemon can make, and makes again: 256 bits as 43 characters of base64url. `purpose`
    /// keeps it apart from cursors and from secrets for anything else.
    #[must_use]
    pub fn derived_secret(&self, purpose: &str, of: &[u8]) -> String {
        #[expect(clippy::expect_used, reason = "HMAC accepts keys of every length")]
        let mut mac =
            Hmac::<Sha256>::new_from_slice(self.key.expose().as_bytes()).expect("any key length");
        mac.update(b"derived secret\0");
        mac.update(purpose.as_bytes());
        mac.update(b"\0");
        mac.update(of);
        URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
    }

    /// The cursor of a place.
    #[must_use]
    pub fn write<P: Position>(&self, position: &P) -> String {
        let mut bytes = vec![P::LIST];
        bytes.extend(position.to_bytes());
        let seal = self.seal(&bytes);
        bytes.extend(seal);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The place of a cursor that this daemon made for this list.
    pub fn read<P: Position>(&self, cursor: Option<&str>) -> Result<Option<P>, Problem> {
        let Some(cursor) = cursor else {
            return Ok(None);
        };
        let position = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|bytes| {
            let (bytes, seal) = bytes.split_at_checked(bytes.len().checked_sub(SEAL_BYTES)?)?;
            let sealed = subtle::ConstantTimeEq::ct_eq(&self.seal(bytes)[..], seal);
            let (list, position) = bytes.split_first()?;
            (bool::from(sealed) && *list == P::LIST)
                .then(|| P::from_bytes(position))
                .flatten()
        });
        match position {
            Some(position) => Ok(Some(position)),
            None => Err(Problem::bad_request(
                "`cursor` is none that this list gave. Take `next` of the page before as it is, or leave it out to begin.",
            )),
        }
    }
}

fn number(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_be_bytes)
}

/// A cursor that is one id.
macro_rules! id_position {
    ($id:ident, $list:literal) => {
        impl Position for $id {
            const LIST: u8 = $list;

            fn to_bytes(&self) -> Vec<u8> {
                self.key().to_vec()
            }

            fn from_bytes(bytes: &[u8]) -> Option<Self> {
                number(bytes).map(Self)
            }
        }
    };
}

id_position!(MessageId, 1);
id_position!(ContactId, 2);
id_position!(QuarantineId, 3);

impl Position for Place {
    const LIST: u8 = 4;

    fn to_bytes(&self) -> Vec<u8> {
        self.key().to_vec()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Self::from_key(bytes)
    }
}

/// A place in the inbox: last activity and conversation.
impl Position for (Time, ConversationId) {
    const LIST: u8 = 5;

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.0.as_millis().to_be_bytes().to_vec();
        bytes.extend(self.1.key());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (time, id) = bytes.split_at_checked(8)?;
        let time = Time::from_millis(number(time)?.cast_signed());
        Some((time, ConversationId(number(id)?)))
    }
}

/// A place among what was found: how well it fits and its id.
impl Position for Rank {
    const LIST: u8 = 50;

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.eighths.to_be_bytes().to_vec();
        bytes.extend(self.id.to_be_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (eighths, id) = bytes.split_at_checked(4)?;
        Some(Self {
            eighths: eighths.try_into().ok().map(u32::from_be_bytes)?,
            id: number(id)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t07_only_a_cursor_of_this_list_and_daemon_is_read() {
        let cursors = Cursors::new(Secret::new("one key"));
        let cursor = cursors.write(&MessageId(42));
        assert_eq!(
            cursors.read(Some(&cursor)).expect("own"),
            Some(MessageId(42))
        );
        assert!(
            cursors.read::<ContactId>(Some(&cursor)).is_err(),
            "another list's"
        );
        assert!(
            Cursors::new(Secret::new("other"))
                .read::<MessageId>(Some(&cursor))
                .is_err()
        );
        let place = (Time::from_millis(-5), ConversationId(7));
        assert_eq!(
            cursors.read(Some(&cursors.write(&place))).expect("own"),
            Some(place)
        );
        let mut refused = 0;
        for at in 0..cursor.len() {
            for digit in ["A", "b", "_", "7", "-"] {
                let mut tampered = cursor.clone();
                tampered.replace_range(at..=at, digit);
                if tampered != cursor {
                    assert!(
                        cursors.read::<MessageId>(Some(&tampered)).is_err(),
                        "{tampered}"
                    );
                    refused += 1;
                }
            }
        }
        assert!(refused > 80);
        for rubbish in ["", "A", "%", "AAAAAAAAAAAAAAAA", &"A".repeat(10_000)] {
            assert!(cursors.read::<MessageId>(Some(rubbish)).is_err());
        }
    }
}
