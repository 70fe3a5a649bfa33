//! Connections that hold on without getting anywhere, and the end of the daemon under load.

mod overload;
mod smuggling;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::support::calls::echo;
use crate::support::sse::{Events, Heard};
use crate::support::{
    ADMIN, APP_SECRET, Daemon, PAGE, client, config, envelope, message, now_ms, raw,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// How long a slow peer is borne at most.
const BORNE: Duration = Duration::from_secs(90);

fn delivery(mid: &str) -> String {
    envelope(PAGE, &[message("2001", mid, "still served?", now_ms())])
}

/// As many open files as the system lets this test have.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    // Where it cannot be raised the test says so by failing to connect.
    let _ = setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            ..limit
        },
    );
}

/// Whether the other side has closed the connection; what it said before is read away.
fn is_closed(stream: &mut TcpStream) -> bool {
    let mut buffer = [0_u8; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return false,
            Err(_) => return true,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d01_slow_senders_are_cut_and_others_are_served() {
    raise_file_limit();
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &config(&echo("echo")));
    let begun = Instant::now();
    let mut slow: Vec<(usize, TcpStream)> = (0..200)
        .map(|number| {
            let mut stream = raw::connect(&daemon.url, Duration::from_secs(1));
            let first: &[u8] = match number % 5 {
                0 => b"",
                1 => b"GET /healthz HT",
                2 => b"POST /webhooks/echo HTTP/1.1\r\nHost: desk\r\nX-Slow: ",
                3 => b"POST /webhooks/echo HTTP/1.1\r\nHost: desk\r\nContent-Length: 100000\r\n\r\n{",
                _ => b"POST /webhooks/echo HTTP/1.1\r\nHost: desk\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
            };
            stream.write_all(first).expect("taken");
            stream.set_nonblocking(true).expect("a socket");
            (number, stream)
        })
        .collect();
    let mut waits = Vec::new();
    let mut served = 0;
    while !slow.is_empty() {
        assert!(
            begun.elapsed() < BORNE,
            "{} slow connections are still open: {:?}",
            slow.len(),
            slow[0]
        );
        // A byte now and then, as slow ones do.
        slow.retain_mut(|(number, stream)| {
            let drip: &[u8] = match *number % 5 {
                0 => b"",
                4 => b"1\r\n \r\n",
                _ => b"x",
            };
            // Where it is closed already, the next look says so.
            let _ = stream.write(drip);
            !is_closed(stream)
        });
        let asked = Instant::now();
        assert_eq!(
            daemon
                .deliver(
                    "shop-page",
                    APP_SECRET,
                    delivery(&format!("m_served_{served}"))
                )
                .await,
            200
        );
        assert_eq!(
            client()
                .get(format!("{}/readyz", daemon.url))
                .send()
                .await
                .expect("answers")
                .status(),
            200
        );
        waits.push(asked.elapsed());
        served += 1;
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    assert!(
        begun.elapsed() > Duration::from_secs(4),
        "a slow phone is given some time: {:?}",
        begun.elapsed()
    );
    // The usual wait: other programs on the machine may hold up one now and then.
    waits.sort();
    let usual = waits[waits.len() / 2];
    assert!(usual < Duration::from_secs(8), "others waited {usual:?}");
    assert_eq!(daemon.all("feed", 200).await.len(), served);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d03_a_reader_that_never_reads_is_dropped_and_the_others_hear_everything() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &config(&echo("echo")));
    let mut deaf: Vec<TcpStream> = (0..10)
        .map(|_| {
            let mut stream = raw::connect(&daemon.url, Duration::from_secs(1));
            let request = format!(
                "GET /api/v1/events HTTP/1.1\r\nHost: desk\r\nAuthorization: Bearer {ADMIN}\r\n\r\n"
            );
            stream.write_all(request.as_bytes()).expect("taken");
            stream
        })
        .collect();
    let mut good = Events::open(&daemon, ADMIN, None).await;
    let before = daemon.resident_bytes();
    let text = "x".repeat(20_000);
    let mut told = 0;
    let mut stalled_at = None;
    let begun = Instant::now();
    loop {
        let parts: Vec<_> = (0..30)
            .map(|number| serde_json::json!({ "id": format!("{told}_{number}"), "thread": "ann", "text": text }))
            .collect();
        let body = serde_json::json!({ "messages": parts }).to_string();
        assert_eq!(daemon.echo("echo", body.into_bytes()).await, 200);
        good.wait_for(Duration::from_secs(60), |event| {
            event.data["data"]["message"]["external_id"] == format!("{told}_29")
        })
        .await;
        told += 1;
        // 12 MB are more than the sockets of both sides hold.
        if told == 20 {
            stalled_at = Some(Instant::now());
        }
        let open = daemon.metric("deskbell_streams").await;
        if open < 1.5 {
            break;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(240),
            "{open} streams are open after {told} deliveries"
        );
        if told >= 20 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
    let took = stalled_at.map_or(Duration::ZERO, |at| at.elapsed());
    assert!(took < Duration::from_secs(200), "dropped after {took:?}");
    // They can still read what their sockets hold, and then they see the end.
    for stream in &mut deaf {
        stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .expect("a time-out");
        let mut buffer = vec![0; 1 << 20];
        while let Ok(read) = stream.read(&mut buffer) {
            if read == 0 {
                break;
            }
        }
    }
    let grown = daemon.resident_bytes().saturating_sub(before);
    assert!(grown < 200 << 20, "ten deaf readers cost {grown} bytes");
    assert!(!matches!(
        good.next(Duration::from_millis(100)).await,
        Heard::Ended
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn d03_an_open_stream_costs_at_most_40_kb() {
    const STREAMS: u64 = 1_000;
    raise_file_limit();
    let folder = tempfile::tempdir().expect("a folder");
    let limits = format!(
        "\n[limits]\nconnections_per_address = {}\nstreams_per_token = {STREAMS}\n",
        STREAMS + 50
    );
    let daemon = Daemon::start(folder.path(), &config(&limits));
    let (_, token) = daemon
        .make_token(&serde_json::json!({ "name": "many", "scopes": ["read"] }))
        .await;
    let open = |number: u64| {
        let mut stream = raw::connect(&daemon.url, Duration::from_secs(20));
        let request = format!(
            "GET /api/v1/events HTTP/1.1\r\nHost: desk\r\nAuthorization: Bearer {token}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).expect("taken");
        let mut head = [0_u8; 1024];
        let read = stream.read(&mut head).expect("an answer");
        assert!(
            head[..read].starts_with(b"HTTP/1.1 200 "),
            "stream {number}"
        );
        stream
    };
    // What the first few cost is not what each costs.
    let mut streams: Vec<_> = (0..20).map(open).collect();
    let before = daemon.resident_bytes();
    streams.extend((20..STREAMS).map(open));
    let each = daemon.resident_bytes().saturating_sub(before) / (STREAMS - 20);
    assert!(each <= 40 * 1024, "{each} bytes each");
    // All of them are alive: one message reaches each.
    assert_eq!(
        daemon
            .deliver("shop-page", APP_SECRET, delivery("m_to_all"))
            .await,
        200
    );
    for (number, stream) in streams.iter_mut().enumerate() {
        let mut heard = String::new();
        let mut buffer = [0_u8; 16 * 1024];
        while !heard.contains("m_to_all") {
            let read = stream.read(&mut buffer).expect("it is told");
            assert!(read > 0, "stream {number} was closed");
            heard.push_str(&String::from_utf8_lossy(&buffer[..read]));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f45_the_daemon_ends_in_time_with_streams_open_and_deliveries_under_way() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &config(""));
    let mut streams = Vec::new();
    for _ in 0..50 {
        streams.push(Events::open(&daemon, ADMIN, None).await);
    }
    // Also one that has sent half a request, and one that says nothing.
    let mut half = raw::connect(&daemon.url, Duration::from_secs(1));
    half.write_all(
        b"POST /webhooks/shop-page HTTP/1.1\r\nHost: desk\r\nContent-Length: 1000\r\n\r\n{",
    )
    .expect("taken");
    let _silent = raw::connect(&daemon.url, Duration::from_secs(1));
    let url = daemon.url.clone();
    let sending = tokio::spawn(async move {
        let mut acknowledged = Vec::new();
        for number in 0.. {
            let mid = format!("m_last_{number}");
            match crate::support::deliver(&url, "shop-page", APP_SECRET, delivery(&mid)).await {
                Ok(200) => acknowledged.push(mid),
                Ok(503) => {}
                Ok(other) => panic!("answered {other}"),
                Err(_) => break,
            }
        }
        acknowledged
    });
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (status, took) = tokio::task::spawn_blocking(|| daemon.stop())
        .await
        .expect("stopped");
    assert!(status.success(), "{status}");
    assert!(took < Duration::from_secs(10), "{took:?}");
    for stream in &mut streams {
        while !matches!(stream.next(Duration::from_secs(30)).await, Heard::Ended) {}
    }
    let acknowledged = sending.await.expect("sent");
    assert!(!acknowledged.is_empty());
    let daemon = Daemon::start_as_it_is(folder.path());
    let feed = daemon.all("feed", 200).await;
    for mid in &acknowledged {
        assert!(
            feed.iter().any(|item| item["external_id"] == mid.as_str()),
            "{mid} was acknowledged and is lost"
        );
    }
}
