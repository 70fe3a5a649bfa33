//! A shop whose clock is turned from one thing that is due to the next.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use deskbell_sdk::Time;

use super::super::{Seen, begin, follow, settle, wanted};
use crate::api::testing::{Desk, SHOP};
use crate::desk::Next;
use crate::desk::bell::{Climb, NoteAttempt, Steps, Take};
use crate::desk::devices::{AddBrowser, Confirm};
use crate::desk::duty::{SetOnCall, SetUserHours};
use crate::desk::telling::{Begin, Finish, Trouble};
use crate::id::{DeviceId, RingId, UserId, WorkId};
use crate::live::{Live, Reader, StreamPlace};
use crate::store::Scope;
use crate::store::change::EventBody;
use crate::store::entry::{
    Actor, ActorKind, AlarmEntry, Attempt, AttemptResult, Day, DevicesEntry, Entry, OpenRing,
    RingEntry, RingState, SealedValue, Span, Telling, TellingEntry, UserHoursEntry, WeekEntry,
};

pub(super) const SECOND_MS: i64 = 1_000;
pub(super) const MINUTE_MS: i64 = 60 * SECOND_MS;
pub(super) const HOUR_MS: i64 = 60 * MINUTE_MS;
/// How long a push service is waited for that hangs.
const HANGS_MS: i64 = 20 * SECOND_MS;
/// How long a device takes to show something.
const SHOWS_MS: i64 = 300;

/// How a device and its push service behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    /// What is sent is shown, and tests are answered.
    Shows,
    /// What is sent is taken, and nothing comes of it: the browser is throttled, the sound is off.
    Mute,
    /// 500.
    Fails,
    /// 429, to come again in ten seconds.
    TooMany,
    /// 403.
    Refuses,
    /// No answer for as long as somebody waits.
    Hangs,
    /// 404.
    NotFound,
    /// 410.
    Gone,
}

impl Mood {
    fn answer(self) -> Result<(), Trouble> {
        let passing = |why: &str, after_ms| Err(Trouble::Passing(why.to_owned(), after_ms));
        match self {
            Self::Shows | Self::Mute => Ok(()),
            Self::Fails => passing("the push service answered 500", None),
            Self::TooMany => passing("the push service answered 429", Some(10 * SECOND_MS)),
            Self::Hangs => passing("the push service did not answer", None),
            Self::Refuses => Err(Trouble::Refused("the push service answered 403".to_owned())),
            Self::NotFound | Self::Gone => Err(Trouble::Gone),
        }
    }
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    /// A ring climbs.
    Climb(RingId),
    /// A device is told.
    Tell(WorkId),
    /// What came of it is known.
    Told(WorkId),
    /// A device shows a ring.
    Shown(DeviceId, RingId),
    /// A desk shows a ring.
    OnDesk(UserId, RingId),
    /// Somebody takes it.
    Taken(RingId),
    /// It rang: the alarms look at what that means.
    Rang,
    /// It is looked for what is wrong.
    Look,
    /// Devices are tested.
    Test,
}

/// The shop.
pub(super) struct World {
    desk: Desk,
    seen: Seen,
    /// Whether it is looked for what is wrong.
    pub(super) looks: bool,
    steps: Arc<Steps>,
    due: BTreeSet<(i64, Due)>,
    climbs_at: HashMap<RingId, i64>,
    last_telling: Option<Vec<u8>>,
    position: u64,
    devices: BTreeMap<DeviceId, (UserId, Mood)>,
    open: HashMap<UserId, StreamPlace>,
    begun: HashMap<WorkId, TellingEntry>,
    tries: HashMap<DeviceId, Vec<Time>>,
    delivered: HashMap<WorkId, u32>,
    /// How often each device was given the work of telling one ringing of a ring.
    given: HashMap<(DeviceId, RingId, u32), u32>,
    rings_at: HashMap<(RingId, u32), u32>,
    rung: Vec<(Time, RingEntry)>,
    alarms: usize,
    people: u64,
}

impl World {
    pub(super) async fn new() -> Self {
        let desk = crate::api::testing::desk().await;
        let app = Arc::downgrade(&desk.app);
        desk.app.writer.ask(Box::new(move |ring, now| {
            let app = app.upgrade().expect("it runs");
            crate::duty::people_of(&app, ring, now)
        }));
        let seen = begin(&desk.app).expect("readable");
        let now = desk.app.clock.now().as_millis();
        Self {
            position: desk.app.store.head(),
            desk,
            seen,
            looks: true,
            steps: Arc::new(Steps::default()),
            due: BTreeSet::from([(now + 1, Due::Look), (now + 2, Due::Test)]),
            climbs_at: HashMap::new(),
            last_telling: None,
            devices: BTreeMap::new(),
            open: HashMap::new(),
            begun: HashMap::new(),
            tries: HashMap::new(),
            delivered: HashMap::new(),
            given: HashMap::new(),
            rings_at: HashMap::new(),
            rung: Vec::new(),
            alarms: 0,
            people: 0,
        }
    }

    pub(super) fn now(&self) -> Time {
        self.desk.app.clock.now()
    }

    /// So many people, who have no hours and no devices yet. Once.
    pub(super) async fn people(&mut self, count: usize) -> Vec<UserId> {
        assert_eq!(self.people, 0, "once");
        self.people = count as u64;
        self.desk.invent_people(self.people).await;
        (1..=self.people).map(UserId).collect()
    }

    /// Somebody works every day at these times, in minutes of the day by UTC.
    pub(super) async fn works(&mut self, user: UserId, times: &[(u16, u16)]) {
        use Day::{Friday, Monday, Saturday, Sunday, Thursday, Tuesday, Wednesday};
        let days = [
            Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday,
        ];
        let spans = days.into_iter().flat_map(|day| {
            let times = times.iter();
            times.map(move |(from, to)| Span {
                day,
                from: *from,
                to: *to,
            })
        });
        let hours = UserHoursEntry {
            working: Some(WeekEntry {
                time_zone: "UTC".to_owned(),
                spans: spans.collect(),
            }),
            quiet: None,
        };
        let set = SetUserHours { user, hours };
        self.desk.app.writer.write(set).await.expect("written");
    }

    pub(super) async fn is_on_call(&mut self, user: UserId) {
        let user = Some(user);
        let set = self.desk.app.writer.write(SetOnCall { user }).await;
        set.expect("written").expect("set");
    }

    /// A device of theirs, which shows what it is told and has answered its first test.
    pub(super) async fn device(&mut self, user: UserId, name: &str) -> DeviceId {
        let add = AddBrowser {
            user,
            name: name.to_owned(),
            endpoint: format!("{user} {name}").into_bytes(),
            subscription: SealedValue {
                key: "k".to_owned(),
                nonce: Vec::new(),
                sealed: Vec::new(),
            },
            by: Actor {
                kind: ActorKind::Local,
                id: "local".to_owned(),
                name: "x".to_owned(),
                address: None,
            },
        };
        let added = self.desk.app.writer.write(add).await.expect("written");
        let (device, _) = added.expect("added");
        self.devices.insert(device.id, (user, Mood::Shows));
        self.run(3 * SECOND_MS).await;
        device.id
    }

    pub(super) fn becomes(&mut self, device: DeviceId, mood: Mood) {
        self.devices.get_mut(&device).expect("known").1 = mood;
    }

    /// The desk of somebody is open in a browser.
    pub(super) fn opens(&mut self, user: UserId) {
        let app = &self.desk.app;
        self.open.entry(user).or_insert_with(|| {
            let place = Live::place(app, user.to_string(), 10).expect("a place");
            place.of(Some(Reader::Desk(user)))
        });
    }

    pub(super) fn closes(&mut self, user: UserId) {
        self.open.remove(&user);
    }

    /// A customer writes; gives the ring.
    pub(super) async fn arrives(&mut self, customer: &str) -> RingId {
        let (conversation, _) = self.desk.arrive(SHOP, customer, "Hello?").await;
        let ring = self.desk.ring_of(&conversation.to_string());
        self.read_on();
        ring.parse().expect("an id")
    }

    pub(super) async fn takes(&mut self, ring: RingId) {
        let take = Take {
            scope: Scope::of_all_channels(),
            ring,
            user: None,
            taker: "tok_1".to_owned(),
        };
        self.desk.app.writer.write(take).await.expect("written");
        self.read_on();
    }

    pub(super) fn takes_later(&mut self, ring: RingId, after_ms: i64) {
        let at = self.now().as_millis() + after_ms;
        self.due.insert((at, Due::Taken(ring)));
    }

    /// Everything is taken that rings.
    pub(super) async fn all_are_taken(&mut self) {
        let store = &*self.desk.app.store;
        let open = OpenRing::scan(store, &[], None, usize::MAX).expect("readable");
        for (key, _) in open {
            let id = u64::from_be_bytes(key.as_slice().try_into().expect("a key"));
            if self.ring(RingId(id)).conversation.is_some() {
                self.takes(RingId(id)).await;
            }
        }
    }

    pub(super) fn ring(&self, id: RingId) -> RingEntry {
        let found = RingEntry::get(&*self.desk.app.store, &RingEntry::key(id));
        found.expect("readable").expect("there")
    }

    /// Every ringing of a ring, alarms aside, and when it was.
    pub(super) fn rung(&self) -> Vec<(Time, RingEntry)> {
        self.rung.clone()
    }

    /// Whether an alarm stands.
    pub(super) fn alarm_stands(&self) -> bool {
        let store = &*self.desk.app.store;
        let alarms = AlarmEntry::scan(store, &[], None, usize::MAX).expect("readable");
        alarms.into_iter().any(|(_, alarm)| {
            let ring = self.ring(alarm.ring);
            matches!(ring.state, RingState::Ringing | RingState::Taken)
        })
    }

    /// How many alarms have begun.
    pub(super) const fn alarms_raised(&self) -> usize {
        self.alarms
    }

    pub(super) fn forget_tries(&mut self) {
        self.tries.clear();
    }

    /// When the device's push service was asked.
    pub(super) fn tries_of(&self, device: DeviceId) -> Vec<Time> {
        self.tries.get(&device).cloned().unwrap_or_default()
    }

    pub(super) fn is_known(&self, device: DeviceId) -> bool {
        let (user, _) = self.devices[&device];
        let devices = DevicesEntry::get(&*self.desk.app.store, &user.key()).expect("readable");
        devices.is_some_and(|devices| devices.device(device).is_some())
    }

    /// Nothing got through twice, and no device was given one ringing twice.
    pub(super) fn assert_nothing_twice(&self) {
        assert!(!self.delivered.is_empty());
        for (work, times) in &self.delivered {
            assert_eq!(*times, 1, "{work}");
        }
        for ((device, ring, step), times) in &self.given {
            let rang = self.rings_at[&(*ring, *step)];
            assert!(
                *times <= rang,
                "{device}: {ring} at step {step} {times} times for {rang}"
            );
        }
    }

    pub(super) async fn run(&mut self, for_ms: i64) {
        let until = self.now().plus_millis(for_ms);
        self.run_to(until).await;
    }

    /// Does what is due until a time.
    pub(super) async fn run_to(&mut self, until: Time) {
        self.read_on();
        while let Some((at, due)) = self.due.first().copied() {
            if at > until.as_millis() {
                break;
            }
            self.due.remove(&(at, due));
            self.turn_to(at);
            self.carry_out(due).await;
            self.read_on();
        }
        self.turn_to(until.as_millis());
    }

    fn turn_to(&self, at: i64) {
        let at = at.max(self.now().as_millis());
        self.desk.app.clock.turn_to(Time::from_millis(at));
    }

    fn later(&mut self, after_ms: i64, due: Due) {
        self.due.insert((self.now().as_millis() + after_ms, due));
    }

    /// Takes in what is new: work, and rings that climb.
    fn read_on(&mut self) {
        let app = Arc::clone(&self.desk.app);
        let store = &*app.store;
        loop {
            let new = TellingEntry::scan(store, &[], self.last_telling.as_deref(), 512);
            let new = new.expect("readable");
            let Some((key, _)) = new.last() else { break };
            self.last_telling = Some(key.clone());
            for (_, telling) in new {
                if let Telling::Ring { ring, step, .. } = telling.what {
                    let given = self.given.entry((telling.device, ring, step)).or_default();
                    *given += 1;
                }
                self.due
                    .insert((telling.due_at.as_millis(), Due::Tell(telling.id)));
            }
        }
        loop {
            let events = store.events(self.position, 512).expect("readable");
            let Some(last) = events.last() else { break };
            self.position = last.seq;
            for event in events {
                let (EventBody::BellRung { ring } | EventBody::BellAcknowledged { ring }) =
                    &event.body
                else {
                    continue;
                };
                if let Some(at) = self.climbs_at.remove(&ring.id) {
                    self.due.remove(&(at, Due::Climb(ring.id)));
                }
                if let Some(at) = OpenRing::from(&**ring).due_at {
                    self.climbs_at.insert(ring.id, at.as_millis());
                    self.due.insert((at.as_millis(), Due::Climb(ring.id)));
                }
                if ring.sounds() && matches!(event.body, EventBody::BellRung { .. }) {
                    *self.rings_at.entry((ring.id, ring.step)).or_default() += 1;
                    self.later(200, Due::Rang);
                    match &ring.alarm {
                        None => self.rung.push((event.at, (**ring).clone())),
                        Some(_) if ring.step == 1 => self.alarms += 1,
                        Some(_) => {}
                    }
                    let desks: Vec<UserId> = self.open.keys().copied().collect();
                    for user in desks.into_iter().filter(|user| ring.told.contains(user)) {
                        self.later(SHOWS_MS, Due::OnDesk(user, ring.id));
                    }
                }
            }
        }
    }

    async fn carry_out(&mut self, due: Due) {
        let app = Arc::clone(&self.desk.app);
        match due {
            Due::Climb(ring) => {
                self.climbs_at.remove(&ring);
                let steps = Arc::clone(&self.steps);
                let climb = app.writer.write(Climb { ring, steps });
                climb.await.expect("written");
            }
            Due::Tell(work) => {
                let works = vec![work];
                let begun = app.writer.write(Begin { works }).await.expect("written");
                for telling in begun {
                    let now = self.now();
                    self.tries.entry(telling.device).or_default().push(now);
                    let hangs = self.devices[&telling.device].1 == Mood::Hangs;
                    self.later(if hangs { HANGS_MS } else { 50 }, Due::Told(work));
                    self.begun.insert(work, telling);
                }
            }
            Due::Told(work) => self.told(work).await,
            Due::Shown(device, ring) => {
                let user = self.devices[&device].0;
                self.says(ring, user, "web-push", Some(device)).await;
            }
            Due::OnDesk(user, ring) => {
                if self.open.contains_key(&user) {
                    self.says(ring, user, "desk", None).await;
                }
            }
            Due::Taken(ring) => self.takes(ring).await,
            Due::Rang => {
                if self.looks && follow(&app, &mut self.seen).expect("readable") {
                    let wrong = wanted(&app, &mut self.seen).expect("readable");
                    settle(&app, wrong).await;
                }
            }
            Due::Look => {
                if self.looks {
                    let now = self.now();
                    follow(&app, &mut self.seen).expect("readable");
                    self.seen.reach.look(&app, now).expect("readable");
                    let wrong = wanted(&app, &mut self.seen).expect("readable");
                    settle(&app, wrong).await;
                }
                // Where nothing rings, nothing changes in ten seconds.
                let is_quiet = self.climbs_at.is_empty();
                self.later(if is_quiet { MINUTE_MS } else { 10 * SECOND_MS }, Due::Look);
            }
            Due::Test => {
                crate::telling::test_all(&app).await.expect("written");
                self.later(5 * MINUTE_MS, Due::Test);
            }
        }
    }

    /// An attempt has ended.
    async fn told(&mut self, work: WorkId) {
        let app = Arc::clone(&self.desk.app);
        let telling = self.begun.remove(&work).expect("it was begun");
        let mood = self.devices[&telling.device].1;
        let ended = mood.answer();
        if ended.is_ok() {
            *self.delivered.entry(work).or_default() += 1;
        }
        let finish = Finish {
            works: vec![work],
            ended,
            jitter: 1.0,
        };
        let next = app.writer.write(finish).await.expect("written");
        if let Next::At(at) = next {
            self.due.insert((at.as_millis(), Due::Tell(work)));
        }
        if mood != Mood::Shows {
            return;
        }
        match telling.what {
            Telling::Ring { ring, .. } => self.later(SHOWS_MS, Due::Shown(telling.device, ring)),
            Telling::Test { .. } => {
                let confirm = Confirm {
                    user: telling.user,
                    device: telling.device,
                    test: work,
                    failed: None,
                };
                let confirmed = app.writer.write(confirm).await.expect("written");
                confirmed.expect("it fits");
            }
            Telling::Over { .. } => {}
        }
    }

    async fn says(&mut self, ring: RingId, user: UserId, device: &str, id: Option<DeviceId>) {
        let note = NoteAttempt {
            ring,
            attempt: Attempt {
                at: self.now(),
                user: Some(user),
                device: device.to_owned(),
                device_id: id,
                result: AttemptResult::Shown,
                detail: None,
                step: None,
            },
        };
        self.desk.app.writer.write(note).await.expect("written");
    }
}
