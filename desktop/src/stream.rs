//! Follows `GET /api/v1/events` for as long as the program runs: resumes where it was cut, and waits longer from time to
//! time while the daemon is away.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use rand::RngExt as _;
use reqwest::Response;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, timeout};

use crate::client::{Daemon, Failure};
use crate::sse::{Reader, Said};

/// The first pause before it is tried again.
const FIRST_PAUSE: Duration = Duration::from_millis(300);
/// The longest one.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// How long the daemon may make us wait.
const LONGEST_ASKED: Duration = Duration::from_secs(60);
/// How soon it is tried again where the daemon does not let us in.
const SIGNED_OUT_PAUSE: Duration = Duration::from_secs(30);
/// A stream that held for so long was a good one: the next pause is a short one again.
const GOOD: Duration = Duration::from_secs(10);
/// How many words of the stream may wait to be heard.
const QUEUE: usize = 1_024;

/// What the line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// It is open. When that was, by the daemon's clock and to the second.
    Up(Option<Timestamp>),
    /// Something was said.
    Said(Said),
    /// It is gone.
    Down(String),
    /// The daemon does not let us in.
    SignedOut(String),
}

/// A line that is followed.
#[derive(Debug)]
pub struct Stream {
    /// What it says.
    pub words: mpsc::Receiver<Word>,
    /// Cuts it and opens it anew at once: after the computer slept, whatever is open is dead and does not know.
    pub anew: Arc<Notify>,
}

/// Pauses that grow, and are never the same for two who were cut at the same moment.
#[derive(Debug)]
pub struct Pauses {
    next: Duration,
}

impl Default for Pauses {
    fn default() -> Self {
        Self { next: FIRST_PAUSE }
    }
}

impl Pauses {
    /// The next pause. `chance` is from 0 to 1; `asked` is what the daemon asked for.
    pub fn next(&mut self, chance: f64, asked: Option<Duration>) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(LONGEST_PAUSE);
        let pause = pause.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0);
        pause.max(asked.unwrap_or_default().min(LONGEST_ASKED))
    }
}

/// Follows the stream of a daemon from behind `position`. `find` gives the daemon anew each time, since this computer may
/// have been paired again meanwhile.
pub fn follow(
    mut position: Option<u64>,
    find: impl Fn() -> Option<Daemon> + Send + 'static,
) -> Stream {
    let (tell, words) = mpsc::channel(QUEUE);
    let anew = Arc::new(Notify::new());
    let cut = Arc::clone(&anew);
    tokio::spawn(async move {
        let mut pauses = Pauses::default();
        loop {
            let begun = Instant::now();
            let (word, asked) = match find() {
                Some(daemon) => tokio::select! {
                    end = once(&daemon, &mut position, &tell) => match end {
                        Some(end) => end,
                        None => return,
                    },
                    () = cut.notified() => {
                        pauses = Pauses::default();
                        (Word::Down("it is opened anew".to_owned()), None)
                    }
                },
                None => (
                    Word::SignedOut("this computer is not paired".to_owned()),
                    Some(SIGNED_OUT_PAUSE),
                ),
            };
            if begun.elapsed() > GOOD {
                pauses = Pauses::default();
            }
            if tell.send(word).await.is_err() {
                return;
            }
            let pause = pauses.next(rand::rng().random(), asked);
            // Whoever wants it anew does not want to wait either.
            if timeout(pause, cut.notified()).await.is_ok() {
                pauses = Pauses::default();
            }
        }
    });
    Stream { words, anew }
}

/// One stream, from its beginning to its end; `None` where nobody listens any more.
async fn once(
    daemon: &Daemon,
    position: &mut Option<u64>,
    tell: &mpsc::Sender<Word>,
) -> Option<(Word, Option<Duration>)> {
    let answer = match daemon.events(*position).await {
        Ok(answer) => answer,
        Err(Failure::SignedOut(words)) => {
            return Some((Word::SignedOut(words), Some(SIGNED_OUT_PAUSE)));
        }
        Err(Failure::Refused {
            status: 403,
            detail,
            ..
        }) => {
            return Some((Word::SignedOut(detail), Some(SIGNED_OUT_PAUSE)));
        }
        // A position that the daemon cannot read is worth nothing.
        Err(Failure::Refused {
            status: 400,
            detail,
            ..
        }) => {
            *position = None;
            return Some((Word::Down(detail), None));
        }
        Err(Failure::Refused {
            detail,
            retry_after,
            ..
        }) => return Some((Word::Down(detail), retry_after)),
        Err(Failure::Away(words)) => return Some((Word::Down(words), None)),
    };
    tell.send(Word::Up(date(&answer))).await.ok()?;
    let mut answer = answer;
    let mut reader = Reader::default();
    loop {
        match answer.chunk().await {
            Ok(Some(bytes)) => {
                for said in reader.read(&bytes) {
                    match &said {
                        Said::Event { id: Some(id), .. } => *position = Some(*id),
                        Said::Position(at) => *position = Some(*at),
                        _ => {}
                    }
                    tell.send(Word::Said(said)).await.ok()?;
                }
            }
            Ok(None) => {
                return Some((
                    Word::Down("the daemon has closed the stream".to_owned()),
                    None,
                ));
            }
            Err(error) if error.is_timeout() => {
                return Some((
                    Word::Down("the stream was silent for too long".to_owned()),
                    None,
                ));
            }
            Err(error) => return Some((Word::Down(format!("the stream broke: {error}")), None)),
        }
    }
}

fn date(answer: &Response) -> Option<Timestamp> {
    let date = answer.headers().get("date")?.to_str().ok()?;
    Some(rfc2822::parse(date).ok()?.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_have_an_end_and_follow_what_the_daemon_asks() {
        let mut pauses = Pauses::default();
        let all: Vec<Duration> = (0..12).map(|_| pauses.next(1.0, None)).collect();
        assert_eq!(all[0], FIRST_PAUSE);
        assert!(all.windows(2).all(|pair| pair[0] <= pair[1]));
        assert_eq!(all[11], LONGEST_PAUSE);
        assert_eq!(
            pauses.next(0.0, None),
            LONGEST_PAUSE / 2,
            "two who were cut together do not come together"
        );
        let asked = Some(Duration::from_secs(40));
        assert_eq!(pauses.next(0.5, asked), Duration::from_secs(40));
        assert_eq!(
            pauses.next(0.5, Some(Duration::from_secs(9_999))),
            LONGEST_ASKED
        );
        // From the start to the longest pause it takes less than the half minute after which the daemon counts as lost.
        let mut pauses = Pauses::default();
        let tries: Duration = (0..6).map(|_| pauses.next(1.0, None)).sum();
        assert!(tries < Duration::from_secs(20), "{tries:?}");
    }
}
