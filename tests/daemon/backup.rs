//! Backups of a running daemon, what is restored from them, and people who are erased from everything.

mod erasure;
mod restoring;

use std::path::{Path, PathBuf};

use crate::support::command::run;
use crate::support::{ADMIN, Daemon, client};
use serde_json::{Value, json};

/// Takes a backup of the daemon in `folder`.
fn back_up(folder: &Path, name: &str) -> PathBuf {
    let said = run(folder, &["backup", name]);
    assert_eq!(said.code, Some(0), "{said:?}");
    folder.join(name)
}

/// A folder with the same configuration and key, and with what a backup holds.
fn restored(from: &Path, backup: &Path) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let copy = |name: &str| {
        std::fs::copy(from.join(name), folder.path().join(name)).expect("it is copied");
    };
    copy("deskbell.toml");
    std::fs::create_dir(folder.path().join("data")).expect("made");
    copy("data/deskbell.key");
    let said = run(
        folder.path(),
        &["restore", backup.to_str().expect("a text")],
    );
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(said.out.contains("deskbell resume"), "{said:?}");
    folder
}

/// Uploads a file and puts it into a note of a conversation.
async fn note_with_file(daemon: &Daemon, conversation: &str, bytes: &[u8]) -> String {
    let part = reqwest::multipart::Part::bytes(bytes.to_vec()).file_name("plan.bin");
    let form = reqwest::multipart::Form::new().part("file", part);
    let answer = client()
        .post(format!("{}/api/v1/attachments", daemon.url))
        .bearer_auth(ADMIN)
        .multipart(form)
        .send()
        .await
        .expect("answers");
    assert_eq!(answer.status(), 201);
    let uploaded: Value = answer.json().await.expect("JSON");
    let id = uploaded["id"].as_str().expect("an id").to_owned();
    let path = format!("conversations/{conversation}/messages");
    let note = json!({ "text": "see", "private": true, "attachment_ids": [id] });
    let (status, said) = daemon.post(&path, &note).await;
    assert!(status == 201 || status == 202, "{status} {said}");
    id
}

/// The bytes of a file.
async fn file(daemon: &Daemon, id: &str) -> (u16, Vec<u8>) {
    let answer = client()
        .get(format!("{}/api/v1/attachments/{id}", daemon.url))
        .bearer_auth(ADMIN)
        .send()
        .await
        .expect("answers");
    let status = answer.status().as_u16();
    (status, answer.bytes().await.expect("bytes").to_vec())
}
