//! One run: which threads moved, and what of them is not here.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use deskbell_sdk::backfill::{Backfill, MessagePage, ThreadHead, ThreadPage, Unreadable};
use deskbell_sdk::client::{BoxFuture, CallError};
use deskbell_sdk::{NewMessage, Time};

use super::when::End;
use crate::app::App;
use crate::channels::{CatchUpReport, OpenChannel};
use crate::desk::access::Quarantine;
use crate::desk::catch_up::{Mark, TakeFound, Taken};
use crate::http_client::{PlatformClient, waiting_client};
use crate::store::entry::{CatchUpMark, Entry, catch_up_key};
use crate::writer::WriteError;

/// What is read again before the mark, in milliseconds: platforms show some things late.
const OVERLAP_MS: i64 = 10 * 60 * 1000;
/// Most pages of threads in a run, and of messages in a thread (P15).
const MAX_PAGES: usize = 1_000;
/// How often the newest threads are listed again because some moved while the list was read.
const MAX_ROUNDS: usize = 20;
/// Messages of listed threads that are kept in memory; those of further ones are read again when it is their turn.
const KEPT_MESSAGES: usize = 20_000;
/// Messages that go into one durable step.
const BATCH: usize = 100;
/// How often a call is tried.
const TRIES: u32 = 8;
/// The first wait after a call that failed, and the longest.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// How long one call may take.
const CALL_TIME: Duration = Duration::from_secs(30);
/// How soon a step is tried again that the store could not take.
const STORE_WAIT: Duration = Duration::from_millis(500);
/// The longest page of a history, in bytes.
const LONGEST_PAGE: usize = 16 * 1024 * 1024;

/// Why a run ended early.
#[derive(Debug)]
pub(super) enum Stop {
    /// The daemon stops.
    Stopping,
    /// The credentials do not work.
    Credentials(String),
    /// The platform could not be read now.
    Failed(String),
    /// Something is wrong that does not pass by itself.
    Alarming(String),
}

/// What came of a run.
#[derive(Debug)]
pub(super) struct Outcome {
    /// How it ended.
    pub(super) end: Result<End, Stop>,
    /// When the customers' messages were written that nobody had told.
    pub(super) new_inbound: Vec<Time>,
}

/// Carries out a run. What it finds is durable thread by thread.
pub(super) async fn run(app: &App, channel: &Arc<OpenChannel>, started_at: Time) -> Outcome {
    let mut new_inbound = Vec::new();
    let end = match Run::new(app, channel, started_at, &mut new_inbound) {
        Ok(mut run) => run.whole().await,
        Err(stop) => Err(stop),
    };
    Outcome { end, new_inbound }
}

struct Run<'a> {
    app: &'a App,
    channel: &'a Arc<OpenChannel>,
    backfill: &'a dyn Backfill,
    http: PlatformClient,
    started_at: Time,
    /// Where the channel stood when the run began.
    mark: CatchUpMark,
    /// Nothing older is read.
    back_to: Time,
    /// Something could not be read whole, so that the mark has to stay.
    left_open: bool,
    /// What is wrong and does not pass by itself.
    trouble: Option<String>,
    new_inbound: &'a mut Vec<Time>,
}

impl<'a> Run<'a> {
    fn new(
        app: &'a App,
        channel: &'a Arc<OpenChannel>,
        started_at: Time,
        new_inbound: &'a mut Vec<Time>,
    ) -> Result<Self, Stop> {
        let failed = |error: &dyn std::fmt::Display| Stop::Failed(error.to_string());
        let backfill = channel
            .channel
            .backfill()
            .ok_or_else(|| failed(&"there is no history to read"))?;
        let base = channel.settings.api_base().or(channel.kind.api_base);
        let client = waiting_client(CALL_TIME).map_err(|error| failed(&error))?;
        // Times of histories are whole seconds.
        let whole_second = |time: Time| Time::from_millis(time.as_millis() / 1000 * 1000);
        let made_at = app
            .channels
            .known(channel.no)
            .map_or(started_at, |entry| entry.created_at.min(started_at));
        let first = CatchUpMark {
            complete_to: whole_second(made_at),
            done_to: None,
        };
        let mark = CatchUpMark::get(&*app.store, &catch_up_key(channel.no))
            .map_err(|error| failed(&error))?
            .unwrap_or(first);
        let back_to = mark.complete_to.plus_millis(-OVERLAP_MS);
        Ok(Self {
            app,
            channel,
            backfill,
            http: PlatformClient::new(client, base.unwrap_or_default())
                .with_answers_up_to(LONGEST_PAGE),
            started_at,
            mark,
            // What was before the channel is not the desk's.
            back_to: back_to.max(first.complete_to),
            left_open: false,
            trouble: None,
            new_inbound,
        })
    }

    async fn whole(&mut self) -> Result<End, Stop> {
        let listed = self.list_all().await?;
        let mut heads = listed.heads;
        // Those that moved longest ago first, so that the mark can follow; at last those whose time is not told.
        heads.sort_by_key(|head| (head.updated_at.is_none(), head.updated_at));
        for head in heads {
            let is_done = matches!(
                (head.updated_at, self.mark.done_to),
                (Some(moved), Some(done_to)) if moved < done_to
            );
            if !is_done {
                self.thread(head).await?;
            }
        }
        self.set_aside(listed.unreadable).await?;
        if let Some(trouble) = self.trouble.take() {
            return Err(Stop::Alarming(trouble));
        }
        if self.left_open {
            return Ok(End::LeftOpen);
        }
        // A clock that is wrong, theirs or ours, may not move the mark past what is still to come.
        let complete_to = listed
            .newest
            .map_or(self.mark.complete_to, |newest| newest.min(self.started_at))
            .max(self.mark.complete_to);
        let mark = CatchUpMark {
            complete_to,
            done_to: None,
        };
        let channel = self.channel.no;
        self.write(Mark { channel, mark })
            .await?
            .map_err(|error| Stop::Failed(error.to_string()))?;
        Ok(End::Whole)
    }

    /// All threads that moved since the mark. Threads move while their list is read: one that moves to its head while
    /// an older page is asked for would be on neither. So the head is read again until one answer shows all that moved
    /// since the reading before.
    async fn list_all(&mut self) -> Result<Listed, Stop> {
        let mut all: BTreeMap<String, ThreadHead> = BTreeMap::new();
        let mut listed = Listed::default();
        let mut until = self.back_to;
        for round in 0..=MAX_ROUNDS {
            let pages = self.list(until, &mut all, &mut listed).await?;
            if pages <= 1 || self.left_open {
                break;
            }
            if round == MAX_ROUNDS {
                self.left_open = true;
            }
            until = listed.newest.unwrap_or(until);
        }
        listed.heads = all.into_values().collect();
        Ok(listed)
    }

    /// Lists threads back to `until`, newest first. How many pages that took.
    async fn list(
        &mut self,
        until: Time,
        all: &mut BTreeMap<String, ThreadHead>,
        listed: &mut Listed,
    ) -> Result<usize, Stop> {
        let mut way = Way::default();
        let mut begun_anew = false;
        let mut at: Option<String> = None;
        let (backfill, http) = (self.backfill, self.http.clone());
        loop {
            let page = self.ask(|| backfill.threads(&http, at.as_deref())).await?;
            let page = match page {
                Ok(page) => page,
                // A cursor that has expired; from the beginning once.
                Err(_) if at.is_some() && !begun_anew => {
                    begun_anew = true;
                    (at, way) = (None, Way::default());
                    continue;
                }
                Err(say) => return Err(Stop::Alarming(say)),
            };
            let next = self.take_page(page, until, all, listed);
            match next {
                Some(next) if way.is_new(&next) => at = Some(next),
                Some(_) => {
                    self.goes_in_circles("threads");
                    return Ok(way.pages);
                }
                None => return Ok(way.pages),
            }
        }
    }

    /// Keeps what a page shows, and says where to go on; `None` where it reaches back far enough.
    fn take_page(
        &self,
        page: ThreadPage,
        until: Time,
        all: &mut BTreeMap<String, ThreadHead>,
        listed: &mut Listed,
    ) -> Option<String> {
        listed.unreadable.extend(page.unreadable);
        let last = page.threads.iter().rev().find_map(|head| head.updated_at);
        let reaches = last.is_some_and(|moved| moved < until);
        for mut head in page.threads {
            listed.newest = listed.newest.max(head.updated_at);
            if head.updated_at.is_some_and(|moved| moved < until) {
                continue;
            }
            self.cut(&mut head.newest);
            if listed.kept > KEPT_MESSAGES {
                head.newest = MessagePage {
                    older: Some(head.first.clone()),
                    ..MessagePage::default()
                };
            }
            listed.kept += head.newest.messages.len();
            // The newer showing of a thread stands.
            all.insert(head.first.clone(), head);
        }
        page.next.filter(|_| !reaches)
    }

    /// Leaves out what is too old, and what lies behind it.
    fn cut(&self, page: &mut MessagePage) {
        // One without a time is never too old.
        let is_old = |message: &NewMessage| {
            message.sent_at.as_millis() > 0 && message.sent_at < self.back_to
        };
        if page.messages.iter().any(is_old) {
            page.older = None;
            page.messages.retain(|message| !is_old(message));
        }
    }

    /// Reads a thread back to the mark, and takes what is not here, oldest first.
    async fn thread(&mut self, head: ThreadHead) -> Result<(), Stop> {
        let mut way = Way::default();
        let (backfill, http) = (self.backfill, self.http.clone());
        let MessagePage {
            mut messages,
            mut unreadable,
            older: mut at,
        } = head.newest;
        let mut begun_anew = false;
        while let Some(place) = at.take() {
            if !way.is_new(&place) {
                self.goes_in_circles("messages of a thread");
                break;
            }
            let page = self.ask(|| backfill.messages(&http, &place)).await?;
            match page {
                Ok(mut page) => {
                    self.cut(&mut page);
                    messages.append(&mut page.messages);
                    unreadable.append(&mut page.unreadable);
                    at = page.older;
                }
                Err(_) if place != head.first && !begun_anew => {
                    // What comes again is known by its id.
                    begun_anew = true;
                    (at, way) = (Some(head.first.clone()), Way::default());
                }
                // Such as a thread that was deleted. It would be refused again and again, and holds up no other.
                Err(say) => {
                    tracing::warn!(channel = %self.channel.id, "a thread could not be read: {say}");
                    self.report(|report| report.error = Some(say));
                    break;
                }
            }
        }
        messages.reverse();
        // The mark follows only as long as everything before is here.
        let done_to = head.updated_at.filter(|_| !self.left_open);
        let mark = done_to.map(|done_to| CatchUpMark {
            done_to: Some(done_to),
            ..self.mark
        });
        let found = messages.len() as u64;
        self.take(messages, unreadable, mark).await?;
        self.report(|report| {
            report.threads += 1;
            report.found += found;
        });
        Ok(())
    }

    /// Takes messages, oldest first; the last of them moves the mark.
    async fn take(
        &mut self,
        messages: Vec<NewMessage>,
        unreadable: Vec<Unreadable>,
        mark: Option<CatchUpMark>,
    ) -> Result<(), Stop> {
        self.set_aside(unreadable).await?;
        let mut batches = messages.chunks(BATCH).peekable();
        let (mut held_before, mut before) = (false, None);
        while let Some(batch) = batches.next() {
            let is_last = batches.peek().is_none();
            let take = TakeFound {
                before,
                mark: mark.filter(|_| is_last && !held_before),
                ..self.found(batch.to_vec())
            };
            let taken = match self.write(take).await? {
                Ok(taken) => taken,
                // One of them cannot be decided: each by itself, so that it alone is set aside (F29).
                Err(_) => self.one_by_one(batch).await?,
            };
            held_before |= taken.held > 0;
            before = taken.last;
            self.count(taken);
        }
        Ok(())
    }

    fn found(&self, messages: Vec<NewMessage>) -> TakeFound {
        TakeFound {
            channel: self.channel.no,
            messages,
            unreadable: Vec::new(),
            received_at: self.app.clock.now(),
            before: None,
            mark: None,
        }
    }

    async fn one_by_one(&mut self, batch: &[NewMessage]) -> Result<Taken, Stop> {
        let mut sum = Taken::default();
        for message in batch {
            match self.write(self.found(vec![message.clone()])).await? {
                Ok(taken) => {
                    sum.new += taken.new;
                    sum.known += taken.known;
                    sum.held += taken.held;
                    sum.new_inbound.extend(taken.new_inbound);
                    sum.last = taken.last;
                }
                Err(_) => {
                    let quarantine = Quarantine {
                        channel: self.channel.no,
                        received_at: self.app.clock.now(),
                        why: "A message of the platform's history could not be decided. This is a fault of Deskbell's: \
                              please report it."
                            .to_owned(),
                        raw: serde_json::to_string(message).unwrap_or_default(),
                        delivery: None,
                    };
                    // A second failure says no more than the first.
                    let _ = self.write(quarantine).await?;
                    self.left_open = true;
                }
            }
        }
        Ok(sum)
    }

    /// Sets aside what could not be read, once.
    async fn set_aside(&mut self, unreadable: Vec<Unreadable>) -> Result<(), Stop> {
        if unreadable.is_empty() {
            return Ok(());
        }
        let pieces = unreadable.into_iter().map(|one| (one.raw, one.why));
        let take = TakeFound {
            unreadable: pieces.collect(),
            ..self.found(Vec::new())
        };
        if let Ok(taken) = self.write(take).await? {
            self.count(taken);
        }
        Ok(())
    }

    fn count(&mut self, taken: Taken) {
        self.left_open |= taken.held > 0;
        for (outcome, number) in [
            ("new", taken.new),
            ("known", taken.known),
            ("held", taken.held),
            ("set-aside", taken.set_aside),
        ] {
            let labels = [
                ("channel", self.channel.id.clone()),
                ("outcome", outcome.to_owned()),
            ];
            metrics::counter!("deskbell_catch_up_messages_total", &labels)
                .increment(u64::from(number));
        }
        self.report(|report| {
            report.new += u64::from(taken.new);
            report.known += u64::from(taken.known);
            report.held += u64::from(taken.held);
        });
        self.new_inbound.extend(taken.new_inbound);
    }

    fn goes_in_circles(&mut self, what: &str) {
        self.left_open = true;
        self.trouble = Some(format!(
            "What was missed could not be fetched whole: {}'s pages of {what} go in a circle or have no end. It is tried \
             again; if this stays, look at the platform whether messages are missing here.",
            self.channel.kind.title
        ));
    }

    fn report(&self, change: impl FnOnce(&mut CatchUpReport)) {
        if let Some(report) = &mut self.channel.status().catch_up {
            change(report);
        }
    }

    /// One call, in its turn, and again while that makes sense. The inner error is the platform's refusal.
    async fn ask<'c, T>(
        &self,
        call: impl Fn() -> BoxFuture<'c, Result<T, CallError>>,
    ) -> Result<Result<T, String>, Stop> {
        let mut tried = 0;
        loop {
            let turn = tokio::select! {
                () = self.app.stopping.cancelled() => return Err(Stop::Stopping),
                turn = self.channel.reading_turn() => turn,
            };
            let answer = tokio::select! {
                () = self.app.stopping.cancelled() => return Err(Stop::Stopping),
                answer = tokio::time::timeout(CALL_TIME, call()) => answer,
            };
            drop(turn);
            let labels = [("channel", self.channel.id.clone())];
            metrics::counter!("deskbell_catch_up_calls_total", &labels).increment(1);
            let (after, say) = match answer {
                Ok(Ok(page)) => {
                    if tried > 0 {
                        self.report(|report| report.error = None);
                    }
                    return Ok(Ok(page));
                }
                Ok(Err(CallError::Credentials { say })) => return Err(Stop::Credentials(say)),
                Ok(Err(CallError::Refused { say, .. })) => return Ok(Err(say)),
                Ok(Err(CallError::Retry { after, say })) => (after, say),
                Err(_) => (None, "the platform did not answer in time".to_owned()),
            };
            tried += 1;
            if tried >= TRIES {
                return Err(Stop::Failed(format!(
                    "What was missed could not be fetched: {say}."
                )));
            }
            self.report(|report| report.error = Some(format!("Waits, and goes on: {say}.")));
            self.pause(after.unwrap_or_else(|| back_off(tried))).await?;
        }
    }

    /// Writes, and again while the store cannot take it. The inner error: it can never be decided.
    async fn write<D>(&self, decision: D) -> Result<Result<D::Answer, WriteError>, Stop>
    where
        D: crate::desk::Decision + Clone,
    {
        loop {
            match self.app.writer.write(decision.clone()).await {
                Ok(answer) => return Ok(Ok(answer)),
                Err(WriteError::Stopping) => return Err(Stop::Stopping),
                Err(error @ WriteError::Poison) => return Ok(Err(error)),
                Err(WriteError::Busy | WriteError::Store(_)) => self.pause(STORE_WAIT).await?,
            }
        }
    }

    async fn pause(&self, time: Duration) -> Result<(), Stop> {
        tokio::select! {
            () = self.app.stopping.cancelled() => Err(Stop::Stopping),
            () = tokio::time::sleep(time) => Ok(()),
        }
    }
}

/// The wait before try number `tried` + 1: doubled each time, and up to a half more so that channels do not step in time.
fn back_off(tried: u32) -> Duration {
    let doubled = FIRST_WAIT
        .saturating_mul(1 << tried.saturating_sub(1).min(10))
        .min(LONGEST_WAIT);
    let chance = crate::secrets::random_seed() % 512;
    doubled + doubled.mul_f64(f64::from(u32::try_from(chance).unwrap_or(0)) / 1024.0)
}

/// What the lists of threads showed.
#[derive(Default)]
struct Listed {
    heads: Vec<ThreadHead>,
    unreadable: Vec<Unreadable>,
    /// When the thread moved that moved last.
    newest: Option<Time>,
    /// How many messages are kept in memory.
    kept: usize,
}

/// The pages that were gone through.
struct Way {
    seen: HashSet<String>,
    pages: usize,
}

impl Default for Way {
    fn default() -> Self {
        Self {
            seen: HashSet::new(),
            pages: 1,
        }
    }
}

impl Way {
    /// Goes on to a page; `false` where it was gone through before, or where there is no end of pages.
    fn is_new(&mut self, at: &str) -> bool {
        self.pages += 1;
        self.pages <= MAX_PAGES && self.seen.insert(at.to_owned())
    }
}
