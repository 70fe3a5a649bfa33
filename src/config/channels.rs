//! `[[channels]]`: what every channel has, and the settings that its connector describes.

use std::collections::BTreeMap;

use deskbell_sdk::settings::SettingValue;
use deskbell_sdk::{Kind, Setting, SettingKind, SettingProblem, Settings};

use super::ChannelConfig;
use super::formats::{API_BASE, FILLED_TEXT, Format, NAME, SLUG, TEXT};
use super::keys;
use super::origin::Origin;
use super::reader::{Reader, Section, join};
use super::suggest::nearest;
use super::tree::{Entry, Node, Table, Value};

/// Reads all channels; those that do not do are left out and told in the reader's errors.
pub(super) fn read(
    reader: &mut Reader<'_>,
    root: &mut Section,
    kinds: &[Kind],
) -> Vec<ChannelConfig> {
    let Some(entry) = root.take(keys::CHANNELS) else {
        return Vec::new();
    };
    let items = match entry.node.value {
        Value::List(items) => items,
        value => {
            let node = Node {
                origin: entry.node.origin,
                value,
            };
            reader.refuse_type(
                &node,
                keys::CHANNELS,
                "a list of channels, each written [[channels]]",
            );
            return Vec::new();
        }
    };
    let mut ids = BTreeMap::new();
    let mut channels = Vec::new();
    for (index, item) in items.into_iter().enumerate() {
        let path = format!("{}[{index}]", keys::CHANNELS);
        match item.value {
            Value::Table(table) => channels.extend(channel(reader, table, path, kinds, &mut ids)),
            value => {
                let node = Node {
                    origin: item.origin,
                    value,
                };
                reader.refuse_type(&node, &path, "a channel written [[channels]]");
            }
        }
    }
    channels
}

/// Where the ids that were met so far stand: path and place.
type Ids = BTreeMap<String, (String, Origin)>;

fn channel(
    reader: &mut Reader<'_>,
    table: Table,
    path: String,
    kinds: &[Kind],
    ids: &mut Ids,
) -> Option<ChannelConfig> {
    let origin = table.origin.clone();
    let mut section = Section {
        path,
        known: keys::CHANNEL.to_vec(),
        table,
    };
    let id = id(reader, &mut section, ids);
    let name = reader.parsed(&mut section, "name", NAME);
    let api_base = section.take("api_base");
    let catch_up_path = section.path_of("catch_up");
    let catch_up_origin = section
        .table
        .entries
        .get("catch_up")
        .map(|entry| entry.key_origin.clone());
    let catch_up = reader.flag(&mut section, "catch_up").unwrap_or(true);
    // Without its connector nothing can be said about the other keys.
    let kind = kind(reader, &mut section, kinds)?;
    let api_base = api_base.and_then(|entry| {
        let path = section.path_of("api_base");
        if kind.api_base.is_none() {
            let problem = format!("{} calls nobody, so it has no api_base", kind.id);
            reader.refuse(entry.key_origin, &path, problem);
            return None;
        }
        reader.parsed_node(&entry.node, &path, API_BASE)
    });
    let settings = settings(reader, section, kind, api_base);
    if let (Some(settings), Some(origin)) = (&settings, catch_up_origin)
        && (kind.open)(settings).is_ok_and(|opened| opened.backfill().is_none())
    {
        let problem = format!(
            "{} has no history to catch up from; leave this out",
            kind.id
        );
        reader.refuse(origin, &catch_up_path, problem);
        return None;
    }
    Some(ChannelConfig {
        id: id?,
        connector: kind.id,
        name: name.unwrap_or_else(|| kind.title.to_owned()),
        settings: settings?,
        catch_up,
        origin,
    })
}

fn id(reader: &mut Reader<'_>, section: &mut Section, ids: &mut Ids) -> Option<String> {
    let path = section.path_of("id");
    let Some(entry) = section.take("id") else {
        let problem = "is missing: a name for its URLs, such as \"shop-page\"";
        reader.refuse(section.table.origin.clone(), &path, problem);
        return None;
    };
    let id = reader.parsed_node(&entry.node, &path, SLUG)?;
    if let Some((first_path, first_origin)) = ids.get(&id) {
        let problem = format!("\"{id}\" is already the id of {first_path} at {first_origin}");
        reader.refuse(entry.node.origin, &path, problem);
        return None;
    }
    ids.insert(id.clone(), (section.path.clone(), entry.node.origin));
    Some(id)
}

fn kind<'a>(reader: &mut Reader<'_>, section: &mut Section, kinds: &'a [Kind]) -> Option<&'a Kind> {
    let known = || kinds.iter().map(|kind| kind.id);
    let list = known().collect::<Vec<_>>().join(", ");
    let path = section.path_of("connector");
    let Some(entry) = section.take("connector") else {
        let problem = format!("is missing: one of {list}");
        reader.refuse(section.table.origin.clone(), &path, problem);
        return None;
    };
    let name = reader.parsed_node(&entry.node, &path, FILLED_TEXT)?;
    if let Some(kind) = kinds.iter().find(|kind| kind.id == name) {
        return Some(kind);
    }
    let mut problem = format!("unknown connector; this version has {list}");
    if let Some(meant) = nearest(&name, known()) {
        problem.push_str(&format!("; did you mean {meant}?"));
    }
    reader.refuse(entry.node.origin, &path, problem);
    None
}

/// The values of one channel's settings while they are read.
struct Given {
    described: &'static [Setting],
    values: BTreeMap<String, SettingValue>,
    /// Where each setting stands, also of those that did not do.
    origins: BTreeMap<String, Origin>,
}

fn settings(
    reader: &mut Reader<'_>,
    section: Section,
    kind: &Kind,
    api_base: Option<String>,
) -> Option<Settings> {
    let errors_before = reader.errors.len();
    let channel_origin = section.table.origin.clone();
    let path = section.path;
    let mut given = Given {
        described: kind.settings,
        values: BTreeMap::new(),
        origins: BTreeMap::new(),
    };
    table(reader, section.table, &path, "", &mut given);
    for setting in kind.settings {
        let needed = setting.required && setting.default.is_none();
        if needed && !given.origins.contains_key(setting.key) {
            let problem = format!("is missing: {}", setting.help);
            reader.refuse(
                channel_origin.clone(),
                &setting_path(&path, setting.key),
                problem,
            );
        }
    }
    if reader.errors.len() > errors_before {
        return None;
    }
    let origins = given.origins;
    let mut refuse = |problem: SettingProblem| {
        let origin = origins.get(&problem.key).unwrap_or(&channel_origin).clone();
        reader.refuse(origin, &setting_path(&path, &problem.key), problem.problem);
    };
    let settings = match Settings::checked(kind.settings, given.values, api_base) {
        Ok(settings) => settings,
        Err(problem) => {
            refuse(problem);
            return None;
        }
    };
    // The connector may refuse values that no description can; here it can still be told where they stand.
    if let Err(problem) = (kind.open)(&settings) {
        refuse(problem);
        return None;
    }
    Some(settings)
}

/// Reads the settings of a table. A setting described as `imap.host` stands in the table `imap`.
fn table(reader: &mut Reader<'_>, table: Table, path: &str, prefix: &str, given: &mut Given) {
    for (key, entry) in table.entries {
        let full = format!("{prefix}{key}");
        let inner_prefix = format!("{full}.");
        let entry_path = join(path, &key);
        // A quoted key with a dot in it is not a key in a table.
        let mut described = given.described.iter().filter(|_| !key.contains('.'));
        if let Some(setting) = described.find(|setting| setting.key == full) {
            given.origins.insert(full, entry.node.origin.clone());
            if let Some(value) = value(reader, entry.node, &entry_path, setting) {
                given.values.insert(setting.key.to_owned(), value);
            }
        } else if given
            .described
            .iter()
            .any(|setting| setting.key.starts_with(&inner_prefix))
        {
            match entry.node.value {
                Value::Table(inner) => {
                    self::table(reader, inner, &entry_path, &inner_prefix, given);
                }
                value => {
                    let node = Node {
                        origin: entry.node.origin,
                        value,
                    };
                    // What would stand in the table is not missing besides.
                    for setting in given.described {
                        if setting.key.starts_with(&inner_prefix) {
                            let origin = node.origin.clone();
                            given.origins.insert(setting.key.to_owned(), origin);
                        }
                    }
                    let expected = format!("a table written [channels.{full}]");
                    reader.refuse_type(&node, &entry_path, &expected);
                }
            }
        } else {
            unknown(reader, path, prefix, &key, &entry, given.described);
        }
    }
}

fn unknown(
    reader: &mut Reader<'_>,
    path: &str,
    prefix: &str,
    key: &str,
    entry: &Entry,
    described: &'static [Setting],
) {
    let mut known: Vec<&'static str> = Vec::new();
    if prefix.is_empty() {
        known.extend(keys::CHANNEL);
    }
    let here = described
        .iter()
        .filter_map(|setting| setting.key.strip_prefix(prefix));
    known.extend(here.map(|key| key.split('.').next().unwrap_or(key)));
    let mut met = std::collections::BTreeSet::new();
    known.retain(|key| met.insert(*key));
    reader.refuse_unknown(path, key, entry, &known);
}

fn value(
    reader: &mut Reader<'_>,
    node: Node,
    path: &str,
    setting: &Setting,
) -> Option<SettingValue> {
    match setting.kind {
        SettingKind::Text => {
            let format: Format<String> = if setting.required { FILLED_TEXT } else { TEXT };
            reader
                .parsed_node(&node, path, format)
                .map(SettingValue::Text)
        }
        SettingKind::Secret => reader.secret_node(node, path).map(SettingValue::Secret),
        SettingKind::Flag => reader.flag_node(&node, path).map(SettingValue::Flag),
        SettingKind::List => reader.list_node(node, path, TEXT).map(SettingValue::List),
        SettingKind::Choice(choices) => {
            let text = reader.parsed_node(&node, path, TEXT)?;
            if choices.contains(&text.as_str()) {
                return Some(SettingValue::Text(text));
            }
            let mut problem = format!("must be one of {}", choices.join(", "));
            if let Some(meant) = nearest(&text, choices.iter().copied()) {
                problem.push_str(&format!("; did you mean {meant}?"));
            }
            reader.refuse(node.origin, path, problem);
            None
        }
    }
}

/// The path of a setting whose key may lead through tables.
fn setting_path(channel: &str, key: &str) -> String {
    key.split('.')
        .fold(channel.to_owned(), |path, part| join(&path, part))
}
