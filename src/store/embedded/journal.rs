//! Writing the journal: the commit point. A group is durable when its frame is written and synced.
//!
//! What must never be: a file whose sync failed is written again; a segment is written after a later one may have
//! been begun; a number is given twice.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::disk::{Disk, make_directory};
use super::frame::FrameBuffer;
use super::log::Log;
use super::segment::{self, DATA_START, SegmentHeader};
use crate::clock::Clock;

/// How long a failed attempt to begin a segment stands before the next.
const RETRY_AFTER: Duration = Duration::from_millis(200);

/// How segments are made.
#[derive(Clone)]
pub(super) struct Making {
    /// The journal's directory.
    pub(super) directory: PathBuf,
    /// The disk.
    pub(super) disk: Arc<dyn Disk>,
    /// Bytes that a segment gets at once.
    pub(super) segment_bytes: u64,
    /// Tells when a segment was begun.
    pub(super) clock: Clock,
}

impl std::fmt::Debug for Making {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Making")
            .field("directory", &self.directory)
            .finish_non_exhaustive()
    }
}

impl Making {
    /// Begins the journal of a new store behind frame `frame` and event `seq` of another one.
    pub(super) fn begin_behind(&self, frame: u64, seq: u64) -> io::Result<()> {
        make_directory(&self.directory)?;
        let header = SegmentHeader {
            number: 1,
            run: rand::random(),
            previous: 0,
            previous_frame: frame,
            previous_end: 0,
            first_frame: frame + 1,
            first_seq: seq + 1,
            created_at: self.clock.now(),
        };
        let file = self.make_file(header.number, self.segment_bytes)?;
        self.disk.write_at(&file, &header.pages(), 0)?;
        self.disk.sync_data(&file)
    }

    /// Makes the file of a segment, with its room and its name durable.
    fn make_file(&self, number: u64, bytes: u64) -> io::Result<File> {
        let path = segment::path_of(&self.directory, number);
        let make = || {
            let file = File::options()
                .read(true)
                .write(true)
                .create_new(true)
                .open(&path)?;
            self.disk.allocate(&file, bytes)?;
            self.disk.sync_data(&file)?;
            self.disk.sync_names(&self.directory)?;
            Ok(file)
        };
        make().inspect_err(|_| remove_quietly(&path))
    }
}

fn remove_quietly(path: &Path) {
    if let Err(error) = std::fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(%error, "an unused segment could not be removed");
    }
}

/// Where the journal ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tail {
    /// The segment with the last valid frame; 0 where there is none.
    pub(super) segment: u64,
    /// The last valid frame in it, or before it.
    pub(super) frame: u64,
    /// Where that ends.
    pub(super) end: u64,
    /// The number of the next frame: `frame + 1`, or more where the frames between were lost.
    pub(super) next_frame: u64,
    /// The number of the next event.
    pub(super) next_seq: u64,
    /// The highest number that a segment ever had.
    pub(super) highest_segment: u64,
}

/// The file that is written.
#[derive(Debug)]
struct Active {
    file: File,
    run: u64,
    capacity: u64,
}

/// A segment that is being made for later.
#[derive(Debug)]
struct Ahead {
    number: u64,
    file: JoinHandle<io::Result<File>>,
}

/// The journal as it is written; the committing thread owns it.
#[derive(Debug)]
pub(super) struct Journal {
    making: Making,
    log: Arc<Log>,
    tail: Tail,
    /// `None`: nothing may be written before a new segment, whose fence shuts out what is in doubt, is durable.
    active: Option<Active>,
    ahead: Option<Ahead>,
    failed: Option<(Instant, String)>,
}

impl Journal {
    /// The journal behind `tail`. `last_segment` is its last file with its run, where it may be continued.
    pub(super) fn new(
        making: Making,
        log: Arc<Log>,
        tail: Tail,
        last_segment: Option<(File, u64)>,
    ) -> io::Result<Self> {
        let active = match last_segment {
            Some((file, run)) => Some(Active {
                capacity: file.metadata()?.len(),
                file,
                run,
            }),
            None => None,
        };
        Ok(Self {
            making,
            log,
            tail,
            active,
            ahead: None,
            failed: None,
        })
    }

    /// Begins a segment where none may be written; the error says why it cannot.
    pub(super) fn make_writable(&mut self) -> Result<(), String> {
        if self.active.is_some() {
            Ok(())
        } else {
            self.begin_segment(0)
        }
    }

    /// Where the journal ends.
    pub(super) const fn tail(&self) -> Tail {
        self.tail
    }

    /// Makes a group durable and gives its frame's number. An error says in words why it is not in; it is then shut
    /// out for good before anything else is written.
    pub(super) fn append(&mut self, frame: &mut FrameBuffer, events: usize) -> Result<u64, String> {
        let full = |active: &Active| {
            self.tail.end + frame.len() > active.capacity && self.tail.end > DATA_START
        };
        if self.active.as_ref().is_none_or(full) {
            self.begin_segment(frame.len())?;
        }
        let Tail {
            next_frame,
            next_seq,
            end,
            ..
        } = self.tail;
        let Some(active) = &mut self.active else {
            return Err("the journal has no segment to write to".to_owned());
        };
        let bytes = frame.seal(active.run, next_frame, next_seq, events);
        let disk = &self.making.disk;
        let behind = end + bytes.len() as u64;
        let written = disk
            .write_at(&active.file, bytes, end)
            .and_then(|()| disk.sync_data(&active.file));
        active.capacity = active.capacity.max(behind);
        let capacity = active.capacity;
        if let Err(error) = written {
            tracing::error!(%error, "the journal could not be written; going on in a new segment");
            self.active = None;
            // At once, so that what failed is shut out even if the daemon dies next.
            if let Err(error) = self.begin_segment(0) {
                tracing::error!(
                    error,
                    "no new segment could be begun; writes are refused until one can"
                );
            }
            return Err(format!("the disk refused: {error}"));
        }
        self.log.frame_written(next_frame, next_seq, end, behind);
        self.tail.frame = next_frame;
        self.tail.end = behind;
        self.tail.next_frame = next_frame + 1;
        self.tail.next_seq = next_seq + events as u64;
        if behind > capacity / 2 && self.ahead.is_none() {
            self.prepare_next();
        }
        Ok(next_frame)
    }

    /// Has the next segment made ahead, where it is not yet; whether it is there.
    pub(super) fn next_is_ready(&mut self) -> bool {
        if self.ahead.is_none() {
            self.prepare_next();
        }
        self.ahead
            .as_ref()
            .is_none_or(|ahead| ahead.file.is_finished())
    }

    /// Ends the segment that is written, where it has frames, and begins the next: what was written until now is
    /// changed no more. An error says in words why none could be begun.
    pub(super) fn seal(&mut self) -> Result<(), String> {
        if self.active.is_some() && self.tail.end <= DATA_START {
            return Ok(());
        }
        self.begin_segment(0)
    }

    /// Has the next segment made on another thread, so that no commit waits for it.
    fn prepare_next(&mut self) {
        let number = self.tail.highest_segment + 1;
        let making = self.making.clone();
        let make = move || making.make_file(number, making.segment_bytes);
        match std::thread::Builder::new()
            .name("journal-ahead".to_owned())
            .spawn(make)
        {
            Ok(file) => {
                self.tail.highest_segment = number;
                self.ahead = Some(Ahead { number, file });
            }
            Err(error) => tracing::warn!(%error, "the next segment will be made when it is needed"),
        }
    }

    fn begin_segment(&mut self, frame_bytes: u64) -> Result<(), String> {
        // From here on the old segment is closed, whatever happens: a later recovery may find the new fence.
        let old = self.active.take();
        if let Some((failed_at, why)) = &self.failed
            && failed_at.elapsed() < RETRY_AFTER
        {
            return Err(why.clone());
        }
        match self.try_begin_segment(frame_bytes) {
            Ok(old_end) => {
                self.failed = None;
                if let Some(old) = old
                    && let Err(error) = old.file.set_len(old_end)
                {
                    tracing::debug!(%error, "the unused end of a full segment stays allocated");
                }
                Ok(())
            }
            Err(error) => {
                let why = format!("no journal segment can be made: {error}");
                self.failed = Some((Instant::now(), why.clone()));
                Err(why)
            }
        }
    }

    /// Begins a segment and gives the end of the one before.
    fn try_begin_segment(&mut self, frame_bytes: u64) -> io::Result<u64> {
        let bytes = self.making.segment_bytes.max(DATA_START + frame_bytes);
        let (number, file) = self.next_file(bytes)?;
        let header = SegmentHeader {
            number,
            run: rand::random(),
            previous: self.tail.segment,
            previous_frame: self.tail.frame,
            previous_end: self.tail.end,
            first_frame: self.tail.next_frame,
            first_seq: self.tail.next_seq,
            created_at: self.making.clock.now(),
        };
        let disk = &self.making.disk;
        let begun = disk
            .allocate(&file, bytes)
            .and_then(|()| disk.write_at(&file, &header.pages(), 0))
            .and_then(|()| disk.sync_data(&file));
        if let Err(error) = begun {
            remove_quietly(&segment::path_of(&self.making.directory, number));
            return Err(error);
        }
        self.log.begin_segment(header);
        self.active = Some(Active {
            file,
            run: header.run,
            capacity: bytes,
        });
        let old_end = self.tail.end;
        self.tail = Tail {
            segment: number,
            frame: self.tail.next_frame - 1,
            end: DATA_START,
            ..self.tail
        };
        Ok(old_end)
    }

    fn next_file(&mut self, bytes: u64) -> io::Result<(u64, File)> {
        if let Some(ahead) = self.ahead.take()
            && let Ok(Ok(file)) = ahead.file.join()
        {
            return Ok((ahead.number, file));
        }
        self.tail.highest_segment += 1;
        let number = self.tail.highest_segment;
        Ok((number, self.making.make_file(number, bytes)?))
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        // Nothing must touch the directory any more once the store is gone.
        if let Some(ahead) = self.ahead.take() {
            drop(ahead.file.join());
        }
    }
}
