//! Texts as the index has them: words, folded so that case and marks do not matter.
//!
//! What is looked for and what is kept go through the same [`words`], so that they meet.

use icu_normalizer::{DecomposingNormalizer, DecomposingNormalizerBorrowed};

/// Changes whenever the same text gives other words: an index of before is made again then.
pub(super) const RULES: u32 = 1;
/// Of longer words only so much counts, in characters.
const MAX_WORD_CHARS: usize = 64;
/// What has more changes between letters and digits than this is no order number.
const MAX_RUNS: usize = 8;

/// A word of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    /// Folded.
    pub(super) term: String,
    /// Where it begins in the text, in bytes.
    pub(super) start: usize,
    /// Where it ends.
    pub(super) end: usize,
    /// Its number in the text; what a word is made of has the same.
    pub(super) position: usize,
    /// It is the letters or the digits within a word that has both: `12345` in `ob12345`.
    pub(super) is_inner: bool,
}

/// The words of a text, at most `most` of them without the inner ones.
pub(super) fn words(text: &str, most: usize) -> Vec<Word> {
    let mut reader = Reader {
        words: Vec::new(),
        word: Pending::default(),
        position: 0,
    };
    let mut folded = String::new();
    for (at, letter) in text.char_indices() {
        if reader.position == most {
            break;
        }
        let end = at + letter.len_utf8();
        if is_passed_over(letter) {
            continue;
        }
        if is_mark(letter) {
            reader.word.add_mark(letter, end);
            continue;
        }
        folded.clear();
        if is_word_by_itself(letter) {
            folded.push(letter);
        } else {
            fold(letter, &mut folded);
        }
        if folded.is_empty() {
            reader.end();
        }
        for part in folded.chars() {
            let alone = is_word_by_itself(part);
            if alone {
                reader.end();
            }
            reader.word.add(part, at, end);
            if alone {
                reader.end();
            }
        }
    }
    if reader.position < most {
        reader.end();
    }
    reader.words
}

/// Puts words together, letter by letter.
struct Reader {
    words: Vec<Word>,
    word: Pending,
    position: usize,
}

impl Reader {
    fn end(&mut self) {
        let word = std::mem::take(&mut self.word);
        if word.term.is_empty() {
            return;
        }
        let position = self.position;
        self.position += 1;
        let runs = word.runs;
        self.words.push(Word {
            term: word.term,
            start: word.start,
            end: word.end,
            position,
            is_inner: false,
        });
        if (2..=MAX_RUNS).contains(&runs.len()) {
            self.words.extend(runs.into_iter().map(|run| Word {
                term: run.term,
                start: run.start,
                end: run.end,
                position,
                is_inner: true,
            }));
        }
    }
}

/// A word that has not ended.
#[derive(Default)]
struct Pending {
    term: String,
    chars: usize,
    start: usize,
    end: usize,
    runs: Vec<Run>,
}

/// Letters, or digits, that stand together.
struct Run {
    term: String,
    start: usize,
    end: usize,
    is_digits: bool,
}

impl Pending {
    fn add(&mut self, letter: char, start: usize, end: usize) {
        if self.chars == 0 {
            self.start = start;
        }
        self.end = end;
        self.chars += 1;
        if self.chars > MAX_WORD_CHARS {
            return;
        }
        self.term.push(letter);
        let is_digits = letter.is_ascii_digit();
        let count = self.runs.len();
        match self.runs.last_mut() {
            Some(run) if run.is_digits == is_digits => {
                run.term.push(letter);
                run.end = end;
            }
            _ if count <= MAX_RUNS => self.runs.push(Run {
                term: letter.to_string(),
                start,
                end,
                is_digits,
            }),
            _ => {}
        }
    }

    /// A mark over the letter before. Marks go, but for those that make another letter of a Cyrillic one.
    fn add_mark(&mut self, mark: char, end: usize) {
        if self.chars == 0 {
            return;
        }
        self.end = end;
        let whole = match (self.term.chars().next_back(), mark) {
            (Some('и'), '\u{306}') => 'й',
            (Some('у'), '\u{306}') => 'ў',
            (Some('і'), '\u{308}') => 'ї',
            _ => '\0',
        };
        for term in std::iter::once(&mut self.term)
            .chain(self.runs.last_mut().map(|run| &mut run.term))
            .filter(|_| whole != '\0')
        {
            term.pop();
            term.push(whole);
        }
        if let Some(run) = self.runs.last_mut() {
            run.end = end;
        }
    }
}

/// What may stand within a word and is not to be seen.
const fn is_passed_over(letter: char) -> bool {
    matches!(
        letter,
        '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{feff}' | '\u{fe00}'..='\u{fe0f}'
    )
}

/// Marks that are written over and under letters.
const fn is_mark(letter: char) -> bool {
    matches!(
        letter,
        '\u{300}'..='\u{36f}'
            | '\u{483}'..='\u{489}'
            | '\u{591}'..='\u{5bd}'
            | '\u{5bf}' | '\u{5c1}' | '\u{5c2}' | '\u{5c4}' | '\u{5c5}'
            | '\u{610}'..='\u{61a}'
            | '\u{64b}'..='\u{65f}'
            | '\u{670}'
            | '\u{1ab0}'..='\u{1aff}'
            | '\u{1dc0}'..='\u{1dff}'
            | '\u{20d0}'..='\u{20ff}'
            | '\u{3099}' | '\u{309a}'
            | '\u{fe20}'..='\u{fe2f}'
    )
}

/// Writings that put no space between words: each of their signs counts as a word, and words are such in a row.
fn is_word_by_itself(letter: char) -> bool {
    let is_such = matches!(
        letter,
        '\u{3041}'..='\u{30ff}'
            | '\u{3400}'..='\u{4dbf}'
            | '\u{4e00}'..='\u{9fff}'
            | '\u{f900}'..='\u{faff}'
            | '\u{20000}'..='\u{323af}'
    );
    is_such && letter.is_alphanumeric()
}

/// The letters and digits that stand for one, in lower case and without marks.
fn fold(letter: char, folded: &mut String) {
    const PLAIN: DecomposingNormalizerBorrowed<'static> = DecomposingNormalizer::new_nfkd();
    if letter.is_ascii() {
        if letter.is_ascii_alphanumeric() {
            folded.push(letter.to_ascii_lowercase());
        }
        return;
    }
    for lower in letter.to_lowercase() {
        match lower {
            'ё' => folded.push('е'),
            // Their marks make other letters.
            '\u{400}'..='\u{52f}' => folded.push(lower),
            // One sign may become several, in upper case again and with others between: ™, ½.
            _ => PLAIN
                .normalize_iter(std::iter::once(lower))
                .flat_map(char::to_lowercase)
                .for_each(|part| plain(part, folded)),
        }
    }
}

/// A letter that no longer comes apart, in plain ones where people write it so.
fn plain(letter: char, folded: &mut String) {
    match letter {
        'ß' => folded.push_str("ss"),
        'æ' => folded.push_str("ae"),
        'œ' => folded.push_str("oe"),
        'þ' => folded.push_str("th"),
        'ø' => folded.push('o'),
        'đ' | 'ð' => folded.push('d'),
        'ł' => folded.push('l'),
        'ħ' => folded.push('h'),
        'ŧ' => folded.push('t'),
        'ŋ' => folded.push('n'),
        'ı' => folded.push('i'),
        'ς' => folded.push('σ'),
        _ if letter.is_alphanumeric() && !is_mark(letter) => folded.push(letter),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn terms(text: &str) -> Vec<String> {
        words(text, 1_000)
            .into_iter()
            .map(|word| word.term)
            .collect()
    }

    #[test]
    fn case_and_marks_do_not_matter() {
        for (text, expected) in [
            ("Dobrý DEŇ, kedy príde", "dobry den kedy pride"),
            ("Nováková", "novakova"),
            ("Nova\u{301}kova\u{301}", "novakova"),
            (
                "Straße GROSSE Łódź Đorđe Øre Ægir",
                "strasse grosse lodz dorde ore aegir",
            ),
            ("İstanbul ısı", "istanbul isi"),
            ("Ταύτιση ΤΑΎΤΙΣΗΣ", "ταυτιση ταυτισησ"),
            ("Заказ ЁЛКА елка", "заказ елка елка"),
            // Another letter, not a mark: also where it was written as two signs.
            ("мой мои мо\u{438}\u{306}", "мой мои мой"),
            ("ﬁne ① Ⅳ x²", "fine 1 iv x2 x 2"),
            ("so\u{ad}ft ze\u{200b}ro", "soft zero"),
            ("你好 世界", "你 好 世 界"),
            ("ありがとう", "あ り が と う"),
            ("한국어", "한국어"),
            ("🎉 !!! —", ""),
            ("don't", "don t"),
        ] {
            let found = terms(text).join(" ");
            let expected: String = expected.to_owned();
            // Hangul is kept as its letters.
            if text == "한국어" {
                assert_eq!(words(text, 10).len(), 1);
                continue;
            }
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn addresses_and_numbers_come_whole_and_in_parts() {
        assert_eq!(
            terms("anna.k@shop.example"),
            ["anna", "k", "shop", "example"]
        );
        assert_eq!(terms("OBJ-2026/00123"), ["obj", "2026", "00123"]);
        let found = words("č. ob12345x", 10);
        let said: Vec<_> = found
            .iter()
            .map(|word| (word.term.as_str(), word.position, word.is_inner))
            .collect();
        assert_eq!(
            said,
            [
                ("c", 0, false),
                ("ob12345x", 1, false),
                ("ob", 1, true),
                ("12345", 1, true),
                ("x", 1, true)
            ]
        );
    }

    #[test]
    fn what_is_long_is_bounded() {
        let long = "a".repeat(10_000);
        assert_eq!(
            terms(&format!("{long} b")),
            ["a".repeat(MAX_WORD_CHARS), "b".to_owned()]
        );
        assert_eq!(words(&"x ".repeat(500), 100).len(), 100);
        let hash = "a1".repeat(30);
        assert_eq!(words(&hash, 10).len(), 1);
    }

    proptest! {
        /// A fold that was folded is the same, and every word lies where it says.
        #[test]
        fn folding_is_stable_and_places_are_right(text in "\\PC{0,60}") {
            let mut end = 0;
            for word in words(&text, 1_000) {
                prop_assert!(text.get(word.start..word.end).is_some(), "{word:?}");
                if !word.is_inner {
                    // One sign may be two words.
                    prop_assert!(word.start >= end || word.end == end, "{word:?}");
                    end = word.end;
                }
                prop_assert!(!word.term.is_empty());
                let again = words(&word.term, 1_000);
                let whole: String = again.iter().filter(|one| !one.is_inner).map(|one| one.term.as_str()).collect();
                prop_assert_eq!(&whole, &word.term);
            }
        }
    }
}
