//! Meta's types for Messenger deliveries, as they come. Only what the desk uses is read. A key that is known and comes
//! twice is an error (W11); unknown keys are passed over without being built, so that nesting does not matter (W10).

pub(crate) mod reading;

use std::borrow::Cow;

use deskbell_sdk::ExternalId;
use deskbell_sdk::json::{Raw, lenient_i64};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

/// A delivery.
#[derive(Deserialize)]
pub(crate) struct Envelope<'a> {
    /// `page` for a Page's messages.
    #[serde(borrow)]
    pub(crate) object: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) entry: Vec<Raw<'a>>,
}

/// What happened at one Page.
#[derive(Deserialize)]
pub(crate) struct Entry<'a> {
    pub(crate) id: ExternalId,
    /// When it was sent: milliseconds for messages, seconds for changes.
    #[serde(default, deserialize_with = "lenient_i64")]
    pub(crate) time: Option<i64>,
    #[serde(default, borrow)]
    pub(crate) messaging: Option<Raw<'a>>,
    /// Comes instead of `messaging` while another app owns the thread.
    #[serde(default, borrow)]
    pub(crate) standby: Option<Raw<'a>>,
    #[serde(default, borrow)]
    pub(crate) changes: Option<Raw<'a>>,
    #[serde(default, borrow)]
    pub(crate) changed_fields: Option<Raw<'a>>,
}

/// The other form of an event.
#[derive(Deserialize)]
pub(crate) struct Change<'a> {
    #[serde(default, deserialize_with = "loose_text")]
    pub(crate) field: Option<String>,
    #[serde(default, borrow)]
    pub(crate) value: Option<Raw<'a>>,
}

/// One side of an event. Somebody who used the checkbox plug-in and has not written yet has a `user_ref` and no `id`.
#[derive(Default, Deserialize)]
pub(crate) struct Party {
    pub(crate) id: Option<ExternalId>,
}

/// One event. Its kind is told by which key is there.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Item<'a> {
    pub(crate) sender: Option<Party>,
    pub(crate) recipient: Option<Party>,
    #[serde(deserialize_with = "lenient_i64")]
    pub(crate) timestamp: Option<i64>,
    #[serde(borrow)]
    pub(crate) message: Option<Message<'a>>,
    pub(crate) prior_message: Option<PriorMessage>,
    pub(crate) postback: Option<Postback>,
    pub(crate) reaction: Option<Reaction>,
    pub(crate) read: Option<Watermark>,
    pub(crate) delivery: Option<Watermark>,
    pub(crate) message_edit: Option<MessageEdit>,
    pub(crate) referral: Option<Referral>,
    pub(crate) optin: Option<Optin>,
    pub(crate) optout: Option<Optin>,
    pub(crate) account_linking: Option<AccountLinking>,
    pub(crate) policy_enforcement: Option<PolicyEnforcement>,
    #[serde(rename = "policy-enforcement")]
    pub(crate) policy_enforcement_dashed: Option<PolicyEnforcement>,
    pub(crate) order: Option<Order>,
    pub(crate) pass_thread_control: Option<ThreadControl>,
    pub(crate) take_thread_control: Option<ThreadControl>,
    pub(crate) request_thread_control: Option<ThreadControl>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Message<'a> {
    pub(crate) mid: Option<ExternalId>,
    #[serde(deserialize_with = "text")]
    pub(crate) text: Option<String>,
    pub(crate) quick_reply: Option<QuickReply>,
    pub(crate) reply_to: Option<ReplyTo>,
    #[serde(borrow)]
    pub(crate) attachments: Option<Vec<Attachment<'a>>>,
    pub(crate) referral: Option<Referral>,
    #[serde(deserialize_with = "flag")]
    pub(crate) is_echo: bool,
    #[serde(deserialize_with = "flag")]
    pub(crate) is_deleted: bool,
    #[serde(deserialize_with = "flag")]
    pub(crate) is_unsupported: bool,
    pub(crate) app_id: Option<ExternalId>,
    #[serde(deserialize_with = "loose_text")]
    pub(crate) metadata: Option<String>,
    pub(crate) sticker_id: Option<ExternalId>,
    pub(crate) commands: Option<Vec<Command>>,
    #[serde(deserialize_with = "text")]
    pub(crate) admin_text: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct QuickReply {
    #[serde(default, deserialize_with = "loose_text")]
    pub(crate) payload: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct ReplyTo {
    pub(crate) mid: Option<ExternalId>,
    pub(crate) story: Option<Story>,
}

#[derive(Deserialize)]
pub(crate) struct Story {
    #[serde(default, deserialize_with = "loose_text")]
    pub(crate) url: Option<String>,
    pub(crate) id: Option<ExternalId>,
}

#[derive(Deserialize)]
pub(crate) struct Command {
    #[serde(default, deserialize_with = "loose_text")]
    pub(crate) name: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct PriorMessage {
    #[serde(default, deserialize_with = "loose_text")]
    pub(crate) source: Option<String>,
    #[serde(default, deserialize_with = "loose_text")]
    pub(crate) identifier: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct Attachment<'a> {
    #[serde(rename = "type", default, deserialize_with = "loose_text")]
    pub(crate) kind: Option<String>,
    /// An object, a text or nothing.
    #[serde(default, borrow)]
    pub(crate) payload: Option<Raw<'a>>,
    /// Older samples have these two here instead of in the payload.
    #[serde(default, deserialize_with = "loose_text")]
    pub(crate) title: Option<String>,
    #[serde(default, deserialize_with = "loose_text")]
    pub(crate) url: Option<String>,
    /// One old sample writes it so.
    #[serde(rename = "URL", default, deserialize_with = "loose_text")]
    pub(crate) url_in_capitals: Option<String>,
}

/// What the payloads of pictures, places and shared things have.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Payload {
    #[serde(deserialize_with = "loose_text")]
    pub(crate) url: Option<String>,
    #[serde(deserialize_with = "loose_text")]
    pub(crate) title: Option<String>,
    pub(crate) sticker_id: Option<ExternalId>,
    pub(crate) coordinates: Option<Coordinates>,
    pub(crate) reel_video_id: Option<ExternalId>,
    pub(crate) ig_post_media_id: Option<ExternalId>,
    pub(crate) id: Option<ExternalId>,
}

#[derive(Deserialize)]
pub(crate) struct Coordinates {
    #[serde(default, deserialize_with = "degrees")]
    pub(crate) lat: Option<f64>,
    #[serde(default, deserialize_with = "degrees")]
    pub(crate) long: Option<f64>,
}

/// A structured message: cards, buttons, products.
#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct Template {
    #[serde(deserialize_with = "loose_text")]
    pub(crate) template_type: Option<String>,
    #[serde(deserialize_with = "loose_text")]
    pub(crate) text: Option<String>,
    #[serde(deserialize_with = "loose_text")]
    pub(crate) title: Option<String>,
    pub(crate) elements: Option<Vec<TemplateElement>>,
    pub(crate) buttons: Option<Vec<TemplateButton>>,
    pub(crate) product: Option<TemplateProduct>,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct TemplateProduct {
    pub(crate) elements: Option<Vec<TemplateElement>>,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct TemplateElement {
    #[serde(deserialize_with = "loose_text")]
    pub(crate) id: Option<String>,
    #[serde(deserialize_with = "loose_text")]
    pub(crate) retailer_id: Option<String>,
    #[serde(deserialize_with = "loose_text")]
    pub(crate) title: Option<String>,
    #[serde(deserialize_with = "loose_text")]
    pub(crate) subtitle: Option<String>,
    #[serde(deserialize_with = "loose_text")]
    pub(crate) image_url: Option<String>,
    #[serde(deserialize_with = "loose_text")]
    pub(crate) url: Option<String>,
    pub(crate) buttons: Option<Vec<TemplateButton>>,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct TemplateButton {
    #[serde(rename = "type", deserialize_with = "loose_text")]
    pub(crate) kind: Option<String>,
    #[serde(deserialize_with = "loose_text")]
    pub(crate) title: Option<String>,
    #[serde(deserialize_with = "loose_text")]
    pub(crate) url: Option<String>,
    #[serde(deserialize_with = "loose_text")]
    pub(crate) payload: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct Postback {
    pub(crate) mid: Option<ExternalId>,
    #[serde(default, deserialize_with = "text")]
    pub(crate) title: Option<String>,
    #[serde(default, deserialize_with = "loose_text")]
    pub(crate) payload: Option<String>,
    pub(crate) referral: Option<Referral>,
}

#[derive(Deserialize)]
pub(crate) struct Reaction {
    pub(crate) mid: ExternalId,
    #[serde(default, deserialize_with = "loose_text")]
    pub(crate) action: Option<String>,
    #[serde(default, deserialize_with = "loose_text")]
    pub(crate) reaction: Option<String>,
    #[serde(default, deserialize_with = "loose_text")]
    pub(crate) emoji: Option<String>,
}

/// A read or delivery receipt.
#[derive(Deserialize)]
pub(crate) struct Watermark {
    #[serde(default, deserialize_with = "lenient_i64")]
    pub(crate) watermark: Option<i64>,
    pub(crate) mids: Option<Vec<ExternalId>>,
}

#[derive(Deserialize)]
pub(crate) struct MessageEdit {
    pub(crate) mid: ExternalId,
    #[serde(default, deserialize_with = "text")]
    pub(crate) text: Option<String>,
    #[serde(default, deserialize_with = "lenient_i64")]
    pub(crate) num_edit: Option<i64>,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct Referral {
    #[serde(rename = "ref", deserialize_with = "loose_text")]
    pub(crate) reference: Option<String>,
    #[serde(deserialize_with = "loose_text")]
    pub(crate) source: Option<String>,
    #[serde(rename = "type", deserialize_with = "loose_text")]
    pub(crate) kind: Option<String>,
    #[serde(deserialize_with = "loose_text")]
    pub(crate) ad_id: Option<String>,
    #[serde(deserialize_with = "loose_text")]
    pub(crate) referer_uri: Option<String>,
    #[serde(deserialize_with = "loose_text")]
    pub(crate) is_guest_user: Option<String>,
    pub(crate) ads_context_data: Option<AdsContext>,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct AdsContext {
    #[serde(deserialize_with = "loose_text")]
    pub(crate) ad_title: Option<String>,
    #[serde(deserialize_with = "loose_text")]
    pub(crate) photo_url: Option<String>,
    #[serde(deserialize_with = "loose_text")]
    pub(crate) video_url: Option<String>,
    #[serde(deserialize_with = "loose_text")]
    pub(crate) post_id: Option<String>,
    #[serde(deserialize_with = "loose_text")]
    pub(crate) product_id: Option<String>,
    #[serde(deserialize_with = "loose_text")]
    pub(crate) flow_id: Option<String>,
}

/// An opt-in or opt-out. The token that comes with notifications gives the right to send them; it is not read.
#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct Optin {
    #[serde(rename = "ref", deserialize_with = "loose_text")]
    pub(crate) reference: Option<String>,
    #[serde(deserialize_with = "loose_text")]
    pub(crate) user_ref: Option<String>,
    #[serde(rename = "type", deserialize_with = "loose_text")]
    pub(crate) kind: Option<String>,
    #[serde(deserialize_with = "loose_text")]
    pub(crate) title: Option<String>,
    #[serde(deserialize_with = "loose_text")]
    pub(crate) payload: Option<String>,
    #[serde(deserialize_with = "loose_text")]
    pub(crate) notification_messages_frequency: Option<String>,
    #[serde(deserialize_with = "loose_text")]
    pub(crate) notification_messages_timezone: Option<String>,
    #[serde(deserialize_with = "loose_text")]
    pub(crate) notification_messages_status: Option<String>,
    #[serde(deserialize_with = "loose_text")]
    pub(crate) user_token_status: Option<String>,
    #[serde(deserialize_with = "loose_text")]
    pub(crate) token_expiry_timestamp: Option<String>,
    pub(crate) referral: Option<Referral>,
}

/// The authorization code that comes with a link is a secret of the shop's; it is not read.
#[derive(Deserialize)]
pub(crate) struct AccountLinking {
    #[serde(default, deserialize_with = "loose_text")]
    pub(crate) status: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct PolicyEnforcement {
    #[serde(default, deserialize_with = "loose_text")]
    pub(crate) action: Option<String>,
    #[serde(default, deserialize_with = "text")]
    pub(crate) reason: Option<String>,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct Order {
    pub(crate) products: Option<Vec<OrderedProduct>>,
    #[serde(deserialize_with = "loose_text")]
    pub(crate) note: Option<String>,
}

#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct OrderedProduct {
    #[serde(deserialize_with = "loose_text")]
    pub(crate) id: Option<String>,
    #[serde(deserialize_with = "loose_text")]
    pub(crate) retailer_id: Option<String>,
    #[serde(deserialize_with = "loose_text")]
    pub(crate) name: Option<String>,
    #[serde(deserialize_with = "loose_text")]
    pub(crate) unit_price: Option<String>,
    #[serde(deserialize_with = "loose_text")]
    pub(crate) currency: Option<String>,
    #[serde(deserialize_with = "loose_text")]
    pub(crate) quantity: Option<String>,
}

/// A thread goes from one app to another.
#[derive(Default, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct ThreadControl {
    #[serde(deserialize_with = "loose_text")]
    pub(crate) previous_owner_app_id: Option<String>,
    #[serde(deserialize_with = "loose_text")]
    pub(crate) new_owner_app_id: Option<String>,
    #[serde(deserialize_with = "loose_text")]
    pub(crate) requested_owner_app_id: Option<String>,
    #[serde(deserialize_with = "loose_text")]
    pub(crate) metadata: Option<String>,
}

/// What a person wrote: a text, or a number that stands for one. Another shape is an error, since nothing that was
/// written may be passed over.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let raw = <&RawValue>::deserialize(deserializer)?.get();
    match raw.as_bytes().first() {
        Some(b'"') => serde_json::from_str(raw)
            .map(Some)
            .map_err(serde::de::Error::custom),
        Some(b'n') => Ok(None),
        Some(b'-' | b'0'..=b'9') => Ok(Some(raw.to_owned())),
        _ => Err(serde::de::Error::custom("a text is expected here")),
    }
}

/// A detail that may be a text, a number or a flag; in any other shape it is left out.
fn loose_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let raw = <&RawValue>::deserialize(deserializer)?.get();
    Ok(match raw.as_bytes().first() {
        Some(b'"') => serde_json::from_str(raw).ok(),
        Some(b'-' | b'0'..=b'9' | b't' | b'f') => Some(raw.to_owned()),
        _ => None,
    })
}

/// A flag; only `true` (or its text) sets it.
fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    Ok(<&RawValue>::deserialize(deserializer)?
        .get()
        .trim_matches('"')
        == "true")
}

/// A number of degrees, written as a number or as a text.
fn degrees<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    let raw = <&RawValue>::deserialize(deserializer)?.get();
    Ok(raw
        .trim_matches('"')
        .parse()
        .ok()
        .filter(|number: &f64| number.is_finite() && number.abs() <= 180.0))
}
