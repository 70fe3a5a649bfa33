//! Every route of the document × everybody who may call × things in the own channel, in another's, and nowhere: in the
//! path, in the query and in the body (T01, T03, T05, T07).

use axum::body::Body;
use axum::http::{Method, Request, header};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::rights::{Needs, Route, routes};
use crate::api::testing::people::Browser;
use crate::api::testing::{Answer, As, Desk, PAGE, SHOP, desk};
use crate::desk::people::ChangeUser;
use crate::store::entry::{Right, Role};
use crate::store::record::ChannelNo;

/// Somebody who calls.
struct Caller {
    name: &'static str,
    by: By,
    /// What they may do; `None`: they are nobody.
    right: Option<Right>,
    /// Whether they see the channels `shop` and `page`.
    sees: [bool; 2],
}

/// By what somebody calls.
enum By {
    Browser(Browser),
    Token(As),
}

impl Caller {
    fn may(&self, needs: Needs) -> bool {
        match needs {
            Needs::Nothing => true,
            Needs::SignedIn => self.right.is_some(),
            Needs::Right(wanted) => self.right.is_some_and(|right| right >= wanted),
        }
    }

    async fn send(&self, desk: &Desk, method: &Method, path: &str, body: Option<&str>) -> Answer {
        let request = self.request(method, path);
        let request = match body {
            Some(body) => request
                .header(header::CONTENT_TYPE, "application/json")
                .body(Body::from(body.to_owned())),
            None => request.body(Body::empty()),
        };
        let who = match self.by {
            By::Browser(_) => As::Nobody,
            By::Token(who) => who,
        };
        desk.send(who, request.expect("a request")).await
    }

    fn request(&self, method: &Method, path: &str) -> axum::http::request::Builder {
        match &self.by {
            By::Browser(browser) => browser.request(method.clone(), path),
            By::Token(who) => {
                let request = Request::builder().method(method.clone()).uri(path);
                match who.token() {
                    Some(token) => request.header("authorization", format!("Bearer {token}")),
                    None => request,
                }
            }
        }
    }
}

async fn callers(desk: &Desk) -> Vec<Caller> {
    let people: [(_, Role, Option<&[&str]>, _, _); 8] = [
        ("admin", Role::Admin, None, Right::Admin, [true, true]),
        (
            "agent of all",
            Role::Agent,
            None,
            Right::Write,
            [true, true],
        ),
        (
            "agent of shop",
            Role::Agent,
            Some(&["shop"]),
            Right::Write,
            [true, false],
        ),
        (
            "agent of page",
            Role::Agent,
            Some(&["page"]),
            Right::Write,
            [false, true],
        ),
        (
            "agent of nothing",
            Role::Agent,
            Some(&[]),
            Right::Write,
            [false, false],
        ),
        (
            "viewer of all",
            Role::Viewer,
            None,
            Right::Read,
            [true, true],
        ),
        (
            "viewer of shop",
            Role::Viewer,
            Some(&["shop"]),
            Right::Read,
            [true, false],
        ),
        (
            "viewer of page",
            Role::Viewer,
            Some(&["page"]),
            Right::Read,
            [false, true],
        ),
    ];
    let mut callers = Vec::new();
    for (name, role, channels, right, sees) in people {
        let email = format!("{}@staff.example", name.replace(' ', "-"));
        let (_, browser) = desk.person(&email, role, channels).await;
        let (by, right) = (By::Browser(browser), Some(right));
        callers.push(Caller {
            name,
            by,
            right,
            sees,
        });
    }
    let (id, browser) = desk
        .person("disabled@staff.example", Role::Admin, None)
        .await;
    let disabled = ChangeUser {
        disabled: Some(true),
        ..ChangeUser::of(id)
    };
    let changed = desk.app.writer.write(disabled).await.expect("written");
    changed.expect("there is another administrator");
    let nobody = |name, by| Caller {
        name,
        by,
        right: None,
        sees: [false, false],
    };
    callers.push(nobody("disabled", By::Browser(browser)));
    callers.push(nobody("nobody", By::Token(As::Nobody)));
    let forged = Browser::new(250);
    forged.set_cookie("__Host-deskbell", "canary-forged-cookie");
    callers.push(nobody("forged", By::Browser(forged)));
    let tokens = [
        ("token of page", As::PageReader, Right::Read, [false, true]),
        ("token of shop", As::Reader, Right::Read, [true, false]),
        (
            "writing token of shop",
            As::Writer,
            Right::Write,
            [true, false],
        ),
        ("bootstrap", As::Admin, Right::Admin, [true, true]),
        ("set-up session", As::Session, Right::Admin, [true, true]),
    ];
    for (name, who, right, sees) in tokens {
        let (by, right) = (By::Token(who), Some(right));
        callers.push(Caller {
            name,
            by,
            right,
            sees,
        });
    }
    callers
}

/// Things in a channel, whose words and ids are seen by nobody else.
pub(super) struct Things {
    channel: &'static str,
    canary: &'static str,
    conversation: String,
    message: String,
    contact: String,
    attachment: String,
    ring: String,
}

pub(super) async fn things(
    desk: &Desk,
    no: ChannelNo,
    channel: &'static str,
    canary: &'static str,
) -> Things {
    let (conversation, message) = desk.arrive(no, canary, canary).await;
    let conversation = conversation.to_string();
    let path = format!("/api/v1/conversations/{conversation}");
    let contact = desk.found(As::Admin, &path).await["contact"]["id"].clone();
    let attachment = desk
        .uploaded(As::Admin, &format!("{canary}.txt"), canary.as_bytes())
        .await;
    let note = json!({ "text": canary, "private": true, "attachment_ids": [attachment] });
    let noted = desk
        .json(As::Admin, Method::POST, &format!("{path}/messages"), &note)
        .await;
    assert!(noted.status.is_success(), "{}", noted.text());
    let ring = desk.ring_of(&conversation);
    Things {
        channel,
        canary,
        ring,
        conversation,
        message: message.to_string(),
        contact: contact.as_str().expect("an id").to_owned(),
        attachment,
    }
}

impl Things {
    /// The ids and words that nobody may see who does not see the channel.
    fn hidden(&self) -> [&str; 6] {
        [
            self.canary,
            &self.conversation,
            &self.message,
            &self.contact,
            &self.attachment,
            &self.ring,
        ]
    }
}

/// Things that are nowhere.
fn nowhere() -> Things {
    Things {
        channel: "nowhere",
        canary: "canary-nowhere",
        conversation: "cnv_0000000000001".to_owned(),
        message: "msg_0000000000001".to_owned(),
        contact: "cus_0000000000001".to_owned(),
        attachment: "att_0000000000001".to_owned(),
        ring: "rng_0000000000001".to_owned(),
    }
}

/// What stands for a path's `{…}`; `None` where it is nothing of a channel.
pub(super) fn path_of(route: &Route, things: &Things) -> String {
    let id = match route.tag.as_str() {
        "messages" if route.path.starts_with("/api/v1/messages/") => &things.message,
        "conversations" | "messages" => &things.conversation,
        "contacts" => &things.contact,
        "attachments" => &things.attachment,
        "bell" => &things.ring,
        "channels" | "replay" => things.channel,
        _ => "nothing",
    };
    let (before, rest) = route.path.split_once('{').unwrap_or((&route.path, "}"));
    let (_, after) = rest.split_once('}').expect("its end");
    format!(
        "{before}{}{after}",
        if before.len() == route.path.len() {
            ""
        } else {
            id
        }
    )
}

/// What is checked of every answer.
struct Checks<'a> {
    desk: &'a Desk,
    all: [&'a Things; 2],
    count: usize,
}

impl Checks<'_> {
    /// Nothing of a channel that the caller does not see stands in an answer.
    fn hides(&mut self, caller: &Caller, what: &str, text: &str) {
        for (things, sees) in self.all.iter().zip(caller.sees) {
            if sees {
                continue;
            }
            for hidden in things.hidden() {
                assert!(
                    !text.contains(hidden),
                    "{}: {what} shows {hidden}: {text}",
                    caller.name
                );
            }
        }
        self.count += 1;
    }

    async fn get(&mut self, caller: &Caller, path: &str, wanted: u16) -> Answer {
        let answer = caller.send(self.desk, &Method::GET, path, None).await;
        assert_eq!(
            answer.status.as_u16(),
            wanted,
            "{}: {path}: {}",
            caller.name,
            answer.text()
        );
        if wanted >= 400 {
            answer.problem(wanted);
        }
        self.hides(caller, path, &answer.text());
        answer
    }
}

/// What a read is answered, where it names nothing of a channel that is hidden.
fn of_a_read(route: &Route, caller: &Caller) -> u16 {
    if !caller.may(route.needs()) {
        return if caller.right.is_none() { 401 } else { 403 };
    }
    // The engine of these tests has no files to give.
    if route.path == "/api/v1/backup" {
        503
    } else {
        200
    }
}

#[tokio::test]
async fn t01_t03_t05_t07_every_route_by_everybody_with_things_of_every_channel() {
    let desk = desk().await;
    let shop = things(&desk, SHOP, "shop", "canary-of-the-shop").await;
    let page = things(&desk, PAGE, "page", "canary-of-the-page").await;
    let nowhere = nowhere();
    let callers = callers(&desk).await;
    let mut checks = Checks {
        desk: &desk,
        all: [&shop, &page],
        count: 0,
    };
    let routes = routes();
    assert!(routes.len() >= 55 && callers.len() >= 14);
    for caller in &callers {
        for route in &routes {
            if route.tag == "events" {
                stream(&mut checks, caller, route).await;
            } else if route.method == Method::GET {
                reads(&mut checks, caller, route, [&shop, &page, &nowhere]).await;
            } else {
                changes(&mut checks, caller, route, [&shop, &page, &nowhere]).await;
            }
        }
        queries(&mut checks, caller, [&shop, &page, &nowhere]).await;
        bodies(&mut checks, caller, [&shop, &page, &nowhere]).await;
    }
    assert!(checks.count >= 5_000, "{}", checks.count);
    // Nothing of all this has changed anything.
    for things in [&shop, &page] {
        let path = format!("/api/v1/conversations/{}", things.conversation);
        let seen = desk.found(As::Admin, &path).await;
        assert_eq!(
            (&seen["status"], &seen["message_count"]),
            (&json!("open"), &json!(1))
        );
        assert_eq!(
            (&seen["assignee_id"], &seen["labels"]),
            (&Value::Null, &json!([]))
        );
    }
}

/// A stream has no end: only its beginning is looked at.
async fn stream(checks: &mut Checks<'_>, caller: &Caller, route: &Route) {
    if matches!(caller.by, By::Token(As::Session)) {
        return;
    }
    let request = caller
        .request(&Method::GET, &route.path)
        .body(Body::empty());
    let answer = checks
        .desk
        .router
        .clone()
        .oneshot(request.expect("a request"))
        .await;
    let status = answer.expect("an answer").status().as_u16();
    assert_eq!(status, of_a_read(route, caller), "{}", caller.name);
    checks.count += 1;
}

async fn reads(checks: &mut Checks<'_>, caller: &Caller, route: &Route, all: [&Things; 3]) {
    let usual = of_a_read(route, caller);
    if !route.path.contains('{') {
        checks.get(caller, &route.path, usual).await;
        let head = caller
            .send(checks.desk, &Method::HEAD, &route.path, None)
            .await;
        assert_eq!(
            head.status.as_u16(),
            usual,
            "{}: HEAD {}",
            caller.name,
            route.path
        );
        checks.count += 1;
        return;
    }
    let mut missing = None;
    for (number, things) in all.into_iter().enumerate().rev() {
        let sees = caller.sees.get(number).copied().unwrap_or(false);
        let is_there = if route.is_of_a_channel() { sees } else { false };
        // A picture that nobody has given is not there for anybody.
        let is_there = is_there && !route.path.ends_with("/avatar");
        let is_there = is_there || (route.tag == "replay" && number < 2);
        let wanted = if usual == 200 && !is_there {
            404
        } else {
            usual
        };
        let answer = checks.get(caller, &path_of(route, things), wanted).await;
        // What is hidden is answered in the same words as what is nowhere.
        if wanted == 404 && !sees {
            let known = missing.get_or_insert_with(|| answer.text());
            assert_eq!(*known, answer.text(), "{}: {}", caller.name, route.path);
        }
    }
    for odd in [
        "x",
        "%00",
        "cnv_",
        "usr_GZZZZZZZZZZZZ",
        "..%2f..",
        "null",
        "-1",
    ] {
        let (before, rest) = route.path.split_once('{').expect("a place");
        let (_, after) = rest.split_once('}').expect("its end");
        let wanted = if usual == 200 { 404 } else { usual };
        checks
            .get(caller, &format!("{before}{odd}{after}"), wanted)
            .await;
    }
}

async fn changes(checks: &mut Checks<'_>, caller: &Caller, route: &Route, all: [&Things; 3]) {
    let rubbish = [
        "{\"canary_no_such_field\":1}",
        "rubbish",
        "[]",
        "null",
        "{\"id\":\"usr_0000000000001\"}",
    ];
    let may = caller.may(route.needs());
    for (number, things) in all.into_iter().enumerate() {
        if number > 0 && !route.path.contains('{') {
            break;
        }
        let path = path_of(route, things);
        for body in rubbish {
            // What takes no body would be done where it may be.
            let sees = caller.sees.get(number).copied().unwrap_or(false);
            let harmless = route.takes_body || (route.is_of_a_channel() && !sees) || !may;
            if !harmless {
                continue;
            }
            let body = (route.takes_body || !may).then_some(body);
            let answer = caller.send(checks.desk, &route.method, &path, body).await;
            let what = format!("{} {path}", route.method);
            let status = answer.status.as_u16();
            if may {
                // Past the door: the body does not do, or the thing is not there.
                let expected: &[u16] = if body.is_some() {
                    &[400, 404, 409, 415, 422]
                } else {
                    &[404]
                };
                assert!(
                    expected.contains(&status),
                    "{}: {what}: {}",
                    caller.name,
                    answer.text()
                );
            } else {
                // Before the body is read: it tells nothing either.
                let wanted = if caller.right.is_none() { 401 } else { 403 };
                assert_eq!(status, wanted, "{}: {what}: {}", caller.name, answer.text());
            }
            answer.problem(status);
            checks.hides(caller, &what, &answer.text());
        }
    }
}

/// Lists with what names something of a channel in their query: they are as if it were not there.
async fn queries(checks: &mut Checks<'_>, caller: &Caller, all: [&Things; 3]) {
    let status = if caller.right.is_some() { 200 } else { 401 };
    let mut seen = Vec::new();
    for things in all {
        for query in [
            format!("feed?channel={}", things.channel),
            format!(
                "feed?limit=200&channel={}&direction=inbound",
                things.channel
            ),
            "feed?connector=chat".to_owned(),
            "feed?connector=platform&limit=1".to_owned(),
            format!("conversations?channel={}", things.channel),
            format!("conversations?q={}", things.canary),
            format!(
                "conversations?limit=1&channel={}&unread=true",
                things.channel
            ),
            "conversations?assignee=none&status=open".to_owned(),
            "conversations?assignee=me".to_owned(),
            format!("contacts?q={}", things.canary),
            "contacts?limit=1".to_owned(),
            "users?limit=200".to_owned(),
            "channels?limit=200".to_owned(),
        ] {
            let path = format!("/api/v1/{query}");
            let answer = checks.get(caller, &path, status).await;
            if status == 200 && !query.starts_with("users") && !query.starts_with("channels") {
                let answer = answer.json();
                seen.push(answer["data"].as_array().expect("a list").len());
                // A cursor of somebody who sees all opens no more than one's own.
                let of_all = checks.desk.get(As::Admin, &path).await.json();
                if let Some(cursor) = of_all["next"].as_str() {
                    let sign = if query.contains('?') { '&' } else { '?' };
                    checks
                        .get(caller, &format!("{path}{sign}cursor={cursor}"), 200)
                        .await;
                }
            }
        }
    }
    if status == 200 && caller.sees != [false, false] {
        assert!(
            seen.iter().any(|count| *count > 0),
            "{} sees what is theirs",
            caller.name
        );
    }
}

/// Changes whose body names something of another channel: they do nothing, and say the same as of what is nowhere.
async fn bodies(checks: &mut Checks<'_>, caller: &Caller, all: [&Things; 3]) {
    let [shop, page, nowhere] = all;
    let may = caller.right.is_some_and(|right| right >= Right::Write);
    let pairs = [(shop, 0, page, 1), (page, 1, shop, 0)];
    for (own, at_own, other, at_other) in pairs {
        let requests = |things: &Things| {
            let here = format!("/api/v1/conversations/{}", own.conversation);
            let note = |field: &str, value: Value| {
                let mut note = json!({ "text": "x", "private": true });
                note[field] = value;
                (Method::POST, format!("{here}/messages"), note)
            };
            [
                note("reply_to", json!(things.message)),
                note("attachment_ids", json!([things.attachment])),
                (
                    Method::POST,
                    format!("{here}/read"),
                    json!({ "up_to": things.message }),
                ),
                (
                    Method::POST,
                    format!("/api/v1/contacts/{}/merge", own.contact),
                    json!({ "contact_id": things.contact }),
                ),
            ]
        };
        let see_both = caller.sees[at_own] && caller.sees[at_other];
        for (foreign, missing) in requests(other).into_iter().zip(requests(nowhere)) {
            if may && see_both {
                continue;
            }
            let mut answers = Vec::new();
            for (method, path, body) in [foreign, missing] {
                let answer = caller
                    .send(checks.desk, &method, &path, Some(&body.to_string()))
                    .await;
                let status = answer.status.as_u16();
                let expected: &[u16] = match (caller.right, may) {
                    (None, _) => &[401],
                    (_, false) => &[403],
                    _ if caller.sees[at_own] => &[404, 409, 422],
                    _ => &[404],
                };
                assert!(
                    expected.contains(&status),
                    "{}: {path} {body}: {}",
                    caller.name,
                    answer.text()
                );
                checks.hides(caller, &path, &answer.text());
                answers.push((status, answer.text().replace(body_id(&body), "")));
            }
            assert_eq!(answers[0], answers[1], "{}: told apart", caller.name);
        }
        // The whole of a change is refused where the conversation is not seen.
        let changes = [
            (Method::PATCH, "", json!({ "status": "resolved" })),
            (
                Method::PATCH,
                "",
                json!({ "labels": ["x"], "assignee_id": null }),
            ),
            (
                Method::POST,
                "/messages",
                json!({ "text": "x", "private": true }),
            ),
            (Method::POST, "/messages", json!({ "text": "x" })),
            (Method::POST, "/read", json!({})),
            (Method::POST, "/typing", json!({ "typing": true })),
        ];
        for (method, under, body) in changes {
            if may && caller.sees[at_own] {
                continue;
            }
            let path = format!("/api/v1/conversations/{}{under}", own.conversation);
            let answer = caller
                .send(checks.desk, &method, &path, Some(&body.to_string()))
                .await;
            let wanted = match (caller.right, may) {
                (None, _) => 401,
                (_, false) => 403,
                _ => 404,
            };
            answer.problem(wanted);
            checks.hides(caller, &path, &answer.text());
        }
    }
}

/// The id that a body names, which an error may repeat.
fn body_id(body: &Value) -> &str {
    let named = body
        .get("reply_to")
        .or_else(|| body.get("up_to"))
        .or_else(|| body.get("contact_id"));
    let named = named.or_else(|| body["attachment_ids"].get(0));
    named.and_then(Value::as_str).unwrap_or("-")
}
