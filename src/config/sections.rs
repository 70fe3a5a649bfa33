//! The keys before the first section, and the sections.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use deskbell_sdk::Kind;
use url::{Host, Url};

use super::formats::{
    CLAMD, DURATION, ENGINE, FILLED_TEXT, Format, LISTEN, LOG_FORMAT, LOG_LEVEL, NETWORK,
    WEB_ADDRESS, is_local_name,
};
use super::origin::Origin;
use super::reader::{Reader, Section};
use super::{
    Attachments, Auth, Bell, Config, Engine, Hooks, Limits, Log, LogFormat, Overrides, Secrets,
    Source, Store, Tls, channels, commands, factors,
};

/// Fewest characters of the bootstrap token.
const BOOTSTRAP_TOKEN_CHARACTERS: usize = 20;

/// Characters of an encryption key below which we warn.
const SECRETS_KEY_CHARACTERS: usize = 32;

/// Most former encryption keys.
const PREVIOUS_KEYS: usize = 16;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;

/// Reads everything; what does not do is told in the reader's errors and has its default in what is returned.
pub(super) fn read(
    reader: &mut Reader<'_>,
    mut root: Section,
    kinds: &[Kind],
    overrides: Overrides,
    source: Source,
) -> Config {
    let root = &mut root;
    let listen = reader.parsed(root, "listen", LISTEN);
    let listen = overrides
        .listen
        .or(listen)
        .unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)));
    let public_url = reader.parsed(root, "public_url", WEB_ADDRESS);
    let flag = overrides.public_url.and_then(|url| {
        let checked = (WEB_ADDRESS.parse)(url.as_str());
        checked
            .map_err(|problem| reader.refuse(Origin::Flag("--public-url"), "public_url", problem))
            .ok()
    });
    let public_url = flag.or(public_url);
    if let Some(url) = public_url
        .as_ref()
        .filter(|url| url.scheme() == "http" && !is_local(url))
    {
        reader.warnings.push(format!(
            "public_url is {url}: passwords and messages travel unencrypted; use https"
        ));
    }
    let data_dir = reader
        .parsed(root, "data_dir", FILLED_TEXT)
        .map(PathBuf::from);
    let data_dir = overrides
        .data_dir
        .or(data_dir)
        .unwrap_or_else(|| PathBuf::from("data"));
    if data_dir.as_os_str().is_empty() {
        reader.refuse(Origin::Flag("--data-dir"), "data_dir", "is empty");
    }
    let trusted_proxies = reader
        .list(root, "trusted_proxies", NETWORK, |_| Ok(()))
        .unwrap_or_default();
    if trusted_proxies
        .iter()
        .any(|network| network.prefix_len() == 0)
    {
        reader.warnings.push(
            "trusted_proxies holds every address: anybody can claim to be any client".to_owned(),
        );
    }
    let has_public_url = public_url.is_some();
    let config = Config {
        listen,
        public_url,
        data_dir,
        trusted_proxies,
        store: store(reader, root),
        auth: auth(reader, root),
        log: log(reader, root),
        secrets: secrets(reader, root),
        tls: tls(reader, root),
        limits: limits(reader, root),
        bell: bell(reader, root),
        hooks: hooks(reader, root),
        attachments: attachments(reader, root),
        smtp: factors::smtp(reader, root),
        channels: channels::read(reader, root, kinds),
        source,
        warnings: Vec::new(),
    };
    if config.auth.oidc.is_some() && !has_public_url {
        reader.warnings.push(
            "auth.oidc is set and public_url is not: the provider sends people back to the address in listen".to_owned(),
        );
    }
    for (key, entry) in &root.table.entries {
        reader.refuse_unknown("", key, entry, &root.known);
    }
    config
}

fn is_local(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => is_local_name(name),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn store(reader: &mut Reader<'_>, root: &mut Section) -> Store {
    let mut section = reader.section(root, "store");
    let store = Store {
        engine: reader
            .parsed(&mut section, "engine", ENGINE)
            .unwrap_or(Engine::Sled),
        url: reader.secret(&mut section, "url", |_| Ok(())),
        cache_mib: reader
            .integer(&mut section, "cache_mib", 16..=65536)
            .unwrap_or(256)
            .into(),
        keep_days: reader
            .integer(&mut section, "keep_days", 1..=3650)
            .unwrap_or(30),
    };
    if store.url.is_some() {
        reader
            .warnings
            .push("store.url is not used by the engine \"sled\"".to_owned());
    }
    reader.close(section);
    store
}

fn auth(reader: &mut Reader<'_>, root: &mut Section) -> Auth {
    let mut section = reader.section(root, "auth");
    let bootstrap_token = reader.secret(&mut section, "bootstrap_token", |token| {
        if token.chars().count() < BOOTSTRAP_TOKEN_CHARACTERS {
            Err(format!(
                "must have at least {BOOTSTRAP_TOKEN_CHARACTERS} characters"
            ))
        } else if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            // It travels in a header.
            Err(
                "must hold only letters, digits and punctuation of ASCII, without spaces"
                    .to_owned(),
            )
        } else {
            Ok(())
        }
    });
    let oidc = factors::oidc(reader, &mut section);
    reader.close(section);
    Auth {
        bootstrap_token,
        oidc,
    }
}

fn log(reader: &mut Reader<'_>, root: &mut Section) -> Log {
    let mut section = reader.section(root, "log");
    let level = reader.parsed(&mut section, "level", LOG_LEVEL);
    let log = Log {
        level: level.unwrap_or_else(|| "info".to_owned()),
        format: reader
            .parsed(&mut section, "format", LOG_FORMAT)
            .unwrap_or(LogFormat::Text),
    };
    reader.close(section);
    log
}

fn secrets(reader: &mut Reader<'_>, root: &mut Section) -> Secrets {
    let mut section = reader.section(root, "secrets");
    let key = reader.secret(&mut section, "key", |_| Ok(()));
    if key
        .as_ref()
        .is_some_and(|key| key.expose().chars().count() < SECRETS_KEY_CHARACTERS)
    {
        reader.warnings.push(
            "secrets.key has fewer than 32 characters; one from openssl rand -hex 32 is harder to guess".to_owned(),
        );
    }
    let previous_keys = reader.secret_list(&mut section, "previous_keys", PREVIOUS_KEYS);
    reader.close(section);
    Secrets { key, previous_keys }
}

fn tls(reader: &mut Reader<'_>, root: &mut Section) -> Option<Tls> {
    let mut section = reader.section(root, "tls");
    let given = |key: &str| section.table.entries.contains_key(key);
    let missing = match (given("certificate"), given("key")) {
        (true, false) => Some("key"),
        (false, true) => Some("certificate"),
        _ => None,
    };
    if let Some(key) = missing {
        let problem = "is missing: [tls] needs both certificate and key";
        reader.refuse(section.table.origin.clone(), &section.path_of(key), problem);
    }
    let certificate = reader.readable_file(&mut section, "certificate");
    let key = reader.readable_file(&mut section, "key");
    reader.close(section);
    Some(Tls {
        certificate: certificate?,
        key: key?,
    })
}

fn limits(reader: &mut Reader<'_>, root: &mut Section) -> Limits {
    const RANGE: RangeInclusive<u32> = 1..=1_000_000;
    let mut section = reader.section(root, "limits");
    let mut limit =
        |key: &str, default: u32| reader.integer(&mut section, key, RANGE).unwrap_or(default);
    let limits = Limits {
        connections_per_address: limit("connections_per_address", 1024),
        streams_per_user: limit("streams_per_user", 50),
        streams_per_token: limit("streams_per_token", 2000),
    };
    reader.close(section);
    limits
}

fn bell(reader: &mut Reader<'_>, root: &mut Section) -> Bell {
    let mut section = reader.section(root, "bell");
    let steps = reader.list(&mut section, "steps", DURATION, |steps| {
        if steps.is_empty() {
            Err("must name at least one step, or nothing would ring".to_owned())
        } else if !steps.is_sorted_by(|earlier, later| earlier < later) {
            Err("each step must begin later than the one before it".to_owned())
        } else if steps.last().is_some_and(Duration::is_zero) {
            Err(
                "the last step repeats at its own interval, so it must be later than \"0s\""
                    .to_owned(),
            )
        } else {
            Ok(())
        }
    });
    let max_age = positive_duration(reader, &mut section, "max_age");
    let heartbeat_url = reader.secret(&mut section, "heartbeat_url", |text| {
        let is_web = |url: Url| matches!(url.scheme(), "http" | "https") && url.has_host();
        if Url::parse(text).is_ok_and(is_web) {
            Ok(())
        } else {
            Err("must be an address that begins with https:// or http://".to_owned())
        }
    });
    let bell = Bell {
        steps: steps.unwrap_or_else(|| [0, 60, 300, 900].map(Duration::from_secs).to_vec()),
        max_age: max_age.unwrap_or(Duration::from_secs(24 * HOUR)),
        heartbeat_url,
    };
    reader.close(section);
    bell
}

fn positive_duration(
    reader: &mut Reader<'_>,
    section: &mut Section,
    key: &str,
) -> Option<Duration> {
    let format = Format {
        expected: DURATION.expected,
        parse: |text| match (DURATION.parse)(text)? {
            Duration::ZERO => Err("must be longer than 0".to_owned()),
            duration => Ok(duration),
        },
    };
    reader.parsed(section, key, format)
}

fn hooks(reader: &mut Reader<'_>, root: &mut Section) -> Hooks {
    const RETRY: [u64; 11] = [
        1,
        5,
        30,
        5 * MINUTE,
        30 * MINUTE,
        2 * HOUR,
        5 * HOUR,
        10 * HOUR,
        14 * HOUR,
        20 * HOUR,
        24 * HOUR,
    ];
    let mut section = reader.section(root, "hooks");
    let retry = reader.list(&mut section, "retry", DURATION, |pauses| {
        if pauses.len() > 100 {
            Err("has more than 100 pauses".to_owned())
        } else {
            Ok(())
        }
    });
    let allow_private_addresses = reader.flag(&mut section, "allow_private_addresses");
    let commands = commands::read(reader, &mut section);
    let hooks = Hooks {
        retry: retry.unwrap_or_else(|| RETRY.map(Duration::from_secs).to_vec()),
        allow_private_addresses: allow_private_addresses.unwrap_or(false),
        commands,
    };
    reader.close(section);
    hooks
}

fn attachments(reader: &mut Reader<'_>, root: &mut Section) -> Attachments {
    let mut section = reader.section(root, "attachments");
    let clamd = reader.parsed(&mut section, "clamd", CLAMD);
    reader.close(section);
    Attachments { clamd }
}
