//! People of the shop, against the binary: the first run, the commands, and a flood of sign-ins.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::command::run;
use crate::support::{
    ADMIN, APP_SECRET, BINARY, Daemon, PAGE, client, config, envelope, message, now_ms,
};
use futures_util::future::join_all;
use serde_json::{Value, json};

const PASSWORD: &str = "seven blue umbrellas";

/// What an answer says, and the session's cookie in it.
struct Answer {
    status: u16,
    body: Value,
    session: Option<String>,
}

async fn send(request: reqwest::RequestBuilder) -> Answer {
    let answer = request.send().await.expect("answers");
    let status = answer.status().as_u16();
    let cookies = answer.headers().get_all("set-cookie");
    let session = cookies
        .iter()
        .filter_map(|cookie| cookie.to_str().ok()?.split(';').next())
        .find(|pair| pair.starts_with("deskbell="))
        .map(str::to_owned);
    let text = answer.text().await.expect("text");
    Answer {
        status,
        body: serde_json::from_str(&text).unwrap_or_default(),
        session,
    }
}

async fn sign_in(daemon: &Daemon, email: &str, password: &str) -> Answer {
    let body = json!({ "email": email, "password": password });
    send(
        client()
            .post(format!("{}/api/v1/session", daemon.url))
            .json(&body),
    )
    .await
}

async fn me(daemon: &Daemon, session: &str) -> Answer {
    let request = client().get(format!("{}/api/v1/me", daemon.url));
    send(request.header("cookie", session)).await
}

#[tokio::test]
async fn s12_the_link_makes_the_first_administrator_and_then_there_is_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &config(""));
    let link = daemon.setup_url.clone();
    assert!(link.contains("/setup?token="));
    let opened = send(client().get(&link)).await;
    assert_eq!(opened.status, 303);
    let setup = opened.session.expect("a session");
    let url = format!("{}/api/v1/setup", daemon.url);
    assert_eq!(
        send(client().get(&url)).await.body,
        json!({ "needed": true })
    );
    let first = json!({ "email": "jana@shop.example", "name": "Jana", "password": PASSWORD });
    // A page of another origin cannot do it with the session.
    let forged = client().post(&url).json(&first).header("cookie", &setup);
    assert_eq!(
        send(forged.header("origin", "https://elsewhere.example"))
            .await
            .status,
        403
    );
    let made = send(client().post(&url).json(&first).header("cookie", &setup)).await;
    assert_eq!(
        (made.status, &made.body["role"]),
        (201, &json!("admin")),
        "{}",
        made.body
    );
    let own = made.session.expect("a new session");
    assert_ne!(own, setup);
    assert_eq!(
        me(&daemon, &own).await.body["user"]["email"],
        "jana@shop.example"
    );
    assert_eq!(me(&daemon, &setup).await.status, 401);
    assert!(send(client().get(&link)).await.session.is_none());
    assert_eq!(
        send(client().post(&url).json(&first).bearer_auth(ADMIN))
            .await
            .status,
        409
    );
    let log = daemon.log();
    assert!(
        !log.contains(PASSWORD) && !log.contains("jana@shop.example"),
        "{log}"
    );

    // The next start prints no link, and the sessions of people go on.
    assert!(daemon.stop().0.success());
    let daemon = Daemon::start_as_it_is(folder.path());
    assert!(daemon.setup_url.is_empty(), "{}", daemon.printed);
    assert!(
        !daemon.printed.contains("setup?token="),
        "{}",
        daemon.printed
    );
    assert!(daemon.printed.contains("Sign in"), "{}", daemon.printed);
    assert_eq!(me(&daemon, &own).await.status, 200);
    let invented = format!("{}/setup?token=", daemon.url);
    assert!(send(client().get(invented)).await.session.is_none());
    assert_eq!(
        sign_in(&daemon, "jana@shop.example", PASSWORD).await.status,
        201
    );
}

/// Runs a command that reads a password.
fn with_password(folder: &Path, args: &[&str], password: &str) -> (Option<i32>, String, String) {
    let mut child = Command::new(BINARY)
        .args(args)
        .current_dir(folder)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut input = child.stdin.take().expect("piped");
    // A command that refuses may have ended before it reads.
    let _ = input.write_all(format!("{password}\n").as_bytes());
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[tokio::test]
async fn the_commands_add_list_and_let_in() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &config(""));
    let here = folder.path();
    let none = run(here, &["user", "list"]);
    assert!(
        none.code == Some(0) && none.out.contains("nobody yet"),
        "{none:?}"
    );
    let eva = [
        "user",
        "add",
        "--email",
        "eva@shop.example",
        "--name",
        "Eva",
        "--channels",
        "site,shop-page",
    ];
    let invited = run(here, &eva);
    assert_eq!(invited.code, Some(0), "{invited:?}");
    let (address, token) = invited.out.trim().split_once('#').expect("a link");
    assert_eq!(address, format!("{}/join", daemon.url));
    let again = run(here, &eva);
    assert!(
        again.code == Some(1) && again.err.contains("taken"),
        "{again:?}"
    );
    let jana = [
        "user",
        "add",
        "--email",
        "jana@shop.example",
        "--name",
        "Jana",
        "--role",
        "admin",
        "--password-stdin",
    ];
    let (code, _, error) = with_password(here, &jana, "password123");
    assert!(
        code == Some(1) && error.contains("tried first") && !error.contains("password123"),
        "{error}"
    );
    let (code, id, error) = with_password(here, &jana, PASSWORD);
    assert!(code == Some(0) && id.starts_with("usr_"), "{id} {error}");
    let listed = run(here, &["user", "list"]).out;
    for part in [
        "eva@shop.example",
        "invited",
        "jana@shop.example",
        "active",
        "[\"shop-page\",\"site\"]",
    ] {
        assert!(listed.contains(part), "{listed}");
    }
    let accept = json!({ "token": token, "password": PASSWORD });
    let accepted = client()
        .post(format!("{}/api/v1/invitations/accept", daemon.url))
        .json(&accept);
    assert_eq!(
        send(accepted).await.body["user"]["email"],
        "eva@shop.example"
    );

    let session = sign_in(&daemon, "jana@shop.example", PASSWORD)
        .await
        .session
        .expect("signed in");
    let new = "nine green kettles";
    let (code, _, error) = with_password(
        here,
        &["user", "passwd", "Jana@shop.example", "--password-stdin"],
        new,
    );
    assert_eq!(code, Some(0), "{error}");
    assert_eq!(me(&daemon, &session).await.status, 401);
    assert_eq!(sign_in(&daemon, "jana@shop.example", new).await.status, 201);
    let link = run(here, &["user", "passwd", "eva@shop.example"]);
    assert!(
        link.code == Some(0) && link.out.contains("/join#"),
        "{link:?}"
    );
    let unknown = run(here, &["user", "passwd", "nobody@shop.example"]);
    assert!(
        unknown.code == Some(1) && unknown.err.contains("user list"),
        "{unknown:?}"
    );
    assert_eq!(
        run(here, &["user", "add", "--email", "x@shop.example"]).code,
        Some(2)
    );
}

/// The most memory that a process has had so far, in KiB.
fn peak_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .expect("the kernel tells");
    let number = line.split_whitespace().nth(1).expect("a number");
    number.parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s14_a_flood_of_sign_ins_takes_no_memory_and_stops_no_delivery() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = config("").replace("[auth]", "trusted_proxies = [\"127.0.0.1/32\"]\n[auth]");
    let daemon = Daemon::start(folder.path(), &config);
    let before = peak_kib(daemon.pid());
    let address = |number: usize| format!("198.51.{}.{}", number / 250, number % 250 + 1);
    let one = async |number: usize| {
        let body =
            json!({ "email": format!("{number}@shop.example"), "password": "a wrong password" });
        let request = client()
            .post(format!("{}/api/v1/session", daemon.url))
            .json(&body);
        let request = request
            .header("x-forwarded-for", address(number))
            .header("x-forwarded-proto", "http")
            // Those who wait for their hash wait long on a machine that is busy with other tests.
            .timeout(Duration::from_secs(300));
        send(request).await.status
    };
    let deliver = async |number: usize| {
        let event = message("2001", &format!("m_{number}"), "hello", now_ms());
        let begun = Instant::now();
        let status = daemon
            .deliver("shop-page", APP_SECRET, envelope(PAGE, &[event]))
            .await;
        (status, begun.elapsed())
    };
    let flood = async {
        let begun = Instant::now();
        let statuses = join_all((0..500).map(one)).await;
        (statuses, begun.elapsed())
    };
    let deliveries = async {
        let mut all = Vec::new();
        for number in 0..50 {
            all.push(deliver(number).await);
        }
        all
    };
    let ((statuses, took), deliveries) = tokio::join!(flood, deliveries);
    let evaluated = statuses.iter().filter(|status| **status == 401).count();
    let slowed = statuses.iter().filter(|status| **status == 429).count();
    assert_eq!(evaluated + slowed, 500, "{statuses:?}");
    assert!(evaluated >= 1, "{statuses:?}");
    let slowest = deliveries
        .iter()
        .map(|(_, took)| *took)
        .max()
        .expect("some");
    assert!(deliveries.iter().all(|(status, _)| *status == 200));
    // A second is far more than a delivery takes, and far less than it would if 500 hashes stood before it.
    assert!(
        slowest < Duration::from_secs(10),
        "{slowest:?} while {took:?}"
    );
    // Two hashes of 19 MiB at once and 500 open requests; all at once would be 9.5 GiB.
    let grown = peak_kib(daemon.pid()).saturating_sub(before);
    crate::support::say(&format!(
        "s14: {evaluated} of 500 evaluated in {took:?}, {grown} KiB more, slowest delivery {slowest:?}"
    ));
    assert!(grown < 160 * 1024, "{grown} KiB");
}
