//! An ntfy server: a message as JSON at its root, to a topic that a token opens.

use axum::http::HeaderMap;
use axum::response::IntoResponse as _;
use serde_json::{Value, json};

use super::stand_in::{Kind, Wrong, json_of, only, text};

const TOKEN: &str = "tk_invented0123456789abcdefghij";

pub(super) const NTFY: Kind = Kind {
    name: "ntfy",
    address: "/shop-topic",
    called: "/",
    token: Some(TOKEN),
    read: json_of,
    check: takes,
    ok: |body| {
        let answer = json!({ "id": "inventedid01", "time": 1_795_858_331, "expires": 1_795_901_531,
            "event": "message", "topic": body["topic"], "message": body["message"] });
        axum::Json(answer).into_response()
    },
    words: "/message",
};

fn takes(headers: &HeaderMap, body: &Value) -> Result<(), Wrong> {
    let bearer = format!("Bearer {TOKEN}");
    if headers
        .get("authorization")
        .is_none_or(|value| value.as_bytes() != bearer.as_bytes())
    {
        return Err((
            403,
            "{\"code\":40301,\"http\":403,\"error\":\"forbidden\"}".to_owned(),
        ));
    }
    let checked = || -> Result<(), String> {
        let known = [
            "topic", "message", "title", "tags", "priority", "click", "actions", "attach", "icon",
            "delay", "markdown", "filename",
        ];
        only(body, &known)?;
        let topic = text(body, "topic", 64)?;
        let fits = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
        if !topic.chars().all(fits) {
            return Err(format!("the topic is {topic}"));
        }
        // More would become an attachment.
        text(body, "message", 4_096)?;
        if text(body, "title", 1_024)?.contains('\n') {
            return Err("the title has lines".to_owned());
        }
        if !body["priority"]
            .as_u64()
            .is_some_and(|number| (1..=5).contains(&number))
        {
            return Err(format!("the priority is {}", body["priority"]));
        }
        let tags = body["tags"].as_array().ok_or("tags are no list")?;
        if !tags.iter().all(Value::is_string) {
            return Err("a tag is no text".to_owned());
        }
        let click = text(body, "click", 2_048)?;
        url::Url::parse(click).map_err(|error| format!("click: {error}"))?;
        if body.to_string().len() > 8_192 {
            return Err("the message is long".to_owned());
        }
        Ok(())
    };
    checked().map_err(|why| (400, why))
}

#[test]
fn it_refuses_what_is_not_right() {
    let mut headers = HeaderMap::new();
    let message = json!({ "topic": "shop", "message": "x", "title": "x", "priority": 4, "tags": ["bell"],
        "click": "https://desk.example" });
    assert!(takes(&headers, &message).is_err_and(|(status, _)| status == 403));
    let bearer = format!("Bearer {TOKEN}").parse().expect("a value");
    headers.insert("authorization", bearer);
    assert_eq!(takes(&headers, &message), Ok(()));
    for (key, value) in [
        ("topic", json!("a b")),
        ("message", json!("ž".repeat(2_049))),
        ("message", json!("")),
        ("priority", json!(6)),
        ("priority", json!("high")),
        ("tags", json!("bell")),
        ("click", json!("desk")),
        ("text", json!("x")),
    ] {
        let mut off = message.clone();
        off[key] = value;
        assert!(takes(&headers, &off).is_err(), "{off}");
    }
}
