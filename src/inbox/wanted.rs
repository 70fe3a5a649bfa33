//! What of the inbox is wanted.

use std::collections::BTreeSet;

use crate::id::{TeamId, UserId};
use crate::store::record::{ChannelNo, Status};

/// In which order conversations come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Order {
    /// Last activity first.
    #[default]
    Activity,
    /// Longest wait first.
    Waiting,
}

/// Which of the statuses; of those that the projection knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statuses(u8);

impl Statuses {
    /// Everything that is not resolved.
    pub const UNRESOLVED: Self = Self(0b0111);
    /// What can be unanswered.
    pub const AWAKE: Self = Self(0b0011);
    /// Each of them.
    pub const ALL: Self = Self(0b1111);

    const fn bit(status: Status) -> u8 {
        match status {
            Status::Open => 1,
            Status::Pending => 2,
            Status::Snoozed => 4,
            Status::Resolved => 8,
        }
    }

    /// These and one more.
    #[must_use]
    pub const fn and(self, status: Status) -> Self {
        Self(self.0 | Self::bit(status))
    }

    /// What is in both.
    #[must_use]
    pub const fn also_in(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether this is one of them.
    #[must_use]
    pub const fn has(self, status: Status) -> bool {
        self.0 & Self::bit(status) != 0
    }

    /// One after the other.
    pub fn each(self) -> impl Iterator<Item = Status> {
        [
            Status::Open,
            Status::Pending,
            Status::Snoozed,
            Status::Resolved,
        ]
        .into_iter()
        .filter(move |status| self.has(*status))
    }
}

/// What of the inbox is wanted. Whoever asks gives a scope beside it.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// How they stand. Resolved ones are known only where they are spam.
    pub statuses: Statuses,
    /// Only these channels.
    pub channels: Option<BTreeSet<ChannelNo>>,
    /// Only unanswered ones.
    pub waiting: bool,
    /// Only those of this person, or of nobody.
    pub assignee: Option<Option<UserId>>,
    /// Only those of this team.
    pub team: Option<TeamId>,
    /// Only those with this label.
    pub label: Option<String>,
    /// Only those with something unread.
    pub unread: bool,
    /// Only those in which this person was mentioned.
    pub mentioned: Option<UserId>,
    /// Only spam; else only what is none.
    pub spam: bool,
}
