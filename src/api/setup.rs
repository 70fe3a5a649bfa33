//! `/api/v1/setup`: the first administrator.

use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::body::Json;
use super::extract::MayAdmin;
use super::me::Me;
use super::paging;
use super::problem::Problem;
use super::sign_in::{Peer, begin_session};
use super::users;
use crate::app::{App, Daemon};
use crate::desk::audit::{Audited, Told};
use crate::desk::people::{NewUser, Refused, SetUp};
use crate::store::entry::{Entry, Role, UserEntry};
use crate::store::{Found, Read};

/// How many people are read at once.
const STRETCH: usize = 500;

/// The routes.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(setup, set_up))
}

/// Whether the first administrator is still to be made.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct Setup {
    /// `true`: nobody can sign in who may do everything.
    pub needed: bool,
}

/// Whether there is nobody who can sign in and may do everything.
pub fn is_needed(app: &Daemon) -> Found<bool> {
    has_no_admin(&*app.store)
}

/// The same of a store.
pub fn has_no_admin(store: &(impl Read + ?Sized)) -> Found<bool> {
    let mut after: Option<Vec<u8>> = None;
    loop {
        let stretch = UserEntry::scan(store, &[], after.as_deref(), STRETCH)?;
        if stretch.iter().any(|(_, user)| user.is_active_admin()) {
            return Ok(false);
        }
        if stretch.len() < STRETCH {
            return Ok(true);
        }
        after = stretch.into_iter().next_back().map(|(key, _)| key);
    }
}

/// Whether set-up is needed
///
/// Whether the first administrator is still to be made, by the link that the terminal shows.
#[utoipa::path(
    get, path = "/api/v1/setup", tag = "session", operation_id = "getSetup", security(()),
    responses((status = 200, description = "Whether it is", body = Setup)),
)]
async fn setup(State(app): State<App>) -> Result<axum::Json<Setup>, Problem> {
    let needed = paging::read(&app, |app| Ok(is_needed(app)?));
    Ok(axum::Json(Setup {
        needed: needed.await?,
    }))
}

/// The first administrator.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FirstAdmin {
    /// The e-mail address, by which they sign in.
    #[schema(max_length = 254)]
    email: String,
    /// The name that others see: 1 to 300 characters.
    #[schema(min_length = 1, max_length = 300)]
    name: String,
    /// The password, 10 to 200 characters.
    #[schema(min_length = 10, max_length = 200)]
    password: String,
}

/// Make the first administrator
///
/// With the session of the set-up link, or an administrator's token. The session becomes the new administrator's, with a
/// new cookie; other sessions of set-up links are over. 409 once there is an administrator.
#[utoipa::path(
    post, path = "/api/v1/setup", tag = "session", operation_id = "setUp",
    request_body = FirstAdmin,
    responses(
        (status = 201, description = "Who is signed in; the session is in the cookie", body = Me),
        (status = 409, description = "There is an administrator", body = Problem, content_type = "application/problem+json"),
        (status = 429, body = Problem),
    ),
)]
async fn set_up(
    State(app): State<App>,
    MayAdmin(caller): MayAdmin,
    peer: Peer,
    Json(first): Json<FirstAdmin>,
) -> Result<Response, Problem> {
    let (name, email) = (users::name(&first.name)?, users::email(&first.email)?);
    // Before the password is hashed, so that a hundred who come too late make no work.
    if !paging::read(&app, |app| Ok(is_needed(app)?)).await? {
        return Err(Refused::AlreadySetUp.into());
    }
    let password = users::new_password(&app, first.password, &email).await?;
    let set_up = SetUp {
        user: NewUser {
            email,
            name,
            role: Role::Admin,
            channels: None,
            password: Some(password),
        },
    };
    let set_up = Audited::by_answer(
        set_up,
        caller.actor(),
        |made: &Result<UserEntry, Refused>| {
            let user = made.as_ref().ok()?;
            let told = Told::of("user.created").to("user", user.id, user.name.as_str());
            Some(told.with("role", "admin").with("by", "set-up"))
        },
    );
    let changing = app.access.changing();
    let user = app.writer.write(set_up).await?;
    drop(changing);
    let user = user?;
    app.access.end_setup();
    app.live.changed(app.clock.now(), "users");
    tracing::info!("the first administrator was made");
    let begun = begin_session(&app, &user, &peer, "set-up").await?;
    begun.answer(&app).await
}
