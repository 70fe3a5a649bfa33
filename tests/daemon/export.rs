//! The history is taken away from one daemon and into another, by the commands that people type.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::support::calls::until;
use crate::support::command::{Said, run};
use crate::support::{ADMIN, APP_SECRET, Daemon, PAGE, client, config, envelope, message, now_ms};
use serde_json::{Value, json};

/// How many people write to the Page, and how often each.
const PEOPLE: i64 = 24;
const TIMES: i64 = 12;

fn text_of(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

fn event(person: &str, of: &str, at: i64, inner: Value) -> Value {
    json!({ "sender": { "id": person }, "recipient": { "id": PAGE }, "timestamp": at, of: inner })
}

/// People write to the Page: words, places, edits, reactions, what they take back; the Page answers elsewhere.
async fn customers_write(daemon: &Daemon) {
    let begun = now_ms() - 3_600_000;
    let mut events = Vec::new();
    for time in 0..TIMES {
        for number in 0..PEOPLE {
            let person = format!("20{number:02}");
            let at = begun + time * 60_000 + number * 17;
            let mid = format!("m_{person}_{time}");
            let mut written = message(&person, &mid, &format!("Dobrý deň {time} 📦"), at);
            match (number + time) % 7 {
                0 => {
                    let place = json!({ "type": "location", "payload": { "coordinates": { "lat": 48.148_598_3, "long": 17.107_747_9 } } });
                    written["message"] = json!({ "mid": mid, "attachments": [place] });
                    events.push(written);
                }
                1 => {
                    events.push(written);
                    let edit = json!({ "mid": mid, "text": "What I meant", "num_edit": 1 });
                    events.push(event(&person, "message_edit", at + 1, edit));
                }
                2 => {
                    events.push(written);
                    let love =
                        json!({ "mid": mid, "action": "react", "reaction": "love", "emoji": "❤" });
                    events.push(event(&person, "reaction", at + 2, love));
                }
                3 => {
                    events.push(written);
                    events.push(event(
                        &person,
                        "message",
                        at + 3,
                        json!({ "mid": mid, "is_deleted": true }),
                    ));
                }
                4 => {
                    written["message"]["reply_to"] =
                        json!({ "mid": format!("m_{person}_{}", time - 1) });
                    events.push(written);
                    let mut echo =
                        message(PAGE, &format!("m_echo_{person}_{time}"), "We look", at + 5);
                    echo["recipient"]["id"] = json!(person);
                    echo["message"]["is_echo"] = json!(true);
                    events.push(echo);
                    events.push(event(
                        &person,
                        "read",
                        at + 9,
                        json!({ "watermark": at + 6 }),
                    ));
                }
                _ => events.push(written),
            }
        }
    }
    for some in events.chunks(40) {
        let status = daemon
            .deliver("shop-page", APP_SECRET, envelope(PAGE, some))
            .await;
        assert_eq!(status, 200);
    }
}

/// Bytes that are in no other file.
fn bytes_of(number: usize, length: usize) -> Vec<u8> {
    let mut state = number as u64 + 1;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(7);
        (state >> 33) as u8
    };
    (0..length).map(|_| next()).collect()
}

async fn upload(request: reqwest::RequestBuilder, name: &str, bytes: Vec<u8>) -> String {
    let part = reqwest::multipart::Part::bytes(bytes).file_name(name.to_owned());
    let form = reqwest::multipart::Form::new().part("file", part);
    let request = request.timeout(Duration::from_secs(90)).multipart(form);
    let answer = request.send().await.expect("answers");
    assert_eq!(answer.status(), 201, "{name}");
    text_of(&answer.json::<Value>().await.expect("JSON")["id"])
}

/// Visitors write in the website's chat, with files; the shop answers there with a large one.
async fn visitors_write(daemon: &Daemon) {
    let chat = format!("{}/chat/site", daemon.url);
    for number in 0..4 {
        let answer = client().post(format!("{chat}/session")).json(&json!({}));
        let session: Value = answer
            .send()
            .await
            .expect("answers")
            .json()
            .await
            .expect("JSON");
        let token = text_of(&session["token"]);
        let conversation = text_of(&session["conversation"]["id"]);
        let own = |path: &str| client().post(format!("{chat}/{path}")).bearer_auth(&token);
        let file = upload(own("attachments"), "photo é.bin", bytes_of(number, 4_000)).await;
        let words = json!({ "text": "See here", "client_id": format!("c{number}"), "attachment_ids": [file] });
        let answer = own("messages").json(&words).send().await.expect("answers");
        assert_eq!(
            answer.status(),
            201,
            "{}",
            answer.text().await.expect("text")
        );
        let staff = client()
            .post(format!("{}/api/v1/attachments", daemon.url))
            .bearer_auth(ADMIN);
        let file = upload(staff, "offer.bin", bytes_of(100 + number, 1_500_000)).await;
        write(
            daemon,
            &conversation,
            &json!({ "text": "Our offer", "attachment_ids": [file] }),
        )
        .await;
    }
}

async fn write(daemon: &Daemon, conversation: &str, body: &Value) -> Value {
    let path = format!("conversations/{conversation}/messages");
    let (status, answer) = daemon.post(&path, body).await;
    assert!([201, 202].contains(&status), "{status} {answer}");
    answer
}

async fn patch(daemon: &Daemon, path: &str, body: &Value) {
    let request = client()
        .patch(format!("{}/api/v1/{path}", daemon.url))
        .bearer_auth(ADMIN)
        .json(body);
    let status = request.send().await.expect("answers").status();
    assert_eq!(status, 200, "{path}");
}

/// The people of the shop do what they do. The last answer waits: its platform is not there.
async fn staff_works(daemon: &Daemon) {
    let conversations = daemon.all("conversations?channel=shop-page", 100).await;
    let id = |place: usize| text_of(&conversations[place]["id"]);
    let contact = |place: usize| text_of(&conversations[place]["contact"]["id"]);
    for (place, change) in [
        json!({ "status": "pending", "labels": ["vip", "returns"], "priority": "urgent" }),
        json!({ "status": "resolved", "subject": "Čaj" }),
        json!({ "snoozed_until": "2031-01-01T08:00:00Z" }),
    ]
    .iter()
    .enumerate()
    {
        patch(daemon, &format!("conversations/{}", id(place)), change).await;
    }
    let note = write(
        daemon,
        &id(3),
        &json!({ "text": "Call her back", "private": true }),
    )
    .await;
    let quoting = json!({ "text": "Done", "private": true, "reply_to": note["id"] });
    write(daemon, &id(3), &quoting).await;
    let (status, _) = daemon
        .post(&format!("conversations/{}/read", id(4)), &json!({}))
        .await;
    assert_eq!(status, 200);
    let named = json!({ "name": "Jana Nováková", "email": "jana@shop.example", "phone": "+421 900 000 001", "remark": "likes tea" });
    patch(daemon, &format!("contacts/{}", contact(5)), &named).await;
    let merge = format!("contacts/{}/merge", contact(6));
    let (status, answer) = daemon
        .post(&merge, &json!({ "contact_id": contact(7) }))
        .await;
    assert_eq!(status, 200, "{answer}");
    write(daemon, &id(8), &json!({ "text": "It is on its way" })).await;
}

/// A daemon with a history of everything; and the folder that it is in.
async fn lively() -> (Daemon, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &config(""));
    customers_write(&daemon).await;
    visitors_write(&daemon).await;
    staff_works(&daemon).await;
    (daemon, folder)
}

/// All that the API shows of the history, with the bytes of the files.
async fn everything(daemon: &Daemon) -> Vec<Value> {
    let mut all = Vec::new();
    for list in ["feed", "conversations", "contacts"] {
        all.push(json!({ list: daemon.all(list, 200).await }));
    }
    for conversation in daemon.all("conversations", 200).await {
        let path = format!(
            "conversations/{}/messages",
            conversation["id"].as_str().expect("an id")
        );
        for entry in daemon.all(&path, 200).await {
            for attachment in entry["attachments"].as_array().expect("a list") {
                if let Some(url) = attachment["url"].as_str() {
                    let request = client().get(format!("{}{url}", daemon.url));
                    let request = request.bearer_auth(ADMIN).timeout(Duration::from_secs(60));
                    let answer = request.send().await.expect("answers");
                    assert_eq!(answer.status(), 200, "{url}");
                    let kind = answer.headers()["content-type"].to_str().expect("a type");
                    let kind = kind.to_owned();
                    let bytes = answer.bytes().await.expect("bytes");
                    all.push(json!({ "file": url, "type": kind, "bytes": hex::encode(&bytes) }));
                }
            }
            all.push(entry);
        }
    }
    all
}

/// What waits to be sent waits no more after an import: makes it alike, and counts it.
fn without_queued(all: &mut [Value], state: &str) -> usize {
    let mut found = 0;
    for value in all {
        match value {
            Value::Object(fields) => {
                if fields
                    .get("delivery")
                    .is_some_and(|delivery| delivery["state"] == state)
                {
                    fields.insert("delivery".to_owned(), json!("not sent"));
                    found += 1;
                }
                for field in fields.values_mut() {
                    found += without_queued(std::slice::from_mut(field), state);
                }
            }
            Value::Array(values) => found += without_queued(values, state),
            _ => {}
        }
    }
    found
}

/// Whether two daemons hold the same, but for what waits to be sent in the first.
async fn same(from: &Daemon, into: &Daemon) {
    let (mut here, mut there) = (everything(from).await, everything(into).await);
    assert_eq!(
        without_queued(&mut here, "queued"),
        2,
        "in the feed and its conversation"
    );
    assert_eq!(without_queued(&mut there, "unknown"), 2);
    assert_eq!(here.len(), there.len());
    for (here, there) in here.iter().zip(&there) {
        assert_eq!(here, there);
    }
}

fn exported(folder: &Path) -> PathBuf {
    let file = folder.join("history.jsonl");
    let said = run(folder, &["export", "--out", "history.jsonl"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(
        said.err.contains("exported") && said.out.is_empty(),
        "{said:?}"
    );
    assert!(!folder.join("history.jsonl.part").exists());
    file
}

fn import(folder: &Path, file: &Path) -> Said {
    run(
        folder,
        &["import", &file.to_string_lossy(), "--format", "deskbell"],
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_history_goes_over_whole_and_once() {
    let (from, folder) = lively().await;
    let file = exported(folder.path());
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(&file)
        .expect("there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600, "it holds what customers wrote");

    let elsewhere = tempfile::tempdir().expect("a folder");
    let into = Daemon::start(elsewhere.path(), &config(""));
    into.add_somebody().await;
    let said = import(elsewhere.path(), &file);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(
        said.out.contains(" 0 updated, 2 known already."),
        "the channels: {said:?}"
    );
    same(&from, &into).await;

    // Again: nothing new, no event on the stream.
    let head = into.head().await;
    let said = import(elsewhere.path(), &file);
    assert!(said.out.starts_with("0 new, 0 updated, "), "{said:?}");
    assert_eq!(into.head().await, head);

    // What the platform delivers once more is known, and what comes next goes on in the same conversation.
    let count = into.all("feed", 200).await.len();
    customers_write(&into).await;
    assert_eq!(into.all("feed", 200).await.len(), count);
    let more = envelope(PAGE, &[message("2000", "m_more", "And now?", now_ms())]);
    assert_eq!(into.deliver("shop-page", APP_SECRET, more).await, 200);
    let newest = into.get("feed?limit=1").await["data"][0].clone();
    assert_eq!(newest["external_id"], "m_more");
    assert!(newest["conversation"]["message_count"].as_u64() > Some(10));

    // The imported desk stands a restart, and what it exports is the same as what it got.
    into.kill();
    let into = Daemon::start_as_it_is(elsewhere.path());
    assert_eq!(into.all("feed", 200).await.len(), count + 1);
    let said = run(elsewhere.path(), &["export"]);
    let lines = std::fs::read_to_string(&file)
        .expect("text")
        .lines()
        .count();
    assert_eq!(said.out.lines().count(), lines + 1, "one message more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn channels_that_are_not_there_are_closed_ones_with_a_history() {
    let (from, folder) = lively().await;
    let file = exported(folder.path());
    let elsewhere = tempfile::tempdir().expect("a folder");
    let bare = format!(
        "listen = \"127.0.0.1:0\"\n[auth]\nbootstrap_token = \"{ADMIN}\"\n[[channels]]\nid = \"new-site\"\n\
         connector = \"webchat\"\nname = \"New\"\n"
    );
    let into = Daemon::start(elsewhere.path(), &bare);
    assert_eq!(import(elsewhere.path(), &file).code, Some(0));
    for channel in ["shop-page", "site"] {
        let shown = into.get(&format!("channels/{channel}")).await;
        assert_eq!(shown["state"], "closed", "{shown}");
    }
    let (mut here, mut there) = (everything(&from).await, everything(&into).await);
    without_queued(&mut here, "queued");
    without_queued(&mut there, "unknown");
    // A channel that is closed has no reply window.
    let strip = |all: &mut Vec<Value>| {
        let text = serde_json::to_string(all).expect("JSON");
        let mut kept: Value = serde_json::from_str(&text).expect("JSON");
        take_out(&mut kept, "reply_window");
        kept
    };
    assert_eq!(strip(&mut here), strip(&mut there));

    // The same slug of another connector is refused, with the line and what to do.
    let other = tempfile::tempdir().expect("a folder");
    let taken = bare.replace("new-site", "shop-page");
    let _clashing = Daemon::start(other.path(), &taken);
    let said = import(other.path(), &file);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(
        said.err
            .contains("Line 2, /connector: the channel `shop-page` is one of `webchat` here"),
        "{said:?}"
    );
}

fn take_out(value: &mut Value, name: &str) {
    match value {
        Value::Object(fields) => {
            fields.remove(name);
            fields.values_mut().for_each(|field| take_out(field, name));
        }
        Value::Array(values) => values.iter_mut().for_each(|value| take_out(value, name)),
        _ => {}
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_in_the_middle_and_again_is_the_same_as_once() {
    let (from, folder) = lively().await;
    let file = exported(folder.path());
    let text = std::fs::read_to_string(&file).expect("text");
    let lines: Vec<&str> = text.lines().collect();
    let elsewhere = tempfile::tempdir().expect("a folder");
    let mut into = Daemon::start(elsewhere.path(), &config(""));
    into.add_somebody().await;
    for part in 1..4 {
        let some = lines[..lines.len() * part / 4].join("\n");
        let head = into.head().await;
        let request = client()
            .post(format!("{}/api/v1/imports", into.url))
            .bearer_auth(ADMIN)
            .header("content-type", "application/x-ndjson")
            .timeout(Duration::from_secs(120))
            .body(some);
        // It is killed as soon as a first decision of the request is durable.
        let asked = tokio::spawn(request.send());
        until("some of it is in", Duration::from_secs(60), async || {
            into.head().await > head
        })
        .await;
        into.kill();
        // It was cut, or just done.
        let _ = asked.await.expect("no panic");
        into = Daemon::start_as_it_is(elsewhere.path());
    }
    let said = import(elsewhere.path(), &file);
    assert_eq!(said.code, Some(0), "{said:?}");
    same(&from, &into).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_whole_export_is_refused_before_anything_is_taken_in() {
    let (_from, folder) = lively().await;
    let whole = std::fs::read_to_string(exported(folder.path())).expect("text");
    let elsewhere = tempfile::tempdir().expect("a folder");
    let into = Daemon::start(elsewhere.path(), &config(""));
    into.add_somebody().await;
    let head = into.head().await;
    let lines: Vec<&str> = whole.lines().collect();
    let count = lines.len();
    let joined = |lines: &[&str]| {
        lines
            .iter()
            .map(|line| format!("{line}\n"))
            .collect::<String>()
    };
    let mut damaged = lines.clone();
    damaged[10] = &damaged[10][..damaged[10].len() / 2];
    let mut fewer = lines.clone();
    fewer.remove(10);
    for (what, text, words) in [
        (
            "cut",
            joined(&lines[..count / 2]),
            format!("line {}: the file ends here", count / 2),
        ),
        (
            "cut in a line",
            whole[..whole.len() - 20].to_owned(),
            format!("line {count}: it is damaged"),
        ),
        (
            "damaged",
            joined(&damaged),
            "line 11: it is damaged".to_owned(),
        ),
        (
            "a line less",
            joined(&fewer),
            format!("line {}: the last line counts other lines", count - 1),
        ),
        (
            "foreign",
            "id;name;text\n1;Ana;hello\n".to_owned(),
            "line 1: this is no export of Deskbell's".to_owned(),
        ),
        (
            "empty",
            String::new(),
            "line 1: this is no export".to_owned(),
        ),
        (
            "twice",
            format!("{whole}{whole}"),
            format!("line {}: something comes after", count + 1),
        ),
    ] {
        let file = elsewhere.path().join("bad.jsonl");
        std::fs::write(&file, text).expect("written");
        let said = import(elsewhere.path(), &file);
        assert_eq!(said.code, Some(1), "{what}: {said:?}");
        assert!(said.err.contains(&words), "{what}: {said:?}");
        assert!(said.err.contains("bad.jsonl"), "{what}: {said:?}");
    }
    assert_eq!(into.head().await, head, "nothing of any was taken in");

    let said = run(
        elsewhere.path(),
        &["import", "bad.jsonl", "--format", "zendesk"],
    );
    assert_eq!(said.code, Some(2), "{said:?}");
    assert!(said.err.contains("possible values: deskbell"), "{said:?}");
    let said = import(elsewhere.path(), elsewhere.path());
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains("no plain file"), "{said:?}");
    let said = run(elsewhere.path(), &["import", "nowhere.jsonl"]);
    assert_eq!(said.code, Some(1), "{said:?}");

    // Without the right, or where it cannot be written: told, and nothing is left lying.
    let (_, token) = into
        .make_token(&json!({ "name": "w", "scopes": ["write"] }))
        .await;
    let said = run(
        elsewhere.path(),
        &[
            "export",
            "--out",
            "mine.jsonl",
            "--server",
            &into.url,
            "--token",
            &token,
        ],
    );
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(
        said.err.contains("This needs the right `admin`"),
        "{said:?}"
    );
    let file = folder
        .path()
        .join("history.jsonl")
        .to_string_lossy()
        .into_owned();
    let said = run(
        elsewhere.path(),
        &["import", &file, "--server", &into.url, "--token", &token],
    );
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(
        said.err.contains("This needs the right `admin`"),
        "{said:?}"
    );
    let said = run(
        elsewhere.path(),
        &["export", "--out", "no/such/folder/a.jsonl"],
    );
    assert_eq!(said.code, Some(1), "{said:?}");
    let left: Vec<_> = std::fs::read_dir(elsewhere.path())
        .expect("a folder")
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.contains(".jsonl") && name != "bad.jsonl")
        .collect();
    assert_eq!(left, Vec::<String>::new());
}
