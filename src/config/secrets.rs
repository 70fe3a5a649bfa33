//! Secrets of the configuration: a text, `{ env = "NAME" }` or `{ file = "/path" }`.

use std::io::Read;

use deskbell_sdk::Secret;

use super::formats::FILLED_TEXT;
use super::origin::Origin;
use super::reader::{Reader, Section, join, open_regular};
use super::suggest::nearest;
use super::tree::{self, Node, Table, Value};

/// Longest secret that is read from a file, in bytes.
const FILE_LIMIT: u64 = 64 * 1024;

const EXPECTED: &str = "a secret: a text in quotes, { env = \"NAME\" } or { file = \"/path\" }";

const FORMS: &[&str] = &["env", "file"];

impl Reader<'_> {
    /// A secret, which must stand a test. Problems name the variable or the file, never the value.
    pub(super) fn secret(
        &mut self,
        section: &mut Section,
        key: &str,
        test: fn(&str) -> Result<(), String>,
    ) -> Option<Secret> {
        let node = section.take(key)?.node;
        let path = section.path_of(key);
        let origin = node.origin.clone();
        let secret = self.secret_node(node, &path)?;
        match test(secret.expose()) {
            Ok(()) => Some(secret),
            Err(problem) => {
                self.refuse(origin, &path, problem);
                None
            }
        }
    }

    /// A list of secrets, at most so many. In the environment it is written as in TOML, or is texts with commas
    /// between them.
    pub(super) fn secret_list(
        &mut self,
        section: &mut Section,
        key: &str,
        most: usize,
    ) -> Vec<Secret> {
        let Some(entry) = section.take(key) else {
            return Vec::new();
        };
        let (node, path) = (entry.node, section.path_of(key));
        let origin = node.origin;
        let unquoted = |text: &str| Node {
            origin: origin.clone(),
            value: Value::Unquoted(text.trim().to_owned()),
        };
        let items = match node.value {
            Value::List(items) => items,
            Value::Unquoted(text) => match tree::parse_value(&text, &origin) {
                Some(Value::List(items)) => items,
                _ if text.trim().is_empty() => Vec::new(),
                _ => text.split(',').map(unquoted).collect(),
            },
            value => {
                let node = Node { origin, value };
                let expected = format!("a list, each item {EXPECTED}");
                self.refuse_type(&node, &path, &expected);
                return Vec::new();
            }
        };
        if items.len() > most {
            self.refuse(origin, &path, format!("has more than {most} items"));
            return Vec::new();
        }
        let items = items.into_iter().enumerate();
        items
            .filter_map(|(index, item)| self.secret_node(item, &format!("{path}[{index}]")))
            .collect()
    }

    /// A secret.
    pub(super) fn secret_node(&mut self, node: Node, path: &str) -> Option<Secret> {
        match node.value {
            Value::Text(text) => {
                if matches!(node.origin, Origin::File { .. }) {
                    self.literal_secrets.push(path.to_owned());
                }
                self.filled(text, node.origin, path, "is empty")
            }
            Value::Table(table) => self.referred(table, node.origin, path),
            Value::Unquoted(text) => match tree::parse_value(&text, &node.origin) {
                Some(Value::Table(table))
                    if table
                        .entries
                        .keys()
                        .all(|key| FORMS.contains(&key.as_str())) =>
                {
                    self.referred(table, node.origin, path)
                }
                _ => self.filled(text, node.origin, path, "is empty"),
            },
            value => {
                self.refuse_type(
                    &Node {
                        origin: node.origin,
                        value,
                    },
                    path,
                    EXPECTED,
                );
                None
            }
        }
    }

    fn filled(
        &mut self,
        secret: String,
        origin: Origin,
        path: &str,
        problem: &str,
    ) -> Option<Secret> {
        if secret.trim().is_empty() {
            self.refuse(origin, path, problem);
            return None;
        }
        Some(Secret::new(secret))
    }

    /// `{ env = … }` or `{ file = … }`.
    fn referred(&mut self, mut table: Table, origin: Origin, path: &str) -> Option<Secret> {
        let env = table.entries.remove("env");
        let file = table.entries.remove("file");
        for (key, entry) in &table.entries {
            let problem = match nearest(key, FORMS.iter().copied()) {
                Some(meant) => format!("unknown key; did you mean {meant}?"),
                None => "unknown key; a secret is given by env or file".to_owned(),
            };
            self.refuse(entry.key_origin.clone(), &join(path, key), problem);
        }
        if !table.entries.is_empty() {
            return None;
        }
        match (env, file) {
            (Some(env), None) => self.environment_secret(&env.node, path),
            (None, Some(file)) => self.file_secret(&file.node, path),
            (Some(_), Some(_)) => {
                self.refuse(origin, path, "has both env and file; keep one of them");
                None
            }
            (None, None) => {
                self.refuse(
                    origin,
                    path,
                    format!("expected {EXPECTED}, found an empty table"),
                );
                None
            }
        }
    }

    fn environment_secret(&mut self, node: &Node, path: &str) -> Option<Secret> {
        let name = self.parsed_node(node, &join(path, "env"), FILLED_TEXT)?;
        let origin = node.origin.clone();
        // What is no name may be the secret itself in the wrong place, and is not repeated.
        if !is_variable_name(&name) {
            let problem = "env must be the name of an environment variable: letters, digits and _";
            self.refuse(origin, path, problem);
            return None;
        }
        match self.environment.get(&name).cloned() {
            None => {
                let problem = format!("the environment variable {name} is not set");
                self.refuse(origin, path, problem);
                None
            }
            Some(value) if value.contains(char::REPLACEMENT_CHARACTER) => {
                let problem = format!("the environment variable {name} is not UTF-8");
                self.refuse(origin, path, problem);
                None
            }
            Some(value) => {
                let empty = format!("the environment variable {name} is empty");
                self.filled(value, origin, path, &empty)
            }
        }
    }

    fn file_secret(&mut self, node: &Node, path: &str) -> Option<Secret> {
        let name = self.parsed_node(node, &join(path, "file"), FILLED_TEXT)?;
        let origin = node.origin.clone();
        let file = origin.folder().join(name);
        let mut bytes = Vec::new();
        let read = open_regular(&file).and_then(|open| {
            let read = open.take(FILE_LIMIT + 1).read_to_end(&mut bytes);
            read.map_err(|error| error.to_string())
        });
        let text = match read {
            Err(problem) => Err(problem),
            Ok(length) if length as u64 > FILE_LIMIT => {
                Err(format!("it is longer than {FILE_LIMIT} bytes"))
            }
            Ok(_) => String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned()),
        };
        match text {
            Ok(mut text) => {
                // The one newline that an editor or `echo` puts at the end is no part of the secret.
                if text.ends_with('\n') {
                    text.pop();
                    if text.ends_with('\r') {
                        text.pop();
                    }
                }
                self.filled(text, origin, path, &format!("the file {file:?} is empty"))
            }
            Err(problem) => {
                self.refuse(origin, path, format!("cannot read {file:?}: {problem}"));
                None
            }
        }
    }
}

fn is_variable_name(name: &str) -> bool {
    !name.starts_with(|first: char| first.is_ascii_digit())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
