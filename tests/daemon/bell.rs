//! The bell of the real daemon: what rings, climbs, is taken and ends, also over a kill.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::sse::{Events, Told};
use crate::support::{ADMIN, APP_SECRET, Daemon, PAGE, client, config, envelope, message, now_ms};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

/// How long something may take that happens by itself: many times what it takes here.
const PATIENCE: Duration = Duration::from_secs(60);

async fn arrives(daemon: &Daemon, person: &str, mid: &str, at_ms: i64) {
    let body = envelope(PAGE, &[message(person, mid, "When does it come?", at_ms)]);
    assert_eq!(daemon.deliver("shop-page", APP_SECRET, body).await, 200);
}

async fn post(daemon: &Daemon, path: &str, body: &Value) -> (u16, Value) {
    let answer = client()
        .post(format!("{}{path}", daemon.url))
        .bearer_auth(ADMIN)
        .json(body)
        .send()
        .await
        .expect("an answer");
    let status = answer.status().as_u16();
    (status, answer.json().await.unwrap_or_default())
}

/// The rings of conversations. Nobody is here who could be rung, which is an alarm beside them.
async fn rings(daemon: &Daemon) -> Vec<Value> {
    let mut all = daemon.all("bell", 10).await;
    all.retain(|ring| ring.get("conversation_id").is_some());
    all
}

/// The alarms.
async fn alarms(daemon: &Daemon) -> Vec<Value> {
    let mut all = daemon.all("bell", 10).await;
    all.retain(|ring| ring.get("conversation_id").is_none());
    all
}

async fn rung(events: &mut Events, step: u64) -> Told {
    events
        .wait_for(PATIENCE, |told| {
            let ring = &told.data["data"]["ring"];
            told.kind == "bell.rung" && ring["step"] == step && ring["conversation_id"].is_string()
        })
        .await
}

#[tokio::test]
async fn a_message_rings_climbs_and_is_silent_on_every_device_once_taken() {
    let folder = tempfile::tempdir().expect("a folder");
    let steps = "\n[bell]\nsteps = [\"0s\", \"1s\", \"3s\"]\n";
    let daemon = Daemon::start(folder.path(), &config(steps));
    let mut events = Events::open(&daemon, ADMIN, None).await;
    arrives(&daemon, "p1", "m1", now_ms()).await;
    arrives(&daemon, "p1", "m2", now_ms()).await;
    let first = rung(&mut events, 1).await;
    let ring = &first.data["data"]["ring"];
    assert_eq!(
        (&ring["state"], &ring["channel_id"]),
        (&json!("ringing"), &json!("shop-page"))
    );
    rung(&mut events, 2).await;
    rung(&mut events, 3).await;
    // The last one repeats.
    rung(&mut events, 3).await;
    let all = rings(&daemon).await;
    assert_eq!(all.len(), 1, "one ring for both messages: {all:?}");
    let id = ring["id"].as_str().expect("an id");
    let (status, seen) = post(
        &daemon,
        &format!("/api/v1/bell/{id}/shown"),
        &json!({ "device": "desk" }),
    )
    .await;
    assert_eq!(
        (status, &seen["attempts"][0]["result"]),
        (200, &json!("shown"))
    );
    assert_eq!(seen["state"], "ringing", "seen is not taken");
    let (status, taken) = post(&daemon, &format!("/api/v1/bell/{id}/ack"), &json!({})).await;
    assert_eq!((status, &taken["state"]), (200, &json!("taken")));
    assert!(taken["taken_at"].is_string() && taken["next_step_at"].is_null());
    events
        .wait_for(PATIENCE, |told| told.kind == "bell.acknowledged")
        .await;
    tokio::time::sleep(Duration::from_millis(3_500)).await;
    let quiet = rings(&daemon).await;
    assert_eq!(
        (&quiet[0]["state"], quiet[0]["step"].as_u64()),
        (&json!("taken"), Some(3))
    );
    // The customer writes again: it rings again.
    arrives(&daemon, "p1", "m3", now_ms()).await;
    assert_eq!(rings(&daemon).await.len(), 2);
}

#[tokio::test]
async fn a_kill_loses_no_ring_and_repeats_no_step() {
    let folder = tempfile::tempdir().expect("a folder");
    let steps = "\n[bell]\nsteps = [\"0s\", \"2s\", \"600s\"]\n";
    let mut daemon = Daemon::start(folder.path(), &config(steps));
    for round in 0..5 {
        for one in 0..10 {
            arrives(
                &daemon,
                &format!("p{round}-{one}"),
                &format!("m{round}-{one}"),
                now_ms(),
            )
            .await;
        }
        daemon.kill();
        daemon = Daemon::start_as_it_is(folder.path());
        let all = rings(&daemon).await;
        assert_eq!(all.len(), (round + 1) * 10);
        assert!(all.iter().all(|ring| ring["state"] == "ringing"));
    }
    // All climb to the second step, once: the third is far away.
    let until = std::time::Instant::now() + PATIENCE;
    loop {
        let all = rings(&daemon).await;
        if all.iter().all(|ring| ring["step"] == 2) {
            break;
        }
        assert!(std::time::Instant::now() < until, "{all:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let mut events = Events::open(&daemon, ADMIN, Some(0)).await;
    let told = events.up_to_head(&daemon, PATIENCE).await;
    let mut steps: Vec<_> = told
        .iter()
        .filter(|told| {
            let ring = &told.data["data"]["ring"];
            told.kind == "bell.rung" && ring["conversation_id"].is_string()
        })
        .map(|told| {
            let ring = &told.data["data"]["ring"];
            (ring["id"].to_string(), ring["step"].as_u64())
        })
        .collect();
    assert_eq!(steps.len(), 100, "each rang at each of two steps");
    steps.sort();
    steps.dedup();
    assert_eq!(steps.len(), 100, "none twice");
}

#[tokio::test]
async fn old_messages_are_shown_and_a_stranger_sees_no_ring() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &config(""));
    arrives(&daemon, "old", "m1", now_ms() - 25 * 3_600_000).await;
    assert_eq!(daemon.all("conversations", 10).await.len(), 1);
    assert!(rings(&daemon).await.is_empty());
    arrives(&daemon, "new", "m2", now_ms()).await;
    let id = rings(&daemon).await[0]["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let reader = json!({ "name": "site only", "scopes": ["write"], "channels": ["site"] });
    let (_, made) = post(&daemon, "/api/v1/tokens", &reader).await;
    let token = made["token"].as_str().expect("a token");
    for path in ["/api/v1/bell".to_owned(), format!("/api/v1/bell/{id}")] {
        let answer = client()
            .get(format!("{}{path}", daemon.url))
            .bearer_auth(token)
            .send()
            .await
            .expect("an answer");
        assert!(!answer.text().await.expect("text").contains(&id), "{path}");
    }
    for under in ["ack", "shown"] {
        let answer = client()
            .post(format!("{}/api/v1/bell/{id}/{under}", daemon.url))
            .bearer_auth(token)
            .json(&json!({}))
            .send()
            .await
            .expect("an answer");
        assert_eq!(answer.status(), 404, "{under}");
    }
}

/// Waits until something holds.
async fn until<T>(what: &str, look: impl AsyncFn() -> Option<T>) -> T {
    let until = std::time::Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(std::time::Instant::now() < until, "{what}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn f35_a_ring_that_nobody_can_hear_is_one_alarm_also_over_a_kill_until_somebody_is_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut daemon = Daemon::start(folder.path(), &config(""));
    arrives(&daemon, "p1", "m1", now_ms()).await;
    let nobody = async |daemon: &Daemon| {
        let mut all = alarms(daemon).await;
        all.retain(|alarm| alarm["kind"] == "nobody");
        all
    };
    until("an alarm", async || nobody(&daemon).await.pop()).await;
    for _ in 0..3 {
        daemon.kill();
        daemon = Daemon::start_as_it_is(folder.path());
        arrives(&daemon, "p1", &format!("m{}", now_ms()), now_ms()).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let all = nobody(&daemon).await;
        assert_eq!(all.len(), 1, "{all:?}");
        assert_eq!(all[0]["state"], "ringing");
    }
    let ana = json!({ "email": "ana@shop.example", "name": "Ana", "password": "seven blue umbrellas", "role": "agent", "channels": "all" });
    let (status, made) = post(&daemon, "/api/v1/users", &ana).await;
    assert_eq!(status, 201, "{made}");
    let over = async || {
        let all = nobody(&daemon).await;
        all.into_iter().find(|alarm| alarm["state"] == "ended")
    };
    assert_eq!(until("it ends", over).await["ended"], "resolved");
}

#[tokio::test]
async fn what_waits_for_its_channel_survives_a_kill_and_rings_when_the_hours_change() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut daemon = Daemon::start(folder.path(), &config(""));
    // Closed for at least a day, whatever day it is.
    let days = [
        "thursday",
        "friday",
        "saturday",
        "sunday",
        "monday",
        "tuesday",
        "wednesday",
    ];
    let today = usize::try_from(now_ms() / 86_400_000 % 7).expect("small");
    let span = json!({ "day": days[(today + 3) % 7], "from": "09:00", "to": "17:00" });
    let hours = json!({ "open": { "time_zone": "UTC", "spans": [span] }, "after_hours": "hold" });
    let put = async |daemon: &Daemon, body: &Value| {
        let answer = client()
            .put(format!("{}/api/v1/channels/shop-page/hours", daemon.url))
            .bearer_auth(ADMIN)
            .json(body)
            .send()
            .await
            .expect("an answer");
        let status = answer.status();
        assert_eq!(status, 200, "{}", answer.text().await.expect("text"));
    };
    put(&daemon, &hours).await;
    arrives(&daemon, "p1", "m1", now_ms()).await;
    let held = rings(&daemon).await;
    assert_eq!(
        (&held[0]["step"], &held[0]["state"]),
        (&json!(0), &json!("ringing"))
    );
    assert!(held[0]["held_until"].is_string());
    daemon.kill();
    daemon = Daemon::start_as_it_is(folder.path());
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(rings(&daemon).await[0]["step"], 0);
    put(&daemon, &json!({})).await;
    let rung = async || {
        let ring = rings(&daemon).await.remove(0);
        (ring["step"] == 1).then_some(ring)
    };
    let ring = until("it rings", rung).await;
    // It climbs from when it was let go.
    assert!(ring["held_until"].is_string());
    assert_eq!(ring["silenced"], false);
}

/// Counts who asks for the address of a heartbeat.
fn hears() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let url = format!("http://{}/beat", listener.local_addr().expect("an address"));
    let heard = Arc::new(AtomicUsize::new(0));
    let counts = Arc::clone(&heard);
    std::thread::spawn(move || {
        for line in listener.incoming() {
            let Ok(mut line) = line else { return };
            let mut head = [0; 1024];
            if line.read(&mut head).is_ok_and(|read| read > 0) {
                counts.fetch_add(1, Ordering::SeqCst);
            }
            // Whoever asked may have gone.
            let _ = line
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        }
    });
    (url, heard)
}

/// Waits until so many beats were heard.
async fn beats(heard: &AtomicUsize, count: usize, patience: Duration) {
    let begun = Instant::now();
    while heard.load(Ordering::SeqCst) < count {
        assert!(
            begun.elapsed() < patience,
            "{} of {count} beats",
            heard.load(Ordering::SeqCst)
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn f37_a_daemon_that_is_stopped_is_not_heard_for_its_interval_and_goes_on_where_it_was() {
    let start = || {
        let (url, heard) = hears();
        let folder = tempfile::tempdir().expect("a folder");
        let more =
            format!("\n[bell]\nheartbeat_url = \"{url}\"\nsteps = [\"0s\", \"20s\", \"600s\"]\n");
        let daemon = Daemon::start(folder.path(), &config(&more));
        (daemon, heard, folder)
    };
    let (daemon, heard, _folder) = start();
    let (_running, other_heard, _other_folder) = start();
    beats(&heard, 1, PATIENCE).await;
    beats(&other_heard, 1, PATIENCE).await;
    arrives(&daemon, "p1", "m1", now_ms()).await;
    let pid = i32::try_from(daemon.pid())
        .ok()
        .and_then(Pid::from_raw)
        .expect("a process");
    kill_process(pid, Signal::STOP).expect("it runs");
    let before = heard.load(Ordering::SeqCst);
    // The one that runs beats each minute: whoever listens to the other one misses it then.
    beats(&other_heard, 2, 3 * PATIENCE).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(
        heard.load(Ordering::SeqCst),
        before,
        "who is stopped says nothing"
    );
    kill_process(pid, Signal::CONT).expect("it is there");
    beats(&heard, before + 1, 2 * PATIENCE).await;
    // What was due meanwhile is done, and what comes is taken.
    let begun = Instant::now();
    loop {
        let ring = rings(&daemon).await.pop().expect("it rings");
        if ring["step"] == 2 {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{ring}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    arrives(&daemon, "p2", "m2", now_ms()).await;
    assert_eq!(rings(&daemon).await.len(), 2);
}
