//! Which pages may use a chat (V03).

use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::support::{Daemon, client};
use crate::visitors::visitor::{Visitor, config, text};

/// Origins that resemble `own` (`https://host` or `https://host:port`), and are not it.
fn lookalikes(scheme: &str, host: &str, port: &str) -> Vec<String> {
    let other = if scheme == "https" { "http" } else { "https" };
    let own = format!("{scheme}://{host}{port}");
    vec![
        "null".to_owned(),
        "*".to_owned(),
        String::new(),
        " ".to_owned(),
        "undefined".to_owned(),
        format!("{other}://{host}{port}"),
        format!("{}://{host}{port}", scheme.to_uppercase()),
        format!("{scheme}://{}{port}x", host.to_uppercase()),
        format!("{scheme}://{host}:1"),
        format!("{scheme}://{host}:80443"),
        format!("{own}:"),
        format!("{own}."),
        format!("{scheme}://{host}.{port}"),
        format!("{own}/"),
        format!("{own}/page"),
        format!("{own}?"),
        format!("{own}#"),
        format!("{own};"),
        format!("{own}, {own}"),
        format!("{own}, https://evil.example"),
        format!("https://evil.example, {own}"),
        format!("{own} https://evil.example"),
        format!("{own}.evil.example"),
        format!("{own}@evil.example"),
        format!("{scheme}://evil{host}{port}"),
        format!("{scheme}://evil.{host}{port}"),
        format!("{scheme}://evil-{host}{port}"),
        format!("{scheme}://user@{host}{port}"),
        format!("{scheme}://user:password@{host}{port}"),
        format!("{scheme}://@{host}{port}"),
        format!("{scheme}:///{host}{port}"),
        format!("{scheme}:/{host}{port}"),
        format!("{scheme}:\\\\{host}{port}"),
        format!("//{host}{port}"),
        format!("{host}{port}"),
        format!("{scheme}://{host}%2eevil.example"),
        format!("{scheme}://{host}%00.evil.example"),
        format!("{scheme}://[{host}]{port}"),
        format!("ws://{host}{port}"),
        format!("file://{host}"),
        format!("chrome-extension://{host}"),
        "https://evil.example".to_owned(),
        "http://localhost".to_owned(),
        "http://[::1]".to_owned(),
        "file://".to_owned(),
    ]
}

/// The `Access-Control-…` headers of an answer.
fn cors(headers: &HeaderMap) -> Vec<(&str, &str)> {
    let named = headers
        .iter()
        .filter(|(name, _)| name.as_str().starts_with("access-control-"));
    named
        .map(|(name, value)| (name.as_str(), value.to_str().expect("text")))
        .collect()
}

async fn ask(visitor: &Visitor, method: Method, path: &str, origin: &HeaderValue) -> Response {
    let request = visitor
        .request(method, path)
        .header("origin", origin)
        .header("access-control-request-method", "POST");
    request.json(&json!({})).send().await.expect("answers")
}

const ASKED: &[(Method, &str)] = &[
    (Method::POST, "session"),
    (Method::GET, "messages"),
    (Method::POST, "typing"),
    (Method::OPTIONS, "session"),
    (Method::OPTIONS, "messages"),
    (Method::OPTIONS, "attachments"),
];

async fn is_refused(visitor: &Visitor, origin: &HeaderValue) {
    for (method, path) in ASKED {
        let answer = ask(visitor, method.clone(), path, origin).await;
        assert_eq!(answer.status(), 403, "{method} {path} from {origin:?}");
        assert_eq!(
            cors(answer.headers()),
            [],
            "{method} {path} from {origin:?}"
        );
        assert!(varies(answer.headers()), "{method} {path} from {origin:?}");
    }
}

async fn is_allowed(visitor: &Visitor, origin: &str) {
    let value = HeaderValue::from_str(origin).expect("a value");
    for (method, path) in ASKED {
        let answer = ask(visitor, method.clone(), path, &value).await;
        // That the token is of another origin is a refusal of its own; the browser may read it.
        assert!(
            answer.status().as_u16() < 500,
            "{method} {path} from {origin}"
        );
        let headers = cors(answer.headers());
        assert!(
            headers.contains(&("access-control-allow-origin", origin)),
            "{method} {path} from {origin}: {headers:?}"
        );
        assert!(
            headers
                .iter()
                .all(|(name, value)| *name != "access-control-allow-credentials" && *value != "*"),
            "{headers:?}"
        );
        assert!(varies(answer.headers()), "{method} {path} from {origin}");
        if *method == Method::OPTIONS {
            assert_eq!(answer.status(), 204, "{path} from {origin}");
            assert!(
                headers.contains(&("access-control-allow-methods", "GET, POST")),
                "{headers:?}"
            );
            assert!(
                headers.contains(&(
                    "access-control-allow-headers",
                    "authorization, content-type, last-event-id"
                )),
                "{headers:?}"
            );
        }
    }
}

fn varies(headers: &HeaderMap) -> bool {
    headers
        .get_all("vary")
        .iter()
        .any(|value| value.as_bytes().eq_ignore_ascii_case(b"origin"))
}

#[tokio::test]
async fn v03_only_the_listed_origins_may_use_a_chat() {
    let folder = tempfile::tempdir().expect("a folder");
    let listed = [
        "https://shop.example",
        "https://shop.example:8443",
        "http://127.0.0.1:8099",
        "https://xn--80ak6aa92e.example",
    ];
    let daemon = Daemon::start(
        folder.path(),
        &config(&format!("allowed_origins = {}\n", json!(listed))),
    );
    let mut number = 0;
    let mut foreign = lookalikes("https", "shop.example", "");
    foreign.extend(lookalikes("https", "shop.example", ":8443"));
    // The same letters, written otherwise, and the daemon's own address, which is not on the list.
    foreign.extend(
        [
            "https://SHOP.example",
            "https://shop.example:443",
            "http://shop.example:443",
            "https://sh\u{f3}p.example",
        ]
        .map(str::to_owned),
    );
    foreign.push(daemon.url.clone());
    for origin in foreign {
        number += 1;
        let visitor = Visitor::stranger(&daemon, number).await;
        is_refused(
            &visitor,
            &HeaderValue::from_bytes(origin.as_bytes()).expect("a value"),
        )
        .await;
    }
    let visitor = Visitor::stranger(&daemon, number + 1).await;
    for unreadable in [
        &b"https://shop.example\xff"[..],
        b"\xff",
        "https://аррӏе.example".as_bytes(),
    ] {
        is_refused(
            &visitor,
            &HeaderValue::from_bytes(unreadable).expect("a value"),
        )
        .await;
    }
    for origin in listed {
        is_allowed(&visitor, origin).await;
    }
    // Programs and pages of the daemon name no origin, and get no header for one.
    let unnamed = visitor.get("messages").await;
    assert_eq!(
        (unnamed.status().as_u16(), cors(unnamed.headers()).len()),
        (200, 0)
    );
    assert_eq!(daemon.all("feed", 50).await.len(), 0);
}

#[tokio::test]
async fn v03_without_a_list_only_the_daemons_own_pages_may_use_a_chat() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &config(""));
    let port = daemon.url.rsplit(':').next().expect("a port").to_owned();
    // Behind a proxy that nobody named the daemon cannot know whether it is reached by HTTPS; that page is no worse.
    let foreign = lookalikes("http", "127.0.0.1", &format!(":{port}"))
        .into_iter()
        .filter(|origin| !origin.starts_with("https://127.0.0.1"));
    let mut number = 0;
    for origin in foreign.chain([
        format!("http://localhost:{port}"),
        format!("http://127.1:{port}"),
        format!("http://2130706433:{port}"),
        format!("http://[::ffff:127.0.0.1]:{port}"),
    ]) {
        number += 1;
        let visitor = Visitor::stranger(&daemon, number).await;
        is_refused(
            &visitor,
            &HeaderValue::from_bytes(origin.as_bytes()).expect("a value"),
        )
        .await;
    }
    assert!(number > 40);
    is_allowed(&Visitor::stranger(&daemon, number + 1).await, &daemon.url).await;
}

/// Where a daemon listens, which is not where it is reached once a proxy stands before it.
fn listening_at(daemon: &Daemon) -> String {
    let local =
        std::fs::read_to_string(daemon.folder.join("data/local.json")).expect("it is there");
    let local: Value = serde_json::from_str(&local).expect("JSON");
    text(&local["server"])
}

#[tokio::test]
async fn v03_where_people_come_by_https_a_page_without_it_is_foreign() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut daemon = Daemon::start(
        folder.path(),
        &format!("public_url = \"https://desk.example\"\n{}", config("")),
    );
    // It tells its public address; here it is reached without the proxy that would be there.
    daemon.url = listening_at(&daemon);
    let host = daemon.url.trim_start_matches("http://");
    let visitor = Visitor::stranger(&daemon, 1).await;
    is_allowed(&visitor, "https://desk.example").await;
    for origin in [
        "http://desk.example",
        "https://desk.example:8443",
        "https://desk.example.evil.example",
        &daemon.url,
        &format!("http://{host}."),
    ] {
        let request = client().post(format!("{}/chat/site/session", daemon.url));
        let request = request.header("origin", origin).json(&json!({}));
        let answer = request.send().await.expect("answers");
        assert_eq!(
            (answer.status().as_u16(), cors(answer.headers()).len()),
            (403, 0),
            "{origin}"
        );
    }
}

#[tokio::test]
async fn v03_the_script_may_be_included_by_every_page_and_says_nothing_of_anybody() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &config(""));
    let script = client()
        .get(format!("{}/chat/site.js", daemon.url))
        .header("origin", "https://shop.example")
        .send()
        .await
        .expect("answers");
    assert_eq!(script.status(), 200);
    assert_eq!(
        script.headers()["cross-origin-resource-policy"],
        "cross-origin"
    );
    assert!(
        script.headers()["content-type"]
            .to_str()
            .expect("text")
            .starts_with("text/javascript")
    );
    assert_eq!(script.headers()["x-content-type-options"], "nosniff");
    assert_eq!(cors(script.headers()), []);
    assert!(!script.headers().contains_key("set-cookie"));
    for missing in [
        "shop-page.js",
        "nobody.js",
        "site.js.map",
        "site",
        "..%2fsite.js",
    ] {
        let answer = client()
            .get(format!("{}/chat/{missing}", daemon.url))
            .send()
            .await
            .expect("answers");
        assert_eq!(answer.status(), 404, "{missing}");
    }
}
