//! Who hears what on the stream, and for how long.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::stream::{QUIET, SOON, deliver, deliver_echo, ids};
use crate::support::calls::{Dice, echo};
use crate::support::sse::{Events, Heard, Told, request};
use crate::support::{ADMIN, Daemon, client, config, now_ms};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t02_a_reader_of_one_channel_hears_nothing_of_another() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &config(&echo("echo")));
    let (_, token) = daemon
        .make_token(&json!({ "name": "echo only", "scopes": ["read"], "channels": ["echo"] }))
        .await;
    let mut live = Events::open(&daemon, &token, None).await;
    let mut dice = Dice::new(0x7077);
    let (mut own, mut conversations) = (BTreeSet::new(), BTreeSet::new());
    for number in 0..300 {
        let person = format!("7700{}", dice.below(9));
        if dice.below(2) == 0 {
            deliver_echo(&daemon, &person, &format!("e_{number}")).await;
            own.insert(format!("e_{number}"));
        } else {
            // The same ids of persons as in the other channel.
            deliver(&daemon, &person, &format!("m_{number}")).await;
        }
        if number % 25 == 0 {
            for conversation in daemon.all("conversations", 200).await {
                let id = conversation["id"].as_str().expect("an id").to_owned();
                let label = format!(
                    "label-of-{}",
                    conversation["channel_id"].as_str().expect("a slug")
                );
                let patch = client()
                    .patch(format!("{}/api/v1/conversations/{id}", daemon.url))
                    .bearer_auth(ADMIN);
                let answer = patch
                    .json(&json!({ "labels": [label, format!("n{number}")] }))
                    .send()
                    .await
                    .expect("answers");
                assert_eq!(answer.status(), 200);
                if conversation["channel_id"] == "echo" {
                    conversations.insert(id);
                }
            }
        }
    }
    // The last that this reader may see.
    deliver_echo(&daemon, "77009", "e_last").await;
    own.insert("e_last".to_owned());
    let is_last = |told: &Told| told.data["data"]["message"]["external_id"] == "e_last";
    let live = live.up_to(SOON, is_last).await;
    let mut replay = Events::open(&daemon, &token, Some(0)).await;
    let replayed = replay.up_to(SOON, is_last).await;
    for (way, events) in [("live", &live), ("from the log", &replayed)] {
        let mut heard = BTreeSet::new();
        for told in events.iter().filter(|told| told.kind != "channel.health") {
            let text = told.data.to_string();
            assert!(
                !text.contains("shop-page") && !text.contains("\"m_"),
                "{way}: {text}"
            );
            // What happened to a conversation is told by an entry of its own, which no platform knows.
            let is_message = told.data["data"]["message"]["kind"] == "message";
            if told.kind == "message.created" && is_message {
                heard.insert(
                    told.data["data"]["message"]["external_id"]
                        .as_str()
                        .expect("an id")
                        .to_owned(),
                );
            }
            if let Some(id) = told.data["data"]["conversation"]["id"].as_str() {
                assert!(
                    conversations.contains(id)
                        || told.data["data"]["conversation"]["channel_id"] == "echo",
                    "{way}: {text}"
                );
            }
        }
        assert!(
            events
                .iter()
                .all(|told| told.data["data"]["channel"]["id"] != "shop-page"),
            "{way}: another channel's health"
        );
        assert_eq!(heard, own, "{way}: everything of its own channel");
        assert!(events.iter().any(|told| told.kind == "contact.created"));
        assert!(
            events
                .iter()
                .any(|told| told.kind == "conversation.updated")
        );
        // What has no number is not in the log: the health of its own channel, whenever that changes.
        let ids: Vec<_> = events.iter().filter_map(|told| told.id).collect();
        assert!(ids.is_sorted_by(|one, next| one < next), "{way}: {ids:?}");
    }
    // A stranger's position in the log reads nothing of it, either (T09).
    let after_foreign = Events::open(&daemon, &token, Some(1))
        .await
        .until_quiet(QUIET)
        .await;
    assert!(
        after_foreign
            .iter()
            .all(|told| !told.data.to_string().contains("shop-page"))
    );
}

/// Much at once, most of it from people who are new (which each reader's own task has to show): what is told past it must
/// neither overtake that nor take its place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f32_whoever_may_see_a_part_hears_live_exactly_what_the_log_has_for_it() {
    const MESSAGES: usize = 400;
    const AT_ONCE: usize = 16;
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &config(&echo("echo")));
    daemon.add_somebody().await;
    let mut tokens = vec![ADMIN.to_owned()];
    for channels in [json!(["echo"]), json!(["shop-page"]), json!("all")] {
        let token = json!({ "name": "a part", "scopes": ["read"], "channels": channels });
        tokens.push(daemon.make_token(&token).await.1);
    }
    let begun = daemon.head().await;
    let is_last = |token: &str, told: &Told| {
        let mine = if token == tokens[1] {
            "e_last"
        } else {
            "m_last"
        };
        told.kind == "message.created" && told.data["data"]["message"]["external_id"] == mine
    };
    let mut readers = Vec::new();
    for number in 0..24 {
        let token = tokens[number % tokens.len()].clone();
        let stream = Events::open(&daemon, &token, None).await;
        readers.push((token, stream));
    }
    let hearing =
        futures_util::future::join_all(readers.into_iter().map(|(token, mut stream)| async move {
            let told = stream.up_to(SOON, |told| is_last(&token, told)).await;
            (token, told)
        }));
    let writing = async {
        let all: Vec<usize> = (0..MESSAGES).collect();
        for some in all.chunks(AT_ONCE) {
            let each = some.iter().map(|number| {
                let daemon = &daemon;
                async move {
                    // Two of three are new.
                    let person = format!("88{:04}", number - number % 3 / 2);
                    if number % 2 == 0 {
                        deliver_echo(daemon, &person, &format!("e_{number}")).await;
                    } else {
                        deliver(daemon, &person, &format!("m_{number}")).await;
                    }
                }
            });
            futures_util::future::join_all(each).await;
        }
        deliver_echo(&daemon, "880001", "e_last").await;
        deliver(&daemon, "880002", "m_last").await;
    };
    let (heard, ()) = tokio::join!(hearing, writing);
    for (place, (token, told)) in heard.iter().enumerate() {
        let mut replay = Events::open(&daemon, token, Some(begun)).await;
        let on_record = replay.up_to(SOON, |told| is_last(token, told)).await;
        assert_eq!(ids(told), ids(&on_record), "reader {place}");
        assert!(told.len() > MESSAGES, "{}", told.len());
    }
}

#[tokio::test]
async fn t02_a_contact_shows_only_who_they_are_in_the_readers_channels() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &config(&echo("echo")));
    let (_, token) = daemon
        .make_token(&json!({ "name": "echo only", "scopes": ["read"], "channels": ["echo"] }))
        .await;
    deliver(&daemon, "7700", "m_1").await;
    deliver_echo(&daemon, "7701", "e_1").await;
    let contacts = daemon.all("contacts", 50).await;
    let of = |channel: &str| {
        let found = contacts
            .iter()
            .find(|contact| contact["identities"][0]["channel_id"] == channel);
        found.expect("a contact")["id"]
            .as_str()
            .expect("an id")
            .to_owned()
    };
    let (seen, hidden) = (of("echo"), of("shop-page"));
    let mut stream = Events::open(&daemon, &token, None).await;
    for (id, name) in [(&hidden, "Hidden Name"), (&seen, "Seen Name")] {
        let patch = client()
            .patch(format!("{}/api/v1/contacts/{id}", daemon.url))
            .bearer_auth(ADMIN);
        let answer = patch
            .json(&json!({ "name": name }))
            .send()
            .await
            .expect("answers");
        assert_eq!(
            answer.status(),
            200,
            "{}",
            answer.text().await.expect("text")
        );
    }
    let first = stream
        .wait_for(SOON, |told| told.kind.starts_with("contact."))
        .await;
    assert_eq!(first.data["data"]["contact"]["name"], "Seen Name");
    assert_eq!(
        first.data["data"]["contact"]["identities"],
        json!([{ "channel_id": "echo", "external_id": "7701" }])
    );
    let all = Events::open(&daemon, &token, Some(0))
        .await
        .until_quiet(QUIET)
        .await;
    assert!(
        all.iter()
            .all(|told| !told.data.to_string().contains("Hidden Name")
                && !told.data.to_string().contains("\"7700\""))
    );
}

#[tokio::test]
async fn t06_the_stream_of_a_revoked_token_ends() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &config(""));
    let (id, token) = daemon
        .make_token(&json!({ "name": "to be revoked", "scopes": ["read"] }))
        .await;
    let (_, other) = daemon
        .make_token(&json!({ "name": "stays", "scopes": ["read"] }))
        .await;
    let soon = deskbell_sdk::Time::from_millis(now_ms() + 6_000).to_string();
    let (_, ending) = daemon
        .make_token(&json!({ "name": "ends by itself", "scopes": ["read"], "expires_at": soon }))
        .await;
    let mut revoked = Events::open(&daemon, &token, None).await;
    let mut expiring = Events::open(&daemon, &ending, None).await;
    let mut stays = Events::open(&daemon, &other, None).await;
    let answer = client()
        .delete(format!("{}/api/v1/tokens/{id}", daemon.url))
        .bearer_auth(ADMIN)
        .send()
        .await
        .expect("answers");
    assert_eq!(answer.status(), 204);
    let begun = Instant::now();
    while !matches!(revoked.next(Duration::from_secs(30)).await, Heard::Ended) {
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "a revoked token still listens"
        );
    }
    assert_eq!(
        request(&daemon, &token, None)
            .send()
            .await
            .expect("answers")
            .status(),
        401
    );
    while !matches!(expiring.next(Duration::from_secs(40)).await, Heard::Ended) {
        assert!(
            begun.elapsed() < Duration::from_secs(40),
            "a token that has ended still listens"
        );
    }
    deliver(&daemon, "2001", "m_after").await;
    stays
        .wait_for(SOON, |told| told.kind == "message.created")
        .await;
    for wrong in ["", "dbk_", "nonsense", ADMIN.to_uppercase().as_str()] {
        assert_eq!(
            request(&daemon, wrong, None)
                .send()
                .await
                .expect("answers")
                .status(),
            401,
            "{wrong:?}"
        );
    }
    assert_eq!(
        client()
            .get(format!("{}/api/v1/events?token={ADMIN}", daemon.url))
            .send()
            .await
            .expect("answers")
            .status(),
        401,
        "no token in an address"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s04_the_stream_of_a_session_ends_with_the_session() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &config(""));
    let opened = client()
        .get(&daemon.setup_url)
        .send()
        .await
        .expect("answers");
    assert_eq!(opened.status(), 303);
    let cookie = opened.headers()["set-cookie"]
        .to_str()
        .expect("text")
        .split(';')
        .next()
        .expect("a pair")
        .to_owned();
    let stream = client()
        .get(format!("{}/api/v1/events", daemon.url))
        .header("cookie", &cookie)
        .timeout(Duration::from_secs(60));
    let mut stream = stream.send().await.expect("answers");
    assert_eq!(stream.status(), 200);
    let out = client()
        .delete(format!("{}/api/v1/session", daemon.url))
        .header("cookie", &cookie)
        .send()
        .await
        .expect("answers");
    assert_eq!(out.status(), 204);
    let ended = tokio::time::timeout(Duration::from_secs(30), async {
        while let Ok(Some(_)) = stream.chunk().await {}
    })
    .await;
    assert!(ended.is_ok(), "the stream outlived its session");
}
