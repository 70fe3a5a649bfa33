//! Against the vectors of the standards, and against what a push service checks.

use serde_json::Value;
use web_push_native::p256::SecretKey;
use web_push_native::p256::ecdsa::signature::Verifier as _;
use web_push_native::p256::ecdsa::{Signature, VerifyingKey};
use web_push_native::{Auth, decrypt};

use super::*;

fn bytes(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).expect("base64url")
}

/// The keys of RFC 8291, appendix A.
const UA_PRIVATE: &str = "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94";
const UA_PUBLIC: &str =
    "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
const AUTH: &str = "BTBZMqHH6r4Tts7J_aSIgg";

fn vapid() -> Vapid {
    Vapid::from_private(&Vapid::new_private(), "mailto:desk@shop.example".to_owned())
        .expect("a key")
}

fn opened(body: &[u8]) -> Option<Vec<u8>> {
    let key = SecretKey::from_slice(&bytes(UA_PRIVATE)).expect("a key");
    let auth: [u8; 16] = bytes(AUTH).try_into().expect("16");
    decrypt(body.to_vec(), &key, &Auth::from(auth)).ok()
}

#[test]
fn o07_what_rfc_8291_shows_is_what_this_crate_reads_and_damage_is_seen() {
    let body = "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN";
    let body = bytes(body);
    let plain = opened(&body).expect("opens");
    assert_eq!(plain, b"When I grow up, I want to be a watermelon");
    for at in [0, 30, body.len() - 1] {
        let mut damaged = body.clone();
        damaged[at] ^= 1;
        assert_eq!(opened(&damaged), None, "{at}");
    }
}

#[test]
fn o07_each_message_has_a_key_and_a_salt_of_its_own_and_one_record() {
    let kept = Kept {
        endpoint: "https://push.example/x".to_owned(),
        p256dh: UA_PUBLIC.to_owned(),
        auth: AUTH.to_owned(),
    };
    let note = |length: usize| Note {
        message: vec![b'x'; length],
        ttl: Duration::from_secs(60),
        urgency: Urgency::High,
        topic: None,
    };
    let (one, two) = (
        encrypted(&kept, &note(100)).expect("encrypts"),
        encrypted(&kept, &note(100)).expect("encrypts"),
    );
    assert_ne!(one[..16], two[..16], "the salt");
    assert_ne!(one[21..86], two[21..86], "the key");
    assert_eq!(opened(&one).expect("opens"), vec![b'x'; 100]);
    let longest = encrypted(&kept, &note(MAX_MESSAGE_BYTES)).expect("encrypts");
    assert!(longest.len() <= 4_096, "push services take no more");
    assert_eq!(longest.len(), 86 + MAX_MESSAGE_BYTES + 17, "one record");
    assert_eq!(encrypted(&kept, &note(MAX_MESSAGE_BYTES + 1)), None);
}

#[test]
fn o07_the_example_of_rfc_8292_is_verified_as_ours_are() {
    let token = "eyJ0eXAiOiJKV1QiLCJhbGciOiJFUzI1NiJ9.eyJhdWQiOiJodHRwczovL3B1c2guZXhhbXBsZS5uZXQiLCJleHAiOjE0NTM1MjM3NjgsInN1YiI6Im1haWx0bzpwdXNoQGV4YW1wbGUuY29tIn0.i3CYb7t4xfxCDquptFOepC9GAu_HLGkMlMuCGSK2rpiUfnK9ojFwDXb1JrErtmysazNjjvW2L9OkSSHzvoD1oA";
    let key =
        "BA1Hxzyi1RUM1b5wjxsn7nGxAszw2u61m164i3MrAIxHF6YK5h4SDYic-dRuU_RCPCfA5aq9ojSwk5Y2EmClBPs";
    let claims = verified(&format!("vapid t={token}, k={key}")).expect("it is right");
    assert_eq!(claims["aud"], "https://push.example.net");

    let (vapid, now) = (vapid(), Time::from_millis(1_800_000_000_000));
    let header = |origin: &str, now: Time| {
        let header = vapid.authorization(origin, now).expect("a header");
        assert!(header.is_sensitive());
        header.to_str().expect("text").to_owned()
    };
    let first = header("https://push.example", now);
    let claims = verified(&first).expect("it is right");
    assert_eq!(claims["aud"], "https://push.example");
    assert_eq!(claims["sub"], "mailto:desk@shop.example");
    assert_eq!(claims["exp"], 1_800_000_000 + 12 * 3600);
    assert!(
        first.ends_with(&format!("k={}", URL_SAFE_NO_PAD.encode(vapid.public()))),
        "{first}"
    );
    // One an origin, for eleven hours; also after a clock was set back none of the future is used.
    let hours = |hours: i64| now.plus_millis(hours * 3_600_000);
    assert_eq!(header("https://push.example", hours(10)), first);
    assert_ne!(header("https://other.example", hours(10)), first);
    assert_ne!(header("https://push.example", hours(11)), first);
    let back = verified(&header("https://push.example", hours(-20))).expect("right");
    assert_eq!(back["exp"], 1_800_000_000 - 8 * 3600);
    // A signature of something else is none.
    let forged = first.replacen("vapid t=eyJ0", "vapid t=eyK0", 1);
    assert_eq!(verified(&forged), None);
}

/// What a push service makes of the header: the claims, where the signature is right.
fn verified(header: &str) -> Option<Value> {
    let (token, key) = header.strip_prefix("vapid t=")?.split_once(", k=")?;
    let (text, signature) = token.rsplit_once('.')?;
    let key = VerifyingKey::from_sec1_bytes(&bytes(key)).ok()?;
    let signature = Signature::from_slice(&bytes(signature)).ok()?;
    key.verify(text.as_bytes(), &signature).ok()?;
    serde_json::from_slice(&bytes(text.split_once('.')?.1)).ok()
}

#[test]
fn o07_only_push_services_on_the_public_internet_are_taken() {
    let strict = Push::new(false, Some(vapid())).expect("a client");
    let good = "https://updates.push.services.example/wpush/v2/abc";
    assert!(strict.check(good, UA_PUBLIC, AUTH).is_ok());
    for bad in [
        "http://push.example/x",
        "https://127.0.0.1/x",
        "https://[::1]/x",
        "https://169.254.169.254/latest/meta-data",
        "https://10.0.0.5/x",
        "https://push.example:8443/x",
        "https://user:pw@push.example/x",
        "ftp://push.example/x",
        "no address",
        "",
    ] {
        let refused = strict.check(bad, UA_PUBLIC, AUTH);
        assert!(matches!(refused, Err(Wrong::Endpoint(_))), "{bad}");
    }
    let private = Push::new(true, Some(vapid())).expect("a client");
    assert!(
        private
            .check("http://127.0.0.1:9/x", UA_PUBLIC, AUTH)
            .is_ok()
    );
    for bad in [
        "",
        "AAAA",
        &UA_PUBLIC[..80],
        "ßß",
        &URL_SAFE_NO_PAD.encode([4_u8; 65]),
    ] {
        assert_eq!(
            strict.check(good, bad, AUTH).err(),
            Some(Wrong::PublicKey),
            "{bad}"
        );
    }
    for bad in ["", "AAAA", "BTBZMqHH6r4Tts7J_aSIggAA"] {
        assert_eq!(
            strict.check(good, UA_PUBLIC, bad).err(),
            Some(Wrong::Auth),
            "{bad}"
        );
    }
}

#[test]
fn o08_each_answer_means_what_the_standard_says() {
    let none = HeaderMap::new();
    let judged = |status| judge(status, &none, "https://push.example");
    for status in [200, 201, 202, 204] {
        assert_eq!(judged(status), Outcome::Sent, "{status}");
    }
    for status in [404, 410] {
        assert_eq!(judged(status), Outcome::Gone, "{status}");
    }
    for status in [400, 401, 403, 413, 302, 418] {
        assert!(matches!(judged(status), Outcome::Refused(_)), "{status}");
    }
    for status in [408, 429, 500, 502, 503, 504] {
        assert!(
            matches!(judged(status), Outcome::Passing(_, None)),
            "{status}"
        );
    }
    let mut later = HeaderMap::new();
    later.insert("retry-after", HeaderValue::from_static("7"));
    let waits = judge(429, &later, "https://push.example");
    assert!(matches!(waits, Outcome::Passing(_, Some(wait)) if wait.as_secs() == 7));
}
