//! The sounds, made here: a struck bell, a softer one for letters, a falling alarm where the daemon is lost, a rising sign
//! that it is back. Struck metal has partials that are no whole multiples of each other, and the high ones die first: that
//! is what makes it warm. The desk in the browser sounds the same.

use std::f32::consts::TAU;

use crate::policy::Tune;

/// How many samples a second, in hertz.
pub const RATE: u32 = 48_000;
/// The bell rises by a semitone at each step, up to a third.
const HIGHEST: u32 = 4;
/// The pause between the two strokes of the bell, in seconds.
const TWICE: f32 = 0.34;

/// How something sounds that is struck.
struct Voice {
    /// The fundamental, in hertz.
    pitch: f32,
    /// Against the other sounds.
    level: f32,
    /// How long it takes to be there, in seconds: felt against metal.
    attack: f32,
    /// Each partial: its ratio to the fundamental, its part, and how long it is heard, in seconds.
    partials: &'static [(f32, f32, f32)],
}

const BELL: Voice = Voice {
    pitch: 784.0,
    level: 0.5,
    attack: 0.004,
    partials: &[
        (0.5, 0.16, 0.9),
        (1.0, 0.5, 1.1),
        (1.19, 0.12, 0.7),
        (2.0, 0.2, 0.55),
        (2.74, 0.12, 0.35),
        (4.07, 0.05, 0.18),
        (5.43, 0.025, 0.1),
    ],
};
const LETTER: Voice = Voice {
    pitch: 392.0,
    level: 0.34,
    attack: 0.018,
    partials: &[(1.0, 0.6, 0.9), (2.01, 0.16, 0.45), (2.76, 0.05, 0.25)],
};
/// Hollow, with odd partials alone: nothing a bell could be taken for.
const ALARM: Voice = Voice {
    pitch: 587.0,
    level: 0.5,
    attack: 0.01,
    partials: &[(1.0, 0.6, 0.5), (3.0, 0.2, 0.4), (5.0, 0.1, 0.3)],
};

/// What is struck when, in seconds, and how much higher.
type Stroke = (&'static Voice, f32, f32);

fn strokes(tune: Tune, step: u32) -> Vec<Stroke> {
    let semitones = |count: f32| (count / 12.0).exp2();
    match tune {
        Tune::Bell if step == 0 => vec![(&BELL, 0.0, 1.0)],
        Tune::Bell => {
            #[expect(clippy::cast_precision_loss, reason = "at most 4")]
            let rise = semitones(step.min(HIGHEST) as f32);
            vec![(&BELL, 0.0, rise), (&BELL, TWICE, rise * semitones(3.0))]
        }
        Tune::Letter => vec![(&LETTER, 0.0, 1.0)],
        Tune::Lost => {
            let falling = [
                (0.0, 0.0),
                (0.22, -3.0),
                (0.44, -7.0),
                (0.9, 0.0),
                (1.12, -3.0),
                (1.34, -7.0),
            ];
            falling
                .map(|(at, lower)| (&ALARM, at, semitones(lower)))
                .to_vec()
        }
        Tune::Back => vec![(&LETTER, 0.0, 1.0), (&LETTER, 0.18, semitones(7.0))],
    }
}

/// The samples of a sound on one channel, from -1 to 1, at [`RATE`]. Loudness is heard by its logarithm: a volume of 0.5 is
/// half as loud to the ear.
#[must_use]
pub fn samples(tune: Tune, step: u32, volume: f32) -> Vec<f32> {
    let gain = volume.clamp(0.0, 1.0).powi(2);
    let mut all: Vec<f32> = Vec::new();
    for (voice, at, rise) in strokes(tune, step) {
        for (ratio, part, decay) in voice.partials {
            let hertz = voice.pitch * rise * ratio;
            let (first, count) = (frames(at), frames(voice.attack + decay * 1.2));
            if all.len() < first + count {
                all.resize(first + count, 0.0);
            }
            for (index, sample) in all.iter_mut().skip(first).take(count).enumerate() {
                #[expect(clippy::cast_precision_loss, reason = "some seconds of samples")]
                let time = index as f32 / RATE as f32;
                let envelope = if time < voice.attack {
                    time / voice.attack
                } else {
                    (-(time - voice.attack) / (decay / 5.0)).exp()
                };
                *sample += (TAU * hertz * time).sin() * envelope * part * voice.level * gain;
            }
        }
    }
    for sample in &mut all {
        *sample = sample.clamp(-1.0, 1.0);
    }
    all
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "some seconds, none below zero"
)]
fn frames(seconds: f32) -> usize {
    (seconds * RATE as f32) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peak(samples: &[f32]) -> f32 {
        samples
            .iter()
            .fold(0.0, |most, sample| most.max(sample.abs()))
    }

    /// How much of a frequency is in samples.
    fn power(samples: &[f32], hertz: f32) -> f32 {
        let coefficient = 2.0 * (TAU * hertz / 48_000.0).cos();
        let (mut before, mut last) = (0.0, 0.0);
        for sample in samples {
            (before, last) = (last, sample + coefficient * last - before);
        }
        (before * before + last * last - coefficient * before * last)
            .max(0.0)
            .sqrt()
    }

    #[test]
    fn each_is_heard_does_not_clip_and_ends() {
        for tune in [Tune::Bell, Tune::Letter, Tune::Lost, Tune::Back] {
            for step in [0, 1, 9] {
                let loud = samples(tune, step, 1.0);
                assert!(
                    (0.1..1.0).contains(&peak(&loud)),
                    "{tune:?} {step}: {}",
                    peak(&loud)
                );
                assert!(loud.len() < 3 * 48_000, "{tune:?}");
                assert!(
                    loud.last().is_some_and(|last| last.abs() < 0.01),
                    "{tune:?}: it clicks at its end"
                );
                let half = peak(&samples(tune, step, 0.5)) / peak(&loud);
                assert!((0.2..0.3).contains(&half), "{tune:?}: {half}");
                assert!(peak(&samples(tune, step, 0.0)) <= 0.0);
            }
        }
    }

    #[test]
    fn the_alarm_is_no_bell_and_the_bell_rises() {
        let (bell, alarm) = (samples(Tune::Bell, 0, 0.7), samples(Tune::Lost, 0, 0.7));
        assert!(power(&bell, 784.0) > 4.0 * power(&bell, 587.0));
        assert!(power(&alarm, 587.0) > 4.0 * power(&alarm, 784.0));
        let higher = samples(Tune::Bell, 2, 0.7);
        assert!(power(&higher, 784.0 * (2.0_f32 / 12.0).exp2()) > 2.0 * power(&higher, 784.0));
    }
}
