//! Whether the time of a check tells how much of a forged signature was right (W04).
//!
//! `cargo bench -p deskbell-sdk` measures 100,000 checks of signatures that are wrong from their first digit on
//! against 100,000 that are wrong in their last, in random order, and compares the two by Welch's t: beyond ±4.5 they
//! differ by more than chance, and it ends with 1. It first shows that it would notice: the same with a comparison that
//! stops at the first difference.

#![expect(
    clippy::print_stdout,
    reason = "a benchmark is there to print its figures"
)]

use std::hint::black_box;
use std::process::ExitCode;
use std::time::Instant;

use deskbell_sdk::Secret;
use deskbell_sdk::webhook::{hmac_sha256_hex, is_hmac_sha256_hex, same_secret};

/// How many checks of each kind are measured.
const SAMPLES: usize = 100_000;
/// Beyond this, chance does not explain a difference.
const MOST: f64 = 4.5;

/// A generator that is good enough to mix two kinds.
struct Dice(u64);

impl Dice {
    fn throw(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// Welch's t of the times that `check` takes for one and for the other. The slowest tenth is left out: there speaks the
/// machine, not the check.
fn t_of(check: impl Fn(&str) -> bool, one: &str, other: &str) -> f64 {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut times = [Vec::with_capacity(SAMPLES), Vec::with_capacity(SAMPLES)];
    let (one, other) = (one.to_owned(), other.to_owned());
    let mut buffer = String::with_capacity(one.len());
    while times.iter().any(|times| times.len() < SAMPLES) {
        let class = usize::from(dice.throw() & 1 == 0);
        // Both are read from the same place in memory.
        buffer.clear();
        buffer.push_str(if class == 0 { &one } else { &other });
        let begun = Instant::now();
        let fits = black_box(check(black_box(&buffer)));
        let took = begun.elapsed().as_nanos();
        assert!(!fits, "both are forged");
        if times[class].len() < SAMPLES {
            #[expect(clippy::cast_precision_loss, reason = "nanoseconds of one check")]
            times[class].push(took as f64);
        }
    }
    let [one, other] = times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times.truncate(SAMPLES * 9 / 10);
        let count = f64::from(u32::try_from(times.len()).unwrap_or(u32::MAX));
        let mean = times.iter().sum::<f64>() / count;
        let variance = times.iter().map(|time| (time - mean).powi(2)).sum::<f64>() / (count - 1.0);
        (mean, variance / count)
    });
    (one.0 - other.0) / (one.1 + other.1).sqrt()
}

fn main() -> ExitCode {
    let secret = Secret::new("a secret of the benchmark's, 32 by");
    let body = br#"{"object":"page","entry":[]}"#;
    let right = hmac_sha256_hex(&secret, body);
    let changed = |place: usize| {
        let mut digits = right.clone().into_bytes();
        digits[place] = if digits[place] == b'0' { b'1' } else { b'0' };
        String::from_utf8_lossy(&digits).into_owned()
    };
    let (first, last) = (changed(0), changed(right.len() - 1));
    let hasty = |presented: &str| {
        let equal = right
            .bytes()
            .zip(presented.bytes())
            .all(|(one, other)| black_box(one) == black_box(other));
        equal && right.len() == presented.len()
    };
    let planted = t_of(hasty, &first, &last);
    println!("a comparison that stops at the first difference: t = {planted:.1}");
    if planted.abs() < MOST {
        println!("the benchmark does not notice a planted fault: it proves nothing here");
        return ExitCode::FAILURE;
    }
    let token = Secret::new(right.clone());
    let mut told = false;
    for (name, t) in [
        (
            "the check of a signature",
            t_of(
                |presented| is_hmac_sha256_hex(&secret, body, presented),
                &first,
                &last,
            ),
        ),
        (
            "the check of a shared secret",
            t_of(|presented| same_secret(&token, presented), &first, &last),
        ),
    ] {
        println!("{name}: t = {t:.2} (within ±{MOST} is chance)");
        told |= t.abs() >= MOST;
    }
    if told {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}
