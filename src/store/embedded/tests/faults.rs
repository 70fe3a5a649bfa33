//! A disk that refuses, at every call in turn.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tempfile::TempDir;

use super::super::disk::{Disk, RealDisk};
use super::super::{EmbeddedStore, Options};
use super::{after_a_power_cut, small, told};
use crate::store::conformance::{Story, everything};
use crate::store::{Read, Scope, Store, StoreError};

/// Calls are counted from 1; those from `fails_from` on fail, `failures` of them.
#[derive(Debug, Default)]
struct BadDisk {
    calls: AtomicU64,
    fails_from: AtomicU64,
    failures: AtomicU64,
    available: AtomicU64,
}

impl BadDisk {
    fn with(fails_from: u64, failures: u64) -> Arc<Self> {
        let disk = Self::default();
        disk.fails_from.store(fails_from, Ordering::SeqCst);
        disk.failures.store(failures, Ordering::SeqCst);
        disk.available.store(u64::MAX, Ordering::SeqCst);
        Arc::new(disk)
    }

    fn fails(&self) -> bool {
        let call = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        let from = self.fails_from.load(Ordering::SeqCst);
        from > 0 && call >= from && call - from < self.failures.load(Ordering::SeqCst)
    }
}

fn broken() -> io::Error {
    io::Error::other("the disk is made to fail")
}

impl Disk for BadDisk {
    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        if self.fails() {
            // As a disk that fails in the middle does.
            RealDisk.write_at(file, &bytes[..bytes.len() / 2], offset)?;
            return Err(broken());
        }
        RealDisk.write_at(file, bytes, offset)
    }

    fn sync_data(&self, file: &File) -> io::Result<()> {
        // What was written stays in the page cache: it must not come back as if it had been taken.
        if self.fails() {
            Err(broken())
        } else {
            RealDisk.sync_data(file)
        }
    }

    fn sync_names(&self, directory: &Path) -> io::Result<()> {
        if self.fails() {
            Err(broken())
        } else {
            RealDisk.sync_names(directory)
        }
    }

    fn allocate(&self, file: &File, bytes: u64) -> io::Result<()> {
        if self.fails() {
            Err(io::Error::from(io::ErrorKind::StorageFull))
        } else {
            RealDisk.allocate(file, bytes)
        }
    }

    fn available_bytes(&self, _path: &Path) -> io::Result<u64> {
        Ok(self.available.load(Ordering::SeqCst))
    }
}

fn on(disk: &Arc<BadDisk>, options: Options) -> Options {
    let disk: Arc<dyn Disk> = Arc::<BadDisk>::clone(disk);
    Options { disk, ..options }
}

const GROUPS: usize = 30;

/// Tells a story on a disk that fails, and looks at what is there after a power cut. Returns how many calls failed.
fn tell_on(disk: &Arc<BadDisk>) -> usize {
    let directory = TempDir::new().unwrap();
    // The first calls begin the store; a start that fails is a start that can be made again.
    let options = Options {
        segment_bytes: 16 << 10,
        ..on(disk, small())
    };
    let store = EmbeddedStore::open(directory.path(), options.clone(), &|_| {})
        .or_else(|_| EmbeddedStore::open(directory.path(), options, &|_| {}))
        .unwrap();
    let mut story = Story::new(21);
    let mut refusals = 0;
    for told_now in 1..=GROUPS {
        let refused = story.tell_one(&store);
        refusals += refused.len();
        assert!(
            refused
                .iter()
                .all(|error| matches!(error, StoreError::NotWritten(_))),
            "{refused:?}"
        );
        if !refused.is_empty() {
            assert_eq!(everything(&store), everything(&told(21, told_now)));
        }
    }
    drop(store);
    let store = EmbeddedStore::open(directory.path(), after_a_power_cut(), &|_| {}).unwrap();
    assert_eq!(everything(&store), everything(&told(21, GROUPS)));
    assert_eq!(store.damage(), []);
    refusals
}

#[test]
fn f06_f07_each_call_of_the_disk_may_fail_once() {
    let counting = BadDisk::with(0, 0);
    assert_eq!(tell_on(&counting), 0);
    let calls = counting.calls.load(Ordering::SeqCst);
    assert!(calls > 60, "{calls}");
    let mut refusals = 0;
    for call in 1..=calls {
        refusals += tell_on(&BadDisk::with(call, 1));
    }
    assert!(refusals > GROUPS, "only {refusals} commits were refused");
}

#[test]
fn f06_a_disk_that_goes_on_failing_is_tried_again() {
    for call in [10, 21, 34] {
        let refusals = tell_on(&BadDisk::with(call, 5));
        assert!(refusals > 1, "{refusals}");
    }
}

#[test]
fn f06_what_failed_does_not_come_back_when_the_daemon_dies_at_once() {
    for (call, then) in (5..25).flat_map(|call| [(call, small()), (call, after_a_power_cut())]) {
        let directory = TempDir::new().unwrap();
        let disk = BadDisk::with(0, 0);
        let store = EmbeddedStore::open(directory.path(), on(&disk, small()), &|_| {}).unwrap();
        disk.failures.store(1, Ordering::SeqCst);
        disk.fails_from
            .store(disk.calls.load(Ordering::SeqCst) + call, Ordering::SeqCst);
        let mut story = Story::new(22);
        let mut taken = 0;
        // The call that fails may be one that makes a segment ahead: then no group is refused.
        while disk.calls.load(Ordering::SeqCst) <= disk.fails_from.load(Ordering::SeqCst)
            && store.commit(story.next_group()).is_ok()
        {
            taken += 1;
        }
        drop(store);
        let store = EmbeddedStore::open(directory.path(), then, &|_| {}).unwrap();
        assert_eq!(
            everything(&store),
            everything(&told(22, taken)),
            "call {call}"
        );
    }
}

#[test]
fn f08_on_a_full_disk_reads_go_on_and_writes_do_once_there_is_room() {
    let directory = TempDir::new().unwrap();
    let disk = BadDisk::with(0, 0);
    let options = || Options {
        reserve_bytes: 1 << 20,
        min_free_bytes: 8 << 20,
        ..on(&disk, small())
    };
    let store = EmbeddedStore::open(directory.path(), options(), &|_| {}).unwrap();
    let mut story = Story::new(23);
    story.tell(20, &store);
    assert!(directory.path().join("reserve").exists());
    disk.available.store(5 << 20, Ordering::SeqCst);
    std::thread::sleep(std::time::Duration::from_millis(250));
    let group = story.next_group();
    let refused = store.commit(group.clone()).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the store cannot write: the disk is full: 5 MiB are free, 8 MiB must stay free; make room"
    );
    assert_eq!(everything(&store), everything(&told(23, 20)));
    drop(store);
    // It opens while it is full, and gives the reserve up for that.
    disk.available.store(0, Ordering::SeqCst);
    let store = EmbeddedStore::open(directory.path(), options(), &|_| {}).unwrap();
    assert!(!directory.path().join("reserve").exists());
    assert!(store.commit(group.clone()).is_err());
    assert!(
        store
            .feed(
                &Scope::whole_desk(),
                &crate::store::FeedPage {
                    limit: 5,
                    ..Default::default()
                }
            )
            .is_ok()
    );
    disk.available.store(1 << 30, Ordering::SeqCst);
    std::thread::sleep(std::time::Duration::from_millis(250));
    store.commit(group).unwrap();
    assert!(directory.path().join("reserve").exists());
    assert_eq!(everything(&store), everything(&told(23, 21)));
}

/// How many calls of the disk `work` makes on a copy of a store.
pub(super) fn calls_of(
    template: &TempDir,
    work: impl Fn(&EmbeddedStore) -> Result<(), StoreError>,
) -> u64 {
    let directory = TempDir::new().unwrap();
    super::opening::copy(template.path(), directory.path());
    let disk = BadDisk::with(0, 0);
    let store = EmbeddedStore::open(directory.path(), on(&disk, small()), &|_| {}).unwrap();
    let before = disk.calls.load(Ordering::SeqCst);
    work(&store).unwrap();
    disk.calls.load(Ordering::SeqCst) - before
}

/// Does `work` on a store whose disk fails at one of its calls, and drops it.
pub(super) fn with_a_failure(
    directory: &Path,
    call: u64,
    work: impl Fn(&EmbeddedStore) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let disk = BadDisk::with(0, 1);
    let store = EmbeddedStore::open(directory, on(&disk, small()), &|_| {}).unwrap();
    disk.fails_from
        .store(disk.calls.load(Ordering::SeqCst) + call, Ordering::SeqCst);
    work(&store)
}

#[test]
fn f06_a_snapshot_that_fails_at_any_call_loses_nothing() {
    let template = TempDir::new().unwrap();
    let mut story = Story::new(24);
    let store = EmbeddedStore::open(template.path(), small(), &|_| {}).unwrap();
    story.tell(60, &store);
    store.snapshot().unwrap();
    story.tell(30, &store);
    drop(store);
    let take = |store: &EmbeddedStore| store.snapshot().map(drop);
    let calls = calls_of(&template, take);
    assert!(calls > 6, "{calls}");
    let mut refused = 0;
    for call in 1..=calls {
        let directory = TempDir::new().unwrap();
        super::opening::copy(template.path(), directory.path());
        let old = super::snapshots::files_in(&directory.path().join("snapshots"));
        let failed = with_a_failure(directory.path(), call, take);
        refused += u64::from(failed.is_err());
        let now = super::snapshots::files_in(&directory.path().join("snapshots"));
        assert!(old.iter().all(|path| now.contains(path)), "call {call}");
        for path in &now {
            super::super::SnapshotReader::verify(path, |_| true).unwrap();
        }
        for options in [small(), after_a_power_cut()] {
            let store = EmbeddedStore::open(directory.path(), options, &|_| {}).unwrap();
            assert_eq!(everything(&store), everything(&told(24, 90)), "call {call}");
            assert_eq!(store.damage(), []);
            store.snapshot().unwrap();
        }
    }
    assert!(
        refused + 4 >= calls,
        "only {refused} of {calls} failures were told"
    );
}
