//! By what somebody gets in beside a password: a second factor, and identities at providers.

use std::collections::BTreeSet;

use deskbell_sdk::Time;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use sha2::{Digest, Sha256};

use super::{Entry, SealedValue};
use crate::id::UserId;
use crate::store::change::Table;

/// The second factor of a person. Key: the person's id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TwoFactorEntry {
    /// The secret of the authenticator that is in use; `None`: none is.
    pub secret: Option<SealedValue>,
    /// The last step of which a code was used: none of it or of an earlier one is taken again.
    pub last_step: u64,
    /// The hashes of the recovery codes that were not used.
    pub recovery: BTreeSet<ByteBuf>,
    /// The secret of an authenticator that is being set up.
    pub pending: Option<SealedValue>,
    /// When it was begun to set that up.
    pub pending_since: Option<Time>,
    /// Another number with each secret: what was checked against an older one is not taken.
    pub version: u64,
}

impl TwoFactorEntry {
    /// Nothing yet.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            secret: None,
            last_step: 0,
            recovery: BTreeSet::new(),
            pending: None,
            pending_since: None,
            version: 0,
        }
    }
}

impl Entry for TwoFactorEntry {
    const TABLE: Table = Table::TwoFactors;
}

/// Who somebody is at a provider of identities. Key: [`identity_key`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityEntry {
    /// The person.
    pub user: UserId,
    /// The provider.
    pub issuer: String,
    /// Who they are there.
    pub subject: String,
    /// Since when.
    pub created_at: Time,
}

impl Entry for IdentityEntry {
    const TABLE: Table = Table::OidcIdentities;
}

/// The key of an identity at a provider.
#[must_use]
pub fn identity_key(issuer: &str, subject: &str) -> Vec<u8> {
    let mut digest = Sha256::new();
    for part in [issuer, subject] {
        // Lengths between the parts: no two identities meet by where their parts end.
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part.as_bytes());
    }
    digest.finalize().to_vec()
}
