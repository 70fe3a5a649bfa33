//! `/api/v1/drafts` and `…/conversations/{id}/draft`: what somebody has begun to write. Everybody has their own, and sees
//! no other.

use axum::extract::State;
use axum::http::StatusCode;
use deskbell_sdk::Time;
use deskbell_sdk::text::MAX_TEXT_CHARS;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::body::{Json, Query};
use super::conversations::no_conversation;
use super::cursor::Position;
use super::extract::{Id, MayRead, MayWrite};
use super::messages::MAX_ATTACHMENTS;
use super::paging::{self, List};
use super::problem::Problem;
use crate::access::Caller;
use crate::app::{App, Daemon};
use crate::desk::working::{KeepUnsent, Unsent};
use crate::id::{AttachmentId, ConversationId, MessageId};
use crate::store::Found;
use crate::store::entry::{Entry, UnsentEntry};

/// How many characters of a draft the list shows.
const PREVIEW_CHARS: usize = 120;
/// How many entries are read at once.
const STRETCH: usize = 500;

/// The routes.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(drafts))
        .routes(routes!(draft, keep, drop_draft))
}

/// What somebody has begun to write into a conversation.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub struct Draft {
    /// The text; `null` where there is no draft.
    pub text: Option<String>,
    /// Whether it is a note.
    pub private: bool,
    /// Uploads that go with it.
    #[schema(value_type = Vec<String>)]
    pub attachment_ids: Vec<AttachmentId>,
    /// The message that it answers.
    #[schema(value_type = Option<String>)]
    pub reply_to: Option<MessageId>,
    /// When it was last changed; `null` where there is no draft.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub updated_at: Option<Time>,
}

impl From<UnsentEntry> for Draft {
    fn from(entry: UnsentEntry) -> Self {
        Self {
            text: Some(entry.text),
            private: entry.private,
            attachment_ids: entry.attachments,
            reply_to: entry.reply_to,
            updated_at: Some(entry.updated_at),
        }
    }
}

/// A draft in the list of one's own.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DraftSummary {
    /// `cnv_…`
    #[schema(value_type = String)]
    pub conversation_id: ConversationId,
    /// Its first words.
    pub preview: String,
    /// Whether it is a note.
    pub private: bool,
    /// When it was last changed.
    #[schema(value_type = String, format = DateTime)]
    pub updated_at: Time,
}

/// Your draft in a conversation
///
/// With `null` for its text where there is none.
#[utoipa::path(
    get, path = "/api/v1/conversations/{id}/draft", tag = "conversations", operation_id = "getDraft",
    params(("id" = String, Path, description = "`cnv_…`")),
    responses((status = 200, description = "The draft", body = Draft)),
)]
async fn draft(
    State(app): State<App>,
    MayRead(caller): MayRead,
    Id(id): Id<ConversationId>,
) -> Result<axum::Json<Draft>, Problem> {
    let found = paging::read(&app, move |app| {
        app.store
            .conversation(&caller.scope, id)?
            .ok_or_else(no_conversation)?;
        let key = UnsentEntry::key(id, &caller.owner());
        Ok(UnsentEntry::get(&*app.store, &key)?)
    });
    Ok(axum::Json(
        found.await?.map_or_else(Draft::default, Draft::from),
    ))
}

/// What is to be kept of a draft.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = DraftContent)]
pub struct Content {
    /// The text; an empty one without attachments removes the draft.
    text: String,
    /// Whether it is a note.
    #[serde(default)]
    private: bool,
    /// Uploads that go with it; at most 20.
    #[serde(default)]
    #[schema(value_type = Vec<String>, max_items = 20)]
    attachment_ids: Vec<AttachmentId>,
    /// The message that it answers.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    reply_to: Option<MessageId>,
}

/// Keep your draft
///
/// The whole of it, in the place of the former one. Nobody else sees it. It goes when it is sent only where you remove it.
#[utoipa::path(
    put, path = "/api/v1/conversations/{id}/draft", tag = "conversations", operation_id = "keepDraft",
    params(("id" = String, Path, description = "`cnv_…`")), request_body = Content,
    responses((status = 200, description = "The draft", body = Draft)),
)]
async fn keep(
    State(app): State<App>,
    MayWrite(caller): MayWrite,
    Id(id): Id<ConversationId>,
    Json(content): Json<Content>,
) -> Result<axum::Json<Draft>, Problem> {
    if content.text.chars().count() > MAX_TEXT_CHARS {
        let detail = format!("A draft has {MAX_TEXT_CHARS} characters at the most.");
        return Err(Problem::field("/text", detail));
    }
    if content.attachment_ids.len() > MAX_ATTACHMENTS {
        let detail = format!("A message has {MAX_ATTACHMENTS} attachments at the most.");
        return Err(Problem::field("/attachment_ids", detail));
    }
    let is_empty = content.text.trim().is_empty() && content.attachment_ids.is_empty();
    let unsent = (!is_empty).then_some(Unsent {
        text: content.text,
        private: content.private,
        attachments: content.attachment_ids,
        reply_to: content.reply_to,
    });
    let kept = change(&app, &caller, id, unsent).await?;
    Ok(axum::Json(kept.map_or_else(Draft::default, Draft::from)))
}

/// Remove your draft
///
/// Also where there is none.
#[utoipa::path(
    delete, path = "/api/v1/conversations/{id}/draft", tag = "conversations", operation_id = "removeDraft",
    params(("id" = String, Path, description = "`cnv_…`")),
    responses((status = 204, description = "There is none")),
)]
async fn drop_draft(
    State(app): State<App>,
    MayWrite(caller): MayWrite,
    Id(id): Id<ConversationId>,
) -> Result<StatusCode, Problem> {
    change(&app, &caller, id, None).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn change(
    app: &App,
    caller: &Caller,
    conversation: ConversationId,
    unsent: Option<Unsent>,
) -> Result<Option<UnsentEntry>, Problem> {
    let decision = KeepUnsent {
        scope: caller.scope.clone(),
        conversation,
        owner: caller.owner(),
        unsent,
    };
    let kept = app
        .writer
        .write(decision)
        .await?
        .ok_or_else(no_conversation)?;
    app.live
        .changed_for(app.clock.now(), caller.owner(), "drafts");
    Ok(kept)
}

/// A page of the drafts.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct DraftsQuery {
    /// How many items: 1 to 200, 50 where it is left out.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200)]
    limit: Option<String>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// A place in the list of drafts.
struct DraftPlace(ConversationId);

impl Position for DraftPlace {
    const LIST: u8 = 41;

    fn to_bytes(&self) -> Vec<u8> {
        self.0.key().to_vec()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let id = bytes.try_into().ok().map(u64::from_be_bytes)?;
        Some(Self(ConversationId(id)))
    }
}

/// Your drafts
///
/// Of the newest conversation first.
#[utoipa::path(
    get, path = "/api/v1/drafts", tag = "conversations", operation_id = "listDrafts", params(DraftsQuery),
    responses((status = 200, description = "A page of your drafts", body = List<DraftSummary>)),
)]
async fn drafts(
    State(app): State<App>,
    MayRead(caller): MayRead,
    Query(query): Query<DraftsQuery>,
) -> Result<axum::Json<List<DraftSummary>>, Problem> {
    let limit = paging::limit(query.limit.as_deref())?;
    let start: Option<DraftPlace> = app.cursors.read(query.cursor.as_deref())?;
    let list = paging::read(&app, move |app| {
        let mut own = own(app, &caller)?;
        own.retain(|entry| {
            start
                .as_ref()
                .is_none_or(|start| entry.conversation < start.0)
        });
        own.sort_by_key(|entry| std::cmp::Reverse(entry.conversation));
        let more = own.len() > limit;
        own.truncate(limit);
        let next = own
            .last()
            .filter(|_| more)
            .map(|last| app.cursors.write(&DraftPlace(last.conversation)));
        let data = own.into_iter().map(|entry| DraftSummary {
            conversation_id: entry.conversation,
            preview: preview(&entry.text),
            private: entry.private,
            updated_at: entry.updated_at,
        });
        Ok(List {
            data: data.collect(),
            next,
        })
    });
    list.await.map(axum::Json)
}

/// The caller's drafts in conversations that they may still see.
fn own(app: &Daemon, caller: &Caller) -> Found<Vec<UnsentEntry>> {
    let owner = caller.owner();
    let (mut own, mut after): (Vec<UnsentEntry>, Option<Vec<u8>>) = (Vec::new(), None);
    loop {
        let stretch = UnsentEntry::scan(&*app.store, &[], after.as_deref(), STRETCH)?;
        let more = stretch.len() == STRETCH;
        for (key, entry) in stretch {
            after = Some(key);
            if entry.owner == owner
                && app
                    .store
                    .conversation(&caller.scope, entry.conversation)?
                    .is_some()
            {
                own.push(entry);
            }
        }
        if !more {
            return Ok(own);
        }
    }
}

fn preview(text: &str) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    words.chars().take(PREVIEW_CHARS).collect()
}
