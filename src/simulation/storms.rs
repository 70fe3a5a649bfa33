//! Storms: poison among good mail, a backlog after an outage, a platform that puts everybody off.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use deskbell_sdk::{Event, Time};

use super::channel::message;
use super::platform::{Manners, Poison, Post};
use super::world::World;
use crate::clock::Clock;
use crate::desk::arrivals::Arrivals;
use crate::store::entry::{Entry as _, QuarantineEntry};
use crate::store::memory::MemoryStore;
use crate::store::{ChannelNo, Scope, Store};
use crate::writer::{WriteError, Writer};

#[test]
fn f29_poison_takes_no_other_message_with_it_and_is_kept_for_the_operator() {
    World::stage(Manners::GOOD, async |world, life| {
        let mut poisons = 0;
        for number in 0..400 {
            let thread = format!("t{}", number % 20);
            let now_ms = life.line.now_ms();
            let mut platform = life.line.platform();
            match number % 20 {
                7 => platform.write_poison(now_ms, &thread, Poison::ForDecoder),
                13 => platform.write_poison(now_ms, &thread, Poison::ForDesk),
                _ => {
                    platform.write(now_ms, &thread, true);
                    continue;
                }
            }
            poisons += 1;
        }
        world.come_to_rest(life).await.expect("all else is here");
        let kept = QuarantineEntry::scan(&*life.app.store, &[], None, 1_000);
        // Each comes twice, since its platform repeats it: it is kept each time, and answered 200.
        assert_eq!((poisons, kept.expect("memory").len()), (40, 80));
        let platform = life.line.platform();
        assert!(platform.posts.iter().all(|kept| kept.acknowledged));
        let messages =
            life.app
                .store
                .messages_after(&Scope::whole_desk(), crate::id::MessageId(0), 1_000);
        assert_eq!(messages.expect("memory").len(), 360);
        let good = platform.tried - 80;
        assert!(
            good <= 360,
            "{good} deliveries of 360 posts: some were tried again"
        );
    });
}

#[test]
fn f31_a_platform_that_puts_everybody_off_is_not_stormed() {
    const ANSWERS: u64 = 120;
    World::stage(
        Manners {
            postpones_all: true,
            ..Manners::GOOD
        },
        async |world, life| {
            for number in 0..ANSWERS {
                life.line
                    .platform()
                    .write(life.line.now_ms(), &format!("t{number}"), true);
            }
            world.pass(life, 30_000).await;
            for number in 0..ANSWERS {
                world.answer(life, &format!("t{number}"));
            }
            world.pass(life, 3_600_000).await;
            let minutes: Vec<u64> = {
                let platform = life.line.platform();
                platform.calls_in_minute.values().copied().collect()
            };
            // Those that were under way when the pause began, then one at a time, in the end every 2.5 to 5 minutes.
            let all: u64 = minutes.iter().sum();
            assert!(all >= 12, "{all} calls: it is tried again and again");
            assert!(
                all <= ANSWERS + 60,
                "{all} calls for {ANSWERS} answers in an hour"
            );
            let late = minutes[minutes.len() - 8..].iter();
            assert!(late.clone().all(|calls| *calls <= 2), "{minutes:?}");
            world
                .come_to_rest(life)
                .await
                .expect("all go out once it can");
        },
    );
}

/// A delivery of one message to `channel`.
fn arrival(channel: ChannelNo, number: usize, raw_kib: usize) -> Arrivals {
    let post = Post {
        id: format!("p{number}"),
        thread: format!("t{}", number % 50),
        by_customer: true,
        text: format!("words number {number}"),
        at_ms: 1_790_000_000_000,
        token: None,
    };
    Arrivals {
        events: vec![(channel, Event::Message(Box::new(message(&post))))],
        received_at: Time::from_millis(1_790_000_000_000),
        raw: (raw_kib > 0).then(|| {
            crate::store::RawDelivery::new(channel, Time::default(), vec![0; raw_kib * 1024])
        }),
        cursor: None,
    }
}

/// A writer whose groups are counted, each of which takes a while.
fn counted() -> (Writer, Arc<AtomicU64>, Arc<dyn Store>) {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let clock = Clock::standing_at(Time::from_millis(1_790_000_000_000));
    let (writer, mut steps) = Writer::driven(Arc::clone(&store), clock, 1);
    let groups = Arc::new(AtomicU64::new(0));
    let counting = Arc::clone(&groups);
    tokio::spawn(async move {
        while let Some(first) = steps.next().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
            counting.fetch_add(1, Ordering::SeqCst);
            if !steps.step(first) {
                return;
            }
        }
    });
    (writer, groups, store)
}

#[tokio::test(start_paused = true)]
async fn f30_a_backlog_of_one_channel_holds_up_no_other() {
    const BACKLOG: usize = 3_000;
    // As many as one address may have connections; each sends its next when its last was taken.
    const AT_ONCE: usize = 100;
    let (writer, groups, store) = counted();
    let senders: Vec<_> = (0..AT_ONCE)
        .map(|sender| {
            let writer = writer.clone();
            tokio::spawn(async move {
                for number in (sender..BACKLOG).step_by(AT_ONCE) {
                    let taken = writer.write(arrival(ChannelNo(1), number, 0)).await;
                    taken.expect("there is room");
                }
            })
        })
        .collect();
    let mut waited = Vec::new();
    for number in 0..10 {
        tokio::time::sleep(Duration::from_millis(13)).await;
        let before = groups.load(Ordering::SeqCst);
        let taken = writer.write(arrival(ChannelNo(2), number, 0)).await;
        taken.expect("there is room");
        waited.push(groups.load(Ordering::SeqCst) - before);
    }
    assert!(
        !senders.iter().all(|sender| sender.is_finished()),
        "the backlog is over too soon"
    );
    // The group that is under way, what waits before it, its own.
    assert!(waited.iter().all(|groups| *groups <= 3), "{waited:?}");
    for sender in senders {
        sender.await.expect("no panic");
    }
    let messages = store.messages_after(&Scope::whole_desk(), crate::id::MessageId(0), 10_000);
    assert_eq!(messages.expect("memory").len(), BACKLOG + 10);
}

#[tokio::test(start_paused = true)]
async fn f30_what_finds_no_room_is_told_so_and_comes_in_later() {
    const ALL: usize = 3_000;
    for (raw_kib, most) in [(0, 1_024), (256, 64)] {
        let all = if raw_kib > 0 { 300 } else { ALL };
        let (writer, _, store) = counted();
        let busy = Arc::new(AtomicU64::new(0));
        let senders: Vec<_> = (0..all)
            .map(|number| {
                let (writer, busy) = (writer.clone(), Arc::clone(&busy));
                tokio::spawn(async move {
                    loop {
                        match writer.write(arrival(ChannelNo(1), number, raw_kib)).await {
                            Ok(_) => return,
                            Err(WriteError::Busy) => {
                                busy.fetch_add(1, Ordering::SeqCst);
                                tokio::time::sleep(Duration::from_millis(20)).await;
                            }
                            Err(error) => panic!("{error}"),
                        }
                    }
                })
            })
            .collect();
        let mut longest = 0;
        while !senders.iter().all(|sender| sender.is_finished()) {
            longest = longest.max(writer.waiting());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(busy.load(Ordering::SeqCst) > 0, "there was room for all");
        assert!(
            longest <= most,
            "{longest} waited at once, of at most {most}"
        );
        assert!(
            longest > most / 2,
            "{longest} waited at once: the bound was not met"
        );
        let messages = store.messages_after(&Scope::whole_desk(), crate::id::MessageId(0), 10_000);
        assert_eq!(messages.expect("memory").len(), all);
    }
}
