//! How often passwords and codes may be tried: by account, by address, and apart from both by a device that was here
//! before, so that nobody can lock the real person out (S01).
//!
//! Pure: time is an argument. Each budget is a bucket that fills with time (GCRA), and is one number; buckets that are full
//! are forgotten. What is kept has an end: where a table is full of accounts or addresses that are being tried, all others
//! share one bucket until there is room.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

use deskbell_sdk::Time;
use sha2::{Digest, Sha256};

/// How many tries there are at once, and after how many milliseconds there is one more.
#[derive(Clone, Copy, Debug)]
struct Budget {
    at_once: i64,
    every_ms: i64,
}

/// Of one account by strangers: 20 at once, then one a minute. At most 80 in an hour.
const ACCOUNT: Budget = Budget {
    at_once: 20,
    every_ms: 60_000,
};
/// Of one address, whatever account it tries.
const ADDRESS: Budget = Budget {
    at_once: 30,
    every_ms: 10_000,
};
/// Of one account by one device that its person has signed in with.
const DEVICE: Budget = Budget {
    at_once: 10,
    every_ms: 120_000,
};
/// Of somebody who is signed in and says their password again.
const PERSON: Budget = Budget {
    at_once: 10,
    every_ms: 60_000,
};
/// How many buckets each table holds.
const MOST: usize = 50_000;

/// What is tried.
#[derive(Clone, Copy, Debug)]
pub enum Try<'a> {
    /// A password for this e-mail address, from this address on the network.
    Stranger {
        /// As [`crate::store::entry::email_key`] has it.
        email: &'a [u8],
        /// From where.
        address: IpAddr,
    },
    /// A password for an account by a device that this account's person has signed in with; what names both.
    Device(&'a [u8]),
    /// The own password or a code once more, by this signed-in person.
    Person(&'a [u8]),
}

/// All budgets.
#[derive(Debug, Default)]
pub struct Guessing {
    accounts: Table,
    addresses: Table,
    devices: Table,
    people: Table,
}

impl Guessing {
    /// Takes one try; where there is none, after how many seconds there is.
    ///
    /// # Errors
    /// There is none. Nothing was taken from any budget.
    pub fn take(&mut self, now: Time, what: Try<'_>) -> Result<(), u32> {
        self.take_of(now.as_millis(), what).map_err(|wait_ms| {
            let seconds = wait_ms.max(1).div_euclid(1000) + 1;
            u32::try_from(seconds).unwrap_or(u32::MAX)
        })
    }

    fn take_of(&mut self, now: i64, what: Try<'_>) -> Result<(), i64> {
        match what {
            Try::Stranger { email, address } => {
                let (account, address) = (key(email), address_key(address));
                let (of_address, of_account) = (
                    self.addresses.look(now, ADDRESS, address),
                    self.accounts.look(now, ACCOUNT, account),
                );
                of_address.and(of_account)?;
                self.accounts.take(now, ACCOUNT, account)?;
                self.addresses.take(now, ADDRESS, address)
            }
            Try::Device(device) => self.devices.take(now, DEVICE, key(device)),
            Try::Person(person) => self.people.take(now, PERSON, key(person)),
        }
    }

    /// Gives a try back: it was right.
    pub fn give_back(&mut self, now: Time, what: Try<'_>) {
        let now = now.as_millis();
        match what {
            Try::Stranger { email, address } => {
                self.accounts.give_back(now, ACCOUNT, key(email));
                self.addresses.give_back(now, ADDRESS, address_key(address));
            }
            Try::Device(device) => self.devices.give_back(now, DEVICE, key(device)),
            Try::Person(person) => self.people.give_back(now, PERSON, key(person)),
        }
    }
}

type Key = [u8; 16];

fn key(of: &[u8]) -> Key {
    let mut key = [0; 16];
    key.copy_from_slice(&Sha256::digest(of)[..16]);
    key
}

/// One household has one IPv4 address or one IPv6 network of 64 bits.
fn address_key(address: IpAddr) -> Key {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).octets()
        }
    }
}

/// Buckets of one kind: for each key the time at which it will be full.
#[derive(Debug, Default)]
struct Table {
    full_at: HashMap<Key, i64>,
    /// The bucket of all who find no room.
    rest: i64,
    /// When it was last looked for buckets that are full, so that a flood does not make every try a walk.
    cleared_at: i64,
}

impl Table {
    /// How long there is no try. After a clock was set back a bucket is no emptier than empty.
    fn wait(bucket: &mut i64, now: i64, budget: Budget) -> Result<(), i64> {
        *bucket = (*bucket).clamp(now, now + budget.at_once * budget.every_ms);
        match *bucket - now - (budget.at_once - 1) * budget.every_ms {
            wait if wait > 0 => Err(wait),
            _ => Ok(()),
        }
    }

    /// Whether there is a try, without taking it.
    fn look(&mut self, now: i64, budget: Budget, key: Key) -> Result<(), i64> {
        let full = self.full_at.len() >= MOST;
        match self.full_at.get_mut(&key) {
            Some(bucket) => Self::wait(bucket, now, budget),
            None if full => Self::wait(&mut self.rest, now, budget),
            None => Ok(()),
        }
    }

    fn take(&mut self, now: i64, budget: Budget, key: Key) -> Result<(), i64> {
        if !self.full_at.contains_key(&key) && self.full_at.len() >= MOST {
            self.forget_full(now);
        }
        let full = self.full_at.len() >= MOST;
        let bucket = match self.full_at.get_mut(&key) {
            Some(bucket) => bucket,
            None if full => &mut self.rest,
            None => self.full_at.entry(key).or_insert(now),
        };
        Self::wait(bucket, now, budget)?;
        *bucket += budget.every_ms;
        Ok(())
    }

    fn give_back(&mut self, now: i64, budget: Budget, key: Key) {
        if let Some(bucket) = self.full_at.get_mut(&key) {
            *bucket -= budget.every_ms;
            if *bucket <= now {
                self.full_at.remove(&key);
            }
        }
    }

    fn forget_full(&mut self, now: i64) {
        const AGAIN_MS: i64 = 1_000;
        if (self.cleared_at..self.cleared_at + AGAIN_MS).contains(&now) {
            return;
        }
        self.cleared_at = now;
        self.full_at.retain(|_, full_at| *full_at > now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: i64 = 60 * 60 * 1000;

    fn at(ms: i64) -> Time {
        Time::from_millis(1_790_000_000_000 + ms)
    }

    fn address(number: i64) -> IpAddr {
        IpAddr::from(
            u32::try_from(0xC633_0000 + number)
                .expect("small")
                .to_be_bytes(),
        )
    }

    fn stranger(email: &[u8], from: i64) -> Try<'_> {
        Try::Stranger {
            email,
            address: address(from),
        }
    }

    #[test]
    fn s01_of_a_hundred_thousand_tries_from_a_thousand_addresses_at_most_a_hundred_an_hour_are_evaluated()
     {
        let mut guessing = Guessing::default();
        let device = b"jana's own device";
        for hour in 0..3 {
            let mut evaluated = 0;
            for number in 0..100_000 {
                let now = at(hour * HOUR_MS + number * HOUR_MS / 100_000);
                if guessing
                    .take(now, stranger(b"jana@shop.example", number % 1_000))
                    .is_ok()
                {
                    evaluated += 1;
                }
                // The real person mistypes now and then, and gets in.
                if number % 20_000 == 7 {
                    assert_eq!(guessing.take(now, Try::Device(device)), Ok(()));
                    assert_eq!(guessing.take(now, Try::Device(device)), Ok(()));
                    guessing.give_back(now, Try::Device(device));
                }
            }
            assert!((60..=100).contains(&evaluated), "{evaluated}");
        }
        // Somebody else's account is not slowed by it, from an address that tried nothing else.
        let now = at(3 * HOUR_MS);
        assert_eq!(
            guessing.take(now, stranger(b"eva@shop.example", 5_000)),
            Ok(())
        );
        let again = || stranger(b"jana@shop.example", 5_000);
        let wait = (0..30).find_map(|_| guessing.take(now, again()).err());
        let wait = wait.expect("a stranger has few tries");
        assert!((1..=61).contains(&wait), "{wait}");
    }

    #[test]
    fn s01_one_address_that_tries_every_account_is_slowed_and_its_neighbours_in_the_network_with_it()
     {
        let mut guessing = Guessing::default();
        let of = |text: &str| -> IpAddr { text.parse().expect("an address") };
        let mut taken = 0;
        for number in 0..5_000 {
            let email = format!("user{number}@shop.example");
            let what = Try::Stranger {
                email: email.as_bytes(),
                address: of("2001:db8:1:2::3"),
            };
            taken += usize::from(guessing.take(at(number), what).is_ok());
        }
        assert_eq!(taken, 30);
        let from = |address: &str| Try::Stranger {
            email: b"new@shop.example",
            address: of(address),
        };
        assert!(
            guessing
                .take(at(5_000), from("2001:db8:1:2:ffff::9"))
                .is_err()
        );
        assert!(guessing.take(at(5_000), from("2001:db8:1:3::3")).is_ok());
        // What an address may not try takes nothing from the account.
        for _ in 0..100 {
            assert!(guessing.take(at(5_000), from("2001:db8:1:2::3")).is_err());
        }
        assert!(guessing.take(at(5_000), from("2001:db8:1:4::3")).is_ok());
        assert!(guessing.take(at(60_000), from("2001:db8:1:2::3")).is_ok());
    }

    #[test]
    fn s01_a_right_password_costs_nothing_and_wrong_ones_of_a_device_and_a_person_have_an_end() {
        let mut guessing = Guessing::default();
        for _ in 0..1_000 {
            let what = stranger(b"jana@shop.example", 1);
            guessing.take(at(0), what).expect("it is right each time");
            guessing.give_back(at(0), what);
        }
        for (what, most) in [(Try::Device(b"d"), 10), (Try::Person(b"p"), 10)] {
            let taken = (0..100).filter(|_| guessing.take(at(0), what).is_ok());
            assert_eq!(taken.count(), most, "{what:?}");
        }
        // What was given back too often makes no budget larger.
        for _ in 0..50 {
            guessing.give_back(at(0), Try::Device(b"d"));
        }
        let taken = (0..100).filter(|_| guessing.take(at(0), Try::Device(b"d")).is_ok());
        assert_eq!(taken.count(), 10);
    }

    #[test]
    fn s01_memory_has_an_end_and_a_full_table_lets_nobody_try_more() {
        let mut guessing = Guessing::default();
        let mut taken = 0;
        for number in 0..200_000_i64 {
            let email = format!("{number}@shop.example");
            taken += usize::from(
                guessing
                    .take(at(0), stranger(email.as_bytes(), number))
                    .is_ok(),
            );
        }
        assert!(
            guessing.accounts.full_at.len() <= MOST && guessing.addresses.full_at.len() <= MOST
        );
        assert_eq!(taken, MOST + 20, "those who found no room share one budget");
        // Later there is room again.
        assert_eq!(
            guessing.take(at(120_000), stranger(b"x@shop.example", 300_000)),
            Ok(())
        );
        assert!(guessing.accounts.full_at.len() < 10);
    }

    #[test]
    fn s01_a_clock_that_goes_back_a_year_locks_nobody_out() {
        let mut guessing = Guessing::default();
        let year = 365 * 24 * HOUR_MS;
        for _ in 0..50 {
            let _ = guessing.take(at(year), stranger(b"jana@shop.example", 1));
        }
        let wait = guessing
            .take(at(0), stranger(b"jana@shop.example", 1))
            .expect_err("as an empty bucket");
        assert!(wait <= 61, "{wait}");
        assert_eq!(
            guessing.take(at(70_000), stranger(b"jana@shop.example", 1)),
            Ok(())
        );
    }
}
