use serde_json::json;

use super::*;

fn event<'a>(kind: &'a str, data: &'a Value, message: Option<&'a Value>) -> Event<'a> {
    Event {
        kind,
        at: Time::from_millis(0),
        data,
        message,
        desk: "https://desk.example",
    }
}

fn message() -> Value {
    json!({ "author": { "name": "Jana & <Co>" }, "channel_id": "shop-page", "conversation_id": "cnv_1",
        "text": "Where <!channel> is it & why?" })
}

fn answer(status: u16, body: &str, after: Option<u32>) -> PostAnswer {
    let mut headers = HeaderMap::new();
    if let Some(after) = after {
        headers.insert("retry-after", after.into());
    }
    PostAnswer {
        status: http::StatusCode::from_u16(status).expect("a status"),
        headers,
        body: body.as_bytes().to_vec(),
    }
}

#[test]
fn people_read_who_wrote_where_and_what_and_where_to_see_it() {
    let ring =
        json!({ "ring": { "step": 4, "channel_id": "shop-page", "conversation_id": "cnv_1" } });
    let rung: Value = serde_json::from_str(&of(HookKind::Ntfy).render(&event(
        "bell.rung",
        &ring,
        Some(&message()),
    )))
    .expect("JSON");
    assert_eq!(rung["title"], "Jana & <Co> still waits in shop-page");
    assert_eq!(rung["message"], "Where <!channel> is it & why?");
    assert_eq!(rung["click"], "https://desk.example/desk/stream/cnv_1");
    assert_eq!(rung["priority"], 5);
    let data = json!({ "message": { "attachments": [{ "kind": "image" }], "channel_id": "x", "author": { "name": null } } });
    let told = of(HookKind::Ntfy).render(&event("message.created", &data, None));
    assert!(
        told.contains("Somebody in x") && told.contains("image"),
        "{told}"
    );
    let long = json!({ "message": { "text": "ž".repeat(50_000), "author": { "name": "ž".repeat(5_000) } } });
    assert!(
        of(HookKind::Ntfy)
            .render(&event("message.created", &long, None))
            .len()
            < 4_096
    );
}

#[test]
fn slack_reads_no_mark_up_in_a_customers_words() {
    let data = json!({ "message": message() });
    let told = of(HookKind::Slack).render(&event("message.created", &data, None));
    let told: Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!(
        told["text"],
        "Jana &amp; &lt;Co&gt; in shop-page: Where &lt;!channel&gt; is it &amp; why?"
    );
    assert_eq!(told["blocks"][0]["text"]["type"], "plain_text");
}

#[test]
fn what_is_told_stays_within_what_each_takes() {
    let name = "*".repeat(5_000);
    let data = json!({ "message": { "text": "[".repeat(50_000), "channel_id": "_".repeat(500), "author": { "name": name } } });
    let told = |kind: HookKind| -> Value {
        let told = of(kind).render(&event("message.created", &data, None));
        serde_json::from_str(&told).expect("JSON")
    };
    let chars = |value: &Value| value.as_str().expect("a text").chars().count();
    let pushover = told(HookKind::Pushover);
    assert!(chars(&pushover["title"]) <= 250 && chars(&pushover["message"]) <= 1_024);
    assert!(chars(&told(HookKind::Discord)["content"]) <= 2_000);
    assert!(told(HookKind::Teams).to_string().len() <= 28 * 1024);
}

#[test]
fn an_ntfy_address_is_that_of_a_topic() {
    let check = |text: &str| of(HookKind::Ntfy).check(&Url::parse(text).expect("an address"));
    for good in [
        "https://ntfy.sh/a-topic_1",
        "https://push.example/below/topic",
    ] {
        assert_eq!(check(good), Ok(()), "{good}");
    }
    for bad in [
        "https://ntfy.sh/",
        "https://ntfy.sh/a b",
        "https://ntfy.sh/x?auth=1",
    ] {
        assert!(check(bad).is_err(), "{bad}");
    }
}

#[test]
fn answers_are_told_apart() {
    let is_off = |verdict: Verdict| matches!(verdict, Verdict::Off(_));
    let trouble = |after_ms| Verdict::Trouble { after_ms };
    let ntfy = |status, body| of(HookKind::Ntfy).judge(&answer(status, body, None));
    assert_eq!(ntfy(200, "{}"), Verdict::Taken);
    assert_eq!(ntfy(429, "{\"code\":42901}"), trouble(None));
    assert_eq!(
        ntfy(429, "{\"code\":42908}"),
        trouble(Some(6 * 60 * 60 * 1000))
    );
    assert_eq!(ntfy(500, ""), trouble(None));
    assert_eq!(ntfy(413, ""), Verdict::Never);
    assert!(is_off(ntfy(401, "")) && is_off(ntfy(403, "{\"code\":40301}")));
    let slack = |status, body| of(HookKind::Slack).judge(&answer(status, body, Some(3)));
    assert_eq!(slack(200, "ok"), Verdict::Taken);
    assert_eq!(slack(429, ""), trouble(Some(3_000)));
    assert_eq!(slack(500, "rollup_error"), trouble(Some(3_000)));
    assert_eq!(slack(400, "invalid_payload"), Verdict::Never);
    for (status, why) in [
        (403, "invalid_token"),
        (404, "no_service"),
        (410, "channel_is_archived"),
    ] {
        let verdict = slack(status, why);
        assert!(
            matches!(&verdict, Verdict::Off(said) if said.contains(why)),
            "{verdict:?}"
        );
    }
    let pushover = |status, body| of(HookKind::Pushover).judge(&answer(status, body, None));
    assert_eq!(pushover(200, "{\"status\":1}"), Verdict::Taken);
    assert_eq!(
        pushover(503, ""),
        trouble(Some(5_000)),
        "not sooner than that"
    );
    assert_eq!(pushover(429, ""), trouble(Some(6 * 60 * 60 * 1000)));
    assert_eq!(pushover(400, "{\"message\":\"invalid\"}"), Verdict::Never);
    assert!(is_off(pushover(400, "{\"token\":\"invalid\"}")));
    let discord = |status, body| of(HookKind::Discord).judge(&answer(status, body, Some(9)));
    assert_eq!(
        discord(429, "{\"retry_after\":0.75}"),
        trouble(Some(751)),
        "by the fraction of a second"
    );
    for strange in ["{\"retry_after\":-1}", "{\"retry_after\":1e300}", "<html>"] {
        assert_eq!(discord(429, strange), trouble(Some(9_000)), "{strange}");
    }
    assert!(is_off(discord(400, "{\"code\":10015}")));
    let teams = |status| of(HookKind::Teams).judge(&answer(status, "", None));
    assert_eq!((teams(202), teams(400)), (Verdict::Taken, Verdict::Never));
    let gotify = |status| of(HookKind::Gotify).judge(&answer(status, "", None));
    assert_eq!((gotify(200), gotify(502)), (Verdict::Taken, trouble(None)));
    let webhook = |status| of(HookKind::Webhook).judge(&answer(status, "", None));
    assert_eq!(webhook(204), Verdict::Taken);
    assert_eq!(webhook(404), Verdict::Refused);
    assert_eq!(webhook(502), trouble(None));
    assert!(is_off(webhook(410)));
}

#[test]
fn an_alarm_says_what_is_wrong() {
    let ring = json!({ "ring": { "step": 1, "conversation_id": null, "channel_id": null, "kind": "disk",
        "title": "The disk is nearly full", "detail": "2 % are free." } });
    let told = of(HookKind::Ntfy).render(&event("bell.rung", &ring, None));
    let told: Value = serde_json::from_str(&told).expect("JSON");
    assert_eq!(told["title"], "The disk is nearly full");
    assert_eq!(told["message"], "2 % are free.");
    assert_eq!(told["click"], "https://desk.example");
}
