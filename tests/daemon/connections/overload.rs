//! More than the daemon can take: floods of frames, and more changes than it can write.

use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use crate::support::calls::{Dice, signature_of};
use crate::support::{APP_SECRET, Daemon, PAGE, client, config, envelope, message, now_ms, raw};

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("small").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// `GET /healthz` with the static table's indices: method, scheme, path and authority as literals.
const GET_HEALTHZ: &[u8] = &[
    0x82, 0x86, 0x04, 0x08, b'/', b'h', b'e', b'a', b'l', b't', b'h', b'z', 0x01, 0x04, b'd', b'e',
    b's', b'k',
];

/// How long each flood lasts: 2 s, or as long as `DESKBELL_FLOOD_SECONDS` says (a minute each shows what grows slowly).
fn flood_time() -> Duration {
    #[expect(
        clippy::disallowed_methods,
        reason = "a switch of the tests, not of the daemon"
    )]
    let seconds = std::env::var("DESKBELL_FLOOD_SECONDS");
    Duration::from_secs(seconds.ok().and_then(|text| text.parse().ok()).unwrap_or(2))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d02_floods_of_http2_frames_end_with_the_connection_and_others_are_served() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &config(""));
    let before = daemon.resident_bytes();
    let open = |number: u32| 2 * number + 1;
    type Flood = Box<dyn Fn(u32) -> Vec<u8> + Send>;
    let floods: Vec<(&str, Flood)> = vec![
        (
            "rapid reset",
            Box::new(move |n| {
                [
                    frame(1, 5, open(n), GET_HEALTHZ),
                    frame(3, 0, open(n), &8_u32.to_be_bytes()),
                ]
                .concat()
            }),
        ),
        (
            "continuation without end",
            Box::new(|n| {
                if n == 0 {
                    frame(1, 1, 1, GET_HEALTHZ)
                } else {
                    frame(9, 0, 1, &[0x00, 1, b'a', 1, b'b'])
                }
            }),
        ),
        (
            "empty data",
            Box::new(|n| {
                if n == 0 {
                    frame(1, 4, 1, GET_HEALTHZ)
                } else {
                    frame(0, 0, 1, &[])
                }
            }),
        ),
        (
            "settings",
            Box::new(|_| frame(4, 0, 0, &[0, 4, 0, 1, 0, 0])),
        ),
        ("pings", Box::new(|_| frame(6, 0, 0, &[0; 8]))),
    ];
    for (name, flood) in floods {
        let mut stream = raw::connect(&daemon.url, Duration::from_secs(20));
        stream
            .write_all(&[PREFACE, &frame(4, 0, 0, &[])].concat())
            .expect("taken");
        let until = Instant::now() + flood_time();
        let flooding = std::thread::spawn(move || {
            let mut number = 0;
            while Instant::now() < until {
                let burst: Vec<u8> = (0..100).flat_map(|more| flood(number + more)).collect();
                if stream.write_all(&burst).is_err() {
                    return;
                }
                number += 100;
            }
        });
        while !flooding.is_finished() {
            let begun = Instant::now();
            assert_eq!(
                client()
                    .get(format!("{}/healthz", daemon.url))
                    .send()
                    .await
                    .expect("served")
                    .status(),
                200,
                "{name}"
            );
            assert!(
                begun.elapsed() < Duration::from_secs(20),
                "{name}: {:?}",
                begun.elapsed()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        flooding.join().expect("no panic");
    }
    assert_eq!(
        daemon
            .deliver(
                "shop-page",
                APP_SECRET,
                envelope(
                    PAGE,
                    &[message("2001", "m_after_floods", "still served?", now_ms())]
                )
            )
            .await,
        200
    );
    let grown = daemon.resident_bytes().saturating_sub(before);
    assert!(grown < 64 << 20, "the memory grew by {grown} bytes");
}

/// Letters that do not compress well.
fn noise(dice: &mut Dice, length: usize) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    (0..length)
        .map(|_| char::from(dice.one_of(LETTERS)))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d06_more_than_the_daemon_can_hold_is_put_off_and_never_lost() {
    const SENDERS: usize = 10;
    const MESSAGES: usize = 30;
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &config(""));
    let before = daemon.resident_bytes();
    let mut dice = Dice::new(0xD06);
    let bodies: Vec<String> = (0..SENDERS)
        .map(|sender| {
            let events: Vec<_> = (0..MESSAGES)
                .map(|n| {
                    message(
                        &format!("{}", 9_000 + n % 7),
                        &format!("m_{sender}_{n}"),
                        &noise(&mut dice, 90_000),
                        now_ms(),
                    )
                })
                .collect();
            envelope(PAGE, &events)
        })
        .collect();
    // Together far more than may wait for the writer in memory, so that some are put off.
    let put_off = AtomicUsize::new(0);
    let send = async |body: &String| {
        let signature = signature_of(APP_SECRET, body.as_bytes());
        for _ in 0..300 {
            let request = client()
                .post(format!("{}/webhooks/shop-page", daemon.url))
                .header("x-hub-signature-256", &signature);
            let answer = request
                .timeout(Duration::from_secs(60))
                .body(body.clone())
                .send()
                .await
                .expect("answered");
            match answer.status().as_u16() {
                200 => return,
                503 => {
                    let seconds = answer.headers()["retry-after"]
                        .to_str()
                        .expect("text")
                        .parse()
                        .expect("seconds");
                    put_off.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_secs(seconds)).await;
                }
                other => panic!("answered {other}"),
            }
        }
        panic!("never taken");
    };
    join_all(bodies.iter().map(&send)).await;
    assert!(
        put_off.load(Ordering::Relaxed) > 0,
        "it was never too much, so nothing is proven"
    );
    let conversations = daemon.all("conversations", 50).await;
    let counted: u64 = conversations
        .iter()
        .filter_map(|one| one["message_count"].as_u64())
        .sum();
    assert_eq!(counted, (SENDERS * MESSAGES) as u64, "each message once");
    let grown = daemon.resident_bytes().saturating_sub(before);
    assert!(grown < 512 << 20, "the memory grew by {grown} bytes");
}
