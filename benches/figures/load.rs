//! Senders: connections that are kept, each with one request under way.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::LocalSet;

use crate::daemon::Daemon;
use crate::deliveries::{Deliveries, For};
use crate::http::whole_answer;
use crate::table::{float, quantile};

/// How many platforms' connections send at once under load.
pub(crate) const CONNECTIONS: usize = 64;

/// A sender.
#[derive(Debug)]
pub(crate) struct Sender {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Sender {
    /// Connects.
    pub(crate) async fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Vec::with_capacity(4096),
        })
    }

    /// Sends a request and waits for its answer's status.
    pub(crate) async fn send(&mut self, request: &[u8]) -> Result<u16> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                bail!("the daemon closed a connection");
            }
            if let Some(end) = whole_answer(&self.buffer)? {
                if end.whole != self.buffer.len() {
                    bail!("there is more than an answer");
                }
                return Ok(end.status);
            }
        }
    }

    /// Sends a delivery, which must be taken; how long it took.
    pub(crate) async fn deliver(&mut self, request: &[u8]) -> Result<Duration> {
        let begun = Instant::now();
        match self.send(request).await? {
            200 => Ok(begun.elapsed()),
            status => bail!("a delivery was answered {status}"),
        }
    }
}

/// What a stretch of load gave.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    /// Requests a second.
    pub(crate) a_second: f64,
    /// Server CPU a request, in microseconds.
    pub(crate) cpu_us: f64,
    /// From a request to its answer, the slowest hundredth, in microseconds.
    pub(crate) p99_us: f64,
}

/// Sends `count` deliveries over [`CONNECTIONS`] connections. All are made before the first is sent.
pub(crate) async fn under_load(
    daemon: &Daemon,
    deliveries: &mut Deliveries,
    whom: For,
    count: usize,
) -> Result<Rate> {
    let requests = deliveries.many(whom, count);
    let queue = Rc::new(RefCell::new(requests.into_iter()));
    let mut senders = Vec::new();
    for _ in 0..CONNECTIONS {
        senders.push(Sender::connect(daemon.address).await?);
    }
    let took = Rc::new(RefCell::new(Vec::with_capacity(count)));
    let (cpu, begun) = (daemon.cpu_us()?, Instant::now());
    let local = LocalSet::new();
    let tasks: Vec<_> = senders
        .into_iter()
        .map(|mut sender| {
            let (queue, took) = (Rc::clone(&queue), Rc::clone(&took));
            local.spawn_local(async move {
                loop {
                    let next = queue.borrow_mut().next();
                    let Some(request) = next else {
                        return anyhow::Ok(());
                    };
                    let answered = sender.deliver(&request).await?;
                    took.borrow_mut().push(answered.as_secs_f64() * 1e6);
                }
            })
        })
        .collect();
    local.await;
    let (lasted, used) = (begun.elapsed().as_secs_f64(), daemon.cpu_us()? - cpu);
    for task in tasks {
        task.await.context("a sender panicked")??;
    }
    Ok(Rate {
        a_second: float(count) / lasted,
        cpu_us: used / float(count),
        p99_us: quantile(&mut took.borrow_mut(), 0.99),
    })
}

/// Fills a store up to `count` messages, in stretches so that the deliveries take little memory; the rate of it all.
pub(crate) async fn fill(
    daemon: &Daemon,
    deliveries: &mut Deliveries,
    count: usize,
) -> Result<f64> {
    let (begun, before) = (Instant::now(), deliveries.made);
    while deliveries.made < count {
        let next = (count - deliveries.made).min(20_000);
        under_load(daemon, deliveries, For::Us, next).await?;
    }
    Ok(float(count - before) / begun.elapsed().as_secs_f64())
}
