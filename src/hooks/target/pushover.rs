//! A user or a group of Pushover.

use axum::body::Bytes;
use http::{HeaderMap, HeaderValue, header};
use serde_json::{Map, Value, json};
use url::{Url, form_urlencoded};

use super::{
    Access, Event, Post, QUOTA_WAIT_MS, Sending, Target, Verdict, after_ms, is_trouble, otherwise,
    words,
};
use crate::http_client::PostAnswer;

/// How many characters a title, a message and an address may have.
const MAX_TITLE_CHARS: usize = 250;
const MAX_TEXT_CHARS: usize = 1024;
const MAX_LINK_CHARS: usize = 512;
/// In trouble it is not to be asked again before, in milliseconds.
const TROUBLE_WAIT_MS: i64 = 5_000;

/// The target.
#[derive(Debug)]
pub(super) struct Pushover;

/// The key of the user or the group in an address.
fn user_of(url: &Url) -> Option<String> {
    let mut pairs = url.query_pairs();
    match (pairs.next(), pairs.next()) {
        (Some((name, key)), None) if name == "user" => {
            let fits = key.len() == 30 && key.bytes().all(|byte| byte.is_ascii_alphanumeric());
            fits.then(|| key.into_owned())
        }
        _ => None,
    }
}

fn cut(text: &str, most_chars: usize) -> String {
    text.chars().take(most_chars).collect()
}

impl Target for Pushover {
    fn check(&self, url: &Url) -> Result<(), String> {
        match user_of(url) {
            Some(_) => Ok(()),
            None => Err("a Pushover address names a user or a group by the key of 30 letters and digits, https://api.pushover.net/1/messages.json?user=…, and nothing else".to_owned()),
        }
    }

    fn access(&self) -> Access {
        Access::Needed("the API token of an application that you make at Pushover")
    }

    /// Pushover allows two connections at once.
    fn at_once(&self) -> Option<usize> {
        Some(2)
    }

    fn render(&self, event: &Event<'_>) -> String {
        let words = words::of(event);
        // Emergencies (2) repeat by themselves at Pushover; here the ring does that, until somebody takes it.
        let mut message = json!({
            "title": cut(&words.title, MAX_TITLE_CHARS), "message": cut(&words.text, MAX_TEXT_CHARS),
            "priority": i32::from(words.is_urgent), "timestamp": event.at.as_millis().div_euclid(1000),
        });
        if words.link.chars().count() <= MAX_LINK_CHARS {
            message["url"] = json!(words.link);
            message["url_title"] = json!("Open in Deskbell");
        }
        message.to_string()
    }

    fn request(&self, sending: &Sending<'_>) -> Result<Post, String> {
        let token = sending.access_token;
        let token = token.ok_or("it has no API token of an application (`access_token`)")?;
        let unreadable = || "its address names no user".to_owned();
        let mut url = Url::parse(&sending.hook.url).map_err(|_| unreadable())?;
        let user = user_of(&url).ok_or_else(unreadable)?;
        url.set_query(None);
        let fields: Result<Map<String, Value>, _> = serde_json::from_str(&sending.told.body);
        let fields = fields.map_err(|_| "what was kept of it cannot be read".to_owned())?;
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("token", token.expose());
        form.append_pair("user", &user);
        for (name, value) in &fields {
            match value.as_str() {
                Some(text) => form.append_pair(name, text),
                None => form.append_pair(name, &value.to_string()),
            };
        }
        let mut headers = HeaderMap::new();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/x-www-form-urlencoded"),
        );
        Ok(Post {
            url: url.into(),
            headers,
            body: Bytes::from(form.finish()),
        })
    }

    fn judge(&self, answer: &PostAnswer) -> Verdict {
        let said: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let is_invalid = |name: &str| said[name] == "invalid";
        match answer.status.as_u16() {
            // The month's messages are used up.
            429 => Verdict::Trouble {
                after_ms: after_ms(answer).or(Some(QUOTA_WAIT_MS)),
            },
            _ if is_trouble(answer) => Verdict::Trouble {
                after_ms: after_ms(answer).max(Some(TROUBLE_WAIT_MS)),
            },
            _ if is_invalid("token") => Verdict::Off(
                "Pushover does not know the API token. Enter that of an application of yours (`access_token`) and switch the hook on again."
                    .to_owned(),
            ),
            _ if is_invalid("user") => Verdict::Off(
                "Pushover does not know the user or the group, or none of its devices is active. Correct the key in the address and switch the hook on again."
                    .to_owned(),
            ),
            404 => Verdict::Off(
                "This is not Pushover's address, https://api.pushover.net/1/messages.json?user=…. Correct it and switch the hook on again."
                    .to_owned(),
            ),
            _ => otherwise(answer),
        }
    }
}
