//! The embedded engine: a journal of our own, which is the commit point, and sled beside it, which is a view of the
//! journal that can be made again.
//!
//! A commit is: one frame appended, one sync, its rows written to sled, then the answer. What must never be: a group
//! half in; an answer before the sync; a decision read from tables that missed a frame. Events are read from the
//! journal, everything else from the tables; the order of the inbox stands in memory.

mod apply;
mod damage;
mod disk;
mod fold;
mod forget;
mod frame;
mod hanging;
mod hot;
mod inbox;
mod journal;
mod key;
mod log;
mod marker;
mod model;
mod open;
mod open_error;
mod packing;
mod raws;
mod reads;
mod recent;
mod recovery;
mod rows;
mod scan;
mod scrub;
mod segment;
#[cfg(test)]
pub(crate) mod simulated;
mod snapshot;
mod snapshots;
mod sorter;
mod space;
mod tables;
#[cfg(test)]
mod tests;
mod upkeep;

use std::fs::File;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use self::apply::Changes;
use self::disk::{Disk, RealDisk};
use self::fold::{Truth, UpTo};
use self::frame::FrameBuffer;
use self::journal::Journal;
use self::log::Log;
use self::marker::Marker;
use self::model::{Home, Model};
use self::recent::RecentEvents;
use self::space::Space;
use self::tables::Position;
use super::{
    Forgotten, Group, Needle, Read, ScrubReport, SnapshotInfo, Store, StoreError, UpkeepState,
};
use crate::clock::Clock;

pub use self::damage::Damage;
pub use self::model::Progress;
pub use self::open_error::OpenError;
pub use self::snapshot::{SnapshotCounts, SnapshotError, SnapshotHeader, SnapshotReader};

/// How long closing waits for readers.
const CLOSE_WAIT: Duration = Duration::from_secs(5);

/// How a store is opened.
#[derive(Clone)]
pub struct Options {
    /// Memory that sled's cache shall take, in bytes; beside it stand up to 150 bytes a message.
    pub cache_bytes: u64,
    /// Bytes of a journal segment.
    pub segment_bytes: u64,
    /// Bytes of the file that is given up when the disk is full.
    pub reserve_bytes: u64,
    /// Bytes that must stay free on the disk: with less, writes are refused and reads go on.
    pub min_free_bytes: u64,
    /// The kernel's boot id; `None`: as the kernel says. For tests, which cannot restart the machine.
    pub boot_id: Option<String>,
    /// Tells when segments were begun.
    pub clock: Clock,
    disk: Arc<dyn Disk>,
    fold_bytes: usize,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("cache_bytes", &self.cache_bytes)
            .finish_non_exhaustive()
    }
}

impl Options {
    /// What suits a small shop: a cache of 128 MiB, segments of 32 MiB, a reserve of 16 MiB, 64 MiB that stay free.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self {
            cache_bytes: 128 << 20,
            segment_bytes: 32 << 20,
            reserve_bytes: 16 << 20,
            min_free_bytes: 64 << 20,
            boot_id: None,
            clock,
            disk: Arc::new(RealDisk),
            fold_bytes: 64 << 20,
        }
    }
}

/// What the committing thread works with.
#[derive(Debug)]
struct Writer {
    journal: Journal,
    buffer: FrameBuffer,
    position: Position,
    closed: bool,
}

/// The embedded engine.
#[derive(Debug)]
pub struct EmbeddedStore {
    model: Model,
    writer: Mutex<Writer>,
    log: Arc<Log>,
    truth: Truth,
    clock: Clock,
    // Held by whatever rewrites files beside the writer: one at a time.
    upkeep: Mutex<()>,
    // Held by a scrub, which takes hours and keeps no other upkeep from its work.
    scrubbing: Mutex<()>,
    scrubbed: Mutex<Option<ScrubReport>>,
    recent: RecentEvents,
    head: AtomicU64,
    last_id: AtomicU64,
    space: Space,
    home: Home,
    boot_id: String,
    // Last, so that the lock is let go after everything else.
    _lock: File,
}

impl EmbeddedStore {
    /// Opens the store in `directory`, or begins one where that is empty. It may take a minute a million messages
    /// where the machine went down without a clean stop; `progress` hears how far it is.
    ///
    /// # Errors
    /// Another daemon has it; a newer one wrote it; it is something else; the journal is gone; the disk refuses.
    pub fn open(
        directory: &Path,
        options: Options,
        progress: &dyn Fn(Progress),
    ) -> Result<Self, OpenError> {
        open::open(directory, options, progress)
    }

    /// What was found damaged in the journal, in this run and before. Each is also a file in `journal/quarantine`.
    #[must_use]
    pub fn damage(&self) -> Vec<Damage> {
        self.log.damage.all()
    }

    /// Reads the whole journal and gives all damage, old and new. It takes a second a gigabyte or so, and holds
    /// nobody up.
    ///
    /// # Errors
    /// A segment cannot be read at all.
    pub fn check_journal(&self) -> Result<Vec<Damage>, StoreError> {
        self.log.check()?;
        Ok(self.damage())
    }

    /// Makes the tables again where a read or an apply failed; nothing where all is well. Until then reads answer
    /// [`StoreError::Repairing`]. Each commit does this first, also one of an empty group, which is how a writer
    /// whose reads fail asks for it.
    ///
    /// # Errors
    /// [`StoreError::Repairing`] where it did not succeed.
    pub fn repair(&self) -> Result<(), StoreError> {
        self.repair_tables(&mut self.writer())
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn repair_tables(&self, writer: &mut Writer) -> Result<(), StoreError> {
        if writer.closed || self.model.tables().is_ok() {
            return Ok(());
        }
        let up_to = self.up_to(writer);
        let rebuilt = self.model.rebuild(&self.home, &self.truth, up_to, &|_| {});
        writer.position = rebuilt.map_err(|error| StoreError::Repairing(error.to_string()))?;
        self.recent.clear();
        self.publish(writer);
        Ok(())
    }

    /// Everything that is durable.
    fn up_to(&self, writer: &Writer) -> UpTo {
        let tail = writer.journal.tail();
        UpTo {
            frame: tail.next_frame - 1,
            seq: tail.next_seq - 1,
            last_id: self.last_id(),
        }
    }

    /// Shows readers what was applied.
    fn publish(&self, writer: &Writer) {
        self.last_id
            .fetch_max(writer.position.last_id, Ordering::SeqCst);
        self.head
            .store(writer.journal.tail().next_seq - 1, Ordering::SeqCst);
    }

    fn check_numbers(&self, group: &Group) -> Result<(), StoreError> {
        let mut next = self.head();
        for event in &group.events {
            next += 1;
            if event.seq != next {
                let why = format!(
                    "an event is numbered {}, and number {next} is due",
                    event.seq
                );
                return Err(StoreError::NotWritten(why));
            }
        }
        Ok(())
    }

    /// Applies a durable group; where sled refuses, the tables are made again from the journal, which has it.
    fn apply(&self, writer: &mut Writer, frame: u64, group: &mut Group) -> Result<(), StoreError> {
        let mut changes = Changes::after(writer.position);
        changes.add(frame, writer.journal.tail().next_seq, group);
        match self.model.apply(&mut changes) {
            Ok(()) => {
                writer.position = changes.position();
                Ok(())
            }
            Err(error) => {
                tracing::error!(%error, "a durable step could not be applied");
                if let Ok(tables) = self.model.tables() {
                    tables.distrust();
                }
                self.repair_tables(writer)
            }
        }
    }
}

impl Store for EmbeddedStore {
    fn commit(&self, mut group: Group) -> Result<(), StoreError> {
        let mut writer = self.writer();
        let writer = &mut *writer;
        if writer.closed {
            return Err(StoreError::NotWritten("the store is closed".to_owned()));
        }
        self.space.check().map_err(StoreError::NotWritten)?;
        // Nothing of this group is in yet, whatever keeps the tables from being made.
        self.repair_tables(writer)
            .map_err(|error| StoreError::NotWritten(error.to_string()))?;
        if group.is_empty() && group.last_id <= self.last_id() {
            return Ok(());
        }
        self.check_numbers(&group)?;
        writer.buffer.fill(&group).map_err(StoreError::NotWritten)?;
        let appended = writer
            .journal
            .append(&mut writer.buffer, group.events.len());
        let frame = appended.map_err(StoreError::NotWritten)?;
        // From here on it is durable.
        self.apply(writer, frame, &mut group)?;
        self.recent.push(group.events, writer.buffer.plain_len());
        self.publish(writer);
        Ok(())
    }

    fn snapshot(&self) -> Result<SnapshotInfo, StoreError> {
        self.make_snapshot()
    }

    fn drop_old(&self, keep: Duration) -> Result<u64, StoreError> {
        self.drop_old_segments(keep)
    }

    fn scrub(&self, rows_per_second: u64) -> Result<ScrubReport, StoreError> {
        self.scrub_tables(rows_per_second)
    }

    fn forget(&self, needles: &[Needle]) -> Result<Forgotten, StoreError> {
        self.forget_everywhere(needles)
    }

    fn upkeep(&self) -> UpkeepState {
        self.upkeep_state()
    }

    fn bytes_on_disk(&self) -> u64 {
        disk::bytes_below(&self.home.directory)
    }

    fn close(&self) -> Result<(), StoreError> {
        // What takes long hears of it and ends.
        self.truth.closing.store(true, Ordering::SeqCst);
        let _none_else = self.one_at_a_time();
        let mut writer = self.writer();
        if writer.closed {
            return Ok(());
        }
        writer.closed = true;
        let failed = |error: std::io::Error| {
            StoreError::NotWritten(format!("the store cannot be closed cleanly: {error}"))
        };
        // Whatever becomes of the tables: how far the journal goes is known from here on, so that a part of it that is
        // lost later is missed.
        let mut stopped = Marker {
            boot_id: self.boot_id.clone(),
            clean: false,
            frame: writer.position.frame,
            seq: writer.journal.tail().next_seq - 1,
            last_id: self.last_id(),
        };
        stopped.write(&self.home.directory).map_err(failed)?;
        let Some(mut tables) = self.model.take() else {
            return Ok(());
        };
        if tables.is_suspect() {
            return Ok(());
        }
        tables.flush()?;
        // sled's own threads must be done before its files are synced.
        let since = Instant::now();
        loop {
            match Arc::try_unwrap(tables) {
                Ok(last) => break drop(last),
                Err(still_read) if since.elapsed() < CLOSE_WAIT => tables = still_read,
                Err(_) => {
                    tracing::warn!(
                        "a reader holds the tables: the next start will check them as after a kill"
                    );
                    return Ok(());
                }
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        if !self.home.note_what_is_there() {
            return Ok(());
        }
        disk::sync_below(&self.home.tables()).map_err(failed)?;
        stopped.clean = true;
        stopped.write(&self.home.directory).map_err(failed)
    }
}
