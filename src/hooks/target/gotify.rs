//! An application of a Gotify server.

use http::HeaderName;
use serde_json::json;
use url::Url;

use super::{
    Access, Event, Post, Sending, Target, Verdict, otherwise, post_of_json, secret_value, words,
};
use crate::http_client::PostAnswer;

const KEY: HeaderName = HeaderName::from_static("x-gotify-key");

/// The target.
#[derive(Debug)]
pub(super) struct Gotify;

impl Target for Gotify {
    fn check(&self, url: &Url) -> Result<(), String> {
        match url.query() {
            None => Ok(()),
            Some(_) => Err("a Gotify address is that of the server, such as https://push.example/, without the token: that is the access token".to_owned()),
        }
    }

    fn access(&self) -> Access {
        Access::Needed("the token of the application that Gotify shows under Apps")
    }

    fn render(&self, event: &Event<'_>) -> String {
        let words = words::of(event);
        // From 8 on its Android app rings; from 4 on it makes a sound.
        let priority = if words.is_urgent { 8 } else { 5 };
        json!({
            "title": words.title, "message": words.text, "priority": priority,
            "extras": { "client::notification": { "click": { "url": words.link } } },
        })
        .to_string()
    }

    fn request(&self, sending: &Sending<'_>) -> Result<Post, String> {
        let token = sending.access_token;
        let token = token.ok_or("it has no token of an application (`access_token`)")?;
        let server = sending.hook.url.trim_end_matches('/');
        let server = server.strip_suffix("/message").unwrap_or(server);
        let mut post = post_of_json(format!("{server}/message"), &sending.told.body);
        post.headers.insert(KEY, secret_value(token.expose())?);
        Ok(post)
    }

    fn judge(&self, answer: &PostAnswer) -> Verdict {
        match answer.status.as_u16() {
            401 | 403 => Verdict::Off(
                "Gotify refuses the token: the application was deleted, or it is not the token of an application. Enter another (`access_token`) and switch the hook on again."
                    .to_owned(),
            ),
            404 => Verdict::Off(
                "There is no Gotify server at this address. Correct it and switch the hook on again."
                    .to_owned(),
            ),
            _ => otherwise(answer),
        }
    }
}
