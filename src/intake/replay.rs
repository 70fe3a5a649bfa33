//! Decodes a channel's deliveries once more as they are kept in the journal, by the connector of today: what it did not
//! understand then and does now comes in. Anything else is known, so that it can be broken off and repeated.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use deskbell_sdk::json::mended;
use deskbell_sdk::{Event, Time, Verified};
use tokio::task::spawn_blocking;

use super::{poll, webhook};
use crate::app::App;
use crate::channels::{OpenChannel, ReplayReport};
use crate::desk::replay::Replay;
use crate::id::QuarantineId;
use crate::store::entry::{Entry, QuarantineEntry};
use crate::store::{Found, RawDelivery, RawPlace};
use crate::writer::WriteError;

/// How many deliveries are read at once.
const AT_ONCE: usize = 1024;
/// How many entries of the quarantine are read at once; each holds up to 64 kB.
const ENTRIES_AT_ONCE: usize = 64;
/// How long to wait while the store takes no changes.
const WAIT: Duration = Duration::from_millis(200);

/// Begins to decode the deliveries of a channel again that came at or after `since`, and gives the report. Where that is
/// under way already, the report of it.
pub fn ask(app: &App, channel: &Arc<OpenChannel>, since: Option<Time>) -> ReplayReport {
    let report = {
        let mut status = channel.status();
        if let Some(running) = status.replay.as_ref().filter(|one| one.ended_at.is_none()) {
            return running.clone();
        }
        let report = ReplayReport::new(since, app.clock.now());
        status.replay = Some(report.clone());
        report
    };
    let (app, channel) = (Arc::clone(app), Arc::clone(channel));
    let mut replaying = Replaying {
        app,
        channel,
        report: report.clone(),
    };
    tokio::spawn(async move {
        if let Err(why) = replaying.run().await {
            tracing::warn!(channel = %replaying.channel.id, "replaying deliveries ended early: {why}");
            replaying.report.error = Some(why);
        }
        replaying.report.ended_at = Some(replaying.app.clock.now());
        replaying.tell();
    });
    report
}

struct Replaying {
    app: App,
    channel: Arc<OpenChannel>,
    report: ReplayReport,
}

/// What a delivery says of one channel.
#[derive(Default)]
struct Said {
    events: Vec<Event>,
    /// Nothing of it could be taken apart.
    is_closed: bool,
}

impl Replaying {
    fn tell(&self) {
        self.channel.status().replay = Some(self.report.clone());
    }

    async fn run(&mut self) -> Result<(), String> {
        let mut quarantined = self.quarantined().await?;
        let mut after = RawPlace::default();
        loop {
            let app = Arc::clone(&self.app);
            let reading = spawn_blocking(move || app.store.raws(after, AT_ONCE)).await;
            let read: Found<Vec<(RawPlace, RawDelivery)>> =
                reading.map_err(|_| "reading panicked".to_owned())?;
            let read = read.map_err(|error| error.to_string())?;
            let Some((last, _)) = read.last() else {
                return Ok(());
            };
            after = *last;
            for (_, raw) in read {
                if self.app.stopping.is_cancelled() {
                    return Err("the daemon was stopped; begin again".to_owned());
                }
                if self.channel.ended().is_cancelled() {
                    return Err("the channel was changed; begin again".to_owned());
                }
                self.delivery(&raw, &mut quarantined).await?;
            }
            self.tell();
        }
    }

    /// The channel's entries of the quarantine, by when they came.
    async fn quarantined(&self) -> Result<HashMap<Time, Vec<QuarantineId>>, String> {
        let (app, no) = (Arc::clone(&self.app), self.channel.no);
        let reading = spawn_blocking(move || {
            let mut by_time: HashMap<Time, Vec<QuarantineId>> = HashMap::new();
            let mut after: Option<Vec<u8>> = None;
            loop {
                let stretch =
                    QuarantineEntry::scan(&*app.store, &[], after.as_deref(), ENTRIES_AT_ONCE)?;
                let Some((key, _)) = stretch.last() else {
                    return Ok(by_time);
                };
                after = Some(key.clone());
                for (_, entry) in stretch.iter().filter(|(_, entry)| entry.channel == no) {
                    by_time.entry(entry.received_at).or_default().push(entry.id);
                }
            }
        });
        let read: Found<_> = reading.await.map_err(|_| "reading panicked".to_owned())?;
        read.map_err(|error| error.to_string())
    }

    async fn delivery(
        &mut self,
        raw: &RawDelivery,
        quarantined: &mut HashMap<Time, Vec<QuarantineId>>,
    ) -> Result<(), String> {
        if self
            .report
            .since
            .is_some_and(|since| raw.received_at < since)
        {
            return Ok(());
        }
        let siblings = self.app.channels.of_app(&self.channel);
        let Some(address) = siblings.into_iter().find(|one| one.no == raw.channel) else {
            return Ok(());
        };
        self.report.come_to = Some(raw.received_at);
        let Some(body) = raw.body().map(|body| Bytes::from(body.into_owned())) else {
            self.report.not_understood += 1;
            return Ok(());
        };
        let said = self.said(&address, &body).await;
        let is_ours = address.no == self.channel.no || !said.events.is_empty();
        self.report.deliveries += u64::from(is_ours);
        if said.is_closed {
            self.report.not_understood += u64::from(is_ours);
            return Ok(());
        }
        let mut understood = Vec::new();
        if let Some(ids) = quarantined.get_mut(&raw.received_at) {
            let text = mended(&body);
            let mut left = Vec::new();
            for id in ids.drain(..) {
                let entry = QuarantineEntry::get(&*self.app.store, &id.key());
                match entry.map_err(|error| error.to_string())? {
                    Some(entry) if is_understood(&entry.raw, &text, &said.events) => {
                        understood.push(id);
                    }
                    Some(_) => left.push(id),
                    None => {}
                }
            }
            *ids = left;
        }
        if said.events.is_empty() && understood.is_empty() {
            return Ok(());
        }
        let replay = Replay {
            channel: self.channel.no,
            events: said.events,
            received_at: raw.received_at,
            understood,
        };
        self.decide(replay).await
    }

    async fn decide(&mut self, replay: Replay) -> Result<(), String> {
        loop {
            match self.app.writer.write(replay.clone()).await {
                Ok(replayed) => {
                    self.report.new += replayed.new;
                    self.report.completed += replayed.completed;
                    self.report.changed += replayed.changed;
                    self.report.known += replayed.known;
                    self.report.not_understood += replayed.not_understood;
                    self.report.released += replayed.released;
                    return Ok(());
                }
                // The writer has said so in the log. What stands in quarantine stays there.
                Err(WriteError::Poison) => {
                    self.report.not_understood += 1;
                    return Ok(());
                }
                Err(WriteError::Stopping) => {
                    return Err("the daemon was stopped; begin again".to_owned());
                }
                Err(_) => tokio::time::sleep(WAIT).await,
            }
        }
    }

    /// Takes a delivery apart that came to `address`, as it would be today, and gives what is of this channel.
    async fn said(&self, address: &Arc<OpenChannel>, body: &Bytes) -> Said {
        if address.channel.webhook().is_some() {
            if let Some(events) = self.delivered(address, body.clone()).await {
                return Said {
                    events,
                    is_closed: false,
                };
            }
            // The channel was asked in former times: then each line is a delivery.
            if body.contains(&b'\n') && address.channel.poll().is_none() {
                let mut said = Said::default();
                for line in lines(body) {
                    match self.delivered(address, line).await {
                        Some(events) => said.events.extend(events),
                        None => said.is_closed = true,
                    }
                }
                return said;
            }
        }
        let is_asked = address.channel.poll().is_some() && address.no == self.channel.no;
        if !is_asked {
            return Said {
                events: Vec::new(),
                is_closed: true,
            };
        }
        let (channel, body) = (Arc::clone(address), body.clone());
        let decoding = spawn_blocking(move || {
            lines(&body)
                .iter()
                .flat_map(|line| poll::decoded(&channel, line))
                .collect()
        });
        match decoding.await {
            Ok(events) => Said {
                events,
                is_closed: false,
            },
            Err(_) => Said {
                events: Vec::new(),
                is_closed: true,
            },
        }
    }

    /// The events of this channel in what a platform delivered; `None` where it cannot be taken apart.
    async fn delivered(&self, address: &Arc<OpenChannel>, body: Bytes) -> Option<Vec<Event>> {
        let decoded = webhook::decode(&self.app, address, &Verified::kept(body)).await;
        let routed = webhook::route(&self.app, address, decoded.ok()?.ok()?);
        let ours = routed.events.into_iter();
        Some(
            ours.filter(|(no, _)| *no == self.channel.no)
                .map(|(_, event)| event)
                .collect(),
        )
    }
}

fn lines(body: &Bytes) -> Vec<Bytes> {
    let lines = body.split(|byte| *byte == b'\n');
    let lines = lines.filter(|line| !line.trim_ascii().is_empty());
    lines.map(|line| body.slice_ref(line)).collect()
}

/// Whether what stands in quarantine came with this delivery, and is understood now. The entry holds the beginning of
/// the part, or the whole delivery, or nothing where it stands for many.
fn is_understood(entry: &str, delivery: &str, events: &[Event]) -> bool {
    let came_with_it = delivery.contains(entry)
        || events
            .iter()
            .any(|event| serde_json::to_string(event).is_ok_and(|event| event == entry));
    let mut still_not = events.iter().filter_map(|event| match event {
        Event::Undecodable { raw, .. } => Some(raw),
        _ => None,
    });
    came_with_it && !still_not.any(|raw| raw.starts_with(entry) || entry.contains(raw.as_str()))
}
