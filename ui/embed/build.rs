//! Builds the desk's web interface, so that `cargo run` on a fresh clone serves it.
//!
//! 1. `DESKBELL_UI_DIST=<folder>` embeds what was built before (packagers, containers, machines without a network).
//! 2. Else npm builds it: `npm ci` only where package-lock.json changed since, then `npm run build`.
//! 3. Without npm a page is embedded that says how to get the desk; everything else of the daemon works.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the interface is built from, beside this folder's `embed`.
const SOURCES: &[&str] = &[
    "src",
    "public",
    "scripts",
    "index.html",
    "package.json",
    "package-lock.json",
    "svelte.config.js",
    "tsconfig.json",
    "vite.config.ts",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let ui = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(variable("OUT_DIR")?).join("dist");
    for source in SOURCES {
        tell(&format!("rerun-if-changed={}", ui.join(source).display()));
    }
    tell("rerun-if-env-changed=DESKBELL_UI_DIST");
    tell(&format!("rustc-env=DESKBELL_UI_FOLDER={}", out.display()));
    if out.exists() {
        fs::remove_dir_all(&out)?;
    }
    if let Some(dist) = set("DESKBELL_UI_DIST") {
        copy(Path::new(&dist), &out)
            .map_err(|error| format!("DESKBELL_UI_DIST ({}): {error}", dist.display()))?;
        return Ok(());
    }
    let npm = if cfg!(windows) { "npm.cmd" } else { "npm" };
    if !is_there(npm) || !node_is_new_enough() {
        tell(
            "warning=npm of Node.js 20.19 or later was not found: the daemon is built without its desk (install it, or set DESKBELL_UI_DIST)",
        );
        return Ok(placeholder(&out)?);
    }
    let lock = fs::read(ui.join("package-lock.json"))?;
    let stamp = ui.join("node_modules/.deskbell-lock");
    if fs::read(&stamp).ok().as_deref() != Some(&lock[..]) {
        run(
            npm,
            ["ci", "--no-audit", "--no-fund", "--ignore-scripts"],
            &ui,
            &out,
        )?;
        fs::write(&stamp, &lock)?;
    }
    run(npm, ["run", "build"], &ui, &out)
}

fn is_there(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok()
}

/// Whether Node.js is 20.19 or later, which Vite wants.
fn node_is_new_enough() -> bool {
    let told = Command::new("node").arg("--version").output();
    let told = told.map(|output| output.stdout).unwrap_or_default();
    let version = String::from_utf8_lossy(&told).trim().replacen('v', "", 1);
    let mut numbers = version
        .split('.')
        .map_while(|part| part.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(20), Some(19))
}

fn variable(name: &str) -> Result<std::ffi::OsString, String> {
    set(name).ok_or_else(|| format!("cargo sets {name}"))
}

#[expect(
    clippy::disallowed_methods,
    reason = "a build script is configured by cargo's environment; this is none of the daemon's"
)]
fn set(name: &str) -> Option<std::ffi::OsString> {
    std::env::var_os(name)
}

/// Tells cargo something.
fn tell(what: &str) {
    println!("cargo:{what}");
}

fn run<'a>(
    npm: &str,
    arguments: impl IntoIterator<Item = &'a str>,
    ui: &Path,
    out: &Path,
) -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<&OsStr> = arguments.into_iter().map(OsStr::new).collect();
    let done = Command::new(npm)
        .args(&arguments)
        .current_dir(ui)
        .env("DESKBELL_UI_OUT", out)
        .output()?;
    if done.status.success() {
        return Ok(());
    }
    Err(format!(
        "{npm} {arguments:?} failed in {}:\n{}\n{}",
        ui.display(),
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr)
    )
    .into())
}

fn placeholder(out: &Path) -> io::Result<()> {
    let page = "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>Deskbell</title></head>\n<body>\n<h1>Deskbell</h1>\n\
                <p>This program was built without its desk, because npm of Node.js 20.19 or later was not found. Install Node.js 20.19 or later and build \
                again. The API works: see <a href=\"/docs\">/docs</a>.</p>\n</body>\n</html>\n";
    fs::create_dir_all(out)?;
    fs::write(out.join("index.html"), page)
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
