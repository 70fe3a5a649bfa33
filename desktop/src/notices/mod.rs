//! Notifications of the desktop: one for each key, shown anew in its place, with buttons.

#[cfg(not(target_os = "linux"))]
mod elsewhere;
#[cfg(target_os = "linux")]
mod freedesktop;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};

/// How many orders may wait.
const QUEUE: usize = 1_024;

/// What is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Which one: the same key again takes its place.
    pub key: String,
    /// One line, as text.
    pub title: String,
    /// Some lines, as text.
    pub body: String,
    /// Whether nobody may overlook it.
    pub critical: bool,
    /// Whether it goes away by itself.
    pub passing: bool,
    /// The buttons: what is told when one is pressed, and what it says. `open` is also told by a click on the whole.
    pub buttons: Vec<(&'static str, &'static str)>,
}

/// What a person did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// Pressed a button.
    Pressed {
        /// Of which.
        key: String,
        /// Which one.
        button: String,
    },
    /// It is gone, and not by us.
    Gone {
        /// Which.
        key: String,
    },
    /// Whatever shows notifications began anew: none is there any more.
    Restarted,
}

enum Order {
    Show(Notice, oneshot::Sender<Result<(), String>>),
    Close(String),
    Probe(oneshot::Sender<Result<String, String>>),
}

/// Shows and closes notifications.
#[derive(Clone, Debug)]
pub struct Notices {
    orders: mpsc::Sender<Order>,
}

impl Notices {
    /// Begins; what people do is told to `reactions`.
    #[must_use]
    pub fn start(reactions: mpsc::Sender<Reaction>) -> Self {
        let (orders, todo) = mpsc::channel(QUEUE);
        #[cfg(target_os = "linux")]
        tokio::spawn(freedesktop::work(todo, reactions));
        #[cfg(not(target_os = "linux"))]
        tokio::spawn(elsewhere::work(todo, reactions));
        Self { orders }
    }

    /// Shows one. Its place among the orders is that of this call, whenever the answer is waited for; the answer says in
    /// words what went wrong.
    pub fn show(&self, notice: Notice) -> BoxFuture<'static, Result<(), String>> {
        self.ask(|answer| Order::Show(notice, answer))
    }

    /// Closes one; one that is not there is closed already.
    pub fn close(&self, key: &str) {
        if self.orders.try_send(Order::Close(key.to_owned())).is_err() {
            tracing::warn!(key, "a notification could not be closed: nothing answers");
        }
    }

    /// What shows notifications here; nothing is shown. The answer says in words what is wrong.
    pub fn probe(&self) -> BoxFuture<'static, Result<String, String>> {
        self.ask(Order::Probe)
    }

    fn ask<T: Send + 'static>(
        &self,
        order: impl FnOnce(oneshot::Sender<Result<T, String>>) -> Order,
    ) -> BoxFuture<'static, Result<T, String>> {
        let (answer, answered) = oneshot::channel();
        let sent = self.orders.try_send(order(answer)).is_ok();
        let answer = async move {
            if !sent {
                return Err("whatever shows notifications does not answer".to_owned());
            }
            let answered = answered.await;
            answered.map_err(|_| "the notifications have stopped".to_owned())?
        };
        answer.boxed()
    }
}
