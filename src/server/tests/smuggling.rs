//! Requests that two programs could read in two ways (W19), and heads without end.

use super::*;

/// The status of each answer on one connection, which the server must then close.
async fn statuses(server: &Running, bytes: &[u8], piece: usize) -> Vec<String> {
    let mut peer = Peer::connect(server).await;
    for part in bytes.chunks(piece) {
        if !peer.say(part).await {
            break;
        }
        tokio::task::yield_now().await;
    }
    let heard = peer.hear_to_the_end().await;
    heard
        .match_indices("HTTP/1.1 ")
        .map(|(at, mark)| heard[at + mark.len()..].chars().take(3).collect())
        .collect()
}

#[tokio::test]
async fn w19_ambiguous_requests_are_refused_and_nothing_after_them_is_served() {
    let server = start(quick()).await;
    let heads = [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Transfer-Encoding: chunked\r\nX: y\r\nContent-Length: 0",
        "transfer-encoding:chunked\r\ncontent-length:5",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: identity, chunked",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: \x0bchunked",
        "Transfer-Encoding : chunked",
        " Transfer-Encoding: chunked",
        "X: y\r\n Transfer-Encoding: chunked",
        "X: y\r\n\tTransfer-Encoding: chunked",
        "Transfer-Encoding\x00: chunked",
        "Transfer-Encoding\r\n: chunked",
        "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 0\r\nContent-Length: 5",
        "Content-Length: 5, 5",
        "Content-Length: 5,6",
        "Content-Length: +5",
        "Content-Length: -5",
        "Content-Length: 0x5",
        "Content-Length: 5 5",
        "Content-Length: five",
        "Content-Length:",
        "Content-Length: 18446744073709551616",
        "Content-Length : 5",
        "Content-Length: 5\rTransfer-Encoding: chunked",
        "Host: other.test",
        "no colon at all",
        ": no name",
        "na me: value",
        "name: va\x00lue",
    ];
    for head in heads {
        // Were the first taken in another way, the second would be served.
        let bytes = format!(
            "POST /length HTTP/1.1\r\nHost: shop.test\r\n{head}\r\n\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: shop.test\r\n\r\n"
        );
        for piece in [1, 11, 4096] {
            let got = statuses(&server, bytes.as_bytes(), piece).await;
            assert_eq!(got, ["400"], "{head:?} in pieces of {piece}");
        }
    }
    for line in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.2\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / / HTTP/1.1\r\nHost: a\r\n\r\n",
        "G\x00T / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n",
        "\u{1f514}\r\n\r\n",
    ] {
        let got = statuses(&server, line.as_bytes(), 4096).await;
        assert_eq!(got, ["400"], "{line:?}");
    }
    let got = statuses(
        &server,
        b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
        4096,
    )
    .await;
    assert_eq!(got, ["501"]);
    assert_served(&server).await;
}

#[tokio::test]
async fn w19_broken_chunks_end_the_connection() {
    let server = start(quick()).await;
    for chunks in [
        "g\r\n",
        "5\r\nhelloX",
        "ffffffffffffffffff\r\n",
        "-1\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
    ] {
        let bytes = format!(
            "POST /length HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n"
        );
        let got = statuses(&server, bytes.as_bytes(), 4096).await;
        assert!(!got.contains(&"200".to_owned()), "{chunks:?}: {got:?}");
    }
}

#[tokio::test]
async fn w19_nothing_is_served_after_a_chunked_request() {
    let server = start(quick()).await;
    let bytes = b"POST /length HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n\
        GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    for piece in [1, 7, 4096] {
        assert_eq!(statuses(&server, bytes, piece).await, ["200"]);
    }
}

#[tokio::test]
async fn w19_sound_requests_are_served_one_after_another() {
    let server = start(quick()).await;
    let bytes = "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nPOST /length HTTP/1.1\r\nHost: a\r\nContent-Length: 28\r\n\r\n\
        Transfer-Encoding: x\r\n\r\nxxxx\
        POST /length HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n\
        GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    for piece in [1, 13, 4096] {
        let got = statuses(&server, bytes.as_bytes(), piece).await;
        assert_eq!(got, ["200", "200", "200", "200"], "{piece}");
    }
    let old = "GET / HTTP/1.0\r\n\r\n";
    assert_eq!(
        statuses(&server, old.as_bytes(), 4096).await.len(),
        0,
        "answers as HTTP/1.0"
    );
    let mut old = Peer::saying(&server, old).await;
    assert!(old.hear_to_the_end().await.starts_with("HTTP/1.0 200"));
}

#[tokio::test]
async fn w19_heads_without_end_are_refused() {
    let server = start(quick()).await;
    let lines = "a: b\r\n".repeat(150);
    let line = format!("a: {}\r\n", "b".repeat(40_000));
    let endless = format!("a: {}", "b".repeat(400_000));
    for headers in [lines, line, endless] {
        let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{headers}\r\n");
        let got = statuses(&server, request.as_bytes(), 1 << 20).await;
        assert_eq!(got, ["431"]);
    }
    let request = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(40_000));
    assert_eq!(
        statuses(&server, request.as_bytes(), 1 << 20).await,
        ["431"]
    );
    assert_served(&server).await;
}
