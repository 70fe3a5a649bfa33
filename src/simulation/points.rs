//! One run, killed at each of its points in turn: before and after each commit, around each write and sync of the disk,
//! and while the platform is being asked. Whatever the point, what comes after it has to make everything good.
//!
//! `DESKBELL_SCRIPTS=20 cargo test --lib f02` does so with as many runs, each of which is another by chance.

use super::asked_for;
use super::engine::{Mishap, Planted};
use super::platform::Manners;
use super::world::{Life, Setup, World, catch_up, trust};
use crate::store::embedded::simulated::Trouble;

/// Where the daemon dies. Numbers begin with 0, behind its start.
#[derive(Clone, Copy, Debug)]
pub(super) enum Point {
    /// At this commit.
    Commit(u64, Mishap),
    /// At this frame of the journal, with the power.
    Frame(u64, Trouble),
    /// When this send has reached the platform, before its answer.
    Send(u64),
}

/// More points than any script has.
const MOST_POINTS: u64 = 2_000;

/// A platform of which nothing is to be relied on.
const ROUGH: Manners = Manners {
    sends_fail: 30,
    lost_answers: 20,
    undelivered: 15,
    repeats: 30,
    unanswered: 20,
    ..Manners::GOOD
};
/// One that does not tell what became of a send.
const SILENT: Manners = Manners {
    tells: false,
    ..Manners::GOOD
};

/// Customers write, the shop answers, reads, and looks what it has missed. Says whether the daemon died.
async fn script(world: &mut World, life: &Life) -> bool {
    for step in 0..42 {
        trust(life);
        // At the same places in each thread.
        let thread = ["t0", "t1"][step / 6 % 2];
        let now_ms = life.line.now_ms();
        match step % 6 {
            0 | 1 => life.line.platform().write(now_ms, thread, true),
            2 => world.answer(life, thread),
            3 => life.line.platform().write(now_ms, thread, false),
            4 => world.read(life, thread),
            _ => catch_up(life, thread),
        }
        if world.pass(life, 2_000).await {
            return true;
        }
    }
    // What was put off comes.
    world.pass(life, 60_000).await
}

/// Kills a run at each point that `point` gives, until it ends before one; how many there were.
fn sweep(
    seed: u64,
    manners: Manners,
    planted: Planted,
    point: impl Fn(u64) -> Point,
) -> Result<u64, String> {
    for number in 0..MOST_POINTS {
        let point = point(number);
        let setup = Setup {
            embedded: matches!(point, Point::Frame(..)),
            clock_jumps: false,
            lives: 2,
            steps: 0,
            manners,
            planted,
        };
        let mut world = World::new(seed, setup);
        match world.die_at(point, script) {
            Ok(true) => {}
            Ok(false) => return Ok(number),
            Err(what) => return Err(format!("seed {seed}, {point:?} of {manners:?}: {what}")),
        }
    }
    Err("the script does not end".to_owned())
}

fn sweeps(manners: &[Manners], least: u64, point: impl Fn(u64) -> Point) {
    for seed in 0..asked_for("DESKBELL_SCRIPTS").unwrap_or(1) {
        for manners in manners {
            let points = sweep(seed, *manners, Planted::Nothing, &point);
            let points = points.unwrap_or_else(|what| panic!("{what}"));
            assert!(
                points >= least,
                "seed {seed}: {points} points with {manners:?}"
            );
        }
    }
}

#[test]
fn f02_a_kill_before_any_commit_loses_nothing_and_sends_nothing_twice() {
    sweeps(&[Manners::GOOD, SILENT, ROUGH], 40, |number| {
        Point::Commit(number, Mishap::DiesBefore)
    });
}

#[test]
fn f02_a_kill_after_any_commit_loses_nothing_and_sends_nothing_twice() {
    sweeps(&[Manners::GOOD, SILENT, ROUGH], 40, |number| {
        Point::Commit(number, Mishap::DiesAfter)
    });
}

#[test]
fn f02_a_kill_while_the_platform_is_asked_sends_nothing_twice() {
    sweeps(&[Manners::GOOD, SILENT, ROUGH], 5, Point::Send);
}

#[test]
fn f02_f04_a_power_cut_while_any_frame_is_written_loses_nothing_that_was_told() {
    sweeps(&[Manners::GOOD], 40, |number| {
        Point::Frame(number, Trouble::DiesWriting)
    });
}

#[test]
fn f02_f03_a_power_cut_before_any_sync_loses_nothing_that_was_told() {
    sweeps(&[Manners::GOOD], 40, |number| {
        Point::Frame(number, Trouble::DiesBeforeSync)
    });
}

#[test]
fn f02_f03_a_power_cut_after_any_sync_doubles_nothing() {
    sweeps(&[Manners::GOOD], 40, |number| {
        Point::Frame(number, Trouble::DiesAfterSync)
    });
}

#[test]
fn f02_what_is_planted_is_found_at_some_point() {
    let after = |number| Point::Commit(number, Mishap::DiesAfter);
    let found = sweep(0, Manners::GOOD, Planted::DuplicateIgnored, after);
    let found = found.expect_err("what comes again is taken again");
    assert!(found.contains("times"), "{found}");
    let blind = Manners {
        blind: true,
        ..Manners::GOOD
    };
    let found = sweep(0, blind, Planted::BlindResend, Point::Send);
    let found = found.expect_err("what is not shown at once is sent again");
    assert!(found.contains("was sent 2 times"), "{found}");
}
