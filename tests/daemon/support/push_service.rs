//! A strict stand-in for a push service with its browsers: it checks what RFC 8030, 8188, 8291 and 8292 ask for, opens each
//! message with the browser's own key, and fails in the ways that a test asks for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use web_push_native::p256::SecretKey;
use web_push_native::p256::ecdsa::signature::Verifier as _;
use web_push_native::p256::ecdsa::{Signature, VerifyingKey};
use web_push_native::p256::elliptic_curve::sec1::ToEncodedPoint as _;
use web_push_native::{Auth, decrypt};

/// How it answers for a browser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// 201.
    Takes,
    /// This status, with this `Retry-After`.
    Answers(u16, Option<u32>),
    /// No answer for as long as the caller waits.
    Hangs,
    /// 201, late.
    Late(Duration),
}

/// A message that was opened.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    /// What it says.
    pub(crate) message: Value,
    /// For how many seconds it was to be kept.
    pub(crate) ttl: u64,
    /// What it takes the place of.
    pub(crate) topic: Option<String>,
    /// When it came.
    pub(crate) at: Instant,
}

struct Browser {
    key: SecretKey,
    auth: [u8; 16],
    mood: Mood,
    shown: Vec<Shown>,
    calls: usize,
}

#[derive(Default)]
struct Inside {
    browsers: HashMap<String, Browser>,
    /// The `applicationServerKey` of the browsers.
    server_key: Option<String>,
    /// What was wrong with what came.
    wrong: Vec<String>,
}

/// The stand-in; it ends when dropped.
pub(crate) struct PushService {
    url: String,
    inside: Arc<Mutex<Inside>>,
    runtime: Option<tokio::runtime::Runtime>,
}

impl PushService {
    /// Starts one on a free port.
    pub(crate) fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        listener.set_nonblocking(true).expect("a socket");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let inside: Arc<Mutex<Inside>> = Arc::default();
        let router = axum::Router::new()
            .route("/push/{browser}", axum::routing::post(pushed))
            .with_state((url.clone(), Arc::clone(&inside)));
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
            axum::serve(listener, router).await.expect("it serves");
        });
        Self {
            url,
            inside,
            runtime: Some(runtime),
        }
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().expect("not poisoned")
    }

    /// The key that all browsers subscribe with.
    pub(crate) fn expect_key(&self, key: &str) {
        self.inside().server_key = Some(key.to_owned());
    }

    /// A browser subscribes: the JSON of its subscription.
    pub(crate) fn subscribe(&self, browser: &str) -> Value {
        let seed = deskbell::secrets::random_bytes::<32>();
        let key = SecretKey::from_slice(&seed).expect("a key");
        let auth = deskbell::secrets::random_bytes::<16>();
        let public = key.public_key().to_encoded_point(false);
        let subscription = json!({
            "endpoint": format!("{}/push/{browser}", self.url), "expirationTime": null,
            "keys": { "p256dh": URL_SAFE_NO_PAD.encode(public.as_bytes()), "auth": URL_SAFE_NO_PAD.encode(auth) },
        });
        let new = Browser {
            key,
            auth,
            mood: Mood::Takes,
            shown: Vec::new(),
            calls: 0,
        };
        self.inside().browsers.insert(browser.to_owned(), new);
        subscription
    }

    /// How it answers for a browser from now on.
    pub(crate) fn set(&self, browser: &str, mood: Mood) {
        let mut inside = self.inside();
        inside.browsers.get_mut(browser).expect("known").mood = mood;
    }

    /// What a browser was told so far.
    pub(crate) fn shown(&self, browser: &str) -> Vec<Shown> {
        self.inside().browsers[browser].shown.clone()
    }

    /// How often it was called for a browser.
    pub(crate) fn calls(&self, browser: &str) -> usize {
        self.inside().browsers[browser].calls
    }

    /// The first message of a browser that fits; waits for it.
    pub(crate) async fn wait_for(
        &self,
        browser: &str,
        patience: Duration,
        fits: impl Fn(&Value) -> bool,
    ) -> Shown {
        let begun = Instant::now();
        loop {
            let all = self.shown(browser);
            if let Some(shown) = all.iter().find(|shown| fits(&shown.message)) {
                return shown.clone();
            }
            assert!(begun.elapsed() < patience, "{browser} was told {all:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Nothing that came was wrong.
    pub(crate) fn assert_right(&self) {
        let wrong = self.inside().wrong.clone();
        assert!(wrong.is_empty(), "{wrong:?}");
    }
}

impl Drop for PushService {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

type Shared = (String, Arc<Mutex<Inside>>);

async fn pushed(
    State((url, inside)): State<Shared>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mood = {
        let mut inside = inside.lock().expect("not poisoned");
        match judge(&inside, &url, &name, &headers, &body) {
            Err((status, why)) => {
                inside.wrong.push(format!("{name}: {why}"));
                return StatusCode::from_u16(status)
                    .expect("a status")
                    .into_response();
            }
            Ok(shown) => {
                let browser = inside.browsers.get_mut(&name).expect("judged");
                browser.calls += 1;
                if matches!(browser.mood, Mood::Takes | Mood::Late(_)) {
                    browser.shown.push(shown);
                }
                browser.mood
            }
        }
    };
    match mood {
        Mood::Takes => StatusCode::CREATED.into_response(),
        Mood::Late(wait) => {
            tokio::time::sleep(wait).await;
            StatusCode::CREATED.into_response()
        }
        Mood::Hangs => std::future::pending().await,
        Mood::Answers(status, retry_after) => {
            let status = StatusCode::from_u16(status).expect("a status");
            match retry_after {
                Some(seconds) => (status, [("retry-after", seconds.to_string())]).into_response(),
                None => status.into_response(),
            }
        }
    }
}

fn bytes(text: &str) -> Result<Vec<u8>, (u16, String)> {
    URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|error| (400, format!("{text:?} is no base64url: {error}")))
}

/// What a push service and the browser behind it find of a request.
fn judge(
    inside: &Inside,
    url: &str,
    name: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Shown, (u16, String)> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let bad = |why: &str| (400_u16, why.to_owned());
    let browser = inside
        .browsers
        .get(name)
        .ok_or_else(|| (404, "there is no such browser".to_owned()))?;
    let authorization = text("authorization").ok_or_else(|| (401, "no VAPID".to_owned()))?;
    let (token, key) = authorization
        .strip_prefix("vapid t=")
        .and_then(|rest| rest.split_once(", k="))
        .ok_or_else(|| (401, "VAPID of another form".to_owned()))?;
    if inside
        .server_key
        .as_deref()
        .is_some_and(|known| known != key)
    {
        return Err((403, "another key than the subscription's".to_owned()));
    }
    let (signed, signature) = token
        .rsplit_once('.')
        .ok_or_else(|| (401, "no JWT".to_owned()))?;
    let key = VerifyingKey::from_sec1_bytes(&bytes(key)?)
        .map_err(|_| (401, "no key of P-256".to_owned()))?;
    let signature =
        Signature::from_slice(&bytes(signature)?).map_err(|_| (401, "no signature".to_owned()))?;
    key.verify(signed.as_bytes(), &signature)
        .map_err(|_| (401, "a wrong signature".to_owned()))?;
    let (header, claims) = signed
        .split_once('.')
        .ok_or_else(|| (401, "no JWT".to_owned()))?;
    let json = |text: &str| -> Result<Value, (u16, String)> {
        serde_json::from_slice(&bytes(text)?).map_err(|_| (401, "no JSON".to_owned()))
    };
    let (header, claims) = (json(header)?, json(claims)?);
    let now = super::now_ms() / 1000;
    let lasts = claims["exp"].as_i64().unwrap_or(0) - now;
    let subject = claims["sub"].as_str().unwrap_or_default();
    if header["alg"] != "ES256"
        || claims["aud"] != url
        || !(1..=24 * 3600).contains(&lasts)
        || !(subject.starts_with("https://") || subject.starts_with("mailto:"))
    {
        return Err((401, format!("claims of another kind: {claims}")));
    }
    let ttl = text("ttl").and_then(|ttl| ttl.parse().ok());
    let ttl: u64 = ttl.ok_or_else(|| bad("TTL is missing"))?;
    if text("content-encoding") != Some("aes128gcm") {
        return Err(bad("not aes128gcm"));
    }
    if !["very-low", "low", "normal", "high"].contains(&text("urgency").unwrap_or("normal")) {
        return Err(bad("an urgency that is none"));
    }
    let topic = text("topic").map(str::to_owned);
    if topic.as_ref().is_some_and(|topic| {
        topic.len() > 32
            || !topic
                .chars()
                .all(|sign| sign.is_ascii_alphanumeric() || "-_".contains(sign))
    }) {
        return Err(bad("a topic that is none"));
    }
    if body.len() > 4_096 {
        return Err((413, "more than 4,096 bytes".to_owned()));
    }
    let plain = decrypt(body.to_vec(), &browser.key, &Auth::from(browser.auth))
        .map_err(|_| bad("the browser cannot open it"))?;
    if plain.len() > 3 * 1024 {
        return Err(bad("more than 3 kB"));
    }
    let message = serde_json::from_slice(&plain).map_err(|_| bad("no JSON in it"))?;
    Ok(Shown {
        message,
        ttl,
        topic,
        at: Instant::now(),
    })
}
