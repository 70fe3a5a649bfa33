//! The entries of who works when: hours of people and channels, and who is on call.

use deskbell_sdk::Time;
use serde::{Deserialize, Serialize};

use super::Entry;
use crate::id::UserId;
use crate::store::Table;
use crate::store::record::ChannelNo;

/// A day of the week.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Day {
    /// Monday.
    Monday,
    /// Tuesday.
    Tuesday,
    /// Wednesday.
    Wednesday,
    /// Thursday.
    Thursday,
    /// Friday.
    Friday,
    /// Saturday.
    Saturday,
    /// Sunday.
    Sunday,
}

/// A span of each week, by the clocks of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Span {
    /// The day on which it begins.
    pub day: Day,
    /// When it begins, in minutes of the day: 0 to 1439.
    pub from: u16,
    /// When it ends: 1 to 1440. At or before `from` it is a time of the day after.
    pub to: u16,
}

/// The spans of each week, by the clocks of a place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeekEntry {
    /// The place: the name of an IANA time zone.
    pub time_zone: String,
    /// The spans, sorted.
    pub spans: Vec<Span>,
}

/// When a person works and when they want to be left alone. Key: the person's id. Without an entry they work always.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserHoursEntry {
    /// When they work; `None`: always.
    pub working: Option<WeekEntry>,
    /// When nothing rings for them, also within their hours.
    pub quiet: Option<WeekEntry>,
}

impl Entry for UserHoursEntry {
    const TABLE: Table = Table::UserHours;
}

/// What becomes of messages that come while a channel is closed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AfterHours {
    /// They ring as ever.
    #[default]
    Ring,
    /// They ring once the channel opens.
    Hold,
    /// They ring whoever is on call, and nobody else.
    OnCall,
}

/// How an automatic answer goes out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum AnswerBy {
    /// The daemon serves those who read it.
    #[default]
    ServedHere,
    /// The platform is given it, as long as this is since the customer's last deed, in milliseconds; `None`: always.
    Platform(Option<i64>),
}

/// When a channel is open, and what becomes of messages outside. Key: [`ChannelHoursEntry::key`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelHoursEntry {
    /// When it is open; `None`: always.
    pub open: Option<WeekEntry>,
    /// What becomes of messages outside.
    pub after_hours: AfterHours,
    /// What customers are answered outside, with the names of variables in it; `None`: nothing.
    pub answer: Option<String>,
    /// How it goes out.
    pub answer_by: AnswerBy,
}

impl ChannelHoursEntry {
    /// Where it stands.
    #[must_use]
    pub fn key(channel: ChannelNo) -> Vec<u8> {
        channel.0.to_be_bytes().to_vec()
    }
}

impl Entry for ChannelHoursEntry {
    const TABLE: Table = Table::ChannelHours;
}

/// Who is on call. Key: [`OnCallEntry::KEY`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnCallEntry {
    /// Who; `None`: nobody.
    pub user: Option<UserId>,
}

impl OnCallEntry {
    /// Where it stands.
    pub const KEY: &'static [u8] = b"now";
}

impl Entry for OnCallEntry {
    const TABLE: Table = Table::OnCall;
}

/// A conversation got its automatic answer. Key: the conversation's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AutoAnsweredEntry {
    /// When.
    pub at: Time,
}

impl Entry for AutoAnsweredEntry {
    const TABLE: Table = Table::AutoAnswered;
}
