//! How the daemon stopped last: the clean-stop marker with the kernel's boot id.
//!
//! sled does not sync its files by itself. What it holds can be trusted after a clean stop (we synced it), and within
//! the same boot (the page cache survived the process); otherwise it is rebuilt.

use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::disk::write_whole;

const FILE: &str = "stopped";

/// The marker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Marker {
    /// The boot in which it was written.
    pub(super) boot_id: String,
    /// Whether the daemon stopped cleanly and has not begun to write since.
    pub(super) clean: bool,
    /// The last frame at the clean stop, else when the daemon opened.
    pub(super) frame: u64,
    /// The last event then.
    pub(super) seq: u64,
    /// The highest id then.
    pub(super) last_id: u64,
}

fn path(directory: &Path) -> PathBuf {
    directory.join(FILE)
}

impl Marker {
    /// The marker in the store's directory; `None` where there is none or it cannot be read.
    pub(super) fn read(directory: &Path) -> Option<Self> {
        let bytes = std::fs::read(path(directory)).ok()?;
        let (crc, content) = bytes.split_at_checked(4)?;
        (crc == crc32fast::hash(content).to_be_bytes())
            .then(|| rmp_serde::from_slice(content).ok())?
    }

    /// Writes it durably.
    pub(super) fn write(&self, directory: &Path) -> io::Result<()> {
        let content = rmp_serde::to_vec(self).map_err(io::Error::other)?;
        let mut bytes = crc32fast::hash(&content).to_be_bytes().to_vec();
        bytes.extend_from_slice(&content);
        write_whole(&path(directory), &bytes)
    }

    /// Whether tables written before it can be trusted in this boot.
    pub(super) fn vouches_for_tables(&self, boot_id: &str) -> bool {
        self.clean || (!boot_id.is_empty() && self.boot_id == boot_id)
    }
}

/// The kernel's boot id; empty where the system tells none, which vouches for nothing.
pub(super) fn kernel_boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .map_or_else(|_| String::new(), |id| id.trim().to_owned())
}
