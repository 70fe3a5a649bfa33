//! How messages come in, by delivery or by asking: checked, decoded, routed, and durable before they are answered or
//! confirmed.

pub mod poll;
pub mod webhook;
