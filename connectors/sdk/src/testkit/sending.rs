//! Sending, against a platform that answers in every way there is: what a connector makes of an answer decides whether
//! a customer gets a message once, twice or never.

mod plans;

use std::time::Duration;

use ::http::{HeaderValue, Request, Response, StatusCode, header};
use bytes::Bytes;

use super::Fault;
use super::conformance::guarded;
use super::http::{ScriptedHttp, finish, json_answer};
use super::leaks::LeakCheck;
use crate::channel::Channel;
use crate::client::HttpFailure;
use crate::model::AttachmentKind;
use crate::retry_after::LONGEST_WAIT;
use crate::send::{
    Fate, LostSend, Outbound, OutboundFile, Part, ReplyShape, Send as Sender, SendError, Sent,
};
use crate::time::Time;

type Answer = Box<dyn Fn(&Request<Bytes>) -> Result<Response<Bytes>, HttpFailure> + Send + Sync>;

/// A platform that a channel sends to, by its own answers. Every function gets the call and writes what the platform
/// would; the run adds what stands between: gateways, cut lines, silence.
#[derive(Clone, Copy)]
pub struct Platform<'a> {
    /// A thread that can be written to.
    pub thread: &'a str,
    /// Whether a call is the one that sends. All others (an upload before it) are always accepted.
    pub is_send: fn(&Request<Bytes>) -> bool,
    /// The platform takes the call.
    pub accepted: fn(&Request<Bytes>) -> Response<Bytes>,
    /// The message's id in that answer, where the platform gives one.
    pub accepted_id: Option<&'static str>,
    /// The platform does not accept the credentials.
    pub credentials_refused: fn(&Request<Bytes>) -> Response<Bytes>,
    /// The platform takes no more for so many seconds, written as it writes them; what comes may be no number at all.
    pub too_many: fn(&Request<Bytes>, &str) -> Response<Bytes>,
    /// The platform is in trouble, and says so in its own form, with status 500.
    pub own_trouble: fn(&Request<Bytes>) -> Response<Bytes>,
    /// The platform refuses this message for good.
    pub refused: fn(&Request<Bytes>) -> Response<Bytes>,
    /// The code that the refusal has for the desk.
    pub refused_code: &'static str,
    /// Words that all those errors hold. They are in whatever language the platform likes, so none may show.
    pub words: &'static str,
    /// Whether the platform wants the token in the path of its addresses, so that it cannot stand elsewhere; in a query
    /// no secret may stand in any case.
    pub token_in_path: bool,
}

/// How a send is to end.
enum End {
    Sent,
    Credentials,
    /// With the wait that the platform asks for.
    Retry(Option<Duration>),
    /// With any wait up to an hour, or none.
    RetrySometime,
    Refused,
    Unknown,
}

/// A channel that sends, under examination.
pub(crate) struct Examined<'a> {
    pub(crate) channel: &'a dyn Channel,
    pub(crate) sender: &'a dyn Sender,
    pub(crate) platform: Platform<'a>,
    pub(crate) base: Option<&'a str>,
    pub(crate) leaks: &'a LeakCheck,
}

impl Examined<'_> {
    /// Returns how many answers were tried, and how many replies were cut into parts.
    pub(crate) fn examine(&self) -> Result<(usize, usize), Fault> {
        let plans = plans::examine(self.sender, self.channel.limits().text_chars)?;
        let mut answers = 0;
        for part in self.parts() {
            for (name, answer, end) in self.cases() {
                answers += 1;
                self.send(&part, name, answer, &end).map_err(|found| {
                    Fault::new(found.check, format!("{name}: {}", found.detail))
                })?;
            }
            for (name, answer) in self.no_answers() {
                answers += 1;
                self.look(&part, name, answer)?;
            }
        }
        for (name, answer) in self.no_answers() {
            answers += 1;
            self.signal(name, answer)?;
        }
        Ok((answers, plans))
    }

    /// A text, and a file of each kind that the channel takes.
    fn parts(&self) -> Vec<Part> {
        let mut parts = vec![Part::Text(
            "Dobrý deň, už je na ceste 📦 \"<&>\"".to_owned(),
        )];
        for (kind, mime_type) in [
            (AttachmentKind::Image, "image/png"),
            (AttachmentKind::Audio, "audio/mpeg"),
            (AttachmentKind::Video, "video/mp4"),
            (AttachmentKind::File, "application/pdf"),
        ] {
            let bytes = Bytes::from_static(b"\x00\r\n--content\xff");
            let shape = ReplyShape {
                text: None,
                files: vec![(kind, mime_type, bytes.len() as u64)],
            };
            if self.sender.plan(&shape).is_ok() {
                parts.push(Part::File(OutboundFile {
                    kind,
                    name: Some("Účet \"1\"\r\n.pdf".to_owned()),
                    mime_type: mime_type.to_owned(),
                    bytes,
                }));
            }
        }
        parts
    }

    fn cases(&self) -> Vec<(&'static str, Answer, End)> {
        let platform = self.platform;
        let own = |answer: fn(&Request<Bytes>) -> Response<Bytes>| -> Answer {
            Box::new(move |request| Ok(answer(request)))
        };
        let too_many = |wait: &'static str| -> Answer {
            Box::new(move |request| Ok((platform.too_many)(request, wait)))
        };
        let mut cases: Vec<(&'static str, Answer, End)> = vec![
            ("accepted", own(platform.accepted), End::Sent),
            (
                "credentials refused",
                own(platform.credentials_refused),
                End::Credentials,
            ),
            (
                "too many, wait 7",
                too_many("7"),
                End::Retry(Some(Duration::from_secs(7))),
            ),
            (
                "too many, wait a day",
                too_many("86400"),
                End::Retry(Some(LONGEST_WAIT)),
            ),
            ("too many, wait 0", too_many("0"), End::RetrySometime),
            ("too many, wait -5", too_many("-5"), End::RetrySometime),
            ("too many, wait soon", too_many("soon"), End::RetrySometime),
            (
                "its own trouble",
                own(platform.own_trouble),
                End::RetrySometime,
            ),
            ("refused", own(platform.refused), End::Refused),
            (
                "unreachable",
                Box::new(|_| Err(HttpFailure::not_sent("connection refused"))),
                End::RetrySometime,
            ),
            (
                "half of an acceptance",
                Box::new(move |request| {
                    let mut answer = (platform.accepted)(request);
                    let half = answer.body().len() / 2;
                    answer.body_mut().truncate(half);
                    Ok(answer)
                }),
                End::Unknown,
            ),
        ];
        cases.extend(
            self.no_answers()
                .into_iter()
                .map(|(name, answer)| (name, answer, End::Unknown)),
        );
        cases
    }

    /// Whatever is no answer of the platform's own, though the platform may have had the call.
    fn no_answers(&self) -> Vec<(&'static str, Answer)> {
        let failing =
            |say: &'static str| -> Answer { Box::new(move |_| Err(HttpFailure::unanswered(say))) };
        let page = |status: u16, body: &'static str| -> Answer {
            Box::new(move |_| Ok(page(status, body)))
        };
        vec![
            ("a cut line", failing("broke off")),
            ("silence", failing("did not answer in time")),
            (
                "a gateway's 502",
                page(502, "<html><h1>502 Bad Gateway</h1></html>"),
            ),
            (
                "a gateway's 503",
                page(503, "<html>Service Unavailable</html>"),
            ),
            ("a gateway's 504", page(504, "")),
            ("an empty 500", page(500, "")),
            (
                "a gateway's JSON",
                Box::new(|_| {
                    Ok(json_answer(
                        502,
                        r#"{"error":{"code":502,"message":"Bad Gateway"}}"#,
                    ))
                }),
            ),
            ("a proxy's 407", page(407, "<html>Who are you?</html>")),
            (
                "a portal's 200",
                page(200, "<html>Welcome to the hotel</html>"),
            ),
            ("an empty 200", page(200, "")),
            ("null", page(200, "null")),
            (
                "deep nesting",
                Box::new(|_| Ok(json_answer(200, &"[".repeat(200_000)))),
            ),
        ]
    }

    fn send(&self, part: &Part, name: &str, answer: Answer, end: &End) -> Result<(), Fault> {
        let platform = self.scripted(answer);
        let outbound = Outbound {
            thread: self.platform.thread,
            send_token: "snd_invented.1",
            part,
            reply_to: None,
            window_extended: false,
        };
        let ended = guarded("sending", || finish(self.sender.send(&platform, outbound)))?
            .ok_or_else(|| Fault::new("sending", "waits for something else than its calls"))?;
        let said = match &ended {
            Ok(_) => String::new(),
            Err(error) => format!("{error} {error:?}"),
        };
        if self.leaks.shows_in(&said) {
            return Err(Fault::new("leak", "the error shows a secret"));
        }
        if said.contains(self.platform.words) {
            return Err(Fault::new(
                "sending",
                "the error repeats the platform's own words",
            ));
        }
        if ended
            .as_ref()
            .is_err_and(|error| error.to_string().trim().is_empty())
        {
            return Err(Fault::new("sending", "the error says nothing"));
        }
        self.check_calls(&platform)?;
        let sends = platform
            .calls()
            .iter()
            .filter(|call| (self.platform.is_send)(call))
            .count();
        if sends != 1 {
            return Err(Fault::new(
                "sending",
                format!(
                    "sent {sends} times; whether something is sent again is the daemon's to decide"
                ),
            ));
        }
        if self.ends_so(end, &ended) {
            Ok(())
        } else {
            Err(Fault::new("sending", format!("{name} ended as {ended:?}")))
        }
    }

    fn ends_so(&self, end: &End, ended: &Result<Sent, SendError>) -> bool {
        match (end, ended) {
            (End::Sent, Ok(sent)) => sent.external_id.as_deref() == self.platform.accepted_id,
            (End::Retry(wait), Err(SendError::Retry { after, .. })) => after == wait,
            (End::RetrySometime, Err(SendError::Retry { after, .. })) => {
                after.is_none_or(|after| after <= LONGEST_WAIT)
            }
            (End::Refused, Err(SendError::Refused { code, .. })) => {
                code == self.platform.refused_code
            }
            (End::Credentials, Err(SendError::Credentials { .. }))
            | (End::Unknown, Err(SendError::Unknown { .. })) => true,
            _ => false,
        }
    }

    /// A look that brought nothing must not be taken for a message that is not there.
    fn look(&self, part: &Part, name: &str, answer: Answer) -> Result<(), Fault> {
        let platform = ScriptedHttp::answering(answer);
        let lost = LostSend {
            thread: self.platform.thread,
            send_token: "snd_invented.1",
            part,
            attempted_at: Time::from_millis(1_795_281_631_412),
            known: &[],
        };
        let fate = guarded("fate", || finish(self.sender.fate(&platform, lost)))?
            .ok_or_else(|| Fault::new("fate", "waits for something else than its calls"))?;
        if self.leaks.shows_in(&format!("{fate:?}")) {
            return Err(Fault::new("leak", "a fate shows a secret"));
        }
        self.check_calls(&platform)?;
        if platform.calls().iter().any(self.platform.is_send) {
            return Err(Fault::new("fate", "sends instead of looking"));
        }
        match fate {
            Fate::Unanswered { .. } | Fate::Untold => Ok(()),
            Fate::Sent(_) | Fate::NotSent | Fate::NotSeen => {
                Err(Fault::new("fate", format!("{name} was taken for {fate:?}")))
            }
        }
    }

    /// The typing sign and the seen mark, whatever is answered.
    fn signal(&self, name: &str, answer: Answer) -> Result<(), Fault> {
        let platform = ScriptedHttp::answering(answer);
        let thread = self.platform.thread;
        let signals = [
            guarded("signals", || {
                finish(self.sender.typing(&platform, thread, true))
            })?,
            guarded("signals", || {
                finish(self.sender.typing(&platform, thread, false))
            })?,
            guarded("signals", || {
                finish(self.sender.mark_seen(&platform, thread))
            })?,
        ];
        for signal in signals {
            let ended = signal
                .ok_or_else(|| Fault::new("signals", "waits for something else than its calls"))?;
            if self.leaks.shows_in(&format!("{ended:?}")) {
                return Err(Fault::new(
                    "leak",
                    format!("{name}: a signal's error shows a secret"),
                ));
            }
        }
        self.check_calls(&platform)
    }

    /// All calls go to the channel's platform, with no secret in an address.
    fn check_calls(&self, platform: &ScriptedHttp) -> Result<(), Fault> {
        for call in platform.calls() {
            let address = match self.platform.token_in_path {
                true => call.uri().query().unwrap_or_default().to_owned(),
                false => call.uri().to_string(),
            };
            if self.leaks.shows_in(&address) {
                return Err(Fault::new(
                    "leak",
                    "a secret stands in the address of a call, where proxies log it",
                ));
            }
            if !self
                .base
                .is_some_and(|base| call.uri().to_string().starts_with(base))
            {
                let host = call.uri().host();
                return Err(Fault::new(
                    "sending",
                    format!("called {host:?} instead of the channel's platform"),
                ));
            }
        }
        Ok(())
    }

    fn scripted(&self, answer: Answer) -> ScriptedHttp {
        let platform_accepts = self.platform.accepted;
        let is_send = self.platform.is_send;
        ScriptedHttp::answering(move |request| {
            if is_send(request) {
                answer(request)
            } else {
                Ok(platform_accepts(request))
            }
        })
    }
}

/// An answer of something that stands between us and the platform.
fn page(status: u16, body: &'static str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from_static(body.as_bytes()));
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let html = HeaderValue::from_static("text/html");
    response.headers_mut().insert(header::CONTENT_TYPE, html);
    let wait = HeaderValue::from_static("1");
    response.headers_mut().insert(header::RETRY_AFTER, wait);
    response
}

#[cfg(test)]
mod tests;
