//! Whom the bell does not reach: people who are to be there and cannot be rung, devices that do not ring, rings that nothing
//! has shown, and telling that waits.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use deskbell_sdk::Time;

use super::causes::Cause;
use super::minute;
use crate::app::Daemon;
use crate::desk::bell::EVERYBODY;
use crate::desk::reach::{UNREACHED_MS, Wrong};
use crate::duty::{self, There};
use crate::id::{DeviceId, RingId, UserId};
use crate::store::entry::{
    AlarmEntry, AlarmKind, AttemptResult, ChannelEntry, DeviceEntry, DeviceKind, DevicesEntry,
    Entry, RingEntry, TellingEntry, UserEntry,
};
use crate::store::record::ChannelNo;
use crate::store::{Found, Store};

/// So long what is due may wait to be told, in milliseconds: a minute.
const LATE_MS: i64 = 60 * 1000;
/// So long that has to be found: whoever was asleep, or whose clock was set, catches up first.
const LATE_FOR: Duration = Duration::from_secs(10);
/// How many are read at once.
const BATCH: usize = 512;
/// The most rings of a channel that are read in one look for one that nothing has shown.
const MOST_LOOKED_AT: usize = 1_000;
/// How many people are named in words.
const MOST_NAMES: usize = 5;
/// How much of a reason is told, in characters.
const REASON_CHARS: usize = 200;

/// What is remembered between two looks.
#[derive(Debug, Default)]
pub(super) struct Reach {
    /// Since when people cannot be rung who are to be there.
    unreached: HashMap<UserId, Time>,
    /// The rings that have climbed to everybody, and of which it is not known that anything has shown them.
    climbed: BTreeMap<ChannelNo, BTreeSet<RingId>>,
    late_since: Option<Instant>,
    /// What was found by the last look at people and at what waits.
    found: Vec<Cause>,
}

impl Reach {
    /// Takes in how a ring of a channel stands.
    pub(super) fn ring(&mut self, channel: ChannelNo, ring: &RingEntry) {
        if ring.sounds() && ring.step >= EVERYBODY {
            self.climbed.entry(channel).or_default().insert(ring.id);
        } else {
            self.over(channel, ring.id);
        }
    }

    /// A ring is over.
    pub(super) fn over(&mut self, channel: ChannelNo, ring: RingId) {
        if let Some(rings) = self.climbed.get_mut(&channel) {
            rings.remove(&ring);
            if rings.is_empty() {
                self.climbed.remove(&channel);
            }
        }
    }

    /// Looks at people, their devices, and what waits to be told.
    pub(super) fn look(&mut self, app: &Daemon, now: Time) -> Found<()> {
        let mut found = self.people(app, now)?;
        let late = is_late(&*app.store, now)?;
        found.extend(self.late(late, Instant::now()));
        self.found = found;
        Ok(())
    }

    /// What the last look found.
    pub(super) fn found(&self) -> Vec<Cause> {
        self.found.clone()
    }

    fn people(&mut self, app: &Daemon, now: Time) -> Found<Vec<Cause>> {
        let store = &*app.store;
        let roster = duty::roster(app)?;
        let mut unreached = HashMap::new();
        let mut found = Vec::new();
        for there in roster.there(now) {
            let devices = DevicesEntry::get(store, &there.id.key())?;
            let person = duty::at_work(app, &there, devices.as_ref(), now);
            let devices = devices.map(|devices| devices.devices).unwrap_or_default();
            let wrong = person.judge(&devices, now);
            let stands = |cause: &String| -> Found<bool> {
                Ok(AlarmEntry::get(store, cause.as_bytes())?.is_some())
            };
            let mut is_unreached = false;
            if wrong.unreached {
                let since = self.unreached.get(&there.id).copied();
                // One of the future was noted by a clock that was ahead.
                let since = since.filter(|since| *since <= now).unwrap_or(now);
                unreached.insert(there.id, since);
                let lasts_ms = now.as_millis() - since.as_millis();
                let cause = format!("unreached:{}", there.id);
                if lasts_ms >= UNREACHED_MS || stands(&cause)? {
                    is_unreached = true;
                    found.push(cannot_be_rung(cause, &there, &devices));
                }
            }
            let cause = format!("device:{}", there.id);
            // Nobody is told the same twice; what was told before goes on until it is over.
            if let Some(one) = devices_do_not_ring(&cause, &there, &devices, &wrong)
                && (!is_unreached || stands(&cause)?)
            {
                found.push(one);
            }
        }
        self.unreached = unreached;
        Ok(found)
    }

    fn late(&mut self, late: bool, now: Instant) -> Option<Cause> {
        if !late {
            self.late_since = None;
            return None;
        }
        let since = *self.late_since.get_or_insert(now);
        (now.duration_since(since) >= LATE_FOR).then(|| {
            let title = "Browsers are told too late that it rings".to_owned();
            let detail = "What is due has waited for more than a minute, and no device is the reason. The machine may be \
                          overloaded, or its disk slow; a restart loses nothing of it.";
            Cause::new(
                "telling".to_owned(),
                AlarmKind::Lag,
                title,
                detail.to_owned(),
            )
        })
    }

    /// A ring of the channel has climbed to everybody, and nothing has shown it.
    pub(super) fn unshown(
        &mut self,
        app: &Daemon,
        channel: &ChannelEntry,
        now: Time,
    ) -> Found<Option<Cause>> {
        let store = &*app.store;
        let Some(rings) = self.climbed.get(&channel.no) else {
            return Ok(None);
        };
        let mut shown = Vec::new();
        let mut found = None;
        for id in rings.iter().take(MOST_LOOKED_AT) {
            let ring = RingEntry::get(store, &RingEntry::key(*id))?;
            // An answer that is on its way silences it without an event of the bell.
            match ring {
                Some(ring) if is_shown(&ring) => shown.push(*id),
                Some(ring) if ring.sounds() && !ring.told.is_empty() => {
                    found = Some(ring);
                    break;
                }
                _ => {}
            }
        }
        for id in shown {
            self.over(channel.no, id);
        }
        let Some(ring) = found else {
            return Ok(None);
        };
        let name = &channel.name;
        let title = format!("A customer waits in {name}, and nothing has shown it");
        let detail = format!(
            "No desk and no device has said that it shows it, though it rang again. Open the desk, and look at the devices. \
             It was told to {}.",
            told_in_words(app, &ring, now)?
        );
        let cause = format!("unshown:{}", channel.id);
        Ok(Some(
            Cause::new(cause, AlarmKind::Device, title, detail).about(channel.no),
        ))
    }
}

fn is_shown(ring: &RingEntry) -> bool {
    let mut attempts = ring.attempts.iter();
    attempts.any(|attempt| attempt.result == AttemptResult::Shown)
}

/// Whether something that is due waits for longer than it should to be told, on a device to which things get through.
pub(super) fn is_late(store: &dyn Store, now: Time) -> Found<bool> {
    let mut failing: HashMap<DeviceId, bool> = HashMap::new();
    let mut after: Option<Vec<u8>> = None;
    loop {
        let rows = TellingEntry::scan(store, &[], after.as_deref(), BATCH)?;
        for (_, telling) in &rows {
            let late_ms = now.as_millis() - telling.due_at.as_millis();
            if late_ms <= LATE_MS {
                continue;
            }
            let fails = match failing.get(&telling.device) {
                Some(fails) => *fails,
                None => {
                    let devices = DevicesEntry::get(store, &telling.user.key())?;
                    let device = devices.as_ref().and_then(|all| all.device(telling.device));
                    // What is for a device that has gone is passed over.
                    let fails = device.is_none_or(|device| device.failing_since.is_some());
                    failing.insert(telling.device, fails);
                    fails
                }
            };
            if !fails {
                return Ok(true);
            }
        }
        match rows.last() {
            Some((key, _)) if rows.len() == BATCH => after = Some(key.clone()),
            _ => return Ok(false),
        }
    }
}

fn cannot_be_rung(cause: String, there: &There<'_>, devices: &[DeviceEntry]) -> Cause {
    let name = there.name;
    let why = if there.on_call { "on call" } else { "on duty" };
    let has = if devices.is_empty() {
        "there is no device that rings for them".to_owned()
    } else {
        let all: Vec<String> = devices.iter().map(of_device).collect();
        format!("no device of theirs rings: {}", all.join("; "))
    };
    let detail = format!(
        "{name} is {why}, no desk of theirs is open, and {has}. Let them open the desk or mend a device, or say that they \
         are not available, so that others are rung."
    );
    let title = format!("{name} is {why} and cannot be rung");
    Cause::new(cause, AlarmKind::Device, title, detail)
}

/// One alarm for all devices of a person.
fn devices_do_not_ring(
    cause: &str,
    there: &There<'_>,
    devices: &[DeviceEntry],
    wrong: &Wrong,
) -> Option<Cause> {
    let of = |ids: &[DeviceId]| -> Vec<&DeviceEntry> {
        let devices = devices.iter();
        devices.filter(|device| ids.contains(&device.id)).collect()
    };
    let (failing, silent) = (of(&wrong.failing), of(&wrong.silent));
    let name = there.name;
    let title = match (failing.first(), silent.first()) {
        (Some(device), _) => format!("{} of {name} does not ring", device.name),
        (None, Some(device)) => {
            format!(
                "{} of {name} has not shown for a day that it rings",
                device.name
            )
        }
        (None, None) => return None,
    };
    let all: Vec<String> = failing.into_iter().chain(silent).map(of_device).collect();
    let detail = format!(
        "{}. Open Deskbell on it and test it there, or remove it from {name}'s devices.",
        all.join("; ")
    );
    Some(Cause::new(
        cause.to_owned(),
        AlarmKind::Device,
        title,
        detail,
    ))
}

/// A device and what is known of it, in words that do not change with every look.
fn of_device(device: &DeviceEntry) -> String {
    let name = &device.name;
    if let Some(since) = device.failing_since {
        let why = device.detail.as_deref().unwrap_or("it says no reason");
        let why: String = why.chars().take(REASON_CHARS).collect();
        return format!("{name} fails since {}: {why}", minute(since));
    }
    match (device.proven_at(), device.kind) {
        (None, _) => format!("{name} has never shown that it rings"),
        (Some(at), DeviceKind::WebPush) => {
            format!("{name} last showed {} that it rings", minute(at))
        }
        (Some(at), DeviceKind::Desktop) => {
            format!(
                "{name} last showed {} that it rings; its companion may not run",
                minute(at)
            )
        }
    }
}

/// Whom a ring tells, and on what.
fn told_in_words(app: &Daemon, ring: &RingEntry, now: Time) -> Found<String> {
    let store = &*app.store;
    let mut words = Vec::new();
    for user in ring.told.iter().take(MOST_NAMES) {
        let Some(entry) = UserEntry::get(store, &user.key())? else {
            continue;
        };
        let devices = DevicesEntry::get(store, &user.key())?.unwrap_or_default();
        let devices: Vec<&str> = devices
            .devices
            .iter()
            .map(|device| device.name.as_str())
            .collect();
        let desk = crate::live::Reader::Desk(*user);
        let on = match (devices.is_empty(), app.live.here_since(desk, now)) {
            (true, None) => "no device".to_owned(),
            (true, Some(_)) => "an open desk".to_owned(),
            (false, _) => devices.join(", "),
        };
        words.push(format!("{} ({on})", entry.name));
    }
    let more = ring.told.len().saturating_sub(MOST_NAMES);
    Ok(if more > 0 {
        format!("{} and {more} more", words.join(", "))
    } else {
        words.join(", ")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn telling_may_be_late_for_a_moment() {
        let mut reach = Reach::default();
        let begun = Instant::now();
        let after = |seconds: u64| begun + Duration::from_secs(seconds);
        assert_eq!(reach.late(true, after(0)), None);
        assert_eq!(reach.late(true, after(9)), None);
        let told = reach.late(true, after(10)).expect("late");
        assert_eq!(told.alarm.kind, AlarmKind::Lag);
        assert_eq!(reach.late(false, after(20)), None);
        assert_eq!(reach.late(true, after(30)), None);
    }
}
