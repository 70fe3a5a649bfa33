//! Tables that are made again while they are read and written.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tempfile::TempDir;

use super::snapshots::files_in;
use super::{after_a_power_cut, open, opened_saying, small, told};
use crate::store::conformance::{Story, everything};
use crate::store::embedded::{EmbeddedStore, Options, Progress};
use crate::store::{FeedPage, InboxPage, Read, Scope, Store};

#[test]
fn tables_are_made_again_while_others_read_and_write() {
    let directory = TempDir::new().unwrap();
    let store = Arc::new(open(directory.path()));
    let mut story = Story::new(61);
    story.tell(80, &*store);
    store.snapshot().unwrap();
    story.tell(40, &*store);
    let done = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let (store, done) = (Arc::clone(&store), Arc::clone(&done));
            std::thread::spawn(move || {
                while !done.load(Ordering::SeqCst) {
                    let desk = Scope::whole_desk();
                    let page = InboxPage {
                        limit: 20,
                        ..InboxPage::default()
                    };
                    store.inbox(&desk, &page).unwrap();
                    let page = FeedPage {
                        limit: 20,
                        ..FeedPage::default()
                    };
                    store.feed(&desk, &page).unwrap();
                }
            })
        })
        .collect();
    let remaking = {
        let (store, done) = (Arc::clone(&store), Arc::clone(&done));
        std::thread::spawn(move || {
            let mut rounds = 0;
            while !done.load(Ordering::SeqCst) || rounds == 0 {
                store.remake_tables().unwrap();
                rounds += 1;
            }
            rounds
        })
    };
    story.tell(150, &*store);
    done.store(true, Ordering::SeqCst);
    readers
        .into_iter()
        .for_each(|reader| reader.join().unwrap());
    assert!(remaking.join().unwrap() > 0);
    assert_eq!(everything(&*store), everything(&told(61, 270)));
    // Nothing of the old ones is left, and the new ones are believed by the next starts.
    let tables: Vec<_> = files_in(directory.path())
        .into_iter()
        .filter(|path| path.is_dir() && path.to_string_lossy().contains("tables"))
        .collect();
    assert_eq!(tables.len(), 1, "{tables:?}");
    assert!(!tables[0].ends_with("tables"), "{tables:?}");
    drop(store);
    for options in [small(), after_a_power_cut()] {
        let (store, said) = opened_saying(directory.path(), options.clone());
        let rebuilt = said
            .iter()
            .any(|progress| matches!(progress, Progress::MakingTables { .. }));
        assert_eq!(rebuilt, options.boot_id == after_a_power_cut().boot_id);
        assert_eq!(everything(&store), everything(&told(61, 270)));
    }
}

#[test]
fn f42_tables_that_were_made_halfway_are_removed_by_the_next_start() {
    let directory = TempDir::new().unwrap();
    let store = open(directory.path());
    Story::new(62).tell(30, &store);
    drop(store);
    for half in ["tables-2", "fold-0"] {
        fs::create_dir(directory.path().join(half)).unwrap();
        fs::write(directory.path().join(half).join("db"), b"half").unwrap();
    }
    fs::create_dir(directory.path().join("snapshots")).unwrap();
    let half = directory.path().join("snapshots/0000000001.half");
    fs::write(&half, b"half").unwrap();
    let store = open(directory.path());
    assert_eq!(everything(&store), everything(&told(62, 30)));
    for half in ["tables-2", "fold-0", "snapshots/0000000001.half"] {
        assert!(!directory.path().join(half).exists(), "{half}");
    }
}

#[test]
fn a_long_start_says_how_far_it_is() {
    let directory = TempDir::new().unwrap();
    let store = open(directory.path());
    let mut story = Story::new(63);
    story.tell(300, &store);
    store.snapshot().unwrap();
    story.tell(300, &store);
    drop(store);
    let (store, said) = opened_saying(directory.path(), after_a_power_cut());
    let percents: Vec<_> = said.iter().filter_map(Progress::percent).collect();
    assert!(percents.is_sorted(), "{percents:?}");
    assert_eq!(percents.last(), Some(&100), "{said:?}");
    for part in [0, 5, 30] {
        assert!(
            percents
                .iter()
                .any(|percent| *percent >= part && *percent < 100),
            "{percents:?}"
        );
    }
    assert!(
        said.iter().any(
            |progress| matches!(progress, Progress::CheckingSnapshot { done, .. } if *done > 0)
        ),
        "{said:?}"
    );
    drop(store);
    // A closed store ends what takes long, and says so.
    let store = EmbeddedStore::open(directory.path(), Options { ..small() }, &|_| {}).unwrap();
    store.close().unwrap();
    assert!(store.remake_tables().is_err());
    assert!(store.snapshot().is_err());
}
