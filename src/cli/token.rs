//! `deskbell token`.

use std::process::ExitCode;

use clap::{Subcommand, ValueEnum};
use reqwest::Method;
use serde_json::json;

use super::client::Daemon;
use super::{Remote, complain, runtime, say};

/// What a token may do.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Scope {
    /// Read everything in its channels
    Read,
    /// Answer, assign, label
    Write,
    /// Everything
    Admin,
}

/// Commands about tokens.
#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Makes a token and prints it, once
    Create {
        /// What it is for
        name: String,
        /// What it may do; may be given several times
        #[arg(long = "scope", value_enum, default_values_t = [Scope::Read])]
        scopes: Vec<Scope>,
        /// A channel that it may see; may be given several times [default: all]
        #[arg(long = "channel")]
        channels: Vec<String>,
        /// When it ends, as 2027-01-31T00:00:00Z [default: never]
        #[arg(long)]
        expires_at: Option<String>,
        #[command(flatten)]
        remote: Remote,
    },
    /// Lists the tokens
    List(Remote),
    /// Revokes a token at once
    Revoke {
        /// The token's id (tok_…), as `list` shows it
        id: String,
        #[command(flatten)]
        remote: Remote,
    },
}

impl TokenCommand {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let runtime = runtime()?;
        match self {
            Self::Create {
                name,
                scopes,
                channels,
                expires_at,
                remote,
            } => {
                let scopes: Vec<_> = scopes
                    .iter()
                    .filter_map(|scope| scope.to_possible_value())
                    .map(|value| value.get_name().to_owned())
                    .collect();
                let mut body = json!({ "name": name, "scopes": scopes });
                if !channels.is_empty() {
                    body["channels"] = json!(channels);
                }
                if let Some(expires_at) = expires_at {
                    body["expires_at"] = json!(expires_at);
                }
                let made = runtime.block_on(Daemon::find(&remote)?.call(
                    Method::POST,
                    "tokens",
                    Some(&body),
                ))?;
                complain("keep this token; it is shown only now");
                say(made["token"].as_str().unwrap_or_default());
            }
            Self::List(remote) => {
                let answer = runtime.block_on(Daemon::find(&remote)?.call(
                    Method::GET,
                    "tokens?limit=200",
                    None,
                ))?;
                let tokens = answer["data"]
                    .as_array()
                    .map(Vec::as_slice)
                    .unwrap_or_default();
                if tokens.is_empty() {
                    say("There are no tokens.");
                }
                for token in tokens {
                    let text = |key: &str| token[key].as_str().unwrap_or_default().to_owned();
                    say(&format!(
                        "{:<18} {:<24} {} {}",
                        text("id"),
                        text("name"),
                        token["scopes"],
                        token["channels"]
                    ));
                }
            }
            Self::Revoke { id, remote } => {
                runtime.block_on(Daemon::find(&remote)?.call(
                    Method::DELETE,
                    &format!("tokens/{id}"),
                    None,
                ))?;
                say(&format!("{id} is revoked."));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
