//! The rows of the projection and what finds them: for each order and facet the conversations in that order.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use deskbell_sdk::Time;

use super::wanted::{Order, Statuses, Wanted};
use crate::id::{ContactId, ConversationId, TeamId, UserId};
use crate::store::Scope;
use crate::store::change::EventBody;
use crate::store::record::{ChannelNo, ConversationRecord, Status};

/// Where a conversation stands in an order.
type Stand = (Time, ConversationId);

/// What of a conversation is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    channel: ChannelNo,
    status: Status,
    spam: bool,
    unread: bool,
    last_activity_at: Time,
    waiting_since: Option<Time>,
    snoozed_until: Option<Time>,
    assignee: Option<UserId>,
    team: Option<TeamId>,
    contact: ContactId,
    labels: Box<[u32]>,
    mentioned: Box<[UserId]>,
}

impl Row {
    /// Since when it is unanswered.
    fn unanswered_since(&self) -> Option<Time> {
        self.waiting_since
            .filter(|_| !self.spam && Statuses::AWAKE.has(self.status))
    }

    /// The time by which it is ordered, where it has a place in this order.
    fn time_in(&self, order: Order) -> Option<Time> {
        match order {
            Order::Activity => Some(self.last_activity_at),
            Order::Waiting => self.unanswered_since(),
        }
    }

    fn facets(&self) -> Vec<Facet> {
        if self.spam {
            return vec![Facet::Spam];
        }
        let mut facets = vec![
            Facet::Status(self.status),
            Facet::Channel(self.channel),
            Facet::Assignee(self.assignee),
        ];
        facets.extend(self.team.map(Facet::Team));
        facets.extend(self.labels.iter().map(|label| Facet::Label(*label)));
        facets.extend(self.mentioned.iter().map(|user| Facet::Mentioned(*user)));
        facets
    }

    /// In which numbers it is counted.
    fn counted(&self) -> Vec<Counted> {
        if self.spam {
            return if self.status == Status::Resolved {
                Vec::new()
            } else {
                vec![Counted::Spam]
            };
        }
        let mut counted = vec![Counted::Status(self.status)];
        if self.unanswered_since().is_some() {
            counted.push(Counted::Unanswered);
        }
        counted.extend(self.mentioned.iter().map(|user| Counted::Mentioned(*user)));
        if self.status == Status::Open {
            counted.push(Counted::Assigned(self.assignee));
            counted.extend(self.labels.iter().map(|label| Counted::Label(*label)));
        }
        counted
    }
}

/// By what conversations are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Facet {
    Status(Status),
    Channel(ChannelNo),
    Assignee(Option<UserId>),
    Team(TeamId),
    Label(u32),
    Mentioned(UserId),
    Spam,
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Counted {
    Status(Status),
    Unanswered,
    /// Open ones of a person, or of nobody.
    Assigned(Option<UserId>),
    Mentioned(UserId),
    /// Open ones with a label.
    Label(u32),
    /// Spam that is not resolved.
    Spam,
}

/// How many conversations there are in each of the views that everybody has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Customers wait for an answer.
    pub unanswered: u64,
    /// Open ones of the person who asks.
    pub mine: u64,
    /// Open ones of nobody.
    pub unassigned: u64,
    /// Open ones.
    pub open: u64,
    /// Pending ones.
    pub pending: u64,
    /// Sleeping ones.
    pub snoozed: u64,
    /// Those in which the person who asks was mentioned, and that are not resolved.
    pub mentions: u64,
    /// Spam that is not resolved.
    pub spam: u64,
    /// Open ones of each channel.
    pub channels: BTreeMap<ChannelNo, u64>,
    /// Open ones with each label.
    pub labels: BTreeMap<String, u64>,
}

/// Every conversation that is known, and what finds it.
#[derive(Debug, Default)]
pub(super) struct Rows {
    rows: HashMap<ConversationId, Row>,
    found_by: HashMap<(Order, Facet), BTreeSet<Stand>>,
    sleeping: BTreeSet<Stand>,
    counted: HashMap<(ChannelNo, Counted), u64>,
    label_numbers: HashMap<String, u32>,
    labels: Vec<String>,
}

impl Rows {
    /// Takes an event of the log in.
    pub(super) fn take_in(&mut self, body: &EventBody) {
        match body {
            EventBody::MessageCreated { conversation, .. }
            | EventBody::MessageUpdated { conversation, .. }
            | EventBody::ConversationCreated { conversation }
            | EventBody::ConversationUpdated { conversation } => self.set(conversation),
            // Erased with their conversations, of which the log says no more; those of one who was merged have their new
            // contact already, or get it by an event of the same step.
            EventBody::ContactDeleted { contact, .. } => self.remove_of(*contact),
            _ => {}
        }
    }

    /// Brings a conversation up to date, or lets go of one that nobody looks for here any more.
    pub(super) fn set(&mut self, conversation: &ConversationRecord) {
        let is_kept = conversation.status != Status::Resolved || conversation.spam;
        if !is_kept {
            self.remove(conversation.id);
            return;
        }
        let labels = conversation.labels.iter();
        let row = Row {
            channel: conversation.channel,
            status: conversation.status,
            spam: conversation.spam,
            unread: conversation.unread_count > 0,
            last_activity_at: conversation.last_activity_at,
            waiting_since: conversation.waiting_since,
            snoozed_until: conversation
                .snoozed_until
                .filter(|_| conversation.status == Status::Snoozed),
            assignee: conversation.assignee,
            team: conversation.team,
            contact: conversation.contact,
            labels: labels.map(|label| self.label_number(label)).collect(),
            mentioned: conversation.mentioned.as_slice().into(),
        };
        if self.rows.get(&conversation.id) == Some(&row) {
            return;
        }
        self.remove(conversation.id);
        self.index(conversation.id, &row, true);
        self.rows.insert(conversation.id, row);
    }

    /// Lets go of a conversation.
    pub(super) fn remove(&mut self, id: ConversationId) {
        if let Some(row) = self.rows.remove(&id) {
            self.index(id, &row, false);
        }
    }

    fn remove_of(&mut self, contact: ContactId) {
        let theirs = self.rows.iter().filter(|(_, row)| row.contact == contact);
        let theirs: Vec<_> = theirs.map(|(id, _)| *id).collect();
        for id in theirs {
            self.remove(id);
        }
    }

    fn label_number(&mut self, label: &str) -> u32 {
        if let Some(number) = self.label_numbers.get(label) {
            return *number;
        }
        let number = u32::try_from(self.labels.len()).unwrap_or(u32::MAX);
        self.labels.push(label.to_owned());
        self.label_numbers.insert(label.to_owned(), number);
        number
    }

    /// Writes a row into everything that finds or counts it, or takes it out.
    fn index(&mut self, id: ConversationId, row: &Row, is_in: bool) {
        for order in [Order::Activity, Order::Waiting] {
            let Some(time) = row.time_in(order) else {
                continue;
            };
            for facet in row.facets() {
                let stands = self.found_by.entry((order, facet)).or_default();
                if is_in {
                    stands.insert((time, id));
                } else {
                    stands.remove(&(time, id));
                    if stands.is_empty() {
                        self.found_by.remove(&(order, facet));
                    }
                }
            }
        }
        if let Some(until) = row.snoozed_until {
            if is_in {
                self.sleeping.insert((until, id));
            } else {
                self.sleeping.remove(&(until, id));
            }
        }
        for counted in row.counted() {
            let key = (row.channel, counted);
            let count = self.counted.entry(key).or_default();
            if is_in {
                *count += 1;
            } else {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    self.counted.remove(&key);
                }
            }
        }
    }

    /// See [`super::Inbox::page`].
    pub(super) fn page(
        &self,
        scope: &Scope,
        wanted: &Wanted,
        order: Order,
        behind: Option<Stand>,
        limit: usize,
    ) -> Vec<Stand> {
        let label = match &wanted.label {
            None => None,
            Some(label) => match self.label_numbers.get(label) {
                Some(number) => Some(*number),
                // Nothing bears it.
                None => return Vec::new(),
            },
        };
        let fits = |stand: &Stand| {
            self.rows.get(&stand.1).is_some_and(|row| {
                scope.allows(row.channel)
                    && wanted
                        .channels
                        .as_ref()
                        .is_none_or(|channels| channels.contains(&row.channel))
                    && wanted.statuses.has(row.status)
                    && (!wanted.waiting || row.unanswered_since().is_some())
                    && wanted.assignee.is_none_or(|who| row.assignee == who)
                    && wanted.team.is_none_or(|team| row.team == Some(team))
                    && label.is_none_or(|label| row.labels.contains(&label))
                    && (!wanted.unread || row.unread)
                    && wanted
                        .mentioned
                        .is_none_or(|user| row.mentioned.contains(&user))
                    && wanted.spam == row.spam
            })
        };
        let mut lists: Vec<_> = self.shortest(scope, wanted, order, label);
        // Each list gives its next one, and the first of these in the order is the next of all.
        let mut heads: Vec<Box<dyn Iterator<Item = Stand> + '_>> = lists
            .drain(..)
            .map(|list| in_order(list, order, behind))
            .collect();
        let mut next: Vec<Option<Stand>> = heads.iter_mut().map(Iterator::next).collect();
        let mut taken = Vec::new();
        while taken.len() < limit {
            let first = match order {
                Order::Activity => next.iter().enumerate().max_by_key(|(_, stand)| **stand),
                Order::Waiting => next
                    .iter()
                    .enumerate()
                    .filter(|(_, stand)| stand.is_some())
                    .min_by_key(|(_, stand)| **stand),
            };
            let Some((place, Some(stand))) = first.map(|(place, stand)| (place, *stand)) else {
                break;
            };
            if fits(&stand) {
                taken.push(stand);
            }
            next[place] = heads[place].next();
        }
        taken
    }

    /// Of the facets that are asked for the one in which the fewest conversations have to be looked at.
    fn shortest(
        &self,
        scope: &Scope,
        wanted: &Wanted,
        order: Order,
        label: Option<u32>,
    ) -> Vec<&BTreeSet<Stand>> {
        if wanted.spam {
            return self
                .found_by
                .get(&(order, Facet::Spam))
                .into_iter()
                .collect();
        }
        // Whoever waits is in the other order, too, which then finds no others.
        let mut choices: Vec<Vec<Facet>> =
            vec![wanted.statuses.each().map(Facet::Status).collect()];
        choices.extend(wanted.assignee.map(|who| vec![Facet::Assignee(who)]));
        choices.extend(wanted.team.map(|team| vec![Facet::Team(team)]));
        choices.extend(label.map(|label| vec![Facet::Label(label)]));
        choices.extend(wanted.mentioned.map(|user| vec![Facet::Mentioned(user)]));
        let channels = [scope.channels(), wanted.channels.as_ref()];
        for channels in channels.into_iter().flatten() {
            choices.push(channels.iter().copied().map(Facet::Channel).collect());
        }
        let lists = choices.into_iter().map(|facets| {
            let lists = facets.into_iter();
            lists
                .filter_map(|facet| self.found_by.get(&(order, facet)))
                .collect::<Vec<_>>()
        });
        lists
            .min_by_key(|lists| lists.iter().map(|list| list.len()).sum::<usize>())
            .unwrap_or_default()
    }

    /// See [`super::Inbox::counts`].
    pub(super) fn counts(&self, scope: &Scope, user: Option<UserId>) -> Counts {
        let mut counts = Counts::default();
        for ((channel, counted), number) in &self.counted {
            if !scope.allows(*channel) {
                continue;
            }
            let count = match counted {
                Counted::Status(Status::Open) => {
                    *counts.channels.entry(*channel).or_default() += number;
                    &mut counts.open
                }
                Counted::Status(Status::Pending) => &mut counts.pending,
                Counted::Status(Status::Snoozed) => &mut counts.snoozed,
                Counted::Unanswered => &mut counts.unanswered,
                Counted::Assigned(None) => &mut counts.unassigned,
                Counted::Assigned(who) if user.is_some() && *who == user => &mut counts.mine,
                Counted::Mentioned(who) if Some(*who) == user => &mut counts.mentions,
                Counted::Spam => &mut counts.spam,
                Counted::Label(label) => {
                    let Some(label) = usize::try_from(*label)
                        .ok()
                        .and_then(|at| self.labels.get(at))
                    else {
                        continue;
                    };
                    counts.labels.entry(label.clone()).or_default()
                }
                _ => continue,
            };
            *count += number;
        }
        counts
    }

    /// See [`super::Inbox::sleepers`].
    pub(super) fn sleepers(&self, now: Time, limit: usize) -> (Vec<ConversationId>, Option<Time>) {
        let due = self.sleeping.iter().take_while(|(until, _)| *until <= now);
        let due: Vec<_> = due.take(limit).map(|(_, id)| *id).collect();
        let next = self.sleeping.iter().nth(due.len()).map(|(until, _)| *until);
        (due, next)
    }
}

/// What stands behind a place in a list.
fn in_order(
    list: &BTreeSet<Stand>,
    order: Order,
    behind: Option<Stand>,
) -> Box<dyn Iterator<Item = Stand> + '_> {
    use std::ops::Bound::{Excluded, Unbounded};
    match (order, behind) {
        (Order::Activity, None) => Box::new(list.iter().rev().copied()),
        (Order::Activity, Some(behind)) => Box::new(list.range(..behind).rev().copied()),
        (Order::Waiting, None) => Box::new(list.iter().copied()),
        (Order::Waiting, Some(behind)) => {
            Box::new(list.range((Excluded(behind), Unbounded)).copied())
        }
    }
}
