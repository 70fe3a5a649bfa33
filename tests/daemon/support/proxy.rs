//! A line between two programs that does something to what passes: with it a fault is planted that the daemon does
//! not have.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use super::client;

/// What a line does.
pub(crate) struct Line {
    /// Where it leads.
    pub(crate) to: String,
    /// Changes the headers of a request with this body.
    pub(crate) changes: fn(&mut HeaderMap, &Bytes),
    /// How often a request is made there; the last answer comes back.
    pub(crate) times: fn(&Method, &str) -> usize,
}

impl Line {
    /// Opens it on a free port, for as long as the test's runtime lives; its address.
    pub(crate) async fn open(self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let line = Arc::new(self);
        let router = Router::new().fallback(move |request: Request| {
            let line = Arc::clone(&line);
            async move { line.pass(request).await }
        });
        tokio::spawn(async move { axum::serve(listener, router).await });
        url
    }

    async fn pass(&self, request: Request) -> Response {
        let (parts, body) = request.into_parts();
        let Ok(body) = to_bytes(body, 8 << 20).await else {
            return StatusCode::BAD_REQUEST.into_response();
        };
        let mut headers = parts.headers;
        for of_the_connection in [header::HOST, header::CONTENT_LENGTH, header::CONNECTION] {
            headers.remove(of_the_connection);
        }
        (self.changes)(&mut headers, &body);
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let mut last = StatusCode::BAD_GATEWAY.into_response();
        for _ in 0..(self.times)(&parts.method, path) {
            let asked = client()
                .request(parts.method.clone(), format!("{}{path}", self.to))
                .headers(headers.clone())
                .body(body.clone());
            let Ok(answer) = asked.send().await else {
                return StatusCode::BAD_GATEWAY.into_response();
            };
            let status = answer.status();
            let kind = answer.headers().get(header::CONTENT_TYPE).cloned();
            let bytes = answer.bytes().await.unwrap_or_default();
            last = Response::new(Body::from(bytes));
            *last.status_mut() = status;
            if let Some(kind) = kind {
                last.headers_mut().insert(header::CONTENT_TYPE, kind);
            }
        }
        last
    }
}
