//! The queue of updates, and the two ways out of it: `getUpdates` and the webhook.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Shared;
use super::server::{No, arguments, done, fail, is_executed};
use super::state::{State, Webhook};

/// The longest wait; what is asked for beyond it is cut to it.
const LONGEST_WAIT_S: u64 = 50;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Look {
    offset: Option<i64>,
    limit: Option<usize>,
    timeout: Option<u64>,
    allowed_updates: Option<Vec<String>>,
}

fn conflict_with_webhook() -> No {
    No::coded(
        409,
        "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first",
    )
}

/// `getUpdates`, by the rules of Telegram's own server.
pub(super) async fn get_updates(shared: &Shared, body: &[u8]) -> Result<Response, No> {
    let look: Look = arguments(body)?;
    let limit = look.limit.unwrap_or(100);
    if !(1..=100).contains(&limit) {
        return Err(No::violation(format!("limit {limit}")));
    }
    if look.offset.is_some_and(|offset| offset < 0) {
        return Err(No::violation("a negative offset forgets updates"));
    }
    let token = shared.state().token.clone();
    let number = {
        let mut state = shared.state();
        state.looks += 1;
        if state.webhook.is_some() {
            return Err(conflict_with_webhook());
        }
        if let Some(allowed) = look.allowed_updates {
            state.allowed_updates = Some(allowed);
        }
        confirm(&mut state, look.offset.unwrap_or(0))?;
        state.newest_look += 1;
        state.newest_look
    };
    // Whoever waits for an answer to an older look gets it now.
    shared.moved.notify_waiters();
    let timeout = Duration::from_secs(look.timeout.unwrap_or(0).min(LONGEST_WAIT_S));
    let until = Instant::now() + timeout;
    loop {
        let moved = shared.moved.notified();
        tokio::pin!(moved);
        // From here on nothing that moves is missed.
        moved.as_mut().enable();
        let fault = {
            let mut state = shared.state();
            if state.token != token {
                return Err(No::coded(401, "Unauthorized"));
            }
            if state.webhook.is_some() {
                return Err(No::coded(409, "Conflict: terminated by setWebhook request"));
            }
            if state.newest_look != number {
                return Err(No::coded(
                    409,
                    "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running",
                ));
            }
            state.look_faults.pop_front()
        };
        if let Some(fault) = fault {
            if is_executed(Some(&fault)) {
                // The answer is lost on its way: it was given all the same.
                give(&mut shared.state(), limit);
            }
            return Ok(fail(shared, fault).await);
        }
        let given = give(&mut shared.state(), limit);
        if !given.is_empty() || Instant::now() >= until {
            return Ok(done(&Value::Array(given)));
        }
        // An error says that the time is over.
        let _ = tokio::time::timeout_at(until.into(), moved).await;
    }
}

/// Forgets everything before `offset`. One that lies outside of the queue confirms nothing.
fn confirm(state: &mut State, offset: i64) -> Result<(), No> {
    let (Some(first), Some(last)) = (state.updates.front(), state.updates.back()) else {
        return Ok(());
    };
    if offset <= first.number || offset > last.number + 1 {
        return Ok(());
    }
    while let Some(first) = state.updates.front()
        && first.number < offset
    {
        if !first.given {
            return Err(No::violation(format!(
                "the update {} is confirmed and was never given",
                first.number
            )));
        }
        state.updates.pop_front();
    }
    Ok(())
}

/// The next updates, as many as go into one answer.
fn give(state: &mut State, limit: usize) -> Vec<Value> {
    let mut left = state.max_answer_bytes;
    let mut given = Vec::new();
    for queued in state.updates.iter_mut().take(limit) {
        let size = queued.body.to_string().len();
        if size > left && !given.is_empty() {
            break;
        }
        left = left.saturating_sub(size);
        queued.given = true;
        given.push(queued.body.clone());
    }
    given
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetWebhook {
    url: String,
    secret_token: String,
    allowed_updates: Vec<String>,
    max_connections: Option<u32>,
    drop_pending_updates: bool,
}

/// `setWebhook`. As a local Bot API server it takes addresses without TLS.
pub(super) fn set_webhook(shared: &Shared, body: &[u8]) -> Result<Response, No> {
    let set: SetWebhook = arguments(body)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if !(1..=256).contains(&set.secret_token.len()) || !set.secret_token.bytes().all(plain) {
        return Err(No::violation("a secret_token that Telegram does not take"));
    }
    if set.drop_pending_updates {
        return Err(No::violation("what waits would be lost"));
    }
    if !set
        .max_connections
        .is_none_or(|most| (1..=100).contains(&most))
    {
        return Err(No::violation("max_connections"));
    }
    if !set.url.starts_with("https://") && !set.url.starts_with("http://127.0.0.1:") {
        return Err(No::coded(
            400,
            "Bad Request: bad webhook: An HTTPS URL must be provided for webhook",
        ));
    }
    let mut state = shared.state();
    if state
        .webhook_set_at
        .is_some_and(|at| at.elapsed() < Duration::from_secs(1))
    {
        return Err(No::wait(1));
    }
    state.webhook_set_at = Some(Instant::now());
    state.allowed_updates = Some(set.allowed_updates.clone());
    state.webhook = Some(Webhook {
        url: set.url,
        secret: set.secret_token,
        allowed_updates: set.allowed_updates,
    });
    state.webhook_error = None;
    drop(state);
    shared.moved.notify_waiters();
    Ok(done(&json!(true)))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DeleteWebhook {
    drop_pending_updates: bool,
}

pub(super) fn delete_webhook(shared: &Shared, body: &[u8]) -> Result<Response, No> {
    let delete: DeleteWebhook = arguments(body)?;
    if delete.drop_pending_updates {
        return Err(No::violation("what waits would be lost"));
    }
    shared.state().webhook = None;
    shared.moved.notify_waiters();
    Ok(done(&json!(true)))
}

pub(super) fn webhook_info(shared: &Shared) -> Response {
    let state = shared.state();
    let mut info = json!({
        "url": state.webhook.as_ref().map_or("", |webhook| &webhook.url), "has_custom_certificate": false,
        "pending_update_count": state.updates.len(),
    });
    if let Some(webhook) = &state.webhook {
        info["max_connections"] = json!(40);
        info["allowed_updates"] = json!(webhook.allowed_updates);
        if let Some(error) = &state.webhook_error {
            info["last_error_date"] = json!(super::now_seconds());
            info["last_error_message"] = json!(error);
        }
    }
    done(&info)
}

/// Delivers to the webhook, one update after the other; what is not taken is delivered again and holds up the rest.
pub(super) async fn deliver(shared: Arc<Shared>) {
    let mut wait = Duration::from_millis(50);
    loop {
        let next = {
            let state = shared.state();
            let update = state.updates.front();
            state
                .webhook
                .clone()
                .zip(update.map(|update| (update.number, update.body.clone())))
        };
        let Some((webhook, (number, update))) = next else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let request = shared
            .client
            .post(&webhook.url)
            .header("x-telegram-bot-api-secret-token", &webhook.secret)
            .json(&update)
            .timeout(Duration::from_secs(60));
        let status = match request.send().await {
            Ok(answer) => answer.status().as_u16(),
            Err(_) => 0,
        };
        let taken = (200..300).contains(&status);
        {
            let mut state = shared.state();
            let is_first = state
                .updates
                .front()
                .is_some_and(|first| first.number == number);
            if taken && is_first {
                state.updates.pop_front();
            } else if !taken {
                state.webhook_error = Some(match status {
                    0 => "Connection refused".to_owned(),
                    status => format!("Wrong response from the webhook: {status}"),
                });
            }
        }
        if taken {
            wait = Duration::from_millis(50);
        } else {
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(Duration::from_secs(2));
        }
    }
}
