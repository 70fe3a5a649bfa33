//! The configuration: a TOML file, then environment variables (`DESKBELL__SECTION__KEY`), then flags.
//!
//! Everything that is wrong is told at once, each with its file, line, column and key. Unknown keys are errors.
//! `docs/deskbell.example.toml` lists every key with its default.
//!
//! * `data_dir` is relative to the current directory. The files of `[tls]` and of secrets are relative to the folder
//!   of the configuration file, or to the current directory where an environment variable names them.
//! * A secret is a text, `{ env = "NAME" }` or `{ file = "/path" }`; one newline at a file's end is left out.
//! * In a variable a list is separated by commas or written as in TOML. `DESKBELL__CHANNELS__SHOP_PAGE__PAGE_ID` is
//!   the key `page_id` of the channel `shop-page`; variables change channels of the file and make none.

mod channels;
mod commands;
mod environment;
mod factors;
mod formats;
mod keys;
mod origin;
mod reader;
mod secrets;
mod sections;
mod suggest;
mod tree;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::io::{ErrorKind, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use deskbell_sdk::{Kind, Secret, Settings};
use ipnet::IpNet;
use url::Url;

pub use commands::{HOOK_EVENTS, HookCommand, check_program};
pub use environment::process_environment;
pub use formats::{checked_address, checked_name, is_slug};
pub use origin::{ConfigError, Origin};

use reader::{Reader, Section};
use tree::{LineStarts, Node, Table, Value};

/// The file that is read where no other is named.
pub const DEFAULT_FILE: &str = "deskbell.toml";

/// Longest configuration file, in bytes.
const FILE_LIMIT: u64 = 1024 * 1024;

/// The whole configuration, checked. Its `Debug` shows no secret.
#[derive(Clone, Debug)]
pub struct Config {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// What platforms and browsers reach: http or https, without credentials, query and fragment.
    pub public_url: Option<Url>,
    /// Where everything is kept, relative to the current directory.
    pub data_dir: PathBuf,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// `[store]`
    pub store: Store,
    /// `[auth]`
    pub auth: Auth,
    /// `[log]`
    pub log: Log,
    /// `[secrets]`
    pub secrets: Secrets,
    /// `[tls]`, where the daemon speaks TLS itself.
    pub tls: Option<Tls>,
    /// `[limits]`
    pub limits: Limits,
    /// `[bell]`
    pub bell: Bell,
    /// `[hooks]`
    pub hooks: Hooks,
    /// `[attachments]`
    pub attachments: Attachments,
    /// `[smtp]`, where a mail server is named.
    pub smtp: Option<Smtp>,
    /// The channels of the file, or the one that is made where there is no file.
    pub channels: Vec<ChannelConfig>,
    /// What was read.
    pub source: Source,
    /// What works but should be told to the operator at start; without secrets.
    pub warnings: Vec<String>,
}

/// What was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// No file: there is none at the default place, and none was named.
    Nothing,
    /// This file, as it was named.
    File(PathBuf),
}

/// `[store]`: where messages are kept.
#[derive(Clone, Debug)]
pub struct Store {
    /// The engine.
    pub engine: Engine,
    /// The address of a database server; it may hold a password. No engine of this version reads it.
    pub url: Option<Secret>,
    /// Memory for the engine's cache, in MiB: 16 to 65536.
    pub cache_mib: u64,
    /// How long the log is kept for streams that resume and for deliveries that are decoded again, in days: 1 to 3650.
    pub keep_days: u32,
}

/// The engines that are built in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// The embedded one, in `data_dir`.
    Sled,
}

/// `[auth]`: who gets in.
#[derive(Clone, Debug, Default)]
pub struct Auth {
    /// An API token with every right, for automation; at least 20 characters.
    pub bootstrap_token: Option<Secret>,
    /// `[auth.oidc]`: who else may say who somebody is.
    pub oidc: Option<Oidc>,
}

/// `[auth.oidc]`: a provider of identities, by OpenID Connect.
#[derive(Clone, Debug)]
pub struct Oidc {
    /// The name by which it calls itself, an address: https, or on this machine.
    pub issuer: String,
    /// By which name it knows this desk.
    pub client_id: String,
    /// By what it knows that it is this desk.
    pub client_secret: Secret,
    /// What people call it.
    pub name: String,
    /// The domains of e-mail addresses of people who may come for the first time; none: those of invited people only.
    pub allowed_domains: Vec<String>,
    /// Whether people are added who were not invited. Not without `allowed_domains`.
    pub create: bool,
    /// What those may do.
    pub role: NewRole,
}

/// What people may do who were not invited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NewRole {
    /// Read and write.
    Agent,
    /// Read.
    Viewer,
}

/// `[smtp]`: the mail server that invitations are sent by.
#[derive(Clone, Debug)]
pub struct Smtp {
    /// Its name or IP address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the line is kept private.
    pub security: MailSecurity,
    /// As whom it knows this desk, and by what; `None`: it does not ask.
    pub login: Option<(String, Secret)>,
    /// Who the mails are from: a mailbox.
    pub from: String,
}

/// How the line to a mail server is kept private.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailSecurity {
    /// TLS from the beginning.
    Tls,
    /// TLS after a word in the clear; without it nothing is sent.
    StartTls,
    /// Not at all: on this machine only.
    None,
}

/// `[log]`: what is logged.
#[derive(Clone, Debug)]
pub struct Log {
    /// A level, or levels of parts, as `tracing_subscriber::filter::Targets` reads them: `info,deskbell::store=debug`.
    pub level: String,
    /// How a line looks.
    pub format: LogFormat,
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// `[secrets]`: how channel secrets are kept.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    /// What encrypts them; `None`: a key is made in `data_dir`.
    pub key: Option<Secret>,
    /// Former keys: what they encrypted is still read, and encrypted anew at the start; at most 16.
    pub previous_keys: Vec<Secret>,
}

/// `[tls]`: PEM files that could be read when the configuration was loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The certificate and its chain.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// `[limits]`: all at least 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections of one client address, which is the one behind a trusted proxy.
    pub connections_per_address: u32,
    /// Event streams of one user.
    pub streams_per_user: u32,
    /// Event streams of one API token.
    pub streams_per_token: u32,
}

/// `[bell]`: how a message rings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bell {
    /// When each step of an untaken ring begins, counted from its start: ascending, at least one, the last one later
    /// than zero because it repeats.
    pub steps: Vec<Duration>,
    /// What catch-up finds older than this is shown, not rung.
    pub max_age: Duration,
    /// The address that is asked every minute while all is well.
    pub heartbeat_url: Option<Secret>,
}

/// `[hooks]`: how outgoing hooks are delivered.
#[derive(Clone, Debug)]
pub struct Hooks {
    /// The pauses between the attempts; none: one attempt only.
    pub retry: Vec<Duration>,
    /// Lifts the scheme, port and address checks.
    pub allow_private_addresses: bool,
    /// `[[hooks.command]]`: programs of this machine that are told.
    pub commands: Vec<HookCommand>,
}

/// `[attachments]`: what is done with files that come in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attachments {
    /// Who checks them for viruses; `None`: nobody.
    pub clamd: Option<ClamdAddress>,
}

/// Where ClamAV's daemon is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClamdAddress {
    /// The path of a Unix socket, absolute.
    Unix(PathBuf),
    /// A host, by name or IP address, and a port.
    Tcp(String, u16),
}

impl fmt::Display for ClamdAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => path.display().fmt(f),
            Self::Tcp(host, port) if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp(host, port) => write!(f, "{host}:{port}"),
        }
    }
}

/// One entry of `[[channels]]`, checked against what its connector described and accepted by its `open`.
#[derive(Clone, Debug)]
pub struct ChannelConfig {
    /// Its id, a slug, unique.
    pub id: String,
    /// The connector, a [`Kind::id`].
    pub connector: &'static str,
    /// What people call it; the connector's title where none is given.
    pub name: String,
    /// The connector's own settings, and `api_base`.
    pub settings: Settings,
    /// Whether to fetch what was missed.
    pub catch_up: bool,
    /// Where it stands.
    pub origin: Origin,
}

/// What flags of the command line say.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--listen`
    pub listen: Option<SocketAddr>,
    /// `--data-dir`, relative to the current directory.
    pub data_dir: Option<PathBuf>,
    /// `--public-url`: http or https.
    pub public_url: Option<Url>,
}

impl Config {
    /// All secrets, so that they can be kept out of logs.
    pub fn secrets(&self) -> impl Iterator<Item = &Secret> {
        let own = [
            &self.store.url,
            &self.auth.bootstrap_token,
            &self.secrets.key,
            &self.bell.heartbeat_url,
        ];
        let channels = self
            .channels
            .iter()
            .flat_map(|channel| channel.settings.secrets());
        let commands = self.hooks.commands.iter();
        let commands = commands.flat_map(|command| command.environment.values());
        let previous = &self.secrets.previous_keys;
        let oidc = self.auth.oidc.iter().map(|oidc| &oidc.client_secret);
        let mail = self.smtp.iter().filter_map(|smtp| smtp.login.as_ref());
        let mail = mail.map(|(_, password)| password);
        let own = own.into_iter().flatten().chain(oidc).chain(mail);
        own.chain(previous).chain(commands).chain(channels)
    }
}

/// Loads the configuration: `file`, or `./deskbell.toml` where there is one, then `environment` (from
/// [`process_environment`]), then `overrides`. With neither file it is what a first start needs: a web chat channel
/// named `website` on 127.0.0.1:8080.
///
/// # Errors
///
/// Everything that is wrong, in the order in which it is written; never a secret. A file that was named but is not
/// there is an error.
pub fn load(
    file: Option<&Path>,
    environment: &BTreeMap<String, String>,
    overrides: Overrides,
    kinds: &[Kind],
) -> Result<Config, Vec<ConfigError>> {
    load_from(Path::new(DEFAULT_FILE), file, environment, overrides, kinds)
}

fn load_from(
    default_file: &Path,
    file: Option<&Path>,
    environment: &BTreeMap<String, String>,
    overrides: Overrides,
    kinds: &[Kind],
) -> Result<Config, Vec<ConfigError>> {
    let path: Arc<Path> = Arc::from(file.unwrap_or(default_file));
    let written = read_file(&path, file.is_some()).map_err(|error| vec![error])?;
    let mut root = match &written {
        Some(written) => tree::parse(&path, &written.text)?,
        None => first_start(kinds),
    };
    let mut reader = Reader::new(environment);
    environment::overlay(&mut root, environment, &mut reader.errors);
    let root = Section {
        path: String::new(),
        known: keys::top_level(),
        table: root,
    };
    let source = match &written {
        Some(_) => Source::File(path.to_path_buf()),
        None => Source::Nothing,
    };
    let config = sections::read(&mut reader, root, kinds, overrides, source);
    let mut errors = reader.errors;
    if !errors.is_empty() {
        errors.sort_by(|left, right| left.origin().cmp(right.origin()));
        return Err(errors);
    }
    let mut warnings = reader.warnings;
    if written.is_some_and(|written| written.world_readable) && !reader.literal_secrets.is_empty() {
        warnings.push(format!(
            "{path}: every user of this machine can read it, and it holds secrets ({keys}); run chmod 600 on it, or \
             use {{ env = \"…\" }} or {{ file = \"…\" }}",
            path = path.display(),
            keys = reader.literal_secrets.join(", "),
        ));
    }
    Ok(Config { warnings, ..config })
}

struct Written {
    text: String,
    world_readable: bool,
}

/// Reads the file; `None` where there is none and none was named.
fn read_file(path: &Arc<Path>, named: bool) -> Result<Option<Written>, ConfigError> {
    let refuse =
        |problem: String| ConfigError::new(Origin::WholeFile(Arc::clone(path)), "", problem);
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound && !named => return Ok(None),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(refuse("there is no such file; check --config".to_owned()));
        }
        Err(error) => return Err(refuse(format!("cannot be read: {error}"))),
    };
    let world_readable = world_readable(&file);
    let mut bytes = Vec::new();
    file.take(FILE_LIMIT + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| refuse(format!("cannot be read: {error}")))?;
    if bytes.len() as u64 > FILE_LIMIT {
        return Err(refuse(format!("is longer than {FILE_LIMIT} bytes")));
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Some(Written {
            text,
            world_readable,
        })),
        Err(error) => {
            let valid = error.utf8_error().valid_up_to();
            let before = String::from_utf8_lossy(&error.as_bytes()[..valid]).into_owned();
            let (line, column) = LineStarts::of(&before).position(&before, before.len());
            let origin = Origin::File {
                path: Arc::clone(path),
                line,
                column,
            };
            Err(ConfigError::new(
                origin,
                "",
                "is not UTF-8 text; save the file as UTF-8",
            ))
        }
    }
}

#[cfg(unix)]
fn world_readable(file: &std::fs::File) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata()
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o004 != 0)
}

#[cfg(not(unix))]
fn world_readable(_file: &std::fs::File) -> bool {
    false
}

/// What holds without a file: one website to try it with, where the web chat is built in.
fn first_start(kinds: &[Kind]) -> Table {
    let mut root = Table::empty(Origin::BuiltIn);
    if kinds.iter().any(|kind| kind.id == "webchat") {
        let mut website = Table::empty(Origin::BuiltIn);
        for (key, text) in [
            ("id", "website"),
            ("connector", "webchat"),
            ("name", "Website chat"),
        ] {
            website.set(key, Origin::BuiltIn, Value::Text(text.to_owned()));
        }
        let website = Node {
            origin: Origin::BuiltIn,
            value: Value::Table(website),
        };
        root.set(keys::CHANNELS, Origin::BuiltIn, Value::List(vec![website]));
    }
    root
}
