//! Identities that visitors of a website claim: none is believed without the shop's signature.
#![no_main]

use std::sync::LazyLock;

use deskbell_sdk::Channel;
use deskbell_sdk::visitors::ClaimedIdentity;
use libfuzzer_sys::fuzz_target;

static CHANNEL: LazyLock<Box<dyn Channel>> = LazyLock::new(|| {
    let settings = [("identity_secret", "invented-identity-secret")];
    deskbell_fuzz::open(deskbell_webchat::KIND, &settings)
});

fuzz_target!(
    |claimed: (String, Option<String>, Option<String>, Option<String>)| {
        let (id, name, email, signature) = claimed;
        let visitors = CHANNEL.visitors().expect("a website chat");
        let claimed = ClaimedIdentity {
            id: &id,
            name: name.as_deref(),
            email: email.as_deref(),
            signature: signature.as_deref(),
        };
        assert!(
            visitors.identify(&claimed).is_err(),
            "believed without a signature"
        );
    }
);
