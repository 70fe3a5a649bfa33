//! Whom rings tell, and how seldom a dead device is tried.

use std::sync::Arc;

use deskbell_sdk::{Author, Direction, Event, NewMessage, Person as Customer};

use super::*;
use crate::desk::bell::{Climb, Steps};
use crate::desk::devices::AddBrowser;
use crate::desk::people::{AddUser, NewUser};
use crate::desk::testing::Desk;
use crate::id::UserId;
use crate::store::Read as _;
use crate::store::entry::{Actor, ActorKind, DeviceEntry, Role, SealedValue};

fn person(id: UserId) -> Person {
    Person {
        id,
        on_duty: true,
        on_call: false,
    }
}

fn actor() -> Actor {
    Actor {
        kind: ActorKind::Local,
        id: "local".to_owned(),
        name: "x".to_owned(),
        address: None,
    }
}

fn user(desk: &mut Desk, email: &str) -> UserId {
    let add = AddUser {
        user: NewUser {
            email: email.to_owned(),
            name: email.to_owned(),
            role: Role::Agent,
            channels: None,
            password: Some("hash".to_owned()),
        },
        link: None,
    };
    let added = desk.decide(&[add]).remove(0);
    added.expect("nothing stands against it").0.id
}

fn browser(desk: &mut Desk, user: UserId, endpoint: u8) -> DeviceId {
    let add = AddBrowser {
        user,
        name: "Browser".to_owned(),
        endpoint: vec![endpoint; 16],
        subscription: SealedValue {
            key: "k".to_owned(),
            nonce: Vec::new(),
            sealed: Vec::new(),
        },
        by: actor(),
    };
    let added = desk.decide(&[add]).remove(0).expect("added");
    // Its first test is not what is looked at here.
    let test = added.0.test.expect("it is tested at once").id;
    finish(desk, &[test], Ok(()));
    added.0.id
}

fn arrives(desk: &mut Desk, who: &str) {
    let number = desk.store.head();
    desk.deliver(&[Event::Message(Box::new(NewMessage {
        thread: who.to_owned(),
        customer: Customer::with_id(who),
        external_id: format!("m{number}"),
        direction: Direction::Inbound,
        author: Author::Contact(Customer::with_id(who)),
        text: Some("Hello".to_owned()),
        attachments: Vec::new(),
        reply_to: None,
        sent_at: Time::from_millis(desk.now),
        order: number,
        metadata: std::collections::BTreeMap::new(),
        send_token: None,
        album: None,
    }))]);
}

fn waiting(desk: &Desk) -> Vec<TellingEntry> {
    let found = TellingEntry::scan(&desk.store, &[], None, 10_000).expect("memory");
    found.into_iter().map(|(_, telling)| telling).collect()
}

fn rings(desk: &Desk) -> Vec<RingEntry> {
    let found = RingEntry::scan(&desk.store, &[], None, 10_000).expect("memory");
    found.into_iter().map(|(_, ring)| ring).collect()
}

fn device(desk: &Desk, user: UserId, id: DeviceId) -> Option<DeviceEntry> {
    let devices = DevicesEntry::get(&desk.store, &user.key()).expect("memory");
    devices.and_then(|devices| devices.device(id).cloned())
}

fn begin(desk: &mut Desk, works: &[WorkId]) -> Vec<TellingEntry> {
    let works = works.to_vec();
    desk.decide(&[Begin { works }]).remove(0)
}

fn finish(desk: &mut Desk, works: &[WorkId], ended: Result<(), Trouble>) -> Next {
    let finish = Finish {
        works: works.to_vec(),
        ended,
        jitter: 1.0,
    };
    desk.decide(&[finish]).remove(0)
}

#[test]
fn f34_a_ring_and_its_work_are_one_step_and_its_end_is_told() {
    let mut desk = Desk::new();
    let (eva, ida) = (
        user(&mut desk, "eva@shop.example"),
        user(&mut desk, "ida@shop.example"),
    );
    let (one, two) = (browser(&mut desk, eva, 1), browser(&mut desk, eva, 2));
    browser(&mut desk, ida, 3);
    desk.people = vec![person(eva)];
    assert!(waiting(&desk).is_empty());
    arrives(&mut desk, "jana");
    let ring = rings(&desk).remove(0);
    assert_eq!(ring.told, [eva]);
    let events = desk.store.events(0, 1_000).expect("memory");
    let in_log = events.iter().rev().find_map(|event| match &event.body {
        EventBody::BellRung { ring } => Some(ring.told.clone()),
        _ => None,
    });
    assert_eq!(in_log, Some(vec![eva]), "the stream tells whom");
    let work = waiting(&desk);
    let of: Vec<DeviceId> = work.iter().map(|telling| telling.device).collect();
    assert_eq!(of, [one, two], "each device of whom it tells, and no other");
    // One gets through, the other is on its way when somebody takes it.
    assert_eq!(begin(&mut desk, &[work[0].id]).len(), 1);
    assert_eq!(finish(&mut desk, &[work[0].id], Ok(())), Next::Done);
    assert_eq!(begin(&mut desk, &[work[1].id]).len(), 1);
    let take = bell::Take {
        scope: Scope::whole_desk(),
        ring: ring.id,
        user: Some(eva),
        taker: eva.to_string(),
    };
    desk.decide(&[take]);
    let over = |desk: &Desk| -> Vec<DeviceId> {
        let all = waiting(desk).into_iter();
        all.filter(|telling| matches!(telling.what, Telling::Over { .. }))
            .map(|telling| telling.device)
            .collect()
    };
    assert_eq!(over(&desk), [one, two]);
    assert_eq!(finish(&mut desk, &[work[1].id], Ok(())), Next::Done);
    assert_eq!(over(&desk), [one, two, two], "what came late is taken back");
    let attempts = rings(&desk).remove(0).attempts;
    assert_eq!(attempts.len(), 2);
    assert!(attempts.iter().all(|one| one.result == AttemptResult::Sent));
}

#[test]
fn f36_what_is_over_is_not_told_and_each_step_is_told_once() {
    let mut desk = Desk::new();
    let eva = user(&mut desk, "eva@shop.example");
    browser(&mut desk, eva, 1);
    desk.people = vec![person(eva)];
    arrives(&mut desk, "jana");
    arrives(&mut desk, "jana");
    let first = waiting(&desk);
    assert_eq!(first.len(), 1, "the second message rings no second time");
    desk.now += 60_000;
    let climb = Climb {
        ring: rings(&desk)[0].id,
        steps: Arc::new(Steps::default()),
    };
    desk.decide(&[climb.clone(), climb]);
    let both = waiting(&desk);
    assert_eq!(both.len(), 2, "one a step");
    // The first step is over: its telling ends without an attempt.
    assert!(begin(&mut desk, &[first[0].id]).is_empty());
    assert_eq!(begin(&mut desk, &[both[1].id]).len(), 1);
    assert_eq!(waiting(&desk).len(), 1);
    assert_eq!(rings(&desk)[0].attempts.len(), 1);
    finish(&mut desk, &[both[1].id], Ok(()));
    assert!(begin(&mut desk, &[both[1].id]).is_empty(), "it is done");
}

#[test]
fn f30_beyond_twenty_that_wait_none_is_added() {
    let mut desk = Desk::new();
    let eva = user(&mut desk, "eva@shop.example");
    let id = browser(&mut desk, eva, 1);
    desk.people = vec![person(eva)];
    for number in 0..100 {
        arrives(&mut desk, &format!("person {number}"));
    }
    let works: Vec<WorkId> = waiting(&desk).iter().map(|telling| telling.id).collect();
    assert_eq!(works.len(), MOST_WAITING as usize);
    let all = rings(&desk);
    assert_eq!(all.len(), 100);
    let as_many = all.iter().filter(|ring| !ring.attempts.is_empty()).count();
    assert_eq!(as_many, 80, "the ledger says that they were told as many");
    begin(&mut desk, &works);
    finish(&mut desk, &works, Ok(()));
    assert_eq!(device(&desk, eva, id).expect("there").waiting, 0);
    arrives(&mut desk, "one more");
    assert_eq!(waiting(&desk).len(), 1, "there is room again");
}

#[test]
fn f30_a_flood_in_one_channel_drowns_no_other() {
    let mut desk = Desk::new();
    let eva = user(&mut desk, "eva@shop.example");
    let id = browser(&mut desk, eva, 1);
    desk.people = vec![person(eva)];
    for number in 0..100 {
        arrives(&mut desk, &format!("person {number}"));
    }
    let other = crate::store::record::ChannelNo(2);
    let in_other = |desk: &mut Desk, who: &str| {
        desk.channel = other;
        arrives(desk, who);
        desk.channel = crate::desk::testing::CHANNEL;
    };
    in_other(&mut desk, "quiet");
    in_other(&mut desk, "quiet as well");
    assert_eq!(
        waiting(&desk).len(),
        MOST_WAITING as usize + 1,
        "one of each"
    );
    let works: Vec<WorkId> = waiting(&desk).iter().map(|telling| telling.id).collect();
    begin(&mut desk, &works);
    finish(&mut desk, &works, Ok(()));
    let device = device(&desk, eva, id).expect("there");
    assert_eq!((device.waiting, device.waiting_in), (0, Vec::new()));
}

#[test]
fn o08_a_dead_subscription_goes_and_a_failing_one_is_tried_once_a_day() {
    const HOUR: i64 = 3_600_000;
    let mut desk = Desk::new();
    let eva = user(&mut desk, "eva@shop.example");
    let (gone, dead) = (browser(&mut desk, eva, 1), browser(&mut desk, eva, 2));
    desk.people = vec![person(eva)];
    arrives(&mut desk, "jana");
    for telling in waiting(&desk) {
        begin(&mut desk, &[telling.id]);
        let ended = if telling.device == gone {
            Trouble::Gone
        } else {
            Trouble::Passing("it answered 500".to_owned(), None)
        };
        finish(&mut desk, &[telling.id], Err(ended));
    }
    assert_eq!(device(&desk, eva, gone), None, "it is removed");
    let attempts = rings(&desk).remove(0).attempts;
    assert_eq!(
        attempts
            .iter()
            .map(|attempt| attempt.result)
            .collect::<Vec<_>>(),
        [AttemptResult::Expired, AttemptResult::Failed]
    );
    // Somebody writes every ten minutes for five days, and nothing gets through.
    let begun = desk.now;
    let mut tries = [0_u32; 5];
    let mut number = 0;
    while desk.now < begun + 5 * 24 * HOUR {
        number += 1;
        arrives(&mut desk, &format!("person {number}"));
        let until = desk.now + 600_000;
        while desk.now < until {
            let now = Time::from_millis(desk.now);
            let due = waiting(&desk)
                .into_iter()
                .find(|telling| telling.due_at <= now);
            let Some(telling) = due else {
                desk.now += 10_000;
                continue;
            };
            if begin(&mut desk, &[telling.id]).is_empty() {
                continue;
            }
            let day = usize::try_from((desk.now - begun) / (24 * HOUR)).expect("small");
            if let Some(tries) = tries.get_mut(day) {
                *tries += 1;
            }
            let trouble = Trouble::Passing("it answered 500".to_owned(), None);
            finish(&mut desk, &[telling.id], Err(trouble));
        }
    }
    assert!(tries[0] > 10 && tries[0] < 400, "{tries:?}");
    assert!(tries[2..].iter().all(|tries| *tries <= 1), "{tries:?}");
    let failing = device(&desk, eva, dead).expect("it stays, and says why");
    assert_eq!(failing.detail.as_deref(), Some("it answered 500"));
    // It works again: nothing is held against it.
    desk.now += 25 * HOUR;
    arrives(&mut desk, "the last");
    let work = waiting(&desk).pop().expect("it is tried").id;
    begin(&mut desk, &[work]);
    finish(&mut desk, &[work], Ok(()));
    let works = device(&desk, eva, dead).expect("there");
    assert_eq!((works.failing_since, works.next_try_at), (None, None));
}
