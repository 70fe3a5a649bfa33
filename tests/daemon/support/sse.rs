//! The live stream as a client reads it.

use std::time::Duration;

use serde_json::Value;

use super::{Daemon, client};

/// A stream that is open.
pub(crate) struct Events {
    answer: reqwest::Response,
    /// What was read and not yet told; a part may end in the middle of a character.
    bytes: Vec<u8>,
}

/// What a stream said.
#[derive(Clone, Debug)]
pub(crate) enum Heard {
    /// An event.
    Event(Told),
    /// A comment: the sign that it lives.
    Comment,
    /// The stream is over.
    Ended,
    /// Nothing, for as long as was waited.
    Silence,
}

/// An event of the stream.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    /// Its number; `None` for what is not in the log.
    pub(crate) id: Option<u64>,
    /// `message.created` …
    pub(crate) kind: String,
    /// The JSON of its `data:` line.
    pub(crate) data: Value,
}

impl Events {
    /// Opens the stream; `after` is the last event that was seen.
    pub(crate) async fn open(daemon: &Daemon, token: &str, after: Option<u64>) -> Self {
        let answer = request(daemon, token, after)
            .send()
            .await
            .expect("the daemon answers");
        assert_eq!(answer.status(), 200);
        assert_eq!(
            answer.headers()["content-type"],
            "text/event-stream; charset=utf-8"
        );
        Self {
            answer,
            bytes: Vec::new(),
        }
    }

    /// What the stream says next, within `patience`.
    pub(crate) async fn next(&mut self, patience: Duration) -> Heard {
        let until = tokio::time::Instant::now() + patience;
        loop {
            if let Some(end) = self.bytes.windows(2).position(|pair| pair == b"\n\n") {
                let block: Vec<u8> = self.bytes.drain(..end + 2).collect();
                return heard(std::str::from_utf8(&block).expect("text"));
            }
            match tokio::time::timeout_at(until, self.answer.chunk()).await {
                Err(_) => return Heard::Silence,
                Ok(Ok(Some(bytes))) => self.bytes.extend_from_slice(&bytes),
                Ok(Ok(None) | Err(_)) => return Heard::Ended,
            }
        }
    }

    /// The next event that fits, within `patience`; what comes before it is passed over.
    pub(crate) async fn wait_for(
        &mut self,
        patience: Duration,
        fits: impl Fn(&Told) -> bool,
    ) -> Told {
        let until = tokio::time::Instant::now() + patience;
        loop {
            let left = until.saturating_duration_since(tokio::time::Instant::now());
            match self.next(left).await {
                Heard::Event(told) if fits(&told) => return told,
                Heard::Event(_) | Heard::Comment => {}
                other => panic!("the event never came: {other:?}"),
            }
        }
    }

    /// Every event up to the first that fits, with that one, each within `patience` of the one before.
    pub(crate) async fn up_to(
        &mut self,
        patience: Duration,
        fits: impl Fn(&Told) -> bool,
    ) -> Vec<Told> {
        let mut events = Vec::new();
        loop {
            match self.next(patience).await {
                Heard::Event(told) => {
                    let last = fits(&told);
                    events.push(told);
                    if last {
                        return events;
                    }
                }
                Heard::Comment => {}
                other => panic!("the event never came after {}: {other:?}", events.len()),
            }
        }
    }

    /// Every event up to the newest that is in the log now, each within `patience` of the one before. Something of the log
    /// must be still to come, and this reader must be one who may see the newest.
    pub(crate) async fn up_to_head(&mut self, daemon: &Daemon, patience: Duration) -> Vec<Told> {
        let head = daemon.head().await;
        self.up_to(patience, |told| told.id >= Some(head)).await
    }

    /// Every event until nothing comes for `quiet`, or the end. Only to see that nothing comes: a loaded machine may pause
    /// for longer than that in the middle of what is to come, for which there is [`Self::up_to`].
    pub(crate) async fn until_quiet(&mut self, quiet: Duration) -> Vec<Told> {
        let mut events = Vec::new();
        loop {
            match self.next(quiet).await {
                Heard::Event(told) => events.push(told),
                Heard::Comment => {}
                Heard::Ended | Heard::Silence => return events,
            }
        }
    }
}

/// A request for the stream.
pub(crate) fn request(daemon: &Daemon, token: &str, after: Option<u64>) -> reqwest::RequestBuilder {
    let mut request = client()
        .get(format!("{}/api/v1/events", daemon.url))
        .bearer_auth(token);
    if let Some(after) = after {
        request = request.header("last-event-id", after);
    }
    request.timeout(Duration::from_secs(300))
}

fn heard(block: &str) -> Heard {
    let field = |name: &str| {
        block
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    };
    let Some(data) = field("data") else {
        return Heard::Comment;
    };
    Heard::Event(Told {
        id: field("id").map(|id| id.parse().expect("a number")),
        kind: field("event").expect("an event has a type").to_owned(),
        data: serde_json::from_str(data).expect("JSON"),
    })
}
