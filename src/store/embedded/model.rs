//! The tables and the inbox together: opening them, bringing them up to the journal, making them again.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use super::apply::{Changes, Late};
use super::inbox::Inbox;
use super::log::Log;
use super::tables::{Position, Tables};
use crate::store::{Found, StoreError};

/// Larger tables are not opened once more at a stop, which shall not take longer than 10 s.
const MOST_BYTES_NOTED: u64 = 4 << 30;
/// Rows that are inserted together when the tables are made again.
const INSERT_ROWS: usize = 20_000;
/// Frames between two reports of progress.
const REPORT_EVERY_FRAMES: u64 = 256;

const DIRECTORY: &str = "tables";
const ASIDE_PREFIX: &str = "tables.aside-";
const REBUILD_FLAG: &str = "rebuild-tables";

/// How far opening has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// The tables are opened; that takes some seconds a million messages after a long run.
    OpeningTables,
    /// The tables are brought up to the journal, or made again from it.
    ReadingJournal {
        /// Steps read.
        done: u64,
        /// Steps there are.
        of: u64,
    },
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
        self.directory.join(DIRECTORY)
    }

    fn rebuild_flag(&self) -> PathBuf {
        self.directory.join(REBUILD_FLAG)
    }

    /// Whether the last run asked for a rebuild.
    pub(super) fn rebuild_is_asked_for(&self) -> bool {
        self.rebuild_flag().exists()
    }

    fn ask_for_rebuild(&self) -> Found<()> {
        std::fs::write(self.rebuild_flag(), b"").map_err(not_set_aside)
    }

    fn rebuild_is_done(&self) -> Found<()> {
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
        match self.open_tables() {
            Ok(tables) => {
                drop(tables);
                true
            }
            Err(error) => {
                tracing::warn!(%error, "the tables cannot be opened again: the next start will check them");
                false
            }
        }
    }

    /// Opens tables.
    pub(super) fn open_tables(&self) -> Found<Tables> {
        Tables::open(&self.tables(), self.cache_bytes, self.rebuild_flag())
    }
}

fn not_set_aside(error: std::io::Error) -> StoreError {
    StoreError::Repairing(format!("the old tables cannot be set aside: {error}"))
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
        let mut position = position;
        let mut reported = position.frame;
        log.replay(position.frame, |mut replayed| {
            // Each by itself: the tables may hold a part of the first already, and only of the first.
            let mut changes = Changes::after(position);
            changes.add(replayed.frame, replayed.next_seq, &mut replayed.group);
            self.apply(&mut changes)?;
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
        let conversations = self.inbox().len();
        if conversations as u64 != position.conversations {
            return Err(StoreError::Unreadable(format!(
                "the tables hold {conversations} conversations, and there should be {}",
                position.conversations
            )));
        }
        self.ready.store(true, Ordering::SeqCst);
        Ok(position)
    }

    /// Sets the tables aside and makes them again from the journal.
    pub(super) fn rebuild(
        &self,
        home: &Home,
        log: &Log,
        of: u64,
        progress: &dyn Fn(Progress),
    ) -> Found<Position> {
        if of > 0 {
            tracing::warn!(steps = of, "making the tables again from the journal");
        }
        if let Some(old) = self.take() {
            discard(old);
        }
        home.set_tables_aside()?;
        // Until they are whole, no start may believe them.
        home.ask_for_rebuild()?;
        let tables = home.open_tables()?;
        let position = fill(&tables, log, of, progress)?;
        tables.flush()?;
        self.put(tables)?;
        home.rebuild_is_done()?;
        self.ready.store(true, Ordering::SeqCst);
        Ok(position)
    }
}

/// Fills empty tables from the journal.
fn fill(tables: &Tables, log: &Log, of: u64, progress: &dyn Fn(Progress)) -> Found<Position> {
    progress(Progress::ReadingJournal { done: 0, of });
    let mut inbox = Inbox::default();
    let mut late = Late::default();
    let mut changes = Changes::default();
    log.replay(0, |mut replayed| {
        changes.add(replayed.frame, replayed.next_seq, &mut replayed.group);
        if changes.rows() >= INSERT_ROWS {
            changes.insert(tables, &mut inbox, &mut late)?;
            changes = Changes::after(changes.position());
            progress(Progress::ReadingJournal {
                done: replayed.frame,
                of,
            });
        }
        Ok(())
    })?;
    changes.insert(tables, &mut inbox, &mut late)?;
    let mut position = changes.position();
    late.insert(tables, &mut position)?;
    progress(Progress::ReadingJournal { done: of, of });
    Ok(position)
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
    name == DIRECTORY || name == REBUILD_FLAG || name.starts_with(ASIDE_PREFIX)
}

/// Whether tables stand in the store's directory.
pub(super) fn has_tables(directory: &Path) -> bool {
    directory.join(DIRECTORY).exists()
}
