//! Where the index stands in the log and among the records: written with each of its commits.

use serde::{Deserialize, Serialize};

use super::follower::Trouble;
use super::index;
use crate::store::{Store, StoreError};

/// Where the index stands, as its commits say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    pub(super) form: String,
    /// The last event that is in it.
    pub(super) seq: u64,
    /// When that was decided, which tells another log with such a number.
    pub(super) at_ms: i64,
    /// How far the records were read; `None`: to their end.
    pub(super) scan: Option<Scan>,
    /// Messages that were created by events up to this one may be in it already.
    pub(super) scanned_seq: u64,
}

/// How far the records were read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Scan {
    /// The last message, in the order of arrival.
    pub(super) message: u64,
    /// The messages have been read.
    pub(super) messages_read: bool,
    /// The last contact, from the newest on.
    pub(super) contact: Option<u64>,
}

impl Place {
    /// Where an index stands; one of another form, or of another log, does not do. A new one begins here.
    pub(super) fn of(payload: Option<&str>, store: &dyn Store) -> Result<Self, Trouble> {
        let head = store.head();
        let Some(payload) = payload else {
            let at_ms = decided_at(store, head)?.unwrap_or_default();
            return Ok(Self {
                form: index::form(),
                seq: head,
                at_ms,
                scan: (head > 0).then(Scan::default),
                scanned_seq: head,
            });
        };
        let place: Self = serde_json::from_str(payload)
            .map_err(|_| Trouble::Index("it does not say where it stands".to_owned()))?;
        let is_here = place.form == index::form()
            && place.seq <= head
            && if place.seq == 0 {
                store.oldest() <= 1
            } else {
                decided_at(store, place.seq)? == Some(place.at_ms)
            };
        if is_here {
            Ok(place)
        } else {
            Err(Trouble::Index(
                "it is of another form, or of another log than this desk's".to_owned(),
            ))
        }
    }
}

/// When an event was decided; `None` where it is not kept.
fn decided_at(store: &dyn Store, seq: u64) -> Result<Option<i64>, StoreError> {
    if seq == 0 {
        return Ok(None);
    }
    let event = store.events(seq - 1, 1)?;
    Ok(event
        .first()
        .filter(|event| event.seq == seq)
        .map(|event| event.at.as_millis()))
}
