//! Cutting a text that is longer than a platform takes: at a paragraph, a line or a word, and never inside of what a
//! person sees as one character.

/// How far back from the limit a place is looked for where no character is cut; nothing that people write is longer.
const LONGEST_CLUSTER_CHARS: usize = 64;

/// Cuts `text` into parts of at most `max_units` UTF-16 units, which is at least as strict as counting characters. Only
/// white space at the seams and at the ends of a text that is cut is left out; a text that fits stays as it is. There is
/// no part without anything to see, and none at all for a blank text. A limit below 2 counts as 2.
#[must_use]
pub fn split_text(text: &str, max_units: usize) -> Vec<String> {
    let max_units = max_units.max(2);
    if text.trim().is_empty() {
        return Vec::new();
    }
    if fitting(text, max_units) == text.len() {
        return vec![text.to_owned()];
    }
    let mut parts = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (part, behind) = rest.split_at(end_of_part(rest, max_units));
        parts.push(part.trim_end().to_owned());
        rest = behind.trim_start();
    }
    parts
}

/// How many bytes of `text` have at most `max_units`.
fn fitting(text: &str, max_units: usize) -> usize {
    let mut units = 0;
    for (at, character) in text.char_indices() {
        units += character.len_utf16();
        if units > max_units {
            return at;
        }
    }
    text.len()
}

/// Where the next part of `rest`, which begins with something visible, ends: at least one character is taken.
fn end_of_part(rest: &str, max_units: usize) -> usize {
    let limit = fitting(rest, max_units);
    if limit == rest.len() {
        return limit;
    }
    let head = &rest[..limit];
    // A part that is nearly empty reads worse than one that ends inside of a paragraph.
    let half = limit / 2;
    let paragraph = ["\n\n", "\n\r\n"]
        .iter()
        .filter_map(|gap| head.rfind(gap))
        .filter(|at| *at >= half && is_gap(rest, *at))
        .max();
    paragraph
        .or_else(|| last_gap(rest, limit, |character| character == '\n').filter(|at| *at >= half))
        .or_else(|| last_gap(rest, limit, separates_words))
        .unwrap_or_else(|| last_seam(rest, limit))
}

/// White space between words; the kinds that are made not to be broken at do not count.
fn separates_words(character: char) -> bool {
    character.is_whitespace() && !matches!(character, '\u{A0}' | '\u{202F}' | '\u{2007}')
}

/// The last place up to `limit` (included) with such a space.
fn last_gap(rest: &str, limit: usize, is_space: fn(char) -> bool) -> Option<usize> {
    let behind = rest[limit..].chars().next().map_or(0, char::len_utf8);
    rest[..limit + behind]
        .char_indices()
        .rev()
        .find(|(at, character)| is_space(*character) && is_gap(rest, *at))
        .map(|(at, _)| at)
}

/// Whether the space at `at` can be cut out: a mark that stands on it would lose its ground.
fn is_gap(rest: &str, at: usize) -> bool {
    !rest[at..].trim_start().starts_with(extends)
}

/// The last place up to `limit` that is not inside of a character as people see it; `limit` where there is none near.
fn last_seam(rest: &str, limit: usize) -> usize {
    rest[..limit]
        .char_indices()
        .rev()
        .take(LONGEST_CLUSTER_CHARS)
        .map(|(at, character)| at + character.len_utf8())
        .find(|at| is_seam(&rest[..*at], &rest[*at..]))
        .unwrap_or(limit)
}

fn is_seam(before: &str, behind: &str) -> bool {
    let (Some(last), Some(next)) = (before.chars().next_back(), behind.chars().next()) else {
        return true;
    };
    // Two of these make a flag.
    let is_flag_half = |character: char| matches!(character, '\u{1F1E6}'..='\u{1F1FF}');
    let halves = before
        .chars()
        .rev()
        .take_while(|character| is_flag_half(*character))
        .count();
    let cuts_flag = is_flag_half(next) && halves % 2 == 1;
    !(extends(next) || joins(last) || cuts_flag || (last == '\r' && next == '\n'))
}

/// Marks that belong to the character before them: accents, vowel signs, variation selectors, skin tones, joiners. Kept
/// to whole ranges: calling a sign a mark only moves the seam.
fn extends(character: char) -> bool {
    matches!(character,
        '\u{300}'..='\u{36F}' | '\u{483}'..='\u{489}' | '\u{591}'..='\u{5C7}' | '\u{610}'..='\u{61A}'
        | '\u{64B}'..='\u{65F}' | '\u{670}' | '\u{6D6}'..='\u{6ED}' | '\u{711}' | '\u{730}'..='\u{74A}'
        | '\u{E31}' | '\u{E33}'..='\u{E3A}' | '\u{E47}'..='\u{E4E}'
        | '\u{EB1}' | '\u{EB3}'..='\u{EBC}' | '\u{EC8}'..='\u{ECE}'
        | '\u{F18}'..='\u{F19}' | '\u{F35}'..='\u{F39}' | '\u{F71}'..='\u{FBC}'
        | '\u{102B}'..='\u{103E}' | '\u{1056}'..='\u{1059}' | '\u{1160}'..='\u{11FF}' | '\u{17B4}'..='\u{17D3}'
        | '\u{1AB0}'..='\u{1AFF}' | '\u{1DC0}'..='\u{1DFF}' | '\u{200C}'..='\u{200D}' | '\u{20D0}'..='\u{20F0}'
        | '\u{3099}'..='\u{309A}' | '\u{FE00}'..='\u{FE0F}' | '\u{FE20}'..='\u{FE2F}'
        | '\u{1F3FB}'..='\u{1F3FF}' | '\u{E0020}'..='\u{E007F}' | '\u{E0100}'..='\u{E01EF}')
        || is_indic_sign(character)
}

/// The vowel signs and accents of the ten scripts that Unicode lays out alike, 128 places each.
fn is_indic_sign(character: char) -> bool {
    ('\u{900}'..='\u{DFF}').contains(&character)
        && matches!(u32::from(character) & 0x7F, 0x00..=0x03 | 0x3C | 0x3E..=0x4D | 0x51..=0x57 | 0x62 | 0x63)
}

/// What ties the next character to itself: the zero-width joiner, and the virama of Indic scripts.
fn joins(character: char) -> bool {
    character == '\u{200D}'
        || (('\u{900}'..='\u{DFF}').contains(&character) && u32::from(character) & 0x7F == 0x4D)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(text: &str) -> usize {
        text.encode_utf16().count()
    }

    #[test]
    fn a_text_that_fits_stays_as_it_is() {
        for text in [" a\n", "exactly 10", "🎉🎉🎉🎉🎉"] {
            assert_eq!(split_text(text, 10), [text]);
        }
        assert!(split_text("", 10).is_empty());
        assert!(split_text(" \r\n\u{a0}\t ", 2).is_empty());
    }

    #[test]
    fn it_is_cut_at_paragraphs_then_lines_then_words() {
        assert_eq!(
            split_text("one two\n\nthree four\nfive", 16),
            ["one two", "three four\nfive"]
        );
        assert_eq!(
            split_text("one two\r\n\r\nthree four", 16),
            ["one two", "three four"]
        );
        assert_eq!(
            split_text("one two\nthree four", 14),
            ["one two", "three four"]
        );
        assert_eq!(
            split_text("a\nlong words here", 14),
            ["a\nlong words", "here"],
            "a part is not left nearly empty for a line's sake"
        );
        assert_eq!(split_text("exact words", 5), ["exact", "words"]);
        assert_eq!(split_text("unbreakable", 4), ["unbr", "eaka", "ble"]);
        let address = format!("see {}", "x".repeat(12));
        assert_eq!(split_text(&address, 12), ["see", "xxxxxxxxxxxx"]);
        assert_eq!(split_text("10\u{a0}Euro zu", 9), ["10\u{a0}Euro", "zu"]);
        assert_eq!(split_text(&format!("a{}b", " ".repeat(50)), 10), ["a", "b"]);
    }

    #[test]
    fn no_character_is_cut_that_people_see_as_one() {
        for cluster in [
            "e\u{301}",
            "👨\u{200D}👩\u{200D}👧\u{200D}👦",
            "👍🏽",
            "❤\u{FE0F}",
            "1\u{FE0F}\u{20E3}",
            "🇩🇪",
            "🏴\u{E0067}\u{E0062}\u{E0065}\u{E006E}\u{E0067}\u{E007F}",
            "क्षि",
            "กำ",
            "\u{1100}\u{1161}\u{11A8}",
            "か\u{3099}",
        ] {
            let text = format!("x{}", cluster.repeat(40));
            for limit in units(cluster)..units(cluster) * 3 + 2 {
                let parts = split_text(&text, limit);
                assert_eq!(parts.concat(), text, "{cluster:?} by {limit}");
                for (index, part) in parts.iter().enumerate() {
                    assert!(units(part) <= limit, "{cluster:?} by {limit}");
                    let own = if index == 0 {
                        part.strip_prefix('x')
                    } else {
                        Some(part.as_str())
                    };
                    let whole = own.is_some_and(|own| own.len() % cluster.len() == 0);
                    assert!(whole, "{cluster:?} by {limit} was cut: {parts:?}");
                }
            }
        }
    }

    #[test]
    fn w13_marks_without_end_are_cut_all_the_same() {
        let pile = format!("z{}", "\u{301}".repeat(50_000));
        let parts = split_text(&pile, 2000);
        assert_eq!(parts.concat(), pile);
        assert!(parts.iter().all(|part| units(part) <= 2000));
        assert_eq!(split_text("🎉🎉", 0), ["🎉", "🎉"]);
    }
}
