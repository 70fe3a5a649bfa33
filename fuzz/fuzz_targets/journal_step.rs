//! The payload of a frame of the journal with any content: a step, or an error.
#![no_main]

use deskbell::store::Group;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|payload: &[u8]| {
    if let Ok(group) = rmp_serde::from_slice::<Group>(payload) {
        let written = rmp_serde::to_vec(&group).expect("what was read can be written");
        rmp_serde::from_slice::<Group>(&written).expect("and read again");
    }
});
