//! Asking Telegram for updates (`getUpdates`).

use std::time::Duration;

use bytes::Bytes;
use deskbell_sdk::Inbound;
use deskbell_sdk::client::{BoxFuture, CallError, Http};
use deskbell_sdk::json::{Raw, mended};
use deskbell_sdk::poll::{Poll, Polled};
use http::Response;
use serde::{Deserialize, Serialize};

use crate::api::{No, own_result};
use crate::{Telegram, WANTED, decode};

/// How long Telegram lets a call wait; asking for more gives this as well.
const WAIT_SECONDS: u32 = 50;
/// The most updates in one answer.
const UPDATES: u32 = 100;
/// How long Telegram keeps messages that nobody fetches.
const KEPT_FOR: Duration = Duration::from_secs(24 * 60 * 60);
/// How long another reader of the same bot is left alone: Telegram itself delays its answers by three seconds.
const AFTER_ANOTHER: Duration = Duration::from_secs(5);

#[derive(Serialize)]
struct Ask {
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<i64>,
    limit: u32,
    timeout: u32,
    allowed_updates: [&'static str; WANTED.len()],
}

#[derive(Serialize)]
pub(crate) struct DeleteWebhook {
    pub(crate) drop_pending_updates: bool,
}

/// Of an update only its number is read here.
#[derive(Deserialize)]
struct Numbered {
    update_id: i64,
}

impl Poll for Telegram {
    /// An `offset` confirms everything before it, so it is only ever one that is durable. Fewer updates than the limit
    /// do not mean that there are no more: answers are cut at about 4 MiB.
    fn poll<'a>(
        &'a self,
        http: &'a dyn Http,
        since: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Polled, CallError>> {
        Box::pin(async move {
            let ask = Ask {
                offset: since.and_then(|since| since.parse().ok()),
                limit: UPDATES,
                timeout: WAIT_SECONDS,
                allowed_updates: WANTED,
            };
            let mut answer = self.api.answer(http, "getUpdates", &ask).await?;
            if webhook_is_in_the_way(&answer) {
                // What is queued stays queued: both ways share one queue.
                let keep = DeleteWebhook {
                    drop_pending_updates: false,
                };
                self.api.ask::<bool>(http, "deleteWebhook", &keep).await?;
                answer = self.api.answer(http, "getUpdates", &ask).await?;
            }
            let result = own_result(&answer).map_err(|no| meaning(&no, &answer))?;
            polled(&result, since)
        })
    }

    fn decode(&self, update: &Bytes) -> Vec<Inbound> {
        decode::polled(update, self.api.bot_id)
    }

    fn longest_wait(&self) -> Duration {
        Duration::from_secs(u64::from(WAIT_SECONDS))
    }

    fn keeps_for(&self) -> Option<Duration> {
        Some(KEPT_FOR)
    }
}

fn webhook_is_in_the_way(answer: &Response<Bytes>) -> bool {
    matches!(own_result(answer), Err(No::Refused(refusal)) if refusal.code == 409 && refusal.says(&["webhook"]))
}

fn meaning(no: &No, answer: &Response<Bytes>) -> CallError {
    match no {
        No::Refused(refusal) if refusal.code == 409 => {
            let say = if refusal.says(&["webhook"]) {
                "another program with the same token sets a webhook again and again: stop it, or give this bot a new \
                 token by /revoke at @BotFather"
            } else {
                "another program reads this bot's messages with the same token: stop it, or give this bot a new token \
                 by /revoke at @BotFather"
            };
            CallError::Retry {
                after: Some(AFTER_ANOTHER),
                say: say.to_owned(),
            }
        }
        no => no.for_a_question(answer.headers()),
    }
}

/// The updates of an answer, and where the next look begins: behind the highest number, whatever the former was, since
/// Telegram begins its numbers anew after a quiet week.
fn polled(result: &str, since: Option<&str>) -> Result<Polled, CallError> {
    let text = mended(result.as_bytes());
    let list: Vec<Raw<'_>> = serde_json::from_str(&text)
        .map_err(|_| CallError::retry("Telegram's answer to getUpdates cannot be understood"))?;
    let highest = list
        .iter()
        .filter_map(|update| serde_json::from_str::<Numbered>(update.get()).ok())
        .map(|numbered| numbered.update_id)
        .max();
    let next = match (highest, list.is_empty()) {
        (Some(highest), _) => highest.saturating_add(1).to_string(),
        (None, true) => since.unwrap_or_default().to_owned(),
        (None, false) => {
            return Err(CallError::retry(
                "none of Telegram's updates has a number, so that none can be confirmed",
            ));
        }
    };
    Ok(Polled {
        updates: list
            .iter()
            .map(|update| Bytes::copy_from_slice(update.get().as_bytes()))
            .collect(),
        next,
        wait: None,
    })
}
