//! Registering the webhook.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use deskbell_sdk::client::CallError;
use deskbell_sdk::health::Standing;
use deskbell_sdk::testkit::conformance::WEBHOOK_SECRET;
use deskbell_sdk::testkit::http::{ScriptedHttp, finish};
use serde_json::{Value, json};

use super::{channel, method, refusal, success};
use crate::WANTED;

const ADDRESS: &str = "https://desk.example.com/webhooks/bot";

/// A Telegram that keeps what it was told.
fn telegram(webhook: Value) -> (ScriptedHttp, Arc<Mutex<Value>>) {
    let kept = Arc::new(Mutex::new(webhook));
    let state = Arc::clone(&kept);
    let http = ScriptedHttp::answering(move |call| {
        let told: Value = serde_json::from_slice(call.body()).expect("JSON");
        let mut state = state.lock().expect("not poisoned");
        Ok(match method(call) {
            "setWebhook" => {
                *state = told;
                success(&json!(true))
            }
            "deleteWebhook" => {
                assert_eq!(told, json!({ "drop_pending_updates": false }));
                *state = json!({});
                success(&json!(true))
            }
            "getWebhookInfo" => success(&json!({
                "url": state["url"].as_str().unwrap_or_default(), "has_custom_certificate": false,
                "pending_update_count": 0, "allowed_updates": state["allowed_updates"],
            })),
            _ => refusal(404, "Not Found"),
        })
    });
    (http, kept)
}

#[test]
fn it_registers_reads_back_and_undoes() {
    let (http, kept) = telegram(json!({}));
    let channel = channel("webhook");
    let register = channel.register().expect("registers");
    let before = finish(register.registered(&http, ADDRESS, &WANTED))
        .expect("ends")
        .expect("told");
    assert!(
        before
            .iter()
            .any(|finding| finding.standing == Standing::Broken),
        "{before:?}"
    );
    finish(register.register(&http, ADDRESS, &WANTED))
        .expect("ends")
        .expect("registered");
    {
        let kept = kept.lock().expect("not poisoned");
        assert_eq!(kept["url"], ADDRESS);
        assert_eq!(kept["secret_token"], WEBHOOK_SECRET);
        assert_eq!(kept["allowed_updates"], json!(WANTED));
        assert_eq!(kept["drop_pending_updates"], json!(false));
    }
    let after = finish(register.registered(&http, ADDRESS, &WANTED))
        .expect("ends")
        .expect("told");
    assert!(
        after
            .iter()
            .all(|finding| finding.standing == Standing::Fine),
        "{after:?}"
    );
    finish(register.unregister(&http, false))
        .expect("ends")
        .expect("undone");
    assert_eq!(*kept.lock().expect("not poisoned"), json!({}));
}

#[test]
fn what_differs_is_found() {
    let channel = channel("webhook");
    let register = channel.register().expect("registers");
    for (webhook, broken) in [
        (
            json!({ "url": "https://other.example/x", "allowed_updates": WANTED }),
            "webhook_address",
        ),
        (
            json!({ "url": ADDRESS, "allowed_updates": ["message"] }),
            "webhook_updates",
        ),
        (json!({ "url": ADDRESS }), "webhook_updates"),
    ] {
        let (http, _) = telegram(webhook);
        let found = finish(register.registered(&http, ADDRESS, &WANTED))
            .expect("ends")
            .expect("told");
        let broken_ones: Vec<&str> = found
            .iter()
            .filter(|finding| finding.standing == Standing::Broken)
            .map(|finding| finding.what)
            .collect();
        assert_eq!(broken_ones, [broken]);
    }
}

#[test]
fn an_address_that_telegram_does_not_take_is_said_in_our_words() {
    let http = ScriptedHttp::answering(|_| {
        Ok::<http::Response<Bytes>, _>(refusal(
            400,
            "Bad Request: bad webhook: IP address 127.0.0.1 is reserved",
        ))
    });
    let channel = channel("webhook");
    let register = channel.register().expect("registers");
    let error = finish(register.register(&http, ADDRESS, &WANTED))
        .expect("ends")
        .expect_err("refused");
    let CallError::Refused { say, .. } = error else {
        panic!("{error:?}")
    };
    assert!(say.contains(ADDRESS) && say.contains("8443"), "{say}");
}
