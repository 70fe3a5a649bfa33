//! `/api/v1/me` and the end of a session: who is signed in.

use std::collections::BTreeSet;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::{Signed, cookie_for};
use super::problem::Problem;
use super::tokens::VisibleChannels;
use crate::access::Who;
use crate::app::App;
use crate::desk::access::Remove;
use crate::desk::audit::{Audited, Told};
use crate::store::Table;
use crate::store::entry::Right;

/// The routes.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(me))
        .routes(routes!(sign_out))
}

/// By what somebody got in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CallerType {
    /// An API token.
    Token,
    /// The token of the configuration.
    Bootstrap,
    /// A command on the daemon's own machine.
    Local,
    /// A session of the desk.
    Session,
}

/// What somebody may do, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything.
    Admin,
    /// Read and write.
    Agent,
    /// Read.
    Viewer,
}

/// Who is signed in.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Me {
    /// By what.
    pub r#type: CallerType,
    /// `tok_…`, `ses_…`, or a word for those of the configuration and of this machine.
    pub id: String,
    /// The name that others see.
    pub name: String,
    /// What they may do, in one word.
    pub role: Role,
    /// What they may do.
    pub scopes: BTreeSet<Right>,
    /// What they may see: `all`, or the slugs of channels.
    pub channels: VisibleChannels,
}

/// Who am I
///
/// Who is signed in, what they may do and see.
#[utoipa::path(
    get, path = "/api/v1/me", tag = "session", operation_id = "getMe",
    responses((status = 200, description = "Who is signed in", body = Me)),
)]
async fn me(State(app): State<App>, Signed(caller): Signed) -> axum::Json<Me> {
    let role = if caller.may(Right::Admin) {
        Role::Admin
    } else if caller.may(Right::Write) {
        Role::Agent
    } else {
        Role::Viewer
    };
    let channels = match caller.scope.channels() {
        None => VisibleChannels::All,
        Some(numbers) => {
            let known = numbers.iter().filter_map(|no| app.channels.known(*no));
            VisibleChannels::Only(known.map(|entry| entry.id.clone()).collect())
        }
    };
    axum::Json(Me {
        r#type: match caller.who {
            Who::Token { .. } => CallerType::Token,
            Who::Bootstrap => CallerType::Bootstrap,
            Who::Local => CallerType::Local,
            Who::SetupSession { .. } => CallerType::Session,
        },
        id: caller.owner(),
        name: caller.name(),
        role,
        scopes: caller.rights,
        channels,
    })
}

/// Sign out
///
/// Ends the session whose cookie the request bears: at once for requests, within seconds for open streams.
#[utoipa::path(
    delete, path = "/api/v1/session", tag = "session", operation_id = "endSession",
    responses(
        (status = 204, description = "The session is over"),
        (status = 409, description = "An API token has no session", body = Problem, content_type = "application/problem+json"),
    ),
)]
async fn sign_out(State(app): State<App>, Signed(caller): Signed) -> Result<Response, Problem> {
    let Some(key) = caller.session() else {
        let detail = "A token opened the door, not a session. To end a token, delete it.";
        return Err(Problem::conflict(
            "no-session",
            "There is no session to end",
            detail,
        ));
    };
    let remove = Remove {
        table: Table::Sessions,
        key: key.to_vec(),
    };
    let told = Told::of("session.ended");
    app.writer
        .write(Audited::always(remove, caller.actor(), told))
        .await?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    if let Ok(cookie) = HeaderValue::from_str(&cookie_for(&app, "")) {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    Ok(response)
}
