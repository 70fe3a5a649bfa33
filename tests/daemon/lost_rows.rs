//! The hardest loss by itself: sled has lost old rows, and still says that it is up to date. Then a repeated delivery must
//! not become a second message, and a queued answer must not be sent a second time.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use deskbell::clock::Clock;
use deskbell::desk::arrivals::{Arrivals, Outcome};
use deskbell::desk::outbox::{Begin, Windows};
use deskbell::desk::replies::{Kind, Write, Written};
use deskbell::id::{ConversationId, WorkId};
use deskbell::store::embedded::{EmbeddedStore, Options};
use deskbell::store::entry::{Entry, PartRecord, WorkEntry};
use deskbell::store::record::{AuthorRecord, ChannelNo};
use deskbell::store::{FeedPage, Read, Scope, Store};
use deskbell::writer::{Writer, WriterThread};
use deskbell_sdk::{Author, Direction, Event, NewMessage, Person, Time};

const CHANNEL: ChannelNo = ChannelNo(1);
const BASE_MS: i64 = 1_790_000_000_000;
/// Messages of customers.
const DELIVERED: usize = 1_200;
/// Rows of each kind that are lost.
const LOST: usize = 1_000;
/// What is lost: platforms' ids of messages, messages, their places in conversations.
const DUPLICATE_KEYS_AND_ROWS: &[u8] = b"xmo";
/// Answers that wait to be sent.
const QUEUED: usize = 40;

struct Desk {
    store: Arc<EmbeddedStore>,
    writer: Writer,
    thread: WriterThread,
}

impl Desk {
    fn open(folder: &Path, boot: &str) -> Self {
        let mut options = Options::new(Clock::system());
        options.cache_bytes = 16 << 20;
        options.segment_bytes = 256 << 10;
        options.reserve_bytes = 0;
        options.min_free_bytes = 0;
        options.boot_id = Some(boot.to_owned());
        let store = Arc::new(EmbeddedStore::open(folder, options, &|_| {}).expect("it opens"));
        let shared: Arc<dyn Store> = Arc::<EmbeddedStore>::clone(&store);
        let (writer, thread) = Writer::start(shared, Clock::system(), 7).expect("a thread");
        Self {
            store,
            writer,
            thread,
        }
    }

    /// As a kill leaves it: nothing is closed.
    fn kill(self) {
        let Self {
            store,
            writer,
            thread,
        } = self;
        std::thread::spawn(move || writer.stop())
            .join()
            .expect("it stops");
        thread.join();
        drop(store);
    }

    async fn deliver(&self) -> Outcome {
        let mut sum = Outcome::default();
        for number in 0..DELIVERED {
            let arrivals = Arrivals {
                events: vec![(CHANNEL, event(number))],
                received_at: Time::from_millis(BASE_MS + 3_600_000),
                raw: None,
                cursor: None,
            };
            let one = self.writer.write(arrivals).await.expect("it is written");
            sum.new += one.new;
            sum.known += one.known;
        }
        sum
    }

    /// Queues answers, and begins to send some of them.
    async fn answer(&self) {
        for number in 0..QUEUED {
            let written = self.writer.write(self.reply(number)).await;
            let Ok(Written::Message(_, id, false)) = written else {
                panic!("{written:?}")
            };
            if number % 2 == 0 {
                let begin = Begin {
                    work: WorkId(id.0),
                    windows: Windows {
                        ordinary_ms: None,
                        extended_ms: None,
                    },
                };
                assert!(self.writer.write(begin).await.expect("written").is_some());
            }
        }
    }

    fn reply(&self, number: usize) -> Write {
        Write {
            scope: Scope::whole_desk(),
            conversation: self.conversation(number),
            author: AuthorRecord::Staff(None, Some("Ana".to_owned())),
            owner: "tok_1".to_owned(),
            text: Some(format!("answer {number}")),
            attachments: Vec::new(),
            reply_to: None,
            kind: Kind::Queued(vec![PartRecord::Text(format!("answer {number}"))]),
            seen: None,
            mentions: Vec::new(),
            idempotency: Some((format!("key {number}").into_bytes(), b"body".to_vec())),
        }
    }

    fn conversation(&self, number: usize) -> ConversationId {
        self.store
            .conversation_by_thread(&Scope::whole_desk(), CHANNEL, &thread(number))
            .expect("readable")
            .expect("it has begun")
    }

    fn work(&self) -> Vec<WorkEntry> {
        let items = WorkEntry::scan(&*self.store, &[], None, usize::MAX).expect("readable");
        items.into_iter().map(|(_, item)| item).collect()
    }

    /// The platform's ids of all messages in the feed, and how many messages have none.
    fn feed(&self) -> (BTreeMap<String, usize>, usize) {
        let page = FeedPage {
            limit: usize::MAX,
            ..FeedPage::default()
        };
        let feed = self
            .store
            .feed(&Scope::whole_desk(), &page)
            .expect("readable");
        let (mut named, mut unnamed) = (BTreeMap::new(), 0);
        for message in feed {
            match &message.external_id {
                Some(id) => *named.entry(id.clone()).or_default() += 1,
                None => unnamed += 1,
            }
        }
        (named, unnamed)
    }

    fn doubles(&self) -> usize {
        self.feed().0.values().filter(|count| **count > 1).count()
    }
}

fn thread(number: usize) -> String {
    format!("{}", 2_000 + number % 50)
}

fn event(number: usize) -> Event {
    let customer = Person::with_id(thread(number));
    // Every tenth is an echo of what somebody wrote at the platform.
    let direction = if number % 10 == 9 {
        Direction::Outbound
    } else {
        Direction::Inbound
    };
    Event::Message(Box::new(NewMessage {
        album: None,
        thread: thread(number),
        author: match direction {
            Direction::Inbound => Author::Contact(customer.clone()),
            Direction::Outbound => Author::Staff { name: None },
        },
        customer,
        external_id: format!("mid.{number}"),
        direction,
        text: Some(format!("words {number}")),
        attachments: Vec::new(),
        reply_to: None,
        sent_at: Time::from_millis(BASE_MS + i64::try_from(number).unwrap_or(0)),
        order: 0,
        metadata: BTreeMap::new(),
        send_token: None,
    }))
}

/// Deletes rows of these kinds below the store, the oldest; its position stands.
fn lose_rows(folder: &Path, kinds: &[u8]) {
    let tables = sled::Config::new()
        .path(folder.join("tables"))
        .open()
        .expect("sled opens");
    for kind in kinds {
        let keys: Vec<_> = tables
            .scan_prefix([*kind])
            .keys()
            .take(LOST)
            .collect::<Result<_, _>>()
            .expect("readable");
        assert_eq!(keys.len(), LOST);
        for key in keys {
            tables.remove(key).expect("removed");
        }
    }
    tables.flush().expect("flushed");
}

/// A desk with messages and queued answers that was killed and has lost rows; and what it had.
async fn lost(folder: &Path, kinds: &[u8]) -> (Vec<WorkEntry>, (BTreeMap<String, usize>, usize)) {
    let desk = Desk::open(folder, "this boot");
    let first = desk.deliver().await;
    assert_eq!(first.new as usize, DELIVERED);
    desk.answer().await;
    let had = (desk.work(), desk.feed());
    assert_eq!((had.0.len(), had.1.1), (QUEUED, QUEUED));
    desk.kill();
    lose_rows(folder, kinds);
    had
}

/// Everything is delivered and asked for again.
async fn nothing_is_twice(desk: &Desk, had: &(Vec<WorkEntry>, (BTreeMap<String, usize>, usize))) {
    let again = desk.deliver().await;
    assert_eq!((again.new, again.known as usize), (0, DELIVERED));
    for number in 0..QUEUED {
        let written = desk.writer.write(desk.reply(number)).await;
        assert!(
            matches!(written, Ok(Written::Message(_, _, true))),
            "{written:?}"
        );
    }
    assert_eq!(desk.doubles(), 0);
    assert_eq!(&desk.feed(), &had.1);
    assert_eq!(desk.work(), had.0, "an attempt would be made again");
}

#[tokio::test]
async fn f03_rows_lost_in_a_power_cut_make_nothing_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    let had = lost(folder.path(), DUPLICATE_KEYS_AND_ROWS).await;
    let desk = Desk::open(folder.path(), "another boot");
    nothing_is_twice(&desk, &had).await;
    desk.kill();
}

#[tokio::test]
async fn f03_rows_lost_in_the_same_boot_are_found_by_the_scrub_and_make_nothing_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    let had = lost(folder.path(), DUPLICATE_KEYS_AND_ROWS).await;
    let desk = Desk::open(folder.path(), "this boot");
    let found = desk.store.scrub(0).expect("it is compared");
    assert_eq!(found.missing as usize, 3 * LOST, "{found:?}");
    assert!(found.healed);
    nothing_is_twice(&desk, &had).await;
    desk.kill();
}

/// The planted fault: without the scrub, and believed, the loss would show.
#[tokio::test]
async fn f03_without_the_scrub_the_same_loss_doubles_messages() {
    let folder = tempfile::tempdir().expect("a folder");
    lost(folder.path(), b"x").await;
    let desk = Desk::open(folder.path(), "this boot");
    let again = desk.deliver().await;
    assert!(again.new as usize >= LOST - QUEUED, "{again:?}");
    desk.kill();
}
