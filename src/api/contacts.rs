//! `/api/v1/contacts`: the people who write to the shop.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use deskbell_sdk::text::MAX_NAME_CHARS;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::body::{Json, Query};
use super::extract::{Id, MayAdmin, MayRead, MayWrite, present};
use super::filters;
use super::paging::{self, List, Look};
use super::problem::Problem;
use super::uploads;
use crate::app::App;
use crate::desk::contacts::{ChangeContact, MergeContacts, Merged, standing};
use crate::id::ContactId;
use crate::store::record::ContactRecord;
use crate::view::Contact;

/// The longest e-mail address, in characters (RFC 5321, 4.5.3.1.3, without its brackets).
const MAX_EMAIL_CHARS: usize = 254;
/// The longest telephone number, in characters.
const MAX_PHONE_CHARS: usize = 50;
/// The longest remark, in characters.
const MAX_REMARK_CHARS: usize = 10_000;

/// The routes.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(contacts))
        .routes(routes!(contact, change, erase))
        .routes(routes!(merge))
        .routes(routes!(avatar))
}

/// Which contacts are wanted.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct ContactsQuery {
    /// How many items: 1 to 200, 50 where it is left out.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200)]
    limit: Option<String>,
    /// `next` of the page before.
    cursor: Option<String>,
    /// A part of the name, e-mail address or telephone number; upper and lower case are alike.
    #[param(max_length = 200)]
    q: Option<String>,
}

/// The contacts
///
/// Those who wrote in a channel that you may read, newest first.
#[utoipa::path(
    get, path = "/api/v1/contacts", tag = "contacts", operation_id = "listContacts", params(ContactsQuery),
    responses((status = 200, description = "A page of the contacts", body = List<Contact>)),
)]
async fn contacts(
    State(app): State<App>,
    MayRead(caller): MayRead,
    Query(query): Query<ContactsQuery>,
) -> Result<axum::Json<List<Contact>>, Problem> {
    let limit = paging::limit(query.limit.as_deref())?;
    let start: Option<ContactId> = app.cursors.read(query.cursor.as_deref())?;
    let words = query
        .q
        .as_deref()
        .map_or(Ok(None), |text| filters::words("q", text))?;
    let list = paging::read(&app, move |app| {
        let view = app.view();
        let fetch = |before: Option<&ContactId>, limit| {
            app.store.contacts(&caller.scope, before.copied(), limit)
        };
        let look = |contact: &Arc<ContactRecord>| {
            let fits = words.as_deref().is_none_or(|words| {
                filters::holds(
                    words,
                    [
                        contact.name.as_ref(),
                        contact.email.as_ref(),
                        contact.phone.as_ref(),
                    ],
                )
            });
            Ok(if fits {
                Look::Take(view.contact(&caller.scope, contact))
            } else {
                Look::Skip
            })
        };
        let (data, next) = paging::fill(limit, start, fetch, |contact| contact.id, look)?;
        Ok(List {
            data,
            next: next.map(|place| app.cursors.write(&place)),
        })
    });
    list.await.map(axum::Json)
}

/// One contact
///
/// With who they are in each channel that you may read. For one that was merged into another, the other is shown.
#[utoipa::path(
    get, path = "/api/v1/contacts/{id}", tag = "contacts", operation_id = "getContact",
    params(("id" = String, Path, description = "`cus_…`")),
    responses((status = 200, description = "The contact", body = Contact)),
)]
async fn contact(
    State(app): State<App>,
    MayRead(caller): MayRead,
    Id(id): Id<ContactId>,
) -> Result<axum::Json<Contact>, Problem> {
    let found = paging::read(&app, move |app| {
        let found = app
            .store
            .contact(&caller.scope, standing(&*app.store, id)?)?;
        found
            .map(|found| app.view().contact(&caller.scope, &found))
            .ok_or_else(no_contact)
    });
    found.await.map(axum::Json)
}

/// Which picture is wanted.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct AvatarQuery {
    /// From `avatar_url`: makes the address of each picture another, for caches. Whatever it says, the newest comes.
    #[serde(rename = "v")]
    v: Option<String>,
}

/// The picture of a contact
///
/// As the platform has it, at most 2 MiB.
#[utoipa::path(
    get, path = "/api/v1/contacts/{id}/avatar", tag = "contacts", operation_id = "getAvatar",
    params(("id" = String, Path, description = "`cus_…`"), AvatarQuery),
    responses(
        (status = 200, description = "The picture", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 304, description = "You have it already"),
    ),
)]
async fn avatar(
    State(app): State<App>,
    MayRead(caller): MayRead,
    Id(id): Id<ContactId>,
    Query(_version): Query<AvatarQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let found = paging::read(&app, move |app| {
        let contact = app
            .store
            .contact(&caller.scope, id)?
            .ok_or_else(no_contact)?;
        contact
            .avatar
            .clone()
            .ok_or_else(|| Problem::not_found("picture"))
    });
    let file = uploads::File::from(found.await?);
    uploads::serve(&app, &file, &headers, false).await
}

/// What changes of a contact. A field that is left out stays; `null` empties it.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ContactChange)]
pub struct Change {
    /// The name: at most 300 characters. One that a person gave is not overwritten by the platform's.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, max_length = 300)]
    name: Option<Option<String>>,
    /// The e-mail address.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, max_length = 254)]
    email: Option<Option<String>>,
    /// The telephone number: at most 50 characters.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, max_length = 50)]
    phone: Option<Option<String>>,
    /// A remark of the shop's: at most 10,000 characters.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>, max_length = 10_000)]
    remark: Option<Option<String>>,
    /// `true`: what they write is kept and shown, and makes nobody look: it is not unanswered and rings nowhere.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = bool)]
    blocked: Option<bool>,
}

impl Change {
    fn check(&self) -> Result<(), Problem> {
        let fields = [
            ("/name", &self.name, MAX_NAME_CHARS),
            ("/email", &self.email, MAX_EMAIL_CHARS),
            ("/phone", &self.phone, MAX_PHONE_CHARS),
            ("/remark", &self.remark, MAX_REMARK_CHARS),
        ];
        for (pointer, value, most_chars) in fields {
            if let Some(Some(text)) = value
                && text.chars().count() > most_chars
            {
                return Err(Problem::field(
                    pointer,
                    format!("It may have {most_chars} characters at the most."),
                ));
            }
        }
        match &self.email {
            Some(Some(email)) if !looks_like_email(email.trim()) => Err(Problem::field(
                "/email",
                "This is no e-mail address, as anna@shop.example.",
            )),
            _ => Ok(()),
        }
    }
}

/// Whether a text can be an e-mail address: something, one `@`, and a domain. More is known only by writing to it.
fn looks_like_email(text: &str) -> bool {
    let odd = |character: char| character.is_whitespace() || character.is_control();
    let Some((local, domain)) = text.rsplit_once('@') else {
        return false;
    };
    let domain_is_whole = domain.split('.').all(|label| !label.is_empty());
    !local.is_empty() && !local.contains('@') && domain_is_whole && !text.contains(odd)
}

/// Change a contact
///
/// Name, e-mail address, telephone number and remark. Fields that are left out stay as they are; `null` empties one.
#[utoipa::path(
    patch, path = "/api/v1/contacts/{id}", tag = "contacts", operation_id = "changeContact",
    params(("id" = String, Path, description = "`cus_…`")), request_body = Change,
    responses((status = 200, description = "The contact after the change", body = Contact)),
)]
async fn change(
    State(app): State<App>,
    MayWrite(caller): MayWrite,
    Id(id): Id<ContactId>,
    Json(change): Json<Change>,
) -> Result<axum::Json<Contact>, Problem> {
    change.check()?;
    let decision = ChangeContact {
        scope: caller.scope.clone(),
        contact: id,
        name: change.name,
        email: change.email,
        phone: change.phone,
        remark: change.remark,
        blocked: change.blocked,
    };
    let changed = app.writer.write(decision).await?.ok_or_else(no_contact)?;
    Ok(axum::Json(app.view().contact(&caller.scope, &changed)))
}

/// Which contact goes.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ContactMerge)]
pub struct Merge {
    /// The contact that is merged into the one of the address, and is gone afterwards: `cus_…`.
    contact_id: String,
}

/// Merge two contacts
///
/// For a person who writes in several channels: the contact `contact_id` gives its identities, conversations and what
/// the other lacks to the contact of the address, and is gone. What it wrote keeps its place. This cannot be undone.
#[utoipa::path(
    post, path = "/api/v1/contacts/{id}/merge", tag = "contacts", operation_id = "mergeContacts",
    params(("id" = String, Path, description = "`cus_…`: the contact that stays")), request_body = Merge,
    responses((status = 200, description = "The contact that stays, after it", body = Contact)),
)]
async fn merge(
    State(app): State<App>,
    MayWrite(caller): MayWrite,
    Id(into): Id<ContactId>,
    Json(merge): Json<Merge>,
) -> Result<axum::Json<Contact>, Problem> {
    let unknown = || Problem::field("/contact_id", "There is no such contact.");
    let from: ContactId = merge.contact_id.parse().map_err(|_| unknown())?;
    let decision = MergeContacts {
        scope: caller.scope.clone(),
        into,
        from,
    };
    match app.writer.write(decision).await? {
        Merged::Into(whole) => Ok(axum::Json(app.view().contact(&caller.scope, &whole))),
        Merged::Unknown(id) if id == into => Err(no_contact()),
        Merged::Unknown(_) => Err(unknown()),
        Merged::Same => Err(Problem::field(
            "/contact_id",
            "A contact cannot be merged into itself.",
        )),
        Merged::Beyond => Err(Problem::forbidden(
            "One of the two is known in channels that you may not see. Ask an administrator to merge them.",
        )),
    }
}

/// Erase a person
///
/// The contact, their conversations with every message, note and file in them, and what they wrote or how they reacted in
/// conversations of others: from what is read before the answer, from every file of the daemon within minutes after it.
/// This cannot be undone. A keyed hash of their ids at the platforms stays, so that what they had written before does not
/// come back by a repeated delivery, by catching up, by an import or by a backup that is restored beside `erased.jsonl`.
/// The person may write anew, and is a new contact then. For administrators who may see all channels.
#[utoipa::path(
    delete, path = "/api/v1/contacts/{id}", tag = "contacts", operation_id = "eraseContact",
    params(("id" = String, Path, description = "`cus_…`")),
    responses((status = 204, description = "Nothing of them is read any more")),
)]
async fn erase(
    State(app): State<App>,
    MayAdmin(caller): MayAdmin,
    Id(id): Id<ContactId>,
) -> Result<StatusCode, Problem> {
    if caller.scope.channels().is_some() {
        return Err(Problem::forbidden(
            "A person is erased in all channels: only who may see them all may do it.",
        ));
    }
    let contact = paging::read(&app, move |app| Ok(standing(&*app.store, id)?)).await?;
    // Once it is begun it goes on, whether or not the caller waits for it.
    let (erasing, actor, by) = (Arc::clone(&app), caller.actor(), caller.name());
    let erased = tokio::spawn(async move { crate::erasure::erase(&erasing, contact, actor).await });
    let erased = erased
        .await
        .map_err(|_| Problem::unavailable("The erasure broke off and goes on by itself."))??;
    if !erased {
        return Err(no_contact());
    }
    tracing::warn!(by, contact = %id, "a person was erased");
    Ok(StatusCode::NO_CONTENT)
}

fn no_contact() -> Problem {
    Problem::not_found("contact")
}

#[cfg(test)]
mod tests {
    use super::looks_like_email;

    #[test]
    fn an_email_address_has_two_sides() {
        for right in [
            "anna@shop.example",
            "a+b@c",
            "\"odd\"@xn--bcher-kva.example",
            "žofia@obchod.example",
        ] {
            assert!(looks_like_email(right), "{right}");
        }
        for wrong in [
            "", "@", "anna", "anna@", "@shop", "a@b@c", "a b@c", "a@b..c", "a@.b", "a@b\n", "a@b.",
        ] {
            assert!(!looks_like_email(wrong), "{wrong}");
        }
    }
}
