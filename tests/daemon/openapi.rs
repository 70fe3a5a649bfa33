//! The API's description, against the binary that serves it.

use std::collections::BTreeSet;
use std::process::Command;

use crate::support::calls::echo;
use crate::support::{ADMIN, APP_SECRET, Daemon, PAGE, client, config, envelope, message, now_ms};
use serde_json::Value;

/// The file at the root of the project, which programs are generated from.
const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");

fn printed() -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_deskbell"))
        .arg("openapi")
        .output()
        .expect("it runs");
    assert!(output.status.success());
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn the_description_at_the_root_is_what_the_binary_prints() {
    let committed = std::fs::read_to_string(COMMITTED)
        .expect("openapi.json at the root: make it with `deskbell openapi > openapi.json`");
    assert!(
        committed == printed(),
        "openapi.json is stale: make it again with `deskbell openapi > openapi.json`"
    );
}

/// Puts something of each kind into the desk, and gives an id for each `{…}` of a path.
async fn fill(daemon: &Daemon) -> impl Fn(&str) -> String {
    let event = message("2001", "m_described", "hello", now_ms());
    assert_eq!(
        daemon
            .deliver("shop-page", APP_SECRET, envelope(PAGE, &[event]))
            .await,
        200
    );
    let first = async |list: &str| daemon.get(list).await["data"][0].clone();
    let text = |value: &Value| value.as_str().expect("an id").to_owned();
    let (conversation, contact) = (
        text(&first("conversations").await["id"]),
        text(&first("contacts").await["id"]),
    );
    let ring = text(&first("bell").await["id"]);
    let form = reqwest::multipart::Form::new().part(
        "file",
        reqwest::multipart::Part::text("a note").file_name("note.txt"),
    );
    let upload = client()
        .post(format!("{}/api/v1/attachments", daemon.url))
        .bearer_auth(ADMIN)
        .multipart(form);
    let uploaded = upload.send().await.expect("answers");
    assert_eq!(uploaded.status(), 201);
    let attachment = text(&uploaded.json::<Value>().await.expect("JSON")["id"]);
    let person = client()
        .post(format!("{}/api/v1/users", daemon.url))
        .bearer_auth(ADMIN)
        .json(&serde_json::json!({ "email": "eva@shop.example", "name": "Eva", "role": "agent" }));
    let person = person.send().await.expect("answers");
    assert_eq!(person.status(), 201);
    let person = text(&person.json::<Value>().await.expect("JSON")["id"]);
    let hook = client()
        .post(format!("{}/api/v1/hooks", daemon.url))
        .bearer_auth(ADMIN)
        .json(
            &serde_json::json!({ "url": "https://hooks.example/", "events": ["contact.deleted"] }),
        );
    let hook = hook.send().await.expect("answers");
    assert_eq!(hook.status(), 201);
    let hook = text(&hook.json::<Value>().await.expect("JSON")["id"]);
    move |path: &str| {
        let id = if path.contains("/hooks/") {
            &hook
        } else if path.contains("/users/") {
            &person
        } else if path.contains("/conversations/") {
            &conversation
        } else if path.contains("/bell/") {
            &ring
        } else if path.contains("/contacts/") {
            &contact
        } else if path.contains("/attachments/") {
            &attachment
        } else if path.contains("/channels/") {
            "shop-page"
        } else {
            panic!("this test does not know how to fill {path}")
        };
        let (before, after) = path.split_once('{').expect("a place to fill");
        format!("{before}{id}{}", after.split_once('}').expect("its end").1)
    }
}

#[tokio::test]
async fn every_documented_path_answers() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &config(&echo("echo")));
    let served = client()
        .get(format!("{}/openapi.json", daemon.url))
        .send()
        .await
        .expect("answers");
    assert_eq!(served.status(), 200);
    assert_eq!(served.headers()["content-type"], "application/json");
    let served = served.text().await.expect("text");
    assert_eq!(
        served.trim_end(),
        printed().trim_end(),
        "what is served is what is printed"
    );
    let document: Value = serde_json::from_str(&served).expect("JSON");
    assert!(
        document["openapi"]
            .as_str()
            .expect("a version")
            .starts_with("3.1."),
        "{}",
        document["openapi"]
    );
    let paths = document["paths"].as_object().expect("paths");
    assert!(paths.len() > 10, "{}", paths.len());

    let filled = fill(&daemon).await;
    let (mut asked, mut names) = (0, BTreeSet::new());
    for (path, item) in paths {
        for (method, operation) in item.as_object().expect("operations") {
            if operation["responses"].is_object() {
                let name = operation["operationId"]
                    .as_str()
                    .unwrap_or_else(|| panic!("{method} {path} has no name"));
                assert!(names.insert(name.to_owned()), "{name} is there twice");
                assert!(
                    operation["summary"].is_string(),
                    "{method} {path} has no summary"
                );
            }
        }
        if item["get"].is_null() {
            continue;
        }
        let path = if path.contains('{') {
            filled(path)
        } else {
            path.clone()
        };
        // The head of the answer only: the stream of events has no end.
        let answer = client()
            .get(format!("{}{path}", daemon.url))
            .bearer_auth(ADMIN)
            .send()
            .await
            .expect("answers");
        // No platform is there that could have told what people look like.
        let is_there = if path.ends_with("/avatar") { 404 } else { 200 };
        assert_eq!(answer.status(), is_there, "{path}");
        let stranger = client()
            .get(format!("{}{path}", daemon.url))
            .send()
            .await
            .expect("answers");
        // What the page for signing in has to know before anybody has.
        let is_public = ["/api/v1/session/providers", "/api/v1/setup"].contains(&&*path);
        let wanted = if is_public { 200 } else { 401 };
        assert_eq!(stranger.status(), wanted, "{path} without a token");
        asked += 1;
    }
    assert!(asked >= 10, "{asked}");
    // Every method of a path that is not documented is refused as such, and says what there is.
    let without_put = paths.iter().filter(|(_, item)| item["put"].is_null());
    for path in without_put
        .map(|(path, _)| path)
        .filter(|path| !path.contains('{'))
    {
        let answer = client()
            .put(format!("{}{path}", daemon.url))
            .bearer_auth(ADMIN)
            .send()
            .await
            .expect("answers");
        assert_eq!(answer.status(), 405, "{path}");
        assert!(answer.headers().contains_key("allow"), "{path}");
    }
    let docs = client()
        .get(format!("{}/docs/", daemon.url))
        .send()
        .await
        .expect("answers");
    assert_eq!(docs.status(), 200);
    assert!(
        docs.text().await.expect("text").contains("swagger"),
        "the reference can be read in a browser"
    );
}
