//! Starts the program when its user signs in to the computer.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::keeping::make_folder;
use crate::paths::Paths;

/// Where Windows names what starts with a session, and by which name we stand there.
const RUN_KEY: &str = r"HKCU\Software\Microsoft\Windows\CurrentVersion\Run";
const NAME: &str = "Deskbell";
const LABEL: &str = "app.deskbell.desktop";

/// Where that is said; `None` on Windows, where it is no file.
fn file(paths: &Paths) -> Option<PathBuf> {
    if cfg!(target_os = "windows") {
        None
    } else if cfg!(target_os = "macos") {
        Some(paths.autostart.join(format!("{LABEL}.plist")))
    } else {
        Some(paths.autostart.join("deskbell-desktop.desktop"))
    }
}

/// Starts it at each sign-in from now on, by the program that is running.
///
/// # Errors
/// Where that cannot be written.
pub fn on(paths: &Paths) -> Result<String> {
    let program = std::env::current_exe().context("where this program is cannot be found out")?;
    let Some(file) = file(paths) else {
        let value = format!("\"{}\" run", program.display());
        reg(&[
            "add", RUN_KEY, "/v", NAME, "/t", "REG_SZ", "/d", &value, "/f",
        ])?;
        return Ok(format!(r"{RUN_KEY}\{NAME}"));
    };
    let text = if cfg!(target_os = "macos") {
        launch_agent(&program)?
    } else {
        desktop_entry(&program)?
    };
    make_folder(&paths.autostart)?;
    fs::write(&file, text).with_context(|| format!("{} cannot be written", file.display()))?;
    Ok(file.display().to_string())
}

/// Starts it no more.
///
/// # Errors
/// Where that cannot be taken back.
pub fn off(paths: &Paths) -> Result<()> {
    let Some(file) = file(paths) else {
        if is_on(paths) {
            reg(&["delete", RUN_KEY, "/v", NAME, "/f"])?;
        }
        return Ok(());
    };
    match fs::remove_file(&file) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            bail!("{} cannot be deleted: {error}", file.display())
        }
        _ => Ok(()),
    }
}

/// Whether it starts at sign-in.
#[must_use]
pub fn is_on(paths: &Paths) -> bool {
    file(paths).map_or_else(
        || reg(&["query", RUN_KEY, "/v", NAME]).is_ok(),
        |file| file.exists(),
    )
}

fn reg(arguments: &[&str]) -> Result<()> {
    let output = Command::new("reg.exe")
        .args(arguments)
        .output()
        .context("reg.exe cannot be started")?;
    let words = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "the registry cannot be changed: {}",
        words.trim()
    );
    Ok(())
}

/// A path as text without line ends, which would begin a line of their own.
fn one_line(program: &Path) -> Result<&str> {
    let text = program
        .to_str()
        .filter(|text| !text.chars().any(char::is_control));
    text.with_context(|| {
        format!(
            "{} cannot be started by name; move the program",
            program.display()
        )
    })
}

/// By the specification of desktop entries: quoted, with what a quoted argument escapes.
fn desktop_entry(program: &Path) -> Result<String> {
    let mut quoted = String::new();
    for sign in one_line(program)?.chars() {
        match sign {
            // Once for the argument, and the back-slash once more for the string that holds it.
            '"' | '`' | '$' => quoted.extend(['\\', '\\', sign]),
            '\\' => quoted.push_str(r"\\\\"),
            '%' => quoted.push_str("%%"),
            sign => quoted.push(sign),
        }
    }
    Ok(format!(
        "[Desktop Entry]\nType=Application\nName=Deskbell\nComment=Rings until a customer's message has been taken\n\
         Exec=\"{quoted}\" run\nIcon=mail-unread\nTerminal=false\nNoDisplay=true\nX-GNOME-Autostart-enabled=true\n"
    ))
}

fn launch_agent(program: &Path) -> Result<String> {
    let program = crate::text::escape(one_line(program)?);
    Ok(format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
  <key>Label</key><string>{LABEL}</string>
  <key>ProgramArguments</key>
  <array><string>{program}</string><string>run</string></array>
  <key>RunAtLoad</key><true/>
  <key>KeepAlive</key><dict><key>Crashed</key><true/></dict>
</dict>
</plist>
"#
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_an_argument_whatever_stands_in_it() {
        let entry = desktop_entry(Path::new(r#"/opt/my "$x" 100%\bell"#)).expect("a path");
        assert!(
            entry.contains(r#"Exec="/opt/my \\"\\$x\\" 100%%\\\\bell" run"#),
            "{entry}"
        );
        assert!(desktop_entry(Path::new("/opt/a\nExec=evil")).is_err());
        let agent = launch_agent(Path::new("/Applications/a<b>&c")).expect("a path");
        assert!(
            agent.contains("<string>/Applications/a&lt;b&gt;&amp;c</string>"),
            "{agent}"
        );
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn it_is_turned_on_and_off() {
        let folder = tempfile::tempdir().expect("a folder");
        let paths = Paths {
            config: folder.path().join("config"),
            state: folder.path().join("state"),
            autostart: folder.path().join("config/autostart"),
        };
        assert!(!is_on(&paths));
        off(&paths).expect("off already");
        let place = on(&paths).expect("on");
        assert!(is_on(&paths) && place.ends_with("autostart/deskbell-desktop.desktop"));
        on(&paths).expect("on already");
        off(&paths).expect("off");
        assert!(!is_on(&paths));
    }
}
