//! The real daemon tells real browsers, as far as a strict stand-in for a push service can be one: over kills, hanging and
//! failing push services, and at the moment at which somebody takes it.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::push_service::{Mood, PushService};
use crate::support::sse::{Events, Heard};
use crate::support::{
    ADMIN, APP_SECRET, Daemon, PAGE, client, config, envelope, message, messenger, now_ms, switch,
};
use serde_json::{Value, json};

/// How long something may take that happens by itself: many times what it takes here.
const PATIENCE: Duration = Duration::from_secs(60);
const PASSWORD: &str = "seven blue umbrellas";

fn with(steps: &str) -> String {
    config(&format!(
        "\n[hooks]\nallow_private_addresses = true\n\n[bell]\nsteps = [{steps}]\n"
    ))
}

async fn arrives(daemon: &Daemon, person: &str, mid: &str) {
    let body = envelope(
        PAGE,
        &[message(person, mid, "When does it come?", now_ms())],
    );
    assert_eq!(daemon.deliver("shop-page", APP_SECRET, body).await, 200);
}

async fn ask(
    daemon: &Daemon,
    method: &str,
    path: &str,
    by: &Door,
    body: Option<Value>,
) -> (u16, Value) {
    let method = method.parse().expect("a method");
    let mut request = client().request(method, format!("{}/api/v1/{path}", daemon.url));
    request = match by {
        Door::Token(token) => request.bearer_auth(token),
        Door::Session(cookie) => request.header("cookie", cookie),
    };
    if let Some(body) = body {
        request = request.json(&body);
    }
    let answer = request.send().await.expect("an answer");
    let status = answer.status().as_u16();
    (status, answer.json().await.unwrap_or_default())
}

/// By what somebody comes in.
enum Door {
    Token(String),
    Session(String),
}

fn admin() -> Door {
    Door::Token(ADMIN.to_owned())
}

/// Adds somebody and signs them in.
async fn person(daemon: &Daemon, email: &str) -> (String, Door) {
    let body = json!({ "email": email, "name": email, "password": PASSWORD, "role": "agent", "channels": "all" });
    let (status, made) = ask(daemon, "POST", "users", &admin(), Some(body)).await;
    assert_eq!(status, 201, "{made}");
    let id = made["id"].as_str().or(made["user"]["id"].as_str());
    let id = id.expect("an id").to_owned();
    let body = json!({ "email": email, "password": PASSWORD });
    let answer = client()
        .post(format!("{}/api/v1/session", daemon.url))
        .json(&body)
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status(), 201);
    let cookies = answer.headers().get_all("set-cookie").iter();
    let cookie = cookies
        .filter_map(|cookie| cookie.to_str().ok()?.split(';').next())
        .find(|pair| pair.starts_with("deskbell="))
        .expect("a session");
    (id, Door::Session(cookie.to_owned()))
}

/// A browser of somebody's subscribes and answers its first test; gives its device.
async fn browser(daemon: &Daemon, service: &PushService, by: &Door, name: &str) -> String {
    let (_, key) = ask(daemon, "GET", "push-key", by, None).await;
    service.expect_key(key["key"].as_str().expect("a key"));
    let body = json!({ "kind": "web-push", "name": name.trim_end_matches("-canary-endpoint"), "subscription": service.subscribe(name) });
    let (status, made) = ask(daemon, "POST", "devices", by, Some(body)).await;
    assert_eq!(status, 201, "{made}");
    let id = made["id"].as_str().expect("an id").to_owned();
    let test = service
        .wait_for(name, PATIENCE, |told| told["type"] == "test")
        .await;
    assert_eq!(test.message["silent"], true);
    let body = json!({ "test": test.message["test"] });
    let path = format!("devices/{id}/confirm");
    let (status, device) = ask(daemon, "POST", &path, by, Some(body)).await;
    assert_eq!((status, &device["state"]), (200, &json!("working")));
    id
}

/// The rings of conversations: that nothing has shown one is an alarm beside them.
async fn rings(daemon: &Daemon) -> Vec<Value> {
    let mut all = daemon.all("bell", 200).await;
    all.retain(|ring| ring.get("conversation_id").is_some());
    all
}

/// Waits until the only ring's ledger has a line that fits.
async fn ledger(daemon: &Daemon, fits: impl Fn(&Value) -> bool) -> Value {
    let begun = Instant::now();
    loop {
        let ring = rings(daemon).await.remove(0);
        let attempts = ring["attempts"].as_array().expect("a list");
        if let Some(found) = attempts.iter().find(|attempt| fits(attempt)) {
            return found.clone();
        }
        assert!(begun.elapsed() < PATIENCE, "{ring}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn is_ring(told: &Value) -> bool {
    told["type"] == "ring"
}

fn is_over(told: &Value) -> bool {
    told["type"] == "taken"
}

/// Whether a text stands anywhere in the files of a folder.
fn stands_in(folder: &Path, text: &str) -> bool {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("readable").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(bytes) = std::fs::read(&path)
                && bytes
                    .windows(text.len())
                    .any(|part| part == text.as_bytes())
            {
                return true;
            }
        }
    }
    false
}

#[tokio::test]
async fn f34_f36_k01_a_browser_is_told_once_a_step_and_what_is_taken_goes_everywhere() {
    let (folder, service) = (tempfile::tempdir().expect("a folder"), PushService::start());
    let daemon = Daemon::start(folder.path(), &with("\"0s\", \"4s\", \"600s\""));
    let (eva_id, eva) = person(&daemon, "eva@shop.example").await;
    let (ida_id, ida) = person(&daemon, "ida@shop.example").await;
    let of_eva = browser(&daemon, &service, &eva, "eva-canary-endpoint").await;
    browser(&daemon, &service, &ida, "ida").await;
    let mut events = Events::open(&daemon, ADMIN, None).await;
    let sent_at = Instant::now();
    arrives(&daemon, "p1", "m1").await;
    let first = service
        .wait_for("eva-canary-endpoint", PATIENCE, is_ring)
        .await;
    assert!(
        first.at.duration_since(sent_at) < Duration::from_secs(5),
        "F34"
    );
    let told = &first.message;
    assert_eq!(
        (&told["step"], &told["body"]),
        (&json!(1), &json!("When does it come?"))
    );
    assert!(
        told["title"]
            .as_str()
            .expect("text")
            .ends_with("Page shop-page"),
        "{told}"
    );
    assert!(
        (1..=15).contains(&first.ttl),
        "it is of use until the next step: {first:?}"
    );
    let rung = events
        .wait_for(PATIENCE, |told| told.kind == "bell.rung")
        .await;
    let mut whom: Vec<_> = rung.data["data"]["ring"]["told"]
        .as_array()
        .expect("a list")
        .clone();
    let mut both = vec![json!(eva_id), json!(ida_id)];
    whom.sort_by_key(Value::to_string);
    both.sort_by_key(Value::to_string);
    assert_eq!(whom, both, "the stream says whom it tells");
    let sent = ledger(&daemon, |one| one["device_id"] == of_eva.as_str()).await;
    assert_eq!(
        (&sent["result"], &sent["device"], &sent["user_id"]),
        (&json!("sent"), &json!("web-push"), &json!(eva_id))
    );
    // The browser says that it showed it.
    let ring = told["ring"].as_str().expect("an id");
    let shown = json!({ "device": "web-push", "device_id": of_eva });
    let path = format!("bell/{ring}/shown");
    assert_eq!(ask(&daemon, "POST", &path, &eva, Some(shown)).await.0, 200);
    ledger(&daemon, |one| {
        one["device_id"] == of_eva.as_str() && one["result"] == "shown"
    })
    .await;
    let (_, devices) = ask(&daemon, "GET", "devices", &eva, None).await;
    assert!(devices["data"][0]["last_shown_at"].is_string(), "{devices}");
    // The second step, in the place of the first.
    let second = service
        .wait_for("eva-canary-endpoint", PATIENCE, |told| {
            is_ring(told) && told["step"] == 2
        })
        .await;
    assert_eq!(second.topic, first.topic);
    service
        .wait_for("ida", PATIENCE, |told| is_ring(told) && told["step"] == 2)
        .await;
    assert!(!first.topic.as_deref().expect("a topic").contains("cnv"));
    // Somebody takes it: it goes on every device, within a second.
    let taken_at = Instant::now();
    let path = format!("bell/{ring}/ack");
    assert_eq!(
        ask(&daemon, "POST", &path, &ida, Some(json!({}))).await.0,
        200
    );
    for name in ["eva-canary-endpoint", "ida"] {
        let over = service.wait_for(name, PATIENCE, is_over).await;
        let took = over.at.duration_since(taken_at);
        // A loaded machine is given more than the second that is promised.
        assert!(took < Duration::from_secs(5), "{name}: {took:?}");
        assert_eq!(over.message["conversation"], told["conversation"]);
    }
    let all = service.shown("eva-canary-endpoint");
    let rung: Vec<_> = all.iter().filter(|shown| is_ring(&shown.message)).collect();
    assert_eq!(rung.len(), 2, "{all:?}");
    service.assert_right();
    // Neither where the browser is reached nor its secret stands in the store as it is.
    drop(events);
    let (status, _) = daemon.stop();
    assert!(status.success());
    let data = folder.path().join("data");
    assert!(
        stands_in(&data, "eva@shop.example"),
        "the search finds what is there"
    );
    assert!(!stands_in(&data, "eva-canary-endpoint"));
}

#[tokio::test]
async fn o08_f34_dead_slow_and_failing_push_services_delay_nobody_and_are_told_as_they_are() {
    let (folder, service) = (tempfile::tempdir().expect("a folder"), PushService::start());
    let daemon = Daemon::start(folder.path(), &with("\"0s\", \"600s\""));
    let (_, eva) = person(&daemon, "eva@shop.example").await;
    let mut ids = HashMap::new();
    for name in [
        "hangs", "gone", "unknown", "refuses", "too-many", "fails", "late", "good",
    ] {
        let id = browser(&daemon, &service, &eva, name).await;
        ids.insert(name, json!(id));
    }
    service.set("hangs", Mood::Hangs);
    service.set("gone", Mood::Answers(410, None));
    service.set("unknown", Mood::Answers(404, None));
    service.set("refuses", Mood::Answers(403, None));
    service.set("too-many", Mood::Answers(429, Some(3)));
    service.set("fails", Mood::Answers(500, None));
    service.set("late", Mood::Late(Duration::from_secs(2)));
    let begun = Instant::now();
    arrives(&daemon, "p1", "m1").await;
    let good = service.wait_for("good", PATIENCE, is_ring).await;
    let took = good.at.duration_since(begun);
    assert!(
        took < Duration::from_secs(8),
        "the hanging one takes 15 s: {took:?}"
    );
    let of = async |name: &str, result: &str| {
        ledger(&daemon, |one| {
            one["device_id"] == ids[name] && one["result"] == result
        })
        .await
    };
    of("gone", "expired").await;
    of("unknown", "expired").await;
    let refused = of("refuses", "failed").await;
    assert!(
        refused["detail"].as_str().expect("words").contains("403"),
        "{refused}"
    );
    let failed = of("fails", "failed").await;
    assert!(
        failed["detail"].as_str().expect("words").contains("500"),
        "{failed}"
    );
    of("too-many", "failed").await;
    let limited_at = Instant::now();
    // What is gone is gone, what fails says why, the others are untouched.
    let (_, devices) = ask(&daemon, "GET", "devices", &eva, None).await;
    let states: HashMap<&str, &str> = devices["data"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|device| Some((device["name"].as_str()?, device["state"].as_str()?)))
        .collect();
    assert!(
        !states.contains_key("gone") && !states.contains_key("unknown"),
        "{states:?}"
    );
    assert_eq!(states["refuses"], "failing");
    assert_eq!(states["good"], "working");
    // They work again: the same step gets through to them.
    service.set("fails", Mood::Takes);
    service.set("too-many", Mood::Takes);
    service.wait_for("fails", PATIENCE, is_ring).await;
    let later = service.wait_for("too-many", PATIENCE, is_ring).await;
    let waited = later.at.duration_since(limited_at);
    assert!(
        waited > Duration::from_millis(1_500),
        "it was to wait for 3 s: {waited:?}"
    );
    let hung = of("hangs", "failed").await;
    assert!(
        hung["detail"]
            .as_str()
            .expect("words")
            .contains("did not answer"),
        "{hung}"
    );
    service.set("hangs", Mood::Takes);
    service.wait_for("hangs", PATIENCE, is_ring).await;
    assert_eq!(
        service.calls("refuses"),
        2,
        "its test and one ring: no storm"
    );
    let good: Vec<_> = service.shown("good");
    let rung = good.iter().filter(|shown| is_ring(&shown.message)).count();
    assert_eq!(rung, 1, "{good:?}");
    service.assert_right();
}

#[tokio::test]
async fn f34_f36_a_kill_loses_no_telling_and_what_comes_again_bears_the_same_id() {
    let (folder, service) = (tempfile::tempdir().expect("a folder"), PushService::start());
    let mut daemon = Daemon::start(folder.path(), &with("\"0s\", \"600s\""));
    let (_, eva) = person(&daemon, "eva@shop.example").await;
    browser(&daemon, &service, &eva, "one").await;
    browser(&daemon, &service, &eva, "two").await;
    for round in 0..4_u64 {
        arrives(&daemon, &format!("p{round}"), &format!("m{round}")).await;
        tokio::time::sleep(Duration::from_millis(round * 15)).await;
        daemon.kill();
        daemon = Daemon::start_as_it_is(folder.path());
    }
    let all = rings(&daemon).await;
    assert_eq!(all.len(), 4);
    for name in ["one", "two"] {
        for ring in &all {
            let is_this = |told: &Value| is_ring(told) && told["ring"] == ring["id"];
            // In a notification of its own, or as one of several that one tells of together.
            let begun = Instant::now();
            loop {
                let shown = service.shown(name);
                let own: Vec<_> = shown
                    .iter()
                    .filter(|shown| is_this(&shown.message))
                    .collect();
                let mut ids: Vec<_> = own.iter().map(|shown| &shown.message["id"]).collect();
                ids.dedup();
                assert!(ids.len() <= 1, "told twice as two: {own:?}");
                let now = rings(&daemon).await;
                let now = now
                    .iter()
                    .find(|one| one["id"] == ring["id"])
                    .expect("there");
                let lines = now["attempts"].as_array().expect("a list");
                let is_done = !lines.is_empty()
                    && (!own.is_empty()
                        || shown.iter().any(|shown| {
                            shown.message["count"]
                                .as_u64()
                                .is_some_and(|count| count > 1)
                        }));
                if is_done {
                    break;
                }
                assert!(
                    begun.elapsed() < PATIENCE,
                    "{name} was never told of {ring}"
                );
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
    service.assert_right();
}

#[tokio::test]
async fn s04_who_is_disabled_is_told_nothing_and_a_companion_hears_its_end() {
    let (folder, service) = (tempfile::tempdir().expect("a folder"), PushService::start());
    let daemon = Daemon::start(folder.path(), &with("\"0s\", \"600s\""));
    let (eva_id, eva) = person(&daemon, "eva@shop.example").await;
    let (_, ida) = person(&daemon, "ida@shop.example").await;
    browser(&daemon, &service, &eva, "eva").await;
    browser(&daemon, &service, &ida, "ida").await;
    let (_, code) = ask(&daemon, "POST", "devices/codes", &eva, None).await;
    let body = json!({ "code": code["code"], "name": "Till", "kind": "desktop" });
    let claimed = client()
        .post(format!("{}/api/v1/devices/claim", daemon.url))
        .json(&body)
        .send()
        .await
        .expect("an answer");
    assert_eq!(claimed.status(), 201);
    let claimed: Value = claimed.json().await.expect("JSON");
    let token = claimed["token"].as_str().expect("a token").to_owned();
    let mut stream = Events::open(&daemon, &token, None).await;
    // A test of the companion comes on its stream.
    let device = claimed["device"]["id"].as_str().expect("an id");
    let path = format!("devices/{device}/test");
    assert_eq!(ask(&daemon, "POST", &path, &eva, None).await.0, 202);
    let test = stream
        .wait_for(PATIENCE, |told| {
            told.kind == "device.test" && told.data["data"]["silent"] == false
        })
        .await;
    assert_eq!(test.id, None);
    assert_eq!(test.data["data"]["device_id"], device);
    let body = json!({ "test": test.data["data"]["test"] });
    let path = format!("devices/{device}/confirm");
    let (status, confirmed) = ask(
        &daemon,
        "POST",
        &path,
        &Door::Token(token.clone()),
        Some(body),
    )
    .await;
    assert_eq!((status, &confirmed["state"]), (200, &json!("working")));
    let body = json!({ "disabled": true });
    let (status, _) = ask(
        &daemon,
        "PATCH",
        &format!("users/{eva_id}"),
        &admin(),
        Some(body),
    )
    .await;
    assert_eq!(status, 200);
    arrives(&daemon, "p1", "m1").await;
    service.wait_for("ida", PATIENCE, is_ring).await;
    // The stream shows nothing of what came after, and ends.
    loop {
        match stream.next(PATIENCE).await {
            Heard::Ended => break,
            Heard::Comment => {}
            Heard::Event(told) => assert_ne!(told.kind, "bell.rung", "{told:?}"),
            Heard::Silence => panic!("the stream goes on"),
        }
    }
    let (status, _) = ask(&daemon, "GET", "me", &Door::Token(token), None).await;
    assert_eq!(status, 401);
    assert!(
        !service
            .shown("eva")
            .iter()
            .any(|shown| is_ring(&shown.message))
    );
    service.assert_right();
}

/// `DESKBELL_BACKLOG=10000` is the long form.
#[tokio::test]
async fn f30_a_backlog_is_a_digest_with_few_sounds_and_drowns_no_other_channel() {
    let backlog = switch("DESKBELL_BACKLOG", 300);
    let (folder, service) = (tempfile::tempdir().expect("a folder"), PushService::start());
    let other = messenger(
        "other-page",
        "4242424243",
        "5647382910",
        "another-invented-secret",
    );
    let daemon = Daemon::start(
        folder.path(),
        &format!("{}\n{other}", with("\"0s\", \"3600s\"")),
    );
    let (_, eva) = person(&daemon, "eva@shop.example").await;
    browser(&daemon, &service, &eva, "eva").await;
    let begun = Instant::now();
    for first in (0..backlog).step_by(50) {
        let some: Vec<Value> = (first..backlog.min(first + 50))
            .map(|n| message(&format!("p{n}"), &format!("m{n}"), "And mine?", now_ms()))
            .collect();
        let status = daemon.deliver("shop-page", APP_SECRET, envelope(PAGE, &some));
        assert_eq!(status.await, 200);
        if first == 100 {
            // Amid the flood somebody writes elsewhere.
            let quiet = message("quiet", "quiet-1", "Hello?", now_ms());
            let body = envelope("5647382910", &[quiet]);
            let status = daemon.deliver("other-page", "another-invented-secret", body);
            assert_eq!(status.await, 200);
        }
    }
    // Each is in the ledger with a line for her browser: its own, or that it is one of many.
    loop {
        let told = rings(&daemon).await;
        let is_told = |ring: &Value| !ring["attempts"].as_array().expect("a list").is_empty();
        if told.len() == backlog + 1 && told.iter().all(is_told) {
            break;
        }
        assert!(begun.elapsed() < 4 * PATIENCE, "{} rings", told.len());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let names_other = |told: &Value| {
        let has = |field: &str| {
            told[field]
                .as_str()
                .is_some_and(|text| text.contains("other-page"))
        };
        is_ring(told) && (has("title") || has("body"))
    };
    service.wait_for("eva", PATIENCE, names_other).await;
    let rung: Vec<_> = service.shown("eva");
    let rung: Vec<_> = rung.iter().filter(|one| is_ring(&one.message)).collect();
    let most = usize::try_from(begun.elapsed().as_secs() / 3 + 2).expect("short");
    assert!(rung.len() <= most, "{} notifications", rung.len());
    for pair in rung.windows(2) {
        let apart = pair[1].at.duration_since(pair[0].at);
        // The daemon counts from when it began to send.
        assert!(
            apart >= Duration::from_millis(2_500),
            "two sounds within {apart:?}"
        );
    }
    let mut named: Vec<_> = rung
        .iter()
        .map(|one| one.message["conversation"].to_string())
        .collect();
    let all = named.len();
    named.sort();
    named.dedup();
    assert_eq!(named.len(), all, "no conversation has two");
    service.assert_right();
}
