//! `deskbell export`.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;

use super::client::Daemon;
use super::progress::Progress;
use super::{Remote, complain, runtime};
use crate::export::Check;

/// How long the daemon may be silent; a stretch of lines takes it milliseconds.
const SILENCE: Duration = Duration::from_secs(120);

/// Options of `export`.
#[derive(Debug, Args)]
pub(super) struct Export {
    /// Where to; `-` is standard output. A file is there once it is whole, and only its owner may read it
    #[arg(long, value_name = "FILE", default_value = "-")]
    out: PathBuf,
    #[command(flatten)]
    remote: Remote,
}

impl Export {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let daemon = Daemon::find(&self.remote)?;
        let runtime = runtime()?;
        let mut out = Out::open(&self.out)?;
        let taken = runtime.block_on(async {
            tokio::select! {
                taken = take(&daemon, &mut out) => taken,
                _ = tokio::signal::ctrl_c() => bail!("stopped; nothing was kept"),
            }
        });
        let taken = taken.and_then(|progress| out.finish().map(|()| progress));
        match taken {
            Ok(progress) => {
                complain(&format!("exported {}", progress.so_far()));
                Ok(ExitCode::SUCCESS)
            }
            Err(error) => {
                out.give_up();
                Err(error)
            }
        }
    }
}

/// Takes the lines, and checks that each can be read again and none is missing.
async fn take(daemon: &Daemon, out: &mut Out) -> anyhow::Result<Progress> {
    let mut answer = daemon.stream("exports").await?;
    let mut progress = Progress::begin("export", None);
    let mut check = Check::default();
    let mut rest = Vec::new();
    loop {
        let chunk = tokio::time::timeout(SILENCE, answer.chunk()).await;
        let chunk = chunk.context("the daemon says nothing any more; export again")?;
        let broke_off = "the export broke off: the daemon's log says why, or what lies between took too long to read; \
                         export again";
        let Some(chunk) = chunk.context(broke_off)? else {
            break;
        };
        out.write(&chunk)?;
        progress.bytes += chunk.len() as u64;
        rest.extend_from_slice(&chunk);
        let mut from = 0;
        while let Some(length) = rest[from..].iter().position(|byte| *byte == b'\n') {
            check.line(&rest[from..from + length])?;
            progress.lines += 1;
            from += length + 1;
        }
        rest.drain(..from);
        progress.tell();
    }
    if !rest.is_empty() {
        bail!("the export broke off in the middle of a line; export again");
    }
    check.finish()?;
    Ok(progress)
}

/// Where the lines go.
enum Out {
    Standard(std::io::Stdout),
    File {
        /// `None` once it is given up or finished.
        writer: Option<BufWriter<File>>,
        part: PathBuf,
        path: PathBuf,
    },
}

impl Out {
    fn open(path: &Path) -> anyhow::Result<Self> {
        if path.as_os_str() == "-" {
            return Ok(Self::Standard(std::io::stdout()));
        }
        let mut part = path.as_os_str().to_owned();
        part.push(".part");
        let part = PathBuf::from(part);
        // It holds what customers wrote.
        let file = OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(&part)
            .with_context(|| format!("{} cannot be written", part.display()))?;
        Ok(Self::File {
            writer: Some(BufWriter::new(file)),
            part,
            path: path.to_owned(),
        })
    }

    fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        match self {
            Self::Standard(stdout) => stdout
                .write_all(bytes)
                .context("standard output cannot be written"),
            Self::File { writer, part, .. } => match writer {
                Some(writer) => writer.write_all(bytes),
                None => Ok(()),
            }
            .with_context(|| format!("{} cannot be written", part.display())),
        }
    }

    /// All is there: it gets its name.
    fn finish(&mut self) -> anyhow::Result<()> {
        match self {
            Self::Standard(stdout) => stdout.flush().context("standard output cannot be written"),
            Self::File { writer, part, path } => {
                let said = |what: &Path| format!("{} cannot be written", what.display());
                if let Some(writer) = writer.take() {
                    let file = writer
                        .into_inner()
                        .map_err(std::io::IntoInnerError::into_error);
                    file.and_then(|file| file.sync_all())
                        .with_context(|| said(part))?;
                }
                std::fs::rename(&*part, &*path).with_context(|| said(path))
            }
        }
    }

    /// Leaves no half file.
    fn give_up(&mut self) {
        if let Self::File { writer, part, .. } = self {
            drop(writer.take());
            // Best effort: its name says that it is a part.
            let _ = std::fs::remove_file(part);
        }
    }
}
