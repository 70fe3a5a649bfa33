//! The journal alone: torn tails, damage, fences.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::Arc;

use deskbell_sdk::Time;
use tempfile::TempDir;

use super::super::damage::Damage;
use super::super::disk::{Disk, RealDisk};
use super::super::frame::{FrameBuffer, HEADER_BYTES};
use super::super::journal::Making;
use super::super::open_error::OpenError;
use super::super::recovery::{Known, Opened, open_journal};
use super::super::segment::{DATA_START, numbers_in, path_of};
use crate::clock::Clock;
use crate::store::conformance::Story;
use crate::store::{ChannelNo, Group, RawDelivery};

const SEGMENT_BYTES: u64 = 14 << 10;

/// A disk that syncs nothing: here files are opened thousands of times, and no power fails.
struct LazyDisk;

impl Disk for LazyDisk {
    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        RealDisk.write_at(file, bytes, offset)
    }

    fn sync_data(&self, _file: &File) -> io::Result<()> {
        Ok(())
    }

    fn sync_names(&self, _directory: &Path) -> io::Result<()> {
        Ok(())
    }

    fn allocate(&self, file: &File, bytes: u64) -> io::Result<()> {
        RealDisk.allocate(file, bytes)
    }

    fn available_bytes(&self, path: &Path) -> io::Result<u64> {
        RealDisk.available_bytes(path)
    }
}

fn open(directory: &Path, known: u64) -> Result<Opened, OpenError> {
    let making = Making {
        directory: directory.to_owned(),
        disk: Arc::new(LazyDisk),
        segment_bytes: SEGMENT_BYTES,
        clock: Clock::system(),
    };
    open_journal(
        making,
        Known {
            frame: known,
            ..Known::default()
        },
    )
}

/// Where a frame of the template stands.
#[derive(Clone, Copy, Debug)]
struct FramePlace {
    segment: u64,
    offset: u64,
    end: u64,
}

/// Writes `count` groups, and tells where each is.
fn write(directory: &Path, groups: &[Group]) -> Vec<FramePlace> {
    let mut opened = open(directory, 0).unwrap();
    let mut buffer = FrameBuffer::default();
    groups
        .iter()
        .map(|group| {
            buffer.fill(group).unwrap();
            opened
                .journal
                .append(&mut buffer, group.events.len())
                .unwrap();
            let tail = opened.journal.tail();
            FramePlace {
                segment: tail.segment,
                offset: tail.end - buffer.len(),
                end: tail.end,
            }
        })
        .collect()
}

fn groups(count: usize) -> Vec<Group> {
    let mut story = Story::new(99);
    (0..count).map(|_| story.next_group()).collect()
}

/// Frame numbers and groups as they are read back.
fn read_back(opened: &Opened) -> Vec<(u64, Group)> {
    let mut read = Vec::new();
    let replayed = opened.log.replay(0, u64::MAX, |replayed| {
        read.push((replayed.frame, replayed.group));
        Ok(())
    });
    replayed.unwrap();
    read
}

fn copy(from: &Path) -> TempDir {
    let to = TempDir::new().unwrap();
    for number in numbers_in(from).unwrap() {
        fs::copy(path_of(from, number), path_of(to.path(), number)).unwrap();
    }
    to
}

/// All but the frames numbered in `without`.
fn numbered(groups: &[Group], without: &[u64]) -> Vec<(u64, Group)> {
    (1..)
        .zip(groups.iter().cloned())
        .filter(|(number, _)| !without.contains(number))
        .collect()
}

#[test]
fn frames_are_read_back_over_segments_and_openings() {
    let directory = TempDir::new().unwrap();
    let all = groups(120);
    write(directory.path(), &all[..50]);
    let opened = open(directory.path(), 0).unwrap();
    assert_eq!(read_back(&opened), numbered(&all[..50], &[]));
    drop(opened);
    write(directory.path(), &all[50..]);
    let opened = open(directory.path(), 0).unwrap();
    assert_eq!(read_back(&opened), numbered(&all, &[]));
    assert_eq!(opened.log.damage.all(), []);
    assert!(numbers_in(directory.path()).unwrap().len() > 3);
    let tail = opened.journal.tail();
    let head = all
        .iter()
        .map(|group| group.events.len() as u64)
        .sum::<u64>();
    assert_eq!((tail.next_frame, tail.next_seq), (121, head + 1));
}

#[test]
fn a_frame_larger_than_a_segment_gets_one_of_its_own() {
    let directory = TempDir::new().unwrap();
    let mut all = groups(9);
    // Noise, which stays as long when it is packed.
    let noise: Vec<u8> = (0..25_000_u32)
        .flat_map(|number| crc32fast::hash(&number.to_be_bytes()).to_be_bytes())
        .collect();
    all[4].raws[0] = RawDelivery::new(ChannelNo(1), Time::default(), noise);
    write(directory.path(), &all);
    let opened = open(directory.path(), 0).unwrap();
    assert_eq!(read_back(&opened), numbered(&all, &[]));
    assert_eq!(opened.log.damage.all(), []);
}

#[test]
fn f04_a_torn_tail_at_every_byte_loses_only_what_was_torn() {
    let template = TempDir::new().unwrap();
    let all = groups(12);
    let places = write(template.path(), &all);
    let last_three = &places[9..];
    let segment = last_three[2].segment;
    let whole = fs::read(path_of(template.path(), segment)).unwrap();
    let in_last_segment: Vec<_> = last_three
        .iter()
        .filter(|place| place.segment == segment)
        .collect();
    let first_byte = in_last_segment[0].offset;
    assert!(
        in_last_segment.len() == 3,
        "the template has its last three frames in one segment"
    );
    for cut in first_byte..last_three[2].end {
        let kept = places
            .iter()
            .filter(|place| place.segment < segment || place.end <= cut)
            .count();
        for shorter in [false, true] {
            let directory = copy(template.path());
            let mut torn = whole[..usize::try_from(cut).unwrap()].to_vec();
            if !shorter {
                torn.resize(whole.len(), 0);
            }
            fs::write(path_of(directory.path(), segment), torn).unwrap();
            let opened = open(directory.path(), 0).unwrap();
            // What ends in zeros is whole also where zeros took the place of its end.
            let read = read_back(&opened);
            assert!(
                read.len() == kept || (!shorter && read.len() == kept + 1),
                "cut at {cut}: {} frames",
                read.len()
            );
            assert_eq!(read, numbered(&all[..read.len()], &[]), "cut at {cut}");
            assert_eq!(opened.log.damage.all(), [], "a torn tail is no damage");
            drop(opened);
            if cut % 16 == 0 {
                // Writing goes on, and nothing of the torn frame comes back.
                write(directory.path(), &all[read.len()..]);
                let opened = open(directory.path(), 0).unwrap();
                assert_eq!(
                    read_back(&opened),
                    numbered(&all, &[]),
                    "cut at {cut}, and went on"
                );
                assert_eq!(opened.log.damage.all(), []);
            }
        }
    }
}

#[test]
fn f05_a_flip_anywhere_loses_at_most_its_frame_and_is_reported() {
    let template = TempDir::new().unwrap();
    let all = groups(40);
    let places = write(template.path(), &all);
    let numbers = numbers_in(template.path()).unwrap();
    assert!(numbers.len() >= 3);
    let mut damaged = 0;
    for number in numbers {
        let whole = fs::read(path_of(template.path(), number)).unwrap();
        let used = whole
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |last| last + 1);
        for at in (0..used).step_by(97) {
            let directory = copy(template.path());
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << (at % 8);
            fs::write(path_of(directory.path(), number), flipped).unwrap();
            // The marker of a clean stop knows how many there were.
            let opened = open(directory.path(), 40).unwrap();
            let hit = (1..).zip(&places).find(|(_, place)| {
                place.segment == number && (place.offset..place.end).contains(&(at as u64))
            });
            let without: Vec<u64> = hit.iter().map(|(frame, _)| *frame).collect();
            assert_eq!(
                read_back(&opened),
                numbered(&all, &without),
                "segment {number}, byte {at}"
            );
            let reported: Vec<_> = opened
                .log
                .damage
                .all()
                .iter()
                .map(|damage| damage.frames)
                .collect();
            assert_eq!(
                reported,
                vec![1; without.len()],
                "segment {number}, byte {at}"
            );
            damaged += without.len();
            // No number is given twice.
            assert_eq!(opened.journal.tail().next_frame, 41);
        }
    }
    assert!(damaged > 100, "only {damaged} frames were hit");
}

#[test]
fn f05_a_zeroed_page_takes_only_the_frames_on_it() {
    let template = TempDir::new().unwrap();
    let all = groups(40);
    let places = write(template.path(), &all);
    for number in numbers_in(template.path()).unwrap() {
        let whole = fs::read(path_of(template.path(), number)).unwrap();
        for page in (0..whole.len()).step_by(4096) {
            let directory = copy(template.path());
            let mut zeroed = whole.clone();
            zeroed[page..(page + 4096).min(whole.len())].fill(0);
            fs::write(path_of(directory.path(), number), zeroed).unwrap();
            let opened = open(directory.path(), 40).unwrap();
            let on_page = |place: &FramePlace| {
                place.segment == number
                    && place.end > page as u64
                    && place.offset < page as u64 + 4096
            };
            let without: Vec<u64> = (1..)
                .zip(&places)
                .filter(|(_, place)| on_page(place))
                .map(|(n, _)| n)
                .collect();
            let read = read_back(&opened);
            let expected = numbered(&all, &without);
            assert!(
                expected.iter().all(|frame| read.contains(frame)),
                "segment {number}, page {page}: more is lost"
            );
            let lost = 40 - read.len() as u64;
            let reported: u64 = opened
                .log
                .damage
                .all()
                .iter()
                .map(|damage| damage.frames)
                .sum();
            assert_eq!(reported, lost, "segment {number}, page {page}");
        }
    }
}

#[test]
fn f05_damage_is_remembered_with_its_bytes() {
    let directory = TempDir::new().unwrap();
    let all = groups(10);
    let places = write(directory.path(), &all);
    let hit = places[3];
    let path = path_of(directory.path(), hit.segment);
    let mut bytes = fs::read(&path).unwrap();
    bytes[usize::try_from(hit.offset).unwrap() + HEADER_BYTES + 5] ^= 0x80;
    fs::write(&path, &bytes).unwrap();
    let opened = open(directory.path(), 10).unwrap();
    read_back(&opened);
    let damage = Damage {
        segment: hit.segment,
        offset: hit.offset,
        bytes: hit.end - hit.offset,
        frames: 1,
    };
    assert_eq!(opened.log.damage.all(), [damage]);
    let kept = fs::read_dir(directory.path().join("quarantine"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let (from, to) = (
        usize::try_from(hit.offset).unwrap(),
        usize::try_from(hit.end).unwrap(),
    );
    assert_eq!(fs::read(kept).unwrap(), bytes[from..to]);
    drop(opened);
    // The list outlives the daemon, and no find is told twice.
    let opened = open(directory.path(), 10).unwrap();
    assert_eq!(opened.log.damage.all(), [damage]);
    read_back(&opened);
    assert_eq!(opened.log.damage.all(), [damage]);
}

#[test]
fn f42_a_missing_segment_is_reported_and_the_rest_is_read() {
    let template = TempDir::new().unwrap();
    let all = groups(60);
    let places = write(template.path(), &all);
    let numbers = numbers_in(template.path()).unwrap();
    let used: Vec<_> = numbers
        .iter()
        .filter(|number| places.iter().any(|place| place.segment == **number))
        .collect();
    assert!(used.len() >= 4);
    for gone in used {
        let directory = copy(template.path());
        fs::remove_file(path_of(directory.path(), *gone)).unwrap();
        let opened = open(directory.path(), 60).unwrap();
        let without: Vec<u64> = (1..)
            .zip(&places)
            .filter(|(_, place)| place.segment == *gone)
            .map(|(frame, _)| frame)
            .collect();
        assert_eq!(
            read_back(&opened),
            numbered(&all, &without),
            "segment {gone}"
        );
        let reported: u64 = opened
            .log
            .damage
            .all()
            .iter()
            .map(|damage| damage.frames)
            .sum();
        assert_eq!(reported, without.len() as u64, "segment {gone}");
        assert_eq!(opened.journal.tail().next_frame, 61);
    }
}

#[test]
fn f05_a_message_that_looks_like_a_frame_is_none() {
    // Somebody who has read a frame off another desk sends its bytes in a message.
    let elsewhere = TempDir::new().unwrap();
    let all = groups(6);
    let foreign = write(elsewhere.path(), &all)[4];
    let bytes = fs::read(path_of(elsewhere.path(), foreign.segment)).unwrap();
    let frame =
        &bytes[usize::try_from(foreign.offset).unwrap()..usize::try_from(foreign.end).unwrap()];
    let mut crafted = all.clone();
    crafted[2].raws[0] = RawDelivery::new(ChannelNo(1), Time::default(), frame);
    let directory = TempDir::new().unwrap();
    let hit = write(directory.path(), &crafted)[2];
    let path = path_of(directory.path(), hit.segment);
    let mut bytes = fs::read(&path).unwrap();
    bytes[usize::try_from(hit.offset).unwrap() + HEADER_BYTES] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let opened = open(directory.path(), 6).unwrap();
    assert_eq!(read_back(&opened), numbered(&crafted, &[3]));
}

#[test]
fn a_journal_of_a_newer_format_is_refused() {
    let directory = TempDir::new().unwrap();
    write(directory.path(), &groups(2));
    let path = path_of(directory.path(), 1);
    let mut bytes = fs::read(&path).unwrap();
    for page in [0, usize::try_from(DATA_START / 2).unwrap()] {
        bytes[page + 11] = 2;
        let crc = crc32fast::hash(&bytes[page..page + 76]);
        bytes[page + 76..page + 80].copy_from_slice(&crc.to_be_bytes());
    }
    fs::write(&path, &bytes).unwrap();
    let refused = open(directory.path(), 0).unwrap_err();
    assert!(
        matches!(refused, OpenError::Newer { found: 2, known: 1 }),
        "{refused}"
    );
}
