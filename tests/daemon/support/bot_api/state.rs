//! What the stand-in remembers.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use serde_json::Value;

use super::{Fault, Rule};

/// A send that was asked for properly.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    /// Its number among all, from 0.
    pub(crate) number: usize,
}

/// A message that the chat got.
#[derive(Clone, Debug)]
pub(crate) struct Executed {
    /// The chat and the message's number in it, as the desk writes its id.
    pub(crate) id: String,
    pub(crate) method: String,
    pub(crate) chat: i64,
    pub(crate) text: Option<String>,
    pub(crate) file: Option<SentFile>,
    pub(crate) reply_to: Option<i64>,
}

/// A file as it was uploaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SentFile {
    pub(crate) name: String,
    pub(crate) mime_type: String,
    pub(crate) bytes: bytes::Bytes,
}

/// A chat that the bot may write to.
#[derive(Clone, Debug)]
pub(super) struct Chat {
    pub(super) name: String,
    pub(super) last_message: i64,
    pub(super) blocked: bool,
    pub(super) moved_to: Option<i64>,
}

impl Chat {
    pub(super) fn of(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            last_message: 0,
            blocked: false,
            moved_to: None,
        }
    }
}

/// An update that nobody has confirmed.
pub(super) struct Queued {
    pub(super) number: i64,
    pub(super) body: Value,
    /// Whether it was in an answer: what never was must not be confirmed.
    pub(super) given: bool,
}

/// A webhook that was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Webhook {
    pub(super) url: String,
    pub(super) secret: String,
    pub(super) allowed_updates: Vec<String>,
}

pub(super) struct State {
    pub(super) token: String,
    pub(super) bot_id: i64,
    pub(super) chats: BTreeMap<i64, Chat>,
    pub(super) updates: VecDeque<Queued>,
    /// The kinds that were named last; they stay in force.
    pub(super) allowed_updates: Option<Vec<String>>,
    /// The number of the newest look: an older one that still waits is ended.
    pub(super) newest_look: u64,
    pub(super) looks: usize,
    pub(super) max_answer_bytes: usize,
    pub(super) webhook: Option<Webhook>,
    pub(super) webhook_set_at: Option<Instant>,
    pub(super) webhook_error: Option<String>,
    /// By id: the path and the content.
    pub(super) files: BTreeMap<String, (String, Vec<u8>)>,
    pub(super) attempts: Vec<Attempt>,
    pub(super) executed: Vec<Executed>,
    pub(super) actions: Vec<(i64, String)>,
    pub(super) violations: Vec<String>,
    pub(super) look_faults: VecDeque<Fault>,
    pub(super) send_rule: Option<Rule>,
    next_update: i64,
}

impl State {
    pub(super) fn of(token: &str) -> Self {
        let bot_id = token.split(':').next().and_then(|id| id.parse().ok());
        Self {
            token: token.to_owned(),
            bot_id: bot_id.expect("a token begins with the bot's id"),
            chats: BTreeMap::new(),
            updates: VecDeque::new(),
            allowed_updates: None,
            newest_look: 0,
            looks: 0,
            max_answer_bytes: 4 * 1024 * 1024,
            webhook: None,
            webhook_set_at: None,
            webhook_error: None,
            files: BTreeMap::new(),
            attempts: Vec::new(),
            executed: Vec::new(),
            actions: Vec::new(),
            violations: Vec::new(),
            look_faults: VecDeque::new(),
            send_rule: None,
            next_update: 870_000_001,
        }
    }

    /// Puts an update into the queue, unless its kind is not allowed.
    pub(super) fn queue(&mut self, mut update: Value) {
        let members = update.as_object_mut().expect("an update is an object");
        let kind = members.keys().next().expect("of some kind").clone();
        let default = |kind: &str| {
            !matches!(
                kind,
                "chat_member" | "message_reaction" | "message_reaction_count"
            )
        };
        let allowed = match &self.allowed_updates {
            Some(allowed) if !allowed.is_empty() => allowed.contains(&kind),
            _ => default(&kind),
        };
        if !allowed {
            return;
        }
        let number = self.next_update;
        self.next_update += 1;
        members.insert("update_id".to_owned(), number.into());
        self.updates.push_back(Queued {
            number,
            body: update,
            given: false,
        });
    }

    /// Writes down an attempt, and what it is to come to.
    pub(super) fn attempt(&mut self) -> Option<Fault> {
        let attempt = Attempt {
            number: self.attempts.len(),
        };
        let fault = self.send_rule.as_mut().and_then(|rule| rule(&attempt));
        self.attempts.push(attempt);
        fault
    }
}
