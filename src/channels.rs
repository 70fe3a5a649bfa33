//! The channels of this daemon: those that are open, and those of which only the history is left. They change while it
//! runs: who asks gets what is open now, as values of its own, and never holds a lock.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use deskbell_sdk::{AppKey, Channel, Kind, Settings, Time};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::store::entry::ChannelEntry;
use crate::store::record::ChannelNo;

/// Where a channel was set up, which is where it can be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetUpIn {
    /// In the configuration: it is read only here.
    File,
    /// Through the API.
    Api,
}

/// A channel that is open. A change makes a new one of the same number, and ends this one.
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
    /// Whether what was missed is fetched.
    pub catch_up: bool,
    /// Where it was set up.
    pub set_up_in: SetUpIn,
    status: Arc<Mutex<Status>>,
    turns: Option<DefaultDirectRateLimiter>,
    readings: Option<Arc<Semaphore>>,
    opened: Instant,
    catch_up_wanted: AtomicBool,
    catch_up_bell: Notify,
    ended: CancellationToken,
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
    /// What the parts of the daemon that use the channel found, each under its own name (`poll`, `registration`).
    pub found: BTreeMap<&'static str, Vec<deskbell_sdk::health::Finding>>,
    /// When its platform was last asked for what is new, where it has to be asked.
    pub polled_at: Option<Time>,
    /// When they were looked at.
    pub looked_at: Option<Time>,
    /// The platform refused our credentials: nothing is sent until they work again.
    pub sending_paused: bool,
    /// When a genuine delivery last could not be stored, so that the platform was asked to send it again.
    pub last_unstored_at: Option<Time>,
    /// How the last catching up went, or how far the running one is.
    pub catch_up: Option<CatchUpReport>,
    /// How decoding its deliveries once more last went, or goes.
    pub replay: Option<ReplayReport>,
    /// When catching up last found customers' messages that the platform should have delivered, and how many.
    pub undelivered: Option<(Time, u64)>,
}

/// How decoding a channel's deliveries once more goes, or went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayReport {
    /// Only what came then or later.
    pub since: Option<Time>,
    /// When it began.
    pub started_at: Time,
    /// When it ended; `None`: it runs.
    pub ended_at: Option<Time>,
    /// When the delivery came that was read last.
    pub come_to: Option<Time>,
    /// Deliveries that were read.
    pub deliveries: u64,
    /// Messages that were not here.
    pub new: u64,
    /// Messages that have their content only now.
    pub completed: u64,
    /// News of messages and conversations that were here.
    pub changed: u64,
    /// What was here already.
    pub known: u64,
    /// What is not understood now either.
    pub not_understood: u64,
    /// What is no longer in quarantine.
    pub released: u64,
    /// Why it ended early.
    pub error: Option<String>,
}

impl ReplayReport {
    /// One that begins.
    #[must_use]
    pub const fn new(since: Option<Time>, started_at: Time) -> Self {
        Self {
            since,
            started_at,
            ended_at: None,
            come_to: None,
            deliveries: 0,
            new: 0,
            completed: 0,
            changed: 0,
            known: 0,
            not_understood: 0,
            released: 0,
            error: None,
        }
    }
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

impl Status {
    /// Everything that was found, whoever found it.
    pub fn all_findings(&self) -> impl Iterator<Item = &deskbell_sdk::health::Finding> {
        self.findings.iter().chain(self.found.values().flatten())
    }
}

impl OpenChannel {
    /// The platform's address: the configured one, else the connector's own.
    #[must_use]
    pub fn api_base(&self) -> &str {
        self.settings
            .api_base()
            .or(self.kind.api_base)
            .unwrap_or_default()
    }

    /// Opens a channel of the configuration that catches up.
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
            catch_up: true,
            set_up_in: SetUpIn::File,
            status: Arc::default(),
            turns,
            readings,
            opened: Instant::now(),
            catch_up_wanted: AtomicBool::new(false),
            catch_up_bell: Notify::new(),
            ended: CancellationToken::new(),
        })
    }

    /// The same channel, which does as `before`, whose place it takes with the same settings.
    #[must_use]
    pub fn after(mut self, before: &Self) -> Self {
        self.status = Arc::clone(&before.status);
        self
    }

    /// The same channel, which goes on counting where `before` stood. What was found of the settings of `before` is
    /// forgotten, also where it is found only now.
    #[must_use]
    pub fn counting_on(mut self, before: &Self) -> Self {
        let status = Status {
            findings: Vec::new(),
            looked_at: None,
            sending_paused: false,
            ..before.status().clone()
        };
        self.status = Arc::new(Mutex::new(status));
        self
    }

    /// Cancelled once it was removed or changed: what runs for it ends, and asks [`Channels`] whether there is another.
    #[must_use]
    pub const fn ended(&self) -> &CancellationToken {
        &self.ended
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
            .all_findings()
            .all(|finding| finding.standing < broken)
    }
}

/// The limiter of a channel that sends.
fn turns(channel: &dyn Channel) -> Option<DefaultDirectRateLimiter> {
    let a_second = NonZeroU32::new(channel.send()?.sends_per_second())?;
    Some(RateLimiter::direct(Quota::per_second(a_second)))
}

/// All channels. Whoever changes them takes turns with others who do (the room `provision`).
#[derive(Debug)]
pub struct Channels {
    now: RwLock<Arc<Set>>,
    changes: watch::Sender<u64>,
}

/// The channels at one time.
#[derive(Clone, Debug, Default)]
struct Set {
    open: Vec<Arc<OpenChannel>>,
    by_id: HashMap<String, Arc<OpenChannel>>,
    known: HashMap<ChannelNo, Arc<ChannelEntry>>,
    /// Why a channel that is set up is not open.
    closed: HashMap<ChannelNo, Arc<str>>,
    /// One that is being made: its events have a name already, and it is in no list yet.
    expected: Option<Arc<ChannelEntry>>,
}

impl Set {
    fn remove(&mut self, no: ChannelNo) -> Option<Arc<OpenChannel>> {
        let place = self.open.iter().position(|channel| channel.no == no)?;
        let before = self.open.remove(place);
        self.by_id.remove(&before.id);
        Some(before)
    }
}

impl Default for Channels {
    fn default() -> Self {
        Self::new(Vec::new(), Vec::new())
    }
}

impl Channels {
    /// The open channels, and all that were ever known.
    #[must_use]
    pub fn new(open: Vec<Arc<OpenChannel>>, known: Vec<ChannelEntry>) -> Self {
        let by_id = open
            .iter()
            .map(|channel| (channel.id.clone(), Arc::clone(channel)));
        let known = known.into_iter().map(|entry| (entry.no, Arc::new(entry)));
        let set = Set {
            by_id: by_id.collect(),
            known: known.collect(),
            open,
            ..Set::default()
        };
        Self {
            now: RwLock::new(Arc::new(set)),
            changes: watch::Sender::new(0),
        }
    }

    fn now(&self) -> Arc<Set> {
        Arc::clone(&self.now.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn change<T>(&self, change: impl FnOnce(&mut Set) -> T) -> T {
        let mut now = self.now.write().unwrap_or_else(PoisonError::into_inner);
        let mut set = Set::clone(&now);
        let result = change(&mut set);
        *now = Arc::new(set);
        result
    }

    /// Takes in a channel of which there is only history: one that was imported.
    pub fn add_history(&self, entry: ChannelEntry) {
        self.change(|set| set.known.insert(entry.no, Arc::new(entry)));
    }

    /// The open channels: those of the configuration in its order, then the others.
    #[must_use]
    pub fn open(&self) -> Vec<Arc<OpenChannel>> {
        self.now().open.clone()
    }

    /// The open channel with this slug.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<Arc<OpenChannel>> {
        self.now().by_id.get(id).cloned()
    }

    /// The open channel with this number.
    #[must_use]
    pub fn get_no(&self, no: ChannelNo) -> Option<Arc<OpenChannel>> {
        let now = self.now();
        now.open.iter().find(|channel| channel.no == no).cloned()
    }

    /// What is known of a number, open or not.
    #[must_use]
    pub fn known(&self, no: ChannelNo) -> Option<Arc<ChannelEntry>> {
        let now = self.now();
        let expected = || now.expected.as_ref().filter(|entry| entry.no == no);
        now.known.get(&no).or_else(expected).cloned()
    }

    /// Every channel that was ever known, by number.
    #[must_use]
    pub fn all_known(&self) -> Vec<Arc<ChannelEntry>> {
        let mut all: Vec<_> = self.now().known.values().cloned().collect();
        all.sort_by_key(|entry| entry.no);
        all
    }

    /// The number of a slug, open or not.
    #[must_use]
    pub fn number_of(&self, id: &str) -> Option<ChannelNo> {
        let now = self.now();
        let mut known = now.known.values();
        match now.by_id.get(id) {
            Some(channel) => Some(channel.no),
            None => known.find(|entry| entry.id == id).map(|entry| entry.no),
        }
    }

    /// Why a channel that is set up is not open, and what to do; `None` where it is open, or is set up no more.
    #[must_use]
    pub fn why_closed(&self, no: ChannelNo) -> Option<Arc<str>> {
        self.now().closed.get(&no).cloned()
    }

    /// The open channels that share a webhook with `channel`: itself first.
    #[must_use]
    pub fn of_app(&self, channel: &Arc<OpenChannel>) -> Vec<Arc<OpenChannel>> {
        let app: Option<AppKey> = channel.channel.app();
        let now = self.now();
        let others = now
            .open
            .iter()
            .filter(|other| other.no != channel.no && app.is_some() && other.channel.app() == app);
        std::iter::once(channel).chain(others).cloned().collect()
    }

    /// Wakes whoever runs something for each channel: the value changes after every change of the open channels.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// A channel is about to be made: its number has a name from now on, for the event that tells of it.
    pub fn expect(&self, entry: ChannelEntry) {
        self.change(|set| set.expected = Some(Arc::new(entry)));
    }

    /// The channel that was expected will not come.
    pub fn expect_no_more(&self) {
        self.change(|set| set.expected = None);
    }

    /// Opens a channel, in the place of one with its number where there is one; what ran for that one ends.
    pub fn open_now(&self, entry: ChannelEntry, channel: OpenChannel) {
        let channel = Arc::new(channel);
        let before = self.change(|set| {
            let place = set.open.iter().position(|other| other.no == channel.no);
            let before = set.remove(channel.no);
            set.open
                .insert(place.unwrap_or(set.open.len()), Arc::clone(&channel));
            set.by_id.insert(channel.id.clone(), channel);
            set.closed.remove(&entry.no);
            set.known.insert(entry.no, Arc::new(entry));
            set.expected = None;
            before
        });
        self.tell(before.as_deref());
    }

    /// Closes a channel: only its history is left. `why`: what is to be done, where it is set up all the same.
    pub fn close(&self, entry: ChannelEntry, why: Option<&str>) {
        let before = self.change(|set| {
            let no = entry.no;
            match why {
                Some(why) => set.closed.insert(no, Arc::from(why)),
                None => set.closed.remove(&no),
            };
            set.known.insert(no, Arc::new(entry));
            set.remove(no)
        });
        self.tell(before.as_deref());
    }

    /// Ends what ran for a channel that is open no more, and wakes who looks after all.
    fn tell(&self, before: Option<&OpenChannel>) {
        if let Some(before) = before {
            before.ended.cancel();
        }
        self.changes.send_modify(|count| *count += 1);
    }
}

#[cfg(test)]
mod tests {
    use deskbell_sdk::{Limits, SettingProblem};

    use super::*;

    struct Silent;

    impl Channel for Silent {
        fn limits(&self) -> Limits {
            Limits::default()
        }

        fn app(&self) -> Option<AppKey> {
            Some(AppKey {
                platform: "nowhere",
                app_id: "7".to_owned(),
            })
        }
    }

    fn silent(_: &Settings) -> Result<Box<dyn Channel>, SettingProblem> {
        Ok(Box::new(Silent))
    }

    const SILENT: Kind = Kind {
        id: "silent",
        title: "Silence",
        settings: &[],
        api_base: None,
        open: silent,
    };

    fn entry(no: u16, id: &str) -> ChannelEntry {
        ChannelEntry {
            no: ChannelNo(no),
            id: id.to_owned(),
            connector: "silent".to_owned(),
            name: id.to_owned(),
            created_at: Time::default(),
        }
    }

    fn opened(no: u16, id: &str) -> OpenChannel {
        OpenChannel::open(ChannelNo(no), id, id, SILENT, Settings::default()).expect("opens")
    }

    #[test]
    fn a_change_is_seen_by_the_next_who_asks_and_ends_what_ran_before() {
        let channels = Channels::default();
        let mut changes = channels.changes();
        channels.open_now(entry(1, "one"), opened(1, "one"));
        channels.open_now(entry(2, "two"), opened(2, "two"));
        assert!(changes.has_changed().expect("alive"));
        changes.mark_unchanged();
        let (before, all) = (channels.get("one").expect("open"), channels.open());
        before.status().rejected = 7;
        assert_eq!(channels.of_app(&before).len(), 2);

        let new = opened(1, "one").after(&before);
        channels.open_now(entry(1, "one"), new);
        assert!(before.ended().is_cancelled() && changes.has_changed().expect("alive"));
        let after = channels.get("one").expect("open");
        assert!(!after.ended().is_cancelled());
        assert_eq!(after.status().rejected, 7);
        assert!(Arc::ptr_eq(&after, &channels.open()[0]), "the same place");
        assert!(Arc::ptr_eq(&before, &all[0]), "who asked before keeps it");

        after.status().sending_paused = true;
        let anew = opened(1, "one").counting_on(&after).status().clone();
        assert_eq!((anew.rejected, anew.sending_paused), (7, false));

        channels.close(entry(1, "one"), None);
        assert!(after.ended().is_cancelled());
        assert!(channels.get("one").is_none() && channels.get_no(ChannelNo(1)).is_none());
        assert_eq!(channels.number_of("one"), Some(ChannelNo(1)));
        assert_eq!(channels.all_known().len(), 2);
        channels.close(entry(2, "two"), Some("its key is missing"));
        assert_eq!(
            channels.why_closed(ChannelNo(2)).as_deref(),
            Some("its key is missing")
        );
        channels.open_now(entry(2, "two"), opened(2, "two"));
        assert_eq!(channels.why_closed(ChannelNo(2)), None);
    }

    #[test]
    fn one_that_is_expected_has_a_name_and_is_in_no_list() {
        let channels = Channels::default();
        channels.expect(entry(1, "one"));
        assert_eq!(
            channels.known(ChannelNo(1)).map(|known| known.id.clone()),
            Some("one".to_owned())
        );
        assert!(channels.all_known().is_empty() && channels.number_of("one").is_none());
        channels.expect_no_more();
        assert!(channels.known(ChannelNo(1)).is_none());
    }
}
