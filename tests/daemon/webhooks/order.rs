//! Events in any order: the desk ends where it would have ended in the right one.

use serde_json::{Value, json};

use crate::support::{APP_SECRET, Daemon, PAGE, config, envelope, message, now_ms};

const PERSON: &str = "2001";

fn event(of: &str, at: i64, inner: Value) -> Value {
    json!({ "sender": { "id": PERSON }, "recipient": { "id": PAGE }, "timestamp": at, of: inner })
}

fn echo(mid: &str, text: &str, at: i64) -> Value {
    json!({ "sender": { "id": PAGE }, "recipient": { "id": PERSON }, "timestamp": at,
        "message": { "mid": mid, "text": text, "is_echo": true, "app_id": 4_242_424_242_i64 } })
}

async fn deliver(daemon: &Daemon, event: Value) {
    assert_eq!(
        daemon
            .deliver("shop-page", APP_SECRET, envelope(PAGE, &[event]))
            .await,
        200
    );
}

async fn messages(daemon: &Daemon) -> Vec<Value> {
    let conversations = daemon.all("conversations", 50).await;
    assert_eq!(conversations.len(), 1, "{conversations:?}");
    let id = conversations[0]["id"].as_str().expect("an id");
    daemon
        .all(&format!("conversations/{id}/messages"), 200)
        .await
}

async fn the_message(daemon: &Daemon, mid: &str) -> Value {
    let found = messages(daemon)
        .await
        .into_iter()
        .find(|message| message["external_id"] == mid);
    found.unwrap_or_else(|| panic!("{mid} is not there"))
}

#[tokio::test]
async fn f21_what_comes_before_its_message_waits_for_it_also_over_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &config(""));
    let at = now_ms() - 60_000;
    deliver(
        &daemon,
        event(
            "reaction",
            at + 3,
            json!({ "mid": "m_reacted", "action": "react", "reaction": "love", "emoji": "❤" }),
        ),
    )
    .await;
    deliver(
        &daemon,
        event(
            "reaction",
            at + 4,
            json!({ "mid": "m_unreacted", "action": "react", "reaction": "wow", "emoji": "😮" }),
        ),
    )
    .await;
    deliver(
        &daemon,
        event(
            "reaction",
            at + 5,
            json!({ "mid": "m_unreacted", "action": "unreact", "reaction": "wow", "emoji": "😮" }),
        ),
    )
    .await;
    // The second edit comes before the first.
    deliver(
        &daemon,
        event(
            "message_edit",
            at + 7,
            json!({ "mid": "m_edited", "text": "second version", "num_edit": 2 }),
        ),
    )
    .await;
    deliver(
        &daemon,
        event(
            "message_edit",
            at + 6,
            json!({ "mid": "m_edited", "text": "first version", "num_edit": 1 }),
        ),
    )
    .await;
    deliver(
        &daemon,
        event(
            "message",
            at + 8,
            json!({ "mid": "m_unsent", "is_deleted": true }),
        ),
    )
    .await;
    deliver(
        &daemon,
        event("read", at + 9, json!({ "watermark": at + 2 })),
    )
    .await;
    assert!(
        daemon.all("feed", 50).await.is_empty(),
        "none of these is a message"
    );
    daemon.kill();

    let daemon = Daemon::start_as_it_is(folder.path());
    for (number, mid) in ["m_reacted", "m_unreacted", "m_edited", "m_unsent"]
        .into_iter()
        .enumerate()
    {
        deliver(
            &daemon,
            message(
                PERSON,
                mid,
                "as it was written",
                at + i64::try_from(number).expect("small"),
            ),
        )
        .await;
    }
    deliver(&daemon, echo("m_ours_read", "read already", at + 1)).await;
    deliver(&daemon, echo("m_ours_unread", "not yet read", at + 30)).await;

    let reacted = the_message(&daemon, "m_reacted").await;
    assert_eq!(reacted["reactions"][0]["emoji"], "❤");
    assert_eq!(reacted["reactions"][0]["author"]["type"], "contact");
    assert!(
        the_message(&daemon, "m_unreacted").await["reactions"]
            .as_array()
            .expect("a list")
            .is_empty()
    );
    let edited = the_message(&daemon, "m_edited").await;
    assert_eq!(edited["text"], "second version");
    assert!(edited["edited_at"].is_string());
    let unsent = the_message(&daemon, "m_unsent").await;
    assert!(unsent["deleted_at"].is_string());
    assert!(
        unsent["text"].is_null(),
        "what was taken back is not shown: {unsent}"
    );
    assert_eq!(
        the_message(&daemon, "m_ours_read").await["delivery"]["state"],
        "read"
    );
    assert_eq!(
        the_message(&daemon, "m_ours_unread").await["delivery"]["state"],
        "sent"
    );
    daemon.kill();

    let daemon = Daemon::start_as_it_is(folder.path());
    assert_eq!(
        the_message(&daemon, "m_edited").await["text"],
        "second version"
    );
    assert_eq!(
        the_message(&daemon, "m_ours_read").await["delivery"]["state"],
        "read"
    );
    assert!(the_message(&daemon, "m_unsent").await["text"].is_null());
}

#[tokio::test]
async fn f21_every_order_of_six_events_ends_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &config(""));
    let at = now_ms() - 60_000;
    // Each order has a person of its own, so that one daemon can go through many of them.
    let with = |person: &str, number: usize, which: usize| {
        let mid = format!("m_order_{number}");
        let mut event = match which {
            0 => message(person, &mid, "the first words", at),
            1 => event(
                "message_edit",
                at + 1,
                json!({ "mid": mid, "text": "edited once", "num_edit": 1 }),
            ),
            2 => event(
                "message_edit",
                at + 2,
                json!({ "mid": mid, "text": "edited twice", "num_edit": 2 }),
            ),
            3 => event(
                "reaction",
                at + 3,
                json!({ "mid": mid, "action": "react", "reaction": "like", "emoji": "👍" }),
            ),
            4 => event(
                "reaction",
                at + 4,
                json!({ "mid": mid, "action": "react", "reaction": "love", "emoji": "❤" }),
            ),
            _ => event("message", at + 5, json!({ "mid": mid, "is_deleted": true })),
        };
        event["sender"]["id"] = json!(person);
        event
    };
    let orders = permutations(6);
    assert_eq!(orders.len(), 720);
    // Every seventh: each event is in each place many times over.
    let chosen: Vec<_> = orders.into_iter().step_by(7).enumerate().collect();
    for (number, order) in &chosen {
        let person = format!("{}", 5_000 + number);
        // Half of them in one delivery, half in six.
        let events: Vec<Value> = order
            .iter()
            .map(|which| with(&person, *number, *which))
            .collect();
        if number % 2 == 0 {
            assert_eq!(
                daemon
                    .deliver("shop-page", APP_SECRET, envelope(PAGE, &events))
                    .await,
                200
            );
        } else {
            for event in events {
                deliver(&daemon, event).await;
            }
        }
    }
    let feed = daemon.all("feed", 200).await;
    assert_eq!(feed.len(), chosen.len());
    for item in &feed {
        assert!(
            item["text"].is_null()
                && item["deleted_at"].is_string()
                && item["edited_at"].is_string(),
            "{item}"
        );
        let reactions = item["reactions"].as_array().expect("a list");
        assert_eq!(reactions.len(), 1, "{item}");
        assert_eq!(reactions[0]["emoji"], "❤", "{item}");
    }
}

/// Every order of the numbers below `count`.
fn permutations(count: usize) -> Vec<Vec<usize>> {
    if count == 0 {
        return vec![Vec::new()];
    }
    let shorter = permutations(count - 1);
    let insert = |order: &Vec<usize>, place: usize| {
        let mut order = order.clone();
        order.insert(place, count - 1);
        order
    };
    shorter
        .iter()
        .flat_map(|order| (0..count).map(move |place| insert(order, place)))
        .collect()
}

#[tokio::test]
async fn w17_receipts_never_claim_more_than_happened() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &config(""));
    let at = now_ms() - 60_000;
    deliver(
        &daemon,
        message(PERSON, "m_asked", "when does it come?", at),
    )
    .await;
    deliver(&daemon, echo("m_answered", "tomorrow", at + 1_000)).await;
    let state = async || the_message(&daemon, "m_answered").await["delivery"]["state"].clone();
    assert_eq!(state().await, "sent");

    // Forged: without the secret nothing moves.
    let forged = envelope(
        PAGE,
        &[event("read", at, json!({ "watermark": at + 5_000 }))],
    );
    assert_eq!(
        daemon.deliver("shop-page", "not-the-secret", forged).await,
        401
    );
    assert_eq!(state().await, "sent");
    // Of somebody else, of before the message, and of the Page's own reading.
    let mut stranger = event("read", at, json!({ "watermark": at + 5_000 }));
    stranger["sender"]["id"] = json!("2999");
    deliver(&daemon, stranger).await;
    deliver(&daemon, event("read", at, json!({ "watermark": at + 500 }))).await;
    let own = json!({ "sender": { "id": PAGE }, "recipient": { "id": PERSON }, "timestamp": at, "read": { "watermark": at + 5_000 } });
    deliver(&daemon, own).await;
    assert_eq!(state().await, "sent");

    deliver(
        &daemon,
        event(
            "delivery",
            at + 2_000,
            json!({ "watermark": at + 2_000, "mids": ["m_answered"] }),
        ),
    )
    .await;
    assert_eq!(state().await, "delivered");
    deliver(
        &daemon,
        event("read", at + 3_000, json!({ "watermark": at + 3_000 })),
    )
    .await;
    assert_eq!(state().await, "read");
    // Out of order and again: it never goes back.
    deliver(
        &daemon,
        event(
            "delivery",
            at + 4_000,
            json!({ "watermark": at + 4_000, "mids": ["m_answered"] }),
        ),
    )
    .await;
    deliver(
        &daemon,
        event("read", at + 3_000, json!({ "watermark": at + 3_000 })),
    )
    .await;
    assert_eq!(state().await, "read");

    // What the customer wrote has no delivery, whatever a receipt names.
    deliver(
        &daemon,
        event("delivery", at + 5_000, json!({ "mids": ["m_asked"] })),
    )
    .await;
    assert!(the_message(&daemon, "m_asked").await["delivery"].is_null());

    // What never left is not delivered by a receipt that covers its time: a note, and a reply that the platform of this
    // test, which is not there, never got. Where a channel takes no replies there is nothing to mark.
    let conversation = daemon.all("conversations", 50).await[0]["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let path = format!("conversations/{conversation}/messages");
    let (status, note) = daemon
        .post(&path, &json!({ "text": "between us", "private": true }))
        .await;
    assert_eq!(status, 201, "{note}");
    let (status, reply) = daemon.post(&path, &json!({ "text": "not sent yet" })).await;
    assert!(matches!(status, 202 | 409), "{reply}");
    deliver(
        &daemon,
        event("read", now_ms(), json!({ "watermark": now_ms() + 60_000 })),
    )
    .await;
    for shown in messages(&daemon).await {
        if shown["id"] == note["id"] {
            assert!(shown["delivery"].is_null(), "{shown}");
        } else if shown["id"] == reply["id"] {
            assert!(
                !matches!(
                    shown["delivery"]["state"].as_str(),
                    Some("sent" | "delivered" | "read")
                ),
                "{shown}"
            );
        }
    }
    // And one that comes later is not read before it is written: the watermark of now is no promise for ever.
    deliver(
        &daemon,
        event(
            "read",
            now_ms(),
            json!({ "watermark": now_ms() + 3_600_000 * 24 * 365 }),
        ),
    )
    .await;
    deliver(
        &daemon,
        echo("m_later", "written later", now_ms() + 3_600_000),
    )
    .await;
    assert_eq!(
        the_message(&daemon, "m_later").await["delivery"]["state"],
        "sent"
    );
}

#[tokio::test]
async fn a_conversation_is_in_the_platforms_order_and_the_feed_in_the_order_of_arrival() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &config(""));
    let at = now_ms() - 3_600_000;
    let arrival = [
        (3, 3_000),
        (1, 1_000),
        (5, 5_000),
        (2, 2_000),
        (4, 4_000),
        (0, 0),
    ];
    for (number, after) in arrival {
        deliver(
            &daemon,
            message(
                PERSON,
                &format!("m_late_{number}"),
                &format!("number {number}"),
                at + after,
            ),
        )
        .await;
    }
    let numbers = |list: &[Value]| -> Vec<String> {
        list.iter()
            .map(|item| {
                item["external_id"]
                    .as_str()
                    .expect("an id")
                    .replace("m_late_", "")
            })
            .collect()
    };
    assert_eq!(
        numbers(&messages(&daemon).await),
        ["5", "4", "3", "2", "1", "0"],
        "newest first, by the platform's time"
    );
    assert_eq!(
        numbers(&daemon.all("feed", 50).await),
        ["0", "4", "2", "5", "1", "3"],
        "by arrival"
    );
    let conversation = &daemon.all("conversations", 50).await[0];
    let newest = &messages(&daemon).await[0];
    assert_eq!(
        conversation["last_message"]["id"], newest["id"],
        "a late one is not the last message"
    );
    assert_eq!(conversation["last_message"]["preview"], "number 5");
    assert_eq!(
        (
            &conversation["message_count"],
            &conversation["unread_count"]
        ),
        (&6.into(), &6.into())
    );
    // Of the same time, the one that came later is the later one.
    for number in [6, 7] {
        deliver(
            &daemon,
            message(
                PERSON,
                &format!("m_late_{number}"),
                "at the same time",
                at + 6_000,
            ),
        )
        .await;
    }
    assert_eq!(numbers(&messages(&daemon).await)[..2], ["7", "6"]);
}
