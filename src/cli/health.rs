//! `deskbell health`.

use std::process::ExitCode;

use super::client::Daemon;
use super::{Remote, complain, runtime, say};

/// Asks whether the daemon is ready.
pub(super) fn run(remote: &Remote) -> anyhow::Result<ExitCode> {
    let daemon = Daemon::find(remote)?;
    if let Some(words) = runtime()?.block_on(daemon.ready())? {
        say(&words);
        return Ok(ExitCode::SUCCESS);
    }
    complain("the daemon runs and is not ready; its log says why");
    Ok(ExitCode::FAILURE)
}
