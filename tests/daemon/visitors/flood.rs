//! A flood of visitors holds up nobody else (V05).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{APP_SECRET, Daemon, PAGE, client, envelope, message, now_ms};
use crate::visitors::visitor::{Visitor, config, household, open};

const FLOOD: usize = 2_000;
const CONNECTIONS: usize = 64;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn v05_a_visitor_who_floods_is_held_back_and_nobody_else_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Arc::new(Daemon::start(folder.path(), &config("")));
    let flooder = Visitor::stranger(&daemon, 1).await;
    let (next, taken, limited) = (
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicUsize::new(0)),
    );
    let over = Arc::new(AtomicBool::new(false));
    let begun = Instant::now();
    let floods: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let (flooder, next, taken, limited) = (
                flooder.clone(),
                Arc::clone(&next),
                Arc::clone(&taken),
                Arc::clone(&limited),
            );
            tokio::spawn(async move {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= FLOOD {
                        return;
                    }
                    let body = json!({ "text": "buy", "client_id": format!("{number}") });
                    let answer = flooder.post("messages", &body).await;
                    match answer.status().as_u16() {
                        201 => taken.fetch_add(1, Ordering::Relaxed),
                        429 => {
                            let wait = answer.headers()["retry-after"]
                                .to_str()
                                .ok()
                                .and_then(|text| text.parse::<u64>().ok());
                            assert!(
                                wait.is_some_and(|seconds| (1..=60).contains(&seconds)),
                                "{wait:?}"
                            );
                            limited.fetch_add(1, Ordering::Relaxed)
                        }
                        other => panic!("answered {other}"),
                    };
                }
            })
        })
        .collect();
    // Meanwhile: the desk reads its feed, a platform delivers, and another visitor writes.
    let others = tokio::spawn({
        let (daemon, over) = (Arc::clone(&daemon), Arc::clone(&over));
        async move {
            let (mut waits, mut number) = (Vec::new(), 0);
            let other = Visitor::stranger(&daemon, 2).await;
            while !over.load(Ordering::Relaxed) || number < 20 {
                let asked = Instant::now();
                daemon.get("feed?limit=50").await;
                waits.push(asked.elapsed());
                let body = envelope(
                    PAGE,
                    &[message(
                        "3001",
                        &format!("m_during_{number}"),
                        "during the flood",
                        now_ms(),
                    )],
                );
                assert_eq!(daemon.deliver("shop-page", APP_SECRET, body).await, 200);
                if number < 20 {
                    other.say("a quiet question", &format!("{number}")).await;
                }
                number += 1;
            }
            (waits, number)
        }
    });
    for flood in floods {
        flood.await.expect("no request fails");
    }
    let lasted = begun.elapsed();
    over.store(true, Ordering::Relaxed);
    let (mut waits, delivered) = others.await.expect("the others are served");
    let (taken, limited) = (
        taken.load(Ordering::Relaxed),
        limited.load(Ordering::Relaxed),
    );
    assert_eq!(taken + limited, FLOOD);
    // 60 at once and 2 a second.
    let allowed = 60 + 2 * (usize::try_from(lasted.as_secs()).expect("small") + 1);
    assert!(
        (60..=allowed).contains(&taken),
        "{taken} of {FLOOD} in {lasted:?}"
    );
    waits.sort();
    let slowest = waits[(waits.len() * 99 / 100).min(waits.len() - 1)];
    assert!(
        slowest < Duration::from_secs(10),
        "p99 of the feed: {slowest:?}"
    );

    let feed = daemon.all("feed", 200).await;
    let of = |text: &str| feed.iter().filter(|item| item["text"] == text).count();
    assert_eq!(
        (of("buy"), of("during the flood"), of("a quiet question")),
        (taken, delivered, 20)
    );
}

#[tokio::test]
async fn v05_sessions_and_uploads_of_one_household_are_limited() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &config(""));
    let begun = Instant::now();
    let mut opened = 0;
    for _ in 0..400 {
        let answer = open(&daemon, "site", &household(1), &json!({})).await;
        match answer.status().as_u16() {
            201 => opened += 1,
            429 => assert!(answer.headers().contains_key("retry-after")),
            other => panic!("answered {other}"),
        }
    }
    let seconds = usize::try_from(begun.elapsed().as_secs()).expect("small") + 1;
    assert!(
        (120..=120 + 2 * seconds).contains(&opened),
        "{opened} sessions"
    );
    let neighbour = Visitor::stranger(&daemon, 2).await;
    let begun = Instant::now();
    let mut kept = 0;
    for number in 0..60 {
        let status = neighbour
            .upload(&format!("{number}.txt"), b"x".to_vec())
            .await
            .status();
        match status.as_u16() {
            201 => kept += 1,
            429 => {}
            other => panic!("answered {other}"),
        }
    }
    let seconds = usize::try_from(begun.elapsed().as_secs()).expect("small") + 1;
    assert!((20..=20 + seconds).contains(&kept), "{kept} uploads");
    // An address that nobody vouches for is the connection's own: a header does not make a new household.
    let strict = tempfile::tempdir().expect("a folder");
    let strict = Daemon::start(strict.path(), &crate::support::config(""));
    let mut opened = 0;
    for number in 0..200 {
        let answer = open(&strict, "site", &household(number), &json!({})).await;
        opened += usize::from(answer.status() == 201);
    }
    assert!(
        opened < 200,
        "{opened} sessions by claiming other addresses"
    );
    assert_eq!(
        client()
            .get(format!("{}/healthz", strict.url))
            .send()
            .await
            .expect("answers")
            .status(),
        200
    );
}
