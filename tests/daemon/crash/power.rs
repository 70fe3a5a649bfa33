//! Power cuts: what was not synced is gone.

use std::time::Duration;

use crate::crash::disk::{Disk, Left, cannot_pretend_a_boot, in_boot};
use crate::crash::load::{Load, config};
use crate::crash::verdict::{faults, nothing_is_lost_or_doubled, panics_in, shown};
use crate::support::calls::Dice;
use crate::support::{APP_SECRET, Daemon, PAGE, envelope, message, now_ms, say, switch};

const SENDERS: usize = 64;

fn begin(folder: &std::path::Path) -> Option<(Disk, Daemon)> {
    let disk = Disk::mount(folder)?;
    std::fs::write(folder.join("deskbell.toml"), config()).expect("written");
    let daemon = disk.start().expect("it starts");
    Some((disk, daemon))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f03_f04_power_cuts_lose_and_double_nothing() {
    let cuts = switch("DESKBELL_CUTS", 6);
    let seed = switch("DESKBELL_SEED", 0xF03);
    let folder = tempfile::tempdir().expect("a folder");
    let Some((mut disk, mut daemon)) = begin(folder.path()) else {
        return;
    };
    let load = Load::begin(&daemon).await;
    let mut dice = Dice::new(seed as u64);
    for cut in 1..=cuts {
        let senders = load.loose(&daemon, SENDERS);
        let moment = 100 + dice.below(700) as u64;
        tokio::time::sleep(Duration::from_millis(moment)).await;
        assert_eq!(panics_in(&daemon.log()), Vec::<&str>::new());
        // Every other time the disk has by chance written some of what was not synced, and torn what it wrote last.
        let left = if cut % 2 == 0 {
            Left::SyncedAndSome(Dice::new(dice.below(usize::MAX) as u64))
        } else {
            Left::Synced
        };
        disk.cut(daemon, left).await;
        senders.stop().await;
        daemon = disk
            .start()
            .unwrap_or_else(|log| panic!("seed {seed}, cut {cut}: it does not start: {log}"));
        let log = daemon.log();
        assert!(
            log.contains("making the tables again"),
            "sled is not believed after a cut, and this is told: {log}"
        );
        assert!(!log.contains("damaged"), "seed {seed}, cut {cut}: {log}");
        let when = format!("seed {seed}, after cut {cut}");
        nothing_is_lost_or_doubled(&daemon, &load.known(), &when).await;
    }
    load.send_again(&daemon, 300).await;
    let book = load.known();
    nothing_is_lost_or_doubled(&daemon, &book, "after all was sent again").await;
    say(&format!(
        "{cuts} power cuts: {} acknowledged of {} sent",
        book.acknowledged.len(),
        book.sent.len()
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f03_a_daemon_whose_syncs_do_nothing_is_caught() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some((mut disk, daemon)) = begin(folder.path()) else {
        return;
    };
    let load = Load::begin(&daemon).await;
    // A clean beginning, which the cut below must not touch.
    disk.cut(daemon, Left::Synced).await;
    let daemon = disk.start().expect("it starts");
    let senders = load.loose(&daemon, 8);
    disk.lies();
    let before = load.known().acknowledged.len();
    while load.known().acknowledged.len() < before + 100 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    disk.cut(daemon, Left::Synced).await;
    senders.stop().await;
    let daemon = disk.start().expect("it starts");
    let faults = faults(&load.known(), &shown(&daemon).await, 0);
    assert!(
        faults
            .iter()
            .any(|fault| fault.contains("acknowledged are lost")),
        "the harness does not see what a daemon without syncs loses: {faults:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f42_keys_and_rows_that_sled_lost_in_a_power_cut_double_nothing() {
    const MESSAGES: usize = 1_200;
    const GONE: usize = 1_000;
    if let Some(why) = cannot_pretend_a_boot() {
        say(&format!("SKIPPED: {why}"));
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("deskbell.toml"), config()).expect("written");
    let start = |boot| Daemon::start_by(in_boot(folder.path(), boot), folder.path());
    let daemon = start(1).expect("it starts");
    let deliveries: Vec<String> = (0..MESSAGES / 50)
        .map(|part| {
            let one = |number: usize| {
                let (person, mid) = (format!("{}", 2000 + number % 40), format!("m_{number}"));
                message(&person, &mid, &format!("text {number}"), now_ms())
            };
            let messages: Vec<_> = (part * 50..part * 50 + 50).map(one).collect();
            envelope(PAGE, &messages)
        })
        .collect();
    let deliver_all = async |daemon: &Daemon| {
        for body in &deliveries {
            let status = daemon.deliver("shop-page", APP_SECRET, body.clone());
            assert_eq!(status.await, 200);
        }
    };
    deliver_all(&daemon).await;
    // sled writes out what it holds twice a second: old keys are what is to be lost here, not the newest.
    tokio::time::sleep(Duration::from_secs(2)).await;
    daemon.kill();
    // What sled may lose in a cut, at its worst: old keys and rows are gone, and its position says that all is there.
    let tables = sled::open(folder.path().join("data/store/tables")).expect("sled opens");
    let position = tables.get(b"!").expect("read");
    assert!(position.is_some(), "the layout of the tables has changed");
    for prefix in [b"x", b"m"] {
        let keys = tables.scan_prefix(prefix).keys();
        let keys: Vec<_> = keys.map(|key| key.expect("read")).take(GONE).collect();
        assert_eq!(keys.len(), GONE, "the layout of the tables has changed");
        for key in keys {
            tables.remove(key).expect("removed");
        }
    }
    assert_eq!(tables.get(b"!").expect("read"), position);
    tables.flush().expect("written");
    drop(tables);
    let daemon = start(2).expect("it starts");
    assert_eq!(daemon.all("feed", 200).await.len(), MESSAGES);
    deliver_all(&daemon).await;
    let feed = daemon.all("feed", 200).await;
    let ids: std::collections::BTreeSet<_> = feed
        .iter()
        .map(|item| item["external_id"].to_string())
        .collect();
    assert_eq!((feed.len(), ids.len()), (MESSAGES, MESSAGES), "each once");
}
