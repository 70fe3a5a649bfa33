//! Reading a platform's JSON leniently, after it was verified.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

/// The JSON text of a body, mended where strict readers would refuse all of it: bytes that are not UTF-8 and escaped
/// halves of surrogate pairs become U+FFFD (W13). A body that needs no mending is borrowed.
#[must_use]
pub fn mended(body: &[u8]) -> Cow<'_, str> {
    let text = String::from_utf8_lossy(body);
    if !has_escaped_surrogate(&text) {
        return text;
    }
    match with_lone_surrogates_replaced(&text) {
        Some(mended) => Cow::Owned(mended),
        None => text,
    }
}

fn has_escaped_surrogate(text: &str) -> bool {
    text.as_bytes()
        .windows(3)
        .any(|window| window[0] == b'\\' && window[1] == b'u' && matches!(window[2], b'd' | b'D'))
}

/// `None` where every escaped surrogate has its other half.
fn with_lone_surrogates_replaced(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let mut lone = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        if bytes[at] != b'\\' {
            at += 1;
        } else if bytes.get(at + 1) != Some(&b'u') {
            at += 2; // an escape of one character, a backslash among them
        } else {
            match unit(bytes, at) {
                Some(0xD800..=0xDBFF) => match unit(bytes, at + 6) {
                    Some(0xDC00..=0xDFFF) => at += 12,
                    _ => {
                        lone.push(at);
                        at += 6;
                    }
                },
                Some(0xDC00..=0xDFFF) => {
                    lone.push(at);
                    at += 6;
                }
                _ => at += 2,
            }
        }
    }
    if lone.is_empty() {
        return None;
    }
    let mut mended = String::with_capacity(text.len());
    let mut from = 0;
    for at in lone {
        mended.push_str(&text[from..at]);
        mended.push_str("\\ufffd");
        from = at + 6;
    }
    mended.push_str(&text[from..]);
    Some(mended)
}

/// The UTF-16 unit of the escape `\uXXXX` that begins at `at`.
fn unit(bytes: &[u8], at: usize) -> Option<u16> {
    let escape = bytes.get(at..at + 6)?;
    if !escape.starts_with(b"\\u") || !escape[2..].iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u16::from_str_radix(std::str::from_utf8(&escape[2..]).ok()?, 16).ok()
}

/// A value that may be written in more than one way, kept as it stands until its reader knows which.
pub type Raw<'a> = &'a RawValue;

/// An integer that some platforms write as a number, some as a string, and now and then as a number with decimals.
/// `None` for anything else.
pub fn lenient_i64<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<i64>, D::Error> {
    let raw = <&RawValue>::deserialize(deserializer)?.get();
    let digits = raw.trim_matches('"');
    #[expect(
        clippy::cast_possible_truncation,
        reason = "times beyond i64 are no times; the cast saturates"
    )]
    Ok(digits
        .parse()
        .ok()
        .or_else(|| digits.parse::<f64>().ok().map(|float| float as i64)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w13_lone_surrogates_and_bad_bytes_are_replaced_and_nothing_else() {
        for (body, mended_text) in [
            (
                &br#"{"t":"ok \ud83d\udce6"}"#[..],
                r#"{"t":"ok \ud83d\udce6"}"#,
            ),
            (br#"{"t":"a\ud83db"}"#, r#"{"t":"a\ufffdb"}"#),
            (br#"{"t":"\udce6"}"#, r#"{"t":"\ufffd"}"#),
            (br#"{"t":"\\ud83d"}"#, r#"{"t":"\\ud83d"}"#),
            (
                br#"{"t":"\ud83d\ud83d\udce6"}"#,
                r#"{"t":"\ufffd\ud83d\udce6"}"#,
            ),
            (br#"{"t":"\ud8"}"#, r#"{"t":"\ud8"}"#),
            (b"{\"t\":\"\xff\"}", "{\"t\":\"\u{fffd}\"}"),
        ] {
            assert_eq!(mended(body), mended_text);
        }
    }

    #[test]
    fn a_clean_body_is_borrowed() {
        assert!(matches!(mended(br#"{"t":"plain"}"#), Cow::Borrowed(_)));
    }

    #[test]
    fn numbers_are_read_however_they_are_written() {
        #[derive(Deserialize)]
        struct N {
            #[serde(deserialize_with = "lenient_i64")]
            n: Option<i64>,
        }
        let read = |json: &str| serde_json::from_str::<N>(json).expect(json).n;
        assert_eq!(read(r#"{"n":1701427705708}"#), Some(1_701_427_705_708));
        assert_eq!(read(r#"{"n":"1527459824"}"#), Some(1_527_459_824));
        assert_eq!(read(r#"{"n":1.5e3}"#), Some(1500));
        assert_eq!(read(r#"{"n":null}"#), None);
        assert_eq!(read(r#"{"n":[1]}"#), None);
    }
}
