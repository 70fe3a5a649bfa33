//! Opens an address with whatever opens addresses on this computer.

use std::process::Stdio;

use anyhow::{Context as _, Result};

/// Opens it; the program that does is not waited for.
///
/// # Errors
/// Where there is none.
pub fn open(url: &str) -> Result<()> {
    let (program, arguments): (&str, &[&str]) = if cfg!(target_os = "windows") {
        ("rundll32.exe", &["url.dll,FileProtocolHandler"])
    } else if cfg!(target_os = "macos") {
        ("open", &[])
    } else {
        ("xdg-open", &[])
    };
    let mut command = tokio::process::Command::new(program);
    command.args(arguments).arg(url);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let started = command.spawn();
    let mut child =
        started.with_context(|| format!("{program} could not be started; open {url} yourself"))?;
    // It is waited for beside, so that it does not stay as a zombie.
    tokio::spawn(async move {
        if let Ok(status) = child.wait().await
            && !status.success()
        {
            tracing::warn!(program, %status, "the desk may not have been opened");
        }
    });
    Ok(())
}
