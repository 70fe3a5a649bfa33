//! Tests of the whole load: what works, what is refused and in which words.

mod broken;
mod commands;
mod environment;
mod example;
mod secrets;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use deskbell_sdk::backfill::{Backfill, MessagePage, ThreadPage};
use deskbell_sdk::client::{BoxFuture, CallError, Http};
use deskbell_sdk::{Channel, Kind, Secret, Setting, SettingKind, SettingProblem, Settings};
use tempfile::TempDir;

use super::{
    Bell, ClamdAddress, Config, ConfigError, Engine, Limits, LogFormat, Origin, Overrides, Source,
    load_from,
};

/// A channel that does nothing.
struct Silent;

impl Channel for Silent {
    fn limits(&self) -> deskbell_sdk::Limits {
        deskbell_sdk::Limits::default()
    }
}

/// A channel whose platform has a history.
struct Historic;

impl Channel for Historic {
    fn limits(&self) -> deskbell_sdk::Limits {
        deskbell_sdk::Limits::default()
    }

    fn backfill(&self) -> Option<&dyn Backfill> {
        Some(self)
    }
}

impl Backfill for Historic {
    fn threads<'a>(
        &'a self,
        _: &'a dyn Http,
        _: Option<&'a str>,
    ) -> BoxFuture<'a, Result<ThreadPage, CallError>> {
        Box::pin(std::future::ready(Ok(ThreadPage::default())))
    }

    fn messages<'a>(
        &'a self,
        _: &'a dyn Http,
        _: &'a str,
    ) -> BoxFuture<'a, Result<MessagePage, CallError>> {
        Box::pin(std::future::ready(Ok(MessagePage::default())))
    }
}

fn open_page(_settings: &Settings) -> Result<Box<dyn Channel>, SettingProblem> {
    Ok(Box::new(Historic))
}

fn open(_settings: &Settings) -> Result<Box<dyn Channel>, SettingProblem> {
    Ok(Box::new(Silent))
}

/// Refuses what no description can: a bot token without a colon.
fn open_bot(settings: &Settings) -> Result<Box<dyn Channel>, SettingProblem> {
    if settings
        .required_secret("bot_token")?
        .expose()
        .contains(':')
    {
        Ok(Box::new(Silent))
    } else {
        Err(SettingProblem::new("bot_token", "must hold a colon"))
    }
}

const PAGE: Kind = Kind {
    id: "messenger",
    title: "Facebook Messenger",
    settings: &[
        Setting::text("app_id", "the number of the app"),
        Setting::text("page_id", "the number of the Page"),
        Setting::secret("app_secret", "from the app's basic settings"),
        Setting::secret("page_access_token", "from the app's Messenger settings").optional(),
        Setting::secret("verify_token", "any text, the same at the platform").optional(),
        Setting::text("human_agent", "whether to answer after a day")
            .kind(SettingKind::Flag)
            .default("false"),
        Setting::text("graph_version", "the version of the API").default("v1.0"),
    ],
    api_base: Some("https://graph.example.com"),
    open: open_page,
};

const BOT: Kind = Kind {
    id: "telegram",
    title: "Telegram",
    settings: &[
        Setting::secret("bot_token", "from the bot's maker"),
        Setting::text("mode", "how messages come")
            .kind(SettingKind::Choice(&["poll", "webhook"]))
            .default("poll"),
    ],
    api_base: Some("https://api.example.com"),
    open: open_bot,
};

const CHAT: Kind = Kind {
    id: "webchat",
    title: "Web chat",
    settings: &[
        Setting::text("allowed_origins", "the websites")
            .kind(SettingKind::List)
            .optional(),
        Setting::secret("identity_secret", "signs visitors").optional(),
    ],
    api_base: None,
    open,
};

const MAIL: Kind = Kind {
    id: "email",
    title: "E-mail",
    settings: &[
        Setting::text("address", "the mailbox"),
        Setting::text("imap.host", "the server that keeps the mail"),
        Setting::secret("imap.password", "the mailbox's password").optional(),
    ],
    api_base: None,
    open,
};

const KINDS: &[Kind] = &[PAGE, BOT, CHAT, MAIL];

/// A folder with a configuration file in it.
struct Shop {
    folder: TempDir,
    environment: BTreeMap<String, String>,
}

impl Shop {
    fn new(file: &str) -> Self {
        Self::of_bytes(file.as_bytes())
    }

    fn of_bytes(file: &[u8]) -> Self {
        let shop = Self::without_file();
        shop.write("deskbell.toml", file);
        shop
    }

    fn without_file() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder"),
            environment: BTreeMap::new(),
        }
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.folder.path().join(name), bytes).expect("written");
    }

    fn with(mut self, variable: &str, value: &str) -> Self {
        self.environment
            .insert(variable.to_owned(), value.to_owned());
        self
    }

    fn load_with(&self, overrides: Overrides) -> Result<Config, Vec<ConfigError>> {
        let file = self.folder.path().join("deskbell.toml");
        load_from(&file, None, &self.environment, overrides, KINDS)
    }

    fn load(&self) -> Result<Config, Vec<ConfigError>> {
        self.load_with(Overrides::default())
    }

    /// The configuration, which must be good.
    fn config(&self) -> Config {
        self.load()
            .unwrap_or_else(|errors| panic!("{}", self.told(&errors).join("\n")))
    }

    /// What is wrong, without the folder's name.
    fn errors(&self) -> Vec<String> {
        self.load()
            .map_or_else(|errors| self.told(&errors), |_| Vec::new())
    }

    fn told(&self, errors: &[ConfigError]) -> Vec<String> {
        let folder = format!("{}/", self.folder.path().display());
        errors
            .iter()
            .map(|error| error.to_string().replace(&folder, ""))
            .collect()
    }
}

#[test]
fn without_any_configuration_there_is_a_website_to_try() {
    let config = Shop::without_file().config();
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.data_dir, Path::new("data"));
    assert_eq!(config.source, Source::Nothing);
    assert_eq!(config.public_url, None);
    assert_eq!(config.tls, None);
    assert_eq!(config.warnings, Vec::<String>::new());
    let [website] = config.channels.as_slice() else {
        panic!("one channel");
    };
    assert_eq!(
        (
            website.id.as_str(),
            website.connector,
            website.name.as_str()
        ),
        ("website", "webchat", "Website chat")
    );
    assert!(website.catch_up);
    assert_eq!(website.origin, Origin::BuiltIn);
}

#[test]
fn an_empty_file_has_the_documented_defaults_and_no_channel() {
    let config = Shop::new("").config();
    assert!(config.channels.is_empty());
    assert!(matches!(config.source, Source::File(_)));
    assert_eq!(config.store.engine, Engine::Sled);
    assert_eq!(config.store.cache_mib, 256);
    assert_eq!(config.store.keep_days, 30);
    assert!(config.store.url.is_none());
    assert!(config.auth.bootstrap_token.is_none());
    assert!(config.secrets.key.is_none());
    assert_eq!(config.log.level, "info");
    assert_eq!(config.log.format, LogFormat::Text);
    assert_eq!(
        config.limits,
        Limits {
            connections_per_address: 1024,
            streams_per_user: 50,
            streams_per_token: 2000
        }
    );
    assert_eq!(
        config.bell,
        Bell {
            steps: [0, 60, 300, 900].map(Duration::from_secs).to_vec(),
            max_age: Duration::from_secs(86_400),
            heartbeat_url: None,
        }
    );
    let retry = [
        1, 5, 30, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400,
    ];
    assert_eq!(config.hooks.retry, retry.map(Duration::from_secs));
    assert!(!config.hooks.allow_private_addresses && config.hooks.commands.is_empty());
    assert_eq!(config.attachments.clamd, None);
}

#[test]
fn everything_that_is_written_is_read() {
    let shop = Shop::new(
        r#"
listen = "[::1]:9000"
public_url = "https://desk.example.com"
data_dir = "/var/lib/deskbell"
trusted_proxies = ["127.0.0.1/32", "10.0.0.0/8", "::1"]
[store]
engine = "sled"
cache_mib = 0x200
[auth]
bootstrap_token = "dbk_12345678901234567890"
[log]
level = "warn"
format = "json"
[secrets]
key = { file = "key" }
[tls]
certificate = "cert.pem"
key = "key"
[limits]
connections_per_address = 1
streams_per_user = 2
streams_per_token = 1_000
[bell]
steps = ["500ms", "1s"]
max_age = "2d"
heartbeat_url = "https://ping.example/abc"
[hooks]
retry = []
allow_private_addresses = true
[attachments]
clamd = "clamav:3310"

[[channels]]
id = "shop-page"
connector = "messenger"
name = "Butik on Facebook"
api_base = "http://127.0.0.1:4000/graph/"
catch_up = false
app_id = "42"
page_id = "10"
app_secret = { env = "APP_SECRET" }
human_agent = true

[[channels]]
id = "post"
connector = "email"
address = "shop@example.com"
[channels.imap]
host = "mail.example.com"
password = "a password"
"#,
    )
    .with("APP_SECRET", "of the app");
    shop.write("key", b"0123456789abcdef0123456789abcdef\n");
    shop.write("cert.pem", b"");
    let config = shop.config();
    assert_eq!(config.listen.to_string(), "[::1]:9000");
    assert_eq!(
        config.public_url.as_ref().map(url::Url::as_str),
        Some("https://desk.example.com/")
    );
    assert_eq!(config.data_dir, Path::new("/var/lib/deskbell"));
    let proxies: Vec<String> = config
        .trusted_proxies
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(proxies, ["127.0.0.1/32", "10.0.0.0/8", "::1/128"]);
    assert_eq!(config.store.cache_mib, 512);
    assert_eq!(config.log.level, "warn");
    assert_eq!(config.log.format, LogFormat::Json);
    let key = config.secrets.key.as_ref().expect("a key");
    assert_eq!(key.expose(), "0123456789abcdef0123456789abcdef");
    let tls = config.tls.as_ref().expect("TLS");
    assert_eq!(tls.certificate, shop.folder.path().join("cert.pem"));
    assert_eq!(tls.key, shop.folder.path().join("key"));
    assert_eq!(config.limits.connections_per_address, 1);
    assert_eq!(config.limits.streams_per_user, 2);
    assert_eq!(config.limits.streams_per_token, 1000);
    assert_eq!(
        config.bell.steps,
        [Duration::from_millis(500), Duration::from_secs(1)]
    );
    assert_eq!(config.bell.max_age, Duration::from_secs(2 * 86_400));
    let heartbeat = config.bell.heartbeat_url.as_ref();
    assert_eq!(
        heartbeat.map(Secret::expose),
        Some("https://ping.example/abc")
    );
    assert!(config.hooks.retry.is_empty());
    assert!(config.hooks.allow_private_addresses);
    let clamd = ClamdAddress::Tcp("clamav".to_owned(), 3310);
    assert_eq!(config.attachments.clamd, Some(clamd));

    let [page, post] = config.channels.as_slice() else {
        panic!("two channels");
    };
    assert_eq!(page.name, "Butik on Facebook");
    assert_eq!(page.connector, "messenger");
    assert!(!page.catch_up);
    assert_eq!(
        page.settings.api_base(),
        Some("http://127.0.0.1:4000/graph")
    );
    assert_eq!(page.settings.text("page_id"), Some("10"));
    assert!(page.settings.flag("human_agent"));
    let secret = page.settings.required_secret("app_secret").expect("given");
    assert_eq!(secret.expose(), "of the app");
    assert!(matches!(
        &page.origin,
        Origin::File {
            line: 33,
            column: 1,
            ..
        }
    ));
    assert_eq!(post.name, "E-mail");
    assert_eq!(post.settings.text("imap.host"), Some("mail.example.com"));
    let all: Vec<&str> = config.secrets().map(deskbell_sdk::Secret::expose).collect();
    assert_eq!(
        all,
        [
            "dbk_12345678901234567890",
            "0123456789abcdef0123456789abcdef",
            "https://ping.example/abc",
            "of the app",
            "a password"
        ]
    );
}

#[test]
fn flags_come_last() {
    let shop = Shop::new("listen = \"127.0.0.1:1\"\ndata_dir = \"file\"\n")
        .with("DESKBELL__LISTEN", "127.0.0.1:2")
        .with("DESKBELL__DATA_DIR", "environment");
    assert_eq!(shop.config().listen.port(), 2);
    assert_eq!(shop.config().data_dir, Path::new("environment"));
    let overrides = Overrides {
        listen: Some(([127, 0, 0, 1], 3).into()),
        data_dir: Some("flag".into()),
        public_url: Some(url::Url::parse("https://desk.example.com").expect("an address")),
    };
    let config = shop.load_with(overrides).expect("good");
    assert_eq!(config.listen.port(), 3);
    assert_eq!(config.data_dir, Path::new("flag"));
    assert!(config.public_url.is_some());

    let overrides = Overrides {
        data_dir: Some("".into()),
        public_url: Some(url::Url::parse("ftp://desk.example.com").expect("an address")),
        ..Overrides::default()
    };
    let errors = shop.load_with(overrides).expect_err("refused");
    assert_eq!(
        shop.told(&errors),
        [
            "--data-dir: data_dir: is empty",
            "--public-url: public_url: must begin with https:// or http://",
        ]
    );
}

#[test]
fn a_named_file_must_be_there() {
    let shop = Shop::without_file();
    let default = shop.folder.path().join("deskbell.toml");
    let named = shop.folder.path().join("other.toml");
    let load = || {
        let none = BTreeMap::new();
        load_from(&default, Some(&named), &none, Overrides::default(), KINDS)
    };
    let errors = load().expect_err("is not there");
    assert_eq!(
        shop.told(&errors),
        ["other.toml: there is no such file; check --config"]
    );
    shop.write("deskbell.toml", b"unknown = 1");
    shop.write("other.toml", b"listen = \"127.0.0.1:7\"");
    let config = load().expect("the named file alone is read");
    assert_eq!(config.listen.port(), 7);
    assert_eq!(config.source, Source::File(named.clone()));
    std::fs::remove_file(&named).expect("removed");
    std::fs::create_dir(&named).expect("a folder");
    let told = shop.told(&load().expect_err("is a folder"));
    assert!(
        told[0].starts_with("other.toml: cannot be read: "),
        "{told:?}"
    );
}

#[test]
fn what_is_risky_is_told() {
    let shop = Shop::new(
        "public_url = \"http://desk.example.com\"\ntrusted_proxies = [\"0.0.0.0/0\"]\n\
         [store]\nurl = \"postgres://u:hunter2@db/x\"\n[secrets]\nkey = \"short\"\n",
    );
    let warnings = shop.config().warnings.join("\n");
    for part in [
        "public_url is http://desk.example.com/: passwords",
        "trusted_proxies holds every address",
        "store.url is not used",
        "secrets.key has fewer than 32 characters",
    ] {
        assert!(warnings.contains(part), "{part} in {warnings}");
    }
    assert!(!warnings.contains("hunter2"));
    for local in ["localhost:80", "127.0.0.1", "[::1]:8080", "desk.localhost"] {
        let shop = Shop::new(&format!("public_url = \"http://{local}\""));
        assert!(shop.config().warnings.is_empty(), "{local}");
    }
}
