//! Deskbell: one feed for a shop's customer messages, and a bell that rings until a person has taken them.

pub mod access;
pub mod api;
pub mod app;
pub mod backup;
pub mod blobs;
pub mod channels;
pub mod cli;
pub mod clock;
pub mod config;
pub mod desk;
pub mod downloads;
pub mod erasure;
pub mod export;
pub mod figures;
pub mod held;
pub mod html;
pub mod http_client;
pub mod id;
pub mod inbox;
pub mod intake;
pub mod live;
pub mod mail;
pub mod media;

pub mod oidc;
pub mod outbox;
pub mod presence;
pub mod profiles;
pub mod provision;
pub mod registration;
pub mod registry;
pub mod run;
pub mod seal;
pub mod search;
pub mod secrets;
pub mod server;
#[cfg(test)]
mod simulation;
pub mod store;
pub mod totp;
pub mod upkeep;
pub mod view;
pub mod virus_check;
pub mod waking;
pub mod watch;
pub mod work;
pub mod writer;
