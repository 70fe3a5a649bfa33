//! A form with files (`multipart/form-data`, RFC 7578), as platforms take uploads.

use bytes::{Bytes, BytesMut};
use sha2::{Digest, Sha256};

/// What a file is called whose type is none.
const ANY_TYPE: &str = "application/octet-stream";

/// A form that is being filled.
#[derive(Clone, Debug, Default)]
pub struct Multipart {
    /// The head of each part, and its content.
    parts: Vec<(String, Bytes)>,
}

/// A form that is ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    /// The value of the header `Content-Type`.
    pub content_type: String,
    /// The body.
    pub body: Bytes,
}

impl Multipart {
    /// An empty form.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The form with one more field.
    #[must_use]
    pub fn field(mut self, name: &str, value: impl Into<Bytes>) -> Self {
        let head = format!(
            "Content-Disposition: form-data; name=\"{}\"\r\n\r\n",
            quotable(name)
        );
        self.parts.push((head, value.into()));
        self
    }

    /// The form with one more file. A type that is none becomes `application/octet-stream`; characters that would end
    /// the name's quotes or its line are written as browsers write them.
    #[must_use]
    pub fn file(mut self, name: &str, file_name: &str, mime_type: &str, content: Bytes) -> Self {
        let mime_type = if is_mime_type(mime_type) {
            mime_type
        } else {
            ANY_TYPE
        };
        let head = format!(
            "Content-Disposition: form-data; name=\"{}\"; filename=\"{}\"\r\nContent-Type: {mime_type}\r\n\r\n",
            quotable(name),
            quotable(file_name)
        );
        self.parts.push((head, content));
        self
    }

    /// The form's body. Its boundary occurs in none of its parts, and the same form has the same body.
    #[must_use]
    pub fn finish(self) -> Form {
        let mut digest = Sha256::new();
        for (head, content) in &self.parts {
            digest.update(head.len().to_be_bytes());
            digest.update(head);
            digest.update(content.len().to_be_bytes());
            digest.update(content);
        }
        let mut seed = digest.finalize();
        let mut boundary = boundary_of(&seed);
        // Nobody can write down the digest of what he writes; it is looked at all the same.
        while self.parts.iter().any(|(head, content)| {
            contains(head.as_bytes(), boundary.as_bytes()) || contains(content, boundary.as_bytes())
        }) {
            seed = Sha256::digest(seed);
            boundary = boundary_of(&seed);
        }
        let length: usize = self
            .parts
            .iter()
            .map(|(head, content)| head.len() + content.len() + boundary.len() + 6)
            .sum();
        let mut body = BytesMut::with_capacity(length + boundary.len() + 6);
        for (head, content) in &self.parts {
            for piece in ["--", &boundary, "\r\n", head] {
                body.extend_from_slice(piece.as_bytes());
            }
            body.extend_from_slice(content);
            body.extend_from_slice(b"\r\n");
        }
        for piece in ["--", &boundary, "--\r\n"] {
            body.extend_from_slice(piece.as_bytes());
        }
        Form {
            content_type: format!("multipart/form-data; boundary={boundary}"),
            body: body.freeze(),
        }
    }
}

fn boundary_of(seed: &[u8]) -> String {
    format!("deskbell-{}", hex::encode(&seed[..16]))
}

fn contains(content: &[u8], boundary: &[u8]) -> bool {
    content
        .windows(boundary.len())
        .any(|window| window == boundary)
}

/// A name between quotes: quotes and line ends escaped as in the HTML standard, other control characters left out.
fn quotable(name: &str) -> String {
    let mut quotable = String::with_capacity(name.len());
    for character in name.chars() {
        match character {
            '"' => quotable.push_str("%22"),
            '\r' => quotable.push_str("%0D"),
            '\n' => quotable.push_str("%0A"),
            control if control.is_control() => {}
            other => quotable.push(other),
        }
    }
    quotable
}

/// Whether this is a type and a subtype, without parameters.
fn is_mime_type(text: &str) -> bool {
    let is_token = |token: &str| {
        !token.is_empty()
            && token.bytes().all(|byte| {
                byte.is_ascii_alphanumeric()
                    || matches!(
                        byte,
                        b'!' | b'#' | b'$' | b'&' | b'-' | b'^' | b'_' | b'.' | b'+'
                    )
            })
    };
    text.len() <= 255
        && text
            .split_once('/')
            .is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_written_as_the_standard_says() {
        let picture = Bytes::from_static(b"\x89PNG\r\n\x1a\n");
        let form = Multipart::new()
            .field("recipient", r#"{"id":"2001"}"#)
            .file("filedata", "Größe \"M\".png", "image/png", picture)
            .finish();
        let boundary = form
            .content_type
            .strip_prefix("multipart/form-data; boundary=")
            .expect("its type");
        let mut expected = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"recipient\"\r\n\r\n{{\"id\":\"2001\"}}\r\n\
             --{boundary}\r\nContent-Disposition: form-data; name=\"filedata\"; filename=\"Größe %22M%22.png\"\r\n\
             Content-Type: image/png\r\n\r\n"
        )
        .into_bytes();
        expected.extend_from_slice(b"\x89PNG\r\n\x1a\n");
        expected.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        assert_eq!(form.body, expected);
    }

    #[test]
    fn p12_no_name_and_no_type_writes_a_header_of_its_own() {
        let form = Multipart::new()
            .file(
                "f",
                "a\r\nX-Evil: 1\r\n\r\n\0b\".png",
                "image/png\r\nX-Evil: 1",
                Bytes::new(),
            )
            .field("n\"; x=\"", "v")
            .finish();
        let text = String::from_utf8(form.body.to_vec()).expect("text");
        assert!(
            !text.lines().any(|line| line.starts_with("X-Evil")),
            "{text}"
        );
        assert!(
            text.contains("filename=\"a%0D%0AX-Evil: 1%0D%0A%0D%0Ab%22.png\""),
            "{text}"
        );
        assert!(
            text.contains("Content-Type: application/octet-stream\r\n"),
            "{text}"
        );
        assert!(text.contains("name=\"n%22; x=%22\""), "{text}");
    }

    #[test]
    fn the_boundary_is_nowhere_in_the_content() {
        let plain = Multipart::new().field("a", "x");
        let first = plain.clone().finish();
        assert_eq!(first, plain.finish(), "the same form has the same body");
        let boundary = first
            .content_type
            .split_once('=')
            .expect("a boundary")
            .1
            .to_owned();
        let content = format!("--{boundary}--\r\n");
        let form = Multipart::new().field("a", content.clone()).finish();
        let own = form.content_type.split_once('=').expect("a boundary").1;
        assert!(!content.contains(own));
        assert_eq!(String::from_utf8_lossy(&form.body).matches(own).count(), 2);
    }

    #[test]
    fn only_types_are_types() {
        for good in ["image/png", "application/vnd.ms-excel", "image/svg+xml"] {
            assert!(is_mime_type(good), "{good}");
        }
        for bad in [
            "", "image", "image/", "/png", "a/b/c", "a/b; c=d", "a b/c", "a/ü",
        ] {
            assert!(!is_mime_type(bad), "{bad}");
        }
    }
}
