//! Limits by address, and whose word about addresses is taken (W18, D01).

use super::*;

const STREAM: &str = "GET /stream HTTP/1.1\r\nHost: shop.test\r\n";

async fn ask(server: &Running, headers: &str) -> String {
    let request =
        format!("GET /who HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n{headers}\r\n");
    let heard = Peer::saying(server, request).await.hear_to_the_end().await;
    let (_head, body) = heard.split_once("\r\n\r\n").expect("an answer");
    body.to_owned()
}

fn behind_a_proxy() -> Options {
    Options {
        trusted_proxies: vec!["127.0.0.0/8".parse().expect("a net")],
        ..quick()
    }
}

#[tokio::test]
async fn w18_an_untrusted_peer_is_who_it_is() {
    let server = start(quick()).await;
    for header in [
        "",
        "X-Forwarded-For: 203.0.113.7\r\n",
        "X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: https\r\n",
        "X-Real-IP: 203.0.113.7\r\nForwarded: for=203.0.113.7;proto=https\r\n",
    ] {
        let unvouched = !header.is_empty();
        assert_eq!(
            ask(&server, header).await,
            format!("127.0.0.1 https=false told=false unvouched={unvouched}")
        );
    }
}

#[tokio::test]
async fn w18_a_trusted_proxy_is_believed() {
    let server = start(behind_a_proxy()).await;
    let header = "X-Forwarded-For: 198.51.100.1, 203.0.113.7\r\nX-Forwarded-Proto: https\r\n";
    assert_eq!(
        ask(&server, header).await,
        "203.0.113.7 https=true told=true unvouched=false"
    );
    let header = "X-Forwarded-For: 203.0.113.7, nonsense\r\n";
    assert_eq!(
        ask(&server, header).await,
        "127.0.0.1 https=false told=true unvouched=false"
    );
    assert_eq!(
        ask(&server, "").await,
        "127.0.0.1 https=false told=false unvouched=false"
    );
}

#[tokio::test]
async fn d01_an_address_has_its_share_of_connections() {
    let server = start(Options {
        connections_per_address: 3,
        ..quick()
    })
    .await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(Peer::saying(&server, format!("{STREAM}\r\n")).await);
    }
    server.shop.until_bodies_are(3).await;
    let mut over = Peer::saying(&server, format!("{STREAM}\r\n")).await;
    assert_eq!(over.hear_to_the_end().await, "");
    drop(held);
    server.shop.until_bodies_are(0).await;
    assert_served(&server).await;
}

#[tokio::test]
async fn d01_all_together_have_their_limit() {
    let server = start(Options {
        max_connections: 2,
        ..behind_a_proxy()
    })
    .await;
    let mut held = Vec::new();
    for _ in 0..2 {
        held.push(Peer::saying(&server, format!("{STREAM}\r\n")).await);
    }
    server.shop.until_bodies_are(2).await;
    assert_eq!(Peer::connect(&server).await.hear_to_the_end().await, "");
    drop(held.pop());
    server.shop.until_bodies_are(1).await;
    assert_served(&server).await;
}

#[tokio::test]
async fn d01_behind_a_proxy_each_client_has_its_share_of_requests() {
    let server = start(Options {
        connections_per_address: 3,
        ..behind_a_proxy()
    })
    .await;
    let from = |client: &str| format!("{STREAM}X-Forwarded-For: {client}\r\n\r\n");
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(Peer::saying(&server, from("203.0.113.7")).await);
    }
    server.shop.until_bodies_are(3).await;

    let mut over = Peer::saying(&server, from("203.0.113.7")).await;
    let heard = over.hear_to_the_end().await;
    assert!(heard.starts_with("HTTP/1.1 429"), "{heard}");
    assert!(heard.contains("retry-after: 5"), "{heard}");
    assert!(heard.contains("\"status\":429"), "{heard}");

    // Others are served, and so is the proxy itself, which may hold more than one client.
    held.push(Peer::saying(&server, from("203.0.113.8")).await);
    for _ in 0..4 {
        held.push(Peer::saying(&server, format!("{STREAM}\r\n")).await);
    }
    server.shop.until_bodies_are(8).await;

    drop(held.remove(0));
    server.shop.until_bodies_are(7).await;
    held.push(Peer::saying(&server, from("203.0.113.7")).await);
    server.shop.until_bodies_are(8).await;
}
