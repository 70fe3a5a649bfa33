//! Deliveries, as Meta writes and signs them.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use deskbell_sdk::Secret;
use deskbell_sdk::webhook::hmac_sha256_hex;
use serde_json::{Value, json};

use super::state::Executed;
use super::{Echo, Shared, now_ms};

/// How often a delivery is tried, and how long it is waited between.
const TRIES: u32 = 5;
const BETWEEN_TRIES: Duration = Duration::from_millis(200);
/// How long after an answer the echo that comes "right after" it comes.
const RIGHT_AFTER: Duration = Duration::from_millis(30);

/// JSON as Meta writes it: every character outside ASCII and every slash escaped. The signature covers these bytes.
pub(super) fn as_meta_writes(body: &Value) -> String {
    let plain = body.to_string();
    let mut escaped = String::with_capacity(plain.len() * 2);
    for character in plain.chars() {
        match character {
            '/' => escaped.push_str("\\/"),
            ascii if ascii.is_ascii() => escaped.push(ascii),
            other => {
                for unit in other.encode_utf16(&mut [0; 2]) {
                    write!(escaped, "\\u{unit:04x}").expect("a String takes all");
                }
            }
        }
    }
    escaped
}

/// Delivers events of the Page, and again while they are not taken. The last status, 0 where no answer came.
pub(super) async fn deliver(shared: &Shared, events: Vec<Value>) -> u16 {
    let (callback, page) = {
        let state = shared.state();
        (state.callback.clone(), state.page.clone())
    };
    let Some(callback) = callback else { return 0 };
    let entry = json!({ "id": page.page_id, "time": now_ms(), "messaging": events });
    let body = as_meta_writes(&json!({ "object": "page", "entry": [entry] }));
    let signature = format!(
        "sha256={}",
        hmac_sha256_hex(&Secret::new(page.app_secret), body.as_bytes())
    );
    let mut status = 0;
    for attempt in 0..TRIES {
        if attempt > 0 {
            tokio::time::sleep(BETWEEN_TRIES).await;
        }
        let request = shared
            .client
            .post(&callback)
            .header("content-type", "application/json")
            .header("x-hub-signature-256", &signature)
            .body(body.clone());
        status = request
            .send()
            .await
            .map_or(0, |answer| answer.status().as_u16());
        shared.state().webhook_answers.push(status);
        if status == 200 {
            break;
        }
    }
    status
}

/// Delivers the echo of an executed message when the test wants it.
pub(super) async fn echo(shared: &Arc<Shared>, message: &Executed) {
    let (mode, has_callback, event) = {
        let state = shared.state();
        (
            state.echo,
            state.callback.is_some(),
            echo_of(&state.page.page_id, &state.page.app_id, message),
        )
    };
    if !has_callback {
        return;
    }
    let later = |wait: Duration| {
        let (shared, event) = (Arc::clone(shared), event.clone());
        tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            deliver(&shared, vec![event]).await;
        });
    };
    match mode {
        Echo::Never => {}
        Echo::Before => {
            deliver(shared, vec![event]).await;
        }
        Echo::After => later(RIGHT_AFTER),
        Echo::Late(wait) => later(wait),
        Echo::Twice => {
            later(RIGHT_AFTER);
            deliver(shared, vec![event]).await;
        }
    }
}

fn echo_of(page_id: &str, app_id: &str, message: &Executed) -> Value {
    let mut echo = json!({ "mid": message.id, "is_echo": true });
    // As a number, which is how Meta writes it mostly.
    echo["app_id"] = app_id
        .parse::<u64>()
        .map_or_else(|_| json!(app_id), |number| json!(number));
    if let Some(metadata) = &message.metadata {
        echo["metadata"] = json!(metadata);
    }
    if let Some(text) = &message.text {
        echo["text"] = json!(text);
    }
    if let Some(file) = &message.file {
        let url = format!("https://cdn.fbcdn.example/{}/{}", message.id, file.name);
        echo["attachments"] = json!([{ "type": file.kind, "payload": { "url": url } }]);
    }
    json!({
        "sender": { "id": page_id }, "recipient": { "id": message.recipient }, "timestamp": message.at_ms, "message": echo,
    })
}
