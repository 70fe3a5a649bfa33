//! A real daemon for the tests: the built binary, in a folder of its own, on a free port.

pub(crate) mod bot_api;
pub(crate) mod calls;
pub(crate) mod clamd;
pub(crate) mod command;
pub(crate) mod files;
pub(crate) mod graph;
pub(crate) mod proxy;
pub(crate) mod push_service;
pub(crate) mod raw;
pub(crate) mod sse;

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use deskbell_sdk::Secret;
use deskbell_sdk::webhook::hmac_sha256_hex;
use serde_json::{Value, json};

/// The API token of the tests' configuration, with every right.
pub(crate) const ADMIN: &str = "bootstrap-token-of-the-tests";
/// The app secret of the tests' Messenger channels.
pub(crate) const APP_SECRET: &str = "invented-app-secret";
/// The Page of the channel `shop-page`.
pub(crate) const PAGE: &str = "1029384756";

/// How long a daemon may take to become ready.
const START_PATIENCE: Duration = Duration::from_secs(180);

/// The built daemon.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_deskbell");

/// A number that the environment sets for the tests, such as how often a long one repeats; `usual` where it sets none.
pub(crate) fn switch(name: &str, usual: usize) -> usize {
    #[expect(
        clippy::disallowed_methods,
        reason = "a switch of the tests, not of the daemon"
    )]
    let value = std::env::var(name);
    value.map_or(usual, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is a number, and not {text:?}"))
    })
}

/// Says on the terminal what a long test found out; the test runner does not swallow it.
pub(crate) fn say(words: &str) {
    use std::io::Write as _;
    // Where nobody listens, nobody misses it.
    let _ = writeln!(std::io::stderr(), "{words}");
}

/// A configuration with a Page and a website chat; `more` is added at its end.
pub(crate) fn config(more: &str) -> String {
    format!(
        r#"listen = "127.0.0.1:0"
[auth]
bootstrap_token = "{ADMIN}"
{}
[[channels]]
id = "site"
connector = "webchat"
name = "Website"
{more}"#,
        messenger("shop-page", "4242424242", PAGE, APP_SECRET)
    )
}

/// A Messenger channel whose platform is not there.
pub(crate) fn messenger(id: &str, app_id: &str, page_id: &str, secret: &str) -> String {
    format!(
        r#"
[[channels]]
id = "{id}"
connector = "messenger"
name = "Page {id}"
api_base = "http://127.0.0.1:9"
app_id = "{app_id}"
page_id = "{page_id}"
page_access_token = "invented-page-token"
app_secret = "{secret}"
verify_token = "invented-verify-token"
"#
    )
}

/// A running daemon; it is killed when dropped.
pub(crate) struct Daemon {
    child: Child,
    /// Its address.
    pub(crate) url: String,
    /// The set-up link; empty where there is an administrator already.
    pub(crate) setup_url: String,
    /// What it wrote to its log so far.
    pub(crate) log: Arc<Mutex<String>>,
    /// What it printed.
    pub(crate) printed: String,
    /// What it printed behind the set-up link.
    pub(crate) printed_later: Arc<Mutex<String>>,
    /// Its folder.
    pub(crate) folder: PathBuf,
}

impl Daemon {
    /// Starts one in `folder` with a configuration, and waits until it is ready.
    pub(crate) fn start(folder: &Path, config: &str) -> Self {
        std::fs::write(folder.join("deskbell.toml"), config).expect("the configuration is written");
        Self::start_as_it_is(folder)
    }

    /// Starts one in `folder` with what is there.
    pub(crate) fn start_as_it_is(folder: &Path) -> Self {
        Self::start_by(Command::new(BINARY), folder)
            .unwrap_or_else(|log| panic!("the daemon ended before it was ready: {log}"))
    }

    /// Starts one in `folder` by a command that becomes the daemon: the binary, or a program that ends in it under the
    /// same process id. What it wrote to its log where it ended before it was ready.
    pub(crate) fn start_by(mut command: Command, folder: &Path) -> Result<Self, String> {
        let mut child = command
            .arg("serve")
            .current_dir(folder)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the daemon starts");
        let log = Arc::new(Mutex::new(String::new()));
        let stderr = child.stderr.take().expect("piped");
        let kept = Arc::clone(&log);
        let logging = std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let mut kept = kept.lock().expect("not poisoned");
                kept.push_str(&line);
                kept.push('\n');
            }
        });
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        // One that hangs is ended, and ends the reading below.
        let pid = rustix::process::Pid::from_child(&child);
        let (ready, is_ready) = std::sync::mpsc::sync_channel::<()>(1);
        let watch = std::thread::spawn(move || {
            let hangs = std::sync::mpsc::RecvTimeoutError::Timeout;
            if is_ready.recv_timeout(START_PATIENCE) == Err(hangs) {
                // It may have ended by itself at this moment; nobody has waited for it, so its id is still its own.
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        });
        let (mut printed, mut url, mut setup_url) = (String::new(), None, None);
        while setup_url.is_none() {
            let mut line = String::new();
            let read = stdout.read_line(&mut line).expect("its output is text");
            if read == 0 {
                drop(ready);
                watch.join().expect("the watch does not panic");
                let status = child.wait().expect("it ends");
                // A program beside the daemon may hold its error output for a moment.
                let begun = Instant::now();
                while !logging.is_finished() && begun.elapsed() < Duration::from_secs(2) {
                    std::thread::sleep(Duration::from_millis(5));
                }
                return Err(format!("{}{status}", log.lock().expect("not poisoned")));
            }
            if let Some(desk) = line.trim().strip_prefix("Desk ") {
                url = Some(desk.trim().trim_end_matches('/').to_owned());
            }
            if let Some(link) = line.trim().strip_prefix("Set up ") {
                setup_url = Some(link.trim().to_owned());
            }
            if line.trim().starts_with("Sign in ") {
                setup_url = Some(String::new());
            }
            printed.push_str(&line);
        }
        drop(ready);
        watch.join().expect("the watch does not panic");
        // What comes after is read on, so that it does not block the daemon.
        let printed_later = Arc::new(Mutex::new(String::new()));
        let later = Arc::clone(&printed_later);
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                later.lock().expect("not poisoned").push_str(&line);
            }
        });
        Ok(Self {
            child,
            url: url.expect("the address comes first"),
            setup_url: setup_url.expect("looked for"),
            log,
            printed,
            printed_later,
            folder: folder.to_owned(),
        })
    }

    /// Ends it as a crash would.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    /// The same, where what it wrote is still to be read.
    pub(crate) fn end(&mut self) {
        self.child.kill().expect("a child");
        self.child.wait().expect("it ends");
    }

    /// Whether somebody else has ended it.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_some()
    }

    /// Asks it to end (SIGTERM) and waits.
    pub(crate) fn stop(mut self) -> (ExitStatus, Duration) {
        let begun = Instant::now();
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
        let status = self.child.wait().expect("it ends");
        (status, begun.elapsed())
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its log so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().expect("not poisoned").clone()
    }

    /// Waits until its log holds `words`.
    pub(crate) fn wait_for_log(&self, words: &str) {
        let begun = Instant::now();
        while !self.log.lock().expect("not poisoned").contains(words) {
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "the log never said {words:?}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// A GET of the API with every right.
    pub(crate) async fn get(&self, path: &str) -> Value {
        let answer = client()
            .get(format!("{}/api/v1/{path}", self.url))
            .bearer_auth(ADMIN)
            .send()
            .await
            .expect("answers");
        assert_eq!(answer.status(), 200, "{path}");
        answer.json().await.expect("JSON")
    }

    /// Every item of a list, page by page.
    pub(crate) async fn all(&self, path: &str, limit: usize) -> Vec<Value> {
        let mut items = Vec::new();
        let mut cursor = String::new();
        loop {
            let separator = if path.contains('?') { '&' } else { '?' };
            let page = self
                .get(&format!("{path}{separator}limit={limit}{cursor}"))
                .await;
            items.extend(page["data"].as_array().expect("a list").iter().cloned());
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return items,
            }
        }
    }

    /// Delivers a body to a channel as Meta does, signed with `secret`.
    pub(crate) async fn deliver(&self, channel: &str, secret: &str, body: String) -> u16 {
        self.try_deliver(channel, secret, body)
            .await
            .expect("the daemon answers")
    }

    /// The same, where the daemon may be gone.
    pub(crate) async fn try_deliver(
        &self,
        channel: &str,
        secret: &str,
        body: String,
    ) -> Result<u16, reqwest::Error> {
        deliver(&self.url, channel, secret, body).await
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Delivers a body as Meta does.
pub(crate) async fn deliver(
    url: &str,
    channel: &str,
    secret: &str,
    body: String,
) -> Result<u16, reqwest::Error> {
    let signature = signature(secret, &body);
    let request = client().post(format!("{url}/webhooks/{channel}"));
    let request = request
        .header("content-type", "application/json")
        .header("x-hub-signature-256", signature);
    Ok(request.body(body).send().await?.status().as_u16())
}

/// Meta's signature of a body.
pub(crate) fn signature(secret: &str, body: &str) -> String {
    format!(
        "sha256={}",
        hmac_sha256_hex(&Secret::new(secret), body.as_bytes())
    )
}

/// A client that reuses connections and follows nothing.
pub(crate) fn client() -> reqwest::Client {
    static CLIENT: std::sync::OnceLock<Mutex<Vec<(tokio::runtime::Id, reqwest::Client)>>> =
        std::sync::OnceLock::new();
    // A client belongs to the runtime that it was first used on, and each test has its own.
    let here = tokio::runtime::Handle::current().id();
    let mut clients = CLIENT
        .get_or_init(Mutex::default)
        .lock()
        .expect("not poisoned");
    if let Some((_, client)) = clients.iter().find(|(runtime, _)| *runtime == here) {
        return client.clone();
    }
    let client = deskbell::http_client::builder().build().expect("a client");
    clients.push((here, client.clone()));
    client
}

/// A delivery of Meta's with these events of a Page.
pub(crate) fn envelope(page: &str, events: &[Value]) -> String {
    let time = now_ms();
    json!({ "object": "page", "entry": [{ "id": page, "time": time, "messaging": events }] })
        .to_string()
}

/// A message of a person to the Page.
pub(crate) fn message(person: &str, mid: &str, text: &str, at_ms: i64) -> Value {
    json!({ "sender": { "id": person }, "recipient": { "id": PAGE }, "timestamp": at_ms, "message": { "mid": mid, "text": text } })
}

/// Now, in milliseconds.
pub(crate) fn now_ms() -> i64 {
    deskbell::clock::Clock::system().now().as_millis()
}
