//! A visitor sees the visitor's own conversation and nothing else (V07), and makes the desk fetch nothing (V08).

use std::time::{Duration, Instant};

use deskbell_sdk::Secret;
use deskbell_sdk::webhook::hmac_sha256_hex;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{ADMIN, Daemon, client};
use crate::visitors::visitor::{
    Stream, Visitor, config, household, open, shop_posts, shop_writes, text, texts,
};

const VISITORS: usize = 10;

/// A visitor with a conversation: what was written, answered and noted, and the ids of all of it.
struct Known {
    visitor: Visitor,
    stream: Stream,
    messages: Vec<String>,
    /// In a message of the visitor's, uploaded and not sent yet, and in an answer of the shop's.
    attachments: Vec<String>,
    note_attachment: String,
    cursor: String,
}

/// An upload of the shop's.
async fn shop_uploads(daemon: &Daemon, bytes: &str) -> String {
    let part = reqwest::multipart::Part::bytes(bytes.as_bytes().to_vec()).file_name("shop.txt");
    let form = reqwest::multipart::Form::new().part("file", part);
    let request = client()
        .post(format!("{}/api/v1/attachments", daemon.url))
        .bearer_auth(ADMIN)
        .multipart(form);
    let answer = request.send().await.expect("answers");
    assert_eq!(answer.status(), 201);
    text(&answer.json::<Value>().await.expect("JSON")["id"])
}

async fn known(daemon: &Daemon, number: usize) -> Known {
    let visitor = Visitor::stranger(daemon, number).await;
    let stream = visitor.listen(None).await;
    let sent = visitor
        .uploaded("own.txt", format!("file of {number}").into_bytes())
        .await;
    let loose = visitor
        .uploaded("loose.txt", format!("loose file of {number}").into_bytes())
        .await;
    let body = json!({ "text": format!("secret of {number}"), "client_id": "1", "attachment_ids": [sent] });
    let first: Value = visitor
        .post("messages", &body)
        .await
        .json()
        .await
        .expect("JSON");
    let answered = shop_uploads(daemon, &format!("answer for {number}")).await;
    let reply = json!({ "text": format!("answer to {number}"), "attachment_ids": [answered] });
    let reply = shop_posts(daemon, &visitor.conversation, &reply).await;
    let noted = shop_uploads(daemon, &format!("about {number}")).await;
    let note = json!({ "text": format!("note about {number}"), "private": true, "attachment_ids": [noted] });
    let note = shop_posts(daemon, &visitor.conversation, &note).await;
    let page: Value = visitor
        .get("messages?limit=1")
        .await
        .json()
        .await
        .expect("JSON");
    Known {
        messages: [&first, &reply, &note]
            .map(|message| text(&message["id"]))
            .to_vec(),
        attachments: vec![sent, loose, answered],
        note_attachment: noted,
        cursor: text(&page["next"]),
        visitor,
        stream,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn v07_ten_visitors_and_nobody_sees_anything_of_another() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &config(""));
    let mut all = Vec::new();
    for number in 0..VISITORS {
        all.push(known(&daemon, number).await);
    }
    for (i, one) in all.iter().enumerate() {
        let own = texts(&one.visitor.list().await);
        assert_eq!(own, [format!("answer to {i}"), format!("secret of {i}")]);
        for id in &one.attachments {
            assert_eq!(
                one.visitor.get(&format!("attachments/{id}")).await.status(),
                200,
                "{i}'s own {id}"
            );
        }
        assert_eq!(
            one.visitor
                .get(&format!("attachments/{}", one.note_attachment))
                .await
                .status(),
            404
        );
        for (j, other) in all.iter().enumerate().filter(|(j, _)| *j != i) {
            let visitor = &one.visitor;
            for id in other.attachments.iter().chain([&other.note_attachment]) {
                let answer = visitor.get(&format!("attachments/{id}")).await;
                assert_eq!(answer.status(), 404, "{i} reads {id} of {j}");
                assert!(
                    !answer
                        .text()
                        .await
                        .expect("text")
                        .contains(&format!("of {j}"))
                );
            }
            // A cursor is a place, and the place is looked for in one's own conversation.
            let answer = visitor
                .get(&format!("messages?cursor={}", other.cursor))
                .await;
            let body = answer.text().await.expect("text");
            assert!(
                !body.contains(&format!("of {j}")) && !body.contains(&format!("to {j}")),
                "{i} with the cursor of {j}: {body}"
            );
            for id in other.messages.iter().chain([&other.visitor.conversation]) {
                for path in [
                    format!("messages/{id}"),
                    format!("attachments/{id}"),
                    format!("conversations/{id}"),
                    format!("messages?conversation_id={id}"),
                    format!("events?conversation={id}"),
                ] {
                    let status = visitor.get(&path).await.status();
                    assert!(status.is_client_error(), "{i} asks {path}: {status}");
                }
            }
            for path in ["messages", "read", "typing"] {
                let request = client().post(format!(
                    "{}/api/v1/conversations/{}/{path}",
                    daemon.url, other.visitor.conversation
                ));
                let answer = request
                    .bearer_auth(&visitor.token)
                    .json(&json!({ "text": "x", "typing": true }))
                    .send()
                    .await
                    .expect("answers");
                assert_eq!(answer.status(), 401, "{path}");
            }
        }
    }
    // Whose file it is not cannot be put into a message either, and neither can the shop's.
    for (i, one) in all.iter().enumerate() {
        let other = &all[(i + 1) % VISITORS];
        for id in other.attachments.iter().chain([
            &one.attachments[0],
            &one.attachments[2],
            &one.note_attachment,
        ]) {
            let body = json!({ "text": "mine now", "client_id": format!("steal-{id}"), "attachment_ids": [id] });
            assert_eq!(
                one.visitor.post("messages", &body).await.status(),
                422,
                "{i} takes {id}"
            );
        }
        assert_eq!(one.visitor.list().await.len(), 2);
    }
    // Each stream told what the visitor's own list shows, and no more.
    for (i, one) in all.iter_mut().enumerate() {
        let events = one.stream.rest(Duration::from_secs(1)).await;
        let told: Vec<_> = events
            .iter()
            .filter(|event| event.kind == "message.created")
            .map(|event| event.text().to_owned())
            .collect();
        assert_eq!(told, [format!("secret of {i}"), format!("answer to {i}")]);
        for event in &events {
            let said = event.data.to_string();
            assert!(!said.contains("note about"), "{said}");
            assert_eq!(
                event.data["data"]["message"]["conversation_id"],
                one.visitor.conversation.as_str()
            );
        }
    }
}

#[tokio::test]
async fn v07_an_answer_comes_live_and_a_note_never() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &config(""));
    let visitor = Visitor::stranger(&daemon, 1).await;
    visitor.say("Do you deliver to Brno?", "1").await;
    let mut stream = visitor.listen(None).await;
    for number in 0..10 {
        shop_writes(
            &daemon,
            &visitor.conversation,
            &format!("note {number}: a difficult one"),
            true,
        )
        .await;
        shop_writes(
            &daemon,
            &visitor.conversation,
            &format!("answer {number}"),
            false,
        )
        .await;
        let event = stream
            .next(Duration::from_secs(60))
            .await
            .expect("it comes");
        assert_eq!(
            (event.kind.as_str(), event.text()),
            ("message.created", format!("answer {number}").as_str())
        );
        let message = &event.data["data"]["message"];
        assert_eq!(
            (message["direction"].as_str(), message["kind"].as_str()),
            (Some("outbound"), Some("message"))
        );
        for private in ["external_id", "metadata", "conversation", "contact"] {
            assert!(
                message.get(private).is_none(),
                "{private} is the shop's: {message}"
            );
        }
        assert!(message["author"].get("id").is_none(), "{message}");
    }
    let all = visitor.list().await;
    assert_eq!(all.len(), 11);
    assert!(all.iter().all(|message| message["kind"] == "message"));
    // The same by pages so small that whole pages of the log are notes.
    let (mut paged, mut cursor) = (Vec::new(), String::new());
    loop {
        let page: Value = visitor
            .get(&format!("messages?limit=1{cursor}"))
            .await
            .json()
            .await
            .expect("JSON");
        paged.extend(page["data"].as_array().expect("a list").iter().cloned());
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(paged, all);
    // A resume that passes the notes does not show them.
    let mut again = visitor.listen(Some("0")).await;
    let told = again.rest(Duration::from_secs(4)).await;
    assert_eq!(
        told.iter()
            .filter(|event| event.kind == "message.created")
            .count(),
        11
    );
    assert!(
        told.iter()
            .all(|event| !event.data.to_string().contains("a difficult one"))
    );
}

#[tokio::test]
async fn v07_typing_and_tabs_are_ones_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &config(""));
    let (one, other) = (
        Visitor::stranger(&daemon, 1).await,
        Visitor::stranger(&daemon, 2).await,
    );
    one.say("One", "1").await;
    other.say("Other", "1").await;
    let (mut own, mut foreign) = (one.listen(None).await, other.listen(None).await);
    let request = client().post(format!(
        "{}/api/v1/conversations/{}/typing",
        daemon.url, one.conversation
    ));
    let answer = request
        .bearer_auth(ADMIN)
        .json(&json!({ "typing": true }))
        .send()
        .await
        .expect("answers");
    assert!(answer.status().is_success());
    let event = own.next(Duration::from_secs(60)).await.expect("it comes");
    assert_eq!((event.kind.as_str(), event.id), ("typing", None));
    assert_eq!(
        one.post("typing", &json!({ "typing": true }))
            .await
            .status(),
        200
    );
    assert!(foreign.next(Duration::from_millis(300)).await.is_none());
    // Ten tabs of one visitor, and the next is refused until one closes; another visitor is not concerned.
    let mut tabs = vec![own];
    for _ in 1..10 {
        tabs.push(one.listen(None).await);
    }
    let eleventh = one
        .request(Method::GET, "events")
        .send()
        .await
        .expect("answers");
    assert_eq!(eleventh.status(), 429);
    assert!(eleventh.headers().contains_key("retry-after"));
    other.listen(None).await;
    tabs.truncate(5);
    let begun = Instant::now();
    while one
        .request(Method::GET, "events")
        .send()
        .await
        .expect("answers")
        .status()
        != 200
    {
        assert!(
            begun.elapsed() < Duration::from_secs(90),
            "closed tabs make room"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn v08_nothing_that_a_visitor_says_makes_the_desk_fetch() {
    let folder = tempfile::tempdir().expect("a folder");
    let secret = "invented-identity-secret";
    let daemon = Daemon::start(
        folder.path(),
        &config(&format!("identity_secret = \"{secret}\"\n")),
    );
    let trap = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let bait = format!("http://{}/avatar.png", trap.local_addr().expect("bound"));
    let signature = hmac_sha256_hex(&Secret::new(secret), b"customer-1");
    for field in ["avatar", "avatar_url", "picture", "photo", "url", "icon"] {
        let identity = json!({ "id": "customer-1", "signature": signature, field: bait });
        let answer = open(
            &daemon,
            "site",
            &household(1),
            &json!({ "identity": identity }),
        )
        .await;
        assert!(
            answer.status().is_client_error(),
            "{field}: {}",
            answer.status()
        );
    }
    let identity = json!({ "id": "customer-1", "name": bait, "email": format!("a@{bait}"), "signature": signature });
    let visitor = Visitor::come(&daemon, 2, &json!({ "identity": identity })).await;
    visitor
        .say(
            &format!("Look: {bait} <img src=\"{bait}\"> ![x]({bait})"),
            "1",
        )
        .await;
    let svg = format!("<svg xmlns=\"http://www.w3.org/2000/svg\"><image href=\"{bait}\"/></svg>");
    let file = visitor.uploaded("x.svg", svg.into_bytes()).await;
    let body = json!({ "client_id": "2", "attachment_ids": [file] });
    assert_eq!(visitor.post("messages", &body).await.status(), 201);
    let feed = daemon.all("feed", 50).await;
    assert_eq!(feed.len(), 2);
    for item in &feed {
        assert_eq!(item["contact"]["avatar_url"], Value::Null);
    }
    let fetched = tokio::time::timeout(Duration::from_secs(1), trap.accept()).await;
    assert!(fetched.is_err(), "the daemon called {bait}");
}
