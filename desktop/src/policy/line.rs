//! How the line to the daemon stands, and when that is to be said.

use super::{Action, Tune};

/// The daemon is lost when it was not heard for so long, in milliseconds.
pub(super) const LOST_AFTER_MS: u64 = 30_000;
/// How often that is said again, in milliseconds.
pub(super) const REPEAT_MS: u64 = 60_000;

/// The line to the daemon.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// Since when it is down, in milliseconds; `None` while it is up.
    down_since: Option<u64>,
    /// The daemon does not let us in.
    signed_out: bool,
    /// What was said of it.
    said: Said,
    /// Something to be heard once.
    once: Option<Tune>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Said {
    #[default]
    Nothing,
    Lost {
        since: u64,
    },
    SignedOut,
}

impl Line {
    /// A line that is down.
    #[must_use]
    pub fn down_since(ms: u64) -> Self {
        Self {
            down_since: Some(ms),
            ..Self::default()
        }
    }

    /// Whether the daemon is heard.
    #[must_use]
    pub const fn is_up(&self) -> bool {
        self.down_since.is_none()
    }

    /// Whether it has been said that the daemon is lost or does not let us in.
    #[must_use]
    pub const fn is_alarming(&self) -> bool {
        !matches!(self.said, Said::Nothing)
    }

    pub(super) const fn up(&mut self) {
        self.down_since = None;
        self.signed_out = false;
    }

    pub(super) fn down(&mut self, now: u64) {
        self.down_since.get_or_insert(now);
        self.signed_out = false;
    }

    pub(super) fn signed_out(&mut self, now: u64) {
        self.down_since.get_or_insert(now);
        self.signed_out = true;
    }

    /// What was said has gone from the screen: it is said again where it is still so.
    pub(super) const fn nothing_is_shown(&mut self) {
        if self.down_since.is_some() {
            self.said = Said::Nothing;
        }
    }

    /// Whether it sounds again and again.
    pub(super) const fn sounds(&self) -> bool {
        self.is_alarming() && self.down_since.is_some()
    }

    /// What is to be heard once, and counts as heard.
    pub(super) const fn tune_once(&mut self) -> Option<Tune> {
        self.once.take()
    }

    pub(super) fn decide(&mut self, now: u64, actions: &mut Vec<Action>) {
        let Some(since) = self.down_since else {
            match std::mem::take(&mut self.said) {
                Said::Nothing => return,
                Said::Lost { since } => actions.push(Action::Back {
                    away_ms: now.saturating_sub(since),
                }),
                Said::SignedOut => actions.push(Action::SignedIn),
            }
            self.once = Some(Tune::Back);
            return;
        };
        if self.signed_out {
            if self.said != Said::SignedOut {
                self.said = Said::SignedOut;
                actions.push(Action::SignedOut);
            }
            return;
        }
        let for_ms = now.saturating_sub(since);
        if self.said == Said::Nothing && for_ms > LOST_AFTER_MS {
            self.said = Said::Lost { since };
            actions.push(Action::Lost { for_ms });
        }
    }
}
