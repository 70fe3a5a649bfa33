//! Channels that are added, changed and removed while the desk runs.

use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::{Value, json};

use crate::api::testing::{Answer, As, Desk, LEFT, desk, each};
use crate::store::change::EventBody;
use crate::store::entry::{ChannelSetup, Entry, KeptSetting};

const CHANNELS: &str = "/api/v1/channels";
const NEW: &str = "/api/v1/channels/new";

fn wanted() -> Value {
    json!({ "id": "new", "connector": "platform", "name": "New page", "settings": { "page": "77", "secret": "canary-new" } })
}

async fn add(desk: &Desk, body: &Value) -> Answer {
    desk.json(As::Admin, Method::POST, CHANNELS, body).await
}

async fn added(desk: &Desk) -> Value {
    let answer = add(desk, &wanted()).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()
}

async fn change(desk: &Desk, body: Value) -> Answer {
    desk.json(As::Admin, Method::PATCH, NEW, &body).await
}

/// The status of a delivery to the channel `new` with this secret.
async fn deliver(desk: &Desk, secret: &str) -> u16 {
    let request = Request::builder()
        .method(Method::POST)
        .uri("/webhooks/new")
        .header("x-secret", secret);
    let answer = desk.send(
        As::Nobody,
        request.body(Body::from("{}")).expect("a request"),
    );
    answer.await.status.as_u16()
}

/// A setting of a channel as it is shown.
fn setting(channel: &Value, key: &str) -> Value {
    let settings = channel["settings"].as_array().expect("settings");
    let found = settings.iter().find(|setting| setting["key"] == key);
    found.expect("described").clone()
}

/// What was told of channels.
fn told(desk: &Desk) -> Vec<(u16, bool, String)> {
    let events = desk.app.store.events(0, 1_000).expect("memory");
    let news = events.into_iter().filter_map(|event| match event.body {
        EventBody::ChannelHealth {
            channel,
            healthy,
            detail,
        } => Some((channel.0, healthy, detail)),
        _ => None,
    });
    news.collect()
}

#[tokio::test]
async fn a_channel_is_added_changed_and_removed_while_the_desk_runs() {
    let desk = desk().await;
    assert_eq!(deliver(&desk, "canary-new").await, 404);
    let made = added(&desk).await;
    assert_eq!(
        [
            &made["id"],
            &made["connector"],
            &made["name"],
            &made["source"],
            &made["state"]
        ],
        [
            &json!("new"),
            &json!("platform"),
            &json!("New page"),
            &json!("api"),
            &json!("up")
        ]
    );
    assert_eq!(
        (&made["read_only"], &made["catch_up"]),
        (&json!(false), &json!(true))
    );
    assert_eq!(made["webhook_url"], "https://desk.example/webhooks/new");
    assert_eq!(setting(&made, "page")["value"], "77");
    assert_eq!(setting(&made, "echoes")["value"], true);
    let secret = json!({ "key": "secret", "value": null, "secret": true, "set": true });
    assert_eq!(setting(&made, "secret"), secret);
    assert_eq!(desk.found(As::Admin, NEW).await, made);
    assert_eq!(deliver(&desk, "canary-new").await, 200);
    assert_eq!(deliver(&desk, "canary-old").await, 401);

    // What is not named stays; a secret is replaced only where a new one is given.
    let renamed = change(&desk, json!({ "name": "Renamed", "catch_up": false }))
        .await
        .json();
    assert_eq!(
        (&renamed["name"], &renamed["catch_up"]),
        (&json!("Renamed"), &json!(false))
    );
    assert_eq!(setting(&renamed, "page")["value"], "77");
    assert!(!renamed["last_event_at"].is_null(), "it goes on counting");
    assert_eq!(deliver(&desk, "canary-new").await, 200);
    let note = change(
        &desk,
        json!({ "settings": { "note": "a word", "echoes": false } }),
    )
    .await
    .json();
    assert_eq!(setting(&note, "note")["value"], "a word");
    assert_eq!(setting(&note, "echoes")["value"], false);
    let turned = change(
        &desk,
        json!({ "settings": { "secret": "canary-turned", "note": null, "echoes": null } }),
    )
    .await;
    assert_eq!(setting(&turned.json(), "note")["set"], false);
    assert_eq!(
        setting(&turned.json(), "echoes")["value"],
        true,
        "its default again"
    );
    assert_eq!(deliver(&desk, "canary-new").await, 401);
    assert_eq!(deliver(&desk, "canary-turned").await, 200);
    let nothing = change(&desk, json!({})).await;
    assert_eq!(nothing.status, 200);

    assert_eq!(desk.delete(As::Admin, NEW).await.status, 204);
    assert_eq!(deliver(&desk, "canary-turned").await, 404);
    let left = desk.found(As::Admin, NEW).await;
    assert_eq!(
        (&left["state"], &left["source"]),
        (&json!("closed"), &Value::Null)
    );
    assert_eq!(
        desk.delete(As::Admin, NEW).await.status,
        204,
        "it is removed already"
    );
    change(&desk, json!({ "name": "x" })).await.problem(409);

    let say: Vec<_> = told(&desk)
        .into_iter()
        .map(|(no, healthy, say)| {
            (
                no,
                healthy,
                say.split(" by ").next().unwrap_or_default().to_owned(),
            )
        })
        .collect();
    let by_hand = |healthy, say: &str| (4, healthy, say.to_owned());
    assert_eq!(
        say,
        [
            by_hand(true, "It was added"),
            by_hand(true, "Its settings were changed"),
            by_hand(true, "Its settings were changed"),
            by_hand(true, "Its settings were changed"),
            by_hand(false, "It was removed"),
        ]
    );

    // The same slug goes on with its history, for the same connector only.
    let mut other = wanted();
    other["connector"] = json!("chat");
    other["settings"] = json!({});
    assert!(add(&desk, &other).await.problem(409).contains("platform"));
    let again = added(&desk).await;
    assert_eq!(again["created_at"], made["created_at"]);
    assert_eq!(desk.app.channels.get("new").expect("open").no.0, 4);
    let old =
        json!({ "id": "old", "connector": "platform", "settings": { "page": "1", "secret": "s" } });
    assert_eq!(add(&desk, &old).await.json()["title"], "Platform");
    assert_eq!(desk.app.channels.get("old").expect("open").no.0, 3);
}

#[tokio::test]
async fn the_platform_hears_that_a_channel_is_gone_and_cannot_keep_it() {
    let desk = desk().await;
    let mut body = wanted();
    body["settings"]["page"] = json!("page that leaves");
    assert_eq!(add(&desk, &body).await.status, 201);
    // The line to the platform is cut: it is gone all the same.
    assert_eq!(desk.delete(As::Admin, NEW).await.status, 204);
    assert_eq!(desk.found(As::Admin, NEW).await["state"], "closed");
    let left = LEFT.lock().expect("not poisoned").clone();
    let heard = left.iter().filter(|(page, _)| page == "page that leaves");
    assert_eq!(
        heard.collect::<Vec<_>>(),
        [&("page that leaves".to_owned(), false)]
    );
}

#[tokio::test]
async fn k01_what_is_kept_of_a_secret_is_sealed() {
    let desk = desk().await;
    added(&desk).await;
    let setup = ChannelSetup::get(&*desk.app.store, b"new")
        .expect("memory")
        .expect("kept");
    assert!(matches!(setup.settings["secret"], KeptSetting::Sealed(_)));
    assert_eq!(setup.settings["page"], KeptSetting::Text("77".to_owned()));
    let all = desk
        .app
        .store
        .scan(crate::store::Table::ChannelSetups, &[], None, 100)
        .expect("memory");
    let bytes: Vec<u8> = all.into_iter().flat_map(|(_, value)| value).collect();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    assert!(
        text.contains("New page") && !text.contains("canary"),
        "{text}"
    );
    for path in [CHANNELS, NEW, "/api/v1/channels/new/health"] {
        assert!(
            !desk
                .get(As::Admin, path)
                .await
                .text()
                .contains("canary-new")
        );
    }
    assert!(!format!("{:?}", desk.app).contains("canary-new"));
}

#[tokio::test]
async fn every_field_that_does_not_do_is_named_all_at_once() {
    let desk = desk().await;
    let with = |change: fn(&mut Value)| {
        let mut body = wanted();
        change(&mut body);
        body
    };
    let table: &[(Value, &[&str])] = &[
        (with(|body| body["id"] = json!("New Page")), &["/id"]),
        (with(|body| body["id"] = json!("")), &["/id"]),
        (
            with(|body| body["connector"] = json!("telepathy")),
            &["/connector"],
        ),
        (with(|body| body["name"] = json!(" ")), &["/name"]),
        (
            with(|body| body["name"] = json!("x".repeat(101))),
            &["/name"],
        ),
        (
            with(|body| body["api_base"] = json!("https://graph.example")),
            &["/api_base"],
        ),
        (with(|body| body["catch_up"] = json!("yes")), &["/catch_up"]),
        (
            with(|body| body["settings"] = json!({})),
            &["/settings/page", "/settings/secret"],
        ),
        (
            with(|body| body["settings"]["page"] = Value::Null),
            &["/settings/page"],
        ),
        (
            with(|body| body["settings"]["page"] = json!(77)),
            &["/settings/page"],
        ),
        (
            with(|body| body["settings"]["secret"] = json!({ "env": "HOME" })),
            &["/settings/secret"],
        ),
        (
            with(|body| body["settings"]["secret"] = json!({ "file": "/etc/passwd" })),
            &["/settings/secret"],
        ),
        (
            with(|body| body["settings"]["secret"] = json!("")),
            &["/settings/secret"],
        ),
        (
            with(|body| body["settings"]["echoes"] = json!("true")),
            &["/settings/echoes"],
        ),
        (
            with(|body| body["settings"]["pgae"] = json!("x")),
            &["/settings/pgae"],
        ),
        (
            json!({ "id": "-", "connector": "platform", "name": "", "settings": { "page": 1, "other": 1 } }),
            &[
                "/id",
                "/name",
                "/settings/other",
                "/settings/page",
                "/settings/secret",
            ],
        ),
    ];
    for (body, pointers) in table {
        let answer = add(&desk, body).await;
        answer.problem(422);
        let json = answer.json();
        let errors = json["errors"].as_array().expect("errors");
        let named: Vec<_> = errors
            .iter()
            .filter_map(|error| error["pointer"].as_str())
            .collect();
        assert_eq!(&named, pointers, "{body}");
        assert!(!answer.text().contains("canary-new"), "{}", answer.text());
    }
    assert_eq!(told(&desk).len(), 0, "nothing was done");
    assert_eq!(each(&desk.found(As::Admin, CHANNELS).await, "id").len(), 3);

    added(&desk).await;
    for (body, pointer) in [
        (json!({ "settings": { "page": null } }), "/settings/page"),
        (
            json!({ "settings": { "secret": null } }),
            "/settings/secret",
        ),
        (json!({ "settings": { "secret": " " } }), "/settings/secret"),
        (
            json!({ "settings": { "nothing": null } }),
            "/settings/nothing",
        ),
        (json!({ "name": "" }), "/name"),
        (json!({ "api_base": "https://graph.example" }), "/api_base"),
    ] {
        let answer = change(&desk, body).await;
        assert_eq!(answer.bad_field(), pointer);
    }
    for body in [
        json!({ "connector": "chat" }),
        json!({ "id": "newer" }),
        json!({ "name": null }),
    ] {
        change(&desk, body).await.problem(422);
    }
    assert_eq!(
        deliver(&desk, "canary-new").await,
        200,
        "it stayed as it was"
    );
}

#[tokio::test]
async fn channels_of_the_configuration_are_read_only_and_slugs_are_taken_once() {
    let desk = desk().await;
    let page = "/api/v1/channels/page";
    let refused = desk
        .json(As::Admin, Method::PATCH, page, &json!({ "name": "x" }))
        .await;
    assert!(refused.problem(409).contains("shop.toml"));
    assert!(
        desk.delete(As::Admin, page)
            .await
            .problem(409)
            .contains("shop.toml")
    );
    let mut body = wanted();
    body["id"] = json!("page");
    assert!(add(&desk, &body).await.problem(409).contains("shop.toml"));
    let shown = desk.found(As::Admin, page).await;
    assert_eq!(
        (&shown["source"], &shown["read_only"]),
        (&json!("file"), &json!(true))
    );
    added(&desk).await;
    assert!(add(&desk, &wanted()).await.problem(409).contains("taken"));
    for method in [Method::PATCH, Method::DELETE] {
        let nowhere = desk
            .json(As::Admin, method, "/api/v1/channels/nowhere", &json!({}))
            .await;
        nowhere.problem(404);
    }
}

#[tokio::test]
async fn the_same_request_makes_one_channel() {
    let desk = desk().await;
    let send = |body: Value| {
        let desk = &desk;
        async move {
            desk.json_with_key(As::Admin, Method::POST, CHANNELS, &body, Some("k1"))
                .await
        }
    };
    let first = send(wanted()).await;
    let second = send(wanted()).await;
    assert_eq!((first.status.as_u16(), second.status.as_u16()), (201, 201));
    assert_eq!(first.json(), second.json());
    assert_eq!(told(&desk).len(), 1);
    let mut other = wanted();
    other["name"] = json!("Another");
    send(other).await.problem(422);
    assert_eq!(desk.delete(As::Admin, NEW).await.status, 204);
    send(wanted()).await.problem(409);
    // One that was refused may be mended and sent again under its key.
    let mut bad = wanted();
    bad["id"] = json!("second");
    let mended = bad.clone();
    bad["settings"]["page"] = json!("");
    for (body, status) in [(bad, 422), (mended, 201)] {
        let answer = desk
            .json_with_key(As::Admin, Method::POST, CHANNELS, &body, Some("k2"))
            .await;
        assert_eq!(answer.status.as_u16(), status, "{}", answer.text());
    }
}

#[tokio::test]
async fn t03_of_a_new_channel_others_know_nothing_and_agents_change_nothing() {
    let desk = desk().await;
    added(&desk).await;
    for who in [As::PageReader, As::Reader, As::Writer] {
        desk.get(who, NEW).await.problem(404);
        assert!(!desk.get(who, CHANNELS).await.text().contains("New page"));
        desk.json(who, Method::POST, CHANNELS, &wanted())
            .await
            .problem(403);
        desk.json(who, Method::PATCH, NEW, &json!({ "name": "x" }))
            .await
            .problem(403);
        desk.delete(who, NEW).await.problem(403);
    }
    let all = json!({ "name": "agent", "scopes": ["write"] });
    let made = desk
        .json(As::Admin, Method::POST, "/api/v1/tokens", &all)
        .await
        .json();
    let token = made["token"].as_str().expect("a token");
    for (method, path, wanted) in [
        ("GET", NEW, 200),
        ("PATCH", NEW, 403),
        ("DELETE", NEW, 403),
        ("POST", CHANNELS, 403),
    ] {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {token}"));
        let answer = desk
            .send(
                As::Nobody,
                request.body(Body::from("{}")).expect("a request"),
            )
            .await;
        assert_eq!(answer.status.as_u16(), wanted, "{method} {path}");
        assert!(answer.json().get("settings").is_none());
    }
}

#[tokio::test]
async fn connectors_describe_their_settings() {
    let desk = desk().await;
    let all = desk.found(As::Reader, "/api/v1/connectors").await;
    assert_eq!(each(&all, "id"), ["chat", "platform"]);
    let platform = &all["data"][1];
    assert_eq!(
        (&platform["title"], &platform["api_base"]),
        (&json!("Platform"), &Value::Null)
    );
    let settings = platform["settings"].as_array().expect("a list");
    assert_eq!(
        settings[1],
        json!({ "key": "secret", "help": "from the platform's dashboard", "kind": "secret", "required": true, "default": null, "secret": true })
    );
    assert_eq!(
        settings[3],
        json!({ "key": "echoes", "help": "whether", "kind": "flag", "required": false, "default": "true", "secret": false })
    );
}
