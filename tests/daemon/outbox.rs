//! Answers to Messenger, through a platform that fails in every way: each goes out once, or says honestly that it did
//! not.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::support::graph::{Echo, Executed, Fault, Graph, Page};
use crate::support::proxy::Line;
use crate::support::{ADMIN, APP_SECRET, Daemon, PAGE, client, config, envelope, message, now_ms};
use serde_json::{Value, json};

const TOKEN: &str = "invented-page-token";

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

/// A customer writes; the conversation's id.
async fn conversation(daemon: &Daemon, graph: &Graph, person: &str) -> String {
    graph.knows(person);
    let body = envelope(
        PAGE,
        &[message(
            person,
            &format!("m_from_{person}"),
            "Is it there?",
            now_ms(),
        )],
    );
    assert_eq!(daemon.deliver("shop-page", APP_SECRET, body).await, 200);
    let feed = daemon.get("feed?limit=200").await;
    let items = feed["data"].as_array().expect("a list");
    let item = items
        .iter()
        .find(|item| item["external_id"] == format!("m_from_{person}"));
    item.expect("it is in the feed")["conversation_id"]
        .as_str()
        .expect("an id")
        .to_owned()
}

async fn answer(daemon: &Daemon, conversation: &str, key: &str, body: &Value) -> (u16, Value) {
    let url = format!(
        "{}/api/v1/conversations/{conversation}/messages",
        daemon.url
    );
    let request = client()
        .post(url)
        .bearer_auth(ADMIN)
        .header("idempotency-key", key)
        .json(body);
    let answer = request.send().await.expect("answers");
    (answer.status().as_u16(), answer.json().await.expect("JSON"))
}

/// Waits until every outbound message has an end state; message id and state, with the error's code.
async fn ends(
    daemon: &Daemon,
    conversations: &[String],
    within: Duration,
) -> BTreeMap<String, String> {
    let begun = Instant::now();
    loop {
        let mut states = BTreeMap::new();
        for conversation in conversations {
            for message in daemon
                .all(&format!("conversations/{conversation}/messages"), 200)
                .await
            {
                if message["direction"] == "outbound" {
                    let state = message["delivery"]["state"]
                        .as_str()
                        .expect("a state")
                        .to_owned();
                    states.insert(message["id"].as_str().expect("an id").to_owned(), state);
                }
            }
        }
        if states.values().all(|state| state != "queued") {
            return states;
        }
        assert!(begun.elapsed() < within, "still under way: {states:?}");
        let pause = 200.max(u64::try_from(states.len()).unwrap_or(200));
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
}

/// How often customers got each text.
fn times(executed: &[Executed]) -> BTreeMap<&str, usize> {
    let mut times = BTreeMap::new();
    for sent in executed {
        let text = sent.text.as_deref().expect("a text");
        *times.entry(text).or_default() += 1;
    }
    times
}

/// The texts that customers got more than once.
fn doubled(executed: &[Executed]) -> Vec<&str> {
    let times = times(executed).into_iter();
    times
        .filter_map(|(text, count)| (count > 1).then_some(text))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f13_a_blind_resend_is_caught() {
    let folder = tempfile::tempdir().expect("a folder");
    let graph = graph();
    // A line on which each send is made twice makes of the daemon one that sends again without looking.
    let line = Line {
        to: graph.url().to_owned(),
        changes: |_, _| {},
        times: |method, path| {
            let is_send = method.as_str() == "POST" && path.contains("/messages");
            1 + usize::from(is_send)
        },
    };
    let with_line = config("").replace("http://127.0.0.1:9", &line.open().await);
    let daemon = Daemon::start(folder.path(), &with_line);
    let conversation = conversation(&daemon, &graph, "3001").await;
    let (status, _) = answer(&daemon, &conversation, "k", &json!({ "text": "once?" })).await;
    assert_eq!(status, 202);
    ends(&daemon, &[conversation], Duration::from_secs(120)).await;
    assert_eq!(doubled(&graph.executed()), ["once?"]);
}

/// How many answers are written in each of the conversations: 5, or so many that all are as many as
/// `DESKBELL_REPLIES` says.
fn rounds(conversations: usize) -> usize {
    #[expect(
        clippy::disallowed_methods,
        reason = "a switch of the tests, not of the daemon"
    )]
    let replies = std::env::var("DESKBELL_REPLIES");
    let replies: Option<usize> = replies.ok().and_then(|text| text.parse().ok());
    replies.map_or(5, |replies| replies.div_ceil(conversations))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f13_f14_f16_every_third_call_fails_and_nothing_is_doubled_or_lost() {
    let folder = tempfile::tempdir().expect("a folder");
    let graph = graph();
    let daemon = daemon(folder.path(), &graph);
    graph.delivers_to(&format!("{}/webhooks/shop-page", daemon.url));
    graph.echoes(Echo::After);
    graph.on_send(|attempt| {
        (attempt.number % 3 == 2).then(|| match (attempt.number / 3) % 6 {
            0 => Fault::TooMany {
                retry_after: "1".to_owned(),
            },
            1 => Fault::Trouble,
            2 => Fault::Cut { executed: true },
            3 => Fault::BadGateway { executed: true },
            4 => Fault::HalfAnAnswer { executed: true },
            _ => Fault::Cut { executed: false },
        })
    });
    let mut conversations = Vec::new();
    for person in 0..12 {
        conversations.push(conversation(&daemon, &graph, &format!("30{person:02}")).await);
    }
    let rounds = rounds(conversations.len());
    let mut asked = 0;
    for number in 0..rounds {
        for (place, conversation) in conversations.iter().enumerate() {
            let body = json!({ "text": format!("answer {number} to {place}") });
            let key = format!("key-{number}-{place}");
            let (status, first) = answer(&daemon, conversation, &key, &body).await;
            assert_eq!(
                (status, &first["delivery"]["state"]),
                (202, &json!("queued"))
            );
            let (status, again) = answer(&daemon, conversation, &key, &body).await;
            assert_eq!(
                (status, &again["id"]),
                (202, &first["id"]),
                "the key makes it one"
            );
            asked += 1;
        }
    }
    let states = ends(
        &daemon,
        &conversations,
        Duration::from_secs(400) + Duration::from_secs(4) * u32::try_from(rounds).expect("few"),
    )
    .await;
    assert_eq!(states.len(), asked, "an echo makes no message of its own");
    let executed = graph.executed();
    let times = times(&executed);
    let doubled = doubled(&executed);
    assert!(doubled.is_empty(), "a customer got it twice: {doubled:?}");
    let wrong: Vec<_> = states
        .iter()
        .filter(|(_, state)| *state != "sent")
        .collect();
    assert!(wrong.is_empty(), "all were sent in the end: {wrong:?}");
    assert_eq!(times.len(), asked, "every answer arrived");
    // In each conversation the customer got them in the order in which they were written.
    for place in 0..conversations.len() {
        let person = format!("30{place:02}");
        let got: Vec<_> = executed
            .iter()
            .filter(|sent| sent.recipient == person)
            .filter_map(|sent| sent.text.clone())
            .collect();
        let written: Vec<_> = (0..rounds)
            .map(|number| format!("answer {number} to {place}"))
            .collect();
        assert_eq!(got, written);
    }
    for conversation in &conversations {
        let shown = daemon.get(&format!("conversations/{conversation}")).await;
        assert_eq!(shown["waiting_since"], Value::Null, "answered");
    }
    assert_eq!(graph.violations(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f01_kill_9_between_the_call_and_its_answer_sends_nothing_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    let graph = graph();
    let mut daemon = daemon(folder.path(), &graph);
    let conversation = conversation(&daemon, &graph, "4001").await;
    for round in 0..3 {
        // The platform takes it at once and answers late: the daemon dies in between.
        graph.next_sends([Fault::Slow(Duration::from_secs(60))]);
        let text = format!("round-{round}");
        let (status, _) = answer(&daemon, &conversation, &text, &json!({ "text": text })).await;
        assert_eq!(status, 202);
        graph
            .until(Duration::from_secs(60), "taken", |graph| {
                graph.executed().len() == round + 1
            })
            .await;
        daemon.kill();
        daemon = Daemon::start_as_it_is(folder.path());
        let states = ends(
            &daemon,
            std::slice::from_ref(&conversation),
            Duration::from_secs(60),
        )
        .await;
        assert!(states.values().all(|state| state == "sent"), "{states:?}");
    }
    assert_eq!(graph.executed().len(), 3, "{:?}", graph.executed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f17_an_expired_token_stops_sending_and_never_intake() {
    let folder = tempfile::tempdir().expect("a folder");
    let graph = graph();
    let daemon = daemon(folder.path(), &graph);
    let waiting = conversation(&daemon, &graph, "5001").await;
    // The send itself meets the expired token, and from then on every look does.
    graph.next_sends([Fault::token_expired()]);
    let (status, _) = answer(&daemon, &waiting, "one", &json!({ "text": "still there?" })).await;
    assert_eq!(status, 202);
    graph
        .until(Duration::from_secs(60), "refused", |graph| {
            graph.attempts().len() == 1
        })
        .await;
    graph.token_is("another-token-now");
    let begun = Instant::now();
    loop {
        let channel = daemon.get("channels/shop-page").await;
        if channel["state"] == "broken" {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "{channel}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(graph.executed().is_empty());
    conversation(&daemon, &graph, "5002").await;
    // The answer is kept, and goes out once the token works again.
    let messages = daemon
        .get(&format!("conversations/{waiting}/messages"))
        .await;
    assert_eq!(messages["data"][0]["delivery"]["state"], "queued");
    graph.token_is(TOKEN);
    graph
        .until(Duration::from_secs(90), "sent after all", |graph| {
            graph.executed().len() == 1
        })
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_is_told_in_plain_words_and_a_closed_window_is_a_conflict() {
    let folder = tempfile::tempdir().expect("a folder");
    let graph = graph();
    let daemon = daemon(folder.path(), &graph);
    let open = conversation(&daemon, &graph, "6001").await;
    graph.next_sends([Fault::window_closed()]);
    answer(&daemon, &open, "one", &json!({ "text": "too late" })).await;
    let states = ends(
        &daemon,
        std::slice::from_ref(&open),
        Duration::from_secs(90),
    )
    .await;
    assert!(states.values().all(|state| state == "failed"), "{states:?}");
    let messages = daemon.get(&format!("conversations/{open}/messages")).await;
    let error = &messages["data"][0]["delivery"]["error"];
    assert_eq!(
        (&error["code"], &error["retryable"]),
        (&json!("10/2018278"), &json!(false))
    );
    assert!(
        error["detail"]
            .as_str()
            .is_some_and(|detail| detail.len() > 20),
        "{error}"
    );
    let shown = daemon.get(&format!("conversations/{open}")).await;
    assert_ne!(
        shown["waiting_since"],
        Value::Null,
        "a failed answer is none"
    );

    let old = now_ms() - 3 * 24 * 3_600_000;
    let body = envelope(PAGE, &[message("6002", "m_old", "Three days ago", old)]);
    assert_eq!(daemon.deliver("shop-page", APP_SECRET, body).await, 200);
    let feed = daemon.get("feed?limit=1").await;
    let closed = feed["data"][0]["conversation_id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let (status, problem) = answer(&daemon, &closed, "two", &json!({ "text": "hello?" })).await;
    assert_eq!(
        (status, &problem["type"]),
        (409, &json!("/docs/problems/reply-window-closed"))
    );
    let (status, note) = answer(
        &daemon,
        &closed,
        "three",
        &json!({ "text": "call her", "private": true }),
    )
    .await;
    assert_eq!((status, &note["kind"]), (201, &json!("note")));
}
