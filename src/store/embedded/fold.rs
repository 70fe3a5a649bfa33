//! The fold: every primary row as the journal says it, from the newest snapshot and the segments behind it, sorted by
//! key and in bounded memory. Tables are made from it, snapshots are written from it, and the scrub compares with it.
//! Nothing in it comes from sled.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::disk::Disk;
use super::key;
use super::log::Log;
use super::model::Progress;
use super::snapshot::{SnapshotCounts, SnapshotReader};
use super::snapshots::Snapshots;
use super::sorter::{Merged, Row, Scratch, Sorter};
use super::tables::{Position, encoded};
use crate::store::{EventBody, Found, Group, Removed, StoreError};

/// Frames between two reports of progress.
const REPORT_EVERY_FRAMES: u64 = 256;
/// Folders of temporary files in the store's directory begin so.
pub(super) const SCRATCH_PREFIX: &str = "fold-";

/// What everything else is made from: the journal and the snapshots of it.
#[derive(Clone)]
pub(super) struct Truth {
    /// The store's directory.
    pub(super) directory: PathBuf,
    /// The journal.
    pub(super) log: Arc<Log>,
    /// The snapshots.
    pub(super) snapshots: Snapshots,
    /// The disk.
    pub(super) disk: Arc<dyn Disk>,
    /// Bytes of rows that a fold holds in memory.
    pub(super) fold_bytes: usize,
    /// Set when the store closes: whatever takes long ends then.
    pub(super) closing: Arc<AtomicBool>,
    /// Counts folds, so that each has a folder of its own.
    pub(super) folds: Arc<AtomicU64>,
}

impl std::fmt::Debug for Truth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Truth")
            .field("directory", &self.directory)
            .finish_non_exhaustive()
    }
}

/// Up to where a fold goes, and what is known of the numbers then: they count also where no frame carries them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct UpTo {
    /// The last frame.
    pub(super) frame: u64,
    /// The last event at least.
    pub(super) seq: u64,
    /// The highest id at least.
    pub(super) last_id: u64,
}

/// The rows of a fold.
pub(super) struct Folded {
    rows: Merged,
    /// Where tables stand that hold these rows; the conversations are counted by who reads them.
    pub(super) position: Position,
    /// At most so many rows come.
    pub(super) rows_at_most: u64,
    /// Where temporary files of the same work go.
    pub(super) scratch: Arc<Scratch>,
}

impl Folded {
    /// The next row by key.
    pub(super) fn next_row(&mut self) -> Found<Option<(Vec<u8>, Vec<u8>)>> {
        self.rows.next_row()
    }
}

impl Truth {
    /// Fails once the store closes.
    pub(super) fn go_on(&self) -> Found<()> {
        if self.closing.load(Ordering::SeqCst) {
            return Err(StoreError::Unreadable("the store is closed".to_owned()));
        }
        Ok(())
    }

    fn scratch(&self) -> Found<Arc<Scratch>> {
        let number = self.folds.fetch_add(1, Ordering::SeqCst);
        let folder = self.directory.join(format!("{SCRATCH_PREFIX}{number}"));
        Scratch::begin(folder).map(Arc::new).map_err(|error| {
            StoreError::Unreadable(format!("no folder for temporary files: {error}"))
        })
    }

    /// A sorter for further rows of the same work.
    pub(super) fn sorter(&self, name: &'static str, scratch: &Arc<Scratch>) -> Sorter {
        Sorter::new(
            name,
            Arc::clone(scratch),
            Arc::clone(&self.disk),
            self.fold_bytes,
        )
    }

    /// Folds the newest whole snapshot at or before `up_to` and the frames behind it.
    pub(super) fn fold(&self, up_to: UpTo, progress: &dyn Fn(Progress)) -> Found<Folded> {
        let scratch = self.scratch()?;
        let newest = self.snapshots.newest_whole(up_to.frame, |done, of| {
            progress(Progress::CheckingSnapshot { done, of });
            self.go_on().is_ok()
        })?;
        self.go_on()?;
        let mut position = Position {
            frame: up_to.frame,
            seq: up_to.seq,
            last_id: up_to.last_id,
            conversations: 0,
        };
        let (mut base, mut counts) = (None, SnapshotCounts::default());
        let mut from = 0;
        if let Some((path, whole)) = newest {
            let reader = SnapshotReader::open(&path)
                .map_err(|error| StoreError::Unreadable(error.to_string()))?;
            let header = reader.header();
            from = header.frame;
            position.seq = position.seq.max(header.seq);
            position.last_id = position.last_id.max(header.last_id);
            base = Some(reader);
            counts = whole;
        }
        let first = self.log.first_frame();
        if first > from + 1 {
            return Err(StoreError::Unreadable(format!(
                "the steps {} to {} are missing in the journal, and no whole snapshot holds them: put the segments or the snapshot back, or restore a backup",
                from + 1,
                first - 1
            )));
        }
        let mut rows = self.sorter("rows", &scratch);
        let of = up_to.frame - from;
        progress(Progress::ReadingJournal { done: 0, of });
        let mut reported = from;
        self.log.replay(from, up_to.frame, |replayed| {
            position.seq = position.seq.max(replayed.next_seq.saturating_sub(1));
            position.last_id = position.last_id.max(replayed.group.last_id);
            each_image(replayed.group, |(key, value)| rows.put(key, value))?;
            if replayed.frame >= reported + REPORT_EVERY_FRAMES {
                reported = replayed.frame;
                self.go_on()?;
                progress(Progress::ReadingJournal {
                    done: replayed.frame - from,
                    of,
                });
            }
            Ok(())
        })?;
        progress(Progress::ReadingJournal { done: of, of });
        let rows = rows.merged(base)?;
        Ok(Folded {
            rows_at_most: counts.rows + rows.rows_at_most(),
            rows,
            position,
            scratch,
        })
    }
}

/// Shows the images of the primary rows that a group changes to `put`, in order.
pub(super) fn each_image(group: Group, mut put: impl FnMut(Row) -> Found<()>) -> Found<()> {
    for event in &group.events {
        match &event.body {
            EventBody::MessageCreated {
                message,
                conversation,
            }
            | EventBody::MessageUpdated {
                message,
                conversation,
            } => {
                let key = key::message(message.channel, message.id);
                put((key, Some(encoded(message)?)))?;
                put((
                    key::conversation(conversation.id),
                    Some(encoded(conversation)?),
                ))?;
            }
            EventBody::ConversationCreated { conversation }
            | EventBody::ConversationUpdated { conversation } => {
                put((
                    key::conversation(conversation.id),
                    Some(encoded(conversation)?),
                ))?;
            }
            EventBody::ContactCreated { contact } | EventBody::ContactUpdated { contact } => {
                put((key::contact(contact.id), Some(encoded(contact)?)))?;
            }
            EventBody::ContactDeleted { contact, .. } => put((key::contact(*contact), None))?,
            EventBody::ChannelHealth { .. }
            | EventBody::BellRung { .. }
            | EventBody::BellAcknowledged { .. } => {}
        }
    }
    for entry in group.puts {
        put((key::side(entry.table, &entry.key), entry.value))?;
    }
    // After everything else of the group.
    for removed in group.removed {
        let key = match removed {
            Removed::Message { channel, id } => key::message(channel, id),
            Removed::Conversation(id) => key::conversation(id),
        };
        put((key, None))?;
    }
    Ok(())
}
