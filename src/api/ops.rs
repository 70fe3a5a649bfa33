//! For operators and their machines: `/healthz`, `/readyz`, `/metrics`.

use axum::Router;
use axum::extract::{Extension, FromRequestParts, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use deskbell_sdk::Time;

use super::auth::Signed;
use super::problem::Problem;
use crate::app::App;
use crate::server::{ClientAddress, UnvouchedForwarding};
use crate::store::entry::Right;

/// The routes.
pub fn router() -> Router<App> {
    Router::new()
        .route("/healthz", get(alive))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
}

/// The process is up.
async fn alive() -> &'static str {
    "ok\n"
}

/// The store takes changes, and the daemon is not stopping. A virus check that does not work and a search index that is
/// not whole are told; everything else goes on without them.
async fn ready(State(app): State<App>) -> Result<String, Problem> {
    if app.stopping.is_cancelled() {
        return Err(Problem::unavailable("The daemon is stopping."));
    }
    if !app.writer.accepts() {
        return Err(Problem::unavailable(
            "The store takes no changes right now; the log says why.",
        ));
    }
    let mut told = "ready".to_owned();
    if app.virus_check.trouble().is_some() {
        told.push_str("; files cannot be checked for viruses, the log says why");
    }
    let search = app.search.standing();
    if search.is_being_made() {
        told.push_str(&format!(
            "; the search index is being made: {} %",
            search.percent
        ));
    }
    told.push('\n');
    Ok(told)
}

/// The figures, for Prometheus: from this machine without a token, else for administrators.
async fn metrics(
    State(app): State<App>,
    Extension(ClientAddress(address)): Extension<ClientAddress>,
    request: Request,
) -> Result<Response, Problem> {
    // A proxy on this machine that is not in `trusted_proxies` looks local and is not.
    let local =
        address.is_loopback() && request.extensions().get::<UnvouchedForwarding>().is_none();
    if !local {
        let (mut parts, _) = request.into_parts();
        Signed::from_request_parts(&mut parts, &app)
            .await?
            .with(Right::Admin)?;
    }
    measure(&app);
    let headers = [(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; version=0.0.4"),
    )];
    Ok((StatusCode::OK, headers, app.metrics.render()).into_response())
}

/// Figures that are read rather than counted.
fn measure(app: &App) {
    let float = |number: u64| f64::from(u32::try_from(number).unwrap_or(u32::MAX));
    metrics::gauge!("deskbell_queue_depth").set(float(app.writer.waiting() as u64));
    metrics::gauge!("deskbell_log_head").set(float(app.store.head()));
    metrics::gauge!("deskbell_store_accepts").set(f64::from(u8::from(app.writer.accepts())));
    #[expect(clippy::cast_precision_loss, reason = "a figure for a graph")]
    metrics::gauge!("deskbell_store_bytes").set(app.store.bytes_on_disk() as f64);
    measure_upkeep(app);
    let search = app.search.standing();
    metrics::gauge!("deskbell_search_complete").set(f64::from(u8::from(search.is_complete)));
    if app.virus_check.is_on() {
        let works = app.virus_check.trouble().is_none();
        metrics::gauge!("deskbell_virus_check_up").set(f64::from(u8::from(works)));
    }
    for channel in app.channels.open() {
        let labels = [
            ("channel", channel.id.clone()),
            ("connector", channel.kind.id.to_owned()),
        ];
        metrics::gauge!("deskbell_channel_up", &labels)
            .set(f64::from(u8::from(channel.is_healthy())));
        if let Some(at) = channel.status().last_event_at {
            let quiet_ms = app.clock.now().as_millis() - at.as_millis();
            metrics::gauge!("deskbell_channel_quiet_seconds", &labels)
                .set(float(u64::try_from(quiet_ms / 1000).unwrap_or(0)));
        }
    }
}

/// How old the newest snapshot and the last scrub are, and what they say.
fn measure_upkeep(app: &App) {
    let state = app.store.upkeep();
    #[expect(clippy::cast_precision_loss, reason = "figures for graphs")]
    let float = |number: u64| number as f64;
    let age = |since: Time| {
        let age_ms = app.clock.now().as_millis() - since.as_millis();
        float(u64::try_from(age_ms / 1000).unwrap_or(0))
    };
    metrics::gauge!("deskbell_log_unsaved_bytes").set(float(state.log_bytes_behind));
    if let Some(snapshot) = state.snapshot {
        metrics::gauge!("deskbell_snapshot_age_seconds").set(age(snapshot.created_at));
        metrics::gauge!("deskbell_snapshot_bytes").set(float(snapshot.bytes));
    }
    if let Some(scrub) = state.scrub {
        metrics::gauge!("deskbell_scrub_age_seconds").set(age(scrub.ended_at));
        metrics::gauge!("deskbell_scrub_differences").set(float(scrub.differed()));
    }
}
