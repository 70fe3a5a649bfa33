//! Telling Telegram where to deliver (`setWebhook`).

use std::collections::BTreeSet;

use deskbell_sdk::client::{BoxFuture, CallError, Http};
use deskbell_sdk::health::{Finding, Standing};
use deskbell_sdk::register::Register;
use serde::{Deserialize, Serialize};

use crate::api::Nothing;
use crate::poll::DeleteWebhook;
use crate::{Telegram, WANTED};

/// How many deliveries Telegram makes at once; its own default.
const MAX_CONNECTIONS: u32 = 40;

#[derive(Serialize)]
struct SetWebhook<'a> {
    url: &'a str,
    allowed_updates: &'a [&'static str],
    secret_token: &'a str,
    max_connections: u32,
    drop_pending_updates: bool,
}

/// What Telegram says of the webhook.
#[derive(Deserialize)]
pub(crate) struct WebhookInfo {
    /// Empty where there is none.
    #[serde(default)]
    pub(crate) url: String,
    #[serde(default)]
    pub(crate) pending_update_count: u64,
    pub(crate) last_error_message: Option<String>,
    pub(crate) allowed_updates: Option<Vec<String>>,
}

impl Register for Telegram {
    fn by_itself(&self) -> bool {
        true
    }

    fn wants(&self) -> Vec<&'static str> {
        WANTED.to_vec()
    }

    fn register<'a>(
        &'a self,
        http: &'a dyn Http,
        callback_url: &'a str,
        events: &'a [&'static str],
    ) -> BoxFuture<'a, Result<(), CallError>> {
        Box::pin(async move {
            let Some(secret) = &self.webhook_secret else {
                return Err(CallError::Refused {
                    code: "no_secret".to_owned(),
                    say: "there is no secret for deliveries, so that none could be let in"
                        .to_owned(),
                });
            };
            let set = SetWebhook {
                url: callback_url,
                allowed_updates: events,
                secret_token: secret.expose(),
                max_connections: MAX_CONNECTIONS,
                drop_pending_updates: false,
            };
            match self.api.ask::<bool>(http, "setWebhook", &set).await {
                Ok(_) => Ok(()),
                Err(CallError::Refused { code, .. }) => Err(CallError::Refused {
                    code,
                    say: format!(
                        "Telegram does not take {callback_url} as the webhook's address: it has to be https, on port \
                         443, 80, 88 or 8443, at a public address"
                    ),
                }),
                Err(error) => Err(error),
            }
        })
    }

    fn registered<'a>(
        &'a self,
        http: &'a dyn Http,
        callback_url: &'a str,
        events: &'a [&'static str],
    ) -> BoxFuture<'a, Result<Vec<Finding>, CallError>> {
        Box::pin(async move {
            let info: WebhookInfo = self.api.ask(http, "getWebhookInfo", &Nothing {}).await?;
            Ok(vec![address(&info, callback_url), kinds(&info, events)])
        })
    }

    fn unregister<'a>(
        &'a self,
        http: &'a dyn Http,
        _app_is_shared: bool,
    ) -> BoxFuture<'a, Result<(), CallError>> {
        Box::pin(async move {
            let keep = DeleteWebhook {
                drop_pending_updates: false,
            };
            self.api
                .ask::<bool>(http, "deleteWebhook", &keep)
                .await
                .map(|_| ())
        })
    }
}

fn address(info: &WebhookInfo, callback_url: &str) -> Finding {
    let (standing, say) = if info.url == callback_url {
        (
            Standing::Fine,
            format!("Telegram delivers to {callback_url}"),
        )
    } else if info.url.is_empty() {
        (
            Standing::Broken,
            "Telegram delivers to no address".to_owned(),
        )
    } else {
        // Whose it is may be nobody's business here; that it is not ours is enough.
        (
            Standing::Broken,
            "Telegram delivers to another address: another program with the same token has set it"
                .to_owned(),
        )
    };
    Finding {
        what: "webhook_address",
        standing,
        say,
    }
}

fn kinds(info: &WebhookInfo, events: &[&'static str]) -> Finding {
    let allowed: BTreeSet<&str> = info
        .allowed_updates
        .iter()
        .flatten()
        .map(String::as_str)
        .collect();
    let missing: Vec<&str> = events
        .iter()
        .copied()
        .filter(|event| !allowed.contains(event))
        .collect();
    let (standing, say) = if missing.is_empty() {
        (
            Standing::Fine,
            "Telegram delivers all kinds of updates that the desk uses".to_owned(),
        )
    } else {
        (
            Standing::Broken,
            format!("Telegram does not deliver {}", missing.join(", ")),
        )
    };
    Finding {
        what: "webhook_updates",
        standing,
        say,
    }
}
