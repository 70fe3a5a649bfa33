//! When something usually comes in a channel, hour by hour of the week, and whether nothing coming is unusual.

use deskbell_sdk::Time;

use crate::store::entry::RhythmEntry;

/// The hours of a week.
const WEEK: usize = 7 * 24;
/// So many weeks are kept.
const WEEKS: usize = 4;
/// So many have to be known before anything is said.
const KNOWN_WEEKS: usize = 2;
const HOUR_MS: i64 = 60 * 60 * 1000;
const MINUTE_MS: i64 = 60 * 1000;
/// No silence is told of that is shorter than this: the floor, a quarter of an hour in milliseconds.
const FLOOR_MS: i64 = 15 * MINUTE_MS;
/// In so many minutes of the same time of each week something has to have come, or nothing coming is no news.
const USUAL_MINUTES: f64 = 8.0;
/// What was written so long before it came tells nothing of when things come: history that was imported or caught up.
const OLD_MS: i64 = HOUR_MS;

fn hour_of(at: Time) -> i64 {
    at.as_millis().div_euclid(HOUR_MS)
}

fn slot_of(hour: i64) -> usize {
    usize::try_from(hour.rem_euclid((WEEK * WEEKS) as i64)).unwrap_or_default()
}

/// Whether a message says something of when messages come.
#[must_use]
pub(super) fn is_live(sent_at: Time, came_at: Time) -> bool {
    came_at.as_millis().saturating_sub(sent_at.as_millis()) <= OLD_MS
}

/// Takes in that time has come to `now`: hours in which nothing came are known as well.
pub(super) fn advance(rhythm: &mut RhythmEntry, now: Time) {
    let hour = hour_of(now);
    let is_whole = rhythm.minutes.len() == WEEK * WEEKS;
    // Set back by more than what an hour's end explains: what was learned stands at other times now.
    if !is_whole || hour < rhythm.hour - 1 {
        *rhythm = RhythmEntry {
            position: rhythm.position,
            hour,
            since_hour: hour,
            minutes: vec![0; WEEK * WEEKS],
            last_minute: 0,
            last_at: None,
        };
        return;
    }
    if hour <= rhythm.hour {
        return;
    }
    let passed = hour - rhythm.hour;
    for behind in 0..passed.min((WEEK * WEEKS) as i64) {
        rhythm.minutes[slot_of(hour - behind)] = 0;
    }
    // So long a time nobody looked: what is older is forgotten.
    if passed > WEEK as i64 {
        rhythm.since_hour = hour;
    }
    rhythm.hour = hour;
}

/// Something came. Minutes are counted and not messages: a hundred in one minute are one customer who writes much.
pub(super) fn count(rhythm: &mut RhythmEntry, at: Time) {
    advance(rhythm, at);
    let minute = at.as_millis().div_euclid(MINUTE_MS);
    if minute != rhythm.last_minute {
        rhythm.last_minute = minute;
        let slot = slot_of(hour_of(at));
        rhythm.minutes[slot] = rhythm.minutes[slot].saturating_add(1).min(60);
    }
    rhythm.last_at = Some(at);
}

/// Since when nothing has come, where that is unusual: in the same time of each week that is known something came in
/// several minutes.
#[must_use]
pub(super) fn silent_since(rhythm: &RhythmEntry, now: Time) -> Option<Time> {
    let last = rhythm.last_at?;
    let silent_ms = now.as_millis() - last.as_millis();
    if silent_ms < FLOOR_MS || rhythm.minutes.len() != WEEK * WEEKS {
        return None;
    }
    let hour = hour_of(now);
    let known = usize::try_from((hour - rhythm.since_hour) / WEEK as i64).unwrap_or_default();
    let known = known.min(WEEKS - 1);
    if known < KNOWN_WEEKS {
        return None;
    }
    // Longer silences than a day say no more than one of a day.
    let from_ms = last.as_millis().max(now.as_millis() - 24 * HOUR_MS);
    let usual = (1..=known).map(|week| {
        let back_ms = week as i64 * WEEK as i64 * HOUR_MS;
        minutes_between(rhythm, from_ms - back_ms, now.as_millis() - back_ms)
    });
    let least = usual.fold(f64::INFINITY, f64::min);
    (least >= USUAL_MINUTES).then_some(last)
}

/// In how many minutes between two times something came; of hours that are not wholly between them the same part.
#[expect(clippy::cast_precision_loss, reason = "a part of an hour")]
fn minutes_between(rhythm: &RhythmEntry, from_ms: i64, to_ms: i64) -> f64 {
    let (first, last) = (from_ms.div_euclid(HOUR_MS), to_ms.div_euclid(HOUR_MS));
    let hours = (first..=last).map(|hour| {
        let begin = (hour * HOUR_MS).max(from_ms);
        let end = ((hour + 1) * HOUR_MS).min(to_ms);
        let part = (end - begin).max(0) as f64 / HOUR_MS as f64;
        f64::from(rhythm.minutes[slot_of(hour)]) * part
    });
    hours.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A Monday at midnight, UTC.
    const MONDAY_MS: i64 = 1_789_948_800_000;

    fn at(day: i64, minute: i64) -> Time {
        Time::from_millis(MONDAY_MS + (day * 24 * 60 + minute) * MINUTE_MS)
    }

    /// A shop to which somebody writes every other minute from 9 to 17 on weekdays, and twice an hour in the evening.
    fn shop(days: i64) -> RhythmEntry {
        let mut rhythm = RhythmEntry::default();
        for day in 0..days {
            for minute in 0..24 * 60 {
                let is_weekday = day.rem_euclid(7) < 5;
                let is_busy = is_weekday && (9 * 60..17 * 60).contains(&minute) && minute % 2 == 0;
                let is_evening = (17 * 60..22 * 60).contains(&minute) && minute % 30 == 0;
                advance(&mut rhythm, at(day, minute));
                if is_busy || is_evening {
                    count(&mut rhythm, at(day, minute));
                }
            }
        }
        rhythm
    }

    /// The minute of the day at which silence that begins at `minute` is first told of.
    fn told_at(rhythm: &RhythmEntry, day: i64, minute: i64, for_minutes: i64) -> Option<i64> {
        let mut rhythm = rhythm.clone();
        advance(&mut rhythm, at(day, minute));
        count(&mut rhythm, at(day, minute));
        (minute..minute + for_minutes).find(|minute| {
            advance(&mut rhythm, at(day, *minute));
            silent_since(&rhythm, at(day, *minute)).is_some()
        })
    }

    #[test]
    fn f18_silence_at_a_busy_hour_is_told_within_a_quarter_and_usual_silence_never() {
        let rhythm = shop(28);
        // Monday of the fifth week, 11 o'clock: sixteen minutes at half a message a minute.
        let told = told_at(&rhythm, 28, 11 * 60, 600).expect("told");
        assert!((11 * 60 + 15..=11 * 60 + 17).contains(&told), "{told}");
        // The evening is quiet as ever, and so is the night.
        assert_eq!(told_at(&rhythm, 28, 20 * 60, 13 * 60), None);
        assert_eq!(told_at(&rhythm, 33, 10 * 60, 7 * 60), None, "a Saturday");
        // Nothing from the evening on: told when the next morning is well under way.
        let told = told_at(&rhythm, 28, 21 * 60 + 30, 24 * 60).expect("told");
        assert!((33 * 60..=33 * 60 + 20).contains(&told), "{told}");
        // What comes ends it.
        let mut rhythm = rhythm;
        count(&mut rhythm, at(28, 12 * 60));
        assert!(silent_since(&rhythm, at(28, 12 * 60 + 20)).is_some());
        count(&mut rhythm, at(28, 12 * 60 + 20));
        assert_eq!(silent_since(&rhythm, at(28, 12 * 60 + 21)), None);
    }

    #[test]
    fn nothing_is_said_before_two_weeks_are_known_or_where_one_of_them_was_silent() {
        assert_eq!(told_at(&shop(10), 10, 11 * 60, 600), None);
        assert!(told_at(&shop(15), 15, 11 * 60, 600).is_some());
        // A shop with few messages.
        let mut few = RhythmEntry::default();
        for day in 0..28 {
            count(&mut few, at(day, 10 * 60));
            count(&mut few, at(day, 15 * 60));
        }
        assert_eq!(told_at(&few, 28, 10 * 60, 24 * 60), None);
        // A holiday in the second week.
        let mut holiday = shop(28);
        for hour in 0..24 {
            let hour = hour_of(at(14, hour * 60));
            holiday.minutes[slot_of(hour)] = 0;
        }
        assert_eq!(told_at(&holiday, 28, 11 * 60, 5 * 60), None);
        assert!(told_at(&holiday, 29, 11 * 60, 5 * 60).is_some());
        // A burst is one minute.
        let mut burst = RhythmEntry::default();
        for _ in 0..100 {
            count(&mut burst, at(0, 10 * 60));
        }
        assert_eq!(
            burst
                .minutes
                .iter()
                .map(|count| u32::from(*count))
                .sum::<u32>(),
            1
        );
    }

    #[test]
    fn f11_a_clock_that_jumps_makes_no_alarm_and_is_learned_from_anew() {
        for jump_days in [-3650, -1, 1, 10, 3650] {
            let mut rhythm = shop(28);
            let told = |rhythm: &RhythmEntry, day: i64| {
                (0..24 * 60).any(|minute| silent_since(rhythm, at(day, minute)).is_some())
            };
            count(&mut rhythm, at(28 + jump_days, 8 * 60));
            let before = rhythm.clone();
            advance(&mut rhythm, at(28, 9 * 60));
            if jump_days.abs() > 7 {
                assert!(!told(&rhythm, 28), "{jump_days}");
            }
            // Whatever was told, what comes ends it.
            count(&mut rhythm, at(28, 12 * 60));
            assert_eq!(silent_since(&rhythm, at(28, 12 * 60 + 5)), None);
            assert_eq!(before.minutes.len(), rhythm.minutes.len());
        }
        assert!(!is_live(at(0, 0), at(0, 61)) && is_live(at(0, 0), at(0, 59)));
        assert!(
            is_live(at(0, 5), at(0, 0)),
            "a platform's clock ahead of ours"
        );
    }
}
