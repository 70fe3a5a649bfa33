//! What catching up found at a platform: each message once, whoever else tells it, and the mark up to which all is here.

use deskbell_sdk::{Direction, Event, NewMessage, Time};

use super::Decision;
use super::arrivals::{Arrivals, Outcome};
use super::claims::{Claim, claim};
use crate::store::Found;
use crate::store::draft::Draft;
use crate::store::entry::{CatchUpMark, Entry, SetAside, catch_up_key, set_aside_key};
use crate::store::record::ChannelNo;

/// Histories tell whole seconds, in milliseconds.
pub(super) const COARSE_MS: i64 = 1000;

/// Messages of one thread that a platform's history shows.
#[derive(Clone, Debug)]
pub struct TakeFound {
    /// The channel.
    pub channel: ChannelNo,
    /// The messages, oldest first.
    pub messages: Vec<NewMessage>,
    /// What could not be read, with what was wrong with it.
    pub unreadable: Vec<(String, String)>,
    /// When they were read.
    pub received_at: Time,
    /// The time of the message before the first, where it is known.
    pub before: Option<Time>,
    /// Where the channel stands once they are here. It stays where it was if a message had to wait.
    pub mark: Option<CatchUpMark>,
}

/// What became of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Messages that nobody had told.
    pub new: u32,
    /// Of these, the times of the customers'.
    pub new_inbound: Vec<Time>,
    /// Messages that were here.
    pub known: u32,
    /// Messages that may be answers of ours whose fate is being looked for: they have to be read again later.
    pub held: u32,
    /// Pieces that could not be read and were not set aside before.
    pub set_aside: u32,
    /// The time of the last of them.
    pub last: Option<Time>,
}

impl Decision for TakeFound {
    type Answer = Taken;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<Taken> {
        let mut taken = Taken::default();
        let mut before = self.before;
        for message in &self.messages {
            before = self.take(draft, message, before, &mut taken)?;
        }
        taken.last = before;
        for (raw, why) in &self.unreadable {
            let key = set_aside_key(self.channel, raw);
            if draft.entry::<SetAside>(&key)?.is_none() {
                let (raw, why) = (raw.clone(), why.clone());
                self.arrive(draft, Event::Undecodable { raw, why })?;
                let since = self.received_at;
                draft.put(SetAside { since }.put(key));
                taken.set_aside += 1;
            }
        }
        if let Some(mark) = self.mark.filter(|_| taken.held == 0) {
            Mark {
                channel: self.channel,
                mark,
            }
            .decide(draft)?;
        }
        Ok(taken)
    }

    fn weight(&self) -> usize {
        let texts = self.messages.iter().map(|message| {
            1024 + message.text.as_ref().map_or(0, String::len) + 512 * message.attachments.len()
        });
        let raws = self.unreadable.iter().map(|(raw, _)| raw.len());
        1024 + texts.chain(raws).sum::<usize>()
    }
}

impl TakeFound {
    fn arrive(&self, draft: &mut Draft<'_>, event: Event) -> Found<Outcome> {
        let arrivals = Arrivals {
            cursor: None,
            events: vec![(self.channel, event)],
            received_at: self.received_at,
            raw: None,
        };
        arrivals.decide(draft)
    }

    /// Takes one message. `before` is the time of the one before it, and the answer is that of this one.
    fn take(
        &self,
        draft: &mut Draft<'_>,
        message: &NewMessage,
        before: Option<Time>,
        taken: &mut Taken,
    ) -> Found<Option<Time>> {
        if let Some(id) = draft.message_by_external_id(self.channel, &message.external_id)?
            && let Some(known) = draft.message(self.channel, id)?
        {
            taken.known += 1;
            return Ok(Some(known.sent_at));
        }
        if message.direction == Direction::Outbound {
            match claim(draft, self.channel, message)? {
                Claim::Elsewhere => {}
                Claim::Ours(sent_at) => {
                    taken.known += 1;
                    return Ok(Some(sent_at));
                }
                Claim::Perhaps => {
                    taken.held += 1;
                    return Ok(before);
                }
            }
        }
        let mut message = message.clone();
        // A delivery tells milliseconds. What follows it within the same second must not slip before it.
        if let Some(before) = before
            && before > message.sent_at
            && before < message.sent_at.plus_millis(COARSE_MS)
        {
            message.sent_at = before;
        }
        let (sent_at, direction) = (message.sent_at, message.direction);
        if self
            .arrive(draft, Event::Message(Box::new(message)))?
            .erased
            > 0
        {
            return Ok(Some(sent_at));
        }
        taken.new += 1;
        if direction == Direction::Inbound {
            taken.new_inbound.push(sent_at);
        }
        Ok(Some(sent_at))
    }
}

/// Moves the mark of a channel.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    /// The channel.
    pub channel: ChannelNo,
    /// Where it stands.
    pub mark: CatchUpMark,
}

impl Decision for Mark {
    type Answer = ();

    fn decide(&self, draft: &mut Draft<'_>) -> Found<()> {
        let key = catch_up_key(self.channel);
        if draft.entry::<CatchUpMark>(&key)? != Some(self.mark) {
            draft.put(self.mark.put(key));
        }
        Ok(())
    }
}
