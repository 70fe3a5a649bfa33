//! Clients of the live stream: each hears for a while, is cut off, and goes on from the last event that it saw.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use futures_util::StreamExt as _;
use serde_json::Value;
use tower::ServiceExt as _;

use super::chance::Chance;
use crate::api::testing::As;

/// What a client of the live stream knows.
#[derive(Debug)]
pub(super) struct Follower {
    chance: Chance,
    /// The last event that it saw.
    pub(super) last: u64,
    /// Every event, by its number.
    pub(super) heard: BTreeMap<u64, Value>,
    /// What must not have happened.
    pub(super) problem: Option<String>,
}

/// A client as its connection and the simulation share it.
pub(super) type Shared = Arc<Mutex<Follower>>;

impl Follower {
    /// One who begins with the first event there is.
    pub(super) fn new(seed: u64) -> Shared {
        Arc::new(Mutex::new(Self {
            chance: Chance::of(seed),
            last: 0,
            heard: BTreeMap::new(),
            problem: None,
        }))
    }

    fn hear(&mut self, text: &str) {
        let field = |name: &str| {
            let mut lines = text.lines();
            lines
                .find_map(|line| line.strip_prefix(name))
                .map(str::trim)
        };
        let (Some(id), Some(kind)) = (field("id:"), field("event:")) else {
            return;
        };
        let seq: u64 = id.parse().expect("a number");
        if kind == "reset" {
            self.problem = Some(format!(
                "a client had seen event {} and is told that there is none",
                self.last
            ));
        } else if seq != self.last + 1 {
            self.problem = Some(format!(
                "a client that had seen event {} is shown {seq}",
                self.last
            ));
        }
        let data = serde_json::from_str(field("data:").expect("data")).expect("JSON");
        self.heard.insert(seq, data);
        self.last = seq;
    }
}

/// One connection, until it is cut.
pub(super) async fn connect(router: Router, follower: Shared) {
    let last = follower.lock().expect("nobody panicked").last;
    let request = Request::builder()
        .uri("/api/v1/events")
        .header("last-event-id", last)
        .header(
            header::AUTHORIZATION,
            format!("Bearer {}", As::Admin.token().expect("a token")),
        )
        .body(Body::empty())
        .expect("a request");
    let response = router.oneshot(request).await.expect("an answer");
    if response.status() != StatusCode::OK {
        let mut follower = follower.lock().expect("nobody panicked");
        follower.problem = Some(format!("the stream answered {}", response.status()));
        return;
    }
    let mut body = response.into_body().into_data_stream();
    while let Some(Ok(bytes)) = body.next().await {
        let wait_ms = {
            let mut follower = follower.lock().expect("nobody panicked");
            follower.hear(&String::from_utf8_lossy(&bytes));
            if follower.chance.percent(10) {
                follower.chance.below(2_000)
            } else {
                0
            }
        };
        if wait_ms > 0 {
            tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        }
    }
}
