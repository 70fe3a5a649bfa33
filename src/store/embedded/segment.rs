//! A segment: one file of the journal. It begins with its header, which stands there twice, each on a page of its
//! own, so that no single damaged page loses the segment; frames follow, then zeros up to the end of the file.
//!
//! The header is also the fence of the segment before it: "that one is valid to frame K, which ends at offset O".
//! What stands behind O over there was never acknowledged.
//!
//! ```text
//! magic [8] | format u32 | number u64 | run u64 | previous u64 | valid frame u64 | valid offset u64
//! | first frame u64 | first event u64 | created at i64 (ms) | CRC-32 u32
//! ```

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use deskbell_sdk::Time;

/// The journal's format that this daemon writes and reads.
pub(super) const FORMAT: u32 = 1;

/// Where the frames of a segment begin.
pub(super) const DATA_START: u64 = 2 * PAGE;
const PAGE: u64 = 4096;
const MAGIC: &[u8; 8] = b"DBELLJNL";
const HEADER_BYTES: usize = 80;
const CRC_AT: usize = HEADER_BYTES - 4;
const EXTENSION: &str = "segment";
/// The ending of a file that is to take the place of a segment.
pub(super) const HALF: &str = "half";

/// The header of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    /// The segments are numbered from 1; numbers may be left out.
    pub(super) number: u64,
    /// A random number that every frame of the segment repeats.
    pub(super) run: u64,
    /// The segment before this one; 0 where this is the first.
    pub(super) previous: u64,
    /// The last valid frame of the segment before; equal to the last one before it where that has none.
    pub(super) previous_frame: u64,
    /// Where that frame ends.
    pub(super) previous_end: u64,
    /// The number that the first frame here has or will have.
    pub(super) first_frame: u64,
    /// The number that the first event here has or will have.
    pub(super) first_seq: u64,
    /// When the segment was begun.
    pub(super) created_at: Time,
}

/// What the pages of a header hold.
#[derive(Debug)]
pub(super) enum HeaderFound {
    /// A header.
    Header(SegmentHeader),
    /// One of a newer format.
    Newer(u32),
    /// Nothing yet: the file was prepared and never used.
    Blank,
    /// Neither page can be read.
    Damaged,
}

impl SegmentHeader {
    fn bytes(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&FORMAT.to_be_bytes());
        let created_at = self.created_at.as_millis().cast_unsigned();
        let numbers = [
            self.number,
            self.run,
            self.previous,
            self.previous_frame,
            self.previous_end,
            self.first_frame,
            self.first_seq,
            created_at,
        ];
        for (place, number) in bytes[12..CRC_AT].chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_be_bytes());
        }
        let crc = crc32fast::hash(&bytes[..CRC_AT]);
        bytes[CRC_AT..].copy_from_slice(&crc.to_be_bytes());
        bytes
    }

    /// Both pages of the header.
    pub(super) fn pages(&self) -> Vec<u8> {
        let mut pages = vec![0; usize::try_from(DATA_START).unwrap_or_default()];
        let bytes = self.bytes();
        pages[..HEADER_BYTES].copy_from_slice(&bytes);
        let second = usize::try_from(PAGE).unwrap_or_default();
        pages[second..second + HEADER_BYTES].copy_from_slice(&bytes);
        pages
    }

    fn read_page(page: &[u8]) -> Option<Result<Self, u32>> {
        let bytes = page.get(..HEADER_BYTES)?;
        if &bytes[..8] != MAGIC
            || bytes[CRC_AT..] != crc32fast::hash(&bytes[..CRC_AT]).to_be_bytes()
        {
            return None;
        }
        let format = u32::from_be_bytes(bytes[8..12].try_into().ok()?);
        if format != FORMAT {
            return Some(Err(format));
        }
        let number = |place: usize| -> Option<u64> {
            let from = 12 + 8 * place;
            bytes
                .get(from..from + 8)?
                .try_into()
                .ok()
                .map(u64::from_be_bytes)
        };
        Some(Ok(Self {
            number: number(0)?,
            run: number(1)?,
            previous: number(2)?,
            previous_frame: number(3)?,
            previous_end: number(4)?,
            first_frame: number(5)?,
            first_seq: number(6)?,
            created_at: Time::from_millis(number(7)?.cast_signed()),
        }))
    }

    /// Reads the header of the segment at `path` from the page that is whole.
    pub(super) fn read(path: &Path) -> io::Result<HeaderFound> {
        let file = File::open(path)?;
        let mut pages = vec![0; usize::try_from(DATA_START).unwrap_or_default()];
        let mut filled = 0;
        while filled < pages.len() {
            match file.read_at(&mut pages[filled..], filled as u64)? {
                0 => break,
                count => filled += count,
            }
        }
        let (first, second) = pages.split_at(pages.len() / 2);
        let found = match Self::read_page(first).or_else(|| Self::read_page(second)) {
            Some(Ok(header)) => HeaderFound::Header(header),
            Some(Err(format)) => HeaderFound::Newer(format),
            None if pages.iter().all(|byte| *byte == 0) => HeaderFound::Blank,
            None => HeaderFound::Damaged,
        };
        Ok(found)
    }
}

/// Where the segment of a number stands.
pub(super) fn path_of(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:010}.{EXTENSION}"))
}

/// The numbers of all segments that stand in the directory, sorted.
pub(super) fn numbers_in(directory: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let name = entry?.file_name();
        let number: Option<u64> = name.to_str().and_then(|name| {
            name.strip_suffix(EXTENSION)?
                .strip_suffix('.')?
                .parse()
                .ok()
        });
        numbers.extend(number);
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Removes what a crash left of files that were to take the place of segments.
pub(super) fn remove_halves(directory: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == HALF) {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Reads a segment's bytes from its beginning up to `end` (`None`: all of it). A shorter file gives what it has.
pub(super) fn read_bytes(path: &Path, end: Option<u64>) -> io::Result<Vec<u8>> {
    use std::io::Read as _;
    let file = File::open(path)?;
    let length = file.metadata()?.len().min(end.unwrap_or(u64::MAX));
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
    file.take(length).read_to_end(&mut bytes)?;
    Ok(bytes)
}
