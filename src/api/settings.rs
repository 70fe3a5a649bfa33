//! `/api/v1/settings`: what the shop has decided for everybody.

use axum::extract::State;
use deskbell_sdk::text::{MAX_NAME_CHARS, clean_name};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::body::Json;
use super::extract::{MayAdmin, MayRead, present};
use super::paging;
use super::problem::Problem;
use super::views::ORDINARY;
use crate::app::App;
use crate::desk::audit::{Audited, Told};
use crate::desk::working::ChangeSettings;
use crate::id::ViewId;
use crate::store::entry::{DeskSettings, Entry, UnreadUntil, ViewEntry};

/// The routes.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(settings, change))
}

/// What the shop has decided for everybody.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Settings)]
pub struct Shown {
    /// What the shop is called; empty where nobody has said it.
    pub shop_name: String,
    /// When a message of a customer's counts as read by the team.
    pub unread_until: UnreadUntil,
    /// The view with which the inbox opens: the name of one that everybody has, or the id of a shared one.
    pub default_view: String,
}

impl From<DeskSettings> for Shown {
    fn from(settings: DeskSettings) -> Self {
        Self {
            shop_name: settings.shop_name,
            unread_until: settings.unread_until,
            default_view: settings.default_view,
        }
    }
}

/// The settings
///
/// Of the whole desk.
#[utoipa::path(
    get, path = "/api/v1/settings", tag = "settings", operation_id = "getSettings",
    responses((status = 200, description = "The settings", body = Shown)),
)]
async fn settings(
    State(app): State<App>,
    MayRead(_caller): MayRead,
) -> Result<axum::Json<Shown>, Problem> {
    let found = paging::read(&app, |app| {
        let settings = DeskSettings::get(&*app.store, DeskSettings::KEY)?;
        Ok(settings.unwrap_or_default().into())
    });
    found.await.map(axum::Json)
}

/// What is to be changed; what is left out stays.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SettingsChange {
    /// What the shop is called: at most 300 characters.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = String, max_length = 300)]
    shop_name: Option<String>,
    /// When a message of a customer's counts as read by the team.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = UnreadUntil)]
    unread_until: Option<UnreadUntil>,
    /// The view with which the inbox opens.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = String)]
    default_view: Option<String>,
}

/// Change the settings
///
/// What is left out stays. Administrators only.
#[utoipa::path(
    patch, path = "/api/v1/settings", tag = "settings", operation_id = "changeSettings", request_body = SettingsChange,
    responses((status = 200, description = "The settings after the change", body = Shown)),
)]
async fn change(
    State(app): State<App>,
    MayAdmin(caller): MayAdmin,
    Json(change): Json<SettingsChange>,
) -> Result<axum::Json<Shown>, Problem> {
    if let Some(name) = &change.shop_name
        && name.chars().count() > MAX_NAME_CHARS
    {
        let detail = format!("It may have {MAX_NAME_CHARS} characters at the most.");
        return Err(Problem::field("/shop_name", detail));
    }
    if let Some(view) = change.default_view.clone() {
        let is_there = paging::read(&app, move |app| {
            if ORDINARY.contains(&view.as_str()) {
                return Ok(true);
            }
            let Ok(id) = view.parse::<ViewId>() else {
                return Ok(false);
            };
            let view = ViewEntry::get(&*app.store, &id.key())?;
            Ok(view.is_some_and(|view| view.shared))
        });
        if !is_there.await? {
            let detail = format!(
                "It is one of {}, or the id of a shared view.",
                ORDINARY.join(", ")
            );
            return Err(Problem::field("/default_view", detail));
        }
    }
    let shop_name = change.shop_name.as_deref();
    let decision = ChangeSettings {
        shop_name: shop_name.map(|name| clean_name(name).unwrap_or_default()),
        unread_until: change.unread_until,
        default_view: change.default_view,
    };
    let decision = Audited::by_answer(decision, caller.actor(), |after: &DeskSettings| {
        let told = Told::of("settings.changed")
            .with("shop_name", after.shop_name.clone())
            .with("default_view", after.default_view.clone())
            .with(
                "unread_until",
                format!("{:?}", after.unread_until).to_lowercase(),
            );
        Some(told)
    });
    let changed = app.writer.write(decision).await?;
    app.live.changed(app.clock.now(), "settings");
    Ok(axum::Json(changed.into()))
}
