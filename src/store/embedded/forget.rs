//! Forgetting somebody in everything that the store has written: the second half of an erasure. The first is a group
//! that removes the rows; this removes what is left of them in older snapshots, segments, copies of damage, and in
//! the files of sled.
//!
//! It may be called again after a crash at any point, and does the same once more. A frame of which something is taken
//! out keeps its number, its place and its length, so that fences and offsets stay true.

use std::fs::File;
use std::path::Path;

use super::EmbeddedStore;
use super::damage::DamageList;
use super::frame::FrameBuffer;
use super::log::{Segment, decode, plain};
use super::scan::FrameAt;
use super::segment;
use super::tables::encoded;
use crate::store::needle::{Finder, Needle};
use crate::store::upkeep::Forgotten;
use crate::store::{EventBody, Found, Group, StoreError};

fn not_forgotten(error: &std::io::Error) -> StoreError {
    StoreError::NotWritten(format!("not everything could be forgotten: {error}"))
}

impl EmbeddedStore {
    pub(super) fn forget_everywhere(&self, needles: &[Needle]) -> Found<Forgotten> {
        let finder = Finder::new(needles)?;
        let _none_else = self.one_at_a_time();
        let up_to = self.seal()?;
        // Two, each read back: they replace all older ones, and from here on nothing reads what is rewritten below.
        let snapshots = &self.truth.snapshots;
        for _ in 0..2 {
            self.write_snapshot(up_to)?;
        }
        for damaged in snapshots.damaged()? {
            std::fs::remove_file(damaged).map_err(|error| not_forgotten(&error))?;
        }
        let mut forgotten = Forgotten::default();
        for segment in self.log.sealed() {
            self.truth.go_on()?;
            if segment.valid.frame <= up_to.frame {
                self.forget_in(&segment, &finder, &mut forgotten)?;
            }
        }
        self.remove_unlisted_segments()?;
        let damage: &DamageList = &self.log.damage;
        damage.forget().map_err(|error| not_forgotten(&error))?;
        self.recent.clear();
        self.home.remove_asides();
        self.remake()?;
        tracing::info!(
            steps = forgotten.steps,
            events = forgotten.events,
            deliveries = forgotten.deliveries,
            "what was to be forgotten is in no file of the store any more"
        );
        Ok(forgotten)
    }

    fn forget_in(&self, segment: &Segment, finder: &Finder, counted: &mut Forgotten) -> Found<()> {
        let number = segment.header.number;
        let path = segment::path_of(self.log.directory(), number);
        let end = segment.valid.end;
        let mut bytes =
            segment::read_bytes(&path, Some(end)).map_err(|error| not_forgotten(&error))?;
        let mut patches = Vec::new();
        // Behind the last whole frame so far.
        let mut behind = usize::try_from(segment::DATA_START).unwrap_or(usize::MAX);
        let mut damaged = Vec::new();
        self.log.walk_segment(segment, |frame| {
            let at = usize::try_from(frame.offset).unwrap_or(usize::MAX);
            damaged.push(behind..at);
            behind = at + usize::try_from(frame.header.frame_bytes()).unwrap_or(usize::MAX);
            if let Some(patch) = without(&frame, number, segment.header.run, finder, counted)? {
                patches.push((at, patch));
            }
            Ok(())
        })?;
        damaged.push(behind..bytes.len());
        let mut changed = !patches.is_empty();
        for (at, patch) in patches {
            let place = at..at + patch.len();
            if let Some(place) = bytes.get_mut(place) {
                place.copy_from_slice(&patch);
            }
        }
        // What is packed and damaged cannot be shown to be free of it.
        for place in damaged {
            if let Some(place) = bytes.get_mut(place)
                && place.iter().any(|byte| *byte != 0)
            {
                place.fill(0);
                changed = true;
            }
        }
        let stands = std::fs::metadata(&path).map_err(|error| not_forgotten(&error))?;
        // What stands behind the end was never acknowledged; it may be of anybody.
        if changed || stands.len() > end {
            self.replace(&path, &bytes)
                .map_err(|error| not_forgotten(&error))?;
        }
        Ok(())
    }

    /// Puts a whole new file in the place of one.
    fn replace(&self, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
        let half = path.with_extension(segment::HALF);
        let write = || {
            let file = File::create(&half)?;
            self.truth.disk.write_at(&file, bytes, 0)?;
            self.truth.disk.sync_data(&file)?;
            std::fs::rename(&half, path)
        };
        write().inspect_err(|_| drop(std::fs::remove_file(&half)))?;
        self.truth.disk.sync_names(self.log.directory())
    }

    /// Removes segments that no fence names: only what was refused is in them.
    fn remove_unlisted_segments(&self) -> Found<()> {
        let directory = self.log.directory();
        let listed = self.log.numbers();
        let newest = listed.last().copied().unwrap_or(0);
        let standing = segment::numbers_in(directory).map_err(|error| not_forgotten(&error))?;
        for number in standing {
            if number < newest && !listed.contains(&number) {
                std::fs::remove_file(segment::path_of(directory, number))
                    .map_err(|error| not_forgotten(&error))?;
            }
        }
        Ok(())
    }
}

/// The frame without what names somebody; `None` where nothing of it does.
fn without(
    frame: &FrameAt<'_>,
    segment: u64,
    run: u64,
    finder: &Finder,
    counted: &mut Forgotten,
) -> Found<Option<Vec<u8>>> {
    let mut group = decode(segment, frame)?;
    let before = group.clone();
    let mut failed = None;
    let mut keeps = |encoded: Found<Vec<u8>>| match encoded {
        Ok(bytes) => !finder.is_in(&bytes),
        Err(error) => {
            failed = Some(error);
            true
        }
    };
    if finder.is_in(&plain(segment, frame)?) {
        // That a contact went says nothing but its id here: who was away is to hear of it.
        group.events.retain(|event| {
            matches!(event.body, EventBody::ContactDeleted { .. }) || keeps(encoded(event))
        });
        group.puts.retain(|put| keeps(encoded(put)));
        group.removed.retain(|removed| keeps(encoded(removed)));
    }
    // What cannot be unpacked cannot be shown to be free of it.
    group
        .raws
        .retain(|raw| raw.body().is_some_and(|body| !finder.is_in(&body)));
    if let Some(error) = failed {
        return Err(error);
    }
    if group == before {
        return Ok(None);
    }
    let gone = |before: usize, now: usize| (before - now) as u64;
    counted.steps += 1;
    counted.events += gone(before.events.len(), group.events.len());
    counted.puts += gone(before.puts.len(), group.puts.len());
    counted.deliveries += gone(before.raws.len(), group.raws.len());
    padded(group, frame, run).map(Some)
}

/// The group as a frame of the same length. Where this daemon writes the rest longer than the one before did, that is
/// given up: what it did is in the snapshots.
fn padded(group: Group, frame: &FrameAt<'_>, run: u64) -> Found<Vec<u8>> {
    let last_id = group.last_id;
    let without_raws = Group {
        raws: Vec::new(),
        ..group.clone()
    };
    let nothing = Group {
        last_id,
        ..Group::default()
    };
    let header = frame.header;
    let mut buffer = FrameBuffer::default();
    for group in [group, without_raws, nothing] {
        buffer.fill(&group).map_err(StoreError::NotWritten)?;
        if buffer.pad_to(header.frame_bytes()) {
            let events = usize::try_from(header.events).unwrap_or(usize::MAX);
            return Ok(buffer
                .seal(run, header.number, header.first_seq, events)
                .to_vec());
        }
    }
    Err(StoreError::NotWritten(format!(
        "step {} cannot be written shorter",
        header.number
    )))
}
