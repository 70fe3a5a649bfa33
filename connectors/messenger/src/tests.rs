//! The conformance run, Meta's signature, the handshake, and what fixtures cannot show.

use std::path::Path;

use bytes::Bytes;
use deskbell_sdk::client::HttpFailure;
use deskbell_sdk::health::{Finding, Standing};
use deskbell_sdk::testkit::conformance::{Proof, Subject, run, settings_of};
use deskbell_sdk::testkit::http::{ScriptedHttp, finish, json_answer};
use deskbell_sdk::testkit::sending::Platform;
use deskbell_sdk::webhook::hmac_sha256_hex;
use deskbell_sdk::{
    Channel, Event, Inbound, Malformed, Rejected, Reply, Request, Secret, Verified,
};
use http::{HeaderMap, HeaderValue, Method};

use super::{KIND, SIGNATURE_HEADER};
use crate::send::tests::meta_error;

const APP_SECRET: &str = "0f0e0d0c0b0a09080706050403020100";
const SETTINGS: &[(&str, &str)] = &[
    ("app_id", "4242424242"),
    ("app_secret", APP_SECRET),
    ("page_id", "1029384756"),
    ("page_access_token", "EAAinventedPageToken"),
    ("verify_token", "the shop's own words"),
];

/// The channel of the tests.
pub(crate) fn channel() -> Box<dyn Channel> {
    let settings = settings_of(KIND, SETTINGS).expect("settings");
    (KIND.open)(&settings).expect("opens")
}

/// The same with one more setting.
pub(crate) fn channel_with(key: &'static str, value: &'static str) -> Box<dyn Channel> {
    let mut texts = SETTINGS.to_vec();
    texts.push((key, value));
    let settings = settings_of(KIND, &texts).expect("settings");
    (KIND.open)(&settings).expect("opens")
}

/// Meta, as a channel that sends meets it.
const META: Platform<'static> = Platform {
    thread: "2001",
    is_send: |request| {
        request.method() == Method::POST && request.uri().path().ends_with("/messages")
    },
    accepted: |_| {
        json_answer(
            200,
            r#"{"recipient_id":"2001","message_id":"m_invented-by-the-tests"}"#,
        )
    },
    accepted_id: Some("m_invented-by-the-tests"),
    credentials_refused: |_| meta_error(401, 190, 463),
    too_many: |_, wait| {
        let mut answer = meta_error(429, 613, 2_018_338);
        let wait = HeaderValue::from_str(wait).expect("a header");
        answer.headers_mut().insert("retry-after", wait);
        answer
    },
    own_trouble: |_| meta_error(500, 2, 0),
    refused: |_| meta_error(400, 10, 2_018_278),
    refused_code: "10/2018278",
    words: "IN FREMDER SPRACHE",
    token_in_path: false,
};

fn signature(body: &[u8]) -> String {
    format!("sha256={}", hmac_sha256_hex(&Secret::new(APP_SECRET), body))
}

fn verify(body: &[u8], signature: &str) -> Result<Verified, Rejected> {
    let mut headers = HeaderMap::new();
    headers.insert(
        SIGNATURE_HEADER,
        HeaderValue::from_str(signature).expect("a header"),
    );
    let body = Bytes::copy_from_slice(body);
    let request = Request {
        method: &Method::POST,
        query: "",
        headers: &headers,
        body: &body,
    };
    channel().webhook().expect("has one").verify(&request)
}

fn decode(body: &[u8]) -> Result<Vec<Inbound>, Malformed> {
    let verified = verify(body, &signature(body)).expect("genuine");
    channel().webhook().expect("has one").decode(&verified)
}

#[test]
fn passes_the_conformance_run() {
    let report = run(&Subject {
        kind: KIND,
        settings: SETTINGS,
        fixtures: Some(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures"))),
        proof: Some(Proof {
            header: SIGNATURE_HEADER,
            value: &signature,
            covers_body: true,
        }),
        platform: Some(META),
    });
    assert!(report.sends >= 100, "{report:?}");
    assert!(report.plans >= 1000, "{report:?}");
    assert!(report.fixtures >= 30, "{report:?}");
    assert!(report.forgeries >= 10_000, "{report:?}");
    assert!(report.mutations >= 10_000, "{report:?}");
}

#[test]
fn w03_metas_signature_covers_the_bytes_as_they_came() {
    let ascii = br#"{"object":"page","entry":[{"id":"102938475610293","time":1763740800123,"messaging":[{"sender":{"id":"2001"},"recipient":{"id":"102938475610293"},"timestamp":1763740800001,"message":{"mid":"m_invented1","text":"Hello"}}]}]}"#;
    let ascii_signature = "sha256=4d0e872bd8ca49e056243f91a44f0e13cef4e45059ddf611121f89aa529fe61b";
    let escaped = br#"{"object":"page","entry":[{"id":"102938475610293","time":1763740800123,"messaging":[{"sender":{"id":"2001"},"recipient":{"id":"102938475610293"},"timestamp":1763740800001,"message":{"mid":"m_invented2","text":"Dobr\u00fd de\u0148 \ud83d\udce6 https:\/\/shop.example\/p\/1"}}]}]}"#;
    let escaped_signature =
        "sha256=198f197072fa19783c83d59115e57646927ad9fa59e9d8e9fac8d670db632088";

    verify(ascii, ascii_signature).expect("the plain vector");
    let verified = verify(escaped, escaped_signature).expect("the escaped vector");
    assert_eq!(
        verify(ascii, escaped_signature).err(),
        Some(Rejected::Wrong)
    );

    // Some proxies write the characters out; the signature is still that of the escaped form.
    let written_out = String::from_utf8_lossy(escaped)
        .replace("\\u00fd", "ý")
        .replace("\\u0148", "ň")
        .replace("\\ud83d\\udce6", "📦");
    verify(written_out.as_bytes(), escaped_signature)
        .expect("the escaped form of what a proxy wrote out");
    let other = written_out.replace('ý', "y");
    assert_eq!(
        verify(other.as_bytes(), escaped_signature).err(),
        Some(Rejected::Wrong)
    );

    let events = channel()
        .webhook()
        .expect("has one")
        .decode(&verified)
        .expect("decodes");
    let [
        Inbound {
            account: Some(page),
            event: Event::Message(message),
        },
    ] = events.as_slice()
    else {
        panic!("one message of a Page, not {events:?}");
    };
    assert_eq!(page, "102938475610293");
    assert_eq!(
        message.text.as_deref(),
        Some("Dobrý deň 📦 https://shop.example/p/1")
    );
}

fn handshake(method: &Method, query: &str) -> Option<Reply> {
    let (headers, body) = (HeaderMap::new(), Bytes::new());
    channel().webhook().expect("has one").handshake(&Request {
        method,
        query,
        headers: &headers,
        body: &body,
    })
}

#[test]
fn w08_the_handshake_gives_back_digits_to_who_knows_the_token() {
    let good =
        "hub.mode=subscribe&hub.verify_token=the+shop%27s%20own+words&hub.challenge=1158201444";
    assert_eq!(
        handshake(&Method::GET, good),
        Some(Reply {
            status: 200,
            body: "1158201444".to_owned()
        })
    );
    assert_eq!(handshake(&Method::POST, good), None);
    let longest = "7".repeat(128);
    let longest = good.replace("1158201444", &longest);
    assert_eq!(
        handshake(&Method::GET, &longest).map(|reply| reply.status),
        Some(200)
    );

    for bad in [
        String::new(),
        good.replace("subscribe", "unsubscribe"),
        good.replace("words", "word"),
        good.replace("words", "wordss"),
        good.replace("hub.verify_token", "hub_verify_token"),
        good.replace("1158201444", ""),
        good.replace("1158201444", &"7".repeat(129)),
        good.replace("&hub.challenge=1158201444", ""),
        good.replace("the+shop%27s%20own+words", ""),
    ] {
        let reply = handshake(&Method::GET, &bad).expect("answered");
        assert_eq!(reply.status, 403, "{bad}");
    }
}

#[test]
fn w08_no_challenge_but_a_number_is_given_back() {
    let payloads = [
        "<script>alert(1)</script>",
        "1<svg/onload=alert(1)>",
        "%3Cscript%3E",
        "1%0d%0aSet-Cookie:a=b",
        "١٢٣",
        "1 ",
        "+1",
        "-1",
        "0x10",
        "1e9",
        "１２３",
        "%00",
        "1%00",
        "javascript:1",
        "\"",
        "'1'",
        "{}",
        "1.0",
        "1,2",
        "%F0%9F%93%A6",
    ];
    for payload in payloads {
        for number in 0..10 {
            let challenge = format!("{number}{payload}");
            for challenge in [payload, &challenge] {
                let query = format!(
                    "hub.mode=subscribe&hub.verify_token=the+shop%27s+own+words&hub.challenge={challenge}"
                );
                let reply = handshake(&Method::GET, &query).expect("answered");
                assert_eq!(
                    (reply.status, reply.body.as_str()),
                    (403, "not verified"),
                    "{challenge}"
                );
            }
        }
    }
}

#[test]
fn a_body_that_is_no_delivery_is_malformed() {
    for body in [
        &b""[..],
        b"hello",
        b"[]",
        br#"["page",[]]"#,
        b"{}",
        b"null",
        br#"{"object":"page"}"#,
        br#"{"entry":[]}"#,
        br#"{"object":"page","entry":{}}"#,
        br#"{"object":7,"entry":[]}"#,
        br#"{"object":"page","entry":[]} x"#,
        br#"{"object":"page","object":"page","entry":[]}"#,
        br#"{"object":"page","entry":[],"entry":[]}"#,
    ] {
        let malformed = decode(body).expect_err("no delivery");
        assert!(
            malformed.0.starts_with("not a delivery of Meta's: "),
            "{malformed}"
        );
    }
    assert_eq!(decode(br#"{"object":"page","entry":[]}"#), Ok(Vec::new()));
}

#[test]
fn an_event_without_a_kind_and_an_entry_without_events_are_told() {
    let events = decode(br#"{"object":"page","entry":[{"id":"1029384756"},{"id":"1029384756","messaging":[{"sender":{"id":"2001"}}]}]}"#);
    let whys: Vec<String> = events
        .expect("decodes")
        .into_iter()
        .filter_map(|inbound| match inbound.event {
            Event::Ignored { why } => Some(why),
            _ => None,
        })
        .collect();
    assert_eq!(
        whys,
        ["an entry without an event", "an event without a kind"]
    );
}

/// What of a delivery came through and what was set aside.
fn counted(events: &[Inbound]) -> (usize, usize) {
    let messages = events
        .iter()
        .filter(|inbound| matches!(inbound.event, Event::Message(_)))
        .count();
    let set_aside = events
        .iter()
        .filter(|inbound| matches!(inbound.event, Event::Undecodable { .. }))
        .count();
    (messages, set_aside)
}

#[test]
fn w16_one_poisoned_event_of_a_thousand_costs_only_itself() {
    let items: Vec<String> = (0..1000)
        .map(|number| {
            let text = if number == 617 { "{}".to_owned() } else { format!("\"number {number}\"") };
            format!(r#"{{"sender":{{"id":"2001"}},"recipient":{{"id":"1029384756"}},"timestamp":1794000000000,"message":{{"mid":"m_{number}","text":{text}}}}}"#)
        })
        .collect();
    let body = format!(
        r#"{{"object":"page","entry":[{{"id":"1029384756","time":1,"messaging":[{}]}}]}}"#,
        items.join(",")
    );
    let events = decode(body.as_bytes()).expect("decodes");
    assert_eq!(counted(&events), (999, 1));
    let Event::Undecodable { raw, .. } = &events[617].event else {
        panic!("the poisoned one is set aside")
    };
    assert_eq!(raw, &items[617]);
}

#[test]
fn w11_a_key_that_comes_twice_sets_the_event_aside() {
    let good = r#"{"sender":{"id":"2001"},"recipient":{"id":"1029384756"},"timestamp":1794000000000,"message":{"mid":"m_1","text":"a","is_echo":false,"app_id":1,"reply_to":{"mid":"m_0"},"attachments":[{"type":"image","payload":{"url":"https://scontent.xx.fbcdn.net/a"}}],"quick_reply":{"payload":"P"}}}"#;
    let deliver = |item: &str| {
        decode(
            format!(r#"{{"object":"page","entry":[{{"id":"1029384756","messaging":[{item}]}}]}}"#)
                .as_bytes(),
        )
        .expect("an envelope")
    };
    assert_eq!(counted(&deliver(good)), (1, 0));
    for member in [
        r#""sender":{"id":"2001"}"#,
        r#""id":"2001""#,
        r#""recipient":{"id":"1029384756"}"#,
        r#""timestamp":1794000000000"#,
        r#""mid":"m_1""#,
        r#""text":"a""#,
        r#""is_echo":false"#,
        r#""app_id":1"#,
        r#""mid":"m_0""#,
        r#""type":"image""#,
        r#""url":"https://scontent.xx.fbcdn.net/a""#,
        r#""payload":"P""#,
        r#""quick_reply":{"payload":"P"}"#,
    ] {
        let escaped = member.replacen('"', "\"\\u00", 1);
        let first = format!("{:02x}", member.as_bytes()[1]);
        let escaped = escaped.replacen(
            &format!("\\u00{}", &member[1..2]),
            &format!("\\u00{first}"),
            1,
        );
        for second in [member, &escaped] {
            let doubled = good.replacen(member, &format!("{member},{second}"), 1);
            assert_eq!(counted(&deliver(&doubled)), (0, 1), "{doubled}");
        }
    }
    // Twice in an entry: the entry is set aside, and nobody guesses whose it was.
    let events = decode(br#"{"object":"page","entry":[{"id":"1","id":"2","messaging":[]}]}"#)
        .expect("an envelope");
    assert!(
        matches!(
            &events[..],
            [Inbound {
                account: None,
                event: Event::Undecodable { .. }
            }]
        ),
        "{events:?}"
    );
}

#[test]
fn w10_nesting_at_every_position_neither_hurts_nor_takes_others_along() {
    let good = r#"{"sender":{"id":"2001"},"recipient":{"id":"1029384756"},"timestamp":1,"message":{"mid":"m_1","text":"a"}}"#;
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    for item in [
        deep.clone(),
        format!(r#"{{"sender":{deep}}}"#),
        format!(r#"{{"sender":{{"id":{deep}}}}}"#),
        format!(r#"{{"timestamp":{deep},"message":{{"mid":"m_2","text":{deep}}}}}"#),
        format!(r#"{{"sender":{{"id":"2001"}},"message":{{"mid":"m_2","attachments":{deep}}}}}"#),
        format!(
            r#"{{"sender":{{"id":"2001"}},"message":{{"mid":"m_2","referral":{{"ads_context_data":{{"x":1,"ad_title":"a","ad_title":{deep}}}}}}}}}"#
        ),
        format!(
            r#"{{"sender":{{"id":"2001"}},"message":{{"mid":"m_2","attachments":[{{"type":"template","payload":{{"elements":{deep}}}}}]}}}}"#
        ),
    ] {
        let body = format!(
            r#"{{"object":"page","entry":[{{"id":"1029384756","messaging":[{good},{item}]}}]}}"#
        );
        let events = decode(body.as_bytes()).expect("decodes");
        // The good one stands, and the other is either shown as far as it goes or set aside.
        let (messages, set_aside) = counted(&events);
        assert!(
            matches!(&events[0].event, Event::Message(message) if message.external_id == "m_1")
        );
        assert_eq!(messages + set_aside, 2);
    }
    // Where nothing is read, nothing is wrong.
    let unknown = good.replace("\"timestamp\"", &format!("\"new\":{deep},\"timestamp\""));
    let body = format!(
        r#"{{"new":{deep},"object":"page","entry":[{{"id":"1029384756","new":{deep},"messaging":[{unknown}]}}]}}"#
    );
    assert_eq!(counted(&decode(body.as_bytes()).expect("decodes")), (1, 0));
    assert!(decode(deep.as_bytes()).is_err());
}

#[test]
fn w09_floods_of_tiny_events_are_not_built() {
    let zeros = vec!["0"; 1_000_000].join(",");
    assert!(decode(format!(r#"{{"object":"page","entry":[{zeros}]}}"#).as_bytes()).is_err());
    let events = decode(
        format!(r#"{{"object":"page","entry":[{{"id":"1","messaging":[{zeros}]}}]}}"#).as_bytes(),
    );
    assert_eq!(events.map(|events| counted(&events)), Ok((0, 1)));
}

#[test]
fn settings_that_cannot_work_are_refused() {
    for (key, bad) in [
        ("app_id", ""),
        ("app_id", "42/../1"),
        ("page_id", "my page"),
        ("page_id", "1?x"),
        ("graph_version", "25"),
        ("graph_version", "v25"),
        ("graph_version", "v25.0/me?x="),
        ("page_access_token", "two words"),
        ("page_access_token", "line\nbreak"),
    ] {
        let mut texts = SETTINGS.to_vec();
        texts.retain(|(other, _)| *other != key);
        texts.push((key, bad));
        let settings = settings_of(KIND, &texts).expect("described");
        let problem = (KIND.open)(&settings).err().expect("refused");
        assert_eq!(problem.key, key);
    }
}

#[test]
fn a_channel_is_one_page_of_one_app() {
    let channel = channel();
    assert_eq!(channel.account(), Some("1029384756"));
    let app = channel.app().expect("an app");
    assert_eq!((app.platform, app.app_id.as_str()), ("meta", "4242424242"));
    assert_eq!(channel.limits().reply_window_ms, Some(86_400_000));
    assert_eq!(channel.limits().text_chars, Some(2000));
    assert_eq!(
        channel.webhook().map(|webhook| webhook.max_body_bytes()),
        Some(4_194_304)
    );
}

/// What the health check says of a platform that answers `me` and `subscribed_apps` so.
fn findings(me: (u16, &'static str), apps: (u16, &'static str)) -> (Vec<Finding>, ScriptedHttp) {
    let platform = ScriptedHttp::answering(move |request| {
        let (status, body) = if request.uri().path().ends_with("/me") {
            me
        } else {
            apps
        };
        if status == 0 {
            Err(HttpFailure::unanswered("graph.facebook.com: timed out"))
        } else {
            Ok(json_answer(status, body))
        }
    });
    let channel = channel();
    let looked = finish(channel.health().expect("can").look(&platform)).expect("ends");
    (looked, platform)
}

const ME: (u16, &str) = (200, r#"{"id":"1029384756","name":"Butik"}"#);
const ALL_FIELDS: &str = r#"{"data":[{"id":"1","subscribed_fields":[]},{"category":"Business","id":4242424242,"name":"Desk","subscribed_fields":["messages","messaging_postbacks","message_deliveries","message_reads","message_echoes","message_reactions","message_edits","messaging_referrals","messaging_optins","messaging_optouts","messaging_account_linking","messaging_handovers","standby","messaging_policy_enforcement"]}]}"#;

#[test]
fn health_is_fine_where_token_and_subscription_are() {
    let (findings, platform) = findings(ME, (200, ALL_FIELDS));
    assert_eq!(
        findings
            .iter()
            .map(|finding| finding.standing)
            .collect::<Vec<_>>(),
        [Standing::Fine, Standing::Fine]
    );
    let calls = platform.calls();
    let proof = hmac_sha256_hex(&Secret::new(APP_SECRET), b"EAAinventedPageToken");
    assert_eq!(
        calls
            .iter()
            .map(|call| call.uri().to_string())
            .collect::<Vec<_>>(),
        [
            format!("https://graph.facebook.com/v25.0/me?fields=id,name&appsecret_proof={proof}"),
            format!(
                "https://graph.facebook.com/v25.0/1029384756/subscribed_apps?appsecret_proof={proof}"
            ),
        ]
    );
    for call in &calls {
        let bearer = &call.headers()["authorization"];
        assert_eq!(bearer.as_bytes(), b"Bearer EAAinventedPageToken");
        assert!(bearer.is_sensitive());
    }
}

#[test]
fn health_says_what_is_wrong_and_what_to_do() {
    let expired = r#"{"error":{"message":"Session has expired","type":"OAuthException","code":190,"error_subcode":463,"fbtrace_id":"A"}}"#;
    let removed =
        r#"{"error":{"message":"?","type":"OAuthException","code":190,"error_subcode":458}}"#;
    let limited = r#"{"error":{"message":"?","type":"OAuthException","code":4}}"#;
    let transient = r#"{"error":{"message":"?","code":5555,"is_transient":true}}"#;
    let permission = r#"{"error":{"message":"(#200) ?","code":200}}"#;
    let proof = r#"{"error":{"message":"Invalid appsecret_proof","code":100}}"#;
    for (me, standing, words) in [
        (
            (400, expired),
            Standing::Broken,
            "the token has expired: generate a new token",
        ),
        (
            (400, removed),
            Standing::Broken,
            "the app was removed from the Page",
        ),
        ((403, permission), Standing::Broken, "lacks a permission"),
        ((400, proof), Standing::Broken, "app_secret"),
        (
            (200, r#"{"id":"555","name":"Other"}"#),
            Standing::Broken,
            "belongs to 555, not to the Page 1029384756",
        ),
        ((400, limited), Standing::Doubtful, "which passes"),
        ((500, transient), Standing::Doubtful, "which passes"),
        ((502, "<html>"), Standing::Doubtful, "Meta answered 502"),
        ((0, ""), Standing::Doubtful, "graph.facebook.com: timed out"),
    ] {
        let (findings, platform) = findings(me, (200, ALL_FIELDS));
        let [token] = findings.as_slice() else {
            panic!("one finding, not {findings:?}")
        };
        assert_eq!(
            (token.what, token.standing),
            ("token", standing),
            "{}",
            token.say
        );
        assert!(token.say.contains(words), "{}", token.say);
        assert_eq!(
            platform.calls().len(),
            1,
            "nothing more is asked with a token that does not work"
        );
    }
    let without_echoes =
        r#"{"data":[{"id":"4242424242","subscribed_fields":["messages","messaging_postbacks"]}]}"#;
    let without_messages = r#"{"data":[{"id":"4242424242","subscribed_fields":["feed"]}]}"#;
    for (apps, standing, words) in [
        ((200, r#"{"data":[]}"#), Standing::Broken, "nothing arrives"),
        (
            (200, without_messages),
            Standing::Broken,
            "not subscribed: messages, messaging_postbacks",
        ),
        (
            (200, without_echoes),
            Standing::Doubtful,
            "not subscribed: message_deliveries, message_reads, message_echoes",
        ),
        ((503, ""), Standing::Doubtful, "could not be looked at"),
        ((0, ""), Standing::Doubtful, "could not be looked at"),
    ] {
        let (findings, _) = findings(ME, apps);
        let [_, subscription] = findings.as_slice() else {
            panic!("two findings, not {findings:?}")
        };
        assert_eq!(
            (subscription.what, subscription.standing),
            ("subscription", standing),
            "{}",
            subscription.say
        );
        assert!(subscription.say.contains(words), "{}", subscription.say);
    }
}
