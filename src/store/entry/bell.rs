//! The entries of the bell.

use deskbell_sdk::Time;
use serde::{Deserialize, Serialize};

use super::Entry;
use crate::id::{ConversationId, DeviceId, MessageId, RingId, UserId};
use crate::store::change::Table;
use crate::store::record::ChannelNo;

/// How a ring stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, utoipa::ToSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RingState {
    /// Nobody has taken it.
    Ringing,
    /// Somebody has taken it.
    Taken,
    /// It ended without being taken.
    Ended,
}

/// Why a ring ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, utoipa::ToSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RingEnd {
    /// An answer was sent.
    Answered,
    /// The conversation was resolved.
    Resolved,
    /// It sleeps.
    Snoozed,
    /// There is nothing to answer any more: the customer took it back, it is spam, or the person was blocked or erased.
    Withdrawn,
}

/// A ring: a customer waits, and this is who was told. Key: [`RingEntry::key`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RingEntry {
    /// Its id.
    pub id: RingId,
    /// The conversation.
    pub conversation: ConversationId,
    /// The message that it began with.
    pub message: MessageId,
    /// The channel.
    pub channel: ChannelNo,
    /// How it stands.
    pub state: RingState,
    /// The step that it came to; the first is 1.
    pub step: u32,
    /// When it began.
    pub started_at: Time,
    /// When the next step is due; `None` where none is.
    pub next_step_at: Option<Time>,
    /// When somebody took it.
    pub taken_at: Option<Time>,
    /// Who: `usr_…` or `tok_…`.
    pub taken_by: Option<String>,
    /// Why it ended, where nobody took it.
    pub ended: Option<RingEnd>,
    /// When it was taken or ended.
    pub ended_at: Option<Time>,
    /// The answer that is on its way: while it is, nothing rings.
    pub silenced_by: Option<MessageId>,
    /// Who has the conversation, and is rung first.
    pub assignee: Option<UserId>,
    /// Who was told, on what, and what came of it, oldest first.
    pub attempts: Vec<Attempt>,
    /// Who is told at this step.
    #[serde(default)]
    pub told: Vec<UserId>,
}

impl Entry for RingEntry {
    const TABLE: Table = Table::Rings;
}

impl RingEntry {
    /// The key: newer ones first.
    #[must_use]
    pub fn key(id: RingId) -> Vec<u8> {
        (!id.0).to_be_bytes().to_vec()
    }

    /// Whether devices are to sound.
    #[must_use]
    pub const fn sounds(&self) -> bool {
        matches!(self.state, RingState::Ringing) && self.silenced_by.is_none()
    }
}

/// What came of telling a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, utoipa::ToSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptResult {
    /// It was handed over; the device has not said that it showed it.
    Sent,
    /// The device showed it.
    Shown,
    /// It could not be handed over.
    Failed,
    /// The device is gone for good.
    Expired,
}

/// Somebody was told on a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// When.
    pub at: Time,
    /// Who; `None` for what is nobody's, as a hook.
    pub user: Option<UserId>,
    /// What kind of device.
    pub device: String,
    /// Which.
    pub device_id: Option<DeviceId>,
    /// What came of it.
    pub result: AttemptResult,
    /// The reason in words where it failed.
    pub detail: Option<String>,
}

/// A ring that has not ended. Key: its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenRing {
    /// When its next step is due.
    pub due_at: Option<Time>,
}

impl Entry for OpenRing {
    const TABLE: Table = Table::OpenRings;
}
