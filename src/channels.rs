//! The channels of this daemon: those that are open, and those of which only the history is left.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use deskbell_sdk::{AppKey, Channel, Kind, Settings, Time};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::store::entry::ChannelEntry;
use crate::store::record::ChannelNo;

/// A channel that is open.
pub struct OpenChannel {
    /// Its number in the store.
    pub no: ChannelNo,
    /// Its slug.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What kind it is.
    pub kind: Kind,
    /// Its settings.
    pub settings: Settings,
    /// Its connector.
    pub channel: Box<dyn Channel>,
    status: Mutex<Status>,
    turns: Option<DefaultDirectRateLimiter>,
    readings: Option<Arc<Semaphore>>,
    opened: Instant,
    catch_up_wanted: AtomicBool,
    catch_up_bell: Notify,
}

impl std::fmt::Debug for OpenChannel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenChannel")
            .field("id", &self.id)
            .field("kind", &self.kind.id)
            .finish_non_exhaustive()
    }
}

/// How a channel does since the daemon started.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// When a genuine delivery last came.
    pub last_event_at: Option<Time>,
    /// When a delivery was last refused for its signature.
    pub last_rejected_at: Option<Time>,
    /// How many were refused.
    pub rejected: u64,
    /// When the platform's own verification of the address last succeeded.
    pub last_handshake_at: Option<Time>,
    /// When the dashboard's test delivery last came.
    pub last_test_at: Option<Time>,
    /// The last thing the platform told the operator.
    pub last_alert: Option<(Time, String)>,
    /// What is wrong with its credentials, as far as was looked.
    pub findings: Vec<deskbell_sdk::health::Finding>,
    /// When they were looked at.
    pub looked_at: Option<Time>,
    /// The platform refused our credentials: nothing is sent until they work again.
    pub sending_paused: bool,
    /// When a genuine delivery last could not be stored, so that the platform was asked to send it again.
    pub last_unstored_at: Option<Time>,
    /// How the last catching up went, or how far the running one is.
    pub catch_up: Option<CatchUpReport>,
    /// When catching up last found customers' messages that the platform should have delivered, and how many.
    pub undelivered: Option<(Time, u64)>,
}

/// How a catching up goes, or went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatchUpReport {
    /// Why: `start`, `asked`, `silence` …
    pub reason: &'static str,
    /// When it began.
    pub started_at: Time,
    /// When it ended; `None`: it runs, or is about to.
    pub ended_at: Option<Time>,
    /// Threads that were read.
    pub threads: u64,
    /// Messages that were found there.
    pub found: u64,
    /// Those that were here.
    pub known: u64,
    /// Those that nobody had told.
    pub new: u64,
    /// Those that wait until it is known what became of an answer of ours.
    pub held: u64,
    /// What went wrong, and what to do; while it runs, what it waits for.
    pub error: Option<String>,
}

impl CatchUpReport {
    /// One that begins.
    #[must_use]
    pub const fn new(reason: &'static str, started_at: Time) -> Self {
        Self {
            reason,
            started_at,
            ended_at: None,
            threads: 0,
            found: 0,
            known: 0,
            new: 0,
            held: 0,
            error: None,
        }
    }
}

/// The stretch of time for which platforms allow so many calls.
const A_SECOND: Duration = Duration::from_secs(1);

/// A turn to read the platform's history. It is given back a second after it was dropped, so that in no second more
/// calls reach the platform than it allows, however long each is on its way.
#[derive(Debug)]
pub struct ReadingTurn(Option<OwnedSemaphorePermit>);

impl Drop for ReadingTurn {
    fn drop(&mut self) {
        if let (Some(permit), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current())
        {
            runtime.spawn(async move {
                tokio::time::sleep(A_SECOND).await;
                drop(permit);
            });
        }
    }
}

impl OpenChannel {
    /// Opens a channel.
    pub fn open(
        no: ChannelNo,
        id: &str,
        name: &str,
        kind: Kind,
        settings: Settings,
    ) -> Result<Self, deskbell_sdk::SettingProblem> {
        let channel = (kind.open)(&settings)?;
        let (id, name) = (id.to_owned(), name.to_owned());
        let turns = turns(&*channel);
        let readings = channel.backfill().map(|backfill| {
            let a_second = usize::try_from(backfill.calls_per_second()).unwrap_or(1);
            Arc::new(Semaphore::new(a_second.max(1)))
        });
        Ok(Self {
            no,
            id,
            name,
            kind,
            settings,
            channel,
            status: Mutex::default(),
            turns,
            readings,
            opened: Instant::now(),
            catch_up_wanted: AtomicBool::new(false),
            catch_up_bell: Notify::new(),
        })
    }

    /// How it does.
    pub fn status(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the platform's limit lets the channel send once more.
    pub async fn turn(&self) {
        if let Some(turns) = &self.turns {
            turns.until_ready().await;
        }
    }

    /// Waits until the platform's limit lets the channel's history be read once more. Whoever reads holds the turn while
    /// the call is under way.
    pub async fn reading_turn(&self) -> ReadingTurn {
        let Some(readings) = &self.readings else {
            return ReadingTurn(None);
        };
        // It is never closed.
        let turn = ReadingTurn(Arc::clone(readings).acquire_owned().await.ok());
        // The daemon before this one may have read until it ended.
        tokio::time::sleep(A_SECOND.saturating_sub(self.opened.elapsed())).await;
        turn
    }

    /// Asks for what was missed at the platform.
    pub fn want_catch_up(&self) {
        self.catch_up_wanted.store(true, Ordering::SeqCst);
        self.catch_up_bell.notify_one();
    }

    /// Whether somebody asks for it.
    #[must_use]
    pub fn catch_up_wanted(&self) -> bool {
        self.catch_up_wanted.load(Ordering::SeqCst)
    }

    /// It begins: whoever asks from now on asks for another.
    pub fn catch_up_begins(&self) {
        self.catch_up_wanted.store(false, Ordering::SeqCst);
    }

    /// Waits until somebody asks for it.
    pub async fn catch_up_asked(&self) {
        self.catch_up_bell.notified().await;
    }

    /// Whether nothing is known to be broken.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        let broken = deskbell_sdk::health::Standing::Broken;
        self.status()
            .findings
            .iter()
            .all(|finding| finding.standing < broken)
    }
}

/// The limiter of a channel that sends.
fn turns(channel: &dyn Channel) -> Option<DefaultDirectRateLimiter> {
    let a_second = NonZeroU32::new(channel.send()?.sends_per_second())?;
    Some(RateLimiter::direct(Quota::per_second(a_second)))
}

/// All channels.
#[derive(Debug, Default)]
pub struct Channels {
    open: Vec<Arc<OpenChannel>>,
    by_id: HashMap<String, Arc<OpenChannel>>,
    known: HashMap<ChannelNo, ChannelEntry>,
}

impl Channels {
    /// The open channels, and all that were ever known.
    #[must_use]
    pub fn new(open: Vec<Arc<OpenChannel>>, known: Vec<ChannelEntry>) -> Self {
        Self {
            by_id: open
                .iter()
                .map(|channel| (channel.id.clone(), Arc::clone(channel)))
                .collect(),
            known: known.into_iter().map(|entry| (entry.no, entry)).collect(),
            open,
        }
    }

    /// The open channels, in the order of the configuration.
    #[must_use]
    pub fn open(&self) -> &[Arc<OpenChannel>] {
        &self.open
    }

    /// The open channel with this slug.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Arc<OpenChannel>> {
        self.by_id.get(id)
    }

    /// The open channel with this number.
    #[must_use]
    pub fn get_no(&self, no: ChannelNo) -> Option<&Arc<OpenChannel>> {
        self.open.iter().find(|channel| channel.no == no)
    }

    /// What is known of a number, open or not.
    #[must_use]
    pub fn known(&self, no: ChannelNo) -> Option<&ChannelEntry> {
        self.known.get(&no)
    }

    /// Every channel that was ever known, by number.
    #[must_use]
    pub fn all_known(&self) -> Vec<&ChannelEntry> {
        let mut all: Vec<_> = self.known.values().collect();
        all.sort_by_key(|entry| entry.no);
        all
    }

    /// The number of a slug, open or not.
    #[must_use]
    pub fn number_of(&self, id: &str) -> Option<ChannelNo> {
        match self.by_id.get(id) {
            Some(channel) => Some(channel.no),
            None => self
                .known
                .values()
                .find(|entry| entry.id == id)
                .map(|entry| entry.no),
        }
    }

    /// The open channels that share a webhook with `channel`: itself first.
    pub fn of_app<'a>(
        &'a self,
        channel: &'a Arc<OpenChannel>,
    ) -> impl Iterator<Item = &'a Arc<OpenChannel>> {
        let app: Option<AppKey> = channel.channel.app();
        let others = self.open.iter().filter(move |other| {
            other.no != channel.no && app.is_some() && other.channel.app() == app
        });
        std::iter::once(channel).chain(others)
    }
}
