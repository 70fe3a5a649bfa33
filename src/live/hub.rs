//! Hands frames to all who read the stream, in passes over the readers, each with whatever has come meanwhile: on a thread of
//! its own in the daemon, so that who says something does not wait for a thousand readers.
//!
//! A reader who waits has left its [`Seat`] here, so that it is shown what it may see without being woken. Where that
//! cannot be done (it is on its way, its connection takes no direct writes, its rights have changed), the frames are kept
//! for it and its own task is woken.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::seat::{Chunks, PASS_FRAMES, Seat, Shown};
use super::{Frame, lock};

/// How many events a reader may lag behind before it is dropped; it can resume from the log.
const LAG_EVENTS: usize = 4_096;
/// From so many frames on that no reader has yet, nothing more is read from the log.
const ENOUGH: usize = 256;
/// How many readers are looked at without letting others come or go.
const STRIDE: usize = 64;

/// The hub.
#[derive(Debug)]
pub(super) struct Hub {
    coming: Mutex<Coming>,
    wake: Condvar,
    /// Told when less than [`ENOUGH`] wait.
    room: Notify,
    readers: Mutex<Readers>,
    /// Else a pass is done by who says something.
    has_thread: bool,
}

#[derive(Debug, Default)]
struct Coming {
    frames: VecDeque<Arc<Frame>>,
    /// A pass is being done: two at once would mix what they have.
    in_pass: bool,
    /// Nobody can say anything any more.
    is_over: bool,
}

#[derive(Debug, Default)]
struct Readers {
    last: u64,
    /// By number, so that a pass finds its way however they come and go.
    all: BTreeMap<u64, Arc<Slot>>,
}

/// What is kept for one reader.
#[derive(Debug, Default)]
struct Slot(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    frames: VecDeque<Arc<Frame>>,
    /// More came than a reader may lag behind; it is not told any more.
    lagged: bool,
    /// Here while the reader waits.
    seat: Option<Box<Seat>>,
    waker: Option<Waker>,
}

/// The reader was too slow: it has missed something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lagged;

/// Everything from when it was made on. Dropped, it is forgotten.
#[derive(Debug)]
pub struct Subscription {
    hub: Arc<Hub>,
    number: u64,
    slot: Arc<Slot>,
}

impl Hub {
    /// Without a thread: everything is told at once, and in the same order each time.
    pub(super) fn here() -> Arc<Self> {
        Arc::new(Self::new(false))
    }

    /// With a thread, which ends with [`Hub::is_over`].
    pub(super) fn on_its_thread() -> std::io::Result<Arc<Self>> {
        let hub = Arc::new(Self::new(true));
        let worker = Arc::clone(&hub);
        std::thread::Builder::new()
            .name("deskbell-live".to_owned())
            .spawn(move || while worker.waits() {})?;
        Ok(hub)
    }

    fn new(has_thread: bool) -> Self {
        Self {
            coming: Mutex::default(),
            wake: Condvar::new(),
            room: Notify::new(),
            readers: Mutex::default(),
            has_thread,
        }
    }

    /// Nobody will say anything any more.
    pub(super) fn is_over(&self) {
        lock(&self.coming).is_over = true;
        self.wake.notify_one();
    }

    pub(super) fn subscribe(self: &Arc<Self>) -> Subscription {
        let slot = Arc::<Slot>::default();
        let mut readers = lock(&self.readers);
        readers.last += 1;
        let number = readers.last;
        readers.all.insert(number, Arc::clone(&slot));
        drop(readers);
        Subscription {
            hub: Arc::clone(self),
            number,
            slot,
        }
    }

    pub(super) fn has_readers(&self) -> bool {
        !lock(&self.readers).all.is_empty()
    }

    /// Hands them to all readers, soon and in this order.
    pub(super) fn say(&self, frames: impl IntoIterator<Item = Arc<Frame>>) {
        lock(&self.coming).frames.extend(frames);
        if self.has_thread {
            self.wake.notify_one();
        } else {
            while self.tells() {}
        }
    }

    /// Waits until there is room for more, so that a long log is not in memory at once.
    pub(super) async fn room(&self) {
        loop {
            let told = self.room.notified();
            if lock(&self.coming).frames.len() < ENOUGH {
                return;
            }
            told.await;
        }
    }

    /// Wakes every reader's task, so that it sees that the daemon stops.
    pub(super) fn wake_all(&self) {
        let all: Vec<_> = lock(&self.readers).all.values().cloned().collect();
        for slot in all {
            let waker = lock(&slot.0).waker.clone();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    /// Waits for something to tell, and tells it; `false` where nothing will come any more.
    fn waits(&self) -> bool {
        let mut coming = lock(&self.coming);
        while coming.frames.is_empty() && !coming.is_over {
            coming = self
                .wake
                .wait(coming)
                .unwrap_or_else(PoisonError::into_inner);
        }
        drop(coming);
        self.tells()
    }

    /// One pass; `false` where there is nothing to tell, or somebody else is at it.
    fn tells(&self) -> bool {
        let mut coming = lock(&self.coming);
        if coming.in_pass || coming.frames.is_empty() {
            return false;
        }
        let count = coming.frames.len().min(PASS_FRAMES);
        let frames: Vec<_> = coming.frames.drain(..count).collect();
        if coming.frames.len() < ENOUGH {
            self.room.notify_waiters();
        }
        coming.in_pass = true;
        drop(coming);
        let passed = catch_unwind(AssertUnwindSafe(|| self.pass(&frames)));
        lock(&self.coming).in_pass = false;
        if let Err(panic) = passed {
            self.end_all();
            if !self.has_thread {
                resume_unwind(panic);
            }
            tracing::error!("telling the live stream panicked: its readers resume from the log");
        }
        true
    }

    /// Nobody knows who was told what: all have to resume.
    fn end_all(&self) {
        let all: Vec<_> = lock(&self.readers).all.values().cloned().collect();
        for slot in all {
            lock(&slot.0).lags();
        }
        self.wake_all();
    }

    fn pass(&self, frames: &[Arc<Frame>]) {
        let mut chunks = Chunks::new(frames);
        let now = Instant::now();
        let (mut directly, mut woken) = (0, 0);
        let mut behind = Bound::Unbounded;
        loop {
            let some: Vec<_> = lock(&self.readers)
                .all
                .range((behind, Bound::Unbounded))
                .take(STRIDE)
                .map(|(number, slot)| (*number, Arc::clone(slot)))
                .collect();
            for (number, slot) in &some {
                match slot.tell(&mut chunks, now) {
                    Told::Nothing => {}
                    Told::Directly => directly += 1,
                    Told::Woken => woken += 1,
                }
                behind = Bound::Excluded(*number);
            }
            if some.len() < STRIDE {
                break;
            }
        }
        for (way, count) in [("direct", directly), ("task", woken)] {
            metrics::counter!("deskbell_stream_writes_total", "way" => way).increment(count);
        }
    }
}

/// How a reader was told of the frames of a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// It may see none of them, or is too slow to be told.
    Nothing,
    /// Here.
    Directly,
    /// By its own task.
    Woken,
}

impl Kept {
    fn lags(&mut self) {
        self.frames = VecDeque::new();
        self.lagged = true;
    }
}

impl Slot {
    fn tell(&self, chunks: &mut Chunks<'_>, now: Instant) -> Told {
        let mut kept = lock(&self.0);
        if kept.lagged {
            return Told::Nothing;
        }
        // Nothing may overtake what is kept: what is older than what was shown is taken for shown.
        let nothing_waits = kept.frames.is_empty();
        let shown = match &mut kept.seat {
            Some(seat) if nothing_waits => seat.show_all(chunks, now),
            _ => Shown::NotHere,
        };
        match shown {
            Shown::Nothing => return Told::Nothing,
            Shown::All => return Told::Directly,
            Shown::Begun => {}
            Shown::NotHere => {
                kept.frames.extend(chunks.frames().iter().cloned());
                if kept.frames.len() > LAG_EVENTS {
                    kept.lags();
                }
            }
        }
        let waker = kept.waker.take();
        drop(kept);
        if let Some(waker) = waker {
            waker.wake();
        }
        Told::Woken
    }
}

impl Subscription {
    /// The next frame. Until it is there the reader's seat is left at the hub, which may show it frames by itself: then
    /// they do not come here. The seat is back in `seat` when this is ready.
    pub fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
        seat: &mut Option<Box<Seat>>,
    ) -> Poll<Result<Arc<Frame>, Lagged>> {
        let mut kept = lock(&self.slot.0);
        if let Some(left) = kept.seat.take() {
            *seat = Some(left);
        }
        if kept.lagged {
            return Poll::Ready(Err(Lagged));
        }
        if let Some(frame) = kept.frames.pop_front() {
            if kept.frames.is_empty() && kept.frames.capacity() > PASS_FRAMES {
                kept.frames = VecDeque::new();
            }
            return Poll::Ready(Ok(frame));
        }
        kept.seat = seat.take();
        match &kept.waker {
            Some(waker) if waker.will_wake(cx.waker()) => {}
            _ => kept.waker = Some(cx.waker().clone()),
        }
        Poll::Pending
    }

    /// Takes the seat back, where it was left.
    pub fn take_seat(&mut self, seat: &mut Option<Box<Seat>>) {
        if let Some(left) = lock(&self.slot.0).seat.take() {
            *seat = Some(left);
        }
    }

    /// The next frame, for who has no seat.
    pub async fn frame(&mut self) -> Result<Arc<Frame>, Lagged> {
        std::future::poll_fn(|cx| self.poll_frame(cx, &mut None)).await
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        lock(&self.hub.readers).all.remove(&self.number);
    }
}
