//! `PATCH /api/v1/conversations/{id}` and `…/take`: status, who has it, labels and the like.

use axum::extract::State;
use deskbell_sdk::Time;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::body::Json;
use super::conversations::no_conversation;
use super::extract::{Id, JsonOrNothing, MayWrite, present};
use super::filters;
use super::problem::Problem;
use crate::access::Caller;
use crate::app::{App, Daemon};
use crate::desk::changing::{ChangeConversation, Changed};
use crate::desk::taking::{Take, Taken};
use crate::id::{ConversationId, TeamId, UserId};
use crate::store::record::{Priority, Status};
use crate::view::Conversation;

/// The most labels of a conversation.
const MAX_LABELS: usize = 50;
/// The longest label, in characters.
pub(super) const MAX_LABEL_CHARS: usize = 100;
/// The longest subject, in characters.
const MAX_SUBJECT_CHARS: usize = deskbell_sdk::text::MAX_NAME_CHARS;

/// The routes.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(change))
        .routes(routes!(take))
}

/// What changes of a conversation. A field that is left out stays; `null` empties it.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ConversationChange)]
pub struct Change {
    /// How it stands.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Status)]
    status: Option<Status>,
    /// Who has it: `usr_…`
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    assignee_id: Option<Option<UserId>>,
    /// Which team has it: `tea_…`
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    team_id: Option<Option<TeamId>>,
    /// All its labels: at most 50, each of at most 100 characters.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Vec<String>>, max_items = 50)]
    labels: Option<Option<Vec<String>>>,
    /// How urgent it is.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<Priority>)]
    priority: Option<Option<Priority>>,
    /// Until when it sleeps: in the future. It stands as `snoozed` then.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, format = DateTime)]
    snoozed_until: Option<Option<Time>>,
    /// What it is about: at most 300 characters.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, max_length = 300)]
    subject: Option<Option<String>>,
    /// Whether it is spam: kept, left out of the inbox, and nobody waits in it.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = bool)]
    spam: Option<bool>,
    /// Only where this person, or with `null` nobody, has it: else 409 `taken`, and nothing changes.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    expected_assignee_id: Option<Option<UserId>>,
}

impl Change {
    pub(super) fn check(&self, now: Time) -> Result<(), Problem> {
        if let Some(Some(labels)) = &self.labels {
            check_labels(labels)?;
        }
        if let Some(Some(until)) = self.snoozed_until {
            if until <= now {
                return Err(Problem::field(
                    "/snoozed_until",
                    "This time is past; a conversation sleeps until a later one.",
                ));
            }
            if self.status.is_some_and(|status| status != Status::Snoozed) {
                return Err(Problem::field(
                    "/snoozed_until",
                    "Only a `snoozed` conversation sleeps; leave `status` out, or this.",
                ));
            }
        }
        if let Some(Some(subject)) = &self.subject
            && subject.chars().count() > MAX_SUBJECT_CHARS
        {
            return Err(Problem::field(
                "/subject",
                format!("It may have {MAX_SUBJECT_CHARS} characters at the most."),
            ));
        }
        Ok(())
    }
}

impl Change {
    /// What the desk is to decide.
    pub(super) fn decision(&self, caller: &Caller, id: ConversationId) -> ChangeConversation {
        ChangeConversation {
            scope: caller.scope.clone(),
            conversation: id,
            author: caller.author(),
            expected_assignee: self.expected_assignee_id,
            status: self.status,
            assignee: self.assignee_id,
            team: self.team_id,
            labels: self.labels.clone().map(Option::unwrap_or_default),
            priority: self.priority,
            snoozed_until: self.snoozed_until,
            subject: self.subject.clone(),
            spam: self.spam,
        }
    }
}

fn check_labels(labels: &[String]) -> Result<(), Problem> {
    if labels.len() > MAX_LABELS {
        return Err(Problem::field(
            "/labels",
            format!("A conversation bears {MAX_LABELS} labels at the most."),
        ));
    }
    for (place, label) in labels.iter().enumerate() {
        let pointer = format!("/labels/{place}");
        if deskbell_sdk::text::clean_name(label).is_none() {
            return Err(Problem::field(&pointer, "A label has a visible character."));
        }
        if label.chars().count() > MAX_LABEL_CHARS {
            return Err(Problem::field(
                &pointer,
                format!("A label has {MAX_LABEL_CHARS} characters at the most."),
            ));
        }
    }
    Ok(())
}

/// Change a conversation
///
/// Status, assignee, team, labels, priority, sleep, subject and spam. Fields that are left out stay as they are; `null`
/// empties one.
#[utoipa::path(
    patch, path = "/api/v1/conversations/{id}", tag = "conversations", operation_id = "changeConversation",
    params(("id" = String, Path, description = "`cnv_…`")), request_body = Change,
    responses(
        (status = 200, description = "The conversation after the change", body = Conversation),
        (status = 409, description = "Somebody else has it than was expected", body = Problem, content_type = "application/problem+json"),
    ),
)]
async fn change(
    State(app): State<App>,
    MayWrite(caller): MayWrite,
    Id(id): Id<ConversationId>,
    Json(change): Json<Change>,
) -> Result<axum::Json<Conversation>, Problem> {
    change.check(app.clock.now())?;
    match app.writer.write(change.decision(&caller, id)).await? {
        Changed::Done(changed) => {
            tell_labels(&app, &change);
            Ok(axum::Json(app.view().conversation(&changed)))
        }
        Changed::NoConversation => Err(no_conversation()),
        Changed::Taken(by) => Err(taken(by)),
        Changed::NoUser => Err(no_user()),
        Changed::NoTeam => Err(no_team()),
    }
}

/// Nobody would hear what is given to such a person.
pub(super) fn no_user() -> Problem {
    let detail = "There is no such person, or their account is disabled.";
    Problem::field("/assignee_id", detail)
}

/// There is no such team.
pub(super) fn no_team() -> Problem {
    Problem::field("/team_id", "There is no such team.")
}

/// A label that was put on a conversation may be new to the list of labels.
pub(super) fn tell_labels(app: &Daemon, change: &Change) {
    if change.labels.is_some() {
        app.live.changed(app.clock.now(), "labels");
    }
}

/// From whom a conversation is taken.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ConversationTake)]
pub struct From {
    /// Who has it as far as you know, `usr_…`; left out or `null`: nobody.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    from: Option<UserId>,
}

/// Take a conversation
///
/// It is assigned to you where nobody has it, or who you say has it. Of many who take it at once, one gets it, and the
/// others 409 `taken` with `assignee_id`. Only for people; programs assign by changing `assignee_id`.
#[utoipa::path(
    post, path = "/api/v1/conversations/{id}/take", tag = "conversations", operation_id = "takeConversation",
    params(("id" = String, Path, description = "`cnv_…`")), request_body = From,
    responses(
        (status = 200, description = "The conversation, which is yours", body = Conversation),
        (status = 409, description = "Somebody else has it", body = Problem, content_type = "application/problem+json"),
    ),
)]
async fn take(
    State(app): State<App>,
    MayWrite(caller): MayWrite,
    Id(id): Id<ConversationId>,
    JsonOrNothing(from): JsonOrNothing<From>,
) -> Result<axum::Json<Conversation>, Problem> {
    let Some(user) = filters::user_of(&caller) else {
        return Err(Problem::forbidden(
            "Only a person takes a conversation. A program assigns it by changing `assignee_id`.",
        ));
    };
    let decision = Take {
        scope: caller.scope.clone(),
        conversation: id,
        user,
        author: caller.author(),
        from: from.from,
    };
    match app.writer.write(decision).await? {
        Taken::Done(conversation) => Ok(axum::Json(app.view().conversation(&conversation))),
        Taken::By(user) => Err(taken(Some(user))),
        Taken::NoConversation => Err(no_conversation()),
    }
}

/// 409: somebody else has it; `by` is `None` where nobody has it any more.
pub(super) fn taken(by: Option<UserId>) -> Problem {
    let detail = match by {
        Some(_) => "Somebody else has it now: `assignee_id`. Take it from them by naming them.",
        None => "Nobody has it any more. Read it anew, and decide again.",
    };
    Problem::conflict("taken", "Somebody else has it", detail).with("assignee_id", &by)
}
