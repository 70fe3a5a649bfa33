//! The order of the inbox, in memory: it changes with every message, and costs more in a tree on disk than it is worth.
//! It is filled when the store opens.

use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};

use deskbell_sdk::Time;

use crate::id::{ContactId, ConversationId};
use crate::store::{ChannelNo, ConversationRecord, Scope};

/// Where a conversation stands in the inbox.
type Standing = (Time, ConversationId);

/// What is kept in memory of each conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// Its channel, which never changes.
    pub(super) channel: ChannelNo,
    /// Its customer.
    pub(super) contact: ContactId,
    activity: Time,
}

/// The order of the inbox by channel, and what is known of each conversation.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    orders: BTreeMap<ChannelNo, BTreeSet<Standing>>,
    known: HashMap<ConversationId, Known>,
}

impl Inbox {
    /// Takes in how a conversation is now.
    pub(super) fn update(&mut self, conversation: &ConversationRecord) {
        let now = Known {
            channel: conversation.channel,
            contact: conversation.contact,
            activity: conversation.last_activity_at,
        };
        let before = self.known.insert(conversation.id, now);
        if let Some(before) = before
            && let Some(order) = self.orders.get_mut(&before.channel)
        {
            order.remove(&(before.activity, conversation.id));
        }
        self.orders
            .entry(now.channel)
            .or_default()
            .insert((now.activity, conversation.id));
    }

    /// A conversation was erased.
    pub(super) fn remove(&mut self, id: ConversationId) {
        if let Some(known) = self.known.remove(&id)
            && let Some(order) = self.orders.get_mut(&known.channel)
        {
            order.remove(&(known.activity, id));
        }
    }

    /// What is known of a conversation.
    pub(super) fn known(&self, id: ConversationId) -> Option<Known> {
        self.known.get(&id).copied()
    }

    /// How many conversations there are.
    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// The channels that have conversations and are allowed and wanted.
    pub(super) fn channels(&self, scope: &Scope, wanted: Option<&[ChannelNo]>) -> Vec<ChannelNo> {
        let all = self.orders.keys().copied();
        all.filter(|channel| scope.allows(*channel))
            .filter(|channel| wanted.is_none_or(|wanted| wanted.contains(channel)))
            .collect()
    }

    /// The conversations behind `behind` in the order (last activity, id), last activity first.
    pub(super) fn page(
        &self,
        channels: &[ChannelNo],
        behind: Option<Standing>,
        limit: usize,
    ) -> Vec<ConversationId> {
        let mut orders: Vec<_> = channels
            .iter()
            .filter_map(|channel| self.orders.get(channel))
            .map(|order| match behind {
                Some(behind) => order.range(..behind).rev(),
                None => order.range(..).rev(),
            })
            .collect();
        let mut heads: BinaryHeap<_> = orders
            .iter_mut()
            .enumerate()
            .filter_map(|(place, order)| Some((*order.next()?, place)))
            .collect();
        let mut page = Vec::new();
        while page.len() < limit
            && let Some(((_, id), place)) = heads.pop()
        {
            page.push(id);
            heads.extend(orders[place].next().map(|next| (*next, place)));
        }
        page
    }
}
