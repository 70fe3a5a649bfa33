//! Every key of the configuration but the connectors' own.

/// The keys that stand before the first section.
pub(super) const TOP: &[&str] = &["listen", "public_url", "data_dir", "trusted_proxies"];

/// The sections and their keys.
pub(super) const SECTIONS: &[(&str, &[&str])] = &[
    ("store", &["engine", "url", "cache_mib", "keep_days"]),
    ("auth", &["bootstrap_token", "oidc"]),
    (
        "auth.oidc",
        &[
            "issuer",
            "client_id",
            "client_secret",
            "name",
            "allowed_domains",
            "create",
            "role",
        ],
    ),
    ("log", &["level", "format"]),
    ("secrets", &["key", "previous_keys"]),
    ("tls", &["certificate", "key"]),
    (
        "limits",
        &[
            "connections_per_address",
            "streams_per_user",
            "streams_per_token",
        ],
    ),
    ("bell", &["steps", "max_age", "heartbeat_url"]),
    ("hooks", &["retry", "allow_private_addresses"]),
    ("attachments", &["clamd"]),
    (
        "smtp",
        &["host", "port", "security", "username", "password", "from"],
    ),
];

/// Words that mean something in many places: whoever writes one in the wrong section need not mean ours.
const COMMON_WORDS: &[&str] = &[
    "create", "from", "host", "name", "password", "port", "role", "security", "username",
];

/// The list of channels.
pub(super) const CHANNELS: &str = "channels";

/// The keys of every channel.
pub(super) const CHANNEL: &[&str] = &["id", "connector", "name", "api_base", "catch_up"];

/// The keys of every `[[hooks.command]]`. The list is no key of `[hooks]` here, so that no variable sets it.
pub(super) const COMMAND: &[&str] = &[
    "id",
    "program",
    "args",
    "events",
    "channels",
    "escalation",
    "timeout_s",
    "environment",
    "enabled",
];

/// Everything that may stand at the top: keys, sections and the channels.
pub(super) fn top_level() -> Vec<&'static str> {
    let sections = SECTIONS.iter().map(|(name, _)| *name);
    let sections = sections.filter(|name| !name.contains('.'));
    TOP.iter()
        .copied()
        .chain(sections)
        .chain([CHANNELS])
        .collect()
}

/// The keys of a section; none where there is no such section.
pub(super) fn of_section(name: &str) -> &'static [&'static str] {
    SECTIONS
        .iter()
        .find(|(section, _)| *section == name)
        .map_or(&[], |(_, keys)| keys)
}

/// Where a key belongs, as a phrase; `None` where it is in no section or in several.
pub(super) fn section_of(key: &str) -> Option<String> {
    if TOP.contains(&key) {
        return Some("before the first [section]".to_owned());
    }
    if COMMON_WORDS.contains(&key) {
        return None;
    }
    let mut homes = SECTIONS.iter().filter(|(_, keys)| keys.contains(&key));
    match (homes.next(), homes.next()) {
        (Some((section, _)), None) => Some(format!("below [{section}]")),
        _ => None,
    }
}
