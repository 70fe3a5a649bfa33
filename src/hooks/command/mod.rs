//! Programs of this machine that are told what happens (O05, O06): what stands in the configuration is run, never what a
//! message or the store says. Each run has a keeper, a process of its own ([`keeper`]).

mod keeper;
mod processes;

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;

pub use keeper::keep;

use keeper::{End, MOST_PROCESSES, Order, Report};

use super::send::{Tried, words};
use super::target::Verdict;
use crate::app::{App, Daemon};
use crate::config::{self, HookCommand, check_program};
use crate::desk::hooks::commands::{SetCommands, WantedCommand};
use crate::store::entry::{Actor, HookAttempt, HookDeliveryEntry, HookEntry};

/// The subcommand of this program that is a keeper.
pub const KEEP: &str = "keep-command";
/// This program, also where another has taken its place on the disk.
const OURSELVES: &str = "/proc/self/exe";
/// How many commands run at once, of all hooks together.
pub(super) const AT_ONCE: usize = 4;
/// How many of one hook: one that hangs leaves places to others.
pub(super) const AT_ONCE_OF_ONE: usize = 2;
/// How long a keeper has behind the time of its command. It needs milliseconds, but on a machine that is full.
const KEEPER_LEAVE: Duration = Duration::from_secs(15);
/// The longest report, in bytes: a kilobyte of output, each byte of it escaped.
const LONGEST_REPORT: u64 = 64 * 1024;

/// Brings the hooks of the kind `command` to what the configuration says.
#[must_use]
pub fn commands_of(config: &config::Hooks) -> SetCommands {
    let wanted = |command: &HookCommand| WantedCommand {
        id: command.id.clone(),
        program: command.program.to_string_lossy().into_owned(),
        events: command.events.clone(),
        channels: command.channels.clone(),
        escalation: command.escalation,
        enabled: command.enabled,
    };
    SetCommands {
        wanted: config.commands.iter().map(wanted).collect(),
        by: Actor::system(),
    }
}

/// What the operator should know: commands that are to hear of channels that are not there. They may be made later.
#[must_use]
pub fn unknown_channels(app: &Daemon) -> Vec<String> {
    let commands = app.config.hooks.commands.iter();
    let all = commands.flat_map(|command| {
        let slugs = command.channels.iter().flatten();
        slugs.map(|slug| (&command.id, slug))
    });
    all.filter(|(_, slug)| app.channels.number_of(slug).is_none())
        .map(|(id, slug)| {
            format!("The command `{id}` of [[hooks.command]] is to hear of the channel `{slug}`, which is not there.")
        })
        .collect()
}

/// Runs the command of a hook, once.
pub(super) async fn try_once(app: &App, hook: &HookEntry, told: &HookDeliveryEntry) -> Tried {
    // Closed by nobody.
    let _place = app.hooks.places.acquire().await;
    let (at, started) = (app.clock.now(), std::time::Instant::now());
    let ran = match order(app, hook, told) {
        Ok(order) => run(&order).await,
        Err(why) => Err(why),
    };
    let whole_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let (took_ms, status, error, answer) = match ran {
        Ok((report, timeout_ms)) => {
            let (status, error) = told_of(&report.end, timeout_ms);
            let answer = Some(words(report.output.as_bytes())).filter(|said| !said.is_empty());
            (report.took_ms, status, error, answer)
        }
        Err(why) => (whole_ms, None, Some(why), None),
    };
    let verdict = match &error {
        None => Verdict::Taken,
        // A code does not tell whether it is this event or all.
        Some(_) => Verdict::Trouble { after_ms: None },
    };
    let attempt = HookAttempt {
        at,
        took_ms,
        status,
        error,
        answer,
    };
    Tried { attempt, verdict }
}

/// The exit code, and what went wrong.
fn told_of(end: &End, timeout_ms: u64) -> (Option<u16>, Option<String>) {
    match end {
        End::Code(0) => (Some(0), None),
        End::Code(code) => (
            Some((*code).into()),
            Some(format!("ended with exit code {code}")),
        ),
        End::Signal(signal) => (None, Some(format!("was ended by signal {signal}"))),
        End::NotBegun(why) => (None, Some(format!("could not be started: {why}"))),
        End::TooLong => {
            let seconds = timeout_ms / 1000;
            let why = format!("still ran after {seconds} s and was ended (`timeout_s`)");
            (None, Some(why))
        }
        End::TooMany => {
            let why = format!("began more than {MOST_PROCESSES} processes and was ended");
            (None, Some(why))
        }
        End::Unwanted => (None, Some("was ended".to_owned())),
    }
}

/// What is to be run: the program and its arguments by the configuration alone. What happened is on the input.
fn order(app: &Daemon, hook: &HookEntry, told: &HookDeliveryEntry) -> Result<Order, String> {
    let commands = &app.config.hooks.commands;
    let is_it = |command: &&HookCommand| Some(&command.id) == hook.command.as_ref();
    let command = commands
        .iter()
        .find(is_it)
        .ok_or_else(|| "it does not stand in the configuration file".to_owned())?;
    check_program(&command.program)?;
    let program = command.program.to_str();
    let program = program.ok_or_else(|| "the path of its program is no text".to_owned())?;
    Ok(Order {
        program: program.to_owned(),
        args: command.args.clone(),
        environment: environment(command, told),
        timeout_ms: u64::try_from(command.timeout.as_millis()).unwrap_or(u64::MAX),
        input: input(told)?,
    })
}

/// The whole environment of a program: nothing of the daemon's own, and no word of a customer.
fn environment(command: &HookCommand, told: &HookDeliveryEntry) -> BTreeMap<String, String> {
    let ours = [
        ("PATH", "/usr/bin:/bin".to_owned()),
        ("DESKBELL_EVENT", told.event.clone()),
        ("DESKBELL_HOOK", command.id.clone()),
        ("DESKBELL_ID", told.webhook_id()),
        ("DESKBELL_HOPS", told.hops.saturating_add(1).to_string()),
    ];
    let ours = ours
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value));
    let theirs = &command.environment;
    let theirs = theirs
        .iter()
        .map(|(name, value)| (name.clone(), value.expose().to_owned()));
    // Theirs may be another PATH; names that begin with DESKBELL_ the configuration refuses.
    ours.chain(theirs).collect()
}

/// The event with its id, so that the program knows what it had before; a line of JSON.
fn input(told: &HookDeliveryEntry) -> Result<String, String> {
    let body: Result<serde_json::Value, _> = serde_json::from_str(&told.body);
    let mut body = body.map_err(|_| "what was kept of it cannot be read".to_owned())?;
    body["id"] = told.webhook_id().into();
    Ok(format!("{body}\n"))
}

/// Has a keeper run it. Whoever drops this ends the run: the keeper hears that its input is closed.
async fn run(order: &Order) -> Result<(Report, u64), String> {
    let mut keeper = Command::new(OURSELVES)
        .arg0("deskbell")
        .arg(KEEP)
        .env_clear()
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        // What a terminal sends to the daemon is not for it: it would end before what it keeps.
        .process_group(0)
        .spawn()
        .map_err(|error| format!("its keeper could not be started: {error}"))?;
    let (Some(mut input), Some(output)) = (keeper.stdin.take(), keeper.stdout.take()) else {
        return Err("its keeper has no input and output".to_owned());
    };
    let mut line = serde_json::to_vec(order).map_err(|error| error.to_string())?;
    line.push(b'\n');
    let mut said = Vec::new();
    let all = async {
        let _ = input.write_all(&line).await;
        let _ = output.take(LONGEST_REPORT).read_to_end(&mut said).await;
        keeper.wait().await
    };
    let longest = Duration::from_millis(order.timeout_ms) + KEEPER_LEAVE;
    match tokio::time::timeout(longest, all).await {
        Ok(Ok(status)) => match serde_json::from_slice(&said) {
            Ok(report) => Ok((report, order.timeout_ms)),
            Err(_) => Err(format!("its keeper ended without a word: {status}")),
        },
        Ok(Err(error)) => Err(format!("its keeper was lost: {error}")),
        Err(_) => {
            // It may have ended at this moment.
            let _ = keeper.start_kill();
            Err("its keeper hung and was ended".to_owned())
        }
    }
}
