//! `/api/v1/tokens`: API tokens, by an administrator. A token is shown once; only its hash is kept.

use std::collections::BTreeSet;
use std::fmt;

use axum::extract::State;
use axum::http::StatusCode;
use deskbell_sdk::Time;
use deskbell_sdk::text::{MAX_NAME_CHARS, clean_name};
use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, OneOfBuilder, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{IntoParams, PartialSchema, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::body::{JsonBytes, Query};
use super::cursor::Position;
use super::extract::{Id, MayAdmin};
use super::idempotency::{IdempotencyKey, Once, OnceAnswer, key_reused};
use super::paging::{self, List};
use super::problem::Problem;
use crate::access::Caller;
use crate::app::{App, Daemon};
use crate::desk::access::{MakeToken, Remove};
use crate::desk::audit::{Audited, Told};
use crate::id::TokenId;
use crate::store::entry::{Entry, Right, TokenEntry, secret_hash};
use crate::store::{Found, Table};

/// How many entries are read at once.
const STRETCH: usize = 500;

/// The routes.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(tokens, make))
        .routes(routes!(revoke))
}

/// A place in the list of tokens.
impl Position for TokenId {
    const LIST: u8 = 7;

    fn to_bytes(&self) -> Vec<u8> {
        self.key().to_vec()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(u64::from_be_bytes).map(Self)
    }
}

/// Which channels may be seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum VisibleChannels {
    /// All, also those to come: `"all"`.
    #[default]
    All,
    /// Those with these slugs.
    Only(BTreeSet<String>),
}

impl Serialize for VisibleChannels {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::All => serializer.serialize_str("all"),
            Self::Only(slugs) => slugs.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for VisibleChannels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AllOrSlugs;

        impl<'de> Visitor<'de> for AllOrSlugs {
            type Value = VisibleChannels;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("\"all\" or a list of channel ids")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<VisibleChannels, E> {
                match text {
                    "all" => Ok(VisibleChannels::All),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(
                self,
                mut items: A,
            ) -> Result<VisibleChannels, A::Error> {
                let mut slugs = BTreeSet::new();
                while let Some(slug) = items.next_element()? {
                    slugs.insert(slug);
                }
                Ok(VisibleChannels::Only(slugs))
            }
        }

        deserializer.deserialize_any(AllOrSlugs)
    }
}

impl PartialSchema for VisibleChannels {
    fn schema() -> RefOr<Schema> {
        let all = ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::String))
            .enum_values(Some(["all"]));
        let slugs = ArrayBuilder::new()
            .items(String::schema())
            .unique_items(true);
        let description = "`\"all\"`, or the slugs of channels";
        OneOfBuilder::new()
            .item(all)
            .item(slugs)
            .description(Some(description))
            .into()
    }
}

impl ToSchema for VisibleChannels {}

/// An API token, without the token itself.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Token {
    /// `tok_…`
    #[schema(value_type = String)]
    pub id: TokenId,
    /// What it is for.
    pub name: String,
    /// What it may do.
    pub scopes: BTreeSet<Right>,
    /// What it may see.
    pub channels: VisibleChannels,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Time,
    /// When it ends; `null`: when it is revoked.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub expires_at: Option<Time>,
    /// When it was last used, to within an hour.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_used_at: Option<Time>,
}

impl From<TokenEntry> for Token {
    fn from(entry: TokenEntry) -> Self {
        Self {
            id: entry.id,
            name: entry.name,
            scopes: entry.scopes,
            channels: entry
                .channels
                .map_or(VisibleChannels::All, VisibleChannels::Only),
            created_at: entry.created_at,
            expires_at: entry.expires_at,
            last_used_at: entry.last_used_at,
        }
    }
}

/// A new API token, with the token itself.
#[derive(Serialize, ToSchema)]
pub struct MadeToken {
    /// What it is.
    #[serde(flatten)]
    pub about: Token,
    /// The token, `dbk_…`: keep it now, it is not shown again.
    pub token: String,
}

impl fmt::Debug for MadeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MadeToken")
            .field("about", &self.about)
            .finish_non_exhaustive()
    }
}

/// A token that is wanted.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// What it is for: 1 to 300 characters.
    #[schema(min_length = 1, max_length = 300)]
    name: String,
    /// What it may do: at least one. `write` may read; `admin` may do everything.
    #[schema(min_items = 1)]
    scopes: BTreeSet<Right>,
    /// What it may see; all where it is left out. An administrator's token sees all.
    #[serde(default)]
    channels: VisibleChannels,
    /// When it ends: in the future; left out or `null`: when it is revoked.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Time>,
}

impl NewToken {
    fn checked(self, app: &Daemon) -> Result<TokenEntry, Problem> {
        let name = clean_name(&self.name).filter(|_| self.name.chars().count() <= MAX_NAME_CHARS);
        let name = name.ok_or_else(|| {
            Problem::field(
                "/name",
                "A name has 1 to 300 characters, one of them visible.",
            )
        })?;
        if self.scopes.is_empty() {
            return Err(Problem::field(
                "/scopes",
                "Name at least one of `read`, `write`, `admin`.",
            ));
        }
        let channels = match self.channels {
            VisibleChannels::All => None,
            VisibleChannels::Only(slugs) => Some(slugs),
        };
        if let Some(slugs) = &channels {
            if self.scopes.contains(&Right::Admin) {
                return Err(Problem::field(
                    "/channels",
                    "An administrator's token sees all channels.",
                ));
            }
            if slugs.is_empty() {
                return Err(Problem::field(
                    "/channels",
                    "Name at least one channel, or `\"all\"`.",
                ));
            }
            if let Some(unknown) = slugs
                .iter()
                .find(|slug| app.channels.number_of(slug).is_none())
            {
                return Err(Problem::field(
                    "/channels",
                    format!("There is no channel `{unknown}`."),
                ));
            }
        }
        if self
            .expires_at
            .is_some_and(|expires_at| expires_at <= app.clock.now())
        {
            return Err(Problem::field("/expires_at", "This time is past."));
        }
        let (scopes, expires_at) = (self.scopes, self.expires_at);
        // The id and the time are given when it is made.
        Ok(TokenEntry {
            id: TokenId::default(),
            name,
            scopes,
            channels,
            created_at: Time::default(),
            expires_at,
            last_used_at: None,
            device: None,
        })
    }
}

/// An administrator of some channels makes and sees no tokens: they might open others.
fn of_all_channels(caller: &Caller) -> Result<(), Problem> {
    match caller.scope.channels() {
        None => Ok(()),
        Some(_) => Err(Problem::forbidden(
            "Tokens are for administrators who may see all channels.",
        )),
    }
}

/// Make a token
///
/// The token itself is shown in this answer only. With `Idempotency-Key` the same request gives the same token again,
/// as long as it is not revoked. Administrators only.
#[utoipa::path(
    post, path = "/api/v1/tokens", tag = "tokens", operation_id = "makeToken",
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters: the same key with the same body makes one token")),
    request_body = NewToken,
    responses(
        (status = 201, description = "The token", body = MadeToken),
        (status = 409, description = "The token of this `Idempotency-Key` was revoked", body = Problem, content_type = "application/problem+json"),
    ),
)]
async fn make(
    State(app): State<App>,
    MayAdmin(caller): MayAdmin,
    key: IdempotencyKey,
    JsonBytes(new, body): JsonBytes<NewToken>,
) -> Result<(StatusCode, axum::Json<MadeToken>), Problem> {
    of_all_channels(&caller)?;
    let remembered = key.of(&caller, &body);
    let secret = match &remembered {
        // Made of the key and a secret of the daemon's, so that the first answer can be given again without keeping it.
        Some((key, _)) => app.cursors.derived_secret("api token", key),
        None => crate::secrets::random_text(),
    };
    let token = format!("dbk_{secret}");
    let hash = secret_hash(&token);
    // What was made before is given again even where the request would no longer do: its time may have passed.
    let known = match &remembered {
        Some(_) => {
            paging::read(&app, {
                let hash = hash.clone();
                move |app| Ok(TokenEntry::get(&*app.store, &hash)?)
            })
            .await?
        }
        None => None,
    };
    let is_new = known.is_none();
    let wanted = match known {
        Some(known) => known,
        None => new.checked(&app)?,
    };
    let decision = Once {
        decision: Audited::by_answer(
            MakeToken {
                hash: hash.clone(),
                token: wanted,
            },
            caller.actor(),
            move |made: &TokenEntry| is_new.then(|| told_of_made(made)),
        ),
        remembered,
        made: |made| made.id.to_string(),
    };
    let made = match app.writer.write(decision).await? {
        OnceAnswer::Now(made) => made,
        OnceAnswer::Before(_) => {
            let before = paging::read(&app, move |app| Ok(TokenEntry::get(&*app.store, &hash)?));
            before.await?.ok_or_else(revoked)?
        }
        OnceAnswer::KeyReused => return Err(key_reused()),
    };
    Ok((
        StatusCode::CREATED,
        axum::Json(MadeToken {
            about: made.into(),
            token,
        }),
    ))
}

fn told_of_made(made: &TokenEntry) -> Told {
    let scopes: Vec<_> = made
        .scopes
        .iter()
        .map(|right| super::auth::name_of(*right))
        .collect();
    let channels = made.channels.clone();
    let channels = channels.map_or(VisibleChannels::All, VisibleChannels::Only);
    Told::of("token.created")
        .to("token", made.id, made.name.as_str())
        .with("scopes", scopes)
        .with(
            "channels",
            serde_json::to_value(channels).unwrap_or_default(),
        )
        .with("expires_at", made.expires_at.map(|at| at.to_string()))
}

fn revoked() -> Problem {
    Problem::conflict(
        "token-revoked",
        "This token was revoked",
        "The token that this `Idempotency-Key` made is revoked. Use a new key for a new token.",
    )
}

/// A page of the tokens.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct TokensQuery {
    /// How many items: 1 to 200, 50 where it is left out.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200)]
    limit: Option<String>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// The tokens
///
/// Newest first, never the tokens themselves. Administrators only.
#[utoipa::path(
    get, path = "/api/v1/tokens", tag = "tokens", operation_id = "listTokens", params(TokensQuery),
    responses((status = 200, description = "A page of the tokens", body = List<Token>)),
)]
async fn tokens(
    State(app): State<App>,
    MayAdmin(caller): MayAdmin,
    Query(query): Query<TokensQuery>,
) -> Result<axum::Json<List<Token>>, Problem> {
    of_all_channels(&caller)?;
    let limit = paging::limit(query.limit.as_deref())?;
    let start: Option<TokenId> = app.cursors.read(query.cursor.as_deref())?;
    let list = paging::read(&app, move |app| {
        let mut found: Vec<Token> = all(app)?
            .into_iter()
            .map(|(_, entry)| entry.into())
            .collect();
        found.retain(|token: &Token| start.is_none_or(|start| token.id < start));
        found.sort_by_key(|token| std::cmp::Reverse(token.id));
        let more = found.len() > limit;
        found.truncate(limit);
        let next = found
            .last()
            .filter(|_| more)
            .map(|last| app.cursors.write(&last.id));
        Ok(List { data: found, next })
    });
    list.await.map(axum::Json)
}

/// All tokens with their keys. They are kept by their hash, and there are few.
fn all(app: &Daemon) -> Found<Vec<(Vec<u8>, TokenEntry)>> {
    let mut all: Vec<(Vec<u8>, TokenEntry)> = Vec::new();
    loop {
        let after = all.last().map(|(key, _)| key.clone());
        let stretch = TokenEntry::scan(&*app.store, &[], after.as_deref(), STRETCH)?;
        let more = stretch.len() == STRETCH;
        all.extend(stretch);
        if !more {
            // Those of devices are seen, and end, with their devices.
            all.retain(|(_, token)| token.device.is_none());
            return Ok(all);
        }
    }
}

/// Revoke a token
///
/// It opens nothing from then on; streams that it opened end within seconds. Administrators only.
#[utoipa::path(
    delete, path = "/api/v1/tokens/{id}", tag = "tokens", operation_id = "revokeToken",
    params(("id" = String, Path, description = "`tok_…`")),
    responses((status = 204, description = "It is revoked")),
)]
async fn revoke(
    State(app): State<App>,
    MayAdmin(caller): MayAdmin,
    Id(id): Id<TokenId>,
) -> Result<StatusCode, Problem> {
    of_all_channels(&caller)?;
    let found = paging::read(&app, move |app| {
        let found = all(app)?.into_iter().find(|(_, entry)| entry.id == id);
        found.ok_or_else(|| Problem::not_found("token"))
    });
    let (key, token) = found.await?;
    let remove = Remove {
        table: Table::Tokens,
        key,
    };
    let told = Told::of("token.revoked").to("token", token.id, token.name);
    let changing = app.access.changing();
    let revoked = app
        .writer
        .write(Audited::always(remove, caller.actor(), told))
        .await;
    drop(changing);
    revoked?;
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_all_or_a_list_and_nothing_else() {
        let read = |json: &str| serde_json::from_str::<VisibleChannels>(json);
        assert_eq!(read("\"all\"").expect("all"), VisibleChannels::All);
        assert_eq!(
            read("[\"a\"]").expect("one"),
            VisibleChannels::Only(BTreeSet::from(["a".to_owned()]))
        );
        for wrong in ["\"a\"", "null", "true", "[1]", "{}", "\"ALL\""] {
            let error = read(wrong).expect_err(wrong).to_string();
            assert!(!error.is_empty());
        }
        for json in ["\"all\"", "[\"a\",\"b\"]"] {
            assert_eq!(
                serde_json::to_string(&read(json).expect(json)).expect("written"),
                json
            );
        }
    }
}
