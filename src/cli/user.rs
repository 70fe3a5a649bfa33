//! `deskbell user`.

use std::io::{IsTerminal as _, Read as _};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::{Subcommand, ValueEnum};
use reqwest::Method;
use serde_json::{Value, json};

use super::client::Daemon;
use super::{Remote, complain, runtime, say};

/// The longest line that is read as a password, in bytes.
const MAX_PASSWORD_BYTES: u64 = 4096;

/// What somebody may do.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Role {
    /// Everything
    Admin,
    /// Read and answer
    Agent,
    /// Read
    Viewer,
}

/// Commands about the people of the shop.
#[derive(Debug, Subcommand)]
pub(super) enum UserCommand {
    /// Adds a person and prints a link by which they set their password, once and within a day
    Add {
        /// The e-mail address, by which they sign in
        #[arg(long)]
        email: String,
        /// The name that others see
        #[arg(long)]
        name: String,
        /// What they may do
        #[arg(long, value_enum, default_value_t = Role::Agent)]
        role: Role,
        /// The channels that they may see, with commas between them [default: all]
        #[arg(long, value_delimiter = ',')]
        channels: Vec<String>,
        /// Takes the password from standard input instead of making a link
        #[arg(long)]
        password_stdin: bool,
        #[command(flatten)]
        remote: Remote,
    },
    /// Lists the people
    List(Remote),
    /// Gives a person a new password: prints a link by which they set it, or takes it from standard input
    Passwd {
        /// The e-mail address
        email: String,
        /// Takes the password from standard input instead of making a link; it ends all their sessions
        #[arg(long)]
        password_stdin: bool,
        #[command(flatten)]
        remote: Remote,
    },
}

impl UserCommand {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let runtime = runtime()?;
        match self {
            Self::Add {
                email,
                name,
                role,
                channels,
                password_stdin,
                remote,
            } => {
                let role = role.to_possible_value();
                let role = role.map(|role| role.get_name().to_owned());
                let mut body = json!({ "email": email, "name": name, "role": role });
                if !channels.is_empty() {
                    body["channels"] = json!(channels);
                }
                if password_stdin {
                    body["password"] = json!(password()?);
                }
                let daemon = Daemon::find(&remote)?;
                let added = runtime.block_on(daemon.call(Method::POST, "users", Some(&body)))?;
                if password_stdin {
                    say(added["id"].as_str().unwrap_or_default());
                } else {
                    show_link(&added["invitation"]);
                }
            }
            Self::List(remote) => {
                let daemon = Daemon::find(&remote)?;
                let people = runtime.block_on(all(&daemon))?;
                if people.is_empty() {
                    say(
                        "There is nobody yet. Open the set-up link that `serve` printed, or use `deskbell user add`.",
                    );
                }
                for person in people {
                    let text = |key: &str| person[key].as_str().unwrap_or_default().to_owned();
                    say(&format!(
                        "{:<18} {:<30} {:<24} {:<7} {:<9} {}",
                        text("id"),
                        text("email"),
                        text("name"),
                        text("role"),
                        text("status"),
                        person["channels"]
                    ));
                }
            }
            Self::Passwd {
                email,
                password_stdin,
                remote,
            } => {
                let daemon = Daemon::find(&remote)?;
                let id = runtime.block_on(find(&daemon, &email))?;
                if password_stdin {
                    let body = json!({ "password": password()? });
                    let path = format!("users/{id}");
                    runtime.block_on(daemon.call(Method::PATCH, &path, Some(&body)))?;
                    say("The password is changed; all sessions of this person are over.");
                } else {
                    let path = format!("users/{id}/invitation");
                    let link = runtime.block_on(daemon.call(Method::POST, &path, None))?;
                    show_link(&link);
                }
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn show_link(link: &Value) {
    let until = link["expires_at"].as_str().unwrap_or_default();
    complain(&format!(
        "give this link to the person, and to nobody else; it works once, until {until}"
    ));
    say(link["url"].as_str().unwrap_or_default());
}

/// The first line of standard input.
fn password() -> anyhow::Result<String> {
    let input = std::io::stdin();
    if input.is_terminal() {
        bail!(
            "--password-stdin takes the password from a pipe, as in `pass show deskbell | deskbell user …`: what is typed \
             here would be seen"
        );
    }
    let mut text = String::new();
    input
        .lock()
        .take(MAX_PASSWORD_BYTES)
        .read_to_string(&mut text)
        .context("the password cannot be read from standard input")?;
    let line = text.lines().next().unwrap_or_default();
    if line.is_empty() {
        bail!("there is no password on standard input");
    }
    Ok(line.to_owned())
}

/// Everybody.
async fn all(daemon: &Daemon) -> anyhow::Result<Vec<Value>> {
    let mut people = Vec::new();
    let mut path = "users?limit=200".to_owned();
    loop {
        let page = daemon.call(Method::GET, &path, None).await?;
        people.extend(page["data"].as_array().cloned().unwrap_or_default());
        match page["next"].as_str() {
            Some(next) => path = format!("users?limit=200&cursor={next}"),
            None => return Ok(people),
        }
    }
}

/// The id of the person with this e-mail address.
async fn find(daemon: &Daemon, email: &str) -> anyhow::Result<String> {
    let wanted = email.trim().to_lowercase();
    let people = all(daemon).await?;
    let has = |person: &&Value| {
        let email = person["email"].as_str().unwrap_or_default();
        email.trim().to_lowercase() == wanted
    };
    match people
        .iter()
        .find(has)
        .and_then(|person| person["id"].as_str())
    {
        Some(id) => Ok(id.to_owned()),
        None => {
            bail!("nobody has the e-mail address {email}; `deskbell user list` shows everybody")
        }
    }
}
