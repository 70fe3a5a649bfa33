//! What notifications say, made harmless: what customers write is text, never mark-up.

use crate::wire::Conversation;

/// The longest text of a notification, in characters.
const MOST_CHARS: usize = 240;
/// The longest name, in characters.
const MOST_NAME_CHARS: usize = 80;

/// Who waits, in a few words.
#[must_use]
pub fn title(conversation: Option<&Conversation>, channel: &str) -> String {
    let name = conversation.and_then(|one| one.contact.name.as_deref());
    let name = name
        .map(|name| clean(name, MOST_NAME_CHARS))
        .filter(|name| !name.is_empty());
    let name = name.unwrap_or_else(|| "A customer".to_owned());
    let channel = clean(channel, MOST_NAME_CHARS);
    if channel.is_empty() {
        name
    } else {
        format!("{name} · {channel}")
    }
}

/// What they wrote, and since when they wait.
#[must_use]
pub fn body(
    conversation: Option<&Conversation>,
    since: Option<&str>,
    step: u32,
    preview: bool,
) -> String {
    let last = conversation.and_then(|one| one.last_message.as_ref());
    let last = last.filter(|last| preview && last.direction == "inbound");
    let words = last
        .map(|last| clean(&last.preview, MOST_CHARS))
        .filter(|words| !words.is_empty());
    let mut body = words.unwrap_or_else(|| "A message waits for an answer.".to_owned());
    if step > 1
        && let Some(since) = since
    {
        body.push_str("\nNobody has taken it since ");
        body.push_str(since);
        body.push('.');
    }
    body
}

/// Text without what is no text: control characters, and those that turn the direction of what stands beside them.
#[must_use]
pub fn clean(text: &str, most_chars: usize) -> String {
    let turns = |sign: char| matches!(sign, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}');
    let mut cleaned = String::new();
    let mut count = 0;
    for sign in text.chars().filter(|sign| !turns(*sign)) {
        if count == most_chars {
            cleaned.push('…');
            break;
        }
        let sign = if sign.is_control() { ' ' } else { sign };
        if sign == ' ' && (cleaned.is_empty() || cleaned.ends_with(' ')) {
            continue;
        }
        cleaned.push(sign);
        count += 1;
    }
    cleaned.trim_end().to_owned()
}

/// Text as it stands in mark-up, for desktops whose notifications have it.
#[must_use]
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for sign in text.chars() {
        match sign {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            sign => escaped.push(sign),
        }
    }
    escaped
}

/// A time in words: `40 s`, `3 min`, `2 h`.
#[must_use]
pub fn span(ms: u64) -> String {
    match ms / 1_000 {
        seconds @ 0..=119 => format!("{seconds} s"),
        seconds @ 120..=7_199 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conversation(name: &str, preview: &str, direction: &str) -> Conversation {
        let json = serde_json::json!({
            "id": "cnv_1", "contact": { "name": name },
            "last_message": { "preview": preview, "direction": direction }
        });
        serde_json::from_value(json).expect("a conversation")
    }

    #[test]
    fn r01_what_customers_write_is_no_mark_up() {
        let evil = "<img src=\"http://evil.example/x\">&<b onmouseover='x'>hi</b>";
        let escaped = escape(evil);
        assert!(!escaped.contains(['<', '>', '"', '\'']), "{escaped}");
        assert_eq!(escape("a & b"), "a &amp; b");
    }

    #[test]
    fn what_is_no_text_is_left_out() {
        assert_eq!(clean("a\u{1b}[31m\r\n\u{202E}b\u{2066}", 80), "a [31m b");
        assert_eq!(clean(&"ä".repeat(500), 10), format!("{}…", "ä".repeat(10)));
        assert_eq!(clean("  \t ", 10), "");
    }

    #[test]
    fn it_says_who_waits_and_what_they_wrote() {
        let jana = conversation("Jana Nováková", "When does it come?", "inbound");
        assert_eq!(
            title(Some(&jana), "Shop on Facebook"),
            "Jana Nováková · Shop on Facebook"
        );
        assert_eq!(title(None, "site"), "A customer · site");
        assert_eq!(
            title(Some(&conversation(" ", "", "inbound")), ""),
            "A customer"
        );
        assert_eq!(
            body(Some(&jana), Some("14:05"), 1, true),
            "When does it come?"
        );
        let later = body(Some(&jana), Some("14:05"), 3, true);
        assert_eq!(
            later,
            "When does it come?\nNobody has taken it since 14:05."
        );
        let hidden = body(Some(&jana), None, 1, false);
        assert!(!hidden.contains("come"), "{hidden}");
        let ours = conversation("Jana", "our own words", "outbound");
        assert!(
            !body(Some(&ours), None, 1, true).contains("own"),
            "the answer that failed is not theirs"
        );
    }

    #[test]
    fn times_are_short() {
        assert_eq!(
            (span(31_000), span(185_000), span(7_300_000)),
            ("31 s".into(), "3 min".into(), "2 h".into())
        );
    }
}
