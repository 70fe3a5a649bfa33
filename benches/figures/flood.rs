//! A flood of sign-ins: each takes 19 MiB and a core for some hundredths of a second, and deliveries go on (S14).

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::task::{JoinSet, LocalSet};

use crate::load::Sender;

/// How many people try to sign in at once.
pub(crate) const PEOPLE: usize = 500;
/// How long one waits who was told to come again.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// What became of the tries.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tries {
    /// How many there were.
    made: usize,
    /// Whose password was looked at.
    pub(crate) refused: usize,
    /// Who was told to come again.
    pub(crate) put_off: usize,
}

/// People with wrong passwords, each at an address of their own, who try again and again. They have a thread of their own:
/// what is measured beside them must not wait for the measuring program.
#[derive(Debug)]
pub(crate) struct Flood {
    stop: oneshot::Sender<()>,
    thread: std::thread::JoinHandle<Result<Tries>>,
}

impl Flood {
    /// Lets them begin, and waits until each was heard or stands in the queue.
    pub(crate) async fn begin(address: SocketAddr) -> Result<Self> {
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("flood".to_owned());
        let thread = thread.spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            LocalSet::new().block_on(&runtime, all(address, stopped))
        })?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok(Self { stop, thread })
    }

    /// Ends it.
    pub(crate) fn end(self) -> Result<Tries> {
        // A thread that has failed does not listen, and says why.
        let _ = self.stop.send(());
        let tries = self.thread.join().ok().context("the flood panicked")??;
        if tries.refused == 0 || tries.put_off == 0 {
            bail!("that was no flood: {tries:?}");
        }
        Ok(tries)
    }
}

async fn all(address: SocketAddr, stopped: oneshot::Receiver<()>) -> Result<Tries> {
    let tries = Rc::default();
    let mut people = JoinSet::new();
    for _ in 0..PEOPLE {
        people.spawn_local(one(address, Rc::clone(&tries)));
    }
    tokio::select! {
        _ = stopped => Ok(tries.get()),
        Some(failed) = people.join_next() => {
            failed.context("somebody panicked")??;
            bail!("somebody went")
        }
    }
}

async fn one(address: SocketAddr, tries: Rc<Cell<Tries>>) -> Result<()> {
    let mut sender = Sender::connect(address).await?;
    loop {
        let mut so_far = tries.get();
        let number = so_far.made;
        so_far.made += 1;
        tries.set(so_far);
        let body = format!(r#"{{"email":"{number}@shop.example","password":"a wrong password"}}"#);
        let request = format!(
            "POST /api/v1/session HTTP/1.1\r\nhost: desk\r\ncontent-type: application/json\r\nx-forwarded-for: 10.{}.{}.{}\r\nx-forwarded-proto: http\r\ncontent-length: {}\r\n\r\n{body}",
            number / 62_500 % 250,
            number / 250 % 250,
            number % 250 + 1,
            body.len()
        );
        let status = sender.send(request.as_bytes()).await?;
        let mut so_far = tries.get();
        match status {
            401 => {
                so_far.refused += 1;
                tries.set(so_far);
            }
            429 => {
                so_far.put_off += 1;
                tries.set(so_far);
                tokio::time::sleep(AGAIN_AFTER).await;
            }
            status => bail!("a sign-in was answered {status}"),
        }
    }
}
