//! The history goes out of one desk and into another, by HTTP.

use axum::body::Body;
use axum::http::{Method, Request, header};
use serde_json::{Value, json};

use crate::api::testing::{Answer, As, Desk, OLD, PAGE, SHOP, desk};
use crate::desk::{Decision, contacts};
use crate::id::ContactId;
use crate::store::Found;
use crate::store::draft::Draft;
use crate::store::record::AvatarRecord;

const LINES: &str = "application/x-ndjson";

async fn exported(desk: &Desk) -> String {
    let answer = desk.get(As::Admin, "/api/v1/exports").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.headers[header::CONTENT_TYPE], LINES);
    answer.text()
}

async fn post(desk: &Desk, who: As, query: &str, content_type: &str, body: &str) -> Answer {
    let request = Request::builder()
        .method(Method::POST)
        .uri(format!("/api/v1/imports{query}"))
        .header(header::CONTENT_TYPE, content_type)
        .body(Body::from(body.to_owned()));
    desk.send(who, request.expect("a request")).await
}

async fn import(desk: &Desk, body: &str) -> Value {
    let answer = post(desk, As::Admin, "", LINES, body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// Everything that an administrator sees of the history.
async fn everything(desk: &Desk) -> Vec<Value> {
    let mut seen = Vec::new();
    for list in ["feed", "conversations", "contacts"] {
        let path = format!("/api/v1/{list}?limit=200");
        seen.push(desk.found(As::Admin, &path).await);
    }
    let conversations = seen[1]["data"].as_array().expect("a list").clone();
    for conversation in conversations {
        let id = conversation["id"].as_str().expect("an id");
        let path = format!("/api/v1/conversations/{id}/messages?limit=200");
        seen.push(desk.found(As::Admin, &path).await);
    }
    seen
}

/// A platform tells what somebody looks like.
struct Looks(ContactId, AvatarRecord);

impl Decision for Looks {
    type Answer = ();

    fn decide(&self, draft: &mut Draft<'_>) -> Found<()> {
        contacts::told(draft, self.0, None, Some(&self.1))
    }
}

/// A desk with something of each kind in it; and the id of a file in a message.
async fn lively() -> (Desk, String) {
    let desk = desk().await;
    let (conversation, _) = desk.arrive(SHOP, "ada", "Is it there?").await;
    desk.arrive(PAGE, "ben", "Dobrý deň 📦").await;
    desk.arrive(OLD, "eve", "long ago").await;
    let contacts = desk.found(As::Admin, "/api/v1/contacts").await;
    let id = contacts["data"][0]["id"].as_str().expect("an id");
    let picture = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
    let avatar = AvatarRecord {
        content: desk.app.blobs.keep(picture).expect("kept"),
        mime_type: "image/png".to_owned(),
    };
    let looks = Looks(id.parse().expect("an id"), avatar);
    desk.app.writer.write(looks).await.expect("written");
    // Two pieces and a bit.
    let large: Vec<u8> = (0..2_300_000_u32).flat_map(|n| [(n % 251) as u8]).collect();
    let file = desk.uploaded(As::Writer, "drawing.bin", &large).await;
    let path = format!("/api/v1/conversations/{conversation}/messages");
    for body in [
        json!({ "text": "Here it is", "attachment_ids": [file] }),
        json!({ "text": "call her", "private": true }),
    ] {
        let answer = desk.json(As::Writer, Method::POST, &path, &body).await;
        assert!(answer.status.is_success(), "{}", answer.text());
    }
    let change =
        json!({ "status": "pending", "labels": ["vip"], "priority": "high", "subject": "Vase" });
    let path = format!("/api/v1/conversations/{conversation}");
    let answer = desk.json(As::Writer, Method::PATCH, &path, &change).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    (desk, file)
}

#[tokio::test]
async fn what_goes_out_comes_in_the_same() {
    let (from, file) = lively().await;
    let text = exported(&from).await;
    let into = desk().await;
    let report = import(&into, &text).await;
    assert_eq!(
        report,
        json!({ "new": 14, "updated": 0, "known": 3, "skipped": 0, "infected": 0 }),
        "the channels are there already"
    );
    assert_eq!(everything(&into).await, everything(&from).await);
    let path = format!("/api/v1/attachments/{file}");
    let (there, here) = (
        into.get(As::Admin, &path).await,
        from.get(As::Admin, &path).await,
    );
    assert_eq!(there.bytes.len(), 2_300_000);
    assert_eq!(there.bytes, here.bytes);
    assert_eq!(
        there.headers[header::CONTENT_TYPE],
        here.headers[header::CONTENT_TYPE]
    );
    let contacts = into.found(As::Admin, "/api/v1/contacts").await;
    let avatar = contacts["data"][0]["avatar_url"]
        .as_str()
        .expect("a picture");
    assert!(
        into.get(As::Admin, avatar)
            .await
            .bytes
            .starts_with(b"\x89PNG")
    );
    // Nobody but who sees the message sees its file.
    into.get(As::PageReader, &path).await.problem(404);

    let head = into.app.store.head();
    let again = import(&into, &text).await;
    assert_eq!((&again["new"], &again["updated"]), (&json!(0), &json!(0)));
    assert_eq!(into.app.store.head(), head);
    assert_eq!(exported(&into).await.lines().count(), text.lines().count());
    let own = import(&from, &text).await;
    assert_eq!((&own["new"], &own["updated"]), (&json!(0), &json!(0)));
}

#[tokio::test]
async fn a_channel_that_is_not_here_is_made_closed_and_seen_at_once() {
    let (from, _) = lively().await;
    let text = exported(&from).await.replace("\"page\"", "\"lost-page\"");
    let into = desk().await;
    import(&into, &text).await;
    let channel = into.found(As::Admin, "/api/v1/channels/lost-page").await;
    assert_eq!(channel["connector"], "platform");
    assert_eq!(channel["state"], "closed");
    let feed = into
        .found(As::Admin, "/api/v1/feed?channel=lost-page")
        .await;
    assert_eq!(feed["data"][0]["text"], "Dobrý deň 📦");
    // The same slug of another connector is refused with its line.
    let other = text.replace("\"connector\":\"platform\"", "\"connector\":\"chat\"");
    let detail = post(&into, As::Admin, "?line=100", LINES, &other)
        .await
        .problem(422);
    assert!(
        detail.starts_with("Line 10") && detail.contains("`platform` here, and of `chat`"),
        "{detail}"
    );
}

#[tokio::test]
async fn every_bad_line_is_told_and_nothing_of_the_request_is_taken() {
    let (from, _) = lively().await;
    let text = exported(&from).await;
    let into = desk().await;
    let head = into.app.store.head();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let last = lines.len();
    lines[last - 2] = lines[last - 2].replace("\"sent_at\":\"2", "\"sent_at\":\"x");
    lines.push("{\"type\":\"message\"".to_owned());
    let answer = post(&into, As::Admin, "?line=7", LINES, &lines.join("\n")).await;
    let detail = answer.problem(422);
    assert!(
        detail.starts_with(&format!("Line {}, /sent_at: ", last + 5)),
        "{detail}"
    );
    let errors = answer.json()["errors"].clone();
    assert_eq!(errors[0]["pointer"], format!("/{}/sent_at", last + 5));
    assert_eq!(errors[1]["pointer"], format!("/{}", last + 7));
    assert_eq!(into.app.store.head(), head);

    let newer = "{\"type\":\"ring\",\"loud\":true}\n\n";
    assert_eq!(import(&into, newer).await["skipped"], 1);
    let orphan = text
        .lines()
        .rfind(|line| line.contains("\"type\":\"message\""));
    let answer = post(&into, As::Admin, "", LINES, orphan.expect("a message")).await;
    assert!(
        answer
            .problem(422)
            .starts_with("Line 1: it is in the conversation cnv_")
    );
    let unknown = orphan
        .expect("a message")
        .replace("\"channel\":\"", "\"channel\":\"no-");
    let answer = post(&into, As::Admin, "", LINES, &unknown).await;
    assert!(answer.problem(422).contains("there is no channel `no-"));
}

#[tokio::test]
async fn a_damaged_file_is_refused_and_one_that_is_missing_is_told() {
    let (from, file) = lively().await;
    let text = exported(&from).await;
    let into = desk().await;
    let at = text.find("\"data\":\"").expect("a file") + 20;
    let mut damaged = text.clone();
    let byte = if &text[at..=at] == "A" { "B" } else { "A" };
    damaged.replace_range(at..=at, byte);
    let answer = post(&into, As::Admin, "", LINES, &damaged).await;
    let detail = answer.problem(422);
    assert!(
        detail.contains("the file is damaged: its SHA-256 is another"),
        "{detail}"
    );

    let without: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with("{\"type\":\"file\""))
        .collect();
    import(&into, &without.join("\n")).await;
    into.get(As::Admin, &format!("/api/v1/attachments/{file}"))
        .await
        .problem(404);
    let feed = into.found(As::Admin, "/api/v1/feed").await;
    assert!(feed.to_string().contains("\"state\":\"failed\""));
}

#[tokio::test]
async fn only_lines_only_so_many_and_only_of_an_administrator() {
    let (desk, _) = lively().await;
    for who in [As::Nobody, As::PageReader, As::Reader, As::Writer] {
        let wanted = if who == As::Nobody { 401 } else { 403 };
        desk.get(who, "/api/v1/exports").await.problem(wanted);
        post(&desk, who, "", LINES, "{}").await.problem(wanted);
    }
    post(&desk, As::Admin, "", "application/json", "{}")
        .await
        .problem(415);
    let large = " ".repeat(8 * 1024 * 1024 + 1);
    post(&desk, As::Admin, "", LINES, &large).await.problem(413);
    post(&desk, As::Admin, "?lines=7", LINES, "{}")
        .await
        .problem(400);
    // Nothing that opens a door is in an export.
    let text = exported(&desk).await;
    for secret in ["canary", "dbk_", "tok_", "ses_"] {
        assert!(!text.contains(secret), "{secret}");
    }
    let header: Value = serde_json::from_str(text.lines().next().expect("a line")).expect("JSON");
    assert_eq!(header["type"], "deskbell-export");
    let end: Value = serde_json::from_str(text.lines().last().expect("a line")).expect("JSON");
    assert_eq!(
        (&end["type"], &end["counts"]["file"]),
        (&json!("end"), &json!(4))
    );
}
