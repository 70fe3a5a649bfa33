//! Deliveries of the echo connector, the pattern for new ones, with any content.
#![no_main]

use std::sync::LazyLock;

use deskbell_sdk::Channel;
use libfuzzer_sys::fuzz_target;

const TOKEN: &str = "invented-echo-token";

static CHANNEL: LazyLock<Box<dyn Channel>> =
    LazyLock::new(|| deskbell_fuzz::open(deskbell_echo::KIND, &[("token", TOKEN)]));

fuzz_target!(|body: &[u8]| {
    deskbell_fuzz::deliver(&**CHANNEL, "x-echo-token", TOKEN, body);
});
