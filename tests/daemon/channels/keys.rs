//! The key: what is kept is nothing without it, and it can be changed.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use reqwest::Method;
use serde_json::json;

use super::{KEY, Page, ask, configuration, pointers, start};
use crate::support::Daemon;
use crate::support::files::{contents, found_in};

/// How often the daemon is killed while it seals secrets anew.
const KILLS: usize = 50;
/// What it says once a channel's secrets are sealed with the present key.
const SEALED: &str = "sealed with the present key";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn k01_none_of_forty_secrets_is_in_any_file_of_the_store() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = start(folder.path());
    let pages: Vec<_> = (0..13).map(Page::new).collect();
    for page in &pages {
        page.make(&daemon).await;
        assert_eq!(page.delivers(&daemon, &page.app_secret, "m_1").await, 200);
    }
    let chat = json!({ "id": "chat", "connector": "webchat", "settings": { "identity_secret": "canary-secret-identity" } });
    assert_eq!(daemon.post("channels", &chat).await.0, 201);
    // One is changed, one is refused, one is removed: none of the ways leaves it behind.
    let change = json!({ "settings": { "page_access_token": "canary-secret-turned" } });
    assert_eq!(
        ask(&daemon, Method::PATCH, "channels/page-0", Some(&change))
            .await
            .0,
        200
    );
    let mut refused = Page::new(99).wanted();
    refused["settings"]["page_id"] = json!("");
    assert_eq!(daemon.post("channels", &refused).await.0, 422);
    assert_eq!(
        ask(&daemon, Method::DELETE, "channels/page-1", None)
            .await
            .0,
        204
    );
    let log = std::sync::Arc::clone(&daemon.log);
    let data = folder.path().join("data");
    let running = contents(&data);
    assert!(daemon.stop().0.success());
    for files in [running, contents(&data)] {
        // A channel's name stands there as it is: what shows that a secret would be found.
        assert!(!found_in(&files, "canary-name-of-page-7").is_empty());
        assert_eq!(found_in(&files, "canary-secret"), [""; 0]);
    }
    assert!(!log.lock().expect("not poisoned").contains("canary-secret"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn k02_with_a_wrong_key_a_channel_waits_closed_and_others_work() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = start(folder.path());
    let page = Page::new(1);
    page.make(&daemon).await;
    let open = json!({ "id": "open", "connector": "webchat" });
    assert_eq!(daemon.post("channels", &open).await.0, 201);
    assert!(daemon.stop().0.success());

    let wrong = configuration("another-invented-key-of-the-daemon", &[]);
    let daemon = Daemon::start(folder.path(), &wrong);
    let closed = daemon.get("channels/page-1").await;
    assert_eq!(
        (&closed["state"], &closed["source"]),
        (&json!("closed"), &json!("api"))
    );
    let detail = closed["detail"].as_str().expect("words");
    for words in ["app_secret", "another key", "previous_keys"] {
        assert!(detail.contains(words), "{detail}");
    }
    daemon.wait_for_log("page-1 stays closed");
    assert_eq!(daemon.get("channels/open").await["state"], "up");
    assert_eq!(daemon.get("channels/site").await["state"], "up");
    // The platform keeps what it has for us.
    assert_eq!(page.delivers(&daemon, &page.app_secret, "m_1").await, 503);
    // What cannot be opened has to be given anew, all of it.
    let path = "channels/page-1";
    let some = json!({ "settings": { "app_secret": "new" } });
    let (status, problem) = ask(&daemon, Method::PATCH, path, Some(&some)).await;
    assert_eq!(status, 422, "{problem}");
    assert_eq!(
        pointers(&problem),
        ["/settings/page_access_token", "/settings/verify_token"]
    );
    assert!(daemon.stop().0.success());

    // The right key opens it as it was.
    let daemon = start(folder.path());
    assert_eq!(page.delivers(&daemon, &page.app_secret, "m_1").await, 200);
    assert!(daemon.stop().0.success());
    let daemon = Daemon::start(folder.path(), &wrong);
    let all = json!({ "settings": { "app_secret": "new", "page_access_token": "new", "verify_token": "new" } });
    let (status, changed) = ask(&daemon, Method::PATCH, path, Some(&all)).await;
    assert_eq!(
        (status, &changed["state"]),
        (200, &json!("up")),
        "{changed}"
    );
    assert_eq!(page.delivers(&daemon, "new", "m_2").await, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn k02_the_key_that_was_made_gives_way_to_one_of_the_configuration() {
    let folder = tempfile::tempdir().expect("a folder");
    let configured = configuration(KEY, &[]);
    let without = configured.replace(
        &format!("[secrets]\nkey = \"{KEY}\"\nprevious_keys = []\n"),
        "",
    );
    assert!(!without.contains("[secrets]"));
    let daemon = Daemon::start(folder.path(), &without);
    let page = Page::new(1);
    page.make(&daemon).await;
    assert!(daemon.stop().0.success());
    for _ in 0..2 {
        let daemon = Daemon::start(folder.path(), &configured);
        assert_eq!(page.delivers(&daemon, &page.app_secret, "m_1").await, 200);
        assert!(daemon.stop().0.success());
        std::fs::remove_file(folder.path().join("data/deskbell.key")).ok();
    }
}

/// Starts the daemon and kills it once it has told of `sealed` channels.
fn killed_after(folder: &Path, config: &str, sealed: usize) {
    std::fs::write(folder.join("deskbell.toml"), config).expect("written");
    let mut child = Command::new(env!("CARGO_BIN_EXE_deskbell"))
        .arg("serve")
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let stderr = child.stderr.take().expect("piped");
    let lines = BufReader::new(stderr).lines().map_while(Result::ok);
    let told = lines.filter(|line| line.contains(SEALED)).take(sealed);
    assert_eq!(told.count(), sealed);
    child.kill().expect("it runs");
    child.wait().expect("it ends");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn k02_changing_the_key_under_kill_9_loses_no_secret() {
    let folder = tempfile::tempdir().expect("a folder");
    let key = |number: usize| format!("an-invented-key-of-the-daemon-no-{number}");
    let pages: Vec<_> = (0..6).map(Page::new).collect();
    let daemon = Daemon::start(folder.path(), &configuration(&key(0), &[]));
    for page in &pages {
        page.make(&daemon).await;
    }
    daemon.kill();
    for round in 1..=KILLS {
        let former: Vec<_> = (round.saturating_sub(12)..round).map(key).collect();
        let former: Vec<_> = former.iter().map(String::as_str).collect();
        let config = configuration(&key(round), &former);
        killed_after(folder.path(), &config, round % (pages.len() + 1));
    }
    // One start that is left alone, and then the last key alone opens everything.
    let former: Vec<_> = (KILLS - 12..KILLS).map(key).collect();
    let former: Vec<_> = former.iter().map(String::as_str).collect();
    let daemon = Daemon::start(folder.path(), &configuration(&key(KILLS), &former));
    assert!(daemon.stop().0.success());
    let daemon = Daemon::start(folder.path(), &configuration(&key(KILLS), &[]));
    for page in &pages {
        let path = format!("channels/{}", page.id);
        assert_eq!(daemon.get(&path).await["state"], "up", "{}", page.id);
        assert_eq!(page.delivers(&daemon, &page.app_secret, "m_1").await, 200);
    }
}
