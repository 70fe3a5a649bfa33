//! A disk whose power can be cut and whose calls can be made to fail, mounted for a daemon by FUSE. It needs root and
//! `/dev/fuse`, which is on every plain Debian; where they are not, the tests say so and prove nothing.

mod fuse;
mod image;
mod trouble;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

pub(crate) use fuser::Errno;
use fuser::{BackgroundSession, MountOption};

use self::fuse::{LazyDisk, Shared};
use self::image::Image;
use self::trouble::Trouble;
use crate::support::{BINARY, Daemon, say};

pub(crate) use self::image::Left;
pub(crate) use self::trouble::{Call, Plan, Wrong};

/// A mounted disk with the data directory of a daemon on it.
#[derive(Debug)]
pub(crate) struct Disk {
    shared: Arc<Shared>,
    session: Option<BackgroundSession>,
    mounted_at: PathBuf,
    /// What the daemon is told of the kernel's boot: a power cut is another one.
    boots: u32,
    folder: PathBuf,
}

impl Disk {
    /// Mounts an empty one as `data` in a daemon's folder; `None`, with a word why, where this system does not let us.
    pub(crate) fn mount(folder: &Path) -> Option<Self> {
        if let Some(why) = cannot() {
            say(&format!("SKIPPED: {why}"));
            return None;
        }
        let mounted_at = folder.join("data");
        std::fs::create_dir(&mounted_at).expect("a folder");
        let mut disk = Self {
            shared: shared(Image::new()),
            session: None,
            mounted_at,
            boots: 1,
            folder: folder.to_owned(),
        };
        disk.session = Some(disk.mounted());
        Some(disk)
    }

    fn mounted(&self) -> BackgroundSession {
        let mut options = fuser::Config::default();
        options.mount_options = vec![
            MountOption::FSName("deskbell-tests".to_owned()),
            MountOption::DefaultPermissions,
        ];
        let disk = LazyDisk(Arc::clone(&self.shared));
        fuser::spawn_mount(disk, &self.mounted_at, &options).expect("it is mounted")
    }

    fn image<T>(&self, act: impl FnOnce(&mut Image) -> T) -> T {
        act(&mut self.shared.image.lock().expect("not poisoned"))
    }

    /// Plants a disk that says "synced" and syncs nothing: what a daemon without `fdatasync` would do.
    pub(crate) fn lies(&self) {
        self.image(|image| image.lies = true);
    }

    /// Lets calls go wrong, or no more.
    pub(crate) fn goes_wrong(&self, plan: Option<Plan>) {
        let trouble = &self.shared.trouble;
        trouble.lock().expect("not poisoned").set(plan);
    }

    /// How many calls of the plan's kind there were since it began, and how many went wrong.
    pub(crate) fn calls(&self) -> (u64, u64) {
        self.shared.trouble.lock().expect("not poisoned").counts()
    }

    /// Starts a daemon on it, who is told that the machine was started anew after each cut.
    pub(crate) fn start(&self) -> Result<Daemon, String> {
        Daemon::start_by(in_boot(&self.folder, self.boots), &self.folder)
    }

    /// Cuts the power: nothing that comes later reaches the disk. The daemon dies, and the disk is mounted again with
    /// what it has left.
    pub(crate) async fn cut(&mut self, daemon: Daemon, left: Left) {
        let next = self.image(|image| image.cut(left));
        daemon.kill();
        self.unmount();
        self.shared = shared(next);
        self.boots += 1;
        self.session = Some(self.mounted());
    }

    fn unmount(&mut self) {
        if let Some(session) = self.session.take() {
            let unmounted = Command::new("umount")
                .arg("-l")
                .arg(&self.mounted_at)
                .status();
            if let Err(error) = unmounted {
                say(&format!(
                    "{} stays mounted: {error}",
                    self.mounted_at.display()
                ));
            }
            drop(session);
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.unmount();
    }
}

/// The daemon, who is told of the machine's start with this number.
pub(crate) fn in_boot(folder: &Path, number: u32) -> Command {
    let boot_id = folder.join("boot_id");
    let text = format!("00000000-0000-4000-8000-{number:012}\n");
    std::fs::write(&boot_id, text).expect("written");
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c"]);
    command.arg("mount --bind \"$1\" /proc/sys/kernel/random/boot_id && shift && exec \"$@\"");
    command.arg("sh").arg(&boot_id).arg(BINARY);
    command
}

fn shared(image: Image) -> Arc<Shared> {
    Arc::new(Shared {
        image: Mutex::new(image),
        trouble: Mutex::new(Trouble::default()),
    })
}

/// Why no disk of ours can be mounted here.
fn cannot() -> Option<&'static str> {
    if !rustix::process::getuid().is_root() {
        return Some("only root may mount a disk of ours");
    }
    if std::fs::File::open("/dev/fuse").is_err() {
        return Some("there is no /dev/fuse");
    }
    cannot_pretend_a_boot()
}

/// Why no daemon can be told of another start of the machine here.
pub(crate) fn cannot_pretend_a_boot() -> Option<&'static str> {
    let bound = Command::new("unshare")
        .args(["--mount", "mount", "--bind", "/dev/null"])
        .arg("/proc/sys/kernel/random/boot_id")
        .status();
    match bound {
        Ok(status) if status.success() => None,
        _ => Some("`unshare` and `mount` may not put a file of ours over the kernel's boot id"),
    }
}
