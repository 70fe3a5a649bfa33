//! How a channel does, in words: what was found, and what to do next.

use deskbell_sdk::Time;
use deskbell_sdk::health::Standing;
use serde::Serialize;
use utoipa::ToSchema;

use super::channels::{script_url, webhook_url};
use crate::channels::{CatchUpReport, OpenChannel};
use crate::intake::catch_up::undelivered_in_words;
use crate::store::entry::ChannelEntry;

/// How a channel does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = ChannelState)]
pub enum State {
    /// Nothing is known to be broken.
    Up,
    /// Something does not work.
    Broken,
    /// It was removed, or cannot be opened; its history is left.
    Closed,
}

/// How one thing stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = FindingStanding)]
pub enum Found {
    /// It works.
    Fine,
    /// It works, and will not for long, or not wholly; or it could not be looked at.
    Doubtful,
    /// It does not work.
    Broken,
}

/// One thing that was looked at.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Finding {
    /// What: `token`, `deliveries` …
    pub what: String,
    /// How it stands.
    pub standing: Found,
    /// What was found and, where it is not fine, what to do.
    pub say: String,
}

impl From<&deskbell_sdk::health::Finding> for Finding {
    fn from(finding: &deskbell_sdk::health::Finding) -> Self {
        Self {
            what: finding.what.to_owned(),
            standing: match finding.standing {
                Standing::Fine => Found::Fine,
                Standing::Doubtful => Found::Doubtful,
                Standing::Broken => Found::Broken,
            },
            say: finding.say.clone(),
        }
    }
}

/// How fetching what was missed goes, or last went.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CatchUp {
    /// Why it began: `start`, `asked`, `mended`, `again`, `left-open`, `unstored`, `silence`, `hour`.
    pub reason: String,
    /// When it began, or was asked for.
    #[schema(value_type = String, format = DateTime)]
    pub started_at: Time,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub ended_at: Option<Time>,
    /// Whether it has not ended.
    pub running: bool,
    /// Threads that were read.
    pub threads: u64,
    /// Messages that were found at the platform.
    pub found: u64,
    /// Those that were here.
    pub known: u64,
    /// Those that nobody had told.
    pub new: u64,
    /// Those that wait until it is known what became of an answer of ours.
    pub held: u64,
    /// What went wrong, and what to do; while it runs, what it waits for.
    pub error: Option<String>,
}

impl From<&CatchUpReport> for CatchUp {
    fn from(report: &CatchUpReport) -> Self {
        Self {
            reason: report.reason.to_owned(),
            started_at: report.started_at,
            ended_at: report.ended_at,
            running: report.ended_at.is_none(),
            threads: report.threads,
            found: report.found,
            known: report.known,
            new: report.new,
            held: report.held,
            error: report.error.clone(),
        }
    }
}

/// How a channel does, with what was looked at.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ChannelHealth)]
pub struct Health {
    /// The channel's slug.
    pub id: String,
    /// How it does.
    pub state: State,
    /// The same in words.
    pub detail: String,
    /// What was looked at.
    pub findings: Vec<Finding>,
    /// The next thing to do; `null` where there is nothing.
    pub next: Option<String>,
    /// When its credentials were last looked at.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub looked_at: Option<Time>,
    /// When something genuine last came since the daemon started.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_event_at: Option<Time>,
    /// When the platform last verified the address since the daemon started.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_handshake_at: Option<Time>,
    /// When the test delivery of the platform's dashboard last came since the daemon started.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_test_at: Option<Time>,
    /// How many deliveries were refused for their signature since the daemon started.
    pub rejected_deliveries: u64,
    /// When one was last refused.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_rejected_at: Option<Time>,
    /// The last thing that the platform told the operator.
    pub last_alert: Option<PlatformAlert>,
    /// How fetching what was missed goes, or last went; `null` where it has not begun, or the platform has no history.
    pub catch_up: Option<CatchUp>,
}

/// Something that the platform told the operator.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PlatformAlert {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Time,
    /// What.
    pub say: String,
}

/// How a channel does; `None` is one that is not open.
#[must_use]
pub fn state_of(open: Option<&OpenChannel>) -> State {
    match open {
        None => State::Closed,
        Some(open) if open.is_healthy() => State::Up,
        Some(_) => State::Broken,
    }
}

/// The same in words. `why_closed` is what keeps one that is set up from being open.
#[must_use]
pub fn detail(open: Option<&OpenChannel>, why_closed: Option<&str>) -> String {
    let Some(open) = open else {
        return match why_closed {
            Some(why) => format!("It cannot be opened: {why}"),
            None => {
                "It was removed. Its history stays; add it again to receive and answer.".to_owned()
            }
        };
    };
    let status = open.status();
    let broken = status
        .all_findings()
        .find(|finding| finding.standing == Standing::Broken);
    match (broken, status.last_event_at) {
        (Some(finding), _) => finding.say.clone(),
        (None, Some(at)) => format!("Works; something last came {at}."),
        (None, None) => "Ready; nothing has come since the daemon started.".to_owned(),
    }
}

/// How a channel does, with what was looked at.
#[must_use]
pub fn health_of(
    entry: &ChannelEntry,
    open: Option<&OpenChannel>,
    why_closed: Option<&str>,
    public_url: &str,
) -> Health {
    let status = open.map(|open| open.status().clone()).unwrap_or_default();
    let mut findings: Vec<Finding> = status.findings.iter().map(Finding::from).collect();
    if let Some(open) = open {
        findings.extend(deliveries(open, public_url));
        findings.extend(history(open));
    }
    let worst_first = [Found::Broken, Found::Doubtful];
    let to_mend = worst_first
        .iter()
        .find_map(|worst| findings.iter().find(|finding| finding.standing == *worst));
    let next = match (open, to_mend) {
        (None, _) => Some(match why_closed {
            Some(why) => why.to_owned(),
            None => "Add the channel again, or leave it: its history stays.".to_owned(),
        }),
        (Some(_), Some(finding)) => Some(finding.say.clone()),
        (Some(_), None) => None,
    };
    Health {
        id: entry.id.clone(),
        state: state_of(open),
        detail: detail(open, why_closed),
        findings,
        next,
        looked_at: status.looked_at,
        last_event_at: status.last_event_at,
        last_handshake_at: status.last_handshake_at,
        last_test_at: status.last_test_at,
        rejected_deliveries: status.rejected,
        last_rejected_at: status.last_rejected_at,
        catch_up: status.catch_up.as_ref().map(CatchUp::from),
        last_alert: status.last_alert.map(|(at, say)| PlatformAlert { at, say }),
    }
}

/// Whether what was missed could be fetched.
fn history(open: &OpenChannel) -> Option<Finding> {
    let say = open.status().catch_up.as_ref()?.error.clone()?;
    Some(Finding {
        what: "catch-up".to_owned(),
        standing: Found::Doubtful,
        say,
    })
}

/// Whether anything arrives.
fn deliveries(open: &OpenChannel, public_url: &str) -> Option<Finding> {
    let status = open.status();
    let title = open.kind.title;
    let finding = |standing, say| {
        Some(Finding {
            what: "deliveries".to_owned(),
            standing,
            say,
        })
    };
    if open.channel.visitors().is_some() {
        return match status.last_event_at {
            Some(at) => finding(Found::Fine, format!("A visitor last wrote {at}.")),
            None => {
                let script = script_url(public_url, &open.id);
                finding(
                    Found::Doubtful,
                    format!(
                        "No visitor has written since the daemon started. Put <script src=\"{script}\" async></script> \
                         into the pages of the shop."
                    ),
                )
            }
        };
    }
    if open.channel.poll().is_some() {
        return match (status.last_event_at, status.polled_at) {
            (_, None) => finding(
                Found::Doubtful,
                format!("{title} has not been asked for messages since the daemon started."),
            ),
            (Some(came_at), Some(at)) => finding(
                Found::Fine,
                format!("{title} was last asked {at}; something last came {came_at}."),
            ),
            (None, Some(at)) => finding(
                Found::Fine,
                format!("{title} was last asked {at}; nothing has come since the daemon started."),
            ),
        };
    }
    open.channel.webhook()?;
    let by_itself = open.channel.register();
    if by_itself.is_some_and(deskbell_sdk::register::Register::by_itself)
        && status.last_event_at.is_none()
        && status.last_rejected_at.is_none()
    {
        return finding(
            Found::Fine,
            format!(
                "{title} has delivered nothing since the daemon started; it was told where to deliver by the daemon."
            ),
        );
    }
    let address = webhook_url(public_url, &open.id);
    // Until something is delivered again.
    if let Some((at, number)) = status.undelivered
        && status.last_event_at < Some(at)
    {
        return finding(Found::Broken, undelivered_in_words(open, number));
    }
    let enter = match open.channel.register() {
        Some(_) => format!("Run `deskbell channel register {}`, or enter", open.id),
        None => "Enter".to_owned(),
    };
    match (status.last_event_at, status.last_rejected_at) {
        (came_at, Some(refused_at)) if came_at < Some(refused_at) => finding(
            Found::Doubtful,
            format!(
                "{} deliveries were refused for their signature, the last {refused_at}. Where {title} sent them, the \
                 secret in the configuration is not the one there: copy it anew.",
                status.rejected
            ),
        ),
        (Some(at), _) => finding(Found::Fine, format!("A delivery last came {at}.")),
        (None, _) => match status.last_handshake_at.or(status.last_test_at) {
            Some(at) => finding(
                Found::Doubtful,
                format!(
                    "{title} reached this daemon {at}, and has delivered no message since the daemon started. Write to \
                     the shop there to try it."
                ),
            ),
            None => finding(
                Found::Doubtful,
                format!(
                    "{title} has not reached this daemon since it started. {enter} {address} as the webhook's address \
                     there, and write to the shop to try it."
                ),
            ),
        },
    }
}
