//! Upkeep beside the commits: snapshots, dropping what is old, making the tables again while they are read, and
//! beginning a store from a snapshot. One at a time; a commit waits for none of it longer than for one of its own.

use std::path::Path;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::disk::{bytes_below, make_directory, write_whole};
use super::fold::UpTo;
use super::journal::Making;
use super::model::{Beside, Progress};
use super::open::{FORMAT_FILE, JOURNAL, format_text};
use super::open_error::{OpenError, Trying};
use super::segment;
use super::snapshot::SnapshotReader;
use super::snapshots::Snapshots;
use super::sorter::remove_folder;
use super::tables::Tables;
use super::{EmbeddedStore, Options};
use crate::store::{Found, SnapshotInfo, StoreError, UpkeepState};

/// How long the next segment may take to be made ahead; after that it is made when it is needed.
const PREPARE_WAIT: Duration = Duration::from_secs(5);
/// How often new tables are caught up before commits are stopped for the last few steps.
const CATCH_UP_ROUNDS: usize = 8;
/// How long the old tables may still be read by somebody.
const RETIRE_WAIT: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(5);

impl EmbeddedStore {
    /// Begins a store in an empty directory with what a snapshot holds. Its next event gets the number of the
    /// snapshot's last one and `jump_seq` and 1; the numbers between may have been given by the store that the
    /// snapshot is of, and no event of them is kept.
    ///
    /// # Errors
    /// The directory holds something; the snapshot is damaged or of a newer format; the disk refuses. A directory in
    /// which it did not come to its end is refused by [`EmbeddedStore::open`].
    pub fn begin_from(
        directory: &Path,
        snapshot: &Path,
        jump_seq: u64,
        options: Options,
        progress: &dyn Fn(Progress),
    ) -> Result<Self, OpenError> {
        SnapshotReader::verify(snapshot, |_| true)
            .map_err(std::io::Error::other)
            .trying("the snapshot cannot be taken over")?;
        make_directory(directory).trying("the store's directory cannot be made")?;
        let mut entries =
            std::fs::read_dir(directory).trying("the store's directory cannot be read")?;
        if let Some(entry) = entries.next() {
            let name = entry.map(|entry| entry.file_name()).unwrap_or_default();
            let name = name.display();
            return Err(OpenError::Foreign(format!("it holds `{name}`")));
        }
        let snapshots = Snapshots::in_store(directory, Arc::clone(&options.disk))
            .trying("the folder of snapshots cannot be read")?;
        let header = snapshots
            .take_over(snapshot)
            .trying("the snapshot cannot be taken over")?;
        let making = Making {
            directory: directory.join(JOURNAL),
            disk: Arc::clone(&options.disk),
            segment_bytes: options.segment_bytes,
            clock: options.clock.clone(),
        };
        making
            .begin_behind(header.frame, header.seq.saturating_add(jump_seq))
            .trying("the journal cannot be begun")?;
        // Last: without it the directory is not taken for a store.
        write_whole(&directory.join(FORMAT_FILE), format_text().as_bytes())
            .trying("the format file cannot be written")?;
        Self::open(directory, options, progress)
    }

    /// Makes the tables again beside those that are read, from the snapshots and the journal, and puts them in their
    /// place. Reads and commits go on meanwhile; it takes a minute a million messages or so, and the memory of a
    /// second cache. What was removed is then in no file of the tables any more.
    ///
    /// # Errors
    /// The disk refuses, or the store closes. Then the old tables stay.
    pub fn remake_tables(&self) -> Result<(), StoreError> {
        let _none_else = self.one_at_a_time();
        self.remake()
    }

    /// Waits until no other upkeep runs.
    pub(super) fn one_at_a_time(&self) -> MutexGuard<'_, ()> {
        self.upkeep.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the segment that is written, and tells up to where everything is in segments that change no more.
    pub(super) fn seal(&self) -> Found<UpTo> {
        // Made ahead, so that no commit waits for its room.
        let since = Instant::now();
        while !self.writer().journal.next_is_ready() && since.elapsed() < PREPARE_WAIT {
            self.truth.go_on()?;
            std::thread::sleep(LOOK_EVERY);
        }
        let mut writer = self.writer();
        if writer.closed {
            return Err(StoreError::NotWritten("the store is closed".to_owned()));
        }
        self.space.check().map_err(StoreError::NotWritten)?;
        writer.journal.seal().map_err(StoreError::NotWritten)?;
        Ok(self.up_to(&writer))
    }

    pub(super) fn make_snapshot(&self) -> Found<SnapshotInfo> {
        let _none_else = self.one_at_a_time();
        let up_to = self.seal()?;
        let snapshots = &self.truth.snapshots;
        let newest = snapshots.newest().filter(|newest| {
            newest.frame == up_to.frame
                && newest.seq == up_to.seq
                && newest.last_id == up_to.last_id
        });
        if let Some(newest) = newest
            && let Some((path, _)) =
                snapshots.newest_whole(up_to.frame, |_, _| self.truth.go_on().is_ok())?
            && path == newest.path
        {
            return Ok(newest);
        }
        let made = self.write_snapshot(up_to)?;
        tracing::info!(
            steps = made.frame,
            rows = made.rows,
            bytes = made.bytes,
            "a snapshot was made"
        );
        Ok(made)
    }

    /// Writes a snapshot, where there is room for it.
    pub(super) fn write_snapshot(&self, up_to: UpTo) -> Found<SnapshotInfo> {
        let state = self.upkeep_state();
        let before = state.snapshot.map_or(0, |snapshot| snapshot.bytes);
        // What is folded stands in temporary files meanwhile.
        self.has_room_for(before.saturating_add(state.log_bytes_behind.saturating_mul(2)))?;
        self.truth
            .snapshots
            .make(&self.truth, up_to, self.clock.now())
    }

    /// Upkeep must not take the room that commits are refused without.
    fn has_room_for(&self, bytes: u64) -> Found<()> {
        let space = &self.space;
        let Ok(available) = space.disk.available_bytes(&space.directory) else {
            // The write itself will tell.
            return Ok(());
        };
        let wanted = space.min_free_bytes.saturating_add(bytes);
        if available >= wanted {
            return Ok(());
        }
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        Err(StoreError::NotWritten(format!(
            "there is no room on the disk for the store's upkeep: {} MiB are free, {} MiB are needed",
            mib(available),
            mib(wanted)
        )))
    }

    pub(super) fn drop_old_segments(&self, keep: Duration) -> Found<u64> {
        let _none_else = self.one_at_a_time();
        let snapshots = &self.truth.snapshots;
        let keep_ms = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
        let now_ms = self.clock.now().as_millis();
        let before = deskbell_sdk::Time::from_millis(now_ms.saturating_sub(keep_ms));
        let covered = snapshots.newest().map_or(0, |newest| newest.frame);
        if self.log.old_segments(covered, before).is_empty() {
            return Ok(0);
        }
        // Both are read whole first: what they cover is then nowhere else.
        let whole = snapshots.two_newest_whole(|| self.truth.go_on().is_ok())?;
        let [_, older] = whole[..] else {
            return Ok(0);
        };
        let mut dropped = 0;
        for number in self.log.old_segments(older, before) {
            self.log.drop_oldest(number);
            let path = segment::path_of(self.log.directory(), number);
            // In order, so that none is ever missing behind one that is there.
            std::fs::remove_file(path)
                .and_then(|()| self.truth.disk.sync_names(self.log.directory()))
                .map_err(|error| {
                    StoreError::NotWritten(format!("an old segment cannot be removed: {error}"))
                })?;
            dropped += 1;
        }
        Ok(dropped)
    }

    pub(super) fn upkeep_state(&self) -> UpkeepState {
        let snapshot = self.truth.snapshots.newest();
        let covered = snapshot.as_ref().map_or(0, |snapshot| snapshot.frame);
        let behind = self.log.behind(covered);
        UpkeepState {
            snapshot,
            log_bytes_behind: behind.map_or(0, |(_, bytes)| bytes),
            unsaved_since: behind.map(|(since, _)| since),
            scrub: *self.scrubbed.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Makes the tables again beside those that are read; the caller holds off other upkeep.
    pub(super) fn remake(&self) -> Found<()> {
        // As in a snapshot, and sled has not yet written out all of the old ones.
        let state = self.upkeep_state();
        let folded = state.snapshot.map_or(0, |snapshot| snapshot.bytes);
        let folded = folded.saturating_add(state.log_bytes_behind.saturating_mul(2));
        self.has_room_for(bytes_below(&self.home.tables()).saturating_add(folded))?;
        let path = self.home.beside();
        let not_begun = |error: std::io::Error| {
            StoreError::NotWritten(format!("no directory for new tables: {error}"))
        };
        remove_folder(&path).map_err(not_begun)?;
        let old_path = self.home.tables();
        let old = self.remake_at(&path).inspect_err(|_| {
            if self.home.tables() != path
                && let Err(error) = remove_folder(&path)
            {
                tracing::warn!(%error, "half-made tables cannot be removed");
            }
        })?;
        self.retire(old, &old_path);
        Ok(())
    }

    fn remake_at(&self, path: &Path) -> Found<Option<Arc<Tables>>> {
        let up_to = {
            let writer = self.writer();
            self.up_to(&writer)
        };
        let tables = self.home.open_tables_at(path)?;
        let mut beside = Beside::make(tables, &self.truth, up_to)?;
        for _ in 0..CATCH_UP_ROUNDS {
            self.truth.go_on()?;
            let before = beside.position;
            beside.catch_up(&self.log)?;
            if beside.position == before {
                break;
            }
        }
        beside.flush()?;
        let mut writer = self.writer();
        if writer.closed {
            return Err(StoreError::NotWritten("the store is closed".to_owned()));
        }
        beside.catch_up(&self.log)?;
        let position = beside.position;
        self.home.use_tables(path)?;
        let old = self.model.swap(beside);
        writer.position = position;
        self.publish(&writer);
        self.home.rebuild_is_done()?;
        Ok(old)
    }

    /// Closes tables that nobody reads any more, and removes their files.
    fn retire(&self, old: Option<Arc<Tables>>, path: &Path) {
        let since = Instant::now();
        if let Some(mut old) = old {
            loop {
                match Arc::try_unwrap(old) {
                    Ok(last) => break drop(last),
                    Err(still_read) if since.elapsed() < RETIRE_WAIT => old = still_read,
                    Err(_) => {
                        tracing::warn!(
                            "the old tables are still read; the next start removes them"
                        );
                        return;
                    }
                }
                std::thread::sleep(LOOK_EVERY);
            }
        }
        if let Err(error) = remove_folder(path) {
            tracing::warn!(%error, "the old tables cannot be removed; the next start does it");
        }
    }
}
