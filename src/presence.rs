//! Who of the shop is at which conversation now. In memory only: after a restart everybody says it anew.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use deskbell_sdk::Time;
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::id::ConversationId;
use crate::store::record::ChannelNo;

/// For how long one is taken to be there who says so, in milliseconds.
const STAYS_MS: i64 = 30_000;
/// How many people are told of at one conversation.
const MOST_AT_ONE: usize = 50;
/// At how many conversations somebody is told of.
const MOST_CONVERSATIONS: usize = 10_000;
/// How often it is looked for those who have gone without a word.
const LOOK: Duration = Duration::from_secs(2);

/// What somebody does at a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = PresenceState)]
pub enum Doing {
    /// Looks at it.
    Viewing,
    /// Writes to the customer.
    Typing,
    /// Writes a note.
    Noting,
    /// Has gone.
    Left,
}

/// Somebody who is at a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Present {
    /// Who: a user's or a token's id.
    pub id: String,
    /// What they are called.
    pub name: String,
    /// What they do.
    pub doing: Doing,
    /// Until when they are taken to be there.
    pub until: Time,
}

#[derive(Debug)]
struct Room {
    channel: ChannelNo,
    people: Vec<Present>,
}

/// Who is where.
#[derive(Debug, Default)]
pub struct Presence {
    rooms: Mutex<HashMap<ConversationId, Room>>,
}

impl Presence {
    fn lock(&self) -> MutexGuard<'_, HashMap<ConversationId, Room>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody says what they do. Gives what is to be told; `None` where there is no room for them, or nothing new to be
    /// told of one who has gone.
    pub fn says(
        &self,
        now: Time,
        channel: ChannelNo,
        conversation: ConversationId,
        who: (String, String),
        doing: Doing,
    ) -> Option<Present> {
        let (id, name) = who;
        let mut rooms = self.lock();
        let is_full = rooms.len() >= MOST_CONVERSATIONS;
        if doing == Doing::Left {
            let room = rooms.get_mut(&conversation)?;
            let place = room.people.iter().position(|present| present.id == id)?;
            let mut gone = room.people.swap_remove(place);
            if room.people.is_empty() {
                rooms.remove(&conversation);
            }
            gone.doing = Doing::Left;
            gone.until = now;
            return Some(gone);
        }
        if is_full && !rooms.contains_key(&conversation) {
            return None;
        }
        let room = rooms.entry(conversation).or_insert_with(|| Room {
            channel,
            people: Vec::new(),
        });
        let present = Present {
            id,
            name,
            doing,
            until: now.plus_millis(STAYS_MS),
        };
        let known = room.people.iter().position(|known| known.id == present.id);
        match known {
            Some(place) => room.people[place].clone_from(&present),
            None if room.people.len() >= MOST_AT_ONE => return None,
            None => room.people.push(present.clone()),
        }
        Some(present)
    }

    /// Who is at a conversation at `now`, those who came first before the others.
    #[must_use]
    pub fn at(&self, now: Time, conversation: ConversationId) -> Vec<Present> {
        let rooms = self.lock();
        let people = rooms.get(&conversation).map(|room| &room.people);
        people
            .into_iter()
            .flatten()
            .filter(|present| is_there(present, now))
            .cloned()
            .collect()
    }

    /// Takes those out who have not said for too long that they are there, and gives them.
    fn gone(&self, now: Time) -> Vec<(ChannelNo, ConversationId, Present)> {
        let mut gone = Vec::new();
        self.lock().retain(|conversation, room| {
            let channel = room.channel;
            room.people.retain(|present| {
                let stays = is_there(present, now);
                if !stays {
                    let present = Present {
                        doing: Doing::Left,
                        until: now,
                        ..present.clone()
                    };
                    gone.push((channel, *conversation, present));
                }
                stays
            });
            !room.people.is_empty()
        });
        gone
    }
}

/// Also where the clock was set back: nobody stays longer than they said.
fn is_there(present: &Present, now: Time) -> bool {
    now < present.until && present.until <= now.plus_millis(STAYS_MS)
}

/// Tells of those who have gone without a word, until the daemon stops.
pub async fn watch(app: App) {
    loop {
        tokio::select! {
            () = app.stopping.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
        let now = app.clock.now();
        for (channel, conversation, present) in app.presence.gone(now) {
            app.live.presence(now, channel, conversation, &present);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Time {
        Time::from_millis(1_000_000 + ms)
    }

    fn says(presence: &Presence, ms: i64, room: u64, who: &str, doing: Doing) -> Option<Present> {
        let who = (who.to_owned(), who.to_uppercase());
        presence.says(at(ms), ChannelNo(1), ConversationId(room), who, doing)
    }

    fn names(presence: &Presence, ms: i64, room: u64) -> Vec<String> {
        let people = presence.at(at(ms), ConversationId(room));
        people.into_iter().map(|present| present.id).collect()
    }

    #[test]
    fn who_says_nothing_for_thirty_seconds_has_gone_and_that_is_told_once() {
        let presence = Presence::default();
        says(&presence, 0, 1, "ana", Doing::Viewing).expect("told");
        says(&presence, 10_000, 1, "bo", Doing::Typing).expect("told");
        assert_eq!(names(&presence, 29_999, 1), ["ana", "bo"]);
        assert_eq!(names(&presence, 30_000, 1), ["bo"]);
        let gone = presence.gone(at(30_000));
        assert_eq!(gone.len(), 1);
        assert_eq!(
            (gone[0].2.id.as_str(), gone[0].2.doing),
            ("ana", Doing::Left)
        );
        assert!(presence.gone(at(30_000)).is_empty());
        says(&presence, 31_000, 1, "bo", Doing::Viewing).expect("told");
        assert_eq!(names(&presence, 60_000, 1), ["bo"]);
        assert_eq!(presence.gone(at(61_000)).len(), 1);
        assert!(presence.lock().is_empty());
        // A clock that is set back by an hour keeps nobody here.
        says(&presence, 3_600_000, 1, "ana", Doing::Viewing).expect("told");
        assert!(names(&presence, 0, 1).is_empty());
    }

    #[test]
    fn who_leaves_says_so_and_nobody_else_is_told_of() {
        let presence = Presence::default();
        assert_eq!(says(&presence, 0, 1, "ana", Doing::Left), None);
        says(&presence, 0, 1, "ana", Doing::Noting).expect("told");
        let gone = says(&presence, 5, 1, "ana", Doing::Left).expect("told");
        assert_eq!((gone.doing, gone.until), (Doing::Left, at(5)));
        assert_eq!(says(&presence, 6, 1, "ana", Doing::Left), None);
        assert!(presence.lock().is_empty(), "nothing is kept");
    }

    #[test]
    fn d06_it_never_grows_beyond_its_bounds() {
        let presence = Presence::default();
        for room in 0..MOST_CONVERSATIONS as u64 {
            says(&presence, 0, room, "ana", Doing::Viewing).expect("told");
        }
        assert_eq!(says(&presence, 0, 1_000_000, "ana", Doing::Viewing), None);
        for number in 1..MOST_AT_ONE {
            says(&presence, 0, 1, &format!("p{number}"), Doing::Viewing).expect("told");
        }
        assert_eq!(says(&presence, 0, 1, "one more", Doing::Viewing), None);
        assert!(says(&presence, 0, 1, "ana", Doing::Typing).is_some());
    }
}
