//! Snapshots: the same desk again, whole or not at all.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use deskbell_sdk::Time;
use tempfile::TempDir;

use super::super::segment::numbers_in;
use super::super::snapshot::{SnapshotError, SnapshotReader};
use super::super::{EmbeddedStore, OpenError, Options};
use super::{after_a_power_cut, open, small, told};
use crate::clock::Clock;
use crate::store::conformance::{Story, everything, everything_but_the_log};
use crate::store::{Read, Store};

/// Sorts in so little memory that every fold writes to files.
fn tight() -> Options {
    Options {
        fold_bytes: 4 << 10,
        ..small()
    }
}

fn after_a_power_cut_tight() -> Options {
    Options {
        fold_bytes: 4 << 10,
        ..after_a_power_cut()
    }
}

pub(super) fn files_in(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    files.sort();
    files
}

fn snapshots_in(store: &Path) -> Vec<PathBuf> {
    files_in(&store.join("snapshots"))
}

/// A directory whose tables come from nothing but a snapshot and what follows it.
#[test]
fn f03_tables_are_made_from_the_newest_snapshot_and_what_follows_it() {
    for (before, after) in [(0, 30), (40, 0), (70, 60), (1, 1)] {
        let directory = TempDir::new().unwrap();
        let store = EmbeddedStore::open(directory.path(), tight(), &|_| {}).unwrap();
        let mut story = Story::new(51);
        story.tell(before, &store);
        let made = store.snapshot().unwrap();
        assert_eq!(made.seq, store.head());
        assert_eq!(made.frame, before as u64);
        assert_eq!(fs::metadata(&made.path).unwrap().len(), made.bytes);
        assert_eq!(store.upkeep().snapshot, Some(made.clone()));
        assert_eq!(store.upkeep().log_bytes_behind, 0);
        story.tell(after, &store);
        assert_eq!(store.upkeep().log_bytes_behind > 0, after > 0);
        let expected = everything(&told(51, before + after));
        assert_eq!(everything(&store), expected);
        drop(store);
        // Only from the snapshot can come what the journal has no more of.
        for number in numbers_in(&directory.path().join("journal")).unwrap() {
            let path = super::super::segment::path_of(&directory.path().join("journal"), number);
            let header = super::super::segment::SegmentHeader::read(&path).unwrap();
            if let super::super::segment::HeaderFound::Header(header) = header
                && header.first_frame <= made.frame
            {
                fs::remove_file(path).unwrap();
            }
        }
        let store =
            EmbeddedStore::open(directory.path(), after_a_power_cut_tight(), &|_| {}).unwrap();
        assert_eq!(store.damage(), [], "covered segments are not missed");
        assert_eq!(
            everything_but_the_log(&store),
            everything_but_the_log(&told(51, before + after)),
            "{before} and {after}"
        );
        assert_eq!(store.oldest(), made.seq + 1);
        assert_eq!(store.head(), story.head());
        // And it goes on, to the next snapshot over this one.
        story.tell(25, &store);
        store.snapshot().unwrap();
        drop(store);
        let store = EmbeddedStore::open(directory.path(), small(), &|_| {}).unwrap();
        assert_eq!(
            everything_but_the_log(&store),
            everything_but_the_log(&told(51, before + after + 25))
        );
        drop(store);
        assert!(
            files_in(directory.path())
                .iter()
                .all(|path| !path.to_string_lossy().contains("fold-")),
            "temporary files are left"
        );
    }
}

#[test]
fn nothing_new_needs_no_new_snapshot_and_two_are_kept() {
    let directory = TempDir::new().unwrap();
    let store = open(directory.path());
    let mut story = Story::new(52);
    let mut made = Vec::new();
    for _ in 0..4 {
        story.tell(10, &store);
        made.push(store.snapshot().unwrap());
        assert_eq!(store.snapshot().unwrap(), made[made.len() - 1]);
    }
    let kept: Vec<_> = made[2..].iter().map(|made| made.path.clone()).collect();
    assert_eq!(snapshots_in(directory.path()), kept);
    for made in &made[2..] {
        let (header, counts) = SnapshotReader::verify(&made.path, |_| true).unwrap();
        assert_eq!((header.seq, counts.rows), (made.seq, made.rows));
    }
}

#[test]
fn f05_flips_in_a_snapshot_are_found_and_never_served() {
    let template = TempDir::new().unwrap();
    let store = open(template.path());
    let mut story = Story::new(53);
    story.tell(40, &store);
    store.snapshot().unwrap();
    story.tell(30, &store);
    let newest = store.snapshot().unwrap();
    story.tell(10, &store);
    drop(store);
    let whole = fs::read(&newest.path).unwrap();
    // The reader alone, at every byte: whatever it says, it is an error.
    let spoilt = template.path().join("spoilt");
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (at % 8);
        fs::write(&spoilt, &flipped).unwrap();
        assert!(
            SnapshotReader::verify(&spoilt, |_| true).is_err(),
            "byte {at}"
        );
    }
    for cut in (0..whole.len()).step_by(61) {
        fs::write(&spoilt, &whole[..cut]).unwrap();
        let cut_off = SnapshotReader::verify(&spoilt, |_| true);
        assert!(
            matches!(cut_off, Err(SnapshotError::Damaged(_))),
            "cut at {cut}"
        );
    }
    fs::write(&spoilt, [whole.as_slice(), b"more"].concat()).unwrap();
    assert!(SnapshotReader::verify(&spoilt, |_| true).is_err());
    fs::remove_file(&spoilt).unwrap();
    // And the store: the older one and the journal give the same.
    let expected = everything(&told(53, 80));
    for at in (0..whole.len()).step_by(whole.len() / 9) {
        let directory = TempDir::new().unwrap();
        super::opening::copy(template.path(), directory.path());
        let path = directory
            .path()
            .join("snapshots")
            .join(newest.path.file_name().unwrap());
        let mut flipped = whole.clone();
        flipped[at] ^= 0x40;
        fs::write(&path, flipped).unwrap();
        let opened = EmbeddedStore::open(directory.path(), after_a_power_cut(), &|_| {});
        let Ok(store) = opened else {
            // What the format's number was flipped to is not known here; nothing is served.
            assert!(matches!(opened, Err(OpenError::Newer { .. })));
            continue;
        };
        assert_eq!(everything(&store), expected, "byte {at}");
        assert!(!path.exists(), "byte {at}: it is set aside");
        assert!(path.with_extension("damaged").exists());
        let again = store.snapshot().unwrap();
        assert_ne!(again.path, path, "no name is given twice");
    }
}

#[test]
fn f42_what_no_snapshot_covers_is_refused_and_what_a_newer_daemon_wrote_too() {
    let directory = TempDir::new().unwrap();
    let clock = Clock::standing_at(Time::from_millis(1_000));
    let options = || Options {
        clock: clock.clone(),
        ..small()
    };
    let store = EmbeddedStore::open(directory.path(), options(), &|_| {}).unwrap();
    let mut story = Story::new(54);
    story.tell(60, &store);
    store.snapshot().unwrap();
    story.tell(60, &store);
    store.snapshot().unwrap();
    clock.turn_to(Time::from_millis(1_000_000));
    assert!(store.drop_old(Duration::from_secs(1)).unwrap() > 0);
    drop(store);
    let paths = snapshots_in(directory.path());
    let hidden = TempDir::new().unwrap();
    for path in &paths {
        fs::rename(path, hidden.path().join(path.file_name().unwrap())).unwrap();
    }
    let refused = EmbeddedStore::open(directory.path(), after_a_power_cut(), &|_| {}).unwrap_err();
    assert!(
        refused.to_string().contains("no whole snapshot holds them"),
        "{refused}"
    );
    for path in &paths {
        fs::rename(hidden.path().join(path.file_name().unwrap()), path).unwrap();
    }
    let whole = fs::read(&paths[1]).unwrap();
    let mut newer = whole.clone();
    newer[11] = 9;
    let crc = crc32fast::hash(&newer[..44]);
    newer[44..48].copy_from_slice(&crc.to_be_bytes());
    fs::write(&paths[1], newer).unwrap();
    let refused = EmbeddedStore::open(directory.path(), small(), &|_| {}).unwrap_err();
    assert!(
        matches!(refused, OpenError::Newer { found: 9, known: 1 }),
        "{refused}"
    );
    fs::write(&paths[1], whole).unwrap();
    let store = EmbeddedStore::open(directory.path(), small(), &|_| {}).unwrap();
    assert_eq!(
        everything_but_the_log(&store),
        everything_but_the_log(&told(54, 120))
    );
}

#[test]
fn old_segments_go_once_two_snapshots_hold_them() {
    let directory = TempDir::new().unwrap();
    let clock = Clock::standing_at(Time::from_millis(0));
    let options = || Options {
        clock: clock.clone(),
        ..small()
    };
    let store = EmbeddedStore::open(directory.path(), options(), &|_| {}).unwrap();
    let mut story = Story::new(55);
    let day = Duration::from_secs(24 * 3600);
    let mut heads = Vec::new();
    let hour = 3_600_000;
    for days in 1..=6_i64 {
        clock.turn_to(Time::from_millis(days * 24 * hour - 12 * hour));
        story.tell(60, &store);
        clock.turn_to(Time::from_millis(days * 24 * hour));
        heads.push(store.snapshot().unwrap().seq);
        if days == 1 {
            assert_eq!(
                store.drop_old(Duration::ZERO).unwrap(),
                0,
                "one is not enough"
            );
        }
    }
    assert_eq!(store.oldest(), 1);
    // Three days back: everything that was sealed at the end of the third day.
    assert!(store.drop_old(3 * day).unwrap() > 0);
    assert_eq!(store.oldest(), heads[2] + 1);
    assert_eq!(store.drop_old(3 * day).unwrap(), 0);
    let first = store.events(0, 1).unwrap();
    assert_eq!(
        first[0].seq,
        heads[2] + 1,
        "it begins at the oldest that is kept"
    );
    // Whatever is asked for, what only one snapshot holds stays.
    store.drop_old(Duration::ZERO).unwrap();
    assert_eq!(store.oldest(), heads[4] + 1);
    drop(store);
    let files = numbers_in(&directory.path().join("journal")).unwrap();
    let store = EmbeddedStore::open(
        directory.path(),
        Options {
            clock: clock.clone(),
            ..after_a_power_cut()
        },
        &|_| {},
    )
    .unwrap();
    assert_eq!(store.damage(), []);
    assert_eq!(store.oldest(), heads[4] + 1);
    assert_eq!(
        everything_but_the_log(&store),
        everything_but_the_log(&told(55, 360))
    );
    // The newest snapshot is damaged: the older one and the segments behind it are still there.
    drop(store);
    let newest = snapshots_in(directory.path()).pop().unwrap();
    fs::write(&newest, b"nothing").unwrap();
    fs::remove_dir_all(directory.path().join("tables")).unwrap();
    let store = EmbeddedStore::open(directory.path(), options(), &|_| {}).unwrap();
    assert_eq!(
        everything_but_the_log(&store),
        everything_but_the_log(&told(55, 360))
    );
    assert!(files.len() >= numbers_in(&directory.path().join("journal")).unwrap().len() - 1);
}

#[test]
fn k07_a_store_begins_from_a_snapshot_above_all_numbers() {
    let (directory, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let store = open(directory.path());
    let mut story = Story::new(56);
    story.tell(90, &store);
    let made = store.snapshot().unwrap();
    story.tell(30, &store);
    let place = other.path().join("store");
    let begun = EmbeddedStore::begin_from(&place, &made.path, 1_000_000, small(), &|_| {}).unwrap();
    assert_eq!(begun.head(), made.seq + 1_000_000);
    assert_eq!(begun.oldest(), begun.head() + 1);
    assert_eq!(begun.last_id(), made.last_id);
    assert_eq!(begun.events(0, 10).unwrap(), []);
    assert_eq!(
        everything_but_the_log(&begun),
        everything_but_the_log(&told(56, 90))
    );
    // It goes on from there, and a snapshot of it remembers where it is even before its first event.
    let again = begun.snapshot().unwrap();
    assert_eq!(again.seq, begun.head());
    let mut group = story.next_group();
    while group.events.is_empty() {
        group = story.next_group();
    }
    for (place, event) in group.events.iter_mut().enumerate() {
        event.seq = begun.head() + 1 + place as u64;
    }
    begun.commit(group.clone()).unwrap();
    assert_eq!(begun.events(0, 100).unwrap(), group.events);
    let head = begun.head();
    drop(begun);
    for options in [small(), after_a_power_cut()] {
        let begun = EmbeddedStore::open(&place, options, &|_| {}).unwrap();
        assert_eq!((begun.head(), begun.damage()), (head, vec![]));
        assert_eq!(begun.events(0, 100).unwrap(), group.events);
    }
    // Only into an empty directory, and only whole.
    let refused = EmbeddedStore::begin_from(&place, &made.path, 1, small(), &|_| {}).unwrap_err();
    assert!(matches!(refused, OpenError::Foreign(_)), "{refused}");
    let mut bytes = fs::read(&made.path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let spoilt = other.path().join("spoilt");
    fs::write(&spoilt, bytes).unwrap();
    let third = other.path().join("third");
    EmbeddedStore::begin_from(&third, &spoilt, 1, small(), &|_| {}).unwrap_err();
    assert!(EmbeddedStore::open(&third, small(), &|_| {}).is_ok_and(|store| store.head() == 0));
}
