//! Files, people, and how the channel does.

use deskbell_sdk::Source;
use deskbell_sdk::client::CallError;
use deskbell_sdk::health::{Finding, Standing};
use deskbell_sdk::media::{Located, Wanted};
use deskbell_sdk::profile::Profile;
use deskbell_sdk::testkit::http::{ScriptedHttp, finish};
use serde_json::{Value, json};

use super::{TOKEN, channel, method, refusal, success};

fn located(platform: &ScriptedHttp, source: &Source) -> Result<Located, CallError> {
    let wanted = Wanted {
        source,
        message: "2001:17",
        place: 0,
        external_id: None,
        expired: false,
    };
    let channel = channel("poll");
    finish(channel.media().expect("media").locate(platform, wanted)).expect("ends")
}

#[test]
fn a_file_has_an_address_that_shows_its_token_to_nobody() {
    let source = Source::Handle("AgACInvL".to_owned());
    let platform = ScriptedHttp::answering(|_| {
        Ok(success(
            &json!({ "file_id": "AgACInvL", "file_unique_id": "AQADl", "file_size": 3, "file_path": "photos/file 7.jpg" }),
        ))
    });
    let located = located(&platform, &source).expect("located");
    assert_eq!(
        located.url.expose(),
        format!("https://api.telegram.org/file/bot{TOKEN}/photos/file%207.jpg")
    );
    assert_eq!(located.authorization, None);
    assert!(!format!("{located:?}").contains(TOKEN));
    let body: Value = serde_json::from_slice(platform.calls()[0].body()).expect("JSON");
    assert_eq!(body, json!({ "file_id": "AgACInvL" }));
}

#[test]
fn m05_paths_that_lead_elsewhere_are_not_followed() {
    let source = Source::Handle("A".to_owned());
    for path in [
        "/var/lib/bot/photo.jpg",
        "../../etc/passwd",
        "a//b",
        "",
        "a/./b",
        "a/..",
    ] {
        let platform = ScriptedHttp::answering(move |_| {
            Ok(success(&json!({ "file_id": "A", "file_path": path })))
        });
        let refused = located(&platform, &source);
        assert!(
            matches!(refused, Err(CallError::Refused { .. })),
            "{path}: {refused:?}"
        );
    }
}

#[test]
fn a_file_that_is_too_large_or_gone_is_refused_and_a_trouble_is_tried_again() {
    let source = Source::Handle("A".to_owned());
    let refused = |answer: fn() -> http::Response<bytes::Bytes>| {
        located(&ScriptedHttp::answering(move |_| Ok(answer())), &source).expect_err("no file")
    };
    let too_big = refused(|| refusal(400, "Bad Request: file is too big"));
    assert!(
        matches!(&too_big, CallError::Refused { code, .. } if code == "too_large"),
        "{too_big:?}"
    );
    let gone = refused(|| {
        refusal(
            400,
            "Bad Request: wrong file_id or the file is temporarily unavailable",
        )
    });
    assert!(matches!(gone, CallError::Refused { .. }), "{gone:?}");
    let trouble = refused(|| refusal(500, "Internal Server Error"));
    assert!(matches!(trouble, CallError::Retry { .. }), "{trouble:?}");
    let nowhere = located(&ScriptedHttp::unreachable(), &Source::Nowhere);
    assert!(
        matches!(nowhere, Err(CallError::Refused { .. })),
        "{nowhere:?}"
    );
}

#[test]
fn people_have_names_and_pictures_and_strangers_none() {
    let channel = channel("poll");
    let profiles = channel.profiles().expect("profiles");
    let platform = ScriptedHttp::answering(|call| {
        let told: Value = serde_json::from_slice(call.body()).expect("JSON");
        Ok(match told["chat_id"].as_i64() {
            Some(2001) => success(&json!({
                "id": 2001, "type": "private", "first_name": " Jana\u{202e}", "last_name": "Nováková",
                "photo": { "small_file_id": "s", "small_file_unique_id": "su", "big_file_id": "b", "big_file_unique_id": "bu" },
            })),
            Some(-7) => success(&json!({ "id": -7, "type": "group", "title": "Vrátenie" })),
            _ => refusal(400, "Bad Request: chat not found"),
        })
    });
    let of = |person: &str| {
        finish(profiles.profile(&platform, person))
            .expect("ends")
            .expect("told")
    };
    assert_eq!(
        of("2001"),
        Some(Profile {
            name: Some("Jana Nováková".to_owned()),
            picture: Some(Source::Handle("b".to_owned()))
        })
    );
    assert_eq!(
        of("-7"),
        Some(Profile {
            name: Some("Vrátenie".to_owned()),
            picture: None
        })
    );
    assert_eq!(of("404"), None);
    assert_eq!(of("-100/d5"), None);
    let down = finish(profiles.profile(&ScriptedHttp::unreachable(), "2001")).expect("ends");
    assert!(matches!(down, Err(CallError::Retry { .. })), "{down:?}");
}

fn looked(mode: &str, me: &'static Value, webhook: &'static Value) -> Vec<Finding> {
    let platform = ScriptedHttp::answering(move |call| {
        Ok(match method(call) {
            "getMe" => success(me),
            _ => success(webhook),
        })
    });
    let channel = channel(mode);
    finish(channel.health().expect("health").look(&platform)).expect("ends")
}

#[test]
fn health_says_what_is_wrong_in_plain_words() {
    use std::sync::LazyLock;
    static OWN: LazyLock<Value> = LazyLock::new(
        || json!({ "id": 4_242_424_242_i64, "is_bot": true, "first_name": "Butik", "username": "butik_bot" }),
    );
    static OTHER: LazyLock<Value> =
        LazyLock::new(|| json!({ "id": 7, "is_bot": true, "first_name": "Other" }));
    static NONE: LazyLock<Value> =
        LazyLock::new(|| json!({ "url": "", "pending_update_count": 0 }));
    static SET: LazyLock<Value> = LazyLock::new(
        || json!({ "url": "https://desk.example.com/webhooks/bot", "pending_update_count": 0, "last_error_message": "Connection timed out" }),
    );
    static STUCK: LazyLock<Value> = LazyLock::new(
        || json!({ "url": "https://desk.example.com/webhooks/bot", "pending_update_count": 12, "last_error_message": "Wrong response from the webhook: 503 Service Unavailable" }),
    );

    let fine = looked("poll", &OWN, &NONE);
    assert!(
        fine.iter()
            .all(|finding| finding.standing == Standing::Fine),
        "{fine:?}"
    );
    assert!(fine[0].say.contains("@butik_bot"), "{fine:?}");
    let wrong = looked("poll", &OTHER, &NONE);
    assert_eq!((wrong.len(), wrong[0].standing), (1, Standing::Broken));
    assert_eq!(looked("poll", &OWN, &SET)[1].standing, Standing::Doubtful);
    assert_eq!(looked("webhook", &OWN, &NONE)[1].standing, Standing::Fine);
    assert_eq!(looked("webhook", &OWN, &SET)[1].standing, Standing::Fine);
    let stuck = looked("webhook", &OWN, &STUCK);
    assert_eq!(stuck[1].standing, Standing::Doubtful);
    assert!(
        stuck[1].say.contains("12 updates") && stuck[1].say.contains("503"),
        "{stuck:?}"
    );

    let revoked = ScriptedHttp::answering(|_| Ok(refusal(401, "Unauthorized")));
    let channel = channel("poll");
    let found = finish(channel.health().expect("health").look(&revoked)).expect("ends");
    assert_eq!(
        (found.len(), found[0].what, found[0].standing),
        (1, "token", Standing::Broken)
    );
    assert!(found[0].say.contains("@BotFather"), "{found:?}");
}
