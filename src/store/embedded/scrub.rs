//! The scrub: compares the tables with what the journal says, row by row, slowly, while everything goes on.
//!
//! What the journal says is folded up to a frame that the tables have applied. Rows that were written later differ
//! rightly; those are known by the frames behind it. What differs otherwise is an alarm: sled has lost or made
//! something up, and the tables are made again.

use std::cmp::Ordering as Order;
use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::sync::{Arc, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use super::EmbeddedStore;
use super::fold::{Truth, UpTo, each_image};
use super::hanging::{hanging_rows, owner_of, same_record};
use super::tables::Tables;
use crate::store::upkeep::ScrubReport;
use crate::store::{Found, StoreError};

/// Rows that stand for themselves, in the order of their keys.
const PRIMARY: &[u8] = b"cmps";
/// Rows that hang on those.
const HANGING: &[u8] = b"Poqtx";
/// Rows of the tables that are read at once.
const READ_ROWS: usize = 512;
/// Differences that are looked at together, so that no more of them stand in memory.
const MOST_SUSPECTS: usize = 4_096;
/// The longest sleep: the store may close meanwhile.
const LONGEST_NAP: Duration = Duration::from_millis(100);

type Pair = (Vec<u8>, Vec<u8>);

impl EmbeddedStore {
    /// Compares the tables with the journal, at most so many rows a second (0: as fast as it goes), and makes them
    /// again where they differ.
    pub(super) fn scrub_tables(&self, rows_per_second: u64) -> Found<ScrubReport> {
        let _only_one = match self.scrubbing.try_lock() {
            Ok(only_one) => only_one,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                let why = "the tables are compared already";
                return Err(StoreError::Unreadable(why.to_owned()));
            }
        };
        self.truth.go_on()?;
        let (tables, up_to) = {
            let writer = self.writer();
            let up_to = UpTo {
                frame: writer.position.frame,
                seq: writer.position.seq,
                last_id: writer.position.last_id,
            };
            (self.model.tables()?, up_to)
        };
        let still_there = || {
            self.truth.go_on()?;
            let stands = self.model.tables()?;
            if Arc::ptr_eq(&stands, &tables) {
                return Ok(());
            }
            Err(StoreError::Repairing(
                "the tables were made again while they were compared".to_owned(),
            ))
        };
        let mut scrub = Scrub {
            tables: &tables,
            truth: &self.truth,
            report: ScrubReport::default(),
            suspects: Vec::new(),
            touched: Touched::behind(up_to.frame),
            pace: Pace::new(rows_per_second, &still_there),
        };
        scrub.run(up_to)?;
        let mut report = scrub.report;
        still_there()?;
        drop(tables);
        if report.differed() > 0 {
            report.healed = self.heal(&report);
        }
        report.ended_at = self.clock.now();
        *self.scrubbed.lock().unwrap_or_else(PoisonError::into_inner) = Some(report);
        Ok(report)
    }

    fn heal(&self, report: &ScrubReport) -> bool {
        tracing::error!(
            rows = report.rows,
            missing = report.missing,
            foreign = report.foreign,
            other = report.other,
            "the tables differ from the journal: they are made again from it; look after the disk"
        );
        let _none_else = self.one_at_a_time();
        let healed = self.home.ask_for_rebuild().and_then(|()| self.remake());
        if let Err(error) = &healed {
            tracing::error!(%error, "the tables could not be made again; the next start does it");
        }
        healed.is_ok()
    }
}

struct Scrub<'a> {
    tables: &'a Tables,
    truth: &'a Truth,
    report: ScrubReport,
    suspects: Vec<Suspect>,
    touched: Touched,
    pace: Pace<'a>,
}

/// A row that is not as it should be: wrong, or newer than what it is compared with.
struct Suspect {
    key: Vec<u8>,
    expected: Option<Vec<u8>>,
    found: Option<Vec<u8>>,
}

impl Scrub<'_> {
    fn run(&mut self, up_to: UpTo) -> Found<()> {
        let mut folded = self.truth.fold(up_to, &|_| {})?;
        let mut hanging = self.truth.sorter("compared", &folded.scratch);
        self.compare(PRIMARY, || {
            let row = folded.next_row()?;
            if let Some((key, value)) = &row {
                hanging_rows(key, value, |key, value| hanging.put(key, Some(value)))?;
            }
            Ok(row)
        })?;
        drop(folded);
        let mut hanging = hanging.merged(None)?;
        self.compare(HANGING, || hanging.next_row())?;
        self.settle()
    }

    /// Walks along both, each sorted by key.
    fn compare(
        &mut self,
        kinds: &'static [u8],
        mut expected: impl FnMut() -> Found<Option<Pair>>,
    ) -> Found<()> {
        let mut rows = RowsOf::new(self.tables, kinds);
        let (mut want, mut have) = (expected()?, rows.next()?);
        loop {
            let order = match (&want, &have) {
                (None, None) => return Ok(()),
                (Some(_), None) => Order::Less,
                (None, Some(_)) => Order::Greater,
                (Some((want, _)), Some((have, _))) => want.cmp(have),
            };
            self.report.rows += 1;
            self.pace.step()?;
            let wanted = if order == Order::Greater {
                None
            } else {
                want.take()
            };
            let found = if order == Order::Less {
                None
            } else {
                have.take()
            };
            if wanted.is_some() {
                want = expected()?;
            }
            if found.is_some() {
                have = rows.next()?;
            }
            self.look_at(wanted, found)?;
        }
    }

    fn look_at(&mut self, wanted: Option<Pair>, found: Option<Pair>) -> Found<()> {
        let (key, expected, found) = match (wanted, found) {
            (Some((key, expected)), Some((_, found))) => {
                if same_record(&key, &expected, &found) {
                    return Ok(());
                }
                (key, Some(expected), Some(found))
            }
            (Some((key, expected)), None) => (key, Some(expected), None),
            (None, Some((key, found))) => (key, None, Some(found)),
            (None, None) => return Ok(()),
        };
        self.suspects.push(Suspect {
            key,
            expected,
            found,
        });
        if self.suspects.len() >= MOST_SUSPECTS {
            self.settle()?;
        }
        Ok(())
    }

    /// Tells the rows that were written meanwhile from those that are wrong.
    fn settle(&mut self) -> Found<()> {
        // All that the tables had when a suspect was read is in the journal by now.
        self.touched.catch_up(self.truth)?;
        for suspect in std::mem::take(&mut self.suspects) {
            if self.touched.has(&suspect) || self.is_shared(&suspect)? {
                continue;
            }
            match (&suspect.expected, &suspect.found) {
                (Some(_), None) => self.report.missing += 1,
                (None, _) => self.report.foreign += 1,
                (Some(_), Some(_)) => self.report.other += 1,
            }
        }
        Ok(())
    }

    /// Whether two records have the same name, so that either may be found by it.
    fn is_shared(&self, suspect: &Suspect) -> Found<bool> {
        let (Some(_), Some(found)) = (&suspect.expected, &suspect.found) else {
            return Ok(false);
        };
        if !matches!(suspect.key.first(), Some(b'x' | b't' | b'q')) {
            return Ok(false);
        }
        let Some(owner) = owner_of(&suspect.key, found) else {
            return Ok(false);
        };
        let mut shared = false;
        if let Some(record) = self.tables.value(&owner)? {
            // A record that cannot be read has been counted as one that differs.
            let _ = hanging_rows(&owner, &record, |key, value| {
                shared |= key == suspect.key && value == *found;
                Ok(())
            });
        }
        Ok(shared)
    }
}

/// The primary rows that frames behind the comparison touch: by a hash, since there may be many.
struct Touched {
    hasher: RandomState,
    hashes: HashSet<u64>,
    frame: u64,
}

impl Touched {
    fn behind(frame: u64) -> Self {
        Self {
            hasher: RandomState::new(),
            hashes: HashSet::new(),
            frame,
        }
    }

    fn catch_up(&mut self, truth: &Truth) -> Found<()> {
        let mut frame = self.frame;
        truth.log.replay(self.frame, u64::MAX, |replayed| {
            frame = replayed.frame;
            truth.go_on()?;
            each_image(replayed.group, |(key, _)| {
                self.hashes.insert(self.hasher.hash_one(key.as_slice()));
                Ok(())
            })
        })?;
        self.frame = frame;
        Ok(())
    }

    fn has(&self, suspect: &Suspect) -> bool {
        let is_touched = |key: &[u8]| self.hashes.contains(&self.hasher.hash_one(key));
        if suspect
            .key
            .first()
            .is_some_and(|kind| PRIMARY.contains(kind))
        {
            return is_touched(&suspect.key);
        }
        [&suspect.expected, &suspect.found]
            .into_iter()
            .flatten()
            .filter_map(|value| owner_of(&suspect.key, value))
            .any(|owner| is_touched(&owner))
    }
}

/// The rows of some kinds, as the tables have them.
struct RowsOf<'a> {
    tables: &'a Tables,
    kinds: &'static [u8],
    after: Option<Vec<u8>>,
    read: std::vec::IntoIter<Pair>,
}

impl<'a> RowsOf<'a> {
    fn new(tables: &'a Tables, kinds: &'static [u8]) -> Self {
        Self {
            tables,
            kinds,
            after: None,
            read: Vec::new().into_iter(),
        }
    }

    fn next(&mut self) -> Found<Option<Pair>> {
        loop {
            if let Some(row) = self.read.next() {
                return Ok(Some(row));
            }
            let Some((kind, others)) = self.kinds.split_first() else {
                return Ok(None);
            };
            let rows = self
                .tables
                .rows_of_kind(*kind, self.after.as_deref(), READ_ROWS)?;
            self.after = rows.last().map(|(key, _)| key.clone());
            if rows.is_empty() {
                self.kinds = others;
            }
            self.read = rows.into_iter();
        }
    }
}

/// Keeps the scrub from taking the machine for itself.
struct Pace<'a> {
    rows_per_second: u64,
    rows: u64,
    since: Instant,
    // Fails once there is nothing to compare any more.
    go_on: &'a dyn Fn() -> Found<()>,
}

impl<'a> Pace<'a> {
    fn new(rows_per_second: u64, go_on: &'a dyn Fn() -> Found<()>) -> Self {
        Self {
            rows_per_second,
            rows: 0,
            since: Instant::now(),
            go_on,
        }
    }

    fn step(&mut self) -> Found<()> {
        self.rows += 1;
        if !self.rows.is_multiple_of(READ_ROWS as u64) {
            return Ok(());
        }
        (self.go_on)()?;
        if self.rows_per_second == 0 {
            return Ok(());
        }
        let due = Duration::from_millis(self.rows.saturating_mul(1_000) / self.rows_per_second);
        while let Some(left) = due
            .checked_sub(self.since.elapsed())
            .filter(|left| !left.is_zero())
        {
            (self.go_on)()?;
            std::thread::sleep(left.min(LONGEST_NAP));
        }
        Ok(())
    }
}
