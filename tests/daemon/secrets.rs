//! K03: forty secrets through every path and every error, and none of them where somebody could read it.

mod everywhere;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::files::{contents, found_in};
use crate::support::{Daemon, PAGE, envelope, message, now_ms};
use axum::Router;
use axum::http::HeaderMap;
use serde_json::{Value, json};

/// What a customer writes: in the API, and not in the log.
const WORDS: &str = "canary-words-of-a-customer-4711";
/// A token's name stands in the store as it is: what shows that the search would find a secret.
const KNOWN_NAME: &str = "canary-name-that-may-be-found";

/// Secrets by what they are.
type Canaries = BTreeMap<String, String>;

fn canary(canaries: &mut Canaries, what: &str) -> String {
    let secret = format!(
        "canary-{what}-{:016x}",
        0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(canaries.len() as u64 + 1)
    );
    canaries.insert(what.to_owned(), secret.clone());
    secret
}

/// A platform that repeats the token that it was given in everything it says.
async fn talkative_platform() -> String {
    let answer = |headers: HeaderMap| async move {
        let presented = headers
            .get("authorization")
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned();
        let error = json!({ "message": format!("The token {presented} is not valid"), "type": presented, "code": 190, "fbtrace_id": presented });
        (
            axum::http::StatusCode::BAD_REQUEST,
            axum::Json(json!({ "error": error })),
        )
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
    format!("http://{address}")
}

/// A configuration full of secrets: in the file itself, in files and in the environment alike.
fn configuration(canaries: &mut Canaries, folder: &Path, platform: &str) -> String {
    let mut text = format!(
        "listen = \"127.0.0.1:0\"\n[auth]\nbootstrap_token = \"{}\"\n[secrets]\nkey = \"{}\"\n",
        canary(canaries, "bootstrap"),
        canary(canaries, "key"),
    );
    for number in 0..10 {
        let in_file = canary(canaries, &format!("app-secret-{number}"));
        let path = folder.join(format!("app-secret-{number}"));
        std::fs::write(&path, &in_file).expect("written");
        text.push_str(&format!(
            "[[channels]]\nid = \"page-{number}\"\nconnector = \"messenger\"\nname = \"Page {number}\"\napi_base = \"{platform}\"\n\
             app_id = \"70000{number}\"\npage_id = \"80000{number}\"\npage_access_token = \"{}\"\napp_secret = {{ file = \"app-secret-{number}\" }}\n\
             verify_token = \"{}\"\n",
            canary(canaries, &format!("page-token-{number}")),
            canary(canaries, &format!("verify-token-{number}")),
        ));
    }
    for number in 0..2 {
        let token = canary(canaries, &format!("echo-{number}"));
        text.push_str(&format!("[[channels]]\nid = \"echo-{number}\"\nconnector = \"echo\"\nname = \"E\"\ntoken = \"{token}\"\n"));
    }
    let identity = canary(canaries, "identity");
    text.push_str(&format!("[[channels]]\nid = \"site\"\nconnector = \"webchat\"\nname = \"Site\"\nidentity_secret = \"{identity}\"\n"));
    text
}

/// Everything that somebody could read.
#[derive(Default)]
struct Read {
    pages: Vec<(String, String)>,
}

impl Read {
    /// Keeps an answer's head and body; what the caller sent is the caller's own.
    async fn keep(&mut self, what: &str, request: reqwest::RequestBuilder) -> (u16, String) {
        let answer = request.send().await.expect("answers");
        let status = answer.status().as_u16();
        let mut text = format!("{:?}", answer.headers());
        let body = answer.text().await.expect("text");
        text.push_str(&body);
        self.pages.push((format!("{what}: {status}"), text));
        (status, body)
    }

    /// Fails where one of the secrets was read.
    fn assert_without(&self, canaries: &Canaries) {
        for (page, text) in &self.pages {
            for (what, secret) in canaries {
                assert!(!text.contains(secret.as_str()), "{what} is in {page}");
            }
        }
    }
}

/// Starts the daemon once more with its standard output into a file, and ends it as soon as it is ready.
fn printed(folder: &Path) -> String {
    let path = folder.join("printed");
    let file = std::fs::File::create(&path).expect("a file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_deskbell"));
    let mut child = command
        .arg("serve")
        .current_dir(folder)
        .stdout(file)
        .stderr(Stdio::null())
        .spawn()
        .expect("it starts");
    let begun = Instant::now();
    let text = loop {
        let text = std::fs::read_to_string(&path).expect("text");
        if text.contains("(site") || text.contains("site (") {
            break text;
        }
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "never ready: {text}"
        );
        std::thread::sleep(Duration::from_millis(50));
    };
    rustix::process::kill_process(
        rustix::process::Pid::from_child(&child),
        rustix::process::Signal::TERM,
    )
    .expect("it runs");
    assert!(child.wait().expect("it ends").success());
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn k03_no_secret_is_in_logs_answers_figures_or_the_store() {
    let folder = tempfile::tempdir().expect("a folder");
    let platform = talkative_platform().await;
    let mut canaries = Canaries::new();
    let config = configuration(&mut canaries, folder.path(), &platform);
    let daemon = Daemon::start(folder.path(), &config);
    // The platform's refusals are in the log before anything else is asked.
    daemon.wait_for_log("Meta's error 190");
    let mut read = Read::default();
    everywhere::go(&daemon, &mut canaries, &mut read).await;
    let local = std::fs::read_to_string(folder.path().join("data/local.json")).expect("the file");
    let local: Value = serde_json::from_str(&local).expect("JSON");
    canaries.insert(
        "this machine's token".to_owned(),
        local["token"].as_str().expect("a token").to_owned(),
    );
    assert!(canaries.len() >= 40, "{}", canaries.len());
    for args in [
        &["check"][..],
        &["channel", "list"],
        &["token", "list"],
        &["health"],
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_deskbell"))
            .args(args)
            .current_dir(folder.path())
            .output()
            .expect("it runs");
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(!text.is_empty(), "{args:?}");
        read.pages
            .push((format!("`deskbell {}`", args.join(" ")), text));
    }
    read.assert_without(&canaries);
    let anybody = [
        "/metrics",
        "/healthz",
        "/readyz",
        "/openapi.json",
        "/docs/",
        "/try/site",
        "/chat/site.js",
        "/nowhere",
        "/api/v1/nowhere",
        "/: 401",
    ];
    for (page, text) in read
        .pages
        .iter()
        .filter(|(page, _)| anybody.iter().any(|path| page.starts_with(path)))
    {
        assert!(!text.contains(WORDS), "a customer's words are in {page}");
    }

    let log_handle = std::sync::Arc::clone(&daemon.log);
    let (status, _) = daemon.stop();
    assert!(status.success());
    let log = log_handle.lock().expect("not poisoned").clone();
    assert!(
        log.contains("stopped cleanly"),
        "the whole log was read: {log}"
    );
    for (what, secret) in &canaries {
        assert!(
            !log.contains(secret.as_str()),
            "{what} is in the log: {log}"
        );
    }
    assert!(
        !log.contains(WORDS),
        "a customer's words are in the log: {log}"
    );
    assert!(!log.contains("panicked"), "{log}");

    // At rest: what opens doors is kept as a hash or not at all, and the configuration's secrets stay in the configuration.
    let data = contents(&folder.path().join("data"));
    assert!(
        !found_in(&data, KNOWN_NAME).is_empty(),
        "the search finds what is there"
    );
    for (what, secret) in &canaries {
        assert_eq!(found_in(&data, secret), Vec::<&str>::new(), "{what}");
        // Also without its prefix.
        if let Some((_, bare)) = secret
            .split_once('_')
            .filter(|(prefix, _)| prefix.starts_with("db"))
        {
            assert_eq!(found_in(&data, bare), Vec::<&str>::new(), "{what}");
        }
    }

    // What the terminal shows has one secret, its own new link, and that once.
    let printed = printed(folder.path());
    for (what, secret) in &canaries {
        assert!(
            !printed.contains(secret.as_str()),
            "{what} is printed: {printed}"
        );
    }
    assert_eq!(printed.matches("token=").count(), 1, "{printed}");
}

#[tokio::test]
async fn k03_at_info_a_message_leaves_no_word_in_the_log() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &crate::support::config(""));
    for number in 0..20 {
        let body = envelope(
            PAGE,
            &[message(
                &format!("31337{number}"),
                &format!("m_quiet_{number}"),
                WORDS,
                now_ms(),
            )],
        );
        assert_eq!(
            daemon
                .deliver("shop-page", crate::support::APP_SECRET, body)
                .await,
            200
        );
    }
    let before = daemon.log_text();
    assert!(
        !before.contains(WORDS) && !before.contains("31337") && !before.contains("m_quiet"),
        "{before}"
    );
}
