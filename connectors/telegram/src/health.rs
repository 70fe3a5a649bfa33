//! Whether the bot's token works, and whether messages can come the way they should.

use deskbell_sdk::client::{BoxFuture, CallError, Http};
use deskbell_sdk::health::{Finding, Health, Standing};
use deskbell_sdk::text::clean_name;
use serde::Deserialize;

use crate::api::Nothing;
use crate::register::WebhookInfo;
use crate::{Mode, Telegram};

#[derive(Deserialize)]
struct Me {
    id: i64,
    username: Option<String>,
}

impl Health for Telegram {
    fn look<'a>(&'a self, http: &'a dyn Http) -> BoxFuture<'a, Vec<Finding>> {
        Box::pin(async move {
            let token = self.look_at_token(http).await;
            let works = token.standing == Standing::Fine;
            let mut findings = vec![token];
            // With a token that does not work the next question would only repeat the first answer.
            if works {
                findings.push(self.look_at_webhook(http).await);
            }
            findings
        })
    }
}

impl Telegram {
    async fn look_at_token(&self, http: &dyn Http) -> Finding {
        let (standing, say) = match self.api.ask::<Me>(http, "getMe", &Nothing {}).await {
            Ok(me) if me.id == self.api.bot_id => {
                let name = me.username.as_deref().filter(|name| is_username(name));
                let name = name.map_or_else(|| me.id.to_string(), |name| format!("@{name}"));
                (Standing::Fine, format!("the token works for {name}"))
            }
            Ok(_) => (
                Standing::Broken,
                "the token belongs to another bot than it names: copy it again from @BotFather"
                    .to_owned(),
            ),
            Err(error) => in_words(&error),
        };
        Finding {
            what: "token",
            standing,
            say,
        }
    }

    async fn look_at_webhook(&self, http: &dyn Http) -> Finding {
        let asked = self
            .api
            .ask::<WebhookInfo>(http, "getWebhookInfo", &Nothing {})
            .await;
        let (standing, say) = match asked {
            Ok(info) => match self.mode {
                Mode::Poll => of_poll(&info),
                Mode::Webhook => of_webhook(&info),
            },
            Err(error) => in_words(&error),
        };
        Finding {
            what: "webhook",
            standing,
            say,
        }
    }
}

/// Names of users have letters, digits and underscores only.
fn is_username(name: &str) -> bool {
    name.len() <= 64
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn of_poll(info: &WebhookInfo) -> (Standing, String) {
    if info.url.is_empty() {
        (
            Standing::Fine,
            "messages are asked for, and no webhook is in the way".to_owned(),
        )
    } else {
        (
            Standing::Doubtful,
            "Telegram delivers to a webhook at the moment; it is taken away when the daemon asks for messages. Should it \
             come back, another program uses the same token"
                .to_owned(),
        )
    }
}

fn of_webhook(info: &WebhookInfo) -> (Standing, String) {
    let waiting = info.pending_update_count;
    if info.url.is_empty() {
        // Whether that is as it should be is for the registration to say, which knows our address.
        return (
            Standing::Fine,
            "Telegram has no webhook for the bot yet: the daemon sets it at its start, and again within ten minutes"
                .to_owned(),
        );
    }
    match info.last_error_message.as_deref() {
        Some(error) if waiting > 0 => (
            Standing::Doubtful,
            format!("{waiting} updates wait at Telegram: {}", why(error)),
        ),
        // An error is told long after it has passed.
        _ => (
            Standing::Fine,
            format!("Telegram delivers to a webhook; {waiting} updates wait"),
        ),
    }
}

/// Why Telegram could not deliver. Its words are told apart and not repeated.
fn why(error: &str) -> String {
    let words = error.to_ascii_lowercase();
    let says = |any: &[&str]| any.iter().any(|one| words.contains(one));
    let status = words
        .split(|character: char| !character.is_ascii_digit())
        .find(|digits| digits.len() == 3 && matches!(digits.as_bytes()[0], b'3' | b'4' | b'5'));
    if says(&["ssl", "certificate"]) {
        "it does not accept the certificate of public_url".to_owned()
    } else if says(&["timed out", "timeout"]) {
        "public_url did not answer in time".to_owned()
    } else if says(&["refused", "resolve", "unreachable", "connection"]) {
        "public_url could not be reached".to_owned()
    } else if says(&["wrong response"]) {
        let status = status.map_or_else(String::new, |status| format!(" with {status}"));
        format!("public_url answered{status} instead of taking them")
    } else {
        "it could not deliver them; getWebhookInfo tells why".to_owned()
    }
}

fn in_words(error: &CallError) -> (Standing, String) {
    let say = clean_name(&error.to_string()).unwrap_or_else(|| "no words".to_owned());
    match error {
        CallError::Credentials { .. } | CallError::Refused { .. } => (Standing::Broken, say),
        CallError::Retry { .. } => (Standing::Doubtful, format!("could not be looked at: {say}")),
    }
}
