//! What Meta's answer to a send means. Only Meta's own error says that a message was not sent; whatever else comes back
//! may come from a gateway on the way, behind which the message went out.

use std::time::Duration;

use bytes::Bytes;
use deskbell_sdk::ExternalId;
use deskbell_sdk::client::HttpFailure;
use deskbell_sdk::retry_after::{LONGEST_WAIT, retry_after};
use deskbell_sdk::send::{SendError, Sent};
use http::{HeaderMap, Response, StatusCode};
use serde::Deserialize;

use super::{minutes, refused};
use crate::graph::GraphError;

/// How busy a business is at Meta: per business or account, a list of its use cases.
const USAGE_HEADER: &str = "x-business-use-case-usage";

type Answer = Result<Response<Bytes>, HttpFailure>;

#[derive(Deserialize)]
struct Accepted {
    message_id: ExternalId,
}

#[derive(Deserialize)]
struct Usage {
    #[serde(default)]
    estimated_time_to_regain_access: u64,
}

/// The answer to a message.
pub(super) fn of_message(answer: Answer) -> Result<Sent, SendError> {
    let answer = own_answer(answer)?;
    let accepted = serde_json::from_slice::<Accepted>(answer.body())
        .ok()
        .map(|accepted| accepted.message_id.into_string())
        .filter(|id| answer.status().is_success() && is_id(id));
    match accepted {
        Some(id) => Ok(Sent {
            external_id: Some(id),
        }),
        None => Err(unknown(format!(
            "what came back ({}) is not Meta's own answer",
            answer.status().as_u16()
        ))),
    }
}

/// The answer to an action, which has no id.
pub(super) fn of_action(answer: Answer) -> Result<(), SendError> {
    let answer = own_answer(answer)?;
    let status = answer.status();
    if status.is_success() {
        Ok(())
    } else {
        Err(unknown(format!(
            "what came back ({}) is not Meta's own answer",
            status.as_u16()
        )))
    }
}

/// Whether a text can be a message's id: Meta's are of visible ASCII.
fn is_id(id: &str) -> bool {
    (1..=ExternalId::MAX_BYTES).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The answer, unless it is an error of Meta's or none came.
fn own_answer(answer: Answer) -> Result<Response<Bytes>, SendError> {
    let answer = answer.map_err(|failure| {
        if failure.may_have_arrived {
            unknown(failure.say)
        } else {
            SendError::Retry {
                after: None,
                say: format!("{}; it is tried again", failure.say),
            }
        }
    })?;
    let status = answer.status();
    match GraphError::of(status, answer.body()) {
        Some(error) => Err(meaning(error, status, answer.headers())),
        // Whoever says so has not passed it on, be it Meta or a gateway (RFC 6585, 4).
        None if status == StatusCode::TOO_MANY_REQUESTS => {
            Err(too_many(answer.headers(), "too many messages at once"))
        }
        None => Ok(answer),
    }
}

fn unknown(why: String) -> SendError {
    SendError::Unknown {
        say: format!("{why}: the message may or may not have been sent"),
    }
}

fn too_many(headers: &HeaderMap, what: &str) -> SendError {
    SendError::Retry {
        after: retry_after(headers).or_else(|| until_access(headers)),
        say: format!("Meta takes no more for now ({what}); it is tried again"),
    }
}

/// How long Meta says that a business stays shut out, at most an hour; `None` where it does not.
pub(crate) fn until_access(headers: &HeaderMap) -> Option<Duration> {
    let usage = headers.get(USAGE_HEADER)?.as_bytes();
    let usage: std::collections::BTreeMap<String, Vec<Usage>> =
        serde_json::from_slice(usage).ok()?;
    let longest = usage
        .values()
        .flatten()
        .map(|usage| usage.estimated_time_to_regain_access)
        .max()?;
    (longest > 0).then(|| minutes(longest).min(LONGEST_WAIT))
}

/// What an error of Meta's means (Messenger platform, error codes).
fn meaning(error: GraphError, status: StatusCode, headers: &HeaderMap) -> SendError {
    let number = error.number();
    if error.is_rate_limit() || status == StatusCode::TOO_MANY_REQUESTS {
        return too_many(headers, &format!("error {number}"));
    }
    if error.passes() {
        return SendError::Retry {
            after: retry_after(headers),
            say: format!("Meta has a passing trouble (error {number}); it is tried again"),
        };
    }
    if let Some(what) = error.of_token().or_else(|| of_permission(error)) {
        return SendError::Credentials {
            say: format!("{what} (Meta's error {number})"),
        };
    }
    let say = for_the_agent(error);
    refused(&number, format!("{say} (Meta's error {number})"))
}

/// What to do where the token or the app may not send at all. The same codes with a subcode speak of one message.
const fn of_permission(error: GraphError) -> Option<&'static str> {
    Some(match (error.code, error.subcode) {
        (3, _) => {
            "the app may not use this part of Meta's API: it needs Advanced Access to pages_messaging (App Review)"
        }
        (33 | 803, _) | (100, Some(33)) => {
            "the token does not see the Page: check page_id, or generate the Page's token anew under Messenger > API \
             settings and put it into page_access_token"
        }
        (10 | 200..=229 | 231..=299, None) => {
            "the token lacks a permission (pages_messaging): generate a new one under Messenger > API settings and put \
             it into page_access_token"
        }
        _ => return None,
    })
}

/// What a refusal means and what can still be done, for the agent who wrote the message.
const fn for_the_agent(error: GraphError) -> &'static str {
    match (error.code, error.subcode) {
        (10, Some(2_018_278 | 2_534_022 | 2_018_065)) => {
            "The time in which Facebook lets the Page answer is over. It opens again when the customer writes; until then \
             use another way, such as mail or telephone."
        }
        (551, _) | (10, Some(2_018_108)) | (200, Some(1_545_041)) => {
            "This person cannot be reached on Messenger now: the Page was blocked, or the account is off. Use another \
             way."
        }
        (368 | 2022, _) | (10, Some(1_893_063 | 2_018_336)) => {
            "Facebook has restricted the Page or the app, so that nothing goes out. The reason stands in the Page's \
             Support Inbox; try again when the restriction is lifted."
        }
        (100, Some(2_018_001)) => {
            "Facebook does not find this person among the Page's contacts; the account may be gone. Use another way."
        }
        (100, Some(2_018_109)) => {
            "The file is too large for Messenger. Send a smaller one, or a link to it."
        }
        (100, Some(2_018_008 | 2_018_047 | 2_018_074 | 2_018_294)) => {
            "Facebook could not take the file. Save it in another format (JPEG, PNG, MP4, PDF) and send it again, or send \
             a link to it."
        }
        (100, Some(2_018_164)) => {
            "Facebook does not let this app answer later than 24 hours after the customer's last message. Wait until the \
             customer writes, or use another way."
        }
        (2_018_300 | 2_534_037, _) | (_, Some(2_018_300 | 2_534_037)) => {
            "Another app holds this conversation at the moment, such as a bot or the Page's inbox. Take it over there, \
             or answer there."
        }
        (200, Some(2_018_028)) => {
            "The Meta app may write only to people who have a role in it, since it has no Advanced Access yet. Answer in \
             the Page's inbox until the app is approved."
        }
        (230 | 2_018_247, _) | (_, Some(2_018_247)) => {
            "This person has not allowed the Page to write. It works again when the person writes to the Page."
        }
        (9_000_001, _) | (_, Some(9_000_001)) => {
            "The message that is answered was deleted. Send the reply without the quotation."
        }
        (506, _) => {
            "Facebook takes this for a repetition of the last message. Change its words and send it again."
        }
        (1_609_005, _) => {
            "Facebook could not open the link in the message. Check it, or send the message without it."
        }
        (100, _) => {
            "Facebook does not accept this message as it is. Change it and send it again; if none goes out, the \
             operator should check the channel's app_secret."
        }
        _ => "Facebook refused this message. Answer in the Page's inbox, or use another way.",
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn answered(
        status: u16,
        body: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Sent, SendError> {
        let mut answer = Response::new(Bytes::from(body.to_owned()));
        *answer.status_mut() = StatusCode::from_u16(status).expect("a status");
        for (name, value) in headers {
            let value = HeaderValue::from_str(value).expect("a header");
            answer.headers_mut().insert(*name, value);
        }
        of_message(Ok(answer))
    }

    /// An error of Meta's, with a message in somebody's language.
    fn error(code: i64, subcode: Option<i64>) -> String {
        let subcode = subcode.map_or_else(String::new, |subcode| {
            format!(r#""error_subcode":{subcode},"#)
        });
        format!(
            r##"{{"error":{{"message":"(#{code}) LOKALISIERT","type":"OAuthException","code":{code},{subcode}"error_user_msg":"LOKALISIERT","fbtrace_id":"AbC"}}}}"##
        )
    }

    #[test]
    fn an_accepted_message_has_its_id() {
        let sent = Ok(Sent {
            external_id: Some("m_invented-1".to_owned()),
        });
        let body = r#"{"recipient_id":"2001","message_id":"m_invented-1","attachment_id":"7"}"#;
        assert_eq!(answered(200, body, &[]), sent);
    }

    #[test]
    fn f14_only_metas_own_error_says_that_it_was_not_sent() {
        for (status, body) in [
            (200, ""),
            (200, "{}"),
            (200, "null"),
            (200, "<html>ok</html>"),
            (200, r#"{"recipient_id":"2001"}"#),
            (200, r#"{"recipient_id":"2001","message_id":""}"#),
            (200, r#"{"recipient_id":"2001","message_id":null}"#),
            (200, r#"{"recipient_id":"2001","message_id":"a b"}"#),
            (200, r#"{"recipient_id":"2001","message_id":"m_inv"#),
            (204, ""),
            (301, ""),
            (307, r#"{"recipient_id":"2001","message_id":"m_1"}"#),
            (400, ""),
            (400, "<html>Bad request</html>"),
            (400, r#"{"error":"bad"}"#),
            (401, "{}"),
            (403, "Forbidden"),
            (404, "<html>"),
            (408, ""),
            (413, "<html>Request entity too large</html>"),
            (500, ""),
            (500, r#"{"error":{"code":500,"message":"Internal"}}"#),
            (502, "<html>Bad gateway</html>"),
            (502, r#"{"recipient_id":"2001","message_id":"m_1"}"#),
            (
                503,
                r#"{"error":{"code":503,"message":"busy","status":"UNAVAILABLE"}}"#,
            ),
            (504, ""),
            (599, "\u{0}"),
        ] {
            let answer = answered(status, body, &[("retry-after", "5")]);
            assert!(
                matches!(answer, Err(SendError::Unknown { .. })),
                "{status} {body}: {answer:?}"
            );
        }
    }

    #[test]
    fn f13_a_call_that_never_left_is_tried_again_and_one_that_may_have_arrived_is_not() {
        let unsent = of_message(Err(HttpFailure::not_sent(
            "graph.example cannot be reached",
        )));
        assert!(
            matches!(unsent, Err(SendError::Retry { after: None, .. })),
            "{unsent:?}"
        );
        let lost = of_message(Err(HttpFailure::unanswered(
            "graph.example did not answer in time",
        )));
        assert_eq!(
            lost,
            Err(SendError::Unknown {
                say: "graph.example did not answer in time: the message may or may not have been sent".to_owned()
            })
        );
    }

    #[test]
    fn f16_limits_and_outages_are_tried_again_when_meta_says() {
        let after = |status, body: &str, headers: &[(&'static str, &str)]| match answered(
            status, body, headers,
        ) {
            Err(SendError::Retry { after, .. }) => after.map(|after| after.as_secs()),
            other => panic!("{status} {body}: {other:?}"),
        };
        for (code, subcode) in [
            (1, None),
            (1, Some(99)),
            (1, Some(1_357_046)),
            (2, None),
            (2, Some(2_018_344)),
            (4, None),
            (4, Some(2_018_354)),
            (17, None),
            (32, None),
            (341, None),
            (613, None),
            (613, Some(1996)),
            (613, Some(2_018_338)),
            (613, Some(2_534_040)),
            (80_006, None),
        ] {
            for status in [200, 400, 429, 500] {
                let body = error(code, subcode);
                assert_eq!(after(status, &body, &[]), None);
                assert_eq!(
                    after(status, &body, &[("retry-after", "7")]),
                    Some(7),
                    "{code}"
                );
                assert_eq!(after(status, &body, &[("retry-after", "garbage")]), None);
            }
        }
        let transient = error(99_999, None).replace(r#""code""#, r#""is_transient":true,"code""#);
        assert_eq!(after(500, &transient, &[]), None);
        assert_eq!(
            after(429, "<html>slow down</html>", &[("retry-after", "3")]),
            Some(3)
        );
        assert_eq!(after(429, "", &[("retry-after", "999999")]), Some(3600));
        assert_eq!(
            after(429, &error(10, None), &[]),
            None,
            "whatever code it comes with"
        );

        let usage = r#"{"1029":[{"type":"messenger","call_count":101,"estimated_time_to_regain_access":9}],"7":[{"type":"pages"},{"estimated_time_to_regain_access":2}]}"#;
        let limit = error(80_006, None);
        assert_eq!(after(400, &limit, &[(USAGE_HEADER, usage)]), Some(540));
        assert_eq!(
            after(400, &limit, &[(USAGE_HEADER, usage), ("retry-after", "8")]),
            Some(8)
        );
        for (usage, wait) in [
            (r#"{"1":[{"estimated_time_to_regain_access":0}]}"#, None),
            (
                r#"{"1":[{"estimated_time_to_regain_access":18446744073709551615}]}"#,
                Some(3600),
            ),
            (r#"{"1":[{"estimated_time_to_regain_access":-3}]}"#, None),
            ("{}", None),
            ("[", None),
        ] {
            assert_eq!(
                after(400, &limit, &[(USAGE_HEADER, usage)]),
                wait,
                "{usage}"
            );
        }
    }

    #[test]
    fn f17_what_a_new_token_mends_stops_the_channel() {
        for (code, subcode, words) in [
            (190, None, "generate a new token"),
            (190, Some(458), "the app was removed from the Page"),
            (190, Some(460), "changed the password"),
            (190, Some(463), "the token has expired"),
            (190, Some(492), "has no role at the Page"),
            (102, None, "generate a new token"),
            (3, None, "Advanced Access"),
            (10, None, "lacks a permission"),
            (200, None, "lacks a permission"),
            (299, None, "lacks a permission"),
            (33, None, "does not see the Page"),
            (100, Some(33), "does not see the Page"),
            (803, None, "does not see the Page"),
        ] {
            let Err(SendError::Credentials { say }) = answered(400, &error(code, subcode), &[])
            else {
                panic!("{code}/{subcode:?} is about credentials");
            };
            assert!(say.contains(words), "{say}");
            assert!(!say.contains("LOKALISIERT"), "{say}");
        }
    }

    #[test]
    fn refusals_say_what_they_mean_in_our_own_words() {
        for (code, subcode, words) in [
            (
                10,
                Some(2_018_278),
                "The time in which Facebook lets the Page answer is over",
            ),
            (10, Some(2_534_022), "is over"),
            (10, Some(2_018_065), "is over"),
            (10, Some(2_018_108), "cannot be reached"),
            (551, None, "cannot be reached"),
            (551, Some(1_545_041), "cannot be reached"),
            (200, Some(1_545_041), "cannot be reached"),
            (10, Some(1_893_063), "restricted"),
            (10, Some(2_018_336), "restricted"),
            (368, None, "restricted"),
            (2022, None, "restricted"),
            (100, Some(2_018_001), "does not find this person"),
            (100, Some(2_018_008), "could not take the file"),
            (100, Some(2_018_047), "could not take the file"),
            (100, Some(2_018_074), "could not take the file"),
            (100, Some(2_018_294), "could not take the file"),
            (100, Some(2_018_109), "too large"),
            (100, Some(2_018_014), "does not accept this message"),
            (100, Some(2_018_164), "24 hours"),
            (2_018_300, None, "Another app holds"),
            (10, Some(2_534_037), "Another app holds"),
            (200, Some(2_018_028), "Advanced Access"),
            (230, None, "has not allowed"),
            (10, Some(2_018_247), "has not allowed"),
            (9_000_001, None, "was deleted"),
            (506, None, "repetition"),
            (1_609_005, None, "link"),
            (100, None, "app_secret"),
            (10, Some(7_777_777), "Facebook refused"),
            (-5, Some(-7), "Facebook refused"),
        ] {
            let Err(SendError::Refused { code: number, say }) =
                answered(400, &error(code, subcode), &[])
            else {
                panic!("{code}/{subcode:?} is final");
            };
            let expected = subcode.map_or(code.to_string(), |subcode| format!("{code}/{subcode}"));
            assert_eq!(number, expected);
            assert!(say.contains(words), "{say}");
            assert!(
                say.ends_with(&format!("(Meta's error {expected})")),
                "{say}"
            );
            assert!(!say.contains("LOKALISIERT"), "{say}");
        }
    }

    #[test]
    fn an_action_needs_no_id() {
        let answer = |status: u16, body: &'static str| {
            let mut answer = Response::new(Bytes::from_static(body.as_bytes()));
            *answer.status_mut() = StatusCode::from_u16(status).expect("a status");
            of_action(Ok(answer))
        };
        assert_eq!(answer(200, r#"{"recipient_id":"2001"}"#), Ok(()));
        assert!(matches!(
            answer(502, "<html>"),
            Err(SendError::Unknown { .. })
        ));
        let window = r#"{"error":{"message":"x","type":"T","code":10,"error_subcode":2018278}}"#;
        assert!(matches!(
            answer(400, window),
            Err(SendError::Refused { .. })
        ));
    }
}
