//! Looks after the telling itself: tests each device once a day, and counts the rings that reach nobody.

use std::collections::HashMap;
use std::time::Duration;

use crate::app::App;
use crate::desk::devices::Test;
use crate::desk::reach::AtWork;
use crate::duty::{self, There};
use crate::id::UserId;
use crate::store::Found;
use crate::store::change::EventBody;
use crate::store::entry::{AttemptResult, DeviceEntry, DeviceKind, DevicesEntry, Entry, RingEntry};
use crate::view::devices::{DeviceState, state};

use deskbell_sdk::Time;

/// How often it is looked which devices are to be tested.
const LOOK: Duration = Duration::from_secs(5 * 60);
/// After how long a device is tested again: 20 hours, in milliseconds.
const TEST_AGAIN_MS: i64 = 20 * HOUR_MS;
/// After how long a companion is tested again that has not answered, since it may not have been there. In milliseconds.
const UNANSWERED_MS: i64 = HOUR_MS / 2;
/// The same for one that is connected.
const CONNECTED_MS: i64 = 4 * 60 * 1000;
/// After how long a device is tested again to which nothing gets through, unless it rests: whether it has come back is not
/// to be learned from the next customer. In milliseconds.
const FAILING_MS: i64 = HOUR_MS;
/// So long somebody has to be at work before a browser is tested again that did not answer while they were away, in
/// milliseconds.
const BEGUN_MS: i64 = 15 * 60 * 1000;
/// After how long at the earliest: browsers do not like to be told much that nobody sees. In milliseconds.
const BEGUN_AGAIN_MS: i64 = 4 * HOUR_MS;
const HOUR_MS: i64 = 60 * 60 * 1000;
/// How many events are read at once.
const BATCH: usize = 512;
/// How long it is waited after a failed read.
const STORE_WAIT: Duration = Duration::from_secs(1);

/// Whether a device of somebody's is to be tested now.
fn is_due(device: &DeviceEntry, person: &AtWork, now: Time) -> bool {
    if device.next_try_at.is_some_and(|at| now < at) {
        return false;
    }
    let Some(test) = device.test else {
        return true;
    };
    let begun_ms = person
        .since()
        .filter(|since| test.at < *since)
        .map(|since| now.as_millis() - since.as_millis());
    let again_ms = match device.kind {
        _ if device.failing_since.is_some() => FAILING_MS,
        _ if test.answered => TEST_AGAIN_MS,
        DeviceKind::Desktop if person.companions.contains(&device.id) => CONNECTED_MS,
        DeviceKind::Desktop => UNANSWERED_MS,
        DeviceKind::WebPush if begun_ms.is_some_and(|ms| ms >= BEGUN_MS) => BEGUN_AGAIN_MS,
        DeviceKind::WebPush => TEST_AGAIN_MS,
    };
    // One of the future was begun by a clock that was ahead.
    now >= test.at.plus_millis(again_ms) || test.at > now.plus_millis(again_ms)
}

/// Tests each device, silently, until the daemon stops; of a restored desk only once somebody says so.
pub async fn tests(app: App) {
    tokio::select! {
        () = app.stopping.cancelled() => return,
        () = app.held.released() => {}
    }
    loop {
        if let Err(error) = test_all(&app).await {
            tracing::warn!(%error, "devices could not be tested; it is tried again");
        }
        tokio::select! {
            () = app.stopping.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

pub(crate) async fn test_all(app: &App) -> anyhow::Result<()> {
    let all = DevicesEntry::scan(&*app.store, &[], None, usize::MAX)?;
    let now = app.clock.now();
    let roster = duty::roster(app)?;
    let there: HashMap<UserId, There<'_>> = roster
        .there(now)
        .into_iter()
        .map(|there| (there.id, there))
        .collect();
    let mut standing = [0_u32; 3];
    for (key, devices) in all {
        let Ok(key) = key.as_slice().try_into() else {
            continue;
        };
        let user = UserId(u64::from_be_bytes(key));
        let person = there.get(&user);
        let person = person.map(|there| duty::at_work(app, there, Some(&devices), now));
        let person = person.unwrap_or_default();
        for device in devices.devices {
            standing[match state(&device, now) {
                DeviceState::Working => 0,
                DeviceState::Unconfirmed => 1,
                DeviceState::Failing => 2,
            }] += 1;
            if !is_due(&device, &person, now) {
                continue;
            }
            let test = Test {
                user,
                device: device.id,
                silent: true,
            };
            // It may have gone since.
            if let Ok(device) = app.writer.write(test).await?
                && let (DeviceKind::Desktop, Some(test)) = (device.kind, device.test)
            {
                app.live.device_test(now, user, device.id, test.id, true);
            }
        }
    }
    for (count, state) in standing
        .into_iter()
        .zip(["working", "unconfirmed", "failing"])
    {
        metrics::gauge!("deskbell_devices", "state" => state).set(f64::from(count));
    }
    Ok(())
}

/// Why nobody may hear a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unheard {
    /// There is nobody to tell.
    Nobody,
    /// Nobody has shown it by the next step.
    NotShown,
}

fn judge(ring: &RingEntry) -> Option<Unheard> {
    if !ring.sounds() {
        return None;
    }
    if ring.told.is_empty() {
        return Some(Unheard::Nobody);
    }
    let is_shown = ring
        .attempts
        .iter()
        .any(|attempt| attempt.result == AttemptResult::Shown);
    (ring.step > 1 && !is_shown).then_some(Unheard::NotShown)
}

/// Counts the rings that tell nobody, or have climbed without being shown anywhere, until the daemon stops (F34).
pub async fn unheard(app: App) {
    let mut head = app.writer.head();
    let mut position = *head.borrow_and_update();
    loop {
        tokio::select! {
            () = app.stopping.cancelled() => return,
            changed = head.changed() => if changed.is_err() { return },
        }
        if let Err(error) = look(&app, &mut position) {
            tracing::error!(%error, "it cannot be seen whether rings are heard; it is tried again");
            tokio::time::sleep(STORE_WAIT).await;
        }
    }
}

fn look(app: &App, position: &mut u64) -> Found<()> {
    loop {
        let events = app.store.events(*position, BATCH)?;
        let Some(last) = events.last() else {
            return Ok(());
        };
        *position = last.seq;
        let (mut nobody, mut not_shown) = (0_u64, 0_u64);
        for event in &events {
            if let EventBody::BellRung { ring } = &event.body {
                match judge(ring) {
                    Some(Unheard::Nobody) => nobody += 1,
                    Some(Unheard::NotShown) => not_shown += 1,
                    None => {}
                }
            }
        }
        // The alarms tell of it (`crate::alarms`); these count.
        for (rings, why) in [(nobody, "nobody"), (not_shown, "not_shown")] {
            if rings > 0 {
                metrics::counter!("deskbell_rings_unheard_total", "why" => why).increment(rings);
            }
        }
    }
}

#[cfg(test)]
mod tests_of_watch {
    use super::*;
    use crate::id::{ConversationId, DeviceId, MessageId, RingId, WorkId};
    use crate::store::entry::{Attempt, DeviceTest, RingState};
    use crate::store::record::ChannelNo;

    fn at(hours: i64) -> Time {
        Time::from_millis(1_800_000_000_000 + hours * 3_600_000)
    }

    fn device(kind: DeviceKind, tested: Option<(i64, bool)>) -> DeviceEntry {
        DeviceEntry {
            test: tested.map(|(hours, answered)| DeviceTest {
                id: WorkId(1),
                at: at(hours),
                silent: true,
                answered,
            }),
            ..DeviceEntry::new(DeviceId(1), kind, "x", at(0))
        }
    }

    #[test]
    fn o08_each_device_is_tested_once_a_day_and_a_dead_one_no_oftener() {
        let due = |kind, tested, now| is_due(&device(kind, tested), &AtWork::default(), at(now));
        assert!(due(DeviceKind::WebPush, None, 0));
        assert!(!due(DeviceKind::WebPush, Some((0, false)), 19));
        assert!(due(DeviceKind::WebPush, Some((0, false)), 20));
        assert!(!due(DeviceKind::Desktop, Some((0, true)), 19));
        assert!(due(DeviceKind::Desktop, Some((0, false)), 1));
        assert!(
            due(DeviceKind::WebPush, Some((900, true)), 0),
            "a clock set back"
        );
        let mut dead = device(DeviceKind::WebPush, Some((0, false)));
        dead.next_try_at = Some(at(40));
        let away = AtWork::default();
        assert!(!is_due(&dead, &away, at(39)) && is_due(&dead, &away, at(40)));
        // One that fails, and does not rest yet, is tried within the hour.
        let mut failing = device(DeviceKind::WebPush, Some((0, false)));
        failing.failing_since = Some(at(0));
        assert!(!is_due(&failing, &away, at(0)) && is_due(&failing, &away, at(1)));
    }

    #[test]
    fn what_did_not_answer_while_its_person_was_away_is_tested_when_they_come() {
        let browser = device(DeviceKind::WebPush, Some((0, false)));
        let came = |hours: i64| AtWork {
            hours_since: Some(at(hours)),
            ..AtWork::default()
        };
        assert!(!is_due(&browser, &came(8), at(8)), "it has just come");
        assert!(is_due(&browser, &came(8), at(9)));
        let tested = device(DeviceKind::WebPush, Some((9, false)));
        assert!(!is_due(&tested, &came(8), at(17)), "once");
        assert!(!is_due(&browser, &came(1), at(3)), "not that soon again");
        let till = device(DeviceKind::Desktop, Some((0, false)));
        let connected = AtWork {
            companions: vec![DeviceId(1)],
            ..AtWork::default()
        };
        let soon = at(0).plus_millis(CONNECTED_MS);
        assert!(is_due(&till, &connected, soon) && !is_due(&till, &came(0), soon));
    }

    #[test]
    fn f34_what_nobody_shows_is_told() {
        let ring = |step, told: &[u64], shown: bool| RingEntry {
            id: RingId(1),
            conversation: Some(ConversationId(1)),
            message: Some(MessageId(1)),
            channel: Some(ChannelNo(1)),
            state: RingState::Ringing,
            step,
            started_at: at(0),
            next_step_at: None,
            taken_at: None,
            taken_by: None,
            ended: None,
            ended_at: None,
            silenced_by: None,
            assignee: None,
            attempts: vec![Attempt {
                at: at(0),
                user: Some(UserId(1)),
                device: "desk".to_owned(),
                device_id: None,
                result: if shown {
                    AttemptResult::Shown
                } else {
                    AttemptResult::Sent
                },
                detail: None,
                step: Some(1),
            }],
            held_until: None,
            alarm: None,
            told: told.iter().copied().map(UserId).collect(),
        };
        assert_eq!(judge(&ring(1, &[1], false)), None);
        assert_eq!(judge(&ring(1, &[], true)), Some(Unheard::Nobody));
        assert_eq!(judge(&ring(2, &[1], false)), Some(Unheard::NotShown));
        assert_eq!(judge(&ring(2, &[1], true)), None);
        let taken = RingEntry {
            state: RingState::Taken,
            ..ring(2, &[], false)
        };
        assert_eq!(judge(&taken), None);
    }
}
