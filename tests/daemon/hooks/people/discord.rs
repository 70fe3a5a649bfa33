//! A webhook of a Discord channel: a content in which nothing may mean more than it says.

use axum::http::HeaderMap;
use axum::response::IntoResponse as _;
use serde_json::{Value, json};

use super::stand_in::{Kind, Wrong, json_of, only, text};

pub(super) const DISCORD: Kind = Kind {
    name: "discord",
    address: "/api/webhooks/112233445566778899/invented-Invented_0123456789",
    called: "/api/webhooks/112233445566778899/invented-Invented_0123456789?wait=true",
    token: None,
    read: json_of,
    check: takes,
    ok: |body| {
        let answer = json!({ "id": "998877665544332211", "type": 0, "content": body["content"] });
        axum::Json(answer).into_response()
    },
    words: "/content",
};

fn takes(headers: &HeaderMap, body: &Value) -> Result<(), Wrong> {
    let kind = headers.get("content-type");
    if kind.is_none_or(|kind| kind != "application/json") {
        return Err((400, "it is not JSON by its header".to_owned()));
    }
    let checked = || -> Result<(), String> {
        only(body, &["content", "allowed_mentions", "flags"])?;
        let content = text(body, "content", 8_000)?;
        let chars = content.encode_utf16().count();
        if chars > 2_000 {
            return Err(format!("the content has {chars} characters"));
        }
        if body["allowed_mentions"] != json!({ "parse": [] }) {
            return Err("somebody might be called".to_owned());
        }
        // The title is bold, the link stands in angle brackets: all other mark-up would be a customer's.
        let inner = content.strip_prefix("**").ok_or("no title")?;
        let (inner, link) = inner.rsplit_once("\n<").ok_or("no link")?;
        let link = link.strip_suffix('>').ok_or("no link")?;
        url::Url::parse(link).map_err(|error| format!("link: {error}"))?;
        let (title, words) = inner.split_once("**\n").ok_or("no words")?;
        for part in [title, words] {
            let mut letters = part.chars();
            while let Some(letter) = letters.next() {
                match letter {
                    '\\' => drop(letters.next()),
                    '*' | '_' | '~' | '`' | '|' | '<' | '>' | '#' | '[' | ']' => {
                        return Err(format!("{letter} in {part}"));
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    };
    checked().map_err(|why| (400, json!({ "code": 50035, "message": why }).to_string()))
}

#[test]
fn it_refuses_what_is_not_right() {
    let mut headers = HeaderMap::new();
    let content =
        |title: &str, words: &str| format!("**{title}**\n{words}\n<https://desk.example>");
    let message =
        json!({ "content": content("x", "a \\*b\\*"), "allowed_mentions": { "parse": [] } });
    assert!(takes(&headers, &message).is_err(), "no header");
    headers.insert("content-type", "application/json".parse().expect("a value"));
    assert_eq!(takes(&headers, &message), Ok(()));
    for (key, value) in [
        ("content", json!("")),
        ("content", json!(content("x", &"ž".repeat(2_000)))),
        ("content", json!(content("x", "<@1>"))),
        (
            "content",
            json!(content("x", "[bank](https://evil.example)")),
        ),
        ("content", json!(content("*x", "x"))),
        ("allowed_mentions", json!({ "parse": ["everyone"] })),
        ("allowed_mentions", Value::Null),
        ("username", json!("discord")),
    ] {
        let mut off = message.clone();
        off[key] = value;
        assert!(takes(&headers, &off).is_err(), "{off}");
    }
}
