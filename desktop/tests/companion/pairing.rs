//! Pairing, tests of the device, being signed out and coming back, by the built program against the built daemon.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::support::{ADMIN, Daemon, Desktop, client, has_a_desktop, wait_for};
use reqwest::Method;
use serde_json::{Value, json};

const PASSWORD: &str = "a long and invented one";

/// Somebody of the shop who is signed in to the desk.
struct Person {
    id: String,
    cookie: String,
}

impl Person {
    async fn comes(daemon: &Daemon, email: &str) -> Self {
        let body = json!({ "email": email, "name": "Anna", "password": PASSWORD, "role": "agent", "channels": "all" });
        let made = daemon.post("/api/v1/users", body).await;
        let body = json!({ "email": email, "password": PASSWORD });
        let request = client()
            .post(format!("{}/api/v1/session", daemon.url))
            .json(&body);
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), 201);
        let mut cookies = answer.headers().get_all("set-cookie").iter();
        let cookie = cookies.find_map(|cookie| {
            let pair = cookie.to_str().ok()?.split(';').next()?;
            pair.starts_with("deskbell=").then(|| pair.to_owned())
        });
        Self {
            id: made["id"].as_str().expect("an id").to_owned(),
            cookie: cookie.expect("a session"),
        }
    }

    async fn asks(&self, daemon: &Daemon, method: Method, path: &str) -> (u16, Value) {
        let request = client().request(method, format!("{}/api/v1/{path}", daemon.url));
        let answer = request
            .header("cookie", &self.cookie)
            .send()
            .await
            .expect("an answer");
        (
            answer.status().as_u16(),
            answer.json().await.unwrap_or_default(),
        )
    }

    async fn code(&self, daemon: &Daemon) -> String {
        let (status, made) = self.asks(daemon, Method::POST, "devices/codes").await;
        assert_eq!(status, 201, "{made}");
        made["code"].as_str().expect("a code").to_owned()
    }

    async fn devices(&self, daemon: &Daemon) -> Vec<Value> {
        let (status, list) = self.asks(daemon, Method::GET, "devices").await;
        assert_eq!(status, 200, "{list}");
        list["data"].as_array().expect("a list").clone()
    }

    /// The only device, once it is so.
    async fn device_when(
        &self,
        daemon: &Daemon,
        what: &str,
        is_so: impl Fn(&Value) -> bool,
    ) -> Value {
        let begun = std::time::Instant::now();
        loop {
            let devices = self.devices(daemon).await;
            if let [device] = &devices[..]
                && is_so(device)
            {
                return device.clone();
            }
            assert!(
                begun.elapsed() < crate::support::PATIENCE,
                "{what}: {devices:?}"
            );
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
}

/// Runs a command of the companion to its end: its status, and what it printed and complained.
fn run(desktop: &Desktop, arguments: &[&str]) -> (i32, String) {
    let output = desktop.companion(arguments).output().expect("it runs");
    let words = [output.stdout, output.stderr].concat();
    (
        output.status.code().expect("it ends by itself"),
        String::from_utf8(words).expect("text"),
    )
}

#[tokio::test]
async fn s01_a_code_lets_a_computer_in_and_deleting_it_shuts_it_out() {
    if !has_a_desktop() {
        return;
    }
    let desktop = Desktop::start();
    let daemon = Daemon::start(desktop.folder.path()).await;
    let anna = Person::comes(&daemon, "anna@example.com").await;
    let (status, words) = run(&desktop, &["run"]);
    assert!(status == 1 && words.contains("not paired yet"), "{words}");
    let (status, words) = run(&desktop, &["pair", "--server", &daemon.url, "AAAA-AAAA"]);
    assert!(status == 1 && words.contains("10 minutes"), "{words}");
    let code = anna.code(&daemon).await;
    let (status, words) = run(
        &desktop,
        &[
            "pair",
            "--server",
            &daemon.url,
            "--name",
            "The till",
            &code.to_lowercase(),
        ],
    );
    assert!(status == 0 && words.contains("rings for Anna"), "{words}");
    let (status, again) = run(&desktop, &["pair", "--server", &daemon.url, &code]);
    assert!(
        status == 1 && again.contains("was used"),
        "a code works once: {again}"
    );
    let account = desktop.path("config/deskbell-desktop/account.json");
    let kept = fs::read_to_string(&account).expect("kept");
    let token = serde_json::from_str::<Value>(&kept).expect("JSON")["token"]
        .as_str()
        .expect("a token")
        .to_owned();
    assert!(token.starts_with("dbk_") && !words.contains(&token));
    assert_eq!(
        fs::metadata(&account).expect("there").permissions().mode() & 0o777,
        0o600
    );
    let device = anna
        .device_when(&daemon, "it is listed", |device| {
            device["name"] == "The till"
        })
        .await;
    assert_eq!(device["kind"], "desktop");
    let id = device["id"].as_str().expect("an id").to_owned();

    let mut companion = desktop.start_companion();
    desktop.companion_says("the line is open", 1);
    let (status, words) = run(&desktop, &["status"]);
    assert!(
        status == 0 && words.contains("Running       yes") && words.contains("lets Anna in"),
        "{words}"
    );
    let (status, words) = run(&desktop, &["run"]);
    assert!(status == 1 && words.contains("runs already"), "{words}");

    // A visible test, answered.
    let (status, _) = anna
        .asks(&daemon, Method::POST, &format!("devices/{id}/test"))
        .await;
    assert_eq!(status, 202);
    wait_for("the test is shown", || {
        desktop.times_shown("this is a test") == 1
    });
    anna.device_when(&daemon, "the test is confirmed", |device| {
        device["state"] == "working"
    })
    .await;

    // A message rings for the person whose computer it is, and the ledger says on which.
    daemon.visitor().await.writes(&daemon, "m1", "Hello?").await;
    wait_for("the notification", || {
        desktop.on_screen() >= 1
            && desktop
                .shown()
                .iter()
                .any(|(_, body, _)| body.contains("Hello?"))
    });
    let ring = daemon.the_ring().await;
    daemon.attempts(&ring).await;
    let attempts = daemon.get(&format!("/api/v1/bell/{ring}")).await["attempts"].clone();
    let mut attempts = attempts.as_array().expect("a list").iter();
    assert!(
        attempts.any(|one| one["device_id"] == id.as_str() && one["user_id"] == anna.id.as_str()),
        "{attempts:?}"
    );
    desktop.press("Take");
    let begun = std::time::Instant::now();
    loop {
        let taken = daemon.get(&format!("/api/v1/bell/{ring}")).await;
        if taken["taken_by"] == anna.id.as_str() {
            break;
        }
        assert!(begun.elapsed() < crate::support::PATIENCE, "{taken}");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }

    // Deleted in the desk: it says so loudly, and rings for nobody.
    let (status, _) = anna
        .asks(&daemon, Method::DELETE, &format!("devices/{id}"))
        .await;
    assert_eq!(status, 204);
    wait_for("it says that it was signed out", || {
        desktop.times_shown("was signed out") == 1
    });
    daemon
        .visitor()
        .await
        .writes(&daemon, "m2", "Nobody of yours")
        .await;
    let (status, words) = run(&desktop, &["status"]);
    assert!(
        status == 1 && words.contains("does not let this computer in"),
        "{words}"
    );
    assert!(companion.is_running());
    assert!(
        !desktop
            .shown()
            .iter()
            .any(|(_, body, _)| body.contains("Nobody of yours"))
    );

    // Paired again while it runs: it notices.
    let code = anna.code(&daemon).await;
    let (status, words) = run(
        &desktop,
        &["pair", "--server", &daemon.url, "--code", &code],
    );
    assert_eq!(status, 0, "{words}");
    wait_for("what rings is shown", || {
        desktop
            .shown()
            .iter()
            .any(|(_, body, _)| body.contains("Nobody of yours"))
    });
    let log = desktop.companion_log();
    let kept = fs::read_to_string(&account).expect("kept");
    let kept: Value = serde_json::from_str(&kept).expect("JSON");
    let second = kept["token"].as_str().expect("a token");
    assert!(
        !log.contains(&token) && !log.contains(second),
        "no token stands in the log"
    );

    let (status, words) = run(&desktop, &["forget"]);
    assert!(status == 0 && words.contains("signed out"), "{words}");
    assert!(!account.exists() && anna.devices(&daemon).await.is_empty());
    let (status, words) = run(&desktop, &["forget"]);
    assert!(status == 0 && words.contains("not paired"), "{words}");
    // What it was is no way in any more.
    let (status, _) = daemon.call(Method::GET, "/api/v1/me", &token, None).await;
    assert_eq!(status, 401);
    assert_ne!(token, ADMIN);
}

#[test]
fn a_token_crosses_no_network_in_clear_by_accident() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_deskbell-desktop"));
    command.args(["pair", "--server", "http://desk.example.com", "K7QM-3XPD"]);
    let output = command
        .env_clear()
        .env("HOME", folder.path())
        .output()
        .expect("it runs");
    let words = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(1));
    assert!(
        words.contains("no encryption") && words.contains("--plain-http"),
        "{words}"
    );
    let wrong = std::process::Command::new(env!("CARGO_BIN_EXE_deskbell-desktop"))
        .arg("rings")
        .output();
    assert_eq!(
        wrong.expect("it runs").status.code(),
        Some(2),
        "wrong usage"
    );
}
