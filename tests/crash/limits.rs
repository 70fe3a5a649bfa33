//! A small machine: 128 MB of memory and 256 files.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::load::{Load, config};
use crate::support::{BINARY, Daemon, raw, say, switch};
use crate::verdict::{nothing_is_lost_or_doubled, panics_in};

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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f39_in_128_mb_and_with_256_files_nothing_is_lost() {
    let rounds = switch("DESKBELL_SMALL_ROUNDS", 2);
    let Some(group) = Group::make() else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let small = format!("{}\n[store]\ncache_mib = 16\n", config());
    std::fs::write(folder.path().join("deskbell.toml"), small).expect("written");
    let start = || group.start(folder.path());
    let mut daemon = start().unwrap_or_else(|log| panic!("it does not start: {log}"));
    let load = Load::begin(&daemon).await;
    for round in 1..=rounds {
        let senders = load.loose(&daemon, 64);
        // More connections than it may have files, all of which say nothing.
        let address = raw::host(&daemon.url).parse().expect("an address");
        let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok();
        let idle: Vec<TcpStream> = (0..FILES + 64).map_while(|_| connect()).collect();
        tokio::time::sleep(Duration::from_millis(700)).await;
        drop(idle);
        let wanted = load.acknowledged() + 100;
        assert_eq!(
            load.until_acknowledged(wanted).await,
            Ok(()),
            "round {round}"
        );
        assert_eq!(panics_in(&daemon.log()), Vec::<&str>::new());
        daemon.kill();
        senders.stop().await;
        daemon = start().unwrap_or_else(|log| panic!("round {round}: {log}"));
        let when = format!("after round {round}");
        nothing_is_lost_or_doubled(&daemon, &load.known(), &when).await;
    }
    load.send_again(&daemon, 100).await;
    nothing_is_lost_or_doubled(&daemon, &load.known(), "after all was sent again").await;
    say(&format!(
        "{rounds} rounds in {} MB: {} acknowledged",
        MEMORY_BYTES >> 20,
        load.acknowledged()
    ));
}
