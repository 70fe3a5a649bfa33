//! How fast visitors of the website chat may be (V05).

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;

use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::api::problem::Problem;

/// The limits: by address, and by visit.
#[derive(Debug)]
pub struct ChatLimits {
    sessions: DefaultKeyedRateLimiter<IpAddr>,
    messages_of_address: DefaultKeyedRateLimiter<IpAddr>,
    messages_of_visit: DefaultKeyedRateLimiter<Vec<u8>>,
    uploads_of_visit: DefaultKeyedRateLimiter<Vec<u8>>,
    uploads_of_address: DefaultKeyedRateLimiter<IpAddr>,
    /// In KiB.
    bytes_of_address: DefaultKeyedRateLimiter<IpAddr>,
    /// In KiB, of all addresses together: what strangers can fill the disk with.
    bytes_of_all: DefaultDirectRateLimiter,
}

impl Default for ChatLimits {
    fn default() -> Self {
        Self {
            sessions: RateLimiter::keyed(quota(2, 120)),
            messages_of_address: RateLimiter::keyed(quota(50, 600)),
            messages_of_visit: RateLimiter::keyed(quota(2, 60)),
            uploads_of_visit: RateLimiter::keyed(quota(1, 20)),
            uploads_of_address: RateLimiter::keyed(quota(2, 60)),
            // 400 MiB at once and then 2 GiB a day for one; 4 GiB at once and then 20 GiB a day for all.
            bytes_of_address: RateLimiter::keyed(quota(25, 400 * 1024)),
            bytes_of_all: RateLimiter::direct(quota(250, 4 * 1024 * 1024)),
        }
    }
}

const fn quota(a_second: u32, at_once: u32) -> Quota {
    let (Some(a_second), Some(at_once)) = (NonZeroU32::new(a_second), NonZeroU32::new(at_once))
    else {
        panic!("a quota lets something through");
    };
    Quota::per_second(a_second).allow_burst(at_once)
}

/// One household has one IPv4 address or one IPv6 network of 64 bits.
fn household(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 => v4,
    }
}

fn too_fast() -> Problem {
    metrics::counter!("deskbell_chat_limited_total").increment(1);
    Problem::too_many("Too much at once. Wait a moment and send it again.", 2)
}

impl ChatLimits {
    /// A visitor wants a session.
    pub fn session(&self, address: IpAddr) -> Result<(), Problem> {
        self.sessions
            .check_key(&household(address))
            .map_err(|_| too_fast())
    }

    /// A visitor writes, or types.
    pub fn message(&self, address: IpAddr, visit: &[u8]) -> Result<(), Problem> {
        self.messages_of_visit
            .check_key(&visit.to_vec())
            .map_err(|_| too_fast())?;
        self.messages_of_address
            .check_key(&household(address))
            .map_err(|_| too_fast())
    }

    /// A visitor uploads a file.
    pub fn upload(&self, address: IpAddr, visit: &[u8]) -> Result<(), Problem> {
        self.uploads_of_visit
            .check_key(&visit.to_vec())
            .map_err(|_| too_fast())?;
        self.uploads_of_address
            .check_key(&household(address))
            .map_err(|_| too_fast())
    }

    /// A visitor's file has so many bytes.
    pub fn keep(&self, address: IpAddr, bytes: usize) -> Result<(), Problem> {
        let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX);
        let kib = NonZeroU32::new(kib).unwrap_or(NonZeroU32::MIN);
        let fits = matches!(
            self.bytes_of_address.check_key_n(&household(address), kib),
            Ok(Ok(()))
        ) && matches!(self.bytes_of_all.check_n(kib), Ok(Ok(())));
        if fits {
            return Ok(());
        }
        metrics::counter!("deskbell_chat_limited_total").increment(1);
        Err(Problem::too_many(
            "Too many files for now. Try again later.",
            600,
        ))
    }

    /// Forgets those who have been quiet, so that memory does not grow with the number of visitors.
    pub fn forget_quiet(&self) {
        self.sessions.retain_recent();
        self.messages_of_address.retain_recent();
        self.messages_of_visit.retain_recent();
        self.uploads_of_visit.retain_recent();
        self.uploads_of_address.retain_recent();
        self.bytes_of_address.retain_recent();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn v05_a_flood_of_one_address_or_visit_is_held_back_and_another_is_not() {
        let limits = ChatLimits::default();
        let address: IpAddr = "2001:db8:1:2::3".parse().expect("an address");
        let neighbour: IpAddr = "2001:db8:1:2:ffff::9".parse().expect("an address");
        let other: IpAddr = "2001:db8:1:3::3".parse().expect("an address");
        let passed = (0..5_000)
            .filter(|_| limits.session(address).is_ok())
            .count();
        assert!((120..200).contains(&passed), "{passed}");
        assert!(limits.session(neighbour).is_err(), "the same household");
        assert!(limits.session(other).is_ok());
        let passed = (0..5_000)
            .filter(|_| limits.message(other, b"visit").is_ok())
            .count();
        assert!((60..120).contains(&passed), "{passed}");
        assert!(limits.message(other, b"another visit").is_ok());
    }

    #[test]
    fn v05_the_bytes_that_strangers_store_have_an_end() {
        let limits = ChatLimits::default();
        let address: IpAddr = "203.0.113.7".parse().expect("an address");
        let kept = (0..100)
            .filter(|_| limits.keep(address, 20 << 20).is_ok())
            .count();
        assert_eq!(kept, 20, "400 MiB of one address");
        let all = (0..=255_u8)
            .flat_map(|last| std::iter::repeat_n(IpAddr::from([198, 51, 100, last]), 2))
            .filter(|address| limits.keep(*address, 20 << 20).is_ok())
            .count();
        assert!(
            (150..200).contains(&all),
            "4 GiB of all, less what went before: {all}"
        );
    }
}
