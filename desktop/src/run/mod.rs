//! `deskbell-desktop run`: hears the daemon, asks the policy, and does what it says.

mod deeds;
mod hearing;

pub(crate) use deeds::example;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, bail};
use jiff::Timestamp;
use tokio::sync::mpsc;

use crate::client::{Daemon, Failure};
use crate::clock::{Clock, Moment};
use crate::keeping::{self, Account, Lock};
use crate::notices::Notices;
use crate::paths::Paths;
use crate::policy::{Action, Policy};
use crate::settings::{self, Settings};
use crate::sound::Player;
use crate::stream::{self, Word};
use crate::tray::{Tray, Wish};
use crate::wire::{Channel, Conversation, Ring};

/// How often time is looked at while something waits or the line is down.
const BUSY_TICK: Duration = Duration::from_millis(250);
/// And how often otherwise.
const IDLE_TICK: Duration = Duration::from_secs(1);
/// A calendar that went on for so much longer than this program did: the computer slept, or its clock was set.
const SLEPT_MS: i64 = 5_000;
/// How soon the rings are read again where that failed, in milliseconds.
const LOOK_AGAIN_MS: u64 = 2_000;
/// How often it is kept how far the stream was heard, in milliseconds.
const KEEP_MS: u64 = 1_000;
/// So many conversations are remembered for what notifications say of them.
const MOST_KNOWN: usize = 2_000;
/// How many results may wait.
const QUEUE: usize = 256;

/// What came of something that was done beside.
enum Done {
    Rings(Result<Vec<Ring>, Failure>),
    Channels(Vec<Channel>),
    Knows(Box<Conversation>),
    Showed(String),
    Took {
        conversation: String,
        ring: String,
        result: Result<(), Failure>,
    },
    /// Whether it could be heard.
    Struck(Result<(), String>),
    Nothing,
}

/// The daemon that this computer is paired with, at this moment.
struct Current {
    paths: Paths,
    daemon: Mutex<Option<Daemon>>,
}

impl Current {
    /// The daemon; the file is read again, since the computer may have been paired again.
    fn find(&self) -> Option<Daemon> {
        let account = match Account::load(&self.paths) {
            Ok(account) => account,
            Err(error) => {
                tracing::error!("{error:#}");
                None
            }
        };
        let mut kept = self.daemon.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |one: &Daemon, account: &Account| {
            one.account().token == account.token && one.account().server == account.server
        };
        match account {
            None => *kept = None,
            Some(account) if kept.as_ref().is_some_and(|one| same(one, &account)) => {}
            Some(account) => match Daemon::new(account) {
                Ok(daemon) => *kept = Some(daemon),
                Err(error) => tracing::error!("{error:#}"),
            },
        }
        kept.clone()
    }
}

/// All that runs.
struct Runner {
    current: Arc<Current>,
    daemon: Daemon,
    clock: Clock,
    settings: Settings,
    settings_changed: Option<SystemTime>,
    policy: Policy,
    notices: Notices,
    player: Player,
    tray: Tray,
    results: mpsc::Sender<Done>,
    /// What channels are called, by their slugs.
    channels: HashMap<String, String>,
    known: HashMap<String, Conversation>,
    /// When the line was opened, by the daemon's clock.
    opened_at: Option<Timestamp>,
    /// How far the stream was heard, and how far of that is kept.
    heard: Option<u64>,
    kept: Option<u64>,
    kept_at: u64,
    look_at: u64,
    /// What comes of the last sound.
    stroke: Option<deeds::Stroke>,
    /// Why nothing can be heard, as far as is known.
    silent_because: Option<String>,
    /// The clocks at the last look.
    looked_at: (Moment, Timestamp),
}

/// Rings until somebody ends it.
///
/// # Errors
/// Where it cannot begin: this computer is not paired, its settings are wrong, or one runs already.
pub async fn run(paths: Paths) -> Result<()> {
    let Some(account) = Account::load(&paths)? else {
        bail!("this computer is not paired yet: deskbell-desktop pair --server https://…");
    };
    let Some(lock) = Lock::take(&paths)? else {
        bail!("it runs already; a second one would ring twice");
    };
    let settings = Settings::load(&paths.settings())?;
    let daemon = Daemon::new(account)?;
    let server = daemon.account().server.clone();
    tracing::info!(%server, "rings for {}", daemon.account().user_name.as_deref().unwrap_or("everybody"));
    let current = Arc::new(Current {
        paths: paths.clone(),
        daemon: Mutex::new(Some(daemon.clone())),
    });
    let finds = Arc::clone(&current);
    let position = keeping::position(&paths);
    let mut stream = stream::follow(position, move || finds.find());
    let (react, mut reactions) = mpsc::channel(QUEUE);
    let (results, mut done) = mpsc::channel(QUEUE);
    let (wish, mut wishes) = mpsc::channel(QUEUE);
    let clock = Clock::start();
    let looked_at = (clock.moment(), clock.wall());
    let mut runner = Runner {
        policy: Policy::new(daemon.account().user_id.clone(), clock.moment()),
        notices: Notices::start(react),
        player: Player::start().context("the sound cannot start")?,
        tray: Tray::start(wish),
        settings_changed: settings::changed_at(&paths.settings()),
        current,
        daemon,
        clock,
        settings,
        results,
        channels: HashMap::new(),
        known: HashMap::new(),
        opened_at: None,
        heard: position,
        kept: position,
        kept_at: 0,
        look_at: 0,
        stroke: None,
        silent_because: None,
        looked_at,
    };
    let mut ending = std::pin::pin!(ended());
    loop {
        tokio::select! {
            word = stream.words.recv() => {
                let Some(word) = word else { break };
                runner.hear(word);
                // What is there already is taken together, so that what rang and was taken is neither seen nor heard.
                while let Ok(word) = stream.words.try_recv() {
                    runner.hear(word);
                }
            }
            Some(reaction) = reactions.recv() => runner.react(reaction),
            Some(one) = done.recv() => runner.is_done(one),
            Some(one) = wishes.recv() => match one {
                Wish::Quit => break,
                Wish::Open => runner.open(None),
                Wish::Test => runner.test(None),
            },
            () = tokio::time::sleep(runner.tick()) => if runner.slept() {
                tracing::info!("the computer slept; the line is opened anew");
                stream.anew.notify_one();
            },
            () = &mut ending => break,
        }
        runner.decide();
    }
    runner.end().await;
    drop(lock);
    Ok(())
}

impl Runner {
    fn tick(&self) -> Duration {
        let busy = self.policy.waiting() > 0 || !self.policy.line().is_up();
        if busy { BUSY_TICK } else { IDLE_TICK }
    }

    /// Whether the calendar went on without us.
    fn slept(&mut self) -> bool {
        let now = (self.clock.moment(), self.clock.wall());
        let (moment, wall) = std::mem::replace(&mut self.looked_at, now);
        let ran = i64::try_from(now.0.ms.saturating_sub(moment.ms)).unwrap_or(i64::MAX);
        let passed = now.1.as_millisecond().saturating_sub(wall.as_millisecond());
        passed.saturating_sub(ran) > SLEPT_MS
    }

    /// Reads the settings where the file has changed. What is wrong is told, and what was right stays.
    fn read_settings(&mut self) {
        let path = self.current.paths.settings();
        let changed = settings::changed_at(&path);
        if changed == self.settings_changed {
            return;
        }
        self.settings_changed = changed;
        match Settings::load(&path) {
            Ok(settings) => {
                self.settings = settings;
                self.notices.close("settings");
                tracing::info!("the settings were read anew");
            }
            Err(error) => {
                tracing::error!("{error:#}");
                self.tell_person(
                    "settings",
                    "Deskbell: the settings are wrong",
                    &format!("{error:#}"),
                    false,
                );
            }
        }
    }

    fn decide(&mut self) {
        let now = self.clock.moment();
        self.read_settings();
        if self.policy.line().is_up() && self.policy.wants_look() && now.ms >= self.look_at {
            self.look(now);
        }
        let mut actions = self.policy.decide(&self.settings, now);
        // What is heard first, so that whoever tells the daemon what was shown knows of it.
        actions.sort_by_key(|action| !matches!(action, Action::Strike { .. }));
        for action in actions {
            self.act(action);
        }
        self.tray
            .tell(self.policy.waiting(), self.policy.line().is_up());
        if self.heard != self.kept && now.ms >= self.kept_at + KEEP_MS {
            self.keep(now);
        }
    }

    fn keep(&mut self, now: Moment) {
        self.kept_at = now.ms;
        let Some(heard) = self.heard else { return };
        match keeping::keep_position(&self.current.paths, heard) {
            Ok(()) => self.kept = Some(heard),
            Err(error) => tracing::warn!("{error:#}"),
        }
    }

    /// Reads what rings.
    fn look(&mut self, now: Moment) {
        self.look_at = now.ms + LOOK_AGAIN_MS;
        self.policy.begin_reading();
        let daemon = self.daemon.clone();
        self.beside(async move { Done::Rings(daemon.ringing().await) });
    }

    /// Does something beside, and hears what came of it.
    fn beside(&self, deed: impl Future<Output = Done> + Send + 'static) {
        let results = self.results.clone();
        tokio::spawn(async move {
            // Where nobody listens any more the program ends.
            let _ = results.send(deed.await).await;
        });
    }

    async fn end(&mut self) {
        self.player.silence();
        self.policy.begin_reading();
        self.policy.read(Vec::new());
        let keys: Vec<String> = self.policy.shown().map(str::to_owned).collect();
        let fixed = ["others", "line", "sound", "settings"];
        for key in keys.iter().map(String::as_str).chain(fixed) {
            self.notices.close(key);
        }
        // It answers when what was asked before is done.
        let _ = tokio::time::timeout(Duration::from_secs(2), self.notices.probe()).await;
        self.keep(self.clock.moment());
        tracing::info!("ends");
    }
}

/// Until somebody ends the program: Ctrl-C, or the session that ends.
async fn ended() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let terminate = async {
            match signal(SignalKind::terminate()) {
                Ok(mut terminate) => drop(terminate.recv().await),
                Err(_) => std::future::pending().await,
            }
        };
        tokio::select! {
            () = terminate => {}
            interrupted = tokio::signal::ctrl_c() => if interrupted.is_err() { std::future::pending().await },
        }
    }
    #[cfg(not(unix))]
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Words of the line, for the log.
fn log_word(word: &Word) {
    match word {
        Word::Up(_) => tracing::info!("the line is open"),
        Word::Down(why) => tracing::warn!(why, "the line is down; it is tried again"),
        Word::SignedOut(why) => tracing::error!(why, "signed out"),
        Word::Said(_) => {}
    }
}
