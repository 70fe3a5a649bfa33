//! The only place where this crate reads a clock. Everything else is given the moment, so that tests can turn it.

use std::time::Instant;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A moment, as the policy needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Milliseconds since the program began, by a clock that nobody sets and that stands still while the computer sleeps.
    pub ms: u64,
    /// Minutes since midnight, by the clock and the time zone of this computer: 0 to 1439.
    pub minute: u16,
}

/// The clocks of this computer.
#[derive(Debug)]
pub struct Clock {
    began: Instant,
    zone: TimeZone,
}

impl Clock {
    /// Begins to count.
    #[must_use]
    pub fn start() -> Self {
        Self {
            began: Instant::now(),
            zone: TimeZone::system(),
        }
    }

    /// Now.
    #[must_use]
    pub fn moment(&self) -> Moment {
        Moment {
            ms: u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX),
            minute: self.minute_of(self.wall()),
        }
    }

    /// The time of the calendar.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place of this crate that reads the clock"
    )]
    pub fn wall(&self) -> Timestamp {
        Timestamp::now()
    }

    /// `14:05`, by the time zone of this computer.
    #[must_use]
    pub fn hour_of(&self, time: Timestamp) -> String {
        let minute = self.minute_of(time);
        format!("{:02}:{:02}", minute / 60, minute % 60)
    }

    fn minute_of(&self, time: Timestamp) -> u16 {
        let time = time.to_zoned(self.zone.clone()).time();
        u16::from(time.hour().unsigned_abs()) * 60 + u16::from(time.minute().unsigned_abs())
    }
}
