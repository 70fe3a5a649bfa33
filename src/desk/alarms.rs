//! Alarms: rings that tell people of something that is wrong, where no customer waits. There is one of each cause; it
//! climbs by the same steps as a ring, is taken like one, and ends when the cause is gone.

use super::Decision;
use super::bell::{Steps, begin_alarm, finish_alarm, keep_alarm};
use crate::store::Found;
use crate::store::draft::Draft;
use crate::store::entry::{Alarm, AlarmEntry, Entry, RingEntry, RingState};
use crate::store::record::ChannelNo;

/// What was taken this long ago and is still wrong rings once more: a day, in milliseconds.
const AGAIN_MS: i64 = 24 * 60 * 60 * 1000;

/// Something is wrong. Where that is known, only what is told of it changes.
#[derive(Clone, Debug)]
pub struct Raise {
    /// What.
    pub alarm: Alarm,
    /// The channel that it is about; `None`: the whole desk, which only those are told of who see all of it.
    pub channel: Option<ChannelNo>,
    /// The steps.
    pub steps: Steps,
}

impl Decision for Raise {
    /// Its ring.
    type Answer = RingEntry;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<RingEntry> {
        let key = self.alarm.cause.as_bytes();
        let known = match draft.entry::<AlarmEntry>(key)? {
            Some(entry) => draft.entry::<RingEntry>(&RingEntry::key(entry.ring))?,
            None => None,
        };
        let now = draft.now();
        if let Some(mut ring) = known {
            let over_ms = ring
                .ended_at
                .map_or(0, |at| now.as_millis() - at.as_millis());
            if ring.state == RingState::Ringing || over_ms.abs() < AGAIN_MS {
                let is_news = ring.alarm.as_ref() != Some(&self.alarm);
                if is_news && ring.state == RingState::Ringing {
                    ring.alarm = Some(self.alarm.clone());
                    keep_alarm(draft, &ring);
                }
                return Ok(ring);
            }
        }
        let ring = begin_alarm(draft, self.alarm.clone(), self.channel, &self.steps);
        let entry = AlarmEntry { ring: ring.id };
        draft.put(entry.put(key.to_vec()));
        Ok(ring)
    }
}

/// What was wrong is so no longer.
#[derive(Clone, Debug)]
pub struct End {
    /// The cause.
    pub cause: String,
}

impl Decision for End {
    /// Whether there was such an alarm.
    type Answer = bool;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<bool> {
        let key = self.cause.as_bytes();
        let Some(entry) = draft.entry::<AlarmEntry>(key)? else {
            return Ok(false);
        };
        draft.put(AlarmEntry::remove(key.to_vec()));
        let ring = draft.entry::<RingEntry>(&RingEntry::key(entry.ring))?;
        if let Some(ring) = ring.filter(|ring| ring.state == RingState::Ringing) {
            finish_alarm(draft, ring);
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use deskbell_sdk::Time;

    use super::*;
    use crate::desk::bell::{Climb, Take, Taken};
    use crate::desk::testing::Desk;
    use crate::id::UserId;
    use crate::store::change::EventBody;
    use crate::store::entry::{AlarmKind, OpenRing, RingEnd};
    use crate::store::{Read as _, Scope};

    fn raise(detail: &str) -> Raise {
        Raise {
            alarm: Alarm {
                cause: "disk".to_owned(),
                kind: AlarmKind::Disk,
                title: "The disk is nearly full".to_owned(),
                detail: detail.to_owned(),
            },
            channel: None,
            steps: Steps::default(),
        }
    }

    fn end(desk: &mut Desk) -> bool {
        let cause = "disk".to_owned();
        desk.decide(&[End { cause }]).remove(0)
    }

    fn ring_of(desk: &Desk, ring: &RingEntry) -> RingEntry {
        let found = RingEntry::get(&desk.store, &RingEntry::key(ring.id));
        found.expect("memory").expect("there")
    }

    fn rung(desk: &Desk) -> Vec<u32> {
        let events = desk.store.events(0, 1_000).expect("memory").into_iter();
        let steps = events.filter_map(|event| match event.body {
            EventBody::BellRung { ring } => Some(ring.step),
            _ => None,
        });
        steps.collect()
    }

    #[test]
    fn an_alarm_rings_once_a_cause_climbs_and_ends_with_it() {
        let mut desk = Desk::new();
        let ring = desk.decide(&[raise("1 GB"), raise("1 GB")]).remove(0);
        assert_eq!(
            (ring.conversation, ring.message, ring.channel),
            (None, None, None)
        );
        assert_eq!(rung(&desk), [1]);
        let steps = Arc::new(Steps::default());
        desk.now += 60_000;
        let climb = Climb {
            ring: ring.id,
            steps: Arc::clone(&steps),
        };
        desk.decide(&[climb]);
        assert_eq!(rung(&desk), [1, 2]);
        // What is told of it changes, and it does not ring for that.
        let ring = desk.decide(&[raise("half a GB")]).remove(0);
        assert_eq!(ring.alarm.expect("one").detail, "half a GB");
        assert_eq!(rung(&desk), [1, 2]);
        let ring = ring_of(&desk, &desk_ring(&desk));
        assert!(end(&mut desk) && !end(&mut desk));
        let ring = ring_of(&desk, &ring);
        assert_eq!(
            (ring.state, ring.ended),
            (RingState::Ended, Some(RingEnd::Resolved))
        );
        assert_eq!(
            OpenRing::get(&desk.store, &ring.id.key()).expect("memory"),
            None
        );
        // It is wrong again.
        let again = desk.decide(&[raise("1 GB")]).remove(0);
        assert_ne!(again.id, ring.id);
    }

    fn desk_ring(desk: &Desk) -> RingEntry {
        let mut all = RingEntry::scan(&desk.store, &[], None, 10).expect("memory");
        all.remove(0).1
    }

    #[test]
    fn an_alarm_that_was_taken_is_silent_for_a_day() {
        let mut desk = Desk::new();
        let ring = desk.decide(&[raise("1 GB")]).remove(0);
        let take = |scope| Take {
            scope,
            ring: ring.id,
            user: Some(UserId(7)),
            taker: UserId(7).to_string(),
        };
        // Who sees some channels only knows nothing of it.
        let some = Scope::of_channels([ChannelNo(1)]);
        assert!(matches!(desk.decide(&[take(some)])[0], Taken::NoRing));
        let taken = desk.decide(&[take(Scope::whole_desk())]).remove(0);
        assert!(matches!(taken, Taken::Done(ring) if ring.state == RingState::Taken));
        desk.now += 23 * 3_600_000;
        desk.decide(&[raise("1 GB")]);
        assert_eq!(rung(&desk), [1]);
        desk.now += 2 * 3_600_000;
        let again = desk.decide(&[raise("1 GB")]).remove(0);
        assert_eq!(rung(&desk), [1, 1]);
        assert_ne!(again.id, ring.id);
        assert!(end(&mut desk));
        assert_eq!(
            ring_of(&desk, &again).ended_at,
            Some(Time::from_millis(desk.now))
        );
    }
}
