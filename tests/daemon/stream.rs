//! The live stream: nothing lost and nothing twice, whatever happens to its reader and to the daemon.

mod scope;

use std::time::{Duration, Instant};

use crate::support::calls::{echo, until};
use crate::support::sse::{Events, Heard, Told, request};
use crate::support::{ADMIN, APP_SECRET, Daemon, PAGE, client, config, envelope, message, now_ms};
use deskbell::clock::Clock;
use deskbell::store::embedded::{EmbeddedStore, Options};
use deskbell::store::{Group, Read as _, Store as _};
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(60);
const QUIET: Duration = Duration::from_millis(800);

async fn deliver(daemon: &Daemon, person: &str, mid: &str) {
    let body = envelope(
        PAGE,
        &[message(person, mid, &format!("text of {mid}"), now_ms())],
    );
    assert_eq!(daemon.deliver("shop-page", APP_SECRET, body).await, 200);
}

async fn deliver_echo(daemon: &Daemon, person: &str, id: &str) {
    let body = json!({ "messages": [{ "id": id, "thread": person, "name": format!("Name of {person}"), "text": format!("text of {id}") }] });
    assert_eq!(
        daemon.echo("echo", body.to_string().into_bytes()).await,
        200
    );
}

fn ids(events: &[Told]) -> Vec<u64> {
    events.iter().filter_map(|told| told.id).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f32_a_reader_resumes_over_restarts_and_crashes_with_nothing_lost_and_nothing_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut daemon = Daemon::start(folder.path(), &config(""));
    daemon.add_somebody().await;
    let mut seen: Vec<Told> = Vec::new();
    let mut stream = Events::open(&daemon, ADMIN, Some(0)).await;
    for round in 0..6 {
        for number in 0..20 {
            deliver(
                &daemon,
                &format!("{}", 2_000 + number % 5),
                &format!("m_{round}_{number}"),
            )
            .await;
        }
        // Sometimes all of it is read before the cut, sometimes a part.
        for _ in 0..7 * (round + 1) {
            if let Heard::Event(told) = stream.next(Duration::from_millis(300)).await {
                seen.push(told);
            }
        }
        if round % 2 == 0 {
            daemon.kill();
        } else {
            assert!(daemon.stop().0.success());
        }
        daemon = Daemon::start_as_it_is(folder.path());
        stream = Events::open(
            &daemon,
            ADMIN,
            Some(ids(&seen).last().copied().unwrap_or(0)),
        )
        .await;
    }
    let head = daemon.head().await;
    if ids(&seen).last() < Some(&head) {
        seen.extend(stream.up_to_head(&daemon, SOON).await);
    }
    assert_eq!(
        ids(&seen),
        (1..=head).collect::<Vec<_>>(),
        "each event once and in order"
    );
    let created = seen.iter().filter(|told| told.kind == "message.created");
    assert_eq!(created.count(), 120);
    assert!(seen.iter().all(
        |told| told.data["seq"].as_u64() == told.id && told.data["type"] == told.kind.as_str()
    ));
    // From the beginning again, a second reader sees the same.
    let again = Events::open(&daemon, ADMIN, Some(0))
        .await
        .up_to_head(&daemon, SOON)
        .await;
    assert_eq!(ids(&again), ids(&seen));
}

#[tokio::test]
async fn f32_where_a_stream_begins() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &config(""));
    daemon.add_somebody().await;
    deliver(&daemon, "2001", "m_1").await;
    deliver(&daemon, "2001", "m_2").await;
    let head = daemon.head().await;
    assert_eq!(
        ids(&Events::open(&daemon, ADMIN, Some(0))
            .await
            .up_to_head(&daemon, SOON)
            .await),
        (1..=head).collect::<Vec<_>>()
    );
    assert_eq!(
        ids(&Events::open(&daemon, ADMIN, Some(head - 1))
            .await
            .up_to_head(&daemon, SOON)
            .await),
        [head]
    );
    assert!(
        Events::open(&daemon, ADMIN, Some(head))
            .await
            .until_quiet(QUIET)
            .await
            .is_empty()
    );
    // Without a position it begins now.
    let mut now = Events::open(&daemon, ADMIN, None).await;
    deliver(&daemon, "2001", "m_3").await;
    let first = now.wait_for(SOON, |_| true).await;
    assert_eq!(first.id, Some(head + 1));
    assert_eq!(first.data["data"]["message"]["external_id"], "m_3");

    // A position that never was: the reader is told to read the lists anew, once, and hears what comes.
    let head = daemon.head().await;
    for impossible in [head + 1, head + 1_000, u64::MAX] {
        let mut stream = Events::open(&daemon, ADMIN, Some(impossible)).await;
        let reset = stream.wait_for(SOON, |_| true).await;
        assert_eq!(
            (reset.kind.as_str(), reset.id),
            ("reset", Some(head)),
            "{impossible}"
        );
        assert!(
            stream
                .until_quiet(Duration::from_millis(300))
                .await
                .is_empty()
        );
    }
    let mut stream = Events::open(&daemon, ADMIN, Some(u64::MAX)).await;
    deliver(&daemon, "2001", "m_4").await;
    stream
        .wait_for(SOON, |told| {
            told.data["data"]["message"]["external_id"] == "m_4"
        })
        .await;

    // `after` does the same for clients that cannot set the header, which goes before it.
    let after = |query: &str, header: Option<&str>| {
        let request = client()
            .get(format!("{}/api/v1/events?{query}", daemon.url))
            .bearer_auth(ADMIN);
        header
            .map_or(request.try_clone().expect("no body"), |value| {
                request.header("last-event-id", value)
            })
            .send()
    };
    let mut answer = after("after=0", None).await.expect("answers");
    let mut text = String::new();
    while !text.contains("id: 1\n") {
        let chunk = tokio::time::timeout(SOON, answer.chunk())
            .await
            .expect("in time")
            .expect("whole")
            .expect("not over");
        text.push_str(&String::from_utf8_lossy(&chunk));
    }
    for (query, header) in [
        ("after=-1", None),
        ("after=x", None),
        ("from=0", None),
        ("", Some("x")),
        ("", Some("-1")),
        ("", Some("1.5")),
        ("after=0", Some("")),
    ] {
        let answer = after(query, header).await.expect("answers");
        assert_eq!(answer.status(), 400, "{query:?} {header:?}");
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
    }
}

#[tokio::test]
async fn f32_a_quiet_stream_says_every_15_seconds_that_it_lives() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &config(""));
    daemon.add_somebody().await;
    let mut stream = Events::open(&daemon, ADMIN, None).await;
    assert!(
        matches!(stream.next(SOON).await, Heard::Comment),
        "the greeting"
    );
    // Just after the daemon last looked at its clock, which is when the pause would be longest.
    for pause_ms in [4_100, 300] {
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        deliver(&daemon, "2001", &format!("m_{pause_ms}")).await;
        stream
            .wait_for(SOON, |told| told.kind == "message.created")
            .await;
        while matches!(
            stream.next(Duration::from_millis(200)).await,
            Heard::Event(_)
        ) {}
        let begun = Instant::now();
        let heard = stream.next(Duration::from_secs(25)).await;
        assert!(
            matches!(heard, Heard::Comment),
            "{heard:?} after {:?}",
            begun.elapsed()
        );
    }
}

#[tokio::test]
async fn d03_a_token_may_have_so_many_streams_and_no_more() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(
        folder.path(),
        &config("\n[limits]\nstreams_per_token = 3\n"),
    );
    daemon.add_somebody().await;
    let (_, token) = daemon
        .make_token(&json!({ "name": "three", "scopes": ["read"] }))
        .await;
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(Events::open(&daemon, &token, None).await);
    }
    let refused = request(&daemon, &token, None)
        .send()
        .await
        .expect("answers");
    assert_eq!(refused.status(), 429);
    assert!(refused.headers().contains_key("retry-after"));
    // Another token's streams are its own, and a stream that is closed makes room.
    let _other = Events::open(&daemon, ADMIN, None).await;
    open.pop();
    until("a closed stream makes room", SOON, async || {
        request(&daemon, &token, None)
            .send()
            .await
            .expect("answers")
            .status()
            == 200
    })
    .await;
    deliver(&daemon, "2001", "m_1").await;
    for stream in &mut open {
        stream
            .wait_for(SOON, |told| told.kind == "message.created")
            .await;
    }
}

#[tokio::test]
async fn typing_is_told_live_and_is_no_event_of_the_log() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &config(&echo("echo")));
    daemon.add_somebody().await;
    let chat = format!("{}/chat/site", daemon.url);
    let session: Value = client()
        .post(format!("{chat}/session"))
        .json(&json!({}))
        .send()
        .await
        .expect("answers")
        .json()
        .await
        .expect("JSON");
    let visitor = session["token"].as_str().expect("a token");
    let head = daemon.head().await;
    let (_, elsewhere) = daemon
        .make_token(&json!({ "name": "echo only", "scopes": ["read"], "channels": ["echo"] }))
        .await;
    let mut stream = Events::open(&daemon, ADMIN, None).await;
    let mut foreign = Events::open(&daemon, &elsewhere, None).await;
    let answer = client()
        .post(format!("{chat}/typing"))
        .bearer_auth(visitor)
        .json(&json!({ "typing": true }))
        .send()
        .await
        .expect("answers");
    assert_eq!(answer.status(), 200);
    let told = stream.wait_for(SOON, |told| told.kind == "typing").await;
    assert_eq!(
        told.id, None,
        "a reader that resumes must not resume from here"
    );
    assert_eq!(
        told.data["data"]["conversation_id"],
        session["conversation"]["id"]
    );
    assert_eq!(told.data["data"]["typing"], true);
    assert!(
        foreign
            .until_quiet(Duration::from_millis(500))
            .await
            .is_empty()
    );
    assert_eq!(daemon.head().await, head);
    assert!(
        Events::open(&daemon, ADMIN, Some(head))
            .await
            .until_quiet(QUIET)
            .await
            .is_empty()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f33_a_slow_reader_is_dropped_and_resumes() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &config(&echo("echo")));
    daemon.add_somebody().await;
    let mut slow = Events::open(&daemon, ADMIN, Some(0)).await;
    let mut fast = Events::open(&daemon, ADMIN, Some(0)).await;
    // Far more than the sockets of both sides hold: 3,000 messages of 4 kB.
    let text = "x".repeat(4_000);
    let senders = (0..12).map(|delivery| {
        let messages: Vec<Value> =
            (0..250).map(|number| json!({ "id": format!("{delivery}_{number}"), "thread": "ann", "text": text })).collect();
        let body = json!({ "messages": messages }).to_string();
        let daemon = &daemon;
        async move {
            for part in split(body) {
                assert_eq!(daemon.echo("echo", part).await, 200);
            }
        }
    });
    let reading = async {
        let mut last = 0;
        loop {
            match fast.next(Duration::from_secs(60)).await {
                Heard::Event(told) => {
                    assert_eq!(told.id, Some(last + 1));
                    last += 1;
                    if told.data["data"]["message"]["external_id"] == "11_249" {
                        return last;
                    }
                }
                Heard::Comment => {}
                // A reader that is not slow may still be outrun on a busy machine: it resumes.
                Heard::Ended => fast = Events::open(&daemon, ADMIN, Some(last)).await,
                Heard::Silence => panic!("nothing comes any more after {last}"),
            }
        }
    };
    let (_, head) = tokio::join!(
        async {
            for sender in senders {
                sender.await;
            }
        },
        reading
    );
    // The slow one has read nothing so far, and nobody waits for ever for it.
    until(
        "the slow reader is dropped",
        Duration::from_secs(120),
        async || {
            let cut = daemon
                .metric("deskbell_requests_cut_total{reason=\"write\"}")
                .await;
            cut + daemon.metric("deskbell_streams_dropped_total").await >= 1.0
        },
    )
    .await;
    // What was under way still comes, then the end; what it resumes with is the rest.
    let mut seen = Vec::new();
    let mut dropped = 0;
    while seen.last() != Some(&head) {
        match slow.next(Duration::from_secs(60)).await {
            Heard::Event(told) => seen.push(told.id.expect("no typing here")),
            Heard::Comment => {}
            Heard::Ended => {
                dropped += 1;
                slow = Events::open(&daemon, ADMIN, Some(seen.last().copied().unwrap_or(0))).await;
            }
            Heard::Silence => panic!("nothing comes any more after {:?}", seen.last()),
        }
    }
    assert!(dropped >= 1);
    assert_eq!(
        seen,
        (1..=head).collect::<Vec<_>>(),
        "each event once and in order"
    );
}

/// An echo delivery of many messages as several that are within the limit of 1 MiB.
fn split(body: String) -> Vec<Vec<u8>> {
    let document: Value = serde_json::from_str(&body).expect("JSON");
    let messages = document["messages"].as_array().expect("a list");
    messages
        .chunks(125)
        .map(|part| json!({ "messages": part }).to_string().into_bytes())
        .collect()
}

/// Drops everything that the log has so far, as if its time were over.
fn outlive_the_log(folder: &std::path::Path) -> u64 {
    let day_ms = 24 * 3_600_000;
    let later = deskbell_sdk::Time::from_millis(now_ms() + 60 * day_ms);
    let options = Options::new(Clock::standing_at(later));
    let store = EmbeddedStore::open(&folder.join("data/store"), options, &|_| {});
    let store = store.expect("the store opens");
    for _ in 0..2 {
        // Something new, so that there are two snapshots.
        let group = Group {
            last_id: store.last_id() + 1,
            ..Group::default()
        };
        store.commit(group).expect("it is written");
        store.snapshot().expect("a snapshot");
    }
    let keep = Duration::from_secs(30 * 24 * 3600);
    assert_eq!(
        store.drop_old(keep).expect("dropped"),
        0,
        "it is not a day old"
    );
    assert!(store.drop_old(Duration::ZERO).expect("dropped") > 0);
    store.close().expect("closed");
    store.oldest()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f32_a_reader_that_was_away_for_longer_than_the_log_is_kept_hears_reset() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &config(""));
    daemon.add_somebody().await;
    for number in 0..5 {
        deliver(&daemon, "2001", &format!("m_old_{number}")).await;
    }
    let head = daemon.head().await;
    assert!(daemon.stop().0.success());
    let oldest = outlive_the_log(folder.path());
    assert_eq!(oldest, head + 1);
    let daemon = Daemon::start_as_it_is(folder.path());
    let began = daemon.head().await;
    // What it missed is gone; what comes now is not.
    let mut stream = Events::open(&daemon, ADMIN, Some(1)).await;
    let reset = stream.wait_for(SOON, |_| true).await;
    assert_eq!((reset.kind.as_str(), reset.id), ("reset", Some(began)));
    deliver(&daemon, "2001", "m_new").await;
    let told = stream
        .wait_for(SOON, |told| told.kind == "message.created")
        .await;
    assert!(told.id > Some(began), "{told:?}");
    // From the beginning: the oldest that is kept.
    let mut stream = Events::open(&daemon, ADMIN, Some(0)).await;
    let first = stream.wait_for(SOON, |_| true).await;
    assert_eq!(first.id, Some(oldest));
    // And nobody has lost a message.
    assert_eq!(daemon.all("feed", 4).await.len(), 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f32_many_readers_hear_everything_once_and_in_order_most_of_it_without_being_woken() {
    const READERS: usize = 24;
    const MESSAGES: usize = 300;
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &config(&echo("echo")));
    daemon.add_somebody().await;
    let mut readers = Vec::new();
    for number in 0..READERS {
        // Some have the log to read first, while new events come.
        let after = (number % 4 == 0).then_some(0);
        readers.push(Events::open(&daemon, ADMIN, after).await);
    }
    let hearing: Vec<_> = readers
        .into_iter()
        .map(|mut stream| {
            tokio::spawn(async move {
                let mut last: Option<u64> = None;
                loop {
                    match stream.next(SOON).await {
                        Heard::Event(told) => {
                            let Some(id) = told.id else { continue };
                            assert!(last.is_none_or(|last| id == last + 1), "{last:?} {id}");
                            last = Some(id);
                            if told.data["data"]["message"]["text"] == "text of the last" {
                                return;
                            }
                        }
                        Heard::Comment => {}
                        other => panic!("{other:?} after {last:?}"),
                    }
                }
            })
        })
        .collect();
    for number in 0..MESSAGES {
        deliver_echo(&daemon, &format!("p{}", number % 7), &format!("{number}")).await;
    }
    deliver_echo(&daemon, "p0", "the last").await;
    for hears in hearing {
        hears.await.expect("in order");
    }
    let direct = daemon
        .metric("deskbell_stream_writes_total{way=\"direct\"}")
        .await;
    let woken = daemon
        .metric("deskbell_stream_writes_total{way=\"task\"}")
        .await;
    assert!(
        direct > 3.0 * woken,
        "{direct} at once, {woken} by their tasks"
    );
}
