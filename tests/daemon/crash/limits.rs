//! A small machine: 128 MB of memory and 256 files.

use std::net::TcpStream;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use futures_util::FutureExt as _;

use crate::crash::load::{Book, Load, config};
use crate::crash::verdict::{nothing_is_lost_or_doubled, panics_in};
use crate::support::{BINARY, Daemon, raw, say, switch};

const MEMORY_BYTES: u64 = 128 << 20;
const FILES: u32 = 256;

/// A group of processes that may have so much memory together; it goes when the last has ended.
struct Group {
    folder: PathBuf,
}

impl Group {
    /// Makes one; `None`, with a word why, where this system does not let us.
    fn make() -> Option<Self> {
        let name = format!("deskbell-tests-{}", std::process::id());
        for (root, limit) in [
            ("/sys/fs/cgroup", "memory.max"),
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
        ] {
            let folder = Path::new(root).join(&name);
            if std::fs::create_dir(&folder).is_err() {
                continue;
            }
            let group = Self { folder };
            // A folder that is no group has no such file.
            let limit = group.folder.join(limit);
            if limit.exists() && std::fs::write(&limit, MEMORY_BYTES.to_string()).is_ok() {
                return Some(group);
            }
        }
        say("SKIPPED: no memory can be limited here: that wants root and a cgroup of its own");
        None
    }

    /// How many processes the kernel has ended, for they wanted more.
    fn ended_by_kernel(&self) -> usize {
        let files = ["memory.events", "memory.oom_control"];
        let texts = files.map(|file| std::fs::read_to_string(self.folder.join(file)));
        let lines = texts.iter().flatten().flat_map(|text| text.lines());
        let counts =
            lines.filter_map(|line| line.strip_prefix("oom_kill ")?.trim().parse::<usize>().ok());
        counts.sum()
    }

    /// The daemon in this group, with few files.
    fn start(&self, folder: &Path) -> Result<Daemon, String> {
        let mut command = Command::new("sh");
        command.arg("-c");
        command.arg("echo $$ > \"$1/cgroup.procs\" && ulimit -n \"$2\" && exec \"$3\" \"$4\"");
        command.arg("sh").arg(&self.folder);
        command.arg(FILES.to_string()).arg(BINARY);
        Daemon::start_by(command, folder)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // A process that was just killed is in it for a moment more.
        for _ in 0..50 {
            if std::fs::remove_dir(&self.folder).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        say(&format!("{} stays", self.folder.display()));
    }
}

/// The daemon in its group. The kernel may end it at any moment, which is a crash like another: it is started again.
struct Small<'a> {
    group: &'a Group,
    folder: &'a Path,
    daemon: Daemon,
    ended: usize,
}

impl<'a> Small<'a> {
    fn start(group: &'a Group, folder: &'a Path) -> Self {
        let daemon = group.start(folder);
        Self {
            group,
            folder,
            daemon: daemon.unwrap_or_else(|log| panic!("it does not start: {log}")),
            ended: 0,
        }
    }

    /// Starts it again; it has ended.
    fn start_again(&mut self) {
        let fresh = self.group.start(self.folder);
        self.daemon = fresh.unwrap_or_else(|log| panic!("it does not start again: {log}"));
    }

    /// Whether the kernel has ended it. That anything else does is a fault.
    fn was_ended(&mut self) -> bool {
        let has_ended = self.daemon.has_ended();
        if has_ended {
            self.ended += 1;
            let by_kernel = self.group.ended_by_kernel();
            assert_eq!(self.ended, by_kernel, "it ended: {}", self.daemon.log());
        }
        has_ended
    }

    /// Waits until so many are acknowledged, or the kernel has ended it.
    async fn until_acknowledged(&mut self, load: &Load, count: usize, when: &str) {
        let mut enough = std::pin::pin!(load.until_acknowledged(count));
        loop {
            match tokio::time::timeout(Duration::from_millis(200), &mut enough).await {
                Ok(result) => return assert_eq!(result, Ok(()), "{when}"),
                Err(_) if self.daemon.has_ended() => return,
                Err(_) => {}
            }
        }
    }

    /// Reads all of it, from the beginning where the kernel ends it meanwhile.
    async fn nothing_is_lost_or_doubled(&mut self, book: &Book, when: &str) {
        for _ in 0..5 {
            let read = nothing_is_lost_or_doubled(&self.daemon, book, when);
            let Err(panic) = AssertUnwindSafe(read).catch_unwind().await else {
                return;
            };
            // A cut connection is seen a moment before the end of the process.
            tokio::time::sleep(Duration::from_millis(500)).await;
            if !self.was_ended() {
                resume_unwind(panic);
            }
            self.start_again();
        }
        panic!("{when}: it cannot be read in so little memory");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f39_in_128_mb_and_with_256_files_nothing_is_lost() {
    let rounds = switch("DESKBELL_SMALL_ROUNDS", 2);
    let Some(group) = Group::make() else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let small = format!("{}\n[store]\ncache_mib = 16\n", config());
    std::fs::write(folder.path().join("deskbell.toml"), small).expect("written");
    let mut small = Small::start(&group, folder.path());
    let load = Load::begin(&small.daemon).await;
    for round in 1..=rounds {
        let senders = load.loose(&small.daemon, 64);
        // More connections than it may have files, all of which say nothing.
        let address = raw::host(&small.daemon.url).parse().expect("an address");
        let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok();
        let idle: Vec<TcpStream> = (0..FILES + 64).map_while(|_| connect()).collect();
        tokio::time::sleep(Duration::from_millis(700)).await;
        drop(idle);
        let wanted = load.acknowledged() + 100;
        let when = format!("round {round}");
        small.until_acknowledged(&load, wanted, &when).await;
        assert_eq!(panics_in(&small.daemon.log()), Vec::<&str>::new());
        small.was_ended();
        small.daemon.end();
        senders.stop().await;
        small.start_again();
        small.nothing_is_lost_or_doubled(&load.known(), &when).await;
    }
    load.send_again(&small.daemon, 100).await;
    let book = load.known();
    small
        .nothing_is_lost_or_doubled(&book, "after all was sent again")
        .await;
    say(&format!(
        "{rounds} rounds in {} MB: {} acknowledged; the kernel ended it {} times",
        MEMORY_BYTES >> 20,
        load.acknowledged(),
        small.ended
    ));
}
