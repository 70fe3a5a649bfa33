//! Who works when: what people, channels and the shop have set.

use super::Decision;
use crate::id::UserId;
use crate::store::Found;
use crate::store::draft::Draft;
use crate::store::entry::{
    ChannelHoursEntry, Entry, OnCallEntry, Role, UserEntry, UserHoursEntry, UserStatus,
};
use crate::store::record::ChannelNo;

/// Sets the hours of a person, all of them.
#[derive(Clone, Debug)]
pub struct SetUserHours {
    /// Whose.
    pub user: UserId,
    /// What they are from now on.
    pub hours: UserHoursEntry,
}

impl Decision for SetUserHours {
    /// The person; `None` where there is none.
    type Answer = Option<UserEntry>;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<Self::Answer> {
        let Some(user) = draft.entry::<UserEntry>(&self.user.key())? else {
            return Ok(None);
        };
        let key = self.user.key().to_vec();
        draft.put(if self.hours == UserHoursEntry::default() {
            UserHoursEntry::remove(key)
        } else {
            self.hours.put(key)
        });
        Ok(Some(user))
    }
}

/// Sets the hours of a channel, all of them.
#[derive(Clone, Debug)]
pub struct SetChannelHours {
    /// Which.
    pub channel: ChannelNo,
    /// What they are from now on.
    pub hours: ChannelHoursEntry,
}

impl Decision for SetChannelHours {
    type Answer = ();

    fn decide(&self, draft: &mut Draft<'_>) -> Found<()> {
        let key = ChannelHoursEntry::key(self.channel);
        draft.put(if self.hours == ChannelHoursEntry::default() {
            ChannelHoursEntry::remove(key)
        } else {
            self.hours.put(key)
        });
        Ok(())
    }

    fn weight(&self) -> usize {
        1024 + self.hours.answer.as_ref().map_or(0, String::len)
    }
}

/// Puts somebody on call, in the place of whoever was.
#[derive(Clone, Copy, Debug)]
pub struct SetOnCall {
    /// Who; `None`: nobody.
    pub user: Option<UserId>,
}

/// Why somebody cannot be on call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotOnCall {
    /// There is no such person.
    Unknown,
    /// They may not sign in, or may not answer.
    CannotAnswer,
}

impl Decision for SetOnCall {
    /// The person, where there is one.
    type Answer = Result<Option<UserEntry>, NotOnCall>;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<Self::Answer> {
        let user = match self.user {
            None => None,
            Some(id) => match draft.entry::<UserEntry>(&id.key())? {
                None => return Ok(Err(NotOnCall::Unknown)),
                Some(user) if !can_answer(&user) => return Ok(Err(NotOnCall::CannotAnswer)),
                found => found,
            },
        };
        let entry = OnCallEntry { user: self.user };
        draft.put(entry.put(OnCallEntry::KEY.to_vec()));
        Ok(Ok(user))
    }
}

/// Whether somebody may sign in and answer customers.
#[must_use]
pub fn can_answer(user: &UserEntry) -> bool {
    user.role != Role::Viewer && user.status() == UserStatus::Active
}
