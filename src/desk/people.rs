//! The people of the shop: who they are, how they get in, and what ends it.
//!
//! A person's sessions carry the [`UserEntry::generation`] at which they began. To raise it ends them all in one step,
//! however many there are (S04). Role and channels are read anew with every request, so that changing them ends nothing.

use std::collections::BTreeSet;

use deskbell_sdk::Time;

use super::Decision;
use crate::id::{SessionId, UserId};
use crate::store::Found;
use crate::store::draft::Draft;
use crate::store::entry::{
    EmailEntry, Entry, InvitationEntry, Preferences, PreferencesEntry, Role, SET_UP_KEY,
    SessionEntry, SettingEntry, TokenEntry, UserEntry, UserStatus, email_key,
};

/// Why a change of people is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is no such person.
    Unknown,
    /// Another person has the e-mail address.
    EmailTaken,
    /// Nobody would be left who may do everything.
    LastAdmin,
    /// An administrator sees all channels.
    AdminSeesAll,
    /// The person may not sign in.
    Disabled,
    /// There is an administrator already.
    AlreadySetUp,
    /// What the request was based on has changed since.
    Changed,
}

/// A link that is to be made.
#[derive(Clone)]
pub struct NewLink {
    /// The hash of its token.
    pub hash: Vec<u8>,
    /// How long it works, in milliseconds.
    pub works_for_ms: i64,
}

/// A person who is to be added.
#[derive(Clone)]
pub struct NewUser {
    /// The e-mail address.
    pub email: String,
    /// The name.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// The slugs of the channels they may see; `None`: all.
    pub channels: Option<BTreeSet<String>>,
    /// The hash of the password.
    pub password: Option<String>,
}

impl NewUser {
    pub(super) fn add(&self, draft: &mut Draft<'_>) -> Found<Result<UserEntry, Refused>> {
        if self.role == Role::Admin && self.channels.is_some() {
            return Ok(Err(Refused::AdminSeesAll));
        }
        let key = email_key(&self.email);
        if draft.entry::<EmailEntry>(&key)?.is_some() {
            return Ok(Err(Refused::EmailTaken));
        }
        let (id, now) = (UserId(draft.new_id()), draft.now());
        draft.put(EmailEntry { user: id }.put(key));
        let user = UserEntry {
            id,
            email: self.email.clone(),
            name: self.name.clone(),
            role: self.role,
            channels: self.channels.clone(),
            password: self.password.clone(),
            disabled: false,
            joined_at: self.password.is_some().then_some(now),
            generation: 1,
            invitation: None,
            available: true,
            created_at: now,
            last_seen_at: None,
            two_factor: false,
        };
        keep(draft, &user);
        Ok(Ok(user))
    }
}

/// Writes a person.
pub(super) fn keep(draft: &mut Draft<'_>, user: &UserEntry) {
    draft.put(user.put(user.id.key().to_vec()));
}

/// Ends the open invitation of a person.
pub(super) fn end_invitation(draft: &mut Draft<'_>, user: &mut UserEntry) {
    if let Some(hash) = user.invitation.take() {
        draft.put(InvitationEntry::remove(hash));
    }
}

/// Makes a link for a person; an older one is dead.
fn make_link(draft: &mut Draft<'_>, user: &mut UserEntry, link: &NewLink) -> InvitationEntry {
    end_invitation(draft, user);
    let invitation = InvitationEntry {
        user: user.id,
        created_at: draft.now(),
        expires_at: draft.now().plus_millis(link.works_for_ms),
    };
    draft.put(invitation.put(link.hash.clone()));
    user.invitation = Some(link.hash.clone());
    invitation
}

/// Whether somebody but `except` may sign in and do everything.
fn has_other_admin(draft: &Draft<'_>, except: UserId) -> Found<bool> {
    let all = draft.all::<UserEntry>()?;
    Ok(all
        .iter()
        .any(|(_, user)| user.id != except && user.is_active_admin()))
}

/// Adds a person, with a link where there is no password.
#[derive(Clone)]
pub struct AddUser {
    /// Who.
    pub user: NewUser,
    /// The link.
    pub link: Option<NewLink>,
}

impl Decision for AddUser {
    type Answer = Result<(UserEntry, Option<InvitationEntry>), Refused>;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<Self::Answer> {
        let mut user = match self.user.add(draft)? {
            Ok(user) => user,
            Err(refused) => return Ok(Err(refused)),
        };
        let Some(link) = &self.link else {
            return Ok(Ok((user, None)));
        };
        let invitation = make_link(draft, &mut user, link);
        keep(draft, &user);
        Ok(Ok((user, Some(invitation))))
    }
}

/// Makes the first administrator, while there is none. Of many at once one is made (S12).
#[derive(Clone)]
pub struct SetUp {
    /// Who; the role is not looked at.
    pub user: NewUser,
}

impl Decision for SetUp {
    type Answer = Result<UserEntry, Refused>;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<Self::Answer> {
        if has_other_admin(draft, UserId(0))? {
            return Ok(Err(Refused::AlreadySetUp));
        }
        let user = NewUser {
            role: Role::Admin,
            channels: None,
            ..self.user.clone()
        };
        let added = user.add(draft)?;
        if added.is_ok() {
            let done = SettingEntry {
                value: "done".to_owned(),
            };
            draft.put(done.put(SET_UP_KEY.to_vec()));
        }
        Ok(added)
    }
}

/// Changes a person. What is `None` stays.
#[derive(Clone)]
pub struct ChangeUser {
    /// Who.
    pub id: UserId,
    /// The name.
    pub name: Option<String>,
    /// The e-mail address. An open invitation is dead with the old one.
    pub email: Option<String>,
    /// What they may do.
    pub role: Option<Role>,
    /// What they may see; `Some(None)`: all.
    pub channels: Option<Option<BTreeSet<String>>>,
    /// Whether the door is closed; closing ends all sessions.
    pub disabled: Option<bool>,
    /// The hash of a new password; it ends all sessions.
    pub password: Option<String>,
    /// Whether they take conversations.
    pub available: Option<bool>,
}

impl ChangeUser {
    /// Of this person nothing.
    #[must_use]
    pub const fn of(id: UserId) -> Self {
        Self {
            id,
            name: None,
            email: None,
            role: None,
            channels: None,
            disabled: None,
            password: None,
            available: None,
        }
    }

    fn apply(&self, draft: &mut Draft<'_>, user: &mut UserEntry) -> Found<Result<(), Refused>> {
        if let Some(email) = &self.email {
            let (old, new) = (email_key(&user.email), email_key(email));
            if old != new {
                if draft.entry::<EmailEntry>(&new)?.is_some() {
                    return Ok(Err(Refused::EmailTaken));
                }
                draft.put(EmailEntry::remove(old));
                draft.put(EmailEntry { user: user.id }.put(new));
                end_invitation(draft, user);
            }
            user.email.clone_from(email);
        }
        if let Some(name) = &self.name {
            user.name.clone_from(name);
        }
        if let Some(available) = self.available {
            user.available = available;
        }
        if let Some(channels) = &self.channels {
            user.channels.clone_from(channels);
        }
        if let Some(role) = self.role {
            user.role = role;
            if role == Role::Admin && self.channels.is_none() {
                user.channels = None;
            }
        }
        if let Some(password) = &self.password {
            user.password = Some(password.clone());
            user.joined_at = user.joined_at.or(Some(draft.now()));
            user.generation += 1;
            end_invitation(draft, user);
        }
        if let Some(disabled) = self.disabled {
            if disabled && !user.disabled {
                user.generation += 1;
                end_invitation(draft, user);
            }
            user.disabled = disabled;
        }
        Ok(Ok(()))
    }
}

impl Decision for ChangeUser {
    type Answer = Result<UserEntry, Refused>;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<Self::Answer> {
        let Some(before) = draft.entry::<UserEntry>(&self.id.key())? else {
            return Ok(Err(Refused::Unknown));
        };
        // Everything that is refused is refused before anything is written.
        let (role, channels) = (
            self.role.unwrap_or(before.role),
            self.channels.clone().unwrap_or_default(),
        );
        if role == Role::Admin && channels.is_some() {
            return Ok(Err(Refused::AdminSeesAll));
        }
        let stays_admin = role == Role::Admin && !self.disabled.unwrap_or(before.disabled);
        if before.is_active_admin() && !stays_admin && !has_other_admin(draft, self.id)? {
            return Ok(Err(Refused::LastAdmin));
        }
        let mut user = before;
        if let Err(refused) = self.apply(draft, &mut user)? {
            return Ok(Err(refused));
        }
        keep(draft, &user);
        Ok(Ok(user))
    }
}

/// Makes a link for somebody who is here: a new invitation, or a way to a new password.
#[derive(Clone)]
pub struct Invite {
    /// For whom.
    pub id: UserId,
    /// It.
    pub link: NewLink,
}

impl Decision for Invite {
    type Answer = Result<InvitationEntry, Refused>;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<Self::Answer> {
        let Some(mut user) = draft.entry::<UserEntry>(&self.id.key())? else {
            return Ok(Err(Refused::Unknown));
        };
        if user.disabled {
            return Ok(Err(Refused::Disabled));
        }
        let invitation = make_link(draft, &mut user, &self.link);
        keep(draft, &user);
        Ok(Ok(invitation))
    }
}

/// Uses an invitation up: gives the account its name and password, and ends what was open. Of many at once one gets
/// through (S07).
#[derive(Clone)]
pub struct Accept {
    /// The hash of the link's token.
    pub hash: Vec<u8>,
    /// The name; `None`: as it was.
    pub name: Option<String>,
    /// The hash of the password.
    pub password: String,
}

impl Decision for Accept {
    /// `None`: there is no such invitation, or no longer.
    type Answer = Option<UserEntry>;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<Self::Answer> {
        let Some(mut user) = invited(
            |key| draft.entry(key),
            |key| draft.entry(key),
            draft.now(),
            &self.hash,
        )?
        else {
            return Ok(None);
        };
        end_invitation(draft, &mut user);
        // Also where the account names another: a link that was used is dead.
        draft.put(InvitationEntry::remove(self.hash.clone()));
        if let Some(name) = &self.name {
            user.name.clone_from(name);
        }
        user.password = Some(self.password.clone());
        user.joined_at = user.joined_at.or(Some(draft.now()));
        user.generation += 1;
        keep(draft, &user);
        Ok(Some(user))
    }
}

/// Whom a link is for, while it works.
///
/// # Errors
/// The store cannot be read.
pub fn invited(
    invitation: impl FnOnce(&[u8]) -> Found<Option<InvitationEntry>>,
    user: impl FnOnce(&[u8]) -> Found<Option<UserEntry>>,
    now: Time,
    hash: &[u8],
) -> Found<Option<UserEntry>> {
    let Some(invitation) = invitation(hash)?.filter(|invitation| now < invitation.expires_at)
    else {
        return Ok(None);
    };
    Ok(user(&invitation.user.key())?.filter(|user| !user.disabled))
}

/// Begins a session of a person, in which they are as they were when the request looked.
#[derive(Clone)]
pub struct BeginUserSession {
    /// The hash of the cookie.
    pub hash: Vec<u8>,
    /// The person.
    pub user: UserId,
    /// Their generation when the password was checked: what changed it since ends this as well.
    pub generation: u64,
    /// How long it works, in milliseconds.
    pub works_for_ms: i64,
    /// The address from which it begins.
    pub address: Option<String>,
    /// What the browser calls itself.
    pub agent: Option<String>,
    /// The key of the session that it takes the place of.
    pub instead_of: Option<Vec<u8>>,
}

impl Decision for BeginUserSession {
    type Answer = Result<SessionEntry, Refused>;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<Self::Answer> {
        let Some(mut user) = draft.entry::<UserEntry>(&self.user.key())? else {
            return Ok(Err(Refused::Unknown));
        };
        if user.status() != UserStatus::Active {
            return Ok(Err(Refused::Disabled));
        }
        if user.generation != self.generation {
            return Ok(Err(Refused::Changed));
        }
        if let Some(old) = &self.instead_of {
            draft.put(SessionEntry::remove(old.clone()));
        }
        let now = draft.now();
        let session = SessionEntry {
            id: SessionId(draft.new_id()),
            user: Some(self.user),
            created_at: now,
            expires_at: now.plus_millis(self.works_for_ms),
            generation: user.generation,
            last_seen_at: Some(now),
            address: self.address.clone(),
            agent: self.agent.clone(),
        };
        draft.put(session.put(self.hash.clone()));
        user.last_seen_at = Some(now);
        keep(draft, &user);
        Ok(Ok(session))
    }
}

/// Ends all sessions of a person but one, and changes the password where there is a new one.
#[derive(Clone)]
pub struct EndSessions {
    /// Whose.
    pub user: UserId,
    /// Their generation when the request looked, where that matters.
    pub generation: Option<u64>,
    /// The hash of a new password.
    pub password: Option<String>,
    /// The key of the session that goes on.
    pub except: Option<Vec<u8>>,
}

impl Decision for EndSessions {
    type Answer = Result<UserEntry, Refused>;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<Self::Answer> {
        let Some(mut user) = draft.entry::<UserEntry>(&self.user.key())? else {
            return Ok(Err(Refused::Unknown));
        };
        if self.generation.is_some_and(|then| then != user.generation) {
            return Ok(Err(Refused::Changed));
        }
        let before = user.generation;
        user.generation += 1;
        if let Some(password) = &self.password {
            user.password = Some(password.clone());
            end_invitation(draft, &mut user);
        }
        if let Some(key) = &self.except
            && let Some(session) = draft.entry::<SessionEntry>(key)?
            && session.user == Some(self.user)
            && session.generation == before
        {
            let goes_on = SessionEntry {
                generation: user.generation,
                ..session
            };
            draft.put(goes_on.put(key.clone()));
        }
        keep(draft, &user);
        Ok(Ok(user))
    }
}

/// Notes that a session was used just now.
#[derive(Clone)]
pub struct SessionSeen {
    /// Its key.
    pub key: Vec<u8>,
}

impl Decision for SessionSeen {
    type Answer = ();

    fn decide(&self, draft: &mut Draft<'_>) -> Found<()> {
        let now = draft.now();
        let Some(session) = draft.entry::<SessionEntry>(&self.key)? else {
            return Ok(());
        };
        let user = match session.user {
            Some(id) => draft.entry::<UserEntry>(&id.key())?,
            None => None,
        };
        let seen = SessionEntry {
            last_seen_at: Some(now),
            ..session
        };
        draft.put(seen.put(self.key.clone()));
        if let Some(user) = user {
            let seen = UserEntry {
                last_seen_at: Some(now),
                ..user
            };
            keep(draft, &seen);
        }
        Ok(())
    }
}

/// Notes that an API token was used just now.
#[derive(Clone)]
pub struct TokenSeen {
    /// Its key.
    pub key: Vec<u8>,
}

impl Decision for TokenSeen {
    type Answer = ();

    fn decide(&self, draft: &mut Draft<'_>) -> Found<()> {
        if let Some(token) = draft.entry::<TokenEntry>(&self.key)? {
            let seen = TokenEntry {
                last_used_at: Some(draft.now()),
                ..token
            };
            draft.put(seen.put(self.key.clone()));
        }
        Ok(())
    }
}

/// The most bytes of what a person has set, as JSON.
pub const MAX_PREFERENCES_BYTES: usize = 16 * 1024;

/// Changes what a person has set for themselves: each key is replaced, and `null` removes it.
#[derive(Clone, Debug)]
pub struct ChangePreferences {
    /// Whose.
    pub user: UserId,
    /// What.
    pub changes: Preferences,
}

impl Decision for ChangePreferences {
    /// `false`: it would be more than [`MAX_PREFERENCES_BYTES`]; nothing was changed.
    type Answer = bool;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<bool> {
        let key = self.user.key();
        let before = draft.entry::<PreferencesEntry>(&key)?;
        let after = before.unwrap_or_default().merged(&self.changes);
        if after.json.len() > MAX_PREFERENCES_BYTES {
            return Ok(false);
        }
        draft.put(after.put(key.to_vec()));
        Ok(true)
    }

    fn weight(&self) -> usize {
        1024 + 2 * MAX_PREFERENCES_BYTES
    }
}
