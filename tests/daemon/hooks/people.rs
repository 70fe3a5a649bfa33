//! What people read, each service against a stand-in that refuses whatever the real one would refuse, and more.

mod discord;
mod gotify;
mod ntfy;
mod pushover;
mod slack;
mod stand_in;
mod teams;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::hooks::commands::comes;
use crate::hooks::{call, hooks_config, until_deliveries};
use crate::support::Daemon;
use stand_in::{Kind, StandIn};

const KINDS: [&Kind; 6] = [
    &discord::DISCORD,
    &gotify::GOTIFY,
    &ntfy::NTFY,
    &pushover::PUSHOVER,
    &slack::SLACK,
    &teams::TEAMS,
];

/// Makes a hook to a stand-in; gives its id.
async fn made(daemon: &Daemon, stand_in: &StandIn) -> String {
    let hook = stand_in.hook();
    let (status, made) = call(daemon, "POST", "hooks", Some(&hook)).await;
    assert_eq!((status, &made["secret"]), (201, &Value::Null), "{made}");
    if let Some(token) = hook["access_token"].as_str() {
        assert!(!made.to_string().contains(token));
    }
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
    "@here #general [bank](https://shop.example/?a=1&b=2)",
];

#[tokio::test]
async fn whatever_customers_write_everyone_takes_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &hooks_config("\"1s\""));
    let mut hooks = Vec::new();
    for kind in KINDS {
        let stand_in = StandIn::start(kind).await;
        hooks.push((made(&daemon, &stand_in).await, stand_in, kind));
    }
    let long = "ž".repeat(1_900);
    for (number, text) in TEXTS.into_iter().chain([long.as_str()]).enumerate() {
        comes(&daemon, "p1", number, text).await;
    }
    for (id, stand_in, kind) in &hooks {
        let taken = stand_in.until(9).await;
        for (number, text) in TEXTS.into_iter().enumerate() {
            // Where mark-up is read it is escaped by backslashes.
            let words = stand_in.words(&taken[number].0).replace('\\', "");
            let shown: String = text.chars().take(20).collect();
            assert!(words.contains(&shown), "{}: {words}", kind.name);
        }
        let (status, tested) = call(&daemon, "POST", &format!("hooks/{id}/test"), None).await;
        assert_eq!(
            (status, &tested["delivered"]),
            (200, &json!(true)),
            "{tested}"
        );
        assert_eq!(stand_in.taken().len(), 10, "{}", kind.name);
        assert!(!daemon.log().contains(kind.address));
        let is_told = |token: &str| daemon.log().contains(token);
        assert!(!kind.token.is_some_and(is_told));
    }
}

#[tokio::test]
async fn what_passes_is_tried_again_in_order_and_not_before_it_may() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &hooks_config(&["\"100ms\""; 6].join(", ")));
    let mut stand_ins = Vec::new();
    for kind in KINDS {
        let stand_in = StandIn::start(kind).await;
        made(&daemon, &stand_in).await;
        // Discord says how long to wait in the body, the others in a header.
        let (limited, after) = match kind.name {
            "discord" => {
                let said = json!({ "message": "You are being rate limited.", "retry_after": 2.95, "global": false });
                (said, None)
            }
            "ntfy" => {
                let said = json!({ "code": 42901, "http": 429, "error": "limit reached: too many requests" });
                (said, Some(3))
            }
            _ => (json!("rate_limited"), Some(3)),
        };
        stand_in.plan(&[
            (500, json!("an error of the server"), None),
            (429, limited, after),
        ]);
        stand_ins.push(stand_in);
    }
    for (number, text) in ["one", "two", "three"].into_iter().enumerate() {
        comes(&daemon, "p1", number, text).await;
    }
    for stand_in in stand_ins {
        let taken = stand_in.until(3).await;
        let calls = stand_in.kept().calls.clone();
        let waited = calls[2] - calls[1];
        assert!(waited >= Duration::from_millis(2_900), "{waited:?}");
        for (word, (told, _)) in ["one", "two", "three"].iter().zip(&taken) {
            assert!(stand_in.words(told).contains(word), "{told}");
        }
        assert_eq!(calls.len(), 5, "nothing is told twice");
    }
}

#[tokio::test]
async fn what_is_never_taken_is_given_up_at_once_and_holds_nothing_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &hooks_config("\"1h\", \"1h\""));
    let mut hooks = Vec::new();
    for kind in KINDS {
        let stand_in = StandIn::start(kind).await;
        let id = made(&daemon, &stand_in).await;
        let (status, said) = match kind.name {
            "ntfy" => (
                413,
                json!({ "code": 41301, "http": 413, "error": "attachment too large" }),
            ),
            "pushover" => (
                400,
                json!({ "message": "cannot be blank", "errors": ["message cannot be blank"], "status": 0 }),
            ),
            "discord" => (
                400,
                json!({ "code": 50035, "message": "Invalid Form Body" }),
            ),
            "gotify" => (400, json!({ "error": "Bad Request", "errorCode": 400 })),
            _ => (400, json!("invalid_payload")),
        };
        stand_in.plan(&[(status, said, None)]);
        hooks.push((id, stand_in, kind));
    }
    for number in 0..2 {
        comes(&daemon, "p1", number, "hello").await;
    }
    for (id, stand_in, _) in &hooks {
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
    // What a day or a month allows is used up: nothing is lost, and it is not asked again and again.
    hooks.retain(|(_, _, kind)| matches!(kind.name, "ntfy" | "pushover"));
    for (_, stand_in, _) in &hooks {
        let used_up = json!({ "code": 42908, "http": 429, "error": "limit reached: daily message quota reached" });
        stand_in.plan(&[(429, used_up, None)]);
    }
    comes(&daemon, "p1", 9, "hello").await;
    for (id, ..) in &hooks {
        let log = until_deliveries(&daemon, id, "it waits", |all| {
            all.len() == 3 && all[0]["tries"] == 1
        })
        .await;
        assert_eq!(log[0]["state"], "waiting");
        let time = |value: &Value| -> jiff::Timestamp {
            let time = value.as_str().and_then(|time| time.parse().ok());
            time.expect("a time")
        };
        let (due, tried) = (
            time(&log[0]["next_attempt_at"]),
            time(&log[0]["attempts"][0]["at"]),
        );
        assert!(
            due.as_second() - tried.as_second() >= 6 * 60 * 60,
            "{}",
            log[0]
        );
    }
}

#[tokio::test]
async fn what_refuses_for_good_is_off_and_hears_what_waited_once_it_is_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &hooks_config("\"100ms\", \"100ms\""));
    let invalid = |name: &str| json!({ name: "invalid", "errors": [format!("{name} is invalid")], "status": 0 });
    let cases = [
        (
            "ntfy",
            401,
            json!({ "code": 40101, "http": 401, "error": "unauthorized" }),
            "access token",
        ),
        (
            "ntfy",
            403,
            json!({ "code": 40301, "http": 403, "error": "forbidden" }),
            "access token",
        ),
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
        (
            "gotify",
            401,
            json!({ "error": "Unauthorized", "errorCode": 401 }),
            "application was deleted",
        ),
        ("pushover", 400, invalid("token"), "API token"),
        ("pushover", 400, invalid("user"), "the user or the group"),
        (
            "discord",
            404,
            json!({ "code": 10015, "message": "Unknown Webhook" }),
            "deleted",
        ),
        (
            "discord",
            401,
            json!({ "code": 50027, "message": "Invalid Webhook Token" }),
            "deleted",
        ),
        (
            "teams",
            401,
            json!({ "error": { "code": "DirectApiAuthorizationRequired" } }),
            "workflow",
        ),
        (
            "teams",
            404,
            json!({ "error": { "code": "WorkflowNotFound" } }),
            "workflow",
        ),
    ];
    for (number, (name, status, said, why)) in cases.into_iter().enumerate() {
        let kind = KINDS.into_iter().find(|kind| kind.name == name);
        let stand_in = StandIn::start(kind.expect("one of them")).await;
        let id = made(&daemon, &stand_in).await;
        stand_in.plan(&[(status, said, None)]);
        comes(&daemon, "p1", number, "hello").await;
        let begun = Instant::now();
        loop {
            let hook = daemon.get(&format!("hooks/{id}")).await;
            if hook["enabled"] == false {
                let reason = hook["disabled_reason"].as_str().unwrap_or_default();
                assert!(reason.contains(why), "{name} {status}: {reason}");
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

#[tokio::test]
async fn what_cannot_be_a_hook_of_its_kind_is_refused_in_words() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &hooks_config("\"1s\""));
    let gotify =
        json!({ "kind": "gotify", "url": "http://127.0.0.1:9/", "access_token": "AInvented" });
    let of = |kind: &str, url: &str, token: Value| json!({ "kind": kind, "url": url, "access_token": token });
    for (wanted, place, why) in [
        (
            of("gotify", "http://127.0.0.1:9/", Value::Null),
            "/access_token",
            "the application",
        ),
        (
            of("gotify", "http://127.0.0.1:9/?token=A", json!("A")),
            "/url",
            "without the token",
        ),
        (
            of("pushover", "http://127.0.0.1:9/1/messages.json", json!("A")),
            "/url",
            "user=",
        ),
        (
            of(
                "pushover",
                "http://127.0.0.1:9/1/messages.json?user=short",
                json!("A"),
            ),
            "/url",
            "user=",
        ),
        (
            of(
                "discord",
                "http://127.0.0.1:9/api/webhooks/1/x/slack",
                Value::Null,
            ),
            "/url",
            "without /slack",
        ),
        (
            of("discord", "http://127.0.0.1:9/api/webhooks/1/x", json!("A")),
            "/access_token",
            "no access token",
        ),
        (
            of(
                "teams",
                "http://127.0.0.1:9/workflows/1/triggers/manual/paths/invoke",
                Value::Null,
            ),
            "/url",
            "sig=",
        ),
        (
            of(
                "teams",
                "https://shop.webhook.office.com/webhookb2/1?sig=1",
                Value::Null,
            ),
            "/url",
            "May 2026",
        ),
    ] {
        let mut wanted = wanted;
        wanted["events"] = json!(["bell.rung"]);
        let (status, said) = call(&daemon, "POST", "hooks", Some(&wanted)).await;
        let error = &said["errors"][0];
        assert_eq!((status, &error["pointer"]), (422, &json!(place)), "{said}");
        assert!(
            error["detail"]
                .as_str()
                .is_some_and(|said| said.contains(why)),
            "{said}"
        );
    }
    // What is needed is not taken away.
    let mut wanted = gotify;
    wanted["events"] = json!(["bell.rung"]);
    let (status, made) = call(&daemon, "POST", "hooks", Some(&wanted)).await;
    assert_eq!(status, 201, "{made}");
    let id = made["id"].as_str().expect("an id");
    let without = json!({ "access_token": null });
    let (status, said) = call(&daemon, "PATCH", &format!("hooks/{id}"), Some(&without)).await;
    assert_eq!(status, 422, "{said}");
}
