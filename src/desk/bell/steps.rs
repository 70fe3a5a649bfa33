//! When a ring climbs.

use deskbell_sdk::Time;

/// The steps of a ring that nobody takes, and what is too old to ring. All in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Steps {
    begin_ms: Vec<i64>,
    max_age_ms: i64,
}

impl Default for Steps {
    /// At once, after one, five and fifteen minutes; a day.
    fn default() -> Self {
        Self::new(vec![0, 60_000, 300_000, 900_000], 24 * 60 * 60 * 1000)
    }
}

impl Steps {
    /// When each step begins, counted from the begin of the ring, in ascending order; and how old a message may be that
    /// rings. Without steps there is one, at once, that repeats every minute.
    #[must_use]
    pub fn new(begin_ms: Vec<i64>, max_age_ms: i64) -> Self {
        let begin_ms = if begin_ms.is_empty() {
            vec![60_000]
        } else {
            begin_ms
        };
        Self {
            begin_ms,
            max_age_ms,
        }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u32 {
        u32::try_from(self.begin_ms.len()).unwrap_or(u32::MAX)
    }

    /// Whether a message of this time rings. Older ones, as catch-up finds them, are shown only.
    #[must_use]
    pub fn is_news(&self, sent_at: Time, now: Time) -> bool {
        now.as_millis().saturating_sub(sent_at.as_millis()) <= self.max_age_ms
    }

    /// The step that a ring has come to by `now`; the first is 1.
    #[must_use]
    pub fn reached(&self, started_at: Time, now: Time) -> u32 {
        let passed_ms = now.as_millis().saturating_sub(started_at.as_millis());
        let begun = self
            .begin_ms
            .iter()
            .skip(1)
            .take_while(|begin_ms| **begin_ms <= passed_ms)
            .count();
        u32::try_from(begun + 1).unwrap_or(u32::MAX)
    }

    /// Whether what is due at `due_at` is due at `now`. What lies further ahead than any step was decided by a clock that
    /// was set back since: nobody shall wait for it.
    #[must_use]
    pub fn is_due(&self, due_at: Time, now: Time) -> bool {
        let ahead_ms = due_at.as_millis().saturating_sub(now.as_millis());
        let longest_ms = self.begin_ms.iter().copied().max().unwrap_or(0);
        ahead_ms <= 0 || ahead_ms > longest_ms.max(1_000)
    }

    /// When the step after `step` is due, for a ring that begun at `started_at`: always after `now`. The last one repeats
    /// at its own interval.
    #[must_use]
    pub fn after(&self, step: u32, started_at: Time, now: Time) -> Time {
        let next = usize::try_from(step).unwrap_or(usize::MAX);
        if let Some(begin_ms) = self.begin_ms.get(next) {
            let due_at = started_at.plus_millis(*begin_ms);
            if due_at > now {
                return due_at;
            }
        }
        let interval_ms = self.begin_ms.last().copied().unwrap_or(60_000).max(1_000);
        if next < self.begin_ms.len() {
            // The clock jumped, or the daemon was away: the next step comes with its own distance from the one before.
            let before_ms = self.begin_ms.get(next - 1).copied().unwrap_or(0);
            let distance_ms = self.begin_ms[next] - before_ms;
            return now.plus_millis(distance_ms.max(1_000));
        }
        now.plus_millis(interval_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Time {
        Time::from_millis(1_800_000_000_000 + seconds * 1000)
    }

    #[test]
    fn steps_come_when_they_begin_and_the_last_repeats() {
        let steps = Steps::default();
        assert_eq!(steps.after(1, at(0), at(0)), at(60));
        assert_eq!(steps.after(2, at(0), at(60)), at(300));
        assert_eq!(steps.after(3, at(0), at(301)), at(900));
        assert_eq!(steps.after(4, at(0), at(900)), at(1800));
        assert_eq!(steps.after(4, at(0), at(1800)), at(2700));
        for (seconds, step) in [
            (0, 1),
            (59, 1),
            (60, 2),
            (299, 2),
            (300, 3),
            (900, 4),
            (90_000, 4),
        ] {
            assert_eq!(steps.reached(at(0), at(seconds)), step, "{seconds}");
        }
    }

    #[test]
    fn f11_whatever_the_clock_does_the_next_step_lies_ahead_and_not_far() {
        let steps = Steps::default();
        for step in 1..=4 {
            for now in [-4_000_000, -1, 0, 59, 61, 301, 901, 100_000] {
                let due_at = steps.after(step, at(0), at(now));
                assert!(due_at > at(now), "{step} {now}");
                let hour_back = due_at.plus_millis(-3_600_000);
                assert!(steps.is_due(due_at, hour_back), "{step} {now}");
                assert!(!steps.is_due(due_at, due_at.plus_millis(-1_000)));
            }
        }
    }

    #[test]
    fn one_step_repeats() {
        let steps = Steps::new(vec![30_000], 1000);
        assert_eq!(steps.count(), 1);
        assert_eq!(steps.after(1, at(0), at(0)), at(30));
        assert!(steps.is_news(at(0), at(1)) && !steps.is_news(at(0), at(2)));
    }
}
