//! `POST /api/v1/conversations/bulk`: the same change of many conversations, each by itself.

use axum::extract::State;
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::body::Json;
use super::conversation_changes::{Change, no_team, no_user, taken};
use super::conversations::no_conversation;
use super::extract::MayWrite;
use super::problem::Problem;
use crate::app::App;
use crate::desk::changing::Changed;
use crate::id::ConversationId;

/// The most conversations of one request.
const MOST: usize = 200;
/// How many decisions are given at once: a group of the writer's.
const AT_ONCE: usize = 50;

/// The routes.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(bulk))
}

/// The same change of many conversations.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BulkChange {
    /// Which conversations: 1 to 200, `cnv_…`.
    #[schema(value_type = Vec<String>, min_items = 1, max_items = 200)]
    ids: Vec<ConversationId>,
    /// What changes of each.
    change: Change,
}

/// What became of each.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct BulkResult {
    /// In the order of the request.
    pub data: Vec<BulkItem>,
}

/// What became of one.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct BulkItem {
    /// `cnv_…`
    #[schema(value_type = String)]
    pub id: ConversationId,
    /// As the answer to the change of it alone: 200, 404, 409, 503.
    pub status: u16,
    /// What went wrong; `null` where nothing did.
    pub detail: Option<String>,
}

/// Change many conversations
///
/// Each as `PATCH` would change it alone: one that cannot be changed keeps no other from it, and `data` says what became of
/// each. It may be sent again.
#[utoipa::path(
    post, path = "/api/v1/conversations/bulk", tag = "conversations", operation_id = "changeConversations",
    request_body = BulkChange,
    responses((status = 200, description = "What became of each", body = BulkResult)),
)]
async fn bulk(
    State(app): State<App>,
    MayWrite(caller): MayWrite,
    Json(wanted): Json<BulkChange>,
) -> Result<axum::Json<BulkResult>, Problem> {
    if wanted.ids.is_empty() || wanted.ids.len() > MOST {
        let detail = format!("Name 1 to {MOST} conversations.");
        return Err(Problem::field("/ids", detail));
    }
    wanted.change.check(app.clock.now()).map_err(below_change)?;
    let mut data = Vec::with_capacity(wanted.ids.len());
    for ids in wanted.ids.chunks(AT_ONCE) {
        let changes = ids.iter().map(|id| {
            let decision = wanted.change.decision(&caller, *id);
            app.writer.write(decision)
        });
        let outcomes = join_all(changes).await;
        data.extend(ids.iter().zip(outcomes).map(|(id, outcome)| {
            let problem = match outcome {
                Ok(Changed::Done(_)) => None,
                Ok(Changed::NoConversation) => Some(no_conversation()),
                Ok(Changed::Taken(by)) => Some(taken(by)),
                Ok(Changed::NoUser) => Some(no_user()),
                Ok(Changed::NoTeam) => Some(no_team()),
                Err(error) => Some(Problem::from(error)),
            };
            BulkItem {
                id: *id,
                status: problem.as_ref().map_or(200, |problem| problem.status),
                detail: problem.map(|problem| problem.detail),
            }
        }));
    }
    super::conversation_changes::tell_labels(&app, &wanted.change);
    Ok(axum::Json(BulkResult { data }))
}

/// The fields of the change lie below `change`.
fn below_change(mut problem: Problem) -> Problem {
    for field in &mut problem.errors {
        field.pointer = format!("/change{}", field.pointer);
    }
    problem.detail = format!("/change{}", problem.detail);
    problem
}
