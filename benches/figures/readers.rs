//! Readers of the live stream: a thousand at once, and what each costs.

use std::time::Instant;

use anyhow::{Context as _, Result};
use tokio::task::LocalSet;

use crate::Settings;
use crate::daemon::{Daemon, configure};
use crate::deliveries::{Deliveries, For};
use crate::intake::FEW_PEOPLE;
use crate::load::Sender;
use crate::plain_sends::a_send_us;
use crate::platform;
use crate::stored;
use crate::stream::Clients;
use crate::table::{Goal, Row, float, median, quantile};

/// Clients of the live stream at once.
const CLIENTS: usize = 1_000;

/// Measures.
pub(crate) async fn measure(settings: &Settings) -> Result<Vec<Row>> {
    let count = if settings.long { 500 } else { 100 };
    let folder = tempfile::tempdir_in(&settings.folder).context("no folder")?;
    let platform = platform::start().await?;
    configure(folder.path(), platform)?;
    let daemon = Daemon::start(folder.path())?;
    let mut deliveries = Deliveries::new(daemon.address, FEW_PEOPLE);
    let rows = LocalSet::new()
        .run_until(to_all_clients(&daemon, &mut deliveries, count))
        .await?;
    stored::check(&daemon, deliveries.made)?;
    daemon.stop()?;
    Ok(rows)
}

async fn to_all_clients(
    daemon: &Daemon,
    deliveries: &mut Deliveries,
    count: usize,
) -> Result<Vec<Row>> {
    let mut sender = Sender::connect(daemon.address).await?;
    for request in deliveries.many(For::Us, FEW_PEOPLE * 3) {
        sender.deliver(&request).await?;
    }
    // The people are looked up by then.
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    let mut rows = Vec::new();

    // What a delivery costs where nobody listens.
    let before = daemon.cpu_us()?;
    for request in deliveries.many(For::Us, count * 5) {
        sender.deliver(&request).await?;
    }
    let unheard_us = (daemon.cpu_us()? - before) / float(count * 5);

    let empty = daemon.resident_bytes()?;
    let clients = Clients::open(daemon.address, CLIENTS).await?;
    // The first delivery to each is paid before it is counted.
    for request in deliveries.many(For::Us, 3) {
        clients.expect(1);
        sender.deliver(&request).await?;
        clients.heard_at().await?;
    }
    let each_bytes = (daemon.resident_bytes()? - empty) / clients.count();
    let before = daemon.cpu_us()?;
    let mut took = Vec::new();
    for request in deliveries.many(For::Us, count) {
        clients.expect(1);
        let begun = Instant::now();
        sender.deliver(&request).await?;
        took.push((clients.heard_at().await? - begun).as_secs_f64() * 1e3);
    }
    let each_us = ((daemon.cpu_us()? - before) / float(count) - unheard_us) / clients.count();
    let bytes = clients.bytes_a_message();
    drop(clients);
    let bare_us = a_send_us(CLIENTS, bytes, count)?;
    let p99 = quantile(&mut took, 0.99);
    let from = format!("p99 {p99:.1} ms, {bytes} bytes each");
    rows.push(Row::new(
        "webhook to all of 1,000 clients, p50 in ms",
        median(&mut took),
        Goal::AtMost(15.0),
        from,
    ));
    rows.push(Row::new(
        "memory of an idle client, kB",
        each_bytes / 1e3,
        Goal::AtMost(25.0),
        "",
    ));
    rows.push(Row::new(
        "CPU a delivery to a client, µs",
        each_us,
        Goal::AtMost(8.0),
        format!("a bare send of as many bytes to one of as many readers: {bare_us:.1} µs"),
    ));
    Ok(rows)
}
