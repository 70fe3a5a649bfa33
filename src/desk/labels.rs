//! The labels of the shop.

use deskbell_sdk::text;

use super::Decision;
use crate::store::Found;
use crate::store::draft::Draft;
use crate::store::entry::{Entry, LabelEntry};

/// The colour of a label that nobody has given one.
pub const DEFAULT_COLOR: &str = "gray";

/// Makes a label known that somebody put on a conversation.
pub(super) fn know(draft: &mut Draft<'_>, name: &str) -> Found<()> {
    let key = name.as_bytes();
    if draft.entry::<LabelEntry>(key)?.is_none() {
        let label = LabelEntry {
            name: name.to_owned(),
            color: DEFAULT_COLOR.to_owned(),
            description: None,
            created_at: draft.now(),
        };
        draft.put(label.put(key.to_vec()));
    }
    Ok(())
}

/// Makes a label.
#[derive(Clone, Debug)]
pub struct MakeLabel {
    /// The name, cleaned.
    pub name: String,
    /// The colour.
    pub color: String,
    /// What it is for.
    pub description: Option<String>,
}

impl Decision for MakeLabel {
    /// `None` where there is one of this name.
    type Answer = Option<LabelEntry>;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<Self::Answer> {
        let key = self.name.as_bytes();
        if draft.entry::<LabelEntry>(key)?.is_some() {
            return Ok(None);
        }
        let label = LabelEntry {
            name: self.name.clone(),
            color: self.color.clone(),
            description: self.description.as_deref().and_then(text::clean_name),
            created_at: draft.now(),
        };
        draft.put(label.put(key.to_vec()));
        Ok(Some(label))
    }
}

/// Changes a label. `None` leaves a field; `Some(None)` empties it.
#[derive(Clone, Debug)]
pub struct ChangeLabel {
    /// Which.
    pub name: String,
    /// The colour.
    pub color: Option<String>,
    /// What it is for.
    pub description: Option<Option<String>>,
}

impl Decision for ChangeLabel {
    /// `None` where there is none of this name.
    type Answer = Option<LabelEntry>;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<Self::Answer> {
        let key = self.name.as_bytes();
        let Some(mut label) = draft.entry::<LabelEntry>(key)? else {
            return Ok(None);
        };
        if let Some(color) = &self.color {
            label.color.clone_from(color);
        }
        if let Some(description) = &self.description {
            label.description = description.as_deref().and_then(text::clean_name);
        }
        draft.put(label.put(key.to_vec()));
        Ok(Some(label))
    }
}

/// Removes a label from the list. Conversations that bear it keep its name.
#[derive(Clone, Debug)]
pub struct RemoveLabel {
    /// Which.
    pub name: String,
}

impl Decision for RemoveLabel {
    /// Whether there was one.
    type Answer = bool;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<bool> {
        let key = self.name.as_bytes();
        if draft.entry::<LabelEntry>(key)?.is_none() {
            return Ok(false);
        }
        draft.put(LabelEntry::remove(key.to_vec()));
        Ok(true)
    }
}
