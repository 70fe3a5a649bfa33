//! Writes past the connection's task: whole, in order, and only where the peer reads what is written.

use super::*;

const STREAM: &str = "GET /stream HTTP/1.1\r\nHost: shop.test\r\n\r\n";

/// A peer with an open stream, and what writes to it.
async fn open(server: &Running) -> (Peer, DirectWriter) {
    let mut peer = Peer::saying(server, STREAM).await;
    peer.hear_until("\r\n\r\n").await;
    let direct = server.shop.direct.lock().expect("not poisoned").pop();
    let direct = direct.flatten().expect("a way past the task");
    (peer, direct)
}

fn chunk(text: &str) -> Chunk {
    Chunk::of(std::iter::once(text.as_bytes())).expect("not empty")
}

/// What `read` bytes of chunks said.
fn said(mut raw: &[u8]) -> String {
    let mut text = Vec::new();
    while !raw.is_empty() {
        let end = raw
            .windows(2)
            .position(|two| two == b"\r\n")
            .expect("a size");
        let size = std::str::from_utf8(&raw[..end]).expect("hexadecimal");
        let size = usize::from_str_radix(size, 16).expect("hexadecimal");
        let rest = &raw[end + 2..];
        text.extend_from_slice(&rest[..size]);
        assert_eq!(&rest[size..size + 2], b"\r\n");
        raw = &rest[size + 2..];
    }
    String::from_utf8(text).expect("as it was written")
}

/// Writes until it is taken: the task may be at work.
async fn write(direct: &DirectWriter, text: &str) -> Written {
    let end = Instant::now() + PATIENCE;
    loop {
        match direct.write(&chunk(text)) {
            Written::Nothing => assert!(Instant::now() < end, "never at rest"),
            written => return written,
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f32_direct_writes_and_those_of_the_task_come_whole_and_in_order() {
    let server = start(quick()).await;
    let (mut peer, direct) = open(&server).await;
    let mut expected = String::new();
    let (mut directly, mut heard) = (0, Vec::new());
    for number in 0..2_000 {
        let text = format!("[{number} {}]", "x".repeat(number % 97 * 40));
        expected.push_str(&text);
        // Each third is given to the task, and the next try comes while it may be at work.
        let by_task = number % 3 == 0 || direct.write(&chunk(&text)) == Written::Nothing;
        if by_task {
            let event = Bytes::from(text.clone());
            server.shop.events.send(event).expect("a listener");
        } else {
            directly += 1;
        }
        let end = format!("[{number} ");
        while !String::from_utf8_lossy(&heard).contains(&end) || !heard.ends_with(b"]\r\n") {
            let mut part = [0; 8192];
            let read = timeout(PATIENCE, peer.0.read(&mut part)).await;
            let read = read.expect("in time").expect("no reset");
            assert_ne!(read, 0, "closed");
            heard.extend_from_slice(&part[..read]);
        }
        if number % 100 == 99 {
            assert_eq!(said(&heard), expected);
            heard.clear();
            expected.clear();
        }
    }
    assert!(directly > 200, "{directly} were written past the task");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f33_what_a_full_socket_takes_half_of_is_finished_before_anything_else() {
    let server = start(Options {
        write_stall_timeout: Duration::from_secs(60),
        ..quick()
    })
    .await;
    let (mut peer, direct) = open(&server).await;
    let mut expected = String::new();
    // Nobody reads.
    for number in 0.. {
        let text = format!("[{number} {}]", "x".repeat(60_000));
        let written = write(&direct, &text).await;
        expected.push_str(&text);
        if written == Written::Begun {
            break;
        }
        assert!(number < 10_000, "a socket without end");
    }
    assert_eq!(direct.write(&chunk("not now")), Written::Nothing);
    // As the hub wakes the task, and gives it more.
    server
        .shop
        .events
        .send("by the task".into())
        .expect("a listener");
    expected.push_str("by the task");
    assert_eq!(direct.write(&chunk("not now")), Written::Nothing);
    let mut heard = Vec::new();
    while !heard.ends_with(b"by the task\r\n") {
        let mut part = vec![0; 1 << 20];
        let read = timeout(PATIENCE, peer.0.read(&mut part)).await;
        let read = read.expect("in time").expect("no reset");
        assert_ne!(read, 0, "closed");
        heard.extend_from_slice(&part[..read]);
    }
    assert!(said(&heard) == expected, "something is missing or twice");
    // It goes on as before.
    assert_eq!(write(&direct, "again").await, Written::Whole);
    assert!(peer.hear_until("again").await.ends_with("5\r\nagain\r\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f32_nothing_comes_between_what_the_task_has_on_its_way() {
    let server = start(Options {
        write_stall_timeout: Duration::from_secs(60),
        ..quick()
    })
    .await;
    let (mut peer, direct) = open(&server).await;
    // More than sockets hold, so that the task waits in the middle of it, and again and again.
    let large = "x".repeat(24 << 20);
    let event = Bytes::from(large.clone());
    server.shop.events.send(event).expect("a listener");
    let (mut heard, mut refused) = (Vec::new(), 0);
    let mut part = vec![0; 64 * 1024];
    while heard.len() < large.len() {
        let read = timeout(PATIENCE, peer.0.read(&mut part)).await;
        let read = read.expect("in time").expect("no reset");
        assert_ne!(read, 0, "closed");
        heard.extend_from_slice(&part[..read]);
        refused += usize::from(direct.write(&chunk("between")) == Written::Nothing);
    }
    assert!(refused > 100, "{refused}");
    assert_eq!(write(&direct, "behind").await, Written::Whole);
    heard.extend_from_slice(peer.hear_until("behind\r\n").await.as_bytes());
    let text = said(&heard);
    assert!(text.starts_with(&large), "something came between");
    let behind = &text[large.len()..];
    assert_eq!(behind.replace("between", ""), "behind");
}

#[tokio::test]
async fn d03_a_peer_that_does_not_read_what_was_begun_is_cut() {
    let server = start(quick()).await;
    let (_peer, direct) = open(&server).await;
    let text = "x".repeat(60_000);
    while write(&direct, &text).await != Written::Begun {}
    server.shop.events.send("woken".into()).expect("a listener");
    server.shop.until_bodies_are(0).await;
    assert_eq!(direct.write(&chunk("x")), Written::Nothing, "it is gone");
}

#[tokio::test]
async fn a_connection_that_is_gone_takes_nothing() {
    let server = start(quick()).await;
    let (peer, direct) = open(&server).await;
    drop(peer);
    server.shop.until_bodies_are(0).await;
    assert_eq!(direct.write(&chunk("x")), Written::Nothing);
}

#[tokio::test]
async fn there_is_no_way_past_what_has_no_chunks_or_shares_its_connection() {
    let server = start(quick()).await;
    let old = "GET /stream HTTP/1.0\r\nHost: shop.test\r\n\r\n";
    let mut peer = Peer::saying(&server, old).await;
    peer.hear_until("\r\n\r\n").await;
    let newer = http_client().http2_prior_knowledge().build();
    let address = format!("http://{}/stream", server.address);
    let answer = newer.expect("a client").get(address).send().await;
    assert_eq!(answer.expect("an answer").status(), 200);
    let ways = std::mem::take(&mut *server.shop.direct.lock().expect("not poisoned"));
    assert_eq!(ways.len(), 2);
    assert!(ways.iter().all(Option::is_none));
}

#[test]
fn a_chunk_is_never_the_end_of_an_answer() {
    assert!(Chunk::of(std::iter::empty()).is_none());
    assert!(Chunk::of([&b""[..], &b""[..]].into_iter()).is_none());
}
