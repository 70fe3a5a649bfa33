//! Whom the bell does not reach is told, on a desk in memory.

use axum::http::Method;
use serde_json::{Value, json};

use super::tests::{alarms, look};
use super::*;
use crate::api::testing::{As, Desk, SHOP};
use crate::desk::bell::{Climb, NoteAttempt, Steps};
use crate::desk::devices::{AddBrowser, Confirm, Test};
use crate::desk::duty::{SetOnCall, SetUserHours};
use crate::desk::telling::{Begin, Finish, Trouble};
use crate::id::{DeviceId, UserId};
use crate::live::{Live, Reader, StreamPlace};
use crate::store::entry::{
    Actor, ActorKind, Attempt, AttemptResult, Day, DeviceEntry, DevicesEntry, Role, SealedValue,
    Span, TellingEntry, UserHoursEntry, WeekEntry,
};

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;

/// A desk whose writer knows who works.
async fn desk() -> Desk {
    let desk = crate::api::testing::desk().await;
    let app = Arc::downgrade(&desk.app);
    desk.app.writer.ask(Box::new(move |ring, now| {
        let app = app.upgrade().expect("it runs");
        crate::duty::people_of(&app, ring, now)
    }));
    desk
}

fn later(desk: &Desk, ms: i64) {
    let at = desk.app.clock.now().plus_millis(ms);
    desk.app.clock.turn_to(at);
}

/// Around the clock, but said so.
async fn works(desk: &Desk, user: UserId) {
    use Day::{Friday, Monday, Saturday, Sunday, Thursday, Tuesday, Wednesday};
    let days = [
        Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday,
    ];
    let spans = days.map(|day| Span {
        day,
        from: 0,
        to: 24 * 60,
    });
    let hours = UserHoursEntry {
        working: Some(WeekEntry {
            time_zone: "UTC".to_owned(),
            spans: spans.to_vec(),
        }),
        quiet: None,
    };
    let set = SetUserHours { user, hours };
    desk.app.writer.write(set).await.expect("written");
}

async fn phone(desk: &Desk, user: UserId, name: &str) -> DeviceEntry {
    let add = AddBrowser {
        user,
        name: name.to_owned(),
        endpoint: format!("{user} {name}").into_bytes(),
        subscription: SealedValue {
            key: "k".to_owned(),
            nonce: Vec::new(),
            sealed: Vec::new(),
        },
        by: Actor {
            kind: ActorKind::Local,
            id: "local".to_owned(),
            name: "x".to_owned(),
            address: None,
        },
    };
    let (device, _) = desk
        .app
        .writer
        .write(add)
        .await
        .expect("written")
        .expect("added");
    let test = device.test.expect("it is tested at once").id;
    told(desk, test, Ok(())).await;
    confirm(desk, user, &device, None).await;
    device
}

/// What is to be told is told, with this end.
async fn told(desk: &Desk, work: crate::id::WorkId, ended: Result<(), Trouble>) {
    let works = vec![work];
    let begin = Begin {
        works: works.clone(),
    };
    desk.app.writer.write(begin).await.expect("written");
    let finish = Finish {
        works,
        ended,
        jitter: 1.0,
    };
    desk.app.writer.write(finish).await.expect("written");
}

async fn confirm(desk: &Desk, user: UserId, device: &DeviceEntry, failed: Option<String>) {
    let test = known(desk, user, device.id).test.expect("a test").id;
    let confirm = Confirm {
        user,
        device: device.id,
        test,
        failed,
    };
    let confirmed = desk.app.writer.write(confirm).await.expect("written");
    confirmed.expect("it fits");
}

fn known(desk: &Desk, user: UserId, id: DeviceId) -> DeviceEntry {
    let devices = DevicesEntry::get(&*desk.app.store, &user.key()).expect("readable");
    let devices = devices.expect("there are some");
    devices.device(id).expect("there").clone()
}

/// A desk of theirs is open as long as this is kept.
fn opens(desk: &Desk, user: UserId) -> StreamPlace {
    let place = Live::place(&desk.app, user.to_string(), 10).expect("a place");
    place.of(Some(Reader::Desk(user)))
}

async fn titles(desk: &Desk) -> Vec<String> {
    let alarms = alarms(desk, As::Admin, "state=ringing&limit=200").await;
    let title = |alarm: &Value| alarm["title"].as_str().expect("text").to_owned();
    alarms.iter().map(title).collect()
}

async fn climb(desk: &Desk, ring: RingId) {
    let steps = Arc::new(Steps::default());
    let climbed = desk.app.writer.write(Climb { ring, steps }).await;
    climbed.expect("written").expect("it climbs");
}

async fn says(desk: &Desk, ring: RingId, user: UserId, result: AttemptResult) {
    let note = NoteAttempt {
        ring,
        attempt: Attempt {
            at: desk.app.clock.now(),
            user: Some(user),
            device: "desk".to_owned(),
            device_id: None,
            result,
            detail: None,
            step: None,
        },
    };
    desk.app.writer.write(note).await.expect("written");
}

#[tokio::test]
async fn f34_somebody_on_duty_whom_nothing_reaches_is_an_alarm_until_something_does() {
    let desk = desk().await;
    let ana = desk.add_user("ana@shop.example", Role::Agent, None).await;
    let mut seen = begin(&desk.app).expect("readable");
    look(&desk, &mut seen).await;
    later(&desk, 24 * HOUR_MS);
    look(&desk, &mut seen).await;
    assert_eq!(titles(&desk).await, [""; 0], "who has no hours may be away");
    works(&desk, ana).await;
    look(&desk, &mut seen).await;
    later(&desk, 14 * MINUTE_MS);
    look(&desk, &mut seen).await;
    assert_eq!(titles(&desk).await, [""; 0], "people come late");
    later(&desk, MINUTE_MS);
    look(&desk, &mut seen).await;
    look(&desk, &mut seen).await;
    let told = alarms(&desk, As::Admin, "state=ringing").await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0]["kind"], "device");
    assert_eq!(
        told[0]["title"],
        "Name of ana@shop.example is on duty and cannot be rung"
    );
    let detail = told[0]["detail"].as_str().expect("text");
    assert!(detail.contains("no device that rings for them"), "{detail}");
    assert!(
        alarms(&desk, As::Reader, "").await.is_empty(),
        "of the whole desk"
    );
    // After a restart it stands as it did.
    let mut seen = begin(&desk.app).expect("readable");
    look(&desk, &mut seen).await;
    assert_eq!(alarms(&desk, As::Admin, "").await.len(), 1);
    // She opens the desk: that is enough, also while she loads it anew.
    let open = opens(&desk, ana);
    look(&desk, &mut seen).await;
    assert_eq!(titles(&desk).await, [""; 0]);
    drop(open);
    later(&desk, 9 * MINUTE_MS);
    look(&desk, &mut seen).await;
    later(&desk, 15 * MINUTE_MS);
    look(&desk, &mut seen).await;
    assert_eq!(
        titles(&desk).await,
        [""; 0],
        "she may have gone for a moment"
    );
    later(&desk, 15 * MINUTE_MS);
    look(&desk, &mut seen).await;
    assert_eq!(titles(&desk).await.len(), 1);
    // A device that works reaches her as well.
    phone(&desk, ana, "Phone").await;
    look(&desk, &mut seen).await;
    assert_eq!(titles(&desk).await, [""; 0]);
}

#[tokio::test]
async fn f34_whoever_is_on_call_without_a_device_is_an_alarm_and_who_is_not_available_is_none() {
    let desk = desk().await;
    let (ana, browser) = desk.person("ana@shop.example", Role::Agent, None).await;
    let mut seen = begin(&desk.app).expect("readable");
    let user = Some(ana);
    let set = desk.app.writer.write(SetOnCall { user }).await;
    set.expect("written").expect("set");
    look(&desk, &mut seen).await;
    later(&desk, 15 * MINUTE_MS);
    look(&desk, &mut seen).await;
    assert_eq!(
        titles(&desk).await,
        ["Name of ana@shop.example is on call and cannot be rung"]
    );
    let set = desk.app.writer.write(SetOnCall { user: None }).await;
    set.expect("written").expect("set");
    works(&desk, ana).await;
    let away = json!({ "available": false });
    let answer = browser
        .json(&desk, Method::PATCH, "/api/v1/me", &away)
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    look(&desk, &mut seen).await;
    later(&desk, HOUR_MS);
    look(&desk, &mut seen).await;
    assert_eq!(titles(&desk).await, [""; 0]);
}

#[tokio::test]
async fn o08_a_device_to_which_nothing_gets_through_for_hours_is_an_alarm_until_it_does() {
    let desk = desk().await;
    let ana = desk.add_user("ana@shop.example", Role::Agent, None).await;
    let device = phone(&desk, ana, "Phone").await;
    let mut seen = begin(&desk.app).expect("readable");
    let test = async || {
        let test = Test {
            user: ana,
            device: device.id,
            silent: true,
        };
        let begun = desk.app.writer.write(test).await.expect("written");
        begun.expect("there").test.expect("a test").id
    };
    let refused = || Trouble::Refused("the push service answered 403".to_owned());
    told(&desk, test().await, Err(refused())).await;
    look(&desk, &mut seen).await;
    later(&desk, 119 * MINUTE_MS);
    look(&desk, &mut seen).await;
    assert_eq!(titles(&desk).await, [""; 0]);
    later(&desk, MINUTE_MS);
    told(&desk, test().await, Err(refused())).await;
    look(&desk, &mut seen).await;
    look(&desk, &mut seen).await;
    let told_of = alarms(&desk, As::Admin, "").await;
    assert_eq!(told_of.len(), 1, "{told_of:?}");
    assert_eq!(
        told_of[0]["title"],
        "Phone of Name of ana@shop.example does not ring"
    );
    let detail = told_of[0]["detail"].as_str().expect("text");
    assert!(detail.contains("the push service answered 403"), "{detail}");
    told(&desk, test().await, Ok(())).await;
    look(&desk, &mut seen).await;
    let told_of = alarms(&desk, As::Admin, "").await;
    assert_eq!(
        (told_of.len(), &told_of[0]["ended"]),
        (1, &json!("resolved"))
    );
}

#[tokio::test]
async fn f34_silent_devices_of_fifty_people_are_at_most_two_alarms_a_person() {
    let desk = desk().await;
    let mut people = Vec::new();
    for number in 0..50 {
        let email = format!("p{number}@shop.example");
        let user = desk.add_user(&email, Role::Agent, None).await;
        works(&desk, user).await;
        for name in ["Phone", "Till"] {
            phone(&desk, user, name).await;
        }
        people.push(user);
    }
    let mut seen = begin(&desk.app).expect("readable");
    look(&desk, &mut seen).await;
    assert_eq!(titles(&desk).await, [""; 0]);
    // Half of them have the desk open when four days have passed without a sign of any device.
    later(&desk, 96 * HOUR_MS);
    let _open: Vec<_> = people[..25]
        .iter()
        .map(|user| opens(&desk, *user))
        .collect();
    for _ in 0..5 {
        look(&desk, &mut seen).await;
        later(&desk, 10 * MINUTE_MS);
    }
    let told = titles(&desk).await;
    let with = |words: &str| told.iter().filter(|title| title.contains(words)).count();
    assert!(told.len() <= 75, "{}", told.len());
    for user in &people {
        let number = people.iter().position(|one| one == user).expect("there");
        let name = format!("p{number}@shop.example");
        let of: Vec<&String> = told.iter().filter(|title| title.contains(&name)).collect();
        assert!(!of.is_empty(), "{name}");
    }
    assert_eq!(with("has not shown for a day"), 50);
    assert_eq!(
        with("cannot be rung"),
        25,
        "worse than what was told of them before"
    );
}

#[tokio::test]
async fn f34_a_ring_that_nothing_has_shown_by_the_next_step_is_an_alarm_until_something_does() {
    let desk = desk().await;
    let ana = desk.add_user("ana@shop.example", Role::Agent, None).await;
    let (conversation, _) = desk.arrive(SHOP, "jana", "Hello?").await;
    let ring: RingId = desk
        .ring_of(&conversation.to_string())
        .parse()
        .expect("an id");
    let mut seen = begin(&desk.app).expect("readable");
    look(&desk, &mut seen).await;
    assert_eq!(titles(&desk).await, [""; 0]);
    later(&desk, MINUTE_MS);
    climb(&desk, ring).await;
    // Nobody waits for the next look of ten seconds: that it rang is reason enough.
    assert!(follow(&desk.app, &mut seen).expect("readable"));
    look(&desk, &mut seen).await;
    look(&desk, &mut seen).await;
    let told = alarms(&desk, As::Admin, "state=ringing").await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(
        (&told[0]["kind"], &told[0]["channel_id"]),
        (&json!("device"), &json!("shop"))
    );
    let detail = told[0]["detail"].as_str().expect("text");
    assert!(
        detail.contains("Name of ana@shop.example (no device)"),
        "{detail}"
    );
    says(&desk, ring, ana, AttemptResult::Failed).await;
    look(&desk, &mut seen).await;
    assert_eq!(
        titles(&desk).await.len(),
        1,
        "to have failed is not to have shown"
    );
    says(&desk, ring, ana, AttemptResult::Shown).await;
    look(&desk, &mut seen).await;
    assert_eq!(titles(&desk).await, [""; 0]);
    // The next one is taken before anything shows it.
    let (conversation, _) = desk.arrive(SHOP, "karl", "Hello?").await;
    let ring: RingId = desk
        .ring_of(&conversation.to_string())
        .parse()
        .expect("an id");
    later(&desk, MINUTE_MS);
    climb(&desk, ring).await;
    look(&desk, &mut seen).await;
    assert_eq!(titles(&desk).await.len(), 1);
    let take = crate::desk::bell::Take {
        scope: crate::store::Scope::of_all_channels(),
        ring,
        user: Some(ana),
        taker: ana.to_string(),
    };
    desk.app.writer.write(take).await.expect("written");
    look(&desk, &mut seen).await;
    assert_eq!(titles(&desk).await, [""; 0]);
}

#[tokio::test]
async fn what_is_due_and_not_told_for_a_minute_is_late_where_no_device_is_the_reason() {
    let desk = desk().await;
    let ana = desk.add_user("ana@shop.example", Role::Agent, None).await;
    let device = phone(&desk, ana, "Phone").await;
    desk.arrive(SHOP, "jana", "Hello?").await;
    let waits = TellingEntry::scan(&*desk.app.store, &[], None, 10).expect("readable");
    assert_eq!(waits.len(), 1, "nothing carries it out here");
    let late = || reach::is_late(&*desk.app.store, desk.app.clock.now()).expect("readable");
    later(&desk, 59_000);
    assert!(!late());
    later(&desk, 2_000);
    assert!(late());
    // What waits for a device to which nothing gets through is that device's.
    confirm(&desk, ana, &device, Some("no sound".to_owned())).await;
    assert!(!late());
}
