//! The feed over HTTP: with few messages and with many, and while the daemon writes as fast as it can.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow, bail};

use crate::Settings;
use crate::daemon::{Daemon, configure};
use crate::deliveries::{Deliveries, For};
use crate::http::Http;
use crate::load::{fill, under_load};
use crate::platform;
use crate::stored;
use crate::table::{Goal, Row, float, median, quantile};

/// Messages of the small store.
const FEW: usize = 10_000;
/// Messages of a page.
const PAGE_ITEMS: usize = 50;

/// Reads the first page until `enough`; how long each took in microseconds.
fn read_pages(http: &mut Http, mut enough: impl FnMut(usize) -> bool) -> Result<Vec<f64>> {
    let mut took = Vec::new();
    while !enough(took.len()) {
        let begun = Instant::now();
        let page = http.get(&format!("/api/v1/feed?limit={PAGE_ITEMS}"))?;
        took.push(begun.elapsed().as_secs_f64() * 1e6);
        if took.len() % 100 == 1 {
            let page: serde_json::Value = serde_json::from_slice(&page)?;
            if page["data"].as_array().map(Vec::len) != Some(PAGE_ITEMS) {
                bail!("a page is not full");
            }
        }
    }
    Ok(took)
}

/// Measures.
pub(crate) async fn measure(settings: &Settings) -> Result<Vec<Row>> {
    let pages = if settings.long { 5_000 } else { 1_000 };
    let folder = tempfile::tempdir_in(&settings.folder).context("no folder")?;
    let platform = platform::start().await?;
    configure(folder.path(), platform)?;
    let daemon = Daemon::start(folder.path())?;
    let mut deliveries = Deliveries::new(daemon.address, settings.messages / 10);
    let mut http = daemon.http()?;
    fill(&daemon, &mut deliveries, FEW.min(settings.messages / 2)).await?;
    let mut few = read_pages(&mut http, |read| read == pages)?;
    let rate = fill(&daemon, &mut deliveries, settings.messages).await?;
    // The daemon closes one that says nothing for as long as this may have taken.
    http = daemon.http()?;
    let mut many = read_pages(&mut http, |read| read == pages)?;
    let (few_p50, many_p50) = (median(&mut few), median(&mut many));
    let idle_p99 = quantile(&mut many, 0.99);

    let done = Arc::new(AtomicBool::new(false));
    let reader = {
        let done = Arc::clone(&done);
        std::thread::spawn(move || read_pages(&mut http, |_| done.load(Ordering::Relaxed)))
    };
    let load = if settings.long { 200_000 } else { 40_000 };
    let written = under_load(&daemon, &mut deliveries, For::Us, load).await;
    done.store(true, Ordering::Relaxed);
    let read = reader.join().map_err(|_| anyhow!("the reader panicked"))?;
    let written = written?;
    let mut busy = read?;
    let busy_p99 = quantile(&mut busy, 0.99);
    stored::check(&daemon, deliveries.made)?;
    daemon.stop()?;

    let few_of = format!(
        "{many_p50:.0} µs with {} messages, {few_p50:.0} µs with {}; filled at {rate:.0} a second",
        settings.messages,
        FEW.min(settings.messages / 2)
    );
    let loaded = format!(
        "{busy_p99:.0} µs against {idle_p99:.0} µs; {} pages beside {:.0} deliveries a second; p50 {:.0} µs",
        busy.len(),
        written.a_second,
        median(&mut busy)
    );
    Ok(vec![
        Row::new(
            "page of 50 with many messages, p50, times that with few",
            many_p50 / few_p50,
            Goal::AtMost(1.3),
            few_of,
        ),
        Row::new(
            "page of 50 under full write load, p99, times the idle p99",
            busy_p99 / idle_p99,
            Goal::AtMost(100.0),
            loaded,
        )
        .tail(),
        Row::new(
            "page of 50, p50 in ms",
            many_p50 / 1e3,
            Goal::None,
            format!("{:.0} a second", 1e6 / many_p50 * float(1)),
        ),
    ])
}
