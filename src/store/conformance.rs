//! What every engine must do. [`cases`] are reads with known answers; [`everything`] compares two engines
//! that were told the same story.

mod cases;
mod changes;
mod everything;
pub(super) mod fixtures;
mod story;

use super::Store;
use super::memory::MemoryStore;

pub(super) use everything::{everything, everything_but_the_log};
pub(super) use story::Story;

/// Runs all cases, each on a fresh store.
pub(super) fn run(make: impl Fn() -> Box<dyn Store>) {
    for (name, case) in cases::CASES {
        let store = make();
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| case(&*store)));
        assert!(outcome.is_ok(), "the store does not conform: {name}");
    }
}

#[test]
fn the_memory_store_conforms() {
    run(|| Box::new(MemoryStore::new()));
}

#[test]
fn a_story_tells_the_same_twice() {
    let told = || {
        let store = MemoryStore::new();
        Story::new(7).tell(20, &store);
        everything(&store)
    };
    assert_eq!(told(), told());
    let other = MemoryStore::new();
    Story::new(8).tell(20, &other);
    assert_ne!(told(), everything(&other));
}
