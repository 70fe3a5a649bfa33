//! Errors as RFC 9457 tells them: `application/problem+json`.

use std::collections::BTreeMap;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::store::StoreError;
use crate::writer::WriteError;

/// What went wrong.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Problem {
    /// A stable name of the problem, as a path below `/docs/problems/`.
    pub r#type: String,
    /// The problem in a few words, always the same for the same type.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened here, and what to do.
    pub detail: String,
    /// Each field that does not do.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldProblem>,
    /// What else belongs to this type of problem, by name.
    #[serde(flatten)]
    #[schema(additional_properties, value_type = Object)]
    pub more: Option<Box<BTreeMap<&'static str, Value>>>,
    /// After how many seconds to try again.
    #[serde(skip)]
    retry_after_seconds: Option<u32>,
}

/// A field that does not do.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct FieldProblem {
    /// Where it is in the body: a JSON pointer.
    pub pointer: String,
    /// What is wrong with it.
    pub detail: String,
}

impl Problem {
    /// A problem.
    #[must_use]
    pub fn new(status: StatusCode, name: &str, title: &str, detail: impl Into<String>) -> Self {
        debug_assert!(
            super::problems::is_explained(name),
            "{name} has no page below /docs/problems"
        );
        Self {
            r#type: format!("/docs/problems/{name}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            errors: Vec::new(),
            more: None,
            retry_after_seconds: None,
        }
    }

    /// The same problem, with when to try again.
    #[must_use]
    pub const fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_seconds = Some(seconds);
        self
    }

    /// The same problem, with something that belongs to its type.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: &impl Serialize) -> Self {
        self.more
            .get_or_insert_default()
            .insert(name, serde_json::to_value(value).unwrap_or_default());
        self
    }

    /// 400: the request cannot be read.
    #[must_use]
    pub fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "bad-request",
            "The request cannot be read",
            detail,
        )
    }

    /// 401: nobody is signed in.
    #[must_use]
    pub fn unauthorized() -> Self {
        let detail = "Send an API token as `Authorization: Bearer dbk_…`, or sign in to the desk.";
        Self::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "Not signed in",
            detail,
        )
    }

    /// 403: the right is missing.
    #[must_use]
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", "Not allowed", detail)
    }

    /// 404: there is none, or the caller may not know of it.
    #[must_use]
    pub fn not_found(what: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not-found",
            "Not found",
            format!("There is no such {what}, or you may not see it."),
        )
    }

    /// 409: it does not fit how things stand.
    #[must_use]
    pub fn conflict(name: &str, title: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, name, title, detail)
    }

    /// 422: a field does not do.
    #[must_use]
    pub fn field(pointer: &str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        let mut problem = Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid",
            "A field does not do",
            format!("{pointer}: {detail}"),
        );
        problem.errors.push(FieldProblem {
            pointer: pointer.to_owned(),
            detail,
        });
        problem
    }

    /// 422: fields that do not do, all of them.
    #[must_use]
    pub fn fields(errors: Vec<FieldProblem>) -> Self {
        let told = errors.iter().take(3);
        let told: Vec<_> = told
            .map(|field| format!("{}: {}", field.pointer, field.detail))
            .collect();
        let more = match errors.len().saturating_sub(told.len()) {
            0 => String::new(),
            more => format!(" And {more} more: `errors` has all."),
        };
        let mut problem = Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid",
            "A field does not do",
            format!("{}{more}", told.join(" ")),
        );
        problem.errors = errors;
        problem
    }

    /// 413: larger than is taken.
    #[must_use]
    pub fn too_large(limit_bytes: usize) -> Self {
        let detail = format!("The body may have {limit_bytes} bytes at the most.");
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too-large",
            "Too large",
            detail,
        )
    }

    /// 429: too many requests.
    #[must_use]
    pub fn too_many(detail: impl Into<String>, seconds: u32) -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too-many-requests",
            "Too many requests",
            detail,
        )
        .retry_after(seconds)
    }

    /// 503: not now.
    #[must_use]
    pub fn unavailable(detail: impl Into<String>) -> Self {
        let title = "Not available right now";
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            title,
            detail,
        )
        .retry_after(1)
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "a request could not be answered from the store");
        Self::unavailable("The store cannot be read right now. Try again shortly.")
    }
}

impl From<WriteError> for Problem {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Busy => {
                Self::unavailable("Too many changes are waiting. Try again shortly.")
            }
            WriteError::Store(_) => {
                Self::unavailable("The store cannot take changes right now. Try again shortly.")
            }
            WriteError::Stopping => Self::unavailable("The daemon is stopping. Try again shortly."),
            WriteError::Poison => Self::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "A fault of Deskbell's",
                "This change cannot be decided. It was refused, and nothing of it is kept; the log says more.",
            ),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status(), axum::Json(&self)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(seconds) = self.retry_after_seconds {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status() == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
