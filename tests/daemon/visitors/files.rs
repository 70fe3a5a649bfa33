//! Files of visitors (V06): of a bounded size, never run by a browser, and nobody else's.

use std::time::Duration;

use reqwest::Method;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use crate::support::{ADMIN, Daemon, client};
use crate::visitors::visitor::{Visitor, config, text};

const LIMIT: usize = 20 * 1024 * 1024;

#[tokio::test]
async fn v06_what_is_too_large_or_no_file_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &config(""));
    let visitor = Visitor::stranger(&daemon, 1).await;
    assert_eq!(
        visitor
            .upload("film.bin", vec![7; LIMIT + 1])
            .await
            .status(),
        413
    );
    assert_eq!(
        visitor.upload("film.bin", vec![7; LIMIT]).await.status(),
        201
    );
    assert_eq!(visitor.upload("empty.txt", Vec::new()).await.status(), 422);
    let form = Form::new().part("picture", Part::bytes(b"x".to_vec()).file_name("a.txt"));
    let wrong_field = visitor
        .request(Method::POST, "attachments")
        .multipart(form)
        .send()
        .await
        .expect("answers");
    assert_eq!(wrong_field.status(), 422);
    // What is not the file is not read without end either.
    let form = Form::new()
        .part("padding", Part::bytes(vec![b'x'; LIMIT + 1024 * 1024]))
        .part("file", Part::bytes(b"x".to_vec()).file_name("a.txt"));
    let padded = visitor
        .request(Method::POST, "attachments")
        // The daemon closes a connection whose body it did not read; nothing else may be sent on it.
        .header("connection", "close")
        .timeout(Duration::from_secs(90))
        .multipart(form);
    let padded = padded.send().await.expect("answers");
    assert_eq!(padded.status(), 413);
    for (content_type, body) in [
        ("application/json", "{}"),
        ("multipart/form-data", "x"),
        ("multipart/form-data; boundary=x", "nonsense"),
        (
            "multipart/form-data; boundary=x",
            "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\ncut",
        ),
        ("multipart/form-data; boundary=x", ""),
    ] {
        let request = visitor
            .request(Method::POST, "attachments")
            .header("content-type", content_type)
            .body(body);
        let answer = request.send().await.expect("answers");
        assert!(
            answer.status().is_client_error(),
            "{content_type} {body:?}: {}",
            answer.status()
        );
    }
}

/// Contents that some browser or desktop runs, each with what it would be taken for.
fn contents() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("html", b"<!doctype html><script>alert(1)</script>".to_vec()),
        ("svg", b"<svg xmlns=\"http://www.w3.org/2000/svg\" onload=\"alert(1)\"/>".to_vec()),
        ("xml", b"<?xml version=\"1.0\"?><x:script xmlns:x=\"http://www.w3.org/1999/xhtml\">alert(1)</x:script>".to_vec()),
        ("js", b"alert(1)".to_vec()),
        ("exe", b"MZ\x90\x00\x03\x00\x00\x00".to_vec()),
        ("pdf", b"%PDF-1.7\n1 0 obj<</OpenAction<</S/JavaScript/JS(app.alert(1))>>>>".to_vec()),
        ("gif-and-html", b"GIF89a/*<script>alert(1)</script>*/=1;".to_vec()),
        ("bom-html", b"\xef\xbb\xbf<html><body onload=alert(1)>".to_vec()),
        ("utf16-html", "<html><script>alert(1)</script>".encode_utf16().flat_map(u16::to_le_bytes).collect()),
        ("zip", b"PK\x03\x04\x14\x00\x00\x00".to_vec()),
    ]
}

const NAMES: &[&str] = &[
    "page.html",
    "picture.svg",
    "invoice.pdf.exe",
    "photo\u{202e}gpj.exe",
    "../../etc/passwd",
    "C:\\Windows\\a.bat",
    "a\"; filename=\"b.html",
    "a.png\r\nContent-Type: text/html",
    " . ",
    "\u{0}.html",
];

/// Types that a browser shows without running anything.
const HARMLESS: &[&str] = &["image/png", "image/jpeg", "image/gif", "image/webp"];

#[tokio::test]
async fn v06_of_a_hundred_odd_files_none_is_shown_as_a_page() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &config(""));
    let mut served = 0;
    for (at, (kind, bytes)) in contents().into_iter().enumerate() {
        let visitor = Visitor::stranger(&daemon, at).await;
        for (number, name) in NAMES.iter().enumerate() {
            // The form is written by hand: a client of good manners would not send such names.
            let mut body = format!("--x\r\nContent-Disposition: form-data; name=\"file\"; filename*=UTF-8''{}\r\nContent-Type: text/html\r\n\r\n", percent(name)).into_bytes();
            if number % 2 == 0 {
                let quoted = name.replace(['"', '\r', '\n'], "_");
                body = format!("--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{quoted}\"\r\nContent-Type: image/svg+xml\r\n\r\n").into_bytes();
            }
            body.extend_from_slice(&bytes);
            body.extend_from_slice(b"\r\n--x--\r\n");
            let request = visitor
                .request(Method::POST, "attachments")
                .header("content-type", "multipart/form-data; boundary=x")
                .body(body);
            let answer = request.send().await.expect("answers");
            assert_eq!(answer.status(), 201, "{kind} as {name:?}");
            let file: Value = answer.json().await.expect("JSON");
            let id = text(&file["id"]);
            if let Some(kept) = file["name"].as_str() {
                let misleading = |character: char| {
                    character.is_control()
                        || matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
                };
                assert!(!kept.contains(misleading), "{name:?} is kept as {kept:?}");
            }
            let sent = json!({ "client_id": format!("{number}"), "attachment_ids": [id] });
            assert_eq!(visitor.post("messages", &sent).await.status(), 201);
            let for_visitor = visitor.get(&format!("attachments/{id}")).await;
            let for_shop = client()
                .get(format!("{}/api/v1/attachments/{id}", daemon.url))
                .bearer_auth(ADMIN)
                .send()
                .await
                .expect("answers");
            for answer in [for_visitor, for_shop] {
                assert_eq!(answer.status(), 200);
                let header = |name: &str| {
                    answer
                        .headers()
                        .get(name)
                        .and_then(|value| value.to_str().ok())
                        .unwrap_or_default()
                        .to_owned()
                };
                let (content_type, disposition) =
                    (header("content-type"), header("content-disposition"));
                let inline_picture =
                    HARMLESS.contains(&content_type.as_str()) && disposition.starts_with("inline");
                assert!(
                    disposition.starts_with("attachment") || inline_picture,
                    "{kind} as {name:?}: {content_type}, {disposition}"
                );
                assert_eq!(header("x-content-type-options"), "nosniff");
                assert_eq!(
                    header("content-security-policy"),
                    "sandbox; default-src 'none'"
                );
                assert_eq!(disposition.matches('"').count() % 2, 0, "{disposition}");
                assert_eq!(
                    answer.bytes().await.expect("bytes"),
                    bytes,
                    "{kind} as {name:?}"
                );
                served += 1;
            }
        }
    }
    assert_eq!(served, 200);
}

/// Percent-encodes everything.
fn percent(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[tokio::test]
async fn v06_an_upload_is_its_visitors_alone_and_used_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &config(""));
    let (one, other) = (
        Visitor::stranger(&daemon, 1).await,
        Visitor::stranger(&daemon, 2).await,
    );
    let id = one.uploaded("contract.txt", b"between us".to_vec()).await;
    let with =
        |client_id: &str| json!({ "text": "see", "client_id": client_id, "attachment_ids": [id] });
    assert_eq!(other.get(&format!("attachments/{id}")).await.status(), 404);
    assert_eq!(other.post("messages", &with("1")).await.status(), 422);
    let for_shop = client()
        .get(format!("{}/api/v1/attachments/{id}", daemon.url))
        .bearer_auth(ADMIN);
    assert_eq!(
        for_shop.send().await.expect("answers").status(),
        404,
        "it is not sent yet"
    );
    assert_eq!(one.post("messages", &with("1")).await.status(), 201);
    assert_eq!(other.get(&format!("attachments/{id}")).await.status(), 404);
    assert_eq!(other.post("messages", &with("2")).await.status(), 422);
    assert_eq!(
        one.post("messages", &with("2")).await.status(),
        422,
        "it is in a message already"
    );
    let for_shop = client()
        .get(format!("{}/api/v1/attachments/{id}", daemon.url))
        .bearer_auth(ADMIN);
    assert_eq!(for_shop.send().await.expect("answers").status(), 200);
    let mut eleven = Vec::new();
    for number in 0..11 {
        eleven.push(one.uploaded(&format!("{number}.txt"), b"x".to_vec()).await);
    }
    let too_many = json!({ "client_id": "3", "attachment_ids": eleven });
    assert_eq!(one.post("messages", &too_many).await.status(), 422);
    let ten = json!({ "client_id": "3", "attachment_ids": eleven[..10] });
    assert_eq!(one.post("messages", &ten).await.status(), 201);
    let twice = json!({ "client_id": "4", "attachment_ids": [eleven[10], eleven[10]] });
    assert_eq!(
        one.post("messages", &twice).await.status(),
        422,
        "one file is in one place"
    );
}
