//! The HTTP interface: `/api/v1/…` for staff and programs, `/chat/…` for visitors, `/webhooks/…` for platforms, and the
//! pages. It reads the store and gives decisions to the writer; it decides nothing itself.

pub mod assets;
pub mod attachments;
pub mod audit;
pub mod auth;
pub mod backups;
pub mod bell;
pub mod body;
pub mod bulk;
pub mod canned_replies;
pub mod channel_actions;
pub mod channel_changes;
pub mod channel_health;
pub mod channel_limits;
pub mod channels;
pub mod chat;
pub mod connectors;
pub mod contacts;
pub mod conversation_changes;
pub mod conversations;
pub mod cursor;
pub mod deletions;
pub mod devices;
pub mod docs;
pub mod drafts;
pub mod exports;
pub mod extract;
pub mod failures;
pub mod feed;
pub mod filters;
pub mod headers;
pub mod hook_deliveries;
pub mod hooks;
pub mod hops;
pub mod hours;
pub mod idempotency;
pub mod imports;
pub mod inbox;
pub mod invitations;
pub mod known_devices;
pub mod labels;
pub mod me;
pub mod messages;
pub mod oidc;
pub mod ops;
pub mod pages;
pub mod paging;
pub mod presence;
pub mod problem;
pub mod problems;
pub mod quarantine;
pub mod replays;
pub mod retry;
pub mod search;
pub mod sessions;
pub mod settings;
pub mod setup;
pub mod sign_in;
pub mod stream;
pub mod teams;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
pub mod tokens;
pub mod two_factor;
pub mod ui;
pub mod uploads;
pub mod users;
pub mod views;
pub mod webhooks;

use axum::http::{Method, StatusCode};
use utoipa_axum::router::OpenApiRouter;

use crate::app::App;
use problem::Problem;

/// Everything that the daemon serves.
pub fn router(app: App) -> axum::Router {
    let (resources, _) = resources().split_for_parts();
    let router = resources
        .merge(chat::router(&app))
        .merge(docs::router())
        .merge(deletions::pages())
        .merge(oidc::pages())
        .merge(ops::router())
        .merge(pages::router())
        .merge(problems::router())
        .merge(ui::router())
        .merge(webhooks::router())
        .method_not_allowed_fallback(wrong_method)
        .fallback(nothing_here)
        .with_state(app);
    headers::around(router.layer(axum::middleware::from_fn(hops::counted)))
}

/// The resources below `/api/v1`, with their description.
fn resources() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(docs::preamble())
        .merge(feed::router())
        .merge(inbox::router())
        .merge(conversations::router())
        .merge(conversation_changes::router())
        .merge(bulk::router())
        .merge(views::router())
        .merge(drafts::router())
        .merge(presence::router())
        .merge(canned_replies::router())
        .merge(labels::router())
        .merge(settings::router())
        .merge(hours::router())
        .merge(messages::router())
        .merge(retry::router())
        .merge(contacts::router())
        .merge(search::router())
        .merge(stream::router())
        .merge(channels::router())
        .merge(channel_actions::router())
        .merge(replays::router())
        .merge(connectors::router())
        .merge(attachments::router())
        .merge(tokens::router())
        .merge(me::router())
        .merge(sign_in::router())
        .merge(sessions::router())
        .merge(setup::router())
        .merge(users::router())
        .merge(invitations::router())
        .merge(quarantine::router())
        .merge(deletions::router())
        .merge(backups::router())
        .merge(bell::router())
        .merge(devices::router())
        .merge(exports::router())
        .merge(imports::router())
        .merge(teams::router())
        .merge(audit::router())
        .merge(two_factor::router())
        .merge(oidc::router())
        .merge(hooks::router())
        .merge(hook_deliveries::router())
}

async fn nothing_here() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "not-found",
        "Not found",
        "Nothing is at this address. `/docs` lists what there is.",
    )
}

async fn wrong_method(method: Method) -> Problem {
    let detail = format!("This address does not take {method}; `Allow` says what it takes.");
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method-not-allowed",
        "Method not allowed",
        detail,
    )
}
