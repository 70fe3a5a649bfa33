//! Updates of Telegram's with any content.
#![no_main]

use std::sync::LazyLock;

use deskbell_sdk::Channel;
use libfuzzer_sys::fuzz_target;

static CHANNEL: LazyLock<Box<dyn Channel>> = LazyLock::new(|| {
    let settings = [
        ("bot_token", "123456789:AA-an-invented-token"),
        ("mode", "webhook"),
    ];
    deskbell_fuzz::open(deskbell_telegram::KIND, &settings)
});

fuzz_target!(|body: &[u8]| {
    let header = "x-telegram-bot-api-secret-token";
    deskbell_fuzz::deliver(&**CHANNEL, header, deskbell_fuzz::WEBHOOK_SECRET, body);
});
