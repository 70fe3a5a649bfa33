//! Changing conversations and contacts, reading and typing.

use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::{Value, json};

use crate::api::testing::{As, Desk, PAGE, SHOP, desk, noon};

async fn patch(desk: &Desk, path: &str, change: &Value) -> Value {
    let answer = desk.json(As::Admin, Method::PATCH, path, change).await;
    assert_eq!(answer.status, 200, "{change}: {}", answer.text());
    answer.json()
}

#[tokio::test]
async fn a_conversation_changes_field_by_field_and_null_empties() {
    let desk = desk().await;
    desk.invent_people(3).await;
    let (id, _) = desk.arrive(SHOP, "anna", "x").await;
    let path = format!("/api/v1/conversations/{id}");
    let cases = [
        (json!({ "status": "pending" }), "status", json!("pending")),
        (
            json!({ "assignee_id": "usr_0000000000001" }),
            "assignee_id",
            json!("usr_0000000000001"),
        ),
        (
            json!({ "team_id": "tea_0000000000001" }),
            "team_id",
            json!("tea_0000000000001"),
        ),
        (
            json!({ "labels": ["b", " a ", "b"] }),
            "labels",
            json!(["a", "b"]),
        ),
        (json!({ "priority": "urgent" }), "priority", json!("urgent")),
        (
            json!({ "subject": "The fern" }),
            "subject",
            json!("The fern"),
        ),
        (
            json!({ "snoozed_until": "2026-11-22T08:00:00+02:00" }),
            "snoozed_until",
            json!("2026-11-22T06:00:00.000Z"),
        ),
    ];
    for (change, field, wanted) in &cases {
        assert_eq!(patch(&desk, &path, change).await[field], *wanted);
    }
    let whole = desk.found(As::Admin, &path).await;
    assert_eq!(whole["status"], "snoozed", "what sleeps is snoozed");
    for (_, field, wanted) in &cases[1..] {
        assert_eq!(whole[field], *wanted, "other changes left {field} alone");
    }
    assert_eq!(
        patch(&desk, &path, &json!({})).await,
        whole,
        "nothing changes nothing"
    );
    for (field, empty) in [
        ("assignee_id", Value::Null),
        ("team_id", Value::Null),
        ("labels", json!([])),
        ("priority", Value::Null),
        ("subject", Value::Null),
        ("snoozed_until", Value::Null),
    ] {
        assert_eq!(
            patch(&desk, &path, &json!({ field: null })).await[field],
            empty
        );
    }
    assert_eq!(
        desk.found(As::Admin, &path).await["status"],
        "open",
        "what was woken is open"
    );
}

#[tokio::test]
async fn t04_what_a_conversation_does_not_take_is_named() {
    let desk = desk().await;
    let (id, _) = desk.arrive(SHOP, "anna", "x").await;
    let path = format!("/api/v1/conversations/{id}");
    let before = desk.found(As::Admin, &path).await;
    let cases = [
        (json!({ "status": "closed" }), "/status"),
        (json!({ "status": null }), "/status"),
        (json!({ "status": 7 }), "/status"),
        (json!({ "assignee_id": "anna" }), "/assignee_id"),
        (
            json!({ "assignee_id": "cus_0000000000001" }),
            "/assignee_id",
        ),
        (json!({ "team_id": 7 }), "/team_id"),
        (json!({ "labels": "vip" }), "/labels"),
        (json!({ "labels": ["a", 1] }), "/labels/1"),
        (json!({ "labels": ["a", "  "] }), "/labels/1"),
        (json!({ "labels": ["x".repeat(101)] }), "/labels/0"),
        (json!({ "labels": vec!["x"; 51] }), "/labels"),
        (json!({ "priority": "highest" }), "/priority"),
        (json!({ "snoozed_until": "tomorrow" }), "/snoozed_until"),
        (json!({ "snoozed_until": noon() }), "/snoozed_until"),
        (
            json!({ "snoozed_until": "2026-11-22T00:00:00Z", "status": "open" }),
            "/snoozed_until",
        ),
        (json!({ "subject": "x".repeat(301) }), "/subject"),
    ];
    for (change, pointer) in cases {
        assert_eq!(
            desk.json(As::Admin, Method::PATCH, &path, &change)
                .await
                .bad_field(),
            pointer,
            "{change}"
        );
    }
    for field in [
        "id",
        "channel_id",
        "contact",
        "unread_count",
        "created_at",
        "version",
        "thread",
        "role",
    ] {
        let answer = desk
            .json(As::Admin, Method::PATCH, &path, &json!({ field: 1 }))
            .await;
        let detail = answer.problem(422);
        assert!(detail.contains(field), "{detail}");
    }
    for rubbish in ["", "{", "[]", "7", "{} {}", "null", "\u{0}"] {
        let request = Request::builder()
            .method(Method::PATCH)
            .uri(&path)
            .header("content-type", "application/json");
        let answer = desk
            .send(
                As::Admin,
                request.body(Body::from(rubbish)).expect("a request"),
            )
            .await;
        assert!(matches!(answer.status.as_u16(), 400 | 422), "{rubbish:?}");
        answer.problem(answer.status.as_u16());
    }
    let request = Request::builder()
        .method(Method::PATCH)
        .uri(&path)
        .header("content-type", "text/plain");
    desk.send(
        As::Admin,
        request.body(Body::from("{}")).expect("a request"),
    )
    .await
    .problem(415);
    assert_eq!(desk.found(As::Admin, &path).await, before);
}

#[tokio::test]
async fn reading_counts_down_to_the_message_that_was_read() {
    let desk = desk().await;
    let (id, first) = desk.arrive(SHOP, "anna", "1").await;
    let (_, second) = desk.arrive(SHOP, "anna", "2").await;
    desk.arrive(SHOP, "anna", "3").await;
    let (_, foreign) = desk.arrive(PAGE, "boris", "x").await;
    let path = format!("/api/v1/conversations/{id}/read");
    for (body, unread) in [
        (json!({ "up_to": first }), 2),
        (json!({ "up_to": second }), 1),
        (json!({ "up_to": first }), 1),
        (json!({ "up_to": null }), 0),
    ] {
        let answer = desk.json(As::Writer, Method::POST, &path, &body).await;
        assert_eq!(
            (
                answer.status.as_u16(),
                answer.json()["unread_count"].as_u64()
            ),
            (200, Some(unread)),
            "{body}"
        );
    }
    assert_eq!(
        desk.json(
            As::Writer,
            Method::POST,
            &path,
            &json!({ "up_to": foreign })
        )
        .await
        .bad_field(),
        "/up_to"
    );
    assert_eq!(
        desk.json(As::Writer, Method::POST, &path, &json!({ "up_to": "x" }))
            .await
            .bad_field(),
        "/up_to"
    );
    desk.arrive(SHOP, "anna", "4").await;
    let nothing = Request::builder()
        .method(Method::POST)
        .uri(&path)
        .body(Body::empty())
        .expect("a request");
    assert_eq!(
        desk.send(As::Writer, nothing).await.json()["unread_count"],
        0
    );
    let untyped = Request::builder()
        .method(Method::POST)
        .uri(&path)
        .body(Body::from("{}"))
        .expect("a request");
    desk.send(As::Writer, untyped).await.problem(415);
}

#[tokio::test]
async fn typing_is_told_to_the_desk() {
    let desk = desk().await;
    let (id, _) = desk.arrive(SHOP, "anna", "x").await;
    let path = format!("/api/v1/conversations/{id}/typing");
    let mut frames = desk.app.live.subscribe();
    let answer = desk
        .json(As::Writer, Method::POST, &path, &json!({ "typing": true }))
        .await;
    assert_eq!(
        (answer.status.as_u16(), answer.json()),
        (200, json!({ "typing": true }))
    );
    let frame = frames.frame().await.expect("it was told");
    let caller = |who: As| {
        let (app, token) = (&desk.app, who.token().expect("a token"));
        app.access
            .by_token(&*app.store, &app.channels, app.clock.now(), token)
            .expect("readable")
            .expect("let in")
    };
    let text = frame
        .text_for(&caller(As::Reader), &*desk.app.store, &desk.app.view())
        .expect("visible");
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(
        text.contains(&id.to_string()) && text.contains("Writer"),
        "{text}"
    );
    assert!(
        frame
            .text_for(&caller(As::PageReader), &*desk.app.store, &desk.app.view())
            .is_none()
    );
    assert_eq!(
        desk.json(As::Writer, Method::POST, &path, &json!({}))
            .await
            .bad_field(),
        ""
    );
}

#[tokio::test]
async fn hints_reach_everybody_or_one() {
    let desk = desk().await;
    let (app, now) = (&desk.app, desk.app.clock.now());
    let caller = |who: As| {
        let token = who.token().expect("a token");
        let found = app
            .access
            .by_token(&*app.store, &app.channels, now, token)
            .expect("readable");
        found.expect("let in")
    };
    let mut frames = app.live.subscribe();
    app.live.changed(now, "labels");
    app.live
        .changed_for(now, caller(As::Reader).owner(), "drafts");
    for (what, seen_by_others) in [("labels", true), ("drafts", false)] {
        let frame = frames.frame().await.expect("it was told");
        let text = |who| frame.text_for(&caller(who), &*app.store, &app.view());
        let own = text(As::Reader).expect("visible");
        assert!(String::from_utf8_lossy(&own).contains(what));
        assert_eq!(text(As::PageReader).is_some(), seen_by_others, "{what}");
    }
}

#[tokio::test]
async fn a_contact_changes_field_by_field_and_null_empties() {
    let desk = desk().await;
    let (conversation, _) = desk.arrive(SHOP, "anna", "x").await;
    let seen = desk
        .found(As::Admin, &format!("/api/v1/conversations/{conversation}"))
        .await;
    let path = format!(
        "/api/v1/contacts/{}",
        seen["contact"]["id"].as_str().expect("an id")
    );
    let whole = json!({ "name": "Anna N.", "email": "anna@shop.example", "phone": "+421 900", "remark": "likes tea\nand ferns" });
    let changed = patch(&desk, &path, &whole).await;
    for (field, value) in whole.as_object().expect("an object") {
        assert_eq!(changed[field], *value);
    }
    assert_eq!(
        changed["identities"],
        json!([{ "channel_id": "shop", "external_id": "anna" }])
    );
    let shown = desk
        .found(As::Admin, &format!("/api/v1/conversations/{conversation}"))
        .await;
    assert_eq!(shown["contact"]["name"], "Anna N.");
    for (change, pointer) in [
        (json!({ "email": "anna" }), "/email"),
        (json!({ "email": "" }), "/email"),
        (
            json!({ "email": format!("{}@x.example", "a".repeat(250)) }),
            "/email",
        ),
        (json!({ "name": "x".repeat(301) }), "/name"),
        (json!({ "name": 7 }), "/name"),
        (json!({ "phone": "1".repeat(51) }), "/phone"),
        (json!({ "remark": "x".repeat(10_001) }), "/remark"),
    ] {
        assert_eq!(
            desk.json(As::Admin, Method::PATCH, &path, &change)
                .await
                .bad_field(),
            pointer,
            "{change}"
        );
    }
    for field in ["id", "identities", "avatar_url", "merged_into"] {
        let answer = desk
            .json(As::Admin, Method::PATCH, &path, &json!({ field: null }))
            .await;
        let detail = answer.problem(422);
        assert!(detail.contains(field), "{detail}");
    }
    for field in ["name", "email", "phone", "remark"] {
        assert_eq!(
            patch(&desk, &path, &json!({ field: null })).await[field],
            Value::Null
        );
    }
    let json = json!({ "name": "x" });
    desk.json(
        As::Writer,
        Method::PATCH,
        "/api/v1/contacts/cus_0000000000009",
        &json,
    )
    .await
    .problem(404);
}

#[tokio::test]
async fn two_contacts_become_one_and_the_old_address_still_leads_there() {
    let desk = desk().await;
    let mut contacts = Vec::new();
    for (channel, person) in [(SHOP, "anna"), (PAGE, "2001"), (SHOP, "bela")] {
        let (conversation, _) = desk.arrive(channel, person, "x").await;
        let path = format!("/api/v1/conversations/{conversation}");
        let seen = desk.found(As::Admin, &path).await;
        let contact = seen["contact"]["id"].as_str().expect("an id").to_owned();
        contacts.push((contact, path));
    }
    let [(anna, _), (elsewhere, there), (bela, also)] = contacts.try_into().expect("three");
    let of = |id: &str| format!("/api/v1/contacts/{id}");
    patch(
        &desk,
        &of(&elsewhere),
        &json!({ "email": "anna@shop.example", "remark": "fern" }),
    )
    .await;
    patch(
        &desk,
        &of(&anna),
        &json!({ "name": "Anna N.", "remark": "tea" }),
    )
    .await;
    let merge = async |who: As, into: &str, from: &str| {
        let path = format!("{}/merge", of(into));
        desk.json(who, Method::POST, &path, &json!({ "contact_id": from }))
            .await
    };
    for (into, from) in [(&anna, &anna), (&anna, &"cus_0000000000009".to_owned())] {
        assert_eq!(
            merge(As::Admin, into, from).await.bad_field(),
            "/contact_id"
        );
    }
    assert_eq!(
        merge(As::Admin, &anna, "nonsense").await.bad_field(),
        "/contact_id"
    );
    merge(As::Admin, "cus_0000000000009", &anna)
        .await
        .problem(404);
    // Who sees one of them only learns nothing of the other.
    assert_eq!(
        merge(As::Writer, &anna, &elsewhere).await.bad_field(),
        "/contact_id"
    );
    merge(As::Reader, &anna, &bela).await.problem(403);

    let merged = merge(As::Admin, &anna, &elsewhere).await;
    assert_eq!(merged.status, 200, "{}", merged.text());
    let merged = merged.json();
    assert_eq!(
        (
            &merged["id"],
            &merged["name"],
            &merged["email"],
            &merged["remark"]
        ),
        (
            &json!(anna),
            &json!("Anna N."),
            &json!("anna@shop.example"),
            &json!("tea\nfern")
        )
    );
    assert_eq!(
        merged["identities"],
        json!([
            { "channel_id": "shop", "external_id": "anna" },
            { "channel_id": "page", "external_id": "2001" }
        ])
    );
    let talk = desk.found(As::Admin, &there).await;
    assert_eq!(
        (&talk["contact"]["id"], &talk["contact"]["name"]),
        (&json!(anna), &json!("Anna N."))
    );
    // What comes next is hers.
    let (again, _) = desk.arrive(PAGE, "2001", "and another thing").await;
    let talk = desk
        .found(As::Admin, &format!("/api/v1/conversations/{again}"))
        .await;
    assert_eq!(talk["contact"]["id"], json!(anna));
    assert_eq!(
        desk.found(As::Admin, &of(&elsewhere)).await["id"],
        json!(anna)
    );
    let all = desk.found(As::Admin, "/api/v1/contacts").await;
    assert_eq!(all["data"].as_array().map(Vec::len), Some(2));

    // A part of her lies where the writer of the shop sees nothing.
    merge(As::Writer, &bela, &anna).await.problem(403);
    // One that was merged is merged on with the one it went into.
    assert_eq!(merge(As::Admin, &bela, &anna).await.status, 200);
    assert_eq!(
        desk.found(As::Admin, &of(&elsewhere)).await["id"],
        json!(bela)
    );
    for path in [&there, &also] {
        assert_eq!(
            desk.found(As::Admin, path).await["contact"]["id"],
            json!(bela)
        );
    }
}
