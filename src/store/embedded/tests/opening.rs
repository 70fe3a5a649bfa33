//! Opening again: after a clean stop, a kill, a power cut; and what is refused.

use std::fs;

use tempfile::TempDir;

use super::super::model::Home;
use super::super::{EmbeddedStore, OpenError, Options, Progress, Writer};
use super::{after_a_power_cut, open, opened_saying, small, told};
use crate::store::conformance::{Story, everything};
use crate::store::memory::MemoryStore;
use crate::store::{ChannelNo, Group, RawDelivery, RawPlace, Read, Store, StoreError};

fn rebuilt(said: &[Progress]) -> bool {
    said.iter()
        .any(|progress| matches!(progress, Progress::ReadingJournal { done: 0, .. }))
}

/// What is done to a closed store's directory.
type Spoil = fn(&std::path::Path);

pub(super) fn copy(from: &std::path::Path, to: &std::path::Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()));
        } else {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

#[test]
fn f03_tables_are_believed_only_after_a_clean_stop_or_in_the_same_boot() {
    let expected = everything(&told(11, 120));
    for (closes, same_boot, rebuilds) in [
        (true, true, false),
        (true, false, false),
        (false, true, false),
        (false, false, true),
    ] {
        let directory = TempDir::new().unwrap();
        let store = open(directory.path());
        Story::new(11).tell(120, &store);
        if closes {
            store.close().unwrap();
        }
        drop(store);
        let options = if same_boot {
            small()
        } else {
            after_a_power_cut()
        };
        let (store, said) = opened_saying(directory.path(), options);
        assert_eq!(
            rebuilt(&said),
            rebuilds,
            "closed {closes}, same boot {same_boot}: {said:?}"
        );
        assert_eq!(everything(&store), expected);
        assert_eq!(store.damage(), []);
    }
}

#[test]
fn f03_a_clean_stop_vouches_only_once() {
    let directory = TempDir::new().unwrap();
    let store = open(directory.path());
    Story::new(1).tell(5, &store);
    store.close().unwrap();
    drop(store);
    // Opened in another boot, and then the power went.
    drop(EmbeddedStore::open(directory.path(), after_a_power_cut(), &|_| {}).unwrap());
    let (store, said) = opened_saying(directory.path(), small());
    assert!(rebuilt(&said), "{said:?}");
    assert_eq!(everything(&store), everything(&told(1, 5)));
}

#[test]
fn f42_tables_that_are_gone_old_or_damaged_are_made_again() {
    let expected = everything(&told(12, 80));
    let spoil: [(&str, Spoil); 4] = [
        ("gone", |store| {
            fs::remove_dir_all(store.join("tables")).unwrap()
        }),
        ("older", |store| {
            fs::remove_dir_all(store.join("tables")).unwrap();
            copy(
                &store.parent().unwrap().join("older"),
                &store.join("tables"),
            );
        }),
        ("zeroed", |store| {
            let db = store.join("tables/db");
            fs::write(
                &db,
                vec![0; usize::try_from(fs::metadata(&db).unwrap().len()).unwrap()],
            )
            .unwrap();
        }),
        ("half a snapshot", |store| {
            fs::write(
                store.join("tables/snap.0000000000FFFFFF.generating"),
                b"half",
            )
            .unwrap()
        }),
    ];
    for (what, spoil) in spoil {
        let parent = TempDir::new().unwrap();
        let directory = parent.path().join("store");
        let store = open(&directory);
        let mut story = Story::new(12);
        story.tell(30, &store);
        store.close().unwrap();
        drop(store);
        copy(&directory.join("tables"), &parent.path().join("older"));
        let store = open(&directory);
        story.tell(50, &store);
        store.close().unwrap();
        drop(store);
        spoil(&directory);
        let store = open(&directory);
        assert_eq!(everything(&store), expected, "{what}");
        story.tell(3, &store);
        assert_eq!(everything(&store), everything(&told(12, 83)), "{what}");
    }
}

#[test]
fn f05_flips_in_the_tables_are_healed_or_harmless() {
    let template = TempDir::new().unwrap();
    let store = open(template.path());
    Story::new(13).tell(60, &store);
    store.close().unwrap();
    drop(store);
    let db = fs::read(template.path().join("tables/db")).unwrap();
    let expected = everything(&told(13, 61));
    let used = db.iter().rposition(|byte| *byte != 0).unwrap();
    for case in 0..12 {
        let spoilt = TempDir::new().unwrap();
        copy(template.path(), spoilt.path());
        let mut bytes = db.clone();
        bytes[used * case / 12] ^= 0x10;
        fs::write(spoilt.path().join("tables/db"), bytes).unwrap();
        // Opening, or the first commit, finds it where it shows at all.
        let store = open(spoilt.path());
        let mut story = Story::new(13);
        (0..60).for_each(|_| drop(story.next_group()));
        story.tell_one(&store);
        let looked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| everything(&store)));
        if looked.is_err() {
            store.repair().unwrap();
        }
        assert_eq!(everything(&store), expected, "case {case}");
    }
}

#[test]
fn f42_tables_that_fail_while_running_are_made_again_by_the_next_commit() {
    let directory = TempDir::new().unwrap();
    let store = open(directory.path());
    let mut story = Story::new(14);
    story.tell(50, &store);
    store.model.tables().unwrap().distrust();
    story.tell(1, &store);
    assert_eq!(everything(&store), everything(&told(14, 51)));
    assert!(directory.path().join("tables.aside-1").exists());
    // And by the next start.
    store.model.tables().unwrap().distrust();
    drop(store);
    let (store, said) = opened_saying(directory.path(), small());
    assert!(rebuilt(&said), "{said:?}");
    assert_eq!(everything(&store), everything(&told(14, 51)));
    // Only one is kept.
    let asides = fs::read_dir(directory.path()).unwrap().flatten();
    let asides: Vec<_> = asides
        .map(|entry| entry.file_name())
        .filter(|name| name.to_string_lossy().contains("aside"))
        .collect();
    assert_eq!(asides.len(), 1, "{asides:?}");
    drop(store);
    assert!(
        !Home {
            directory: directory.path().to_owned(),
            cache_bytes: 0
        }
        .rebuild_is_asked_for()
    );
}

#[test]
fn f41_a_second_daemon_is_refused() {
    let directory = TempDir::new().unwrap();
    let store = open(directory.path());
    let refused = EmbeddedStore::open(directory.path(), small(), &|_| {}).unwrap_err();
    assert!(matches!(refused, OpenError::InUse), "{refused}");
    assert!(
        refused.to_string().contains("another Deskbell"),
        "{refused}"
    );
    drop(store);
    open(directory.path());
}

#[test]
fn a_store_of_format_1_is_read_and_goes_on_as_format_2() {
    #[derive(serde::Serialize)]
    struct Compressed(
        ChannelNo,
        deskbell_sdk::Time,
        #[serde(with = "serde_bytes")] Vec<u8>,
    );
    let directory = TempDir::new().unwrap();
    let memory = MemoryStore::new();
    let body = b"{\"text\":\"so so so so so so\"}";
    let old = Compressed(
        ChannelNo(1),
        deskbell_sdk::Time::default(),
        lz4_flex::compress_prepend_size(body),
    );
    let old: RawDelivery = rmp_serde::from_slice(&rmp_serde::to_vec(&old).unwrap()).unwrap();
    assert_eq!(&*old.body().unwrap(), body);
    let mut story = Story::new(1);
    {
        let store = open(directory.path());
        let mut writer = store.writer();
        for _ in 0..20 {
            let mut group = story.next_group();
            group.raws = vec![old.clone()];
            memory.commit(group.clone()).unwrap();
            let Writer {
                journal, buffer, ..
            } = &mut *writer;
            buffer.fill_unpacked(&group);
            journal.append(buffer, group.events.len()).unwrap();
        }
    }
    let format = directory.path().join("format");
    fs::write(&format, "deskbell store, format 1\n").unwrap();
    let store = open(directory.path());
    assert_eq!(
        fs::read_to_string(&format).unwrap(),
        "deskbell store, format 2\n"
    );
    let group = story.next_group();
    memory.commit(group.clone()).unwrap();
    store.commit(group).unwrap();
    store.close().unwrap();
    drop(store);
    for options in [small(), after_a_power_cut()] {
        let store = EmbeddedStore::open(directory.path(), options, &|_| {}).unwrap();
        assert_eq!(everything(&store), everything(&memory));
        let raws = store.raws(RawPlace::default(), 100).unwrap();
        assert_eq!(raws.len(), 21);
        assert_eq!(&*raws[3].1.body().unwrap(), body);
    }
}

#[test]
fn a_newer_store_a_foreign_directory_and_a_lost_journal_are_refused() {
    let refused = |change: fn(&std::path::Path)| {
        let directory = TempDir::new().unwrap();
        let store = open(directory.path());
        Story::new(1).tell(3, &store);
        store.close().unwrap();
        drop(store);
        change(directory.path());
        EmbeddedStore::open(directory.path(), small(), &|_| {})
            .unwrap_err()
            .to_string()
    };
    let newer =
        refused(|store| fs::write(store.join("format"), "deskbell store, format 3\n").unwrap());
    assert_eq!(
        newer,
        "made by a newer Deskbell (format 3); this one knows 2: run the newer version"
    );
    let unreadable = refused(|store| fs::write(store.join("format"), [0xff, 0x00]).unwrap());
    assert!(
        unreadable.contains("it says `deskbell store, format 2`"),
        "{unreadable}"
    );
    let no_format = refused(|store| fs::remove_file(store.join("format")).unwrap());
    assert!(no_format.contains("no file `format`"), "{no_format}");
    let no_journal = refused(|store| fs::remove_dir_all(store.join("journal")).unwrap());
    assert!(
        no_journal.contains("the journal's segments are gone"),
        "{no_journal}"
    );

    let foreign = TempDir::new().unwrap();
    fs::write(foreign.path().join("taxes.ods"), "1").unwrap();
    let refused = EmbeddedStore::open(foreign.path(), small(), &|_| {}).unwrap_err();
    assert!(matches!(&refused, OpenError::Foreign(_)), "{refused}");
    assert_eq!(
        fs::read_dir(foreign.path()).unwrap().count(),
        1,
        "something was written into it"
    );
}

#[test]
fn a_closed_store_takes_nothing_and_wrong_numbers_are_refused() {
    let directory = TempDir::new().unwrap();
    let store = open(directory.path());
    let mut story = Story::new(2);
    story.tell(10, &store);
    let mut wrong = story.next_group();
    while wrong.events.is_empty() {
        wrong = story.next_group();
    }
    wrong.events[0].seq += 1;
    assert!(matches!(
        store.commit(wrong),
        Err(StoreError::NotWritten(_))
    ));
    assert_eq!(everything(&store), everything(&told(2, 10)));
    store.close().unwrap();
    store.close().unwrap();
    let refused = store.commit(Group {
        last_id: u64::MAX,
        ..Group::default()
    });
    assert!(matches!(refused, Err(StoreError::NotWritten(_))));
    assert!(
        store
            .contacts(&crate::store::Scope::whole_desk(), None, 1)
            .is_err()
    );
}

#[test]
fn f08_the_reserve_is_made() {
    let directory = TempDir::new().unwrap();
    let options = Options {
        reserve_bytes: 1 << 20,
        ..small()
    };
    let store = EmbeddedStore::open(directory.path(), options, &|_| {}).unwrap();
    assert_eq!(
        fs::metadata(directory.path().join("reserve"))
            .unwrap()
            .len(),
        1 << 20
    );
    assert!(store.bytes_on_disk() > 1 << 20);
}
