//! What stands in the files of a data directory.

use std::path::Path;

/// The longest block that is unpacked, in bytes.
const LONGEST_BYTES: usize = 64 << 20;

/// What the files below a folder hold, without the zeros that they are filled up with. Of what is packed it holds the
/// unpacked as well: packed, a word may be in pieces.
pub(crate) fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    // A daemon that runs may take a file away meanwhile.
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            all.extend(contents(&path));
        } else if let Ok(mut bytes) = std::fs::read(&path) {
            let unpacked = unpacked(&bytes);
            bytes.dedup_by(|next, before| *next == 0 && *before == 0);
            bytes.extend(unpacked);
            all.push((path.display().to_string(), bytes));
        }
    }
    all
}

/// All that is packed in a file of the journal, one after the other: 0xC1, the bytes of the unpacked and of the packed as
/// u32, the packed.
fn unpacked(bytes: &[u8]) -> Vec<u8> {
    let number = |at: usize| {
        let four = bytes.get(at..at + 4)?.try_into().ok()?;
        usize::try_from(u32::from_be_bytes(four)).ok()
    };
    let mut all = Vec::new();
    let mut at = 0;
    while let Some(next) = bytes[at..].iter().position(|byte| *byte == 0xC1) {
        at += next;
        let block =
            number(at + 5).and_then(|length| bytes.get(at + 9..(at + 9).checked_add(length)?));
        let plain = number(at + 1)
            .filter(|length| *length <= LONGEST_BYTES)
            .zip(block.filter(|block| !block.is_empty()))
            .and_then(|(length, block)| {
                let plain = lz4_flex::decompress(block, length).ok()?;
                (plain.len() == length).then_some((plain, block.len()))
            });
        match plain {
            Some((plain, packed)) => {
                all.extend(plain);
                at += 9 + packed;
            }
            None => at += 1,
        }
    }
    all
}

/// The files that hold `needle`.
pub(crate) fn found_in(files: &[(String, Vec<u8>)], needle: impl AsRef<[u8]>) -> Vec<&str> {
    let needle = needle.as_ref();
    let first = needle[0];
    let holds = |bytes: &[u8]| {
        let mut starts = bytes.iter().enumerate().filter(|(_, byte)| **byte == first);
        starts.any(|(at, _)| bytes[at..].starts_with(needle))
    };
    let found = files.iter().filter(|(_, bytes)| holds(bytes));
    found.map(|(path, _)| path.as_str()).collect()
}
