//! Conversations are read in the words in which deliveries are decoded, and hostile answers do no harm.

use bytes::Bytes;
use deskbell_sdk::Event;
use deskbell_sdk::testkit::http::{ScriptedHttp, finish, json_answer};
use serde_json::{Value, json};

use super::*;
use crate::tests::channel;

const PAGE: &str = "1029384756";

fn threads(http: &ScriptedHttp, at: Option<&str>) -> Result<ThreadPage, CallError> {
    let channel = channel();
    finish(channel.backfill().expect("reads").threads(http, at)).expect("ends")
}

fn messages(http: &ScriptedHttp, at: &str) -> Result<MessagePage, CallError> {
    let channel = channel();
    finish(channel.backfill().expect("reads").messages(http, at)).expect("ends")
}

/// A conversation of Jana's with these messages.
fn conversation(messages: Value, paging: Value) -> Value {
    json!({ "data": [{
        "id": "t_501", "updated_time": "2026-11-21T12:00:05+0000",
        "participants": { "data": [
            { "name": "Shop", "email": "1029384756@facebook.com", "id": PAGE },
            { "name": "Jana Nov\u{e1}kov\u{e1}", "email": "2001@facebook.com", "id": "2001" } ] },
        "messages": { "data": messages, "paging": paging } }] })
}

fn from_jana(mid: &str, more: Value) -> Value {
    let mut message = json!({ "id": mid, "created_time": "2026-11-21T12:00:05+0000", "message": "",
        "from": { "name": "Jana", "email": "2001@facebook.com", "id": "2001" },
        "to": { "data": [{ "name": "Shop", "id": PAGE }] } });
    for (key, value) in more.as_object().expect("members") {
        message[key] = value.clone();
    }
    message
}

/// The one message of a conversation with it.
fn read(message: &Value) -> NewMessage {
    let http = ScriptedHttp::always(200, &conversation(json!([message]), json!({})).to_string());
    let page = threads(&http, None).expect("read");
    page.threads[0].newest.messages[0].clone()
}

/// The message that a delivery decodes to.
fn delivered(message: Value, by_page: bool) -> NewMessage {
    let (sender, recipient) = if by_page {
        (PAGE, "2001")
    } else {
        ("2001", PAGE)
    };
    let body = json!({ "object": "page", "entry": [{ "id": PAGE, "time": 1_795_262_405_900_i64, "messaging": [
        { "sender": { "id": sender }, "recipient": { "id": recipient }, "timestamp": 1_795_262_405_000_i64, "message": message }] }] });
    let body = Bytes::from(body.to_string());
    let events = crate::decode::delivery(&body, "4242424242").expect("decodes");
    match &events[0].event {
        Event::Message(message) => (**message).clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn f20_a_conversation_tells_a_message_in_the_words_of_its_delivery() {
    let url = "https://scontent.xx.fbcdn.net/v/a.jpg?oe=1";
    let picture = json!({ "data": [{ "id": "91", "mime_type": "image/jpeg", "name": "a.jpg", "size": 4711,
        "image_data": { "width": 1, "height": 2, "url": url } }] });
    for (shown, told, by_page) in [
        (
            from_jana("m_1", json!({ "message": "Dobr\u{fd} de\u{148}" })),
            json!({ "mid": "m_1", "text": "Dobr\u{fd} de\u{148}" }),
            false,
        ),
        (
            from_jana("m_2", json!({ "message": "", "attachments": picture })),
            json!({ "mid": "m_2", "attachments": [{ "type": "image", "payload": { "url": url } }] }),
            false,
        ),
        (
            from_jana("m_3", json!({ "is_unsupported": true })),
            json!({ "mid": "m_3", "is_unsupported": true }),
            false,
        ),
        (
            from_jana(
                "m_4",
                json!({ "message": "this one", "reply_to": { "mid": "m_1" } }),
            ),
            json!({ "mid": "m_4", "text": "this one", "reply_to": { "mid": "m_1" } }),
            false,
        ),
        (
            from_jana(
                "m_5",
                json!({ "message": "Yes.", "from": { "id": PAGE }, "to": { "data": [{ "id": "2001" }] } }),
            ),
            json!({ "mid": "m_5", "text": "Yes.", "is_echo": true }),
            true,
        ),
    ] {
        let (shown, told) = (read(&shown), delivered(told, by_page));
        assert_eq!(shown.external_id, told.external_id);
        assert_eq!(
            (
                &shown.thread,
                &shown.customer.id,
                shown.direction,
                &shown.text,
                &shown.reply_to,
                shown.sent_at
            ),
            (
                &told.thread,
                &told.customer.id,
                told.direction,
                &told.text,
                &told.reply_to,
                told.sent_at
            ),
        );
        let kinds = |message: &NewMessage| -> Vec<(AttachmentKind, Source)> {
            let each = message.attachments.iter();
            each.map(|one| (one.kind, one.source.clone())).collect()
        };
        assert_eq!(kinds(&shown), kinds(&told));
        if by_page {
            assert_eq!(shown.author, told.author);
        }
    }
    // Pages of messages without their thread tell the name, too.
    let list = json!({ "data": [from_jana("m_7", json!({}))] }).to_string();
    let page = messages(&ScriptedHttp::always(200, &list), "t_501\n2001\nolder").expect("read");
    assert_eq!(page.messages[0].customer.name.as_deref(), Some("Jana"));
    let jana = read(&from_jana("m_6", json!({ "message": "x" }))).customer;
    assert_eq!(jana.name.as_deref(), Some("Jana Nov\u{e1}kov\u{e1}"));
}

#[test]
fn everything_that_a_message_can_hold_is_kept() {
    let holds = |more: Value| {
        let message = read(&from_jana("m_1", more));
        let shown = message.attachments.iter();
        let shown: Vec<_> = shown
            .map(|one| (one.kind, one.name.clone().unwrap_or_default()))
            .collect();
        (message.text, shown)
    };
    let sticker = "https://scontent.xx.fbcdn.net/sticker.png";
    let named = |name: &str| name.to_owned();
    for (more, text, attachments) in [
        (
            json!({ "sticker": sticker, "shares": { "data": [{ "link": sticker }] } }),
            None,
            vec![(AttachmentKind::Sticker, named(""))],
        ),
        (
            json!({ "sticker": sticker, "attachments": { "data": [{ "image_data": { "url": sticker } }] } }),
            None,
            vec![(AttachmentKind::Sticker, named(""))],
        ),
        (
            json!({ "attachments": { "data": [{ "mime_type": "audio/mpeg", "name": "voice", "file_url": "https://cdn.fbsbx.com/v" }] } }),
            None,
            vec![(AttachmentKind::Audio, named("voice"))],
        ),
        (
            json!({ "attachments": { "data": [{ "mime_type": "video/mp4", "video_data": { "url": "https://video.fbcdn.net/v" } }] } }),
            None,
            vec![(AttachmentKind::Video, named(""))],
        ),
        (
            json!({ "message": "see", "shares": { "data": [{ "link": "https://shop.example/7", "name": "Seven" }, 7] } }),
            Some("see"),
            vec![
                (AttachmentKind::Link, named("Seven")),
                (AttachmentKind::Unsupported, named("[unreadable link]")),
            ],
        ),
        (
            json!({ "attachments": { "data": [{ "mime_type": "image/png" }] } }),
            None,
            vec![(AttachmentKind::Image, named(""))],
        ),
        (
            json!({ "attachments": { "data": [{ "generic_template": { "title": "Boots", "subtitle": "Size 40" } }] } }),
            Some("Boots \u{2014} Size 40"),
            vec![(AttachmentKind::Template, named("Boots"))],
        ),
        (
            json!({ "attachments": "soon", "shares": null }),
            None,
            vec![(
                AttachmentKind::Unsupported,
                named("[unreadable attachment]"),
            )],
        ),
        (
            json!({}),
            None,
            vec![(AttachmentKind::Unsupported, named("[empty message]"))],
        ),
    ] {
        assert_eq!(
            holds(more.clone()),
            (text.map(str::to_owned), attachments),
            "{more}"
        );
    }
}

#[test]
fn one_that_cannot_be_read_leaves_the_others_and_is_told() {
    let broken = json!([
        from_jana("m_1", json!({ "message": "first" })),
        { "created_time": "2026-11-21T12:00:05+0000" },
        from_jana("m_2", json!({ "message": { "not": "a text" } })),
        from_jana("m_3", json!({ "message": "last" })),
        7
    ]);
    let mut answer = conversation(broken, json!({}));
    answer["data"]
        .as_array_mut()
        .expect("a list")
        .push(json!("a thread?"));
    let http = ScriptedHttp::always(200, &answer.to_string());
    let page = threads(&http, None).expect("read");
    let newest = &page.threads[0].newest;
    let ids: Vec<_> = newest
        .messages
        .iter()
        .map(|message| message.external_id.as_str())
        .collect();
    assert_eq!(ids, ["m_1", "m_3"]);
    assert_eq!(newest.unreadable.len(), 3);
    assert_eq!(page.unreadable[0].raw, "\"a thread?\"");
    // Where the sender is not told, it is better heard than not.
    let unknown = read(&from_jana(
        "m_9",
        json!({ "message": "who?", "from": null, "to": null }),
    ));
    assert_eq!(
        (unknown.direction, unknown.thread.as_str()),
        (Direction::Inbound, "2001")
    );
}

#[test]
fn p16_the_next_page_is_asked_for_by_its_cursor_and_the_token_stays_in_the_header() {
    let next = "https://graph.facebook.com/v25.0/1029384756/conversations?access_token=EAAinventedPageToken&after=QVFI%3D";
    let mut answer = conversation(
        json!([from_jana("m_1", json!({ "message": "x" }))]),
        json!({ "cursors": { "before": "b", "after": "older one=" }, "next": next }),
    );
    answer["paging"] = json!({ "cursors": { "after": "QVFI=" }, "next": next });
    // A cursor with a space is none.
    assert!(matches!(
        threads(&ScriptedHttp::always(200, &answer.to_string()), None),
        Err(CallError::Retry { .. })
    ));
    answer["data"][0]["messages"]["paging"]["cursors"]["after"] = json!("older=");
    let http = ScriptedHttp::always(200, &answer.to_string());
    let page = threads(&http, None).expect("read");
    assert_eq!(page.next.as_deref(), Some("QVFI="));
    threads(&http, page.next.as_deref()).expect("read");
    let older = page.threads[0].newest.older.clone().expect("older ones");
    let list = json!({ "data": [from_jana("m_0", json!({ "message": "y" }))] });
    let http_of_messages = ScriptedHttp::always(200, &list.to_string());
    let page = messages(&http_of_messages, &older).expect("read");
    assert_eq!(
        (page.messages[0].thread.as_str(), page.older),
        ("2001", None)
    );
    let calls = [http.calls(), http_of_messages.calls()].concat();
    assert!(
        calls[1].uri().to_string().contains("after=QVFI%3D"),
        "{}",
        calls[1].uri()
    );
    assert!(
        calls[2].uri().path().ends_with("/t_501/messages")
            && calls[2].uri().to_string().contains("after=older%3D")
    );
    for call in calls {
        assert!(
            !call.uri().to_string().contains("EAAinvented"),
            "{}",
            call.uri()
        );
        assert_eq!(
            call.headers()["authorization"],
            "Bearer EAAinventedPageToken"
        );
    }
    let shown = format!("{older}{page:?}", page = page.messages);
    assert!(!shown.contains("EAAinvented"));
}

#[test]
fn p15_a_next_page_without_its_place_is_no_end() {
    let mut answer = conversation(json!([]), json!({}));
    for (paging, next) in [
        (json!({ "cursors": { "after": "a" } }), Ok(None)),
        (
            json!({ "next": "https://x/?limit=25&after=abc" }),
            Ok(Some("abc")),
        ),
        (json!({ "next": "https://x/" }), Err(())),
        (
            json!({ "cursors": { "after": "" }, "next": "https://x/" }),
            Err(()),
        ),
        (
            json!({ "cursors": { "after": "x".repeat(5000) }, "next": "https://x/" }),
            Err(()),
        ),
    ] {
        answer["paging"] = paging.clone();
        let page = threads(&ScriptedHttp::always(200, &answer.to_string()), None);
        match next {
            Ok(next) => assert_eq!(page.expect("read").next.as_deref(), next, "{paging}"),
            Err(()) => assert!(matches!(page, Err(CallError::Retry { .. })), "{paging}"),
        }
    }
}

#[test]
fn what_meta_answers_instead_is_told_apart() {
    let error = |status, code: i64, subcode: i64| {
        let body = json!({ "error": { "message": "IN FREMDER SPRACHE EAAinventedPageToken", "type": "OAuthException",
            "code": code, "error_subcode": subcode } });
        let http = ScriptedHttp::always(status, &body.to_string());
        let error = threads(&http, None).expect_err("an error");
        let told = format!("{error:?}");
        assert!(
            !told.contains("FREMDER") && !told.contains("EAAinvented"),
            "{told}"
        );
        error
    };
    assert!(matches!(
        error(400, 190, 463),
        CallError::Credentials { .. }
    ));
    assert!(matches!(error(400, 613, 0), CallError::Retry { .. }));
    assert!(matches!(error(500, 2, 0), CallError::Retry { .. }));
    // A right that is missing for reading says nothing about the token: sending goes on.
    assert!(
        matches!(error(403, 10, 0), CallError::Refused { ref say, .. } if say.contains("pages_read_engagement"))
    );
    assert!(matches!(error(400, 100, 33), CallError::Refused { ref code, .. } if code == "100/33"));
    for (status, body) in [
        (502, "<html>"),
        (200, "<html>"),
        (200, "[]"),
        (200, r#"{"data":7}"#),
        (429, ""),
    ] {
        let http = ScriptedHttp::always(status, body);
        assert!(
            matches!(threads(&http, None), Err(CallError::Retry { .. })),
            "{status} {body}"
        );
    }
    let waiting = ScriptedHttp::answering(|_| {
        let mut answer = json_answer(429, "");
        let wait = http::HeaderValue::from_static("7");
        answer.headers_mut().insert("retry-after", wait);
        Ok(answer)
    });
    let after = Some(std::time::Duration::from_secs(7));
    assert!(
        matches!(threads(&waiting, None), Err(CallError::Retry { after: told, .. }) if told == after)
    );
    assert!(matches!(
        threads(&ScriptedHttp::unreachable(), None),
        Err(CallError::Retry { .. })
    ));
}

#[test]
fn p15_damaged_answers_never_panic() {
    let good = conversation(
        json!([from_jana(
            "m_1",
            json!({ "message": "x", "attachments": { "data": [{ "id": 1, "size": "7" }] } })
        )]),
        json!({ "cursors": { "after": "a" }, "next": "https://x/" }),
    )
    .to_string();
    let mut seed = 7_u64;
    for _ in 0..5_000 {
        let mut bytes = good.clone().into_bytes();
        for _ in 0..3 {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            let at = usize::try_from(seed % bytes.len() as u64).expect("small");
            bytes[at] = u8::try_from(seed >> 56).expect("a byte");
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        // Whatever comes of it: an answer or an error, and both in bounds.
        if let Ok(page) = read_threads(&text, PAGE) {
            assert!(page.threads.len() <= 1);
        }
    }
    let deep = format!(
        "{{\"data\":[{}{}]}}",
        "[".repeat(200_000),
        "]".repeat(200_000)
    );
    // Passed over without being built.
    let page = read_threads(&deep, PAGE).expect("an envelope");
    assert_eq!((page.threads.len(), page.unreadable.len()), (0, 1));
}
