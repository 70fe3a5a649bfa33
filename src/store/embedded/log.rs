//! Reading the journal: the segments that are in it, the events after a number, and the groups after a frame.
//!
//! A sparse index in memory leads from an event's number to a place at most one frame or 32 KiB before it. It is made
//! while writing, and for older segments when they are first read.

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use deskbell_sdk::Time;

use super::damage::DamageList;
use super::frame::{FrameHeader, HEADER_BYTES, whole_frame};
use super::packing::unpack;
use super::scan::{Fence, FrameAt, Walk, walk};
use super::segment::{self, DATA_START, SegmentHeader};
use crate::store::{Found, Group, LogEvent, StoreError};

/// Bytes between two entries of the index.
const INDEX_STEP_BYTES: u64 = 32 << 10;

/// Events to places.
#[derive(Clone, Debug, Default)]
pub(super) struct SparseIndex {
    entries: Vec<(u64, u64)>,
}

impl SparseIndex {
    /// Takes a frame in, where it is far enough from the last one that was.
    pub(super) fn add(&mut self, first_seq: u64, offset: u64) {
        if self
            .entries
            .last()
            .is_none_or(|(_, last)| offset >= last + INDEX_STEP_BYTES)
        {
            self.entries.push((first_seq, offset));
        }
    }

    /// A place at or before the frame of event `seq`.
    fn place_before(&self, seq: u64) -> u64 {
        let behind = self
            .entries
            .partition_point(|(first_seq, _)| *first_seq <= seq);
        behind
            .checked_sub(1)
            .map_or(DATA_START, |place| self.entries[place].1)
    }
}

/// A segment of the journal, as readers know it.
#[derive(Clone, Debug)]
pub(super) struct Segment {
    /// Its header.
    pub(super) header: SegmentHeader,
    /// How far it is valid. It moves on while the segment is written.
    pub(super) valid: Fence,
    /// `None` until it is first read.
    pub(super) index: Option<SparseIndex>,
}

impl Segment {
    fn walk<'a>(&self, bytes: &'a [u8]) -> Walk<'a> {
        let SegmentHeader {
            number,
            run,
            first_frame,
            ..
        } = self.header;
        Walk {
            segment: number,
            run,
            bytes,
            first_frame,
            fence: Some(self.valid),
        }
    }
}

/// The journal as it is read. Retention drops segments from the front of the list: what is asked of it
/// ([`Log::oldest_seq`]) goes by the oldest segment that stands in it.
#[derive(Debug)]
pub(super) struct Log {
    directory: PathBuf,
    segments: RwLock<Vec<Segment>>,
    /// What is damaged.
    pub(super) damage: DamageList,
}

fn unreadable(error: &io::Error) -> StoreError {
    StoreError::Unreadable(format!("the journal: {error}"))
}

fn not_understood(segment: u64, frame: &FrameAt<'_>, why: &str) -> StoreError {
    StoreError::Unreadable(format!(
        "frame {} in segment {segment} of the journal is whole, but not understood ({why}): a newer Deskbell may have written it; run that one",
        frame.header.number
    ))
}

/// What a frame holds, unpacked.
pub(super) fn plain<'a>(segment: u64, frame: &FrameAt<'a>) -> Found<Cow<'a, [u8]>> {
    unpack(frame.payload).map_err(|why| not_understood(segment, frame, &why))
}

/// Decodes the group of a frame.
pub(super) fn decode(segment: u64, frame: &FrameAt<'_>) -> Found<Group> {
    rmp_serde::from_slice(&plain(segment, frame)?)
        .map_err(|error| not_understood(segment, frame, &error.to_string()))
}

impl Log {
    /// A journal with these segments, oldest first.
    pub(super) const fn new(
        directory: PathBuf,
        segments: Vec<Segment>,
        damage: DamageList,
    ) -> Self {
        Self {
            directory,
            segments: RwLock::new(segments),
            damage,
        }
    }

    pub(super) fn segments<T>(&self, read: impl FnOnce(&[Segment]) -> T) -> T {
        read(&self.segments.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn change_segments(&self, change: impl FnOnce(&mut Vec<Segment>)) {
        change(
            &mut self
                .segments
                .write()
                .unwrap_or_else(PoisonError::into_inner),
        );
    }

    /// A segment was begun.
    pub(super) fn begin_segment(&self, header: SegmentHeader) {
        let valid = Fence {
            frame: header.first_frame - 1,
            end: DATA_START,
        };
        self.change_segments(|segments| {
            segments.push(Segment {
                header,
                valid,
                index: Some(SparseIndex::default()),
            })
        });
    }

    /// A frame was made durable in the newest segment.
    pub(super) fn frame_written(&self, frame: u64, first_seq: u64, offset: u64, end: u64) {
        self.change_segments(|segments| {
            if let Some(last) = segments.last_mut() {
                last.valid = Fence { frame, end };
                if let Some(index) = &mut last.index {
                    index.add(first_seq, offset);
                }
            }
        });
    }

    /// The first event that the oldest segment has or will have.
    pub(super) fn oldest_seq(&self) -> u64 {
        self.segments(|segments| {
            segments
                .first()
                .map_or(1, |segment| segment.header.first_seq)
        })
    }

    /// The first frame that the oldest segment has or will have.
    pub(super) fn first_frame(&self) -> u64 {
        self.segments(|segments| {
            segments
                .first()
                .map_or(1, |segment| segment.header.first_frame)
        })
    }

    /// The segments that are no longer written, the oldest first.
    pub(super) fn sealed(&self) -> Vec<Segment> {
        self.segments(|segments| {
            let sealed = segments.len().saturating_sub(1);
            segments[..sealed].to_vec()
        })
    }

    /// The numbers of all segments, the oldest first.
    pub(super) fn numbers(&self) -> Vec<u64> {
        self.segments(|segments| {
            let numbers = segments.iter().map(|segment| segment.header.number);
            numbers.collect()
        })
    }

    /// When the segment that follows frame `after` was begun, and the bytes of all frames behind it; `None` where
    /// there is no such frame.
    pub(super) fn behind(&self, after: u64) -> Option<(Time, u64)> {
        self.segments(|segments| {
            let behind = || {
                segments
                    .iter()
                    .filter(|segment| segment.valid.frame > after && segment.valid.end > DATA_START)
            };
            let since = behind().next()?.header.created_at;
            let bytes = behind().map(|segment| segment.valid.end - DATA_START).sum();
            Some((since, bytes))
        })
    }

    /// The oldest segments that go no further than frame `covered` and were full before `before`.
    pub(super) fn old_segments(&self, covered: u64, before: Time) -> Vec<u64> {
        self.segments(|segments| {
            segments
                .windows(2)
                .take_while(|pair| {
                    pair[0].valid.frame <= covered && pair[1].header.created_at <= before
                })
                .map(|pair| pair[0].header.number)
                .collect()
        })
    }

    /// Takes the oldest segment off the list, so that nobody begins to read it any more.
    pub(super) fn drop_oldest(&self, number: u64) {
        self.change_segments(|segments| {
            if segments.len() > 1 && segments[0].header.number == number {
                segments.remove(0);
            }
        });
    }

    /// The journal's directory.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Events after `after` up to `head`, at most `limit`.
    pub(super) fn events(&self, after: u64, head: u64, limit: usize) -> Found<Vec<LogEvent>> {
        let mut events = Vec::new();
        let wanted = after.saturating_add(1);
        let mut from = self.segments(|segments| {
            segments
                .partition_point(|segment| segment.header.first_seq <= wanted)
                .saturating_sub(1)
        });
        while events.len() < limit {
            let Some(segment) = self.segments(|segments| segments.get(from).cloned()) else {
                break;
            };
            if segment.header.first_seq > head {
                break;
            }
            self.events_of(&segment, wanted, head, limit, &mut events)?;
            from += 1;
        }
        Ok(events)
    }

    fn events_of(
        &self,
        segment: &Segment,
        wanted: u64,
        head: u64,
        limit: usize,
        events: &mut Vec<LogEvent>,
    ) -> Found<()> {
        let path = segment::path_of(&self.directory, segment.header.number);
        let mut at = match &segment.index {
            Some(index) => index.place_before(wanted),
            None => self.index_segment(segment)?.place_before(wanted),
        };
        let file = File::open(&path).map_err(|error| unreadable(&error))?;
        while at < segment.valid.end && events.len() < limit {
            let Some(bytes) = read_frame(&file, at, segment.valid.end, segment.header.run)
                .map_err(|e| unreadable(&e))?
            else {
                return self.events_past_damage(segment, at, wanted, head, limit, events);
            };
            let Some((header, payload)) = whole_frame(&bytes, segment.header.run) else {
                return self.events_past_damage(segment, at, wanted, head, limit, events);
            };
            if header.next_seq() > wanted && header.events > 0 {
                let group = decode(
                    segment.header.number,
                    &FrameAt {
                        header,
                        offset: at,
                        payload,
                    },
                )?;
                take_events(group, wanted, head, limit, events);
            }
            at += header.frame_bytes();
        }
        Ok(())
    }

    /// The slow way, for a segment that is damaged behind `from`.
    fn events_past_damage(
        &self,
        segment: &Segment,
        from: u64,
        wanted: u64,
        head: u64,
        limit: usize,
        events: &mut Vec<LogEvent>,
    ) -> Found<()> {
        let after = events.last().map_or(wanted, |event| event.seq + 1);
        tracing::warn!(
            segment = segment.header.number,
            offset = from,
            "reading events past a damaged frame"
        );
        // From the beginning, so that the damage is reported with the number of frames it took.
        self.walk_segment(segment, |frame| {
            if frame.header.next_seq() > after && frame.header.events > 0 && events.len() < limit {
                take_events(
                    decode(segment.header.number, &frame)?,
                    after,
                    head,
                    limit,
                    events,
                );
            }
            Ok(())
        })
    }

    fn index_segment(&self, segment: &Segment) -> Found<SparseIndex> {
        let mut index = SparseIndex::default();
        self.walk_segment(segment, |frame| {
            index.add(frame.header.first_seq, frame.offset);
            Ok(())
        })?;
        let number = segment.header.number;
        self.change_segments(|segments| {
            let place = segments
                .iter_mut()
                .find(|segment| segment.header.number == number);
            if let Some(place) = place.filter(|place| place.index.is_none()) {
                place.index = Some(index.clone());
            }
        });
        Ok(index)
    }

    /// Shows every whole frame of a segment to `visit`; what is damaged is reported.
    pub(super) fn walk_segment(
        &self,
        segment: &Segment,
        visit: impl FnMut(FrameAt<'_>) -> Found<()>,
    ) -> Found<()> {
        let path = segment::path_of(&self.directory, segment.header.number);
        let bytes = segment::read_bytes(&path, Some(segment.valid.end))
            .map_err(|error| unreadable(&error))?;
        walk(segment.walk(&bytes), &self.damage, visit)?;
        Ok(())
    }

    /// Reads every frame, so that what is damaged is reported.
    pub(super) fn check(&self) -> Found<()> {
        let segments = self.segments(<[Segment]>::to_vec);
        segments
            .iter()
            .try_for_each(|segment| self.walk_segment(segment, |_| Ok(())))
    }

    /// Shows every group whose frame is numbered above `after`, up to `up_to`, to `visit`, with its frame's number and
    /// the event that follows it.
    pub(super) fn replay(
        &self,
        after: u64,
        up_to: u64,
        mut visit: impl FnMut(Replayed) -> Found<()>,
    ) -> Found<()> {
        let segments = self.segments(<[Segment]>::to_vec);
        for segment in segments
            .iter()
            .filter(|segment| segment.valid.frame > after && segment.header.first_frame <= up_to)
        {
            self.walk_segment(segment, |frame| {
                if frame.header.number <= after || frame.header.number > up_to {
                    return Ok(());
                }
                let group = decode(segment.header.number, &frame)?;
                visit(Replayed {
                    frame: frame.header.number,
                    next_seq: frame.header.next_seq(),
                    group,
                })
            })?;
        }
        Ok(())
    }
}

/// A group that is read again.
#[derive(Debug)]
pub(super) struct Replayed {
    /// Its frame's number.
    pub(super) frame: u64,
    /// The number of the event that follows it.
    pub(super) next_seq: u64,
    /// The group.
    pub(super) group: Group,
}

fn take_events(group: Group, wanted: u64, head: u64, limit: usize, events: &mut Vec<LogEvent>) {
    let room = limit.saturating_sub(events.len());
    events.extend(
        group
            .events
            .into_iter()
            .filter(|event| event.seq >= wanted && event.seq <= head)
            .take(room),
    );
}

/// The bytes of the frame at `at`; `None` where no frame of this run begins there.
fn read_frame(file: &File, at: u64, end: u64, run: u64) -> io::Result<Option<Vec<u8>>> {
    let mut header_bytes = [0; HEADER_BYTES];
    if at + HEADER_BYTES as u64 > end || !read_fully(file, &mut header_bytes, at)? {
        return Ok(None);
    }
    let header =
        FrameHeader::read(&header_bytes, run).filter(|header| at + header.frame_bytes() <= end);
    let Some(header) = header else {
        return Ok(None);
    };
    let mut bytes = vec![0; usize::try_from(header.frame_bytes()).unwrap_or_default()];
    Ok(read_fully(file, &mut bytes, at)?.then_some(bytes))
}

/// Fills the buffer; `false` where the file is shorter.
fn read_fully(file: &File, buffer: &mut [u8], at: u64) -> io::Result<bool> {
    match file.read_exact_at(buffer, at) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}
