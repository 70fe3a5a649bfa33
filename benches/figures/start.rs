//! Starting: fresh, after a clean stop, after a kill, and where the tables are made again as after a power cut; and what
//! the store takes.

use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::Settings;
use crate::daemon::{CACHE_MIB, Daemon, configure};
use crate::deliveries::{Deliveries, For};
use crate::disk::taken_bytes;
use crate::load::{fill, under_load};
use crate::platform;
use crate::stored;
use crate::table::{Goal, Row, float, median};

/// What is left of the last stop where the power failed: nothing that vouches for the tables. The next start sets them
/// aside and makes them again from the journal, as it does under another boot id of the kernel.
fn forget_how_it_stopped(folder: &Path) -> Result<()> {
    std::fs::remove_file(folder.join("data/store/stopped"))
        .context("there is no marker of the last stop")
}

async fn fresh(settings: &Settings, rows: &mut Vec<Row>) -> Result<()> {
    let platform = platform::start().await?;
    let (mut ready_ms, mut memory_mb) = (Vec::new(), Vec::new());
    for _ in 0..if settings.long { 20 } else { 5 } {
        let folder = tempfile::tempdir_in(&settings.folder).context("no folder")?;
        configure(folder.path(), platform)?;
        let daemon = Daemon::start(folder.path())?;
        ready_ms.push(daemon.ready_after.as_secs_f64() * 1e3);
        memory_mb.push(daemon.resident_bytes()? / 1e6);
        daemon.stop()?;
    }
    rows.push(Row::new(
        "fresh start to ready, ms",
        median(&mut ready_ms),
        Goal::AtMost(100.0),
        "",
    ));
    rows.push(Row::new(
        "memory after a fresh start, MB",
        median(&mut memory_mb),
        Goal::AtMost(60.0),
        "",
    ));
    Ok(())
}

/// Measures.
pub(crate) async fn measure(settings: &Settings) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    fresh(settings, &mut rows).await?;

    let folder = tempfile::tempdir_in(&settings.folder).context("no folder")?;
    let folder = folder.path();
    configure(folder, platform::start().await?)?;
    let daemon = Daemon::start(folder)?;
    let mut deliveries = Deliveries::new(daemon.address, settings.messages / 10);
    let rate = fill(&daemon, &mut deliveries, settings.messages).await?;
    let full_bytes = daemon.resident_bytes()?;
    let stopped_after = daemon.stop()?;
    let million = float(settings.messages) / 1e6;
    // With fewer messages the fixed costs of a start stand for more: the goals are those of a million all the same.
    let after = |name, daemon: &Daemon, goal, more: String| {
        let from = format!(
            "{million} million messages; {:.0} MB then{more}",
            daemon.resident_bytes().unwrap_or(f64::NAN) / 1e6
        );
        Row::new(
            name,
            daemon.ready_after.as_secs_f64(),
            Goal::AtMost(goal),
            from,
        )
    };

    let daemon = Daemon::start(folder)?;
    let more = format!("; the stop took {:.1} s", stopped_after.as_secs_f64());
    rows.push(after("ready after a clean stop, s", &daemon, 2.0, more));

    // Something is being written when it is killed.
    deliveries.to(daemon.address);
    under_load(&daemon, &mut deliveries, For::Us, 5_000).await?;
    daemon.kill()?;
    let daemon = Daemon::start(folder)?;
    if !daemon.asked_to_wait && daemon.ready_after.as_millis() > 500 {
        bail!("while it started, deliveries were not answered 503 with Retry-After");
    }
    rows.push(after(
        "ready after kill -9, s",
        &daemon,
        6.0,
        "; 503 with Retry-After until then".to_owned(),
    ));
    stored::check(&daemon, deliveries.made)?;
    let used_bytes = daemon.resident_bytes()?.max(full_bytes);
    daemon.kill()?;

    let disk = taken_bytes(&folder.join("data/store"))?;
    forget_how_it_stopped(folder)?;
    let daemon = Daemon::start(folder)?;
    rows.push(after(
        "ready after the tables were made again, s",
        &daemon,
        90.0,
        String::new(),
    ));
    stored::check(&daemon, deliveries.made)?;
    daemon.stop()?;

    let cache = f64::from(CACHE_MIB) * 1024.0 * 1024.0;
    let most = 2.0 * cache + 150.0 * float(deliveries.made);
    let from = format!(
        "{:.0} MB with {} messages and a cache of {CACHE_MIB} MiB, at most {:.0} MB",
        used_bytes / 1e6,
        deliveries.made,
        most / 1e6
    );
    rows.push(Row::new(
        "memory, share of 2 x cache + 0.15 kB a message",
        used_bytes / most,
        Goal::AtMost(1.0),
        from,
    ));
    let raw = float(deliveries.body_bytes);
    let from = format!(
        "{:.0} against {:.0} bytes a message; filled at {rate:.0} a second",
        disk / float(deliveries.made),
        raw / float(deliveries.made)
    );
    rows.push(Row::new(
        "disk, times the bytes of the deliveries",
        disk / raw,
        Goal::AtMost(7.0),
        from,
    ));
    Ok(rows)
}
