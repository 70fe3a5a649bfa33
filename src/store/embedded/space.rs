//! Room on the disk: writes stop while there is still some left for sled and for reading, and a reserve file is given
//! up when others fill the disk, so that the daemon still opens.

use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::disk::Disk;

/// How long an answer of the file system stands.
const ASK_EVERY: Duration = Duration::from_millis(200);

/// Name of the reserve file.
pub(super) const RESERVE_FILE: &str = "reserve";

/// Watches the room of the store's directory.
pub(super) struct Space {
    pub(super) directory: PathBuf,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) reserve_bytes: u64,
    pub(super) min_free_bytes: u64,
    pub(super) asked: Mutex<Option<(Instant, Result<(), String>)>>,
}

impl std::fmt::Debug for Space {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Space")
            .field("directory", &self.directory)
            .finish_non_exhaustive()
    }
}

impl Space {
    /// Whether there is room to write; the error says in words what is missing.
    pub(super) fn check(&self) -> Result<(), String> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, answer)) = &*asked
            && at.elapsed() < ASK_EVERY
        {
            return answer.clone();
        }
        let answer = self.ask();
        if let Err(why) = &answer
            && !matches!(&*asked, Some((_, Err(_))))
        {
            tracing::error!(why, "writes are refused");
        }
        *asked = Some((Instant::now(), answer.clone()));
        answer
    }

    fn ask(&self) -> Result<(), String> {
        let Ok(available) = self.disk.available_bytes(&self.directory) else {
            // The write itself will tell.
            return Ok(());
        };
        self.tend_reserve(available);
        if available >= self.min_free_bytes {
            return Ok(());
        }
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        Err(format!(
            "the disk is full: {} MiB are free, {} MiB must stay free; make room",
            mib(available),
            mib(self.min_free_bytes)
        ))
    }

    /// Gives the reserve up where the disk is all but full, and makes it again where there is plenty.
    fn tend_reserve(&self, available: u64) {
        let path = self.directory.join(RESERVE_FILE);
        let stands = path.exists();
        let result = if stands && available < self.reserve_bytes.min(self.min_free_bytes) {
            tracing::warn!("the disk is full: the reserve is given up");
            std::fs::remove_file(&path)
        } else if !stands && available > self.min_free_bytes + 2 * self.reserve_bytes {
            File::create(&path).and_then(|file| self.disk.allocate(&file, self.reserve_bytes))
        } else {
            Ok(())
        };
        if let Err(error) = result {
            tracing::warn!(%error, "the reserve file cannot be made or removed");
        }
    }
}
