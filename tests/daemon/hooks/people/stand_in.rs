//! A service that people read, as a server of our own that is strict: what it refuses is noted and fails the test.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};

/// An answer that is planned: status, body, `Retry-After` in seconds.
pub(super) type Planned = (u16, Value, Option<u32>);
/// What is wrong with a request that came to the right place: it is noted, and is the answer with a status.
pub(super) type Wrong = (u16, String);

/// A service that people read.
pub(super) struct Kind {
    /// As hooks name it.
    pub(super) name: &'static str,
    /// What of the hook's address comes behind the server's.
    pub(super) address: &'static str,
    /// The path and the query that are called.
    pub(super) called: &'static str,
    /// What opens it.
    pub(super) token: Option<&'static str>,
    /// Reads the body where that is no JSON.
    pub(super) read: fn(&[u8]) -> Result<Value, String>,
    /// Refuses whatever the real one would refuse, and more.
    pub(super) check: fn(&HeaderMap, &Value) -> Result<(), Wrong>,
    /// Its answer to what it takes.
    pub(super) ok: fn(&Value) -> Response,
    /// Where in the body the words of a customer stand.
    pub(super) words: &'static str,
}

/// A body of JSON.
pub(super) fn json_of(body: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(body).map_err(|error| error.to_string())
}

#[derive(Default)]
pub(super) struct Kept {
    plan: VecDeque<Planned>,
    /// What was taken, and when.
    taken: Vec<(Value, Instant)>,
    /// When it was called.
    pub(super) calls: Vec<Instant>,
    wrong: Vec<String>,
}

/// A server of somebody else's.
#[derive(Clone)]
pub(super) struct StandIn {
    url: String,
    kind: &'static Kind,
    kept: Arc<Mutex<Kept>>,
}

impl StandIn {
    pub(super) async fn start(kind: &'static Kind) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let here = Self {
            url: format!("http://{}", listener.local_addr().expect("an address")),
            kind,
            kept: Arc::default(),
        };
        let router = Router::new().fallback(take).with_state(here.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        here
    }

    /// A hook to it, as it is made by the API.
    pub(super) fn hook(&self) -> Value {
        let url = format!("{}{}", self.url, self.kind.address);
        let mut hook = json!({ "kind": self.kind.name, "url": url, "events": ["message.created"] });
        if let Some(token) = self.kind.token {
            hook["access_token"] = json!(token);
        }
        hook
    }

    /// The words of a customer in what it took.
    pub(super) fn words(&self, taken: &Value) -> String {
        let words = taken.pointer(self.kind.words).and_then(Value::as_str);
        words
            .unwrap_or_else(|| panic!("no words in {taken}"))
            .to_owned()
    }

    pub(super) fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().expect("not poisoned")
    }

    pub(super) fn plan(&self, answers: &[Planned]) {
        self.kept().plan.extend(answers.iter().cloned());
    }

    /// What it took so far; fails where anything was wrong.
    pub(super) fn taken(&self) -> Vec<(Value, Instant)> {
        let kept = self.kept();
        assert_eq!(kept.wrong, Vec::<String>::new());
        kept.taken.clone()
    }

    pub(super) async fn until(&self, count: usize) -> Vec<(Value, Instant)> {
        let begun = Instant::now();
        loop {
            let taken = self.taken();
            if taken.len() >= count {
                return taken;
            }
            let so_far = taken.len();
            assert!(begun.elapsed() < Duration::from_secs(60), "{so_far} came");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn take(
    State(here): State<StandIn>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut kept = here.kept();
    kept.calls.push(Instant::now());
    let read = || -> Result<Value, Wrong> {
        if method != Method::POST || uri != here.kind.called {
            return Err((404, format!("{method} {uri}")));
        }
        let body = (here.kind.read)(&body).map_err(|why| (400, why))?;
        (here.kind.check)(&headers, &body)?;
        Ok(body)
    };
    let body = match read() {
        Ok(body) => body,
        Err((status, why)) => {
            kept.wrong.push(why.clone());
            return (StatusCode::from_u16(status).expect("a status"), why).into_response();
        }
    };
    match kept.plan.pop_front() {
        None => {
            kept.taken.push((body.clone(), Instant::now()));
            (here.kind.ok)(&body)
        }
        Some((status, said, after)) => {
            let mut headers = HeaderMap::new();
            if let Some(after) = after {
                headers.insert("retry-after", after.into());
            }
            let said = said
                .as_str()
                .map_or_else(|| said.to_string(), str::to_owned);
            let status = StatusCode::from_u16(status).expect("a status");
            (status, headers, said).into_response()
        }
    }
}

/// Whether an object has no other fields than these.
pub(super) fn only(object: &Value, known: &[&str]) -> Result<(), String> {
    let fields = object.as_object().ok_or("no object")?;
    match fields.keys().find(|key| !known.contains(&key.as_str())) {
        Some(unknown) => Err(format!("the field {unknown} is unknown")),
        None => Ok(()),
    }
}

/// A text that is not empty, and not longer.
pub(super) fn text<'a>(object: &'a Value, key: &str, most_bytes: usize) -> Result<&'a str, String> {
    let text = object[key].as_str().ok_or(format!("{key} is no text"))?;
    match text.len() {
        0 => Err(format!("{key} is empty")),
        length if length > most_bytes => Err(format!("{key} has {length} bytes")),
        _ => Ok(text),
    }
}
