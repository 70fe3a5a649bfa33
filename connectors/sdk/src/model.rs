//! The words that connectors and the desk share.

use serde::{Deserialize, Serialize};

/// Who a message came from: the customer's side or ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Direction {
    /// From a customer.
    Inbound,
    /// From the shop: by the desk, or typed elsewhere.
    Outbound,
}

/// What an attachment is. Nothing that a customer sent is dropped: what has no kind of its own is `Unsupported`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum AttachmentKind {
    /// A picture.
    Image,
    /// A sound or voice message.
    Audio,
    /// A film.
    Video,
    /// Any other file.
    File,
    /// A place: `latitude`, `longitude`, perhaps a title.
    Location,
    /// A sticker.
    Sticker,
    /// A contact card.
    Contact,
    /// A shared page or post.
    Link,
    /// A story that was shared or answered.
    Story,
    /// Buttons, cards or another structured message.
    Template,
    /// Something that the desk cannot show and names instead.
    Unsupported,
}

/// How far an outbound message has come. The order is the order of progress: of two states that a platform tells, in
/// whatever order, the later one here stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum DeliveryState {
    /// Waits in the outbox.
    Queued,
    /// The answer of the platform was lost: it may or may not have been sent.
    Unknown,
    /// The platform has it.
    Sent,
    /// It was refused for good, at once or after it was taken.
    Failed,
    /// It reached the person's device.
    Delivered,
    /// The person has read it.
    Read,
}
