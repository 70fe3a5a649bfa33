//! Work that keeps a core busy, one after another.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::Instant;

use crate::priority;

/// How many wait behind the one whose turn it is.
const WAITING: usize = 64;
/// How long something that runs in spare time may find none, before it is done with a low priority instead.
const STARVED_AFTER: Duration = Duration::from_secs(1);
/// So many times as long as it took, something that runs in spare time lets the next wait: a flood keeps a quarter of a
/// core busy. Whoever wakes up behind the lowest priority waits all the same, at times for a tick of the kernel.
const REST_TIMES: u32 = 3;
/// The longest of these rests.
const REST_AT_MOST: Duration = Duration::from_millis(100);

/// Too many wait already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

/// One is done at a time: the other cores are for deliveries.
#[derive(Debug)]
pub(super) struct Queue {
    places: Semaphore,
    turn: Arc<Semaphore>,
    /// Where it is done in spare time: whether the thread for that is free.
    spare_time: Option<Arc<Semaphore>>,
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            places: Semaphore::new(WAITING + 1),
            turn: Arc::new(Semaphore::new(1)),
            spare_time: None,
        }
    }
}

/// How a thread stands to the others.
#[derive(Clone, Copy, Debug)]
enum Standing {
    AsAll,
    Low,
    SpareTime,
}

impl Queue {
    /// One whose work gives way to everything else.
    pub(super) fn of_spare_time() -> Self {
        Self {
            spare_time: Some(Arc::new(Semaphore::new(1))),
            ..Self::default()
        }
    }

    /// Whether too many wait.
    pub(super) fn is_full(&self) -> bool {
        self.places.available_permits() == 0
    }

    /// Carries out work when its turn comes. Once it runs it is run to its end, also where the caller has gone: its turn
    /// ends with the work and not with the caller. Work of a queue [of spare time](Self::of_spare_time) may be done
    /// twice, where there is none, and the next waits for a while.
    ///
    /// # Errors
    /// Too many wait.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl Fn() -> T + Send + Sync + 'static,
    ) -> Result<T, Busy> {
        let _place = self.places.try_acquire().map_err(|_| Busy)?;
        let turn = Arc::clone(&self.turn);
        let turn = turn.acquire_owned().await.map_err(|_| Busy)?;
        let spare_time = self.spare_time.clone();
        let (tell, done) = oneshot::channel();
        tokio::spawn(async move {
            let _turn = turn;
            let (begun, rests) = (Instant::now(), spare_time.is_some());
            let result = carry_out(spare_time, Arc::new(work)).await;
            // The caller may have gone.
            let _ = tell.send(result);
            if rests {
                tokio::time::sleep((begun.elapsed() * REST_TIMES).min(REST_AT_MOST)).await;
            }
        });
        done.await.map_err(|_| Busy)?
    }
}

async fn carry_out<T: Send + 'static>(
    spare_time: Option<Arc<Semaphore>>,
    work: Arc<impl Fn() -> T + Send + Sync + 'static>,
) -> Result<T, Busy> {
    let Some(spare_time) = spare_time else {
        let done = on_a_thread(Standing::AsAll, work, None)?;
        return done.await.map_err(|_| Busy);
    };
    // It may still be at something that found no time.
    if let Ok(free) = spare_time.try_acquire_owned() {
        let done = on_a_thread(Standing::SpareTime, Arc::clone(&work), Some(free))?;
        if let Ok(Ok(result)) = tokio::time::timeout(STARVED_AFTER, done).await {
            return Ok(result);
        }
    }
    let done = on_a_thread(Standing::Low, work, None)?;
    done.await.map_err(|_| Busy)
}

/// Runs work on a thread of its own, since none gets back what it gave way. It holds `held` until it has ended.
fn on_a_thread<T: Send + 'static>(
    standing: Standing,
    work: Arc<impl Fn() -> T + Send + Sync + 'static>,
    held: Option<OwnedSemaphorePermit>,
) -> Result<oneshot::Receiver<T>, Busy> {
    let (tell, done) = oneshot::channel();
    let thread = std::thread::Builder::new().name("password".to_owned());
    let started = thread.spawn(move || {
        match standing {
            Standing::AsAll => {}
            Standing::Low => priority::give_way(priority::LOW),
            Standing::SpareTime => priority::only_in_spare_time(),
        }
        let result = work();
        drop(held);
        // The caller may have gone, or had its answer.
        let _ = tell.send(result);
    });
    started.map_err(|_| Busy)?;
    Ok(done)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Condvar, Mutex};

    use super::*;

    #[tokio::test]
    async fn s14_a_flood_runs_one_by_one_and_the_rest_is_told_to_come_again() {
        for queue in [Queue::default(), Queue::of_spare_time()] {
            let queue = Arc::new(queue);
            let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            let mut asked = Vec::new();
            for _ in 0..500 {
                let (queue, running, most) =
                    (Arc::clone(&queue), Arc::clone(&running), Arc::clone(&most));
                asked.push(tokio::spawn(async move {
                    queue
                        .run(move || {
                            let now = running.fetch_add(1, Ordering::SeqCst) + 1;
                            most.fetch_max(now, Ordering::SeqCst);
                            std::thread::sleep(Duration::from_millis(1));
                            running.fetch_sub(1, Ordering::SeqCst);
                        })
                        .await
                        .is_ok()
                }));
            }
            let mut served = 0;
            for one in asked {
                served += usize::from(one.await.expect("no panic"));
            }
            assert_eq!(most.load(Ordering::SeqCst), 1);
            assert!((1..=500).contains(&served) && served >= WAITING, "{served}");
            assert!(queue.run(|| ()).await.is_ok(), "and then it is free again");
        }
    }

    /// The thread of spare time is stuck, as where it gets none.
    #[tokio::test(start_paused = true)]
    async fn s14_what_finds_no_spare_time_is_done_all_the_same() {
        let queue = Queue::of_spare_time();
        let stuck = Arc::new((Mutex::new(true), Condvar::new()));
        let calls = Arc::new(AtomicUsize::new(0));
        let work = {
            let (stuck, calls) = (Arc::clone(&stuck), Arc::clone(&calls));
            move || {
                let call = calls.fetch_add(1, Ordering::SeqCst);
                if call == 0 {
                    let (is_stuck, freed) = &*stuck;
                    let guard = is_stuck.lock().expect("no panic");
                    drop(freed.wait_while(guard, |is_stuck| *is_stuck));
                }
                call
            }
        };
        assert_eq!(queue.run(work.clone()).await, Ok(1));
        let begun = tokio::time::Instant::now();
        assert_eq!(queue.run(work).await, Ok(2));
        assert!(
            begun.elapsed() <= REST_AT_MOST,
            "the next does not wait for the thread that is stuck"
        );
        *stuck.0.lock().expect("no panic") = false;
        stuck.1.notify_all();
    }

    #[tokio::test]
    async fn s14_who_leaves_does_not_give_the_turn_away() {
        let queue = Arc::new(Queue::default());
        let running = Arc::new(AtomicUsize::new(0));
        let work = {
            let running = Arc::clone(&running);
            move || {
                let now = running.fetch_add(1, Ordering::SeqCst) + 1;
                std::thread::sleep(Duration::from_millis(100));
                running.fetch_sub(1, Ordering::SeqCst);
                now
            }
        };
        let gone = tokio::time::timeout(Duration::from_millis(20), queue.run(work.clone())).await;
        assert!(gone.is_err());
        assert_eq!(queue.run(work).await, Ok(1));
    }
}
