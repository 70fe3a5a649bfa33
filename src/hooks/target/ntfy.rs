//! A topic of an ntfy server.
//!
//! The message goes as JSON to the server's root, with the topic in it: headers would have to be ASCII.

use http::header;
use serde_json::{Value, json};
use url::Url;

use super::{
    Access, Event, Post, QUOTA_WAIT_MS, Sending, Target, Verdict, after_ms, otherwise,
    post_of_json, secret_value, words,
};
use crate::http_client::PostAnswer;

/// The target.
#[derive(Debug)]
pub(super) struct Ntfy;

/// The server's root and the topic of an address.
fn root_and_topic(url: &Url) -> Option<(Url, String)> {
    let (above, topic) = url.path().trim_end_matches('/').rsplit_once('/')?;
    let fits = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
    if topic.is_empty() || topic.len() > 64 || !topic.chars().all(fits) {
        return None;
    }
    let mut root = url.clone();
    root.set_path(&format!("{above}/"));
    root.set_query(None);
    root.set_fragment(None);
    Some((root, topic.to_owned()))
}

impl Target for Ntfy {
    fn check(&self, url: &Url) -> Result<(), String> {
        match root_and_topic(url) {
            Some(_) if url.query().is_none() => Ok(()),
            _ => Err("an ntfy address is that of a topic, such as https://ntfy.sh/a-topic-that-nobody-guesses: letters, digits, - and _, at most 64".to_owned()),
        }
    }

    fn access(&self) -> Access {
        Access::Possible
    }

    fn render(&self, event: &Event<'_>) -> String {
        let words = words::of(event);
        let (priority, tag) = if words.is_urgent {
            (5, "rotating_light")
        } else {
            (4, "bell")
        };
        json!({
            "title": words.title, "message": words.text, "click": words.link,
            "priority": priority, "tags": [tag],
        })
        .to_string()
    }

    fn request(&self, sending: &Sending<'_>) -> Result<Post, String> {
        let unreadable = || "its address is that of no topic".to_owned();
        let url = Url::parse(&sending.hook.url).map_err(|_| unreadable())?;
        let (root, topic) = root_and_topic(&url).ok_or_else(unreadable)?;
        let body: Result<Value, _> = serde_json::from_str(&sending.told.body);
        let mut body = body.map_err(|_| "what was kept of it cannot be read".to_owned())?;
        body["topic"] = json!(topic);
        let mut post = post_of_json(root, &body.to_string());
        if let Some(token) = sending.access_token {
            let bearer = format!("Bearer {}", token.expose());
            post.headers
                .insert(header::AUTHORIZATION, secret_value(&bearer)?);
        }
        Ok(post)
    }

    fn judge(&self, answer: &PostAnswer) -> Verdict {
        let said: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        match (answer.status.as_u16(), said["code"].as_u64()) {
            (_, Some(42908)) => Verdict::Trouble {
                after_ms: after_ms(answer).or(Some(QUOTA_WAIT_MS)),
            },
            (401 | 403, _) => Verdict::Off(
                "The ntfy server refuses: the access token is wrong, or may not write to this topic. Enter another (`access_token`) and switch the hook on again."
                    .to_owned(),
            ),
            (404, _) => Verdict::Off(
                "There is no ntfy server at this address. Correct it and switch the hook on again."
                    .to_owned(),
            ),
            _ => otherwise(answer),
        }
    }
}
