//! Follows the log and writes the index: one thread, which gives way to everything else.
//!
//! Where it stands is written with each commit of the index: the number of the last event, and while the index is being
//! made how far the records were read. Events carry the whole record, and a record that was read is never older than the
//! events before; so records and events may come in turns, and the last event of a thing has the last word.

use std::collections::HashMap;
use std::future::Future as _;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::task::{Context, Poll, Waker};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tantivy::index::SegmentId;
use tokio::sync::oneshot;

use super::hits::Is;
use super::index::{self, Opened};
use super::place::Place;
use super::{ForgetError, Readable, Search, Wake, hits, lock};
use crate::app::App;
use crate::id::{ContactId, MessageId};
use crate::priority;
use crate::store::change::{EventBody, LogEvent};
use crate::store::record::{ContactRecord, MessageRecord};
use crate::store::{Scope, StoreError};

/// How long something that was indexed waits for more before it can be found: within a second. Each commit keeps a core for
/// some milliseconds.
const COMMIT_AFTER: Duration = Duration::from_millis(750);
/// The same while somebody waits for it.
const COMMIT_SOUGHT_AFTER: Duration = Duration::from_millis(50);
/// The same while only older records are read: each commit makes a file that has to be merged.
const COMMIT_RECORDS_AFTER: Duration = Duration::from_secs(2);
/// How long it is not written down how far the log was read where nothing in it was to be indexed.
const COMMIT_PLACE_AFTER: Duration = Duration::from_secs(5 * 60);
/// How many events, or records, are taken at once.
const STRETCH: usize = 500;
/// Of how many messages it is remembered what was indexed, so that a receipt does not index them again.
const REMEMBERED: usize = 8_192;
/// So many bytes of the disk are left to the journal.
const MIN_FREE_BYTES: u64 = 192 << 20;
/// How often it is looked whether there is room again.
const LOOK_FOR_ROOM_EVERY: Duration = Duration::from_secs(5);
/// How long what moves the log is gathered, so that a busy desk is not followed step by step.
const GATHER: Duration = Duration::from_millis(50);
/// How long after something failed it is tried again; each further time twice as long, up to the other.
const AGAIN: Duration = Duration::from_secs(1);
const AGAIN_AT_MOST: Duration = Duration::from_secs(300);
/// How long files of what is forgotten may still be in use by searches.
const RELEASE_WITHIN: Duration = Duration::from_secs(60);
/// How long it may take to write anew what has something in it that is to be forgotten.
const MERGE_WITHIN: Duration = Duration::from_secs(30 * 60);
/// So many events are indexed without a rest where the index follows closely. Linux lets whoever computes go on for
/// milliseconds, however little its priority, and a delivery that wakes up on that core waits.
const HANDFUL: usize = 8;
const REST: Duration = Duration::from_micros(100);
/// How much the thread may be told before it looks.
const WAKES: usize = 16;

/// Why the index is closed.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The index does not do and is made again.
    Index(String),
    /// The store cannot be read now.
    Store(StoreError),
    /// The daemon stops.
    Stopping,
}

impl From<tantivy::TantivyError> for Trouble {
    fn from(error: tantivy::TantivyError) -> Self {
        Self::Index(error.to_string())
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<std::io::Error> for Trouble {
    fn from(error: std::io::Error) -> Self {
        Self::Index(error.to_string())
    }
}

/// The thread; it ends when the daemon stops.
#[derive(Debug)]
pub struct SearchThread(JoinHandle<()>);

impl SearchThread {
    /// Waits until it has ended, and the index is whole on the disk.
    pub fn join(self) {
        if self.0.join().is_err() {
            tracing::error!("the search ended with a panic");
        }
    }
}

/// Lets the index of `app.search` follow the log until the daemon stops.
///
/// # Errors
/// There can be no thread.
pub fn start(app: &App) -> std::io::Result<SearchThread> {
    let (tell, wakes) = sync_channel(WAKES);
    *lock(&app.search.shared.thread) = Some(tell.clone());
    let (mut head, stopping) = (app.writer.head(), app.stopping.clone());
    let search = app.search.clone();
    tokio::spawn(async move {
        loop {
            let wake = tokio::select! {
                () = stopping.cancelled() => Wake::Stop,
                changed = head.changed() => if changed.is_ok() { Wake::Log } else { Wake::Stop },
            };
            let is_last = matches!(wake, Wake::Stop);
            let is_told = !is_last && search.shared.log_moved.swap(true, Ordering::AcqRel);
            if is_told {
                continue;
            }
            if !send(&tell, wake).await || is_last {
                return;
            }
        }
    });
    let app = Arc::clone(app);
    let thread = std::thread::Builder::new().name("search".to_owned());
    thread.spawn(move || run(&app, &wakes)).map(SearchThread)
}

/// Tells the thread something that must not be lost; says whether there is one.
async fn send(tell: &SyncSender<Wake>, wake: Wake) -> bool {
    let mut wake = wake;
    loop {
        match tell.try_send(wake) {
            Ok(()) => return true,
            Err(TrySendError::Disconnected(_)) => return false,
            Err(TrySendError::Full(back)) => wake = back,
        }
        tokio::time::sleep(GATHER).await;
    }
}

fn run(app: &App, wakes: &Receiver<Wake>) {
    // As threads do that the index starts from here. Under a full load the search lags, and nobody waits for it.
    priority::give_way(priority::LEAST);
    let mut wait = AGAIN;
    let mut asked = Vec::new();
    loop {
        let began = Instant::now();
        let result = catch_unwind(AssertUnwindSafe(|| follow(app, wakes, &mut asked)))
            .unwrap_or_else(|_| Err(Trouble::Index("it panicked".to_owned())));
        let Err(trouble) = result;
        close(&app.search);
        match trouble {
            Trouble::Stopping => break,
            Trouble::Store(error) => {
                tracing::warn!(%error, "the search cannot read the store and goes on when it can")
            }
            Trouble::Index(why) => {
                tracing::error!(why, "the search index is made again");
                app.search.shared.percent.store(0, Ordering::Relaxed);
                if let Err(error) = app.search.shared.folder.discard() {
                    tracing::error!(%error, "the search index cannot be taken away");
                } else {
                    answer(&mut asked, || Ok(()));
                }
            }
        }
        answer(&mut asked, || {
            Err(ForgetError::Failed(
                "the search index cannot be written now".to_owned(),
            ))
        });
        if began.elapsed() > AGAIN_AT_MOST {
            wait = AGAIN;
        }
        if !pause(wakes, wait, &app.search) {
            break;
        }
        wait = (2 * wait).min(AGAIN_AT_MOST);
    }
    lock(&app.search.shared.thread).take();
}

type Done = oneshot::Sender<Result<(), ForgetError>>;

/// Tells those who wait how it ended.
fn answer(asked: &mut Vec<Done>, result: impl Fn() -> Result<(), ForgetError>) {
    for done in asked.drain(..) {
        // Who no longer waits asks again at the next start.
        let _ = done.send(result());
    }
}

/// Waits, and says whether to go on. What is to be forgotten meanwhile is, with all of the index.
fn pause(wakes: &Receiver<Wake>, wait: Duration, search: &Search) -> bool {
    let until = Instant::now() + wait;
    loop {
        match wakes.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(Wake::Log | Wake::Sought | Wake::Damaged) => {
                search.shared.log_moved.store(false, Ordering::Release)
            }
            Ok(Wake::Forget(_, done)) => {
                let discarded = search.shared.folder.discard();
                let _ =
                    done.send(discarded.map_err(|error| ForgetError::Failed(error.to_string())));
            }
            Ok(Wake::Stop) | Err(RecvTimeoutError::Disconnected) => return false,
            Err(RecvTimeoutError::Timeout) => return true,
        }
    }
}

/// Nothing is found any more.
fn close(search: &Search) {
    let shared = &search.shared;
    shared.is_complete.store(false, Ordering::Release);
    shared
        .readable
        .write()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .take();
}

/// Opens the index and follows the log; comes back only with a trouble.
fn follow(
    app: &App,
    wakes: &Receiver<Wake>,
    asked: &mut Vec<Done>,
) -> Result<std::convert::Infallible, Trouble> {
    let folder = &app.search.shared.folder;
    if !folder.begin()? {
        folder.discard()?;
        folder.begin()?;
    }
    let opened = index::open(folder)?;
    let place = Place::of(opened.payload.as_deref(), &*app.store)?;
    let mut follower = Follower::new(app, opened, place)?;
    loop {
        let wait = follower.work()?;
        let wake = match wakes.recv_timeout(wait) {
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => Wake::Stop,
            Ok(wake) => wake,
        };
        match wake {
            Wake::Log => {
                std::thread::sleep(GATHER);
                app.search.shared.log_moved.store(false, Ordering::Release);
            }
            Wake::Sought => follower.is_sought = true,
            Wake::Damaged => return Err(Trouble::Index("a search could not read it".to_owned())),
            Wake::Forget(ids, done) => {
                asked.push(done);
                follower.forget(&ids)?;
                answer(asked, || Ok(()));
            }
            Wake::Stop => {
                follower.commit()?;
                drop(follower);
                if let Err(error) = folder.end() {
                    tracing::warn!(%error, "the search index is made again at the next start");
                }
                return Err(Trouble::Stopping);
            }
        }
    }
}

struct Follower<'a> {
    app: &'a App,
    index: Opened,
    place: Place,
    /// Since when something was indexed and cannot be found yet.
    unseen_since: Option<Instant>,
    /// The same for events, which are to be found soon.
    news_since: Option<Instant>,
    /// Since when the place is another than the last commit says.
    moved_since: Option<Instant>,
    /// What was indexed of messages, by hash.
    remembered: HashMap<MessageId, u64>,
    /// The first message that was read, for telling how far it is.
    first: Option<u64>,
    /// It has come to the end of the log once.
    has_caught_up: bool,
    /// It stands still for want of room.
    is_full: bool,
    /// Somebody waits for what is not to be found yet.
    is_sought: bool,
}

impl<'a> Follower<'a> {
    fn new(app: &'a App, index: Opened, place: Place) -> Result<Self, Trouble> {
        let shared = &app.search.shared;
        let readable = Readable {
            reader: index.reader.clone(),
            fields: index.fields,
        };
        shared
            .readable
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .replace(Arc::new(readable));
        let percent = if place.scan.is_some() { 0 } else { 100 };
        shared.percent.store(percent, Ordering::Relaxed);
        let is_new = index.payload.is_none();
        let mut follower = Self {
            app,
            index,
            place,
            unseen_since: is_new.then(Instant::now),
            news_since: None,
            moved_since: None,
            remembered: HashMap::new(),
            first: None,
            has_caught_up: false,
            is_full: false,
            is_sought: false,
        };
        if is_new {
            if follower.place.scan.is_some() {
                tracing::info!("the search index is made from the records");
            }
            // It stands somewhere before anything is in it.
            follower.commit()?;
        }
        Ok(follower)
    }

    /// Does what there is to do now, and says how long to wait then.
    fn work(&mut self) -> Result<Duration, Trouble> {
        if !self.has_room() {
            return Ok(LOOK_FOR_ROOM_EVERY);
        }
        let at_end = self.take_events()?;
        if at_end && !self.has_caught_up {
            self.has_caught_up = true;
            self.commit()?;
        }
        if self.place.scan.is_some() {
            self.take_records()?;
        }
        if at_end && self.news_since.is_none() {
            self.is_sought = false;
        }
        let wait = |since: Option<Instant>, after: Duration| {
            since.map(|since| after.saturating_sub(since.elapsed()))
        };
        let news_after = if self.is_sought {
            COMMIT_SOUGHT_AFTER
        } else {
            COMMIT_AFTER
        };
        let due = [
            wait(self.news_since, news_after),
            wait(self.unseen_since, COMMIT_RECORDS_AFTER),
            wait(self.moved_since, COMMIT_PLACE_AFTER),
        ];
        let due = due.into_iter().flatten().min();
        if due == Some(Duration::ZERO) {
            self.commit()?;
        }
        self.tell();
        Ok(match due {
            _ if self.place.scan.is_some() || !at_end => Duration::ZERO,
            Some(due) if due > Duration::ZERO => due,
            _ => Duration::from_secs(3600),
        })
    }

    /// Whether the disk has room; where it has none, what is there goes on answering.
    fn has_room(&mut self) -> bool {
        let shared = &self.app.search.shared;
        let is_full = shared
            .folder
            .free_bytes()
            .is_some_and(|free| free < MIN_FREE_BYTES);
        if is_full {
            shared.is_complete.store(false, Ordering::Release);
        }
        if is_full != self.is_full {
            self.is_full = is_full;
            if is_full {
                tracing::error!(
                    "the disk is nearly full: the search stands still until there is room"
                );
            } else {
                tracing::info!("the disk has room again: the search goes on");
                self.has_caught_up = false;
            }
        }
        !is_full
    }

    fn tell(&self) {
        let shared = &self.app.search.shared;
        if self.unseen_since.is_none() {
            shared.seq.send_replace(self.place.seq);
        }
        let behind = self.app.store.head().saturating_sub(self.place.seq);
        metrics::gauge!("deskbell_projection_lag", "projection" => "search")
            .set(f64::from(u32::try_from(behind).unwrap_or(u32::MAX)));
        let (Some(scan), Some(first)) = (self.place.scan, self.first) else {
            return;
        };
        let (done, of) = (
            scan.message.saturating_sub(first),
            self.app.store.last_id().saturating_sub(first),
        );
        let percent = (u128::from(done) * 100)
            .checked_div(u128::from(of))
            .unwrap_or(0);
        shared.percent.store(
            u8::try_from(percent.min(99)).unwrap_or(99),
            Ordering::Relaxed,
        );
    }

    /// Takes a stretch of events, and says whether the end was reached.
    fn take_events(&mut self) -> Result<bool, Trouble> {
        let events = self.app.store.events(self.place.seq, STRETCH)?;
        let Some(last) = events.last() else {
            return Ok(true);
        };
        if events
            .first()
            .is_some_and(|first| first.seq > self.place.seq + 1)
            && self.app.store.oldest() > self.place.seq + 1
        {
            return Err(Trouble::Index(
                "it is behind by more than the log keeps".to_owned(),
            ));
        }
        let (seq, at_ms) = (last.seq, last.at.as_millis());
        let at_end = events.len() < STRETCH;
        for handful in events.chunks(HANDFUL) {
            for event in handful {
                self.take(event)?;
            }
            if at_end {
                std::thread::sleep(REST);
            }
        }
        (self.place.seq, self.place.at_ms) = (seq, at_ms);
        self.moved_since.get_or_insert_with(Instant::now);
        Ok(at_end)
    }

    fn take(&mut self, event: &LogEvent) -> Result<(), Trouble> {
        match &event.body {
            EventBody::MessageCreated { message, .. } => {
                // While records are read it may have been among them.
                let is_new = self.place.scan.is_none() && event.seq > self.place.scanned_seq;
                self.take_message(message, is_new)?;
            }
            EventBody::MessageUpdated { message, .. } => self.take_message(message, false)?,
            EventBody::ContactCreated { contact } | EventBody::ContactUpdated { contact } => {
                self.take_contact(contact)?;
            }
            EventBody::ContactDeleted { contact, .. } => {
                self.index
                    .writer
                    .delete_term(self.index.fields.id_term(contact.0));
            }
            _ => return Ok(()),
        }
        let now = Instant::now();
        self.news_since.get_or_insert(now);
        self.unseen_since.get_or_insert(now);
        Ok(())
    }

    fn take_message(&mut self, message: &MessageRecord, is_new: bool) -> Result<(), Trouble> {
        let hash = indexed_hash(message);
        if self.remembered.get(&message.id) == Some(&hash) {
            return Ok(());
        }
        if self.remembered.len() >= REMEMBERED {
            self.remembered.clear();
        }
        self.remembered.insert(message.id, hash);
        let index = &self.index;
        if !is_new {
            index.writer.delete_term(index.fields.id_term(message.id.0));
        }
        if let Some(document) = index.fields.message(message) {
            index.writer.add_document(document)?;
        }
        Ok(())
    }

    fn take_contact(&mut self, contact: &ContactRecord) -> Result<(), Trouble> {
        let index = &self.index;
        index.writer.delete_term(index.fields.id_term(contact.id.0));
        if let Some(document) = index.fields.contact(contact) {
            index.writer.add_document(document)?;
        }
        Ok(())
    }

    /// Takes a stretch of the records.
    fn take_records(&mut self) -> Result<(), Trouble> {
        let Some(mut scan) = self.place.scan else {
            return Ok(());
        };
        let whole = Scope::whole_desk();
        let mut more = true;
        if scan.messages_read {
            let contacts = self
                .app
                .store
                .contacts(&whole, scan.contact.map(ContactId), STRETCH)?;
            for contact in &contacts {
                self.take_contact(contact)?;
                scan.contact = Some(contact.id.0);
            }
            more = contacts.len() == STRETCH;
        } else {
            let messages =
                self.app
                    .store
                    .messages_after(&whole, MessageId(scan.message), STRETCH)?;
            for message in &messages {
                self.first.get_or_insert(message.id.0);
                self.take_message(message, false)?;
                scan.message = message.id.0;
            }
            scan.messages_read = messages.len() < STRETCH;
        }
        self.unseen_since.get_or_insert_with(Instant::now);
        if more {
            self.place.scan = Some(scan);
            return Ok(());
        }
        self.place.scan = None;
        // What these events created may have been read from the records.
        self.place.scanned_seq = self.app.store.head();
        tracing::info!("the search index is whole");
        self.commit()
    }

    /// Lets everything that was indexed be found.
    fn commit(&mut self) -> Result<(), Trouble> {
        if self.unseen_since.is_some() || self.moved_since.is_some() {
            let payload = serde_json::to_string(&self.place)
                .map_err(|error| Trouble::Index(error.to_string()))?;
            let mut commit = self.index.writer.prepare_commit()?;
            commit.set_payload(&payload);
            commit.commit()?;
            self.index.reader.reload()?;
            (self.unseen_since, self.news_since, self.moved_since) = (None, None, None);
            self.is_sought = false;
        }
        let is_complete = self.has_caught_up && self.place.scan.is_none();
        if is_complete {
            self.app.search.shared.percent.store(100, Ordering::Relaxed);
        }
        self.app
            .search
            .shared
            .is_complete
            .store(is_complete, Ordering::Release);
        Ok(())
    }

    /// Takes what is known of these ids out of every file, as far as the store does not have it any more.
    fn forget(&mut self, ids: &[u64]) -> Result<(), Trouble> {
        // What the log still says of them comes first, or it would bring them back.
        let head = self.app.store.head();
        while self.place.seq < head && !self.take_events()? {}
        self.unseen_since.get_or_insert_with(Instant::now);
        self.commit()?;
        let found = hits::with_ids(&self.index.reader.searcher(), &self.index.fields, ids)?;
        let whole = Scope::whole_desk();
        for is in found {
            let (id, stands) = match is {
                Is::Message(channel, id) => {
                    (id.0, self.app.store.message(&whole, channel, id)?.is_some())
                }
                Is::Contact(id) => (id.0, self.app.store.contact(&whole, id)?.is_some()),
            };
            if !stands {
                self.index.writer.delete_term(self.index.fields.id_term(id));
                self.remembered.remove(&MessageId(id));
                self.unseen_since.get_or_insert_with(Instant::now);
            }
        }
        self.commit()?;
        let old = self.with_deleted()?;
        self.write_anew(&old)?;
        self.release(&old)
    }

    /// The segments in which something was deleted. Their descriptions are let go, since each holds its files.
    fn with_deleted(&self) -> Result<Vec<SegmentId>, Trouble> {
        let segments = self.index.writer.index().searchable_segment_metas()?;
        let old = segments.iter().filter(|segment| segment.has_deletes());
        Ok(old.map(tantivy::index::SegmentMeta::id).collect())
    }

    /// Writes segments anew without what was deleted in them, and goes on following meanwhile.
    fn write_anew(&mut self, segments: &[SegmentId]) -> Result<(), Trouble> {
        let until = Instant::now() + MERGE_WITHIN;
        loop {
            let there = self.index.writer.index().searchable_segment_ids()?;
            let Some(next) = segments.iter().find(|segment| there.contains(segment)) else {
                return Ok(());
            };
            if Instant::now() > until {
                return Err(Trouble::Index(
                    "it takes too long to write it anew".to_owned(),
                ));
            }
            let mut merging = self.index.writer.merge(&[*next]);
            // One that is merged already cannot be merged again: then that one is waited for.
            while poll(&mut merging).is_none() {
                if self.app.stopping.is_cancelled() {
                    return Err(Trouble::Stopping);
                }
                self.work()?;
                std::thread::sleep(Duration::from_millis(20));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until the files of segments are gone: a search may still read in them.
    fn release(&mut self, segments: &[SegmentId]) -> Result<(), Trouble> {
        let until = Instant::now() + RELEASE_WITHIN;
        let names: Vec<_> = segments
            .iter()
            .map(|segment| segment.uuid_string())
            .collect();
        loop {
            self.index.reader.reload()?;
            self.index.writer.garbage_collect_files().wait()?;
            let mut left = false;
            for name in &names {
                left |= self.app.search.shared.folder.has_files_of(name)?;
            }
            if !left {
                return Ok(());
            }
            if Instant::now() > until {
                return Err(Trouble::Index("its old files are held".to_owned()));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// What a future has come to by now.
fn poll<T>(future: &mut tantivy::FutureResult<T>) -> Option<tantivy::Result<T>> {
    match Pin::new(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => Some(result),
        Poll::Pending => None,
    }
}

/// What of a message is in the index, as a number.
fn indexed_hash(message: &MessageRecord) -> u64 {
    let mut hasher = DefaultHasher::new();
    message.changes.deleted_at.is_some().hash(&mut hasher);
    message.standing_text().hash(&mut hasher);
    for attachment in &message.attachments {
        attachment.name.hash(&mut hasher);
    }
    hasher.finish()
}
