//! What a reader may see.

use std::collections::BTreeSet;

use super::record::ChannelNo;

/// The channels that a reader may see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    channels: Option<BTreeSet<ChannelNo>>,
}

impl Scope {
    /// Everything: for the desk's own rules and for executors. The API never makes one of these; it takes the scope
    /// of the caller (`tests/tidy.rs` holds it to that).
    #[must_use]
    pub const fn whole_desk() -> Self {
        Self { channels: None }
    }

    /// What a person or token with the right to all channels sees.
    #[must_use]
    pub const fn of_all_channels() -> Self {
        Self { channels: None }
    }

    /// What a person or token with the right to these channels sees.
    #[must_use]
    pub fn of_channels(channels: impl IntoIterator<Item = ChannelNo>) -> Self {
        Self {
            channels: Some(channels.into_iter().collect()),
        }
    }

    /// Whether the channel may be seen.
    #[must_use]
    pub fn allows(&self, channel: ChannelNo) -> bool {
        self.channels
            .as_ref()
            .is_none_or(|channels| channels.contains(&channel))
    }

    /// The channels, where they are limited.
    #[must_use]
    pub const fn channels(&self) -> Option<&BTreeSet<ChannelNo>> {
        self.channels.as_ref()
    }
}
