//! What holds of answers on their way out, whatever the platform and the crashes do.

mod retried;

use std::collections::BTreeMap;

use deskbell_sdk::{Author, DeliveryState, Direction, Event, NewMessage, Person, Time};
use proptest::prelude::*;

use super::Next;
use super::outbox::{Begin, Ended, Finish, Resume, Windows, send_token};
use super::replies::{Kind, Write, Written};
use super::testing::{BASE_MS, CHANNEL, Desk};
use crate::id::{MessageId, WorkId};
use crate::store::entry::{Entry, PartRecord, WorkEntry, WorkState};
use crate::store::record::{AuthorRecord, ConversationRecord, MessageRecord};
use crate::store::{Read, Scope};

fn incoming(direction: Direction, external_id: &str, token: Option<String>, at_ms: i64) -> Event {
    let customer = Person::with_id("2001");
    Event::Message(Box::new(NewMessage {
        thread: "2001".to_owned(),
        author: match direction {
            Direction::Inbound => Author::Contact(customer.clone()),
            Direction::Outbound => Author::Staff { name: None },
        },
        customer,
        external_id: external_id.to_owned(),
        direction,
        text: Some("words".to_owned()),
        attachments: Vec::new(),
        reply_to: None,
        sent_at: Time::from_millis(at_ms),
        order: 0,
        metadata: BTreeMap::new(),
        send_token: token,
        album: None,
    }))
}

/// A desk with one waiting customer and one queued answer of `parts` texts.
struct Answer {
    desk: Desk,
    id: MessageId,
    work: WorkId,
    parts: usize,
    /// Since when its fate is looked for.
    missed_at: Option<i64>,
}

impl Answer {
    fn queued(parts: usize) -> Self {
        let mut desk = Desk::new();
        let now = desk.now;
        desk.deliver(&[incoming(Direction::Inbound, "in", None, now)]);
        let conversation = desk.message("in").conversation;
        let count = parts;
        let parts = (0..parts)
            .map(|part| PartRecord::Text(format!("part {part}")))
            .collect();
        let write = Write {
            scope: Scope::whole_desk(),
            conversation,
            author: AuthorRecord::Staff(None, Some("Ana".to_owned())),
            owner: "tok_1".to_owned(),
            text: Some("all parts".to_owned()),
            attachments: Vec::new(),
            reply_to: None,
            kind: Kind::Queued(parts),
            seen: None,
            mentions: Vec::new(),
            idempotency: Some((b"key".to_vec(), b"body".to_vec())),
        };
        let Written::Message(_, id, false) = desk.decide(std::slice::from_ref(&write))[0] else {
            panic!("written")
        };
        assert_eq!(
            desk.decide(&[write])[0],
            Written::Message(CHANNEL, id, true),
            "the key makes it one"
        );
        Self {
            desk,
            id,
            work: WorkId(id.0),
            parts: count,
            missed_at: None,
        }
    }

    fn message(&self) -> MessageRecord {
        let found = self
            .desk
            .store
            .message(&Scope::whole_desk(), CHANNEL, self.id);
        (*found.expect("memory").expect("there")).clone()
    }

    fn conversation(&self) -> ConversationRecord {
        let found = self
            .desk
            .store
            .conversation(&Scope::whole_desk(), self.message().conversation);
        (*found.expect("memory").expect("there")).clone()
    }

    fn state(&self) -> DeliveryState {
        self.message().changes.delivery.expect("an answer").state
    }

    fn item(&self) -> Option<WorkEntry> {
        WorkEntry::get(&self.desk.store, &self.work.key()).expect("memory")
    }

    fn begin(&mut self) -> bool {
        let windows = Windows {
            ordinary_ms: Some(24 * 3_600_000),
            extended_ms: None,
        };
        self.desk.decide(&[Begin {
            work: self.work,
            windows,
        }])[0]
            .is_some()
    }

    fn finish(&mut self, part: usize, ended: Ended) -> Next {
        let now = self.desk.now;
        let looking_ms = match ended {
            Ended::Unknown | Ended::NotSeen | Ended::Unanswered | Ended::Untold => {
                now - *self.missed_at.get_or_insert(now)
            }
            _ => {
                self.missed_at = None;
                0
            }
        };
        self.finish_after(part, ended, looking_ms)
    }

    fn finish_after(&mut self, part: usize, ended: Ended, looking_ms: i64) -> Next {
        self.desk.decide(&[Finish {
            work: self.work,
            part,
            ended,
            jitter: 0.5,
            looking_ms,
        }])[0]
    }

    fn echo(&mut self, part: usize, external_id: &str) {
        let token = Some(send_token(self.id, part));
        let now = self.desk.now;
        self.desk
            .deliver(&[incoming(Direction::Outbound, external_id, token, now)]);
    }

    fn count(&self) -> usize {
        let conversation = self.conversation();
        let all = self.desk.store.messages(
            &Scope::whole_desk(),
            conversation.id,
            crate::store::Place::LAST,
            100,
        );
        all.expect("memory").len()
    }
}

#[test]
fn an_answer_goes_from_queued_to_sent_and_ends_the_waiting() {
    let mut answer = Answer::queued(1);
    assert_eq!(answer.state(), DeliveryState::Queued);
    assert!(
        answer.conversation().waiting_since.is_some(),
        "what is only queued is no answer yet"
    );
    assert!(answer.begin());
    assert!(matches!(
        answer.item().expect("open").state,
        WorkState::Attempting { attempts: 1, .. }
    ));
    assert_eq!(
        answer.finish(0, Ended::Sent(Some("m_1".to_owned()))),
        Next::Done
    );
    assert_eq!(answer.state(), DeliveryState::Sent);
    assert_eq!(answer.message().external_id.as_deref(), Some("m_1"));
    assert!(answer.conversation().waiting_since.is_none());
    assert_eq!(answer.item(), None);
}

#[test]
fn f20_an_echo_before_or_after_our_own_answer_makes_no_second_message() {
    for echo_first in [true, false] {
        let mut answer = Answer::queued(1);
        answer.begin();
        if echo_first {
            answer.echo(0, "m_1");
            assert_eq!(answer.state(), DeliveryState::Sent);
        }
        assert_eq!(
            answer.finish(0, Ended::Sent(Some("m_1".to_owned()))),
            Next::Done
        );
        answer.echo(0, "m_1");
        assert_eq!((answer.state(), answer.count()), (DeliveryState::Sent, 2));
    }
}

#[test]
fn f13_a_lost_answer_is_looked_for_and_never_sent_blindly() {
    let mut answer = Answer::queued(1);
    answer.begin();
    assert!(matches!(answer.finish(0, Ended::Unknown), Next::At(_)));
    assert!(matches!(
        answer.item().expect("open").state,
        WorkState::Looking { .. }
    ));
    answer.finish(0, Ended::NotSeen);
    assert!(
        matches!(
            answer.item().expect("open").state,
            WorkState::Looking { .. }
        ),
        "too early to tell"
    );
    answer.desk.now += 21_000;
    answer.finish(0, Ended::NotSeen);
    assert!(
        matches!(
            answer.item().expect("open").state,
            WorkState::Waiting { .. }
        ),
        "certainly not there"
    );

    let mut answer = Answer::queued(1);
    answer.begin();
    answer.finish(0, Ended::Unknown);
    for _ in 0..30 {
        answer.desk.now += 3_000;
        answer.finish(0, Ended::Unanswered);
    }
    assert_eq!(
        answer.state(),
        DeliveryState::Unknown,
        "after a minute a person decides"
    );
    assert_eq!(
        answer.item(),
        None,
        "later answers of the conversation wait no longer"
    );
    assert!(
        answer.conversation().waiting_since.is_some(),
        "what may not have arrived is no answer"
    );
    answer.echo(0, "m_late");
    assert_eq!(
        (answer.state(), answer.count()),
        (DeliveryState::Sent, 2),
        "a late echo settles it"
    );
    assert!(answer.conversation().waiting_since.is_none());
}

#[test]
fn f13_a_large_file_that_was_long_on_its_way_is_not_missed_too_soon() {
    let mut answer = Answer::queued(1);
    answer.begin();
    // Six minutes of upload, and no answer: the platform may have got it only now.
    answer.desk.now += 6 * 60_000;
    answer.finish(0, Ended::Unknown);
    answer.desk.now += 3_000;
    answer.finish(0, Ended::NotSeen);
    let state = answer.item().expect("it waits").state;
    assert!(matches!(state, WorkState::Looking { .. }), "{state:?}");
    answer.desk.now += 20_000;
    answer.finish(0, Ended::NotSeen);
    let state = answer.item().expect("it waits").state;
    assert!(matches!(state, WorkState::Waiting { .. }), "{state:?}");
}

#[test]
fn f11_a_clock_that_is_set_forward_makes_no_absence() {
    let mut answer = Answer::queued(1);
    answer.begin();
    answer.finish(0, Ended::Unknown);
    // Three seconds later the clock says that it is an hour later.
    answer.desk.now += 3_597_000;
    answer.finish_after(0, Ended::NotSeen, 3_000);
    let state = answer.item().expect("it is looked for").state;
    assert!(matches!(state, WorkState::Looking { .. }), "{state:?}");
    // A daemon that is restarted again and again gives up in the end, and does not send again.
    answer.desk.now += 10_000;
    answer.finish_after(0, Ended::Unanswered, 0);
    assert_eq!(answer.state(), DeliveryState::Unknown);
}

#[test]
fn a_crash_during_an_attempt_is_looked_into_first() {
    let mut answer = Answer::queued(1);
    answer.begin();
    // The daemon dies here; another takes the item up.
    let errand = answer
        .desk
        .decide(&[Resume { work: answer.work }])
        .remove(0)
        .expect("to be looked for");
    assert_eq!(errand.part, 0);
    assert!(matches!(
        answer.item().expect("open").state,
        WorkState::Looking { .. }
    ));
}

#[test]
fn f15_a_failure_at_a_part_resumes_at_that_part() {
    let mut answer = Answer::queued(3);
    answer.begin();
    answer.finish(0, Ended::Sent(Some("m_0".to_owned())));
    answer.begin();
    answer.finish(1, Ended::Retry(Some(1_000)));
    let item = answer.item().expect("open");
    assert_eq!(
        (item.next_part, item.state),
        (1, WorkState::Waiting { attempts: 1 })
    );
    answer.begin();
    answer.finish(1, Ended::Sent(Some("m_1".to_owned())));
    answer.begin();
    answer.finish(2, Ended::Refused("100".to_owned(), "Too large.".to_owned()));
    let message = answer.message();
    assert_eq!(answer.state(), DeliveryState::Failed);
    assert_eq!(message.external_ids().collect::<Vec<_>>(), ["m_0", "m_1"]);
    let error = message
        .changes
        .delivery
        .and_then(|delivery| delivery.error)
        .expect("why");
    assert_eq!(error.1, "2 of 3 parts were sent. Too large.");
    // Each part is known by its own id: its echo is no message of its own.
    answer.echo(1, "m_1");
    assert_eq!(answer.count(), 2);
}

#[test]
fn f15_an_answer_in_doubt_is_sent_only_once_all_its_parts_are() {
    let mut answer = Answer::queued(3);
    answer.begin();
    answer.finish(0, Ended::Sent(Some("m_0".to_owned())));
    answer.begin();
    answer.finish(1, Ended::Unknown);
    answer.finish(1, Ended::Untold);
    assert_eq!(answer.state(), DeliveryState::Unknown);
    // The echo settles the doubt about the second part; the third never left.
    answer.echo(1, "m_1");
    assert_eq!(answer.state(), DeliveryState::Unknown);
    assert!(answer.conversation().waiting_since.is_some());
    let message = answer.message();
    assert_eq!(message.external_ids().collect::<Vec<_>>(), ["m_0", "m_1"]);
    assert_eq!(answer.count(), 2);

    let mut answer = Answer::queued(2);
    answer.begin();
    answer.finish(0, Ended::Sent(Some("m_0".to_owned())));
    answer.begin();
    answer.finish(1, Ended::Unknown);
    answer.finish(1, Ended::Untold);
    answer.echo(1, "m_1");
    assert_eq!(answer.state(), DeliveryState::Sent);
    assert!(answer.conversation().waiting_since.is_none());
}

#[test]
fn the_first_retry_comes_within_five_seconds_and_later_ones_wait_longer() {
    let mut answer = Answer::queued(1);
    let mut waits = Vec::new();
    for _ in 0..12 {
        assert!(answer.begin());
        let now = answer.desk.now;
        let Next::At(due) = answer.finish(0, Ended::Retry(None)) else {
            panic!("again")
        };
        waits.push(due.as_millis() - now);
        answer.desk.now = due.as_millis();
    }
    assert!(waits[0] < 5_000, "{waits:?}");
    assert!(waits.is_sorted() && waits[11] <= 5 * 60 * 1000, "{waits:?}");
    answer.begin();
    let now = answer.desk.now;
    let Next::At(due) = answer.finish(0, Ended::Retry(Some(3_600_000))) else {
        panic!("again")
    };
    assert!(
        due.as_millis() - now >= 3_600_000,
        "the platform's word stands"
    );
}

#[test]
fn an_answer_is_given_up_after_a_day_and_a_closed_window_ends_it() {
    let mut answer = Answer::queued(1);
    answer.begin();
    answer.desk.now += 25 * 3_600_000;
    assert_eq!(answer.finish(0, Ended::Retry(None)), Next::Done);
    assert_eq!(answer.state(), DeliveryState::Failed);

    let mut answer = Answer::queued(1);
    answer.desk.now = BASE_MS + 40 * 3_600_000;
    assert!(!answer.begin());
    assert_eq!(answer.state(), DeliveryState::Failed);
    assert!(answer.conversation().waiting_since.is_some());
}

/// How far the numbers are from being spread evenly between 0 and 1 (Kolmogorov and Smirnov).
fn unevenness(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    let all = f64::from(u32::try_from(numbers.len()).expect("few"));
    let steps = numbers.iter().zip(1_u32..);
    steps
        .map(|(number, place)| {
            let (below, above) = (f64::from(place - 1) / all, f64::from(place) / all);
            (number - below).abs().max((above - number).abs())
        })
        .fold(0.0, f64::max)
}

#[test]
fn f31_retries_of_many_that_failed_together_are_spread_evenly() {
    // By chance alone it would be more than 0.05 once in a hundred million times.
    let jitters: Vec<f64> = (0..4_096).map(|_| crate::secrets::jitter()).collect();
    assert!(unevenness(jitters) < 0.05);
    let all_at_once = vec![0.5; 400];
    assert!(unevenness(all_at_once) > 0.4, "the measure sees a herd");
    for (failures, after_ms, whole_ms) in [
        (1, None, 3_000),
        (4, None, 24_000),
        (1, Some(60_000), 3_000),
    ] {
        let due_in_ms = |jitter: f64| {
            let mut answer = Answer::queued(1);
            let mut due_in_ms = 0;
            for _ in 0..failures {
                answer.begin();
                let now = answer.desk.now + 1;
                let finish = Finish {
                    work: answer.work,
                    part: 0,
                    ended: Ended::Retry(after_ms),
                    jitter,
                    looking_ms: 0,
                };
                let Next::At(due) = answer.desk.decide(&[finish])[0] else {
                    panic!("again")
                };
                due_in_ms = due.as_millis() - now;
                answer.desk.now = due.as_millis();
            }
            f64::from(i32::try_from(due_in_ms - after_ms.unwrap_or(0)).expect("short"))
        };
        let spread = (0..400).map(|step| due_in_ms(f64::from(step) / 399.0));
        let evenly = spread.map(|due| due / f64::from(whole_ms)).collect();
        assert!(
            unevenness(evenly) < 0.01,
            "{failures} failures, {after_ms:?}"
        );
    }
}

/// What a platform does with a call.
#[derive(Clone, Copy, Debug)]
enum Does {
    Takes,
    TakesAndAnswerIsLost,
    LosesIt,
    RefusesForNow,
    CrashBefore,
    CrashAfterTaking,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// A platform that shows truthfully what it has: every part is taken exactly once, or the end state says that it
    /// was not.
    #[test]
    fn f13_no_part_is_ever_taken_twice_and_none_is_lost(
        parts in 1..4_usize,
        does in proptest::collection::vec(prop_oneof![
            Just(Does::Takes), Just(Does::TakesAndAnswerIsLost), Just(Does::LosesIt),
            Just(Does::RefusesForNow), Just(Does::CrashBefore), Just(Does::CrashAfterTaking),
        ], 0..12),
        echoes in proptest::collection::vec(any::<bool>(), 16),
    ) {
        let mut answer = Answer::queued(parts);
        let mut taken: BTreeMap<usize, u32> = BTreeMap::new();
        let mut does = does.into_iter().chain(std::iter::repeat(Does::Takes));
        let mut echoes = echoes.into_iter().cycle();
        for _ in 0..200 {
            let Some(item) = answer.item() else { break };
            answer.desk.now = answer.desk.now.max(item.due_at.as_millis());
            let part = item.next_part;
            if !matches!(item.state, WorkState::Waiting { .. }) {
                answer.desk.decide(&[Resume { work: answer.work }]);
                let ended = match taken.get(&part) {
                    Some(_) => Ended::Sent(Some(format!("m_{part}"))),
                    None => Ended::NotSeen,
                };
                if ended == Ended::NotSeen {
                    // It was looked for long enough.
                    answer.finish_after(part, ended, 20_000);
                } else {
                    answer.finish(part, ended);
                }
                continue;
            }
            prop_assert!(answer.begin());
            let what = does.next().expect("endless");
            if matches!(what, Does::Takes | Does::TakesAndAnswerIsLost | Does::CrashAfterTaking) {
                *taken.entry(part).or_default() += 1;
                if echoes.next() == Some(true) {
                    answer.echo(part, &format!("m_{part}"));
                }
            }
            match what {
                Does::Takes => { answer.finish(part, Ended::Sent(Some(format!("m_{part}")))); }
                Does::TakesAndAnswerIsLost | Does::LosesIt => { answer.finish(part, Ended::Unknown); }
                Does::RefusesForNow => { answer.finish(part, Ended::Retry(None)); }
                Does::CrashBefore | Does::CrashAfterTaking => {}
            }
        }
        prop_assert_eq!(answer.state(), DeliveryState::Sent);
        prop_assert_eq!(taken, (0..parts).map(|part| (part, 1)).collect::<BTreeMap<_, _>>());
        prop_assert_eq!(answer.count(), 2);
    }
}
