//! Pushover's API: a form, with the token of an application and the key of a user.

use axum::http::HeaderMap;
use axum::response::IntoResponse as _;
use serde_json::{Map, Value, json};

use super::stand_in::{Kind, Wrong, only, text};

const TOKEN: &str = "aInvented0123456789abcdefghij0";
const USER: &str = "uInvented0123456789abcdefghij0";

pub(super) const PUSHOVER: Kind = Kind {
    name: "pushover",
    address: "/1/messages.json?user=uInvented0123456789abcdefghij0",
    called: "/1/messages.json",
    token: Some(TOKEN),
    read: form_of,
    check: takes,
    ok: |_| {
        let answer = json!({ "status": 1, "request": "5f0e5a44-5b0f-4d1c-9a3c-0123456789ab" });
        axum::Json(answer).into_response()
    },
    words: "/message",
};

/// A form, as an object of texts.
fn form_of(body: &[u8]) -> Result<Value, String> {
    let mut fields = Map::new();
    for (name, value) in url::form_urlencoded::parse(body) {
        if fields.insert(name.to_string(), json!(value)).is_some() {
            return Err(format!("{name} comes twice"));
        }
    }
    Ok(Value::Object(fields))
}

fn no(name: &str, why: &str) -> Wrong {
    let said = json!({ name: "invalid", "errors": [why], "status": 0,
        "request": "5f0e5a44-5b0f-4d1c-9a3c-0123456789ab" });
    (400, said.to_string())
}

fn takes(headers: &HeaderMap, body: &Value) -> Result<(), Wrong> {
    let kind = headers.get("content-type");
    if kind.is_none_or(|kind| kind != "application/x-www-form-urlencoded") {
        return Err((400, "it is no form by its header".to_owned()));
    }
    if body["token"] != TOKEN {
        return Err(no("token", "application token is invalid"));
    }
    if body["user"] != USER {
        return Err(no(
            "user",
            "user identifier is not a valid user, group, or subscribed user key",
        ));
    }
    let checked = || -> Result<(), String> {
        let known = [
            "token",
            "user",
            "message",
            "title",
            "url",
            "url_title",
            "priority",
            "sound",
            "device",
            "timestamp",
            "ttl",
            "retry",
            "expire",
        ];
        only(body, &known)?;
        for (name, most_chars) in [
            ("message", 1024),
            ("title", 250),
            ("url", 512),
            ("url_title", 100),
        ] {
            let chars = text(body, name, 20_000)?.chars().count();
            if chars > most_chars {
                return Err(format!("{name} has {chars} characters"));
            }
        }
        let number = |name: &str| {
            body[name]
                .as_str()
                .and_then(|text| text.parse::<i64>().ok())
        };
        match number("priority").ok_or("the priority is no number")? {
            -2..=1 => {}
            2 if number("retry").is_some_and(|seconds| seconds >= 30)
                && number("expire").is_some_and(|seconds| seconds <= 10_800) => {}
            other => return Err(format!("the priority is {other}")),
        }
        number("timestamp").ok_or("the timestamp is no number")?;
        Ok(())
    };
    checked().map_err(|why| no("message", &why))
}

#[test]
fn it_refuses_what_is_not_right() {
    let mut headers = HeaderMap::new();
    let message = json!({ "token": TOKEN, "user": USER, "message": "x", "title": "x", "url": "https://desk.example",
        "url_title": "Open", "priority": "1", "timestamp": "1795858331" });
    assert!(takes(&headers, &message).is_err(), "no header");
    let form = "application/x-www-form-urlencoded";
    headers.insert("content-type", form.parse().expect("a value"));
    assert_eq!(takes(&headers, &message), Ok(()));
    for (key, value) in [
        ("token", json!("x")),
        ("user", json!("x")),
        ("message", json!("")),
        ("message", json!("ž".repeat(1_025))),
        ("title", json!("ž".repeat(251))),
        ("url", json!("x".repeat(513))),
        ("priority", json!("2")),
        ("priority", json!("3")),
        ("timestamp", json!("now")),
        ("html", json!("1")),
    ] {
        let mut off = message.clone();
        off[key] = value;
        assert!(takes(&headers, &off).is_err(), "{off}");
    }
    assert!(form_of(b"a=1&a=2").is_err());
}
