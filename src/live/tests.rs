//! The hub: in order, to whom it is for, and an end to patience.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use tokio::time::Instant;

use super::*;
use crate::api::testing::{As, Desk, PAGE, SHOP, desk, noon};

fn caller(desk: &Desk, who: As) -> Caller {
    let (app, token) = (&desk.app, who.token().expect("a token"));
    app.access
        .by_token(&*app.store, &app.channels, app.clock.now(), token)
        .expect("readable")
        .expect("let in")
}

/// Both kinds of hub.
fn both() -> [Live; 2] {
    [Live::default(), Live::on_its_thread().expect("a thread")]
}

/// A hint with a number.
fn hint(live: &Live, number: usize) {
    live.changed(noon(), &format!("list {number};"));
}

fn text_of(frame: &Frame) -> String {
    String::from_utf8(frame.text.to_vec()).expect("text")
}

#[tokio::test]
async fn every_reader_is_told_everything_in_order_whenever_others_come_and_go() {
    for live in both() {
        let mut readers: Vec<_> = (0..150).map(|_| live.subscribe()).collect();
        let mut others = Vec::new();
        for number in 0..1_000 {
            hint(&live, number);
            // They come and go in the middle of passes.
            others.push(live.subscribe());
            if number % 3 == 0 {
                others.swap_remove(number % others.len());
            }
        }
        for reader in &mut readers {
            for number in 0..1_000 {
                let frame = reader.frame().await.expect("it does not lag");
                let expected = format!("\"list {number};\"");
                assert!(text_of(&frame).contains(&expected), "{expected}");
            }
        }
    }
}

#[tokio::test]
async fn f33_who_reads_nothing_is_told_that_it_lags_and_keeps_no_memory() {
    for live in both() {
        let mut idle = live.subscribe();
        let mut reads = live.subscribe();
        for number in 0..5_000 {
            hint(&live, number);
            let frame = reads.frame().await.expect("it does not lag");
            assert!(text_of(&frame).contains(&format!("\"list {number};\"")));
        }
        assert_eq!(idle.frame().await.expect_err("too much"), Lagged);
        assert_eq!(idle.frame().await.expect_err("for good"), Lagged);
    }
}

#[derive(Debug, Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn t02_a_reader_is_not_woken_by_what_it_may_not_see_and_its_own_task_looks_when_rights_change()
 {
    let desk = desk().await;
    let (app, now) = (&desk.app, desk.app.clock.now());
    let (reader, other) = (caller(&desk, As::PageReader), caller(&desk, As::Reader));
    let mut subscription = app.live.subscribe();
    let mut seat = Some(Box::new(Seat::new(
        Arc::clone(app),
        reader,
        0,
        None,
        Instant::now(),
    )));
    let woken = Arc::<Woken>::default();
    let waker = Waker::from(Arc::clone(&woken));
    let mut cx = Context::from_waker(&waker);
    let times = || woken.0.load(Ordering::SeqCst);
    // Who it is has not been looked up yet, so that its task has to.
    assert!(subscription.poll_frame(&mut cx, &mut seat).is_pending());
    assert!(seat.is_none(), "it is at the hub");
    app.live.changed_for(now, other.owner(), "drafts");
    until(|| times() == 1).await;
    let Poll::Ready(Ok(frame)) = subscription.poll_frame(&mut cx, &mut seat) else {
        panic!("a frame");
    };
    let own = seat.as_mut().expect("it is back");
    assert_eq!(own.show(&frame), Some(None), "hidden");
    // From now on the hub knows: nothing wakes it but what it may see.
    assert!(subscription.poll_frame(&mut cx, &mut seat).is_pending());
    for _ in 0..100 {
        app.live.changed_for(now, other.owner(), "drafts");
    }
    app.live.changed(now, "labels");
    until(|| times() == 2).await;
    // Those of the same pass come with it, and its task hides them.
    let mut shown = Vec::new();
    while shown.is_empty() {
        let Poll::Ready(Ok(frame)) = subscription.poll_frame(&mut cx, &mut seat) else {
            panic!("a frame");
        };
        let own = seat.as_mut().expect("it is back");
        shown.extend(own.show(&frame).expect("let in"));
    }
    assert!(String::from_utf8_lossy(&shown[0]).contains("labels"));
    // Somebody's rights change: the seat's are not believed any more.
    assert!(subscription.poll_frame(&mut cx, &mut seat).is_pending());
    let changing = app.access.changing();
    app.live.changed_for(now, other.owner(), "drafts");
    until(|| times() == 3).await;
    drop(changing);
    subscription.take_seat(&mut seat);
    assert!(seat.is_some(), "taken back");
}

#[tokio::test]
async fn f32_what_waits_for_a_readers_task_is_not_overtaken_by_what_comes_later() {
    let desk = desk().await;
    let app = &desk.app;
    drop(tokio::spawn(crate::live::follow(Arc::clone(app))));
    // It begins at the head of when it begins.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut subscription = app.live.subscribe();
    let reader = caller(&desk, As::PageReader);
    let seat = Seat::new(Arc::clone(app), reader, 0, None, Instant::now());
    let mut seat = Some(Box::new(seat));
    let mut cx = Context::from_waker(Waker::noop());
    // Its rights are known, and it waits.
    app.live.changed(app.clock.now(), "labels");
    let hint = subscription.poll_frame(&mut cx, &mut seat);
    let Poll::Ready(Ok(hint)) = hint else {
        panic!("a hint");
    };
    let own = seat.as_mut().expect("not left");
    assert!(own.show(&hint).expect("let in").is_some());
    own.seen = app.store.head();
    assert!(subscription.poll_frame(&mut cx, &mut seat).is_pending());
    // One that its own task has to show, and behind it what it may not see.
    let before = app.store.head();
    desk.arrive(PAGE, "anna", "for the reader").await;
    desk.arrive(SHOP, "bert", "for others").await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let mut shown = Vec::new();
    while let Poll::Ready(frame) = subscription.poll_frame(&mut cx, &mut seat) {
        let (frame, own) = (
            frame.expect("it does not lag"),
            seat.as_mut().expect("back"),
        );
        let seq = frame.seq.expect("of the log");
        assert!(own.seen < seq, "{seq} is taken for shown: {} was", own.seen);
        own.seen = seq;
        shown.extend(own.show(&frame).expect("let in"));
    }
    assert!(app.store.head() > before + 1);
    let shown = shown.concat();
    let shown = String::from_utf8_lossy(&shown);
    assert!(shown.contains("for the reader") && !shown.contains("for others"));
}

/// Waits for the hub's thread.
async fn until(mut so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !so() {
        assert!(Instant::now() < end, "waited in vain");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
