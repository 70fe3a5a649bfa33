//! Writing what a store holds, stretch by stretch, while it goes on changing.
//!
//! First everything that was there when the export began, by its ids; then, from the log, whatever changed meanwhile.
//! What is written is therefore the desk as it stood at one moment, that of the last event: of what changed in between
//! there are several lines, and the newest version stands.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::fs::File;
use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use deskbell_sdk::Time;

use super::lines::{
    ChannelLine, ContactLine, ConversationLine, Counts, End, FileLine, Header, Line, MergedLine,
    MessageLine, PIECE_BYTES, VERSION,
};
use crate::blobs::Blobs;
use crate::channels::Channels;
use crate::id::{ContactId, ConversationId, MessageId};
use crate::store::change::EventBody;
use crate::store::entry::{ChannelEntry, Entry, MergedContact};
use crate::store::record::{AttachmentBytes, ChannelNo};
use crate::store::{
    ContactRecord, ConversationRecord, LogEvent, MessageRecord, Read, Scope, StoreError,
};

/// How many records are read at once.
const STRETCH: usize = 100;
/// About how many bytes are given out at once.
const CHUNK_BYTES: usize = 128 * 1024;

/// Why an export broke off.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file cannot be read, or changed while it was.
    #[error("the file {0} cannot be read: {1}")]
    File(String, std::io::Error),
    /// What changed meanwhile is no longer in the log.
    #[error("the log was cut while the export was written; export again")]
    LogGone,
}

/// What an export reads from.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// The desk.
    pub store: &'a dyn Read,
    /// The names of channels.
    pub channels: &'a Channels,
    /// The files.
    pub blobs: &'a Blobs,
}

impl std::fmt::Debug for Source<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Source")
    }
}

/// Where an export stands.
#[derive(Clone, Debug)]
enum Stage {
    Contacts { before: ContactId },
    Merged { after: Option<Vec<u8>> },
    Conversations { after: ConversationId },
    Messages { after: MessageId },
    Log { up_to: u64 },
    Done,
}

/// What is to be written next.
#[derive(Debug)]
enum Next {
    Line(Line),
    /// A file by its content, with its type.
    File(String, String),
    Piece(OpenFile),
}

/// A file of which some pieces are written.
#[derive(Debug)]
struct OpenFile {
    file: File,
    sha256: String,
    mime_type: String,
    size: u64,
    offset: u64,
}

/// An export that is being written.
#[derive(Debug)]
pub struct Exporter {
    scope: Scope,
    stage: Stage,
    /// The highest id that was given when it began: what is above it comes from the log.
    last_id: u64,
    /// Up to which event the log was read.
    log_read: u64,
    /// Up to which event it was looked for merged contacts, while contacts are written.
    merges_read: u64,
    next: VecDeque<Next>,
    counts: Counts,
    channels: BTreeSet<ChannelNo>,
    files: HashSet<String>,
    stretch: usize,
    chunk_bytes: usize,
}

impl Exporter {
    /// Begins an export of what the scope shows, at the time `now`.
    #[must_use]
    pub fn new(source: Source<'_>, scope: Scope, now: Time) -> Self {
        // The head before the ids: what is made in between is in both, and so missed by neither.
        let log_read = source.store.head();
        let last_id = source.store.last_id();
        let header = Header {
            version: VERSION,
            exported_at: now,
            daemon: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let mut exporter = Self {
            scope,
            stage: Stage::Contacts {
                before: ContactId(last_id.saturating_add(1)),
            },
            last_id,
            log_read,
            merges_read: log_read,
            next: VecDeque::from([Next::Line(Line::Header(header))]),
            counts: Counts::default(),
            channels: BTreeSet::new(),
            files: HashSet::new(),
            stretch: STRETCH,
            chunk_bytes: CHUNK_BYTES,
        };
        for channel in source.channels.all_known() {
            exporter.channel(source, channel.no);
        }
        exporter
    }

    /// The same in small steps: so many records and bytes at once.
    #[cfg(test)]
    pub(crate) fn in_steps(mut self, records: usize, bytes: usize) -> Self {
        self.stretch = records;
        self.chunk_bytes = bytes;
        self
    }

    /// The next lines, about 128 KiB of them, or 1.4 MiB where they hold a piece of a file; `None` at the end.
    ///
    /// # Errors
    /// Where something cannot be read. The export is then to be begun anew.
    pub fn next_chunk(&mut self, source: Source<'_>) -> Result<Option<Vec<u8>>, ExportError> {
        let mut chunk = Vec::new();
        while chunk.len() < self.chunk_bytes {
            match self.next.pop_front() {
                Some(Next::Line(line)) => self.write(&mut chunk, &line),
                Some(Next::File(sha256, mime_type)) => self.open(source, sha256, mime_type)?,
                Some(Next::Piece(file)) => self.piece(&mut chunk, file)?,
                None if matches!(self.stage, Stage::Done) => break,
                None => self.read_on(source)?,
            }
        }
        Ok((!chunk.is_empty()).then_some(chunk))
    }

    fn write(&mut self, chunk: &mut Vec<u8>, line: &Line) {
        self.counts.count(line);
        // Lines are plain data, and a vector takes all that is written to it.
        if let Err(error) = serde_json::to_writer(&mut *chunk, line) {
            tracing::error!(%error, "a line of an export cannot be written");
        }
        chunk.push(b'\n');
    }

    /// Reads the next stretch.
    fn read_on(&mut self, source: Source<'_>) -> Result<(), ExportError> {
        let store = source.store;
        match self.stage.clone() {
            Stage::Contacts { before } => {
                let contacts = store.contacts(&self.scope, Some(before), self.stretch)?;
                // One that was merged after it was written is to be gone before the other comes with its identities.
                self.merged_meanwhile(source)?;
                self.stage = match contacts.last() {
                    Some(last) => Stage::Contacts { before: last.id },
                    None => Stage::Merged { after: None },
                };
                for contact in &contacts {
                    self.contact(source, contact);
                }
            }
            Stage::Merged { after } => {
                let merged = MergedContact::scan(store, &[], after.as_deref(), self.stretch)?;
                self.stage = match merged.last() {
                    Some((key, _)) => Stage::Merged {
                        after: Some(key.clone()),
                    },
                    None => Stage::Conversations {
                        after: ConversationId(0),
                    },
                };
                for (key, entry) in merged {
                    if let Ok(id) = key.as_slice().try_into().map(u64::from_be_bytes) {
                        self.line(Line::MergedContact(MergedLine::of(ContactId(id), &entry)));
                    }
                }
            }
            Stage::Conversations { after } => {
                let mut stretch = store.conversations_after(&self.scope, after, self.stretch)?;
                stretch.retain(|conversation| conversation.id.0 <= self.last_id);
                self.stage = match stretch.last() {
                    Some(last) => Stage::Conversations { after: last.id },
                    None => Stage::Messages {
                        after: MessageId(0),
                    },
                };
                for conversation in &stretch {
                    // Its contact may be younger than the export: it was merged, or the id was promised before.
                    if conversation.contact.0 > self.last_id
                        && let Some(contact) = store.contact(&self.scope, conversation.contact)?
                    {
                        self.contact(source, &contact);
                    }
                    self.conversation(source, conversation);
                }
            }
            Stage::Messages { after } => {
                let mut stretch = store.messages_after(&self.scope, after, self.stretch)?;
                stretch.retain(|message| message.id.0 <= self.last_id);
                self.stage = match stretch.last() {
                    Some(last) => Stage::Messages { after: last.id },
                    None => Stage::Log {
                        up_to: store.head(),
                    },
                };
                for message in &stretch {
                    self.message(source, message);
                }
            }
            Stage::Log { up_to } => self.log(source, up_to)?,
            Stage::Done => {}
        }
        Ok(())
    }

    /// Reads on in the log; at `up_to` the export ends.
    fn log(&mut self, source: Source<'_>, up_to: u64) -> Result<(), ExportError> {
        if self.log_read >= up_to {
            self.stage = Stage::Done;
            // Nothing waits where the next stretch is read, so that all is counted.
            let counts = self.counts;
            self.line(Line::End(End { counts }));
            return Ok(());
        }
        for event in events(source, self.log_read, self.stretch)? {
            if event.seq > up_to {
                self.log_read = up_to;
                break;
            }
            self.log_read = event.seq;
            let seen = |channel: &ChannelNo| self.scope.allows(*channel);
            if !event.body.channels().iter().any(seen) {
                continue;
            }
            match &event.body {
                EventBody::MessageCreated {
                    message,
                    conversation,
                }
                | EventBody::MessageUpdated {
                    message,
                    conversation,
                } => {
                    self.conversation(source, conversation);
                    self.message(source, message);
                }
                EventBody::ConversationCreated { conversation }
                | EventBody::ConversationUpdated { conversation } => {
                    self.conversation(source, conversation);
                }
                EventBody::ContactCreated { contact } | EventBody::ContactUpdated { contact } => {
                    self.contact(source, contact);
                }
                EventBody::ContactDeleted { contact, .. } => self.merged(source, *contact)?,
                EventBody::ChannelHealth { .. }
                | EventBody::BellRung { .. }
                | EventBody::BellAcknowledged { .. } => {}
            }
        }
        Ok(())
    }

    /// Tells of contacts that were merged since the export began. They are told again from the log.
    fn merged_meanwhile(&mut self, source: Source<'_>) -> Result<(), ExportError> {
        let head = source.store.head();
        while self.merges_read < head {
            for event in events(source, self.merges_read, self.stretch)? {
                self.merges_read = event.seq;
                if let EventBody::ContactDeleted { contact, .. } = event.body {
                    self.merged(source, contact)?;
                }
            }
        }
        Ok(())
    }

    fn merged(&mut self, source: Source<'_>, contact: ContactId) -> Result<(), ExportError> {
        if let Some(entry) = MergedContact::get(source.store, &contact.key())? {
            self.line(Line::MergedContact(MergedLine::of(contact, &entry)));
        }
        Ok(())
    }

    fn line(&mut self, line: Line) {
        self.next.push_back(Next::Line(line));
    }

    /// The slug of a channel; its line comes before the first that names it.
    fn channel(&mut self, source: Source<'_>, no: ChannelNo) -> String {
        let known = source.channels.known(no);
        let slug = known
            .as_ref()
            .map_or_else(|| format!("channel-{}", no.0), |entry| entry.id.clone());
        if self.scope.allows(no) && self.channels.insert(no) {
            let line = known.map_or_else(
                || {
                    ChannelLine::of(&ChannelEntry {
                        no,
                        id: slug.clone(),
                        connector: String::new(),
                        name: slug.clone(),
                        created_at: Time::default(),
                    })
                },
                |entry| ChannelLine::of(&entry),
            );
            self.line(Line::Channel(line));
        }
        slug
    }

    fn contact(&mut self, source: Source<'_>, contact: &ContactRecord) {
        let mut seen = contact.clone();
        seen.identities
            .retain(|identity| self.scope.allows(identity.channel));
        for identity in &seen.identities {
            self.channel(source, identity.channel);
        }
        if let Some(avatar) = &seen.avatar {
            self.file(&avatar.content, Some(&avatar.mime_type));
        }
        let line = ContactLine::of(&seen, |no| self.channel_name(source, no));
        self.line(Line::Contact(line));
    }

    fn channel_name(&self, source: Source<'_>, no: ChannelNo) -> String {
        source
            .channels
            .known(no)
            .map_or_else(|| format!("channel-{}", no.0), |entry| entry.id.clone())
    }

    fn conversation(&mut self, source: Source<'_>, conversation: &ConversationRecord) {
        let slug = self.channel(source, conversation.channel);
        let line = ConversationLine::of(conversation, slug);
        self.line(Line::Conversation(Box::new(line)));
    }

    fn message(&mut self, source: Source<'_>, message: &MessageRecord) {
        let slug = self.channel(source, message.channel);
        if message.changes.deleted_at.is_none() {
            for attachment in &message.attachments {
                if let AttachmentBytes::Stored(content) = &attachment.bytes {
                    self.file(content, attachment.mime_type.as_deref());
                }
            }
        }
        let mut line = MessageLine::of(message, slug);
        line.forget_what_was_taken_back();
        self.line(Line::Message(Box::new(line)));
    }

    /// A file comes before the first line that names it, once.
    fn file(&mut self, content: &str, mime_type: Option<&str>) {
        if self.files.insert(content.to_owned()) {
            let mime_type = mime_type.unwrap_or("application/octet-stream").to_owned();
            self.next
                .push_back(Next::File(content.to_owned(), mime_type));
        }
    }

    /// Opens a file, whose pieces come next. One that is not there is passed over: its message says what it was.
    fn open(
        &mut self,
        source: Source<'_>,
        sha256: String,
        mime_type: String,
    ) -> Result<(), ExportError> {
        let opened = source
            .blobs
            .open_file(&sha256)
            .and_then(|file| Ok((file.metadata()?.len(), file)));
        match opened {
            Ok((size, file)) => self.next.push_front(Next::Piece(OpenFile {
                file,
                sha256,
                mime_type,
                size,
                offset: 0,
            })),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                tracing::error!(file = %sha256, "a file of a message is missing, and so it is in the export");
            }
            Err(error) => return Err(ExportError::File(sha256, error)),
        }
        Ok(())
    }

    /// Writes the next piece of a file.
    fn piece(&mut self, chunk: &mut Vec<u8>, mut open: OpenFile) -> Result<(), ExportError> {
        let mut bytes = Vec::new();
        let read = (&mut open.file)
            .take(PIECE_BYTES as u64)
            .read_to_end(&mut bytes);
        if let Err(error) = read {
            return Err(ExportError::File(open.sha256, error));
        }
        let offset = open.offset;
        open.offset += bytes.len() as u64;
        if bytes.is_empty() && open.offset < open.size {
            let error = std::io::ErrorKind::UnexpectedEof.into();
            return Err(ExportError::File(open.sha256, error));
        }
        let line = Line::File(FileLine {
            sha256: open.sha256.clone(),
            mime_type: open.mime_type.clone(),
            size: open.size,
            offset,
            data: BASE64.encode(&bytes),
        });
        self.write(chunk, &line);
        if open.offset < open.size {
            self.next.push_front(Next::Piece(open));
        }
        Ok(())
    }
}

/// Some events after `after`, of which there is at least one.
fn events(source: Source<'_>, after: u64, most: usize) -> Result<Vec<LogEvent>, ExportError> {
    let events = source.store.events(after, most)?;
    match events.first() {
        Some(first) if first.seq == after + 1 => Ok(events),
        _ => Err(ExportError::LogGone),
    }
}
