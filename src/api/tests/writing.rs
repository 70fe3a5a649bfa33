//! Writing replies and notes.

use axum::http::Method;
use serde_json::{Value, json};

use crate::api::testing::{Answer, As, Desk, OLD, PAGE, SHOP, desk, each};

async fn write(
    desk: &Desk,
    conversation: impl std::fmt::Display,
    body: &Value,
    key: Option<&str>,
) -> Answer {
    let path = format!("/api/v1/conversations/{conversation}/messages");
    desk.json_with_key(As::Admin, Method::POST, &path, body, key)
        .await
}

#[tokio::test]
async fn a_reply_in_the_website_chat_is_202_and_there() {
    let desk = desk().await;
    let (id, question) = desk.arrive(SHOP, "anna", "Where is it?").await;
    let attachment = desk.uploaded(As::Admin, "list.txt", b"one, two").await;
    let body =
        json!({ "text": "On its way.", "reply_to": question, "attachment_ids": [attachment] });
    let answer = write(&desk, id, &body, None).await;
    assert_eq!(answer.status, 202);
    let message = answer.json();
    assert_eq!(message["direction"], "outbound");
    assert_eq!(message["kind"], "message");
    assert_eq!(message["text"], "On its way.");
    assert_eq!(message["reply_to"], question.to_string());
    assert_eq!(message["author"]["type"], "staff");
    assert_eq!(
        message["attachments"][0]["url"],
        format!("/api/v1/attachments/{attachment}")
    );
    assert_eq!(message["attachments"][0]["mime_type"], "text/plain");
    assert!(message["delivery"]["state"].is_string());
    let list = desk
        .found(As::Admin, &format!("/api/v1/conversations/{id}/messages"))
        .await;
    assert_eq!(each(&list, "text"), ["On its way.", "Where is it?"]);
    let conversation = desk
        .found(As::Admin, &format!("/api/v1/conversations/{id}"))
        .await;
    assert_eq!(conversation["waiting_since"], Value::Null);
    assert_eq!(conversation["last_message"]["preview"], "On its way.");
}

#[tokio::test]
async fn a_note_is_201_everywhere_and_answers_nobody() {
    let desk = desk().await;
    for channel in [SHOP, PAGE, OLD] {
        let (id, _) = desk.arrive(channel, "anna", "x").await;
        let answer = write(
            &desk,
            id,
            &json!({ "text": "careful", "private": true }),
            None,
        )
        .await;
        assert_eq!(answer.status, 201, "{}", answer.text());
        assert_eq!(answer.json()["kind"], "note");
        assert_eq!(answer.json()["delivery"], Value::Null);
        let conversation = desk
            .found(As::Admin, &format!("/api/v1/conversations/{id}"))
            .await;
        assert!(conversation["waiting_since"].is_string());
        assert_eq!(conversation["message_count"], 1);
    }
    let feed = desk.found(As::Admin, "/api/v1/feed").await;
    assert_eq!(each(&feed, "text"), ["x", "x", "x"]);
}

#[tokio::test]
async fn where_no_answer_goes_out_409_says_what_to_do() {
    let desk = desk().await;
    let (page, _) = desk.arrive(PAGE, "anna", "x").await;
    let (old, _) = desk.arrive(OLD, "anna", "x").await;
    for (id, name, words) in [
        (page, "sending-unavailable", "Platform"),
        (old, "channel-closed", "Open it again"),
    ] {
        let answer = write(&desk, id, &json!({ "text": "hello" }), None).await;
        let detail = answer.problem(409);
        assert!(detail.contains(words), "{detail}");
        assert_eq!(answer.json()["type"], format!("/docs/problems/{name}"));
        let list = desk
            .found(As::Admin, &format!("/api/v1/conversations/{id}/messages"))
            .await;
        assert_eq!(each(&list, "text"), ["x"], "nothing was written");
    }
}

#[tokio::test]
async fn what_a_message_does_not_take_is_named() {
    let desk = desk().await;
    let (id, _) = desk.arrive(SHOP, "anna", "x").await;
    let (_, foreign) = desk.arrive(SHOP, "boris", "x").await;
    let others = desk.uploaded(As::Writer, "a.txt", b"somebody else's").await;
    let own = desk.uploaded(As::Admin, "a.txt", b"own").await;
    let many: Vec<String> = (0..21).map(|number| format!("att_{number:013}")).collect();
    let cases = [
        (json!({}), "/text"),
        (json!({ "text": " \n" }), "/text"),
        (json!({ "text": 7 }), "/text"),
        (json!({ "text": "x".repeat(2_001) }), "/text"),
        (
            json!({ "text": "x".repeat(100_001), "private": true }),
            "/text",
        ),
        (json!({ "text": "x", "private": "yes" }), "/private"),
        (json!({ "text": "x", "reply_to": "x" }), "/reply_to"),
        (json!({ "text": "x", "reply_to": foreign }), "/reply_to"),
        (
            json!({ "attachment_ids": [own, others] }),
            "/attachment_ids/1",
        ),
        (json!({ "attachment_ids": [own, own] }), "/attachment_ids/1"),
        (
            json!({ "attachment_ids": ["att_0000000000009"] }),
            "/attachment_ids/0",
        ),
        (json!({ "attachment_ids": ["x"] }), "/attachment_ids/0"),
        (json!({ "attachment_ids": many }), "/attachment_ids"),
    ];
    for (body, pointer) in cases {
        assert_eq!(
            write(&desk, id, &body, None).await.bad_field(),
            pointer,
            "{body}"
        );
    }
    for field in ["author", "direction", "sent_at", "delivery", "external_id"] {
        let detail = write(&desk, id, &json!({ "text": "x", field: "y" }), None)
            .await
            .problem(422);
        assert!(detail.contains(field), "{detail}");
    }
    assert_eq!(
        write(&desk, id, &json!({ "text": "é".repeat(2_000) }), None)
            .await
            .status,
        202,
        "characters, not bytes"
    );
    assert_eq!(
        write(&desk, id, &json!({ "attachment_ids": [own] }), None)
            .await
            .status,
        202,
        "still to be had"
    );
    let answer = write(&desk, id, &json!({ "attachment_ids": [own] }), None).await;
    assert_eq!(
        answer.bad_field(),
        "/attachment_ids/0",
        "in a message already"
    );
    write(&desk, "cnv_0000000000009", &json!({ "text": "x" }), None)
        .await
        .problem(404);
}

#[tokio::test]
async fn the_same_key_writes_once_and_answers_alike() {
    let desk = desk().await;
    let (id, _) = desk.arrive(SHOP, "anna", "x").await;
    let (other, _) = desk.arrive(SHOP, "boris", "x").await;
    let body = json!({ "text": "once" });
    let first = write(&desk, id, &body, Some("k1")).await;
    let again = write(&desk, id, &body, Some("k1")).await;
    assert_eq!((first.status.as_u16(), again.status.as_u16()), (202, 202));
    assert_eq!(first.json(), again.json());
    let reused = write(&desk, id, &json!({ "text": "other" }), Some("k1")).await;
    reused.problem(422);
    assert_eq!(
        reused.json()["type"],
        "/docs/problems/idempotency-key-reused"
    );
    assert_ne!(
        write(&desk, id, &body, Some("k2")).await.json()["id"],
        first.json()["id"]
    );
    assert_ne!(
        write(&desk, other, &body, Some("k1")).await.json()["id"],
        first.json()["id"],
        "another path"
    );
    let path = format!("/api/v1/conversations/{id}/messages");
    let others = desk
        .json_with_key(As::Writer, Method::POST, &path, &body, Some("k1"))
        .await;
    assert_ne!(others.json()["id"], first.json()["id"], "another caller");
    let detail = write(&desk, id, &body, Some("")).await.problem(400);
    assert!(detail.contains("Idempotency-Key"), "{detail}");
    let list = desk.found(As::Admin, &path).await;
    assert_eq!(each(&list, "text"), ["once", "once", "once", "x"]);
}

#[tokio::test]
async fn t08_many_at_once_with_one_key_write_once() {
    let desk = desk().await;
    let (id, _) = desk.arrive(SHOP, "anna", "x").await;
    let body = json!({ "text": "once" });
    let answers =
        futures_util::future::join_all((0..40).map(|_| write(&desk, id, &body, Some("k")))).await;
    let ids: std::collections::BTreeSet<String> = answers
        .iter()
        .map(|answer| answer.json()["id"].to_string())
        .collect();
    assert_eq!(ids.len(), 1);
    let conversation = desk
        .found(As::Admin, &format!("/api/v1/conversations/{id}"))
        .await;
    assert_eq!(conversation["message_count"], 2);
}
