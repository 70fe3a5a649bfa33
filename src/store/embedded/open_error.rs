//! Why a store does not open.

use std::io;

/// Why a store does not open. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another daemon has it.
    #[error("the data directory is in use: another Deskbell runs on it; stop that one first")]
    InUse,
    /// A newer daemon wrote it.
    #[error(
        "made by a newer Deskbell (format {found}); this one knows {known}: run the newer version"
    )]
    Newer {
        /// The format found.
        found: u32,
        /// The format that this daemon knows.
        known: u32,
    },
    /// There is something else.
    #[error(
        "this is no data directory of Deskbell's ({0}): name an empty directory, or the right one"
    )]
    Foreign(String),
    /// It is Deskbell's, and what cannot be made again is missing.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// There is no room, or no right, to begin a new store.
    #[error("the store cannot be begun: {0}")]
    NotBegun(String),
    /// The disk refused.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// The system's answer.
        source: io::Error,
    },
}

/// Says what was tried when the disk refused.
pub(super) trait Trying<T> {
    /// Turns the system's answer into an [`OpenError`].
    fn trying(self, what: &'static str) -> Result<T, OpenError>;
}

impl<T> Trying<T> for io::Result<T> {
    fn trying(self, what: &'static str) -> Result<T, OpenError> {
        self.map_err(|source| OpenError::Io { what, source })
    }
}
