//! What the log of deliveries keeps: of each hook the newest thousand that are done with, for a week.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use deskbell_sdk::Time;

use super::all;
use crate::app::App;
use crate::desk::hooks::DropDeliveries;
use crate::id::HookId;
use crate::store::entry::{Entry, HookDeliveryEntry, HookDeliveryState};
use crate::store::{Found, Read};

/// How many of a hook are kept that are done with.
const MOST_KEPT: usize = 1_000;
/// How long they are kept, in milliseconds.
const KEPT_MS: i64 = 7 * 24 * 60 * 60 * 1000;
/// How often it is looked.
const EVERY: Duration = Duration::from_secs(600);
/// How many rows are read at once.
const STRETCH: usize = 200;
/// How many are removed in one step.
const DROPPED_AT_ONCE: usize = 500;

/// Removes what is kept no longer, until the daemon stops.
pub async fn run(app: App) {
    loop {
        tokio::select! {
            () = app.stopping.cancelled() => return,
            () = app.hooks.tidy.notified() => {}
            () = tokio::time::sleep(EVERY) => {}
        }
        let current = Arc::clone(&app);
        let found =
            tokio::task::spawn_blocking(move || to_drop(&*current.store, current.clock.now()));
        let keys = match found.await {
            Ok(Ok(keys)) => keys,
            Ok(Err(error)) => {
                tracing::warn!(%error, "the log of hooks' deliveries cannot be read; it is tidied later");
                continue;
            }
            Err(_) => continue,
        };
        for keys in keys.chunks(DROPPED_AT_ONCE) {
            let drop = DropDeliveries {
                keys: keys.to_vec(),
            };
            if let Err(error) = app.writer.write(drop).await {
                tracing::warn!(%error, "the log of hooks' deliveries cannot be tidied; it is tried later");
                break;
            }
        }
    }
}

/// The keys of what goes.
fn to_drop<R: Read + ?Sized>(store: &R, now: Time) -> Found<Vec<Vec<u8>>> {
    let hooks = all(store)?;
    let known: BTreeSet<HookId> = hooks.iter().map(|hook| hook.id).collect();
    let on: BTreeSet<HookId> = hooks
        .iter()
        .filter(|hook| hook.enabled)
        .map(|hook| hook.id)
        .collect();
    let mut drop = Vec::new();
    // The hook that is being looked at, newest first, and how many of it are kept that are done with.
    let (mut current, mut kept): (Option<HookId>, usize) = (None, 0);
    let mut after: Option<Vec<u8>> = None;
    loop {
        let rows = HookDeliveryEntry::scan(store, &[], after.as_deref(), STRETCH)?;
        for (key, entry) in &rows {
            let Some((hook, _)) = HookDeliveryEntry::of_key(key) else {
                continue;
            };
            if current != Some(hook) {
                (current, kept) = (Some(hook), 0);
            }
            let is_old = now.as_millis() - entry.created_at.as_millis() > KEPT_MS;
            let waits = entry.state == HookDeliveryState::Waiting;
            if !known.contains(&hook) || is_old && !(waits && on.contains(&hook)) {
                drop.push(key.clone());
            } else if !waits {
                kept += 1;
                if kept > MOST_KEPT {
                    drop.push(key.clone());
                }
            }
        }
        match rows.last() {
            Some((key, _)) if rows.len() == STRETCH => after = Some(key.clone()),
            _ => return Ok(drop),
        }
    }
}
