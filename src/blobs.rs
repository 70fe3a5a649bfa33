//! The bytes of attachments: files under `attachments/`, named by the SHA-256 of their content.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sha2::{Digest, Sha256};

/// How many of a file's first bytes tell its type.
const HEAD_BYTES: usize = 64 * 1024;

/// The files.
#[derive(Clone, Debug)]
pub struct Blobs {
    folder: PathBuf,
    /// What was kept since the last sweep began: the store may not name it yet.
    kept_lately: Arc<Mutex<HashSet<String>>>,
    /// Held while a piece is taken in: two imports may bring the same file at once.
    pieces: Arc<Mutex<()>>,
}

impl Blobs {
    /// Opens the folder, making it where it is missing. Half-written files of a crash are removed.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let incoming = folder.join("incoming");
        if incoming.exists() {
            fs::remove_dir_all(&incoming)?;
        }
        fs::create_dir_all(&incoming)?;
        // The folder's own name too must outlive a power cut.
        let above = folder
            .parent()
            .filter(|above| !above.as_os_str().is_empty());
        File::open(above.unwrap_or(Path::new(".")))?.sync_all()?;
        Ok(Self {
            folder: folder.to_owned(),
            kept_lately: Arc::default(),
            pieces: Arc::default(),
        })
    }

    fn lately(&self) -> MutexGuard<'_, HashSet<String>> {
        self.kept_lately
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The names of all files.
    ///
    /// # Errors
    /// Where the folder cannot be read.
    pub fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for folder in fs::read_dir(&self.folder)? {
            let folder = folder?;
            if folder.file_name() == "incoming" || !folder.file_type()?.is_dir() {
                continue;
            }
            for file in fs::read_dir(folder.path())? {
                let name = file?.file_name();
                names.extend(
                    name.to_str()
                        .filter(|name| self.path(name).is_some())
                        .map(str::to_owned),
                );
            }
        }
        names.sort();
        Ok(names)
    }

    /// Whether a file is there already; from here on no sweep takes it before the store can name it.
    fn is_kept(&self, content: &str) -> bool {
        let mut lately = self.lately();
        lately.insert(content.to_owned());
        self.path(content).is_some_and(|path| path.exists())
    }

    /// Removes the files that nothing names: `named` reads all names that are in use. Says how many were removed. What is
    /// kept while it runs, or shortly before, stays.
    ///
    /// # Errors
    /// Where the names or the folder cannot be read; nothing more is removed then.
    pub fn sweep(
        &self,
        named: impl FnOnce() -> anyhow::Result<HashSet<String>>,
    ) -> anyhow::Result<usize> {
        // In this order: what was kept before the names are read is either named by then, or spared.
        let before = std::mem::take(&mut *self.lately());
        let named = named()?;
        let mut removed = 0;
        for folder in fs::read_dir(&self.folder)? {
            let folder = folder?;
            if folder.file_name() == "incoming" || !folder.file_type()?.is_dir() {
                continue;
            }
            for file in fs::read_dir(folder.path())? {
                let name = file?.file_name();
                let Some(content) = name.to_str() else {
                    continue;
                };
                if named.contains(content) || before.contains(content) {
                    continue;
                }
                let Some(path) = self.path(content) else {
                    continue;
                };
                let lately = self.lately();
                if !lately.contains(content) {
                    fs::remove_file(path)?;
                    removed += 1;
                }
            }
        }
        Ok(removed)
    }

    /// Removes these files where nothing names them: `named` reads all names that are in use. One that was kept lately
    /// may be about to be named; it stays, and is given back, so that it can be looked at again.
    ///
    /// # Errors
    /// Where the names cannot be read or a file cannot be removed.
    pub fn remove_unnamed(
        &self,
        files: &[String],
        named: impl FnOnce() -> anyhow::Result<HashSet<String>>,
    ) -> anyhow::Result<Vec<String>> {
        let before: HashSet<_> = {
            let mut lately = self.lately();
            files.iter().filter_map(|file| lately.take(file)).collect()
        };
        let named = named()?;
        let mut spared = Vec::new();
        for content in files.iter().filter(|content| !named.contains(*content)) {
            let lately = self.lately();
            if before.contains(content) || lately.contains(content) {
                spared.push(content.clone());
            } else if let Some(path) = self.path(content)
                && let Err(error) = fs::remove_file(path)
                && error.kind() != io::ErrorKind::NotFound
            {
                return Err(error.into());
            }
        }
        Ok(spared)
    }

    fn path(&self, content: &str) -> Option<PathBuf> {
        let is_hash = content.len() == 64 && content.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_hash.then(|| self.folder.join(&content[..2]).join(content))
    }

    /// Keeps bytes durably, and says under which name. The same bytes are kept once.
    pub fn keep(&self, bytes: &[u8]) -> io::Result<String> {
        let content = hex::encode(Sha256::digest(bytes));
        if self.is_kept(&content) {
            return Ok(content);
        }
        let incoming = self
            .folder
            .join("incoming")
            .join(crate::secrets::random_text());
        let written =
            write_and_sync(&incoming, bytes).and_then(|()| self.place(&incoming, &content));
        if written.is_err() {
            // Best effort: it is swept at the next start as well.
            let _ = fs::remove_file(&incoming);
        }
        written.map(|()| content)
    }

    /// Begins to take in a file that comes in pieces and is not held in memory.
    pub fn begin(&self) -> io::Result<Incoming> {
        let path = self
            .folder
            .join("incoming")
            .join(crate::secrets::random_text());
        Ok(Incoming {
            file: File::create_new(&path)?,
            path,
            blobs: self.clone(),
            digest: Sha256::new(),
            size: 0,
            head: Vec::new(),
        })
    }

    /// Puts a whole and synced file of `incoming` where its content says.
    fn place(&self, incoming: &Path, content: &str) -> io::Result<()> {
        let path = self
            .path(content)
            .ok_or_else(|| io::Error::other("not a hash"))?;
        let folder = path.parent().unwrap_or(&self.folder);
        fs::create_dir_all(folder)?;
        fs::rename(incoming, &path)?;
        let synced = File::open(folder)
            .and_then(|folder| folder.sync_all())
            .and_then(|()| File::open(&self.folder)?.sync_all());
        if synced.is_err() {
            // What is there counts as kept, and this may not be.
            let _ = fs::remove_file(&path);
        }
        synced
    }

    /// Whether there are bytes under a name that is about to be used: no sweep takes them before the store can name it.
    #[must_use]
    pub fn has(&self, content: &str) -> bool {
        self.is_kept(content)
    }

    /// The file under a name, to be read piece by piece.
    pub fn open_file(&self, content: &str) -> io::Result<File> {
        let path = self
            .path(content)
            .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        File::open(path)
    }

    /// Takes in a piece of a file that comes in several requests, in their order. With the last it is kept durably,
    /// where the whole is what `piece` says that it is; else it is thrown away. The same piece may come again.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] where the pieces do not make up the content; others where the disk fails.
    pub fn keep_piece(&self, piece: &Piece<'_>) -> io::Result<()> {
        if self.path(piece.content).is_none() {
            return Err(not_the_content("its name is no SHA-256 in hex"));
        }
        let _turn = self.pieces.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_kept(piece.content) {
            return Ok(());
        }
        let end = piece.offset.checked_add(piece.bytes.len() as u64);
        let Some(end) = end.filter(|end| *end <= piece.size) else {
            return Err(not_the_content("it ends behind the size that it tells"));
        };
        let incoming = self
            .folder
            .join("incoming")
            .join(format!("pieces-{}", piece.content));
        let file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&incoming)?;
        if file.metadata()?.len() < piece.offset {
            return Err(not_the_content("a piece before it is missing"));
        }
        file.write_all_at(piece.bytes, piece.offset)?;
        if end < piece.size {
            return Ok(());
        }
        let kept = file.set_len(piece.size).and_then(|()| file.sync_all());
        let kept = kept.and_then(|()| {
            if hash_of(&incoming)? == piece.content {
                self.place(&incoming, piece.content)
            } else {
                Err(not_the_content("its SHA-256 is another"))
            }
        });
        if kept.is_err() {
            // Best effort: it is swept at the next start as well.
            let _ = fs::remove_file(&incoming);
        }
        kept
    }

    /// The bytes under a name.
    pub fn read(&self, content: &str) -> io::Result<Vec<u8>> {
        let path = self
            .path(content)
            .ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        fs::read(path)
    }
}

/// A file that comes in pieces. Dropped before [`Incoming::finish`] it leaves nothing.
#[derive(Debug)]
pub struct Incoming {
    file: File,
    path: PathBuf,
    blobs: Blobs,
    digest: Sha256,
    size: u64,
    head: Vec<u8>,
}

/// A file that was taken in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// SHA-256 of the content in hex: its name.
    pub content: String,
    /// The type by the content's first bytes.
    pub mime_type: String,
    /// Size in bytes.
    pub size: u64,
}

impl Incoming {
    /// The next piece.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.digest.update(bytes);
        self.size += bytes.len() as u64;
        let wanted = HEAD_BYTES.saturating_sub(self.head.len()).min(bytes.len());
        self.head.extend_from_slice(&bytes[..wanted]);
        Ok(())
    }

    /// SHA-256 of what has come so far, in hex.
    #[must_use]
    pub fn content(&self) -> String {
        hex::encode(self.digest.clone().finalize())
    }

    /// It is whole: keeps it durably. The same bytes are kept once.
    pub fn finish(self) -> io::Result<Kept> {
        let content = self.content();
        if !self.blobs.is_kept(&content) {
            self.file.sync_all()?;
            self.blobs.place(&self.path, &content)?;
        }
        Ok(Kept {
            content,
            mime_type: sniffed_type(&self.head),
            size: self.size,
        })
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        // It is gone where the file was put in its place; a rest is swept at the next start as well.
        let _ = fs::remove_file(&self.path);
    }
}

/// A piece of a file that is taken in.
#[derive(Clone, Copy, Debug)]
pub struct Piece<'a> {
    /// SHA-256 of the whole content, in hex.
    pub content: &'a str,
    /// Size of the whole, in bytes.
    pub size: u64,
    /// Where the piece begins.
    pub offset: u64,
    /// The piece.
    pub bytes: &'a [u8],
}

fn not_the_content(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.to_owned())
}

/// The SHA-256 of a file in hex, read in stretches.
fn hash_of(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let (mut digest, mut stretch) = (Sha256::new(), vec![0; 64 * 1024]);
    loop {
        match file.read(&mut stretch)? {
            0 => return Ok(hex::encode(digest.finalize())),
            read => digest.update(&stretch[..read]),
        }
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
        None if is_plain_text(bytes) => "text/plain".to_owned(),
        None => "application/octet-stream".to_owned(),
    }
}

/// Whether bytes are text without anything that could be read as mark-up. A character may be cut at their end.
fn is_plain_text(bytes: &[u8]) -> bool {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => return false,
    };
    !text.contains(['<', '\0'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nothing_names_is_swept_and_what_is_kept_meanwhile_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let blobs = Blobs::open(folder.path()).expect("opens");
        let keep = |bytes: &[u8]| blobs.keep(bytes).expect("kept");
        let (named, lost) = (keep(b"named"), keep(b"lost"));
        let in_use = HashSet::from([named.clone()]);
        let sweep = |meanwhile: &dyn Fn()| {
            blobs.sweep(|| {
                meanwhile();
                Ok(in_use.clone())
            })
        };
        // Kept since the last sweep began, the store may name it any moment.
        assert_eq!(sweep(&|| ()).expect("swept"), 0);
        // Kept again while the names are read: it is about to be used.
        let again = || assert_eq!(keep(b"lost"), lost);
        assert_eq!(sweep(&again).expect("swept"), 0);
        assert_eq!(sweep(&|| ()).expect("swept"), 0);
        assert_eq!(sweep(&|| ()).expect("swept"), 1);
        assert!(blobs.read(&lost).is_err());
        assert_eq!(blobs.read(&named).expect("named"), b"named");
        // Where the names cannot be read nothing is removed.
        let other = keep(b"other");
        for _ in 0..3 {
            assert!(blobs.sweep(|| anyhow::bail!("no store")).is_err());
        }
        assert_eq!(blobs.read(&other).expect("kept"), b"other");
    }

    #[test]
    fn a_file_in_pieces_is_the_same_as_a_whole_one_and_a_broken_one_leaves_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let blobs = Blobs::open(folder.path()).expect("opens");
        let whole: Vec<u8> = (0..200_000_u32).flat_map(u32::to_be_bytes).collect();
        for _ in 0..2 {
            let mut incoming = blobs.begin().expect("begins");
            for piece in whole.chunks(4_099) {
                incoming.write(piece).expect("written");
            }
            let kept = incoming.finish().expect("kept");
            assert_eq!(kept.size, whole.len() as u64);
            assert_eq!(blobs.keep(&whole).expect("kept"), kept.content);
            assert_eq!(blobs.read(&kept.content).expect("read"), whole);
        }
        let mut broken = blobs.begin().expect("begins");
        broken.write(b"half").expect("written");
        drop(broken);
        let left = fs::read_dir(folder.path().join("incoming")).expect("a folder");
        assert_eq!(left.count(), 0);
        let mut cut = blobs.begin().expect("begins");
        cut.write("é".repeat(HEAD_BYTES).as_bytes())
            .expect("written");
        cut.write(b"e").expect("written");
        assert_eq!(cut.finish().expect("kept").mime_type, "text/plain");
    }

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
    fn pieces_make_up_a_file_or_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let blobs = Blobs::open(folder.path()).expect("opens");
        let whole: Vec<u8> = (0..5_000_u32).flat_map(u32::to_be_bytes).collect();
        let name = hex::encode(Sha256::digest(&whole));
        let piece = |from: usize, to: usize| Piece {
            content: &name,
            size: whole.len() as u64,
            offset: from as u64,
            bytes: &whole[from..to],
        };
        let is_refused = |piece: &Piece<'_>| {
            let refused = blobs.keep_piece(piece).expect_err("refused");
            assert_eq!(refused.kind(), io::ErrorKind::InvalidData, "{refused}");
        };
        is_refused(&piece(10_000, 20_000));
        blobs.keep_piece(&piece(0, 10_000)).expect("kept");
        blobs.keep_piece(&piece(0, 10_000)).expect("and again");
        assert!(!blobs.has(&name));
        blobs.keep_piece(&piece(10_000, 20_000)).expect("whole");
        assert_eq!(blobs.read(&name).expect("read"), whole);
        blobs.keep_piece(&piece(0, 10)).expect("known");

        let other = "0".repeat(64);
        let wrong = |offset, size, bytes| Piece {
            content: &other,
            size,
            offset,
            bytes,
        };
        is_refused(&wrong(0, 4, b"lies"));
        is_refused(&wrong(2, 4, b"lies"));
        is_refused(&wrong(u64::MAX, u64::MAX, b"lies"));
        is_refused(&Piece {
            content: "../../escape",
            ..wrong(0, 4, b"lies")
        });
        assert!(!blobs.has(&other));
        let left = fs::read_dir(folder.path().join("incoming")).expect("a folder");
        assert_eq!(left.count(), 0);
        let nothing = hex::encode(Sha256::digest(b""));
        blobs
            .keep_piece(&Piece {
                content: &nothing,
                ..wrong(0, 0, b"")
            })
            .expect("an empty file");
        assert!(blobs.has(&nothing));
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
        // What browsers sniff as a page (WHATWG MIME Sniffing, 7.1), in either case and behind white space, alone and
        // behind the beginning of what it pretends to be.
        let tags = [
            "!DOCTYPE HTML",
            "HTML",
            "HEAD",
            "SCRIPT",
            "IFRAME",
            "H1",
            "DIV",
            "FONT",
            "TABLE",
            "A",
            "STYLE",
            "TITLE",
            "B",
            "BODY",
            "BR",
            "P",
            "!--",
            "?xml",
            "svg",
            "svg:svg",
            "math",
            "x:script",
            "embed",
            "object",
            "link",
            "meta",
        ];
        let mut cases = 0;
        for tag in tags {
            for before in ["", " ", "\n\t ", "\u{feff}", "plain words "] {
                for tag in [tag.to_owned(), tag.to_ascii_lowercase()] {
                    for after in [">", " onload=alert(1)>", "/>"] {
                        let kind = sniffed_type(format!("{before}<{tag}{after}").as_bytes());
                        assert_eq!(kind, "application/octet-stream", "{before}<{tag}{after}");
                        cases += 1;
                    }
                }
            }
            for start in [
                &b"GIF89a"[..],
                b"\x89PNG\r\n\x1a\n",
                b"\xff\xd8\xff\xe0",
                b"%PDF-1.7 ",
                b"PK\x03\x04",
            ] {
                let kind = sniffed_type(&[start, format!("<{tag}>").as_bytes()].concat());
                assert!(
                    !kind.contains("html") && !kind.contains("xml") && !kind.contains("script"),
                    "{kind}"
                );
                cases += 1;
            }
        }
        assert!(cases >= 330, "{cases}");
        assert_eq!(sniffed_type(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"), "image/png");
        assert_eq!(sniffed_type(b"plain words"), "text/plain");
    }
}
