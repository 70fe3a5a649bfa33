//! Whether a channel's answers may be attempted now: a circuit breaker for a platform that does not answer, and a budget
//! for what is tried again and again. It decides from what it is told, with time and chance as arguments; it is in memory,
//! and a start begins anew.
//!
//! Where a platform fails for everybody, each answer that finds it out by itself only adds to its trouble. So after some
//! failures in a row, of more than one answer, nothing is attempted for a while; then one goes alone, and the others
//! follow once it got through. What the platform says of one message is no failure: it has answered.

use std::time::Duration;

use tokio::time::Instant;

use crate::id::WorkId;

/// How many failures in a row pause a channel's sending.
pub(super) const FAILURES: u32 = 5;
/// Of at least so many answers: one alone may have something that the platform stumbles over.
const ANSWERS: usize = 2;
/// The first pause is at most this long; each further one twice as long, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(5 * 60);
/// How long another answer has the chance to go alone before the one that failed at it last.
const OTHERS_FIRST: Duration = Duration::from_secs(2);
/// How long the one that goes alone is waited for: longer than a large file takes.
const ALONE_AT_MOST: Duration = Duration::from_secs(15 * 60);
/// How long others wait before they ask again whether it got through.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// Over how long those that waited begin again.
const SPREAD: Duration = Duration::from_secs(4);
/// So many retries are always free, one a [`FREE_EVERY`], and one for each [`SENDS_FOR_ONE`] answers that are sent.
const FREE: f64 = 20.0;
const FREE_EVERY: Duration = Duration::from_secs(2);
const SENDS_FOR_ONE: f64 = 10.0;
/// How long a retry without a place waits for one.
const NO_PLACE_WAIT: Duration = Duration::from_secs(10);

/// Whether an answer may be attempted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum May {
    /// Now.
    Go,
    /// It asks again after this.
    In(Duration),
}

/// How an attempt ended, for the channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The platform answered: it took it, or refused it.
    Answered,
    /// The platform answered that it takes nothing for so long.
    Later(Duration),
    /// No answer, or none that says anything.
    Failed,
    /// Nothing was attempted.
    Nothing,
}

/// What an outcome changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing.
    None,
    /// Sending is paused now.
    Paused(Duration),
    /// Sending goes on.
    Resumed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Answers go out.
    Open,
    /// None does before `until`; it is the pause number `pauses` in a row.
    Paused { until: Instant, pauses: u32 },
    /// One goes alone.
    Alone {
        work: WorkId,
        since: Instant,
        pauses: u32,
    },
}

/// The gate of one channel.
#[derive(Debug)]
pub(super) struct Gate {
    state: State,
    failures: u32,
    failed: Vec<WorkId>,
    last_alone: Option<WorkId>,
    places: f64,
    counted_at: Instant,
}

impl Gate {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            state: State::Open,
            failures: 0,
            failed: Vec::new(),
            last_alone: None,
            places: FREE,
            counted_at: now,
        }
    }

    /// Whether an answer may be attempted that was `attempts` times before. Who may, tells how it [`Self::ended`].
    /// `jitter` is between 0 and 1.
    pub(super) fn may(&mut self, work: WorkId, attempts: u32, now: Instant, jitter: f64) -> May {
        match self.state {
            State::Open => {
                // The first retry is soon, as it is promised.
                if attempts >= 2 && !self.take_place(now) {
                    return May::In(NO_PLACE_WAIT.mul_f64(0.5 + jitter));
                }
                if attempts == 0 {
                    self.places = (self.places + 1.0 / SENDS_FOR_ONE).min(FREE);
                }
                May::Go
            }
            State::Paused { until, .. } if now < until => {
                May::In(until - now + SPREAD.mul_f64(jitter))
            }
            State::Paused { until, .. }
                if self.last_alone == Some(work) && now < until + OTHERS_FIRST =>
            {
                May::In(until + OTHERS_FIRST - now)
            }
            State::Paused { pauses, .. } => self.go_alone(work, pauses, now),
            State::Alone {
                work: alone,
                since,
                pauses,
            } => {
                if alone == work || now - since > ALONE_AT_MOST {
                    self.go_alone(work, pauses, now)
                } else {
                    May::In(ASK_AGAIN + SPREAD.mul_f64(jitter))
                }
            }
        }
    }

    fn go_alone(&mut self, work: WorkId, pauses: u32, now: Instant) -> May {
        self.state = State::Alone {
            work,
            since: now,
            pauses,
        };
        self.last_alone = Some(work);
        May::Go
    }

    fn take_place(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.counted_at);
        self.places = (self.places + passed.div_duration_f64(FREE_EVERY)).min(FREE);
        self.counted_at = now;
        let is_there = self.places >= 1.0;
        if is_there {
            self.places -= 1.0;
        }
        is_there
    }

    /// How an attempt ended.
    pub(super) fn ended(
        &mut self,
        work: WorkId,
        outcome: Outcome,
        now: Instant,
        jitter: f64,
    ) -> Change {
        match (outcome, self.state) {
            (Outcome::Answered, state) => {
                (self.state, self.failures, self.last_alone) = (State::Open, 0, None);
                self.failed.clear();
                if state == State::Open {
                    Change::None
                } else {
                    Change::Resumed
                }
            }
            (Outcome::Failed, State::Open) => {
                self.failures += 1;
                if !self.failed.contains(&work) && self.failed.len() < ANSWERS {
                    self.failed.push(work);
                }
                if self.failures < FAILURES || self.failed.len() < ANSWERS {
                    return Change::None;
                }
                self.pause(1, now, jitter)
            }
            (
                Outcome::Failed,
                State::Alone {
                    work: alone,
                    pauses,
                    ..
                },
            ) if alone == work => self.pause(pauses.saturating_add(1), now, jitter),
            (
                Outcome::Later(wait),
                State::Alone {
                    work: alone,
                    pauses,
                    ..
                },
            ) if alone == work => {
                let wait = wait.min(LONGEST_PAUSE);
                self.state = State::Paused {
                    until: now + wait,
                    pauses,
                };
                Change::None
            }
            (
                Outcome::Nothing,
                State::Alone {
                    work: alone,
                    pauses,
                    ..
                },
            ) if alone == work => {
                self.state = State::Paused { until: now, pauses };
                self.last_alone = None;
                Change::None
            }
            // What was under way when the pause began says nothing new.
            _ => Change::None,
        }
    }

    fn pause(&mut self, pauses: u32, now: Instant, jitter: f64) -> Change {
        let whole = FIRST_PAUSE
            .saturating_mul(1 << pauses.saturating_sub(1).min(10))
            .min(LONGEST_PAUSE);
        let wait = whole.mul_f64(0.5 + 0.5 * jitter);
        self.state = State::Paused {
            until: now + wait,
            pauses,
        };
        Change::Paused(wait)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ONE: WorkId = WorkId(1);
    const TWO: WorkId = WorkId(2);

    fn paused(now: Instant) -> Gate {
        let mut gate = Gate::new(now);
        for number in 0..4 {
            assert_eq!(gate.may(WorkId(number % 2), 0, now, 0.5), May::Go);
            assert_eq!(
                gate.ended(WorkId(number % 2), Outcome::Failed, now, 1.0),
                Change::None
            );
        }
        assert_eq!(
            gate.ended(ONE, Outcome::Failed, now, 1.0),
            Change::Paused(FIRST_PAUSE)
        );
        gate
    }

    #[test]
    fn f31_a_platform_that_fails_for_everybody_is_left_alone_and_tried_by_one() {
        let start = Instant::now();
        let mut gate = paused(start);
        assert_eq!(gate.may(TWO, 0, start, 0.0), May::In(FIRST_PAUSE));
        let mut now = start + FIRST_PAUSE;
        assert_eq!(gate.may(ONE, 3, now, 0.0), May::Go, "one goes alone");
        assert_eq!(gate.may(TWO, 0, now, 0.0), May::In(ASK_AGAIN));
        assert_eq!(
            gate.ended(TWO, Outcome::Failed, now, 1.0),
            Change::None,
            "an old one"
        );
        assert_eq!(
            gate.ended(ONE, Outcome::Failed, now, 1.0),
            Change::Paused(2 * FIRST_PAUSE)
        );
        now += 2 * FIRST_PAUSE;
        assert_eq!(
            gate.may(ONE, 4, now, 0.0),
            May::In(OTHERS_FIRST),
            "another has its chance"
        );
        assert_eq!(gate.may(TWO, 0, now, 0.0), May::Go);
        assert_eq!(gate.ended(TWO, Outcome::Nothing, now, 0.0), Change::None);
        assert_eq!(gate.may(ONE, 4, now, 0.0), May::Go, "nothing was tried");
        assert_eq!(
            gate.ended(ONE, Outcome::Answered, now, 0.0),
            Change::Resumed
        );
        assert_eq!(gate.may(TWO, 0, now, 0.0), May::Go);
    }

    #[test]
    fn f31_one_message_that_fails_and_what_is_said_of_one_pause_nobody() {
        let now = Instant::now();
        let mut gate = Gate::new(now);
        for _ in 0..50 {
            assert_eq!(gate.ended(ONE, Outcome::Failed, now, 0.5), Change::None);
        }
        let mut gate = Gate::new(now);
        for number in 0..50 {
            let outcome = if number % 4 == 3 {
                Outcome::Answered
            } else {
                Outcome::Failed
            };
            assert_eq!(gate.ended(WorkId(number), outcome, now, 0.5), Change::None);
        }
    }

    #[test]
    fn f31_further_retries_keep_to_their_share_and_the_first_does_not_wait() {
        let start = Instant::now();
        let mut gate = Gate::new(start);
        let mut retries = 0_u32;
        // Ten sends a second for a minute, each of which wants to be tried again all the time.
        for step in 0..600_u32 {
            let now = start + Duration::from_millis(100) * step;
            let work = WorkId(u64::from(step));
            assert_eq!(gate.may(work, 0, now, 0.5), May::Go);
            assert_eq!(gate.may(work, 1, now, 0.5), May::Go, "the first retry");
            for attempts in 2..6 {
                retries += u32::from(gate.may(work, attempts, now, 0.5) == May::Go);
            }
        }
        // 20 that are free, 60 for the sends, 30 for the time.
        assert!((100..=110).contains(&retries), "{retries}");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Whatever happens: nobody goes in a pause, only one goes alone, and it never stays shut.
        #[test]
        fn f31_no_herd_and_no_end(
            steps in proptest::collection::vec((0..6_u64, 0..4_u8, 0..40_000_u64, 0.0..1.0_f64), 1..200),
        ) {
            let start = Instant::now();
            let mut now = start;
            let mut gate = Gate::new(now);
            let mut flying: Vec<WorkId> = Vec::new();
            let mut pause: Option<Instant> = None;
            let (mut row, mut alone) = (0_u32, None);
            for (work, what, wait_ms, jitter) in steps {
                now += Duration::from_millis(wait_ms);
                let work = WorkId(work);
                if !flying.contains(&work) {
                    if gate.may(work, 1, now, jitter) == May::Go {
                        if let Some(until) = pause {
                            prop_assert!(now >= until, "in a pause");
                            prop_assert!(alone.is_none_or(|(other, since)| other == work || now - since > ALONE_AT_MOST));
                            alone = Some((work, now));
                        }
                        flying.push(work);
                    }
                    continue;
                }
                flying.retain(|other| *other != work);
                let outcome = [Outcome::Answered, Outcome::Failed, Outcome::Nothing, Outcome::Later(Duration::from_secs(9))]
                    [usize::from(what)];
                match outcome {
                    Outcome::Answered => row = 0,
                    Outcome::Failed => row += 1,
                    _ => {}
                }
                match gate.ended(work, outcome, now, jitter) {
                    Change::Paused(wait) => {
                        prop_assert!(row >= FAILURES || pause.is_some());
                        prop_assert!(wait <= LONGEST_PAUSE && wait >= FIRST_PAUSE / 2);
                        pause = Some(now + wait);
                        alone = None;
                    }
                    Change::Resumed => (pause, alone) = (None, None),
                    Change::None => {
                        if alone.is_some_and(|(other, _)| other == work) {
                            alone = None;
                            if outcome == Outcome::Later(Duration::from_secs(9)) {
                                pause = Some(now + Duration::from_secs(9));
                            }
                        }
                    }
                }
            }
            let end = now + ALONE_AT_MOST + LONGEST_PAUSE + OTHERS_FIRST;
            prop_assert_eq!(gate.may(WorkId(99), 0, end, 1.0), May::Go);
        }
    }
}
