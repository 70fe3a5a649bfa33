//! What an app asks beside messages: who it is, who somebody is, and where deliveries go.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State as Given};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use serde_json::{Value, json};

use super::Shared;
use super::server::{No, Parameters, answer, let_app_in, let_in, parameters};
use super::state::Subscription;

/// The names that a Page can be subscribed to, as far as they have to do with messages.
const PAGE_FIELDS: [&str; 20] = [
    "feed",
    "mention",
    "messages",
    "messaging_postbacks",
    "message_deliveries",
    "message_reads",
    "message_echoes",
    "message_reactions",
    "message_edits",
    "messaging_referrals",
    "messaging_optins",
    "messaging_optouts",
    "messaging_account_linking",
    "messaging_handovers",
    "standby",
    "messaging_policy_enforcement",
    "messaging_feedback_submit",
    "messaging_game_plays",
    "message_context",
    "name",
];

type Node = Path<(String, String)>;

fn said(shared: &Shared, answered: Result<Value, No>) -> Response {
    match answered {
        Ok(body) => answer(200, body),
        Err(no) => no.answer(shared),
    }
}

/// The parameters of the address and of the body, wherever they stand.
fn all_parameters(
    query: Option<String>,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<Parameters, No> {
    let mut given = parameters(&query.unwrap_or_default())?;
    if body.is_empty() {
        return Ok(given);
    }
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .unwrap_or_default();
    let unreadable = || No::violation(format!("a body of the type {kind:?} that cannot be read"));
    let more = match kind {
        "application/x-www-form-urlencoded" => {
            parameters(std::str::from_utf8(body).map_err(|_| unreadable())?)?
        }
        "application/json" => {
            let members: serde_json::Map<String, Value> =
                serde_json::from_slice(body).map_err(|_| unreadable())?;
            let text = |value: Value| {
                value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned)
            };
            members
                .into_iter()
                .map(|(key, value)| (key, text(value)))
                .collect()
        }
        _ => return Err(unreadable()),
    };
    given.extend(more);
    Ok(given)
}

fn needed<'a>(given: &'a Parameters, name: &str) -> Result<&'a str, No> {
    given
        .get(name)
        .map(String::as_str)
        .ok_or_else(|| No::violation(format!("{name} is missing")))
}

/// `GET /me`: the Page whose token it is.
pub(super) async fn me(
    Given(shared): Given<Arc<Shared>>,
    Path(version): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let asked = || {
        let given = parameters(&query.unwrap_or_default())?;
        let_in(&shared, &version, &headers, &given)?;
        Ok(json!({ "id": shared.state().page.page_id, "name": "The Page" }))
    };
    let asked: Result<Value, No> = asked();
    said(&shared, asked)
}

/// `GET /{psid}`: who a person is. What is not there is left out.
pub(super) async fn profile(
    Given(shared): Given<Arc<Shared>>,
    Path((version, node)): Node,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let asked = || {
        let given = parameters(&query.unwrap_or_default())?;
        let_in(&shared, &version, &headers, &given)?;
        let fields = given
            .get("fields")
            .map_or("first_name,last_name", String::as_str);
        let mut state = shared.state();
        state.people_asked.push(node.clone());
        let person = state
            .people
            .get(&node)
            .ok_or_else(|| No::coded(400, 100, Some(2_018_218)))?;
        let (first, last) = person.name.split_once(' ').unwrap_or((&person.name, ""));
        let mut shown = json!({ "id": node });
        for field in fields.split(',') {
            match field {
                "first_name" => shown["first_name"] = json!(first),
                "last_name" => shown["last_name"] = json!(last),
                "name" => shown["name"] = json!(person.name),
                "profile_pic" => {
                    let nowhere = || format!("https://cdn.fbcdn.example/{node}.jpg");
                    shown["profile_pic"] = json!(person.picture.clone().unwrap_or_else(nowhere));
                }
                "id" | "locale" | "timezone" | "gender" => {}
                other => return Err(No::violation(format!("{other} is no field of a person"))),
            }
        }
        Ok(shown)
    };
    let asked: Result<Value, No> = asked();
    said(&shared, asked)
}

/// `GET /debug_token`: what a token is worth.
pub(super) async fn debug_token(
    Given(shared): Given<Arc<Shared>>,
    Path(version): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let asked = || {
        let given = parameters(&query.unwrap_or_default())?;
        let_app_in(&shared, &version, &headers, &given)?;
        let page = shared.state().page.clone();
        let is_valid = needed(&given, "input_token")? == page.page_token;
        let mut data = json!({
            "app_id": page.app_id, "type": "PAGE", "application": "Desk", "expires_at": 0, "data_access_expires_at": 0,
            "is_valid": is_valid, "profile_id": page.page_id,
            "scopes": ["pages_show_list", "pages_manage_metadata", "pages_messaging", "pages_read_engagement"],
        });
        if !is_valid {
            data["error"] =
                json!({ "code": 190, "subcode": 463, "message": "Das Token ist abgelaufen." });
        }
        Ok(json!({ "data": data }))
    };
    let asked: Result<Value, No> = asked();
    said(&shared, asked)
}

fn on_page(
    shared: &Shared,
    (version, node): &(String, String),
    given: &Parameters,
    headers: &HeaderMap,
) -> Result<(), No> {
    let_in(shared, version, headers, given)?;
    if node == "me" || *node == shared.state().page.page_id {
        Ok(())
    } else {
        Err(No::coded(400, 100, Some(33)))
    }
}

/// `GET /{page}/subscribed_apps`.
pub(super) async fn subscribed_apps(
    Given(shared): Given<Arc<Shared>>,
    Path(node): Node,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let asked = || {
        on_page(
            &shared,
            &node,
            &parameters(&query.unwrap_or_default())?,
            &headers,
        )?;
        let state = shared.state();
        let app = |fields: &Vec<String>| {
            json!({ "category": "Business", "link": "https://desk.example/", "name": "Desk", "id": state.page.app_id,
                "subscribed_fields": fields })
        };
        Ok(json!({ "data": state.subscribed_fields.iter().map(app).collect::<Vec<_>>() }))
    };
    let asked: Result<Value, No> = asked();
    said(&shared, asked)
}

/// `POST /{page}/subscribed_apps`: the list replaces the former one.
pub(super) async fn subscribe_page(
    Given(shared): Given<Arc<Shared>>,
    Path(node): Node,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let asked = || {
        let given = all_parameters(query, &headers, &body)?;
        on_page(&shared, &node, &given, &headers)?;
        let fields: Vec<String> = needed(&given, "subscribed_fields")?
            .split(',')
            .map(str::to_owned)
            .collect();
        if let Some(strange) = fields
            .iter()
            .find(|field| !PAGE_FIELDS.contains(&field.as_str()))
        {
            return Err(No::violation(format!(
                "{strange} is no field to subscribe to"
            )));
        }
        let mut state = shared.state();
        let kept = fields
            .into_iter()
            .filter(|field| !state.fields_not_kept.contains(field));
        state.subscribed_fields = Some(kept.collect());
        Ok(json!({ "success": true }))
    };
    let asked: Result<Value, No> = asked();
    said(&shared, asked)
}

/// `DELETE /{page}/subscribed_apps`.
pub(super) async fn unsubscribe_page(
    Given(shared): Given<Arc<Shared>>,
    Path(node): Node,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let asked = || {
        on_page(
            &shared,
            &node,
            &parameters(&query.unwrap_or_default())?,
            &headers,
        )?;
        shared.state().subscribed_fields = None;
        Ok(json!({ "success": true }))
    };
    let asked: Result<Value, No> = asked();
    said(&shared, asked)
}

fn on_app(
    shared: &Shared,
    (version, node): &(String, String),
    given: &Parameters,
    headers: &HeaderMap,
) -> Result<(), No> {
    let_app_in(shared, version, headers, given)?;
    if *node == shared.state().page.app_id {
        Ok(())
    } else {
        Err(No::coded(400, 100, Some(33)))
    }
}

/// `GET /{app}/subscriptions`.
pub(super) async fn subscriptions(
    Given(shared): Given<Arc<Shared>>,
    Path(node): Node,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let asked = || {
        on_app(
            &shared,
            &node,
            &parameters(&query.unwrap_or_default())?,
            &headers,
        )?;
        let state = shared.state();
        let show = |(object, subscription): (&String, &Subscription)| {
            let fields: Vec<Value> = subscription
                .fields
                .iter()
                .map(|field| json!({ "name": field, "version": state.page.version }))
                .collect();
            json!({ "object": object, "callback_url": subscription.callback_url, "active": true, "fields": fields,
                "include_values": subscription.include_values })
        };
        Ok(json!({ "data": state.subscriptions.iter().map(show).collect::<Vec<_>>() }))
    };
    let asked: Result<Value, No> = asked();
    said(&shared, asked)
}

/// `POST /{app}/subscriptions`: the callback has to answer the handshake before this is answered.
pub(super) async fn subscribe(
    Given(shared): Given<Arc<Shared>>,
    Path(node): Node,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let asked = || {
        let given = all_parameters(query, &headers, &body)?;
        on_app(&shared, &node, &given, &headers)?;
        let subscription = Subscription {
            callback_url: needed(&given, "callback_url")?.to_owned(),
            fields: needed(&given, "fields")?
                .split(',')
                .map(str::to_owned)
                .collect(),
            include_values: given
                .get("include_values")
                .is_some_and(|value| value == "true"),
        };
        Ok((
            needed(&given, "object")?.to_owned(),
            needed(&given, "verify_token")?.to_owned(),
            subscription,
        ))
    };
    let asked: Result<(String, String, Subscription), No> = asked();
    let (object, verify_token, subscription) = match asked {
        Ok(asked) => asked,
        Err(no) => return no.answer(&shared),
    };
    if !shakes_hands(&shared, &subscription.callback_url, &verify_token).await {
        return No::coded(400, 2200, None).answer(&shared);
    }
    let mut state = shared.state();
    state.callback = Some(subscription.callback_url.clone());
    state.subscriptions.insert(object, subscription);
    answer(200, json!({ "success": true }))
}

/// Whether the callback gives back the challenge, and nothing but it.
async fn shakes_hands(shared: &Shared, callback: &str, verify_token: &str) -> bool {
    let challenge = "1158201444";
    let query = [
        ("hub.mode", "subscribe"),
        ("hub.verify_token", verify_token),
        ("hub.challenge", challenge),
    ];
    let Ok(reply) = shared.client.get(callback).query(&query).send().await else {
        return false;
    };
    reply.status() == 200 && reply.text().await.is_ok_and(|text| text == challenge)
}

/// `DELETE /{app}/subscriptions?object=page`.
pub(super) async fn unsubscribe(
    Given(shared): Given<Arc<Shared>>,
    Path(node): Node,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let asked = || {
        let given = parameters(&query.unwrap_or_default())?;
        on_app(&shared, &node, &given, &headers)?;
        let object = needed(&given, "object")?;
        shared.state().subscriptions.remove(object);
        Ok(json!({ "success": true }))
    };
    let asked: Result<Value, No> = asked();
    said(&shared, asked)
}
