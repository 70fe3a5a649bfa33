//! A device as the API shows it.

use deskbell_sdk::Time;
use serde::Serialize;
use utoipa::ToSchema;

use crate::id::{DeviceId, UserId};
use crate::store::entry::{DeviceEntry, DeviceKind};

/// How a device stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeviceState {
    /// It has shown within a day that it works.
    Working,
    /// It has not shown that it works, or not for a day.
    Unconfirmed,
    /// Nothing gets through to it, or it cannot show what does.
    Failing,
}

/// What rings for a person: a browser, or a companion on a desktop.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Device {
    /// `dev_…`
    #[schema(value_type = String)]
    pub id: DeviceId,
    /// Whose: `usr_…`
    #[schema(value_type = String)]
    pub user_id: UserId,
    /// What it is.
    pub kind: DeviceKind,
    /// What its person calls it.
    pub name: String,
    /// When it was added.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Time,
    /// When it was last heard of.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_seen_at: Option<Time>,
    /// When it last said that it showed a ring.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_shown_at: Option<Time>,
    /// When it last answered a test.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub confirmed_at: Option<Time>,
    /// How it stands.
    pub state: DeviceState,
    /// Why it fails, in words.
    pub detail: Option<String>,
}

/// How a device stands at a time.
#[must_use]
pub fn state(device: &DeviceEntry, now: Time) -> DeviceState {
    if device.failing_since.is_some() {
        DeviceState::Failing
    } else if device.is_proven(now) {
        DeviceState::Working
    } else {
        DeviceState::Unconfirmed
    }
}

/// A device of a person; `used_at` is when its token was last used.
#[must_use]
pub fn device(user: UserId, device: &DeviceEntry, used_at: Option<Time>, now: Time) -> Device {
    Device {
        id: device.id,
        user_id: user,
        kind: device.kind,
        name: device.name.clone(),
        created_at: device.created_at,
        last_seen_at: device.last_seen_at.max(used_at),
        last_shown_at: device.last_shown_at,
        confirmed_at: device.confirmed_at,
        state: state(device, now),
        detail: device.detail.clone(),
    }
}
