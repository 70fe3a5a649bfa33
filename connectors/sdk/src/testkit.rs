//! What every connector is tested with (feature `testkit`, for tests only).
//!
//! A connector has one test that calls [`conformance::run`] with its kind, settings and fixtures; the run finds by
//! ability what there is to examine. [`http::ScriptedHttp`] stands in for the platform where a connector calls it.

mod chance;
pub mod conformance;
mod fixtures;
mod forgery;
pub mod http;
mod json_map;
mod leaks;
mod mutation;
pub mod sending;

use std::fmt;

/// What the run found wrong: the check that failed and what was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The check's short name: `forgery`, `mutation` …
    pub check: &'static str,
    /// What was done and what came of it, with the seed where chance was in it.
    pub detail: String,
}

impl Fault {
    pub(crate) fn new(check: &'static str, detail: impl Into<String>) -> Self {
        Self {
            check,
            detail: detail.into(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "conformance, {}: {}", self.check, self.detail)
    }
}

impl std::error::Error for Fault {}
