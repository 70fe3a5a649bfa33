//! What happens to each request before and after the router.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::body::Body;
use http::header::{CONNECTION, CONTENT_TYPE, HOST, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use tower::ServiceExt as _;

use super::addresses::{forget_proxy_headers, forwarded_scheme, is_near};
use super::framing::Head;
use super::patience::Patience;
use super::request_body::TimedBody;
use super::response_body::AnswerBody;
use super::socket::{DirectWriter, Sending};
use super::state::ConnectionState;
use super::{ClientAddress, Scheme, Shared, UnvouchedForwarding};

/// What a client over its limit is told to wait.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("5");

/// The requests of one connection.
#[derive(Debug, Clone)]
pub(super) struct RequestService {
    pub(super) shared: Arc<Shared>,
    pub(super) router: Router,
    pub(super) state: Arc<ConnectionState>,
    /// In canonical form.
    pub(super) peer: IpAddr,
    /// The peer is one of the trusted proxies.
    pub(super) peer_is_trusted: bool,
    pub(super) https: bool,
    /// The socket, where what is written to it is what the peer reads.
    pub(super) direct: Option<Sending>,
}

impl hyper::service::Service<Request<Incoming>> for RequestService {
    type Response = Response<AnswerBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let http2 = request.version() == Version::HTTP_2;
        let (running, head) = self.state.begin_request(http2);
        let answered = move |mut answer: Response<Body>, close: bool| {
            if close && !http2 {
                let close = HeaderValue::from_static("close");
                answer.headers_mut().insert(CONNECTION, close);
            }
            answer
        };

        if let Some(refusal) = refusal(&request, http2, head) {
            count_refusal("malformed");
            let answer = answered(refusal, true);
            return Box::pin(
                async move { Ok(answer.map(|body| AnswerBody::new(body, running, None))) },
            );
        }

        let client = self.learn_client(&mut request);
        // Older versions have no chunks, newer ones share a connection.
        if let (Version::HTTP_11, Some(sending)) = (request.version(), &self.direct) {
            let direct = DirectWriter::new(sending.clone());
            request.extensions_mut().insert(direct);
        }
        let place = if self.peer_is_trusted && client != self.peer {
            match self.shared.forwarded_requests.take(client) {
                Some(place) => Some(place),
                None => {
                    count_refusal("client");
                    let answer = answered(too_many_requests(), true);
                    return Box::pin(async move {
                        Ok(answer.map(|body| AnswerBody::new(body, running, None)))
                    });
                }
            }
        } else {
            None
        };

        let too_slow = Arc::new(AtomicBool::new(false));
        let options = &self.shared.options;
        let patience = Patience::new(options.body_timeout, options.bytes_per_second);
        let request = request.map(|body| {
            let state = Arc::clone(&self.state);
            TimedBody::new(body, patience, Arc::clone(&too_slow), state)
        });
        // What follows a chunked body is not followed, so that nothing may follow it.
        let last = head.is_some_and(|head| head.chunked);
        let answer = self.router.clone().oneshot(request);
        Box::pin(async move {
            let answer = answer.await?;
            let answer = if too_slow.load(Ordering::Relaxed) && !answer.status().is_success() {
                answered(body_too_slow(), true)
            } else {
                answered(answer, last)
            };
            Ok(answer.map(|body| AnswerBody::new(body, running, place)))
        })
    }
}

impl RequestService {
    /// Puts `ClientAddress` and `Scheme` into the request, believing a trusted proxy only.
    fn learn_client(&self, request: &mut Request<Incoming>) -> IpAddr {
        let mut client = ClientAddress(self.peer);
        let mut scheme = Scheme { https: self.https };
        if self.peer_is_trusted {
            client = self.shared.proxies.client(request.headers(), self.peer);
            scheme = forwarded_scheme(request.headers()).unwrap_or(scheme);
        } else if forget_proxy_headers(request.headers_mut()) {
            request.extensions_mut().insert(UnvouchedForwarding);
            self.tell_of_proxy();
        }
        request.extensions_mut().insert(client);
        request.extensions_mut().insert(scheme);
        client.0
    }

    /// Once: a proxy that the operator forgot to name makes all clients one.
    fn tell_of_proxy(&self) {
        if is_near(self.peer) && !self.shared.told_of_proxy.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "{} forwards requests and is not in trusted_proxies, so that all its clients count \
                 as one; if it is your proxy, add it there",
                self.peer,
            );
        }
    }
}

/// The answer to what could be read in two ways by two programs (W19).
fn refusal(request: &Request<Incoming>, http2: bool, head: Option<Head>) -> Option<Response<Body>> {
    if request.method() == Method::CONNECT {
        let detail = "This is no proxy.";
        return Some(problem(
            StatusCode::NOT_IMPLEMENTED,
            "Not implemented",
            detail,
        ));
    }
    if http2 {
        return None;
    }
    let detail = match head {
        None => Some("The request could not be told from the one before it."),
        Some(head) => match head.fault {
            Some(fault) => Some(fault.detail()),
            // `GET desk HTTP/1.1`: the words of a tunnel, which only CONNECT may use.
            None if request.uri().authority().is_some() && request.uri().scheme().is_none() => {
                Some("Send a path that begins with a slash.")
            }
            None => host_fault(request.headers(), request.version()),
        },
    };
    detail.map(|detail| problem(StatusCode::BAD_REQUEST, "Bad request", detail))
}

fn host_fault(headers: &HeaderMap, version: Version) -> Option<&'static str> {
    match headers.get_all(HOST).iter().count() {
        0 if version == Version::HTTP_11 => Some("Send a Host header."),
        0 | 1 => None,
        _ => Some("Send one Host header."),
    }
}

fn too_many_requests() -> Response<Body> {
    let detail =
        "This address has too many requests and streams open at once: close some, then try again.";
    let mut answer = problem(StatusCode::TOO_MANY_REQUESTS, "Too many requests", detail);
    answer
        .headers_mut()
        .insert(RETRY_AFTER, RETRY_AFTER_SECONDS);
    answer
}

fn body_too_slow() -> Response<Body> {
    let detail = "The request's body came too slowly and was given up: send it again.";
    problem(StatusCode::REQUEST_TIMEOUT, "Request timeout", detail)
}

fn problem(status: StatusCode, title: &str, detail: &str) -> Response<Body> {
    let body = serde_json::json!({
        "type": "about:blank",
        "title": title,
        "status": status.as_u16(),
        "detail": detail,
    });
    let mut answer = Response::new(Body::from(body.to_string()));
    *answer.status_mut() = status;
    let kind = HeaderValue::from_static("application/problem+json");
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}

fn count_refusal(reason: &'static str) {
    metrics::counter!("deskbell_requests_refused_total", "reason" => reason).increment(1);
}
