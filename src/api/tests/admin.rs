//! Tokens, sessions, channels and the quarantine.

use std::collections::BTreeMap;

use axum::http::{Method, header};
use deskbell_sdk::health::{Finding, Standing};
use serde_json::{Value, json};

use crate::api::testing::{As, Desk, PAGE, PAGE_SECRET, SHOP, desk, each, noon};
use crate::desk::access::Quarantine;

const TOKENS: &str = "/api/v1/tokens";

async fn with_token(desk: &Desk, token: &str, path: &str) -> u16 {
    let request = axum::http::Request::builder()
        .uri(path)
        .header(header::AUTHORIZATION, format!("Bearer {token}"));
    desk.send(
        As::Nobody,
        request.body(axum::body::Body::empty()).expect("a request"),
    )
    .await
    .status
    .as_u16()
}

#[tokio::test]
async fn t06_a_token_is_shown_once_works_and_is_revoked_at_once() {
    let desk = desk().await;
    let new = json!({ "name": "Stock list", "scopes": ["read"], "channels": ["shop"], "expires_at": "2026-11-22T00:00:00Z" });
    let answer = desk.json(As::Admin, Method::POST, TOKENS, &new).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert_eq!(answer.headers[header::CACHE_CONTROL], "no-store");
    let made = answer.json();
    let token = made["token"].as_str().expect("a token");
    assert!(token.starts_with("dbk_") && token.len() == 47);
    let mut about = made.clone();
    about.as_object_mut().expect("an object").remove("token");
    let list = desk.found(As::Admin, TOKENS).await;
    assert_eq!(
        list["data"][0], about,
        "newest first, and all but the token itself"
    );
    assert_eq!(about["channels"], json!(["shop"]));
    assert_eq!(with_token(&desk, token, "/api/v1/feed").await, 200);
    assert_eq!(with_token(&desk, token, TOKENS).await, 403);
    desk.app
        .clock
        .turn_to("2026-11-22T00:00:00Z".parse().expect("a time"));
    assert_eq!(
        with_token(&desk, token, "/api/v1/feed").await,
        401,
        "it has ended"
    );
    desk.app.clock.turn_to(noon());
    let path = format!("{TOKENS}/{}", made["id"].as_str().expect("an id"));
    assert_eq!(desk.delete(As::Admin, &path).await.status, 204);
    assert_eq!(with_token(&desk, token, "/api/v1/feed").await, 401);
    desk.delete(As::Admin, &path).await.problem(404);
}

#[tokio::test]
async fn what_a_token_cannot_be_is_named() {
    let desk = desk().await;
    let cases = [
        (json!({ "scopes": ["read"] }), ""),
        (json!({ "name": " ", "scopes": ["read"] }), "/name"),
        (
            json!({ "name": "x".repeat(301), "scopes": ["read"] }),
            "/name",
        ),
        (json!({ "name": "x", "scopes": [] }), "/scopes"),
        (json!({ "name": "x", "scopes": ["root"] }), "/scopes/0"),
        (
            json!({ "name": "x", "scopes": ["read"], "channels": "some" }),
            "/channels",
        ),
        (
            json!({ "name": "x", "scopes": ["read"], "channels": [] }),
            "/channels",
        ),
        (
            json!({ "name": "x", "scopes": ["read"], "channels": ["nowhere"] }),
            "/channels",
        ),
        (
            json!({ "name": "x", "scopes": ["admin"], "channels": ["shop"] }),
            "/channels",
        ),
        (
            json!({ "name": "x", "scopes": ["read"], "expires_at": "2026-11-21T12:00:00Z" }),
            "/expires_at",
        ),
    ];
    for (new, pointer) in cases {
        assert_eq!(
            desk.json(As::Admin, Method::POST, TOKENS, &new)
                .await
                .bad_field(),
            pointer,
            "{new}"
        );
    }
    let detail = desk
        .json(
            As::Admin,
            Method::POST,
            TOKENS,
            &json!({ "name": "x", "scopes": ["read"], "hash": "y" }),
        )
        .await;
    assert!(detail.problem(422).contains("hash"));
}

#[tokio::test]
async fn the_same_key_makes_one_token_and_shows_it_again_until_it_is_revoked() {
    let desk = desk().await;
    let new = json!({ "name": "x", "scopes": ["write"], "expires_at": "2026-11-21T13:00:00Z" });
    let make = |body: Value, key: &'static str| {
        let desk = &desk;
        async move {
            desk.json_with_key(As::Admin, Method::POST, TOKENS, &body, Some(key))
                .await
        }
    };
    let first = make(new.clone(), "k1").await.json();
    desk.app
        .clock
        .turn_to("2026-11-21T14:00:00Z".parse().expect("a time"));
    assert_eq!(
        make(new.clone(), "k1").await.json(),
        first,
        "also where its time has passed meanwhile"
    );
    desk.app.clock.turn_to(noon());
    assert_ne!(
        make(new.clone(), "k2").await.json()["token"],
        first["token"]
    );
    make(json!({ "name": "y", "scopes": ["admin"] }), "k1")
        .await
        .problem(422);
    assert_eq!(
        with_token(&desk, first["token"].as_str().expect("a token"), TOKENS).await,
        403,
        "it did not grow"
    );
    let path = format!("{TOKENS}/{}", first["id"].as_str().expect("an id"));
    assert_eq!(desk.delete(As::Admin, &path).await.status, 204);
    make(new, "k1").await.problem(409);
    assert_eq!(
        with_token(
            &desk,
            first["token"].as_str().expect("a token"),
            "/api/v1/feed"
        )
        .await,
        401
    );
}

#[tokio::test]
async fn me_says_who_and_what() {
    let desk = desk().await;
    let cases = [
        (As::Admin, "bootstrap", "admin", json!("all")),
        (As::Session, "session", "admin", json!("all")),
        (As::Writer, "token", "agent", json!(["shop"])),
        (As::Reader, "token", "viewer", json!(["shop"])),
        (As::PageReader, "token", "viewer", json!(["page"])),
    ];
    for (who, kind, role, channels) in cases {
        let me = desk.found(who, "/api/v1/me").await;
        assert_eq!(
            (me["type"].as_str(), me["role"].as_str()),
            (Some(kind), Some(role))
        );
        assert_eq!(me["channels"], channels);
        assert!(me["id"].is_string() && me["name"].is_string() && me["scopes"].is_array());
    }
}

#[tokio::test]
async fn s04_signing_out_ends_the_session_at_once() {
    let desk = desk().await;
    desk.found(As::Session, "/api/v1/feed").await;
    let answer = desk.delete(As::Session, "/api/v1/session").await;
    assert_eq!(answer.status, 204);
    let cookie = answer.headers[header::SET_COOKIE].to_str().expect("text");
    assert!(
        cookie.starts_with("__Host-deskbell=;") && cookie.contains("Max-Age=0"),
        "{cookie}"
    );
    desk.get(As::Session, "/api/v1/feed").await.problem(401);
    desk.delete(As::Writer, "/api/v1/session")
        .await
        .problem(409);
    desk.found(As::Writer, "/api/v1/feed").await;
}

#[tokio::test]
async fn channels_are_shown_by_scope_and_their_settings_to_admins() {
    let desk = desk().await;
    let all = desk.found(As::Admin, "/api/v1/channels").await;
    assert_eq!(each(&all, "id"), ["shop", "page", "old"]);
    assert_eq!(each(&all, "state"), ["up", "up", "closed"]);
    assert_eq!(
        all["data"][0]["chat"]["script_url"],
        "https://desk.example/chat/shop.js"
    );
    assert_eq!(
        all["data"][0]["chat"]["try_url"],
        "https://desk.example/try/shop"
    );
    assert_eq!(all["data"][0]["webhook_url"], Value::Null);
    assert_eq!(all["data"][0]["text_limit"], 2_000);
    assert_eq!(
        all["data"][1]["webhook_url"],
        "https://desk.example/webhooks/page"
    );
    assert_eq!(all["data"][1]["reply_window_seconds"], 86_400);
    let settings: BTreeMap<&str, (&Value, bool, bool)> = all["data"][1]["settings"]
        .as_array()
        .expect("settings")
        .iter()
        .map(|one| {
            (
                one["key"].as_str().expect("a key"),
                (&one["value"], one["secret"] == true, one["set"] == true),
            )
        })
        .collect();
    assert_eq!(settings["page"], (&json!("4242"), false, true));
    assert_eq!(settings["secret"], (&Value::Null, true, true));
    assert_eq!(settings["note"], (&Value::Null, false, false));
    assert_eq!(settings["echoes"], (&json!(true), false, true));
    assert!(!all.to_string().contains(PAGE_SECRET));
    let few = desk.found(As::Writer, "/api/v1/channels").await;
    assert_eq!(each(&few, "id"), ["shop"]);
    assert_eq!(few["data"][0].get("settings"), None);
    for path in [
        "/api/v1/channels/page",
        "/api/v1/channels/page/health",
        "/api/v1/channels/nowhere",
    ] {
        desk.get(As::Writer, path).await.problem(404);
    }
    let first = desk.found(As::Admin, "/api/v1/channels?limit=2").await;
    let second = format!(
        "/api/v1/channels?limit=2&cursor={}",
        first["next"].as_str().expect("a cursor")
    );
    let second = desk.found(As::Admin, &second).await;
    assert_eq!(
        (each(&second, "id"), &second["next"]),
        (vec![&json!("old")], &Value::Null)
    );
}

#[tokio::test]
async fn health_says_what_is_wrong_and_what_to_do() {
    let desk = desk().await;
    let path = "/api/v1/channels/page/health";
    let next = |health: &Value| health["next"].as_str().map(str::to_owned);
    let new = desk.found(As::Reader, "/api/v1/channels/shop/health").await;
    assert!(
        next(&new)
            .expect("something")
            .contains("https://desk.example/chat/shop.js")
    );
    let new = desk.found(As::PageReader, path).await;
    assert!(
        next(&new)
            .expect("something")
            .contains("https://desk.example/webhooks/page")
    );
    let page = desk.app.channels.get("page").expect("open");
    page.status().last_event_at = Some(noon());
    let fine = desk.found(As::PageReader, path).await;
    assert_eq!((&fine["state"], next(&fine)), (&json!("up"), None));
    {
        let mut status = page.status();
        status.rejected = 3;
        status.last_rejected_at = Some(noon().plus_millis(1));
    }
    let refused = desk.found(As::PageReader, path).await;
    assert!(
        next(&refused)
            .expect("something")
            .starts_with("3 deliveries were refused")
    );
    let say = "The token has ended: make a new one.".to_owned();
    page.status().findings = vec![Finding {
        what: "token",
        standing: Standing::Broken,
        say: say.clone(),
    }];
    let broken = desk.found(As::PageReader, path).await;
    assert_eq!(
        (&broken["state"], next(&broken)),
        (&json!("broken"), Some(say.clone()))
    );
    assert_eq!(
        desk.found(As::PageReader, "/api/v1/channels/page").await["detail"],
        say
    );
    let closed = desk.found(As::Admin, "/api/v1/channels/old/health").await;
    assert_eq!(closed["state"], "closed");
    assert!(next(&closed).is_some());
}

#[tokio::test]
async fn the_quarantine_is_newest_first_and_emptied_one_by_one() {
    let desk = desk().await;
    for number in 0..7 {
        let channel = if number % 2 == 0 { PAGE } else { SHOP };
        let (why, raw) = (format!("why {number}"), format!("{{\"raw\":{number}}}"));
        let entry = Quarantine {
            channel,
            received_at: noon(),
            why,
            raw,
            delivery: None,
        };
        desk.app.writer.write(entry).await.expect("written");
    }
    let path = "/api/v1/quarantine?limit=3";
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = desk.found(As::Admin, &format!("{path}{cursor}")).await;
        seen.extend(page["data"].as_array().expect("a list").iter().cloned());
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let why: Vec<&str> = seen
        .iter()
        .filter_map(|entry| entry["why"].as_str())
        .collect();
    assert_eq!(
        why,
        [
            "why 6", "why 5", "why 4", "why 3", "why 2", "why 1", "why 0"
        ]
    );
    assert_eq!(
        (&seen[0]["channel_id"], &seen[0]["raw"]),
        (&json!("page"), &json!("{\"raw\":6}"))
    );
    let one = format!(
        "/api/v1/quarantine/{}",
        seen[2]["id"].as_str().expect("an id")
    );
    assert_eq!(desk.delete(As::Admin, &one).await.status, 204);
    desk.delete(As::Admin, &one).await.problem(404);
    let left = desk.found(As::Admin, "/api/v1/quarantine").await;
    assert_eq!((each(&left, "id").len(), &left["next"]), (6, &Value::Null));
}

#[tokio::test]
async fn what_is_done_with_a_channel_needs_the_right_and_a_channel_that_can() {
    let desk = desk().await;
    let (nothing, post) = (json!({}), Method::POST);
    for action in ["register", "catch-up"] {
        let path = |channel: &str| format!("/api/v1/channels/{channel}/{action}");
        for (who, status) in [(As::Nobody, 401), (As::PageReader, 403)] {
            let refused = desk.json(who, post.clone(), &path("page"), &nothing).await;
            refused.problem(status);
        }
        let mut channels = vec![("nowhere", 404), ("old", 409), ("shop", 409)];
        if action == "catch-up" {
            channels.push(("page", 409));
        }
        for (channel, status) in channels {
            let answer = desk
                .json(As::Admin, post.clone(), &path(channel), &nothing)
                .await;
            answer.problem(status);
        }
    }
    // Registering is the administrator's; fetching is anybody's who works there, in their own channels.
    let register = "/api/v1/channels/shop/register";
    desk.json(As::Writer, post.clone(), register, &nothing)
        .await
        .problem(403);
    desk.delete(As::Writer, register).await.problem(403);
    desk.delete(As::Admin, register).await.problem(409);
    let detail = desk
        .json(As::Writer, post, "/api/v1/channels/shop/catch-up", &nothing)
        .await;
    assert!(detail.problem(409).contains("no history"));
    let health = desk.found(As::Admin, "/api/v1/channels/page/health").await;
    assert_eq!(health["catch_up"], Value::Null);
}

#[tokio::test]
async fn f18_a_platform_that_stopped_to_deliver_is_told_until_it_delivers() {
    let desk = desk().await;
    let page = desk.app.channels.get_no(PAGE).expect("open");
    page.status().undelivered = Some((noon(), 3));
    let finding = async |desk: &Desk| {
        let health = desk.found(As::Admin, "/api/v1/channels/page/health").await;
        let findings = health["findings"].as_array().expect("a list").clone();
        let deliveries = findings.iter().find(|one| one["what"] == "deliveries");
        deliveries.expect("looked at").clone()
    };
    let told = finding(&desk).await;
    assert_eq!(told["standing"], "broken");
    let say = told["say"].as_str().expect("words");
    assert!(
        say.contains("3 message(s)") && say.contains("deskbell channel register page"),
        "{say}"
    );
    page.status().last_event_at = Some(noon());
    assert_eq!(finding(&desk).await["standing"], "fine");
}
