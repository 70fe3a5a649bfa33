//! What comes in: the words of the line, what people do, and what came of deeds.

use super::{Done, LOOK_AGAIN_MS, MOST_KNOWN, Runner, log_word};
use crate::client::Failure;
use crate::notices::Reaction;
use crate::policy::Heard;
use crate::sse::Said;
use crate::stream::Word;
use crate::wire::{Channel, Conversation, Envelope};

impl Runner {
    pub(super) fn hear(&mut self, word: Word) {
        log_word(&word);
        let now = self.clock.moment();
        match word {
            Word::Up(opened_at) => {
                if let Some(daemon) = self.current.find() {
                    if daemon.account().user_id != self.daemon.account().user_id {
                        self.policy.is(daemon.account().user_id.clone());
                    }
                    self.daemon = daemon;
                }
                self.opened_at = opened_at;
                self.policy.up();
                self.look(now);
                self.read_channels();
            }
            Word::Down(_) => self.policy.down(now),
            Word::SignedOut(_) => {
                self.known.clear();
                self.policy.signed_out(now);
            }
            Word::Said(Said::Position(position)) => self.heard = Some(position),
            Word::Said(Said::Alive) => {}
            Word::Said(Said::Event { id, kind, data }) => {
                self.event(&kind, &data);
                self.heard = id.or(self.heard);
            }
        }
    }

    fn event(&mut self, kind: &str, data: &str) {
        if kind == "reset" {
            // What was missed is no longer kept: what rings is read, and nothing else is of use here.
            self.policy.doubt();
            return;
        }
        let is_of_use = [
            "bell.",
            "conversation.",
            "message.",
            "device.test",
            "desk.changed",
        ];
        if !is_of_use.iter().any(|prefix| kind.starts_with(prefix)) {
            return;
        }
        let envelope: Envelope = match serde_json::from_str(data) {
            Ok(envelope) => envelope,
            Err(error) => {
                // Better one question too many than a customer whom nobody hears.
                tracing::warn!(kind, %error, "an event is not understood");
                self.policy.doubt();
                return;
            }
        };
        let old = match (envelope.at, self.opened_at) {
            (Some(at), Some(opened_at)) => at < opened_at,
            _ => false,
        };
        let data = envelope.data;
        match (kind, data.ring) {
            ("bell.rung", Some(ring)) => self.policy.hear(Heard::Rung { ring, old }),
            ("bell.acknowledged", Some(ring)) => self.policy.hear(Heard::Taken(ring)),
            _ => {}
        }
        if let Some(conversation) = data.conversation {
            let id = conversation.id.clone();
            self.learn(&conversation);
            self.policy
                .hear(Heard::Conversation(Box::new(conversation)));
            if kind.starts_with("message.")
                && data
                    .message
                    .is_some_and(|message| message.is_answer_under_way())
            {
                self.policy.hear(Heard::Answering(id));
            }
        }
        if kind == "desk.changed" && data.what.as_deref() == Some("channels") {
            self.read_channels();
        }
        if kind == "device.test"
            && let Some(test) = data.test
            && Some(&test.device_id) == self.daemon.account().device_id.as_ref()
        {
            if test.silent {
                self.silent_test(test.test);
            } else {
                self.test(Some(test.test));
            }
        }
    }

    fn learn(&mut self, conversation: &Conversation) {
        if self.known.len() >= MOST_KNOWN {
            let policy = &self.policy;
            self.known.retain(|id, _| policy.ring_of(id).is_some());
            if self.known.len() >= MOST_KNOWN {
                self.known.clear();
            }
        }
        self.known
            .insert(conversation.id.clone(), conversation.clone());
    }

    fn read_channels(&self) {
        let daemon = self.daemon.clone();
        self.beside(async move {
            // Without their names channels are called by their slugs.
            Done::Channels(daemon.channels().await.unwrap_or_default())
        });
    }

    pub(super) fn react(&mut self, reaction: Reaction) {
        let now = self.clock.moment();
        match reaction {
            Reaction::Pressed { key, button } if button == "take" => {
                if let Some(ring) = self.policy.taking(&key, now) {
                    self.take(key, ring);
                }
            }
            Reaction::Pressed { key, .. } => {
                let is_ring = self.policy.ring_of(&key).is_some();
                self.policy.opening(&key, now);
                self.open(is_ring.then_some(key.as_str()));
            }
            Reaction::Gone { key } => self.policy.dismissed(&key, now),
            Reaction::Restarted => {
                tracing::info!("notifications are shown anew");
                self.policy.nothing_is_shown();
            }
        }
    }

    pub(super) fn is_done(&mut self, done: Done) {
        match done {
            Done::Rings(Ok(rings)) => self.policy.read(rings),
            Done::Rings(Err(failure)) => {
                tracing::warn!(%failure, "what rings could not be read; it is tried again");
                self.policy.reading_failed();
                self.look_at = self.clock.moment().ms + LOOK_AGAIN_MS;
            }
            Done::Channels(channels) => {
                let named = |one: Channel| (one.id, one.name);
                self.channels.extend(channels.into_iter().map(named));
            }
            Done::Knows(conversation) => {
                let id = conversation.id.clone();
                self.learn(&conversation);
                self.policy.hear(Heard::Conversation(conversation));
                self.is_shown(&id);
            }
            Done::Showed(conversation) => self.is_shown(&conversation),
            Done::Took {
                conversation,
                ring,
                result,
            } => self.took(&conversation, &ring, result),
            Done::Struck(result) => self.struck(result.err()),
            Done::Nothing => {}
        }
    }

    /// What was shown while it was taken elsewhere is closed.
    fn is_shown(&self, conversation: &str) {
        if self.policy.ring_of(conversation).is_none() {
            self.notices.close(conversation);
        }
    }

    fn took(&mut self, conversation: &str, ring: &str, result: Result<(), Failure>) {
        match result {
            Ok(()) => self.policy.over(conversation, ring),
            Err(Failure::Refused {
                status: 409 | 404,
                detail,
                ..
            }) => {
                self.policy.over(conversation, ring);
                self.tell_person("note", "Deskbell: it is not yours", &detail, true);
            }
            Err(failure) => {
                tracing::warn!(%failure, "a ring could not be taken");
                self.policy.not_taken(conversation);
                let words = format!("{failure}. It rings on.");
                self.tell_person("note", "Deskbell: it could not be taken", &words, true);
            }
        }
    }
}
