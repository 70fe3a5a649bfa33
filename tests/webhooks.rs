//! What comes in at `/webhooks/…`: who is let in, and what becomes of what they bring.

mod support;

#[path = "webhooks/bombs.rs"]
mod bombs;
#[path = "webhooks/deletions.rs"]
mod deletions;
#[path = "webhooks/fixtures.rs"]
mod fixtures;
#[path = "webhooks/flood.rs"]
mod flood;
#[path = "webhooks/forgery.rs"]
mod forgery;
#[path = "webhooks/handshake.rs"]
mod handshake;
#[path = "webhooks/ids.rs"]
mod ids;
#[path = "webhooks/log.rs"]
mod log;
#[path = "webhooks/mutated.rs"]
mod mutated;
#[path = "webhooks/order.rs"]
mod order;
#[path = "webhooks/outage.rs"]
mod outage;
#[path = "webhooks/poison.rs"]
mod poison;
#[path = "webhooks/proxies.rs"]
mod proxies;
#[path = "webhooks/replay.rs"]
mod replay;
#[path = "webhooks/routing.rs"]
mod routing;
#[path = "webhooks/signed_bytes.rs"]
mod signed_bytes;
