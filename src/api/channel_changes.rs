//! What adds, changes and removes channels. Administrators only: a channel's secrets are entered here, and its `api_base`
//! makes the daemon call any address.

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::body::{Json, JsonBytes};
use super::channels::{Channel, shown, visible};
use super::extract::{MayAdmin, Slug, present};
use super::idempotency::{IdempotencyKey, key_reused};
use super::problem::{FieldProblem, Problem};
use crate::access::Caller;
use crate::app::App;
use crate::provision::{self, Refused};

/// A channel that is wanted.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewChannel {
    /// The slug, for its URLs: 1 to 63 of a-z, 0-9 and `-`. One of a channel that was removed may be used again by the
    /// same connector, and goes on with its history.
    #[schema(pattern = "^[a-z0-9][a-z0-9-]{0,62}$")]
    id: String,
    /// The connector, as `GET /api/v1/connectors` lists it.
    connector: String,
    /// What people call it: at most 100 characters; the connector's title where it is left out.
    #[serde(default)]
    name: Option<String>,
    /// The connector's settings by key. Secrets are texts: `{"env": …}` and `{"file": …}` work in the configuration
    /// file only.
    #[serde(default)]
    #[schema(value_type = Object)]
    settings: Map<String, Value>,
    /// The platform's address, where it is not the connector's own. The daemon calls it with the channel's secrets.
    #[serde(default)]
    api_base: Option<String>,
    /// Whether what was missed is fetched.
    #[serde(default = "yes")]
    catch_up: bool,
}

impl std::fmt::Debug for NewChannel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewChannel")
            .field("id", &self.id)
            .field("connector", &self.connector)
            .finish_non_exhaustive()
    }
}

const fn yes() -> bool {
    true
}

/// What is to be changed; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChannelChange {
    /// What people call it.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = String)]
    name: Option<String>,
    /// Settings by key: those that are named are replaced, secrets too; `null` takes an optional one out. Others stay.
    #[serde(default)]
    #[schema(value_type = Object)]
    settings: Map<String, Value>,
    /// The platform's address; `null`: the connector's own.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    api_base: Option<Option<String>>,
    /// Whether what was missed is fetched.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = bool)]
    catch_up: Option<bool>,
}

impl std::fmt::Debug for ChannelChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChannelChange")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Add a channel
///
/// It is open at once. Its secrets are kept encrypted and never shown. The rules are those of the configuration, and
/// each field that does not do is named. Administrators only.
#[utoipa::path(
    post, path = "/api/v1/channels", tag = "channels", operation_id = "addChannel",
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters: the same key with the same body makes one channel")),
    request_body = NewChannel,
    responses(
        (status = 201, description = "The channel", body = Channel),
        (status = 409, description = "The slug is taken, or what this `Idempotency-Key` made was removed", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn add(
    State(app): State<App>,
    MayAdmin(caller): MayAdmin,
    key: IdempotencyKey,
    JsonBytes(new, body): JsonBytes<NewChannel>,
) -> Result<(StatusCode, axum::Json<Channel>), Problem> {
    of_all_channels(&caller)?;
    // The body holds secrets, and some are short: a plain hash of it could be guessed against.
    let keyed = app.cursors.derived_secret("a channel's request", &body);
    let remembered = key.of(&caller, keyed.as_bytes());
    let id = new.id.clone();
    let new = provision::NewChannel {
        id: new.id,
        connector: new.connector,
        name: new.name,
        settings: new.settings,
        api_base: new.api_base,
        catch_up: new.catch_up,
    };
    let added = provision::add(&app, new, remembered, caller.actor()).await;
    let entry = added.map_err(|refused| problem(&id, refused))?;
    Ok((
        StatusCode::CREATED,
        axum::Json(shown(&app, &caller, &entry)),
    ))
}

/// Change a channel
///
/// Its settings are merged with those that it has; it goes on with them at once. Channels of the configuration are read
/// only here. Administrators only.
#[utoipa::path(
    patch, path = "/api/v1/channels/{id}", tag = "channels", operation_id = "changeChannel",
    params(("id" = String, Path, description = "The slug")),
    request_body = ChannelChange,
    responses(
        (status = 200, description = "The channel", body = Channel),
        (status = 409, description = "It stands in the configuration, or only its history is left", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn change(
    State(app): State<App>,
    MayAdmin(caller): MayAdmin,
    Slug(id): Slug,
    Json(change): Json<ChannelChange>,
) -> Result<axum::Json<Channel>, Problem> {
    visible(&app, &caller, &id)?;
    let change = provision::Change {
        name: change.name,
        settings: change.settings,
        api_base: change.api_base,
        catch_up: change.catch_up,
    };
    let changed = provision::change(&app, id.clone(), change, caller.actor()).await;
    let entry = changed.map_err(|refused| problem(&id, refused))?;
    Ok(axum::Json(shown(&app, &caller, &entry)))
}

/// Remove a channel
///
/// It receives and answers no more, and its settings are forgotten; its history stays. Channels of the configuration are
/// removed there. Administrators only.
#[utoipa::path(
    delete, path = "/api/v1/channels/{id}", tag = "channels", operation_id = "removeChannel",
    params(("id" = String, Path, description = "The slug")),
    responses(
        (status = 204, description = "It is removed"),
        (status = 409, description = "It stands in the configuration", body = Problem, content_type = "application/problem+json"),
    ),
)]
pub(super) async fn remove(
    State(app): State<App>,
    MayAdmin(caller): MayAdmin,
    Slug(id): Slug,
) -> Result<StatusCode, Problem> {
    visible(&app, &caller, &id)?;
    let removed = provision::remove(&app, id.clone(), caller.actor()).await;
    removed.map_err(|refused| problem(&id, refused))?;
    Ok(StatusCode::NO_CONTENT)
}

/// An administrator of some channels makes none: it would be outside of what they may see.
fn of_all_channels(caller: &Caller) -> Result<(), Problem> {
    match caller.scope.channels() {
        None => Ok(()),
        Some(_) => Err(Problem::forbidden(
            "Channels are added by administrators who may see all channels.",
        )),
    }
}

/// What the caller is told where nothing was done.
fn problem(id: &str, refused: Refused) -> Problem {
    match refused {
        Refused::Fields(fields) => {
            let fields = fields.into_iter().map(|field| FieldProblem {
                pointer: field.pointer,
                detail: field.detail,
            });
            Problem::fields(fields.collect())
        }
        Refused::Unknown => Problem::not_found("channel"),
        Refused::InFile(place) => Problem::conflict(
            "channel-in-configuration",
            "The channel stands in the configuration",
            format!(
                "`{id}` is set up in {place} and read only here: change it there, and start the daemon again."
            ),
        ),
        Refused::Exists => Problem::conflict(
            "channel-exists",
            "There is such a channel already",
            format!("`{id}` is taken. Change that channel with PATCH, or choose another id."),
        ),
        Refused::OtherConnector(connector) => Problem::conflict(
            "channel-of-another-connector",
            "The id belongs to another connector's history",
            format!(
                "`{id}` was a channel of {connector}, and its messages are kept. Choose another id."
            ),
        ),
        Refused::Closed => Problem::conflict(
            "channel-closed",
            "The channel is closed",
            format!(
                "`{id}` was removed, and only its history is left. Add it again with POST /api/v1/channels."
            ),
        ),
        Refused::TooMany => Problem::conflict(
            "too-many-channels",
            "There are too many channels",
            "There are as many channels as there may be. Remove one.",
        ),
        Refused::KeyReused => key_reused(),
        Refused::Gone => Problem::conflict(
            "channel-removed",
            "This channel was removed",
            "The channel that this `Idempotency-Key` made is removed. Use a new key to add one.",
        ),
        Refused::Unreadable(error) => {
            tracing::error!(%error, "a channel could not be read from the store");
            Problem::unavailable("The store cannot be read right now. Try again shortly.")
        }
        Refused::NotDurable(error) => error.into(),
    }
}
