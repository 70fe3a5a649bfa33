//! The few calls by which the journal touches the disk, behind a trait so that tests can make them fail.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Writing, syncing and asking for room.
pub(super) trait Disk: Send + Sync {
    /// Writes all of `bytes` at `offset`.
    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes what was written to the file durable. After a failure the file must not be written again: the kernel
    /// may have dropped the pages and answers the next call with success.
    fn sync_data(&self, file: &File) -> io::Result<()>;

    /// Makes the names in a directory durable.
    fn sync_names(&self, directory: &Path) -> io::Result<()>;

    /// Gives the file `bytes` of room, so that later writes neither grow it nor meet a full disk.
    fn allocate(&self, file: &File, bytes: u64) -> io::Result<()>;

    /// Bytes that may still be written to the file system of `path`.
    fn available_bytes(&self, path: &Path) -> io::Result<u64>;
}

/// The machine's disk.
#[derive(Debug)]
pub(super) struct RealDisk;

impl Disk for RealDisk {
    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        file.write_all_at(bytes, offset)
    }

    fn sync_data(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn sync_names(&self, directory: &Path) -> io::Result<()> {
        sync_directory(directory)
    }

    fn allocate(&self, file: &File, bytes: u64) -> io::Result<()> {
        if bytes <= file.metadata()?.len() {
            return Ok(());
        }
        match allocate_blocks(file, bytes) {
            // Some file systems cannot: then the file only grows, and a full disk shows at the write.
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::Unsupported | io::ErrorKind::InvalidInput
                ) =>
            {
                file.set_len(bytes)
            }
            result => result,
        }
    }

    fn available_bytes(&self, path: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(path)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

#[cfg(target_os = "linux")]
fn allocate_blocks(file: &File, bytes: u64) -> io::Result<()> {
    let whole_file = || rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, bytes);
    Ok(rustix::io::retry_on_intr(whole_file)?)
}

#[cfg(not(target_os = "linux"))]
fn allocate_blocks(_file: &File, _bytes: u64) -> io::Result<()> {
    Err(io::Error::from(io::ErrorKind::Unsupported))
}

/// Makes the names in a directory durable.
pub(super) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Makes a directory with a name that a power cut cannot take: what is synced in it would go with the name.
pub(super) fn make_directory(directory: &Path) -> io::Result<()> {
    std::fs::create_dir_all(directory)?;
    match directory.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => sync_directory(parent),
        _ => sync_directory(Path::new(".")),
    }
}

/// Writes a small file so that it is there whole or not at all, also after a power cut.
pub(super) fn write_whole(path: &Path, content: &[u8]) -> io::Result<()> {
    let half = path.with_extension("half");
    let file = File::create(&half)?;
    file.write_all_at(content, 0)?;
    file.sync_all()?;
    std::fs::rename(&half, path)?;
    path.parent().map_or(Ok(()), sync_directory)
}

/// The bytes of all files below a directory; what cannot be read counts nothing.
pub(super) fn bytes_below(directory: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(directory) else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => bytes_below(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}

/// Makes every file below a directory durable, and their names.
pub(super) fn sync_below(directory: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_below(&entry.path())?;
        } else {
            File::open(entry.path())?.sync_all()?;
        }
    }
    sync_directory(directory)
}
