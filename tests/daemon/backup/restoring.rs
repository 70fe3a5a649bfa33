//! What is restored from a backup, and what nobody can restore.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;

use super::{back_up, file, note_with_file, restored, run};
use crate::support::calls::until;
use crate::support::graph::{Graph, Page};
use crate::support::{APP_SECRET, Daemon, PAGE, config, deliver, envelope, message, now_ms};

/// How often a backup is taken: 4 times, or as often as `DESKBELL_BACKUPS` says.
fn backups() -> usize {
    #[expect(clippy::disallowed_methods, reason = "a switch of this test")]
    let asked = std::env::var("DESKBELL_BACKUPS").ok();
    asked.map_or(4, |number| number.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn k06_a_backup_taken_under_load_holds_all_that_was_acknowledged_before_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &config(""));
    let stop = Arc::new(AtomicBool::new(false));
    let counter = Arc::new(AtomicU64::new(0));
    let acknowledged = Arc::new(Mutex::new(BTreeSet::new()));
    let senders: Vec<_> = (0..8)
        .map(|sender| {
            let (stop, counter) = (Arc::clone(&stop), Arc::clone(&counter));
            let (url, acknowledged) = (daemon.url.clone(), Arc::clone(&acknowledged));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let number = counter.fetch_add(1, Ordering::Relaxed);
                    let (person, mid) = (format!("40{sender}"), format!("m_backup_{number}"));
                    let event = message(&person, &mid, &format!("text {number}"), now_ms());
                    let body = envelope(PAGE, &[event]);
                    if deliver(&url, "shop-page", APP_SECRET, body).await.ok() == Some(200) {
                        acknowledged.lock().expect("not poisoned").insert(mid);
                    }
                    // As fast as they can at first, then so that a hundred backups can be compared: 50 a second.
                    let pause_ms = (number / 50).min(150);
                    tokio::time::sleep(Duration::from_millis(pause_ms)).await;
                }
            })
        })
        .collect();
    until("messages come", Duration::from_secs(60), async || {
        acknowledged.lock().expect("not poisoned").len() > 20
    })
    .await;
    let first = daemon.get("feed?limit=1").await;
    let conversation = first["data"][0]["conversation_id"]
        .as_str()
        .expect("an id")
        .to_owned();
    for round in 0..backups() {
        let bytes = format!("the content of file {round}").into_bytes();
        let attachment = note_with_file(&daemon, &conversation, &bytes).await;
        let before = acknowledged.lock().expect("not poisoned").clone();
        let head = daemon.head().await;
        let backup = back_up(folder.path(), &format!("backup-{round}.tar"));
        let copy = restored(folder.path(), &backup);
        let other = Daemon::start_as_it_is(copy.path());
        let feed = other.all("feed", 200).await;
        let mut found: Vec<_> = feed
            .iter()
            .map(|item| item["external_id"].as_str().expect("an id").to_owned())
            .collect();
        found.sort();
        let all = found.len();
        found.dedup();
        assert_eq!(found.len(), all, "nothing is twice");
        let found: BTreeSet<_> = found.into_iter().collect();
        let missing: Vec<_> = before.difference(&found).collect();
        assert!(missing.is_empty(), "{} are missing", missing.len());
        assert_eq!(file(&other, &attachment).await, (200, bytes));
        for conversation in other.all("conversations", 200).await {
            let id = conversation["id"].as_str().expect("an id");
            let messages = other
                .all(&format!("conversations/{id}/messages"), 200)
                .await;
            let counted = messages.iter().filter(|one| one["kind"] == "message");
            assert_eq!(conversation["message_count"], counted.count(), "{id}");
        }
        // Numbers go on above all that the first desk may have given since.
        let body = envelope(PAGE, &[message("4999", "m_after", "after", now_ms())]);
        assert_eq!(other.deliver("shop-page", APP_SECRET, body).await, 200);
        assert!(other.head().await > head + 1_000_000);
    }
    stop.store(true, Ordering::Relaxed);
    for sender in senders {
        sender.await.expect("no sender fails");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn k06_what_is_no_whole_backup_is_refused_and_leaves_no_store() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &config(""));
    let body = envelope(PAGE, &[message("4001", "m_1", "a text", now_ms())]);
    assert_eq!(daemon.deliver("shop-page", APP_SECRET, body).await, 200);
    let first = daemon.get("feed?limit=1").await;
    let conversation = first["data"][0]["conversation_id"].as_str().expect("an id");
    note_with_file(&daemon, conversation, b"a file").await;
    let backup = back_up(folder.path(), "backup.tar");
    let whole = std::fs::read(&backup).expect("read");

    let refused = |bytes: &[u8], what: &str| {
        let empty = tempfile::tempdir().expect("a folder");
        let path = empty.path().join("bad.tar");
        std::fs::write(&path, bytes).expect("written");
        let said = run(empty.path(), &["restore", "bad.tar"]);
        assert_eq!(said.code, Some(1), "{what}: {said:?}");
        assert!(said.err.starts_with("deskbell: "), "{what}: {said:?}");
        assert!(!said.err.contains("panicked"), "{what}: {said:?}");
        for left in ["data/store", "data/restoring"] {
            assert!(!empty.path().join(left).exists(), "{what}: {left}");
        }
        said.err
    };
    assert!(refused(b"", "nothing").contains("no backup"));
    assert!(refused(b"rubbish".repeat(500).as_slice(), "rubbish").contains("no backup"));
    // Behind the last entry there is only padding.
    let last = whole
        .windows(8)
        .rposition(|window| window == b"end.json")
        .expect("the last entry");
    for part in 1..=12 {
        refused(&whole[..last * part / 12], "a part");
    }
    // Every so often a byte is another; what only pads the archive does not matter.
    for at in (0..whole.len()).step_by(whole.len() / 97) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x20;
        let empty = tempfile::tempdir().expect("a folder");
        std::fs::write(empty.path().join("bad.tar"), &bytes).expect("written");
        let said = run(empty.path(), &["restore", "bad.tar"]);
        if said.code == Some(0) {
            // Then it was nothing that counts, and what is restored is what was there.
            std::fs::copy(
                folder.path().join("deskbell.toml"),
                empty.path().join("deskbell.toml"),
            )
            .expect("copied");
            let other = Daemon::start_as_it_is(empty.path());
            assert_eq!(other.get("feed").await["data"][0]["text"], "a text", "{at}");
        } else {
            assert!(!empty.path().join("data/store").exists(), "{at}");
        }
    }
    // And where there is a store nothing is touched.
    let said = run(folder.path(), &["restore", "backup.tar"]);
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("holds a store already"), "{said:?}");
    assert_eq!(daemon.get("feed").await["data"][0]["text"], "a text");
}

fn graph() -> Graph {
    Graph::start(Page {
        app_id: "4242424242".to_owned(),
        app_secret: APP_SECRET.to_owned(),
        page_id: PAGE.to_owned(),
        page_token: "invented-page-token".to_owned(),
        version: "v25.0".to_owned(),
        human_agent: false,
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn k07_what_is_restored_sends_nothing_before_it_is_told_to_and_nothing_twice_after() {
    const ANSWERS: usize = 6;
    let graph = graph();
    let folder = tempfile::tempdir().expect("a folder");
    let config = config("").replace("http://127.0.0.1:9", graph.url());
    let daemon = Daemon::start(folder.path(), &config);
    for number in 0..ANSWERS {
        let person = format!("50{number}");
        graph.knows(&person);
        let mid = graph.person_wrote(&person, "Is it there?");
        let event = message(&person, &mid, "Is it there?", graph.written_at(&mid));
        let body = envelope(PAGE, &[event]);
        assert_eq!(daemon.deliver("shop-page", APP_SECRET, body).await, 200);
    }
    // The token does not work for a while: what is answered waits, and so it is in the backup.
    graph.token_is("another-token");
    let conversations = daemon.all("conversations", 50).await;
    let mut messages = Vec::new();
    for conversation in &conversations {
        let id = conversation["id"].as_str().expect("an id");
        let path = format!("conversations/{id}/messages");
        let (status, answer) = daemon.post(&path, &json!({ "text": "Yes" })).await;
        assert_eq!(status, 202, "{answer}");
        messages.push((path, answer["id"].as_str().expect("an id").to_owned()));
    }
    let backup = back_up(folder.path(), "backup.tar");
    assert_eq!(graph.executed().len(), 0);
    // The first desk goes on, sends half of them, and is gone for good.
    graph.token_is("invented-page-token");
    let state = async |daemon: &Daemon, path: &str, id: &str| {
        let all = daemon.all(path, 50).await;
        let one = all.iter().find(|message| message["id"] == id);
        one.expect("it is there")["delivery"]["state"].clone()
    };
    until(
        "the first desk sends",
        Duration::from_secs(120),
        async || graph.executed().len() >= ANSWERS,
    )
    .await;
    daemon.kill();

    let copy = restored(folder.path(), &backup);
    let other = Daemon::start_as_it_is(copy.path());
    assert_eq!(other.get("resume").await["held"], true);
    // It hears, and catches up, and says nothing.
    let attempts = graph.attempts().len();
    let mid = graph.person_wrote("500", "Hello?");
    let event = message("500", &mid, "Hello?", graph.written_at(&mid));
    let body = envelope(PAGE, &[event]);
    assert_eq!(other.deliver("shop-page", APP_SECRET, body).await, 200);
    until("it has caught up", Duration::from_secs(60), async || {
        graph.reads() > 0
    })
    .await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(graph.attempts().len(), attempts);
    for (path, id) in &messages {
        assert_eq!(state(&other, path, id).await, "queued");
    }

    let said = run(copy.path(), &["resume"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(
        said.out.contains(&format!("{ANSWERS} answers waited")),
        "{said:?}"
    );
    for (path, id) in &messages {
        until("its fate is found", Duration::from_secs(120), async || {
            state(&other, path, id).await != "queued"
        })
        .await;
        assert_eq!(state(&other, path, id).await, "sent", "{id}");
    }
    assert_eq!(graph.executed().len(), ANSWERS, "nothing went out twice");
    assert_eq!(
        run(copy.path(), &["resume"]).out,
        "Nothing was held back.\n"
    );
    // And from now on it answers.
    let (path, _) = &messages[0];
    let (status, _) = other.post(path, &json!({ "text": "Anything else?" })).await;
    assert_eq!(status, 202);
    until(
        "the restored desk sends",
        Duration::from_secs(60),
        async || graph.executed().len() == ANSWERS + 1,
    )
    .await;
}
