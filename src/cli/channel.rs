//! `deskbell channel`: the channels of a running daemon.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Read as _};
use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use clap::{Args, Subcommand};
use deskbell_sdk::Secret;
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::client::Daemon;
use super::{Remote, complain, runtime, say};
use crate::config::process_environment;

/// Longest secret that is read from a file or from standard input, in bytes.
const SECRET_BYTES: u64 = 64 * 1024;

/// Commands about channels.
#[derive(Debug, Subcommand)]
pub(super) enum ChannelCommand {
    /// Lists the channels and how they stand
    List(Remote),
    /// Adds a channel to a running daemon; it is open at once
    #[command(after_help = "\
Examples:
  deskbell channel add --connector webchat --id site --name \"Our website\" \\
      --set allowed_origins=https://www.shop.example
  deskbell channel add --connector messenger --id shop-page --name \"Shop on Facebook\" \\
      --set app_id=4242424242 --set page_id=1029384756 \\
      --secret app_secret=file:app.secret --secret verify_token=env:VERIFY_TOKEN \\
      --secret page_access_token=-

GET /api/v1/connectors and each connector's README say which settings there are. Its secrets are kept encrypted.")]
    Add(Add),
    /// Makes a channel's platform deliver to the daemon, and says what the platform has now
    Register(super::register::Register),
    /// Removes a channel that was added to a running daemon; its history stays
    Remove {
        /// The channel's id, as `list` shows it
        id: String,
        /// Do not ask
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        remote: Remote,
    },
}

/// A channel to add.
#[derive(Debug, Args)]
pub(super) struct Add {
    /// What it is: messenger, webchat …
    #[arg(long)]
    connector: String,
    /// Its name in URLs: 1 to 63 of a-z, 0-9 and -
    #[arg(long)]
    id: String,
    /// What people call it [default: the connector's title]
    #[arg(long)]
    name: Option<String>,
    /// A setting; may be given several times. Items of a list are separated by commas
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// A secret, from an environment variable, a file or standard input; may be given several times
    #[arg(long = "secret", value_name = "KEY=env:NAME|file:PATH|-")]
    secrets: Vec<String>,
    /// The platform's address, where it is not the connector's own
    #[arg(long)]
    api_base: Option<String>,
    /// Do not fetch what was missed
    #[arg(long)]
    no_catch_up: bool,
    #[command(flatten)]
    remote: Remote,
}

impl ChannelCommand {
    pub(super) fn run(self) -> Result<ExitCode> {
        match self {
            Self::List(remote) => list(&remote),
            Self::Add(add) => add.run(),
            Self::Register(register) => register.run(),
            Self::Remove { id, yes, remote } => remove(&id, yes, &remote),
        }
    }
}

fn list(remote: &Remote) -> Result<ExitCode> {
    let daemon = Daemon::find(remote)?;
    let answer = runtime()?.block_on(daemon.call(Method::GET, "channels?limit=200", None))?;
    let channels = answer["data"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    for channel in channels {
        let text = |key: &str| channel[key].as_str().unwrap_or_default().to_owned();
        say(&format!(
            "{:<24} {:<12} {:<8} {}",
            text("id"),
            text("connector"),
            text("state"),
            text("name")
        ));
        let detail = text("detail");
        if !detail.is_empty() {
            say(&format!("{:<24} {detail}", ""));
        }
    }
    if channels.is_empty() {
        say("There are no channels.");
    }
    Ok(ExitCode::SUCCESS)
}

impl Add {
    fn run(self) -> Result<ExitCode> {
        let daemon = Daemon::find(&self.remote)?;
        let runtime = runtime()?;
        let connectors = runtime.block_on(daemon.call(Method::GET, "connectors", None))?;
        let described = described(&connectors, &self.connector)?;
        let mut settings = plain(&described, &self.settings)?;
        let mut stdin = Stdin::default();
        for (key, secret) in secrets(&described, &self.secrets, &mut stdin)? {
            ensure!(
                !settings.contains_key(&key),
                "{key} is given twice; keep one of them"
            );
            settings.insert(key, Value::from(secret.expose()));
        }
        let mut body = json!({
            "id": self.id,
            "connector": self.connector,
            "settings": settings,
            "catch_up": !self.no_catch_up,
        });
        if let Some(name) = self.name {
            body["name"] = Value::from(name);
        }
        if let Some(api_base) = self.api_base {
            body["api_base"] = Value::from(api_base);
        }
        let added = runtime.block_on(daemon.call(Method::POST, "channels", Some(&body)))?;
        let text = |value: &Value| value.as_str().map(str::to_owned);
        say(&format!("{} is open.", self.id));
        if let Some(address) = text(&added["webhook_url"]) {
            say(&format!("The platform delivers to {address}"));
        }
        if let Some(script) = text(&added["chat"]["script_url"]) {
            say(&format!(
                "Put this into the pages of the shop: <script src=\"{script}\" async></script>"
            ));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The settings of a connector by key, with their kind.
type Described = BTreeMap<String, String>;

/// What the daemon's connector of this name wants to be told.
fn described(connectors: &Value, wanted: &str) -> Result<Described> {
    let all = connectors["data"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let found = all.iter().find(|connector| connector["id"] == wanted);
    let Some(found) = found else {
        let known: Vec<_> = all.iter().filter_map(|one| one["id"].as_str()).collect();
        bail!(
            "--connector {wanted} is unknown; the daemon has {}",
            known.join(", ")
        )
    };
    let settings = found["settings"].as_array().into_iter().flatten();
    Ok(settings
        .filter_map(|setting| {
            let text = |key: &str| setting[key].as_str().map(str::to_owned);
            Some((text("key")?, text("kind")?))
        })
        .collect())
}

/// The plain settings, each as its kind has it. An unknown one goes as a text: the daemon names it.
fn plain(described: &Described, given: &[String]) -> Result<Map<String, Value>> {
    let mut settings = Map::new();
    for pair in given {
        // The whole may be a secret in the wrong place, and is not repeated.
        let (key, value) = pair
            .split_once('=')
            .ok_or_else(|| anyhow!("--set takes KEY=VALUE, as --set page_id=1029384756"))?;
        let value = match described.get(key).map(String::as_str) {
            Some("secret") => bail!(
                "{key} is a secret, and every user of this machine can read the arguments of a command: give it by \
                 --secret {key}=env:NAME, {key}=file:PATH or {key}=-"
            ),
            Some("flag") => Value::from(
                value
                    .parse::<bool>()
                    .map_err(|_| anyhow!("{key} is true or false, as --set {key}=true"))?,
            ),
            Some("list") => {
                let items = value.split(',').map(str::trim);
                items.filter(|item| !item.is_empty()).collect()
            }
            _ => Value::from(value),
        };
        ensure!(
            settings.insert(key.to_owned(), value).is_none(),
            "{key} is given twice; keep one of them"
        );
    }
    Ok(settings)
}

/// Standard input holds one secret.
#[derive(Debug, Default)]
struct Stdin {
    taken_by: Option<String>,
}

/// The secrets, from where they are.
fn secrets(
    described: &Described,
    given: &[String],
    stdin: &mut Stdin,
) -> Result<Vec<(String, Secret)>> {
    let mut secrets: Vec<(String, Secret)> = Vec::new();
    for pair in given {
        // The whole may be a secret in the wrong place, and is not repeated.
        let (key, source) = pair.split_once('=').ok_or_else(|| {
            anyhow!("--secret takes KEY=env:NAME, KEY=file:PATH or KEY=- (standard input)")
        })?;
        if described.get(key).is_some_and(|kind| kind != "secret") {
            bail!("{key} is no secret: give it by --set {key}=VALUE");
        }
        ensure!(
            secrets.iter().all(|(other, _)| other != key),
            "{key} is given twice; keep one of them"
        );
        let secret = secret(key, source, stdin)?;
        secrets.push((key.to_owned(), secret));
    }
    Ok(secrets)
}

fn secret(key: &str, source: &str, stdin: &mut Stdin) -> Result<Secret> {
    let text = if let Some(name) = source.strip_prefix("env:") {
        let environment = process_environment();
        let text = environment.get(name).cloned();
        text.ok_or_else(|| anyhow!("{key}: the environment variable {name} is not set"))?
    } else if let Some(path) = source.strip_prefix("file:") {
        let file =
            std::fs::File::open(path).with_context(|| format!("{key}: {path} cannot be read"))?;
        read(key, file).with_context(|| format!("{key}: {path} cannot be read"))?
    } else if source == "-" {
        if let Some(other) = stdin.taken_by.replace(key.to_owned()) {
            bail!("{key} and {other} cannot both be read from standard input");
        }
        read(key, std::io::stdin()).with_context(|| format!("{key}: standard input"))?
    } else {
        bail!(
            "--secret {key}= takes env:NAME, file:PATH or - (standard input), never the secret itself: every user of \
             this machine can read the arguments of a command"
        )
    };
    ensure!(!text.trim().is_empty(), "{key}: the secret is empty");
    Ok(Secret::new(text))
}

/// The text of a file, without the one newline that an editor or `echo` puts at its end.
fn read(key: &str, source: impl std::io::Read) -> Result<String> {
    let mut text = String::new();
    source.take(SECRET_BYTES + 1).read_to_string(&mut text)?;
    ensure!(
        text.len() as u64 <= SECRET_BYTES,
        "{key} is longer than {SECRET_BYTES} bytes"
    );
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

fn remove(id: &str, yes: bool, remote: &Remote) -> Result<ExitCode> {
    let daemon = Daemon::find(remote)?;
    // What is no slug would be another path.
    ensure!(
        crate::config::is_slug(id),
        "{id:?} is no channel's id; `deskbell channel list` shows them"
    );
    if !yes && !confirmed(id)? {
        complain("nothing was removed");
        return Ok(ExitCode::FAILURE);
    }
    runtime()?.block_on(daemon.call(Method::DELETE, &format!("channels/{id}"), None))?;
    say(&format!("{id} is removed; its history stays."));
    Ok(ExitCode::SUCCESS)
}

/// Whether a person at the terminal says yes.
fn confirmed(id: &str) -> Result<bool> {
    if !std::io::stdin().is_terminal() {
        bail!("nobody is here to ask: say --yes to remove {id}");
    }
    complain(&format!(
        "{id} will receive and answer no more, and its settings are forgotten; its history stays. Remove it? [y/N]"
    ));
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(
        answer.trim().to_ascii_lowercase().as_str(),
        "y" | "yes"
    ))
}
