//! Linux: `org.freedesktop.Notifications` on the session bus, over one connection.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::sync::mpsc;
use zbus::message::Type;
use zbus::zvariant::Value;
use zbus::{Connection, MatchRule, Message, MessageStream};

use super::{Notice, Order, Reaction};
use crate::text::escape;

const NAME: &str = "org.freedesktop.Notifications";
const PATH: &str = "/org/freedesktop/Notifications";
const BUS: &str = "org.freedesktop.DBus";

/// How long a call may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How soon the bus is looked for again where it is gone.
const AGAIN: Duration = Duration::from_secs(3);
/// How many signals may wait.
const SIGNALS: usize = 256;

/// The session bus, as long as it is there.
struct Bus {
    connection: Connection,
    /// What the notifications' server says.
    signals: MessageStream,
    /// Who owns its name.
    owners: MessageStream,
    /// What it can do; `None` until it was asked.
    can: Option<HashSet<String>>,
}

impl Bus {
    async fn open() -> zbus::Result<Self> {
        let builder = zbus::connection::Builder::session()?;
        let connection = builder.method_timeout(PATIENCE).build().await?;
        let rule = MatchRule::builder()
            .msg_type(Type::Signal)
            .interface(NAME)?
            .build();
        let signals = MessageStream::for_match_rule(rule, &connection, Some(SIGNALS)).await?;
        let rule = MatchRule::builder()
            .msg_type(Type::Signal)
            .sender(BUS)?
            .interface(BUS)?
            .member("NameOwnerChanged")?
            .add_arg(NAME)?
            .build();
        let owners = MessageStream::for_match_rule(rule, &connection, Some(SIGNALS)).await?;
        Ok(Self {
            connection,
            signals,
            owners,
            can: None,
        })
    }

    async fn call<B>(&self, method: &str, body: &B) -> zbus::Result<Message>
    where
        B: serde::Serialize + zbus::zvariant::DynamicType,
    {
        let connection = &self.connection;
        connection
            .call_method(Some(NAME), PATH, Some(NAME), method, body)
            .await
    }

    async fn can(&mut self, what: &str) -> zbus::Result<bool> {
        if self.can.is_none() {
            let answer = self.call("GetCapabilities", &()).await?;
            let can: Vec<String> = answer.body().deserialize()?;
            self.can = Some(can.into_iter().collect());
        }
        Ok(self.can.as_ref().is_some_and(|can| can.contains(what)))
    }

    async fn notify(&mut self, notice: &Notice, replaces: u32) -> zbus::Result<u32> {
        let body = if self.can("body-markup").await? {
            escape(&notice.body)
        } else {
            notice.body.clone()
        };
        let mut buttons = Vec::new();
        if self.can("actions").await? {
            for (name, label) in &notice.buttons {
                buttons.extend([*name, *label]);
            }
            if notice.buttons.iter().any(|(name, _)| *name == "open") {
                buttons.extend(["default", "Open"]);
            }
        }
        let urgency: u8 = if notice.critical { 2 } else { 1 };
        let hints: HashMap<&str, Value<'_>> = HashMap::from([
            ("urgency", Value::from(urgency)),
            ("category", Value::from("im.received")),
            ("desktop-entry", Value::from("deskbell-desktop")),
            // We sound ourselves.
            ("suppress-sound", Value::from(true)),
        ]);
        let lasts: i32 = if notice.passing { 8_000 } else { 0 };
        let body = (
            "Deskbell",
            replaces,
            "mail-unread",
            &notice.title,
            body,
            buttons,
            hints,
            lasts,
        );
        self.call("Notify", &body).await?.body().deserialize()
    }
}

/// The notifications that are there.
#[derive(Default)]
struct Shown {
    ids: HashMap<String, u32>,
    keys: HashMap<u32, String>,
}

impl Shown {
    fn add(&mut self, key: &str, id: u32) {
        if let Some(before) = self.ids.insert(key.to_owned(), id) {
            self.keys.remove(&before);
        }
        self.keys.insert(id, key.to_owned());
    }

    fn remove(&mut self, key: &str) -> Option<u32> {
        let id = self.ids.remove(key)?;
        self.keys.remove(&id);
        Some(id)
    }

    fn gone(&mut self, id: u32) -> Option<String> {
        let key = self.keys.remove(&id)?;
        self.ids.remove(&key);
        Some(key)
    }
}

/// Carries out orders, and tells what people do, until nobody gives orders any more.
pub(super) async fn work(mut todo: mpsc::Receiver<Order>, reactions: mpsc::Sender<Reaction>) {
    let mut shown = Shown::default();
    let mut bus: Option<Bus> = None;
    loop {
        let reaction = if let Some(open) = &mut bus {
            tokio::select! {
                order = todo.recv() => {
                    let Some(order) = order else { return };
                    if carry_out(open, order, &mut shown).await.is_err() {
                        bus = None;
                    }
                    None
                }
                signal = open.signals.next() => match signal {
                    Some(Ok(message)) => reaction(&message, &mut shown),
                    _ => { bus = None; None }
                },
                owner = open.owners.next() => match owner {
                    Some(Ok(message)) => restarted(&message, open, &mut shown),
                    _ => { bus = None; None }
                },
            }
        } else {
            let order = tokio::time::timeout(AGAIN, todo.recv()).await;
            match (Bus::open().await, order) {
                (_, Ok(None)) => return,
                (Ok(mut open), order) => {
                    let had = !shown.ids.is_empty();
                    shown = Shown::default();
                    let works = match order {
                        Ok(Some(order)) => carry_out(&mut open, order, &mut shown).await.is_ok(),
                        _ => true,
                    };
                    bus = works.then_some(open);
                    had.then_some(Reaction::Restarted)
                }
                (Err(error), Ok(Some(order))) => {
                    refuse(order, &format!("there is no session bus: {error}"));
                    None
                }
                (Err(_), Err(_)) => None,
            }
        };
        if let Some(reaction) = reaction
            && reactions.send(reaction).await.is_err()
        {
            return;
        }
    }
}

fn refuse(order: Order, why: &str) {
    // Who asked may have gone.
    match order {
        Order::Show(_, answer) => drop(answer.send(Err(why.to_owned()))),
        Order::Probe(answer) => drop(answer.send(Err(why.to_owned()))),
        Order::Close(_) => {}
    }
}

/// An error means that the bus is gone.
async fn carry_out(bus: &mut Bus, order: Order, shown: &mut Shown) -> Result<(), ()> {
    match order {
        Order::Show(notice, answer) => {
            let replaces = shown.ids.get(&notice.key).copied().unwrap_or(0);
            let result = bus.notify(&notice, replaces).await;
            if let Ok(id) = &result {
                shown.add(&notice.key, *id);
            }
            let is_gone = result.as_ref().is_err_and(is_gone);
            // Who asked may have gone.
            let _ = answer.send(result.map(|_| ()).map_err(|error| in_words(&error)));
            if is_gone { Err(()) } else { Ok(()) }
        }
        Order::Close(key) => {
            if let Some(id) = shown.remove(&key)
                && let Err(error) = bus.call("CloseNotification", &id).await
            {
                tracing::debug!(%error, "a notification was closed already");
                return if is_gone(&error) { Err(()) } else { Ok(()) };
            }
            Ok(())
        }
        Order::Probe(answer) => {
            let result = bus.call("GetServerInformation", &()).await;
            let result = result.and_then(|message| {
                let (name, vendor, version, _): (String, String, String, String) =
                    message.body().deserialize()?;
                Ok(format!("{name} {version} ({vendor})"))
            });
            let is_gone = result.as_ref().is_err_and(is_gone);
            // Who asked may have gone.
            let _ = answer.send(result.map_err(|error| in_words(&error)));
            if is_gone { Err(()) } else { Ok(()) }
        }
    }
}

fn is_gone(error: &zbus::Error) -> bool {
    matches!(error, zbus::Error::InputOutput(_))
}

fn in_words(error: &zbus::Error) -> String {
    let unknown = "org.freedesktop.DBus.Error.ServiceUnknown";
    match error {
        zbus::Error::MethodError(name, _, _) if name.as_str() == unknown => {
            "nothing shows notifications on this desktop".to_owned()
        }
        zbus::Error::MethodError(name, words, _) => {
            let words = words.as_deref().unwrap_or_default();
            format!("the notification was refused: {name} {words}")
                .trim_end()
                .to_owned()
        }
        error => format!("the notification could not be shown: {error}"),
    }
}

/// What a signal says of a notification of ours; the signals of others' come, too.
fn reaction(message: &Message, shown: &mut Shown) -> Option<Reaction> {
    let header = message.header();
    let body = message.body();
    match header.member()?.as_str() {
        "ActionInvoked" => {
            let (id, button): (u32, String) = body.deserialize().ok()?;
            let key = shown.keys.get(&id)?.clone();
            let button = if button == "default" {
                "open".to_owned()
            } else {
                button
            };
            Some(Reaction::Pressed { key, button })
        }
        "NotificationClosed" => {
            let (id, _): (u32, u32) = body.deserialize().ok()?;
            let key = shown.gone(id)?;
            Some(Reaction::Gone { key })
        }
        _ => None,
    }
}

/// Whether what shows notifications is another now than the one that showed ours.
fn restarted(message: &Message, bus: &mut Bus, shown: &mut Shown) -> Option<Reaction> {
    let (_, _, now): (String, String, String) = message.body().deserialize().ok()?;
    bus.can = None;
    if now.is_empty() {
        return None;
    }
    let had = !shown.ids.is_empty();
    *shown = Shown::default();
    had.then_some(Reaction::Restarted)
}
