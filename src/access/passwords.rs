//! Passwords: which are taken, and how they are kept and compared.
//!
//! A hash takes 19 MiB and a core for some hundredths of a second, by intent. So few are made at once, whoever
//! asks; and devices that were here before do not stand in the queue of strangers (S14).

use std::sync::LazyLock;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use deskbell_sdk::Secret;

use super::common_passwords::is_common;
pub use super::one_by_one::Busy;
use super::one_by_one::Queue;
use crate::secrets::random_bytes;

/// The fewest characters of a password.
pub const MIN_CHARS: usize = 10;
/// The most characters of a password.
pub const MAX_CHARS: usize = 200;
/// Memory of one hash, in KiB.
const MEMORY_KIB: u32 = 19 * 1024;
/// How often the memory is gone through.
const PASSES: u32 = 2;
/// Who asks for a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// Anybody.
    Stranger,
    /// Somebody who is signed in, was invited, or was here before with this device.
    Known,
}

/// Makes and checks hashes, a few at once.
#[derive(Debug)]
pub struct Passwords {
    strangers: Queue,
    known: Queue,
}

impl Default for Passwords {
    fn default() -> Self {
        Self {
            strangers: Queue::of_spare_time(),
            known: Queue::default(),
        }
    }
}

impl Passwords {
    fn queue(&self, lane: Lane) -> &Queue {
        match lane {
            Lane::Stranger => &self.strangers,
            Lane::Known => &self.known,
        }
    }

    /// Whether whoever comes now is put off.
    #[must_use]
    pub fn is_full(&self, lane: Lane) -> bool {
        self.queue(lane).is_full()
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
