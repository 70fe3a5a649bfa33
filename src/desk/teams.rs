//! Teams: who is in them, and what becomes of their conversations when one is dissolved.

use std::collections::BTreeSet;

use super::Decision;
use super::audit::{Told, audit};
use crate::id::{ConversationId, TeamId, UserId};
use crate::store::draft::Draft;
use crate::store::entry::{Actor, Entry, TeamEntry, UserEntry};
use crate::store::{Found, Read, Scope};

/// Most teams.
pub const MOST_TEAMS: usize = 500;
/// Most people in a team.
pub const MOST_MEMBERS: usize = 500;

/// Why a team was not made or changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is no such team.
    Unknown,
    /// Another has this name.
    NameTaken,
    /// There are as many as there may be.
    TooMany,
    /// There is no such person.
    NoPerson(UserId),
}

/// Makes a team.
#[derive(Clone, Debug)]
pub struct MakeTeam {
    /// Its name.
    pub name: String,
    /// Who is in it.
    pub members: BTreeSet<UserId>,
    /// Who asks.
    pub by: Actor,
}

impl Decision for MakeTeam {
    type Answer = Result<TeamEntry, Refused>;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<Self::Answer> {
        let teams = draft.all::<TeamEntry>()?;
        if teams.len() >= MOST_TEAMS {
            return Ok(Err(Refused::TooMany));
        }
        if is_taken(&teams, &self.name, None) {
            return Ok(Err(Refused::NameTaken));
        }
        if let Some(nobody) = nobody(draft, &self.members)? {
            return Ok(Err(Refused::NoPerson(nobody)));
        }
        let team = TeamEntry {
            id: TeamId(draft.new_id()),
            name: self.name.clone(),
            members: self.members.clone(),
            created_at: draft.now(),
            dissolved_at: None,
        };
        draft.put(team.put(team.id.key().to_vec()));
        let told = Told::of("team.created").to("team", team.id, &team.name);
        audit(
            draft,
            &self.by,
            told.with("member_ids", texts(&team.members)),
        )?;
        Ok(Ok(team))
    }
}

/// Changes a team. What is `None` stays.
#[derive(Clone, Debug)]
pub struct ChangeTeam {
    /// Which.
    pub team: TeamId,
    /// Its name.
    pub name: Option<String>,
    /// Who is in it.
    pub members: Option<BTreeSet<UserId>>,
    /// Who asks.
    pub by: Actor,
}

impl Decision for ChangeTeam {
    type Answer = Result<TeamEntry, Refused>;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<Self::Answer> {
        let Some(known) = standing(draft, self.team)? else {
            return Ok(Err(Refused::Unknown));
        };
        let mut team = known.clone();
        if let Some(name) = &self.name {
            if is_taken(&draft.all::<TeamEntry>()?, name, Some(self.team)) {
                return Ok(Err(Refused::NameTaken));
            }
            team.name.clone_from(name);
        }
        if let Some(members) = &self.members {
            let new = members.difference(&known.members).copied().collect();
            if let Some(nobody) = nobody(draft, &new)? {
                return Ok(Err(Refused::NoPerson(nobody)));
            }
            team.members.clone_from(members);
        }
        if team == known {
            return Ok(Ok(known));
        }
        draft.put(team.put(team.id.key().to_vec()));
        let mut told = Told::of("team.changed").to("team", team.id, &team.name);
        if team.name != known.name {
            told = told.with("name_before", known.name.as_str());
        }
        if team.members != known.members {
            let added = team.members.difference(&known.members);
            let removed = known.members.difference(&team.members);
            told = told
                .with("added", texts(added))
                .with("removed", texts(removed));
        }
        audit(draft, &self.by, told)?;
        Ok(Ok(team))
    }
}

/// Dissolves a team: it is shown no more, and nothing can be given to it. Its conversations are freed by
/// [`FreeConversations`], and then it goes by [`RemoveTeam`].
#[derive(Clone, Debug)]
pub struct DissolveTeam {
    /// Which.
    pub team: TeamId,
    /// Who asks.
    pub by: Actor,
}

impl Decision for DissolveTeam {
    /// Whether there was such a team.
    type Answer = bool;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<bool> {
        let Some(mut team) = standing(draft, self.team)? else {
            return Ok(false);
        };
        team.dissolved_at = Some(draft.now());
        draft.put(team.put(team.id.key().to_vec()));
        let told = Told::of("team.deleted").to("team", team.id, &team.name);
        audit(draft, &self.by, told)?;
        Ok(true)
    }
}

/// Takes conversations from a team that is dissolved.
#[derive(Clone, Debug)]
pub struct FreeConversations {
    /// The team.
    pub team: TeamId,
    /// Which conversations.
    pub conversations: Vec<ConversationId>,
}

impl Decision for FreeConversations {
    type Answer = ();

    fn decide(&self, draft: &mut Draft<'_>) -> Found<()> {
        let whole = Scope::whole_desk();
        for id in &self.conversations {
            let Some(known) = draft.conversation(&whole, *id)? else {
                continue;
            };
            if known.team != Some(self.team) {
                continue;
            }
            let mut conversation = (*known).clone();
            conversation.team = None;
            conversation.version += 1;
            draft.update_conversation(conversation);
        }
        Ok(())
    }
}

/// Removes what is left of a team that is dissolved and has no conversation any more.
#[derive(Clone, Debug)]
pub struct RemoveTeam {
    /// Which.
    pub team: TeamId,
}

impl Decision for RemoveTeam {
    type Answer = ();

    fn decide(&self, draft: &mut Draft<'_>) -> Found<()> {
        let key = self.team.key();
        let team = draft.entry::<TeamEntry>(&key)?;
        if team.is_some_and(|team| team.dissolved_at.is_some()) {
            draft.put(TeamEntry::remove(key.to_vec()));
        }
        Ok(())
    }
}

/// A team that stands: conversations may be given to it.
pub fn standing(draft: &Draft<'_>, team: TeamId) -> Found<Option<TeamEntry>> {
    let team = draft.entry::<TeamEntry>(&team.key())?;
    Ok(team.filter(|team| team.dissolved_at.is_none()))
}

/// All teams that stand, by name.
pub fn all<R: Read + ?Sized>(store: &R) -> Found<Vec<TeamEntry>> {
    let teams = TeamEntry::scan(store, &[], None, usize::MAX)?;
    let mut teams: Vec<_> = teams
        .into_iter()
        .map(|(_, team)| team)
        .filter(|team| team.dissolved_at.is_none())
        .collect();
    teams.sort_by_key(|team| team.id);
    Ok(teams)
}

/// Teams that were dissolved and are not gone: a crash was in between.
pub fn dissolved<R: Read + ?Sized>(store: &R) -> Found<Vec<TeamId>> {
    let teams = TeamEntry::scan(store, &[], None, usize::MAX)?.into_iter();
    Ok(teams
        .filter(|(_, team)| team.dissolved_at.is_some())
        .map(|(_, team)| team.id)
        .collect())
}

fn is_taken(teams: &[(Vec<u8>, TeamEntry)], name: &str, except: Option<TeamId>) -> bool {
    let folded = name.to_lowercase();
    teams.iter().any(|(_, team)| {
        team.dissolved_at.is_none() && Some(team.id) != except && team.name.to_lowercase() == folded
    })
}

/// The first of these people who is nobody.
fn nobody(draft: &Draft<'_>, members: &BTreeSet<UserId>) -> Found<Option<UserId>> {
    for member in members {
        if draft.entry::<UserEntry>(&member.key())?.is_none() {
            return Ok(Some(*member));
        }
    }
    Ok(None)
}

fn texts<'a>(ids: impl IntoIterator<Item = &'a UserId>) -> Vec<String> {
    ids.into_iter().map(ToString::to_string).collect()
}
