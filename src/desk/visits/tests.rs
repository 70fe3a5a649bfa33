//! Tokens over days, with a clock that stands still until it is moved.

use std::collections::BTreeMap;

use deskbell_sdk::{Author, Direction, Event, NewMessage, Person, Time};

use super::{Came, Come, GRACE_MS, ProvenIdentity, RENEW_AFTER_MS, VISIT_MS};
use crate::desk::Decision;
use crate::desk::arrivals::Arrivals;
use crate::id::Ids;
use crate::store::draft::Draft;
use crate::store::entry::{Entry, Visit, secret_hash};
use crate::store::memory::MemoryStore;
use crate::store::record::ChannelNo;
use crate::store::{Read, Scope, Store};

const CHANNEL: ChannelNo = ChannelNo(1);
const SHOP: &str = "https://shop.example";
const BASE_MS: i64 = 1_790_000_000_000;

struct Site {
    store: MemoryStore,
    ids: Ids,
    now: Time,
    tokens: u32,
}

/// A token, and what it was given for.
struct Session {
    token: String,
    came: Came,
}

impl Site {
    fn new() -> Self {
        Self {
            store: MemoryStore::new(),
            ids: Ids::after(0, 1),
            now: Time::from_millis(BASE_MS),
            tokens: 0,
        }
    }

    fn wait(&mut self, ms: i64) {
        self.now = self.now.plus_millis(ms);
    }

    fn decide<D: Decision>(&mut self, decision: &D) -> D::Answer {
        let mut draft = Draft::new(&self.store, &mut self.ids, self.now);
        let answer = decision.decide(&mut draft).expect("memory");
        let group = draft.into_group();
        self.store.commit(group).expect("memory");
        answer
    }

    /// Somebody comes with the token of `before`, from a page, as a customer or a stranger.
    fn come_from(
        &mut self,
        before: Option<&Session>,
        origin: &str,
        customer: Option<&str>,
    ) -> Session {
        self.tokens += 1;
        let token = format!("token-{}", self.tokens);
        let come = Come {
            channel: CHANNEL,
            origin: origin.to_owned(),
            new_hash: secret_hash(&token),
            old_hash: before.map(|session| secret_hash(&session.token)),
            identity: customer.map(|id| ProvenIdentity {
                id: id.to_owned(),
                name: Some(format!("Customer {id}")),
                email: None,
            }),
            anonymous_thread: format!("anonymous:{}", self.tokens),
        };
        let came = self.decide(&come);
        let token = match before {
            Some(before) if !came.new_token => before.token.clone(),
            _ => token,
        };
        Session { token, came }
    }

    fn come(&mut self, before: Option<&Session>, customer: Option<&str>) -> Session {
        self.come_from(before, SHOP, customer)
    }

    fn works(&self, session: &Session) -> bool {
        let visit = Visit::get(&self.store, &secret_hash(&session.token)).expect("memory");
        visit.is_some_and(|visit| self.now < visit.expires_at)
    }

    fn say(&mut self, session: &Session, words: &str) {
        let visit = &session.came.visit;
        let customer = Person {
            id: visit.thread.clone(),
            name: visit.name.clone(),
            email: None,
        };
        let message = NewMessage {
            thread: visit.thread.clone(),
            author: Author::Contact(customer.clone()),
            customer,
            external_id: format!("{}/{words}", visit.thread),
            direction: Direction::Inbound,
            text: Some(words.to_owned()),
            attachments: Vec::new(),
            reply_to: None,
            sent_at: self.now,
            order: 0,
            metadata: BTreeMap::new(),
            send_token: None,
            album: None,
        };
        let arrivals = Arrivals {
            events: vec![(CHANNEL, Event::Message(Box::new(message)))],
            received_at: self.now,
            raw: None,
            cursor: None,
        };
        let outcome = self.decide(&arrivals);
        assert_eq!(
            outcome.messages[0].0, visit.conversation,
            "it is in the visit's conversation"
        );
    }
}

#[test]
fn v02_a_token_is_replaced_after_a_day_and_works_an_hour_longer_for_other_tabs() {
    let mut site = Site::new();
    let first = site.come(None, None);
    site.wait(RENEW_AFTER_MS - 1);
    let same = site.come(Some(&first), None);
    assert!(!same.came.new_token);
    site.wait(1);
    let second = site.come(Some(&first), None);
    assert!(second.came.new_token);
    assert_eq!(
        second.came.visit.conversation,
        first.came.visit.conversation
    );
    assert_eq!(second.came.visit.thread, first.came.visit.thread);
    site.wait(GRACE_MS - 1);
    assert!(site.works(&first) && site.works(&second));
    // Coming again with the replaced token makes it live no longer.
    site.come(Some(&first), None);
    site.wait(1);
    assert!(!site.works(&first) && site.works(&second));
    let stranger = site.come(Some(&first), None);
    assert_ne!(
        stranger.came.visit.conversation,
        first.came.visit.conversation
    );
}

#[test]
fn v02_a_token_that_nobody_brings_back_ends_after_thirty_days() {
    let mut site = Site::new();
    let session = site.come(None, None);
    site.wait(VISIT_MS - 1);
    assert!(site.works(&session));
    site.wait(1);
    assert!(!site.works(&session));
    let again = site.come(Some(&session), None);
    assert_ne!(again.came.visit.thread, session.came.visit.thread);
}

#[test]
fn v02_a_token_goes_on_from_its_own_origin_only() {
    let mut site = Site::new();
    let session = site.come(None, None);
    for origin in ["https://blog.example", "http://shop.example", "", "null"] {
        let moved = site.come_from(Some(&session), origin, None);
        assert!(moved.came.new_token, "{origin}");
        assert_ne!(
            moved.came.visit.thread, session.came.visit.thread,
            "{origin}"
        );
        assert_eq!(moved.came.visit.origin, origin);
    }
    assert!(site.works(&session));
}

#[test]
fn v07_who_logs_in_keeps_the_conversation_and_who_logs_out_leaves_none_behind() {
    let mut site = Site::new();
    let stranger = site.come(None, None);
    site.say(&stranger, "Is the fern in stock?");
    let jana = site.come(Some(&stranger), Some("jana"));
    assert_eq!(
        jana.came.visit.conversation,
        stranger.came.visit.conversation
    );
    assert!(
        !site.works(&stranger),
        "the stranger's token opens it no more"
    );
    site.say(&jana, "It is me");
    let scope = Scope::whole_desk();
    let conversation = site
        .store
        .conversation(&scope, jana.came.visit.conversation)
        .expect("memory");
    let conversation = conversation.expect("there");
    assert_eq!(
        (
            conversation.message_count,
            conversation.contact_name.as_deref()
        ),
        (2, Some("Customer jana"))
    );

    // The same customer from elsewhere, in time and after a renewal.
    let phone = site.come(None, Some("jana"));
    assert_eq!(phone.came.visit.conversation, jana.came.visit.conversation);
    site.say(&phone, "From the train");
    assert!(!site.come(Some(&jana), Some("jana")).came.new_token);
    site.wait(RENEW_AFTER_MS);
    let renewed = site.come(Some(&jana), Some("jana"));
    assert!(renewed.came.new_token);
    assert_eq!(
        renewed.came.visit.conversation,
        jana.came.visit.conversation
    );

    let logged_out = site.come(Some(&renewed), None);
    assert_ne!(
        logged_out.came.visit.conversation,
        jana.came.visit.conversation
    );
    let ewa = site.come(Some(&renewed), Some("ewa"));
    assert_ne!(ewa.came.visit.conversation, jana.came.visit.conversation);
}

#[test]
fn v07_a_customer_who_has_a_conversation_goes_on_in_that_one() {
    let mut site = Site::new();
    let jana = site.come(None, Some("jana"));
    site.say(&jana, "From before");
    let stranger = site.come(None, None);
    site.say(&stranger, "Somebody at the same computer");
    let back = site.come(Some(&stranger), Some("jana"));
    assert_eq!(back.came.visit.conversation, jana.came.visit.conversation);
    // What one customer took along is never handed on to another.
    let other = site.come(None, None);
    site.say(&other, "Begun as a stranger");
    let ewa = site.come(Some(&other), Some("ewa"));
    assert_eq!(ewa.came.visit.conversation, other.came.visit.conversation);
    let iva = site.come(Some(&other), Some("iva"));
    assert_ne!(iva.came.visit.conversation, other.came.visit.conversation);
    let iva = site.come(Some(&ewa), Some("iva"));
    assert_ne!(iva.came.visit.conversation, other.came.visit.conversation);
}

#[test]
fn v07_who_logs_in_before_writing_has_one_conversation_on_every_device() {
    let mut site = Site::new();
    let stranger = site.come(None, None);
    let jana = site.come(Some(&stranger), Some("jana"));
    let phone = site.come(None, Some("jana"));
    assert_eq!(jana.came.visit.conversation, phone.came.visit.conversation);
    // A conversation that was promised to the customer stays the customer's, whatever is written as a stranger.
    let elsewhere = site.come(None, None);
    site.say(&elsewhere, "As a stranger");
    let laptop = site.come(Some(&elsewhere), Some("jana"));
    assert_eq!(laptop.came.visit.conversation, jana.came.visit.conversation);
    for session in [&jana, &phone, &laptop] {
        site.say(session, &session.token);
    }
    let scope = Scope::whole_desk();
    let conversation = site
        .store
        .conversation(&scope, jana.came.visit.conversation)
        .expect("memory");
    assert_eq!(conversation.expect("there").message_count, 3);
}
