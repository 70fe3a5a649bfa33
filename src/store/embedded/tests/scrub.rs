//! Rows that sled lost, made up or changed, and the scrub that finds them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tempfile::TempDir;

use super::super::tables::{Rows, Tables};
use super::{after_a_power_cut, open, small, told};
use crate::store::Store;
use crate::store::conformance::fixtures::{
    at, began, came, contact, conversation, group, message, seen,
};
use crate::store::conformance::{Story, everything};
use crate::store::embedded::{EmbeddedStore, Options};
use crate::store::memory::MemoryStore;

/// The keys of a kind, the first `limit` of them.
fn keys(tables: &Tables, kind: u8, limit: usize) -> Vec<Vec<u8>> {
    let rows = tables.rows_of_kind(kind, None, limit).unwrap();
    rows.into_iter().map(|(key, _)| key).collect()
}

fn lose(store: &EmbeddedStore, kinds: &[u8], each: usize) {
    let tables = store.model.tables().unwrap();
    let mut rows = Rows::default();
    for kind in kinds {
        let gone = keys(&tables, *kind, each);
        assert_eq!(gone.len(), each, "{}", char::from(*kind));
        gone.into_iter().for_each(|key| rows.remove(key));
    }
    tables.apply(rows).unwrap();
}

/// 1,300 messages of one customer's, told to both engines.
fn many(store: &dyn Store) -> MemoryStore {
    let memory = MemoryStore::new();
    let person = contact(1, &[(1, "ada")]);
    let talk = conversation(2, 1, 1, at(0));
    for engine in [store, &memory as &dyn Store] {
        let bodies = vec![seen(&person), began(&talk)];
        engine
            .commit(group(engine.head(), bodies, Vec::new()))
            .unwrap();
        for hundred in 0..13 {
            let bodies = (0..100).map(|place| {
                let id = 10 + hundred * 100 + place;
                came(&message(id, &talk, at(i64::try_from(id).unwrap())), &talk)
            });
            let bodies = bodies.collect();
            engine
                .commit(group(engine.head(), bodies, Vec::new()))
                .unwrap();
        }
    }
    memory
}

#[test]
fn f03_the_scrub_finds_every_row_that_sled_lost_and_heals_it() {
    let directory = TempDir::new().unwrap();
    let store = open(directory.path());
    let expected = everything(&many(&store));
    assert_eq!(store.scrub(0).unwrap().differed(), 0);
    store.snapshot().unwrap();
    let clean = store.scrub(0).unwrap();
    assert_eq!((clean.differed(), clean.healed), (0, false));
    assert!(clean.rows > 3 * 1_300, "{clean:?}");
    lose(&store, b"xmo", 1_000);
    // Their position stands, so a start in the same boot believes them.
    drop(store);
    let store = open(directory.path());
    let found = store.scrub(0).unwrap();
    assert_eq!(
        (found.missing, found.foreign, found.other, found.healed),
        (3_000, 0, 0, true)
    );
    assert_eq!(store.upkeep().scrub, Some(found));
    assert_eq!(everything(&store), expected);
    assert_eq!(store.scrub(0).unwrap().differed(), 0);
    drop(store);
    let store = EmbeddedStore::open(directory.path(), after_a_power_cut(), &|_| {}).unwrap();
    assert_eq!(everything(&store), expected);
}

#[test]
fn f03_the_scrub_finds_rows_of_every_kind_lost_made_up_and_changed() {
    let directory = TempDir::new().unwrap();
    let store = open(directory.path());
    Story::new(71).tell(150, &store);
    store.snapshot().unwrap();
    let expected = everything(&told(71, 150));
    for kind in *b"cmpsPoqtx" {
        let name = char::from(kind);
        let one = || {
            let tables = store.model.tables().unwrap();
            let key = keys(&tables, kind, 3).pop().unwrap();
            let value = tables.value(&key).unwrap().unwrap();
            (tables, key, value)
        };
        let (tables, key, _) = one();
        let mut rows = Rows::default();
        rows.remove(key);
        tables.apply(rows).unwrap();
        drop(tables);
        let found = store.scrub(0).unwrap();
        assert_eq!((found.missing, found.differed()), (1, 1), "{name} lost");
        let (tables, mut key, value) = one();
        let last = key.len() - 1;
        key[last] ^= 0x55;
        let mut rows = Rows::default();
        rows.put(key, value);
        tables.apply(rows).unwrap();
        drop(tables);
        let found = store.scrub(0).unwrap();
        assert_eq!((found.foreign, found.differed()), (1, 1), "{name} made up");
        let (tables, key, mut value) = one();
        let last = value.len() - 1;
        value[last] ^= 0x01;
        let mut rows = Rows::default();
        rows.put(key, value);
        tables.apply(rows).unwrap();
        drop(tables);
        let found = store.scrub(0).unwrap();
        assert_eq!((found.other, found.differed()), (1, 1), "{name} changed");
        assert!(found.healed);
        assert_eq!(everything(&store), expected, "{name}");
    }
}

#[test]
fn what_is_written_meanwhile_is_no_difference() {
    let directory = TempDir::new().unwrap();
    let options = Options {
        fold_bytes: 8 << 10,
        ..small()
    };
    let store = Arc::new(EmbeddedStore::open(directory.path(), options, &|_| {}).unwrap());
    let mut story = Story::new(72);
    story.tell(150, &*store);
    let done = Arc::new(AtomicBool::new(false));
    let scrubbing = {
        let (store, done) = (Arc::clone(&store), Arc::clone(&done));
        std::thread::spawn(move || {
            let mut reports = Vec::new();
            while !done.load(Ordering::SeqCst) || reports.is_empty() {
                reports.push(store.scrub(4_000).unwrap());
                store.snapshot().unwrap();
            }
            reports
        })
    };
    story.tell(400, &*store);
    done.store(true, Ordering::SeqCst);
    let reports = scrubbing.join().unwrap();
    assert!(
        reports.iter().all(|report| report.differed() == 0),
        "{reports:?}"
    );
    assert_eq!(everything(&*store), everything(&told(72, 550)));
}
