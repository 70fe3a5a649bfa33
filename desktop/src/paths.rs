//! Where this program keeps what it keeps. The only file of this crate that reads the environment.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

/// The folder of this program inside those of the system.
const NAME: &str = "deskbell-desktop";

/// The folders.
#[derive(Clone, Debug)]
pub struct Paths {
    /// Who we are at which daemon, and how it is to sound.
    pub config: PathBuf,
    /// What changes by itself: how far the stream was heard, and the lock.
    pub state: PathBuf,
    /// Where programs are named that start with the desktop (Linux), or with the session (macOS).
    pub autostart: PathBuf,
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place of this crate that reads the environment"
)]
fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// An absolute folder that a variable names; relative ones are to be ignored by the specification of XDG.
fn folder(name: &str) -> Option<PathBuf> {
    variable(name)
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
}

impl Paths {
    /// Those of whoever runs this.
    ///
    /// # Errors
    /// Where the system names no home.
    pub fn find() -> Result<Self> {
        if cfg!(target_os = "windows") {
            let roaming =
                folder("APPDATA").context("%APPDATA% is not set: where is your profile?")?;
            let local = folder("LOCALAPPDATA").unwrap_or_else(|| roaming.clone());
            return Ok(Self {
                config: roaming.join(NAME),
                state: local.join(NAME),
                autostart: roaming,
            });
        }
        let home = folder("HOME").context("$HOME is not set: where is your home?")?;
        if cfg!(target_os = "macos") {
            let library = home.join("Library");
            let support = library.join("Application Support").join(NAME);
            return Ok(Self {
                config: support.clone(),
                state: support,
                autostart: library.join("LaunchAgents"),
            });
        }
        let config = folder("XDG_CONFIG_HOME").unwrap_or_else(|| home.join(".config"));
        let state = folder("XDG_STATE_HOME").unwrap_or_else(|| home.join(".local/state"));
        Ok(Self {
            autostart: config.join("autostart"),
            config: config.join(NAME),
            state: state.join(NAME),
        })
    }

    /// `account.json`: the daemon, and the token for it.
    #[must_use]
    pub fn account(&self) -> PathBuf {
        self.config.join("account.json")
    }

    /// `config.toml`: how it is to sound.
    #[must_use]
    pub fn settings(&self) -> PathBuf {
        self.config.join("config.toml")
    }

    /// How far the stream was heard.
    #[must_use]
    pub fn position(&self) -> PathBuf {
        self.state.join("position")
    }

    /// Held by the one that runs.
    #[must_use]
    pub fn lock(&self) -> PathBuf {
        self.state.join("lock")
    }
}

/// What the log is to say, as `tracing` has it: `DESKBELL_LOG`.
#[must_use]
pub fn log_filter() -> Option<String> {
    variable("DESKBELL_LOG").and_then(|value| value.into_string().ok())
}

/// The name of this computer, for the list of devices in the desk.
#[must_use]
pub fn computer_name() -> Option<String> {
    let told = variable("HOSTNAME").or_else(|| variable("COMPUTERNAME"));
    let told = told.and_then(|name| name.into_string().ok());
    let kept = || std::fs::read_to_string("/etc/hostname").ok();
    let name = told.or_else(kept)?.trim().to_owned();
    (!name.is_empty()).then_some(name)
}
