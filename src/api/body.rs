//! Reading what a request carries: with limits, and with errors that name the field.

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use super::problem::Problem;

/// The largest JSON body of the API, in bytes.
pub const MAX_JSON_BYTES: usize = 1024 * 1024;

/// A JSON body.
#[derive(Clone, Debug)]
pub struct Json<T>(pub T);

/// A JSON body with its bytes, for `Idempotency-Key`.
#[derive(Clone, Debug)]
pub struct JsonBytes<T>(pub T, pub Bytes);

/// The query of a request.
#[derive(Clone, Debug)]
pub struct Query<T>(pub T);

/// The whole body, at most `limit` bytes.
pub async fn read_limited(body: Body, limit: usize) -> Result<Bytes, Problem> {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place with the limit"
    )]
    let collected = Limited::new(body, limit).collect().await;
    collected
        .map(http_body_util::Collected::to_bytes)
        .map_err(|error| {
            if error.downcast_ref::<LengthLimitError>().is_some() {
                return Problem::too_large(limit);
            }
            let title = "The request came too slowly or not whole";
            Problem::new(
                StatusCode::REQUEST_TIMEOUT,
                "incomplete",
                title,
                "Send the whole body without long pauses.",
            )
        })
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBytes<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        let content_type = request
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        let media_type = content_type
            .and_then(|value| value.split(';').next())
            .unwrap_or_default()
            .trim();
        if !media_type.eq_ignore_ascii_case("application/json") {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported-media-type",
                "This takes JSON",
                "Send the body with `Content-Type: application/json`.",
            ));
        }
        let bytes = read_limited(request.into_body(), MAX_JSON_BYTES).await?;
        Ok(Self(parsed(&bytes)?, bytes))
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        JsonBytes::from_request(request, state)
            .await
            .map(|JsonBytes(value, _)| Self(value))
    }
}

/// A JSON body from its bytes; errors name the field.
pub fn parsed<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // Else a list would be read as the fields of an object in their order.
    if bytes.trim_ascii_start().starts_with(b"[") {
        return Err(Problem::field("", "The body is a JSON object, not a list."));
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value: T = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let pointer = pointer_of(error.path());
        let inner = error.into_inner();
        if inner.is_data() {
            return Problem::field(&pointer, format!("{inner}."));
        }
        // A number or `null` where an enumeration stands is told as a syntax error, and is none.
        if serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok() {
            return Problem::field(&pointer, "A value of this kind is not taken here.");
        }
        Problem::bad_request(format!("The body is no JSON: {inner}."))
    })?;
    json.end().map_err(|error| {
        Problem::bad_request(format!("The body is more than one JSON value: {error}."))
    })?;
    Ok(value)
}

/// The JSON pointer (RFC 6901) of a path.
fn pointer_of(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    path.iter()
        .map(|segment| match segment {
            Segment::Seq { index } => format!("/{index}"),
            Segment::Map { key } => format!("/{}", key.replace('~', "~0").replace('/', "~1")),
            Segment::Enum { .. } | Segment::Unknown => String::new(),
        })
        .collect()
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let query = parts.uri.query().unwrap_or_default();
        serde_urlencoded::from_str(query)
            .map(Self)
            .map_err(|error| Problem::bad_request(format!("The query cannot be read: {error}.")))
    }
}
