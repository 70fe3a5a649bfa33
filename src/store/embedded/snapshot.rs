//! A snapshot: every primary row (messages, conversations, contacts, entries of side tables) after one frame of the
//! journal, sorted by key, in a format of our own. Keys are those of [`super::key`], values are records as MessagePack.
//!
//! ```text
//! magic [8] | format u32 | frame u64 | last event u64 | last id u64 | created at i64 (ms) | CRC-32 u32
//! block:   1 | rows u32 | bytes u32 | packed bytes u32 | CRC-32 u32 | rows, packed by LZ4
//! trailer: 2 | rows u64 | conversations u64 | SHA-256 of the header and all rows [32] | CRC-32 u32
//! a row:   key's length u32 | value's length u32 | key | value
//! ```
//! Numbers are big-endian. A file is there whole or not at all: it is written beside, synced, read back, and only then
//! gets its name.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use deskbell_sdk::Time;
use sha2::{Digest, Sha256};

use super::disk::Disk;

/// The format that this daemon writes and reads.
pub(super) const FORMAT: u32 = 1;
const MAGIC: &[u8; 8] = b"DBELLSNP";
const HEADER_BYTES: usize = 48;
const BLOCK_HEADER_BYTES: usize = 17;
const TRAILER_BYTES: usize = 53;
const BLOCK: u8 = 1;
const TRAILER: u8 = 2;
/// A block is written once it has this many bytes.
const BLOCK_BYTES: usize = 128 << 10;
/// A longer block is none of ours.
const LONGEST_BLOCK_BYTES: u32 = 1 << 30;

/// Why a snapshot cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// It is not whole, or it is no snapshot.
    #[error("the snapshot is damaged: {0}")]
    Damaged(&'static str),
    /// A newer daemon wrote it.
    #[error("the snapshot was made by a newer Deskbell (format {0}): use the newer version")]
    Newer(u32),
    /// The disk refused.
    #[error("the snapshot cannot be read: {0}")]
    Io(#[from] std::io::Error),
}

/// What stands at the head of a snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SnapshotHeader {
    /// The last frame of the journal that is in it.
    pub frame: u64,
    /// The last event that is in it.
    pub seq: u64,
    /// The highest id given until then.
    pub last_id: u64,
    /// When it was made.
    pub created_at: Time,
}

impl SnapshotHeader {
    fn bytes(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&FORMAT.to_be_bytes());
        let numbers = [
            self.frame,
            self.seq,
            self.last_id,
            self.created_at.as_millis().cast_unsigned(),
        ];
        for (place, number) in numbers.iter().enumerate() {
            bytes[12 + 8 * place..20 + 8 * place].copy_from_slice(&number.to_be_bytes());
        }
        let crc = crc32fast::hash(&bytes[..HEADER_BYTES - 4]);
        bytes[HEADER_BYTES - 4..].copy_from_slice(&crc.to_be_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8; HEADER_BYTES]) -> Result<Self, SnapshotError> {
        let (content, crc) = bytes.split_at(HEADER_BYTES - 4);
        if &content[..8] != MAGIC {
            return Err(SnapshotError::Damaged("it does not begin like one"));
        }
        if crc != crc32fast::hash(content).to_be_bytes() {
            return Err(SnapshotError::Damaged("its head is not whole"));
        }
        let format = u32_at(content, 8);
        if format != FORMAT {
            return Err(SnapshotError::Newer(format));
        }
        Ok(Self {
            frame: u64_at(content, 12),
            seq: u64_at(content, 20),
            last_id: u64_at(content, 28),
            created_at: Time::from_millis(u64_at(content, 36).cast_signed()),
        })
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut number = [0; 4];
    number.copy_from_slice(&bytes[at..at + 4]);
    u32::from_be_bytes(number)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_be_bytes(number)
}

/// What stands at the end of a snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SnapshotCounts {
    /// Rows in it.
    pub rows: u64,
    /// Conversations among them.
    pub conversations: u64,
}

impl SnapshotCounts {
    fn add(&mut self, key: &[u8]) {
        self.rows += 1;
        self.conversations += u64::from(key.first() == Some(&b'c'));
    }
}

/// Writes a snapshot. It is none before [`SnapshotWriter::finish`] has returned.
pub(super) struct SnapshotWriter {
    file: File,
    disk: Arc<dyn Disk>,
    at: u64,
    block: Vec<u8>,
    rows_in_block: u32,
    counts: SnapshotCounts,
    last_key: Vec<u8>,
    digest: Sha256,
}

impl SnapshotWriter {
    /// Begins one at `path`, over whatever stands there.
    pub(super) fn begin(
        path: &Path,
        disk: Arc<dyn Disk>,
        header: &SnapshotHeader,
    ) -> std::io::Result<Self> {
        let file = File::create(path)?;
        let bytes = header.bytes();
        disk.write_at(&file, &bytes, 0)?;
        Ok(Self {
            file,
            disk,
            at: bytes.len() as u64,
            block: Vec::with_capacity(BLOCK_BYTES * 2),
            rows_in_block: 0,
            counts: SnapshotCounts::default(),
            last_key: Vec::new(),
            digest: Sha256::new_with_prefix(bytes),
        })
    }

    /// Adds a row; keys come in order.
    pub(super) fn add(&mut self, key: &[u8], value: &[u8]) -> std::io::Result<()> {
        if self.counts.rows > 0 && key <= self.last_key.as_slice() {
            return Err(std::io::Error::other(
                "the rows of a snapshot are not in order",
            ));
        }
        let length = |bytes: &[u8]| {
            u32::try_from(bytes.len())
                .ok()
                .filter(|length| *length < LONGEST_BLOCK_BYTES / 4)
                .ok_or_else(|| std::io::Error::other("a row is too long for a snapshot"))
        };
        let (key_length, value_length) = (length(key)?, length(value)?);
        self.block.extend_from_slice(&key_length.to_be_bytes());
        self.block.extend_from_slice(&value_length.to_be_bytes());
        self.block.extend_from_slice(key);
        self.block.extend_from_slice(value);
        self.rows_in_block += 1;
        self.counts.add(key);
        self.last_key.clear();
        self.last_key.extend_from_slice(key);
        if self.block.len() >= BLOCK_BYTES {
            self.write_block()?;
        }
        Ok(())
    }

    fn write_block(&mut self) -> std::io::Result<()> {
        if self.rows_in_block == 0 {
            return Ok(());
        }
        self.digest.update(&self.block);
        let packed = lz4_flex::compress(&self.block);
        let too_long = |_| std::io::Error::other("a block of a snapshot is too long");
        let mut bytes = Vec::with_capacity(BLOCK_HEADER_BYTES + packed.len());
        bytes.push(BLOCK);
        bytes.extend_from_slice(&self.rows_in_block.to_be_bytes());
        for length in [self.block.len(), packed.len()] {
            let length = u32::try_from(length).map_err(too_long)?;
            bytes.extend_from_slice(&length.to_be_bytes());
        }
        let crc = crc_of(&bytes, &packed);
        bytes.extend_from_slice(&crc.to_be_bytes());
        bytes.extend_from_slice(&packed);
        self.append(&bytes)?;
        self.block.clear();
        self.rows_in_block = 0;
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.disk.write_at(&self.file, bytes, self.at)?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    /// Writes the trailer and makes all of it durable; gives what is in it and the bytes of the file.
    pub(super) fn finish(mut self) -> std::io::Result<(SnapshotCounts, u64)> {
        self.write_block()?;
        let mut bytes = vec![TRAILER];
        bytes.extend_from_slice(&self.counts.rows.to_be_bytes());
        bytes.extend_from_slice(&self.counts.conversations.to_be_bytes());
        bytes.extend_from_slice(&std::mem::take(&mut self.digest).finalize());
        let crc = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&crc.to_be_bytes());
        self.append(&bytes)?;
        self.disk.sync_data(&self.file)?;
        Ok((self.counts, self.at))
    }
}

fn crc_of(head: &[u8], packed: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(head);
    hasher.update(packed);
    hasher.finalize()
}

/// Reads a snapshot from its first row to its last. Each block is checked before a row of it is given; that the whole
/// is whole shows only at the end, so that who needs to know it first calls [`SnapshotReader::verify`].
pub struct SnapshotReader {
    file: BufReader<File>,
    header: SnapshotHeader,
    block: Vec<u8>,
    at: usize,
    rows_left: u32,
    counts: SnapshotCounts,
    last_key: Vec<u8>,
    digest: Sha256,
    ended: bool,
}

impl std::fmt::Debug for SnapshotReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SnapshotReader")
            .field("header", &self.header)
            .finish_non_exhaustive()
    }
}

impl SnapshotReader {
    /// Opens one.
    ///
    /// # Errors
    /// It is none, its head is damaged, it is of a newer format, or the disk refuses.
    pub fn open(path: &Path) -> Result<Self, SnapshotError> {
        let mut file = BufReader::with_capacity(256 << 10, File::open(path)?);
        let mut bytes = [0; HEADER_BYTES];
        fill(&mut file, &mut bytes)?;
        Ok(Self {
            file,
            header: SnapshotHeader::from_bytes(&bytes)?,
            block: Vec::new(),
            at: 0,
            rows_left: 0,
            counts: SnapshotCounts::default(),
            last_key: Vec::new(),
            digest: Sha256::new_with_prefix(bytes),
            ended: false,
        })
    }

    /// What stands at its head.
    #[must_use]
    pub const fn header(&self) -> SnapshotHeader {
        self.header
    }

    /// Reads it to its end and gives what is in it; `heard` hears how many rows were read after each block, and ends
    /// it by `false`.
    ///
    /// # Errors
    /// It is damaged anywhere, or `heard` ended it.
    pub fn verify(
        path: &Path,
        mut heard: impl FnMut(u64) -> bool,
    ) -> Result<(SnapshotHeader, SnapshotCounts), SnapshotError> {
        let mut reader = Self::open(path)?;
        while reader.next_row()?.is_some() {
            if reader.rows_left == 0 && !heard(reader.counts.rows) {
                return Err(std::io::Error::other("reading it was ended").into());
            }
        }
        Ok((reader.header, reader.counts))
    }

    /// The next row, by key; `None` after the last, where the whole was found whole.
    ///
    /// # Errors
    /// It is damaged, or the disk refuses.
    pub fn next_row(&mut self) -> Result<Option<(Vec<u8>, Vec<u8>)>, SnapshotError> {
        while self.rows_left == 0 {
            if self.ended || !self.next_block()? {
                return Ok(None);
            }
        }
        let odd = || SnapshotError::Damaged("a block holds something else than rows");
        let rest = &self.block[self.at..];
        if rest.len() < 8 {
            return Err(odd());
        }
        let key_length = u32_at(rest, 0) as usize;
        let value_length = u32_at(rest, 4) as usize;
        let end = 8 + key_length + value_length;
        let row = rest.get(8..end).ok_or_else(odd)?;
        let (key, value) = row.split_at(key_length);
        if self.counts.rows > 0 && key <= self.last_key.as_slice() {
            return Err(SnapshotError::Damaged("its rows are not in order"));
        }
        let row = (key.to_vec(), value.to_vec());
        self.last_key.clear();
        self.last_key.extend_from_slice(key);
        self.counts.add(&row.0);
        self.at += end;
        self.rows_left -= 1;
        if self.rows_left == 0 && self.at != self.block.len() {
            return Err(odd());
        }
        Ok(Some(row))
    }

    /// Reads the next block; `false` where the trailer came, and said the same as was read.
    fn next_block(&mut self) -> Result<bool, SnapshotError> {
        let mut kind = [0];
        fill(&mut self.file, &mut kind)?;
        match kind[0] {
            BLOCK => {}
            TRAILER => {
                self.check_trailer()?;
                self.ended = true;
                return Ok(false);
            }
            _ => return Err(SnapshotError::Damaged("a block is none")),
        }
        let mut head = [0; BLOCK_HEADER_BYTES];
        head[0] = BLOCK;
        fill(&mut self.file, &mut head[1..])?;
        let (rows, bytes, packed_bytes) = (u32_at(&head, 1), u32_at(&head, 5), u32_at(&head, 9));
        if rows == 0 || bytes > LONGEST_BLOCK_BYTES || packed_bytes > LONGEST_BLOCK_BYTES {
            return Err(SnapshotError::Damaged("a block's head is not whole"));
        }
        // Not more than there is: a length that was flipped must not take the memory.
        let mut packed = Vec::new();
        (&mut self.file)
            .take(u64::from(packed_bytes))
            .read_to_end(&mut packed)?;
        if packed.len() != packed_bytes as usize
            || crc_of(&head[..13], &packed) != u32_at(&head, 13)
        {
            return Err(SnapshotError::Damaged("a block is not whole"));
        }
        self.block = lz4_flex::decompress(&packed, bytes as usize)
            .ok()
            .filter(|block| block.len() == bytes as usize)
            .ok_or(SnapshotError::Damaged("a block cannot be unpacked"))?;
        self.digest.update(&self.block);
        self.at = 0;
        self.rows_left = rows;
        Ok(true)
    }

    fn check_trailer(&mut self) -> Result<(), SnapshotError> {
        let mut trailer = [0; TRAILER_BYTES];
        trailer[0] = TRAILER;
        fill(&mut self.file, &mut trailer[1..])?;
        let (content, crc) = trailer.split_at(TRAILER_BYTES - 4);
        let counts = SnapshotCounts {
            rows: u64_at(content, 1),
            conversations: u64_at(content, 9),
        };
        let digest = std::mem::take(&mut self.digest).finalize();
        if crc != crc32fast::hash(content).to_be_bytes()
            || counts != self.counts
            || content[17..] != digest[..]
        {
            return Err(SnapshotError::Damaged("its end does not fit what is in it"));
        }
        if self.file.read(&mut [0])? > 0 {
            return Err(SnapshotError::Damaged("something follows its end"));
        }
        Ok(())
    }
}

fn fill(file: &mut impl Read, bytes: &mut [u8]) -> Result<(), SnapshotError> {
    file.read_exact(bytes).map_err(|error| {
        if error.kind() == std::io::ErrorKind::UnexpectedEof {
            SnapshotError::Damaged("it is cut off")
        } else {
            error.into()
        }
    })
}

/// The rows that the trailer says there are; it may be wrong where the file is damaged.
pub(super) fn rows_said(path: &Path) -> std::io::Result<u64> {
    use std::os::unix::fs::FileExt as _;
    let file = File::open(path)?;
    let from = file.metadata()?.len().saturating_sub(TRAILER_BYTES as u64);
    let mut rows = [0; 8];
    file.read_exact_at(&mut rows, from + 1)?;
    Ok(u64::from_be_bytes(rows))
}
