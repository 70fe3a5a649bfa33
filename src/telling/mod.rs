//! Tells browsers that it rings, that it is over, and that they are tested: the executor of the items that the desk has
//! decided together with the ring.
//!
//! Each device is a line of its own, so that a dead one delays nobody. On one device there is at most one sound in three
//! seconds: what waits meanwhile goes into one notification (F30). That a ring is over overtakes what rings.

mod message;
mod watch;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use deskbell_sdk::client::BoxFuture;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::app::App;
use crate::desk::Next;
use crate::desk::telling::{Begin, Finish, Trouble, is_of_use};
use crate::id::{DeviceId, WorkId};
use crate::push::Outcome;
use crate::store::Found;
use crate::store::entry::{Entry, RingEntry, Telling, TellingEntry};
use crate::work::{self, Executor, Item, pool};
use crate::writer::WriteError;

#[cfg(test)]
pub(crate) use watch::test_all;
pub use watch::{tests, unheard};

/// How many items of one device are carried out at once: one rings at the most, the others say that something is over.
const AT_ONCE: usize = 3;
/// How many push services are waited for at once, over all devices.
const CALLS: usize = 512;
/// The least time between two sounds on one device.
const BETWEEN_SOUNDS: Duration = Duration::from_secs(3);
/// From so many on, what waits for a device goes into one notification.
const MANY: usize = 3;

/// Tells browsers, for the runtime.
#[derive(Debug)]
pub struct Teller {
    jitter: fn() -> f64,
    calls: Semaphore,
    devices: Mutex<HashMap<DeviceId, Line>>,
}

/// What is known of a device in memory only.
#[derive(Debug, Default)]
struct Line {
    /// The rings that wait.
    waiting: BTreeSet<WorkId>,
    /// Whether one is on its way.
    rings: bool,
    /// When the last one went.
    sounded_at: Option<Instant>,
}

impl Default for Teller {
    fn default() -> Self {
        Self {
            jitter: crate::secrets::jitter,
            calls: Semaphore::new(CALLS),
            devices: Mutex::default(),
        }
    }
}

/// Whether a ring may go now.
enum May {
    /// It may, with these others.
    Go(Vec<WorkId>),
    /// Not before this has passed.
    In(Duration),
}

/// Carries out what is decided until the daemon stops: of a restored desk only once somebody says so (K07).
pub async fn run(app: App) {
    tokio::select! {
        () = app.stopping.cancelled() => return,
        () = app.held.released() => {}
    }
    pool::run(app, Arc::new(Teller::default()), AT_ONCE).await;
}

impl Executor for Teller {
    fn name(&self) -> &'static str {
        "telling"
    }

    fn on_record(
        &self,
        app: &App,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Found<Vec<(Vec<u8>, Item)>> {
        work::items(app, after, limit, |telling: &TellingEntry| {
            let rings = matches!(telling.what, Telling::Ring { .. });
            if rings {
                let mut devices = self.devices();
                let line = devices.entry(telling.device).or_default();
                line.waiting.insert(telling.id);
            }
            Item {
                id: telling.id,
                line: telling.device.0,
                due_at: telling.due_at,
                rank: i64::from(rings),
            }
        })
    }

    fn carry_out<'a>(
        &'a self,
        app: &'a App,
        work: WorkId,
    ) -> BoxFuture<'a, Result<Next, WriteError>> {
        Box::pin(self.step(app, work))
    }
}

impl Teller {
    fn devices(&self) -> MutexGuard<'_, HashMap<DeviceId, Line>> {
        self.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this ring may go; then nobody else's of the device may until [`Teller::went`].
    fn may(&self, device: DeviceId, work: WorkId) -> May {
        let now = Instant::now();
        let mut devices = self.devices();
        let line = devices.entry(device).or_default();
        if line.rings {
            return May::In(BETWEEN_SOUNDS);
        }
        let since = line.sounded_at.map(|at| now.duration_since(at));
        if let Some(since) = since.filter(|since| *since < BETWEEN_SOUNDS) {
            return May::In(BETWEEN_SOUNDS - since);
        }
        line.rings = true;
        line.sounded_at = Some(now);
        let mut works = vec![work];
        if line.waiting.len() >= MANY {
            works.extend(line.waiting.iter().filter(|other| **other != work));
        }
        May::Go(works)
    }

    /// A ring has gone, or came to nothing: what is not `sent` makes no other wait.
    fn went(&self, device: DeviceId, sent: bool) {
        if let Some(line) = self.devices().get_mut(&device) {
            line.rings = false;
            if !sent {
                line.sounded_at = None;
            }
        }
    }

    fn forget(&self, device: DeviceId, works: impl IntoIterator<Item = WorkId>) {
        let mut devices = self.devices();
        if let Some(line) = devices.get_mut(&device) {
            for work in works {
                line.waiting.remove(&work);
            }
            let is_quiet = line
                .sounded_at
                .is_none_or(|at| at.elapsed() >= BETWEEN_SOUNDS);
            if line.waiting.is_empty() && !line.rings && is_quiet {
                devices.remove(&device);
            }
        }
    }

    async fn step(&self, app: &App, work: WorkId) -> Result<Next, WriteError> {
        let read = |error: crate::store::StoreError| WriteError::Store(error.to_string());
        let Some(telling) = TellingEntry::get(&*app.store, &work.key()).map_err(read)? else {
            // It went together with another, or its device is gone.
            for line in self.devices().values_mut() {
                line.waiting.remove(&work);
            }
            return Ok(Next::Done);
        };
        let now = app.clock.now();
        let works = match telling.what {
            Telling::Ring { ring, .. } => {
                let ring = RingEntry::get(&*app.store, &RingEntry::key(ring)).map_err(read)?;
                if is_of_use(&telling, ring.as_ref(), now) {
                    match self.may(telling.device, work) {
                        May::Go(works) => works,
                        May::In(wait) => {
                            let wait_ms = i64::try_from(wait.as_millis()).unwrap_or(1_000);
                            return Ok(Next::At(now.plus_millis(wait_ms.max(1))));
                        }
                    }
                } else {
                    // What is of no use ends by the same decision.
                    vec![work]
                }
            }
            Telling::Over { .. } | Telling::Test { .. } => vec![work],
        };
        let told = self.tell(app, &telling, works).await;
        if matches!(telling.what, Telling::Ring { .. }) {
            let sent = matches!(told, Ok((_, true)));
            self.went(telling.device, sent);
        }
        let (next, _) = told?;
        if next == Next::Done {
            self.forget(telling.device, [work]);
        }
        Ok(next)
    }

    /// Records the attempt, makes it, and records what came of it. Says what comes next, and whether it was sent.
    async fn tell(
        &self,
        app: &App,
        telling: &TellingEntry,
        works: Vec<WorkId>,
    ) -> Result<(Next, bool), WriteError> {
        let first = telling.id;
        let begun = app
            .writer
            .write(Begin {
                works: works.clone(),
            })
            .await?;
        let still: Vec<WorkId> = begun.iter().map(|telling| telling.id).collect();
        let gone = works.iter().copied().filter(|work| !still.contains(work));
        self.forget(telling.device, gone);
        if begun.first().is_none_or(|telling| telling.id != first) {
            return Ok((Next::Done, false));
        }
        let ended = self.deliver(app, &begun).await;
        let word = match &ended {
            Ok(()) => "sent",
            Err(Trouble::Gone) => "expired",
            Err(Trouble::Refused(_)) => "refused",
            Err(Trouble::Passing(..)) => "failed",
            Err(Trouble::NotTheirs) => "not_theirs",
        };
        metrics::counter!("deskbell_tellings_total", "result" => word).increment(1);
        if let Err(Trouble::Refused(why) | Trouble::Passing(why, _)) = &ended {
            tracing::info!(device = %telling.device, why, "a device could not be told");
        }
        let sent = ended.is_ok();
        let finish = Finish {
            works: still.clone(),
            ended,
            jitter: (self.jitter)(),
        };
        loop {
            match app.writer.write(finish.clone()).await {
                Err(WriteError::Busy | WriteError::Store(_)) if !app.stopping.is_cancelled() => {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                result => {
                    if result == Ok(Next::Done) {
                        self.forget(telling.device, still);
                    }
                    return result.map(|next| (next, sent));
                }
            }
        }
    }

    async fn deliver(&self, app: &App, begun: &[TellingEntry]) -> Result<(), Trouble> {
        let read = {
            let (app, begun) = (Arc::clone(app), begun.to_vec());
            tokio::task::spawn_blocking(move || message::of(&app, &begun)).await
        };
        let (subscription, note) = match read {
            Ok(message) => message?,
            Err(_) => return Err(Trouble::Passing("it could not be read".to_owned(), None)),
        };
        let Ok(_call) = self.calls.acquire().await else {
            return Err(Trouble::Passing("the daemon is stopping".to_owned(), None));
        };
        let sent = app.push.send(app.clock.now(), &subscription, &note);
        match sent.await {
            Outcome::Sent => Ok(()),
            Outcome::Gone => Err(Trouble::Gone),
            Outcome::Refused(why) => Err(Trouble::Refused(why)),
            Outcome::Passing(why, after) => {
                let after_ms =
                    after.map(|after| i64::try_from(after.as_millis()).unwrap_or(i64::MAX));
                Err(Trouble::Passing(why, after_ms))
            }
        }
    }
}

#[cfg(test)]
mod pacing {
    use super::*;

    fn go(may: May) -> Option<usize> {
        match may {
            May::Go(works) => Some(works.len()),
            May::In(_) => None,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn f30_many_that_wait_are_one_sound_and_one_device_waits_for_no_other() {
        let teller = Teller::default();
        let (one, other) = (DeviceId(1), DeviceId(2));
        let wait = |device: DeviceId, works: std::ops::Range<u64>| {
            let mut devices = teller.devices();
            let line = devices.entry(device).or_default();
            line.waiting.extend(works.map(WorkId));
        };
        wait(one, 1..3);
        wait(other, 100..101);
        assert_eq!(go(teller.may(one, WorkId(1))), Some(1));
        assert_eq!(go(teller.may(one, WorkId(2))), None, "one is on its way");
        assert_eq!(go(teller.may(other, WorkId(100))), Some(1));
        teller.forget(one, [WorkId(1)]);
        teller.went(one, true);
        assert_eq!(go(teller.may(one, WorkId(2))), None, "too soon");
        wait(one, 3..50);
        tokio::time::advance(BETWEEN_SOUNDS).await;
        assert_eq!(go(teller.may(one, WorkId(7))), Some(48), "all in one");
        // What did not get through makes no other wait.
        teller.went(one, false);
        assert_eq!(go(teller.may(one, WorkId(8))), Some(48));
        teller.went(one, true);
        tokio::time::advance(BETWEEN_SOUNDS).await;
        teller.forget(one, (1..50).map(WorkId));
        assert!(!teller.devices().contains_key(&one), "nothing is kept");
    }
}
