//! Who gets in: tokens, sessions, and the numbers of channels.

use deskbell_sdk::Time;

use super::Decision;
use crate::id::AttachmentId;
use crate::id::{QuarantineId, SessionId, TokenId};
use crate::store::draft::Draft;
use crate::store::entry::{
    AttachmentEntry, ChannelEntry, Entry, QuarantineEntry, SessionEntry, TokenEntry,
};
use crate::store::record::ChannelNo;
use crate::store::{Found, Put, RawDelivery, Table};

/// Makes a token.
#[derive(Clone, Debug)]
pub struct MakeToken {
    /// The hash of the token.
    pub hash: Vec<u8>,
    /// All but its id and time.
    pub token: TokenEntry,
}

impl Decision for MakeToken {
    type Answer = TokenEntry;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<TokenEntry> {
        if let Some(made) = draft.entry::<TokenEntry>(&self.hash)? {
            return Ok(made);
        }
        let id = TokenId(draft.new_id());
        let token = TokenEntry {
            id,
            created_at: draft.now(),
            ..self.token.clone()
        };
        draft.put(token.put(self.hash.clone()));
        Ok(token)
    }
}

/// Begins an administrator's session of nobody in particular, by the set-up link.
#[derive(Clone, Debug)]
pub struct BeginSession {
    /// The hash of the cookie.
    pub hash: Vec<u8>,
    /// How long it works, in milliseconds.
    pub works_for_ms: i64,
}

impl Decision for BeginSession {
    type Answer = SessionEntry;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<SessionEntry> {
        let now = draft.now();
        let session = SessionEntry {
            id: SessionId(draft.new_id()),
            user: None,
            created_at: now,
            expires_at: now.plus_millis(self.works_for_ms),
            generation: 0,
            last_seen_at: Some(now),
            address: None,
            agent: None,
        };
        draft.put(session.put(self.hash.clone()));
        Ok(session)
    }
}

/// Removes an entry of a side table: a token, a session.
#[derive(Clone, Debug)]
pub struct Remove {
    /// The table.
    pub table: Table,
    /// The key.
    pub key: Vec<u8>,
}

impl Decision for Remove {
    type Answer = ();

    fn decide(&self, draft: &mut Draft<'_>) -> Found<()> {
        draft.put(Put {
            table: self.table,
            key: self.key.clone(),
            value: None,
        });
        Ok(())
    }
}

/// Keeps an upload until it is put into a message.
#[derive(Clone, Debug)]
pub struct KeepUpload {
    /// All but its id and time.
    pub upload: AttachmentEntry,
}

impl Decision for KeepUpload {
    type Answer = AttachmentEntry;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<AttachmentEntry> {
        let id = AttachmentId(draft.new_id());
        let upload = AttachmentEntry {
            id,
            created_at: draft.now(),
            ..self.upload.clone()
        };
        draft.put(upload.put(id.key().to_vec()));
        Ok(upload)
    }
}

/// Gives a channel its number, once and for ever.
#[derive(Clone, Debug)]
pub struct OpenChannel {
    /// The slug.
    pub id: String,
    /// The connector.
    pub connector: String,
    /// The name.
    pub name: String,
    /// A number that no channel has, should the slug be new.
    pub free: ChannelNo,
}

impl Decision for OpenChannel {
    type Answer = ChannelEntry;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<ChannelEntry> {
        let key = self.id.as_bytes().to_vec();
        let known = draft.entry::<ChannelEntry>(&key)?;
        let entry = ChannelEntry {
            no: known.as_ref().map_or(self.free, |known| known.no),
            id: self.id.clone(),
            connector: self.connector.clone(),
            name: self.name.clone(),
            created_at: known.as_ref().map_or(draft.now(), |known| known.created_at),
        };
        if known.as_ref() != Some(&entry) {
            draft.put(entry.put(key));
        }
        Ok(entry)
    }
}

/// Keeps a whole delivery that was signed and could not be taken apart.
#[derive(Clone, Debug)]
pub struct Quarantine {
    /// The channel.
    pub channel: ChannelNo,
    /// When it came.
    pub received_at: Time,
    /// What was wrong.
    pub why: String,
    /// It.
    pub raw: String,
    /// The same as it came, so that it can be decoded again.
    pub delivery: Option<RawDelivery>,
}

impl Decision for Quarantine {
    type Answer = QuarantineId;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<QuarantineId> {
        let id = QuarantineId(draft.new_id());
        let entry = QuarantineEntry {
            id,
            channel: self.channel,
            received_at: self.received_at,
            why: self.why.clone(),
            raw: self.raw.clone(),
        };
        draft.put(entry.put(id.key().to_vec()));
        if let Some(delivery) = &self.delivery {
            draft.keep_raw(delivery.clone());
        }
        Ok(id)
    }

    fn weight(&self) -> usize {
        1024 + self.raw.len() * 2
    }
}

/// A channel works, or no longer does.
#[derive(Clone, Debug)]
pub struct TellHealth {
    /// Which.
    pub channel: ChannelNo,
    /// `true`: it works.
    pub healthy: bool,
    /// What is wrong and what to do.
    pub detail: String,
}

impl Decision for TellHealth {
    type Answer = ();

    fn decide(&self, draft: &mut Draft<'_>) -> Found<()> {
        draft.channel_health(self.channel, self.healthy, self.detail.clone());
        Ok(())
    }
}
