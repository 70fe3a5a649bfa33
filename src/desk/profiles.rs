//! Who writes: the names and pictures that platforms give when they are asked.
//!
//! A person is looked up with the first message and then at most once a week when they write again. No arrival waits
//! for it. A name that a person of the shop gave stands.

use deskbell_sdk::Time;

use super::{Decision, Next, contacts, doubled};
use crate::id::{ContactId, WorkId};
use crate::store::Found;
use crate::store::draft::Draft;
use crate::store::entry::{Entry, LookupEntry, ProfileEntry, SettingEntry, external_key};
use crate::store::record::{AvatarRecord, ChannelNo};

/// How old what a platform told may become, in milliseconds: a week.
const FRESH_FOR_MS: i64 = 7 * 24 * 60 * 60 * 1000;
/// The first retry, in milliseconds; each further one waits twice as long, up to [`LONGEST_WAIT_MS`].
const FIRST_WAIT_MS: i64 = 5 * 1000;
/// The longest wait between two attempts: an hour, in milliseconds.
const LONGEST_WAIT_MS: i64 = 60 * 60 * 1000;
/// How long one look-up is tried: a day, in milliseconds. The next comes when the person writes again after a week.
const TRIED_FOR_MS: i64 = 24 * 60 * 60 * 1000;

/// The key of the note that a channel's platform can be asked who people are.
fn note_key(channel: ChannelNo) -> Vec<u8> {
    format!("profiles/{}", channel.0).into_bytes()
}

/// Notes whether a channel's platform can be asked who people are, so that arrivals know.
#[derive(Clone, Copy, Debug)]
pub struct NoteProfiles {
    /// The channel.
    pub channel: ChannelNo,
    /// Whether it can.
    pub can: bool,
}

impl Decision for NoteProfiles {
    type Answer = ();

    fn decide(&self, draft: &mut Draft<'_>) -> Found<()> {
        let key = note_key(self.channel);
        let known = draft.entry::<SettingEntry>(&key)?.is_some();
        if self.can && !known {
            let value = "yes".to_owned();
            draft.put(SettingEntry { value }.put(key));
        } else if known && !self.can {
            draft.put(SettingEntry::remove(key));
        }
        Ok(())
    }
}

/// Wants a person who has just written to be looked up, where that was not done lately.
pub fn want(
    draft: &mut Draft<'_>,
    channel: ChannelNo,
    person: &str,
    contact: ContactId,
    waiting_since: Time,
) -> Found<()> {
    if draft.entry::<SettingEntry>(&note_key(channel))?.is_none() {
        return Ok(());
    }
    let key = external_key(channel, person);
    let mut profile = draft.entry::<ProfileEntry>(&key)?.unwrap_or_default();
    let now = draft.now();
    let is_fresh = profile
        .looked_at
        .is_some_and(|at| now.as_millis() - at.as_millis() < FRESH_FOR_MS);
    if profile.pending.is_some() || is_fresh {
        return Ok(());
    }
    let id = WorkId(draft.new_id());
    profile.pending = Some(id);
    draft.put(profile.put(key));
    let entry = LookupEntry {
        id,
        channel,
        contact,
        person: person.to_owned(),
        waiting_since,
        attempts: 0,
        due_at: now,
        created_at: now,
    };
    draft.put(entry.put(id.key().to_vec()));
    Ok(())
}

/// Takes a look-up up: the attempt is on record before it is made.
#[derive(Clone, Copy, Debug)]
pub struct BeginLookup {
    /// The item.
    pub work: WorkId,
}

impl Decision for BeginLookup {
    /// Whom to look up; `None` where the item is done with.
    type Answer = Option<LookupEntry>;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<Option<LookupEntry>> {
        let Some(mut entry) = draft.entry::<LookupEntry>(&self.work.key())? else {
            return Ok(None);
        };
        entry.attempts += 1;
        // Where the daemon ends in the middle, this holds.
        entry.due_at = draft.now().plus_millis(wait_ms(entry.attempts, 1.0));
        draft.put(entry.put(self.work.key().to_vec()));
        Ok(Some(entry))
    }
}

/// What comes after a look-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// Nothing: the platform has said all that it says.
    Enough,
    /// Something failed that may pass; at the earliest after so many milliseconds.
    Again(Option<i64>),
    /// The platform could not be asked, which counts for nothing.
    Postponed(Time),
}

/// Records what a look-up brought.
#[derive(Clone, Debug)]
pub struct FinishLookup {
    /// The item.
    pub work: WorkId,
    /// The name, where it was told.
    pub name: Option<String>,
    /// The picture, where there is one and it is here.
    pub avatar: Option<AvatarRecord>,
    /// What comes next.
    pub after: After,
    /// Between 0 and 1: spreads the retries of many.
    pub jitter: f64,
}

impl Decision for FinishLookup {
    type Answer = Next;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<Next> {
        let Some(mut entry) = draft.entry::<LookupEntry>(&self.work.key())? else {
            return Ok(Next::Done);
        };
        contacts::told(
            draft,
            entry.contact,
            self.name.as_deref(),
            self.avatar.as_ref(),
        )?;
        let now = draft.now();
        let is_over = now.as_millis() - entry.created_at.as_millis() >= TRIED_FOR_MS;
        match self.after {
            After::Again(after_ms) if !is_over => {
                let spread = wait_ms(entry.attempts, self.jitter);
                let wait = after_ms.unwrap_or(0).saturating_add(spread);
                entry.due_at = now.plus_millis(wait);
            }
            After::Postponed(until) if !is_over => {
                entry.attempts = entry.attempts.saturating_sub(1);
                entry.due_at = until;
            }
            _ => {
                let profile = ProfileEntry {
                    pending: None,
                    looked_at: Some(now),
                };
                draft.put(profile.put(external_key(entry.channel, &entry.person)));
                draft.put(LookupEntry::remove(self.work.key().to_vec()));
                return Ok(Next::Done);
            }
        }
        draft.put(entry.put(self.work.key().to_vec()));
        Ok(Next::At(entry.due_at))
    }
}

/// How long until the next attempt, in milliseconds.
fn wait_ms(attempts: u32, jitter: f64) -> i64 {
    doubled(attempts, FIRST_WAIT_MS, LONGEST_WAIT_MS, jitter)
}

#[cfg(test)]
mod tests;
