//! Who works when, by HTTP.

use axum::http::Method;
use serde_json::{Value, json};

use crate::api::testing::{Answer, As, Desk, OLD, SHOP, desk, each};
use crate::duty;
use crate::store::entry::Role;

const ON_CALL: &str = "/api/v1/on-call";
const CHANNEL: &str = "/api/v1/channels/shop/hours";

fn week(from: &str, to: &str) -> Value {
    let days = [
        "monday",
        "tuesday",
        "wednesday",
        "thursday",
        "friday",
        "saturday",
        "sunday",
    ];
    let spans = days.map(|day| json!({ "day": day, "from": from, "to": to }));
    json!({ "time_zone": "europe/prague", "spans": spans })
}

async fn put(desk: &Desk, who: As, path: &str, body: &Value) -> Answer {
    desk.json(who, Method::PUT, path, body).await
}

fn on_duty(desk: &Desk) -> Vec<(u64, bool)> {
    let people = duty::people(&desk.app, SHOP, desk.app.clock.now()).expect("readable");
    let people = people.into_iter();
    people.map(|person| (person.id.0, person.on_duty)).collect()
}

#[tokio::test]
async fn f35_people_set_their_own_hours_and_rings_know_at_once() {
    let desk = desk().await;
    let (ana, browser) = desk.person("ana@shop.example", Role::Agent, None).await;
    let (other, _) = desk.person("bo@shop.example", Role::Agent, None).await;
    let path = format!("/api/v1/users/{ana}/hours");
    assert_eq!(on_duty(&desk), [(ana.0, true), (other.0, true)]);
    let answer = browser.ask(&desk, Method::GET, &path).await.json();
    let always = json!({ "working": null, "quiet": null, "on_duty": true, "on_call": false });
    assert_eq!(answer, always);
    // It is Saturday, one o'clock in Prague.
    let body = json!({ "working": week("14:00", "00:00") });
    let answer = browser.json(&desk, Method::PUT, &path, &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let set = answer.json();
    assert_eq!(set["on_duty"], false);
    assert_eq!(set["working"]["time_zone"], "Europe/Prague");
    let first = json!({ "day": "monday", "from": "14:00", "to": "24:00" });
    assert_eq!(set["working"]["spans"][0], first);
    assert_eq!(on_duty(&desk), [(ana.0, false), (other.0, true)]);
    desk.app
        .clock
        .turn_to("2026-11-21T13:00:00Z".parse().expect("a time"));
    assert_eq!(on_duty(&desk), [(ana.0, true), (other.0, true)]);
    // Quiet hours stand above them; an administrator may set anybody's.
    let body = json!({ "working": week("14:00", "24:00"), "quiet": week("22:00", "15:00") });
    assert_eq!(put(&desk, As::Admin, &path, &body).await.status, 200);
    assert_eq!(on_duty(&desk), [(ana.0, false), (other.0, true)]);
    // What is left out is gone.
    assert_eq!(
        put(&desk, As::Admin, &path, &json!({})).await.json()["on_duty"],
        true
    );
    // Nobody sets another's, and who is not available works at no hour.
    let theirs = format!("/api/v1/users/{other}/hours");
    let refused = browser.json(&desk, Method::PUT, &theirs, &json!({})).await;
    refused.problem(403);
    put(&desk, As::Writer, &path, &json!({})).await.problem(403);
    put(
        &desk,
        As::Admin,
        "/api/v1/users/usr_0000000000099/hours",
        &json!({}),
    )
    .await
    .problem(404);
    let away = json!({ "available": false });
    let answer = browser
        .json(&desk, Method::PATCH, "/api/v1/me", &away)
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(on_duty(&desk), [(ana.0, false), (other.0, true)]);
    let audit = desk.found(As::Admin, "/api/v1/audit").await;
    assert!(each(&audit, "action").contains(&&json!("user.hours")));
}

#[tokio::test]
async fn hours_that_do_not_do_are_told_each_with_its_place() {
    let desk = desk().await;
    let ana = desk.add_user("ana@shop.example", Role::Agent, None).await;
    let path = format!("/api/v1/users/{ana}/hours");
    let span = |from: &str, to: &str| json!({ "day": "monday", "from": from, "to": to });
    let body = json!({
        "working": { "time_zone": "Europe/Nowhere", "spans": [
            span("9:00", "17:00"), span("24:00", "23:60"), span("10:00", "10:00"), span("09:00", "17:00"),
        ] },
        "quiet": { "time_zone": "UTC", "spans": vec![span("09:00", "10:00"); 101] },
    });
    let answer = put(&desk, As::Admin, &path, &body).await;
    answer.problem(422);
    let errors = answer.json();
    let errors = errors["errors"].as_array().expect("a list").iter();
    let places: Vec<_> = errors
        .map(|error| error["pointer"].as_str().expect("text"))
        .collect();
    let wanted = [
        "/working/time_zone",
        "/working/spans/0/from",
        "/working/spans/1/from",
        "/working/spans/1/to",
        "/working/spans/2/to",
        "/quiet/spans",
    ];
    assert_eq!(places, wanted);
    for (body, field) in [
        (json!({ "working": { "time_zone": "UTC" } }), "/working"),
        (json!({ "works": null }), ""),
        (
            json!({ "quiet": { "time_zone": "UTC", "spans": [{ "day": "noday", "from": "09:00", "to": "10:00" }] } }),
            "/quiet/spans/0/day",
        ),
    ] {
        let answer = put(&desk, As::Admin, &path, &body).await;
        assert_eq!(answer.status, 422, "{}", answer.text());
        assert!(answer.text().contains(field), "{}", answer.text());
    }
}

#[tokio::test]
async fn a_channel_has_hours_and_says_what_becomes_of_messages_outside() {
    let desk = desk().await;
    let always = desk.found(As::Admin, CHANNEL).await;
    let wanted = json!({ "open": null, "after_hours": "ring", "answer": null, "open_now": true, "changes_at": null });
    assert_eq!(always, wanted);
    let body = json!({ "open": week("09:00", "12:00"), "after_hours": "hold", "answer": "We open {opens_at}." });
    let answer = put(&desk, As::Admin, CHANNEL, &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["open_now"], false);
    assert_eq!(answer.json()["changes_at"], "2026-11-22T08:00:00.000Z");
    // A visitor writes: it is answered, and waits.
    let (conversation, _) = desk.arrive(SHOP, "jana", "Hello?").await;
    let messages = desk
        .found(
            As::Admin,
            &format!("/api/v1/conversations/{conversation}/messages"),
        )
        .await;
    let said = &messages["data"][0];
    assert_eq!(said["text"], "We open 2026-11-22 09:00.");
    assert_eq!(said["author"]["type"], "bot");
    assert_eq!(said["delivery"]["state"], "sent");
    let shown = desk
        .found(As::Admin, &format!("/api/v1/conversations/{conversation}"))
        .await;
    assert_ne!(shown["waiting_since"], Value::Null);
    let ring = desk.found(As::Admin, "/api/v1/bell?state=ringing").await;
    let ring = &ring["data"][0];
    assert_eq!(
        (&ring["step"], &ring["silenced"]),
        (&json!(0), &json!(true))
    );
    assert_eq!(ring["held_until"], "2026-11-22T08:00:00.000Z");
    // What does not do.
    for (change, field) in [
        (json!({ "after_hours": "hold" }), "/after_hours"),
        (json!({ "answer": "Hello." }), "/answer"),
        (
            json!({ "open": week("09:00", "12:00"), "answer": " " }),
            "/answer",
        ),
        (
            json!({ "open": week("09:00", "12:00"), "answer": "Until {monday}" }),
            "/answer",
        ),
        (
            json!({ "open": week("09:00", "12:00"), "answer": "a".repeat(2_001) }),
            "/answer",
        ),
        (
            json!({ "open": { "time_zone": "UTC", "spans": [] } }),
            "/open/spans",
        ),
    ] {
        let answer = put(&desk, As::Admin, CHANNEL, &change).await;
        answer.problem(422);
        assert_eq!(
            answer.json()["errors"][0]["pointer"],
            field,
            "{}",
            answer.text()
        );
    }
    for who in [As::Reader, As::Writer, As::PageReader] {
        put(&desk, who, CHANNEL, &json!({})).await.problem(403);
    }
    desk.get(As::PageReader, CHANNEL).await.problem(404);
    // Of the channel that is closed for good nothing can be sent.
    let old = desk.app.channels.known(OLD).expect("known").id.clone();
    let path = format!("/api/v1/channels/{old}/hours");
    let body = json!({ "open": week("09:00", "12:00"), "answer": "Hello." });
    assert_eq!(
        put(&desk, As::Admin, &path, &body).await.bad_field(),
        "/answer"
    );
}

#[tokio::test]
async fn one_person_is_on_call() {
    let desk = desk().await;
    assert_eq!(
        desk.found(As::Reader, ON_CALL).await,
        json!({ "user_id": null })
    );
    let ana = desk.add_user("ana@shop.example", Role::Agent, None).await;
    let viewer = desk.add_user("vi@shop.example", Role::Viewer, None).await;
    let body = json!({ "user_id": ana });
    assert_eq!(put(&desk, As::Admin, ON_CALL, &body).await.json(), body);
    assert_eq!(desk.found(As::Reader, ON_CALL).await, body);
    let hours = desk
        .found(As::Reader, &format!("/api/v1/users/{ana}/hours"))
        .await;
    assert_eq!(hours["on_call"], true);
    put(&desk, As::Writer, ON_CALL, &body).await.problem(403);
    for id in [json!(viewer), json!("usr_0000000000099")] {
        let answer = put(&desk, As::Admin, ON_CALL, &json!({ "user_id": id })).await;
        assert_eq!(answer.bad_field(), "/user_id");
    }
    assert_eq!(put(&desk, As::Admin, ON_CALL, &json!({})).await.status, 422);
    let nobody = json!({ "user_id": null });
    assert_eq!(put(&desk, As::Admin, ON_CALL, &nobody).await.json(), nobody);
}
