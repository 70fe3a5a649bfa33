//! Which rows hang on a primary row: what [`super::apply`] writes beside it. All of them follow from the record alone,
//! so that tables are made, and compared, from primary rows.

use serde::de::DeserializeOwned;

use super::key;
use crate::store::{ContactRecord, ConversationRecord, Found, MessageRecord, StoreError};

fn decoded<T: DeserializeOwned>(what: &str, value: &[u8]) -> Found<T> {
    rmp_serde::from_slice(value).map_err(|error| {
        StoreError::Unreadable(format!(
            "a row of {what} is whole, but not understood ({error}): a newer Deskbell may have written it; run that one"
        ))
    })
}

/// Shows each row that hangs on a primary row to `put`.
pub(super) fn hanging_rows(
    primary: &[u8],
    value: &[u8],
    mut put: impl FnMut(Vec<u8>, Vec<u8>) -> Found<()>,
) -> Found<()> {
    match primary.first() {
        Some(b'm') => {
            let message: MessageRecord = decoded("messages", value)?;
            put(
                key::order(message.conversation, message.place()),
                message.channel.0.to_be_bytes().to_vec(),
            )?;
            for name in message.external_ids() {
                let name = key::message_name(message.channel, name);
                put(name, message.id.key().to_vec())?;
            }
            Ok(())
        }
        Some(b'c') => {
            let conversation: ConversationRecord = decoded("conversations", value)?;
            put(
                key::thread(conversation.channel, &conversation.thread),
                conversation.id.key().to_vec(),
            )?;
            put(
                key::contact_conversation(conversation.contact, conversation.id),
                conversation.channel.0.to_be_bytes().to_vec(),
            )
        }
        Some(b'p') => {
            let contact: ContactRecord = decoded("contacts", value)?;
            for identity in &contact.identities {
                put(
                    key::identity(identity.channel, &identity.external_id),
                    contact.id.key().to_vec(),
                )?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// The primary row that a hanging row belongs to, as far as it tells: the key's own ids, and the value's.
pub(super) fn owner_of(row: &[u8], value: &[u8]) -> Option<Vec<u8>> {
    let (kind, rest) = row.split_first()?;
    match kind {
        // conversation(8) place(24), which ends in the message's id; the value is its channel.
        b'o' => owner(b'm', value.get(..2)?, rest.get(24..32)?),
        // channel(2) hash; the value is the message's id.
        b'x' => owner(b'm', rest.get(..2)?, value.get(..8)?),
        b't' => owner(b'c', &[], value.get(..8)?),
        b'P' => owner(b'c', &[], rest.get(8..16)?),
        b'q' => owner(b'p', &[], value.get(..8)?),
        _ => None,
    }
}

fn owner(kind: u8, channel: &[u8], id: &[u8]) -> Option<Vec<u8>> {
    let mut key = vec![kind];
    key.extend_from_slice(channel);
    key.extend_from_slice(id);
    Some(key)
}

/// Whether two values of a primary row are the same record: an older daemon may have written it with fewer fields.
pub(super) fn same_record(primary: &[u8], one: &[u8], other: &[u8]) -> bool {
    fn same<T: DeserializeOwned + PartialEq>(one: &[u8], other: &[u8]) -> bool {
        match (
            rmp_serde::from_slice::<T>(one),
            rmp_serde::from_slice::<T>(other),
        ) {
            (Ok(one), Ok(other)) => one == other,
            _ => false,
        }
    }
    one == other
        || match primary.first() {
            Some(b'm') => same::<MessageRecord>(one, other),
            Some(b'c') => same::<ConversationRecord>(one, other),
            Some(b'p') => same::<ContactRecord>(one, other),
            _ => false,
        }
}
