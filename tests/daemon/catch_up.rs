//! What was missed is fetched: the daemon against a stand-in for Meta whose deliveries did not arrive.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::support::graph::{Echo, Fault, Graph, Page};
use crate::support::sse::Events;
use crate::support::{ADMIN, APP_SECRET, Daemon, PAGE, client, config, envelope, message, now_ms};
use serde_json::Value;

const TOKEN: &str = "invented-page-token";
/// As long as a slow machine may take.
const PATIENCE: Duration = Duration::from_secs(240);

fn graph() -> Graph {
    Graph::start(Page {
        app_id: "4242424242".to_owned(),
        app_secret: APP_SECRET.to_owned(),
        page_id: PAGE.to_owned(),
        page_token: TOKEN.to_owned(),
        version: "v25.0".to_owned(),
        human_agent: false,
    })
}

/// A daemon whose Page lives at the stand-in.
fn daemon(folder: &std::path::Path, graph: &Graph) -> Daemon {
    Daemon::start(
        folder,
        &config("").replace("http://127.0.0.1:9", graph.url()),
    )
}

/// One that has made its channel and was ended: what is written from now on it misses.
async fn made_and_down(folder: &std::path::Path, graph: &Graph) {
    let daemon = daemon(folder, graph);
    caught_up(&daemon, |report| report["reason"] == "start").await;
    let url = format!("{}/api/v1/channels/shop-page/register", daemon.url);
    let registered = client().post(url).bearer_auth(ADMIN).send().await;
    assert_eq!(registered.expect("answers").status(), 200);
    daemon.kill();
}

/// The report of the channel's catching up, once it has ended and fits.
async fn caught_up(daemon: &Daemon, fits: impl Fn(&Value) -> bool) -> Value {
    let begun = Instant::now();
    loop {
        let report = daemon.get("channels/shop-page/health").await["catch_up"].clone();
        if report["running"] == false && fits(&report) {
            return report;
        }
        assert!(begun.elapsed() < PATIENCE, "not caught up: {report}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// What people wrote: by person the ids from the oldest on. `counts` says how much each writes.
fn people_write(graph: &Graph, counts: &[usize]) -> BTreeMap<String, Vec<String>> {
    let base = now_ms();
    let mut written = BTreeMap::new();
    let mut number = 0_i64;
    for (person, count) in counts.iter().enumerate() {
        let psid = format!("30{person:03}");
        let messages: Vec<(String, String, i64)> = (0..*count)
            .map(|nth| {
                number += 1;
                let mid = format!("m_{psid}-{nth:03}");
                // Many within a second, which is all that Meta's history tells.
                (mid, format!("message {nth} of {psid}"), base + number * 13)
            })
            .collect();
        graph.person_wrote_all(&psid, &messages);
        let ids = messages.into_iter().map(|(mid, ..)| mid).collect();
        written.insert(psid, ids);
    }
    written
}

/// Every message is in the feed once, and in its conversation in order.
async fn all_is_here(daemon: &Daemon, written: &BTreeMap<String, Vec<String>>) {
    let feed = daemon.all("feed", 200).await;
    let id = |item: &Value| item["external_id"].as_str().expect("an id").to_owned();
    let ids: Vec<String> = feed.iter().map(id).collect();
    let unique: BTreeSet<&String> = ids.iter().collect();
    assert_eq!(ids.len(), unique.len(), "something is there twice");
    let expected: usize = written.values().map(Vec::len).sum();
    assert_eq!(ids.len(), expected);
    for conversation in daemon.all("conversations", 200).await {
        let path = format!(
            "conversations/{}/messages",
            conversation["id"].as_str().expect("an id")
        );
        let mut shown: Vec<String> = daemon.all(&path, 200).await.iter().map(id).collect();
        shown.reverse();
        let psid = shown[0].split(['_', '-']).nth(1).expect("the person");
        assert_eq!(shown, written[psid], "the order of {psid}");
        assert_eq!(conversation["contact"]["name"], format!("Person {psid}"));
    }
}

/// How many messages are in the feed.
async fn count(daemon: &Daemon) -> usize {
    daemon.all("feed", 200).await.len()
}

/// `DESKBELL_MISSED=10000` is the long form.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(
    clippy::print_stdout,
    reason = "how long it takes is looked at, and asserted by nobody: machines differ"
)]
#[expect(
    clippy::disallowed_methods,
    reason = "how much is tried is said by a variable of the environment"
)]
async fn f18_f19_f20_what_came_while_the_daemon_was_down_is_there_once_and_in_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let graph = graph();
    made_and_down(folder.path(), &graph).await;
    let missed = std::env::var("DESKBELL_MISSED");
    let missed: usize = missed.map_or(1_500, |number| number.parse().expect("a number"));
    // Sixty people in the short form, in most threads more messages than fit beside the thread.
    let mut counts = Vec::new();
    while counts.iter().sum::<usize>() < missed {
        counts.push([10, 25, 40][counts.len() % 3]);
    }
    let written = people_write(&graph, &counts);
    let missed: usize = counts.iter().sum();
    let daemon = Daemon::start_as_it_is(folder.path());
    let begun = Instant::now();
    // Meanwhile Meta repeats some deliveries, with its milliseconds, and each twice.
    for (psid, ids) in written.iter().step_by(7) {
        let nth = ids.len() / 2;
        let at = graph.written_at(&ids[nth]);
        let text = format!("message {nth} of {psid}");
        let event = message(psid, &ids[nth], &text, at);
        for _ in 0..2 {
            let body = envelope(PAGE, std::slice::from_ref(&event));
            assert_eq!(daemon.deliver("shop-page", APP_SECRET, body).await, 200);
        }
    }
    let report = caught_up(&daemon, |report| report["error"].is_null()).await;
    println!(
        "caught up on {missed} messages in {:?}: {report}",
        begun.elapsed()
    );
    assert_eq!(
        (&report["reason"], &report["held"]),
        (&"start".into(), &0.into())
    );
    assert_eq!(report["found"], missed);
    all_is_here(&daemon, &written).await;

    // Another look finds nothing new, and reads little.
    let reads = graph.reads();
    let again = asked(&daemon).await;
    assert_eq!(
        (&again["reason"], &again["new"]),
        (&"asked".into(), &0.into())
    );
    assert!(graph.reads() - reads < counts.len() + 10, "{again}");
    assert_eq!(count(&daemon).await, missed);
    assert_eq!(graph.violations(), Vec::<String>::new());
    let figures = client().get(format!("{}/metrics", daemon.url)).send().await;
    let figures = figures.expect("answers").text().await.expect("text");
    for figure in [
        "deskbell_catch_up_runs_total",
        "deskbell_catch_up_messages_total",
    ] {
        assert!(figures.contains(figure), "{figure}");
    }
}

/// Asks for a run, and gives its report.
async fn asked(daemon: &Daemon) -> Value {
    let url = format!("{}/api/v1/channels/shop-page/catch-up", daemon.url);
    let answer = client().post(url).bearer_auth(ADMIN).send().await;
    let answer = answer.expect("answers");
    assert_eq!(answer.status(), 202);
    assert_eq!(
        answer.headers()["location"],
        "/api/v1/channels/shop-page/health"
    );
    let report: Value = answer.json().await.expect("JSON");
    assert_eq!(report["running"], true);
    // Where one ran already, that one is meant.
    caught_up(daemon, |ended| {
        ended["started_at"].as_str() >= report["started_at"].as_str()
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f01_kill_9_in_the_middle_goes_on_and_doubles_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let graph = graph();
    made_and_down(folder.path(), &graph).await;
    let written = people_write(&graph, &[30; 30]);
    for part in [100, 400] {
        let daemon = Daemon::start_as_it_is(folder.path());
        let begun = Instant::now();
        while count(&daemon).await < part {
            assert!(begun.elapsed() < PATIENCE, "it does not go on");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        daemon.kill();
    }
    let daemon = Daemon::start_as_it_is(folder.path());
    let report = caught_up(&daemon, |report| report["error"].is_null()).await;
    assert!(
        report["threads"].as_u64().expect("a number") < 30,
        "it went on where it was: {report}"
    );
    all_is_here(&daemon, &written).await;
    assert_eq!(graph.violations(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f17_a_token_that_expires_pauses_it_and_a_new_one_lets_it_go_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let graph = graph();
    made_and_down(folder.path(), &graph).await;
    let written = people_write(&graph, &[30; 12]);
    let reads = graph.reads();
    let daemon = Daemon::start_as_it_is(folder.path());
    let mut stream = Events::open(&daemon, ADMIN, Some(0)).await;
    graph
        .until(PATIENCE, "reading", |graph| graph.reads() > reads + 4)
        .await;
    graph.token_is("another-token-now");
    let told = stream
        .wait_for(PATIENCE, |told| {
            told.kind == "channel.health" && told.data.to_string().contains("page_access_token")
        })
        .await;
    assert!(!told.data.to_string().contains(TOKEN), "{}", told.data);
    let report = caught_up(&daemon, |report| !report["error"].is_null()).await;
    assert!(
        report["error"]
            .as_str()
            .is_some_and(|say| say.contains("page_access_token")),
        "{report}"
    );
    let paused_at = graph.reads();
    let url = format!("{}/api/v1/channels/shop-page/catch-up", daemon.url);
    let refused = client().post(url).bearer_auth(ADMIN).send().await;
    assert_eq!(refused.expect("answers").status(), 409);
    graph.token_is(TOKEN);
    caught_up(&daemon, |report| {
        report["reason"] == "mended" && report["error"].is_null()
    })
    .await;
    assert!(graph.reads() > paused_at);
    all_is_here(&daemon, &written).await;
    assert_eq!(graph.violations(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p15_pages_that_go_in_circles_end_with_an_alarm() {
    let folder = tempfile::tempdir().expect("a folder");
    let graph = graph();
    made_and_down(folder.path(), &graph).await;
    let written = people_write(&graph, &[3; 5]);
    graph.pages_go_in_circles(true);
    let reads = graph.reads();
    let daemon = Daemon::start_as_it_is(folder.path());
    let mut stream = Events::open(&daemon, ADMIN, Some(0)).await;
    let report = caught_up(&daemon, |report| !report["error"].is_null()).await;
    assert!(
        report["error"]
            .as_str()
            .is_some_and(|say| say.contains("circle")),
        "{report}"
    );
    assert!(graph.reads() - reads < 100, "{report}");
    stream
        .wait_for(PATIENCE, |told| {
            told.kind == "channel.health" && told.data.to_string().contains("circle")
        })
        .await;
    // What could be read is here; and once the pages are in order, the mark moves on.
    all_is_here(&daemon, &written).await;
    graph.pages_go_in_circles(false);
    let mended = asked(&daemon).await;
    assert!(mended["error"].is_null(), "{mended}");
    assert_eq!(graph.violations(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f20_our_own_answers_and_those_typed_elsewhere_are_there_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let graph = graph();
    let daemon = daemon(folder.path(), &graph);
    let mid = graph.person_wrote("2001", "Is it there?");
    let event = message("2001", &mid, "Is it there?", graph.written_at(&mid));
    let body = envelope(PAGE, &[event]);
    assert_eq!(daemon.deliver("shop-page", APP_SECRET, body).await, 200);
    let conversation = daemon.get("feed").await["data"][0]["conversation_id"].clone();
    let path = format!(
        "conversations/{}/messages",
        conversation.as_str().expect("an id")
    );
    // No echo tells what becomes of them; the second is taken and its answer is lost.
    graph.echoes(Echo::Never);
    graph.next_sends([
        Fault::Slow(Duration::from_millis(100)),
        Fault::Cut { executed: true },
    ]);
    for (key, text) in [("first", "Yes."), ("second", "Two pairs.")] {
        let url = format!("{}/api/v1/{path}", daemon.url);
        let answer = client()
            .post(url)
            .bearer_auth(ADMIN)
            .header("idempotency-key", key)
            .json(&serde_json::json!({ "text": text }))
            .send()
            .await;
        assert_eq!(answer.expect("answers").status(), 202);
    }
    graph
        .until(PATIENCE, "both are sent", |graph| {
            graph.executed().len() == 2
        })
        .await;
    let elsewhere = graph.page_wrote_elsewhere("2001", "And a hat.");
    // While the second is looked for, the history is read as well.
    let begun = Instant::now();
    loop {
        asked(&daemon).await;
        let all = daemon.all(&path, 200).await;
        let settled = all
            .iter()
            .all(|message| message["delivery"].is_null() || message["delivery"]["state"] == "sent");
        let mut texts: Vec<_> = all.iter().filter_map(|one| one["text"].as_str()).collect();
        texts.sort_unstable();
        assert!(texts.len() <= 4, "something is there twice: {texts:?}");
        if settled && texts.len() == 4 {
            assert_eq!(texts, ["And a hat.", "Is it there?", "Two pairs.", "Yes."]);
            assert!(all.iter().any(|one| one["external_id"] == elsewhere));
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "not settled: {all:?}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(graph.executed().len(), 2, "nothing was sent twice");
    assert_eq!(graph.violations(), Vec::<String>::new());
}
