//! Writing a backup.

use std::fs::File;
use std::io::{self, Read, Write};

use deskbell_sdk::Time;
use sha2::{Digest, Sha256};

use super::{
    ATTACHMENTS, BackupError, END, End, MANIFEST, Manifest, SNAPSHOT, Trying as _, VERSION,
};
use crate::blobs::Blobs;
use crate::store::Store;

/// Writes a backup of what `store` and `blobs` hold into `out`. The store makes a snapshot for it; commits go on
/// meanwhile, and what is acknowledged after that is not in it.
///
/// # Errors
/// Where something cannot be read, or `out` takes no more.
pub fn write(
    store: &dyn Store,
    blobs: &Blobs,
    now: Time,
    out: impl Write,
) -> Result<End, BackupError> {
    let snapshot = store
        .snapshot()
        .map_err(|error| BackupError::Store(error.to_string()))?;
    // Opened at once: the file stays readable even where a newer snapshot replaces it.
    let mut file = File::open(&snapshot.path).trying("the snapshot cannot be opened")?;
    let bytes = file
        .metadata()
        .trying("the snapshot cannot be opened")?
        .len();
    // After the snapshot, so that each file that it names is there.
    let files = blobs.names().trying("the attachments cannot be listed")?;
    let mut archive = tar::Builder::new(out);
    let manifest = Manifest {
        version: VERSION,
        daemon: env!("CARGO_PKG_VERSION").to_owned(),
        made_at: now,
        seq: snapshot.seq,
        snapshot_bytes: bytes,
    };
    append_small(&mut archive, MANIFEST, &manifest, now)?;
    let mut hashed = Hashing {
        inner: &mut file,
        digest: Sha256::new(),
    };
    archive
        .append_data(&mut header(bytes, now), SNAPSHOT, &mut hashed)
        .trying("the backup cannot be written")?;
    let mut end = End {
        snapshot_sha256: hex::encode(hashed.digest.finalize()),
        attachments: 0,
        attachment_bytes: 0,
    };
    for content in files {
        // One that nothing named may have been swept since; what the snapshot names is not.
        let mut file = match blobs.open_file(&content) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            opened => opened.trying("an attachment cannot be read")?,
        };
        let bytes = file
            .metadata()
            .trying("an attachment cannot be read")?
            .len();
        archive
            .append_data(
                &mut header(bytes, now),
                format!("{ATTACHMENTS}{content}"),
                &mut file,
            )
            .trying("the backup cannot be written")?;
        end.attachments += 1;
        end.attachment_bytes += bytes;
    }
    append_small(&mut archive, END, &end, now)?;
    let mut out = archive
        .into_inner()
        .trying("the backup cannot be written")?;
    out.flush().trying("the backup cannot be written")?;
    Ok(end)
}

fn header(bytes: u64, now: Time) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes);
    header.set_mode(0o600);
    header.set_mtime(u64::try_from(now.as_millis() / 1000).unwrap_or(0));
    header.set_entry_type(tar::EntryType::Regular);
    header
}

fn append_small<W: Write>(
    archive: &mut tar::Builder<W>,
    name: &str,
    value: &impl serde::Serialize,
    now: Time,
) -> Result<(), BackupError> {
    let text = serde_json::to_vec_pretty(value)
        .map_err(io::Error::from)
        .trying("the backup cannot be written")?;
    archive
        .append_data(&mut header(text.len() as u64, now), name, text.as_slice())
        .trying("the backup cannot be written")
}

/// Takes the hash of what is read through it.
struct Hashing<R> {
    inner: R,
    digest: Sha256,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.digest.update(&buffer[..read]);
        Ok(read)
    }
}
