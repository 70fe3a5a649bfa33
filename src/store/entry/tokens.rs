//! The entries of API tokens.

use std::collections::BTreeSet;

use deskbell_sdk::Time;
use serde::{Deserialize, Serialize};

use super::Entry;
use crate::id::{DeviceId, TokenId, UserId};
use crate::store::change::Table;

/// What a token may do.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Right {
    /// Read the feed, conversations, contacts, channels, attachments and events.
    Read,
    /// Answer, assign, label, mark as read, upload.
    Write,
    /// Everything: tokens, channels, what could not be understood.
    Admin,
}

/// An API token. Key: [`secret_hash`] of the token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenEntry {
    /// Its id.
    pub id: TokenId,
    /// What it is for.
    pub name: String,
    /// What it may do.
    pub scopes: BTreeSet<Right>,
    /// The slugs of the channels it may see; `None`: all.
    pub channels: Option<BTreeSet<String>>,
    /// When it was made.
    pub created_at: Time,
    /// When it ends.
    pub expires_at: Option<Time>,
    /// When it was last used, as it is known: at most an hour too early.
    #[serde(default)]
    pub last_used_at: Option<Time>,
    /// The device whose token it is, and whose device: it acts as that person, whatever the other fields say.
    #[serde(default)]
    pub device: Option<(UserId, DeviceId)>,
}

impl Entry for TokenEntry {
    const TABLE: Table = Table::Tokens;
}
