//! From Meta's bytes to the desk's words. Pure: the same bytes give the same events.
//!
//! A delivery is taken apart from outside inwards, and what cannot be understood becomes an event of its own with its
//! text as it came, at the smallest part that can be told: one bad event never takes the others with it (W16).

mod activity;
pub(crate) mod attachments;
mod changes;
mod message;

use std::borrow::Cow;
use std::collections::BTreeMap;

use deskbell_sdk::json::{Raw, mended};
use deskbell_sdk::text::{clean_name, clean_text};
use deskbell_sdk::{Alert, Event, Inbound, Malformed, Time};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) use attachments::fetched_from;

use crate::wire::{Change, Entry, Envelope, Item};

/// Meta promises at most 1,000 updates a delivery; what goes far beyond is no honest delivery.
const MAX_UPDATES: usize = 10_000;
/// The app id of Meta's own inbox (Business Suite), in echoes and handovers.
pub(crate) const PAGE_INBOX_APP: &str = "263902037430900";
/// The entry id of what the dashboard's Test button sends; no Page has it.
const TEST_ENTRY: &str = "0";
/// The ids that the Test button gives its parties and its message.
const TEST_SENDER: &str = "12334";
const TEST_RECIPIENT: &str = "23245";
const TEST_MESSAGE: &str = "random_mid";

/// What is known around an event.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    /// The Page.
    pub(crate) page: &'a str,
    /// Our own app.
    pub(crate) own_app: &'a str,
    /// When the entry was sent, as it came.
    entry_time: Option<i64>,
    /// Whether another app owns the thread.
    pub(crate) is_standby: bool,
}

/// Who the customer of an event is, and on which side it was caused.
pub(crate) struct Sides {
    /// The customer's page-scoped id, where the platform tells it.
    pub(crate) customer: Option<String>,
    /// Whether the Page caused it.
    pub(crate) by_page: bool,
}

/// Decodes a delivery for the app `own_app`.
pub(crate) fn delivery(body: &[u8], own_app: &str) -> Result<Vec<Inbound>, Malformed> {
    let text = mended(body);
    let envelope: Envelope<'_> = object(text.trim_ascii())
        .map_err(|why| Malformed(format!("not a delivery of Meta's: {why}")))?;
    if envelope.object != "page" {
        let object = shortened(&envelope.object);
        let why = format!("a delivery for Meta's `{object}`, not for a Page");
        return Ok(vec![Inbound::here(Event::Ignored { why })]);
    }
    if envelope.entry.len() > MAX_UPDATES {
        return Err(Malformed(format!(
            "more than {MAX_UPDATES} entries in one delivery"
        )));
    }
    let mut events = Vec::new();
    for raw in envelope.entry {
        match object::<Entry<'_>>(raw.get()) {
            Ok(entry) => decode_entry(&entry, own_app, &mut events),
            Err(why) => events.push(Inbound::here(undecodable(raw, &why))),
        }
    }
    Ok(events)
}

fn decode_entry(entry: &Entry<'_>, own_app: &str, events: &mut Vec<Inbound>) {
    let page = entry.id.as_str();
    if page == TEST_ENTRY {
        // No channel has this account: it is for the channel whose address was called.
        events.push(Inbound::here(test_delivery()));
        return;
    }
    let place = Place {
        page,
        own_app,
        entry_time: entry.time,
        is_standby: false,
    };
    let before = events.len();
    let mut add = |event: Event| events.push(Inbound::of(page, event));
    for (list, is_standby) in [(entry.messaging, false), (entry.standby, true)] {
        for_each_of(list, &mut add, |raw, add| {
            match item(
                raw,
                Place {
                    is_standby,
                    ..place
                },
            ) {
                Ok(found) => found.into_iter().for_each(add),
                Err(why) => add(undecodable(raw, &why)),
            }
        });
    }
    for_each_of(entry.changes, &mut add, |raw, add| {
        match object::<Change<'_>>(raw.get()) {
            Ok(found) => change(raw, &found, place).into_iter().for_each(add),
            Err(why) => add(undecodable(raw, &why)),
        }
    });
    if entry.changed_fields.is_some() {
        add(ignored(
            "changes of the Page without their values: the app's subscription does not include values",
        ));
    }
    if events.len() == before {
        events.push(Inbound::of(page, ignored("an entry without an event")));
    }
}

/// Goes through a list of which any element, or all of it, may be broken.
fn for_each_of(
    list: Option<Raw<'_>>,
    add: &mut impl FnMut(Event),
    mut each: impl FnMut(Raw<'_>, &mut dyn FnMut(Event)),
) {
    let Some(list) = list else { return };
    match serde_json::from_str::<Vec<Raw<'_>>>(list.get()) {
        Ok(items) if items.len() > MAX_UPDATES => {
            add(undecodable(
                list,
                &format!("more than {MAX_UPDATES} events in one list"),
            ));
        }
        Ok(items) => items.into_iter().for_each(|raw| each(raw, add)),
        Err(error) => add(undecodable(list, &reason(&error))),
    }
}

/// An update of the form that Page feeds and the dashboard's test use.
fn change(raw: Raw<'_>, change: &Change<'_>, place: Place<'_>) -> Vec<Event> {
    let field = shortened(change.field.as_deref().unwrap_or("nothing"));
    let carries_messages =
        field.starts_with("message") || field.starts_with("messaging_") || field == "standby";
    if !carries_messages {
        return vec![ignored(&format!(
            "a change of the Page's `{field}`, which is no message"
        ))];
    }
    let Some(value) = change.value else {
        return vec![ignored(&format!(
            "a change of the Page's `{field}` without a value"
        ))];
    };
    match object::<Item<'_>>(value.get()) {
        Ok(item) if is_test(&item) => vec![test_delivery()],
        Ok(item) => {
            events_of(value, item, place).unwrap_or_else(|why| vec![undecodable(raw, &why)])
        }
        Err(why) => vec![undecodable(raw, &why)],
    }
}

fn is_test(item: &Item<'_>) -> bool {
    let id_is = |party: &Option<crate::wire::Party>, test: &str| {
        party
            .as_ref()
            .and_then(|party| party.id.as_ref())
            .is_some_and(|id| id.as_str() == test)
    };
    let message = item
        .message
        .as_ref()
        .and_then(|message| message.mid.as_ref());
    (id_is(&item.sender, TEST_SENDER) && id_is(&item.recipient, TEST_RECIPIENT))
        || message.is_some_and(|mid| mid.as_str() == TEST_MESSAGE)
}

fn test_delivery() -> Event {
    Event::Alert(Alert {
        code: "test_delivery".to_owned(),
        text: "Meta's test delivery arrived and its signature is right: the address and the app secret work."
            .to_owned(),
    })
}

fn item(raw: Raw<'_>, place: Place<'_>) -> Result<Vec<Event>, String> {
    let item: Item<'_> = object(raw.get())?;
    events_of(raw, item, place)
}

/// The events of one item. There is one as a rule; should the platform ever put two into one item, both count.
fn events_of(raw: Raw<'_>, item: Item<'_>, place: Place<'_>) -> Result<Vec<Event>, String> {
    let is_echo = item.message.as_ref().is_some_and(|message| message.is_echo);
    let sides = sides(&item, place.page, is_echo);
    let at = time_of(item.timestamp, place.entry_time);
    let mut events = Vec::new();
    if let Some(message) = item.message {
        events.extend(message::message(
            message,
            item.prior_message.as_ref(),
            &sides,
            at,
            place,
        )?);
    }
    if let Some(postback) = item.postback {
        events.push(message::postback(postback, &sides, at, place)?);
    }
    if let Some(reaction) = item.reaction {
        events.push(changes::reaction(reaction, &sides, at)?);
    }
    if let Some(edit) = item.message_edit {
        events.push(changes::edit(edit, at)?);
    }
    if let Some(read) = item.read {
        events.extend(changes::receipt(
            read,
            deskbell_sdk::DeliveryState::Read,
            &sides,
            at,
        )?);
    }
    if let Some(delivery) = item.delivery {
        events.extend(changes::receipt(
            delivery,
            deskbell_sdk::DeliveryState::Delivered,
            &sides,
            at,
        )?);
    }
    for policy in [item.policy_enforcement, item.policy_enforcement_dashed]
        .into_iter()
        .flatten()
    {
        events.push(activity::policy(&policy, place.page));
    }
    let happened = activity::Happened {
        sides: &sides,
        at,
        place,
    };
    if let Some(referral) = item.referral {
        events.push(happened.referral(&referral));
    }
    if let Some(optin) = item.optin {
        events.push(happened.optin(&optin, false));
    }
    if let Some(optout) = item.optout {
        events.push(happened.optin(&optout, true));
    }
    if let Some(linking) = item.account_linking {
        events.push(happened.account_linking(&linking));
    }
    if let Some(order) = item.order {
        events.push(happened.order(&order));
    }
    for (control, deed) in [
        (item.pass_thread_control, activity::Handover::Passed),
        (item.take_thread_control, activity::Handover::Taken),
        (item.request_thread_control, activity::Handover::Requested),
    ] {
        if let Some(control) = control {
            events.push(happened.handover(&control, deed));
        }
    }
    if events.is_empty() {
        events.push(unknown(raw)?);
    }
    Ok(events)
}

/// An item with none of the keys that the desk uses.
fn unknown(raw: Raw<'_>) -> Result<Event, String> {
    let keys: BTreeMap<Cow<'_, str>, IgnoredAny> =
        serde_json::from_str(raw.get()).map_err(|error| reason(&error))?;
    let about_the_event =
        |key: &str| !matches!(key, "sender" | "recipient" | "timestamp" | "prior_message");
    let why = match keys
        .keys()
        .map(AsRef::as_ref)
        .find(|key| about_the_event(key))
    {
        Some("app_roles") => "a change of the app's roles, which concern other apps".to_owned(),
        Some("response_feedback") => "somebody rated an automatic answer".to_owned(),
        Some(old @ ("game_play" | "payment" | "checkout_update")) => {
            format!("`{old}`, which Meta has ended")
        }
        Some(key) => format!("an event of a kind that is not known: `{}`", shortened(key)),
        None => "an event without a kind".to_owned(),
    };
    Ok(Event::Ignored { why })
}

/// Tells the customer from the Page: the Page's own messages (echoes) have the customer as their recipient.
fn sides(item: &Item<'_>, page: &str, is_echo: bool) -> Sides {
    let id_of = |party: &Option<crate::wire::Party>| {
        party
            .as_ref()
            .and_then(|party| party.id.as_ref())
            .map(|id| id.as_str().to_owned())
    };
    let (sender, recipient) = (id_of(&item.sender), id_of(&item.recipient));
    let by_page = is_echo || sender.as_deref() == Some(page);
    let customer = if by_page { recipient } else { sender };
    Sides {
        customer: customer.filter(|id| id != page),
        by_page,
    }
}

/// When: the event's own time; some old events carry 0, then when the entry was sent. 0 where neither is told.
fn time_of(timestamp: Option<i64>, entry_time: Option<i64>) -> Time {
    let told = |time: &i64| *time > 0;
    let time = timestamp
        .filter(told)
        .or(entry_time.filter(told))
        .unwrap_or(0);
    Time::from_seconds_or_millis(time)
}

/// Reads an object. Serde would also read a list as one, field by field, which no platform means.
pub(crate) fn object<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, String> {
    if text.starts_with('{') {
        serde_json::from_str(text).map_err(|error| reason(&error))
    } else {
        Err("an object is expected here".to_owned())
    }
}

pub(crate) fn ignored(why: &str) -> Event {
    Event::Ignored {
        why: why.to_owned(),
    }
}

fn undecodable(raw: Raw<'_>, why: &str) -> Event {
    Event::Undecodable {
        raw: raw.get().to_owned(),
        why: why.to_owned(),
    }
}

/// The reader's words on what is wrong; they may repeat a part of the text, so they are cleaned and cut.
fn reason(error: &serde_json::Error) -> String {
    clean_name(&error.to_string()).unwrap_or_else(|| "cannot be read".to_owned())
}

/// A platform's word in a sentence of ours.
pub(crate) fn shortened(word: &str) -> String {
    let cleaned = clean_name(word).unwrap_or_default();
    match cleaned.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &cleaned[..end]),
        None => cleaned,
    }
}

/// Details for `metadata`: what is missing is left out, and texts are cleaned. `None` where nothing is left.
pub(crate) fn details(of: &impl Serialize) -> Option<Value> {
    tidy(serde_json::to_value(of).ok()?)
}

/// The types of `wire` end a few levels down, so this does too.
fn tidy(value: Value) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(Value::String(clean_text(&text))),
        Value::Array(items) => {
            let items: Vec<Value> = items.into_iter().filter_map(tidy).collect();
            (!items.is_empty()).then_some(Value::Array(items))
        }
        Value::Object(members) => {
            let members: serde_json::Map<String, Value> = members
                .into_iter()
                .filter_map(|(key, value)| Some((key, tidy(value)?)))
                .collect();
            (!members.is_empty()).then_some(Value::Object(members))
        }
        other => Some(other),
    }
}

/// Puts a detail into `metadata` where it is known.
pub(crate) fn note(metadata: &mut BTreeMap<String, Value>, key: &str, detail: Option<Value>) {
    if let Some(detail) = detail {
        metadata.insert(key.to_owned(), detail);
    }
}
