//! Walking over the frames of one segment, past what is damaged.

use std::ops::Range;

use super::damage::{Damage, DamageList};
use super::frame::{FrameHeader, find_frame, whole_frame};
use super::segment::DATA_START;

/// A frame where it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct FrameAt<'a> {
    /// Its header.
    pub(super) header: FrameHeader,
    /// Where it begins in the segment.
    pub(super) offset: u64,
    /// The group, encoded and packed.
    pub(super) payload: &'a [u8],
}

/// How far a segment is valid, as the fence of the next one says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fence {
    /// The last valid frame.
    pub(super) frame: u64,
    /// Where it ends.
    pub(super) end: u64,
}

/// What to walk over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk<'a> {
    /// The segment's number.
    pub(super) segment: u64,
    /// Its run.
    pub(super) run: u64,
    /// Its bytes from the beginning; a longer stretch than the fence allows is cut.
    pub(super) bytes: &'a [u8],
    /// The number that the first frame there should have.
    pub(super) first_frame: u64,
    /// Where it ends; `None` for the last segment, which ends behind its last whole frame.
    pub(super) fence: Option<Fence>,
}

/// Where the walk ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Walked {
    /// Behind the last whole frame.
    pub(super) end: u64,
    /// The number after the last whole frame.
    pub(super) next_frame: u64,
    /// Whether only zeros follow.
    pub(super) blank_behind: bool,
}

/// Shows every whole frame to `visit` in order, and reports what is damaged between them. It ends early only where
/// `visit` fails.
pub(super) fn walk<E>(
    walk: Walk<'_>,
    damage: &DamageList,
    mut visit: impl FnMut(FrameAt<'_>) -> Result<(), E>,
) -> Result<Walked, E> {
    let bytes = match walk.fence {
        Some(fence) => {
            &walk.bytes[..usize::try_from(fence.end)
                .unwrap_or(usize::MAX)
                .min(walk.bytes.len())]
        }
        None => walk.bytes,
    };
    let written = written_bytes(bytes);
    let mut at = usize::try_from(DATA_START)
        .unwrap_or(usize::MAX)
        .min(bytes.len());
    let mut expected = walk.first_frame;
    while at < written {
        let here =
            whole_frame(&bytes[at..], walk.run).filter(|(header, _)| header.number >= expected);
        let Some((header, payload)) = here else {
            let Some((next, header)) = next_frame(bytes, at + 1..written, walk.run, expected)
            else {
                break;
            };
            let frames = header.number.saturating_sub(expected);
            report(damage, walk.segment, at, &bytes[at..next], frames);
            (at, expected) = (next, header.number);
            continue;
        };
        if header.number > expected {
            report(damage, walk.segment, at, &[], header.number - expected);
        }
        visit(FrameAt {
            header,
            offset: at as u64,
            payload,
        })?;
        expected = header.number + 1;
        at += usize::try_from(header.frame_bytes()).unwrap_or(usize::MAX);
    }
    if let Some(fence) = walk.fence.filter(|fence| expected <= fence.frame) {
        report(
            damage,
            walk.segment,
            at,
            bytes.get(at..).unwrap_or_default(),
            fence.frame + 1 - expected,
        );
    }
    Ok(Walked {
        end: at as u64,
        next_frame: expected,
        blank_behind: bytes
            .get(at..written)
            .is_none_or(|behind| behind.iter().all(|byte| *byte == 0)),
    })
}

/// The next whole frame with a number that can follow.
fn next_frame(
    bytes: &[u8],
    within: Range<usize>,
    run: u64,
    expected: u64,
) -> Option<(usize, FrameHeader)> {
    let mut at = within.start;
    loop {
        let (found, header) = find_frame(bytes, at..within.end, run)?;
        if header.number >= expected {
            return Some((found, header));
        }
        at = found + 1;
    }
}

/// Bytes up to the zeros at the end, to the block: a segment is mostly room for what comes.
fn written_bytes(bytes: &[u8]) -> usize {
    const BLOCK: usize = 4096;
    static ZEROS: [u8; BLOCK] = [0; BLOCK];
    let blocks = bytes
        .chunks(BLOCK)
        .rposition(|block| block != &ZEROS[..block.len()]);
    blocks.map_or(0, |last| ((last + 1) * BLOCK).min(bytes.len()))
}

fn report(damage: &DamageList, segment: u64, offset: usize, bytes: &[u8], frames: u64) {
    let damage_found = Damage {
        segment,
        offset: offset as u64,
        bytes: bytes.len() as u64,
        frames,
    };
    damage.report(damage_found, bytes);
}
