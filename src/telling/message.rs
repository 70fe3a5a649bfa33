//! What a browser is told: little, and only what its person may see at this moment.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use deskbell_sdk::Secret;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::access::scope_of;
use crate::app::App;
use crate::desk::telling::Trouble;
use crate::id::{ConversationId, DeviceId, RingId};
use crate::push::{Note, Urgency};
use crate::seal::Place;
use crate::store::entry::{
    DeviceEntry, DevicesEntry, Entry, RingEntry, Telling, TellingEntry, UserEntry, UserStatus,
};
use crate::store::record::ChannelNo;
use crate::store::{Scope, StoreError};

/// The longest title, in characters.
const TITLE_CHARS: usize = 120;
/// The longest body, in characters.
const BODY_CHARS: usize = 240;
/// How long a push service keeps it that a ring is over: a browser that sleeps shows the ring until it hears it.
const OVER_TTL: Duration = Duration::from_secs(24 * 60 * 60);
/// How long it keeps a ring at the least: no clock is exact.
const LEAST_TTL: Duration = Duration::from_secs(15);
/// How long it keeps a test.
const TEST_TTL: Duration = Duration::from_secs(10 * 60);

/// Of the first of the items, and how many others go with it. With the subscription.
pub(super) fn of(app: &App, begun: &[TellingEntry]) -> Result<(Secret, Note), Trouble> {
    let telling = begun.first().ok_or(Trouble::NotTheirs)?;
    let devices = DevicesEntry::get(&*app.store, &telling.user.key()).map_err(unreadable)?;
    let device = devices.as_ref().and_then(|all| all.device(telling.device));
    let device = device.ok_or(Trouble::NotTheirs)?;
    let user = UserEntry::get(&*app.store, &telling.user.key()).map_err(unreadable)?;
    let user = user.filter(|user| user.status() == UserStatus::Active);
    let user = user.ok_or(Trouble::NotTheirs)?;
    let now = app.clock.now();
    let (message, ttl, urgency, topic) = match telling.what {
        Telling::Ring {
            ring,
            conversation,
            step,
        } => {
            let scope = scope_of(&app.channels, user.channels.as_ref());
            let (who, what) = match conversation {
                Some(conversation) => waits(app, &scope, conversation)?,
                None => wrong(app, &user, ring)?,
            };
            let (title, body) = match begun.len() - 1 {
                0 => (who, what),
                others => (
                    format!("{who}, and {others} more"),
                    many(app, &scope, begun)?,
                ),
            };
            let message = json!({
                "type": "ring", "id": telling.id, "ring": ring, "conversation": conversation, "step": step,
                "title": cut(&title, TITLE_CHARS), "body": cut(&body, BODY_CHARS), "count": begun.len(),
                "device": telling.device, "silent": false,
            });
            let left_ms = telling.until.as_millis() - now.as_millis();
            let left = Duration::from_millis(u64::try_from(left_ms).unwrap_or(0));
            let topic = topic(telling.device, ring, conversation);
            (message, left.max(LEAST_TTL), Urgency::High, Some(topic))
        }
        Telling::Over { ring, conversation } => {
            let message = json!({
                "type": "taken", "id": telling.id, "ring": ring, "conversation": conversation,
                "device": telling.device, "silent": true,
            });
            let topic = topic(telling.device, ring, conversation);
            (message, OVER_TTL, Urgency::High, Some(topic))
        }
        Telling::Test { silent } => {
            let message = json!({
                "type": "test", "id": telling.id, "test": telling.id, "silent": silent, "device": telling.device,
                "title": "A test", "body": "This device hears the bell.",
            });
            let urgency = if silent {
                Urgency::Normal
            } else {
                Urgency::High
            };
            (message, TEST_TTL, urgency, None)
        }
    };
    let note = Note {
        message: message.to_string().into_bytes(),
        ttl,
        urgency,
        topic,
    };
    Ok((subscription(app, device)?, note))
}

/// Who waits in a conversation, and what they said last.
fn waits(
    app: &App,
    scope: &Scope,
    conversation: ConversationId,
) -> Result<(String, String), Trouble> {
    let found = app.store.conversation(scope, conversation);
    let found = found.map_err(unreadable)?.ok_or(Trouble::NotTheirs)?;
    let channel = app.channels.known(found.channel);
    let channel = channel.map_or_else(String::new, |channel| channel.name.clone());
    let customer = found.contact_name.as_deref().unwrap_or("A customer");
    let last = found.last_message.as_ref();
    let said = last.map(|last| last.preview.clone()).unwrap_or_default();
    Ok((format!("{customer} at {channel}"), said))
}

/// How many wait, and where: each channel is named, however many wait in another.
fn many(app: &App, scope: &Scope, begun: &[TellingEntry]) -> Result<String, Trouble> {
    let mut in_channels: BTreeMap<ChannelNo, usize> = BTreeMap::new();
    let (mut conversations, mut alarms) = (0, 0);
    for telling in begun {
        let Telling::Ring { conversation, .. } = telling.what else {
            continue;
        };
        let Some(conversation) = conversation else {
            alarms += 1;
            continue;
        };
        let found = app.store.conversation(scope, conversation);
        if let Some(found) = found.map_err(unreadable)? {
            conversations += 1;
            *in_channels.entry(found.channel).or_default() += 1;
        }
    }
    let mut body = format!("{conversations} conversations wait");
    if in_channels.len() > 1 {
        let named = in_channels.into_iter().map(|(channel, number)| {
            let known = app.channels.known(channel);
            let name = known.map_or_else(String::new, |known| known.name.clone());
            format!("{number} at {name}")
        });
        body.push_str(": ");
        body.push_str(&named.collect::<Vec<_>>().join(", "));
    }
    if alarms > 0 {
        body.push_str(", and something is wrong with the desk");
    }
    body.push('.');
    Ok(body)
}

/// What is wrong with the desk: for administrators.
fn wrong(app: &App, user: &UserEntry, ring: RingId) -> Result<(String, String), Trouble> {
    let ring = RingEntry::get(&*app.store, &RingEntry::key(ring)).map_err(unreadable)?;
    let alarm = ring.and_then(|ring| ring.alarm);
    let alarm = alarm.filter(|_| user.is_active_admin());
    let alarm = alarm.ok_or(Trouble::NotTheirs)?;
    Ok((alarm.title, alarm.detail))
}

fn unreadable(error: StoreError) -> Trouble {
    Trouble::Passing(error.to_string(), None)
}

fn subscription(app: &App, device: &DeviceEntry) -> Result<Secret, Trouble> {
    let (Some(endpoint), Some(sealed)) = (&device.endpoint, &device.subscription) else {
        return Err(Trouble::NotTheirs);
    };
    let endpoint = hex::encode(endpoint);
    let opened = app
        .provisioner
        .sealer()
        .open(Place::subscription(&endpoint), sealed);
    opened.map_err(|error| Trouble::Refused(format!("its subscription {error}")))
}

/// What takes the place of what at the push service, which learns nothing of the conversation by it.
fn topic(device: DeviceId, ring: RingId, conversation: Option<ConversationId>) -> String {
    let mut hash = Sha256::new();
    hash.update(device.key());
    hash.update(conversation.map_or_else(|| ring.key(), ConversationId::key));
    URL_SAFE_NO_PAD.encode(&hash.finalize()[..24])
}

fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most - 1).chain(['…']).collect()
}
