//! Outgoing hooks of the real daemon, against a strict receiver.

mod commands;
mod contained;
mod orders;
mod people;
mod receiver;

use std::time::Duration;

use crate::support::{ADMIN, APP_SECRET, Daemon, PAGE, client, config, envelope, message, now_ms};
use receiver::{Answer, Receiver};
use serde_json::{Value, json};

/// A configuration whose hooks may lead to this machine.
fn hooks_config(retry: &str) -> String {
    config(&format!(
        "\n[hooks]\nallow_private_addresses = true\nretry = [{retry}]\n"
    ))
}

async fn call(daemon: &Daemon, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
    let method = method.parse().expect("a method");
    let mut request = client()
        .request(method, format!("{}/api/v1/{path}", daemon.url))
        .bearer_auth(ADMIN);
    if let Some(body) = body {
        request = request.json(body);
    }
    let answer = request.send().await.expect("an answer");
    let status = answer.status().as_u16();
    (status, answer.json().await.unwrap_or_default())
}

/// Makes a hook to the receiver, which believes it from then on; gives its id and secret.
async fn hook(daemon: &Daemon, receiver: &Receiver, more: &Value) -> (String, String) {
    let mut wanted = json!({ "url": receiver.url, "events": ["message.created"] });
    for (key, value) in more.as_object().expect("fields") {
        wanted[key] = value.clone();
    }
    let (status, made) = call(daemon, "POST", "hooks", Some(&wanted)).await;
    assert_eq!(status, 201, "{made}");
    let secret = made["secret"].as_str().expect("a secret").to_owned();
    receiver.trust(&[&secret]);
    (made["id"].as_str().expect("an id").to_owned(), secret)
}

async fn arrives(daemon: &Daemon, person: &str, text: &str) {
    let body = envelope(
        PAGE,
        &[message(
            person,
            &format!("m-{person}-{text}"),
            text,
            now_ms(),
        )],
    );
    assert_eq!(daemon.deliver("shop-page", APP_SECRET, body).await, 200);
}

async fn deliveries(daemon: &Daemon, hook: &str) -> Vec<Value> {
    daemon.all(&format!("hooks/{hook}/deliveries"), 50).await
}

/// Waits until `wanted` holds of the deliveries of a hook, newest first.
async fn until_deliveries(
    daemon: &Daemon,
    hook: &str,
    what: &str,
    wanted: impl Fn(&[Value]) -> bool,
) -> Vec<Value> {
    let begun = std::time::Instant::now();
    loop {
        let all = deliveries(daemon, hook).await;
        if wanted(&all) {
            return all;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{what}: {all:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn o02_o03_a_hook_hears_signed_events_and_its_secret_is_shown_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &hooks_config("\"1s\""));
    let receiver = Receiver::start().await;
    arrives(&daemon, "p0", "before the hook").await;
    let (id, secret) = hook(&daemon, &receiver, &json!({})).await;
    arrives(&daemon, "p1", "When does it come?").await;
    let calls = receiver
        .until("the message", |calls| !calls.is_empty())
        .await;
    assert_eq!(calls[0].body["type"], "message.created");
    assert_eq!(
        calls[0].text(),
        "When does it come?",
        "not what was before it"
    );
    assert_eq!(calls[0].hops, "1");
    let shown = daemon.get("feed").await["data"][0].clone();
    for part in ["id", "text", "sent_at", "author", "conversation_id"] {
        assert_eq!(
            calls[0].body["data"]["message"][part], shown[part],
            "{part}"
        );
    }
    let log = until_deliveries(&daemon, &id, "the log", |all| {
        all.len() == 1 && all[0]["state"] == "delivered"
    })
    .await;
    assert_eq!(log[0]["attempts"][0]["status"], 204);
    assert_eq!(log[0]["body"], calls[0].raw.as_str());
    assert_eq!(log[0]["webhook_id"], calls[0].id.as_str());

    // O03: nowhere again, also not in files.
    let plain = secret.trim_start_matches("whsec_");
    for path in [
        "hooks".to_owned(),
        format!("hooks/{id}"),
        format!("hooks/{id}/deliveries"),
        "audit".to_owned(),
    ] {
        let shown = daemon.get(&path).await.to_string();
        assert!(!shown.contains(plain), "{path} shows the secret");
    }
    let (status, changed) = call(
        &daemon,
        "PATCH",
        &format!("hooks/{id}"),
        Some(&json!({ "escalation": true })),
    )
    .await;
    assert_eq!((status, &changed["escalation"]), (200, &json!(true)));
    assert!(!changed.to_string().contains(plain));
    assert!(!daemon.log().contains(plain));

    // The test button, with a receiver that works and with one that does not.
    receiver.plan(|_| Answer::Status(200, "thank you".to_owned()));
    let (status, tested) = call(&daemon, "POST", &format!("hooks/{id}/test"), None).await;
    assert_eq!((status, &tested["delivered"]), (200, &json!(true)));
    assert_eq!(
        (&tested["attempt"]["status"], &tested["attempt"]["answer"]),
        (&json!(200), &json!("thank you"))
    );
    let calls = receiver.calls();
    assert_eq!(calls.last().expect("a call").body["type"], "test");
    receiver.trust(&["whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"]);
    let (status, tested) = call(&daemon, "POST", &format!("hooks/{id}/test"), None).await;
    assert_eq!((status, &tested["delivered"]), (200, &json!(false)));
    assert_eq!(tested["attempt"]["status"], 401);
    assert_eq!(
        receiver.wrong().len(),
        1,
        "the receiver refused a wrong signature"
    );

    let (status, _) = call(&daemon, "DELETE", &format!("hooks/{id}"), None).await;
    assert_eq!(status, 204);
    assert_eq!(
        call(&daemon, "GET", &format!("hooks/{id}/deliveries"), None)
            .await
            .0,
        404
    );
}

#[tokio::test]
async fn o02_for_a_day_both_secrets_sign() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &hooks_config("\"1s\""));
    let receiver = Receiver::start().await;
    let (id, old) = hook(&daemon, &receiver, &json!({})).await;
    let (status, rotated) = call(&daemon, "POST", &format!("hooks/{id}/rotate"), None).await;
    assert_eq!(status, 200, "{rotated}");
    let new = rotated["secret"].as_str().expect("a secret").to_owned();
    assert_ne!(old, new);
    assert!(rotated["former_secret_until"].is_string());
    arrives(&daemon, "p1", "one").await;
    let calls = receiver.until("the first", |calls| calls.len() == 1).await;
    assert_eq!(calls[0].signatures.len(), 2);
    receiver.trust(&[&new]);
    arrives(&daemon, "p1", "two").await;
    receiver.until("the second", |calls| calls.len() == 2).await;
}

#[tokio::test]
async fn retries_keep_their_id_and_wait_as_long_as_they_are_asked_to() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(
        folder.path(),
        &hooks_config("\"100ms\", \"100ms\", \"100ms\""),
    );
    let receiver = Receiver::start().await;
    let (id, _) = hook(&daemon, &receiver, &json!({})).await;
    let mut answers = vec![Answer::Status(500, "x".repeat(5_000)), Answer::After(3)].into_iter();
    receiver.plan(move |_| answers.next().unwrap_or(Answer::Status(200, String::new())));
    arrives(&daemon, "p1", "one").await;
    let calls = receiver
        .until("three calls", |calls| calls.len() == 3)
        .await;
    assert!(
        calls
            .iter()
            .all(|call| call.id == calls[0].id && call.raw == calls[0].raw)
    );
    let waited = calls[2].at - calls[1].at;
    assert!(waited >= Duration::from_millis(2_900), "{waited:?}");
    let log = until_deliveries(&daemon, &id, "delivered", |all| {
        all[0]["state"] == "delivered"
    })
    .await;
    let kept = log[0]["attempts"][0]["answer"]
        .as_str()
        .expect("its answer");
    assert_eq!(kept.len(), 1024, "O04: little of the answer is kept");

    // O01: it is not followed where it leads.
    let hidden = Receiver::start().await;
    let to = hidden.url.clone();
    let mut answers = vec![Answer::Redirect(to)].into_iter();
    receiver.plan(move |_| answers.next().unwrap_or(Answer::Status(200, String::new())));
    arrives(&daemon, "p1", "two").await;
    receiver.until("five calls", |calls| calls.len() == 5).await;
    assert!(hidden.calls().is_empty());

    // After the last attempt it is given up, visibly, and can be asked for again.
    receiver.plan(|_| Answer::Status(404, "nobody here".to_owned()));
    arrives(&daemon, "p1", "three").await;
    let log = until_deliveries(&daemon, &id, "given up", |all| all[0]["state"] == "dead").await;
    assert_eq!(
        (&log[0]["tries"], &log[0]["next_attempt_at"]),
        (&json!(4), &Value::Null)
    );
    let dead = call(
        &daemon,
        "GET",
        &format!("hooks/{id}/deliveries?state=dead"),
        None,
    )
    .await
    .1;
    assert_eq!(dead["data"].as_array().expect("a list").len(), 1);
    assert!(daemon.get(&format!("hooks/{id}")).await["failing_since"].is_string());
    receiver.plan(|_| Answer::Status(200, String::new()));
    let again = json!({ "delivery_id": log[0]["id"] });
    let (status, told) = call(&daemon, "POST", &format!("hooks/{id}/replay"), Some(&again)).await;
    assert_eq!((status, told), (200, json!({ "events": 1 })));
    let log = until_deliveries(&daemon, &id, "told again", |all| {
        all[0]["state"] == "delivered"
    })
    .await;
    let calls = receiver.calls();
    let last = calls.last().expect("a call");
    assert_eq!(
        (last.text(), log[0]["webhook_id"].as_str()),
        ("three".to_owned(), Some(last.id.as_str()))
    );
    assert!(daemon.get(&format!("hooks/{id}")).await["failing_since"].is_null());
}

#[tokio::test]
async fn one_that_is_gone_is_switched_off_and_what_waits_is_told_when_it_is_on_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &hooks_config("\"100ms\", \"100ms\""));
    let receiver = Receiver::start().await;
    let (id, _) = hook(&daemon, &receiver, &json!({})).await;
    receiver.plan(|_| Answer::Status(410, String::new()));
    arrives(&daemon, "p1", "one").await;
    receiver.until("the call", |calls| calls.len() == 1).await;
    let begun = std::time::Instant::now();
    loop {
        let shown = daemon.get(&format!("hooks/{id}")).await;
        if shown["enabled"] == false {
            assert!(
                shown["disabled_reason"]
                    .as_str()
                    .is_some_and(|why| why.contains("410"))
            );
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{shown}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    arrives(&daemon, "p1", "while it is off").await;
    let replay = json!({ "since": "2020-01-01T00:00:00Z" });
    let (status, _) = call(
        &daemon,
        "POST",
        &format!("hooks/{id}/replay"),
        Some(&replay),
    )
    .await;
    assert_eq!(status, 409, "nothing is told to a hook that is off");
    assert_eq!(receiver.calls().len(), 1);
    receiver.plan(|_| Answer::Status(200, String::new()));
    call(
        &daemon,
        "PATCH",
        &format!("hooks/{id}"),
        Some(&json!({ "enabled": true })),
    )
    .await;
    let calls = receiver
        .until("what waited", |calls| calls.len() == 2)
        .await;
    assert_eq!(
        (calls[1].text().as_str(), &calls[1].id),
        ("one", &calls[0].id)
    );
    // All since a time: what was missed, and what it has under the same ids.
    let (status, told) = call(
        &daemon,
        "POST",
        &format!("hooks/{id}/replay"),
        Some(&replay),
    )
    .await;
    assert_eq!(status, 200, "{told}");
    let calls = receiver.until("all again", |calls| calls.len() == 4).await;
    assert_eq!(calls[2].id, calls[0].id);
    assert_eq!(calls[3].text(), "while it is off");
    let nothing = json!({ "since": "2099-01-01T00:00:00Z" });
    let (status, told) = call(
        &daemon,
        "POST",
        &format!("hooks/{id}/replay"),
        Some(&nothing),
    )
    .await;
    assert_eq!((status, &told["events"]), (200, &json!(0)));
}

#[tokio::test]
async fn channels_events_and_escalation_choose_what_is_heard() {
    let folder = tempfile::tempdir().expect("a folder");
    let steps = "\n[bell]\nsteps = [\"0s\", \"1s\", \"2s\", \"3s\"]\n";
    let daemon = Daemon::start(folder.path(), &format!("{}{steps}", hooks_config("\"1s\"")));
    let (elsewhere, rings, escalated) = (
        Receiver::start().await,
        Receiver::start().await,
        Receiver::start().await,
    );
    hook(&daemon, &elsewhere, &json!({ "channels": ["site"] })).await;
    hook(
        &daemon,
        &rings,
        &json!({ "events": ["bell.rung"], "channels": ["shop-page"] }),
    )
    .await;
    hook(
        &daemon,
        &escalated,
        &json!({ "events": ["bell.rung"], "escalation": true }),
    )
    .await;
    arrives(&daemon, "p1", "does anybody hear me?").await;
    let late = escalated
        .until("the escalation", |calls| !calls.is_empty())
        .await;
    assert_eq!(late[0].body["data"]["ring"]["step"], 4);
    let steps: Vec<_> = rings
        .calls()
        .iter()
        .map(|call| &call.body["data"]["ring"])
        // That nobody is there is an alarm of this channel, too.
        .filter(|ring| ring["conversation_id"].is_string())
        .map(|ring| ring["step"].clone())
        .collect();
    assert_eq!(steps[..3], [json!(1), json!(2), json!(3)]);
    assert!(elsewhere.calls().is_empty());
    // The ledger of the ring says who was told.
    let ring = daemon.get("bell").await["data"][0].clone();
    let told = ring["attempts"].as_array().expect("attempts");
    assert!(
        told.iter()
            .any(|attempt| attempt["device"] == "hook" && attempt["result"] == "sent"),
        "{ring}"
    );
    for (wrong, field) in [
        (
            json!({ "url": "http://127.0.0.1/", "events": [] }),
            "/events",
        ),
        (
            json!({ "url": "http://127.0.0.1/", "events": ["message.made"] }),
            "/events",
        ),
        (
            json!({ "url": "http://127.0.0.1/", "events": ["bell.rung"], "channels": ["nowhere"] }),
            "/channels",
        ),
        (
            json!({ "url": "ftp://127.0.0.1/", "events": ["bell.rung"] }),
            "/url",
        ),
        (
            json!({ "url": "http://me:secret@127.0.0.1/", "events": ["bell.rung"] }),
            "/url",
        ),
        (
            json!({ "url": "http://127.0.0.1/", "events": ["bell.rung"], "kind": "command" }),
            "/kind",
        ),
        (
            json!({ "url": "http://127.0.0.1/", "events": ["bell.rung"], "access_token": "x" }),
            "/access_token",
        ),
    ] {
        let (status, problem) = call(&daemon, "POST", "hooks", Some(&wrong)).await;
        assert_eq!(
            (status, problem["errors"][0]["pointer"].as_str()),
            (422, Some(field)),
            "{problem}"
        );
    }
}

#[tokio::test]
async fn o01_no_hook_leads_inside_unless_the_configuration_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &config(""));
    for url in [
        "http://hooks.example/",
        "https://127.0.0.1/",
        "https://10.1.2.3/",
        "https://169.254.169.254/latest/meta-data/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://0x7f.1/",
        "https://2130706433/",
        "https://hooks.example:8443/",
        "https://me:secret@hooks.example/",
        "file:///etc/passwd",
    ] {
        let wanted = json!({ "url": url, "events": ["message.created"] });
        let (status, problem) = call(&daemon, "POST", "hooks", Some(&wanted)).await;
        assert_eq!(
            (status, problem["errors"][0]["pointer"].as_str()),
            (422, Some("/url")),
            "{url}: {problem}"
        );
        assert!(!problem.to_string().contains("secret"));
    }
    // A name that leads inside is found out when it is called.
    let wanted = json!({ "url": "https://localhost/", "events": ["message.created"] });
    let (status, made) = call(&daemon, "POST", "hooks", Some(&wanted)).await;
    assert_eq!(status, 201, "{made}");
    let id = made["id"].as_str().expect("an id");
    let (_, tested) = call(&daemon, "POST", &format!("hooks/{id}/test"), None).await;
    let error = tested["attempt"]["error"].as_str().expect("an error");
    assert!(error.contains("not on the public internet"), "{error}");
}

#[tokio::test]
async fn whoever_is_erased_is_in_no_log_of_deliveries() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &hooks_config("\"60s\""));
    let receiver = Receiver::start().await;
    let all =
        json!({ "events": ["message.created", "contact.created", "bell.rung", "contact.deleted"] });
    let (id, _) = hook(&daemon, &receiver, &all).await;
    arrives(&daemon, "p1", "canary of the first").await;
    arrives(&daemon, "p2", "canary of the second").await;
    receiver.until("both", |calls| calls.len() >= 6).await;
    // One that waits is withdrawn as well.
    receiver.plan(|_| Answer::Status(503, String::new()));
    arrives(&daemon, "p1", "canary that waits").await;
    receiver
        .until("the attempt", |calls| {
            calls.iter().any(|call| call.status == 503)
        })
        .await;
    let first = daemon.all("feed", 50).await;
    let of_first = first
        .iter()
        .find(|item| item["text"] == "canary of the first")
        .expect("there");
    let contact = of_first["contact"]["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let before = json!(deliveries(&daemon, &id).await).to_string();
    assert!(before.contains("canary of the first") && before.contains("canary that waits"));
    receiver.plan(|_| Answer::Status(200, String::new()));
    let (status, _) = call(&daemon, "DELETE", &format!("contacts/{contact}"), None).await;
    assert_eq!(status, 204);
    let begun = std::time::Instant::now();
    loop {
        let shown = json!(deliveries(&daemon, &id).await).to_string();
        let gone = !shown.contains("canary of the first") && !shown.contains("canary that waits");
        let told = shown.contains("contact.deleted");
        if gone && told {
            assert!(shown.contains("canary of the second"));
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{shown}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn o09_a_program_that_answers_itself_is_stopped() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &hooks_config("\"1s\""));
    let receiver = Receiver::start().await;
    hook(&daemon, &receiver, &json!({})).await;
    arrives(&daemon, "p1", "hello").await;
    for round in 1..=4_usize {
        let calls = receiver
            .until("the next round", |calls| calls.len() == round)
            .await;
        let last = calls.last().expect("a call");
        assert_eq!(last.hops, round.to_string());
        let conversation = last.conversation();
        let answer = client()
            .post(format!(
                "{}/api/v1/conversations/{conversation}/messages",
                daemon.url
            ))
            .bearer_auth(ADMIN)
            .header("deskbell-hops", &last.hops)
            .json(&json!({ "text": format!("note {round}"), "private": true }))
            .send()
            .await
            .expect("an answer");
        let wanted = if round < 4 { 201..=202 } else { 508..=508 };
        assert!(
            wanted.contains(&answer.status().as_u16()),
            "round {round}: {}",
            answer.status()
        );
    }
    // What people do begins anew.
    arrives(&daemon, "p1", "still there?").await;
    let calls = receiver
        .until("a new round", |calls| calls.len() == 5)
        .await;
    assert_eq!(calls[4].hops, "1");
}
