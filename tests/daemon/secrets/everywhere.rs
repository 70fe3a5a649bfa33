//! Every path on which a secret can be: right, wrong, mixed up and malformed.

use std::time::Duration;

use deskbell_sdk::Secret;
use deskbell_sdk::webhook::hmac_sha256_hex;
use serde_json::{Value, json};

use crate::secrets::{Canaries, KNOWN_NAME, Read, WORDS};
use crate::support::calls::signature_of;
use crate::support::sse::Events;
use crate::support::{Daemon, client, envelope, message, now_ms, raw};

/// Goes everywhere with the secrets: right, wrong, mixed up and malformed.
pub(crate) async fn go(daemon: &Daemon, canaries: &mut Canaries, read: &mut Read) {
    let secret = |canaries: &Canaries, what: &str| canaries[what].clone();
    let bootstrap = secret(canaries, "bootstrap");
    let (app, verify) = (
        secret(canaries, "app-secret-0"),
        secret(canaries, "verify-token-0"),
    );
    let url = |path: &str| format!("{}{path}", daemon.url);

    // The platform's side: the handshake, deliveries that are right, unsigned, malformed and partly bad.
    let handshake = |token: &str| {
        client().get(url("/webhooks/page-0")).query(&[
            ("hub.mode", "subscribe"),
            ("hub.verify_token", token),
            ("hub.challenge", "42"),
        ])
    };
    assert_eq!(read.keep("the handshake", handshake(&verify)).await.0, 200);
    assert_eq!(
        read.keep(
            "a wrong handshake",
            handshake(&secret(canaries, "verify-token-1"))
        )
        .await
        .0,
        403
    );
    let mut event = message("2001", "m_canary", WORDS, now_ms());
    event["recipient"]["id"] = json!("800000");
    let body = envelope("800000", &[event]);
    let deliver = |body: &str, signature: &str| {
        client()
            .post(url("/webhooks/page-0"))
            .header("x-hub-signature-256", signature)
            .body(body.to_owned())
    };
    assert_eq!(
        read.keep(
            "a delivery",
            deliver(&body, &signature_of(&app, body.as_bytes()))
        )
        .await
        .0,
        200
    );
    for (what, signature) in [
        ("the secret as signature", app.clone()),
        (
            "of another app",
            signature_of(&secret(canaries, "app-secret-1"), body.as_bytes()),
        ),
    ] {
        assert_eq!(read.keep(what, deliver(&body, &signature)).await.0, 401);
    }
    for malformed in [
        format!("{{\"object\": {WORDS}"),
        format!("[\"{WORDS}\"]"),
        WORDS.to_owned(),
        format!("{{\"object\":\"{WORDS}\",\"entry\":7}}"),
    ] {
        let (status, _) = read
            .keep(
                "a malformed delivery",
                deliver(&malformed, &signature_of(&app, malformed.as_bytes())),
            )
            .await;
        assert_eq!(status, 400, "{malformed}");
    }
    let bad = format!(
        r#"{{"object":"page","entry":[{{"id":"800000","messaging":[{{"sender":{{"id":"1","id":"2"}},"message":{{"mid":"m_q","text":"{WORDS}"}}}}]}}]}}"#
    );
    assert_eq!(
        read.keep(
            "a partly bad delivery",
            deliver(&bad, &signature_of(&app, bad.as_bytes()))
        )
        .await
        .0,
        200
    );
    for (what, token) in [
        ("echo-0", secret(canaries, "echo-1")),
        ("echo-1", secret(canaries, "echo-0")),
    ] {
        let request = client()
            .post(url(&format!("/webhooks/{what}")))
            .header("x-echo-token", token)
            .body("{}");
        assert_eq!(read.keep("another channel's token", request).await.0, 401);
    }

    // Staff: tokens that are made, used, wrong, in the wrong place and revoked.
    let made = client()
        .post(url("/api/v1/tokens"))
        .bearer_auth(&bootstrap)
        .json(&json!({ "name": KNOWN_NAME, "scopes": ["read"] }));
    let made: Value = made
        .send()
        .await
        .expect("answers")
        .json()
        .await
        .expect("JSON");
    let token = made["token"].as_str().expect("a token").to_owned();
    canaries.insert("api token".to_owned(), token.clone());
    for (what, request) in [
        (
            "a token that is not enough",
            client().get(url("/api/v1/tokens")).bearer_auth(&token),
        ),
        (
            "a token in the address",
            client()
                .get(url("/api/v1/feed"))
                .query(&[("token", &token)])
                .bearer_auth(&token),
        ),
        (
            "a token as a cursor",
            client()
                .get(url("/api/v1/feed"))
                .query(&[("cursor", &token)])
                .bearer_auth(&token),
        ),
        (
            "a token as basic auth",
            client()
                .get(url("/api/v1/feed"))
                .basic_auth(&token, Some(&token)),
        ),
        (
            "a token that is nearly right",
            client()
                .get(url("/api/v1/feed"))
                .bearer_auth(format!("{token}x")),
        ),
        (
            "a token as the name of a channel",
            client()
                .post(url("/api/v1/tokens"))
                .bearer_auth(&bootstrap)
                .json(&json!({ "name": 1, "scopes": [token] })),
        ),
        (
            "a token as a cookie",
            client()
                .get(url("/"))
                .header("cookie", format!("deskbell={token}")),
        ),
        (
            "a secret as a time",
            client()
                .post(url("/api/v1/tokens"))
                .bearer_auth(&bootstrap)
                .json(&json!({ "name": "x", "scopes": ["read"], "expires_at": app })),
        ),
        (
            "a body that is no JSON",
            client()
                .post(url("/api/v1/tokens"))
                .bearer_auth(&bootstrap)
                .header("content-type", "application/json")
                .body(app.clone()),
        ),
    ] {
        read.keep(what, request).await;
    }

    // The set-up link and its session.
    let setup = daemon
        .setup_url
        .split_once("token=")
        .expect("a token")
        .1
        .to_owned();
    canaries.insert("set-up link".to_owned(), setup.clone());
    let opened = client()
        .get(&daemon.setup_url)
        .send()
        .await
        .expect("answers");
    assert_eq!(opened.status(), 303);
    let cookie = opened.headers()["set-cookie"]
        .to_str()
        .expect("text")
        .split(';')
        .next()
        .expect("a pair")
        .to_owned();
    canaries.insert(
        "session".to_owned(),
        cookie.split_once('=').expect("a value").1.to_owned(),
    );
    assert_eq!(
        read.keep("the link again", client().get(&daemon.setup_url))
            .await
            .0,
        303
    );
    let foreign = client()
        .delete(url("/api/v1/session"))
        .header("cookie", &cookie)
        .header("origin", "https://elsewhere.example");
    assert_eq!(read.keep("a forged request", foreign).await.0, 403);
    for path in [
        "/",
        "/api/v1/me",
        "/api/v1/feed",
        "/api/v1/channels",
        "/api/v1/channels/page-0",
        "/api/v1/channels/page-0/health",
        "/api/v1/tokens",
        "/api/v1/quarantine",
        "/api/v1/contacts",
        "/api/v1/conversations",
    ] {
        assert_eq!(
            read.keep(path, client().get(url(path)).header("cookie", &cookie))
                .await
                .0,
            200,
            "{path}"
        );
    }

    // The website: a visitor, strange and known.
    let session = |identity: Value| {
        client()
            .post(url("/chat/site/session"))
            .json(&json!({ "identity": identity }))
    };
    let identity = secret(canaries, "identity");
    let signature = hmac_sha256_hex(&Secret::new(&identity), b"customer-7");
    canaries.insert("identity's signature".to_owned(), signature.clone());
    for wrong in [
        json!({ "id": "customer-7" }),
        json!({ "id": "customer-7", "signature": identity }),
        json!({ "id": "customer-8", "signature": signature }),
    ] {
        assert_eq!(read.keep("a forged identity", session(wrong)).await.0, 403);
    }
    let opened = session(json!({ "id": "customer-7", "name": "Jana", "signature": signature }))
        .send()
        .await
        .expect("answers");
    assert_eq!(opened.status(), 201);
    let visitor = opened.json::<Value>().await.expect("JSON")["token"]
        .as_str()
        .expect("a token")
        .to_owned();
    canaries.insert("visitor".to_owned(), visitor.clone());
    let write = |text: &str, client_id: &str| {
        client()
            .post(url("/chat/site/messages"))
            .bearer_auth(&visitor)
            .json(&json!({ "text": text, "client_id": client_id }))
    };
    assert_eq!(
        read.keep("a visitor's message", write(WORDS, "1")).await.0,
        201
    );
    assert_eq!(
        read.keep("a visitor's wrong message", write(WORDS, ""))
            .await
            .0,
        422
    );
    read.keep(
        "a visitor's conversation",
        client()
            .get(url("/chat/site/messages"))
            .bearer_auth(&visitor),
    )
    .await;
    read.keep(
        "a visitor at the desk",
        client().get(url("/api/v1/feed")).bearer_auth(&visitor),
    )
    .await;
    read.keep(
        "a visitor elsewhere",
        client()
            .get(url("/chat/site/messages"))
            .bearer_auth(&visitor)
            .header("origin", "https://elsewhere.example"),
    )
    .await;

    // For everybody.
    for path in [
        "/metrics",
        "/healthz",
        "/readyz",
        "/openapi.json",
        "/docs/",
        "/try/site",
        "/chat/site.js",
        "/nowhere",
        "/api/v1/nowhere",
    ] {
        read.keep(path, client().get(url(path))).await;
    }
    let broken = format!(
        "GET /{bootstrap} HTTP/1.1\r\nHost: desk\r\nAuthorization: Bearer {bootstrap}\r\nContent-Length: x\r\n\r\n"
    );
    let answer = raw::exchange(&daemon.url, broken.as_bytes(), Duration::from_secs(3));
    read.pages
        .push(("a request that cannot be read".to_owned(), answer));
    let told = Events::open(daemon, &token, Some(0))
        .await
        .up_to_head(daemon, Duration::from_secs(60))
        .await;
    read.pages
        .push(("the stream".to_owned(), format!("{told:?}")));
    let answer = client()
        .delete(url(&format!(
            "/api/v1/tokens/{}",
            made["id"].as_str().expect("an id")
        )))
        .bearer_auth(&bootstrap);
    assert_eq!(read.keep("the revocation", answer).await.0, 204);
    assert_eq!(
        read.keep(
            "a revoked token",
            client().get(url("/api/v1/feed")).bearer_auth(&token)
        )
        .await
        .0,
        401
    );
}
