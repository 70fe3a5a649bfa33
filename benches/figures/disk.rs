//! The disk: what one durable write costs on it, and how much of it is taken.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, Result};

/// How long it takes to append 4 KiB to a file and `fdatasync` it, in microseconds, each time: the median of them is F.
pub(crate) fn syncs_us(folder: &Path, times: usize) -> Result<Vec<f64>> {
    let path = folder.join("probe");
    let mut file = File::create(&path).context("the probe cannot be made")?;
    let block = [0x5a_u8; 4096];
    let mut took = Vec::with_capacity(times);
    for _ in 0..times {
        let begun = Instant::now();
        file.write_all(&block)?;
        file.sync_data()?;
        took.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    std::fs::remove_file(&path)?;
    Ok(took)
}

/// Bytes that the files below a folder take on the disk.
pub(crate) fn taken_bytes(folder: &Path) -> Result<f64> {
    let mut bytes = 0.0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let about = entry.metadata()?;
        if about.is_dir() {
            bytes += taken_bytes(&entry.path())?;
        } else {
            bytes += f64::from(u32::try_from(about.blocks())?) * 512.0;
        }
    }
    Ok(bytes)
}
