//! A connector's kind, and the channels that are opened of it.

use crate::health::Health;
use crate::settings::{Setting, SettingProblem, Settings};
use crate::visitors::Visitors;
use crate::webhook::Webhook;

/// A kind of channel: what `connector = "…"` names.
#[derive(Clone, Copy)]
pub struct Kind {
    /// The name in the configuration and the API: lower-case ASCII.
    pub id: &'static str,
    /// The name that people know.
    pub title: &'static str,
    /// Its settings beside those that every channel has.
    pub settings: &'static [Setting],
    /// The platform's address; `None` where the connector calls nobody.
    pub api_base: Option<&'static str>,
    /// Opens a channel: pure, no I/O. It may refuse values that no description can.
    pub open: fn(&Settings) -> Result<Box<dyn Channel>, SettingProblem>,
}

impl std::fmt::Debug for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kind")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// Which app at a platform a channel belongs to. All channels of one app share its webhook address: a delivery is
/// verified by any of their secrets and routed by account.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AppKey {
    /// The platform: `meta`.
    pub platform: &'static str,
    /// The app's id there.
    pub app_id: String,
}

/// Numbers of a channel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// How long after the customer's last deed we may answer, in milliseconds; `None`: always.
    pub reply_window_ms: Option<i64>,
    /// Longest text of one message, in characters; `None`: no limit.
    pub text_chars: Option<usize>,
}

/// One opened channel: one Page, one bot, one website. Abilities are values: what a channel cannot do is `None`.
pub trait Channel: Send + Sync {
    /// Its numbers.
    fn limits(&self) -> Limits;

    /// The app whose webhook it shares with other channels.
    fn app(&self) -> Option<AppKey> {
        None
    }

    /// Its account at the platform, as it stands in [`crate::Inbound::account`].
    fn account(&self) -> Option<&str> {
        None
    }

    /// Receives deliveries at `/webhooks/{channel_id}`.
    fn webhook(&self) -> Option<&dyn Webhook> {
        None
    }

    /// Serves visitors of a website at `/chat/{channel_id}`.
    fn visitors(&self) -> Option<&dyn Visitors> {
        None
    }

    /// Sends replies.
    fn send(&self) -> Option<&dyn crate::send::Send> {
        None
    }

    /// Asks the platform for what is new.
    fn poll(&self) -> Option<&dyn crate::poll::Poll> {
        None
    }

    /// Reads at the platform what no delivery brought.
    fn backfill(&self) -> Option<&dyn crate::backfill::Backfill> {
        None
    }

    /// Tells the platform where to deliver.
    fn register(&self) -> Option<&dyn crate::register::Register> {
        None
    }

    /// Looks up people.
    fn profiles(&self) -> Option<&dyn crate::profile::Profiles> {
        None
    }

    /// Finds the bytes of attachments.
    fn media(&self) -> Option<&dyn crate::media::Media> {
        None
    }

    /// Passes on that a person wants to be forgotten.
    fn deletions(&self) -> Option<&dyn crate::deletion::Deletions> {
        None
    }

    /// Can tell whether its credentials work.
    fn health(&self) -> Option<&dyn Health> {
        None
    }
}
