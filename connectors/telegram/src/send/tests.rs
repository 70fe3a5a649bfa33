//! What calls look like, and what is made of Telegram's answers.

use std::sync::Mutex;
use std::time::Duration;

use deskbell_sdk::client::HttpFailure;
use deskbell_sdk::testkit::http::{ScriptedHttp, finish};
use serde_json::{Value, json};

use super::*;
use crate::tests::{TOKEN, channel, method, refusal, refusal_with, success};

fn text(text: &str) -> Part {
    Part::Text(text.to_owned())
}

fn file(kind: AttachmentKind, mime_type: &str) -> Part {
    Part::File(OutboundFile {
        kind,
        name: Some("Größe \"M\".png".to_owned()),
        mime_type: mime_type.to_owned(),
        bytes: Bytes::from_static(b"\x89PNG\r\n\x1a\n"),
    })
}

fn sent_message(chat: i64) -> Value {
    json!({ "message_id": 55, "date": 1_790_000_000, "chat": { "id": chat, "type": "private" } })
}

fn send(
    platform: &ScriptedHttp,
    thread: &str,
    part: &Part,
    reply_to: Option<&str>,
) -> Result<Sent, SendError> {
    let channel = channel("poll");
    let outbound = Outbound {
        thread,
        send_token: "msg_invented.0",
        part,
        reply_to,
        window_extended: false,
    };
    finish(channel.send().expect("sends").send(platform, outbound)).expect("ends")
}

fn accepting(chat: i64) -> ScriptedHttp {
    ScriptedHttp::answering(move |_| Ok(success(&sent_message(chat))))
}

fn body_of(call: &Request<Bytes>) -> Value {
    serde_json::from_slice(call.body()).expect("JSON")
}

#[test]
fn a_text_is_one_call() {
    let platform = accepting(2001);
    let sent = send(
        &platform,
        "2001",
        &text("Už je na ceste 📦 <b>&"),
        Some("2001:17"),
    );
    assert_eq!(sent.expect("sent").external_id.as_deref(), Some("2001:55"));
    let calls = platform.calls();
    let [call] = calls.as_slice() else {
        panic!("{calls:?}")
    };
    assert_eq!(
        call.uri(),
        format!("https://api.telegram.org/bot{TOKEN}/sendMessage").as_str()
    );
    assert_eq!(call.headers()["content-type"], "application/json");
    assert_eq!(
        body_of(call),
        json!({
            "chat_id": 2001, "text": "Už je na ceste 📦 <b>&",
            "reply_parameters": { "message_id": 17, "allow_sending_without_reply": true },
        })
    );
}

#[test]
fn each_kind_of_thread_is_answered_where_it_is() {
    for (thread, place, id) in [
        (
            "-100/7",
            json!({ "chat_id": -100, "message_thread_id": 7, "text": "x" }),
            "-100:55",
        ),
        (
            "-100/d9",
            json!({ "chat_id": -100, "direct_messages_topic_id": 9, "text": "x" }),
            "-100:55",
        ),
        (
            "bc_1:-100",
            json!({ "chat_id": -100, "business_connection_id": "bc_1", "text": "x" }),
            "bc_1:-100:55",
        ),
    ] {
        let platform = accepting(-100);
        let sent = send(&platform, thread, &text("x"), Some("callback:5")).expect("sent");
        assert_eq!(sent.external_id.as_deref(), Some(id));
        assert_eq!(body_of(&platform.calls()[0]), place, "{thread}");
    }
    let nowhere = send(&accepting(1), "somewhere", &text("x"), None);
    assert!(
        matches!(nowhere, Err(SendError::Refused { .. })),
        "{nowhere:?}"
    );
}

#[test]
fn files_go_by_the_method_that_shows_them() {
    for (kind, mime_type, wanted, field) in [
        (AttachmentKind::Image, "image/png", "sendPhoto", "photo"),
        (
            AttachmentKind::Image,
            "image/gif",
            "sendDocument",
            "document",
        ),
        (AttachmentKind::Audio, "audio/ogg", "sendVoice", "voice"),
        (AttachmentKind::Audio, "audio/mpeg", "sendAudio", "audio"),
        (
            AttachmentKind::Audio,
            "audio/wav",
            "sendDocument",
            "document",
        ),
        (AttachmentKind::Video, "video/mp4", "sendVideo", "video"),
        (
            AttachmentKind::Video,
            "video/webm",
            "sendDocument",
            "document",
        ),
        (
            AttachmentKind::File,
            "application/pdf",
            "sendDocument",
            "document",
        ),
    ] {
        let platform = accepting(2001);
        send(
            &platform,
            "bc:2001/3",
            &file(kind, mime_type),
            Some("bc:2001:4"),
        )
        .expect("sent");
        let calls = platform.calls();
        assert_eq!(method(&calls[0]), wanted, "{mime_type}");
        let body = String::from_utf8_lossy(calls[0].body()).into_owned();
        for piece in [
            "name=\"chat_id\"\r\n\r\n2001\r\n".to_owned(),
            "name=\"business_connection_id\"\r\n\r\nbc\r\n".to_owned(),
            "name=\"message_thread_id\"\r\n\r\n3\r\n".to_owned(),
            "name=\"reply_parameters\"\r\n\r\n{\"message_id\":4,\"allow_sending_without_reply\":true}\r\n".to_owned(),
            format!("name=\"{field}\"; filename=\"Größe %22M%22.png\"\r\nContent-Type: {mime_type}\r\n"),
        ] {
            assert!(body.contains(&piece), "{wanted}: {piece} not in {body}");
        }
    }
}

#[test]
fn sizes_are_looked_at_before_anything_is_sent() {
    let channel = channel("poll");
    let plan = |kind, mime_type, size| {
        channel.send().expect("sends").plan(&ReplyShape {
            text: Some("so"),
            files: vec![(kind, mime_type, size)],
        })
    };
    assert!(plan(AttachmentKind::File, "application/pdf", 50_000_000).is_ok());
    for (kind, size, code) in [
        (AttachmentKind::File, 50_000_001, "too_large"),
        (AttachmentKind::File, 0, "empty_file"),
        (AttachmentKind::Location, 5, "unsupported"),
    ] {
        let refused = plan(kind, "application/pdf", size);
        assert!(
            matches!(&refused, Err(SendError::Refused { code: told, .. }) if told == code),
            "{refused:?}"
        );
    }
    // A picture that is too large to be shown goes as a file.
    assert_eq!(
        sendable(AttachmentKind::Image, "image/png", 10_000_001),
        Ok(As::Document)
    );
    assert_eq!(
        sendable(AttachmentKind::Image, "image/png", 10_000_000),
        Ok(As::Photo)
    );
}

#[test]
fn long_texts_are_cut_at_4096_units() {
    let channel = channel("poll");
    let long = "📦".repeat(3000);
    let shape = ReplyShape {
        text: Some(&long),
        files: Vec::new(),
    };
    let parts = channel.send().expect("sends").plan(&shape).expect("cut");
    assert_eq!(parts.len(), 2);
    for part in &parts {
        let PartPlan::Text(text) = part else {
            panic!("{part:?}")
        };
        assert!(text.encode_utf16().count() <= 4096);
    }
}

#[test]
fn a_group_that_moved_is_followed_once_and_without_the_quotation() {
    let moved = |to: i64| {
        refusal_with(
            400,
            "Bad Request: group chat was upgraded to a supergroup chat",
            &json!({ "migrate_to_chat_id": to }),
        )
    };
    let platform = ScriptedHttp::answering(move |call| {
        let chat = body_of(call)["chat_id"].as_i64();
        Ok(if chat == Some(-4007) {
            moved(-100_700)
        } else {
            success(&sent_message(-100_700))
        })
    });
    let sent = send(&platform, "-4007", &text("x"), Some("-4007:3")).expect("sent");
    assert_eq!(sent.external_id.as_deref(), Some("-100700:55"));
    assert_eq!(
        body_of(&platform.calls()[1]),
        json!({ "chat_id": -100_700, "text": "x" })
    );

    let fleeing = ScriptedHttp::answering(move |_| Ok(moved(-5)));
    let ended = send(&fleeing, "-4007", &text("x"), None);
    assert!(matches!(ended, Err(SendError::Refused { .. })), "{ended:?}");
    assert_eq!(fleeing.calls().len(), 2, "no third");
    // The second call may be lost like any other.
    let lost = Mutex::new(false);
    let losing = ScriptedHttp::answering(move |_| {
        let mut lost = lost.lock().expect("not poisoned");
        if std::mem::replace(&mut *lost, true) {
            Err(HttpFailure::unanswered("broke off"))
        } else {
            Ok(moved(-100_700))
        }
    });
    assert!(matches!(
        send(&losing, "-4007", &text("x"), None),
        Err(SendError::Unknown { .. })
    ));
}

#[test]
fn a_picture_that_cannot_be_shown_goes_as_a_file() {
    let platform = ScriptedHttp::answering(|call| {
        Ok(match method(call) {
            "sendPhoto" => refusal(400, "Bad Request: PHOTO_INVALID_DIMENSIONS"),
            _ => success(&sent_message(2001)),
        })
    });
    send(
        &platform,
        "2001",
        &file(AttachmentKind::Image, "image/png"),
        None,
    )
    .expect("sent");
    let methods: Vec<String> = platform
        .calls()
        .iter()
        .map(|call| method(call).to_owned())
        .collect();
    assert_eq!(methods, ["sendPhoto", "sendDocument"]);
    let never = ScriptedHttp::answering(|_| Ok(refusal(400, "Bad Request: IMAGE_PROCESS_FAILED")));
    let ended = send(
        &never,
        "2001",
        &file(AttachmentKind::Image, "image/png"),
        None,
    );
    assert!(matches!(ended, Err(SendError::Refused { .. })), "{ended:?}");
    assert_eq!(never.calls().len(), 2);
}

#[test]
fn f14_refusals_are_told_apart_in_words_for_the_agent() {
    for (status, description, code) in [
        (403, "Forbidden: bot was blocked by the user", "403/blocked"),
        (403, "Forbidden: user is deactivated", "403/deactivated"),
        (
            403,
            "Forbidden: bot can't initiate conversation with a user",
            "403/not_started",
        ),
        (
            403,
            "Forbidden: bot was kicked from the supergroup chat",
            "403/no_rights",
        ),
        (
            403,
            "Forbidden: bot is not a member of the channel chat",
            "403/no_rights",
        ),
        (403, "Forbidden: something new", "403/forbidden"),
        (400, "Bad Request: chat not found", "400/chat_not_found"),
        (400, "Bad Request: message is too long", "400/too_long"),
        (
            400,
            "Bad Request: BUSINESS_CONNECTION_INVALID",
            "400/business",
        ),
        (400, "Bad Request: TOPIC_CLOSED", "400/topic"),
        (400, "Bad Request: something new", "400/refused"),
        (413, "Request Entity Too Large", "413/too_large"),
    ] {
        let platform = ScriptedHttp::answering(move |_| Ok(refusal(status, description)));
        match send(&platform, "2001", &text("x"), None) {
            Err(SendError::Refused { code: told, say }) => {
                assert_eq!(told, code);
                assert!(!say.contains(description) && say.len() > 40, "{say}");
            }
            other => panic!("{description}: {other:?}"),
        }
    }
}

#[test]
fn f16_waits_are_those_that_telegram_asks_for() {
    let platform = ScriptedHttp::answering(|_| {
        Ok(refusal_with(
            429,
            "Too Many Requests: retry after 35",
            &json!({ "retry_after": 35 }),
        ))
    });
    let ended = send(&platform, "2001", &text("x"), None);
    assert!(
        matches!(ended, Err(SendError::Retry { after: Some(after), .. }) if after == Duration::from_secs(35)),
        "{ended:?}"
    );
    let page = ScriptedHttp::answering(|_| {
        let mut answer = http::Response::new(Bytes::from_static(b"<html>slow down</html>"));
        *answer.status_mut() = http::StatusCode::TOO_MANY_REQUESTS;
        answer
            .headers_mut()
            .insert("retry-after", "3".parse().expect("a header"));
        Ok(answer)
    });
    let ended = send(&page, "2001", &text("x"), None);
    assert!(
        matches!(ended, Err(SendError::Retry { after: Some(after), .. }) if after == Duration::from_secs(3)),
        "{ended:?}"
    );
}

#[test]
fn typing_is_shown_and_its_end_needs_no_call() {
    let platform = ScriptedHttp::answering(|_| Ok(success(&json!(true))));
    let channel = channel("poll");
    let sender = channel.send().expect("sends");
    finish(sender.typing(&platform, "bc:2001", true))
        .expect("ends")
        .expect("shown");
    finish(sender.typing(&platform, "2001", false))
        .expect("ends")
        .expect("nothing to do");
    let calls = platform.calls();
    assert_eq!(calls.len(), 1);
    assert_eq!(method(&calls[0]), "sendChatAction");
    assert_eq!(
        body_of(&calls[0]),
        json!({ "chat_id": 2001, "business_connection_id": "bc", "action": "typing" })
    );
}
