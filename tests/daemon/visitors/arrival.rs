//! What a visitor writes arrives: once, soon, and for good. What the shop answers comes back the same way.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{ADMIN, Daemon, client};
use crate::visitors::visitor::{Visitor, config, household, shop_writes, text, texts};

#[tokio::test]
async fn f01_the_same_client_id_is_the_same_message() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &config(""));
    let visitor = Visitor::stranger(&daemon, 1).await;
    let body = json!({ "text": "Once", "client_id": "0b5c8a1e-sequential" });
    let first = visitor.post("messages", &body).await;
    assert_eq!(first.status(), 201);
    let first: Value = first.json().await.expect("JSON");
    assert_eq!(
        (first["text"].as_str(), first["client_id"].as_str()),
        (Some("Once"), Some("0b5c8a1e-sequential"))
    );
    assert_eq!(first["conversation_id"], visitor.conversation.as_str());
    for _ in 0..5 {
        let again = visitor.post("messages", &body).await;
        assert_eq!(again.status(), 200);
        assert_eq!(again.json::<Value>().await.expect("JSON"), first);
    }
    // A later text under a known id does not change what was written.
    let changed = visitor
        .post(
            "messages",
            &json!({ "text": "Another", "client_id": "0b5c8a1e-sequential" }),
        )
        .await;
    assert_eq!(changed.json::<Value>().await.expect("JSON"), first);
    // Another visitor's same id is another message.
    let other = Visitor::stranger(&daemon, 2).await;
    assert_ne!(
        other.say("Once", "0b5c8a1e-sequential").await["id"],
        first["id"]
    );
    assert_eq!(daemon.all("feed", 50).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f01_fifty_copies_at_once_are_one_message_with_its_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &config(""));
    for round in 0..4 {
        let visitor = Visitor::stranger(&daemon, round).await;
        let attachment = visitor.uploaded("note.txt", b"invented".to_vec()).await;
        let body = json!({ "text": format!("Round {round}"), "client_id": "copy", "attachment_ids": [attachment] });
        let copies = (0..50).map(|_| {
            let (visitor, body) = (visitor.clone(), body.clone());
            tokio::spawn(async move {
                let answer = visitor.post("messages", &body).await;
                (answer.status(), answer.json::<Value>().await.expect("JSON"))
            })
        });
        let mut answers = Vec::new();
        for copy in copies.collect::<Vec<_>>() {
            answers.push(copy.await.expect("answers"));
        }
        let of_status =
            |status: StatusCode| answers.iter().filter(|(found, _)| *found == status).count();
        assert_eq!(
            (of_status(StatusCode::CREATED), of_status(StatusCode::OK)),
            (1, 49),
            "{answers:?}"
        );
        assert!(
            answers
                .iter()
                .all(|(_, message)| message["id"] == answers[0].1["id"])
        );
        let list = visitor.list().await;
        assert_eq!(texts(&list), [format!("Round {round}")]);
        assert_eq!(list[0]["attachments"][0]["state"], "stored");
        assert_eq!(list[0]["attachments"].as_array().map(Vec::len), Some(1));
    }
    assert_eq!(daemon.all("feed", 50).await.len(), 4);
}

#[tokio::test]
async fn f01_a_message_is_in_the_feed_when_its_answer_comes_and_on_the_stream_soon() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &config(""));
    let events = client()
        .get(format!("{}/api/v1/events", daemon.url))
        .bearer_auth(ADMIN)
        .timeout(Duration::from_secs(300));
    let mut events = events.send().await.expect("answers");
    let visitor = Visitor::stranger(&daemon, 1).await;
    for number in 0..10 {
        let words = format!("Number {number}");
        visitor.say(&words, &format!("id-{number}")).await;
        let feed = daemon.get("feed?limit=1").await;
        assert_eq!(feed["data"][0]["text"], words.as_str());
        assert_eq!(feed["data"][0]["channel_id"], "site");
        let mut seen = String::new();
        while !seen.contains(&words) {
            let chunk = tokio::time::timeout(Duration::from_secs(60), events.chunk())
                .await
                .expect("it is told");
            seen.push_str(&String::from_utf8_lossy(
                &chunk.expect("open").expect("goes on"),
            ));
        }
    }
}

#[tokio::test]
async fn f01_what_was_answered_201_survives_a_kill() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut daemon = Daemon::start(folder.path(), &config(""));
    let mut visitor = Visitor::stranger(&daemon, 1).await;
    for round in 0..5 {
        let attachment = visitor
            .uploaded("window sill.txt", format!("bytes of {round}").into_bytes())
            .await;
        let body = json!({ "text": format!("Round {round}"), "client_id": format!("id-{round}"), "attachment_ids": [attachment] });
        assert_eq!(visitor.post("messages", &body).await.status(), 201);
        daemon.kill();
        daemon = Daemon::start_as_it_is(folder.path());
        visitor.url.clone_from(&daemon.url);
        // The widget asks again when it never saw the answer: still the same message.
        assert_eq!(visitor.post("messages", &body).await.status(), 200);
        let wanted: Vec<_> = (0..=round)
            .rev()
            .map(|number| format!("Round {number}"))
            .collect();
        assert_eq!(texts(&visitor.list().await), wanted);
        assert_eq!(texts(&daemon.all("feed", 50).await), wanted);
        let bytes = visitor.get(&format!("attachments/{attachment}")).await;
        assert_eq!(
            bytes.text().await.expect("text"),
            format!("bytes of {round}")
        );
    }
}

#[tokio::test]
async fn f01_a_visitors_stream_resumes_over_a_crash_with_nothing_lost_and_nothing_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut daemon = Daemon::start(folder.path(), &config(""));
    let mut visitor = Visitor::stranger(&daemon, 1).await;
    let other = Visitor::stranger(&daemon, 2).await;
    let mut stream = visitor.listen(None).await;
    visitor.say("Hello", "1").await;
    shop_writes(&daemon, &visitor.conversation, "Answer 0", false).await;
    let mut heard = Vec::new();
    let mut last_id = None;
    for _ in 0..2 {
        let event = stream
            .next(Duration::from_secs(60))
            .await
            .expect("it comes");
        last_id.clone_from(&event.id);
        heard.push(event.text().to_owned());
    }
    for round in 1..4 {
        daemon.kill();
        assert!(
            stream.rest(Duration::from_secs(5)).await.is_empty(),
            "nothing comes from a dead daemon"
        );
        daemon = Daemon::start_as_it_is(folder.path());
        visitor.url.clone_from(&daemon.url);
        // While the visitor is away: an answer, a note that is none of the visitor's business, and somebody else.
        shop_writes(
            &daemon,
            &visitor.conversation,
            &format!("Away {round}"),
            false,
        )
        .await;
        shop_writes(
            &daemon,
            &visitor.conversation,
            &format!("Note {round}"),
            true,
        )
        .await;
        Visitor {
            url: daemon.url.clone(),
            ..other.clone()
        }
        .say(&format!("Other {round}"), &format!("{round}"))
        .await;
        stream = visitor.listen(last_id.as_deref()).await;
        shop_writes(
            &daemon,
            &visitor.conversation,
            &format!("Back {round}"),
            false,
        )
        .await;
        for event in stream.rest(Duration::from_secs(4)).await {
            assert_ne!(event.kind, "reset");
            if event.kind == "message.created" {
                heard.push(event.text().to_owned());
            }
            last_id = event.id.or(last_id);
        }
    }
    assert_eq!(
        heard,
        [
            "Hello", "Answer 0", "Away 1", "Back 1", "Away 2", "Back 2", "Away 3", "Back 3"
        ]
    );
    // A position that never was begins anew rather than with silence.
    let mut lost = visitor.listen(Some("999999999")).await;
    assert_eq!(
        lost.next(Duration::from_secs(60))
            .await
            .expect("it comes")
            .kind,
        "reset"
    );
}

#[tokio::test]
async fn bad_input_of_a_visitor_is_refused_clearly_and_keeps_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &config(""));
    let bodies = [
        (json!({ "client_id": "1" }), 422),
        (json!({ "text": "", "client_id": "1" }), 422),
        (json!({ "text": " \n\t ", "client_id": "1" }), 422),
        (json!({ "text": "x".repeat(5001), "client_id": "1" }), 422),
        (json!({ "text": "x" }), 422),
        (json!({ "text": "x", "client_id": "" }), 422),
        (json!({ "text": "x", "client_id": "x".repeat(65) }), 422),
        (json!({ "text": "x", "client_id": "a b" }), 422),
        (json!({ "text": "x", "client_id": "é" }), 422),
        (json!({ "text": "x", "client_id": 7 }), 422),
        (json!({ "text": 7, "client_id": "1" }), 422),
        (
            json!({ "text": "x", "client_id": "1", "attachment_ids": ["nothing"] }),
            422,
        ),
        (
            json!({ "text": "x", "client_id": "1", "attachment_ids": ["att_1"] }),
            422,
        ),
        (
            json!({ "text": "x", "client_id": "1", "attachment_ids": "att_1" }),
            422,
        ),
        (
            json!({ "text": "x", "client_id": "1", "author": { "type": "staff" } }),
            422,
        ),
        (
            json!({ "text": "x", "client_id": "1", "conversation_id": "cnv_1" }),
            422,
        ),
        (json!([]), 422),
    ];
    for (number, (body, status)) in bodies.iter().enumerate() {
        let visitor = Visitor::stranger(&daemon, number).await;
        let answer = visitor.post("messages", body).await;
        assert_eq!(answer.status().as_u16(), *status, "{body}");
        assert_eq!(
            answer.headers()["content-type"],
            "application/problem+json",
            "{body}"
        );
        let problem: Value = answer.json().await.expect("JSON");
        assert!(!text(&problem["detail"]).is_empty(), "{body}");
    }
    let visitor = Visitor::stranger(&daemon, 500).await;
    let plain = visitor
        .request(Method::POST, "messages")
        .header("content-type", "text/plain")
        .body("{\"text\":\"x\",\"client_id\":\"1\"}");
    assert_eq!(
        plain.send().await.expect("answers").status(),
        400,
        "no form of a foreign page can send it"
    );
    let large = json!({ "text": "x", "client_id": "1", "padding": "x".repeat(70_000) });
    assert_eq!(visitor.post("messages", &large).await.status(), 413);
    for path in [
        "messages?cursor=nonsense",
        "messages?conversation=cnv_1",
        "messages?limit=x",
        "events?after=x",
    ] {
        assert_eq!(visitor.get(path).await.status(), 400, "{path}");
    }
    for path in ["session", "messages", "events"] {
        let nowhere = Visitor {
            channel: "nobody".to_owned(),
            ..visitor.clone()
        };
        assert_eq!(
            nowhere
                .request(Method::GET, path)
                .send()
                .await
                .map(|answer| answer.status().is_client_error())
                .ok(),
            Some(true)
        );
    }
    let not_a_chat = client()
        .post(format!("{}/chat/shop-page/session", daemon.url))
        .header("x-forwarded-for", household(600))
        .json(&json!({}));
    assert_eq!(not_a_chat.send().await.expect("answers").status(), 404);
    assert!(daemon.all("feed", 50).await.is_empty());
    assert!(daemon.all("conversations", 50).await.is_empty());
}
