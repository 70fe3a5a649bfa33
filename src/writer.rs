//! The one thread that owns the store.
//!
//! It drains a bounded queue of decisions, lets the desk decide the whole group on one draft (later decisions see
//! earlier ones), makes one durable commit, and then answers all callers. No timer waits to fill a group: what has
//! queued while the last commit ran is the next group. When the queue is full the caller is told so at once.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use deskbell_sdk::Time;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

use crate::clock::Clock;
use crate::desk::Decision;
use crate::desk::after_hours;
use crate::desk::bell::{self, Person, Steps as BellSteps};
use crate::desk::telling::{self, Around};
use crate::id::Ids;
use crate::store::draft::Draft;
use crate::store::entry::RingEntry;
use crate::store::{Found, Store, StoreError, Table};

/// The most decisions in one group: a larger one shuts readers out for longer (measured: p99 5 ms at 64, 22 ms at 512).
const GROUP_COMMANDS: usize = 64;
/// The most changes after which a group takes no further decision.
const GROUP_CHANGES: usize = 2_000;
/// The most decisions that wait.
const QUEUE_COMMANDS: usize = 1_024;
/// The most memory that waiting decisions hold, in KiB.
const QUEUE_KIB: usize = 64 * 1_024;

/// Why a decision was not carried out.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum WriteError {
    /// Too much waits already. Try again shortly.
    #[error("too many changes are waiting")]
    Busy,
    /// The store could not take it; nothing of it is in. Try again.
    #[error("the store cannot take changes now: {0}")]
    Store(String),
    /// The daemon is stopping.
    #[error("the daemon is stopping")]
    Stopping,
    /// Deciding it failed in a way that trying again does not mend: a fault of ours.
    #[error("this change cannot be decided")]
    Poison,
}

/// Says who could be told of a ring at a time, and how they stand then.
pub type Duty = Box<dyn Fn(&RingEntry, Time) -> Found<Vec<Person>> + Send + Sync>;

/// What the writer tells of itself, and what it is told.
#[derive(Default)]
struct State {
    refusing: AtomicBool,
    people: OnceLock<Duty>,
    /// How often what says who is on duty has changed.
    duty_changes: AtomicU64,
}

/// The tables that say who works when and may see what.
const DUTY: [Table; 4] = [
    Table::Users,
    Table::UserHours,
    Table::ChannelHours,
    Table::OnCall,
];

/// Gives decisions to the writer; cheap to clone.
#[derive(Clone)]
pub struct Writer {
    queue: mpsc::Sender<Item>,
    memory: Arc<Semaphore>,
    head: watch::Receiver<u64>,
    state: Arc<State>,
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer")
            .field("waiting", &self.waiting())
            .finish_non_exhaustive()
    }
}

/// The writer's thread; it ends after [`Writer::stop`] and what was queued before it.
#[derive(Debug)]
pub struct WriterThread(JoinHandle<()>);

impl WriterThread {
    /// Waits until the queue is drained and the thread has ended.
    pub fn join(self) {
        if self.0.join().is_err() {
            tracing::error!("the writer ended with a panic");
        }
    }
}

tokio::task_local! {
    static HOPS: u8;
}

/// Runs something whose decisions bear this number: how many hooks led to it, one after the other.
pub async fn with_hops<T>(hops: u8, work: impl Future<Output = T>) -> T {
    HOPS.scope(hops, work).await
}

pub(crate) struct Job {
    hops: u8,
    pending: Box<dyn Pending>,
    _memory: OwnedSemaphorePermit,
}

/// What goes through the queue.
pub(crate) enum Item {
    /// A decision with its caller.
    Job(Job),
    /// Nothing after this is carried out.
    Stop,
}

/// A decision with its caller.
trait Pending: Send {
    fn decide(&mut self, draft: &mut Draft<'_>) -> Found<()>;
    fn answer(self: Box<Self>, result: Result<(), WriteError>);
}

struct Asked<D: Decision> {
    decision: D,
    answer: Option<D::Answer>,
    caller: oneshot::Sender<Result<D::Answer, WriteError>>,
}

impl<D: Decision> Pending for Asked<D> {
    fn decide(&mut self, draft: &mut Draft<'_>) -> Found<()> {
        self.answer = Some(self.decision.decide(draft)?);
        Ok(())
    }

    fn answer(self: Box<Self>, result: Result<(), WriteError>) {
        let Self { answer, caller, .. } = *self;
        // A caller that has gone has seen no answer; what it asked for is durable all the same.
        let _ = caller.send(result.and_then(|()| answer.ok_or(WriteError::Poison)));
    }
}

impl Writer {
    /// Starts the writer on `store`, with the bell's usual steps.
    pub fn start(
        store: Arc<dyn Store>,
        clock: Clock,
        seed: u64,
    ) -> std::io::Result<(Self, WriterThread)> {
        Self::start_with(store, clock, seed, BellSteps::default())
    }

    /// Starts the writer on `store`.
    pub fn start_with(
        store: Arc<dyn Store>,
        clock: Clock,
        seed: u64,
        bell: BellSteps,
    ) -> std::io::Result<(Self, WriterThread)> {
        let (writer, mut steps) = Self::driven(store, clock, seed);
        steps.bell = bell;
        let handle = std::thread::Builder::new()
            .name("writer".to_owned())
            .spawn(move || steps.run())?;
        Ok((writer, WriterThread(handle)))
    }

    /// The writer on `store`, and what carries out its decisions, which somebody has to drive: the thread, or a
    /// simulation.
    pub(crate) fn driven(store: Arc<dyn Store>, clock: Clock, seed: u64) -> (Self, Steps) {
        let (queue, jobs) = mpsc::channel(QUEUE_COMMANDS);
        let (tell_head, head) = watch::channel(store.head());
        let state = Arc::new(State::default());
        let ids = Ids::after(store.last_id(), seed);
        let steps = Steps {
            store,
            clock,
            ids,
            jobs,
            group: Vec::with_capacity(GROUP_COMMANDS),
            tell_head,
            state: Arc::clone(&state),
            bell: BellSteps::default(),
        };
        let writer = Self {
            queue,
            memory: Arc::new(Semaphore::new(QUEUE_KIB)),
            head,
            state,
        };
        (writer, steps)
    }

    /// Says whom to ask who works: from then on each ring says whom it tells, and their devices are told. To be called
    /// once; before it rings tell nobody.
    pub fn ask(&self, duty: Duty) {
        // A second one is not taken: there is one desk.
        let _ = self.state.people.set(duty);
    }

    /// Decides, makes it durable, and answers. Where the queue is full it fails at once with [`WriteError::Busy`].
    pub async fn write<D: Decision>(&self, decision: D) -> Result<D::Answer, WriteError> {
        let kib = u32::try_from(decision.weight().div_ceil(1024).clamp(1, QUEUE_KIB)).unwrap_or(1);
        let memory = Arc::clone(&self.memory);
        let permit = memory
            .try_acquire_many_owned(kib)
            .map_err(|_| WriteError::Busy)?;
        let (caller, answer) = oneshot::channel();
        let job = Job {
            // Outside of a call that a hook led to there is none.
            hops: HOPS.try_with(|hops| *hops).unwrap_or(0),
            pending: Box::new(Asked {
                decision,
                answer: None,
                caller,
            }),
            _memory: permit,
        };
        self.queue
            .try_send(Item::Job(job))
            .map_err(|refused| match refused {
                mpsc::error::TrySendError::Full(_) => WriteError::Busy,
                mpsc::error::TrySendError::Closed(_) => WriteError::Stopping,
            })?;
        answer.await.unwrap_or(Err(WriteError::Stopping))
    }

    /// Lets the thread end once what waits now is carried out. Blocks while the queue is full; not for tasks.
    pub fn stop(&self) {
        // An error says that it has ended already.
        let _ = self.queue.blocking_send(Item::Stop);
    }

    /// The number of the newest durable event, and a way to wait for the next.
    #[must_use]
    pub fn head(&self) -> watch::Receiver<u64> {
        self.head.clone()
    }

    /// Whether a decision of about `bytes` would find room now: for what is costly to prepare. Others may take the room
    /// in between.
    #[must_use]
    pub fn has_room(&self, bytes: usize) -> bool {
        self.queue.capacity() > 0 && self.memory.available_permits() >= bytes.div_ceil(1024)
    }

    /// How many decisions wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity()
    }

    /// How often it has changed who works when, or who may see what: another number says that it is to be read anew. What
    /// was changed before the number was asked for is in the store.
    #[must_use]
    pub fn changes_of_duty(&self) -> u64 {
        self.state.duty_changes.load(Ordering::SeqCst)
    }

    /// Whether the last commit worked.
    #[must_use]
    pub fn accepts(&self) -> bool {
        !self.state.refusing.load(Ordering::Relaxed)
    }
}

/// Carries out what is queued, one group after the other.
pub(crate) struct Steps {
    store: Arc<dyn Store>,
    clock: Clock,
    ids: Ids,
    jobs: mpsc::Receiver<Item>,
    group: Vec<Job>,
    tell_head: watch::Sender<u64>,
    state: Arc<State>,
    bell: BellSteps,
}

impl Steps {
    /// The thread's life.
    fn run(mut self) {
        while let Some(first) = self.jobs.blocking_recv() {
            if !self.step(first) {
                return;
            }
        }
    }

    /// What waits longest, as soon as something does: for [`Steps::step`].
    #[cfg(test)]
    pub(crate) async fn next(&mut self) -> Option<Item> {
        self.jobs.recv().await
    }

    /// Carries out what was taken from the queue, together with what waits behind it. Says whether more may come.
    pub(crate) fn step(&mut self, first: Item) -> bool {
        let Item::Job(first) = first else {
            return false;
        };
        let mut group = std::mem::take(&mut self.group);
        group.push(first);
        let mut more = true;
        while group.len() < GROUP_COMMANDS {
            match self.jobs.try_recv() {
                Ok(Item::Job(job)) => group.push(job),
                Ok(Item::Stop) => {
                    more = false;
                    break;
                }
                Err(_) => break,
            }
        }
        self.carry_out(&mut group);
        self.group = group;
        more
    }

    /// Carries out what waits in `jobs`, in as few groups as the limits allow.
    fn carry_out(&mut self, jobs: &mut Vec<Job>) {
        while !jobs.is_empty() {
            let now = self.clock.now();
            match self.decide(jobs, now) {
                Ok((decided, group)) => {
                    let result = self.commit(group);
                    for job in jobs.drain(..decided) {
                        job.pending.answer(result.clone());
                    }
                }
                Err(Failed::Alone(error)) => {
                    let job = jobs.remove(0);
                    job.pending.answer(Err(error));
                }
                Err(Failed::InCompany) => self.one_by_one(jobs, now),
            }
        }
    }

    /// After a group failed to be decided: each by itself, so that only the one at fault fails.
    fn one_by_one(&mut self, jobs: &mut Vec<Job>, now: Time) {
        for job in jobs.drain(..) {
            let mut alone = vec![job];
            let result = match self.decide(&mut alone, now) {
                Ok((_, group)) => self.commit(group),
                Err(Failed::Alone(error)) => Err(error),
                Err(Failed::InCompany) => Err(WriteError::Poison),
            };
            for job in alone {
                job.pending.answer(result.clone());
            }
        }
    }

    /// Decides as many of `jobs` as go into one group.
    fn decide(
        &mut self,
        jobs: &mut [Job],
        now: Time,
    ) -> Result<(usize, crate::store::Group), Failed> {
        let company = jobs.len() > 1;
        let mut draft = Draft::new(&*self.store, &mut self.ids, now);
        let mut around = self.state.people.get().map(|duty| Around::new(&**duty));
        let mut decided = 0;
        for job in jobs {
            let from = draft.event_count();
            let bell = &self.bell;
            draft.set_hops(job.hops);
            let deciding = || {
                job.pending.decide(&mut draft)?;
                // In the same step: no message can be without its ring, and none gets two automatic answers.
                bell::follow(&mut draft, from, bell)?;
                if let Some(around) = &mut around {
                    telling::address(&mut draft, from, around)?;
                }
                after_hours::follow(&mut draft, from, bell)
            };
            match catch_unwind(AssertUnwindSafe(deciding)) {
                Ok(Ok(())) => decided += 1,
                _ if company => return Err(Failed::InCompany),
                Ok(Err(error)) => {
                    tracing::error!(%error, "the store could not be read for a decision");
                    // An empty group asks the engine to repair what it reads from.
                    if self.store.commit(crate::store::Group::default()).is_ok() {
                        // What was durable and not in the tables is in them now.
                        self.tell_head.send_replace(self.store.head());
                    }
                    return Err(Failed::Alone(WriteError::Store(error.to_string())));
                }
                Err(_) => {
                    tracing::error!("deciding a change panicked; it was refused");
                    metrics::counter!("deskbell_poison_total").increment(1);
                    return Err(Failed::Alone(WriteError::Poison));
                }
            }
            if draft.size() >= GROUP_CHANGES {
                break;
            }
        }
        Ok((decided, draft.into_group()))
    }

    fn commit(&self, group: crate::store::Group) -> Result<(), WriteError> {
        if group.is_empty() {
            return Ok(());
        }
        let changes = group.events.len() + group.puts.len() + group.removed.len();
        let is_of_duty = group.puts.iter().any(|put| DUTY.contains(&put.table));
        let started = std::time::Instant::now();
        let result = self.store.commit(group);
        if is_of_duty {
            self.state.duty_changes.fetch_add(1, Ordering::SeqCst);
        }
        metrics::histogram!("deskbell_commit_seconds").record(started.elapsed().as_secs_f64());
        match result {
            Ok(()) => {
                if self.state.refusing.swap(false, Ordering::Relaxed) {
                    // What was refused may have been durable, and shows only now.
                    self.state.duty_changes.fetch_add(1, Ordering::SeqCst);
                    tracing::info!("the store takes changes again");
                }
                metrics::histogram!("deskbell_commit_changes")
                    .record(u32::try_from(changes).map_or(f64::MAX, f64::from));
                self.tell_head.send_replace(self.store.head());
                Ok(())
            }
            Err(error) => {
                if !self.state.refusing.swap(true, Ordering::Relaxed) {
                    tracing::error!(%error, "the store takes no changes; senders are asked to try again");
                }
                metrics::counter!("deskbell_commit_failures_total").increment(1);
                // What is durable and not yet in the tables shows once the tables are repaired.
                if matches!(error, StoreError::Repairing(_)) {
                    self.tell_head.send_replace(self.store.head());
                }
                Err(WriteError::Store(error.to_string()))
            }
        }
    }
}

enum Failed {
    /// One of several failed; each is to be tried by itself.
    InCompany,
    /// The only one failed.
    Alone(WriteError),
}
