//! Finding the journal's segments and its end when the daemon starts.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs::File;
use std::sync::Arc;

use super::damage::{Damage, DamageList};
use super::disk::make_directory;
use super::frame::{FrameHeader, whole_frame};
use super::journal::{Journal, Making, Tail};
use super::log::{Log, Segment, SparseIndex};
use super::open_error::{OpenError, Trying};
use super::scan::{Fence, Walk, walk};
use super::segment::{self, DATA_START, FORMAT, HeaderFound, SegmentHeader};

/// What is known from elsewhere of how far the journal once went: numbers below these are taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// A frame that was durable.
    pub(super) frame: u64,
    /// Its last event.
    pub(super) seq: u64,
    /// A snapshot holds what the frames up to this one did: their segments may be gone.
    pub(super) covered: u64,
}

/// Where the journal ends, as its last segment says.
struct End {
    walked_end: u64,
    next_frame: u64,
    next_seq: u64,
    blank_behind: bool,
    last_frame: Option<(u64, FrameHeader)>,
    index: SparseIndex,
    bytes: Vec<u8>,
}

impl End {
    /// The last whole frame.
    const fn last(&self) -> u64 {
        self.next_frame.saturating_sub(1)
    }

    fn segment(&self, header: &SegmentHeader) -> Segment {
        let valid = Fence {
            frame: self.last(),
            end: self.walked_end,
        };
        Segment {
            header: *header,
            valid,
            index: Some(self.index.clone()),
        }
    }
}

/// An opened journal.
#[derive(Debug)]
pub(super) struct Opened {
    /// For reading.
    pub(super) log: Arc<Log>,
    /// For writing.
    pub(super) journal: Journal,
    /// The last frame that it has, or that was lost before it was opened.
    pub(super) valid_to: u64,
}

/// Opens the journal for reading and writing. `known` is what the clean-stop marker and the tables remember.
pub(super) fn open_journal(making: Making, known: Known) -> Result<Opened, OpenError> {
    let directory = &making.directory;
    make_directory(directory).trying("the journal's directory cannot be made")?;
    let damage = DamageList::load(directory.join("quarantine"));
    segment::remove_halves(directory).trying("half a segment cannot be removed")?;
    let numbers =
        segment::numbers_in(directory).trying("the journal's directory cannot be read")?;
    let highest_segment = numbers.last().copied().unwrap_or(0);
    let headers = read_headers(&making, &numbers, &damage)?;
    let chain = chain_of(&headers);
    let Some(last) = chain.last().copied() else {
        if known.frame > 0 {
            return Err(OpenError::Damaged(
                "the journal's segments are gone, and with them the messages: put the directory `journal` back, or restore a backup".to_owned(),
            ));
        }
        let tail = Tail {
            segment: 0,
            frame: 0,
            end: 0,
            next_frame: 1,
            next_seq: 1,
            highest_segment,
        };
        let log = Arc::new(Log::new(directory.clone(), Vec::new(), damage));
        let mut journal = Journal::new(making, Arc::clone(&log), tail, None)
            .trying("the journal cannot be opened")?;
        journal.make_writable().map_err(OpenError::NotBegun)?;
        return Ok(Opened {
            log,
            journal,
            valid_to: 0,
        });
    };

    let end = find_end(&making, &last, &damage)?;
    let lost_frames = (known.frame + 1).saturating_sub(end.next_frame);
    if lost_frames > 0 {
        let from = usize::try_from(end.walked_end).unwrap_or(usize::MAX);
        let behind = end.bytes.get(from..).unwrap_or_default();
        let content = behind
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |last| last + 1);
        let found = Damage {
            segment: last.number,
            offset: end.walked_end,
            bytes: content as u64,
            frames: lost_frames,
        };
        damage.report(found, &behind[..content]);
    } else if !end.blank_behind {
        tracing::debug!(
            segment = last.number,
            offset = end.walked_end,
            "the torn last step, never acknowledged, is dropped"
        );
    }
    let tail = Tail {
        segment: last.number,
        frame: end.last(),
        end: end.walked_end,
        next_frame: end.next_frame.max(known.frame + 1),
        next_seq: end.next_seq.max(known.seq + 1),
        highest_segment,
    };
    let file = make_end_durable(&making, &last, &end)?;
    // Where something else than room follows, it stays as it is, and a new segment is begun.
    let continued = (lost_frames == 0 && end.blank_behind).then_some((file, last.run));
    let segments = segments_of(&making, &chain, &end, known.covered, &damage)?;
    let log = Arc::new(Log::new(directory.clone(), segments, damage));
    let mut journal = Journal::new(making, Arc::clone(&log), tail, continued)
        .trying("the journal cannot be opened")?;
    if let Err(error) = journal.make_writable() {
        tracing::error!(
            error,
            "the store opens for reading; writes are refused until a segment can be made"
        );
    }
    Ok(Opened {
        log,
        journal,
        valid_to: end.last(),
    })
}

fn read_headers(
    making: &Making,
    numbers: &[u64],
    damage: &DamageList,
) -> Result<BTreeMap<u64, SegmentHeader>, OpenError> {
    let mut headers = BTreeMap::new();
    for &number in numbers {
        let path = segment::path_of(&making.directory, number);
        match SegmentHeader::read(&path).trying("a segment of the journal cannot be read")? {
            HeaderFound::Newer(found) => {
                return Err(OpenError::Newer {
                    found,
                    known: FORMAT,
                });
            }
            HeaderFound::Header(header) if header.number == number => {
                headers.insert(number, header);
            }
            HeaderFound::Header(header) => {
                tracing::error!(
                    number,
                    inside = header.number,
                    "a segment of the journal has another one's name"
                );
                damage.take_segment(&path);
            }
            HeaderFound::Blank | HeaderFound::Damaged => {
                let bytes = segment::read_bytes(&path, None)
                    .trying("a segment of the journal cannot be read")?;
                let behind = usize::try_from(DATA_START).unwrap_or(usize::MAX);
                let used = bytes
                    .get(behind..)
                    .is_some_and(|behind| behind.iter().any(|byte| *byte != 0));
                if used {
                    let lost = Damage {
                        segment: number,
                        offset: 0,
                        bytes: bytes.len() as u64,
                        frames: 0,
                    };
                    damage.report(lost, &[]);
                    damage.take_segment(&path);
                } else {
                    // Prepared and never used, or begun and never acknowledged.
                    std::fs::remove_file(&path).trying("an unused segment cannot be removed")?;
                }
            }
        }
    }
    let synced = making.disk.sync_names(&making.directory);
    synced.trying("the journal's directory cannot be synced")?;
    Ok(headers)
}

/// The segments that belong to the journal, oldest first: the newest, and those that its fence and theirs name.
fn chain_of(headers: &BTreeMap<u64, SegmentHeader>) -> Vec<SegmentHeader> {
    let mut chain = Vec::new();
    let mut next = headers.last_key_value().map(|(_, header)| *header);
    while let Some(header) = next {
        chain.push(header);
        // A fence only ever names an older segment; what does not is no fence of ours.
        let previous = header.previous.min(header.number.saturating_sub(1));
        // Where the one that is named is gone, the next older one goes before it.
        next = headers
            .range(..=previous)
            .next_back()
            .map(|(_, header)| *header);
        if previous == 0 {
            break;
        }
    }
    chain.reverse();
    chain
}

/// The segments with how far each is valid. Segments that should stand between them are reported as missing.
fn segments_of(
    making: &Making,
    chain: &[SegmentHeader],
    end: &End,
    covered: u64,
    damage: &DamageList,
) -> Result<Vec<Segment>, OpenError> {
    let mut segments = Vec::with_capacity(chain.len());
    let missing = |next: &SegmentHeader, last_kept: u64| {
        let frames = next.previous_frame.saturating_sub(last_kept);
        damage.report(
            Damage {
                segment: next.previous,
                offset: DATA_START,
                bytes: 0,
                frames,
            },
            &[],
        );
    };
    // Retention drops segments from the front, but none that no snapshot covers.
    if let Some(first) = chain
        .first()
        .filter(|first| first.previous > 0 && first.first_frame > covered + 1)
    {
        missing(first, covered);
    }
    for (place, header) in chain.iter().enumerate() {
        let segment = match chain.get(place + 1) {
            Some(next) if next.previous == header.number => {
                let valid = Fence {
                    frame: next.previous_frame,
                    end: next.previous_end,
                };
                Segment {
                    header: *header,
                    valid,
                    index: None,
                }
            }
            // Its own fence is gone with the next one: it ends behind its last whole frame.
            Some(next) => {
                let own_end = find_end(making, header, damage)?;
                missing(next, own_end.last());
                own_end.segment(header)
            }
            None => end.segment(header),
        };
        segments.push(segment);
    }
    Ok(segments)
}

fn find_end(making: &Making, last: &SegmentHeader, damage: &DamageList) -> Result<End, OpenError> {
    let path = segment::path_of(&making.directory, last.number);
    let bytes = segment::read_bytes(&path, None)
        .trying("the last segment of the journal cannot be read")?;
    let mut next_seq = last.first_seq;
    let mut last_frame = None;
    let mut index = SparseIndex::default();
    let whole = Walk {
        segment: last.number,
        run: last.run,
        bytes: &bytes,
        first_frame: last.first_frame,
        fence: None,
    };
    let walked = walk(whole, damage, |frame| {
        next_seq = next_seq.max(frame.header.next_seq());
        last_frame = Some((frame.offset, frame.header));
        index.add(frame.header.first_seq, frame.offset);
        Ok::<_, Infallible>(())
    });
    let Ok(walked) = walked;
    Ok(End {
        walked_end: walked.end,
        next_frame: walked.next_frame,
        next_seq,
        blank_behind: walked.blank_behind,
        last_frame,
        index,
        bytes,
    })
}

/// Makes sure that what is read at the end is on the disk and not only in the page cache: a daemon that was killed
/// may have written its last frame and not synced it. Writing the same bytes again marks the pages as unwritten, also
/// where a sync had failed and the kernel took them for clean.
fn make_end_durable(making: &Making, last: &SegmentHeader, end: &End) -> Result<File, OpenError> {
    let path = segment::path_of(&making.directory, last.number);
    let again = || {
        let file = File::options().read(true).write(true).open(&path)?;
        let at = |offset: u64| {
            end.bytes
                .get(usize::try_from(offset).unwrap_or(usize::MAX)..)
                .unwrap_or_default()
        };
        match end.last_frame.and_then(|(offset, header)| {
            Some((offset, header, whole_frame(at(offset), header.run)?))
        }) {
            Some((offset, header, _)) => {
                let length = usize::try_from(header.frame_bytes()).unwrap_or_default();
                making.disk.write_at(&file, &at(offset)[..length], offset)?;
            }
            None => making.disk.write_at(&file, &last.pages(), 0)?,
        }
        making.disk.sync_data(&file)?;
        Ok(file)
    };
    again().trying("the end of the journal cannot be made durable")
}
