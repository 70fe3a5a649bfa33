//! Meta's types for the conversations that are read, as they come. Only what the desk uses is read, and what may be
//! broken alone is kept as text until it is looked at.

use deskbell_sdk::ExternalId;
use deskbell_sdk::json::{Raw, lenient_i64};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{flag, loose_text, text};

/// A page of a list.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct List<'a> {
    #[serde(borrow)]
    pub(crate) data: Vec<Raw<'a>>,
    pub(crate) paging: Option<Paging>,
}

#[derive(Deserialize)]
pub(crate) struct Paging {
    pub(crate) cursors: Option<Cursors>,
    /// The address of the next page. It holds the token, so it is never kept (P16).
    #[serde(default, deserialize_with = "loose_text")]
    pub(crate) next: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct Cursors {
    #[serde(default, deserialize_with = "loose_text")]
    pub(crate) after: Option<String>,
}

/// A conversation of the Page.
#[derive(Deserialize)]
pub(crate) struct Thread<'a> {
    pub(crate) id: ExternalId,
    #[serde(default, deserialize_with = "loose_text")]
    pub(crate) updated_time: Option<String>,
    #[serde(default, borrow)]
    pub(crate) participants: Option<Raw<'a>>,
    /// Left out where there are none.
    #[serde(default, borrow)]
    pub(crate) messages: Option<List<'a>>,
}

/// A few things inside of another.
#[derive(Deserialize)]
pub(crate) struct Few<T> {
    #[serde(default = "Vec::new")]
    pub(crate) data: Vec<T>,
}

/// Somebody in a conversation.
#[derive(Deserialize)]
pub(crate) struct Participant {
    pub(crate) id: ExternalId,
    #[serde(default, deserialize_with = "loose_text")]
    pub(crate) name: Option<String>,
}

/// A message as a conversation shows it.
#[derive(Deserialize)]
pub(crate) struct Shown<'a> {
    pub(crate) id: ExternalId,
    #[serde(default, deserialize_with = "loose_text")]
    pub(crate) created_time: Option<String>,
    #[serde(default, borrow)]
    pub(crate) from: Option<Raw<'a>>,
    #[serde(default, borrow)]
    pub(crate) to: Option<Raw<'a>>,
    /// Empty where there are only attachments.
    #[serde(default, deserialize_with = "text")]
    pub(crate) message: Option<String>,
    #[serde(default, borrow)]
    pub(crate) attachments: Option<Raw<'a>>,
    /// The address of the sticker's picture.
    #[serde(default, deserialize_with = "loose_text")]
    pub(crate) sticker: Option<String>,
    #[serde(default, borrow)]
    pub(crate) shares: Option<Raw<'a>>,
    #[serde(default, borrow)]
    pub(crate) reply_to: Option<Raw<'a>>,
    #[serde(default, deserialize_with = "flag")]
    pub(crate) is_unsupported: bool,
}

/// What a message quotes; the id has one of two names.
#[derive(Deserialize)]
pub(crate) struct Quoted {
    pub(crate) mid: Option<ExternalId>,
    pub(crate) id: Option<ExternalId>,
}

/// An attachment as a conversation shows it. Which data it has tells what it is.
#[derive(Deserialize)]
pub(crate) struct ShownAttachment {
    pub(crate) id: Option<ExternalId>,
    #[serde(default, deserialize_with = "loose_text")]
    pub(crate) mime_type: Option<String>,
    #[serde(default, deserialize_with = "loose_text")]
    pub(crate) name: Option<String>,
    #[serde(default, deserialize_with = "lenient_i64")]
    pub(crate) size: Option<i64>,
    pub(crate) image_data: Option<MediaData>,
    pub(crate) video_data: Option<MediaData>,
    #[serde(default, deserialize_with = "loose_text")]
    pub(crate) file_url: Option<String>,
    pub(crate) generic_template: Option<GenericTemplate>,
    pub(crate) template: Option<IgnoredAny>,
}

#[derive(Deserialize)]
pub(crate) struct MediaData {
    #[serde(default, deserialize_with = "loose_text")]
    pub(crate) url: Option<String>,
    #[serde(default, deserialize_with = "flag")]
    pub(crate) render_as_sticker: bool,
}

#[derive(Deserialize)]
pub(crate) struct GenericTemplate {
    #[serde(default, deserialize_with = "loose_text")]
    pub(crate) title: Option<String>,
    #[serde(default, deserialize_with = "loose_text")]
    pub(crate) subtitle: Option<String>,
}

/// A shared page or post.
#[derive(Deserialize)]
pub(crate) struct Share {
    #[serde(default, deserialize_with = "loose_text")]
    pub(crate) link: Option<String>,
    pub(crate) id: Option<ExternalId>,
    #[serde(default, deserialize_with = "loose_text")]
    pub(crate) name: Option<String>,
}

/// One side of a message.
pub(crate) fn party(raw: Option<Raw<'_>>) -> Option<Participant> {
    serde_json::from_str(raw?.get()).ok()
}
