//! Looks after the telling itself: tests each device once a day, and says when a ring reaches nobody.

use std::time::Duration;

use crate::app::App;
use crate::desk::devices::Test;
use crate::id::UserId;
use crate::store::Found;
use crate::store::change::EventBody;
use crate::store::entry::{AttemptResult, DeviceEntry, DeviceKind, DevicesEntry, Entry, RingEntry};
use crate::view::devices::{DeviceState, state};

use deskbell_sdk::Time;

/// How often it is looked which devices are to be tested.
const LOOK: Duration = Duration::from_secs(5 * 60);
/// After how long a device is tested again: 20 hours, in milliseconds.
const TEST_AGAIN_MS: i64 = 20 * 60 * 60 * 1000;
/// After how long a companion is tested again that has not answered, since it may not have been there. In milliseconds.
const UNANSWERED_MS: i64 = 30 * 60 * 1000;
/// How many events are read at once.
const BATCH: usize = 512;
/// How long it is waited after a failed read.
const STORE_WAIT: Duration = Duration::from_secs(1);

/// Whether a device is to be tested now.
fn is_due(device: &DeviceEntry, now: Time) -> bool {
    if device.next_try_at.is_some_and(|at| now < at) {
        return false;
    }
    let Some(test) = device.test else {
        return true;
    };
    let was_missed = device.kind == DeviceKind::Desktop && !test.answered;
    let again_ms = if was_missed {
        UNANSWERED_MS
    } else {
        TEST_AGAIN_MS
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

async fn test_all(app: &App) -> anyhow::Result<()> {
    let all = DevicesEntry::scan(&*app.store, &[], None, usize::MAX)?;
    let now = app.clock.now();
    let mut standing = [0_u32; 3];
    for (key, devices) in all {
        let Ok(key) = key.as_slice().try_into() else {
            continue;
        };
        let user = UserId(u64::from_be_bytes(key));
        for device in devices.devices {
            standing[match state(&device, now) {
                DeviceState::Working => 0,
                DeviceState::Unconfirmed => 1,
                DeviceState::Failing => 2,
            }] += 1;
            if !is_due(&device, now) {
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

/// Says when a ring tells nobody, or has climbed without being shown anywhere, until the daemon stops (F34).
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
        // One line for all that came together: a flood of customers is no flood of lines.
        if nobody > 0 {
            metrics::counter!("deskbell_rings_unheard_total", "why" => "nobody").increment(nobody);
            tracing::warn!(
                rings = nobody,
                "it rings and there is nobody to tell: nobody who may answer sees that channel"
            );
        }
        if not_shown > 0 {
            metrics::counter!("deskbell_rings_unheard_total", "why" => "not_shown")
                .increment(not_shown);
            tracing::warn!(
                rings = not_shown,
                "it rings and no desk and no device has shown it by the next step: let somebody open the desk, and look at the devices"
            );
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
            id: DeviceId(1),
            kind,
            name: "x".to_owned(),
            created_at: at(0),
            last_seen_at: None,
            last_shown_at: None,
            confirmed_at: None,
            endpoint: None,
            subscription: None,
            token: None,
            test: tested.map(|(hours, answered)| DeviceTest {
                id: WorkId(1),
                at: at(hours),
                silent: true,
                answered,
            }),
            failing_since: None,
            detail: None,
            next_try_at: None,
            waiting: 0,
        }
    }

    #[test]
    fn o08_each_device_is_tested_once_a_day_and_a_dead_one_no_oftener() {
        let due = |kind, tested, now| is_due(&device(kind, tested), at(now));
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
        assert!(!is_due(&dead, at(39)) && is_due(&dead, at(40)));
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
