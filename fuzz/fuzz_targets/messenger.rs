//! Signed deliveries of Meta's with any content.
#![no_main]

use std::sync::LazyLock;

use deskbell_sdk::webhook::hmac_sha256_hex;
use deskbell_sdk::{Channel, Secret};
use libfuzzer_sys::fuzz_target;

static CHANNEL: LazyLock<Box<dyn Channel>> = LazyLock::new(|| {
    deskbell_fuzz::open(
        deskbell_messenger::KIND,
        &[
            ("app_id", "4242424242"),
            ("app_secret", "invented-app-secret"),
            ("page_id", "1029384756"),
            ("page_access_token", "invented-page-token"),
            ("verify_token", "invented-verify-token"),
        ],
    )
});

fuzz_target!(|body: &[u8]| {
    let signature = hmac_sha256_hex(&Secret::new("invented-app-secret"), body);
    let proof = format!("sha256={signature}");
    deskbell_fuzz::deliver(&**CHANNEL, "x-hub-signature-256", &proof, body);
});
