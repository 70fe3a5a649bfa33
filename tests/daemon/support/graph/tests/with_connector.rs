//! The connector as it is, with the stand-in as its platform.

use std::time::{Duration, Instant};

use deskbell::http_client::PlatformClient;
use deskbell_messenger::KIND;
use deskbell_sdk::send::{Fate, LostSend, Outbound, OutboundFile, Part, SendError};
use deskbell_sdk::settings::SettingValue;
use deskbell_sdk::{AttachmentKind, Channel, Secret, Settings, Time};
use serde_json::json;

use super::{PAGE, PERSON, SECRET, TOKEN, page, post_json, started, text_to};
use crate::support::graph::{Fault, Graph, Page};

/// How long the client waits that is to meet silence.
const IMPATIENT: Duration = Duration::from_secs(3);

/// The connector, and a client with more patience than a loaded machine needs.
pub(super) fn connector(graph: &Graph, human_agent: bool) -> (Box<dyn Channel>, PlatformClient) {
    (
        channel(graph, human_agent),
        waiting(graph, Duration::from_secs(60)),
    )
}

fn waiting(graph: &Graph, timeout: Duration) -> PlatformClient {
    let client = deskbell::http_client::builder()
        .timeout(timeout)
        .build()
        .expect("a client");
    PlatformClient::new(client, graph.url())
}

fn channel(graph: &Graph, human_agent: bool) -> Box<dyn Channel> {
    let text = |text: &str| SettingValue::Text(text.to_owned());
    let secret = |secret: &str| SettingValue::Secret(Secret::new(secret));
    let values = [
        ("app_id", text("4242424242")),
        ("app_secret", secret(SECRET)),
        ("page_id", text(PAGE)),
        ("page_access_token", secret(TOKEN)),
        ("verify_token", secret("invented-verify-token")),
        ("human_agent", SettingValue::Flag(human_agent)),
    ];
    let values = values
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect();
    let settings =
        Settings::checked(KIND.settings, values, Some(graph.url().to_owned())).expect("settings");
    (KIND.open)(&settings).expect("opens")
}

fn words(text: &str) -> Part {
    Part::Text(text.to_owned())
}

fn outbound<'a>(part: &'a Part, send_token: &'a str) -> Outbound<'a> {
    Outbound {
        thread: PERSON,
        send_token,
        part,
        reply_to: None,
        window_extended: false,
    }
}

#[tokio::test]
async fn the_window_closes_after_a_day() {
    let graph = started();
    let now = deskbell::clock::Clock::system().now().as_millis();
    graph.knows_since("2002", now - 25 * 3_600_000);
    let (_, answer) = post_json(&graph, &text_to("2002", "late")).await;
    assert_eq!(
        (&answer["error"]["code"], &answer["error"]["error_subcode"]),
        (&json!(10), &json!(2_018_278))
    );

    let open = Graph::start(Page {
        human_agent: true,
        ..page()
    });
    open.knows_since(PERSON, now - 25 * 3_600_000);
    let (channel, http) = connector(&open, true);
    let part = words("still there?");
    let late = Outbound {
        window_extended: true,
        ..outbound(&part, "late.0")
    };
    channel
        .send()
        .expect("sends")
        .send(&http, late)
        .await
        .expect("a person may answer for a week");
    assert_eq!(open.executed()[0].tag.as_deref(), Some("HUMAN_AGENT"));
    open.knows_since(PERSON, now - 8 * 24 * 3_600_000);
    let late = Outbound {
        window_extended: true,
        ..outbound(&part, "late.1")
    };
    let ended = channel.send().expect("sends").send(&http, late).await;
    assert!(
        matches!(ended, Err(SendError::Refused { ref code, .. }) if code == "10/2018278"),
        "{ended:?}"
    );
    assert_eq!(open.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn the_connector_sends_texts_files_replies_and_signals() {
    let graph = started();
    let question = graph.person_wrote(PERSON, "Is it there?");
    let (channel, http) = connector(&graph, false);
    let sender = channel.send().expect("sends");
    let answered = words("Yes \"it\" is 📦 <&>\n");
    let reply = Outbound {
        reply_to: Some(&question),
        ..outbound(&answered, "msg_1.0")
    };
    let sent = sender.send(&http, reply).await.expect("sent");
    assert_eq!(sent.external_id, Some(graph.executed()[0].id.clone()));
    let big: Vec<u8> = (0..3_000_000_u32).flat_map(|n| n.to_le_bytes()).collect();
    for (kind, mime_type, bytes) in [
        (
            AttachmentKind::Image,
            "image/png",
            b"\x89PNG\r\n--deskbell-\r\n".to_vec(),
        ),
        (AttachmentKind::Video, "video/mp4", big),
        (AttachmentKind::File, "application/pdf", b"%PDF".to_vec()),
    ] {
        let file = OutboundFile {
            kind,
            name: Some("Größe M.bin".to_owned()),
            mime_type: mime_type.to_owned(),
            bytes: bytes.clone().into(),
        };
        sender
            .send(&http, outbound(&Part::File(file), "msg_1.1"))
            .await
            .expect("sent");
        let received = graph
            .executed()
            .pop()
            .and_then(|executed| executed.file)
            .expect("a file");
        assert_eq!(
            (received.name.as_str(), received.mime_type.as_str()),
            ("Größe M.bin", mime_type)
        );
        assert!(received.bytes == bytes, "the file came as it is");
    }
    sender.typing(&http, PERSON, true).await.expect("shown");
    sender.mark_seen(&http, PERSON).await.expect("shown");
    let of_person = |action: &str| (PERSON.to_owned(), action.to_owned());
    assert_eq!(
        graph.actions(),
        [of_person("typing_on"), of_person("mark_seen")]
    );
    assert_eq!(graph.executed()[0].reply_to, Some(question));
    assert_eq!(graph.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn f14_every_fault_is_what_it_says() {
    let graph = started();
    let (channel, http) = connector(&graph, false);
    let impatient = waiting(&graph, IMPATIENT);
    let sender = channel.send().expect("sends");
    let wait = Some(Duration::from_secs(3));
    let faults = [
        (
            Fault::TooMany {
                retry_after: "3".to_owned(),
            },
            SendError::Retry {
                after: wait,
                say: String::new(),
            },
            0,
        ),
        (
            Fault::Trouble,
            SendError::Retry {
                after: None,
                say: String::new(),
            },
            0,
        ),
        (
            Fault::token_expired(),
            SendError::Credentials { say: String::new() },
            0,
        ),
        (
            Fault::window_closed(),
            SendError::Refused {
                code: "10/2018278".to_owned(),
                say: String::new(),
            },
            0,
        ),
        (
            Fault::BadGateway { executed: false },
            SendError::Unknown { say: String::new() },
            0,
        ),
        (
            Fault::BadGateway { executed: true },
            SendError::Unknown { say: String::new() },
            1,
        ),
        (
            Fault::HalfAnAnswer { executed: true },
            SendError::Unknown { say: String::new() },
            1,
        ),
        (
            Fault::Cut { executed: false },
            SendError::Unknown { say: String::new() },
            0,
        ),
        (
            Fault::Cut { executed: true },
            SendError::Unknown { say: String::new() },
            1,
        ),
        (
            Fault::Silence { executed: false },
            SendError::Unknown { say: String::new() },
            0,
        ),
        (
            Fault::Silence { executed: true },
            SendError::Unknown { say: String::new() },
            1,
        ),
        (
            Fault::Slow(IMPATIENT * 20),
            SendError::Unknown { say: String::new() },
            1,
        ),
    ];
    for (number, (fault, expected, executed)) in faults.into_iter().enumerate() {
        let named = format!("{fault:?}");
        let silent = matches!(fault, Fault::Silence { .. } | Fault::Slow(_));
        graph.next_sends([fault]);
        let token = format!("msg_{number}");
        let lent = if silent { &impatient } else { &http };
        let ended = sender
            .send(lent, outbound(&words("Hello"), &token))
            .await
            .expect_err("a fault");
        let bare = match ended {
            SendError::Retry { after, .. } => SendError::Retry {
                after,
                say: String::new(),
            },
            SendError::Unknown { .. } => SendError::Unknown { say: String::new() },
            SendError::Refused { code, .. } => SendError::Refused {
                code,
                say: String::new(),
            },
            SendError::Credentials { .. } => SendError::Credentials { say: String::new() },
        };
        assert_eq!(bare, expected, "{named}");
        let then = Instant::now();
        while graph.times_executed(&token) < executed && then.elapsed() < Duration::from_secs(60) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(graph.times_executed(&token), executed, "{named}");
    }
    graph.next_sends([Fault::Slow(Duration::from_millis(50))]);
    sender
        .send(&http, outbound(&words("Hello"), "slow"))
        .await
        .expect("slow, but in time");
    graph.on_send(|attempt| (attempt.repetition == 0).then_some(Fault::Trouble));
    sender
        .send(&http, outbound(&words("Hello"), "rule"))
        .await
        .expect_err("the first time");
    sender
        .send(&http, outbound(&words("Hello"), "rule"))
        .await
        .expect("the second time");
    assert_eq!(graph.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn f13_the_connector_finds_what_was_executed_and_nothing_else() {
    let graph = started();
    graph.person_wrote(PERSON, "Hello");
    let (channel, http) = connector(&graph, false);
    let sender = channel.send().expect("sends");
    let part = words("Hello");
    let file = Part::File(OutboundFile {
        kind: AttachmentKind::Image,
        name: None,
        mime_type: "image/png".to_owned(),
        bytes: b"\x89PNG".as_slice().into(),
    });
    let mut known = Vec::new();
    for (part, executed) in [(&part, false), (&part, true), (&file, false), (&file, true)] {
        let attempted_at = deskbell::clock::Clock::system().now();
        graph.next_sends([Fault::Cut { executed }]);
        sender
            .send(&http, outbound(part, "lost"))
            .await
            .expect_err("cut");
        let lost = LostSend {
            thread: PERSON,
            send_token: "lost",
            part,
            attempted_at,
            known: &known,
        };
        let fate = sender.fate(&http, lost).await;
        match (executed, fate) {
            (false, Fate::NotSeen) => {}
            (true, Fate::Sent(sent)) => {
                let id = sent.external_id.expect("an id");
                assert_eq!(graph.executed().last().expect("executed").id, id);
                known.push(id);
            }
            (executed, fate) => panic!("executed: {executed}, and the fate is {fate:?}"),
        }
        // Two looks a second are allowed.
        tokio::time::sleep(Duration::from_millis(600)).await;
    }
    let lost = LostSend {
        thread: PERSON,
        send_token: "x",
        part: &part,
        attempted_at: Time::from_millis(0),
        known: &[],
    };
    tokio::time::sleep(Duration::from_secs(1)).await;
    graph.next_reads([Fault::BadGateway { executed: true }]);
    assert!(matches!(
        sender.fate(&http, lost.clone()).await,
        Fate::Unanswered { .. }
    ));
    let mut limited = false;
    for _ in 0..50 {
        limited |= matches!(
            sender.fate(&http, lost.clone()).await,
            Fate::Unanswered { .. }
        );
    }
    assert!(limited, "two looks a second are allowed");
    assert!(
        graph
            .violations()
            .iter()
            .all(|violation| violation == "a third look within a second"),
        "{:?}",
        graph.violations()
    );
}
