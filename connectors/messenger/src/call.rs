//! Questions to the Graph API that send nothing, and what its answers mean.

use bytes::Bytes;
use deskbell_sdk::client::{CallError, Http};
use deskbell_sdk::json::mended;
use deskbell_sdk::retry_after::retry_after;
use http::{Request, Response, StatusCode};
use serde::de::DeserializeOwned;

use crate::graph::GraphError;
use crate::send::answer::until_access;

/// What a token needs for more than `me`.
const RIGHTS: &str = "pages_messaging, pages_read_engagement and pages_manage_metadata";

/// One call; the body of Meta's own good answer.
pub(crate) async fn call(
    http: &dyn Http,
    request: Result<Request<Bytes>, String>,
) -> Result<Bytes, CallError> {
    let request = request.map_err(|say| CallError::Refused {
        code: "settings".to_owned(),
        say,
    })?;
    let answer = http.call(request).await?;
    let status = answer.status();
    if let Some(error) = GraphError::of(status, answer.body()) {
        return Err(meaning(error, &answer));
    }
    if status == StatusCode::TOO_MANY_REQUESTS {
        return Err(too_many(&answer, "too many calls"));
    }
    if !status.is_success() {
        let say = format!("Meta answered {} without a reason", status.as_u16());
        return Err(CallError::retry(say));
    }
    Ok(answer.into_body())
}

/// One call whose answer is a small object.
pub(crate) async fn ask<T: DeserializeOwned>(
    http: &dyn Http,
    request: Result<Request<Bytes>, String>,
) -> Result<T, CallError> {
    let body = call(http, request).await?;
    serde_json::from_str(&mended(&body)).map_err(|_| not_metas())
}

/// What came back is none of Meta's answers; a gateway's page passes.
pub(crate) fn not_metas() -> CallError {
    CallError::retry("what came back is not Meta's own answer")
}

fn too_many(answer: &Response<Bytes>, what: &str) -> CallError {
    CallError::Retry {
        after: retry_after(answer.headers()).or_else(|| until_access(answer.headers())),
        say: format!("Meta answers no more for now ({what})"),
    }
}

/// What an error of Meta's means for a question. A missing right is no broken token: it says nothing about sending.
fn meaning(error: GraphError, answer: &Response<Bytes>) -> CallError {
    let number = error.number();
    if error.is_rate_limit() || answer.status() == StatusCode::TOO_MANY_REQUESTS {
        return too_many(answer, &format!("error {number}"));
    }
    if error.passes() {
        return CallError::Retry {
            after: retry_after(answer.headers()),
            say: format!("Meta has a passing trouble (error {number})"),
        };
    }
    if let Some(what) = error.of_token() {
        return CallError::Credentials {
            say: format!("{what} (Meta's error {number})"),
        };
    }
    let what = match error.code {
        3 | 10 | 200..=299 => format!(
            "the token lacks a right ({RIGHTS}): generate a new token under Messenger > API settings with all three"
        ),
        2200 => {
            "Meta called the address and did not get its own challenge back: public_url has to lead to this daemon from \
             the internet, by https with a certificate of a public authority"
                .to_owned()
        }
        33 | 803 => "the token does not see what was asked for: page_id and app_id have to be the Page's and the app's"
            .to_owned(),
        368 => "Meta has restricted the Page or the app: see the Page's Support Inbox".to_owned(),
        _ => "Meta refused the question".to_owned(),
    };
    CallError::Refused {
        say: format!("{what} (Meta's error {number})"),
        code: number,
    }
}
