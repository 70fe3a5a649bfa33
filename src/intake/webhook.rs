//! A delivery of a platform, from the bytes to the durable step.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use axum::body::Bytes;
use deskbell_sdk::json::mended;
use deskbell_sdk::webhook::{Malformed, Rejected, Request, Verified};
use deskbell_sdk::{Alert, Event, Inbound, Time};

use crate::app::App;
use crate::channels::OpenChannel;
use crate::desk::access::{Quarantine, TellHealth};
use crate::desk::arrivals::{Arrivals, Outcome};
use crate::store::RawDelivery;
use crate::store::record::ChannelNo;
use crate::writer::WriteError;

/// Above this many bytes a body is decoded where it holds up no other request.
const DECODE_ASIDE_BYTES: usize = 64 * 1024;

/// Why a delivery was not taken.
#[derive(Debug)]
pub enum Refused {
    /// Nobody who holds a secret of the app sent it.
    Unproven(Rejected),
    /// It is not in the platform's format.
    Malformed(Malformed),
    /// It could not be made durable: the platform has to send it again.
    NotDurable(WriteError),
}

/// Takes a delivery that came to `channel`'s address. When it returns `Ok`, every message of it is durable.
pub async fn take(
    app: &App,
    channel: &Arc<OpenChannel>,
    request: &Request<'_>,
) -> Result<Outcome, Refused> {
    let received_at = app.clock.now();
    let verified = verify(app, channel, request).map_err(|rejected| {
        let mut status = channel.status();
        status.last_rejected_at = Some(received_at);
        status.rejected += 1;
        Refused::Unproven(rejected)
    })?;
    // Where too much waits already, nothing is spent on more of it.
    if !app.writer.has_room(verified.body().len()) {
        return Err(Refused::NotDurable(WriteError::Busy));
    }
    let events = match decode(app, channel, &verified).await {
        Ok(Ok(events)) => events,
        Ok(Err(malformed)) => return Err(Refused::Malformed(malformed)),
        Err(Panicked) => {
            return quarantine_whole(app, channel, &verified, received_at, "its decoding failed")
                .await;
        }
    };
    channel.status().last_event_at = Some(received_at);
    let Routed {
        events,
        alerts,
        foreign,
    } = route(app, channel, events);
    if foreign > 0 {
        metrics::counter!("deskbell_foreign_events_total", "channel" => channel.id.clone())
            .increment(foreign);
    }
    for (no, alert) in &alerts {
        hear(app, *no, alert, received_at)
            .await
            .map_err(Refused::NotDurable)?;
    }
    if events.is_empty() {
        return Ok(Outcome::default());
    }
    let raw = RawDelivery::new(channel.no, received_at, verified.body().to_vec());
    count(channel, &events);
    let arrivals = Arrivals {
        events,
        received_at,
        raw: Some(raw),
        cursor: None,
    };
    match app.writer.write(arrivals).await {
        Ok(outcome) => {
            count_outcome(channel, &outcome);
            Ok(outcome)
        }
        Err(WriteError::Poison) => {
            quarantine_whole(
                app,
                channel,
                &verified,
                received_at,
                "it could not be decided",
            )
            .await
        }
        Err(error) => {
            channel.status().last_unstored_at = Some(received_at);
            Err(Refused::NotDurable(error))
        }
    }
}

/// Any secret of the app proves a delivery, since the platform has one address for all its channels.
fn verify(
    app: &App,
    channel: &Arc<OpenChannel>,
    request: &Request<'_>,
) -> Result<Verified, Rejected> {
    let mut last = Rejected::Missing;
    for sibling in app.channels.of_app(channel) {
        let Some(webhook) = sibling.channel.webhook() else {
            continue;
        };
        match webhook.verify(request) {
            Ok(verified) => return Ok(verified),
            Err(rejected) => last = rejected,
        }
    }
    Err(last)
}

pub(super) struct Panicked;

/// Decodes by one channel of each kind of the app: what is addressed to another kind is nothing to the first.
pub(super) async fn decode(
    app: &App,
    channel: &Arc<OpenChannel>,
    verified: &Verified,
) -> Result<Result<Vec<(&'static str, Inbound)>, Malformed>, Panicked> {
    let mut decoders: Vec<Arc<OpenChannel>> = Vec::new();
    for sibling in app.channels.of_app(channel) {
        if decoders
            .iter()
            .all(|decoder| decoder.kind.id != sibling.kind.id)
        {
            decoders.push(sibling);
        }
    }
    let delivery = verified.clone();
    let work = move || {
        let mut all = Vec::new();
        for decoder in decoders {
            let Some(webhook) = decoder.channel.webhook() else {
                continue;
            };
            all.extend(
                webhook
                    .decode(&delivery)?
                    .into_iter()
                    .map(|inbound| (decoder.kind.id, inbound)),
            );
        }
        Ok(all)
    };
    let guarded = move || catch_unwind(AssertUnwindSafe(work)).map_err(|_| Panicked);
    let result = if verified.body().len() > DECODE_ASIDE_BYTES {
        tokio::task::spawn_blocking(guarded)
            .await
            .unwrap_or(Err(Panicked))
    } else {
        guarded()
    };
    if result.is_err() {
        tracing::error!(channel = %channel.id, "decoding a delivery panicked; it is kept for the operator");
        metrics::counter!("deskbell_poison_total").increment(1);
    }
    result
}

/// The events of a delivery, each with its channel.
#[derive(Default)]
pub(super) struct Routed {
    pub(super) events: Vec<(ChannelNo, Event)>,
    alerts: Vec<(ChannelNo, Alert)>,
    /// How many were for accounts that are no channel here.
    foreign: u64,
}

/// Gives each event to the channel of its account.
pub(super) fn route(
    app: &App,
    channel: &Arc<OpenChannel>,
    events: Vec<(&'static str, Inbound)>,
) -> Routed {
    let mut routed = Routed::default();
    let siblings = app.channels.of_app(channel);
    for (kind, inbound) in events {
        let target = match &inbound.account {
            None => Some(channel.no),
            Some(account) => siblings
                .iter()
                .find(|sibling| {
                    sibling.kind.id == kind && sibling.channel.account() == Some(account)
                })
                .map(|sibling| sibling.no),
        };
        match (target, inbound.event) {
            (None, _) => routed.foreign += 1,
            (Some(no), Event::Alert(alert)) => routed.alerts.push((no, alert)),
            (Some(no), event) => routed.events.push((no, event)),
        }
    }
    routed
}

/// Counts what became of a delivery.
pub(super) fn count_outcome(channel: &OpenChannel, outcome: &Outcome) {
    for (kind, number) in [
        ("new", outcome.new),
        ("known", outcome.known),
        ("ignored", outcome.ignored),
        ("quarantined", outcome.quarantined),
    ] {
        let labels = [
            ("channel", channel.id.clone()),
            ("outcome", kind.to_owned()),
        ];
        metrics::counter!("deskbell_inbound_events_total", &labels).increment(u64::from(number));
    }
}

/// Tells the operator what the platform told us.
pub(super) async fn hear(
    app: &App,
    no: ChannelNo,
    alert: &Alert,
    now: Time,
) -> Result<(), WriteError> {
    if let Some(channel) = app.channels.get_no(no) {
        let mut status = channel.status();
        status.last_alert = Some((now, alert.text.clone()));
        if alert.code == "test_delivery" {
            status.last_test_at = Some(now);
            tracing::info!(channel = %channel.id, "the platform's test delivery arrived");
            return Ok(());
        }
        tracing::warn!(channel = %channel.id, code = %alert.code, "the platform warns: {}", alert.text);
    }
    let tell = TellHealth {
        channel: no,
        healthy: false,
        detail: alert.text.clone(),
    };
    app.writer.write(tell).await
}

/// Keeps a delivery that cannot be taken apart, so that the good ones after it are not held up by it (F29).
async fn quarantine_whole(
    app: &App,
    channel: &Arc<OpenChannel>,
    verified: &Verified,
    received_at: Time,
    why: &str,
) -> Result<Outcome, Refused> {
    let raw: &Bytes = verified.body();
    let quarantine = Quarantine {
        channel: channel.no,
        received_at,
        why: format!(
            "The whole delivery is kept as it came, because {why}. This is a fault of Deskbell's: please report it."
        ),
        raw: mended(raw).into_owned(),
        delivery: Some(RawDelivery::new(channel.no, received_at, raw.to_vec())),
    };
    app.writer
        .write(quarantine)
        .await
        .map_err(Refused::NotDurable)?;
    Ok(Outcome {
        quarantined: 1,
        ..Outcome::default()
    })
}

/// Says in the log why parts were dropped, where that is ever to be looked into.
pub(super) fn count(channel: &OpenChannel, events: &[(ChannelNo, Event)]) {
    for (_, event) in events {
        match event {
            Event::Ignored { why } => {
                tracing::debug!(channel = %channel.id, why, "an event was ignored")
            }
            Event::Undecodable { why, .. } => {
                tracing::warn!(channel = %channel.id, why, "a part of a delivery could not be understood; it is kept for the operator");
            }
            _ => {}
        }
    }
}
