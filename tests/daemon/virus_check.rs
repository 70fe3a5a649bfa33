//! Files are checked for viruses before they are kept, whichever way they come in (M13): against a strict stand-in of
//! ClamAV's daemon that also fails in every way that it can.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::clamd::{Clamd, FOUND, Mood, eicar};
use crate::support::graph::{Graph, Page, Served};
use crate::support::{ADMIN, APP_SECRET, Daemon, PAGE, client, config, envelope, now_ms};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use deskbell::config::ClamdAddress;
use deskbell::virus_check::{Objection, Patience, VirusCheck};
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

/// How long something may take that happens by itself: many times what it takes here.
const PATIENCE: Duration = Duration::from_secs(120);
const PNG: &[u8] =
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89";

/// The test file as it is, and in four things that customers send.
fn wrapped() -> [(&'static str, Vec<u8>); 5] {
    let eicar = eicar();
    let mail = format!(
        "MIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\n{}\r\n",
        BASE64
            .encode(&eicar)
            .as_bytes()
            .chunks(76)
            .map(|line| String::from_utf8_lossy(line).into_owned())
            .collect::<Vec<_>>()
            .join("\r\n")
    );
    [
        ("plain.com", eicar.clone()),
        ("prefix.bin", [&[7; 200_000][..], &eicar].concat()),
        ("stored.zip", stored_zip(&eicar)),
        ("mail.eml", mail.into_bytes()),
        ("polyglot.png", [PNG, &eicar].concat()),
    ]
}

/// A zip file with one file in it that is not packed.
fn stored_zip(content: &[u8]) -> Vec<u8> {
    let size = u32::try_from(content.len()).expect("short").to_le_bytes();
    let sum = crc32fast::hash(content).to_le_bytes();
    let about = [
        &[20, 0, 0, 0, 0, 0, 0, 0, 0, 0][..],
        &sum,
        &size,
        &size,
        &[1, 0, 0, 0],
    ]
    .concat();
    let mut zip = [&b"PK\x03\x04"[..], &about, b"a", content].concat();
    let directory_at = zip.len();
    let entry = [&b"PK\x01\x02\x14\0"[..], &about, &[0; 14], b"a"].concat();
    // The entry ends with the place of the file, which is the beginning.
    zip.extend_from_slice(&entry);
    let length = u32::try_from(entry.len()).expect("short").to_le_bytes();
    let at = u32::try_from(directory_at).expect("short").to_le_bytes();
    zip.extend_from_slice(
        &[
            &b"PK\x05\x06\0\0\0\0\x01\0\x01\0"[..],
            &length,
            &at,
            &[0, 0],
        ]
        .concat(),
    );
    zip
}

fn address(clamd: &Clamd) -> ClamdAddress {
    match clamd.address().rsplit_once(':') {
        Some((host, port)) => ClamdAddress::Tcp(host.to_owned(), port.parse().expect("a port")),
        None => ClamdAddress::Unix(clamd.address().into()),
    }
}

fn check(clamd: &Clamd) -> VirusCheck {
    VirusCheck::new(Some(&address(clamd)))
}

/// One that gives up soon, for what never answers.
fn hasty(clamd: &Clamd) -> VirusCheck {
    let soon = Duration::from_millis(200);
    let patience = Patience {
        connect: soon,
        stretch: soon,
        answer: soon,
    };
    VirusCheck::with(Some(&address(clamd)), patience)
}

async fn not_checked(check: &VirusCheck, file: &[u8]) -> String {
    match check.check(file).await {
        Err(Objection::NotChecked(why)) => {
            assert_eq!(check.trouble().as_ref(), Some(&why));
            why
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn m13_what_is_clean_passes_and_eicar_is_found_in_five_wrappers() {
    let folder = tempfile::tempdir().expect("a folder");
    for clamd in [Clamd::on_tcp(), Clamd::on_unix(folder.path())] {
        let check = check(&clamd);
        check.ask().await.expect("it is there");
        let mut sizes = Vec::new();
        // Around the length of a stretch, and nothing at all.
        for size in [0, 1, 65_535, 65_536, 65_537, 3_000_000] {
            let clean = vec![b'a'; size];
            assert_eq!(check.check(&clean[..]).await, Ok(()), "{size}");
            sizes.push(size);
        }
        for (name, file) in wrapped() {
            let found = Err(Objection::Virus(FOUND.to_owned()));
            assert_eq!(check.check(&file[..]).await, found, "{name}");
            sizes.push(file.len());
        }
        assert_eq!(clamd.scanned(), sizes, "every byte is seen");
        assert_eq!(clamd.faults(), Vec::<String>::new());
        assert_eq!(check.trouble(), None);
    }
    let none = VirusCheck::new(None);
    assert_eq!(none.check(&eicar()[..]).await, Ok(()));
    assert_eq!(none.ask().await, Ok(()));
}

#[tokio::test]
async fn m13_no_answer_is_taken_for_clean_that_does_not_say_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let clamd = Clamd::on_unix(folder.path());
    let file = vec![b'a'; 300_000];
    let ordinary = check(&clamd);
    for cut in [0, 1, 5, 10, 14, 100_000, 300_000] {
        clamd.is(Mood::CutsAfter(cut));
        let why = not_checked(&ordinary, &file).await;
        assert!(why.contains("broke off"), "{cut}: {why}");
    }
    for odd in [
        "stream: OK",
        "stream: ok\0",
        "OK\0",
        "\0",
        "stream: OK\nmore\0",
        "stream: Can't allocate memory ERROR\0",
        "UNKNOWN COMMAND\0",
        "stream: OK FOUND? ERROR\0",
    ] {
        clamd.is(Mood::Says(odd));
        not_checked(&ordinary, &file).await;
    }
    // Said before it had seen the file.
    for early in ["stream: OK\0", "stream: Can't open ERROR\0"] {
        clamd.is(Mood::SaysAtOnce(early));
        not_checked(&ordinary, &file).await;
    }
    // An answer that never ends is not read for ever.
    clamd.is(Mood::Says(Box::leak("x".repeat(1 << 20).into_boxed_str())));
    not_checked(&ordinary, &file).await;
    for mood in [Mood::Silent, Mood::Stuck] {
        clamd.is(mood);
        let hasty = hasty(&clamd);
        // More than the socket holds, so that a peer that takes nothing is noticed.
        let why = not_checked(&hasty, &vec![b'a'; 4_000_000]).await;
        assert!(why.contains("in time"), "{mood:?}: {why}");
    }
    clamd.is(Mood::Says("HTTP/1.1 400 Bad Request\0"));
    assert!(ordinary.ask().await.is_err(), "that is no clamd");
    // It works again, and that is known.
    clamd.is(Mood::Scans(200_000));
    assert_eq!(ordinary.check(&file[..]).await, Err(Objection::TooLarge));
    assert_eq!(ordinary.check(&file[..200_000]).await, Ok(()));
    assert_eq!(ordinary.trouble(), None);
    let gone = VirusCheck::new(Some(&ClamdAddress::Unix(folder.path().join("none.ctl"))));
    let why = not_checked(&gone, &file).await;
    assert!(why.contains("cannot be reached"), "{why}");
}

fn graph() -> Graph {
    Graph::start(Page {
        app_id: "4242424242".to_owned(),
        app_secret: APP_SECRET.to_owned(),
        page_id: PAGE.to_owned(),
        page_token: "invented-page-token".to_owned(),
        version: "v25.0".to_owned(),
        human_agent: false,
    })
}

fn with_clamd(address: &str) -> String {
    config(&format!("[attachments]\nclamd = \"{address}\"\n"))
}

/// An upload of the staff's, with what was answered.
async fn uploads(daemon: &Daemon, name: &str, bytes: Vec<u8>) -> (u16, Value) {
    let form = Form::new().part("file", Part::bytes(bytes).file_name(name.to_owned()));
    let request = client().post(format!("{}/api/v1/attachments", daemon.url));
    let answer = request.bearer_auth(ADMIN).multipart(form).send().await;
    let answer = answer.expect("answers");
    (answer.status().as_u16(), answer.json().await.expect("JSON"))
}

/// The same of a visitor's.
async fn visitor_uploads(daemon: &Daemon, bytes: Vec<u8>) -> (u16, Value) {
    let session = client()
        .post(format!("{}/chat/site/session", daemon.url))
        .header("origin", &daemon.url)
        .json(&json!({}));
    let session: Value = session
        .send()
        .await
        .expect("answers")
        .json()
        .await
        .expect("JSON");
    let form = Form::new().part("file", Part::bytes(bytes).file_name("letter.bin"));
    let request = client()
        .post(format!("{}/chat/site/attachments", daemon.url))
        .header("origin", &daemon.url)
        .bearer_auth(session["token"].as_str().expect("a token"))
        .multipart(form);
    let answer = request.send().await.expect("answers");
    (answer.status().as_u16(), answer.json().await.expect("JSON"))
}

/// The first attachment of a message by its id at the platform, once it is in a state.
async fn until(daemon: &Daemon, mid: &str, state: &str) -> Value {
    let begun = Instant::now();
    loop {
        let items = daemon.all("feed", 200).await;
        let message = items.into_iter().find(|item| item["external_id"] == mid);
        let attachment = message.expect("the message is there at once")["attachments"][0].clone();
        if attachment["state"] == state {
            return attachment;
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "{mid} is never {state}: {attachment}\n{}",
            daemon.log()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn sends(daemon: &Daemon, graph: &Graph, mid: &str, url: &str) {
    graph.knows("2001");
    let attachment = json!({ "type": "file", "payload": { "url": url } });
    let event = json!({ "sender": { "id": "2001" }, "recipient": { "id": PAGE }, "timestamp": now_ms(),
        "message": { "mid": mid, "attachments": [attachment] } });
    let status = daemon
        .deliver("shop-page", APP_SECRET, envelope(PAGE, &[event]))
        .await;
    assert_eq!(status, 200);
}

fn served(bytes: Vec<u8>) -> Served {
    Served::File {
        mime_type: "application/octet-stream".to_owned(),
        name: Some("secret-name.bin".to_owned()),
        bytes: bytes.into(),
    }
}

/// How many files lie in the daemon's folder for them, those on their way included.
fn files(folder: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return 0;
    };
    let entries = entries.map(|entry| entry.expect("an entry").path());
    entries
        .map(|path| if path.is_dir() { files(&path) } else { 1 })
        .sum()
}

async fn metrics(daemon: &Daemon) -> String {
    let answer = client().get(format!("{}/metrics", daemon.url)).send().await;
    answer.expect("answers").text().await.expect("text")
}

/// Runs a command in a folder, and says how it ended and what it said.
fn run(folder: &Path, args: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_deskbell"))
        .args(args)
        .current_dir(folder)
        .env_clear()
        .output()
        .expect("it runs");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).expect("text"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn m13_nothing_is_kept_that_a_virus_is_in() {
    let folder = tempfile::tempdir().expect("a folder");
    let clamd = Clamd::on_unix(folder.path());
    let graph = graph();
    let configured = with_clamd(clamd.address()).replace("http://127.0.0.1:9", graph.url());
    let daemon = Daemon::start(folder.path(), &configured);
    assert!(!daemon.printed.contains("viruses"), "{}", daemon.printed);
    let attachments = folder.path().join("data/attachments");

    for (name, file) in wrapped() {
        let (status, problem) = uploads(&daemon, name, file.clone()).await;
        assert_eq!(
            (status, &problem["type"]),
            (422, &json!("/docs/problems/virus")),
            "{name}"
        );
        assert!(
            problem["detail"].as_str().expect("words").contains(FOUND),
            "{problem}"
        );
        assert_eq!(
            visitor_uploads(&daemon, file.clone()).await.0,
            422,
            "{name}"
        );
        let url = graph.serves(name, [served(file)]);
        sends(&daemon, &graph, &format!("m_{name}"), &url).await;
        let attachment = until(&daemon, &format!("m_{name}"), "failed").await;
        assert_eq!(
            attachment["detail"],
            format!("a virus was found in it: {FOUND}"),
            "{name}"
        );
        assert_eq!(attachment["url"], Value::Null);
    }
    assert_eq!(
        files(&attachments),
        0,
        "nothing is kept, and nothing lies about"
    );
    // What is clean comes, and then nobody asks for the bad ones again.
    assert_eq!(uploads(&daemon, "good.bin", b"good".to_vec()).await.0, 201);
    assert_eq!(visitor_uploads(&daemon, b"fine".to_vec()).await.0, 201);
    let url = graph.serves("good", [served(b"well".to_vec())]);
    sends(&daemon, &graph, "m_good", &url).await;
    until(&daemon, "m_good", "stored").await;
    assert_eq!(files(&attachments), 3);
    for (name, _) in wrapped() {
        assert_eq!(graph.times_fetched(name), 1, "{name}");
    }
    let figures = metrics(&daemon).await;
    assert!(
        figures.contains("deskbell_virus_checks_total{outcome=\"virus\"} 15"),
        "{figures}"
    );
    assert!(figures.contains("deskbell_virus_check_up 1"), "{figures}");
    let log = daemon.log();
    assert_eq!(log.matches(FOUND).count(), 15, "each once: {log}");
    for secret in ["secret-name", "plain.com", "polyglot", "letter.bin"] {
        assert!(!log.contains(secret), "{secret}: {log}");
    }
    assert_eq!(clamd.faults(), Vec::<String>::new());
    assert_eq!(graph.violations(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn m13_without_a_check_that_works_nothing_is_taken_and_no_message_waits() {
    let folder = tempfile::tempdir().expect("a folder");
    let clamd = Clamd::on_tcp();
    clamd.is(Mood::CutsAfter(0));
    let graph = graph();
    let configured = with_clamd(clamd.address()).replace("http://127.0.0.1:9", graph.url());
    let daemon = Daemon::start(folder.path(), &configured);
    let begun = Instant::now();
    let note = "Note      Files cannot be checked for viruses: clamd broke off";
    while !daemon
        .printed_later
        .lock()
        .expect("not poisoned")
        .contains(note)
    {
        assert!(begun.elapsed() < PATIENCE, "it is told at the start");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (status, problem) = uploads(&daemon, "a.bin", b"good".to_vec()).await;
    assert_eq!(
        (status, &problem["type"]),
        (503, &json!("/docs/problems/unavailable"))
    );
    assert!(
        problem["detail"]
            .as_str()
            .expect("words")
            .contains("viruses"),
        "{problem}"
    );
    assert_eq!(visitor_uploads(&daemon, b"good".to_vec()).await.0, 503);
    let url = graph.serves("good", [served(b"well".to_vec())]);
    sends(&daemon, &graph, "m_good", &url).await;
    until(&daemon, "m_good", "pending").await;
    assert_eq!(files(&folder.path().join("data/attachments")), 0);
    assert_eq!(graph.times_fetched("good"), 0, "nothing is fetched in vain");
    let figures = metrics(&daemon).await;
    assert!(figures.contains("deskbell_virus_check_up 0"), "{figures}");
    let (code, said) = run(folder.path(), &["health"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.starts_with("ready; files cannot be checked"), "{said}");
    let (code, said) = run(folder.path(), &["check"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("[attachments]: clamd broke off"), "{said}");
    let told = daemon
        .log()
        .matches("files cannot be checked for viruses")
        .count();
    assert_eq!(told, 1, "{}", daemon.log());

    clamd.is(Mood::Scans(1000));
    assert_eq!(uploads(&daemon, "a.bin", b"good".to_vec()).await.0, 201);
    let (status, problem) = uploads(&daemon, "a.bin", vec![1; 2000]).await;
    assert_eq!(
        (status, &problem["type"]),
        (413, &json!("/docs/problems/too-large"))
    );
    daemon.wait_for_log("files are checked for viruses again");
    // What waited comes after a minute, by itself.
    until(&daemon, "m_good", "stored").await;
    let (_, said) = run(folder.path(), &["check"]);
    assert!(said.contains("checks files for viruses"), "{said}");
    assert_eq!(run(folder.path(), &["health"]).1, "ready\n");
    assert_eq!(clamd.faults(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn m13_an_import_leaves_bad_files_out_and_brings_their_messages() {
    let (from, to) = (
        tempfile::tempdir().expect("a folder"),
        tempfile::tempdir().expect("a folder"),
    );
    let graph = graph();
    let unchecked = config("").replace("http://127.0.0.1:9", graph.url());
    let daemon = Daemon::start(from.path(), &unchecked);
    // The second is larger than one piece of an export.
    let large = [vec![7; 3_000_000], eicar()].concat();
    for (name, file) in [
        ("bad", eicar()),
        ("large", large),
        ("good", b"well".to_vec()),
    ] {
        let url = graph.serves(name, [served(file)]);
        sends(&daemon, &graph, &format!("m_{name}"), &url).await;
        until(&daemon, &format!("m_{name}"), "stored").await;
    }
    let (code, said) = run(from.path(), &["export", "--out", "history.jsonl"]);
    assert_eq!(code, Some(0), "{said}");
    daemon.stop();

    let clamd = Clamd::on_unix(to.path());
    let daemon = Daemon::start(to.path(), &with_clamd(clamd.address()));
    let history = from.path().join("history.jsonl");
    let import = ["import", history.to_str().expect("text")];
    for _ in 0..2 {
        let (code, said) = run(to.path(), &import);
        assert_eq!(code, Some(0), "{said}");
        assert!(said.contains("2 files were left out"), "{said}");
    }
    for mid in ["m_bad", "m_large"] {
        let attachment = until(&daemon, mid, "failed").await;
        assert_eq!(
            attachment["detail"],
            format!("a virus was found in it: {FOUND}")
        );
    }
    until(&daemon, "m_good", "stored").await;
    assert_eq!(files(&to.path().join("data/attachments")), 1);
    assert_eq!(clamd.faults(), Vec::<String>::new());

    clamd.is(Mood::Says("stream: Can't allocate memory ERROR\0"));
    std::fs::remove_dir_all(to.path().join("data/attachments")).expect("removed");
    std::fs::create_dir_all(to.path().join("data/attachments/incoming")).expect("made");
    let body = std::fs::read_to_string(&history).expect("text");
    let lines = body.lines().filter(|line| line.contains("\"file\""));
    let body: String = lines.map(|line| format!("{line}\n")).collect();
    let answer = client()
        .post(format!("{}/api/v1/imports", daemon.url))
        .bearer_auth(ADMIN)
        .header("content-type", "application/x-ndjson")
        .body(body);
    let answer = answer.send().await.expect("answers");
    assert_eq!(answer.status(), 503, "{:?}", answer.text().await);
    assert_eq!(files(&to.path().join("data/attachments")), 0);
}
