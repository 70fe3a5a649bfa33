//! What somebody who is to be forgotten is known by, and how it is found in bytes of the log.

use std::fmt::Write as _;

use aho_corasick::AhoCorasick;

use super::StoreError;
use crate::id::MessageId;

/// Of longer texts only so much is looked for: strangers choose them, and what begins like that is the same.
const LONG_TEXT_BYTES: usize = 512;

/// Something by which a person is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Needle {
    /// An id of ours: of the contact, a conversation, a message, a file. It is found as a number, in keys, and as
    /// people write it.
    Id(u64),
    /// Bytes as they stand in keys: the 16 bytes of a platform's id (`external_key` without the channel), a hash.
    Bytes(Vec<u8>),
    /// A text: a platform's id, an address, a name. It is found where it stands for itself: as a whole text of a
    /// record, or with no letter or digit on either side.
    Text(String),
}

/// Finds any of several needles.
#[derive(Debug)]
pub(super) struct Finder {
    words: AhoCorasick,
    // Whether a match counts only where it stands for itself.
    bounded: Vec<bool>,
}

impl Finder {
    /// Takes needles; those that are empty find nothing.
    pub(super) fn new(needles: &[Needle]) -> Result<Self, StoreError> {
        let (mut patterns, mut bounded) = (Vec::new(), Vec::new());
        let mut add = |pattern: Vec<u8>, alone: bool| {
            if !pattern.is_empty() {
                patterns.push(pattern);
                bounded.push(alone);
            }
        };
        for needle in needles {
            match needle {
                Needle::Id(id) => {
                    add(id.to_be_bytes().to_vec(), false);
                    let written = MessageId(*id).to_string();
                    let digits = written.split_once('_').map_or("", |(_, digits)| digits);
                    add(digits.as_bytes().to_vec(), true);
                }
                Needle::Bytes(bytes) => add(bytes.clone(), false),
                Needle::Text(text) if text.len() > LONG_TEXT_BYTES => {
                    add(text.as_bytes()[..LONG_TEXT_BYTES].to_vec(), false);
                }
                Needle::Text(text) => {
                    add(text.clone().into_bytes(), true);
                    if !text.is_ascii() {
                        for escaped in escaped(text) {
                            add(escaped.into_bytes(), true);
                        }
                    }
                }
            }
        }
        let words = AhoCorasick::new(&patterns).map_err(|error| {
            StoreError::Unreadable(format!("so much cannot be looked for at once: {error}"))
        })?;
        Ok(Self { words, bounded })
    }

    /// Whether any of them is in `bytes`.
    pub(super) fn is_in(&self, bytes: &[u8]) -> bool {
        self.words.find_overlapping_iter(bytes).any(|found| {
            let alone = self
                .bounded
                .get(found.pattern().as_usize())
                .copied()
                .unwrap_or(false);
            !alone || stands_alone(bytes, found.start(), found.end())
        })
    }
}

/// As JSON may write it: in escapes, with small or with capital digits.
fn escaped(text: &str) -> [String; 2] {
    let mut both = [String::new(), String::new()];
    for unit in text.encode_utf16() {
        match u8::try_from(unit).ok().filter(u8::is_ascii) {
            Some(plain) => both
                .iter_mut()
                .for_each(|text| text.push(char::from(plain))),
            None => {
                // Writing to a text does not fail.
                let _ = write!(both[0], "\\u{unit:04x}");
                let _ = write!(both[1], "\\u{unit:04X}");
            }
        }
    }
    both
}

/// Whether the text from `start` to `end` is a whole text of MessagePack, or has no letter or digit beside it.
fn stands_alone(bytes: &[u8], start: usize, end: usize) -> bool {
    let before = &bytes[..start];
    let length = end - start;
    let is_whole = match length {
        0..=31 => before.ends_with(&[0xa0 | length as u8]),
        32..=0xff => before.ends_with(&[0xd9, length as u8]),
        0x100..=0xffff => before.ends_with(&[0xda, (length >> 8) as u8, length as u8]),
        _ => false,
    };
    let is_letter =
        |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte >= 0x80);
    is_whole || (!is_letter(before.last()) && !is_letter(bytes.get(end)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finds(needle: Needle, bytes: &[u8]) -> bool {
        Finder::new(&[needle]).unwrap().is_in(bytes)
    }

    fn text(text: &str) -> Needle {
        Needle::Text(text.to_owned())
    }

    #[test]
    fn k08_a_text_is_found_where_it_stands_for_itself() {
        for hay in ["\"id\":\"4711\"", "4711", "user=4711&x", "(4711)"] {
            assert!(finds(text("4711"), hay.as_bytes()), "{hay}");
        }
        for hay in ["47110", "x4711", "a4711b", ""] {
            assert!(!finds(text("4711"), hay.as_bytes()), "{hay}");
        }
        // One that does not stand for itself does not hide another that does.
        assert!(finds(text("aa"), b"aaa aa"));
        for long in [4, 31, 32, 255, 256, 512, 513, 70_000] {
            let word = "ab".repeat(long)[..long].to_owned();
            let record = rmp_serde::to_vec(&("x", &word, 65)).unwrap();
            assert!(finds(text(&word), &record), "{long}");
        }
        assert!(finds(text("Zoë"), "{\"name\":\"Zo\\u00EB\"}".as_bytes()));
        assert!(finds(text("Zoë"), "{\"name\":\"Zo\\u00eb\"}".as_bytes()));
        assert!(finds(text("Zoë"), "hello Zoë!".as_bytes()));
    }

    #[test]
    fn k08_an_id_is_found_as_a_number_in_a_key_and_as_people_write_it() {
        let id = 0x0199_0000_1234_5678;
        let written = MessageId(id).to_string();
        for hay in [
            rmp_serde::to_vec(&("text", MessageId(id))).unwrap(),
            [b"\x00\x01".as_slice(), &id.to_be_bytes()].concat(),
            format!("{{\"metadata\":\"dbk:{written}:0\"}}").into_bytes(),
        ] {
            assert!(finds(Needle::Id(id), &hay));
            assert!(!finds(Needle::Id(id + 1), &hay));
        }
        assert!(!finds(Needle::Text(String::new()), b"anything"));
        assert!(!Finder::new(&[]).unwrap().is_in(b"anything"));
    }
}
