//! What calls look like, how replies are cut, and what is made of a conversation that was looked at.

use std::sync::Arc;

use deskbell_sdk::testkit::http::{ScriptedHttp, finish, json_answer};
use deskbell_sdk::{Channel, Time};
use http::Request;
use serde_json::{Value, json};

use super::*;
use crate::tests::{channel, channel_with};

const PAGE: &str = "1029384756";
const ATTEMPT: &str = "2026-11-21T17:20:31.412Z";

fn accepting() -> ScriptedHttp {
    ScriptedHttp::always(200, r#"{"recipient_id":"2001","message_id":"m_invented"}"#)
}

fn picture() -> OutboundFile {
    OutboundFile {
        kind: AttachmentKind::Image,
        name: Some("Größe \"M\".png".to_owned()),
        mime_type: "image/png".to_owned(),
        bytes: Bytes::from_static(b"\x89PNG\r\n\x1a\n"),
    }
}

fn text(text: &str) -> Part {
    Part::Text(text.to_owned())
}

fn outbound(part: &Part) -> Outbound<'_> {
    Outbound {
        thread: "2001",
        send_token: "msg_invented.0",
        part,
        reply_to: None,
        window_extended: false,
    }
}

fn sent(
    channel: &dyn Channel,
    outbound: Outbound<'_>,
) -> (Result<Sent, SendError>, Vec<Request<Bytes>>) {
    let platform = accepting();
    let sender = channel.send().expect("sends");
    let ended = finish(sender.send(&platform, outbound)).expect("ends");
    (ended, platform.calls())
}

fn body_of(call: &Request<Bytes>) -> Value {
    serde_json::from_slice(call.body()).expect("JSON")
}

#[test]
fn a_text_is_one_call() {
    let part = text("Dobrý deň 📦 \"<&>\" \u{0}");
    let answered = Outbound {
        reply_to: Some("m_question"),
        ..outbound(&part)
    };
    let (ended, calls) = sent(channel().as_ref(), answered);
    assert_eq!(
        ended,
        Ok(Sent {
            external_id: Some("m_invented".to_owned())
        })
    );
    let [call] = calls.as_slice() else {
        panic!("one call, not {calls:?}")
    };
    assert_eq!(call.method(), "POST");
    let (address, proof) = call
        .uri()
        .to_string()
        .split_once('?')
        .map(|(address, query)| (address.to_owned(), query.to_owned()))
        .expect("a query");
    assert_eq!(
        address,
        "https://graph.facebook.com/v25.0/1029384756/messages"
    );
    assert!(
        proof.starts_with("appsecret_proof=") && proof.len() == 80,
        "{proof}"
    );
    assert_eq!(
        call.headers()["authorization"].as_bytes(),
        b"Bearer EAAinventedPageToken"
    );
    assert!(call.headers()["authorization"].is_sensitive());
    assert_eq!(call.headers()["content-type"], "application/json");
    assert_eq!(
        body_of(call),
        json!({
            "recipient": { "id": "2001" },
            "messaging_type": "RESPONSE",
            "message": { "text": "Dobrý deň 📦 \"<&>\" \u{0}", "metadata": "msg_invented.0" },
            "reply_to": { "mid": "m_question" },
        })
    );
}

#[test]
fn a_file_is_uploaded_in_the_call_with_its_type() {
    let part = Part::File(picture());
    let answered = Outbound {
        reply_to: Some("m_question"),
        ..outbound(&part)
    };
    let (ended, calls) = sent(channel().as_ref(), answered);
    assert!(ended.is_ok(), "{ended:?}");
    let body = String::from_utf8_lossy(calls[0].body());
    let kind = calls[0].headers()["content-type"].to_str().expect("text");
    assert!(kind.starts_with("multipart/form-data; boundary="), "{kind}");
    for piece in [
        "name=\"recipient\"\r\n\r\n{\"id\":\"2001\"}\r\n",
        "name=\"messaging_type\"\r\n\r\nRESPONSE\r\n",
        "name=\"message\"\r\n\r\n{\"attachment\":{\"type\":\"image\",\"payload\":{}},\"metadata\":\"msg_invented.0\"}\r\n",
        "name=\"reply_to\"\r\n\r\n{\"mid\":\"m_question\"}\r\n",
        "name=\"filedata\"; filename=\"Größe %22M%22.png\"\r\nContent-Type: image/png\r\n\r\n",
    ] {
        assert!(body.contains(piece), "{piece} is not in {body}");
    }
    assert!(!body.contains("name=\"tag\""), "{body}");
    let content = b"\r\n\r\n\x89PNG\r\n\x1a\n\r\n--deskbell-";
    assert!(
        calls[0]
            .body()
            .windows(content.len())
            .any(|window| window == content)
    );

    let nameless = Part::File(OutboundFile {
        name: None,
        mime_type: "audio/mpeg".to_owned(),
        kind: AttachmentKind::Audio,
        ..picture()
    });
    let (_, calls) = sent(channel().as_ref(), outbound(&nameless));
    let body = String::from_utf8_lossy(calls[0].body()).into_owned();
    assert!(
        body.contains("filename=\"audio.mpeg\"") && body.contains("\"type\":\"audio\""),
        "{body}"
    );
}

#[test]
fn an_answer_after_a_day_is_a_persons() {
    let part = text("late");
    let late = || Outbound {
        window_extended: true,
        ..outbound(&part)
    };
    let with_feature = channel_with("human_agent", "true");
    let sender = with_feature.send().expect("sends");
    assert_eq!(sender.extended_window_ms(), Some(604_800_000));
    let (_, calls) = sent(with_feature.as_ref(), late());
    assert_eq!(body_of(&calls[0])["messaging_type"], "MESSAGE_TAG");
    assert_eq!(body_of(&calls[0])["tag"], "HUMAN_AGENT");
    let file = Part::File(picture());
    let late_file = Outbound {
        window_extended: true,
        ..outbound(&file)
    };
    let (_, calls) = sent(with_feature.as_ref(), late_file);
    let body = String::from_utf8_lossy(calls[0].body()).into_owned();
    assert!(
        body.contains("name=\"messaging_type\"\r\n\r\nMESSAGE_TAG\r\n"),
        "{body}"
    );
    assert!(
        body.contains("name=\"tag\"\r\n\r\nHUMAN_AGENT\r\n"),
        "{body}"
    );

    let without = channel();
    assert_eq!(without.send().expect("sends").extended_window_ms(), None);
    let (ended, calls) = sent(without.as_ref(), late());
    assert!(matches!(ended, Err(SendError::Refused { .. })), "{ended:?}");
    assert!(calls.is_empty(), "nothing is asked that Meta would refuse");
}

#[test]
fn a_token_that_is_too_long_to_come_back_is_left_out() {
    let part = text("x");
    for (length, present) in [(0, false), (1, true), (999, true), (1000, false)] {
        let token = "t".repeat(length);
        let long = Outbound {
            send_token: &token,
            ..outbound(&part)
        };
        let (_, calls) = sent(channel().as_ref(), long);
        assert_eq!(
            body_of(&calls[0])["message"].get("metadata").is_some(),
            present,
            "{length}"
        );
    }
}

fn plan(
    text: Option<&str>,
    files: &[(AttachmentKind, &'static str, u64)],
) -> Result<Vec<PartPlan>, SendError> {
    let shape = ReplyShape {
        text,
        files: files.to_vec(),
    };
    channel().send().expect("sends").plan(&shape)
}

#[test]
fn text_comes_first_then_the_files() {
    let files = [
        (AttachmentKind::Image, "image/png", 10),
        (AttachmentKind::File, "application/pdf", 25_000_000),
    ];
    let long = format!("{}\n\n{}", "a".repeat(1500), "b".repeat(1500));
    assert_eq!(
        plan(Some(&long), &files),
        Ok(vec![
            PartPlan::Text("a".repeat(1500)),
            PartPlan::Text("b".repeat(1500)),
            PartPlan::File(0),
            PartPlan::File(1),
        ])
    );
    let exact = "🎉".repeat(1000);
    assert_eq!(plan(Some(&exact), &[]), Ok(vec![PartPlan::Text(exact)]));
    assert_eq!(
        plan(None, &files),
        Ok(vec![PartPlan::File(0), PartPlan::File(1)])
    );
}

#[test]
fn what_can_never_be_sent_is_refused_before_anything_is() {
    for (file, code, words) in [
        (
            (AttachmentKind::Video, "video/mp4", 25_000_001),
            "too_large",
            "this one has 25.1 MB",
        ),
        (
            (AttachmentKind::File, "text/plain", 31_200_000),
            "too_large",
            "this one has 31.2 MB",
        ),
        (
            (AttachmentKind::File, "text/plain", u64::MAX),
            "too_large",
            "MB",
        ),
        (
            (AttachmentKind::File, "text/plain", 0),
            "empty_file",
            "empty",
        ),
        (
            (AttachmentKind::Location, "", 10),
            "unsupported",
            "write the rest as text",
        ),
    ] {
        let Err(SendError::Refused { code: given, say }) = plan(Some("see"), &[file]) else {
            panic!("{file:?} is refused");
        };
        assert_eq!(given, code);
        assert!(say.contains(words), "{say}");
    }
}

#[test]
fn pictures_that_messenger_does_not_show_are_files() {
    for (kind, mime_type, called) in [
        (AttachmentKind::Image, "image/jpeg", "image"),
        (AttachmentKind::Image, "image/gif", "image"),
        (AttachmentKind::Image, "image/svg+xml", "file"),
        (AttachmentKind::Image, "image/heic", "file"),
        (AttachmentKind::Audio, "audio/ogg", "audio"),
        (AttachmentKind::Audio, "application/ogg", "file"),
        (AttachmentKind::Video, "video/mp4", "video"),
        (AttachmentKind::File, "image/png", "file"),
    ] {
        assert_eq!(sendable(kind, mime_type, 1), Ok(called), "{mime_type}");
    }
}

#[test]
fn signals_hold_nothing_but_the_action() {
    let platform = ScriptedHttp::always(200, r#"{"recipient_id":"2001"}"#);
    let channel = channel();
    let sender = channel.send().expect("sends");
    for signal in [
        sender.typing(&platform, "2001", true),
        sender.typing(&platform, "2001", false),
        sender.mark_seen(&platform, "2001"),
    ] {
        assert_eq!(finish(signal), Some(Ok(())));
    }
    let bodies: Vec<Value> = platform.calls().iter().map(body_of).collect();
    let action = |action: &str| json!({ "recipient": { "id": "2001" }, "sender_action": action });
    assert_eq!(
        bodies,
        [
            action("typing_on"),
            action("typing_off"),
            action("mark_seen")
        ]
    );
    assert!(
        platform
            .calls()
            .iter()
            .all(|call| call.uri().path().ends_with("/1029384756/messages"))
    );
}

/// What is made of a lost `part` where the platform answers so.
fn fate(part: &Part, known: &[&str], status: u16, answer: &str) -> (Fate, Vec<Request<Bytes>>) {
    let platform = ScriptedHttp::always(status, answer);
    let known: Vec<String> = known.iter().map(|id| (*id).to_owned()).collect();
    let lost = LostSend {
        thread: "20 01&x",
        send_token: "msg_invented.0",
        part,
        attempted_at: ATTEMPT.parse().expect("a time"),
        known: &known,
    };
    let channel = channel();
    let fate = finish(channel.send().expect("sends").fate(&platform, lost)).expect("ends");
    (fate, platform.calls())
}

/// A message in the Page's conversation, so many seconds after the attempt.
fn shown(id: &str, seconds: i64, text: &str) -> Value {
    let attempt: Time = ATTEMPT.parse().expect("a time");
    let at = attempt.plus_millis(seconds * 1000).to_string();
    let whole_seconds = at.split('.').next().expect("a time").to_owned();
    json!({ "id": id, "created_time": format!("{whole_seconds}+0000"), "from": { "name": "Butik", "id": PAGE }, "message": text })
}

fn with_attachment(mut message: Value, attachment: &Value) -> Value {
    message["attachments"] = json!({ "data": [attachment] });
    message
}

fn from_customer(mut message: Value) -> Value {
    message["from"] = json!({ "id": "2001" });
    message
}

fn conversation(messages: &[Value]) -> String {
    json!({ "data": [{ "id": "t_1", "messages": { "data": messages, "paging": { "cursors": {} } } }] }).to_string()
}

fn found(id: &str) -> Fate {
    Fate::Sent(Sent {
        external_id: Some(id.to_owned()),
    })
}

#[test]
fn f13_a_lost_text_is_found_in_the_conversation() {
    let part = text("Hello  there\n");
    let messages = [
        from_customer(shown("m_5", 9, "Hello there")),
        shown("m_4", 1, "Hello there"),
        shown("m_3", 0, "Something else"),
        shown("m_2", -3, "Hello there"),
        shown("m_1", -86_400, "Hello there"),
    ];
    let (fate_of, calls) = fate(&part, &["m_2"], 200, &conversation(&messages));
    assert_eq!(fate_of, found("m_4"));
    let uri = calls[0].uri().to_string();
    let begin = "https://graph.facebook.com/v25.0/1029384756/conversations?platform=messenger&user_id=20%2001%26x\
                 &fields=messages.limit(25)%7Bid,created_time,from,message,attachments%7D&appsecret_proof=";
    assert!(uri.starts_with(begin), "{uri}");
    assert_eq!((calls.len(), calls[0].method().as_str()), (1, "GET"));

    let (fate_of, _) = fate(&part, &[], 200, &conversation(&messages));
    assert_eq!(fate_of, Fate::Untold, "two could be it");
    let others = ["m_1", "m_2", "m_4"];
    let (fate_of, _) = fate(&part, &others, 200, &conversation(&messages));
    assert_eq!(fate_of, Fate::NotSeen, "those are others");
}

#[test]
fn f13_a_lost_file_is_found_by_its_kind() {
    let part = Part::File(picture());
    let image =
        json!({ "id": "1", "mime_type": "image/jpeg", "name": "x", "image_data": { "width": 1 } });
    let audio =
        json!({ "id": "2", "mime_type": "audio/mpeg", "file_url": "https://cdn.example/2" });
    let sent_image = with_attachment(shown("m_2", 2, ""), &image);
    assert_eq!(
        fate(
            &part,
            &[],
            200,
            &conversation(std::slice::from_ref(&sent_image))
        )
        .0,
        found("m_2")
    );
    assert_eq!(
        fate(&part, &["m_2"], 200, &conversation(&[sent_image])).0,
        Fate::NotSeen
    );
    let other = with_attachment(shown("m_3", 2, ""), &audio);
    assert_eq!(
        fate(&part, &[], 200, &conversation(&[other])).0,
        Fate::Untold,
        "types change on the way"
    );
    let hidden = shown("m_4", 2, "");
    assert_eq!(
        fate(&part, &[], 200, &conversation(&[hidden])).0,
        Fate::Untold,
        "contents are hidden in some countries"
    );
    let words = shown("m_5", 2, "a text");
    assert_eq!(
        fate(&part, &[], 200, &conversation(&[words])).0,
        Fate::NotSeen
    );
    let captioned = with_attachment(shown("m_6", 2, "Hello"), &image);
    assert_eq!(
        fate(&text("Hello"), &[], 200, &conversation(&[captioned])).0,
        Fate::NotSeen
    );
}

#[test]
fn f11_a_wrong_clock_makes_a_doubt_and_no_second_message() {
    let part = text("Hello");
    for (seconds, expected) in [
        (3600, found("m_1")),
        (-4, found("m_1")),
        (-60, Fate::Untold),
        // A clock that was a day ahead, and nobody knows.
        (-86_400, Fate::Untold),
    ] {
        let answer = conversation(&[shown("m_1", seconds, "Hello")]);
        assert_eq!(fate(&part, &[], 200, &answer).0, expected, "{seconds}");
    }
    let other = conversation(&[shown("m_1", -86_400, "Something else")]);
    assert_eq!(fate(&part, &[], 200, &other).0, Fate::NotSeen);
    let known = conversation(&[shown("m_1", -86_400, "Hello")]);
    assert_eq!(fate(&part, &["m_1"], 200, &known).0, Fate::NotSeen);
    let mut timeless = shown("m_1", 0, "Hello");
    timeless["created_time"] = json!("yesterday");
    assert_eq!(
        fate(&part, &[], 200, &conversation(&[timeless])).0,
        Fate::Untold
    );
    let mut nobodys = shown("m_1", 0, "Hello");
    nobodys["from"] = Value::Null;
    assert_eq!(
        fate(&part, &[], 200, &conversation(&[nobodys])).0,
        Fate::Untold
    );
}

#[test]
fn f11_a_clock_that_was_ahead_is_known_by_the_platforms() {
    let part = text("Hello");
    let looked = |time_of_day: &str, messages: &str| {
        let date = format!("Sat, 21 Nov 2026 {time_of_day} GMT");
        let messages = messages.to_owned();
        let platform = ScriptedHttp::answering(move |_| {
            let mut answer = json_answer(200, &messages);
            let date = date.parse().expect("a header");
            answer.headers_mut().insert(http::header::DATE, date);
            Ok(answer)
        });
        let lost = LostSend {
            thread: "2001",
            send_token: "msg_invented.0",
            part: &part,
            attempted_at: ATTEMPT.parse().expect("a time"),
            known: &[],
        };
        finish(channel().send().expect("sends").fate(&platform, lost)).expect("ends")
    };
    // By Meta's clock it is an hour before the attempt: what came in the last seconds is it.
    let sent = conversation(&[shown("m_1", -3602, "Hello")]);
    assert_eq!(looked("16:20:31", &sent), found("m_1"));
    // A page that reaches back to our wrong time does not reach back to the right one.
    let newer: Vec<Value> = (0..25)
        .map(|n| shown(&format!("m_{n}"), -3600 - n / 10, "busy"))
        .collect();
    let mut busy: Value = serde_json::from_str(&conversation(&newer)).expect("JSON");
    busy["data"][0]["messages"]["paging"]["next"] = json!("https://graph.facebook.com/next");
    assert_eq!(looked("16:20:31", &busy.to_string()), Fate::Untold);
    // A clock that is behind, or right, changes nothing.
    let sent = conversation(&[shown("m_1", 2, "Hello")]);
    assert_eq!(looked("17:20:36", &sent), found("m_1"));
    assert_eq!(looked("18:20:31", &sent), found("m_1"));
}

#[test]
fn f13_a_page_of_messages_that_does_not_reach_back_proves_no_absence() {
    let part = text("Hello");
    let newer: Vec<Value> = (0..25)
        .map(|n| shown(&format!("m_{n}"), 30 - n, "busy"))
        .collect();
    let mut answer: Value = serde_json::from_str(&conversation(&newer)).expect("JSON");
    answer["data"][0]["messages"]["paging"]["next"] = json!("https://graph.facebook.com/next");
    assert_eq!(fate(&part, &[], 200, &answer.to_string()).0, Fate::Untold);
    answer["data"][0]["messages"]["data"][24] = shown("m_old", -20, "busy");
    assert_eq!(fate(&part, &[], 200, &answer.to_string()).0, Fate::NotSeen);
}

#[test]
fn f13_only_a_conversation_that_was_read_can_lack_a_message() {
    let part = text("Hello");
    for seen in [
        r#"{"data":[]}"#,
        r#"{"data":[{"id":"t_1"}]}"#,
        r#"{"data":[{"id":"t_1","messages":{"data":[]}}]}"#,
    ] {
        assert_eq!(fate(&part, &[], 200, seen).0, Fate::NotSeen, "{seen}");
    }
    let limit = r##"{"error":{"message":"(#613)","type":"OAuthException","code":613}}"##;
    let token =
        r#"{"error":{"message":"x","type":"OAuthException","code":190,"error_subcode":463}}"#;
    for (status, unread) in [
        (200, "{}"),
        (200, "<html>"),
        (200, ""),
        (500, r#"{"data":[]}"#),
        (502, "<html>"),
        (400, limit),
        (401, token),
        (429, limit),
    ] {
        let (fate, _) = fate(&part, &[], status, unread);
        assert!(
            matches!(fate, Fate::Unanswered { .. }),
            "{status} {unread}: {fate:?}"
        );
    }
    let permission = r##"{"error":{"message":"(#200)","type":"OAuthException","code":200}}"##;
    assert_eq!(
        fate(&part, &[], 403, permission).0,
        Fate::Untold,
        "that does not pass"
    );

    let silent = Arc::new(ScriptedHttp::answering(|_| {
        Err(deskbell_sdk::client::HttpFailure::unanswered(
            "graph.example did not answer in time",
        ))
    }));
    let lost = LostSend {
        thread: "2001",
        send_token: "t",
        part: &part,
        attempted_at: ATTEMPT.parse().expect("a time"),
        known: &[],
    };
    let channel = channel();
    let fate = finish(channel.send().expect("sends").fate(silent.as_ref(), lost)).expect("ends");
    let say = "graph.example did not answer in time".to_owned();
    assert_eq!(fate, Fate::Unanswered { say });
}

/// Meta's error, as a stand-in writes it.
pub(crate) fn meta_error(status: u16, code: i64, subcode: i64) -> http::Response<Bytes> {
    json_answer(
        status,
        &format!(
            r##"{{"error":{{"message":"(#{code}) IN FREMDER SPRACHE","type":"OAuthException","code":{code},"error_subcode":{subcode},"error_user_msg":"IN FREMDER SPRACHE","fbtrace_id":"AbC"}}}}"##
        ),
    )
}
