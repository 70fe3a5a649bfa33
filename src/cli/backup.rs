//! `deskbell backup`, `restore` and `resume`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;

use super::client::Daemon;
use super::progress::Progress;
use super::{Remote, complain, configuration, runtime, say};
use crate::backup;
use crate::clock::Clock;
use crate::config::Overrides;
use crate::store::embedded::Progress as StoreProgress;

/// How long the daemon may be silent: it makes a snapshot first, a minute a million messages at the most.
const SILENCE: Duration = Duration::from_secs(15 * 60);
const STANDARD: &str = "-";

/// Options of `backup`.
#[derive(Debug, Args)]
#[command(after_help = "\
It holds what customers wrote. To keep it encrypted, hand it on:
  deskbell backup - | age -r age1… > deskbell.tar.age")]
pub(super) struct Backup {
    /// Where to; `-` is standard output. A file is there once it is whole and checked, and only its owner may read it
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    remote: Remote,
}

impl Backup {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let daemon = Daemon::find(&self.remote)?;
        let runtime = runtime()?;
        let part = PathBuf::from(format!("{}.part", self.file.display()));
        let taken = runtime.block_on(async {
            tokio::select! {
                taken = take(&daemon, &self.file, &part) => taken,
                _ = tokio::signal::ctrl_c() => bail!("stopped; nothing was kept"),
            }
        });
        if taken.is_err() {
            // Best effort: its name says that it is a part.
            let _ = fs::remove_file(&part);
        }
        taken.map(|()| ExitCode::SUCCESS)
    }
}

async fn take(daemon: &Daemon, file: &Path, part: &Path) -> anyhow::Result<()> {
    let mut answer = daemon.stream("backup").await?;
    let mut progress = Progress::of_bytes("backup");
    let to_file = file.as_os_str() != STANDARD;
    let mut out: Box<dyn io::Write> = if to_file {
        let made = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(part);
        Box::new(made.with_context(|| format!("{} cannot be written", part.display()))?)
    } else {
        Box::new(io::stdout())
    };
    loop {
        let chunk = tokio::time::timeout(SILENCE, answer.chunk()).await;
        let chunk = chunk.context("the daemon says nothing any more; take the backup again")?;
        let Some(chunk) =
            chunk.context("the backup broke off: the daemon's log says why; take it again")?
        else {
            break;
        };
        out.write_all(&chunk)
            .context("the backup cannot be written")?;
        progress.bytes += chunk.len() as u64;
        progress.tell();
    }
    out.flush().context("the backup cannot be written")?;
    drop(out);
    if !to_file {
        complain(&format!("backed up {}", progress.bytes_so_far()));
        return Ok(());
    }
    // What is on the disk is what counts.
    let written = File::open(part).context("the backup cannot be read again")?;
    written.sync_all().context("the backup cannot be written")?;
    let checked = backup::check(BufReader::new(written))?;
    fs::rename(part, file).with_context(|| format!("{} cannot be written", file.display()))?;
    complain(&format!(
        "backed up everything up to event {}, and {} files: {}",
        checked.manifest.seq,
        checked.end.attachments,
        progress.bytes_so_far()
    ));
    Ok(())
}

/// Options of `restore`.
#[derive(Debug, Args)]
#[command(after_help = "\
Nothing is sent or rung from what was restored until `deskbell resume`. The key that decrypts channels' secrets
(deskbell.key, or [secrets] key) is not in a backup: put it where it was. Where `erased.jsonl` of the old data
directory is still there, put it into the new one: who was erased since the backup is erased again.")]
pub(super) struct Restore {
    /// The backup; `-` is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Where everything is kept; it may hold no store [default: as the configuration says, else data]
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// The daemon's configuration, to find its data directory
    #[arg(long, env = "DESKBELL_CONFIG")]
    config: Option<PathBuf>,
}

impl Restore {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let overrides = Overrides {
            data_dir: self.data_dir,
            ..Overrides::default()
        };
        let config = match configuration(self.config.as_deref(), overrides) {
            Ok(config) => config,
            Err(code) => return Ok(code),
        };
        let backup: Box<dyn Read> = if self.file.as_os_str() == STANDARD {
            Box::new(io::stdin().lock())
        } else {
            let opened = File::open(&self.file);
            Box::new(BufReader::new(opened.with_context(|| {
                format!("{} cannot be read", self.file.display())
            })?))
        };
        let told = std::cell::Cell::new(0);
        let tell = |progress: StoreProgress| {
            let percent = progress.percent().unwrap_or(0);
            if percent / 10 != told.replace(percent / 10) {
                complain(&format!("making the store: {percent} %"));
            }
        };
        let kept = backup::restore(backup, &config.data_dir, &Clock::system(), &tell)?;
        say(&format!(
            "Restored the backup of {} into {}: everything up to event {}, and {} files.",
            kept.backup.manifest.made_at,
            config.data_dir.display(),
            kept.backup.manifest.seq,
            kept.backup.end.attachments
        ));
        say("Start the daemon. Nothing is sent or rung until you say `deskbell resume`.");
        Ok(ExitCode::SUCCESS)
    }
}

/// `deskbell resume`.
pub(super) fn resume(remote: &Remote) -> anyhow::Result<ExitCode> {
    let daemon = Daemon::find(remote)?;
    let answer = runtime()?.block_on(daemon.call(reqwest::Method::POST, "resume", None))?;
    if answer["was_held"] != true {
        say("Nothing was held back.");
        return Ok(ExitCode::SUCCESS);
    }
    say("The desk goes on.");
    match answer["answers_in_doubt"].as_u64() {
        Some(0) | None => {}
        Some(number) => say(&format!(
            "{number} answers waited in the backup and may have been sent since: each is looked for at its platform, and \
             becomes `unknown` where that does not tell."
        )),
    }
    Ok(ExitCode::SUCCESS)
}
