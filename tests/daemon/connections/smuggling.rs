//! What a proxy and the daemon could read in two ways is refused, and nothing after it is read (W19).

use std::time::Duration;

use crate::support::calls::echo;
use crate::support::{Daemon, client, config, raw};

/// How long a connection may stay open after what it sent was refused: less than the limits for slow ones.
const CLOSED_WITHIN: Duration = Duration::from_secs(9);
/// What must never be answered: a request hidden behind another.
const SECOND: &str = "GET /healthz HTTP/1.1\r\nHost: desk\r\nX-Smuggled: 1\r\n\r\n";
/// The requests that the odd headers are put into: one that takes a body and one that takes none.
const STARTS: [&str; 3] = [
    "POST /webhooks/echo HTTP/1.1\r\nHost: desk\r\n",
    "GET /healthz HTTP/1.1\r\nHost: desk\r\n",
    "DELETE /api/v1/tokens/tok_1 HTTP/1.1\r\nHost: desk\r\n",
];

/// Codings that are not just `chunked`.
const CODINGS: &[&str] = &[
    "xchunked",
    "chunkedx",
    "x chunked",
    "chunked x",
    "\"chunked\"",
    "'chunked'",
    "chunked;q=1",
    "chunked, identity",
    "identity",
    "identity, chunked",
    "gzip",
    "gzip, chunked",
    "chunked, gzip",
    "chunked, chunked",
    "chunked,",
    ",chunked",
    "chunk",
    "chunked\u{b}",
    "\u{b}chunked",
    "chunked\u{c}",
    "chunked\u{0}",
    "chu\u{0}nked",
    "chunked\u{a0}",
    "",
];

/// Lengths that are not just digits.
const LENGTHS: &[&str] = &[
    "+5",
    "-5",
    "0x5",
    "5 5",
    "5,5",
    "5, 5",
    "5, 6",
    "5;",
    "5.0",
    "5e0",
    "5a",
    "a5",
    "'5'",
    "\"5\"",
    "five",
    "\u{ff15}",
    "5\u{b}",
    "5\u{0}",
    "18446744073709551616",
    "99999999999999999999999999",
    "",
];

/// Names of the two framing headers as some readers take them.
const NAMES: &[&str] = &[
    "Content-Length ",
    "Content-Length\t",
    "Content-Length\u{b}",
    "Content-Length\u{0}",
    "Content Length",
    "Transfer-Encoding ",
    "Transfer-Encoding\t",
    "Transfer-Encoding\u{b}",
    "Transfer-Encoding\u{0}",
    "Transfer Encoding",
    "\u{b}Transfer-Encoding",
    "\u{0}Content-Length",
    "Transfer-Encoding:",
];

/// Sizes of a chunk that are no hexadecimal digits, or too large.
const SIZES: &[&str] = &[
    "0x0",
    "+0",
    "-0",
    "-1",
    "g",
    "0g",
    "FFFFFFFFFFFFFFFFF",
    "0 0",
    "\u{b}0",
    "\u{0}0",
    "",
    "0\u{0}",
    "zero",
    "'0'",
    "\"0\"",
];

/// First lines that are none.
const FIRST_LINES: &[&str] = &[
    "GET  /healthz HTTP/1.1",
    "GET /healthz  HTTP/1.1",
    "GET\t/healthz HTTP/1.1",
    "GET /healthz\tHTTP/1.1",
    "GET /healthz HTTP/1.2",
    "GET /healthz HTTP/1.10",
    "GET /healthz HTTP/9.9",
    "GET /healthz http/1.1",
    "GET /healthz HTTP/1,1",
    "GET /healthz HTTP/1.1 x",
    "GET /healthz",
    "GET",
    "/healthz HTTP/1.1",
    "GET /health\u{0}z HTTP/1.1",
    "GE\u{0}T /healthz HTTP/1.1",
    "G ET /healthz HTTP/1.1",
    "GET /heal thz HTTP/1.1",
    " GET /healthz HTTP/1.1",
    "GET healthz HTTP/1.1",
    "GET \u{b}/healthz HTTP/1.1",
];

/// Requests that could be read in two ways, each with a second one hidden behind it.
fn ambiguous() -> Vec<(String, String)> {
    let mut all = Vec::new();
    for start in STARTS {
        let mut add = |name: String, headers: String, body: &str| {
            all.push((
                format!("{name} in {start:?}"),
                format!("{start}{headers}\r\n{body}"),
            ));
        };
        let chunked = format!("0\r\n\r\n{SECOND}");
        let length = chunked.len();
        for coding in CODINGS {
            add(
                format!("coding {coding:?}"),
                format!("Transfer-Encoding: {coding}\r\n"),
                &chunked,
            );
            add(
                format!("coding {coding:?} and a length"),
                format!("Content-Length: {length}\r\nTransfer-Encoding: {coding}\r\n"),
                &chunked,
            );
        }
        for value in LENGTHS {
            add(
                format!("length {value:?}"),
                format!("Content-Length: {value}\r\n"),
                &chunked,
            );
        }
        for name in NAMES {
            let value = if name.contains("ength") {
                "5"
            } else {
                "chunked"
            };
            add(
                format!("name {name:?}"),
                format!("{name}: {value}\r\n"),
                &chunked,
            );
        }
        for (name, headers) in [
            (
                "both framings",
                format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n"),
            ),
            (
                "both, the other way round",
                format!("Transfer-Encoding: chunked\r\nContent-Length: {length}\r\n"),
            ),
            (
                "a short length and chunks",
                "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n".to_owned(),
            ),
            (
                "no length and chunks",
                "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n".to_owned(),
            ),
            (
                "two lengths",
                format!("Content-Length: 5\r\nContent-Length: {length}\r\n"),
            ),
            (
                "the same length twice",
                "Content-Length: 5\r\nContent-Length: 5\r\n".to_owned(),
            ),
            (
                "chunked twice",
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n".to_owned(),
            ),
            (
                "chunked, then identity",
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n".to_owned(),
            ),
            (
                "a folded header",
                "X-A: b\r\n Transfer-Encoding: chunked\r\nContent-Length: 5\r\n".to_owned(),
            ),
            (
                "a folded header by a tab",
                "X-A: b\r\n\tTransfer-Encoding: chunked\r\nContent-Length: 5\r\n".to_owned(),
            ),
            ("a second host", "Host: other\r\n".to_owned()),
            (
                "a return in a header",
                "X-A: b\rTransfer-Encoding: chunked\r\n".to_owned(),
            ),
            ("a zero byte in a header", "X-A: b\u{0}\r\n".to_owned()),
            (
                "a header without a colon",
                "Transfer-Encoding\r\n".to_owned(),
            ),
            ("a header without a name", ": chunked\r\n".to_owned()),
        ] {
            add(name.to_owned(), headers, &chunked);
        }
    }
    for size in SIZES {
        all.push((
            format!("chunk size {size:?}"),
            format!(
                "{}Transfer-Encoding: chunked\r\n\r\n{size}\r\n\r\n{SECOND}",
                STARTS[0]
            ),
        ));
    }
    for (name, body) in [
        ("a chunk longer than it says", "1\r\nxx\r\n0\r\n\r\n"),
        ("a chunk without its end", "1\r\nx0\r\n\r\n"),
        ("a chunk ended by a return", "1\r\nx\r0\r\n\r\n"),
        ("a size ended by a return", "1\rx\r\n0\r\n\r\n"),
    ] {
        all.push((
            name.to_owned(),
            format!(
                "{}Transfer-Encoding: chunked\r\n\r\n{body}{SECOND}",
                STARTS[0]
            ),
        ));
    }
    for line in FIRST_LINES {
        all.push((
            format!("first line {line:?}"),
            format!("{line}\r\nHost: desk\r\n\r\n{SECOND}"),
        ));
    }
    all.push((
        "no host".to_owned(),
        format!("GET /healthz HTTP/1.1\r\n\r\n{SECOND}"),
    ));
    all.push((
        "a tunnel".to_owned(),
        format!("CONNECT desk:80 HTTP/1.1\r\nHost: desk\r\n\r\n{SECOND}"),
    ));
    all
}

/// What is wrong with how the daemon took it; `None`: it was refused and the connection closed.
fn fault(url: &str, request: &str) -> Option<String> {
    let begun = std::time::Instant::now();
    let answer = raw::exchange(url, request.as_bytes(), CLOSED_WITHIN * 2);
    if begun.elapsed() > CLOSED_WITHIN {
        return Some(format!("stayed open: {answer:?}"));
    }
    if answer.matches("HTTP/1.1 ").count() > 1 {
        return Some(format!("what followed was answered: {answer:?}"));
    }
    match raw::status(&answer) {
        Some(400 | 408 | 414 | 431 | 501 | 505) => None,
        // Closed without a word: nothing was read as a request.
        None if answer.is_empty() => None,
        _ => Some(format!("taken: {answer:?}")),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w19_what_could_be_read_in_two_ways_is_refused_and_nothing_after_it_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &config(&echo("echo")));
    let all = ambiguous();
    assert!(all.len() >= 300, "{}", all.len());
    let looking: Vec<_> = all
        .chunks(all.len().div_ceil(8))
        .map(|part| {
            let (part, url) = (part.to_vec(), daemon.url.clone());
            tokio::task::spawn_blocking(move || {
                part.into_iter()
                    .filter_map(|(name, request)| {
                        fault(&url, &request).map(|fault| format!("{name}: {fault}"))
                    })
                    .collect::<Vec<_>>()
            })
        })
        .collect();
    let mut faults = Vec::new();
    for part in looking {
        faults.extend(part.await.expect("no panic"));
    }
    assert!(
        faults.is_empty(),
        "{} of {}:\n{}",
        faults.len(),
        all.len(),
        faults.join("\n")
    );
    // Two plain requests on one connection are two requests, or nothing above would prove anything.
    let plain = "GET /healthz HTTP/1.1\r\nHost: desk\r\n\r\nGET /healthz HTTP/1.1\r\nHost: desk\r\nConnection: close\r\n\r\n";
    let answer = raw::exchange(&daemon.url, plain.as_bytes(), CLOSED_WITHIN * 2);
    assert_eq!(answer.matches("HTTP/1.1 200 ").count(), 2, "{answer}");
    let alive = client().get(format!("{}/healthz", daemon.url)).send();
    assert_eq!(alive.await.expect("served").status(), 200);
}
