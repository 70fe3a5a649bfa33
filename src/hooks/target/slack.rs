//! An incoming webhook of Slack. Its answers are plain text.

use serde_json::json;

use super::{Event, Post, Sending, Target, Verdict, otherwise, post_of_json, words};
use crate::http_client::PostAnswer;

/// The target.
#[derive(Debug)]
pub(super) struct Slack;

/// A text in which nothing is a mention, a link or mark-up of a customer's making.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

impl Target for Slack {
    fn render(&self, event: &Event<'_>) -> String {
        let words = words::of(event);
        let head = format!("{}: {}", escaped(&words.title), escaped(&words.text));
        let said = json!({ "type": "plain_text", "text": format!("{}\n{}", words.title, words.text), "emoji": false });
        let link = format!("<{}|Open in Deskbell>", escaped(&words.link));
        // Customers' words stand in plain text, where Slack reads no mark-up.
        json!({ "text": head, "blocks": [
            { "type": "section", "text": said },
            { "type": "context", "elements": [{ "type": "mrkdwn", "text": link }] },
        ] })
        .to_string()
    }

    fn request(&self, sending: &Sending<'_>) -> Result<Post, String> {
        Ok(post_of_json(&sending.hook.url, &sending.told.body))
    }

    fn judge(&self, answer: &PostAnswer) -> Verdict {
        let said = String::from_utf8_lossy(&answer.body);
        let said: String = said.trim().chars().take(60).collect();
        match answer.status.as_u16() {
            403 | 404 | 410 => Verdict::Off(format!(
                "Slack no longer takes this webhook ({said}): it was revoked, or its channel is gone or archived. Make another in Slack, enter its address and switch the hook on again."
            )),
            _ => otherwise(answer),
        }
    }
}
