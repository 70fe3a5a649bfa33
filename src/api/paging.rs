//! Lists: a page at a time, read beside the tasks that answer others.

use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;

use super::problem::Problem;
use crate::app::{App, Daemon};
use crate::store::Found;

/// How many items a page has where the request does not say.
pub const DEFAULT_LIMIT: usize = 50;
/// The most items of a page.
pub const MAX_LIMIT: usize = 200;
/// How many entries one request looks at; a filter that fits few of them gives a short page and a cursor to go on.
pub const MOST_LOOKED_AT: usize = 5_000;
/// How many entries are read at once where a filter has thrown some away.
const STRETCH: usize = 500;

/// A page of a list.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct List<T> {
    /// The items.
    pub data: Vec<T>,
    /// The `cursor` of the next page; `null` at the end. With filters a page may be short, even empty, before the end.
    pub next: Option<String>,
}

/// What becomes of an entry that was looked at.
#[derive(Debug)]
pub enum Look<T> {
    /// It is shown as this.
    Take(T),
    /// It does not fit.
    Skip,
    /// Neither it nor anything behind it fits.
    End,
}

/// How many items a page may have: `limit` of the query.
pub fn limit(text: Option<&str>) -> Result<usize, Problem> {
    let Some(text) = text else {
        return Ok(DEFAULT_LIMIT);
    };
    match text.parse() {
        Ok(limit) if (1..=MAX_LIMIT).contains(&limit) => Ok(limit),
        _ => Err(Problem::bad_request(format!(
            "`limit` is a number from 1 to {MAX_LIMIT}."
        ))),
    }
}

/// Ends a page of what was found from its start on: the place of its last item, where there is more behind it. One item
/// more than fits is enough to tell.
pub fn end<T, P>(found: &mut Vec<T>, limit: usize, place_of: impl Fn(&T) -> P) -> Option<P> {
    let is_more = found.len() > limit;
    found.truncate(limit);
    found.last().filter(|_| is_more).map(place_of)
}

/// Reads the store on a thread where waiting for a disk holds nobody up.
pub async fn read<T: Send + 'static>(
    app: &App,
    reader: impl FnOnce(&Daemon) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let app = Arc::clone(app);
    match tokio::task::spawn_blocking(move || reader(&app)).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Problem::unavailable(
                "The daemon is stopping. Try again shortly.",
            )),
        },
    }
}

/// Fills a page with at most `limit` of the entries that `fetch` gives behind a place, and says where the next one
/// begins: `None` only at the end.
pub fn fill<E, P: Clone, T>(
    limit: usize,
    start: Option<P>,
    mut fetch: impl FnMut(Option<&P>, usize) -> Found<Vec<E>>,
    place_of: impl Fn(&E) -> P,
    mut look: impl FnMut(&E) -> Found<Look<T>>,
) -> Found<(Vec<T>, Option<P>)> {
    let mut place = start;
    let mut taken = Vec::new();
    let mut looked_at = 0;
    // One more than fits tells whether there is a next page.
    let mut stretch = limit + 1;
    loop {
        let entries = fetch(place.as_ref(), stretch)?;
        let more = entries.len() == stretch;
        for entry in &entries {
            if taken.len() == limit || looked_at == MOST_LOOKED_AT {
                return Ok((taken, place));
            }
            match look(entry)? {
                Look::Take(item) => taken.push(item),
                Look::Skip => {}
                Look::End => return Ok((taken, None)),
            }
            looked_at += 1;
            place = Some(place_of(entry));
        }
        if !more {
            return Ok((taken, None));
        }
        stretch = STRETCH;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(
        total: u32,
        limit: usize,
        start: Option<u32>,
        fits: impl Fn(u32) -> bool,
    ) -> (Vec<u32>, Option<u32>) {
        let fetch = |behind: Option<&u32>, limit: usize| {
            let first = behind.map_or(0, |behind| behind + 1);
            Ok((first..total).take(limit).collect())
        };
        let look = |entry: &u32| {
            Ok(if fits(*entry) {
                Look::Take(*entry)
            } else {
                Look::Skip
            })
        };
        fill(limit, start, fetch, |entry| *entry, look).expect("numbers can be read")
    }

    #[test]
    fn pages_meet_without_gap_or_overlap_and_end_only_at_the_end() {
        for (total, limit) in [(0, 1), (1, 1), (2, 1), (50, 50), (51, 50), (13_000, 200)] {
            for step in [1, 2, 7, 4_000] {
                let fits = |entry: u32| entry.is_multiple_of(step);
                let (mut seen, mut cursor) = (Vec::new(), None);
                loop {
                    let (items, next) = page(total, limit, cursor, fits);
                    assert!(items.len() <= limit);
                    seen.extend(items);
                    match next {
                        Some(next) => cursor = Some(next),
                        None => break,
                    }
                }
                let all: Vec<u32> = (0..total).filter(|entry| fits(*entry)).collect();
                assert_eq!(seen, all, "{total} by {limit}, every {step}");
            }
        }
    }

    #[test]
    fn a_filter_that_fits_nothing_stops_at_its_bound_and_goes_on_from_there() {
        let (items, next) = page(12_000, 50, None, |_| false);
        assert!(items.is_empty());
        assert_eq!(
            next,
            Some(u32::try_from(MOST_LOOKED_AT).expect("small") - 1)
        );
    }

    #[test]
    fn without_a_filter_the_last_page_says_so() {
        assert_eq!(page(50, 50, None, |_| true).1, None);
        assert_eq!(page(51, 50, None, |_| true).1, Some(49));
    }

    #[test]
    fn a_limit_is_a_small_number() {
        assert_eq!(limit(None).expect("default"), 50);
        assert_eq!(limit(Some("200")).expect("the most"), 200);
        for wrong in ["0", "201", "-1", "", "ten", "1e2", "99999999999999999999"] {
            let problem = limit(Some(wrong)).expect_err(wrong);
            assert_eq!(problem.status, 400);
            assert!(problem.detail.contains("`limit`"));
        }
    }
}
