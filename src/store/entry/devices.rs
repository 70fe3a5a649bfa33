//! The entries of the devices that ring for people.

use deskbell_sdk::Time;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use sha2::{Digest, Sha256};

use super::{Entry, SealedValue};
use crate::id::{ConversationId, DeviceId, RingId, UserId, WorkId};
use crate::store::change::Table;
use crate::store::record::ChannelNo;

/// What kind of device it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DeviceKind {
    /// A browser, by its push service.
    WebPush,
    /// A companion that follows the stream.
    Desktop,
}

impl DeviceKind {
    /// The word in the ledger.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::WebPush => "web-push",
            Self::Desktop => "desktop",
        }
    }
}

/// The devices of a person, oldest first. Key: the person's id. In one row, since whoever rings wants all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DevicesEntry {
    /// They.
    pub devices: Vec<DeviceEntry>,
}

impl Entry for DevicesEntry {
    const TABLE: Table = Table::Devices;
}

impl DevicesEntry {
    /// One of them.
    #[must_use]
    pub fn device(&self, id: DeviceId) -> Option<&DeviceEntry> {
        self.devices.iter().find(|device| device.id == id)
    }

    /// The same, to change it.
    pub fn device_mut(&mut self, id: DeviceId) -> Option<&mut DeviceEntry> {
        self.devices.iter_mut().find(|device| device.id == id)
    }
}

/// A device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceEntry {
    /// Its id.
    pub id: DeviceId,
    /// What it is.
    pub kind: DeviceKind,
    /// What its person calls it.
    pub name: String,
    /// When it was added.
    pub created_at: Time,
    /// When it was last heard of.
    pub last_seen_at: Option<Time>,
    /// When it last said that it showed a ring.
    pub last_shown_at: Option<Time>,
    /// When it last answered a test.
    pub confirmed_at: Option<Time>,
    /// [`endpoint_hash`] of a browser's address at its push service.
    pub endpoint: Option<ByteBuf>,
    /// A browser's subscription as JSON, sealed (K01): who has it can reach the browser.
    pub subscription: Option<SealedValue>,
    /// The hash of the token by which a companion gets in.
    pub token: Option<ByteBuf>,
    /// The test that was begun last.
    pub test: Option<DeviceTest>,
    /// Since when nothing gets through.
    pub failing_since: Option<Time>,
    /// Why, in words.
    pub detail: Option<String>,
    /// Before this nothing is tried: a device that has failed for long is tried seldom (O08).
    pub next_try_at: Option<Time>,
    /// How many rings wait to be told on it.
    pub waiting: u32,
    /// The channels of which one waits, or has waited since none did.
    #[serde(default)]
    pub waiting_in: Vec<ChannelNo>,
}

impl DeviceEntry {
    /// For how long it is taken to work once it has answered a test or shown a ring, in milliseconds: 25 hours. A test
    /// comes every 20.
    pub const PROVEN_MS: i64 = 25 * 60 * 60 * 1000;

    /// A new one, of which nothing is known yet.
    #[must_use]
    pub fn new(id: DeviceId, kind: DeviceKind, name: &str, now: Time) -> Self {
        Self {
            id,
            kind,
            name: name.to_owned(),
            created_at: now,
            last_seen_at: Some(now),
            last_shown_at: None,
            confirmed_at: None,
            endpoint: None,
            subscription: None,
            token: None,
            test: None,
            failing_since: None,
            detail: None,
            next_try_at: None,
            waiting: 0,
            waiting_in: Vec::new(),
        }
    }

    /// When it last answered a test or showed a ring.
    #[must_use]
    pub fn proven_at(&self) -> Option<Time> {
        self.confirmed_at.max(self.last_shown_at)
    }

    /// Whether it has shown within a day that it works.
    #[must_use]
    pub fn is_proven(&self, now: Time) -> bool {
        let fresh = |at: Time| now < at.plus_millis(Self::PROVEN_MS);
        self.proven_at().is_some_and(fresh)
    }
}

/// A test that a device is to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceTest {
    /// Its id.
    pub id: WorkId,
    /// When it was begun.
    pub at: Time,
    /// Whether nobody is to notice it.
    pub silent: bool,
    /// Whether it was answered.
    pub answered: bool,
}

/// By what an endpoint is known: 128 bits of its SHA-256.
#[must_use]
pub fn endpoint_hash(endpoint: &str) -> Vec<u8> {
    Sha256::digest(endpoint.as_bytes())[..16].to_vec()
}

/// Whose device an endpoint is. Key: [`endpoint_hash`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointEntry {
    /// Whose.
    pub user: UserId,
    /// Which device.
    pub device: DeviceId,
}

impl Entry for EndpointEntry {
    const TABLE: Table = Table::Endpoints;
}

/// A code that gives a companion its token, once. Key: its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairingEntry {
    /// For whom.
    pub user: UserId,
    /// When it ends.
    pub expires_at: Time,
}

impl Entry for PairingEntry {
    const TABLE: Table = Table::Pairings;
}

/// Something that a device is to be told. Key: the id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TellingEntry {
    /// Its id.
    pub id: WorkId,
    /// Whose device.
    pub user: UserId,
    /// Which.
    pub device: DeviceId,
    /// What.
    pub what: Telling,
    /// How often it was tried; an attempt counts from before it is made.
    pub tries: u32,
    /// When it is due.
    pub due_at: Time,
    /// After this it is of no use.
    pub until: Time,
    /// When it was decided.
    pub created_at: Time,
}

impl Entry for TellingEntry {
    const TABLE: Table = Table::Tellings;
}

/// What a device is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Telling {
    /// It rings.
    Ring {
        /// Which ring.
        ring: RingId,
        /// Its conversation; an alarm has none.
        conversation: Option<ConversationId>,
        /// At which step.
        step: u32,
    },
    /// It is over.
    Over {
        /// Which ring.
        ring: RingId,
        /// Its conversation; an alarm has none.
        conversation: Option<ConversationId>,
    },
    /// A test; its id is the item's.
    Test {
        /// Whether nobody is to notice it.
        silent: bool,
    },
}

/// The key by which the daemon proves to push services who it is. Key: [`PushKeyEntry::KEY`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushKeyEntry {
    /// The private key, 32 bytes as base64url, sealed (K01).
    pub private: SealedValue,
    /// The public key: 65 bytes, uncompressed.
    #[serde(with = "serde_bytes")]
    pub public: Vec<u8>,
}

impl PushKeyEntry {
    /// There is one.
    pub const KEY: &'static [u8] = b"vapid";
}

impl Entry for PushKeyEntry {
    const TABLE: Table = Table::PushKeys;
}
