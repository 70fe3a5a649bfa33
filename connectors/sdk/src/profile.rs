//! Who a person is at the platform.

use crate::client::{BoxFuture, CallError, Http};
use crate::inbound::Source;

/// What a platform tells of a person.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// The name.
    pub name: Option<String>,
    /// The picture.
    pub picture: Option<Source>,
}

/// Looks up people.
pub trait Profiles: Send + Sync {
    /// Looks up a person by the platform's id. `None`: the platform tells nothing of this person, now or later.
    fn profile<'a>(
        &'a self,
        http: &'a dyn Http,
        person: &'a str,
    ) -> BoxFuture<'a, Result<Option<Profile>, CallError>>;
}
