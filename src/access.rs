//! Who gets in, and what they may do.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use deskbell_sdk::{Secret, Time, webhook};

use crate::channels::Channels;
use crate::store::entry::{Actor, ActorKind, Entry, Right, SessionEntry, TokenEntry, secret_hash};
use crate::store::record::AuthorRecord;
use crate::store::{Found, Read, Scope};

/// How long a session of the desk works: 30 days, in milliseconds.
pub const SESSION_MS: i64 = 30 * 24 * 60 * 60 * 1000;

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
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    Token,
    Session,
}

/// Who somebody is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
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
            Who::Token { id, .. } | Who::SetupSession { id } => id.clone(),
            Who::Bootstrap => "bootstrap".to_owned(),
            Who::Local => "local".to_owned(),
        }
    }

    /// The name that people see.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.who {
            Who::Token { name, .. } => name.clone(),
            Who::Bootstrap => "Bootstrap token".to_owned(),
            Who::Local => "This machine".to_owned(),
            Who::SetupSession { .. } => "Administrator".to_owned(),
        }
    }

    /// As the author of a message.
    #[must_use]
    pub fn author(&self) -> AuthorRecord {
        AuthorRecord::Staff(None, Some(self.name()))
    }

    /// As who did something, in the audit log.
    #[must_use]
    pub fn actor(&self) -> Actor {
        Actor {
            kind: match &self.who {
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
}

impl Access {
    /// The doors of a daemon: the token of its configuration, that of its own machine, and the set-up link's.
    #[must_use]
    pub fn new(bootstrap: Option<Secret>, local: Secret, setup: Option<Secret>) -> Self {
        Self {
            bootstrap,
            local,
            setup: Mutex::new(setup),
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
        let Some(entry) =
            TokenEntry::get(store, &hash)?.filter(|entry| works(entry.expires_at, now))
        else {
            return Ok(None);
        };
        let scope = match &entry.channels {
            None => Scope::of_all_channels(),
            Some(ids) => Scope::of_channels(ids.iter().filter_map(|id| channels.number_of(id))),
        };
        Ok(Some(Caller {
            who: Who::Token {
                id: entry.id.to_string(),
                name: entry.name,
            },
            rights: entry.scopes,
            scope,
            address: None,
            credential: Some((Door::Token, hash)),
        }))
    }

    /// Whose session this cookie is.
    pub fn by_session(&self, store: &dyn Read, now: Time, cookie: &str) -> Found<Option<Caller>> {
        let hash = secret_hash(cookie);
        let session = SessionEntry::get(store, &hash)?.filter(|session| now < session.expires_at);
        Ok(session.map(|session| Caller {
            who: Who::SetupSession {
                id: session.id.to_string(),
            },
            rights: BTreeSet::from([Right::Admin]),
            scope: Scope::of_all_channels(),
            address: None,
            credential: Some((Door::Session, hash)),
        }))
    }

    /// Whether the door that let the caller in is still open: for streams that stay.
    pub fn still_in(&self, store: &dyn Read, now: Time, caller: &Caller) -> Found<bool> {
        Ok(match &caller.credential {
            None => true,
            Some((Door::Token, hash)) => {
                TokenEntry::get(store, hash)?.is_some_and(|entry| works(entry.expires_at, now))
            }
            Some((Door::Session, hash)) => {
                SessionEntry::get(store, hash)?.is_some_and(|session| now < session.expires_at)
            }
        })
    }

    /// Uses the set-up link up. Of many at once, one gets through (S12).
    #[must_use]
    pub fn take_setup(&self, presented: &str) -> bool {
        let mut setup = self.setup.lock().unwrap_or_else(PoisonError::into_inner);
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
        *self.setup.lock().unwrap_or_else(PoisonError::into_inner) = Some(Secret::new(secret));
    }
}

fn works(expires_at: Option<Time>, now: Time) -> bool {
    expires_at.is_none_or(|expires_at| now < expires_at)
}
