use std::collections::BTreeSet;

use proptest::prelude::*;

use super::line::LOST_AFTER_MS;
use super::tests::{at, conversation, ring, up};
use super::{Action, Heard, Tune};
use crate::settings::Settings;
use crate::wire::Ring;

#[derive(Clone, Debug)]
enum Happens {
    Hear(Box<Heard>),
    Down,
    Up,
    Read(Vec<Ring>),
    Taking(u32),
    Opening(u32),
    Dismissed(u32),
    Pass(u64),
}

fn happens() -> impl Strategy<Value = Happens> {
    let small = || 0_u32..8;
    prop_oneof![
        4 => (small(), 0_u32..20, 1_u32..5, any::<bool>()).prop_map(|(one, number, step, old)| Happens::Hear(Box::new(Heard::Rung { ring: ring(one, number, step), old }))),
        2 => (small(), 0_u32..20).prop_map(|(one, number)| Happens::Hear(Box::new(Heard::Taken(ring(one, number, 1))))),
        1 => (small(), any::<bool>(), any::<bool>()).prop_map(|(one, mail, waits)| Happens::Hear(Box::new(conversation(one, if mail { "email" } else { "webchat" }, waits)))),
        1 => Just(Happens::Down),
        2 => Just(Happens::Up),
        1 => proptest::collection::vec((small(), 0_u32..20), 0..6).prop_map(|rings| Happens::Read(rings.into_iter().map(|(one, number)| ring(one, number, 1)).collect())),
        1 => small().prop_map(Happens::Taking),
        1 => small().prop_map(Happens::Opening),
        1 => small().prop_map(Happens::Dismissed),
        6 => (1_u64..90_000).prop_map(Happens::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever happens in whatever order: what is shown is what waits, nothing sounds where nobody waits, and whoever
    /// waits is heard within the time that is set, unless a person was given peace or the daemon is lost.
    #[test]
    fn what_waits_is_seen_and_heard_and_nothing_else(all in proptest::collection::vec(happens(), 1..80)) {
        let (mut policy, settings) = (up(), Settings::default());
        let mut now = 0;
        let mut shown = BTreeSet::new();
        let mut others = 0;
        let name = |number: u32| format!("cnv_{number:08}");
        let mut reading = false;
        for one in all {
            match one {
                Happens::Hear(heard) => policy.hear(*heard),
                Happens::Down => policy.down(at(now)),
                Happens::Up => {
                    policy.up();
                    policy.begin_reading();
                    reading = true;
                }
                Happens::Read(rings) => if reading {
                    policy.read(rings);
                    reading = false;
                },
                Happens::Taking(number) => { policy.taking(&name(number), at(now)); }
                Happens::Opening(number) => policy.opening(&name(number), at(now)),
                Happens::Dismissed(number) => policy.dismissed(&name(number), at(now)),
                Happens::Pass(ms) => now += ms,
            }
            // The runner asks at least once a second, too.
            for action in policy.decide(&settings, at(now)) {
                match action {
                    Action::Show { conversation, .. } => { shown.insert(conversation); }
                    Action::Close { conversation } => prop_assert!(shown.remove(&conversation)),
                    Action::Others { count, .. } => others = count,
                    Action::Strike { tune: Tune::Bell | Tune::Letter, .. } => prop_assert!(policy.waiting() > 0 && !policy.line().sounds()),
                    Action::Strike { tune: Tune::Lost, .. } => prop_assert!(!policy.line().is_up()),
                    _ => {}
                }
            }
            let waiting: BTreeSet<String> = policy.waiting.keys().cloned().collect();
            prop_assert!(shown.is_subset(&waiting));
            prop_assert_eq!(shown.len() + others, waiting.len());
            let loud = policy.waiting.values().any(|one| one.sounds(now) && !one.letter);
            if loud && !policy.line().sounds() {
                let (at, _) = policy.struck.expect("something sounded");
                prop_assert!(now - at < settings.repeat_seconds * 1_000);
            }
            if policy.waiting.is_empty() && !policy.line().sounds() {
                prop_assert!(!matches!(policy.struck, Some((_, Tune::Bell | Tune::Letter))));
            }
        }
    }

    /// A week in which the line comes and goes: it is said exactly when it was away for longer than 30 s.
    #[test]
    fn f35_every_long_absence_is_said_once(spans in proptest::collection::vec((1_u64..7_200_000, 1_u64..200_000), 1..80)) {
        let (mut policy, settings) = (up(), Settings::default());
        let mut now = 0;
        for (up_ms, down_ms) in spans {
            now += up_ms;
            policy.down(at(now));
            let mut said = Vec::new();
            let end = now + down_ms;
            while now < end {
                said.extend(policy.decide(&settings, at(now)));
                now += 1_000;
            }
            now = end;
            said.extend(policy.decide(&settings, at(now)));
            policy.up();
            said.extend(policy.decide(&settings, at(now)));
            let lost = said.iter().filter(|one| matches!(one, Action::Lost { .. })).count();
            let back = said.iter().filter(|one| matches!(one, Action::Back { .. })).count();
            let expected = usize::from(down_ms > LOST_AFTER_MS);
            prop_assert_eq!((lost, back), (expected, expected));
        }
    }
}
