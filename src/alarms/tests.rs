//! What is wrong rings, on a desk in memory.

use std::time::Duration;

use axum::http::Method;
use deskbell_sdk::Secret;
use deskbell_sdk::health::{Finding, Standing};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;
use crate::api::testing::{As, Desk, PAGE, SHOP, desk, desk_with};
use crate::desk::bell::{Climb, Take};
use crate::store::Scope;
use crate::store::entry::{AlarmKind, RingState, Role};

/// One look, as it is done every ten seconds.
pub(super) async fn look(desk: &Desk, seen: &mut Seen) {
    follow(&desk.app, seen).expect("readable");
    seen.reach
        .look(&desk.app, desk.app.clock.now())
        .expect("readable");
    let wrong = wanted(&desk.app, seen).expect("readable");
    settle(&desk.app, wrong).await;
}

/// The alarms of the ledger, newest first, as somebody sees them.
pub(super) async fn alarms(desk: &Desk, who: As, query: &str) -> Vec<Value> {
    let list = desk.found(who, &format!("/api/v1/bell?{query}")).await;
    let all = list["data"].as_array().expect("a list").clone();
    let is_alarm = |ring: &Value| ring.get("conversation_id").is_none();
    all.into_iter().filter(is_alarm).collect()
}

fn found(standing: Standing) -> Finding {
    Finding {
        what: "token",
        standing,
        say: "The token has expired: make a new one.".to_owned(),
    }
}

#[tokio::test]
async fn f35_a_customer_whom_nobody_may_answer_is_an_alarm_until_somebody_may() {
    let desk = desk().await;
    let mut seen = begin(&desk.app).expect("readable");
    look(&desk, &mut seen).await;
    assert!(
        alarms(&desk, As::Admin, "").await.is_empty(),
        "nobody waits"
    );
    desk.arrive(SHOP, "jana", "Hello?").await;
    look(&desk, &mut seen).await;
    look(&desk, &mut seen).await;
    let told = alarms(&desk, As::Admin, "state=ringing").await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0]["kind"], "nobody");
    assert_eq!(told[0]["channel_id"], "shop");
    assert!(
        told[0]["title"]
            .as_str()
            .expect("text")
            .contains("nobody may answer")
    );
    assert!(told[0].get("message_id").is_none());
    // It is of the channel: whoever sees another one knows nothing of it.
    assert!(alarms(&desk, As::PageReader, "").await.is_empty());
    assert_eq!(alarms(&desk, As::Reader, "").await.len(), 1);
    // A viewer does not help.
    desk.add_user("vi@shop.example", Role::Viewer, None).await;
    look(&desk, &mut seen).await;
    assert_eq!(alarms(&desk, As::Admin, "state=ringing").await.len(), 1);
    desk.add_user("ana@shop.example", Role::Agent, None).await;
    look(&desk, &mut seen).await;
    let told = alarms(&desk, As::Admin, "").await;
    assert_eq!(
        (&told[0]["state"], &told[0]["ended"]),
        (&json!("ended"), &json!("resolved"))
    );
}

#[tokio::test]
async fn f35_that_nobody_works_is_an_alarm_once_nobody_has_taken_it_for_a_step() {
    let desk = desk().await;
    let (_, browser) = desk.person("ana@shop.example", Role::Agent, None).await;
    let away = |available: bool| json!({ "available": available });
    let answer = browser
        .json(&desk, Method::PATCH, "/api/v1/me", &away(false))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let (conversation, _) = desk.arrive(SHOP, "jana", "Hello?").await;
    let ring: RingId = desk
        .ring_of(&conversation.to_string())
        .parse()
        .expect("an id");
    // What rang before the start is known as well.
    let mut seen = begin(&desk.app).expect("readable");
    look(&desk, &mut seen).await;
    assert!(alarms(&desk, As::Admin, "").await.is_empty());
    let later = desk.app.clock.now().plus_millis(60_000);
    desk.app.clock.turn_to(later);
    let steps = Arc::new(crate::desk::bell::Steps::default());
    desk.app
        .writer
        .write(Climb { ring, steps })
        .await
        .expect("written")
        .expect("it climbs");
    look(&desk, &mut seen).await;
    assert_eq!(alarms(&desk, As::Admin, "state=ringing").await.len(), 1);
    browser
        .json(&desk, Method::PATCH, "/api/v1/me", &away(true))
        .await;
    look(&desk, &mut seen).await;
    assert!(alarms(&desk, As::Admin, "state=ringing").await.is_empty());
    // And where the message is taken.
    browser
        .json(&desk, Method::PATCH, "/api/v1/me", &away(false))
        .await;
    look(&desk, &mut seen).await;
    assert_eq!(alarms(&desk, As::Admin, "state=ringing").await.len(), 1);
    let take = Take {
        scope: Scope::of_all_channels(),
        ring,
        user: None,
        taker: "tok_1".to_owned(),
    };
    desk.app.writer.write(take).await.expect("written");
    look(&desk, &mut seen).await;
    assert!(alarms(&desk, As::Admin, "state=ringing").await.is_empty());
}

#[tokio::test]
async fn f17_f18_a_channel_that_does_not_work_rings_administrators_until_it_does() {
    let desk = desk().await;
    let admin = desk.add_user("ada@shop.example", Role::Admin, None).await;
    desk.add_user("ana@shop.example", Role::Agent, None).await;
    let mut seen = begin(&desk.app).expect("readable");
    let page = desk.app.channels.get_no(PAGE).expect("open");
    page.status().findings = vec![found(Standing::Broken)];
    look(&desk, &mut seen).await;
    let told = alarms(&desk, As::Admin, "state=ringing").await;
    assert_eq!(told[0]["kind"], "channel");
    assert_eq!(told[0]["detail"], "The token has expired: make a new one.");
    let id: RingId = told[0]["id"]
        .as_str()
        .expect("text")
        .parse()
        .expect("an id");
    let ring = RingEntry::get(&*desk.app.store, &RingEntry::key(id))
        .expect("readable")
        .expect("there");
    let now = desk.app.clock.now();
    let whom = |step: u32| {
        let ring = RingEntry {
            step,
            ..ring.clone()
        };
        crate::duty::told(&desk.app, &ring, now).expect("readable")
    };
    assert_eq!(whom(1), [admin]);
    assert_eq!(whom(4), [admin]);
    // Somebody takes it: it is silent, and is not raised anew.
    let path = format!("/api/v1/bell/{id}/ack");
    let answer = desk.json(As::Admin, Method::POST, &path, &json!({})).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["state"], "taken");
    look(&desk, &mut seen).await;
    assert!(alarms(&desk, As::Admin, "state=ringing").await.is_empty());
    page.status().findings = vec![found(Standing::Fine)];
    look(&desk, &mut seen).await;
    // Messages that no webhook brought, with their number.
    page.status().undelivered = Some((now, 17));
    look(&desk, &mut seen).await;
    let told = alarms(&desk, As::Admin, "state=ringing").await;
    assert_eq!(told[0]["kind"], "undelivered");
    assert!(
        told[0]["title"]
            .as_str()
            .expect("text")
            .contains("17 message")
    );
    page.status().last_event_at = Some(now);
    look(&desk, &mut seen).await;
    assert!(alarms(&desk, As::Admin, "state=ringing").await.is_empty());
    assert_eq!(alarms(&desk, As::Admin, "").await.len(), 2);
}

#[tokio::test]
async fn f18_silence_where_something_usually_comes_is_an_alarm() {
    let desk = desk().await;
    desk.add_user("ana@shop.example", Role::Agent, None).await;
    let mut seen = begin(&desk.app).expect("readable");
    let now = desk.app.clock.now();
    // Learned for four weeks: every other minute, around the clock.
    let rhythm = {
        let mut rhythm = RhythmEntry::default();
        for minute in (20..28 * 24 * 60).rev().filter(|minute| minute % 2 == 0) {
            rhythm::count(&mut rhythm, now.plus_millis(-minute * 60_000));
        }
        rhythm
    };
    seen.rhythms.insert(SHOP, (rhythm, true));
    look(&desk, &mut seen).await;
    let told = alarms(&desk, As::Admin, "state=ringing").await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0]["kind"], "silence");
    // What was learned is kept, and a start goes on with it.
    keep(&desk.app, &mut seen).await;
    let mut seen = begin(&desk.app).expect("readable");
    look(&desk, &mut seen).await;
    assert_eq!(alarms(&desk, As::Admin, "state=ringing").await.len(), 1);
    desk.arrive(SHOP, "jana", "Here I am.").await;
    look(&desk, &mut seen).await;
    assert!(alarms(&desk, As::Admin, "state=ringing").await.is_empty());
    let (rhythm, is_new) = &seen.rhythms[&SHOP];
    assert_eq!((rhythm.last_at, *is_new), (Some(now), true));
}

#[tokio::test]
async fn f18_what_the_log_has_is_counted_once_whatever_is_read_again() {
    let desk = desk().await;
    let mut seen = begin(&desk.app).expect("readable");
    for minute in 0..3 {
        let at = desk.app.clock.now().plus_millis(minute * 60_000);
        desk.app.clock.turn_to(at);
        desk.arrive(SHOP, "jana", "One more.").await;
    }
    follow(&desk.app, &mut seen).expect("readable");
    keep(&desk.app, &mut seen).await;
    let sum = |seen: &Seen| -> u32 {
        let minutes = seen.rhythms[&SHOP].0.minutes.iter();
        minutes.map(|minutes| u32::from(*minutes)).sum()
    };
    assert_eq!(sum(&seen), 3);
    let mut again = begin(&desk.app).expect("readable");
    again.position = 0;
    follow(&desk.app, &mut again).expect("readable");
    assert_eq!(sum(&again), 3);
}

#[tokio::test]
async fn alarms_are_raised_while_the_daemon_runs_and_heard_on_the_stream() {
    let desk = desk().await;
    let running = tokio::spawn(run(Arc::clone(&desk.app)));
    desk.arrive(SHOP, "jana", "Hello?").await;
    let raised = async {
        while alarms(&desk, As::Admin, "state=ringing").await.is_empty() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), raised)
        .await
        .expect("raised");
    let events = desk.app.store.events(0, 1_000).expect("readable");
    let rung = events.iter().filter(|event| match &event.body {
        EventBody::BellRung { ring } => ring.alarm.is_some(),
        _ => false,
    });
    assert_eq!(rung.count(), 1);
    desk.app.stopping.cancel();
    tokio::time::timeout(Duration::from_secs(60), running)
        .await
        .expect("it ends")
        .expect("no panic");
}

#[tokio::test]
async fn f37_the_heartbeat_beats_while_all_is_well_and_not_while_an_alarm_is_unheard() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let url = format!(
        "http://{}/ping/canary",
        listener.local_addr().expect("an address")
    );
    let desk = desk_with(|config| config.bell.heartbeat_url = Some(Secret::new(url))).await;
    let beating = tokio::spawn(heartbeat(Arc::clone(&desk.app)));
    let heard = async {
        let (mut line, _) = listener.accept().await.expect("a connection");
        let mut head = vec![0; 1024];
        let length = line.read(&mut head).await.expect("a request");
        line.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            .await
            .expect("written");
        String::from_utf8_lossy(&head[..length]).into_owned()
    };
    let head = tokio::time::timeout(Duration::from_secs(60), heard)
        .await
        .expect("heard");
    assert!(head.starts_with("GET /ping/canary HTTP/1.1"), "{head}");
    beating.abort();
    assert_eq!(heartbeat::why_silent(&desk.app).await, None);
    let alarm = crate::store::entry::Alarm {
        cause: "disk".to_owned(),
        kind: AlarmKind::Disk,
        title: "The disk".to_owned(),
        detail: "is full".to_owned(),
    };
    let raise = Raise {
        alarm,
        channel: None,
        steps: crate::desk::bell::Steps::default(),
    };
    let ring = desk.app.writer.write(raise).await.expect("written");
    assert_eq!(
        heartbeat::why_silent(&desk.app).await,
        None,
        "it may be heard yet"
    );
    let later = desk.app.clock.now().plus_millis(31 * 60_000);
    desk.app.clock.turn_to(later);
    assert!(heartbeat::why_silent(&desk.app).await.is_some());
    let take = Take {
        scope: Scope::of_all_channels(),
        ring: ring.id,
        user: None,
        taker: "tok_1".to_owned(),
    };
    desk.app.writer.write(take).await.expect("written");
    let taken = RingEntry::get(&*desk.app.store, &RingEntry::key(ring.id)).expect("readable");
    assert!(taken.is_some_and(|ring| ring.state == RingState::Taken));
    assert_eq!(heartbeat::why_silent(&desk.app).await, None);
    // Nobody who sees some channels only knows of an alarm of the whole desk.
    assert!(alarms(&desk, As::Reader, "").await.is_empty());
    assert_eq!(alarms(&desk, As::Admin, "").await.len(), 1);
}
