//! Who a person is (Messenger platform, User Profile API).

use deskbell_sdk::Source;
use deskbell_sdk::client::{BoxFuture, CallError, Http};
use deskbell_sdk::profile::{Profile, Profiles};
use deskbell_sdk::text::clean_name;
use serde::Deserialize;

use crate::Messenger;
use crate::ask::ask;
use crate::decode::fetched_from;
use crate::graph::percent_encoded;

/// What Meta answers of people it tells nothing of: the account has no profile, or a permission beyond the Page's.
const NO_PROFILE: [&str; 2] = ["100/2018218", "100/2018247"];

/// What is not there is left out.
#[derive(Deserialize)]
struct Person {
    name: Option<String>,
    first_name: Option<String>,
    last_name: Option<String>,
    profile_pic: Option<String>,
}

impl Profiles for Messenger {
    fn profile<'a>(
        &'a self,
        http: &'a dyn Http,
        person: &'a str,
    ) -> BoxFuture<'a, Result<Option<Profile>, CallError>> {
        Box::pin(async move {
            let path = percent_encoded(person);
            let query = "fields=name,first_name,last_name,profile_pic";
            match ask::<Person>(&self.graph, http, &path, query).await {
                Ok(person) => Ok(Some(in_our_words(person))),
                Err(CallError::Refused { code, .. }) if NO_PROFILE.contains(&code.as_str()) => {
                    Ok(None)
                }
                Err(error) => Err(error),
            }
        })
    }
}

fn in_our_words(person: Person) -> Profile {
    let both: Vec<String> = [person.first_name, person.last_name]
        .into_iter()
        .flatten()
        .collect();
    let whole = person.name.as_deref().and_then(clean_name);
    Profile {
        name: whole.or_else(|| clean_name(&both.join(" "))),
        picture: match fetched_from(person.profile_pic.as_deref()) {
            Source::Nowhere => None,
            source => Some(source),
        },
    }
}

#[cfg(test)]
mod tests;
