//! The daemon as a function of its configuration, its listener and its end.

mod opening;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use deskbell_sdk::{Kind, Secret};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use self::opening::{Gate, gated, open_store};
use crate::access::Access;
use crate::api::chat::limits::ChatLimits;
use crate::api::cursor::Cursors;
use crate::app::{App, Daemon, StoreHandle};
use crate::blobs::Blobs;
use crate::channels::{Channels, OpenChannel};
use crate::clock::Clock;
use crate::config::Config;
use crate::desk::access::OpenChannel as NumberChannel;
use crate::desk::erasure::EnsureErasureKey;
use crate::desk::restore::Restored;
use crate::downloads::Downloads;
use crate::held::Held;
use crate::http_client::Fetcher;
use crate::live::Live;
use crate::mail::Mailer;
use crate::oidc::Oidc;
use crate::outbox::Outbox;
use crate::provision::Provisioner;
use crate::push::Push;
use crate::seal::Sealer;
use crate::search::{self, Search, SearchThread};
use crate::secrets::{random_seed, random_text, webhook_secret};
use crate::server::{self, TlsFiles, check_tls};
use crate::store::Store;
use crate::store::entry::{ChannelEntry, Entry};
use crate::store::record::ChannelNo;
use crate::virus_check::VirusCheck;
use crate::work::{lanes, pool};
use crate::writer::Writer;

pub use self::opening::restore;

/// Where a command on the same machine finds the daemon: an address and a token, readable by its owner only.
pub const LOCAL_FILE: &str = "local.json";
/// The key that is made where the configuration gives none.
const KEY_FILE: &str = "deskbell.key";

/// What the operator is told once the daemon is ready.
#[derive(Clone, Debug)]
pub struct Started {
    /// Where it is reached.
    pub url: String,
    /// The one-time link that opens an administrator's session; `None` once somebody can sign in who may do everything.
    pub setup_url: Option<String>,
    /// Each channel: its slug, its title, and a line on how it stands.
    pub channels: Vec<(String, String, String)>,
    /// What the operator should know, in plain words.
    pub notes: Vec<String>,
}

/// Runs the daemon until `shutdown`; then it drains and ends within 10 s. `announce` is called once it is ready.
///
/// # Errors
/// Where it cannot start, in words that say what to do.
pub async fn run(
    mut config: Config,
    kinds: &[Kind],
    listener: TcpListener,
    shutdown: CancellationToken,
    announce: impl FnOnce(&Started) + Send,
) -> Result<()> {
    config.listen = listener
        .local_addr()
        .context("the listener has no address")?;
    let data_dir = config.data_dir.clone();
    make_data_dir(&data_dir)?;
    if let Some(files) = tls_files(&config) {
        check_tls(&files).context("[tls]")?;
    }

    // The port answers from the start: 503 until the store is open, so that platforms try again.
    let gate = Arc::new(Gate::default());
    let serving = {
        let options = server_options(&config);
        let (router, stop) = (gated(Arc::clone(&gate)), shutdown.clone());
        tokio::spawn(async move {
            let served = server::serve(listener, router, options, stop.clone()).await;
            // A daemon that nobody can reach is none: where the server has failed, the rest ends too.
            stop.cancel();
            served
        })
    };
    let result = serve_desk(config, kinds, &gate, shutdown.clone(), announce).await;
    shutdown.cancel();
    let served = serving.await.context("the server ended with a panic")?;
    let closing = result?;
    tokio::task::spawn_blocking(move || closing.close())
        .await
        .context("closing the store panicked")??;
    served.context("the server failed")?;
    // Best effort: a stale one names a daemon that does not answer.
    let _ = fs::remove_file(data_dir.join(LOCAL_FILE));
    tracing::info!("stopped cleanly");
    Ok(())
}

/// What is closed last, after every request has ended.
struct Closing {
    app: App,
    thread: crate::writer::WriterThread,
    search: Option<SearchThread>,
}

impl Closing {
    fn close(self) -> Result<()> {
        self.app.writer.stop();
        self.thread.join();
        if let Some(search) = self.search {
            search.join();
        }
        self.app
            .store
            .close()
            .context("the store could not be closed cleanly; the next start takes longer")
    }
}

async fn serve_desk(
    config: Config,
    kinds: &[Kind],
    gate: &Arc<Gate>,
    shutdown: CancellationToken,
    announce: impl FnOnce(&Started) + Send,
) -> Result<Closing> {
    let clock = Clock::system();
    let store = open_store(&config, clock.clone(), gate, &shutdown).await?;
    // Only now, when the store's lock says that no other daemon is here, which could be making the key as well (F41).
    let mut notes = config.warnings.clone();
    let key = secret_key(&config, &mut notes)?;
    let (writer, thread) = Writer::start_with(
        Arc::clone(&store),
        clock.clone(),
        random_seed(),
        crate::bell::of_config(&config.bell),
    )
    .context("the writer cannot start")?;
    let erasure_key = EnsureErasureKey { new: random_text() };
    writer
        .write(erasure_key)
        .await
        .context("the store takes no changes")?;
    let restored = Restored::of(&*store)?;
    if let Some(restored) = restored {
        notes.push(format!(
            "This desk was restored from a backup of {}. Nothing is sent or rung until you say `deskbell resume`: make sure that the desk it was made of no longer runs.",
            restored.backup_of
        ));
    }
    let former = former_keys(&config, &key)?;
    let provisioner = Provisioner::new(kinds, key.clone(), &former);
    let channels = open_channels(&config, kinds, &*store, &writer, &key).await?;
    let made = provisioner
        .open_all(&*store, &writer, &channels, &config.channels)
        .await
        .context("the channels cannot be opened")?;
    notes.extend(made.notes);
    if made.sealed_by_others == 0 && !config.secrets.previous_keys.is_empty() {
        notes.push("Every channel's secrets are encrypted with the present key: `[secrets] previous_keys` can be taken out.".to_owned());
    }
    let blobs = Blobs::open(&config.data_dir.join("attachments"))
        .context("the folder for attachments cannot be made")?;
    let fetcher = Fetcher::new().context("there is no HTTP client")?;
    let virus_check = VirusCheck::new(config.attachments.clamd.as_ref());
    if let Err(why) = virus_check.ask().await {
        notes.push(format!(
            "Files cannot be checked for viruses: {why}. Uploads are refused, and files of customers wait, until it works."
        ));
    }
    let oidc = config.auth.oidc.clone().map(Oidc::new).transpose();
    let oidc = oidc.context("there is no HTTP client")?;
    let mailer = config.smtp.as_ref().map(Mailer::new).transpose()?;
    let push = open_push(&config, &*store, &writer, provisioner.sealer(), &mut notes).await?;
    let downloads = Downloads::new(fetcher, blobs.clone(), virus_check.clone());
    let local = random_text();
    let setup = crate::api::setup::has_no_admin(&*store)?.then(random_text);
    match write_local_file(&config, &local) {
        Err(error) if is_no_room(&error) => {
            let error = format!("{error:#}");
            tracing::error!(
                error,
                "commands on this machine do not find the daemon before its next start"
            );
        }
        written => written?,
    }
    let app: App = Arc::new(Daemon {
        access: Access::new(
            config.auth.bootstrap_token.clone(),
            Secret::new(format!("dbk_{local}")),
            setup.clone().map(Secret::new),
        ),
        failures: crate::api::failures::Failures::default(),
        oidc,
        mailer,
        cursors: Cursors::new(key),
        lanes: crate::work::Lanes::default(),
        clock,
        store: StoreHandle(store),
        writer,
        channels,
        provisioner,
        push,
        blobs,
        virus_check,
        live: Live::on_its_thread().context("there is no thread for the live stream")?,
        search: Search::new(config.data_dir.join("search")),
        inbox: crate::inbox::Inbox::default(),
        presence: crate::presence::Presence::default(),
        duty: crate::duty::Duty::default(),
        chat_limits: ChatLimits::default(),
        hooks: crate::hooks::Hooks::new(&config.hooks).context("there is no HTTP client")?,
        held: Held::new(restored.is_some()),
        erasures: tokio::sync::Notify::new(),
        metrics: crate::figures::handle(),
        stopping: shutdown.clone(),
        config,
    });
    let unopened = crate::api::two_factor::seal_anew(&app).await;
    if unopened > 0 {
        notes.push(format!(
            "{unopened} people's second factors are encrypted with a key that is not here: put it into `[secrets] previous_keys` and start again, or they need recovery codes."
        ));
    }
    ask_duty(&app);
    let commands = crate::hooks::commands_of(&app.config.hooks);
    app.writer
        .write(commands)
        .await
        .context("the commands of [[hooks.command]] cannot be written down")?;
    notes.extend(crate::hooks::unknown_channels(&app));
    let unopened = crate::hooks::reseal_all(&app).await?;
    if unopened > 0 {
        notes.push(format!(
            "The secrets of {unopened} hooks are encrypted with a key that is not here: put it into `[secrets] previous_keys` and start again, or rotate them."
        ));
    }
    build_inbox(&app).await?;
    crate::profiles::note(&app).await;
    let search = search::start(&app)
        .inspect_err(|error| tracing::error!(%error, "there is no search in this run"))
        .ok();
    for task in [
        tokio::spawn(crate::live::follow(Arc::clone(&app))),
        tokio::spawn(follow_inbox(Arc::clone(&app))),
        tokio::spawn(crate::presence::watch(Arc::clone(&app))),
        tokio::spawn(crate::waking::run(Arc::clone(&app))),
        tokio::spawn(answers(Arc::clone(&app))),
        tokio::spawn(crate::erasure::run(Arc::clone(&app))),
        tokio::spawn(crate::bell::run(Arc::clone(&app))),
        tokio::spawn(crate::alarms::run(Arc::clone(&app))),
        tokio::spawn(crate::alarms::heartbeat(Arc::clone(&app))),
        tokio::spawn(crate::telling::run(Arc::clone(&app))),
        tokio::spawn(crate::telling::tests(Arc::clone(&app))),
        tokio::spawn(crate::telling::unheard(Arc::clone(&app))),
        tokio::spawn(crate::hooks::run(Arc::clone(&app))),
        tokio::spawn(crate::hooks::upkeep(Arc::clone(&app))),
        tokio::spawn(crate::api::teams::finish_dissolutions(Arc::clone(&app))),
        tokio::spawn(pool::run(
            Arc::clone(&app),
            Arc::new(crate::media::Media::new(downloads.clone())),
            crate::media::AT_ONCE,
        )),
        tokio::spawn(pool::run(
            Arc::clone(&app),
            Arc::new(crate::profiles::Profiles::new(downloads)),
            crate::profiles::AT_ONCE,
        )),
        tokio::spawn(crate::profiles::keep_noted(Arc::clone(&app))),
        tokio::spawn(crate::watch::channels(Arc::clone(&app))),
        tokio::spawn(crate::watch::store(Arc::clone(&app))),
        tokio::spawn(crate::watch::sweep(Arc::clone(&app))),
        tokio::spawn(crate::upkeep::run(Arc::clone(&app))),
        tokio::spawn(crate::watch::systemd(Arc::clone(&app))),
        tokio::spawn(crate::watch::virus_check(Arc::clone(&app))),
        tokio::spawn(crate::intake::catch_up::channels(Arc::clone(&app))),
    ] {
        // They end by themselves when the daemon stops.
        drop(task);
    }
    // Set once; a second start of the same gate cannot be.
    let _ = gate.router.set(crate::api::router(Arc::clone(&app)));
    // Only now: what is asked for goes on here, and what registers is called at its address.
    drop(tokio::spawn(crate::intake::poll::channels(Arc::clone(
        &app,
    ))));
    drop(tokio::spawn(crate::intake::self_registration::by_itself(
        Arc::clone(&app),
    )));
    announce(&Started {
        url: app.public_url(),
        setup_url: setup.map(|setup| format!("{}/setup?token={setup}", app.public_url())),
        channels: app
            .channels
            .open()
            .iter()
            .map(|channel| told(&app, channel))
            .collect(),
        notes,
    });
    // Without systemd there is nobody to tell.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    shutdown.cancelled().await;
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    Ok(Closing {
        app,
        thread,
        search,
    })
}

/// Opens what reaches browsers. A key that does not open is told; everything else goes on without Web Push.
async fn open_push(
    config: &Config,
    store: &dyn Store,
    writer: &Writer,
    sealer: &Sealer,
    notes: &mut Vec<String>,
) -> Result<Push> {
    // Push services want to know whom to ask; Apple's takes no address of this machine.
    let url = config.public_url.as_ref();
    let url = url.filter(|url| url.scheme() == "https");
    let subject = url.map_or_else(
        || env!("CARGO_PKG_REPOSITORY").to_owned(),
        |url| url.as_str().trim_end_matches('/').to_owned(),
    );
    let key = crate::push::key(store, writer, sealer, &subject).await?;
    let key = key
        .inspect_err(|why| {
            notes.push(format!(
                "Browsers cannot be told by Web Push: the key for it {why}."
            ));
        })
        .ok();
    let lost = crate::push::seal_anew(store, writer, sealer).await?;
    if lost > 0 {
        notes.push(format!(
            "{lost} browsers' subscriptions are encrypted with a key that is not here: put it into `[secrets] previous_keys` and start again, or turn notifications off and on again in those browsers."
        ));
    }
    Push::new(config.hooks.allow_private_addresses, key).context("there is no HTTP client")
}

/// Lets the writer ask who works, so that each ring says whom it tells. A fault there keeps no message out.
fn ask_duty(app: &App) {
    // The daemon holds the writer: a strong reference would keep both for ever.
    let weak = Arc::downgrade(app);
    app.writer.ask(Box::new(move |ring, now| {
        let Some(app) = weak.upgrade() else {
            return Ok(Vec::new());
        };
        let people = || crate::duty::people_of(&app, ring, now);
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(people)).unwrap_or_else(|_| {
            tracing::error!("it could not be found out who works: a fault of Deskbell's");
            Ok(Vec::new())
        })
    }));
}

/// Builds the inbox before anybody asks for it.
async fn build_inbox(app: &App) -> Result<()> {
    let app = Arc::clone(app);
    tokio::task::spawn_blocking(move || app.inbox.catch_up(&*app.store))
        .await
        .context("building the inbox panicked")?
        .context("the inbox cannot be built from the store")
}

/// Keeps the inbox at the head of the log, so that who reads it has nothing to wait for.
async fn follow_inbox(app: App) {
    let mut head = app.writer.head();
    loop {
        tokio::select! {
            () = app.stopping.cancelled() => return,
            changed = head.changed() => if changed.is_err() { return },
        }
        let current = Arc::clone(&app);
        let caught_up =
            tokio::task::spawn_blocking(move || current.inbox.catch_up(&*current.store)).await;
        if let Ok(Err(error)) = caught_up {
            tracing::error!(%error, "the inbox cannot follow the log; who reads it tries again");
        }
    }
}

/// Sends answers: of a restored desk only once somebody says so.
async fn answers(app: App) {
    tokio::select! {
        () = app.stopping.cancelled() => return,
        () = app.held.released() => {}
    }
    lanes::run(app, Arc::new(Outbox::default())).await;
}

fn told(app: &App, channel: &OpenChannel) -> (String, String, String) {
    let line = if channel.channel.visitors().is_some() {
        format!("up; try it at {}/try/{}", app.public_url(), channel.id)
    } else if channel.channel.webhook().is_some() {
        format!(
            "up; the platform delivers to {}/webhooks/{}",
            app.public_url(),
            channel.id
        )
    } else if channel.channel.poll().is_some() {
        "up; the daemon asks for messages, nothing has to reach it".to_owned()
    } else {
        "up".to_owned()
    };
    (channel.id.clone(), channel.kind.title.to_owned(), line)
}

fn server_options(config: &Config) -> server::Options {
    server::Options {
        trusted_proxies: config.trusted_proxies.clone(),
        connections_per_address: config.limits.connections_per_address as usize,
        tls: tls_files(config),
        // Of the 10 s in which the daemon ends, the rest is for the writer and the store.
        drain: Duration::from_secs(6),
        ..server::Options::default()
    }
}

fn tls_files(config: &Config) -> Option<TlsFiles> {
    config.tls.as_ref().map(|tls| TlsFiles {
        certificate: tls.certificate.clone(),
        key: tls.key.clone(),
    })
}

fn make_data_dir(folder: &Path) -> Result<()> {
    let missing: Vec<&Path> = folder
        .ancestors()
        .take_while(|path| !path.as_os_str().is_empty() && !path.exists())
        .collect();
    let made = fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder);
    // Their names too must outlive a power cut, or all that is synced below them goes with them.
    let made = made.and_then(|()| missing.into_iter().try_for_each(sync_name));
    made.with_context(|| {
        format!(
            "data_dir {} cannot be made; choose another with `data_dir` or --data-dir",
            folder.display()
        )
    })?;
    let probe = folder.join(".writable");
    fs::write(&probe, b"")
        .and_then(|()| fs::remove_file(&probe))
        .with_context(|| {
            format!(
                "data_dir {} cannot be written; give it to the user that runs deskbell",
                folder.display()
            )
        })
}

/// The key that seals cursors and, later, secrets: from the configuration, else a file that is made once.
fn secret_key(config: &Config, notes: &mut Vec<String>) -> Result<Secret> {
    if let Some(key) = &config.secrets.key {
        return Ok(key.clone());
    }
    let path = config.data_dir.join(KEY_FILE);
    match fs::read_to_string(&path) {
        Ok(key) if key.trim().len() >= 32 => return Ok(Secret::new(key.trim())),
        Ok(_) => {
            return Err(anyhow!(
                "{} holds no key; restore it from a backup, or remove it to have a new one made",
                path.display()
            ));
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => {
            return Err(error).with_context(|| format!("{} cannot be read", path.display()));
        }
    }
    let key = random_text();
    write_private(&path, key.as_bytes())
        .with_context(|| format!("{} cannot be written", path.display()))?;
    notes.push(format!(
        "A key for secrets was made in {}. Keep a copy away from this machine, or give one by `[secrets] key`.",
        path.display()
    ));
    Ok(Secret::new(key))
}

/// The keys that channels' secrets may still be sealed with: those of the configuration, and the one that was made in
/// the data directory before the configuration gave one.
fn former_keys(config: &Config, key: &Secret) -> Result<Vec<Secret>> {
    let mut former = config.secrets.previous_keys.clone();
    if config.secrets.key.is_some() {
        let path = config.data_dir.join(KEY_FILE);
        match fs::read_to_string(&path) {
            Ok(made) => former.push(Secret::new(made.trim())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(error).with_context(|| format!("{} cannot be read", path.display()));
            }
        }
    }
    former.retain(|former| former != key);
    Ok(former)
}

/// Writes a file that only its owner reads, whole or not at all.
fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let new = PathBuf::from(format!("{}.new", path.display()));
    // A rest of a crash.
    let _ = fs::remove_file(&new);
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    sync_name(path)
}

/// Makes the name of a file or folder durable. A folder above it that may be used and not read is left to the system.
fn sync_name(path: &Path) -> std::io::Result<()> {
    let above = match path.parent() {
        Some(above) if !above.as_os_str().is_empty() => above,
        _ => Path::new("."),
    };
    match fs::File::open(above) {
        Ok(above) => above.sync_all(),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Ok(()),
        Err(error) => Err(error),
    }
}

fn is_no_room(error: &anyhow::Error) -> bool {
    let cause = error.downcast_ref::<std::io::Error>();
    cause.is_some_and(|error| error.kind() == std::io::ErrorKind::StorageFull)
}

fn write_local_file(config: &Config, local: &str) -> Result<()> {
    let scheme = if config.tls.is_some() {
        "https"
    } else {
        "http"
    };
    let mut address = config.listen;
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            std::net::SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            std::net::SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    let text = serde_json::json!({ "server": format!("{scheme}://{address}"), "token": format!("dbk_{local}") });
    let path = config.data_dir.join(LOCAL_FILE);
    write_private(&path, text.to_string().as_bytes())
        .with_context(|| format!("{} cannot be written", path.display()))
}

/// Gives each configured channel its number and opens it. One that cannot be opened never stops the rest.
async fn open_channels(
    config: &Config,
    kinds: &[Kind],
    store: &dyn Store,
    writer: &Writer,
    key: &Secret,
) -> Result<Channels> {
    let known = ChannelEntry::scan(store, &[], None, usize::MAX)?;
    let mut free = known.iter().map(|(_, entry)| entry.no.0).max().unwrap_or(0);
    let mut open = Vec::new();
    for channel in &config.channels {
        let Some(kind) = kinds.iter().find(|kind| kind.id == channel.connector) else {
            continue;
        };
        free += 1;
        let number = NumberChannel {
            id: channel.id.clone(),
            connector: kind.id.to_owned(),
            name: channel.name.clone(),
            free: ChannelNo(free),
        };
        let entry = writer
            .write(number)
            .await
            .context("a channel could not be given its number")?;
        let opened = OpenChannel::open(
            entry.no,
            &channel.id,
            &channel.name,
            *kind,
            channel
                .settings
                .clone()
                .with_webhook_secret(webhook_secret(key, &channel.id)),
        );
        match opened {
            Ok(mut opened) => {
                opened.catch_up = channel.catch_up;
                open.push(Arc::new(opened));
            }
            Err(problem) => {
                tracing::error!(channel = %channel.id, "the channel stays closed: {problem}")
            }
        }
    }
    let known = ChannelEntry::scan(store, &[], None, usize::MAX)?;
    Ok(Channels::new(
        open,
        known.into_iter().map(|(_, entry)| entry).collect(),
    ))
}
