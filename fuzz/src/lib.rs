//! What the fuzz targets share: a channel of a connector, and a genuine delivery of any bytes.

use std::collections::BTreeMap;

use bytes::Bytes;
use deskbell_sdk::inbound::Inbound;
use deskbell_sdk::settings::SettingValue;
use deskbell_sdk::webhook::Request;
use deskbell_sdk::{Channel, Kind, Secret, SettingKind, Settings};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

/// The secret for deliveries that the daemon would give to the channel.
pub const WEBHOOK_SECRET: &str = "5b0d1c7e2f3a49586776859493a2b1c0d0e1f2a3b4c5d6e7f8091a2b3c4d5e6f";

/// Opens a channel of a kind with its settings as texts.
///
/// # Panics
/// Where the settings are not the kind's: the target is wrong then.
#[must_use]
pub fn open(kind: Kind, settings: &[(&str, &str)]) -> Box<dyn Channel> {
    let values: BTreeMap<String, SettingValue> = settings
        .iter()
        .map(|(key, value)| {
            let described = kind.settings.iter().find(|setting| setting.key == *key);
            let value = match described.map(|setting| setting.kind) {
                Some(SettingKind::Secret) => SettingValue::Secret(Secret::new(*value)),
                _ => SettingValue::Text((*value).to_owned()),
            };
            ((*key).to_owned(), value)
        })
        .collect();
    let settings = Settings::checked(kind.settings, values, None).expect("settings of this kind");
    (kind.open)(&settings.with_webhook_secret(Secret::new(WEBHOOK_SECRET))).expect("it opens")
}

/// Delivers bytes with the header that proves them, and looks at what they mean: whatever it is, it can be kept and
/// read back as it was.
///
/// # Panics
/// Where what was decoded is none of that: this is what is looked for.
pub fn deliver(channel: &dyn Channel, header: &'static str, proof: &str, body: &[u8]) {
    let webhook = channel.webhook().expect("a channel with a webhook");
    let body = Bytes::copy_from_slice(body);
    let mut headers = HeaderMap::new();
    headers.insert(
        HeaderName::from_static(header),
        HeaderValue::from_str(proof).expect("a proof is ASCII"),
    );
    let request = Request {
        method: &Method::POST,
        query: "",
        headers: &headers,
        body: &body,
    };
    let verified = webhook.verify(&request).expect("it is genuine");
    if let Ok(decoded) = webhook.decode(&verified) {
        let text = serde_json::to_string(&decoded).expect("it can be kept");
        let again: Vec<Inbound> = serde_json::from_str(&text).expect("it can be read back");
        assert_eq!(again, decoded);
    }
}
