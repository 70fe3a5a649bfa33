//! Clients of the live stream.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::daemon::ADMIN;
use crate::table::float;

/// What all clients have heard together.
#[derive(Debug, Default)]
struct Heard {
    messages: Cell<usize>,
    bytes: Cell<usize>,
    wanted: Cell<usize>,
    done_at: Cell<Option<Instant>>,
    bell: Notify,
}

impl Heard {
    fn add(&self, messages: usize) {
        self.messages.set(self.messages.get() + messages);
        if self.messages.get() >= self.wanted.get() && self.done_at.get().is_none() {
            self.done_at.set(Some(Instant::now()));
            self.bell.notify_one();
        }
    }
}

/// Open streams. They need a `LocalSet` around them.
#[derive(Debug)]
pub(crate) struct Clients {
    heard: Rc<Heard>,
    tasks: Vec<JoinHandle<()>>,
}

impl Clients {
    /// Opens `count` streams that begin now.
    pub(crate) async fn open(address: SocketAddr, count: usize) -> Result<Self> {
        let heard = Rc::new(Heard::default());
        let mut tasks = Vec::new();
        for _ in 0..count {
            let mut stream = TcpStream::connect(address).await?;
            let request = format!(
                "GET /api/v1/events HTTP/1.1\r\nhost: desk\r\nauthorization: Bearer {ADMIN}\r\n\r\n"
            );
            stream.write_all(request.as_bytes()).await?;
            let mut text = Vec::new();
            // The greeting says that it listens.
            while !text.windows(7).any(|window| window == b": hello") {
                let read = stream.read_buf(&mut text).await?;
                if read == 0 {
                    let said = String::from_utf8_lossy(&text).into_owned();
                    anyhow::bail!("a stream did not open: {said}");
                }
            }
            tasks.push(tokio::task::spawn_local(listen(stream, Rc::clone(&heard))));
        }
        Ok(Self { heard, tasks })
    }

    /// From now on `a_client` more messages are awaited at each.
    pub(crate) fn expect(&self, a_client: usize) {
        let heard = &self.heard;
        heard.done_at.set(None);
        heard
            .wanted
            .set(heard.messages.get() + a_client * self.tasks.len());
    }

    /// When the last of them was heard.
    pub(crate) async fn heard_at(&self) -> Result<Instant> {
        loop {
            if let Some(at) = self.heard.done_at.get() {
                return Ok(at);
            }
            let waited = tokio::time::timeout(
                std::time::Duration::from_secs(30),
                self.heard.bell.notified(),
            );
            waited.await.with_context(|| {
                let missing = self.heard.wanted.get() - self.heard.messages.get();
                format!("{missing} deliveries to clients of the stream never came")
            })?;
        }
    }

    /// How long a message is on the stream, on average.
    pub(crate) fn bytes_a_message(&self) -> usize {
        self.heard.bytes.get() / self.heard.messages.get().max(1)
    }

    /// How many there are.
    pub(crate) fn count(&self) -> f64 {
        float(self.tasks.len())
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Counts the messages that a stream tells of, until it ends.
async fn listen(mut stream: TcpStream, heard: Rc<Heard>) {
    let mut text = Vec::with_capacity(4096);
    while stream.read_buf(&mut text).await.is_ok_and(|read| read > 0) {
        let Some(end) = text.iter().rposition(|byte| *byte == b'\n') else {
            continue;
        };
        let messages = text[..end]
            .split(|byte| *byte == b'\n')
            .filter(|line| line.starts_with(b"event: message.created"))
            .count();
        let bytes = end + 1;
        text.drain(..=end);
        if messages > 0 {
            heard.bytes.set(heard.bytes.get() + bytes);
            heard.add(messages);
        }
    }
}
