//! What comes in at `/webhooks/…`: who is let in, and what becomes of what they bring.

mod bombs;
mod deletions;
mod fixtures;
mod flood;
mod forgery;
mod handshake;
mod ids;
mod log;
mod mutated;
mod order;
mod outage;
mod poison;
mod proxies;
mod replay;
mod routing;
mod signed_bytes;
