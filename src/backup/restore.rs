//! Bringing a backup back, into a data directory that has no store.

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use deskbell_sdk::Time;

use super::check::{Taker, read};
use super::{BackupError, Checked, Manifest, Trying as _};
use crate::blobs::Blobs;
use crate::clock::Clock;
use crate::desk::restore::Restored;
use crate::store::{Group, Store, StoreError};

/// How many numbers of events are left out: the desk that the backup is of may have given them since, and no reader of
/// its stream may take ours for them. The largest number that JSON readers hold leaves room for millions of restores.
const JUMP_SEQ: u64 = 1_000_000_000;
/// Where the store is made until it is whole.
const UNFINISHED: &str = "restoring";

/// What was brought back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The backup.
    pub backup: Checked,
    /// When it was brought back.
    pub restored_at: Time,
}

/// Brings a backup back into `data_dir`. `open_blobs` opens the folder of its files; `begin` makes a store in an empty
/// directory (the second path) from a snapshot (the first), whose events go on so many numbers later. Where it is cut, it can be done again.
///
/// # Errors
/// There is a store already; the backup is none or damaged; the disk refuses.
pub fn restore(
    backup: impl Read,
    data_dir: &Path,
    clock: &Clock,
    open_blobs: impl FnOnce(&Path) -> io::Result<Blobs>,
    begin: impl FnOnce(&Path, &Path, u64) -> Result<Box<dyn Store>, String>,
) -> Result<Kept, BackupError> {
    let store = data_dir.join("store");
    if store.exists() {
        return Err(BackupError::NotEmpty(format!(
            "{} holds a store already: nothing was changed; name an empty directory with --data-dir, or move `store` and `attachments` away",
            data_dir.display()
        )));
    }
    let unfinished = data_dir.join(UNFINISHED);
    if unfinished.exists() {
        fs::remove_dir_all(&unfinished).trying("a restore that was cut cannot be removed")?;
    }
    fs::create_dir_all(&unfinished).trying("the data directory cannot be made")?;
    let blobs =
        open_blobs(&data_dir.join("attachments")).trying("the attachments cannot be written")?;
    let made = make(backup, &unfinished, blobs, clock, begin);
    let placed = made.and_then(|kept| {
        // Only now: from here on it is a store, and nothing goes out from it before somebody says so.
        fs::rename(unfinished.join("store"), &store)
            .and_then(|()| File::open(data_dir)?.sync_all())
            .trying("the store cannot be put into its place")?;
        Ok(kept)
    });
    let removed = fs::remove_dir_all(&unfinished);
    let kept = placed?;
    removed.trying("what is left of restoring cannot be removed")?;
    Ok(kept)
}

/// Makes the store below `unfinished`.
fn make(
    backup: impl Read,
    unfinished: &Path,
    blobs: Blobs,
    clock: &Clock,
    begin: impl FnOnce(&Path, &Path, u64) -> Result<Box<dyn Store>, String>,
) -> Result<Kept, BackupError> {
    let snapshot = unfinished.join("snapshot");
    let mut taking = Taking {
        blobs,
        snapshot: snapshot.clone(),
    };
    let backup = read(backup, &mut taking)?;
    let restored_at = clock.now();
    let new_store = unfinished.join("store");
    let made = begin(&snapshot, &new_store, JUMP_SEQ).map_err(BackupError::Store)?;
    let restored = Restored {
        backup_of: backup.manifest.made_at,
        restored_at,
    };
    let hold = || {
        let puts = restored.hold(&*made)?;
        made.commit(Group {
            puts,
            ..Group::default()
        })?;
        made.close()
    };
    hold().map_err(|error: StoreError| BackupError::Store(error.to_string()))?;
    drop(made);
    Ok(Kept {
        backup,
        restored_at,
    })
}

struct Taking {
    blobs: Blobs,
    snapshot: PathBuf,
}

impl Taker for Taking {
    fn begin(&mut self, _manifest: &Manifest) -> Result<(), BackupError> {
        Ok(())
    }

    fn snapshot(&mut self) -> Result<Box<dyn Write + '_>, BackupError> {
        let file = File::create(&self.snapshot).trying("the snapshot cannot be written")?;
        Ok(Box::new(BufWriter::new(file)))
    }

    fn attachment(&mut self, content: &str, file: &mut dyn Read) -> Result<(), BackupError> {
        let mut kept = self
            .blobs
            .begin()
            .trying("an attachment cannot be written")?;
        let mut piece = vec![0; 128 * 1024];
        loop {
            let read = match file.read(&mut piece) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(BackupError::Damaged(error.to_string())),
            };
            kept.write(&piece[..read])
                .trying("an attachment cannot be written")?;
        }
        if kept.content() != content {
            return Err(BackupError::Damaged(format!(
                "the attachment {content} is not what it was"
            )));
        }
        kept.finish()
            .trying("an attachment cannot be written")
            .map(drop)
    }
}
