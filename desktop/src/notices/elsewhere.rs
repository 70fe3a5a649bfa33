//! macOS and Windows, by `notify-rust`. Neither lets it close or replace a notification: one that is shown stays until the
//! system or a person puts it away, so that each conversation has one at a time and no second one is shown beside it.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use notify_rust::{Notification, NotificationResponse, Timeout};
use tokio::sync::mpsc;

use super::{Notice, Order, Reaction};

/// The keys of those that are on the screen.
type Shown = Arc<Mutex<HashSet<String>>>;

/// Carries out orders until nobody gives any more.
pub(super) async fn work(mut todo: mpsc::Receiver<Order>, reactions: mpsc::Sender<Reaction>) {
    let shown = Shown::default();
    while let Some(order) = todo.recv().await {
        match order {
            Order::Show(notice, answer) => {
                // Who asked may have gone.
                let _ = answer.send(show(notice, &reactions, &shown));
            }
            Order::Close(key) => {
                lock(&shown).remove(&key);
            }
            Order::Probe(answer) => {
                // Who asked may have gone.
                let _ = answer.send(Ok(std::env::consts::OS.to_owned()));
            }
        }
    }
}

fn lock(shown: &Shown) -> std::sync::MutexGuard<'_, HashSet<String>> {
    shown.lock().unwrap_or_else(PoisonError::into_inner)
}

fn show(notice: Notice, reactions: &mpsc::Sender<Reaction>, shown: &Shown) -> Result<(), String> {
    let mut notification = Notification::new();
    notification
        .appname("Deskbell")
        .summary(&notice.title)
        .body(&notice.body);
    notification.timeout(if notice.passing {
        Timeout::Default
    } else {
        Timeout::Never
    });
    #[cfg(target_os = "windows")]
    if notice.critical {
        notification.urgency(notify_rust::Urgency::Critical);
    }
    for (name, label) in &notice.buttons {
        notification.action(name, label);
    }
    if !lock(shown).insert(notice.key.clone()) && !notice.critical {
        return Ok(());
    }
    let (reactions, shown, key) = (reactions.clone(), Arc::clone(shown), notice.key);
    // Waiting for a person blocks, and on macOS showing does.
    let (tell, told) = std::sync::mpsc::sync_channel(1);
    let waits = move || {
        let refused = |error| format!("the system does not show it ({error})");
        let handle = notification.show().map_err(refused);
        let handle = match handle {
            Ok(handle) => {
                // Who asked may have gone.
                let _ = tell.send(Ok(()));
                handle
            }
            Err(words) => {
                lock(&shown).remove(&key);
                let _ = tell.send(Err(words));
                return;
            }
        };
        let waited = handle.wait_for_response(|response: &NotificationResponse| {
            let is_ours = lock(&shown).remove(&key);
            let reaction = match response {
                NotificationResponse::Default => pressed(&key, "open"),
                NotificationResponse::Action(button) => pressed(&key, button),
                NotificationResponse::Reply(_) | NotificationResponse::Closed(_) => {
                    Reaction::Gone { key: key.clone() }
                }
            };
            // Whoever listened may have gone.
            if is_ours || matches!(reaction, Reaction::Pressed { .. }) {
                let _ = reactions.blocking_send(reaction);
            }
        });
        if let Err(error) = waited {
            tracing::debug!(%error, "a notification said nothing of what became of it");
        }
    };
    let thread = std::thread::Builder::new()
        .name("notification".to_owned())
        .spawn(waits);
    thread.map_err(|error| error.to_string())?;
    let patience = std::time::Duration::from_secs(2);
    match told.recv_timeout(patience) {
        Ok(result) => result,
        Err(_) => Err("the system did not say whether it is shown".to_owned()),
    }
}

fn pressed(key: &str, button: &str) -> Reaction {
    Reaction::Pressed {
        key: key.to_owned(),
        button: button.to_owned(),
    }
}
