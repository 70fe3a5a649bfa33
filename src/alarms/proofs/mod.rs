//! The bell as a whole over days and thousands of messages: desk, writer, store, telling, tests of devices and alarms are as
//! they are; the clock, the push services, the devices and the people behind them are modelled.

mod world;

use deskbell_sdk::Time;

use world::{HOUR_MS, MINUTE_MS, Mood, SECOND_MS, World};

use crate::api::testing::{how_many, noon};
use crate::id::DeviceId;
use crate::store::entry::AttemptResult;

/// Twenty devices a person, whom every message tells.
async fn shop_of(world: &mut World, devices: usize) -> Vec<DeviceId> {
    let people = world.people(devices.div_ceil(20)).await;
    let mut all = Vec::new();
    for (number, user) in people.into_iter().enumerate() {
        for device in 0..20.min(devices - number * 20) {
            all.push(world.device(user, &format!("{device}")).await);
        }
    }
    all
}

/// `DESKBELL_ENDPOINTS=10000` is the long form.
#[tokio::test]
async fn o08_dead_endpoints_are_gone_after_one_try_and_failing_ones_tried_once_a_day() {
    let mut world = World::new().await;
    // What alarms say of it is proven elsewhere; six days of looks take long.
    world.looks = false;
    let devices = shop_of(&mut world, how_many("DESKBELL_ENDPOINTS", 200)).await;
    let (gone, failing) = devices.split_at(devices.len() / 2);
    for (number, device) in devices.iter().enumerate() {
        world.becomes(
            *device,
            match number {
                _ if number < devices.len() / 2 => Mood::Gone,
                _ if number % 3 == 0 => Mood::TooMany,
                _ if number % 3 == 1 => Mood::Refuses,
                _ => Mood::Fails,
            },
        );
    }
    world.forget_tries();
    // Somebody writes every four hours for six days, and is taken after a quarter of a minute.
    for number in 0..36 {
        let ring = world.arrives(&format!("customer {number}")).await;
        world.run(15 * SECOND_MS).await;
        world.takes(ring).await;
        world.run(4 * HOUR_MS - 15 * SECOND_MS).await;
    }
    for device in gone {
        assert_eq!(world.tries_of(*device).len(), 1, "one try, and it is gone");
        assert!(!world.is_known(*device), "its row is gone");
    }
    let day = |at: Time| (at.as_millis() - noon().as_millis()).div_euclid(24 * HOUR_MS);
    for device in failing {
        let tries = world.tries_of(*device);
        assert!(world.is_known(*device), "it stays, and says why");
        let on = |wanted: i64| tries.iter().filter(|at| day(**at) == wanted).count();
        // In the first hour it is told each minute that the ring is over, in which it may come back.
        assert!((2..100).contains(&on(0)), "{tries:?}");
        // It is backed off after a day.
        for wanted in 2..6 {
            assert!(on(wanted) <= 1, "day {wanted}: {tries:?}");
        }
        assert!(
            (2..6).map(on).sum::<usize>() >= 3,
            "and not given up: {tries:?}"
        );
    }
}

/// All ways to tell somebody fail in turn, each for as long as the others, so that every combination is met.
async fn all_paths_fail(world: &mut World, messages: usize) -> Vec<String> {
    let mut devices = Vec::new();
    let people = world.people(3).await;
    for user in &people {
        devices.push(world.device(*user, "Phone").await);
    }
    // The desk of the first is open in a browser, or not.
    let moods = [Mood::Fails, Mood::Hangs, Mood::Mute, Mood::Refuses];
    let mut unheard = Vec::new();
    for number in 0..messages {
        let period = number / 16;
        for (place, device) in devices.iter().enumerate() {
            let fails = period >> place & 1 == 1;
            let mood = moods[(period / 16 + place) % moods.len()];
            world.becomes(*device, if fails { mood } else { Mood::Shows });
        }
        if period >> 3 & 1 == 0 {
            world.opens(people[0]);
        } else {
            world.closes(people[0]);
        }
        let ring = world.arrives(&format!("customer {number}")).await;
        let came = world.now();
        world.run(5 * SECOND_MS).await;
        let told = world.ring(ring);
        let is_alerted = !told.attempts.is_empty() || world.alarm_stands();
        if !is_alerted {
            unheard.push(format!("{number}: nobody was alerted within 5 s"));
        }
        world.run(56 * SECOND_MS).await;
        let told = world.ring(ring);
        let is_shown = told
            .attempts
            .iter()
            .any(|attempt| attempt.result == AttemptResult::Shown);
        if !is_shown && told.sounds() && told.step < 2 {
            unheard.push(format!(
                "{number}: it has not climbed within 60 s of {came}"
            ));
        }
        if !is_shown && !world.alarm_stands() {
            unheard.push(format!(
                "{number}: nothing has shown it, and no alarm stands"
            ));
        }
        // Whoever hears something takes all that waits.
        if is_shown {
            world.all_are_taken().await;
        }
        world.run(14 * SECOND_MS).await;
    }
    unheard
}

/// `DESKBELL_UNHEARD=100000` is the long form.
#[tokio::test]
async fn f34_while_all_paths_fail_in_turn_each_message_is_shown_or_an_alarm_is_raised() {
    let mut world = World::new().await;
    let messages = how_many("DESKBELL_UNHEARD", 1_000);
    let unheard = all_paths_fail(&mut world, messages).await;
    assert_eq!(unheard, [""; 0]);
    assert!(world.alarms_raised() > 0, "it came to the worst as well");
}

#[tokio::test]
async fn f34_a_bell_that_does_not_watch_itself_is_caught() {
    let mut world = World::new().await;
    world.looks = false;
    let unheard = all_paths_fail(&mut world, 300).await;
    let missed = unheard.iter().filter(|what| what.contains("no alarm"));
    assert!(missed.count() > 10, "{unheard:?}");
}

/// Who works at a minute of the day, by the table on the wall: early, late and night, and nobody from three to four.
fn by_the_table(minute: i64) -> Vec<usize> {
    match minute / 60 {
        3 => vec![],
        0..6 => vec![4],
        6..12 => vec![0],
        12..14 => vec![0, 1, 2],
        14..22 => vec![1, 2],
        _ => vec![4],
    }
}

/// `DESKBELL_ROSTER=100000` is the long form: as many messages in the same day.
#[tokio::test]
async fn f35_over_a_day_of_shifts_everybody_is_rung_as_the_roster_says() {
    const ON_CALL: usize = 3;
    let mut world = World::new().await;
    let people = world.people(5).await;
    let shifts: [&[(u16, u16)]; 5] = [
        &[(6 * 60, 14 * 60)],
        &[(12 * 60, 22 * 60)],
        &[(12 * 60, 22 * 60)],
        &[(0, 1)],
        &[(22 * 60, 3 * 60), (4 * 60, 6 * 60)],
    ];
    for (user, shifts) in people.iter().zip(shifts) {
        world.works(*user, shifts).await;
        world.device(*user, "Phone").await;
    }
    world.is_on_call(people[ON_CALL]).await;
    let messages = how_many("DESKBELL_ROSTER", 1_000);
    let begin = world.now();
    let mut rings = Vec::new();
    for number in 0..messages {
        // Spread over the day, and never in step with the clock.
        let place = (number * 7_919 + 13) % messages;
        rings.push((place as i64) * 24 * HOUR_MS / (messages as i64));
    }
    rings.sort_unstable();
    for (number, after_ms) in rings.into_iter().enumerate() {
        let at = begin.plus_millis(after_ms);
        world.run_to(at).await;
        let ring = world.arrives(&format!("customer {number}")).await;
        // Every third is taken at once, every third after everybody was told, the others after whoever is on call was.
        let after_ms = [20 * SECOND_MS, 2 * MINUTE_MS, 6 * MINUTE_MS][number % 3];
        world.takes_later(ring, after_ms);
    }
    world.run(20 * MINUTE_MS).await;
    let minute = |at: Time| at.as_millis().div_euclid(MINUTE_MS).rem_euclid(1440);
    let mut steps = [0_usize; 5];
    for (at, ring) in world.rung() {
        let there = by_the_table(minute(at));
        // Where nobody works, whoever is on call is told at once; from the third step on in any case. The one on call works
        // the first minute of the day as well.
        let mut wanted = there.clone();
        if minute(at) < 1 || there.is_empty() || ring.step >= 3 {
            wanted.push(ON_CALL);
        }
        let mut wanted: Vec<_> = wanted.into_iter().map(|place| people[place]).collect();
        wanted.sort_unstable();
        assert_eq!(ring.told, wanted, "step {} at {at}", ring.step);
        steps[usize::try_from(ring.step).expect("small").min(4)] += 1;
        for user in &ring.told {
            let shown = world.ring(ring.id).attempts.iter().any(|attempt| {
                attempt.user == Some(*user)
                    && attempt.step == Some(ring.step)
                    && attempt.result == AttemptResult::Shown
            });
            assert!(
                shown,
                "{user} was told at step {} at {at} and nothing showed it",
                ring.step
            );
        }
    }
    assert_eq!(steps[1], messages, "each rings");
    assert!(
        steps[2] >= messages / 2 && steps[3] >= messages / 4,
        "{steps:?}"
    );
}

/// Half an hour in which no push service answers, each in its own way.
#[tokio::test]
async fn f34_f36_half_an_hour_without_network_loses_nothing_and_tells_nothing_twice() {
    let mut world = World::new().await;
    let people = world.people(8).await;
    let moods = [
        Mood::Fails,
        Mood::Hangs,
        Mood::TooMany,
        Mood::Refuses,
        Mood::NotFound,
        Mood::Gone,
        Mood::Shows,
        Mood::Mute,
    ];
    let mut devices = Vec::new();
    for user in &people {
        devices.push(world.device(*user, "Phone").await);
    }
    for (device, mood) in devices.iter().zip(moods) {
        world.becomes(*device, mood);
    }
    let mut rings = Vec::new();
    for number in 0..30 {
        rings.push(world.arrives(&format!("customer {number}")).await);
        world.run(MINUTE_MS).await;
    }
    for (device, mood) in devices.iter().zip(moods) {
        if !matches!(mood, Mood::Gone | Mood::NotFound) {
            world.becomes(*device, Mood::Shows);
        }
    }
    // The last step comes again after a quarter of an hour.
    world.run(16 * MINUTE_MS).await;
    for ring in rings {
        let ring = world.ring(ring);
        assert!(ring.sounds(), "nobody has taken it");
        for (user, mood) in people.iter().zip(moods) {
            let is_gone = matches!(mood, Mood::Gone | Mood::NotFound);
            let shown = ring.attempts.iter().any(|attempt| {
                attempt.user == Some(*user) && attempt.result == AttemptResult::Shown
            });
            assert_eq!(shown, !is_gone, "{mood:?} of {:?}", ring.attempts);
        }
    }
    for (device, mood) in devices.iter().zip(moods) {
        let is_gone = matches!(mood, Mood::Gone | Mood::NotFound);
        assert_eq!(world.is_known(*device), !is_gone);
        if is_gone {
            assert_eq!(
                world.tries_of(*device).len(),
                2,
                "its first test, and the try by which it went"
            );
        }
    }
    world.assert_nothing_twice();
}
