//! The end of a server: nothing running is cut short, nothing hangs.

use super::*;

async fn ended(server: &mut Running) -> Duration {
    let began = Instant::now();
    server.shutdown.cancel();
    let result = timeout(PATIENCE, &mut server.task).await;
    result.expect("in time").expect("no panic").expect("Ok");
    began.elapsed()
}

#[tokio::test]
async fn a_running_request_is_answered_and_idle_connections_do_not_delay() {
    let mut server = start(quick()).await;
    let mut idle = Peer::saying(&server, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    idle.hear_until("fine").await;
    let mut silent = Peer::connect(&server).await;
    let mut half = Peer::saying(&server, "GET / HTTP/1.1\r\nHo").await;
    let mut running = Peer::saying(&server, "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await;
    tokio::time::sleep(Duration::from_millis(200)).await;

    let took = ended(&mut server).await;
    assert!(took < Duration::from_secs(30), "{took:?}");
    let heard = running.hear_to_the_end().await;
    assert!(
        heard.starts_with("HTTP/1.1 200") && heard.ends_with("done"),
        "{heard}"
    );
    assert!(heard.contains("connection: close"), "{heard}");
    for peer in [&mut idle, &mut silent, &mut half] {
        assert_eq!(peer.hear_to_the_end().await, "");
    }
    TcpStream::connect(server.address)
        .await
        .expect_err("no new connection");
}

#[tokio::test]
async fn what_never_ends_is_dropped_after_the_drain() {
    let options = Options {
        drain: Duration::from_millis(700),
        ..quick()
    };
    let mut server = start(options).await;
    let mut peer = Peer::saying(&server, "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let client = http_client()
        .http2_prior_knowledge()
        .build()
        .expect("a client");
    let request = client
        .get(format!("http://{}/stream", server.address))
        .send();
    let mut stream = request.await.expect("a stream");
    server.shop.until_bodies_are(2).await;

    let took = ended(&mut server).await;
    assert!(took >= Duration::from_millis(700), "{took:?}");
    assert!(took < Duration::from_secs(30), "{took:?}");
    assert_eq!(server.shop.bodies(), 0);
    assert!(peer.hear_to_the_end().await.starts_with("HTTP/1.1 200"));
    stream.chunk().await.expect_err("cut, not ended");
}

#[tokio::test]
async fn a_server_that_is_dropped_takes_its_connections_along() {
    let server = start(quick()).await;
    let mut peer = Peer::saying(&server, "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n").await;
    server.shop.until_bodies_are(1).await;
    server.task.abort();
    server.shop.until_bodies_are(0).await;
    peer.hear_to_the_end().await;
}

#[tokio::test]
async fn a_handler_that_panics_ends_only_its_own_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let router = Router::new().route("/", get(async || "fine")).route(
        "/panic",
        get(async || -> &'static str { panic!("on purpose") }),
    );
    let shutdown = CancellationToken::new();
    let task = tokio::spawn(serve(listener, router, quick(), shutdown.clone()));
    let server = Running {
        address,
        shop: shop_router().1,
        shutdown,
        task,
    };
    let mut peer = Peer::saying(&server, "GET /panic HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(peer.hear_to_the_end().await, "");
    assert_served(&server).await;
}
