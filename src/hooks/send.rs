//! One attempt to tell a hook something.

use deskbell_sdk::Secret;

use super::command;
use super::target::{self, Event, Post, Sending, Verdict};
use crate::app::{App, Daemon};
use crate::desk::hooks::{Outcome, ResealHook, TEST};
use crate::seal::{Place, SealError};
use crate::store::entry::{HookAttempt, HookDeliveryEntry, HookEntry, HookKind, SealedValue};

/// How much of an answer is kept, in bytes (O04).
pub const MAX_ANSWER_BYTES: usize = 1024;

/// What came of an attempt.
#[derive(Clone, Debug)]
pub struct Tried {
    /// For the log of deliveries.
    pub attempt: HookAttempt,
    /// What it means.
    pub verdict: Verdict,
}

/// Tells a hook something, once.
pub async fn try_once(app: &App, hook: &HookEntry, told: &HookDeliveryEntry) -> Tried {
    if hook.kind == HookKind::Command {
        return command::try_once(app, hook, told).await;
    }
    let (at, started) = (app.clock.now(), std::time::Instant::now());
    let target = target::of(hook.kind);
    let outcome = match request(app, hook, told) {
        Ok(post) => {
            app.hooks
                .poster
                .post(&post.url, post.headers, post.body, MAX_ANSWER_BYTES)
                .await
        }
        Err(why) => Err(why),
    };
    let took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let (status, error, answer, verdict) = match outcome {
        Ok(answer) => {
            let verdict = target.judge(&answer);
            let status = answer.status.as_u16();
            let error = match &verdict {
                Verdict::Taken => None,
                Verdict::Off(why) => Some(why.clone()),
                _ if answer.status.is_redirection() => Some(format!(
                    "answered {status}: redirections are not followed; enter the address that it leads to"
                )),
                _ => Some(format!("answered {status}")),
            };
            (Some(status), error, Some(words(&answer.body)), verdict)
        }
        Err(why) => (None, Some(why), None, Verdict::Trouble { after_ms: None }),
    };
    let attempt = HookAttempt {
        at,
        took_ms,
        status,
        error,
        answer: answer.filter(|answer| !answer.is_empty()),
    };
    Tried { attempt, verdict }
}

/// What tries a hook says.
#[must_use]
pub fn test_body(app: &Daemon, hook: &HookEntry) -> String {
    let text = match hook.kind {
        HookKind::Command => {
            "This is a test. The hook works where the program ends with exit code 0."
        }
        _ => "This is a test. The hook works where it answers with a status from 200 to 299.",
    };
    let data = serde_json::json!({ "hook_id": hook.id, "text": text });
    target::of(hook.kind).render(&Event {
        kind: TEST,
        at: app.clock.now(),
        data: &data,
        message: None,
        desk: &app.public_url(),
    })
}

/// What an attempt means for what becomes of the delivery.
#[must_use]
pub fn outcome(verdict: &Verdict) -> Outcome {
    match verdict {
        Verdict::Taken => Outcome::Taken,
        Verdict::Trouble { after_ms } => Outcome::Later(*after_ms),
        Verdict::Refused => Outcome::Later(None),
        Verdict::Never => Outcome::Never,
        Verdict::Off(why) => Outcome::Off(why.clone()),
    }
}

fn request(app: &App, hook: &HookEntry, told: &HookDeliveryEntry) -> Result<Post, String> {
    let (secrets, access_token) =
        open_secrets(app, hook).map_err(|error| format!("its secret {error}"))?;
    target::of(hook.kind).request(&Sending {
        hook,
        told,
        now: app.clock.now(),
        secrets: &secrets,
        access_token: access_token.as_ref(),
    })
}

/// The beginning of an answer as text: no letter is cut in two, and nothing that a terminal would obey.
pub(super) fn words(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut kept: String = text
        .trim_end_matches('\u{fffd}')
        .chars()
        .map(|letter| match letter {
            '\n' | '\t' => letter,
            _ if letter.is_control() => ' ',
            _ => letter,
        })
        .collect();
    while kept.len() > MAX_ANSWER_BYTES {
        kept.pop();
    }
    kept
}

/// The secrets that a hook's deliveries are signed with now, newest first, and what opens the server at its other end.
///
/// # Errors
/// Where one does not open.
pub fn open_secrets(
    app: &Daemon,
    hook: &HookEntry,
) -> Result<(Vec<Secret>, Option<Secret>), SealError> {
    let sealer = app.provisioner.sealer();
    let now = app.clock.now();
    let former = hook.former_secret.iter();
    let former = former.filter(|(_, until)| now < *until);
    let sealed = hook.secret.iter().chain(former.map(|(sealed, _)| sealed));
    let secrets: Result<Vec<_>, _> = sealed
        .map(|sealed| sealer.open(Place::HOOK_SECRET, sealed))
        .collect();
    let access_token = hook.access_token.as_ref();
    let access_token = access_token.map(|sealed| sealer.open(Place::HOOK_ACCESS, sealed));
    Ok((secrets?, access_token.transpose()?))
}

/// Seals the secrets of hooks with the daemon's present key where a former one did it. Gives the number of hooks of which one
/// does not open.
///
/// # Errors
/// Where the store cannot be read.
pub async fn reseal_all(app: &App) -> crate::store::Found<usize> {
    let mut lost = 0;
    for hook in super::all(&*app.store)? {
        match resealed(app, &hook) {
            Ok(Some(hook)) => {
                if let Err(error) = app.writer.write(ResealHook { hook }).await {
                    tracing::warn!(%error, "a hook's secrets could not be sealed anew; the next start tries again");
                }
            }
            Ok(None) => {}
            Err(_) => lost += 1,
        }
    }
    Ok(lost)
}

fn resealed(app: &App, hook: &HookEntry) -> Result<Option<HookEntry>, SealError> {
    let sealer = app.provisioner.sealer();
    let anew = |place, sealed: &SealedValue| -> Result<SealedValue, SealError> {
        if sealer.is_current(sealed) {
            return Ok(sealed.clone());
        }
        sealer.seal(place, &sealer.open(place, sealed)?)
    };
    let mut after = hook.clone();
    if let Some(secret) = &mut after.secret {
        *secret = anew(Place::HOOK_SECRET, secret)?;
    }
    if let Some((secret, _)) = &mut after.former_secret {
        *secret = anew(Place::HOOK_SECRET, secret)?;
    }
    if let Some(token) = &mut after.access_token {
        *token = anew(Place::HOOK_ACCESS, token)?;
    }
    Ok(Some(after).filter(|after| after != hook))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn o04_of_an_answer_little_is_kept_and_nothing_that_a_terminal_obeys() {
        assert_eq!(words(b"ok\x1b[31m\r\nmore\0"), "ok [31m \nmore ");
        let cut = [b"a".as_slice(), "ž".as_bytes()].concat();
        assert_eq!(words(&cut[..2]), "a");
        assert!(words(&vec![0xff; 5_000]).len() <= MAX_ANSWER_BYTES);
    }
}
