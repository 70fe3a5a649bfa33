//! A desk that came from a backup: nothing goes out until somebody says so, and what was to go out then may have gone
//! already, by the desk that the backup is of (K07).

use deskbell_sdk::Time;
use serde::{Deserialize, Serialize};

use super::Decision;
use crate::id::WorkId;
use crate::store::draft::Draft;
use crate::store::entry::{Entry, SettingEntry, WorkEntry, WorkState};
use crate::store::{Found, Put, Read, StoreError};

const SETTING: &[u8] = b"restored";

/// Since when nothing goes out, and from what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// When the backup was made.
    pub backup_of: Time,
    /// When it was restored.
    pub restored_at: Time,
}

impl Restored {
    /// What the desk is that `store` holds; `None` where it is not held.
    pub fn of<R: Read + ?Sized>(store: &R) -> Found<Option<Self>> {
        let setting = SettingEntry::get(store, SETTING)?;
        setting.map(|setting| Self::read(&setting)).transpose()
    }

    fn read(setting: &SettingEntry) -> Found<Self> {
        serde_json::from_str(&setting.value)
            .map_err(|error| StoreError::Unreadable(format!("what was restored: {error}")))
    }

    /// The entry that holds the desk.
    #[must_use]
    pub fn put(self) -> Put {
        let Self {
            backup_of,
            restored_at,
        } = self;
        let value = serde_json::json!({ "backup_of": backup_of, "restored_at": restored_at });
        SettingEntry {
            value: value.to_string(),
        }
        .put(SETTING.to_vec())
    }
}

/// Somebody says that the desk goes on: what waits to be sent is looked for at the platforms first.
#[derive(Clone, Debug)]
pub struct GoOn {
    /// The answers that wait.
    pub waiting: Vec<WorkId>,
}

impl Decision for GoOn {
    /// How many answers may have been sent already; `None` where the desk was not held.
    type Answer = Option<usize>;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<Self::Answer> {
        let Some(setting) = draft.entry::<SettingEntry>(SETTING)? else {
            return Ok(None);
        };
        let restored = Restored::read(&setting)?;
        let mut in_doubt = 0;
        for work in &self.waiting {
            let key = work.key().to_vec();
            let Some(mut entry) = draft.entry::<WorkEntry>(&key)? else {
                continue;
            };
            // What was written after the restore has not left.
            if entry.created_at > restored.restored_at {
                continue;
            }
            in_doubt += 1;
            if let WorkState::Waiting { attempts } = entry.state {
                // As after a crash in the middle of an attempt.
                entry.state = WorkState::Attempting {
                    attempts: attempts + 1,
                    since: entry.created_at,
                };
                entry.due_at = draft.now();
                draft.put(entry.put(key));
            }
        }
        draft.put(SettingEntry::remove(SETTING.to_vec()));
        Ok(Some(in_doubt))
    }

    fn weight(&self) -> usize {
        1024 + 16 * self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desk::testing::{BASE_MS, Desk};
    use crate::id::{ConversationId, MessageId};
    use crate::store::entry::PartRecord;
    use crate::store::record::ChannelNo;
    use crate::store::{Group, Store as _};

    fn work(id: u64, created_at: Time) -> WorkEntry {
        WorkEntry {
            id: WorkId(id),
            channel: ChannelNo(1),
            conversation: ConversationId(1),
            message: MessageId(id),
            parts: vec![PartRecord::Text("an answer".to_owned())],
            next_part: 0,
            state: WorkState::Waiting { attempts: 0 },
            due_at: created_at,
            created_at,
            looking_since: None,
        }
    }

    #[test]
    fn k07_what_a_backup_was_about_to_send_is_looked_for_and_not_sent_blindly() {
        let mut desk = Desk::new();
        let restored_at = Time::from_millis(BASE_MS);
        let restored = Restored {
            backup_of: restored_at.plus_millis(-1_000),
            restored_at,
        };
        let (old, new) = (
            work(1, restored_at.plus_millis(-5_000)),
            work(2, restored_at.plus_millis(5_000)),
        );
        let group = Group {
            puts: vec![
                restored.put(),
                old.put(old.id.key().to_vec()),
                new.put(new.id.key().to_vec()),
            ],
            ..Group::default()
        };
        desk.store.commit(group).expect("memory");
        assert_eq!(Restored::of(&desk.store).expect("memory"), Some(restored));
        let waiting = vec![WorkId(1), WorkId(2), WorkId(3)];
        let answers = desk.decide(&[GoOn {
            waiting: waiting.clone(),
        }]);
        assert_eq!(answers, [Some(1)]);
        let state = |id: u64| {
            let entry = WorkEntry::get(&desk.store, &WorkId(id).key()).expect("memory");
            entry.expect("waits").state
        };
        let since = restored_at.plus_millis(-5_000);
        assert_eq!(state(1), WorkState::Attempting { attempts: 1, since });
        assert_eq!(state(2), WorkState::Waiting { attempts: 0 });
        assert_eq!(Restored::of(&desk.store).expect("memory"), None);
        assert_eq!(desk.decide(&[GoOn { waiting }]), [None]);
    }
}
