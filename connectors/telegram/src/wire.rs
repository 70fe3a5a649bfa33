//! The Bot API's types, as far as the desk uses them (Bot API 10.1). Unknown fields are passed over.

use deskbell_sdk::ExternalId;
use deskbell_sdk::json::Raw;
use serde::{Deserialize, Serialize};

/// One update: exactly one of these besides its number.
#[derive(Deserialize)]
pub(crate) struct Update<'a> {
    pub(crate) update_id: i64,
    #[serde(borrow)]
    pub(crate) message: Option<Raw<'a>>,
    #[serde(borrow)]
    pub(crate) edited_message: Option<Raw<'a>>,
    #[serde(borrow)]
    pub(crate) business_connection: Option<Raw<'a>>,
    #[serde(borrow)]
    pub(crate) business_message: Option<Raw<'a>>,
    #[serde(borrow)]
    pub(crate) edited_business_message: Option<Raw<'a>>,
    #[serde(borrow)]
    pub(crate) deleted_business_messages: Option<Raw<'a>>,
    #[serde(borrow)]
    pub(crate) message_reaction: Option<Raw<'a>>,
    #[serde(borrow)]
    pub(crate) callback_query: Option<Raw<'a>>,
    #[serde(borrow)]
    pub(crate) my_chat_member: Option<Raw<'a>>,
}

#[derive(Deserialize)]
pub(crate) struct User {
    pub(crate) id: i64,
    pub(crate) first_name: Option<String>,
    pub(crate) last_name: Option<String>,
    pub(crate) username: Option<String>,
    pub(crate) language_code: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct Chat {
    pub(crate) id: i64,
    /// `private`, `group`, `supergroup` or `channel`.
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    pub(crate) title: Option<String>,
    pub(crate) username: Option<String>,
    pub(crate) first_name: Option<String>,
    pub(crate) last_name: Option<String>,
    #[serde(default)]
    pub(crate) is_direct_messages: bool,
}

#[derive(Deserialize)]
pub(crate) struct DirectTopic {
    pub(crate) topic_id: i64,
    pub(crate) user: Option<User>,
}

/// A message. Service messages are read from the keys that it has.
#[derive(Deserialize)]
pub(crate) struct Message {
    pub(crate) message_id: i64,
    pub(crate) message_thread_id: Option<i64>,
    #[serde(default)]
    pub(crate) is_topic_message: bool,
    pub(crate) direct_messages_topic: Option<DirectTopic>,
    pub(crate) from: Option<User>,
    pub(crate) sender_chat: Option<Chat>,
    pub(crate) sender_business_bot: Option<User>,
    pub(crate) business_connection_id: Option<ExternalId>,
    pub(crate) date: i64,
    pub(crate) edit_date: Option<i64>,
    pub(crate) chat: Chat,
    pub(crate) forward_origin: Option<ForwardOrigin>,
    #[serde(default)]
    pub(crate) is_automatic_forward: bool,
    pub(crate) reply_to_message: Option<Reference>,
    pub(crate) external_reply: Option<ExternalReply>,
    pub(crate) quote: Option<Quote>,
    pub(crate) reply_to_story: Option<Story>,
    pub(crate) via_bot: Option<User>,
    pub(crate) media_group_id: Option<ExternalId>,
    pub(crate) text: Option<String>,
    pub(crate) entities: Option<Vec<Entity>>,
    pub(crate) caption: Option<String>,
    pub(crate) caption_entities: Option<Vec<Entity>>,
    pub(crate) photo: Option<Vec<PhotoSize>>,
    pub(crate) live_photo: Option<LivePhoto>,
    pub(crate) document: Option<File>,
    pub(crate) animation: Option<File>,
    pub(crate) audio: Option<File>,
    pub(crate) voice: Option<File>,
    pub(crate) video: Option<File>,
    pub(crate) video_note: Option<File>,
    pub(crate) sticker: Option<Sticker>,
    pub(crate) story: Option<Story>,
    pub(crate) paid_media: Option<PaidMediaInfo>,
    pub(crate) contact: Option<Contact>,
    pub(crate) location: Option<Location>,
    pub(crate) venue: Option<Venue>,
    pub(crate) dice: Option<Dice>,
    pub(crate) poll: Option<Poll>,
    pub(crate) checklist: Option<Checklist>,
    pub(crate) game: Option<Titled>,
    pub(crate) invoice: Option<Titled>,
    pub(crate) web_app_data: Option<WebAppData>,
}

/// A message that another one names; it may be inaccessible.
#[derive(Deserialize)]
pub(crate) struct Reference {
    pub(crate) message_id: i64,
}

#[derive(Deserialize)]
pub(crate) struct ExternalReply {
    pub(crate) chat: Option<Chat>,
    pub(crate) message_id: Option<i64>,
}

#[derive(Deserialize)]
pub(crate) struct Quote {
    pub(crate) text: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct ForwardOrigin {
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    pub(crate) date: Option<i64>,
    pub(crate) sender_user: Option<User>,
    pub(crate) sender_user_name: Option<String>,
    pub(crate) sender_chat: Option<Chat>,
    pub(crate) chat: Option<Chat>,
    pub(crate) author_signature: Option<String>,
}

/// A stretch of a text; its place and length are in UTF-16 units.
#[derive(Deserialize)]
pub(crate) struct Entity {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) offset: usize,
    #[serde(default)]
    pub(crate) length: usize,
    pub(crate) url: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct PhotoSize {
    pub(crate) file_id: ExternalId,
    pub(crate) file_unique_id: Option<ExternalId>,
    #[serde(default)]
    pub(crate) width: u32,
    #[serde(default)]
    pub(crate) height: u32,
    pub(crate) file_size: Option<u64>,
}

/// A document, animation, audio, voice, video or video note.
#[derive(Deserialize)]
pub(crate) struct File {
    pub(crate) file_id: ExternalId,
    pub(crate) file_unique_id: Option<ExternalId>,
    pub(crate) file_name: Option<String>,
    pub(crate) mime_type: Option<String>,
    pub(crate) file_size: Option<u64>,
    pub(crate) performer: Option<String>,
    pub(crate) title: Option<String>,
}

/// A still picture with a short film. Only the film's file is read; the picture stands in `photo`.
#[derive(Deserialize)]
pub(crate) struct LivePhoto {
    pub(crate) file_id: Option<ExternalId>,
    pub(crate) file_unique_id: Option<ExternalId>,
    pub(crate) mime_type: Option<String>,
    pub(crate) file_size: Option<u64>,
}

#[derive(Deserialize)]
pub(crate) struct Sticker {
    pub(crate) file_id: ExternalId,
    pub(crate) file_unique_id: Option<ExternalId>,
    pub(crate) emoji: Option<String>,
    #[serde(default)]
    pub(crate) is_animated: bool,
    #[serde(default)]
    pub(crate) is_video: bool,
    pub(crate) file_size: Option<u64>,
}

#[derive(Deserialize)]
pub(crate) struct Story {
    pub(crate) chat: Option<Chat>,
    pub(crate) id: Option<i64>,
}

#[derive(Deserialize)]
pub(crate) struct PaidMediaInfo {
    pub(crate) star_count: Option<i64>,
    #[serde(default)]
    pub(crate) paid_media: Vec<PaidMedia>,
}

#[derive(Deserialize)]
pub(crate) struct PaidMedia {
    pub(crate) photo: Option<Vec<PhotoSize>>,
    pub(crate) video: Option<File>,
}

#[derive(Deserialize, Serialize)]
pub(crate) struct Contact {
    pub(crate) phone_number: Option<String>,
    pub(crate) first_name: Option<String>,
    pub(crate) last_name: Option<String>,
    pub(crate) user_id: Option<i64>,
    pub(crate) vcard: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct Location {
    pub(crate) latitude: Option<f64>,
    pub(crate) longitude: Option<f64>,
    /// Seconds for which it moves.
    pub(crate) live_period: Option<i64>,
}

#[derive(Deserialize)]
pub(crate) struct Venue {
    pub(crate) title: Option<String>,
    pub(crate) address: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct Dice {
    pub(crate) emoji: Option<String>,
    pub(crate) value: Option<i64>,
}

#[derive(Deserialize)]
pub(crate) struct Poll {
    pub(crate) question: Option<String>,
    #[serde(default)]
    pub(crate) options: Vec<TextOnly>,
}

#[derive(Deserialize)]
pub(crate) struct TextOnly {
    pub(crate) text: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct Checklist {
    pub(crate) title: Option<String>,
    #[serde(default)]
    pub(crate) tasks: Vec<Task>,
}

#[derive(Deserialize)]
pub(crate) struct Task {
    pub(crate) text: Option<String>,
    pub(crate) completion_date: Option<i64>,
}

/// A game or an invoice.
#[derive(Deserialize)]
pub(crate) struct Titled {
    pub(crate) title: Option<String>,
    pub(crate) description: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct WebAppData {
    pub(crate) data: Option<String>,
    pub(crate) button_text: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct Payment {
    pub(crate) currency: Option<String>,
    /// In the currency's smallest unit.
    pub(crate) total_amount: Option<i64>,
    pub(crate) invoice_payload: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct CallbackQuery {
    pub(crate) id: ExternalId,
    pub(crate) from: User,
    pub(crate) message: Option<TappedMessage>,
    pub(crate) data: Option<String>,
    pub(crate) game_short_name: Option<String>,
}

/// The message under which a button was tapped; of an old one only the first two are told.
#[derive(Deserialize)]
pub(crate) struct TappedMessage {
    pub(crate) message_id: i64,
    pub(crate) chat: Chat,
    pub(crate) message_thread_id: Option<i64>,
    #[serde(default)]
    pub(crate) is_topic_message: bool,
    pub(crate) direct_messages_topic: Option<DirectTopic>,
    pub(crate) business_connection_id: Option<ExternalId>,
    pub(crate) reply_markup: Option<Keyboard>,
}

#[derive(Deserialize)]
pub(crate) struct Keyboard {
    #[serde(default)]
    pub(crate) inline_keyboard: Vec<Vec<Button>>,
}

#[derive(Deserialize)]
pub(crate) struct Button {
    pub(crate) text: Option<String>,
    pub(crate) callback_data: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct MessageReaction {
    pub(crate) chat: Chat,
    pub(crate) message_id: i64,
    pub(crate) user: Option<User>,
    pub(crate) actor_chat: Option<Chat>,
    pub(crate) date: i64,
    #[serde(default)]
    pub(crate) new_reaction: Vec<Reaction>,
}

#[derive(Deserialize)]
pub(crate) struct Reaction {
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    pub(crate) emoji: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct ChatMemberUpdated {
    pub(crate) chat: Chat,
    pub(crate) from: User,
    pub(crate) date: i64,
    pub(crate) old_chat_member: Option<ChatMember>,
    pub(crate) new_chat_member: Option<ChatMember>,
}

#[derive(Deserialize)]
pub(crate) struct ChatMember {
    pub(crate) status: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct BusinessConnection {
    pub(crate) user: Option<User>,
    #[serde(default)]
    pub(crate) is_enabled: bool,
    pub(crate) rights: Option<BusinessRights>,
}

#[derive(Deserialize)]
pub(crate) struct BusinessRights {
    #[serde(default)]
    pub(crate) can_reply: bool,
}

#[derive(Deserialize)]
pub(crate) struct BusinessDeleted {
    pub(crate) business_connection_id: ExternalId,
    pub(crate) chat: Chat,
    #[serde(default)]
    pub(crate) message_ids: Vec<i64>,
}
