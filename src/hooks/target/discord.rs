//! A webhook of a Discord channel.

use serde_json::{Value, json};
use url::Url;

use super::{Event, Post, Sending, Target, Verdict, otherwise, post_of_json, words};
use crate::http_client::PostAnswer;

/// The webhook is gone, and its token is another.
const UNKNOWN_WEBHOOK: u64 = 10_015;
const INVALID_TOKEN: u64 = 50_027;

/// The target.
#[derive(Debug)]
pub(super) struct Discord;

/// Whether an address ends as those of webhooks do: `/webhooks/{id}/{token}`.
fn is_webhook(url: &Url) -> bool {
    let parts: Vec<&str> = url.path_segments().into_iter().flatten().collect();
    match parts.as_slice() {
        [.., "webhooks", id, token] => {
            !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit()) && !token.is_empty()
        }
        _ => false,
    }
}

/// A text in which nothing is a mention, a link with other words, or mark-up.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        if matches!(
            letter,
            '\\' | '*' | '_' | '~' | '`' | '|' | '<' | '>' | '#' | '[' | ']'
        ) {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}

impl Target for Discord {
    fn check(&self, url: &Url) -> Result<(), String> {
        if is_webhook(url) {
            Ok(())
        } else {
            Err("a Discord address is that of a webhook as Discord gives it, https://discord.com/api/webhooks/…/…, without /slack or /github at its end".to_owned())
        }
    }

    fn render(&self, event: &Event<'_>) -> String {
        let words = words::of(event);
        let (title, text) = (escaped(&words.title), escaped(&words.text));
        // In angle brackets a link is not looked into.
        let content = format!("**{title}**\n{text}\n<{}>", words.link);
        // Whatever is written in it calls nobody.
        json!({ "content": content, "allowed_mentions": { "parse": [] } }).to_string()
    }

    fn request(&self, sending: &Sending<'_>) -> Result<Post, String> {
        let url = Url::parse(&sending.hook.url);
        let mut url = url.map_err(|_| "its address cannot be read".to_owned())?;
        // Without it Discord answers before it has looked, and says nothing of what is wrong.
        if !url.query_pairs().any(|(name, _)| name == "wait") {
            url.query_pairs_mut().append_pair("wait", "true");
        }
        Ok(post_of_json(url, &sending.told.body))
    }

    fn judge(&self, answer: &PostAnswer) -> Verdict {
        let said: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        // In seconds, with a fraction.
        let asked = said["retry_after"]
            .as_f64()
            .filter(|seconds| *seconds >= 0.0);
        let asked_ms = asked.and_then(|seconds| {
            let wait = std::time::Duration::try_from_secs_f64(seconds).ok()?;
            i64::try_from(wait.as_millis()).ok()?.checked_add(1)
        });
        match (answer.status.as_u16(), said["code"].as_u64()) {
            (401 | 403 | 404, _) | (_, Some(UNKNOWN_WEBHOOK | INVALID_TOKEN)) => Verdict::Off(
                "Discord no longer takes this webhook: it was deleted, or its address was changed. Make another in the channel's settings, enter its address and switch the hook on again."
                    .to_owned(),
            ),
            (429, _) if asked_ms.is_some() => Verdict::Trouble { after_ms: asked_ms },
            _ => otherwise(answer),
        }
    }
}
