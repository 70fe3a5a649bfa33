//! Senders that never rest, and the book they keep outside of the daemon: what they sent, and what was acknowledged.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::support::{
    ADMIN, APP_SECRET, Daemon, PAGE, client, deliver, envelope, message, now_ms, signature,
};

/// The configuration of a daemon under load: visitors' addresses are believed, so that each is a household of its own.
pub(crate) fn config() -> String {
    format!(
        "trusted_proxies = [\"127.0.0.1/32\"]\n{}",
        crate::support::config("")
    )
}

/// The way on which a message is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// A signed delivery of Messenger's.
    Webhook,
    /// A visitor of the website writes.
    Chat,
    /// A program answers a visitor through the API.
    Reply,
}

impl Way {
    /// Every sender has a way of its own: of eight, six deliver, one chats and one answers.
    const fn of_sender(sender: usize) -> Self {
        match sender % 8 {
            6 => Self::Chat,
            7 => Self::Reply,
            _ => Self::Webhook,
        }
    }

    const fn letter(self) -> char {
        match self {
            Self::Webhook => 'w',
            Self::Chat => 'c',
            Self::Reply => 'r',
        }
    }
}

/// A message: its text is written once in the whole run, and everything else about it follows from the text.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) way: Way,
    number: usize,
}

impl Sent {
    /// What it says.
    pub(crate) fn text(&self) -> String {
        format!("{}-{}", self.way.letter(), self.number)
    }

    /// The bytes of the file that comes with it, where one does.
    pub(crate) fn file(&self) -> Option<String> {
        (self.way == Way::Chat && self.number.is_multiple_of(5))
            .then(|| format!("the file of {}", self.text()))
    }

    /// The platform's id of it, where it came from one.
    pub(crate) fn platform_id(&self) -> Option<String> {
        (self.way == Way::Webhook).then(|| format!("m_{}", self.text()))
    }
}

/// What is known outside of the daemon.
#[derive(Clone, Debug, Default)]
pub(crate) struct Book {
    /// Everything that was sent, by its text.
    pub(crate) sent: BTreeMap<String, Sent>,
    /// The texts of what was acknowledged.
    pub(crate) acknowledged: BTreeSet<String>,
    /// What was sent and not acknowledged: it is sent again, as platforms, widgets and programs do.
    open: VecDeque<Sent>,
    /// Answers that are neither "done" nor "come again".
    pub(crate) odd_answers: Vec<String>,
    /// How often senders were put off by 503.
    pub(crate) put_off: usize,
}

impl Book {
    /// Takes in what was sent and acknowledged elsewhere.
    pub(crate) fn note(&mut self, way: Way, number: usize, acknowledged: bool) -> Sent {
        let sent = Sent { way, number };
        self.sent.insert(sent.text(), sent.clone());
        if acknowledged {
            self.acknowledged.insert(sent.text());
        }
        sent
    }
}

/// A visitor's session.
#[derive(Debug)]
struct Session {
    token: String,
    conversation: String,
    address: String,
}

impl Session {
    fn post(&self, url: &str, path: &str) -> reqwest::RequestBuilder {
        client()
            .post(format!("{url}/chat/site/{path}"))
            .bearer_auth(&self.token)
            .header("x-forwarded-for", &self.address)
            .timeout(Duration::from_secs(60))
    }

    /// Uploads a file and gives its id.
    async fn upload(&self, url: &str, bytes: String) -> Result<String, Answer> {
        let part = reqwest::multipart::Part::text(bytes).file_name("note.txt");
        let form = reqwest::multipart::Form::new().part("file", part);
        let sent = self.post(url, "attachments").multipart(form).send().await;
        let answer = match sent {
            Ok(answer) if answer.status().is_success() => answer,
            other => return Err(other.into()),
        };
        let made: Value = answer.json().await.map_err(|_| Answer::Silence)?;
        let id = made["id"].as_str().map(str::to_owned);
        id.ok_or_else(|| Answer::Odd(format!("an upload without id: {made}")))
    }
}

/// The senders' common ground; it outlives the daemons.
#[derive(Debug)]
pub(crate) struct Load {
    sessions: Vec<Session>,
    counter: AtomicUsize,
    book: Mutex<Book>,
}

/// What became of a request.
#[derive(Debug)]
enum Answer {
    Done,
    ComeAgain,
    Odd(String),
    Silence,
}

impl From<reqwest::Result<reqwest::Response>> for Answer {
    fn from(result: reqwest::Result<reqwest::Response>) -> Self {
        match result {
            Ok(answer) if answer.status().is_success() => Self::Done,
            Ok(answer) if matches!(answer.status().as_u16(), 503 | 429) => {
                if answer.headers().contains_key("retry-after") {
                    Self::ComeAgain
                } else {
                    Self::Odd(format!("{} without Retry-After", answer.status()))
                }
            }
            Ok(answer) => Self::Odd(format!("answered {}", answer.status())),
            Err(_) => Self::Silence,
        }
    }
}

/// Visitors of the website who write and are answered.
const VISITORS: usize = 16;

/// How long senders go on where a daemon puts them off.
const PATIENCE: Duration = Duration::from_secs(90);

/// Asks again until something is made.
async fn insistently<F: Future<Output = reqwest::Result<reqwest::Response>>>(
    ask: impl Fn() -> F,
) -> reqwest::Response {
    let begun = Instant::now();
    loop {
        let answer = ask().await.expect("answers");
        match answer.status().as_u16() {
            201 => return answer,
            503 if begun.elapsed() < PATIENCE => {}
            other => panic!("answered {other}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

impl Load {
    /// Opens the visitors' sessions at a daemon with [`config`].
    pub(crate) async fn begin(daemon: &Daemon) -> Arc<Self> {
        let begun = Instant::now();
        let mut sessions = Vec::new();
        for visitor in 0..VISITORS {
            let address = format!("198.18.0.{}", visitor + 1);
            let answer = insistently(|| {
                client()
                    .post(format!("{}/chat/site/session", daemon.url))
                    .header("x-forwarded-for", &address)
                    .json(&json!({}))
                    .send()
            })
            .await;
            let session: Value = answer.json().await.expect("JSON");
            let text = |value: &Value| value.as_str().expect("a text").to_owned();
            let session = Session {
                token: text(&session["token"]),
                conversation: text(&session["conversation"]["id"]),
                address,
            };
            sessions.push(session);
        }
        let load = Arc::new(Self {
            sessions,
            counter: AtomicUsize::new(VISITORS),
            book: Mutex::default(),
        });
        // A conversation begins with its first message; before it there is nothing to answer.
        for number in 0..VISITORS {
            let sent = load.book().note(Way::Chat, number, false);
            while !matches!(load.ask(&daemon.url, &sent).await, Answer::Done) {
                assert!(begun.elapsed() < PATIENCE, "never taken: {}", daemon.log());
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            load.book().acknowledged.insert(sent.text());
        }
        load
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().expect("not poisoned")
    }

    /// What is known now.
    pub(crate) fn known(&self) -> Book {
        self.book().clone()
    }

    /// How many are acknowledged.
    pub(crate) fn acknowledged(&self) -> usize {
        self.book().acknowledged.len()
    }

    /// Waits until so many are acknowledged; what the daemon did instead, where it does not get there.
    pub(crate) async fn until_acknowledged(&self, count: usize) -> Result<(), String> {
        let begun = Instant::now();
        while self.acknowledged() < count {
            if begun.elapsed() > PATIENCE {
                let book = self.known();
                return Err(format!(
                    "only {} of {count} acknowledged, {} put off, {:?}",
                    book.acknowledged.len(),
                    book.put_off,
                    book.odd_answers
                ));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    async fn ask(&self, url: &str, sent: &Sent) -> Answer {
        let text = sent.text();
        let session = &self.sessions[sent.number % self.sessions.len()];
        let request = match sent.way {
            Way::Webhook => {
                let body = body_of(sent);
                client()
                    .post(format!("{url}/webhooks/shop-page"))
                    .header("content-type", "application/json")
                    .header("x-hub-signature-256", signature(APP_SECRET, &body))
                    .body(body)
            }
            Way::Chat => {
                let files = match sent.file() {
                    Some(bytes) => match session.upload(url, bytes).await {
                        Ok(id) => vec![id],
                        Err(answer) => return answer,
                    },
                    None => Vec::new(),
                };
                let message = json!({ "text": text, "client_id": text, "attachment_ids": files });
                session.post(url, "messages").json(&message)
            }
            Way::Reply => client()
                .post(format!(
                    "{url}/api/v1/conversations/{}/messages",
                    session.conversation
                ))
                .bearer_auth(ADMIN)
                .header("idempotency-key", &text)
                .json(&json!({ "text": text })),
        };
        request.timeout(Duration::from_secs(60)).send().await.into()
    }

    /// What a sender of this way sends next: what was not acknowledged before anything new.
    fn next(&self, way: Way) -> Sent {
        let mut book = self.book();
        if let Some(place) = book.open.iter().position(|sent| sent.way == way) {
            return book.open.remove(place).expect("found");
        }
        let number = self.counter.fetch_add(1, Ordering::Relaxed);
        book.note(way, number, false)
    }

    /// Sends until it is told to stop, or the daemon is gone.
    async fn send(self: Arc<Self>, url: String, sender: usize, stop: Arc<AtomicBool>) {
        while !stop.load(Ordering::Relaxed) {
            if !self.send_one(&url, Way::of_sender(sender)).await {
                return;
            }
        }
    }

    /// Sends one message; whether anybody answered.
    pub(crate) async fn send_one(&self, url: &str, way: Way) -> bool {
        let sent = self.next(way);
        // Every fifth delivery is made twice at once, as platforms do after a slow answer.
        let again = (way == Way::Webhook && sent.number.is_multiple_of(5)).then(|| {
            let (url, body) = (url.to_owned(), body_of(&sent));
            tokio::spawn(async move { deliver(&url, "shop-page", APP_SECRET, body).await })
        });
        let answer = self.ask(url, &sent).await;
        if let Some(again) = again {
            // Only the first answer counts here; the second must not make a second message.
            let _ = again.await;
        }
        match answer {
            Answer::Done => {
                self.book().acknowledged.insert(sent.text());
                true
            }
            Answer::ComeAgain => {
                {
                    let mut book = self.book();
                    book.put_off += 1;
                    book.open.push_back(sent);
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
                true
            }
            Answer::Odd(what) => {
                let mut book = self.book();
                book.odd_answers.push(format!("{}: {what}", sent.text()));
                book.open.push_back(sent);
                true
            }
            Answer::Silence => {
                self.book().open.push_back(sent);
                false
            }
        }
    }

    /// Makes one delivery: its status, and when it may come again.
    pub(crate) async fn deliver_one(&self, daemon: &Daemon) -> (u16, Option<String>) {
        let sent = self.next(Way::Webhook);
        let body = body_of(&sent);
        let answer = client()
            .post(format!("{}/webhooks/shop-page", daemon.url))
            .header("x-hub-signature-256", signature(APP_SECRET, &body))
            .body(body)
            .send()
            .await
            .expect("it answers");
        let mut book = self.book();
        if answer.status() == 200 {
            book.acknowledged.insert(sent.text());
        } else {
            book.open.push_front(sent);
        }
        let retry_after = answer.headers().get("retry-after");
        let retry_after = retry_after.map(|value| value.to_str().expect("text").to_owned());
        (answer.status().as_u16(), retry_after)
    }

    /// Whether a daemon whose senders are long gone takes a delivery, within a while.
    pub(crate) async fn takes_deliveries(daemon: &Daemon) -> bool {
        static NUMBER: AtomicUsize = AtomicUsize::new(10_000_000);
        let begun = Instant::now();
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let sent = Book::default().note(Way::Webhook, number, false);
        while begun.elapsed() < PATIENCE {
            let body = body_of(&sent);
            match deliver(&daemon.url, "shop-page", APP_SECRET, body).await {
                Ok(200) => return true,
                Ok(503) => tokio::time::sleep(Duration::from_millis(100)).await,
                _ => return false,
            }
        }
        false
    }

    /// Lets so many senders loose on a daemon.
    pub(crate) fn loose(self: &Arc<Self>, daemon: &Daemon, senders: usize) -> Senders {
        self.let_loose(daemon, 0..senders)
    }

    /// Lets three senders loose, one of each way.
    pub(crate) fn loose_one_of_each(self: &Arc<Self>, daemon: &Daemon) -> Senders {
        self.let_loose(daemon, 5..8)
    }

    fn let_loose(self: &Arc<Self>, daemon: &Daemon, senders: Range<usize>) -> Senders {
        let stop = Arc::new(AtomicBool::new(false));
        let tasks = senders
            .map(|sender| {
                let (load, url, stop) = (Arc::clone(self), daemon.url.clone(), Arc::clone(&stop));
                tokio::spawn(load.send(url, sender, stop))
            })
            .collect();
        Senders { stop, tasks }
    }

    /// Sends again what was never acknowledged, until it is, and again everything of the last `most` deliveries that
    /// were acknowledged, as a platform does that lost the answers.
    pub(crate) async fn send_again(&self, daemon: &Daemon, most: usize) {
        let (open, known): (Vec<Sent>, Vec<Sent>) = {
            let mut book = self.book();
            let known = book.acknowledged.iter().rev().take(most);
            let known = known.map(|text| book.sent[text].clone()).collect();
            (book.open.drain(..).collect(), known)
        };
        for sent in open.iter().chain(&known) {
            let mut tries = 0;
            loop {
                match self.ask(&daemon.url, sent).await {
                    Answer::Done => break,
                    Answer::ComeAgain if tries < 600 => {
                        tries += 1;
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                    Answer::ComeAgain => panic!("{} is put off for ever", sent.text()),
                    Answer::Odd(what) => panic!("{}: {what}", sent.text()),
                    Answer::Silence => panic!("{}: no answer; {}", sent.text(), daemon.log()),
                }
            }
            self.book().acknowledged.insert(sent.text());
        }
    }
}

/// The delivery of a message; the same bytes whenever it is made again, but for the time.
fn body_of(sent: &Sent) -> String {
    let person = format!("{}", 2000 + sent.number % 16);
    let id = sent.platform_id().expect("a delivery");
    envelope(PAGE, &[message(&person, &id, &sent.text(), now_ms())])
}

/// Senders that are under way.
pub(crate) struct Senders {
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Senders {
    /// Tells them to stop and waits for the last answers.
    pub(crate) async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.expect("no sender fails");
        }
    }
}
