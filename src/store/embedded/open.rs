//! Opening the store: lock, format, marker, tables, journal, in this order.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use super::disk::{make_directory, write_whole};
use super::fold::{Truth, UpTo};
use super::frame::FrameBuffer;
use super::journal::Making;
use super::marker::{Marker, kernel_boot_id};
use super::model::{Home, Model, Progress, is_ours};
use super::open_error::{OpenError, Trying};
use super::recovery::{Known, Opened, open_journal};
use super::snapshot::{SnapshotError, SnapshotHeader};
use super::snapshots::Snapshots;
use super::space::{RESERVE_FILE, Space};
use super::tables::Position;
use super::{EmbeddedStore, Options, Writer};
use crate::store::StoreError;

const LOCK_FILE: &str = "lock";
pub(super) const FORMAT_FILE: &str = "format";
pub(super) const JOURNAL: &str = "journal";
/// In 1 frames were not packed, but each delivery by itself.
const FORMAT: u32 = 2;
const OLDEST_FORMAT: u32 = 1;
const FORMAT_WORDS: &str = "deskbell store, format ";

/// Opens the store; see [`EmbeddedStore::open`].
pub(super) fn open(
    directory: &Path,
    options: Options,
    progress: &dyn Fn(Progress),
) -> Result<EmbeddedStore, OpenError> {
    make_directory(directory).trying("the store's directory cannot be made")?;
    refuse_foreign(directory)?;
    let lock = take_lock(directory)?;
    check_format(directory)?;
    let space = Space {
        directory: directory.to_owned(),
        disk: Arc::clone(&options.disk),
        reserve_bytes: options.reserve_bytes,
        min_free_bytes: options.min_free_bytes,
        asked: Mutex::new(None),
    };
    // Also on a full disk the store opens for reading; then this gives up the reserve.
    if let Err(why) = space.check() {
        tracing::error!(why, "the store opens for reading only");
    }

    let boot_id = options.boot_id.clone().unwrap_or_else(kernel_boot_id);
    let marker = Marker::read(directory);
    let home = Home {
        directory: directory.to_owned(),
        cache_bytes: options.cache_bytes,
    };
    home.remove_strays();
    let snapshots = Snapshots::in_store(directory, Arc::clone(&options.disk))
        .trying("the folder of snapshots cannot be read")?;
    let snapshot = snapshots.newest_header().map_err(unreadable_snapshot)?;
    let model = Model::default();
    let trusted = open_trusted_tables(&home, &model, marker.as_ref(), &boot_id, progress);
    let known = known_from(marker.as_ref(), trusted, snapshot.as_ref());
    let making = Making {
        directory: directory.join(JOURNAL),
        disk: Arc::clone(&options.disk),
        segment_bytes: options.segment_bytes,
        clock: options.clock.clone(),
    };
    let clock = options.clock;
    let Opened {
        log,
        journal,
        valid_to,
    } = open_journal(making, known)?;
    let tail = journal.tail();

    // Tables that know more than the journal are not believed: the journal is what was acknowledged.
    let trusted = trusted.filter(|position| position.frame <= valid_to);
    if trusted.is_none() {
        // Set aside before the new marker vouches for what stands there.
        drop(model.take());
        home.set_tables_aside().map_err(not_made)?;
    }
    let remembered_id = marker.as_ref().map_or(0, |marker| marker.last_id);
    let begun = Marker {
        boot_id: boot_id.clone(),
        clean: false,
        frame: tail.frame,
        seq: tail.next_seq - 1,
        last_id: remembered_id,
    };
    if marker
        .as_ref()
        .is_none_or(|marker| marker.clean || marker.boot_id != boot_id)
    {
        begun
            .write(directory)
            .trying("the marker of the last stop cannot be written")?;
    }
    let truth = Truth {
        directory: directory.to_owned(),
        log: Arc::clone(&log),
        snapshots,
        disk: options.disk,
        fold_bytes: options.fold_bytes,
        closing: Arc::default(),
        folds: Arc::default(),
    };
    let last_id = remembered_id.max(trusted.map_or(0, |position| position.last_id));
    let up_to = UpTo {
        frame: tail.next_frame - 1,
        seq: tail.next_seq - 1,
        last_id,
    };
    let caught_up = match trusted {
        Some(position) => model.catch_up(position, &log, tail.frame, progress),
        None => model.rebuild(&home, &truth, up_to, progress),
    };
    let position = match caught_up {
        Err(error) if trusted.is_some() => {
            tracing::error!(%error, "the tables cannot be brought up to the journal");
            model.rebuild(&home, &truth, up_to, progress)
        }
        result => result,
    }
    .map_err(not_made)?;

    let last_id = position.last_id.max(last_id);
    Ok(EmbeddedStore {
        model,
        writer: Mutex::new(Writer {
            journal,
            buffer: FrameBuffer::default(),
            position,
            closed: false,
        }),
        log,
        truth,
        clock,
        upkeep: Mutex::new(()),
        scrubbing: Mutex::new(()),
        scrubbed: Mutex::new(None),
        recent: super::recent::RecentEvents::new(options.cache_bytes),
        head: AtomicU64::new(tail.next_seq - 1),
        last_id: AtomicU64::new(last_id),
        space,
        home,
        boot_id,
        _lock: lock,
    })
}

fn not_made(error: StoreError) -> OpenError {
    OpenError::Damaged(format!(
        "the tables cannot be made from the journal: {error}"
    ))
}

/// Opens the tables that the last run left, where they can be believed, and gives where they stand.
fn open_trusted_tables(
    home: &Home,
    model: &Model,
    marker: Option<&Marker>,
    boot_id: &str,
    progress: &dyn Fn(Progress),
) -> Option<Position> {
    let marker = marker?;
    if !home.tables().exists() {
        return None;
    }
    if home.rebuild_is_asked_for() || !marker.vouches_for_tables(boot_id) {
        tracing::warn!("the last stop was not clean: the tables are not believed");
        return None;
    }
    progress(Progress::OpeningTables);
    match home.open_tables().and_then(|tables| model.put(tables)) {
        Ok(position) if marker.clean && position.frame != marker.frame => {
            tracing::warn!(
                at = position.frame,
                should_be_at = marker.frame,
                "the tables are not those of the last stop"
            );
            // Their numbers still count: none is given twice.
            drop(model.take());
            None
        }
        Ok(position) => Some(position),
        Err(error) => {
            tracing::warn!(%error, "the tables do not open");
            None
        }
    }
}

fn unreadable_snapshot(error: SnapshotError) -> OpenError {
    match error {
        SnapshotError::Newer(found) => OpenError::Newer {
            found,
            known: super::snapshot::FORMAT,
        },
        SnapshotError::Damaged(why) => OpenError::Damaged(why.to_owned()),
        SnapshotError::Io(source) => OpenError::Io {
            what: "the folder of snapshots cannot be read",
            source,
        },
    }
}

/// The highest numbers that anything remembers.
fn known_from(
    marker: Option<&Marker>,
    tables: Option<Position>,
    snapshot: Option<&SnapshotHeader>,
) -> Known {
    let numbers = [
        marker.map(|marker| (marker.frame, marker.seq)),
        tables.map(|position| (position.frame, position.seq)),
        snapshot.map(|header| (header.frame, header.seq)),
    ];
    let numbers = || numbers.iter().flatten();
    Known {
        frame: numbers().map(|(frame, _)| *frame).max().unwrap_or(0),
        seq: numbers().map(|(_, seq)| *seq).max().unwrap_or(0),
        covered: snapshot.map_or(0, |header| header.frame),
    }
}

fn take_lock(directory: &Path) -> Result<File, OpenError> {
    let path = directory.join(LOCK_FILE);
    let options = File::options()
        .create(true)
        .write(true)
        .truncate(false)
        .open(path);
    let file = options.trying("the lock file cannot be made")?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse),
        Err(TryLockError::Error(source)) => Err(OpenError::Io {
            what: "the lock cannot be taken",
            source,
        }),
    }
}

/// Refuses a directory that holds something else, before anything is written into it.
fn refuse_foreign(directory: &Path) -> Result<(), OpenError> {
    if directory.join(FORMAT_FILE).exists() {
        return Ok(());
    }
    for entry in std::fs::read_dir(directory).trying("the store's directory cannot be read")? {
        let name = entry
            .trying("the store's directory cannot be read")?
            .file_name();
        let name = name.to_string_lossy();
        if name == JOURNAL || is_ours(&name) {
            return Err(OpenError::Damaged(format!(
                "it holds `{name}` and no file `{FORMAT_FILE}`: put that back, or restore a backup"
            )));
        }
        // What a first start that was interrupted leaves.
        if name != LOCK_FILE && name != RESERVE_FILE && name != "format.half" {
            return Err(OpenError::Foreign(format!("it holds `{name}`")));
        }
    }
    Ok(())
}

/// What the format file says.
pub(super) fn format_text() -> String {
    format!("{FORMAT_WORDS}{FORMAT}\n")
}

fn check_format(directory: &Path) -> Result<(), OpenError> {
    let path = directory.join(FORMAT_FILE);
    let text = match std::fs::read(&path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return write_whole(&path, format_text().as_bytes())
                .trying("the format file cannot be written");
        }
        Err(source) => {
            return Err(OpenError::Io {
                what: "the format file cannot be read",
                source,
            });
        }
    };
    let found = text
        .trim()
        .strip_prefix(FORMAT_WORDS)
        .and_then(|number| number.parse::<u32>().ok());
    match found {
        Some(FORMAT) => Ok(()),
        // What was written is read as ever; an older Deskbell would not understand what follows.
        Some(OLDEST_FORMAT..FORMAT) => {
            write_whole(&path, format_text().as_bytes()).trying("the format file cannot be written")
        }
        Some(found) if found > FORMAT => Err(OpenError::Newer {
            found,
            known: FORMAT,
        }),
        _ => Err(OpenError::Damaged(format!(
            "its file `{FORMAT_FILE}` cannot be read: where this is Deskbell's, it says `{FORMAT_WORDS}{FORMAT}`"
        ))),
    }
}
