//! The examination of sending counts only because it catches what is planted here.

use ::http::header::AUTHORIZATION;

use super::*;
use crate::channel::{Kind, Limits};
use crate::client::{BoxFuture, Http};
use crate::retry_after::retry_after;
use crate::secret::Secret;
use crate::send::PartPlan;
use crate::settings::{Setting, SettingProblem, Settings};
use crate::split::split_text;
use crate::testkit::conformance::{Report, Subject, examine};

const SETTINGS: &[Setting] = &[Setting::secret("token", "what the model calls with")];
const TOKEN: &str = "a-token-of-the-model";
const LIMIT: usize = 300;

const NO_FAULT: u8 = 0;
const TRIES_AGAIN_AFTER_502: u8 = 1;
const TRIES_AGAIN_AFTER_SILENCE: u8 = 2;
const GIVES_UP_UNSENT: u8 = 3;
const TRUSTS_EVERY_200: u8 = 4;
const DOES_NOT_WAIT: u8 = 5;
const WAITS_A_DAY: u8 = 6;
const REPEATS_THE_PLATFORM: u8 = 7;
const SHOWS_ITS_TOKEN: u8 = 8;
const TOKEN_IN_THE_ADDRESS: u8 = 9;
const SENDS_TWICE: u8 = 10;
const CREDENTIALS_ARE_A_REFUSAL: u8 = 11;
const LOSES_A_SEAM: u8 = 12;
const PARTS_TOO_LONG: u8 = 13;
const CUTS_EMOJI: u8 = 14;
const FILES_BACKWARDS: u8 = 15;
const SENDS_NOTHING: u8 = 16;
const SILENCE_IS_ABSENCE: u8 = 17;
const PANICS_ON_A_PAGE: u8 = 18;
const FORGETS_A_FILE: u8 = 19;

struct Model<const FAULT: u8> {
    token: Secret,
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

fn open_model<const FAULT: u8>(settings: &Settings) -> Result<Box<dyn Channel>, SettingProblem> {
    let token = settings.required_secret("token")?.clone();
    Ok(Box::new(Model::<FAULT> { token }))
}

impl<const FAULT: u8> Channel for Model<FAULT> {
    fn limits(&self) -> Limits {
        Limits {
            reply_window_ms: None,
            text_chars: Some(LIMIT),
        }
    }

    fn send(&self) -> Option<&dyn Sender> {
        Some(self)
    }
}

impl<const FAULT: u8> Model<FAULT> {
    fn request(&self) -> Request<Bytes> {
        let query = if FAULT == TOKEN_IN_THE_ADDRESS {
            TOKEN
        } else {
            ""
        };
        Request::post(format!("https://model.example/send?{query}"))
            .header(AUTHORIZATION, self.token.expose())
            .body(Bytes::new())
            .expect("a request")
    }

    /// The model's platform writes `id …`, `busy …`, `login …`, `trouble …`, `no …`.
    fn outcome(&self, answer: Result<Response<Bytes>, HttpFailure>) -> Result<Sent, SendError> {
        let unknown = |say: &str| {
            Err(SendError::Unknown {
                say: say.to_owned(),
            })
        };
        let retry = |after| {
            Err(SendError::Retry {
                after,
                say: "again".to_owned(),
            })
        };
        let answer = match answer {
            Err(failure) if !failure.may_have_arrived && FAULT == GIVES_UP_UNSENT => {
                return unknown("unreachable");
            }
            Err(failure) if !failure.may_have_arrived || FAULT == TRIES_AGAIN_AFTER_SILENCE => {
                return retry(None);
            }
            Err(_) => return unknown("silence"),
            Ok(answer) => answer,
        };
        let text = String::from_utf8_lossy(answer.body()).into_owned();
        let after = match FAULT {
            DOES_NOT_WAIT => None,
            WAITS_A_DAY => Some(Duration::from_secs(86_400)),
            _ => retry_after(answer.headers()),
        };
        assert!(
            FAULT != PANICS_ON_A_PAGE || !text.starts_with('<'),
            "nobody answers with a page"
        );
        let refused = || {
            let say = match FAULT {
                REPEATS_THE_PLATFORM => text.clone(),
                SHOWS_ITS_TOKEN => format!("tried with {}", self.token.expose()),
                _ => "it was refused".to_owned(),
            };
            Err(SendError::Refused {
                code: "7".to_owned(),
                say,
            })
        };
        let (word, rest) = text.split_once(' ').unwrap_or_default();
        match word {
            "id" if rest == "m1" => Ok(Sent {
                external_id: Some("m1".to_owned()),
            }),
            "busy" => retry(after),
            "trouble" => retry(None),
            "no" => refused(),
            "login" if FAULT == CREDENTIALS_ARE_A_REFUSAL => refused(),
            "login" => Err(SendError::Credentials {
                say: "log in again".to_owned(),
            }),
            _ if FAULT == TRUSTS_EVERY_200 && answer.status() == 200 => {
                Ok(Sent { external_id: None })
            }
            _ if FAULT == TRIES_AGAIN_AFTER_502 && answer.status() == 502 => retry(None),
            _ => unknown("no answer of the model's"),
        }
    }
}

impl<const FAULT: u8> Sender for Model<FAULT> {
    fn plan(&self, reply: &ReplyShape<'_>) -> Result<Vec<PartPlan>, SendError> {
        let text = reply.text.unwrap_or_default();
        let mut texts = match FAULT {
            PARTS_TOO_LONG => split_text(text, LIMIT * 4),
            CUTS_EMOJI => {
                let chars: Vec<char> = text.trim().chars().collect();
                chars
                    .chunks(LIMIT)
                    .map(|part| part.iter().collect::<String>())
                    .collect()
            }
            _ => split_text(text, LIMIT),
        };
        if FAULT == LOSES_A_SEAM && texts.len() > 1 {
            texts[0].pop();
        }
        texts.retain(|part| !part.trim().is_empty());
        let mut parts: Vec<PartPlan> = texts.into_iter().map(PartPlan::Text).collect();
        let mut files: Vec<PartPlan> = (0..reply.files.len()).map(PartPlan::File).collect();
        match FAULT {
            FILES_BACKWARDS => files.reverse(),
            FORGETS_A_FILE => files.truncate(2),
            _ => {}
        }
        parts.extend(files);
        if parts.is_empty() && FAULT != SENDS_NOTHING {
            return Err(SendError::Refused {
                code: "empty".to_owned(),
                say: "nothing".to_owned(),
            });
        }
        Ok(parts)
    }

    fn send<'a>(
        &'a self,
        http: &'a dyn Http,
        _outbound: Outbound<'a>,
    ) -> BoxFuture<'a, Result<Sent, SendError>> {
        Box::pin(async move {
            let mut outcome = self.outcome(http.call(self.request()).await);
            if FAULT == SENDS_TWICE && outcome.is_err() {
                outcome = self.outcome(http.call(self.request()).await);
            }
            outcome
        })
    }

    fn fate<'a>(&'a self, http: &'a dyn Http, _lost: LostSend<'a>) -> BoxFuture<'a, Fate> {
        Box::pin(async move {
            let request = Request::get("https://model.example/list")
                .body(Bytes::new())
                .expect("a request");
            match http.call(request).await {
                Err(_) if FAULT == SILENCE_IS_ABSENCE => Fate::NotSeen,
                Err(failure) => Fate::Unanswered { say: failure.say },
                Ok(_) => Fate::Untold,
            }
        })
    }
}

fn answer(status: u16, text: &str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(text.to_owned()));
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    response
}

const PLATFORM: Platform<'static> = Platform {
    thread: "2001",
    is_send: |request| request.uri().path() == "/send",
    accepted: |_| answer(200, "id m1"),
    accepted_id: Some("m1"),
    credentials_refused: |_| answer(401, "login NEIN"),
    too_many: |_, wait| {
        let mut busy = answer(429, "busy NEIN");
        let wait = HeaderValue::from_str(wait).expect("a header");
        busy.headers_mut().insert(header::RETRY_AFTER, wait);
        busy
    },
    own_trouble: |_| answer(500, "trouble NEIN"),
    refused: |_| answer(400, "no NEIN"),
    refused_code: "7",
    words: "NEIN",
    token_in_path: false,
};

fn examined<const FAULT: u8>() -> Result<Report, Fault> {
    examine(&Subject {
        kind: model::<FAULT>(),
        settings: &[("token", TOKEN)],
        fixtures: None,
        proof: None,
        platform: Some(PLATFORM),
    })
}

/// The check that caught the planted fault, and what it said.
fn caught<const FAULT: u8>() -> (&'static str, String) {
    let fault = examined::<FAULT>().expect_err("the planted fault was not caught");
    (fault.check, fault.detail)
}

#[test]
fn a_good_sender_passes() {
    let report = examined::<NO_FAULT>().expect("the model has no fault");
    assert!(report.sends >= 100, "{report:?}");
    assert!(report.plans >= 1000, "{report:?}");
}

#[test]
fn f13_a_sender_that_sends_blindly_again_is_caught() {
    let (check, detail) = caught::<TRIES_AGAIN_AFTER_502>();
    assert_eq!(check, "sending");
    assert!(detail.contains("a gateway's 502"), "{detail}");
    let (check, detail) = caught::<TRIES_AGAIN_AFTER_SILENCE>();
    assert_eq!(check, "sending");
    assert!(detail.contains("a cut line"), "{detail}");
    let (check, detail) = caught::<SENDS_TWICE>();
    assert_eq!(check, "sending");
    assert!(detail.contains("sent 2 times"), "{detail}");
    let (check, detail) = caught::<SILENCE_IS_ABSENCE>();
    assert_eq!(check, "fate");
    assert!(detail.contains("NotSeen"), "{detail}");
}

#[test]
fn f14_a_sender_that_misreads_answers_is_caught() {
    assert!(caught::<GIVES_UP_UNSENT>().1.contains("unreachable"));
    assert!(caught::<TRUSTS_EVERY_200>().1.contains("Sent"));
    assert!(
        caught::<CREDENTIALS_ARE_A_REFUSAL>()
            .1
            .contains("credentials refused")
    );
    assert!(
        caught::<PANICS_ON_A_PAGE>()
            .1
            .contains("nobody answers with a page")
    );
}

#[test]
fn f16_a_sender_that_does_not_wait_as_told_is_caught() {
    assert!(caught::<DOES_NOT_WAIT>().1.contains("wait 7"));
    assert!(caught::<WAITS_A_DAY>().1.contains("wait 7"));
}

#[test]
fn a_sender_that_repeats_the_platform_or_shows_its_token_is_caught() {
    assert!(caught::<REPEATS_THE_PLATFORM>().1.contains("own words"));
    assert_eq!(caught::<SHOWS_ITS_TOKEN>().0, "leak");
    assert_eq!(caught::<TOKEN_IN_THE_ADDRESS>().0, "leak");
}

#[test]
fn f15_a_plan_that_loses_or_reorders_is_caught_with_the_seed() {
    for (check, detail) in [
        caught::<LOSES_A_SEAM>(),
        caught::<PARTS_TOO_LONG>(),
        caught::<CUTS_EMOJI>(),
        caught::<FILES_BACKWARDS>(),
        caught::<FORGETS_A_FILE>(),
    ] {
        assert_eq!(check, "plan");
        assert!(detail.contains("seed 0x"), "{detail}");
    }
    assert!(caught::<CUTS_EMOJI>().1.contains("one character"));
    assert!(caught::<SENDS_NOTHING>().1.contains("an empty reply"));
}

#[test]
fn a_sender_without_a_platform_is_no_subject() {
    let subject = Subject {
        kind: model::<NO_FAULT>(),
        settings: &[("token", TOKEN)],
        fixtures: None,
        proof: None,
        platform: None,
    };
    assert_eq!(examine(&subject).expect_err("no platform").check, "subject");
}
