//! Messages with mark-up, made safe to show: only what formats a text is left of them, and nothing loads by itself.
//!
//! An allow-list over a parsed tree (`ammonia`), never patterns over a text. Before it the mark-up is parsed once within
//! limits (`limits`), since what nests or repeats without end would keep the processor busy. What goes beyond them is shown
//! as its plain text. The result is cleaned again until nothing changes, so that no second reading of it, by a browser,
//! finds anything else.

mod limits;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use ammonia::{Builder, Url, UrlRelative};

/// The longest mark-up that is read, and that is shown, in bytes.
pub const MAX_BYTES: usize = 512 * 1024;
/// How much is shown of what is shown as plain text, in bytes.
const PLAIN_BYTES: usize = MAX_BYTES / 4;
/// How often a result is cleaned again before it is given up.
const PASSES: usize = 4;
/// What is kept of results, so that a list that is read again is not cleaned again; in bytes of them.
const CACHE_BYTES: usize = 8 * 1024 * 1024;
/// Results that are larger are not kept.
const CACHED_BYTES: usize = CACHE_BYTES / 16;

const TAGS: &[&str] = &[
    "a",
    "abbr",
    "b",
    "bdi",
    "bdo",
    "big",
    "blockquote",
    "br",
    "caption",
    "center",
    "cite",
    "code",
    "col",
    "colgroup",
    "dd",
    "del",
    "dfn",
    "div",
    "dl",
    "dt",
    "em",
    "figcaption",
    "figure",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "hr",
    "i",
    "img",
    "ins",
    "kbd",
    "li",
    "mark",
    "ol",
    "p",
    "pre",
    "q",
    "s",
    "samp",
    "small",
    "span",
    "strike",
    "strong",
    "sub",
    "sup",
    "table",
    "tbody",
    "td",
    "tfoot",
    "th",
    "thead",
    "tr",
    "tt",
    "u",
    "ul",
    "var",
    "wbr",
];
/// Of these not even the text stays: it was not meant for reading.
const WITH_CONTENT: &[&str] = &[
    "applet", "audio", "canvas", "embed", "frameset", "head", "iframe", "math", "noembed",
    "noframes", "noscript", "object", "script", "style", "svg", "template", "title", "video",
];
/// Where links may lead.
const LINKS: &[&str] = &["http", "https", "mailto", "tel"];
/// Where pictures may be, which are not loaded before somebody asks for them: `cid:` is a file of the message.
const PICTURES: &[&str] = &["http", "https", "cid"];

static CLEANER: LazyLock<Builder<'static>> = LazyLock::new(cleaner);

fn cleaner() -> Builder<'static> {
    let set = |names: &[&'static str]| names.iter().copied().collect::<HashSet<_>>();
    let attributes = [
        ("a", set(&["href"])),
        ("img", set(&["src", "data-src", "alt", "width", "height"])),
        (
            "td",
            set(&["colspan", "rowspan", "align", "valign", "width"]),
        ),
        (
            "th",
            set(&["colspan", "rowspan", "align", "valign", "width"]),
        ),
        ("table", set(&["align", "width"])),
        ("tr", set(&["align", "valign"])),
        ("col", set(&["span", "width"])),
        ("colgroup", set(&["span"])),
        ("div", set(&["align"])),
        ("p", set(&["align"])),
        ("ol", set(&["start", "type"])),
    ];
    let mut cleaner = Builder::empty();
    cleaner
        .tags(set(TAGS))
        .clean_content_tags(set(WITH_CONTENT))
        .tag_attributes(HashMap::from(attributes))
        .generic_attributes(set(&["dir", "lang", "title"]))
        .url_schemes(LINKS.iter().chain(PICTURES).copied().collect())
        .url_relative(UrlRelative::Deny)
        .link_rel(Some("noopener noreferrer nofollow"))
        .set_tag_attribute_values(HashMap::from([(
            "a",
            HashMap::from([("target", "_blank")]),
        )]))
        .strip_comments(true)
        .attribute_filter(attribute);
    cleaner
}

/// What becomes of an attribute that is on the list; `None`: it goes.
fn attribute<'u>(element: &str, name: &str, value: &'u str) -> Option<Cow<'u, str>> {
    match (element, name) {
        ("a", "href") => address(value, LINKS).map(Cow::Owned),
        ("img", "src" | "data-src") => address(value, PICTURES).map(Cow::Owned),
        (_, "width" | "height" | "colspan" | "rowspan" | "span" | "start") => {
            let number = value.strip_suffix('%').unwrap_or(value);
            let is_small =
                (1..=4).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit());
            let spans = !name.ends_with("span")
                || number
                    .parse()
                    .is_ok_and(|number| (1..=100).contains(&number));
            (is_small && spans).then_some(Cow::Borrowed(value))
        }
        (_, "align" | "valign" | "dir" | "type") => {
            let is_word =
                value.len() <= 10 && value.bytes().all(|byte| byte.is_ascii_alphanumeric());
            is_word.then_some(Cow::Borrowed(value))
        }
        _ => Some(Cow::Borrowed(value)),
    }
}

/// An address as a browser reads it: without spaces and line ends in it, its host in ASCII, so that letters which look
/// like others show, and without a name before the host, which only ever pretends to be one.
fn address(value: &str, schemes: &[&str]) -> Option<String> {
    let mut url = Url::parse(value).ok()?;
    if !schemes.contains(&url.scheme()) {
        return None;
    }
    if url.has_host() {
        // Both are refused only where there is no host.
        let _ = url.set_username("");
        let _ = url.set_password(None);
    }
    Some(url.into())
}

/// Mark-up that may be shown. The same twice gives the same.
#[must_use]
pub fn clean(html: &str) -> String {
    let once = || {
        if html.len() > MAX_BYTES || !limits::holds(html) {
            return None;
        }
        let mut before = pass(html);
        for _ in 0..PASSES {
            if before.len() > MAX_BYTES || !limits::holds(&before) {
                return None;
            }
            let after = pass(&before);
            if after == before {
                return Some(after);
            }
            before = after;
        }
        None
    };
    once().unwrap_or_else(|| plain(html))
}

fn pass(html: &str) -> String {
    hold_pictures(&CLEANER.clean(html).to_string())
}

/// Writes `src` of pictures as `data-src`, so that none is loaded. The mark-up is what a serialiser wrote: attributes in
/// double quotes, and neither `<` in texts nor `"` in values.
fn hold_pictures(html: &str) -> String {
    const IMG: &str = "<img ";
    let mut held = String::with_capacity(html.len() + html.len() / 16);
    let mut rest = html;
    while let Some(at) = rest.find(IMG) {
        let (before, from) = rest.split_at(at + IMG.len());
        held.push_str(before);
        let (attributes, after) = attributes(from);
        let has_src = attributes.iter().any(|(name, _)| *name == "src");
        let mut written = Vec::new();
        for (name, value) in attributes {
            match name {
                "src" => written.push(format!("data-src=\"{value}\"")),
                "data-src" if has_src => {}
                _ => written.push(format!("{name}=\"{value}\"")),
            }
        }
        held.push_str(&written.join(" "));
        rest = after;
    }
    held.push_str(rest);
    held
}

/// The attributes of a tag that was written by a serialiser, and what comes from its end on.
fn attributes(tag: &str) -> (Vec<(&str, &str)>, &str) {
    let mut found = Vec::new();
    let mut rest = tag;
    while let Some((name, behind)) = rest.split_once("=\"") {
        let name = name.trim_start();
        if name.contains('>') {
            break;
        }
        let Some((value, after)) = behind.split_once('"') else {
            break;
        };
        found.push((name, value));
        rest = after;
    }
    (found, rest)
}

/// The plain text of mark-up that is not read as such, as mark-up. Linear, and careful only to be readable: whatever it
/// takes for text is escaped.
fn plain(html: &str) -> String {
    let mut shown = String::new();
    let mut rest = html;
    while !rest.is_empty() && shown.len() < PLAIN_BYTES {
        let (text, tag) = rest.split_at(rest.find('<').unwrap_or(rest.len()));
        let room = PLAIN_BYTES.saturating_sub(shown.len());
        escape(text, room, &mut shown);
        rest = tag.split_once('>').map_or("", |(_, after)| after);
        let name = tag.get(1..).unwrap_or_default().trim_start_matches('/');
        let name: String = name
            .chars()
            .take_while(char::is_ascii_alphanumeric)
            .take(10)
            .collect();
        match name.to_ascii_lowercase().as_str() {
            name @ ("script" | "style" | "head" | "title") if !tag.starts_with("</") => {
                let end = format!("</{name}");
                rest = find_ignoring_case(rest, &end)
                    .map_or("", |at| rest.get(at..).unwrap_or_default());
            }
            "br" | "p" | "div" | "tr" | "li" | "table"
                if !shown.ends_with("<br>") && !shown.is_empty() =>
            {
                shown.push_str("<br>");
            }
            _ => {}
        }
    }
    shown
}

fn find_ignoring_case(text: &str, wanted: &str) -> Option<usize> {
    let (text, wanted) = (text.as_bytes(), wanted.as_bytes());
    text.windows(wanted.len())
        .position(|part| part.eq_ignore_ascii_case(wanted))
}

/// Adds a text as a serialiser would, at most about `room` bytes of it. The commonest entities are resolved.
fn escape(text: &str, room: usize, shown: &mut String) {
    let end = shown.len() + room;
    let mut rest = text;
    while let Some(letter) = rest.chars().next() {
        if shown.len() >= end {
            return;
        }
        const KNOWN: [(&str, char); 6] = [
            ("&nbsp;", ' '),
            ("&amp;", '&'),
            ("&lt;", '<'),
            ("&gt;", '>'),
            ("&quot;", '"'),
            ("&#39;", '\''),
        ];
        let known = KNOWN
            .iter()
            .find(|(entity, _)| letter == '&' && rest.starts_with(entity));
        let (letter, length) = known.map_or((letter, letter.len_utf8()), |(entity, letter)| {
            (*letter, entity.len())
        });
        match letter {
            '&' => shown.push_str("&amp;"),
            '<' => shown.push_str("&lt;"),
            '>' => shown.push_str("&gt;"),
            '\u{a0}' => shown.push(' '),
            // A parser would change these, or take them for a mistake.
            '\r' | '\0' => {}
            _ => shown.push(letter),
        }
        rest = rest.get(length..).unwrap_or_default();
    }
}

/// [`clean`], with the results of before where the same is shown again.
#[must_use]
pub fn shown(html: &str) -> String {
    static CACHE: LazyLock<Mutex<Cache>> = LazyLock::new(Mutex::default);
    let key = Cache::key(html);
    let cache = || CACHE.lock().unwrap_or_else(PoisonError::into_inner);
    let known = cache().get(key, html);
    if let Some(known) = known {
        return known.to_string();
    }
    let cleaned = clean(html);
    cache().keep(key, html, &cleaned);
    cleaned
}

/// The results of what was cleaned last. It is in memory only, and small.
#[derive(Default)]
struct Cache {
    known: HashMap<u64, (Arc<str>, Arc<str>)>,
    order: VecDeque<u64>,
    bytes: usize,
}

impl Cache {
    fn key(html: &str) -> u64 {
        let mut hasher = DefaultHasher::new();
        html.hash(&mut hasher);
        hasher.finish()
    }

    /// The result, where it is of exactly this.
    fn get(&self, key: u64, html: &str) -> Option<Arc<str>> {
        let (of, cleaned) = self.known.get(&key)?;
        (**of == *html).then(|| Arc::clone(cleaned))
    }

    fn keep(&mut self, key: u64, html: &str, cleaned: &str) {
        let bytes = html.len() + cleaned.len();
        if bytes > CACHED_BYTES || self.known.contains_key(&key) {
            return;
        }
        while self.bytes + bytes > CACHE_BYTES {
            let Some(oldest) = self.order.pop_front() else {
                break;
            };
            if let Some((of, cleaned)) = self.known.remove(&oldest) {
                self.bytes -= of.len() + cleaned.len();
            }
        }
        self.bytes += bytes;
        self.order.push_back(key);
        self.known
            .insert(key, (Arc::from(html), Arc::from(cleaned)));
    }
}
