//! The command line: one file a command.

mod backup;
mod channel;
mod check;
mod client;
mod export;
mod health;
mod import;
mod keep_command;
mod progress;
mod register;
mod replay;
mod serve;
mod token;
mod user;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, Parser, Subcommand};

use crate::config::{self, Config, Overrides};
use crate::registry::KINDS;

/// One feed for a shop's customer messages, and a bell that rings until a person has taken them.
#[derive(Debug, Parser)]
#[command(name = "deskbell", version, about, long_about = None, after_help = "\
Start here:
  deskbell serve                       runs on http://127.0.0.1:8080 with a website chat to try
  deskbell check --config shop.toml    says what is wrong with a configuration

Exit status: 0 done, 1 failed, 2 wrong usage.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the daemon
    Serve(serve::Serve),
    /// Checks the configuration, and each channel's credentials at its platform
    Check(check::Check),
    /// Asks a running daemon whether it is ready: exit status 0 or 1
    Health(Remote),
    /// Channels of a running daemon
    Channel {
        #[command(subcommand)]
        command: channel::ChannelCommand,
    },
    /// API tokens of a running daemon
    Token {
        #[command(subcommand)]
        command: token::TokenCommand,
    },
    /// People of the shop, of a running daemon
    User {
        #[command(subcommand)]
        command: user::UserCommand,
    },
    /// Takes the whole history away: messages, files, contacts, as JSON Lines
    Export(export::Export),
    /// Takes an exported history in; what is here already stays as it is
    Import(import::Import),
    /// Takes a backup of a running daemon: messages, files, everything but the key
    Backup(backup::Backup),
    /// Brings a backup back into a data directory without a store
    Restore(backup::Restore),
    /// Lets a restored desk send and ring again
    Resume(Remote),
    /// Decodes a channel's deliveries once more as they are kept: what was not understood then and is now comes in
    Replay(replay::Replay),
    /// Runs a command of `[[hooks.command]]` for the daemon
    #[command(name = crate::hooks::KEEP, hide = true)]
    Keep,
    /// Prints the API's description (OpenAPI 3.1)
    Openapi,
    /// Prints the completions of a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

/// Which daemon a command talks to. On the daemon's own machine nothing need be given: both are found in a file of the
/// data directory that only its owner reads.
#[derive(Clone, Debug, Args)]
struct Remote {
    /// The daemon's address, as https://desk.example.com
    #[arg(long, env = "DESKBELL_SERVER")]
    server: Option<String>,
    /// An API token
    #[arg(long, env = "DESKBELL_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Where a daemon on this machine keeps its data [default: as the configuration says, else data]
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// The daemon's configuration, to find its data directory
    #[arg(long, env = "DESKBELL_CONFIG")]
    config: Option<PathBuf>,
}

/// Runs the command line.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    crate::http_client::install_tls();
    let result = match cli.command {
        Command::Serve(serve) => serve.run(),
        Command::Check(check) => check.run(),
        Command::Health(remote) => health::run(&remote),
        Command::Channel { command } => command.run(),
        Command::Token { command } => command.run(),
        Command::User { command } => command.run(),
        Command::Export(export) => export.run(),
        Command::Import(import) => import.run(),
        Command::Backup(backup) => backup.run(),
        Command::Restore(restore) => restore.run(),
        Command::Resume(remote) => backup::resume(&remote),
        Command::Replay(replay) => replay.run(),
        Command::Keep => keep_command::run(),
        Command::Openapi => openapi(),
        Command::Completions { shell } => completions(shell),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            complain(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Prints a line to standard output; a reader that has gone (`| head`) is no error.
fn say(line: &str) {
    // The reader decides how much it wants.
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Prints a line to standard error.
fn complain(line: &str) {
    // There is nowhere else to say it.
    let _ = writeln!(std::io::stderr(), "deskbell: {line}");
}

fn openapi() -> anyhow::Result<ExitCode> {
    say(&crate::api::docs::document().to_pretty_json()?);
    Ok(ExitCode::SUCCESS)
}

fn completions(shell: clap_complete::Shell) -> anyhow::Result<ExitCode> {
    // Into memory first: clap_complete panics on a closed pipe.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "deskbell", &mut script);
    say(String::from_utf8_lossy(&script).trim_end());
    Ok(ExitCode::SUCCESS)
}

/// Reads the configuration; all that is wrong with it is told at once.
fn configuration(file: Option<&std::path::Path>, overrides: Overrides) -> Result<Config, ExitCode> {
    config::load(file, &config::process_environment(), overrides, KINDS).map_err(|errors| {
        for error in errors {
            complain(&error.to_string());
        }
        ExitCode::FAILURE
    })
}

/// A runtime for a command.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?)
}
