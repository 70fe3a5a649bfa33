//! A Gotify server: a message as JSON, to the application whose token comes in a header.

use axum::http::HeaderMap;
use axum::response::IntoResponse as _;
use serde_json::{Value, json};

use super::stand_in::{Kind, Wrong, json_of, only, text};

const TOKEN: &str = "AInvented.0123x";

pub(super) const GOTIFY: Kind = Kind {
    name: "gotify",
    address: "/below/",
    called: "/below/message",
    token: Some(TOKEN),
    read: json_of,
    check: takes,
    ok: |body| {
        let answer = json!({ "id": 25, "appid": 5, "message": body["message"], "title": body["title"],
            "priority": body["priority"], "date": "2026-11-28T09:32:11Z", "extras": body["extras"] });
        axum::Json(answer).into_response()
    },
    words: "/message",
};

fn takes(headers: &HeaderMap, body: &Value) -> Result<(), Wrong> {
    let key = headers.get("x-gotify-key");
    if key.is_none_or(|key| key.as_bytes() != TOKEN.as_bytes()) {
        let said = json!({ "error": "Unauthorized", "errorCode": 401,
            "errorDescription": "you need to provide a valid access token or user credentials to access this api" });
        return Err((401, said.to_string()));
    }
    let checked = || -> Result<(), String> {
        only(body, &["message", "title", "priority", "extras"])?;
        text(body, "message", 20_000)?;
        text(body, "title", 2_000)?;
        let priority = body["priority"].as_u64();
        if priority.is_none_or(|number| number > 10) {
            return Err(format!("the priority is {}", body["priority"]));
        }
        only(
            &body["extras"],
            &["client::notification", "client::display"],
        )?;
        // Without it Gotify shows what it gets as plain text.
        if !body["extras"]["client::display"].is_null() {
            return Err("a customer's words would be read as mark-up".to_owned());
        }
        let click = text(
            &body["extras"]["client::notification"]["click"],
            "url",
            2_000,
        )?;
        url::Url::parse(click).map_err(|error| format!("click: {error}"))?;
        Ok(())
    };
    checked().map_err(|why| (400, why))
}

#[test]
fn it_refuses_what_is_not_right() {
    let mut headers = HeaderMap::new();
    let message = json!({ "message": "x", "title": "x", "priority": 5,
        "extras": { "client::notification": { "click": { "url": "https://desk.example" } } } });
    assert!(takes(&headers, &message).is_err_and(|(status, _)| status == 401));
    headers.insert("x-gotify-key", TOKEN.parse().expect("a value"));
    assert_eq!(takes(&headers, &message), Ok(()));
    for (key, value) in [
        ("message", json!("")),
        ("priority", json!(11)),
        ("priority", json!("8")),
        ("extras", json!({ "click": "https://desk.example" })),
        (
            "extras",
            json!({ "client::display": { "contentType": "text/markdown" } }),
        ),
        ("topic", json!("x")),
    ] {
        let mut off = message.clone();
        off[key] = value;
        assert!(takes(&headers, &off).is_err(), "{off}");
    }
}
