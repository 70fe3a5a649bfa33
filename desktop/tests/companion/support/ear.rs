//! What is heard: the sound card, recorded, and how loud it is.

use std::f64::consts::TAU;
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::{Desktop, PATIENCE, Program};

/// Samples a second.
const RATE: usize = 44_100;
/// A piece of sound that is measured at once, in samples: 50 ms.
const PIECE: usize = RATE / 20;
/// As loud as something that is heard: a hundredth of the most.
const AUDIBLE: f64 = 0.01;

/// Records what the sound card plays, from its start on.
pub(crate) struct Ear {
    _recorder: Program,
    file: PathBuf,
}

impl Ear {
    /// Begins to listen, and waits until it hears (silence).
    pub(crate) fn open(desktop: &Desktop) -> Self {
        let file = desktop.path("heard.raw");
        let mut command = desktop.command("parec");
        command.args([
            "--device=desk.monitor",
            "--format=s16le",
            "--rate=44100",
            "--channels=1",
            "--latency-msec=20",
        ]);
        command
            .stdout(fs::File::create(&file).expect("a file"))
            .stderr(Stdio::null());
        let ear = Self {
            _recorder: Program::start(&mut command),
            file,
        };
        super::wait_for("the recording", || ear.now() > 0);
        ear
    }

    /// How many samples were recorded until now.
    pub(crate) fn now(&self) -> usize {
        let length = fs::metadata(&self.file).map_or(0, |about| about.len());
        usize::try_from(length).expect("short") / 2
    }

    /// What was heard since then, from -1 to 1.
    fn since(&self, from: usize) -> Vec<f64> {
        let bytes = fs::read(&self.file).expect("read");
        let samples = bytes.chunks_exact(2).skip(from);
        samples
            .map(|pair| f64::from(i16::from_le_bytes([pair[0], pair[1]])) / 32_768.0)
            .collect()
    }

    /// The loudest 50 ms since then, as their root mean square.
    pub(crate) fn level_since(&self, from: usize) -> f64 {
        let samples = self.since(from);
        let levels = samples.chunks(PIECE).map(|piece| {
            let sum: f64 = piece.iter().map(|sample| sample * sample).sum();
            (sum / piece.len() as f64).sqrt()
        });
        levels.fold(0.0, f64::max)
    }

    /// Waits until something is heard behind `from`; gives how loud.
    pub(crate) fn hears(&self, from: usize) -> f64 {
        let begun = Instant::now();
        loop {
            let level = self.level_since(from);
            if level > AUDIBLE {
                return level;
            }
            assert!(begun.elapsed() < PATIENCE, "nothing was heard");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// How much louder one frequency is than another since then, in hertz.
    pub(crate) fn ratio_since(&self, from: usize, one: f64, other: f64) -> f64 {
        let samples = self.since(from);
        power(&samples, one) / power(&samples, other).max(1e-9)
    }
}

/// Whether that is heard as silence.
pub(crate) fn is_silent(level: f64) -> bool {
    level < AUDIBLE / 10.0
}

/// How much of a frequency is there: Goertzel's way.
fn power(samples: &[f64], hertz: f64) -> f64 {
    let coefficient = 2.0 * (TAU * hertz / RATE as f64).cos();
    let (mut before, mut last) = (0.0, 0.0);
    for sample in samples {
        (before, last) = (last, sample + coefficient * last - before);
    }
    (before * before + last * last - coefficient * before * last)
        .max(0.0)
        .sqrt()
}
