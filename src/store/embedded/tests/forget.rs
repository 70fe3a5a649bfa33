//! Who is forgotten is in no file of the store any more, and everybody else is.

use std::borrow::Cow;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;

use super::super::fold::Truth;
use super::super::segment::{DATA_START, numbers_in, path_of};
use super::super::snapshot::SnapshotReader;
use super::super::sorter::remove_folder;
use super::snapshots::files_in;
use super::{after_a_power_cut, open, small};
use crate::id::{ContactId, MessageId};
use crate::store::conformance::everything_but_the_log;
use crate::store::conformance::fixtures::{
    at, began, came, contact, conversation, group, message, put, seen,
};
use crate::store::embedded::{EmbeddedStore, Options};
use crate::store::entry::external_key;
use crate::store::memory::MemoryStore;
use crate::store::{ChannelNo, EventBody, Group, Needle, RawDelivery, Read, Removed, Store, Table};

const CANARY: &str = "canary-4711";
/// Ids as the desk gives them: large.
const BASE: u64 = 0x0199_2222_0000_0000;

/// One person's ids.
#[derive(Clone, Copy)]
struct Person {
    no: u64,
}

impl Person {
    fn contact(self) -> u64 {
        BASE + self.no * 0x0001_0000 + 1
    }

    fn conversation(self) -> u64 {
        self.contact() + 1
    }

    fn message(self, place: u64) -> u64 {
        self.contact() + 16 + place
    }

    fn name(self) -> String {
        match self.no {
            7 => CANARY.to_owned(),
            no => format!("person-{no}"),
        }
    }

    /// What comes with the `place`th message.
    fn delivery(self, head: u64, place: u64) -> Group {
        let mut person = contact(self.contact(), &[(1, &self.name())]);
        person.name = Some(self.name());
        let mut talk = conversation(self.conversation(), 1, self.contact(), at(1));
        talk.contact_name = Some(self.name());
        let mut words = message(self.message(place), &talk, at(2));
        words.text = Some(self.name());
        words.external_id = Some(format!("{}.{place}", self.name()));
        let mut bodies = Vec::new();
        if place == 0 {
            bodies.extend([seen(&person), began(&talk)]);
        }
        bodies.push(came(&words, &talk));
        let key = external_key(ChannelNo(1), &self.name());
        let entry = put(Table::Cursors, &key, Some(self.name().as_bytes()));
        let mut group = group(head, bodies, vec![entry]);
        group.last_id = BASE * 2;
        let body = format!(
            "{{\"sender\":{{\"id\":\"{}\"}},\"text\":\"so so so\"}}",
            self.name()
        );
        group.raws = vec![RawDelivery::new(ChannelNo(1), at(2), body)];
        group
    }

    fn needles(self) -> Vec<Needle> {
        let key = external_key(ChannelNo(1), &self.name());
        let mut needles = vec![
            Needle::Id(self.contact()),
            Needle::Id(self.conversation()),
            Needle::Text(self.name()),
            Needle::Bytes(key[2..].to_vec()),
        ];
        needles.extend((0..MESSAGES).map(|place| Needle::Id(self.message(place))));
        needles.extend((0..MESSAGES).map(|place| {
            let key = external_key(ChannelNo(1), &format!("{}.{place}", self.name()));
            Needle::Bytes(key[2..].to_vec())
        }));
        needles
    }

    /// What the desk decides of an erasure.
    fn erasing(self, head: u64) -> Group {
        let deleted = EventBody::ContactDeleted {
            contact: ContactId(self.contact()),
            channels: vec![ChannelNo(1)],
        };
        let key = external_key(ChannelNo(1), &self.name());
        let mut group = group(head, vec![deleted], vec![put(Table::Cursors, &key, None)]);
        group.last_id = BASE * 2;
        group.removed = (0..MESSAGES)
            .map(|place| Removed::Message {
                channel: ChannelNo(1),
                id: MessageId(self.message(place)),
            })
            .chain([Removed::Conversation(crate::id::ConversationId(
                self.conversation(),
            ))])
            .collect();
        group
    }
}

const PEOPLE: u64 = 12;
const MESSAGES: u64 = 9;

/// The first messages come one by one, the others of several people in one step.
fn tell(store: &dyn Store) {
    for place in 0..MESSAGES {
        let at_once = if place < MESSAGES / 2 { 1 } else { 4 };
        for first in (0..PEOPLE).step_by(at_once) {
            let mut step = Person { no: first }.delivery(store.head(), place);
            for no in first + 1..first + at_once as u64 {
                let head = store.head() + step.events.len() as u64;
                let more = Person { no }.delivery(head, place);
                step.events.extend(more.events);
                step.puts.extend(more.puts);
                step.raws.extend(more.raws);
            }
            store.commit(step).unwrap();
        }
    }
}

/// The patterns of the canary that are found in some file below `directory`, packed or not.
fn hits(directory: &Path, patterns: &[Vec<u8>]) -> Vec<String> {
    let mut found = Vec::new();
    let look = |found: &mut Vec<String>, place: String, bytes: &[u8]| {
        for pattern in patterns {
            if bytes.windows(pattern.len()).any(|window| window == pattern) {
                found.push(format!("{place}: {pattern:02x?}"));
            }
        }
    };
    for path in files_in(directory) {
        if path.is_dir() {
            found.extend(hits(&path, patterns));
            continue;
        }
        look(
            &mut found,
            path.display().to_string(),
            &fs::read(&path).unwrap(),
        );
        if path
            .extension()
            .is_some_and(|extension| extension == "snapshot")
        {
            let mut reader = SnapshotReader::open(&path).unwrap();
            while let Some((key, value)) = reader.next_row().unwrap() {
                look(&mut found, format!("a row of {}", path.display()), &key);
                look(&mut found, format!("a row of {}", path.display()), &value);
            }
        }
    }
    found
}

/// The same in the journal, unpacked.
fn hits_in_journal(truth: &Truth, patterns: &[Vec<u8>]) -> usize {
    let mut hits = 0;
    let replayed = truth.log.replay(0, u64::MAX, |replayed| {
        let plain = rmp_serde::to_vec(&replayed.group).unwrap();
        let bodies = replayed.group.raws.iter().map(|raw| raw.body().unwrap());
        for body in bodies.chain([Cow::Borrowed(&*plain)]) {
            hits += patterns
                .iter()
                .filter(|pattern| {
                    body.windows(pattern.len())
                        .any(|window| window == **pattern)
                })
                .count();
        }
        Ok(())
    });
    replayed.unwrap();
    hits
}

/// By what a person is found. That the contact went is told to who was away: its id here stays in that event.
fn patterns(who: Person) -> Vec<Vec<u8>> {
    let needles = who.needles().into_iter();
    let needles = needles.filter(|needle| *needle != Needle::Id(who.contact()));
    let patterns = needles.map(|needle| match needle {
        Needle::Id(id) => id.to_be_bytes().to_vec(),
        Needle::Bytes(bytes) => bytes,
        Needle::Text(text) => text.into_bytes(),
    });
    patterns.collect()
}

#[test]
fn k08_who_is_forgotten_is_in_no_file_and_everybody_else_is() {
    let directory = TempDir::new().unwrap();
    let options = || Options {
        segment_bytes: 24 << 10,
        fold_bytes: 16 << 10,
        ..small()
    };
    let store = EmbeddedStore::open(directory.path(), options(), &|_| {}).unwrap();
    let memory = MemoryStore::new();
    let gone = Person { no: 7 };
    let patterns = patterns(gone);
    let journal = directory.path().join("journal");
    // A snapshot and a set-aside table know the person, and so does a copy of damage.
    tell(&store);
    tell(&memory);
    store.snapshot().unwrap();
    store.model.tables().unwrap().distrust();
    for engine in [&store as &dyn Store, &memory] {
        engine.commit(gone.erasing(engine.head())).unwrap();
    }
    store.snapshot().unwrap();
    fs::create_dir_all(journal.join("quarantine")).unwrap();
    let copy = journal.join("quarantine/0000000001-9000-20-0.damaged");
    fs::write(&copy, format!("half {CANARY}")).unwrap();
    let other_copy = journal.join("quarantine/0000000001-9900-20-0.damaged");
    fs::write(&other_copy, "half person-1").unwrap();
    assert!(directory.path().join("tables.aside-1").exists());
    assert!(hits(directory.path(), &patterns).len() > 20);
    assert!(hits_in_journal(&store.truth, &patterns) > 0);
    let before = store.events(0, usize::MAX).unwrap();
    let lengths = |store: &EmbeddedStore| -> Vec<_> {
        let sealed = store.log.sealed().into_iter();
        sealed
            .map(|segment| (segment.header, segment.valid))
            .collect()
    };
    let fences = lengths(&store);

    let forgotten = store.forget(&gone.needles()).unwrap();
    assert_eq!(forgotten.deliveries, MESSAGES);
    assert_eq!(forgotten.events, MESSAGES + 2);
    assert_eq!(hits(directory.path(), &patterns), Vec::<String>::new());
    assert_eq!(hits_in_journal(&store.truth, &patterns), 0);
    assert_eq!(fs::read(&copy).unwrap(), b"");
    // It cannot be shown to be of somebody else: what is packed and damaged does not say.
    assert_eq!(fs::read(&other_copy).unwrap(), b"");
    // The others, their events among them, are as they were.
    let others: Vec<_> = before
        .iter()
        .filter(|event| {
            let bytes = rmp_serde::to_vec(event).unwrap();
            !patterns
                .iter()
                .any(|pattern| bytes.windows(pattern.len()).any(|window| window == pattern))
        })
        .cloned()
        .collect();
    assert_eq!(others.len() as u64, before.len() as u64 - forgotten.events);
    assert_eq!(store.events(0, usize::MAX).unwrap(), others);
    assert_eq!(lengths(&store)[..fences.len()], fences);
    assert_eq!(
        everything_but_the_log(&store),
        everything_but_the_log(&memory)
    );
    assert_eq!(store.damage(), []);
    assert_eq!(store.check_journal().unwrap(), []);
    // Again it does nothing, as after a crash when all was done.
    assert_eq!(store.forget(&gone.needles()).unwrap(), Default::default());
    drop(store);
    for options in [options(), after_a_power_cut()] {
        let store = EmbeddedStore::open(directory.path(), options, &|_| {}).unwrap();
        assert_eq!(store.events(0, usize::MAX).unwrap(), others);
        assert_eq!(
            everything_but_the_log(&store),
            everything_but_the_log(&memory)
        );
        assert_eq!(store.scrub(0).unwrap().differed(), 0);
    }
}

#[test]
fn k08_what_was_refused_or_is_damaged_keeps_nobody_either() {
    let directory = TempDir::new().unwrap();
    let store = open(directory.path());
    let gone = Person { no: 7 };
    tell(&store);
    store.commit(gone.erasing(store.head())).unwrap();
    store.seal().unwrap();
    let journal = directory.path().join("journal");
    // Behind a fence, and in a segment that no fence names.
    let first = path_of(&journal, numbers_in(&journal).unwrap()[0]);
    let mut bytes = fs::read(&first).unwrap();
    bytes.extend_from_slice(CANARY.as_bytes());
    fs::write(&first, &bytes).unwrap();
    let unlisted = path_of(&journal, 0);
    fs::write(&unlisted, format!("refused {CANARY}")).unwrap();
    // A damaged place in the middle, which names the person.
    let at = bytes
        .windows(CANARY.len())
        .position(|window| window == CANARY.as_bytes())
        .unwrap();
    bytes[at + CANARY.len() + 1] ^= 0xff;
    fs::write(&first, &bytes).unwrap();
    assert!(at as u64 > DATA_START);
    store.forget(&gone.needles()).unwrap();
    assert_eq!(
        hits(directory.path(), &[CANARY.as_bytes().to_vec()]),
        Vec::<String>::new()
    );
    assert!(!unlisted.exists());
    let damage = store.damage();
    assert_eq!(damage.len(), 1, "{damage:?}");
    assert_eq!(store.check_journal().unwrap(), damage, "it is told once");
    drop(store);
    let store = EmbeddedStore::open(directory.path(), after_a_power_cut(), &|_| {}).unwrap();
    assert_eq!(store.check_journal().unwrap(), damage);
}

#[test]
fn k08_forgetting_that_was_cut_off_is_done_again() {
    let template = TempDir::new().unwrap();
    let store = open(template.path());
    let gone = Person { no: 7 };
    let patterns = patterns(gone);
    tell(&store);
    store.commit(gone.erasing(store.head())).unwrap();
    store.snapshot().unwrap();
    drop(store);
    let whole = super::faults::calls_of(&template, |store| store.forget(&gone.needles()).map(drop));
    assert!(whole > 15, "{whole}");
    let mut refused = 0;
    for call in (1..=whole).step_by(3) {
        let directory = TempDir::new().unwrap();
        super::opening::copy(template.path(), directory.path());
        let failed = super::faults::with_a_failure(directory.path(), call, |store| {
            store.forget(&gone.needles()).map(drop)
        });
        refused += u64::from(failed.is_err());
        // As it stands after a kill.
        let store = open(directory.path());
        store.forget(&gone.needles()).unwrap();
        assert_eq!(
            hits(directory.path(), &patterns),
            Vec::<String>::new(),
            "call {call}"
        );
        assert_eq!(store.damage(), []);
        drop(store);
        remove_folder(&directory.path().join("tables")).unwrap();
        let store = EmbeddedStore::open(directory.path(), after_a_power_cut(), &|_| {}).unwrap();
        assert_eq!(store.scrub(0).unwrap().differed(), 0);
    }
    // A segment that could not be made ahead is made when it is needed.
    assert!(refused + 2 >= whole / 3, "only {refused} were told");
}

/// The finder and the store agree on what an arc of the desk's looks like in a frame.
#[test]
fn k08_nothing_is_forgotten_without_a_needle() {
    let directory = TempDir::new().unwrap();
    let store = Arc::new(open(directory.path()));
    tell(&*store);
    let before = store.events(0, usize::MAX).unwrap();
    let forgotten = store
        .forget(&[Needle::Text("nobody-here".to_owned())])
        .unwrap();
    assert_eq!(forgotten, Default::default());
    assert_eq!(store.events(0, usize::MAX).unwrap(), before);
}
