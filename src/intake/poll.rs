//! Asking platforms for what is new: one task a channel that has to be asked.
//!
//! What a look brought and where the next one begins are made durable in one step, and only then the platform is asked
//! again: whatever ends the daemon in between, the same comes again, and what is known is not taken twice (P13).

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use deskbell_sdk::client::CallError;
use deskbell_sdk::health::{Finding, Standing};
use deskbell_sdk::poll::{Poll, Polled};
use deskbell_sdk::{Alert, Event, Time};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::webhook::{count, count_outcome, hear};
use crate::app::App;
use crate::channels::OpenChannel;
use crate::desk::Decision;
use crate::desk::access::TellHealth;
use crate::desk::arrivals::Arrivals;
use crate::http_client::{PlatformClient, waiting_client};
use crate::store::RawDelivery;
use crate::store::entry::{Entry, PollCursor, poll_key};
use crate::store::record::ChannelNo;
use crate::watch;
use crate::writer::WriteError;

/// How often the set of channels is looked at.
const LOOK_AT_CHANNELS: Duration = Duration::from_secs(2);
/// The longest answer to a look, in bytes: Telegram cuts its answers at about 4 MiB.
const MAX_ANSWER_BYTES: usize = 8 * 1024 * 1024;
/// What a look may take in all beyond the platform's own waiting, should the connector need several calls.
const LOOK_MARGIN: Duration = Duration::from_secs(90);
/// The first wait after a trouble, and the longest.
const FIRST_WAIT_MS: u64 = 1_000;
const LONGEST_WAIT_MS: u64 = 60_000;
/// How long a channel whose credentials are broken is left alone.
const CREDENTIALS_WAIT: Duration = Duration::from_secs(15);
/// How many troubles in a row make a channel broken: one or two are the weather.
const TROUBLES_TO_TELL: u32 = 3;
/// How old the durable time of the last look may become while nothing happens, in milliseconds.
const KEEP_LOOK_MS: i64 = 10 * 60 * 1000;
/// Above this many bytes updates are decoded where they hold up no other request.
const DECODE_ASIDE_BYTES: usize = 64 * 1024;

/// Asks for all channels that have to be asked, as long as the daemon runs. Channels may come and go; a task that ended
/// by a fault begins anew.
pub async fn channels(app: App) {
    let mut asked: Vec<Asked> = Vec::new();
    loop {
        let open: Vec<Arc<OpenChannel>> = app
            .channels
            .open()
            .iter()
            .filter(|channel| channel.channel.poll().is_some())
            .map(Arc::clone)
            .collect();
        asked.retain(|one| {
            let stays = open
                .iter()
                .any(|channel| Arc::ptr_eq(channel, &one.channel));
            if !stays {
                one.stop.cancel();
            }
            stays && !one.task.is_finished()
        });
        for channel in open {
            if !asked.iter().any(|one| Arc::ptr_eq(&one.channel, &channel)) {
                asked.push(Asked::begin(&app, channel));
            }
        }
        tokio::select! {
            () = app.stopping.cancelled() => return,
            () = tokio::time::sleep(LOOK_AT_CHANNELS) => {}
        }
    }
}

/// A channel that is being asked.
struct Asked {
    channel: Arc<OpenChannel>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Asked {
    fn begin(app: &App, channel: Arc<OpenChannel>) -> Self {
        let stop = app.stopping.child_token();
        let (asking, stopping) = (Arc::clone(&channel), stop.clone());
        let app = Arc::clone(app);
        let task = tokio::spawn(async move {
            let Some(poll) = asking.channel.poll() else {
                return;
            };
            let mut poller = Poller {
                app,
                channel: Arc::clone(&asking),
                stop: stopping,
                cursor: None,
                troubles: 0,
            };
            poller.run(poll).await;
        });
        Self {
            channel,
            stop,
            task,
        }
    }
}

/// Asks for one channel.
struct Poller {
    app: App,
    channel: Arc<OpenChannel>,
    stop: CancellationToken,
    /// Where it stands, as it is durable; its time may be older than the last look.
    cursor: Option<PollCursor>,
    /// How many looks in a row did not work.
    troubles: u32,
}

/// The daemon or the channel ends.
struct Stopped;

impl Poller {
    async fn run(&mut self, poll: &dyn Poll) {
        let key = poll_key(self.channel.no);
        self.cursor = loop {
            match PollCursor::get(&*self.app.store, &key) {
                Ok(cursor) => break cursor,
                // The store makes its tables again; nothing can be taken meanwhile.
                Err(error) => {
                    tracing::warn!(channel = %self.channel.id, %error, "where to go on asking cannot be read yet");
                }
            }
            if self.wait(Duration::from_secs(1)).await.is_err() {
                return;
            }
        };
        let http = match waiting_client(poll.longest_wait()) {
            Ok(client) => PlatformClient::new(client, self.channel.api_base())
                .with_answers_up_to(MAX_ANSWER_BYTES),
            Err(error) => {
                tracing::error!(channel = %self.channel.id, %error, "there is no HTTP client");
                // Whoever began this begins it anew.
                let _ = self.wait(Duration::from_secs(30)).await;
                return;
            }
        };
        loop {
            let wait = match self.look(poll, &http).await {
                Ok(wait) => wait,
                Err(Stopped) => return,
            };
            if let Some(wait) = wait
                && self.wait(wait).await.is_err()
            {
                return;
            }
        }
    }

    async fn wait(&self, wait: Duration) -> Result<(), Stopped> {
        tokio::select! {
            () = self.stop.cancelled() => Err(Stopped),
            () = tokio::time::sleep(wait) => Ok(()),
        }
    }

    /// Looks once and takes what came; says how long to wait before the next look.
    async fn look(
        &mut self,
        poll: &dyn Poll,
        http: &PlatformClient,
    ) -> Result<Option<Duration>, Stopped> {
        let since = self.cursor.as_ref().map(|cursor| cursor.next.clone());
        let looking = tokio::time::timeout(
            poll.longest_wait() + LOOK_MARGIN,
            poll.poll(http, since.as_deref()),
        );
        let looked = tokio::select! {
            () = self.stop.cancelled() => return Err(Stopped),
            looked = looking => looked,
        };
        let looked =
            looked.unwrap_or_else(|_| Err(CallError::retry("the platform did not answer in time")));
        let outcome = match &looked {
            Ok(_) => "worked",
            Err(CallError::Retry { .. }) => "retry",
            Err(CallError::Refused { .. }) => "refused",
            Err(CallError::Credentials { .. }) => "credentials",
        };
        let labels = [
            ("channel", self.channel.id.clone()),
            ("outcome", outcome.to_owned()),
        ];
        metrics::counter!("deskbell_poll_looks_total", &labels).increment(1);
        match looked {
            Ok(polled) => {
                let wait = polled.wait;
                self.take(poll, polled).await?;
                self.worked().await;
                Ok(wait)
            }
            Err(CallError::Retry { after, say }) => Ok(Some(self.failed(after, say, 1).await)),
            Err(CallError::Refused { say, .. }) => {
                Ok(Some(self.failed(None, say, TROUBLES_TO_TELL).await))
            }
            Err(CallError::Credentials { say }) => {
                watch::credentials_broken(&self.app, &self.channel, &say).await;
                Ok(Some(CREDENTIALS_WAIT))
            }
        }
    }

    async fn worked(&mut self) {
        if std::mem::take(&mut self.troubles) >= TROUBLES_TO_TELL {
            watch::found(&self.app, &self.channel, "poll", Vec::new()).await;
            tracing::info!(channel = %self.channel.id, "the platform can be asked for messages again");
        }
    }

    /// Notes a trouble, and says how long to wait: longer with each, and not in step with others who wait.
    async fn failed(&mut self, after: Option<Duration>, say: String, weight: u32) -> Duration {
        self.troubles = self.troubles.saturating_add(weight);
        if self.troubles >= TROUBLES_TO_TELL {
            let finding = Finding {
                what: "poll",
                standing: Standing::Broken,
                say: format!("Messages cannot be asked for: {say}"),
            };
            watch::found(&self.app, &self.channel, "poll", vec![finding]).await;
        } else {
            tracing::info!(channel = %self.channel.id, "asking for messages did not work and is tried again: {say}");
        }
        let longest = FIRST_WAIT_MS
            .saturating_mul(1 << (self.troubles - 1).min(10))
            .min(LONGEST_WAIT_MS);
        let chance = crate::secrets::random_seed() % (longest / 2 + 1);
        let own = Duration::from_millis(longest / 2 + chance);
        let most = deskbell_sdk::retry_after::LONGEST_WAIT;
        after.map_or(own, |after| after.min(most).max(own / 4))
    }

    /// Makes what came durable together with where the next look begins. Tried until it is.
    async fn take(&mut self, poll: &dyn Poll, polled: Polled) -> Result<(), Stopped> {
        let now = self.app.clock.now();
        self.channel.status().polled_at = Some(now);
        self.tell_gap(poll, now).await?;
        let moved = self
            .cursor
            .as_ref()
            .is_none_or(|cursor| cursor.next != polled.next);
        let is_old = self.cursor.as_ref().is_some_and(|cursor| {
            cursor.looked_at.plus_millis(KEEP_LOOK_MS) < now || cursor.looked_at > now
        });
        if polled.updates.is_empty() && !moved && !is_old {
            return Ok(());
        }
        let cursor = PollCursor {
            next: polled.next,
            looked_at: now,
        };
        let mut arrivals = Arrivals {
            events: Vec::new(),
            received_at: now,
            raw: None,
            cursor: Some(cursor.put(poll_key(self.channel.no))),
        };
        if !polled.updates.is_empty() {
            self.channel.status().last_event_at = Some(now);
            let number = u64::try_from(polled.updates.len()).unwrap_or(0);
            metrics::counter!("deskbell_poll_updates_total", "channel" => self.channel.id.clone())
                .increment(number);
            let lines = polled.updates.join(&b"\n"[..]);
            arrivals.raw = Some(RawDelivery::new(self.channel.no, now, lines));
            for event in self.decode(polled.updates).await {
                match event {
                    Event::Alert(alert) => self.hear(&alert, now).await?,
                    event => arrivals.events.push((self.channel.no, event)),
                }
            }
            count(&self.channel, &arrivals.events);
        }
        let outcome = match self.until_durable(&arrivals).await? {
            Ok(outcome) => outcome,
            Err(Poison) => {
                arrivals.events = self.without_poison(arrivals.events, now).await?;
                // What is left are kept texts and nothing that needs deciding.
                self.until_durable(&arrivals).await?.unwrap_or_default()
            }
        };
        count_outcome(&self.channel, &outcome);
        self.cursor = Some(cursor);
        Ok(())
    }

    /// Decodes each update alone: one that makes the decoder panic is kept as it came (F29).
    async fn decode(&self, updates: Vec<Bytes>) -> Vec<Event> {
        let channel = Arc::clone(&self.channel);
        let size: usize = updates.iter().map(Bytes::len).sum();
        let work = move || -> Vec<Event> {
            updates
                .iter()
                .flat_map(|update| decoded(&channel, update))
                .collect()
        };
        if size > DECODE_ASIDE_BYTES {
            tokio::task::spawn_blocking(work).await.unwrap_or_default()
        } else {
            work()
        }
    }

    /// Takes the events one by one, and gives back what could not be decided, as texts that are kept (F29). Each has an
    /// id by which it is known, so that nothing is taken twice should the daemon end in between.
    async fn without_poison(
        &self,
        events: Vec<(ChannelNo, Event)>,
        now: Time,
    ) -> Result<Vec<(ChannelNo, Event)>, Stopped> {
        let mut kept = Vec::new();
        for (no, event) in events {
            let raw = serde_json::to_string(&event).unwrap_or_default();
            let alone = Arrivals {
                events: vec![(no, event)],
                received_at: now,
                raw: None,
                cursor: None,
            };
            match self.until_durable(&alone).await? {
                Ok(outcome) => count_outcome(&self.channel, &outcome),
                Err(Poison) => kept.push((
                    no,
                    Event::Undecodable {
                        raw,
                        why: "It could not be decided. This is a fault of Deskbell's: please report it."
                            .to_owned(),
                    },
                )),
            }
        }
        Ok(kept)
    }

    async fn hear(&self, alert: &Alert, now: Time) -> Result<(), Stopped> {
        loop {
            match hear(&self.app, self.channel.no, alert, now).await {
                Ok(()) | Err(WriteError::Poison) => return Ok(()),
                Err(error) => self.not_durable(&error).await?,
            }
        }
    }

    /// Writes until it is durable; waits while the store cannot take it.
    async fn until_durable<D: Decision + Clone>(
        &self,
        decision: &D,
    ) -> Result<Result<D::Answer, Poison>, Stopped> {
        loop {
            match self.app.writer.write(decision.clone()).await {
                Ok(answer) => return Ok(Ok(answer)),
                Err(WriteError::Poison) => return Ok(Err(Poison)),
                Err(error) => self.not_durable(&error).await?,
            }
        }
    }

    async fn not_durable(&self, error: &WriteError) -> Result<(), Stopped> {
        if *error == WriteError::Stopping {
            return Err(Stopped);
        }
        tracing::debug!(channel = %self.channel.id, %error, "what came cannot be kept yet");
        self.wait(Duration::from_millis(200)).await
    }

    /// Where nobody asked for longer than the platform keeps messages, some may be gone for good: people have to know.
    async fn tell_gap(&self, poll: &dyn Poll, now: Time) -> Result<(), Stopped> {
        let (Some(cursor), Some(kept)) = (&self.cursor, poll.keeps_for()) else {
            return Ok(());
        };
        let kept_ms = i64::try_from(kept.as_millis()).unwrap_or(i64::MAX);
        if cursor.looked_at.plus_millis(kept_ms) >= now {
            return Ok(());
        }
        let detail = format!(
            "{} was last asked for messages {}. It keeps them for {} hours: what came before that and was not fetched is \
             gone there. Look into the chats themselves.",
            self.channel.kind.title,
            cursor.looked_at,
            kept.as_secs() / 3600,
        );
        tracing::warn!(channel = %self.channel.id, "{detail}");
        self.channel.status().last_alert = Some((now, detail.clone()));
        let tell = TellHealth {
            channel: self.channel.no,
            healthy: self.channel.is_healthy(),
            detail,
        };
        // The answer says nothing; a decision that cannot fail to be decided is not poison.
        self.until_durable(&tell).await.map(|_| ())
    }
}

/// Deciding it failed in a way that trying again does not mend.
struct Poison;

/// The events of one update.
pub(super) fn decoded(channel: &OpenChannel, update: &Bytes) -> Vec<Event> {
    let decoding = || {
        let poll = channel.channel.poll();
        poll.map(|poll| poll.decode(update)).unwrap_or_default()
    };
    match catch_unwind(AssertUnwindSafe(decoding)) {
        Ok(events) => events.into_iter().map(|inbound| inbound.event).collect(),
        Err(_) => {
            tracing::error!(channel = %channel.id, "decoding an update panicked; it is kept for the operator");
            metrics::counter!("deskbell_poison_total").increment(1);
            vec![Event::Undecodable {
                raw: String::from_utf8_lossy(update).into_owned(),
                why: "Its decoding failed. This is a fault of Deskbell's: please report it."
                    .to_owned(),
            }]
        }
    }
}

#[cfg(test)]
mod tests;
