//! The signature is over the bytes that came, and over nothing that was made of them.

use std::collections::BTreeMap;

use deskbell_sdk::text::clean_text;
use futures_util::{StreamExt as _, stream};

use crate::support::calls::{Dice, signature_of};
use crate::support::{APP_SECRET, Daemon, PAGE, config, now_ms};

/// Parts of a text as they may stand in JSON.
const PARTS: &[&str] = &[
    "plain",
    "Dobrý deň",
    r"Dobr\u00fd de\u0148",
    r"Dobr\u00FD de\u0148",
    "📦",
    r"\ud83d\udce6",
    r"\uD83D\uDCE6",
    r"\/",
    "/",
    r"a\\b",
    r#"\"quoted\""#,
    r"\r\n",
    r"\t",
    "  two  spaces  ",
    "日本語",
    "مرحبا",
    "é",
    "e\u{301}",
    "<b>&amp;</b>",
    r"\u003cscript\u003e",
    "👩‍👩‍👧‍👦",
    "ﷺ",
    "#1;#2",
    "100 %",
    "=1+1",
];
/// What may stand between the parts of JSON.
const SPACES: &[&str] = &["", " ", "\n", "\r\n", "\t", "  ", "\r\n\r\n  "];

/// A delivery written in one of the many ways that mean the same, with the text that it carries.
fn written(number: usize, dice: &mut Dice) -> (String, String) {
    let mut text = format!("{number} ");
    for _ in 0..=dice.below(6) {
        text.push_str(dice.one_of(PARTS));
    }
    let mut space = || dice.one_of(SPACES);
    let at = now_ms();
    let body = format!(
        "{}{{{}\"object\":{}\"page\",\"entry\":[{}{{\"id\":\"{PAGE}\",{}\"time\":{at},\"messaging\":[{{\"sender\":{{\"id\":\"31{}\"}}\
         ,{}\"recipient\":{{\"id\":\"{PAGE}\"}},\"timestamp\":{at},\"message\":{{{}\"mid\":\"m_bytes_{number}\",\"text\":\"{text}\"{}}}}}]}}]{}}}{}",
        space(),
        space(),
        space(),
        space(),
        space(),
        number % 7,
        space(),
        space(),
        space(),
        space(),
        space(),
    );
    let read: String = serde_json::from_str(&format!("\"{text}\"")).expect("JSON");
    (body, read)
}

#[tokio::test]
async fn w03_the_bytes_as_they_came_are_what_is_signed() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &config(""));
    let mut dice = Dice::new(0xB0D1);
    let all: Vec<(usize, String, String)> = (0..500)
        .map(|number| {
            let (body, text) = written(number, &mut dice);
            (number, body, text)
        })
        .collect();
    // One byte of each changed: another case, another digit, a space more.
    let changed: Vec<(Vec<u8>, String)> = all
        .iter()
        .map(|(_, body, _)| {
            let mut bytes = body.clone().into_bytes();
            let place = dice.below(bytes.len());
            match dice.below(3) {
                0 => bytes[place] ^= 1 << dice.below(8),
                1 => bytes.insert(place, b' '),
                _ => {
                    bytes.remove(place);
                }
            }
            (bytes, signature_of(APP_SECRET, body.as_bytes()))
        })
        .collect();
    let daemon_ref = &daemon;
    let let_in: Vec<usize> = stream::iter(changed.into_iter().enumerate())
        .map(|(number, (bytes, signature))| async move {
            let status = daemon_ref
                .post_webhook("shop-page", &[("x-hub-signature-256", &signature)], bytes)
                .await;
            (status != 401).then_some(number)
        })
        .buffer_unordered(16)
        .filter_map(async |found| found)
        .collect()
        .await;
    assert!(
        let_in.is_empty(),
        "changed bodies were accepted: {let_in:?}"
    );
    assert!(daemon.all("feed", 200).await.is_empty());

    let refused: Vec<usize> = stream::iter(&all)
        .map(|(number, body, _)| async move {
            let status = daemon_ref
                .deliver("shop-page", APP_SECRET, body.clone())
                .await;
            (status != 200).then_some(*number)
        })
        .buffer_unordered(16)
        .filter_map(async |found| found)
        .collect()
        .await;
    assert!(refused.is_empty(), "valid bodies were refused: {refused:?}");
    let feed = daemon.all("feed", 200).await;
    let shown: BTreeMap<&str, &str> = feed
        .iter()
        .map(|item| {
            (
                item["external_id"].as_str().expect("an id"),
                item["text"].as_str().expect("a text"),
            )
        })
        .collect();
    assert_eq!(shown.len(), 500);
    for (number, _, text) in &all {
        assert_eq!(
            shown[format!("m_bytes_{number}").as_str()],
            clean_text(text),
            "message {number}"
        );
    }
}

#[tokio::test]
async fn w03_a_body_whose_escapes_a_proxy_undid_is_still_the_signed_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &config(""));
    let at = now_ms();
    let body = |text: &str| {
        format!(
            r#"{{"object":"page","entry":[{{"id":"{PAGE}","time":{at},"messaging":[{{"sender":{{"id":"31"}},"recipient":{{"id":"{PAGE}"}},"timestamp":{at},"message":{{"mid":"m_escapes","text":"{text}"}}}}]}}]}}"#
        )
    };
    // Meta signs the form with escapes in lower case.
    let signature = signature_of(
        APP_SECRET,
        body(r"Dobr\u00fd de\u0148 \ud83d\udce6").as_bytes(),
    );
    let undone = body("Dobrý deň 📦");
    let other = body("Dobrý deň 📧");
    assert_eq!(
        daemon
            .post_webhook(
                "shop-page",
                &[("x-hub-signature-256", &signature)],
                other.into_bytes()
            )
            .await,
        401
    );
    assert_eq!(
        daemon
            .post_webhook(
                "shop-page",
                &[("x-hub-signature-256", &signature)],
                undone.into_bytes()
            )
            .await,
        200
    );
    assert_eq!(daemon.get("feed").await["data"][0]["text"], "Dobrý deň 📦");
}
