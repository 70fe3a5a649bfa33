//! A person who is erased is in nothing any more, and does not come back.

use std::path::Path;
use std::time::Duration;

use serde_json::json;

use super::{back_up, file, note_with_file, restored, run};
use crate::support::calls::until;
use crate::support::files::{contents, found_in};
use crate::support::{ADMIN, APP_SECRET, Daemon, PAGE, client, config, envelope, message, now_ms};

const PERSON: &str = "70012233445566";
const CANARY: &str = "the canary sang at noon";
const FILE: &[u8] = b"a picture of the canary, as it sang";

/// The files below `folder` that hold these bytes, packed or not.
fn holding(folder: &Path, bytes: &[u8]) -> Vec<String> {
    let files = contents(folder);
    let found = found_in(&files, bytes).into_iter();
    found.map(str::to_owned).collect()
}

/// Ann and Bob write; Ann's contact, and the file that was noted for her.
async fn people_write(daemon: &Daemon) -> (String, String) {
    for number in 0..40 {
        let (ann, bob) = (format!("m_ann_{number}"), format!("m_bob_{number}"));
        let events = [
            message(PERSON, &ann, &format!("{CANARY} {number}"), now_ms()),
            message("70099887766554", &bob, "a sparrow", now_ms()),
        ];
        let body = envelope(PAGE, &events);
        assert_eq!(daemon.deliver("shop-page", APP_SECRET, body).await, 200);
    }
    let odd = json!({ "sender": { "id": PERSON }, "recipient": { "id": PAGE }, "timestamp": now_ms(), "message": { "mid": 7, "text": CANARY } });
    let body = envelope(PAGE, &[odd]);
    assert_eq!(daemon.deliver("shop-page", APP_SECRET, body).await, 200);
    let conversations = daemon.all("conversations", 50).await;
    let of_ann = async |conversation: &serde_json::Value| {
        let id = conversation["id"].as_str().expect("an id");
        let messages = daemon
            .get(&format!("conversations/{id}/messages?limit=1"))
            .await;
        let text = messages["data"][0]["text"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        text.contains(CANARY)
    };
    for conversation in &conversations {
        if of_ann(conversation).await {
            let id = conversation["id"].as_str().expect("an id");
            let attachment = note_with_file(daemon, id, FILE).await;
            let contact = conversation["contact"]["id"].as_str().expect("an id");
            return (contact.to_owned(), attachment);
        }
    }
    panic!("Ann is in no conversation");
}

async fn erase(daemon: &Daemon, contact: &str) -> u16 {
    let url = format!("{}/api/v1/contacts/{contact}", daemon.url);
    let answer = client().delete(url).bearer_auth(ADMIN).send().await;
    answer.expect("answers").status().as_u16()
}

/// Waits until the last step of every erasure is done.
async fn everything_is_gone(folder: &Path) {
    let data = folder.join("data");
    until("the person is gone", Duration::from_secs(120), async || {
        let steps = std::fs::read_dir(data.join("erasing"));
        steps.is_ok_and(|mut steps| steps.next().is_none()) && data.join("erased.jsonl").exists()
    })
    .await;
}

/// Nothing of Ann is told by the API; Bob is.
async fn is_not_told(daemon: &Daemon, contact: &str) {
    let feed = daemon.all("feed", 200).await;
    assert_eq!(feed.len(), 40);
    assert!(feed.iter().all(|message| message["text"] == "a sparrow"));
    assert_eq!(daemon.all("conversations", 50).await.len(), 1);
    let url = format!("{}/api/v1/contacts/{contact}", daemon.url);
    let answer = client().get(url).bearer_auth(ADMIN).send().await;
    assert_eq!(answer.expect("answers").status(), 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn k08_a_person_who_is_erased_is_in_no_file_and_does_not_come_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &config(""));
    let (contact, attachment) = people_write(&daemon).await;
    let data = folder.path().join("data");
    assert!(!holding(&data, CANARY.as_bytes()).is_empty());
    assert!(!holding(&data, PERSON.as_bytes()).is_empty());
    let before = daemon.head().await;
    let backup = back_up(folder.path(), "before.tar");
    let said = run(folder.path(), &["export", "--out", "before.jsonl"]);
    assert_eq!(said.code, Some(0), "{said:?}");

    assert_eq!(erase(&daemon, &contact).await, 204);
    is_not_told(&daemon, &contact).await;
    assert_eq!(erase(&daemon, &contact).await, 404);
    everything_is_gone(folder.path()).await;
    for trace in [CANARY.as_bytes(), PERSON.as_bytes(), FILE] {
        let text = String::from_utf8_lossy(trace);
        assert_eq!(holding(&data, trace), Vec::<String>::new(), "{text}");
    }
    assert_eq!(file(&daemon, &attachment).await.0, 404);
    let quarantine = daemon.all("quarantine", 50).await;
    assert!(quarantine.is_empty(), "{quarantine:?}");
    // A stream that begins at the beginning tells of Bob and not of Ann.
    assert!(daemon.head().await > before);

    // The platform delivers the same again; an export from before is imported.
    let again = message(PERSON, "m_ann_0", CANARY, now_ms() - 60_000);
    let body = envelope(PAGE, &[again]);
    assert_eq!(daemon.deliver("shop-page", APP_SECRET, body).await, 200);
    let said = run(folder.path(), &["import", "before.jsonl"]);
    assert_eq!(said.code, Some(0), "{said:?}");
    is_not_told(&daemon, &contact).await;

    // A backup from before is restored beside the list.
    let copy = restored(folder.path(), &backup);
    std::fs::copy(
        data.join("erased.jsonl"),
        copy.path().join("data/erased.jsonl"),
    )
    .expect("copied");
    let other = Daemon::start_as_it_is(copy.path());
    until(
        "the list is followed",
        Duration::from_secs(120),
        async || other.all("feed", 200).await.len() == 40,
    )
    .await;
    is_not_told(&other, &contact).await;
    everything_is_gone(copy.path()).await;
    for trace in [CANARY.as_bytes(), PERSON.as_bytes(), FILE] {
        assert_eq!(
            holding(&copy.path().join("data"), trace),
            Vec::<String>::new()
        );
    }
    drop(other);

    // Ann writes anew, and is a new contact.
    let anew = message(PERSON, "m_ann_anew", "a new song", now_ms() + 1_000);
    let body = envelope(PAGE, &[anew]);
    assert_eq!(daemon.deliver("shop-page", APP_SECRET, body).await, 200);
    let feed = daemon.all("feed", 200).await;
    assert_eq!(feed.len(), 41);
    assert_eq!(feed[0]["text"], "a new song");
    assert_ne!(feed[0]["contact"]["id"], contact.as_str());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn k08_kill_9_in_the_middle_of_an_erasure_only_delays_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut daemon = Daemon::start(folder.path(), &config(""));
    let (contact, _) = people_write(&daemon).await;
    assert_eq!(erase(&daemon, &contact).await, 204);
    for wait_ms in [0, 3, 9, 27, 81, 243, 729] {
        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        daemon.kill();
        daemon = Daemon::start_as_it_is(folder.path());
        is_not_told(&daemon, &contact).await;
    }
    everything_is_gone(folder.path()).await;
    let data = folder.path().join("data");
    for trace in [CANARY.as_bytes(), PERSON.as_bytes(), FILE] {
        let text = String::from_utf8_lossy(trace);
        assert_eq!(holding(&data, trace), Vec::<String>::new(), "{text}");
    }
    is_not_told(&daemon, &contact).await;
}
