//! System calls that fail or take long, under a real kernel: `strace` puts its own answer in the place of the kernel's.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::crash::load::{Load, config};
use crate::crash::verdict::{faults, nothing_is_lost_or_doubled, panics_in, shown};
use crate::support::{BINARY, Daemon, say, switch};

const MESSAGES: usize = 200;
/// Every so many calls of a kind fail in a run; as many runs, each beginning one later, meet every call.
const STEP: usize = 40;

/// Calls, the error that they answer, and the first call that may fail: before it, the system itself is not up.
const WRONG: [(&str, &str, usize); 6] = [
    ("fdatasync,fsync", "EIO", 1),
    ("pwrite64", "ENOSPC", 1),
    ("fallocate,ftruncate", "ENOSPC", 1),
    ("rename,unlink,mkdir", "EROFS", 1),
    ("openat", "EMFILE", 120),
    ("pread64", "EIO", 60),
];

/// The daemon under `strace`, which interferes as told; it keeps the daemon's process id.
fn traced(folder: &Path, calls: &str, interference: &str) -> Result<Daemon, String> {
    let mut command = Command::new("strace");
    command.args(["-D", "-f", "-qq", "--seccomp-bpf", "-o"]);
    command.arg(folder.join("calls"));
    command.arg("-e").arg(format!("trace={calls}"));
    command
        .arg("-e")
        .arg(format!("inject={calls}:{interference}"));
    command.arg(BINARY);
    Daemon::start_by(command, folder)
}

/// Whether `strace` may interfere here; says why not.
fn may_interfere() -> bool {
    let tried = Command::new("strace")
        .args(["-D", "-f", "-qq", "--seccomp-bpf", "-o", "/dev/null"])
        .args(["-e", "trace=fsync", "-e", "inject=fsync:error=EIO", "true"])
        .status();
    let may = matches!(tried, Ok(status) if status.success());
    if !may {
        say("SKIPPED: `strace` is not installed, or may not trace here");
    }
    may
}

fn met(folder: &Path) -> usize {
    let calls = std::fs::read_to_string(folder.join("calls")).unwrap_or_default();
    calls
        .lines()
        .filter(|line| line.contains("(INJECTED)") || line.contains("(DELAYED)"))
        .count()
}

/// A run with failing calls, a kill, and a start without: what is wrong, and how many calls failed.
async fn run(calls: &str, error: &str, first: usize) -> (Vec<String>, usize, usize) {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("deskbell.toml"), config()).expect("written");
    let mut wrong = Vec::new();
    let (mut met_so_far, mut first) = (0, first);
    // Where a call fails that the start needs, it is refused in words, and the next one goes on from there.
    let daemon = loop {
        let interference = format!("error={error}:when={first}+{STEP}");
        match traced(folder.path(), calls, &interference) {
            Ok(daemon) => break daemon,
            Err(log) => {
                wrong.extend(panics_in(&log).into_iter().map(str::to_owned));
                met_so_far += met(folder.path());
                first += STEP;
                assert!(first < 100 * STEP, "it never starts: {log}");
            }
        }
    };
    let load = Load::begin(&daemon).await;
    let senders = load.loose_one_of_each(&daemon);
    wrong.extend(load.until_acknowledged(MESSAGES).await.err());
    senders.stop().await;
    let log = daemon.log();
    wrong.extend(panics_in(&log).into_iter().map(str::to_owned));
    daemon.kill();
    met_so_far += met(folder.path());
    let daemon = Daemon::start_as_it_is(folder.path());
    wrong.extend(faults(&load.known(), &shown(&daemon).await, 0));
    load.send_again(&daemon, 50).await;
    wrong.extend(faults(&load.known(), &shown(&daemon).await, 0));
    (wrong, met_so_far, load.known().put_off)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f06_f07_f09_each_system_call_fails_once_and_nothing_acknowledged_is_lost() {
    if !may_interfere() {
        return;
    }
    // 40 is the whole: every call is met.
    let runs_of_each = switch("DESKBELL_SYSCALLS", 1).min(STEP);
    let (mut all_wrong, mut all_met, mut all_put_off) = (Vec::new(), 0, 0);
    for (place, (calls, error, from)) in WRONG.into_iter().enumerate() {
        for number in 0..runs_of_each {
            let first = from + (number * (STEP / runs_of_each) + 11 * place) % STEP;
            let (wrong, met, put_off) = run(calls, error, first).await;
            all_met += met;
            all_put_off += put_off;
            if !wrong.is_empty() {
                all_wrong.push(format!("{calls} {error} from {first}: {wrong:#?}"));
            }
        }
    }
    say(&format!(
        "{} runs of {MESSAGES} messages, {all_met} system calls failed, {all_put_off} times a sender was put off",
        WRONG.len() * runs_of_each
    ));
    assert!(all_wrong.is_empty(), "{}", all_wrong.join("\n"));
    assert!(
        all_met > 3 * runs_of_each && all_put_off > 0,
        "hardly any call failed: {all_met}, {all_put_off}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f10_a_slow_disk_holds_answers_back_and_nothing_is_acknowledged_before_it() {
    if !may_interfere() {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("deskbell.toml"), config()).expect("written");
    // The syncs of the start are quick, so that the test is.
    let daemon = traced(folder.path(), "fdatasync", "delay_exit=2000000:when=25+1")
        .unwrap_or_else(|log| panic!("it does not start: {log}"));
    let load = Load::begin(&daemon).await;
    let before = daemon.resident_bytes();
    let senders = load.loose(&daemon, 64);
    let wanted = load.acknowledged() + 128;
    let ended = load.until_acknowledged(wanted).await;
    assert_eq!(ended, Ok(()));
    let grown = daemon.resident_bytes().saturating_sub(before);
    assert!(grown < 64 << 20, "the memory grew by {grown} bytes");
    assert!(
        met(folder.path()) > 0,
        "no sync was slow, so nothing is proven"
    );
    // In the middle of a sync, most likely.
    tokio::time::sleep(Duration::from_millis(300)).await;
    daemon.kill();
    senders.stop().await;
    let daemon = Daemon::start_as_it_is(folder.path());
    nothing_is_lost_or_doubled(&daemon, &load.known(), "after a slow disk").await;
    load.send_again(&daemon, 100).await;
    nothing_is_lost_or_doubled(&daemon, &load.known(), "sent again").await;
}
