//! What a connector wants to be told, described by itself: the configuration, the form in the desk and the list of
//! secrets to hide are all derived from this.

use std::collections::BTreeMap;
use std::fmt;

use crate::secret::Secret;

/// One setting of a connector.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The key in the configuration.
    pub key: &'static str,
    /// What it is and where to find it, for the person who sets it up.
    pub help: &'static str,
    /// What it may hold.
    pub kind: SettingKind,
    /// Whether the channel cannot be opened without it.
    pub required: bool,
    /// The value where none is given.
    pub default: Option<&'static str>,
}

impl Setting {
    /// A text that must be given.
    #[must_use]
    pub const fn text(key: &'static str, help: &'static str) -> Self {
        Self {
            key,
            help,
            kind: SettingKind::Text,
            required: true,
            default: None,
        }
    }

    /// A secret that must be given.
    #[must_use]
    pub const fn secret(key: &'static str, help: &'static str) -> Self {
        Self {
            key,
            help,
            kind: SettingKind::Secret,
            required: true,
            default: None,
        }
    }

    /// The same setting, which may be left out.
    #[must_use]
    pub const fn optional(mut self) -> Self {
        self.required = false;
        self
    }

    /// The same setting with a value for when it is left out.
    #[must_use]
    pub const fn default(mut self, value: &'static str) -> Self {
        self.required = false;
        self.default = Some(value);
        self
    }

    /// The same setting with another kind.
    #[must_use]
    pub const fn kind(mut self, kind: SettingKind) -> Self {
        self.kind = kind;
        self
    }
}

/// What a setting may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingKind {
    /// A text.
    Text,
    /// A text that is never shown: given as a string, `{ env = "…" }` or `{ file = "…" }`.
    Secret,
    /// `true` or `false`.
    Flag,
    /// One of these.
    Choice(&'static [&'static str]),
    /// A list of texts.
    List,
}

/// A value of a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettingValue {
    /// A text or a choice.
    Text(String),
    /// A secret.
    Secret(Secret),
    /// A flag.
    Flag(bool),
    /// A list.
    List(Vec<String>),
}

/// The settings of one channel, checked against what its connector described.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    values: BTreeMap<String, SettingValue>,
    api_base: Option<String>,
    webhook_secret: Option<Secret>,
}

/// A setting that does not do, and why. It names the key and never the value of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingProblem {
    /// The key.
    pub key: String,
    /// What is wrong and what to do.
    pub problem: String,
}

impl SettingProblem {
    /// A problem with `key`.
    #[must_use]
    pub fn new(key: &str, problem: impl Into<String>) -> Self {
        Self {
            key: key.to_owned(),
            problem: problem.into(),
        }
    }
}

impl fmt::Display for SettingProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.problem)
    }
}

impl std::error::Error for SettingProblem {}

impl Settings {
    /// Checks values against the description: unknown keys, wrong kinds, choices and missing ones are refused;
    /// defaults are filled in.
    pub fn checked(
        described: &[Setting],
        mut values: BTreeMap<String, SettingValue>,
        api_base: Option<String>,
    ) -> Result<Self, SettingProblem> {
        for (key, value) in &values {
            let Some(setting) = described.iter().find(|setting| setting.key == key) else {
                let known: Vec<&str> = described.iter().map(|setting| setting.key).collect();
                let problem = format!("unknown setting; this connector knows {}", known.join(", "));
                return Err(SettingProblem::new(key, problem));
            };
            match (setting.kind, value) {
                (SettingKind::Text, SettingValue::Text(_))
                | (SettingKind::Flag, SettingValue::Flag(_))
                | (SettingKind::List, SettingValue::List(_)) => {}
                (SettingKind::Secret, SettingValue::Secret(secret)) => {
                    if secret.expose().is_empty() {
                        return Err(SettingProblem::new(key, "is empty"));
                    }
                }
                (SettingKind::Choice(choices), SettingValue::Text(text)) => {
                    if !choices.contains(&text.as_str()) {
                        let problem = format!("must be one of {}", choices.join(", "));
                        return Err(SettingProblem::new(key, problem));
                    }
                }
                (kind, _) => {
                    let wanted = match kind {
                        SettingKind::Text => "a text in quotes",
                        SettingKind::Secret => {
                            "a secret: a text, { env = \"NAME\" } or { file = \"/path\" }"
                        }
                        SettingKind::Flag => "true or false",
                        SettingKind::Choice(_) => "one of its choices, in quotes",
                        SettingKind::List => "a list of texts",
                    };
                    return Err(SettingProblem::new(key, format!("must be {wanted}")));
                }
            }
        }
        for setting in described {
            if values.contains_key(setting.key) {
                continue;
            }
            if let Some(default) = setting.default {
                let value = match setting.kind {
                    SettingKind::Flag => SettingValue::Flag(default == "true"),
                    SettingKind::Secret => SettingValue::Secret(Secret::new(default)),
                    SettingKind::List => SettingValue::List(Vec::new()),
                    SettingKind::Text | SettingKind::Choice(_) => {
                        SettingValue::Text(default.to_owned())
                    }
                };
                values.insert(setting.key.to_owned(), value);
            } else if setting.required {
                return Err(SettingProblem::new(
                    setting.key,
                    format!("is missing ({})", setting.help),
                ));
            }
        }
        Ok(Self {
            values,
            api_base,
            webhook_secret: None,
        })
    }

    /// A text or choice, where it is given.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        match self.values.get(key) {
            Some(SettingValue::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// A text that the description requires.
    pub fn required_text(&self, key: &str) -> Result<&str, SettingProblem> {
        match self.text(key) {
            Some("") => Err(SettingProblem::new(key, "is empty")),
            Some(text) => Ok(text),
            None => Err(SettingProblem::new(key, "is missing")),
        }
    }

    /// A secret, where it is given.
    #[must_use]
    pub fn secret(&self, key: &str) -> Option<&Secret> {
        match self.values.get(key) {
            Some(SettingValue::Secret(secret)) => Some(secret),
            _ => None,
        }
    }

    /// A secret that the description requires.
    pub fn required_secret(&self, key: &str) -> Result<&Secret, SettingProblem> {
        self.secret(key)
            .ok_or_else(|| SettingProblem::new(key, "is missing"))
    }

    /// A flag; `false` where it is neither given nor has a default.
    #[must_use]
    pub fn flag(&self, key: &str) -> bool {
        matches!(self.values.get(key), Some(SettingValue::Flag(true)))
    }

    /// A list; `None` where it is not given, which may mean something else than an empty one.
    #[must_use]
    pub fn list(&self, key: &str) -> Option<&[String]> {
        match self.values.get(key) {
            Some(SettingValue::List(list)) => Some(list),
            _ => None,
        }
    }

    /// The platform's address that replaces the connector's own, without a slash at its end.
    #[must_use]
    pub fn api_base(&self) -> Option<&str> {
        self.api_base.as_deref()
    }

    /// The same settings with a secret that the daemon made for this channel's deliveries.
    #[must_use]
    pub fn with_webhook_secret(mut self, secret: Secret) -> Self {
        self.webhook_secret = Some(secret);
        self
    }

    /// The secret that the daemon made for this channel's deliveries: for platforms that give back one which the
    /// receiver chose. 64 lower-case hex digits, the same after every start; absent where the settings are only checked.
    #[must_use]
    pub const fn webhook_secret(&self) -> Option<&Secret> {
        self.webhook_secret.as_ref()
    }

    /// The values, for the settings form; secrets come as [`SettingValue::Secret`].
    pub fn iter(&self) -> impl Iterator<Item = (&str, &SettingValue)> {
        self.values.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// All secrets, so that they can be kept out of logs.
    pub fn secrets(&self) -> impl Iterator<Item = &Secret> {
        self.values
            .values()
            .filter_map(|value| match value {
                SettingValue::Secret(secret) => Some(secret),
                _ => None,
            })
            .chain(self.webhook_secret.as_ref())
    }
}
