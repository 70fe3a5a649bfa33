//! The channel of the simulated platform: to the daemon it is a connector like any other.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use deskbell_sdk::client::{BoxFuture, Http};
use deskbell_sdk::send::{
    Fate, LostSend, Outbound, Part, PartPlan, ReplyShape, Send, SendError, Sent,
};
use deskbell_sdk::webhook::{Malformed, Rejected, Request, Verified, Webhook, shared_secret};
use deskbell_sdk::{
    Author, Channel, Direction, Event, Inbound, Kind, Limits, NewMessage, Person, Secret,
    SettingProblem, Settings, Time,
};

use super::platform::{Does, POISON, Platform, Post};

/// The header by which the platform shows that it is itself.
pub(super) const SECRET_HEADER: &str = "x-secret";
/// What stands in it.
pub(super) const SECRET: &str = "simulated-secret";

/// The line between a daemon and the platform: it ends with the daemon, the platform does not.
#[derive(Clone, Debug)]
pub(super) struct Line {
    platform: Arc<Mutex<Platform>>,
    began: tokio::time::Instant,
    began_ms: i64,
    is_cut: Arc<AtomicBool>,
    /// How many sends reach the platform before the daemon dies of one, where it does.
    dies_behind: Arc<Mutex<Option<u64>>>,
    /// Whether the daemon is dead.
    pub(super) dead: Arc<AtomicBool>,
}

impl Line {
    /// A line to `platform`, whose clock stands at `now_ms`.
    pub(super) fn new(platform: Arc<Mutex<Platform>>, now_ms: i64) -> Self {
        Self {
            platform,
            began: tokio::time::Instant::now(),
            began_ms: now_ms,
            is_cut: Arc::default(),
            dies_behind: Arc::default(),
            dead: Arc::default(),
        }
    }

    /// So many sends do well. Of the next the platform hears, and the daemon dies before it is answered.
    pub(super) fn dies_behind(&self, sends: u64) {
        *self.dies_behind.lock().expect("nobody panicked") = Some(sends);
    }

    /// A send has reached the platform; whether the daemon is dead now.
    fn dies_of_it(&self) -> bool {
        let mut left = self.dies_behind.lock().expect("nobody panicked");
        match &mut *left {
            Some(0) => self.dead.store(true, Ordering::SeqCst),
            Some(sends) => *sends -= 1,
            None => {}
        }
        self.dead.load(Ordering::SeqCst)
    }

    /// The time at the platform, in milliseconds.
    pub(super) fn now_ms(&self) -> i64 {
        self.began_ms + i64::try_from(self.began.elapsed().as_millis()).expect("short")
    }

    /// The platform as it stands now.
    pub(super) fn platform(&self) -> MutexGuard<'_, Platform> {
        let mut platform = self.platform.lock().expect("nobody panicked");
        platform.go_on(self.now_ms());
        platform
    }

    /// The daemon dies: nothing leaves it any more.
    pub(super) fn cut(&self) {
        self.is_cut.store(true, Ordering::SeqCst);
        self.platform().line_cut(self.now_ms());
    }

    fn chance(&self, end: u64) -> Duration {
        Duration::from_millis(self.platform().below(end))
    }
}

thread_local! {
    static LINE: RefCell<Option<Line>> = const { RefCell::new(None) };
}

/// A kind of channel whose next opened one is at the other end of `line`.
pub(super) fn kind_at(line: &Line) -> Kind {
    LINE.set(Some(line.clone()));
    Kind {
        id: "simulated",
        title: "Simulated",
        settings: &[],
        api_base: Some("https://simulated.invalid"),
        open,
    }
}

fn open(_: &Settings) -> Result<Box<dyn Channel>, SettingProblem> {
    let line = LINE.take().expect("a line was put there");
    let window_ms = line.platform().manners.window_ms;
    Ok(Box::new(Simulated {
        line,
        window_ms,
        secret: Secret::new(SECRET),
    }))
}

struct Simulated {
    line: Line,
    window_ms: Option<i64>,
    secret: Secret,
}

impl Channel for Simulated {
    fn limits(&self) -> Limits {
        Limits {
            reply_window_ms: self.window_ms,
            ..Limits::default()
        }
    }

    fn webhook(&self) -> Option<&dyn Webhook> {
        Some(self)
    }

    fn send(&self) -> Option<&dyn Send> {
        Some(self)
    }
}

/// A post as the model has it.
pub(super) fn message(post: &Post) -> NewMessage {
    let customer = Person {
        name: Some(format!("Customer {}", post.thread)),
        ..Person::with_id(&post.thread)
    };
    NewMessage {
        thread: post.thread.clone(),
        external_id: post.id.clone(),
        direction: if post.by_customer {
            Direction::Inbound
        } else {
            Direction::Outbound
        },
        author: if post.by_customer {
            Author::Contact(customer.clone())
        } else {
            Author::Staff { name: None }
        },
        customer,
        text: Some(post.text.clone()),
        attachments: Vec::new(),
        reply_to: None,
        sent_at: Time::from_millis(post.at_ms),
        order: 0,
        metadata: BTreeMap::new(),
        send_token: post.token.clone(),
        album: None,
    }
}

impl Webhook for Simulated {
    fn verify(&self, request: &Request<'_>) -> Result<Verified, Rejected> {
        shared_secret(request, SECRET_HEADER, &self.secret)
    }

    fn decode(&self, delivery: &Verified) -> Result<Vec<Inbound>, Malformed> {
        let posts: Vec<Post> = serde_json::from_slice(delivery.body())
            .map_err(|error| Malformed(error.to_string()))?;
        assert!(posts.iter().all(|post| post.text != POISON), "poison");
        Ok(posts
            .iter()
            .map(|post| Inbound::here(Event::Message(Box::new(message(post)))))
            .collect())
    }
}

fn words(part: &Part) -> &str {
    match part {
        Part::Text(text) => text,
        Part::File(_) => "a file",
    }
}

impl Simulated {
    async fn sent(&self, outbound: Outbound<'_>) -> Result<Sent, SendError> {
        if self.line.is_cut.load(Ordering::SeqCst) {
            return std::future::pending().await;
        }
        let say = "as the simulation has it".to_owned();
        // After this time nobody waits for the answer any more.
        let line_ms = i64::try_from(crate::http_client::upload_time(0).as_millis()).expect("short");
        let now_ms = self.line.now_ms();
        let does = self.line.platform().called(
            now_ms,
            outbound.thread,
            outbound.send_token,
            words(outbound.part),
            line_ms,
        );
        if self.line.dies_of_it() {
            return std::future::pending().await;
        }
        match does {
            Does::Takes => {
                let token = outbound.send_token;
                let mut id = None;
                while id.is_none() {
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    id = self.line.platform().id_of(token);
                }
                Ok(Sent { external_id: id })
            }
            Does::TakesInSilence | Does::NeverHears => {
                if self.line.chance(2) == Duration::ZERO {
                    // The line is cut, and the caller knows that at once.
                    tokio::time::sleep(self.line.chance(500)).await;
                    self.line.platform().line_cut(self.line.now_ms());
                    return Err(SendError::Unknown { say });
                }
                std::future::pending().await
            }
            Does::Postpones(after_ms) => {
                tokio::time::sleep(self.line.chance(500)).await;
                let after = after_ms.map(Duration::from_millis);
                Err(SendError::Retry { after, say })
            }
            Does::Refuses => Err(SendError::Refused {
                code: "100".to_owned(),
                say,
            }),
            Does::Expired => Err(SendError::Credentials { say }),
        }
    }

    async fn found(&self, lost: LostSend<'_>) -> Fate {
        if self.line.is_cut.load(Ordering::SeqCst) {
            return std::future::pending().await;
        }
        let manners = self.line.platform().manners;
        if !manners.tells {
            return Fate::Untold;
        }
        tokio::time::sleep(self.line.chance(800)).await;
        if self.line.chance(100) < Duration::from_millis(manners.unanswered) {
            return Fate::Unanswered {
                say: "as the simulation has it".to_owned(),
            };
        }
        let history = self
            .line
            .platform()
            .history(self.line.now_ms(), lost.thread);
        let is_it = |post: &&Post| {
            !post.by_customer && post.text == words(lost.part) && !lost.known.contains(&post.id)
        };
        match history.iter().find(is_it) {
            Some(post) => Fate::Sent(Sent {
                external_id: Some(post.id.clone()),
            }),
            None if manners.blind => Fate::NotSent,
            None => Fate::NotSeen,
        }
    }
}

impl Send for Simulated {
    fn plan(&self, reply: &ReplyShape<'_>) -> Result<Vec<PartPlan>, SendError> {
        let text = reply.text.unwrap_or_default().to_owned();
        Ok(vec![PartPlan::Text(text)])
    }

    fn send<'a>(
        &'a self,
        _http: &'a dyn Http,
        outbound: Outbound<'a>,
    ) -> BoxFuture<'a, Result<Sent, SendError>> {
        Box::pin(self.sent(outbound))
    }

    fn fate<'a>(&'a self, _http: &'a dyn Http, lost: LostSend<'a>) -> BoxFuture<'a, Fate> {
        Box::pin(self.found(lost))
    }

    fn sends_per_second(&self) -> u32 {
        // The limiter has the machine's clock, which the simulation does not move.
        1_000_000
    }
}
