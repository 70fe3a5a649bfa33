//! `/api/v1/devices`: what rings for people. Browsers bring their push subscription; companions bring a code that was
//! shown in the desk, and get a token of their own.

use axum::extract::{FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use deskbell_sdk::text::{MAX_NAME_CHARS, clean_name};
use deskbell_sdk::{Secret, Time};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::{OwnPage, came};
use super::body::{Json, Query};
use super::cursor::Position;
use super::extract::{Id, PathId};
use super::filters;
use super::paging::{self, List};
use super::problem::Problem;
use super::sign_in::{Peer, slowed};
use crate::access::guessing::Try;
use crate::access::{Caller, Who};
use crate::app::{App, Daemon};
use crate::desk::devices::{
    AddBrowser, Claim, Confirm, MOST_DEVICES, MakeCode, Refused, RemoveDevice, Test,
};
use crate::id::{DeviceId, UserId, WorkId};
use crate::seal::Place;
use crate::secrets::{random_bytes, random_text};
use crate::store::Found;
use crate::store::entry::{
    DeviceEntry, DeviceKind, DevicesEntry, Entry, Right, TokenEntry, endpoint_hash, secret_hash,
};
use crate::view::devices::{Device, device as shown};

/// The longest endpoint, in bytes.
const MAX_ENDPOINT_BYTES: usize = 2_048;
/// The longest reason, in characters.
const MAX_DETAIL_CHARS: usize = 300;
/// The letters of a code: none that is taken for another.
const LETTERS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// How many letters a code has: 40 bits.
const CODE_LETTERS: usize = 8;

/// The routes.
pub fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(push_key))
        .routes(routes!(list, add))
        .routes(routes!(remove))
        .routes(routes!(test))
        .routes(routes!(confirm))
        .routes(routes!(make_code))
        .routes(routes!(claim))
}

impl PathId for DeviceId {
    const WHAT: &'static str = "device";
}

/// A place in the list of devices.
impl Position for DeviceId {
    const LIST: u8 = 61;

    fn to_bytes(&self) -> Vec<u8> {
        self.key().to_vec()
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(u64::from_be_bytes).map(Self)
    }
}

/// Somebody who is signed in, by whatever door.
#[derive(Clone, Debug)]
pub(super) struct Anybody(Caller);

impl FromRequestParts<App> for Anybody {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        came(app, parts).map(Self)
    }
}

/// The person; programs have no devices.
fn person(caller: &Caller) -> Result<UserId, Problem> {
    caller.user().ok_or_else(|| {
        Problem::forbidden(
            "Devices belong to people: sign in to the desk, or use a device's own token.",
        )
    })
}

/// The key of a push subscription
///
/// What a browser wants as `applicationServerKey`: a P-256 public key, uncompressed, 65 bytes as base64url.
#[utoipa::path(
    get, path = "/api/v1/push-key", tag = "devices", operation_id = "getPushKey",
    responses((status = 200, description = "The key", body = PushKey)),
)]
async fn push_key(
    State(app): State<App>,
    _anybody: Anybody,
) -> Result<axum::Json<PushKey>, Problem> {
    match app.push.public_key() {
        Some(key) => Ok(axum::Json(PushKey {
            key: URL_SAFE_NO_PAD.encode(key),
        })),
        None => Err(no_push()),
    }
}

fn no_push() -> Problem {
    Problem::unavailable(
        "Web Push does not work: its key was encrypted with a key of the daemon's that is not here. Put that into `[secrets] previous_keys` and start again.",
    )
}

/// The key by which push services know this desk.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PushKey {
    /// base64url without padding.
    key: String,
}

/// The keys of a subscription.
#[derive(Clone, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SubscriptionKeys {
    /// The browser's public key: 65 bytes as base64url.
    p256dh: String,
    /// 16 bytes as base64url.
    auth: String,
}

/// A push subscription, as `PushSubscription.toJSON()` gives it.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Subscription {
    /// The address at the push service: https, at most 2,048 bytes.
    endpoint: String,
    /// What the browser says of its end; it is not looked at.
    #[serde(default, rename = "expirationTime")]
    #[schema(value_type = Option<f64>)]
    _expiration_time: Option<serde_json::Number>,
    /// Its keys.
    keys: SubscriptionKeys,
}

/// The kinds that can be added by themselves.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BrowserKind {
    /// A browser.
    WebPush,
}

/// A browser that is to ring.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewDevice {
    /// What it is. Companions come by a code.
    #[serde(rename = "kind")]
    _kind: BrowserKind,
    /// What its person calls it: 1 to 300 characters.
    #[schema(min_length = 1, max_length = 300)]
    name: String,
    /// Its subscription.
    subscription: Subscription,
}

fn checked_name(name: &str) -> Result<String, Problem> {
    let clean = clean_name(name).filter(|_| name.chars().count() <= MAX_NAME_CHARS);
    let wrong = "A name has 1 to 300 characters, one of them visible.";
    clean.ok_or_else(|| Problem::field("/name", wrong))
}

impl Subscription {
    /// Checks it and gives what is sealed of it.
    fn checked(&self, app: &Daemon) -> Result<Secret, Problem> {
        let endpoint = "/subscription/endpoint";
        if self.endpoint.len() > MAX_ENDPOINT_BYTES {
            let detail = format!("Use at most {MAX_ENDPOINT_BYTES} bytes.");
            return Err(Problem::field(endpoint, detail));
        }
        app.push
            .check(&self.endpoint, &self.keys.p256dh, &self.keys.auth)
            .map_err(|wrong| match wrong {
                crate::push::Wrong::Endpoint(why) => {
                    Problem::field(endpoint, format!("It is not taken: {why}."))
                }
                crate::push::Wrong::PublicKey => Problem::field(
                    "/subscription/keys/p256dh",
                    "It is a point of P-256, uncompressed: 65 bytes as base64url.",
                ),
                crate::push::Wrong::Auth => {
                    Problem::field("/subscription/keys/auth", "It is 16 bytes as base64url.")
                }
            })
    }
}

/// Let a browser ring
///
/// For the person who is signed in. The same endpoint again updates the device that is there and is answered 200; one
/// that rang for somebody else rings for this person from now on. It is tested at once, silently.
#[utoipa::path(
    post, path = "/api/v1/devices", tag = "devices", operation_id = "addDevice",
    request_body = NewDevice,
    responses(
        (status = 201, description = "The device", body = Device),
        (status = 200, description = "The same endpoint was here already: the device after the change", body = Device),
        (status = 409, description = "There are as many devices as a person may have", body = Problem, content_type = "application/problem+json"),
    ),
)]
async fn add(
    State(app): State<App>,
    Anybody(caller): Anybody,
    Json(new): Json<NewDevice>,
) -> Result<(StatusCode, axum::Json<Device>), Problem> {
    let user = person(&caller)?;
    let name = checked_name(&new.name)?;
    let subscription = new.subscription.checked(&app)?;
    let endpoint = endpoint_hash(&new.subscription.endpoint);
    let sealer = app.provisioner.sealer();
    let sealed = sealer
        .seal(Place::subscription(&hex::encode(&endpoint)), &subscription)
        .map_err(|error| Problem::field("/subscription", format!("It {error}.")))?;
    let add = AddBrowser {
        user,
        name,
        endpoint,
        subscription: sealed,
        by: caller.actor(),
    };
    let (device, is_new) = app.writer.write(add).await?.map_err(refused)?;
    let status = if is_new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let now = app.clock.now();
    Ok((status, axum::Json(shown(user, &device, None, now))))
}

fn refused(why: Refused) -> Problem {
    match why {
        Refused::Unknown => Problem::not_found("device"),
        Refused::TooMany => Problem::conflict(
            "too-many-devices",
            "There are too many devices",
            format!("A person has at most {MOST_DEVICES}. Remove one that is not used."),
        ),
        Refused::WrongCode => Problem::conflict(
            "wrong-pairing-code",
            "The code does not do",
            "It is wrong, was used, or is older than 10 minutes. Let the desk show a new one.",
        ),
        Refused::OtherTest => Problem::conflict(
            "test-over",
            "The test is over",
            "Another test was begun since. Answer that one.",
        ),
    }
}

/// Whose devices are wanted.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct DevicesQuery {
    /// How many items: 1 to 200, 50 where it is left out.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 200)]
    limit: Option<String>,
    /// `next` of the page before.
    cursor: Option<String>,
    /// `me` (also where it is left out), or for administrators `all` or a person's id.
    user: Option<String>,
}

/// Devices
///
/// One's own, newest first; for administrators those of everybody.
#[utoipa::path(
    get, path = "/api/v1/devices", tag = "devices", operation_id = "listDevices", params(DevicesQuery),
    responses((status = 200, description = "A page of the devices", body = List<Device>)),
)]
async fn list(
    State(app): State<App>,
    Anybody(caller): Anybody,
    Query(query): Query<DevicesQuery>,
) -> Result<axum::Json<List<Device>>, Problem> {
    let limit = paging::limit(query.limit.as_deref())?;
    let start: Option<DeviceId> = app.cursors.read(query.cursor.as_deref())?;
    let whose = match query.user.as_deref() {
        None | Some("me") => Whose::One(caller.user()),
        Some("all") => Whose::All,
        Some(id) => Whose::One(Some(filters::id("user", id, "usr_…")?)),
    };
    let is_own = matches!(whose, Whose::One(user) if user == caller.user());
    if !is_own && !caller.may(Right::Admin) {
        return Err(Problem::forbidden(
            "The devices of others are for administrators.",
        ));
    }
    let list = paging::read(&app, move |app| {
        let mut found = devices_of(app, &whose)?;
        found.retain(|(_, device)| start.is_none_or(|start| device.id < start));
        found.sort_by_key(|(_, device)| std::cmp::Reverse(device.id));
        let more = found.len() > limit;
        found.truncate(limit);
        let last = found.last().filter(|_| more);
        let next = last.map(|(_, last)| app.cursors.write(&last.id));
        let now = app.clock.now();
        let mut data = Vec::with_capacity(found.len());
        for (user, device) in found {
            data.push(shown(user, &device, used_at(app, &device)?, now));
        }
        Ok(List { data, next })
    });
    list.await.map(axum::Json)
}

enum Whose {
    One(Option<UserId>),
    All,
}

fn devices_of(app: &Daemon, whose: &Whose) -> Found<Vec<(UserId, DeviceEntry)>> {
    let rows = match whose {
        Whose::One(None) => Vec::new(),
        Whose::One(Some(user)) => {
            let devices = DevicesEntry::get(&*app.store, &user.key())?;
            devices
                .map(|devices| (user.key().to_vec(), devices))
                .into_iter()
                .collect()
        }
        Whose::All => DevicesEntry::scan(&*app.store, &[], None, usize::MAX)?,
    };
    let mut found = Vec::new();
    for (key, devices) in rows {
        if let Ok(key) = key.as_slice().try_into() {
            let user = UserId(u64::from_be_bytes(key));
            found.extend(devices.devices.into_iter().map(|device| (user, device)));
        }
    }
    Ok(found)
}

/// When a companion last came, by its token.
fn used_at(app: &Daemon, device: &DeviceEntry) -> Found<Option<Time>> {
    let Some(hash) = &device.token else {
        return Ok(None);
    };
    let token = TokenEntry::get(&*app.store, hash)?;
    Ok(token.and_then(|token| token.last_used_at))
}

/// Whose device it is that the caller may see.
async fn owner(app: &App, caller: &Caller, id: DeviceId) -> Result<UserId, Problem> {
    let whose = if caller.may(Right::Admin) {
        Whose::All
    } else {
        Whose::One(caller.user())
    };
    let found = paging::read(app, move |app| {
        let found = devices_of(app, &whose)?;
        let found = found.into_iter().find(|(_, device)| device.id == id);
        found.ok_or_else(|| Problem::not_found("device"))
    });
    found.await.map(|(user, _)| user)
}

/// Remove a device
///
/// It rings no longer, and a companion's token opens nothing; its stream ends at once. One's own, and for administrators
/// anybody's. A companion may remove itself and no other.
#[utoipa::path(
    delete, path = "/api/v1/devices/{id}", tag = "devices", operation_id = "removeDevice",
    params(("id" = String, Path, description = "`dev_…`")),
    responses((status = 204, description = "It is removed")),
)]
async fn remove(
    State(app): State<App>,
    Anybody(caller): Anybody,
    Id(id): Id<DeviceId>,
) -> Result<StatusCode, Problem> {
    if caller.device().is_some_and(|own| own != id) {
        return Err(Problem::forbidden("A device removes no other."));
    }
    let user = owner(&app, &caller, id).await?;
    let remove = RemoveDevice {
        user,
        device: id,
        by: caller.actor(),
    };
    let changing = app.access.changing();
    let removed = app.writer.write(remove).await;
    drop(changing);
    removed?.map_err(refused)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Test a device
///
/// It rings by itself, visibly, and answers by `confirm`.
#[utoipa::path(
    post, path = "/api/v1/devices/{id}/test", tag = "devices", operation_id = "testDevice",
    params(("id" = String, Path, description = "`dev_…`")),
    responses((status = 202, description = "The test is on its way", body = Device)),
)]
async fn test(
    State(app): State<App>,
    Anybody(caller): Anybody,
    Id(id): Id<DeviceId>,
) -> Result<(StatusCode, axum::Json<Device>), Problem> {
    let user = owner(&app, &caller, id).await?;
    let test = Test {
        user,
        device: id,
        silent: false,
    };
    let device = app.writer.write(test).await?.map_err(refused)?;
    tell_test(&app, user, &device);
    let now = app.clock.now();
    Ok((
        StatusCode::ACCEPTED,
        axum::Json(shown(user, &device, None, now)),
    ))
}

/// A companion hears of its test on the stream.
fn tell_test(app: &Daemon, user: UserId, device: &DeviceEntry) {
    if let (DeviceKind::Desktop, Some(test)) = (device.kind, &device.test) {
        app.live
            .device_test(app.clock.now(), user, device.id, test.id, test.silent);
    }
}

/// What a device says of a test.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TestAnswer {
    /// Which test: as it was told.
    test: String,
    /// Whether it could not be shown.
    #[serde(default)]
    failed: bool,
    /// The reason in words, at most 300 characters.
    #[serde(default)]
    #[schema(max_length = 300)]
    detail: Option<String>,
}

/// Answer a test
///
/// By the device itself, or by its person's session in that browser.
#[utoipa::path(
    post, path = "/api/v1/devices/{id}/confirm", tag = "devices", operation_id = "confirmDevice",
    params(("id" = String, Path, description = "`dev_…`")), request_body = TestAnswer,
    responses(
        (status = 200, description = "How the device stands", body = Device),
        (status = 409, description = "Another test was begun since", body = Problem, content_type = "application/problem+json"),
    ),
)]
async fn confirm(
    State(app): State<App>,
    Anybody(caller): Anybody,
    Id(id): Id<DeviceId>,
    Json(answer): Json<TestAnswer>,
) -> Result<axum::Json<Device>, Problem> {
    let user = person(&caller)?;
    if caller.device().is_some_and(|own| own != id) {
        return Err(Problem::not_found("device"));
    }
    let wrong = || Problem::field("/test", "It is the id of the test, as it was told.");
    let test: WorkId = answer.test.parse().map_err(|_| wrong())?;
    let too_long = |text: &String| text.chars().count() > MAX_DETAIL_CHARS;
    if answer.detail.as_ref().is_some_and(too_long) {
        return Err(Problem::field("/detail", "Use at most 300 characters."));
    }
    let unknown = || "it could not be shown".to_owned();
    let why = answer.detail.as_deref().and_then(clean_name);
    let confirm = Confirm {
        user,
        device: id,
        test,
        failed: answer.failed.then(|| why.unwrap_or_else(unknown)),
    };
    let device = app.writer.write(confirm).await?.map_err(refused)?;
    let now = app.clock.now();
    Ok(axum::Json(shown(user, &device, None, now)))
}

/// A code for a companion.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PairingCode {
    /// What is typed into the companion, such as `K7QM-3XPD`.
    code: String,
    /// When it ends.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Time,
}

/// Make a code for a companion
///
/// It works once, for 10 minutes. By somebody who is signed in to the desk.
#[utoipa::path(
    post, path = "/api/v1/devices/codes", tag = "devices", operation_id = "makePairingCode",
    responses((status = 201, description = "The code", body = PairingCode)),
)]
async fn make_code(
    State(app): State<App>,
    Anybody(caller): Anybody,
) -> Result<(StatusCode, axum::Json<PairingCode>), Problem> {
    let Who::User { id: user, .. } = caller.who else {
        return Err(Problem::forbidden(
            "A code is made by somebody who is signed in to the desk.",
        ));
    };
    let letters = random_bytes::<CODE_LETTERS>();
    let letters = letters.map(|byte| char::from(LETTERS[usize::from(byte % 32)]));
    let text: String = letters.iter().collect();
    let make = MakeCode {
        user,
        hash: code_hash(&text),
    };
    let expires_at = app.writer.write(make).await?.map_err(refused)?;
    let (first, second) = text.split_at(CODE_LETTERS / 2);
    Ok((
        StatusCode::CREATED,
        axum::Json(PairingCode {
            code: format!("{first}-{second}"),
            expires_at,
        }),
    ))
}

/// The hash of a code however it was typed: small letters, with or without its hyphen, an O for a zero.
fn code_hash(typed: &str) -> Vec<u8> {
    let letters = typed.chars().filter(char::is_ascii_alphanumeric);
    let letters = letters.map(|letter| match letter.to_ascii_uppercase() {
        'O' => '0',
        'I' | 'L' => '1',
        other => other,
    });
    let letters: String = letters.collect();
    secret_hash(&format!("pairing {letters}"))
}

/// The kinds that come by a code.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CompanionKind {
    /// A companion on a desktop.
    Desktop,
}

/// A companion that shows its code.
#[derive(Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCompanion {
    /// The code.
    #[schema(max_length = 64)]
    code: String,
    /// What it calls itself: 1 to 300 characters.
    #[schema(min_length = 1, max_length = 300)]
    name: String,
    /// What it is.
    #[serde(rename = "kind")]
    _kind: CompanionKind,
}

/// A person, by name.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CompanionsPerson {
    /// `usr_…`
    #[schema(value_type = String)]
    id: UserId,
    /// The name that others see.
    name: String,
}

/// A companion that was let in.
#[derive(Serialize, ToSchema)]
pub struct ClaimedDevice {
    /// Its token, `dbk_…`: it is shown in this answer only.
    token: String,
    /// It.
    device: Device,
    /// For whom it rings.
    user: CompanionsPerson,
}

/// Use a code
///
/// Gives a companion its token, which acts as the person who made the code, with their rights and channels as they are at
/// each moment, and without those of an administrator. It ends with the device, and when the person may not sign in.
#[utoipa::path(
    post, path = "/api/v1/devices/claim", tag = "devices", operation_id = "claimPairingCode", security(()),
    request_body = NewCompanion,
    responses(
        (status = 201, description = "The companion's token", body = ClaimedDevice),
        (status = 409, description = "The code does not do, or there are as many devices as a person may have", body = Problem, content_type = "application/problem+json"),
        (status = 429, body = Problem),
    ),
)]
async fn claim(
    State(app): State<App>,
    _own: OwnPage,
    peer: Peer,
    Json(new): Json<NewCompanion>,
) -> Result<(StatusCode, axum::Json<ClaimedDevice>), Problem> {
    let name = checked_name(&new.name)?;
    let code = code_hash(&new.code);
    // Each code that is tried is its own account, so that nobody keeps others from pairing; addresses are slowed.
    let tried = Try::Stranger {
        email: &code,
        address: peer.address,
    };
    app.access
        .take_try(app.clock.now(), tried)
        .map_err(slowed)?;
    let token = format!("dbk_{}", random_text());
    let claim = Claim {
        code: code.clone(),
        token: secret_hash(&token),
        name,
        address: Some(peer.address.to_string()),
    };
    let (user, device) = app.writer.write(claim).await?.map_err(refused)?;
    app.access.give_try_back(app.clock.now(), tried);
    let now = app.clock.now();
    let claimed = ClaimedDevice {
        token,
        device: shown(user.id, &device, None, now),
        user: CompanionsPerson {
            id: user.id,
            name: user.name,
        },
    };
    Ok((StatusCode::CREATED, axum::Json(claimed)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_the_same_however_it_is_typed() {
        let hash = code_hash("K0QM-1XPD");
        for typed in ["k0qm1xpd", " KOQM-IXPD ", "kOqm-lxpd", "K0QM 1XPD"] {
            assert_eq!(code_hash(typed), hash, "{typed}");
        }
        assert_ne!(code_hash("K0QM-1XPE"), hash);
    }
}
