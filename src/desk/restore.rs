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

    /// What holds the desk that `store` was restored into: the entry that says so, and each answer that waits as it would
    /// stand after a crash in the middle of its attempt. From the first moment on: what a platform tells of an answer that
    /// has left must find it in doubt, else it would become a second message, and the answer would go out once more.
    ///
    /// # Errors
    /// Where the store cannot be read.
    pub fn hold<R: Read + ?Sized>(self, store: &R) -> Found<Vec<Put>> {
        let Self {
            backup_of,
            restored_at,
        } = self;
        let value = serde_json::json!({ "backup_of": backup_of, "restored_at": restored_at });
        let setting = SettingEntry {
            value: value.to_string(),
        };
        let mut puts = vec![setting.put(SETTING.to_vec())];
        for (key, mut entry) in WorkEntry::scan(store, &[], None, usize::MAX)? {
            if let WorkState::Waiting { attempts } = entry.state {
                entry.state = WorkState::Attempting {
                    attempts: attempts + 1,
                    since: entry.created_at,
                };
                entry.due_at = restored_at;
                puts.push(entry.put(key));
            }
        }
        Ok(puts)
    }
}

/// Somebody says that the desk goes on.
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
            let entry = draft.entry::<WorkEntry>(&work.key())?;
            // What was written after the restore has not left.
            in_doubt +=
                usize::from(entry.is_some_and(|entry| entry.created_at <= restored.restored_at));
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
        let keep = |desk: &Desk, puts: Vec<Put>| {
            let group = Group {
                puts,
                ..Group::default()
            };
            desk.store.commit(group).expect("memory");
        };
        keep(&desk, vec![old.put(old.id.key().to_vec())]);
        let holding = restored.hold(&desk.store).expect("memory");
        keep(&desk, holding);
        keep(&desk, vec![new.put(new.id.key().to_vec())]);
        assert_eq!(Restored::of(&desk.store).expect("memory"), Some(restored));
        let state = |desk: &Desk, id: u64| {
            let entry = WorkEntry::get(&desk.store, &WorkId(id).key()).expect("memory");
            entry.expect("waits").state
        };
        let since = restored_at.plus_millis(-5_000);
        assert_eq!(
            state(&desk, 1),
            WorkState::Attempting { attempts: 1, since }
        );
        let waiting = vec![WorkId(1), WorkId(2), WorkId(3)];
        let answers = desk.decide(&[GoOn {
            waiting: waiting.clone(),
        }]);
        assert_eq!(answers, [Some(1)]);
        assert_eq!(state(&desk, 2), WorkState::Waiting { attempts: 0 });
        assert_eq!(Restored::of(&desk.store).expect("memory"), None);
        assert_eq!(desk.decide(&[GoOn { waiting }]), [None]);
    }
}
