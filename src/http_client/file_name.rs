//! The name that a host gives to a file (RFC 6266), made harmless: one line, no path, nothing that turns the reading
//! direction.

use deskbell_sdk::text::clean_name;
use http::{HeaderMap, header};

/// The name in `Content-Disposition`.
#[must_use]
pub(super) fn of(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::CONTENT_DISPOSITION)?.as_bytes();
    let value = String::from_utf8_lossy(value);
    let parameters = parameters(&value);
    let named = |wanted: &str| {
        parameters
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(wanted))
            .map(|(_, value)| value)
    };
    // The extended form stands above the plain one (RFC 6266, 4.3).
    let name = named("filename*")
        .and_then(|value| extended(value))
        .or_else(|| named("filename").cloned())?;
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    clean_name(last).filter(|name| !matches!(name.as_str(), "." | ".."))
}

/// The parameters after the first semicolon; quoted ones without their quotes.
fn parameters(value: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = value.split_once(';').map_or("", |(_, rest)| rest);
    while let Some((name, after)) = rest.split_once('=') {
        let after = after.trim_start();
        let (text, behind) = match after.strip_prefix('"') {
            Some(quoted) => unquoted(quoted),
            None => {
                let (text, behind) = after.split_once(';').unwrap_or((after, ""));
                (text.trim().to_owned(), behind)
            }
        };
        found.push((name.trim_matches([' ', ';', '\t']).to_owned(), text));
        rest = behind;
    }
    found
}

/// A quoted text from behind its opening quote, and what follows its closing one.
fn unquoted(quoted: &str) -> (String, &str) {
    let mut text = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (text, &quoted[at + 1..]),
            '\\' => text.extend(characters.next().map(|(_, escaped)| escaped)),
            other => text.push(other),
        }
    }
    (text, "")
}

/// `UTF-8''r%C3%A9sum%C3%A9.pdf` (RFC 8187); other character sets are not read.
fn extended(value: &str) -> Option<String> {
    let (charset, rest) = value.split_once('\'')?;
    let (_, encoded) = rest.split_once('\'')?;
    if !charset.eq_ignore_ascii_case("utf-8") {
        return None;
    }
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        if first != b'%' {
            bytes.push(first);
            rest = after;
            continue;
        }
        let digits = std::str::from_utf8(after.get(..2)?).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &after[2..];
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn name(value: &[u8]) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(
            header::CONTENT_DISPOSITION,
            HeaderValue::from_bytes(value).expect("a header"),
        );
        of(&headers)
    }

    #[test]
    fn names_are_read_in_every_form() {
        for (value, read) in [
            ("attachment; filename=photo.jpg", Some("photo.jpg")),
            ("attachment; filename=\"a b.pdf\"", Some("a b.pdf")),
            ("inline;filename=\"a\\\"b.pdf\"", Some("a\"b.pdf")),
            ("attachment; FileName = x.png ; size=3", Some("x.png")),
            ("attachment; filename=\"a;b=c.txt\"; x=y", Some("a;b=c.txt")),
            (
                "attachment; filename=\"e.pdf\"; filename*=UTF-8''%C3%A9.pdf",
                Some("é.pdf"),
            ),
            ("attachment; filename*=utf-8'en'a%20b.txt", Some("a b.txt")),
            (
                "attachment; filename*=iso-8859-1''%E9.pdf; filename=e.pdf",
                Some("e.pdf"),
            ),
            (
                "attachment; filename*=UTF-8''%C3; filename=e.pdf",
                Some("e.pdf"),
            ),
            (
                "attachment; filename*=UTF-8''%zz; filename=e.pdf",
                Some("e.pdf"),
            ),
            (
                "attachment; filename*=UTF-8''%; filename=e.pdf",
                Some("e.pdf"),
            ),
            ("attachment", None),
            ("filename=x", None),
            ("attachment; filename=\"\"", None),
            ("attachment; filename=\"open", Some("open")),
            ("", None),
        ] {
            assert_eq!(name(value.as_bytes()).as_deref(), read, "{value}");
        }
    }

    #[test]
    fn m11_no_name_is_a_path_or_misleads() {
        let roots = [
            "../../etc/passwd",
            "..\\..\\windows\\win.ini",
            "/etc/passwd",
            "C:\\boot.ini",
            "a/b/c/../../x.png",
            "..",
            ".",
            "...",
            "~/.ssh/id",
            "x/",
            "photo.jpg\u{202e}gpj.exe",
            "\u{202e}fdp.exe",
            "\u{2066}a\u{2069}.pdf",
            "a.jpg%00.php",
            "a.php.jpg",
            "shell.pht",
            "CON",
            "a\tb",
            " ",
            "%2e%2e%2fx",
        ];
        let mut cases = 0;
        for root in roots {
            for around in [
                ("attachment; filename=\"", "\""),
                ("attachment; filename=", ""),
                ("attachment; filename*=UTF-8''", ""),
                ("inline; x=y; filename=\"", "\"; z=1"),
                ("attachment; filename=\"up/", "\""),
                ("attachment; filename=\"down\\", "\""),
            ] {
                for text in [root.to_owned(), format!("{root}.png")] {
                    let text = if around.0.ends_with("''") {
                        text.bytes().map(|byte| format!("%{byte:02X}")).collect()
                    } else {
                        text
                    };
                    let value = format!("{}{text}{}", around.0, around.1);
                    if let Some(read) = name(value.as_bytes()) {
                        let odd = |character: char| {
                            character.is_control()
                                || matches!(character, '/' | '\\' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
                        };
                        assert!(
                            !read.contains(odd) && read != ".." && read != ".",
                            "{value:?}: {read:?}"
                        );
                    }
                    cases += 1;
                }
            }
        }
        assert!(cases >= 200, "{cases}");
    }
}
