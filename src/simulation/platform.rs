//! A platform as a model: what its customers write, what it delivers and how often, what it does with what it is sent,
//! and what its history shows. It has its own clock, which is right, and outlives the daemon.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::chance::Chance;

/// How long after a line was cut the platform may still do what it was asked, in milliseconds.
const LATE_MS: i64 = 8_000;
/// How long its history may hide what it has done, in milliseconds. Together with [`LATE_MS`] less than the 20 s after
/// which the daemon takes an absence for one.
const HIDDEN_MS: u64 = 9_000;

/// What makes the decoder panic as a text, and the desk as an id's beginning.
pub(super) const POISON: &str = "poison";

/// Who panics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Poison {
    /// The connector, while it decodes.
    ForDecoder,
    /// The desk, while it decides.
    ForDesk,
}

/// What the platform shows of a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Post {
    /// Its id.
    pub(super) id: String,
    /// The thread.
    pub(super) thread: String,
    /// Whether the customer wrote it.
    pub(super) by_customer: bool,
    /// The words, which no other message has.
    pub(super) text: String,
    /// When it was written, by the platform's clock.
    pub(super) at_ms: i64,
    /// What came with the send, where it was sent by us.
    pub(super) token: Option<String>,
}

impl Post {
    /// Whether the daemon cannot digest it.
    pub(super) fn is_poison(&self) -> bool {
        self.text == POISON || self.id.starts_with(POISON)
    }
}

/// A post with what only the platform knows of it.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    /// It.
    pub(super) post: Post,
    /// From when on the history shows it.
    shown_from_ms: i64,
    /// Whether the daemon has answered 200 to a delivery of it.
    pub(super) acknowledged: bool,
    /// Whether no delivery ever brings it.
    pub(super) undelivered: bool,
}

/// A delivery on its way.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    /// Its posts, by their places.
    pub(super) posts: Vec<usize>,
    /// When it is tried next.
    pub(super) due_ms: i64,
    /// How often it was tried.
    tries: u32,
    /// How often it comes again although it was acknowledged.
    repeats: u32,
}

/// What the platform does with a send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Does {
    /// Takes it and says so.
    Takes,
    /// Takes it; the answer is lost.
    TakesInSilence,
    /// Never gets it; nobody can tell.
    NeverHears,
    /// Says that it is to come later, in so many milliseconds where it says so.
    Postpones(Option<u64>),
    /// Refuses it.
    Refuses,
    /// Says that the credentials are broken.
    Expired,
}

/// How rough the platform is, in percent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manners {
    /// Sends that go wrong in some way.
    pub(super) sends_fail: u64,
    /// Deliveries whose answer it does not hear.
    pub(super) lost_answers: u64,
    /// Posts that no delivery brings.
    pub(super) undelivered: u64,
    /// Deliveries that come again.
    pub(super) repeats: u64,
    /// Looks at the history that find nobody.
    pub(super) unanswered: u64,
    /// Whether it tells at all what became of a send.
    pub(super) tells: bool,
    /// Its reply window in milliseconds.
    pub(super) window_ms: Option<i64>,
    /// Whether it puts every send off.
    pub(super) postpones_all: bool,
    /// A planted fault: what it does not show at once is told to be absent for certain.
    pub(super) blind: bool,
}

/// Something it was asked to do and will do.
#[derive(Clone, Debug)]
struct Coming {
    at_ms: i64,
    thread: String,
    token: String,
    text: String,
}

/// The platform.
#[derive(Debug)]
pub(super) struct Platform {
    chance: Chance,
    /// How it behaves.
    pub(super) manners: Manners,
    /// Everything that was written, in the order of its doing.
    pub(super) posts: Vec<Kept>,
    /// Deliveries that are to be tried.
    pub(super) deliveries: Vec<Delivery>,
    /// How often each send was done, by its token.
    pub(super) done: BTreeMap<String, u32>,
    coming: Vec<Coming>,
    last_ms: i64,
    /// Attempts to send that reached it.
    pub(super) calls: u64,
    /// The same by the minute.
    pub(super) calls_in_minute: BTreeMap<i64, u64>,
    /// Deliveries that it tried.
    pub(super) tried: u64,
}

impl Manners {
    /// Everything goes well.
    pub(super) const GOOD: Self = Self {
        sends_fail: 0,
        lost_answers: 0,
        undelivered: 0,
        repeats: 0,
        unanswered: 0,
        tells: true,
        window_ms: None,
        postpones_all: false,
        blind: false,
    };
}

impl Platform {
    /// A platform that behaves by `manners`.
    pub(super) fn new(seed: u64, manners: Manners) -> Self {
        Self {
            chance: Chance::of(seed),
            manners,
            posts: Vec::new(),
            deliveries: Vec::new(),
            done: BTreeMap::new(),
            coming: Vec::new(),
            last_ms: 0,
            calls: 0,
            calls_in_minute: BTreeMap::new(),
            tried: 0,
        }
    }

    /// From now on everything goes well.
    pub(super) fn heal(&mut self) {
        self.manners = Manners {
            sends_fail: 0,
            lost_answers: 0,
            undelivered: 0,
            repeats: 0,
            unanswered: 0,
            postpones_all: false,
            ..self.manners
        };
    }

    /// A number from its chance.
    pub(super) const fn below(&mut self, end: u64) -> u64 {
        self.chance.below(end)
    }

    fn keep(&mut self, now_ms: i64, mut post: Post) -> usize {
        // No two have one time, so that the order is the times'.
        self.last_ms = self.last_ms.max(now_ms - 1) + 1;
        post.at_ms = self.last_ms;
        let undelivered = post.token.is_none() && self.chance.percent(self.manners.undelivered);
        let hidden_ms = if post.token.is_some() {
            self.chance.below(HIDDEN_MS)
        } else {
            0
        };
        self.posts.push(Kept {
            post,
            shown_from_ms: now_ms + i64::try_from(hidden_ms).expect("short"),
            acknowledged: false,
            undelivered,
        });
        self.posts.len() - 1
    }

    /// Somebody writes at the platform: the customer, or the shop from elsewhere.
    pub(super) fn write(&mut self, now_ms: i64, thread: &str, by_customer: bool) {
        let number = self.posts.len();
        let post = Post {
            id: format!("p{number}"),
            thread: thread.to_owned(),
            by_customer,
            text: format!("words number {number}"),
            at_ms: 0,
            token: None,
        };
        let place = self.keep(now_ms, post);
        if !self.posts[place].undelivered {
            self.deliver_soon(now_ms, place);
        }
    }

    /// A customer writes what the daemon cannot digest, in a delivery of its own.
    pub(super) fn write_poison(&mut self, now_ms: i64, thread: &str, poison: Poison) {
        let number = self.posts.len();
        let (id, text) = match poison {
            Poison::ForDecoder => (format!("p{number}"), POISON.to_owned()),
            Poison::ForDesk => (format!("{POISON}{number}"), format!("words {number}")),
        };
        let post = Post {
            id,
            thread: thread.to_owned(),
            by_customer: true,
            text,
            at_ms: 0,
            token: None,
        };
        let place = self.keep(now_ms, post);
        self.deliveries.push(Delivery {
            posts: vec![place],
            due_ms: now_ms,
            tries: 0,
            repeats: 1,
        });
    }

    /// Puts a post into a delivery: one of its own, or one that waits already.
    fn deliver_soon(&mut self, now_ms: i64, place: usize) {
        let delay_ms = i64::try_from(self.chance.below(3_000)).expect("short");
        let joins = self.chance.percent(30);
        let untried = self
            .deliveries
            .iter_mut()
            .find(|one| one.tries == 0 && one.repeats == 0);
        match untried {
            Some(delivery) if joins => delivery.posts.push(place),
            _ => {
                let repeats = u32::from(self.chance.percent(self.manners.repeats));
                self.deliveries.push(Delivery {
                    posts: vec![place],
                    due_ms: now_ms + delay_ms,
                    tries: 0,
                    repeats,
                });
            }
        }
        if self.chance.percent(self.manners.repeats) {
            // In another delivery as well.
            self.deliveries.push(Delivery {
                posts: vec![place],
                due_ms: now_ms + 2 * delay_ms,
                tries: 0,
                repeats: 0,
            });
        }
    }

    /// Takes up a delivery that is due, where there is one: its number, which [`Platform::answered`] takes back, and
    /// its posts.
    pub(super) fn next_delivery(&mut self, now_ms: i64) -> Option<(Delivery, Vec<Post>)> {
        let due: Vec<usize> = (0..self.deliveries.len())
            .filter(|place| self.deliveries[*place].due_ms <= now_ms)
            .collect();
        if due.is_empty() {
            return None;
        }
        let place = self.chance.one_of(&due);
        let delivery = self.deliveries.swap_remove(place);
        self.tried += 1;
        // Where nobody answers it is there again.
        let mut again = delivery.clone();
        again.tries += 1;
        again.due_ms = now_ms + 25_000;
        self.deliveries.push(again);
        let posts = delivery.posts.iter();
        let posts = posts.map(|post| self.posts[*post].post.clone()).collect();
        Some((delivery, posts))
    }

    /// What the daemon answered to a delivery; `true` is 200.
    pub(super) fn answered(&mut self, now_ms: i64, delivery: &Delivery, taken: bool) {
        let tried = delivery.tries + 1;
        let is_it = |one: &Delivery| one.tries == tried && one.posts == delivery.posts;
        let Some(place) = self.deliveries.iter().position(is_it) else {
            return;
        };
        if taken {
            for post in &delivery.posts {
                self.posts[*post].acknowledged = true;
            }
        }
        if self.chance.percent(self.manners.lost_answers) {
            return;
        }
        if !taken {
            let wait_ms = 1_000 << tried.min(6);
            self.deliveries[place].due_ms = now_ms + wait_ms;
            return;
        }
        let mut delivery = self.deliveries.swap_remove(place);
        if delivery.repeats > 0 {
            delivery.repeats -= 1;
            delivery.due_ms = now_ms + i64::try_from(self.chance.below(60_000)).expect("short");
            self.deliveries.push(delivery);
        }
    }

    /// A send reaches it, or should have: what it does. What it will do, it does whatever becomes of the caller.
    pub(super) fn called(
        &mut self,
        now_ms: i64,
        thread: &str,
        token: &str,
        text: &str,
        line_ms: i64,
    ) -> Does {
        self.calls += 1;
        *self.calls_in_minute.entry(now_ms / 60_000).or_default() += 1;
        let does = if self.manners.postpones_all {
            Does::Postpones(None)
        } else if self.chance.percent(self.manners.sends_fail) {
            let after_ms = self.chance.between(1_000, 20_000);
            self.chance.one_of(&[
                Does::TakesInSilence,
                Does::TakesInSilence,
                Does::NeverHears,
                Does::NeverHears,
                Does::Postpones(None),
                Does::Postpones(Some(after_ms)),
                Does::Refuses,
                Does::Expired,
            ])
        } else {
            Does::Takes
        };
        let in_ms = match does {
            Does::Takes => i64::try_from(self.chance.below(400)).expect("short"),
            Does::TakesInSilence => {
                let whole = u64::try_from(line_ms + LATE_MS).expect("a time");
                i64::try_from(self.chance.below(whole)).expect("short")
            }
            _ => return does,
        };
        self.coming.push(Coming {
            at_ms: now_ms + in_ms,
            thread: thread.to_owned(),
            token: token.to_owned(),
            text: text.to_owned(),
        });
        does
    }

    /// The daemon is gone: what it had asked for is done soon or never.
    pub(super) fn line_cut(&mut self, now_ms: i64) {
        for coming in &mut self.coming {
            coming.at_ms = coming.at_ms.min(now_ms + LATE_MS);
        }
    }

    /// Does what is due.
    pub(super) fn go_on(&mut self, now_ms: i64) {
        self.coming.sort_by_key(|coming| coming.at_ms);
        while self.coming.first().is_some_and(|one| one.at_ms <= now_ms) {
            let coming = self.coming.remove(0);
            *self.done.entry(coming.token.clone()).or_default() += 1;
            let post = Post {
                id: format!("x{}", self.posts.len()),
                thread: coming.thread,
                by_customer: false,
                text: coming.text,
                at_ms: 0,
                token: Some(coming.token),
            };
            let place = self.keep(now_ms, post);
            // The echo: mostly, at any time.
            if self.chance.percent(70) {
                self.deliver_soon(now_ms, place);
            }
        }
    }

    /// Whether nothing is left to be delivered or done.
    pub(super) const fn is_quiet(&self) -> bool {
        self.deliveries.is_empty() && self.coming.is_empty()
    }

    /// The id that a send has got, once it is done.
    pub(super) fn id_of(&self, token: &str) -> Option<String> {
        let of_token = |kept: &&Kept| kept.post.token.as_deref() == Some(token);
        self.posts
            .iter()
            .find(of_token)
            .map(|kept| kept.post.id.clone())
    }

    /// What the history of a thread shows, oldest first.
    pub(super) fn history(&self, now_ms: i64, thread: &str) -> Vec<Post> {
        let shown = self
            .posts
            .iter()
            .filter(|kept| kept.post.thread == thread && kept.shown_from_ms <= now_ms);
        shown.map(|kept| kept.post.clone()).collect()
    }
}
