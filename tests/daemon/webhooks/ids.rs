//! Ids that are made to be mistaken for others.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::json;

use crate::support::calls::echo;
use crate::support::{APP_SECRET, BINARY, Daemon, PAGE, config, now_ms};

/// Events in which a key that says who or which comes twice.
fn smuggled() -> Vec<String> {
    let at = now_ms();
    let mut events = Vec::new();
    let (sender, recipient) = (
        r#""sender":{"id":"2001"}"#.to_owned(),
        format!(r#""recipient":{{"id":"{PAGE}"}}"#),
    );
    let timestamp = format!(r#""timestamp":{at}"#);
    for (number, other) in [
        "\"2002\"",
        "2002",
        "\"2001\"",
        "null",
        "\"\"",
        "\"1029384756\"",
    ]
    .iter()
    .enumerate()
    {
        let message = format!(r#""message":{{"mid":"m_smuggled_{number}","text":"t"}}"#);
        // Twice inside, and the whole twice, in both orders.
        for event in [
            format!(
                r#"{{"sender":{{"id":"2001","id":{other}}},{recipient},{timestamp},{message}}}"#
            ),
            format!(
                r#"{{"sender":{{"id":{other},"id":"2001"}},{recipient},{timestamp},{message}}}"#
            ),
            format!(
                r#"{{{sender},"recipient":{{"id":"{PAGE}","id":{other}}},{timestamp},{message}}}"#
            ),
            format!(r#"{{{sender},"sender":{{"id":{other}}},{recipient},{timestamp},{message}}}"#),
            format!(r#"{{"sender":{{"id":{other}}},{sender},{recipient},{timestamp},{message}}}"#),
            format!(
                r#"{{{sender},{recipient},"recipient":{{"id":{other}}},{timestamp},{message}}}"#
            ),
            format!(
                r#"{{{sender},{recipient},{timestamp},"message":{{"mid":"m_smuggled","mid":{other},"text":"t"}}}}"#
            ),
            format!(
                r#"{{{sender},{recipient},{timestamp},"message":{{"mid":{other},"mid":"m_smuggled","text":"t"}}}}"#
            ),
        ] {
            events.push(event);
        }
    }
    let message = r#""message":{"mid":"m_smuggled","text":"t"}"#;
    for event in [
        format!(
            r#"{{{sender},{recipient},{timestamp},{message},"message":{{"mid":"m_other","text":"u"}}}}"#
        ),
        format!(r#"{{{sender},{recipient},{timestamp},{timestamp},{message}}}"#),
        format!(
            r#"{{{sender},{recipient},{timestamp},"message":{{"mid":"m_smuggled","text":"t","text":"u"}}}}"#
        ),
        format!(
            r#"{{{sender},{recipient},{timestamp},"message":{{"mid":"m_smuggled","text":"t","is_echo":false,"is_echo":true}}}}"#
        ),
    ] {
        events.push(event);
    }
    // An escaped key is the same key.
    events.push(format!(
        r#"{{{sender},"\u0073ender":{{"id":"2002"}},{recipient},{timestamp},{message}}}"#
    ));
    events
}

#[tokio::test]
async fn w11_a_key_that_comes_twice_is_set_aside_for_the_operator() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &config(&echo("echo")));
    let mut events = smuggled();
    assert!(events.len() >= 50, "{}", events.len());
    for event in &events {
        let body = format!(
            r#"{{"object":"page","entry":[{{"id":"{PAGE}","time":1,"messaging":[{event}]}}]}}"#
        );
        assert_eq!(
            daemon.deliver("shop-page", APP_SECRET, body).await,
            200,
            "{event}"
        );
    }
    // The account of an entry twice: it is nobody's, so it is kept at the address that was called.
    let entry = format!(r#"{{"id":"{PAGE}","id":"5647382910","messaging":[]}}"#);
    assert_eq!(
        daemon
            .deliver(
                "shop-page",
                APP_SECRET,
                format!(r#"{{"object":"page","entry":[{entry}]}}"#)
            )
            .await,
        200
    );
    events.push(entry);
    for part in [
        r#"{"id":"1","id":"2","thread":"ann","text":"t"}"#,
        r#"{"id":"1","thread":"ann","thread":"bob","text":"t"}"#,
        r#"{"id":"1","thread":"ann","text":"t","text":"u"}"#,
    ] {
        assert_eq!(
            daemon
                .echo("echo", format!(r#"{{"messages":[{part}]}}"#).into_bytes())
                .await,
            200,
            "{part}"
        );
        events.push(part.to_owned());
    }
    assert!(
        daemon.all("feed", 200).await.is_empty(),
        "none of them is a message"
    );
    let kept: Vec<_> = daemon.all("quarantine", 200).await;
    let raw: BTreeSet<&str> = kept
        .iter()
        .map(|entry| entry["raw"].as_str().expect("a text"))
        .collect();
    for event in &events {
        assert!(
            raw.contains(event.as_str()),
            "not shown to the operator: {event}"
        );
    }
    assert_eq!(kept.len(), events.len(), "each once");
    for entry in &kept {
        assert!(
            entry["why"].as_str().is_some_and(|why| !why.is_empty()),
            "{entry}"
        );
    }
}

#[tokio::test]
async fn w12_numbers_that_a_float_would_round_stay_apart() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &config(&echo("echo")));
    let mut ids: BTreeSet<String> = BTreeSet::new();
    for base in [
        1_u128 << 53,
        1 << 63,
        1 << 64,
        10_u128.pow(22),
        u128::MAX - 8,
    ] {
        for offset in 0..5 {
            ids.insert((base - 2 + offset).to_string());
        }
    }
    let at = now_ms();
    for (number, id) in ids.iter().enumerate() {
        // As numbers without quotes, where a reader that rounds would merge them.
        let event = format!(
            r#"{{"sender":{{"id":{id}}},"recipient":{{"id":{PAGE}}},"timestamp":{at},"message":{{"mid":{id},"text":"from {id}"}}}}"#
        );
        let body = format!(
            r#"{{"object":"page","entry":[{{"id":{PAGE},"time":{at},"messaging":[{event}]}}]}}"#
        );
        assert_eq!(
            daemon.deliver("shop-page", APP_SECRET, body).await,
            200,
            "{id}"
        );
        let part = format!(
            r#"{{"messages":[{{"id":{id},"thread":{id},"text":"from {id}","sent_at_ms":{at}}}]}}"#
        );
        assert_eq!(
            daemon.echo("echo", part.into_bytes()).await,
            200,
            "{number}: {id}"
        );
    }
    for channel in ["shop-page", "echo"] {
        let feed = daemon.all(&format!("feed?channel={channel}"), 200).await;
        let seen: BTreeSet<String> = feed
            .iter()
            .map(|item| item["external_id"].as_str().expect("an id").to_owned())
            .collect();
        assert_eq!(seen, ids, "{channel}");
        assert!(
            feed.iter().all(|item| item["text"]
                == format!("from {}", item["external_id"].as_str().expect("an id")))
        );
        let conversations = daemon
            .all(&format!("conversations?channel={channel}"), 200)
            .await;
        assert_eq!(
            conversations.len(),
            ids.len(),
            "{channel}: each writer has a conversation of their own"
        );
    }
    assert_eq!(daemon.all("contacts", 200).await.len(), 2 * ids.len());
}

/// Whatever the machine's language and hour, an id is its bytes.
#[tokio::test]
async fn f43_ids_are_their_bytes_in_every_language_and_time_zone() {
    // Alike to the eye, to a normal form, to one case, to a locale or to a trim; each is somebody else.
    const IDS: [&str; 20] = [
        "\u{e9}",
        "e\u{301}",
        "E\u{301}",
        "K",
        "\u{212a}",
        "k",
        "\u{fb01}",
        "fi",
        "I",
        "i",
        "\u{130}",
        "\u{131}",
        "ß",
        "ss",
        "a",
        "a ",
        " a",
        "a\u{200b}",
        "\u{430}",
        "01",
    ];
    let folder = tempfile::tempdir().expect("a folder");
    let text = config(&echo("echo"));
    std::fs::write(folder.path().join("deskbell.toml"), text).expect("written");
    for (life, (language, zone)) in [
        ("C", "UTC"),
        ("tr_TR.UTF-8", "Asia/Kathmandu"),
        ("lt_LT.UTF-8", "America/St_Johns"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut command = Command::new(BINARY);
        command
            .env("LC_ALL", language)
            .env("LANG", language)
            .env("TZ", zone);
        let daemon = Daemon::start_by(command, folder.path()).expect("it starts");
        for (number, id) in IDS.iter().enumerate() {
            let message = json!({ "id": id, "thread": id, "text": format!("from {number}"), "sent_at_ms": 1_794_000_000_000_i64 });
            let body = json!({ "messages": [message] }).to_string();
            assert_eq!(daemon.echo("echo", body.into_bytes()).await, 200, "{id:?}");
        }
        // Once each, also when all of it comes again.
        let feed = daemon.all("feed", 200).await;
        let heard: BTreeSet<(String, String)> = feed
            .iter()
            .map(|item| {
                assert_eq!(item["sent_at"], "2026-11-06T21:20:00.000Z", "{zone}");
                let text = |key: &str| item[key].as_str().expect("a text").to_owned();
                (text("external_id"), text("text"))
            })
            .collect();
        let expected: BTreeSet<(String, String)> = IDS
            .iter()
            .enumerate()
            .map(|(number, id)| ((*id).to_owned(), format!("from {number}")))
            .collect();
        assert_eq!(heard, expected, "life {life}");
        assert_eq!(feed.len(), IDS.len(), "life {life}");
        let conversations = daemon.all("conversations", 200).await;
        assert_eq!(conversations.len(), IDS.len(), "life {life}");
        drop(daemon);
    }
}
