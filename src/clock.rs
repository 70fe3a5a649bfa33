//! The one clock. Time is an argument everywhere else, so that tests can turn it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use deskbell_sdk::Time;

/// Tells the time; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    set: Option<Arc<AtomicI64>>,
    /// Since when a clock that was set goes on by itself, in the runtime's time.
    #[cfg(test)]
    goes_since: Option<tokio::time::Instant>,
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub const fn system() -> Self {
        Self {
            set: None,
            #[cfg(test)]
            goes_since: None,
        }
    }

    /// A clock that stands at `time` until it is turned: for tests.
    #[must_use]
    pub fn standing_at(time: Time) -> Self {
        Self {
            set: Some(Arc::new(AtomicI64::new(time.as_millis()))),
            #[cfg(test)]
            goes_since: None,
        }
    }

    /// A clock that goes on from `time` with the runtime's time, which a simulation moves, and can be turned.
    #[cfg(test)]
    pub(crate) fn going_from(time: Time) -> Self {
        Self {
            goes_since: Some(tokio::time::Instant::now()),
            ..Self::standing_at(time)
        }
    }

    /// How far a clock that was set has gone by itself, in milliseconds.
    fn gone_ms(&self) -> i64 {
        #[cfg(test)]
        if let Some(since) = self.goes_since {
            return i64::try_from(since.elapsed().as_millis()).expect("short");
        }
        0
    }

    /// Turns a standing clock; the machine's clock is left alone.
    pub fn turn_to(&self, time: Time) {
        if let Some(set) = &self.set {
            set.store(time.as_millis() - self.gone_ms(), Ordering::SeqCst);
        }
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Time {
        if let Some(set) = &self.set {
            return Time::from_millis(set.load(Ordering::SeqCst) + self.gone_ms());
        }
        #[expect(clippy::disallowed_methods, reason = "this is the clock")]
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Time::from_millis(since.map_or(0, |since| {
            i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
        }))
    }
}
