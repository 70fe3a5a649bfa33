//! Backups: everything that a daemon keeps, in one file, taken while it runs; and back into an empty data directory.
//!
//! A backup is a tar archive, so that what is in it can be looked at without Deskbell:
//!
//! | entry | what |
//! | --- | --- |
//! | `deskbell-backup.json` | [`Manifest`], first |
//! | `snapshot` | the messages, conversations, contacts and the daemon's own entries, in the store's own format |
//! | `attachments/<SHA-256>` | each file, named by its content |
//! | `end.json` | [`End`], last: without it the backup was cut |

mod check;
mod restore;
mod write;

use deskbell_sdk::Time;
use serde::{Deserialize, Serialize};

pub use check::{Checked, check};
pub use restore::{Kept, restore};
pub use write::write;

/// The version of the format.
pub const VERSION: u32 = 1;
/// The largest of the two small entries, in bytes.
const MAX_SMALL_BYTES: u64 = 64 * 1024;

const MANIFEST: &str = "deskbell-backup.json";
const SNAPSHOT: &str = "snapshot";
const ATTACHMENTS: &str = "attachments/";
const END: &str = "end.json";

/// What a backup is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`VERSION`].
    pub version: u32,
    /// The Deskbell that wrote it.
    pub daemon: String,
    /// When it was begun: what was acknowledged before is in it.
    pub made_at: Time,
    /// The number of the last event in it.
    pub seq: u64,
    /// Bytes of the snapshot.
    pub snapshot_bytes: u64,
}

/// What a whole backup ends with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// SHA-256 of the snapshot, in hex.
    pub snapshot_sha256: String,
    /// How many files there are.
    pub attachments: u64,
    /// Their bytes.
    pub attachment_bytes: u64,
}

/// Why a backup cannot be written, read or restored, in words that say what to do.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// It is no backup.
    #[error("this is no backup of Deskbell: {0}")]
    Foreign(String),
    /// A newer Deskbell wrote it.
    #[error("a newer Deskbell ({0}) wrote this backup: restore it with that one")]
    Newer(String),
    /// It was cut or changed.
    #[error("the backup is damaged: {0}; take another one")]
    Damaged(String),
    /// The place is taken.
    #[error("{0}")]
    NotEmpty(String),
    /// The disk or the line refuses.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The store refuses.
    #[error("{0}")]
    Store(String),
}

/// Adds what was tried to an error of the disk.
trait Trying<T> {
    fn trying(self, what: &str) -> Result<T, BackupError>;
}

impl<T> Trying<T> for std::io::Result<T> {
    fn trying(self, what: &str) -> Result<T, BackupError> {
        self.map_err(|source| BackupError::Io {
            what: what.to_owned(),
            source,
        })
    }
}

#[cfg(test)]
mod tests;
