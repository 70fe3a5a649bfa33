//! Deliveries: how many, how fast, and how soon they are seen.
//!
//! A delivery for a Page that is no channel here takes the same route: it is verified, decoded, routed and answered 200,
//! and only the writer has nothing to do. That is what the durable ones are compared with.

use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use tokio::task::LocalSet;

use crate::Settings;
use crate::daemon::{Daemon, configure};
use crate::deliveries::{Deliveries, For};
use crate::disk::syncs_us;
use crate::flood::{self, Flood};
use crate::load::{CONNECTIONS, Rate, Sender, under_load};
use crate::platform;
use crate::stored;
use crate::stream::Clients;
use crate::table::{Goal, Row, median, quantile};

/// People who write while deliveries are measured one by one: few, so that they are soon looked up.
pub(crate) const FEW_PEOPLE: usize = 20;

/// How much is measured.
struct Sizes {
    /// Deliveries one by one.
    alone: usize,
    /// Deliveries a round under load.
    load: usize,
    /// Rounds under load.
    rounds: usize,
}

/// Measures.
pub(crate) async fn measure(settings: &Settings) -> Result<Vec<Row>> {
    let sizes = if settings.long {
        Sizes {
            alone: 5_000,
            load: 60_000,
            rounds: 5,
        }
    } else {
        Sizes {
            alone: 1_000,
            load: 20_000,
            rounds: 3,
        }
    };
    let folder = tempfile::tempdir_in(&settings.folder).context("no folder")?;
    let platform = platform::start().await?;
    configure(folder.path(), platform)?;
    let daemon = Daemon::start(folder.path())?;
    let mut deliveries = Deliveries::new(daemon.address, FEW_PEOPLE);
    let mut rows = Vec::new();
    LocalSet::new()
        .run_until(alone(
            &daemon,
            &mut deliveries,
            folder.path(),
            &sizes,
            &mut rows,
        ))
        .await?;
    under_full_load(&daemon, &mut deliveries, &sizes, &mut rows).await?;
    stored::check(&daemon, deliveries.made)?;
    daemon.stop()?;
    Ok(rows)
}

/// One delivery at a time.
async fn alone(
    daemon: &Daemon,
    deliveries: &mut Deliveries,
    folder: &std::path::Path,
    sizes: &Sizes,
    rows: &mut Vec<Row>,
) -> Result<()> {
    let mut sender = Sender::connect(daemon.address).await?;
    for request in deliveries.many(For::Us, FEW_PEOPLE * 3) {
        sender.deliver(&request).await?;
    }
    // The people are looked up by then.
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;

    // F and the deliveries take turns, so that the weather is the same for both.
    let (mut f, mut took, mut heard) = (Vec::new(), Vec::new(), Vec::new());
    let client = Clients::open(daemon.address, 1).await?;
    for _ in 0..10 {
        f.extend(syncs_us(folder, (sizes.alone / 10).max(100))?);
        for request in deliveries.many(For::Us, sizes.alone / 10) {
            took.push(sender.deliver(&request).await?.as_secs_f64() * 1e6);
        }
        for request in deliveries.many(For::Us, sizes.alone / 10) {
            client.expect(1);
            let begun = Instant::now();
            sender.deliver(&request).await?;
            heard.push((client.heard_at().await? - begun).as_secs_f64() * 1e6);
        }
    }
    drop(client);
    let disk_p99 = quantile(&mut f, 0.99);
    let f = median(&mut f);
    let (p50, p99) = (median(&mut took), quantile(&mut took, 0.99));
    let heard_p99 = quantile(&mut heard, 0.99);
    rows.push(Row::new(
        "F: 4 KiB append + fdatasync, µs",
        f,
        Goal::None,
        format!("the slowest hundredth: {:.2} F", disk_p99 / f),
    ));
    let from = format!("{p50:.0} µs");
    rows.push(Row::new(
        "alone, webhook to 200, p50 in F",
        p50 / f,
        Goal::AtMost(3.5),
        from,
    ));
    let from = format!("{p99:.0} µs");
    rows.push(
        Row::new(
            "alone, webhook to 200, p99 in F",
            p99 / f,
            Goal::AtMost(8.0),
            from,
        )
        .tail(),
    );
    let from = format!("p50 {:.0} µs, p99 {heard_p99:.0} µs", median(&mut heard));
    rows.push(
        Row::new(
            "webhook to one live stream, p99 in F",
            heard_p99 / f,
            Goal::AtMost(10.0),
            from,
        )
        .tail(),
    );
    beside_sign_ins(daemon, deliveries, &mut sender, (sizes.alone, p99), rows).await
}

/// The same beside people who try to sign in.
async fn beside_sign_ins(
    daemon: &Daemon,
    deliveries: &mut Deliveries,
    sender: &mut Sender,
    (count, p99_alone): (usize, f64),
    rows: &mut Vec<Row>,
) -> Result<()> {
    let flood = Flood::begin(daemon.address).await?;
    let mut took = Vec::new();
    for request in deliveries.many(For::Us, count) {
        took.push(sender.deliver(&request).await?.as_secs_f64() * 1e6);
    }
    let tries = flood.end()?;
    let p99 = quantile(&mut took, 0.99);
    let from = format!(
        "{p99:.0} µs, p50 {:.0} µs; {} at once: {} passwords looked at, {} tries put off",
        median(&mut took),
        flood::PEOPLE,
        tries.refused,
        tries.put_off
    );
    let name = "beside a flood of sign-ins, webhook to 200, p99, times that alone";
    rows.push(Row::new(name, p99 / p99_alone, Goal::AtMost(2.0), from).tail());
    Ok(())
}

/// 64 connections.
async fn under_full_load(
    daemon: &Daemon,
    deliveries: &mut Deliveries,
    sizes: &Sizes,
    rows: &mut Vec<Row>,
) -> Result<()> {
    // New people come first, a tenth as many as messages.
    let mut crowd = Deliveries::new(daemon.address, sizes.load * sizes.rounds / 10);
    crowd.continue_from(deliveries);
    *deliveries = crowd;
    let people = sizes.load * sizes.rounds / 10;
    under_load(daemon, deliveries, For::Us, people).await?;
    let (mut plain, mut durable): (Vec<Rate>, Vec<Rate>) = (Vec::new(), Vec::new());
    for _ in 0..sizes.rounds {
        plain.push(under_load(daemon, deliveries, For::Nobody, sizes.load * 2).await?);
        durable.push(under_load(daemon, deliveries, For::Us, sizes.load).await?);
    }
    let of = |rates: &[Rate], what: fn(&Rate) -> f64| {
        median(&mut rates.iter().map(what).collect::<Vec<_>>())
    };
    let (plain_rate, plain_cpu) = (
        of(&plain, |rate| rate.a_second),
        of(&plain, |rate| rate.cpu_us),
    );
    let (rate, cpu) = (
        of(&durable, |rate| rate.a_second),
        of(&durable, |rate| rate.cpu_us),
    );
    if plain_cpu <= 0.0 {
        bail!("the daemon's CPU cannot be read");
    }
    let flood = Flood::begin(daemon.address).await?;
    let flooded = under_load(daemon, deliveries, For::Us, sizes.load).await?;
    flood.end()?;
    let p99_us = of(&durable, |rate| rate.p99_us);
    let from = format!(
        "{:.1} against {:.1} ms; {:.0} a second",
        flooded.p99_us / 1e3,
        p99_us / 1e3,
        flooded.a_second
    );
    let name =
        "beside a flood of sign-ins, webhook to 200 at 64 connections, p99, times that without";
    rows.push(Row::new(name, flooded.p99_us / p99_us, Goal::AtMost(2.0), from).tail());
    let from = format!("{CONNECTIONS} connections: {rate:.0} against {plain_rate:.0} a second");
    rows.push(Row::new(
        "durable webhooks, % of the rate of those only verified and parsed",
        100.0 * rate / plain_rate,
        Goal::AtLeast(18.0),
        from,
    ));
    let from = format!("{cpu:.1} against {plain_cpu:.1} µs");
    rows.push(Row::new(
        "server CPU a durable webhook, times that of one only verified and parsed",
        cpu / plain_cpu,
        Goal::AtMost(6.0),
        from,
    ));
    Ok(())
}
