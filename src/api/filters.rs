//! The filters of the feed and the inbox.

use std::str::FromStr;

use deskbell_sdk::{Direction, Time};
use serde::Deserialize;
use serde::de::value::{BorrowedStrDeserializer, Error as ValueError};

use super::problem::Problem;
use crate::access::Caller;
use crate::channels::Channels;
use crate::id::{TeamId, UserId};
use crate::inbox::Statuses;
use crate::store::record::{ChannelNo, ConversationRecord, Status};

/// The longest text to look for, in characters.
pub const MAX_WORDS_CHARS: usize = 200;

/// Who has a conversation, as a filter asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Assignee {
    /// Nobody.
    Nobody,
    /// This person.
    User(UserId),
    /// The caller, who is no person of the desk and so has none.
    NoUser,
}

/// What a conversation has to be.
#[derive(Clone, Debug, Default)]
pub struct ConversationFilter {
    /// How it stands.
    pub statuses: Option<Statuses>,
    /// Whether it is unanswered.
    pub waiting: bool,
    /// Who has it.
    pub assignee: Option<Assignee>,
    /// Which team has it.
    pub team: Option<TeamId>,
    /// A label that it bears.
    pub label: Option<String>,
    /// Whether something in it is unread.
    pub unread: bool,
    /// Who was mentioned in it; a program never is.
    pub mentioned: Option<Option<UserId>>,
    /// Whether it is spam; `None`: either.
    pub spam: Option<bool>,
    /// Words in the contact's name, the subject or the last message, in lower case.
    pub words: Option<String>,
}

impl ConversationFilter {
    /// Whether a conversation fits.
    #[must_use]
    pub fn fits(&self, conversation: &ConversationRecord) -> bool {
        let assignee_fits = |assignee: Assignee| match assignee {
            Assignee::Nobody => conversation.assignee.is_none(),
            Assignee::User(id) => conversation.assignee == Some(id),
            Assignee::NoUser => false,
        };
        let is_unanswered = conversation.waiting_since.is_some()
            && !conversation.is_silenced()
            && Statuses::AWAKE.has(conversation.status);
        self.statuses
            .is_none_or(|statuses| statuses.has(conversation.status))
            && (!self.waiting || is_unanswered)
            && self.spam.is_none_or(|spam| conversation.spam == spam)
            && self
                .mentioned
                .is_none_or(|user| user.is_some_and(|user| conversation.mentioned.contains(&user)))
            && self.assignee.is_none_or(assignee_fits)
            && self.team.is_none_or(|team| conversation.team == Some(team))
            && self
                .label
                .as_ref()
                .is_none_or(|label| conversation.labels.contains(label))
            && (!self.unread || conversation.unread_count > 0)
            && self.words.as_deref().is_none_or(|words| {
                let said = conversation.last_said.as_ref();
                let last = said.or(conversation.last_message.as_ref());
                let preview = last.map(|last| &last.preview);
                holds(
                    words,
                    [
                        conversation.contact_name.as_ref(),
                        conversation.subject.as_ref(),
                        preview,
                    ],
                )
            })
    }
}

/// Whether one of these texts holds the words, which are in lower case.
pub fn holds<'a>(words: &str, texts: impl IntoIterator<Item = Option<&'a String>>) -> bool {
    texts
        .into_iter()
        .flatten()
        .any(|text| text.to_lowercase().contains(words))
}

/// The channels that `channel` and `connector` name; `None` without both. A slug that nobody knows, or that the
/// caller may not know of, names none: the list is empty, and says nothing of why.
#[must_use]
pub fn channels_named(
    channels: &Channels,
    slug: Option<&str>,
    connector: Option<&str>,
) -> Option<Vec<ChannelNo>> {
    if slug.is_none() && connector.is_none() {
        return None;
    }
    let named = channels.all_known().into_iter().filter(|entry| {
        slug.is_none_or(|slug| entry.id == slug)
            && connector.is_none_or(|connector| entry.connector == connector)
    });
    Some(named.map(|entry| entry.no).collect())
}

/// A value of an enumeration, in the words of its JSON.
fn word<'de, T: Deserialize<'de>>(name: &str, text: &'de str, words: &str) -> Result<T, Problem> {
    T::deserialize(BorrowedStrDeserializer::<ValueError>::new(text))
        .map_err(|_| Problem::bad_request(format!("`{name}` is one of {words}.")))
}

/// A conversation's status.
pub fn status(name: &str, text: &str) -> Result<Status, Problem> {
    word(name, text, "`open`, `pending`, `snoozed`, `resolved`")
}

/// One or several statuses, with commas between.
pub fn statuses(name: &str, text: &str) -> Result<Statuses, Problem> {
    text.split(',').try_fold(Statuses::default(), |all, one| {
        Ok(all.and(status(name, one.trim())?))
    })
}

/// The order of the inbox.
pub fn sort(text: &str) -> Result<super::inbox::Sort, Problem> {
    word("sort", text, "`activity`, `waiting`")
}

/// The person who calls, where it is one.
#[must_use]
pub fn user_of(caller: &Caller) -> Option<UserId> {
    caller.user()
}

/// `me` or a user's id.
pub fn mentioned(text: &str, me: Option<UserId>) -> Result<Option<UserId>, Problem> {
    match text {
        "me" => Ok(me),
        id => id.parse().map(Some).map_err(|_| {
            Problem::bad_request("`mentioned` is `me` or the id of a user, as usr_….")
        }),
    }
}

/// A message's direction.
pub fn direction(text: &str) -> Result<Direction, Problem> {
    word("direction", text, "`inbound`, `outbound`")
}

/// A point in time. The `+` of an offset that was not escaped comes as a space, and is meant as `+`.
pub fn time(name: &str, text: &str) -> Result<Time, Problem> {
    let parsed = text
        .parse()
        .or_else(|_| Time::from_str(&text.replace(' ', "+")));
    parsed.map_err(|_| {
        Problem::bad_request(format!(
            "`{name}` is a time of RFC 3339, as 2026-11-21T17:20:31Z."
        ))
    })
}

/// An id.
pub fn id<T: FromStr>(name: &str, text: &str, looks_like: &str) -> Result<T, Problem> {
    text.parse()
        .map_err(|_| Problem::bad_request(format!("`{name}` is an id, as {looks_like}.")))
}

/// `me`, `none` or a user's id. Programs and the set-up session are no user, and have nothing assigned.
pub fn assignee(text: &str, me: Option<UserId>) -> Result<Assignee, Problem> {
    match text {
        "none" => Ok(Assignee::Nobody),
        "me" => Ok(me.map_or(Assignee::NoUser, Assignee::User)),
        id => id.parse().map(Assignee::User).map_err(|_| {
            Problem::bad_request("`assignee` is `me`, `none` or the id of a user, as usr_….")
        }),
    }
}

/// `true` or `false`.
pub fn flag(name: &str, text: &str) -> Result<bool, Problem> {
    text.parse()
        .map_err(|_| Problem::bad_request(format!("`{name}` is `true` or `false`.")))
}

/// Words to look for, in lower case; `None` where there are none.
pub fn words(name: &str, text: &str) -> Result<Option<String>, Problem> {
    if text.chars().count() > MAX_WORDS_CHARS {
        return Err(Problem::bad_request(format!(
            "`{name}` has at most {MAX_WORDS_CHARS} characters."
        )));
    }
    let words = text.trim().to_lowercase();
    Ok((!words.is_empty()).then_some(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_that_does_not_do_is_named() {
        let problems = [
            (
                "conversation_status",
                status("conversation_status", "Open")
                    .map(|_| ())
                    .expect_err("upper case"),
            ),
            (
                "direction",
                direction("in").map(|_| ()).expect_err("no such"),
            ),
            (
                "since",
                time("since", "yesterday").map(|_| ()).expect_err("words"),
            ),
            (
                "team",
                id::<TeamId>("team", "usr_0000000000000", "tea_…")
                    .map(|_| ())
                    .expect_err("another kind"),
            ),
            (
                "assignee",
                assignee("somebody", None).map(|_| ()).expect_err("no id"),
            ),
            (
                "unread",
                flag("unread", "yes").map(|_| ()).expect_err("no flag"),
            ),
            (
                "q",
                words("q", &"x".repeat(201))
                    .map(|_| ())
                    .expect_err("too long"),
            ),
        ];
        for (name, problem) in problems {
            assert_eq!(problem.status, 400);
            assert!(
                problem.detail.contains(&format!("`{name}`")),
                "{}",
                problem.detail
            );
        }
    }

    #[test]
    fn times_are_read_with_and_without_escaped_offsets() {
        let noon = "2026-11-21T12:00:00Z".parse().expect("a time");
        for text in [
            "2026-11-21T12:00:00Z",
            "2026-11-21T14:00:00+02:00",
            "2026-11-21T14:00:00 02:00",
        ] {
            assert_eq!(time("since", text).expect(text), noon);
        }
    }
}
