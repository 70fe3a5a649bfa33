//! Answers that a person sends once more.

use deskbell_sdk::MessageChange;

use super::*;
use crate::desk::retry::{Dismiss, Retried, Retry};
use crate::store::metadata::is_dismissed;

impl Answer {
    fn retry(&mut self, confirmed: bool) -> Retried {
        let parts = match self.item() {
            Some(item) => item.parts,
            None => (0..self.parts)
                .map(|part| PartRecord::Text(format!("part {part}")))
                .collect(),
        };
        let outcome = self
            .desk
            .decide(&[Retry {
                scope: Scope::whole_desk(),
                channel: CHANNEL,
                message: self.id,
                parts,
                confirmed,
            }])
            .remove(0);
        self.work = self.message().work();
        self.missed_at = None;
        outcome
    }

    fn fail(&mut self, part: usize) {
        self.begin();
        let refused = Ended::Refused("100".to_owned(), "Not today.".to_owned());
        self.finish(part, refused);
        assert_eq!(self.state(), DeliveryState::Failed);
    }

    fn lose(&mut self, part: usize) {
        self.begin();
        self.finish(part, Ended::Unknown);
        self.finish(part, Ended::Untold);
        assert_eq!(self.state(), DeliveryState::Unknown);
    }

    fn told(&mut self, external_id: &str, state: DeliveryState) {
        let at = Time::from_millis(self.desk.now);
        let change = MessageChange::Delivery {
            state,
            at,
            error: None,
        };
        self.desk.deliver(&[Event::Change {
            message: external_id.to_owned(),
            change,
        }]);
    }
}

#[test]
fn f15_a_retry_goes_on_with_the_part_that_failed_in_the_same_place() {
    let mut answer = Answer::queued(3);
    answer.begin();
    answer.finish(0, Ended::Sent(Some("m_0".to_owned())));
    answer.fail(1);
    let place = answer.message().place();
    assert!(answer.conversation().waiting_since.is_some());
    assert_eq!(answer.retry(false), Retried::Queued);
    assert_eq!(answer.state(), DeliveryState::Queued);
    assert_eq!(answer.message().place(), place);
    assert_eq!(answer.retry(true), Retried::NotFailed, "it is on its way");
    let item = answer.item().expect("an item");
    assert_eq!((item.next_part, item.message), (1, answer.id));
    assert!(item.id > WorkId(answer.id.0), "behind all that waits");
    assert!(answer.begin());
    answer.finish(1, Ended::Sent(Some("m_1".to_owned())));
    answer.begin();
    answer.finish(2, Ended::Sent(Some("m_2".to_owned())));
    assert_eq!(answer.state(), DeliveryState::Sent);
    assert_eq!(answer.item(), None);
    assert!(answer.conversation().waiting_since.is_none());
    let message = answer.message();
    let ids: Vec<_> = message.external_ids().collect();
    assert_eq!(ids, ["m_0", "m_1", "m_2"]);
    answer.told("m_2", DeliveryState::Read);
    assert_eq!(answer.state(), DeliveryState::Read);
    assert_eq!(answer.retry(true), Retried::NotFailed);
    assert_eq!(answer.count(), 2);
}

#[test]
fn f13_an_unknown_one_goes_again_only_when_somebody_says_so_and_an_echo_stops_it() {
    let mut answer = Answer::queued(1);
    answer.lose(0);
    assert_eq!(answer.retry(false), Retried::Doubtful);
    assert_eq!(answer.state(), DeliveryState::Unknown);
    assert_eq!(answer.item(), None, "nothing is to be sent");
    assert_eq!(answer.retry(true), Retried::Queued);
    // It was there all the time, and shows before the second one leaves.
    answer.echo(0, "m_first");
    assert_eq!(answer.state(), DeliveryState::Sent);
    assert_eq!(answer.item(), None);
    assert!(!answer.begin(), "nothing leaves");
    assert_eq!(answer.count(), 2);
    assert!(answer.conversation().waiting_since.is_none());
}

#[test]
fn a_retry_may_fail_and_be_unknown_and_be_sent_again_itself() {
    let mut answer = Answer::queued(1);
    for _ in 0..3 {
        answer.fail(0);
        assert_eq!(answer.retry(false), Retried::Queued);
        answer.lose(0);
        assert_eq!(answer.retry(true), Retried::Queued);
    }
    answer.begin();
    answer.finish(0, Ended::Sent(Some("m_1".to_owned())));
    assert_eq!((answer.state(), answer.count()), (DeliveryState::Sent, 2));
}

#[test]
fn what_the_platform_itself_called_failed_is_sent_whole_and_known_by_both_ids() {
    let mut answer = Answer::queued(2);
    for (part, id) in ["m_0", "m_1"].into_iter().enumerate() {
        answer.begin();
        answer.finish(part, Ended::Sent(Some(id.to_owned())));
    }
    answer.told("m_1", DeliveryState::Failed);
    assert_eq!(answer.state(), DeliveryState::Failed);
    assert_eq!(answer.retry(false), Retried::Queued);
    assert_eq!(answer.item().expect("an item").next_part, 0);
    answer.told("m_0", DeliveryState::Failed);
    assert_eq!(
        answer.state(),
        DeliveryState::Queued,
        "what is told of the former sending is past"
    );
    for (part, id) in ["n_0", "n_1"].into_iter().enumerate() {
        answer.begin();
        answer.finish(part, Ended::Sent(Some(id.to_owned())));
    }
    assert_eq!(answer.state(), DeliveryState::Sent);
    let message = answer.message();
    assert_eq!(message.external_id.as_deref(), Some("n_0"));
    assert_eq!(message.part_ids[0].as_deref(), Some("n_1"));
    for id in ["m_0", "m_1", "n_0", "n_1"] {
        assert_eq!(answer.desk.message(id).id, answer.id, "{id}");
        let now = answer.desk.now;
        answer
            .desk
            .deliver(&[incoming(Direction::Outbound, id, None, now)]);
    }
    assert_eq!(
        answer.count(),
        2,
        "no part comes in as a message of its own"
    );
    answer.told("n_1", DeliveryState::Failed);
    assert_eq!(answer.state(), DeliveryState::Failed, "it fails once more");
}

#[test]
fn who_has_seen_a_failure_says_so_and_a_retry_takes_it_back() {
    let mut answer = Answer::queued(1);
    let dismiss = |answer: &mut Answer, scope: Scope| {
        answer
            .desk
            .decide(&[Dismiss {
                scope,
                channel: CHANNEL,
                message: answer.id,
            }])
            .remove(0)
    };
    assert_eq!(dismiss(&mut answer, Scope::whole_desk()), Some(false));
    answer.fail(0);
    assert_eq!(dismiss(&mut answer, Scope::of_channels([])), None);
    for _ in 0..2 {
        assert_eq!(dismiss(&mut answer, Scope::whole_desk()), Some(true));
        assert!(is_dismissed(&answer.message().metadata));
        assert_eq!(answer.state(), DeliveryState::Failed);
    }
    assert_eq!(answer.retry(false), Retried::Queued);
    assert!(!is_dismissed(&answer.message().metadata));
}

#[test]
fn an_answer_that_crosses_a_colleagues_is_not_written() {
    let mut answer = Answer::queued(1);
    let question = answer.desk.message("in").id;
    let write = |answer: &mut Answer, who: &str, seen: Option<MessageId>, kind: Kind| {
        let conversation = answer.message().conversation;
        answer
            .desk
            .decide(&[Write {
                scope: Scope::whole_desk(),
                conversation,
                author: AuthorRecord::Staff(None, Some(who.to_owned())),
                owner: format!("tok_{who}"),
                text: Some("another".to_owned()),
                attachments: Vec::new(),
                reply_to: None,
                kind,
                seen,
                mentions: Vec::new(),
                idempotency: None,
            }])
            .remove(0)
    };
    let crossed = Written::Crossed(CHANNEL, answer.id);
    let served = || Kind::ServedHere;
    assert_eq!(write(&mut answer, "Bo", Some(question), served()), crossed);
    assert_eq!(answer.count(), 2, "nothing was written");
    let by_note = write(&mut answer, "Bo", Some(question), Kind::Note);
    assert!(
        matches!(by_note, Written::Message(..)),
        "a note is no answer"
    );
    let own = write(&mut answer, "Ana", Some(question), served());
    let Written::Message(_, own, _) = own else {
        panic!("her own answer crosses nothing: {own:?}")
    };
    let id = answer.id;
    assert_eq!(
        write(&mut answer, "Bo", Some(id), served()),
        Written::Crossed(CHANNEL, own)
    );
    let now = answer.desk.now;
    answer
        .desk
        .deliver(&[incoming(Direction::Inbound, "in2", None, now)]);
    let seen_all = write(&mut answer, "Bo", Some(own), served());
    assert!(
        matches!(seen_all, Written::Message(..)),
        "a customer's message crosses nothing"
    );
    let without = write(&mut answer, "Cy", None, served());
    assert!(matches!(without, Written::Message(..)));
    // One that failed has answered nothing.
    let mut failed = Answer::queued(1);
    failed.fail(0);
    let question = failed.desk.message("in").id;
    let written = write(&mut failed, "Bo", Some(question), Kind::ServedHere);
    assert!(matches!(written, Written::Message(..)));
}
