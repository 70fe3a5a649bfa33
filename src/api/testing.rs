//! A desk in memory for tests: two channels, a caller of each kind, and requests to it.

pub(crate) mod people;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use deskbell_sdk::client::{BoxFuture, CallError, Http};
use deskbell_sdk::health::Finding;
use deskbell_sdk::register::Register;
use deskbell_sdk::settings::SettingValue;
use deskbell_sdk::visitors::{ClaimedIdentity, IdentityRefused, Visitors};
use deskbell_sdk::webhook::shared_secret;
use deskbell_sdk::{
    Author, Channel, Direction, Event, Inbound, Kind, Malformed, NewMessage, Person, Rejected,
    Secret, Setting, SettingKind, SettingProblem, Settings, Time, Verified, Webhook,
};
use serde_json::Value;
use tower::ServiceExt as _;

use crate::access::Access;
use crate::app::{App, Daemon, StoreHandle};
use crate::blobs::Blobs;
use crate::channels::{Channels, OpenChannel as Opened};
use crate::clock::Clock;
use crate::config::{
    Attachments, Auth, Bell, ChannelConfig, Config, Engine, Hooks, Limits, Log, LogFormat, Origin,
    Secrets, Source, Store as StoreConfig,
};
use crate::desk::access::{BeginSession, MakeToken, OpenChannel};
use crate::desk::arrivals::Arrivals;
use crate::id::{ConversationId, MessageId, TokenId};
use crate::live::Live;
use crate::provision::Provisioner;
use crate::store::Store;
use crate::store::embedded::{EmbeddedStore, Options};
use crate::store::entry::{ChannelEntry, Right, TokenEntry, secret_hash};
use crate::store::memory::MemoryStore;
use crate::store::record::ChannelNo;
use crate::writer::Writer;

/// The website chat `shop`, whose visitors the daemon serves.
pub(crate) const SHOP: ChannelNo = ChannelNo(1);
/// The channel `page` of a platform.
pub(crate) const PAGE: ChannelNo = ChannelNo(2);
/// The channel `old`, of which only the history is left.
pub(crate) const OLD: ChannelNo = ChannelNo(3);

/// The secret of the channel `page`.
pub(crate) const PAGE_SECRET: &str = "canary-page-secret";

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum As {
    /// Nobody.
    Nobody,
    /// A token that reads the channel `page` only.
    PageReader,
    /// A token that reads the channel `shop` only.
    Reader,
    /// A token that reads and writes the channel `shop` only.
    Writer,
    /// The bootstrap token.
    Admin,
    /// The administrator's session in a browser, from the desk's own page.
    Session,
}

impl As {
    /// Everybody.
    pub(crate) const ALL: [Self; 6] = [
        Self::Nobody,
        Self::PageReader,
        Self::Reader,
        Self::Writer,
        Self::Admin,
        Self::Session,
    ];

    /// The token, where one opens the door.
    pub(crate) const fn token(self) -> Option<&'static str> {
        match self {
            Self::Nobody | Self::Session => None,
            Self::PageReader => Some("dbk_canary-page-reader"),
            Self::Reader => Some("dbk_canary-reader"),
            Self::Writer => Some("dbk_canary-writer"),
            Self::Admin => Some("dbk_canary-bootstrap"),
        }
    }
}

const COOKIE: &str = "canary-cookie";

/// A desk in memory.
pub(crate) struct Desk {
    /// The daemon.
    pub(crate) app: App,
    /// What it serves.
    pub(crate) router: Router,
    _folder: tempfile::TempDir,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The status.
    pub(crate) status: StatusCode,
    /// The headers.
    pub(crate) headers: HeaderMap,
    /// The body.
    pub(crate) bytes: Vec<u8>,
}

impl Answer {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    /// Checks that it is a problem of this status, and gives its detail.
    pub(crate) fn problem(&self, status: u16) -> String {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        assert_eq!(
            self.headers[header::CONTENT_TYPE],
            "application/problem+json",
            "{}",
            self.text()
        );
        let json = self.json();
        assert_eq!(json["status"], status);
        assert!(
            json["type"]
                .as_str()
                .is_some_and(|name| name.starts_with("/docs/problems/"))
        );
        assert!(
            json["title"]
                .as_str()
                .is_some_and(|title| !title.is_empty())
        );
        json["detail"].as_str().expect("a detail").to_owned()
    }

    /// The pointer of the field that does not do.
    pub(crate) fn bad_field(&self) -> String {
        self.problem(422);
        self.json()["errors"][0]["pointer"]
            .as_str()
            .expect("a pointer")
            .to_owned()
    }
}

/// The noon at which the desk's clock stands.
pub(crate) fn noon() -> Time {
    "2026-11-21T12:00:00Z".parse().expect("a time")
}

struct WebsiteChat;

impl Channel for WebsiteChat {
    fn limits(&self) -> deskbell_sdk::Limits {
        deskbell_sdk::Limits {
            text_chars: Some(2_000),
            ..deskbell_sdk::Limits::default()
        }
    }

    fn visitors(&self) -> Option<&dyn Visitors> {
        Some(self)
    }
}

impl Visitors for WebsiteChat {
    fn script(&self) -> &'static str {
        "void 0;"
    }

    fn allowed_origins(&self) -> Option<&[String]> {
        None
    }

    fn identify(&self, _: &ClaimedIdentity<'_>) -> Result<(), IdentityRefused> {
        Err(IdentityRefused::NoSecret)
    }
}

struct Platform {
    secret: Secret,
    page: String,
}

/// The pages that were told to deliver no more, and whether others of their app still want deliveries.
pub(crate) static LEFT: Mutex<Vec<(String, bool)>> = Mutex::new(Vec::new());

impl Channel for Platform {
    fn limits(&self) -> deskbell_sdk::Limits {
        deskbell_sdk::Limits {
            reply_window_ms: Some(24 * 60 * 60 * 1000),
            text_chars: Some(2_000),
        }
    }

    fn webhook(&self) -> Option<&dyn Webhook> {
        Some(self)
    }

    fn register(&self) -> Option<&dyn Register> {
        Some(self)
    }
}

impl Register for Platform {
    fn wants(&self) -> Vec<&'static str> {
        Vec::new()
    }

    fn register<'a>(
        &'a self,
        _: &'a dyn Http,
        _: &'a str,
        _: &'a [&'static str],
    ) -> BoxFuture<'a, Result<(), CallError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn registered<'a>(
        &'a self,
        _: &'a dyn Http,
        _: &'a str,
        _: &'a [&'static str],
    ) -> BoxFuture<'a, Result<Vec<Finding>, CallError>> {
        Box::pin(std::future::ready(Ok(Vec::new())))
    }

    fn unregister<'a>(
        &'a self,
        _: &'a dyn Http,
        app_is_shared: bool,
    ) -> BoxFuture<'a, Result<(), CallError>> {
        let mut left = LEFT.lock().expect("not poisoned");
        left.push((self.page.clone(), app_is_shared));
        Box::pin(std::future::ready(Err(CallError::retry("the line is cut"))))
    }
}

impl Webhook for Platform {
    fn verify(&self, request: &deskbell_sdk::Request<'_>) -> Result<Verified, Rejected> {
        shared_secret(request, "x-secret", &self.secret)
    }

    fn decode(&self, _: &Verified) -> Result<Vec<Inbound>, Malformed> {
        Ok(Vec::new())
    }
}

fn open_chat(_: &Settings) -> Result<Box<dyn Channel>, SettingProblem> {
    Ok(Box::new(WebsiteChat))
}

fn open_platform(settings: &Settings) -> Result<Box<dyn Channel>, SettingProblem> {
    Ok(Box::new(Platform {
        secret: settings.required_secret("secret")?.clone(),
        page: settings.required_text("page")?.to_owned(),
    }))
}

const CHAT: Kind = Kind {
    id: "chat",
    title: "Website",
    settings: &[],
    api_base: None,
    open: open_chat,
};

const PLATFORM: Kind = Kind {
    id: "platform",
    title: "Platform",
    settings: &[
        Setting::text("page", "the page's number"),
        Setting::secret("secret", "from the platform's dashboard"),
        Setting::text("note", "anything").optional(),
        Setting::text("echoes", "whether")
            .kind(SettingKind::Flag)
            .default("true"),
    ],
    api_base: None,
    open: open_platform,
};

/// A configuration in `folder`.
pub(crate) fn config(folder: PathBuf) -> Config {
    Config {
        listen: "127.0.0.1:8080".parse().expect("an address"),
        public_url: Some("https://desk.example".parse().expect("an address")),
        data_dir: folder,
        trusted_proxies: Vec::new(),
        store: StoreConfig {
            engine: Engine::Sled,
            url: None,
            cache_mib: 16,
            keep_days: 30,
        },
        auth: Auth {
            bootstrap_token: As::Admin.token().map(Secret::new),
            oidc: None,
        },
        log: Log {
            level: "info".to_owned(),
            format: LogFormat::Text,
        },
        secrets: Secrets::default(),
        tls: None,
        limits: Limits {
            connections_per_address: 100,
            streams_per_user: 10,
            streams_per_token: 10,
        },
        bell: Bell {
            steps: Vec::new(),
            max_age: std::time::Duration::from_secs(60),
            heartbeat_url: None,
        },
        attachments: Attachments::default(),
        smtp: None,
        hooks: Hooks {
            retry: Vec::new(),
            allow_private_addresses: false,
            commands: Vec::new(),
        },
        channels: vec![
            configured("shop", CHAT, Settings::default()),
            configured("page", PLATFORM, page_settings()),
        ],
        source: Source::Nothing,
        warnings: Vec::new(),
    }
}

fn configured(id: &str, kind: Kind, settings: Settings) -> ChannelConfig {
    ChannelConfig {
        id: id.to_owned(),
        connector: kind.id,
        name: format!("The {id}"),
        settings,
        catch_up: true,
        origin: Origin::WholeFile(Arc::from(std::path::Path::new("shop.toml"))),
    }
}

fn page_settings() -> Settings {
    let values = BTreeMap::from([
        ("page".to_owned(), SettingValue::Text("4242".to_owned())),
        (
            "secret".to_owned(),
            SettingValue::Secret(Secret::new(PAGE_SECRET)),
        ),
    ]);
    Settings::checked(PLATFORM.settings, values, None).expect("settings")
}

fn channels() -> Channels {
    let known = |no, id: &str, connector: &str| ChannelEntry {
        no,
        id: id.to_owned(),
        connector: connector.to_owned(),
        name: format!("The {id}"),
        created_at: noon(),
    };
    let shop = Opened::open(SHOP, "shop", "The shop", CHAT, Settings::default()).expect("opens");
    let page = Opened::open(PAGE, "page", "The page", PLATFORM, page_settings()).expect("opens");
    let all = vec![
        known(SHOP, "shop", "chat"),
        known(PAGE, "page", "platform"),
        known(OLD, "old", "platform"),
    ];
    Channels::new(vec![Arc::new(shop), Arc::new(page)], all)
}

/// The parts of a daemon put together; nothing runs yet.
pub(crate) fn daemon(
    config: Config,
    store: Arc<dyn Store>,
    writer: Writer,
    clock: Clock,
    channels: Channels,
) -> App {
    let local = Secret::new("dbk_canary-local");
    Arc::new(Daemon {
        access: Access::new(config.auth.bootstrap_token.clone(), local, None),
        failures: crate::api::failures::Failures::default(),
        oidc: config
            .auth
            .oidc
            .clone()
            .map(|oidc| crate::oidc::Oidc::new(oidc).expect("a client")),
        mailer: config
            .smtp
            .as_ref()
            .map(|smtp| crate::mail::Mailer::new(smtp).expect("settings")),
        lanes: crate::work::Lanes::default(),
        cursors: crate::api::cursor::Cursors::new(Secret::new("canary-server-key")),
        clock,
        store: StoreHandle(store),
        writer,
        channels,
        provisioner: Provisioner::new(&[CHAT, PLATFORM], Secret::new("canary-server-key"), &[]),
        push: crate::push::Push::new(
            config.hooks.allow_private_addresses,
            crate::push::Vapid::from_private(
                &crate::push::Vapid::new_private(),
                "mailto:desk@shop.example".to_owned(),
            ),
        )
        .expect("a client"),
        blobs: Blobs::open(&config.data_dir.join("attachments")).expect("a folder"),
        virus_check: crate::virus_check::VirusCheck::new(None),
        live: Live::default(),
        search: crate::search::Search::new(config.data_dir.join("search")),
        inbox: crate::inbox::Inbox::default(),
        presence: crate::presence::Presence::default(),
        duty: crate::duty::Duty::default(),
        chat_limits: crate::api::chat::limits::ChatLimits::default(),
        metrics: crate::figures::handle(),
        hooks: crate::hooks::Hooks::new(&config.hooks).expect("a client"),
        held: crate::held::Held::new(false),
        erasures: tokio::sync::Notify::new(),
        stopping: tokio_util::sync::CancellationToken::new(),
        config,
    })
}

/// Opens a desk.
pub(crate) async fn desk() -> Desk {
    desk_with(|_| {}).await
}

/// Opens a desk with another configuration.
pub(crate) async fn desk_with(change: impl FnOnce(&mut Config)) -> Desk {
    let folder = tempfile::tempdir().expect("a folder");
    opened(Arc::new(MemoryStore::new()), folder, change).await
}

/// Opens a desk on the embedded engine: for more messages than the specification is quick with.
pub(crate) async fn desk_on_disk() -> Desk {
    let folder = tempfile::tempdir().expect("a folder");
    let options = Options::new(Clock::standing_at(noon()));
    let store = EmbeddedStore::open(&folder.path().join("store"), options, &|_| {});
    opened(Arc::new(store.expect("it opens")), folder, |_| {}).await
}

async fn opened(
    store: Arc<dyn Store>,
    folder: tempfile::TempDir,
    change: impl FnOnce(&mut Config),
) -> Desk {
    let clock = Clock::standing_at(noon());
    let (writer, _thread) = Writer::start(Arc::clone(&store), clock.clone(), 7).expect("a thread");
    let channels = channels();
    for known in channels.all_known() {
        let number = OpenChannel {
            id: known.id.clone(),
            connector: known.connector.clone(),
            name: known.name.clone(),
            free: known.no,
        };
        writer.write(number).await.expect("written");
    }
    let mut config = config(folder.path().to_owned());
    change(&mut config);
    let app = daemon(config, store, writer, clock, channels);
    let desk = Desk {
        router: crate::api::router(Arc::clone(&app)),
        app,
        _folder: folder,
    };
    desk.add_token(As::PageReader, Right::Read, "page").await;
    desk.add_token(As::Reader, Right::Read, "shop").await;
    desk.add_token(As::Writer, Right::Write, "shop").await;
    let session = BeginSession {
        hash: secret_hash(COOKIE),
        works_for_ms: crate::access::SESSION_MS,
    };
    desk.app.writer.write(session).await.expect("written");
    desk
}

impl Desk {
    async fn add_token(&self, who: As, right: Right, channel: &str) {
        let hash = secret_hash(who.token().expect("a token"));
        let token = TokenEntry {
            id: TokenId(0),
            name: format!("{who:?}"),
            scopes: BTreeSet::from([right]),
            channels: Some(BTreeSet::from([channel.to_owned()])),
            created_at: noon(),
            expires_at: None,
            last_used_at: None,
            device: None,
        };
        self.app
            .writer
            .write(MakeToken { hash, token })
            .await
            .expect("written");
    }

    /// A customer writes.
    pub(crate) async fn arrive(
        &self,
        channel: ChannelNo,
        person: &str,
        text: &str,
    ) -> (ConversationId, MessageId) {
        let number = self.app.store.head();
        let message = NewMessage {
            thread: person.to_owned(),
            customer: Person {
                name: Some(format!("{person} of {}", channel.0)),
                ..Person::with_id(person)
            },
            external_id: format!("m{number}"),
            direction: Direction::Inbound,
            author: Author::Contact(Person::with_id(person)),
            text: Some(text.to_owned()),
            attachments: Vec::new(),
            reply_to: None,
            sent_at: self.app.clock.now(),
            order: number,
            metadata: BTreeMap::new(),
            send_token: None,
            album: None,
        };
        let arrivals = Arrivals {
            events: vec![(channel, Event::Message(Box::new(message)))],
            received_at: self.app.clock.now(),
            raw: None,
            cursor: None,
        };
        let outcome = self.app.writer.write(arrivals).await.expect("written");
        outcome.messages[0]
    }

    /// Sends a request as it is.
    pub(crate) async fn send(&self, who: As, mut request: Request<Body>) -> Answer {
        if let Some(token) = who.token() {
            let value = format!("Bearer {token}").parse().expect("a header");
            request.headers_mut().insert(header::AUTHORIZATION, value);
        }
        if who == As::Session {
            let cookie = format!("__Host-deskbell={COOKIE}")
                .parse()
                .expect("a header");
            request.headers_mut().insert(header::COOKIE, cookie);
            request
                .headers_mut()
                .insert("sec-fetch-site", "same-origin".parse().expect("a header"));
        }
        let response = self
            .router
            .clone()
            .oneshot(request)
            .await
            .expect("an answer");
        let (parts, body) = response.into_parts();
        let bytes = crate::api::body::read_limited(body, 64 * 1024 * 1024)
            .await
            .expect("a body")
            .to_vec();
        Answer {
            status: parts.status,
            headers: parts.headers,
            bytes,
        }
    }

    /// Reads.
    pub(crate) async fn get(&self, who: As, path: &str) -> Answer {
        self.send(
            who,
            Request::builder()
                .uri(path)
                .body(Body::empty())
                .expect("a request"),
        )
        .await
    }

    /// Reads what has to be there.
    pub(crate) async fn found(&self, who: As, path: &str) -> Value {
        let answer = self.get(who, path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text());
        answer.json()
    }

    /// Sends JSON.
    pub(crate) async fn json(&self, who: As, method: Method, path: &str, body: &Value) -> Answer {
        self.json_with_key(who, method, path, body, None).await
    }

    /// Sends JSON with an `Idempotency-Key`.
    pub(crate) async fn json_with_key(
        &self,
        who: As,
        method: Method,
        path: &str,
        body: &Value,
        key: Option<&str>,
    ) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        self.send(
            who,
            request
                .body(Body::from(body.to_string()))
                .expect("a request"),
        )
        .await
    }

    /// Deletes.
    pub(crate) async fn delete(&self, who: As, path: &str) -> Answer {
        let request = Request::builder()
            .method(Method::DELETE)
            .uri(path)
            .body(Body::empty());
        self.send(who, request.expect("a request")).await
    }

    /// Uploads a file.
    pub(crate) async fn upload(
        &self,
        who: As,
        name: &str,
        bytes: &[u8],
        key: Option<&str>,
    ) -> Answer {
        let mut form = format!(
            "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n"
        )
        .into_bytes();
        form.extend_from_slice(bytes);
        form.extend_from_slice(b"\r\n--x--\r\n");
        let mut request = Request::builder()
            .method(Method::POST)
            .uri("/api/v1/attachments")
            .header(header::CONTENT_TYPE, "multipart/form-data; boundary=x");
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        self.send(who, request.body(Body::from(form)).expect("a request"))
            .await
    }

    /// Uploads a file, and gives its id.
    pub(crate) async fn uploaded(&self, who: As, name: &str, bytes: &[u8]) -> String {
        let answer = self.upload(who, name, bytes, None).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
        answer.json()["id"].as_str().expect("an id").to_owned()
    }
}

/// The field of each item of a list.
pub(crate) fn each<'a>(list: &'a Value, field: &str) -> Vec<&'a Value> {
    let items = list["data"].as_array().expect("a list");
    items.iter().map(|item| &item[field]).collect()
}

/// How much of something a test does: `short`, or what an environment variable says for its long form.
pub(crate) fn how_many(variable: &str, short: usize) -> usize {
    #[expect(
        clippy::disallowed_methods,
        reason = "a switch of the tests, not of the daemon"
    )]
    let wanted = std::env::var(variable);
    wanted
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(short)
}
