//! What happens in a chat between the messages.

use std::borrow::Cow;
use std::collections::BTreeMap;

use deskbell_sdk::json::Raw;
use deskbell_sdk::text::clean_text;
use deskbell_sdk::{Activity, Alert, Event, ExternalId, Person};
use serde_json::Value;

use super::{
    detail, details, ignored, is_channel, note, object, person, person_of_chat, reason, shortened,
    time,
};
use crate::place::Thread;
use crate::wire::{BusinessConnection, ChatMemberUpdated, Message, Payment, User};

/// Keys that stand beside a message's content.
const BESIDE_THE_CONTENT: [&str; 41] = [
    "message_id",
    "message_thread_id",
    "direct_messages_topic",
    "from",
    "sender_chat",
    "sender_boost_count",
    "sender_business_bot",
    "sender_tag",
    "date",
    "business_connection_id",
    "chat",
    "forward_origin",
    "forward_from",
    "forward_from_chat",
    "forward_from_message_id",
    "forward_signature",
    "forward_sender_name",
    "forward_date",
    "is_topic_message",
    "is_automatic_forward",
    "reply_to_message",
    "external_reply",
    "quote",
    "reply_to_story",
    "reply_to_checklist_task_id",
    "via_bot",
    "edit_date",
    "has_protected_content",
    "is_from_offline",
    "is_paid_post",
    "media_group_id",
    "author_signature",
    "paid_star_count",
    "link_preview_options",
    "suggested_post_info",
    "effect_id",
    "entities",
    "caption",
    "caption_entities",
    "show_caption_above_media",
    "reply_markup",
];

/// Service messages that say nothing to the desk.
const OF_NO_USE: [&str; 24] = [
    "delete_chat_photo",
    "new_chat_photo",
    "message_auto_delete_timer_changed",
    "connected_website",
    "passport_data",
    "proximity_alert_triggered",
    "boost_added",
    "chat_background_set",
    "direct_message_price_changed",
    "forum_topic_edited",
    "general_forum_topic_hidden",
    "general_forum_topic_unhidden",
    "giveaway_created",
    "giveaway",
    "giveaway_winners",
    "giveaway_completed",
    "paid_message_price_changed",
    "video_chat_scheduled",
    "video_chat_started",
    "video_chat_ended",
    "video_chat_participants_invited",
    "checklist_tasks_done",
    "checklist_tasks_added",
    "channel_chat_created",
];

/// What a message without content is.
pub(super) enum Service {
    /// A line between the messages, or nothing.
    Known(Vec<Event>),
    /// Content of a kind that is not known, under this key.
    Unknown(String),
}

/// Reads a message in which no content was found.
pub(super) fn service(
    raw: &str,
    message: &Message,
    thread: &Thread<'_>,
    customer: &Person,
) -> Result<Service, String> {
    let members: BTreeMap<Cow<'_, str>, Raw<'_>> =
        serde_json::from_str(raw).map_err(|error| reason(&error))?;
    let Some((key, value)) = members
        .iter()
        .find(|(key, _)| !BESIDE_THE_CONTENT.contains(&key.as_ref()))
    else {
        return Ok(Service::Unknown("empty message".to_owned()));
    };
    // A platform's additions are told last; what is known comes first wherever it stands.
    let (key, value) = members
        .iter()
        .find(|(key, _)| is_known(key))
        .unwrap_or((key, value));
    if OF_NO_USE.contains(&key.as_ref()) {
        let why = format!("a line of Telegram's own: `{}`", shortened(key));
        return Ok(Service::Known(ignored(why)));
    }
    let mut metadata = BTreeMap::new();
    let who = message.from.as_ref().map_or_else(
        || "Somebody".to_owned(),
        |from| person(from).name.unwrap_or_else(|| "Somebody".to_owned()),
    );
    let text = match key.as_ref() {
        "new_chat_members" => {
            let members: Vec<User> =
                serde_json::from_str(value.get()).map_err(|error| reason(&error))?;
            let names: Vec<String> = members.iter().filter_map(|user| person(user).name).collect();
            format!("Joined the group: {}.", names.join(", "))
        }
        "left_chat_member" => {
            let left: User = object(value.get())?;
            let name = person(&left).name.unwrap_or_else(|| "Somebody".to_owned());
            format!("{name} is no longer in the group.")
        }
        "new_chat_title" => {
            let title: String =
                serde_json::from_str(value.get()).map_err(|error| reason(&error))?;
            format!("The group is called {} now.", shortened(&title))
        }
        "group_chat_created" | "supergroup_chat_created" => "The group was made.".to_owned(),
        "migrate_to_chat_id" => {
            "The group became a supergroup: it goes on in a conversation of its own, and answers from here go there."
                .to_owned()
        }
        "migrate_from_chat_id" => {
            "The group became a supergroup: what was before stands in a conversation of its own."
                .to_owned()
        }
        "pinned_message" => format!("{who} pinned a message."),
        "forum_topic_created" => "The topic was opened.".to_owned(),
        "forum_topic_closed" => "The topic was closed.".to_owned(),
        "forum_topic_reopened" => "The topic was opened again.".to_owned(),
        "write_access_allowed" => format!("{who} allowed the bot to write."),
        "users_shared" | "chat_shared" => {
            note(&mut metadata, "shared", shared(value));
            format!("{who} shared people or a chat; see the details.")
        }
        "successful_payment" | "refunded_payment" => {
            let payment: Payment = object(value.get())?;
            let deed = if key == "successful_payment" {
                "paid"
            } else {
                "got back"
            };
            note(&mut metadata, "payment", in_details(&payment));
            let amount = payment.total_amount.unwrap_or_default();
            let currency = shortened(payment.currency.as_deref().unwrap_or_default());
            format!("{who} {deed} {amount} {currency} (in the smallest unit).")
        }
        unknown => return Ok(Service::Unknown(unknown.to_owned())),
    };
    Ok(Service::Known(vec![Event::Activity(Activity {
        thread: thread.to_string(),
        customer: customer.clone(),
        external_id: thread.message(message.message_id),
        text: clean_text(&text),
        at: time(message.date),
        by_customer: false,
        metadata,
    })]))
}

fn is_known(key: &str) -> bool {
    OF_NO_USE.contains(&key)
        || matches!(
            key,
            "new_chat_members"
                | "left_chat_member"
                | "new_chat_title"
                | "group_chat_created"
                | "supergroup_chat_created"
                | "migrate_to_chat_id"
                | "migrate_from_chat_id"
                | "pinned_message"
                | "forum_topic_created"
                | "forum_topic_closed"
                | "forum_topic_reopened"
                | "write_access_allowed"
                | "users_shared"
                | "chat_shared"
                | "successful_payment"
                | "refunded_payment"
        )
}

fn in_details(payment: &Payment) -> Option<Value> {
    details(vec![
        ("currency", detail(payment.currency.as_deref())),
        ("total_amount", payment.total_amount.map(Value::from)),
        ("payload", detail(payment.invoice_payload.as_deref())),
    ])
}

/// The ids that were shared; names come only where the bot asked for them.
fn shared(value: &Raw<'_>) -> Option<Value> {
    #[derive(serde::Deserialize)]
    struct Shared {
        #[serde(default)]
        users: Vec<SharedUser>,
        chat_id: Option<i64>,
    }
    #[derive(serde::Deserialize)]
    struct SharedUser {
        user_id: i64,
    }
    let shared: Shared = serde_json::from_str(value.get()).ok()?;
    let users = shared.users.iter().map(|user| user.user_id);
    let ids = users
        .chain(shared.chat_id)
        .map(|id| Value::String(id.to_string()));
    let ids: Vec<Value> = ids.collect();
    (!ids.is_empty()).then_some(Value::Array(ids))
}

/// The bot was blocked or let in again by a person, or taken into a group or out of it.
pub(super) fn membership(raw: &str) -> Result<Vec<Event>, String> {
    let change: ChatMemberUpdated = object(raw)?;
    if is_channel(&change.chat) {
        return Ok(ignored(
            "the bot's place in a channel changed, which is no talk with a customer",
        ));
    }
    let status = |member: &Option<crate::wire::ChatMember>| {
        let status = member.as_ref().and_then(|member| member.status.as_deref());
        status.map(shortened).unwrap_or_default()
    };
    let (old, new) = (
        status(&change.old_chat_member),
        status(&change.new_chat_member),
    );
    let is_in = |status: &str| {
        matches!(
            status,
            "creator" | "administrator" | "member" | "restricted"
        )
    };
    let is_private = change.chat.kind.as_deref() == Some("private");
    let customer = if is_private {
        person(&change.from)
    } else {
        person_of_chat(&change.chat)
    };
    let name = person(&change.from)
        .name
        .unwrap_or_else(|| "Somebody".to_owned());
    let text = match (is_private, is_in(&old), is_in(&new)) {
        (true, _, false) => format!("{name} has blocked the bot: answers do not arrive any more."),
        (true, _, true) => format!("{name} lets the bot write again."),
        (false, true, false) => format!("{name} took the bot out of the group."),
        (false, false, true) => format!("{name} took the bot into the group."),
        (false, ..) => {
            return Ok(ignored(format!(
                "the bot's rights in a group changed from `{old}` to `{new}`"
            )));
        }
    };
    let thread = change.chat.id.to_string();
    let (by, at) = (change.from.id.to_string(), change.date.to_string());
    let parts = [thread.as_str(), &by, &at, &old, &new];
    let mut metadata = BTreeMap::new();
    note(&mut metadata, "membership", detail(Some(&new)));
    Ok(vec![Event::Activity(Activity {
        external_id: ExternalId::synthesised("membership", &parts).into_string(),
        thread,
        customer,
        text: clean_text(&text),
        at: time(change.date),
        by_customer: false,
        metadata,
    })])
}

/// A business account was connected to the bot, or changed what the bot may do.
pub(super) fn connection(raw: &str) -> Result<Vec<Event>, String> {
    let connection: BusinessConnection = object(raw)?;
    let name = connection.user.as_ref().and_then(|user| person(user).name);
    let whose = name.unwrap_or_else(|| "Somebody".to_owned());
    let can_reply = connection
        .rights
        .as_ref()
        .is_none_or(|rights| rights.can_reply);
    let (code, text) = match (connection.is_enabled, can_reply) {
        (true, true) => {
            return Ok(ignored(
                "a business account is connected and can be answered for",
            ));
        }
        (true, false) => (
            "business_without_reply",
            format!(
                "{whose} connected a business account without the right to answer: allow it in Telegram under Telegram \
                 Business > Chatbots."
            ),
        ),
        (false, _) => (
            "business_disconnected",
            format!(
                "{whose} disconnected the business account from the bot: its messages do not come any more. Connect it \
                 again in Telegram under Telegram Business > Chatbots."
            ),
        ),
    };
    Ok(vec![Event::Alert(Alert {
        code: code.to_owned(),
        text: clean_text(&text),
    })])
}
