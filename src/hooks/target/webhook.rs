//! A program that takes events by the Standard Webhooks specification.

use axum::body::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::super::{body, sign};
use super::{Event, Post, Sending, Target, Verdict, after_ms, is_trouble};
use crate::http_client::PostAnswer;

/// Counts how many hooks led to a call, so that a loop ends.
pub(super) const HOPS: HeaderName = HeaderName::from_static("deskbell-hops");
const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// The target.
#[derive(Debug)]
pub(super) struct StandardWebhook;

impl Target for StandardWebhook {
    fn render(&self, event: &Event<'_>) -> String {
        body::of(event.kind, event.at, event.data)
    }

    fn request(&self, sending: &Sending<'_>) -> Result<Post, String> {
        let (told, id) = (sending.told, sending.told.webhook_id());
        let at_seconds = sending.now.as_millis().div_euclid(1000);
        let body = told.body.as_bytes();
        let signature = sign::signatures(sending.secrets, &id, at_seconds, body);
        if signature.is_empty() {
            return Err("it has no secret that can be opened; rotate its secret".to_owned());
        }
        let value = |text: &str| {
            HeaderValue::try_from(text).map_err(|_| "a header cannot be written".to_owned())
        };
        let mut headers = HeaderMap::new();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        headers.insert(ID, value(&id)?);
        headers.insert(TIMESTAMP, at_seconds.into());
        headers.insert(SIGNATURE, value(&signature)?);
        headers.insert(HOPS, u16::from(told.hops.saturating_add(1)).into());
        Ok(Post {
            url: sending.hook.url.clone(),
            headers,
            body: Bytes::copy_from_slice(body),
        })
    }

    fn judge(&self, answer: &PostAnswer) -> Verdict {
        match answer.status.as_u16() {
            200..=299 => Verdict::Taken,
            410 => Verdict::Off(
                "The receiver answered 410: it wants no more deliveries. Switch the hook on again once it does."
                    .to_owned(),
            ),
            _ if is_trouble(answer) => Verdict::Trouble {
                after_ms: after_ms(answer),
            },
            _ => Verdict::Refused,
        }
    }
}
