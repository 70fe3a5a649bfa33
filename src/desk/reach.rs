//! Whether somebody who works can be rung, and which of their devices do not ring. Pure: how everything stands is an
//! argument.
//!
//! What is wrong here rings administrators, so that it is told of those only who are to be reachable now. Hours that are set,
//! and being on call, are somebody's word for that. Without hours one is on duty day and night; that is no reason to wake
//! anybody because a desk was closed in the evening.

use deskbell_sdk::Time;

use crate::id::DeviceId;
use crate::store::entry::{DeviceEntry, DeviceKind};

/// So long somebody may be out of reach before it is told, in milliseconds: 15 minutes. People come late, and pages are
/// loaded anew.
pub const UNREACHED_MS: i64 = 15 * MINUTE_MS;
/// So long nothing may get through to a device before it is told, in milliseconds: two hours.
pub const FAILING_MS: i64 = 2 * HOUR_MS;
/// So long a device may be silent that is not the only one, or whose person may be away, in milliseconds: three days. A
/// machine is switched off over a weekend.
pub const SILENT_MS: i64 = 72 * HOUR_MS;
/// So long somebody has to be at work before a device of theirs is told of that has not answered for a day, in milliseconds:
/// an hour, in which it is tested.
pub const SETTLED_MS: i64 = HOUR_MS;
/// So long a device has to answer a test, in milliseconds: half an hour.
const ANSWER_MS: i64 = 30 * MINUTE_MS;
/// A device to which nothing gets through for less than that is taken to work, in milliseconds.
const HICCUP_MS: i64 = 10 * MINUTE_MS;
const MINUTE_MS: i64 = 60 * 1000;
const HOUR_MS: i64 = 60 * MINUTE_MS;

/// How somebody stands who is on duty or on call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AtWork {
    /// Whether they are on call.
    pub on_call: bool,
    /// Since when they are within working hours that are set.
    pub hours_since: Option<Time>,
    /// Since when a desk of theirs is open in a browser.
    pub desk_since: Option<Time>,
    /// Their companions that follow the stream.
    pub companions: Vec<DeviceId>,
}

/// What is wrong with how somebody can be rung.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wrong {
    /// Nothing reaches them, though somebody has said that they are there now.
    pub unreached: bool,
    /// Nothing has got through to these for hours.
    pub failing: Vec<DeviceId>,
    /// These have not shown for long that they work.
    pub silent: Vec<DeviceId>,
}

impl AtWork {
    /// Since when they are at work for certain: by hours that are set, by being on call, or with a desk open.
    #[must_use]
    pub fn since(&self) -> Option<Time> {
        if self.on_call {
            return Some(Time::from_millis(0));
        }
        match (self.hours_since, self.desk_since) {
            (Some(hours), _) => Some(hours),
            (None, desk) => desk,
        }
    }

    /// Whether a ring would reach them on this device now.
    #[must_use]
    pub fn rings_on(&self, device: &DeviceEntry, now: Time) -> bool {
        let is_there = match device.kind {
            DeviceKind::WebPush => true,
            DeviceKind::Desktop => self.companions.contains(&device.id),
        };
        is_there && device.is_proven(now) && lasts_ms(device.failing_since, now) < HICCUP_MS
    }

    /// What is wrong with how they can be rung.
    #[must_use]
    pub fn judge(&self, devices: &[DeviceEntry], now: Time) -> Wrong {
        let rings = |device: &&DeviceEntry| self.rings_on(device, now);
        let is_told_to_be_there = self.on_call || self.hours_since.is_some();
        let mut wrong = Wrong {
            unreached: is_told_to_be_there
                && self.desk_since.is_none()
                && !devices.iter().any(|device| rings(&device)),
            ..Wrong::default()
        };
        let settled = self
            .since()
            .filter(|since| passed_ms(*since, now) >= SETTLED_MS);
        for device in devices {
            if lasts_ms(device.failing_since, now) >= FAILING_MS {
                wrong.failing.push(device.id);
                continue;
            }
            if device.failing_since.is_some() || device.is_proven(now) {
                continue;
            }
            let has_another = devices
                .iter()
                .any(|other| other.id != device.id && rings(&other));
            // A new one has a day as well.
            let last = device.proven_at().unwrap_or(device.created_at);
            let silent_ms = passed_ms(last, now);
            let for_a_day = silent_ms >= DeviceEntry::PROVEN_MS
                && !has_another
                && settled.is_some_and(|since| has_missed(device, since, now));
            if for_a_day || silent_ms >= SILENT_MS {
                wrong.silent.push(device.id);
            }
        }
        wrong
    }
}

/// Whether a test that was begun while its person was at work has had its time.
fn has_missed(device: &DeviceEntry, since: Time, now: Time) -> bool {
    device.test.is_some_and(|test| {
        !test.answered && test.at >= since && passed_ms(test.at, now) >= ANSWER_MS
    })
}

/// How long ago something was, in milliseconds; what lies ahead was noted by another clock, and is taken for now.
fn passed_ms(at: Time, now: Time) -> i64 {
    (now.as_millis() - at.as_millis()).max(0)
}

fn lasts_ms(since: Option<Time>, now: Time) -> i64 {
    since.map_or(0, |since| passed_ms(since, now))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::WorkId;
    use crate::store::entry::DeviceTest;

    fn at(minutes: i64) -> Time {
        Time::from_millis(1_800_000_000_000 + minutes * MINUTE_MS)
    }

    const HOURS: i64 = 60;

    fn device(id: u64, kind: DeviceKind, confirmed: Option<i64>) -> DeviceEntry {
        DeviceEntry {
            confirmed_at: confirmed.map(at),
            created_at: at(-100 * 24 * HOURS),
            ..DeviceEntry::new(DeviceId(id), kind, "x", at(0))
        }
    }

    fn tested(device: &mut DeviceEntry, minute: i64) {
        device.test = Some(DeviceTest {
            id: WorkId(1),
            at: at(minute),
            silent: true,
            answered: false,
        });
    }

    fn by_hours(since: i64) -> AtWork {
        AtWork {
            hours_since: Some(at(since)),
            ..AtWork::default()
        }
    }

    #[test]
    fn f34_who_is_to_be_there_and_cannot_be_rung_is_told_of_and_nobody_else() {
        let (web, desktop) = (DeviceKind::WebPush, DeviceKind::Desktop);
        let now = at(0);
        let unreached = |who: &AtWork, devices: &[DeviceEntry]| who.judge(devices, now).unreached;
        let phone = device(1, web, Some(-60));
        let till = device(2, desktop, Some(-60));
        // Hours that are set, or being on call, make it matter.
        assert!(unreached(&by_hours(-30), &[]));
        let on_call = AtWork {
            on_call: true,
            ..AtWork::default()
        };
        assert!(unreached(&on_call, &[]));
        assert!(
            !unreached(&AtWork::default(), &[]),
            "no hours, no desk: away"
        );
        // An open desk, a phone that answers, or a companion that is connected is enough.
        let at_desk = AtWork {
            desk_since: Some(at(-5)),
            ..by_hours(-30)
        };
        assert!(!unreached(&at_desk, &[]));
        assert!(!unreached(&by_hours(-30), std::slice::from_ref(&phone)));
        assert!(
            unreached(&by_hours(-30), std::slice::from_ref(&till)),
            "switched off"
        );
        let connected = AtWork {
            companions: vec![DeviceId(2)],
            ..by_hours(-30)
        };
        assert!(!unreached(&connected, std::slice::from_ref(&till)));
        // One that was proven once, or to which nothing gets through, is not.
        assert!(unreached(
            &by_hours(-30),
            &[device(1, web, Some(-26 * HOURS))]
        ));
        let mut failing = phone;
        failing.failing_since = Some(at(-9));
        assert!(
            !unreached(&by_hours(-30), std::slice::from_ref(&failing)),
            "a hiccup"
        );
        failing.failing_since = Some(at(-10));
        assert!(unreached(&by_hours(-30), &[failing]));
    }

    #[test]
    fn o08_a_device_to_which_nothing_gets_through_is_told_of_after_two_hours() {
        let mut phone = device(1, DeviceKind::WebPush, Some(-60));
        let failing = |phone: &DeviceEntry, now| {
            let wrong = AtWork::default().judge(std::slice::from_ref(phone), at(now));
            !wrong.failing.is_empty()
        };
        assert!(!failing(&phone, 0));
        phone.failing_since = Some(at(0));
        assert!(!failing(&phone, 119));
        assert!(failing(&phone, 120));
        assert!(!failing(&phone, -600), "a clock that was set back");
        let wrong = AtWork::default().judge(&[phone], at(100 * HOURS));
        assert!(wrong.silent.is_empty(), "told once, and why");
    }

    #[test]
    fn f34_a_device_that_has_not_answered_for_a_day_is_told_of_while_its_person_is_at_work() {
        let mut phone = device(1, DeviceKind::WebPush, Some(0));
        tested(&mut phone, 25 * HOURS + 10);
        let silent =
            |who: &AtWork, devices: &[DeviceEntry], now| who.judge(devices, at(now)).silent;
        let one = std::slice::from_ref(&phone);
        let work = by_hours(25 * HOURS);
        assert_eq!(
            silent(&work, one, 25 * HOURS + 30),
            [],
            "it is being tested"
        );
        assert_eq!(silent(&work, one, 26 * HOURS), [DeviceId(1)]);
        // A test of the night says nothing of a machine that was switched off.
        let since_morning = by_hours(25 * HOURS + 20);
        assert_eq!(silent(&since_morning, one, 27 * HOURS), []);
        // An open desk says that its person is there as well.
        let at_desk = AtWork {
            desk_since: Some(at(25 * HOURS)),
            ..AtWork::default()
        };
        assert_eq!(silent(&at_desk, one, 27 * HOURS), [DeviceId(1)]);
        // Where nothing says so it may be a weekend, and where another one rings a machine that is not used today.
        assert_eq!(silent(&AtWork::default(), one, 71 * HOURS), []);
        assert_eq!(silent(&AtWork::default(), one, 72 * HOURS), [DeviceId(1)]);
        let two = [
            phone.clone(),
            device(2, DeviceKind::WebPush, Some(24 * HOURS)),
        ];
        assert_eq!(silent(&work, &two, 27 * HOURS), []);
        assert_eq!(silent(&work, &two, 72 * HOURS), [DeviceId(1)]);
        // What shows rings needs no test.
        phone.last_shown_at = Some(at(26 * HOURS));
        assert_eq!(silent(&work, &[phone], 27 * HOURS), []);
    }
}
