//! Answers to Telegram.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::{PATIENCE, TOKEN, all_is_well, daemon, until_there};
use crate::support::bot_api::{BotApi, Fault};
use crate::support::calls::until;
use crate::support::{ADMIN, Daemon, client};

/// A person writes; the conversation's id and the message's.
async fn conversation(daemon: &Daemon, api: &BotApi, person: i64) -> (String, String) {
    let id = api.says(person, "Is it there?");
    let message = until_there(daemon, &id).await;
    let text = |key: &str| message[key].as_str().expect("an id").to_owned();
    (text("conversation_id"), text("id"))
}

async fn answer(daemon: &Daemon, conversation: &str, body: &Value) -> String {
    let path = format!("conversations/{conversation}/messages");
    let (status, made) = daemon.post(&path, body).await;
    assert_eq!(status, 202, "{made}");
    made["id"].as_str().expect("an id").to_owned()
}

/// Each answer with how it ended.
async fn ends(daemon: &Daemon, conversations: &[String]) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    until(
        "every answer has an end",
        Duration::from_secs(180),
        async || {
            found.clear();
            for conversation in conversations {
                let path = format!("conversations/{conversation}/messages");
                for message in daemon.all(&path, 200).await {
                    if message["direction"] == "outbound" {
                        found.insert(message["id"].as_str().expect("an id").to_owned(), message);
                    }
                }
            }
            found
                .values()
                .all(|message| message["delivery"]["state"] != "queued")
        },
    )
    .await;
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_go_out_as_text_quotation_and_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let api = BotApi::start(TOKEN);
    let daemon = daemon(folder.path(), &api, "poll");
    let (conversation, question) = conversation(&daemon, &api, 2001).await;
    let form = reqwest::multipart::Form::new().part(
        "file",
        reqwest::multipart::Part::bytes(b"%PDF-1.4 invented".to_vec()).file_name("účet.pdf"),
    );
    let uploaded: Value = client()
        .post(format!("{}/api/v1/attachments", daemon.url))
        .bearer_auth(ADMIN)
        .multipart(form)
        .send()
        .await
        .expect("answers")
        .json()
        .await
        .expect("JSON");
    let long = "Už je na ceste. ".repeat(400);
    let body = json!({ "text": long, "attachment_ids": [uploaded["id"]], "reply_to": question });
    answer(&daemon, &conversation, &body).await;
    let ended = ends(&daemon, std::slice::from_ref(&conversation)).await;
    assert!(
        ended
            .values()
            .all(|message| message["delivery"]["state"] == "sent"),
        "{ended:?}"
    );
    let executed = api.executed();
    assert_eq!(executed.len(), 3, "two texts and a file: {executed:?}");
    let sent: String = executed
        .iter()
        .filter_map(|one| one.text.as_deref())
        .collect::<Vec<_>>()
        .join(" ");
    assert_eq!(sent.trim(), long.trim());
    assert_eq!(
        (executed[0].reply_to, executed[1].reply_to),
        (Some(1), None)
    );
    assert_eq!(executed[2].method, "senddocument");
    let file = executed[2].file.as_ref().expect("a file");
    assert_eq!(
        (file.name.as_str(), file.bytes.as_ref()),
        ("účet.pdf", &b"%PDF-1.4 invented"[..])
    );
    assert_eq!(
        ended.values().next().expect("one")["external_id"],
        executed[0].id.as_str()
    );

    let (status, _) = daemon
        .post(
            &format!("conversations/{conversation}/typing"),
            &json!({ "typing": true }),
        )
        .await;
    assert_eq!(status, 200);
    api.until(PATIENCE, "the typing sign", |api| {
        api.actions() == [(2001, "typing".to_owned())]
    })
    .await;
    all_is_well(&daemon, &api).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f13_f14_f16_every_second_call_fails_and_nothing_is_doubled() {
    let folder = tempfile::tempdir().expect("a folder");
    let api = BotApi::start(TOKEN);
    let daemon = daemon(folder.path(), &api, "poll");
    api.on_send(|attempt| {
        // Once it says nothing, which takes as long as somebody waits for it.
        if attempt.number == 7 {
            return Some(Fault::Silence { executed: true });
        }
        (attempt.number % 2 == 1).then_some(match attempt.number / 2 % 7 {
            0 => Fault::TooMany { retry_after: 1 },
            1 => Fault::Trouble,
            2 => Fault::BadGateway { executed: true },
            3 => Fault::Cut { executed: true },
            4 => Fault::HalfAnAnswer { executed: true },
            5 => Fault::Cut { executed: false },
            _ => Fault::BadGateway { executed: false },
        })
    });
    let mut conversations = Vec::new();
    for person in 3000..3006 {
        conversations.push(conversation(&daemon, &api, person).await.0);
    }
    let mut asked = BTreeMap::new();
    for number in 0..4 {
        for (place, conversation) in conversations.iter().enumerate() {
            let text = format!("answer {number} to {place}");
            let id = answer(&daemon, conversation, &json!({ "text": text })).await;
            asked.insert(id, text);
        }
    }
    let ended = ends(&daemon, &conversations).await;
    assert_eq!(ended.len(), asked.len());
    let executed = api.executed();
    for (id, text) in &asked {
        let times = executed
            .iter()
            .filter(|one| one.text.as_deref() == Some(text))
            .count();
        let state = ended[id]["delivery"]["state"].as_str().expect("a state");
        // Telegram has no way to look: what was lost on the way back stays unknown, and a person decides.
        match state {
            "sent" => assert_eq!(times, 1, "{text}"),
            "unknown" => assert!(times <= 1, "{text} went out {times} times"),
            other => panic!("{text} ended as {other}"),
        }
    }
    let lost = api
        .attempts()
        .iter()
        .filter(|attempt| attempt.number % 2 == 1 && attempt.number / 2 % 7 >= 2)
        .count();
    let unknown = ended
        .values()
        .filter(|message| message["delivery"]["state"] == "unknown")
        .count();
    assert_eq!(unknown, lost, "only those whose answer was lost");
    all_is_well(&daemon, &api).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_who_blocked_the_bot_and_a_group_that_moved() {
    let folder = tempfile::tempdir().expect("a folder");
    let api = BotApi::start(TOKEN);
    let daemon = daemon(folder.path(), &api, "poll");
    let (blocked, _) = conversation(&daemon, &api, 2001).await;
    api.blocks(2001, true);
    answer(&daemon, &blocked, &json!({ "text": "hello?" })).await;
    let ended = ends(&daemon, std::slice::from_ref(&blocked)).await;
    let delivery = &ended.values().next().expect("one")["delivery"];
    assert_eq!(
        (
            &delivery["state"],
            &delivery["error"]["code"],
            &delivery["error"]["retryable"]
        ),
        (&json!("failed"), &json!("403/blocked"), &json!(false)),
        "{delivery}"
    );
    assert!(
        delivery["error"]["detail"]
            .as_str()
            .is_some_and(|detail| detail.contains("blocked")),
        "{delivery}"
    );

    let id = api.writes(-4007, json!({ "text": "from a group", "chat": { "id": -4007, "type": "group", "title": "Vrátenie" }, "from": { "id": 2002, "is_bot": false, "first_name": "Peter" } }));
    let message = until_there(&daemon, &id).await;
    let group = message["conversation_id"]
        .as_str()
        .expect("an id")
        .to_owned();
    api.migrates(-4007, -100_700);
    answer(
        &daemon,
        &group,
        &json!({ "text": "still there", "reply_to": message["id"] }),
    )
    .await;
    let ended = ends(&daemon, std::slice::from_ref(&group)).await;
    assert!(
        ended
            .values()
            .all(|message| message["delivery"]["state"] == "sent"),
        "{ended:?}"
    );
    let executed = api.executed();
    assert_eq!(executed.len(), 1, "{executed:?}");
    assert_eq!((executed[0].chat, executed[0].reply_to), (-100_700, None));
    all_is_well(&daemon, &api).await;
}
