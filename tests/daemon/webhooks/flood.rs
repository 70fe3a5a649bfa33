//! A flood of forged deliveries is cheap for the daemon and does not hold up genuine ones.

use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::support::calls::signature_of;
use crate::support::{APP_SECRET, Daemon, PAGE, config, envelope, message, now_ms, raw};

const FLOODERS: usize = 8;
/// Rounds of quiet and flood in turn, so that other work on the machine meets both alike.
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_millis(600);

/// Sends forged deliveries on one connection, as fast as they are answered, while `flooding`.
fn flood(url: &str, flooding: &AtomicBool, over: &AtomicBool, refused: &AtomicU64) {
    let body = envelope(
        PAGE,
        &[message("2001", "m_flood", &"x".repeat(2_000), now_ms())],
    );
    let request = format!(
        "POST /webhooks/shop-page HTTP/1.1\r\nHost: desk\r\nX-Hub-Signature-256: sha256={}\r\nContent-Length: {}\r\n\r\n{body}",
        "0".repeat(64),
        body.len(),
    );
    let mut stream = raw::connect(url, Duration::from_secs(10));
    let mut answer = [0_u8; 4096];
    while !over.load(Ordering::Relaxed) {
        if !flooding.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(2));
            continue;
        }
        stream.write_all(request.as_bytes()).expect("taken");
        let read = stream.read(&mut answer).expect("answered");
        assert!(
            answer[..read].starts_with(b"HTTP/1.1 401 "),
            "{}",
            String::from_utf8_lossy(&answer[..read])
        );
        refused.fetch_add(1, Ordering::Relaxed);
    }
}

/// One genuine delivery on a connection of the sender's; how long its answer took.
fn genuine(stream: &mut std::net::TcpStream, number: usize) -> Duration {
    let body = envelope(
        PAGE,
        &[message(
            "2002",
            &format!("m_genuine_{number}"),
            "am I held up?",
            now_ms(),
        )],
    );
    let request = format!(
        "POST /webhooks/shop-page HTTP/1.1\r\nHost: desk\r\nX-Hub-Signature-256: {}\r\nContent-Length: {}\r\n\r\n{body}",
        signature_of(APP_SECRET, body.as_bytes()),
        body.len(),
    );
    let begun = Instant::now();
    stream.write_all(request.as_bytes()).expect("taken");
    let mut answer = [0_u8; 4096];
    let read = stream.read(&mut answer).expect("answered");
    assert!(
        answer[..read].starts_with(b"HTTP/1.1 200 "),
        "{}",
        String::from_utf8_lossy(&answer[..read])
    );
    begun.elapsed()
}

/// The time below which this share of all lies.
fn share(times: &mut [Duration], percent: usize) -> Duration {
    times.sort();
    times[(times.len() * percent / 100).min(times.len() - 1)]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w14_a_flood_of_forged_deliveries_does_not_hold_up_genuine_ones() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &config(""));
    let (flooding, over, refused) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let flooders: Vec<_> = (0..FLOODERS)
        .map(|_| {
            let (url, flooding, over, refused) = (
                daemon.url.clone(),
                Arc::clone(&flooding),
                Arc::clone(&over),
                Arc::clone(&refused),
            );
            std::thread::spawn(move || flood(&url, &flooding, &over, &refused))
        })
        .collect();
    let url = daemon.url.clone();
    let measured = {
        let (flooding, over) = (Arc::clone(&flooding), Arc::clone(&over));
        std::thread::spawn(move || {
            let mut stream = raw::connect(&url, Duration::from_secs(10));
            let (mut quiet, mut flooded, mut number) = (Vec::new(), Vec::new(), 0);
            for round in 0..2 * ROUNDS {
                let is_flood = round % 2 == 1;
                flooding.store(is_flood, Ordering::Relaxed);
                let until = Instant::now() + ROUND;
                while Instant::now() < until {
                    let took = genuine(&mut stream, number);
                    if is_flood {
                        flooded.push(took)
                    } else {
                        quiet.push(took)
                    }
                    number += 1;
                    // Customers do not write without a pause; the flood fills it.
                    std::thread::sleep(Duration::from_millis(3));
                }
            }
            over.store(true, Ordering::Relaxed);
            (quiet, flooded, number)
        })
    };
    let (mut quiet, mut flooded, number) =
        tokio::task::spawn_blocking(move || measured.join().expect("genuine ones are answered"))
            .await
            .expect("joined");
    for flooder in flooders {
        tokio::task::spawn_blocking(move || flooder.join().expect("forged ones are refused"))
            .await
            .expect("joined");
    }
    assert!(
        refused.load(Ordering::Relaxed) > 100,
        "no flood: {refused:?}"
    );
    assert!(
        quiet.len() > 10 && flooded.len() > 10,
        "{} and {}",
        quiet.len(),
        flooded.len()
    );
    // Half of the genuine ones against the slow end of the quiet ones: what other programs on the machine do now and
    // then moves neither much. The flood takes a core by itself, which the floor allows for.
    let (slow_quiet, usual_flooded) = (share(&mut quiet, 99), share(&mut flooded, 50));
    let most = (3 * slow_quiet).max(Duration::from_millis(150));
    assert!(
        usual_flooded <= most,
        "{usual_flooded:?} under the flood, {slow_quiet:?} without"
    );
    assert_eq!(
        daemon.all("feed", 200).await.len(),
        number,
        "every genuine one is there, and none of the flood"
    );
}
