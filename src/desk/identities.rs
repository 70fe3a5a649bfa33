//! Whose account an identity at a provider is (S10).
//!
//! The provider's name and its `sub` are what an account is known by, never the e-mail address, which can change hands.
//! An identity that is not known yet opens an account in two cases only: where an administrator invited that address and
//! nobody has come by the invitation, or, where the configuration says so, a new account of an allowed domain. An account
//! that has a password, or is an administrator's, is never opened by an address: whoever controls the provider, or a
//! mailbox, would take it over.

use std::collections::BTreeSet;

use super::Decision;
use super::audit::{Told, audit};
use super::people::{NewUser, end_invitation, keep};
use crate::id::UserId;
use crate::store::Found;
use crate::store::draft::Draft;
use crate::store::entry::{
    Actor, ActorKind, EmailEntry, Entry, IdentityEntry, Role, UserEntry, UserStatus, email_key,
    identity_key,
};

/// Why an identity opens no account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotLetIn {
    /// The provider does not say that the e-mail address is theirs.
    NotVerified,
    /// The address is of no allowed domain.
    Domain,
    /// The address has an account that is not opened by an address.
    HasAccount,
    /// Nobody was invited by this address, and nobody comes uninvited.
    Unknown,
    /// The account is closed.
    Disabled,
    /// The account has a second factor here, which no provider can stand for.
    TwoFactor,
}

/// Somebody whom a provider knows wants in.
#[derive(Clone, Debug)]
pub struct Recognise {
    /// The provider.
    pub issuer: String,
    /// Who they are there.
    pub subject: String,
    /// Their e-mail address, where the provider says that it is theirs.
    pub verified_email: Option<String>,
    /// Their name.
    pub name: Option<String>,
    /// The domains of people who may come for the first time; none: those of invited people only.
    pub allowed_domains: Vec<String>,
    /// What people may do who were not invited; `None`: they may not come.
    pub create: Option<Role>,
    /// The address from which they come.
    pub address: Option<String>,
}

impl Decision for Recognise {
    type Answer = Result<UserEntry, NotLetIn>;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<Self::Answer> {
        let key = identity_key(&self.issuer, &self.subject);
        if let Some(known) = draft.entry::<IdentityEntry>(&key)?
            && let Some(user) = draft.entry::<UserEntry>(&known.user.key())?
        {
            return Ok(if user.two_factor {
                Err(NotLetIn::TwoFactor)
            } else if user.status() == UserStatus::Active {
                Ok(user)
            } else {
                // Also one whom an administrator has not let in yet.
                Err(NotLetIn::Disabled)
            });
        }
        let Some(email) = &self.verified_email else {
            return Ok(Err(NotLetIn::NotVerified));
        };
        match draft.entry::<EmailEntry>(&email_key(email))? {
            Some(entry) => self.invited(draft, key, entry.user),
            None => self.added(draft, key, email),
        }
    }
}

impl Recognise {
    /// Somebody who was invited comes for the first time.
    fn invited(
        &self,
        draft: &mut Draft<'_>,
        key: Vec<u8>,
        user: UserId,
    ) -> Found<Result<UserEntry, NotLetIn>> {
        let Some(mut user) = draft.entry::<UserEntry>(&user.key())? else {
            return Ok(Err(NotLetIn::Unknown));
        };
        if user.disabled {
            return Ok(Err(NotLetIn::Disabled));
        }
        let untouched = user.status() == UserStatus::Invited
            && user.role != Role::Admin
            && user.password.is_none()
            && !user.two_factor;
        if !untouched {
            return Ok(Err(NotLetIn::HasAccount));
        }
        end_invitation(draft, &mut user);
        user.joined_at = Some(draft.now());
        user.generation += 1;
        self.link(draft, key, &user, "invited")?;
        Ok(Ok(user))
    }

    /// Somebody comes whom nobody invited.
    fn added(
        &self,
        draft: &mut Draft<'_>,
        key: Vec<u8>,
        email: &str,
    ) -> Found<Result<UserEntry, NotLetIn>> {
        let Some(role) = self.create.filter(|role| *role != Role::Admin) else {
            return Ok(Err(NotLetIn::Unknown));
        };
        if !self.is_allowed(email) {
            return Ok(Err(NotLetIn::Domain));
        }
        let new = NewUser {
            email: email.trim().to_owned(),
            name: self.name.clone().unwrap_or_else(|| email.to_owned()),
            role,
            channels: None,
            password: None,
        };
        let Ok(mut user) = new.add(draft)? else {
            return Ok(Err(NotLetIn::HasAccount));
        };
        user.joined_at = Some(draft.now());
        self.link(draft, key, &user, "added")?;
        Ok(Ok(user))
    }

    fn is_allowed(&self, email: &str) -> bool {
        let domain = email.trim().rsplit_once('@').map(|(_, domain)| domain);
        let domain = domain.unwrap_or_default().to_lowercase();
        let domains: BTreeSet<_> = self
            .allowed_domains
            .iter()
            .map(|one| one.to_lowercase())
            .collect();
        domains.contains(&domain)
    }

    /// From now on the identity opens the account.
    fn link(
        &self,
        draft: &mut Draft<'_>,
        key: Vec<u8>,
        user: &UserEntry,
        how: &'static str,
    ) -> Found<()> {
        keep(draft, user);
        let identity = IdentityEntry {
            user: user.id,
            issuer: self.issuer.clone(),
            subject: self.subject.clone(),
            created_at: draft.now(),
        };
        draft.put(identity.put(key));
        let by = Actor {
            kind: ActorKind::User,
            id: user.id.to_string(),
            name: user.name.clone(),
            address: self.address.clone(),
        };
        let told = Told::of("user.linked")
            .to("user", user.id, user.name.as_str())
            .with("issuer", self.issuer.as_str())
            .with("how", how);
        audit(draft, &by, told)
    }
}
