//! The search: a projection of the log, in an index of its own.
//!
//! `follower` is one thread with a low priority that follows the log and writes; [`Search`] asks. The index knows words
//! and ids, no texts: what is found is read from the store, by the reader's scope. It is behind by up to a second, less
//! where somebody [asks for what is new](Search::caught_up), and may be thrown away at any time: what is missing, damaged or of another form is made again from the records, and
//! meanwhile what is there answers.

mod asked;
mod folder;
mod follower;
mod fragments;
mod hits;
mod index;
mod place;
#[cfg(test)]
mod tests;
mod words;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::mpsc::{self, TrySendError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use tantivy::IndexReader;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

pub use self::asked::{Asked, MAX_CHARS};
use self::folder::Folder;
pub use self::follower::{SearchThread, start};
pub use self::fragments::{Part, fragment, phone_fragment};
pub use self::hits::{Hit, Is, Rank, Wanted, What};
use self::index::Fields;

/// How many searches run at once: they are the processor's work, which the rest of the daemon needs as well.
const AT_ONCE: usize = 2;
/// How long one waits for its turn.
const WAIT: Duration = Duration::from_secs(5);
/// How long a search waits for what was written before it: under a full load that may take longer.
const WAIT_FOR_NEWS: Duration = Duration::from_secs(1);

/// The index cannot be asked now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SearchError {
    /// Too many search at once. Try again shortly.
    #[error("too many searches at once")]
    Busy,
}

/// What became of forgetting.
#[derive(Debug, thiserror::Error)]
pub enum ForgetError {
    /// The files are still there. It is to be tried again.
    #[error("the search index could not be freed of what is to be forgotten: {0}")]
    Failed(String),
}

/// A turn to search; it ends when this is dropped.
#[derive(Debug)]
pub struct Turn(#[expect(dead_code, reason = "it is held")] OwnedSemaphorePermit);

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Best first.
    pub hits: Vec<Hit>,
    /// Everything that the store has was looked at, but for the last second. `false` while the index is being made.
    pub is_complete: bool,
}

/// How the index stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// It has everything, but for the last second.
    pub is_complete: bool,
    /// How much of the records is in it, in percent; 100 unless it is being made.
    pub percent: u8,
    /// The last event of the log that can be found.
    pub seq: u64,
}

impl Standing {
    /// Records are read into it, which takes a minute a million.
    #[must_use]
    pub const fn is_being_made(&self) -> bool {
        self.percent < 100
    }
}

/// What the thread is told.
enum Wake {
    /// The log moved.
    Log,
    /// Somebody searches, and what is indexed is to be found soon.
    Sought,
    /// These ids are to be in no file any more.
    Forget(Vec<u64>, oneshot::Sender<Result<(), ForgetError>>),
    /// A search found the index damaged.
    Damaged,
    /// The daemon stops.
    Stop,
}

/// What searches read from.
struct Readable {
    reader: IndexReader,
    fields: Fields,
}

/// Asks the index, and tells what follows the log. Cheap to clone.
#[derive(Clone)]
pub struct Search {
    shared: Arc<Shared>,
}

struct Shared {
    folder: Folder,
    readable: RwLock<Option<Arc<Readable>>>,
    is_complete: AtomicBool,
    percent: AtomicU8,
    seq: watch::Sender<u64>,
    thread: Mutex<Option<mpsc::SyncSender<Wake>>>,
    /// The thread was told that the log moved, and has not looked yet.
    log_moved: AtomicBool,
    turns: Arc<Semaphore>,
}

impl std::fmt::Debug for Search {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Search")
            .field("standing", &self.standing())
            .finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Search {
    /// The index in `path`, which nothing follows before [`start`]. Until then nothing is found.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self::in_folder(Folder::new(path))
    }

    fn in_folder(folder: Folder) -> Self {
        Self {
            shared: Arc::new(Shared {
                folder,
                readable: RwLock::default(),
                is_complete: AtomicBool::new(false),
                percent: AtomicU8::new(100),
                seq: watch::Sender::new(0),
                thread: Mutex::default(),
                log_moved: AtomicBool::new(false),
                turns: Arc::new(Semaphore::new(AT_ONCE)),
            }),
        }
    }

    /// How the index stands.
    #[must_use]
    pub fn standing(&self) -> Standing {
        Standing {
            is_complete: self.shared.is_complete.load(Ordering::Acquire),
            percent: self.shared.percent.load(Ordering::Relaxed),
            seq: *self.shared.seq.borrow(),
        }
    }

    /// Waits until everything up to the event `seq` can be found, a second at most; says whether it can.
    pub async fn caught_up(&self, seq: u64) -> bool {
        let mut found = self.shared.seq.subscribe();
        if !self.standing().is_complete {
            return false;
        }
        if *found.borrow() >= seq {
            return true;
        }
        // Where it is not heard, the thread has much to do, and does not rest.
        let _ = self.tell(Wake::Sought);
        let caught_up = found.wait_for(|found| *found >= seq);
        tokio::time::timeout(WAIT_FOR_NEWS, caught_up)
            .await
            .is_ok_and(|seen| seen.is_ok())
    }

    /// Waits for a turn to search.
    ///
    /// # Errors
    /// Where too many search for too long.
    pub async fn turn(&self) -> Result<Turn, SearchError> {
        let turns = Arc::clone(&self.shared.turns);
        match tokio::time::timeout(WAIT, turns.acquire_owned()).await {
            Ok(Ok(turn)) => Ok(Turn(turn)),
            _ => Err(SearchError::Busy),
        }
    }

    /// What fits best. Blocks: not for tasks. The cost is bounded by the size of the index, since at most
    /// [`MAX_WORDS`](asked::MAX_WORDS) words are looked up.
    #[must_use]
    pub fn find(&self, wanted: &Wanted) -> Found {
        // Before the look: what becomes whole during it may not have been when it was read.
        let is_complete = self.standing().is_complete;
        let readable = self
            .shared
            .readable
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let Some(readable) = readable else {
            return Found::default();
        };
        // Files that were cut may be read as anything.
        let found = catch_unwind(AssertUnwindSafe(|| {
            hits::find(&readable.reader.searcher(), &readable.fields, wanted)
        }));
        match found {
            Ok(Ok(hits)) => return Found { hits, is_complete },
            Ok(Err(error)) => {
                tracing::error!(%error, "the search index cannot be read and is made again")
            }
            Err(_) => tracing::error!("reading the search index panicked; it is made again"),
        }
        self.shared.is_complete.store(false, Ordering::Release);
        // Where it is not heard, another search finds the same.
        let _ = self.tell(Wake::Damaged);
        Found::default()
    }

    /// Takes everything that is known of these ids, and is not in the store any more, out of every file of the index.
    /// It may take minutes.
    ///
    /// # Errors
    /// Where something of it may still be in a file: then it is to be called again.
    pub async fn forget(&self, ids: Vec<u64>) -> Result<(), ForgetError> {
        let (done, heard) = oneshot::channel();
        let failed = |why: &str| Err(ForgetError::Failed(why.to_owned()));
        match self.tell(Wake::Forget(ids, done)) {
            Ok(()) => return heard.await.unwrap_or_else(|_| failed("the daemon stops")),
            Err(TrySendError::Full(_)) => return failed("too much waits for it"),
            Err(TrySendError::Disconnected(_)) => {}
        }
        // Nothing follows: what is there is of a run before, and is made again whenever something does.
        let folder = self.shared.folder.clone();
        let discarded = tokio::task::spawn_blocking(move || folder.discard()).await;
        discarded
            .map_err(|error| ForgetError::Failed(error.to_string()))?
            .map_err(|error| ForgetError::Failed(error.to_string()))
    }

    fn tell(&self, wake: Wake) -> Result<(), TrySendError<Wake>> {
        match &*lock(&self.shared.thread) {
            Some(thread) => thread.try_send(wake),
            None => Err(TrySendError::Disconnected(wake)),
        }
    }
}
