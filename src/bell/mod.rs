//! The bell's clock: climbs rings whose next step is due. What a step means is decided by the desk; who is told, and on
//! what, is carried out from the event that the step writes.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use deskbell_sdk::Time;

use crate::app::App;
use crate::desk::bell::{Climb, Steps};
use crate::id::RingId;
use crate::store::Found;
use crate::store::change::EventBody;
use crate::store::entry::{Entry, OpenRing, RingEntry};

/// How many are read at once.
const BATCH: usize = 512;
/// The longest sleep: a clock that was set or a machine that slept is noticed after it.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);
/// How soon a ring is tried again whose step could not be recorded, in milliseconds.
const STORE_WAIT_MS: i64 = 500;

/// The rings that have not ended, by when they are due.
#[derive(Debug, Default)]
struct Due {
    by_time: BTreeSet<(Time, RingId)>,
    of: HashMap<RingId, Time>,
}

impl Due {
    /// Takes in how a ring stands: when it is due next, or that it is not.
    fn set(&mut self, ring: RingId, due_at: Option<Time>) {
        if let Some(before) = self.of.remove(&ring) {
            self.by_time.remove(&(before, ring));
        }
        if let Some(due_at) = due_at {
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
        for ring in due.due(&steps, now) {
            let climb = Climb {
                ring,
                steps: Arc::clone(&steps),
            };
            match app.writer.write(climb).await {
                Ok(Some(ring)) => due.set(ring.id, ring.next_step_at),
                Ok(None) => match standing(&app, ring) {
                    Ok(next) => due.set(ring, next),
                    Err(_) => due.set(ring, Some(now.plus_millis(STORE_WAIT_MS))),
                },
                Err(error) => {
                    tracing::warn!(%error, "a ring's step could not be recorded; it is tried again");
                    due.set(ring, Some(now.plus_millis(STORE_WAIT_MS)));
                    break;
                }
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
                due.set(RingId(u64::from_be_bytes(key)), open.due_at);
            }
        }
        match rows.last() {
            Some((key, _)) if rows.len() == BATCH => after = Some(key.clone()),
            _ => return Ok(()),
        }
    }
}

/// When a ring is due, as the store has it.
fn standing(app: &App, ring: RingId) -> Found<Option<Time>> {
    let open = OpenRing::get(&*app.store, &ring.key())?;
    Ok(open.and_then(|open| open.due_at))
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
                due.set(ring.id, next_of(ring));
            }
        }
    }
}

fn next_of(ring: &RingEntry) -> Option<Time> {
    ring.next_step_at.filter(|_| ring.sounds())
}

fn tell(due: &Due, now: Time) {
    let late_ms = due
        .by_time
        .first()
        .map_or(0, |(at, _)| now.as_millis().saturating_sub(at.as_millis()));
    let late = u32::try_from(late_ms.max(0) / 1000).unwrap_or(u32::MAX);
    metrics::gauge!("deskbell_rings_late_seconds").set(f64::from(late));
    let open = u32::try_from(due.of.len()).unwrap_or(u32::MAX);
    metrics::gauge!("deskbell_rings_open").set(f64::from(open));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Time {
        Time::from_millis(1_800_000_000_000 + seconds * 1000)
    }

    #[test]
    fn f11_what_is_due_is_found_whatever_the_clock_did() {
        let steps = Steps::default();
        let mut due = Due::default();
        due.set(RingId(1), Some(at(10)));
        due.set(RingId(2), Some(at(700)));
        due.set(RingId(3), Some(at(100_000)));
        due.set(RingId(4), Some(at(5)));
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
