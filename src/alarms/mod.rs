//! The bell watches itself and the channels: what is wrong rings people and is no line in a log.
//!
//! What is wrong is looked for again and again; an alarm stands as long as it is found. What is to be remembered for that,
//! when something usually comes in each channel, follows the log.

mod causes;
mod heartbeat;
#[cfg(test)]
mod proofs;
mod reach;
mod rhythm;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_of_reach;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use deskbell_sdk::Time;

use crate::app::{App, Daemon};
use crate::desk::Decision;
use crate::desk::alarms::{End, Raise};
use crate::desk::bell::EVERYBODY;
use crate::id::{ConversationId, RingId};
use crate::store::change::EventBody;
use crate::store::draft::Draft;
use crate::store::entry::{AlarmEntry, Entry, OpenRing, RhythmEntry, RingEntry};
use crate::store::record::ChannelNo;
use crate::store::{Found, Store};

pub use causes::{Cause, Looked};
pub use heartbeat::run as heartbeat;
use reach::Reach;

/// How often it is looked whether something is wrong.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// How often what was learned is kept.
const KEEP_EVERY: Duration = Duration::from_secs(10 * 60);
/// How many are read at once.
const BATCH: usize = 512;

/// What is kept in memory between two looks.
#[derive(Debug, Default)]
struct Seen {
    /// The rings of conversations that sound: their channel and step.
    ringing: HashMap<ConversationId, (RingId, ChannelNo, u32)>,
    /// When something comes in each channel, and whether that is newer than what is kept.
    rhythms: BTreeMap<ChannelNo, (RhythmEntry, bool)>,
    /// Up to where the log was read.
    position: u64,
    looked: Looked,
    reach: Reach,
}

/// Looks after everything until the daemon stops. Of a restored desk only once somebody says so.
pub async fn run(app: App) {
    tokio::select! {
        () = app.stopping.cancelled() => return,
        () = app.held.released() => {}
    }
    let mut seen = loop {
        let beginning = Arc::clone(&app);
        match tokio::task::spawn_blocking(move || begin(&beginning)).await {
            Ok(Ok(seen)) => break seen,
            Ok(Err(error)) => {
                tracing::error!(%error, "the alarms cannot be read; it is tried again")
            }
            Err(error) => tracing::error!(%error, "reading the alarms failed; it is tried again"),
        }
        tokio::time::sleep(LOOK_EVERY).await;
    };
    let mut head = app.writer.head();
    let mut kept_at = tokio::time::Instant::now();
    let mut look_at = kept_at;
    loop {
        let looking = Arc::clone(&app);
        let is_due = tokio::time::Instant::now() >= look_at;
        let looked = tokio::task::spawn_blocking(move || {
            let wanted = follow(&looking, &mut seen).and_then(|rang| {
                if is_due {
                    seen.reach.look(&looking, looking.clock.now())?;
                }
                (is_due || rang)
                    .then(|| wanted(&looking, &mut seen))
                    .transpose()
            });
            (seen, wanted)
        });
        let wanted = match looked.await {
            Ok((back, wanted)) => {
                seen = back;
                wanted
            }
            Err(error) => {
                tracing::error!(%error, "looking for what is wrong failed; it begins anew");
                seen = Seen::default();
                Ok(None)
            }
        };
        match wanted {
            Ok(Some(wanted)) => settle(&app, wanted).await,
            Ok(None) => {}
            Err(error) => {
                tracing::error!(%error, "what is wrong cannot be looked for; it is tried again");
            }
        }
        if is_due {
            look_at = tokio::time::Instant::now() + LOOK_EVERY;
        }
        if kept_at.elapsed() >= KEEP_EVERY {
            keep(&app, &mut seen).await;
            kept_at = tokio::time::Instant::now();
        }
        tokio::select! {
            () = app.stopping.cancelled() => return,
            () = tokio::time::sleep_until(look_at) => {}
            changed = head.changed() => {
                if changed.is_err() {
                    return;
                }
                // What comes together is read together.
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
        head.borrow_and_update();
    }
}

/// What there is to know at the start.
fn begin(app: &Daemon) -> Found<Seen> {
    let store = &*app.store;
    let mut seen = Seen {
        // Before the rings are read: what happens meanwhile is read again.
        position: store.head(),
        ..Seen::default()
    };
    let mut after: Option<Vec<u8>> = None;
    loop {
        let rows = OpenRing::scan(store, &[], after.as_deref(), BATCH)?;
        for (key, _) in &rows {
            let Ok(id) = key.as_slice().try_into().map(u64::from_be_bytes) else {
                continue;
            };
            if let Some(ring) = RingEntry::get(store, &RingEntry::key(RingId(id)))? {
                seen.ring(&ring);
            }
        }
        match rows.last() {
            Some((key, _)) if rows.len() == BATCH => after = Some(key.clone()),
            _ => break,
        }
    }
    for (key, rhythm) in RhythmEntry::scan(store, &[], None, BATCH)? {
        if let Ok(no) = key.as_slice().try_into() {
            let no = ChannelNo(u16::from_be_bytes(no));
            seen.rhythms.insert(no, (rhythm, false));
        }
    }
    // What was learned may be older than the rings, and never newer.
    let learned = seen.rhythms.values().map(|(rhythm, _)| rhythm.position);
    let learned = learned.min().unwrap_or_default();
    seen.position = seen.position.min(learned);
    Ok(seen)
}

/// Reads the log on. Says whether something rings whose channel may have nobody.
fn follow(app: &Daemon, seen: &mut Seen) -> Found<bool> {
    let store = &*app.store;
    let mut rang = false;
    loop {
        let events = match store.events(seen.position, BATCH) {
            Ok(events) => events,
            // What is so old is not in the log any more.
            Err(_) if seen.position + 1 < store.oldest() => {
                seen.position = store.oldest().saturating_sub(1);
                continue;
            }
            Err(error) => return Err(error),
        };
        let Some(last) = events.last() else {
            return Ok(rang);
        };
        seen.position = last.seq;
        for event in &events {
            // An answer, or whatever else ends a ring, tells it by the conversation.
            if let Some(conversation) = event.body.conversation()
                && conversation.ring.is_none()
                && let Some((ring, channel, _)) = seen.ringing.remove(&conversation.id)
            {
                seen.reach.over(channel, ring);
            }
            match &event.body {
                EventBody::BellRung { ring } | EventBody::BellAcknowledged { ring } => {
                    seen.ring(ring);
                    rang |= ring.sounds();
                }
                EventBody::MessageCreated { message, .. } if message.is_from_customer() => {
                    let (rhythm, is_new) = seen.rhythms.entry(message.channel).or_default();
                    if event.seq > rhythm.position && rhythm::is_live(message.sent_at, event.at) {
                        rhythm::count(rhythm, event.at);
                        *is_new = true;
                    }
                }
                _ => {}
            }
        }
    }
}

impl Seen {
    fn ring(&mut self, ring: &RingEntry) {
        let (Some(channel), Some(conversation)) = (ring.channel, ring.conversation) else {
            return;
        };
        self.reach.ring(channel, ring);
        if ring.sounds() {
            let known = (ring.id, channel, ring.step);
            self.ringing.insert(conversation, known);
        } else if self
            .ringing
            .get(&conversation)
            .is_some_and(|(id, ..)| *id == ring.id)
        {
            self.ringing.remove(&conversation);
        }
    }

    /// How far the rings of a channel have climbed that still sound, up to the step at which everybody is told.
    fn highest_step(&self, store: &dyn Store, channel: ChannelNo) -> Found<u32> {
        let mut highest = 0;
        for (id, of, step) in self.ringing.values() {
            if *of == channel && *step > highest {
                // An answer that is on its way silences it without an event of the bell.
                let ring = RingEntry::get(store, &RingEntry::key(*id))?;
                if ring.is_some_and(|ring| ring.sounds()) {
                    highest = *step;
                }
            }
            if highest >= EVERYBODY {
                break;
            }
        }
        Ok(highest)
    }
}

/// Everything that is wrong now.
fn wanted(app: &Daemon, seen: &mut Seen) -> Found<Vec<Cause>> {
    let now = app.clock.now();
    let mut wrong = Vec::new();
    for entry in app.channels.all_known() {
        let people = crate::duty::people(app, entry.no, now)?;
        if let Some(missing) = crate::desk::bell::missing(&people) {
            let step = seen.highest_step(&*app.store, entry.no)?;
            wrong.extend(causes::nobody(&entry, missing, step));
        } else {
            // That nobody is there says already why nothing shows it.
            wrong.extend(seen.reach.unshown(app, &entry, now)?);
        }
    }
    for open in app.channels.open() {
        wrong.extend(causes::of_channel(&open));
        if let Some((rhythm, _)) = seen.rhythms.get_mut(&open.no) {
            rhythm::advance(rhythm, now);
            let since = rhythm::silent_since(rhythm, now);
            wrong.extend(since.map(|since| causes::silence(&open, since)));
        }
    }
    wrong.extend(causes::closed_channels(app));
    wrong.extend(seen.looked.of_the_desk(app, now));
    wrong.extend(seen.reach.found());
    Ok(wrong)
}

/// Raises what is wrong and ends what is so no longer.
async fn settle(app: &App, wrong: Vec<Cause>) {
    let known = match standing(&*app.store) {
        Ok(known) => known,
        Err(error) => {
            tracing::error!(%error, "the alarms cannot be read; it is tried again");
            return;
        }
    };
    metrics::gauge!("deskbell_alarms").set(u32::try_from(wrong.len()).map_or(f64::MAX, f64::from));
    let steps = crate::bell::steps(app);
    let causes: HashSet<String> = wrong.iter().map(|one| one.alarm.cause.clone()).collect();
    for cause in wrong {
        if !known.contains(&cause.alarm.cause) {
            tracing::warn!("{}: {}", cause.alarm.title, cause.alarm.detail);
        }
        let raise = Raise {
            alarm: cause.alarm,
            channel: cause.channel,
            steps: steps.clone(),
        };
        if let Err(error) = app.writer.write(raise).await {
            tracing::warn!(%error, "an alarm could not be raised; it is tried again");
            return;
        }
    }
    for cause in known.difference(&causes) {
        // Others raise theirs, and end them.
        if !causes::is_ours(cause) {
            continue;
        }
        let cause = cause.clone();
        if let Err(error) = app.writer.write(End { cause }).await {
            tracing::warn!(%error, "an alarm could not be ended; it is tried again");
            return;
        }
    }
}

/// The causes of the alarms that stand.
fn standing(store: &dyn Store) -> Found<HashSet<String>> {
    let mut known = HashSet::new();
    let mut after: Option<Vec<u8>> = None;
    loop {
        let rows = AlarmEntry::scan(store, &[], after.as_deref(), BATCH)?;
        let texts = rows.iter().map(|(key, _)| String::from_utf8_lossy(key));
        known.extend(texts.map(std::borrow::Cow::into_owned));
        match rows.last() {
            Some((key, _)) if rows.len() == BATCH => after = Some(key.clone()),
            _ => return Ok(known),
        }
    }
}

/// Keeps what was learned.
struct KeepRhythms(Vec<(ChannelNo, RhythmEntry)>);

impl Decision for KeepRhythms {
    type Answer = ();

    fn decide(&self, draft: &mut Draft<'_>) -> Found<()> {
        for (channel, rhythm) in &self.0 {
            draft.put(rhythm.put(channel.0.to_be_bytes().to_vec()));
        }
        Ok(())
    }

    fn weight(&self) -> usize {
        1024 + 2048 * self.0.len()
    }
}

async fn keep(app: &App, seen: &mut Seen) {
    let mut new = Vec::new();
    let mut is_any_new = false;
    for (channel, (rhythm, is_new)) in &mut seen.rhythms {
        rhythm.position = seen.position;
        is_any_new |= std::mem::take(is_new);
        // All of them, so that a start reads the log on from here for each.
        new.push((*channel, rhythm.clone()));
    }
    if is_any_new && let Err(error) = app.writer.write(KeepRhythms(new)).await {
        tracing::warn!(%error, "what was learned of the channels could not be kept");
    }
}

/// When a time was, in words that do not change with every look.
fn minute(at: Time) -> Time {
    Time::from_millis(at.as_millis().div_euclid(60_000) * 60_000)
}
