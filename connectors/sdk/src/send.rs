//! Sending: what a reply becomes at a platform, and how a send can end.
//!
//! A reply is cut into parts, each of which is one call. The daemon keeps the order, records each attempt before it is
//! made, resumes at the part that failed, and decides from the error what to do next. Nothing is ever sent again
//! blindly: where the answer was lost, [`Send::fate`] looks at the platform first.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use crate::client::{BoxFuture, Http};
use crate::model::AttachmentKind;
use crate::time::Time;

/// A file that is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboundFile {
    /// What it is shown as.
    pub kind: AttachmentKind,
    /// Its name.
    pub name: Option<String>,
    /// Its type, sniffed.
    pub mime_type: String,
    /// Its content.
    pub bytes: Bytes,
}

/// What a reply becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartPlan {
    /// A text.
    Text(String),
    /// The file with this place in the reply's list.
    File(usize),
}

/// What of a reply [`Send::plan`] looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyShape<'a> {
    /// The text.
    pub text: Option<&'a str>,
    /// Type and size in bytes of each file.
    pub files: Vec<(AttachmentKind, &'a str, u64)>,
}

/// The content of one part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// A text.
    Text(String),
    /// A file.
    File(OutboundFile),
}

/// One call's worth of a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outbound<'a> {
    /// The platform's id of the thread.
    pub thread: &'a str,
    /// What the platform gives back with the echo, where it can. The same for every attempt of the same part.
    pub send_token: &'a str,
    /// The content.
    pub part: &'a Part,
    /// The platform's id of the message that is answered.
    pub reply_to: Option<&'a str>,
    /// The ordinary reply window has closed, and only a person's answer under an extended rule may go out.
    pub window_extended: bool,
}

/// The platform has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// The platform's id of the message, by which its echo is known.
    pub external_id: Option<String>,
}

/// How a send ended otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendError {
    /// Certainly not sent, and worth another try.
    Retry {
        /// When the platform says, where it does.
        after: Option<Duration>,
        /// What went wrong.
        say: String,
    },
    /// The request left and no answer of the platform's own came: it may have been sent. Never resend blindly.
    Unknown {
        /// What went wrong.
        say: String,
    },
    /// Refused for good.
    Refused {
        /// The platform's code: `10/2018278`.
        code: String,
        /// A sentence for the agent: what it means and what can be done.
        say: String,
    },
    /// The channel's credentials do not work: stop sending, tell people.
    Credentials {
        /// What to do.
        say: String,
    },
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Retry { say, .. }
            | Self::Unknown { say }
            | Self::Refused { say, .. }
            | Self::Credentials { say } => f.write_str(say),
        }
    }
}

impl std::error::Error for SendError {}

/// A send whose answer was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostSend<'a> {
    /// The platform's id of the thread.
    pub thread: &'a str,
    /// What the platform gives back with it, where it can.
    pub send_token: &'a str,
    /// The content.
    pub part: &'a Part,
    /// When the attempt began.
    pub attempted_at: Time,
    /// Ids of messages that are known to be others.
    pub known: &'a [String],
}

/// What became of a send whose answer was lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It arrived.
    Sent(Sent),
    /// It certainly did not arrive: it may be sent again.
    NotSent,
    /// The platform was asked, and it is not there yet; ask again shortly. Still so some time after the attempt, it did
    /// not arrive: how long is the daemon's to say.
    NotSeen,
    /// The platform could not be asked now. That says nothing; ask again, and never take it for an absence.
    Unanswered {
        /// What went wrong.
        say: String,
    },
    /// The platform does not tell, or tells what could be several things.
    Untold,
}

/// Sends to a platform.
pub trait Send: std::marker::Send + Sync {
    /// Cuts a reply into parts, in order. Pure. What can never be sent is refused here, before anything is.
    fn plan(&self, reply: &ReplyShape<'_>) -> Result<Vec<PartPlan>, SendError>;

    /// Sends one part.
    fn send<'a>(
        &'a self,
        http: &'a dyn Http,
        outbound: Outbound<'a>,
    ) -> BoxFuture<'a, Result<Sent, SendError>>;

    /// Looks for a send whose answer was lost. Platforms without a handle tell nothing.
    fn fate<'a>(&'a self, _http: &'a dyn Http, _lost: LostSend<'a>) -> BoxFuture<'a, Fate> {
        Box::pin(std::future::ready(Fate::Untold))
    }

    /// How long after the customer's last deed a person may still answer under an extended rule, in milliseconds.
    fn extended_window_ms(&self) -> Option<i64> {
        None
    }

    /// Sends a second that the platform allows the channel.
    fn sends_per_second(&self) -> u32 {
        10
    }

    /// Tells the customer that somebody types, or has stopped.
    fn typing<'a>(
        &'a self,
        _http: &'a dyn Http,
        _thread: &'a str,
        _typing: bool,
    ) -> BoxFuture<'a, Result<(), SendError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Tells the customer that the conversation was read.
    fn mark_seen<'a>(
        &'a self,
        _http: &'a dyn Http,
        _thread: &'a str,
    ) -> BoxFuture<'a, Result<(), SendError>> {
        Box::pin(std::future::ready(Ok(())))
    }
}
