//! The bell's clock: climbs rings whose next step is due. What a step means is decided by the desk; who is told, and on
//! what, is carried out from the event that the step writes.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use deskbell_sdk::Time;

use crate::app::App;
use crate::desk::bell::{Climb, Steps};
use crate::duty;
use crate::id::RingId;
use crate::store::Found;
use crate::store::change::EventBody;
use crate::store::entry::{Entry, OpenRing};
use crate::store::record::ChannelNo;

/// How many are read at once.
const BATCH: usize = 512;
/// How many climb together, in one durable step.
const AT_ONCE: usize = 64;
/// The longest sleep: a clock that was set or a machine that slept is noticed after it.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);
/// How soon a ring is tried again whose step could not be recorded, in milliseconds.
const STORE_WAIT_MS: i64 = 500;

/// The rings that have not ended, by when they are due.
#[derive(Debug, Default)]
struct Due {
    by_time: BTreeSet<(Time, RingId)>,
    of: HashMap<RingId, Time>,
    /// Those that wait for a channel to open, by the channel.
    held: HashMap<ChannelNo, BTreeSet<RingId>>,
    held_for: HashMap<RingId, ChannelNo>,
}

impl Due {
    /// Takes in how a ring stands: when it is due next, or that it is not.
    fn set(&mut self, ring: RingId, open: Option<OpenRing>) {
        if let Some(before) = self.of.remove(&ring) {
            self.by_time.remove(&(before, ring));
        }
        if let Some(channel) = self.held_for.remove(&ring)
            && let Some(rings) = self.held.get_mut(&channel)
        {
            rings.remove(&ring);
            if rings.is_empty() {
                self.held.remove(&channel);
            }
        }
        let Some(open) = open else {
            return;
        };
        if let Some(channel) = open.held_for {
            self.held_for.insert(ring, channel);
            self.held.entry(channel).or_default().insert(ring);
        } else if let Some(due_at) = open.due_at {
            self.of.insert(ring, due_at);
            self.by_time.insert((due_at, ring));
        }
    }

    /// The rings that are due.
    fn due(&self, steps: &Steps, now: Time) -> Vec<RingId> {
        // Those in front are due; behind all stand those that a clock decided which was set back since.
        let early = self.by_time.iter().take_while(|(at, _)| *at <= now);
        let far = self.by_time.iter().rev();
        let far = far.take_while(|(at, _)| *at > now && steps.is_due(*at, now));
        early.chain(far).map(|(_, ring)| *ring).collect()
    }

    /// Those whose channel is no longer closed, or no longer keeps its rings: what was found when they were put on hold
    /// is not believed, since hours are changed, and clocks are set.
    fn released(&self, waits: impl Fn(ChannelNo) -> bool) -> Vec<RingId> {
        let over = self.held.iter().filter(|(channel, _)| !waits(**channel));
        over.flat_map(|(_, rings)| rings).copied().collect()
    }

    /// How long until the next one is due.
    fn sleep(&self, now: Time) -> Duration {
        let next = self.by_time.first().map(|(at, _)| {
            let wait_ms = at.as_millis().saturating_sub(now.as_millis()).max(1);
            Duration::from_millis(u64::try_from(wait_ms).unwrap_or(1))
        });
        next.unwrap_or(LONGEST_SLEEP).min(LONGEST_SLEEP)
    }
}

/// Climbs rings until the daemon stops. Of a restored desk only once somebody says so.
pub async fn run(app: App) {
    tokio::select! {
        () = app.stopping.cancelled() => return,
        () = app.held.released() => {}
    }
    let steps = Arc::new(steps(&app));
    let mut head = app.writer.head();
    // The log is read on from here: what was open before it is in the table.
    let mut position = *head.borrow_and_update();
    let mut due = Due::default();
    while let Err(error) = read_open(&app, &mut due) {
        tracing::error!(%error, "the rings cannot be read; it is tried again");
        tokio::time::sleep(LONGEST_SLEEP).await;
    }
    loop {
        let now = app.clock.now();
        let mut climbing = due.due(&steps, now);
        if !due.held.is_empty() {
            match duty::roster(&app) {
                Ok(roster) => climbing.extend(due.released(|channel| roster.holds(channel, now))),
                Err(error) => tracing::error!(%error, "the hours of channels cannot be read"),
            }
        }
        for some in climbing.chunks(AT_ONCE) {
            if !climb(&app, &steps, &mut due, some, now).await {
                break;
            }
        }
        tell(&due, now);
        tokio::select! {
            () = app.stopping.cancelled() => return,
            changed = head.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(due.sleep(app.clock.now())) => continue,
        }
        head.borrow_and_update();
        if let Err(error) = read_on(&app, &mut position, &mut due) {
            tracing::error!(%error, "the bell cannot read the log; it is tried again");
            tokio::time::sleep(LONGEST_SLEEP).await;
        }
    }
}

/// Climbs some rings together. Says whether the store took all of it.
async fn climb(app: &App, steps: &Arc<Steps>, due: &mut Due, rings: &[RingId], now: Time) -> bool {
    let climbs = rings.iter().map(|ring| {
        app.writer.write(Climb {
            ring: *ring,
            steps: Arc::clone(steps),
        })
    });
    let answers = futures_util::future::join_all(climbs).await;
    let again = OpenRing {
        due_at: Some(now.plus_millis(STORE_WAIT_MS)),
        held_for: None,
    };
    let mut all = true;
    for (ring, answer) in rings.iter().zip(answers) {
        match answer {
            Ok(Some(ring)) => due.set(ring.id, Some(OpenRing::from(&ring))),
            Ok(None) => due.set(*ring, standing(app, *ring).unwrap_or(Some(again))),
            Err(error) => {
                if all {
                    tracing::warn!(%error, "a ring's step could not be recorded; it is tried again");
                }
                all = false;
                due.set(*ring, Some(again));
            }
        }
    }
    all
}

/// The steps of the configuration.
#[must_use]
pub fn steps(app: &crate::app::Daemon) -> Steps {
    of_config(&app.config.bell)
}

/// The steps of a configuration.
#[must_use]
pub fn of_config(bell: &crate::config::Bell) -> Steps {
    let in_ms = |duration: &Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    Steps::new(bell.steps.iter().map(in_ms).collect(), in_ms(&bell.max_age))
}

/// Reads what is open.
fn read_open(app: &App, due: &mut Due) -> Found<()> {
    let mut after: Option<Vec<u8>> = None;
    loop {
        let rows = OpenRing::scan(&*app.store, &[], after.as_deref(), BATCH)?;
        for (key, open) in &rows {
            if let Ok(key) = key.as_slice().try_into() {
                due.set(RingId(u64::from_be_bytes(key)), Some(*open));
            }
        }
        match rows.last() {
            Some((key, _)) if rows.len() == BATCH => after = Some(key.clone()),
            _ => return Ok(()),
        }
    }
}

/// How a ring stands, as the store has it.
fn standing(app: &App, ring: RingId) -> Found<Option<OpenRing>> {
    OpenRing::get(&*app.store, &ring.key())
}

/// Takes in what happened to rings since. Whatever ends a ring without an event of the bell changes its conversation.
fn read_on(app: &App, position: &mut u64, due: &mut Due) -> Found<()> {
    loop {
        let events = app.store.events(*position, BATCH)?;
        let Some(last) = events.last() else {
            return Ok(());
        };
        *position = last.seq;
        for event in &events {
            if let EventBody::BellRung { ring } | EventBody::BellAcknowledged { ring } = &event.body
            {
                due.set(ring.id, Some(OpenRing::from(&**ring)));
            }
        }
    }
}

fn tell(due: &Due, now: Time) {
    let late_ms = due
        .by_time
        .first()
        .map_or(0, |(at, _)| now.as_millis().saturating_sub(at.as_millis()));
    let late = u32::try_from(late_ms.max(0) / 1000).unwrap_or(u32::MAX);
    metrics::gauge!("deskbell_rings_late_seconds").set(f64::from(late));
    let open = u32::try_from(due.of.len() + due.held_for.len()).unwrap_or(u32::MAX);
    metrics::gauge!("deskbell_rings_open").set(f64::from(open));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Time {
        Time::from_millis(1_800_000_000_000 + seconds * 1000)
    }

    #[expect(clippy::unnecessary_wraps, reason = "as it is wanted")]
    fn rings(seconds: i64) -> Option<OpenRing> {
        Some(OpenRing {
            due_at: Some(at(seconds)),
            held_for: None,
        })
    }

    #[test]
    fn what_waits_for_a_channel_is_due_when_the_channel_no_longer_keeps_it() {
        let steps = Steps::default();
        let mut due = Due::default();
        for (ring, channel) in [(1, 1), (2, 1), (3, 2)] {
            let held = OpenRing {
                due_at: Some(at(1_000_000)),
                held_for: Some(ChannelNo(channel)),
            };
            due.set(RingId(ring), Some(held));
        }
        assert_eq!(due.due(&steps, at(0)), [], "not for lying far ahead");
        assert_eq!(due.released(|_| true), []);
        assert_eq!(due.released(|channel| channel.0 == 1), [RingId(3)]);
        due.set(RingId(1), rings(7));
        due.set(RingId(3), None);
        assert_eq!(due.released(|_| false), [RingId(2)]);
        assert_eq!(due.due(&steps, at(7)), [RingId(1)]);
        due.set(RingId(2), None);
        assert!(due.held.is_empty() && due.held_for.is_empty());
    }

    #[test]
    fn f11_what_is_due_is_found_whatever_the_clock_did() {
        let steps = Steps::default();
        let mut due = Due::default();
        due.set(RingId(1), rings(10));
        due.set(RingId(2), rings(700));
        due.set(RingId(3), rings(100_000));
        due.set(RingId(4), rings(5));
        due.set(RingId(4), None);
        assert_eq!(due.due(&steps, at(0)), [RingId(3)]);
        assert_eq!(due.due(&steps, at(10)), [RingId(1), RingId(3)]);
        assert_eq!(due.sleep(at(9)), Duration::from_secs(1));
        assert_eq!(due.sleep(at(20)), Duration::from_millis(1));
        due.set(RingId(1), None);
        due.set(RingId(3), None);
        assert_eq!(due.due(&steps, at(699)), []);
        assert_eq!(due.due(&steps, at(700)), [RingId(2)]);
    }
}
