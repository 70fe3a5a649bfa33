//! One run: a daemon that lives, dies and lives again, between a platform and its readers, on one thread and one seed.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, HeaderValue, Method};
use deskbell_sdk::{Settings, Time};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::chance::Chance;
use super::channel::{Line, SECRET, SECRET_HEADER, kind_at, message};
use super::engine::{Mishap, Mishaps, Planted};
use super::followers::{self, Follower};
use super::oracle::{Desk, Verdict, conversation_of};
use super::platform::{Manners, Platform};
use super::points::Point;
use super::staff::{self, Answers};
use crate::api::testing;
use crate::app::App;
use crate::channels::{Channels, OpenChannel};
use crate::clock::Clock;
use crate::desk::access::OpenChannel as NumberChannel;
use crate::desk::catch_up::TakeFound;
use crate::desk::conversations::MarkRead;
use crate::outbox::Outbox;
use crate::store::embedded::simulated::{SimulatedDisk, Trouble};
use crate::store::entry::{Entry as _, WorkEntry};
use crate::store::memory::MemoryStore;
use crate::store::{ChannelNo, Store};
use crate::work::lanes;
use crate::writer::Writer;

/// When every run begins, by the platform's clock.
const BEGINS_MS: i64 = 1_790_000_000_000;
const HOUR_MS: i64 = 3_600_000;
const PAGE: ChannelNo = ChannelNo(1);
/// How long everything may take to come to rest once all is well, in virtual time: half a day.
const REST_MS: i64 = 12 * HOUR_MS;

/// What a run is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setup {
    /// The real engine on a simulated disk, or the one in memory.
    pub(super) embedded: bool,
    /// Whether the daemon's clock is set.
    pub(super) clock_jumps: bool,
    /// How often the daemon begins.
    pub(super) lives: u64,
    /// What happens in each life at the most.
    pub(super) steps: u64,
    /// How the platform behaves.
    pub(super) manners: Manners,
    /// What is wrong on purpose.
    pub(super) planted: Planted,
}

impl Setup {
    /// What a seed makes of it: each kind of trouble is in some runs and not in others, so that each meets each.
    pub(super) fn of(seed: u64, planted: Planted) -> Self {
        let mut chance = Chance::of(seed ^ 0x5E70);
        let manners = Manners {
            sends_fail: chance.one_of(&[0, 30, 60]),
            lost_answers: chance.one_of(&[0, 20, 40]),
            undelivered: chance.one_of(&[0, 15]),
            repeats: chance.one_of(&[0, 30]),
            unanswered: chance.one_of(&[0, 30]),
            tells: !chance.percent(10),
            window_ms: chance.percent(20).then_some(24 * HOUR_MS),
            postpones_all: false,
            blind: planted == Planted::BlindResend,
        };
        Self {
            embedded: chance.percent(20) || planted == Planted::LostSync,
            clock_jumps: chance.percent(50),
            lives: chance.between(1, 4),
            steps: chance.between(10, 50),
            manners,
            planted,
        }
    }
}

/// How a life ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// By the operator.
    Clean,
    /// The process is killed.
    Killed,
    /// The power is cut.
    PowerCut,
    /// It has lived to the end of the run.
    OfTheRun,
}

/// What outlives the daemon.
enum Engine {
    Memory(Arc<MemoryStore>),
    Embedded(Arc<SimulatedDisk>, TempDir),
}

thread_local! {
    static JITTER: RefCell<Chance> = const { RefCell::new(Chance::of(0)) };
}

/// A run.
pub(super) struct World {
    setup: Setup,
    seed: u64,
    chance: Chance,
    engine: Engine,
    folder: TempDir,
    platform: Arc<Mutex<Platform>>,
    followers: Vec<followers::Shared>,
    answers: Answers,
    /// The time at the platform.
    now_ms: i64,
    /// How far the daemon's clock is from it.
    clock_off_ms: i64,
    /// The checksum of every event that was ever seen in the log.
    log: BTreeMap<u64, u32>,
    /// What happened, for whoever looks into a failure.
    pub(super) steps: Vec<String>,
}

/// A daemon that lives.
pub(super) struct Life {
    pub(super) app: App,
    pub(super) store: Arc<Mishaps>,
    pub(super) line: Line,
    router: Router,
    listening: Vec<JoinHandle<()>>,
}

impl World {
    /// The world of a seed.
    pub(super) fn new(seed: u64, setup: Setup) -> Self {
        let mut chance = Chance::of(seed);
        let folder = || tempfile::tempdir().expect("a folder");
        let engine = if setup.embedded {
            let disk = SimulatedDisk::new(setup.planted == Planted::LostSync);
            Engine::Embedded(disk, folder())
        } else {
            Engine::Memory(Arc::default())
        };
        let followers = chance.between(1, 3);
        Self {
            setup,
            seed,
            engine,
            folder: folder(),
            platform: Arc::new(Mutex::new(Platform::new(chance.next(), setup.manners))),
            followers: (0..followers)
                .map(|_| Follower::new(chance.next()))
                .collect(),
            answers: Arc::default(),
            now_ms: BEGINS_MS,
            clock_off_ms: 0,
            log: BTreeMap::new(),
            steps: Vec::new(),
            chance,
        }
    }

    /// Runs it to its end; an error says what did not hold.
    pub(super) fn run(&mut self) -> Verdict {
        let mut life = 0;
        loop {
            life += 1;
            let runtime = runtime();
            let end = runtime.block_on(self.live(life));
            // All tasks end here, wherever they are: that is the kill.
            drop(runtime);
            let end = end?;
            if end == End::OfTheRun {
                return Ok(());
            }
            self.steps.push(format!("life {life} ended: {end:?}"));
            if let (End::PowerCut, Engine::Embedded(disk, folder)) = (end, &self.engine) {
                disk.cut_power(folder.path()).expect("a disk");
            }
            self.now_ms += i64::try_from(self.chance.below(5_000)).expect("short");
            if self.setup.clock_jumps && self.chance.percent(20) {
                self.set_clock();
            }
        }
    }

    /// Runs a scenario of somebody's own in one life, on the engine in memory.
    pub(super) fn stage(manners: Manners, scenario: impl AsyncFnOnce(&mut Self, &mut Life)) {
        let setup = Setup {
            embedded: false,
            clock_jumps: false,
            lives: 1,
            steps: 0,
            manners,
            planted: Planted::Nothing,
        };
        let mut world = Self::new(1, setup);
        runtime().block_on(async {
            let mut life = world.begin(1).await.expect("it begins");
            scenario(&mut world, &mut life).await;
        });
    }

    /// Plays `script` in a first life, which ends at `point` at the latest, and lets a second one come to rest. Says
    /// whether the point was reached.
    pub(super) fn die_at(
        &mut self,
        point: Point,
        script: impl AsyncFnOnce(&mut Self, &Life) -> bool,
    ) -> Result<bool, String> {
        let first = runtime();
        let died = first.block_on(async {
            let life = self.begin(1).await?;
            match (point, &self.engine) {
                (Point::Commit(number, mishap), _) => life.store.plan_behind(number, mishap),
                (Point::Send(number), _) => life.line.dies_behind(number),
                (Point::Frame(number, trouble), Engine::Embedded(disk, _)) => {
                    disk.plan_behind(number, trouble);
                }
                (Point::Frame(..), Engine::Memory(_)) => return Err("there is no disk".to_owned()),
            }
            let died = script(self, &life).await;
            life.line.cut();
            self.now_ms = life.line.now_ms();
            Ok(died)
        });
        drop(first);
        let died = died?;
        if let (Point::Frame(..), Engine::Embedded(disk, folder)) = (point, &self.engine) {
            disk.cut_power(folder.path()).expect("a disk");
        }
        self.now_ms += 1_000;
        runtime().block_on(async {
            let mut life = self.begin(2).await?;
            self.compare_log(&life, 0)?;
            self.come_to_rest(&mut life).await?;
            life.store.close().map_err(|error| error.to_string())
        })?;
        Ok(died)
    }

    /// A checksum of everything that happened, to compare two runs of one seed.
    pub(super) fn digest(&self) -> u32 {
        let mut all = format!("{:?} {:?}", self.log, self.steps);
        let platform = self.platform.lock().expect("nobody panicked");
        all.push_str(&format!("{:?} {:?}", platform.posts, platform.done));
        crc32fast::hash(all.as_bytes())
    }

    /// How many attempts to send there were, and how many events.
    pub(super) fn size(&self) -> (u64, usize) {
        let platform = self.platform.lock().expect("nobody panicked");
        (platform.calls, self.log.len())
    }

    fn set_clock(&mut self) {
        self.clock_off_ms = self.chance.one_of(&[
            0,
            0,
            1_000,
            -1_000,
            HOUR_MS,
            -HOUR_MS,
            -10 * 365 * 24 * HOUR_MS,
        ]);
        self.steps
            .push(format!("the clock is {} ms off", self.clock_off_ms));
    }

    pub(super) async fn begin(&mut self, life: u64) -> Result<Life, String> {
        let clock = Clock::going_from(Time::from_millis(self.now_ms + self.clock_off_ms));
        let engine: Arc<dyn Store> = match &self.engine {
            Engine::Memory(store) => Arc::<MemoryStore>::clone(store),
            Engine::Embedded(disk, folder) => Arc::new(
                disk.open(folder.path(), clock.clone())
                    .map_err(|error| format!("the store does not open: {error}"))?,
            ),
        };
        let line = Line::new(Arc::clone(&self.platform), self.now_ms);
        let dead = Arc::clone(&line.dead);
        let store = Mishaps::on(engine, self.setup.planted, life > 1, dead);
        JITTER.set(Chance::of(self.seed ^ life));
        let held: Arc<dyn Store> = Arc::<Mishaps>::clone(&store);
        let (writer, mut steps) =
            Writer::driven(Arc::clone(&held), clock.clone(), self.seed ^ life);
        let mut delays = Chance::of(self.chance.next());
        tokio::spawn(async move {
            while let Some(first) = steps.next().await {
                // A disk takes its time, and others queue meanwhile.
                tokio::time::sleep(Duration::from_millis(delays.below(30))).await;
                if !steps.step(first) {
                    return;
                }
            }
        });
        let number = NumberChannel {
            id: "page".to_owned(),
            connector: "simulated".to_owned(),
            name: "The page".to_owned(),
            free: PAGE,
        };
        let entry = writer
            .write(number)
            .await
            .map_err(|error| error.to_string())?;
        let channel = OpenChannel::open(
            PAGE,
            "page",
            "The page",
            kind_at(&line),
            Settings::default(),
        );
        let channels = Channels::new(vec![Arc::new(channel.expect("it opens"))], vec![entry]);
        let config = testing::config(self.folder.path().to_owned());
        let app = testing::daemon(config, held, writer, clock, channels);
        tokio::spawn(crate::live::follow(Arc::clone(&app)));
        let jitter = || JITTER.with_borrow_mut(Chance::unit);
        tokio::spawn(lanes::run(
            Arc::clone(&app),
            Arc::new(Outbox::with_jitter(jitter)),
        ));
        tokio::spawn(deliver(Arc::clone(&app), line.clone()));
        let router = crate::api::router(Arc::clone(&app));
        let mut life = Life {
            app,
            store,
            line,
            router,
            listening: Vec::new(),
        };
        for follower in &self.followers {
            life.listening.push(tokio::spawn(followers::connect(
                life.router.clone(),
                Arc::clone(follower),
            )));
        }
        Ok(life)
    }

    async fn live(&mut self, number: u64) -> Result<End, String> {
        let mut life = self.begin(number).await?;
        self.compare_log(&life, 0)?;
        let mut end = None;
        // The last one lives on, and one that died instead is followed by another in which nothing more happens.
        let is_last = number >= self.setup.lives;
        let steps = if number > self.setup.lives {
            0
        } else {
            self.setup.steps
        };
        for _ in 0..steps {
            end = self.step(&mut life).await;
            let wait_ms = match self.chance.below(10) {
                0 => self.chance.below(90_000),
                1..=4 => self.chance.below(5_000),
                _ => self.chance.below(300),
            };
            if self.pass(&life, wait_ms).await {
                // The machine has stopped, or only the process.
                let by_power =
                    matches!(self.engine, Engine::Embedded(..)) && self.chance.percent(60);
                end = Some(if by_power { End::PowerCut } else { End::Killed });
            }
            self.look(&life)?;
            if end.is_some() {
                break;
            }
        }
        if is_last && end.is_none() {
            self.come_to_rest(&mut life).await?;
            end = Some(End::OfTheRun);
        }
        let end = end.unwrap_or(End::Killed);
        life.line.cut();
        self.now_ms = life.line.now_ms();
        if matches!(end, End::Clean | End::OfTheRun) {
            life.store.close().map_err(|error| error.to_string())?;
        }
        Ok(end)
    }

    /// Lets time pass. Says whether the daemon has died meanwhile.
    pub(super) async fn pass(&self, life: &Life, ms: u64) -> bool {
        let until = tokio::time::Instant::now() + Duration::from_millis(ms);
        loop {
            let left = until.saturating_duration_since(tokio::time::Instant::now());
            tokio::time::sleep(left.min(Duration::from_millis(200))).await;
            let disk_is_dead = matches!(&self.engine, Engine::Embedded(disk, _) if disk.is_dead());
            if life.store.is_dead() || disk_is_dead {
                return true;
            }
            if left.is_zero() {
                return false;
            }
        }
    }

    /// Something happens.
    async fn step(&mut self, life: &mut Life) -> Option<End> {
        let thread = format!("t{}", self.chance.below(3));
        let what = self.chance.below(100);
        self.steps
            .push(format!("{} at {}", what, life.line.now_ms() - BEGINS_MS));
        match what {
            0..30 => life
                .line
                .platform()
                .write(life.line.now_ms(), &thread, true),
            30..34 => life
                .line
                .platform()
                .write(life.line.now_ms(), &thread, false),
            34..52 => self.answer(life, &thread),
            52..57 => self.ask_again(life),
            57..62 => self.read(life, &thread),
            62..67 => catch_up(life, &thread),
            67..73 => self.cut_a_follower(life),
            73..77 => life.store.plan(Mishap::Refused),
            77..79 => life.store.cannot_read(1),
            79..84 => self.trouble(),
            84..88 if self.setup.clock_jumps => {
                self.set_clock();
                let now_ms = life.line.now_ms() + self.clock_off_ms;
                life.app.clock.turn_to(Time::from_millis(now_ms));
            }
            84..90 => trust(life),
            90..92 => life.store.plan(Mishap::DiesBefore),
            92..94 => life.store.plan(Mishap::DiesAfter),
            94..96 => return Some(End::Killed),
            96..98 => return Some(End::PowerCut),
            _ => return Some(End::Clean),
        }
        None
    }

    pub(super) fn answer(&mut self, life: &Life, thread: &str) {
        let Some(conversation) = conversation_of(&*life.app.store, PAGE, thread) else {
            return;
        };
        let parts = usize::from(self.chance.percent(30)) + 1;
        let mut answers = self.answers.lock().expect("nobody panicked");
        let answer = staff::written(answers.len(), conversation, parts);
        answers.push(answer.clone());
        drop(answers);
        tokio::spawn(staff::submit(
            life.app.writer.clone(),
            Arc::clone(&self.answers),
            answer,
        ));
    }

    /// Who has not heard that an answer was taken asks again.
    fn ask_again(&self, life: &Life) {
        let answers = self.answers.lock().expect("nobody panicked").clone();
        for answer in answers.into_iter().filter(|one| one.accepted.is_none()) {
            tokio::spawn(staff::submit(
                life.app.writer.clone(),
                Arc::clone(&self.answers),
                answer,
            ));
        }
    }

    pub(super) fn read(&mut self, life: &Life, thread: &str) {
        let Some(conversation) = conversation_of(&*life.app.store, PAGE, thread) else {
            return;
        };
        let read = MarkRead {
            reader_name: "Ana".to_owned(),
            scope: crate::store::Scope::whole_desk(),
            conversation,
            up_to: None,
            reader: "tok_1".to_owned(),
        };
        let writer = life.app.writer.clone();
        tokio::spawn(async move { writer.write(read).await.map(drop) });
    }

    fn cut_a_follower(&mut self, life: &mut Life) {
        let place = self.chance.below(self.followers.len() as u64);
        let place = usize::try_from(place).expect("few");
        life.listening[place].abort();
        let (router, follower) = (life.router.clone(), Arc::clone(&self.followers[place]));
        let away = Duration::from_millis(self.chance.below(20_000));
        life.listening[place] = tokio::spawn(async move {
            tokio::time::sleep(away).await;
            followers::connect(router, follower).await;
        });
    }

    fn trouble(&mut self) {
        if let Engine::Embedded(disk, _) = &self.engine {
            disk.plan(self.chance.one_of(&[
                Trouble::HalfWritten,
                Trouble::NotSynced,
                Trouble::DiesWriting,
                Trouble::DiesBeforeSync,
                Trouble::DiesAfterSync,
            ]));
        }
    }

    /// What was seen in the log stands there still, behind event `after`.
    fn compare_log(&mut self, life: &Life, after: u64) -> Verdict {
        let known = self.log.last_key_value().map_or(0, |(seq, _)| *seq);
        let head = life.app.store.head();
        if head < known {
            return Err(format!(
                "the log ends at {head}, and event {known} was seen"
            ));
        }
        let events = life.app.store.events(after, usize::MAX);
        for event in events.map_err(|error| error.to_string())? {
            let bytes = rmp_serde::to_vec(&event).expect("it can be written");
            let digest = crc32fast::hash(&bytes);
            if *self.log.entry(event.seq).or_insert(digest) != digest {
                return Err(format!("number {} was given to two events", event.seq));
            }
        }
        Ok(())
    }

    /// What has to hold at every moment.
    fn look(&mut self, life: &Life) -> Verdict {
        let known = self.log.last_key_value().map_or(0, |(seq, _)| *seq);
        self.compare_log(life, known)?;
        for follower in &self.followers {
            let follower = follower.lock().expect("nobody panicked");
            if let Some(problem) = &follower.problem {
                return Err(problem.clone());
            }
        }
        let platform = life.line.platform();
        match platform.done.iter().find(|(_, times)| **times > 1) {
            Some((token, times)) => Err(format!("{token} was sent {times} times")),
            None => Ok(()),
        }
    }

    /// All is well from now on: what is still under way ends, and everything is checked.
    pub(super) async fn come_to_rest(&mut self, life: &mut Life) -> Verdict {
        self.steps.push("all is well from now on".to_owned());
        self.clock_off_ms = 0;
        life.app
            .clock
            .turn_to(Time::from_millis(life.line.now_ms()));
        life.line.platform().heal();
        if let Engine::Embedded(disk, _) = &self.engine {
            disk.heal();
        }
        life.store.heal();
        let since_ms = life.line.now_ms();
        loop {
            trust(life);
            self.ask_again(life);
            for (place, listening) in life.listening.iter_mut().enumerate() {
                if listening.is_finished() {
                    let follower = Arc::clone(&self.followers[place]);
                    *listening = tokio::spawn(followers::connect(life.router.clone(), follower));
                }
            }
            if self.pass(life, 10_000).await {
                return Err("the daemon died of nothing".to_owned());
            }
            let work = WorkEntry::scan(&*life.app.store, &[], None, usize::MAX);
            let work = work.map_err(|error| error.to_string())?;
            let head = life.app.store.head();
            let all_heard = self
                .followers
                .iter()
                .all(|follower| follower.lock().expect("nobody panicked").last >= head);
            let all_taken = self
                .answers
                .lock()
                .expect("nobody panicked")
                .iter()
                .all(|answer| answer.accepted.is_some());
            if work.is_empty() && all_taken && all_heard && life.line.platform().is_quiet() {
                break;
            }
            if life.line.now_ms() - since_ms > REST_MS {
                let undelivered = life.line.platform().deliveries.len();
                return Err(format!(
                    "it does not come to rest: work {work:?}, {undelivered} deliveries, all taken {all_taken}, all heard {all_heard}"
                ));
            }
        }
        self.compare_log(life, 0)?;
        self.look(life)?;
        let platform = life.line.platform();
        let desk = Desk::of(&*life.app.store)?;
        desk.check(&platform, &self.answers.lock().expect("nobody panicked"))?;
        for follower in &self.followers {
            desk.was_heard_by(&follower.lock().expect("nobody panicked"))?;
        }
        Ok(())
    }
}

/// A runtime of one thread whose time goes on when nothing else does.
fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let builder = builder.enable_time().start_paused(true);
    builder.build().expect("a runtime")
}

/// The operator mends the credentials.
pub(super) fn trust(life: &Life) {
    for channel in life.app.channels.open() {
        channel.status().sending_paused = false;
    }
}

/// The daemon reads what the platform's history shows of a thread.
pub(super) fn catch_up(life: &Life, thread: &str) {
    let posts = life.line.platform().history(life.line.now_ms(), thread);
    let found = TakeFound {
        channel: PAGE,
        messages: posts
            .iter()
            .map(|post| {
                let mut message = message(post);
                // Histories give no token back.
                message.send_token = None;
                message
            })
            .collect(),
        unreadable: Vec::new(),
        received_at: life.app.clock.now(),
        before: None,
        mark: None,
    };
    let writer = life.app.writer.clone();
    tokio::spawn(async move { writer.write(found).await.map(drop) });
}

/// The platform delivers what is due, for as long as the daemon lives.
async fn deliver(app: App, line: Line) {
    loop {
        let due = line.platform().next_delivery(line.now_ms());
        let Some((delivery, posts)) = due else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let (app, line) = (Arc::clone(&app), line.clone());
        tokio::spawn(async move {
            let channel = app.channels.get("page").expect("it is open");
            let mut headers = HeaderMap::new();
            headers.insert(SECRET_HEADER, HeaderValue::from_static(SECRET));
            let body = serde_json::to_vec(&posts).expect("JSON").into();
            let request = deskbell_sdk::Request {
                method: &Method::POST,
                query: "",
                headers: &headers,
                body: &body,
            };
            let taken = crate::intake::webhook::take(&app, &channel, &request).await;
            let now_ms = line.now_ms();
            line.platform().answered(now_ms, &delivery, taken.is_ok());
        });
    }
}
