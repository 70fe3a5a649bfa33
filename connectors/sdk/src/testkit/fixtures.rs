//! Deliveries on disk and what they decode to.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::Fault;
use super::conformance::Subject;
use crate::inbound::Inbound;

/// One delivery that a connector is known to decode.
pub(crate) struct Fixture {
    pub(crate) name: String,
    pub(crate) body: Vec<u8>,
    /// `None` while expectations are being written.
    pub(crate) expected: Option<Vec<Inbound>>,
    pub(crate) expected_path: PathBuf,
}

#[expect(
    clippy::disallowed_methods,
    reason = "a switch of the test run, not of the daemon"
)]
pub(crate) fn updates_expectations() -> bool {
    std::env::var_os("UPDATE_EXPECTED").is_some_and(|value| value == "1")
}

/// Reads the fixtures of a connector, in the order of their names.
pub(crate) fn load(subject: &Subject<'_>) -> Result<Vec<Fixture>, Fault> {
    let fault = |detail: String| Fault::new("fixtures", detail);
    let folder = subject
        .fixtures
        .ok_or_else(|| fault("a channel with a webhook has fixtures".to_owned()))?;
    let listing = std::fs::read_dir(folder)
        .map_err(|error| fault(format!("{}: {error}", folder.display())))?;
    let mut names = BTreeSet::new();
    let mut expectations = BTreeSet::new();
    for file in listing {
        let file = file.map_err(|error| fault(error.to_string()))?.file_name();
        let file = file.to_string_lossy();
        if let Some(name) = file.strip_suffix(".expected.json") {
            expectations.insert(name.to_owned());
        } else if let Some(name) = file.strip_suffix(".json") {
            names.insert(name.to_owned());
        }
    }
    if names.is_empty() {
        return Err(fault(format!("{} holds no NAME.json", folder.display())));
    }
    if let Some(orphan) = expectations.difference(&names).next() {
        return Err(fault(format!(
            "{orphan}.expected.json has no {orphan}.json beside it"
        )));
    }
    names
        .into_iter()
        .map(|name| {
            let body = std::fs::read(folder.join(format!("{name}.json")))
                .map_err(|error| fault(format!("{name}: {error}")))?;
            let expected_path = folder.join(format!("{name}.expected.json"));
            let expected = if updates_expectations() {
                None
            } else {
                let text = std::fs::read_to_string(&expected_path).map_err(|error| {
                    fault(format!(
                        "{name}.expected.json: {error}; UPDATE_EXPECTED=1 writes it"
                    ))
                })?;
                let events = serde_json::from_str(&text)
                    .map_err(|error| fault(format!("{name}.expected.json: {error}")))?;
                Some(events)
            };
            Ok(Fixture {
                name,
                body,
                expected,
                expected_path,
            })
        })
        .collect()
}
