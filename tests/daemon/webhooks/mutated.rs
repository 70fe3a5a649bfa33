//! Damaged deliveries that prove themselves, through the whole daemon: none ends in a 5xx, a panic or a lost genuine one.
//! Each connector's own test decodes ten thousand of them; here a share of that goes through HTTP and the store.

use std::path::Path;

use deskbell::secrets::webhook_secret;
use deskbell_sdk::Secret;
use futures_util::{StreamExt as _, stream};
use serde_json::json;

use crate::support::calls::{Dice, ECHO_TOKEN, echo, signature_of};
use crate::support::{APP_SECRET, Daemon, PAGE, config, envelope, message, now_ms, switch};

/// What programs trip over.
const ODD: [&str; 16] = [
    "null",
    "[]",
    "{}",
    "-1",
    "1e400",
    "9007199254740993",
    "18446744073709551616",
    "\"\"",
    "\"\\u0000\"",
    "\"\\ud83d\"",
    "\"\\u202egpj\"",
    "true",
    "[[[[[[[[",
    "\"",
    "\u{feff}",
    ",",
];

fn fixtures(connector: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("connectors")
        .join(connector)
        .join("fixtures");
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .expect("fixtures")
        .map(|entry| entry.expect("a file").path())
        .filter(|path| !path.to_string_lossy().ends_with(".expected.json"))
        .collect();
    paths.sort();
    // Without https no file is asked for: the test is not to reach anybody.
    let read = |path| std::fs::read_to_string(path).expect("read");
    paths
        .into_iter()
        .map(|path| read(path).replace("https:", "http:").into_bytes())
        .collect()
}

/// One damage to a body, or several.
fn mutated(body: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut body = body.to_vec();
    for _ in 0..=dice.below(3) {
        let at = dice.below(body.len().max(1)).min(body.len());
        let end = (at + 1 + dice.below(24)).min(body.len());
        match dice.below(6) {
            0 if at < body.len() => body[at] ^= 1 << dice.below(8),
            1 => drop(body.drain(at..end)),
            2 => {
                let again = body[at..end].to_vec();
                drop(body.splice(at..at, again));
            }
            3 => body.truncate(at),
            4 => {
                let odd = dice.one_of(&ODD).bytes();
                drop(body.splice(at..end, odd));
            }
            // The value of a field, where one begins behind this place.
            _ => {
                let colon = body[at..].iter().position(|byte| *byte == b':');
                let stop = |byte: &u8| matches!(byte, b',' | b'}' | b']');
                if let Some(from) = colon.map(|colon| at + colon + 1)
                    && let Some(length) = body[from..].iter().position(stop)
                {
                    let odd = dice.one_of(&ODD).bytes();
                    drop(body.splice(from..from + length, odd));
                }
            }
        }
    }
    body
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w10_w13_damaged_deliveries_end_in_no_5xx_and_no_panic() {
    let of_each = switch("DESKBELL_MUTATIONS", 500);
    let seed = switch("DESKBELL_SEED", 0xBAD) as u64;
    let folder = tempfile::tempdir().expect("a folder");
    let bot = "\n[[channels]]\nid = \"bot\"\nconnector = \"telegram\"\nname = \"Bot\"\nmode = \"webhook\"\n\
               api_base = \"http://127.0.0.1:9\"\nbot_token = \"123456789:AA-an-invented-token\"\n";
    let daemon = Daemon::start(folder.path(), &config(&format!("{}{bot}", echo("echo"))));
    let key = std::fs::read_to_string(folder.path().join("data/deskbell.key")).expect("a key");
    let secret = webhook_secret(&Secret::new(key.trim()), "bot");
    let mut dice = Dice::new(seed);
    let mut answered = [0_usize; 2];
    for (connector, channel) in [
        ("messenger", "shop-page"),
        ("telegram", "bot"),
        ("echo", "echo"),
    ] {
        let fixtures = fixtures(connector);
        let bodies: Vec<Vec<u8>> = (0..of_each)
            .map(|_| {
                let fixture = &fixtures[dice.below(fixtures.len())];
                mutated(fixture, &mut dice)
            })
            .collect();
        let answers = stream::iter(bodies).map(async |body| {
            let signature = signature_of(APP_SECRET, &body);
            let proof = match connector {
                "messenger" => ("x-hub-signature-256", signature.as_str()),
                "telegram" => ("x-telegram-bot-api-secret-token", secret.expose()),
                _ => ("x-echo-token", ECHO_TOKEN),
            };
            let status = daemon.post_webhook(channel, &[proof], body.clone()).await;
            (status, body)
        });
        for (status, body) in answers.buffer_unordered(8).collect::<Vec<_>>().await {
            let body = String::from_utf8_lossy(&body).into_owned();
            assert!(
                matches!(status, 200 | 400),
                "seed {seed}: {connector} answered {status}:\n{body}"
            );
            answered[usize::from(status == 400)] += 1;
        }
    }
    let [taken, refused] = answered;
    assert!(taken > of_each / 4 && refused > of_each / 4, "{answered:?}");
    assert_eq!(daemon.metric("deskbell_poison_total").await as u64, 0);
    let log = daemon.log();
    assert!(!log.contains("panicked"), "{log}");
    // What is genuine is taken as ever, and everything that came in can be shown.
    let body = envelope(
        PAGE,
        &[message("2001", "m_genuine", "Still there?", now_ms())],
    );
    assert_eq!(daemon.deliver("shop-page", APP_SECRET, body).await, 200);
    let feed = daemon.all("feed", 200).await;
    assert_eq!(feed[0]["external_id"], json!("m_genuine"));
    for conversation in daemon.all("conversations", 200).await {
        let id = conversation["id"].as_str().expect("an id");
        daemon
            .all(&format!("conversations/{id}/messages"), 200)
            .await;
    }
    daemon.all("quarantine", 200).await;
}
