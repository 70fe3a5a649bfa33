//! Visitors of a website's chat: a token opens one thread and no other.

use deskbell_sdk::Time;

use super::Decision;
use crate::id::ConversationId;
use crate::store::Found;
use crate::store::draft::Draft;
use crate::store::entry::{Entry, Reservation, Visit, external_key};
use crate::store::record::ChannelNo;

/// How long a token works: 30 days, in milliseconds.
pub const VISIT_MS: i64 = 30 * 24 * 60 * 60 * 1000;
/// From which age a token is replaced when its visitor comes back: a day, in milliseconds.
const RENEW_AFTER_MS: i64 = 24 * 60 * 60 * 1000;
/// How long a replaced token works on, for other tabs: an hour, in milliseconds.
const GRACE_MS: i64 = 60 * 60 * 1000;

/// A visitor comes, or comes back.
#[derive(Clone, Debug)]
pub struct Come {
    /// The channel.
    pub channel: ChannelNo,
    /// The origin of the page; empty where the request named none.
    pub origin: String,
    /// The hash of the new token.
    pub new_hash: Vec<u8>,
    /// The hash of the token that the visitor brought.
    pub old_hash: Option<Vec<u8>>,
    /// Who it is, where that was proven.
    pub identity: Option<ProvenIdentity>,
    /// What makes an anonymous visitor's thread, unguessable.
    pub anonymous_thread: String,
}

/// A logged-in customer whose page proved the id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProvenIdentity {
    /// The shop's id of the customer.
    pub id: String,
    /// The name.
    pub name: Option<String>,
    /// The e-mail address.
    pub email: Option<String>,
}

/// What a visitor got.
#[derive(Clone, Debug)]
pub struct Came {
    /// The visit.
    pub visit: Visit,
    /// Whether the new token stands; where not, the one that was brought works on.
    pub new_token: bool,
}

impl Decision for Come {
    type Answer = Came;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<Came> {
        let now = draft.now();
        let brought = match &self.old_hash {
            Some(hash) => draft
                .entry::<Visit>(hash)?
                .filter(|visit| self.continues(visit, now)),
            None => None,
        };
        if let (Some(visit), Some(hash)) = (&brought, &self.old_hash) {
            if now < visit.created_at.plus_millis(RENEW_AFTER_MS) {
                return Ok(Came {
                    visit: visit.clone(),
                    new_token: false,
                });
            }
            let mut ending = visit.clone();
            ending.expires_at = ending.expires_at.min(now.plus_millis(GRACE_MS));
            draft.put(ending.put(hash.clone()));
        }
        let thread = match (&brought, &self.identity) {
            (Some(visit), _) => visit.thread.clone(),
            (None, Some(identity)) => format!("user:{}", identity.id),
            (None, None) => self.anonymous_thread.clone(),
        };
        let visit = Visit {
            channel: self.channel,
            conversation: self.conversation(draft, &thread)?,
            thread,
            origin: self.origin.clone(),
            identified: self.identity.is_some(),
            name: self
                .identity
                .as_ref()
                .and_then(|identity| identity.name.clone()),
            email: self
                .identity
                .as_ref()
                .and_then(|identity| identity.email.clone()),
            created_at: now,
            expires_at: now.plus_millis(VISIT_MS),
        };
        draft.put(visit.put(self.new_hash.clone()));
        Ok(Came {
            visit,
            new_token: true,
        })
    }
}

impl Come {
    /// Whether a token that was brought is the same visitor's, from the same page, and still works.
    fn continues(&self, visit: &Visit, now: Time) -> bool {
        let same_person = match &self.identity {
            Some(identity) => visit.identified && visit.thread == format!("user:{}", identity.id),
            None => !visit.identified,
        };
        visit.channel == self.channel
            && visit.origin == self.origin
            && now < visit.expires_at
            && same_person
    }

    fn conversation(&self, draft: &mut Draft<'_>, thread: &str) -> Found<ConversationId> {
        if let Some(conversation) = draft.conversation_by_thread(self.channel, thread)? {
            return Ok(conversation.id);
        }
        let key = external_key(self.channel, thread);
        if let Some(reservation) = draft.entry::<Reservation>(&key)? {
            return Ok(reservation.conversation);
        }
        let conversation = ConversationId(draft.new_id());
        draft.put(Reservation { conversation }.put(key));
        Ok(conversation)
    }
}
