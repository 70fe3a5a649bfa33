//! Reading a backup: each entry in its turn, with what it has to be.

use std::io::{self, Read, Write};

use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::{
    ATTACHMENTS, BackupError, END, End, MANIFEST, MAX_SMALL_BYTES, Manifest, SNAPSHOT, Trying as _,
    VERSION,
};

/// What becomes of the pieces of a backup as it is read.
pub(super) trait Taker {
    /// The backup begins.
    fn begin(&mut self, manifest: &Manifest) -> Result<(), BackupError>;
    /// Where the snapshot goes.
    fn snapshot(&mut self) -> Result<Box<dyn Write + '_>, BackupError>;
    /// Takes a file of this many bytes, which has this hash if it is whole.
    fn attachment(&mut self, content: &str, file: &mut dyn Read) -> Result<(), BackupError>;
}

/// A backup that is whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// What it is of.
    pub manifest: Manifest,
    /// What it ends with.
    pub end: End,
}

/// Reads a backup from its beginning to its end, and says whether it is whole.
///
/// # Errors
/// It is none, of a newer format, cut or changed.
pub fn check(backup: impl Read) -> Result<Checked, BackupError> {
    read(backup, &mut Checking)
}

struct Checking;

impl Taker for Checking {
    fn begin(&mut self, _manifest: &Manifest) -> Result<(), BackupError> {
        Ok(())
    }

    fn snapshot(&mut self) -> Result<Box<dyn Write + '_>, BackupError> {
        Ok(Box::new(io::sink()))
    }

    fn attachment(&mut self, content: &str, file: &mut dyn Read) -> Result<(), BackupError> {
        let mut hashed = Both {
            digest: Sha256::new(),
            out: Box::new(io::sink()),
        };
        io::copy(file, &mut hashed).trying("the backup cannot be read")?;
        if hex::encode(hashed.digest.finalize()) == content {
            Ok(())
        } else {
            Err(BackupError::Damaged(format!(
                "the attachment {content} is not what it was"
            )))
        }
    }
}

/// Gives each piece to `taker`, in order, and checks that nothing is missing.
pub(super) fn read(backup: impl Read, taker: &mut dyn Taker) -> Result<Checked, BackupError> {
    let mut archive = tar::Archive::new(backup);
    let mut manifest: Option<Manifest> = None;
    let mut snapshot: Option<String> = None;
    let (mut attachments, mut attachment_bytes) = (0, 0);
    let entries = archive.entries().trying("the backup cannot be read")?;
    for entry in entries {
        let mut entry = entry.map_err(|error| unreadable(manifest.is_some(), &error))?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let size = entry.size();
        let Some(begun) = &manifest else {
            if name != MANIFEST {
                return Err(BackupError::Foreign(format!(
                    "it does not begin with `{MANIFEST}`"
                )));
            }
            let read: Manifest = small(&mut entry, size)?;
            if read.version > VERSION {
                return Err(BackupError::Newer(read.daemon));
            }
            taker.begin(&read)?;
            manifest = Some(read);
            continue;
        };
        if name == SNAPSHOT && snapshot.is_none() {
            let mut both = Both {
                digest: Sha256::new(),
                out: taker.snapshot()?,
            };
            let taken = io::copy(&mut entry, &mut both).trying("the snapshot cannot be taken")?;
            both.out.flush().trying("the snapshot cannot be taken")?;
            if taken != begun.snapshot_bytes {
                return Err(cut());
            }
            snapshot = Some(hex::encode(both.digest.finalize()));
        } else if let Some(content) = name.strip_prefix(ATTACHMENTS) {
            taker.attachment(content, &mut entry)?;
            attachments += 1;
            attachment_bytes += size;
        } else if name == END {
            let end: End = small(&mut entry, size)?;
            let found = End {
                snapshot_sha256: snapshot.ok_or_else(cut)?,
                attachments,
                attachment_bytes,
            };
            if end != found {
                return Err(BackupError::Damaged(
                    "what it holds is not what it says that it holds".to_owned(),
                ));
            }
            return Ok(Checked {
                manifest: begun.clone(),
                end,
            });
        } else {
            return Err(BackupError::Damaged(format!("it holds `{name}`")));
        }
    }
    Err(if manifest.is_some() {
        cut()
    } else {
        BackupError::Foreign("it is empty".to_owned())
    })
}

fn cut() -> BackupError {
    BackupError::Damaged("it ends too soon".to_owned())
}

fn unreadable(begun: bool, error: &io::Error) -> BackupError {
    if begun {
        BackupError::Damaged(error.to_string())
    } else {
        BackupError::Foreign(error.to_string())
    }
}

fn small<T: DeserializeOwned>(entry: &mut dyn Read, size: u64) -> Result<T, BackupError> {
    let damaged = |why: String| BackupError::Damaged(why);
    if size > MAX_SMALL_BYTES {
        return Err(damaged("an entry is larger than it can be".to_owned()));
    }
    let mut bytes = Vec::new();
    entry
        .take(MAX_SMALL_BYTES)
        .read_to_end(&mut bytes)
        .map_err(|error| damaged(error.to_string()))?;
    serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))
}

/// Writes and takes the hash.
struct Both<'a> {
    digest: Sha256,
    out: Box<dyn Write + 'a>,
}

impl Write for Both<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write_all(bytes)?;
        self.digest.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
