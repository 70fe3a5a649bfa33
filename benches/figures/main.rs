//! The figures that Deskbell promises, measured on the real daemon.
//!
//! ```text
//! cargo bench --bench figures                         short: a minute or two
//! cargo bench --bench figures -- --long --runs 3      as docs/figures.md has them: with 1,000,000 messages
//! cargo bench --bench figures -- intake               only one of intake, stream, feed, start and bell
//! ```
//! It runs the built daemon as a child of its own, on loopback and on a free port, in a folder below `target` that is
//! removed again (`--folder` takes another place), and shares the machine's cores with it. Speeds differ between
//! machines, so goals are ratios within one run: F is the median of appending 4 KiB to a file and `fdatasync`, on the
//! same file system.
//!
//! It ends with 1 where the daemon did something wrong (an acknowledged message is missing or there twice, a page is out
//! of order), or missed a goal three times over: less is weather on a shared machine, and so is nearly all that happens
//! to the slowest hundredth.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a benchmark is there to print its figures"
)]

mod bell;
mod daemon;
mod deliveries;
mod disk;
mod feed;
mod flood;
mod http;
mod intake;
mod load;
mod plain_sends;
mod platform;
mod readers;
mod start;
mod stored;
mod stream;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

use table::Table;

/// What is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// With a million messages, and each measurement for longer.
    pub(crate) long: bool,
    /// How often everything is measured.
    pub(crate) runs: usize,
    /// Where the daemons' folders are made.
    pub(crate) folder: PathBuf,
    /// How many messages the large store has.
    pub(crate) messages: usize,
    /// Which benches.
    names: Vec<String>,
}

const BENCHES: [&str; 5] = ["intake", "stream", "feed", "start", "bell"];

impl Settings {
    fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let mut settings = Self {
            long: false,
            runs: 1,
            folder: PathBuf::from(env!("CARGO_TARGET_TMPDIR")),
            messages: 0,
            names: Vec::new(),
        };
        while let Some(argument) = arguments.next() {
            let mut value = || {
                let value = arguments.next();
                value.with_context(|| format!("{argument} needs a value"))
            };
            match argument.as_str() {
                "--long" => settings.long = true,
                "--runs" => settings.runs = value()?.parse().context("--runs is a number")?,
                "--messages" => {
                    settings.messages = value()?.parse().context("--messages is a number")?;
                }
                "--folder" => settings.folder = PathBuf::from(value()?),
                // Cargo's own.
                "--bench" => {}
                name if BENCHES.contains(&name) => settings.names.push(name.to_owned()),
                other => bail!(
                    "{other} is unknown: [--long] [--runs N] [--messages N] [--folder DIR] [intake] [stream] [feed] [start] [bell]"
                ),
            }
        }
        if settings.names.is_empty() {
            settings.names = BENCHES.map(str::to_owned).to_vec();
        }
        if settings.messages == 0 {
            settings.messages = if settings.long { 1_000_000 } else { 30_000 };
        }
        Ok(settings)
    }
}

fn measure(settings: &Settings) -> Result<Table> {
    let mut table = Table::default();
    for run in 1..=settings.runs.max(1) {
        for name in &settings.names {
            eprintln!("{name}, run {run} of {}", settings.runs.max(1));
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .context("no runtime")?;
            let rows = runtime.block_on(async {
                match name.as_str() {
                    "intake" => intake::measure(settings).await,
                    "stream" => readers::measure(settings).await,
                    "feed" => feed::measure(settings).await,
                    "bell" => bell::measure(settings).await,
                    _ => start::measure(settings).await,
                }
            });
            table.add(name, rows.with_context(|| format!("bench {name}"))?);
        }
    }
    Ok(table)
}

fn main() -> ExitCode {
    let table = Settings::read(std::env::args().skip(1)).and_then(|settings| measure(&settings));
    match table {
        Ok(table) => {
            println!("{table}");
            if table.grossly_missed() {
                ExitCode::FAILURE
            } else {
                ExitCode::SUCCESS
            }
        }
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
