//! The entries of the people of the shop: who they are, and by what they get in.

use std::collections::BTreeSet;

use deskbell_sdk::Time;
use serde::{Deserialize, Serialize};

use super::Entry;
use crate::id::{SessionId, UserId};
use crate::store::change::Table;

/// What somebody may do, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything.
    Admin,
    /// Read and write.
    Agent,
    /// Read.
    Viewer,
}

/// How somebody stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UserStatus {
    /// May sign in.
    Active,
    /// Was invited and has not come yet.
    Invited,
    /// May not sign in.
    Disabled,
}

/// A person of the shop. Key: the id.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserEntry {
    /// The id.
    pub id: UserId,
    /// The e-mail address, as it was written.
    pub email: String,
    /// The name that others see.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// The slugs of the channels they may see; `None`: all.
    pub channels: Option<BTreeSet<String>>,
    /// The hash of the password in the form of PHC; `None`: no password opens the door.
    pub password: Option<String>,
    /// Whether the door is closed.
    pub disabled: bool,
    /// When they first came: by the link of an invitation, a password, or somebody else's word for who they are.
    pub joined_at: Option<Time>,
    /// Sessions of another number are over.
    pub generation: u64,
    /// The hash of the token of the open invitation.
    #[serde(with = "serde_bytes")]
    pub invitation: Option<Vec<u8>>,
    /// Whether they take conversations.
    pub available: bool,
    /// When they were added.
    pub created_at: Time,
    /// When they were last here, as it is known: some minutes too early.
    pub last_seen_at: Option<Time>,
    /// Whether a password alone does not open the door.
    pub two_factor: bool,
}

impl std::fmt::Debug for UserEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UserEntry")
            .field("id", &self.id)
            .field("role", &self.role)
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}

impl Entry for UserEntry {
    const TABLE: Table = Table::Users;
}

impl UserEntry {
    /// How they stand.
    #[must_use]
    pub const fn status(&self) -> UserStatus {
        if self.disabled {
            UserStatus::Disabled
        } else if self.joined_at.is_none() {
            UserStatus::Invited
        } else {
            UserStatus::Active
        }
    }

    /// Whether they may sign in and do everything.
    #[must_use]
    pub fn is_active_admin(&self) -> bool {
        self.role == Role::Admin && self.status() == UserStatus::Active
    }
}

/// Whose an e-mail address is. Key: [`email_key`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmailEntry {
    /// Whose.
    pub user: UserId,
}

impl Entry for EmailEntry {
    const TABLE: Table = Table::UserEmails;
}

/// The key of an e-mail address: capitals make no other address.
#[must_use]
pub fn email_key(email: &str) -> Vec<u8> {
    email.trim().to_lowercase().into_bytes()
}

/// An open invitation, which is also how a password is set anew. Key: the hash of its token. There is at most one for a
/// person, and it goes when it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvitationEntry {
    /// For whom.
    pub user: UserId,
    /// When it was made.
    pub created_at: Time,
    /// When it ends.
    pub expires_at: Time,
}

impl Entry for InvitationEntry {
    const TABLE: Table = Table::Invitations;
}

/// What people set for themselves, by name.
pub type Preferences = serde_json::Map<String, serde_json::Value>;

/// What a person has set for themselves. Key: the person's id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreferencesEntry {
    /// A JSON object.
    pub json: String,
}

impl PreferencesEntry {
    /// The same after a change, by name; `null` takes one away.
    #[must_use]
    pub fn merged(&self, changes: &Preferences) -> Self {
        let mut all = self.object();
        for (name, value) in changes {
            if value.is_null() {
                all.remove(name);
            } else {
                all.insert(name.clone(), value.clone());
            }
        }
        Self {
            json: serde_json::Value::Object(all).to_string(),
        }
    }

    /// As an object; what cannot be read is an empty one.
    #[must_use]
    pub fn object(&self) -> Preferences {
        serde_json::from_str(&self.json).unwrap_or_default()
    }
}

impl Entry for PreferencesEntry {
    const TABLE: Table = Table::Preferences;
}

/// The key of the setting that says that the first administrator was made; from then on sessions of nobody in particular
/// are over.
pub const SET_UP_KEY: &[u8] = b"set_up";

/// A session of the desk. Key: the hash of the cookie.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionEntry {
    /// Its id.
    pub id: SessionId,
    /// The person; `None` for the administrator's session that the set-up link opened.
    pub user: Option<UserId>,
    /// When it began.
    pub created_at: Time,
    /// When it ends.
    pub expires_at: Time,
    /// The person's [`UserEntry::generation`] when it began: with another one it is over.
    #[serde(default)]
    pub generation: u64,
    /// When it was last used, as it is known: some minutes too early.
    #[serde(default)]
    pub last_seen_at: Option<Time>,
    /// The address from which it began.
    #[serde(default)]
    pub address: Option<String>,
    /// What the browser called itself.
    #[serde(default)]
    pub agent: Option<String>,
}

impl Entry for SessionEntry {
    const TABLE: Table = Table::Sessions;
}
