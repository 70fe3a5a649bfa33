//! The command line.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::{Parser, Subcommand, ValueEnum};
use tokio::sync::mpsc;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer as _;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::client::{self, Daemon, Failure};
use crate::keeping::{Account, Lock};
use crate::notices::Notices;
use crate::paths::{self, Paths};
use crate::policy::Tune;
use crate::settings::{self, Settings};
use crate::sound::Player;
use crate::{autostart, run};

/// Rings on this computer until somebody has taken the customer's message.
#[derive(Debug, Parser)]
#[command(name = "deskbell-desktop", version, about, long_about = None, after_help = "\
Start here:
  deskbell-desktop pair --server https://desk.example.com   with the code that the desk shows under Settings, Devices
  deskbell-desktop test                                     shows and sounds as if somebody waited
  deskbell-desktop autostart on                             starts it when you sign in to this computer

Without a command it runs. DESKBELL_LOG=debug makes it say more.
Exit status: 0 done, 1 failed, 2 wrong usage.")]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Lets this computer ring for you: with a code that the desk shows
    Pair(Pair),
    /// Rings until it is ended (this is what it does without a command)
    Run,
    /// Shows a notification and sounds the bell, as if somebody waited
    Test,
    /// Says who it rings for, and whether all that it needs is there
    Status,
    /// Signs this computer out, and forgets the daemon
    Forget,
    /// Starts it when you sign in to this computer, or not
    Autostart {
        /// Whether it is to start
        switch: Switch,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Switch {
    On,
    Off,
}

#[derive(Debug, clap::Args)]
struct Pair {
    /// The desk's address, as https://desk.example.com
    #[arg(long, env = "DESKBELL_SERVER")]
    server: String,
    /// The code that the desk shows; it asks for it where it is left out
    #[arg(value_name = "CODE")]
    shown: Option<String>,
    /// The same, by its name
    #[arg(long, conflicts_with = "shown")]
    code: Option<String>,
    /// What the desk is to call this computer [default: its own name]
    #[arg(long)]
    name: Option<String>,
    /// Allows an address without encryption; only in a network that you trust
    #[arg(long)]
    plain_http: bool,
}

/// Runs the command line.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let level = paths::log_filter().and_then(|level| level.parse().ok());
    let log = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    // What libraries find worth a word at their finest is nobody's business here, and may hold more than it should.
    let own = Targets::new()
        .with_default(LevelFilter::WARN)
        .with_target("deskbell_desktop", level.unwrap_or(LevelFilter::INFO));
    tracing_subscriber::registry()
        .with(log.with_filter(own))
        .init();
    let done = Paths::find().and_then(|paths| {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()?;
        let done = runtime.block_on(command(cli.command.unwrap_or(Command::Run), paths));
        // Something that hangs does not keep the program from ending.
        runtime.shutdown_timeout(Duration::from_secs(1));
        done
    });
    match done {
        Ok(code) => code,
        Err(error) => {
            // There is nowhere else to say it.
            let _ = writeln!(std::io::stderr(), "deskbell-desktop: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Prints a line to standard output; a reader that has gone (`| head`) is no error.
fn say(line: &str) {
    // The reader decides how much it wants.
    let _ = writeln!(std::io::stdout(), "{line}");
}

async fn command(command: Command, paths: Paths) -> Result<ExitCode> {
    match command {
        Command::Pair(wanted) => pair(wanted, &paths).await,
        Command::Run => run::run(paths).await.map(|()| ExitCode::SUCCESS),
        Command::Test => test(&paths).await,
        Command::Status => status(&paths).await,
        Command::Forget => forget(&paths).await,
        Command::Autostart { switch: Switch::On } => {
            say(&format!(
                "It starts when you sign in to this computer ({}).",
                autostart::on(&paths)?
            ));
            Ok(ExitCode::SUCCESS)
        }
        Command::Autostart {
            switch: Switch::Off,
        } => {
            autostart::off(&paths)?;
            say("It does not start by itself.");
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn pair(wanted: Pair, paths: &Paths) -> Result<ExitCode> {
    let server = client::address(&wanted.server, wanted.plain_http)?;
    let code = match wanted.shown.or(wanted.code) {
        Some(code) => code,
        None => tokio::task::spawn_blocking(ask_for_code).await??,
    };
    let code = code.trim().to_uppercase();
    ensure!(
        !code.is_empty(),
        "there is no code; the desk shows one under Settings, Devices"
    );
    let name = wanted.name.or_else(paths::computer_name);
    let name = name.unwrap_or_else(|| "A computer".to_owned());
    let claimed = client::claim(&server, &code, &name).await?;
    let account = Account {
        server: server.clone(),
        token: claimed.token,
        device_id: Some(claimed.device.id),
        user_id: Some(claimed.user.id),
        user_name: Some(claimed.user.name.clone()).filter(|name| !name.is_empty()),
    };
    account.save(paths)?;
    settings::explain(&paths.settings())?;
    say(&format!(
        "This computer rings for {} at {server}",
        claimed.user.name
    ));
    say("Try it:             deskbell-desktop test");
    say("At each sign-in:    deskbell-desktop autostart on");
    say(&format!(
        "Volume, quiet hours: {}",
        paths.settings().display()
    ));
    Ok(ExitCode::SUCCESS)
}

fn ask_for_code() -> Result<String> {
    let mut out = std::io::stdout();
    // Where nobody sees the question the answer may still come.
    let _ = write!(
        out,
        "The code that the desk shows under Settings, Devices: "
    );
    let _ = out.flush();
    let mut line = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut line)
        .context("the code cannot be read")?;
    Ok(line)
}

async fn test(paths: &Paths) -> Result<ExitCode> {
    let settings = Settings::load(&paths.settings())?;
    let (reactions, _gone) = mpsc::channel(4);
    let seen = Notices::start(reactions).show(run::example()).await;
    let heard = if settings.sound {
        let player = Player::start()?;
        let heard = player.play(Tune::Bell, 0, settings.volume).await;
        // Until it has sounded.
        tokio::time::sleep(Duration::from_millis(1_600)).await;
        heard
    } else {
        Ok(())
    };
    let line = |what: &str, result: &Result<(), String>, good: &str| match result {
        Ok(()) => say(&format!("{what} {good}")),
        Err(words) => say(&format!("{what} NOT WORKING: {words}")),
    };
    line("Notification", &seen, "shown");
    line(
        "Sound       ",
        &heard,
        if settings.sound {
            "played; turn up the volume if you heard nothing"
        } else {
            "turned off in the settings"
        },
    );
    Ok(exit(seen.is_ok() && heard.is_ok()))
}

fn exit(good: bool) -> ExitCode {
    if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

async fn status(paths: &Paths) -> Result<ExitCode> {
    let account = Account::load(paths)?;
    let mut good = account.is_some();
    match &account {
        None => say("Paired        no: deskbell-desktop pair --server https://…"),
        Some(account) => {
            say(&format!(
                "Paired        with {} as {}",
                account.server,
                account.user_name.as_deref().unwrap_or("a program")
            ));
            let daemon = Daemon::new(account.clone())?;
            match daemon.me().await {
                Ok(me) => say(&format!(
                    "Desk          answers, and lets {} in",
                    me["name"].as_str().unwrap_or("us")
                )),
                Err(failure) => {
                    good = false;
                    say(&format!("Desk          NOT WORKING: {failure}"));
                }
            }
        }
    }
    match Lock::take(paths)? {
        None => say("Running       yes"),
        Some(_) => {
            good = false;
            say("Running       no: nothing rings here until it does");
        }
    }
    say(&format!(
        "At sign-in    {}",
        if autostart::is_on(paths) {
            "it starts"
        } else {
            "it does not start: deskbell-desktop autostart on"
        }
    ));
    let (reactions, _gone) = mpsc::channel(4);
    match Notices::start(reactions).probe().await {
        Ok(what) => say(&format!("Notifications {what}")),
        Err(words) => {
            good = false;
            say(&format!("Notifications NOT WORKING: {words}"));
        }
    }
    match Settings::load(&paths.settings()) {
        Ok(settings) if !settings.sound => say("Sound         turned off in the settings"),
        Ok(_) => match Player::start()?.probe().await {
            Ok(()) => say("Sound         there is a device"),
            Err(words) => {
                good = false;
                say(&format!("Sound         NOT WORKING: {words}"));
            }
        },
        Err(error) => {
            good = false;
            say(&format!("Settings      NOT WORKING: {error:#}"));
        }
    }
    say(&format!("Settings      {}", paths.settings().display()));
    Ok(exit(good))
}

async fn forget(paths: &Paths) -> Result<ExitCode> {
    let Some(account) = Account::load(paths)? else {
        say("This computer is not paired.");
        return Ok(ExitCode::SUCCESS);
    };
    let removed = Daemon::new(account)?.remove_device().await;
    Account::forget(paths)?;
    match removed {
        Ok(()) | Err(Failure::SignedOut(_) | Failure::Refused { status: 404, .. }) => {
            say("This computer is signed out, and nothing rings here any more.");
            Ok(ExitCode::SUCCESS)
        }
        Err(failure) => {
            say(&format!(
                "Forgotten here. The desk could not be told ({failure}): delete this computer there, under Settings, Devices."
            ));
            Ok(ExitCode::FAILURE)
        }
    }
}
