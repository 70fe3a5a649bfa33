//! Lines of an import with any content: an entry, or an error.
#![no_main]

use deskbell::export::read_line;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|line: &[u8]| {
    // What it is does not matter here, only that reading it ends.
    let _ = read_line(line);
});
