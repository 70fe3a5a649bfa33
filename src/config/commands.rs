//! `[[hooks.command]]`: programs of this machine that are told what happens. They stand in the file only: neither the API
//! nor a variable of the environment adds or changes one.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use deskbell_sdk::Secret;
use rustix::fs::Access;

use super::formats::{Format, SLUG, TEXT};
use super::keys;
use super::origin::Origin;
use super::reader::{Reader, Section, join};
use super::suggest::nearest;
use super::tree::{Entry, Node, Table, Value};

/// The key of `[hooks]` that holds them.
const COMMAND: &str = "command";
/// The list, as errors name it.
const LIST: &str = "hooks.command";
/// Most commands.
const MOST: usize = 20;
/// Most arguments of one, and most variables.
const MOST_PARTS: usize = 64;
/// The longest argument or variable, in bytes.
const LONGEST_PART: usize = 4096;
/// How long a program may run where nothing else is said, in seconds.
const TIMEOUT_S: u32 = 10;
/// The longest that one may run, in seconds.
const LONGEST_TIMEOUT_S: u32 = 30;

/// The types of the events that a hook can hear, as the stream names them.
pub const HOOK_EVENTS: [&str; 10] = [
    "message.created",
    "message.updated",
    "conversation.created",
    "conversation.updated",
    "contact.created",
    "contact.updated",
    "contact.deleted",
    "channel.health",
    "bell.rung",
    "bell.acknowledged",
];

/// One entry of `[[hooks.command]]`.
#[derive(Clone, Debug)]
pub struct HookCommand {
    /// Its id, a slug, unique among commands.
    pub id: String,
    /// The program: an absolute path that [`check_program`] took when the configuration was read.
    pub program: PathBuf,
    /// Its arguments, passed as they are.
    pub args: Vec<String>,
    /// The types of the events that it hears: at least one of [`HOOK_EVENTS`].
    pub events: BTreeSet<String>,
    /// The slugs of the channels of which it hears; `None`: all.
    pub channels: Option<BTreeSet<String>>,
    /// Whether it hears a ring only once that has climbed to the step of escalation.
    pub escalation: bool,
    /// How long it may run: 1 to 30 s.
    pub timeout: Duration,
    /// What else stands in its environment. Operators keep keys of other systems there.
    pub environment: BTreeMap<String, Secret>,
    /// Whether it is told anything.
    pub enabled: bool,
}

/// Whether a program can be run and nobody else decides what it is.
///
/// # Errors
/// Why not, and what to do.
pub fn check_program(program: &Path) -> Result<(), String> {
    if !program.is_absolute() {
        return Err(
            "must be an absolute path, such as \"/usr/local/bin/notify\"; nothing is looked up, and no shell runs it"
                .to_owned(),
        );
    }
    let shown = program.display();
    let metadata = std::fs::metadata(program).map_err(|error| format!("{shown}: {error}"))?;
    if !metadata.is_file() {
        return Err(format!("{shown} is not a file"));
    }
    if metadata.permissions().mode() & 0o002 != 0 {
        return Err(format!(
            "{shown} can be written by every user of this machine, who would run it as Deskbell; chmod o-w it"
        ));
    }
    if rustix::fs::access(program, Access::EXEC_OK).is_err() {
        return Err(format!(
            "{shown} cannot be executed by the user that runs deskbell; chmod +x it"
        ));
    }
    // Whoever may rename in a folder above may put another program in its place: of a link and of what it leads to.
    let real = std::fs::canonicalize(program).map_err(|error| format!("{shown}: {error}"))?;
    for folder in program.ancestors().chain(real.ancestors()).skip(1) {
        let Ok(above) = std::fs::metadata(folder) else {
            continue;
        };
        let mode = above.permissions().mode();
        if above.is_dir() && mode & 0o002 != 0 && mode & 0o1000 == 0 {
            return Err(format!(
                "{} above it can be written by every user of this machine, who could put another program there; chmod o-w it",
                folder.display()
            ));
        }
    }
    Ok(())
}

const PROGRAM: Format<PathBuf> = Format {
    expected: "the absolute path of a program in quotes",
    parse: |text| {
        let program = PathBuf::from(text);
        check_program(&program).map(|()| program)
    },
};

const PART: Format<String> = Format {
    expected: TEXT.expected,
    parse: part,
};

fn part(text: &str) -> Result<String, String> {
    if text.len() > LONGEST_PART {
        Err(format!("is longer than {LONGEST_PART} bytes"))
    } else if text.contains('\0') {
        Err("holds a NUL, which no argument can".to_owned())
    } else {
        Ok(text.to_owned())
    }
}

const EVENT: Format<String> = Format {
    expected: TEXT.expected,
    parse: |text| {
        if HOOK_EVENTS.contains(&text) {
            return Ok(text.to_owned());
        }
        let mut problem = format!("must be one of {}", HOOK_EVENTS.join(", "));
        if let Some(meant) = nearest(text, HOOK_EVENTS) {
            problem.push_str(&format!("; did you mean {meant}?"));
        }
        Err(problem)
    },
};

/// Reads all commands; those that do not do are left out and told in the reader's errors.
pub(super) fn read(reader: &mut Reader<'_>, hooks: &mut Section) -> Vec<HookCommand> {
    hooks.known.push(COMMAND);
    let Some(Entry { node, .. }) = hooks.take(COMMAND) else {
        return Vec::new();
    };
    let items = match node.value {
        Value::List(items) => items,
        value => {
            let origin = node.origin;
            let expected = "a list of commands, each written [[hooks.command]]";
            reader.refuse_type(&Node { origin, value }, LIST, expected);
            return Vec::new();
        }
    };
    if items.len() > MOST {
        reader.refuse(node.origin, LIST, format!("has more than {MOST} commands"));
        return Vec::new();
    }
    let mut ids = BTreeMap::new();
    let mut commands = Vec::new();
    for (index, item) in items.into_iter().enumerate() {
        let path = format!("{LIST}[{index}]");
        match item.value {
            Value::Table(table) => commands.extend(command(reader, table, path, &mut ids)),
            value => {
                let origin = item.origin;
                let expected = "a command written [[hooks.command]]";
                reader.refuse_type(&Node { origin, value }, &path, expected);
            }
        }
    }
    if !commands.is_empty() && rustix::process::geteuid().is_root() {
        reader.warnings.push(
            "hooks.command: deskbell runs as root, and so do its commands, which no limit on processes holds then; let it run as a user of its own".to_owned(),
        );
    }
    commands
}

fn command(
    reader: &mut Reader<'_>,
    table: Table,
    path: String,
    ids: &mut BTreeMap<String, Origin>,
) -> Option<HookCommand> {
    let origin = table.origin.clone();
    let mut section = Section {
        path,
        known: keys::COMMAND.to_vec(),
        table,
    };
    let section = &mut section;
    let missing = |reader: &mut Reader<'_>, section: &Section, key: &str, what: &str| {
        if !section.table.entries.contains_key(key) {
            let problem = format!("is missing: {what}");
            reader.refuse(origin.clone(), &section.path_of(key), problem);
        }
    };
    missing(reader, section, "id", "a name, such as \"light\"");
    missing(reader, section, "program", "the program's absolute path");
    let events_are = "what it hears, such as [\"message.created\"]";
    missing(reader, section, "events", events_are);
    let id_origin = section.table.entries.get("id");
    let id_origin = id_origin.map(|entry| entry.node.origin.clone());
    let id = reader.parsed(section, "id", SLUG);
    let first = id.as_ref().and_then(|id| ids.get(id)).cloned();
    if let (Some(id), Some(at)) = (&id, id_origin) {
        match first {
            Some(first) => {
                let problem = format!("\"{id}\" is already the id of the command at {first}");
                reader.refuse(at, &section.path_of("id"), problem);
            }
            None => {
                ids.insert(id.clone(), at);
            }
        }
    }
    let at_most = |parts: &[String]| match parts.len() {
        0..=MOST_PARTS => Ok(()),
        _ => Err(format!("has more than {MOST_PARTS} items")),
    };
    let program = reader.parsed(section, "program", PROGRAM);
    let args = reader.list(section, "args", PART, at_most);
    let some = |items: &[String]| match items {
        [] => Err("names nothing; leave the key out, or name at least one".to_owned()),
        _ => Ok(()),
    };
    let events = reader.list(section, "events", EVENT, some);
    let channels = reader.list(section, "channels", SLUG, some);
    let escalation = reader.flag(section, "escalation").unwrap_or(false);
    let timeout_s = reader.integer(section, "timeout_s", 1..=LONGEST_TIMEOUT_S);
    let enabled = reader.flag(section, "enabled").unwrap_or(true);
    let environment = environment(reader, section);
    for (key, entry) in &section.table.entries {
        reader.refuse_unknown(&section.path, key, entry, &section.known);
    }
    Some(HookCommand {
        id: id?,
        program: program?,
        args: args.unwrap_or_default(),
        events: events?.into_iter().collect(),
        channels: channels.map(|slugs| slugs.into_iter().collect()),
        escalation,
        timeout: Duration::from_secs(timeout_s.unwrap_or(TIMEOUT_S).into()),
        environment,
        enabled,
    })
}

/// The variables of a command. Their values may be secrets of other systems, written as secrets are.
fn environment(reader: &mut Reader<'_>, section: &mut Section) -> BTreeMap<String, Secret> {
    let path = section.path_of("environment");
    let Some(entry) = section.take("environment") else {
        return BTreeMap::new();
    };
    let table = match entry.node.value {
        Value::Table(table) => table,
        value => {
            let origin = entry.node.origin;
            let expected = "a table, such as { LAMP = \"kitchen\" }";
            reader.refuse_type(&Node { origin, value }, &path, expected);
            return BTreeMap::new();
        }
    };
    if table.entries.len() > MOST_PARTS {
        let problem = format!("has more than {MOST_PARTS} variables");
        reader.refuse(table.origin, &path, problem);
        return BTreeMap::new();
    }
    let mut variables = BTreeMap::new();
    for (name, entry) in table.entries {
        let path = join(&path, &name);
        if let Err(problem) = variable_name(&name) {
            reader.refuse(entry.key_origin, &path, problem);
            continue;
        }
        let origin = entry.node.origin.clone();
        let value = match entry.node.value {
            // Most are none: the file's readers are not warned of it.
            Value::Text(text) => Some(Secret::new(text)),
            value => reader.secret_node(
                Node {
                    value,
                    ..entry.node
                },
                &path,
            ),
        };
        let Some(value) = value else { continue };
        match part(value.expose()) {
            Ok(_) => {
                variables.insert(name, value);
            }
            Err(problem) => reader.refuse(origin, &path, problem),
        }
    }
    variables
}

fn variable_name(name: &str) -> Result<(), &'static str> {
    let fits = |sign: char| sign.is_ascii_alphanumeric() || sign == '_';
    let begins = name.starts_with(|sign: char| sign.is_ascii_alphabetic() || sign == '_');
    if !begins || name.len() > 100 || !name.chars().all(fits) {
        Err("must be 1 to 100 of A-Z, a-z, 0-9 and \"_\", and not begin with a digit")
    } else if name.starts_with("DESKBELL_") {
        Err("begins with DESKBELL_, whose variables Deskbell sets")
    } else {
        Ok(())
    }
}
