//! The one run that every connector passes. What there is to examine is found by ability.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::Fault;
use super::fixtures::Fixture;
use super::forgery;
use super::http::{ScriptedHttp, finish};
use super::json_map::{JsonMap, replaced};
use super::leaks::{LeakCheck, improper};
use super::mutation;
use super::sending::{self, Platform};
use crate::channel::{Channel, Kind};
use crate::inbound::{Event, Inbound};
use crate::secret::Secret;
use crate::settings::{SettingKind, SettingValue, Settings};
use crate::webhook::{Malformed, Rejected, Request, Verified, Webhook};

/// The secret for deliveries that the run gives to the channel, as the daemon would.
pub const WEBHOOK_SECRET: &str = "5b0d1c7e2f3a49586776859493a2b1c0d0e1f2a3b4c5d6e7f8091a2b3c4d5e6f";

/// What is examined: a connector with everything the run has to know of it.
pub struct Subject<'a> {
    /// The connector.
    pub kind: Kind,
    /// Its settings as texts; their kinds are taken from its description (a list is written `a,b`, a flag `true`).
    pub settings: &'a [(&'a str, &'a str)],
    /// A folder of deliveries `NAME.json` with what they decode to, `NAME.expected.json`. With `UPDATE_EXPECTED=1` in
    /// the environment the expectations are written instead of compared: read them before you keep them.
    pub fixtures: Option<&'a Path>,
    /// How a genuine delivery proves itself; wanted where the channel has a webhook.
    pub proof: Option<Proof<'a>>,
    /// The platform's own answers to a send; wanted where the channel sends.
    pub platform: Option<Platform<'a>>,
}

/// How a genuine delivery proves itself: by one header.
#[derive(Clone, Copy)]
pub struct Proof<'a> {
    /// The header's name in lower case.
    pub header: &'static str,
    /// The header's value for a body.
    pub value: &'a dyn Fn(&[u8]) -> String,
    /// Whether the value depends on the body: a signature does, a shared secret does not.
    pub covers_body: bool,
}

impl Proof<'_> {
    /// The headers of a genuine delivery of `body`.
    pub(crate) fn headers(&self, body: &[u8]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Ok(value) = HeaderValue::from_str(&(self.value)(body)) {
            headers.insert(HeaderName::from_static(self.header), value);
        }
        headers
    }
}

/// How much was examined, so that a test can see that it was not nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Fixtures that decode as they should.
    pub fixtures: usize,
    /// Forged deliveries that were refused.
    pub forgeries: usize,
    /// Fixtures with unknown fields that decode as without.
    pub unknown_fields: usize,
    /// Damaged deliveries that did no harm.
    pub mutations: usize,
    /// Answers of a platform that the health check took.
    pub health_answers: usize,
    /// Answers of a platform to sends, looks and signals that were understood.
    pub sends: usize,
    /// Replies that were cut into parts without loss.
    pub plans: usize,
}

/// Examines the connector and panics with the first fault.
pub fn run(subject: &Subject<'_>) -> Report {
    match examine(subject) {
        Ok(report) => report,
        Err(fault) => panic!("{fault}"),
    }
}

/// Examines the connector; the first fault ends it.
pub fn examine(subject: &Subject<'_>) -> Result<Report, Fault> {
    let settings = settings_of(subject.kind, subject.settings)?;
    let others = with_other_secrets(subject);
    let leaks = LeakCheck::of(settings.secrets());
    let channel = open(subject.kind, &settings)?;
    examine_settings(subject, &settings, &leaks)?;

    let mut report = Report::default();
    if let Some(webhook) = channel.webhook() {
        let proof = subject.proof.ok_or_else(|| {
            Fault::new(
                "subject",
                "the channel has a webhook, so the subject needs a proof",
            )
        })?;
        let texts: Vec<(&str, &str)> = others
            .iter()
            .map(|(key, text)| (*key, text.as_str()))
            .collect();
        let others = settings_of(subject.kind, &texts)?
            .with_webhook_secret(Secret::new(another(WEBHOOK_SECRET)));
        let stranger = open(subject.kind, &others)?;
        let examined = Examined {
            webhook,
            proof,
            leaks: &leaks,
        };
        let fixtures = super::fixtures::load(subject)?;
        report.fixtures = examined.fixtures(&fixtures)?;
        let bodies: Vec<&[u8]> = fixtures
            .iter()
            .map(|fixture| fixture.body.as_slice())
            .collect();
        report.forgeries = forgery::examine(&examined, stranger.webhook(), &bodies)?;
        report.unknown_fields = examined.unknown_fields(&fixtures)?;
        report.mutations = mutation::examine(&examined, &bodies)?;
    }
    if channel.health().is_some() {
        report.health_answers = examine_health(channel.as_ref(), settings.api_base(), &leaks)?;
    }
    if let Some(sender) = channel.send() {
        let platform = subject.platform.ok_or_else(|| {
            Fault::new(
                "subject",
                "the channel sends, so the subject needs a platform",
            )
        })?;
        let examined = sending::Examined {
            channel: channel.as_ref(),
            sender,
            platform,
            base: settings.api_base(),
            leaks: &leaks,
        };
        (report.sends, report.plans) = examined.examine()?;
    }
    Ok(report)
}

/// Settings from texts, by the connector's own description.
pub fn settings_of(kind: Kind, texts: &[(&str, &str)]) -> Result<Settings, Fault> {
    let mut values = BTreeMap::new();
    for (key, text) in texts {
        let described = kind.settings.iter().find(|setting| setting.key == *key);
        let value = match described.map(|setting| setting.kind) {
            Some(SettingKind::Secret) => SettingValue::Secret(Secret::new(*text)),
            Some(SettingKind::Flag) => SettingValue::Flag(*text == "true"),
            Some(SettingKind::List) => {
                SettingValue::List(text.split(',').map(str::to_owned).collect())
            }
            Some(SettingKind::Text | SettingKind::Choice(_)) | None => {
                SettingValue::Text((*text).to_owned())
            }
        };
        values.insert((*key).to_owned(), value);
    }
    Settings::checked(kind.settings, values, kind.api_base.map(str::to_owned))
        .map(|settings| settings.with_webhook_secret(Secret::new(WEBHOOK_SECRET)))
        .map_err(|problem| Fault::new("settings", problem.to_string()))
}

fn open(kind: Kind, settings: &Settings) -> Result<Box<dyn Channel>, Fault> {
    (kind.open)(settings).map_err(|problem| Fault::new("settings", problem.to_string()))
}

/// The settings of somebody else: the same with every secret changed.
fn with_other_secrets<'a>(subject: &Subject<'a>) -> Vec<(&'a str, String)> {
    let is_secret = |key: &str| {
        subject
            .kind
            .settings
            .iter()
            .any(|setting| setting.key == key && setting.kind == SettingKind::Secret)
    };
    subject
        .settings
        .iter()
        .map(|(key, text)| match is_secret(key) {
            true => (*key, another(text)),
            false => (*key, (*text).to_owned()),
        })
        .collect()
}

/// Another secret of the same shape: its last character is another.
fn another(secret: &str) -> String {
    let kept: String = secret
        .chars()
        .take(secret.chars().count().saturating_sub(1))
        .collect();
    kept + if secret.ends_with('0') { "1" } else { "0" }
}

fn examine_settings(
    subject: &Subject<'_>,
    settings: &Settings,
    leaks: &LeakCheck,
) -> Result<(), Fault> {
    let kind = subject.kind;
    if kind.id.is_empty()
        || !kind
            .id
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    {
        return Err(Fault::new(
            "settings",
            format!("the id `{}` is not lower-case ASCII", kind.id),
        ));
    }
    if let Some(silent) = kind.settings.iter().find(|setting| setting.help.is_empty()) {
        return Err(Fault::new(
            "settings",
            format!("`{}` has no help", silent.key),
        ));
    }
    if leaks.shows_in(&format!("{settings:?}")) {
        return Err(Fault::new("leak", "the settings' Debug shows a secret"));
    }
    // A value that the connector refuses must not come back in its words.
    for (broken, _) in subject.settings {
        for junk in [
            "",
            " ",
            "\u{0}",
            "../../x",
            "not a value: \u{202E}",
            "1\r\nx: y",
        ] {
            let texts: Vec<(&str, &str)> = subject
                .settings
                .iter()
                .map(|(key, text)| (*key, if key == broken { junk } else { *text }))
                .collect();
            let Ok(settings) = settings_of(kind, &texts) else {
                continue;
            };
            if let Err(problem) = guarded("settings", || (kind.open)(&settings).map(|_| ()))?
                && leaks.shows_in(&format!("{problem} {problem:?}"))
            {
                return Err(Fault::new(
                    "leak",
                    format!("the problem with `{broken}` shows a secret"),
                ));
            }
        }
    }
    Ok(())
}

/// Runs `deed` and makes a fault of its panic.
pub(crate) fn guarded<T>(check: &'static str, deed: impl FnOnce() -> T) -> Result<T, Fault> {
    catch_unwind(AssertUnwindSafe(deed)).map_err(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("without words");
        Fault::new(check, format!("panicked: {text}"))
    })
}

/// A webhook under examination.
pub(crate) struct Examined<'a> {
    pub(crate) webhook: &'a dyn Webhook,
    pub(crate) proof: Proof<'a>,
    pub(crate) leaks: &'a LeakCheck,
}

impl Examined<'_> {
    /// Checks a request with these headers.
    pub(crate) fn verify(
        &self,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Result<Verified, Rejected>, Fault> {
        verify_with(self.webhook, headers, body)
    }

    /// Delivers `body` as the platform would and looks at what comes out.
    pub(crate) fn deliver(
        &self,
        check: &'static str,
        body: &[u8],
    ) -> Result<Result<Vec<Inbound>, Malformed>, Fault> {
        let verified = self
            .verify(&self.proof.headers(body), body)?
            .map_err(|rejected| {
                Fault::new(check, format!("a genuine delivery was refused: {rejected}"))
            })?;
        let decoded = guarded(check, || self.webhook.decode(&verified))?;
        if self.leaks.shows_in(&format!("{decoded:?}")) {
            return Err(Fault::new(
                "leak",
                "what was decoded shows a secret of the channel",
            ));
        }
        if let Ok(events) = &decoded
            && let Some(problem) = improper(events)
        {
            return Err(Fault::new(check, problem));
        }
        Ok(decoded)
    }

    fn fixtures(&self, fixtures: &[Fixture]) -> Result<usize, Fault> {
        for fixture in fixtures {
            let fault =
                |detail: String| Fault::new("fixtures", format!("{}: {detail}", fixture.name));
            if fixture.body.len() > self.webhook.max_body_bytes() {
                return Err(fault("is larger than the connector takes".to_owned()));
            }
            let events = self
                .deliver("fixtures", &fixture.body)
                .map_err(|found| fault(found.detail))?
                .map_err(|malformed| fault(format!("was not decoded: {malformed}")))?;
            let again = self.deliver("fixtures", &fixture.body)?;
            if again.as_ref() != Ok(&events) {
                return Err(fault(
                    "decodes to something else the second time".to_owned(),
                ));
            }
            let written = serde_json::to_string_pretty(&events)
                .map_err(|error| fault(format!("cannot be written: {error}")))?;
            match &fixture.expected {
                None => std::fs::write(&fixture.expected_path, written + "\n")
                    .map_err(|error| fault(format!("cannot be written: {error}")))?,
                Some(expected) if *expected != events => {
                    return Err(fault(format!(
                        "decodes to\n{written}\nwhich is not what {} says",
                        fixture.expected_path.display()
                    )));
                }
                Some(_) => {}
            }
        }
        Ok(fixtures.len())
    }

    /// A platform adds fields whenever it likes; that changes nothing.
    fn unknown_fields(&self, fixtures: &[Fixture]) -> Result<usize, Fault> {
        const VALUES: [&str; 6] = [
            "null",
            "7",
            "\"new\"",
            "[]",
            "{\"id\":{\"id\":[1,{}]}}",
            "[[{\"type\":\"x\"}]]",
        ];
        let mut tried = 0;
        for fixture in fixtures {
            let plain = self
                .deliver("unknown fields", &fixture.body)?
                .map(without_raw);
            let ends = JsonMap::of(&fixture.body).object_ends;
            let mut variants = vec![fixture.body.clone(); VALUES.len()];
            // From the last to the first, so that the places stay right.
            for (end, is_empty) in ends.iter().rev() {
                for (variant, value) in variants.iter_mut().zip(VALUES) {
                    *variant =
                        replaced(variant, &(*end..*end), member(*is_empty, value).as_bytes());
                }
            }
            for (index, (end, is_empty)) in ends.iter().enumerate() {
                let value = member(*is_empty, VALUES[index % VALUES.len()]);
                variants.push(replaced(&fixture.body, &(*end..*end), value.as_bytes()));
            }
            for variant in variants {
                let decoded = self.deliver("unknown fields", &variant)?.map(without_raw);
                if decoded != plain {
                    return Err(Fault::new(
                        "unknown fields",
                        format!(
                            "{}: with an unknown field\n{}\ndecodes to\n{decoded:?}\nand without to\n{plain:?}",
                            fixture.name,
                            String::from_utf8_lossy(&variant)
                        ),
                    ));
                }
                tried += 1;
            }
        }
        Ok(tried)
    }
}

/// A key that no platform has, and that sorts after all that one has.
fn member(is_first: bool, value: &str) -> String {
    format!(
        "{}\"~unknown_to_deskbell\":{value}",
        if is_first { "" } else { "," }
    )
}

/// What could not be understood is kept as it came, with the unknown fields, and why may name a column.
fn without_raw(events: Vec<Inbound>) -> Vec<Inbound> {
    events
        .into_iter()
        .map(|mut inbound| {
            if let Event::Undecodable { raw, why } = &mut inbound.event {
                raw.clear();
                why.clear();
            }
            inbound
        })
        .collect()
}

pub(crate) fn verify_with(
    webhook: &dyn Webhook,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Result<Verified, Rejected>, Fault> {
    let body = Bytes::copy_from_slice(body);
    let request = Request {
        method: &Method::POST,
        query: "",
        headers,
        body: &body,
    };
    guarded("verify", || webhook.verify(&request))
}

/// Health never fails, calls nobody but the channel's platform, and shows no secret, also where the platform answers
/// with the very token it was given.
fn examine_health(
    channel: &dyn Channel,
    base: Option<&str>,
    leaks: &LeakCheck,
) -> Result<usize, Fault> {
    let Some(health) = channel.health() else {
        return Ok(0);
    };
    let repeating = ScriptedHttp::answering(|request| {
        let headers = request
            .headers()
            .iter()
            .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())));
        let said = format!(
            "{} {}",
            request.uri(),
            headers.collect::<Vec<_>>().join(", ")
        )
        .replace(['"', '\\'], "'");
        let body = format!(
            r#"{{"error":{{"message":"{said}","code":190,"type":"{said}"}},"id":"{said}","name":"{said}"}}"#
        );
        Ok(super::http::json_answer(400, &body))
    });
    let platforms = [
        ScriptedHttp::unreachable(),
        ScriptedHttp::always(200, ""),
        ScriptedHttp::always(200, "<html>"),
        ScriptedHttp::always(200, "{}"),
        ScriptedHttp::always(200, "[[[[[[null]]]]]]"),
        ScriptedHttp::always(200, &"[".repeat(200_000)),
        ScriptedHttp::always(204, ""),
        ScriptedHttp::always(301, ""),
        ScriptedHttp::always(401, "{}"),
        ScriptedHttp::always(403, "no"),
        ScriptedHttp::always(429, "{}"),
        ScriptedHttp::always(500, "{\"error\":5}"),
        ScriptedHttp::always(502, "<html>Bad gateway</html>"),
        repeating,
    ];
    let tried = platforms.len();
    for platform in platforms {
        let looked = guarded("health", || finish(health.look(&platform)))?;
        let findings = looked
            .ok_or_else(|| Fault::new("health", "waits for something else than its calls"))?;
        if findings.is_empty() || findings.iter().any(|finding| finding.say.is_empty()) {
            return Err(Fault::new("health", "found nothing or says nothing of it"));
        }
        if leaks.shows_in(&format!("{findings:?}")) {
            return Err(Fault::new(
                "leak",
                "a finding of the health check shows a secret",
            ));
        }
        for call in platform.calls() {
            if leaks.shows_in(call.uri().query().unwrap_or_default()) {
                return Err(Fault::new(
                    "leak",
                    "a secret stands in the query of a call, where proxies log it",
                ));
            }
            if !base.is_some_and(|base| call.uri().to_string().starts_with(base)) {
                return Err(Fault::new(
                    "health",
                    format!(
                        "called {:?} instead of the channel's platform",
                        call.uri().host()
                    ),
                ));
            }
        }
    }
    Ok(tried)
}

#[cfg(test)]
mod tests;
