//! A strict receiver of webhooks: it believes nothing that is not signed by its secret, now, and with an id.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha256;
use standardwebhooks::Webhook;

use crate::support::now_ms;

/// How far a time-stamp may be off, in seconds: as the specification advises.
const TOLERANCE_SECONDS: i64 = 300;

/// How it answers a call that is right.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// With this status and body.
    Status(u16, String),
    /// 429 with `Retry-After` in seconds.
    After(u32),
    /// Not for so long.
    Hang(Duration),
    /// It leads on.
    Redirect(String),
}

/// A call.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) id: String,
    pub(crate) body: Value,
    pub(crate) raw: String,
    pub(crate) signatures: Vec<String>,
    pub(crate) hops: String,
    pub(crate) at: Instant,
    /// What it was answered.
    pub(crate) status: u16,
}

impl Call {
    /// The conversation that it tells of.
    pub(crate) fn conversation(&self) -> String {
        self.body["data"]["conversation"]["id"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// The text of its message.
    pub(crate) fn text(&self) -> String {
        self.body["data"]["message"]["text"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }
}

type Plan = Box<dyn FnMut(&Call) -> Answer + Send>;

#[derive(Default)]
struct Kept {
    secrets: Vec<String>,
    calls: Vec<Call>,
    wrong: Vec<String>,
    plan: Option<Plan>,
}

/// The receiver.
#[derive(Clone)]
pub(crate) struct Receiver {
    pub(crate) url: String,
    kept: Arc<Mutex<Kept>>,
}

impl Receiver {
    /// Listens on a free port; answers 204 to what is right.
    pub(crate) async fn start() -> Self {
        let kept: Arc<Mutex<Kept>> = Arc::default();
        let router = Router::new()
            .route("/in", post(take))
            .with_state(Arc::clone(&kept));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let url = format!("http://{}/in", listener.local_addr().expect("an address"));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, kept }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().expect("not poisoned")
    }

    /// Believes what is signed by one of these.
    pub(crate) fn trust(&self, secrets: &[&str]) {
        self.kept().secrets = secrets.iter().map(|secret| (*secret).to_owned()).collect();
    }

    /// Answers like this from now on.
    pub(crate) fn plan(&self, plan: impl FnMut(&Call) -> Answer + Send + 'static) {
        self.kept().plan = Some(Box::new(plan));
    }

    /// The calls so far that were right; fails where one was wrong.
    pub(crate) fn calls(&self) -> Vec<Call> {
        let kept = self.kept();
        assert_eq!(kept.wrong, Vec::<String>::new());
        kept.calls.clone()
    }

    /// What was wrong with calls.
    pub(crate) fn wrong(&self) -> Vec<String> {
        self.kept().wrong.clone()
    }

    /// What it took: by id, the first time that it answered 2xx, in that order, and how often each was taken.
    pub(crate) fn taken(&self) -> (Vec<Call>, BTreeMap<String, usize>) {
        let (mut order, mut counts) = (Vec::new(), BTreeMap::new());
        for call in self.calls().into_iter().filter(|call| call.status < 300) {
            let count = counts.entry(call.id.clone()).or_insert(0);
            *count += 1;
            if *count == 1 {
                order.push(call);
            }
        }
        (order, counts)
    }

    /// Waits until `wanted` holds of the calls.
    pub(crate) async fn until(
        &self,
        what: &str,
        mut wanted: impl FnMut(&[Call]) -> bool,
    ) -> Vec<Call> {
        let begun = Instant::now();
        loop {
            let calls = self.calls();
            if wanted(&calls) {
                return calls;
            }
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "{what} never came: {} calls",
                calls.len()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn take(State(kept): State<Arc<Mutex<Kept>>>, headers: HeaderMap, body: Bytes) -> Response {
    let answer = {
        let mut kept = kept.lock().expect("not poisoned");
        match believed(&kept.secrets, &headers, &body) {
            Err(why) => {
                kept.wrong.push(why);
                return StatusCode::UNAUTHORIZED.into_response();
            }
            Ok(mut call) => {
                let answer = kept
                    .plan
                    .as_mut()
                    .map_or_else(|| Answer::Status(204, String::new()), |plan| plan(&call));
                call.status = match &answer {
                    Answer::Status(status, _) => *status,
                    Answer::After(_) => 429,
                    Answer::Hang(_) => 504,
                    Answer::Redirect(_) => 307,
                };
                kept.calls.push(call);
                answer
            }
        }
    };
    match answer {
        Answer::Status(status, body) => {
            (StatusCode::from_u16(status).expect("a status"), body).into_response()
        }
        Answer::After(seconds) => (
            StatusCode::TOO_MANY_REQUESTS,
            [("retry-after", seconds.to_string())],
        )
            .into_response(),
        Answer::Hang(time) => {
            tokio::time::sleep(time).await;
            StatusCode::GATEWAY_TIMEOUT.into_response()
        }
        Answer::Redirect(to) => {
            (StatusCode::TEMPORARY_REDIRECT, [("location", to)]).into_response()
        }
    }
}

/// Checks a call as the specification says.
pub(crate) fn believed(
    secrets: &[String],
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Call, String> {
    let header = |name: &str| -> Result<String, String> {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.map(str::to_owned).ok_or_else(|| format!("no {name}"))
    };
    let (id, at, listed) = (
        header("webhook-id")?,
        header("webhook-timestamp")?,
        header("webhook-signature")?,
    );
    if id.is_empty() || id.contains('.') {
        return Err(format!("the id is {id:?}"));
    }
    let seconds: i64 = at.parse().map_err(|_| format!("the time is {at:?}"))?;
    if (now_ms() / 1000 - seconds).abs() > TOLERANCE_SECONDS {
        return Err(format!("the time is {seconds}"));
    }
    let signatures: Vec<String> = listed.split(' ').map(str::to_owned).collect();
    let signed = |secret: &String| -> String {
        let key = STANDARD
            .decode(secret.strip_prefix("whsec_").expect("its prefix"))
            .expect("base64");
        assert!((24..=64).contains(&key.len()));
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("any key");
        mac.update(id.as_bytes());
        mac.update(b".");
        mac.update(at.as_bytes());
        mac.update(b".");
        mac.update(body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    };
    let ours = |secret: &String| signatures.contains(&signed(secret));
    // The specification's own library for Rust has to be of the same mind.
    let theirs = |secret: &String| {
        let library = Webhook::new(secret).expect("base64");
        library.verify(body, headers).is_ok()
    };
    if let Some(secret) = secrets.iter().find(|secret| ours(secret) != theirs(secret)) {
        return Err(format!(
            "of {listed}, one says {}, the other {}",
            ours(secret),
            theirs(secret)
        ));
    }
    if !secrets.iter().any(ours) {
        return Err(format!("none of {listed} is by a secret that is known"));
    }
    if headers
        .get("content-type")
        .is_none_or(|value| value != "application/json")
    {
        return Err("it is not JSON by its header".to_owned());
    }
    if body.len() > 20_000 {
        return Err(format!("{} bytes", body.len()));
    }
    let raw = String::from_utf8(body.to_vec()).map_err(|_| "no text".to_owned())?;
    let body: Value = serde_json::from_str(&raw).map_err(|error| error.to_string())?;
    for part in ["type", "timestamp", "data"] {
        if body[part].is_null() {
            return Err(format!("no {part} in {raw}"));
        }
    }
    Ok(Call {
        id,
        body,
        raw,
        signatures,
        hops: header("deskbell-hops")?,
        at: Instant::now(),
        status: 0,
    })
}

#[test]
fn o02_the_receiver_refuses_what_is_not_right() {
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned();
    let body = br#"{"type":"test","timestamp":"2026-01-01T00:00:00.000Z","data":{}}"#;
    let at = now_ms() / 1000;
    let signed = |id: &str, at: i64, body: &[u8]| {
        let key = STANDARD.decode(&secret[6..]).expect("base64");
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("any key");
        mac.update(format!("{id}.{at}.").as_bytes());
        mac.update(body);
        let signature = STANDARD.encode(mac.finalize().into_bytes());
        let mut headers = HeaderMap::new();
        headers.insert("webhook-id", id.parse().expect("a value"));
        headers.insert("webhook-timestamp", at.into());
        let value = format!("v1,AAAA v1,{signature}");
        headers.insert("webhook-signature", value.parse().expect("a value"));
        headers.insert("content-type", "application/json".parse().expect("a value"));
        headers.insert("deskbell-hops", 1.into());
        headers
    };
    let secrets = std::slice::from_ref(&secret);
    assert!(believed(secrets, &signed("a", at, body), body).is_ok());
    assert!(believed(secrets, &signed("a", at, body), b"{}").is_err());
    assert!(believed(secrets, &signed("a", at - 400, body), body).is_err());
    assert!(believed(secrets, &signed("a.b", at, body), body).is_err());
    assert!(
        believed(
            &["whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".to_owned()],
            &signed("a", at, body),
            body
        )
        .is_err()
    );
    let mut moved = signed("a", at, body);
    moved.insert("webhook-id", "b".parse().expect("a value"));
    assert!(believed(secrets, &moved, body).is_err());
}
