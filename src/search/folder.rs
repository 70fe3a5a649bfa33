//! The folder of the index: files that are written without waiting for the disk, and a mark that says whether they may
//! be believed.
//!
//! Nothing in it has to outlive a power cut, since all of it is made again from the records; a sync a second would only
//! take the disk from the journal. So it is believed after a clean stop, when everything was synced once, and after a
//! kill within the same boot of the kernel, whose page cache survived. Else it is thrown away.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tantivy::directory::error::{
    DeleteError, LockError, OpenDirectoryError, OpenReadError, OpenWriteError,
};
use tantivy::directory::{
    AntiCallToken, Directory, DirectoryLock, FileHandle, Lock, MmapDirectory, TerminatingWrite,
    WatchCallback, WatchHandle, WritePtr,
};

/// The name of the mark.
const MARK: &str = "believed.json";

/// Whether the files of the folder may be believed.
#[derive(Debug, Serialize, Deserialize)]
struct Mark {
    /// In which boot of the kernel they were last written.
    boot_id: String,
    /// Everything was synced, and nothing written since.
    clean: bool,
}

/// The kernel's boot id; empty where the system tells none, which vouches for nothing.
fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map_or_else(|_| String::new(), |id| id.trim().to_owned())
}

/// The folder of the index.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    path: PathBuf,
    boot_id: String,
}

impl Folder {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            boot_id: boot_id(),
        }
    }

    /// The same in another boot of the kernel.
    #[cfg(test)]
    pub(super) fn of_boot(path: PathBuf, boot_id: &str) -> Self {
        Self {
            path,
            boot_id: boot_id.to_owned(),
        }
    }

    /// Makes the folder where there is none, and says whether what is in it may be believed. From now on it is only
    /// within this boot, until [`Self::is_clean`] says otherwise.
    pub(super) fn begin(&self) -> io::Result<bool> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.path)?;
        let mark: Option<Mark> = fs::read(self.path.join(MARK))
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let believed = mark.is_some_and(|mark| {
            mark.clean || (!mark.boot_id.is_empty() && mark.boot_id == self.boot_id)
        });
        self.mark(false)?;
        Ok(believed)
    }

    /// Syncs everything, and says so.
    pub(super) fn end(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.path)? {
            let path = entry?.path();
            if path.is_file() {
                File::open(path)?.sync_all()?;
            }
        }
        File::open(&self.path)?.sync_all()?;
        self.mark(true)
    }

    /// Writes the mark, durably.
    fn mark(&self, clean: bool) -> io::Result<()> {
        let mark = Mark {
            boot_id: self.boot_id.clone(),
            clean,
        };
        let half = self.path.join("believed.half");
        let mut file = new_file(&half, true)?;
        file.write_all(&serde_json::to_vec(&mark)?)?;
        file.sync_all()?;
        fs::rename(&half, self.path.join(MARK))?;
        File::open(&self.path)?.sync_all()
    }

    /// Takes everything away.
    pub(super) fn discard(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Bytes that may still be written to its disk; `None` where the system does not tell.
    pub(super) fn free_bytes(&self) -> Option<u64> {
        let stat = rustix::fs::statvfs(&self.path).ok()?;
        Some(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    /// The files of a segment that are still there.
    pub(super) fn has_files_of(&self, segment: &str) -> io::Result<bool> {
        for entry in fs::read_dir(&self.path)? {
            if entry?.file_name().to_string_lossy().starts_with(segment) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The folder as the index wants it.
    pub(super) fn files(&self) -> Result<Files, OpenDirectoryError> {
        Ok(Files {
            mapped: MmapDirectory::open(&self.path)?,
            path: Arc::from(self.path.as_path()),
        })
    }
}

fn new_file(path: &Path, replace: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    if replace {
        options.create(true).truncate(true);
    } else {
        options.create_new(true);
    }
    options.open(path)
}

/// Files that are read as memory, and written without a sync.
#[derive(Clone, Debug)]
pub(super) struct Files {
    mapped: MmapDirectory,
    path: Arc<Path>,
}

/// A file that is being written.
struct Plain(File);

impl Write for Plain {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl TerminatingWrite for Plain {
    fn terminate_ref(&mut self, _: AntiCallToken) -> io::Result<()> {
        self.0.flush()
    }
}

impl Directory for Files {
    fn get_file_handle(&self, path: &Path) -> Result<Arc<dyn FileHandle>, OpenReadError> {
        self.mapped.get_file_handle(path)
    }

    fn delete(&self, path: &Path) -> Result<(), DeleteError> {
        self.mapped.delete(path)
    }

    fn exists(&self, path: &Path) -> Result<bool, OpenReadError> {
        self.mapped.exists(path)
    }

    fn open_write(&self, path: &Path) -> Result<WritePtr, OpenWriteError> {
        let file = new_file(&self.path.join(path), false).map_err(|error| {
            if error.kind() == io::ErrorKind::AlreadyExists {
                OpenWriteError::FileAlreadyExists(path.to_owned())
            } else {
                OpenWriteError::wrap_io_error(error, path.to_owned())
            }
        })?;
        Ok(BufWriter::new(Box::new(Plain(file))))
    }

    fn atomic_read(&self, path: &Path) -> Result<Vec<u8>, OpenReadError> {
        self.mapped.atomic_read(path)
    }

    fn atomic_write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let whole = self.path.join(path);
        let half = whole.with_extension("half");
        new_file(&half, true)?.write_all(bytes)?;
        fs::rename(half, whole)
    }

    fn sync_directory(&self) -> io::Result<()> {
        Ok(())
    }

    fn acquire_lock(&self, lock: &Lock) -> Result<DirectoryLock, LockError> {
        self.mapped.acquire_lock(lock)
    }

    fn watch(&self, callback: WatchCallback) -> tantivy::Result<WatchHandle> {
        self.mapped.watch(callback)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_believed_after_a_clean_stop_or_within_one_boot() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("search");
        let (today, tomorrow) = (
            Folder::of_boot(path.clone(), "today"),
            Folder::of_boot(path.clone(), "tomorrow"),
        );
        assert!(!today.begin().unwrap(), "nothing is there");
        assert!(today.begin().unwrap(), "a kill");
        assert!(!tomorrow.begin().unwrap(), "a power cut");
        assert!(!today.begin().unwrap(), "it was another's meanwhile");
        today.end().unwrap();
        assert!(tomorrow.begin().unwrap(), "a clean stop");
        assert!(!today.begin().unwrap());
        let untold = Folder::of_boot(path.clone(), "");
        untold.begin().unwrap();
        assert!(!untold.begin().unwrap(), "nobody tells the boot");
        fs::write(path.join(MARK), "{}").unwrap();
        assert!(!today.begin().unwrap(), "rubbish");
        today.discard().unwrap();
        today.discard().unwrap();
        assert!(!path.exists());
    }
}
