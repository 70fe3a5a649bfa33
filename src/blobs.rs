//! The bytes of attachments: files under `attachments/`, named by the SHA-256 of their content.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

/// The files.
#[derive(Clone, Debug)]
pub struct Blobs {
    folder: PathBuf,
}

impl Blobs {
    /// Opens the folder, making it where it is missing. Half-written files of a crash are removed.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let incoming = folder.join("incoming");
        if incoming.exists() {
            fs::remove_dir_all(&incoming)?;
        }
        fs::create_dir_all(&incoming)?;
        Ok(Self {
            folder: folder.to_owned(),
        })
    }

    fn path(&self, content: &str) -> Option<PathBuf> {
        let is_hash = content.len() == 64 && content.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_hash.then(|| self.folder.join(&content[..2]).join(content))
    }

    /// Keeps bytes durably, and says under which name. The same bytes are kept once.
    pub fn keep(&self, bytes: &[u8]) -> io::Result<String> {
        let content = hex::encode(Sha256::digest(bytes));
        let path = self
            .path(&content)
            .ok_or_else(|| io::Error::other("not a hash"))?;
        if path.exists() {
            return Ok(content);
        }
        let incoming = self
            .folder
            .join("incoming")
            .join(crate::secrets::random_text());
        let written = write_and_sync(&incoming, bytes).and_then(|()| {
            let folder = path.parent().unwrap_or(&self.folder);
            fs::create_dir_all(folder)?;
            fs::rename(&incoming, &path)?;
            File::open(folder)?.sync_all()?;
            File::open(&self.folder)?.sync_all()
        });
        if written.is_err() {
            // Best effort: it is swept at the next start as well.
            let _ = fs::remove_file(&incoming);
        }
        written.map(|()| content)
    }

    /// The bytes under a name.
    pub fn read(&self, content: &str) -> io::Result<Vec<u8>> {
        let path = self
            .path(content)
            .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        fs::read(path)
    }
}

fn write_and_sync(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// The type of a file by its content; what a browser would run is never called that (M08).
#[must_use]
pub fn sniffed_type(bytes: &[u8]) -> String {
    match infer::get(bytes) {
        Some(kind) if !matches!(kind.mime_type(), "text/html" | "text/xml" | "image/svg+xml") => {
            kind.mime_type().to_owned()
        }
        Some(_) => "application/octet-stream".to_owned(),
        None if std::str::from_utf8(bytes).is_ok_and(|text| !text.contains(['<', '\0'])) => {
            "text/plain".to_owned()
        }
        None => "application/octet-stream".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn m11_the_name_of_a_file_is_its_content_and_nothing_else_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let blobs = Blobs::open(folder.path()).expect("opens");
        let content = blobs.keep(b"hello").expect("kept");
        assert_eq!(blobs.keep(b"hello").expect("kept once"), content);
        assert_eq!(blobs.read(&content).expect("read"), b"hello");
        for name in ["../../etc/passwd", "", "incoming", &"g".repeat(64)] {
            assert!(blobs.read(name).is_err(), "{name}");
        }
    }

    #[test]
    fn m08_what_a_browser_would_run_is_not_called_that() {
        for active in [
            &b"<html><script>1</script>"[..],
            b"<svg xmlns='http://www.w3.org/2000/svg'/>",
            b"<?xml version='1.0'?><a/>",
            b"<!DOCTYPE html>",
        ] {
            assert_eq!(sniffed_type(active), "application/octet-stream");
        }
        assert_eq!(sniffed_type(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"), "image/png");
        assert_eq!(sniffed_type(b"plain words"), "text/plain");
    }
}
