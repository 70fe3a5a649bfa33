//! What a client says about where it comes from counts only where a trusted proxy says it.

use reqwest::StatusCode;
use serde_json::json;

use crate::support::{APP_SECRET, Daemon, PAGE, client, config, envelope, message, now_ms};

const CLAIMS: &[(&str, &str)] = &[
    ("x-forwarded-for", "127.0.0.1"),
    ("x-forwarded-for", "::1"),
    ("x-forwarded-for", "203.0.113.7"),
    ("x-forwarded-for", "127.0.0.1, 203.0.113.7"),
    ("x-forwarded-for", "unknown"),
    ("x-forwarded-for", ""),
    ("x-real-ip", "127.0.0.1"),
    ("forwarded", "for=127.0.0.1"),
    ("x-forwarded-host", "localhost"),
    ("x-forwarded-port", "443"),
    ("x-forwarded-proto", "https"),
];

async fn figures(daemon: &Daemon, name: &str, value: &str) -> StatusCode {
    let request = client()
        .get(format!("{}/metrics", daemon.url))
        .header(name, value);
    request.send().await.expect("the daemon answers").status()
}

/// How many sessions of the website chat are opened of 300, each with another claimed address.
async fn sessions_opened(daemon: &Daemon) -> usize {
    let mut opened = 0;
    for number in 0..300 {
        let request = client()
            .post(format!("{}/chat/site/session", daemon.url))
            .json(&json!({}));
        let claimed = format!("203.0.{}.{}", 113 + number / 250, number % 250 + 1);
        let answer = request
            .header("x-forwarded-for", claimed)
            .send()
            .await
            .expect("answers");
        match answer.status().as_u16() {
            201 => opened += 1,
            429 => assert!(answer.headers().contains_key("retry-after")),
            other => panic!("answered {other}"),
        }
    }
    opened
}

#[tokio::test]
async fn w18_an_untrusted_peer_gains_nothing_by_naming_another_address() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &config(""));
    assert_eq!(
        client()
            .get(format!("{}/metrics", daemon.url))
            .send()
            .await
            .expect("answers")
            .status(),
        200
    );
    for (name, value) in CLAIMS {
        // Behind a proxy that nobody vouches for, this machine is not the one that asks.
        assert_eq!(figures(&daemon, name, value).await, 401, "{name}: {value}");
    }
    let with_token = client()
        .get(format!("{}/metrics", daemon.url))
        .bearer_auth(crate::support::ADMIN);
    assert_eq!(
        with_token
            .header("x-forwarded-for", "203.0.113.7")
            .send()
            .await
            .expect("answers")
            .status(),
        200
    );

    let opened = sessions_opened(&daemon).await;
    assert!(
        (100..250).contains(&opened),
        "another claimed address is no new allowance: {opened}"
    );

    let body = envelope(
        PAGE,
        &[message("2001", "m_proxied", "through a proxy", now_ms())],
    );
    let unsigned = [("x-forwarded-for", "127.0.0.1")];
    assert_eq!(
        daemon
            .post_webhook("shop-page", &unsigned, body.clone().into_bytes())
            .await,
        401
    );
    let signature = crate::support::signature(APP_SECRET, &body);
    let signed = [
        ("x-forwarded-for", "203.0.113.7"),
        ("x-hub-signature-256", signature.as_str()),
    ];
    assert_eq!(
        daemon
            .post_webhook("shop-page", &signed, body.into_bytes())
            .await,
        200
    );
    assert!(
        !daemon.log_text().contains("203.0.113"),
        "a claimed address is not in the log"
    );
}

#[tokio::test]
async fn w18_a_trusted_proxy_is_believed_about_its_clients() {
    let folder = tempfile::tempdir().expect("a folder");
    let trusting = config("").replacen("[auth]", "trusted_proxies = [\"127.0.0.1/32\"]\n[auth]", 1);
    let daemon = Daemon::start(folder.path(), &trusting);
    assert_eq!(
        client()
            .get(format!("{}/metrics", daemon.url))
            .send()
            .await
            .expect("answers")
            .status(),
        200
    );
    assert_eq!(
        figures(&daemon, "x-forwarded-for", "203.0.113.7").await,
        401
    );
    // A client can write anything on the left; the proxy's own entry is the last.
    assert_eq!(
        figures(&daemon, "x-forwarded-for", "127.0.0.1, 203.0.113.7").await,
        401
    );
    assert_eq!(
        sessions_opened(&daemon).await,
        300,
        "each client has an allowance of its own"
    );
}
