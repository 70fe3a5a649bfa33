//! Visitors of a website's chat: a token opens one thread and no other. Who logs in keeps what was begun as a stranger;
//! who logs out leaves nothing behind.

use deskbell_sdk::Time;

use super::Decision;
use crate::id::ConversationId;
use crate::store::draft::Draft;
use crate::store::entry::{Entry, Reservation, Visit, external_key};
use crate::store::record::ChannelNo;
use crate::store::{Found, Scope};

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
        let own = match &self.identity {
            Some(identity) => Some(self.thread_of(draft, identity)?),
            None => None,
        };
        let brought = self.brought(draft, now)?;
        let thread = match (brought, own) {
            (Some((hash, visit)), own) if is_same_person(&visit, own.as_ref()) => {
                if now < visit.created_at.plus_millis(RENEW_AFTER_MS) {
                    return Ok(Came {
                        visit,
                        new_token: false,
                    });
                }
                end(draft, hash, &visit, now.plus_millis(GRACE_MS));
                visit.thread
            }
            (Some((hash, visit)), Some(own)) if self.takes_along(draft, &visit, &own)? => {
                let conversation = visit.conversation;
                let reservation = Reservation {
                    conversation,
                    promised_at: now,
                };
                draft.put(reservation.put(self.key_of(&own.thread)));
                // Whoever sits down next in that browser must not come back to it as a stranger.
                end(draft, hash, &visit, now);
                visit.thread
            }
            (_, Some(own)) => own.thread,
            (_, None) => self.anonymous_thread.clone(),
        };
        let identity = self.identity.as_ref();
        let visit = Visit {
            channel: self.channel,
            conversation: self.conversation(draft, &thread)?,
            thread,
            origin: self.origin.clone(),
            identified: identity.is_some(),
            name: identity.and_then(|identity| identity.name.clone()),
            email: identity.and_then(|identity| identity.email.clone()),
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

/// Where a known customer's conversation is.
struct OwnThread {
    thread: String,
    /// Nothing was written in it, and nobody was promised it.
    is_unused: bool,
}

impl Come {
    /// The visit of the token that was brought, where it still works here and on this page.
    fn brought(&self, draft: &Draft<'_>, now: Time) -> Found<Option<(Vec<u8>, Visit)>> {
        let Some(hash) = &self.old_hash else {
            return Ok(None);
        };
        let visit = draft.entry::<Visit>(hash)?.filter(|visit| {
            visit.channel == self.channel && visit.origin == self.origin && now < visit.expires_at
        });
        Ok(visit.map(|visit| (hash.clone(), visit)))
    }

    fn key_of(&self, thread: &str) -> Vec<u8> {
        external_key(self.channel, thread)
    }

    /// A customer's thread: of the customer's own id, or the one that was begun as a stranger and taken along.
    fn thread_of(&self, draft: &Draft<'_>, identity: &ProvenIdentity) -> Found<OwnThread> {
        let thread = format!("user:{}", identity.id);
        let begun = draft.conversation_by_thread(self.channel, &thread)?;
        let reserved = draft.entry::<Reservation>(&self.key_of(&thread))?;
        let taken_along = match (&begun, &reserved) {
            (None, Some(Reservation { conversation, .. })) => {
                draft.conversation(&Scope::of_channels([self.channel]), *conversation)?
            }
            _ => None,
        };
        Ok(OwnThread {
            is_unused: begun.is_none() && reserved.is_none(),
            thread: taken_along.map_or(thread, |conversation| conversation.thread.clone()),
        })
    }

    /// Whether a stranger who logs in goes on in the conversation that was begun: a customer who never had one here.
    /// Else the shop's answers would go where nobody looks any more.
    fn takes_along(&self, draft: &Draft<'_>, visit: &Visit, own: &OwnThread) -> Found<bool> {
        let stranger = !visit.identified && own.is_unused;
        Ok(stranger
            && draft
                .conversation_by_thread(self.channel, &visit.thread)?
                .is_some())
    }

    fn conversation(&self, draft: &mut Draft<'_>, thread: &str) -> Found<ConversationId> {
        if let Some(conversation) = draft.conversation_by_thread(self.channel, thread)? {
            return Ok(conversation.id);
        }
        let key = self.key_of(thread);
        let conversation = match draft.entry::<Reservation>(&key)? {
            Some(reservation) => reservation.conversation,
            None => ConversationId(draft.new_id()),
        };
        // The promise lasts as long as the newest token that carries it.
        let reservation = Reservation {
            conversation,
            promised_at: draft.now(),
        };
        draft.put(reservation.put(key));
        Ok(conversation)
    }
}

/// Whether a visit is that of who comes now: of the same customer, or of the same stranger.
fn is_same_person(visit: &Visit, own: Option<&OwnThread>) -> bool {
    match own {
        Some(own) => visit.identified && visit.thread == own.thread,
        None => !visit.identified,
    }
}

/// Lets a token work no longer than until `at`.
fn end(draft: &mut Draft<'_>, hash: Vec<u8>, visit: &Visit, at: Time) {
    let mut ending = visit.clone();
    ending.expires_at = ending.expires_at.min(at);
    draft.put(ending.put(hash));
}

#[cfg(test)]
mod tests;
