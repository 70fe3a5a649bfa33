//! What the daemon says, as far as this program needs it. Fields that it does not know are passed over, since a daemon may
//! be newer.

use jiff::Timestamp;
use serde::Deserialize;

/// A ring: a customer waits, or something is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Ring {
    /// `rng_…`; they sort by time.
    pub id: String,
    /// `cnv_…`; an alarm has none.
    #[serde(default)]
    pub conversation_id: Option<String>,
    /// The channel's slug; an alarm of the whole desk has none.
    #[serde(default)]
    pub channel_id: Option<String>,
    /// What is wrong in a few words, where it is an alarm.
    #[serde(default)]
    pub title: Option<String>,
    /// What was found and what to do, where it is an alarm.
    #[serde(default)]
    pub detail: Option<String>,
    /// `ringing`, `taken`, `ended`.
    pub state: String,
    /// The step that it came to.
    #[serde(default)]
    pub step: u32,
    /// When it began.
    #[serde(default)]
    pub started_at: Option<Timestamp>,
    /// When it climbs next.
    #[serde(default)]
    pub next_step_at: Option<Timestamp>,
    /// Whether an answer is on its way.
    #[serde(default)]
    pub silenced: bool,
    /// Who is told at this step; `None` where the daemon does not say, and then it is everybody.
    #[serde(default)]
    pub told: Option<Vec<String>>,
    /// Who took it.
    #[serde(default)]
    pub taken_by: Option<String>,
}

impl Ring {
    /// What it rings for: a conversation has one ring at a time, and each alarm is its own.
    #[must_use]
    pub fn place(&self) -> &str {
        self.conversation_id.as_deref().unwrap_or(&self.id)
    }
}

/// A conversation.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Conversation {
    /// `cnv_…`
    pub id: String,
    /// The channel's slug.
    #[serde(default)]
    pub channel_id: String,
    /// The channel's connector.
    #[serde(default)]
    pub connector: String,
    /// The customer.
    #[serde(default)]
    pub contact: Contact,
    /// `open`, `pending`, `snoozed`, `resolved`.
    #[serde(default)]
    pub status: String,
    /// Since when somebody waits.
    #[serde(default)]
    pub waiting_since: Option<Timestamp>,
    /// What was said last.
    #[serde(default)]
    pub last_message: Option<LastMessage>,
    /// Whether it was called spam.
    #[serde(default)]
    pub spam: bool,
    /// Whether the customer is blocked.
    #[serde(default)]
    pub blocked: bool,
}

impl Conversation {
    /// Whether a customer waits there, and somebody should hear it.
    #[must_use]
    pub fn waits(&self) -> bool {
        self.waiting_since.is_some()
            && !matches!(self.status.as_str(), "resolved" | "snoozed")
            && !self.spam
            && !self.blocked
    }

    /// Whether its messages are letters: nobody sits and waits for the answer.
    #[must_use]
    pub fn is_letter(&self) -> bool {
        matches!(self.connector.as_str(), "email" | "form")
    }
}

/// A customer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Contact {
    /// Their name.
    #[serde(default)]
    pub name: Option<String>,
}

/// The newest entry of a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct LastMessage {
    /// Its first words.
    #[serde(default)]
    pub preview: String,
    /// `inbound`, `outbound`.
    #[serde(default)]
    pub direction: String,
}

/// A message, as far as it says whether somebody answers.
#[derive(Clone, Debug, Deserialize)]
pub struct Message {
    /// `inbound`, `outbound`.
    #[serde(default)]
    pub direction: String,
    /// `message`, `note`, `activity`.
    #[serde(default)]
    pub kind: String,
    /// What became of it.
    #[serde(default)]
    pub delivery: Option<Delivery>,
}

/// What became of an answer.
#[derive(Clone, Debug, Deserialize)]
pub struct Delivery {
    /// `queued`, `sent` …
    #[serde(default)]
    pub state: String,
}

impl Message {
    /// Whether it is an answer that is on its way.
    #[must_use]
    pub fn is_answer_under_way(&self) -> bool {
        let state = self
            .delivery
            .as_ref()
            .map(|delivery| delivery.state.as_str());
        self.direction == "outbound" && self.kind == "message" && state == Some("queued")
    }
}

/// A test of a device.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct DeviceTest {
    /// Which device.
    pub device_id: String,
    /// Which test.
    pub test: String,
    /// Whether nobody is to notice.
    #[serde(default)]
    pub silent: bool,
}

/// The data of an event: whichever of these it has.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Data {
    /// Of `bell.…`
    pub ring: Option<Ring>,
    /// Of `conversation.…` and `message.…`
    pub conversation: Option<Conversation>,
    /// Of `message.…`
    pub message: Option<Message>,
    /// Of `desk.changed`: which list.
    pub what: Option<String>,
    /// Of `device.test`.
    #[serde(flatten)]
    pub test: Option<DeviceTest>,
}

/// An event of the stream.
#[derive(Clone, Debug, Deserialize)]
pub struct Envelope {
    /// When.
    #[serde(default)]
    pub at: Option<Timestamp>,
    /// What.
    #[serde(default)]
    pub data: Data,
}

/// A page of a list.
#[derive(Clone, Debug, Deserialize)]
pub struct Page<T> {
    /// Its items.
    pub data: Vec<T>,
    /// Where the next one begins.
    #[serde(default)]
    pub next: Option<String>,
}

/// A channel.
#[derive(Clone, Debug, Deserialize)]
pub struct Channel {
    /// Its slug.
    pub id: String,
    /// What people call it.
    #[serde(default)]
    pub name: String,
}

/// What a claimed code gives.
#[derive(Clone, Deserialize)]
pub struct Claimed {
    /// What lets this device in.
    pub token: String,
    /// The device.
    pub device: Identified,
    /// Whose it is.
    pub user: Identified,
}

/// Something with an id and a name.
#[derive(Clone, Debug, Deserialize)]
pub struct Identified {
    /// `dev_…`, `usr_…`
    pub id: String,
    /// Its name.
    #[serde(default)]
    pub name: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_newer_daemon_adds_is_passed_over() {
        let text = r#"{"seq":9,"type":"bell.rung","at":"2026-11-21T17:20:32.003Z","data":{"ring":{"id":"rng_1",
            "conversation_id":"cnv_1","state":"ringing","step":2,"started_at":"2026-11-21T17:20:32.003Z","new":{"a":1},
            "silenced":false,"told":["usr_1"],"attempts":[]},"more":true}}"#;
        let event: Envelope = serde_json::from_str(text).expect("understood");
        let ring = event.data.ring.expect("a ring");
        assert_eq!((ring.step, ring.told), (2, Some(vec!["usr_1".to_owned()])));
        assert!(event.data.test.is_none());
        let text = r#"{"type":"device.test","at":"2026-11-21T17:20:32.003Z","data":{"device_id":"dev_1","test":"t1","silent":true}}"#;
        let event: Envelope = serde_json::from_str(text).expect("understood");
        assert!(
            event
                .data
                .test
                .is_some_and(|test| test.silent && test.device_id == "dev_1")
        );
    }

    #[test]
    fn an_alarm_has_no_conversation() {
        let text = r#"{"id":"rng_2","state":"ringing","step":1,"started_at":"2026-11-21T17:20:32.003Z","kind":"channel",
            "title":"The Page is silent","detail":"Sign in again.","silenced":false,"held_until":null,"attempts":[]}"#;
        let ring: Ring = serde_json::from_str(text).expect("understood");
        assert_eq!(
            (ring.place(), ring.title.as_deref()),
            ("rng_2", Some("The Page is silent"))
        );
    }

    #[test]
    fn who_waits() {
        let text = r#"{"id":"cnv_1","status":"open","waiting_since":"2026-11-21T17:20:32.003Z","contact":{"id":"cus_1","name":null}}"#;
        let conversation: Conversation = serde_json::from_str(text).expect("understood");
        assert!(conversation.waits());
        let change = |change: fn(&mut Conversation)| {
            let mut changed = conversation.clone();
            change(&mut changed);
            changed.waits()
        };
        assert!(!change(|one| one.waiting_since = None));
        assert!(!change(|one| one.status = "resolved".to_owned()));
        assert!(!change(|one| one.status = "snoozed".to_owned()));
        assert!(!change(|one| one.spam = true));
        assert!(!change(|one| one.blocked = true));
        assert!(change(|one| one.status = "pending".to_owned()));
    }
}
