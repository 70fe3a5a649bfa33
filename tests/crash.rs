//! Crashes: what was acknowledged is there, once, whatever kills the daemon.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use support::{APP_SECRET, Daemon, PAGE, client, config, envelope, message, now_ms};
use tokio::sync::Mutex;

/// How often the daemon is killed.
const KILLS: usize = 10;
/// How many write at once.
const SENDERS: u64 = 64;

/// Sends until the daemon is gone; every acknowledged message id is remembered outside of it.
async fn send(
    url: String,
    sender: u64,
    counter: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    acknowledged: Arc<Mutex<BTreeSet<String>>>,
) {
    let person = format!("{}", 2000 + sender % 16);
    while !stop.load(Ordering::Relaxed) {
        let number = counter.fetch_add(1, Ordering::Relaxed);
        let mid = format!("m_crash_{number}");
        let body = envelope(
            PAGE,
            &[message(&person, &mid, &format!("text {number}"), now_ms())],
        );
        // Every fifth is sent twice at once, as platforms do after a slow answer.
        let again = number.is_multiple_of(5).then(|| {
            tokio::spawn({
                let (url, body) = (url.clone(), body.clone());
                async move { support::deliver(&url, "shop-page", APP_SECRET, body).await }
            })
        });
        let first = support::deliver(&url, "shop-page", APP_SECRET, body).await;
        if let Some(again) = again {
            // Only the first answer counts here; the second must not make a second message.
            let _ = again.await;
        }
        match first {
            Ok(200) => {
                acknowledged.lock().await.insert(mid);
            }
            Ok(503) => tokio::time::sleep(Duration::from_millis(2)).await,
            Ok(other) => panic!("answered {other}"),
            Err(_) => return,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f01_kill_9_loses_and_doubles_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let acknowledged = Arc::new(Mutex::new(BTreeSet::new()));
    let counter = Arc::new(AtomicU64::new(0));
    let mut daemon = Daemon::start(folder.path(), &config(""));
    let mut seen_live: Vec<u64> = Vec::new();
    for round in 0..KILLS {
        let stop = Arc::new(AtomicBool::new(false));
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| {
                let (counter, stop, acknowledged) = (
                    Arc::clone(&counter),
                    Arc::clone(&stop),
                    Arc::clone(&acknowledged),
                );
                tokio::spawn(send(
                    daemon.url.clone(),
                    sender,
                    counter,
                    stop,
                    acknowledged,
                ))
            })
            .collect();
        // One client that resumes by the last event it saw, through every crash.
        let listener = tokio::spawn(listen(
            daemon.url.clone(),
            seen_live.last().copied().unwrap_or(0),
        ));
        tokio::time::sleep(Duration::from_millis(
            150 + 83 * u64::try_from(round % 4).expect("small"),
        ))
        .await;
        daemon.kill();
        stop.store(true, Ordering::Relaxed);
        for sender in senders {
            sender.await.expect("no sender fails");
        }
        seen_live.extend(listener.await.expect("listens"));
        daemon = Daemon::start_as_it_is(folder.path());
    }
    let acknowledged = acknowledged.lock().await.clone();
    assert!(
        acknowledged.len() > 200,
        "only {} were acknowledged",
        acknowledged.len()
    );

    let feed = daemon.all("feed", 200).await;
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    for item in &feed {
        *times
            .entry(item["external_id"].as_str().expect("an id").to_owned())
            .or_default() += 1;
    }
    let lost: Vec<_> = acknowledged
        .iter()
        .filter(|mid| !times.contains_key(*mid))
        .collect();
    assert!(
        lost.is_empty(),
        "{} of {} lost: {lost:?}",
        lost.len(),
        acknowledged.len()
    );
    let doubled: Vec<_> = times.iter().filter(|(_, count)| **count > 1).collect();
    assert!(doubled.is_empty(), "doubled: {doubled:?}");

    let conversations = daemon.all("conversations", 50).await;
    for conversation in &conversations {
        let id = conversation["id"].as_str().expect("an id");
        let messages = daemon
            .all(&format!("conversations/{id}/messages"), 200)
            .await;
        assert_eq!(conversation["message_count"], messages.len(), "{id}");
        assert_eq!(
            conversation["unread_count"],
            messages.len(),
            "{id}: nobody has read anything"
        );
        assert_eq!(
            conversation["last_message"]["id"], messages[0]["id"],
            "{id}"
        );
    }
    let counted: u64 = conversations
        .iter()
        .filter_map(|one| one["message_count"].as_u64())
        .sum();
    assert_eq!(counted, u64::try_from(feed.len()).expect("small"));

    // The client that resumed saw each event once and in order, up to where it was cut, and the rest is in the log.
    let last = seen_live.last().copied().unwrap_or(0);
    seen_live.extend(listen_for(&daemon.url, last, Duration::from_secs(3)).await);
    let head = daemon_head(&daemon).await;
    assert_eq!(
        seen_live,
        (1..=head).collect::<Vec<_>>(),
        "each event once and in order"
    );
}

async fn daemon_head(daemon: &Daemon) -> u64 {
    let metrics = client()
        .get(format!("{}/metrics", daemon.url))
        .send()
        .await
        .expect("answers")
        .text()
        .await
        .expect("text");
    let line = metrics
        .lines()
        .find(|line| line.starts_with("deskbell_log_head"))
        .expect("the figure");
    line.rsplit(' ')
        .next()
        .and_then(|number| number.parse().ok())
        .expect("a number")
}

/// The numbers of all events after `after`, until the daemon is gone.
async fn listen(url: String, after: u64) -> Vec<u64> {
    listen_for(&url, after, Duration::from_secs(60)).await
}

/// The numbers of all events after `after`, until nothing comes for `quiet`.
async fn listen_for(url: &str, after: u64, quiet: Duration) -> Vec<u64> {
    let request = client()
        .get(format!("{url}/api/v1/events?after={after}"))
        .bearer_auth(support::ADMIN);
    let Ok(mut answer) = request.timeout(Duration::from_secs(120)).send().await else {
        return Vec::new();
    };
    let (mut seen, mut text) = (Vec::new(), String::new());
    while let Ok(Ok(Some(chunk))) = tokio::time::timeout(quiet, answer.chunk()).await {
        text.push_str(&String::from_utf8_lossy(&chunk));
        while let Some(end) = text.find("\n\n") {
            let event: String = text.drain(..end + 2).collect();
            assert!(
                !event.contains("event: reset"),
                "nothing that was missed may be gone"
            );
            seen.extend(
                event
                    .lines()
                    .find_map(|line| line.strip_prefix("id: ")?.parse::<u64>().ok()),
            );
        }
    }
    seen
}
