//! Who works now: read when a ring has to tell somebody.
//!
//! What people, channels and the shop have set is kept in memory and read anew once the writer has changed any of it: the
//! writer counts those changes, so that none is missed, whoever made it.

mod roster;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use deskbell_sdk::Time;

pub use roster::{Channel, Roster, There, Worker};

use crate::app::Daemon;
use crate::desk::bell::{Person, whom};
use crate::desk::duty::can_answer;
use crate::desk::reach::AtWork;
use crate::id::UserId;
use crate::live::Reader;
use crate::store::entry::{
    ChannelHoursEntry, DevicesEntry, Entry, OnCallEntry, RingEntry, TeamEntry, UserEntry,
    UserHoursEntry,
};
use crate::store::record::ChannelNo;
use crate::store::{Found, Scope, Store};

/// How many entries are read at once.
const BATCH: usize = 512;

/// Who works when, as it was last read.
#[derive(Debug, Default)]
pub struct Duty {
    known: Mutex<Option<(u64, Arc<Roster>)>>,
}

/// Everybody who may see a channel and answer there, and how they stand at a time. While a channel is closed whose rings
/// go to whoever is on call then, that is this person alone.
///
/// # Errors
/// The store cannot be read.
pub fn people(app: &Daemon, channel: ChannelNo, now: Time) -> Found<Vec<Person>> {
    let known = app.channels.known(channel);
    let slug = known.as_ref().map(|entry| entry.id.as_str());
    Ok(roster(app)?.people(channel, slug, now))
}

/// Who is told of a ring at a time, by its step.
///
/// # Errors
/// The store cannot be read.
pub fn told(app: &Daemon, ring: &RingEntry, now: Time) -> Found<Vec<UserId>> {
    let people = people_of(app, ring, now)?;
    let Some(conversation) = ring.conversation else {
        return Ok(whom(ring.step, None, &BTreeSet::new(), &people));
    };
    let conversation = app.store.conversation(&Scope::whole_desk(), conversation)?;
    let team = match conversation.and_then(|conversation| conversation.team) {
        Some(team) => TeamEntry::get(&*app.store, &team.key())?,
        None => None,
    };
    let team = team.map(|team| team.members).unwrap_or_default();
    Ok(whom(ring.step, ring.assignee, &team, &people))
}

/// Those who could be told of a ring: nobody while it is silent; of an alarm the administrators; else as [`people`].
///
/// # Errors
/// The store cannot be read.
pub fn people_of(app: &Daemon, ring: &RingEntry, now: Time) -> Found<Vec<Person>> {
    match ring.channel {
        _ if !ring.sounds() => Ok(Vec::new()),
        _ if ring.alarm.is_some() => administrators(app, now),
        Some(channel) => people(app, channel, now),
        None => Ok(Vec::new()),
    }
}

/// All administrators, and how they stand at a time: who is told of what is wrong with the desk itself.
///
/// # Errors
/// The store cannot be read.
pub fn administrators(app: &Daemon, now: Time) -> Found<Vec<Person>> {
    Ok(roster(app)?.administrators(now))
}

/// How somebody stands who is on duty or on call, with what follows the stream for them.
#[must_use]
pub fn at_work(
    app: &Daemon,
    there: &There<'_>,
    devices: Option<&DevicesEntry>,
    now: Time,
) -> AtWork {
    let is_here = |reader| app.live.here_since(reader, now);
    let devices = devices.map_or(&[][..], |devices| &devices.devices);
    AtWork {
        on_call: there.on_call,
        hours_since: there.hours_since,
        desk_since: is_here(Reader::Desk(there.id)),
        companions: devices
            .iter()
            .map(|device| device.id)
            .filter(|id| is_here(Reader::Companion(*id)).is_some())
            .collect(),
    }
}

/// Who works when. Read anew where it has changed.
///
/// # Errors
/// The store cannot be read.
pub fn roster(app: &Daemon) -> Found<Arc<Roster>> {
    // Before it is read: what changes meanwhile makes another number.
    let changes = app.writer.changes_of_duty();
    let lock = || {
        app.duty
            .known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    };
    if let Some((number, roster)) = &*lock()
        && *number == changes
    {
        return Ok(Arc::clone(roster));
    }
    let roster = Arc::new(read(&*app.store)?);
    *lock() = Some((changes, Arc::clone(&roster)));
    Ok(roster)
}

/// Reads who works when.
///
/// # Errors
/// The store cannot be read.
pub fn read(store: &dyn Store) -> Found<Roster> {
    let on_call = OnCallEntry::get(store, OnCallEntry::KEY)?.and_then(|entry| entry.user);
    let mut roster = Roster::new(on_call);
    let mut after: Option<Vec<u8>> = None;
    loop {
        let rows = UserEntry::scan(store, &[], after.as_deref(), BATCH)?;
        for (key, user) in &rows {
            if can_answer(user) {
                let hours = UserHoursEntry::get(store, key)?.unwrap_or_default();
                roster.add(Worker::new(user, &hours));
            }
        }
        match rows.last() {
            Some((key, _)) if rows.len() == BATCH => after = Some(key.clone()),
            _ => break,
        }
    }
    after = None;
    loop {
        let rows = ChannelHoursEntry::scan(store, &[], after.as_deref(), BATCH)?;
        for (key, entry) in &rows {
            if let Ok(no) = key.as_slice().try_into() {
                let no = ChannelNo(u16::from_be_bytes(no));
                roster.add_channel(no, Channel::new(entry));
            }
        }
        match rows.last() {
            Some((key, _)) if rows.len() == BATCH => after = Some(key.clone()),
            _ => return Ok(roster),
        }
    }
}

#[cfg(test)]
mod tests;
