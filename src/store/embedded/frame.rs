//! A frame: one group as it stands in a segment. It is there whole or not at all.
//!
//! ```text
//! run u64 | number u64 | first event u64 | events u32 | length u32 | CRC-32 u32 | payload: the Group as MessagePack, packed
//! ```
//! Numbers are big-endian; the CRC covers everything but itself. `run` is the segment's random number: it is what a
//! search after damage looks for, and nobody who only writes messages can put it into one. [`super::packing`] says how it is packed.

use std::ops::Range;

use super::packing::pack;
use crate::store::Group;

/// Bytes before the payload.
pub(super) const HEADER_BYTES: usize = 36;
const CRC_AT: usize = 32;

/// The longest payload.
pub(super) const LONGEST_PAYLOAD_BYTES: usize = 1 << 30;

/// What stands before the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHeader {
    /// The segment's random number.
    pub(super) run: u64,
    /// Frames are numbered over all segments, from 1, without gaps.
    pub(super) number: u64,
    /// The number of its first event; where it has none, of the next that will come.
    pub(super) first_seq: u64,
    /// How many events it has.
    pub(super) events: u32,
    /// Bytes of the payload.
    pub(super) length: u32,
}

impl FrameHeader {
    /// Reads a header without checking the payload; `None` where it is not of this run.
    pub(super) fn read(bytes: &[u8], run: u64) -> Option<Self> {
        let long = |from: usize| {
            bytes
                .get(from..from + 8)?
                .try_into()
                .ok()
                .map(u64::from_be_bytes)
        };
        let short = |from: usize| {
            bytes
                .get(from..from + 4)?
                .try_into()
                .ok()
                .map(u32::from_be_bytes)
        };
        let header = Self {
            run: long(0)?,
            number: long(8)?,
            first_seq: long(16)?,
            events: short(24)?,
            length: short(28)?,
        };
        (header.run == run && bytes.len() >= HEADER_BYTES).then_some(header)
    }

    /// The event after its last one.
    pub(super) fn next_seq(&self) -> u64 {
        self.first_seq.saturating_add(u64::from(self.events))
    }

    /// Bytes of the whole frame.
    pub(super) fn frame_bytes(&self) -> u64 {
        HEADER_BYTES as u64 + u64::from(self.length)
    }
}

/// A frame in memory: room for the header, then the payload; and the payload before it was packed.
#[derive(Debug, Default)]
pub(super) struct FrameBuffer {
    bytes: Vec<u8>,
    plain: Vec<u8>,
}

impl FrameBuffer {
    /// A buffer this large is not kept for the next group.
    const KEPT_BYTES: usize = 4 << 20;

    /// Takes a group in; the error says in words why it does not fit.
    pub(super) fn fill(&mut self, group: &Group) -> Result<(), String> {
        for buffer in [&mut self.bytes, &mut self.plain] {
            if buffer.capacity() > Self::KEPT_BYTES {
                *buffer = Vec::new();
            }
            buffer.clear();
        }
        rmp_serde::encode::write(&mut self.plain, group)
            .map_err(|error| format!("the group cannot be encoded: {error}"))?;
        if self.plain.len() > LONGEST_PAYLOAD_BYTES {
            return Err(format!(
                "the group has {} bytes, at most {LONGEST_PAYLOAD_BYTES} are taken: split it",
                self.plain.len()
            ));
        }
        self.bytes.resize(HEADER_BYTES, 0);
        pack(&self.plain, &mut self.bytes);
        Ok(())
    }

    /// Takes a group in as format 1 had it.
    #[cfg(test)]
    pub(super) fn fill_unpacked(&mut self, group: &Group) {
        let plain = rmp_serde::to_vec(group).unwrap();
        self.bytes = [vec![0; HEADER_BYTES], plain].concat();
    }

    /// Bytes of the group before it was packed: about what it takes in memory.
    pub(super) const fn plain_len(&self) -> u64 {
        self.plain.len() as u64
    }

    /// Bytes of the whole frame.
    pub(super) const fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Fills up with zeros to a whole frame of `frame_bytes`; `false` where it is longer already.
    pub(super) fn pad_to(&mut self, frame_bytes: u64) -> bool {
        let bytes = usize::try_from(frame_bytes).unwrap_or(usize::MAX);
        let fits = self.bytes.len() <= bytes;
        if fits {
            self.bytes.resize(bytes, 0);
        }
        fits
    }

    /// Writes the header for its place in the journal and gives the whole frame.
    pub(super) fn seal(&mut self, run: u64, number: u64, first_seq: u64, events: usize) -> &[u8] {
        let length = u32::try_from(self.bytes.len() - HEADER_BYTES).unwrap_or(u32::MAX);
        self.bytes[..8].copy_from_slice(&run.to_be_bytes());
        self.bytes[8..16].copy_from_slice(&number.to_be_bytes());
        self.bytes[16..24].copy_from_slice(&first_seq.to_be_bytes());
        self.bytes[24..28]
            .copy_from_slice(&u32::try_from(events).unwrap_or(u32::MAX).to_be_bytes());
        self.bytes[28..32].copy_from_slice(&length.to_be_bytes());
        let crc = crc_of(&self.bytes);
        self.bytes[CRC_AT..HEADER_BYTES].copy_from_slice(&crc.to_be_bytes());
        &self.bytes
    }
}

/// The CRC of a frame, taken over everything but its own place.
fn crc_of(frame: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&frame[..CRC_AT]);
    hasher.update(&frame[HEADER_BYTES..]);
    hasher.finalize()
}

/// The whole frame at the beginning of `bytes`; `None` where there is none of this run, or a damaged one.
pub(super) fn whole_frame(bytes: &[u8], run: u64) -> Option<(FrameHeader, &[u8])> {
    let header = FrameHeader::read(bytes, run)?;
    let end = HEADER_BYTES.checked_add(usize::try_from(header.length).ok()?)?;
    let frame = bytes.get(..end)?;
    (frame[CRC_AT..HEADER_BYTES] == crc_of(frame).to_be_bytes())
        .then_some((header, &frame[HEADER_BYTES..]))
}

/// The next whole frame of this run that begins in `within`, and where.
pub(super) fn find_frame(
    bytes: &[u8],
    within: Range<usize>,
    run: u64,
) -> Option<(usize, FrameHeader)> {
    let wanted = run.to_be_bytes();
    let mut at = within.start;
    while let Some(window) = bytes.get(at..within.end) {
        at += window
            .windows(wanted.len())
            .position(|window| window == wanted)?;
        if let Some((header, _)) = whole_frame(&bytes[at..], run) {
            return Some((at, header));
        }
        at += 1;
    }
    None
}
