//! `deskbell channel list`.

use std::process::ExitCode;

use super::client::Daemon;
use super::{Remote, runtime, say};

/// Lists the channels.
pub(super) fn run(remote: &Remote) -> anyhow::Result<ExitCode> {
    let daemon = Daemon::find(remote)?;
    let answer =
        runtime()?.block_on(daemon.call(reqwest::Method::GET, "channels?limit=200", None))?;
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
