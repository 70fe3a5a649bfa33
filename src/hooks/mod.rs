//! Outgoing hooks: programs, and people's other tools, that are told what happens.
//!
//! One task follows the log from a durable place and writes down what each hook is to be told ([`follower`]); what waits is
//! tried, in order for each conversation ([`queue`]), by the kind of thing at the other end ([`target`]). The rules are in
//! [`crate::desk::hooks`].

mod body;
mod command;
mod follower;
mod queue;
mod send;
mod sign;
mod target;
#[cfg(test)]
mod tests;
mod upkeep;

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use deskbell_sdk::Time;
use tokio::sync::{Notify, Semaphore};
use tokio::task::{Id, JoinSet};

use crate::app::App;
use crate::config;
use crate::desk::bell::NoteAttempt;
use crate::desk::hooks::{Outcome, RecordDeliveries, SettleAttempt, SwitchOff};
use crate::http_client::Poster;
use crate::id::{DeliveryId, HookId};
use crate::store::Found;
use crate::store::change::EventBody;
use crate::store::entry::{
    Attempt, AttemptResult, Entry, HookDeliveryEntry, HookEntry, HookKind, OpenHookDelivery,
};

pub use body::{MAX_BODY_BYTES, of as body_of};
pub use command::{KEEP, commands_of, keep, unknown_channels};

pub use crate::config::HOOK_EVENTS as TYPES;
pub use send::{MAX_ANSWER_BYTES, Tried, open_secrets, outcome, reseal_all, test_body, try_once};
pub use sign::secret_of;
pub use target::{Access, Verdict, of as target_of};
pub use upkeep::run as upkeep;

use queue::{Ended, Queue};

/// How many rows are read at once.
const BATCH: usize = 512;
/// The longest sleep: a clock that was set or a machine that slept is noticed after it.
const LONGEST_SLEEP: Duration = Duration::from_secs(5);
/// How soon something is tried again that the store did not take, in milliseconds.
const STORE_WAIT_MS: i64 = 500;
/// So much waits for a hook that it is switched off.
const MOST_WAITING: usize = 50_000;

/// What the rest of the daemon shares with hooks.
#[derive(Debug)]
pub struct Hooks {
    /// A hook was made, changed or removed, or is to be told something again.
    pub changed: Notify,
    /// What is kept no longer is to go.
    pub tidy: Notify,
    /// What goes out.
    pub poster: Poster,
    pauses_ms: Arc<[i64]>,
    again: Mutex<Vec<(HookId, DeliveryId)>>,
    /// Where commands may run: a place for each.
    places: Semaphore,
}

impl Hooks {
    /// By the configuration.
    ///
    /// # Errors
    /// Where no HTTP client can be made.
    pub fn new(config: &config::Hooks) -> Result<Self, reqwest::Error> {
        let in_ms = |pause: &Duration| i64::try_from(pause.as_millis()).unwrap_or(i64::MAX);
        Ok(Self {
            changed: Notify::new(),
            tidy: Notify::new(),
            poster: Poster::new(config.allow_private_addresses)?,
            pauses_ms: config.retry.iter().map(in_ms).collect(),
            again: Mutex::default(),
            places: Semaphore::new(command::AT_ONCE),
        })
    }

    /// A delivery waits again that was done with.
    pub fn again(&self, hook: HookId, delivery: DeliveryId) {
        let mut again = self.again.lock().unwrap_or_else(PoisonError::into_inner);
        again.push((hook, delivery));
        drop(again);
        self.changed.notify_one();
    }

    /// The pauses between attempts, in milliseconds.
    #[must_use]
    pub fn pauses_ms(&self) -> Arc<[i64]> {
        Arc::clone(&self.pauses_ms)
    }

    /// Something of a hook changed.
    pub fn wake(&self) {
        self.changed.notify_one();
        self.tidy.notify_one();
    }
}

/// An attempt that has ended: whose, how, and when it is due again.
struct Done {
    hook: HookId,
    lane: u64,
    delivery: DeliveryId,
    ended: Option<Ended>,
    again: Option<Time>,
    switched_off: bool,
}

/// What the task knows.
struct Work {
    app: App,
    queue: Queue,
    follower: follower::Follower,
    running: JoinSet<Done>,
    of_task: HashMap<Id, (HookId, u64, DeliveryId)>,
}

/// Tells hooks until the daemon stops: of a restored desk only once somebody says so.
pub async fn run(app: App) {
    tokio::select! {
        () = app.stopping.cancelled() => return,
        () = app.held.released() => {}
    }
    let mut head = app.writer.head();
    let mut work = Work {
        follower: follower::Follower::new(&app),
        queue: Queue::default(),
        running: JoinSet::new(),
        of_task: HashMap::new(),
        app,
    };
    let app = Arc::clone(&work.app);
    while let Err(error) = work.read_waiting() {
        tracing::error!(%error, "what waits for hooks cannot be read; it is tried again");
        tokio::time::sleep(LONGEST_SLEEP).await;
    }
    loop {
        head.borrow_and_update();
        let more = work.step().await;
        let sleep = if more.is_some() {
            more.unwrap_or_default()
        } else {
            work.sleep()
        };
        tokio::select! {
            () = app.stopping.cancelled() => return,
            changed = head.changed(), if more.is_none() => if changed.is_err() { return },
            () = app.hooks.changed.notified(), if more.is_none() => {}
            Some(ended) = work.running.join_next_with_id() => work.ended(ended),
            () = tokio::time::sleep(sleep) => {}
        }
    }
}

impl Work {
    fn read_waiting(&mut self) -> Found<()> {
        let mut after: Option<Vec<u8>> = None;
        loop {
            let rows = OpenHookDelivery::scan(&*self.app.store, &[], after.as_deref(), BATCH)?;
            for (key, open) in &rows {
                if let Some((hook, id)) = HookDeliveryEntry::of_key(key) {
                    self.queue.add(hook, open.lane, id, open.due_at);
                }
            }
            match rows.last() {
                Some((key, _)) if rows.len() == BATCH => after = Some(key.clone()),
                _ => {
                    for hook in self.read_hooks()? {
                        if hook.failing_since.is_some() {
                            self.queue.set_down(hook.id);
                        }
                    }
                    return Ok(());
                }
            }
        }
    }

    /// Reads the hooks, and tells the queue which are on.
    fn read_hooks(&mut self) -> Found<Vec<HookEntry>> {
        let hooks = all(&*self.app.store)?;
        let ids = |wanted: &dyn Fn(&HookEntry) -> bool| -> BTreeSet<HookId> {
            let wanted = hooks.iter().filter(|hook| wanted(hook));
            wanted.map(|hook| hook.id).collect()
        };
        self.queue
            .set_hooks(&ids(&|hook| hook.enabled), &ids(&|_| true));
        for hook in &hooks {
            let most = match hook.kind {
                HookKind::Command => Some(command::AT_ONCE_OF_ONE),
                kind => target_of(kind).at_once(),
            };
            if let Some(most) = most {
                self.queue.set_at_once(hook.id, most);
            }
        }
        Ok(hooks)
    }

    /// Takes in what was done with and waits again.
    fn read_again(&mut self) -> Found<()> {
        let again = {
            let mut again = self
                .app
                .hooks
                .again
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *again)
        };
        for (hook, id) in again {
            let key = HookDeliveryEntry::key(hook, id);
            if let Some(open) = OpenHookDelivery::get(&*self.app.store, &key)? {
                self.queue.add(hook, open.lane, id, open.due_at);
            }
        }
        Ok(())
    }

    /// One turn: a stretch of the log, a stretch of what is told again, and all attempts that are due. Says how soon the next
    /// turn is to come where it must not wait for anything else.
    async fn step(&mut self) -> Option<Duration> {
        let looked = match self.follower.look(&self.app) {
            Ok(looked) => looked,
            Err(error) => {
                tracing::error!(%error, "hooks cannot read the log; it is tried again");
                return Some(LONGEST_SLEEP);
            }
        };
        let mut more = looked.iter().any(|looked| looked.more);
        let mut refused = false;
        for looked in looked {
            refused |= !self.record(looked).await;
        }
        if let Err(error) = self.read_again().and_then(|()| self.read_hooks()) {
            tracing::error!(%error, "hooks cannot be read; it is tried again");
            return Some(LONGEST_SLEEP);
        }
        for (hook, lane, delivery) in self.queue.due(self.app.clock.now()) {
            let app = Arc::clone(&self.app);
            let task = self.running.spawn(carry_out(app, hook, lane, delivery));
            self.of_task.insert(task.id(), (hook, lane, delivery));
        }
        let waiting = u32::try_from(self.queue.all_waiting()).unwrap_or(u32::MAX);
        metrics::gauge!("deskbell_hook_deliveries_waiting").set(f64::from(waiting));
        if refused {
            return Some(Duration::from_millis(STORE_WAIT_MS.unsigned_abs()));
        }
        more &= !self.app.stopping.is_cancelled();
        more.then_some(Duration::ZERO)
    }

    /// Writes down what was found. `false`: the store did not take it, and it is looked at again.
    async fn record(&mut self, looked: follower::Looked) -> bool {
        if looked.new.is_empty() && !looked.is_to_be_kept {
            self.follower.advance(&looked);
            return true;
        }
        let record = RecordDeliveries {
            new: looked.new.clone(),
            to: looked.to,
            replayed: looked.replayed,
        };
        match self.app.writer.write(record).await {
            Ok(written) => {
                self.follower.kept(&looked);
                let mut hooks = BTreeSet::new();
                for entry in written {
                    let due_at = entry.due_at.unwrap_or(entry.created_at);
                    self.queue.add(entry.hook, entry.lane, entry.id, due_at);
                    hooks.insert(entry.hook);
                }
                for hook in hooks {
                    self.stop_where_too_much(hook).await;
                }
                true
            }
            Err(error) => {
                tracing::warn!(%error, "what hooks are to be told could not be recorded; it is tried again");
                false
            }
        }
    }

    async fn stop_where_too_much(&self, hook: HookId) {
        if self.queue.waiting(hook) < MOST_WAITING {
            return;
        }
        let reason = format!(
            "{MOST_WAITING} deliveries wait for it. Mend what is at its other end and switch it on again (a command of the configuration: restart the daemon); what happens meanwhile can be replayed."
        );
        tracing::error!(%hook, "a hook was switched off: too much waits for it");
        if let Err(error) = self.app.writer.write(SwitchOff { hook, reason }).await {
            tracing::warn!(%error, "a hook could not be switched off");
        }
    }

    fn ended(&mut self, ended: Result<(Id, Done), tokio::task::JoinError>) {
        let now = self.app.clock.now();
        let done = match ended {
            Ok((id, done)) => {
                self.of_task.remove(&id);
                done
            }
            Err(error) => {
                tracing::error!("telling a hook panicked; it is tried again");
                let Some((hook, lane, delivery)) = self.of_task.remove(&error.id()) else {
                    return;
                };
                Done {
                    hook,
                    lane,
                    delivery,
                    ended: Some(Ended::Trouble(None)),
                    again: Some(now.plus_millis(60_000)),
                    switched_off: false,
                }
            }
        };
        self.queue
            .settle(done.hook, done.lane, done.delivery, done.again);
        if let Some(ended) = done.ended {
            self.queue.pace(done.hook, ended, now);
        }
        if done.switched_off {
            // The list of hooks is read in the next turn; until then nothing more of this one begins.
            self.queue.pace(done.hook, Ended::Trouble(None), now);
        }
    }

    fn sleep(&self) -> Duration {
        let wait_ms = self.queue.wait_ms(self.app.clock.now());
        wait_ms.map_or(LONGEST_SLEEP, |wait_ms| {
            Duration::from_millis(u64::try_from(wait_ms.max(1)).unwrap_or(1)).min(LONGEST_SLEEP)
        })
    }
}

/// All hooks, oldest first.
///
/// # Errors
/// Where the store cannot be read.
pub fn all<R: crate::store::Read + ?Sized>(store: &R) -> Found<Vec<HookEntry>> {
    let all = HookEntry::scan(store, &[], None, usize::MAX)?;
    Ok(all.into_iter().map(|(_, hook)| hook).collect())
}

/// Makes one attempt and records what came of it.
async fn carry_out(app: App, hook: HookId, lane: u64, delivery: DeliveryId) -> Done {
    let done = |ended, again, switched_off| Done {
        hook,
        lane,
        delivery,
        ended,
        again,
        switched_off,
    };
    let soon = |app: &App| Some(app.clock.now().plus_millis(STORE_WAIT_MS));
    let read = || -> Found<Option<(HookEntry, HookDeliveryEntry)>> {
        let entry = HookEntry::get(&*app.store, &hook.key())?;
        let key = HookDeliveryEntry::key(hook, delivery);
        let told = HookDeliveryEntry::get(&*app.store, &key)?;
        Ok(entry.zip(told))
    };
    let (entry, told) = match read() {
        Ok(Some(found)) => found,
        // Erased, or its hook is gone.
        Ok(None) => return done(None, None, false),
        Err(_) => return done(None, soon(&app), false),
    };
    let tried = tokio::select! {
        // What was not finished is tried again at the next start, under the same id.
        () = app.stopping.cancelled() => return done(None, soon(&app), false),
        tried = try_once(&app, &entry, &told) => tried,
    };
    let ended = match &tried.verdict {
        Verdict::Taken => Ended::Taken,
        Verdict::Trouble { after_ms } => Ended::Trouble(*after_ms),
        Verdict::Refused | Verdict::Never | Verdict::Off(_) => Ended::Refused,
    };
    let outcome = send::outcome(&tried.verdict);
    let switched_off = matches!(outcome, Outcome::Off(_));
    if switched_off {
        tracing::error!(%hook, host = crate::desk::hooks::name_of(&entry), "a hook was switched off: the other end wants nothing any more");
    }
    let result = if outcome == Outcome::Taken {
        "taken"
    } else {
        "failed"
    };
    metrics::counter!("deskbell_hook_attempts_total", "result" => result).increment(1);
    let settle = SettleAttempt {
        hook,
        delivery,
        attempt: tried.attempt.clone(),
        outcome: outcome.clone(),
        pauses_ms: app.hooks.pauses_ms(),
        jitter: crate::secrets::jitter(),
    };
    loop {
        match app.writer.write(settle.clone()).await {
            Ok(again) => {
                note_ring(&app, &entry, &told, &tried, again.is_none()).await;
                return done(Some(ended), again, switched_off);
            }
            Err(error) => {
                tracing::warn!(%error, "what came of telling a hook could not be recorded; it is tried again");
                tokio::select! {
                    () = app.stopping.cancelled() => return done(None, soon(&app), false),
                    () = tokio::time::sleep(Duration::from_millis(STORE_WAIT_MS.unsigned_abs())) => {}
                }
            }
        }
    }
}

/// At which step a ring was of which a hook is told, as long as the log has it: it may have climbed since.
fn step_of(app: &App, told: &HookDeliveryEntry) -> Option<u32> {
    let before = told.seq?.checked_sub(1)?;
    let event = app.store.events(before, 1).ok()?.pop()?;
    match &event.body {
        EventBody::BellRung { ring } => Some(ring.step),
        _ => None,
    }
}

/// Puts into the ledger of a ring that a hook was told, or at first and at last that it could not be.
async fn note_ring(
    app: &App,
    hook: &HookEntry,
    told: &HookDeliveryEntry,
    tried: &Tried,
    is_last: bool,
) {
    let Some(ring) = told.ring.filter(|_| told.event == "bell.rung") else {
        return;
    };
    let is_taken = tried.verdict == Verdict::Taken;
    if !is_taken && told.tries > 0 && !is_last {
        return;
    }
    let host = crate::desk::hooks::name_of(hook);
    let detail = match (&tried.attempt.error, is_taken) {
        (Some(error), false) => format!("{host}: {error}"),
        _ => host,
    };
    let attempt = Attempt {
        at: tried.attempt.at,
        user: None,
        device: "hook".to_owned(),
        device_id: None,
        result: if is_taken {
            AttemptResult::Sent
        } else {
            AttemptResult::Failed
        },
        detail: Some(detail),
        step: step_of(app, told),
    };
    if let Err(error) = app.writer.write(NoteAttempt { ring, attempt }).await {
        tracing::warn!(%error, "a ring's ledger could not be kept");
    }
}
