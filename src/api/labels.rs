//! `/api/v1/labels`: the labels of the shop. An administrator makes them and gives them colours; one that somebody puts on
//! a conversation is made by that.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use deskbell_sdk::Time;
use deskbell_sdk::text::clean_name;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::body::{Json, JsonBytes, Query};
use super::conversation_changes::MAX_LABEL_CHARS;
use super::cursor::Position;
use super::extract::{MayAdmin, MayRead, present};
use super::idempotency::{IdempotencyKey, Once, OnceAnswer, key_reused};
use super::paging::{self, List};
use super::problem::Problem;
use crate::app::App;
use crate::desk::audit::{Audited, Told};
use crate::desk::labels::{ChangeLabel, MakeLabel, RemoveLabel};
use crate::store::entry::{Entry, LabelEntry};

/// The longest description, in characters.
const MAX_DESCRIPTION_CHARS: usize = 300;

/// The routes.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(labels, make))
        .routes(routes!(change, remove))
}

/// A colour that a label can have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = LabelColor)]
pub enum Color {
    /// Where nobody has chosen one.
    #[default]
    Gray,
    /// Red.
    Red,
    /// Orange.
    Orange,
    /// Yellow.
    Yellow,
    /// Green.
    Green,
    /// Teal.
    Teal,
    /// Blue.
    Blue,
    /// Purple.
    Purple,
    /// Pink.
    Pink,
}

impl Color {
    fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }
}

/// A label.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Label {
    /// The name, by which conversations bear it.
    pub name: String,
    /// The colour.
    #[schema(value_type = Color)]
    pub color: String,
    /// What it is for.
    pub description: Option<String>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Time,
}

impl From<LabelEntry> for Label {
    fn from(entry: LabelEntry) -> Self {
        Self {
            name: entry.name,
            color: entry.color,
            description: entry.description,
            created_at: entry.created_at,
        }
    }
}

/// A page of the labels.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct LabelsQuery {
    /// How many items: 1 to 200, 50 where it is left out.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200)]
    limit: Option<String>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// A place in the list of labels.
struct LabelPlace(String);

impl Position for LabelPlace {
    const LIST: u8 = 43;

    fn to_bytes(&self) -> Vec<u8> {
        self.0.as_bytes().to_vec()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        String::from_utf8(bytes.to_vec()).ok().map(Self)
    }
}

/// The labels
///
/// By name. They are the whole shop's.
#[utoipa::path(
    get, path = "/api/v1/labels", tag = "labels", operation_id = "listLabels", params(LabelsQuery),
    responses((status = 200, description = "A page of the labels", body = List<Label>)),
)]
async fn labels(
    State(app): State<App>,
    MayRead(_caller): MayRead,
    Query(query): Query<LabelsQuery>,
) -> Result<axum::Json<List<Label>>, Problem> {
    let limit = paging::limit(query.limit.as_deref())?;
    let start: Option<LabelPlace> = app.cursors.read(query.cursor.as_deref())?;
    let list = paging::read(&app, move |app| {
        let after = start.as_ref().map(|start| start.0.as_bytes());
        let mut found = LabelEntry::scan(&*app.store, &[], after, limit + 1)?;
        let more = found.len() > limit;
        found.truncate(limit);
        let next = found
            .last()
            .filter(|_| more)
            .map(|(_, last)| app.cursors.write(&LabelPlace(last.name.clone())));
        let data = found.into_iter().map(|(_, entry)| entry.into()).collect();
        Ok(List { data, next })
    });
    list.await.map(axum::Json)
}

/// A label that is wanted.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewLabel {
    /// The name: 1 to 100 characters.
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    /// The colour; `gray` where it is left out.
    #[serde(default)]
    color: Color,
    /// What it is for: at most 300 characters.
    #[serde(default)]
    #[schema(max_length = 300)]
    description: Option<String>,
}

fn checked_description(description: Option<&str>) -> Result<(), Problem> {
    let chars = description.map_or(0, |text| text.chars().count());
    if chars > MAX_DESCRIPTION_CHARS {
        let detail = format!("It may have {MAX_DESCRIPTION_CHARS} characters at the most.");
        return Err(Problem::field("/description", detail));
    }
    Ok(())
}

/// Make a label
///
/// Administrators only.
#[utoipa::path(
    post, path = "/api/v1/labels", tag = "labels", operation_id = "makeLabel",
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters: the same key with the same body makes one label")),
    request_body = NewLabel,
    responses(
        (status = 201, description = "The label", body = Label),
        (status = 409, description = "There is one of this name", body = Problem, content_type = "application/problem+json"),
    ),
)]
async fn make(
    State(app): State<App>,
    MayAdmin(caller): MayAdmin,
    key: IdempotencyKey,
    JsonBytes(new, body): JsonBytes<NewLabel>,
) -> Result<(StatusCode, axum::Json<Label>), Problem> {
    let name = clean_name(&new.name).filter(|_| new.name.chars().count() <= MAX_LABEL_CHARS);
    let name = name.ok_or_else(|| {
        let detail = format!("A label has 1 to {MAX_LABEL_CHARS} characters, one of them visible.");
        Problem::field("/name", detail)
    })?;
    checked_description(new.description.as_deref())?;
    let make = MakeLabel {
        name,
        color: new.color.name(),
        description: new.description,
    };
    let once = Once {
        decision: Audited::by_answer(make, caller.actor(), |made: &Option<LabelEntry>| {
            let label = made.as_ref()?;
            Some(Told::of("label.created").to("label", &label.name, label.name.clone()))
        }),
        remembered: key.of(&caller, &body),
        made: |made| {
            made.as_ref()
                .map_or_else(String::new, |label| label.name.clone())
        },
    };
    let exists = || {
        Problem::conflict(
            "label-exists",
            "There is a label of this name",
            "There is a label of this name. Change that one.",
        )
    };
    let label = match app.writer.write(once).await? {
        OnceAnswer::Now(made) => made.ok_or_else(exists)?,
        OnceAnswer::KeyReused => return Err(key_reused()),
        OnceAnswer::Before(name) => {
            let before = paging::read(&app, move |app| {
                Ok(LabelEntry::get(&*app.store, name.as_bytes())?)
            });
            before.await?.ok_or_else(exists)?
        }
    };
    app.live.changed(app.clock.now(), "labels");
    Ok((StatusCode::CREATED, axum::Json(label.into())))
}

/// What is to be changed of a label; what is left out stays.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LabelChange {
    /// The colour.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Color)]
    color: Option<Color>,
    /// What it is for.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, max_length = 300)]
    description: Option<Option<String>>,
}

/// Change a label
///
/// Its colour and what it is for. Administrators only.
#[utoipa::path(
    patch, path = "/api/v1/labels/{name}", tag = "labels", operation_id = "changeLabel",
    params(("name" = String, Path, description = "The label's name")), request_body = LabelChange,
    responses((status = 200, description = "The label after the change", body = Label)),
)]
async fn change(
    State(app): State<App>,
    MayAdmin(caller): MayAdmin,
    Name(name): Name,
    Json(change): Json<LabelChange>,
) -> Result<axum::Json<Label>, Problem> {
    checked_description(change.description.as_ref().and_then(Option::as_deref))?;
    let decision = ChangeLabel {
        name,
        color: change.color.map(Color::name),
        description: change.description,
    };
    let decision = Audited::by_answer(decision, caller.actor(), |changed: &Option<LabelEntry>| {
        let label = changed.as_ref()?;
        Some(Told::of("label.changed").to("label", &label.name, label.name.clone()))
    });
    let changed = app.writer.write(decision).await?.ok_or_else(no_label)?;
    app.live.changed(app.clock.now(), "labels");
    Ok(axum::Json(changed.into()))
}

/// Remove a label
///
/// From the list. Conversations that bear it keep its name; whoever puts it on one anew makes it anew. Administrators only.
#[utoipa::path(
    delete, path = "/api/v1/labels/{name}", tag = "labels", operation_id = "removeLabel",
    params(("name" = String, Path, description = "The label's name")),
    responses((status = 204, description = "It is gone")),
)]
async fn remove(
    State(app): State<App>,
    MayAdmin(caller): MayAdmin,
    Name(name): Name,
) -> Result<StatusCode, Problem> {
    let told = Told::of("label.deleted").to("label", &name, name.clone());
    let decision = Audited::by_answer(RemoveLabel { name }, caller.actor(), move |was_there| {
        was_there.then(|| told.clone())
    });
    if !app.writer.write(decision).await? {
        return Err(no_label());
    }
    app.live.changed(app.clock.now(), "labels");
    Ok(StatusCode::NO_CONTENT)
}

/// The name of a path.
#[derive(Debug)]
struct Name(String);

impl<S: Send + Sync> axum::extract::FromRequestParts<S> for Name {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut axum::http::request::Parts,
        state: &S,
    ) -> Result<Self, Problem> {
        let Path(name) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|_| no_label())?;
        Ok(Self(name))
    }
}

fn no_label() -> Problem {
    Problem::not_found("label")
}
