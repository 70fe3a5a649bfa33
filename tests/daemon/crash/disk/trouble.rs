//! Calls of the disk that fail or do half of what they should, by their number.

use fuser::Errno;

/// A call of the storage path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// `pwrite` and `write`.
    Write,
    /// `fsync` and `fdatasync`, of files and folders.
    Sync,
    /// Making, moving and removing names.
    Name,
    /// `ftruncate` and `fallocate`.
    Size,
}

/// How a call goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// With this error, and nothing of it is done.
    Error(Errno),
    /// Only half is written, which the answer says.
    Short,
}

/// Which calls go wrong: each `step`th of its kind, from `first` on, counted from 0.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) call: Call,
    pub(crate) first: u64,
    pub(crate) step: u64,
    pub(crate) wrong: Wrong,
}

/// The plan, and what came of it.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    pub(super) plan: Option<Plan>,
    calls: u64,
    met: u64,
}

impl Trouble {
    /// Begins a plan, or ends one.
    pub(super) fn set(&mut self, plan: Option<Plan>) {
        *self = Self {
            plan,
            ..Self::default()
        };
    }

    /// How this call goes wrong; `None`: it does not.
    pub(super) fn meets(&mut self, call: Call) -> Option<Wrong> {
        let plan = self.plan.filter(|plan| plan.call == call)?;
        let number = self.calls;
        self.calls += 1;
        let due = number >= plan.first && (number - plan.first).is_multiple_of(plan.step);
        self.met += u64::from(due);
        due.then_some(plan.wrong)
    }

    /// How many calls of the plan's kind there were, and how many went wrong.
    pub(super) const fn counts(&self) -> (u64, u64) {
        (self.calls, self.met)
    }
}
