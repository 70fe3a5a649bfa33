//! K03: forty secrets through every path and every error, and none of them where somebody could read it.

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::HeaderMap;
use deskbell_sdk::Secret;
use deskbell_sdk::webhook::hmac_sha256_hex;
use serde_json::{Value, json};
use support::calls::signature_of;
use support::sse::Events;
use support::{Daemon, PAGE, client, envelope, message, now_ms, raw};

/// What a customer writes: in the API, and not in the log.
const WORDS: &str = "canary-words-of-a-customer-4711";
/// A token's name stands in the store as it is: what shows that the search would find a secret.
const KNOWN_NAME: &str = "canary-name-that-may-be-found";

/// Secrets by what they are.
type Canaries = BTreeMap<String, String>;

fn canary(canaries: &mut Canaries, what: &str) -> String {
    let secret = format!("canary-{what}-{:016x}", 0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(canaries.len() as u64 + 1));
    canaries.insert(what.to_owned(), secret.clone());
    secret
}

/// A platform that repeats the token that it was given in everything it says.
async fn talkative_platform() -> String {
    let answer = |headers: HeaderMap| async move {
        let presented = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        let error = json!({ "message": format!("The token {presented} is not valid"), "type": presented, "code": 190, "fbtrace_id": presented });
        (axum::http::StatusCode::BAD_REQUEST, axum::Json(json!({ "error": error })))
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
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

/// Goes everywhere with the secrets: right, wrong, mixed up and malformed.
async fn go_everywhere(daemon: &Daemon, canaries: &mut Canaries, read: &mut Read) {
    let secret = |canaries: &Canaries, what: &str| canaries[what].clone();
    let bootstrap = secret(canaries, "bootstrap");
    let (app, verify) = (secret(canaries, "app-secret-0"), secret(canaries, "verify-token-0"));
    let url = |path: &str| format!("{}{path}", daemon.url);

    // The platform's side: the handshake, deliveries that are right, unsigned, malformed and partly bad.
    let handshake = |token: &str| client().get(url("/webhooks/page-0")).query(&[("hub.mode", "subscribe"), ("hub.verify_token", token), ("hub.challenge", "42")]);
    assert_eq!(read.keep("the handshake", handshake(&verify)).await.0, 200);
    assert_eq!(read.keep("a wrong handshake", handshake(&secret(canaries, "verify-token-1"))).await.0, 403);
    let mut event = message("2001", "m_canary", WORDS, now_ms());
    event["recipient"]["id"] = json!("800000");
    let body = envelope("800000", &[event]);
    let deliver = |body: &str, signature: &str| client().post(url("/webhooks/page-0")).header("x-hub-signature-256", signature).body(body.to_owned());
    assert_eq!(read.keep("a delivery", deliver(&body, &signature_of(&app, body.as_bytes()))).await.0, 200);
    for (what, signature) in [("the secret as signature", app.clone()), ("of another app", signature_of(&secret(canaries, "app-secret-1"), body.as_bytes()))] {
        assert_eq!(read.keep(what, deliver(&body, &signature)).await.0, 401);
    }
    for malformed in [format!("{{\"object\": {WORDS}"), format!("[\"{WORDS}\"]"), WORDS.to_owned(), format!("{{\"object\":\"{WORDS}\",\"entry\":7}}")] {
        let (status, _) = read.keep("a malformed delivery", deliver(&malformed, &signature_of(&app, malformed.as_bytes()))).await;
        assert_eq!(status, 400, "{malformed}");
    }
    let bad = format!(r#"{{"object":"page","entry":[{{"id":"800000","messaging":[{{"sender":{{"id":"1","id":"2"}},"message":{{"mid":"m_q","text":"{WORDS}"}}}}]}}]}}"#);
    assert_eq!(read.keep("a partly bad delivery", deliver(&bad, &signature_of(&app, bad.as_bytes()))).await.0, 200);
    for (what, token) in [("echo-0", secret(canaries, "echo-1")), ("echo-1", secret(canaries, "echo-0"))] {
        let request = client().post(url(&format!("/webhooks/{what}"))).header("x-echo-token", token).body("{}");
        assert_eq!(read.keep("another channel's token", request).await.0, 401);
    }

    // Staff: tokens that are made, used, wrong, in the wrong place and revoked.
    let made = client().post(url("/api/v1/tokens")).bearer_auth(&bootstrap).json(&json!({ "name": KNOWN_NAME, "scopes": ["read"] }));
    let made: Value = made.send().await.expect("answers").json().await.expect("JSON");
    let token = made["token"].as_str().expect("a token").to_owned();
    canaries.insert("api token".to_owned(), token.clone());
    for (what, request) in [
        ("a token that is not enough", client().get(url("/api/v1/tokens")).bearer_auth(&token)),
        ("a token in the address", client().get(url("/api/v1/feed")).query(&[("token", &token)]).bearer_auth(&token)),
        ("a token as a cursor", client().get(url("/api/v1/feed")).query(&[("cursor", &token)]).bearer_auth(&token)),
        ("a token as basic auth", client().get(url("/api/v1/feed")).basic_auth(&token, Some(&token))),
        ("a token that is nearly right", client().get(url("/api/v1/feed")).bearer_auth(format!("{token}x"))),
        ("a token as the name of a channel", client().post(url("/api/v1/tokens")).bearer_auth(&bootstrap).json(&json!({ "name": 1, "scopes": [token] }))),
        ("a token as a cookie", client().get(url("/")).header("cookie", format!("deskbell={token}"))),
        ("a secret as a time", client().post(url("/api/v1/tokens")).bearer_auth(&bootstrap).json(&json!({ "name": "x", "scopes": ["read"], "expires_at": app }))),
        ("a body that is no JSON", client().post(url("/api/v1/tokens")).bearer_auth(&bootstrap).header("content-type", "application/json").body(app.clone())),
    ] {
        read.keep(what, request).await;
    }

    // The set-up link and its session.
    let setup = daemon.setup_url.split_once("token=").expect("a token").1.to_owned();
    canaries.insert("set-up link".to_owned(), setup.clone());
    let opened = client().get(&daemon.setup_url).send().await.expect("answers");
    assert_eq!(opened.status(), 303);
    let cookie = opened.headers()["set-cookie"].to_str().expect("text").split(';').next().expect("a pair").to_owned();
    canaries.insert("session".to_owned(), cookie.split_once('=').expect("a value").1.to_owned());
    assert_eq!(read.keep("the link again", client().get(&daemon.setup_url)).await.0, 403);
    let foreign = client().delete(url("/api/v1/session")).header("cookie", &cookie).header("origin", "https://elsewhere.example");
    assert_eq!(read.keep("a forged request", foreign).await.0, 403);
    for path in ["/", "/api/v1/me", "/api/v1/feed", "/api/v1/channels", "/api/v1/channels/page-0", "/api/v1/channels/page-0/health", "/api/v1/tokens", "/api/v1/quarantine", "/api/v1/contacts", "/api/v1/conversations"] {
        assert_eq!(read.keep(path, client().get(url(path)).header("cookie", &cookie)).await.0, 200, "{path}");
    }

    // The website: a visitor, strange and known.
    let session = |identity: Value| client().post(url("/chat/site/session")).json(&json!({ "identity": identity }));
    let identity = secret(canaries, "identity");
    let signature = hmac_sha256_hex(&Secret::new(&identity), b"customer-7");
    canaries.insert("identity's signature".to_owned(), signature.clone());
    for wrong in [json!({ "id": "customer-7" }), json!({ "id": "customer-7", "signature": identity }), json!({ "id": "customer-8", "signature": signature })] {
        assert_eq!(read.keep("a forged identity", session(wrong)).await.0, 403);
    }
    let opened = session(json!({ "id": "customer-7", "name": "Jana", "signature": signature })).send().await.expect("answers");
    assert_eq!(opened.status(), 201);
    let visitor = opened.json::<Value>().await.expect("JSON")["token"].as_str().expect("a token").to_owned();
    canaries.insert("visitor".to_owned(), visitor.clone());
    let write = |text: &str, client_id: &str| client().post(url("/chat/site/messages")).bearer_auth(&visitor).json(&json!({ "text": text, "client_id": client_id }));
    assert_eq!(read.keep("a visitor's message", write(WORDS, "1")).await.0, 201);
    assert_eq!(read.keep("a visitor's wrong message", write(WORDS, "")).await.0, 422);
    read.keep("a visitor's conversation", client().get(url("/chat/site/messages")).bearer_auth(&visitor)).await;
    read.keep("a visitor at the desk", client().get(url("/api/v1/feed")).bearer_auth(&visitor)).await;
    read.keep("a visitor elsewhere", client().get(url("/chat/site/messages")).bearer_auth(&visitor).header("origin", "https://elsewhere.example")).await;

    // For everybody.
    for path in ["/metrics", "/healthz", "/readyz", "/openapi.json", "/docs/", "/try/site", "/chat/site.js", "/nowhere", "/api/v1/nowhere"] {
        read.keep(path, client().get(url(path))).await;
    }
    let broken = format!("GET /{bootstrap} HTTP/1.1\r\nHost: desk\r\nAuthorization: Bearer {bootstrap}\r\nContent-Length: x\r\n\r\n");
    let answer = raw::exchange(&daemon.url, broken.as_bytes(), Duration::from_secs(3));
    read.pages.push(("a request that cannot be read".to_owned(), answer));
    let told = Events::open(daemon, &token, Some(0)).await.until_quiet(Duration::from_millis(700)).await;
    read.pages.push(("the stream".to_owned(), format!("{told:?}")));
    let answer = client().delete(url(&format!("/api/v1/tokens/{}", made["id"].as_str().expect("an id")))).bearer_auth(&bootstrap);
    assert_eq!(read.keep("the revocation", answer).await.0, 204);
    assert_eq!(read.keep("a revoked token", client().get(url("/api/v1/feed")).bearer_auth(&token)).await.0, 401);
}

/// Where `needle` stands in the files below a folder.
fn found_in(folder: &Path, needle: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(found_in(&path, needle));
        } else {
            let bytes = std::fs::read(&path).expect("a file");
            if bytes.windows(needle.len()).any(|window| window == needle.as_bytes()) {
                found.push(path.display().to_string());
            }
        }
    }
    found
}

/// Starts the daemon once more with its standard output into a file, and ends it as soon as it is ready.
fn printed(folder: &Path) -> String {
    let path = folder.join("printed");
    let file = std::fs::File::create(&path).expect("a file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_deskbell"));
    let mut child = command.arg("serve").current_dir(folder).stdout(file).stderr(Stdio::null()).spawn().expect("it starts");
    let begun = Instant::now();
    let text = loop {
        let text = std::fs::read_to_string(&path).expect("text");
        if text.contains("(site") || text.contains("site (") {
            break text;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "never ready: {text}");
        std::thread::sleep(Duration::from_millis(50));
    };
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::TERM).expect("it runs");
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
    go_everywhere(&daemon, &mut canaries, &mut read).await;
    let local = std::fs::read_to_string(folder.path().join("data/local.json")).expect("the file");
    let local: Value = serde_json::from_str(&local).expect("JSON");
    canaries.insert("this machine's token".to_owned(), local["token"].as_str().expect("a token").to_owned());
    assert!(canaries.len() >= 40, "{}", canaries.len());
    for args in [&["check"][..], &["channel", "list"], &["token", "list"], &["health"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_deskbell")).args(args).current_dir(folder.path()).output().expect("it runs");
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(!text.is_empty(), "{args:?}");
        read.pages.push((format!("`deskbell {}`", args.join(" ")), text));
    }
    read.assert_without(&canaries);
    let anybody = ["/metrics", "/healthz", "/readyz", "/openapi.json", "/docs/", "/try/site", "/chat/site.js", "/nowhere", "/api/v1/nowhere", "/: 401"];
    for (page, text) in read.pages.iter().filter(|(page, _)| anybody.iter().any(|path| page.starts_with(path))) {
        assert!(!text.contains(WORDS), "a customer's words are in {page}");
    }

    let log_handle = std::sync::Arc::clone(&daemon.log);
    let (status, _) = daemon.stop();
    assert!(status.success());
    let log = log_handle.lock().expect("not poisoned").clone();
    assert!(log.contains("stopped cleanly"), "the whole log was read: {log}");
    for (what, secret) in &canaries {
        assert!(!log.contains(secret.as_str()), "{what} is in the log: {log}");
    }
    assert!(!log.contains(WORDS), "a customer's words are in the log: {log}");
    assert!(!log.contains("panicked"), "{log}");

    // At rest: what opens doors is kept as a hash or not at all, and the configuration's secrets stay in the configuration.
    let data = folder.path().join("data");
    assert!(!found_in(&data, KNOWN_NAME).is_empty(), "the search finds what is there");
    for (what, secret) in &canaries {
        assert_eq!(found_in(&data, secret), Vec::<String>::new(), "{what}");
        // Also without its prefix.
        if let Some((_, bare)) = secret.split_once('_').filter(|(prefix, _)| prefix.starts_with("db")) {
            assert_eq!(found_in(&data, bare), Vec::<String>::new(), "{what}");
        }
    }

    // What the terminal shows has one secret, its own new link, and that once.
    let printed = printed(folder.path());
    for (what, secret) in &canaries {
        assert!(!printed.contains(secret.as_str()), "{what} is printed: {printed}");
    }
    assert_eq!(printed.matches("token=").count(), 1, "{printed}");
}

#[tokio::test]
async fn k03_at_info_a_message_leaves_no_word_in_the_log() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &support::config(""));
    for number in 0..20 {
        let body = envelope(PAGE, &[message(&format!("31337{number}"), &format!("m_quiet_{number}"), WORDS, now_ms())]);
        assert_eq!(daemon.deliver("shop-page", support::APP_SECRET, body).await, 200);
    }
    let before = daemon.log_text();
    assert!(!before.contains(WORDS) && !before.contains("31337") && !before.contains("m_quiet"), "{before}");
}
