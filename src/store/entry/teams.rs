//! Teams: people who share conversations.

use std::collections::BTreeSet;

use deskbell_sdk::Time;
use serde::{Deserialize, Serialize};

use super::Entry;
use crate::id::{TeamId, UserId};
use crate::store::change::Table;

/// A team. Key: its id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TeamEntry {
    /// Its id.
    pub id: TeamId,
    /// Its name: no other team has it, whatever the case.
    pub name: String,
    /// Who is in it.
    pub members: BTreeSet<UserId>,
    /// When it was made.
    pub created_at: Time,
    /// When it was dissolved: it is shown no more, and goes once no conversation is its any more.
    #[serde(default)]
    pub dissolved_at: Option<Time>,
}

impl Entry for TeamEntry {
    const TABLE: Table = Table::Teams;
}
