//! What people of the shop change of a conversation: how it stands, who has it, its labels and the like; and that one
//! wakes that has slept.

use std::sync::Arc;

use deskbell_sdk::{Time, text};

use super::conversations::{still_waits, unread_until};
use super::{Decision, activities, labels, teams};
use crate::id::{ConversationId, MessageId, TeamId, UserId};
use crate::store::draft::Draft;
use crate::store::entry::{UnreadUntil, UserEntry};
use crate::store::record::{AuthorRecord, ConversationRecord, Priority, Status};
use crate::store::{Found, Scope};

/// A person of the shop changes a conversation. `None` leaves a field; `Some(None)` empties it.
#[derive(Clone, Debug)]
pub struct ChangeConversation {
    /// What the caller may see.
    pub scope: Scope,
    /// Which conversation.
    pub conversation: ConversationId,
    /// Who changes it.
    pub author: AuthorRecord,
    /// Only where this person, or nobody, has it.
    pub expected_assignee: Option<Option<UserId>>,
    /// How it stands.
    pub status: Option<Status>,
    /// Who has it.
    pub assignee: Option<Option<UserId>>,
    /// Which team has it.
    pub team: Option<Option<TeamId>>,
    /// Its labels.
    pub labels: Option<Vec<String>>,
    /// How urgent it is.
    pub priority: Option<Option<Priority>>,
    /// Until when it sleeps.
    pub snoozed_until: Option<Option<Time>>,
    /// What it is about.
    pub subject: Option<Option<String>>,
    /// Whether it is spam.
    pub spam: Option<bool>,
}

/// How a change went.
#[derive(Clone, Debug)]
pub enum Changed {
    /// The conversation after it.
    Done(Arc<ConversationRecord>),
    /// The caller knows no such conversation.
    NoConversation,
    /// Somebody else has it than was expected, or nobody.
    Taken(Option<UserId>),
    /// There is no such person, or their account is disabled: given to them, nobody would hear it.
    NoUser,
    /// There is no such team.
    NoTeam,
}

impl Changed {
    /// The conversation after the change, where there was one.
    #[must_use]
    pub fn done(self) -> Option<Arc<ConversationRecord>> {
        match self {
            Self::Done(conversation) => Some(conversation),
            Self::NoConversation | Self::Taken(_) | Self::NoUser | Self::NoTeam => None,
        }
    }
}

impl Decision for ChangeConversation {
    type Answer = Changed;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<Self::Answer> {
        let Some(known) = draft.conversation(&self.scope, self.conversation)? else {
            return Ok(Changed::NoConversation);
        };
        if self
            .expected_assignee
            .is_some_and(|expected| expected != known.assignee)
        {
            return Ok(Changed::Taken(known.assignee));
        }
        if let Some(Some(user)) = self.assignee
            && known.assignee != Some(user)
            && draft
                .entry::<UserEntry>(&user.key())?
                .is_none_or(|user| user.disabled)
        {
            return Ok(Changed::NoUser);
        }
        if let Some(Some(team)) = self.team
            && known.team != Some(team)
            && teams::standing(draft, team)?.is_none()
        {
            return Ok(Changed::NoTeam);
        }
        let mut conversation = (*known).clone();
        if let Some(until) = self.snoozed_until {
            conversation.snoozed_until = until;
            match until {
                Some(_) => conversation.status = Status::Snoozed,
                None if conversation.status == Status::Snoozed => {
                    conversation.status = Status::Open
                }
                None => {}
            }
        }
        if let Some(status) = self.status {
            conversation.status = status;
            if status != Status::Snoozed {
                conversation.snoozed_until = None;
            }
        }
        if let Some(assignee) = self.assignee {
            conversation.assignee = assignee;
        }
        if let Some(team) = self.team {
            conversation.team = team;
        }
        if let Some(labels) = &self.labels {
            conversation.labels = labels
                .iter()
                .filter_map(|label| text::clean_name(label))
                .collect();
            conversation.labels.sort();
            conversation.labels.dedup();
        }
        if let Some(priority) = self.priority {
            conversation.priority = priority;
        }
        if let Some(subject) = &self.subject {
            conversation.subject = subject.as_deref().and_then(text::clean_name);
        }
        if let Some(spam) = self.spam
            && spam != conversation.spam
        {
            conversation.spam = spam;
            still_waits(draft, &mut conversation)?;
        }
        if conversation == *known {
            return Ok(Changed::Done(known));
        }
        if conversation.status == Status::Resolved
            && known.status != Status::Resolved
            && unread_until(draft)? == UnreadUntil::Answered
        {
            conversation.unread_count = 0;
            conversation.staff_read_up_to = MessageId(draft.last_id());
        }
        for label in &conversation.labels {
            if !known.labels.contains(label) {
                labels::know(draft, label)?;
            }
        }
        conversation.version += 1;
        conversation.last_activity_at = conversation.last_activity_at.max(draft.now());
        draft.update_conversation(conversation.clone());
        activities::tell(draft, &known, &mut conversation, &self.author)?;
        Ok(Changed::Done(Arc::new(conversation)))
    }

    fn weight(&self) -> usize {
        let labels = self.labels.iter().flatten().map(String::len);
        1024 + labels.sum::<usize>()
    }
}

/// A conversation has slept long enough: it is open again.
#[derive(Clone, Copy, Debug)]
pub struct Wake {
    /// Which conversation.
    pub conversation: ConversationId,
}

impl Decision for Wake {
    /// Whether it woke; it may have been changed meanwhile.
    type Answer = bool;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<bool> {
        let scope = Scope::whole_desk();
        let Some(known) = draft.conversation(&scope, self.conversation)? else {
            return Ok(false);
        };
        let is_due = known.snoozed_until.is_none_or(|until| until <= draft.now());
        if known.status != Status::Snoozed || !is_due {
            return Ok(false);
        }
        let mut conversation = (*known).clone();
        conversation.status = Status::Open;
        conversation.snoozed_until = None;
        conversation.version += 1;
        draft.update_conversation(conversation.clone());
        activities::tell(draft, &known, &mut conversation, &AuthorRecord::System)?;
        Ok(true)
    }
}
