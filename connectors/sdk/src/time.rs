//! Points in time, as the desk keeps them: milliseconds since 1970-01-01 UTC.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A point in time with millisecond precision.
///
/// In JSON it is RFC 3339 in UTC with three decimals (`2026-11-21T17:20:31.412Z`); in the store it is a number.
/// There is no `now` here: connectors have no clock, and the daemon's is `deskbell::clock`.
#[derive(Copy, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(i64);

/// The largest and smallest milliseconds that RFC 3339 can write (jiff ends on 9999-12-30), so that printing never fails.
const LATEST_MS: i64 = 253_402_207_200_000;
const EARLIEST_MS: i64 = -62_167_219_200_000;

impl Time {
    /// From milliseconds since the epoch. Values outside the years 0000 to 9999 are brought to the nearest of those.
    #[must_use]
    pub const fn from_millis(ms: i64) -> Self {
        if ms > LATEST_MS {
            Self(LATEST_MS)
        } else if ms < EARLIEST_MS {
            Self(EARLIEST_MS)
        } else {
            Self(ms)
        }
    }

    /// From a platform's number that may be seconds or milliseconds: above 10^11 it is milliseconds, as Meta's
    /// events mix both (`entry.time`).
    #[must_use]
    pub const fn from_seconds_or_millis(value: i64) -> Self {
        if value > 100_000_000_000 {
            Self::from_millis(value)
        } else {
            Self::from_millis(value.saturating_mul(1000))
        }
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// This time moved by `ms` milliseconds (negative: earlier).
    #[must_use]
    pub const fn plus_millis(self, ms: i64) -> Self {
        Self::from_millis(self.0.saturating_add(ms))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(timestamp) => write!(f, "{timestamp:.3}"),
            Err(_) => f.write_str("1970-01-01T00:00:00.000Z"),
        }
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is no RFC 3339 time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotATime;

impl fmt::Display for NotATime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a time; write it as 2026-11-21T17:20:31Z")
    }
}

impl std::error::Error for NotATime {}

impl FromStr for Time {
    type Err = NotATime;

    fn from_str(text: &str) -> Result<Self, NotATime> {
        let timestamp: jiff::Timestamp = text.parse().map_err(|_| NotATime)?;
        Ok(Self::from_millis(timestamp.as_millisecond()))
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_i64(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
            text.parse().map_err(de::Error::custom)
        } else {
            i64::deserialize(deserializer).map(Self::from_millis)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_three_decimals_and_reads_them_back() {
        let time = Time::from_millis(1_763_745_631_412);
        assert_eq!(time.to_string(), "2025-11-21T17:20:31.412Z");
        assert_eq!("2025-11-21T17:20:31.412Z".parse(), Ok(time));
        assert_eq!(Time::from_millis(0).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(
            Time::from_millis(i64::MAX).to_string(),
            "9999-12-30T22:00:00.000Z"
        );
        assert_eq!(
            Time::from_millis(i64::MIN).to_string(),
            "0000-01-01T00:00:00.000Z"
        );
    }

    #[test]
    fn tells_seconds_from_milliseconds() {
        assert_eq!(
            Time::from_seconds_or_millis(1_701_413_579),
            Time::from_seconds_or_millis(1_701_413_579_000)
        );
        assert_eq!(Time::from_seconds_or_millis(0).as_millis(), 0);
    }
}
