//! What is kept in files: who we are at which daemon, how far the stream was heard, and that only one runs.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write as _};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::paths::Paths;

/// Who we are at which daemon. It holds a token: only its owner reads the file.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// The daemon's address, as `https://desk.example.com`.
    pub server: Url,
    /// What lets us in.
    pub token: String,
    /// This device at the daemon: `dev_…`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_id: Option<String>,
    /// Whose device it is: `usr_…`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// Their name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_name: Option<String>,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = to.debug_struct("Account");
        shown.field("server", &self.server.as_str());
        shown.field("device_id", &self.device_id);
        shown
            .field("user_id", &self.user_id)
            .finish_non_exhaustive()
    }
}

impl Account {
    /// The one that is kept; `None` where this computer is not paired.
    ///
    /// # Errors
    /// Where the file cannot be read, or is damaged.
    pub fn load(paths: &Paths) -> Result<Option<Self>> {
        let path = paths.account();
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => bail!("{} cannot be read: {error}", path.display()),
        };
        let account = serde_json::from_str(&text).with_context(|| {
            let path = path.display();
            format!("{path} is damaged; pair this computer again: deskbell-desktop pair --server …")
        })?;
        Ok(Some(account))
    }

    /// Keeps it.
    ///
    /// # Errors
    /// Where the folder cannot be written.
    pub fn save(&self, paths: &Paths) -> Result<()> {
        let text = serde_json::to_vec_pretty(self)?;
        // How far the stream of another daemon was heard says nothing of this one.
        remove(&paths.position())?;
        write_private(&paths.account(), &text)
    }

    /// Forgets it, and how far its stream was heard.
    ///
    /// # Errors
    /// Where a file cannot be deleted.
    pub fn forget(paths: &Paths) -> Result<()> {
        remove(&paths.account())?;
        remove(&paths.position())
    }
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            bail!("{} cannot be deleted: {error}", path.display())
        }
        _ => Ok(()),
    }
}

/// How far the stream was heard; `None` where that is not known, and the stream begins now.
#[must_use]
pub fn position(paths: &Paths) -> Option<u64> {
    fs::read_to_string(paths.position())
        .ok()?
        .trim()
        .parse()
        .ok()
}

/// Keeps how far the stream was heard. It is not synced: one that is old only lets a little be heard again.
///
/// # Errors
/// Where the folder cannot be written.
pub fn keep_position(paths: &Paths, position: u64) -> Result<()> {
    write_private(&paths.position(), format!("{position}\n").as_bytes())
}

/// Writes a file that only its owner reads, whole or not at all.
fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().context("a file is in a folder")?;
    make_folder(folder)?;
    let fresh = path.with_extension(format!("new-{}", std::process::id()));
    let written = open_private(&fresh).and_then(|mut file| file.write_all(bytes));
    let moved = written.and_then(|()| fs::rename(&fresh, path));
    if moved.is_err() {
        // What is half written is of no use; that it cannot be deleted is not the worst of it.
        let _ = fs::remove_file(&fresh);
    }
    moved.with_context(|| format!("{} cannot be written", path.display()))
}

/// Makes a folder that only its owner looks into.
///
/// # Errors
/// Where it cannot be made.
pub fn make_folder(folder: &Path) -> Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    let made = builder.create(folder);
    made.with_context(|| format!("{} cannot be made", folder.display()))
}

fn open_private(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    match options.open(path) {
        // Left by one of the same number that was killed while it wrote.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            fs::remove_file(path)?;
            options.open(path)
        }
        opened => opened,
    }
}

/// Held by the one that runs: two would ring twice.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

impl Lock {
    /// Takes it; `None` where another holds it.
    ///
    /// # Errors
    /// Where its file cannot be opened.
    pub fn take(paths: &Paths) -> Result<Option<Self>> {
        make_folder(&paths.state)?;
        let path = paths.lock();
        let opened = OpenOptions::new().create(true).append(true).open(&path);
        let file = opened.with_context(|| format!("{} cannot be opened", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => {
                bail!("{} cannot be locked: {error}", path.display())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(folder: &Path) -> Paths {
        Paths {
            config: folder.join("config"),
            state: folder.join("state"),
            autostart: folder.join("autostart"),
        }
    }

    fn account() -> Account {
        Account {
            server: Url::parse("https://desk.example.com").expect("an address"),
            token: "dbk_invented".to_owned(),
            device_id: Some("dev_1".to_owned()),
            user_id: Some("usr_1".to_owned()),
            user_name: Some("Anna".to_owned()),
        }
    }

    #[test]
    fn the_account_comes_back_as_it_was_and_is_forgotten_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let paths = paths(folder.path());
        assert!(
            Account::load(&paths)
                .expect("nothing is no error")
                .is_none()
        );
        keep_position(&paths, 7).expect("kept");
        account().save(&paths).expect("kept");
        assert_eq!(
            position(&paths),
            None,
            "another daemon numbers its own events"
        );
        let loaded = Account::load(&paths).expect("read").expect("there");
        assert_eq!(
            (loaded.token, loaded.device_id),
            (account().token, account().device_id)
        );
        keep_position(&paths, 12).expect("kept");
        keep_position(&paths, 13).expect("kept again");
        assert_eq!(position(&paths), Some(13));
        Account::forget(&paths).expect("forgotten");
        Account::forget(&paths).expect("forgotten already");
        assert!(Account::load(&paths).expect("read").is_none());
        assert_eq!(position(&paths), None);
        fs::write(paths.account(), "{").expect("written");
        let error = Account::load(&paths).expect_err("damaged").to_string();
        assert!(error.contains("pair this computer again"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn the_token_is_its_owners_alone_and_stands_in_no_log() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().expect("a folder");
        let paths = paths(folder.path());
        account().save(&paths).expect("kept");
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode(&paths.account()), 0o600);
        assert_eq!(mode(&paths.config), 0o700);
        // One that was there with other rights does not lend them.
        fs::set_permissions(paths.account(), fs::Permissions::from_mode(0o644)).expect("set");
        account().save(&paths).expect("kept");
        assert_eq!(mode(&paths.account()), 0o600);
        assert!(!format!("{:?}", account()).contains("invented"));
    }

    #[test]
    fn only_one_runs() {
        let folder = tempfile::tempdir().expect("a folder");
        let paths = paths(folder.path());
        let held = Lock::take(&paths).expect("opens").expect("is free");
        assert!(Lock::take(&paths).expect("opens").is_none());
        drop(held);
        assert!(Lock::take(&paths).expect("opens").is_some());
    }
}
