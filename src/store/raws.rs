//! The deliveries that are kept as they came, to be decoded again.

use super::RawDelivery;

/// Where a delivery stands among those that are kept. The first of all stand behind [`RawPlace::default`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct RawPlace {
    /// The number of the group that it was kept with, from 1.
    pub group: u64,
    /// Which of the group's deliveries it is, from 0.
    pub place: u32,
}

/// Takes deliveries until there are enough.
#[derive(Debug)]
pub(super) struct Gathering {
    after: RawPlace,
    most: usize,
    most_bytes: usize,
    pub(super) taken: Vec<(RawPlace, RawDelivery)>,
    bytes: usize,
}

impl Gathering {
    /// Those behind `after`, at most `most`; once they have `most_bytes`, no more.
    pub(super) const fn new(after: RawPlace, most: usize, most_bytes: usize) -> Self {
        Self {
            after,
            most,
            most_bytes,
            taken: Vec::new(),
            bytes: 0,
        }
    }

    pub(super) const fn is_full(&self) -> bool {
        self.taken.len() >= self.most || self.bytes >= self.most_bytes
    }

    /// Takes of a group's deliveries what is wanted.
    pub(super) fn take(&mut self, group: u64, raws: impl IntoIterator<Item = RawDelivery>) {
        for (place, raw) in (0..).zip(raws) {
            let place = RawPlace { group, place };
            if place > self.after && !self.is_full() {
                self.bytes += raw.size();
                self.taken.push((place, raw));
            }
        }
    }
}
