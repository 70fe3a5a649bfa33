//! The one clock. Time is an argument everywhere else, so that tests can turn it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use deskbell_sdk::Time;

/// Tells the time; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    set: Option<Arc<AtomicI64>>,
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub const fn system() -> Self {
        Self { set: None }
    }

    /// A clock that stands at `time` until it is turned: for tests.
    #[must_use]
    pub fn standing_at(time: Time) -> Self {
        Self {
            set: Some(Arc::new(AtomicI64::new(time.as_millis()))),
        }
    }

    /// Turns a standing clock; the machine's clock is left alone.
    pub fn turn_to(&self, time: Time) {
        if let Some(set) = &self.set {
            set.store(time.as_millis(), Ordering::SeqCst);
        }
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Time {
        if let Some(set) = &self.set {
            return Time::from_millis(set.load(Ordering::SeqCst));
        }
        #[expect(clippy::disallowed_methods, reason = "this is the clock")]
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Time::from_millis(since.map_or(0, |since| {
            i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
        }))
    }
}
