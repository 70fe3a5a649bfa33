//! What sounds when, and which ring is for whom. Pure: no I/O, and the moment is an argument.
//!
//! What the daemon says goes in ([`Policy::hear`], [`Policy::read`]), what the person does ([`Policy::taking`],
//! [`Policy::dismissed`]) and how the line stands; [`Policy::decide`] says what to do now. It compares what is to be with
//! what was done, so that a ring that came and went in between is neither seen nor heard.

mod line;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};

pub use line::Line;

use jiff::Timestamp;

use crate::clock::Moment;
use crate::settings::Settings;
use crate::wire::{Conversation, Ring};

/// So many who wait have a notification of their own; the others are one together.
pub const MOST_ALONE: usize = 5;
/// Never two strokes closer than this, in milliseconds: a burst of messages is one stroke now and then.
pub const GAP_MS: u64 = 1_000;
/// From one stroke to the next where only letters wait, in milliseconds: nobody sits and waits for the answer.
pub const LETTER_MS: u64 = 60_000;
/// A notification that was waved away comes again after this long, in milliseconds: to have seen is not to have taken.
pub const AGAIN_MS: u64 = 60_000;
/// Whoever opens a conversation is left in peace this long, in milliseconds.
pub const READING_MS: u64 = 60_000;
/// How long the daemon's answer to "I take it" is waited for in silence, in milliseconds.
pub const TAKING_MS: u64 = 15_000;
/// So many rings are remembered to have been told to the daemon.
const REMEMBERED: usize = 20_000;

/// What was heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A ring began, or came to its next step. `old` where it was said before this line was opened: then it may be over.
    Rung {
        /// Which.
        ring: Ring,
        /// Whether it may be over.
        old: bool,
    },
    /// Somebody took it.
    Taken(Ring),
    /// A conversation as it is now.
    Conversation(Box<Conversation>),
    /// Somebody of the shop answers there: it is silent until that fails.
    Answering(String),
}

/// A sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tune {
    /// Somebody waits: the bell, a little higher at each step.
    Bell,
    /// A letter came.
    Letter,
    /// The daemon is lost: nobody would be heard.
    Lost,
    /// It is back.
    Back,
}

/// What is to be done now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Show that somebody waits, or show it anew where it is shown.
    Show {
        /// Where.
        conversation: String,
        /// The ring.
        ring: String,
        /// The step.
        step: u32,
        /// Whether the daemon is to hear what came of it.
        tell: bool,
    },
    /// Nobody waits there any more.
    Close {
        /// Where.
        conversation: String,
    },
    /// Show that so many more wait; none: close it.
    Others {
        /// How many.
        count: usize,
        /// The rings among them that the daemon is to hear of.
        tell: Vec<String>,
    },
    /// One sound.
    Strike {
        /// Which.
        tune: Tune,
        /// It rises with this.
        step: u32,
    },
    /// Stop what sounds.
    Silence,
    /// The daemon is lost for so long, in milliseconds.
    Lost {
        /// How long.
        for_ms: u64,
    },
    /// It is back.
    Back {
        /// How long it was away, in milliseconds.
        away_ms: u64,
    },
    /// The daemon does not let us in any more.
    SignedOut,
    /// It lets us in again.
    SignedIn,
}

/// Somebody waits, and this person is to hear it.
#[derive(Clone, Debug)]
struct Waiting {
    ring: Ring,
    /// Whether it is a letter.
    letter: bool,
    /// It is to be shown: anew, at a new step, or again.
    due_to_show: bool,
    /// Whether there is a notification of its own.
    alone: bool,
    /// When it is shown again after it was waved away.
    again_at: Option<u64>,
    /// Nothing sounds for it until then.
    hushed_until: u64,
    /// It has not sounded at this step.
    fresh: bool,
    /// The daemon is to hear that it was shown.
    tell: bool,
}

impl Waiting {
    fn sounds(&self, now: u64) -> bool {
        now >= self.hushed_until
    }
}

/// All that is known.
#[derive(Debug, Default)]
pub struct Policy {
    /// Who we are; `None` where the daemon did not say: then every ring is ours.
    me: Option<String>,
    waiting: BTreeMap<String, Waiting>,
    /// While rings that were read are taken in: what waited before. What still does goes on as it was.
    before: BTreeMap<String, Waiting>,
    /// The notifications that are there.
    alone: BTreeSet<String>,
    others: usize,
    /// Conversations by what is known of their connectors; forgotten with the conversation.
    letters: HashMap<String, bool>,
    /// The last step of each ring of which the daemon heard that it was shown.
    told: HashMap<String, Reached>,
    /// What was heard since rings are being read; `None` where they are not.
    meanwhile: Option<Vec<Heard>>,
    wants_look: bool,
    line: Line,
    /// When the last sound began, and which.
    struck: Option<(u64, Tune)>,
}

impl Policy {
    /// Begins with nothing known. The line is down, since `now`.
    #[must_use]
    pub fn new(me: Option<String>, now: Moment) -> Self {
        Self {
            me,
            line: Line::down_since(now.ms),
            ..Self::default()
        }
    }

    /// How many wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// This computer is somebody else's from now on; what rang for the other is read anew.
    pub fn is(&mut self, me: Option<String>) {
        self.me = me;
        self.waiting.clear();
        self.told.clear();
    }

    /// The conversations that have a notification of their own.
    pub fn shown(&self) -> impl Iterator<Item = &str> {
        self.alone.iter().map(String::as_str)
    }

    /// The line to the daemon.
    #[must_use]
    pub fn line(&self) -> &Line {
        &self.line
    }

    /// The line is there again.
    pub fn up(&mut self) {
        self.line.up();
    }

    /// The line is gone.
    pub fn down(&mut self, now: Moment) {
        self.line.down(now.ms);
    }

    /// The daemon does not let us in any more: what rings is not for us to see.
    pub fn signed_out(&mut self, now: Moment) {
        self.waiting.clear();
        self.line.signed_out(now.ms);
    }

    /// Which ring of this conversation is known.
    #[must_use]
    pub fn ring_of(&self, conversation: &str) -> Option<&Ring> {
        self.waiting.get(conversation).map(|waiting| &waiting.ring)
    }

    /// The rings are about to be read: what is heard meanwhile counts on top of what is read.
    pub fn begin_reading(&mut self) {
        self.wants_look = false;
        self.meanwhile = Some(Vec::new());
    }

    /// The rings as they were read, all of them.
    pub fn read(&mut self, rings: Vec<Ring>) {
        self.before = std::mem::take(&mut self.waiting);
        for ring in rings {
            self.rung(ring, false);
        }
        for heard in self.meanwhile.take().unwrap_or_default() {
            self.hear_now(heard);
        }
        self.before.clear();
    }

    /// They could not be read: it is to be tried again.
    pub fn reading_failed(&mut self) {
        self.meanwhile = None;
        self.wants_look = true;
    }

    /// Whether the rings are to be read.
    #[must_use]
    pub fn wants_look(&self) -> bool {
        self.wants_look && self.meanwhile.is_none()
    }

    /// What is known may be wrong: the rings are to be read.
    pub fn doubt(&mut self) {
        self.wants_look = true;
    }

    /// Takes in what the daemon says.
    pub fn hear(&mut self, heard: Heard) {
        if let Some(meanwhile) = &mut self.meanwhile {
            meanwhile.push(heard.clone());
        }
        self.hear_now(heard);
    }

    fn hear_now(&mut self, heard: Heard) {
        match heard {
            Heard::Rung { ring, old } => self.rung(ring, old),
            Heard::Taken(ring) => {
                self.drop_where(ring.place(), |known| known.id <= ring.id);
            }
            Heard::Conversation(conversation) => {
                if conversation.waits() {
                    if let Some(waiting) = self.waiting.get_mut(&conversation.id) {
                        waiting.letter = conversation.is_letter();
                    }
                    if self.letters.len() >= REMEMBERED {
                        self.letters.clear();
                    }
                    if !conversation.connector.is_empty() {
                        self.letters
                            .insert(conversation.id.clone(), conversation.is_letter());
                    }
                } else {
                    self.drop_where(&conversation.id, |_| true);
                    self.letters.remove(&conversation.id);
                }
            }
            Heard::Answering(conversation) => self.drop_where(&conversation, |_| true),
        }
    }

    /// A ring, or a step of it. One that is silenced sounds no more; one that is not for us neither.
    fn rung(&mut self, ring: Ring, old: bool) {
        let conversation = ring.place().to_owned();
        if !old
            && !self.waiting.contains_key(&conversation)
            && let Some(before) = self.before.remove(&conversation)
        {
            self.waiting.insert(conversation, before);
        }
        let known = self.waiting.get(ring.place());
        let is_older = known.is_some_and(|known| {
            known.ring.id > ring.id
                || (known.ring.id == ring.id && reached(&known.ring) > reached(&ring))
        });
        if is_older {
            return;
        }
        let mine = match (&ring.told, &self.me) {
            // Nobody at all would be told: better one too many than a customer whom nobody hears.
            (Some(told), Some(me)) => told.is_empty() || told.contains(me),
            _ => true,
        };
        if ring.state != "ringing" || ring.silenced || !mine {
            return self.drop_where(ring.place(), |_| true);
        }
        if old && known.is_none() {
            // It may be over: only the daemon knows.
            self.wants_look = true;
            return;
        }
        let same = known.is_some_and(|known| {
            known.ring.id == ring.id && reached(&known.ring) == reached(&ring)
        });
        let is_new = self
            .told
            .get(&ring.id)
            .is_none_or(|told| *told < reached(&ring));
        if let Some(waiting) = self.waiting.get_mut(ring.place()) {
            if !same {
                waiting.due_to_show = true;
                waiting.again_at = None;
                waiting.hushed_until = 0;
                waiting.fresh = true;
                waiting.tell = is_new;
            }
            waiting.ring = ring;
            return;
        }
        let waiting = Waiting {
            letter: self.letters.get(ring.place()).copied().unwrap_or(false),
            due_to_show: true,
            alone: self.alone.contains(ring.place()),
            again_at: None,
            hushed_until: 0,
            fresh: is_new,
            tell: is_new,
            ring,
        };
        self.waiting
            .insert(waiting.ring.place().to_owned(), waiting);
    }

    fn drop_where(&mut self, conversation: &str, is_over: impl FnOnce(&Ring) -> bool) {
        if self
            .waiting
            .get(conversation)
            .is_some_and(|known| is_over(&known.ring))
        {
            self.waiting.remove(conversation);
        }
    }

    /// The person takes it: silent at once, gone when the daemon says so. The ring to take; `None` where it is over.
    pub fn taking(&mut self, conversation: &str, now: Moment) -> Option<String> {
        let waiting = self.waiting.get_mut(conversation)?;
        waiting.hushed_until = now.ms + TAKING_MS;
        // Most desktops close a notification of which a button was pressed.
        waiting.again_at = Some(now.ms + TAKING_MS);
        Some(waiting.ring.id.clone())
    }

    /// The daemon says that this ring is over: it was taken, here or elsewhere.
    pub fn over(&mut self, conversation: &str, ring: &str) {
        self.drop_where(conversation, |known| known.id == ring);
    }

    /// It could not be taken: it rings on.
    pub fn not_taken(&mut self, conversation: &str) {
        if let Some(waiting) = self.waiting.get_mut(conversation) {
            waiting.hushed_until = 0;
            waiting.again_at = None;
            waiting.due_to_show = true;
        }
    }

    /// The person opens it in the desk, and is left in peace to read.
    pub fn opening(&mut self, conversation: &str, now: Moment) {
        if let Some(waiting) = self.waiting.get_mut(conversation) {
            waiting.hushed_until = now.ms + READING_MS;
            waiting.again_at = Some(now.ms + READING_MS);
        }
    }

    /// Its notification is gone without an answer: it comes again, and the bell goes on.
    pub fn dismissed(&mut self, conversation: &str, now: Moment) {
        if let Some(waiting) = self.waiting.get_mut(conversation) {
            let again_at = now.ms + AGAIN_MS;
            waiting.again_at = Some(waiting.again_at.unwrap_or(again_at));
        }
    }

    /// Whatever shows notifications began anew: none is there any more.
    pub fn nothing_is_shown(&mut self) {
        self.alone.clear();
        self.others = 0;
        for waiting in self.waiting.values_mut() {
            waiting.alone = false;
            waiting.due_to_show = true;
        }
        self.line.nothing_is_shown();
    }

    /// What to do now.
    pub fn decide(&mut self, settings: &Settings, now: Moment) -> Vec<Action> {
        let mut actions = Vec::new();
        self.line.decide(now.ms, &mut actions);
        self.show(now, &mut actions);
        self.sound(settings, now, &mut actions);
        actions
    }

    fn show(&mut self, now: Moment, actions: &mut Vec<Action>) {
        let over: Vec<String> = self
            .alone
            .iter()
            .filter(|shown| !self.waiting.contains_key(*shown))
            .cloned()
            .collect();
        for conversation in over {
            self.alone.remove(&conversation);
            actions.push(Action::Close { conversation });
        }
        let mut more = Vec::new();
        let mut count = 0;
        // Those who wait longest first: they have the places of their own.
        let mut order: Vec<&mut Waiting> = self.waiting.values_mut().collect();
        order.sort_by(|one, other| (!one.alone, &one.ring.id).cmp(&(!other.alone, &other.ring.id)));
        for waiting in order {
            if waiting.again_at.is_some_and(|at| at <= now.ms) {
                waiting.again_at = None;
                waiting.due_to_show = true;
            }
            if !waiting.alone && self.alone.len() >= MOST_ALONE {
                count += 1;
                waiting.due_to_show = true;
                if std::mem::take(&mut waiting.tell) {
                    note(&mut self.told, &waiting.ring);
                    more.push(waiting.ring.id.clone());
                }
                continue;
            }
            if waiting.alone && (!waiting.due_to_show || waiting.again_at.is_some()) {
                continue;
            }
            waiting.due_to_show = false;
            waiting.alone = true;
            self.alone.insert(waiting.ring.place().to_owned());
            let tell = std::mem::take(&mut waiting.tell);
            if tell {
                note(&mut self.told, &waiting.ring);
            }
            actions.push(Action::Show {
                conversation: waiting.ring.place().to_owned(),
                ring: waiting.ring.id.clone(),
                step: waiting.ring.step,
                tell,
            });
        }
        if count != self.others || !more.is_empty() {
            self.others = count;
            actions.push(Action::Others { count, tell: more });
        }
    }

    fn sound(&mut self, settings: &Settings, now: Moment, actions: &mut Vec<Action>) {
        let tune = self.tune(now);
        let allowed = settings.sounds(now.minute);
        if !allowed || tune.is_none() {
            for waiting in self.waiting.values_mut() {
                // What began in the quiet hours is no news when they end: it sounds with the others.
                waiting.fresh = waiting.fresh && allowed;
            }
            let ends = |tune: Tune| !allowed || matches!(tune, Tune::Bell | Tune::Letter);
            if self.struck.is_some_and(|(_, tune)| ends(tune)) {
                self.struck = None;
                actions.push(Action::Silence);
            }
        }
        let Some((tune, step)) = tune.filter(|_| allowed) else {
            // What may not be heard now is not heard hours later either.
            if let Some(tune) = self.line.tune_once().filter(|_| allowed) {
                self.struck = Some((now.ms, tune));
                actions.push(Action::Strike { tune, step: 0 });
            }
            return;
        };
        let fresh = self
            .waiting
            .values()
            .any(|one| one.fresh && one.sounds(now.ms));
        let due = self.struck.is_none_or(|(at, last)| {
            let pause = match tune {
                Tune::Lost => line::REPEAT_MS,
                _ if fresh || last != tune => GAP_MS,
                Tune::Letter => LETTER_MS,
                Tune::Bell | Tune::Back => settings.repeat_seconds * 1_000,
            };
            // The alarm begins and ends at once.
            let alarm_changed = (tune == Tune::Lost) != (last == Tune::Lost);
            alarm_changed || now.ms.saturating_sub(at) >= pause
        });
        if !due {
            return;
        }
        for waiting in self.waiting.values_mut() {
            waiting.fresh = waiting.fresh && !waiting.sounds(now.ms);
        }
        // Both would be said by the alarm.
        self.line.tune_once();
        self.struck = Some((now.ms, tune));
        actions.push(Action::Strike { tune, step });
    }

    /// What is to sound again and again.
    fn tune(&self, now: Moment) -> Option<(Tune, u32)> {
        if self.line.sounds() {
            return Some((Tune::Lost, 0));
        }
        let sounding = || self.waiting.values().filter(|one| one.sounds(now.ms));
        let bells = sounding()
            .filter(|one| !one.letter)
            .map(|one| one.ring.step);
        match bells.max() {
            Some(step) => Some((Tune::Bell, step.saturating_sub(1))),
            None => sounding().next().map(|_| (Tune::Letter, 0)),
        }
    }
}

/// How far a ring has come. The last step repeats, and then only the time of the next one tells one from the other.
type Reached = (u32, Option<Timestamp>);

fn reached(ring: &Ring) -> Reached {
    (ring.step, ring.next_step_at)
}

/// Remembers that the daemon hears of a step. Where too many are remembered they are forgotten: a step may be told twice.
fn note(told: &mut HashMap<String, Reached>, ring: &Ring) {
    if told.len() >= REMEMBERED {
        told.clear();
    }
    told.insert(ring.id.clone(), reached(ring));
}
