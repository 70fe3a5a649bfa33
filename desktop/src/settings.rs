//! `config.toml`: how it is to sound, and when not. Read again whenever the file changes.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::Path;
use std::time::SystemTime;

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;

use crate::keeping;

/// What a new file says: every setting as it is without the file.
pub const TEMPLATE: &str = r#"# How deskbell-desktop sounds on this computer. A change is heard at once; no restart is needed.

# Whether it sounds at all. Without a sound it still shows who waits.
#sound = true

# From 0 to 1; 0.5 is half as loud to the ear.
#volume = 0.7

# Between these hours it shows who waits and makes no sound. By the clock of this computer; over midnight is fine.
#quiet_from = "22:00"
#quiet_to = "07:00"

# How long after one stroke of the bell the next one comes while somebody waits, in seconds: 2 to 600.
#repeat_seconds = 4

# Whether the first words of a message are shown; others may look at your screen.
#preview = true
"#;

/// How it is to sound.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Whether it sounds at all.
    pub sound: bool,
    /// From 0 to 1.
    pub volume: f32,
    /// When the quiet hours begin: `22:00`.
    quiet_from: Option<String>,
    /// When they end.
    quiet_to: Option<String>,
    /// From one stroke to the next, in seconds.
    pub repeat_seconds: u64,
    /// Whether the words of a message are shown.
    pub preview: bool,
    /// The quiet hours in minutes since midnight: from, to.
    #[serde(skip)]
    pub quiet: Option<(u16, u16)>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            sound: true,
            volume: 0.7,
            quiet_from: None,
            quiet_to: None,
            repeat_seconds: 4,
            preview: true,
            quiet: None,
        }
    }
}

impl Settings {
    /// Reads them from text.
    ///
    /// # Errors
    /// Says what is wrong, and where.
    pub fn parse(text: &str) -> Result<Self> {
        let mut settings: Self = toml::from_str(text)?;
        ensure!(
            (0.0..=1.0).contains(&settings.volume),
            "`volume` is a number from 0 to 1"
        );
        ensure!(
            (2..=600).contains(&settings.repeat_seconds),
            "`repeat_seconds` is a number from 2 to 600"
        );
        settings.quiet = match (&settings.quiet_from, &settings.quiet_to) {
            (None, None) => None,
            (Some(from), Some(to)) => Some((minute(from, "quiet_from")?, minute(to, "quiet_to")?)),
            _ => bail!("`quiet_from` and `quiet_to` go together: set both, or none"),
        };
        Ok(settings)
    }

    /// Reads the file; without one everything is as usual.
    ///
    /// # Errors
    /// Names the file, and says what is wrong in it.
    pub fn load(path: &Path) -> Result<Self> {
        match fs::read_to_string(path) {
            Ok(text) => Self::parse(&text).with_context(|| format!("{} is wrong", path.display())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => bail!("{} cannot be read: {error}", path.display()),
        }
    }

    /// Whether these minutes are within the quiet hours. Hours that end when they begin are none.
    #[must_use]
    pub fn is_quiet(&self, minute: u16) -> bool {
        match self.quiet {
            Some((from, to)) if from < to => (from..to).contains(&minute),
            Some((from, to)) if from > to => minute >= from || minute < to,
            _ => false,
        }
    }

    /// Whether anything is to be heard at this minute of the day.
    #[must_use]
    pub fn sounds(&self, minute: u16) -> bool {
        self.sound && self.volume > 0.0 && !self.is_quiet(minute)
    }
}

/// Minutes since midnight.
fn minute(text: &str, name: &str) -> Result<u16> {
    let parts = text.split_once(':').filter(|(hour, minute)| {
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        matches!(hour.len(), 1 | 2) && minute.len() == 2 && digits(hour) && digits(minute)
    });
    let parsed = parts.and_then(|(hour, minute)| {
        let (hour, minute) = (hour.parse::<u16>().ok()?, minute.parse::<u16>().ok()?);
        (hour < 24 && minute < 60).then_some(hour * 60 + minute)
    });
    parsed.with_context(|| format!("`{name}` is a time such as \"22:00\", and not {text:?}"))
}

/// Puts a file there in which every setting is explained, unless there is one.
///
/// # Errors
/// Where it cannot be written.
pub fn explain(path: &Path) -> Result<()> {
    keeping::make_folder(path.parent().context("a file is in a folder")?)?;
    match fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
    {
        Ok(mut file) => {
            let written = file.write_all(TEMPLATE.as_bytes());
            written.with_context(|| format!("{} cannot be written", path.display()))
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => bail!("{} cannot be written: {error}", path.display()),
    }
}

/// When a file was changed last; `None` where it is not there.
#[must_use]
pub fn changed_at(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|about| about.modified()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_named() {
        for (text, words) in [
            ("volume = 1.5", "`volume` is a number from 0 to 1"),
            ("volume = nan", "`volume`"),
            ("repeat_seconds = 0", "`repeat_seconds`"),
            ("quiet_from = \"22:00\"", "go together"),
            (
                "quiet_from = \"24:00\"\nquiet_to = \"7:00\"",
                "`quiet_from`",
            ),
            ("quiet_from = \"22:00\"\nquiet_to = \"+7:00\"", "`quiet_to`"),
            ("sounds = true", "sounds"),
            ("volume = \"loud\"", "line 1"),
        ] {
            let error = format!("{:#}", Settings::parse(text).expect_err(text));
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn the_explained_file_says_what_is_so_without_it() {
        assert_eq!(
            Settings::parse(TEMPLATE).expect("right"),
            Settings::default()
        );
        let uncommented: String = TEMPLATE
            .lines()
            .map(|line| {
                line.strip_prefix('#')
                    .filter(|rest| !rest.starts_with(' '))
                    .unwrap_or(line)
            })
            .flat_map(|line| [line, "\n"])
            .collect();
        let said = Settings::parse(&uncommented).expect("right");
        assert_eq!(said.quiet, Some((22 * 60, 7 * 60)));
        let usual = Settings {
            quiet: said.quiet,
            quiet_from: said.quiet_from.clone(),
            quiet_to: said.quiet_to.clone(),
            ..Settings::default()
        };
        assert_eq!(said, usual);
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a/config.toml");
        explain(&path).expect("written");
        fs::write(&path, "volume = 0.2").expect("written");
        explain(&path).expect("left as it is");
        assert!((Settings::load(&path).expect("right").volume - 0.2).abs() < 1e-6);
    }

    #[test]
    fn quiet_hours_go_over_midnight() {
        let at = |text: &str| Settings::parse(text).expect("right");
        let night = at("quiet_from = \"22:00\"\nquiet_to = \"07:00\"");
        for (minute, quiet) in [
            (0, true),
            (419, true),
            (420, false),
            (1319, false),
            (1320, true),
        ] {
            assert_eq!(night.is_quiet(minute), quiet, "{minute}");
            assert_eq!(night.sounds(minute), !quiet);
        }
        let noon = at("quiet_from = \"12:00\"\nquiet_to = \"13:00\"");
        assert!(!noon.is_quiet(719) && noon.is_quiet(720) && !noon.is_quiet(780));
        assert!(!at("quiet_from = \"8:00\"\nquiet_to = \"08:00\"").is_quiet(480));
        assert!(!at("sound = false").sounds(600) && !at("volume = 0").sounds(600));
    }
}
