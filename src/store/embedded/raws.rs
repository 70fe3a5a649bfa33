//! Reading the deliveries that are kept in the journal.

use super::log::{Log, Segment, decode};
use crate::store::raws::Gathering;
use crate::store::{Found, RawDelivery, RawPlace};

/// About how many bytes of deliveries are read at once.
const AT_ONCE_BYTES: usize = 4 << 20;

impl Log {
    /// Deliveries behind `after`, oldest first, at most `limit`.
    pub(super) fn raws(
        &self,
        after: RawPlace,
        limit: usize,
    ) -> Found<Vec<(RawPlace, RawDelivery)>> {
        let mut gathering = Gathering::new(after, limit, AT_ONCE_BYTES);
        let segments = self.segments(<[Segment]>::to_vec);
        let wanted = segments
            .iter()
            .filter(|segment| segment.valid.frame >= after.group);
        for segment in wanted {
            if gathering.is_full() {
                break;
            }
            self.walk_segment(segment, |frame| {
                if frame.header.number >= after.group && !gathering.is_full() {
                    let group = decode(segment.header.number, &frame)?;
                    gathering.take(frame.header.number, group.raws);
                }
                Ok(())
            })?;
        }
        Ok(gathering.taken)
    }
}
