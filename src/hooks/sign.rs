//! Signatures of the Standard Webhooks specification: HMAC-SHA256 over id, time and body.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use deskbell_sdk::Secret;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

/// Before every secret.
const PREFIX: &str = "whsec_";

/// A secret of these bytes, as people copy it.
#[must_use]
pub fn secret_of(bytes: &[u8; 32]) -> Secret {
    Secret::new(format!("{PREFIX}{}", STANDARD.encode(bytes)))
}

/// The value of `webhook-signature`: one signature for each secret. A secret that is none signs nothing.
#[must_use]
pub(super) fn signatures(secrets: &[Secret], id: &str, at_seconds: i64, body: &[u8]) -> String {
    let signed: Vec<String> = secrets
        .iter()
        .filter_map(|secret| signature(secret, id, at_seconds, body))
        .collect();
    signed.join(" ")
}

fn signature(secret: &Secret, id: &str, at_seconds: i64, body: &[u8]) -> Option<String> {
    let encoded = secret.expose().strip_prefix(PREFIX)?;
    let encoded = encoded.trim_end_matches('=');
    let key = Zeroizing::new(STANDARD_NO_PAD.decode(encoded).ok()?);
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).ok()?;
    mac.update(format!("{id}.{at_seconds}.").as_bytes());
    mac.update(body);
    Some(format!(
        "v1,{}",
        STANDARD.encode(mac.finalize().into_bytes())
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const AT: i64 = 1_614_265_330;
    const BODY: &[u8] = b"{\"test\": 2432232314}";

    #[test]
    fn o02_the_vector_of_the_specification() {
        let secret = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let wanted = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(signatures(&[secret], ID, AT, BODY), wanted);
    }

    #[test]
    fn o02_two_secrets_sign_twice_and_each_part_counts() {
        let (old, new) = (secret_of(&[1; 32]), secret_of(&[2; 32]));
        let both = signatures(&[new.clone(), old.clone()], ID, AT, BODY);
        let alone = |secret: &Secret| signatures(std::slice::from_ref(secret), ID, AT, BODY);
        assert_eq!(both, format!("{} {}", alone(&new), alone(&old)));
        assert_ne!(alone(&new), alone(&old));
        let one = std::slice::from_ref(&new);
        assert_ne!(alone(&new), signatures(one, "msg_other", AT, BODY));
        assert_ne!(alone(&new), signatures(one, ID, AT + 1, BODY));
        assert_ne!(alone(&new), signatures(one, ID, AT, b"{}"));
        assert!(signatures(&[Secret::new("no secret")], ID, AT, BODY).is_empty());
        assert_eq!(new.expose().len(), "whsec_".len() + 44);
    }
}
