//! How messages come in: deliveries of platforms, checked, decoded, routed, and durable before they are answered.

pub mod webhook;
