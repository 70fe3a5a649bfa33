use super::*;
use crate::wire::Contact;

const NOON: u16 = 12 * 60;

pub(super) fn at(ms: u64) -> Moment {
    Moment { ms, minute: NOON }
}

pub(super) fn ring(conversation: u32, number: u32, step: u32) -> Ring {
    Ring {
        id: format!("rng_{number:08}"),
        conversation_id: Some(format!("cnv_{conversation:08}")),
        channel_id: Some("site".to_owned()),
        title: None,
        detail: None,
        state: "ringing".to_owned(),
        step,
        started_at: None,
        next_step_at: None,
        silenced: false,
        told: None,
        taken_by: None,
    }
}

fn rung(ring: Ring) -> Heard {
    Heard::Rung { ring, old: false }
}

pub(super) fn conversation(number: u32, connector: &str, waits: bool) -> Heard {
    Heard::Conversation(Box::new(Conversation {
        id: format!("cnv_{number:08}"),
        channel_id: "site".to_owned(),
        connector: connector.to_owned(),
        contact: Contact::default(),
        status: "open".to_owned(),
        waiting_since: waits.then_some(Timestamp::UNIX_EPOCH),
        last_message: None,
        spam: false,
        blocked: false,
    }))
}

pub(super) fn up() -> Policy {
    let mut policy = Policy::new(Some("usr_me".to_owned()), at(0));
    policy.up();
    policy
}

fn strikes(actions: &[Action]) -> Vec<(Tune, u32)> {
    let strikes = actions.iter().filter_map(|action| match action {
        Action::Strike { tune, step } => Some((*tune, *step)),
        _ => None,
    });
    strikes.collect()
}

fn show(conversation: u32, number: u32, step: u32, tell: bool) -> Action {
    Action::Show {
        conversation: format!("cnv_{conversation:08}"),
        ring: format!("rng_{number:08}"),
        step,
        tell,
    }
}

fn close(conversation: u32) -> Action {
    Action::Close {
        conversation: format!("cnv_{conversation:08}"),
    }
}

/// Lets time pass in steps of 100 ms, and gives every action with its time.
fn run(policy: &mut Policy, settings: &Settings, from: u64, to: u64) -> Vec<(u64, Action)> {
    let mut all = Vec::new();
    let mut ms = from;
    while ms < to {
        let actions = policy.decide(settings, at(ms));
        all.extend(actions.into_iter().map(|action| (ms, action)));
        ms += 100;
    }
    all
}

#[test]
fn a_ring_is_shown_once_and_sounds_until_it_is_taken() {
    let (mut policy, settings) = (up(), Settings::default());
    policy.hear(rung(ring(1, 1, 1)));
    let first = policy.decide(&settings, at(10));
    assert_eq!(
        first,
        [
            show(1, 1, 1, true),
            Action::Strike {
                tune: Tune::Bell,
                step: 0
            }
        ]
    );
    // It sounds on: a stroke each 4 s, and nothing else.
    let on = run(&mut policy, &settings, 100, 20_100);
    assert_eq!(on.len(), 4, "{on:?}");
    assert!(on.iter().all(|(_, action)| matches!(
        action,
        Action::Strike {
            tune: Tune::Bell,
            ..
        }
    )));
    // The next step: updated, higher, and told once more.
    policy.hear(rung(ring(1, 1, 2)));
    let second = policy.decide(&settings, at(20_100));
    assert_eq!(
        second,
        [
            show(1, 1, 2, true),
            Action::Strike {
                tune: Tune::Bell,
                step: 1
            }
        ]
    );
    policy.hear(Heard::Taken(ring(1, 1, 2)));
    assert_eq!(
        policy.decide(&settings, at(20_200)),
        [close(1), Action::Silence]
    );
    assert_eq!(run(&mut policy, &settings, 20_300, 90_000), []);
}

#[test]
fn whatever_ends_the_waiting_ends_the_sound() {
    let settings = Settings::default();
    for ends in [
        Heard::Taken(ring(1, 1, 1)),
        conversation(1, "webchat", false),
        Heard::Answering("cnv_00000001".to_owned()),
        rung(Ring {
            silenced: true,
            ..ring(1, 1, 2)
        }),
        rung(Ring {
            state: "ended".to_owned(),
            ..ring(1, 1, 2)
        }),
        rung(Ring {
            told: Some(vec!["usr_other".to_owned()]),
            ..ring(1, 1, 2)
        }),
    ] {
        let mut policy = up();
        policy.hear(rung(ring(1, 1, 1)));
        policy.decide(&settings, at(0));
        policy.hear(ends.clone());
        assert_eq!(
            policy.decide(&settings, at(50)),
            [close(1), Action::Silence],
            "{ends:?}"
        );
        // What says the same ring once more, later: an answer that failed.
        policy.hear(rung(ring(1, 1, 1)));
        let again = policy.decide(&settings, at(5_000));
        assert_eq!(
            again,
            [
                show(1, 1, 1, false),
                Action::Strike {
                    tune: Tune::Bell,
                    step: 0
                }
            ]
        );
    }
    let mut policy = up();
    policy.hear(rung(ring(1, 2, 1)));
    policy.decide(&settings, at(0));
    // The end of an older ring of the same conversation, and one of another.
    policy.hear(Heard::Taken(ring(1, 1, 3)));
    policy.hear(Heard::Taken(ring(2, 3, 3)));
    policy.hear(conversation(2, "webchat", false));
    assert_eq!(policy.decide(&settings, at(50)), []);
    assert_eq!(policy.waiting(), 1);
}

#[test]
fn only_who_is_told_hears_it() {
    let settings = Settings::default();
    let told = |who: &str| Some(vec![who.to_owned()]);
    let mut policy = up();
    policy.hear(rung(Ring {
        told: told("usr_other"),
        ..ring(1, 1, 1)
    }));
    assert_eq!(policy.decide(&settings, at(0)), []);
    policy.hear(rung(Ring {
        told: told("usr_me"),
        ..ring(1, 1, 2)
    }));
    assert_eq!(policy.decide(&settings, at(0)).len(), 2);
    // Nobody is told: it is everybody's.
    policy.hear(rung(Ring {
        told: Some(Vec::new()),
        ..ring(2, 2, 1)
    }));
    assert!(
        policy
            .decide(&settings, at(0))
            .contains(&show(2, 2, 1, true))
    );
    // A program's token is nobody: it hears all.
    let mut program = Policy::new(None, at(0));
    program.up();
    program.hear(rung(Ring {
        told: told("usr_other"),
        ..ring(1, 1, 1)
    }));
    assert_eq!(program.decide(&settings, at(0)).len(), 2);
}

#[test]
fn the_last_step_repeats_and_each_time_is_told_once() {
    let (mut policy, settings) = (up(), Settings::default());
    let at_ms = |ms| Some(Timestamp::from_millisecond(ms).expect("a time"));
    policy.hear(rung(Ring {
        next_step_at: at_ms(900),
        ..ring(1, 1, 4)
    }));
    assert!(
        policy
            .decide(&settings, at(0))
            .contains(&show(1, 1, 4, true))
    );
    policy.hear(rung(Ring {
        next_step_at: at_ms(900),
        ..ring(1, 1, 4)
    }));
    assert_eq!(policy.decide(&settings, at(2_000)), []);
    policy.hear(rung(Ring {
        next_step_at: at_ms(1_800),
        ..ring(1, 1, 4)
    }));
    assert!(
        policy
            .decide(&settings, at(2_100))
            .contains(&show(1, 1, 4, true))
    );
    // What was said before comes late.
    policy.hear(rung(Ring {
        next_step_at: at_ms(900),
        ..ring(1, 1, 4)
    }));
    policy.hear(rung(ring(1, 1, 2)));
    assert_eq!(policy.decide(&settings, at(2_200)), []);
}

#[test]
fn f36_after_a_reconnect_what_rings_is_what_the_daemon_says() {
    let (mut policy, settings) = (up(), Settings::default());
    for number in [1, 2] {
        policy.hear(rung(ring(number, number, 1)));
    }
    policy.decide(&settings, at(0));
    policy.down(at(1_000));
    policy.up();
    policy.begin_reading();
    // 1 was taken meanwhile, 3 rang and ended, 4 rings, 5 begins while the rings are read and is not among them.
    policy.hear(Heard::Taken(ring(1, 1, 1)));
    policy.hear(Heard::Rung {
        ring: ring(3, 3, 1),
        old: true,
    });
    policy.hear(Heard::Rung {
        ring: ring(4, 4, 1),
        old: true,
    });
    policy.hear(rung(ring(5, 5, 1)));
    let meanwhile = policy.decide(&settings, at(2_000));
    assert!(meanwhile.contains(&close(1)) && meanwhile.contains(&show(5, 5, 1, true)));
    policy.read(vec![ring(1, 1, 1), ring(2, 2, 1), ring(4, 4, 1)]);
    let after = policy.decide(&settings, at(2_100));
    let shown: Vec<_> = after
        .iter()
        .filter(|one| matches!(one, Action::Show { .. } | Action::Close { .. }))
        .collect();
    assert_eq!(
        shown,
        [&show(4, 4, 1, true)],
        "2 and 5 stand as they are, 1 and 3 are over: {after:?}"
    );
    assert_eq!(policy.waiting(), 3);
    // 3 was said before and is in no list: it is asked once more, so that a wrong clock silences nothing.
    assert!(policy.wants_look());
    policy.begin_reading();
    policy.read(vec![ring(2, 2, 1), ring(4, 4, 1), ring(5, 5, 1)]);
    assert!(!policy.wants_look());
    assert_eq!(policy.decide(&settings, at(2_200)), []);
    policy.begin_reading();
    policy.reading_failed();
    assert!(policy.wants_look(), "it is tried again");
}

#[test]
fn an_old_word_that_ended_a_ring_is_healed_by_its_next_one() {
    let (mut policy, settings) = (up(), Settings::default());
    policy.begin_reading();
    policy.read(vec![ring(1, 2, 1)]);
    policy.decide(&settings, at(0));
    // From before: answered, and then written again. In between nobody waited.
    policy.hear(conversation(1, "webchat", false));
    policy.hear(Heard::Rung {
        ring: ring(1, 2, 1),
        old: true,
    });
    assert!(policy.wants_look());
    policy.begin_reading();
    policy.read(vec![ring(1, 2, 1)]);
    assert_eq!(strikes(&policy.decide(&settings, at(100))), []);
    assert_eq!(policy.waiting(), 1);
}

#[test]
fn an_alarm_rings_as_a_message_does_and_alone() {
    let (mut policy, settings) = (up(), Settings::default());
    let alarm = |number| Ring {
        conversation_id: None,
        ..ring(0, number, 1)
    };
    policy.hear(rung(alarm(1)));
    policy.hear(rung(alarm(2)));
    assert_eq!(
        policy.decide(&settings, at(0)).len(),
        3,
        "each is shown, and one stroke"
    );
    policy.hear(Heard::Taken(alarm(1)));
    let close = Action::Close {
        conversation: "rng_00000001".to_owned(),
    };
    assert_eq!(policy.decide(&settings, at(100)), [close]);
    assert_eq!(policy.waiting(), 1);
}

#[test]
fn many_are_few_notifications() {
    let (mut policy, settings) = (up(), Settings::default());
    for number in 1..=30 {
        policy.hear(rung(ring(number, number, 1)));
    }
    let actions = policy.decide(&settings, at(0));
    let alone = actions
        .iter()
        .filter(|one| matches!(one, Action::Show { .. }))
        .count();
    assert_eq!(alone, MOST_ALONE);
    let tell = (6..=30).map(|number| format!("rng_{number:08}")).collect();
    assert!(actions.contains(&Action::Others { count: 25, tell }));
    assert_eq!(strikes(&actions).len(), 1, "one stroke for all");
    // A place is free: the one who waits longest has it.
    policy.hear(Heard::Taken(ring(2, 2, 1)));
    let actions = policy.decide(&settings, at(100));
    assert_eq!(
        actions,
        [
            close(2),
            show(6, 6, 1, false),
            Action::Others {
                count: 24,
                tell: Vec::new()
            }
        ]
    );
}

#[test]
fn to_have_seen_is_not_to_have_taken() {
    let (mut policy, settings) = (up(), Settings::default());
    policy.hear(rung(ring(1, 1, 1)));
    policy.decide(&settings, at(0));
    policy.dismissed("cnv_00000001", at(1_000));
    let on = run(&mut policy, &settings, 1_000, 62_000);
    let shown: Vec<_> = on
        .iter()
        .filter(|(_, one)| matches!(one, Action::Show { .. }))
        .collect();
    assert_eq!(shown, [&(1_000 + AGAIN_MS, show(1, 1, 1, false))]);
    assert!(
        strikes(&on.into_iter().map(|(_, one)| one).collect::<Vec<_>>()).len() >= 15,
        "the bell goes on"
    );
    // Whoever opens it has a minute.
    policy.opening("cnv_00000001", at(62_000));
    policy.dismissed("cnv_00000001", at(62_000));
    let on = run(&mut policy, &settings, 62_000, 62_000 + READING_MS);
    assert_eq!(on, [(62_000, Action::Silence)]);
    let then = policy.decide(&settings, at(62_000 + READING_MS));
    assert_eq!(
        then,
        [
            show(1, 1, 1, false),
            Action::Strike {
                tune: Tune::Bell,
                step: 0
            }
        ]
    );
    // The customer writes again, or it climbs: the peace is over.
    policy.opening("cnv_00000001", at(200_000));
    policy.decide(&settings, at(200_000));
    policy.hear(rung(ring(1, 1, 2)));
    assert_eq!(
        strikes(&policy.decide(&settings, at(201_000))),
        [(Tune::Bell, 1)]
    );
}

#[test]
fn taking_is_silent_at_once_and_rings_on_where_it_fails() {
    let (mut policy, settings) = (up(), Settings::default());
    policy.hear(rung(ring(1, 1, 1)));
    policy.decide(&settings, at(0));
    assert_eq!(
        policy.taking("cnv_00000001", at(500)).as_deref(),
        Some("rng_00000001")
    );
    assert_eq!(policy.decide(&settings, at(500)), [Action::Silence]);
    policy.not_taken("cnv_00000001");
    let again = policy.decide(&settings, at(900));
    assert_eq!(
        again,
        [
            show(1, 1, 1, false),
            Action::Strike {
                tune: Tune::Bell,
                step: 0
            }
        ]
    );
    // No answer at all: it is not silent for ever.
    policy.taking("cnv_00000001", at(2_000));
    let on = run(&mut policy, &settings, 2_000, 2_000 + TAKING_MS + 100);
    assert_eq!(
        strikes(&on.iter().map(|(_, one)| one.clone()).collect::<Vec<_>>()).len(),
        1,
        "{on:?}"
    );
    policy.taking("cnv_00000001", at(30_000));
    policy.over("cnv_00000001", "rng_00000001");
    assert!(policy.decide(&settings, at(30_100)).contains(&close(1)));
    assert_eq!(policy.taking("cnv_00000001", at(30_200)), None);
}

#[test]
fn f35_a_lost_daemon_is_said_loudly_and_its_return_too() {
    let (mut policy, settings) = (up(), Settings::default());
    policy.hear(rung(ring(1, 1, 1)));
    policy.decide(&settings, at(0));
    policy.down(at(1_000));
    let before = run(&mut policy, &settings, 1_000, 31_000);
    assert!(
        before.iter().all(|(_, one)| matches!(
            one,
            Action::Strike {
                tune: Tune::Bell,
                ..
            }
        )),
        "{before:?}"
    );
    // A restart of the daemon within that time is nothing to tell of.
    policy.up();
    policy.down(at(31_000));
    assert!(!policy.line().is_alarming());
    let lost = run(&mut policy, &settings, 31_000, 31_000 + 30_200);
    assert_eq!(
        lost[lost.len() - 2],
        (61_100, Action::Lost { for_ms: 30_100 })
    );
    assert_eq!(
        lost[lost.len() - 1],
        (
            61_100,
            Action::Strike {
                tune: Tune::Lost,
                step: 0
            }
        )
    );
    let on = run(&mut policy, &settings, 61_200, 61_200 + 120_000);
    assert_eq!(
        on.len(),
        2,
        "once a minute, and no bell that nobody could take: {on:?}"
    );
    policy.up();
    policy.begin_reading();
    policy.read(Vec::new());
    let back = policy.decide(&settings, at(200_000));
    assert_eq!(
        back,
        [
            Action::Back { away_ms: 169_000 },
            close(1),
            Action::Strike {
                tune: Tune::Back,
                step: 0
            }
        ]
    );
    assert_eq!(run(&mut policy, &settings, 200_100, 300_000), []);
}

#[test]
fn f35_a_daemon_that_was_never_there_is_lost_too() {
    let (mut policy, settings) = (Policy::new(None, at(0)), Settings::default());
    let actions = run(&mut policy, &settings, 0, 40_000);
    assert_eq!(actions.len(), 2, "{actions:?}");
    assert!(matches!(actions[0].1, Action::Lost { .. }));
}

#[test]
fn whoever_was_signed_out_hears_it_at_once() {
    let (mut policy, settings) = (up(), Settings::default());
    policy.hear(rung(ring(1, 1, 1)));
    policy.decide(&settings, at(0));
    policy.signed_out(at(1_000));
    let actions = policy.decide(&settings, at(1_000));
    assert_eq!(
        actions,
        [
            Action::SignedOut,
            close(1),
            Action::Strike {
                tune: Tune::Lost,
                step: 0
            }
        ]
    );
    // It is tried again and refused again: said once, heard each minute.
    policy.down(at(1_500));
    policy.signed_out(at(1_600));
    let on = run(&mut policy, &settings, 1_600, 121_500);
    assert_eq!(on.len(), 2, "{on:?}");
    policy.up();
    let back = policy.decide(&settings, at(130_000));
    assert_eq!(
        back,
        [
            Action::SignedIn,
            Action::Strike {
                tune: Tune::Back,
                step: 0
            }
        ]
    );
}

#[test]
fn the_quiet_hours_are_quiet_and_nothing_else() {
    let settings = Settings::parse("quiet_from = \"22:00\"\nquiet_to = \"7:00\"").expect("right");
    let night = |ms| Moment { ms, minute: 3 * 60 };
    let mut policy = up();
    policy.hear(rung(ring(1, 1, 1)));
    assert_eq!(policy.decide(&settings, night(0)), [show(1, 1, 1, true)]);
    policy.down(night(1_000));
    assert!(matches!(
        policy.decide(&settings, night(40_000))[..],
        [Action::Lost { .. }]
    ));
    policy.up();
    assert!(matches!(
        policy.decide(&settings, night(50_000))[..],
        [Action::Back { .. }]
    ));
    // In the morning it sounds, and of the night's return nothing.
    assert_eq!(
        policy.decide(&settings, at(60_000)),
        [Action::Strike {
            tune: Tune::Bell,
            step: 0
        }]
    );
    // What sounds when they begin falls silent.
    assert_eq!(policy.decide(&settings, night(61_000)), [Action::Silence]);
    let off = Settings::parse("sound = false").expect("right");
    assert_eq!(policy.decide(&off, at(70_000)), []);
}

#[test]
fn a_letter_is_softer_and_rarer() {
    let (mut policy, settings) = (up(), Settings::default());
    policy.hear(conversation(1, "email", true));
    policy.hear(rung(ring(1, 1, 1)));
    let on = run(&mut policy, &settings, 0, 120_000);
    let sounds: Vec<_> = on.iter().map(|(_, one)| one.clone()).collect();
    assert_eq!(strikes(&sounds), [(Tune::Letter, 0), (Tune::Letter, 0)]);
    // A chat beside it is heard at once, and more often.
    policy.hear(rung(ring(2, 2, 1)));
    assert_eq!(
        strikes(&policy.decide(&settings, at(122_000))),
        [(Tune::Bell, 0)]
    );
}

#[test]
fn a_burst_is_not_a_drumroll() {
    let (mut policy, settings) = (up(), Settings::default());
    let mut heard = Vec::new();
    for number in 0..1_000 {
        policy.hear(rung(ring(number, number, 1)));
        let ms = u64::from(number) * 10;
        heard.extend(
            strikes(&policy.decide(&settings, at(ms)))
                .iter()
                .map(|_| ms),
        );
    }
    assert!(
        heard.windows(2).all(|pair| pair[1] - pair[0] >= GAP_MS),
        "{heard:?}"
    );
    assert_eq!(heard.len(), 10);
}

#[test]
fn what_shows_notifications_may_begin_anew() {
    let (mut policy, settings) = (up(), Settings::default());
    for number in 1..=7 {
        policy.hear(rung(ring(number, number, 1)));
    }
    policy.decide(&settings, at(0));
    policy.nothing_is_shown();
    let again = policy.decide(&settings, at(100));
    let shown = again
        .iter()
        .filter(|one| matches!(one, Action::Show { tell: false, .. }))
        .count();
    assert_eq!(
        (shown, strikes(&again).len()),
        (MOST_ALONE, 0),
        "shown again, not told and not struck again"
    );
    assert!(again.contains(&Action::Others {
        count: 2,
        tell: Vec::new()
    }));
}
