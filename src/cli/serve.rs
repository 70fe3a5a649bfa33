//! `deskbell serve`.

use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::{configuration, runtime, say};
use crate::config::{Config, LogFormat, Overrides};
use crate::registry::KINDS;
use crate::run::{Started, run};

/// Options of `serve`.
#[derive(Debug, Args)]
pub(super) struct Serve {
    /// The configuration [default: ./deskbell.toml where it exists]
    #[arg(long, env = "DESKBELL_CONFIG")]
    config: Option<PathBuf>,
    /// Address and port to listen on [default: 127.0.0.1:8080]
    #[arg(long)]
    listen: Option<SocketAddr>,
    /// Where everything is kept [default: data]
    #[arg(long)]
    data_dir: Option<PathBuf>,
}

impl Serve {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        keep_memory_private();
        keep_memory_small();
        let overrides = Overrides {
            listen: self.listen,
            data_dir: self.data_dir,
            ..Overrides::default()
        };
        let config = match configuration(self.config.as_deref(), overrides) {
            Ok(config) => config,
            Err(code) => return Ok(code),
        };
        log(&config);
        raise_file_limit();
        let runtime = runtime()?;
        runtime.block_on(serve(config))?;
        // A blocked read of a file must not hold up the end.
        runtime.shutdown_timeout(std::time::Duration::from_millis(500));
        Ok(ExitCode::SUCCESS)
    }
}

async fn serve(config: Config) -> anyhow::Result<()> {
    let listener = TcpListener::bind(config.listen).await.with_context(|| {
        format!("cannot listen on {}; is another daemon running there? Choose another with `listen` or --listen", config.listen)
    })?;
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    // Without this a file that meets a limit on its size ends the process; with it the write fails, and senders are
    // asked to try again (F08). Once asked for, the signal stays caught.
    let _too_large = signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw()))?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping: running requests have a few seconds to end");
        stop.cancel();
    });
    run(config, KINDS, listener, shutdown, announce).await
}

/// Tells the operator what is up, in plain words.
fn announce(started: &Started) {
    say(&format!("Deskbell {} is ready.", env!("CARGO_PKG_VERSION")));
    say(&format!("  Desk      {}/", started.url));
    match &started.setup_url {
        Some(link) => {
            say(&format!("  Set up    {link}"));
            say("            (opens an administrator's session; works once)");
        }
        None => say(&format!("  Sign in   {}/", started.url)),
    }
    if started.channels.is_empty() {
        say(
            "  Channels  none; add one with `deskbell channel add`, or to the configuration as [[channels]]",
        );
    }
    for (id, title, line) in &started.channels {
        say(&format!("  Channel   {id} ({title}): {line}"));
    }
    for note in &started.notes {
        say(&format!("  Note      {note}"));
    }
}

fn log(config: &Config) {
    let levels: Targets = config
        .log
        .level
        .parse()
        .unwrap_or_else(|_| Targets::new().with_default(tracing::Level::INFO));
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    let log = tracing_subscriber::registry().with(levels);
    // Where something has set up the log already, that stands.
    let _ = match config.log.format {
        LogFormat::Json => log.with(lines.json()).try_init(),
        LogFormat::Text => log.with(lines.with_target(false)).try_init(),
    };
}

/// Secrets are in memory while the daemon runs: a crash writes none of it to a disk, and other processes of the same
/// user cannot read it (K05).
fn keep_memory_private() {
    use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
    // Where the system refuses, the daemon is no worse than others.
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    let _ = setrlimit(Resource::Core, none);
}

/// Huge pages would be taken whole where a few bytes of them are used: 60 MB more from the start, and a stop of a tenth
/// of a millisecond at the first touch of each.
fn keep_memory_small() {
    // Where the system refuses, the daemon only takes more.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

/// Many systems begin with 1,024 open files, which is fewer than the connections that are allowed.
fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // What cannot be raised stays as it is; connections beyond it are refused one by one.
    let _ = setrlimit(Resource::Nofile, limit);
}

#[cfg(test)]
mod tests {
    #[test]
    fn k05_no_memory_is_dumped() {
        use rustix::process::{DumpableBehavior, Resource, dumpable_behavior, getrlimit};
        super::keep_memory_private();
        assert_eq!(dumpable_behavior(), Ok(DumpableBehavior::NotDumpable));
        assert_eq!(getrlimit(Resource::Core).current, Some(0));
    }
}
