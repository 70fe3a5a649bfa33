//! The stand-in is strict, or it proves nothing: each rule is broken once, each fault is seen from outside, and the
//! connector speaks with it as it will with Meta.

mod with_connector;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::extract::{RawQuery, State as Given};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use deskbell_sdk::webhook::hmac_sha256_hex;
use deskbell_sdk::{Secret, Time};
use serde_json::{Value, json};

use crate::support::graph::{Echo, Graph, Page};
use with_connector::connector;

const SECRET: &str = "invented-app-secret";
const TOKEN: &str = "invented-page-token";
const PAGE: &str = "1029384756";
const PERSON: &str = "2001";

fn page() -> Page {
    Page {
        app_id: "4242424242".to_owned(),
        app_secret: SECRET.to_owned(),
        page_id: PAGE.to_owned(),
        page_token: TOKEN.to_owned(),
        version: "v25.0".to_owned(),
        human_agent: false,
    }
}

fn started() -> Graph {
    let graph = Graph::start(page());
    graph.knows(PERSON);
    graph
}

fn client() -> reqwest::Client {
    deskbell::http_client::builder().build().expect("a client")
}

fn proof() -> String {
    hmac_sha256_hex(&Secret::new(SECRET), TOKEN.as_bytes())
}

fn address(graph: &Graph, path: &str) -> String {
    let separator = if path.contains('?') { '&' } else { '?' };
    format!(
        "{}/v25.0/{path}{separator}appsecret_proof={}",
        graph.url(),
        proof()
    )
}

fn text_to(person: &str, text: &str) -> Value {
    json!({ "recipient": { "id": person }, "messaging_type": "RESPONSE", "message": { "text": text, "metadata": "t1" } })
}

async fn post_json(graph: &Graph, body: &Value) -> (u16, Value) {
    let request = client()
        .post(address(graph, &format!("{PAGE}/messages")))
        .bearer_auth(TOKEN)
        .json(body);
    let answer = request.send().await.expect("answers");
    (answer.status().as_u16(), answer.json().await.expect("JSON"))
}

async fn get(graph: &Graph, path: &str) -> (u16, Value) {
    let answer = client()
        .get(address(graph, path))
        .bearer_auth(TOKEN)
        .send()
        .await
        .expect("answers");
    (answer.status().as_u16(), answer.json().await.expect("JSON"))
}

#[tokio::test]
async fn a_proper_message_is_executed_once() {
    let graph = started();
    let (status, answer) = post_json(&graph, &text_to(PERSON, "Dobrý deň 📦")).await;
    assert_eq!(status, 200);
    assert_eq!(answer["recipient_id"], PERSON);
    let [executed] = graph.executed().try_into().expect("one");
    assert_eq!(
        (executed.text.as_deref(), executed.metadata.as_deref()),
        (Some("Dobrý deň 📦"), Some("t1"))
    );
    assert_eq!(answer["message_id"], executed.id.as_str());
    assert!(
        executed.id.starts_with("m_") && executed.id.len() > 70,
        "{}",
        executed.id
    );
    assert_eq!(
        (graph.times_executed("t1"), graph.times_executed("t2")),
        (1, 0)
    );
    assert_eq!(graph.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn a_caller_without_the_right_papers_is_not_let_in() {
    let graph = started();
    let good = address(&graph, &format!("{PAGE}/messages"));
    let wrong_proof = good.replace(&proof(), &"0".repeat(64));
    let no_proof = good.split('?').next().expect("an address").to_owned();
    for (url, token, code, is_violation) in [
        (good.clone(), Some("another-token"), 190, false),
        (good.clone(), None, 104, true),
        (wrong_proof, Some(TOKEN), 100, true),
        (no_proof, Some(TOKEN), 100, true),
        (
            format!("{good}&access_token={TOKEN}"),
            Some(TOKEN),
            100,
            true,
        ),
        (good.replace("v25.0", "v1.0"), Some(TOKEN), 2500, true),
        (
            good.replace("/messages", "/sendings"),
            Some(TOKEN),
            2500,
            true,
        ),
        (good.replace(PAGE, "555"), Some(TOKEN), 100, false),
    ] {
        let before = graph.violations().len();
        let mut request = client().post(&url).json(&text_to(PERSON, "x"));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let answer: Value = request
            .send()
            .await
            .expect("answers")
            .json()
            .await
            .expect("JSON");
        assert_eq!(answer["error"]["code"], code, "{url}");
        assert_eq!(
            graph.violations().len() - before,
            usize::from(is_violation),
            "{url}: {:?}",
            graph.violations()
        );
    }
    assert!(graph.executed().is_empty() && graph.attempts().is_empty());
}

#[tokio::test]
async fn a_message_that_meta_does_not_take_is_refused() {
    let graph = started();
    let base = text_to(PERSON, "x");
    let with = |pointer: &str, value: Value| {
        let mut changed = base.clone();
        let (parent, key) = pointer.rsplit_once('/').expect("a pointer");
        changed.pointer_mut(parent).expect("there")[key] = value;
        changed
    };
    for (body, why) in [
        (with("/message/text", json!("")), "a text of 0"),
        (with("/message/text", json!(" \n")), "a text of 2"),
        (
            with("/message/text", json!("x".repeat(2001))),
            "a text of 2001",
        ),
        (
            with("/message/text", json!("🎉".repeat(1001))),
            "a text of 2002",
        ),
        (
            with("/message/metadata", json!("x".repeat(1000))),
            "metadata",
        ),
        (
            with("/message/reply_to", json!({ "mid": "m_1" })),
            "unknown field",
        ),
        (
            with(
                "/message/attachment",
                json!({ "type": "image", "payload": {} }),
            ),
            "a text and a file",
        ),
        (
            with("/messaging_type", Value::Null),
            "messaging_type is missing",
        ),
        (with("/messaging_type", json!("MESSAGE_TAG")), "MESSAGE_TAG"),
        (with("/tag", json!("HUMAN_AGENT")), "RESPONSE"),
        (with("/surprise", json!(1)), "unknown field"),
        (with("/sender_action", json!("typing_on")), "something else"),
        (
            with("/reply_to", json!({ "mid": "m_nowhere" })),
            "m_nowhere",
        ),
        (with("/recipient", json!({})), "missing field"),
    ] {
        let (status, answer) = post_json(&graph, &body).await;
        assert_eq!(
            (status, &answer["error"]["code"]),
            (400, &json!(100)),
            "{body}"
        );
        let seen = graph.violations().pop().expect("it was noticed");
        assert!(seen.contains(why), "{seen} for {body}");
    }
    let text = client()
        .post(address(&graph, &format!("{PAGE}/messages")))
        .bearer_auth(TOKEN)
        .body("{}");
    assert_eq!(
        text.send().await.expect("answers").status(),
        400,
        "a body without a type"
    );
    let (status, answer) = post_json(&graph, &text_to("9999", "x")).await;
    assert_eq!(
        (status, &answer["error"]["error_subcode"]),
        (400, &json!(2_018_001))
    );
    assert!(graph.executed().is_empty());
}

#[tokio::test]
async fn conversations_are_read_page_by_page() {
    let graph = started();
    for number in 0..60 {
        graph.person_wrote(PERSON, &format!("message {number}"));
    }
    graph.page_wrote_elsewhere(PERSON, "the last");
    let fields = "fields=id,message,from,created_time&limit=30";
    let (_, first) = get(&graph, &format!("t_{PERSON}/messages?{fields}")).await;
    let items = first["data"].as_array().expect("a list");
    assert_eq!(
        (items.len(), &items[0]["message"], &items[0]["from"]["id"]),
        (30, &json!("the last"), &json!(PAGE))
    );
    let time = items[0]["created_time"].as_str().expect("a time");
    assert!(
        time.ends_with("+0000") && time.parse::<Time>().is_ok(),
        "{time}"
    );
    let after = first["paging"]["cursors"]["after"]
        .as_str()
        .expect("a cursor");
    let next = first["paging"]["next"].as_str().expect("there is more");
    assert!(
        next.contains(after) && next.contains(TOKEN),
        "Meta's links hold the token"
    );
    let (_, second) = get(
        &graph,
        &format!("t_{PERSON}/messages?{fields}&after={after}"),
    )
    .await;
    assert_eq!(second["data"][0]["message"], "message 30");
    let mut limited = Value::Null;
    for _ in 0..50 {
        let (status, answer) = get(&graph, &format!("t_{PERSON}/messages")).await;
        if status != 200 {
            limited = answer;
            break;
        }
    }
    assert_eq!(
        limited["error"]["code"],
        json!(613),
        "two calls a second are allowed"
    );
    tokio::time::sleep(Duration::from_millis(1050)).await;

    let nested = format!(
        "{PAGE}/conversations?platform=messenger&user_id={PERSON}&fields=updated_time,messages.limit(2)%7Bid,message%7D"
    );
    let (_, list) = get(&graph, &nested).await;
    assert_eq!(list["data"][0]["id"], format!("t_{PERSON}"));
    assert_eq!(
        list["data"][0]["messages"]["data"].as_array().map(Vec::len),
        Some(2)
    );
    assert!(
        list["data"][0]["messages"]["data"][0].get("from").is_none(),
        "only what is asked for is told"
    );
    let (_, nobody) = get(
        &graph,
        &format!("{PAGE}/conversations?platform=messenger&user_id=9999"),
    )
    .await;
    assert_eq!(nobody["data"], json!([]));
    tokio::time::sleep(Duration::from_millis(1050)).await;
    for bad in [
        "conversations",
        "conversations?platform=messenger&fields=secrets",
    ] {
        let (status, _) = get(&graph, &format!("{PAGE}/{bad}")).await;
        assert_eq!(status, 400, "{bad}");
    }
}

/// A callback that notes what comes: the signature and the body.
type Heard = Arc<std::sync::Mutex<Vec<(String, String)>>>;

async fn callback(failures: usize) -> (String, Heard) {
    let heard: Heard = Arc::default();
    let left = Arc::new(AtomicUsize::new(failures));
    let take = |Given((heard, left)): Given<(Heard, Arc<AtomicUsize>)>,
                headers: HeaderMap,
                body: String| async move {
        if left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                left.checked_sub(1)
            })
            .is_ok()
        {
            return StatusCode::SERVICE_UNAVAILABLE;
        }
        let signature = headers["x-hub-signature-256"]
            .to_str()
            .expect("text")
            .to_owned();
        heard.lock().expect("not poisoned").push((signature, body));
        StatusCode::OK
    };
    let shake = |RawQuery(query): RawQuery| async move {
        let query = query.unwrap_or_default();
        let challenge = query
            .split("hub.challenge=")
            .nth(1)
            .unwrap_or_default()
            .to_owned();
        if query.contains("hub.verify_token=right") {
            (StatusCode::OK, challenge)
        } else {
            (StatusCode::FORBIDDEN, String::new())
        }
    };
    let router = axum::Router::new()
        .route("/hook", post(take).get(shake))
        .with_state((Arc::clone(&heard), left));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
        .await
        .expect("a port");
    let url = format!("http://{}/hook", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, heard)
}

fn count(heard: &Heard) -> usize {
    heard.lock().expect("not poisoned").len()
}

#[tokio::test]
async fn echoes_come_signed_and_when_the_test_wants_them() {
    let graph = started();
    let (url, heard) = callback(0).await;
    graph.delivers_to(&url);
    for (echo, at_once, in_the_end) in [
        (Echo::Never, 0, 0),
        (Echo::Before, 1, 1),
        (Echo::After, 0, 1),
        (Echo::Late(Duration::from_millis(200)), 0, 1),
        (Echo::Twice, 1, 2),
    ] {
        heard.lock().expect("not poisoned").clear();
        graph.echoes(echo);
        post_json(
            &graph,
            &text_to(PERSON, "Dobrý deň 📦 https://shop.example/"),
        )
        .await;
        assert!(count(&heard) >= at_once, "{echo:?}");
        let then = Instant::now();
        while count(&heard) < in_the_end && then.elapsed() < Duration::from_secs(60) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        // What should not come is given a moment to come.
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(count(&heard), in_the_end, "{echo:?}");
    }
    let (signature, body) = heard.lock().expect("not poisoned")[0].clone();
    assert_eq!(
        signature,
        format!(
            "sha256={}",
            hmac_sha256_hex(&Secret::new(SECRET), body.as_bytes())
        )
    );
    assert!(
        body.is_ascii()
            && body.contains("Dobr\\u00fd de\\u0148 \\ud83d\\udce6 https:\\/\\/shop.example\\/"),
        "{body}"
    );
    let event: Value = serde_json::from_str(&body).expect("JSON");
    let event = &event["entry"][0]["messaging"][0];
    assert_eq!(
        (&event["sender"]["id"], &event["recipient"]["id"]),
        (&json!(PAGE), &json!(PERSON))
    );
    assert_eq!(
        (&event["message"]["metadata"], &event["message"]["app_id"]),
        (&json!("t1"), &json!(4_242_424_242_u64))
    );
    assert_eq!(
        event["message"]["mid"],
        graph.executed().last().expect("executed").id.as_str()
    );

    heard.lock().expect("not poisoned").clear();
    assert_eq!(
        (
            graph.tells_delivered(PERSON).await,
            graph.tells_read(PERSON).await
        ),
        (200, 200)
    );
    let bodies: Vec<String> = heard
        .lock()
        .expect("not poisoned")
        .iter()
        .map(|(_, body)| body.clone())
        .collect();
    assert!(
        bodies[0].contains("\"delivery\"") && bodies[1].contains("\"read\""),
        "{bodies:?}"
    );
}

#[tokio::test]
async fn a_delivery_that_is_not_taken_comes_again() {
    let graph = started();
    let (url, heard) = callback(2).await;
    graph.delivers_to(&url);
    assert_eq!(graph.tells(vec![json!({ "x": 1 })]).await, 200);
    assert_eq!(graph.webhook_answers(), [503, 503, 200]);
    assert_eq!(count(&heard), 1);
}

#[tokio::test]
async fn subscribing_shakes_hands_and_the_health_check_sees_it() {
    let graph = started();
    let (url, _) = callback(0).await;
    let subscribe = async |token: &str, verify: &str| {
        let form = [
            ("object", "page"),
            ("callback_url", &url),
            ("verify_token", verify),
            ("fields", "messages"),
            ("include_values", "true"),
        ];
        let request = client()
            .post(format!("{}/v25.0/4242424242/subscriptions", graph.url()))
            .bearer_auth(token)
            .form(&form);
        request
            .send()
            .await
            .expect("answers")
            .json::<Value>()
            .await
            .expect("JSON")
    };
    let app_token = format!("4242424242|{SECRET}");
    assert_eq!(subscribe(TOKEN, "right").await["error"]["code"], 190);
    assert_eq!(subscribe(&app_token, "wrong").await["error"]["code"], 2200);
    assert_eq!(
        subscribe(&app_token, "right").await,
        json!({ "success": true })
    );
    let own = |path: &str| {
        client()
            .get(format!("{}/v25.0/{path}", graph.url()))
            .bearer_auth(&app_token)
    };
    let list: Value = own("4242424242/subscriptions")
        .send()
        .await
        .expect("answers")
        .json()
        .await
        .expect("JSON");
    assert_eq!(
        (
            &list["data"][0]["callback_url"],
            &list["data"][0]["fields"][0]["name"]
        ),
        (&json!(url), &json!("messages"))
    );
    let debug = own(&format!("debug_token?input_token={TOKEN}"))
        .send()
        .await
        .expect("answers");
    assert_eq!(
        debug.json::<Value>().await.expect("JSON")["data"]["is_valid"],
        true
    );

    let (channel, http) = connector(&graph, false);
    let look = async || channel.health().expect("looks").look(&http).await;
    assert!(look().await[1].say.contains("is not subscribed"));
    let fields = address(
        &graph,
        &format!("{PAGE}/subscribed_apps?subscribed_fields=messages,message_echoes"),
    );
    let answer = client()
        .post(&fields)
        .bearer_auth(TOKEN)
        .send()
        .await
        .expect("answers");
    assert_eq!(answer.status(), 200);
    assert_eq!(
        graph.subscribed_fields().map(|fields| fields.len()),
        Some(2)
    );
    assert!(look().await[1].say.contains("messages arrive"));
    let bad = client()
        .post(fields.replace("message_echoes", "message_echo"))
        .bearer_auth(TOKEN)
        .send()
        .await
        .expect("answers");
    assert_eq!(bad.status(), 400);
    client()
        .delete(address(&graph, &format!("{PAGE}/subscribed_apps")))
        .bearer_auth(TOKEN)
        .send()
        .await
        .expect("answers");
    assert_eq!(graph.subscribed_fields(), None);
    graph.token_is("a-new-token");
    assert!(look().await[0].say.contains("generate a new token"));
    let (status, _) = get(&graph, PERSON).await;
    assert_eq!(status, 401);
    graph.token_is(TOKEN);
    assert_eq!(
        get(&graph, &format!("{PERSON}?fields=first_name,last_name"))
            .await
            .1["last_name"],
        PERSON
    );
}
