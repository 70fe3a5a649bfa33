//! The verdict over a daemon: what it shows against the book that was kept outside of it. Every harness here ends in
//! it, so it is tested by itself: it must see each evil.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::crash::load::{Book, Way};
use crate::support::{ADMIN, APP_SECRET, Daemon, PAGE, client, envelope, message, now_ms};

/// What a daemon shows.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    feed: Vec<Value>,
    /// The bytes of each attachment, or why there are none.
    files: BTreeMap<String, String>,
    /// Each conversation with its messages, newest first.
    conversations: Vec<(Value, Vec<Value>)>,
}

/// Reads everything that the API shows.
pub(crate) async fn shown(daemon: &Daemon) -> Shown {
    let feed = daemon.all("feed", 200).await;
    let mut files = BTreeMap::new();
    for attachment in feed
        .iter()
        .filter_map(|item| item["attachments"][0]["id"].as_str())
    {
        let asked = client()
            .get(format!("{}/api/v1/attachments/{attachment}", daemon.url))
            .bearer_auth(ADMIN);
        let answer = asked.send().await.expect("answers");
        let status = answer.status();
        let bytes = answer.text().await.expect("text");
        let found = if status == 200 {
            bytes
        } else {
            status.to_string()
        };
        files.insert(attachment.to_owned(), found);
    }
    let mut conversations = Vec::new();
    for conversation in daemon.all("conversations", 50).await {
        let id = conversation["id"].as_str().expect("an id").to_owned();
        let messages = daemon
            .all(&format!("conversations/{id}/messages"), 200)
            .await;
        conversations.push((conversation, messages));
    }
    Shown {
        feed,
        files,
        conversations,
    }
}

/// What is wrong with what is shown. `may_be_lost`: how many acknowledged messages damage may have taken.
pub(crate) fn faults(book: &Book, shown: &Shown, may_be_lost: usize) -> Vec<String> {
    let mut faults = book.odd_answers.clone();
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    for item in &shown.feed {
        let text = item["text"].as_str().unwrap_or_default();
        *times.entry(text).or_default() += 1;
        let Some(sent) = book.sent.get(text) else {
            faults.push(format!("nobody ever wrote this: {item}"));
            continue;
        };
        if sent
            .platform_id()
            .is_some_and(|id| item["external_id"] != id.as_str())
        {
            faults.push(format!("{text} stands under {}", item["external_id"]));
        }
        let direction = if sent.way == Way::Reply {
            "outbound"
        } else {
            "inbound"
        };
        let file = item["attachments"][0]["id"].as_str();
        let bytes = file.and_then(|id| shown.files.get(id).cloned());
        if bytes != sent.file() {
            faults.push(format!("the file of {text} is {bytes:?}"));
        }
        if item["direction"] != direction {
            faults.push(format!("{text} is shown as {}", item["direction"]));
        }
    }
    let lost: Vec<_> = book
        .acknowledged
        .iter()
        .filter(|text| !times.contains_key(text.as_str()))
        .collect();
    if lost.len() > may_be_lost {
        faults.push(format!(
            "{} of {} acknowledged are lost, {may_be_lost} may be: {lost:?}",
            lost.len(),
            book.acknowledged.len()
        ));
    }
    for (text, count) in times.iter().filter(|(_, count)| **count > 1) {
        faults.push(format!("{text} is there {count} times"));
    }
    let mut counted = 0;
    for (conversation, messages) in &shown.conversations {
        let id = &conversation["id"];
        let inbound = messages
            .iter()
            .filter(|message| message["direction"] == "inbound")
            .count();
        counted += messages.len();
        let last = messages
            .first()
            .map_or(Value::Null, |last| last["id"].clone());
        if conversation["last_message"]["id"] != last {
            let says = &conversation["last_message"]["id"];
            faults.push(format!("last_message of {id} says {says} and is {last}"));
        }
        // Nobody has read anything.
        for (what, is) in [("message_count", messages.len()), ("unread_count", inbound)] {
            let says = conversation[what].as_u64().unwrap_or(u64::MAX);
            // A later state of the conversation still counts what damage took.
            match says.checked_sub(is as u64) {
                Some(0) => {}
                Some(more) if more <= may_be_lost as u64 => {}
                _ => faults.push(format!("{what} of {id} says {says} and is {is}")),
            }
        }
    }
    if counted != shown.feed.len() {
        faults.push(format!(
            "the feed has {} messages and the conversations {counted}",
            shown.feed.len()
        ));
    }
    faults
}

/// Fails where anything is wrong.
pub(crate) async fn nothing_is_lost_or_doubled(daemon: &Daemon, book: &Book, when: &str) {
    let faults = faults(book, &shown(daemon).await, 0);
    assert!(faults.is_empty(), "{when}: {faults:#?}");
}

/// Lines of a log that no daemon may write, whatever happens to it.
pub(crate) fn panics_in(log: &str) -> Vec<&str> {
    log.lines()
        .filter(|line| line.contains("panicked at"))
        .collect()
}

#[tokio::test]
async fn f01_the_verdict_sees_what_is_lost_doubled_invented_or_miscounted() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &crate::crash::load::config());
    let load = crate::crash::load::Load::begin(&daemon).await;
    for way in [Way::Webhook, Way::Webhook, Way::Chat, Way::Reply] {
        assert!(load.send_one(&daemon.url, way).await);
    }
    let (book, shown) = (load.known(), shown(&daemon).await);
    assert_eq!(faults(&book, &shown, 0), Vec::<String>::new());
    let place = shown
        .feed
        .iter()
        .position(|item| {
            item["text"]
                .as_str()
                .is_some_and(|text| text.starts_with('w'))
        })
        .expect("a delivery");
    let sees = |evil: &dyn Fn(&mut Shown), words: &str| {
        let mut doctored = shown.clone();
        evil(&mut doctored);
        let faults = faults(&book, &doctored, 0);
        assert!(
            faults.iter().any(|fault| fault.contains(words)),
            "{words:?} is to be found: {faults:?}"
        );
    };
    sees(
        &|shown| drop(shown.feed.remove(place)),
        "1 of 20 acknowledged are lost",
    );
    sees(
        &|shown| {
            let again = shown.feed[place].clone();
            shown.feed.push(again);
        },
        "is there 2 times",
    );
    sees(
        &|shown| shown.feed[place]["text"] = json!("w-4711"),
        "nobody ever wrote this",
    );
    sees(
        &|shown| shown.feed[place]["external_id"] = json!("m_w-4711"),
        "stands under",
    );
    sees(
        &|shown| shown.feed[place]["direction"] = json!("outbound"),
        "is shown as",
    );
    sees(
        &|shown| {
            let first = shown.files.values_mut().next().expect("a file");
            *first = "404".to_owned();
        },
        "the file of",
    );
    for (key, wrong) in [
        ("message_count", json!(4711)),
        ("unread_count", json!(4711)),
        ("last_message", json!({ "id": "msg_4711" })),
    ] {
        sees(&|shown| shown.conversations[0].0[key] = wrong.clone(), key);
    }
    sees(
        &|shown| drop(shown.conversations.remove(0)),
        "and the conversations",
    );
    let mut forgetful = book.clone();
    forgetful.odd_answers.push("answered 500".to_owned());
    assert_eq!(faults(&forgetful, &shown, 0), ["answered 500"]);
    assert_eq!(panics_in("fine\nthread 'x' panicked at y\n").len(), 1);
}

#[tokio::test]
async fn f19_a_daemon_that_does_not_know_what_it_has_is_caught() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &crate::crash::load::config());
    let load = crate::crash::load::Load::begin(&daemon).await;
    assert!(load.send_one(&daemon.url, Way::Webhook).await);
    let book = load.known();
    let sent = book.sent.values().find(|sent| sent.way == Way::Webhook);
    let text = sent.expect("a delivery").text();
    // Under another id the daemon cannot know it: what it shows then is what one without keys against doubles shows.
    let again = message("2001", &format!("m_{text}_again"), &text, now_ms());
    let status = daemon.deliver("shop-page", APP_SECRET, envelope(PAGE, &[again]));
    assert_eq!(status.await, 200);
    let faults = faults(&book, &shown(&daemon).await, 0);
    assert!(
        faults
            .iter()
            .any(|fault| fault.contains("is there 2 times")),
        "{faults:?}"
    );
}
