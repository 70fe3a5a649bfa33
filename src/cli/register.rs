//! `deskbell channel register`.

use std::process::ExitCode;

use clap::Args;
use reqwest::Method;

use super::client::Daemon;
use super::{Remote, runtime, say};

/// Options of `channel register`.
#[derive(Debug, Args)]
pub(super) struct Register {
    /// The channel
    id: String,
    /// Makes the platform deliver no longer
    #[arg(long)]
    undo: bool,
    #[command(flatten)]
    remote: Remote,
}

impl Register {
    /// Makes the platform deliver to the daemon, and says what the platform has now, line by line.
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        let daemon = Daemon::find(&self.remote)?;
        let path = format!("channels/{}/register", self.id);
        let runtime = runtime()?;
        if self.undo {
            runtime.block_on(daemon.call(Method::DELETE, &path, None))?;
            say(&format!("{}: the platform delivers no longer", self.id));
            return Ok(ExitCode::SUCCESS);
        }
        let answer = runtime.block_on(daemon.call(Method::POST, &path, None))?;
        let findings = answer["findings"].as_array().map(Vec::as_slice);
        for finding in findings.unwrap_or_default() {
            let text = |key: &str| finding[key].as_str().unwrap_or_default().to_owned();
            say(&format!(
                "{}: {}: {}: {}",
                self.id,
                text("what"),
                text("standing"),
                text("say")
            ));
        }
        if answer["matches"] == true {
            Ok(ExitCode::SUCCESS)
        } else {
            say(
                "Not everything is as it should be; do what the lines above say, and run this again.",
            );
            Ok(ExitCode::FAILURE)
        }
    }
}
