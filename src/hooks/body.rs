//! What a hook receives: the event's words, at most 20 kB.

use deskbell_sdk::Time;
use serde::Serialize;
use serde_json::{Value, json};

/// The largest body, in bytes.
pub const MAX_BODY_BYTES: usize = 20_000;
/// Texts that are cut keep so many characters.
const KEPT_CHARS: usize = 500;
/// Long lists keep so many items where the body would be too long.
const KEPT_ITEMS: usize = 20;
/// How often something is cut before only the ids are told.
const MOST_CUTS: usize = 200;

/// The body that tells an event. Where it would be too long the longest texts and lists are cut, and `cut` names them by
/// JSON pointers.
#[must_use]
pub fn of(kind: &str, at: Time, data: &impl Serialize) -> String {
    let data = serde_json::to_value(data).unwrap_or_default();
    let mut body = json!({ "type": kind, "timestamp": at, "data": data });
    let mut text = body.to_string();
    if text.len() <= MAX_BODY_BYTES {
        return text;
    }
    let mut cut: Vec<String> = Vec::new();
    shorten_lists(&mut body["data"], "/data", &mut cut);
    for _ in 0..MOST_CUTS {
        let excess = text.len().saturating_sub(MAX_BODY_BYTES);
        let Some(pointer) = cut_longest(&mut body["data"], excess) else {
            break;
        };
        let pointer = format!("/data{pointer}");
        if !cut.contains(&pointer) {
            cut.push(pointer);
        }
        body["cut"] = json!(cut);
        text = body.to_string();
        if text.len() <= MAX_BODY_BYTES {
            return text;
        }
    }
    body["data"] = json!({});
    body["cut"] = json!(["/data"]);
    body.to_string()
}

/// Cuts every list that is long, so that no list of long texts has to be cut text by text.
fn shorten_lists(value: &mut Value, pointer: &str, cut: &mut Vec<String>) {
    match value {
        Value::Array(items) => {
            if items.len() > KEPT_ITEMS {
                items.truncate(KEPT_ITEMS);
                cut.push(pointer.to_owned());
            }
            for (place, item) in items.iter_mut().enumerate() {
                shorten_lists(item, &format!("{pointer}/{place}"), cut);
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                let name = name.replace('~', "~0").replace('/', "~1");
                shorten_lists(field, &format!("{pointer}/{name}"), cut);
            }
        }
        _ => {}
    }
}

/// Cuts the longest text, else the longest list; gives its pointer. `None`: there is nothing left to cut.
fn cut_longest(data: &mut Value, excess: usize) -> Option<String> {
    let texts = longest(data, |value, _| match value {
        Value::String(text) if text.chars().count() > KEPT_CHARS + 1 => Some(text.len()),
        _ => None,
    });
    let pointer = texts.or_else(|| {
        longest(data, |value, pointer| match value {
            Value::Array(items) => Some(items.len()),
            Value::Object(fields) if pointer.ends_with("/metadata") => Some(fields.len()),
            _ => None,
        })
    })?;
    match data.pointer_mut(&pointer)? {
        Value::String(text) => {
            let chars = text.chars().count();
            let keep = chars.saturating_sub(excess + 1).max(KEPT_CHARS);
            *text = text.chars().take(keep).chain(['…']).collect();
        }
        Value::Array(items) => items.truncate(items.len() / 2),
        Value::Object(fields) => fields.clear(),
        _ => {}
    }
    Some(pointer)
}

/// The pointer of what is longest by this measure, and not empty.
fn longest(data: &Value, measure: impl Fn(&Value, &str) -> Option<usize>) -> Option<String> {
    let mut longest: Option<(usize, String)> = None;
    visit(data, &mut String::new(), &mut |value, pointer| {
        let length = measure(value, pointer).unwrap_or(0);
        if length > longest.as_ref().map_or(0, |(most, _)| *most) {
            longest = Some((length, pointer.to_owned()));
        }
    });
    longest.map(|(_, pointer)| pointer)
}

/// Looks at each value with its pointer.
fn visit(value: &Value, pointer: &mut String, look: &mut impl FnMut(&Value, &str)) {
    look(value, pointer);
    let length = pointer.len();
    match value {
        Value::Array(items) => {
            for (place, item) in items.iter().enumerate() {
                pointer.push_str(&format!("/{place}"));
                visit(item, pointer, look);
                pointer.truncate(length);
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                pointer.push('/');
                pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
                visit(field, pointer, look);
                pointer.truncate(length);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(data: &Value) -> Value {
        let text = of("message.created", Time::from_millis(0), data);
        assert!(text.len() <= MAX_BODY_BYTES, "{}", text.len());
        serde_json::from_str(&text).expect("JSON")
    }

    #[test]
    fn what_fits_is_told_whole() {
        let data = json!({ "message": { "text": "x".repeat(19_000) } });
        let told = body(&data);
        assert_eq!((&told["data"], &told["cut"]), (&data, &Value::Null));
        assert_eq!(told["timestamp"], "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn the_longest_is_cut_and_named_and_the_rest_stays() {
        let data = json!({ "message": { "id": "msg_1", "text": "ž\u{1}".repeat(30_000), "html": "<p>hi</p>",
            "revisions": [{ "text": "y".repeat(700) }] } });
        let told = body(&data);
        assert_eq!(told["cut"], json!(["/data/message/text"]));
        assert_eq!(told["data"]["message"]["id"], "msg_1");
        assert!(
            told["data"]["message"]["text"]
                .as_str()
                .is_some_and(|text| text.ends_with('…'))
        );
        assert_eq!(
            told["data"]["message"]["revisions"],
            data["message"]["revisions"]
        );
    }

    #[test]
    fn many_texts_lists_and_names_come_to_an_end() {
        let many: Vec<_> = (0..500)
            .map(|n| json!({ "text": format!("{n}").repeat(300) }))
            .collect();
        let told = body(&json!({ "message": { "id": "msg_1", "revisions": many } }));
        assert_eq!(told["data"]["message"]["id"], "msg_1");
        let names: serde_json::Map<_, _> =
            (0..5_000).map(|n| (format!("k{n}"), json!("v"))).collect();
        let told = body(&json!({ "message": { "metadata": names } }));
        assert_eq!(told["cut"], json!(["/data/message/metadata"]));
        let names: serde_json::Map<_, _> =
            (0..5_000).map(|n| (format!("k{n}"), json!("v"))).collect();
        assert_eq!(body(&json!({ "other": names }))["cut"], json!(["/data"]));
    }
}
