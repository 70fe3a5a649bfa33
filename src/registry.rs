//! The one visible list of connectors: the only file that names one.

use deskbell_sdk::Kind;

/// Every connector that this daemon knows.
pub const KINDS: &[Kind] = &[
    deskbell_messenger::KIND,
    deskbell_telegram::KIND,
    deskbell_webchat::KIND,
    deskbell_echo::KIND,
];
