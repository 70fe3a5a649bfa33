//! Configuration files of any content: a configuration, or errors in words.
#![no_main]

use std::collections::BTreeMap;
use std::io::Write as _;

use deskbell::config::{Overrides, load};
use deskbell::registry::KINDS;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let path = std::env::temp_dir().join(format!("deskbell-fuzz-{}.toml", std::process::id()));
    let written = std::fs::File::create(&path).and_then(|mut file| file.write_all(text));
    written.expect("a temporary file");
    if let Err(errors) = load(Some(&path), &BTreeMap::new(), Overrides::default(), KINDS) {
        assert!(!errors.is_empty(), "a refusal says why");
        for error in errors {
            assert!(!error.to_string().is_empty());
        }
    }
});
