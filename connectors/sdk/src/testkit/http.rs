//! A platform that answers from a script.

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use ::http::{Request, Response};
use bytes::Bytes;

use crate::client::{BoxFuture, Http, HttpFailure};

type Answer = dyn Fn(&Request<Bytes>) -> Result<Response<Bytes>, HttpFailure> + Send + Sync;

/// Stands in for the lent HTTP client: it answers every call by a function and remembers the calls.
#[derive(Clone)]
pub struct ScriptedHttp {
    answer: Arc<Answer>,
    calls: Arc<Mutex<Vec<Request<Bytes>>>>,
}

impl ScriptedHttp {
    /// A platform that answers by `answer`.
    #[must_use]
    pub fn answering(
        answer: impl Fn(&Request<Bytes>) -> Result<Response<Bytes>, HttpFailure> + Send + Sync + 'static,
    ) -> Self {
        Self {
            answer: Arc::new(answer),
            calls: Arc::default(),
        }
    }

    /// A platform that gives every call the same answer.
    #[must_use]
    pub fn always(status: u16, body: &str) -> Self {
        let body = body.to_owned();
        Self::answering(move |_| Ok(json_answer(status, &body)))
    }

    /// A platform that cannot be reached.
    #[must_use]
    pub fn unreachable() -> Self {
        Self::answering(|request| {
            let host = request.uri().host().unwrap_or("no host");
            Err(HttpFailure::not_sent(format!("{host}: connection refused")))
        })
    }

    /// The calls that were made, in order.
    #[must_use]
    pub fn calls(&self) -> Vec<Request<Bytes>> {
        match self.calls.lock() {
            Ok(calls) => calls.clone(),
            Err(poisoned) => poisoned.into_inner().clone(),
        }
    }
}

impl Http for ScriptedHttp {
    fn call(&self, request: Request<Bytes>) -> BoxFuture<'_, Result<Response<Bytes>, HttpFailure>> {
        let answer = (self.answer)(&request);
        match self.calls.lock() {
            Ok(mut calls) => calls.push(request),
            Err(poisoned) => poisoned.into_inner().push(request),
        }
        Box::pin(std::future::ready(answer))
    }
}

/// An answer with a JSON body. A status that is none becomes 500.
#[must_use]
pub fn json_answer(status: u16, body: &str) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body.to_owned()));
    *response.status_mut() =
        ::http::StatusCode::from_u16(status).unwrap_or(::http::StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(
        ::http::header::CONTENT_TYPE,
        ::http::HeaderValue::from_static("application/json"),
    );
    response
}

/// Runs a future to its end. [`ScriptedHttp`] answers at once, so nothing here waits; a future that does wait for
/// something else is given up as `None`.
pub fn finish<T>(mut future: BoxFuture<'_, T>) -> Option<T> {
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..10_000 {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return Some(value);
        }
    }
    None
}
