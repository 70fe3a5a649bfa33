//! What must hold of a desk, found without the desk's own rules.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use deskbell_sdk::{DeliveryState, Direction};

use super::followers::Follower;
use super::platform::Platform;
use super::staff::Answer;
use crate::desk::outbox::send_token;
use crate::id::{ConversationId, MessageId};
use crate::store::change::EventBody;
use crate::store::entry::{Entry as _, WorkEntry};
use crate::store::record::{ConversationRecord, MessageKind, MessageRecord};
use crate::store::{ChannelNo, FeedPage, InboxPage, Place, Read, Scope};

/// What was found wrong.
pub(super) type Verdict = Result<(), String>;

const MANY: usize = 100_000;

/// Everything of a desk at its end.
pub(super) struct Desk<'a> {
    store: &'a dyn Read,
    messages: Vec<Arc<MessageRecord>>,
    conversations: Vec<Arc<ConversationRecord>>,
}

fn state(message: &MessageRecord) -> Option<DeliveryState> {
    message.changes.delivery.as_ref().map(|one| one.state)
}

fn hold(holds: bool, what: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(what()) }
}

impl<'a> Desk<'a> {
    /// The desk in a store.
    pub(super) fn of(store: &'a dyn Read) -> Result<Self, String> {
        let scope = Scope::whole_desk();
        let said = |error: crate::store::StoreError| error.to_string();
        let page = InboxPage {
            limit: MANY,
            ..InboxPage::default()
        };
        Ok(Self {
            messages: store
                .messages_after(&scope, MessageId(0), MANY)
                .map_err(said)?,
            conversations: store.inbox(&scope, &page).map_err(said)?,
            store,
        })
    }

    /// Everything.
    pub(super) fn check(&self, platform: &Platform, answers: &[Answer]) -> Verdict {
        self.every_acknowledged_post_is_here_once(platform)?;
        self.every_answer_is_here_once(answers)?;
        self.nothing_was_done_twice(platform, answers)?;
        self.answers_went_out_in_order(platform, answers)?;
        self.conversations_are_in_order(platform)?;
        self.counts_are_right()?;
        self.the_feed_is_whole()?;
        self.the_log_makes_the_same_desk()
    }

    fn every_acknowledged_post_is_here_once(&self, platform: &Platform) -> Verdict {
        let mut holders: HashMap<&str, Vec<MessageId>> = HashMap::new();
        for message in &self.messages {
            for id in message.external_ids() {
                holders.entry(id).or_default().push(message.id);
            }
        }
        for kept in &platform.posts {
            let post = &kept.post;
            let found = holders.get(post.id.as_str()).map_or(0, Vec::len);
            hold(found <= 1, || format!("{} is here {found} times", post.id))?;
            if post.is_poison() {
                hold(found == 0, || format!("{} is here as a message", post.id))?;
                continue;
            }
            hold(found == 1 || !kept.acknowledged, || {
                format!("{} was acknowledged and is not here", post.id)
            })?;
            let text = |one: &&Arc<MessageRecord>| one.text.as_deref() == Some(&post.text);
            let same = self.messages.iter().filter(text).count();
            hold(same <= 1, || {
                format!("\"{}\" stands here {same} times", post.text)
            })?;
        }
        Ok(())
    }

    fn message(&self, id: MessageId) -> Option<&Arc<MessageRecord>> {
        self.messages.iter().find(|message| message.id == id)
    }

    fn every_answer_is_here_once(&self, answers: &[Answer]) -> Verdict {
        for answer in answers {
            let Some(id) = answer.accepted else {
                return Err(format!("answer {} was never taken", answer.number));
            };
            let same = self
                .messages
                .iter()
                .filter(|message| message.text.as_deref() == Some(&answer.text));
            let same = same.count();
            hold(same == 1, || {
                format!("answer {} stands here {same} times", answer.number)
            })?;
            let message = self.message(id);
            hold(
                message.is_some_and(|one| state(one) > Some(DeliveryState::Queued)),
                || {
                    format!(
                        "what became of answer {} is not told: {message:?}",
                        answer.number
                    )
                },
            )?;
        }
        let left = WorkEntry::scan(self.store, &[], None, MANY);
        let left = left.map_err(|error| error.to_string())?;
        hold(left.is_empty(), || format!("work is left: {left:?}"))
    }

    /// Each part of an answer at most once; all of what is said to be sent; not all of what is said to have failed.
    fn nothing_was_done_twice(&self, platform: &Platform, answers: &[Answer]) -> Verdict {
        for (token, times) in &platform.done {
            hold(*times == 1, || format!("{token} was sent {times} times"))?;
        }
        for answer in answers {
            let Some(message) = answer.accepted.and_then(|id| self.message(id)) else {
                continue;
            };
            let done: Vec<bool> = (0..answer.parts.len())
                .map(|part| platform.done.contains_key(&send_token(message.id, part)))
                .collect();
            let tells = || {
                format!(
                    "answer {} is {:?}, and of its parts were done {done:?}",
                    answer.number,
                    state(message)
                )
            };
            match state(message) {
                Some(DeliveryState::Sent) => hold(done.iter().all(|done| *done), tells)?,
                Some(DeliveryState::Failed) => hold(!done.iter().all(|done| *done), tells)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// In a conversation, as they were written. One of which nobody knows may come late.
    fn answers_went_out_in_order(&self, platform: &Platform, answers: &[Answer]) -> Verdict {
        let mut last: BTreeMap<&str, (MessageId, usize)> = BTreeMap::new();
        for kept in &platform.posts {
            let Some((id, part)) = kept
                .post
                .token
                .as_deref()
                .and_then(crate::desk::outbox::read_send_token)
            else {
                continue;
            };
            let known = answers.iter().any(|answer| answer.accepted == Some(id));
            hold(known, || format!("{id} was sent and never taken"))?;
            if self.was_in_doubt(id) {
                continue;
            }
            let last = last.entry(&kept.post.thread).or_insert((id, part));
            hold(*last <= (id, part), || {
                format!("{id} part {part} was sent after {last:?}")
            })?;
            *last = (id, part);
        }
        Ok(())
    }

    /// Whether an answer was ever given up as unknown; an echo may have settled it later.
    fn was_in_doubt(&self, id: MessageId) -> bool {
        let Ok(log) = self.store.events(0, MANY) else {
            return false;
        };
        log.iter().any(|event| {
            matches!(&event.body, EventBody::MessageUpdated { message, .. }
                if message.id == id && state(message) == Some(DeliveryState::Unknown))
        })
    }

    fn of_conversation(&self, id: ConversationId) -> Vec<&Arc<MessageRecord>> {
        let mut found: Vec<_> = self
            .messages
            .iter()
            .filter(|message| message.conversation == id)
            .collect();
        found.sort_by_key(|message| message.place());
        found
    }

    /// The platform's messages stand in its order, our answers in the order of their writing, and an answer behind
    /// everything that its writer could see.
    fn conversations_are_in_order(&self, platform: &Platform) -> Verdict {
        let mut at: HashMap<&str, i64> = HashMap::new();
        for kept in platform
            .posts
            .iter()
            .filter(|kept| kept.post.token.is_none())
        {
            at.insert(&kept.post.id, kept.post.at_ms);
        }
        for conversation in &self.conversations {
            let messages = self.of_conversation(conversation.id);
            let mut last_post = i64::MIN;
            let mut last_answer = MessageId(0);
            for (place, message) in messages.iter().enumerate() {
                let post = message.external_id.as_deref().and_then(|id| at.get(id));
                if let Some(at) = post {
                    hold(*at > last_post, || {
                        format!("{message:?} stands behind what was written after it")
                    })?;
                    last_post = *at;
                } else if message.direction == Direction::Outbound {
                    hold(message.id > last_answer, || {
                        format!(
                            "answer {} stands behind {last_answer}, which is younger",
                            message.id
                        )
                    })?;
                    last_answer = message.id;
                    let behind = messages[place..].iter().find(|other| other.id < message.id);
                    hold(behind.is_none(), || {
                        format!(
                            "answer {} stands before {behind:?}, which its writer saw",
                            message.id
                        )
                    })?;
                }
            }
        }
        Ok(())
    }

    fn counts_are_right(&self) -> Verdict {
        for conversation in &self.conversations {
            let all = self.of_conversation(conversation.id);
            let messages: Vec<_> = all
                .iter()
                .filter(|one| one.kind == MessageKind::Message)
                .collect();
            let unread = messages
                .iter()
                .filter(|one| one.is_from_customer() && one.id > conversation.staff_read_up_to)
                .count();
            let answered = messages
                .iter()
                .filter(|one| one.direction == Direction::Outbound)
                .filter(|one| {
                    !matches!(
                        state(one),
                        Some(
                            DeliveryState::Queued | DeliveryState::Unknown | DeliveryState::Failed
                        )
                    )
                })
                .map(|one| one.place())
                .max()
                .unwrap_or(Place::FIRST);
            let waiting = messages
                .iter()
                .filter(|one| one.is_from_customer() && one.place() > answered)
                .map(|one| one.received_at)
                .min();
            let last = all.last().map(|one| one.place());
            let found = (messages.len(), unread, waiting, last);
            let told = (
                conversation.message_count as usize,
                conversation.unread_count as usize,
                conversation.waiting_since,
                conversation.last_message.as_ref().map(|last| last.place),
            );
            hold(found == told, || {
                format!(
                    "{} tells (messages, unread, waiting, last) {told:?}, and has {found:?}",
                    conversation.thread
                )
            })?;
        }
        Ok(())
    }

    fn the_feed_is_whole(&self) -> Verdict {
        let page = FeedPage {
            limit: MANY,
            ..FeedPage::default()
        };
        let feed = self.store.feed(&Scope::whole_desk(), &page);
        let feed: Vec<_> = feed
            .map_err(|error| error.to_string())?
            .iter()
            .map(|message| message.id)
            .collect();
        let mut wanted: Vec<_> = self
            .messages
            .iter()
            .filter(|message| message.kind == MessageKind::Message)
            .map(|message| message.id)
            .collect();
        wanted.sort_unstable_by(|one, other| other.cmp(one));
        hold(feed == wanted, || {
            format!("the feed shows {feed:?}, and there is {wanted:?}")
        })
    }

    fn the_log_makes_the_same_desk(&self) -> Verdict {
        let log = self
            .store
            .events(0, MANY)
            .map_err(|error| error.to_string())?;
        let mut messages: BTreeMap<MessageId, Arc<MessageRecord>> = BTreeMap::new();
        let mut conversations: BTreeMap<ConversationId, Arc<ConversationRecord>> = BTreeMap::new();
        for (event, due) in log.iter().zip(1_u64..) {
            hold(event.seq == due, || {
                format!("event {} stands where number {due} is due", event.seq)
            })?;
            match &event.body {
                EventBody::MessageCreated {
                    message,
                    conversation,
                } => {
                    let before = messages.insert(message.id, Arc::clone(message));
                    hold(before.is_none(), || {
                        format!("{} was made twice", message.id)
                    })?;
                    conversations.insert(conversation.id, Arc::clone(conversation));
                }
                EventBody::MessageUpdated {
                    message,
                    conversation,
                } => {
                    let before = messages.insert(message.id, Arc::clone(message));
                    let follows = before.is_some_and(|one| one.version < message.version);
                    hold(follows, || {
                        format!("{} went back by event {due}", message.id)
                    })?;
                    conversations.insert(conversation.id, Arc::clone(conversation));
                }
                EventBody::ConversationCreated { conversation }
                | EventBody::ConversationUpdated { conversation } => {
                    conversations.insert(conversation.id, Arc::clone(conversation));
                }
                _ => {}
            }
        }
        hold(self.store.head() == log.len() as u64, || {
            format!("the head is {} of {}", self.store.head(), log.len())
        })?;
        hold(messages.len() == self.messages.len(), || {
            format!(
                "the log has {} messages, the store {}",
                messages.len(),
                self.messages.len()
            )
        })?;
        for message in &self.messages {
            hold(messages.get(&message.id) == Some(message), || {
                format!("{} is not as the log has it", message.id)
            })?;
        }
        for conversation in &self.conversations {
            hold(
                conversations.get(&conversation.id) == Some(conversation),
                || format!("{} is not as the log has it", conversation.id),
            )?;
        }
        Ok(())
    }

    /// A client has heard each event of the log once, and nothing else.
    pub(super) fn was_heard_by(&self, follower: &Follower) -> Verdict {
        let log = self
            .store
            .events(0, MANY)
            .map_err(|error| error.to_string())?;
        hold(follower.heard.len() == log.len(), || {
            format!(
                "a client has heard {} events of {}",
                follower.heard.len(),
                log.len()
            )
        })?;
        for event in &log {
            let heard = &follower.heard[&event.seq];
            let (message, unread) = match &event.body {
                EventBody::MessageCreated {
                    message,
                    conversation,
                }
                | EventBody::MessageUpdated {
                    message,
                    conversation,
                } => (
                    Some(message.id.to_string()),
                    Some(u64::from(conversation.unread_count)),
                ),
                EventBody::ConversationCreated { conversation }
                | EventBody::ConversationUpdated { conversation } => {
                    (None, Some(u64::from(conversation.unread_count)))
                }
                _ => (None, None),
            };
            let data = &heard["data"];
            let same = heard["seq"] == event.seq
                && data["message"]["id"].as_str().map(str::to_owned) == message
                && data["conversation"]["unread_count"].as_u64() == unread;
            hold(same, || {
                format!(
                    "a client heard {heard} as event {}, which is {:?}",
                    event.seq, event.body
                )
            })?;
        }
        Ok(())
    }
}

/// The thread's conversation.
pub(super) fn conversation_of(
    store: &dyn Read,
    channel: ChannelNo,
    thread: &str,
) -> Option<ConversationId> {
    store
        .conversation_by_thread(&Scope::whole_desk(), channel, thread)
        .ok()
        .flatten()
}
