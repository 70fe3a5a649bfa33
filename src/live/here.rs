//! Who follows the stream: whose desk is open, and which companions are connected. In memory only: after a restart everybody
//! comes anew.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use deskbell_sdk::Time;

use crate::access::{Caller, Who};
use crate::id::{DeviceId, UserId};

/// So long after its last stream has ended a reader is taken to be there, in milliseconds: ten minutes. A page is loaded
/// anew, a laptop changes its network.
const STAYS_MS: i64 = 10 * 60 * 1000;
/// From so many on, those are forgotten who have gone.
const MANY: usize = 1_000;

/// Somebody's desk in a browser, or a companion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reader {
    /// The open desks of a person.
    Desk(UserId),
    /// A companion.
    Companion(DeviceId),
}

impl Reader {
    /// Who a caller is, where it is a person's.
    #[must_use]
    pub const fn of(caller: &Caller) -> Option<Self> {
        match &caller.who {
            Who::User { id, .. } => Some(Self::Desk(*id)),
            Who::Device { device, .. } => Some(Self::Companion(*device)),
            _ => None,
        }
    }
}

#[derive(Debug)]
struct Stay {
    open: usize,
    since: Time,
    left_at: Time,
}

impl Stay {
    /// Also where the clock was set: nobody stays longer than ten minutes.
    fn is_there(&self, now: Time) -> bool {
        let gone_ms = now.as_millis() - self.left_at.as_millis();
        self.open > 0 || gone_ms.abs() < STAYS_MS
    }
}

/// Who is there.
#[derive(Debug, Default)]
pub(super) struct Here {
    readers: Mutex<HashMap<Reader, Stay>>,
}

impl Here {
    fn lock(&self) -> MutexGuard<'_, HashMap<Reader, Stay>> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A stream of theirs begins.
    pub(super) fn comes(&self, reader: Reader, now: Time) {
        let mut readers = self.lock();
        if readers.len() >= MANY {
            readers.retain(|_, stay| stay.is_there(now));
        }
        let stay = readers.entry(reader).or_insert(Stay {
            open: 0,
            since: now,
            left_at: now,
        });
        if !stay.is_there(now) {
            stay.since = now;
        }
        stay.open += 1;
    }

    /// A stream of theirs has ended.
    pub(super) fn goes(&self, reader: Reader, now: Time) {
        if let Some(stay) = self.lock().get_mut(&reader) {
            stay.open = stay.open.saturating_sub(1);
            stay.left_at = now;
        }
    }

    /// Since when they are there.
    pub(super) fn since(&self, reader: Reader, now: Time) -> Option<Time> {
        let readers = self.lock();
        let stay = readers.get(&reader).filter(|stay| stay.is_there(now))?;
        Some(stay.since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_goes_is_there_for_ten_minutes_more_and_no_clock_keeps_them_longer() {
        let at = |minutes: i64| Time::from_millis(1_800_000_000_000 + minutes * 60_000);
        let here = Here::default();
        let (ana, till) = (Reader::Desk(UserId(1)), Reader::Companion(DeviceId(1)));
        assert_eq!(here.since(ana, at(0)), None);
        here.comes(ana, at(0));
        here.comes(ana, at(1));
        here.goes(ana, at(2));
        assert_eq!(here.since(ana, at(600)), Some(at(0)), "one tab is open");
        assert_eq!(here.since(till, at(600)), None);
        here.goes(ana, at(600));
        assert_eq!(here.since(ana, at(609)), Some(at(0)));
        assert_eq!(here.since(ana, at(610)), None);
        assert_eq!(here.since(ana, at(0)), None, "a clock that was set back");
        here.comes(ana, at(620));
        assert_eq!(here.since(ana, at(621)), Some(at(620)));
        here.goes(ana, at(621));
        here.comes(ana, at(625));
        assert_eq!(
            here.since(ana, at(630)),
            Some(at(620)),
            "it was loaded anew"
        );
    }

    #[test]
    fn d06_those_who_have_gone_are_forgotten() {
        let at = |minutes: i64| Time::from_millis(1_800_000_000_000 + minutes * 60_000);
        let here = Here::default();
        for id in 0..10 * MANY as u64 {
            let reader = Reader::Companion(DeviceId(id));
            here.comes(reader, at(11 * (id as i64)));
            here.goes(reader, at(11 * (id as i64)));
        }
        assert!(here.lock().len() <= MANY);
    }
}
