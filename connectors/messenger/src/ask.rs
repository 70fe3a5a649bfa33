//! Questions to Meta that anything but sending has, and what its refusals mean for them.

use deskbell_sdk::client::{CallError, Http};
use deskbell_sdk::json::mended;
use deskbell_sdk::retry_after::retry_after;
use serde::de::DeserializeOwned;

use crate::graph::{Graph, GraphError};

/// One question.
pub(crate) async fn ask<T: DeserializeOwned>(
    graph: &Graph,
    http: &dyn Http,
    path: &str,
    query: &str,
) -> Result<T, CallError> {
    let request = graph.get(path, query).map_err(CallError::retry)?;
    let answer = http.call(request).await?;
    let status = answer.status();
    if let Some(error) = GraphError::of(status, answer.body()) {
        return Err(meaning(error, retry_after(answer.headers())));
    }
    if !status.is_success() {
        return Err(CallError::Retry {
            after: retry_after(answer.headers()),
            say: format!(
                "what came back ({}) is not Meta's own answer",
                status.as_u16()
            ),
        });
    }
    serde_json::from_str(&mended(answer.body()))
        .map_err(|_| CallError::retry("what came back is not Meta's own answer"))
}

fn meaning(error: GraphError, after: Option<std::time::Duration>) -> CallError {
    let number = error.number();
    if let Some(what) = error.of_token() {
        return CallError::Credentials {
            say: format!("{what} (Meta's error {number})"),
        };
    }
    // A permission that is missing can be granted, and a restriction can be lifted (common error codes of the Graph API).
    let can_be_mended = matches!(error.code, 3 | 10 | 200..=299 | 368);
    if error.passes() || can_be_mended || after.is_some() {
        return CallError::Retry {
            after,
            say: format!("Meta does not tell now (its error {number})"),
        };
    }
    CallError::Refused {
        say: format!("Meta does not tell (its error {number})"),
        code: number,
    }
}
