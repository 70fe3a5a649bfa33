//! `/api/v1/channels`: the channels, how each does, and what to do next. Those of the configuration are read only here;
//! `channel_changes` has what makes and changes the others.

use std::sync::Arc;

use axum::extract::State;
use deskbell_sdk::settings::SettingValue;
use deskbell_sdk::{SettingKind, Time};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::body::Query;
use super::channel_changes;
use super::channel_health::{Health, State as HealthState, detail, health_of, state_of};
use super::channel_limits::{self, ReplyLimits};
use super::cursor::Position;
use super::extract::{MayRead, Slug};
use super::paging::{self, List, Look};
use super::problem::Problem;
use crate::access::Caller;
use crate::app::{App, Daemon};
use crate::channels::{OpenChannel, SetUpIn};
use crate::store::entry::{ChannelEntry, Right};
use crate::store::record::ChannelNo;

/// The routes.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(channels, channel_changes::add))
        .routes(routes!(
            channel,
            channel_changes::change,
            channel_changes::remove
        ))
        .routes(routes!(health))
}

/// A place in the list of channels.
impl Position for ChannelNo {
    const LIST: u8 = 6;

    fn to_bytes(&self) -> Vec<u8> {
        self.0.to_be_bytes().to_vec()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(u16::from_be_bytes).map(Self)
    }
}

/// A channel.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Channel {
    /// The slug.
    pub id: String,
    /// The connector.
    pub connector: String,
    /// What people know the connector as.
    pub title: String,
    /// The name.
    pub name: String,
    /// How it does.
    pub state: HealthState,
    /// The same in words: what is wrong, and what to do.
    pub detail: String,
    /// The address that the platform delivers to; `null` where it delivers nothing.
    pub webhook_url: Option<String>,
    /// The website chat, where the channel is one.
    pub chat: Option<Chat>,
    /// How long after the customer's last deed an answer is taken, in seconds; `null`: always.
    pub reply_window_seconds: Option<i64>,
    /// The longest text of an answer, in characters; `null`: no limit.
    pub text_limit: Option<usize>,
    /// What an answer may hold; `null` where the channel takes none from here.
    pub limits: Option<ReplyLimits>,
    /// Where it was set up; `null` where only its history is left.
    pub source: Option<Source>,
    /// Whether the channel stands in the configuration and can be changed only there.
    pub read_only: bool,
    /// Whether what was missed is fetched; `null` where it is not open.
    pub catch_up: Option<bool>,
    /// The platform's address, where it is not the connector's own; for administrators only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_base: Option<String>,
    /// Its settings, without secrets; for administrators only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settings: Option<Vec<Setting>>,
    /// When something genuine last came since the daemon started.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_event_at: Option<Time>,
    /// How many deliveries were refused for their signature since the daemon started.
    pub rejected_deliveries: u64,
    /// When one was last refused.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_rejected_at: Option<Time>,
    /// Since when the channel is known.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Time,
}

/// Where a channel was set up, which is where it is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ChannelSource)]
pub enum Source {
    /// In the configuration.
    File,
    /// Through this API.
    Api,
}

/// Where a website chat is.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Chat {
    /// The script that the pages of the shop include.
    pub script_url: String,
    /// A page on which it can be tried.
    pub try_url: String,
}

/// A setting of a channel.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ChannelSetting)]
pub struct Setting {
    /// The key in the configuration.
    pub key: String,
    /// The value; `null` where none is given, and always for a secret.
    #[schema(value_type = Option<Object>)]
    pub value: Option<Value>,
    /// Whether it is never shown.
    pub secret: bool,
    /// Whether there is a value.
    pub set: bool,
}

/// A page of the channels.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct ChannelsQuery {
    /// How many items: 1 to 200, 50 where it is left out.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200)]
    limit: Option<String>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// The channels
///
/// Those that you may see, in the order in which they were first opened; closed ones, of which only the history is
/// left, are among them.
#[utoipa::path(
    get, path = "/api/v1/channels", tag = "channels", operation_id = "listChannels", params(ChannelsQuery),
    responses((status = 200, description = "A page of the channels", body = List<Channel>)),
)]
async fn channels(
    State(app): State<App>,
    MayRead(caller): MayRead,
    Query(query): Query<ChannelsQuery>,
) -> Result<axum::Json<List<Channel>>, Problem> {
    let limit = paging::limit(query.limit.as_deref())?;
    let start: Option<ChannelNo> = app.cursors.read(query.cursor.as_deref())?;
    let fetch = |after: Option<&ChannelNo>, limit| {
        let all = app.channels.all_known().into_iter();
        let later = all.filter(|entry| after.is_none_or(|after| entry.no > *after));
        Ok(later.take(limit).collect())
    };
    let look = |entry: &Arc<ChannelEntry>| {
        let visible = caller.scope.allows(entry.no);
        Ok(if visible {
            Look::Take(shown(&app, &caller, entry))
        } else {
            Look::Skip
        })
    };
    let (data, next) = paging::fill(limit, start, fetch, |entry| entry.no, look)?;
    Ok(axum::Json(List {
        data,
        next: next.map(|place| app.cursors.write(&place)),
    }))
}

/// One channel
///
/// How it is set up and how it does.
#[utoipa::path(
    get, path = "/api/v1/channels/{id}", tag = "channels", operation_id = "getChannel",
    params(("id" = String, Path, description = "The slug")),
    responses((status = 200, description = "The channel", body = Channel)),
)]
async fn channel(
    State(app): State<App>,
    MayRead(caller): MayRead,
    Slug(id): Slug,
) -> Result<axum::Json<Channel>, Problem> {
    let entry = visible(&app, &caller, &id)?;
    Ok(axum::Json(shown(&app, &caller, &entry)))
}

/// How a channel does
///
/// What was looked at and found, and the next thing to do, in words.
#[utoipa::path(
    get, path = "/api/v1/channels/{id}/health", tag = "channels", operation_id = "getChannelHealth",
    params(("id" = String, Path, description = "The slug")),
    responses((status = 200, description = "How it does", body = Health)),
)]
async fn health(
    State(app): State<App>,
    MayRead(caller): MayRead,
    Slug(id): Slug,
) -> Result<axum::Json<Health>, Problem> {
    let entry = visible(&app, &caller, &id)?;
    let why_closed = app.channels.why_closed(entry.no);
    Ok(axum::Json(health_of(
        &entry,
        app.channels.get_no(entry.no).as_deref(),
        why_closed.as_deref(),
        &app.public_url(),
    )))
}

/// The channel with this slug, where the caller may know of it.
pub(super) fn visible(
    app: &Daemon,
    caller: &Caller,
    id: &str,
) -> Result<Arc<ChannelEntry>, Problem> {
    let known = app
        .channels
        .number_of(id)
        .and_then(|no| app.channels.known(no));
    known
        .filter(|entry| caller.scope.allows(entry.no))
        .ok_or_else(|| Problem::not_found("channel"))
}

/// A channel as this caller sees it.
pub(super) fn shown(app: &Daemon, caller: &Caller, entry: &ChannelEntry) -> Channel {
    let open = app.channels.get_no(entry.no);
    let open = open.as_deref();
    let why_closed = app.channels.why_closed(entry.no);
    let is_admin = caller.may(Right::Admin);
    let source = match (open.map(|open| open.set_up_in), &why_closed) {
        (Some(SetUpIn::File), _) => Some(Source::File),
        (Some(SetUpIn::Api), _) | (None, Some(_)) => Some(Source::Api),
        (None, None) => None,
    };
    let public_url = app.public_url();
    let limits = open.map(|open| open.channel.limits()).unwrap_or_default();
    let status = open.map(|open| open.status().clone()).unwrap_or_default();
    let has_webhook = open.is_some_and(|open| open.channel.webhook().is_some());
    let is_chat = open.is_some_and(|open| open.channel.visitors().is_some());
    Channel {
        id: entry.id.clone(),
        connector: entry.connector.clone(),
        title: open.map_or_else(
            || entry.connector.clone(),
            |open| open.kind.title.to_owned(),
        ),
        name: open.map_or_else(|| entry.name.clone(), |open| open.name.clone()),
        state: state_of(open),
        detail: detail(open, why_closed.as_deref()),
        webhook_url: has_webhook.then(|| webhook_url(&public_url, &entry.id)),
        chat: is_chat.then(|| Chat {
            script_url: script_url(&public_url, &entry.id),
            try_url: format!("{public_url}/try/{}", entry.id),
        }),
        reply_window_seconds: limits.reply_window_ms.map(|ms| ms / 1000),
        text_limit: limits.text_chars,
        limits: open.and_then(channel_limits::of),
        source,
        read_only: source == Some(Source::File),
        catch_up: open.map(|open| open.catch_up),
        api_base: open
            .filter(|_| is_admin)
            .and_then(|open| open.settings.api_base().map(str::to_owned)),
        settings: open.filter(|_| is_admin).map(settings),
        last_event_at: status.last_event_at,
        rejected_deliveries: status.rejected,
        last_rejected_at: status.last_rejected_at,
        created_at: entry.created_at,
    }
}

/// Where the platform delivers to.
pub(super) fn webhook_url(public_url: &str, id: &str) -> String {
    format!("{public_url}/webhooks/{id}")
}

/// The script of a website chat.
pub(super) fn script_url(public_url: &str, id: &str) -> String {
    format!("{public_url}/chat/{id}.js")
}

fn settings(open: &OpenChannel) -> Vec<Setting> {
    let described = open.kind.settings.iter();
    described
        .map(|setting| {
            let value = open
                .settings
                .iter()
                .find(|(key, _)| *key == setting.key)
                .map(|(_, value)| value);
            let secret = setting.kind == SettingKind::Secret;
            Setting {
                key: setting.key.to_owned(),
                value: value.filter(|_| !secret).and_then(shown_value),
                secret,
                set: value.is_some(),
            }
        })
        .collect()
}

fn shown_value(value: &SettingValue) -> Option<Value> {
    match value {
        SettingValue::Text(text) => Some(Value::from(text.as_str())),
        SettingValue::Flag(flag) => Some(Value::from(*flag)),
        SettingValue::List(list) => Some(Value::from(list.clone())),
        SettingValue::Secret(_) => None,
    }
}
