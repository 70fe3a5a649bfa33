//! The second factor of people: when a code opens a door, and that it opens one only (S06).
//!
//! Whether a code fits is found out beside the store, since the secret is sealed in it. Here it is decided whether what
//! was found counts: the secret is still the same, and neither the code's step nor a later one was used before.

use std::collections::BTreeSet;

use deskbell_sdk::Time;
use serde_bytes::ByteBuf;

use super::Decision;
use super::audit::{Told, audit};
use super::people::keep;
use crate::id::UserId;
use crate::store::Found;
use crate::store::draft::Draft;
use crate::store::entry::{Actor, Entry, SealedValue, TwoFactorEntry, UserEntry};

/// How long it may take to set an authenticator up, in milliseconds.
pub const SET_UP_MS: i64 = 10 * 60 * 1000;

/// Why nothing was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is no such person.
    Unknown,
    /// There is a second factor already.
    On,
    /// There is none.
    Off,
    /// It was not begun, or too long ago, or begun anew since.
    NotBegun,
    /// The code was used before, or does not fit.
    WrongCode,
}

/// What a code was found to be.
#[derive(Clone, Debug)]
pub enum Code {
    /// One of the authenticator's.
    OfStep {
        /// Its step.
        step: u64,
        /// The [`TwoFactorEntry::version`] of the secret that it fits.
        version: u64,
    },
    /// One that may be a recovery code, by its hash.
    Recovery(Vec<u8>),
}

impl Code {
    /// Uses it up; `false` where it does not count.
    fn is_used_up(&self, entry: &mut TwoFactorEntry) -> bool {
        match self {
            Self::OfStep { step, version } => {
                let fits =
                    entry.secret.is_some() && *version == entry.version && *step > entry.last_step;
                if fits {
                    entry.last_step = *step;
                }
                fits
            }
            Self::Recovery(hash) => entry.recovery.remove(&ByteBuf::from(hash.clone())),
        }
    }
}

fn entry_of(draft: &Draft<'_>, user: UserId) -> Found<TwoFactorEntry> {
    let entry = draft.entry::<TwoFactorEntry>(&user.key())?;
    Ok(entry.unwrap_or_else(TwoFactorEntry::none))
}

fn put(draft: &mut Draft<'_>, user: UserId, entry: &TwoFactorEntry) {
    draft.put(entry.put(user.key().to_vec()));
}

fn told(action: &'static str, user: &UserEntry) -> Told {
    Told::of(action).to("user", user.id, user.name.as_str())
}

/// Begins to set an authenticator up.
#[derive(Clone, Debug)]
pub struct Begin {
    /// Whose.
    pub user: UserId,
    /// Its secret.
    pub secret: SealedValue,
}

impl Decision for Begin {
    type Answer = Result<(), Refused>;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<Self::Answer> {
        let Some(user) = draft.entry::<UserEntry>(&self.user.key())? else {
            return Ok(Err(Refused::Unknown));
        };
        if user.two_factor {
            return Ok(Err(Refused::On));
        }
        let mut entry = entry_of(draft, self.user)?;
        entry.pending = Some(self.secret.clone());
        entry.pending_since = Some(draft.now());
        entry.version += 1;
        put(draft, self.user, &entry);
        Ok(Ok(()))
    }
}

/// Whether what is pending may still be confirmed.
#[must_use]
pub fn is_pending(entry: &TwoFactorEntry, now: Time) -> bool {
    entry
        .pending_since
        .is_some_and(|since| since <= now && now < since.plus_millis(SET_UP_MS))
}

/// The authenticator has shown that it works: from now on it is asked for.
#[derive(Clone, Debug)]
pub struct Confirm {
    /// Whose.
    pub user: UserId,
    /// The step of the code that it showed.
    pub step: u64,
    /// The [`TwoFactorEntry::version`] of the secret that the code fits.
    pub version: u64,
    /// The hashes of the recovery codes.
    pub recovery: BTreeSet<ByteBuf>,
    /// Who asks.
    pub by: Actor,
}

impl Decision for Confirm {
    type Answer = Result<(), Refused>;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<Self::Answer> {
        let Some(mut user) = draft.entry::<UserEntry>(&self.user.key())? else {
            return Ok(Err(Refused::Unknown));
        };
        if user.two_factor {
            return Ok(Err(Refused::On));
        }
        let mut entry = entry_of(draft, self.user)?;
        if !is_pending(&entry, draft.now()) || entry.version != self.version {
            return Ok(Err(Refused::NotBegun));
        }
        entry.secret = entry.pending.take();
        entry.pending_since = None;
        entry.last_step = self.step;
        entry.recovery.clone_from(&self.recovery);
        put(draft, self.user, &entry);
        user.two_factor = true;
        keep(draft, &user);
        audit(draft, &self.by, told("user.two_factor_on", &user))?;
        Ok(Ok(()))
    }
}

/// Uses a code to sign in. Of many at once with the same code one gets through.
#[derive(Clone, Debug)]
pub struct UseCode {
    /// Whose.
    pub user: UserId,
    /// The code.
    pub code: Code,
    /// From where.
    pub by: Actor,
}

impl Decision for UseCode {
    /// Whether it counts.
    type Answer = bool;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<bool> {
        let mut entry = entry_of(draft, self.user)?;
        let Some(user) = draft.entry::<UserEntry>(&self.user.key())? else {
            return Ok(false);
        };
        if !user.two_factor || !self.code.is_used_up(&mut entry) {
            return Ok(false);
        }
        put(draft, self.user, &entry);
        if matches!(self.code, Code::Recovery(_)) {
            let told = told("user.recovery_code_used", &user).with("left", entry.recovery.len());
            audit(draft, &self.by, told)?;
        }
        Ok(true)
    }
}

/// Takes the second factor of a person away.
#[derive(Clone, Debug)]
pub struct TurnOff {
    /// Whose.
    pub user: UserId,
    /// A code of it, which is used up; `None`: an administrator does it.
    pub code: Option<Code>,
    /// Who asks.
    pub by: Actor,
}

impl Decision for TurnOff {
    type Answer = Result<(), Refused>;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<Self::Answer> {
        let Some(mut user) = draft.entry::<UserEntry>(&self.user.key())? else {
            return Ok(Err(Refused::Unknown));
        };
        let mut entry = entry_of(draft, self.user)?;
        if !user.two_factor {
            return Ok(Err(Refused::Off));
        }
        if let Some(code) = &self.code
            && !code.is_used_up(&mut entry)
        {
            return Ok(Err(Refused::WrongCode));
        }
        // The version stays and grows, so that nothing of the former secret ever counts again.
        let none = TwoFactorEntry {
            version: entry.version + 1,
            ..TwoFactorEntry::none()
        };
        put(draft, self.user, &none);
        user.two_factor = false;
        keep(draft, &user);
        audit(draft, &self.by, told("user.two_factor_off", &user))?;
        Ok(Ok(()))
    }
}

/// Gives a person new recovery codes; the former ones are dead.
#[derive(Clone, Debug)]
pub struct RenewRecovery {
    /// Whose.
    pub user: UserId,
    /// The hashes of the new ones.
    pub recovery: BTreeSet<ByteBuf>,
    /// Who asks.
    pub by: Actor,
}

impl Decision for RenewRecovery {
    type Answer = Result<(), Refused>;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<Self::Answer> {
        let Some(user) = draft.entry::<UserEntry>(&self.user.key())? else {
            return Ok(Err(Refused::Unknown));
        };
        if !user.two_factor {
            return Ok(Err(Refused::Off));
        }
        let mut entry = entry_of(draft, self.user)?;
        entry.recovery.clone_from(&self.recovery);
        put(draft, self.user, &entry);
        audit(draft, &self.by, told("user.recovery_codes_made", &user))?;
        Ok(Ok(()))
    }
}

/// Keeps a secret as it is sealed by a new key, unless it was changed meanwhile.
#[derive(Clone, Debug)]
pub struct Reseal {
    /// Whose.
    pub user: UserId,
    /// The [`TwoFactorEntry::version`] of what was opened.
    pub version: u64,
    /// The secret, sealed anew.
    pub secret: SealedValue,
}

impl Decision for Reseal {
    type Answer = ();

    fn decide(&self, draft: &mut Draft<'_>) -> Found<()> {
        let mut entry = entry_of(draft, self.user)?;
        if entry.secret.is_some() && entry.version == self.version {
            entry.secret = Some(self.secret.clone());
            put(draft, self.user, &entry);
        }
        Ok(())
    }
}
