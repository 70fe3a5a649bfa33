//! Asks the index: what fits best, within what the reader may see.
//!
//! How well something fits depends on it alone and never on what else is in the index. So nobody learns from a score how
//! often a word stands where they may not look (T03), and a place in the list stays one while messages come in.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Bound;
use std::sync::Arc;

use tantivy::collector::{Collector, SegmentCollector};
use tantivy::columnar::ColumnValues;
use tantivy::query::{
    BooleanQuery, ConstScoreQuery, DisjunctionMaxQuery, InvertedIndexRangeQuery, Occur,
    PhrasePrefixQuery, PhraseQuery, Query, TermQuery, TermSetQuery,
};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{DocId, Score, Searcher, SegmentOrdinal, SegmentReader, Term};

use super::asked::{Asked, Group};
use super::index::{CONTACT, Fields, MESSAGE, identity_term};
use crate::id::{ContactId, MessageId};
use crate::store::record::ChannelNo;

/// How many words that begin like the last one of several in a row are followed.
const PREFIX_WORDS: u32 = 100;
/// What a score is counted in: eighths, which stay exact however they are added up.
const SCORE_PARTS: Score = 8.0;

/// What somebody looks for.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// The words.
    pub asked: Asked,
    /// Only messages, or only contacts.
    pub only: Option<What>,
    /// Only in these channels: what the reader may see, and wants. `None` is for readers of all channels alone.
    pub channels: Option<Vec<ChannelNo>>,
    /// Every channel that there is: ids at the platforms are looked for in each, where `channels` is `None`.
    pub known: Vec<ChannelNo>,
    /// Only what came at or after this time, in milliseconds.
    pub since_ms: Option<i64>,
    /// Only what came before this time, in milliseconds.
    pub until_ms: Option<i64>,
    /// Only what stands behind this place.
    pub behind: Option<Rank>,
    /// How many at the most.
    pub limit: usize,
}

/// What can be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Messages and notes.
    Messages,
    /// Contacts.
    Contacts,
}

/// A place in the list: how well it fits, then the newest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    /// How well it fits, in eighths.
    pub eighths: u32,
    /// Its id.
    pub id: u64,
}

/// The place before the first.
const BEFORE_ALL: Rank = Rank {
    eighths: u32::MAX,
    id: u64::MAX,
};

impl Rank {
    /// How well it fits.
    #[must_use]
    pub fn score(self) -> f64 {
        f64::from(self.eighths) / f64::from(SCORE_PARTS)
    }
}

/// Something that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hit {
    /// Its place in the list.
    pub rank: Rank,
    /// What it is.
    pub is: Is,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Is {
    /// A message.
    Message(ChannelNo, MessageId),
    /// A contact.
    Contact(ContactId),
}

/// The best of what fits, best first.
pub(super) fn find(
    searcher: &Searcher,
    fields: &Fields,
    wanted: &Wanted,
) -> tantivy::Result<Vec<Hit>> {
    let no_channels = wanted.channels.as_ref().is_some_and(Vec::is_empty);
    if wanted.asked.is_empty() || no_channels || wanted.limit == 0 {
        return Ok(Vec::new());
    }
    let top = Top {
        since_ms: wanted.since_ms.unwrap_or(i64::MIN),
        until_ms: wanted.until_ms.unwrap_or(i64::MAX),
        behind: wanted.behind.unwrap_or(BEFORE_ALL),
        limit: wanted.limit,
    };
    searcher.search(&*query(fields, wanted), &top)
}

/// What is known of these ids.
pub(super) fn with_ids(
    searcher: &Searcher,
    fields: &Fields,
    ids: &[u64],
) -> tantivy::Result<Vec<Is>> {
    let terms = ids.iter().map(|id| fields.id_term(*id));
    let all = Top {
        since_ms: i64::MIN,
        until_ms: i64::MAX,
        behind: BEFORE_ALL,
        limit: usize::MAX,
    };
    let hits = searcher.search(&TermSetQuery::new(terms), &all)?;
    Ok(hits.into_iter().map(|hit| hit.is).collect())
}

/// The fields that are looked into, and how much a word in each is worth: any whole word more than a beginning.
fn weights(fields: &Fields, only: Option<What>) -> Vec<(Field, Score)> {
    let messages = [(fields.text, 2.5), (fields.files, 2.25)];
    let contacts = [
        (fields.name, 4.0),
        (fields.email, 4.0),
        (fields.phone, 4.0),
        (fields.remark, 2.5),
    ];
    let (with_messages, with_contacts) =
        (only != Some(What::Contacts), only != Some(What::Messages));
    let mut weights = Vec::new();
    if with_messages {
        weights.extend(messages);
    }
    if with_contacts {
        weights.extend(contacts);
    }
    weights
}

/// What a word in a platform's id is worth.
const IDENTITY_WEIGHT: Score = 3.0;

fn query(fields: &Fields, wanted: &Wanted) -> Box<dyn Query> {
    let groups = wanted.asked.groups.iter();
    let all = groups
        .map(|group| group_query(fields, wanted, group))
        .collect();
    let mut words: Box<dyn Query> = Box::new(BooleanQuery::intersection(all));
    if let Some(digits) = wanted
        .asked
        .phone
        .as_ref()
        .filter(|_| wanted.only != Some(What::Messages))
    {
        let phone = Group {
            terms: vec![digits.clone()],
            is_prefix: true,
        };
        let mut found = Vec::new();
        in_field(
            fields.phone,
            4.0,
            &phone,
            |term| term.to_owned(),
            &mut found,
        );
        found.push(words);
        words = Box::new(DisjunctionMaxQuery::new(found));
    }
    let Some(channels) = &wanted.channels else {
        return words;
    };
    let seen = channels.iter().map(|channel| {
        let term = Term::from_field_u64(fields.channel, channel.0.into());
        worth(0.0, TermQuery::new(term, IndexRecordOption::Basic))
    });
    Box::new(BooleanQuery::new(vec![
        (Occur::Must, words),
        (Occur::Must, Box::new(BooleanQuery::union(seen.collect()))),
    ]))
}

/// One group, in whichever field it is.
fn group_query(fields: &Fields, wanted: &Wanted, group: &Group) -> Box<dyn Query> {
    let mut found: Vec<Box<dyn Query>> = Vec::new();
    for (field, weight) in weights(fields, wanted.only) {
        in_field(field, weight, group, |term| term.to_owned(), &mut found);
    }
    if wanted.only != Some(What::Messages) {
        // Who may see all channels finds an id in whichever it is; it is looked for in each that is known.
        for channel in wanted.channels.as_deref().unwrap_or(&wanted.known) {
            let of = |term: &str| identity_term(*channel, term);
            in_field(fields.identity, IDENTITY_WEIGHT, group, of, &mut found);
        }
    }
    Box::new(DisjunctionMaxQuery::new(found))
}

/// A group in one field: whole words are worth more than beginnings.
fn in_field(
    field: Field,
    weight: Score,
    group: &Group,
    of: impl Fn(&str) -> String,
    found: &mut Vec<Box<dyn Query>>,
) {
    let terms: Vec<Term> = group
        .terms
        .iter()
        .map(|term| Term::from_field_text(field, &of(term)))
        .collect();
    let part = weight / 2.0;
    match (terms.as_slice(), group.terms.as_slice()) {
        ([], _) | (_, []) => {}
        ([one], [text]) => {
            found.push(worth(
                weight,
                TermQuery::new(one.clone(), IndexRecordOption::Basic),
            ));
            if group.is_prefix {
                // No word has this letter, so that every one that begins like the text stands before it.
                let last = Term::from_field_text(field, &(of(text) + "\u{10ffff}"));
                let range = InvertedIndexRangeQuery::new(
                    Bound::Excluded(one.clone()),
                    Bound::Excluded(last),
                );
                found.push(worth(part, range));
            }
        }
        _ => {
            found.push(worth(weight, PhraseQuery::new(terms.clone())));
            if group.is_prefix {
                let mut row = PhrasePrefixQuery::new(terms);
                row.set_max_expansions(PREFIX_WORDS);
                found.push(worth(part, row));
            }
        }
    }
}

fn worth(weight: Score, query: impl Query) -> Box<dyn Query> {
    Box::new(ConstScoreQuery::new(Box::new(query), weight))
}

/// Collects the best of what fits.
struct Top {
    since_ms: i64,
    until_ms: i64,
    behind: Rank,
    limit: usize,
}

/// The same in one segment.
struct TopOfSegment {
    since_ms: i64,
    until_ms: i64,
    behind: Rank,
    limit: usize,
    best: BinaryHeap<Reverse<Hit>>,
    id: Arc<dyn ColumnValues<u64>>,
    kind: Arc<dyn ColumnValues<u64>>,
    channel: Arc<dyn ColumnValues<u64>>,
    at: Arc<dyn ColumnValues<i64>>,
}

impl Collector for Top {
    type Fruit = Vec<Hit>;
    type Child = TopOfSegment;

    fn for_segment(
        &self,
        _: SegmentOrdinal,
        segment: &SegmentReader,
    ) -> tantivy::Result<TopOfSegment> {
        let columns = segment.fast_fields();
        Ok(TopOfSegment {
            since_ms: self.since_ms,
            until_ms: self.until_ms,
            behind: self.behind,
            limit: self.limit,
            best: BinaryHeap::new(),
            id: columns.u64("id")?.first_or_default_col(0),
            kind: columns.u64("kind")?.first_or_default_col(MESSAGE),
            channel: columns.u64("channel")?.first_or_default_col(0),
            at: columns.i64("at")?.first_or_default_col(0),
        })
    }

    fn requires_scoring(&self) -> bool {
        true
    }

    fn merge_fruits(&self, segments: Vec<Vec<Hit>>) -> tantivy::Result<Vec<Hit>> {
        let mut hits: Vec<Hit> = segments.into_iter().flatten().collect();
        hits.sort_unstable_by(|one, other| other.cmp(one));
        hits.truncate(self.limit);
        Ok(hits)
    }
}

impl SegmentCollector for TopOfSegment {
    type Fruit = Vec<Hit>;

    fn collect(&mut self, document: DocId, score: Score) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a small number of eighths, none below 0"
        )]
        let eighths = (score * SCORE_PARTS) as u32;
        let rank = Rank {
            eighths,
            id: self.id.get_val(document),
        };
        let is_full = self.best.len() == self.limit;
        let is_worse =
            |best: &BinaryHeap<Reverse<Hit>>| best.peek().is_some_and(|worst| rank <= worst.0.rank);
        if rank >= self.behind || (is_full && is_worse(&self.best)) {
            return;
        }
        if !(self.since_ms..self.until_ms).contains(&self.at.get_val(document)) {
            return;
        }
        let is = if self.kind.get_val(document) == CONTACT {
            Is::Contact(ContactId(rank.id))
        } else {
            let channel = u16::try_from(self.channel.get_val(document)).unwrap_or_default();
            Is::Message(ChannelNo(channel), MessageId(rank.id))
        };
        if is_full {
            self.best.pop();
        }
        self.best.push(Reverse(Hit { rank, is }));
    }

    fn harvest(self) -> Vec<Hit> {
        self.best.into_iter().map(|hit| hit.0).collect()
    }
}
