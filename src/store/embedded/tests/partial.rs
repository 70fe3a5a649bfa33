//! A step that ended in the middle of its rows, wherever that was, is applied once more, and the tables are as if it had
//! been applied once.

use tempfile::TempDir;

use crate::store::Found;
use crate::store::conformance::Story;
use crate::store::embedded::apply::Changes;
use crate::store::embedded::inbox::Inbox;
use crate::store::embedded::model::inbox_of;
use crate::store::embedded::tables::{Position, Tables};

const GROUPS: u64 = 250;

struct Desk {
    tables: Tables,
    inbox: Inbox,
    position: Position,
    _folder: TempDir,
}

impl Desk {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let flag = folder.path().join("rebuild");
        Self {
            tables: Tables::open(&folder.path().join("tables"), 16 << 20, flag).unwrap(),
            inbox: Inbox::default(),
            position: Position::default(),
            _folder: folder,
        }
    }

    fn changes(&self, frame: u64, group: &crate::store::Group) -> Changes {
        let mut changes = Changes::after(self.position);
        let next_seq = group.events.last().map_or(0, |event| event.seq) + 1;
        changes.add(frame, next_seq, &mut group.clone());
        changes
    }

    fn apply(&mut self, frame: u64, group: &crate::store::Group) -> Found<()> {
        let mut changes = self.changes(frame, group);
        changes.apply(&self.tables, &mut self.inbox)?;
        self.position = changes.position();
        Ok(())
    }

    /// Writes a part of the group's rows and starts again with what the tables hold.
    fn crash_in_the_middle(&mut self, frame: u64, group: &crate::store::Group, share: u8) {
        let mut changes = self.changes(frame, group);
        let rows = changes.rows_of(&self.tables, &self.inbox).unwrap();
        self.tables.apply_a_part(rows, share).unwrap();
        self.inbox = inbox_of(&self.tables).unwrap();
        self.position = self.tables.position().unwrap();
    }
}

#[test]
fn f05_a_step_that_ended_in_the_middle_is_applied_once_more() {
    for seed in 1..=12 {
        let (mut plain, mut crashing) = (Desk::new(), Desk::new());
        let mut story = Story::new(seed);
        for frame in 1..=GROUPS {
            let group = story.next_group();
            plain.apply(frame, &group).unwrap();
            // Sometimes more than once.
            for crash in 0..=(frame % 3) {
                let share = (frame * 37 + crash * 101 + seed * 11) % 256;
                crashing.crash_in_the_middle(frame, &group, u8::try_from(share).unwrap());
                assert_eq!(
                    crashing.position.frame,
                    frame - 1,
                    "the position comes last"
                );
            }
            crashing.apply(frame, &group).unwrap();
            assert_eq!(crashing.position, plain.position);
        }
        // Not shown where they differ: there are thousands.
        let alike = crashing.tables.all_rows() == plain.tables.all_rows();
        assert!(alike, "seed {seed}: rows are missing, or too many");
    }
}

#[test]
fn f07_rows_that_sled_lost_are_told_from_a_step_that_ended_in_the_middle() {
    let mut desk = Desk::new();
    let mut story = Story::new(5);
    let mut frame = 0;
    while desk.inbox.len() < 5 {
        frame += 1;
        desk.apply(frame, &story.next_group()).unwrap();
    }
    let lost = desk.inbox.page(
        &desk
            .inbox
            .channels(&crate::store::Scope::whole_desk(), None),
        None,
        1,
    );
    desk.inbox.remove(lost[0]);
    let refused = desk.apply(frame + 1, &story.next_group());
    assert!(refused.is_err(), "a conversation is missing");
}
