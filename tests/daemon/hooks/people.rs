//! What people read: ntfy and Slack, each against a stand-in that refuses whatever the real one would refuse, and more.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use crate::hooks::commands::comes;
use crate::hooks::{call, hooks_config, until_deliveries};
use crate::support::Daemon;

const TOKEN: &str = "tk_invented0123456789abcdefghij";
const PATH: &str = "/services/T0INVENTED/B0INVENTED/inventedinventedinvented";

/// An answer that is planned: status, body, `Retry-After` in seconds.
type Planned = (u16, Value, Option<u32>);
/// What checks a request that came to the right place. What it says is wrong is noted, and is the answer with a status.
type Check = fn(&HeaderMap, &Value) -> Result<(), (u16, String)>;

#[derive(Default)]
struct Kept {
    plan: VecDeque<Planned>,
    /// What was taken, and when.
    taken: Vec<(Value, Instant)>,
    /// When it was called.
    calls: Vec<Instant>,
    wrong: Vec<String>,
}

/// A server of somebody else's.
#[derive(Clone)]
struct StandIn {
    url: String,
    path: &'static str,
    check: Check,
    ok: fn(&Value) -> Response,
    kept: Arc<Mutex<Kept>>,
}

impl StandIn {
    async fn start(path: &'static str, check: Check, ok: fn(&Value) -> Response) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let here = Self {
            url: format!("http://{}", listener.local_addr().expect("an address")),
            path,
            check,
            ok,
            kept: Arc::default(),
        };
        let router = Router::new().fallback(take).with_state(here.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        here
    }

    async fn ntfy() -> Self {
        Self::start("/", ntfy_takes, |body| {
            let answer = json!({ "id": "inventedid01", "time": 1_795_858_331, "expires": 1_795_901_531,
                "event": "message", "topic": body["topic"], "message": body["message"] });
            axum::Json(answer).into_response()
        })
        .await
    }

    async fn slack() -> Self {
        Self::start(PATH, slack_takes, |_| "ok".into_response()).await
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().expect("not poisoned")
    }

    fn plan(&self, answers: &[Planned]) {
        self.kept().plan.extend(answers.iter().cloned());
    }

    /// What it took so far; fails where anything was wrong.
    fn taken(&self) -> Vec<(Value, Instant)> {
        let kept = self.kept();
        assert_eq!(kept.wrong, Vec::<String>::new());
        kept.taken.clone()
    }

    async fn until(&self, count: usize) -> Vec<(Value, Instant)> {
        let begun = Instant::now();
        loop {
            let taken = self.taken();
            if taken.len() >= count {
                return taken;
            }
            let so_far = taken.len();
            assert!(begun.elapsed() < Duration::from_secs(60), "{so_far} came");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn take(
    State(here): State<StandIn>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut kept = here.kept();
    kept.calls.push(Instant::now());
    let read = || -> Result<Value, (u16, String)> {
        if method != Method::POST || uri.path() != here.path || uri.query().is_some() {
            return Err((404, format!("{method} {uri}")));
        }
        let body: Value =
            serde_json::from_slice(&body).map_err(|error| (400, error.to_string()))?;
        (here.check)(&headers, &body)?;
        Ok(body)
    };
    let body = match read() {
        Ok(body) => body,
        Err((status, why)) => {
            kept.wrong.push(why.clone());
            return (StatusCode::from_u16(status).expect("a status"), why).into_response();
        }
    };
    match kept.plan.pop_front() {
        None => {
            kept.taken.push((body.clone(), Instant::now()));
            (here.ok)(&body)
        }
        Some((status, said, after)) => {
            let mut headers = HeaderMap::new();
            if let Some(after) = after {
                headers.insert("retry-after", after.into());
            }
            let said = said
                .as_str()
                .map_or_else(|| said.to_string(), str::to_owned);
            let status = StatusCode::from_u16(status).expect("a status");
            (status, headers, said).into_response()
        }
    }
}

fn only(object: &Value, known: &[&str]) -> Result<(), String> {
    let fields = object.as_object().ok_or("no object")?;
    match fields.keys().find(|key| !known.contains(&key.as_str())) {
        Some(unknown) => Err(format!("the field {unknown} is unknown")),
        None => Ok(()),
    }
}

fn text<'a>(object: &'a Value, key: &str, most_bytes: usize) -> Result<&'a str, String> {
    let text = object[key].as_str().ok_or(format!("{key} is no text"))?;
    match text.len() {
        0 => Err(format!("{key} is empty")),
        length if length > most_bytes => Err(format!("{key} has {length} bytes")),
        _ => Ok(text),
    }
}

/// ntfy takes a message as JSON at its root; this one has a topic that a token opens.
fn ntfy_takes(headers: &HeaderMap, body: &Value) -> Result<(), (u16, String)> {
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

/// An incoming webhook of Slack takes a text, and blocks.
fn slack_takes(headers: &HeaderMap, body: &Value) -> Result<(), (u16, String)> {
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
fn the_stand_ins_refuse_what_is_not_right() {
    let mut headers = HeaderMap::new();
    let message = json!({ "topic": "shop", "message": "x", "title": "x", "priority": 4, "tags": ["bell"],
        "click": "https://desk.example" });
    assert!(ntfy_takes(&headers, &message).is_err_and(|(status, _)| status == 403));
    let bearer = format!("Bearer {TOKEN}").parse().expect("a value");
    headers.insert("authorization", bearer);
    assert_eq!(ntfy_takes(&headers, &message), Ok(()));
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
        assert!(ntfy_takes(&headers, &off).is_err(), "{off}");
    }
    let mut headers = HeaderMap::new();
    headers.insert("content-type", "application/json".parse().expect("a value"));
    let section = json!({ "type": "section", "text": { "type": "plain_text", "text": "<!channel>", "emoji": false } });
    let message = json!({ "text": "a &amp; b &lt;!channel&gt;", "blocks": [section] });
    assert_eq!(slack_takes(&headers, &message), Ok(()));
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
        assert!(slack_takes(&headers, &off).is_err(), "{off}");
    }
}

/// Makes a hook of a kind; gives its id.
async fn made(daemon: &Daemon, kind: &str, stand_in: &StandIn) -> String {
    let url = match kind {
        "ntfy" => format!("{}/shop-topic", stand_in.url),
        _ => format!("{}{PATH}", stand_in.url),
    };
    let mut wanted = json!({ "kind": kind, "url": url, "events": ["message.created"] });
    if kind == "ntfy" {
        wanted["access_token"] = json!(TOKEN);
    }
    let (status, made) = call(daemon, "POST", "hooks", Some(&wanted)).await;
    assert_eq!((status, &made["secret"]), (201, &Value::Null), "{made}");
    assert!(!made.to_string().contains(TOKEN));
    made["id"].as_str().expect("an id").to_owned()
}

/// Texts that mean something at the other end, or are long.
const TEXTS: [&str; 8] = [
    "Where is it & why <now>?",
    "<!channel> <@U0000> <https://evil.example|click>",
    "*bold* _it_ ~no~ `code` :bell: &amp; &lt;",
    "line\nline\n\nline",
    "\u{1f40e} žluťoučký \u{202e}kůň\u{202c}",
    "{\"topic\":\"other\",\"priority\":1}",
    "x",
    "@here #general https://shop.example/?a=1&b=2",
];

#[tokio::test]
async fn whatever_customers_write_ntfy_and_slack_take_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &hooks_config("\"1s\""));
    let (ntfy, slack) = (StandIn::ntfy().await, StandIn::slack().await);
    let ids = [
        made(&daemon, "ntfy", &ntfy).await,
        made(&daemon, "slack", &slack).await,
    ];
    let long = "ž".repeat(1_900);
    for (number, text) in TEXTS.into_iter().chain([long.as_str()]).enumerate() {
        comes(&daemon, "p1", number, text).await;
    }
    let (rung, posted) = (ntfy.until(9).await, slack.until(9).await);
    let shown = |text: &str| -> String { text.chars().take(20).collect() };
    for (number, text) in TEXTS.into_iter().enumerate() {
        let (told, _) = &rung[number];
        assert_eq!(
            (&told["topic"], &told["message"]),
            (&json!("shop-topic"), &json!(text))
        );
        let (told, _) = &posted[number];
        let words = told["blocks"][0]["text"]["text"].as_str().expect("words");
        assert!(words.contains(&shown(text)), "{told}");
    }
    for id in ids {
        let (status, tested) = call(&daemon, "POST", &format!("hooks/{id}/test"), None).await;
        assert_eq!(
            (status, &tested["delivered"]),
            (200, &json!(true)),
            "{tested}"
        );
    }
    assert_eq!((ntfy.taken().len(), slack.taken().len()), (10, 10));
    assert!(!daemon.log().contains(TOKEN) && !daemon.log().contains(PATH));
}

#[tokio::test]
async fn what_passes_is_tried_again_in_order_and_not_before_it_may() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &hooks_config(&["\"100ms\""; 6].join(", ")));
    let (ntfy, slack) = (StandIn::ntfy().await, StandIn::slack().await);
    made(&daemon, "ntfy", &ntfy).await;
    made(&daemon, "slack", &slack).await;
    let limited =
        json!({ "code": 42901, "http": 429, "error": "limit reached: too many requests" });
    ntfy.plan(&[
        (
            500,
            json!({ "code": 50001, "http": 500, "error": "internal server error" }),
            None,
        ),
        (429, limited, Some(3)),
    ]);
    slack.plan(&[
        (500, json!("rollup_error"), None),
        (429, json!("rate_limited"), Some(3)),
    ]);
    for (number, text) in ["one", "two", "three"].into_iter().enumerate() {
        comes(&daemon, "p1", number, text).await;
    }
    for (stand_in, place) in [(&ntfy, "/message"), (&slack, "/blocks/0/text/text")] {
        let taken = stand_in.until(3).await;
        let calls = stand_in.kept().calls.clone();
        let waited = calls[2] - calls[1];
        assert!(waited >= Duration::from_millis(2_900), "{waited:?}");
        for (word, (told, _)) in ["one", "two", "three"].iter().zip(&taken) {
            let words = told.pointer(place).and_then(Value::as_str);
            assert!(words.is_some_and(|words| words.ends_with(word)), "{told}");
        }
        assert_eq!(calls.len(), 5, "nothing is told twice");
    }
}

#[tokio::test]
async fn what_is_never_taken_is_given_up_at_once_and_holds_nothing_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &hooks_config("\"1h\", \"1h\""));
    let (ntfy, slack) = (StandIn::ntfy().await, StandIn::slack().await);
    let hooks = [
        (made(&daemon, "ntfy", &ntfy).await, &ntfy),
        (made(&daemon, "slack", &slack).await, &slack),
    ];
    let large = json!({ "code": 41301, "http": 413, "error": "attachment too large" });
    ntfy.plan(&[(413, large, None)]);
    slack.plan(&[(400, json!("invalid_payload"), None)]);
    for number in 0..2 {
        comes(&daemon, "p1", number, "hello").await;
    }
    for (id, stand_in) in &hooks {
        stand_in.until(1).await;
        let log = until_deliveries(&daemon, id, "the log", |all| {
            all.len() == 2 && all[0]["state"] == "delivered"
        })
        .await;
        assert_eq!(
            (&log[1]["state"], &log[1]["tries"]),
            (&json!("dead"), &json!(1))
        );
    }
    // The day's messages are used up: nothing is lost, and it is not asked again and again.
    let used_up = json!({ "code": 42908, "http": 429, "error": "limit reached: daily message quota reached" });
    ntfy.plan(&[(429, used_up, None)]);
    comes(&daemon, "p1", 9, "hello").await;
    let log = until_deliveries(&daemon, &hooks[0].0, "it waits", |all| {
        all.len() == 3 && all[0]["tries"] == 1
    })
    .await;
    assert_eq!(log[0]["state"], "waiting");
    let due: jiff::Timestamp = log[0]["next_attempt_at"]
        .as_str()
        .and_then(|due| due.parse().ok())
        .expect("a time");
    let tried: jiff::Timestamp = log[0]["attempts"][0]["at"]
        .as_str()
        .and_then(|at| at.parse().ok())
        .expect("a time");
    assert!(
        due.as_second() - tried.as_second() >= 6 * 60 * 60,
        "{}",
        log[0]
    );
}

#[tokio::test]
async fn what_refuses_for_good_is_off_and_hears_what_waited_once_it_is_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &hooks_config("\"100ms\", \"100ms\""));
    let unauthorized = json!({ "code": 40101, "http": 401, "error": "unauthorized" });
    let forbidden = json!({ "code": 40301, "http": 403, "error": "forbidden" });
    let cases = [
        ("ntfy", 401, unauthorized, "access token"),
        ("ntfy", 403, forbidden, "access token"),
        (
            "slack",
            403,
            json!("action_prohibited"),
            "action_prohibited",
        ),
        ("slack", 404, json!("no_service"), "no_service"),
        (
            "slack",
            410,
            json!("channel_is_archived"),
            "channel_is_archived",
        ),
    ];
    for (number, (kind, status, said, why)) in cases.into_iter().enumerate() {
        let stand_in = match kind {
            "ntfy" => StandIn::ntfy().await,
            _ => StandIn::slack().await,
        };
        let id = made(&daemon, kind, &stand_in).await;
        stand_in.plan(&[(status, said, None)]);
        comes(&daemon, "p1", number, "hello").await;
        let begun = Instant::now();
        loop {
            let hook = daemon.get(&format!("hooks/{id}")).await;
            if hook["enabled"] == false {
                let reason = hook["disabled_reason"].as_str().unwrap_or_default();
                assert!(reason.contains(why), "{status}: {reason}");
                break;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "{hook}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(stand_in.kept().calls.len(), 1, "it is not asked again");
        let on = json!({ "enabled": true });
        let (status, _) = call(&daemon, "PATCH", &format!("hooks/{id}"), Some(&on)).await;
        assert_eq!(status, 200);
        stand_in.until(1).await;
        let (status, _) = call(&daemon, "DELETE", &format!("hooks/{id}"), None).await;
        assert_eq!(status, 204);
    }
}
