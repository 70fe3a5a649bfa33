//! Damage: bits that flip, pages that are zeroed and ends that are cut off, in any file of a daemon that stopped.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::crash::kills::listen;
use crate::crash::load::{Book, Load, Way, config};
use crate::crash::verdict::{faults, panics_in, shown};
use crate::support::calls::Dice;
use crate::support::{Daemon, say, switch};

/// Messages in the store that is damaged.
const MESSAGES: usize = 150;
const PAGE_BYTES: usize = 4096;

/// What is done to a file.
#[derive(Clone, Copy, Debug)]
enum Evil {
    Flip { at: usize, bit: u8 },
    ZeroPage { at: usize },
    Truncate { to: usize },
}

/// Chooses an evil for the part of a file that holds something.
fn evil_for(bytes: &[u8], dice: &mut Dice) -> Evil {
    let used = bytes
        .iter()
        .rposition(|byte| *byte != 0)
        .map_or(1, |last| last + 1);
    match dice.below(3) {
        0 => Evil::Flip {
            at: dice.below(used),
            bit: u8::try_from(dice.below(8)).expect("small"),
        },
        1 => Evil::ZeroPage {
            at: dice.below(used) / PAGE_BYTES * PAGE_BYTES,
        },
        _ => Evil::Truncate {
            to: dice.below(used),
        },
    }
}

fn hurt(bytes: &mut Vec<u8>, evil: Evil) {
    match evil {
        Evil::Flip { at, bit } => bytes[at] ^= 1 << bit,
        Evil::ZeroPage { at } => {
            let end = (at + PAGE_BYTES).min(bytes.len());
            bytes[at..end].fill(0);
        }
        Evil::Truncate { to } => bytes.truncate(to),
    }
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// Copies a folder; a segment's unused room is not copied, but is there.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
            continue;
        }
        let bytes = fs::read(entry.path()).expect("read");
        let used = bytes
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |last| last + 1);
        fs::write(&target, &bytes[..used]).expect("written");
        let file = fs::File::options().write(true).open(&target);
        file.and_then(|file| file.set_len(bytes.len() as u64))
            .expect("its length");
    }
}

/// The steps that a daemon says were lost.
fn steps_lost(store: &Path) -> usize {
    let entries = fs::read_dir(store.join("journal/quarantine"));
    let names = entries.into_iter().flatten().flatten();
    let lost = names.filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let frames = name.strip_suffix(".damaged")?.rsplit('-').next()?;
        frames.parse::<usize>().ok()
    });
    lost.sum()
}

/// What is wrong after a start on a damaged copy; and how many steps it says were lost, where it started.
async fn start_on(folder: &Path, book: &Book) -> (Vec<String>, Option<usize>) {
    let data = folder.join("data");
    let started = tokio::task::spawn_blocking({
        let folder = folder.to_owned();
        move || Daemon::start_by(std::process::Command::new(crate::support::BINARY), &folder)
    });
    let daemon = match started.await.expect("joined") {
        Ok(daemon) => daemon,
        // A refusal has to say what to do; hanging and panicking are none.
        Err(log) if log.contains("the store is damaged") => return (Vec::new(), None),
        Err(log) => return (vec![format!("it does not start: {log}")], None),
    };
    let lost = steps_lost(&data.join("store"));
    // One sender at a time: a step has one message, so no more than so many may be missing.
    let mut wrong = faults(book, &shown(&daemon).await, lost);
    let heard = listen(daemon.url.clone(), 0, Duration::from_millis(1_500)).await;
    if !heard.is_sorted_by(|one, next| one < next) {
        wrong.push("the stream tells events out of order, or twice".to_owned());
    }
    let log = daemon.log();
    if lost > 0 && !log.contains("journal is damaged") {
        wrong.push("the loss is not in the log".to_owned());
    }
    wrong.extend(foreign_panics(&log));
    if !Load::takes_deliveries(&daemon).await {
        wrong.push("it takes no new message".to_owned());
    }
    wrong.extend(foreign_panics(&daemon.log()));
    daemon.kill();
    (wrong, Some(lost))
}

/// Panics that are not sled's: what it does on damaged files is caught, and answered by making the tables again.
fn foreign_panics(log: &str) -> Vec<String> {
    let panics = panics_in(log).into_iter();
    panics
        .filter(|line| !line.contains("/sled-"))
        .map(str::to_owned)
        .collect()
}

/// A data directory with messages, after a clean stop.
async fn filled(folder: &Path) -> Book {
    let daemon = Daemon::start(folder, &config());
    let load = Load::begin(&daemon).await;
    let ways = [Way::Webhook, Way::Chat, Way::Webhook, Way::Reply];
    for way in ways.into_iter().cycle().take(MESSAGES) {
        assert!(load.send_one(&daemon.url, way).await);
    }
    let stopped = tokio::task::spawn_blocking(|| daemon.stop()).await;
    assert!(stopped.expect("joined").0.success());
    load.known()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f05_damage_costs_no_more_than_the_damaged_step_and_is_told() {
    let damages = switch("DESKBELL_DAMAGES", 12);
    let seed = switch("DESKBELL_SEED", 0xF05);
    let original = tempfile::tempdir().expect("a folder");
    let book = filled(original.path()).await;
    let mut dice = Dice::new(seed as u64);
    let (mut wrong, mut lossy, mut refused, mut steps) = (Vec::new(), 0, 0, 0);
    for number in 0..damages {
        let folder = tempfile::tempdir().expect("a folder");
        copy(original.path(), folder.path());
        let store = folder.path().join("data/store");
        // Half of the time in the journal, half in sled's files.
        let in_journal = number % 2 == 0;
        let part = if in_journal { "journal" } else { "tables" };
        let files = files_below(&store.join(part));
        let file = &files[dice.below(files.len())];
        let mut bytes = fs::read(file).expect("read");
        let evil = evil_for(&bytes, &mut dice);
        hurt(&mut bytes, evil);
        fs::write(file, &bytes).expect("written");
        // Every other damaged journal is all that there is: then it shows what is lost for good.
        if number % 4 == 0 {
            fs::remove_dir_all(store.join("tables")).expect("removed");
        }
        let (found, lost) = start_on(folder.path(), &book).await;
        match lost {
            None if found.is_empty() => refused += 1,
            Some(lost) if lost > 0 => {
                lossy += 1;
                steps += lost;
            }
            _ => {}
        }
        if !found.is_empty() {
            let name = file.strip_prefix(&store).unwrap_or(file);
            wrong.push(format!(
                "seed {seed}, damage {number}: {evil:?} of {}: {found:#?}",
                name.display()
            ));
        }
    }
    say(&format!(
        "{damages} damages of a store of {MESSAGES} messages: {lossy} cost something, {steps} steps in all, and {refused} starts were refused"
    ));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(lossy > 0, "no damage cost anything, so nothing is proven");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f05_wrong_content_and_a_loss_that_is_not_told_are_seen() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut book = filled(folder.path()).await;
    // As if the daemon had forgotten one message and changed the words of another.
    book.note(Way::Webhook, 1_000_000, true);
    let changed = book
        .acknowledged
        .iter()
        .find(|text| text.starts_with('w'))
        .cloned()
        .expect("a delivery");
    book.sent.remove(&changed);
    let (wrong, lost) = start_on(folder.path(), &book).await;
    assert_eq!(lost, Some(0));
    for words in ["1 of ", "nobody ever wrote this"] {
        assert!(
            wrong.iter().any(|fault| fault.contains(words)),
            "{words}: {wrong:?}"
        );
    }
}
