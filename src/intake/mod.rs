//! How messages come in: deliveries of platforms, checked, decoded, routed, and durable before they are answered; and
//! what no delivery brought, which is read at the platform.

pub mod catch_up;
pub mod webhook;
