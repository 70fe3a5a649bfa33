//! A workflow of Microsoft Teams that begins with a webhook request and posts a card.
//!
//! It answers that it has taken a request before the card is posted: that it shows, nobody says.

use serde_json::json;
use url::Url;

use super::{Event, Post, Sending, Target, Verdict, otherwise, post_of_json, words};
use crate::http_client::PostAnswer;

/// The target.
#[derive(Debug)]
pub(super) struct Teams;

impl Target for Teams {
    fn check(&self, url: &Url) -> Result<(), String> {
        let host = url.host_str().unwrap_or_default();
        if host == "webhook.office.com" || host.ends_with(".webhook.office.com") {
            return Err("connectors of Office 365 ended in May 2026. Make a workflow in Teams, “When a Teams webhook request is received”, and enter its address".to_owned());
        }
        if url
            .query_pairs()
            .any(|(name, sig)| name == "sig" && !sig.is_empty())
        {
            Ok(())
        } else {
            Err("a Teams address is that of a workflow, “When a Teams webhook request is received”, whole: with `sig=` near its end".to_owned())
        }
    }

    fn render(&self, event: &Event<'_>) -> String {
        let words = words::of(event);
        // In runs of text nothing is mark-up (Adaptive Cards 1.2), whatever a customer wrote.
        let run = |text: &str, weight: &str| json!({ "type": "RichTextBlock", "inlines": [{ "type": "TextRun", "text": text, "weight": weight }] });
        let card = json!({
            "$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.4",
            "body": [run(&words.title, "Bolder"), run(&words.text, "Default")],
            "actions": [{ "type": "Action.OpenUrl", "title": "Open in Deskbell", "url": words.link }],
            "msteams": { "width": "Full" },
        });
        let attachment = json!({ "contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": null, "content": card });
        json!({ "type": "message", "attachments": [attachment] }).to_string()
    }

    fn request(&self, sending: &Sending<'_>) -> Result<Post, String> {
        Ok(post_of_json(&sending.hook.url, &sending.told.body))
    }

    fn judge(&self, answer: &PostAnswer) -> Verdict {
        match answer.status.as_u16() {
            401 | 403 | 404 => Verdict::Off(
                "Teams no longer takes this address: its workflow was switched off or deleted, or has another address now. Look at the workflow in Teams, enter its address and switch the hook on again."
                    .to_owned(),
            ),
            _ => otherwise(answer),
        }
    }
}
