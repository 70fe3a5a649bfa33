//! Erases people: from what is read at once, and then from everything that was ever written of them.
//!
//! The rules are in [`crate::desk::erasure`]. Here are the steps in their order, which a crash may cut anywhere: what is
//! still to be done stands in the store, and for the last step, in which it must not stand there any more, in a file of
//! its own in `erasing/`. The list `erased.jsonl` beside it outlives the store: a backup that is restored where the list
//! lies learns from it whom to erase again.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use deskbell_sdk::Time;
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;

use crate::app::{App, Daemon};
use crate::desk::audit::{Audited, Told};
use crate::desk::erasure::{
    BeginErasure, EraseAuthored, EraseEntries, EraseSome, ErasureKey, FinishErasure,
    RememberErased, names_person,
};
use crate::id::{ContactId, MessageId};
use crate::store::entry::{Actor, Entry, ErasedIds, ErasedPerson, ErasureEntry, external_key};
use crate::store::record::ChannelNo;
use crate::store::{Found, Needle, Scope, Store, Table};
use crate::watch::files_in_use;
use crate::writer::WriteError;

/// The list of whom was erased, in the data directory.
const LIST: &str = "erased.jsonl";
/// The folder of those whose erasure is in its last step.
const FOLDER: &str = "erasing";
/// How many entries or messages are looked at together.
const STRETCH: usize = 500;
/// How long a file that was kept lately is left alone, since it may be about to be named.
const FILES_AGAIN: Duration = Duration::from_secs(10);
/// After how long something that failed is tried again.
const AGAIN: Duration = Duration::from_secs(60);
/// The side tables in which people may be named.
const NAMING: [Table; 10] = [
    Table::Visits,
    Table::ReadPositions,
    Table::Unsent,
    Table::AutoAnswered,
    Table::Fetches,
    Table::Lookups,
    Table::MergedContacts,
    Table::WaitingChanges,
    Table::Quarantine,
    Table::HookDeliveries,
];

/// A line of the list: nobody can read from it who it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct ListLine {
    /// A keyed hash of the person's or the thread's id at the platform.
    hash: String,
    /// What was written up to this time was erased.
    at: Time,
}

/// What the last step needs to know of a person, while the store knows nothing of them any more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct LastStep {
    ids: Vec<u64>,
    names: Vec<(ChannelNo, String)>,
    files: Vec<String>,
}

impl LastStep {
    fn needles(&self) -> Vec<Needle> {
        let ids = self.ids.iter().map(|id| Needle::Id(*id));
        let names = self.names.iter().flat_map(|(channel, name)| {
            let hash = external_key(*channel, name).split_off(2);
            [Needle::Text(name.clone()), Needle::Bytes(hash)]
        });
        ids.chain(names).collect()
    }
}

/// Erases a contact from everything that is read; what remains of them in files goes in the background. `false` where
/// there is no such contact.
///
/// # Errors
/// Where the store does not take it; what was begun goes on by itself then.
pub async fn erase(app: &App, contact: ContactId, by: Actor) -> Result<bool, WriteError> {
    let begin = BeginErasure {
        contact,
        until: None,
    };
    // How much, and not who: what is written there stays for ever.
    let begin = Audited::by_answer(begin, by, |begun: &Option<ErasureEntry>| {
        let begun = begun.as_ref()?;
        let told = Told::of("contact.erased").with("identities", begun.identities.len());
        Some(told.with("conversations", begun.threads.len()))
    });
    if app.writer.write(begin).await?.is_none() {
        return Ok(false);
    }
    while app.writer.write(EraseSome { contact }).await? {}
    app.erasures.notify_one();
    Ok(true)
}

/// Carries on what was begun, at the start and whenever somebody is erased.
pub async fn run(app: App) {
    loop {
        let failed = match go_on(&app).await {
            Ok(()) => false,
            Err(error) => {
                tracing::error!("an erasure could not be completed and is tried again: {error:#}");
                true
            }
        };
        tokio::select! {
            () = app.stopping.cancelled() => return,
            () = app.erasures.notified() => {}
            () = tokio::time::sleep(AGAIN), if failed => {}
        }
    }
}

async fn go_on(app: &App) -> Result<()> {
    follow_list(app).await?;
    let begun = blocking(app, |app| {
        Ok(ErasureEntry::scan(
            &*app.store,
            ErasureEntry::PREFIX,
            None,
            usize::MAX,
        )?)
    });
    let begun = begun.await?;
    for (_, erasure) in begun {
        note_down(app).await?;
        let contact = erasure.contact;
        while app.writer.write(EraseSome { contact }).await? {}
        take_rest(app, contact).await?;
        let last = blocking(app, move |app| keep_last_step(app, contact)).await?;
        app.writer.write(FinishErasure { contact }).await?;
        tracing::info!(
            ids = last.ids.len(),
            "a person was erased; what files hold of them is next"
        );
    }
    let last_steps = blocking(app, |app| last_steps(&folder(app))).await?;
    for (path, last) in last_steps {
        app.search.forget(last.ids.clone()).await?;
        remove_files(app, last.files.clone()).await?;
        let forgotten = blocking(app, move |app| Ok(app.store.forget(&last.needles())?)).await?;
        fs::remove_file(&path).context("a finished erasure cannot be removed")?;
        tracing::info!(
            steps = forgotten.steps,
            "nothing of the person is in any file any more"
        );
    }
    Ok(())
}

async fn blocking<T: Send + 'static>(
    app: &App,
    work: impl FnOnce(&Daemon) -> Result<T> + Send + 'static,
) -> Result<T> {
    let app = Arc::clone(app);
    spawn_blocking(move || work(&app))
        .await
        .context("an erasure panicked")?
}

fn folder(app: &Daemon) -> PathBuf {
    app.config.data_dir.join(FOLDER)
}

/// Takes what names the person outside of their own conversations.
async fn take_rest(app: &App, contact: ContactId) -> Result<()> {
    let entries = blocking(app, move |app| naming_entries(&*app.store, contact)).await?;
    for found in entries.chunks(STRETCH) {
        let found = found.to_vec();
        app.writer.write(EraseEntries { found }).await?;
    }
    let authored = blocking(app, move |app| authored(&*app.store, contact)).await?;
    for messages in authored.chunks(STRETCH) {
        let messages = messages.to_vec();
        app.writer
            .write(EraseAuthored { contact, messages })
            .await?;
    }
    Ok(())
}

fn erasure(store: &dyn Store, contact: ContactId) -> Found<Option<(ErasureEntry, Vec<ErasedIds>)>> {
    let Some(entry) = ErasureEntry::get(store, &ErasureEntry::key(contact))? else {
        return Ok(None);
    };
    let steps = (0..entry.steps)
        .filter_map(|step| {
            ErasedIds::get(store, &ErasureEntry::step_key(contact, step)).transpose()
        })
        .collect::<Found<Vec<_>>>()?;
    Ok(Some((entry, steps)))
}

fn naming_entries(store: &dyn Store, contact: ContactId) -> Result<Vec<(Table, Vec<u8>)>> {
    let Some((erasure, steps)) = erasure(store, contact)? else {
        return Ok(Vec::new());
    };
    let messages: HashSet<MessageId> = steps
        .iter()
        .flat_map(|step| step.messages.clone())
        .collect();
    let mut found = Vec::new();
    for table in NAMING {
        let mut after: Option<Vec<u8>> = None;
        loop {
            let stretch = store.scan(table, &[], after.as_deref(), STRETCH)?;
            let Some((last, _)) = stretch.last() else {
                break;
            };
            after = Some(last.clone());
            for (key, value) in stretch {
                if names_person(&erasure, &messages, table, &key, &value)? {
                    found.push((table, key));
                }
            }
        }
    }
    Ok(found)
}

/// The messages in conversations of others that the person wrote or reacted to.
fn authored(store: &dyn Store, contact: ContactId) -> Result<Vec<(ChannelNo, MessageId)>> {
    let Some((erasure, _)) = erasure(store, contact)? else {
        return Ok(Vec::new());
    };
    let channels = erasure.identities.iter().map(|identity| identity.channel);
    let scope = Scope::of_channels(channels);
    let mut found = Vec::new();
    let mut after = MessageId(0);
    loop {
        let stretch = store.messages_after(&scope, after, STRETCH)?;
        let Some(last) = stretch.last() else {
            return Ok(found);
        };
        after = last.id;
        let named = stretch.iter().filter(|message| {
            let reactions = &message.changes.reactions;
            erasure.is_author(&message.author)
                || reactions
                    .iter()
                    .any(|reaction| erasure.reacted(message.channel, reaction))
        });
        found.extend(named.map(|message| (message.channel, message.id)));
    }
}

/// Writes down what the last step needs, durably, before the store forgets it.
fn keep_last_step(app: &Daemon, contact: ContactId) -> Result<LastStep> {
    let Some((erasure, steps)) = erasure(&*app.store, contact)? else {
        return Ok(LastStep::default());
    };
    let mut last = LastStep {
        ids: vec![contact.0],
        names: Vec::new(),
        files: erasure.content.clone(),
    };
    last.ids
        .extend(erasure.threads.iter().map(|(_, _, id)| id.0));
    last.names.extend(
        erasure
            .ids()
            .map(|(channel, name)| (channel, name.to_owned())),
    );
    for step in steps {
        last.ids.extend(step.messages.iter().map(|id| id.0));
        last.ids.extend(step.attachments.iter().map(|id| id.0));
        last.files.extend(step.content);
    }
    last.files.sort();
    last.files.dedup();
    let folder = folder(app);
    fs::create_dir_all(&folder).context("the folder of erasures cannot be made")?;
    let path = folder.join(format!("{contact}.json"));
    let half = path.with_extension("half");
    let write = || -> std::io::Result<()> {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&half)?;
        file.write_all(&serde_json::to_vec(&last)?)?;
        file.sync_all()?;
        fs::rename(&half, &path)?;
        File::open(&folder)?.sync_all()
    };
    write().context("an erasure cannot be written down")?;
    Ok(last)
}

fn last_steps(folder: &Path) -> Result<Vec<(PathBuf, LastStep)>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).context("the folder of erasures cannot be read"),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry
            .context("the folder of erasures cannot be read")?
            .path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let bytes = fs::read(&path).context("an erasure cannot be read")?;
        let last = serde_json::from_slice(&bytes).context("an erasure cannot be understood")?;
        found.push((path, last));
    }
    Ok(found)
}

/// Removes files that nothing else uses.
async fn remove_files(app: &App, files: Vec<String>) -> Result<()> {
    let mut files = files;
    loop {
        let wanted = files;
        files = blocking(app, move |app| {
            app.blobs
                .remove_unnamed(&wanted, || files_in_use(&*app.store))
        })
        .await?;
        if files.is_empty() {
            return Ok(());
        }
        tokio::select! {
            () = app.stopping.cancelled() => anyhow::bail!("the daemon stops"),
            () = tokio::time::sleep(FILES_AGAIN) => {}
        }
    }
}

/// Adds to the list who is in the store and not in the list.
async fn note_down(app: &App) -> Result<()> {
    blocking(app, |app| {
        let path = app.config.data_dir.join(LIST);
        let listed: HashSet<_> = read_list(&path)?
            .into_iter()
            .map(|line| (line.hash, line.at))
            .collect();
        let mut text = String::new();
        for (key, erased) in ErasedPerson::scan(&*app.store, &[], None, usize::MAX)? {
            let hash = String::from_utf8_lossy(&key).into_owned();
            if !listed.contains(&(hash.clone(), erased.at)) {
                let line = ListLine {
                    hash,
                    at: erased.at,
                };
                text.push_str(&serde_json::to_string(&line)?);
                text.push('\n');
            }
        }
        if text.is_empty() {
            return Ok(());
        }
        let append = || -> std::io::Result<()> {
            let mut file = fs::OpenOptions::new()
                .append(true)
                .create(true)
                .mode(0o600)
                .open(&path)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            File::open(&app.config.data_dir)?.sync_all()
        };
        append().context("the list of erasures cannot be written")
    })
    .await
}

/// What the list holds. A last line that was cut is passed over: it is written again.
fn read_list(path: &Path) -> Result<Vec<ListLine>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).context("the list of erasures cannot be read"),
    };
    let mut lines = Vec::new();
    for line in BufReader::new(file).lines() {
        let line = line.context("the list of erasures cannot be read")?;
        if let Ok(line) = serde_json::from_str(&line) {
            lines.push(line);
        }
    }
    Ok(lines)
}

/// Erases who is on the list and not erased here: the store was restored from a backup that is older.
async fn follow_list(app: &App) -> Result<()> {
    let (contacts, unknown) = blocking(app, |app| {
        let mut missing = Vec::new();
        for line in read_list(&app.config.data_dir.join(LIST))? {
            let known = ErasedPerson::get(&*app.store, line.hash.as_bytes())?;
            if known.is_none_or(|known| known.at < line.at) {
                missing.push(line);
            }
        }
        let contacts = contacts_behind(app, &missing)?;
        let unknown: Vec<_> = missing
            .into_iter()
            .map(|line| (line.hash, line.at))
            .collect();
        Ok((contacts, unknown))
    })
    .await?;
    for (contact, until) in contacts {
        let begin = BeginErasure {
            contact,
            until: Some(until),
        };
        app.writer.write(begin).await?;
    }
    if !unknown.is_empty() {
        tracing::warn!(
            ids = unknown.len(),
            "the store is older than the list of erasures: those people are erased again"
        );
        app.writer.write(RememberErased { erased: unknown }).await?;
    }
    Ok(())
}

/// The contacts of whom lines of the list tell.
fn contacts_behind(app: &Daemon, lines: &[ListLine]) -> Result<Vec<(ContactId, Time)>> {
    let (Some(key), false) = (ErasureKey::of(&*app.store)?, lines.is_empty()) else {
        return Ok(Vec::new());
    };
    let whole = Scope::whole_desk();
    let mut found = Vec::new();
    let mut before = None;
    loop {
        let stretch = app.store.contacts(&whole, before, STRETCH)?;
        let Some(last) = stretch.last() else {
            return Ok(found);
        };
        before = Some(last.id);
        for contact in stretch {
            let hashes: Vec<_> = contact
                .identities
                .iter()
                .map(|identity| key.hash(identity.channel, &identity.external_id))
                .collect();
            let line = lines
                .iter()
                .filter(|line| hashes.contains(&line.hash) && contact.created_at <= line.at)
                .max_by_key(|line| line.at);
            found.extend(line.map(|line| (contact.id, line.at)));
        }
    }
}
