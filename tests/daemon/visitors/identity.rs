//! Who a visitor is: identities that are proven, and tokens.

use deskbell_sdk::Secret;
use deskbell_sdk::webhook::hmac_sha256_hex;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{ADMIN, Daemon, client};
use crate::visitors::visitor::{Visitor, config, household, open, text, texts};

const SECRET: &str = "invented-identity-secret";

fn signature(secret: &str, id: &str) -> String {
    hmac_sha256_hex(&Secret::new(secret), id.as_bytes())
}

fn with_secret() -> String {
    config(&format!("identity_secret = \"{SECRET}\"\n"))
}

/// The same signature with one digit another one.
fn one_digit_off(genuine: &str, place: usize) -> String {
    let digit = |at: usize, character: char| match (at == place % 64, character) {
        (true, '0') => '1',
        (true, _) => '0',
        (false, same) => same,
    };
    genuine
        .chars()
        .enumerate()
        .map(|(at, character)| digit(at, character))
        .collect()
}

/// Ten ways to claim to be `id` without the shop's signature.
fn forgeries(id: &str, number: usize) -> Vec<Value> {
    let genuine = signature(SECRET, id);
    let signatures = [
        json!(one_digit_off(&genuine, number)),
        json!(genuine[..genuine.len() - 1 - number % 60]),
        json!(format!("{genuine}0")),
        json!(genuine.to_uppercase()),
        json!(format!("sha256={genuine}")),
        json!(signature("another-secret", id)),
        json!(signature(SECRET, &format!("{id}0"))),
        json!(""),
        Value::Null,
    ];
    let mut claims: Vec<_> = signatures
        .into_iter()
        .map(|signature| json!({ "id": id, "signature": signature }))
        .collect();
    claims.push(json!({ "id": id }));
    claims
}

#[tokio::test]
async fn v01_of_a_thousand_forged_identities_none_gets_a_session() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &with_secret());
    let mut tried = 0;
    for number in 0..100 {
        for claim in forgeries(&format!("customer-{number}"), number) {
            let answer = open(
                &daemon,
                "site",
                &household(tried),
                &json!({ "identity": claim }),
            )
            .await;
            assert_eq!(answer.status(), 403, "{claim}");
            let body = answer.text().await.expect("text");
            assert!(!body.contains("dbv_"), "a token for {claim}");
            tried += 1;
        }
    }
    assert_eq!(tried, 1000);
    assert!(daemon.all("conversations", 50).await.is_empty());
    assert!(daemon.all("contacts", 50).await.is_empty());
    assert!(daemon.all("feed", 50).await.is_empty());
    // The same door opens to a genuine one.
    let identity = json!({ "id": "customer-1", "name": "Jana Nováková", "signature": signature(SECRET, "customer-1") });
    let jana = Visitor::come(&daemon, tried, &json!({ "identity": identity })).await;
    jana.say("It is me", "1").await;
    assert_eq!(
        daemon.all("feed", 50).await[0]["contact"]["name"],
        "Jana Nováková"
    );
}

#[tokio::test]
async fn v01_without_a_secret_no_identity_is_believed() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &config(""));
    for (number, claim) in forgeries("customer-1", 5)
        .into_iter()
        .chain([json!({ "id": "customer-1", "signature": signature("", "customer-1") })])
        .enumerate()
    {
        let answer = open(
            &daemon,
            "site",
            &household(number),
            &json!({ "identity": claim }),
        )
        .await;
        assert_eq!(answer.status(), 403, "{claim}");
    }
}

#[tokio::test]
async fn v01_a_proven_identity_cannot_be_kept_by_leaving_the_proof_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &with_secret());
    let identity = json!({ "id": "customer-1", "name": "Jana Nováková", "signature": signature(SECRET, "customer-1") });
    let jana = Visitor::come(&daemon, 1, &json!({ "identity": identity })).await;
    jana.say("My order is 4711", "1").await;

    // The token with a claim that is not signed is refused, whoever it belongs to.
    let unsigned = jana
        .post("session", &json!({ "identity": { "id": "customer-1" } }))
        .await;
    assert_eq!(unsigned.status(), 403);
    // The token of the logged-in customer without any claim is a stranger's: who logged out leaves nothing behind.
    let logged_out = jana.post("session", &json!({})).await;
    assert_eq!(logged_out.status(), 201);
    let session: Value = logged_out.json().await.expect("JSON");
    assert_ne!(text(&session["conversation"]["id"]), jana.conversation);
    let stranger = Visitor {
        token: text(&session["token"]),
        ..jana.clone()
    };
    assert!(stranger.list().await.is_empty());
    // And with another customer's proof it is that customer's.
    let other =
        json!({ "identity": { "id": "customer-2", "signature": signature(SECRET, "customer-2") } });
    let other: Value = jana
        .post("session", &other)
        .await
        .json()
        .await
        .expect("JSON");
    assert_ne!(text(&other["conversation"]["id"]), jana.conversation);

    // The same proof from another browser is the same customer in the same conversation.
    let again = Visitor::come(&daemon, 2, &json!({ "identity": identity })).await;
    assert_eq!(again.conversation, jana.conversation);
    assert_ne!(again.token, jana.token);
    assert_eq!(texts(&again.list().await), ["My order is 4711"]);
}

#[tokio::test]
async fn v01_ids_that_look_like_parts_of_others_stay_apart() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &with_secret());
    let mut visitors = Vec::new();
    for (number, id) in [
        "a",
        "a/b",
        "a/",
        "A",
        "a ",
        "á",
        "a\u{301}",
        "user:a",
        "anonymous:a",
        "../a",
        "a\u{200b}",
        "а",
    ]
    .iter()
    .enumerate()
    {
        let opening = json!({ "identity": { "id": id, "signature": signature(SECRET, id) } });
        visitors.push((id, Visitor::come(&daemon, number, &opening).await));
    }
    for (id, visitor) in &visitors {
        for client_id in ["1", "b/1", "/1", "b", "a/b/1"] {
            let words = format!("{id:?} wrote {client_id}");
            let answer = visitor
                .post(
                    "messages",
                    &json!({ "text": words, "client_id": client_id }),
                )
                .await;
            // What it cannot keep apart it refuses; it never takes it for somebody else's.
            match answer.status() {
                StatusCode::CREATED => assert_eq!(
                    answer.json::<Value>().await.expect("JSON")["text"],
                    words.as_str()
                ),
                other => assert_eq!(other, 422, "{words}"),
            }
        }
    }
    for (id, visitor) in &visitors {
        let own = texts(&visitor.list().await);
        assert!(own.contains(&format!("{id:?} wrote 1")));
        assert!(
            own.iter()
                .all(|words| words.starts_with(&format!("{id:?} wrote"))),
            "{id:?} sees {own:?}"
        );
    }
}

/// Every route that wants a token.
const ROUTES: &[(Method, &str)] = &[
    (Method::GET, "messages"),
    (Method::POST, "messages"),
    (Method::GET, "events"),
    (Method::POST, "typing"),
    (Method::POST, "attachments"),
    (Method::GET, "attachments/att_1"),
];

#[tokio::test]
async fn v02_a_token_works_on_the_origin_it_was_given_to_and_on_no_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(
        folder.path(),
        &config("allowed_origins = [\"https://shop.example\", \"https://blog.example\"]\n"),
    );
    let origin = "https://shop.example";
    let request = client()
        .post(format!("{}/chat/site/session", daemon.url))
        .header("origin", origin)
        .json(&json!({}));
    let session: Value = request
        .send()
        .await
        .expect("answers")
        .json()
        .await
        .expect("JSON");
    let visitor = Visitor {
        url: daemon.url.clone(),
        channel: "site".to_owned(),
        token: text(&session["token"]),
        conversation: text(&session["conversation"]["id"]),
        address: household(1),
    };
    for (method, path) in ROUTES {
        let ask = |origin: &str| {
            let request = visitor
                .request(method.clone(), path)
                .header("origin", origin);
            if *path == "attachments" {
                request.header("content-type", "multipart/form-data; boundary=x")
            } else {
                request.json(&json!({ "text": "x", "client_id": "x" }))
            }
        };
        let replayed = ask("https://blog.example").send().await.expect("answers");
        assert_eq!(replayed.status(), 403, "{method} {path}");
        let own = ask(origin).send().await.expect("answers");
        assert!(
            ![401, 403].contains(&own.status().as_u16()),
            "{method} {path}: {}",
            own.status()
        );
    }
    // From the other origin the token does not go on: a session with it is a stranger's.
    let moved = visitor
        .request(Method::POST, "session")
        .header("origin", "https://blog.example")
        .json(&json!({}));
    let moved: Value = moved
        .send()
        .await
        .expect("answers")
        .json()
        .await
        .expect("JSON");
    assert_ne!(text(&moved["conversation"]["id"]), visitor.conversation);
    assert_ne!(text(&moved["token"]), visitor.token);
}

#[tokio::test]
async fn v02_what_is_no_token_opens_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let second = "\n[[channels]]\nid = \"other-site\"\nconnector = \"webchat\"\nname = \"Another website\"\n";
    let daemon = Daemon::start(folder.path(), &config(second));
    let visitor = Visitor::stranger(&daemon, 1).await;
    visitor.say("Here", "1").await;
    let token = visitor.token.clone();
    let garbage = [
        String::new(),
        "dbv_".to_owned(),
        token[..token.len() - 1].to_owned(),
        format!("{token}A"),
        token.to_uppercase(),
        token.trim_start_matches("dbv_").to_owned(),
        token.replace("dbv_", "dbk_"),
        ADMIN.to_owned(),
        "null".to_owned(),
        visitor.conversation.clone(),
        "' OR 1=1 --".to_owned(),
        "A".repeat(4000),
    ];
    for wrong in garbage {
        for (method, path) in ROUTES {
            let request =
                client().request(method.clone(), format!("{}/chat/site/{path}", daemon.url));
            let request = request
                .header("content-type", "multipart/form-data; boundary=x")
                .header("authorization", format!("Bearer {wrong}"));
            let status = request.send().await.expect("answers").status();
            assert_eq!(status, 401, "{method} {path} with {wrong:?}");
        }
    }
    for scheme in ["", "Basic ", "Token "] {
        let request = client()
            .get(format!("{}/chat/site/messages", daemon.url))
            .header("authorization", format!("{scheme}{token}"));
        assert_eq!(
            request.send().await.expect("answers").status(),
            401,
            "{scheme:?}"
        );
    }
    let in_query = client().get(format!("{}/chat/site/messages?token={token}", daemon.url));
    assert!(
        in_query
            .send()
            .await
            .expect("answers")
            .status()
            .is_client_error(),
        "a token in an address is no token"
    );
    // A visitor's token is one channel's, and no member of the staff's.
    let elsewhere = Visitor {
        channel: "other-site".to_owned(),
        ..visitor.clone()
    };
    assert_eq!(elsewhere.get("messages").await.status(), 401);
    for path in [
        "feed",
        "conversations",
        "me",
        "channels",
        "events",
        &format!("conversations/{}/messages", visitor.conversation),
    ] {
        let request = client()
            .get(format!("{}/api/v1/{path}", daemon.url))
            .bearer_auth(&token);
        assert_eq!(
            request.send().await.expect("answers").status(),
            401,
            "{path}"
        );
    }
    // An unknown token makes a new session rather than an error: the browser kept it for too long.
    let stale = Visitor {
        token: "dbv_forgotten".to_owned(),
        ..visitor.clone()
    };
    assert_eq!(stale.post("session", &json!({})).await.status(), 201);
    // And one that works goes on.
    let goes_on = visitor.post("session", &json!({})).await;
    assert_eq!(goes_on.status(), 200);
    let goes_on: Value = goes_on.json().await.expect("JSON");
    assert_eq!(
        (
            text(&goes_on["token"]),
            text(&goes_on["conversation"]["id"])
        ),
        (token, visitor.conversation)
    );
}
