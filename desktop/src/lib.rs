//! The companion for desktops: rings on a computer of the shop until somebody has taken the customer's message. A crate of
//! its own, so that the daemon needs no sound libraries; it speaks only the public API.

pub mod autostart;
pub mod browser;
pub mod cli;
pub mod client;
pub mod clock;
pub mod keeping;
pub mod notices;
pub mod paths;
pub mod policy;
pub mod run;
pub mod settings;
pub mod sound;
pub mod sse;
pub mod stream;
pub mod text;
pub mod tray;
pub mod wire;
