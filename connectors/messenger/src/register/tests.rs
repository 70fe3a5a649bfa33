//! What is asked of Meta, and how what stands there is judged.

use deskbell_sdk::testkit::http::{ScriptedHttp, finish, json_answer};
use http::{Method, Request};
use serde_json::{Value, json};

use super::*;
use crate::tests::channel;

const CALLBACK: &str = "https://desk.example/webhooks/shop-page";

fn path(call: &Request<Bytes>) -> String {
    format!("{} {}", call.method(), call.uri().path())
}

/// Meta, where this is registered.
fn meta(subscriptions: Value, apps: Value) -> ScriptedHttp {
    ScriptedHttp::answering(move |request| {
        let list = if request.uri().path().ends_with("/subscriptions") {
            &subscriptions
        } else {
            &apps
        };
        let answer = if request.method() == Method::GET {
            json!({ "data": list })
        } else {
            json!({ "success": true })
        };
        Ok(json_answer(200, &answer.to_string()))
    })
}

fn wants() -> Vec<&'static str> {
    channel().register().expect("registers").wants()
}

fn app_delivers(to: &str, fields: &[&str]) -> Value {
    let fields: Vec<Value> = fields
        .iter()
        .map(|name| json!({ "name": name, "version": "v25.0" }))
        .collect();
    json!([{ "object": "user", "callback_url": "https://else.example", "active": true, "fields": [] },
        { "object": "page", "callback_url": to, "active": true, "fields": fields }])
}

fn page_has(fields: &[&str]) -> Value {
    json!([{ "id": "1", "subscribed_fields": [] }, { "id": "4242424242", "name": "Desk", "subscribed_fields": fields }])
}

fn judged(subscriptions: Value, apps: Value) -> Vec<(&'static str, Standing)> {
    let channel = channel();
    let http = meta(subscriptions, apps);
    let wants = wants();
    let register = channel.register().expect("registers");
    let findings = finish(register.registered(&http, CALLBACK, &wants))
        .expect("ends")
        .expect("read");
    for finding in &findings {
        assert!(
            finding.standing == Standing::Fine || finding.say.contains("register the channel"),
            "{}",
            finding.say
        );
    }
    findings
        .into_iter()
        .map(|finding| (finding.what, finding.standing))
        .collect()
}

#[test]
fn p16_the_app_and_then_the_page_are_subscribed_with_no_secret_in_an_address() {
    let channel = channel();
    let http = meta(json!([]), json!([]));
    let register = channel.register().expect("registers");
    let wants = wants();
    assert!(!register.by_itself());
    finish(register.register(&http, CALLBACK, &wants))
        .expect("ends")
        .expect("registered");
    let calls = http.calls();
    let paths: Vec<_> = calls.iter().map(path).collect();
    assert_eq!(
        paths,
        [
            "POST /v25.0/4242424242/subscriptions",
            "POST /v25.0/1029384756/subscribed_apps"
        ]
    );
    let body = String::from_utf8(calls[0].body().to_vec()).expect("text");
    for part in [
        "object=page",
        "callback_url=https%3A%2F%2Fdesk.example%2Fwebhooks%2Fshop-page",
        "include_values=true",
        "verify_token=the%20shop%27s%20own%20words",
        "fields=messages%2Cmessaging_postbacks",
    ] {
        assert!(body.contains(part), "{part}: {body}");
    }
    assert!(
        calls[0].headers()["authorization"]
            .to_str()
            .expect("text")
            .starts_with("Bearer 4242424242|")
    );
    assert_eq!(
        calls[1].headers()["authorization"],
        "Bearer EAAinventedPageToken"
    );
    for call in &calls {
        assert!(call.headers()["authorization"].is_sensitive());
        let address = call.uri().to_string();
        assert!(
            !address.contains("own%20words")
                && !address.contains("0f0e0d")
                && !address.contains("EAAinvented")
        );
    }
}

#[test]
fn what_is_registered_is_compared_piece_by_piece() {
    let wants = wants();
    let fine = || (app_delivers(CALLBACK, &wants), page_has(&wants));
    let standings = |(subscriptions, apps)| judged(subscriptions, apps);
    assert_eq!(
        standings(fine()),
        [
            ("callback", Standing::Fine),
            ("subscription", Standing::Fine)
        ]
    );
    let more = [wants.as_slice(), &["feed"]].concat();
    assert_eq!(
        standings((app_delivers(CALLBACK, &more), page_has(&more))),
        standings(fine())
    );

    assert_eq!(standings((json!([]), fine().1))[0].1, Standing::Broken);
    assert_eq!(
        standings((app_delivers("https://other.example/x", &wants), fine().1))[0].1,
        Standing::Doubtful
    );
    assert_eq!(
        standings((app_delivers(CALLBACK, &wants[1..]), fine().1))[0].1,
        Standing::Broken
    );
    assert_eq!(
        standings((app_delivers(CALLBACK, &wants[..5]), fine().1))[0].1,
        Standing::Doubtful
    );
    let mut off = fine().0;
    off[1]["active"] = json!(false);
    assert_eq!(standings((off, fine().1))[0].1, Standing::Broken);

    assert_eq!(standings((fine().0, json!([])))[1].1, Standing::Broken);
    assert_eq!(
        standings((fine().0, page_has(&wants[1..])))[1].1,
        Standing::Broken
    );
    assert_eq!(
        standings((fine().0, page_has(&wants[..5])))[1].1,
        Standing::Doubtful
    );
}

#[test]
fn undoing_leaves_the_app_alone_where_others_use_it() {
    let channel = channel();
    let register = channel.register().expect("registers");
    for (shared, calls) in [(true, 1), (false, 2)] {
        let http = meta(json!([]), json!([]));
        finish(register.unregister(&http, shared))
            .expect("ends")
            .expect("undone");
        let made: Vec<_> = http.calls().iter().map(path).collect();
        let all = [
            "DELETE /v25.0/1029384756/subscribed_apps",
            "DELETE /v25.0/4242424242/subscriptions",
        ];
        assert_eq!(made, all[..calls]);
    }
}

#[test]
fn a_refusal_says_what_to_do() {
    let channel = channel();
    let register = channel.register().expect("registers");
    let wants = wants();
    let refused = |code: i64| {
        let body = json!({ "error": { "message": "IN FREMDER SPRACHE", "type": "OAuthException", "code": code } });
        let http = ScriptedHttp::always(400, &body.to_string());
        finish(register.register(&http, CALLBACK, &wants))
            .expect("ends")
            .expect_err("refused")
    };
    assert!(
        matches!(refused(2200), CallError::Refused { ref say, .. } if say.contains("public_url"))
    );
    assert!(
        matches!(refused(190), CallError::Refused { ref say, .. } if say.contains("app_secret"))
    );
    let undone = ScriptedHttp::always(200, r#"{"success":false}"#);
    let ended = finish(register.register(&undone, CALLBACK, &wants)).expect("ends");
    assert!(matches!(ended, Err(CallError::Refused { .. })));
}
