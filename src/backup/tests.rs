//! What is taken for a backup, and what is not. Backups of a real store are tested with the daemon.

use deskbell_sdk::Time;
use sha2::{Digest, Sha256};

use super::*;

const FILE: &[u8] = b"a file";

fn manifest() -> Manifest {
    Manifest {
        version: VERSION,
        daemon: "9.9.9".to_owned(),
        made_at: Time::from_millis(1_790_000_000_000),
        seq: 7,
        snapshot_bytes: 8,
    }
}

fn end() -> End {
    End {
        snapshot_sha256: hex::encode(Sha256::digest(b"snapshot")),
        attachments: 1,
        attachment_bytes: FILE.len() as u64,
    }
}

fn named_file() -> String {
    format!("{ATTACHMENTS}{}", hex::encode(Sha256::digest(FILE)))
}

/// An archive of these entries.
fn archive(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, bytes) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        archive
            .append_data(&mut header, name, bytes.as_slice())
            .unwrap();
    }
    archive.into_inner().unwrap()
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap()
}

fn whole() -> Vec<(String, Vec<u8>)> {
    vec![
        (MANIFEST.to_owned(), json(&manifest())),
        (SNAPSHOT.to_owned(), b"snapshot".to_vec()),
        (named_file(), FILE.to_vec()),
        (END.to_owned(), json(&end())),
    ]
}

fn checked(entries: &[(String, Vec<u8>)]) -> Result<Checked, BackupError> {
    let entries: Vec<_> = entries
        .iter()
        .map(|(name, bytes)| (name.as_str(), bytes.clone()))
        .collect();
    check(archive(&entries).as_slice())
}

#[test]
fn k06_a_whole_backup_is_told_with_what_is_in_it() {
    let checked = checked(&whole()).unwrap();
    assert_eq!((checked.manifest, checked.end), (manifest(), end()));
}

#[test]
fn k06_a_backup_without_any_of_its_parts_or_with_others_is_refused() {
    for missing in 0..whole().len() {
        let mut entries = whole();
        entries.remove(missing);
        assert!(checked(&entries).is_err(), "without {missing}");
    }
    let mut entries = whole();
    entries.insert(2, ("etc/passwd".to_owned(), b"x".to_vec()));
    assert!(matches!(checked(&entries), Err(BackupError::Damaged(_))));
    let mut entries = whole();
    entries.swap(0, 1);
    assert!(matches!(checked(&entries), Err(BackupError::Foreign(_))));
}

#[test]
fn k06_what_was_changed_is_refused() {
    for changed in 1..3 {
        let mut entries = whole();
        entries[changed].1[0] ^= 1;
        assert!(
            matches!(checked(&entries), Err(BackupError::Damaged(_))),
            "{changed}"
        );
    }
    let mut entries = whole();
    entries[3].1 = json(&End {
        attachments: 2,
        ..end()
    });
    assert!(matches!(checked(&entries), Err(BackupError::Damaged(_))));
    let mut entries = whole();
    entries[3].1 = vec![b' '; 1 << 20];
    assert!(matches!(checked(&entries), Err(BackupError::Damaged(_))));
}

#[test]
fn a_backup_of_a_newer_deskbell_names_it() {
    let mut entries = whole();
    entries[0].1 = json(&Manifest {
        version: VERSION + 1,
        ..manifest()
    });
    let refused = checked(&entries).unwrap_err().to_string();
    assert!(refused.contains("a newer Deskbell (9.9.9)"), "{refused}");
}
