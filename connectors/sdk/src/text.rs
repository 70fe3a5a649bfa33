//! Making a stranger's text safe to keep and to show. The raw bytes are kept elsewhere.

/// The longest text of a message that is kept, in characters; what is longer is cut with a mark at its end.
pub const MAX_TEXT_CHARS: usize = 100_000;
/// The longest name, title or file name, in characters.
pub const MAX_NAME_CHARS: usize = 300;

/// A message's text without what no store or screen should get: NUL, other control characters but line ends and tabs,
/// and unpaired direction overrides (the "Trojan source" trick), which are closed at the end.
#[must_use]
pub fn clean_text(text: &str) -> String {
    clean(text, MAX_TEXT_CHARS, true)
}

/// A name, title or file name: one line, no control characters, no direction overrides, no surrounding space.
/// `None` where nothing is left.
#[must_use]
pub fn clean_name(name: &str) -> Option<String> {
    let cleaned = clean(name, MAX_NAME_CHARS, false);
    let trimmed = cleaned.trim();
    (!trimmed.is_empty()).then(|| trimmed.to_owned())
}

const fn is_direction_control(character: char) -> bool {
    matches!(character, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

fn clean(text: &str, max_chars: usize, lines: bool) -> String {
    let mut cleaned = String::with_capacity(text.len().min(max_chars * 4));
    let mut embeddings: u32 = 0;
    let mut isolates: u32 = 0;
    for (kept, character) in text.chars().enumerate() {
        if kept == max_chars {
            cleaned.push('…');
            break;
        }
        match character {
            '\n' | '\t' if lines => cleaned.push(character),
            '\r' if lines => {}
            '\n' | '\r' | '\t' => cleaned.push(' '),
            '\0' => cleaned.push('\u{FFFD}'),
            control if control.is_control() => {}
            direction if is_direction_control(direction) => {
                if lines {
                    match direction {
                        '\u{202C}' => embeddings = embeddings.saturating_sub(1),
                        '\u{2069}' => isolates = isolates.saturating_sub(1),
                        '\u{2066}'..='\u{2068}' => isolates += 1,
                        _ => embeddings += 1,
                    }
                    cleaned.push(direction);
                }
            }
            other => cleaned.push(other),
        }
    }
    for _ in 0..isolates {
        cleaned.push('\u{2069}');
    }
    for _ in 0..embeddings {
        cleaned.push('\u{202C}');
    }
    cleaned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w13_poison_is_taken_out_and_words_stay() {
        assert_eq!(clean_text("a\0b\u{1b}[31mc\r\nd"), "a\u{FFFD}b[31mc\nd");
        assert_eq!(clean_text("x\u{202E}gpj.exe"), "x\u{202E}gpj.exe\u{202C}");
        assert_eq!(
            clean_name(" \u{202E}fdp.exe\n "),
            Some("fdp.exe".to_owned())
        );
        assert_eq!(clean_name("\u{1}\u{2}"), None);
        assert_eq!(clean_text("Dobrý deň 📦"), "Dobrý deň 📦");
    }

    #[test]
    fn long_text_is_cut_at_a_character() {
        let cut = clean_text(&"é".repeat(MAX_TEXT_CHARS + 5));
        assert_eq!(cut.chars().count(), MAX_TEXT_CHARS + 1);
        assert!(cut.ends_with('…'));
    }
}
