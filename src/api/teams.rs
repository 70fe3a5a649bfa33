//! `/api/v1/teams`: people who share conversations.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use deskbell_sdk::Time;
use deskbell_sdk::text::clean_name;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::body::{Json, JsonBytes, Query};
use super::cursor::Position;
use super::extract::{Id, MayAdmin, MayRead, present};
use super::idempotency::{IdempotencyKey, Once, OnceAnswer, key_reused};
use super::paging::{self, List};
use super::problem::Problem;
use crate::app::App;
use crate::desk::teams::{
    self, ChangeTeam, DissolveTeam, FreeConversations, MOST_MEMBERS, MOST_TEAMS, MakeTeam,
    RemoveTeam,
};
use crate::id::{ConversationId, TeamId, UserId};
use crate::store::Scope;
use crate::store::entry::{Entry, TeamEntry};

/// The longest name of a team, in characters.
const MAX_TEAM_NAME_CHARS: usize = 100;
/// How many conversations are read at once where a team is deleted.
const STRETCH: usize = 500;
/// How many of them are changed in one step.
const FREED_AT_ONCE: usize = 100;

/// The routes.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(list, make))
        .routes(routes!(change, dissolve))
}

/// A place in the list of teams.
impl Position for TeamId {
    const LIST: u8 = 30;

    fn to_bytes(&self) -> Vec<u8> {
        self.key().to_vec()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(u64::from_be_bytes).map(Self)
    }
}

/// A team.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Team {
    /// `tea_…`
    #[schema(value_type = String)]
    pub id: TeamId,
    /// Its name.
    pub name: String,
    /// Who is in it: `usr_…`
    #[schema(value_type = Vec<String>)]
    pub member_ids: BTreeSet<UserId>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Time,
}

impl From<TeamEntry> for Team {
    fn from(team: TeamEntry) -> Self {
        Self {
            id: team.id,
            name: team.name,
            member_ids: team.members,
            created_at: team.created_at,
        }
    }
}

/// A page of the teams.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct TeamsQuery {
    /// How many items: 1 to 200, 50 where it is left out.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200)]
    limit: Option<String>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// The teams
///
/// Oldest first.
#[utoipa::path(
    get, path = "/api/v1/teams", tag = "teams", operation_id = "listTeams", params(TeamsQuery),
    responses((status = 200, description = "A page of the teams", body = List<Team>)),
)]
async fn list(
    State(app): State<App>,
    MayRead(_caller): MayRead,
    Query(query): Query<TeamsQuery>,
) -> Result<axum::Json<List<Team>>, Problem> {
    let limit = paging::limit(query.limit.as_deref())?;
    let start: Option<TeamId> = app.cursors.read(query.cursor.as_deref())?;
    let list = paging::read(&app, move |app| {
        let mut found = teams::all(&*app.store)?;
        found.retain(|team| start.is_none_or(|start| team.id > start));
        let more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| more);
        Ok(List {
            next: next.map(|last| app.cursors.write(&last.id)),
            data: found.into_iter().map(Into::into).collect(),
        })
    });
    list.await.map(axum::Json)
}

/// A team that is wanted.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTeam {
    /// Its name, which no other team has: 1 to 100 characters.
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    /// Who is in it: `usr_…`, at most 500.
    #[serde(default)]
    #[schema(value_type = Vec<String>, max_items = 500)]
    member_ids: Vec<String>,
}

/// Make a team
///
/// With `Idempotency-Key` the same request makes one team. Administrators only.
#[utoipa::path(
    post, path = "/api/v1/teams", tag = "teams", operation_id = "makeTeam",
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters: the same key with the same body makes one team")),
    request_body = NewTeam,
    responses(
        (status = 201, description = "The team", body = Team),
        (status = 409, description = "There are as many teams as there may be, or what this `Idempotency-Key` made is gone", body = Problem, content_type = "application/problem+json"),
    ),
)]
async fn make(
    State(app): State<App>,
    MayAdmin(caller): MayAdmin,
    key: IdempotencyKey,
    JsonBytes(new, body): JsonBytes<NewTeam>,
) -> Result<(StatusCode, axum::Json<Team>), Problem> {
    let once = Once {
        decision: MakeTeam {
            name: checked_name(&new.name)?,
            members: checked_members(&new.member_ids)?,
            by: caller.actor(),
        },
        remembered: key.of(&caller, &body),
        made: |made| {
            made.as_ref()
                .map_or_else(|_| String::new(), |team| team.id.to_string())
        },
    };
    let team = match app.writer.write(once).await? {
        OnceAnswer::Now(made) => {
            let team = made.map_err(|refused| problem(&refused, &new.member_ids))?;
            app.live.changed(app.clock.now(), "teams");
            team
        }
        OnceAnswer::KeyReused => return Err(key_reused()),
        OnceAnswer::Before(id) => {
            let before = paging::read(&app, move |app| match id.parse::<TeamId>() {
                Ok(id) => Ok(TeamEntry::get(&*app.store, &id.key())?),
                Err(_) => Ok(None),
            });
            let team = before.await?.filter(|team| team.dissolved_at.is_none());
            team.ok_or_else(|| {
                Problem::conflict(
                    "team-gone",
                    "This team was deleted",
                    "The team that this `Idempotency-Key` made is deleted. Use a new key for a new team.",
                )
            })?
        }
    };
    Ok((StatusCode::CREATED, axum::Json(team.into())))
}

/// What is to be changed of a team; what is left out stays.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TeamChange {
    /// Its name.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = String, min_length = 1, max_length = 100)]
    name: Option<String>,
    /// Who is in it from now on: all of them.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Vec<String>, max_items = 500)]
    member_ids: Option<Vec<String>>,
}

/// Change a team
///
/// Administrators only.
#[utoipa::path(
    patch, path = "/api/v1/teams/{id}", tag = "teams", operation_id = "changeTeam",
    params(("id" = String, Path, description = "`tea_…`")), request_body = TeamChange,
    responses((status = 200, description = "The team after the change", body = Team)),
)]
async fn change(
    State(app): State<App>,
    MayAdmin(caller): MayAdmin,
    Id(id): Id<TeamId>,
    Json(change): Json<TeamChange>,
) -> Result<axum::Json<Team>, Problem> {
    let name = change.name.as_deref().map(checked_name).transpose()?;
    let members = change
        .member_ids
        .as_deref()
        .map(checked_members)
        .transpose()?;
    let decision = ChangeTeam {
        team: id,
        name,
        members,
        by: caller.actor(),
    };
    let changed = app.writer.write(decision).await?;
    let named = change.member_ids.unwrap_or_default();
    let team = changed.map_err(|refused| problem(&refused, &named))?;
    app.live.changed(app.clock.now(), "teams");
    Ok(axum::Json(team.into()))
}

/// Delete a team
///
/// Its conversations belong to no team from then on. Administrators only.
#[utoipa::path(
    delete, path = "/api/v1/teams/{id}", tag = "teams", operation_id = "deleteTeam",
    params(("id" = String, Path, description = "`tea_…`")),
    responses((status = 204, description = "It is deleted")),
)]
async fn dissolve(
    State(app): State<App>,
    MayAdmin(caller): MayAdmin,
    Id(id): Id<TeamId>,
) -> Result<StatusCode, Problem> {
    let decision = DissolveTeam {
        team: id,
        by: caller.actor(),
    };
    if !app.writer.write(decision).await? {
        return Err(Problem::not_found("team"));
    }
    app.live.changed(app.clock.now(), "teams");
    // Once it is begun it goes on, whether or not the caller waits for it.
    let freed = tokio::spawn({
        let app = Arc::clone(&app);
        async move { free(&app, id).await }
    });
    if !matches!(freed.await, Ok(Ok(()))) {
        return Err(Problem::unavailable(
            "The team is deleted; its last conversations are taken from it at the next start.",
        ));
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Finishes with teams that were deleted, and whose conversations a crash kept from being freed.
pub async fn finish_dissolutions(app: App) {
    let left = match paging::read(&app, |app| Ok(teams::dissolved(&*app.store)?)).await {
        Ok(left) => left,
        Err(problem) => {
            tracing::warn!(
                problem = problem.detail,
                "deleted teams could not be looked for"
            );
            return;
        }
    };
    for team in left {
        if let Err(problem) = free(&app, team).await {
            tracing::warn!(%team, problem = problem.detail, "a deleted team still has conversations; the next start tries again");
        }
    }
}

/// Takes every conversation from a team that is dissolved, and removes what is left of it.
async fn free(app: &App, team: TeamId) -> Result<(), Problem> {
    let mut after = ConversationId(0);
    loop {
        let (last, conversations) = paging::read(app, move |app| {
            let whole = Scope::of_all_channels();
            let stretch = app.store.conversations_after(&whole, after, STRETCH)?;
            let of_team = stretch.iter().filter(|one| one.team == Some(team));
            let of_team: Vec<_> = of_team.map(|one| one.id).collect();
            Ok((stretch.last().map(|one| one.id), of_team))
        })
        .await?;
        let Some(last) = last else {
            break;
        };
        after = last;
        for conversations in conversations.chunks(FREED_AT_ONCE) {
            let conversations = conversations.to_vec();
            let free = FreeConversations {
                team,
                conversations,
            };
            app.writer.write(free).await?;
        }
    }
    app.writer.write(RemoveTeam { team }).await?;
    Ok(())
}

fn checked_name(name: &str) -> Result<String, Problem> {
    let short = name.chars().count() <= MAX_TEAM_NAME_CHARS;
    clean_name(name).filter(|_| short).ok_or_else(|| {
        Problem::field(
            "/name",
            format!("A name has 1 to {MAX_TEAM_NAME_CHARS} characters, one of them visible."),
        )
    })
}

fn checked_members(named: &[String]) -> Result<BTreeSet<UserId>, Problem> {
    if named.len() > MOST_MEMBERS {
        return Err(Problem::field(
            "/member_ids",
            format!("A team has at most {MOST_MEMBERS} members."),
        ));
    }
    let ids = named.iter().enumerate().map(|(at, id)| {
        id.parse()
            .map_err(|_| Problem::field(&format!("/member_ids/{at}"), "There is no such person."))
    });
    ids.collect()
}

fn problem(refused: &teams::Refused, named: &[String]) -> Problem {
    match refused {
        teams::Refused::Unknown => Problem::not_found("team"),
        teams::Refused::NameTaken => {
            Problem::field("/name", "There is a team of this name already.")
        }
        teams::Refused::TooMany => Problem::conflict(
            "too-many-teams",
            "There are too many teams",
            format!("There are {MOST_TEAMS} teams, and there may be no more. Delete one."),
        ),
        teams::Refused::NoPerson(nobody) => {
            let nobody = nobody.to_string();
            let at = named.iter().position(|id| *id == nobody).unwrap_or(0);
            Problem::field(&format!("/member_ids/{at}"), "There is no such person.")
        }
    }
}
