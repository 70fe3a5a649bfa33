//! HTTP/2 (D02), in clear text.

use super::*;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// `GET / http` of the authority `a`, in the words of the static table.
const GET: &[u8] = &[0x82, 0x86, 0x84, 0x41, 1, b'a'];
/// `POST /length`, likewise.
const POST: &[u8] = b"\x83\x86\x44\x07/length\x41\x01a";

/// One frame of HTTP/2 as bytes.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short frame");
    let mut bytes = length.to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

fn preface() -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, &[]));
    bytes
}

/// Sends the same over and over, with the numbers of ever new streams, until the server hangs up;
/// how many times it was taken.
async fn flood_with(server: &Running, first: &[u8], part: impl Fn(u32) -> Vec<u8>) -> u32 {
    let mut opening = preface();
    opening.extend(first);
    let mut peer = Peer::saying(server, opening).await;
    let (mut reader, mut writer) = peer.0.split();
    let sent = AtomicUsize::new(0);
    let flooding = async {
        for round in 0..1_000_000 {
            let bytes: Vec<u8> = (0..50).flat_map(|at| part(round * 50 + at)).collect();
            if writer.write_all(&bytes).await.is_err() {
                return;
            }
            sent.fetch_add(50, Ordering::SeqCst);
        }
    };
    let hearing = async {
        let mut heard = Vec::new();
        reader.read_to_end(&mut heard).await
    };
    let either = async {
        tokio::select! {
            () = flooding => {}
            _end = hearing => {}
        }
    };
    timeout(PATIENCE, either).await.expect("shown out");
    u32::try_from(sent.into_inner()).expect("no overflow")
}

#[tokio::test]
async fn d02_floods_of_frames_end_the_connection_and_others_are_served() {
    let server = start(quick()).await;
    let reset = |number: u32| {
        let stream = 2 * (number % 1_000_000) + 1;
        let mut bytes = frame(HEADERS, END_STREAM | END_HEADERS, stream, GET);
        bytes.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
        bytes
    };
    let sent = flood_with(&server, &[], reset).await;
    // What the sockets buffer counts as sent.
    assert!(sent < 500_000, "{sent} streams opened and reset");

    let open = frame(HEADERS, END_STREAM, 1, GET);
    let more = |_number| frame(CONTINUATION, 0, 1, b"\x00\x01a\x01b");
    let sent = flood_with(&server, &open, more).await;
    assert!(sent < 500_000, "{sent} continuations of one head");

    let open = frame(HEADERS, END_HEADERS, 1, POST);
    let sent = flood_with(&server, &open, |_number| frame(DATA, 0, 1, &[])).await;
    assert!(sent < 500_000, "{sent} empty frames of one body");

    let sent = flood_with(&server, &[], |_number| frame(PING, 0, 0, b"deskbell")).await;
    assert!(sent < 5_000_000, "{sent} pings");
    assert_served(&server).await;
}

fn url(server: &Running, path: &str) -> String {
    format!("http://{}{path}", server.address)
}

#[tokio::test]
async fn d02_requests_are_served_beside_one_another() {
    let server = start(quick()).await;
    let client = http_client()
        .http2_prior_knowledge()
        .build()
        .expect("a client");
    let requests = (0..150).map(|number| {
        let body = vec![b'x'; number];
        let request = client.post(url(&server, "/length")).body(body).send();
        async move {
            let answer = request.await.expect("an answer");
            assert_eq!(answer.version(), reqwest::Version::HTTP_2);
            assert_eq!(answer.text().await.expect("a body"), number.to_string());
        }
    });
    futures_util::future::join_all(requests).await;
    let large = client
        .get(url(&server, "/bytes/3000000"))
        .send()
        .await
        .expect("an answer");
    assert_eq!(large.content_length(), Some(3_000_000));
    assert_eq!(large.bytes().await.expect("a body").len(), 3_000_000);
}

#[tokio::test]
async fn d02_long_headers_are_refused() {
    let server = start(quick()).await;
    let client = http_client()
        .http2_prior_knowledge()
        .build()
        .expect("a client");
    for (lines, length) in [(1, 40_000), (40, 1_000)] {
        let mut request = client.get(url(&server, "/"));
        for line in 0..lines {
            request = request.header(format!("x-{line}"), "b".repeat(length));
        }
        let refused = match request.send().await {
            Ok(answer) => answer.status() == StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Err(_reset) => true,
        };
        assert!(refused, "{lines} lines of {length}");
    }
    let answer = client.get(url(&server, "/")).send().await.expect("served");
    assert_eq!(answer.status(), StatusCode::OK);
}

#[tokio::test]
async fn w09_a_slow_body_is_answered_408_and_the_connection_lives() {
    let server = start(quick()).await;
    let client = http_client()
        .http2_prior_knowledge()
        .build()
        .expect("a client");
    let mut quiet = client
        .get(url(&server, "/stream"))
        .send()
        .await
        .expect("a stream");
    let drip = futures_util::stream::unfold((), async |()| {
        tokio::time::sleep(Duration::from_millis(100)).await;
        Some((Ok::<_, std::io::Error>(Bytes::from_static(b"x")), ()))
    });
    let request = client.post(url(&server, "/length"));
    let request = request.body(reqwest::Body::wrap_stream(drip));
    let answer = request.send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::REQUEST_TIMEOUT);

    server
        .shop
        .events
        .send(Bytes::from_static(b"ring"))
        .expect("a listener");
    let event = quiet.chunk().await.expect("the same connection");
    assert_eq!(event.as_deref(), Some(&b"ring"[..]));
}

#[tokio::test]
async fn d03_a_stream_that_is_not_read_is_reset_and_its_neighbours_live() {
    let server = start(quick()).await;
    let client = http_client().http2_prior_knowledge();
    let client = client.http2_initial_stream_window_size(65_535).build();
    let client = client.expect("a client");
    let mut quiet = client
        .get(url(&server, "/stream"))
        .send()
        .await
        .expect("a stream");
    let mut unread = Vec::new();
    for _ in 0..20 {
        unread.push(
            client
                .get(url(&server, "/flood"))
                .send()
                .await
                .expect("an answer"),
        );
    }
    server.shop.until_bodies_are(1).await;
    server
        .shop
        .events
        .send(Bytes::from_static(b"ring"))
        .expect("a listener");
    let event = quiet.chunk().await.expect("the same connection");
    assert_eq!(event.as_deref(), Some(&b"ring"[..]));
}

#[tokio::test]
async fn d03_a_slow_but_steady_reader_gets_everything() {
    let server = start(Options {
        idle_timeout: Duration::from_secs(2),
        ..quick()
    })
    .await;
    let client = http_client().http2_prior_knowledge();
    let client = client.http2_initial_stream_window_size(65_535).build();
    let request = client
        .expect("a client")
        .get(url(&server, "/bytes/3000000"))
        .send();
    let mut answer = request.await.expect("an answer");
    let mut read = 0;
    while let Some(part) = answer.chunk().await.expect("not reset") {
        // A window that is nearly used up comes in bytes, so the rate is not to follow the parts.
        let before = read / 32_000;
        read += part.len();
        if read / 32_000 > before {
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }
    assert_eq!(read, 3_000_000);
}

#[tokio::test]
async fn d01_a_connection_without_requests_ends() {
    let server = start(Options {
        idle_timeout: Duration::from_millis(600),
        ..quick()
    })
    .await;
    // A peer that asks once and then answers nothing: not the settings, not the farewell.
    let mut bytes = preface();
    bytes.extend(frame(HEADERS, END_STREAM | END_HEADERS, 1, GET));
    let mut peer = Peer::saying(&server, bytes).await;
    let began = Instant::now();
    let heard = peer.hear_to_the_end().await;
    assert!(heard.contains("fine"), "{heard:?}");
    let took = began.elapsed();
    assert!(took > Duration::from_millis(500), "{took:?}");
    assert!(took < Duration::from_secs(60), "{took:?}");
}

/// Passes bytes between one client and the server, the server's slowly.
async fn slow_line(server: SocketAddr, bytes_a_second: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        let (client, _peer) = listener.accept().await.expect("a client");
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(64 * 1024).expect("a buffer");
        let server = socket.connect(server).await.expect("a connection");
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
        let mut part = vec![0; bytes_a_second / 50];
        while let Ok(read @ 1..) = from_server.read(&mut part).await {
            to_client.write_all(&part[..read]).await.expect("a reader");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    address
}

#[tokio::test]
async fn d03_many_streams_may_share_a_slow_line() {
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.set_send_buffer_size(32 * 1024).expect("a buffer");
    socket
        .bind("127.0.0.1:0".parse().expect("an address"))
        .expect("a free port");
    let options = Options {
        write_stall_timeout: Duration::from_secs(5),
        ..quick()
    };
    let server = start_on(socket.listen(128).expect("a listener"), options);
    let line = slow_line(server.address, 250_000).await;
    let client = http_client()
        .http2_prior_knowledge()
        .build()
        .expect("a client");
    let requests = (0..12).map(|_number| {
        let request = client.get(format!("http://{line}/bytes/150000")).send();
        async move {
            let answer = request.await.expect("an answer");
            answer.bytes().await.expect("not reset").len()
        }
    });
    let began = Instant::now();
    let read = futures_util::future::join_all(requests).await;
    assert_eq!(read, [150_000; 12]);
    assert!(
        began.elapsed() > Duration::from_secs(6),
        "a slow line: {:?}",
        began.elapsed()
    );
}
