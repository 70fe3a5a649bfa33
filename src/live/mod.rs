//! The live stream: the first projection of the log.
//!
//! One task follows the log, renders each event once, and the hub hands the same bytes to every reader. It keeps nothing that
//! the log does not have: after a crash it begins at the head, and readers resume from the log by their own position.

mod here;
mod hub;
mod seat;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Bytes;
use deskbell_sdk::Time;
use serde_json::{Value, json};
use tokio::sync::broadcast;

use crate::access::Caller;
use crate::app::App;
use crate::id::{ConversationId, DeviceId, UserId, WorkId};
use crate::presence::Present;
use crate::store::change::{EventBody, LogEvent};
use crate::store::record::ChannelNo;
use crate::store::{Read, Scope};
use crate::view::View;

pub use here::Reader;
pub use hub::{Lagged, Subscription};
pub use seat::Seat;

use hub::Hub;

/// How many events a visitor of the website chat may lag behind, who sees one conversation.
const VISITOR_LAG_EVENTS: usize = 64;
/// How many events are taken from the log at once.
const BATCH: usize = 512;

/// An event, rendered.
#[derive(Debug)]
pub struct Frame {
    /// Its number; `None` for what is not in the log (typing).
    pub seq: Option<u64>,
    /// Who may see it.
    audience: Audience,
    /// As Server-Sent Events have it, for readers of all channels.
    text: Bytes,
    /// The event itself where what is shown of it depends on the reader.
    personal: Option<LogEvent>,
}

/// Who may see a frame.
#[derive(Debug)]
enum Audience {
    /// Readers of one of these channels.
    Channels(Vec<ChannelNo>),
    /// Readers of all channels.
    WholeDesk,
    /// Everybody who is signed in.
    Everybody,
    /// One person or program: [`Caller::owner`].
    Owner(String),
}

impl Frame {
    /// The frame's bytes for this reader; `None` where the reader may not see it.
    #[must_use]
    pub fn text_for(&self, reader: &Caller, store: &dyn Read, view: &View<'_>) -> Option<Bytes> {
        match (self.sight_of(reader), &self.personal) {
            (Sight::Hidden, _) => None,
            (Sight::Personal, Some(event)) => Some(render(event, &reader.scope, store, view)),
            _ => Some(self.text.clone()),
        }
    }

    /// What this reader may see of it.
    fn sight_of(&self, reader: &Caller) -> Sight {
        let scope = &reader.scope;
        let sees = match &self.audience {
            Audience::Channels(channels) => channels.iter().any(|channel| scope.allows(*channel)),
            Audience::WholeDesk => scope.channels().is_none(),
            Audience::Everybody => true,
            Audience::Owner(owner) => *owner == reader.owner(),
        };
        if !sees {
            Sight::Hidden
        } else if self.personal.is_some() && scope.channels().is_some() {
            Sight::Personal
        } else {
            Sight::Plain
        }
    }
}

/// What a reader may see of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sight {
    Hidden,
    /// What everybody sees who sees it.
    Plain,
    /// What depends on the reader's channels.
    Personal,
}

/// What a visitor hears.
#[derive(Clone, Debug)]
pub enum VisitorEvent {
    /// An event of the visitor's conversation.
    Log(Arc<LogEvent>),
    /// Somebody of the shop types, or has stopped.
    Typing(bool),
}

/// The hub of the live stream.
#[derive(Debug)]
pub struct Live {
    hub: Arc<Hub>,
    visitors: Mutex<HashMap<ConversationId, broadcast::Sender<VisitorEvent>>>,
    readers: Mutex<HashMap<String, usize>>,
    here: here::Here,
}

impl Default for Live {
    /// Without a thread: whoever says something tells all readers. For where everything has to be the same each time.
    fn default() -> Self {
        Self::of(Hub::here())
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.hub.is_over();
    }
}

/// One open stream of a caller; closing it makes room for another.
#[derive(Debug)]
pub struct StreamPlace {
    app: App,
    owner: String,
    who: Option<Reader>,
}

impl StreamPlace {
    /// It is the open desk, or a companion, of somebody who is there as long as it is open.
    #[must_use]
    pub fn of(mut self, reader: Option<Reader>) -> Self {
        if let Some(reader) = reader {
            self.app.live.here.comes(reader, self.app.clock.now());
        }
        self.who = reader;
        self
    }
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        if let Some(reader) = self.who {
            self.app.live.here.goes(reader, self.app.clock.now());
        }
        let mut readers = lock(&self.app.live.readers);
        if let Some(count) = readers.get_mut(&self.owner) {
            *count -= 1;
            if *count == 0 {
                readers.remove(&self.owner);
            }
        }
        metrics::gauge!("deskbell_streams").decrement(1.0);
    }
}

impl Live {
    /// With a thread that tells the readers, and ends with this.
    ///
    /// # Errors
    /// The system has no thread for it.
    pub fn on_its_thread() -> std::io::Result<Self> {
        Hub::on_its_thread().map(Self::of)
    }

    fn of(hub: Arc<Hub>) -> Self {
        Self {
            hub,
            visitors: Mutex::default(),
            readers: Mutex::default(),
            here: here::Here::default(),
        }
    }

    /// Everything from now on.
    #[must_use]
    pub fn subscribe(&self) -> Subscription {
        self.hub.subscribe()
    }

    /// What happens in one conversation from now on.
    #[must_use]
    pub fn subscribe_visitor(
        &self,
        conversation: ConversationId,
    ) -> broadcast::Receiver<VisitorEvent> {
        let mut visitors = lock(&self.visitors);
        visitors
            .entry(conversation)
            .or_insert_with(|| broadcast::channel(VISITOR_LAG_EVENTS).0)
            .subscribe()
    }

    /// A reader of a conversation goes, and has not let go of its receiver yet: the last one takes what was kept for
    /// it, so that memory does not grow with the visitors who ever looked.
    pub fn visitor_leaves(&self, conversation: ConversationId) {
        let mut visitors = lock(&self.visitors);
        if visitors
            .get(&conversation)
            .is_some_and(|sender| sender.receiver_count() <= 1)
        {
            visitors.remove(&conversation);
        }
    }

    /// Takes a place for a stream; `None` where `owner` has `most` already.
    #[must_use]
    pub fn place(app: &App, owner: String, most: usize) -> Option<StreamPlace> {
        let mut readers = lock(&app.live.readers);
        let count = readers.entry(owner.clone()).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        drop(readers);
        metrics::gauge!("deskbell_streams").increment(1.0);
        Some(StreamPlace {
            app: Arc::clone(app),
            owner,
            who: None,
        })
    }

    /// Since when a reader follows the stream; who left within the last ten minutes is taken to be there still.
    #[must_use]
    pub fn here_since(&self, reader: Reader, now: Time) -> Option<Time> {
        self.here.since(reader, now)
    }

    /// Tells readers that somebody types. It is not in the log and is lost on whoever is not there.
    pub fn typing(
        &self,
        now: Time,
        channel: ChannelNo,
        conversation: ConversationId,
        by: Value,
        typing: bool,
    ) {
        let data = json!({ "conversation_id": conversation, "by": by, "typing": typing });
        let text = framed(
            None,
            "typing",
            &json!({ "type": "typing", "at": now, "data": data }),
        );
        let frame = Frame {
            seq: None,
            audience: Audience::Channels(vec![channel]),
            text,
            personal: None,
        };
        self.hub.say([Arc::new(frame)]);
    }

    /// Tells readers of the channel who is at a conversation, and what they do. It is not in the log.
    pub fn presence(
        &self,
        now: Time,
        channel: ChannelNo,
        conversation: ConversationId,
        present: &Present,
    ) {
        let data = json!({
            "conversation_id": conversation,
            "user": { "id": present.id, "name": present.name },
            "state": present.doing,
            "until": present.until,
        });
        let frame = Frame {
            seq: None,
            audience: Audience::Channels(vec![channel]),
            text: framed(
                None,
                "presence",
                &json!({ "type": "presence", "at": now, "data": data }),
            ),
            personal: None,
        };
        self.hub.say([Arc::new(frame)]);
    }

    /// Tells the companions of a person that one of them is tested. It is not in the log.
    pub fn device_test(
        &self,
        now: Time,
        user: UserId,
        device: DeviceId,
        test: WorkId,
        silent: bool,
    ) {
        let kind = "device.test";
        let data = json!({ "device_id": device, "test": test, "silent": silent });
        let frame = Frame {
            seq: None,
            audience: Audience::Owner(user.to_string()),
            text: framed(
                None,
                kind,
                &json!({ "type": kind, "at": now, "data": data }),
            ),
            personal: None,
        };
        self.hub.say([Arc::new(frame)]);
    }

    /// Tells every reader that a list beside conversations has changed (`labels`, `users` …) and is to be read anew. It
    /// is a hint, not in the log: who was not there reads the lists when it comes.
    pub fn changed(&self, now: Time, what: &str) {
        self.hint(now, Audience::Everybody, what);
    }

    /// The same for what only one person or program has: [`Caller::owner`].
    pub fn changed_for(&self, now: Time, owner: String, what: &str) {
        self.hint(now, Audience::Owner(owner), what);
    }

    fn hint(&self, now: Time, audience: Audience, what: &str) {
        let kind = "desk.changed";
        let hint = json!({ "type": kind, "at": now, "data": { "what": what } });
        let frame = Frame {
            seq: None,
            audience,
            text: framed(None, kind, &hint),
            personal: None,
        };
        self.hub.say([Arc::new(frame)]);
    }

    /// Tells the visitor of a conversation that somebody of the shop types.
    pub fn typing_to_visitor(&self, conversation: ConversationId, typing: bool) {
        self.to_visitor(conversation, || VisitorEvent::Typing(typing));
    }

    /// Most conversations have no visitor who listens: only for those that have one the event is made.
    fn to_visitor(&self, conversation: ConversationId, event: impl FnOnce() -> VisitorEvent) {
        let mut visitors = lock(&self.visitors);
        if let Some(sender) = visitors.get(&conversation)
            && sender.send(event()).is_err()
        {
            visitors.remove(&conversation);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Follows the log until the daemon stops.
pub async fn follow(app: App) {
    let mut head = app.writer.head();
    let mut position = *head.borrow_and_update();
    loop {
        tokio::select! {
            () = app.stopping.cancelled() => return app.live.hub.wake_all(),
            changed = head.changed() => if changed.is_err() { return },
        }
        loop {
            let events = match app.store.events(position, BATCH) {
                Ok(events) => events,
                Err(error) => {
                    tracing::error!(%error, "the live stream cannot read the log; readers resume when it can");
                    break;
                }
            };
            let Some(last) = events.last() else { break };
            position = last.seq;
            publish(&app, events);
            // What the readers do must not wait until a long log is rendered.
            tokio::task::yield_now().await;
            app.live.hub.room().await;
        }
        let behind = app.store.head().saturating_sub(position);
        metrics::gauge!("deskbell_projection_lag", "projection" => "live")
            .set(f64::from(u32::try_from(behind).unwrap_or(u32::MAX)));
    }
}

fn publish(app: &App, events: Vec<LogEvent>) {
    for event in &events {
        if let EventBody::MessageCreated { conversation, .. }
        | EventBody::MessageUpdated { conversation, .. } = &event.body
        {
            app.live.to_visitor(conversation.id, || {
                VisitorEvent::Log(Arc::new(event.clone()))
            });
        }
    }
    // Where nobody listens the next reader reads the log.
    if app.live.hub.has_readers() {
        let (store, view) = (&*app.store, app.view());
        let frames = events
            .into_iter()
            .map(|event| Arc::new(frame(event, store, &view)));
        app.live.hub.say(frames.collect::<Vec<_>>());
    }
}

/// The frame of an event.
#[must_use]
pub fn frame(event: LogEvent, store: &dyn Read, view: &View<'_>) -> Frame {
    let personal = matches!(
        event.body,
        EventBody::ContactCreated { .. } | EventBody::ContactUpdated { .. }
    );
    Frame {
        seq: Some(event.seq),
        audience: audience_of(&event.body),
        text: render(&event, &Scope::of_all_channels(), store, view),
        personal: personal.then_some(event),
    }
}

fn audience_of(body: &EventBody) -> Audience {
    match body {
        EventBody::BellRung { ring } | EventBody::BellAcknowledged { ring }
            if ring.channel.is_none() =>
        {
            Audience::WholeDesk
        }
        _ => Audience::Channels(body.channels()),
    }
}

fn render(event: &LogEvent, scope: &Scope, store: &dyn Read, view: &View<'_>) -> Bytes {
    let shown = view.event(store, scope, event);
    framed(Some(event.seq), &shown.r#type, &shown)
}

/// An event in the words of Server-Sent Events. JSON has no raw line ends, so that no text can begin a line (R09).
#[must_use]
pub fn framed(seq: Option<u64>, kind: &str, data: &impl serde::Serialize) -> Bytes {
    let mut text = seq
        .map_or_else(String::new, |seq| format!("id: {seq}\n"))
        .into_bytes();
    text.extend_from_slice(format!("event: {kind}\ndata: ").as_bytes());
    if let Err(error) = serde_json::to_writer(&mut text, data) {
        tracing::error!(%error, "an event cannot be written as JSON");
    }
    text.extend_from_slice(b"\n\n");
    Bytes::from(text)
}
