//! The devices of people: how they come, what their tokens open, and what ends them.

use axum::http::{Method, Request, StatusCode};
use serde_json::{Value, json};

use crate::api::testing::people::Browser;
use crate::api::testing::{As, Desk, desk};
use crate::store::entry::Role;

/// A public key of the right form.
const KEY: &str =
    "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";

fn subscription(path: &str) -> Value {
    json!({
        "kind": "web-push", "name": "Firefox on Linux",
        "subscription": {
            "endpoint": format!("https://push.example/{path}"), "expirationTime": null,
            "keys": { "p256dh": KEY, "auth": "BTBZMqHH6r4Tts7J_aSIgg" },
        },
    })
}

async fn add(desk: &Desk, browser: &Browser, body: &Value) -> (u16, Value) {
    let answer = browser
        .json(desk, Method::POST, "/api/v1/devices", body)
        .await;
    (answer.status.as_u16(), answer.json())
}

async fn devices(desk: &Desk, browser: &Browser, query: &str) -> (u16, usize) {
    let path = format!("/api/v1/devices{query}");
    let answer = browser.ask(desk, Method::GET, &path).await;
    let count = answer.json()["data"].as_array().map_or(0, Vec::len);
    (answer.status.as_u16(), count)
}

/// Pairs a companion; gives its token and its id.
async fn paired(desk: &Desk, browser: &Browser) -> (String, String) {
    let path = "/api/v1/devices/codes";
    let code = browser.ask(desk, Method::POST, path).await;
    assert_eq!(code.status, StatusCode::CREATED, "{}", code.text());
    let code = code.json()["code"].as_str().expect("a code").to_owned();
    let (status, claimed) = claim(desk, 1, &code).await;
    assert_eq!(status, 201, "{claimed}");
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    (text(&claimed["token"]), text(&claimed["device"]["id"]))
}

async fn claim(desk: &Desk, from: u32, code: &str) -> (u16, Value) {
    let body = json!({ "code": code, "name": "Till", "kind": "desktop" });
    let answer = Browser::new(from)
        .json(desk, Method::POST, "/api/v1/devices/claim", &body)
        .await;
    (answer.status.as_u16(), answer.json())
}

async fn call(desk: &Desk, token: &str, method: Method, path: &str, body: Option<&Value>) -> u16 {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("authorization", format!("Bearer {token}"));
    let request = match body {
        Some(body) => request
            .header("content-type", "application/json")
            .body(body.to_string().into()),
        None => request.body(axum::body::Body::empty()),
    };
    let answer = desk.send(As::Nobody, request.expect("a request")).await;
    answer.status.as_u16()
}

#[tokio::test]
async fn o07_a_browser_rings_for_whoever_registered_it_last() {
    let desk = desk().await;
    let (eva_id, eva) = desk.person("eva@shop.example", Role::Agent, None).await;
    let (_, ida) = desk.person("ida@shop.example", Role::Agent, None).await;
    let (_, boss) = desk.person("boss@shop.example", Role::Admin, None).await;
    let (status, made) = add(&desk, &eva, &subscription("one")).await;
    assert_eq!(status, 201, "{made}");
    assert_eq!(
        (&made["user_id"], &made["kind"], &made["state"]),
        (
            &json!(eva_id.to_string()),
            &json!("web-push"),
            &json!("unconfirmed")
        )
    );
    let mut renamed = subscription("one");
    renamed["name"] = json!("Firefox at home");
    let (status, same) = add(&desk, &eva, &renamed).await;
    assert_eq!((status, &same["id"]), (200, &made["id"]));
    assert_eq!(same["name"], "Firefox at home");
    assert_eq!(devices(&desk, &eva, "").await, (200, 1));
    assert_eq!(devices(&desk, &ida, "").await, (200, 0));
    // Ida signs in on the same machine.
    let (status, taken_over) = add(&desk, &ida, &subscription("one")).await;
    assert_eq!(status, 201);
    assert_ne!(taken_over["id"], made["id"]);
    assert_eq!(devices(&desk, &eva, "").await, (200, 0));
    // Others see none of it, administrators all.
    add(&desk, &eva, &subscription("two")).await;
    assert_eq!(devices(&desk, &boss, "?user=all").await, (200, 2));
    let of_eva = format!("?user={eva_id}");
    assert_eq!(devices(&desk, &boss, &of_eva).await, (200, 1));
    assert_eq!(devices(&desk, &ida, &of_eva).await.0, 403);
    assert_eq!(devices(&desk, &ida, "?user=all").await.0, 403);
    let path = format!(
        "/api/v1/devices/{}",
        taken_over["id"].as_str().expect("an id")
    );
    for (method, path) in [
        (Method::DELETE, path.clone()),
        (Method::POST, format!("{path}/test")),
    ] {
        eva.ask(&desk, method, &path).await.problem(404);
    }
    let tested = ida.ask(&desk, Method::POST, &format!("{path}/test")).await;
    assert_eq!(tested.status, StatusCode::ACCEPTED);
    let removed = boss.ask(&desk, Method::DELETE, &path).await;
    assert_eq!(removed.status, StatusCode::NO_CONTENT);
    assert_eq!(devices(&desk, &ida, "").await, (200, 0));
    // Programs have none.
    let by_token = desk
        .json(
            As::Writer,
            Method::POST,
            "/api/v1/devices",
            &subscription("x"),
        )
        .await;
    by_token.problem(403);
    // There is an end.
    for number in 1..20 {
        let (status, _) = add(&desk, &eva, &subscription(&format!("many{number}"))).await;
        assert_eq!(status, 201);
    }
    let (status, problem) = add(&desk, &eva, &subscription("one-too-many")).await;
    assert_eq!(status, 409, "{problem}");
}

#[tokio::test]
async fn o07_what_is_no_subscription_is_refused_with_its_place() {
    let desk = desk().await;
    let (_, eva) = desk.person("eva@shop.example", Role::Viewer, None).await;
    let cases = [
        ("/subscription/endpoint", json!("http://push.example/x")),
        ("/subscription/endpoint", json!("https://127.0.0.1/x")),
        ("/subscription/endpoint", json!("https://10.1.2.3/x")),
        (
            "/subscription/endpoint",
            json!(format!("https://push.example/{}", "x".repeat(2_048))),
        ),
        ("/subscription/keys/p256dh", json!("AAAA")),
        ("/subscription/keys/auth", json!("AAAA")),
        ("/name", json!("")),
        ("/name", json!("x".repeat(301))),
    ];
    for (pointer, value) in cases {
        let mut body = subscription("one");
        *body.pointer_mut(pointer).expect("there") = value;
        let (status, problem) = add(&desk, &eva, &body).await;
        assert_eq!(status, 422, "{pointer}: {problem}");
        assert_eq!(problem["errors"][0]["pointer"], pointer);
    }
    for (key, value) in [("kind", json!("desktop")), ("more", json!(1))] {
        let mut body = subscription("one");
        body[key] = value;
        assert_eq!(add(&desk, &eva, &body).await.0, 422, "{key}");
    }
    assert_eq!(devices(&desk, &eva, "").await, (200, 0));
    let key = eva.ask(&desk, Method::GET, "/api/v1/push-key").await.json();
    let key = key["key"].as_str().expect("a key").to_owned();
    assert_eq!(key.len(), 87, "65 bytes as base64url: {key}");
}

#[tokio::test]
async fn a_test_is_answered_by_its_own_device_and_once_another_began_no_more() {
    let desk = desk().await;
    let (eva_id, eva) = desk.person("eva@shop.example", Role::Agent, None).await;
    let (_, ida) = desk.person("ida@shop.example", Role::Agent, None).await;
    let (_, made) = add(&desk, &eva, &subscription("one")).await;
    let path = format!("/api/v1/devices/{}", made["id"].as_str().expect("an id"));
    let test_of = || {
        use crate::store::entry::{DevicesEntry, Entry as _};
        let devices = DevicesEntry::get(&*desk.app.store, &eva_id.key()).expect("readable");
        let device = devices.expect("there").devices.remove(0);
        device.test.expect("a test").id.to_string()
    };
    let first = test_of();
    eva.ask(&desk, Method::POST, &format!("{path}/test")).await;
    let second = test_of();
    let confirm = async |browser: &Browser, body: Value| {
        let path = format!("{path}/confirm");
        browser.json(&desk, Method::POST, &path, &body).await
    };
    confirm(&eva, json!({ "test": first })).await.problem(409);
    confirm(&eva, json!({ "test": "nonsense" }))
        .await
        .problem(422);
    confirm(&ida, json!({ "test": second })).await.problem(404);
    let failed = confirm(
        &eva,
        json!({ "test": second, "failed": true, "detail": "no sound" }),
    )
    .await
    .json();
    assert_eq!(
        (&failed["state"], &failed["detail"]),
        (&json!("failing"), &json!("no sound"))
    );
    let works = confirm(&eva, json!({ "test": second })).await.json();
    assert_eq!(
        (&works["state"], &works["detail"]),
        (&json!("working"), &Value::Null)
    );
    assert!(works["confirmed_at"].is_string());
    // A day without a word, and nobody knows.
    let noon = desk.app.clock.now();
    desk.app.clock.turn_to(noon.plus_millis(26 * 3_600_000));
    let seen = eva.ask(&desk, Method::GET, "/api/v1/devices").await.json();
    assert_eq!(seen["data"][0]["state"], "unconfirmed");
}

#[tokio::test]
async fn s01_a_code_works_once_for_ten_minutes_and_is_not_guessed() {
    let desk = desk().await;
    let (eva_id, eva) = desk.person("eva@shop.example", Role::Agent, None).await;
    let code = async || {
        // Each is later than the one before.
        desk.app.clock.turn_to(desk.app.clock.now().plus_millis(1));
        let made = eva.ask(&desk, Method::POST, "/api/v1/devices/codes").await;
        let code = made.json()["code"].as_str().expect("a code").to_owned();
        assert_eq!(code.len(), 9, "{code}");
        code
    };
    let first = code().await;
    let typed = first.to_lowercase().replace('-', " ");
    let (status, claimed) = claim(&desk, 1, &typed).await;
    assert_eq!(status, 201, "{claimed}");
    assert_eq!(claimed["user"]["id"], eva_id.to_string());
    assert_eq!(claimed["device"]["kind"], "desktop");
    assert_eq!(claim(&desk, 1, &first).await.0, 409, "once");
    // It ends, also where the clock is turned back afterwards.
    let late = code().await;
    let noon = desk.app.clock.now();
    desk.app.clock.turn_to(noon.plus_millis(600_001));
    assert_eq!(claim(&desk, 1, &late).await.0, 409);
    desk.app.clock.turn_to(noon);
    // Not more than five are open.
    let codes = [
        code().await,
        code().await,
        code().await,
        code().await,
        code().await,
        code().await,
    ];
    assert_eq!(claim(&desk, 4, &codes[0]).await.0, 409);
    assert_eq!(claim(&desk, 4, &codes[1]).await.0, 201);
    // Who guesses is slowed, and nobody else with them.
    let mut answers = Vec::new();
    for number in 0..40 {
        answers.push(claim(&desk, 2, &format!("AAAA-{number:04}")).await.0);
    }
    assert_eq!(answers.iter().filter(|status| **status == 409).count(), 30);
    assert_eq!(answers.last(), Some(&429));
    assert_eq!(claim(&desk, 3, &codes[2]).await.0, 201);
    // No page of another origin, no session of nobody, no program.
    desk.json(
        As::Writer,
        Method::POST,
        "/api/v1/devices/codes",
        &json!({}),
    )
    .await
    .problem(403);
}

#[tokio::test]
async fn t01_t06_a_companion_is_its_person_and_no_administrator_and_ends_with_either() {
    let desk = desk().await;
    let (boss_id, boss) = desk.person("boss@shop.example", Role::Admin, None).await;
    let (_, other) = desk.person("other@shop.example", Role::Admin, None).await;
    let (eva_id, eva) = desk
        .person("eva@shop.example", Role::Agent, Some(&["page"]))
        .await;
    let (conversation, _) = desk.arrive(crate::api::testing::SHOP, "p", "words").await;
    let (of_boss, boss_device) = paired(&desk, &boss).await;
    let (of_eva, eva_device) = paired(&desk, &eva).await;
    let get = async |token: &str, path: &str| call(&desk, token, Method::GET, path, None).await;
    let there = format!("/api/v1/conversations/{conversation}");
    assert_eq!(get(&of_boss, &there).await, 200);
    assert_eq!(get(&of_eva, &there).await, 404, "her channels are hers");
    assert_eq!(get(&of_eva, "/api/v1/me").await, 200);
    // Nothing of an administrator's, and nothing by which people get in.
    let password = json!({ "current": "x", "new": "y" });
    for (method, path, body) in [
        (Method::GET, "/api/v1/tokens", None),
        (Method::GET, "/api/v1/audit", None),
        (Method::POST, "/api/v1/users", Some(json!({}))),
        (Method::POST, "/api/v1/tokens", Some(json!({}))),
        (Method::PATCH, "/api/v1/me", Some(json!({ "name": "x" }))),
        (Method::POST, "/api/v1/me/password", Some(password)),
        (Method::POST, "/api/v1/me/two-factor", None),
        (Method::DELETE, "/api/v1/me/two-factor", Some(json!({}))),
        (Method::DELETE, "/api/v1/sessions", None),
        (Method::POST, "/api/v1/devices/codes", None),
    ] {
        let status = call(&desk, &of_boss, method.clone(), path, body.as_ref()).await;
        assert_eq!(status, 403, "{method} {path}");
    }
    let others = format!("/api/v1/devices/{eva_device}");
    assert_eq!(
        call(&desk, &of_boss, Method::DELETE, &others, None).await,
        403
    );
    assert_eq!(get(&of_boss, "/api/v1/devices?user=all").await, 403);
    // Its token is no API token that somebody could see or revoke.
    let tokens = desk.found(As::Admin, "/api/v1/tokens").await;
    assert!(!tokens.to_string().contains("Till"), "{tokens}");
    // It may answer, in its person's name.
    let body = json!({ "text": "An answer", "private": true });
    let path = format!("{there}/messages");
    let answered = call(&desk, &of_boss, Method::POST, &path, Some(&body)).await;
    assert_eq!(answered, 201);
    // A role that is taken away is taken from it at once.
    let viewer = json!({ "role": "viewer" });
    let person = format!("/api/v1/users/{eva_id}");
    let changed = boss.json(&desk, Method::PATCH, &person, &viewer).await;
    assert_eq!(changed.status, StatusCode::OK, "{}", changed.text());
    let wrote = call(&desk, &of_eva, Method::POST, &path, Some(&body)).await;
    assert_eq!(wrote, 403);
    // Disabled: nothing opens; and enabled again it goes on.
    let disable = async |disabled: bool| {
        let path = format!("/api/v1/users/{boss_id}");
        let body = json!({ "disabled": disabled });
        let answer = other.json(&desk, Method::PATCH, &path, &body).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    };
    disable(true).await;
    assert_eq!(get(&of_boss, "/api/v1/me").await, 401);
    disable(false).await;
    assert_eq!(get(&of_boss, "/api/v1/me").await, 200);
    // It removes itself.
    let own = format!("/api/v1/devices/{boss_device}");
    assert_eq!(call(&desk, &of_boss, Method::DELETE, &own, None).await, 204);
    assert_eq!(get(&of_boss, "/api/v1/me").await, 401);
    assert_eq!(get(&of_eva, "/api/v1/me").await, 200);
}
