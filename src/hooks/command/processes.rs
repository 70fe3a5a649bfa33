//! The processes that a command began, however they were begun, by what `/proc` says; and their end.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, wait, waitpid};

/// How long it is tried to end what is left. What sleeps in the kernel may take longer; it ends when it wakes.
const PATIENCE: Duration = Duration::from_secs(5);

/// A process, as `/proc` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Process {
    pid: Pid,
    parent: Option<Pid>,
    /// It has ended, and nobody has asked how.
    has_ended: bool,
    threads: u64,
}

/// Every process that can be seen.
fn all() -> Vec<Process> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(Result::ok)
        .filter_map(|entry| {
            let pid = Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)?;
            let stat = std::fs::read(Path::new("/proc").join(entry.file_name()).join("stat"));
            read_stat(pid, &String::from_utf8_lossy(&stat.ok()?))
        })
        .collect()
}

/// Reads `/proc/<pid>/stat`. The second field is a name that a program chose, in brackets: it may hold anything.
fn read_stat(pid: Pid, stat: &str) -> Option<Process> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = behind_name.split_ascii_whitespace().collect();
    Some(Process {
        pid,
        parent: Pid::from_raw(fields.get(1)?.parse().ok()?),
        has_ended: matches!(*fields.first()?, "Z" | "X"),
        threads: fields.get(17)?.parse().ok()?,
    })
}

/// How many threads all processes together have that can be seen.
pub(super) fn all_threads() -> u64 {
    all().iter().map(|process| process.threads).sum()
}

/// What has this process above it. As the reaper of orphans it has those above it, too, whose parents have ended, and
/// whoever made a session of their own.
fn below_us() -> Vec<Process> {
    let mut of_parent: BTreeMap<i32, Vec<Process>> = BTreeMap::new();
    for process in all() {
        let parent = process.parent.map_or(0, Pid::as_raw_pid);
        of_parent.entry(parent).or_default().push(process);
    }
    let mut found = of_parent.remove(&getpid().as_raw_pid()).unwrap_or_default();
    let mut next = 0;
    while let Some(process) = found.get(next) {
        let children = of_parent.remove(&process.pid.as_raw_pid());
        found.extend(children.unwrap_or_default());
        next += 1;
    }
    found
}

/// Counts what runs below this process, and takes leave of orphans that have ended; of `leader` somebody else does.
pub(super) fn count(leader: Option<Pid>) -> usize {
    let us = getpid();
    let (ended, running): (Vec<_>, Vec<_>) = below_us()
        .into_iter()
        .partition(|process| process.has_ended);
    for process in ended {
        if process.parent == Some(us) && Some(process.pid) != leader {
            // Gone already: so much the better.
            let _ = waitpid(Some(process.pid), WaitOptions::NOHANG);
        }
    }
    running.len()
}

/// Ends everything below this process. Where there is nothing, `/proc` is not even looked at.
pub(super) fn end_all() {
    let begun = Instant::now();
    loop {
        // Of any group: `waitpid` without an id would ask for our own alone.
        match wait(WaitOptions::NOHANG) {
            // One has ended; there may be more.
            Ok(Some(_)) | Err(Errno::INTR) => continue,
            Ok(None) => {}
            // There is nobody any more.
            Err(_) => return,
        }
        if begun.elapsed() > PATIENCE {
            return;
        }
        for process in below_us() {
            if !process.has_ended {
                // It may have ended by itself.
                let _ = kill_process(process.pid, Signal::KILL);
            }
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_looks_like_fields_is_no_field() {
        let pid = Pid::from_raw(7).expect("a number");
        let stat = "7 (x) S 1 (y) Z 42 42 7 0 -1 4194304 9 0 0 0 0 0 0 0 30 10 3 0 55 0 0";
        let process = read_stat(pid, stat).expect("it is one");
        assert_eq!(
            (process.parent.map(Pid::as_raw_pid), process.threads),
            (Some(42), 3)
        );
        assert!(process.has_ended);
        assert_eq!(read_stat(pid, "7 (cat) S"), None);
        assert_eq!(read_stat(pid, ""), None);
    }

    #[test]
    fn this_process_and_its_threads_are_seen() {
        assert!(all().iter().any(|process| process.pid == getpid()));
        assert!(all_threads() > 0);
    }
}
