//! Peers that hold on without getting anywhere (D01, D03, W09).

use super::*;

/// Keeps every peer trickling one byte of `drip` at a time, serving others meanwhile, until all are
/// cut; what each heard, and how long it took.
async fn trickle(
    server: &Running,
    peers: Vec<Peer>,
    drip: &'static [u8],
) -> (Vec<String>, Duration) {
    let began = Instant::now();
    let cut: Vec<_> = peers
        .into_iter()
        .map(|peer| tokio::spawn(drip_until_closed(peer, drip)))
        .collect();
    let mut heard = Vec::new();
    for task in cut {
        assert_served(server).await;
        heard.push(
            timeout(PATIENCE, task)
                .await
                .expect("cut")
                .expect("no panic"),
        );
    }
    (heard, began.elapsed())
}

async fn drip_until_closed(mut peer: Peer, drip: &'static [u8]) -> String {
    let (mut reader, mut writer) = peer.0.split();
    let mut heard = Vec::new();
    let dripping = async {
        for byte in drip.iter().cycle() {
            tokio::time::sleep(Duration::from_millis(50)).await;
            if writer.write_all(&[*byte]).await.is_err() {
                break;
            }
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = dripping => {}
        _ended = reader.read_to_end(&mut heard) => {}
    }
    String::from_utf8_lossy(&heard).into_owned()
}

#[tokio::test]
async fn d01_slow_heads_are_cut_while_others_are_served() {
    let server = start(quick()).await;
    let mut peers = Vec::new();
    for start in [
        "GET / HTTP/1.1\r\nHost: shop.test\r\n",
        "",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        for _ in 0..many(200) / 3 {
            peers.push(Peer::saying(&server, start).await);
        }
    }
    let (_heard, took) = trickle(&server, peers, b"a: b\r\n").await;
    assert!(took < Duration::from_secs(60), "{took:?}");
}

#[tokio::test]
async fn d01_connections_that_say_nothing_are_cut() {
    let server = start(quick()).await;
    let mut peers = Vec::new();
    for _ in 0..many(200) {
        peers.push(Peer::connect(&server).await);
    }
    let began = Instant::now();
    for mut peer in peers {
        assert_eq!(peer.hear_to_the_end().await, "");
    }
    assert!(began.elapsed() < Duration::from_secs(60));
    assert_served(&server).await;
}

#[tokio::test]
async fn d01_a_connection_between_requests_has_more_time_than_a_head() {
    let server = start(quick()).await;
    let request = "GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n";
    let mut idle = Peer::saying(&server, request).await;
    idle.hear_until("fine").await;
    let mut slow = Peer::saying(&server, request).await;
    slow.hear_until("fine").await;

    tokio::time::sleep(Duration::from_millis(3500)).await;
    assert!(
        idle.is_quiet().await && slow.is_quiet().await,
        "longer than a head may take"
    );
    assert!(idle.say(request).await);
    idle.hear_until("fine").await;

    let began = Instant::now();
    slow.say("GET / HTTP/1.1\r\nHost: ").await;
    assert_eq!(slow.hear_to_the_end().await, "");
    assert!(
        began.elapsed() < Duration::from_secs(9),
        "by the head's limit"
    );

    let began = Instant::now();
    assert_eq!(idle.hear_to_the_end().await, "");
    assert!(
        began.elapsed() < Duration::from_secs(60),
        "by the limit of idle ones"
    );
}

#[tokio::test]
async fn w09_d01_slow_bodies_are_answered_408_and_closed() {
    let server = start(quick()).await;
    let heads = [
        "POST /length HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 900000\r\n\r\n",
        "POST /length HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 900000\r\n\r\nabc",
        "POST /length HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\n\r\n40000\r\n",
    ];
    let mut peers = Vec::new();
    for head in heads {
        for _ in 0..many(200) / 3 {
            peers.push(Peer::saying(&server, head).await);
        }
    }
    let (heard, took) = trickle(&server, peers, b"x").await;
    assert!(took < Duration::from_secs(60), "{took:?}");
    for heard in heard {
        assert!(heard.starts_with("HTTP/1.1 408"), "{heard:?}");
        assert!(heard.contains("connection: close"), "{heard}");
        assert!(heard.contains("application/problem+json"), "{heard}");
    }
}

#[tokio::test]
async fn w09_a_body_that_keeps_the_rate_is_waited_for() {
    let server = start(quick()).await;
    let head = "POST /length HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 24000\r\n\r\n";
    let mut peer = Peer::saying(&server, head).await;
    for _ in 0..60 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(
            peer.say([b'x'; 400]).await,
            "three times the time-out in all"
        );
    }
    peer.hear_until("24000").await;
}

#[tokio::test]
async fn w09_the_answer_reaches_a_sender_that_is_refused_while_it_sends() {
    let server = start(quick()).await;
    let body = vec![b'x'; 6 * 1024 * 1024];
    let length = body.len();
    let head =
        format!("POST /refuse HTTP/1.1\r\nHost: shop.test\r\nContent-Length: {length}\r\n\r\n");
    for _ in 0..5 {
        // It reads only when all is sent, as simple clients do.
        let mut peer = Peer::saying(&server, &head).await;
        assert!(peer.say(&body).await, "reset while sending");
        let heard = peer.hear_to_the_end().await;
        assert!(heard.starts_with("HTTP/1.1 413"), "{heard:?}");
    }
}

#[tokio::test]
async fn d03_readers_that_never_read_are_cut_while_others_are_served() {
    let server = start(quick()).await;
    let count = many(200);
    let mut peers = Vec::new();
    for _ in 0..count {
        let request = "GET /flood HTTP/1.1\r\nHost: shop.test\r\n\r\n";
        peers.push(Peer::saying(&server, request).await);
    }
    // All began, or were cut already.
    assert_served(&server).await;
    server.shop.until_bodies_are(0).await;
    assert_served(&server).await;
    drop(peers);
}

#[tokio::test]
async fn d03_a_reader_that_is_slow_but_steady_gets_everything() {
    let server = start(quick()).await;
    let request = "GET /bytes/3000000 HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n";
    let mut peer = Peer::saying(&server, request).await;
    let mut read = 0;
    let mut part = vec![0; 100_000];
    while let Ok(bytes @ 1..) = peer.0.read(&mut part).await {
        read += bytes;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(read > 3_000_000, "{read}");
}

#[tokio::test]
async fn d03_a_thousand_quiet_streams_live_on_and_hear_the_next_event() {
    let options = Options {
        idle_timeout: Duration::from_secs(2),
        connections_per_address: 2000,
        ..quick()
    };
    let server = start(options).await;
    let count = many(1000);
    let mut peers = Vec::new();
    for _ in 0..count {
        let request = "GET /stream HTTP/1.1\r\nHost: shop.test\r\n\r\n";
        peers.push(Peer::saying(&server, request).await);
    }
    server.shop.until_bodies_are(count).await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(server.shop.bodies(), count, "three times every time-out");
    let event = Bytes::from_static(b"data: ring\n\n");
    assert_eq!(server.shop.events.send(event).expect("listeners"), count);
    for peer in &mut peers {
        peer.hear_until("data: ring").await;
    }
}

#[test]
fn d01_cut_peers_are_counted() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let rendered = recorder.handle();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let server = start(Options {
            connections_per_address: 2,
            ..quick()
        })
        .await;
        let mut silent = Peer::connect(&server).await;
        let head = "POST /length HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 9\r\n\r\n";
        let mut slow = Peer::saying(&server, head).await;
        until("two connections", || {
            rendered.render().contains("deskbell_connections 2")
        })
        .await;
        Peer::connect(&server).await.hear_to_the_end().await;
        silent.hear_to_the_end().await;
        slow.hear_to_the_end().await;
        until("no connection", || {
            rendered.render().contains("deskbell_connections 0")
        })
        .await;
    });
    let text = rendered.render();
    for line in [
        "deskbell_connections_refused_total{reason=\"address\"} 1",
        "deskbell_requests_cut_total{reason=\"head\"} 1",
        "deskbell_requests_cut_total{reason=\"body\"} 1",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
}
