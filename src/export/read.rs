//! Reading a line.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;

use super::lines::{Line, MAX_LINE_BYTES, VERSION};

/// A line that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLine {
    /// Where in the line: a JSON pointer, empty where the line as a whole is meant.
    pub pointer: String,
    /// What is wrong, and what to do where that helps.
    pub detail: String,
}

impl BadLine {
    fn whole(detail: impl Into<String>) -> Self {
        Self {
            pointer: String::new(),
            detail: detail.into(),
        }
    }
}

impl std::fmt::Display for BadLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.pointer.as_str() {
            "" => f.write_str(&self.detail),
            pointer => write!(f, "{pointer}: {}", self.detail),
        }
    }
}

impl std::error::Error for BadLine {}

#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
}

/// Reads a line, with or without its end.
///
/// # Errors
/// Where it is no line of an export, or of a version that this daemon does not read.
pub fn read_line(text: &[u8]) -> Result<Line, BadLine> {
    if text.len() > MAX_LINE_BYTES {
        return Err(BadLine::whole(format!(
            "the line has {} bytes, and at most {MAX_LINE_BYTES} are read",
            text.len()
        )));
    }
    let kind: Kind<'_> = serde_json::from_slice(text).map_err(|error| {
        let what = if error.is_data() {
            "it is no line of an export by Deskbell"
        } else {
            "it is damaged"
        };
        BadLine::whole(format!("{what} ({})", without_values(&error)))
    })?;
    Ok(match &*kind.kind {
        "deskbell-export" => {
            let header: super::lines::Header = fields(text)?;
            if header.version != VERSION {
                return Err(BadLine {
                    pointer: "/version".to_owned(),
                    detail: format!(
                        "this Deskbell reads version {VERSION} and not {}: take a newer one",
                        header.version
                    ),
                });
            }
            Line::Header(header)
        }
        "channel" => Line::Channel(fields(text)?),
        "contact" => Line::Contact(fields(text)?),
        "merged_contact" => Line::MergedContact(fields(text)?),
        "conversation" => Line::Conversation(fields(text)?),
        "message" => Line::Message(fields(text)?),
        "file" => Line::File(fields(text)?),
        "end" => Line::End(fields(text)?),
        other => Line::Unknown(other.chars().take(100).collect()),
    })
}

fn fields<T: DeserializeOwned>(text: &[u8]) -> Result<T, BadLine> {
    let mut json = serde_json::Deserializer::from_slice(text);
    serde_path_to_error::deserialize(&mut json).map_err(|error| BadLine {
        pointer: error
            .path()
            .iter()
            .map(|segment| match segment {
                Segment::Seq { index } => format!("/{index}"),
                Segment::Map { key } => format!("/{}", key.replace('~', "~0").replace('/', "~1")),
                Segment::Enum { .. } | Segment::Unknown => String::new(),
            })
            .collect(),
        detail: without_values(error.inner()),
    })
}

/// What is wrong with JSON, without the words of a customer that stand in it.
fn without_values(error: &serde_json::Error) -> String {
    let at = error.column();
    match error.classify() {
        serde_json::error::Category::Data => {
            let said = error.to_string();
            // Ours and the names of fields are told; the values, which stand in quotation marks, are not.
            match said.split_once("missing field ") {
                Some((_, field)) => format!("a field is missing: {field}"),
                None => format!("a value that does not do, before column {at}"),
            }
        }
        serde_json::error::Category::Eof => format!("it ends too early, at column {at}"),
        serde_json::error::Category::Syntax | serde_json::error::Category::Io => {
            format!("no JSON at column {at}")
        }
    }
}
