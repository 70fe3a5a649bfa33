//! `kill -9` at any moment.

use std::time::Duration;

use crate::crash::load::{Load, config};
use crate::crash::verdict::{nothing_is_lost_or_doubled, panics_in};
use crate::support::{ADMIN, Daemon, client, say, switch};

/// How many write at once.
const SENDERS: usize = 64;
/// Live clients, each of which resumes where it was cut.
const LISTENERS: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f01_kill_9_loses_and_doubles_nothing() {
    let kills = switch("DESKBELL_KILLS", 10);
    let folder = tempfile::tempdir().expect("a folder");
    let mut daemon = Daemon::start(folder.path(), &config());
    let load = Load::begin(&daemon).await;
    let mut heard: Vec<Vec<u64>> = vec![Vec::new(); LISTENERS];
    for round in 0..kills {
        let senders = load.loose(&daemon, SENDERS);
        let listening: Vec<_> = heard
            .iter()
            .map(|heard| {
                let after = heard.last().copied().unwrap_or(0);
                tokio::spawn(listen(daemon.url.clone(), after, Duration::from_secs(60)))
            })
            .collect();
        let moment = 150 + 83 * u64::try_from(round % 7).expect("small");
        tokio::time::sleep(Duration::from_millis(moment)).await;
        assert_eq!(panics_in(&daemon.log()), Vec::<&str>::new());
        daemon.kill();
        senders.stop().await;
        for (heard, listening) in heard.iter_mut().zip(listening) {
            heard.extend(listening.await.expect("listens"));
        }
        daemon = Daemon::start_as_it_is(folder.path());
        if round % 20 == 9 {
            let when = format!("after kill {}", round + 1);
            nothing_is_lost_or_doubled(&daemon, &load.known(), &when).await;
        }
    }
    nothing_is_lost_or_doubled(&daemon, &load.known(), "after the last kill").await;
    load.send_again(&daemon, 500).await;
    let book = load.known();
    nothing_is_lost_or_doubled(&daemon, &book, "after all was sent again").await;
    let acknowledged = book.acknowledged.len();
    assert!(
        acknowledged > 20 * kills,
        "only {acknowledged} acknowledged"
    );

    // Each client saw each event once and in order, up to where it was cut, and the rest is in the log.
    let head = daemon.head().await;
    for heard in &mut heard {
        let last = heard.last().copied().unwrap_or(0);
        heard.extend(listen(daemon.url.clone(), last, Duration::from_secs(3)).await);
        assert_eq!(
            out_of_order(heard, head),
            None,
            "each event once and in order"
        );
    }
    say(&format!(
        "{kills} kills: {acknowledged} acknowledged of {} sent, {} put off, {head} events heard by {LISTENERS} clients",
        book.sent.len(),
        book.put_off
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f45_a_stop_in_the_middle_of_the_work_is_clean() {
    let stops = switch("DESKBELL_STOPS", 4);
    let folder = tempfile::tempdir().expect("a folder");
    let mut daemon = Daemon::start(folder.path(), &config());
    let load = Load::begin(&daemon).await;
    let mut longest = Duration::ZERO;
    for stop in 1..=stops {
        let senders = load.loose(&daemon, SENDERS);
        let listening = tokio::spawn(listen(daemon.url.clone(), 0, Duration::from_secs(60)));
        tokio::time::sleep(Duration::from_millis(200)).await;
        let log = std::sync::Arc::clone(&daemon.log);
        let (status, took) = tokio::task::spawn_blocking(|| daemon.stop())
            .await
            .expect("joined");
        longest = longest.max(took);
        senders.stop().await;
        listening.await.expect("the stream ends with it");
        let log = log.lock().expect("not poisoned").clone();
        assert!(status.success(), "stop {stop}: {status}: {log}");
        assert_eq!(panics_in(&log), Vec::<&str>::new());
        daemon = Daemon::start_as_it_is(folder.path());
        assert!(
            !daemon.log().contains("not clean"),
            "stop {stop} was none: {}",
            daemon.log()
        );
        nothing_is_lost_or_doubled(&daemon, &load.known(), &format!("after stop {stop}")).await;
    }
    load.send_again(&daemon, 200).await;
    nothing_is_lost_or_doubled(&daemon, &load.known(), "after all was sent again").await;
    say(&format!(
        "{stops} stops under load: {} acknowledged, the longest took {longest:?}",
        load.acknowledged()
    ));
}

/// The first place where the numbers are not 1, 2, 3 … `head`.
fn out_of_order(heard: &[u64], head: u64) -> Option<String> {
    let wrong = heard.iter().zip(1..).find(|(seq, due)| **seq != *due);
    match wrong {
        Some((seq, due)) => Some(format!("{seq} came where {due} was due")),
        None if heard.len() as u64 != head => Some(format!("{} of {head} came", heard.len())),
        None => None,
    }
}

#[test]
fn f32_a_gap_a_double_and_a_missing_end_are_seen() {
    assert_eq!(out_of_order(&[1, 2, 3], 3), None);
    for wrong in [&[1, 3][..], &[1, 1, 2, 3], &[2, 1, 3], &[1, 2]] {
        assert!(out_of_order(wrong, 3).is_some(), "{wrong:?}");
    }
}

/// The numbers of all events after `after`, until nothing comes for `quiet` or the daemon is gone.
pub(crate) async fn listen(url: String, after: u64, quiet: Duration) -> Vec<u64> {
    let request = client()
        .get(format!("{url}/api/v1/events?after={after}"))
        .bearer_auth(ADMIN);
    let Ok(mut answer) = request.timeout(Duration::from_secs(120)).send().await else {
        return Vec::new();
    };
    let (mut seen, mut bytes) = (Vec::new(), Vec::new());
    while let Ok(Ok(Some(chunk))) = tokio::time::timeout(quiet, answer.chunk()).await {
        bytes.extend_from_slice(&chunk);
        while let Some(end) = bytes.windows(2).position(|pair| pair == b"\n\n") {
            let event: Vec<u8> = bytes.drain(..end + 2).collect();
            let event = String::from_utf8(event).expect("text");
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
