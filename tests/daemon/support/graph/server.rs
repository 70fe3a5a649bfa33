//! The server: who may call, how it says no, and how it breaks off.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request, State as Given};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use deskbell_sdk::Secret;
use deskbell_sdk::webhook::hmac_sha256_hex;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::{Fault, Shared, app, files, reading, sending};

/// More than the largest file, so that its refusal is Meta's and not the server's.
const MAX_BODY_BYTES: usize = 40 * 1024 * 1024;

/// An error in Meta's own form.
#[derive(Clone, Debug)]
pub(super) struct No {
    pub(super) status: u16,
    pub(super) code: i64,
    pub(super) subcode: Option<i64>,
    pub(super) is_transient: bool,
    /// Why Meta would never take such a call, where that is so.
    pub(super) violation: Option<String>,
}

impl No {
    pub(super) fn coded(status: u16, code: i64, subcode: Option<i64>) -> Self {
        Self {
            status,
            code,
            subcode,
            is_transient: false,
            violation: None,
        }
    }

    /// A call that no program should make.
    pub(super) fn violation(why: impl Into<String>) -> Self {
        Self {
            violation: Some(why.into()),
            ..Self::coded(400, 100, None)
        }
    }

    /// The answer; its message is in the language of whoever made the token.
    pub(super) fn answer(self, shared: &Shared) -> Response {
        if let Some(why) = self.violation {
            shared.state().violations.push(why);
        }
        let mut error = json!({
            "message": format!("(#{}) Das geht so nicht", self.code), "type": "OAuthException", "code": self.code,
            "error_user_title": "Das geht so nicht", "error_user_msg": "Bitte versuche es später noch einmal.",
            "is_transient": self.is_transient, "fbtrace_id": "AinventedTraceId",
        });
        if let Some(subcode) = self.subcode {
            error["error_subcode"] = json!(subcode);
        }
        answer(self.status, json!({ "error": error }))
    }
}

pub(super) fn answer(status: u16, body: Value) -> Response {
    (StatusCode::from_u16(status).expect("a status"), Json(body)).into_response()
}

/// Marks an answer that never goes out.
#[derive(Clone, Copy)]
struct CutLine;

/// Cuts the line instead of answering.
pub(super) fn cut() -> Response {
    let mut response = Response::new(Body::empty());
    response.extensions_mut().insert(CutLine);
    response
}

/// What a fault answers once it was decided whether the call is executed; `done` is the answer of success.
pub(super) async fn fail(shared: &Shared, fault: Fault, done: Response) -> Response {
    match fault {
        Fault::TooMany { retry_after } => {
            let mut response = No::coded(429, 613, Some(2_018_338)).answer(shared);
            let wait = HeaderValue::from_str(&retry_after).expect("a header");
            response.headers_mut().insert(header::RETRY_AFTER, wait);
            response
        }
        Fault::Trouble => No {
            is_transient: true,
            ..No::coded(500, 2, None)
        }
        .answer(shared),
        Fault::Refused {
            status,
            code,
            subcode,
        } => No::coded(status, code, subcode).answer(shared),
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
            let half = r#"{"recipient_id":"20"#;
            ([(header::CONTENT_TYPE, "application/json")], half).into_response()
        }
        Fault::Cut { .. } => cut(),
        Fault::Silence { .. } => std::future::pending().await,
        Fault::Slow(time) => {
            tokio::time::sleep(time).await;
            done
        }
    }
}

/// Whether a call with this fault is executed.
pub(super) const fn is_executed(fault: Option<&Fault>) -> bool {
    match fault {
        None | Some(Fault::Slow(_)) => true,
        Some(Fault::TooMany { .. } | Fault::Trouble | Fault::Refused { .. }) => false,
        Some(
            Fault::BadGateway { executed }
            | Fault::HalfAnAnswer { executed }
            | Fault::Cut { executed }
            | Fault::Silence { executed },
        ) => *executed,
    }
}

/// The parameters of a query or a form.
pub(super) type Parameters = BTreeMap<String, String>;

pub(super) fn parameters(text: &str) -> Result<Parameters, No> {
    let pairs: Vec<(String, String)> = serde_urlencoded::from_str(text)
        .map_err(|_| No::violation(format!("unreadable parameters: {text}")))?;
    let count = pairs.len();
    let parameters: Parameters = pairs.into_iter().collect();
    if parameters.len() < count {
        return Err(No::violation(format!("a parameter stands twice: {text}")));
    }
    Ok(parameters)
}

/// The one bearer token of a call. A token in the address is in every proxy's log, so that is not taken here though Meta
/// takes it.
fn bearer<'a>(headers: &'a HeaderMap, parameters: &Parameters) -> Result<&'a str, No> {
    if parameters.contains_key("access_token") {
        return Err(No::violation("the token stands in the address"));
    }
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value
            .to_str()
            .ok()
            .and_then(|value| value.strip_prefix("Bearer "))
            .ok_or_else(|| No::violation("the header Authorization holds no bearer token")),
        (None, _) => Err(No {
            violation: Some("no token".to_owned()),
            ..No::coded(401, 104, None)
        }),
        (Some(_), Some(_)) => Err(No::violation("two tokens")),
    }
}

/// Checks that a call comes from the Page's app: version, token, proof.
pub(super) fn let_in(
    shared: &Shared,
    version: &str,
    headers: &HeaderMap,
    parameters: &Parameters,
) -> Result<(), No> {
    let page = shared.state().page.clone();
    check_version(&page.version, version)?;
    let token = bearer(headers, parameters)?;
    if token != page.page_token {
        return Err(No::coded(401, 190, None));
    }
    let proof = hmac_sha256_hex(&Secret::new(page.app_secret), token.as_bytes());
    match parameters.get("appsecret_proof") {
        Some(given) if *given == proof => Ok(()),
        Some(_) => Err(No::violation("appsecret_proof is wrong")),
        None => Err(No::violation("appsecret_proof is missing")),
    }
}

/// Checks that a call comes from the app itself.
pub(super) fn let_app_in(
    shared: &Shared,
    version: &str,
    headers: &HeaderMap,
    parameters: &Parameters,
) -> Result<(), No> {
    let page = shared.state().page.clone();
    check_version(&page.version, version)?;
    if bearer(headers, parameters)? == format!("{}|{}", page.app_id, page.app_secret) {
        Ok(())
    } else {
        Err(No::coded(401, 190, None))
    }
}

fn check_version(wanted: &str, given: &str) -> Result<(), No> {
    if wanted == given {
        Ok(())
    } else {
        Err(No {
            code: 2500,
            ..No::violation(format!("the version is {wanted}, not {given}"))
        })
    }
}

/// What is not there.
async fn elsewhere(Given(shared): Given<Arc<Shared>>, request: Request) -> Response {
    let why = format!(
        "{} {} is no call of the Graph API",
        request.method(),
        request.uri().path()
    );
    No {
        code: 2500,
        ..No::violation(why)
    }
    .answer(&shared)
}

fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/{version}/me", get(app::me))
        .route("/{version}/debug_token", get(app::debug_token))
        .route("/files/{name}", get(files::file))
        .route("/{version}/{node}", get(files::node))
        .route(
            "/{version}/{node}/messages",
            post(sending::post).get(reading::messages),
        )
        .route(
            "/{version}/{node}/conversations",
            get(reading::conversations),
        )
        .route(
            "/{version}/{node}/subscribed_apps",
            get(app::subscribed_apps)
                .post(app::subscribe_page)
                .delete(app::unsubscribe_page),
        )
        .route(
            "/{version}/{node}/subscriptions",
            get(app::subscriptions)
                .post(app::subscribe)
                .delete(app::unsubscribe),
        )
        .fallback(elsewhere)
        .method_not_allowed_fallback(elsewhere)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .with_state(shared)
}

/// Serves until the runtime ends. Not `axum::serve`, which has no way to cut a line.
pub(super) async fn serve(listener: tokio::net::TcpListener, shared: Arc<Shared>) {
    let router = router(shared);
    while let Ok((stream, _)) = listener.accept().await {
        let router = router.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request: hyper::Request<Incoming>| {
                let answer = router.clone().oneshot(request.map(Body::new));
                async move {
                    let Ok(mut response): Result<Response, Infallible> = answer.await;
                    if response.extensions().get::<CutLine>().is_some() {
                        return Err(io::Error::from(io::ErrorKind::ConnectionAborted));
                    }
                    let version = HeaderValue::from_static("v25.0");
                    response
                        .headers_mut()
                        .insert("facebook-api-version", version);
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
