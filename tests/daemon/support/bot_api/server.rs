//! The server: who may call, how it says no, and how it breaks off.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::{Fault, Shared, sending, updates};

/// More than the largest file, so that its refusal is Telegram's and not the server's.
const MAX_BODY_BYTES: usize = 60 * 1024 * 1024;

/// A refusal in Telegram's own form.
#[derive(Clone, Debug)]
pub(super) struct No {
    pub(super) code: u16,
    pub(super) description: String,
    pub(super) parameters: Option<Value>,
    /// Why no program should make such a call, where that is so.
    pub(super) violation: Option<String>,
}

impl No {
    pub(super) fn coded(code: u16, description: impl Into<String>) -> Self {
        Self {
            code,
            description: description.into(),
            parameters: None,
            violation: None,
        }
    }

    /// A call that no program should make.
    pub(super) fn violation(why: impl Into<String>) -> Self {
        let why = why.into();
        Self {
            violation: Some(why.clone()),
            ..Self::coded(400, format!("Bad Request: {why}"))
        }
    }

    pub(super) fn wait(seconds: u64) -> Self {
        Self {
            parameters: Some(json!({ "retry_after": seconds })),
            ..Self::coded(429, format!("Too Many Requests: retry after {seconds}"))
        }
    }

    pub(super) fn answer(self, shared: &Shared) -> Response {
        if let Some(why) = self.violation {
            shared.state().violations.push(why);
        }
        let mut body =
            json!({ "ok": false, "error_code": self.code, "description": self.description });
        if let Some(parameters) = self.parameters {
            body["parameters"] = parameters;
        }
        (
            StatusCode::from_u16(self.code).expect("a status"),
            Json(body),
        )
            .into_response()
    }
}

/// A success.
pub(super) fn done(result: &Value) -> Response {
    Json(json!({ "ok": true, "result": result })).into_response()
}

/// Marks an answer that never goes out.
#[derive(Clone, Copy)]
struct CutLine;

/// What a fault answers once it was decided whether the call is executed.
pub(super) async fn fail(shared: &Shared, fault: Fault) -> Response {
    match fault {
        Fault::TooMany { retry_after } => No::wait(retry_after).answer(shared),
        Fault::Trouble => No::coded(500, "Internal Server Error: restart").answer(shared),
        Fault::Refused { code, description } => No::coded(code, description).answer(shared),
        Fault::BadGateway { .. } => {
            let page = "<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>";
            (
                StatusCode::BAD_GATEWAY,
                [(header::CONTENT_TYPE, "text/html")],
                page,
            )
                .into_response()
        }
        Fault::HalfAnAnswer { .. } => {
            let half = r#"{"ok":true,"result":{"message_"#;
            ([(header::CONTENT_TYPE, "application/json")], half).into_response()
        }
        Fault::Cut { .. } => {
            let mut response = Response::new(Body::empty());
            response.extensions_mut().insert(CutLine);
            response
        }
        Fault::Silence { .. } => std::future::pending().await,
    }
}

/// Whether a call with this fault is executed.
pub(super) const fn is_executed(fault: Option<&Fault>) -> bool {
    match fault {
        None => true,
        Some(Fault::TooMany { .. } | Fault::Trouble | Fault::Refused { .. }) => false,
        Some(
            Fault::BadGateway { executed }
            | Fault::HalfAnAnswer { executed }
            | Fault::Cut { executed }
            | Fault::Silence { executed },
        ) => *executed,
    }
}

/// The arguments of a call, which have to be JSON here, with no field that the Bot API does not have.
pub(super) fn arguments<T: DeserializeOwned>(body: &[u8]) -> Result<T, No> {
    serde_json::from_slice(body).map_err(|error| No::violation(format!("arguments: {error}")))
}

async fn call(shared: Arc<Shared>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    if let Some(query) = parts.uri.query() {
        return No::violation(format!("a query: {query}")).answer(&shared);
    }
    let Ok(body) = axum::body::to_bytes(body, MAX_BODY_BYTES).await else {
        return No::coded(413, "Request Entity Too Large").answer(&shared);
    };
    let token = shared.state().token.clone();
    if let Some(rest) = path.strip_prefix("/file/bot") {
        return match rest.split_once('/') {
            Some((given, path)) if given == token => file(&shared, path),
            _ => No::coded(401, "Unauthorized").answer(&shared),
        };
    }
    let Some((given, method)) = path
        .strip_prefix("/bot")
        .and_then(|rest| rest.split_once('/'))
    else {
        return No {
            violation: Some(format!("{path} is no call of the Bot API")),
            ..No::coded(404, "Not Found")
        }
        .answer(&shared);
    };
    if given != token {
        return No::coded(401, "Unauthorized").answer(&shared);
    }
    if parts.method != Method::POST {
        return No::violation(format!("{} {method}", parts.method)).answer(&shared);
    }
    let method = method.to_ascii_lowercase();
    let answered = match method.as_str() {
        "getme" => Ok(me(&shared)),
        "getupdates" => updates::get_updates(&shared, &body).await,
        "setwebhook" => updates::set_webhook(&shared, &body),
        "deletewebhook" => updates::delete_webhook(&shared, &body),
        "getwebhookinfo" => Ok(updates::webhook_info(&shared)),
        "getfile" => get_file(&shared, &body),
        "getchat" => get_chat(&shared, &body),
        "sendchataction" => sending::act(&shared, &body),
        "sendmessage" | "sendphoto" | "senddocument" | "sendvoice" | "sendaudio" | "sendvideo" => {
            sending::send(&shared, &method, &parts.headers, body).await
        }
        other => Err(No {
            violation: Some(format!("{other} is no method that the desk needs")),
            ..No::coded(404, "Not Found")
        }),
    };
    answered.unwrap_or_else(|no| no.answer(&shared))
}

fn me(shared: &Shared) -> Response {
    let id = shared.state().bot_id;
    done(&json!({
        "id": id, "is_bot": true, "first_name": "Butik", "username": "butik_bot", "can_join_groups": true,
        "can_read_all_group_messages": false, "supports_inline_queries": false, "can_connect_to_business": true,
    }))
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct FileCall {
    file_id: String,
}

fn get_file(shared: &Shared, body: &[u8]) -> Result<Response, No> {
    let call: FileCall = arguments(body)?;
    let state = shared.state();
    let (path, content) = state
        .files
        .get(&call.file_id)
        .ok_or_else(|| No::coded(400, "Bad Request: invalid file_id"))?;
    Ok(done(&json!({
        "file_id": call.file_id, "file_unique_id": format!("u{}", call.file_id), "file_size": content.len(),
        "file_path": path,
    })))
}

fn file(shared: &Shared, path: &str) -> Response {
    let state = shared.state();
    match state.files.values().find(|(known, _)| known == path) {
        Some((_, content)) => content.clone().into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct ChatCall {
    chat_id: i64,
}

fn get_chat(shared: &Shared, body: &[u8]) -> Result<Response, No> {
    let call: ChatCall = arguments(body)?;
    let state = shared.state();
    let chat = state
        .chats
        .get(&call.chat_id)
        .ok_or_else(|| No::coded(400, "Bad Request: chat not found"))?;
    Ok(done(&json!({
        "id": call.chat_id, "type": "private", "first_name": chat.name, "accent_color_id": 1, "max_reaction_count": 11,
    })))
}

/// Serves until the runtime ends. Not `axum::serve`, which has no way to cut a line.
pub(super) async fn serve(listener: tokio::net::TcpListener, shared: Arc<Shared>) {
    let router = Router::new().fallback(move |request: Request| call(Arc::clone(&shared), request));
    while let Ok((stream, _)) = listener.accept().await {
        let router = router.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request: hyper::Request<Incoming>| {
                let answer = router.clone().oneshot(request.map(Body::new));
                async move {
                    let Ok(response): Result<Response, Infallible> = answer.await;
                    if response.extensions().get::<CutLine>().is_some() {
                        return Err(io::Error::from(io::ErrorKind::ConnectionAborted));
                    }
                    Ok(response)
                }
            });
            // A cut line and a caller who has gone both end here.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}
