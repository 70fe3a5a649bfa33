use std::collections::BTreeMap;

use deskbell_sdk::settings::SettingValue;
use deskbell_sdk::webhook::hmac_sha256_hex;

use super::*;

const SECRET: &str = "correct-horse-battery-staple";

fn channel(
    origins: Option<&[&str]>,
    secret: Option<&str>,
) -> Result<Box<dyn Channel>, SettingProblem> {
    let mut values = BTreeMap::new();
    if let Some(origins) = origins {
        let list = origins.iter().map(|&origin| origin.to_owned()).collect();
        values.insert(ALLOWED_ORIGINS.to_owned(), SettingValue::List(list));
    }
    if let Some(secret) = secret {
        values.insert(
            IDENTITY_SECRET.to_owned(),
            SettingValue::Secret(Secret::new(secret)),
        );
    }
    (KIND.open)(&Settings::checked(KIND.settings, values, None)?)
}

fn identify(
    channel: &dyn Channel,
    id: &str,
    signature: Option<&str>,
) -> Result<(), IdentityRefused> {
    let claimed = ClaimedIdentity {
        id,
        name: Some("Jana Nováková"),
        email: None,
        signature,
    };
    channel
        .visitors()
        .expect("a website has visitors")
        .identify(&claimed)
}

fn signature_of(id: &str) -> String {
    hmac_sha256_hex(&Secret::new(SECRET), id.as_bytes())
}

#[test]
fn opens_without_any_setting() {
    let channel = channel(None, None).expect("nothing is required");
    let visitors = channel.visitors().expect("a website has visitors");
    assert_eq!(visitors.allowed_origins(), None);
    assert_eq!(
        channel.limits(),
        Limits {
            reply_window_ms: None,
            text_chars: Some(5000)
        }
    );
    assert!(visitors.script().contains("attachShadow"));
    assert!(channel.webhook().is_none());
}

#[test]
fn v01_a_signed_customer_is_known() {
    let channel = channel(None, Some(SECRET)).expect("opens");
    for id in ["4711", "jana@example.com", "zákazník-č-8", "a b/c?d"] {
        assert_eq!(identify(&*channel, id, Some(&signature_of(id))), Ok(()));
    }
    // What the examples of README.md print for this id and secret.
    let documented = "324d7ed0af9bd253632dbd3c019aab08433940d9d5f4dd9d88f14de6a4b7eeb7";
    assert_eq!(identify(&*channel, "4711", Some(documented)), Ok(()));
}

#[test]
fn v01_1000_forged_identities_are_refused() {
    let channel = channel(None, Some(SECRET)).expect("opens");
    let genuine = signature_of("4711");
    for attempt in 0..1000_usize {
        // Each attempt takes another way: one digit changed, a neighbour's signature, another key, a cut or longer
        // one, the upper-case form.
        let forged = match attempt % 6 {
            0 => {
                let place = attempt / 6 % genuine.len();
                let other = if genuine.as_bytes()[place] == b'0' {
                    "1"
                } else {
                    "0"
                };
                format!("{}{other}{}", &genuine[..place], &genuine[place + 1..])
            }
            1 => signature_of(&format!("4711{attempt}")),
            2 => {
                let guess = Secret::new(format!("{SECRET}{attempt}"));
                hmac_sha256_hex(&guess, b"4711")
            }
            3 => genuine[..attempt / 6 % genuine.len()].to_owned(),
            4 => format!("{genuine}{attempt}"),
            _ => format!("{}{}", " ".repeat(1 + attempt % 7), genuine.to_uppercase()),
        };
        let outcome = identify(&*channel, "4711", Some(&forged));
        assert_eq!(outcome, Err(IdentityRefused::BadSignature), "{forged}");
    }
}

#[test]
fn v01_leaving_the_signature_out_is_no_way_in() {
    let with_secret = channel(None, Some(SECRET)).expect("opens");
    assert_eq!(
        identify(&*with_secret, "4711", None),
        Err(IdentityRefused::BadSignature)
    );
    assert_eq!(
        identify(&*with_secret, "4711", Some("")),
        Err(IdentityRefused::BadSignature)
    );
    let of_nobody = signature_of("");
    assert_eq!(
        identify(&*with_secret, "", Some(&of_nobody)),
        Err(IdentityRefused::BadSignature)
    );
}

#[test]
fn v01_without_a_secret_nobody_is_known() {
    let channel = channel(None, None).expect("opens");
    let under_no_key = hmac_sha256_hex(&Secret::new(""), b"4711");
    for signature in [
        None,
        Some(""),
        Some(under_no_key.as_str()),
        Some(&signature_of("4711")),
    ] {
        assert_eq!(
            identify(&*channel, "4711", signature),
            Err(IdentityRefused::NoSecret)
        );
    }
}

#[test]
fn v01_an_empty_secret_is_refused_at_the_start() {
    let problem = channel(None, Some("")).err().expect("refused");
    assert_eq!(problem.key, IDENTITY_SECRET);
}

#[test]
fn v03_origins_that_browsers_send_are_accepted() {
    let origins = [
        "https://shop.example",
        "https://www.shop.example",
        "https://shop.example:8443",
        "http://localhost:3000",
        "http://127.0.0.1:8080",
        "http://[::1]:8080",
        "https://xn--kvetinov-gza.example",
    ];
    let channel = channel(Some(&origins), None).expect("all are origins");
    let kept = channel
        .visitors()
        .expect("visitors")
        .allowed_origins()
        .expect("given");
    assert_eq!(kept, origins);
}

#[test]
fn v03_an_empty_list_lets_no_website_in() {
    let channel = channel(Some(&[]), None).expect("opens");
    assert_eq!(
        channel.visitors().expect("visitors").allowed_origins(),
        Some(&[][..])
    );
}

#[test]
fn v03_40_things_that_are_no_origin_are_refused_by_name() {
    let refused = [
        "",
        " ",
        "*",
        "https://*",
        "https://*.shop.example",
        "https://shop.*",
        "null",
        "NULL",
        " null ",
        "shop.example",
        "www.shop.example",
        "//shop.example",
        "https:",
        "https://",
        "https:///",
        "https://shop.example/",
        "https://shop.example/chat",
        "https://shop.example?x=1",
        "https://shop.example#x",
        "https://user@shop.example",
        "https://user:word@shop.example",
        "https://shop.example:443",
        "http://shop.example:80",
        "https://shop.example:99999",
        "https://shop.example:port",
        "https://Shop.example",
        "HTTPS://shop.example",
        "https://kvetinová.example",
        "https://shop.example, https://other.example",
        "https://shop.example https://other.example",
        " https://shop.example",
        "https://shop.example ",
        "https://shop.example\n",
        "https://shop\u{0}.example",
        "file:///index.html",
        "ftp://shop.example",
        "javascript:alert(1)",
        "data:text/html,x",
        "chrome-extension://abcdefgh",
        "wss://shop.example",
    ];
    assert_eq!(refused.len(), 40);
    for origin in refused {
        let problem = channel(Some(&["https://shop.example", origin]), None)
            .err()
            .unwrap_or_else(|| panic!("{origin:?} was taken for an origin"));
        assert_eq!(problem.key, ALLOWED_ORIGINS);
        let named = format!("\"{}\"", origin.escape_debug());
        assert!(
            problem.problem.starts_with(&named),
            "{origin:?}: {}",
            problem.problem
        );
    }
}

#[test]
fn v03_a_refused_origin_says_what_to_write() {
    for (given, expected) in [
        ("https://Shop.example", "https://shop.example"),
        ("https://shop.example:443", "https://shop.example"),
        ("https://shop.example/", "https://shop.example"),
        (
            "https://kvetinová.example",
            "https://xn--kvetinov-gza.example",
        ),
    ] {
        let problem = channel(Some(&[given]), None).err().expect("refused");
        assert!(
            problem.problem.contains(&format!("as \"{expected}")),
            "{}",
            problem.problem
        );
    }
}
