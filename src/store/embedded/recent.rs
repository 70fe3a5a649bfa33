//! The newest events in memory, so that readers that follow the log never touch the disk.

use std::collections::VecDeque;
use std::sync::{PoisonError, RwLock};

use crate::store::LogEvent;

const MOST_EVENTS: usize = 4096;
/// Of the cache, this part is taken for them besides, within bounds: what is in them takes several times its bytes.
const PART_OF_CACHE: u64 = 16;
const FEWEST_BYTES: u64 = 1 << 20;
const MOST_BYTES: u64 = 16 << 20;

/// The newest events, without gaps up to the head.
#[derive(Debug)]
pub(super) struct RecentEvents {
    most_bytes: u64,
    inner: RwLock<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    // Each with about its size in bytes.
    events: VecDeque<(LogEvent, u64)>,
    bytes: u64,
}

impl RecentEvents {
    /// None yet; so many as fit beside a cache of `cache_bytes`.
    pub(super) fn new(cache_bytes: u64) -> Self {
        Self {
            most_bytes: (cache_bytes / PART_OF_CACHE).clamp(FEWEST_BYTES, MOST_BYTES),
            inner: RwLock::default(),
        }
    }

    /// Takes in the events of a group that has `bytes`, before it is packed.
    pub(super) fn push(&self, events: Vec<LogEvent>, bytes: u64) {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        let each = bytes / (events.len() as u64).max(1);
        for event in events {
            if inner
                .events
                .back()
                .is_some_and(|(last, _)| last.seq + 1 != event.seq)
            {
                *inner = Inner::default();
            }
            inner.bytes += each;
            inner.events.push_back((event, each));
        }
        while inner.events.len() > MOST_EVENTS || inner.bytes > self.most_bytes {
            let Some((_, bytes)) = inner.events.pop_front() else {
                break;
            };
            inner.bytes -= bytes;
        }
    }

    /// Forgets all: what comes next need not follow.
    pub(super) fn clear(&self) {
        *self.inner.write().unwrap_or_else(PoisonError::into_inner) = Inner::default();
    }

    /// Events after `after` up to `head`; `None` where they are no longer here.
    pub(super) fn after(&self, after: u64, head: u64, limit: usize) -> Option<Vec<LogEvent>> {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        let first = inner.events.front()?.0.seq;
        let skipped = usize::try_from((after + 1).checked_sub(first)?).ok()?;
        let wanted = inner
            .events
            .iter()
            .skip(skipped)
            .take(limit)
            .map(|(event, _)| event);
        Some(
            wanted
                .take_while(|event| event.seq <= head)
                .cloned()
                .collect(),
        )
    }
}
