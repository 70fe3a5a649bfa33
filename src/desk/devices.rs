//! The devices that ring for people: how they come, what they say of themselves, and how they go.
//!
//! A device belongs to one person. A browser is known by its endpoint at its push service, and rings for whoever
//! registered it last; a companion has a token that acts as its person, and both end together.

use deskbell_sdk::Time;
use serde_bytes::ByteBuf;

use super::Decision;
use super::audit::{Told, audit};
use crate::id::{DeviceId, TokenId, UserId, WorkId};
use crate::store::Found;
use crate::store::draft::Draft;
use crate::store::entry::{
    Actor, Attempt, AttemptResult, DeviceEntry, DeviceKind, DeviceTest, DevicesEntry,
    EndpointEntry, Entry, PairingEntry, PushKeyEntry, SealedValue, Telling, TellingEntry,
    TokenEntry, UserEntry, UserStatus,
};

/// The most devices of a person.
pub const MOST_DEVICES: usize = 20;
/// The most codes of a person that are open at once; a further one ends the oldest.
const MOST_CODES: usize = 5;
/// How long a code works: 10 minutes, in milliseconds.
pub const CODE_MS: i64 = 10 * 60 * 1000;
/// How long after a browser was added it is tested, in milliseconds: it has to know its id to answer.
const SETTLES_MS: i64 = 2_000;
/// How long a test is tried to be told: 10 minutes, in milliseconds.
const TEST_MS: i64 = 10 * 60 * 1000;

/// Why nothing was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is no such device, or no such person who may sign in.
    Unknown,
    /// The person has as many as there may be.
    TooMany,
    /// The code is wrong, was used, or is too old.
    WrongCode,
    /// Another test was begun since.
    OtherTest,
}

fn devices_of(draft: &Draft<'_>, user: UserId) -> Found<DevicesEntry> {
    Ok(draft
        .entry::<DevicesEntry>(&user.key())?
        .unwrap_or_default())
}

pub(super) fn keep(draft: &mut Draft<'_>, user: UserId, devices: &DevicesEntry) {
    let key = user.key().to_vec();
    draft.put(if devices.devices.is_empty() {
        DevicesEntry::remove(key)
    } else {
        devices.put(key)
    });
}

/// Changes a device that is there; gives it as it is then.
pub(super) fn change(
    draft: &mut Draft<'_>,
    user: UserId,
    device: DeviceId,
    change: impl FnOnce(&mut DeviceEntry),
) -> Found<Option<DeviceEntry>> {
    let mut devices = devices_of(draft, user)?;
    let Some(known) = devices.device_mut(device) else {
        return Ok(None);
    };
    change(known);
    let changed = known.clone();
    keep(draft, user, &devices);
    Ok(Some(changed))
}

/// Whether somebody may have devices now.
fn is_here(draft: &Draft<'_>, user: UserId) -> Found<bool> {
    let user = draft.entry::<UserEntry>(&user.key())?;
    Ok(user.is_some_and(|user| user.status() == UserStatus::Active))
}

/// Takes a device away, with all that opens doors for it.
pub(super) fn remove(
    draft: &mut Draft<'_>,
    user: UserId,
    device: DeviceId,
) -> Found<Option<DeviceEntry>> {
    let mut devices = devices_of(draft, user)?;
    let Some(place) = devices.devices.iter().position(|known| known.id == device) else {
        return Ok(None);
    };
    let gone = devices.devices.remove(place);
    keep(draft, user, &devices);
    if let Some(endpoint) = &gone.endpoint {
        draft.put(EndpointEntry::remove(endpoint.to_vec()));
    }
    if let Some(token) = &gone.token {
        draft.put(TokenEntry::remove(token.to_vec()));
    }
    Ok(Some(gone))
}

fn new_device(draft: &mut Draft<'_>, kind: DeviceKind, name: &str) -> DeviceEntry {
    DeviceEntry::new(DeviceId(draft.new_id()), kind, name, draft.now())
}

/// A browser is to ring.
#[derive(Clone, Debug)]
pub struct AddBrowser {
    /// For whom.
    pub user: UserId,
    /// What they call it.
    pub name: String,
    /// [`crate::store::entry::endpoint_hash`] of its endpoint.
    pub endpoint: Vec<u8>,
    /// Its subscription, sealed.
    pub subscription: SealedValue,
    /// Who asks.
    pub by: Actor,
}

impl Decision for AddBrowser {
    /// The device, and whether it is a new one.
    type Answer = Result<(DeviceEntry, bool), Refused>;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<Self::Answer> {
        if !is_here(draft, self.user)? {
            return Ok(Err(Refused::Unknown));
        }
        let known = draft.entry::<EndpointEntry>(&self.endpoint)?;
        if let Some(known) = known.filter(|known| known.user == self.user) {
            let now = draft.now();
            let changed = change(draft, self.user, known.device, |device| {
                device.name.clone_from(&self.name);
                device.subscription = Some(self.subscription.clone());
                device.last_seen_at = Some(now);
                // What was wrong with the former subscription says nothing of this one.
                device.failing_since = None;
                device.detail = None;
                device.next_try_at = None;
            })?;
            if let Some(device) = changed {
                return Ok(Ok((device, false)));
            }
        }
        let mut devices = devices_of(draft, self.user)?;
        if devices.devices.len() >= MOST_DEVICES {
            return Ok(Err(Refused::TooMany));
        }
        // Somebody else used this browser before: it rings for them no longer.
        if let Some(other) = known.filter(|known| known.user != self.user) {
            remove(draft, other.user, other.device)?;
        }
        let mut device = new_device(draft, DeviceKind::WebPush, &self.name);
        device.endpoint = Some(ByteBuf::from(self.endpoint.clone()));
        device.subscription = Some(self.subscription.clone());
        let endpoint = EndpointEntry {
            user: self.user,
            device: device.id,
        };
        draft.put(endpoint.put(self.endpoint.clone()));
        devices.devices.push(device.clone());
        keep(draft, self.user, &devices);
        audit(draft, &self.by, told("device.added", &device))?;
        // Whether it can be reached is seen at once, and not only when a customer waits.
        let device = begin_test(draft, self.user, device.id, true, SETTLES_MS)?.unwrap_or(device);
        Ok(Ok((device, true)))
    }

    fn weight(&self) -> usize {
        8 * 1024
    }
}

fn told(action: &'static str, device: &DeviceEntry) -> Told {
    Told::of(action)
        .to("device", device.id, device.name.as_str())
        .with("kind", device.kind.word())
}

/// A code for a companion.
#[derive(Clone, Debug)]
pub struct MakeCode {
    /// For whom.
    pub user: UserId,
    /// Its hash.
    pub hash: Vec<u8>,
}

impl Decision for MakeCode {
    /// When it ends.
    type Answer = Result<Time, Refused>;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<Self::Answer> {
        if !is_here(draft, self.user)? {
            return Ok(Err(Refused::Unknown));
        }
        let now = draft.now();
        let mut own = Vec::new();
        for (key, code) in draft.all::<PairingEntry>()? {
            if !is_open(&code, now) {
                draft.put(PairingEntry::remove(key));
            } else if code.user == self.user {
                own.push((code.expires_at, key));
            }
        }
        own.sort();
        let too_many = (own.len() + 1).saturating_sub(MOST_CODES);
        for (_, key) in own.drain(..too_many) {
            draft.put(PairingEntry::remove(key));
        }
        let code = PairingEntry {
            user: self.user,
            expires_at: now.plus_millis(CODE_MS),
        };
        draft.put(code.put(self.hash.clone()));
        Ok(Ok(code.expires_at))
    }
}

/// Also where the clock was set back: no code works for longer than it was made for.
fn is_open(code: &PairingEntry, now: Time) -> bool {
    now < code.expires_at && code.expires_at <= now.plus_millis(CODE_MS)
}

/// A companion shows a code.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The code's hash.
    pub code: Vec<u8>,
    /// The hash of the token that it is to have.
    pub token: Vec<u8>,
    /// What it calls itself.
    pub name: String,
    /// From where.
    pub address: Option<String>,
}

impl Decision for Claim {
    /// The person and the device.
    type Answer = Result<(UserEntry, DeviceEntry), Refused>;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<Self::Answer> {
        let code = draft.entry::<PairingEntry>(&self.code)?;
        let Some(code) = code.filter(|code| is_open(code, draft.now())) else {
            return Ok(Err(Refused::WrongCode));
        };
        let user = draft.entry::<UserEntry>(&code.user.key())?;
        let Some(user) = user.filter(|user| user.status() == UserStatus::Active) else {
            return Ok(Err(Refused::WrongCode));
        };
        let mut devices = devices_of(draft, user.id)?;
        if devices.devices.len() >= MOST_DEVICES {
            return Ok(Err(Refused::TooMany));
        }
        draft.put(PairingEntry::remove(self.code.clone()));
        let mut device = new_device(draft, DeviceKind::Desktop, &self.name);
        device.token = Some(ByteBuf::from(self.token.clone()));
        let token = TokenEntry {
            id: TokenId(draft.new_id()),
            name: self.name.clone(),
            scopes: std::collections::BTreeSet::new(),
            channels: None,
            created_at: draft.now(),
            expires_at: None,
            last_used_at: None,
            device: Some((user.id, device.id)),
        };
        draft.put(token.put(self.token.clone()));
        devices.devices.push(device.clone());
        keep(draft, user.id, &devices);
        let by = Actor {
            kind: crate::store::entry::ActorKind::User,
            id: user.id.to_string(),
            name: user.name.clone(),
            address: self.address.clone(),
        };
        audit(draft, &by, told("device.added", &device))?;
        Ok(Ok((user, device)))
    }
}

/// A device goes.
#[derive(Clone, Debug)]
pub struct RemoveDevice {
    /// Whose.
    pub user: UserId,
    /// Which.
    pub device: DeviceId,
    /// Who asks.
    pub by: Actor,
}

impl Decision for RemoveDevice {
    type Answer = Result<(), Refused>;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<Self::Answer> {
        match remove(draft, self.user, self.device)? {
            None => Ok(Err(Refused::Unknown)),
            Some(gone) => {
                let told = told("device.removed", &gone).with("user_id", self.user.to_string());
                audit(draft, &self.by, told)?;
                Ok(Ok(()))
            }
        }
    }
}

/// A device is to show that it works.
#[derive(Clone, Debug)]
pub struct Test {
    /// Whose.
    pub user: UserId,
    /// Which.
    pub device: DeviceId,
    /// Whether nobody is to notice it.
    pub silent: bool,
}

impl Decision for Test {
    /// The device with its test.
    type Answer = Result<DeviceEntry, Refused>;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<Self::Answer> {
        let begun = begin_test(draft, self.user, self.device, self.silent, 0)?;
        Ok(begun.ok_or(Refused::Unknown))
    }
}

fn begin_test(
    draft: &mut Draft<'_>,
    user: UserId,
    device: DeviceId,
    silent: bool,
    after_ms: i64,
) -> Found<Option<DeviceEntry>> {
    let now = draft.now();
    let id = WorkId(draft.new_id());
    let changed = change(draft, user, device, |device| {
        device.test = Some(DeviceTest {
            id,
            at: now,
            silent,
            answered: false,
        });
    })?;
    if changed
        .as_ref()
        .is_some_and(|device| device.kind == DeviceKind::WebPush)
    {
        let telling = TellingEntry {
            id,
            user,
            device,
            what: Telling::Test { silent },
            tries: 0,
            due_at: now.plus_millis(after_ms),
            until: now.plus_millis(TEST_MS),
            created_at: now,
        };
        draft.put(telling.put(id.key().to_vec()));
    }
    Ok(changed)
}

/// A device answers a test.
#[derive(Clone, Debug)]
pub struct Confirm {
    /// Whose.
    pub user: UserId,
    /// Which.
    pub device: DeviceId,
    /// Which test.
    pub test: WorkId,
    /// Why it could not be shown, where it could not.
    pub failed: Option<String>,
}

impl Decision for Confirm {
    type Answer = Result<DeviceEntry, Refused>;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<Self::Answer> {
        let now = draft.now();
        let mut fits = false;
        let changed = change(draft, self.user, self.device, |device| {
            let Some(test) = device.test.as_mut().filter(|test| test.id == self.test) else {
                return;
            };
            fits = true;
            test.answered = true;
            device.last_seen_at = Some(now);
            if let Some(why) = &self.failed {
                device.failing_since = device.failing_since.or(Some(now));
                device.detail = Some(why.clone());
            } else {
                device.confirmed_at = Some(now);
                device.failing_since = None;
                device.detail = None;
                device.next_try_at = None;
            }
        })?;
        Ok(match changed {
            None => Err(Refused::Unknown),
            Some(_) if !fits => Err(Refused::OtherTest),
            Some(device) => Ok(device),
        })
    }
}

/// Takes in what a device says of a ring. One that is not its person's says nothing.
pub(super) fn says(draft: &mut Draft<'_>, attempt: &Attempt) -> Found<()> {
    let (Some(user), Some(device)) = (attempt.user, attempt.device_id) else {
        return Ok(());
    };
    let at = draft.now();
    match attempt.result {
        AttemptResult::Shown => {
            change(draft, user, device, |device| {
                device.last_shown_at = Some(at);
                device.last_seen_at = Some(at);
                device.failing_since = None;
                device.detail = None;
                device.next_try_at = None;
            })?;
        }
        AttemptResult::Failed => {
            change(draft, user, device, |device| {
                device.last_seen_at = Some(at);
                device.failing_since = device.failing_since.or(Some(at));
                device.detail.clone_from(&attempt.detail);
            })?;
        }
        AttemptResult::Sent | AttemptResult::Expired => {}
    }
    Ok(())
}

/// Keeps the key by which push services know the daemon, unless there is one.
#[derive(Clone, Debug)]
pub struct EnsurePushKey {
    /// A new one.
    pub new: PushKeyEntry,
}

impl Decision for EnsurePushKey {
    /// The one that is kept.
    type Answer = PushKeyEntry;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<PushKeyEntry> {
        if let Some(known) = draft.entry::<PushKeyEntry>(PushKeyEntry::KEY)? {
            return Ok(known);
        }
        draft.put(self.new.put(PushKeyEntry::KEY.to_vec()));
        Ok(self.new.clone())
    }
}

/// Keeps the same as it is sealed by a new key of the daemon's.
#[derive(Clone, Debug)]
pub enum Reseal {
    /// The key for push services.
    PushKey(PushKeyEntry),
    /// The subscription of a browser.
    Subscription {
        /// Whose.
        user: UserId,
        /// Which.
        device: DeviceId,
        /// What was opened.
        before: SealedValue,
        /// The same, sealed anew.
        after: SealedValue,
    },
}

impl Decision for Reseal {
    type Answer = ();

    fn decide(&self, draft: &mut Draft<'_>) -> Found<()> {
        match self {
            Self::PushKey(entry) => draft.put(entry.put(PushKeyEntry::KEY.to_vec())),
            Self::Subscription {
                user,
                device,
                before,
                after,
            } => {
                change(draft, *user, *device, |device| {
                    if device.subscription.as_ref() == Some(before) {
                        device.subscription = Some(after.clone());
                    }
                })?;
            }
        }
        Ok(())
    }
}
