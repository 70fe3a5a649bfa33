//! Asking for updates.

use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use deskbell_sdk::Event;
use deskbell_sdk::client::{CallError, HttpFailure};
use deskbell_sdk::poll::Polled;
use deskbell_sdk::testkit::http::{ScriptedHttp, finish, json_answer};
use http::Response;
use serde_json::{Value, json};

use super::{TOKEN, channel, method, refusal, refusal_with, success};

fn asked(platform: &ScriptedHttp, since: Option<&str>) -> Result<Polled, CallError> {
    let channel = channel("poll");
    finish(channel.poll().expect("polls").poll(platform, since)).expect("ends")
}

fn answering(result: &Value) -> ScriptedHttp {
    ScriptedHttp::always(200, &json!({ "ok": true, "result": result }).to_string())
}

#[test]
fn the_next_look_begins_behind_the_highest_update() {
    let platform = answering(
        &json!([{ "update_id": 7, "message": {} }, { "update_id": 9 }, { "update_id": 8 }]),
    );
    let polled = asked(&platform, Some("7")).expect("polled");
    assert_eq!((polled.next.as_str(), polled.wait), ("10", None));
    assert_eq!(
        polled.updates[0],
        Bytes::from_static(b"{\"message\":{},\"update_id\":7}")
    );
    assert_eq!(polled.updates.len(), 3);
    let calls = platform.calls();
    assert_eq!(
        calls[0].uri(),
        format!("https://api.telegram.org/bot{TOKEN}/getUpdates").as_str()
    );
    let body: Value = serde_json::from_slice(calls[0].body()).expect("JSON");
    assert_eq!(
        (&body["offset"], &body["limit"], &body["timeout"]),
        (&json!(7), &json!(100), &json!(50))
    );
    let allowed = body["allowed_updates"].as_array().expect("always named");
    assert!(
        allowed.contains(&json!("message_reaction")) && allowed.contains(&json!("my_chat_member"))
    );
}

#[test]
fn nothing_new_leaves_the_place_and_the_first_look_has_none() {
    assert_eq!(
        asked(&answering(&json!([])), Some("12"))
            .expect("polled")
            .next,
        "12"
    );
    let platform = answering(&json!([]));
    assert_eq!(asked(&platform, None).expect("polled").next, "");
    for since in [None, Some("")] {
        let platform = answering(&json!([]));
        asked(&platform, since).expect("polled");
        let body: Value = serde_json::from_slice(platform.calls()[0].body()).expect("JSON");
        assert_eq!(body.get("offset"), None);
    }
}

#[test]
fn numbers_that_begin_anew_are_followed_downwards() {
    let platform = answering(&json!([{ "update_id": 3 }]));
    assert_eq!(asked(&platform, Some("4000000")).expect("polled").next, "4");
}

#[test]
fn an_update_that_is_none_takes_no_other_with_it() {
    let platform =
        answering(&json!([17, { "update_id": 5, "message": 3 }, { "update_id": 6, "poll": {} }]));
    let polled = asked(&platform, None).expect("polled");
    assert_eq!(polled.next, "7");
    let channel = channel("poll");
    let decoded: Vec<Event> = polled
        .updates
        .iter()
        .flat_map(|update| channel.poll().expect("polls").decode(update))
        .map(|inbound| inbound.event)
        .collect();
    assert!(
        matches!(
            decoded.as_slice(),
            [
                Event::Undecodable { .. },
                Event::Undecodable { .. },
                Event::Ignored { .. }
            ]
        ),
        "{decoded:?}"
    );
    let none = asked(&answering(&json!([17])), None);
    assert!(matches!(none, Err(CallError::Retry { .. })), "{none:?}");
}

#[test]
fn what_is_asked_for_is_decoded_as_what_is_delivered() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures");
    let channel = channel("poll");
    let mut compared = 0;
    for file in std::fs::read_dir(folder).expect("fixtures") {
        let path = file.expect("a file").path();
        let name = path
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        if name.ends_with(".expected.json") {
            continue;
        }
        let body = Bytes::from(std::fs::read(&path).expect("read"));
        let expected = std::fs::read_to_string(path.with_extension("expected.json")).expect("read");
        let expected: Vec<deskbell_sdk::Inbound> = serde_json::from_str(&expected).expect("JSON");
        assert_eq!(
            channel.poll().expect("polls").decode(&body),
            expected,
            "{name}"
        );
        compared += 1;
    }
    assert!(compared >= 70, "{compared}");
}

#[test]
fn a_webhook_in_the_way_is_taken_away_and_nothing_of_the_queue_is_dropped() {
    let deleted = Mutex::new(false);
    let platform = ScriptedHttp::answering(move |call| {
        let mut deleted = deleted.lock().expect("not poisoned");
        Ok(match method(call) {
            "getUpdates" if *deleted => success(&json!([{ "update_id": 1 }])),
            "getUpdates" => refusal(
                409,
                "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook",
            ),
            "deleteWebhook" => {
                *deleted = true;
                success(&json!(true))
            }
            other => panic!("{other}"),
        })
    });
    assert_eq!(asked(&platform, None).expect("polled").next, "2");
    let calls = platform.calls();
    let body: Value = serde_json::from_slice(calls[1].body()).expect("JSON");
    assert_eq!(body, json!({ "drop_pending_updates": false }));
}

#[test]
fn every_trouble_has_its_meaning_and_shows_no_token() {
    let conflict = "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running";
    let retry = |after: Option<u64>| move |error: &CallError| matches!(error, CallError::Retry { after: told, .. } if *told == after.map(Duration::from_secs));
    type Check = Box<dyn Fn(&CallError) -> bool>;
    let cases: Vec<(Response<Bytes>, Check)> = vec![
        (refusal(409, conflict), Box::new(retry(Some(5)))),
        (
            refusal(401, "Unauthorized"),
            Box::new(|error| matches!(error, CallError::Credentials { .. })),
        ),
        (
            refusal(404, "Not Found"),
            Box::new(|error| matches!(error, CallError::Credentials { .. })),
        ),
        (
            refusal_with(
                429,
                "Too Many Requests: retry after 9",
                &json!({ "retry_after": 9 }),
            ),
            Box::new(retry(Some(9))),
        ),
        (
            refusal(500, "Internal Server Error: restart"),
            Box::new(retry(None)),
        ),
        (
            refusal(400, "Bad Request"),
            Box::new(|error| matches!(error, CallError::Refused { .. })),
        ),
        (json_answer(502, "<html>"), Box::new(retry(None))),
        (
            json_answer(200, "{\"ok\":true,\"result\":[{\"upd"),
            Box::new(retry(None)),
        ),
        (
            json_answer(200, "{\"ok\":true,\"result\":{}}"),
            Box::new(retry(None)),
        ),
        (json_answer(200, ""), Box::new(retry(None))),
    ];
    for (answer, is_so) in cases {
        let shown = format!("{answer:?}");
        let platform = ScriptedHttp::answering(move |_| Ok(answer.clone()));
        let error = asked(&platform, Some("3")).expect_err("a trouble");
        assert!(is_so(&error), "{shown}: {error:?}");
        assert!(!format!("{error} {error:?}").contains(TOKEN), "{error:?}");
    }
    let cut =
        ScriptedHttp::answering(|_| Err(HttpFailure::unanswered("api.telegram.org broke off")));
    assert!(matches!(asked(&cut, None), Err(CallError::Retry { .. })));
}
