//! `/api/v1/connectors`: what kinds of channels there are, and what each wants to be told, described by itself.

use axum::extract::State;
use deskbell_sdk::{Kind, SettingKind};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::extract::MayRead;
use super::paging::List;
use crate::app::App;

/// The routes.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(connectors))
}

/// A connector.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Connector {
    /// The name in the configuration and here.
    pub id: String,
    /// The name that people know.
    pub title: String,
    /// The platform's address, which a channel's `api_base` replaces; `null` where the connector calls nobody.
    pub api_base: Option<String>,
    /// What a channel of it is told, in the order of a form.
    pub settings: Vec<DescribedSetting>,
}

/// A setting, as its connector describes it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DescribedSetting {
    /// The key; one as `imap.host` stands in the object `imap`, or under its whole key.
    pub key: String,
    /// What it is and where to find it.
    pub help: String,
    /// What it holds.
    pub kind: DescribedKind,
    /// The values it may have, where they are fixed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub choices: Option<Vec<String>>,
    /// Whether a channel cannot be added without it.
    pub required: bool,
    /// The value where none is given.
    pub default: Option<String>,
    /// Whether it is encrypted and never shown.
    pub secret: bool,
}

/// What a setting holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = SettingKind)]
pub enum DescribedKind {
    /// A text.
    Text,
    /// A text that is never shown.
    Secret,
    /// `true` or `false`.
    Flag,
    /// One of `choices`.
    Choice,
    /// A list of texts.
    List,
}

/// The connectors
///
/// The kinds of channels that this version can open, and the settings of each.
#[utoipa::path(
    get, path = "/api/v1/connectors", tag = "channels", operation_id = "listConnectors",
    responses((status = 200, description = "All connectors", body = List<Connector>)),
)]
async fn connectors(
    State(app): State<App>,
    MayRead(_caller): MayRead,
) -> axum::Json<List<Connector>> {
    axum::Json(List {
        data: app.provisioner.kinds().iter().map(described).collect(),
        next: None,
    })
}

fn described(kind: &Kind) -> Connector {
    let settings = kind.settings.iter().map(|setting| {
        let (kind, choices) = match setting.kind {
            SettingKind::Text => (DescribedKind::Text, None),
            SettingKind::Secret => (DescribedKind::Secret, None),
            SettingKind::Flag => (DescribedKind::Flag, None),
            SettingKind::Choice(choices) => (DescribedKind::Choice, Some(choices)),
            SettingKind::List => (DescribedKind::List, None),
        };
        DescribedSetting {
            key: setting.key.to_owned(),
            help: setting.help.to_owned(),
            kind,
            choices: choices
                .map(|choices| choices.iter().map(|choice| (*choice).to_owned()).collect()),
            required: setting.required && setting.default.is_none(),
            default: setting.default.map(str::to_owned),
            secret: setting.kind == SettingKind::Secret,
        }
    });
    Connector {
        id: kind.id.to_owned(),
        title: kind.title.to_owned(),
        api_base: kind.api_base.map(str::to_owned),
        settings: settings.collect(),
    }
}
