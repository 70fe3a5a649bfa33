use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use serde_json::{Value, json};

use crate::api::testing::{As, Desk, SHOP, desk, each};
use crate::server::ClientAddress;
use crate::store::entry::{AuditEntry, Entry};
use crate::store::{Group, Put, Table};

async fn entries(desk: &Desk, query: &str) -> Value {
    desk.found(As::Admin, &format!("/api/v1/audit?{query}"))
        .await
}

fn actions(list: &Value) -> Vec<&str> {
    let actions = each(list, "action").into_iter();
    actions
        .map(|action| action.as_str().expect("a text"))
        .collect()
}

async fn send(desk: &Desk, method: Method, path: &str, body: &Value) -> StatusCode {
    desk.json(As::Admin, method, path, body).await.status
}

#[tokio::test]
async fn t10_what_changes_access_is_told_with_who_and_what_and_without_secrets() {
    let desk = desk().await;
    assert_eq!(entries(&desk, "").await["data"], json!([]));
    let new = json!({ "name": "Till", "scopes": ["read"], "channels": ["shop"] });
    let request = Request::builder()
        .method(Method::POST)
        .uri("/api/v1/tokens")
        .header("content-type", "application/json")
        .extension(ClientAddress("192.0.2.7".parse().expect("an address")))
        .body(Body::from(new.to_string()));
    let made = desk
        .send(As::Admin, request.expect("a request"))
        .await
        .json();
    let token = made["token"].as_str().expect("a token");
    let path = format!("/api/v1/tokens/{}", made["id"].as_str().expect("an id"));
    assert_eq!(desk.delete(As::Admin, &path).await.status, 204);
    let told = entries(&desk, "").await;
    assert_eq!(actions(&told), ["token.revoked", "token.created"]);
    let created = &told["data"][1];
    assert_eq!(
        created["actor"],
        json!({ "type": "bootstrap", "id": "bootstrap", "name": "Bootstrap token" })
    );
    assert_eq!(
        created["target"],
        json!({ "type": "token", "id": made["id"], "name": "Till" })
    );
    assert_eq!(
        created["detail"],
        json!({ "scopes": ["read"], "channels": ["shop"], "expires_at": null })
    );
    assert_eq!(created["address"], "192.0.2.7");
    assert_eq!(created["at"], made["created_at"]);
    assert!(!told.to_string().contains(token));
    let checked = desk.found(As::Admin, "/api/v1/audit/check").await;
    assert_eq!(
        (&checked["intact"], &checked["entries"]),
        (&json!(true), &json!(2))
    );
}

#[tokio::test]
async fn t10_every_deed_of_an_administrator_is_told_once() {
    let desk = desk().await;
    let (conversation, _) = desk.arrive(SHOP, "canary-person", "x").await;
    let seen = desk
        .found(As::Admin, &format!("/api/v1/conversations/{conversation}"))
        .await;
    let contact = seen["contact"]["id"].as_str().expect("an id").to_owned();
    let key = crate::desk::erasure::EnsureErasureKey {
        new: "k".to_owned(),
    };
    desk.app.writer.write(key).await.expect("written");
    let channel = json!({ "id": "second", "connector": "chat", "name": "Second" });
    let token = json!({ "name": "t", "scopes": ["read"] });
    let team = json!({ "name": "Sales" });
    let deeds: [(Method, &str, &Value, u16, &str); 7] = [
        (
            Method::POST,
            "/api/v1/channels",
            &channel,
            201,
            "channel.added",
        ),
        (
            Method::PATCH,
            "/api/v1/channels/second",
            &json!({ "name": "2nd" }),
            200,
            "channel.changed",
        ),
        (
            Method::DELETE,
            "/api/v1/channels/second",
            &json!({}),
            204,
            "channel.removed",
        ),
        (Method::POST, "/api/v1/tokens", &token, 201, "token.created"),
        (Method::POST, "/api/v1/teams", &team, 201, "team.created"),
        (
            Method::GET,
            "/api/v1/exports",
            &json!({}),
            200,
            "history.exported",
        ),
        (
            Method::DELETE,
            &format!("/api/v1/contacts/{contact}"),
            &json!({}),
            204,
            "contact.erased",
        ),
    ];
    let mut wanted = Vec::new();
    for (method, path, body, status, action) in deeds {
        assert_eq!(
            send(&desk, method, path, body).await.as_u16(),
            status,
            "{action}"
        );
        wanted.insert(0, action);
        assert_eq!(actions(&entries(&desk, "").await), wanted);
    }
    let import = Request::builder()
        .method(Method::POST)
        .uri("/api/v1/imports")
        .header("content-type", "application/x-ndjson")
        .body(Body::empty());
    assert_eq!(
        desk.send(As::Admin, import.expect("a request"))
            .await
            .status,
        200
    );
    let out = Request::builder()
        .method(Method::DELETE)
        .uri("/api/v1/session");
    let out = desk.send(As::Session, out.body(Body::empty()).expect("a request"));
    assert_eq!(out.await.status, 204);
    let told = entries(&desk, "limit=2").await;
    assert_eq!(actions(&told), ["session.ended", "history.imported"]);
    // What is refused is no deed; what changes nothing neither.
    send(&desk, Method::POST, "/api/v1/teams", &team).await;
    send(
        &desk,
        Method::POST,
        "/api/v1/tokens",
        &json!({ "name": "" }),
    )
    .await;
    assert_eq!(
        send(&desk, Method::DELETE, "/api/v1/channels/second", &json!({})).await,
        204
    );
    let told = entries(&desk, "").await;
    assert_eq!(told["data"][0]["action"], "session.ended");
    // Who was erased stands nowhere, and the log is whole.
    assert!(!told.to_string().contains(&contact) && !told.to_string().contains("canary"));
    let checked = desk.found(As::Admin, "/api/v1/audit/check").await;
    assert_eq!(checked["intact"], true);
}

#[tokio::test]
async fn the_log_is_read_page_by_page_and_by_filter() {
    let desk = desk().await;
    for number in 0..7 {
        let new = json!({ "name": format!("Team {number}") });
        assert_eq!(send(&desk, Method::POST, "/api/v1/teams", &new).await, 201);
    }
    let later = crate::api::testing::noon().plus_millis(60_000);
    desk.app.clock.turn_to(later);
    let new = json!({ "name": "t", "scopes": ["read"] });
    assert_eq!(send(&desk, Method::POST, "/api/v1/tokens", &new).await, 201);
    let mut names = Vec::new();
    let mut query = "limit=3".to_owned();
    loop {
        let page = entries(&desk, &query).await;
        let targets = page["data"].as_array().expect("a list").iter();
        names.extend(
            targets.map(|entry| entry["target"]["name"].as_str().expect("a name").to_owned()),
        );
        let Some(next) = page["next"].as_str() else {
            break;
        };
        query = format!("limit=3&cursor={next}");
        // What comes meanwhile stands before the page.
        desk.get(As::Admin, "/api/v1/exports").await;
    }
    let wanted: Vec<_> = (0..7)
        .rev()
        .map(|number| format!("Team {number}"))
        .collect();
    assert_eq!((names[0].as_str(), &names[1..]), ("t", &wanted[..]));
    let cases = [
        ("action=token.created", 1),
        ("action=team", 7),
        ("action=tea", 0),
        ("actor=bootstrap&action=team.created", 7),
        ("actor=tok_0000000000001", 0),
        ("action=team&since=2026-11-21T12:00:30Z", 0),
    ];
    for (query, count) in cases {
        assert_eq!(
            actions(&entries(&desk, query).await).len(),
            count,
            "{query}"
        );
    }
    let until = format!("action=token&until={later}");
    assert_eq!(entries(&desk, &until).await["data"], json!([]));
    let since = format!("action=token&since={later}");
    assert_eq!(actions(&entries(&desk, &since).await), ["token.created"]);
    for wrong in [
        "actor=", "action=", "since=x", "limit=0", "cursor=x", "who=me",
    ] {
        desk.get(As::Admin, &format!("/api/v1/audit?{wrong}"))
            .await
            .problem(400);
    }
}

#[tokio::test]
async fn t10_a_changed_entry_is_told_by_the_check() {
    let desk = desk().await;
    for number in 0..5 {
        let new = json!({ "name": format!("Team {number}") });
        assert_eq!(send(&desk, Method::POST, "/api/v1/teams", &new).await, 201);
    }
    let key = AuditEntry::key(3);
    let mut entry = AuditEntry::get(&*desk.app.store, &key)
        .expect("memory")
        .expect("there");
    let name = entry.record.len() - 60;
    entry.record[name] ^= 1;
    let change = |value: Option<Vec<u8>>| Group {
        puts: vec![Put {
            table: Table::Audit,
            key: key.clone(),
            value,
        }],
        ..Group::default()
    };
    desk.app
        .store
        .commit(change(entry.put(key.clone()).value))
        .expect("memory");
    let checked = desk.found(As::Admin, "/api/v1/audit/check").await;
    assert_eq!(
        (&checked["intact"], &checked["broken_at"]),
        (&json!(false), &json!(3))
    );
    desk.app.store.commit(change(None)).expect("memory");
    let checked = desk.found(As::Admin, "/api/v1/audit/check").await;
    assert_eq!(
        (&checked["intact"], &checked["entries"]),
        (&json!(false), &json!(5))
    );
}
