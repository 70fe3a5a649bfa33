//! Channels that people add, change and remove while the daemon runs, and how they come back at its start.
//!
//! One change at a time, each in a task of its own: a caller who hangs up leaves no channel that is in the store and not
//! open, or the other way round. The store comes first, the open channels after it.

mod plan;
mod setup;
mod start;
pub mod wanted;

pub use start::{OpenError, Opened};

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use deskbell_sdk::{Kind, Secret};
use serde_json::{Map, Value};
use tokio::sync::Mutex;

use crate::app::{App, Daemon};
use crate::channels::OpenChannel;
use crate::desk::audit::{Audited, Told};
use crate::desk::channels::{SetUp, TakeDown};
use crate::desk::import::{ChannelImported, ImportChannel};
use crate::registration;
use crate::seal::Sealer;
use crate::store::StoreError;
use crate::store::entry::{Actor, ChannelEntry, ChannelSetup, Entry, IdempotencyEntry};
use crate::store::record::ChannelNo;
use crate::writer::WriteError;
use wanted::BadField;

/// Most channels that may be made through the API.
const MOST: usize = 1_000;
/// How long a platform may take to hear that a channel is gone.
const FAREWELL: Duration = Duration::from_secs(20);

/// What channels are made with.
#[derive(Debug)]
pub struct Provisioner {
    kinds: Vec<Kind>,
    key: Secret,
    sealer: Sealer,
    turn: Mutex<()>,
}

impl Provisioner {
    /// For these connectors, with the daemon's key and its former ones.
    #[must_use]
    pub fn new(kinds: &[Kind], key: Secret, previous: &[Secret]) -> Self {
        Self {
            kinds: kinds.to_vec(),
            sealer: Sealer::new(&key, previous),
            key,
            turn: Mutex::default(),
        }
    }

    /// What seals secrets.
    #[must_use]
    pub const fn sealer(&self) -> &Sealer {
        &self.sealer
    }

    /// Every connector, as it describes itself.
    #[must_use]
    pub fn kinds(&self) -> &[Kind] {
        &self.kinds
    }

    fn kind(&self, id: &str) -> Option<Kind> {
        self.kinds.iter().find(|kind| kind.id == id).copied()
    }
}

/// A channel that is wanted. Its `Debug` shows no setting, since some are secrets.
pub struct NewChannel {
    /// The slug.
    pub id: String,
    /// The connector.
    pub connector: String,
    /// The name; the connector's title where there is none.
    pub name: Option<String>,
    /// The settings.
    pub settings: Map<String, Value>,
    /// The platform's address, where it is not the connector's own.
    pub api_base: Option<String>,
    /// Whether what was missed is fetched.
    pub catch_up: bool,
}

impl std::fmt::Debug for NewChannel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewChannel")
            .field("id", &self.id)
            .field("connector", &self.connector)
            .finish_non_exhaustive()
    }
}

/// What is to be changed; what is `None` stays. Its `Debug` shows no setting.
#[derive(Default)]
pub struct Change {
    /// The name.
    pub name: Option<String>,
    /// Settings: those that are named are replaced, `null` takes one out.
    pub settings: Map<String, Value>,
    /// The platform's address; `Some(None)`: the connector's own.
    pub api_base: Option<Option<String>>,
    /// Whether what was missed is fetched.
    pub catch_up: Option<bool>,
}

impl std::fmt::Debug for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Change")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Why nothing was done.
#[derive(Clone, Debug)]
pub enum Refused {
    /// Fields that do not do.
    Fields(Vec<BadField>),
    /// There is no such channel.
    Unknown,
    /// The channel stands in the configuration: where.
    InFile(String),
    /// There is such a channel already.
    Exists,
    /// The slug belongs to the history of this other connector.
    OtherConnector(String),
    /// Only its history is left.
    Closed,
    /// There are as many as there may be.
    TooMany,
    /// The `Idempotency-Key` belongs to another request.
    KeyReused,
    /// What the `Idempotency-Key` made was removed.
    Gone,
    /// The store cannot be read.
    Unreadable(String),
    /// It could not be made durable.
    NotDurable(WriteError),
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self::Unreadable(error.to_string())
    }
}

impl From<WriteError> for Refused {
    fn from(error: WriteError) -> Self {
        Self::NotDurable(error)
    }
}

/// Carries a change out to its end, whether or not somebody still waits for it.
async fn whole<T: Send + 'static>(
    change: impl Future<Output = Result<T, Refused>> + Send + 'static,
) -> Result<T, Refused> {
    let done = tokio::spawn(change).await;
    done.unwrap_or(Err(Refused::NotDurable(WriteError::Poison)))
}

/// Adds a channel. `remembered` is under which `Idempotency-Key` the request is known, and the hash of its body; `by` is
/// who asks.
pub async fn add(
    app: &App,
    new: NewChannel,
    remembered: Option<(Vec<u8>, Vec<u8>)>,
    by: Actor,
) -> Result<ChannelEntry, Refused> {
    let app = Arc::clone(app);
    whole(async move {
        let provisioner = &app.provisioner;
        let _turn = provisioner.turn.lock().await;
        if let Some(before) = repeated(&app, remembered.as_ref())? {
            return Ok(before);
        }
        let no = match app.channels.number_of(&new.id) {
            Some(no) => no,
            None => free_number(&app)?,
        };
        let planned = provisioner.planned(new, no, app.clock.now());
        let plan = planned.map_err(Refused::Fields)?;
        not_there(&app, &plan.entry.id, &plan.entry.connector)?;
        let set_up = SetUp {
            id: plan.entry.id.clone(),
            setup: plan.setup,
            free: no,
            healthy: true,
            say: format!("It was added by {}.", by.name),
            remembered,
        };
        let set_up = Audited::by_answer(set_up, by, |entry: &ChannelEntry| {
            let told = Told::of("channel.added").to("channel", &entry.id, entry.name.as_str());
            Some(told.with("connector", entry.connector.as_str()))
        });
        app.channels.expect(plan.entry);
        let written = app.writer.write(set_up).await;
        let entry = written.inspect_err(|_| app.channels.expect_no_more())?;
        tracing::info!(channel = %entry.id, connector = %entry.connector, "a channel was added");
        app.channels.open_now(entry.clone(), plan.channel);
        Ok(entry)
    })
    .await
}

/// Adds a channel of which there is history only, for an import, unless its slug is known.
///
/// # Errors
/// Where the writer cannot take it.
pub async fn add_history(app: &App, channel: ImportChannel) -> Result<ChannelImported, WriteError> {
    let app = Arc::clone(app);
    let done = tokio::spawn(async move {
        let _turn = app.provisioner.turn.lock().await;
        let imported = app.writer.write(channel).await?;
        if let ChannelImported::New(entry) = &imported {
            app.channels.add_history(entry.clone());
        }
        Ok(imported)
    });
    done.await.unwrap_or(Err(WriteError::Poison))
}

/// Changes a channel that was made through the API.
pub async fn change(
    app: &App,
    id: String,
    change: Change,
    by: Actor,
) -> Result<ChannelEntry, Refused> {
    let app = Arc::clone(app);
    whole(async move {
        let provisioner = &app.provisioner;
        let _turn = provisioner.turn.lock().await;
        let known = known(&app, &id)?;
        let before = ChannelSetup::get(&*app.store, id.as_bytes())?.ok_or(Refused::Closed)?;
        let planned = provisioner.planned_change(&known, &before, change);
        let plan = planned.map_err(Refused::Fields)?;
        let running = app.channels.get(&id);
        if plan.setup == before && running.is_some() {
            return Ok(plan.entry);
        }
        let speaks_anew =
            plan.setup.settings != before.settings || plan.setup.api_base != before.api_base;
        let channel = match &running {
            // What was found of the former settings says nothing of these: they are looked at now.
            Some(running) if speaks_anew => plan.channel.counting_on(running),
            Some(running) => plan.channel.after(running),
            None => plan.channel,
        };
        let told = Told::of("channel.changed")
            .to("channel", &id, plan.setup.name.as_str())
            .with("changed", changed_keys(&before, &plan.setup));
        let set_up = SetUp {
            id,
            setup: plan.setup,
            free: known.no,
            healthy: channel.is_healthy(),
            say: format!("Its settings were changed by {}.", by.name),
            remembered: None,
        };
        let set_up = Audited::always(set_up, by, told);
        let entry = app.writer.write(set_up).await?;
        tracing::info!(channel = %entry.id, "a channel's settings were changed");
        app.channels.open_now(entry.clone(), channel);
        Ok(entry)
    })
    .await
}

/// What differs between two setups, by key: never how, since some are secrets.
fn changed_keys(before: &ChannelSetup, after: &ChannelSetup) -> Vec<String> {
    let keys: BTreeSet<_> = before
        .settings
        .keys()
        .chain(after.settings.keys())
        .collect();
    let settings = keys
        .into_iter()
        .filter(|key| before.settings.get(*key) != after.settings.get(*key))
        .map(|key| format!("settings.{key}"));
    let own = [
        ("name", before.name != after.name),
        ("api_base", before.api_base != after.api_base),
        ("catch_up", before.catch_up != after.catch_up),
    ];
    let own = own.into_iter().filter(|(_, differs)| *differs);
    own.map(|(key, _)| key.to_owned()).chain(settings).collect()
}

/// Removes a channel that was made through the API. Its history stays, and its slug keeps its number. One that is closed
/// already stays so.
pub async fn remove(app: &App, id: String, by: Actor) -> Result<(), Refused> {
    let app = Arc::clone(app);
    whole(async move {
        let _turn = app.provisioner.turn.lock().await;
        known(&app, &id)?;
        let running = app.channels.get(&id);
        // One that is closed already is left as it is, and nothing was done.
        let is_set_up = ChannelSetup::get(&*app.store, id.as_bytes())?.is_some();
        let take_down = TakeDown {
            say: format!("It was removed by {}. Its history stays.", by.name),
            id,
        };
        let take_down = Audited::by_answer(take_down, by, move |left: &Option<ChannelEntry>| {
            let entry = left.as_ref().filter(|_| is_set_up)?;
            Some(Told::of("channel.removed").to("channel", &entry.id, entry.name.as_str()))
        });
        let Some(entry) = app.writer.write(take_down).await? else {
            return Err(Refused::Unknown);
        };
        tracing::info!(channel = %entry.id, "a channel was removed");
        app.channels.close(entry, None);
        if let Some(channel) = running {
            take_leave(&app, &channel).await;
        }
        Ok(())
    })
    .await
}

/// Tells the platform that it need not deliver any more. Only after the channel is gone: the other way round a crash
/// would leave one that is open and hears nothing.
async fn take_leave(app: &App, channel: &Arc<OpenChannel>) {
    if channel.channel.register().is_none() {
        return;
    }
    let told = tokio::time::timeout(FAREWELL, registration::unregister(app, channel)).await;
    let why = match told {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error.to_string(),
        Err(_) => "it did not answer in time".to_owned(),
    };
    tracing::warn!(
        channel = %channel.id,
        "{} was not told that the channel is removed: {why}; take this daemon's address out there by hand",
        channel.kind.title
    );
}

/// What is known of a channel that may be changed here.
fn known(app: &Daemon, id: &str) -> Result<Arc<ChannelEntry>, Refused> {
    in_file(app, id)?;
    let no = app.channels.number_of(id);
    no.and_then(|no| app.channels.known(no))
        .ok_or(Refused::Unknown)
}

/// Refuses a channel of the configuration.
fn in_file(app: &Daemon, id: &str) -> Result<(), Refused> {
    match app.config.channels.iter().find(|channel| channel.id == id) {
        Some(channel) => Err(Refused::InFile(channel.origin.to_string())),
        None => Ok(()),
    }
}

/// Refuses a slug that is taken.
fn not_there(app: &Daemon, id: &str, connector: &str) -> Result<(), Refused> {
    in_file(app, id)?;
    if ChannelSetup::get(&*app.store, id.as_bytes())?.is_some() {
        return Err(Refused::Exists);
    }
    let no = app.channels.number_of(id);
    match no.and_then(|no| app.channels.known(no)) {
        // Its history would be shown as that of another platform.
        Some(entry) if entry.connector != connector => {
            Err(Refused::OtherConnector(entry.connector.clone()))
        }
        _ => Ok(()),
    }
}

/// The channel that this request has made before.
fn repeated(
    app: &Daemon,
    remembered: Option<&(Vec<u8>, Vec<u8>)>,
) -> Result<Option<ChannelEntry>, Refused> {
    let Some((key, body)) = remembered else {
        return Ok(None);
    };
    let Some(before) = IdempotencyEntry::get(&*app.store, key)? else {
        return Ok(None);
    };
    if before.body != *body {
        return Err(Refused::KeyReused);
    }
    if ChannelSetup::get(&*app.store, before.made.as_bytes())?.is_none() {
        return Err(Refused::Gone);
    }
    known(app, &before.made).map(|entry| Some((*entry).clone()))
}

fn free_number(app: &Daemon) -> Result<ChannelNo, Refused> {
    let made = ChannelSetup::scan(&*app.store, &[], None, MOST)?;
    let highest = app.channels.all_known().last().map_or(0, |last| last.no.0);
    match highest.checked_add(1) {
        Some(free) if made.len() < MOST => Ok(ChannelNo(free)),
        _ => Err(Refused::TooMany),
    }
}
