//! A harness counts only when it has caught planted faults: a model connector passes, and with each fault it does not.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Deserialize;
use serde_json::value::RawValue;

use super::*;
use crate::client::{BoxFuture, Http};
use crate::health::{Finding, Health, Standing};
use crate::inbound::{Author, NewMessage, Person};
use crate::model::Direction;
use crate::settings::{Setting, SettingProblem};
use crate::text::clean_text;
use crate::webhook::{hmac_sha256_hex, hmac_sha256_prefixed};
use crate::{ExternalId, Limits, Time, json};

const HEADER: &str = "x-model-signature";
const TEST_SECRET: &str = "a-secret-of-the-model";
const SETTINGS: &[Setting] = &[Setting::secret("secret", "what the model signs with")];

const NO_FAULT: u8 = 0;
const ACCEPTS_EVERYTHING: u8 = 1;
const MISSING_HEADER_PASSES: u8 = 2;
const CASE_DOES_NOT_MATTER: u8 = 3;
const SIGNS_HALF_THE_BODY: u8 = 4;
const ANY_OF_TWO_HEADERS: u8 = 5;
const NOT_PURE: u8 = 6;
const REFUSES_UNKNOWN_FIELDS: u8 = 7;
const PANICS_ON_ODD_INPUT: u8 = 8;
const SHOWS_ITS_SECRET: u8 = 9;
const DOES_NOT_CLEAN: u8 = 10;
const DROPS_A_MESSAGE: u8 = 11;
const HEALTH_REPEATS_THE_ANSWER: u8 = 12;

struct Model<const FAULT: u8> {
    secret: Secret,
    deliveries: AtomicU64,
}

fn open_model<const FAULT: u8>(settings: &Settings) -> Result<Box<dyn Channel>, SettingProblem> {
    let secret = settings.required_secret("secret")?.clone();
    Ok(Box::new(Model::<FAULT> {
        secret,
        deliveries: AtomicU64::new(0),
    }))
}

const fn model<const FAULT: u8>() -> Kind {
    Kind {
        id: "model",
        title: "Model",
        settings: SETTINGS,
        api_base: Some("https://model.example"),
        open: open_model::<FAULT>,
    }
}

impl<const FAULT: u8> Channel for Model<FAULT> {
    fn limits(&self) -> Limits {
        Limits::default()
    }

    fn webhook(&self) -> Option<&dyn Webhook> {
        Some(self)
    }

    fn health(&self) -> Option<&dyn Health> {
        Some(self)
    }
}

impl<const FAULT: u8> Model<FAULT> {
    /// What a careless connector would do: makes the proof itself.
    fn wave_through(&self, body: &Bytes) -> Result<Verified, Rejected> {
        let mut headers = HeaderMap::new();
        let proof = format!("sha256={}", hmac_sha256_hex(&self.secret, body));
        headers.insert(HEADER, HeaderValue::from_str(&proof).expect("hex"));
        let request = Request {
            method: &Method::POST,
            query: "",
            headers: &headers,
            body,
        };
        hmac_sha256_prefixed(&request, HEADER, std::slice::from_ref(&self.secret))
    }
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    messages: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Line {
    id: ExternalId,
    from: ExternalId,
    text: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StrictLine {
    id: ExternalId,
    from: ExternalId,
    text: String,
}

impl<const FAULT: u8> Webhook for Model<FAULT> {
    fn verify(&self, request: &Request<'_>) -> Result<Verified, Rejected> {
        let genuine = hmac_sha256_prefixed(request, HEADER, std::slice::from_ref(&self.secret));
        let first = request
            .headers
            .get(HEADER)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let own = || format!("sha256={}", hmac_sha256_hex(&self.secret, request.body));
        let pass = match FAULT {
            ACCEPTS_EVERYTHING => true,
            MISSING_HEADER_PASSES => request.headers.get(HEADER).is_none(),
            CASE_DOES_NOT_MATTER => first.eq_ignore_ascii_case(&own()),
            SIGNS_HALF_THE_BODY => {
                genuine.is_ok()
                    || (first.len() == 71
                        && request.body.len() > 4
                        && first == own_of_first_half(self, request.body))
            }
            ANY_OF_TWO_HEADERS => request
                .headers
                .get_all(HEADER)
                .iter()
                .any(|value| value.as_bytes() == own().as_bytes()),
            _ => false,
        };
        if pass {
            self.wave_through(request.body)
        } else {
            genuine
        }
    }

    fn decode(&self, delivery: &Verified) -> Result<Vec<Inbound>, Malformed> {
        let text = json::mended(delivery.body());
        if FAULT == SHOWS_ITS_SECRET && text.contains("null") {
            return Err(Malformed(format!(
                "cannot read this with {}",
                self.secret.expose()
            )));
        }
        let envelope: Envelope<'_> = serde_json::from_str(&text)
            .map_err(|_| Malformed("not the model's format".to_owned()))?;
        let mut events = Vec::new();
        for raw in envelope.messages {
            let line = if FAULT == REFUSES_UNKNOWN_FIELDS {
                serde_json::from_str::<StrictLine>(raw.get()).map(|line| Line {
                    id: line.id,
                    from: line.from,
                    text: line.text,
                })
            } else {
                serde_json::from_str::<Line>(raw.get())
            };
            let Ok(line) = line else {
                events.push(Inbound::here(Event::Undecodable {
                    raw: raw.get().to_owned(),
                    why: "not a message".to_owned(),
                }));
                continue;
            };
            if FAULT == PANICS_ON_ODD_INPUT {
                assert!(line.text.len() < 1000, "nobody writes that much");
            }
            let cleaned = if FAULT == DOES_NOT_CLEAN {
                line.text
            } else {
                clean_text(&line.text)
            };
            if cleaned.trim().is_empty() && FAULT != DROPS_A_MESSAGE {
                events.push(Inbound::here(Event::Ignored {
                    why: "an empty message".to_owned(),
                }));
                continue;
            }
            let sent_at = if FAULT == NOT_PURE {
                self.deliveries.fetch_add(1, Ordering::Relaxed)
            } else {
                0
            };
            let customer = Person::with_id(line.from.as_str());
            events.push(Inbound::here(Event::Message(Box::new(NewMessage {
                thread: line.from.as_str().to_owned(),
                customer: customer.clone(),
                external_id: line.id.into_string(),
                direction: Direction::Inbound,
                author: Author::Contact(customer),
                text: Some(cleaned),
                attachments: Vec::new(),
                reply_to: None,
                sent_at: Time::from_millis(i64::try_from(sent_at).unwrap_or(0)),
                order: 0,
                metadata: BTreeMap::new(),
                send_token: None,
                album: None,
            }))));
        }
        Ok(events)
    }
}

/// A signature that covers only the first half: a change in the second half is not seen.
fn own_of_first_half<const FAULT: u8>(model: &Model<FAULT>, body: &Bytes) -> String {
    format!(
        "sha256={}",
        hmac_sha256_hex(&model.secret, &body[..body.len() / 2])
    )
}

impl<const FAULT: u8> Health for Model<FAULT> {
    fn look<'a>(&'a self, http: &'a dyn Http) -> BoxFuture<'a, Vec<Finding>> {
        Box::pin(async move {
            let request = http::Request::get("https://model.example/me")
                .header("authorization", format!("Bearer {}", self.secret.expose()))
                .body(Bytes::new());
            let Ok(request) = request else {
                return Vec::new();
            };
            let say = match http.call(request).await {
                Ok(answer) if FAULT == HEALTH_REPEATS_THE_ANSWER => {
                    String::from_utf8_lossy(answer.body()).into_owned() + "."
                }
                Ok(answer) => format!("the platform answered {}", answer.status()),
                Err(failure) => failure.to_string(),
            };
            vec![Finding {
                what: "token",
                standing: Standing::Doubtful,
                say,
            }]
        })
    }
}

fn examined_with<const FAULT: u8>() -> Result<Report, Fault> {
    let half = FAULT == SIGNS_HALF_THE_BODY;
    let sign = move |body: &[u8]| {
        let signed = if half { &body[..body.len() / 2] } else { body };
        format!(
            "sha256={}",
            hmac_sha256_hex(&Secret::new(TEST_SECRET), signed)
        )
    };
    examine(&Subject {
        kind: model::<FAULT>(),
        settings: &[("secret", TEST_SECRET)],
        fixtures: Some(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures"))),
        proof: Some(Proof {
            header: HEADER,
            value: &sign,
            covers_body: true,
        }),
        platform: None,
    })
}

fn fault_of<const FAULT: u8>() -> &'static str {
    examined_with::<FAULT>()
        .expect_err("the planted fault was not caught")
        .check
}

#[test]
fn a_good_connector_passes() {
    let report = examined_with::<NO_FAULT>().expect("the model has no fault");
    assert_eq!(report.fixtures, 1);
    assert!(report.forgeries >= 1000, "{report:?}");
    assert!(report.mutations >= 10_000, "{report:?}");
    assert!(report.unknown_fields >= 6, "{report:?}");
    assert!(report.health_answers >= 10, "{report:?}");
}

#[test]
fn w01_a_verifier_that_accepts_everything_is_caught() {
    assert_eq!(fault_of::<ACCEPTS_EVERYTHING>(), "forgery");
}

#[test]
fn w02_a_verifier_that_skips_a_missing_header_is_caught() {
    assert_eq!(fault_of::<MISSING_HEADER_PASSES>(), "forgery");
}

#[test]
fn w02_a_verifier_that_takes_any_of_two_headers_is_caught() {
    assert_eq!(fault_of::<ANY_OF_TWO_HEADERS>(), "forgery");
}

#[test]
fn w05_a_verifier_that_ignores_case_is_caught() {
    assert_eq!(fault_of::<CASE_DOES_NOT_MATTER>(), "forgery");
}

#[test]
fn w03_a_verifier_that_reads_half_the_body_is_caught() {
    assert_eq!(fault_of::<SIGNS_HALF_THE_BODY>(), "forgery");
}

#[test]
fn a_decoder_with_a_memory_is_caught() {
    assert_eq!(fault_of::<NOT_PURE>(), "fixtures");
}

#[test]
fn a_decoder_that_refuses_unknown_fields_is_caught() {
    assert_eq!(fault_of::<REFUSES_UNKNOWN_FIELDS>(), "unknown fields");
}

#[test]
fn w10_a_decoder_that_panics_is_caught_with_the_seed() {
    let fault =
        examined_with::<PANICS_ON_ODD_INPUT>().expect_err("the planted fault was not caught");
    assert_eq!(fault.check, "mutation");
    assert!(fault.detail.contains("nobody writes that much"), "{fault}");
    assert!(fault.detail.contains("seed 0x"), "{fault}");
}

#[test]
fn w13_a_decoder_that_does_not_clean_is_caught() {
    assert_eq!(fault_of::<DOES_NOT_CLEAN>(), "mutation");
}

#[test]
fn a_decoder_that_makes_empty_messages_is_caught() {
    assert_eq!(fault_of::<DROPS_A_MESSAGE>(), "mutation");
}

#[test]
fn a_decoder_that_shows_its_secret_is_caught() {
    assert_eq!(fault_of::<SHOWS_ITS_SECRET>(), "leak");
}

#[test]
fn a_health_check_that_repeats_the_platform_is_caught() {
    assert_eq!(fault_of::<HEALTH_REPEATS_THE_ANSWER>(), "leak");
}

#[test]
fn a_webhook_without_a_proof_is_no_subject() {
    let subject = Subject {
        kind: model::<NO_FAULT>(),
        settings: &[("secret", TEST_SECRET)],
        fixtures: None,
        proof: None,
        platform: None,
    };
    assert_eq!(examine(&subject).expect_err("no proof").check, "subject");
}

/// Examines the model with one fixture `hello.json` and this expectation.
fn examined_expecting(name: &str, expectation: Option<&str>) -> Result<Report, Fault> {
    let folder = std::env::temp_dir().join(format!("deskbell-sdk-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let body = br#"{"messages":[{"id":"1","from":"2001","text":"hello"}]}"#;
    std::fs::write(folder.join("hello.json"), body).expect("a fixture");
    if let Some(expectation) = expectation {
        std::fs::write(folder.join("hello.expected.json"), expectation).expect("an expectation");
    }
    let sign = |body: &[u8]| {
        format!(
            "sha256={}",
            hmac_sha256_hex(&Secret::new(TEST_SECRET), body)
        )
    };
    let examined = examine(&Subject {
        kind: model::<NO_FAULT>(),
        settings: &[("secret", TEST_SECRET)],
        fixtures: Some(&folder),
        proof: Some(Proof {
            header: HEADER,
            value: &sign,
            covers_body: true,
        }),
        platform: None,
    });
    std::fs::remove_dir_all(&folder).expect("removed");
    examined
}

#[test]
fn a_delivery_that_decodes_to_something_else_is_caught() {
    if crate::testkit::fixtures::updates_expectations() {
        return; // nothing is compared then
    }
    let other = examined_expecting("other", Some("[]")).expect_err("not what is expected");
    assert_eq!(other.check, "fixtures");
    assert!(other.detail.contains("decodes to"), "{other}");
    let none = examined_expecting("none", None).expect_err("no expectation");
    assert!(none.detail.contains("UPDATE_EXPECTED=1"), "{none}");
}
