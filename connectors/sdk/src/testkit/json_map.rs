//! Where the parts of a JSON text stand, so that tests can change one part and leave the rest as it was written.

use std::ops::Range;

/// The places in one JSON text, in bytes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct JsonMap {
    /// Every value, also those inside others.
    pub(crate) values: Vec<Range<usize>>,
    /// Every key with its quotes.
    pub(crate) keys: Vec<Range<usize>>,
    /// Every member of an object: from its key to the end of its value.
    pub(crate) members: Vec<Range<usize>>,
    /// Every `}` and whether its object is empty.
    pub(crate) object_ends: Vec<(usize, bool)>,
}

struct Open {
    start: usize,
    is_object: bool,
    is_empty: bool,
    /// The key whose value is being read.
    key_start: Option<usize>,
}

impl JsonMap {
    /// Reads a text that is known to be JSON; of anything else the map is merely incomplete.
    pub(crate) fn of(text: &[u8]) -> Self {
        let mut map = Self::default();
        let mut open: Vec<Open> = Vec::new();
        let mut at = 0;
        while at < text.len() {
            match text[at] {
                b'{' | b'[' => {
                    open.push(Open {
                        start: at,
                        is_object: text[at] == b'{',
                        is_empty: true,
                        key_start: None,
                    });
                    at += 1;
                }
                b'}' | b']' => {
                    if let Some(closed) = open.pop() {
                        if closed.is_object {
                            map.object_ends.push((at, closed.is_empty));
                        }
                        map.add_value(closed.start..at + 1, &mut open);
                    }
                    at += 1;
                }
                b'"' => {
                    let end = string_end(text, at);
                    let parent = open.last_mut();
                    match parent {
                        Some(parent) if parent.is_object && parent.key_start.is_none() => {
                            parent.key_start = Some(at);
                            map.keys.push(at..end);
                        }
                        _ => map.add_value(at..end, &mut open),
                    }
                    at = end;
                }
                b',' | b':' | b' ' | b'\t' | b'\r' | b'\n' => at += 1,
                _ => {
                    let ends = |byte: &u8| {
                        matches!(byte, b',' | b']' | b'}' | b' ' | b'\t' | b'\r' | b'\n')
                    };
                    let end = text[at..]
                        .iter()
                        .position(ends)
                        .map_or(text.len(), |length| at + length);
                    map.add_value(at..end.max(at + 1), &mut open);
                    at = end.max(at + 1);
                }
            }
        }
        map
    }

    fn add_value(&mut self, value: Range<usize>, open: &mut [Open]) {
        if let Some(parent) = open.last_mut() {
            parent.is_empty = false;
            if let Some(key_start) = parent.key_start.take() {
                self.members.push(key_start..value.end);
            }
        }
        self.values.push(value);
    }
}

fn string_end(text: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < text.len() {
        match text[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    text.len()
}

/// `text` with what stands in `place` replaced.
pub(crate) fn replaced(text: &[u8], place: &Range<usize>, by: &[u8]) -> Vec<u8> {
    [&text[..place.start], by, &text[place.end..]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_every_part() {
        let text = br#"{"a": [1, "x\"}", {}], "b":{"c":null}}"#;
        let map = JsonMap::of(text);
        let texts = |places: &[Range<usize>]| -> Vec<String> {
            places
                .iter()
                .map(|place| String::from_utf8_lossy(&text[place.clone()]).into_owned())
                .collect()
        };
        assert_eq!(texts(&map.keys), [r#""a""#, r#""b""#, r#""c""#]);
        assert_eq!(
            texts(&map.values),
            [
                "1",
                r#""x\"}""#,
                "{}",
                r#"[1, "x\"}", {}]"#,
                "null",
                r#"{"c":null}"#,
                "{\"a\": [1, \"x\\\"}\", {}], \"b\":{\"c\":null}}"
            ]
        );
        assert_eq!(
            texts(&map.members),
            [
                r#""a": [1, "x\"}", {}]"#,
                r#""c":null"#,
                r#""b":{"c":null}"#
            ]
        );
        assert_eq!(
            map.object_ends.iter().map(|end| end.1).collect::<Vec<_>>(),
            [true, false, false]
        );
    }

    #[test]
    fn what_is_no_json_does_not_hang() {
        for text in [&b"\"\\"[..], b"}}]]", b"{\"a\"", b"\xff\xfe", b""] {
            let _ = JsonMap::of(text);
        }
    }
}
