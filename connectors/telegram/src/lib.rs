//! Telegram: the talks of one bot, by long poll or by webhook.
//!
//! In mode `poll` the daemon asks (`getUpdates`), and nothing has to be reachable from outside; in mode `webhook`
//! Telegram delivers to `POST /webhooks/{channel_id}`, one update a request, with a secret header that the daemon
//! chose. Both share one queue at Telegram, so that nothing is lost by switching. `README.md` has the set-up.
//!
//! **Ids.** Telegram numbers messages in each chat anew, so a message is `<chat>:<message>`. A thread is `<chat>`; in a
//! forum `<chat>/<topic>`; in a channel's direct messages `<chat>/d<topic>`. Messages of a connected business account
//! have `<connection>:` before that. What has no id of its own (a tap on a button, a blocked bot) gets one made of what
//! tells it from others; the numbers of updates are not used, since Telegram begins them anew after a quiet week.

mod api;
mod decode;
mod health;
mod lookup;
mod place;
mod poll;
mod register;
mod send;
mod wire;

use deskbell_sdk::webhook::shared_secret;
use deskbell_sdk::{
    Channel, Inbound, Kind, Limits, Malformed, Rejected, Request, Secret, Setting, SettingKind,
    SettingProblem, Settings, Verified, Webhook,
};

use crate::api::BotApi;

/// Telegram, as the registry lists it.
pub const KIND: Kind = Kind {
    id: "telegram",
    title: "Telegram",
    settings: SETTINGS,
    api_base: Some("https://api.telegram.org"),
    open,
};

const SETTINGS: &[Setting] = &[
    Setting::secret(
        "bot_token",
        "the bot's token: write /newbot or /token to @BotFather in Telegram",
    ),
    Setting::text(
        "mode",
        "how messages come: poll asks Telegram and needs no public address, webhook lets Telegram deliver to public_url",
    )
    .kind(SettingKind::Choice(&["poll", "webhook"]))
    .default("poll"),
];

/// What carries the secret of a delivery (Bot API, setWebhook).
const SECRET_HEADER: &str = "x-telegram-bot-api-secret-token";
/// The longest token that is taken; Telegram's have about 46 characters.
const MAX_TOKEN_CHARS: usize = 128;

/// The kinds of updates that the desk wants. They are always named: what is left out keeps its former value, and the
/// default leaves reactions out (Bot API, getUpdates).
const WANTED: [&str; 9] = [
    "message",
    "edited_message",
    "business_connection",
    "business_message",
    "edited_business_message",
    "deleted_business_messages",
    "message_reaction",
    "callback_query",
    "my_chat_member",
];

/// How messages come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Poll,
    Webhook,
}

/// One bot.
struct Telegram {
    mode: Mode,
    api: BotApi,
    /// What a delivery has to show; absent where the settings are only checked, and then nothing is let in.
    webhook_secret: Option<Secret>,
}

fn open(settings: &Settings) -> Result<Box<dyn Channel>, SettingProblem> {
    let token = settings.required_secret("bot_token")?;
    let bot_id = bot_id(token).ok_or_else(|| {
        let problem =
            "is no token of a bot; those look like 123456789:AA… and come from @BotFather";
        SettingProblem::new("bot_token", problem)
    })?;
    let mode = match settings.text("mode") {
        Some("webhook") => Mode::Webhook,
        _ => Mode::Poll,
    };
    let base = settings.api_base().or(KIND.api_base).unwrap_or_default();
    Ok(Box::new(Telegram {
        mode,
        api: BotApi {
            base: base.trim_end_matches('/').to_owned(),
            token: token.clone(),
            bot_id,
        },
        webhook_secret: settings.webhook_secret().cloned(),
    }))
}

/// The bot's id, which its token begins with. A token stands in the path of every call, so that nothing else may be in
/// it than what tokens have.
fn bot_id(token: &Secret) -> Option<i64> {
    let token = token.expose();
    let (id, rest) = token.split_once(':')?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    let is_token = token.len() <= MAX_TOKEN_CHARS
        && !rest.is_empty()
        && rest.bytes().all(plain)
        && id.bytes().all(|byte| byte.is_ascii_digit());
    is_token.then(|| id.parse().ok()).flatten()
}

impl Channel for Telegram {
    fn limits(&self) -> Limits {
        Limits {
            reply_window_ms: None,
            text_chars: Some(send::MAX_TEXT_UNITS),
        }
    }

    fn webhook(&self) -> Option<&dyn Webhook> {
        (self.mode == Mode::Webhook).then_some(self)
    }

    fn send(&self) -> Option<&dyn deskbell_sdk::send::Send> {
        Some(&self.api)
    }

    fn poll(&self) -> Option<&dyn deskbell_sdk::poll::Poll> {
        (self.mode == Mode::Poll).then_some(self)
    }

    fn register(&self) -> Option<&dyn deskbell_sdk::register::Register> {
        (self.mode == Mode::Webhook).then_some(self)
    }

    fn profiles(&self) -> Option<&dyn deskbell_sdk::profile::Profiles> {
        Some(&self.api)
    }

    fn media(&self) -> Option<&dyn deskbell_sdk::media::Media> {
        Some(&self.api)
    }

    fn health(&self) -> Option<&dyn deskbell_sdk::health::Health> {
        Some(self)
    }
}

impl Webhook for Telegram {
    fn verify(&self, request: &Request<'_>) -> Result<Verified, Rejected> {
        let secret = self.webhook_secret.as_ref().ok_or(Rejected::Wrong)?;
        shared_secret(request, SECRET_HEADER, secret)
    }

    fn decode(&self, delivery: &Verified) -> Result<Vec<Inbound>, Malformed> {
        decode::update(delivery.body(), self.api.bot_id)
    }
}

#[cfg(test)]
mod tests;
