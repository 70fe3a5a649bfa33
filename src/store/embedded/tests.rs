//! The embedded engine: what every engine must do, and what only this one must.

mod faults;
mod forget;
mod journal;
mod kill;
mod opening;
mod rebuild;
mod scrub;
mod snapshots;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;
use tempfile::TempDir;

use super::{EmbeddedStore, Options, Progress};
use crate::clock::Clock;
use crate::store::conformance::{Story, everything, run};
use crate::store::memory::MemoryStore;
use crate::store::{Read, Store};

/// Small segments, so that a short story fills several; no reserve.
fn small() -> Options {
    Options {
        cache_bytes: 16 << 20,
        segment_bytes: 32 << 10,
        reserve_bytes: 0,
        min_free_bytes: 0,
        boot_id: Some("this boot".to_owned()),
        ..Options::new(Clock::system())
    }
}

fn after_a_power_cut() -> Options {
    Options {
        boot_id: Some("another boot".to_owned()),
        ..small()
    }
}

fn open(directory: &Path) -> EmbeddedStore {
    EmbeddedStore::open(directory, small(), &|_| {}).unwrap()
}

/// The memory store that was told the same.
fn told(seed: u64, groups: usize) -> MemoryStore {
    let memory = MemoryStore::new();
    Story::new(seed).tell(groups, &memory);
    memory
}

#[test]
fn the_embedded_store_conforms() {
    let parent = TempDir::new().unwrap();
    let count = AtomicU64::new(0);
    run(|| {
        Box::new(open(
            &parent
                .path()
                .join(count.fetch_add(1, Ordering::SeqCst).to_string()),
        ))
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_engines_read_alike_whatever_happens(seed in any::<u64>(), parts in prop::collection::vec((1..40_usize, 0..4_u8), 1..4)) {
        let directory = TempDir::new().unwrap();
        let (mut story, mut again) = (Story::new(seed), Story::new(seed));
        let memory = MemoryStore::new();
        let mut store = open(directory.path());
        for (groups, then) in parts {
            story.tell(groups, &store);
            again.tell(groups, &memory);
            prop_assert_eq!(everything(&store), everything(&memory));
            let options = match then {
                0 => continue,
                1 => { store.close().unwrap(); after_a_power_cut() }
                2 => small(),
                _ => after_a_power_cut(),
            };
            drop(store);
            store = EmbeddedStore::open(directory.path(), Options { boot_id: small().boot_id, ..options }, &|_| {}).unwrap();
            prop_assert_eq!(everything(&store), everything(&memory));
        }
    }
}

#[test]
fn f10_readers_go_on_while_groups_are_committed() {
    let directory = TempDir::new().unwrap();
    let store = Arc::new(open(directory.path()));
    let mut story = Story::new(3);
    story.tell(40, &*store);
    let done = Arc::new(AtomicU64::new(0));
    let readers: Vec<_> = (0..3)
        .map(|_| {
            let (store, done) = (Arc::clone(&store), Arc::clone(&done));
            std::thread::spawn(move || {
                let mut seen = 0;
                while done.load(Ordering::SeqCst) == 0 {
                    let head = store.head();
                    assert!(head >= seen, "the head goes back");
                    seen = head;
                    let events = store.events(0, usize::MAX).unwrap();
                    let numbered: Vec<_> = events.iter().map(|event| event.seq).collect();
                    assert!(numbered.len() as u64 >= head, "an event is missing");
                    assert!(
                        numbered.iter().copied().eq(1..=numbered.len() as u64),
                        "events have gaps"
                    );
                }
            })
        })
        .collect();
    story.tell(300, &*store);
    done.store(1, Ordering::SeqCst);
    readers
        .into_iter()
        .for_each(|reader| reader.join().unwrap());
    assert_eq!(everything(&*store), everything(&told(3, 340)));
}

/// What a store says while it opens.
fn opened_saying(directory: &Path, options: Options) -> (EmbeddedStore, Vec<Progress>) {
    let said = std::sync::Mutex::new(Vec::new());
    let store = EmbeddedStore::open(directory, options, &|progress| {
        said.lock().unwrap().push(progress)
    })
    .unwrap();
    (store, said.into_inner().unwrap())
}
