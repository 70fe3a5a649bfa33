//! A reader's seat: who reads, with which rights, and up to where. It is shown what it may see and nothing else.

use std::sync::Arc;

use axum::body::Bytes;
use tokio::time::Instant;

use super::{Frame, Sight};
use crate::access::Caller;
use crate::app::App;
use crate::server::{Chunk, DirectWriter, Written};
use crate::store::entry::Right;

/// How many frames one pass has at most: a bit for each in [`Chunks`].
pub(super) const PASS_FRAMES: usize = u64::BITS as usize;

/// The seat of a reader of the stream.
#[derive(Debug)]
pub struct Seat {
    app: App,
    caller: Caller,
    /// What [`crate::access::Access::changes`] said when the caller was last looked up.
    access_seen: Option<u64>,
    /// Everything up to here was shown or is not for this reader.
    pub seen: u64,
    /// When it last heard something.
    pub told_at: Instant,
    /// Writes to it without waking it, where that can be done.
    line: Option<DirectWriter>,
}

/// What became of frames that were to be shown at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    /// The reader may see none of them.
    Nothing,
    /// The reader has of them what it may see.
    All,
    /// So it is once its task has been woken.
    Begun,
    /// Its own task has to show them.
    NotHere,
}

/// The frames of one pass, and the pieces that were made of them: most readers see the same.
pub(super) struct Chunks<'a> {
    frames: &'a [Arc<Frame>],
    /// By which of the frames are in them, a bit for each.
    made: Vec<(u64, Option<Chunk>)>,
}

impl<'a> Chunks<'a> {
    /// Of at most [`PASS_FRAMES`].
    pub(super) const fn new(frames: &'a [Arc<Frame>]) -> Self {
        Self {
            frames,
            made: Vec::new(),
        }
    }

    pub(super) const fn frames(&self) -> &'a [Arc<Frame>] {
        self.frames
    }

    fn of(&mut self, which: u64) -> Option<&Chunk> {
        let place = match self.made.iter().position(|(made, _)| *made == which) {
            Some(place) => place,
            None => {
                let chosen = self.frames.iter().enumerate();
                let texts = chosen
                    .filter(|(place, _)| which & (1 << place) != 0)
                    .map(|(_, frame)| &frame.text[..]);
                self.made.push((which, Chunk::of(texts)));
                self.made.len() - 1
            }
        };
        self.made[place].1.as_ref()
    }
}

impl Seat {
    /// Of this caller, who has seen everything up to `seen`; whether it still may hear is looked up with the first frame.
    #[must_use]
    pub const fn new(
        app: App,
        caller: Caller,
        seen: u64,
        line: Option<DirectWriter>,
        now: Instant,
    ) -> Self {
        Self {
            app,
            caller,
            access_seen: None,
            seen,
            told_at: now,
            line,
        }
    }

    /// Who reads.
    #[must_use]
    pub const fn caller(&self) -> &Caller {
        &self.caller
    }

    /// The frame as the caller may see it at this moment (T02); `None`: the stream ends.
    pub fn show(&mut self, frame: &Frame) -> Option<Option<Bytes>> {
        let now = self.app.access.changes();
        if now.is_none() || now != self.access_seen {
            self.look_up_caller(false)?;
            self.access_seen = now;
        }
        Some(frame.text_for(&self.caller, &*self.app.store, &self.app.view()))
    }

    /// Shows those that it may see at this moment (T02) and has not seen, by itself and all of them or none.
    pub(super) fn show_all(&mut self, chunks: &mut Chunks<'_>, now: Instant) -> Shown {
        let changes = self.app.access.changes();
        if changes.is_none() || changes != self.access_seen {
            return Shown::NotHere;
        }
        let mut which = 0_u64;
        let mut seen = self.seen;
        for (place, frame) in chunks.frames().iter().enumerate() {
            if frame.seq.is_some_and(|seq| seq <= seen) {
                continue;
            }
            match frame.sight_of(&self.caller) {
                Sight::Hidden => {}
                Sight::Plain => which |= 1 << place,
                // Made for this reader alone, from the store.
                Sight::Personal => return Shown::NotHere,
            }
            seen = frame.seq.unwrap_or(seen);
        }
        let Some(chunk) = chunks.of(which) else {
            self.seen = seen;
            return Shown::Nothing;
        };
        let written = self
            .line
            .as_ref()
            .map_or(Written::Nothing, |line| line.write(chunk));
        let shown = match written {
            Written::Nothing => return Shown::NotHere,
            Written::Begun => Shown::Begun,
            Written::Whole => Shown::All,
        };
        self.seen = seen;
        self.told_at = now;
        shown
    }

    /// Who the caller is by now, with the rights and channels of now; `None` where the door is closed. Where the store
    /// cannot tell, the stream stays as it is if nothing is known to have changed.
    pub fn look_up_caller(&mut self, stays_in_doubt: bool) -> Option<()> {
        let app = &*self.app;
        let now = app.clock.now();
        match app
            .access
            .again(&*app.store, &app.channels, now, &self.caller)
        {
            Ok(caller) => {
                self.caller = caller.filter(|caller| caller.may(Right::Read))?;
                Some(())
            }
            Err(_) => stays_in_doubt.then_some(()),
        }
    }
}
