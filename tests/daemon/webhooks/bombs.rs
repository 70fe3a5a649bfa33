//! Bodies that are too large, too deep or too many, all properly signed.

use std::io::Write as _;
use std::time::{Duration, Instant};

use crate::support::calls::{ECHO_TOKEN, echo, signature_of};
use crate::support::{APP_SECRET, Daemon, PAGE, config, envelope, message, now_ms, raw};

const MIB: usize = 1024 * 1024;
const PATIENCE: Duration = Duration::from_secs(15);

/// The body with spaces after it, up to `bytes`.
fn padded(mut body: String, bytes: usize) -> Vec<u8> {
    body.push_str(&" ".repeat(bytes - body.len()));
    body.into_bytes()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w09_a_body_may_have_what_its_platform_needs_and_not_a_byte_more() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &config(&echo("echo")));
    let body = envelope(
        PAGE,
        &[message("2001", "m_largest", "at the limit", now_ms())],
    );
    assert_eq!(
        daemon
            .deliver_bytes("shop-page", APP_SECRET, padded(body, 4 * MIB))
            .await,
        200
    );
    let body = r#"{"messages":[{"id":"largest","thread":"ann","text":"at the limit"}]}"#.to_owned();
    assert_eq!(daemon.echo("echo", padded(body, MIB)).await, 200);
    assert_eq!(daemon.all("feed", 50).await.len(), 2);

    for (channel, limit) in [("shop-page", 4 * MIB), ("echo", MIB)] {
        // Announced: refused before a byte of it is sent.
        for length in [limit + 1, 1 << 30, 1 << 62] {
            let head = format!(
                "POST /webhooks/{channel} HTTP/1.1\r\nHost: desk\r\nx-echo-token: {ECHO_TOKEN}\r\nContent-Length: {length}\r\n\r\n"
            );
            let answer = raw::exchange(&daemon.url, head.as_bytes(), Duration::from_secs(3));
            assert_eq!(
                raw::status(&answer),
                Some(413),
                "{channel}: {length}: {answer}"
            );
            assert!(answer.contains("application/problem+json"), "{answer}");
        }
    }
    assert_eq!(daemon.all("feed", 50).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w09_an_endless_body_is_cut_and_costs_little_memory() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &config(&echo("echo")));
    let before = daemon.resident_bytes();
    for (channel, limit) in [("shop-page", 4 * MIB), ("echo", MIB)] {
        let begun = Instant::now();
        let mut stream = raw::connect(&daemon.url, PATIENCE);
        let head = format!(
            "POST /webhooks/{channel} HTTP/1.1\r\nHost: desk\r\nx-echo-token: {ECHO_TOKEN}\r\nTransfer-Encoding: chunked\r\n\r\n"
        );
        stream
            .write_all(head.as_bytes())
            .expect("the head is taken");
        let chunk = [
            format!("{:x}\r\n", 64 * 1024).as_bytes(),
            &[b' '; 64 * 1024],
            b"\r\n",
        ]
        .concat();
        let mut sent = 0;
        while sent < 1 << 30 && stream.write_all(&chunk).is_ok() {
            sent += 64 * 1024;
        }
        // What the sockets of both sides hold was sent, too.
        assert!(sent < limit + 32 * MIB, "{channel} took {sent} bytes");
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "{channel}: {:?}",
            begun.elapsed()
        );
        let answer = raw::read_all(&mut stream);
        assert!(matches!(raw::status(&answer), Some(413) | None), "{answer}");
    }
    let grown = daemon.resident_bytes().saturating_sub(before);
    assert!(grown < 32 << 20, "the memory grew by {grown} bytes");
    assert!(daemon.all("feed", 50).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w09_a_chunked_body_over_the_limit_is_413() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &config(&echo("echo")));
    for (channel, limit) in [("shop-page", 4 * MIB), ("echo", MIB)] {
        let mut stream = raw::connect(&daemon.url, PATIENCE);
        let head = format!(
            "POST /webhooks/{channel} HTTP/1.1\r\nHost: desk\r\nx-echo-token: {ECHO_TOKEN}\r\nTransfer-Encoding: chunked\r\n\r\n"
        );
        stream
            .write_all(head.as_bytes())
            .expect("the head is taken");
        // One byte over the limit, and then the sender waits: nothing is left unread that could lose the answer.
        let mut left = limit + 1;
        while left > 0 {
            let size = left.min(64 * 1024);
            let chunk = [
                format!("{size:x}\r\n").as_bytes(),
                &vec![b' '; size],
                b"\r\n",
            ]
            .concat();
            stream.write_all(&chunk).expect("taken up to the limit");
            left -= size;
        }
        let answer = raw::read_all(&mut stream);
        assert_eq!(raw::status(&answer), Some(413), "{channel}: {answer}");
    }
}

/// A gzip file of stored blocks: the same bytes with a frame around them.
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut file = vec![0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 0xFF];
    let blocks: Vec<_> = bytes.chunks(60_000).collect();
    for (number, block) in blocks.iter().enumerate() {
        let length = u16::try_from(block.len()).expect("a small block");
        file.push(u8::from(number + 1 == blocks.len()));
        file.extend_from_slice(&length.to_le_bytes());
        file.extend_from_slice(&(!length).to_le_bytes());
        file.extend_from_slice(block);
    }
    file.extend_from_slice(&crc32fast::hash(bytes).to_le_bytes());
    file.extend_from_slice(&u32::try_from(bytes.len()).expect("small").to_le_bytes());
    file
}

#[tokio::test]
async fn w09_a_compressed_body_is_not_unpacked() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &config(""));
    let inside = envelope(PAGE, &[message("2001", "m_zipped", "unpacked", now_ms())]);
    for coding in ["gzip", "deflate", "br", "zstd"] {
        let packed = gzip(inside.as_bytes());
        let signature = signature_of(APP_SECRET, &packed);
        let headers = [
            ("content-encoding", coding),
            ("content-type", "application/json"),
            ("x-hub-signature-256", &signature),
        ];
        let status = daemon.post_webhook("shop-page", &headers, packed).await;
        assert_eq!(
            status, 400,
            "{coding}: a signed body that is not the platform's format"
        );
    }
    assert!(daemon.all("feed", 50).await.is_empty());
    // The same bytes unpacked are a delivery.
    assert_eq!(daemon.deliver("shop-page", APP_SECRET, inside).await, 200);
    assert_eq!(daemon.all("feed", 50).await.len(), 1);
}

/// Values that hurt parsers, each with its name: as deep as `size`, or with half as many keys.
fn nasty(size: usize) -> Vec<(&'static str, String)> {
    let many = size / 2;
    let list = |element: &str| format!("[{}]", vec![element; many].join(","));
    let text = |escape: &str| format!("\"{}\"", escape.repeat(many));
    let keys: Vec<String> = (0..many)
        .map(|number| format!("\"k{number}\":{number}"))
        .collect();
    let digits = "9".repeat(2 * size);
    vec![
        (
            "a deep list",
            format!("{}{}", "[".repeat(size), "]".repeat(size)),
        ),
        (
            "a deep object",
            format!("{}1{}", "{\"a\":".repeat(size), "}".repeat(size)),
        ),
        ("a deep list without end", "[".repeat(size)),
        ("a deep object without end", "{\"a\":".repeat(size)),
        ("many keys", format!("{{{}}}", keys.join(","))),
        (
            "one key many times",
            format!("{{{}}}", vec!["\"k\":1"; many].join(",")),
        ),
        ("many numbers", list("1")),
        ("many empty objects", list("{}")),
        ("many digits", digits.clone()),
        ("many decimals", format!("0.{digits}")),
        ("many backslashes", text(r"\\")),
        ("many escapes", text(r"\u0041")),
        ("many lone surrogates", text(r"\ud800")),
        ("a long key", format!("{{\"{}\":1}}", "k".repeat(2 * size))),
        ("a text without end", format!("\"{}", "a".repeat(2 * size))),
        ("a large exponent", "1e999999999".to_owned()),
        ("a small exponent", "-1e-999999999".to_owned()),
        ("NaN", "NaN".to_owned()),
        ("an empty text", "\"\"".to_owned()),
        ("null", "null".to_owned()),
    ]
}

/// Documents that hurt parsers, each with its name: everything everywhere in the size of the platform's largest batch
/// (1,000 parts, of which each that cannot be understood is kept by itself), and in the largest at the places that are
/// read most often.
fn adversarial() -> Vec<(String, String)> {
    let everywhere = nasty(2_000)
        .into_iter()
        .flat_map(|(name, value)| placed(name, &value));
    let deepest = nasty(200_000).into_iter().flat_map(|(name, value)| {
        let mut documents = placed(name, &value);
        documents.retain(|(name, _)| {
            [" as an event", " as the mid", " as a template"]
                .iter()
                .any(|place| name.ends_with(place))
        });
        documents
    });
    everywhere.chain(deepest).collect()
}

/// A value at each place of a delivery.
fn placed(name: &str, value: &str) -> Vec<(String, String)> {
    let at = now_ms();
    let item = |inner: &str| {
        format!(
            r#"{{"object":"page","entry":[{{"id":"{PAGE}","time":{at},"messaging":[{inner}]}}]}}"#
        )
    };
    let with = |message: &str| {
        item(&format!(
            r#"{{"sender":{{"id":"2001"}},"recipient":{{"id":"{PAGE}"}},"timestamp":{at},"message":{message}}}"#
        ))
    };
    let documents = [
        ("the whole", value.to_owned()),
        ("object", format!(r#"{{"object":{value},"entry":[]}}"#)),
        ("entry", format!(r#"{{"object":"page","entry":{value}}}"#)),
        (
            "an entry",
            format!(r#"{{"object":"page","entry":[{value}]}}"#),
        ),
        (
            "an unknown key",
            format!(r#"{{"object":"page","entry":[],"unknown":{value}}}"#),
        ),
        (
            "the entry's id",
            format!(r#"{{"object":"page","entry":[{{"id":{value},"messaging":[]}}]}}"#),
        ),
        ("an event", item(value)),
        ("the message", with(value)),
        (
            "the text",
            with(&format!(r#"{{"mid":"m_bomb","text":{value}}}"#)),
        ),
        ("the mid", with(&format!(r#"{{"mid":{value},"text":"t"}}"#))),
        (
            "an unknown part",
            with(&format!(
                r#"{{"mid":"m_bomb","text":"t","unknown":{value}}}"#
            )),
        ),
        (
            "the attachments",
            with(&format!(r#"{{"mid":"m_bomb2","attachments":{value}}}"#)),
        ),
        (
            "a payload",
            with(&format!(
                r#"{{"mid":"m_bomb3","attachments":[{{"type":"image","payload":{value}}}]}}"#
            )),
        ),
        (
            "a template",
            with(&format!(
                r#"{{"mid":"m_bomb4","attachments":[{{"type":"template","payload":{value}}}]}}"#
            )),
        ),
        (
            "a time",
            item(&format!(
                r#"{{"sender":{{"id":"2001"}},"recipient":{{"id":"{PAGE}"}},"timestamp":{value},"message":{{"mid":"m_bomb5","text":"t"}}}}"#
            )),
        ),
    ];
    documents
        .into_iter()
        .map(|(place, document)| (format!("{name} as {place}"), document))
        .collect()
}

/// The most that a document of this many bytes may cost, in milliseconds of the processor: what other programs do at
/// the same time does not count. A debug build is allowed more for the largest, and never more than their length asks
/// for: what hurts is a cost that grows faster than the document.
fn most_ms(bytes: usize) -> u64 {
    if cfg!(debug_assertions) {
        600 + u64::try_from(bytes.saturating_sub(100_000) / 250).expect("small")
    } else {
        60
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn w10_documents_that_hurt_parsers_are_answered_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &config(""));
    let mut slow = Vec::new();
    let documents = adversarial();
    assert!(documents.len() >= 300, "{}", documents.len());
    for (name, document) in documents {
        let signature = signature_of(APP_SECRET, document.as_bytes());
        let most = most_ms(document.len());
        let before = daemon.processor_ms();
        let status = daemon
            .post_webhook(
                "shop-page",
                &[("x-hub-signature-256", &signature)],
                document.into_bytes(),
            )
            .await;
        assert!(matches!(status, 200 | 400), "{name}: {status}");
        let took = daemon.processor_ms() - before;
        if took >= most {
            slow.push(format!("{name}: {took} of {most} ms"));
        }
    }
    assert!(slow.is_empty(), "{slow:?}");
    let after = envelope(
        PAGE,
        &[message("2002", "m_after_bombs", "still here", now_ms())],
    );
    assert_eq!(daemon.deliver("shop-page", APP_SECRET, after).await, 200);
    assert!(
        daemon
            .all("feed", 200)
            .await
            .iter()
            .any(|item| item["external_id"] == "m_after_bombs")
    );
    assert!(
        !daemon.log_text().contains("panicked"),
        "{}",
        daemon.log_text()
    );
}
