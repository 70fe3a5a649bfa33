//! What can be wrong, and how it is told.

use std::time::{Duration, Instant};

use deskbell_sdk::Time;
use deskbell_sdk::health::Standing;

use super::minute;
use crate::app::Daemon;
use crate::channels::OpenChannel;
use crate::desk::bell::{EVERYBODY, Missing};
use crate::intake::catch_up::undelivered_in_words;
use crate::store::entry::{Alarm, AlarmKind, ChannelEntry};
use crate::store::record::ChannelNo;

/// Less room than this on the disk is told of, in bytes: the store stops writing at 64 MiB.
const LITTLE_ROOM: u64 = 256 << 20;
/// From so much on it is no longer.
const ROOM_AGAIN: u64 = 320 << 20;
/// So long before its end a certificate is told of, in milliseconds: 14 days.
const ENDS_SOON_MS: i64 = 14 * 24 * 60 * 60 * 1000;
/// So long the search may lack something: ten minutes, and while it is being made.
const LAGS: Duration = Duration::from_secs(10 * 60);
/// How often the certificate is read.
const READ_CERTIFICATE_EVERY: Duration = Duration::from_secs(60 * 60);
/// The kinds of causes that are looked for here, as causes begin.
const OURS: [&str; 11] = [
    "nobody:",
    "channel:",
    "undelivered:",
    "silence:",
    "disk",
    "search",
    "certificate",
    "unreached:",
    "device:",
    "unshown:",
    "telling",
];

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// What is told of it.
    pub alarm: Alarm,
    /// The channel that it is about.
    pub channel: Option<ChannelNo>,
}

impl Cause {
    pub(super) fn new(cause: String, kind: AlarmKind, title: String, detail: String) -> Self {
        Self {
            alarm: Alarm {
                cause,
                kind,
                title,
                detail,
            },
            channel: None,
        }
    }

    pub(super) const fn about(mut self, channel: ChannelNo) -> Self {
        self.channel = Some(channel);
        self
    }
}

/// Whether a cause is looked for here, so that it is over where it is not found.
pub(super) fn is_ours(cause: &str) -> bool {
    OURS.iter().any(|ours| cause.starts_with(ours))
}

/// A ring of the channel, which came to this step, has nobody who is there for it. That nobody works is told when nobody
/// has taken it for a step; that nobody may see it at once.
pub(super) fn nobody(channel: &ChannelEntry, missing: Missing, step: u32) -> Option<Cause> {
    let name = &channel.name;
    let (title, detail) = match missing {
        Missing::NobodySees if step >= 1 => (
            format!("A customer waits in {name}, and nobody may answer there"),
            "Let somebody see this channel, by `channels` of a person in the settings: nobody was rung.",
        ),
        Missing::NobodyThere if step >= EVERYBODY => (
            format!("A customer waits in {name}, and nobody is on duty"),
            "Nobody is within their hours and available, and nobody is on call, so that everybody was rung. Put somebody \
             on call, or choose what becomes of messages after hours in the channel's settings.",
        ),
        _ => return None,
    };
    let cause = format!("nobody:{}", channel.id);
    Some(Cause::new(cause, AlarmKind::Nobody, title, detail.to_owned()).about(channel.no))
}

/// What is wrong with a channel that is open.
pub(super) fn of_channel(open: &OpenChannel) -> Vec<Cause> {
    let mut wrong = Vec::new();
    let name = &open.name;
    let (broken, undelivered) = {
        let status = open.status();
        let mut findings = status.all_findings();
        let broken = findings.find(|finding| finding.standing == Standing::Broken);
        let undelivered = status.undelivered;
        (
            broken.map(|finding| finding.say.clone()),
            // Until something is delivered again.
            undelivered.filter(|(at, _)| status.last_event_at < Some(*at)),
        )
    };
    if let Some(say) = broken {
        let title = format!("{name} does not work");
        let cause = format!("channel:{}", open.id);
        wrong.push(Cause::new(cause, AlarmKind::Channel, title, say).about(open.no));
    }
    if let Some((_, number)) = undelivered {
        let title = format!("{name} did not deliver {number} message(s)");
        let detail = undelivered_in_words(open, number);
        let cause = format!("undelivered:{}", open.id);
        wrong.push(Cause::new(cause, AlarmKind::Undelivered, title, detail).about(open.no));
    }
    wrong
}

/// What is set up and cannot be opened.
pub(super) fn closed_channels(app: &Daemon) -> Vec<Cause> {
    let known = app.channels.all_known().into_iter();
    let closed = known.filter_map(|entry| {
        let why = app.channels.why_closed(entry.no)?;
        let title = format!("{} cannot be opened", entry.name);
        let cause = format!("channel:{}", entry.id);
        Some(Cause::new(cause, AlarmKind::Channel, title, why.to_string()).about(entry.no))
    });
    closed.collect()
}

/// Nothing has come since a time, and at this time of the week something usually does.
pub(super) fn silence(open: &OpenChannel, since: Time) -> Cause {
    let title = format!("Nothing comes in {}", open.name);
    let detail = format!(
        "The last message came {}; in the same time of each of the last weeks several came. Write to the shop there to try \
         it, and see `deskbell channel register {}`.",
        minute(since),
        open.id
    );
    let cause = format!("silence:{}", open.id);
    Cause::new(cause, AlarmKind::Silence, title, detail).about(open.no)
}

/// What was found of the desk itself, between two looks.
#[derive(Debug, Default)]
pub struct Looked {
    has_little_room: bool,
    lags_since: Option<Instant>,
    certificate: Option<(Instant, Option<i64>)>,
}

impl Looked {
    /// What is wrong with the desk itself.
    pub(super) fn of_the_desk(&mut self, app: &Daemon, now: Time) -> Vec<Cause> {
        let mut wrong = Vec::new();
        let free = rustix::fs::statvfs(&app.config.data_dir)
            .ok()
            .map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize));
        wrong.extend(free.and_then(|free| self.disk(free)));
        let standing = app.search.standing();
        let lags = !standing.is_complete && !standing.is_being_made();
        wrong.extend(self.search(lags, Instant::now()));
        if let Some(tls) = &app.config.tls {
            let is_old = |at: &Instant| at.elapsed() >= READ_CERTIFICATE_EVERY;
            if self.certificate.as_ref().is_none_or(|(at, _)| is_old(at)) {
                let ends = crate::server::certificates_end(&tls.certificate);
                self.certificate = Some((Instant::now(), ends));
            }
            let ends = self.certificate.and_then(|(_, ends)| ends);
            wrong.extend(ends.and_then(|ends| certificate(ends, now)));
        }
        wrong
    }

    fn disk(&mut self, free: u64) -> Option<Cause> {
        self.has_little_room = free < LITTLE_ROOM || self.has_little_room && free < ROOM_AGAIN;
        self.has_little_room.then(|| {
            // In steps, so that not every look tells another number.
            let free_mib = (free >> 20) / 16 * 16;
            let detail = format!(
                "About {free_mib} MiB are free where `data_dir` is. With less than 64 MiB nothing more is taken. Make room, \
                 or give it a larger disk."
            );
            let title = "The disk is nearly full".to_owned();
            Cause::new("disk".to_owned(), AlarmKind::Disk, title, detail)
        })
    }

    fn search(&mut self, lags: bool, now: Instant) -> Option<Cause> {
        if !lags {
            self.lags_since = None;
            return None;
        }
        let since = *self.lags_since.get_or_insert(now);
        (now.duration_since(since) >= LAGS).then(|| {
            let detail = "It has not everything for ten minutes: what came lately may not be found. The log says why; a \
                          restart makes the index anew where it has to.";
            let title = "The search does not keep up".to_owned();
            Cause::new("search".to_owned(), AlarmKind::Lag, title, detail.to_owned())
        })
    }
}

/// The certificate ends at `ends`, in seconds since 1970.
fn certificate(ends: i64, now: Time) -> Option<Cause> {
    let ends = Time::from_millis(ends.saturating_mul(1000));
    let left_ms = ends.as_millis() - now.as_millis();
    if left_ms > ENDS_SOON_MS {
        return None;
    }
    let title = if left_ms > 0 {
        "The TLS certificate ends soon"
    } else {
        "The TLS certificate has ended"
    };
    let detail = format!(
        "It is good until {ends}; afterwards browsers and platforms do not connect any more. Renew it: the files of `[tls]` \
         are read again when they change."
    );
    let cause = "certificate".to_owned();
    Some(Cause::new(
        cause,
        AlarmKind::Certificate,
        title.to_owned(),
        detail,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f38_a_certificate_is_told_of_two_weeks_before_it_ends() {
        let now: Time = "2026-11-28T09:00:00Z".parse().expect("a time");
        let days = |days: i64| now.as_millis() / 1000 + days * 86_400;
        assert_eq!(certificate(days(15), now), None);
        let soon = certificate(days(13), now).expect("soon");
        assert_eq!(soon.alarm.title, "The TLS certificate ends soon");
        let over = certificate(days(-1), now).expect("over");
        assert_eq!(over.alarm.title, "The TLS certificate has ended");
        assert!(over.alarm.detail.contains("2026-11-27T09:00:00.000Z"));
        assert_eq!(over.alarm.cause, soon.alarm.cause);
    }

    #[test]
    fn a_disk_is_full_until_there_is_plenty_again() {
        let mut looked = Looked::default();
        let mib = |mib: u64| mib << 20;
        let found: Vec<bool> = [1000, 300, 255, 300, 319, 320, 300]
            .into_iter()
            .map(|free| looked.disk(mib(free)).is_some())
            .collect();
        assert_eq!(found, [false, false, true, true, true, false, false]);
        let detail = looked.disk(mib(100)).expect("full").alarm.detail;
        assert!(detail.starts_with("About 96 MiB"), "{detail}");
    }

    #[test]
    fn the_search_may_lag_for_ten_minutes() {
        let mut looked = Looked::default();
        let begun = Instant::now();
        let after = |minutes: u64| begun + Duration::from_secs(60 * minutes);
        assert_eq!(looked.search(true, after(0)), None);
        assert_eq!(looked.search(true, after(9)), None);
        assert!(looked.search(true, after(10)).is_some());
        assert_eq!(looked.search(false, after(11)), None);
        assert_eq!(looked.search(true, after(12)), None);
    }

    #[test]
    fn f35_that_nobody_may_see_a_channel_is_told_at_once_and_that_nobody_works_after_a_step() {
        let shop = ChannelEntry {
            no: ChannelNo(1),
            id: "shop".to_owned(),
            connector: "webchat".to_owned(),
            name: "Shop".to_owned(),
            created_at: Time::from_millis(0),
        };
        let told = |missing, step| nobody(&shop, missing, step).is_some();
        assert!(!told(Missing::NobodySees, 0), "nobody waits");
        assert!(told(Missing::NobodySees, 1));
        assert!(!told(Missing::NobodyThere, 1) && told(Missing::NobodyThere, 2));
        for cause in ["nobody:shop", "disk", "certificate", "device:usr_1"] {
            assert!(is_ours(cause));
        }
        assert!(!is_ours("somebody's"));
    }
}
