//! The channels of this daemon: those that are open, and those of which only the history is left.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use deskbell_sdk::{AppKey, Channel, Kind, Settings, Time};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

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
        Ok(Self {
            no,
            id,
            name,
            kind,
            settings,
            channel,
            status: Mutex::default(),
            turns,
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
    known: RwLock<HashMap<ChannelNo, Arc<ChannelEntry>>>,
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
            known: RwLock::new(
                known
                    .into_iter()
                    .map(|entry| (entry.no, Arc::new(entry)))
                    .collect(),
            ),
            open,
        }
    }

    fn all(&self) -> RwLockReadGuard<'_, HashMap<ChannelNo, Arc<ChannelEntry>>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a channel of which there is only history: one that was imported.
    pub fn add_history(&self, entry: ChannelEntry) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.insert(entry.no, Arc::new(entry));
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
    pub fn known(&self, no: ChannelNo) -> Option<Arc<ChannelEntry>> {
        self.all().get(&no).cloned()
    }

    /// Every channel that was ever known, by number.
    #[must_use]
    pub fn all_known(&self) -> Vec<Arc<ChannelEntry>> {
        let mut all: Vec<_> = self.all().values().cloned().collect();
        all.sort_by_key(|entry| entry.no);
        all
    }

    /// The number of a slug, open or not.
    #[must_use]
    pub fn number_of(&self, id: &str) -> Option<ChannelNo> {
        match self.by_id.get(id) {
            Some(channel) => Some(channel.no),
            None => self
                .all()
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
