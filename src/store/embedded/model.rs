//! The tables and the inbox together: opening them, bringing them up to the journal, making them again.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use super::apply::Changes;
use super::disk::write_whole;
use super::fold::{SCRATCH_PREFIX, Truth, UpTo};
use super::hanging::hanging_rows;
use super::inbox::Inbox;
use super::log::Log;
use super::rows::Rows;
use super::snapshots;
use super::tables::{Position, Tables};
use crate::store::{Found, StoreError};

/// How long sled may take to let go of its files when it is closed, and how often that is looked at.
const REOPEN_WAIT: Duration = Duration::from_secs(2);
const REOPEN_EVERY: Duration = Duration::from_millis(20);
/// Larger tables are not opened once more at a stop, which shall not take longer than 10 s.
const MOST_BYTES_NOTED: u64 = 4 << 30;
/// Rows that are inserted together when the tables are made again.
const INSERT_ROWS: usize = 20_000;
/// Frames between two reports of progress.
const REPORT_EVERY_FRAMES: u64 = 256;

const DIRECTORY: &str = "tables";
/// Names the directory of the tables, where they were made beside older ones.
const IN_USE: &str = "tables-in-use";
const BESIDE_PREFIX: &str = "tables-";
const ASIDE_PREFIX: &str = "tables.aside-";
const REBUILD_FLAG: &str = "rebuild-tables";

/// How far opening has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The tables are opened; that takes some seconds a million messages after a long run.
    OpeningTables,
    /// The tables are to be made again; the snapshot that they are made from is read whole first.
    CheckingSnapshot {
        /// Rows read.
        done: u64,
        /// Rows there are.
        of: u64,
    },
    /// The tables are brought up to the journal, or made again from it.
    ReadingJournal {
        /// Steps read.
        done: u64,
        /// Steps there are.
        of: u64,
    },
    /// The tables are made again: what the snapshot and the journal say is written.
    MakingTables {
        /// Rows written.
        done: u64,
        /// Rows there are, about.
        of: u64,
    },
}

impl Progress {
    /// How much of the whole is done, in percent; `None` where it cannot be told.
    #[must_use]
    pub fn percent(&self) -> Option<u8> {
        // About how long each takes of a rebuild.
        let (from, to, done, of) = match *self {
            Self::OpeningTables => return None,
            Self::CheckingSnapshot { done, of } => (0, 5, done, of),
            Self::ReadingJournal { done, of } => (5, 30, done, of),
            Self::MakingTables { done, of } => (30, 100, done, of),
        };
        let part = done.min(of).saturating_mul(to - from) / of.max(1);
        u8::try_from(from + part).ok()
    }
}

/// Where the tables are and what they are made from.
#[derive(Clone, Debug)]
pub(super) struct Home {
    /// The store's directory.
    pub(super) directory: PathBuf,
    /// sled's cache in bytes.
    pub(super) cache_bytes: u64,
}

impl Home {
    /// Where sled has its files.
    pub(super) fn tables(&self) -> PathBuf {
        self.directory.join(self.name_in_use())
    }

    fn name_in_use(&self) -> String {
        let named = std::fs::read_to_string(self.directory.join(IN_USE)).unwrap_or_default();
        match number_of(&named) {
            Some(_) => named,
            None => DIRECTORY.to_owned(),
        }
    }

    /// A directory beside the tables for new ones.
    pub(super) fn beside(&self) -> PathBuf {
        let number = number_of(&self.name_in_use()).unwrap_or(1) + 1;
        self.directory.join(format!("{BESIDE_PREFIX}{number}"))
    }

    /// From now on the tables are those at `path`.
    pub(super) fn use_tables(&self, path: &Path) -> Found<()> {
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or(DIRECTORY);
        write_whole(&self.directory.join(IN_USE), name.as_bytes()).map_err(not_set_aside)
    }

    /// Removes what a crash left: tables that are not in use, and temporary files.
    pub(super) fn remove_strays(&self) {
        let in_use = self.name_in_use();
        let entries = std::fs::read_dir(&self.directory)
            .into_iter()
            .flatten()
            .flatten();
        for entry in entries {
            let name = entry.file_name();
            let Some(name) = name.to_str().filter(|name| *name != in_use) else {
                continue;
            };
            let stray =
                name == DIRECTORY || number_of(name).is_some() || name.starts_with(SCRATCH_PREFIX);
            if stray && let Err(error) = std::fs::remove_dir_all(entry.path()) {
                tracing::warn!(%error, name, "a directory that is of no use any more cannot be removed");
            }
        }
    }

    fn rebuild_flag(&self) -> PathBuf {
        self.directory.join(REBUILD_FLAG)
    }

    /// Whether the last run asked for a rebuild.
    pub(super) fn rebuild_is_asked_for(&self) -> bool {
        self.rebuild_flag().exists()
    }

    /// Has the next start make the tables again.
    pub(super) fn ask_for_rebuild(&self) -> Found<()> {
        std::fs::write(self.rebuild_flag(), b"").map_err(not_set_aside)
    }

    /// The tables can be believed again.
    pub(super) fn rebuild_is_done(&self) -> Found<()> {
        match std::fs::remove_file(self.rebuild_flag()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(not_set_aside(error)),
            _ => Ok(()),
        }
    }

    fn asides(&self) -> Vec<(u64, PathBuf)> {
        let entries = std::fs::read_dir(&self.directory)
            .into_iter()
            .flatten()
            .flatten();
        entries
            .filter_map(|entry| {
                let number = entry
                    .file_name()
                    .to_str()?
                    .strip_prefix(ASIDE_PREFIX)?
                    .parse()
                    .ok()?;
                Some((number, entry.path()))
            })
            .collect()
    }

    /// Removes tables that were set aside earlier.
    pub(super) fn remove_asides(&self) {
        for (_, path) in self.asides() {
            if let Err(error) = std::fs::remove_dir_all(&path) {
                tracing::warn!(%error, "tables that were set aside cannot be removed");
            }
        }
    }

    /// Sets the tables aside, durably, and keeps none that were set aside before.
    pub(super) fn set_tables_aside(&self) -> Found<()> {
        if self.tables().exists() {
            let next = self
                .asides()
                .iter()
                .map(|(number, _)| number + 1)
                .max()
                .unwrap_or(1);
            self.remove_asides();
            let aside = self.directory.join(format!("{ASIDE_PREFIX}{next}"));
            std::fs::rename(self.tables(), aside).map_err(not_set_aside)?;
        }
        super::disk::sync_directory(&self.directory).map_err(not_set_aside)
    }

    /// Has sled read its log once more, so that it notes what it found: after a long run that takes seconds a million
    /// messages, which the next start then need not wait for. `false`: they cannot be opened.
    pub(super) fn note_what_is_there(&self) -> bool {
        if super::disk::bytes_below(&self.tables()) > MOST_BYTES_NOTED {
            return true;
        }
        // sled's own threads may still be at their end and hold its lock.
        let since = Instant::now();
        loop {
            match self.open_tables() {
                Ok(tables) => {
                    drop(tables);
                    return true;
                }
                Err(_) if since.elapsed() < REOPEN_WAIT => std::thread::sleep(REOPEN_EVERY),
                Err(error) => {
                    tracing::warn!(%error, "the tables cannot be opened again: the next start will check them");
                    return false;
                }
            }
        }
    }

    /// Opens tables.
    pub(super) fn open_tables(&self) -> Found<Tables> {
        self.open_tables_at(&self.tables())
    }

    /// Opens tables in a directory.
    pub(super) fn open_tables_at(&self, path: &Path) -> Found<Tables> {
        Tables::open(path, self.cache_bytes, self.rebuild_flag())
    }
}

/// The number of tables that were made beside others.
fn number_of(name: &str) -> Option<u64> {
    name.strip_prefix(BESIDE_PREFIX)?.parse().ok()
}

fn not_set_aside(error: std::io::Error) -> StoreError {
    StoreError::Repairing(format!("the old tables cannot be set aside: {error}"))
}

/// Tables whose groups are all whole hold as many conversations as they say.
fn check_count(inbox: &Inbox, position: Position) -> Found<()> {
    if inbox.len() as u64 == position.conversations {
        return Ok(());
    }
    Err(StoreError::Unreadable(format!(
        "the tables hold {} conversations, and there should be {}",
        inbox.len(),
        position.conversations
    )))
}

/// Fills the inbox from the tables.
pub(super) fn inbox_of(tables: &Tables) -> Found<Inbox> {
    let mut inbox = Inbox::default();
    tables.each_conversation(|conversation| inbox.update(conversation))?;
    Ok(inbox)
}

/// The model as it is read and written.
#[derive(Debug, Default)]
pub(super) struct Model {
    // `None`: they are set aside, or closed.
    tables: RwLock<Option<Arc<Tables>>>,
    // Whether they hold all that the journal says: before that nobody reads them.
    ready: AtomicBool,
    // Held for writing while a group is applied, so that an inbox page and its rows fit together.
    inbox: RwLock<Inbox>,
}

impl Model {
    /// Takes tables that match what they remember of themselves; they may be behind the journal.
    pub(super) fn put(&self, tables: Tables) -> Found<Position> {
        let position = tables.position()?;
        let inbox = inbox_of(&tables)?;
        *self.inbox.write().unwrap_or_else(PoisonError::into_inner) = inbox;
        *self.tables.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(tables));
        Ok(position)
    }

    /// Takes the tables out; reads fail from now on.
    pub(super) fn take(&self) -> Option<Arc<Tables>> {
        self.ready.store(false, Ordering::SeqCst);
        self.tables
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// The tables, whatever they hold.
    fn any_tables(&self) -> Option<Arc<Tables>> {
        self.tables
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The tables, where they hold all that the journal says and nothing of theirs has failed.
    pub(super) fn tables(&self) -> Found<Arc<Tables>> {
        let ready = self.ready.load(Ordering::SeqCst);
        let tables = self
            .any_tables()
            .filter(|tables| ready && !tables.is_suspect());
        tables.ok_or_else(|| {
            StoreError::Repairing(
                "the tables are to be made again from the journal, or the store is closed"
                    .to_owned(),
            )
        })
    }

    /// The inbox. While it is held, no group is applied.
    pub(super) fn inbox(&self) -> RwLockReadGuard<'_, Inbox> {
        self.inbox.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Applies changes.
    pub(super) fn apply(&self, changes: &mut Changes) -> Found<()> {
        let tables = self
            .any_tables()
            .ok_or_else(|| StoreError::Repairing("there are no tables".to_owned()))?;
        let mut inbox = self.inbox.write().unwrap_or_else(PoisonError::into_inner);
        changes.apply(&tables, &mut inbox)
    }

    /// Applies what the journal has behind `position`, shows the tables to readers, and gives the new position.
    pub(super) fn catch_up(
        &self,
        position: Position,
        log: &Log,
        of: u64,
        progress: &dyn Fn(Progress),
    ) -> Found<Position> {
        let position = catch_up(position, log, of, progress, |changes| self.apply(changes))?;
        check_count(&self.inbox(), position)?;
        self.ready.store(true, Ordering::SeqCst);
        Ok(position)
    }

    /// Puts other tables in the place of those that are read, which it gives back.
    pub(super) fn swap(&self, beside: Beside) -> Option<Arc<Tables>> {
        let mut inbox = self.inbox.write().unwrap_or_else(PoisonError::into_inner);
        *inbox = beside.inbox;
        let new = Some(Arc::new(beside.tables));
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::replace(&mut *tables, new);
        self.ready.store(true, Ordering::SeqCst);
        old
    }

    /// Sets the tables aside and makes them again from the snapshots and the journal.
    pub(super) fn rebuild(
        &self,
        home: &Home,
        truth: &Truth,
        up_to: UpTo,
        progress: &dyn Fn(Progress),
    ) -> Found<Position> {
        if up_to.frame > 0 {
            tracing::warn!(
                steps = up_to.frame,
                "making the tables again from the journal"
            );
        }
        if let Some(old) = self.take() {
            discard(old);
        }
        home.set_tables_aside()?;
        // Until they are whole, no start may believe them.
        home.ask_for_rebuild()?;
        let tables = home.open_tables()?;
        let position = fill(&tables, truth, up_to, progress)?;
        tables.flush()?;
        self.put(tables)?;
        check_count(&self.inbox(), position)?;
        home.rebuild_is_done()?;
        self.ready.store(true, Ordering::SeqCst);
        Ok(position)
    }
}

/// Tables that nobody reads yet.
pub(super) struct Beside {
    tables: Tables,
    inbox: Inbox,
    /// Where they stand.
    pub(super) position: Position,
}

impl Beside {
    /// Makes tables in an empty directory.
    pub(super) fn make(tables: Tables, truth: &Truth, up_to: UpTo) -> Found<Self> {
        let position = fill(&tables, truth, up_to, &|_| {})?;
        tables.flush()?;
        let inbox = inbox_of(&tables)?;
        check_count(&inbox, position)?;
        Ok(Self {
            inbox,
            tables,
            position,
        })
    }

    /// Applies what the journal has behind them.
    pub(super) fn catch_up(&mut self, log: &Log) -> Found<()> {
        let Self {
            tables,
            inbox,
            position,
        } = self;
        *position = catch_up(*position, log, 0, &|_| {}, |changes| {
            changes.apply(tables, inbox)
        })?;
        Ok(())
    }

    /// Writes out what is still in memory.
    pub(super) fn flush(&self) -> Found<()> {
        self.tables.flush()
    }
}

/// Applies what the journal has behind `position`, and gives the new one.
fn catch_up(
    position: Position,
    log: &Log,
    of: u64,
    progress: &dyn Fn(Progress),
    mut apply: impl FnMut(&mut Changes) -> Found<()>,
) -> Found<Position> {
    let mut position = position;
    let mut reported = position.frame;
    log.replay(position.frame, u64::MAX, |mut replayed| {
        // Each by itself: the tables may hold a part of the first already, and only of the first.
        let mut changes = Changes::after(position);
        changes.add(replayed.frame, replayed.next_seq, &mut replayed.group);
        apply(&mut changes)?;
        position = changes.position();
        if replayed.frame >= reported + REPORT_EVERY_FRAMES {
            reported = replayed.frame;
            progress(Progress::ReadingJournal {
                done: replayed.frame,
                of,
            });
        }
        Ok(())
    })?;
    Ok(position)
}

/// Fills empty tables: first the primary rows, then those that hang on them, each in the order of their keys, which is
/// what sled takes quickest.
fn fill(
    tables: &Tables,
    truth: &Truth,
    up_to: UpTo,
    progress: &dyn Fn(Progress),
) -> Found<Position> {
    let mut folded = truth.fold(up_to, progress)?;
    let mut position = folded.position;
    let mut hanging = truth.sorter("hanging", &folded.scratch);
    let half = folded.rows_at_most;
    let of = 2 * half;
    let mut batch = Batch::default();
    progress(Progress::MakingTables { done: 0, of });
    let mut done = 0;
    while let Some((key, value)) = folded.next_row()? {
        hanging_rows(&key, &value, |key, value| hanging.put(key, Some(value)))?;
        position.conversations += u64::from(key.first() == Some(&b'c'));
        done += 1;
        if batch.put(tables, key, value)? {
            truth.go_on()?;
            progress(Progress::MakingTables { done, of });
        }
    }
    drop(folded);
    let mut hanging = hanging.merged(None)?;
    let (mut written, all) = (0_u64, hanging.rows_at_most().max(1));
    while let Some((key, value)) = hanging.next_row()? {
        written += 1;
        if batch.put(tables, key, value)? {
            truth.go_on()?;
            let share = u128::from(half) * u128::from(written) / u128::from(all);
            let done = half + u64::try_from(share).unwrap_or(half).min(half);
            progress(Progress::MakingTables { done, of });
        }
    }
    batch.insert(tables)?;
    let mut last = Rows::default();
    last.put_position(&position)?;
    tables.apply(last)?;
    progress(Progress::MakingTables { done: of, of });
    Ok(position)
}

/// Rows that are inserted together.
#[derive(Default)]
struct Batch {
    rows: Rows,
    count: usize,
}

impl Batch {
    /// Takes in a row; whether all that were taken in are written now.
    fn put(&mut self, tables: &Tables, key: Vec<u8>, value: Vec<u8>) -> Found<bool> {
        self.rows.put(key, value);
        self.count += 1;
        if self.count < INSERT_ROWS {
            return Ok(false);
        }
        self.insert(tables)?;
        Ok(true)
    }

    fn insert(&mut self, tables: &Tables) -> Found<()> {
        self.count = 0;
        tables.insert_all(std::mem::take(&mut self.rows))
    }
}

/// Drops tables that failed: sled may panic or hang while it closes, and nobody shall wait for it.
fn discard(tables: Arc<Tables>) {
    let dropping = std::thread::Builder::new()
        .name("tables-drop".to_owned())
        .spawn(move || drop(tables));
    if let Err(error) = dropping {
        tracing::warn!(%error, "no thread to close the old tables");
    }
}

/// The store's own files in its directory, so that foreign ones are known.
pub(super) fn is_ours(name: &str) -> bool {
    name == DIRECTORY
        || name == REBUILD_FLAG
        || name == IN_USE
        || name == snapshots::FOLDER
        || name.starts_with(ASIDE_PREFIX)
        || name.starts_with(SCRATCH_PREFIX)
        || number_of(name).is_some()
}
