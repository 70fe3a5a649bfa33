//! The entry of what was learned of when something comes in a channel.

use deskbell_sdk::Time;
use serde::{Deserialize, Serialize};

use super::Entry;
use crate::store::Table;

/// When something came in a channel in the last weeks. Key: the channel's number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RhythmEntry {
    /// Up to which event of the log it was learned from.
    pub position: u64,
    /// The hour that it has come to, in hours since 1970.
    pub hour: i64,
    /// Since which hour it was learned without a gap.
    pub since_hour: i64,
    /// In how many minutes of each hour of four weeks something came, by the hour's number modulo four weeks.
    #[serde(with = "serde_bytes")]
    pub minutes: Vec<u8>,
    /// The minute that was counted last, in minutes since 1970.
    pub last_minute: i64,
    /// When something last came.
    pub last_at: Option<Time>,
}

impl Entry for RhythmEntry {
    const TABLE: Table = Table::Rhythms;
}
