//! How far a long command has come, on standard error.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use super::complain;

/// Says now and then how far it is.
#[derive(Debug)]
pub(super) struct Progress {
    what: &'static str,
    began: Instant,
    said_at: Instant,
    every: Duration,
    /// How many lines are done.
    pub(super) lines: u64,
    /// How many bytes are done.
    pub(super) bytes: u64,
    /// How many bytes there are in all, where that is known.
    pub(super) of_bytes: Option<u64>,
}

impl Progress {
    /// Begins.
    pub(super) fn begin(what: &'static str, of_bytes: Option<u64>) -> Self {
        let now = Instant::now();
        // A log is read later, by people who do not wait for it.
        let seconds = if std::io::stderr().is_terminal() {
            1
        } else {
            15
        };
        Self {
            what,
            began: now,
            said_at: now,
            every: Duration::from_secs(seconds),
            lines: 0,
            bytes: 0,
            of_bytes,
        }
    }

    /// Begins something that is counted in bytes alone.
    pub(super) fn of_bytes(what: &'static str) -> Self {
        Self::begin(what, None)
    }

    /// How many bytes are done, in words.
    pub(super) fn bytes_so_far(&self) -> String {
        format!(
            "{}.{} MiB",
            self.bytes >> 20,
            ((self.bytes & 0xF_FFFF) * 10) >> 20
        )
    }

    /// Says how far it is, where that was not said just now.
    pub(super) fn tell(&mut self) {
        if self.said_at.elapsed() < self.every {
            return;
        }
        self.said_at = Instant::now();
        let whole = self.of_bytes.filter(|bytes| *bytes > 0);
        let percent = whole.map_or_else(String::new, |whole| {
            format!("{} %, ", self.bytes.saturating_mul(100) / whole)
        });
        complain(&format!("{}: {percent}{}", self.what, self.so_far()));
    }

    /// What is done, in words.
    pub(super) fn so_far(&self) -> String {
        let milliseconds = self.began.elapsed().as_millis().max(1);
        let a_second = u128::from(self.lines) * 1000 / milliseconds;
        let bytes = self.bytes_so_far();
        if self.lines == 0 {
            return bytes;
        }
        format!("{} lines, {bytes}, {a_second} lines/s", self.lines)
    }
}
