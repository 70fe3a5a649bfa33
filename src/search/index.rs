//! The index: what is kept of messages and contacts, and how it is written.
//!
//! It keeps no text, only words and where they stand; what is shown is read from the store, by the reader's scope.

use tantivy::indexer::IndexWriterOptions;
use tantivy::merge_policy::LogMergePolicy;
use tantivy::schema::{
    FAST, Field, INDEXED, IndexRecordOption, NumericOptions, Schema, SchemaBuilder,
    TextFieldIndexing, TextOptions,
};
use tantivy::tokenizer::{PreTokenizedString, Token};
use tantivy::{
    Index, IndexReader, IndexSettings, IndexWriter, ReloadPolicy, TantivyDocument, Term,
};

use super::asked::phone_terms;
use super::folder::Folder;
use super::words::{RULES, words};
use crate::store::record::{ChannelNo, ContactRecord, MessageKind, MessageRecord};

/// Changes with the fields; [`RULES`] with the words. An index of another form is made again.
const FORM: u32 = 1;
/// What the writer keeps in memory before it writes it out, in bytes. The library takes no less than 15 MB.
const HEAP_BYTES: usize = 16_000_000;
/// So many words of a text are kept.
const MAX_WORDS: usize = 20_000;
/// So many words of all of a message's file names, or of a contact's ids.
const MAX_NAME_WORDS: usize = 500;
/// Segments with fewer documents than this are all alike to the policy that merges them.
const SMALL_SEGMENT: u32 = 1_000;
/// A segment of which so much was deleted is written anew.
const MUCH_DELETED: f32 = 0.2;

/// What a document is of.
pub(super) const MESSAGE: u64 = 0;
/// What a document is of.
pub(super) const CONTACT: u64 = 1;

/// The form that an index must have to be read.
pub(super) fn form() -> String {
    format!("{FORM}.{RULES}")
}

/// The fields of a document.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields {
    /// The id of the message or contact.
    pub(super) id: Field,
    /// [`MESSAGE`] or [`CONTACT`].
    pub(super) kind: Field,
    /// The channel of a message; those in which a contact is known.
    pub(super) channel: Field,
    /// When the message reached the daemon, or the contact was first seen; in milliseconds.
    pub(super) at: Field,
    /// What a message says.
    pub(super) text: Field,
    /// The names of its files.
    pub(super) files: Field,
    /// A contact's name.
    pub(super) name: Field,
    /// Its e-mail address.
    pub(super) email: Field,
    /// Its telephone number, in words and by its ends.
    pub(super) phone: Field,
    /// The remark on it.
    pub(super) remark: Field,
    /// Who it is at the platforms, each word with its channel before it: an id may be found by those only who may see
    /// the channel.
    pub(super) identity: Field,
}

impl Fields {
    fn of(schema: &mut SchemaBuilder) -> Self {
        let number = || NumericOptions::from(FAST);
        let text = || {
            TextOptions::default().set_indexing_options(
                TextFieldIndexing::default()
                    .set_tokenizer("raw")
                    .set_index_option(IndexRecordOption::WithFreqsAndPositions)
                    .set_fieldnorms(false),
            )
        };
        Self {
            id: schema.add_u64_field("id", number() | INDEXED),
            kind: schema.add_u64_field("kind", number()),
            channel: schema.add_u64_field("channel", number() | INDEXED),
            at: schema.add_i64_field("at", number()),
            text: schema.add_text_field("text", text()),
            files: schema.add_text_field("files", text()),
            name: schema.add_text_field("name", text()),
            email: schema.add_text_field("email", text()),
            phone: schema.add_text_field("phone", text()),
            remark: schema.add_text_field("remark", text()),
            identity: schema.add_text_field("identity", text()),
        }
    }

    /// The document of a message; `None` where there is nothing in it to find.
    pub(super) fn message(&self, message: &MessageRecord) -> Option<TantivyDocument> {
        if message.changes.deleted_at.is_some() || message.kind == MessageKind::Activity {
            return None;
        }
        let mut document = Writing::default();
        document.add(self.text, message.standing_text(), MAX_WORDS);
        let mut room = MAX_NAME_WORDS;
        for attachment in &message.attachments {
            room -= document.add(self.files, attachment.name.as_deref(), room);
        }
        let mut document = document.written()?;
        document.add_u64(self.id, message.id.0);
        document.add_u64(self.kind, MESSAGE);
        document.add_u64(self.channel, message.channel.0.into());
        document.add_i64(self.at, message.received_at.as_millis());
        Some(document)
    }

    /// The document of a contact; `None` where there is nothing in it to find.
    pub(super) fn contact(&self, contact: &ContactRecord) -> Option<TantivyDocument> {
        let mut document = Writing::default();
        document.add(self.name, contact.name.as_deref(), MAX_WORDS);
        document.add(self.email, contact.email.as_deref(), MAX_WORDS);
        document.add(self.remark, contact.remark.as_deref(), MAX_WORDS);
        if let Some(phone) = &contact.phone {
            document.add(self.phone, Some(phone), MAX_NAME_WORDS);
            document.add_terms(self.phone, phone_terms(phone));
        }
        let mut room = MAX_NAME_WORDS;
        for identity in &contact.identities {
            let of = |term: String| identity_term(identity.channel, &term);
            room -= document.add_as(self.identity, &identity.external_id, room, of);
        }
        let mut document = document.written()?;
        document.add_u64(self.id, contact.id.0);
        document.add_u64(self.kind, CONTACT);
        let mut channels: Vec<_> = contact
            .identities
            .iter()
            .map(|identity| identity.channel)
            .collect();
        channels.sort_unstable();
        channels.dedup();
        for channel in channels {
            document.add_u64(self.channel, channel.0.into());
        }
        document.add_i64(self.at, contact.created_at.as_millis());
        Some(document)
    }

    /// The document of a message or contact, for taking it out.
    pub(super) fn id_term(&self, id: u64) -> Term {
        Term::from_field_u64(self.id, id)
    }
}

/// A word of a platform's id, as it is kept. No word begins like it, since words have no colon.
pub(super) fn identity_term(channel: ChannelNo, term: &str) -> String {
    format!("{:04x}:{term}", channel.0)
}

/// A document that is being written.
#[derive(Default)]
struct Writing {
    document: TantivyDocument,
    has_words: bool,
}

impl Writing {
    /// Adds the words of a text, and says how many they were without those within others.
    fn add(&mut self, field: Field, text: Option<&str>, most: usize) -> usize {
        text.map_or(0, |text| self.add_as(field, text, most, |term| term))
    }

    fn add_as(
        &mut self,
        field: Field,
        text: &str,
        most: usize,
        of: impl Fn(String) -> String,
    ) -> usize {
        let words = words(text, most);
        let count = words.last().map_or(0, |last| last.position + 1);
        let tokens = words.into_iter().map(|word| Token {
            offset_from: word.start,
            offset_to: word.end,
            position: word.position,
            text: of(word.term),
            position_length: 1,
        });
        self.add_tokens(field, tokens.collect());
        count
    }

    /// Adds terms that stand apart from each other.
    fn add_terms(&mut self, field: Field, terms: Vec<String>) {
        let tokens = terms.into_iter().enumerate().map(|(number, text)| Token {
            offset_from: 0,
            offset_to: 0,
            position: 2 * number,
            text,
            position_length: 1,
        });
        self.add_tokens(field, tokens.collect());
    }

    fn add_tokens(&mut self, field: Field, tokens: Vec<Token>) {
        if tokens.is_empty() {
            return;
        }
        self.has_words = true;
        // Its text is for keeping, and none is kept.
        let tokens = PreTokenizedString {
            text: String::new(),
            tokens,
        };
        self.document.add_pre_tokenized_text(field, tokens);
    }

    fn written(self) -> Option<TantivyDocument> {
        self.has_words.then_some(self.document)
    }
}

/// An open index: its writer and its reader.
pub(super) struct Opened {
    pub(super) writer: IndexWriter,
    pub(super) reader: IndexReader,
    pub(super) fields: Fields,
    /// What the last commit said of itself.
    pub(super) payload: Option<String>,
}

/// Opens the index of a folder, or begins one.
pub(super) fn open(folder: &Folder) -> tantivy::Result<Opened> {
    let mut schema = Schema::builder();
    let fields = Fields::of(&mut schema);
    let index = Index::builder()
        .schema(schema.build())
        .settings(IndexSettings {
            docstore_compress_dedicated_thread: false,
            ..IndexSettings::default()
        })
        .open_or_create(folder.files()?)?;
    if let Some(damaged) = index.validate_checksum()?.into_iter().next() {
        return Err(tantivy::TantivyError::SystemError(format!(
            "{} is damaged",
            damaged.display()
        )));
    }
    let payload = index.load_metas()?.payload;
    let options = IndexWriterOptions::builder()
        .memory_budget_per_thread(HEAP_BYTES)
        .num_worker_threads(1)
        .num_merge_threads(1)
        .build();
    let writer: IndexWriter = index.writer_with_options(options)?;
    let mut policy = LogMergePolicy::default();
    policy.set_min_layer_size(SMALL_SEGMENT);
    policy.set_del_docs_ratio_before_merge(MUCH_DELETED);
    writer.set_merge_policy(Box::new(policy));
    let reader = index
        .reader_builder()
        .reload_policy(ReloadPolicy::Manual)
        .doc_store_cache_num_blocks(0)
        .try_into()?;
    Ok(Opened {
        writer,
        reader,
        fields,
        payload,
    })
}
