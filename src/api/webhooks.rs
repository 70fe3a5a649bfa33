//! `/webhooks/{channel_id}`: where platforms deliver.

use std::time::Instant;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Request as HttpRequest, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use deskbell_sdk::Request;

use super::body::read_limited;
use super::problem::Problem;
use crate::app::App;
use crate::intake::webhook::{Refused, take};

/// The routes.
pub fn router() -> Router<App> {
    Router::new().route("/webhooks/{channel_id}", any(webhook))
}

async fn webhook(
    State(app): State<App>,
    Path(id): Path<String>,
    request: HttpRequest,
) -> Result<Response, Problem> {
    let started = Instant::now();
    let channel = app.channels.get(&id).ok_or_else(|| not_open(&app, &id))?;
    let Some(webhook) = channel.channel.webhook() else {
        return Err(Problem::not_found(
            "webhook: this channel takes no deliveries",
        ));
    };
    let (parts, body) = request.into_parts();
    let query = parts.uri.query().unwrap_or_default();
    match parts.method {
        Method::GET => {
            let body = Bytes::new();
            let request = Request {
                method: &parts.method,
                query,
                headers: &parts.headers,
                body: &body,
            };
            let reply = webhook
                .handshake(&request)
                .ok_or_else(|| Problem::not_found("page: platforms POST here"))?;
            if reply.status == 200 {
                channel.status().last_handshake_at = Some(app.clock.now());
                tracing::info!(channel = %channel.id, "the platform verified this address");
            }
            let status =
                StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let headers = [
                (
                    header::CONTENT_TYPE,
                    HeaderValue::from_static("text/plain; charset=utf-8"),
                ),
                (
                    header::X_CONTENT_TYPE_OPTIONS,
                    HeaderValue::from_static("nosniff"),
                ),
            ];
            Ok((status, headers, reply.body).into_response())
        }
        Method::POST => {
            let body = whole(body, &parts.headers, webhook.max_body_bytes()).await?;
            let request = Request {
                method: &parts.method,
                query,
                headers: &parts.headers,
                body: &body,
            };
            let result = take(&app, &channel, &request).await;
            let outcome = match &result {
                Ok(_) => "accepted",
                Err(Refused::Unproven(_)) => "unproven",
                Err(Refused::Malformed(_)) => "malformed",
                Err(Refused::NotDurable(_)) => "not_durable",
            };
            let labels = [
                ("channel", channel.id.clone()),
                ("outcome", outcome.to_owned()),
            ];
            metrics::counter!("deskbell_deliveries_total", &labels).increment(1);
            metrics::histogram!("deskbell_ingest_seconds", "channel" => channel.id.clone())
                .record(started.elapsed().as_secs_f64());
            match result {
                Ok(_) => Ok((StatusCode::OK, "EVENT_RECEIVED").into_response()),
                Err(Refused::Unproven(rejected)) => {
                    let title = "The sender could not be proven";
                    Err(Problem::new(
                        StatusCode::UNAUTHORIZED,
                        "unproven",
                        title,
                        format!("Nothing was kept: {rejected}."),
                    ))
                }
                Err(Refused::Malformed(malformed)) => {
                    Err(Problem::bad_request(malformed.to_string()))
                }
                Err(Refused::NotDurable(error)) => Err(error.into()),
            }
        }
        _ => {
            let title = "Method not allowed";
            let problem = Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method-not-allowed",
                title,
                "Platforms GET to verify this address, and POST deliveries.",
            );
            let mut response = problem.into_response();
            response
                .headers_mut()
                .insert(header::ALLOW, HeaderValue::from_static("GET, POST"));
            Ok(response)
        }
    }
}

/// A channel that is not open: where it is set up and only cannot be opened, platforms are to try again.
fn not_open(app: &App, id: &str) -> Problem {
    let no = app.channels.number_of(id);
    match no.and_then(|no| app.channels.why_closed(no)) {
        Some(_) => Problem::unavailable(
            "This channel cannot be opened right now; its operator is told why.",
        )
        .retry_after(60),
        None => Problem::not_found("channel"),
    }
}

/// The whole body. A length that is announced over the limit is refused before a byte is read.
async fn whole(
    body: Body,
    headers: &axum::http::HeaderMap,
    limit: usize,
) -> Result<Bytes, Problem> {
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limit) {
        return Err(Problem::too_large(limit));
    }
    read_limited(body, limit).await
}
