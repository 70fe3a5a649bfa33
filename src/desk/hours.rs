//! Hours of a week by the clocks of a place. Pure: the time is an argument, and the rules of time zones are compiled in.

use deskbell_sdk::Time;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

use crate::store::entry::{ChannelHoursEntry, Span, WeekEntry};

/// How many days before and after a time are looked at: a week, and what a change of clocks may move.
const DAYS: i64 = 9;
/// The last minute at which a span can end.
const DAY_ENDS: u16 = 24 * 60;
/// For how long it is believed that somebody works whose hours cannot be told, in milliseconds.
const UNTOLD_MS: i64 = 60 * 60 * 1000;

/// Hours that can be asked.
#[derive(Clone, Debug)]
pub struct Hours {
    zone: TimeZone,
    spans: Vec<Span>,
}

/// A stretch of time in which nothing changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Whether it lies within the hours.
    pub open: bool,
    /// When it began; of what began longer ago than nine days, a time within it.
    pub since: Time,
    /// When it ends; of what ends later than in nine days, a time within it.
    pub until: Time,
}

impl Stretch {
    /// Whether a time lies in it.
    #[must_use]
    pub fn covers(&self, now: Time) -> bool {
        self.since <= now && now < self.until
    }
}

/// The name of a time zone as it is kept; `None` where there is no such zone.
#[must_use]
pub fn zone_named(name: &str) -> Option<String> {
    let zone = TimeZone::get(name).ok()?;
    zone.iana_name().map(str::to_owned)
}

impl Hours {
    /// The hours of an entry; `None` where its zone is not known here, which no hours say that are taken today.
    #[must_use]
    pub fn of(week: &WeekEntry) -> Option<Self> {
        Some(Self {
            zone: TimeZone::get(&week.time_zone).ok()?,
            spans: week.spans.clone(),
        })
    }

    /// The stretch that `now` lies in. Where it cannot be told, they are open: rather one ring too many.
    #[must_use]
    pub fn stretch(&self, now: Time) -> Stretch {
        self.look(now).unwrap_or(Stretch {
            open: true,
            since: now,
            until: now.plus_millis(UNTOLD_MS),
        })
    }

    fn look(&self, now: Time) -> Option<Stretch> {
        let local = Timestamp::from_millisecond(now.as_millis()).ok()?;
        let today = local.to_zoned(self.zone.clone()).date();
        let mut open = Vec::new();
        for offset in -DAYS..=DAYS {
            let date = today.checked_add(offset.days()).ok()?;
            let day = usize::try_from(date.weekday().to_monday_zero_offset()).ok()?;
            for span in self.spans.iter().filter(|span| span.day as usize == day) {
                let (from, until) = self.on(date, *span)?;
                // A change of clocks may leave nothing of one.
                if from < until {
                    open.push((from, until));
                }
            }
        }
        open.sort_unstable();
        let mut since = now.plus_millis(-DAYS * 24 * 60 * 60 * 1000);
        let mut within: Option<(Time, Time)> = None;
        for (from, until) in open {
            match &mut within {
                // Spans that touch are one.
                Some((_, end)) if from <= *end => *end = until.max(*end),
                _ => {
                    if let Some((begin, end)) = within {
                        if now < end {
                            break;
                        }
                        since = end.max(begin);
                    }
                    within = Some((from, until));
                }
            }
        }
        let far = now.plus_millis(DAYS * 24 * 60 * 60 * 1000);
        Some(match within {
            Some((begin, end)) if begin <= now && now < end => Stretch {
                open: true,
                since: begin,
                until: end,
            },
            Some((begin, _)) if now < begin => Stretch {
                open: false,
                since,
                until: begin,
            },
            Some((_, end)) => Stretch {
                open: false,
                since: end,
                until: far,
            },
            None => Stretch {
                open: false,
                since,
                until: far,
            },
        })
    }

    /// A span that begins on a date, as times. What the clocks leave out is later, and what they tell twice is open from
    /// the first time to the second.
    fn on(&self, date: Date, span: Span) -> Option<(Time, Time)> {
        let ends = if span.to > span.from || span.to >= DAY_ENDS {
            date
        } else {
            date.tomorrow().ok()?
        };
        let at = |date: Date, minute: u16| {
            let (date, minute) = if minute >= DAY_ENDS {
                (date.tomorrow().ok()?, 0)
            } else {
                (date, minute)
            };
            let (hour, minute) = (
                i8::try_from(minute / 60).ok()?,
                i8::try_from(minute % 60).ok()?,
            );
            Some(self.zone.to_ambiguous_zoned(date.at(hour, minute, 0, 0)))
        };
        let in_ms = |zoned: jiff::Zoned| Time::from_millis(zoned.timestamp().as_millisecond());
        Some((
            in_ms(at(date, span.from)?.compatible().ok()?),
            in_ms(at(ends, span.to)?.later().ok()?),
        ))
    }

    /// A time by the clocks of the place, as `2026-11-30` and `09:00`.
    #[must_use]
    pub fn told(&self, at: Time) -> (String, String) {
        let Ok(timestamp) = Timestamp::from_millisecond(at.as_millis()) else {
            return (String::new(), String::new());
        };
        let local = timestamp.to_zoned(self.zone.clone());
        (
            local.date().to_string(),
            format!("{:02}:{:02}", local.hour(), local.minute()),
        )
    }
}

/// The stretch in which a channel is closed, and the hours that say so; `None` where it is open.
#[must_use]
pub fn closed(entry: &ChannelHoursEntry, now: Time) -> Option<(Hours, Stretch)> {
    let hours = Hours::of(entry.open.as_ref()?)?;
    let stretch = hours.stretch(now);
    (!stretch.open).then_some((hours, stretch))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::entry::Day;

    const DAYS_OF_WEEK: [Day; 7] = [
        Day::Monday,
        Day::Tuesday,
        Day::Wednesday,
        Day::Thursday,
        Day::Friday,
        Day::Saturday,
        Day::Sunday,
    ];

    fn time(text: &str) -> Time {
        text.parse().expect("a time")
    }

    fn span(day: Day, from: u16, to: u16) -> Span {
        Span { day, from, to }
    }

    fn hours(time_zone: &str, spans: &[Span]) -> Hours {
        let week = WeekEntry {
            time_zone: time_zone.to_owned(),
            spans: spans.to_vec(),
        };
        Hours::of(&week).expect("a zone")
    }

    fn every_day(from: u16, to: u16) -> Vec<Span> {
        DAYS_OF_WEEK.map(|day| span(day, from, to)).to_vec()
    }

    #[test]
    fn f35_hours_are_those_of_the_place_over_midnight_and_weekends() {
        // 2026-11-27 is a Friday; Prague is an hour ahead of UTC in winter.
        let shop = hours(
            "Europe/Prague",
            &[
                span(Day::Friday, 9 * 60, 17 * 60),
                span(Day::Friday, 22 * 60, 2 * 60),
                span(Day::Monday, 9 * 60, 17 * 60),
            ],
        );
        for (at, open, since, until) in [
            (
                "2026-11-27T08:00:00Z",
                true,
                "2026-11-27T08:00:00Z",
                "2026-11-27T16:00:00Z",
            ),
            (
                "2026-11-27T07:59:59.999Z",
                false,
                "2026-11-23T16:00:00Z",
                "2026-11-27T08:00:00Z",
            ),
            (
                "2026-11-27T16:00:00Z",
                false,
                "2026-11-27T16:00:00Z",
                "2026-11-27T21:00:00Z",
            ),
            (
                "2026-11-28T00:30:00Z",
                true,
                "2026-11-27T21:00:00Z",
                "2026-11-28T01:00:00Z",
            ),
            (
                "2026-11-28T12:00:00Z",
                false,
                "2026-11-28T01:00:00Z",
                "2026-11-30T08:00:00Z",
            ),
        ] {
            let wanted = Stretch {
                open,
                since: time(since),
                until: time(until),
            };
            assert_eq!(shop.stretch(time(at)), wanted, "{at}");
        }
        assert_eq!(
            shop.told(time("2026-11-30T08:00:00Z")),
            ("2026-11-30".to_owned(), "09:00".to_owned())
        );
        assert_eq!(
            zone_named("europe/prague").as_deref(),
            Some("Europe/Prague")
        );
        assert_eq!(zone_named("Europe/Nowhere"), None);
    }

    #[test]
    fn f11_clocks_that_are_put_forward_or_back_move_no_opening() {
        // On 2026-03-29 Prague goes from 02:00 to 03:00, on 2026-10-25 from 03:00 back to 02:00.
        let day = hours("Europe/Prague", &every_day(9 * 60, 17 * 60));
        let opens = |at: &str| day.stretch(time(at)).until;
        assert_eq!(opens("2026-03-28T17:00:00Z"), time("2026-03-29T07:00:00Z"));
        assert_eq!(opens("2026-03-27T17:00:00Z"), time("2026-03-28T08:00:00Z"));
        assert_eq!(opens("2026-10-24T17:00:00Z"), time("2026-10-25T08:00:00Z"));
        // Over the change: what is told twice is open both times, what is left out is later.
        let night = hours("Europe/Prague", &every_day(22 * 60, 2 * 60 + 30));
        let ends = |at: &str| night.stretch(time(at)).until;
        assert_eq!(ends("2026-10-24T21:00:00Z"), time("2026-10-25T01:30:00Z"));
        assert_eq!(ends("2026-03-28T22:00:00Z"), time("2026-03-29T01:30:00Z"));
        let gap = hours("Europe/Prague", &every_day(2 * 60 + 15, 2 * 60 + 45));
        let stretch = gap.stretch(time("2026-03-29T00:30:00Z"));
        assert_eq!(
            (stretch.open, stretch.until),
            (false, time("2026-03-29T01:15:00Z"))
        );
        // Whole days are one stretch, and never end.
        let always = hours("America/New_York", &every_day(0, DAY_ENDS));
        for at in [
            "2026-03-08T06:59:59Z",
            "2026-11-01T05:30:00Z",
            "2026-06-01T04:00:00Z",
        ] {
            let stretch = always.stretch(time(at));
            assert!(
                stretch.open && stretch.until > time(at).plus_millis(8 * 86_400_000),
                "{at}"
            );
        }
        // No span at all: never open, and asked again within days.
        let never = hours("UTC", &[]);
        let stretch = never.stretch(time("2026-03-08T06:59:59Z"));
        assert!(!stretch.open && stretch.until == time("2026-03-17T06:59:59Z"));
    }

    /// Weeks, as somebody might give them.
    fn weeks() -> impl Strategy<Value = Hours> {
        let zones = prop::sample::select(vec![
            "Europe/Prague",
            "America/St_Johns",
            "Australia/Lord_Howe",
            "Pacific/Apia",
            "Asia/Kathmandu",
            "America/Sao_Paulo",
            "Africa/Casablanca",
        ]);
        let spans = (0..7_usize, 0..1440_u16, 1..=1440_u16)
            .prop_filter("not empty", |(_, from, to)| from != to)
            .prop_map(|(day, from, to)| span(DAYS_OF_WEEK[day], from, to));
        (zones, prop::collection::vec(spans, 0..8)).prop_map(|(zone, spans)| hours(zone, &spans))
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

        /// Weeks in seconds: from one change to the next, whatever the zone and whenever.
        #[test]
        fn f35_f11_stretches_follow_one_another_without_gap_or_overlap(
            hours in weeks(),
            start_ms in 1_577_836_800_000_i64..1_900_000_000_000,
        ) {
            let mut now = Time::from_millis(start_ms);
            let mut before = hours.stretch(now);
            prop_assert!(before.covers(now));
            for _ in 0..40 {
                let inside = before.since.as_millis().midpoint(before.until.as_millis());
                let inside = Time::from_millis(inside);
                // Any time of it tells the same, as far as it looks.
                let again = hours.stretch(inside);
                prop_assert_eq!(again.open, before.open);
                prop_assert!(again.covers(inside));
                now = before.until;
                let next = hours.stretch(now);
                prop_assert!(next.covers(now), "{:?} {:?}", now, next);
                prop_assert!(next.until > before.until);
                let goes_on = next.open == before.open;
                // The same goes on only where it was not seen to its end.
                let seen_ms = before.until.as_millis() - before.since.as_millis();
                prop_assert!(!goes_on || seen_ms >= 7 * 86_400_000, "{:?} {:?}", before, next);
                if !goes_on {
                    prop_assert_eq!(next.since, now);
                    prop_assert_eq!(hours.stretch(now.plus_millis(-1)).open, before.open);
                }
                before = next;
            }
        }
    }
}
