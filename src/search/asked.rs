//! What somebody looks for, read from the text that they typed.

use super::words::words;

/// The longest text that is read, in characters.
pub const MAX_CHARS: usize = 200;
/// How many of its words count: each costs a look into the index.
pub(super) const MAX_WORDS: usize = 12;
/// The fewest digits that are looked for as a telephone number.
const MIN_PHONE_DIGITS: usize = 5;
/// From how many characters on the last word stands for all that begin like it: one letter begins too many.
const MIN_PREFIX_CHARS: usize = 2;

/// What is looked for: all of the groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    pub(super) groups: Vec<Group>,
    /// The digits of a telephone number, where the text may be one: without what it begins with in other places.
    pub(super) phone: Option<String>,
}

/// Words that stand behind one another: those in quotes, or the parts of an address or a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) terms: Vec<String>,
    /// The last of them stands for all that begin like it.
    pub(super) is_prefix: bool,
}

impl Asked {
    /// Reads a text. Words in quotes are looked for as they stand; the last word of the text, where no quote ends behind
    /// it, is the beginning of a word.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let text: String = text.chars().take(MAX_CHARS).collect();
        let mut asked = Self {
            groups: Vec::new(),
            phone: phone(&text),
        };
        let mut room = MAX_WORDS;
        let mut add = |part: &str, whole: bool| {
            let found: Vec<_> = words(part, room)
                .into_iter()
                .filter(|word| !word.is_inner)
                .collect();
            if found.is_empty() {
                return;
            }
            room -= found.len();
            asked.groups.push(Group {
                terms: found.into_iter().map(|word| word.term).collect(),
                is_prefix: !whole,
            });
        };
        let mut pieces = text
            .split(['"', '“', '”', '„', '«', '»'])
            .enumerate()
            .peekable();
        while let Some((number, piece)) = pieces.next() {
            let is_last = pieces.peek().is_none();
            if number % 2 == 1 {
                add(piece, !is_last);
            } else {
                for part in piece.split_whitespace() {
                    add(part, false);
                }
            }
        }
        let count = asked.groups.len();
        for (number, group) in asked.groups.iter_mut().enumerate() {
            let long = group.terms.last().is_some_and(|term| {
                term.chars().take(MIN_PREFIX_CHARS).count() == MIN_PREFIX_CHARS
            });
            group.is_prefix &= long && number + 1 == count;
        }
        asked
    }

    /// Whether there is nothing to look for.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Whether a word of a text is one of those that are looked for.
    pub(super) fn is_hit(&self, term: &str) -> bool {
        self.groups.iter().any(|group| {
            let last = group.terms.len() - 1;
            group.terms.iter().enumerate().any(|(at, wanted)| {
                wanted == term
                    || (at == last && group.is_prefix && term.starts_with(wanted.as_str()))
            })
        })
    }
}

/// The digits of a text that may be a telephone number, without the zeros that it begins with: at home it begins with
/// one where abroad it begins with the country.
fn phone(text: &str) -> Option<String> {
    let is_part = |letter: char| letter.is_ascii_digit() || " +()-./".contains(letter);
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let digits = digits.trim_start_matches('0');
    (text.chars().all(is_part) && digits.len() >= MIN_PHONE_DIGITS).then(|| digits.to_owned())
}

/// The terms by which a telephone number is found: its digits, and their ends, since it may be written with the country
/// or without.
pub(super) fn phone_terms(number: &str) -> Vec<String> {
    let digits: String = number
        .chars()
        .filter(char::is_ascii_digit)
        .take(20)
        .collect();
    let ends = (0..digits.len()).filter_map(|from| digits.get(from..));
    ends.take_while(|end| end.len() >= MIN_PHONE_DIGITS)
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        let groups: Vec<_> = Asked::read(text)
            .groups
            .into_iter()
            .map(|group| group.terms.join("+") + if group.is_prefix { "*" } else { "" })
            .collect();
        groups.join(" ")
    }

    #[test]
    fn a_text_is_read_as_people_type_it() {
        for (text, expected) in [
            ("", ""),
            ("  ", ""),
            ("🎉", ""),
            ("Objednávka", "objednavka*"),
            ("kedy príde ", "kedy pride*"),
            ("a", "a"),
            ("\"Dobrý deň\" kedy", "dobry+den kedy*"),
            ("kedy \"Dobrý deň\"", "kedy dobry+den"),
            ("kedy \"Dobrý de", "kedy dobry+de*"),
            ("„Dobrý deň“", "dobry+den"),
            ("anna.k@shop.example", "anna+k+shop+example*"),
            ("OBJ-2026/00123 kde", "obj+2026+00123 kde*"),
            ("ob12345", "ob12345*"),
            ("\"\"\"", ""),
            (
                "a AND b OR (c) -d +e text:f ~2 *",
                "a and b or c d e text+f 2",
            ),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    #[test]
    fn d04_what_is_looked_for_is_bounded() {
        let many = read(&"slovo ".repeat(1_000));
        assert_eq!(many.split(' ').count(), MAX_WORDS);
        assert_eq!(
            Asked::read(&"x.".repeat(1_000)).groups[0].terms.len(),
            MAX_WORDS
        );
        assert!(read(&"y".repeat(100_000)).len() <= 65);
    }

    #[test]
    fn a_telephone_number_is_known_however_it_is_written() {
        for text in [
            "0905 123 456",
            "0905/123456",
            "(0905) 123-456",
            "00905123456",
        ] {
            assert_eq!(
                Asked::read(text).phone.as_deref(),
                Some("905123456"),
                "{text}"
            );
        }
        for text in ["+421 905 123 456", "00421905123456"] {
            assert_eq!(Asked::read(text).phone.as_deref(), Some("421905123456"));
        }
        for text in ["2026", "0905 123 456 Jana", "OBJ-2026/00123"] {
            assert_eq!(Asked::read(text).phone, None, "{text}");
        }
        let terms = phone_terms("+421 905/123 456");
        assert!(
            terms.contains(&"905123456".to_owned()) && terms.contains(&"421905123456".to_owned())
        );
        assert!(phone_terms("1234").is_empty());
    }
}
