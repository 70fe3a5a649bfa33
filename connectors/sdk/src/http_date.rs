//! Times as HTTP writes them, and the platform's own clock.

use http::HeaderMap;
use http::header::DATE;
use jiff::Timestamp;
use jiff::fmt::{rfc2822, strtime};
use jiff::tz::TimeZone;

use crate::Time;

/// The longest value that is looked at, in bytes; a date has 33 at most.
const MAX_VALUE_BYTES: usize = 64;

/// When the platform answered by its own clock: the header `Date`, in whole seconds. `None` where it is missing or cannot
/// be read. A proxy on the way may have set it.
#[must_use]
pub fn answered_at(headers: &HeaderMap) -> Option<Time> {
    let date = parse(text(headers, &DATE)?)?;
    Some(Time::from_millis(date.as_millisecond()))
}

/// A header's value, if it may be a number or a date.
pub(crate) fn text<'a>(headers: &'a HeaderMap, name: &http::HeaderName) -> Option<&'a str> {
    let value = headers.get(name)?.to_str().ok()?.trim();
    (value.len() <= MAX_VALUE_BYTES).then_some(value)
}

/// A date as HTTP writes it: `Sun, 06 Nov 1994 08:49:37 GMT`, and the two old forms (RFC 9110, 5.6.7).
pub(crate) fn parse(text: &str) -> Option<Timestamp> {
    if let Ok(date) = rfc2822::DateTimeParser::new().parse_timestamp(text) {
        return Some(date);
    }
    [
        "%A, %d-%b-%y %H:%M:%S GMT",
        "%a, %d-%b-%y %H:%M:%S GMT",
        "%a %b %e %H:%M:%S %Y",
    ]
    .iter()
    .find_map(|form| {
        let date = strtime::parse(form, text).ok()?.to_datetime().ok()?;
        let zoned = date.to_zoned(TimeZone::UTC).ok()?;
        Some(zoned.timestamp())
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn f11_the_platform_tells_its_own_clock() {
        let told = |value: &[u8]| {
            let mut headers = HeaderMap::new();
            headers.insert(DATE, HeaderValue::from_bytes(value).expect("a header"));
            answered_at(&headers).map(|at| at.to_string())
        };
        let expected = Some("2026-11-21T17:20:31.000Z".to_owned());
        assert_eq!(told(b"Sat, 21 Nov 2026 17:20:31 GMT"), expected);
        assert_eq!(told(b" Saturday, 21-Nov-26 17:20:31 GMT "), expected);
        assert_eq!(told(b"Sat Nov 21 17:20:31 2026"), expected);
        for strange in [&b""[..], b"now", b"\xff", b"1795281631", &[b'1'; 100]] {
            assert_eq!(told(strange), None);
        }
        assert_eq!(answered_at(&HeaderMap::new()), None);
    }
}
