//! The commands of the configuration among the hooks: they are made, changed and switched off as the file says.

use std::collections::BTreeSet;

use super::super::Decision;
use super::super::audit::audit;
use super::told;
use crate::id::HookId;
use crate::store::Found;
use crate::store::draft::Draft;
use crate::store::entry::{Actor, Entry, HookEntry, HookKind};

/// Why a command is off that the configuration no longer has.
const NO_LONGER_THERE: &str = "It no longer stands in the configuration file. Put it there again and restart the daemon, or delete it here.";

/// A command as the configuration has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedCommand {
    /// Its id there.
    pub id: String,
    /// Its program.
    pub program: String,
    /// What it wants.
    pub events: BTreeSet<String>,
    /// Of which channels.
    pub channels: Option<BTreeSet<String>>,
    /// Whether only what climbed.
    pub escalation: bool,
    /// Whether it is told anything.
    pub enabled: bool,
}

/// Brings the hooks of the kind `command` to what the configuration says. An id of the configuration keeps its hook, and
/// with it its place in the log and what waits for it; one that is gone is switched off and kept, with its log, until
/// somebody deletes it.
#[derive(Clone, Debug)]
pub struct SetCommands {
    /// All that the configuration has.
    pub wanted: Vec<WantedCommand>,
    /// Who is told to have done it.
    pub by: Actor,
}

impl Decision for SetCommands {
    /// How many hooks were made or changed.
    type Answer = usize;

    fn decide(&self, draft: &mut Draft<'_>) -> Found<usize> {
        let known: Vec<HookEntry> = draft
            .all::<HookEntry>()?
            .into_iter()
            .map(|(_, hook)| hook)
            .filter(|hook| hook.kind == HookKind::Command)
            .collect();
        let mut changed = 0;
        for wanted in &self.wanted {
            let before = known
                .iter()
                .find(|hook| hook.command.as_deref() == Some(&wanted.id));
            let after = match before {
                Some(before) => wanted.over(before.clone(), draft.head()),
                None => wanted.made(draft),
            };
            if before != Some(&after) {
                let action = before.map_or("hook.created", |_| "hook.changed");
                changed += 1;
                self.put(draft, action, after)?;
            }
        }
        for hook in known {
            let stays = |wanted: &WantedCommand| hook.command.as_deref() == Some(&wanted.id);
            let is_told = hook.disabled_reason.as_deref() == Some(NO_LONGER_THERE);
            if self.wanted.iter().any(stays) || !hook.enabled && is_told {
                continue;
            }
            changed += 1;
            let off = HookEntry {
                enabled: false,
                disabled_reason: Some(NO_LONGER_THERE.to_owned()),
                ..hook
            };
            self.put(draft, "hook.changed", off)?;
        }
        Ok(changed)
    }
}

impl SetCommands {
    fn put(&self, draft: &mut Draft<'_>, action: &'static str, mut hook: HookEntry) -> Found<()> {
        hook.version += 1;
        draft.put(hook.put(hook.id.key().to_vec()));
        audit(draft, &self.by, told(action, &hook))
    }
}

impl WantedCommand {
    /// The hook after the change. Where it begins to be told, it hears what is behind `head`.
    fn over(&self, before: HookEntry, head: u64) -> HookEntry {
        let begins = self.enabled && !before.enabled;
        HookEntry {
            url: self.program.clone(),
            events: self.events.clone(),
            channels: self.channels.clone(),
            escalation: self.escalation,
            enabled: self.enabled,
            disabled_reason: None,
            from_seq: if begins { head } else { before.from_seq },
            failing_since: before.failing_since.filter(|_| !begins),
            ..before
        }
    }

    fn made(&self, draft: &mut Draft<'_>) -> HookEntry {
        let (now, head) = (draft.now(), draft.head());
        HookEntry {
            id: HookId(draft.new_id()),
            kind: HookKind::Command,
            url: self.program.clone(),
            events: self.events.clone(),
            channels: self.channels.clone(),
            escalation: self.escalation,
            enabled: self.enabled,
            disabled_reason: None,
            secret: None,
            former_secret: None,
            access_token: None,
            created_at: now,
            from_seq: head,
            replay: None,
            failing_since: None,
            version: 0,
            command: Some(self.id.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desk::hooks::{DropDeliveries, SwitchOff};
    use crate::desk::testing::Desk;

    fn wanted(id: &str) -> WantedCommand {
        WantedCommand {
            id: id.to_owned(),
            program: format!("/usr/local/bin/{id}"),
            events: BTreeSet::from(["message.created".to_owned()]),
            channels: None,
            escalation: false,
            enabled: true,
        }
    }

    fn set(desk: &mut Desk, wanted: &[WantedCommand]) -> usize {
        let set = SetCommands {
            wanted: wanted.to_vec(),
            by: Actor::system(),
        };
        desk.decide(&[set])[0]
    }

    fn hooks(desk: &Desk) -> Vec<HookEntry> {
        let all = HookEntry::scan(&desk.store, &[], None, usize::MAX).expect("memory");
        all.into_iter().map(|(_, hook)| hook).collect()
    }

    #[test]
    fn an_id_of_the_configuration_keeps_its_hook() {
        let mut desk = Desk::new();
        assert_eq!(set(&mut desk, &[wanted("lamp"), wanted("till")]), 2);
        let first = hooks(&desk);
        assert_eq!(set(&mut desk, &[wanted("till"), wanted("lamp")]), 0);
        assert_eq!(
            hooks(&desk),
            first,
            "a start without a change writes nothing"
        );
        let moved = WantedCommand {
            program: "/opt/lamp".to_owned(),
            ..wanted("lamp")
        };
        assert_eq!(set(&mut desk, &[moved, wanted("till")]), 1);
        let after = hooks(&desk);
        let lamp = |hooks: &[HookEntry]| {
            let is_lamp = |hook: &&HookEntry| hook.command.as_deref() == Some("lamp");
            hooks.iter().find(is_lamp).cloned().expect("there")
        };
        assert_eq!(lamp(&after).url, "/opt/lamp");
        assert_eq!(
            (lamp(&after).id, lamp(&after).from_seq),
            (lamp(&first).id, lamp(&first).from_seq)
        );
    }

    #[test]
    fn one_that_is_gone_is_off_and_comes_back_under_its_id() {
        let mut desk = Desk::new();
        set(&mut desk, &[wanted("lamp")]);
        let first = hooks(&desk).remove(0);
        assert_eq!(set(&mut desk, &[]), 1);
        let off = hooks(&desk).remove(0);
        assert!(!off.enabled && off.disabled_reason.is_some());
        assert_eq!(set(&mut desk, &[]), 0, "told once");
        set(&mut desk, &[wanted("lamp")]);
        let on = hooks(&desk).remove(0);
        assert_eq!(
            (on.enabled, on.id, on.disabled_reason),
            (true, first.id, None)
        );
    }

    #[test]
    fn one_that_deskbell_switched_off_is_on_after_a_start() {
        let mut desk = Desk::new();
        set(&mut desk, &[wanted("lamp")]);
        let hook = hooks(&desk).remove(0).id;
        let reason = "too much".to_owned();
        desk.decide(&[SwitchOff { hook, reason }]);
        assert!(!hooks(&desk)[0].enabled);
        desk.decide(&[DropDeliveries { keys: Vec::new() }]);
        assert_eq!(set(&mut desk, &[wanted("lamp")]), 1);
        let on = hooks(&desk).remove(0);
        assert_eq!((on.enabled, on.disabled_reason), (true, None));
    }
}
