//! What is done: notifications, sounds, and what the daemon is told.

use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};

use super::{Done, Runner};
use crate::browser;
use crate::client::{Daemon, Failure};
use crate::notices::Notice;
use crate::policy::{Action, Tune};
use crate::text;
use crate::wire::Conversation;

/// How often a thing is told to a daemon that is away for a moment.
const TRIES: u32 = 4;
/// The pause before it is told again; it doubles.
const PAUSE: Duration = Duration::from_millis(500);

/// What comes of a sound; many may wait for it.
pub(super) type Stroke = Shared<BoxFuture<'static, Result<(), String>>>;

/// Whether what is shown is also heard.
#[derive(Clone)]
enum Hearing {
    /// By this sound.
    By(Stroke),
    /// No, and nobody wants it to be.
    Off(&'static str),
}

impl Runner {
    pub(super) fn act(&mut self, action: Action) {
        match action {
            Action::Show {
                conversation,
                ring,
                step,
                tell,
            } => self.show(&conversation, &ring, step, tell),
            Action::Close { conversation } => self.notices.close(&conversation),
            Action::Others { count, tell } => self.others(count, tell),
            Action::Strike { tune, step } => self.strike(tune, step),
            Action::Silence => self.player.silence(),
            Action::Lost { for_ms } => {
                let since = i64::try_from(for_ms).unwrap_or(0);
                let since = self
                    .clock
                    .hour_of(self.clock.wall() - jiff::SignedDuration::from_millis(since));
                let words = format!(
                    "No connection to {} since {since}. Customers who write now are not heard here.",
                    self.server()
                );
                tracing::error!("{words}");
                self.tell_person("line", "Deskbell has lost the desk", &words, false);
            }
            Action::Back { away_ms } => {
                self.notices.close("line");
                let words = format!(
                    "Connected again after {}. Whoever wrote meanwhile rings now.",
                    text::span(away_ms)
                );
                tracing::info!("{words}");
                self.tell_person("note", "Deskbell is back", &words, true);
            }
            Action::SignedOut => {
                let words = format!(
                    "{} does not let this computer in any more, so that nothing rings here. Pair it again: deskbell-desktop pair --server {}",
                    self.server(),
                    self.daemon.account().server
                );
                tracing::error!("{words}");
                self.tell_person("line", "Deskbell was signed out", &words, false);
            }
            Action::SignedIn => {
                self.notices.close("line");
                self.tell_person(
                    "note",
                    "Deskbell is back",
                    "This computer is signed in again.",
                    true,
                );
            }
        }
    }

    fn server(&self) -> String {
        let server = &self.daemon.account().server;
        server.host_str().unwrap_or("the desk").to_owned()
    }

    /// Shows that somebody waits, and tells the daemon what came of it.
    fn show(&mut self, id: &str, ring: &str, step: u32, tell: bool) {
        let known_ring = self.policy.ring_of(id);
        let since = known_ring.and_then(|ring| ring.started_at);
        let alarm = known_ring.filter(|ring| ring.conversation_id.is_none());
        let text = |text: &Option<String>| text::clean(text.as_deref().unwrap_or_default(), 400);
        let alarm = alarm.map(|ring| (text(&ring.title), text(&ring.detail)));
        let frame = Frame {
            channels: self.channels.clone(),
            channel: known_ring
                .and_then(|ring| ring.channel_id.clone())
                .unwrap_or_default(),
            alarm,
            key: id.to_owned(),
            since: since.map(|since| self.clock.hour_of(since)),
            step,
            preview: self.settings.preview,
        };
        let known = self.known.get(id).cloned();
        let heard = tell.then(|| self.hearing());
        let (daemon, notices) = (self.daemon.clone(), self.notices.clone());
        let (id, ring) = (id.to_owned(), ring.to_owned());
        // Shown at once with what is known, and better when more is.
        let showing = notices.show(frame.notice(known.as_ref()));
        self.beside(async move {
            let result = showing.await;
            if let Err(words) = &result {
                tracing::error!(words, "a notification could not be shown");
            }
            if let Some(heard) = heard {
                tokio::spawn(tell_shown(daemon.clone(), ring, result, heard));
            }
            if known.is_some() || frame.alarm.is_some() {
                return Done::Showed(id);
            }
            match daemon.conversation(&id).await {
                Ok(conversation) => {
                    // What was not shown before is not shown now.
                    let _ = notices.show(frame.notice(Some(&conversation))).await;
                    Done::Knows(Box::new(conversation))
                }
                Err(_) => Done::Showed(id),
            }
        });
    }

    /// Shows how many more wait.
    fn others(&mut self, count: usize, tell: Vec<String>) {
        if count == 0 {
            return self.notices.close("others");
        }
        let notice = Notice {
            key: "others".to_owned(),
            title: match count {
                1 => "One more customer waits".to_owned(),
                count => format!("{count} more customers wait"),
            },
            body: "They are in the desk.".to_owned(),
            critical: false,
            passing: false,
            buttons: vec![("open", "Open")],
        };
        let heard = self.hearing();
        let (daemon, showing) = (self.daemon.clone(), self.notices.show(notice));
        self.beside(async move {
            let result = showing.await;
            tokio::spawn(async move {
                for ring in tell {
                    tell_shown(daemon.clone(), ring, result.clone(), heard.clone()).await;
                }
            });
            Done::Nothing
        });
    }

    /// What the daemon is told of the sound.
    fn hearing(&self) -> Hearing {
        let minute = self.clock.moment().minute;
        match &self.stroke {
            _ if self.settings.is_quiet(minute) => {
                Hearing::Off("Shown without a sound: the quiet hours of this computer.")
            }
            Some(stroke) if self.settings.sounds(minute) => Hearing::By(stroke.clone()),
            _ => Hearing::Off("Shown without a sound: it is turned off on this computer."),
        }
    }

    fn strike(&mut self, tune: Tune, step: u32) {
        let (player, volume) = (self.player.clone(), self.settings.volume);
        let stroke = async move { player.play(tune, step, volume).await };
        let stroke = stroke.boxed().shared();
        self.stroke = Some(stroke.clone());
        self.beside(async move { Done::Struck(stroke.await) });
    }

    /// Says once that nothing can be heard, and takes it back when it can.
    pub(super) fn struck(&mut self, trouble: Option<String>) {
        if trouble == self.silent_because {
            return;
        }
        match &trouble {
            Some(words) => {
                tracing::error!(words, "nothing can be heard");
                let words =
                    format!("{words}. Messages are shown and not heard until that is right.");
                self.tell_person("sound", "Deskbell cannot be heard here", &words, false);
            }
            None => self.notices.close("sound"),
        }
        self.silent_because = trouble;
    }

    /// Tells the person something; what is not passing nobody may overlook.
    pub(super) fn tell_person(&self, key: &str, title: &str, words: &str, passing: bool) {
        let notice = Notice {
            key: key.to_owned(),
            title: title.to_owned(),
            body: text::clean(words, 400),
            critical: !passing,
            passing,
            buttons: Vec::new(),
        };
        let showing = self.notices.show(notice);
        tokio::spawn(async move {
            if let Err(words) = showing.await {
                tracing::error!(words, "a notification could not be shown");
            }
        });
    }

    pub(super) fn take(&self, conversation: String, ring: String) {
        let daemon = self.daemon.clone();
        self.beside(async move {
            let result = again(|| daemon.take(&ring)).await;
            Done::Took {
                conversation,
                ring,
                result,
            }
        });
    }

    pub(super) fn open(&self, conversation: Option<&str>) {
        if let Err(error) = browser::open(&self.daemon.desk_url(conversation)) {
            tracing::error!("{error:#}");
            self.tell_person(
                "note",
                "Deskbell: the desk could not be opened",
                &format!("{error:#}"),
                true,
            );
        }
    }

    /// Shows and sounds as if somebody waited; of a test of the daemon's it hears what came of it.
    pub(super) fn test(&self, test: Option<String>) {
        let (daemon, player) = (self.daemon.clone(), self.player.clone());
        let (sound, volume) = (self.settings.sound, self.settings.volume);
        let showing = self.notices.show(example());
        self.beside(async move {
            let seen = showing.await;
            let heard = if sound {
                player.play(Tune::Bell, 0, volume).await
            } else {
                Ok(())
            };
            if let Some(test) = test {
                let failed = troubles(&seen, &heard);
                if let Err(failure) = again(|| daemon.confirm(&test, failed.as_deref())).await {
                    tracing::warn!(%failure, "a test could not be confirmed");
                }
            }
            Done::Struck(heard)
        });
    }

    /// Looks whether it could show and sound, so that nobody notices, and tells the daemon.
    pub(super) fn silent_test(&self, test: String) {
        let (daemon, notices, player) = (
            self.daemon.clone(),
            self.notices.clone(),
            self.player.clone(),
        );
        let sound = self.settings.sound;
        tokio::spawn(async move {
            let seen = notices.probe().await.map(drop);
            let heard = if sound { player.probe().await } else { Ok(()) };
            let failed = troubles(&seen, &heard);
            if let Err(failure) = again(|| daemon.confirm(&test, failed.as_deref())).await {
                tracing::warn!(%failure, "a test could not be confirmed");
            }
        });
    }
}

/// What a notification says, as far as it is known before the conversation is.
struct Frame {
    channels: std::collections::HashMap<String, String>,
    channel: String,
    /// What is wrong, where it is an alarm: in a few words, and in more.
    alarm: Option<(String, String)>,
    key: String,
    since: Option<String>,
    step: u32,
    preview: bool,
}

impl Frame {
    fn notice(&self, conversation: Option<&Conversation>) -> Notice {
        let slug = conversation.map_or(&self.channel, |one| &one.channel_id);
        let channel = self
            .channels
            .get(slug)
            .filter(|name| !name.is_empty())
            .unwrap_or(slug);
        let (title, body) = match &self.alarm {
            Some((title, detail)) => (format!("Deskbell: {title}"), detail.clone()),
            None => (
                text::title(conversation, channel),
                text::body(conversation, self.since.as_deref(), self.step, self.preview),
            ),
        };
        Notice {
            key: self.key.clone(),
            title,
            body,
            // Somebody has waited for a step already: it stays on the screen, whatever else is shown.
            critical: self.step > 1,
            passing: false,
            buttons: vec![("take", "Take"), ("open", "Open")],
        }
    }
}

/// What a test shows.
pub(crate) fn example() -> Notice {
    Notice {
        key: "test".to_owned(),
        title: "Deskbell: this is a test".to_owned(),
        body: "So it looks and sounds when a customer waits.".to_owned(),
        critical: false,
        passing: true,
        buttons: Vec::new(),
    }
}

/// What went wrong, in words.
fn troubles(seen: &Result<(), String>, heard: &Result<(), String>) -> Option<String> {
    let troubles: Vec<String> = [
        seen.as_ref()
            .err()
            .map(|words| format!("Not shown: {words}.")),
        heard
            .as_ref()
            .err()
            .map(|words| format!("Not heard: {words}.")),
    ]
    .into_iter()
    .flatten()
    .collect();
    (!troubles.is_empty()).then(|| troubles.join(" "))
}

/// Tells the daemon what came of a ring here.
async fn tell_shown(daemon: Daemon, ring: String, seen: Result<(), String>, heard: Hearing) {
    let (heard, remark) = match heard {
        Hearing::By(stroke) => (stroke.await, None),
        Hearing::Off(why) => (Ok(()), Some(why)),
    };
    let failed = troubles(&seen, &heard);
    let detail = failed.as_deref().or(remark);
    let told = again(|| daemon.shown(&ring, failed.is_some(), detail)).await;
    if let Err(failure) = told {
        // The ledger misses a line; who rings next does not depend on it.
        tracing::warn!(%failure, "the daemon could not be told what was shown");
    }
}

/// Does something again while the daemon is away for a moment.
async fn again<T, F>(deed: impl Fn() -> F) -> Result<T, Failure>
where
    F: Future<Output = Result<T, Failure>>,
{
    let mut pause = PAUSE;
    for _ in 1..TRIES {
        match deed().await {
            Err(
                Failure::Away(_)
                | Failure::Refused {
                    status: 429 | 500..,
                    ..
                },
            ) => {}
            result => return result,
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
    deed().await
}
