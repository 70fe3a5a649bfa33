//! Uploads and downloads.

use axum::body::Body;
use axum::http::{Method, Request, header};
use serde_json::json;

use crate::api::attachments::MAX_UPLOAD_BYTES;
use crate::api::testing::{As, SHOP, desk};
use crate::store::entry::{AttachmentEntry, Entry};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0";

#[tokio::test]
async fn m08_m11_files_are_served_as_what_they_are_and_never_run() {
    let desk = desk().await;
    let cases: &[(&str, &[u8], &str, &str)] = &[
        ("photo.png", PNG, "image/png", "inline"),
        (
            "photo.png",
            b"<script>alert(1)</script>",
            "application/octet-stream",
            "attachment",
        ),
        (
            "page.html",
            b"<html><body>hi</body></html>",
            "application/octet-stream",
            "attachment",
        ),
        (
            "drawing.svg",
            b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
            "application/octet-stream",
            "attachment",
        ),
        ("list.txt", b"one, two", "text/plain", "attachment"),
        (
            "..%2f\\etc/pass\u{202e}wd\"; x=\"",
            b"\0\x01\x02",
            "application/octet-stream",
            "attachment",
        ),
    ];
    for (name, bytes, mime_type, shown) in cases {
        let id = desk
            .uploaded(As::Writer, &name.replace('"', "%22"), bytes)
            .await;
        let answer = desk
            .get(As::Writer, &format!("/api/v1/attachments/{id}"))
            .await;
        assert_eq!(
            (answer.status.as_u16(), answer.bytes.as_slice()),
            (200, *bytes)
        );
        assert_eq!(answer.headers[header::CONTENT_TYPE], *mime_type, "{name}");
        assert_eq!(answer.headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(
            answer.headers[header::CONTENT_SECURITY_POLICY],
            "sandbox; default-src 'none'"
        );
        assert!(
            answer.headers[header::CACHE_CONTROL]
                .to_str()
                .expect("text")
                .starts_with("private")
        );
        let disposition = answer.headers[header::CONTENT_DISPOSITION]
            .to_str()
            .expect("ASCII")
            .to_owned();
        assert!(disposition.starts_with(shown), "{name}: {disposition}");
        assert!(!disposition.contains(['/', '\\']), "{disposition}");
        let saved = desk
            .get(As::Writer, &format!("/api/v1/attachments/{id}?download=1"))
            .await;
        assert!(
            saved.headers[header::CONTENT_DISPOSITION]
                .to_str()
                .expect("ASCII")
                .starts_with("attachment")
        );
    }
}

#[tokio::test]
async fn m12_an_upload_is_its_owners_until_it_is_in_a_message() {
    let desk = desk().await;
    let id = desk.uploaded(As::Writer, "a.txt", b"ours").await;
    let path = format!("/api/v1/attachments/{id}");
    for other in [As::Admin, As::Reader, As::PageReader, As::Session] {
        desk.get(other, &path).await.problem(404);
    }
    desk.get(As::Nobody, &path).await.problem(401);
    let (conversation, _) = desk.arrive(SHOP, "anna", "x").await;
    let body = json!({ "attachment_ids": [id] });
    let messages = format!("/api/v1/conversations/{conversation}/messages");
    assert_eq!(
        desk.json(As::Writer, Method::POST, &messages, &body)
            .await
            .status,
        202
    );
    for (who, status) in [
        (As::Admin, 200),
        (As::Reader, 200),
        (As::Writer, 200),
        (As::PageReader, 404),
    ] {
        assert_eq!(desk.get(who, &path).await.status, status, "{who:?}");
    }
    for wrong in ["att_0000000000009", "att_", "..%2f..%2fetc", "x"] {
        desk.get(As::Admin, &format!("/api/v1/attachments/{wrong}"))
            .await
            .problem(404);
    }
}

#[tokio::test]
async fn what_was_taken_back_is_gone_with_its_files() {
    use deskbell_sdk::{Event, MessageChange};
    let desk = desk().await;
    let id = desk.uploaded(As::Writer, "a.txt", b"regretted").await;
    let (conversation, _) = desk.arrive(SHOP, "anna", "x").await;
    let messages = format!("/api/v1/conversations/{conversation}/messages");
    let message = desk
        .json(
            As::Writer,
            Method::POST,
            &messages,
            &json!({ "attachment_ids": [id] }),
        )
        .await
        .json();
    let change = MessageChange::Deleted {
        at: desk.app.clock.now(),
    };
    let message = message["external_id"].as_str().expect("an id").to_owned();
    let events = vec![(SHOP, Event::Change { message, change })];
    let taken_back = crate::desk::arrivals::Arrivals {
        events,
        received_at: desk.app.clock.now(),
        raw: None,
        cursor: None,
    };
    desk.app.writer.write(taken_back).await.expect("written");
    desk.get(As::Writer, &format!("/api/v1/attachments/{id}"))
        .await
        .problem(404);
}

#[tokio::test]
async fn downloads_are_revalidated_and_given_in_parts() {
    let desk = desk().await;
    let id = desk.uploaded(As::Writer, "digits.txt", b"0123456789").await;
    let path = format!("/api/v1/attachments/{id}");
    let whole = desk.get(As::Writer, &path).await;
    let etag = whole.headers[header::ETAG].clone();
    let ask = |name, value: &str| {
        Request::builder()
            .uri(&path)
            .header(name, value)
            .body(Body::empty())
            .expect("a request")
    };
    let known = desk
        .send(
            As::Writer,
            ask(header::IF_NONE_MATCH, etag.to_str().expect("ASCII")),
        )
        .await;
    assert_eq!((known.status.as_u16(), known.bytes.len()), (304, 0));
    let part = desk.send(As::Writer, ask(header::RANGE, "bytes=2-4")).await;
    assert_eq!((part.status.as_u16(), part.text().as_str()), (206, "234"));
    assert_eq!(part.headers[header::CONTENT_RANGE], "bytes 2-4/10");
}

#[tokio::test]
async fn an_upload_is_one_whole_file_of_limited_size() {
    let desk = desk().await;
    let answer = desk
        .upload(As::Writer, "big.bin", &vec![7; MAX_UPLOAD_BYTES + 1], None)
        .await;
    answer.problem(413);
    let exact = desk
        .upload(As::Writer, "fits.bin", &vec![7; MAX_UPLOAD_BYTES], None)
        .await;
    assert_eq!(exact.status, 201);
    assert_eq!(exact.json()["size"], MAX_UPLOAD_BYTES);
    assert_eq!(
        desk.upload(As::Writer, "empty.bin", b"", None)
            .await
            .bad_field(),
        "/file"
    );
    let path = "/api/v1/attachments";
    desk.json(As::Writer, Method::POST, path, &json!({}))
        .await
        .problem(415);
    for body in [
        "--x--\r\n",
        "--x\r\nContent-Disposition: form-data; name=\"other\"\r\n\r\nhello\r\n--x--\r\n",
    ] {
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header("content-type", "multipart/form-data; boundary=x");
        let answer = desk
            .send(
                As::Writer,
                request.body(Body::from(body)).expect("a request"),
            )
            .await;
        assert_eq!(answer.bad_field(), "/file");
    }
    let request = Request::builder()
        .method(Method::POST)
        .uri(path)
        .header("content-type", "multipart/form-data; boundary=x");
    desk.send(
        As::Writer,
        request.body(Body::from("no form")).expect("a request"),
    )
    .await
    .problem(400);
}

#[tokio::test]
async fn the_same_key_keeps_a_file_once() {
    let desk = desk().await;
    let first = desk.upload(As::Writer, "a.txt", b"one", Some("k")).await;
    let again = desk.upload(As::Writer, "a.txt", b"one", Some("k")).await;
    assert_eq!((again.status.as_u16(), again.json()), (201, first.json()));
    desk.upload(As::Writer, "a.txt", b"two", Some("k"))
        .await
        .problem(422);
    desk.upload(As::Writer, "b.txt", b"one", Some("k"))
        .await
        .problem(422);
    let kept = AttachmentEntry::scan(&*desk.app.store, &[], None, 100).expect("readable");
    assert_eq!(kept.len(), 1);
}
