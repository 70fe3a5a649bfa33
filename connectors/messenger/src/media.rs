//! Where the files of messages are. The links that deliveries hold are signed and die after days; `GET /{mid}` gives new
//! ones (Graph API, Message, field `attachments`).

use deskbell_sdk::client::{BoxFuture, CallError, Http};
use deskbell_sdk::media::{Located, Media, Wanted};
use deskbell_sdk::{Secret, Source};
use serde::Deserialize;

use crate::Messenger;
use crate::ask::ask;
use crate::graph::percent_encoded;

/// The domains of Meta's media servers. They want no token, and get none.
pub(crate) const MEDIA_DOMAINS: [&str; 3] = ["fbcdn.net", "fbsbx.com", "cdninstagram.com"];

#[derive(Deserialize)]
struct Message {
    attachments: Option<Attachments>,
}

#[derive(Deserialize)]
struct Attachments {
    #[serde(default)]
    data: Vec<Attachment>,
}

#[derive(Deserialize)]
struct Attachment {
    image_data: Option<WithUrl>,
    video_data: Option<WithUrl>,
    file_url: Option<String>,
}

#[derive(Deserialize)]
struct WithUrl {
    url: Option<String>,
}

impl Attachment {
    fn url(self) -> Option<String> {
        let pictured = [self.image_data, self.video_data]
            .into_iter()
            .flatten()
            .find_map(|data| data.url);
        pictured.or(self.file_url).filter(|url| !url.is_empty())
    }
}

impl Media for Messenger {
    fn hosts(&self) -> Option<&[&str]> {
        Some(&MEDIA_DOMAINS)
    }

    fn locate<'a>(
        &'a self,
        http: &'a dyn Http,
        wanted: Wanted<'a>,
    ) -> BoxFuture<'a, Result<Located, CallError>> {
        Box::pin(async move {
            match wanted.source {
                Source::Url(url) if !wanted.expired => Ok(located(url.clone())),
                Source::Url(_) => self.locate_anew(http, &wanted).await,
                _ => Err(gone("Messenger's files have addresses only")),
            }
        })
    }
}

impl Messenger {
    async fn locate_anew(
        &self,
        http: &dyn Http,
        wanted: &Wanted<'_>,
    ) -> Result<Located, CallError> {
        if wanted.message.is_empty() {
            return Err(gone("there is no message to ask for"));
        }
        let path = percent_encoded(wanted.message);
        let message: Message = ask(&self.graph, http, &path, "fields=attachments").await?;
        let mut attachments = message.attachments.map_or_else(Vec::new, |all| all.data);
        // Stickers and what was shared are not in this list; then no place in it is certain.
        if wanted.place >= attachments.len() {
            return Err(gone("Meta does not list this attachment any more"));
        }
        attachments
            .swap_remove(wanted.place)
            .url()
            .map(located)
            .ok_or_else(|| gone("Meta gives no link to this attachment"))
    }
}

fn located(url: String) -> Located {
    Located {
        url: Secret::new(url),
        authorization: None,
    }
}

fn gone(say: &str) -> CallError {
    CallError::Refused {
        code: "gone".to_owned(),
        say: say.to_owned(),
    }
}

#[cfg(test)]
mod tests;
