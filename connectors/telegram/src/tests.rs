//! The conformance run, and what fixtures cannot show: asking for updates, registering, looking things up.

mod asking;
mod looking;
mod registering;

use std::path::Path;

use bytes::Bytes;
use deskbell_sdk::testkit::conformance::{Proof, Subject, WEBHOOK_SECRET, run, settings_of};
use deskbell_sdk::testkit::http::json_answer;
use deskbell_sdk::testkit::sending::Platform;
use deskbell_sdk::{Channel, Secret, Settings};
use http::{Request, Response};
use serde_json::{Value, json};

use super::{KIND, SECRET_HEADER};

pub(crate) const TOKEN: &str = "4242424242:AAInventedTokenOfTheTests_0-x";
const SETTINGS: &[(&str, &str)] = &[("bot_token", TOKEN), ("mode", "webhook")];

fn settings(mode: &str) -> Settings {
    settings_of(KIND, &[("bot_token", TOKEN), ("mode", mode)]).expect("settings")
}

/// The channel of the tests, in a mode.
pub(crate) fn channel(mode: &str) -> Box<dyn Channel> {
    (KIND.open)(&settings(mode)).expect("opens")
}

/// A refusal of Telegram's, in somebody's language.
pub(crate) fn refusal(status: u16, description: &str) -> Response<Bytes> {
    refusal_with(status, description, &json!({}))
}

pub(crate) fn refusal_with(status: u16, description: &str, parameters: &Value) -> Response<Bytes> {
    let mut body = json!({ "ok": false, "error_code": status, "description": description });
    if parameters != &json!({}) {
        body["parameters"] = parameters.clone();
    }
    json_answer(status, &body.to_string())
}

/// A success of Telegram's.
pub(crate) fn success(result: &Value) -> Response<Bytes> {
    json_answer(200, &json!({ "ok": true, "result": result }).to_string())
}

/// The method that a call names.
pub(crate) fn method(call: &Request<Bytes>) -> &str {
    call.uri().path().rsplit('/').next().unwrap_or_default()
}

/// Telegram, as a channel that sends meets it.
const TELEGRAM: Platform<'static> = Platform {
    thread: "2001",
    is_send: |request| {
        let method = method(request);
        method.starts_with("send") && method != "sendChatAction"
    },
    accepted: |_| {
        success(
            &json!({ "message_id": 55, "date": 1_790_000_000, "chat": { "id": 2001, "type": "private" } }),
        )
    },
    accepted_id: Some("2001:55"),
    credentials_refused: |_| refusal(401, "Unauthorized IN FREMDER SPRACHE"),
    too_many: |_, wait| {
        let wait = wait
            .parse::<i64>()
            .map_or_else(|_| json!(wait), |wait| json!(wait));
        refusal_with(
            429,
            "Too Many Requests IN FREMDER SPRACHE",
            &json!({ "retry_after": wait }),
        )
    },
    own_trouble: |_| refusal(500, "Internal Server Error: IN FREMDER SPRACHE"),
    refused: |_| {
        refusal(
            403,
            "Forbidden: bot was blocked by the user IN FREMDER SPRACHE",
        )
    },
    refused_code: "403/blocked",
    words: "IN FREMDER SPRACHE",
    token_in_path: true,
};

#[test]
fn passes_the_conformance_run() {
    let report = run(&Subject {
        kind: KIND,
        settings: SETTINGS,
        fixtures: Some(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures"))),
        proof: Some(Proof {
            header: SECRET_HEADER,
            value: &|_| WEBHOOK_SECRET.to_owned(),
            covers_body: false,
        }),
        platform: Some(TELEGRAM),
    });
    assert!(report.fixtures >= 70, "{report:?}");
    assert!(report.forgeries >= 100, "{report:?}");
    assert!(report.mutations >= 10_000, "{report:?}");
    assert!(report.sends >= 100, "{report:?}");
    assert!(report.plans >= 1000, "{report:?}");
}

#[test]
fn without_a_secret_for_deliveries_nothing_is_let_in() {
    let values = [
        (
            "bot_token",
            deskbell_sdk::settings::SettingValue::Secret(Secret::new(TOKEN)),
        ),
        (
            "mode",
            deskbell_sdk::settings::SettingValue::Text("webhook".to_owned()),
        ),
    ];
    let values = values
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value));
    let unsealed = Settings::checked(KIND.settings, values.collect(), None).expect("settings");
    let channel = (KIND.open)(&unsealed).expect("opens");
    let webhook = channel.webhook().expect("webhook mode");
    for presented in ["", WEBHOOK_SECRET] {
        let mut headers = http::HeaderMap::new();
        headers.insert(SECRET_HEADER, presented.parse().expect("a header"));
        let body = Bytes::from_static(b"{\"update_id\":1}");
        let request = deskbell_sdk::Request {
            method: &http::Method::POST,
            query: "",
            headers: &headers,
            body: &body,
        };
        assert!(webhook.verify(&request).is_err(), "{presented:?}");
    }
}

#[test]
fn tokens_that_could_lead_elsewhere_are_refused_and_not_repeated() {
    for token in [
        "AAno-number",
        "77077",
        "77077:",
        ":AAx",
        "77077:AA/../../x",
        "77077:AA?x=1",
        "77077:AA x",
        "-5:AAx",
        "99999999999999999999:AAx",
        "77077:AA#x",
    ] {
        let settings = settings_of(KIND, &[("bot_token", token)]).expect("settings");
        let problem = (KIND.open)(&settings).err().expect(token);
        assert_eq!(problem.key, "bot_token");
        assert!(!problem.to_string().contains(token), "{problem}");
    }
}

#[test]
fn each_mode_has_its_own_ways() {
    let poll = channel("poll");
    assert!(poll.poll().is_some() && poll.webhook().is_none() && poll.register().is_none());
    let webhook = channel("webhook");
    assert!(webhook.poll().is_none() && webhook.webhook().is_some());
    assert!(
        webhook
            .register()
            .is_some_and(|register| register.by_itself())
    );
    let defaults = settings_of(KIND, &[("bot_token", TOKEN)]).expect("settings");
    assert!((KIND.open)(&defaults).expect("opens").poll().is_some());
}
