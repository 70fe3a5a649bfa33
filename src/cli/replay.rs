//! `deskbell replay`.

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::bail;
use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};

use super::client::Daemon;
use super::{Remote, complain, runtime, say};

/// How often is looked how far it is.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// Options of `replay`.
#[derive(Debug, Args)]
pub(super) struct Replay {
    /// The channel
    id: String,
    /// Only what came then or later, as 2026-11-21T00:00:00Z
    #[arg(long)]
    since: Option<String>,
    #[command(flatten)]
    remote: Remote,
}

impl Replay {
    /// Lets the daemon decode a channel's deliveries once more, and says what came of it.
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        let daemon = Daemon::find(&self.remote)?;
        let report = runtime()?.block_on(self.replay(&daemon))?;
        say(&in_words(&self.id, &report));
        if let Some(why) = report["error"].as_str() {
            bail!("it ended early: {why}. Run it again: nothing is doubled");
        }
        Ok(ExitCode::SUCCESS)
    }

    async fn replay(&self, daemon: &Daemon) -> anyhow::Result<Value> {
        let path = format!("channels/{}/replay", self.id);
        let body = json!({ "since": self.since });
        let mut report = daemon.call(Method::POST, &path, Some(&body)).await?;
        let asked = &body["since"];
        if report["running"] == true && asked.is_null() != report["since"].is_null() {
            complain("it was under way already, with another --since; this is its report");
        }
        // A log is read later, by people who do not wait for it.
        let every = if std::io::stderr().is_terminal() {
            1
        } else {
            15
        };
        let mut said_at = Instant::now();
        while report["running"] == true {
            tokio::time::sleep(LOOK_EVERY).await;
            report = daemon.call(Method::GET, &path, None).await?;
            if report.is_null() {
                anyhow::bail!(
                    "it was broken off: the daemon or the channel was started anew; run it again"
                );
            }
            if said_at.elapsed() >= Duration::from_secs(every) {
                said_at = Instant::now();
                let come_to = report["come_to"].as_str().unwrap_or("the beginning");
                complain(&format!(
                    "{} deliveries, come to {come_to}",
                    report["deliveries"]
                ));
            }
        }
        Ok(report)
    }
}

fn in_words(id: &str, report: &Value) -> String {
    format!(
        "{id}: {} deliveries read: {} messages new, {} completed, {} other changes, {} known already; {} parts are still \
         not understood, {} left the quarantine.",
        report["deliveries"],
        report["messages_new"],
        report["messages_completed"],
        report["changed"],
        report["known"],
        report["not_understood"],
        report["released"],
    )
}
