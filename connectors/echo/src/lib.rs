//! The teaching connector: a channel whose platform is anything that can POST JSON with a shared secret.
//!
//! It is complete and small. To start a new channel, copy this folder and change it from top to bottom: the settings,
//! how a delivery proves itself, how the platform's words become the desk's. `../README.md` is the checklist.
//!
//! ```text
//! POST /webhooks/{channel_id}     x-echo-token: <the channel's token>
//! {"messages": [{"id": "1", "thread": "ann", "name": "Ann", "text": "Hello", "sent_at_ms": 1794000000123}],
//!  "edits":    [{"id": "1", "text": "Hello!", "version": 1, "at_ms": 1794000005123}]}
//! ```

use std::collections::BTreeMap;

use deskbell_sdk::json::{Raw, lenient_i64, mended};
use deskbell_sdk::text::{clean_name, clean_text};
use deskbell_sdk::webhook::shared_secret;
use deskbell_sdk::{
    Author, Channel, Direction, Event, ExternalId, Inbound, Kind, Limits, Malformed, MessageChange,
    NewMessage, Person, Rejected, Request, Secret, Setting, SettingProblem, Settings, Time,
    Verified, Webhook,
};
use serde::Deserialize;

/// What the registry lists. The configuration, the settings form and the list of secrets to hide come from it.
pub const KIND: Kind = Kind {
    id: "echo",
    title: "Echo (for trying out and for tests)",
    settings: &[Setting::secret(
        "token",
        "your own words, sent as x-echo-token",
    )],
    api_base: None, // this connector calls nobody
    open,
};

/// One opened channel holds what it needs of its settings and nothing that changes.
struct Echo {
    token: Secret,
}

/// Opening does no I/O. A value that cannot work is refused here, with the key and what to do.
fn open(settings: &Settings) -> Result<Box<dyn Channel>, SettingProblem> {
    let token = settings.required_secret("token")?.clone();
    Ok(Box::new(Echo { token }))
}

/// Abilities are values: what a channel can do it returns, what it cannot do stays `None`.
impl Channel for Echo {
    fn limits(&self) -> Limits {
        Limits::default()
    }

    fn webhook(&self) -> Option<&dyn Webhook> {
        Some(self)
    }
}

impl Webhook for Echo {
    /// A `Verified` can be had only from the sdk's checks, so this cannot be forgotten. A platform that signs its
    /// bodies has `hmac_sha256_prefixed` here instead.
    fn verify(&self, request: &Request<'_>) -> Result<Verified, Rejected> {
        shared_secret(request, "x-echo-token", &self.token)
    }

    /// Pure: no clock, no store, no randomness. `mended` first, since one bad byte must not cost the whole delivery.
    fn decode(&self, delivery: &Verified) -> Result<Vec<Inbound>, Malformed> {
        let text = mended(delivery.body());
        let envelope: Envelope<'_> = serde_json::from_str(&text)
            .map_err(|_| Malformed("not {\"messages\": […], \"edits\": […]}".to_owned()))?;
        let messages = envelope.messages.into_iter().map(|raw| one(raw, message));
        let edits = envelope.edits.into_iter().map(|raw| one(raw, edit));
        Ok(messages.chain(edits).collect())
    }
}

/// The envelope keeps its parts as raw text, so that each stands or falls alone. Unknown keys are passed over.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(default, borrow)]
    messages: Vec<Raw<'a>>,
    #[serde(default, borrow)]
    edits: Vec<Raw<'a>>,
}

/// Ids are opaque: a number keeps its digits, and 9007199254740993 stays what it is.
#[derive(Deserialize)]
struct WireMessage {
    id: ExternalId,
    thread: ExternalId,
    name: Option<String>,
    text: String,
    #[serde(default, deserialize_with = "lenient_i64")]
    sent_at_ms: Option<i64>,
}

#[derive(Deserialize)]
struct WireEdit {
    id: ExternalId,
    text: String,
    version: u64,
    at_ms: Option<i64>,
}

/// Decodes one part. What cannot be understood is kept as it came and shown to the operator: nothing is dropped.
fn one<'a, T: Deserialize<'a>>(raw: Raw<'a>, event: fn(T) -> Event) -> Inbound {
    Inbound::here(match serde_json::from_str(raw.get()) {
        Ok(part) => event(part),
        Err(error) => {
            let (raw, why) = (raw.get().to_owned(), clean_text(&error.to_string()));
            Event::Undecodable { raw, why }
        }
    })
}

/// Strangers' texts and names are cleaned. Time 0 says "not told": the daemon takes the time of arrival.
fn message(wire: WireMessage) -> Event {
    let text = clean_text(&wire.text);
    if text.trim().is_empty() {
        let why = "a message without text".to_owned();
        return Event::Ignored { why };
    }
    let mut customer = Person::with_id(wire.thread.as_str());
    customer.name = wire.name.as_deref().and_then(clean_name);
    Event::Message(Box::new(NewMessage {
        thread: wire.thread.into_string(),
        customer: customer.clone(),
        external_id: wire.id.into_string(),
        direction: Direction::Inbound,
        author: Author::Contact(customer),
        text: Some(text),
        attachments: Vec::new(),
        reply_to: None,
        sent_at: Time::from_millis(wire.sent_at_ms.unwrap_or(0)),
        order: 0,
        metadata: BTreeMap::new(),
        send_token: None,
        album: None,
    }))
}

/// Changes may come twice, in any order and before their message: the desk sorts that out by `version`.
fn edit(wire: WireEdit) -> Event {
    let (text, version) = (clean_text(&wire.text), wire.version);
    let at = Time::from_millis(wire.at_ms.unwrap_or(0));
    let message = wire.id.into_string();
    let change = MessageChange::Edited { text, version, at };
    Event::Change { message, change }
}
