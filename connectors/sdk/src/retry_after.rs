//! How long a platform asks to wait: the header `Retry-After`, in every form that is in use.

use std::time::Duration;

use http::HeaderMap;
use http::header::RETRY_AFTER;

use crate::http_date;

/// The longest wait that is believed; whoever asks for more is asked again after an hour.
pub const LONGEST_WAIT: Duration = Duration::from_secs(60 * 60);

/// Below this a number is a wait in seconds, from here on it is a point in time (2001 and later) in seconds.
const FIRST_EPOCH_SECOND: f64 = 1e9;
/// From here on a number is a point in time in milliseconds.
const FIRST_EPOCH_MILLISECOND: f64 = 1e11;
/// What `Retry-After` asks for, at most [`LONGEST_WAIT`]: a number of seconds (`120`, `0.5`), an HTTP date in any of
/// its three forms (RFC 9110, 5.6.7), or a number of seconds or milliseconds since 1970.
///
/// There is no clock here: a point in time is measured against the answer's own `Date`, so that the platform's clock may
/// differ from ours, and is of no use where that is missing. `None` for that, and for what cannot be read; then the
/// caller's own rule holds. A point that is past means: at once.
#[must_use]
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = http_date::text(headers, &RETRY_AFTER)?;
    let until = |point_ms: f64| {
        let now = http_date::answered_at(headers)?.as_millis();
        #[expect(
            clippy::cast_precision_loss,
            reason = "milliseconds of our time are exact in 53 bits"
        )]
        seconds((point_ms - now as f64).max(0.0) / 1000.0)
    };
    match number(value) {
        Some(wait) if wait < FIRST_EPOCH_SECOND => seconds(wait),
        Some(point) if point < FIRST_EPOCH_MILLISECOND => until(point * 1000.0),
        Some(point) => until(point),
        #[expect(
            clippy::cast_precision_loss,
            reason = "milliseconds of our time are exact in 53 bits"
        )]
        None => until(http_date::parse(value)?.as_millisecond() as f64),
    }
}

/// A number of digits with at most one point: no sign, no exponent, no `inf`.
fn number(text: &str) -> Option<f64> {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let points = text.bytes().filter(|byte| *byte == b'.').count();
    (digits > 0 && points <= 1 && digits + points == text.len())
        .then(|| text.parse().ok())
        .flatten()
}

fn seconds(wait: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(wait.min(LONGEST_WAIT.as_secs_f64())).ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::DATE;

    use super::*;

    const NOW: &str = "Sat, 21 Nov 2026 17:20:31 GMT";

    fn asked(value: &str, date: Option<&str>) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_str(value).expect("a header"));
        if let Some(date) = date {
            headers.insert(DATE, HeaderValue::from_str(date).expect("a header"));
        }
        retry_after(&headers)
    }

    #[test]
    fn f16_a_wait_is_read_in_every_form() {
        for (value, wait_ms) in [
            ("0", 0),
            ("1", 1000),
            (" 120 ", 120_000),
            ("0.5", 500),
            ("2.", 2000),
            (".25", 250),
            ("3600", 3_600_000),
            ("Sat, 21 Nov 2026 17:21:31 GMT", 60_000),
            ("Saturday, 21-Nov-26 17:21:31 GMT", 60_000),
            ("Sat Nov 21 17:21:31 2026", 60_000),
            ("1795281691", 60_000),
            ("1795281631.5", 500),
            ("1795281691000", 60_000),
        ] {
            let wait = Duration::from_millis(wait_ms);
            assert_eq!(asked(value, Some(NOW)), Some(wait), "{value}");
        }
        assert_eq!(
            asked("Sun Nov  1 17:21:31 2026", Some(NOW)),
            Some(Duration::ZERO),
            "what is past means at once"
        );
        assert_eq!(asked("1000000000", Some(NOW)), Some(Duration::ZERO));
    }

    #[test]
    fn f16_nobody_makes_us_wait_longer_than_an_hour() {
        for value in [
            "3601",
            "86400",
            "999999999",
            "9999999999",
            "99999999999999999999999999999999",
            "Sat, 21 Nov 2099 17:20:31 GMT",
        ] {
            assert_eq!(asked(value, Some(NOW)), Some(LONGEST_WAIT), "{value}");
        }
    }

    #[test]
    fn f16_garbage_asks_for_nothing() {
        for value in [
            "",
            "-1",
            "-0.5",
            "+5",
            "1e3",
            "inf",
            "NaN",
            "0x10",
            "5 s",
            "1,5",
            "1.2.3",
            ".",
            "soon",
            "<html>",
            "Sat, 31 Nov 2026 17:20:31 GMT",
            "2026-13-40",
        ] {
            assert_eq!(asked(value, Some(NOW)), None, "{value}");
        }
        assert_eq!(asked(&"1".repeat(65), Some(NOW)), None);
        assert_eq!(retry_after(&HeaderMap::new()), None);
        let mut headers = HeaderMap::new();
        let bytes = HeaderValue::from_bytes(b"\xff\xfe").expect("bytes are allowed");
        headers.insert(RETRY_AFTER, bytes);
        assert_eq!(retry_after(&headers), None);
    }

    #[test]
    fn f11_a_point_in_time_needs_the_platforms_own_clock() {
        for value in ["Sat, 21 Nov 2026 17:21:31 GMT", "1795281691"] {
            assert_eq!(asked(value, None), None, "{value}");
            assert_eq!(asked(value, Some("yesterday")), None, "{value}");
        }
        assert_eq!(asked("7", None), Some(Duration::from_secs(7)));
    }
}
