//! `deskbell import`.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::client::{Daemon, problem};
use super::progress::Progress;
use super::{Remote, runtime, say};
use crate::export::lines::MAX_LINE_BYTES;
use crate::export::{Check, CheckFault};

/// About how many bytes of lines go into one request; a line more may follow, and the daemon takes twice as much.
const REQUEST_BYTES: usize = 2 * 1024 * 1024;
/// How many lines go into one request.
const REQUEST_LINES: u64 = 1_000;
/// How often a request is sent that the daemon cannot take now.
const TRIES: u32 = 60;
/// The longest wait between two tries.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// An export by `deskbell export`
    Deskbell,
}

/// Options of `import`.
#[derive(Debug, Args)]
pub(super) struct Import {
    /// The file, unpacked
    file: PathBuf,
    /// What the file is
    #[arg(long, value_enum, default_value_t = Format::Deskbell)]
    format: Format,
    #[command(flatten)]
    remote: Remote,
}

impl Import {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let Format::Deskbell = self.format;
        let said = || format!("{} cannot be read", self.file.display());
        let about = std::fs::metadata(&self.file).with_context(said)?;
        if !about.is_file() {
            bail!(
                "{} is no plain file, and it is read twice: unpack it into one first",
                self.file.display()
            );
        }
        let daemon = Daemon::find(&self.remote)?;
        let named = |error: anyhow::Error| error.context(format!("{}", self.file.display()));
        check(&self.file, about.len()).map_err(named)?;
        let counts = runtime()?
            .block_on(import(&daemon, &self.file, about.len()))
            .map_err(named)?;
        say(&counts.in_words());
        Ok(ExitCode::SUCCESS)
    }
}

/// Reads a file line by line, with the line's number and its bytes; each with its end.
struct Lines {
    reader: BufReader<File>,
    number: u64,
}

impl Lines {
    fn of(path: &Path) -> anyhow::Result<Self> {
        Ok(Self {
            reader: BufReader::with_capacity(1 << 20, File::open(path)?),
            number: 0,
        })
    }

    /// The next line; `None` at the end.
    fn next(&mut self) -> anyhow::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        // Two more than the longest, so that one that is longer is seen as such and not held whole.
        let most = MAX_LINE_BYTES as u64 + 2;
        let read = (&mut self.reader).take(most).read_until(b'\n', &mut line)?;
        self.number += 1;
        Ok((read > 0).then_some(line))
    }
}

/// Checks the whole file before anything of it is sent.
fn check(path: &Path, size: u64) -> anyhow::Result<()> {
    let (mut check, mut lines) = (Check::default(), Lines::of(path)?);
    let mut progress = Progress::begin("check", Some(size));
    let mut last_is_whole = true;
    while let Some(line) = lines.next()? {
        last_is_whole = line.ends_with(b"\n");
        check.line(line.trim_ascii_end())?;
        progress.lines += 1;
        progress.bytes += line.len() as u64;
        progress.tell();
    }
    let number = check.finish()?;
    if !last_is_whole {
        bail!(CheckFault::Cut(number));
    }
    Ok(())
}

/// What the daemon did.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    new: u64,
    updated: u64,
    known: u64,
    skipped: u64,
    infected: u64,
}

impl Counts {
    fn add(&mut self, report: &Value) {
        let number = |name: &str| report[name].as_u64().unwrap_or_default();
        self.new += number("new");
        self.updated += number("updated");
        self.known += number("known");
        self.skipped += number("skipped");
        self.infected += number("infected");
    }

    fn in_words(self) -> String {
        let mut words = format!(
            "{} new, {} updated, {} known already.",
            self.new, self.updated, self.known
        );
        if self.skipped > 0 {
            words.push_str(&format!(
                " {} lines of a newer Deskbell's were passed over.",
                self.skipped
            ));
        }
        if self.infected > 0 {
            words.push_str(&format!(
                " {} files were left out: the virus check found a virus in them.",
                self.infected
            ));
        }
        words
    }
}

/// Sends the file, request by request.
async fn import(daemon: &Daemon, path: &Path, size: u64) -> anyhow::Result<Counts> {
    let (mut lines, mut counts) = (Lines::of(path)?, Counts::default());
    let mut progress = Progress::begin("import", Some(size));
    let (mut body, mut first, mut held) = (Vec::new(), 1, 0);
    loop {
        let line = lines.next()?;
        if let Some(line) = &line {
            body.extend_from_slice(line);
            held += 1;
        }
        let is_full = body.len() >= REQUEST_BYTES || held == REQUEST_LINES;
        if is_full || (line.is_none() && !body.is_empty()) {
            progress.bytes += body.len() as u64;
            progress.lines += held;
            counts.add(&send(daemon, first, std::mem::take(&mut body)).await?);
            first += held;
            held = 0;
            progress.tell();
        }
        if line.is_none() {
            return Ok(counts);
        }
    }
}

/// Sends some lines. Where the daemon cannot take them now, again: what was taken in is not taken in twice.
async fn send(daemon: &Daemon, first: u64, body: Vec<u8>) -> anyhow::Result<Value> {
    let body = bytes::Bytes::from(body);
    let mut tries = 0;
    loop {
        tries += 1;
        let answer = daemon
            .long_request(Method::POST, &format!("imports?line={first}"))?
            .header("content-type", "application/x-ndjson")
            .body(body.clone())
            .send()
            .await
            .with_context(|| {
                format!(
                    "{}; run it again when it does: what is in already is not doubled",
                    daemon.unreachable()
                )
            })?;
        let status = answer.status();
        let wait = answer.headers().get("retry-after");
        let wait = wait.and_then(|seconds| seconds.to_str().ok()?.parse().ok());
        let wait = Duration::from_secs(wait.unwrap_or(1)).min(LONGEST_WAIT);
        let text = answer.text().await.context("the answer broke off")?;
        if status.is_success() {
            return Ok(serde_json::from_str(&text)?);
        }
        let later = matches!(
            status,
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS
        );
        if !later || tries == TRIES {
            bail!(
                "{}. What came before it is in; import again once it is mended",
                problem(status, &text).trim_end_matches('.')
            );
        }
        tokio::time::sleep(wait).await;
    }
}
