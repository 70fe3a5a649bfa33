//! `deskbell channel add` and `remove`, as a person and a script meet them.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{Page, start};

/// What a command said, and whether it did what it was asked.
#[derive(Debug)]
struct Said {
    done: bool,
    out: String,
    err: String,
}

/// Runs `deskbell channel …` with this on its standard input.
fn channel(folder: &Path, args: &[&str], input: &str) -> Said {
    let mut child = Command::new(env!("CARGO_BIN_EXE_deskbell"))
        .arg("channel")
        .args(args)
        .current_dir(folder)
        .env("INVENTED_VERIFY_TOKEN", "verified")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    // One that is refused may end before it reads.
    let _ = child
        .stdin
        .take()
        .expect("piped")
        .write_all(input.as_bytes());
    let output = child.wait_with_output().expect("it ends");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    Said {
        done: output.status.success(),
        out: text(output.stdout),
        err: text(output.stderr),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn k03_a_channel_is_added_by_the_command_line_without_a_secret_in_its_arguments() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = start(folder.path());
    let page = Page::new(1);
    std::fs::write(
        folder.path().join("app.secret"),
        format!("{}\n", page.app_secret),
    )
    .expect("written");
    let page_id = format!("page_id={}", page.page);
    let plain = [
        "add",
        "--connector",
        "messenger",
        "--id",
        "page-1",
        "--api-base",
        "http://127.0.0.1:9",
        "--set",
        "app_id=7001",
        "--set",
        &page_id,
    ];
    let with = |more: &[&'static str]| -> Vec<&str> {
        plain.iter().copied().chain(more.iter().copied()).collect()
    };
    for (more, words) in [
        (&["--set", "app_secret=canary"][..], "is a secret"),
        (&["--secret", "app_secret=canary"], "env:NAME"),
        (&["--secret", "canary"], "env:NAME"),
        (&["--set", "canary"], "KEY=VALUE"),
        (&["--set", "human_agent=perhaps"], "true or false"),
        (&["--set", "app_id=8"], "twice"),
        (
            &["--secret", "app_secret=env:NOT_SET_ANYWHERE"],
            "NOT_SET_ANYWHERE is not set",
        ),
        (
            &["--secret", "app_secret=file:nowhere"],
            "nowhere cannot be read",
        ),
        (&["--secret", "graph_version=-"], "is no secret"),
        (
            &["--secret", "app_secret=-", "--secret", "verify_token=-"],
            "standard input",
        ),
        (&["--set", "pgae=1"], "/settings/pgae"),
    ] {
        let said = channel(folder.path(), &with(more), "canary-input");
        assert!(!said.done && said.err.contains(words), "{more:?}: {said:?}");
        assert!(!said.err.contains("canary"), "{said:?}");
    }
    // Without its secrets the daemon names each that is missing.
    let said = channel(folder.path(), &plain, "");
    for missing in [
        "/settings/app_secret",
        "/settings/page_access_token",
        "/settings/verify_token",
    ] {
        assert!(!said.done && said.err.contains(missing), "{said:?}");
    }
    let all = with(&[
        "--set",
        "human_agent=true",
        "--secret",
        "app_secret=file:app.secret",
        "--secret",
        "verify_token=env:INVENTED_VERIFY_TOKEN",
        "--secret",
        "page_access_token=-",
    ]);
    let said = channel(folder.path(), &all, &format!("{}\n", page.token));
    assert!(said.done, "{said:?}");
    assert!(
        said.out.contains("/webhooks/page-1") && !said.out.contains("canary"),
        "{said:?}"
    );
    assert_eq!(page.delivers(&daemon, &page.app_secret, "m_1").await, 200);
    let shown = daemon.get("channels/page-1").await;
    let settings = shown["settings"].as_array().expect("settings");
    let human_agent = settings.iter().find(|one| one["key"] == "human_agent");
    assert_eq!(human_agent.expect("described")["value"], true);

    let site = [
        "add",
        "--connector",
        "webchat",
        "--id",
        "shop",
        "--name",
        "The shop",
        "--no-catch-up",
        "--set",
        "allowed_origins=https://a.example, https://b.example",
    ];
    let said = channel(folder.path(), &site, "");
    assert!(said.done && said.out.contains("/chat/shop.js"), "{said:?}");
    let shown = daemon.get("channels/shop").await;
    assert_eq!(
        (&shown["name"], &shown["catch_up"]),
        (&"The shop".into(), &false.into())
    );
    let origins = shown["settings"][0]["value"].as_array().expect("a list");
    assert_eq!(origins.len(), 2);
    let said = channel(folder.path(), &site, "");
    assert!(
        !said.done && said.err.contains("`shop` is taken"),
        "{said:?}"
    );
    let unknown = ["add", "--connector", "telepathy", "--id", "x"];
    let said = channel(folder.path(), &unknown, "");
    assert!(!said.done && said.err.contains("messenger"), "{said:?}");

    let said = channel(folder.path(), &["remove", "shop"], "y\n");
    assert!(!said.done && said.err.contains("--yes"), "{said:?}");
    let said = channel(folder.path(), &["remove", "shop", "--yes"], "");
    assert!(said.done && said.out.contains("history stays"), "{said:?}");
    assert_eq!(daemon.get("channels/shop").await["state"], "closed");
    for (id, words) in [
        ("site", "deskbell.toml"),
        ("nowhere", "no such channel"),
        ("../me", "no channel's id"),
    ] {
        let said = channel(folder.path(), &["remove", id, "--yes"], "");
        assert!(!said.done && said.err.contains(words), "{said:?}");
    }
    // Its memory is never written to a disk (K05).
    let limits =
        std::fs::read_to_string(format!("/proc/{}/limits", daemon.pid())).expect("it runs");
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"));
    let sizes: Vec<_> = core
        .expect("a limit")
        .split_whitespace()
        .skip(4)
        .take(2)
        .collect();
    assert_eq!(sizes, ["0", "0"]);
}
