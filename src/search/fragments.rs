//! The parts of a text in which something was found, for showing.

use super::asked::Asked;
use super::words::{Word, words};

/// About how much of a long text is shown, in characters.
const SHOWN_CHARS: usize = 160;
/// How much of it stands before the first hit.
const BEFORE_CHARS: usize = 40;
/// So many words of a text are looked at.
const MAX_WORDS: usize = 20_000;

/// A piece of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// What it says, as it stands in the text.
    pub text: String,
    /// Whether it was looked for.
    pub hit: bool,
}

/// The place in a text where the most of what is looked for stands together, in pieces; `None` where nothing of it is
/// in. `…` stands where something was left out.
#[must_use]
pub fn fragment(text: &str, asked: &Asked) -> Option<Vec<Part>> {
    let hits = hits(text, asked);
    let first = best_start(text, &hits)?;
    let (from, to) = window(text, first);
    let mut parts = Vec::new();
    let mut add = |text: &str, hit: bool| {
        if !text.is_empty() {
            parts.push(Part {
                text: text.to_owned(),
                hit,
            });
        }
    };
    let mut at = from;
    let lead = if from > 0 { "…" } else { "" };
    let mut plain = lead.to_owned();
    for (start, end) in hits {
        if start < from || start >= to {
            continue;
        }
        // A word may be longer than what is shown of it.
        let end = end.min(to);
        plain.push_str(text.get(at..start)?);
        add(&std::mem::take(&mut plain), false);
        add(text.get(start..end)?, true);
        at = end;
    }
    plain.push_str(text.get(at..to)?);
    if to < text.len() {
        plain.push('…');
    }
    add(&plain, false);
    Some(parts)
}

/// The same of a telephone number, which is found however it is written.
#[must_use]
pub fn phone_fragment(number: &str, asked: &Asked) -> Option<Vec<Part>> {
    let digits: String = number.chars().filter(char::is_ascii_digit).collect();
    if asked
        .phone
        .as_ref()
        .is_some_and(|wanted| digits.contains(wanted.as_str()))
    {
        let whole = Part {
            text: number.chars().take(SHOWN_CHARS).collect(),
            hit: true,
        };
        return Some(vec![whole]);
    }
    fragment(number, asked)
}

/// Where the hits of a text lie, in order and apart from each other.
fn hits(text: &str, asked: &Asked) -> Vec<(usize, usize)> {
    let mut hits: Vec<(usize, usize)> = Vec::new();
    let found = words(text, MAX_WORDS).into_iter();
    for Word { start, end, .. } in found.filter(|word| asked.is_hit(&word.term)) {
        // What a word is made of comes after the word, and lies in it.
        match hits.last() {
            Some((_, last)) if start < *last => {}
            _ => hits.push((start, end)),
        }
    }
    hits
}

/// The hit from which on the most others are near.
fn best_start(text: &str, hits: &[(usize, usize)]) -> Option<usize> {
    let mut best = None;
    let mut behind = 0;
    for (number, (start, _)) in hits.iter().enumerate() {
        // Bytes for characters: near enough for choosing, and no long text is counted through.
        while hits
            .get(behind)
            .is_some_and(|(_, end)| end - start <= SHOWN_CHARS)
        {
            behind += 1;
        }
        let near = behind.saturating_sub(number);
        if best.is_none_or(|(most, _)| near > most) {
            best = Some((near, *start));
        }
    }
    best.map(|(_, start)| start)
        .filter(|start| text.is_char_boundary(*start))
}

/// What is shown around a hit, from and to, cut between words where there is a space near.
fn window(text: &str, first: usize) -> (usize, usize) {
    let back = text.get(..first).unwrap_or_default();
    let mut from = back
        .char_indices()
        .rev()
        .nth(BEFORE_CHARS - 1)
        .map_or(0, |(at, _)| at);
    if from > 0
        && let Some(space) = text
            .get(from..first)
            .and_then(|lead| lead.find(char::is_whitespace))
    {
        from += space;
        from += text
            .get(from..first)
            .map_or(0, |lead| lead.len() - lead.trim_start().len());
    }
    let rest = text.get(from..).unwrap_or_default();
    let mut to = rest
        .char_indices()
        .nth(SHOWN_CHARS)
        .map_or(text.len(), |(at, _)| from + at);
    if to < text.len()
        && let Some(tail) = text.get(first..to)
        && let Some(space) = tail.rfind(char::is_whitespace)
        && tail.len() - space < 30
    {
        to = first + space;
    }
    (from, to)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(text: &str, asked: &str) -> Option<String> {
        let parts = fragment(text, &Asked::read(asked))?;
        Some(
            parts
                .into_iter()
                .map(|part| {
                    if part.hit {
                        format!("[{}]", part.text)
                    } else {
                        part.text
                    }
                })
                .collect(),
        )
    }

    #[test]
    fn what_was_looked_for_is_marked_in_its_own_spelling() {
        for (text, asked, expected) in [
            (
                "Dobrý deň, kedy príde?",
                "kedy DOBRY",
                Some("[Dobrý] deň, [kedy] príde?"),
            ),
            ("Objednávka ob12345", "objed", Some("[Objednávka] ob12345")),
            ("Objednávka ob12345", "12345", Some("Objednávka ob[12345]")),
            (
                "Objednávka ob12345",
                "ob12345 12345",
                Some("Objednávka [ob12345]"),
            ),
            ("Straße", "strasse", Some("[Straße]")),
            ("nothing here", "elsewhere", None),
            ("", "x", None),
        ] {
            assert_eq!(shown(text, asked).as_deref(), expected, "{text} / {asked}");
        }
    }

    #[test]
    fn of_a_long_text_the_place_with_the_most_is_shown() {
        let text = format!(
            "jedna {} jedna dva {}",
            "slovo ".repeat(200),
            "koniec ".repeat(100)
        );
        let found = shown(&text, "jedna dva").unwrap();
        assert!(found.starts_with('…') && found.ends_with('…'), "{found}");
        assert!(found.contains("[jedna] [dva]"), "{found}");
        assert!(found.chars().count() < SHOWN_CHARS + 10, "{found}");
    }

    proptest! {
        /// Put together again, the pieces are the text, but for what was left out.
        #[test]
        fn pieces_are_the_text(text in "[a-cé ]{0,400}", asked in "[a-c]{1,2}") {
            if let Some(parts) = fragment(&text, &Asked::read(&asked)) {
                let whole: String = parts.iter().map(|part| part.text.as_str()).collect();
                prop_assert!(text.contains(whole.trim_start_matches('…').trim_end_matches('…')));
                prop_assert!(parts.iter().any(|part| part.hit));
                prop_assert!(whole.chars().count() <= SHOWN_CHARS + 2);
            }
        }
    }
}
