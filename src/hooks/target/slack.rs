//! An incoming webhook of Slack. Its answers are plain text.

use axum::body::Bytes;
use http::{HeaderMap, HeaderValue, header};
use serde_json::json;

use super::{Event, Post, Sending, Target, Verdict, after_ms, is_trouble, words};
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
        let mut headers = HeaderMap::new();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        Ok(Post {
            url: sending.hook.url.clone(),
            headers,
            body: Bytes::copy_from_slice(sending.told.body.as_bytes()),
        })
    }

    fn judge(&self, answer: &PostAnswer) -> Verdict {
        let said = String::from_utf8_lossy(&answer.body);
        let said: String = said.trim().chars().take(60).collect();
        match answer.status.as_u16() {
            200..=299 => Verdict::Taken,
            403 | 404 | 410 => Verdict::Off(format!(
                "Slack no longer takes this webhook ({said}): it was revoked, or its channel is gone or archived. Make another in Slack, enter its address and switch the hook on again."
            )),
            _ if is_trouble(answer) => Verdict::Trouble {
                after_ms: after_ms(answer),
            },
            300..=399 => Verdict::Refused,
            _ => Verdict::Never,
        }
    }
}
