//! What happened to a conversation, as entries of it: who changed what. They are no messages: they count nowhere, are
//! unread by nobody, answer nobody and stand in no feed.

use deskbell_sdk::{Direction, Time};

use super::conversations;
use crate::id::MessageId;
use crate::store::Found;
use crate::store::draft::Draft;
use crate::store::metadata::ActivityDetails;
use crate::store::record::{
    AuthorRecord, ConversationRecord, MessageChanges, MessageKind, MessageRecord, Priority, Status,
};

/// Writes an entry for each field that differs between what was `known` and the conversation now, which goes on from it.
pub(super) fn tell(
    draft: &mut Draft<'_>,
    known: &ConversationRecord,
    conversation: &mut ConversationRecord,
    author: &AuthorRecord,
) -> Found<()> {
    for (details, text) in differences(known, conversation, author) {
        write(draft, conversation, author, details, text)?;
    }
    Ok(())
}

fn write(
    draft: &mut Draft<'_>,
    conversation: &mut ConversationRecord,
    author: &AuthorRecord,
    details: ActivityDetails,
    text: String,
) -> Found<()> {
    let now = draft.now();
    let (sent_at, order) = conversations::behind_all(conversation, now);
    let entry = MessageRecord {
        id: MessageId(draft.new_id()),
        version: 1,
        channel: conversation.channel,
        conversation: conversation.id,
        direction: Direction::Outbound,
        kind: MessageKind::Activity,
        author: author.clone(),
        external_id: None,
        text: Some(text),
        html: None,
        attachments: Vec::new(),
        reply_to: None,
        sent_at,
        order,
        received_at: now,
        metadata: details.into_metadata(),
        changes: MessageChanges::default(),
        part_ids: Vec::new(),
        album: None,
        revisions: Vec::new(),
    };
    let active_at = conversation.last_activity_at;
    conversations::count_in(draft, conversation, &entry)?;
    if *author == AuthorRecord::System {
        // Nobody did it.
        conversation.last_activity_at = active_at;
    }
    draft.create_message(entry, conversation.clone());
    Ok(())
}

/// What differs, in the order in which people would say it.
fn differences(
    before: &ConversationRecord,
    after: &ConversationRecord,
    author: &AuthorRecord,
) -> Vec<(ActivityDetails, String)> {
    let who = match author {
        AuthorRecord::Contact(_, name) | AuthorRecord::Staff(_, name) | AuthorRecord::Bot(name) => {
            name.clone().unwrap_or_else(|| "Somebody".to_owned())
        }
        AuthorRecord::System => "Deskbell".to_owned(),
    };
    let mut all = Vec::new();
    if before.status != after.status || before.snoozed_until != after.snoozed_until {
        let mut details = ActivityDetails::new("status", &before.status, &after.status);
        details.until = after.snoozed_until;
        all.push((details, standing(&who, author, before, after)));
    }
    if before.assignee != after.assignee {
        let own = match author {
            AuthorRecord::Staff(user, _) => *user,
            _ => None,
        };
        let text = match after.assignee {
            None => format!("{who} gave the conversation back to everybody."),
            user if user == own => format!("{who} took the conversation."),
            Some(_) => format!("{who} gave the conversation to a colleague."),
        };
        let details = ActivityDetails::new("assignee", &before.assignee, &after.assignee);
        all.push((details, text));
    }
    if before.team != after.team {
        let text = match after.team {
            None => format!("{who} took the conversation from its team."),
            Some(_) => format!("{who} gave the conversation to a team."),
        };
        all.push((
            ActivityDetails::new("team", &before.team, &after.team),
            text,
        ));
    }
    if before.labels != after.labels {
        let details = ActivityDetails::new("labels", &before.labels, &after.labels);
        all.push((details, labelled(&who, &before.labels, &after.labels)));
    }
    if before.priority != after.priority {
        let text = match after.priority {
            None => format!("{who} removed the priority."),
            Some(priority) => {
                let priority = match priority {
                    Priority::Low => "low",
                    Priority::Normal => "normal",
                    Priority::High => "high",
                    Priority::Urgent => "urgent",
                };
                format!("{who} set the priority to {priority}.")
            }
        };
        let details = ActivityDetails::new("priority", &before.priority, &after.priority);
        all.push((details, text));
    }
    if before.spam != after.spam {
        let text = if after.spam {
            format!("{who} marked the conversation as spam.")
        } else {
            format!("{who} marked the conversation as no spam.")
        };
        all.push((
            ActivityDetails::new("spam", &before.spam, &after.spam),
            text,
        ));
    }
    all
}

fn standing(
    who: &str,
    author: &AuthorRecord,
    before: &ConversationRecord,
    after: &ConversationRecord,
) -> String {
    let until =
        |until: Option<Time>| until.map_or_else(String::new, |until| format!(" until {until}"));
    match after.status {
        Status::Open if *author == AuthorRecord::System => {
            "The conversation woke: its time has come.".to_owned()
        }
        Status::Open if before.status == Status::Resolved => {
            format!("{who} opened the conversation again.")
        }
        Status::Open => format!("{who} set the conversation to open."),
        Status::Pending => format!("{who} set the conversation to pending."),
        Status::Snoozed => format!(
            "{who} put the conversation to sleep{}.",
            until(after.snoozed_until)
        ),
        Status::Resolved => format!("{who} resolved the conversation."),
    }
}

fn labelled(who: &str, before: &[String], after: &[String]) -> String {
    let missing = |from: &[String], of: &[String]| {
        let missing = of.iter().filter(|label| !from.contains(label));
        missing.cloned().collect::<Vec<_>>().join(", ")
    };
    let (added, removed) = (missing(before, after), missing(after, before));
    match (added.as_str(), removed.as_str()) {
        (added, "") => format!("{who} added the label {added}."),
        ("", removed) => format!("{who} removed the label {removed}."),
        (added, removed) => format!("{who} added the label {added} and removed {removed}."),
    }
}
