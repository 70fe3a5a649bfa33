//! Channels that people make while the daemon runs.

use super::Decision;
use crate::store::Found;
use crate::store::draft::Draft;
use crate::store::entry::{ChannelEntry, ChannelSetup, Entry, IdempotencyEntry};
use crate::store::record::ChannelNo;

/// Makes a channel, or changes how it is set up.
#[derive(Clone, Debug)]
pub struct SetUp {
    /// The slug.
    pub id: String,
    /// How it is set up from now on.
    pub setup: ChannelSetup,
    /// A number that no channel has, should the slug be new.
    pub free: ChannelNo,
    /// Whether it works, as far as is known.
    pub healthy: bool,
    /// What people are told of it.
    pub say: String,
    /// Under which key the request is remembered, and the hash of its body.
    pub remembered: Option<(Vec<u8>, Vec<u8>)>,
}

impl Decision for SetUp {
    type Answer = ChannelEntry;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<ChannelEntry> {
        let key = self.id.as_bytes().to_vec();
        let (no, created_at) = match draft.entry::<ChannelEntry>(&key)? {
            Some(known) => (known.no, known.created_at),
            None => (self.free, draft.now()),
        };
        let entry = ChannelEntry {
            no,
            id: self.id.clone(),
            connector: self.setup.connector.clone(),
            name: self.setup.name.clone(),
            created_at,
        };
        let setup = ChannelSetup {
            changed_at: draft.now(),
            ..self.setup.clone()
        };
        draft.put(entry.put(key.clone()));
        draft.put(setup.put(key));
        if let Some((key, body)) = &self.remembered {
            let request = IdempotencyEntry {
                body: body.clone(),
                made: self.id.clone(),
                at: draft.now(),
            };
            draft.put(request.put(key.clone()));
        }
        draft.channel_health(no, self.healthy, self.say.clone());
        Ok(entry)
    }

    fn weight(&self) -> usize {
        1024 + self.setup.weight()
    }
}

/// Removes a channel that people made: how it was set up is forgotten, its number and its history stay.
#[derive(Clone, Debug)]
pub struct TakeDown {
    /// The slug.
    pub id: String,
    /// What people are told of it.
    pub say: String,
}

impl Decision for TakeDown {
    /// What is left of it; `None` where there never was one.
    type Answer = Option<ChannelEntry>;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<Option<ChannelEntry>> {
        let key = self.id.as_bytes().to_vec();
        let Some(entry) = draft.entry::<ChannelEntry>(&key)? else {
            return Ok(None);
        };
        if draft.entry::<ChannelSetup>(&key)?.is_some() {
            draft.put(ChannelSetup::remove(key));
            draft.channel_health(entry.no, false, self.say.clone());
        }
        Ok(Some(entry))
    }
}

/// Keeps a channel's secrets as they are sealed by a new key. Where the channel was changed meanwhile, nothing is done:
/// the change sealed them by the new key itself.
#[derive(Clone, Debug)]
pub struct Reseal {
    /// The slug.
    pub id: String,
    /// How it was set up when its secrets were opened.
    pub before: ChannelSetup,
    /// The same, sealed anew.
    pub after: ChannelSetup,
}

impl Decision for Reseal {
    /// Whether it was done.
    type Answer = bool;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<bool> {
        let key = self.id.as_bytes().to_vec();
        let is_as_before = draft.entry::<ChannelSetup>(&key)?.as_ref() == Some(&self.before);
        if is_as_before {
            draft.put(self.after.put(key));
        }
        Ok(is_as_before)
    }

    fn weight(&self) -> usize {
        1024 + self.before.weight() + self.after.weight()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use deskbell_sdk::Time;

    use super::*;
    use crate::desk::testing::Desk;
    use crate::store::Read as _;
    use crate::store::change::EventBody;
    use crate::store::entry::{KeptSetting, SealedValue};

    fn setup(key: &str) -> ChannelSetup {
        let sealed = SealedValue {
            key: key.to_owned(),
            nonce: vec![1],
            sealed: vec![2],
        };
        ChannelSetup {
            connector: "messenger".to_owned(),
            name: "Page".to_owned(),
            settings: BTreeMap::from([("app_secret".to_owned(), KeptSetting::Sealed(sealed))]),
            api_base: None,
            catch_up: true,
            changed_at: Time::default(),
        }
    }

    fn set_up(free: u16) -> SetUp {
        SetUp {
            id: "page".to_owned(),
            setup: setup("old"),
            free: ChannelNo(free),
            healthy: true,
            say: "It was added.".to_owned(),
            remembered: Some((vec![7], vec![8])),
        }
    }

    fn take_down() -> TakeDown {
        TakeDown {
            id: "page".to_owned(),
            say: "It was removed.".to_owned(),
        }
    }

    fn kept(desk: &Desk) -> Option<ChannelSetup> {
        ChannelSetup::get(&desk.store, b"page").expect("memory")
    }

    /// What was told of channels: which, and whether it works.
    fn told(desk: &Desk) -> Vec<(u16, bool)> {
        let events = desk.store.events(0, 100).expect("memory");
        let news = events.iter().filter_map(|event| match &event.body {
            EventBody::ChannelHealth {
                channel, healthy, ..
            } => Some((channel.0, *healthy)),
            _ => None,
        });
        news.collect()
    }

    #[test]
    fn a_slug_keeps_its_number_and_its_beginning_through_removal() {
        let mut desk = Desk::new();
        let made = desk.decide(&[set_up(4)]).remove(0);
        assert_eq!((made.no, made.name.as_str()), (ChannelNo(4), "Page"));
        let left = desk.decide(&[take_down(), take_down()]);
        assert_eq!(left, [Some(made.clone()), Some(made.clone())]);
        assert_eq!(kept(&desk), None);
        let again = desk.decide(&[set_up(9)]).remove(0);
        assert_eq!(again, made);
        assert_eq!(told(&desk), [(4, true), (4, false), (4, true)]);
        let request = IdempotencyEntry::get(&desk.store, &[7]).expect("memory");
        assert_eq!(request.map(|request| request.made), Some("page".to_owned()));
        let nowhere = TakeDown {
            id: "nowhere".to_owned(),
            ..take_down()
        };
        assert_eq!(desk.decide(&[nowhere]), [None]);
    }

    #[test]
    fn k02_what_was_changed_meanwhile_is_not_sealed_over() {
        let mut desk = Desk::new();
        desk.decide(&[set_up(1)]);
        let before = kept(&desk).expect("kept");
        let reseal = Reseal {
            id: "page".to_owned(),
            after: setup("new"),
            before,
        };
        assert_eq!(
            desk.decide(&[reseal.clone(), reseal.clone()]),
            [true, false]
        );
        assert_eq!(kept(&desk), Some(setup("new")));
        desk.decide(&[take_down()]);
        assert_eq!(desk.decide(&[reseal]), [false]);
        assert_eq!(kept(&desk), None);
    }
}
