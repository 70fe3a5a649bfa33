//! Commands that start a daemon, and those that talk to a running one.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::cli::{Said, command, finish, run};
use crate::support::{APP_SECRET, Daemon, PAGE, client, config, envelope, message, now_ms};

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        .permissions()
        .mode()
        & 0o777
}

fn ended(mut child: Child, patience: Duration) -> Option<std::process::ExitStatus> {
    let begun = Instant::now();
    while begun.elapsed() < patience {
        if let Some(status) = child.try_wait().expect("it is ours") {
            return Some(status);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    None
}

#[test]
fn health_is_0_while_the_daemon_is_ready_and_1_when_it_is_not_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let before = run(folder.path(), &["health"]);
    assert_eq!(before.code, Some(1), "{before:?}");
    assert!(
        before.err.contains("no running daemon") && before.err.contains("--server"),
        "{before:?}"
    );
    let daemon = Daemon::start(folder.path(), &config(""));
    let up = run(folder.path(), &["health"]);
    assert_eq!((up.code, up.out.trim()), (Some(0), "ready"), "{up:?}");
    let named = run(Path::new("/"), &["health", "--server", &daemon.url]);
    assert_eq!(named.code, Some(0), "{named:?}");
    let data = folder.path().join("data");
    let found = run(
        Path::new("/"),
        &["health", "--data-dir", data.to_str().expect("text")],
    );
    assert_eq!(found.code, Some(0), "{found:?}");
    let url = daemon.url.clone();
    daemon.kill();
    // The file of the killed one is still there, and nobody answers.
    let killed = run(folder.path(), &["health"]);
    assert_eq!(killed.code, Some(1), "{killed:?}");
    assert!(killed.err.contains("does not answer"), "{killed:?}");
    let daemon = Daemon::start_as_it_is(folder.path());
    assert!(daemon.stop().0.success());
    assert!(
        !data.join("local.json").exists(),
        "a daemon that ends takes its file with it"
    );
    assert_eq!(run(folder.path(), &["health"]).code, Some(1));
    assert_eq!(
        run(folder.path(), &["health", "--server", &url]).code,
        Some(1)
    );
    assert_eq!(
        run(folder.path(), &["health", "--server", "not an address"]).code,
        Some(1)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_and_channels_are_managed_through_the_file_that_only_the_owner_reads() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &config(""));
    let data = folder.path().join("data");
    assert_eq!(mode(&data), 0o700);
    for file in ["local.json", "deskbell.key"] {
        assert_eq!(mode(&data.join(file)), 0o600, "{file}");
    }
    let channels = run(folder.path(), &["channel", "list"]);
    assert_eq!(channels.code, Some(0), "{channels:?}");
    for word in ["shop-page", "messenger", "site", "webchat", "Website"] {
        assert!(channels.out.contains(word), "{word}: {channels:?}");
    }

    let made = run(
        folder.path(),
        &[
            "token",
            "create",
            "for the till",
            "--scope",
            "read",
            "--channel",
            "site",
        ],
    );
    assert_eq!(made.code, Some(0), "{made:?}");
    // The token alone is on standard output, so that a script can keep it.
    let token = made.out.trim().to_owned();
    assert!(
        token.starts_with("dbk_") && made.out.lines().count() == 1,
        "{made:?}"
    );
    let me = client()
        .get(format!("{}/api/v1/me", daemon.url))
        .bearer_auth(&token)
        .send()
        .await
        .expect("answers");
    let me: serde_json::Value = me.json().await.expect("JSON");
    assert_eq!(
        (&me["name"], &me["role"]),
        (&"for the till".into(), &"viewer".into()),
        "{me}"
    );
    assert_eq!(me["channels"], serde_json::json!(["site"]));

    let list = run(folder.path(), &["token", "list"]);
    assert_eq!(list.code, Some(0), "{list:?}");
    assert!(
        list.out.contains("for the till") && !list.out.contains(&token),
        "{list:?}"
    );
    let id = list
        .out
        .lines()
        .find(|line| line.contains("for the till"))
        .and_then(|line| line.split_whitespace().next())
        .expect("an id");
    // A reader's token manages nothing, and says so.
    let refused = run(folder.path(), &["token", "list", "--token", &token]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.contains("admin"), "{refused:?}");
    let revoked = run(folder.path(), &["token", "revoke", id]);
    assert_eq!(revoked.code, Some(0), "{revoked:?}");
    let gone = client()
        .get(format!("{}/api/v1/me", daemon.url))
        .bearer_auth(&token)
        .send()
        .await
        .expect("answers");
    assert_eq!(gone.status(), 401);
    for wrong in [
        &["token", "revoke", id][..],
        &["token", "revoke", "../me"],
        &["token", "create", ""],
        &["token", "create", "x", "--channel", "nobody"],
        &["token", "create", "x", "--expires-at", "yesterday"],
    ] {
        let said = run(folder.path(), wrong);
        assert_eq!(said.code, Some(1), "{wrong:?}: {said:?}");
        assert!(
            said.out.is_empty() && !said.err.is_empty(),
            "{wrong:?}: {said:?}"
        );
    }
    // From elsewhere: by address and token, from the environment, too.
    let mut elsewhere = command(Path::new("/"), &["channel", "list"]);
    elsewhere
        .env("DESKBELL_SERVER", &daemon.url)
        .env("DESKBELL_TOKEN", crate::support::ADMIN);
    assert_eq!(finish(elsewhere).code, Some(0));
    let without = run(
        Path::new("/"),
        &["channel", "list", "--server", &daemon.url],
    );
    assert_eq!(without.code, Some(1));
    assert!(without.err.contains("--token"), "{without:?}");
}

#[test]
fn a_port_in_use_and_a_folder_that_cannot_be_written_are_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let said = run(folder.path(), &["serve", "--listen", &address]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(
        said.err.contains(&address) && said.err.contains("--listen"),
        "{said:?}"
    );

    std::fs::write(folder.path().join("file"), "not a folder").expect("written");
    let said = run(
        folder.path(),
        &[
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--data-dir",
            "file/data",
        ],
    );
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(
        said.err.contains("file/data") && said.err.contains("--data-dir"),
        "{said:?}"
    );

    // Whoever may do everything may write everywhere.
    if !rustix::process::getuid().is_root() {
        let locked = folder.path().join("locked");
        std::fs::create_dir(&locked).expect("a folder");
        std::fs::set_permissions(&locked, std::fs::Permissions::from_mode(0o500))
            .expect("permissions");
        let said = run(
            folder.path(),
            &["serve", "--listen", "127.0.0.1:0", "--data-dir", "locked"],
        );
        assert_eq!(said.code, Some(1), "{said:?}");
        assert!(said.err.contains("locked"), "{said:?}");
    }

    // What is not ours is not touched.
    std::fs::create_dir_all(folder.path().join("foreign/store")).expect("a folder");
    std::fs::write(folder.path().join("foreign/store/PG_VERSION"), "17").expect("written");
    let said = run(
        folder.path(),
        &["serve", "--listen", "127.0.0.1:0", "--data-dir", "foreign"],
    );
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.err.contains("no data directory"), "{said:?}");
    assert_eq!(
        std::fs::read_to_string(folder.path().join("foreign/store/PG_VERSION"))
            .expect("still there"),
        "17"
    );
}

#[test]
fn tls_files_that_cannot_be_used_stop_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("key.pem"), "not a key").expect("written");
    std::fs::write(folder.path().join("cert.pem"), "not a certificate").expect("written");
    for (certificate, key, named) in [
        ("nowhere.pem", "key.pem", "nowhere.pem"),
        ("cert.pem", "key.pem", "cert.pem"),
    ] {
        let config = format!(
            "listen = \"127.0.0.1:0\"\n[tls]\ncertificate = \"{certificate}\"\nkey = \"{key}\"\n"
        );
        std::fs::write(folder.path().join("deskbell.toml"), config).expect("written");
        for subcommand in ["serve", "check"] {
            let said = run(folder.path(), &[subcommand]);
            assert_eq!(said.code, Some(1), "{subcommand}: {said:?}");
            assert!(
                said.err.contains(named) || said.out.contains(named),
                "{subcommand}: {said:?}"
            );
            assert!(!said.out.contains("is ready"), "{said:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f41_a_second_daemon_on_the_same_data_is_refused_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &config(""));
    let key = std::fs::read(folder.path().join("data/deskbell.key")).expect("a key");
    let local = std::fs::read(folder.path().join("data/local.json")).expect("the file");
    let mut fastest = Duration::MAX;
    for _ in 0..5 {
        let begun = Instant::now();
        let said = run(folder.path(), &["serve"]);
        fastest = fastest.min(begun.elapsed());
        assert_eq!(said.code, Some(1), "{said:?}");
        assert!(
            said.err.contains("in use") && said.err.contains("another Deskbell"),
            "{said:?}"
        );
        assert!(!said.out.contains("is ready"), "{said:?}");
    }
    // Of several tries the best: other programs may hold up a process.
    assert!(fastest < Duration::from_secs(10), "{fastest:?}");
    assert_eq!(
        std::fs::read(folder.path().join("data/deskbell.key")).expect("a key"),
        key
    );
    assert_eq!(
        std::fs::read(folder.path().join("data/local.json")).expect("the file"),
        local,
        "the first one is still found"
    );
    let body = envelope(PAGE, &[message("2001", "m_first", "still here", now_ms())]);
    assert_eq!(daemon.deliver("shop-page", APP_SECRET, body).await, 200);
    assert_eq!(run(folder.path(), &["health"]).code, Some(0));
}

#[test]
fn f41_of_two_daemons_that_start_at_once_one_runs() {
    for _ in 0..8 {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("deskbell.toml"), config("")).expect("written");
        let start = || {
            command(folder.path(), &["serve"])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("it starts")
        };
        let mut both = [start(), start()];
        let begun = Instant::now();
        let loser = loop {
            let over = both
                .iter_mut()
                .position(|child| child.try_wait().expect("ours").is_some());
            match over {
                Some(loser) => break loser,
                None => assert!(begun.elapsed() < Duration::from_secs(60), "both run"),
            }
            std::thread::sleep(Duration::from_millis(10));
        };
        let [first, second] = both;
        let (mut loser, winner) = if loser == 0 {
            (first, second)
        } else {
            (second, first)
        };
        assert_eq!(loser.wait().expect("it ended").code(), Some(1));
        let data = folder.path().join("data");
        let wait = Instant::now();
        let health = || -> Said { run(folder.path(), &["health"]) };
        while health().code != Some(0) {
            assert!(
                wait.elapsed() < Duration::from_secs(60),
                "the other one is not up"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        // The key that it works with is the one that it will find again.
        let key = std::fs::read(data.join("deskbell.key")).expect("a key");
        let pid = Pid::from_child(&winner);
        kill_process(pid, Signal::TERM).expect("it runs");
        assert!(
            ended(winner, Duration::from_secs(10))
                .expect("it ends")
                .success()
        );
        assert_eq!(
            std::fs::read(data.join("deskbell.key")).expect("a key"),
            key
        );
    }
}

#[test]
fn f45_term_and_int_end_it_with_0() {
    for signal in [Signal::TERM, Signal::INT] {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("deskbell.toml"), config("")).expect("written");
        let child = command(folder.path(), &["serve"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts");
        let begun = Instant::now();
        while run(folder.path(), &["health"]).code != Some(0) {
            assert!(begun.elapsed() < Duration::from_secs(60), "never up");
        }
        kill_process(Pid::from_child(&child), signal).expect("it runs");
        let begun = Instant::now();
        let status = ended(child, Duration::from_secs(10))
            .unwrap_or_else(|| panic!("{signal:?}: still there after 10 s"));
        assert_eq!(
            status.code(),
            Some(0),
            "{signal:?} after {:?}",
            begun.elapsed()
        );
    }
}
