//! What the stand-in remembers.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use super::files::Files;
use super::{Echo, Fault, Page, Rule, now_ms};

/// A send that was asked for properly.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    /// Its number among all, from 0.
    pub(crate) number: usize,
    /// How many with the same metadata came before.
    pub(crate) repetition: usize,
    pub(crate) metadata: Option<String>,
}

/// A message that the person got.
#[derive(Clone, Debug)]
pub(crate) struct Executed {
    pub(crate) id: String,
    pub(crate) recipient: String,
    pub(crate) text: Option<String>,
    pub(crate) file: Option<SentFile>,
    pub(crate) metadata: Option<String>,
    pub(crate) reply_to: Option<String>,
    pub(crate) tag: Option<String>,
    pub(crate) at_ms: i64,
}

/// A file as it was uploaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SentFile {
    /// `image`, `audio`, `video` or `file`.
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) mime_type: String,
    pub(crate) bytes: bytes::Bytes,
}

/// A message in a conversation.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) id: String,
    pub(super) at_ms: i64,
    pub(super) from_page: bool,
    pub(super) text: Option<String>,
    pub(super) file: Option<SentFile>,
    pub(super) reply_to: Option<String>,
}

impl Message {
    pub(super) fn text(id: &str, from_page: bool, text: &str) -> Self {
        let (id, text) = (id.to_owned(), Some(text.to_owned()));
        Self {
            id,
            at_ms: now_ms(),
            from_page,
            text,
            file: None,
            reply_to: None,
        }
    }
}

/// A person who has written to the Page.
#[derive(Clone, Debug)]
pub(super) struct Person {
    pub(super) name: String,
    /// The address of the picture; one that nobody serves where the test says nothing.
    pub(super) picture: Option<String>,
    pub(super) last_deed_ms: i64,
    /// The conversation, from the oldest.
    pub(super) messages: Vec<Message>,
}

impl Person {
    pub(super) fn of(psid: &str) -> Self {
        Self {
            name: format!("Person {psid}"),
            picture: None,
            last_deed_ms: 0,
            messages: Vec::new(),
        }
    }

    /// When the conversation last moved.
    pub(super) fn updated_ms(&self) -> i64 {
        self.messages
            .last()
            .map_or(self.last_deed_ms, |message| message.at_ms)
    }
}

/// A callback that the app has registered.
#[derive(Clone, Debug)]
pub(super) struct Subscription {
    pub(super) callback_url: String,
    pub(super) fields: Vec<String>,
    pub(super) include_values: bool,
}

pub(super) struct State {
    pub(super) page: Page,
    /// Its own address, for the links that it gives.
    pub(super) url: String,
    pub(super) people: BTreeMap<String, Person>,
    pub(super) attempts: Vec<Attempt>,
    pub(super) executed: Vec<Executed>,
    pub(super) actions: Vec<(String, String)>,
    pub(super) violations: Vec<String>,
    pub(super) send_faults: VecDeque<Fault>,
    pub(super) send_rule: Option<Rule>,
    pub(super) read_faults: VecDeque<Fault>,
    /// When conversations were looked at, as long as it counts for the limit.
    pub(super) recent_reads: VecDeque<Instant>,
    pub(super) reads_made: usize,
    pub(super) pages_go_in_circles: bool,
    pub(super) callback: Option<String>,
    pub(super) echo: Echo,
    pub(super) webhook_answers: Vec<u16>,
    pub(super) subscriptions: BTreeMap<String, Subscription>,
    pub(super) subscribed_fields: Option<Vec<String>>,
    /// Fields that a subscription does not keep, though it says that it does.
    pub(super) fields_not_kept: Vec<String>,
    pub(super) files: Files,
    /// The messages whose attachments were asked for.
    pub(super) messages_asked: Vec<String>,
    /// Whom was asked for.
    pub(super) people_asked: Vec<String>,
    ids: usize,
}

impl State {
    pub(super) fn of(page: Page, url: &str) -> Self {
        Self {
            page,
            url: url.to_owned(),
            people: BTreeMap::new(),
            attempts: Vec::new(),
            executed: Vec::new(),
            actions: Vec::new(),
            violations: Vec::new(),
            send_faults: VecDeque::new(),
            send_rule: None,
            read_faults: VecDeque::new(),
            recent_reads: VecDeque::new(),
            reads_made: 0,
            pages_go_in_circles: false,
            callback: None,
            echo: Echo::After,
            webhook_answers: Vec::new(),
            subscriptions: BTreeMap::new(),
            subscribed_fields: None,
            fields_not_kept: Vec::new(),
            files: Files::default(),
            messages_asked: Vec::new(),
            people_asked: Vec::new(),
            ids: 0,
        }
    }

    /// An id as long and as odd as Meta's; none is given twice, also by stand-ins for other Pages.
    pub(super) fn next_id(&mut self) -> String {
        self.ids += 1;
        let seed = format!("{}/{}", self.page.page_id, self.ids);
        let secret = deskbell_sdk::Secret::new("ids of the stand-in");
        let digest = deskbell_sdk::webhook::hmac_sha256_hex(&secret, seed.as_bytes());
        format!("m_{digest}-Q_{:08}", self.ids)
    }

    /// Writes down an attempt, and what it is to come to.
    pub(super) fn attempt(&mut self, metadata: Option<&str>) -> Option<Fault> {
        let same =
            |attempt: &&Attempt| metadata.is_some() && attempt.metadata.as_deref() == metadata;
        let attempt = Attempt {
            number: self.attempts.len(),
            repetition: self.attempts.iter().filter(same).count(),
            metadata: metadata.map(str::to_owned),
        };
        let fault = self
            .send_faults
            .pop_front()
            .or_else(|| self.send_rule.as_mut().and_then(|rule| rule(&attempt)));
        self.attempts.push(attempt);
        fault
    }
}
