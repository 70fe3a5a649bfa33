//! What people of the shop have for their work: drafts, canned replies, saved views, and the settings of the desk.

use super::Decision;
use crate::id::{AttachmentId, ConversationId, MessageId, ReplyId, ViewId};
use crate::store::draft::Draft;
use crate::store::entry::{
    CannedReplyEntry, DeskSettings, Entry, SettingEntry, UnreadUntil, UnsentEntry, ViewEntry,
};
use crate::store::{Found, Scope};

/// Keeps what somebody has begun to write.
#[derive(Clone, Debug)]
pub struct KeepUnsent {
    /// What the caller may see.
    pub scope: Scope,
    /// Where.
    pub conversation: ConversationId,
    /// Who.
    pub owner: String,
    /// What; `None`: there is nothing any more.
    pub unsent: Option<Unsent>,
}

/// What somebody has begun to write.
#[derive(Clone, Debug)]
pub struct Unsent {
    /// The text.
    pub text: String,
    /// Whether it is a note.
    pub private: bool,
    /// Uploads that go with it.
    pub attachments: Vec<AttachmentId>,
    /// The message that it answers.
    pub reply_to: Option<MessageId>,
}

impl Decision for KeepUnsent {
    /// What is kept: `None` where the caller knows no such conversation, `Some(None)` where nothing is kept.
    type Answer = Option<Option<UnsentEntry>>;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<Self::Answer> {
        if draft
            .conversation(&self.scope, self.conversation)?
            .is_none()
        {
            return Ok(None);
        }
        let key = UnsentEntry::key(self.conversation, &self.owner);
        let Some(unsent) = &self.unsent else {
            if draft.entry::<UnsentEntry>(&key)?.is_some() {
                draft.put(UnsentEntry::remove(key));
            }
            return Ok(Some(None));
        };
        let entry = UnsentEntry {
            conversation: self.conversation,
            owner: self.owner.clone(),
            text: unsent.text.clone(),
            private: unsent.private,
            attachments: unsent.attachments.clone(),
            reply_to: unsent.reply_to,
            updated_at: draft.now(),
        };
        draft.put(entry.put(key));
        Ok(Some(Some(entry)))
    }

    fn weight(&self) -> usize {
        1024 + self.unsent.as_ref().map_or(0, |unsent| unsent.text.len())
    }
}

/// Makes a canned reply.
#[derive(Clone, Debug)]
pub struct MakeCannedReply {
    /// All but its id and times.
    pub reply: CannedReplyEntry,
}

/// What became of a canned reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Canned {
    /// It is kept so.
    Kept(CannedReplyEntry),
    /// Another one has this shortcut.
    ShortcutTaken,
    /// There is no such reply.
    None,
    /// There are as many as one desk has.
    TooMany,
}

/// The most canned replies.
pub const MAX_CANNED_REPLIES: usize = 2_000;
/// The most views that one person has saved.
pub const MAX_VIEWS: usize = 200;

/// Whether another reply has the shortcut.
fn shortcut_taken(draft: &Draft<'_>, shortcut: &str, own: Option<ReplyId>) -> Found<bool> {
    let all = draft.all::<CannedReplyEntry>()?;
    Ok(all
        .iter()
        .any(|(_, reply)| Some(reply.id) != own && reply.shortcut == shortcut))
}

impl Decision for MakeCannedReply {
    type Answer = Canned;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<Canned> {
        if draft.all::<CannedReplyEntry>()?.len() >= MAX_CANNED_REPLIES {
            return Ok(Canned::TooMany);
        }
        if shortcut_taken(draft, &self.reply.shortcut, None)? {
            return Ok(Canned::ShortcutTaken);
        }
        let reply = CannedReplyEntry {
            id: ReplyId(draft.new_id()),
            created_at: draft.now(),
            updated_at: draft.now(),
            ..self.reply.clone()
        };
        draft.put(reply.put(reply.id.key().to_vec()));
        Ok(Canned::Kept(reply))
    }

    fn weight(&self) -> usize {
        1024 + self.reply.text.len()
    }
}

/// Changes a canned reply. `None` leaves a field.
#[derive(Clone, Debug)]
pub struct ChangeCannedReply {
    /// Which.
    pub id: ReplyId,
    /// What one types to find it.
    pub shortcut: Option<String>,
    /// What it is about.
    pub title: Option<String>,
    /// The text.
    pub text: Option<String>,
    /// The channels that it is for.
    pub channels: Option<Option<Vec<String>>>,
}

impl Decision for ChangeCannedReply {
    type Answer = Canned;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<Canned> {
        let Some(mut reply) = draft.entry::<CannedReplyEntry>(&self.id.key())? else {
            return Ok(Canned::None);
        };
        if let Some(shortcut) = &self.shortcut {
            if shortcut_taken(draft, shortcut, Some(self.id))? {
                return Ok(Canned::ShortcutTaken);
            }
            reply.shortcut.clone_from(shortcut);
        }
        if let Some(title) = &self.title {
            reply.title.clone_from(title);
        }
        if let Some(text) = &self.text {
            reply.text.clone_from(text);
        }
        if let Some(channels) = &self.channels {
            reply.channels.clone_from(channels);
        }
        reply.updated_at = draft.now();
        draft.put(reply.put(self.id.key().to_vec()));
        Ok(Canned::Kept(reply))
    }

    fn weight(&self) -> usize {
        1024 + self.text.as_ref().map_or(0, String::len)
    }
}

/// Saves a view.
#[derive(Clone, Debug)]
pub struct SaveView {
    /// All but its id and time.
    pub view: ViewEntry,
}

impl Decision for SaveView {
    /// `None` where the person has as many as one can have.
    type Answer = Option<ViewEntry>;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<Self::Answer> {
        let all = draft.all::<ViewEntry>()?;
        let own = all.iter().filter(|(_, view)| view.owner == self.view.owner);
        if own.count() >= MAX_VIEWS {
            return Ok(None);
        }
        let view = ViewEntry {
            id: ViewId(draft.new_id()),
            created_at: draft.now(),
            ..self.view.clone()
        };
        draft.put(view.put(view.id.key().to_vec()));
        Ok(Some(view))
    }
}

/// Changes a view. `None` leaves a field.
#[derive(Clone, Debug)]
pub struct ChangeView {
    /// Which.
    pub id: ViewId,
    /// The name.
    pub name: Option<String>,
    /// What it shows.
    pub filter: Option<String>,
    /// Whether everybody has it.
    pub shared: Option<bool>,
}

impl Decision for ChangeView {
    /// `None` where there is no such view any more.
    type Answer = Option<ViewEntry>;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<Self::Answer> {
        let Some(mut view) = draft.entry::<ViewEntry>(&self.id.key())? else {
            return Ok(None);
        };
        if let Some(name) = &self.name {
            view.name.clone_from(name);
        }
        if let Some(filter) = &self.filter {
            view.filter.clone_from(filter);
        }
        view.shared = self.shared.unwrap_or(view.shared);
        draft.put(view.put(self.id.key().to_vec()));
        Ok(Some(view))
    }
}

/// Under which name of its own the shop's name stands.
const SHOP_NAME: &[u8] = b"shop_name";

/// Changes the settings of the desk. `None` leaves a field.
#[derive(Clone, Debug, Default)]
pub struct ChangeSettings {
    /// What the shop is called.
    pub shop_name: Option<String>,
    /// When messages count as read.
    pub unread_until: Option<UnreadUntil>,
    /// The view with which the inbox opens.
    pub default_view: Option<String>,
}

impl Decision for ChangeSettings {
    type Answer = DeskSettings;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<DeskSettings> {
        let known = draft.entry::<DeskSettings>(DeskSettings::KEY)?;
        let mut settings = known.unwrap_or_default();
        if let Some(shop_name) = &self.shop_name {
            settings.shop_name.clone_from(shop_name);
            // Whoever is signed in is told the name from here.
            draft.put(if shop_name.is_empty() {
                SettingEntry::remove(SHOP_NAME.to_vec())
            } else {
                let value = shop_name.clone();
                SettingEntry { value }.put(SHOP_NAME.to_vec())
            });
        }
        settings.unread_until = self.unread_until.unwrap_or(settings.unread_until);
        if let Some(default_view) = &self.default_view {
            settings.default_view.clone_from(default_view);
        }
        draft.put(settings.put(DeskSettings::KEY.to_vec()));
        Ok(settings)
    }
}
