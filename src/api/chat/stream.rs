//! `GET /chat/{channel}/events`: what happens in the visitor's conversation, live.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use futures_util::{Stream, stream};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::broadcast::Receiver;

use super::Visitor;
use super::messages::shown;
use crate::api::body::Query;
use crate::api::problem::Problem;
use crate::api::stream::{answer, position};
use crate::app::App;
use crate::live::{Live, StreamPlace, VisitorEvent, framed};
use crate::store::LogEvent;
use crate::store::change::EventBody;
use crate::store::entry::{Entry, Visit};
use crate::store::record::MessageKind;

/// The most streams of one visitor: tabs.
const STREAMS: usize = 10;
/// How often a quiet stream says that it lives, and it is checked that the visit goes on.
const HEARTBEAT: Duration = Duration::from_secs(12);
/// How far back in the log a visitor's stream resumes; from further back the page reads the conversation anew.
const RESUME_EVENTS: u64 = 20_000;
/// How many events are read from the log at once.
const BATCH: usize = 512;

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct From {
    after: Option<u64>,
}

/// Streams the visitor's conversation.
pub(super) async fn events(
    State(app): State<App>,
    Path(id): Path<String>,
    Query(from): Query<From>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let visitor = Visitor::of(&app, &id, &headers)?;
    let after = position(&headers, from.after)?;
    let Some(place) = Live::place(&app, visitor.owner(), STREAMS) else {
        return Err(Problem::too_many(
            "Too many tabs of this chat are open.",
            10,
        ));
    };
    Ok(answer(reader(app, visitor, after, place)))
}

struct Reader {
    app: App,
    visitor: Visitor,
    seen: u64,
    /// Where the live events take over from the log.
    head: u64,
    from_log: std::vec::IntoIter<LogEvent>,
    live: Receiver<VisitorEvent>,
    greeting: Option<Bytes>,
    _place: StreamPlace,
}

fn reader(
    app: App,
    visitor: Visitor,
    after: Option<u64>,
    place: StreamPlace,
) -> impl Stream<Item = Result<Bytes, Infallible>> {
    let live = app.live.subscribe_visitor(visitor.visit.conversation);
    let (head, oldest) = (app.store.head(), app.store.oldest());
    let mut greeting = b"retry: 1000\n: hello\n\n".to_vec();
    let seen = match after {
        Some(after) if after <= head && after + 1 >= oldest && head - after <= RESUME_EVENTS => {
            after
        }
        None => head,
        Some(_) => {
            let data = json!({ "seq": head, "type": "reset", "at": app.clock.now(), "data": {} });
            greeting.extend_from_slice(&framed(Some(head), "reset", &data));
            head
        }
    };
    let greeting = Some(Bytes::from(greeting));
    let reader = Reader {
        app,
        visitor,
        seen,
        head,
        from_log: Vec::new().into_iter(),
        live,
        greeting,
        _place: place,
    };
    stream::unfold(reader, |mut reader| async {
        reader.next().await.map(|bytes| (Ok(bytes), reader))
    })
}

impl Reader {
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(greeting) = self.greeting.take() {
            return Some(greeting);
        }
        loop {
            if let Some(event) = self.from_log.next() {
                if let Some(text) = self.show(&event) {
                    return Some(text);
                }
                continue;
            }
            if self.seen < self.head {
                let (app, seen) = (Arc::clone(&self.app), self.seen);
                let events = tokio::task::spawn_blocking(move || app.store.events(seen, BATCH))
                    .await
                    .ok()?
                    .ok()?;
                if events.is_empty() {
                    self.seen = self.head;
                }
                self.from_log = events.into_iter();
                continue;
            }
            tokio::select! {
                biased;
                () = self.app.stopping.cancelled() => return None,
                // Removed or changed: the page comes back, and hears whether it still may.
                () = self.visitor.channel.ended().cancelled() => return None,
                received = self.live.recv() => match received {
                    Ok(VisitorEvent::Log(event)) => if let Some(text) = self.show(&event) {
                        return Some(text);
                    },
                    Ok(VisitorEvent::Typing(typing)) => {
                        let data = json!({ "type": "typing", "at": self.app.clock.now(), "data": { "typing": typing } });
                        return Some(framed(None, "typing", &data));
                    }
                    // Too slow: the page resumes by the last id it saw.
                    Err(_) => return None,
                },
                () = tokio::time::sleep(HEARTBEAT) => {
                    return self.goes_on().then(|| Bytes::from_static(b":\n\n"));
                }
            }
        }
    }

    /// The event as the visitor sees it, where it is of the visitor's conversation, not private and not seen yet.
    fn show(&mut self, event: &LogEvent) -> Option<Bytes> {
        if event.seq <= self.seen {
            return None;
        }
        self.seen = event.seq;
        let (kind, message, conversation) = match &event.body {
            EventBody::MessageCreated {
                message,
                conversation,
            } => ("message.created", message, conversation),
            EventBody::MessageUpdated {
                message,
                conversation,
            } => ("message.updated", message, conversation),
            _ => return None,
        };
        if conversation.id != self.visitor.visit.conversation
            || message.kind != MessageKind::Message
        {
            return None;
        }
        let message = shown(&self.app, &self.visitor.channel.id, message, conversation);
        let data = json!({ "seq": event.seq, "type": kind, "at": event.at, "data": { "message": message } });
        Some(framed(Some(event.seq), kind, &data))
    }

    fn goes_on(&self) -> bool {
        let now = self.app.clock.now();
        let visit = Visit::get(&*self.app.store, &self.visitor.hash);
        visit.is_ok_and(|visit| visit.is_some_and(|visit| now < visit.expires_at))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.app
            .live
            .visitor_leaves(self.visitor.visit.conversation);
    }
}
