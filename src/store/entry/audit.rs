//! The audit log: who did what to access, people, channels and history. Entries are only added, and each holds the hash
//! of all before it (T10).

use deskbell_sdk::Time;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Entry;
use crate::id::AuditId;
use crate::store::Found;
use crate::store::change::Table;

/// Who did something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// What they are.
    pub kind: ActorKind,
    /// `usr_…`, `tok_…`, `ses_…`, or a word for those of the configuration, of this machine and the daemon itself.
    pub id: String,
    /// The name that people see.
    pub name: String,
    /// The address that they came from.
    pub address: Option<String>,
}

impl Actor {
    /// The daemon itself.
    #[must_use]
    pub fn system() -> Self {
        Self {
            kind: ActorKind::System,
            id: "system".to_owned(),
            name: "Deskbell".to_owned(),
            address: None,
        }
    }
}

/// What somebody is who did something.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ActorKind {
    /// A person of the shop.
    User,
    /// A program with an API token.
    Token,
    /// The token of the configuration.
    Bootstrap,
    /// A command on the daemon's own machine.
    Local,
    /// Who came by the set-up link.
    SetUp,
    /// The daemon itself.
    System,
    /// Somebody who is not signed in.
    Stranger,
}

/// What something was done to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditTarget {
    /// What it is: `user`, `token`, `channel` …
    pub kind: String,
    /// Its id.
    pub id: String,
    /// Its name at that time.
    pub name: String,
}

impl AuditTarget {
    /// A thing.
    #[must_use]
    pub fn new(kind: &str, id: impl ToString, name: impl Into<String>) -> Self {
        Self {
            kind: kind.to_owned(),
            id: id.to_string(),
            name: name.into(),
        }
    }
}

/// A value of a detail.
pub type AuditValue = serde_json::Value;

/// What else is to be known of something that was done: no secret, and nothing of customers, who can be erased.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditDetail(serde_json::Map<String, AuditValue>);

impl AuditDetail {
    /// Adds a value.
    pub fn set(&mut self, key: &str, value: impl Into<AuditValue>) {
        self.0.insert(key.to_owned(), value.into());
    }

    /// As a JSON object.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(&self.0).unwrap_or_default()
    }
}

/// What an entry of the audit log says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRecord {
    /// Its place in the log: 1, 2, 3 …
    pub number: u64,
    /// Its id.
    pub id: AuditId,
    /// When it was done.
    pub at: Time,
    /// Who did it.
    pub actor: Actor,
    /// What was done: `token.created` …
    pub action: String,
    /// To what.
    pub target: Option<AuditTarget>,
    /// What else is to be known: a JSON object. It holds no secret and nothing of customers.
    pub detail: String,
}

impl AuditRecord {
    /// Reads the bytes of an entry.
    pub fn from_bytes(bytes: &[u8]) -> Found<Self> {
        rmp_serde::from_slice(bytes).map_err(|error| {
            crate::store::StoreError::Unreadable(format!("an entry of the audit log: {error}"))
        })
    }

    /// Its canonical bytes, which are hashed and kept as they are.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        #[expect(
            clippy::expect_used,
            reason = "entries are plain data, which MessagePack always takes"
        )]
        let bytes = rmp_serde::to_vec(self).expect("plain data");
        bytes
    }
}

/// An entry of the audit log as it is kept. Key: [`AuditEntry::key`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// The link of the chain: SHA-256 of the link before it and of `record`.
    #[serde(with = "serde_bytes")]
    pub link: Vec<u8>,
    /// The bytes of an [`AuditRecord`].
    #[serde(with = "serde_bytes")]
    pub record: Vec<u8>,
}

impl Entry for AuditEntry {
    const TABLE: Table = Table::Audit;
}

impl AuditEntry {
    /// The link of an entry behind another.
    #[must_use]
    pub fn link_of(before: &[u8], record: &[u8]) -> Vec<u8> {
        Sha256::new()
            .chain_update(before)
            .chain_update(record)
            .finalize()
            .to_vec()
    }

    /// The key: scans run from the newest to the oldest.
    #[must_use]
    pub fn key(number: u64) -> Vec<u8> {
        (u64::MAX - number).to_be_bytes().to_vec()
    }
}

/// Where the audit log ends. Key: [`AuditHead::KEY`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditHead {
    /// How many entries there are.
    pub entries: u64,
    /// The link of the newest; 32 zeros before the first.
    #[serde(with = "serde_bytes")]
    pub link: Vec<u8>,
}

impl Entry for AuditHead {
    const TABLE: Table = Table::AuditHead;
}

impl AuditHead {
    /// The only key.
    pub const KEY: &'static [u8] = b"head";

    /// The head of an empty log.
    #[must_use]
    pub fn empty() -> Self {
        Self {
            entries: 0,
            link: vec![0; 32],
        }
    }
}
