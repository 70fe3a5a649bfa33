//! The folder of snapshots: the two newest whole ones are kept, a damaged one is set aside and told of.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use deskbell_sdk::Time;

use super::disk::{Disk, make_directory};
use super::fold::{Truth, UpTo};
use super::model::Progress;
use super::snapshot::{
    SnapshotCounts, SnapshotError, SnapshotHeader, SnapshotReader, SnapshotWriter,
};
use crate::store::upkeep::SnapshotInfo;
use crate::store::{Found, StoreError};

/// Name of the folder.
pub(super) const FOLDER: &str = "snapshots";
const EXTENSION: &str = "snapshot";
const DAMAGED: &str = "damaged";
const HALF: &str = "half";
/// How many are kept.
const KEPT: usize = 2;
/// Rows between two looks at whether the store closes.
const LOOK_EVERY_ROWS: u64 = 4_096;

/// The folder.
#[derive(Clone)]
pub(super) struct Snapshots {
    folder: PathBuf,
    disk: Arc<dyn Disk>,
    // What is known of the newest; found out when it is asked for first.
    newest: Arc<Mutex<Option<SnapshotInfo>>>,
}

fn not_written(error: &io::Error) -> StoreError {
    StoreError::NotWritten(format!("no snapshot can be made: {error}"))
}

impl Snapshots {
    /// The folder in the store's directory, which is made with the first snapshot. What a crash left half is removed.
    pub(super) fn in_store(directory: &Path, disk: Arc<dyn Disk>) -> io::Result<Self> {
        let snapshots = Self {
            folder: directory.join(FOLDER),
            disk,
            newest: Arc::default(),
        };
        for (path, _) in snapshots.files(HALF)? {
            std::fs::remove_file(path)?;
        }
        Ok(snapshots)
    }

    /// The files with an ending, by their numbers, the oldest first.
    fn files(&self, extension: &str) -> io::Result<Vec<(PathBuf, u64)>> {
        let entries = match std::fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut files = Vec::new();
        for entry in entries {
            let path = entry?.path();
            let number = path
                .file_stem()
                .and_then(|stem| stem.to_str()?.parse().ok());
            if path.extension().is_some_and(|found| found == extension) {
                files.extend(number.map(|number| (path, number)));
            }
        }
        files.sort_unstable_by_key(|(_, number)| *number);
        Ok(files)
    }

    /// All of them, the oldest first.
    pub(super) fn all(&self) -> Found<Vec<PathBuf>> {
        let files = self
            .files(EXTENSION)
            .map_err(|error| StoreError::Unreadable(format!("the folder of snapshots: {error}")))?;
        Ok(files.into_iter().map(|(path, _)| path).collect())
    }

    /// Those that were set aside as damaged.
    pub(super) fn damaged(&self) -> Found<Vec<PathBuf>> {
        let files = self
            .files(DAMAGED)
            .map_err(|error| StoreError::Unreadable(format!("the folder of snapshots: {error}")))?;
        Ok(files.into_iter().map(|(path, _)| path).collect())
    }

    /// The newest head that can be read, without looking at what follows it.
    ///
    /// # Errors
    /// One is of a newer format.
    pub(super) fn newest_header(&self) -> Result<Option<SnapshotHeader>, SnapshotError> {
        let mut newest: Option<SnapshotHeader> = None;
        for (path, _) in self.files(EXTENSION)? {
            match SnapshotReader::open(&path) {
                Ok(reader) if newest.is_none_or(|newest| newest.frame <= reader.header().frame) => {
                    newest = Some(reader.header());
                }
                Err(newer @ SnapshotError::Newer(_)) => return Err(newer),
                // Damage is told of once somebody needs it.
                _ => {}
            }
        }
        Ok(newest)
    }

    /// The newest whole one that goes no further than `frame`. Those found damaged are set aside. `heard` hears how
    /// many rows of how many are checked, and ends it by `false`.
    pub(super) fn newest_whole(
        &self,
        frame: u64,
        mut heard: impl FnMut(u64, u64) -> bool,
    ) -> Found<Option<(PathBuf, SnapshotCounts)>> {
        let mut ended = false;
        for path in self.all()?.into_iter().rev() {
            let of = rows_of(&path);
            let whole = SnapshotReader::verify(&path, |rows| {
                ended = !heard(rows, of.max(rows));
                !ended
            });
            match whole {
                Ok((header, counts)) if header.frame <= frame => return Ok(Some((path, counts))),
                Ok(_) => {}
                Err(error @ SnapshotError::Newer(_)) => {
                    return Err(StoreError::Unreadable(error.to_string()));
                }
                Err(SnapshotError::Damaged(why)) => self.set_aside(&path, why)?,
                Err(SnapshotError::Io(_)) if ended => {
                    return Err(StoreError::Unreadable("the store is closed".to_owned()));
                }
                // It may be the disk's mood; the older one holds the same with what follows it.
                Err(error) => tracing::error!(%error, "a snapshot is passed over"),
            }
        }
        Ok(None)
    }

    fn set_aside(&self, path: &Path, why: &'static str) -> Found<()> {
        tracing::error!(
            why,
            file = %path.file_name().unwrap_or_default().display(),
            "a snapshot is damaged; it is set aside, the one before it and the journal hold the same"
        );
        let moved = std::fs::rename(path, path.with_extension(DAMAGED))
            .and_then(|()| self.disk.sync_names(&self.folder));
        self.forget_newest();
        moved.map_err(|error| {
            StoreError::Unreadable(format!("a damaged snapshot cannot be set aside: {error}"))
        })
    }

    fn forget_newest(&self) {
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// What is known of the newest; it was read back when it was made.
    pub(super) fn newest(&self) -> Option<SnapshotInfo> {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if newest.is_none() {
            let path = self.all().ok()?.pop()?;
            let header = SnapshotReader::open(&path).ok()?.header();
            *newest = Some(info(path.clone(), &header, rows_of(&path)));
        }
        newest.clone()
    }

    /// The frames up to which the two newest whole ones go, the newer first; those found damaged are set aside.
    pub(super) fn two_newest_whole(&self, mut go_on: impl FnMut() -> bool) -> Found<Vec<u64>> {
        let mut frames = Vec::new();
        let mut below = u64::MAX;
        while frames.len() < KEPT
            && let Some((path, _)) = self.newest_whole(below, |_, _| go_on())?
        {
            let header = SnapshotReader::open(&path)
                .map_err(|error| StoreError::Unreadable(error.to_string()))?
                .header();
            frames.push(header.frame);
            let Some(next) = header.frame.checked_sub(1) else {
                break;
            };
            below = next;
        }
        Ok(frames)
    }

    /// Makes a snapshot of all frames up to `up_to` and keeps the two newest.
    pub(super) fn make(&self, truth: &Truth, up_to: UpTo, now: Time) -> Found<SnapshotInfo> {
        make_directory(&self.folder).map_err(|error| not_written(&error))?;
        let known = self.files(EXTENSION).map_err(|error| not_written(&error))?;
        let aside = self.files(DAMAGED).map_err(|error| not_written(&error))?;
        let number = known
            .iter()
            .chain(&aside)
            .map(|(_, number)| number + 1)
            .max()
            .unwrap_or(1);
        let path = self.folder.join(format!("{number:010}.{EXTENSION}"));
        let half = path.with_extension(HALF);
        let made = self
            .write(truth, up_to, now, &half)
            .and_then(|(header, counts)| {
                self.give_name(&half, &path).map_err(|e| not_written(&e))?;
                Ok(info(path, &header, counts.rows))
            })
            .inspect_err(|_| drop(std::fs::remove_file(&half)))?;
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner) = Some(made.clone());
        self.keep_newest(KEPT)?;
        Ok(made)
    }

    fn write(
        &self,
        truth: &Truth,
        up_to: UpTo,
        now: Time,
        half: &Path,
    ) -> Found<(SnapshotHeader, SnapshotCounts)> {
        let silent: &dyn Fn(Progress) = &|_| {};
        let mut folded = truth.fold(up_to, silent)?;
        let header = SnapshotHeader {
            frame: folded.position.frame,
            seq: folded.position.seq,
            last_id: folded.position.last_id,
            created_at: now,
        };
        let io = |error: io::Error| not_written(&error);
        let mut writer =
            SnapshotWriter::begin(half, Arc::clone(&self.disk), &header).map_err(io)?;
        let mut rows = 0_u64;
        while let Some((key, value)) = folded.next_row()? {
            writer.add(&key, &value).map_err(io)?;
            rows += 1;
            if rows.is_multiple_of(LOOK_EVERY_ROWS) {
                truth.go_on()?;
            }
        }
        let (counts, _) = writer.finish().map_err(io)?;
        let read_back = SnapshotReader::verify(half, |_| truth.go_on().is_ok());
        match read_back {
            Ok(found) if found == (header, counts) => Ok(found),
            Ok(_) => Err(StoreError::NotWritten(
                "a snapshot reads back as another one".to_owned(),
            )),
            Err(error) => Err(StoreError::NotWritten(format!(
                "a snapshot does not read back: {error}"
            ))),
        }
    }

    fn give_name(&self, half: &Path, path: &Path) -> io::Result<()> {
        std::fs::rename(half, path)?;
        self.disk.sync_names(&self.folder)
    }

    /// Removes all but the newest ones.
    pub(super) fn keep_newest(&self, kept: usize) -> Found<()> {
        let mut all = self.all()?;
        all.truncate(all.len().saturating_sub(kept));
        for old in all {
            std::fs::remove_file(&old).map_err(|error| not_written(&error))?;
        }
        Ok(())
    }

    /// Takes over a snapshot of another store, read back before it gets its name.
    pub(super) fn take_over(&self, from: &Path) -> io::Result<SnapshotHeader> {
        make_directory(&self.folder)?;
        let path = self.folder.join(format!("{:010}.{EXTENSION}", 1));
        let half = path.with_extension(HALF);
        std::fs::copy(from, &half)?;
        self.disk.sync_data(&std::fs::File::open(&half)?)?;
        let (header, _) = SnapshotReader::verify(&half, |_| true).map_err(io::Error::other)?;
        self.give_name(&half, &path)?;
        Ok(header)
    }
}

fn info(path: PathBuf, header: &SnapshotHeader, rows: u64) -> SnapshotInfo {
    SnapshotInfo {
        bytes: std::fs::metadata(&path).map_or(0, |metadata| metadata.len()),
        path,
        frame: header.frame,
        seq: header.seq,
        last_id: header.last_id,
        rows,
        created_at: header.created_at,
    }
}

/// The rows that a snapshot says it has; 0 where it cannot be read.
fn rows_of(path: &Path) -> u64 {
    super::snapshot::rows_said(path).unwrap_or(0)
}
