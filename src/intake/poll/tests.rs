//! What a look brings, and what a trouble does, with a platform that a test plays.

use std::sync::Mutex;

use deskbell_sdk::client::{BoxFuture, Http};
use deskbell_sdk::{
    Author, Channel, Direction, Inbound, Kind, Limits, NewMessage, Person, SettingProblem, Settings,
};

use super::*;
use crate::api::testing::{Desk, PAGE, desk};
use crate::store::entry::QuarantineEntry;
use crate::store::{EventBody, FeedPage, Scope};

const HOUR_MS: i64 = 60 * 60 * 1000;

/// A platform whose updates are texts; `panic` makes its decoder panic.
struct Played {
    looks: Mutex<Vec<Result<Polled, CallError>>>,
}

impl Poll for Played {
    fn poll<'a>(
        &'a self,
        _http: &'a dyn Http,
        _since: Option<&'a str>,
    ) -> BoxFuture<'a, Result<Polled, CallError>> {
        let mut looks = self.looks.lock().expect("not poisoned");
        let next = if looks.is_empty() {
            Err(CallError::retry("the play is over"))
        } else {
            looks.remove(0)
        };
        Box::pin(std::future::ready(next))
    }

    fn decode(&self, update: &Bytes) -> Vec<Inbound> {
        let text = String::from_utf8_lossy(update).into_owned();
        assert!(text != "panic", "as the test wants it");
        vec![Inbound::here(Event::Message(Box::new(NewMessage {
            thread: "2001".to_owned(),
            customer: Person::with_id("2001"),
            external_id: text.clone(),
            direction: Direction::Inbound,
            author: Author::Contact(Person::with_id("2001")),
            text: Some(text),
            attachments: Vec::new(),
            reply_to: None,
            sent_at: Time::from_millis(0),
            order: 0,
            metadata: std::collections::BTreeMap::new(),
            send_token: None,
            album: None,
        })))]
    }

    fn keeps_for(&self) -> Option<Duration> {
        Some(Duration::from_secs(24 * 3600))
    }
}

impl Channel for Played {
    fn limits(&self) -> Limits {
        Limits::default()
    }

    fn poll(&self) -> Option<&dyn Poll> {
        Some(self)
    }
}

fn open(_: &Settings) -> Result<Box<dyn Channel>, SettingProblem> {
    Ok(Box::new(Played {
        looks: Mutex::default(),
    }))
}

const KIND: Kind = Kind {
    id: "played",
    title: "Played",
    settings: &[],
    api_base: Some("http://127.0.0.1:9"),
    open,
};

fn poller(desk: &Desk) -> Poller {
    let channel = OpenChannel::open(PAGE, "page", "The page", KIND, Settings::default());
    Poller {
        app: Arc::clone(&desk.app),
        channel: Arc::new(channel.expect("opens")),
        stop: CancellationToken::new(),
        cursor: None,
        troubles: 0,
    }
}

fn played(looks: Vec<Result<Polled, CallError>>) -> Played {
    Played {
        looks: Mutex::new(looks),
    }
}

fn polled(updates: &[&str], next: &str) -> Polled {
    Polled {
        updates: updates
            .iter()
            .map(|update| Bytes::copy_from_slice(update.as_bytes()))
            .collect(),
        next: next.to_owned(),
        wait: None,
    }
}

fn texts(desk: &Desk) -> Vec<String> {
    let page = FeedPage {
        limit: 100,
        ..FeedPage::default()
    };
    let feed = desk.app.store.feed(&Scope::whole_desk(), &page);
    let mut texts: Vec<String> = feed
        .expect("memory")
        .iter()
        .filter_map(|message| message.text.clone())
        .collect();
    texts.reverse();
    texts
}

fn told(desk: &Desk) -> Vec<String> {
    let events = desk.app.store.events(0, 1000).expect("memory");
    events
        .into_iter()
        .filter_map(|event| match event.body {
            EventBody::ChannelHealth { detail, .. } => Some(detail),
            _ => None,
        })
        .collect()
}

fn durable(desk: &Desk) -> Option<PollCursor> {
    PollCursor::get(&*desk.app.store, &poll_key(PAGE)).expect("memory")
}

#[tokio::test]
async fn f29_an_update_that_makes_the_decoder_panic_is_kept_and_takes_no_other_with_it() {
    let desk = desk().await;
    let mut poller = poller(&desk);
    // Decoding asks the channel's own connector, so that one stands for it here.
    let platform = played(Vec::new());
    let taken = poller
        .take(&platform, polled(&["one", "panic", "two"], "4"))
        .await;
    assert!(taken.is_ok());
    assert_eq!(texts(&desk), ["one", "two"]);
    let kept = QuarantineEntry::scan(&*desk.app.store, &[], None, 10).expect("memory");
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].1.raw, "panic");
    assert_eq!(
        durable(&desk).map(|cursor| cursor.next).as_deref(),
        Some("4")
    );
    // The same again changes nothing.
    assert!(
        poller
            .take(&platform, polled(&["one", "two"], "4"))
            .await
            .is_ok()
    );
    assert_eq!(texts(&desk), ["one", "two"]);
}

#[tokio::test]
async fn f29_events_that_cannot_be_decided_together_are_taken_one_by_one() {
    let desk = desk().await;
    let poller = poller(&desk);
    let events = ["one", "two"]
        .iter()
        .flat_map(|text| decoded(&poller.channel, &Bytes::from_static(text.as_bytes())))
        .map(|event| (PAGE, event))
        .collect();
    let kept = poller.without_poison(events, desk.app.clock.now()).await;
    assert!(
        kept.is_ok_and(|kept| kept.is_empty()),
        "both could be decided"
    );
    assert_eq!(texts(&desk), ["one", "two"]);
}

#[tokio::test]
async fn p13_the_place_moves_with_what_came_or_not_at_all() {
    let desk = desk().await;
    let mut poller = poller(&desk);
    let platform = played(Vec::new());
    assert!(poller.take(&platform, polled(&["one"], "2")).await.is_ok());
    // The writer ends: nothing of what follows becomes durable, and the poller keeps its old place.
    let writer = desk.app.writer.clone();
    tokio::task::spawn_blocking(move || writer.stop())
        .await
        .expect("stops");
    assert!(poller.take(&platform, polled(&["two"], "3")).await.is_err());
    assert_eq!(texts(&desk), ["one"]);
    assert_eq!(
        durable(&desk).map(|cursor| cursor.next).as_deref(),
        Some("2")
    );
    assert_eq!(
        poller.cursor.map(|cursor| cursor.next).as_deref(),
        Some("2"),
        "what is not durable is not confirmed"
    );
}

#[tokio::test]
async fn a_gap_that_the_platform_does_not_bridge_is_told_once() {
    let desk = desk().await;
    let mut poller = poller(&desk);
    let platform = played(Vec::new());
    assert!(poller.take(&platform, polled(&[], "")).await.is_ok());
    assert_eq!(told(&desk), Vec::<String>::new(), "a first look has no gap");
    let begun = desk.app.clock.now();
    desk.app.clock.turn_to(begun.plus_millis(23 * HOUR_MS));
    assert!(poller.take(&platform, polled(&["one"], "2")).await.is_ok());
    assert_eq!(told(&desk), Vec::<String>::new());
    desk.app.clock.turn_to(begun.plus_millis(48 * HOUR_MS));
    assert!(poller.take(&platform, polled(&["two"], "3")).await.is_ok());
    assert!(
        poller
            .take(&platform, polled(&["three"], "4"))
            .await
            .is_ok()
    );
    let told = told(&desk);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("24 hours"), "{told:?}");
    assert_eq!(texts(&desk), ["one", "two", "three"]);
}

#[tokio::test]
async fn while_nothing_happens_the_time_of_the_look_is_kept_now_and_then() {
    let desk = desk().await;
    let mut poller = poller(&desk);
    let platform = played(Vec::new());
    assert!(poller.take(&platform, polled(&["one"], "2")).await.is_ok());
    let first = durable(&desk).expect("kept").looked_at;
    desk.app.clock.turn_to(first.plus_millis(60_000));
    assert!(poller.take(&platform, polled(&[], "2")).await.is_ok());
    assert_eq!(durable(&desk).expect("kept").looked_at, first);
    desk.app.clock.turn_to(first.plus_millis(HOUR_MS));
    assert!(poller.take(&platform, polled(&[], "2")).await.is_ok());
    assert_eq!(
        durable(&desk).expect("kept").looked_at,
        first.plus_millis(HOUR_MS)
    );
}

#[tokio::test]
async fn troubles_are_told_when_they_last_and_end_with_the_first_look_that_works() {
    let desk = desk().await;
    let mut poller = poller(&desk);
    let channel = Arc::clone(&poller.channel);
    let client = waiting_client(Duration::ZERO).expect("a client");
    let http = PlatformClient::new(client, "http://127.0.0.1:9");
    let platform = played(vec![
        Err(CallError::retry("down")),
        Err(CallError::Retry {
            after: Some(Duration::from_secs(7)),
            say: "down".to_owned(),
        }),
        Err(CallError::retry("still down")),
        Ok(polled(&["one"], "2")),
        Err(CallError::Refused {
            code: "400".to_owned(),
            say: "no".to_owned(),
        }),
    ]);
    let first = poller.look(&platform, &http).await;
    assert!(
        matches!(first, Ok(Some(wait)) if wait >= Duration::from_millis(400) && wait <= Duration::from_secs(1))
    );
    let second = poller.look(&platform, &http).await;
    assert!(matches!(second, Ok(Some(wait)) if wait == Duration::from_secs(7)));
    assert!(channel.is_healthy(), "twice is the weather");
    assert!(poller.look(&platform, &http).await.is_ok());
    assert!(!channel.is_healthy());
    assert!(matches!(poller.look(&platform, &http).await, Ok(None)));
    assert!(channel.is_healthy());
    assert!(poller.look(&platform, &http).await.is_ok());
    assert!(!channel.is_healthy(), "a refusal does not pass by itself");
    assert_eq!(told(&desk).len(), 3);
}
