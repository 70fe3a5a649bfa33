//! Plays the sounds, on a thread of its own: sound systems block, and some hang. The device is opened when something is to
//! sound and given back when nothing has for a while, so that whichever is the usual one by then is used.

pub mod voice;

use std::num::NonZero;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rodio::{ChannelCount, DeviceSinkBuilder, MixerDeviceSink, Sample, SampleRate, Source};
use tokio::sync::oneshot;

use crate::policy::Tune;

/// Something that plays keeps the sound card awake: it is given back when nothing has sounded for so long.
const REST: Duration = Duration::from_secs(10);
/// How long a sound system may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How many orders may wait for a sound system that is slow.
const QUEUE: usize = 16;
/// A sound that is stopped fades for so many samples: cut off, it would click.
const FADE: u16 = 960;

/// [`voice::RATE`] as the library wants it.
const RATE: SampleRate = match NonZero::new(voice::RATE) {
    Some(rate) => rate,
    None => NonZero::<u32>::MIN,
};

enum Order {
    Play {
        tune: Tune,
        step: u32,
        volume: f32,
        answer: oneshot::Sender<Result<(), String>>,
    },
    Silence,
    Probe(oneshot::Sender<Result<(), String>>),
}

/// Plays sounds.
#[derive(Clone, Debug)]
pub struct Player {
    orders: SyncSender<Order>,
    /// Set to let whatever sounds fade; each sound has its own.
    sounding: Arc<Mutex<Arc<AtomicBool>>>,
}

impl Player {
    /// Starts the thread.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub fn start() -> std::io::Result<Self> {
        let (orders, todo) = sync_channel(QUEUE);
        let sounding = Arc::new(Mutex::new(Arc::new(AtomicBool::new(false))));
        let shared = Arc::clone(&sounding);
        std::thread::Builder::new()
            .name("sound".to_owned())
            .spawn(move || work(&todo, &shared))?;
        Ok(Self { orders, sounding })
    }

    /// Plays a sound at a volume from 0 to 1. What was wrong, in words, where it cannot be heard.
    ///
    /// # Errors
    /// In words for people.
    pub async fn play(&self, tune: Tune, step: u32, volume: f32) -> Result<(), String> {
        self.ask(|answer| Order::Play {
            tune,
            step,
            volume,
            answer,
        })
        .await
    }

    /// Whether there is something to sound on; nothing is heard.
    ///
    /// # Errors
    /// In words for people.
    pub async fn probe(&self) -> Result<(), String> {
        self.ask(Order::Probe).await
    }

    /// Lets what sounds fade at once, even where the thread waits for the sound system.
    pub fn silence(&self) {
        let sounding = self.sounding.lock().unwrap_or_else(PoisonError::into_inner);
        sounding.store(true, Ordering::Relaxed);
        drop(sounding);
        // Where the queue is full it is silent anyway.
        let _ = self.orders.try_send(Order::Silence);
    }

    async fn ask(
        &self,
        order: impl FnOnce(oneshot::Sender<Result<(), String>>) -> Order,
    ) -> Result<(), String> {
        let (answer, answered) = oneshot::channel();
        match self.orders.try_send(order(answer)) {
            Ok(()) => {}
            Err(TrySendError::Full(_)) => return Err("the sound system hangs".to_owned()),
            Err(TrySendError::Disconnected(_)) => return Err("the sound has stopped".to_owned()),
        }
        match tokio::time::timeout(PATIENCE, answered).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err("the sound has stopped".to_owned()),
            Err(_) => Err(format!(
                "the sound system did not answer within {} s",
                PATIENCE.as_secs()
            )),
        }
    }
}

/// An open device.
struct Device {
    sink: MixerDeviceSink,
    /// What went wrong with it since it was opened.
    trouble: Arc<Mutex<Option<String>>>,
}

impl Device {
    fn open() -> Result<Self, String> {
        let trouble = Arc::new(Mutex::new(None));
        let told = Arc::clone(&trouble);
        let on_trouble = move |error: rodio::CpalError| {
            let mut trouble = told.lock().unwrap_or_else(PoisonError::into_inner);
            trouble.get_or_insert_with(|| error.to_string());
        };
        let opened = DeviceSinkBuilder::from_default_device().and_then(|device| {
            device
                .with_error_callback(on_trouble)
                .open_sink_or_fallback()
        });
        let mut sink = opened.map_err(|error| format!("no sound device: {}", chain(&error)))?;
        sink.log_on_drop(false);
        Ok(Self { sink, trouble })
    }

    fn trouble(&self) -> Option<String> {
        self.trouble
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(one) = cause {
        words.push_str(": ");
        words.push_str(&one.to_string());
        cause = one.source();
    }
    words
}

fn work(todo: &Receiver<Order>, sounding: &Mutex<Arc<AtomicBool>>) {
    let mut device: Option<Device> = None;
    loop {
        match todo.recv_timeout(REST) {
            Err(RecvTimeoutError::Timeout) => device = None,
            Err(RecvTimeoutError::Disconnected) => return,
            Ok(Order::Silence) => {}
            Ok(Order::Probe(answer)) => {
                // Who asked may have gone.
                let _ = answer.send(ready(&mut device).map(|_| ()));
            }
            Ok(Order::Play {
                tune,
                step,
                volume,
                answer,
            }) => {
                let stop = Arc::new(AtomicBool::new(false));
                let mut current = sounding.lock().unwrap_or_else(PoisonError::into_inner);
                // One sound at a time: what sounded before fades.
                current.store(true, Ordering::Relaxed);
                *current = Arc::clone(&stop);
                drop(current);
                let played = ready(&mut device).map(|device| {
                    let samples = voice::samples(tune, step, volume);
                    device.sink.mixer().add(Sound {
                        samples,
                        at: 0,
                        stop,
                        fade: FADE,
                    });
                });
                // Who asked may have gone.
                let _ = answer.send(played);
            }
        }
    }
}

/// The device, opened anew where there is none, or where something is wrong with the one that is open.
fn ready(device: &mut Option<Device>) -> Result<&Device, String> {
    if let Some(trouble) = device.as_ref().and_then(Device::trouble) {
        tracing::warn!(trouble, "the sound device is opened anew");
        *device = None;
    }
    match device {
        Some(device) => Ok(device),
        None => Ok(device.insert(Device::open()?)),
    }
}

/// A sound that can be stopped while it plays.
struct Sound {
    samples: Vec<f32>,
    at: usize,
    stop: Arc<AtomicBool>,
    /// How many samples are left once it is to stop.
    fade: u16,
}

impl Iterator for Sound {
    type Item = Sample;

    fn next(&mut self) -> Option<Sample> {
        let sample = *self.samples.get(self.at)?;
        self.at += 1;
        if !self.stop.load(Ordering::Relaxed) {
            return Some(sample);
        }
        self.fade = self.fade.checked_sub(1)?;
        Some(sample * f32::from(self.fade) / f32::from(FADE))
    }
}

impl Source for Sound {
    fn current_span_len(&self) -> Option<usize> {
        None
    }

    fn channels(&self) -> ChannelCount {
        NonZero::<u16>::MIN
    }

    fn sample_rate(&self) -> SampleRate {
        RATE
    }

    fn total_duration(&self) -> Option<Duration> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sound_that_is_stopped_fades_within_a_moment() {
        let stop = Arc::new(AtomicBool::new(false));
        let mut sound = Sound {
            samples: vec![0.5; 48_000],
            at: 0,
            stop: Arc::clone(&stop),
            fade: FADE,
        };
        assert_eq!(sound.by_ref().take(100).last(), Some(0.5));
        stop.store(true, Ordering::Relaxed);
        let rest: Vec<f32> = sound.collect();
        assert_eq!(rest.len(), usize::from(FADE), "20 ms");
        assert!(rest.windows(2).all(|pair| pair[1] < pair[0]));
    }
}
