//! The disk as a file system that the kernel mounts.

use std::ffi::OsStr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyEmpty, ReplyEntry, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};

use super::image::{Image, Node};
use super::trouble::{Call, Trouble, Wrong};

const KNOWN_FOR: Duration = Duration::from_secs(1);
const NO_HANDLE: FileHandle = FileHandle(0);
/// Bytes of room that the disk tells of: more than the daemon wants free.
const ROOM_BYTES: u64 = 1 << 30;

/// What the file system and its owner share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) image: Mutex<Image>,
    pub(super) trouble: Mutex<Trouble>,
}

/// The file system.
#[derive(Debug)]
pub(super) struct LazyDisk(pub(super) Arc<Shared>);

impl LazyDisk {
    /// The disk, while the power is on.
    fn disk(&self) -> Result<MutexGuard<'_, Image>, Errno> {
        let image = self.0.image.lock().map_err(|_| Errno::EIO)?;
        if image.is_off {
            return Err(Errno::EIO);
        }
        Ok(image)
    }

    /// The disk for a call that may go wrong.
    fn disk_for(&self, call: Call) -> Result<MutexGuard<'_, Image>, Errno> {
        let image = self.disk()?;
        match self.0.trouble.lock().map_err(|_| Errno::EIO)?.meets(call) {
            Some(Wrong::Error(errno)) => Err(errno),
            Some(Wrong::Short) | None => Ok(image),
        }
    }

    fn made(
        &self,
        folder: INodeNo,
        name: &OsStr,
        mode: u32,
        is_folder: bool,
    ) -> Result<FileAttr, Errno> {
        let mut disk = self.disk_for(Call::Name)?;
        if disk.find(folder.0, name).is_some() {
            return Err(Errno::EEXIST);
        }
        let number = disk.make(folder.0, name, permissions(mode), is_folder);
        attributes(&mut disk, number)
    }

    fn taken(&self, folder: INodeNo, name: &OsStr) -> Result<(), Errno> {
        let mut disk = self.disk_for(Call::Name)?;
        let number = disk.find(folder.0, name).ok_or(Errno::ENOENT)?;
        if disk
            .folder(number)
            .is_some_and(|folder| !folder.seen.is_empty())
        {
            return Err(Errno::ENOTEMPTY);
        }
        disk.take(folder.0, name);
        Ok(())
    }

    fn moved(
        &self,
        from: (INodeNo, &OsStr),
        to: (INodeNo, &OsStr),
        flags: RenameFlags,
    ) -> Result<(), Errno> {
        let mut disk = self.disk_for(Call::Name)?;
        if !flags.is_empty() {
            return Err(Errno::EINVAL);
        }
        disk.find(from.0.0, from.1).ok_or(Errno::ENOENT)?;
        if let Some(there) = disk.find(to.0.0, to.1)
            && disk
                .folder(there)
                .is_some_and(|folder| !folder.seen.is_empty())
        {
            return Err(Errno::ENOTEMPTY);
        }
        disk.rename((from.0.0, from.1.to_owned()), (to.0.0, to.1.to_owned()));
        Ok(())
    }

    fn changed(
        &self,
        ino: INodeNo,
        mode: Option<u32>,
        size: Option<u64>,
    ) -> Result<FileAttr, Errno> {
        let mut disk = match size {
            Some(_) => self.disk_for(Call::Size)?,
            None => self.disk()?,
        };
        match disk.node(ino.0).ok_or(Errno::ENOENT)? {
            Node::File(file) => {
                if let Some(size) = size {
                    file.set_len(usize::try_from(size).map_err(|_| Errno::EFBIG)?);
                }
                file.mode = mode.map_or(file.mode, permissions);
            }
            Node::Folder(folder) => folder.mode = mode.map_or(folder.mode, permissions),
        }
        attributes(&mut disk, ino.0)
    }

    fn written(&self, ino: INodeNo, offset: u64, data: &[u8]) -> Result<u32, Errno> {
        let mut disk = self.disk()?;
        let wrong = self
            .0
            .trouble
            .lock()
            .map_err(|_| Errno::EIO)?
            .meets(Call::Write);
        let taken = match wrong {
            Some(Wrong::Error(errno)) => return Err(errno),
            Some(Wrong::Short) => &data[..data.len().div_ceil(2)],
            None => data,
        };
        let file = disk.file(ino.0).ok_or(Errno::EISDIR)?;
        file.write(usize::try_from(offset).map_err(|_| Errno::EFBIG)?, taken);
        u32::try_from(taken.len()).map_err(|_| Errno::EFBIG)
    }

    fn allocated(&self, ino: INodeNo, end: u64, mode: i32) -> Result<(), Errno> {
        let mut disk = self.disk_for(Call::Size)?;
        if mode != 0 {
            return Err(Errno::EOPNOTSUPP);
        }
        let file = disk.file(ino.0).ok_or(Errno::EISDIR)?;
        let end = usize::try_from(end).map_err(|_| Errno::EFBIG)?;
        if end > file.len() {
            file.set_len(end);
        }
        Ok(())
    }
}

fn permissions(mode: u32) -> u16 {
    u16::try_from(mode & 0o7777).unwrap_or(0o600)
}

fn attributes(disk: &mut Image, number: u64) -> Result<FileAttr, Errno> {
    let (size, kind, perm) = match disk.node(number).ok_or(Errno::ENOENT)? {
        Node::File(file) => (file.len() as u64, FileType::RegularFile, file.mode),
        Node::Folder(folder) => (0, FileType::Directory, folder.mode),
    };
    let then = SystemTime::UNIX_EPOCH;
    Ok(FileAttr {
        ino: INodeNo(number),
        size,
        blocks: size.div_ceil(512),
        atime: then,
        mtime: then,
        ctime: then,
        crtime: then,
        kind,
        perm,
        nlink: 1,
        uid: rustix::process::getuid().as_raw(),
        gid: rustix::process::getgid().as_raw(),
        rdev: 0,
        blksize: 4096,
        flags: 0,
    })
}

fn answer(result: Result<(), Errno>, reply: ReplyEmpty) {
    match result {
        Ok(()) => reply.ok(),
        Err(errno) => reply.error(errno),
    }
}

fn answer_entry(result: Result<FileAttr, Errno>, reply: ReplyEntry) {
    match result {
        Ok(attributes) => reply.entry(&KNOWN_FOR, &attributes, Generation(0)),
        Err(errno) => reply.error(errno),
    }
}

fn answer_attributes(result: Result<FileAttr, Errno>, reply: ReplyAttr) {
    match result {
        Ok(attributes) => reply.attr(&KNOWN_FOR, &attributes),
        Err(errno) => reply.error(errno),
    }
}

impl Filesystem for LazyDisk {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let found = self.disk().and_then(|mut disk| {
            let number = disk.find(parent.0, name).ok_or(Errno::ENOENT)?;
            attributes(&mut disk, number)
        });
        answer_entry(found, reply);
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        let found = self
            .disk()
            .and_then(|mut disk| attributes(&mut disk, ino.0));
        answer_attributes(found, reply);
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        answer_attributes(self.changed(ino, mode, size), reply);
    }

    fn mkdir(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        reply: ReplyEntry,
    ) {
        answer_entry(self.made(parent, name, mode & !umask, true), reply);
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer(self.taken(parent, name), reply);
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer(self.taken(parent, name), reply);
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        answer(
            self.moved((parent, name), (newparent, newname), flags),
            reply,
        );
    }

    fn create(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        _: i32,
        reply: ReplyCreate,
    ) {
        match self.made(parent, name, mode & !umask, false) {
            Ok(attributes) => reply.created(
                &KNOWN_FOR,
                &attributes,
                Generation(0),
                NO_HANDLE,
                FopenFlags::empty(),
            ),
            Err(errno) => reply.error(errno),
        }
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let Ok(mut disk) = self.disk() else {
            return reply.error(Errno::EIO);
        };
        let (Some(file), Ok(offset), Ok(size)) = (
            disk.file(ino.0),
            usize::try_from(offset),
            usize::try_from(size),
        ) else {
            return reply.error(Errno::EINVAL);
        };
        reply.data(file.read(offset, size));
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match self.written(ino, offset, data) {
            Ok(count) => reply.written(count),
            Err(errno) => reply.error(errno),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        let synced = self.disk_for(Call::Sync);
        answer(synced.map(|mut disk| disk.sync_file(ino.0)), reply);
    }

    fn fsyncdir(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        let synced = self.disk_for(Call::Sync);
        answer(synced.map(|mut disk| disk.sync_folder(ino.0)), reply);
    }

    fn readdir(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let Ok(mut disk) = self.disk() else {
            return reply.error(Errno::EIO);
        };
        let Some(folder) = disk.folder(ino.0) else {
            return reply.error(Errno::ENOTDIR);
        };
        let names: Vec<_> = folder
            .seen
            .iter()
            .map(|(name, number)| (name.clone(), *number))
            .collect();
        for ((name, number), place) in names.into_iter().zip(1_u64..) {
            if place <= offset {
                continue;
            }
            let kind = match disk.node(number) {
                Some(Node::Folder(_)) => FileType::Directory,
                _ => FileType::RegularFile,
            };
            if reply.add(INodeNo(number), place, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let blocks = ROOM_BYTES / 4096;
        reply.statfs(blocks * 2, blocks, blocks, 0, 0, 4096, 255, 4096);
    }

    fn fallocate(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        answer(
            self.allocated(ino, offset.saturating_add(length), mode),
            reply,
        );
    }
}
