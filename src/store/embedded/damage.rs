//! What was found damaged in the journal. Each find is kept as a file in `quarantine/`, whose name says what it is,
//! so that the list outlives the daemon and the bytes can be looked at.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// A damaged place of the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Damage {
    /// The segment.
    pub segment: u64,
    /// Where in it the damage begins, in bytes.
    pub offset: u64,
    /// How many bytes are damaged; 0 where they are missing.
    pub bytes: u64,
    /// How many frames (durable steps) are lost by it.
    pub frames: u64,
}

impl Damage {
    fn file_name(&self) -> String {
        format!(
            "{:010}-{}-{}-{}.damaged",
            self.segment, self.offset, self.bytes, self.frames
        )
    }

    fn from_file_name(name: &str) -> Option<Self> {
        let mut numbers = name.strip_suffix(".damaged")?.split('-').map(str::parse);
        let mut next = || numbers.next()?.ok();
        Some(Self {
            segment: next()?,
            offset: next()?,
            bytes: next()?,
            frames: next()?,
        })
    }
}

/// The list, and the folder beside it.
#[derive(Debug)]
pub(super) struct DamageList {
    folder: PathBuf,
    found: Mutex<Vec<Damage>>,
}

impl DamageList {
    /// The list as the folder has it; no folder is an empty list.
    pub(super) fn load(folder: PathBuf) -> Self {
        let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        let mut found: Vec<_> = entries
            .filter_map(|entry| Damage::from_file_name(entry.file_name().to_str()?))
            .collect();
        found.sort_unstable();
        Self {
            folder,
            found: Mutex::new(found),
        }
    }

    /// Reports a find once, with the damaged bytes.
    pub(super) fn report(&self, damage: Damage, bytes: &[u8]) {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if found.contains(&damage) {
            return;
        }
        found.push(damage);
        tracing::error!(
            segment = damage.segment,
            offset = damage.offset,
            bytes = damage.bytes,
            lost_steps = damage.frames,
            "the journal is damaged here; what stands behind it was kept, a copy of the damaged bytes is in journal/quarantine"
        );
        let kept = std::fs::create_dir_all(&self.folder)
            .and_then(|()| std::fs::write(self.folder.join(damage.file_name()), bytes));
        if let Err(error) = kept {
            tracing::warn!(%error, "the damaged bytes could not be copied to journal/quarantine");
        }
    }

    /// Moves a segment that cannot be read at all out of the way.
    pub(super) fn take_segment(&self, path: &Path) {
        let moved = std::fs::create_dir_all(&self.folder).and_then(|()| {
            let name = path.file_name().unwrap_or_default();
            std::fs::rename(path, self.folder.join(name))
        });
        if let Err(error) = moved {
            tracing::warn!(%error, "an unreadable segment could not be moved to journal/quarantine");
        }
    }

    /// Empties the copies: what is damaged and packed cannot be shown to be free of anybody. A find stays in the list; a
    /// whole segment is removed.
    pub(super) fn forget(&self) -> std::io::Result<()> {
        let entries = match std::fs::read_dir(&self.folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if Damage::from_file_name(&name).is_some() {
                std::fs::write(&path, b"")?;
            } else {
                std::fs::remove_file(&path)?;
            }
        }
        Ok(())
    }

    /// Everything found so far.
    pub(super) fn all(&self) -> Vec<Damage> {
        self.found
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
