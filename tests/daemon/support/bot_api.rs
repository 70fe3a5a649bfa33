//! A strict stand-in for Telegram's Bot API, for one bot: it keeps a queue of updates as Telegram does, refuses what
//! Telegram refuses, remembers every message that it *executed* (which is what a customer would have got), and fails in
//! the ways that a test asks for.
//!
//! It has a runtime of its own, so that it answers whatever the test is doing. What it cannot know of Telegram it does
//! not pretend: it follows the Bot API's documentation, and nothing here proves how Telegram behaves.
mod sending;
mod server;
mod state;
mod updates;

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::Notify;

pub(crate) use state::{Attempt, Executed};
use state::{Chat, State};

/// How a call goes wrong. `executed` says whether the platform did what it was asked before the trouble.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// 429 with this wait in seconds.
    TooMany { retry_after: u64 },
    /// 500 in Telegram's own form; not executed.
    Trouble,
    /// Telegram's own refusal.
    Refused {
        code: u16,
        description: &'static str,
    },
    /// A gateway's 502 in HTML.
    BadGateway { executed: bool },
    /// 200 with half an answer in it.
    HalfAnAnswer { executed: bool },
    /// The line is cut without an answer.
    Cut { executed: bool },
    /// No answer for as long as the caller waits.
    Silence { executed: bool },
}

pub(crate) type Rule = Box<dyn FnMut(&Attempt) -> Option<Fault> + Send>;

/// What the server and the handle share.
pub(crate) struct Shared {
    state: Mutex<State>,
    /// Something happened for which a look waits: an update, another look, a webhook.
    moved: Notify,
    client: reqwest::Client,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .expect("no stand-in panics with its state")
    }
}

/// The stand-in; it ends when dropped.
pub(crate) struct BotApi {
    url: String,
    shared: Arc<Shared>,
    runtime: Option<tokio::runtime::Runtime>,
}

impl BotApi {
    /// Starts one on a free port, for the bot of this token.
    pub(crate) fn start(token: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build();
        let runtime = runtime.expect("a runtime");
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        listener.set_nonblocking(true).expect("a socket");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let client = deskbell::http_client::builder().build().expect("a client");
        let shared = Arc::new(Shared {
            state: Mutex::new(State::of(token)),
            moved: Notify::new(),
            client,
        });
        let serving = Arc::clone(&shared);
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
            server::serve(listener, serving).await;
        });
        let delivering = Arc::clone(&shared);
        runtime.spawn(updates::deliver(delivering));
        Self {
            url,
            shared,
            runtime: Some(runtime),
        }
    }

    /// Its address, for `api_base`.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// A person who has pressed Start.
    pub(crate) fn knows(&self, person: i64, name: &str) {
        let mut state = self.shared.state();
        state.chats.entry(person).or_insert_with(|| Chat::of(name));
    }

    /// A person's text, as an update. The message's id, as the desk writes it.
    pub(crate) fn says(&self, person: i64, text: &str) -> String {
        self.writes(person, json!({ "text": text }))
    }

    /// A person's message with this content, as an update. The message's id, as the desk writes it.
    pub(crate) fn writes(&self, person: i64, content: Value) -> String {
        self.knows(person, "Jana");
        let mut state = self.shared.state();
        let chat = state.chats.get_mut(&person).expect("known");
        chat.last_message += 1;
        let (number, name) = (chat.last_message, chat.name.clone());
        let mut message = json!({
            "message_id": number, "date": now_seconds(),
            "from": { "id": person, "is_bot": false, "first_name": name },
            "chat": { "id": person, "type": "private", "first_name": name },
        });
        merge(&mut message, content);
        state.queue(json!({ "message": message }));
        drop(state);
        self.shared.moved.notify_waiters();
        format!("{person}:{number}")
    }

    /// Any update, without its number.
    pub(crate) fn happens(&self, update: Value) {
        self.shared.state().queue(update);
        self.shared.moved.notify_waiters();
    }

    /// A file that can be fetched: its id.
    pub(crate) fn holds(&self, name: &str, content: &[u8]) -> String {
        let mut state = self.shared.state();
        let id = format!("BQACInvented{}", state.files.len());
        let path = format!("documents/{name}");
        state.files.insert(id.clone(), (path, content.to_vec()));
        id
    }

    /// This person has blocked the bot, or lets it write again.
    pub(crate) fn blocks(&self, person: i64, blocked: bool) {
        let mut state = self.shared.state();
        state.chats.get_mut(&person).expect("known").blocked = blocked;
    }

    /// The group has become another chat.
    pub(crate) fn migrates(&self, from: i64, to: i64) {
        let mut state = self.shared.state();
        let name = {
            let chat = state
                .chats
                .entry(from)
                .or_insert_with(|| Chat::of("a group"));
            chat.moved_to = Some(to);
            chat.name.clone()
        };
        state.chats.insert(to, Chat::of(&name));
    }

    /// From now on only this token is valid.
    pub(crate) fn token_is(&self, token: &str) {
        self.shared.state().token = token.to_owned();
        self.shared.moved.notify_waiters();
    }

    /// An answer with updates is cut at so many bytes; Telegram's limit is about 4 MiB.
    pub(crate) fn answers_up_to(&self, bytes: usize) {
        self.shared.state().max_answer_bytes = bytes;
    }

    /// What the next looks for updates come to.
    pub(crate) fn next_looks(&self, faults: impl IntoIterator<Item = Fault>) {
        self.shared.state().look_faults.extend(faults);
        self.shared.moved.notify_waiters();
    }

    /// What each send comes to.
    pub(crate) fn on_send(&self, rule: impl FnMut(&Attempt) -> Option<Fault> + Send + 'static) {
        self.shared.state().send_rule = Some(Box::new(rule));
    }

    /// Somebody else sets a webhook with the same token; it takes nothing.
    pub(crate) fn somebody_sets_a_webhook(&self, url: &str) {
        let mut state = self.shared.state();
        state.webhook = Some(state::Webhook {
            url: url.to_owned(),
            secret: "somebody-elses".to_owned(),
            allowed_updates: Vec::new(),
        });
        drop(state);
        self.shared.moved.notify_waiters();
    }

    /// The address and the secret of the webhook, where there is one.
    pub(crate) fn webhook(&self) -> Option<(String, String)> {
        let state = self.shared.state();
        let webhook = state.webhook.as_ref();
        webhook.map(|webhook| (webhook.url.clone(), webhook.secret.clone()))
    }

    /// How many updates wait, confirmed by nobody.
    pub(crate) fn waiting(&self) -> usize {
        self.shared.state().updates.len()
    }

    /// How often updates were asked for.
    pub(crate) fn looks(&self) -> usize {
        self.shared.state().looks
    }

    /// Every send that was asked for properly, executed or not.
    pub(crate) fn attempts(&self) -> Vec<Attempt> {
        self.shared.state().attempts.clone()
    }

    /// Every message that was executed, in order.
    pub(crate) fn executed(&self) -> Vec<Executed> {
        self.shared.state().executed.clone()
    }

    /// The typing signs: for which chat, and what.
    pub(crate) fn actions(&self) -> Vec<(i64, String)> {
        self.shared.state().actions.clone()
    }

    /// The calls that no program should make, and why: a test in which the daemon behaves ends with none.
    pub(crate) fn violations(&self) -> Vec<String> {
        self.shared.state().violations.clone()
    }

    /// Waits until the stand-in has seen what the test waits for.
    pub(crate) async fn until(&self, within: Duration, what: &str, is_so: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !is_so(self) {
            assert!(
                begun.elapsed() < within,
                "{what}: not within {within:?}; executed {:?}, violations {:?}",
                self.executed(),
                self.violations()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for BotApi {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Puts the members of one object into another.
fn merge(into: &mut Value, more: Value) {
    if let (Value::Object(into), Value::Object(more)) = (into, more) {
        into.extend(more);
    }
}

/// Now, in seconds.
fn now_seconds() -> i64 {
    deskbell::clock::Clock::system().now().as_millis() / 1000
}
