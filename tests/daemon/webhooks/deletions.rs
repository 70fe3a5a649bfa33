//! A person asks Meta that what the shop keeps be deleted, and Meta passes it on.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use deskbell_sdk::Secret;
use deskbell_sdk::webhook::hmac_sha256_hex;
use serde_json::{Value, json};

use crate::support::{ADMIN, APP_SECRET, Daemon, PAGE, client, config, envelope, message, now_ms};

fn form(secret: &str, person: &str) -> String {
    let payload =
        json!({ "algorithm": "HMAC-SHA256", "user_id": person, "issued_at": 1_790_000_000 });
    let payload = URL_SAFE_NO_PAD.encode(payload.to_string());
    let tag = hmac_sha256_hex(&Secret::new(secret), payload.as_bytes());
    let tag = URL_SAFE_NO_PAD.encode(hex::decode(tag).expect("hex"));
    format!("signed_request={tag}.{payload}")
}

async fn ask(daemon: &Daemon, channel: &str, form: String) -> (u16, Value) {
    let answer = client()
        .post(format!("{}/webhooks/{channel}/data-deletion", daemon.url))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form)
        .send()
        .await
        .expect("answers");
    let status = answer.status().as_u16();
    (status, answer.json().await.expect("JSON"))
}

async fn page(daemon: &Daemon, code: &str) -> String {
    let answer = client()
        .get(format!("{}/data-deletion/{code}", daemon.url))
        .send()
        .await
        .expect("answers");
    assert_eq!(answer.status(), 200);
    answer.text().await.expect("text")
}

#[tokio::test]
async fn a_wish_to_be_forgotten_is_kept_once_shown_to_the_shop_and_to_the_person() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut daemon = Daemon::start(folder.path(), &config(""));
    let body = envelope(PAGE, &[message("2001", "m_1", "Ahoj", now_ms())]);
    assert_eq!(daemon.deliver("shop-page", APP_SECRET, body).await, 200);

    for (channel, secret, status) in [
        ("shop-page", "another-secret", 401),
        ("site", APP_SECRET, 404),
        ("no-such-channel", APP_SECRET, 404),
    ] {
        assert_eq!(
            ask(&daemon, channel, form(secret, "2001")).await.0,
            status,
            "{channel}"
        );
    }
    assert_eq!(ask(&daemon, "shop-page", "x".repeat(20_000)).await.0, 413);
    assert!(daemon.all("data-deletions", 50).await.is_empty());

    let (status, told) = ask(&daemon, "shop-page", form(APP_SECRET, "2001")).await;
    assert_eq!(status, 200, "{told}");
    let code = told["confirmation_code"]
        .as_str()
        .expect("a code")
        .to_owned();
    assert!(
        told["url"]
            .as_str()
            .expect("an address")
            .ends_with(&format!("/data-deletion/{code}")),
        "{told}"
    );
    // Asked again, also after a crash, it is the same wish.
    daemon.kill();
    daemon = Daemon::start_as_it_is(folder.path());
    let (_, again) = ask(&daemon, "shop-page", form(APP_SECRET, "2001")).await;
    assert_eq!(again["confirmation_code"], code.as_str());
    let list = daemon.all("data-deletions", 50).await;
    assert_eq!(list.len(), 1);
    let contact = daemon.all("contacts", 50).await.remove(0);
    assert_eq!(
        (
            &list[0]["external_id"],
            &list[0]["contact_id"],
            &list[0]["done_at"]
        ),
        (&json!("2001"), &contact["id"], &Value::Null)
    );
    let shown = page(&daemon, &code).await;
    assert!(
        shown.contains("has reached the shop") && !shown.contains("2001"),
        "{shown}"
    );

    let done = |code: String| {
        client()
            .post(format!("{}/api/v1/data-deletions/{code}/done", daemon.url))
            .bearer_auth(ADMIN)
            .send()
    };
    assert_eq!(
        done("no-such-code".to_owned())
            .await
            .expect("answers")
            .status(),
        404
    );
    assert_eq!(done(code.clone()).await.expect("answers").status(), 200);
    assert!(page(&daemon, &code).await.contains("It is done"));
    let (_, anew) = ask(&daemon, "shop-page", form(APP_SECRET, "2001")).await;
    assert_ne!(
        anew["confirmation_code"],
        code.as_str(),
        "a wish of its own"
    );
}
