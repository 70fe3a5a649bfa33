//! `deskbell keep-command`: what the daemon starts to run a command of `[[hooks.command]]`. Not for people.

use std::process::ExitCode;

use anyhow::Context as _;

pub(super) fn run() -> anyhow::Result<ExitCode> {
    crate::hooks::keep().context("this is started by the daemon, which says what to run")?;
    Ok(ExitCode::SUCCESS)
}
