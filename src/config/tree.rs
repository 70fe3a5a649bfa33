//! The configuration as it was written: values that still know where they stand.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use toml::de::{DeInteger, DeTable, DeValue};

use super::origin::{ConfigError, Origin};
use super::reader::join;

/// A value and where it stands. No `Debug`: it may be a secret.
pub(super) struct Node {
    pub(super) origin: Origin,
    pub(super) value: Value,
}

/// What TOML knows, and what comes from the environment.
pub(super) enum Value {
    Text(String),
    /// The value of an environment variable: the reader knows what it should be.
    Unquoted(String),
    /// `None` where it does not fit 64 bits.
    Integer(Option<i64>),
    Flag(bool),
    Float,
    DateTime,
    List(Vec<Node>),
    Table(Table),
}

impl Value {
    /// What it is, for "expected …, found …".
    pub(super) fn description(&self) -> &'static str {
        match self {
            Self::Text(_) | Self::Unquoted(_) => "a text",
            Self::Integer(_) => "a whole number",
            Self::Flag(_) => "true or false",
            Self::Float => "a decimal number",
            Self::DateTime => "a date or time",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

/// A table and where its header stands.
pub(super) struct Table {
    pub(super) origin: Origin,
    pub(super) entries: BTreeMap<String, Entry>,
}

impl Table {
    /// A table without entries.
    pub(super) fn empty(origin: Origin) -> Self {
        Self {
            origin,
            entries: BTreeMap::new(),
        }
    }

    /// Puts a value in place of the one that is there.
    pub(super) fn set(&mut self, key: &str, origin: Origin, value: Value) {
        let node = Node {
            origin: origin.clone(),
            value,
        };
        self.entries.insert(
            key.to_owned(),
            Entry {
                key_origin: origin,
                node,
            },
        );
    }
}

/// A value under its key.
pub(super) struct Entry {
    pub(super) key_origin: Origin,
    pub(super) node: Node,
}

/// Reads the text of a configuration file. Syntax errors are told once a line, because one slip often makes several.
pub(super) fn parse(path: &Arc<Path>, text: &str) -> Result<Table, Vec<ConfigError>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = LineStarts::of(text);
    let origin = |span: Range<usize>| {
        let (line, column) = lines.position(text, span.start);
        Origin::File {
            path: Arc::clone(path),
            line,
            column,
        }
    };
    let (document, mut problems) = DeTable::parse_recoverable(text);
    if problems.is_empty() {
        return Ok(table(
            document.get_ref(),
            Origin::WholeFile(Arc::clone(path)),
            &origin,
        ));
    }
    problems.sort_by_key(|problem| problem.span().map_or(0, |span| span.start));
    let mut errors: Vec<ConfigError> = Vec::new();
    let mut last_line = 0;
    for problem in problems {
        let start = problem.span().map_or(0, |span| span.start);
        let (line, _) = lines.position(text, start);
        if line != last_line {
            last_line = line;
            // The message alone: the error's own `Display` quotes the line, which may hold a secret.
            let told = problem
                .message()
                .replace(", expected nothing", "; a text must be in quotes")
                .replace(", expected literal string", "");
            let told = format!("not valid TOML: {told}");
            // Of a key that is there twice the span is the key; other spans may hold a secret.
            let key = match problem.span().and_then(|span| text.get(span)) {
                Some(key) if problem.message() == "duplicate key" => join("", key),
                _ => String::new(),
            };
            errors.push(ConfigError::new(origin(start..start), key, told));
        }
    }
    Err(errors)
}

/// Reads one TOML value, such as `{ file = "/run/secrets/app" }`; `None` where it is none.
pub(super) fn parse_value(text: &str, origin: &Origin) -> Option<Value> {
    let parsed = DeValue::parse(text.trim()).ok()?;
    Some(value(parsed.get_ref(), origin.clone(), &|_| origin.clone()))
}

fn table(written: &DeTable<'_>, origin: Origin, at: &dyn Fn(Range<usize>) -> Origin) -> Table {
    let mut entries = BTreeMap::new();
    for (key, node) in written.iter() {
        let origin = at(node.span());
        let value = value(node.get_ref(), origin.clone(), at);
        let entry = Entry {
            key_origin: at(key.span()),
            node: Node { origin, value },
        };
        entries.insert(key.get_ref().clone().into_owned(), entry);
    }
    Table { origin, entries }
}

fn value(written: &DeValue<'_>, origin: Origin, at: &dyn Fn(Range<usize>) -> Origin) -> Value {
    match written {
        DeValue::String(text) => Value::Text(text.clone().into_owned()),
        DeValue::Integer(number) => Value::Integer(integer(number)),
        DeValue::Boolean(flag) => Value::Flag(*flag),
        DeValue::Float(_) => Value::Float,
        DeValue::Datetime(_) => Value::DateTime,
        DeValue::Array(items) => Value::List(
            items
                .iter()
                .map(|item| {
                    let origin = at(item.span());
                    Node {
                        value: value(item.get_ref(), origin.clone(), at),
                        origin,
                    }
                })
                .collect(),
        ),
        DeValue::Table(inner) => Value::Table(table(inner, origin, at)),
    }
}

fn integer(number: &DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(number.as_str(), number.radix()).ok()
}

/// Where each line of a text begins, in bytes.
pub(super) struct LineStarts(Vec<usize>);

impl LineStarts {
    pub(super) fn of(text: &str) -> Self {
        let after_newlines = text.match_indices('\n').map(|(at, _)| at + 1);
        Self(std::iter::once(0).chain(after_newlines).collect())
    }

    /// Line and column (in characters), both from 1, of a byte offset.
    pub(super) fn position(&self, text: &str, offset: usize) -> (usize, usize) {
        let line = self.0.partition_point(|start| *start <= offset).max(1);
        let start = self.0[line - 1];
        let end = text.floor_char_boundary(offset);
        let column = text
            .get(start..end)
            .map_or(0, |before| before.chars().count());
        (line, column + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters_from_one() {
        let text = "a = 1\nžluť = 2\n";
        let lines = LineStarts::of(text);
        assert_eq!(lines.position(text, 0), (1, 1));
        assert_eq!(lines.position(text, 4), (1, 5));
        let two = text.find('2').expect("is there");
        assert_eq!(lines.position(text, two), (2, 8));
        assert_eq!(lines.position(text, text.len()), (3, 1));
        assert_eq!(lines.position(text, text.len() + 10), (3, 1));
    }

    #[test]
    fn a_byte_order_mark_moves_nothing() {
        let path: Arc<Path> = Arc::from(Path::new("deskbell.toml"));
        let table = parse(&path, "\u{feff}listen = 1").unwrap_or_else(|_| panic!("valid TOML"));
        let origin = &table.entries["listen"].node.origin;
        assert_eq!(origin.to_string(), "deskbell.toml:1:10");
    }
}
