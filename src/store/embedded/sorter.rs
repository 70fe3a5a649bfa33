//! Sorting more rows than memory holds: what does not fit goes to sorted files, which are merged when they are read.
//! Of several images of a row the last one that was put stands.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::Disk;
use super::snapshot::SnapshotReader;
use crate::store::{Found, StoreError};

/// A row to write (a value) or to remove (none).
pub(super) type Row = (Vec<u8>, Option<Vec<u8>>);

/// What a row in memory takes beside its bytes, about.
const ROW_OVERHEAD_BYTES: usize = 112;
/// In place of a value's length: the row is to be removed.
const REMOVED: u32 = u32::MAX;
/// Bytes that are written at once.
const WRITE_BYTES: usize = 1 << 20;

/// A folder for sorted files; it is removed with what is in it.
#[derive(Debug)]
pub(super) struct Scratch {
    folder: PathBuf,
}

impl Scratch {
    /// Begins an empty folder.
    pub(super) fn begin(folder: PathBuf) -> io::Result<Self> {
        remove_folder(&folder)?;
        std::fs::create_dir_all(&folder)?;
        Ok(Self { folder })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = remove_folder(&self.folder) {
            tracing::warn!(%error, "a folder of temporary files cannot be removed");
        }
    }
}

/// Removes a folder with what is in it; one that is not there is fine.
pub(super) fn remove_folder(folder: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn not_sorted(error: &io::Error) -> StoreError {
    StoreError::Unreadable(format!("rows cannot be sorted: {error}"))
}

/// Takes rows in any order.
pub(super) struct Sorter {
    name: &'static str,
    scratch: Arc<Scratch>,
    disk: Arc<dyn Disk>,
    most_bytes: usize,
    held: HashMap<Vec<u8>, Option<Vec<u8>>>,
    held_bytes: usize,
    runs: Vec<PathBuf>,
    rows: u64,
}

impl Sorter {
    /// An empty one that holds about `most_bytes` in memory. `name` tells its files from those of others.
    pub(super) fn new(
        name: &'static str,
        scratch: Arc<Scratch>,
        disk: Arc<dyn Disk>,
        most_bytes: usize,
    ) -> Self {
        Self {
            name,
            scratch,
            disk,
            most_bytes,
            held: HashMap::new(),
            held_bytes: 0,
            runs: Vec::new(),
            rows: 0,
        }
    }

    /// Takes in a row; a later image replaces an earlier one.
    pub(super) fn put(&mut self, key: Vec<u8>, value: Option<Vec<u8>>) -> Found<()> {
        let long = |value: &Option<Vec<u8>>| value.as_ref().map_or(0, Vec::len);
        self.held_bytes += long(&value);
        let key_bytes = key.len();
        match self.held.insert(key, value) {
            Some(before) => self.held_bytes -= long(&before),
            None => self.held_bytes += key_bytes + ROW_OVERHEAD_BYTES,
        }
        if self.held_bytes >= self.most_bytes {
            self.spill().map_err(|error| not_sorted(&error))?;
        }
        Ok(())
    }

    fn sorted_held(&mut self) -> Vec<Row> {
        let mut rows: Vec<Row> = std::mem::take(&mut self.held).into_iter().collect();
        rows.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        self.held_bytes = 0;
        self.rows += rows.len() as u64;
        rows
    }

    fn spill(&mut self) -> io::Result<()> {
        let path = self
            .scratch
            .folder
            .join(format!("{}-{}", self.name, self.runs.len()));
        let file = File::create(&path)?;
        let mut hasher = crc32fast::Hasher::new();
        let (mut buffer, mut at) = (Vec::with_capacity(WRITE_BYTES * 2), 0);
        let too_long = |_| io::Error::other("a row is too long");
        for (key, value) in self.sorted_held() {
            let key_length = u32::try_from(key.len()).map_err(too_long)?;
            let value_length = match &value {
                Some(value) => u32::try_from(value.len()).map_err(too_long)?,
                None => REMOVED,
            };
            buffer.extend_from_slice(&key_length.to_be_bytes());
            buffer.extend_from_slice(&value_length.to_be_bytes());
            buffer.extend_from_slice(&key);
            buffer.extend_from_slice(value.as_deref().unwrap_or_default());
            if buffer.len() >= WRITE_BYTES {
                hasher.update(&buffer);
                self.disk.write_at(&file, &buffer, at)?;
                at += buffer.len() as u64;
                buffer.clear();
            }
        }
        hasher.update(&buffer);
        buffer.extend_from_slice(&hasher.finalize().to_be_bytes());
        self.disk.write_at(&file, &buffer, at)?;
        self.runs.push(path);
        Ok(())
    }

    /// All rows by key, those to remove among them, over the rows of `base`, which are older.
    pub(super) fn merged(mut self, base: Option<SnapshotReader>) -> Found<Merged> {
        let mut sources = Vec::new();
        sources.extend(base.map(|base| Source::Snapshot(Box::new(base))));
        for run in &self.runs {
            sources.push(Source::Run(
                Run::open(run).map_err(|error| not_sorted(&error))?,
            ));
        }
        sources.push(Source::Held(self.sorted_held().into_iter()));
        let mut merged = Merged {
            sources,
            heads: BinaryHeap::new(),
            rows_at_most: self.rows,
            _scratch: self.scratch,
        };
        for place in 0..merged.sources.len() {
            merged.advance(place)?;
        }
        Ok(merged)
    }
}

/// A sorted file.
struct Run {
    file: BufReader<File>,
    left: u64,
    crc: crc32fast::Hasher,
}

impl Run {
    fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let left = file.metadata()?.len().saturating_sub(4);
        Ok(Self {
            file: BufReader::with_capacity(256 << 10, file),
            left,
            crc: crc32fast::Hasher::new(),
        })
    }

    fn take(&mut self, bytes: usize) -> io::Result<Vec<u8>> {
        self.left = self
            .left
            .checked_sub(bytes as u64)
            .ok_or_else(|| io::Error::other("a sorted file is not whole"))?;
        let mut taken = vec![0; bytes];
        self.file.read_exact(&mut taken)?;
        self.crc.update(&taken);
        Ok(taken)
    }

    fn length(&mut self) -> io::Result<u32> {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(&self.take(4)?);
        Ok(u32::from_be_bytes(bytes))
    }

    fn next_row(&mut self) -> io::Result<Option<Row>> {
        if self.left == 0 {
            let mut crc = [0; 4];
            self.file.read_exact(&mut crc)?;
            if self.crc.clone().finalize().to_be_bytes() != crc {
                return Err(io::Error::other("a sorted file was damaged"));
            }
            return Ok(None);
        }
        let (key_length, value_length) = (self.length()?, self.length()?);
        let key = self.take(key_length as usize)?;
        let value = match value_length {
            REMOVED => None,
            length => Some(self.take(length as usize)?),
        };
        Ok(Some((key, value)))
    }
}

enum Source {
    Snapshot(Box<SnapshotReader>),
    Run(Run),
    Held(std::vec::IntoIter<Row>),
}

impl Source {
    fn next_row(&mut self) -> Found<Option<Row>> {
        match self {
            Self::Snapshot(reader) => match reader.next_row() {
                Ok(row) => Ok(row.map(|(key, value)| (key, Some(value)))),
                Err(error) => Err(StoreError::Unreadable(error.to_string())),
            },
            Self::Run(run) => run.next_row().map_err(|error| not_sorted(&error)),
            Self::Held(rows) => Ok(rows.next()),
        }
    }
}

/// Rows of several sorted sources as one.
pub(super) struct Merged {
    sources: Vec<Source>,
    // The smallest key first; of equal keys, the newest source.
    heads: BinaryHeap<Reverse<(Vec<u8>, Reverse<usize>, Option<Vec<u8>>)>>,
    rows_at_most: u64,
    _scratch: Arc<Scratch>,
}

impl Merged {
    /// How many rows were put, apart from those of the base: at most so many come of them.
    pub(super) const fn rows_at_most(&self) -> u64 {
        self.rows_at_most
    }

    fn advance(&mut self, place: usize) -> Found<()> {
        if let Some((key, value)) = self.sources[place].next_row()? {
            self.heads.push(Reverse((key, Reverse(place), value)));
        }
        Ok(())
    }

    /// The next row that stands.
    pub(super) fn next_row(&mut self) -> Found<Option<(Vec<u8>, Vec<u8>)>> {
        while let Some(Reverse((key, Reverse(place), value))) = self.heads.pop() {
            self.advance(place)?;
            while let Some(Reverse((other, Reverse(place), _))) = self.heads.peek()
                && *other == key
            {
                let place = *place;
                self.heads.pop();
                self.advance(place)?;
            }
            if let Some(value) = value {
                return Ok(Some((key, value)));
            }
        }
        Ok(None)
    }
}
