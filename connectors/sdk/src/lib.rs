//! What a Deskbell connector is.
//!
//! A connector turns a platform's bytes into the desk's words and back. It verifies and decodes without I/O, without
//! a clock and without a store: bytes in, events out. Everything else (HTTP, loops, time-outs, retries, the store) is
//! the daemon's. `connectors/echo` is the smallest complete example; `connectors/README.md` is the checklist.

pub mod backfill;
pub mod channel;
pub mod client;
pub mod deletion;
pub mod external_id;
pub mod health;
pub mod http_date;
pub mod inbound;
pub mod json;
pub mod media;
pub mod model;
pub mod multipart;
pub mod poll;
pub mod profile;
pub mod register;
pub mod retry_after;
pub mod secret;
pub mod send;
pub mod settings;
pub mod split;
#[cfg(feature = "testkit")]
pub mod testkit;
pub mod text;
pub mod time;
pub mod visitors;
pub mod webhook;

pub use channel::{AppKey, Channel, Kind, Limits};
pub use external_id::ExternalId;
pub use inbound::{
    Activity, Alert, Author, Event, Inbound, MessageChange, NewAttachment, NewMessage, Person,
    Receipt, Source,
};
pub use model::{AttachmentKind, DeliveryState, Direction};
pub use secret::Secret;
pub use settings::{Setting, SettingKind, SettingProblem, Settings};
pub use time::Time;
pub use webhook::{Malformed, Rejected, Reply, Request, Verified, Webhook};
