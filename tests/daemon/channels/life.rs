//! From being added to being removed, through stops and crashes.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::{Page, ask, start};
use crate::support::sse::Events;
use crate::support::{ADMIN, Daemon, client};

/// A visitor of a website chat begins a session: its token.
async fn session(daemon: &Daemon, channel: &str) -> Result<String, u16> {
    let answer = client()
        .post(format!("{}/chat/{channel}/session", daemon.url))
        .header("content-type", "application/json")
        .body("{}")
        .send()
        .await
        .expect("the daemon answers");
    match answer.status().as_u16() {
        200 | 201 => {
            let session: Value = answer.json().await.expect("JSON");
            Ok(session["token"].as_str().expect("a token").to_owned())
        }
        refused => Err(refused),
    }
}

async fn writes(daemon: &Daemon, channel: &str, token: &str, text: &str) -> u16 {
    let body = json!({ "text": text, "client_id": text.replace(' ', "-") });
    let answer = client()
        .post(format!("{}/chat/{channel}/messages", daemon.url))
        .bearer_auth(token)
        .json(&body)
        .send();
    answer.await.expect("the daemon answers").status().as_u16()
}

async fn texts(daemon: &Daemon, channel: &str) -> Vec<String> {
    let feed = daemon.all(&format!("feed?channel={channel}"), 100).await;
    let texts = feed.iter().filter_map(|item| item["text"].as_str());
    texts.map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f01_a_channel_works_at_once_and_comes_back_after_a_stop_and_a_crash() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = start(folder.path());
    let page = Page::new(1);
    let mut events = Events::open(&daemon, ADMIN, None).await;
    page.make(&daemon).await;
    let told = events
        .wait_for(Duration::from_secs(30), |told| {
            told.kind == "channel.health"
        })
        .await;
    assert_eq!(told.data["data"]["channel"]["id"], page.id.as_str());
    assert_eq!(told.data["data"]["channel"]["healthy"], true);
    let chat = json!({ "id": "chat", "connector": "webchat", "settings": { "allowed_origins": ["https://shop.example"] } });
    let (status, made) = daemon.post("channels", &chat).await;
    assert_eq!((status, &made["name"]), (201, &made["title"]), "{made}");
    let script = made["chat"]["script_url"].as_str().expect("an address");
    assert_eq!(
        client().get(script).send().await.expect("answers").status(),
        200
    );
    assert_eq!(page.delivers(&daemon, &page.app_secret, "m_1").await, 200);
    assert_eq!(page.delivers(&daemon, "another secret", "m_x").await, 401);
    let visitor = session(&daemon, "chat").await.expect("comes in");
    assert_eq!(
        writes(&daemon, "chat", &visitor, "before the stop").await,
        201
    );

    assert!(daemon.stop().0.success());
    let daemon = start(folder.path());
    assert_eq!(page.delivers(&daemon, &page.app_secret, "m_2").await, 200);
    assert_eq!(
        writes(&daemon, "chat", &visitor, "after the stop").await,
        201
    );
    let change = json!({ "name": "Renamed", "settings": { "app_secret": "canary-secret-turned" } });
    let path = format!("channels/{}", page.id);
    let (status, changed) = ask(&daemon, Method::PATCH, &path, Some(&change)).await;
    assert_eq!(
        (status, &changed["name"]),
        (200, &json!("Renamed")),
        "{changed}"
    );
    daemon.kill();

    let daemon = start(folder.path());
    assert_eq!(daemon.get(&path).await["name"], "Renamed");
    assert_eq!(page.delivers(&daemon, &page.app_secret, "m_3").await, 401);
    assert_eq!(
        page.delivers(&daemon, "canary-secret-turned", "m_4").await,
        200
    );
    let query = format!(
        "{}/webhooks/{}?hub.mode=subscribe&hub.challenge=4711&hub.verify_token={}",
        daemon.url, page.id, page.verify
    );
    let answer = client().get(query).send().await.expect("answers");
    assert_eq!(
        answer.text().await.expect("text"),
        "4711",
        "what was not given anew stayed"
    );
    assert_eq!(
        texts(&daemon, "chat").await,
        ["after the stop", "before the stop"]
    );

    let (status, _) = ask(&daemon, Method::DELETE, &path, None).await;
    assert_eq!(status, 204);
    daemon.kill();
    let daemon = start(folder.path());
    assert_eq!(
        page.delivers(&daemon, "canary-secret-turned", "m_5").await,
        404
    );
    assert_eq!(daemon.get(&path).await["state"], "closed");
    assert_eq!(texts(&daemon, &page.id).await.len(), 3, "its history stays");
    // Its slug goes on with its history, by a fresh start of the counting of secrets.
    page.make(&daemon).await;
    assert_eq!(page.delivers(&daemon, &page.app_secret, "m_6").await, 200);
    assert_eq!(texts(&daemon, &page.id).await.len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_visitors_of_a_chat_that_is_removed_are_let_go() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = start(folder.path());
    let chat = json!({ "id": "chat", "connector": "webchat" });
    assert_eq!(daemon.post("channels", &chat).await.0, 201);
    let visitor = session(&daemon, "chat").await.expect("comes in");
    let open = client()
        .get(format!("{}/chat/chat/events", daemon.url))
        .bearer_auth(&visitor)
        .timeout(Duration::from_secs(120));
    let mut stream = open.send().await.expect("answers");
    assert_eq!(stream.status(), 200);
    let greeting = stream.chunk().await.expect("it lives").expect("a greeting");
    assert!(greeting.starts_with(b"retry"));
    assert_eq!(
        ask(&daemon, Method::DELETE, "channels/chat", None).await.0,
        204
    );
    let ended = async { while let Ok(Some(_)) = stream.chunk().await {} };
    tokio::time::timeout(Duration::from_secs(60), ended)
        .await
        .expect("the stream ends");
    assert_eq!(session(&daemon, "chat").await, Err(404));
    assert_eq!(
        writes(&daemon, "chat", &visitor, "anybody there").await,
        404
    );
    // The chat of the configuration goes on.
    session(&daemon, "site").await.expect("comes in");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f01_what_was_answered_is_there_after_a_kill_in_the_middle() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut made, mut removed) = (0, 0);
    for round in 0..4 {
        let daemon = start(folder.path());
        let url = daemon.url.clone();
        let (tell, mut told) = tokio::sync::mpsc::channel(1000);
        let busy = tokio::spawn(async move {
            for number in 0..200 {
                let id = format!("chat-{round}-{number}");
                let body = json!({ "id": id, "connector": "webchat", "settings": { "identity_secret": format!("secret {id}") } });
                let post = client().post(format!("{url}/api/v1/channels"));
                let Ok(answer) = post.bearer_auth(ADMIN).json(&body).send().await else {
                    return;
                };
                if answer.status() != 201 || tell.send((id.clone(), true)).await.is_err() {
                    return;
                }
                if number % 3 == 0 {
                    let delete = client().delete(format!("{url}/api/v1/channels/{id}"));
                    let Ok(answer) = delete.bearer_auth(ADMIN).send().await else {
                        return;
                    };
                    if answer.status() != 204 || tell.send((id, false)).await.is_err() {
                        return;
                    }
                }
            }
        });
        let mut acknowledged = std::collections::BTreeMap::new();
        let mut last = String::new();
        while acknowledged.len() < 10 {
            let (id, is_there) = told.recv().await.expect("channels are made");
            acknowledged.insert(id, is_there);
        }
        daemon.kill();
        busy.await.expect("it ends");
        while let Some((id, is_there)) = told.recv().await {
            acknowledged.insert(id, is_there);
        }
        // A removal that was asked for and not answered may have been done all the same: only the last can be one.
        let number = |id: &str| {
            id.rsplit('-')
                .next()
                .and_then(|number| number.parse::<u32>().ok())
        };
        for id in acknowledged.keys() {
            if number(id) > number(&last) {
                last.clone_from(id);
            }
        }
        let daemon = start(folder.path());
        for (id, is_there) in &acknowledged {
            let channel = daemon.get(&format!("channels/{id}")).await;
            let state = channel["state"].as_str().expect("a state");
            if *is_there {
                assert!(state == "up" || *id == last, "{id} is {state}");
                made += 1;
            } else {
                assert_eq!(state, "closed", "{id}");
                removed += 1;
            }
        }
        // None is there by halves.
        for channel in daemon.all("channels", 200).await {
            assert!(
                !channel["created_at"].is_null() && channel["id"].is_string(),
                "{channel}"
            );
            if channel["state"] == "up" && channel["source"] == "api" {
                let settings = channel["settings"].as_array().expect("settings");
                let secret = settings.iter().find(|one| one["key"] == "identity_secret");
                assert_eq!(secret.expect("described")["set"], true, "{channel}");
            }
        }
    }
    assert!(made >= 20 && removed >= 8, "{made} made, {removed} removed");
}
