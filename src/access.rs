//! Who gets in, and what they may do.

mod common_passwords;
pub mod guessing;
mod one_by_one;
pub mod passwords;

use std::collections::{BTreeSet, HashSet};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use deskbell_sdk::{Secret, Time, webhook};

use self::guessing::{Guessing, Try};
use self::passwords::Passwords;
use crate::channels::Channels;
use crate::id::{DeviceId, SessionId, UserId};
use crate::store::entry::{
    Actor, ActorKind, DevicesEntry, Entry, Right, Role, SET_UP_KEY, SessionEntry, SettingEntry,
    TokenEntry, UserEntry, UserStatus, secret_hash,
};
use crate::store::record::AuthorRecord;
use crate::store::{Found, Read, Scope};

/// How long a session of the desk works: 30 days, in milliseconds.
pub const SESSION_MS: i64 = 30 * 24 * 60 * 60 * 1000;
/// How long a person's session works that nobody uses: 14 days, in milliseconds.
pub const IDLE_MS: i64 = 14 * 24 * 60 * 60 * 1000;
/// How far behind it may be when somebody was last seen: 5 minutes, in milliseconds.
const SEEN_MS: i64 = 5 * 60 * 1000;
/// How far behind it may be when a token was last used: an hour, in milliseconds.
const USED_MS: i64 = 60 * 60 * 1000;

/// Somebody who got in.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who.
    pub who: Who,
    /// What they may do.
    pub rights: BTreeSet<Right>,
    /// What they may see.
    pub scope: Scope,
    /// From where they call, where that is known.
    pub address: Option<IpAddr>,
    /// The hash of the secret that opened the door, by which it is checked again; `None` for those of the
    /// configuration and of this machine.
    credential: Option<(Door, Vec<u8>)>,
    /// When it is noted again that the credential is used.
    noted_again_at: Time,
}

/// By what somebody got in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// An API token.
    Token,
    /// A session.
    Session,
}

/// Who somebody is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// A person of the shop.
    User {
        /// `usr_…`
        id: UserId,
        /// The name that others see.
        name: String,
        /// `ses_…`
        session: SessionId,
    },
    /// A device of a person of the shop: it acts as that person, and does nothing that is an administrator's or changes
    /// by what that person gets in.
    Device {
        /// `usr_…`
        id: UserId,
        /// The person's name.
        name: String,
        /// `dev_…`
        device: DeviceId,
    },
    /// A program with an API token.
    Token {
        /// `tok_…`
        id: String,
        /// What it is for.
        name: String,
    },
    /// The token of the configuration.
    Bootstrap,
    /// A command on the same machine.
    Local,
    /// The administrator's session that the set-up link opened.
    SetupSession {
        /// `ses_…`
        id: String,
    },
}

impl Caller {
    /// Whether this right is theirs; an administrator has every right, and who writes may read.
    #[must_use]
    pub fn may(&self, right: Right) -> bool {
        self.rights.contains(&Right::Admin)
            || self.rights.contains(&right)
            || (right == Right::Read && self.rights.contains(&Right::Write))
    }

    /// A stable name: the owner of uploads, read positions and idempotency keys.
    #[must_use]
    pub fn owner(&self) -> String {
        match &self.who {
            Who::User { id, .. } | Who::Device { id, .. } => id.to_string(),
            Who::Token { id, .. } | Who::SetupSession { id } => id.clone(),
            Who::Bootstrap => "bootstrap".to_owned(),
            Who::Local => "local".to_owned(),
        }
    }

    /// The person, where it is one.
    #[must_use]
    pub const fn user(&self) -> Option<UserId> {
        match &self.who {
            Who::User { id, .. } | Who::Device { id, .. } => Some(*id),
            _ => None,
        }
    }

    /// The device, where it is one.
    #[must_use]
    pub const fn device(&self) -> Option<DeviceId> {
        match &self.who {
            Who::Device { device, .. } => Some(*device),
            _ => None,
        }
    }

    /// The name that people see.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.who {
            Who::User { name, .. } | Who::Device { name, .. } | Who::Token { name, .. } => {
                name.clone()
            }
            Who::Bootstrap => "Bootstrap token".to_owned(),
            Who::Local => "This machine".to_owned(),
            Who::SetupSession { .. } => "Administrator".to_owned(),
        }
    }

    /// As the author of a message.
    #[must_use]
    pub fn author(&self) -> AuthorRecord {
        AuthorRecord::Staff(self.user(), Some(self.name()))
    }

    /// As who did something, in the audit log.
    #[must_use]
    pub fn actor(&self) -> Actor {
        Actor {
            kind: match &self.who {
                Who::User { .. } | Who::Device { .. } => ActorKind::User,
                Who::Token { .. } => ActorKind::Token,
                Who::Bootstrap => ActorKind::Bootstrap,
                Who::Local => ActorKind::Local,
                Who::SetupSession { .. } => ActorKind::SetUp,
            },
            id: self.owner(),
            name: self.name(),
            address: self.address.map(|address| address.to_string()),
        }
    }

    /// The hash of the session's cookie, where a session opened the door.
    #[must_use]
    pub fn session(&self) -> Option<&[u8]> {
        match &self.credential {
            Some((Door::Session, hash)) => Some(hash),
            _ => None,
        }
    }
}

/// Checks who gets in.
#[derive(Debug)]
pub struct Access {
    bootstrap: Option<Secret>,
    local: Secret,
    setup: Mutex<Option<Secret>>,
    /// Makes and checks the hashes of passwords.
    pub passwords: Passwords,
    guessing: Mutex<Guessing>,
    /// How often it has changed who may what, and how many changes are being made.
    changes: AtomicU64,
    changing: AtomicU64,
    /// The credentials of which it is being noted that they are used.
    noting: Mutex<HashSet<Vec<u8>>>,
}

/// A change of who may what that is being made: as long as it lives, and once when it ends, streams ask the store anew
/// before they show anything.
#[derive(Debug)]
pub struct Changing<'a>(&'a Access);

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        self.0.changes.fetch_add(1, Ordering::SeqCst);
        self.0.changing.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Access {
    /// The doors of a daemon: the token of its configuration, that of its own machine, and the set-up link's.
    #[must_use]
    pub fn new(bootstrap: Option<Secret>, local: Secret, setup: Option<Secret>) -> Self {
        Self {
            bootstrap,
            local,
            setup: Mutex::new(setup),
            passwords: Passwords::default(),
            guessing: Mutex::default(),
            changes: AtomicU64::new(0),
            changing: AtomicU64::new(0),
            noting: Mutex::default(),
        }
    }

    /// Who presents this API token.
    pub fn by_token(
        &self,
        store: &dyn Read,
        channels: &Channels,
        now: Time,
        token: &str,
    ) -> Found<Option<Caller>> {
        let everything = |who| Caller {
            who,
            rights: BTreeSet::from([Right::Admin]),
            scope: Scope::of_all_channels(),
            address: None,
            credential: None,
            noted_again_at: Time::from_millis(i64::MAX),
        };
        if self
            .bootstrap
            .as_ref()
            .is_some_and(|secret| webhook::same_secret(secret, token))
        {
            return Ok(Some(everything(Who::Bootstrap)));
        }
        if webhook::same_secret(&self.local, token) {
            return Ok(Some(everything(Who::Local)));
        }
        if !token.starts_with("dbk_") {
            return Ok(None);
        }
        let hash = secret_hash(token);
        by_token_hash(store, channels, now, hash)
    }

    /// Whose session this cookie is.
    pub fn by_session(
        &self,
        store: &dyn Read,
        channels: &Channels,
        now: Time,
        cookie: &str,
    ) -> Found<Option<Caller>> {
        by_session_hash(store, channels, now, secret_hash(cookie))
    }

    /// The caller as of now, where the door that let them in is still open: for what stays open long.
    pub fn again(
        &self,
        store: &dyn Read,
        channels: &Channels,
        now: Time,
        caller: &Caller,
    ) -> Found<Option<Caller>> {
        let again = match &caller.credential {
            None => Some(caller.clone()),
            Some((Door::Token, hash)) => by_token_hash(store, channels, now, hash.clone())?,
            Some((Door::Session, hash)) => by_session_hash(store, channels, now, hash.clone())?,
        };
        Ok(again.map(|again| Caller {
            address: caller.address,
            ..again
        }))
    }

    /// Says that it is being changed who may what. To be taken before the change is written, and dropped before the
    /// answer.
    #[must_use]
    pub fn changing(&self) -> Changing<'_> {
        self.changing.fetch_add(1, Ordering::SeqCst);
        Changing(self)
    }

    /// A number that differs from `seen` where it has changed since who may what; `None` while it is being changed.
    #[must_use]
    pub fn changes(&self) -> Option<u64> {
        let quiet = self.changing.load(Ordering::SeqCst) == 0;
        quiet.then(|| self.changes.load(Ordering::SeqCst))
    }

    /// The credential of a caller whose use is to be noted now, once for each. [`Access::noted`] ends it.
    #[must_use]
    pub fn to_note(&self, now: Time, caller: &Caller) -> Option<(Door, Vec<u8>)> {
        /// Beyond this many at once the next request notes it.
        const MOST: usize = 256;
        let credential = caller
            .credential
            .as_ref()
            .filter(|_| caller.noted_again_at <= now)?;
        let mut noting = lock(&self.noting);
        (noting.len() < MOST && noting.insert(credential.1.clone())).then(|| credential.clone())
    }

    /// That a credential was used is noted.
    pub fn noted(&self, key: &[u8]) {
        lock(&self.noting).remove(key);
    }

    /// Takes one try of a password or code; where there is none, after how many seconds there is.
    ///
    /// # Errors
    /// There is none.
    pub fn take_try(&self, now: Time, what: Try<'_>) -> Result<(), u32> {
        lock(&self.guessing).take(now, what)
    }

    /// Gives a try back: it was right.
    pub fn give_try_back(&self, now: Time, what: Try<'_>) {
        lock(&self.guessing).give_back(now, what);
    }

    /// Uses the set-up link up. Of many at once, one gets through (S12).
    #[must_use]
    pub fn take_setup(&self, presented: &str) -> bool {
        let mut setup = lock(&self.setup);
        let fits = setup
            .as_ref()
            .is_some_and(|secret| webhook::same_secret(secret, presented));
        if fits {
            *setup = None;
        }
        fits
    }

    /// Puts the set-up link back, where its session could not be begun.
    pub fn put_setup_back(&self, secret: &str) {
        *lock(&self.setup) = Some(Secret::new(secret));
    }

    /// There is an administrator: the set-up link is dead.
    pub fn end_setup(&self) {
        *lock(&self.setup) = None;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn by_token_hash(
    store: &dyn Read,
    channels: &Channels,
    now: Time,
    hash: Vec<u8>,
) -> Found<Option<Caller>> {
    let entry = TokenEntry::get(store, &hash)?.filter(|entry| works(entry.expires_at, now));
    if let Some((user, device)) = entry.as_ref().and_then(|entry| entry.device) {
        let used_at = entry.and_then(|entry| entry.last_used_at);
        return by_device(store, channels, now, (user, device), used_at, hash);
    }
    Ok(entry.map(|entry| Caller {
        who: Who::Token {
            id: entry.id.to_string(),
            name: entry.name,
        },
        rights: entry.scopes,
        scope: scope_of(channels, entry.channels.as_ref()),
        address: None,
        credential: Some((Door::Token, hash)),
        noted_again_at: noted_again_at(entry.last_used_at, USED_MS, now),
    }))
}

/// A device acts as its person as they are now. It ends with either of them.
fn by_device(
    store: &dyn Read,
    channels: &Channels,
    now: Time,
    (user, device): (UserId, DeviceId),
    used_at: Option<Time>,
    hash: Vec<u8>,
) -> Found<Option<Caller>> {
    let devices = DevicesEntry::get(store, &user.key())?;
    let is_here = devices.is_some_and(|devices| devices.device(device).is_some());
    let user = UserEntry::get(store, &user.key())?
        .filter(|user| is_here && user.status() == UserStatus::Active);
    Ok(user.map(|user| Caller {
        // What only administrators may do is not for a token that lies on a desktop.
        rights: BTreeSet::from([right_of(user.role).min(Right::Write)]),
        scope: scope_of(channels, user.channels.as_ref()),
        who: Who::Device {
            id: user.id,
            name: user.name,
            device,
        },
        address: None,
        credential: Some((Door::Token, hash)),
        noted_again_at: noted_again_at(used_at, SEEN_MS, now),
    }))
}

/// Two reads by key: this is on the way of every request.
fn by_session_hash(
    store: &dyn Read,
    channels: &Channels,
    now: Time,
    hash: Vec<u8>,
) -> Found<Option<Caller>> {
    let Some(session) = SessionEntry::get(store, &hash)?.filter(|session| now < session.expires_at)
    else {
        return Ok(None);
    };
    let Some(id) = session.user else {
        // Once there is a first administrator, sessions of nobody in particular are over.
        let is_set_up = SettingEntry::get(store, SET_UP_KEY)?.is_some();
        return Ok((!is_set_up).then(|| Caller {
            who: Who::SetupSession {
                id: session.id.to_string(),
            },
            rights: BTreeSet::from([Right::Admin]),
            scope: Scope::of_all_channels(),
            address: None,
            credential: Some((Door::Session, hash)),
            noted_again_at: Time::from_millis(i64::MAX),
        }));
    };
    let idle = |seen: Time| seen.plus_millis(IDLE_MS) < now;
    let user = UserEntry::get(store, &id.key())?.filter(|user| {
        user.status() == UserStatus::Active
            && user.generation == session.generation
            && !session.last_seen_at.is_some_and(idle)
    });
    Ok(user.map(|user| Caller {
        rights: BTreeSet::from([right_of(user.role)]),
        scope: scope_of(channels, user.channels.as_ref()),
        who: Who::User {
            id,
            name: user.name,
            session: session.id,
        },
        address: None,
        credential: Some((Door::Session, hash)),
        noted_again_at: noted_again_at(session.last_seen_at, SEEN_MS, now),
    }))
}

/// What a role may do.
#[must_use]
pub const fn right_of(role: Role) -> Right {
    match role {
        Role::Admin => Right::Admin,
        Role::Agent => Right::Write,
        Role::Viewer => Right::Read,
    }
}

/// What somebody may see to whom these channels are open, by their slugs; `None`: all.
pub fn scope_of(channels: &Channels, slugs: Option<&BTreeSet<String>>) -> Scope {
    match slugs {
        None => Scope::of_all_channels(),
        Some(slugs) => Scope::of_channels(slugs.iter().filter_map(|id| channels.number_of(id))),
    }
}

fn noted_again_at(noted_at: Option<Time>, every_ms: i64, now: Time) -> Time {
    // What was noted in the future, by a clock that was wrong, is noted anew.
    let noted_at = noted_at.filter(|noted_at| *noted_at <= now);
    noted_at.map_or(now, |noted_at| noted_at.plus_millis(every_ms))
}

fn works(expires_at: Option<Time>, now: Time) -> bool {
    expires_at.is_none_or(|expires_at| now < expires_at)
}
