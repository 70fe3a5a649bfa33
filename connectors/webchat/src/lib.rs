//! The website chat: a button in the corner of a shop's own pages.
//!
//! There is no platform behind it. The daemon itself serves the visitors at `/chat/{channel_id}`; this crate knows
//! the script that a page includes, the websites whose pages may use the chat, and how a visitor who is logged in at
//! the shop is told from one who only says so.

mod origins;

use deskbell_sdk::visitors::{ClaimedIdentity, IdentityRefused, Visitors};
use deskbell_sdk::webhook::is_hmac_sha256_hex;
use deskbell_sdk::{Channel, Kind, Limits, Secret, Setting, SettingKind, SettingProblem, Settings};

const ALLOWED_ORIGINS: &str = "allowed_origins";
const IDENTITY_SECRET: &str = "identity_secret";

/// Longest text of one message, in characters. The widget says so before it sends.
const TEXT_CHARS: usize = 5000;

/// The script that a page includes: written by hand, no build step, nothing from third parties.
const SCRIPT: &str = include_str!("../widget/chat.js");

/// The kind `webchat`.
pub const KIND: Kind = Kind {
    id: "webchat",
    title: "Website chat",
    settings: &[
        Setting::text(
            ALLOWED_ORIGINS,
            "the websites whose pages may show the chat, each as https://shop.example; left out: only pages that \
             this daemon serves itself",
        )
        .kind(SettingKind::List)
        .optional(),
        Setting::secret(
            IDENTITY_SECRET,
            "a secret shared with the shop's server, which signs the ids of customers who are logged in; left out: \
             every visitor is a stranger",
        )
        .optional(),
    ],
    api_base: None,
    open,
};

/// One website's chat.
struct Webchat {
    allowed_origins: Option<Vec<String>>,
    identity_secret: Option<Secret>,
}

fn open(settings: &Settings) -> Result<Box<dyn Channel>, SettingProblem> {
    let allowed_origins = settings.list(ALLOWED_ORIGINS).map(<[String]>::to_vec);
    for origin in allowed_origins.iter().flatten() {
        origins::check(origin)
            .map_err(|problem| SettingProblem::new(ALLOWED_ORIGINS, problem.to_string()))?;
    }
    let identity_secret = settings.secret(IDENTITY_SECRET).cloned();
    Ok(Box::new(Webchat {
        allowed_origins,
        identity_secret,
    }))
}

impl Channel for Webchat {
    fn limits(&self) -> Limits {
        Limits {
            reply_window_ms: None,
            text_chars: Some(TEXT_CHARS),
        }
    }

    fn visitors(&self) -> Option<&dyn Visitors> {
        Some(self)
    }
}

impl Visitors for Webchat {
    fn script(&self) -> &'static str {
        SCRIPT
    }

    fn allowed_origins(&self) -> Option<&[String]> {
        self.allowed_origins.as_deref()
    }

    /// V01: without a secret nobody is known, and a claim without a signature is refused like a forged one. Only the
    /// id is signed; the name and the address beside it are what the page says.
    fn identify(&self, claimed: &ClaimedIdentity<'_>) -> Result<(), IdentityRefused> {
        let secret = self
            .identity_secret
            .as_ref()
            .ok_or(IdentityRefused::NoSecret)?;
        let signature = claimed.signature.ok_or(IdentityRefused::BadSignature)?;
        if !claimed.id.is_empty() && is_hmac_sha256_hex(secret, claimed.id.as_bytes(), signature) {
            Ok(())
        } else {
            Err(IdentityRefused::BadSignature)
        }
    }
}

#[cfg(test)]
mod tests;
