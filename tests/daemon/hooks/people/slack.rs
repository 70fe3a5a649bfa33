//! An incoming webhook of Slack: a text, and blocks.

use axum::http::HeaderMap;
use axum::response::IntoResponse as _;
use serde_json::{Value, json};

use super::stand_in::{Kind, Wrong, json_of, only, text};

const PATH: &str = "/services/T0INVENTED/B0INVENTED/inventedinventedinvented";

pub(super) const SLACK: Kind = Kind {
    name: "slack",
    address: PATH,
    called: PATH,
    token: None,
    read: json_of,
    check: takes,
    ok: |_| "ok".into_response(),
    words: "/blocks/0/text/text",
};

/// Whether a text of Slack's mark-up has only the three escapes, and no mention: `<` begins links to the web alone.
fn is_plain_markup(text: &str) -> bool {
    let mut rest = text;
    while let Some(at) = rest.find(['&', '<', '>']) {
        let from = &rest[at..];
        let length = if from.starts_with("<http://") || from.starts_with("<https://") {
            match from.find('>') {
                Some(end) => end + 1,
                None => return false,
            }
        } else {
            match ["&amp;", "&lt;", "&gt;"]
                .iter()
                .find(|word| from.starts_with(**word))
            {
                Some(word) => word.len(),
                None => return false,
            }
        };
        rest = &from[length..];
    }
    true
}

fn takes(headers: &HeaderMap, body: &Value) -> Result<(), Wrong> {
    let checked = || -> Result<(), String> {
        if headers
            .get("content-type")
            .is_none_or(|value| value != "application/json")
        {
            return Err("invalid_payload: it is not JSON by its header".to_owned());
        }
        if headers.contains_key("authorization") {
            return Err("invalid_token: the address is the secret".to_owned());
        }
        only(body, &["text", "blocks", "thread_ts"])?;
        if !is_plain_markup(text(body, "text", 4_000)?) {
            return Err(format!("invalid_payload: mark-up in {}", body["text"]));
        }
        let blocks = body["blocks"].as_array().ok_or("no_text: no blocks")?;
        if blocks.is_empty() || blocks.len() > 50 {
            return Err(format!("invalid_blocks: {}", blocks.len()));
        }
        for block in blocks {
            let parts: Vec<&Value> = match block["type"].as_str() {
                Some("section") => vec![&block["text"]],
                Some("context") => {
                    let elements = block["elements"].as_array().ok_or("invalid_blocks")?;
                    if elements.is_empty() || elements.len() > 10 {
                        return Err("invalid_blocks: elements".to_owned());
                    }
                    elements.iter().collect()
                }
                _ => return Err(format!("invalid_blocks: {block}")),
            };
            for part in parts {
                let words = part["text"].as_str().ok_or("invalid_blocks: no text")?;
                if words.is_empty() || words.chars().count() > 3_000 {
                    return Err("invalid_blocks: its length".to_owned());
                }
                match part["type"].as_str() {
                    Some("plain_text") => only(part, &["type", "text", "emoji"])?,
                    Some("mrkdwn") if is_plain_markup(words) => {
                        only(part, &["type", "text", "verbatim"])?;
                    }
                    _ => return Err(format!("invalid_blocks: {part}")),
                }
            }
        }
        Ok(())
    };
    checked().map_err(|why| (400, why))
}

#[test]
fn it_refuses_what_is_not_right() {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", "application/json".parse().expect("a value"));
    let section = json!({ "type": "section", "text": { "type": "plain_text", "text": "<!channel>", "emoji": false } });
    let message = json!({ "text": "a &amp; b &lt;!channel&gt;", "blocks": [section] });
    assert_eq!(takes(&headers, &message), Ok(()));
    for (key, value) in [
        ("text", json!("a & b")),
        ("text", json!("<!channel>")),
        ("text", json!("<@U123>")),
        ("text", json!("")),
        ("blocks", json!([])),
        (
            "blocks",
            json!([{ "type": "section", "text": { "type": "mrkdwn", "text": "<!here>" } }]),
        ),
        (
            "blocks",
            json!([{ "type": "section", "text": { "type": "plain_text", "text": "" } }]),
        ),
        ("channel", json!("#general")),
    ] {
        let mut off = message.clone();
        off[key] = value;
        assert!(takes(&headers, &off).is_err(), "{off}");
    }
}
