//! The embedded engine on a disk whose power a simulation cuts.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::ThreadId;

use deskbell_sdk::Time;

use super::disk::{Disk, RealDisk};
use super::segment::DATA_START;
use super::{EmbeddedStore, OpenError, Options};
use crate::clock::Clock;

/// Where a write or a sync goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Half of the frame is written, and the call fails.
    HalfWritten,
    /// The sync fails.
    NotSynced,
    /// The machine stops with half of the frame written.
    DiesWriting,
    /// The machine stops before the sync.
    DiesBeforeSync,
    /// The machine stops after the sync: the frame is durable, and nobody hears of it.
    DiesAfterSync,
}

/// What is to be undone where the power goes: the bytes that stood at a place of a file.
type Unsynced = Vec<(u64, Vec<u8>)>;

/// A disk that remembers what was not synced.
#[derive(Debug)]
pub(crate) struct SimulatedDisk {
    /// By the file's number in the file system.
    unsynced: Mutex<HashMap<u64, Unsynced>>,
    /// What a frame meets, and how many come before it.
    trouble: Mutex<Option<(u64, Trouble)>>,
    dead: AtomicBool,
    /// A planted fault: says that it synced, and did not.
    forgets_syncs: bool,
    /// Only this thread meets trouble, so that the thread that prepares segments makes no chance of its own.
    committer: ThreadId,
    boots: AtomicU64,
}

impl SimulatedDisk {
    /// A disk in order; with `forgets_syncs` one that lies.
    pub(crate) fn new(forgets_syncs: bool) -> Arc<Self> {
        Arc::new(Self {
            unsynced: Mutex::default(),
            trouble: Mutex::default(),
            dead: AtomicBool::new(false),
            forgets_syncs,
            committer: std::thread::current().id(),
            boots: AtomicU64::new(1),
        })
    }

    /// The next frame meets this.
    pub(crate) fn plan(&self, trouble: Trouble) {
        self.plan_behind(0, trouble);
    }

    /// So many frames do well, and the next meets this.
    pub(crate) fn plan_behind(&self, frames: u64, trouble: Trouble) {
        *self.trouble.lock().unwrap() = Some((frames, trouble));
    }

    /// Nothing is planned any more.
    pub(crate) fn heal(&self) {
        *self.trouble.lock().unwrap() = None;
    }

    /// Whether the machine has stopped.
    pub(crate) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }

    /// Opens the store in `directory`.
    pub(crate) fn open(
        self: &Arc<Self>,
        directory: &Path,
        clock: Clock,
    ) -> Result<EmbeddedStore, OpenError> {
        self.dead.store(false, Ordering::SeqCst);
        *self.trouble.lock().unwrap() = None;
        let disk: Arc<dyn Disk> = Arc::<Self>::clone(self);
        let options = Options {
            cache_bytes: 4 << 20,
            segment_bytes: 32 << 10,
            reserve_bytes: 0,
            min_free_bytes: 0,
            boot_id: Some(format!("boot {}", self.boots.load(Ordering::SeqCst))),
            disk,
            ..Options::new(clock)
        };
        EmbeddedStore::open(directory, options, &|_| {})
    }

    /// The power goes while the store in `directory` is closed: what was not synced was never written, sled's files
    /// are cut in half, and the machine boots anew.
    pub(crate) fn cut_power(&self, directory: &Path) -> io::Result<()> {
        self.boots.fetch_add(1, Ordering::SeqCst);
        let mut unsynced = std::mem::take(&mut *self.unsynced.lock().unwrap());
        for entry in std::fs::read_dir(directory.join("journal"))?.flatten() {
            let Ok(file) = File::options().write(true).open(entry.path()) else {
                continue;
            };
            let Some(writes) = unsynced.remove(&file.metadata()?.ino()) else {
                continue;
            };
            for (offset, before) in writes.into_iter().rev() {
                file.write_all_at(&before, offset)?;
            }
        }
        if let Ok(tables) = File::options()
            .write(true)
            .open(directory.join("tables/db"))
        {
            tables.set_len(tables.metadata()?.len() / 2)?;
        }
        Ok(())
    }

    fn meets(&self, wanted: &[Trouble]) -> Option<Trouble> {
        if std::thread::current().id() != self.committer {
            return None;
        }
        let mut trouble = self.trouble.lock().unwrap();
        let (frames, planned) = trouble.as_mut()?;
        if !wanted.contains(planned) {
            return None;
        }
        if *frames > 0 {
            *frames -= 1;
            return None;
        }
        trouble.take().map(|(_, planned)| planned)
    }

    fn alive(&self) -> io::Result<()> {
        if self.is_dead() {
            Err(io::Error::other("the machine has stopped"))
        } else {
            Ok(())
        }
    }

    fn die(&self) -> io::Error {
        self.dead.store(true, Ordering::SeqCst);
        io::Error::other("the machine stops")
    }

    fn write(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut before = vec![0; bytes.len()];
        let mut read = 0;
        while read < before.len() {
            match file.read_at(&mut before[read..], offset + read as u64)? {
                0 => break,
                more => read += more,
            }
        }
        let number = file.metadata()?.ino();
        let mut unsynced = self.unsynced.lock().unwrap();
        unsynced.entry(number).or_default().push((offset, before));
        RealDisk.write_at(file, bytes, offset)
    }
}

impl Disk for SimulatedDisk {
    fn write_at(&self, file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.alive()?;
        // Frames only: what happens to headers is tested call by call in `tests/faults.rs`.
        let trouble = if offset >= DATA_START {
            self.meets(&[Trouble::HalfWritten, Trouble::DiesWriting])
        } else {
            None
        };
        match trouble {
            None => self.write(file, bytes, offset),
            Some(trouble) => {
                self.write(file, &bytes[..bytes.len() / 2], offset)?;
                if trouble == Trouble::DiesWriting {
                    return Err(self.die());
                }
                Err(io::Error::other("the disk is made to fail"))
            }
        }
    }

    fn sync_data(&self, file: &File) -> io::Result<()> {
        self.alive()?;
        let number = file.metadata()?.ino();
        let frames = self.unsynced.lock().unwrap().get(&number).is_some_and(
            |writes| matches!(writes.last(), Some((offset, _)) if *offset >= DATA_START),
        );
        let trouble = if frames {
            self.meets(&[
                Trouble::NotSynced,
                Trouble::DiesBeforeSync,
                Trouble::DiesAfterSync,
            ])
        } else {
            None
        };
        match trouble {
            Some(Trouble::DiesBeforeSync) => return Err(self.die()),
            Some(Trouble::NotSynced) => return Err(io::Error::other("the disk is made to fail")),
            _ => {}
        }
        if !(self.forgets_syncs && frames) {
            self.unsynced.lock().unwrap().remove(&number);
        }
        if trouble == Some(Trouble::DiesAfterSync) {
            return Err(self.die());
        }
        Ok(())
    }

    fn sync_names(&self, _directory: &Path) -> io::Result<()> {
        self.alive()
    }

    fn allocate(&self, file: &File, bytes: u64) -> io::Result<()> {
        self.alive()?;
        RealDisk.allocate(file, bytes)
    }

    fn available_bytes(&self, _path: &Path) -> io::Result<u64> {
        Ok(u64::MAX)
    }
}

#[test]
fn f03_the_simulated_power_cut_takes_what_was_not_synced_and_nothing_else() {
    use crate::store::conformance::{Story, everything};
    use crate::store::memory::MemoryStore;
    use crate::store::{Read as _, Store as _};

    let told = |groups| {
        let memory = MemoryStore::new();
        Story::new(5).tell(groups, &memory);
        memory
    };
    for (forgets, trouble) in [
        (false, None),
        (false, Some(Trouble::DiesBeforeSync)),
        (false, Some(Trouble::DiesAfterSync)),
        (true, None),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let disk = SimulatedDisk::new(forgets);
        let clock = Clock::standing_at(Time::from_millis(1_790_000_000_000));
        let store = disk.open(directory.path(), clock.clone()).unwrap();
        let mut story = Story::new(5);
        story.tell(40, &store);
        if let Some(trouble) = trouble {
            disk.plan(trouble);
            assert!(store.commit(story.next_group()).is_err() && disk.is_dead());
        }
        drop(store);
        disk.cut_power(directory.path()).unwrap();
        let store = disk.open(directory.path(), clock).unwrap();
        if forgets {
            assert!(store.head() < told(40).head(), "a lie must cost something");
            continue;
        }
        let durable = 40 + usize::from(trouble == Some(Trouble::DiesAfterSync));
        assert_eq!(
            everything(&store),
            everything(&told(durable)),
            "{trouble:?}"
        );
    }
}
