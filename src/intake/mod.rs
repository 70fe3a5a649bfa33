//! How messages come in, by delivery or by asking: checked, decoded, routed, and durable before they are answered or
//! confirmed; and what no delivery brought, which is read at the platform.

pub mod catch_up;
pub mod poll;
pub mod replay;
pub mod self_registration;
pub mod webhook;
