//! The audit log: written in the same durable step as what it tells of, never changed, each entry chained to all before
//! it (T10).

use std::fmt;

use super::Decision;
use crate::id::AuditId;
use crate::store::draft::Draft;
use crate::store::entry::{
    Actor, AuditDetail, AuditEntry, AuditHead, AuditRecord, AuditTarget, AuditValue, Entry,
};
use crate::store::{Found, Read, Table};

/// How many entries are read at once.
const STRETCH: usize = 1_000;

/// What is told of something that was done.
#[derive(Clone, Debug)]
pub struct Told {
    /// What was done: `token.created` …
    pub action: &'static str,
    /// To what.
    pub target: Option<AuditTarget>,
    /// What else is to be known: no secret, and nothing of customers, who can be erased.
    pub detail: AuditDetail,
}

impl Told {
    /// Something that was done to nothing in particular.
    #[must_use]
    pub fn of(action: &'static str) -> Self {
        Self {
            action,
            target: None,
            detail: AuditDetail::default(),
        }
    }

    /// The same, to a thing.
    #[must_use]
    pub fn to(mut self, kind: &str, id: impl ToString, name: impl Into<String>) -> Self {
        self.target = Some(AuditTarget::new(kind, id, name));
        self
    }

    /// The same, with a detail.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<AuditValue>) -> Self {
        self.detail.set(key, value);
        self
    }
}

/// Adds an entry to the audit log, in the step that is being decided.
pub fn audit(draft: &mut Draft<'_>, by: &Actor, told: Told) -> Found<()> {
    let head = draft
        .entry::<AuditHead>(AuditHead::KEY)?
        .unwrap_or_else(AuditHead::empty);
    let record = AuditRecord {
        number: head.entries + 1,
        id: AuditId(draft.new_id()),
        at: draft.now(),
        actor: by.clone(),
        action: told.action.to_owned(),
        target: told.target,
        detail: told.detail.to_json(),
    };
    let number = record.number;
    let record = record.to_bytes();
    let link = AuditEntry::link_of(&head.link, &record);
    let entry = AuditEntry {
        link: link.clone(),
        record,
    };
    draft.put(entry.put(AuditEntry::key(number)));
    let head = AuditHead {
        entries: number,
        link,
    };
    draft.put(head.put(AuditHead::KEY.to_vec()));
    Ok(())
}

/// A decision with its entry in the audit log.
pub struct Audited<D: Decision> {
    /// The decision.
    pub decision: D,
    /// Who asks for it.
    pub by: Actor,
    /// What is told of it; `None` where nothing was done.
    pub tell: Tell<D::Answer>,
}

/// What is told of an answer.
pub type Tell<A> = Box<dyn Fn(&A) -> Option<Told> + Send>;

impl<D: Decision> Audited<D> {
    /// A decision that is told in any case.
    #[must_use]
    pub fn always(decision: D, by: Actor, told: Told) -> Self {
        Self {
            decision,
            by,
            tell: Box::new(move |_| Some(told.clone())),
        }
    }

    /// A decision whose answer says whether and what is told.
    pub fn by_answer(
        decision: D,
        by: Actor,
        tell: impl Fn(&D::Answer) -> Option<Told> + Send + 'static,
    ) -> Self {
        Self {
            decision,
            by,
            tell: Box::new(tell),
        }
    }
}

impl<D: Decision + fmt::Debug> fmt::Debug for Audited<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Audited")
            .field("decision", &self.decision)
            .field("by", &self.by)
            .finish_non_exhaustive()
    }
}

impl<D: Decision> Decision for Audited<D> {
    type Answer = D::Answer;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<D::Answer> {
        let answer = self.decision.decide(draft)?;
        if let Some(told) = (self.tell)(&answer) {
            audit(draft, &self.by, told)?;
        }
        Ok(answer)
    }

    fn weight(&self) -> usize {
        self.decision.weight() + 1024
    }
}

/// Something that changes nothing in the store and is told all the same: a backup, an export.
#[derive(Clone, Debug)]
pub struct Tells {
    /// Who did it.
    pub by: Actor,
    /// What.
    pub told: Told,
}

impl Decision for Tells {
    type Answer = ();

    fn decide(&self, draft: &mut Draft<'_>) -> Found<()> {
        audit(draft, &self.by, self.told.clone())
    }
}

/// How the audit log stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// How many entries there are.
    pub entries: u64,
    /// The link of the newest, which is a hash of all.
    pub head: Vec<u8>,
    /// The number of the newest entry that does not follow from the one before it; `None`: the log is whole.
    pub broken_at: Option<u64>,
}

/// Follows the chain from its end to its beginning. What was added while it ran is left out.
pub fn check<R: Read + ?Sized>(store: &R) -> Found<Checked> {
    // The newest entry first: the head, which is written with it, is never older.
    let newest = match store.scan(Table::Audit, &[], None, 1)?.first() {
        Some((key, _)) => number_of(key),
        None => 0,
    };
    let kept = store.get(Table::AuditHead, AuditHead::KEY)?;
    let head = match kept.as_deref().map(exact_head) {
        None => Some(AuditHead::empty()),
        Some(head) => head,
    };
    let Some(head) = head.filter(|head| head.entries >= newest) else {
        return Ok(Checked {
            entries: newest,
            head: Vec::new(),
            broken_at: Some(newest.max(1)),
        });
    };
    Ok(Checked {
        entries: head.entries,
        broken_at: broken_at(store, &head)?,
        head: head.link,
    })
}

/// The newest entry at which the chain that ends in `head` does not hold.
fn broken_at<R: Read + ?Sized>(store: &R, head: &AuditHead) -> Found<Option<u64>> {
    // The entry that is looked at has this number, and this link, as what comes after it says.
    let (mut number, mut link) = (head.entries, head.link.clone());
    let mut after = AuditEntry::key(number.saturating_add(1));
    while number > 0 {
        // One more than is looked at: each entry needs the link of the one before it.
        let rows = store.scan(Table::Audit, &[], Some(&after), STRETCH + 1)?;
        for (at, (key, bytes)) in rows.iter().take(STRETCH).enumerate() {
            let before = match rows.get(at + 1) {
                Some((_, before)) => AuditEntry::from_bytes(before).ok().map(|one| one.link),
                None => Some(AuditHead::empty().link),
            };
            let holds = before.filter(|before| holds(key, bytes, number, &link, before));
            let Some(before) = holds else {
                return Ok(Some(number));
            };
            link = before;
            number -= 1;
            after.clone_from(key);
            if number == 0 {
                break;
            }
        }
        if rows.is_empty() {
            return Ok(Some(number));
        }
    }
    // Nothing stands before the first.
    let more = store.scan(Table::Audit, &[], Some(&after), 1)?;
    Ok((!more.is_empty() || link != AuditHead::empty().link).then_some(1))
}

/// Whether a row is the entry of this number and link, to the last bit, behind one of the link `before`.
fn holds(key: &[u8], bytes: &[u8], number: u64, link: &[u8], before: &[u8]) -> bool {
    let Ok(entry) = AuditEntry::from_bytes(bytes) else {
        return false;
    };
    key == AuditEntry::key(number)
        && entry.put(Vec::new()).value.as_deref() == Some(bytes)
        && entry.link == link
        && AuditEntry::link_of(before, &entry.record) == entry.link
        && AuditRecord::from_bytes(&entry.record).is_ok_and(|record| record.number == number)
}

/// A head, where its bytes are those that we would write.
fn exact_head(bytes: &[u8]) -> Option<AuditHead> {
    let head = AuditHead::from_bytes(bytes).ok()?;
    (head.put(Vec::new()).value.as_deref() == Some(bytes)).then_some(head)
}

/// The number in a key.
fn number_of(key: &[u8]) -> u64 {
    <[u8; 8]>::try_from(key).map_or(u64::MAX, |key| u64::MAX - u64::from_be_bytes(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desk::testing::Desk;
    use crate::store::entry::ActorKind;
    use crate::store::memory::MemoryStore;
    use crate::store::{Group, Put, Store as _};

    fn admin() -> Actor {
        Actor {
            kind: ActorKind::Token,
            id: "tok_1".to_owned(),
            name: "Automation".to_owned(),
            address: Some("192.0.2.7".to_owned()),
        }
    }

    fn tells(number: usize) -> Tells {
        let told = Told::of("token.created").to("token", number, "A shop's till");
        Tells {
            by: admin(),
            told: told.with("scopes", vec!["read"]).with("number", number),
        }
    }

    fn written(entries: usize) -> MemoryStore {
        let mut desk = Desk::new();
        for number in 0..entries {
            // Some of one group, so that later ones follow those that are not written yet.
            desk.decide(&vec![tells(number); 1 + number % 3]);
        }
        desk.store
    }

    fn rows(store: &MemoryStore) -> Vec<(Table, Vec<u8>, Vec<u8>)> {
        let of = |table| {
            let rows = store.scan(table, &[], None, usize::MAX).expect("memory");
            rows.into_iter()
                .map(move |(key, value)| (table, key, value))
        };
        of(Table::Audit).chain(of(Table::AuditHead)).collect()
    }

    /// What the check says of a log with these rows.
    fn checked(rows: impl IntoIterator<Item = (Table, Vec<u8>, Vec<u8>)>) -> Checked {
        let store = MemoryStore::new();
        let puts = rows.into_iter().map(|(table, key, value)| Put {
            table,
            key,
            value: Some(value),
        });
        let group = Group {
            puts: puts.collect(),
            ..Group::default()
        };
        store.commit(group).expect("memory");
        check(&store).expect("memory")
    }

    #[test]
    fn t10_a_log_as_it_was_written_is_whole_and_any_changed_bit_breaks_it() {
        let rows = rows(&written(4));
        let whole = checked(rows.clone());
        assert_eq!((whole.entries, whole.broken_at), (7, None));
        assert_eq!(whole.head.len(), 32);
        let mut tried = 0;
        for row in 0..rows.len() {
            for part in 0..2 {
                let length = [rows[row].1.len(), rows[row].2.len()][part];
                for byte in 0..length {
                    for bit in 0..8 {
                        let mut changed = rows.clone();
                        let (_, key, value) = &mut changed[row];
                        [key, value][part][byte] ^= 1 << bit;
                        let found = checked(changed);
                        assert!(found.broken_at.is_some(), "{row} {part} {byte} {bit}");
                        tried += 1;
                    }
                }
            }
        }
        assert!(tried > 5_000, "{tried}");
    }

    #[test]
    fn t10_nothing_can_be_taken_out_put_in_or_moved() {
        let store = written(5);
        let whole = rows(&store);
        for gone in 0..whole.len() {
            let mut fewer = whole.clone();
            fewer.remove(gone);
            assert!(checked(fewer).broken_at.is_some(), "{gone}");
        }
        // Two entries change places, the newest is written twice, one is forged behind the newest, and one before the
        // first.
        let mut swapped = whole.clone();
        let (one, two) = (swapped[1].2.clone(), swapped[2].2.clone());
        (swapped[1].2, swapped[2].2) = (two, one);
        assert!(checked(swapped).broken_at.is_some());
        for number in [whole.len() as u64, 0] {
            let mut more = whole.clone();
            more.push((Table::Audit, AuditEntry::key(number), whole[0].2.clone()));
            assert!(checked(more).broken_at.is_some(), "{number}");
        }
        // The last entries are cut off with a head that was the true one before them: only who wrote a hash down knows.
        let shorter = rows(&written(4));
        assert_eq!(checked(shorter.clone()).broken_at, None);
        assert_ne!(checked(shorter).head, checked(whole).head);
    }

    #[test]
    fn t10_a_long_log_is_checked_across_stretches() {
        let mut desk = Desk::new();
        desk.decide(&vec![tells(1); STRETCH * 2 + 1]);
        assert_eq!(check(&desk.store).expect("memory").broken_at, None);
        for number in [
            1,
            STRETCH as u64,
            STRETCH as u64 + 1,
            STRETCH as u64 * 2 + 1,
        ] {
            let mut rows = rows(&desk.store);
            let key = AuditEntry::key(number);
            let row = rows
                .iter_mut()
                .find(|(_, at, _)| *at == key)
                .expect("there");
            let last = row.2.len() - 1;
            row.2[last] ^= 1;
            assert_eq!(checked(rows).broken_at, Some(number));
        }
        assert_eq!(check(&MemoryStore::new()).expect("memory").entries, 0);
    }
}
