//! `DESKBELL__SECTION__KEY`: environment variables that replace what the file says.

use std::collections::BTreeMap;

use super::keys;
use super::origin::{ConfigError, Origin};
use super::suggest::nearest;
use super::tree::{Entry, Node, Table, Value};

/// What every variable of the configuration begins with. Those with one underscore are the command line's.
const PREFIX: &str = "DESKBELL__";

/// All variables of this process. The one place that reads them; what is not UTF-8 is marked by U+FFFD and refused
/// where it is used.
#[must_use]
pub fn process_environment() -> BTreeMap<String, String> {
    std::env::vars_os()
        .map(|(name, value)| {
            (
                name.to_string_lossy().into_owned(),
                value.to_string_lossy().into_owned(),
            )
        })
        .collect()
}

/// Puts the variables' values over the file's.
pub(super) fn overlay(
    root: &mut Table,
    environment: &BTreeMap<String, String>,
    errors: &mut Vec<ConfigError>,
) {
    let channels = channel_prefixes(root);
    for (name, value) in environment {
        let Some(rest) = name.strip_prefix(PREFIX) else {
            continue;
        };
        let origin = Origin::Environment(name.clone());
        let mut refuse = |problem: &str| {
            errors.push(ConfigError::new(origin.clone(), "", problem));
        };
        if value.contains(char::REPLACEMENT_CHARACTER) {
            refuse("is not UTF-8");
            continue;
        }
        let value = Value::Unquoted(value.clone());
        if let Some(rest) = rest.strip_prefix("CHANNELS__") {
            // The longest id wins: `a--b` is not the key `b` of `a`.
            let channel = channels
                .iter()
                .filter_map(|(prefix, index)| Some((rest.strip_prefix(prefix.as_str())?, *index)))
                .min_by_key(|(key, _)| key.len());
            match channel {
                Some(("ID", _)) => {
                    refuse("the id of a channel can only be changed in the file");
                }
                Some((key, index)) if is_upper_case(key) => {
                    let is_set = channel_at(root, index).is_some_and(|channel| {
                        set(channel, &key.to_ascii_lowercase(), origin.clone(), value)
                    });
                    if !is_set {
                        refuse("unknown; no such section is in the channel");
                    }
                }
                _ => refuse(&unknown_channel(&channels)),
            }
            continue;
        }
        match variable(rest) {
            Some(Variable::Key(key)) => root.set(key, origin, value),
            Some(Variable::InSection(section, key)) => match section_in(root, section, &origin) {
                Some(table) => table.set(key, origin, value),
                None => refuse(&format!(
                    "cannot be used: {section} is no section in the file"
                )),
            },
            None => refuse(&unknown_variable(rest)),
        }
    }
}

enum Variable {
    Key(&'static str),
    InSection(&'static str, &'static str),
}

fn variable(rest: &str) -> Option<Variable> {
    if let Some(key) = keys::TOP
        .iter()
        .find(|key| key.to_ascii_uppercase() == rest)
    {
        return Some(Variable::Key(key));
    }
    let (section, key) = rest.rsplit_once("__")?;
    let (section, known) = keys::SECTIONS
        .iter()
        .find(|(name, _)| in_variables(name) == section)?;
    let key = known
        .iter()
        .find(|known| known.to_ascii_uppercase() == key)?;
    Some(Variable::InSection(section, key))
}

/// A section's name as it stands in variables: `AUTH__OIDC`.
fn in_variables(section: &str) -> String {
    section.to_ascii_uppercase().replace('.', "__")
}

/// What may be meant by a variable whose name goes on with `rest`.
fn unknown_variable(rest: &str) -> String {
    if rest == "CHANNELS" {
        return format!("unknown; a channel's key is changed by {PREFIX}CHANNELS__ID__KEY");
    }
    for (section, section_keys) in keys::SECTIONS {
        if in_variables(section) == rest {
            let examples: Vec<String> = section_keys
                .iter()
                .map(|key| format!("{PREFIX}{rest}__{}", key.to_ascii_uppercase()))
                .collect();
            return format!("is a whole section; set {}", examples.join(" or "));
        }
    }
    let of_sections = keys::SECTIONS.iter().flat_map(|(section, keys)| {
        keys.iter()
            .map(move |key| format!("{}__{key}", in_variables(section)))
    });
    let known: Vec<String> = keys::TOP
        .iter()
        .map(|key| (*key).to_owned())
        .chain(of_sections)
        .map(|name| name.to_ascii_uppercase())
        .collect();
    match nearest(rest, known.iter().map(String::as_str)) {
        Some(meant) => format!("unknown; did you mean {PREFIX}{meant}?"),
        None => format!(
            "unknown; variables are written {PREFIX}SECTION__KEY, such as {PREFIX}STORE__CACHE_MIB"
        ),
    }
}

fn unknown_channel(channels: &[(String, usize)]) -> String {
    let known: Vec<String> = channels
        .iter()
        .map(|(prefix, _)| format!("{PREFIX}CHANNELS__{prefix}…"))
        .collect();
    if known.is_empty() {
        "no channel is configured that it could change".to_owned()
    } else {
        format!(
            "no such channel or key; variables of the channels begin with {}",
            known.join(", ")
        )
    }
}

/// `SHOP_PAGE__` for the channel `shop-page`, and its place in the list.
fn channel_prefixes(root: &Table) -> Vec<(String, usize)> {
    let Some(Entry {
        node: Node {
            value: Value::List(channels),
            ..
        },
        ..
    }) = root.entries.get(keys::CHANNELS)
    else {
        return Vec::new();
    };
    let id_of = |channel: &Node| match &channel.value {
        Value::Table(table) => match &table.entries.get("id")?.node.value {
            Value::Text(id) => Some(id.to_ascii_uppercase().replace('-', "_")),
            _ => None,
        },
        _ => None,
    };
    let with_index = channels.iter().enumerate();
    with_index
        .filter_map(|(index, node)| Some((id_of(node)? + "__", index)))
        .collect()
}

fn channel_at(root: &mut Table, index: usize) -> Option<&mut Table> {
    match &mut root.entries.get_mut(keys::CHANNELS)?.node.value {
        Value::List(channels) => match &mut channels.get_mut(index)?.value {
            Value::Table(table) => Some(table),
            _ => None,
        },
        _ => None,
    }
}

/// Sets `imap__host` as the key `host` of the table `imap`; tells whether it could.
fn set(table: &mut Table, key: &str, origin: Origin, value: Value) -> bool {
    match key.split_once("__") {
        Some((outer, inner)) => table_in(table, outer, &origin)
            .is_some_and(|table| set(table, inner, origin.clone(), value)),
        None => {
            table.set(key, origin, value);
            true
        }
    }
}

/// The table of a section, such as `auth.oidc`; `None` where something else is there.
fn section_in<'a>(root: &'a mut Table, section: &str, origin: &Origin) -> Option<&'a mut Table> {
    match section.split_once('.') {
        None => table_in(root, section, origin),
        Some((outer, inner)) => section_in(table_in(root, outer, origin)?, inner, origin),
    }
}

/// The table under a key, made where there is none; `None` where something else is there.
fn table_in<'a>(outer: &'a mut Table, key: &str, origin: &Origin) -> Option<&'a mut Table> {
    let entry = outer
        .entries
        .entry(key.to_owned())
        .or_insert_with(|| Entry {
            key_origin: origin.clone(),
            node: Node {
                origin: origin.clone(),
                value: Value::Table(Table::empty(origin.clone())),
            },
        });
    match &mut entry.node.value {
        Value::Table(table) => Some(table),
        _ => None,
    }
}

fn is_upper_case(key: &str) -> bool {
    !key.is_empty() && !key.contains(|letter: char| letter.is_ascii_lowercase())
}
