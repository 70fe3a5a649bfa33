//! Passwords: which are taken, and how they are kept and compared.
//!
//! A hash takes 19 MiB and a core for some hundredths of a second, by intent. So only a few are made at once, whoever
//! asks; and devices that were here before do not stand in the queue of strangers (S14).

use std::sync::{Arc, LazyLock};

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use deskbell_sdk::Secret;
use tokio::sync::{Semaphore, SemaphorePermit, oneshot};

use super::common_passwords::is_common;
use crate::priority;
use crate::secrets::random_bytes;

/// The fewest characters of a password.
pub const MIN_CHARS: usize = 10;
/// The most characters of a password.
pub const MAX_CHARS: usize = 200;
/// Memory of one hash, in KiB.
const MEMORY_KIB: u32 = 19 * 1024;
/// How often the memory is gone through.
const PASSES: u32 = 2;
/// How many hashes of strangers are made at once: the other cores are for deliveries.
const STRANGERS_AT_ONCE: usize = 1;
/// How many hashes of people and devices that are known are made at once.
const KNOWN_AT_ONCE: usize = 1;
/// How many wait in each of the two queues.
const WAITING: usize = 64;

/// Who asks for a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Anybody.
    Stranger,
    /// Somebody who is signed in, was invited, or was here before with this device.
    Known,
}

/// Too many wait already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

/// Makes and checks hashes, a few at once.
#[derive(Debug)]
pub struct Passwords {
    strangers: Queue,
    known: Queue,
}

impl Default for Passwords {
    fn default() -> Self {
        Self {
            strangers: Queue::new(STRANGERS_AT_ONCE, true),
            known: Queue::new(KNOWN_AT_ONCE, false),
        }
    }
}

#[derive(Debug)]
struct Queue {
    places: Semaphore,
    running: Arc<Semaphore>,
    /// Whether the work gives way to everything else.
    gives_way: bool,
}

impl Queue {
    fn new(at_once: usize, gives_way: bool) -> Self {
        Self {
            places: Semaphore::new(WAITING + at_once),
            running: Arc::new(Semaphore::new(at_once)),
            gives_way,
        }
    }

    /// Carries out work when its turn comes. Once it runs it is run to its end, also where the caller has gone: its turn
    /// ends with the work and not with the caller.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Busy> {
        let _place: SemaphorePermit<'_> = self.places.try_acquire().map_err(|_| Busy)?;
        let turn = Arc::clone(&self.running)
            .acquire_owned()
            .await
            .map_err(|_| Busy)?;
        let gives_way = self.gives_way;
        let (tell, done) = oneshot::channel();
        // A thread of its own, since none gets back what it gave way.
        let thread = std::thread::Builder::new().name("password".to_owned());
        let started = thread.spawn(move || {
            if gives_way {
                priority::give_way(priority::LOW);
            }
            let result = work();
            drop(turn);
            // The caller may have gone.
            let _ = tell.send(result);
        });
        started.map_err(|_| Busy)?;
        done.await.map_err(|_| Busy)
    }
}

impl Passwords {
    fn queue(&self, lane: Lane) -> &Queue {
        match lane {
            Lane::Stranger => &self.strangers,
            Lane::Known => &self.known,
        }
    }

    /// The hash of a password, in the form of PHC.
    ///
    /// # Errors
    /// Too many wait.
    pub async fn hash(&self, lane: Lane, password: Secret) -> Result<String, Busy> {
        self.queue(lane).run(move || hashed(&password)).await
    }

    /// Whether a password is the one of `hash`. Without a hash it is not, and the answer takes as long (S02).
    ///
    /// # Errors
    /// Too many wait.
    pub async fn verify(
        &self,
        lane: Lane,
        hash: Option<String>,
        password: Secret,
    ) -> Result<bool, Busy> {
        self.queue(lane)
            .run(move || {
                let known = hash.is_some();
                let fits = fits(hash.as_deref().unwrap_or(&NOBODYS), &password);
                known && fits
            })
            .await
    }
}

/// The hash of a password that nobody has.
static NOBODYS: LazyLock<String> =
    LazyLock::new(|| hashed(&Secret::new(crate::secrets::random_text())));

fn argon2() -> Argon2<'static> {
    #[expect(
        clippy::expect_used,
        reason = "the parameters are constants within the bounds of Argon2"
    )]
    let params = Params::new(MEMORY_KIB, PASSES, 1, None).expect("known parameters");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

fn hashed(password: &Secret) -> String {
    #[expect(
        clippy::expect_used,
        reason = "a salt of 16 bytes and a password of bounded length are always taken"
    )]
    let hash = argon2()
        .hash_password_with_salt(password.expose().as_bytes(), &random_bytes::<16>())
        .expect("within the bounds of Argon2");
    hash.to_string()
}

fn fits(hash: &str, password: &Secret) -> bool {
    // A hash that cannot be read opens nothing.
    PasswordHash::new(hash).is_ok_and(|hash| {
        argon2()
            .verify_password(password.expose().as_bytes(), &hash)
            .is_ok()
    })
}

/// Why a password is not taken, in words that say what to do; `None` where it is.
#[must_use]
pub fn refused(password: &str, email: &str) -> Option<String> {
    let chars = password.chars().count();
    if !(MIN_CHARS..=MAX_CHARS).contains(&chars) {
        return Some(format!(
            "A password has {MIN_CHARS} to {MAX_CHARS} characters; this one has {chars}."
        ));
    }
    let (lower, email) = (password.trim().to_lowercase(), email.trim().to_lowercase());
    let local = email.split('@').next().unwrap_or_default();
    if lower == email
        || (!local.is_empty() && lower.trim_matches(|c: char| !c.is_alphabetic()) == local)
    {
        return Some(
            "The e-mail address is no password: it is the first that is tried.".to_owned(),
        );
    }
    if is_common(password) {
        return Some(
            "This is one of the passwords that are tried first: a well-known one, a word of one with digits around it, or a \
             row of keys. Take several words that do not belong together."
                .to_owned(),
        );
    }
    None
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn s01_a_password_is_kept_as_argon2id_with_a_salt_of_its_own() {
        let passwords = Passwords::default();
        let right = || Secret::new("seven blue umbrellas");
        let one = passwords.hash(Lane::Known, right()).await.expect("free");
        let other = passwords.hash(Lane::Known, right()).await.expect("free");
        assert!(one.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{one}");
        assert_ne!(one, other);
        let check = async |hash: Option<&str>, password: &str| {
            let hash = hash.map(str::to_owned);
            passwords
                .verify(Lane::Stranger, hash, Secret::new(password))
                .await
                .expect("free")
        };
        assert!(check(Some(&one), "seven blue umbrellas").await);
        for wrong in ["", "seven blue umbrella", "Seven blue umbrellas"] {
            assert!(!check(Some(&one), wrong).await);
        }
        for broken in ["", "null", "$argon2id$", "seven blue umbrellas"] {
            assert!(
                !check(Some(broken), "seven blue umbrellas").await,
                "{broken}"
            );
        }
        assert!(!check(None, "seven blue umbrellas").await);
    }

    #[tokio::test]
    async fn s14_a_flood_runs_one_by_one_and_the_rest_is_told_to_come_again() {
        let queue = Arc::new(Queue::new(1, true));
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

    #[test]
    fn s01_weak_passwords_are_refused_in_words() {
        let email = "jana.novak@shop.example";
        for (weak, why) in [
            ("short", "10 to 200"),
            ("jana.novak@shop.example", "e-mail"),
            ("Jana.Novak@Shop.Example", "e-mail"),
            ("jana.novak2026", "e-mail"),
            ("password123", "tried first"),
            ("1234567890", "tried first"),
        ] {
            let refusal = refused(weak, email).unwrap_or_else(|| panic!("{weak} is weak"));
            assert!(refusal.contains(why), "{weak}: {refusal}");
            assert!(!refusal.contains(weak), "no password in a message");
        }
        assert!(refused(&"long ".repeat(41), email).is_some());
        for fine in ["seven blue umbrellas", "žltý kôň pod mostom", "tR7#mq9Lw2"] {
            assert_eq!(refused(fine, email), None, "{fine}");
        }
    }
}
