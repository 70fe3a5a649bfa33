//! Sign-ins that failed, in the audit log. Strangers must not fill it: of each account one entry in ten minutes is
//! written, with how many there were since the one before. Of addresses without an account none is.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use deskbell_sdk::Time;

use super::sign_in::Peer;
use crate::app::App;
use crate::desk::audit::{Tells, Told};
use crate::id::UserId;
use crate::store::entry::{Actor, ActorKind, UserEntry};

/// How long it is between two entries of an account, in milliseconds.
const PAUSE_MS: i64 = 10 * 60 * 1000;
/// Most accounts that are remembered.
const MOST: usize = 10_000;

/// What is remembered of an account.
#[derive(Clone, Copy, Debug, Default)]
struct Lately {
    told_at: Option<Time>,
    untold: u64,
}

/// What is remembered of the accounts of a daemon.
#[derive(Debug, Default)]
pub struct Failures(Mutex<HashMap<UserId, Lately>>);

impl Failures {
    /// Counts a failure; how many are to be told now, where some are.
    fn count(&self, user: UserId, now: Time) -> Option<u64> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST && !all.contains_key(&user) {
            all.clear();
        }
        let lately = all.entry(user).or_default();
        lately.untold += 1;
        // A time of the future is one of a clock that was wrong.
        let is_quiet = lately
            .told_at
            .is_some_and(|at| at <= now && now < at.plus_millis(PAUSE_MS));
        if is_quiet {
            return None;
        }
        lately.told_at = Some(now);
        Some(std::mem::take(&mut lately.untold))
    }
}

/// Notes that somebody could not sign in to an account, beside the answer, which must not take longer for it (S02).
pub(super) fn note(app: &App, user: &UserEntry, peer: &Peer, wrong: &'static str) {
    let Some(count) = app.failures.count(user.id, app.clock.now()) else {
        return;
    };
    let by = Actor {
        kind: ActorKind::Stranger,
        id: "stranger".to_owned(),
        name: "Somebody who is not signed in".to_owned(),
        address: Some(peer.address.to_string()),
    };
    let told = Told::of("session.refused")
        .to("user", user.id, user.name.as_str())
        .with("wrong", wrong)
        .with("count", count);
    let app = Arc::clone(app);
    drop(tokio::spawn(async move {
        if let Err(error) = app.writer.write(Tells { by, told }).await {
            tracing::warn!(%error, "a sign-in that failed could not be written into the audit log");
        }
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_told_of_once_in_ten_minutes_with_all_that_there_were() {
        let failures = Failures::default();
        let at = |minutes: i64| Time::from_millis(minutes * 60 * 1000);
        let (one, other) = (UserId(1), UserId(2));
        assert_eq!(failures.count(one, at(100)), Some(1));
        for _ in 0..50 {
            assert_eq!(failures.count(one, at(105)), None);
        }
        assert_eq!(failures.count(other, at(105)), Some(1));
        assert_eq!(failures.count(one, at(110)), Some(51));
        // The clock was ahead, and is set.
        assert_eq!(failures.count(one, at(50)), Some(1));
    }
}
