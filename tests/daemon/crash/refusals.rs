//! A disk that refuses: each call of the storage path fails once, or does half of what it should.

use crate::crash::disk::{Call, Disk, Errno, Left, Plan, Wrong};
use crate::crash::load::{Book, Load, config};
use crate::crash::verdict::{faults, panics_in, shown};
use crate::support::{Daemon, say, switch};

/// Messages of a run.
const MESSAGES: usize = 200;

/// Of the calls of a kind every so many go wrong in a run; as many runs, each beginning one later, meet every call.
const fn step(call: Call) -> u64 {
    match call {
        Call::Write | Call::Sync => 40,
        Call::Name => 30,
        Call::Size => 2,
    }
}

/// What goes wrong, of each kind of call.
const WRONG: [(Call, Wrong); 11] = [
    (Call::Sync, Wrong::Error(Errno::EIO)),
    (Call::Write, Wrong::Error(Errno::EIO)),
    (Call::Write, Wrong::Short),
    (Call::Name, Wrong::Error(Errno::EIO)),
    (Call::Size, Wrong::Error(Errno::ENOSPC)),
    (Call::Sync, Wrong::Error(Errno::ENOSPC)),
    (Call::Write, Wrong::Error(Errno::ENOSPC)),
    (Call::Sync, Wrong::Error(Errno::EINTR)),
    (Call::Write, Wrong::Error(Errno::EINTR)),
    (Call::Name, Wrong::Error(Errno::ENOSPC)),
    (Call::Size, Wrong::Error(Errno::EIO)),
];

/// What a run found.
#[derive(Debug, Default)]
struct Run {
    faults: Vec<String>,
    calls: u64,
    met: u64,
    put_off: usize,
    refused_starts: usize,
}

/// Two hundred messages on a disk whose calls go wrong as planned, then a power cut and a start on a good disk.
async fn run(plan: Plan) -> Option<Run> {
    let folder = tempfile::tempdir().expect("a folder");
    let mut disk = Disk::mount(folder.path())?;
    std::fs::write(folder.path().join("deskbell.toml"), config()).expect("written");
    let mut run = Run::default();
    disk.goes_wrong(Some(plan));
    // Where a call fails that the start needs, it is refused in words, and the next one goes on from there.
    let mut started = disk.start();
    while let Err(log) = started {
        let panics = panics_in(&log);
        run.faults
            .extend(panics.iter().map(|line| format!("start: {line}")));
        run.refused_starts += 1;
        assert!(run.refused_starts < 50, "it never starts: {log}");
        started = disk.start();
    }
    let daemon = started.expect("just asked");
    let (load, ended) = messages(&daemon).await;
    run.faults.extend(ended.err());
    (run.calls, run.met) = disk.calls();
    disk.goes_wrong(None);
    // While it still runs, and after a power cut.
    let book = load.known();
    run.put_off = book.put_off;
    check(&mut run, &daemon, &book, "running").await;
    disk.cut(daemon, Left::Synced).await;
    match disk.start() {
        Ok(daemon) => {
            check(&mut run, &daemon, &book, "after the cut").await;
            load.send_again(&daemon, 50).await;
            check(&mut run, &daemon, &load.known(), "sent again").await;
        }
        Err(log) => run.faults.push(format!("it does not start again: {log}")),
    }
    Some(run)
}

async fn messages(daemon: &Daemon) -> (std::sync::Arc<Load>, Result<(), String>) {
    let load = Load::begin(daemon).await;
    let senders = load.loose_one_of_each(daemon);
    let ended = load.until_acknowledged(MESSAGES).await;
    senders.stop().await;
    (load, ended)
}

async fn check(run: &mut Run, daemon: &Daemon, book: &Book, when: &str) {
    let found = faults(book, &shown(daemon).await, 0);
    run.faults
        .extend(found.into_iter().map(|fault| format!("{when}: {fault}")));
    let log = daemon.log();
    run.faults
        .extend(panics_in(&log).iter().map(|line| format!("{when}: {line}")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f06_f07_each_call_of_the_disk_fails_once_and_nothing_acknowledged_is_lost() {
    // 40 is the whole: every call is met by each evil.
    let at_most = switch("DESKBELL_REFUSALS", 1) as u64;
    let (mut runs, mut calls, mut met, mut put_off, mut refused_starts) = (0, 0, 0, 0, 0);
    let mut wrong = Vec::new();
    for (place, (call, how)) in WRONG.into_iter().enumerate() {
        let step = step(call);
        let of_this = at_most.min(step);
        for number in 0..of_this {
            // Short forms begin at different calls.
            let first = (number * (step / of_this) + 7 * place as u64) % step;
            let plan = Plan {
                call,
                first,
                step,
                wrong: how,
            };
            let Some(run) = run(plan).await else {
                return;
            };
            runs += 1;
            met += run.met;
            calls += run.calls;
            refused_starts += run.refused_starts;
            put_off += run.put_off;
            if !run.faults.is_empty() {
                wrong.push(format!("{plan:?}: {:#?}", run.faults));
            }
        }
    }
    say(&format!(
        "{runs} runs of {MESSAGES} messages, {met} of {calls} calls went wrong, {put_off} times a sender was put off, {refused_starts} starts were refused"
    ));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(met > runs, "hardly any call went wrong: {met}");
    assert!(put_off > 0, "nobody was ever put off, so nothing is proven");
}
