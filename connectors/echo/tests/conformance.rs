//! The one test that every connector has.

use std::path::Path;

use deskbell_echo::KIND;
use deskbell_sdk::testkit::conformance::{Proof, Subject, run};

#[test]
fn passes_the_conformance_run() {
    let report = run(&Subject {
        kind: KIND,
        settings: &[("token", "Open-Sesame-7f3a")],
        fixtures: Some(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures"))),
        proof: Some(Proof {
            header: "x-echo-token",
            value: &|_| "Open-Sesame-7f3a".to_owned(),
            covers_body: false,
        }),
        platform: None,
    });
    assert!(report.fixtures >= 3, "{report:?}");
    assert!(report.mutations >= 10_000, "{report:?}");
}
