//! The keeper of one command: this program once more, between the daemon and the operator's program, for one run.
//!
//! It limits itself, and so whatever it begins; it is the reaper of orphans, so that whatever the program leaves behind is
//! its own to end, also what made a session of its own; and it ends everything when the program has ended, when its time is
//! over, when it has become too many, or when the daemon is gone: that holds the other end of its input open.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::{self, BufRead as _, Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{
    Pid, Resource, Rlimit, Signal, getpid, kill_process_group, set_child_subreaper,
    setpriority_pgrp, setrlimit,
};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio::sync::oneshot;

use super::super::send::MAX_ANSWER_BYTES;
use super::processes;

/// The longest order, in bytes: all arguments, all variables and the input, as JSON.
const LONGEST_ORDER: u64 = 8 * 1024 * 1024;
/// So many processes of a command are too many.
pub(super) const MOST_PROCESSES: usize = 64;
/// How many threads more than there are now the user of this process may have, whatever a command begins between two looks.
/// The kernel does not hold root to it.
const MORE_THREADS: u64 = 1024;
/// Of the memory that a process may map, in bytes.
const MEMORY_BYTES: u64 = 4 << 30;
/// The largest file that may be written, in bytes.
const FILE_BYTES: u64 = 1 << 30;
/// How long a processor may be used by one process, in seconds, should nobody be there to end it.
const CPU_SECONDS: u64 = 60;
/// How many files a process may have open.
const OPEN_FILES: u64 = 1024;
/// How nice commands are to everything else: the desk goes first.
const NICENESS: i32 = 10;
/// How soon, and then how often at most, it is counted what runs.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long it is waited for what was ended to be gone, and for the rest of its output.
const LEAVE: Duration = Duration::from_secs(5);

/// What is to be run: one line of JSON on the input, which stays open.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    pub(super) program: String,
    pub(super) args: Vec<String>,
    /// The whole environment.
    pub(super) environment: BTreeMap<String, String>,
    pub(super) timeout_ms: u64,
    /// What the program reads.
    pub(super) input: String,
}

/// How a run ended: the one thing that is written to the output, as JSON.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Report {
    pub(super) end: End,
    pub(super) took_ms: u64,
    /// The beginning of what the program wrote, to both of its outputs.
    pub(super) output: String,
}

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum End {
    /// By itself, with this code.
    Code(u8),
    /// By a signal that it or somebody else sent, or the kernel for a limit.
    Signal(i32),
    /// It never began: why.
    NotBegun(String),
    /// Its time was over.
    TooLong,
    /// It began too many processes.
    TooMany,
    /// The daemon is gone, or wants it no more. Nobody reads this.
    Unwanted,
}

/// Runs what the input orders, and reports it. The whole life of a process of its own.
///
/// # Errors
/// Where there is no order, or this process cannot be limited: nothing was begun then.
pub fn keep() -> io::Result<()> {
    let mut line = String::new();
    let mut input = io::stdin().lock();
    input.by_ref().take(LONGEST_ORDER).read_line(&mut line)?;
    drop(input);
    let order: Order = serde_json::from_str(&line)?;
    let (alive, gone) = oneshot::channel::<Infallible>();
    std::thread::Builder::new().spawn(move || {
        // Until the other end is closed. An error is an end, too.
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        drop(alive);
    })?;
    set_child_subreaper(Some(getpid()))?;
    // A program that became somebody else could not be ended.
    rustix::thread::set_no_new_privs(true)?;
    limit()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let report = runtime.block_on(run(order, gone));
    let mut output = io::stdout().lock();
    serde_json::to_writer(&mut output, &report)?;
    output.flush()
}

/// Limits this process and what it begins. What is limited more already stays so.
fn limit() -> io::Result<()> {
    for (resource, most) in [
        (Resource::Nproc, processes::all_threads() + MORE_THREADS),
        (Resource::As, MEMORY_BYTES),
        (Resource::Fsize, FILE_BYTES),
        (Resource::Cpu, CPU_SECONDS),
        (Resource::Nofile, OPEN_FILES),
        (Resource::Core, 0),
    ] {
        let now = rustix::process::getrlimit(resource);
        let most = now.maximum.map_or(most, |maximum| maximum.min(most));
        let limit = Rlimit {
            current: Some(most),
            maximum: Some(most),
        };
        setrlimit(resource, limit)?;
    }
    Ok(())
}

async fn run(order: Order, gone: oneshot::Receiver<Infallible>) -> Report {
    let begun = Instant::now();
    let output = Arc::new(Mutex::new(Vec::new()));
    let end = match begin(&order) {
        Ok(child) => watch(child, order, gone, &output).await,
        Err(error) => End::NotBegun(error.to_string()),
    };
    let output = output.lock().unwrap_or_else(PoisonError::into_inner);
    Report {
        end,
        took_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        output: String::from_utf8_lossy(&output).into_owned(),
    }
}

fn begin(order: &Order) -> io::Result<Child> {
    let child = Command::new(&order.program)
        .args(&order.args)
        .env_clear()
        .envs(&order.environment)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()?;
    // With whatever it may have begun by now. Not being nicer is no reason not to run.
    let _ = setpriority_pgrp(leader_of(&child), NICENESS);
    Ok(child)
}

/// The process, which leads its group, until it was waited for.
fn leader_of(child: &Child) -> Option<Pid> {
    Pid::from_raw(child.id()?.try_into().ok()?)
}

async fn watch(
    mut child: Child,
    order: Order,
    mut gone: oneshot::Receiver<Infallible>,
    output: &Arc<Mutex<Vec<u8>>>,
) -> End {
    let mut input = child.stdin.take();
    let writing = tokio::spawn(async move {
        if let Some(input) = &mut input {
            // Whoever does not read it need not.
            let _ = input.write_all(order.input.as_bytes()).await;
        }
    });
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let mut reading = tokio::task::JoinSet::new();
    reading.spawn(keep_beginning(out, Arc::clone(output)));
    reading.spawn(keep_beginning(err, Arc::clone(output)));
    let leader = leader_of(&child);
    let deadline = tokio::time::sleep(Duration::from_millis(order.timeout_ms));
    tokio::pin!(deadline);
    let mut pause = LOOK_EVERY;
    let end = loop {
        tokio::select! {
            ended = child.wait() => break ended.map_or_else(|error| End::NotBegun(error.to_string()), end_of),
            () = &mut deadline => break End::TooLong,
            _ = &mut gone => break End::Unwanted,
            () = tokio::time::sleep(pause) => {
                let looked = Instant::now();
                if processes::count(leader) > MOST_PROCESSES {
                    break End::TooMany;
                }
                // On a machine with thousands of processes the look itself must cost little.
                pause = LOOK_EVERY.max(10 * looked.elapsed());
            }
        }
    };
    // At once and all, so that no fork gets away; its id is its own until it was waited for.
    if let Some(leader) = leader_of(&child) {
        let _ = kill_process_group(leader, Signal::KILL);
        let _ = tokio::time::timeout(LEAVE, child.wait()).await;
    }
    processes::end_all();
    writing.abort();
    // Nobody holds the other ends any more.
    let all_read = async { while reading.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(LEAVE, all_read).await;
    end
}

fn end_of(status: ExitStatus) -> End {
    match (status.code(), status.signal()) {
        (Some(code), _) => End::Code(u8::try_from(code).unwrap_or(u8::MAX)),
        (None, signal) => End::Signal(signal.unwrap_or_default()),
    }
}

/// Keeps the beginning of what comes, and drops the rest, however much it is.
async fn keep_beginning(from: Option<impl AsyncRead + Unpin>, kept: Arc<Mutex<Vec<u8>>>) {
    let Some(mut from) = from else { return };
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        let room = MAX_ANSWER_BYTES.saturating_sub(kept.len());
        let new = buffer.get(..read.min(room)).unwrap_or_default();
        kept.extend_from_slice(new);
    }
}
