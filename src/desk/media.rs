//! The files that came with messages and lie at their platform: what is fetched when, and what becomes of it.
//!
//! A message is never late for its files: it is there at once, they follow. An attempt is on record before it is made.
//! What fails is tried again, from 5 seconds up to an hour later, until a week is over: by then platforms have deleted
//! it.

use std::sync::Arc;

use deskbell_sdk::{AttachmentKind, Source, Time};

use super::{Decision, Next, conversations, doubled};
use crate::id::{AttachmentId, WorkId};
use crate::store::draft::Draft;
use crate::store::entry::{AttachmentEntry, Entry, FetchEntry, FetchFile};
use crate::store::record::{AttachmentBytes, AttachmentRecord, ChannelNo, MessageRecord};
use crate::store::{Found, Scope};

/// The first retry, in milliseconds; each further one waits twice as long, up to [`LONGEST_WAIT_MS`].
const FIRST_WAIT_MS: i64 = 5 * 1000;
/// The longest wait between two attempts: an hour, in milliseconds.
const LONGEST_WAIT_MS: i64 = 60 * 60 * 1000;
/// How long a file is tried: a week, in milliseconds. Platforms keep media about as long (M14).
pub const FETCHED_FOR_MS: i64 = 7 * 24 * 60 * 60 * 1000;
/// After so many attempts the desk says that the file failed; it is still tried.
const ATTEMPTS_UNTIL_FAILED: u32 = 3;
/// Who an attachment belongs to that came from a platform.
const PLATFORM: &str = "platform";

/// Wants the files of those attachments of a message that are `new` and lie at the platform.
pub fn want(draft: &mut Draft<'_>, message: &MessageRecord, new: impl Fn(AttachmentId) -> bool) {
    if message.changes.deleted_at.is_some() {
        return;
    }
    let now = draft.now();
    let attachments = message.attachments.iter().enumerate();
    let files: Vec<FetchFile> = attachments
        .filter(|(_, attachment)| new(attachment.id))
        .filter_map(|(place, attachment)| {
            Some(FetchFile {
                attachment: attachment.id,
                place,
                source: match &attachment.bytes {
                    AttachmentBytes::Remote(url) => Source::Url(url.clone()),
                    AttachmentBytes::Handle(handle) => Source::Handle(handle.clone()),
                    _ => return None,
                },
                attempts: 0,
                is_gone: false,
                due_at: now,
            })
        })
        .collect();
    if files.is_empty() {
        return;
    }
    // An id of its own: it is larger than all before it, also where an old message gets another file.
    let entry = FetchEntry {
        id: WorkId(draft.new_id()),
        channel: message.channel,
        message: message.id,
        files,
        created_at: now,
    };
    draft.put(entry.put(entry.id.key().to_vec()));
}

/// A file that is to be fetched.
#[derive(Clone, Debug, PartialEq)]
pub struct FetchErrand {
    /// The item.
    pub work: WorkId,
    /// The channel.
    pub channel: ChannelNo,
    /// The message.
    pub message: Arc<MessageRecord>,
    /// What is to be fetched.
    pub file: FetchFile,
    /// The platform's id of the attachment.
    pub external_id: Option<String>,
    /// When the item was decided.
    pub created_at: Time,
}

/// Takes up the file of an item that is due first: the attempt is on record before it is made.
#[derive(Clone, Debug)]
pub struct BeginFetch {
    /// The item.
    pub work: WorkId,
}

impl Decision for BeginFetch {
    /// What to fetch; `None` where nothing of the item is wanted any more.
    type Answer = Option<FetchErrand>;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<Option<FetchErrand>> {
        let Some(mut item) = Item::read(draft, self.work)? else {
            return Ok(None);
        };
        let now = draft.now();
        let next = item.entry.files.iter_mut().min_by_key(|file| file.due_at);
        let Some(file) = next else {
            item.keep(draft);
            return Ok(None);
        };
        file.attempts += 1;
        // Where the daemon ends in the middle, this holds.
        file.due_at = now.plus_millis(wait_ms(file.attempts, 1.0));
        let file = file.clone();
        let attachment = item.attachment(file.attachment);
        let errand = FetchErrand {
            work: self.work,
            channel: item.entry.channel,
            external_id: attachment.and_then(|attachment| attachment.external_id.clone()),
            message: Arc::clone(&item.message),
            file,
            created_at: item.entry.created_at,
        };
        item.keep(draft);
        Ok(Some(errand))
    }
}

/// How fetching a file ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchEnded {
    /// It is here.
    Stored {
        /// SHA-256 of the content in hex.
        content: String,
        /// Sniffed type.
        mime_type: String,
        /// Size in bytes.
        size: u64,
        /// The name that its host gave it.
        name: Option<String>,
    },
    /// It is larger than the desk keeps.
    TooLarge,
    /// The platform has it no longer.
    Expired,
    /// It is not fetched from there, for this reason.
    Refused(String),
    /// Something that may pass.
    Again {
        /// What.
        say: String,
        /// Whether what the message said no longer works.
        is_gone: bool,
        /// When to come again at the earliest, in milliseconds.
        after_ms: Option<i64>,
    },
    /// It could not be tried now, which counts for nothing.
    Postponed(Time),
}

/// Records how fetching a file ended.
#[derive(Clone, Debug)]
pub struct FinishFetch {
    /// The item.
    pub work: WorkId,
    /// The file.
    pub attachment: AttachmentId,
    /// How it ended.
    pub ended: FetchEnded,
    /// Between 0 and 1: spreads the retries of many.
    pub jitter: f64,
}

impl Decision for FinishFetch {
    type Answer = Next;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<Next> {
        let Some(mut item) = Item::read(draft, self.work)? else {
            return Ok(Next::Done);
        };
        let Some(at) = item
            .entry
            .files
            .iter()
            .position(|file| file.attachment == self.attachment)
        else {
            return Ok(item.keep(draft));
        };
        let now = draft.now();
        let is_over = now.as_millis() - item.entry.created_at.as_millis() >= FETCHED_FOR_MS;
        let bytes = match &self.ended {
            FetchEnded::Stored { content, .. } => AttachmentBytes::Stored(content.clone()),
            FetchEnded::TooLarge => AttachmentBytes::TooLarge,
            FetchEnded::Refused(why) => AttachmentBytes::Failed(why.clone()),
            FetchEnded::Expired => AttachmentBytes::Expired,
            FetchEnded::Again { .. } | FetchEnded::Postponed(_) if is_over => {
                AttachmentBytes::Expired
            }
            FetchEnded::Again {
                say,
                is_gone,
                after_ms,
            } => {
                let file = &mut item.entry.files[at];
                file.is_gone |= is_gone;
                let spread = wait_ms(file.attempts, self.jitter);
                let wait = after_ms.unwrap_or(0).saturating_add(spread);
                file.due_at = now.plus_millis(wait);
                if file.attempts >= ATTEMPTS_UNTIL_FAILED {
                    item.settle(draft, self.attachment, |record| {
                        if !matches!(record.bytes, AttachmentBytes::Failed(_)) {
                            record.bytes = AttachmentBytes::Failed(say.clone());
                        }
                    })?;
                }
                return Ok(item.keep(draft));
            }
            FetchEnded::Postponed(until) => {
                let file = &mut item.entry.files[at];
                file.attempts = file.attempts.saturating_sub(1);
                file.due_at = *until;
                return Ok(item.keep(draft));
            }
        };
        item.entry.files.remove(at);
        let found = match &self.ended {
            FetchEnded::Stored {
                mime_type,
                size,
                name,
                ..
            } => Some((mime_type, *size, name)),
            _ => None,
        };
        item.settle(draft, self.attachment, |record| {
            record.bytes = bytes;
            if let Some((mime_type, size, name)) = found {
                record.mime_type = Some(mime_type.clone());
                record.size = Some(size);
                record.name = record.name.take().or_else(|| name.clone());
                // A page or a drawing that can hold scripts is no picture, whatever the platform called it (M08).
                let is_picture =
                    matches!(record.kind, AttachmentKind::Image | AttachmentKind::Sticker);
                if is_picture && !mime_type.starts_with("image/") {
                    record.kind = AttachmentKind::File;
                }
            }
        })?;
        Ok(item.keep(draft))
    }
}

/// How long until the next attempt, in milliseconds.
fn wait_ms(attempts: u32, jitter: f64) -> i64 {
    doubled(attempts, FIRST_WAIT_MS, LONGEST_WAIT_MS, jitter)
}

/// An item with its message.
struct Item {
    entry: FetchEntry,
    message: Arc<MessageRecord>,
}

impl Item {
    /// Reads an item and drops of it what nobody wants any more: all, where the message is gone or was taken back.
    fn read(draft: &mut Draft<'_>, work: WorkId) -> Found<Option<Self>> {
        let Some(mut entry) = draft.entry::<FetchEntry>(&work.key())? else {
            return Ok(None);
        };
        let message = draft
            .message(entry.channel, entry.message)?
            .filter(|message| message.changes.deleted_at.is_none());
        let Some(message) = message else {
            draft.put(FetchEntry::remove(work.key().to_vec()));
            return Ok(None);
        };
        entry.files.retain(|file| {
            message.attachments.iter().any(|attachment| {
                attachment.id == file.attachment
                    && matches!(
                        attachment.bytes,
                        AttachmentBytes::Remote(_)
                            | AttachmentBytes::Handle(_)
                            | AttachmentBytes::Failed(_)
                    )
            })
        });
        Ok(Some(Self { entry, message }))
    }

    fn attachment(&self, id: AttachmentId) -> Option<&AttachmentRecord> {
        let mut attachments = self.message.attachments.iter();
        attachments.find(|attachment| attachment.id == id)
    }

    /// Writes what is left of it.
    fn keep(&self, draft: &mut Draft<'_>) -> Next {
        let key = self.entry.id.key().to_vec();
        if self.entry.files.is_empty() {
            draft.put(FetchEntry::remove(key));
            Next::Done
        } else {
            draft.put(self.entry.put(key));
            Next::At(self.entry.due_at())
        }
    }

    /// Changes an attachment of the message, where that is news; bytes that are here now can be read from then on.
    fn settle(
        &mut self,
        draft: &mut Draft<'_>,
        id: AttachmentId,
        change: impl FnOnce(&mut AttachmentRecord),
    ) -> Found<()> {
        let conversation = draft.conversation(&Scope::whole_desk(), self.message.conversation)?;
        let Some(conversation) = conversation else {
            return Ok(());
        };
        let (mut message, mut conversation) = ((*self.message).clone(), (*conversation).clone());
        let Some(record) = message.attachments.iter_mut().find(|one| one.id == id) else {
            return Ok(());
        };
        let before = record.clone();
        change(record);
        if *record == before {
            return Ok(());
        }
        if let AttachmentBytes::Stored(content) = &record.bytes {
            let entry = AttachmentEntry {
                id,
                message: Some((message.channel, message.id)),
                owner: PLATFORM.to_owned(),
                content: content.clone(),
                name: record.name.clone(),
                mime_type: record.mime_type.clone().unwrap_or_default(),
                size: record.size.unwrap_or(0),
                created_at: draft.now(),
            };
            draft.put(entry.put(id.key().to_vec()));
        }
        message.version += 1;
        conversation.version += 1;
        conversations::show_last(&mut conversation, &message);
        self.message = Arc::new(message.clone());
        draft.update_message(message, conversation);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
