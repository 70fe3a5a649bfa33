//! The Conversations API: what the Page and a person wrote to each other.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Path, RawQuery, State as Given};
use axum::http::HeaderMap;
use axum::response::Response;
use deskbell_sdk::Time;
use serde_json::{Map, Value, json};

use super::server::{No, Parameters, answer, fail, let_in, parameters};
use super::state::{Message, Person, State};
use super::{Fault, Shared};

/// Meta's limit for one Page.
const READS_PER_SECOND: usize = 2;
const PAGE_SIZE: usize = 25;
const MAX_PAGE_SIZE: usize = 100;
const CONVERSATION_FIELDS: [&str; 10] = [
    "id",
    "updated_time",
    "unread_count",
    "message_count",
    "can_reply",
    "snippet",
    "link",
    "participants",
    "senders",
    "messages",
];
const MESSAGE_FIELDS: [&str; 12] = [
    "id",
    "created_time",
    "from",
    "to",
    "message",
    "attachments",
    "sticker",
    "shares",
    "reactions",
    "tags",
    "reply_to",
    "is_unsupported",
];

/// One of the `fields` that are asked for: `messages.limit(25){id,from}`.
#[derive(Debug, PartialEq, Eq)]
struct Field {
    name: String,
    limit: Option<usize>,
    children: Vec<Field>,
}

/// `GET /{page}/conversations`.
pub(super) async fn conversations(
    Given(shared): Given<Arc<Shared>>,
    Path((version, node)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let query = query.unwrap_or_default();
    look(&shared, &version, &headers, &query, |state, given| {
        list_conversations(state, &node, given)
    })
    .await
}

/// `GET /{thread}/messages`.
pub(super) async fn messages(
    Given(shared): Given<Arc<Shared>>,
    Path((version, node)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let query = query.unwrap_or_default();
    look(&shared, &version, &headers, &query, |state, given| {
        list_messages(state, &node, given)
    })
    .await
}

/// One look: who asks, how often, and what goes wrong.
async fn look(
    shared: &Shared,
    version: &str,
    headers: &HeaderMap,
    query: &str,
    list: impl FnOnce(&State, &Parameters) -> Result<Value, No>,
) -> Response {
    let read = || {
        let given = parameters(query)?;
        let_in(shared, version, headers, &given)?;
        let mut state = shared.state();
        state.reads_made += 1;
        let second_ago = Instant::now().checked_sub(Duration::from_secs(1));
        state
            .recent_reads
            .retain(|read| second_ago.is_none_or(|second_ago| *read > second_ago));
        if state.recent_reads.len() >= READS_PER_SECOND {
            return Err(No {
                violation: Some("a third look within a second".to_owned()),
                ..No::coded(400, 613, None)
            });
        }
        state.recent_reads.push_back(Instant::now());
        Ok((list(&state, &given)?, state.read_faults.pop_front()))
    };
    let read: Result<(Value, Option<Fault>), No> = read();
    match read {
        Ok((list, None)) => answer(200, list),
        Ok((list, Some(fault))) => fail(shared, fault, answer(200, list)).await,
        Err(no) => no.answer(shared),
    }
}

fn list_conversations(state: &State, node: &str, given: &Parameters) -> Result<Value, No> {
    if node != state.page.page_id && node != "me" {
        return Err(No::coded(400, 100, Some(33)));
    }
    check_names(
        given,
        &["platform", "user_id", "fields", "limit", "after", "folder"],
    )?;
    if given.get("platform").map(String::as_str) != Some("messenger") {
        return Err(No::violation("platform=messenger is missing"));
    }
    let fields = fields_of(given, "id,updated_time,link", &CONVERSATION_FIELDS)?;
    let mut people: Vec<(&String, &Person)> = state.people.iter().collect();
    people.sort_by_key(|(_, person)| std::cmp::Reverse(person.updated_ms()));
    people.retain(|(psid, _)| given.get("user_id").is_none_or(|wanted| wanted == *psid));
    page_of(
        state,
        given,
        &people,
        "conversations",
        |(psid, _)| format!("t_{psid}"),
        |(psid, person)| show_conversation(state, psid, person, &fields),
    )
}

fn list_messages(state: &State, node: &str, given: &Parameters) -> Result<Value, No> {
    check_names(given, &["fields", "limit", "after"])?;
    let person = node
        .strip_prefix("t_")
        .and_then(|psid| state.people.get_key_value(psid));
    let (psid, person) = person.ok_or_else(|| No::coded(400, 100, Some(33)))?;
    let fields = fields_of(given, "id,created_time", &MESSAGE_FIELDS)?;
    let newest_first: Vec<&Message> = person.messages.iter().rev().collect();
    page_of(
        state,
        given,
        &newest_first,
        &format!("{node}/messages"),
        |message| message.id.clone(),
        |message| show_message(state, psid, person, message, &fields),
    )
}

fn check_names(given: &Parameters, known: &[&str]) -> Result<(), No> {
    match given
        .keys()
        .find(|key| *key != "appsecret_proof" && !known.contains(&key.as_str()))
    {
        Some(strange) => Err(No::violation(format!("{strange} is no parameter here"))),
        None => Ok(()),
    }
}

/// One page of a list, with Meta's cursors; `next` holds the token, as Meta's does.
fn page_of<T: Copy>(
    state: &State,
    given: &Parameters,
    all: &[T],
    path: &str,
    id: impl Fn(T) -> String,
    show: impl Fn(T) -> Value,
) -> Result<Value, No> {
    let limit = match given.get("limit") {
        None => PAGE_SIZE,
        Some(text) => text
            .parse()
            .ok()
            .filter(|limit| (1..=MAX_PAGE_SIZE).contains(limit))
            .ok_or_else(|| No::violation(format!("limit={text}")))?,
    };
    let start = match given.get("after") {
        None => 0,
        Some(_) if state.pages_go_in_circles => 0,
        Some(cursor) => {
            let last = all.iter().position(|item| cursor_of(&id(*item)) == *cursor);
            last.ok_or_else(|| No::violation(format!("{cursor} is no cursor")))? + 1
        }
    };
    let shown = &all[start..all.len().min(start + limit)];
    let mut page = json!({ "data": shown.iter().map(|item| show(*item)).collect::<Vec<_>>() });
    if let (Some(first), Some(last)) = (shown.first(), shown.last()) {
        let after = cursor_of(&id(*last));
        page["paging"] = json!({ "cursors": { "before": cursor_of(&id(*first)), "after": after } });
        let circles = state.pages_go_in_circles && start + limit >= all.len();
        if start + limit < all.len() || circles {
            let (version, token) = (&state.page.version, &state.page.page_token);
            page["paging"]["next"] = json!(format!(
                "{}/{version}/{path}?access_token={token}&limit={limit}&after={after}",
                state.url
            ));
        }
    }
    Ok(page)
}

fn cursor_of(id: &str) -> String {
    format!("QVFI{}", hex::encode(id))
}

fn show_conversation(state: &State, psid: &str, person: &Person, fields: &[Field]) -> Value {
    let mut shown = Map::new();
    let people = json!({ "data": [
        { "name": person.name, "email": format!("{psid}@facebook.com"), "id": psid },
        { "name": "The Page", "email": format!("{}@facebook.com", state.page.page_id), "id": state.page.page_id },
    ] });
    for field in fields {
        let value = match field.name.as_str() {
            "updated_time" => json!(meta_time(person.updated_ms())),
            "unread_count" => json!(0),
            "message_count" => json!(person.messages.len()),
            "can_reply" => json!(true),
            "snippet" => json!(
                person
                    .messages
                    .last()
                    .and_then(|message| message.text.as_deref())
                    .unwrap_or("")
            ),
            "link" => json!(format!("/{}/inbox/{psid}/", state.page.page_id)),
            "participants" | "senders" => people.clone(),
            // Where there is nothing, Meta leaves the edge out.
            "messages" if person.messages.is_empty() => continue,
            "messages" => show_newest(state, psid, person, field),
            _ => continue,
        };
        shown.insert(field.name.clone(), value);
    }
    shown.insert("id".to_owned(), json!(format!("t_{psid}")));
    Value::Object(shown)
}

/// The newest messages inside of a conversation.
fn show_newest(state: &State, psid: &str, person: &Person, field: &Field) -> Value {
    let newest_first: Vec<&Message> = person.messages.iter().rev().collect();
    let limit = field.limit.unwrap_or(PAGE_SIZE).clamp(1, MAX_PAGE_SIZE);
    let given = Parameters::from([("limit".to_owned(), limit.to_string())]);
    let path = format!("t_{psid}/messages");
    page_of(
        state,
        &given,
        &newest_first,
        &path,
        |message| message.id.clone(),
        |message| show_message(state, psid, person, message, &field.children),
    )
    .unwrap_or_else(|_| json!({ "data": [] }))
}

fn show_message(
    state: &State,
    psid: &str,
    person: &Person,
    message: &Message,
    fields: &[Field],
) -> Value {
    let customer =
        json!({ "name": person.name, "email": format!("{psid}@facebook.com"), "id": psid });
    let page = json!({ "name": "The Page", "id": state.page.page_id });
    let (from, to) = if message.from_page {
        (page, customer)
    } else {
        (customer, page)
    };
    let mut shown = Map::new();
    for field in fields {
        let value = match (field.name.as_str(), &message.file, &message.reply_to) {
            ("created_time", _, _) => json!(meta_time(message.at_ms)),
            ("from", _, _) => from.clone(),
            ("to", _, _) => json!({ "data": [to] }),
            ("message", _, _) => json!(message.text.as_deref().unwrap_or("")),
            ("attachments", Some(file), _) => {
                let mut attachment = json!({ "id": "77", "mime_type": file.mime_type, "name": file.name, "size": file.bytes.len() });
                let url = json!(format!("https://cdn.fbcdn.example/{}", message.id));
                match file.kind.as_str() {
                    "image" => {
                        attachment["image_data"] = json!({ "width": 1, "height": 1, "url": url })
                    }
                    "video" => {
                        attachment["video_data"] =
                            json!({ "width": 1, "height": 1, "length": 1, "url": url })
                    }
                    _ => attachment["file_url"] = url,
                }
                json!({ "data": [attachment] })
            }
            ("reply_to", _, Some(mid)) => json!({ "mid": mid }),
            _ => continue,
        };
        shown.insert(field.name.clone(), value);
    }
    shown.insert("id".to_owned(), json!(message.id));
    Value::Object(shown)
}

/// A time as this API writes it: whole seconds, and an offset without a colon.
fn meta_time(ms: i64) -> String {
    let time = Time::from_millis(ms).to_string();
    format!("{}+0000", time.split('.').next().unwrap_or_default())
}

fn fields_of(given: &Parameters, default: &str, known: &[&str]) -> Result<Vec<Field>, No> {
    let text = given.get("fields").map_or(default, String::as_str);
    let fields =
        parse_fields(text).ok_or_else(|| No::violation(format!("fields={text} cannot be read")))?;
    for field in &fields {
        if !known.contains(&field.name.as_str()) {
            return Err(No::violation(format!("{} is no field here", field.name)));
        }
        let strange = field
            .children
            .iter()
            .find(|child| !MESSAGE_FIELDS.contains(&child.name.as_str()));
        if let Some(strange) = strange.filter(|_| field.name == "messages") {
            return Err(No::violation(format!(
                "{} is no field of a message",
                strange.name
            )));
        }
    }
    Ok(fields)
}

/// Reads `a,b.limit(5){c,d{e}}`; `None` where it is written wrongly.
fn parse_fields(text: &str) -> Option<Vec<Field>> {
    let mut fields = Vec::new();
    let (mut depth, mut start) = (0_usize, 0);
    for (at, character) in text.char_indices().chain([(text.len(), ',')]) {
        match character {
            '{' => depth += 1,
            '}' => depth = depth.checked_sub(1)?,
            ',' if depth == 0 => {
                fields.push(parse_field(&text[start..at])?);
                start = at + 1;
            }
            _ => {}
        }
    }
    (depth == 0).then_some(fields)
}

fn parse_field(text: &str) -> Option<Field> {
    let (head, children) = match text.split_once('{') {
        Some((head, inner)) => (head, parse_fields(inner.strip_suffix('}')?)?),
        None => (text, Vec::new()),
    };
    let (name, limit) = match head.split_once(".limit(") {
        Some((name, number)) => (name, Some(number.strip_suffix(')')?.parse().ok()?)),
        None => (head, None),
    };
    let is_name = !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    is_name.then(|| Field {
        name: name.to_owned(),
        limit,
        children,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read() {
        let fields = parse_fields("id,messages.limit(25){id,from{id}}").expect("fields");
        assert_eq!((fields[0].name.as_str(), fields[1].limit), ("id", Some(25)));
        assert_eq!(fields[1].children[1].children[0].name, "id");
        for bad in [
            "",
            "a,,b",
            "a{",
            "a}",
            "a{b",
            "a.limit(x)",
            "a.limit(5",
            "a b",
            "a{}",
        ] {
            assert_eq!(parse_fields(bad), None, "{bad}");
        }
    }
}
