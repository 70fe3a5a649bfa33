//! Who works now: read when a ring has to tell somebody.

use deskbell_sdk::Time;

use crate::app::Daemon;
use crate::desk::bell::Person;
use crate::store::Found;
use crate::store::entry::{Entry, Role, UserEntry, UserStatus};
use crate::store::record::ChannelNo;

/// How many people are read at once.
const BATCH: usize = 512;

/// Everybody who may see a channel and answer there, and how they stand at a time.
///
/// # Errors
/// The store cannot be read.
pub fn people(app: &Daemon, channel: ChannelNo, _now: Time) -> Found<Vec<Person>> {
    let mut people = Vec::new();
    let mut after: Option<Vec<u8>> = None;
    loop {
        let rows = UserEntry::scan(&*app.store, &[], after.as_deref(), BATCH)?;
        for (_, user) in &rows {
            let sees = crate::access::scope_of(&app.channels, user.channels.as_ref());
            let answers = user.role != Role::Viewer && user.status() == UserStatus::Active;
            if answers && sees.allows(channel) {
                people.push(Person {
                    id: user.id,
                    on_duty: user.available,
                    on_call: false,
                });
            }
        }
        match rows.last() {
            Some((key, _)) if rows.len() == BATCH => after = Some(key.clone()),
            _ => return Ok(people),
        }
    }
}
