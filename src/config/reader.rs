//! Takes typed values out of the written configuration and collects everything that is wrong with it.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use super::formats::Format;
use super::keys;
use super::origin::{ConfigError, Origin};
use super::suggest::nearest;
use super::tree::{self, Entry, Node, Table, Value};

/// The state of one load.
pub(super) struct Reader<'a> {
    pub(super) environment: &'a BTreeMap<String, String>,
    pub(super) errors: Vec<ConfigError>,
    pub(super) warnings: Vec<String>,
    /// The keys whose secrets stand in the configuration file itself.
    pub(super) literal_secrets: Vec<String>,
}

/// A table that is being read: what was taken out is understood, what stays is unknown.
pub(super) struct Section {
    pub(super) path: String,
    pub(super) known: Vec<&'static str>,
    pub(super) table: Table,
}

impl Section {
    /// The path of a key in this section, as errors name it.
    pub(super) fn path_of(&self, key: &str) -> String {
        join(&self.path, key)
    }

    /// Takes a value out.
    pub(super) fn take(&mut self, key: &str) -> Option<Entry> {
        debug_assert!(self.known.contains(&key), "{key} is not listed");
        self.table.entries.remove(key)
    }
}

/// `section.key`, with quotes around what TOML would quote, so that no key can forge a line of the log.
pub(super) fn join(section: &str, key: &str) -> String {
    let bare = !key.is_empty()
        && key
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    let key = if bare {
        key.to_owned()
    } else {
        format!("{key:?}")
    };
    if section.is_empty() {
        key
    } else {
        format!("{section}.{key}")
    }
}

impl<'a> Reader<'a> {
    /// A reader that looks secrets up in `environment`.
    pub(super) fn new(environment: &'a BTreeMap<String, String>) -> Self {
        Self {
            environment,
            errors: Vec::new(),
            warnings: Vec::new(),
            literal_secrets: Vec::new(),
        }
    }

    /// Notes an error.
    pub(super) fn refuse(&mut self, origin: Origin, path: &str, problem: impl Into<String>) {
        self.errors.push(ConfigError::new(origin, path, problem));
    }

    /// Notes that a value is of the wrong type.
    pub(super) fn refuse_type(&mut self, node: &Node, path: &str, expected: &str) {
        let found = node.value.description();
        self.refuse(
            node.origin.clone(),
            path,
            format!("expected {expected}, found {found}"),
        );
    }

    /// Opens a section of the configuration; an empty one where it is not written.
    pub(super) fn section(&mut self, root: &mut Section, name: &'static str) -> Section {
        self.section_at(root, name, name)
    }

    fn section_at(
        &mut self,
        root: &mut Section,
        name: &'static str,
        whole_name: &'static str,
    ) -> Section {
        let known = keys::of_section(whole_name).to_vec();
        let table = match root.take(name) {
            None => Table::empty(root.table.origin.clone()),
            Some(Entry {
                node:
                    Node {
                        value: Value::Table(table),
                        ..
                    },
                ..
            }) => table,
            Some(entry) => {
                let expected = format!("a section written [{whole_name}]");
                self.refuse_type(&entry.node, whole_name, &expected);
                Table::empty(entry.node.origin)
            }
        };
        Section {
            path: whole_name.to_owned(),
            known,
            table,
        }
    }

    /// Opens a section within a section, as `oidc` of `auth`; an empty one where it is not written.
    pub(super) fn subsection(
        &mut self,
        outer: &mut Section,
        name: &'static str,
        whole_name: &'static str,
    ) -> Section {
        self.section_at(outer, name, whole_name)
    }

    /// Closes a section: what nobody took out is unknown.
    pub(super) fn close(&mut self, section: Section) {
        for (key, entry) in &section.table.entries {
            self.refuse_unknown(&section.path, key, entry, &section.known);
        }
    }

    /// Notes that a key is unknown, and what may be meant.
    pub(super) fn refuse_unknown(
        &mut self,
        section: &str,
        key: &str,
        entry: &Entry,
        known: &[&'static str],
    ) {
        let problem = if let Some(meant) = nearest(key, known.iter().copied()) {
            format!("unknown key; did you mean {meant}?")
        } else if let Some(home) = keys::section_of(key) {
            // The usual slip of TOML: a key below the header of another section.
            format!("unknown key here; it belongs {home}")
        } else {
            format!("unknown key; known here: {}", known.join(", "))
        };
        self.refuse(entry.key_origin.clone(), &join(section, key), problem);
    }

    /// A text of some format.
    pub(super) fn parsed<T>(
        &mut self,
        section: &mut Section,
        key: &str,
        format: Format<T>,
    ) -> Option<T> {
        let entry = section.take(key)?;
        self.parsed_node(&entry.node, &section.path_of(key), format)
    }

    /// A text of some format.
    pub(super) fn parsed_node<T>(
        &mut self,
        node: &Node,
        path: &str,
        format: Format<T>,
    ) -> Option<T> {
        let Some(text) = text_of(node) else {
            self.refuse_type(node, path, format.expected);
            return None;
        };
        match (format.parse)(&text) {
            Ok(value) => Some(value),
            Err(problem) => {
                self.refuse(node.origin.clone(), path, problem);
                None
            }
        }
    }

    /// A list of texts of some format, which must stand a test as a whole. In the environment it is separated by
    /// commas or written as in TOML.
    pub(super) fn list<T>(
        &mut self,
        section: &mut Section,
        key: &str,
        format: Format<T>,
        test: fn(&[T]) -> Result<(), String>,
    ) -> Option<Vec<T>> {
        let entry = section.take(key)?;
        let path = section.path_of(key);
        let origin = entry.node.origin.clone();
        let list = self.list_node(entry.node, &path, format)?;
        match test(&list) {
            Ok(()) => Some(list),
            Err(problem) => {
                self.refuse(origin, &path, problem);
                None
            }
        }
    }

    /// A list of texts of some format; `None` where any of them does not do.
    pub(super) fn list_node<T>(
        &mut self,
        node: Node,
        path: &str,
        format: Format<T>,
    ) -> Option<Vec<T>> {
        let items = match node.value {
            Value::List(items) => items,
            Value::Unquoted(text) => match tree::parse_value(&text, &node.origin) {
                Some(Value::List(items)) => items,
                _ if text.trim().is_empty() => Vec::new(),
                _ => text
                    .split(',')
                    .map(|item| Node {
                        origin: node.origin.clone(),
                        value: Value::Unquoted(item.trim().to_owned()),
                    })
                    .collect(),
            },
            value => {
                let expected = format!("a list, each item {}", format.expected);
                self.refuse_type(
                    &Node {
                        origin: node.origin,
                        value,
                    },
                    path,
                    &expected,
                );
                return None;
            }
        };
        let read: Vec<Option<T>> = items
            .iter()
            .enumerate()
            .map(|(index, item)| self.parsed_node(item, &format!("{path}[{index}]"), format))
            .collect();
        read.into_iter().collect()
    }

    /// A whole number within limits.
    pub(super) fn integer(
        &mut self,
        section: &mut Section,
        key: &str,
        limits: RangeInclusive<u32>,
    ) -> Option<u32> {
        let node = section.take(key)?.node;
        let path = section.path_of(key);
        let (from, to) = (limits.start(), limits.end());
        let number = match &node.value {
            Value::Integer(number) => *number,
            Value::Unquoted(text) => match tree::parse_value(text, &node.origin) {
                Some(Value::Integer(number)) => number,
                _ => {
                    let expected = format!("a whole number from {from} to {to}");
                    self.refuse_type(&node, &path, &expected);
                    return None;
                }
            },
            _ => {
                self.refuse_type(&node, &path, &format!("a whole number from {from} to {to}"));
                return None;
            }
        };
        let number = number.and_then(|number| u32::try_from(number).ok());
        let within = number.filter(|number| limits.contains(number));
        if within.is_none() {
            self.refuse(node.origin, &path, format!("must be from {from} to {to}"));
        }
        within
    }

    /// `true` or `false`.
    pub(super) fn flag(&mut self, section: &mut Section, key: &str) -> Option<bool> {
        let node = section.take(key)?.node;
        self.flag_node(&node, &section.path_of(key))
    }

    /// `true` or `false`.
    pub(super) fn flag_node(&mut self, node: &Node, path: &str) -> Option<bool> {
        match &node.value {
            Value::Flag(flag) => Some(*flag),
            Value::Unquoted(text) if text == "true" => Some(true),
            Value::Unquoted(text) if text == "false" => Some(false),
            _ => {
                self.refuse_type(node, path, "true or false");
                None
            }
        }
    }

    /// A file that can be read now. Relative names start from the folder of the configuration file, or from the
    /// current directory where they come from the environment.
    pub(super) fn readable_file(&mut self, section: &mut Section, key: &str) -> Option<PathBuf> {
        let entry = section.take(key)?;
        let path = section.path_of(key);
        let name = self.parsed_node(&entry.node, &path, super::formats::FILLED_TEXT)?;
        let file = entry.node.origin.folder().join(name);
        match open_regular(&file) {
            Ok(_) => Some(file),
            Err(problem) => {
                self.refuse(
                    entry.node.origin,
                    &path,
                    format!("cannot read {file:?}: {problem}"),
                );
                None
            }
        }
    }
}

/// Opens a file that is neither a folder nor a pipe nor a device, any of which could keep us waiting for ever.
pub(super) fn open_regular(path: &Path) -> Result<std::fs::File, String> {
    let metadata = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    std::fs::File::open(path).map_err(|error| error.to_string())
}

/// The text of a value, where it is one. Quotes around a variable's value are taken off, as TOML would.
fn text_of(node: &Node) -> Option<String> {
    match &node.value {
        Value::Text(text) => Some(text.clone()),
        Value::Unquoted(text) if text.starts_with(['"', '\'']) => {
            match tree::parse_value(text, &node.origin) {
                Some(Value::Text(inner)) => Some(inner),
                _ => Some(text.clone()),
            }
        }
        Value::Unquoted(text) => Some(text.clone()),
        _ => None,
    }
}
