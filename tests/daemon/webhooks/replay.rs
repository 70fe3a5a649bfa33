//! The same delivery again: at once, later, and after a restart.

use futures_util::future::join_all;
use serde_json::Value;

use crate::support::sse::Events;
use crate::support::{ADMIN, APP_SECRET, Daemon, PAGE, config, envelope, message, now_ms};

const YEAR_MS: i64 = 365 * 24 * 60 * 60 * 1000;

async fn deliver_fifty_times(daemon: &Daemon, body: &str) {
    let all =
        join_all((0..50).map(|_| daemon.deliver("shop-page", APP_SECRET, body.to_owned()))).await;
    assert!(all.iter().all(|status| *status == 200), "{all:?}");
}

/// How many events of each kind are in the log about the message.
async fn created(daemon: &Daemon, mid: &str) -> usize {
    let mut stream = Events::open(daemon, ADMIN, Some(0)).await;
    let all = stream
        .up_to_head(daemon, std::time::Duration::from_secs(60))
        .await;
    let about =
        |told: &&crate::support::sse::Told| told.data["data"]["message"]["external_id"] == mid;
    all.iter()
        .filter(about)
        .inspect(|told| assert_eq!(told.kind, "message.created"))
        .count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w06_a_replayed_request_is_one_message_however_often_and_whenever_it_comes() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut daemon = Daemon::start(folder.path(), &config(""));
    daemon.add_somebody().await;
    let fresh = envelope(PAGE, &[message("2001", "m_fresh", "once", now_ms())]);
    // Captured a year ago and sent now; what it tells apart is its id, not its age.
    let old = envelope(
        PAGE,
        &[message(
            "2001",
            "m_old",
            "once, long ago",
            now_ms() - YEAR_MS,
        )],
    );
    deliver_fifty_times(&daemon, &fresh).await;
    deliver_fifty_times(&daemon, &old).await;
    let head = daemon.head().await;
    for restart in ["stop", "kill"] {
        match restart {
            "stop" => assert!(daemon.stop().0.success()),
            _ => daemon.kill(),
        }
        daemon = Daemon::start_as_it_is(folder.path());
        deliver_fifty_times(&daemon, &fresh).await;
        deliver_fifty_times(&daemon, &old).await;
        let feed = daemon.all("feed", 200).await;
        let mut ids: Vec<&Value> = feed.iter().map(|item| &item["external_id"]).collect();
        ids.sort_by_key(|id| id.to_string());
        assert_eq!(ids, ["m_fresh", "m_old"], "after {restart}");
        assert_eq!(daemon.head().await, head, "a replay is no event");
        for mid in ["m_fresh", "m_old"] {
            assert_eq!(created(&daemon, mid).await, 1, "{mid} after {restart}");
        }
    }
    let conversation = &daemon.all("conversations", 50).await[0];
    assert_eq!(
        (
            &conversation["message_count"],
            &conversation["unread_count"]
        ),
        (&2.into(), &2.into())
    );
}

#[tokio::test]
async fn w06_the_same_message_in_another_envelope_is_the_same_message() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &config(""));
    let at = now_ms();
    let once = message("2001", "m_again", "first words", at);
    let mut other_words = message("2001", "m_again", "other words", at + 5_000);
    other_words["message"]["is_echo"] = Value::Bool(false);
    assert_eq!(
        daemon
            .deliver(
                "shop-page",
                APP_SECRET,
                envelope(PAGE, &[once.clone(), once.clone()])
            )
            .await,
        200
    );
    assert_eq!(
        daemon
            .deliver(
                "shop-page",
                APP_SECRET,
                envelope(PAGE, &[other_words, once])
            )
            .await,
        200
    );
    let feed = daemon.all("feed", 50).await;
    assert_eq!(feed.len(), 1);
    assert_eq!(feed[0]["text"], "first words", "what came first stands");
}
