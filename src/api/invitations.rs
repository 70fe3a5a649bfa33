//! Invitations: links of a day, by which somebody who was added comes in, or sets a new password (S07). The token stands
//! behind the `#` of the address, which browsers send to nobody and no log has.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use deskbell_sdk::Time;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::OwnPage;
use super::body::Json;
use super::extract::{Id, MayAdmin};
use super::idempotency::{IdempotencyKey, Once, OnceAnswer, key_reused};
use super::me::Me;
use super::paging;
use super::problem::Problem;
use super::sign_in::{Peer, actor_of, after_password, begin_session};
use super::users;
use crate::app::{App, Daemon};
use crate::desk::audit::{Audited, Told};
use crate::desk::people::{Accept, Invite, NewLink, Refused, invited};
use crate::id::UserId;
use crate::mail::Mail;
use crate::store::entry::{Entry, InvitationEntry, UserEntry, secret_hash};

/// How long a link works: a day, in milliseconds.
pub const LINK_MS: i64 = 24 * 60 * 60 * 1000;

/// The routes.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(invite))
        .routes(routes!(look))
        .routes(routes!(accept))
}

/// A link for somebody.
#[derive(Clone, Serialize, ToSchema)]
pub struct Invitation {
    /// The link. It works once.
    pub url: String,
    /// Until when it works.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Time,
    /// Whether the mail server took a mail with it now. Where it did not, hand the link on yourself.
    pub mailed: bool,
}

/// The link of a token.
#[must_use]
pub fn link_of(app: &Daemon, token: &str, invitation: &InvitationEntry) -> Invitation {
    Invitation {
        url: format!("{}/join#{token}", app.public_url()),
        expires_at: invitation.expires_at,
        mailed: false,
    }
}

/// Mails a link that was just made to whom it is for, where a mail server is configured. Whether that works changes
/// nothing else.
pub async fn mailed(app: &Daemon, link: Invitation, user: &UserEntry, by: &str) -> Invitation {
    let Some(mailer) = &app.mailer else {
        return link;
    };
    let address = app.public_url();
    let mail = Mail {
        name: user.name.clone(),
        email: user.email.clone(),
        subject: "Your way in to Deskbell".to_owned(),
        text: format!(
            "Hello {name},\n\n{by} has made a link for you, by which you set your password at\n{address}:\n\n{url}\n\nIt \
             works once, until {until}. If you did not expect it, do nothing.\n",
            name = user.name,
            url = link.url,
            until = link.expires_at,
        ),
    };
    let sent = Box::pin(mailer.send(mail)).await;
    if let Err(error) = &sent {
        tracing::warn!(user = %user.id, "an invitation was not mailed: {error}");
    }
    Invitation {
        mailed: sent.is_ok(),
        ..link
    }
}

/// Make a link for a person
///
/// By it they come in for the first time, or set a new password. Older links of theirs are dead. It works once, and for a
/// day. With `Idempotency-Key` the same request gives the same link again, as long as it works. Administrators only.
#[utoipa::path(
    post, path = "/api/v1/users/{id}/invitation", tag = "users", operation_id = "inviteUser",
    params(("id" = String, Path, description = "`usr_…`"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters: the same key makes one link")),
    responses(
        (status = 201, description = "The link", body = Invitation),
        (status = 409, description = "The person is disabled, or the link of this `Idempotency-Key` was used", body = Problem, content_type = "application/problem+json"),
    ),
)]
async fn invite(
    State(app): State<App>,
    MayAdmin(caller): MayAdmin,
    Id(id): Id<UserId>,
    key: IdempotencyKey,
) -> Result<(StatusCode, axum::Json<Invitation>), Problem> {
    let remembered = key.of(&caller, b"");
    let token = match &remembered {
        Some((key, _)) => app.cursors.derived_secret("invitation", key),
        None => crate::secrets::random_text(),
    };
    let hash = secret_hash(&token);
    let user = paging::read(&app, move |app| {
        let user = UserEntry::get(&*app.store, &id.key())?;
        user.ok_or_else(|| Problem::not_found("person"))
    });
    let user = user.await?;
    let invite = Invite {
        id,
        link: NewLink {
            hash: hash.clone(),
            works_for_ms: LINK_MS,
        },
    };
    let told = Told::of("user.invited").to("user", id, user.name.as_str());
    let told = move |made: &Result<_, Refused>| made.is_ok().then(|| told.clone());
    let decision = Once {
        decision: Audited::by_answer(invite, caller.actor(), told),
        remembered,
        made: |made| if made.is_ok() { "link" } else { "" }.to_owned(),
    };
    let invitation = match app.writer.write(decision).await? {
        OnceAnswer::Now(made) => {
            app.live.changed(app.clock.now(), "users");
            let link = link_of(&app, &token, &made?);
            let link = mailed(&app, link, &user, &caller.name()).await;
            return Ok((StatusCode::CREATED, axum::Json(link)));
        }
        OnceAnswer::Before(_) => {
            let now = app.clock.now();
            let before = paging::read(&app, move |app| {
                Ok(InvitationEntry::get(&*app.store, &hash)?)
            });
            let before = before.await?.filter(|link| now < link.expires_at);
            before.ok_or_else(used)?
        }
        OnceAnswer::KeyReused => return Err(key_reused()),
    };
    let link = link_of(&app, &token, &invitation);
    Ok((StatusCode::CREATED, axum::Json(link)))
}

fn used() -> Problem {
    Problem::conflict(
        "invitation-gone",
        "This link no longer works",
        "The link that this `Idempotency-Key` made was used, or another has taken its place. Use a new key for a new link.",
    )
}

fn gone() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "invitation-gone",
        "This link no longer works",
        "It was used, is older than a day, or another has taken its place. Ask an administrator for a new one.",
    )
}

/// The token of a link.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LinkToken {
    /// What stands behind the `#` of the link.
    token: String,
}

/// Whom a link is for.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Invited {
    /// The e-mail address.
    pub email: String,
    /// The name as it stands.
    pub name: String,
    /// Until when the link works.
    #[schema(value_type = String, format = DateTime)]
    pub expires_at: Time,
}

/// The person of a link that works, and until when it does.
async fn find(app: &App, token: &str) -> Result<(UserEntry, Time), Problem> {
    let hash = secret_hash(token);
    let found = paging::read(app, move |app| {
        let store = &*app.store;
        let mut expires_at = None;
        let user = invited(
            |key| {
                let link = InvitationEntry::get(store, key)?;
                expires_at = link.map(|link| link.expires_at);
                Ok(link)
            },
            |key| UserEntry::get(store, key),
            app.clock.now(),
            &hash,
        )?;
        Ok(user.zip(expires_at))
    });
    found.await?.ok_or_else(gone)
}

/// Look at a link
///
/// Whom an invitation is for. The link goes on working.
#[utoipa::path(
    post, path = "/api/v1/invitations/look", tag = "session", operation_id = "lookAtInvitation", security(()),
    request_body = LinkToken,
    responses(
        (status = 200, description = "Whom it is for", body = Invited),
        (status = 404, description = "It was used, is too old, or never was", body = Problem, content_type = "application/problem+json"),
    ),
)]
async fn look(
    State(app): State<App>,
    _own: OwnPage,
    Json(LinkToken { token }): Json<LinkToken>,
) -> Result<axum::Json<Invited>, Problem> {
    let (user, expires_at) = find(&app, &token).await?;
    Ok(axum::Json(Invited {
        email: user.email,
        name: user.name,
        expires_at,
    }))
}

/// What somebody who comes by a link says.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Acceptance {
    /// What stands behind the `#` of the link.
    token: String,
    /// The name that others see; left out, it stays.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 300)]
    name: Option<String>,
    /// The password, 10 to 200 characters.
    #[schema(min_length = 10, max_length = 200)]
    password: String,
}

/// Come in by a link
///
/// Sets the password, ends all sessions there were, and begins one. The link is used up. Where the account has a second
/// factor the password is set, and the answer is 401 `code-needed`: sign in with it and the code.
#[utoipa::path(
    post, path = "/api/v1/invitations/accept", tag = "session", operation_id = "acceptInvitation", security(()),
    request_body = Acceptance,
    responses(
        (status = 201, description = "Who is signed in; the session is in the cookie", body = Me),
        (status = 404, description = "It was used, is too old, or never was", body = Problem, content_type = "application/problem+json"),
        (status = 429, body = Problem),
    ),
)]
async fn accept(
    State(app): State<App>,
    _own: OwnPage,
    peer: Peer,
    Json(Acceptance {
        token,
        name,
        password,
    }): Json<Acceptance>,
) -> Result<Response, Problem> {
    // Before the password is hashed: strangers without a link make no work.
    let (user, _) = find(&app, &token).await?;
    let name = name.as_deref().map(users::name).transpose()?;
    let accept = Accept {
        hash: secret_hash(&token),
        name,
        password: users::new_password(&app, password, &user.email).await?,
    };
    let by = actor_of(&user, &peer);
    let accept = Audited::by_answer(accept, by, |accepted: &Option<UserEntry>| {
        let user = accepted.as_ref()?;
        Some(Told::of("user.joined").to("user", user.id, user.name.as_str()))
    });
    let changing = app.access.changing();
    let accepted = app.writer.write(accept).await?;
    drop(changing);
    let user = accepted.ok_or_else(gone)?;
    app.live.changed(app.clock.now(), "users");
    if user.is_active_admin() {
        app.access.end_setup();
    }
    after_password(&app, &user, &peer, None).await?;
    let begun = begin_session(&app, &user, &peer, "invitation").await?;
    begun.answer(&app).await
}
