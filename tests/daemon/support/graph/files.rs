//! Meta's media servers, as far as a stand-in can be one: files at addresses of its own, and what a message's node tells
//! of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, RawQuery, State as Given};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

use super::server::{No, answer, cut, let_in, parameters};
use super::{Shared, app};

/// How the server of a file behaves.
#[derive(Clone, Debug)]
pub(crate) enum Served {
    /// The file, with this type in the header and this name.
    File {
        mime_type: String,
        name: Option<String>,
        bytes: bytes::Bytes,
    },
    /// A status without the file.
    Status(u16),
    /// Another address.
    Redirect(String),
    /// The line is cut.
    Cut,
    /// No answer for as long as the caller waits.
    Silence,
    /// So many bytes, and never the end.
    Endless,
}

impl Served {
    /// A file.
    pub(crate) fn file(mime_type: &str, bytes: &[u8]) -> Self {
        Self::File {
            mime_type: mime_type.to_owned(),
            name: None,
            bytes: bytes::Bytes::copy_from_slice(bytes),
        }
    }
}

/// A file at the media servers.
#[derive(Clone, Debug, Default)]
pub(super) struct Hosted {
    /// What the next askers get, one after the other; the last stays.
    pub(super) answers: Vec<Served>,
    /// How often it was asked for.
    pub(super) asked: usize,
}

/// What is hosted, and where the attachments of messages are now.
#[derive(Debug, Default)]
pub(super) struct Files {
    pub(super) hosted: BTreeMap<String, Hosted>,
    /// By message: the address of each attachment.
    pub(super) of_messages: BTreeMap<String, Vec<String>>,
}

/// `GET /files/{name}`.
pub(super) async fn file(
    Given(shared): Given<Arc<Shared>>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Response {
    if headers.contains_key(header::AUTHORIZATION) {
        let why = format!("/files/{name} was given a token");
        return No::violation(why).answer(&shared);
    }
    let served = {
        let mut state = shared.state();
        let Some(hosted) = state.files.hosted.get_mut(&name) else {
            return StatusCode::NOT_FOUND.into_response();
        };
        let at = hosted.asked.min(hosted.answers.len().saturating_sub(1));
        hosted.asked += 1;
        hosted.answers.get(at).cloned()
    };
    match served {
        Some(Served::File {
            mime_type,
            name,
            bytes,
        }) => {
            let mut response = Response::new(Body::from(bytes));
            let value = |text: &str| text.parse().expect("a header");
            response
                .headers_mut()
                .insert(header::CONTENT_TYPE, value(&mime_type));
            if let Some(name) = name {
                let disposition = format!("attachment; filename=\"{name}\"");
                response
                    .headers_mut()
                    .insert(header::CONTENT_DISPOSITION, value(&disposition));
            }
            response
        }
        Some(Served::Status(status)) => StatusCode::from_u16(status)
            .expect("a status")
            .into_response(),
        Some(Served::Redirect(to)) => (StatusCode::FOUND, [(header::LOCATION, to)]).into_response(),
        Some(Served::Silence) => {
            tokio::time::sleep(Duration::from_secs(600)).await;
            cut()
        }
        Some(Served::Endless) => {
            let chunk = bytes::Bytes::from_static(&[7; 64 * 1024]);
            let endless = futures_util::stream::repeat_with(move || {
                Ok::<_, std::convert::Infallible>(chunk.clone())
            });
            Response::new(Body::from_stream(endless))
        }
        Some(Served::Cut) | None => cut(),
    }
}

/// `GET /{node}`: a message with its attachments, or a person.
pub(super) async fn node(
    Given(shared): Given<Arc<Shared>>,
    Path((version, node)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    if !node.starts_with("m_") {
        return app::profile(
            Given(shared),
            Path((version, node)),
            RawQuery(query),
            headers,
        )
        .await;
    }
    let asked = || {
        let given = parameters(&query.unwrap_or_default())?;
        let_in(&shared, &version, &headers, &given)?;
        if given.get("fields").map(String::as_str) != Some("attachments") {
            return Err(No::violation(
                "of a message only the attachments are asked for",
            ));
        }
        let mut state = shared.state();
        state.messages_asked.push(node.clone());
        let urls = state
            .files
            .of_messages
            .get(&node)
            .ok_or_else(|| No::coded(400, 100, Some(33)))?;
        let attachments: Vec<Value> = urls
            .iter()
            .map(|url| json!({ "id": "77", "mime_type": "image/jpeg", "name": "image", "size": 1,
                "image_data": { "width": 1, "height": 1, "max_width": 1, "max_height": 1, "url": url } }))
            .collect();
        Ok(json!({ "id": node, "attachments": { "data": attachments } }))
    };
    let asked: Result<Value, No> = asked();
    match asked {
        Ok(body) => answer(200, body),
        Err(no) => no.answer(&shared),
    }
}
