//! A ring as the API shows it.

use deskbell_sdk::Time;
use serde::Serialize;
use utoipa::ToSchema;

use super::View;
use crate::id::{ConversationId, DeviceId, MessageId, RingId, UserId};
use crate::store::entry::{AlarmKind, Attempt, AttemptResult, RingEnd, RingEntry, RingState};

/// A ring: a customer waits, or something is wrong, and this is who was told.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Ring {
    /// `rng_…`
    #[schema(value_type = String)]
    pub id: RingId,
    /// `cnv_…`; an alarm has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub conversation_id: Option<ConversationId>,
    /// The message that it began with; an alarm has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub message_id: Option<MessageId>,
    /// The channel's slug; an alarm of the whole desk has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel_id: Option<String>,
    /// How it stands.
    pub state: RingState,
    /// The step that it came to; the first is 1, and the last one repeats. 0 while it waits for its channel to open.
    pub step: u32,
    /// When it began.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Time,
    /// When it climbs next; `null` where it has ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub next_step_at: Option<Time>,
    /// When somebody took it.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub taken_at: Option<Time>,
    /// Who took it: `usr_…` or `tok_…`.
    pub taken_by: Option<String>,
    /// Why it ended without being taken.
    pub ended: Option<RingEnd>,
    /// Whether nothing sounds for now: an answer is on its way, or it waits for its channel to open.
    pub silenced: bool,
    /// Until when it waited, or waits, for its channel to open; `null` where it did not. It climbs from then on.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub held_until: Option<Time>,
    /// What kind of thing is wrong, where it is an alarm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<AlarmKind>,
    /// What is wrong in a few words, where it is an alarm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What was found and what to do, where it is an alarm.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Who was told, on what, and what came of it, oldest first.
    pub attempts: Vec<RingAttempt>,
    /// Who is told at this step: `usr_…`. A companion sounds where its own person is among them.
    #[schema(value_type = Vec<String>)]
    pub told: Vec<UserId>,
}

/// Somebody was told on a device.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RingAttempt {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Time,
    /// Who: `usr_…`; `null` for what is nobody's, as a hook.
    #[schema(value_type = Option<String>)]
    pub user_id: Option<UserId>,
    /// What kind of device: `desk`, `web-push`, `desktop`, `hook` …
    pub device: String,
    /// Which.
    #[schema(value_type = Option<String>)]
    pub device_id: Option<DeviceId>,
    /// What came of it.
    pub result: AttemptResult,
    /// The reason in words where it failed.
    pub detail: Option<String>,
    /// At which step of the ring; `null` where that is not known.
    pub step: Option<u32>,
}

impl View<'_> {
    /// A ring.
    #[must_use]
    pub fn ring(&self, ring: &RingEntry) -> Ring {
        Ring {
            id: ring.id,
            conversation_id: ring.conversation,
            message_id: ring.message,
            channel_id: ring.channel.map(|channel| self.channel_id(channel)),
            state: ring.state,
            step: ring.step,
            started_at: ring.started_at,
            next_step_at: ring.next_step_at,
            taken_at: ring.taken_at,
            taken_by: ring.taken_by.clone(),
            ended: ring.ended,
            silenced: ring.silenced_by.is_some() || ring.is_held(),
            held_until: ring.held_until,
            kind: ring.alarm.as_ref().map(|alarm| alarm.kind),
            title: ring.alarm.as_ref().map(|alarm| alarm.title.clone()),
            detail: ring.alarm.as_ref().map(|alarm| alarm.detail.clone()),
            attempts: ring.attempts.iter().map(attempt).collect(),
            told: ring.told.clone(),
        }
    }
}

fn attempt(attempt: &Attempt) -> RingAttempt {
    RingAttempt {
        at: attempt.at,
        user_id: attempt.user,
        device: attempt.device.clone(),
        device_id: attempt.device_id,
        result: attempt.result,
        detail: attempt.detail.clone(),
        step: attempt.step,
    }
}
