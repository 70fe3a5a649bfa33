//! The command line, as a person and a script meet it.

mod daemon;
mod first_run;
mod platform;
mod registering;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

/// What a command said, and how it ended.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    /// Its exit status; `None`: a signal ended it.
    pub(crate) code: Option<i32>,
    /// On standard output.
    pub(crate) out: String,
    /// On standard error.
    pub(crate) err: String,
}

/// The command with nothing of this test's own environment.
pub(crate) fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_deskbell"));
    command
        .args(args)
        .current_dir(folder)
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Runs a command to its end, which must come within a minute.
pub(crate) fn run(folder: &Path, args: &[&str]) -> Said {
    finish(command(folder, args))
}

/// The same with what was prepared.
pub(crate) fn finish(mut command: Command) -> Said {
    let child = command.spawn().expect("it starts");
    let (tell, told) = sync_channel(1);
    std::thread::spawn(move || tell.send(child.wait_with_output()));
    let output = told
        .recv_timeout(Duration::from_secs(60))
        .expect("it ends within a minute")
        .expect("its output");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    Said {
        code: output.status.code(),
        out: text(output.stdout),
        err: text(output.stderr),
    }
}

fn empty() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

#[test]
fn wrong_usage_is_2_and_says_what_is_right() {
    let folder = empty();
    for args in [
        &["sreve"][..],
        &["serve", "--lisetn", "127.0.0.1:0"],
        &["serve", "--listen", "somewhere"],
        &["serve", "--listen"],
        &["serve", "extra"],
        &["token"],
        &["token", "create"],
        &["token", "create", "x", "--scope", "everything"],
        &["token", "revoke"],
        &["channel"],
        &["channel", "lits"],
        &["completions"],
        &["completions", "tcl"],
        &["health", "--server"],
        &[],
    ] {
        let said = run(folder.path(), args);
        assert_eq!(said.code, Some(2), "{args:?}: {said:?}");
        assert!(said.out.is_empty(), "{args:?}: {said:?}");
        assert!(
            said.err.contains("Usage") || said.err.contains("--help"),
            "{args:?}: {said:?}"
        );
    }
    assert!(
        run(folder.path(), &["sreve"]).err.contains("serve"),
        "a similar command is named"
    );
    assert_eq!(
        std::fs::read_dir(folder.path())
            .expect("the folder")
            .count(),
        0,
        "nothing is left behind"
    );
}

#[test]
fn help_and_version_are_0_and_name_every_command() {
    let folder = empty();
    let help = run(folder.path(), &["--help"]);
    assert_eq!(help.code, Some(0));
    for word in [
        "serve",
        "check",
        "health",
        "channel",
        "token",
        "openapi",
        "completions",
        "Exit status: 0 done, 1 failed, 2 wrong usage",
    ] {
        assert!(help.out.contains(word), "{word}: {}", help.out);
    }
    for args in [
        &["serve", "--help"][..],
        &["check", "--help"],
        &["health", "--help"],
        &["channel", "--help"],
        &["channel", "list", "--help"],
        &["channel", "add", "--help"],
        &["channel", "remove", "--help"],
        &["token", "--help"],
        &["token", "create", "--help"],
        &["token", "list", "--help"],
        &["token", "revoke", "--help"],
        &["openapi", "--help"],
        &["completions", "--help"],
        &["help"],
        &["help", "serve"],
    ] {
        let said = run(folder.path(), args);
        assert_eq!(said.code, Some(0), "{args:?}");
        assert!(
            said.out.contains("Usage") && said.err.is_empty(),
            "{args:?}: {said:?}"
        );
    }
    let mut with_token = command(folder.path(), &["token", "list", "--help"]);
    with_token.env("DESKBELL_TOKEN", "dbk_from-the-environment");
    assert!(
        !finish(with_token).out.contains("from-the-environment"),
        "a token is not shown in a help text"
    );
    for args in [["--version"], ["-V"]] {
        let said = run(folder.path(), &args);
        assert_eq!(
            (said.code, said.out.trim()),
            (Some(0), concat!("deskbell ", env!("CARGO_PKG_VERSION")))
        );
    }
}

#[test]
fn completions_are_there_and_a_closed_pipe_is_no_fault() {
    let folder = empty();
    for shell in ["bash", "zsh", "fish"] {
        let said = run(folder.path(), &["completions", shell]);
        assert_eq!(said.code, Some(0), "{shell}");
        assert!(
            said.out.contains("deskbell")
                && said.out.contains("completions")
                && said.err.is_empty(),
            "{shell}"
        );
    }
    for args in [
        &["completions", "bash"][..],
        &["completions", "zsh"],
        &["completions", "fish"],
        &["openapi"],
        &["--help"],
    ] {
        let mut child = command(folder.path(), args).spawn().expect("it starts");
        // As `| head -0` does: nobody reads.
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("it ends");
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(!err.contains("panicked"), "{args:?}: {err}");
        assert!(
            matches!(output.status.code(), Some(0 | 1)),
            "{args:?}: {:?}",
            output.status
        );
    }
}

#[test]
fn errors_of_the_configuration_name_file_line_and_key() {
    let folder = empty();
    for (text, expected) in [
        ("listen = 127.0.0.1:0\n", "deskbell.toml:1:"),
        (
            "\nlisetn = \"127.0.0.1:0\"\n",
            "deskbell.toml:2:1: lisetn: unknown key; did you mean listen?",
        ),
        ("listen = \"here\"\n", "deskbell.toml:1:10: listen: "),
        (
            "[[channels]]\nid = \"p\"\nconnector = \"mesenger\"\n",
            "deskbell.toml:3:",
        ),
        (
            "[[channels]]\nid = \"p\"\nconnector = \"messenger\"\nname = \"P\"\napp_id = \"1\"\n",
            "app_secret",
        ),
        (
            "[[channels]]\nid = \"a\"\nconnector = \"echo\"\nname = \"A\"\ntoken = \"x1\"\n[[channels]]\nid = \"a\"\nconnector = \"echo\"\nname = \"A\"\ntoken = \"x2\"\n",
            "deskbell.toml:7:",
        ),
        (
            "[[channels]]\nid = \"a\"\nconnector = \"echo\"\nname = \"A\"\ntoken = { env = \"NOT_SET_ANYWHERE\" }\n",
            "NOT_SET_ANYWHERE",
        ),
        (
            "[[channels]]\nid = \"a\"\nconnector = \"echo\"\nname = \"A\"\ntoken = { file = \"no-such-file\" }\n",
            "no-such-file",
        ),
    ] {
        std::fs::write(folder.path().join("deskbell.toml"), text).expect("written");
        for subcommand in ["serve", "check"] {
            let said = run(folder.path(), &[subcommand]);
            assert_eq!(said.code, Some(1), "{subcommand}: {text}: {said:?}");
            assert!(
                said.err.contains(expected),
                "{subcommand}: {text}: {said:?}"
            );
            assert!(said.err.starts_with("deskbell: "), "{said:?}");
        }
    }
    assert!(
        !folder.path().join("data").exists(),
        "a refused configuration makes nothing"
    );
    // Everything that is wrong is told at once.
    std::fs::write(
        folder.path().join("deskbell.toml"),
        "lisetn = 1\nport = 2\n[log]\nlevle = 3\n",
    )
    .expect("written");
    let said = run(folder.path(), &["check"]);
    assert_eq!(said.err.lines().count(), 3, "{said:?}");
    let said = run(folder.path(), &["serve", "--config", "nowhere.toml"]);
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("nowhere.toml"), "{said:?}");
    let mut file = std::fs::File::create(folder.path().join("deskbell.toml")).expect("a file");
    file.write_all(&[0xFF, 0xFE, 0x00, b'x']).expect("written");
    let said = run(folder.path(), &["check"]);
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("deskbell.toml"), "{said:?}");
}
