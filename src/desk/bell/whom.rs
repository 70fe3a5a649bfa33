//! Whom a ring tells at which step. Pure: who there is and how they stand are arguments.

use std::collections::BTreeSet;

use crate::id::UserId;

/// At this step everybody on duty is told, and not only whose it is.
pub const EVERYBODY: u32 = 2;
/// At this step whoever is on call is told, too.
pub const ON_CALL: u32 = 3;
/// At this step the hooks are told that are marked for escalation.
pub const ESCALATION: u32 = 4;

/// Somebody who may see the channel and could be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Person {
    /// Who.
    pub id: UserId,
    /// Whether they work now: available, within their hours, and not in their quiet hours.
    pub on_duty: bool,
    /// Whether they are on call now.
    pub on_call: bool,
}

/// Why a ring has nobody who is there for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Nobody may see the channel and answer there: nobody is told at all.
    NobodySees,
    /// Nobody works now and nobody is on call: all are told, wherever they are.
    NobodyThere,
}

/// Whether nobody is there, of those who may see a channel.
#[must_use]
pub fn missing(people: &[Person]) -> Option<Missing> {
    if people.is_empty() {
        return Some(Missing::NobodySees);
    }
    let is_there = |person: &Person| person.on_duty || person.on_call;
    (!people.iter().any(is_there)).then_some(Missing::NobodyThere)
}

/// Whom to tell at a step, each once. At the first it is whoever has the conversation; without one its team; without
/// anybody of it on duty everybody on duty who may see the channel. Where nobody is on duty whoever is on call is told at
/// once, and where nobody is on call either, everybody who may see the channel: better one too many than a customer whom
/// nobody hears. Empty only where nobody may see the channel.
#[must_use]
pub fn whom(
    step: u32,
    assignee: Option<UserId>,
    team: &BTreeSet<UserId>,
    people: &[Person],
) -> Vec<UserId> {
    let ids = |wanted: &dyn Fn(&Person) -> bool| -> Vec<UserId> {
        let wanted = people.iter().filter(|person| wanted(person));
        wanted.map(|person| person.id).collect()
    };
    let first = |choices: [Vec<UserId>; 4]| {
        let mut choices = choices.into_iter();
        choices
            .find(|choice| !choice.is_empty())
            .unwrap_or_default()
    };
    let theirs = ids(&|person| assignee == Some(person.id) && (person.on_duty || step == 1));
    let of_team = ids(&|person| person.on_duty && team.contains(&person.id));
    let on_duty = ids(&|person| person.on_duty);
    let on_call = ids(&|person| person.on_call);
    let fallback = if on_call.is_empty() {
        ids(&|_| true)
    } else {
        on_call.clone()
    };
    let mut told = if step < EVERYBODY {
        first([theirs, of_team, on_duty, fallback])
    } else {
        first([on_duty, fallback, Vec::new(), Vec::new()])
    };
    if step >= EVERYBODY {
        told.extend(theirs_too(assignee, people));
    }
    if step >= ON_CALL {
        told.extend(on_call);
    }
    told.sort_unstable();
    told.dedup();
    told
}

/// Whose conversation it is hears every step, on duty or not.
fn theirs_too(assignee: Option<UserId>, people: &[Person]) -> Option<UserId> {
    let is_theirs = |person: &&Person| assignee == Some(person.id);
    people.iter().find(is_theirs).map(|person| person.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(id: u64, on_duty: bool, on_call: bool) -> Person {
        Person {
            id: UserId(id),
            on_duty,
            on_call,
        }
    }

    fn told(step: u32, assignee: Option<u64>, team: &[u64], people: &[Person]) -> Vec<u64> {
        let team = team.iter().copied().map(UserId).collect();
        let told = whom(step, assignee.map(UserId), &team, people);
        told.into_iter().map(|id| id.0).collect()
    }

    #[test]
    fn f35_each_step_reaches_more_and_never_nobody() {
        let people = [
            person(1, true, false),
            person(2, true, false),
            person(3, false, true),
            person(4, false, false),
        ];
        assert_eq!(told(1, Some(4), &[], &people), [4], "whose it is");
        assert_eq!(
            told(1, None, &[2, 4], &people),
            [2],
            "the team, as far as it works"
        );
        assert_eq!(
            told(1, None, &[4], &people),
            [1, 2],
            "nobody of the team works"
        );
        assert_eq!(told(1, None, &[], &people), [1, 2]);
        assert_eq!(told(2, Some(4), &[2], &people), [1, 2, 4]);
        assert_eq!(told(3, None, &[], &people), [1, 2, 3]);
        assert_eq!(told(9, Some(1), &[], &people), [1, 2, 3]);
        // Nobody works: whoever is on call, and without one everybody.
        let asleep = [person(3, false, true), person(4, false, false)];
        assert_eq!(told(1, None, &[4], &asleep), [3]);
        let nobody = [person(3, false, false), person(4, false, false)];
        assert_eq!(told(1, None, &[], &nobody), [3, 4]);
        // Whoever has it may no longer see the channel.
        assert_eq!(told(1, Some(9), &[], &people), [1, 2]);
        assert_eq!(told(1, None, &[], &[]), [0; 0]);
    }
}
