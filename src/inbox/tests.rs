//! The projection against a plain reading of the same records, and what it costs.

use std::collections::BTreeSet;
use std::sync::Arc;

use deskbell_sdk::Time;

use super::{Inbox, Order, Statuses, Wanted};
use crate::id::{ContactId, ConversationId, MessageId, TeamId, UserId};
use crate::store::change::{EventBody, Group, LogEvent};
use crate::store::memory::MemoryStore;
use crate::store::record::{ChannelNo, ConversationRecord, Place, Status};
use crate::store::{Read, Scope, Store};

const STATUSES: [Status; 4] = [
    Status::Open,
    Status::Pending,
    Status::Snoozed,
    Status::Resolved,
];

/// Numbers without order that are the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}

fn conversation(id: u64, dice: &mut Dice) -> ConversationRecord {
    let at =
        |dice: &mut Dice| Time::from_millis(1_700_000_000_000 + dice.below(5_000).cast_signed());
    let status = STATUSES[usize::try_from(dice.below(4)).expect("small")];
    let spam = dice.once_in(6);
    let blocked = dice.once_in(9);
    ConversationRecord {
        id: ConversationId(id),
        version: 1,
        channel: ChannelNo(1 + u16::try_from(dice.below(3)).expect("small")),
        thread: format!("thread-{id}"),
        contact: ContactId(id),
        contact_name: None,
        status,
        assignee: dice.once_in(2).then(|| UserId(1 + dice.below(3))),
        team: dice.once_in(3).then(|| TeamId(1 + dice.below(2))),
        labels: ["glaze", "kiln", "vase"]
            .into_iter()
            .filter(|_| dice.once_in(3))
            .map(str::to_owned)
            .collect(),
        priority: None,
        subject: None,
        snoozed_until: (status == Status::Snoozed).then(|| at(dice)),
        unread_count: u32::try_from(dice.below(3)).expect("small"),
        message_count: 1,
        last_message: None,
        waiting_since: (!spam && !blocked && dice.once_in(2)).then(|| at(dice)),
        answered_up_to: Place::FIRST,
        customer_acted_at: None,
        delivered_up_to: None,
        read_up_to: None,
        staff_read_up_to: MessageId(0),
        created_at: at(dice),
        last_activity_at: at(dice),
        contact_avatar: None,
        spam,
        blocked,
        mentioned: dice
            .once_in(4)
            .then(|| UserId(1 + dice.below(3)))
            .into_iter()
            .collect(),
        last_said: None,
        ring: None,
    }
}

fn write(store: &MemoryStore, records: &[ConversationRecord], is_new: bool) {
    let events = records.iter().enumerate().map(|(place, record)| {
        let conversation = Arc::new(record.clone());
        LogEvent {
            seq: store.head() + 1 + place as u64,
            at: record.created_at,
            body: if is_new {
                EventBody::ConversationCreated { conversation }
            } else {
                EventBody::ConversationUpdated { conversation }
            },
            hops: 0,
        }
    });
    let group = Group {
        events: events.collect(),
        last_id: 1_000_000,
        ..Group::default()
    };
    store.commit(group).expect("memory");
}

fn filled(count: u64, dice: &mut Dice) -> (MemoryStore, Vec<ConversationRecord>) {
    let store = MemoryStore::new();
    let records: Vec<_> = (1..=count).map(|id| conversation(id, dice)).collect();
    for records in records.chunks(1_000) {
        write(&store, records, true);
    }
    (store, records)
}

fn wanted(dice: &mut Dice) -> Wanted {
    let mut statuses = Statuses::default();
    for status in &STATUSES[..3] {
        if dice.once_in(2) {
            statuses = statuses.and(*status);
        }
    }
    Wanted {
        statuses,
        channels: dice
            .once_in(4)
            .then(|| BTreeSet::from([ChannelNo(1), ChannelNo(3)])),
        waiting: dice.once_in(3),
        assignee: dice
            .once_in(3)
            .then(|| dice.once_in(2).then(|| UserId(1 + dice.below(4)))),
        team: dice.once_in(6).then(|| TeamId(1 + dice.below(3))),
        label: dice.once_in(4).then(|| {
            ["kiln", "vase", "none such"][usize::try_from(dice.below(3)).expect("small")].to_owned()
        }),
        unread: dice.once_in(6),
        mentioned: dice.once_in(6).then(|| UserId(1 + dice.below(4))),
        spam: dice.once_in(5),
    }
}

fn scope(dice: &mut Dice) -> Scope {
    match dice.below(3) {
        0 => Scope::of_all_channels(),
        1 => Scope::of_channels([ChannelNo(2)]),
        _ => Scope::of_channels([ChannelNo(1), ChannelNo(2)]),
    }
}

/// The same by looking at every record.
fn plainly(
    records: &[ConversationRecord],
    scope: &Scope,
    wanted: &Wanted,
    order: Order,
) -> Vec<(Time, ConversationId)> {
    let unanswered = |record: &ConversationRecord| {
        record
            .waiting_since
            .filter(|_| !record.spam && matches!(record.status, Status::Open | Status::Pending))
    };
    let mut found: Vec<_> = records
        .iter()
        .filter(|record| {
            scope.allows(record.channel)
                && wanted.statuses.has(record.status)
                && record.spam == wanted.spam
                && wanted
                    .channels
                    .as_ref()
                    .is_none_or(|channels| channels.contains(&record.channel))
                && (!wanted.waiting || unanswered(record).is_some())
                && wanted.assignee.is_none_or(|who| record.assignee == who)
                && wanted.team.is_none_or(|team| record.team == Some(team))
                && wanted
                    .label
                    .as_ref()
                    .is_none_or(|label| record.labels.contains(label))
                && (!wanted.unread || record.unread_count > 0)
                && wanted
                    .mentioned
                    .is_none_or(|user| record.mentioned.contains(&user))
        })
        .filter_map(|record| match order {
            Order::Activity => Some((record.last_activity_at, record.id)),
            Order::Waiting => Some((unanswered(record)?, record.id)),
        })
        .collect();
    found.sort_unstable();
    if order == Order::Activity {
        found.reverse();
    }
    found
}

/// Every page, one after the other.
fn paged(
    inbox: &Inbox,
    store: &MemoryStore,
    scope: &Scope,
    wanted: &Wanted,
    order: Order,
) -> Vec<(Time, ConversationId)> {
    let (mut all, mut behind) = (Vec::new(), None);
    loop {
        let page = inbox
            .page(store, scope, wanted, order, behind, 7)
            .expect("memory");
        behind = page.last().copied().or(behind);
        let is_last = page.len() < 7;
        all.extend(page);
        if is_last {
            return all;
        }
    }
}

#[test]
fn each_page_and_count_is_what_a_plain_reading_gives_before_and_after_changes() {
    let mut dice = Dice(7);
    let (store, mut records) = filled(300, &mut dice);
    let inbox = Inbox::default();
    let mut found = 0;
    for round in 0..400 {
        if round % 4 == 3 {
            let at = usize::try_from(dice.below(300)).expect("small");
            records[at] = conversation(records[at].id.0, &mut dice);
            write(&store, std::slice::from_ref(&records[at]), false);
        }
        let (scope, wanted) = (scope(&mut dice), wanted(&mut dice));
        for order in [Order::Activity, Order::Waiting] {
            let plain = plainly(&records, &scope, &wanted, order);
            assert_eq!(
                paged(&inbox, &store, &scope, &wanted, order),
                plain,
                "{wanted:?} {order:?}"
            );
            found += plain.len();
        }
        let number = inbox.count(&store, &scope, &wanted, 20).expect("memory");
        let plain = plainly(&records, &scope, &wanted, Order::Activity).len();
        assert_eq!(number, plain.min(20));
        let user = UserId(1 + dice.below(3));
        let counts = inbox.counts(&store, &scope, Some(user)).expect("memory");
        let count =
            |wanted: Wanted| plainly(&records, &scope, &wanted, Order::Activity).len() as u64;
        let open = Wanted {
            statuses: Statuses::default().and(Status::Open),
            ..Wanted::default()
        };
        assert_eq!(counts.open, count(open.clone()));
        assert_eq!(counts.channels.values().sum::<u64>(), counts.open);
        let of = |assignee| Wanted {
            assignee: Some(assignee),
            ..open.clone()
        };
        assert_eq!(counts.mine, count(of(Some(user))));
        assert_eq!(counts.unassigned, count(of(None)));
        let unanswered = Wanted {
            statuses: Statuses::AWAKE,
            waiting: true,
            ..Wanted::default()
        };
        assert_eq!(counts.unanswered, count(unanswered));
        let mentions = Wanted {
            statuses: Statuses::UNRESOLVED,
            mentioned: Some(user),
            ..Wanted::default()
        };
        assert_eq!(counts.mentions, count(mentions));
        let spam = Wanted {
            statuses: Statuses::UNRESOLVED,
            spam: true,
            ..Wanted::default()
        };
        assert_eq!(counts.spam, count(spam));
        let kiln = Wanted {
            label: Some("kiln".to_owned()),
            ..open.clone()
        };
        assert_eq!(counts.labels.get("kiln").copied().unwrap_or(0), count(kiln));
    }
    assert!(found > 5_000, "{found}: the filters fit too little to tell");
}

#[test]
fn what_does_not_move_is_neither_skipped_nor_repeated_while_others_do() {
    let mut dice = Dice(11);
    let (store, mut records) = filled(400, &mut dice);
    let inbox = Inbox::default();
    let scope = Scope::of_all_channels();
    let wanted = Wanted {
        statuses: Statuses::AWAKE,
        ..Wanted::default()
    };
    for order in [Order::Activity, Order::Waiting] {
        let before = plainly(&records, &scope, &wanted, order);
        let (mut seen, mut behind, mut moved) = (Vec::new(), None, BTreeSet::new());
        loop {
            let page = inbox
                .page(&store, &scope, &wanted, order, behind, 5)
                .expect("memory");
            let Some(last) = page.last().copied() else {
                break;
            };
            behind = Some(last);
            seen.extend(page);
            let at = usize::try_from(dice.below(400)).expect("small");
            records[at] = conversation(records[at].id.0, &mut dice);
            moved.insert(records[at].id);
            write(&store, std::slice::from_ref(&records[at]), false);
        }
        for stand in before.iter().filter(|(_, id)| !moved.contains(id)) {
            let times = seen.iter().filter(|(_, id)| *id == stand.1).count();
            assert_eq!(times, 1, "{stand:?} {order:?}");
        }
        assert!(moved.len() > 10, "{}", moved.len());
    }
}

#[test]
fn those_of_a_person_who_is_erased_are_gone_and_those_of_one_who_was_merged_stay() {
    let mut dice = Dice(3);
    let (store, records) = filled(40, &mut dice);
    let inbox = Inbox::default();
    inbox.catch_up(&store).expect("memory");
    let open = |record: &&ConversationRecord| record.status == Status::Open && !record.spam;
    let mut open = records.iter().filter(open);
    let (erased, merged) = (open.next().expect("one"), open.next().expect("another"));
    let deleted = |contact| EventBody::ContactDeleted {
        contact,
        channels: vec![ChannelNo(1)],
    };
    let moved = ConversationRecord {
        contact: ContactId(900),
        ..merged.clone()
    };
    let conversation = Arc::new(moved);
    let bodies = [
        deleted(erased.contact),
        deleted(merged.contact),
        EventBody::ConversationUpdated { conversation },
    ];
    let events = bodies.into_iter().zip(1..).map(|(body, after)| LogEvent {
        seq: store.head() + after,
        at: Time::default(),
        body,
        hops: 0,
    });
    let group = Group {
        events: events.collect(),
        last_id: 1_000_000,
        ..Group::default()
    };
    store.commit(group).expect("memory");
    let wanted = Wanted {
        statuses: Statuses::UNRESOLVED,
        ..Wanted::default()
    };
    let scope = Scope::of_all_channels();
    let page = inbox.page(&store, &scope, &wanted, Order::Activity, None, 100);
    let ids: Vec<_> = page
        .expect("memory")
        .into_iter()
        .map(|(_, id)| id)
        .collect();
    assert!(!ids.contains(&erased.id));
    assert!(ids.contains(&merged.id));
}

#[test]
fn a_page_costs_as_much_with_fifty_thousand_conversations_as_with_five_hundred() {
    let cost = |count: u64| {
        let mut dice = Dice(5);
        let (store, _) = filled(count, &mut dice);
        let inbox = Inbox::default();
        inbox.catch_up(&store).expect("memory");
        let wanted = Wanted {
            statuses: Statuses::AWAKE,
            waiting: true,
            ..Wanted::default()
        };
        let mine = Wanted {
            assignee: Some(Some(UserId(2))),
            statuses: Statuses::default().and(Status::Open),
            ..Wanted::default()
        };
        let scope = Scope::of_all_channels();
        // The quickest of many: what else the machine does only makes it slower.
        let run = || {
            let started = std::time::Instant::now();
            for (wanted, order) in [(&wanted, Order::Waiting), (&mine, Order::Activity)] {
                let page = inbox.page(&store, &scope, wanted, order, None, 15);
                assert_eq!(page.expect("memory").len(), 15);
            }
            inbox
                .counts(&store, &scope, Some(UserId(2)))
                .expect("memory");
            started.elapsed()
        };
        (0..200).map(|_| run()).min().expect("many")
    };
    let (few, many) = (cost(500), cost(50_000));
    assert!(
        many < few * 5,
        "a page of 50,000 takes {many:?}, one of 500 {few:?}"
    );
}
