//! Forged deliveries: none gets in, and nothing of one is kept.

use std::fmt::Write as _;

use deskbell::registry::KINDS;
use deskbell_sdk::{SettingKind, Settings};
use futures_util::{StreamExt as _, stream};
use serde_json::json;

use crate::support::calls::{Dice, ECHO_TOKEN, echo, signature_of};
use crate::support::proxy::Line;
use crate::support::{APP_SECRET, Daemon, PAGE, client, config, envelope, message, now_ms};

type Headers = Vec<(&'static str, Vec<u8>)>;

async fn post(daemon: &Daemon, path: &str, headers: &Headers, body: &str) -> u16 {
    post_to(&daemon.url, path, headers, body).await
}

/// Which of these deliveries were not refused.
async fn let_in(
    url: &str,
    path: &str,
    variants: &[(&'static str, Headers)],
    body: &str,
) -> Vec<&'static str> {
    let mut let_in = Vec::new();
    for (variant, headers) in variants {
        if post_to(url, path, headers, body).await != 401 {
            let_in.push(*variant);
        }
    }
    let_in
}

async fn post_to(url: &str, path: &str, headers: &Headers, body: &str) -> u16 {
    let mut request = client()
        .post(format!("{url}/webhooks/{path}"))
        .body(body.to_owned());
    for (name, value) in headers {
        let value =
            reqwest::header::HeaderValue::from_bytes(value).expect("a value that can be sent");
        request = request.header(*name, value);
    }
    request
        .send()
        .await
        .expect("the daemon answers")
        .status()
        .as_u16()
}

/// What a stranger may try at Meta's channels.
fn forged_for_meta(body: &str) -> Vec<(&'static str, Headers)> {
    const NAME: &str = "x-hub-signature-256";
    let right = signature_of(APP_SECRET, body.as_bytes());
    let hex = right
        .strip_prefix("sha256=")
        .expect("the prefix")
        .to_owned();
    let last = if hex.ends_with('0') { '1' } else { '0' };
    let one = |value: String| vec![(NAME, value.into_bytes())];
    vec![
        ("no header", vec![]),
        ("empty", one(String::new())),
        (
            "the old header only",
            vec![(
                "x-hub-signature",
                format!("sha1={}", &hex[..40]).into_bytes(),
            )],
        ),
        (
            "the right value under the old header",
            vec![("x-hub-signature", right.clone().into_bytes())],
        ),
        (
            "another secret",
            one(signature_of("another-secret", body.as_bytes())),
        ),
        ("an empty secret", one(signature_of("", body.as_bytes()))),
        (
            "the signature of another body",
            one(signature_of(APP_SECRET, format!("{body} ").as_bytes())),
        ),
        (
            "the signature of no body",
            one(signature_of(APP_SECRET, b"")),
        ),
        ("no prefix", one(hex.clone())),
        ("the prefix only", one("sha256=".to_owned())),
        ("the prefix in capitals", one(format!("SHA256={hex}"))),
        ("another algorithm's prefix", one(format!("sha1={hex}"))),
        ("a longer algorithm's prefix", one(format!("sha512={hex}"))),
        ("the prefix twice", one(format!("sha256=sha256={hex}"))),
        (
            "digits in capitals",
            one(format!("sha256={}", hex.to_uppercase())),
        ),
        ("one digit missing", one(format!("sha256={}", &hex[..63]))),
        ("half of it", one(format!("sha256={}", &hex[..32]))),
        ("two digits more", one(format!("{right}00"))),
        (
            "the last digit changed",
            one(format!("sha256={}{last}", &hex[..63])),
        ),
        ("zeros", one(format!("sha256={}", "0".repeat(64)))),
        ("no digits", one(format!("sha256={}", "z".repeat(64)))),
        ("a space after the prefix", one(format!("sha256= {hex}"))),
        (
            "a tab before the equals sign",
            one(format!("sha256\t={hex}")),
        ),
        ("in quotes", one(format!("\"{right}\""))),
        ("a list", one(format!("{right},{right}"))),
        (
            "twice the right one",
            vec![
                (NAME, right.clone().into_bytes()),
                (NAME, right.clone().into_bytes()),
            ],
        ),
        (
            "the right one, then another",
            vec![
                (NAME, right.clone().into_bytes()),
                (NAME, b"sha256=0".to_vec()),
            ],
        ),
        (
            "another, then the right one",
            vec![(NAME, b"sha256=0".to_vec()), (NAME, right.into_bytes())],
        ),
        (
            "bytes outside ASCII",
            vec![(NAME, [b"sha256=", [0xFF_u8; 64].as_slice()].concat())],
        ),
    ]
}

/// What a stranger may try at a channel with a shared secret.
fn forged_for_echo() -> Vec<(&'static str, &'static str, Headers)> {
    const NAME: &str = "x-echo-token";
    let right = ECHO_TOKEN;
    let one = |value: String| vec![(NAME, value.into_bytes())];
    vec![
        ("no header", "", vec![]),
        ("empty", "", one(String::new())),
        ("another", "", one("another".to_owned())),
        (
            "the last character missing",
            "",
            one(right[..right.len() - 1].to_owned()),
        ),
        (
            "the first character missing",
            "",
            one(right[1..].to_owned()),
        ),
        ("one character", "", one(right[..1].to_owned())),
        ("one character more", "", one(format!("{right}x"))),
        ("one character before it", "", one(format!("x{right}"))),
        ("twice in one", "", one(format!("{right}{right}"))),
        ("in capitals", "", one(right.to_uppercase())),
        ("with a space in it", "", one(right.replacen('-', " ", 1))),
        ("with a tab in it", "", one(right.replacen('-', "\t", 1))),
        ("in quotes", "", one(format!("\"{right}\""))),
        ("a list", "", one(format!("{right}, {right}"))),
        ("with the word Bearer", "", one(format!("Bearer {right}"))),
        (
            "in Authorization",
            "",
            vec![("authorization", format!("Bearer {right}").into_bytes())],
        ),
        ("in the query", "?x-echo-token=invented-echo-token", vec![]),
        (
            "in a cookie",
            "",
            vec![("cookie", format!("{NAME}={right}").into_bytes())],
        ),
        ("a wildcard", "", one("*".to_owned())),
        (
            "twice the right one",
            "",
            vec![(NAME, right.into()), (NAME, right.into())],
        ),
        (
            "the right one, then another",
            "",
            vec![(NAME, right.into()), (NAME, b"x".to_vec())],
        ),
        (
            "another, then the right one",
            "",
            vec![(NAME, b"x".to_vec()), (NAME, right.into())],
        ),
        (
            "bytes outside ASCII",
            "",
            vec![(NAME, [right.as_bytes(), [0xFF_u8].as_slice()].concat())],
        ),
    ]
}

async fn assert_nothing_is_there(daemon: &Daemon, head_before: u64) {
    assert!(daemon.all("feed", 200).await.is_empty());
    assert!(daemon.all("conversations", 200).await.is_empty());
    assert!(daemon.all("contacts", 200).await.is_empty());
    assert!(daemon.all("quarantine", 200).await.is_empty());
    assert_eq!(daemon.head().await, head_before, "nothing is in the log");
}

#[tokio::test]
async fn w01_no_forged_delivery_gets_in() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &config(&echo("echo")));
    daemon.add_somebody().await;
    let head = daemon.head().await;
    let body = envelope(PAGE, &[message("2001", "m_forged", "let me in", now_ms())]);
    let for_meta = forged_for_meta(&body);
    assert!(for_meta.len() >= 20);
    let got_in = let_in(&daemon.url, "shop-page", &for_meta, &body).await;
    assert_eq!(got_in, Vec::<&str>::new());
    let echo_body =
        json!({ "messages": [{ "id": "1", "thread": "ann", "text": "let me in" }] }).to_string();
    let for_echo = forged_for_echo();
    assert!(for_echo.len() >= 20);
    for (variant, query, headers) in &for_echo {
        assert_eq!(
            post(&daemon, &format!("echo{query}"), headers, &echo_body).await,
            401,
            "{variant}"
        );
    }
    // What opens one channel opens no other.
    assert_eq!(
        post(
            &daemon,
            "shop-page",
            &vec![("x-echo-token", ECHO_TOKEN.into())],
            &body
        )
        .await,
        401
    );
    let signed: Headers = vec![(
        "x-hub-signature-256",
        signature_of(APP_SECRET, echo_body.as_bytes()).into_bytes(),
    )];
    assert_eq!(post(&daemon, "echo", &signed, &echo_body).await, 401);
    assert_nothing_is_there(&daemon, head).await;

    assert_eq!(daemon.deliver("shop-page", APP_SECRET, body).await, 200);
    assert_eq!(daemon.echo("echo", echo_body.into_bytes()).await, 200);
    assert_eq!(
        daemon.all("feed", 200).await.len(),
        2,
        "the genuine ones are there"
    );
}

#[tokio::test]
async fn w01_a_daemon_that_believes_everybody_is_caught() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &config(""));
    daemon.add_somebody().await;
    // A line that signs whatever comes makes of the daemon one whose check always says yes.
    let line = Line {
        to: daemon.url.clone(),
        changes: |headers, body| {
            let signature = signature_of(APP_SECRET, body);
            headers.insert(
                "x-hub-signature-256",
                signature.parse().expect("a header's value"),
            );
        },
        times: |_, _| 1,
    };
    let body = envelope(PAGE, &[message("2001", "m_forged", "let me in", now_ms())]);
    let forged = forged_for_meta(&body);
    let got_in = let_in(&line.open().await, "shop-page", &forged, &body).await;
    assert_eq!(got_in.len(), forged.len(), "only {got_in:?} were seen");
}

/// A channel of each kind that the daemon knows, with values for all that it asks for.
fn channel_of_each_kind() -> String {
    let mut text = String::new();
    for kind in KINDS {
        write!(
            text,
            "\n[[channels]]\nid = \"of-{0}\"\nconnector = \"{0}\"\nname = \"{0}\"\n",
            kind.id
        )
        .expect("a String");
        if kind.api_base.is_some() {
            text.push_str("api_base = \"http://127.0.0.1:9\"\n");
        }
        for setting in kind.settings {
            let delivered_to = matches!(setting.kind, SettingKind::Choice(choices) if choices.contains(&"webhook"));
            let value = match setting.kind {
                _ if delivered_to => "\"webhook\"".to_owned(),
                _ if !setting.required => continue,
                _ if setting.key == "bot_token" => "\"123456789:AA-an-invented-token\"".to_owned(),
                SettingKind::Text => "\"1234567890\"".to_owned(),
                SettingKind::Secret => "\"an-invented-secret\"".to_owned(),
                SettingKind::Flag => "false".to_owned(),
                SettingKind::Choice(choices) => format!("{:?}", choices[0]),
                SettingKind::List => "[]".to_owned(),
            };
            writeln!(text, "{} = {value}", setting.key).expect("a String");
        }
    }
    text
}

#[tokio::test]
async fn w01_every_channel_with_a_webhook_refuses_what_is_not_signed() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &config(&channel_of_each_kind()));
    daemon.add_somebody().await;
    let channels = daemon.all("channels", 200).await;
    for kind in KINDS {
        let id = format!("of-{}", kind.id);
        let channel = channels
            .iter()
            .find(|channel| channel["id"] == id.as_str())
            .expect("each kind has a channel");
        let takes_deliveries = !channel["webhook_url"].is_null();
        let status = post(&daemon, &id, &vec![], "{}").await;
        assert_eq!(status, if takes_deliveries { 401 } else { 404 }, "{id}");
        // A kind that asks for no secret has nothing to check by.
        let has_secret = kind
            .settings
            .iter()
            .any(|setting| setting.kind == SettingKind::Secret);
        assert!(
            has_secret || !takes_deliveries,
            "{id}: a webhook without a secret"
        );
        // Without its settings it is not opened, so that there is no endpoint that lets all in.
        if takes_deliveries {
            assert!((kind.open)(&Settings::default()).is_err(), "{id}");
        }
    }
    assert!(
        channels
            .iter()
            .filter(|channel| !channel["webhook_url"].is_null())
            .count()
            >= 3,
        "{channels:?}"
    );
    assert_eq!(post(&daemon, "nobody", &vec![], "{}").await, 404);
}

/// A header's value with something wrong about it.
fn mutated(right: &str, dice: &mut Dice) -> String {
    const ALPHABET: &[u8] = b"0123456789abcdefABCDEF=sha256 \t,;\"'-_gz";
    let mut value: Vec<u8> = right.bytes().collect();
    for _ in 0..=dice.below(3) {
        let place = dice.below(value.len().max(1));
        let other = dice.one_of(ALPHABET);
        match dice.below(9) {
            0 if place < value.len() => value[place] = other,
            1 if place < value.len() => {
                value.remove(place);
            }
            2 => value.insert(place.min(value.len()), other),
            3 => value.truncate(place),
            4 => {
                value.drain(..place.min(value.len()));
            }
            5 if place + 1 < value.len() => value.swap(place, place + 1),
            6 => value.make_ascii_uppercase(),
            7 => value.extend_from_slice(right.as_bytes()),
            _ => value.reverse(),
        }
    }
    String::from_utf8(value).expect("ASCII")
}

#[tokio::test]
async fn w02_of_a_thousand_mutations_of_the_header_none_is_accepted() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &config(""));
    daemon.add_somebody().await;
    let head = daemon.head().await;
    let body = envelope(PAGE, &[message("2001", "m_mutated", "let me in", now_ms())]);
    let right = signature_of(APP_SECRET, body.as_bytes());
    let mut dice = Dice::new(0x5EED);
    let mut wrong = Vec::with_capacity(1_000);
    while wrong.len() < 1_000 {
        let value = mutated(&right, &mut dice);
        // Space around a header's value is no part of it.
        if value.trim_matches([' ', '\t']) != right {
            wrong.push(value);
        }
    }
    let accepted: Vec<String> = stream::iter(wrong)
        .map(|value| {
            let (daemon, body) = (&daemon, &body);
            async move {
                let status = post(
                    daemon,
                    "shop-page",
                    &vec![("x-hub-signature-256", value.clone().into_bytes())],
                    body,
                )
                .await;
                (status != 401).then(|| format!("{status}: {value:?}"))
            }
        })
        .buffer_unordered(16)
        .filter_map(async |found| found)
        .collect()
        .await;
    assert!(accepted.is_empty(), "{accepted:?}");
    assert_nothing_is_there(&daemon, head).await;
    assert_eq!(daemon.deliver("shop-page", APP_SECRET, body).await, 200);
}

#[tokio::test]
async fn w05_tags_of_every_other_length_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &config(""));
    daemon.add_somebody().await;
    let body = envelope(PAGE, &[message("2001", "m_tag", "let me in", now_ms())]);
    let hex = signature_of(APP_SECRET, body.as_bytes());
    let hex = hex.strip_prefix("sha256=").expect("the prefix");
    let twice = format!("{hex}{hex}");
    for length in (0..=128).filter(|length| *length != 64) {
        let value = format!("sha256={}", &twice[..length]);
        assert_eq!(
            post(
                &daemon,
                "shop-page",
                &vec![("x-hub-signature-256", value.into_bytes())],
                &body
            )
            .await,
            401,
            "{length} digits"
        );
    }
    // Every byte of the tag counts.
    for place in 0..64 {
        let mut digits = hex.as_bytes().to_vec();
        digits[place] = if digits[place] == b'0' { b'1' } else { b'0' };
        let value = [b"sha256=".as_slice(), &digits].concat();
        assert_eq!(
            post(
                &daemon,
                "shop-page",
                &vec![("x-hub-signature-256", value)],
                &body
            )
            .await,
            401,
            "digit {place}"
        );
    }
    assert!(daemon.all("feed", 200).await.is_empty());
}
