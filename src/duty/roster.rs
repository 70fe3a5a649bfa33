//! Who works when, in memory, and asked again and again: what was found is good until it changes.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use deskbell_sdk::Time;

use crate::desk::bell::Person;
use crate::desk::hours::{Hours, Stretch};
use crate::id::UserId;
use crate::store::entry::{
    AfterHours, ChannelHoursEntry, Role, UserEntry, UserHoursEntry, WeekEntry,
};
use crate::store::record::ChannelNo;

/// Hours, and the stretch that was last found.
#[derive(Debug)]
struct Asked {
    hours: Hours,
    found: Mutex<Option<Stretch>>,
}

impl Asked {
    /// `None`: there are none, or none that can be told.
    fn of(week: Option<&WeekEntry>) -> Option<Self> {
        Some(Self {
            hours: Hours::of(week?)?,
            found: Mutex::new(None),
        })
    }

    fn stretch(&self, now: Time) -> Stretch {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        match *found {
            Some(stretch) if stretch.covers(now) => stretch,
            _ => *found.insert(self.hours.stretch(now)),
        }
    }
}

/// Somebody who may sign in and answer.
#[derive(Debug)]
pub struct Worker {
    id: UserId,
    name: String,
    is_admin: bool,
    /// The slugs of the channels that they may see; `None`: all.
    channels: Option<BTreeSet<String>>,
    available: bool,
    working: Option<Asked>,
    quiet: Option<Asked>,
}

impl Worker {
    /// A person with their hours.
    #[must_use]
    pub fn new(user: &UserEntry, hours: &UserHoursEntry) -> Self {
        Self {
            id: user.id,
            name: user.name.clone(),
            is_admin: user.role == Role::Admin,
            channels: user.channels.clone(),
            available: user.available,
            working: Asked::of(hours.working.as_ref()),
            quiet: Asked::of(hours.quiet.as_ref()),
        }
    }

    /// Available, within their hours, and not in their quiet hours.
    fn is_on_duty(&self, now: Time) -> bool {
        let works = |asked: &Asked| asked.stretch(now).open;
        self.available
            && self.working.as_ref().is_none_or(works)
            && !self.quiet.as_ref().is_some_and(works)
    }

    fn sees(&self, slug: Option<&str>) -> bool {
        match (&self.channels, slug) {
            (None, _) => true,
            (Some(channels), Some(slug)) => channels.contains(slug),
            (Some(_), None) => false,
        }
    }
}

/// Somebody who is on duty or on call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct There<'a> {
    /// Who.
    pub id: UserId,
    /// The name that others see.
    pub name: &'a str,
    /// Whether they are on call.
    pub on_call: bool,
    /// Since when they are within working hours that are set; `None`: there are none, or they are on call outside of them.
    pub hours_since: Option<Time>,
}

/// The hours of a channel.
#[derive(Debug)]
pub struct Channel {
    open: Option<Asked>,
    after_hours: AfterHours,
}

impl Channel {
    /// A channel with its hours.
    #[must_use]
    pub fn new(entry: &ChannelHoursEntry) -> Self {
        Self {
            open: Asked::of(entry.open.as_ref()),
            after_hours: entry.after_hours,
        }
    }
}

/// Who works when.
#[derive(Debug)]
pub struct Roster {
    people: Vec<Worker>,
    channels: HashMap<ChannelNo, Channel>,
    on_call: Option<UserId>,
}

impl Roster {
    /// Nobody but perhaps somebody on call.
    #[must_use]
    pub fn new(on_call: Option<UserId>) -> Self {
        Self {
            people: Vec::new(),
            channels: HashMap::new(),
            on_call,
        }
    }

    /// One more person.
    pub fn add(&mut self, worker: Worker) {
        self.people.push(worker);
    }

    /// One more channel that has hours.
    pub fn add_channel(&mut self, no: ChannelNo, channel: Channel) {
        self.channels.insert(no, channel);
    }

    /// The stretch of a channel's hours at a time; `None`: it is always open.
    #[must_use]
    pub fn stretch_of(&self, channel: ChannelNo, now: Time) -> Option<Stretch> {
        let open = self.channels.get(&channel)?.open.as_ref()?;
        Some(open.stretch(now))
    }

    /// Whether rings of a channel wait at a time until it opens.
    #[must_use]
    pub fn holds(&self, channel: ChannelNo, now: Time) -> bool {
        self.is_closed_and(channel, AfterHours::Hold, now)
    }

    fn is_closed_and(&self, channel: ChannelNo, mode: AfterHours, now: Time) -> bool {
        let known = self.channels.get(&channel);
        known.is_some_and(|known| known.after_hours == mode)
            && self
                .stretch_of(channel, now)
                .is_some_and(|stretch| !stretch.open)
    }

    fn person(&self, worker: &Worker, now: Time) -> Person {
        Person {
            id: worker.id,
            on_duty: worker.is_on_duty(now),
            on_call: self.on_call == Some(worker.id),
        }
    }

    /// Everybody who may see the channel, by its slug; while it is closed, and its rings go to whoever is on call then,
    /// this person alone, where there is one who may see it.
    #[must_use]
    pub fn people(&self, channel: ChannelNo, slug: Option<&str>, now: Time) -> Vec<Person> {
        let may_see = self.people.iter().filter(|worker| worker.sees(slug));
        let people: Vec<Person> = may_see.map(|worker| self.person(worker, now)).collect();
        if self.is_closed_and(channel, AfterHours::OnCall, now)
            && let Some(on_call) = people.iter().find(|person| person.on_call)
        {
            return vec![*on_call];
        }
        people
    }

    /// All administrators.
    #[must_use]
    pub fn administrators(&self, now: Time) -> Vec<Person> {
        let admins = self.people.iter().filter(|worker| worker.is_admin);
        admins.map(|worker| self.person(worker, now)).collect()
    }

    /// Everybody who is on duty or on call.
    #[must_use]
    pub fn there(&self, now: Time) -> Vec<There<'_>> {
        let there = self.people.iter().filter_map(|worker| {
            let on_duty = worker.is_on_duty(now);
            let on_call = self.on_call == Some(worker.id);
            let stretch = worker.working.as_ref().map(|asked| asked.stretch(now));
            (on_duty || on_call).then(|| There {
                id: worker.id,
                name: &worker.name,
                on_call,
                hours_since: stretch
                    .filter(|stretch| on_duty && stretch.open)
                    .map(|stretch| stretch.since),
            })
        });
        there.collect()
    }

    /// How somebody stands; `None` where they may not sign in or not answer.
    #[must_use]
    pub fn standing(&self, user: UserId, now: Time) -> Option<Person> {
        let worker = self.people.iter().find(|worker| worker.id == user)?;
        Some(self.person(worker, now))
    }
}
