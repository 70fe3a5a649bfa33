//! What a store tells of its upkeep: snapshots, the scrub, what was forgotten.

use std::path::PathBuf;

use deskbell_sdk::Time;

/// A snapshot: all that the desk held after one durable step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotInfo {
    /// Where its file is.
    pub path: PathBuf,
    /// The number of the last durable step that is in it.
    pub frame: u64,
    /// The number of the last event that is in it.
    pub seq: u64,
    /// The highest id given until then.
    pub last_id: u64,
    /// Rows in it.
    pub rows: u64,
    /// Bytes of its file.
    pub bytes: u64,
    /// When it was made.
    pub created_at: Time,
}

/// How the upkeep stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpkeepState {
    /// The newest snapshot; `None` where there is none, or the engine makes none.
    pub snapshot: Option<SnapshotInfo>,
    /// Bytes of the log that a start which believes nothing else would read behind it.
    pub log_bytes_behind: u64,
    /// When the oldest part of the log that no snapshot holds was begun; `None` where nothing was written since.
    pub unsaved_since: Option<Time>,
    /// The last scrub that came to its end in this run.
    pub scrub: Option<ScrubReport>,
}

/// What a scrub found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScrubReport {
    /// When it ended.
    pub ended_at: Time,
    /// Rows that were compared.
    pub rows: u64,
    /// Rows that the tables miss.
    pub missing: u64,
    /// Rows of the tables that should not be there.
    pub foreign: u64,
    /// Rows that say something else than the log.
    pub other: u64,
    /// Whether the tables were made again because of it.
    pub healed: bool,
}

impl ScrubReport {
    /// Rows that differed.
    #[must_use]
    pub const fn differed(&self) -> u64 {
        self.missing + self.foreign + self.other
    }
}

/// What was forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Durable steps of the log of which something was taken out.
    pub steps: u64,
    /// Events that were taken out.
    pub events: u64,
    /// Entries of side tables that were taken out.
    pub puts: u64,
    /// Deliveries that were taken out.
    pub deliveries: u64,
}
