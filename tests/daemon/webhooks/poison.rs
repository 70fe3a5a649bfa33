//! Texts that break stores, parsers and screens: all are kept and shown, and none takes another with it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use deskbell_sdk::text::clean_text;
use serde_json::{Value, json};

use crate::support::calls::echo;
use crate::support::sse::Events;
use crate::support::{ADMIN, APP_SECRET, Daemon, PAGE, client, config, envelope, message, now_ms};

/// Texts as they stand between the quotes of JSON.
fn poison() -> Vec<String> {
    let mut all: Vec<String> = [
        r"NUL \u0000 inside",
        r"\u0000first",
        r"last\u0000",
        r"lone high \ud83d end",
        r"lone low \udce6 end",
        r"\ud83d\ud83d\udce6 three",
        r"reversed \udce6\ud83d",
        r"\ufeffbegins with a BOM",
        r"ends with a BOM\ufeff",
        r"noncharacters \ufffe \uffff",
        r"replacement \ufffd",
        r"\u202egpj.exe",
        r"\u2066isolate without end",
        r"\u202a\u202b\u202c\u202d\u202e\u2067\u2068\u2069 all directions",
        r"if (isAdmin\u2066) //\u2069",
        r"zero\u200bwidth\u200c\u200d\u2060",
        r"soft\u00adhyphen",
        r"line\u2028separator\u2029",
        r"next\u0085line",
        r"vertical\u000btab\u000cfeed",
        r"\u001b[31mred\u001b[0m \u001b]0;title\u0007",
        r"bell \u0007\u0007",
        r"delete \u007f",
        r"c1 \u009b31m",
        r"CRLF\r\nX-Injected: yes\r\n\r\n<html>",
        r"data: x\n\nevent: message.created\ndata: {}\n\n",
        r"id: 999999\nretry: 1\n\n",
        r"' OR 1=1; DROP TABLE messages; --",
        r#"\"; shutdown; \""#,
        r"$(touch /tmp/x) `id` | nc",
        r"../../../../etc/passwd",
        r"..\\..\\windows\\win.ini",
        r"%00%0a%0d%25n%s%x%n",
        r"{{7*7}} ${7*7} #{7*7} <%= 7*7 %>",
        r"<script>alert(1)</script>",
        r"</textarea><img src=x onerror=alert(1)>",
        r"<svg/onload=alert(1)>",
        r"javascript:alert(1)//",
        r"]]><!--<![CDATA[",
        r"<?xml version='1.0'?><!DOCTYPE x [<!ENTITY a SYSTEM 'file:///etc/passwd'>]>&a;",
        r"=cmd|'/C calc'!A0",
        r"+1+1",
        r"@SUM(1+1)",
        r"-2+3",
        r"undefined",
        r"null",
        r"NaN",
        r"true",
        r"1e999",
        r"-0",
        r"0x10",
        r"1/0",
        r"__proto__",
        r"constructor",
        r"hasOwnProperty",
        r"\\u0000 as text",
        r"田中さんにあげて下さい",
        r"𠜎𠜱𠝹𠱓",
        r"ЁЂЃЄЅІЇЈЉЊ",
        r"הָיְתָה test",
        r"مُنَاقَشَةُ test",
        r"﷽﷽﷽﷽",
        r"Ṱ̺̺̕o͞ ̷i̲̬͇̪͙n̝̗͕v̟̜̘̦͟o̶̙̰̠kè͚̮̺̪̹̱̤",
        r"👩‍👩‍👧‍👦🇸🇰🏳️‍🌈",
        r"ﬁ ﬀ ß İ ı ſ K Å",
        r"①②③ ⁰¹²",
        r"ℵ ∞ ∉ ½",
        r"ă̲ ạ̈",
        r"ꀀꀁ",
        r"ᚠᛇᚻ",
        r"🏴󠁧󠁢󠁥󠁮󠁧󠁿",
        r"😀😃😄😁",
        r"a b　c",
        r"\t\ttabs\t",
    ]
    .iter()
    .map(|text| (*text).to_owned())
    .collect();
    all.push(format!("e{}", "\\u0301".repeat(20_000)));
    all.push("x".repeat(99_000));
    all.push("word ".repeat(30_000));
    all
}

/// What is shown of a text that stood between the quotes of JSON.
fn shown(escaped: &str) -> String {
    let mended = deskbell_sdk::json::mended(format!("\"{escaped}\"").as_bytes()).into_owned();
    clean_text(&serde_json::from_str::<String>(&mended).expect("JSON once it is mended"))
}

/// The texts of a channel's messages, by their id.
async fn texts(daemon: &Daemon, channel: &str) -> BTreeMap<String, Value> {
    let feed = daemon.all(&format!("feed?channel={channel}"), 50).await;
    feed.into_iter()
        .map(|item| {
            (
                item["external_id"].as_str().expect("an id").to_owned(),
                item["text"].clone(),
            )
        })
        .collect()
}

#[tokio::test]
async fn w13_whatever_a_customer_writes_is_kept_shown_and_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &config(&echo("echo")));
    let mut stream = Events::open(&daemon, ADMIN, None).await;
    let texts_sent = poison();
    let at = now_ms();
    for (number, text) in texts_sent.iter().enumerate() {
        let event = format!(
            r#"{{"sender":{{"id":"2001"}},"recipient":{{"id":"{PAGE}"}},"timestamp":{at},"message":{{"mid":"m_poison_{number}","text":"{text}"}}}}"#
        );
        let body = format!(
            r#"{{"object":"page","entry":[{{"id":"{PAGE}","time":{at},"messaging":[{event}]}}]}}"#
        );
        assert_eq!(
            daemon.deliver("shop-page", APP_SECRET, body).await,
            200,
            "{number}"
        );
        let part = format!(
            r#"{{"messages":[{{"id":"e_poison_{number}","thread":"ann","name":"{text}","text":"{text}"}}]}}"#
        );
        assert_eq!(
            daemon.echo("echo", part.into_bytes()).await,
            200,
            "{number}"
        );
    }
    // Bytes that are no UTF-8 at all.
    let mut bytes = envelope(PAGE, &[message("2001", "m_bytes", "HERE", at)]).into_bytes();
    let place = bytes
        .windows(4)
        .position(|window| window == b"HERE")
        .expect("it is in");
    bytes.splice(
        place..place + 4,
        [0xFF, b'o', 0xC3, 0x28, b'k', 0xED, 0xA0, 0x80],
    );
    assert_eq!(
        daemon.deliver_bytes("shop-page", APP_SECRET, bytes).await,
        200
    );
    // A text of one character that has a megabyte: it is cut, and kept.
    let grapheme = format!("e{}", "\u{301}".repeat(500_000));
    assert_eq!(
        daemon
            .deliver(
                "shop-page",
                APP_SECRET,
                envelope(PAGE, &[message("2001", "m_grapheme", &grapheme, at)])
            )
            .await,
        200
    );

    let (meta, echoed) = (
        texts(&daemon, "shop-page").await,
        texts(&daemon, "echo").await,
    );
    for (number, text) in texts_sent.iter().enumerate() {
        assert_eq!(meta[&format!("m_poison_{number}")], shown(text), "{text}");
        assert_eq!(echoed[&format!("e_poison_{number}")], shown(text), "{text}");
    }
    let mended = meta["m_bytes"].as_str().expect("a text");
    assert!(mended.contains('o') && mended.contains("(k"), "{mended:?}");
    assert_eq!(meta["m_grapheme"], clean_text(&grapheme));
    for text in meta.values().chain(echoed.values()) {
        let text = text.as_str().expect("a text");
        assert!(
            !text
                .chars()
                .any(|character| character.is_control() && !matches!(character, '\n' | '\t')),
            "{text:?}"
        );
    }

    let mut told = stream.up_to_head(&daemon, Duration::from_secs(60)).await;
    // The health of a channel is told whenever it changes, and is not in the log.
    told.retain(|told| told.id.is_some());
    let created = told.iter().filter(|told| told.kind == "message.created");
    let ids: BTreeSet<String> = created
        .map(|told| {
            told.data["data"]["message"]["external_id"]
                .as_str()
                .expect("an id")
                .to_owned()
        })
        .collect();
    assert_eq!(
        ids,
        meta.keys().chain(echoed.keys()).cloned().collect(),
        "each is told on the stream"
    );
    assert!(
        told.windows(2).all(|pair| pair[0].id < pair[1].id),
        "no text made an event of its own"
    );
    assert!(told.iter().all(|told| told.id == told.data["seq"].as_u64()));
}

#[tokio::test]
async fn w13_what_a_visitor_of_the_website_writes_is_kept_and_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &config(""));
    let chat = format!("{}/chat/site", daemon.url);
    let opened = client()
        .post(format!("{chat}/session"))
        .json(&json!({}))
        .send()
        .await
        .expect("answers");
    assert_eq!(opened.status(), 201);
    let session: Value = opened.json().await.expect("JSON");
    let token = session["token"].as_str().expect("a token");
    // Whole characters, no more than a visitor may write at once, and as many as one may write in a minute.
    let texts_sent: Vec<String> = poison()
        .iter()
        .filter_map(|text| serde_json::from_str::<String>(&format!("\"{text}\"")).ok())
        .filter(|text| text.chars().count() <= 5_000 && !text.trim().is_empty())
        .take(55)
        .collect();
    for (number, text) in texts_sent.iter().enumerate() {
        let body = json!({ "text": text, "client_id": format!("p{number}") });
        let answer = client()
            .post(format!("{chat}/messages"))
            .bearer_auth(token)
            .json(&body)
            .send()
            .await
            .expect("answers");
        assert_eq!(answer.status(), 201, "{text:?}");
    }
    let feed = daemon.all("feed?channel=site", 200).await;
    let seen: Vec<&str> = feed
        .iter()
        .rev()
        .map(|item| item["text"].as_str().expect("a text"))
        .collect();
    assert_eq!(
        seen,
        texts_sent
            .iter()
            .map(|text| clean_text(text))
            .collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn w16_of_a_thousand_entries_the_bad_one_is_set_aside_and_the_rest_stand() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &config(""));
    let at = now_ms();
    let entries: Vec<Value> = (0..1_000)
        .map(|number| {
            let mut event = message(
                &format!("{}", 3_000 + number % 40),
                &format!("m_batch_{number}"),
                &format!("text {number}"),
                at + number,
            );
            if number == 617 {
                event["message"]["text"] = json!({ "poison": [1, 2] });
            }
            json!({ "id": PAGE, "time": at, "messaging": [event] })
        })
        .collect();
    let body = json!({ "object": "page", "entry": entries }).to_string();
    assert_eq!(
        daemon.deliver("shop-page", APP_SECRET, body.clone()).await,
        200
    );
    let feed = daemon.all("feed", 200).await;
    let ids: BTreeSet<&str> = feed
        .iter()
        .map(|item| item["external_id"].as_str().expect("an id"))
        .collect();
    assert_eq!((feed.len(), ids.len()), (999, 999));
    assert!(!ids.contains("m_batch_617"));
    let kept = daemon.all("quarantine", 200).await;
    assert_eq!(kept.len(), 1);
    assert!(
        kept[0]["raw"]
            .as_str()
            .expect("a text")
            .contains("m_batch_617"),
        "{kept:?}"
    );
    assert_eq!(kept[0]["channel_id"], "shop-page");
    // The platform sends it again, as it may: nothing doubles in the feed.
    assert_eq!(daemon.deliver("shop-page", APP_SECRET, body).await, 200);
    assert_eq!(daemon.all("feed", 200).await.len(), 999);
}
