//! `POST /chat/{channel}/session`: a visitor comes, or comes back.

use axum::Json;
use axum::body::Body;
use axum::extract::{Extension, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use deskbell_sdk::visitors::{ClaimedIdentity, IdentityRefused};
use serde::Deserialize;
use serde_json::json;

use super::cross_origin::origin_of;
use crate::api::problem::Problem;
use crate::app::App;
use crate::desk::visits::{Come, ProvenIdentity};
use crate::secrets::random_text;
use crate::server::ClientAddress;
use crate::store::entry::secret_hash;

/// The longest id, name or address of a claimed identity, in bytes.
const MAX_IDENTITY_BYTES: usize = 300;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Opening {
    identity: Option<Identity>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Identity {
    id: String,
    name: Option<String>,
    email: Option<String>,
    signature: Option<String>,
}

/// Opens a visitor's session.
pub(super) async fn open(
    State(app): State<App>,
    Path(id): Path<String>,
    Extension(ClientAddress(address)): Extension<ClientAddress>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let channel = super::channel(&app, &id)?;
    app.chat_limits.session(address)?;
    let opening: Opening = super::json(&headers, body).await?;
    let identity = match &opening.identity {
        None => None,
        Some(identity) => Some(proven(super::visitors(&channel)?, identity)?),
    };
    let token = format!("dbv_{}", random_text());
    let come = Come {
        channel: channel.no,
        origin: origin_of(&headers).unwrap_or_default().to_owned(),
        new_hash: secret_hash(&token),
        old_hash: crate::api::auth::bearer_of(&headers).map(secret_hash),
        identity,
        anonymous_thread: format!("anonymous:{}", random_text()),
    };
    let came = app.writer.write(come).await?;
    let brought = crate::api::auth::bearer_of(&headers).unwrap_or_default();
    let status = if came.new_token {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let answer = json!({
        "token": if came.new_token { &token } else { brought },
        "conversation": { "id": came.visit.conversation, "channel_id": channel.id },
        "expires_at": came.visit.expires_at,
    });
    Ok((status, Json(answer)).into_response())
}

/// The identity that the page claims, where it proves it (V01). Without a proof there is no session at all: falling
/// back to an anonymous one would hide a broken set-up.
fn proven(
    visitors: &dyn deskbell_sdk::visitors::Visitors,
    identity: &Identity,
) -> Result<ProvenIdentity, Problem> {
    for (pointer, value) in [
        ("/identity/id", Some(&identity.id)),
        ("/identity/name", identity.name.as_ref()),
        ("/identity/email", identity.email.as_ref()),
    ] {
        if value.is_some_and(|value| value.len() > MAX_IDENTITY_BYTES) {
            return Err(Problem::field(
                pointer,
                format!("has {MAX_IDENTITY_BYTES} bytes at the most."),
            ));
        }
    }
    if identity.id.is_empty() {
        return Err(Problem::field("/identity/id", "is empty."));
    }
    let claimed = ClaimedIdentity {
        id: &identity.id,
        name: identity.name.as_deref(),
        email: identity.email.as_deref(),
        signature: identity.signature.as_deref(),
    };
    visitors.identify(&claimed).map_err(|refused| {
        Problem::forbidden(match refused {
            IdentityRefused::NoSecret => "This chat has no `identity_secret`, so no identity can be proven. Set one, or leave `identity` out.",
            IdentityRefused::BadSignature => "`identity.signature` is not the HMAC-SHA256 of `identity.id` under the channel's `identity_secret`.",
        })
    })?;
    Ok(ProvenIdentity {
        id: identity.id.clone(),
        name: identity.name.clone(),
        email: identity.email.clone(),
    })
}
