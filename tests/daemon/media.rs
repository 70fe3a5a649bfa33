//! Files that customers sent and who they are, through platforms that fail: everything follows its message, and nothing
//! of it leads the daemon where it should not go.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use crate::support::graph::{Graph, Page, Served};
use crate::support::{ADMIN, APP_SECRET, Daemon, PAGE, client, config, envelope, now_ms};
use serde_json::{Value, json};

/// How long what follows a message may take: many times what it takes here.
const PATIENCE: Duration = Duration::from_secs(120);
const PNG: &[u8] =
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89";

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

fn daemon(folder: &std::path::Path, graph: &Graph) -> Daemon {
    Daemon::start(
        folder,
        &config("").replace("http://127.0.0.1:9", graph.url()),
    )
}

/// A customer sends pictures at these addresses.
async fn sends(daemon: &Daemon, graph: &Graph, person: &str, mid: &str, urls: &[&str]) {
    graph.knows(person);
    let attachments: Vec<Value> = urls
        .iter()
        .map(|url| json!({ "type": "image", "payload": { "url": url } }))
        .collect();
    let event = json!({ "sender": { "id": person }, "recipient": { "id": PAGE }, "timestamp": now_ms(),
        "message": { "mid": mid, "attachments": attachments } });
    let body = envelope(PAGE, &[event]);
    assert_eq!(daemon.deliver("shop-page", APP_SECRET, body).await, 200);
}

/// A message by its id at the platform.
async fn message(daemon: &Daemon, mid: &str) -> Value {
    let items = daemon.all("feed", 200).await;
    let found = items.into_iter().find(|item| item["external_id"] == mid);
    found.unwrap_or_else(|| panic!("{mid} is not in the feed"))
}

/// Waits until the first attachment of a message is in a state.
async fn until(daemon: &Daemon, mid: &str, state: &str) -> Value {
    let begun = Instant::now();
    loop {
        let attachment = message(daemon, mid).await["attachments"][0].clone();
        if attachment["state"] == state {
            return attachment;
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "{mid} is never {state}: {attachment}; {}",
            daemon.log.lock().expect("not poisoned")
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn download(daemon: &Daemon, path: &str, token: Option<&str>) -> (u16, Vec<u8>, [String; 3]) {
    let mut request = client().get(format!("{}{path}", daemon.url));
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let answer = request.send().await.expect("answers");
    let header = |name: &str| {
        let value = answer.headers().get(name);
        value.map_or_else(String::new, |value| {
            value.to_str().expect("text").to_owned()
        })
    };
    let headers = [
        header("content-type"),
        header("content-disposition"),
        header("x-content-type-options"),
    ];
    let status = answer.status().as_u16();
    (
        status,
        answer.bytes().await.expect("a body").to_vec(),
        headers,
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn m12_a_picture_that_fails_three_times_comes_and_only_who_may_sees_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let graph = graph();
    let daemon = daemon(folder.path(), &graph);
    let url = graph.serves(
        "photo",
        [
            Served::Status(500),
            Served::Cut,
            Served::Status(502),
            Served::File {
                mime_type: "text/html".to_owned(),
                name: Some("../holiday.png".to_owned()),
                bytes: PNG.into(),
            },
        ],
    );
    // A host that is dead, and a file that never comes, delay nobody.
    let silent = graph.serves("silent", [Served::Silence]);
    sends(&daemon, &graph, "2000", "m_silent", &[&silent]).await;
    sends(&daemon, &graph, "2001", "m_photo", &[&url]).await;
    let pending = message(&daemon, "m_photo").await["attachments"][0].clone();
    assert_eq!(
        (&pending["state"], &pending["url"]),
        (&json!("pending"), &Value::Null),
        "the message is there at once"
    );
    let stored = until(&daemon, "m_photo", "stored").await;
    assert_eq!(graph.times_fetched("photo"), 4);
    assert_eq!(
        stored["mime_type"], "image/png",
        "what it is, not what was said"
    );
    assert_eq!(stored["size"], PNG.len());
    assert_eq!(
        (&stored["name"], &stored["kind"]),
        (&json!("holiday.png"), &json!("image"))
    );
    let path = stored["url"].as_str().expect("a path");
    let (status, bytes, headers) = download(&daemon, path, Some(ADMIN)).await;
    assert_eq!((status, bytes.as_slice()), (200, PNG));
    assert_eq!(headers[0], "image/png");
    assert!(headers[1].starts_with("inline"), "{headers:?}");
    assert_eq!(headers[2], "nosniff");
    assert_eq!(download(&daemon, path, None).await.0, 401);
    assert_eq!(download(&daemon, path, Some("dbk_nobody")).await.0, 401);
    let (_, other) = daemon
        .make_token(&json!({ "name": "site only", "scopes": ["read"], "channels": ["site"] }))
        .await;
    assert_eq!(download(&daemon, path, Some(&other)).await.0, 404);
    assert_eq!(
        message(&daemon, "m_silent").await["attachments"][0]["state"],
        "pending"
    );
    assert_eq!(graph.violations(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn m08_m14_expired_links_are_asked_for_anew_and_files_are_what_they_are() {
    let folder = tempfile::tempdir().expect("a folder");
    let graph = graph();
    let daemon = daemon(folder.path(), &graph);
    let dead = graph.serves("dead", [Served::Status(403)]);
    let fresh = graph.serves("fresh", [Served::file("image/png", PNG)]);
    graph.attachments_are("m_again", &[&fresh]);
    sends(&daemon, &graph, "2001", "m_again", &[&dead]).await;
    until(&daemon, "m_again", "stored").await;
    assert_eq!(graph.messages_asked(), ["m_again"]);
    // Meta knows the message no longer.
    sends(&daemon, &graph, "2001", "m_gone", &[&dead]).await;
    let gone = until(&daemon, "m_gone", "expired").await;
    assert_eq!(gone["url"], Value::Null);
    let endless = graph.serves("endless", [Served::Endless]);
    sends(&daemon, &graph, "2001", "m_large", &[&endless]).await;
    until(&daemon, "m_large", "too_large").await;
    // Drawings and pages that can hold scripts, called pictures.
    for (number, active) in [
        &b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>"[..],
        b"<!doctype html><script>alert(1)</script>",
        b"<?xml version='1.0'?><x:script xmlns:x='http://www.w3.org/1999/xhtml'>alert(1)</x:script>",
        b"GIF89a/*<script>*/=1;alert(1)",
        b"%PDF-1.4 <script>alert(1)</script>",
        b"PK\x03\x04 a packed file is never unpacked",
    ]
    .iter()
    .enumerate()
    {
        let name = format!("active{number}");
        let url = graph.serves(&name, [Served::file("image/png", active)]);
        let mid = format!("m_{name}");
        sends(&daemon, &graph, "2001", &mid, &[&url]).await;
        let stored = until(&daemon, &mid, "stored").await;
        let path = stored["url"].as_str().expect("a path");
        let (status, bytes, headers) = download(&daemon, path, Some(ADMIN)).await;
        assert_eq!((status, bytes.as_slice()), (200, *active));
        let is_gif = headers[0] == "image/gif";
        assert_eq!(is_gif, number == 3, "{headers:?}");
        assert_eq!(stored["kind"], if is_gif { "image" } else { "file" });
        assert_eq!(headers[1].starts_with("inline"), is_gif, "{headers:?}");
        assert_eq!(headers[2], "nosniff");
        for script in ["html", "svg", "xml", "javascript"] {
            assert!(!headers[0].contains(script), "{headers:?}");
        }
    }
    assert_eq!(graph.violations(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn m01_m03_no_link_of_a_customers_leads_inside() {
    let folder = tempfile::tempdir().expect("a folder");
    let graph = graph();
    let daemon = daemon(folder.path(), &graph);
    let inside = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    inside.set_nonblocking(true).expect("a socket");
    let port = inside.local_addr().expect("an address").port();
    let direct = [
        format!("http://127.0.0.1:{port}/"),
        format!("https://127.0.0.1:{port}/"),
        format!("http://2130706433:{port}/"),
        format!("http://[::ffff:127.0.0.1]:{port}/"),
        format!("http://localhost:{port}/"),
        "https://169.254.169.254/latest/meta-data/".to_owned(),
        "https://evil.example/a.png".to_owned(),
        "https://scontent.fbcdn.net.evil.example/a.png".to_owned(),
        format!("https://graph:secret@127.0.0.1:{port}/"),
    ];
    for (number, url) in direct.iter().enumerate() {
        let (mid, led) = (format!("m_direct{number}"), format!("m_led{number}"));
        sends(&daemon, &graph, "2001", &mid, &[url]).await;
        until(&daemon, &mid, "failed").await;
        // The platform's own address leads on to it.
        let name = format!("led{number}");
        let own = graph.serves(&name, [Served::Redirect(url.clone())]);
        sends(&daemon, &graph, "2001", &led, &[&own]).await;
        until(&daemon, &led, "failed").await;
        assert_eq!(graph.times_fetched(&name), 1, "a refusal is final");
    }
    let connected = inside.accept();
    assert!(connected.is_err(), "somebody got inside: {connected:?}");
    let log = daemon.log.lock().expect("not poisoned").clone();
    assert!(log.contains("a file is not fetched"), "{log}");
    assert!(
        !log.contains("secret") && !log.contains("meta-data"),
        "{log}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f01_kill_9_while_a_file_comes_loses_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let graph = graph();
    let mut running = daemon(folder.path(), &graph);
    let url = graph.serves(
        "photo",
        [
            Served::Silence,
            Served::Silence,
            Served::file("image/png", PNG),
        ],
    );
    sends(&running, &graph, "2001", "m_photo", &[&url]).await;
    for round in 1..=2 {
        graph
            .until(PATIENCE, "asked for", |graph| {
                graph.times_fetched("photo") == round
            })
            .await;
        running.kill();
        running = Daemon::start_as_it_is(folder.path());
        assert_eq!(
            message(&running, "m_photo").await["attachments"][0]["state"],
            "pending"
        );
    }
    until(&running, "m_photo", "stored").await;
    assert_eq!(graph.times_fetched("photo"), 3);
    assert_eq!(running.all("feed", 200).await.len(), 1);
    let kept = std::fs::read_dir(folder.path().join("data/attachments/incoming"));
    assert_eq!(kept.expect("a folder").count(), 0, "half files are swept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_have_the_names_and_pictures_that_the_platform_tells() {
    let folder = tempfile::tempdir().expect("a folder");
    let graph = graph();
    let daemon = daemon(folder.path(), &graph);
    let picture = graph.serves(
        "jana",
        [Served::Status(500), Served::file("image/jpeg", PNG)],
    );
    graph.profile_is("2001", "Jana Nováková", &picture);
    let drawing = graph.serves(
        "drawing",
        [Served::file("image/png", b"<svg onload='alert(1)'/>")],
    );
    graph.profile_is("2002", "Peter Horák", &drawing);
    for (person, mid) in [
        ("2001", "m_1"),
        ("2001", "m_2"),
        ("2002", "m_3"),
        ("2001", "m_4"),
    ] {
        let body = envelope(
            PAGE,
            &[crate::support::message(person, mid, "Hello", now_ms())],
        );
        assert_eq!(daemon.deliver("shop-page", APP_SECRET, body).await, 200);
    }
    let begun = Instant::now();
    let avatar = loop {
        let jana = message(&daemon, "m_1").await;
        let peter = message(&daemon, "m_3").await;
        let contact = &jana["conversation"]["contact"];
        if contact["avatar_url"].is_string() && peter["contact"]["name"].is_string() {
            assert_eq!(contact["name"], "Jana Nováková");
            assert_eq!(jana["author"]["name"], "Jana Nováková");
            assert_eq!(peter["contact"]["name"], "Peter Horák");
            break contact["avatar_url"].as_str().expect("a path").to_owned();
        }
        assert!(begun.elapsed() < PATIENCE, "{jana} {peter}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let (status, bytes, headers) = download(&daemon, &avatar, Some(ADMIN)).await;
    assert_eq!((status, bytes.as_slice()), (200, PNG));
    assert_eq!(
        (headers[0].as_str(), headers[2].as_str()),
        ("image/png", "nosniff")
    );
    assert_eq!(download(&daemon, &avatar, None).await.0, 401);
    let (_, other) = daemon
        .make_token(&json!({ "name": "site only", "scopes": ["read"], "channels": ["site"] }))
        .await;
    assert_eq!(download(&daemon, &avatar, Some(&other)).await.0, 404);
    graph
        .until(PATIENCE, "the drawing was asked for", |graph| {
            graph.times_fetched("drawing") == 1
        })
        .await;
    let contacts = daemon.all("contacts", 50).await;
    let peter = contacts
        .iter()
        .find(|contact| contact["name"] == "Peter Horák")
        .expect("known");
    assert_eq!(peter["avatar_url"], Value::Null, "a drawing is no picture");
    let id = peter["id"].as_str().expect("an id");
    let none = format!("/api/v1/contacts/{id}/avatar");
    assert_eq!(download(&daemon, &none, Some(ADMIN)).await.0, 404);
    // Jana was asked for twice, since her picture failed once; never for each message.
    let mut asked = graph.people_asked();
    asked.sort();
    assert_eq!(asked, ["2001", "2001", "2002"]);
    assert_eq!(graph.violations(), Vec::<String>::new());
}
