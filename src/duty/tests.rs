//! Rosters, by a clock that is turned.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::desk::bell::{EVERYBODY, Missing, Steps, missing, whom};
use crate::store::entry::{AfterHours, Day, Role, Span, WeekEntry};

const SHOP: ChannelNo = ChannelNo(1);
const SLUG: Option<&str> = Some("shop");
const MINUTE_MS: i64 = 60_000;

const DAYS: [Day; 7] = [
    Day::Monday,
    Day::Tuesday,
    Day::Wednesday,
    Day::Thursday,
    Day::Friday,
    Day::Saturday,
    Day::Sunday,
];

fn user(id: u64, role: Role, channels: Option<&[&str]>, available: bool) -> UserEntry {
    let at = Time::from_millis(1_790_000_000_000);
    UserEntry {
        id: UserId(id),
        email: format!("{id}@shop.example"),
        name: id.to_string(),
        role,
        channels: channels.map(|slugs| slugs.iter().copied().map(str::to_owned).collect()),
        password: None,
        disabled: false,
        joined_at: Some(at),
        generation: 1,
        invitation: None,
        available,
        created_at: at,
        last_seen_at: None,
        two_factor: false,
    }
}

fn week(zone: &str, spans: Vec<Span>) -> WeekEntry {
    WeekEntry {
        time_zone: zone.to_owned(),
        spans,
    }
}

fn every_day(zone: &str, from: u16, to: u16) -> WeekEntry {
    week(zone, DAYS.map(|day| Span { day, from, to }).to_vec())
}

fn time(text: &str) -> Time {
    text.parse().expect("a time")
}

#[test]
fn f35_who_works_is_available_within_their_hours_and_not_in_their_quiet_hours() {
    let mut roster = Roster::new(Some(UserId(4)));
    let working = |week| UserHoursEntry {
        working: Some(week),
        quiet: None,
    };
    let always = UserHoursEntry::default();
    roster.add(Worker::new(&user(1, Role::Admin, None, true), &always));
    let prague = working(every_day("Europe/Prague", 9 * 60, 17 * 60));
    roster.add(Worker::new(&user(2, Role::Agent, None, true), &prague));
    let naps = UserHoursEntry {
        quiet: Some(every_day("Europe/Prague", 12 * 60, 13 * 60)),
        ..prague.clone()
    };
    roster.add(Worker::new(
        &user(3, Role::Agent, Some(&["shop"]), true),
        &naps,
    ));
    roster.add(Worker::new(
        &user(4, Role::Agent, Some(&["other"]), false),
        &always,
    ));
    let standing = |now: &str| -> Vec<(u64, bool, bool)> {
        let people = roster.people(SHOP, SLUG, time(now)).into_iter();
        people
            .map(|person| (person.id.0, person.on_duty, person.on_call))
            .collect()
    };
    // Prague is an hour ahead of UTC.
    let noon = [(1, true, false), (2, true, false), (3, false, false)];
    assert_eq!(standing("2026-11-27T11:30:00Z"), noon);
    let morning = [(1, true, false), (2, true, false), (3, true, false)];
    assert_eq!(standing("2026-11-27T08:30:00Z"), morning);
    let evening = [(1, true, false), (2, false, false), (3, false, false)];
    assert_eq!(standing("2026-11-27T18:30:00Z"), evening);
    // What was found for one time is not believed of another, also of one before it.
    assert_eq!(standing("2026-11-27T08:30:00Z"), morning);
    let admins = roster.administrators(time("2026-11-27T08:30:00Z"));
    assert_eq!(admins.len(), 1);
    let on_call = roster.standing(UserId(4), time("2026-11-27T08:30:00Z"));
    assert!(on_call.is_some_and(|person| person.on_call && !person.on_duty));
    // The same person sees the other channel, and there nobody else who has only this one.
    let other = roster.people(ChannelNo(2), Some("other"), time("2026-11-27T08:30:00Z"));
    let other: Vec<u64> = other.iter().map(|person| person.id.0).collect();
    assert_eq!(other, [1, 2, 4]);
}

#[test]
fn while_a_channel_is_closed_its_rings_wait_or_go_to_whoever_is_on_call() {
    let hours = |after_hours| ChannelHoursEntry {
        open: Some(every_day("Europe/Prague", 9 * 60, 17 * 60)),
        after_hours,
        ..ChannelHoursEntry::default()
    };
    let (day, night) = (time("2026-11-27T10:00:00Z"), time("2026-11-27T20:00:00Z"));
    let roster = |after_hours, on_call: Option<u64>| {
        let mut roster = Roster::new(on_call.map(UserId));
        for id in [1, 2] {
            let user = user(id, Role::Agent, None, true);
            roster.add(Worker::new(&user, &UserHoursEntry::default()));
        }
        roster.add_channel(SHOP, Channel::new(&hours(after_hours)));
        roster
    };
    let told = |roster: &Roster, now| {
        let people = roster.people(SHOP, SLUG, now);
        let told = whom(EVERYBODY, Some(UserId(1)), &BTreeSet::new(), &people);
        told.into_iter().map(|id| id.0).collect::<Vec<_>>()
    };
    let held = roster(AfterHours::Hold, Some(2));
    assert!(held.holds(SHOP, night) && !held.holds(SHOP, day));
    assert!(!held.holds(ChannelNo(2), night), "without hours it is open");
    let on_call = roster(AfterHours::OnCall, Some(2));
    assert!(!on_call.holds(SHOP, night));
    assert_eq!(told(&on_call, night), [2]);
    assert_eq!(told(&on_call, day), [1, 2]);
    // Nobody is on call: better all than nobody.
    let nobody = roster(AfterHours::OnCall, None);
    assert_eq!(told(&nobody, night), [1, 2]);
    let ring = roster(AfterHours::Ring, Some(2));
    assert_eq!(told(&ring, night), [1, 2]);
    assert!(!ring.holds(SHOP, night));
}

/// A week as somebody might give it.
fn weeks() -> impl Strategy<Value = WeekEntry> {
    let zones = prop::sample::select(vec!["Europe/Prague", "America/New_York", "Asia/Tokyo"]);
    let span = (0..7_usize, 0..1440_u16, 1..=1440_u16)
        .prop_filter("not empty", |(_, from, to)| from != to)
        .prop_map(|(day, from, to)| Span {
            day: DAYS[day],
            from,
            to,
        });
    (zones, prop::collection::vec(span, 1..8)).prop_map(|(zone, spans)| week(zone, spans))
}

/// Somebody: whether an administrator, what they see, whether they are available, and their hours.
type Somebody = (bool, usize, bool, Option<WeekEntry>, Option<WeekEntry>);

fn somebody() -> impl Strategy<Value = Somebody> {
    let hours = || prop::option::of(weeks());
    (any::<bool>(), 0..3_usize, any::<bool>(), hours(), hours())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// 1,000 rosters, each a week long with clocks that jump: every step of every ring has somebody whom it tells, or is
    /// an alarm; and what waits for the channel to open does so no longer than until it does.
    #[test]
    fn f35_f11_a_ring_always_has_somebody_or_raises_an_alarm(
        people in prop::collection::vec(somebody(), 0..6),
        on_call in prop::option::of(0..6_u64),
        mode in 0..4_usize,
        shop in weeks(),
        // When messages come, who has the conversation, and how far the clock jumps meanwhile, in minutes.
        rings in prop::collection::vec((0..7 * 1440_i64, 0..8_u64, -120..120_i64), 1..6),
    ) {
        let mut roster = Roster::new(on_call.map(UserId));
        for (id, (is_admin, sees, available, working, quiet)) in people.iter().enumerate() {
            let role = if *is_admin { Role::Admin } else { Role::Agent };
            let channels: Option<&[&str]> = match (is_admin, sees) {
                (true, _) | (_, 0) => None,
                (_, 1) => Some(&["shop"]),
                _ => Some(&["other"]),
            };
            let hours = UserHoursEntry { working: working.clone(), quiet: quiet.clone() };
            roster.add(Worker::new(&user(id as u64, role, channels, *available), &hours));
        }
        if mode < 3 {
            let after_hours = [AfterHours::Ring, AfterHours::Hold, AfterHours::OnCall][mode];
            let entry = ChannelHoursEntry { open: Some(shop), after_hours, ..ChannelHoursEntry::default() };
            roster.add_channel(SHOP, Channel::new(&entry));
        }
        let may_see = people.iter().filter(|(is_admin, sees, ..)| *is_admin || *sees < 2).count();
        let steps = Steps::default();
        let week_begins = 1_790_000_000_000_i64;
        for (minute, assignee, jump) in rings {
            let assignee = (assignee < 6).then_some(UserId(assignee));
            let came_at = Time::from_millis(week_begins + minute * MINUTE_MS);
            let mut now = came_at;
            if roster.holds(SHOP, now) {
                let opens_at = roster.stretch_of(SHOP, now).expect("hours").until;
                prop_assert!(opens_at > now);
                prop_assert!(opens_at.as_millis() - now.as_millis() <= 9 * 1440 * MINUTE_MS);
                now = opens_at;
                prop_assert!(!roster.holds(SHOP, now), "it opens");
            }
            let begun_at = now;
            let mut step = 1;
            for round in 0..12 {
                let people = roster.people(SHOP, SLUG, now);
                let told = whom(step, assignee, &BTreeSet::new(), &people);
                let lacks = missing(&people);
                prop_assert_eq!(told.is_empty(), may_see == 0);
                prop_assert_eq!(lacks == Some(Missing::NobodySees), may_see == 0);
                let is_there = |id: &UserId| people.iter().any(|person| person.id == *id && (person.on_duty || person.on_call));
                let hears = told.iter().any(is_there) || step == 1 && assignee.is_some_and(|id| told.contains(&id));
                prop_assert!(hears || lacks.is_some(), "step {} of {:?}", step, people);
                let next = steps.after(step, begun_at, now);
                let shown = if round == 3 { next.plus_millis(jump * MINUTE_MS) } else { next };
                // Whatever the clock shows then, it is due.
                prop_assert!(steps.is_due(next, shown) || shown < next);
                if roster.holds(SHOP, shown) {
                    break;
                }
                now = shown;
                step = steps.reached(begun_at, now).max((step + 1).min(steps.count()));
            }
        }
    }
}

/// 50 people with hours, and 10,000 rings over a quarter of an hour within them.
#[test]
fn f35_everybody_is_told_of_each_of_ten_thousand_rings() {
    let mut roster = Roster::new(Some(UserId(7)));
    for id in 0..50 {
        let hours = UserHoursEntry {
            working: Some(every_day("Europe/Prague", 9 * 60, 17 * 60)),
            quiet: Some(every_day("America/New_York", 12 * 60, 13 * 60)),
        };
        let user = user(id, Role::Agent, Some(&["shop", "other"]), true);
        roster.add(Worker::new(&user, &hours));
    }
    let start = time("2026-11-27T08:30:00Z");
    let mut told = 0;
    for ring in 0..10_000 {
        let people = roster.people(SHOP, SLUG, start.plus_millis(ring * 90));
        told += whom(2, None, &BTreeSet::new(), &people).len();
    }
    assert_eq!(told, 500_000);
}
