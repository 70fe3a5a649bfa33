//! What somebody wants a channel to be: settings as JSON, against what the connector describes. The rules are those of
//! the configuration, but a secret is always a text here.

use std::collections::{BTreeMap, BTreeSet};

use deskbell_sdk::settings::SettingValue;
use deskbell_sdk::{Secret, Setting, SettingKind, SettingProblem};
use serde_json::{Map, Value};

/// Longest text of a setting, in bytes; that of a secret's file in the configuration.
const MAX_TEXT_BYTES: usize = 64 * 1024;
/// Most items of a list.
const MAX_ITEMS: usize = 1_000;

/// A field that does not do, and why. It holds no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadField {
    /// Where it is in the request's body: a JSON pointer.
    pub pointer: String,
    /// What is wrong and what to do.
    pub detail: String,
}

impl BadField {
    /// A field at this pointer.
    #[must_use]
    pub fn new(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            pointer: pointer.into(),
            detail: detail.into(),
        }
    }

    /// A setting by its key, which may lead through objects: `imap.host`.
    #[must_use]
    pub fn setting(key: &str, detail: impl Into<String>) -> Self {
        Self::new(pointer_of(key), detail)
    }
}

impl From<SettingProblem> for BadField {
    fn from(problem: SettingProblem) -> Self {
        match problem.key.as_str() {
            "api_base" => Self::new("/api_base", problem.problem),
            key => Self::setting(key, problem.problem),
        }
    }
}

fn pointer_of(key: &str) -> String {
    key.split('.')
        .filter(|part| !part.is_empty())
        .fold("/settings".to_owned(), |pointer, part| {
            below(&pointer, part)
        })
}

fn below(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
}

/// Settings that were read: a value, or `None` for `null`, which takes out what was there.
pub type Given = BTreeMap<String, Option<SettingValue>>;

/// What came of reading settings.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// What was given.
    pub given: Given,
    /// What does not do.
    pub bad: Vec<BadField>,
    /// The described settings among those, by key: they are named, and so not missing besides.
    pub refused: BTreeSet<&'static str>,
}

/// Reads settings. A setting described as `imap.host` stands in the object `imap`, or under its whole key. `kept` are
/// the keys of those that the channel has already: one that no connector describes any more can be taken out.
#[must_use]
pub fn read(
    described: &'static [Setting],
    kept: &[&String],
    settings: Map<String, Value>,
) -> Wanted {
    let mut reading = Reading {
        described,
        kept,
        wanted: Wanted::default(),
    };
    reading.object("/settings", "", settings);
    reading.wanted
}

struct Reading<'a> {
    described: &'static [Setting],
    kept: &'a [&'a String],
    wanted: Wanted,
}

impl Reading<'_> {
    fn object(&mut self, pointer: &str, prefix: &str, object: Map<String, Value>) {
        for (key, value) in object {
            let (full, pointer) = (format!("{prefix}{key}"), below(pointer, &key));
            let inner_prefix = format!("{full}.");
            let setting = self.described.iter().find(|setting| setting.key == full);
            let is_group = self
                .described
                .iter()
                .any(|setting| setting.key.starts_with(&inner_prefix));
            match (setting, value) {
                (Some(setting), value) => self.setting(pointer, setting, value),
                (None, Value::Object(inner)) if is_group => {
                    self.object(&pointer, &inner_prefix, inner);
                }
                (None, _) if is_group => {
                    let detail = "must be an object with its settings.";
                    self.wanted.bad.push(BadField::new(pointer, detail));
                }
                (None, Value::Null) if self.kept.contains(&&full) => {
                    self.wanted.given.insert(full, None);
                }
                (None, _) => {
                    let known: Vec<_> = self.described.iter().map(|known| known.key).collect();
                    let detail = if known.is_empty() {
                        "is unknown; this connector has no settings.".to_owned()
                    } else {
                        format!("is unknown; this connector knows {}.", known.join(", "))
                    };
                    self.wanted.bad.push(BadField::new(pointer, detail));
                }
            }
        }
    }

    fn setting(&mut self, pointer: String, setting: &'static Setting, value: Value) {
        let value = match value {
            Value::Null => None,
            value => match checked(setting, value) {
                Ok(value) => Some(value),
                Err(detail) => {
                    self.wanted.refused.insert(setting.key);
                    self.wanted.bad.push(BadField::new(pointer, detail));
                    return;
                }
            },
        };
        if self
            .wanted
            .given
            .insert(setting.key.to_owned(), value)
            .is_some()
        {
            self.wanted
                .bad
                .push(BadField::new(pointer, "is given twice."));
        }
    }
}

/// A value of the kind that the setting takes; else what is wrong, without the value.
fn checked(setting: &Setting, value: Value) -> Result<SettingValue, String> {
    match (setting.kind, value) {
        (SettingKind::Secret, Value::Object(form))
            if form.contains_key("env") || form.contains_key("file") =>
        {
            Err("must be the secret itself, as a text: `env` and `file` work in the configuration file only, since \
                 whoever may use this API must not read files of this machine."
                .to_owned())
        }
        (SettingKind::Secret, Value::String(text)) => {
            let secret = Secret::new(text);
            sound(secret.expose(), true)?;
            Ok(SettingValue::Secret(secret))
        }
        (SettingKind::Secret, _) => Err("must be a text: the secret itself.".to_owned()),
        (SettingKind::Text, Value::String(text)) => {
            sound(&text, setting.required)?;
            Ok(SettingValue::Text(text))
        }
        (SettingKind::Text, Value::Number(_)) => {
            Err("must be a text: put the number in quotes.".to_owned())
        }
        (SettingKind::Text, _) => Err("must be a text.".to_owned()),
        (SettingKind::Flag, Value::Bool(flag)) => Ok(SettingValue::Flag(flag)),
        (SettingKind::Flag, _) => Err("must be `true` or `false`, without quotes.".to_owned()),
        (SettingKind::Choice(choices), Value::String(text)) if choices.contains(&&*text) => {
            Ok(SettingValue::Text(text))
        }
        (SettingKind::Choice(choices), _) => Err(format!("must be one of {}.", choices.join(", "))),
        (SettingKind::List, Value::Array(items)) => {
            if items.len() > MAX_ITEMS {
                return Err(format!("has {MAX_ITEMS} items at the most."));
            }
            let texts = items.into_iter().map(|item| match item {
                Value::String(text) => sound(&text, false).map(|()| text),
                _ => Err("must be a list of texts.".to_owned()),
            });
            texts.collect::<Result<_, _>>().map(SettingValue::List)
        }
        (SettingKind::List, _) => Err("must be a list of texts.".to_owned()),
    }
}

fn sound(text: &str, filled: bool) -> Result<(), String> {
    if filled && text.trim().is_empty() {
        return Err("is empty.".to_owned());
    }
    if text.len() > MAX_TEXT_BYTES {
        return Err(format!("has {MAX_TEXT_BYTES} bytes at the most."));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const MAILBOX: &[Setting] = &[
        Setting::text("address", "the address"),
        Setting::text("imap.host", "the server"),
        Setting::secret("imap.password", "its password"),
        Setting::text("security", "how")
            .kind(SettingKind::Choice(&["tls", "none"]))
            .default("tls"),
        Setting::text("folders", "which")
            .kind(SettingKind::List)
            .optional(),
        Setting::text("echo", "whether")
            .kind(SettingKind::Flag)
            .default("false"),
    ];

    fn read_json(settings: Value) -> (Given, Vec<(String, String)>) {
        let Value::Object(settings) = settings else {
            panic!("an object")
        };
        let kept = "gone".to_owned();
        let wanted = read(MAILBOX, &[&kept], settings);
        let bad = wanted.bad.into_iter();
        (
            wanted.given,
            bad.map(|bad| (bad.pointer, bad.detail)).collect(),
        )
    }

    #[test]
    fn settings_are_read_nested_or_by_their_whole_key() {
        let (given, bad) = read_json(json!({
            "address": "shop@example.com",
            "imap": { "host": "imap.example.com" },
            "imap.password": "canary",
            "security": "none",
            "folders": ["INBOX"],
            "echo": true,
            "gone": null,
        }));
        assert!(bad.is_empty(), "{bad:?}");
        let text = |text: &str| Some(SettingValue::Text(text.to_owned()));
        assert_eq!(given["address"], text("shop@example.com"));
        assert_eq!(given["imap.host"], text("imap.example.com"));
        let password = Some(SettingValue::Secret(Secret::new("canary")));
        assert_eq!(given["imap.password"], password);
        assert_eq!(given["security"], text("none"));
        let folders = Some(SettingValue::List(vec!["INBOX".to_owned()]));
        assert_eq!(given["folders"], folders);
        assert_eq!(given["echo"], Some(SettingValue::Flag(true)));
        assert_eq!(given["gone"], None);
    }

    #[test]
    fn every_setting_that_does_not_do_is_named_and_no_value_is_repeated() {
        let long = "canary".repeat(20_000);
        for (settings, pointer, words) in [
            (json!({ "adress": "canary" }), "/settings/adress", "unknown"),
            (json!({ "a/b~c": 1 }), "/settings/a~1b~0c", "unknown"),
            (json!({ "gone": "canary" }), "/settings/gone", "unknown"),
            (json!({ "address": "" }), "/settings/address", "empty"),
            (json!({ "address": 42 }), "/settings/address", "in quotes"),
            (
                json!({ "address": ["canary"] }),
                "/settings/address",
                "a text",
            ),
            (json!({ "address": long }), "/settings/address", "65536"),
            (json!({ "imap": "canary" }), "/settings/imap", "an object"),
            (
                json!({ "imap": { "hots": "canary" } }),
                "/settings/imap/hots",
                "unknown",
            ),
            (
                json!({ "imap": { "password": { "env": "CANARY" } } }),
                "/settings/imap/password",
                "configuration file only",
            ),
            (
                json!({ "imap": { "password": { "file": "/canary" } } }),
                "/settings/imap/password",
                "configuration file only",
            ),
            (
                json!({ "imap.password": " " }),
                "/settings/imap.password",
                "empty",
            ),
            (
                json!({ "imap.password": 7 }),
                "/settings/imap.password",
                "a text",
            ),
            (
                json!({ "security": "canary" }),
                "/settings/security",
                "one of tls, none",
            ),
            (
                json!({ "security": true }),
                "/settings/security",
                "one of tls, none",
            ),
            (
                json!({ "folders": "canary" }),
                "/settings/folders",
                "a list",
            ),
            (
                json!({ "folders": ["canary", 1] }),
                "/settings/folders",
                "a list",
            ),
            (
                json!({ "folders": vec!["x"; 1_001] }),
                "/settings/folders",
                "1000 items",
            ),
            (
                json!({ "echo": "true" }),
                "/settings/echo",
                "without quotes",
            ),
            (
                json!({ "imap.host": "a", "imap": { "host": "b" } }),
                "/settings/imap.host",
                "twice",
            ),
        ] {
            let (_, bad) = read_json(settings.clone());
            assert_eq!(bad.len(), 1, "{settings}: {bad:?}");
            assert_eq!(bad[0].0, pointer);
            assert!(bad[0].1.contains(words), "{}", bad[0].1);
            assert!(!bad[0].1.to_lowercase().contains("canary"), "{}", bad[0].1);
        }
    }
}
