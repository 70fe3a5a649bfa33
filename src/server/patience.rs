//! How long a peer may keep us waiting: one rule for stalls and for trickles.

use std::time::Duration;

use tokio::time::Instant;

/// A store of waiting time. Waiting for the peer uses it up, each byte that moves refills it by
/// 1/rate seconds, and it never holds more than at first. A peer that stops entirely has the whole
/// store left; one that trickles below the rate runs out nearly as soon; one above it never does.
#[derive(Debug)]
pub(super) struct Patience {
    full: Duration,
    bytes_per_second: u32,
    left: Duration,
    waiting_since: Option<Instant>,
}

impl Patience {
    /// A full store. A rate of 0 counts as 1 byte a second.
    pub(super) fn new(full: Duration, bytes_per_second: u32) -> Self {
        Self {
            full,
            bytes_per_second: bytes_per_second.max(1),
            left: full,
            waiting_since: None,
        }
    }

    /// Notes that the peer keeps us waiting, and says until when we do.
    pub(super) fn wait(&mut self, now: Instant) -> Instant {
        *self.waiting_since.get_or_insert(now) + self.left
    }

    /// Notes that `bytes` moved, which ends the wait.
    pub(super) fn progress(&mut self, now: Instant, bytes: usize) {
        if let Some(since) = self.waiting_since.take() {
            self.left = self
                .left
                .saturating_sub(now.saturating_duration_since(since));
        }
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let earned = Duration::from_micros(
            bytes.saturating_mul(1_000_000) / u64::from(self.bytes_per_second),
        );
        self.left = self.full.min(self.left.saturating_add(earned));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends `bytes` every second until the peer is given up; seconds until then, at most `limit`.
    fn seconds_until_cut(bytes: usize, limit: u64) -> Option<u64> {
        let start = Instant::now();
        let mut patience = Patience::new(Duration::from_secs(8), 1024);
        for second in 0..limit {
            let now = start + Duration::from_secs(second);
            if patience.wait(now) < now + Duration::from_secs(1) {
                return Some(second);
            }
            patience.progress(now + Duration::from_secs(1), bytes);
        }
        None
    }

    #[test]
    fn d01_a_trickle_runs_out_and_a_steady_peer_does_not() {
        assert_eq!(seconds_until_cut(0, 100), Some(8));
        assert_eq!(seconds_until_cut(1, 100), Some(8));
        assert_eq!(seconds_until_cut(512, 100), Some(15));
        assert_eq!(seconds_until_cut(1024, 10_000), None);
        assert_eq!(seconds_until_cut(1 << 20, 10_000), None);
    }

    #[test]
    fn d01_a_large_burst_does_not_buy_a_long_silence() {
        let now = Instant::now();
        let mut patience = Patience::new(Duration::from_secs(8), 1024);
        patience.progress(now, 1 << 30);
        assert_eq!(patience.wait(now), now + Duration::from_secs(8));
    }
}
