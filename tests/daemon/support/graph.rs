//! A strict stand-in for Meta's Graph API, for one Page: it refuses what Meta refuses, remembers every message that it
//! *executed* (which is what a customer would have got), and fails in the ways that a test asks for.
//!
//! It has a runtime of its own, so that it answers whatever the test is doing. What it cannot know of Meta it does not
//! pretend: it follows Meta's documentation, and nothing here proves how Meta behaves.
mod app;
mod files;
mod reading;
mod sending;
mod server;
mod state;
mod tests;
mod webhooks;

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use files::Hosted;
pub(crate) use files::Served;
pub(crate) use state::{Attempt, Executed};
use state::{Message, Person, State};

/// The Page that the stand-in serves, and the app that may write for it.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub(crate) app_id: String,
    pub(crate) app_secret: String,
    pub(crate) page_id: String,
    pub(crate) page_token: String,
    pub(crate) version: String,
    /// Whether the app has the Human Agent feature.
    pub(crate) human_agent: bool,
}

/// How a call goes wrong. `executed` says whether the platform did what it was asked before the trouble.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// 429 with this `Retry-After`, as it stands in the header.
    TooMany { retry_after: String },
    /// 500 in Meta's own form, transient; not executed.
    Trouble,
    /// Meta's own error.
    Refused {
        status: u16,
        code: i64,
        subcode: Option<i64>,
    },
    /// A gateway's 502 in HTML.
    BadGateway { executed: bool },
    /// 200 with half an answer in it.
    HalfAnAnswer { executed: bool },
    /// The line is cut without an answer.
    Cut { executed: bool },
    /// No answer for as long as the caller waits.
    Silence { executed: bool },
    /// Executed at once, answered after this time.
    Slow(Duration),
}

impl Fault {
    /// The token has expired.
    pub(crate) fn token_expired() -> Self {
        Self::Refused {
            status: 401,
            code: 190,
            subcode: Some(463),
        }
    }

    /// The time to answer is over.
    pub(crate) fn window_closed() -> Self {
        Self::Refused {
            status: 400,
            code: 10,
            subcode: Some(2_018_278),
        }
    }
}

/// When the echo of an executed message is delivered to the callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Echo {
    Never,
    /// Before the call is answered.
    Before,
    /// Right after the answer.
    After,
    /// So much later.
    Late(Duration),
    /// Before the answer, and once more after it.
    Twice,
}

pub(crate) type Rule = Box<dyn FnMut(&Attempt) -> Option<Fault> + Send>;

/// What the server and the handle share.
pub(crate) struct Shared {
    state: Mutex<State>,
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
pub(crate) struct Graph {
    url: String,
    shared: Arc<Shared>,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Graph {
    /// Starts one on a free port.
    pub(crate) fn start(page: Page) -> Self {
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
            state: Mutex::new(State::of(page, &url)),
            client,
        });
        let serving = Arc::clone(&shared);
        runtime.spawn(async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a socket");
            server::serve(listener, serving).await;
        });
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

    /// A person who has just written to the Page, so that the Page may answer.
    pub(crate) fn knows(&self, psid: &str) {
        self.knows_since(psid, now_ms());
    }

    /// The same, where the person's last deed was at this time.
    pub(crate) fn knows_since(&self, psid: &str, last_deed_ms: i64) {
        let mut state = self.shared.state();
        let person = state
            .people
            .entry(psid.to_owned())
            .or_insert_with(|| Person::of(psid));
        person.last_deed_ms = last_deed_ms;
    }

    /// A message of a person that Meta has, and whose delivery the test makes or leaves out. Its id.
    pub(crate) fn person_wrote(&self, psid: &str, text: &str) -> String {
        self.knows(psid);
        let mut state = self.shared.state();
        let id = state.next_id();
        self.keep(&mut state, psid, Message::text(&id, false, text));
        id
    }

    /// Messages of a person with ids and times of the test's, from the oldest.
    pub(crate) fn person_wrote_all(&self, psid: &str, written: &[(String, String, i64)]) {
        self.knows(psid);
        let mut state = self.shared.state();
        for (mid, text, at_ms) in written {
            let at_ms = *at_ms;
            let message = Message {
                at_ms,
                ..Message::text(mid, false, text)
            };
            self.keep(&mut state, psid, message);
        }
    }

    /// When a message was written, in milliseconds.
    pub(crate) fn written_at(&self, mid: &str) -> i64 {
        let state = self.shared.state();
        let mut all = state.people.values().flat_map(|person| &person.messages);
        all.find(|message| message.id == mid)
            .expect("it was written")
            .at_ms
    }

    /// From now on each list says that it goes on where it began, as broken paging does.
    pub(crate) fn pages_go_in_circles(&self, they_do: bool) {
        self.shared.state().pages_go_in_circles = they_do;
    }

    /// Where the app delivers to, and what, where it is registered.
    pub(crate) fn app_delivers(&self) -> Option<(String, Vec<String>)> {
        let state = self.shared.state();
        let subscription = state.subscriptions.get("page")?;
        Some((
            subscription.callback_url.clone(),
            subscription.fields.clone(),
        ))
    }

    /// Whatever the Page is subscribed to, these fields are left out, as where the app lacks the right to them.
    pub(crate) fn forgets_subscriptions_to(&self, fields: &[&str]) {
        let fields = fields.iter().map(ToString::to_string);
        self.shared.state().fields_not_kept = fields.collect();
    }

    /// Somebody unsubscribes the Page from these fields in the dashboard.
    pub(crate) fn page_loses(&self, fields: &[&str]) {
        if let Some(subscribed) = &mut self.shared.state().subscribed_fields {
            subscribed.retain(|field| !fields.contains(&field.as_str()));
        }
    }

    /// A message that staff typed in the Page's inbox; its echo is not delivered. Its id.
    pub(crate) fn page_wrote_elsewhere(&self, psid: &str, text: &str) -> String {
        self.knows(psid);
        let mut state = self.shared.state();
        let id = state.next_id();
        self.keep(&mut state, psid, Message::text(&id, true, text));
        id
    }

    fn keep(&self, state: &mut State, psid: &str, message: Message) {
        state
            .people
            .get_mut(psid)
            .expect("known")
            .messages
            .push(message);
    }

    /// From now on only this token is valid.
    pub(crate) fn token_is(&self, token: &str) {
        self.shared.state().page.page_token = token.to_owned();
    }

    /// What the next sends come to, one after the other; after them all is well, or as [`Graph::on_send`] says.
    pub(crate) fn next_sends(&self, faults: impl IntoIterator<Item = Fault>) {
        self.shared.state().send_faults.extend(faults);
    }

    /// What each send comes to.
    pub(crate) fn on_send(&self, rule: impl FnMut(&Attempt) -> Option<Fault> + Send + 'static) {
        self.shared.state().send_rule = Some(Box::new(rule));
    }

    /// What the next looks at conversations come to.
    pub(crate) fn next_reads(&self, faults: impl IntoIterator<Item = Fault>) {
        self.shared.state().read_faults.extend(faults);
    }

    /// Where deliveries go: the whole address of the channel's webhook.
    pub(crate) fn delivers_to(&self, callback: &str) {
        self.shared.state().callback = Some(callback.to_owned());
    }

    /// When echoes are delivered; without a word of the test's right after the answer.
    pub(crate) fn echoes(&self, echo: Echo) {
        self.shared.state().echo = echo;
    }

    /// Every send that was asked for properly, executed or not.
    pub(crate) fn attempts(&self) -> Vec<Attempt> {
        self.shared.state().attempts.clone()
    }

    /// Every message that was executed, in order.
    pub(crate) fn executed(&self) -> Vec<Executed> {
        self.shared.state().executed.clone()
    }

    /// How often a message with this metadata was executed: more than once is a duplicate at the customer's.
    pub(crate) fn times_executed(&self, metadata: &str) -> usize {
        let is_it = |executed: &&Executed| executed.metadata.as_deref() == Some(metadata);
        self.shared.state().executed.iter().filter(is_it).count()
    }

    /// The typing signs and seen marks: for whom, and what.
    pub(crate) fn actions(&self) -> Vec<(String, String)> {
        self.shared.state().actions.clone()
    }

    /// How often conversations were looked at.
    pub(crate) fn reads(&self) -> usize {
        self.shared.state().reads_made
    }

    /// The calls that Meta would never take, and why: a test in which the daemon behaves ends with none.
    pub(crate) fn violations(&self) -> Vec<String> {
        self.shared.state().violations.clone()
    }

    /// What deliveries were answered, in order; 0 where no answer came.
    pub(crate) fn webhook_answers(&self) -> Vec<u16> {
        self.shared.state().webhook_answers.clone()
    }

    /// The fields that the Page is subscribed to, where it is.
    pub(crate) fn subscribed_fields(&self) -> Option<Vec<String>> {
        self.shared.state().subscribed_fields.clone()
    }

    /// Serves a file at the stand-in's own address: these answers one after the other, and then the last. Its address.
    pub(crate) fn serves(&self, name: &str, answers: impl IntoIterator<Item = Served>) -> String {
        let hosted = Hosted {
            answers: answers.into_iter().collect(),
            asked: 0,
        };
        let mut state = self.shared.state();
        state.files.hosted.insert(name.to_owned(), hosted);
        format!("{}/files/{name}", self.url)
    }

    /// How often a file was asked for.
    pub(crate) fn times_fetched(&self, name: &str) -> usize {
        let state = self.shared.state();
        state.files.hosted.get(name).map_or(0, |file| file.asked)
    }

    /// Where the attachments of a message are from now on, for who asks for the message.
    pub(crate) fn attachments_are(&self, mid: &str, urls: &[&str]) {
        let urls = urls.iter().map(|&url| url.to_owned()).collect();
        let mut state = self.shared.state();
        state.files.of_messages.insert(mid.to_owned(), urls);
    }

    /// The messages whose attachments were asked for.
    pub(crate) fn messages_asked(&self) -> Vec<String> {
        self.shared.state().messages_asked.clone()
    }

    /// The name and the picture's address of a person who has written.
    pub(crate) fn profile_is(&self, psid: &str, name: &str, picture: &str) {
        self.knows(psid);
        let mut state = self.shared.state();
        let person = state.people.get_mut(psid).expect("known");
        person.name = name.to_owned();
        person.picture = Some(picture.to_owned());
    }

    /// Whom was asked for, in order.
    pub(crate) fn people_asked(&self) -> Vec<String> {
        self.shared.state().people_asked.clone()
    }

    /// Tells the callback that everything sent to this person so far was delivered. The callback's status, 0 for none.
    pub(crate) async fn tells_delivered(&self, psid: &str) -> u16 {
        let (mids, watermark) = self.sent_to(psid);
        self.tells(vec![self.receipt(
            psid,
            "delivery",
            json!({ "mids": mids, "watermark": watermark }),
        )])
        .await
    }

    /// The same for read.
    pub(crate) async fn tells_read(&self, psid: &str) -> u16 {
        let (_, watermark) = self.sent_to(psid);
        self.tells(vec![self.receipt(
            psid,
            "read",
            json!({ "watermark": watermark }),
        )])
        .await
    }

    /// Delivers any events, signed. The callback's status, 0 for none.
    pub(crate) async fn tells(&self, events: Vec<Value>) -> u16 {
        let shared = Arc::clone(&self.shared);
        let delivered = self
            .runtime()
            .spawn(async move { webhooks::deliver(&shared, events).await });
        delivered.await.expect("it ends with a status")
    }

    fn receipt(&self, psid: &str, kind: &str, receipt: Value) -> Value {
        let page = self.shared.state().page.page_id.clone();
        json!({ "sender": { "id": psid }, "recipient": { "id": page }, "timestamp": now_ms(), kind: receipt })
    }

    /// The ids of what was sent to a person, and the time of the last.
    fn sent_to(&self, psid: &str) -> (Vec<String>, i64) {
        let state = self.shared.state();
        let sent = || {
            state
                .executed
                .iter()
                .filter(|executed| executed.recipient == psid)
        };
        (
            sent().map(|executed| executed.id.clone()).collect(),
            sent().map(|executed| executed.at_ms).max().unwrap_or(0),
        )
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
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn runtime(&self) -> &tokio::runtime::Runtime {
        self.runtime.as_ref().expect("it runs until it is dropped")
    }
}

impl Drop for Graph {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Now, in milliseconds.
fn now_ms() -> i64 {
    deskbell::clock::Clock::system().now().as_millis()
}
