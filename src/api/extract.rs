//! What handlers take from a request before its body: who calls and may, and which thing the path names.
//!
//! Rights are checked before the body is read, so that nobody learns from a body's errors what they may not use.

use std::str::FromStr;

use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::header;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

use super::auth::{Signed, came};
use super::body::{Json, MAX_JSON_BYTES, read_limited};
use super::problem::Problem;
use crate::access::Caller;
use crate::app::App;
use crate::id::{
    AttachmentId, ContactId, ConversationId, HookId, MessageId, QuarantineId, ReplyId, SessionId,
    TeamId, TokenId, UserId, ViewId,
};
use crate::store::entry::Right;

/// Defines a caller who has a right.
macro_rules! caller_who_may {
    ($(#[$doc:meta])* $name:ident, $right:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name(pub Caller);

        impl FromRequestParts<App> for $name {
            type Rejection = Problem;

            async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
                Signed(came(app, parts)?).with($right).map(Self)
            }
        }
    };
}

caller_who_may!(
    /// A caller who may read.
    MayRead,
    Right::Read
);
caller_who_may!(
    /// A caller who may write.
    MayWrite,
    Right::Write
);
caller_who_may!(
    /// An administrator.
    MayAdmin,
    Right::Admin
);

/// An id that stands in a path.
pub trait PathId: FromStr + Send {
    /// What people call the thing.
    const WHAT: &'static str;
}

impl PathId for ConversationId {
    const WHAT: &'static str = "conversation";
}

impl PathId for MessageId {
    const WHAT: &'static str = "message";
}

impl PathId for ReplyId {
    const WHAT: &'static str = "reply";
}

impl PathId for ViewId {
    const WHAT: &'static str = "view";
}

impl PathId for ContactId {
    const WHAT: &'static str = "contact";
}

impl PathId for AttachmentId {
    const WHAT: &'static str = "attachment";
}

impl PathId for TokenId {
    const WHAT: &'static str = "token";
}

impl PathId for TeamId {
    const WHAT: &'static str = "team";
}

impl PathId for HookId {
    const WHAT: &'static str = "hook";
}

impl PathId for QuarantineId {
    const WHAT: &'static str = "quarantine entry";
}

impl PathId for UserId {
    const WHAT: &'static str = "person";
}

impl PathId for SessionId {
    const WHAT: &'static str = "session";
}

/// The one id of a path. What is no id names nothing: 404.
#[derive(Clone, Copy, Debug)]
pub struct Id<T>(pub T);

impl<T: PathId, S: Send + Sync> FromRequestParts<S> for Id<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(text) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|_| Problem::not_found(T::WHAT))?;
        text.parse()
            .map(Self)
            .map_err(|_| Problem::not_found(T::WHAT))
    }
}

/// The slug of a path. What cannot be read names nothing: 404.
#[derive(Clone, Debug)]
pub struct Slug(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Slug {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(text) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|_| Problem::not_found("channel"))?;
        Ok(Self(text))
    }
}

/// A JSON body, or none at all, which means the default.
#[derive(Clone, Debug)]
pub struct JsonOrNothing<T>(pub T);

impl<T: DeserializeOwned + Default, S: Send + Sync> FromRequest<S> for JsonOrNothing<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if request.headers().contains_key(header::CONTENT_TYPE) {
            return Json::from_request(request, state)
                .await
                .map(|Json(value)| Self(value));
        }
        let (parts, body) = request.into_parts();
        let bytes = read_limited(body, MAX_JSON_BYTES).await?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        // Without its type a body is refused in the same words as everywhere.
        let request = Request::from_parts(parts, bytes.into());
        Json::from_request(request, state)
            .await
            .map(|Json(value)| Self(value))
    }
}

/// Reads a field of a change that is there: `null` empties it, and only a field that is left out is `None`.
/// Use with `#[serde(default, deserialize_with = "present")]`.
pub fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}
