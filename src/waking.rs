//! Wakes conversations that have slept until their time, also those whose time came while the daemon was down.
//!
//! Which sleep, the inbox in memory knows; that one wakes is a durable decision, which does nothing where somebody has
//! changed the conversation meanwhile. So a crash at any point leaves it asleep or awake, and never forgotten.

use std::sync::Arc;
use std::time::Duration;

use crate::app::App;
use crate::desk::changing::Wake;

/// How many are woken at once.
const AT_ONCE: usize = 100;
/// How often it is looked while something sleeps: by the clock, which may be set.
const LOOK: Duration = Duration::from_secs(1);

/// Runs until the daemon stops.
pub async fn run(app: App) {
    let mut head = app.writer.head();
    loop {
        head.borrow_and_update();
        let asked = Arc::clone(&app);
        let found = tokio::task::spawn_blocking(move || {
            let now = asked.clock.now();
            asked.inbox.sleepers(&*asked.store, now, AT_ONCE)
        });
        let (due, something_sleeps) = match found.await {
            Ok(Ok((due, next))) => {
                let something_sleeps = next.is_some() || !due.is_empty();
                (due, something_sleeps)
            }
            Ok(Err(error)) => {
                tracing::error!(%error, "which conversations are to wake cannot be read; it is tried again");
                (Vec::new(), true)
            }
            // The daemon ends.
            Err(_) => return,
        };
        let many = due.len() == AT_ONCE;
        let mut woken = 0;
        for conversation in due {
            match app.writer.write(Wake { conversation }).await {
                Ok(woke) => woken += usize::from(woke),
                Err(error) => {
                    tracing::warn!(%error, "a conversation could not wake; it is tried again");
                    break;
                }
            }
        }
        if many && woken > 0 {
            continue;
        }
        tokio::select! {
            () = app.stopping.cancelled() => return,
            () = tokio::time::sleep(LOOK), if something_sleeps => {}
            changed = head.changed(), if !something_sleeps => if changed.is_err() { return },
        }
    }
}
