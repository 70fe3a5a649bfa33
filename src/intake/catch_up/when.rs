//! When a channel is caught up.

use deskbell_sdk::Time;

/// As a safety net, in milliseconds: every hour.
const EVERY_MS: i64 = 60 * 60 * 1000;
/// For how long deliveries may be silent, in milliseconds (F18).
const SILENCE_MS: i64 = 15 * 60 * 1000;
/// How long after a failure it is tried again, in milliseconds.
const AFTER_FAILURE_MS: i64 = 5 * 60 * 1000;
/// How long after something was left open it is read again, in milliseconds: longer than the fate of an answer is
/// looked for.
const LEFT_OPEN_MS: i64 = 2 * 60 * 1000;
/// How long after the credentials broke it is tried again at the earliest, in milliseconds.
const BROKEN_MS: i64 = 20 * 1000;
/// How long after a delivery could not be stored, in milliseconds: the platform has sent it again by then, or never.
const UNSTORED_MS: i64 = 60 * 1000;

/// Why a channel is caught up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// The daemon has started.
    Start,
    /// Somebody asked.
    Asked,
    /// The credentials work again.
    Mended,
    /// The last one failed.
    Again,
    /// The last one had to leave something open.
    LeftOpen,
    /// A delivery could not be stored.
    Unstored,
    /// Nothing has been delivered for long.
    Silence,
    /// An hour has passed.
    Hour,
}

impl Reason {
    /// Its name in reports.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Asked => "asked",
            Self::Mended => "mended",
            Self::Again => "again",
            Self::LeftOpen => "left-open",
            Self::Unstored => "unstored",
            Self::Silence => "silence",
            Self::Hour => "hour",
        }
    }

    /// Whether everything should have been delivered, so that what is found was not.
    pub(super) const fn expects_nothing(self) -> bool {
        matches!(self, Self::Silence | Self::Hour)
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// All is here.
    Whole,
    /// Something has to be read again soon.
    LeftOpen,
    /// The platform could not be read.
    Failed,
    /// The credentials do not work.
    Credentials,
}

/// The last run since the daemon started.
#[derive(Clone, Copy, Debug)]
pub(super) struct Last {
    /// When it began.
    pub(super) started_at: Time,
    /// When it ended.
    pub(super) ended_at: Time,
    /// How.
    pub(super) end: End,
}

/// What is known when it is asked whether a run is due.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Facts {
    /// The last run.
    pub(super) last: Option<Last>,
    /// Somebody asks for one.
    pub(super) asked: bool,
    /// The credentials are known not to work.
    pub(super) paused: bool,
    /// When something was last delivered.
    pub(super) delivered_at: Option<Time>,
    /// When a delivery last could not be stored.
    pub(super) unstored_at: Option<Time>,
}

/// Whether a run is due at `now`, and why.
pub(super) fn due(facts: &Facts, now: Time) -> Option<Reason> {
    if facts.paused {
        return None;
    }
    if facts.asked {
        return Some(Reason::Asked);
    }
    let Some(last) = facts.last else {
        return Some(Reason::Start);
    };
    // Where the clock was set back nothing is known of what has passed (F11).
    if now < last.ended_at {
        return Some(Reason::Hour);
    }
    let since = |time: Time| now.as_millis() - time.as_millis();
    let passed = since(last.ended_at);
    let unstored = facts
        .unstored_at
        .filter(|at| *at >= last.started_at)
        .is_some_and(|at| since(at) >= UNSTORED_MS);
    match last.end {
        End::Credentials => return (passed >= BROKEN_MS).then_some(Reason::Mended),
        End::Failed => return (passed >= AFTER_FAILURE_MS).then_some(Reason::Again),
        End::LeftOpen if passed >= LEFT_OPEN_MS => return Some(Reason::LeftOpen),
        End::LeftOpen | End::Whole => {}
    }
    let quiet = facts
        .delivered_at
        .map_or(passed, |at| since(at).min(passed));
    if unstored {
        Some(Reason::Unstored)
    } else if passed >= EVERY_MS {
        Some(Reason::Hour)
    } else if quiet >= SILENCE_MS {
        Some(Reason::Silence)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;
    const BASE: i64 = 1_790_000_000_000;

    fn at(minutes: i64) -> Time {
        Time::from_millis(BASE + minutes * MINUTE)
    }

    fn after(end: End) -> Facts {
        Facts {
            last: Some(Last {
                started_at: at(-1),
                ended_at: at(0),
                end,
            }),
            ..Facts::default()
        }
    }

    /// The first minute in which a run is due, and why.
    fn first(facts: &Facts) -> (i64, Reason) {
        let found = (0..200).find_map(|minute| Some((minute, due(facts, at(minute))?)));
        found.expect("within three hours")
    }

    #[test]
    fn a_channel_is_caught_up_at_the_start_and_when_somebody_asks() {
        assert_eq!(due(&Facts::default(), at(0)), Some(Reason::Start));
        let asked = Facts {
            asked: true,
            ..after(End::Whole)
        };
        assert_eq!(due(&asked, at(0)), Some(Reason::Asked));
    }

    #[test]
    fn f18_a_quarter_of_an_hour_of_silence_is_looked_into() {
        assert_eq!(first(&after(End::Whole)), (15, Reason::Silence));
        let delivered = |minute| Facts {
            delivered_at: Some(at(minute)),
            ..after(End::Whole)
        };
        assert_eq!(first(&delivered(-30)), (15, Reason::Silence));
        assert_eq!(first(&delivered(10)), (25, Reason::Silence));
        // Where deliveries come all the time, there is still the hour.
        let busy = (0..200).find_map(|minute| Some((minute, due(&delivered(minute), at(minute))?)));
        assert_eq!(busy, Some((60, Reason::Hour)));
    }

    #[test]
    fn f17_broken_credentials_pause_it_and_mended_ones_start_it() {
        let paused = Facts {
            paused: true,
            asked: true,
            ..after(End::Credentials)
        };
        assert!((0..200).all(|minute| due(&paused, at(minute)).is_none()));
        assert_eq!(first(&after(End::Credentials)), (1, Reason::Mended));
    }

    #[test]
    fn what_failed_or_was_left_open_is_tried_again() {
        assert_eq!(first(&after(End::Failed)), (5, Reason::Again));
        assert_eq!(first(&after(End::LeftOpen)), (2, Reason::LeftOpen));
        let unstored = |minute| Facts {
            unstored_at: Some(at(minute)),
            ..after(End::Whole)
        };
        assert_eq!(first(&unstored(3)), (4, Reason::Unstored));
        assert_eq!(
            first(&unstored(-20)),
            (15, Reason::Silence),
            "before the last run"
        );
    }

    #[test]
    fn f11_a_clock_that_was_set_back_stops_nothing() {
        assert_eq!(due(&after(End::Whole), at(-600_000)), Some(Reason::Hour));
        let ahead = Facts {
            delivered_at: Some(at(600_000)),
            ..after(End::Whole)
        };
        assert_eq!(first(&ahead), (60, Reason::Hour));
    }
}
