//! Unguessable text.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use deskbell_sdk::Secret;
use deskbell_sdk::webhook::hmac_sha256_hex;
use rand::TryRng as _;

/// Random bytes from the operating system.
///
/// # Panics
/// Where the operating system has no randomness, since nothing safe can be done then.
#[must_use]
pub fn random_bytes<const BYTES: usize>() -> [u8; BYTES] {
    let mut bytes = [0_u8; BYTES];
    #[expect(
        clippy::expect_used,
        reason = "without randomness no token may be made"
    )]
    rand::rngs::SysRng
        .try_fill_bytes(&mut bytes)
        .expect("the operating system gives randomness");
    bytes
}

/// 256 bits from the operating system, as 43 characters of base64url.
///
/// # Panics
/// Where the operating system has no randomness, since nothing safe can be done then.
#[must_use]
pub fn random_text() -> String {
    URL_SAFE_NO_PAD.encode(random_bytes::<32>())
}

/// 64 random bits, for what only has to differ.
#[must_use]
pub fn random_seed() -> u64 {
    let text = random_text();
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// A number between 0 and 1, by which many who failed together spread their next attempts.
#[must_use]
pub fn jitter() -> f64 {
    f64::from(u32::try_from(random_seed() >> 32).unwrap_or(0)) / f64::from(u32::MAX)
}

/// The secret that a platform is to give back with each delivery to the channel with this slug: made from the daemon's
/// key, so that it is the same after every start and is kept nowhere.
#[must_use]
pub fn webhook_secret(key: &Secret, channel: &str) -> Secret {
    Secret::new(hmac_sha256_hex(
        key,
        format!("webhook secret of {channel}").as_bytes(),
    ))
}

#[cfg(test)]
mod tests {
    use deskbell_sdk::Secret;

    #[test]
    fn w07_each_channel_has_a_secret_of_its_own_that_lasts() {
        let of = |key: &str, channel: &str| super::webhook_secret(&Secret::new(key), channel);
        assert_eq!(of("one key", "bot"), of("one key", "bot"));
        assert_ne!(of("one key", "bot"), of("one key", "bot2"));
        assert_ne!(of("one key", "bot"), of("another key", "bot"));
        assert_eq!(of("one key", "bot").expose().len(), 64);
    }

    #[test]
    fn s08_no_two_are_alike() {
        let many: std::collections::HashSet<_> =
            (0..10_000).map(|_| super::random_text()).collect();
        assert_eq!(many.len(), 10_000);
        assert!(many.iter().all(|text| text.len() == 43));
    }

    #[test]
    fn s08_of_a_million_none_tells_anything_of_another() {
        const MANY: usize = 1_000_000;
        let mut firsts = std::collections::HashSet::with_capacity(MANY);
        let (mut ones, mut same_as_before) = ([0_u32; 256], [0_u32; 256]);
        let mut before = [0_u8; 32];
        for _ in 0..MANY {
            let bytes = super::random_bytes::<32>();
            firsts.insert(u128::from_le_bytes(bytes[..16].try_into().expect("16")));
            for (at, (byte, old)) in bytes.iter().zip(before).enumerate() {
                for bit in 0..8 {
                    ones[at * 8 + bit] += u32::from(byte >> bit & 1);
                    same_as_before[at * 8 + bit] += u32::from(!(byte ^ old) >> bit & 1);
                }
            }
            before = bytes;
        }
        assert_eq!(firsts.len(), MANY);
        // Half a million each, and 500 more or less by chance: eight times that is no chance.
        for count in ones.into_iter().chain(same_as_before) {
            assert!((496_000..=504_000).contains(&count), "{count}");
        }
    }
}
