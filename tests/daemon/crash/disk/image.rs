//! A disk with a memory of its own for what was synced: what a program sees, and what would be there after a power cut.
//!
//! It promises no more than POSIX does. A file's bytes are durable when the file was synced, a name when its folder
//! was; `sync_file_range`, closing and renaming make nothing durable. A cut keeps just that, or, as disks do, any part
//! of the rest besides: any of the sectors, the first bytes of a write, the first of the changes of names.

use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::ops::Range;

use crate::support::calls::Dice;

/// The number of the uppermost folder.
pub(super) const ROOT: u64 = 1;
const SECTOR: usize = 512;

/// What stands under a number.
#[derive(Debug)]
pub(super) enum Node {
    File(FileNode),
    Folder(Folder),
}

/// A file: what is seen, what is durable, and where they may differ.
#[derive(Debug, Default)]
pub(super) struct FileNode {
    seen: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Range<usize>>,
    pub(super) mode: u16,
}

impl FileNode {
    fn new(mode: u16) -> Self {
        Self {
            mode,
            ..Self::default()
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.seen.len()
    }

    pub(super) fn read(&self, offset: usize, size: usize) -> &[u8] {
        let from = offset.min(self.seen.len());
        let to = offset.saturating_add(size).min(self.seen.len());
        &self.seen[from..to]
    }

    pub(super) fn write(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        if self.seen.len() < end {
            self.seen.resize(end, 0);
        }
        self.seen[offset..end].copy_from_slice(bytes);
        self.unsynced.push(offset..end);
    }

    pub(super) fn set_len(&mut self, length: usize) {
        // What is cut off and grows again is zero.
        if length < self.seen.len() {
            self.unsynced.push(length..self.seen.len());
        }
        self.seen.resize(length, 0);
    }

    pub(super) fn sync(&mut self) {
        self.durable.resize(self.seen.len(), 0);
        for range in std::mem::take(&mut self.unsynced) {
            let range = range.start.min(self.seen.len())..range.end.min(self.seen.len());
            self.durable[range.clone()].copy_from_slice(&self.seen[range]);
        }
    }

    fn keep(&mut self, range: Range<usize>) {
        let range = range.start.min(self.seen.len())..range.end.min(self.seen.len());
        if self.durable.len() < range.end {
            self.durable.resize(range.end, 0);
        }
        self.durable[range.clone()].copy_from_slice(&self.seen[range]);
    }

    /// Keeps of what was not synced what a disk may have written by chance.
    fn keep_some(&mut self, dice: &mut Dice) {
        for range in std::mem::take(&mut self.unsynced) {
            if range.is_empty() {
                continue;
            }
            match dice.below(4) {
                0 => {}
                1 => self.keep(range),
                // Torn: the first bytes of it.
                2 => {
                    let torn = range.start + dice.below(range.len());
                    self.keep(range.start..torn);
                }
                _ => {
                    let mut at = range.start;
                    while at < range.end {
                        let next = ((at / SECTOR + 1) * SECTOR).min(range.end);
                        if dice.below(2) == 0 {
                            self.keep(at..next);
                        }
                        at = next;
                    }
                }
            }
        }
    }

    fn after_a_cut(self) -> Self {
        Self {
            seen: self.durable.clone(),
            durable: self.durable,
            unsynced: Vec::new(),
            mode: self.mode,
        }
    }
}

/// A folder: the names that are seen, and those that are durable.
#[derive(Debug, Default)]
pub(super) struct Folder {
    pub(super) seen: BTreeMap<OsString, u64>,
    durable: BTreeMap<OsString, u64>,
    pub(super) mode: u16,
}

/// A change of names that is not durable yet.
#[derive(Clone, Debug)]
enum NameChange {
    Put(u64, OsString, u64),
    Taken(u64, OsString),
    Moved {
        from: (u64, OsString),
        to: (u64, OsString),
        node: u64,
    },
}

impl NameChange {
    fn touches(&self, folder: u64) -> bool {
        match self {
            Self::Put(one, ..) | Self::Taken(one, _) => *one == folder,
            Self::Moved { from, to, .. } => from.0 == folder || to.0 == folder,
        }
    }
}

/// What a cut leaves.
#[derive(Debug)]
pub(crate) enum Left {
    /// What was synced, and nothing else.
    Synced,
    /// That, and by chance any part of the rest.
    SyncedAndSome(Dice),
}

/// The disk.
#[derive(Debug)]
pub(super) struct Image {
    nodes: HashMap<u64, Node>,
    next: u64,
    pending: Vec<NameChange>,
    /// Planted: a disk that says "synced" and syncs nothing.
    pub(super) lies: bool,
    /// The power is off.
    pub(super) is_off: bool,
}

impl Image {
    /// An empty disk.
    pub(super) fn new() -> Self {
        let root = Folder {
            mode: 0o755,
            ..Folder::default()
        };
        Self {
            nodes: HashMap::from([(ROOT, Node::Folder(root))]),
            next: ROOT + 1,
            pending: Vec::new(),
            lies: false,
            is_off: false,
        }
    }

    pub(super) fn node(&mut self, number: u64) -> Option<&mut Node> {
        self.nodes.get_mut(&number)
    }

    pub(super) fn folder(&mut self, number: u64) -> Option<&mut Folder> {
        match self.nodes.get_mut(&number)? {
            Node::Folder(folder) => Some(folder),
            Node::File(_) => None,
        }
    }

    pub(super) fn file(&mut self, number: u64) -> Option<&mut FileNode> {
        match self.nodes.get_mut(&number)? {
            Node::File(file) => Some(file),
            Node::Folder(_) => None,
        }
    }

    pub(super) fn find(&mut self, folder: u64, name: &OsStr) -> Option<u64> {
        self.folder(folder)?.seen.get(name).copied()
    }

    /// Makes a file or a folder.
    pub(super) fn make(&mut self, folder: u64, name: &OsStr, mode: u16, is_folder: bool) -> u64 {
        let number = self.next;
        self.next += 1;
        let node = if is_folder {
            Node::Folder(Folder {
                mode,
                ..Folder::default()
            })
        } else {
            Node::File(FileNode::new(mode))
        };
        self.nodes.insert(number, node);
        if let Some(folder) = self.folder(folder) {
            folder.seen.insert(name.to_owned(), number);
        }
        self.pending
            .push(NameChange::Put(folder, name.to_owned(), number));
        number
    }

    pub(super) fn take(&mut self, folder: u64, name: &OsStr) {
        if let Some(folder) = self.folder(folder) {
            folder.seen.remove(name);
        }
        self.pending
            .push(NameChange::Taken(folder, name.to_owned()));
    }

    pub(super) fn rename(&mut self, from: (u64, OsString), to: (u64, OsString)) {
        let Some(node) = self
            .folder(from.0)
            .and_then(|folder| folder.seen.remove(&from.1))
        else {
            return;
        };
        if let Some(folder) = self.folder(to.0) {
            folder.seen.insert(to.1.clone(), node);
        }
        self.pending.push(NameChange::Moved { from, to, node });
    }

    /// Makes a file's bytes durable.
    pub(super) fn sync_file(&mut self, number: u64) {
        if !self.lies
            && let Some(file) = self.file(number)
        {
            file.sync();
        }
    }

    /// Makes the names in a folder durable.
    pub(super) fn sync_folder(&mut self, number: u64) {
        if self.lies {
            return;
        }
        let (now, later) = std::mem::take(&mut self.pending)
            .into_iter()
            .partition(|change| change.touches(number));
        self.pending = later;
        self.make_durable(now);
    }

    fn make_durable(&mut self, changes: Vec<NameChange>) {
        for change in changes {
            match change {
                NameChange::Put(folder, name, node) => {
                    if let Some(folder) = self.folder(folder) {
                        folder.durable.insert(name, node);
                    }
                }
                NameChange::Taken(folder, name) => {
                    if let Some(folder) = self.folder(folder) {
                        folder.durable.remove(&name);
                    }
                }
                NameChange::Moved { from, to, node } => {
                    if let Some(folder) = self.folder(from.0) {
                        folder.durable.remove(&from.1);
                    }
                    if let Some(folder) = self.folder(to.0) {
                        folder.durable.insert(to.1, node);
                    }
                }
            }
        }
    }

    /// Cuts the power: from now on nothing is taken, and what is left is the disk of the next start.
    pub(super) fn cut(&mut self, left: Left) -> Self {
        self.is_off = true;
        let mut next = Self {
            nodes: std::mem::take(&mut self.nodes),
            next: self.next,
            pending: Vec::new(),
            lies: self.lies,
            is_off: false,
        };
        if let Left::SyncedAndSome(mut dice) = left {
            let mut kept = std::mem::take(&mut self.pending);
            kept.truncate(dice.below(kept.len() + 1));
            next.make_durable(kept);
            let mut numbers: Vec<u64> = next.nodes.keys().copied().collect();
            numbers.sort_unstable();
            for number in numbers {
                if let Some(file) = next.file(number) {
                    file.keep_some(&mut dice);
                }
            }
        }
        let mut old = std::mem::take(&mut next.nodes);
        let mut to_do = vec![ROOT];
        while let Some(number) = to_do.pop() {
            let node = match old.remove(&number) {
                Some(Node::File(file)) => Node::File(file.after_a_cut()),
                Some(Node::Folder(folder)) => {
                    to_do.extend(folder.durable.values());
                    Node::Folder(Folder {
                        seen: folder.durable.clone(),
                        ..folder
                    })
                }
                None => continue,
            };
            next.nodes.insert(number, node);
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(image: &mut Image, name: &str, bytes: &[u8]) -> u64 {
        let number = image.make(ROOT, OsStr::new(name), 0o644, false);
        image.file(number).expect("a file").write(0, bytes);
        number
    }

    fn content(image: &mut Image, name: &str) -> Option<Vec<u8>> {
        let number = image.find(ROOT, OsStr::new(name))?;
        Some(image.file(number)?.read(0, usize::MAX).to_vec())
    }

    #[test]
    fn f03_a_cut_leaves_what_was_synced_and_nothing_else() {
        let mut image = Image::new();
        let both = put(&mut image, "both", b"synced");
        image.sync_file(both);
        put(&mut image, "name-only", b"gone");
        image.sync_folder(ROOT);
        let unnamed = put(&mut image, "bytes-only", b"synced");
        image.sync_file(unnamed);
        image.file(both).expect("a file").write(3, b"!!!more");
        image.rename((ROOT, "both".into()), (ROOT, "moved".into()));
        image.take(ROOT, OsStr::new("name-only"));
        let mut left = image.cut(Left::Synced);
        assert_eq!(content(&mut left, "both").as_deref(), Some(&b"synced"[..]));
        assert_eq!(content(&mut left, "name-only").as_deref(), Some(&b""[..]));
        assert_eq!(content(&mut left, "bytes-only"), None);
        assert_eq!(content(&mut left, "moved"), None);
        assert!(image.is_off && !left.is_off);
    }

    #[test]
    fn f03_what_is_cut_off_and_grows_again_is_zero() {
        let mut image = Image::new();
        let number = put(&mut image, "one", b"0123456789");
        image.sync_file(number);
        image.sync_folder(ROOT);
        let file = image.file(number).expect("a file");
        file.set_len(4);
        file.set_len(8);
        image.sync_file(number);
        let mut left = image.cut(Left::Synced);
        assert_eq!(
            content(&mut left, "one").as_deref(),
            Some(&b"0123\0\0\0\0"[..])
        );
    }

    #[test]
    fn f04_a_cut_may_leave_any_part_of_the_rest_and_never_less_than_was_synced() {
        let mut parts = std::collections::BTreeSet::new();
        for seed in 1..200 {
            let mut image = Image::new();
            let number = put(&mut image, "one", &[1; 1024]);
            image.sync_file(number);
            image.sync_folder(ROOT);
            image.file(number).expect("a file").write(1024, &[2; 4096]);
            image.rename((ROOT, "one".into()), (ROOT, "two".into()));
            let mut left = image.cut(Left::SyncedAndSome(Dice::new(seed * 7919)));
            let (one, two) = (content(&mut left, "one"), content(&mut left, "two"));
            assert!(one.is_some() != two.is_some(), "a rename is whole");
            let bytes = one.or(two).expect("one of both");
            assert_eq!(bytes[..1024], [1; 1024]);
            assert!(bytes[1024..].iter().all(|byte| matches!(byte, 0 | 2)));
            parts.insert(bytes.iter().filter(|byte| **byte == 2).count());
        }
        assert!(parts.contains(&0) && parts.contains(&4096), "{parts:?}");
        assert!(parts.len() > 20, "torn at many places: {parts:?}");
    }

    #[test]
    fn f03_a_disk_that_lies_keeps_nothing() {
        let mut image = Image::new();
        image.lies = true;
        let number = put(&mut image, "one", b"synced?");
        image.sync_file(number);
        image.sync_folder(ROOT);
        let mut left = image.cut(Left::Synced);
        assert_eq!(content(&mut left, "one"), None);
    }
}
