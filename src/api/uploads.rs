//! Taking files in and giving them out, safely: for the desk and for visitors.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::Multipart;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use deskbell_sdk::{Time, text};

use super::problem::Problem;
use crate::app::App;
use crate::blobs::sniffed_type;
use crate::desk::access::KeepUpload;
use crate::desk::replies::kind_of;
use crate::id::AttachmentId;
use crate::store::entry::AttachmentEntry;
use crate::store::record::AvatarRecord;
use crate::view::{Attachment, AttachmentState};
use crate::virus_check::Objection;

/// What a browser may show in the page; everything else it may only save (M08).
const SHOWN_INLINE: &[&str] = &["image/png", "image/jpeg", "image/gif", "image/webp"];

/// A file that came.
#[derive(Debug)]
pub struct Upload {
    name: Option<String>,
    bytes: Bytes,
}

impl Upload {
    /// Its size in bytes.
    #[must_use]
    pub const fn size(&self) -> usize {
        self.bytes.len()
    }
}

/// Reads the field `file` of a multipart body, at most `limit` bytes.
pub async fn receive(mut multipart: Multipart, limit: usize) -> Result<Upload, Problem> {
    let unreadable = |error: axum::extract::multipart::MultipartError| {
        if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
            return Problem::too_large(limit);
        }
        Problem::bad_request(format!("The form cannot be read: {}.", error.body_text()))
    };
    while let Some(mut field) = multipart.next_field().await.map_err(unreadable)? {
        if field.name() != Some("file") {
            continue;
        }
        let name = field.file_name().and_then(text::clean_name);
        let mut bytes = Vec::new();
        while let Some(chunk) = field.chunk().await.map_err(unreadable)? {
            if bytes.len() + chunk.len() > limit {
                return Err(Problem::too_large(limit));
            }
            bytes.extend_from_slice(&chunk);
        }
        if bytes.is_empty() {
            return Err(Problem::field("/file", "is empty."));
        }
        return Ok(Upload {
            name,
            bytes: bytes.into(),
        });
    }
    Err(Problem::field(
        "/file",
        "is missing: send the file as multipart/form-data in the field `file`.",
    ))
}

/// Keeps a file durably, first its bytes and then that it is there.
pub async fn keep(app: &App, upload: Upload, owner: String) -> Result<AttachmentEntry, Problem> {
    Ok(app
        .writer
        .write(keep_bytes(app, upload, owner).await?)
        .await?)
}

/// What is answered where a file is not taken because of the virus check.
#[must_use]
pub fn objected(objection: &Objection) -> Problem {
    match objection {
        Objection::Virus(name) => Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "virus",
            "A virus was found",
            format!("A virus was found in the file ({name}). It was not kept. Look after the computer it came from."),
        ),
        Objection::TooLarge => Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too-large",
            "Too large",
            "The file is larger than the virus check takes. Send a smaller one; the operator can raise `StreamMaxLength` \
             in the configuration of clamd.",
        ),
        // What is wrong is in the log, since it may name addresses.
        Objection::NotChecked(_) => Problem::unavailable(
            "Files cannot be checked for viruses right now, so none is taken. Try again in a minute; if it stays so, the \
             operator finds the reason in the log and by `deskbell check`.",
        )
        .retry_after(60),
    }
}

/// Keeps the bytes of a file durably, once they were checked for viruses. What is left is to write that it is there.
pub async fn keep_bytes(app: &App, upload: Upload, owner: String) -> Result<KeepUpload, Problem> {
    if let Err(objection) = app.virus_check.check(&upload.bytes[..]).await {
        if let Objection::Virus(virus) = &objection {
            tracing::warn!(virus, "an upload is refused: there is a virus in it");
        }
        return Err(objected(&objection));
    }
    let blobs = app.blobs.clone();
    let bytes = upload.bytes.clone();
    let kept =
        tokio::task::spawn_blocking(move || (blobs.keep(&bytes), sniffed_type(&bytes))).await;
    let (content, mime_type) = match kept {
        Ok((Ok(content), mime_type)) => (content, mime_type),
        Ok((Err(error), _)) => {
            tracing::error!(%error, "an upload could not be kept");
            return Err(Problem::unavailable(
                "The file cannot be kept right now. Try again shortly.",
            ));
        }
        Err(_) => {
            return Err(Problem::unavailable(
                "The file cannot be kept right now. Try again shortly.",
            ));
        }
    };
    let upload = AttachmentEntry {
        id: AttachmentId(0),
        message: None,
        owner,
        content,
        name: upload.name,
        mime_type,
        size: u64::try_from(upload.bytes.len()).unwrap_or(u64::MAX),
        created_at: Time::from_millis(0),
    };
    Ok(KeepUpload { upload })
}

/// An upload as the API shows it.
#[must_use]
pub fn shown(entry: &AttachmentEntry, url: String) -> Attachment {
    Attachment {
        id: entry.id,
        kind: kind_of(&entry.mime_type),
        name: entry.name.clone(),
        mime_type: Some(entry.mime_type.clone()),
        size: Some(entry.size),
        url: Some(url),
        state: AttachmentState::Stored,
        detail: None,
        link: None,
        latitude: None,
        longitude: None,
        title: None,
    }
}

/// A file that is given out.
#[derive(Clone, Debug)]
pub struct File {
    /// SHA-256 of the content in hex.
    content: String,
    /// File name.
    name: Option<String>,
    /// Sniffed type.
    mime_type: String,
}

impl From<AttachmentEntry> for File {
    fn from(entry: AttachmentEntry) -> Self {
        Self {
            content: entry.content,
            name: entry.name,
            mime_type: entry.mime_type,
        }
    }
}

impl From<AvatarRecord> for File {
    fn from(avatar: AvatarRecord) -> Self {
        Self {
            content: avatar.content,
            name: None,
            mime_type: avatar.mime_type,
        }
    }
}

/// Gives the bytes out such that no browser runs them.
pub async fn serve(
    app: &App,
    file: &File,
    headers: &HeaderMap,
    save: bool,
) -> Result<Response, Problem> {
    let etag = format!("\"{}\"", file.content);
    let known = headers
        .get(header::IF_NONE_MATCH)
        .and_then(|value| value.to_str().ok());
    if known.is_some_and(|known| known.split(',').any(|one| one.trim() == etag)) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, etag)]).into_response());
    }
    let (app, content) = (Arc::clone(app), file.content.clone());
    let read = tokio::task::spawn_blocking(move || app.blobs.read(&content)).await;
    let bytes = match read {
        Ok(Ok(bytes)) => Bytes::from(bytes),
        _ => return Err(Problem::unavailable("The file cannot be read right now.")),
    };
    let playable = file.mime_type.starts_with("audio/") || file.mime_type.starts_with("video/");
    let inline = !save && (playable || SHOWN_INLINE.contains(&file.mime_type.as_str()));
    let total = bytes.len();
    let (status, bytes, range) = match headers
        .get(header::RANGE)
        .and_then(|value| byte_range(value.to_str().ok()?, total))
    {
        Some((first, last)) => (
            StatusCode::PARTIAL_CONTENT,
            bytes.slice(first..=last),
            Some(format!("bytes {first}-{last}/{total}")),
        ),
        None => (StatusCode::OK, bytes, None),
    };
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let value = |text: &str| {
        HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("application/octet-stream"))
    };
    headers.insert(header::CONTENT_TYPE, value(&file.mime_type));
    headers.insert(
        header::CONTENT_DISPOSITION,
        value(&disposition(inline, file.name.as_deref())),
    );
    headers.insert(header::ETAG, value(&etag));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("private, max-age=86400, immutable"),
    );
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("sandbox; default-src 'none'"),
    );
    if let Some(range) = range {
        headers.insert(header::CONTENT_RANGE, value(&range));
    }
    Ok(response)
}

/// The first and last byte of a range of the plain form `bytes=a-b`; `None` for every other, which then gives all.
fn byte_range(value: &str, total: usize) -> Option<(usize, usize)> {
    let (first, last) = value.strip_prefix("bytes=")?.split_once('-')?;
    let end = total.checked_sub(1)?;
    let (first, last) = match (first.parse::<usize>(), last.parse::<usize>()) {
        (Ok(first), Ok(last)) => (first, last.min(end)),
        (Ok(first), Err(_)) if last.is_empty() => (first, end),
        (Err(_), Ok(count)) if first.is_empty() && count > 0 => (total.saturating_sub(count), end),
        _ => return None,
    };
    (first <= last).then_some((first, last))
}

/// How the file is to be shown, with its name written so that every browser reads it and none is misled (RFC 6266).
fn disposition(inline: bool, name: Option<&str>) -> String {
    use std::fmt::Write as _;
    let kind = if inline { "inline" } else { "attachment" };
    let Some(name) = name else {
        return kind.to_owned();
    };
    let plain: String = name
        .chars()
        .map(|character| {
            let safe =
                character.is_ascii_alphanumeric() || matches!(character, ' ' | '.' | '-' | '_');
            if safe { character } else { '_' }
        })
        .collect();
    let mut encoded = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_') {
            encoded.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    format!("{kind}; filename=\"{plain}\"; filename*=UTF-8''{encoded}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn m11_a_file_name_never_leaves_its_quotes() {
        let shown = disposition(false, Some("a\"b;\r\n/é.pdf"));
        assert_eq!(
            shown,
            "attachment; filename=\"a_b_____.pdf\"; filename*=UTF-8''a%22b%3B%0D%0A%2F%C3%A9.pdf"
        );
        assert!(HeaderValue::from_str(&shown).is_ok());
    }

    #[test]
    fn ranges_are_read_as_players_send_them() {
        assert_eq!(byte_range("bytes=0-", 10), Some((0, 9)));
        assert_eq!(byte_range("bytes=2-4", 10), Some((2, 4)));
        assert_eq!(byte_range("bytes=8-99", 10), Some((8, 9)));
        assert_eq!(byte_range("bytes=-3", 10), Some((7, 9)));
        for none in [
            "bytes=9-2",
            "bytes=10-",
            "bytes=a-b",
            "items=0-1",
            "bytes=-0",
            "bytes=0-1,3-4",
        ] {
            assert_eq!(byte_range(none, 10), None, "{none}");
        }
    }
}
