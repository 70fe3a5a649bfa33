//! The entries of the bell.

use deskbell_sdk::Time;
use serde::{Deserialize, Serialize};

use super::Entry;
use crate::id::{ConversationId, DeviceId, MessageId, RingId, UserId};
use crate::store::Scope;
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
    /// The conversation; an alarm has none.
    pub conversation: Option<ConversationId>,
    /// The message that it began with; an alarm has none.
    pub message: Option<MessageId>,
    /// The channel; `None`: an alarm of the whole desk.
    pub channel: Option<ChannelNo>,
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
    /// Until when it waits for its channel to open, while it is [`RingEntry::is_held`]; afterwards since when it climbs.
    #[serde(default)]
    pub held_until: Option<Time>,
    /// What is wrong, where it is an alarm.
    #[serde(default)]
    pub alarm: Option<Alarm>,
    /// Who is told at this step.
    #[serde(default)]
    pub told: Vec<UserId>,
}

/// What kind of thing is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, utoipa::ToSchema, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[schema(as = AlarmKind)]
pub enum AlarmKind {
    /// Nobody is there who could be rung.
    Nobody,
    /// A channel does not work.
    Channel,
    /// A platform did not deliver messages, which were found by catching up.
    Undelivered,
    /// Nothing comes in a channel in which something usually comes at this hour.
    Silence,
    /// The disk is nearly full.
    Disk,
    /// Something in the daemon does not keep up.
    Lag,
    /// A certificate ends soon.
    Certificate,
    /// A device of somebody's does not ring.
    Device,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    /// What tells it apart: there is one open alarm of each cause.
    pub cause: String,
    /// What kind of thing it is.
    pub kind: AlarmKind,
    /// It in a few words.
    pub title: String,
    /// What was found and what to do.
    pub detail: String,
}

/// The alarm of a cause that stands. Key: the cause. It is there until the cause is gone, also when somebody has taken
/// the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlarmEntry {
    /// Its newest ring.
    pub ring: RingId,
}

impl Entry for AlarmEntry {
    const TABLE: Table = Table::Alarms;
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
        matches!(self.state, RingState::Ringing) && self.silenced_by.is_none() && !self.is_held()
    }

    /// Whether it waits for its channel to open: nobody is told of it yet.
    #[must_use]
    pub const fn is_held(&self) -> bool {
        matches!(self.state, RingState::Ringing) && self.step == 0
    }

    /// Since when it climbs.
    #[must_use]
    pub fn climbs_from(&self) -> Time {
        self.held_until.unwrap_or(self.started_at)
    }

    /// Whether somebody who may see this may see the ring: an alarm of the whole desk is for those who see all of it.
    #[must_use]
    pub fn is_seen_by(&self, scope: &Scope) -> bool {
        match self.channel {
            Some(channel) => scope.allows(channel),
            None => scope.channels().is_none(),
        }
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
    /// At which step of the ring; `None` where that is not known, as of what was told by an older version.
    #[serde(default)]
    pub step: Option<u32>,
}

/// A ring that has not ended. Key: its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenRing {
    /// When its next step is due.
    pub due_at: Option<Time>,
    /// The channel that it waits for to open.
    #[serde(default)]
    pub held_for: Option<ChannelNo>,
}

impl From<&RingEntry> for OpenRing {
    fn from(ring: &RingEntry) -> Self {
        let goes_on = ring.state == RingState::Ringing && ring.silenced_by.is_none();
        Self {
            due_at: ring.next_step_at.filter(|_| goes_on),
            held_for: ring.channel.filter(|_| goes_on && ring.is_held()),
        }
    }
}

impl Entry for OpenRing {
    const TABLE: Table = Table::OpenRings;
}
