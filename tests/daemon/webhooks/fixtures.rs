//! Everything that the Messenger connector understands, delivered to the daemon: each is kept as what it is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

use crate::support::{APP_SECRET, Daemon, config, messenger};

/// Every delivery of the connector's fixtures with what it means.
fn fixtures() -> Vec<(String, Vec<u8>, Vec<Value>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("connectors/messenger/fixtures");
    let mut names: Vec<String> = std::fs::read_dir(&folder)
        .expect("the fixtures")
        .map(|entry| {
            entry
                .expect("a file")
                .file_name()
                .into_string()
                .expect("a name")
        })
        .filter(|name| !name.ends_with(".expected.json"))
        .collect();
    names.sort();
    let read = |name: &str| std::fs::read(folder.join(name)).expect(name);
    names
        .into_iter()
        .map(|name| {
            let expected = read(&name.replace(".json", ".expected.json"));
            let meaning = serde_json::from_slice(&expected).expect("a list of what it means");
            (name.clone(), read(&name), meaning)
        })
        .collect()
}

/// The same with addresses that the daemon does not ask: one with a user name is refused before any look-up. The test
/// is not to reach Meta.
fn fetched_nowhere(text: &str) -> String {
    let mut text = text.to_owned();
    for slashes in ["//", "\\/\\/"] {
        for host in ["scontent.", "video.", "cdn.", "lookaside."] {
            let (real, named) = (
                format!("https:{slashes}{host}"),
                format!("https:{slashes}nobody@{host}"),
            );
            text = text.replace(&real, &named);
        }
    }
    text
}

#[tokio::test]
async fn every_kind_of_delivery_is_kept_as_what_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let second = messenger("second-page", "4242424242", "5647382910", APP_SECRET);
    let daemon = Daemon::start(folder.path(), &config(&second));
    let fixtures = fixtures();
    assert!(fixtures.len() >= 30, "{}", fixtures.len());
    for (name, body, _) in &fixtures {
        let body = String::from_utf8(body.clone()).expect("text");
        assert_eq!(
            daemon
                .deliver_bytes("shop-page", APP_SECRET, fetched_nowhere(&body).into_bytes())
                .await,
            200,
            "{name}"
        );
    }
    let mut kept: BTreeMap<String, Value> = BTreeMap::new();
    for conversation in daemon.all("conversations", 200).await {
        let id = conversation["id"].as_str().expect("an id");
        for message in daemon
            .all(&format!("conversations/{id}/messages"), 200)
            .await
        {
            let external_id = message["external_id"].as_str().expect("an id").to_owned();
            assert!(
                kept.insert(external_id.clone(), message).is_none(),
                "{external_id} is there twice"
            );
        }
    }
    let feed: BTreeSet<String> = daemon
        .all("feed", 200)
        .await
        .iter()
        .map(|item| item["external_id"].as_str().expect("an id").to_owned())
        .collect();
    let quarantine = daemon.all("quarantine", 200).await;

    let (mut expected, mut undecodable) = (BTreeSet::new(), 0);
    for (name, _, meaning) in &fixtures {
        for inbound in meaning {
            let event = &inbound["event"];
            let kind = event["type"].as_str().expect("a type");
            match kind {
                "message" | "activity" => {
                    let id = event["external_id"].as_str().expect("an id");
                    expected.insert(id.to_owned());
                    let shown = kept
                        .get(id)
                        .unwrap_or_else(|| panic!("{name}: {id} is not there"));
                    assert_eq!(shown["kind"], kind, "{name}: {id}");
                    assert_eq!(
                        feed.contains(id),
                        kind == "message",
                        "{name}: {id}: the feed has messages only"
                    );
                    let channel = if inbound["account"] == "5647382910" {
                        "second-page"
                    } else {
                        "shop-page"
                    };
                    assert_eq!(shown["channel_id"], channel, "{name}: {id}");
                    if kind == "message" {
                        assert_eq!(shown["direction"], event["direction"], "{name}: {id}");
                        assert_eq!(
                            shown["author"]["type"], event["author"]["type"],
                            "{name}: {id}"
                        );
                        let kinds = |list: &Value| -> Vec<Value> {
                            list.as_array()
                                .expect("a list")
                                .iter()
                                .map(|attachment| attachment["kind"].clone())
                                .collect()
                        };
                        if shown["deleted_at"].is_null() {
                            assert_eq!(
                                kinds(&shown["attachments"]),
                                kinds(&event["attachments"]),
                                "{name}: {id}"
                            );
                        }
                        if shown["deleted_at"].is_null() && shown["edited_at"].is_null() {
                            assert_eq!(shown["text"], event["text"], "{name}: {id}");
                        }
                    } else {
                        assert_eq!(shown["text"], event["text"], "{name}: {id}");
                    }
                }
                "undecodable" => {
                    undecodable += 1;
                    let raw = fetched_nowhere(event["raw"].as_str().expect("a text"));
                    assert!(
                        quarantine.iter().any(|entry| entry["raw"] == raw),
                        "{name}: not shown to the operator: {raw}"
                    );
                }
                "change" | "receipt" | "ignored" | "alert" => {}
                other => panic!("{name}: this test does not know {other}"),
            }
        }
    }
    assert_eq!(
        kept.keys().cloned().collect::<BTreeSet<_>>(),
        expected,
        "and nothing else is there"
    );
    assert_eq!(quarantine.len(), undecodable);
    // The changes that the fixtures carry reached their messages.
    let text = &kept["m_AbC-dEf_text1"];
    assert!(
        text["deleted_at"].is_string() && text["edited_at"].is_string() && text["text"].is_null(),
        "{text}"
    );
    assert!(kept["m_AbC-dEf_echo-phone"]["deleted_at"].is_string());
    // The platform's warning reaches people.
    let health = daemon.get("channels/shop-page/health").await.to_string();
    assert!(
        health.contains("policy") || health.contains("Meta"),
        "{health}"
    );
}
