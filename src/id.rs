//! The desk's own ids: 64 bits, sortable by time, written with a prefix that says what they name.
//!
//! The upper 42 bits are the milliseconds since 1970 (they last until 2109), the lower 22 begin at random within each
//! millisecond and count on. One writer gives them all, so they never repeat and never go back. They name and sort;
//! they are no secret, and nothing is opened by knowing one.

use std::fmt;
use std::str::FromStr;

use deskbell_sdk::Time;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const LENGTH: usize = 13;
const COUNTER_BITS: u32 = 22;

fn written(prefix: &str, number: u64) -> String {
    let mut text = String::with_capacity(prefix.len() + 1 + LENGTH);
    text.push_str(prefix);
    text.push('_');
    for place in (0..LENGTH).rev() {
        let digit = (number >> (5 * place)) & 31;
        text.push(char::from(DIGITS[usize::try_from(digit).unwrap_or(0)]));
    }
    text
}

fn read(prefix: &str, text: &str) -> Option<u64> {
    let digits = text.strip_prefix(prefix)?.strip_prefix('_')?.as_bytes();
    // The first of thirteen digits carries only four bits.
    if digits.len() != LENGTH || digits[0] > b'F' {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, digit| {
        let value = DIGITS.iter().position(|known| known == digit)?;
        Some((number << 5) | u64::try_from(value).ok()?)
    })
}

/// The text is no id of the kind that is wanted here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAnId;

impl fmt::Display for NotAnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an id of this kind")
    }
}

impl std::error::Error for NotAnId {}

/// Defines one kind of id.
macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl $name {
            /// The bytes of a key in the store: scans run in order of time.
            #[must_use]
            pub const fn key(self) -> [u8; 8] {
                self.0.to_be_bytes()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&written($prefix, self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;

            fn from_str(text: &str) -> Result<Self, NotAnId> {
                read($prefix, text).map(Self).ok_or(NotAnId)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.serialize_str(&written($prefix, self.0))
                } else {
                    serializer.serialize_u64(self.0)
                }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                    text.parse().map_err(de::Error::custom)
                } else {
                    u64::deserialize(deserializer).map(Self)
                }
            }
        }
    };
}

id!(/// A message.
    MessageId, "msg");
id!(/// A conversation.
    ConversationId, "cnv");
id!(/// A contact: a person who writes to the shop.
    ContactId, "cus");
id!(/// A person of the shop.
    UserId, "usr");
id!(/// A team.
    TeamId, "tea");
id!(/// An attachment or upload.
    AttachmentId, "att");
id!(/// An API token.
    TokenId, "tok");
id!(/// A session of the desk.
    SessionId, "ses");
id!(
    /// Something that is still to be done.
    WorkId,
    "wrk"
);
id!(/// A saved view of the inbox.
    ViewId, "vie");
id!(/// A canned reply.
    ReplyId, "rep");
id!(/// A delivery, or a part of one, that could not be understood.
    QuarantineId, "qua");
id!(/// A ring of the bell.
    RingId, "rng");
id!(/// What rings for a person: a desktop, a browser.
    DeviceId, "dev");
id!(/// An outgoing hook.
    HookId, "hok");
id!(/// Something that a hook was or is to be told.
    DeliveryId, "dlv");
id!(/// An entry of the audit log.
    AuditId, "aud");

/// Gives ids. `seed` only keeps two daemons from counting alike; it guards nothing.
#[derive(Debug)]
pub struct Ids {
    last: u64,
    random: u64,
}

impl Ids {
    /// Gives ids after `last`, the highest that was ever given.
    #[must_use]
    pub const fn after(last: u64, seed: u64) -> Self {
        Self {
            last,
            random: seed | 1,
        }
    }

    /// The next id; larger than all before, even where the clock went back.
    pub fn next(&mut self, now: Time) -> u64 {
        // xorshift64: enough to spread the starting points.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let milliseconds = u64::try_from(now.as_millis()).unwrap_or(0);
        let start = (milliseconds << COUNTER_BITS) | (self.random & 0xF_FFFF);
        self.last = start.max(self.last + 1);
        self.last
    }

    /// Gives only ids above `id` from now on.
    pub fn stay_above(&mut self, id: u64) {
        self.last = self.last.max(id);
    }

    /// The highest id given so far.
    #[must_use]
    pub const fn last(&self) -> u64 {
        self.last
    }
}

/// The smallest id that can have been given at `time`.
#[must_use]
pub fn first_at(time: Time) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(0) << COUNTER_BITS
}

/// When an id was given.
#[must_use]
pub fn given_at(id: u64) -> Time {
    Time::from_millis(i64::try_from(id >> COUNTER_BITS).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_written_and_read_back_and_sort_as_text() {
        for number in [0, 1, 31, 32, 1_763_745_631_412 << COUNTER_BITS, u64::MAX] {
            let id = MessageId(number);
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        assert!(MessageId(5).to_string() < MessageId(1 << 40).to_string());
        assert_eq!(MessageId(u64::MAX).to_string(), "msg_FZZZZZZZZZZZZ");
        for wrong in [
            "",
            "msg_",
            "cnv_0000000000000",
            "msg_000000000000",
            "msg_GZZZZZZZZZZZZ",
            "msg_00000000000il",
        ] {
            assert_eq!(wrong.parse::<MessageId>(), Err(NotAnId), "{wrong}");
        }
    }

    #[test]
    fn ids_grow_when_the_clock_goes_back() {
        let mut ids = Ids::after(0, 7);
        let mut before = 0;
        for ms in [1000, 1000, 999, 0, 5000, -3] {
            let id = ids.next(Time::from_millis(ms));
            assert!(id > before);
            before = id;
        }
        let noon = Time::from_millis(1_763_745_631_412);
        assert_eq!(given_at(ids.next(noon)), noon);
        ids.stay_above(before + 1_000);
        ids.stay_above(before);
        assert!(ids.next(Time::from_millis(0)) > before + 1_000);
    }
}
