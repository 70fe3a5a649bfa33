//! Nothing is lost, nothing is taken twice under another id, and each conversation keeps its order, whatever fails.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::json;

use crate::hooks::receiver::{Answer, Call, Receiver};
use crate::hooks::{arrives, hook, hooks_config};
use crate::support::{Daemon, say, switch};

/// The texts of each conversation, in the order in which they were taken first.
fn by_conversation(calls: &[Call]) -> BTreeMap<String, Vec<String>> {
    let mut of = BTreeMap::<String, Vec<String>>::new();
    for call in calls {
        of.entry(call.conversation()).or_default().push(call.text());
    }
    of
}

/// A number that is no pattern.
fn scattered(seed: &mut u64) -> u64 {
    *seed = seed
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    *seed >> 33
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f34_each_conversation_keeps_its_order_while_every_second_call_fails() {
    let folder = tempfile::tempdir().expect("a folder");
    let retry = vec!["\"50ms\""; 60].join(", ");
    let daemon = Daemon::start(folder.path(), &hooks_config(&retry));
    let receiver = Receiver::start().await;
    hook(&daemon, &receiver, &json!({})).await;
    let mut seed = 7;
    // Refusals only: they keep the hook's pace up and hit single deliveries.
    receiver.plan(move |_| match scattered(&mut seed) % 4 {
        0 | 1 => Answer::Status(400, String::new()),
        _ => Answer::Status(200, String::new()),
    });
    for number in 0..10 {
        for person in 0..6 {
            arrives(&daemon, &format!("p{person}"), &format!("{number}")).await;
        }
    }
    receiver
        .until("all", |_| receiver.taken().0.len() == 60)
        .await;
    let (taken, counts) = receiver.taken();
    assert!(counts.values().all(|count| *count == 1), "{counts:?}");
    let wanted: Vec<String> = (0..10).map(|number| number.to_string()).collect();
    let of = by_conversation(&taken);
    assert_eq!(of.len(), 6);
    assert!(of.values().all(|texts| *texts == wanted), "{of:?}");
    assert!(receiver.calls().len() > 80, "calls failed at all");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f34_one_that_hangs_delays_no_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &hooks_config("\"1s\""));
    let (hanging, good) = (Receiver::start().await, Receiver::start().await);
    hook(&daemon, &hanging, &json!({})).await;
    hook(&daemon, &good, &json!({})).await;
    hanging.plan(|_| Answer::Hang(Duration::from_secs(120)));
    let begun = std::time::Instant::now();
    for number in 0..20 {
        arrives(&daemon, &format!("p{number}"), "hello").await;
    }
    good.until("all twenty", |calls| calls.len() == 20).await;
    let took = begun.elapsed();
    assert!(
        took < Duration::from_secs(12),
        "less than one time-out of the other: {took:?}"
    );
    assert!(
        hanging.calls().len() <= 4,
        "few at once: {}",
        hanging.calls().len()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f34_what_was_down_for_long_hears_all_in_order_soon_after() {
    let folder = tempfile::tempdir().expect("a folder");
    // The pauses are those of days: once the receiver is back nobody waits for them.
    let daemon = Daemon::start(folder.path(), &hooks_config("\"20h\", \"20h\""));
    let receiver = Receiver::start().await;
    hook(&daemon, &receiver, &json!({})).await;
    receiver.plan(|_| Answer::Status(503, String::new()));
    for number in 0..4 {
        for person in 0..5 {
            arrives(&daemon, &format!("p{person}"), &format!("{number}")).await;
        }
    }
    // Until each that is in front waits for twenty hours.
    receiver
        .until("an attempt each", |calls| {
            let ids: BTreeSet<_> = calls.iter().map(|call| &call.id).collect();
            ids.len() == 5
        })
        .await;
    receiver.plan(|_| Answer::Status(200, String::new()));
    arrives(&daemon, "p9", "the receiver is back").await;
    receiver
        .until("all", |_| receiver.taken().0.len() == 21)
        .await;
    let (taken, counts) = receiver.taken();
    assert!(counts.values().all(|count| *count == 1), "{counts:?}");
    for texts in by_conversation(&taken).values() {
        let wanted: Vec<String> = (0..texts.len()).map(|number| number.to_string()).collect();
        assert!(
            *texts == wanted || texts == &["the receiver is back"],
            "{texts:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f34_kill_9_loses_nothing_and_tells_nothing_twice_under_another_id() {
    let kills = switch("DESKBELL_HOOK_KILLS", 5);
    let folder = tempfile::tempdir().expect("a folder");
    let mut daemon = Daemon::start(
        folder.path(),
        &hooks_config("\"50ms\", \"100ms\", \"200ms\", \"1s\", \"1s\", \"1s\", \"1s\", \"1s\""),
    );
    let receiver = Receiver::start().await;
    hook(&daemon, &receiver, &json!({})).await;
    let mut seed = 11;
    receiver.plan(move |_| match scattered(&mut seed) % 5 {
        0 => Answer::Status(500, String::new()),
        _ => Answer::Status(200, String::new()),
    });
    let (people, each) = (8, 6);
    for round in 0..kills {
        for number in 0..each {
            for person in 0..people {
                arrives(
                    &daemon,
                    &format!("p{person}"),
                    &format!("{}", round * each + number),
                )
                .await;
            }
        }
        tokio::time::sleep(Duration::from_millis(37 * (round as u64 % 5))).await;
        daemon.kill();
        daemon = Daemon::start_as_it_is(folder.path());
    }
    let all = kills * each * people;
    receiver
        .until("all", |_| receiver.taken().0.len() >= all)
        .await;
    // Whatever else comes by itself has come.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (taken, counts) = receiver.taken();
    assert_eq!(taken.len(), all, "each once under one id");
    let wanted: Vec<String> = (0..kills * each).map(|number| number.to_string()).collect();
    let of = by_conversation(&taken);
    assert_eq!(of.len(), people);
    assert!(of.values().all(|texts| *texts == wanted), "{of:?}");
    let doubled = counts.values().filter(|count| **count > 1).count();
    say(&format!(
        "{kills} kills: {all} events, each under one id; {doubled} told again under the same"
    ));
    assert!(!daemon.log().contains("panicked"));
}
