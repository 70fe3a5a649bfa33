//! A daemon that is killed in the middle of its work.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::super::EmbeddedStore;
use super::{after_a_power_cut, open, small};
use crate::store::conformance::{Story, everything};
use crate::store::memory::MemoryStore;
use crate::store::{Read, Store};

const DIRECTORY: &str = "DESKBELL_TEST_KILL_DIRECTORY";
const FOREVER: usize = 100_000;

/// The life of the one that is killed: it runs as a process of its own, and says each group that it was acknowledged.
#[test]
#[ignore = "run as a child by the test below"]
fn child() {
    #[expect(
        clippy::disallowed_methods,
        reason = "the parent names the directory in the environment"
    )]
    let Some(directory) = std::env::var_os(DIRECTORY).map(PathBuf::from) else {
        return;
    };
    let store = open(&directory);
    let mut story = Story::new(31);
    while story.head() < store.head() {
        story.next_group();
    }
    let mut out = std::io::stdout().lock();
    for _ in 0..FOREVER {
        let group = story.next_group();
        // Without events there is no number by which the next run finds its place in the story.
        if group.events.is_empty() {
            continue;
        }
        store.commit(group).unwrap();
        writeln!(out, "head={}", store.head()).unwrap();
        out.flush().unwrap();
    }
}

/// The memory store that was told all groups with events up to `head`.
fn told_up_to(head: u64) -> MemoryStore {
    let memory = MemoryStore::new();
    let mut story = Story::new(31);
    while memory.head() < head {
        let group = story.next_group();
        if !group.events.is_empty() {
            memory.commit(group).unwrap();
        }
    }
    memory
}

#[test]
fn f01_after_a_kill_everything_acknowledged_is_there_once() {
    let directory = TempDir::new().unwrap();
    // The harness names tests without the crate.
    let (_, child_test) = concat!(module_path!(), "::child").split_once("::").unwrap();
    for round in 0..8_u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--ignored",
                "--exact",
                "--nocapture",
                "--test-threads=1",
                child_test,
            ])
            .env(DIRECTORY, directory.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut acknowledged = 0_u64;
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let heads = lines
            .map_while(Result::ok)
            .filter_map(|line| line.split_once("head=")?.1.trim().parse::<u64>().ok());
        for head in heads.take(usize::try_from(20 + 37 * round).unwrap()) {
            acknowledged = head;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(acknowledged > 0, "the child did nothing in round {round}");
        // As it stands, and as a power cut would have it made again.
        let options = if round % 2 == 0 {
            small()
        } else {
            after_a_power_cut()
        };
        let store = EmbeddedStore::open(directory.path(), options, &|_| {}).unwrap();
        assert!(
            store.head() >= acknowledged,
            "{} of {acknowledged} are there",
            store.head()
        );
        assert_eq!(
            everything(&store),
            everything(&told_up_to(store.head())),
            "round {round}"
        );
        assert_eq!(store.damage(), []);
    }
}
