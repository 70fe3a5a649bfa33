//! What is known of the use of an API token.

use axum::http::Method;
use serde_json::{Value, json};

use crate::api::testing::{As, desk};

#[tokio::test]
async fn t06_a_token_tells_when_it_was_last_used_and_stays_out_of_addresses() {
    let desk = desk().await;
    let made = json!({ "name": "shop's till", "scopes": ["read"] });
    let made = desk
        .json(As::Admin, Method::POST, "/api/v1/tokens", &made)
        .await
        .json();
    assert_eq!(made["last_used_at"], Value::Null);
    let token = made["token"].as_str().expect("a token");
    let used_at = async || {
        let tokens = desk.found(As::Admin, "/api/v1/tokens").await;
        let found = tokens["data"]
            .as_array()
            .expect("a list")
            .iter()
            .find(|one| one["id"] == made["id"])
            .cloned();
        found.expect("listed")["last_used_at"].clone()
    };
    let call = async |path: &str, bearer: bool| {
        let request = axum::http::Request::builder().uri(path);
        let request = if bearer {
            request.header("authorization", format!("Bearer {token}"))
        } else {
            request
        };
        desk.send(
            As::Nobody,
            request.body(axum::body::Body::empty()).expect("a request"),
        )
        .await
        .status
        .as_u16()
    };
    // In an address it opens nothing.
    for name in ["token", "access_token", "api_key", "authorization"] {
        assert_eq!(
            call(&format!("/api/v1/me?{name}={token}"), false).await,
            401
        );
    }
    assert_eq!(used_at().await, Value::Null);
    let noon = desk.app.clock.now();
    for (minutes, expected) in [
        (0, "2026-11-21T12:00:00.000Z"),
        (59, "2026-11-21T12:00:00.000Z"),
        (61, "2026-11-21T13:01:00.000Z"),
    ] {
        desk.app.clock.turn_to(noon.plus_millis(minutes * 60_000));
        assert_eq!(call("/api/v1/me", true).await, 200);
        let begun = std::time::Instant::now();
        while used_at().await != expected && begun.elapsed() < std::time::Duration::from_secs(30) {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        assert_eq!(used_at().await, expected, "once an hour");
    }
}
