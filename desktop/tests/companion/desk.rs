//! The companion for real: the built program on a session bus with something that shows notifications and a sound card
//! that is recorded, against the built daemon.

use std::time::{Duration, Instant};

use crate::support::ear::{Ear, is_silent};
use crate::support::{ADMIN, Daemon, Desktop, has_a_desktop, how_many, say, wait_for};
use serde_json::json;

/// Two desktops at once and no more: each is five programs, and what is heard has its time.
static DESKTOPS: tokio::sync::Semaphore = tokio::sync::Semaphore::const_new(2);

const BELL: f64 = 784.0;
const ALARM: f64 = 587.0;

#[tokio::test]
async fn a_message_is_seen_and_heard_until_somebody_takes_it_at_the_desk() {
    let _place = DESKTOPS.acquire().await.expect("never closed");
    if !has_a_desktop() {
        return;
    }
    let desktop = Desktop::start();
    let daemon = Daemon::start(desktop.folder.path()).await;
    let ear = Ear::open(&desktop);
    desktop.signs_in_as_a_program(&daemon.url, ADMIN);
    let companion = desktop.start_companion();
    desktop.companion_says("the line is open", 1);
    assert!(is_silent(ear.level_since(0)), "nobody waits");
    let visitor = daemon.visitor().await;
    let (from, begun) = (ear.now(), Instant::now());
    visitor
        .writes(
            &daemon,
            "m1",
            "Is <b>this</b> & that <img src=x> still there?",
        )
        .await;
    wait_for("the notification", || desktop.on_screen() == 1);
    let seen_after = begun.elapsed();
    ear.hears(from);
    let heard_after = begun.elapsed();
    std::thread::sleep(Duration::from_millis(600));
    let level = ear.level_since(from);
    say(&format!(
        "seen after {seen_after:?}, heard after {heard_after:?}, level {level:.3}"
    ));
    assert!(level > 0.05, "{level}");
    let shown = desktop.shown();
    let (title, body, urgency) = shown.last().expect("it was shown");
    assert!(title.contains("Our shop's website"), "{title}");
    assert!(
        body.contains("Is &lt;b&gt;this&lt;/b&gt; &amp; that &lt;img src=x&gt; still there?"),
        "what customers write is text: {body}"
    );
    assert_eq!(urgency, "NORMAL");
    let ring = daemon.the_ring().await;
    let attempts = daemon.attempts(&ring).await;
    assert_eq!(attempts, [("shown".to_owned(), String::new())]);
    // It sounds on.
    let later = ear.now();
    ear.hears(later);
    assert!(ear.ratio_since(from, BELL, ALARM) > 4.0, "it is the bell");
    // The next step: the same notification, more urgent, and not a second one.
    wait_for("the second step", || {
        desktop
            .shown()
            .last()
            .is_some_and(|(.., urgency)| urgency == "CRITICAL")
    });
    assert_eq!(desktop.on_screen(), 1);
    daemon
        .post(&format!("/api/v1/bell/{ring}/ack"), json!({}))
        .await;
    let taken = Instant::now();
    wait_for("it is closed", || desktop.on_screen() == 0);
    let closed_after = taken.elapsed();
    // The goal is a second, as the line below tells; a machine that does other things is given more.
    std::thread::sleep(Duration::from_secs(5));
    let silent_from = ear.now();
    std::thread::sleep(Duration::from_secs(6));
    say(&format!("closed after {closed_after:?}"));
    let level = ear.level_since(silent_from);
    assert!(is_silent(level), "it is silent once it is taken: {level}");
    drop(companion);
}

/// How often it is measured; `DESKBELL_RINGS` says another number.
const RINGS: usize = 4;

#[tokio::test]
async fn from_a_message_to_what_is_seen_and_heard_again_and_again() {
    let _place = DESKTOPS.acquire().await.expect("never closed");
    if !has_a_desktop() {
        return;
    }
    let rings = how_many("DESKBELL_RINGS", RINGS);
    let desktop = Desktop::start();
    let daemon = Daemon::start(desktop.folder.path()).await;
    let ear = Ear::open(&desktop);
    desktop.signs_in_as_a_program(&daemon.url, ADMIN);
    let _companion = desktop.start_companion();
    desktop.companion_says("the line is open", 1);
    let (mut seen, mut heard, mut closed) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..rings {
        let visitor = daemon.visitor().await;
        let (from, begun) = (ear.now(), Instant::now());
        visitor
            .writes(&daemon, "m1", &format!("Message {number}"))
            .await;
        wait_for("the notification", || desktop.on_screen() == 1);
        seen.push(begun.elapsed());
        ear.hears(from);
        heard.push(begun.elapsed());
        let ring = daemon.the_ring().await;
        let taken = Instant::now();
        daemon
            .post(&format!("/api/v1/bell/{ring}/ack"), json!({}))
            .await;
        wait_for("it is closed", || desktop.on_screen() == 0);
        closed.push(taken.elapsed());
        wait_for("it is silent", || {
            let now = ear.now();
            std::thread::sleep(Duration::from_millis(600));
            is_silent(ear.level_since(now))
        });
    }
    for (what, mut took) in [
        ("seen", seen),
        ("heard", heard),
        ("closed after taking", closed),
    ] {
        took.sort();
        let of = |share: usize| took[(took.len() * share / 100).min(took.len() - 1)];
        say(&format!(
            "{what}, {rings} times: p50 {:?}, p95 {:?}, longest {:?}",
            of(50),
            of(95),
            of(100)
        ));
    }
}

#[tokio::test]
async fn the_buttons_take_and_open() {
    let _place = DESKTOPS.acquire().await.expect("never closed");
    if !has_a_desktop() {
        return;
    }
    let desktop = Desktop::start();
    let daemon = Daemon::start(desktop.folder.path()).await;
    let ear = Ear::open(&desktop);
    desktop.signs_in_as_a_program(&daemon.url, ADMIN);
    let _companion = desktop.start_companion();
    desktop.companion_says("the line is open", 1);
    let visitor = daemon.visitor().await;
    visitor.writes(&daemon, "m1", "Hello?").await;
    wait_for("the notification", || desktop.on_screen() == 1);
    let ring = daemon.the_ring().await;
    let conversation = daemon.get(&format!("/api/v1/bell/{ring}")).await["conversation_id"].clone();
    let conversation = conversation.as_str().expect("an id").to_owned();
    desktop.press("Open");
    let place = format!("{}/desk/inbox/unanswered/{conversation}", daemon.url);
    wait_for("the desk is opened", || desktop.opened().contains(&place));
    assert_eq!(
        daemon.ringing().await.len(),
        1,
        "to have opened is not to have taken"
    );
    // A second message of another person: the first one is being read, this one is new.
    let other = daemon.visitor().await;
    other.writes(&daemon, "m2", "And I?").await;
    wait_for("the second notification", || {
        desktop
            .shown()
            .iter()
            .any(|(_, body, _)| body.contains("And I?"))
    });
    desktop.press("Take");
    let pressed = Instant::now();
    while daemon.ringing().await.len() != 1 {
        assert!(
            pressed.elapsed() < crate::support::PATIENCE,
            "nothing was taken"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    wait_for("it is gone from the screen", || desktop.on_screen() <= 1);
    let from = ear.now();
    // The one that is left rings on once its reader's minute is over, or is the one that was not read: heard in time.
    ear.hears(from);
}

#[tokio::test]
async fn f35_f36_a_daemon_that_is_killed_is_missed_loudly_and_nothing_is_rung_twice() {
    let _place = DESKTOPS.acquire().await.expect("never closed");
    if !has_a_desktop() {
        return;
    }
    let desktop = Desktop::start();
    let mut daemon = Daemon::start(desktop.folder.path()).await;
    let ear = Ear::open(&desktop);
    desktop.signs_in_as_a_program(&daemon.url, ADMIN);
    let mut companion = desktop.start_companion();
    desktop.companion_says("the line is open", 1);
    let visitor = daemon.visitor().await;
    visitor.writes(&daemon, "m1", "Before the cut").await;
    wait_for("the notification", || desktop.on_screen() == 1);
    let ring = daemon.the_ring().await;
    daemon.attempts(&ring).await;
    // A short absence is no alarm, and what rang rings on without being rung anew.
    daemon.kill();
    daemon.start_again();
    desktop.companion_says("the line is open", 2);
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(desktop.times_shown("has lost"), 0);
    assert_eq!(
        desktop.on_screen(),
        1,
        "one, and not a second one beside it"
    );
    let attempts = daemon.attempts(&ring).await;
    let step = daemon.get(&format!("/api/v1/bell/{ring}")).await["step"]
        .as_u64()
        .expect("a number");
    assert!(
        attempts.len() as u64 <= step,
        "each step is told once: {attempts:?} at step {step}"
    );
    daemon
        .post(&format!("/api/v1/bell/{ring}/ack"), json!({}))
        .await;
    wait_for("it is closed", || desktop.on_screen() == 0);
    // A long one is.
    daemon.kill();
    let (from, killed) = (ear.now(), Instant::now());
    wait_for("the alarm", || {
        desktop.times_shown("has lost the desk") == 1
    });
    let after = killed.elapsed();
    assert!(
        (Duration::from_secs(29)..Duration::from_secs(45)).contains(&after),
        "{after:?}"
    );
    let (.., urgency) = desktop.shown().last().expect("it was shown").clone();
    assert_eq!(urgency, "CRITICAL");
    ear.hears(from);
    std::thread::sleep(Duration::from_secs(1));
    assert!(ear.ratio_since(from, ALARM, BELL) > 4.0, "it is no bell");
    assert!(companion.is_running());
    daemon.start_again();
    wait_for("it is back", || {
        desktop.times_shown("Deskbell is back") == 1
    });
    visitor.writes(&daemon, "m2", "After the cut").await;
    wait_for("the notification", || {
        desktop
            .shown()
            .iter()
            .any(|(_, body, _)| body.contains("After the cut"))
    });
    assert_eq!(desktop.times_shown("has lost the desk"), 1);
    let bodies = desktop
        .shown()
        .iter()
        .filter(|(_, body, _)| body.contains("After the cut"))
        .count();
    assert_eq!(bodies, 1, "shown once");
}

#[tokio::test]
async fn f34_a_missing_sound_card_and_missing_notifications_are_told_and_break_nothing() {
    let _place = DESKTOPS.acquire().await.expect("never closed");
    if !has_a_desktop() {
        return;
    }
    let mut desktop = Desktop::start();
    let daemon = Daemon::start(desktop.folder.path()).await;
    desktop.unplug_sound();
    desktop.signs_in_as_a_program(&daemon.url, ADMIN);
    let mut companion = desktop.start_companion();
    desktop.companion_says("the line is open", 1);
    let visitor = daemon.visitor().await;
    visitor.writes(&daemon, "m1", "Hello?").await;
    wait_for("the notification", || {
        desktop
            .shown()
            .iter()
            .any(|(_, body, _)| body.contains("Hello?"))
    });
    let ring = daemon.the_ring().await;
    let attempts = daemon.attempts(&ring).await;
    assert_eq!(attempts[0].0, "failed", "{attempts:?}");
    assert!(
        attempts[0].1.starts_with("Not heard: no sound device"),
        "{attempts:?}"
    );
    wait_for("the person is told", || {
        desktop.times_shown("cannot be heard here") == 1
    });
    daemon
        .post(&format!("/api/v1/bell/{ring}/ack"), json!({}))
        .await;
    // Nothing shows notifications any more: told as well.
    desktop.stop_dunst();
    visitor.writes(&daemon, "m2", "Still there?").await;
    let ring = daemon.the_ring().await;
    let attempts = daemon.attempts(&ring).await;
    assert_eq!(attempts[0].0, "failed", "{attempts:?}");
    assert!(
        attempts[0].1.contains("Not shown: ") && attempts[0].1.contains("Not heard: "),
        "{attempts:?}"
    );
    assert!(companion.is_running());
}

#[tokio::test]
async fn what_shows_notifications_may_be_restarted() {
    let _place = DESKTOPS.acquire().await.expect("never closed");
    if !has_a_desktop() {
        return;
    }
    let mut desktop = Desktop::start();
    let daemon = Daemon::start(desktop.folder.path()).await;
    desktop.set("sound = false\n");
    desktop.signs_in_as_a_program(&daemon.url, ADMIN);
    let _companion = desktop.start_companion();
    desktop.companion_says("the line is open", 1);
    daemon.visitor().await.writes(&daemon, "m1", "Hello?").await;
    wait_for("the notification", || desktop.on_screen() == 1);
    let ring = daemon.the_ring().await;
    let attempts = daemon.attempts(&ring).await;
    assert_eq!(attempts[0].0, "shown");
    assert!(attempts[0].1.contains("turned off"), "{attempts:?}");
    desktop.restart_dunst();
    wait_for("the notification is there again", || {
        desktop.on_screen() == 1
    });
    assert_eq!(
        daemon.attempts(&ring).await.len(),
        1,
        "shown again is not rung again"
    );
}
