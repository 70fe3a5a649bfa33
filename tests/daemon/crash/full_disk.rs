//! A disk that is full, and has room again.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::crash::load::{Load, config};
use crate::crash::verdict::{nothing_is_lost_or_doubled, panics_in};
use crate::support::calls::until;
use crate::support::{ADMIN, Daemon, client, say, switch};

/// Room for two segments, sled, and what must stay free.
const DISK: &str = "size=176m";
/// Less than the 64 MiB that the daemon leaves free.
const GENTLE_BYTES: u64 = 48 << 20;
const PATIENCE: Duration = Duration::from_secs(60);

/// A small file system in memory, mounted where a daemon has its data.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts one; `None`, with a word why, where this system does not let us.
    fn mount(at: &Path) -> Option<Self> {
        std::fs::create_dir(at).expect("a folder");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", DISK, "deskbell-tests"])
            .arg(at)
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(at.to_owned())),
            _ => {
                say("SKIPPED: only root may mount a small file system");
                None
            }
        }
    }

    fn filler(&self) -> PathBuf {
        self.0.join("somebody-elses")
    }

    /// Lets somebody else fill it until less is free than the daemon wants, and more than it needs to end its work.
    fn fill_gently(&self) {
        let mut file = File::create(self.filler()).expect("a file");
        let block = vec![0x5A; 1 << 16];
        while room(&self.0) > GENTLE_BYTES {
            std::io::Write::write_all(&mut file, &block).expect("there is room");
        }
    }

    /// Lets somebody else fill it to the last byte.
    fn fill(&self) {
        let mut file = File::options()
            .create(true)
            .append(true)
            .open(self.filler())
            .expect("a file");
        let block = vec![0x5A; 1 << 16];
        for size in [1 << 16, 4096, 1] {
            while std::io::Write::write(&mut file, &block[..size]).is_ok_and(|count| count > 0) {}
        }
    }

    fn free(&self) {
        std::fs::remove_file(self.filler()).expect("it stands there");
    }
}

/// Bytes that are free.
fn room(at: &Path) -> u64 {
    let stat = rustix::fs::statvfs(at).expect("a file system");
    stat.f_bavail * stat.f_frsize
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(&self.0).status();
        if !unmounted.is_ok_and(|status| status.success()) {
            say(&format!("{} stays mounted", self.0.display()));
        }
    }
}

/// What a GET with every right is answered.
async fn asked(daemon: &Daemon, path: &str) -> u16 {
    let request = client()
        .get(format!("{}{path}", daemon.url))
        .bearer_auth(ADMIN);
    let answer = request.send().await.expect("it answers");
    answer.status().as_u16()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f08_on_a_full_disk_nothing_is_half_written_and_all_goes_on_when_there_is_room() {
    let fills = switch("DESKBELL_FILLS", 4);
    let folder = tempfile::tempdir().expect("a folder");
    let Some(disk) = SmallDisk::mount(&folder.path().join("data")) else {
        return;
    };
    let mut daemon = Daemon::start(folder.path(), &config());
    let load = Load::begin(&daemon).await;
    let (mut blind, mut opened_full) = (0, 0);
    for fill in 1..=fills {
        let senders = load.loose(&daemon, 16);
        let enough = load.acknowledged() + 60;
        assert_eq!(load.until_acknowledged(enough).await, Ok(()));
        // In the middle of the work: in good time, or at once and to the last byte.
        let gently = fill % 2 == 1;
        if gently {
            disk.fill_gently();
        } else {
            disk.fill();
        }
        until("deliveries are put off", PATIENCE, async || {
            load.deliver_one(&daemon).await.0 == 503
        })
        .await;
        senders.stop().await;
        if gently {
            // What was taken before is in sled's files, and nothing is left to be written there.
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
        // Whatever was freed on the way is filled, too.
        disk.fill();
        for _ in 0..3 {
            let (status, retry_after) = load.deliver_one(&daemon).await;
            assert_eq!(status, 503, "fill {fill}");
            let seconds: u32 = retry_after.expect("when to come").parse().expect("seconds");
            assert!((1..=60).contains(&seconds), "{seconds}");
        }
        assert_eq!(asked(&daemon, "/healthz").await, 200);
        assert_eq!(asked(&daemon, "/readyz").await, 503);
        assert_eq!(
            asked(&daemon, "/api/v1/me").await,
            200,
            "who has a token gets in"
        );
        let feed = asked(&daemon, "/api/v1/feed").await;
        if gently {
            assert_eq!(feed, 200, "reading goes on: {}", daemon.log());
        }
        blind += usize::from(feed != 200);
        assert_eq!(panics_in(&daemon.log()), Vec::<&str>::new());
        if !gently {
            // A start while it is full goes on once there is room, if it cannot before.
            daemon.kill();
            let start = {
                let folder = folder.path().to_owned();
                tokio::task::spawn_blocking(move || Daemon::start_as_it_is(&folder))
            };
            tokio::time::sleep(Duration::from_secs(2)).await;
            opened_full += usize::from(start.is_finished());
            disk.free();
            daemon = start.await.expect("it starts");
        } else {
            disk.free();
        }
        until("deliveries are taken again", PATIENCE, async || {
            load.deliver_one(&daemon).await.0 == 200
        })
        .await;
        load.send_again(&daemon, 30).await;
        assert_eq!(asked(&daemon, "/readyz").await, 200);
        nothing_is_lost_or_doubled(&daemon, &load.known(), &format!("after fill {fill}")).await;
    }
    daemon.kill();
    let daemon = Daemon::start_as_it_is(folder.path());
    nothing_is_lost_or_doubled(&daemon, &load.known(), "after a kill").await;
    say(&format!(
        "{fills} times full: {} acknowledged, {blind} times the feed could not be read while it was, {opened_full} times it opened",
        load.acknowledged()
    ));
}
