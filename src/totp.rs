//! Codes of authenticators (RFC 6238: SHA-1, six digits, 30 s, one step to either side) and recovery codes.

use deskbell_sdk::{Secret, Time};
use totp_rs::{Algorithm, Builder, Totp, TotpError};

use crate::secrets::random_bytes;

/// How many recovery codes there are.
pub const RECOVERY_CODES: usize = 10;
/// The letters of recovery codes: base32 of RFC 4648, small.
const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
/// How many letters a recovery code has: 80 bits.
const RECOVERY_LETTERS: usize = 16;
/// How many letters stand together.
const GROUP: usize = 4;

/// An authenticator's secret, 160 random bits, as people type it: base32.
#[must_use]
pub fn new_secret() -> Secret {
    let bytes: [u8; 20] = random_bytes();
    Secret::new(base32(&bytes).to_uppercase())
}

/// The letters of bytes, five bits each.
fn base32(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 8 / 5 + 1);
    let (mut held, mut bits) = (0_u32, 0);
    for byte in bytes {
        held = (held << 8) | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            let letter = (held >> bits) & 31;
            text.push(char::from(LETTERS[letter as usize]));
        }
    }
    text
}

/// The bytes of letters; `None` where one is none.
fn bytes_of(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() * 5 / 8);
    let (mut held, mut bits) = (0_u32, 0);
    for letter in text.bytes() {
        let letter = letter.to_ascii_lowercase();
        let value = LETTERS.iter().position(|known| *known == letter)?;
        held = (held << 5) | u32::try_from(value).ok()?;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from((held >> bits) & 0xff).ok()?);
        }
    }
    Some(bytes)
}

fn authenticator(secret: &Secret, account: &str) -> Option<Totp> {
    let bytes = bytes_of(secret.expose())?;
    let built: Result<Totp, TotpError> = Builder::new()
        .with_algorithm(Algorithm::SHA1)
        .with_digits(6)
        .with_skew(1)
        .with_step_duration(30)
        .with_secret(bytes)
        .with_issuer(Some("Deskbell"))
        // A colon would end it.
        .with_account_name(account.replace(':', " "))
        .build();
    built.ok()
}

/// The address that an authenticator takes, mostly as a picture; `None` where the secret is none.
#[must_use]
pub fn url(secret: &Secret, account: &str) -> Option<String> {
    authenticator(secret, account)?.to_url().ok()
}

/// The step of which this is the code, if it is the code of now or of a step beside it.
#[must_use]
pub fn step_of(secret: &Secret, code: &str, now: Time) -> Option<u64> {
    let code: String = code
        .chars()
        .filter(|letter| !letter.is_whitespace())
        .collect();
    let is_code = code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit());
    if !is_code {
        return None;
    }
    let seconds = u64::try_from(now.as_millis()).ok()? / 1000;
    authenticator(secret, "account")?.check(&code, seconds)
}

/// The code of a step, for tests.
#[cfg(test)]
pub(crate) fn code_at(secret: &Secret, at: Time) -> String {
    let seconds = u64::try_from(at.as_millis()).expect("positive") / 1000;
    let authenticator = authenticator(secret, "account").expect("a secret");
    authenticator.generate(seconds).to_string()
}

/// New recovery codes, as people write them down.
#[must_use]
pub fn new_recovery_codes() -> Vec<String> {
    let code = |_| {
        let bytes: [u8; 10] = random_bytes();
        let letters = base32(&bytes);
        let groups: Vec<_> = (0..RECOVERY_LETTERS)
            .step_by(GROUP)
            .map(|at| &letters[at..at + GROUP])
            .collect();
        groups.join("-")
    };
    (0..RECOVERY_CODES).map(code).collect()
}

/// A recovery code as it is hashed, however it was typed; `None` where it cannot be one.
#[must_use]
pub fn recovery_code(typed: &str) -> Option<String> {
    let letters: String = typed
        .chars()
        .filter(|letter| !letter.is_whitespace() && *letter != '-')
        .map(|letter| letter.to_ascii_lowercase())
        .collect();
    let is_code = letters.len() == RECOVERY_LETTERS
        && letters.bytes().all(|letter| LETTERS.contains(&letter));
    is_code.then_some(letters)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Time {
        Time::from_millis(seconds * 1000)
    }

    #[test]
    fn s06_codes_are_those_of_rfc_6238() {
        // Appendix B, SHA-1; the last six of its eight digits.
        let secret = Secret::new(base32(b"12345678901234567890"));
        let vectors = [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ];
        for (seconds, code) in vectors {
            let step = u64::try_from(seconds / 30).expect("positive");
            assert_eq!(step_of(&secret, code, at(seconds)), Some(step), "{code}");
            // One step to either side, and no further.
            assert_eq!(step_of(&secret, code, at(seconds + 30)), Some(step));
            assert_eq!(
                step_of(&secret, code, at((seconds - 30).max(0))),
                Some(step)
            );
            assert_eq!(step_of(&secret, code, at(seconds + 60)), None);
        }
        assert_eq!(step_of(&secret, "287 082", at(59)), Some(1));
        for wrong in [
            "", "28708", "2870822", "287083", "abcdef", "²87082", "-87082", "+87082",
        ] {
            assert_eq!(step_of(&secret, wrong, at(59)), None, "{wrong}");
        }
    }

    #[test]
    fn a_secret_is_read_back_and_its_address_names_the_account() {
        let secret = new_secret();
        assert_eq!(secret.expose().len(), 32);
        let bytes = bytes_of(secret.expose()).expect("letters");
        assert_eq!(base32(&bytes).to_uppercase(), secret.expose());
        assert_eq!(bytes_of("a1"), None);
        let url = url(&secret, "jana@shop.example").expect("an address");
        assert!(url.starts_with("otpauth://totp/Deskbell:"), "{url}");
        assert!(
            url.contains(secret.expose()) && url.contains("issuer=Deskbell"),
            "{url}"
        );
    }

    #[test]
    fn s06_recovery_codes_are_long_all_different_and_read_however_they_are_typed() {
        let codes: std::collections::BTreeSet<_> =
            (0..100).flat_map(|_| new_recovery_codes()).collect();
        assert_eq!(codes.len(), 100 * RECOVERY_CODES);
        let code = codes.first().expect("a code");
        assert_eq!(code.len(), 19);
        let bare = recovery_code(code);
        assert_eq!(bare.as_deref().map(str::len), Some(16));
        assert_eq!(recovery_code(&code.to_uppercase().replace('-', " ")), bare);
        assert_eq!(recovery_code(&format!(" {code} ")), bare);
        for wrong in [
            "",
            "123456",
            &code[1..],
            &format!("{code}a"),
            "1111-1111-1111-1111",
        ] {
            assert_eq!(recovery_code(wrong), None, "{wrong}");
        }
    }
}
