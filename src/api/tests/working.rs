//! What people of the shop have for their work: drafts, canned replies, labels, views, settings; who is there; many at once.

use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::api::testing::{As, Desk, PAGE, SHOP, desk, each};
use crate::id::ConversationId;
use crate::store::Scope;

const COUNTS: &str = "/api/v1/views/counts";

async fn ok(desk: &Desk, who: As, method: Method, path: &str, body: &Value) -> Value {
    let answer = desk.json(who, method, path, body).await;
    assert!(answer.status.is_success(), "{path}: {}", answer.text());
    answer.json()
}

async fn activities(desk: &Desk, id: ConversationId) -> Vec<Value> {
    let path = format!("/api/v1/conversations/{id}/messages");
    let list = desk.found(As::Admin, &path).await;
    let items = list["data"].as_array().expect("a list").iter().rev();
    items
        .filter(|item| item["kind"] == "activity")
        .cloned()
        .collect()
}

#[tokio::test]
async fn each_change_is_told_once_in_the_conversation_and_counts_nowhere() {
    let desk = desk().await;
    desk.invent_people(3).await;
    let (id, question) = desk.arrive(SHOP, "anna", "Where is it?").await;
    let path = format!("/api/v1/conversations/{id}");
    let before = desk.found(As::Admin, &path).await;
    let user = "usr_0000000000001";
    let change = json!({
        "status": "pending", "assignee_id": user, "labels": ["vase", "kiln"], "priority": "high",
    });
    let after = ok(&desk, As::Admin, Method::PATCH, &path, &change).await;
    let told = activities(&desk, id).await;
    let what: Vec<_> = told
        .iter()
        .map(|one| one["metadata"]["activity"]["what"].as_str().expect("what"))
        .collect();
    assert_eq!(what, ["status", "assignee", "labels", "priority"]);
    let status = &told[0];
    assert_eq!(status["metadata"]["activity"]["from"], "open");
    assert_eq!(status["metadata"]["activity"]["to"], "pending");
    assert_eq!(
        status["text"],
        "Bootstrap token set the conversation to pending."
    );
    assert_eq!(status["author"]["name"], "Bootstrap token");
    assert_eq!(told[1]["metadata"]["activity"]["to"], user);
    assert_eq!(
        told[2]["text"],
        "Bootstrap token added the label kiln, vase."
    );
    for field in ["message_count", "unread_count", "waiting_since"] {
        assert_eq!(after[field], before[field], "{field}");
    }
    assert_eq!(after["last_said"]["id"], question.to_string());
    assert_eq!(
        after["last_message"]["id"], told[3]["id"],
        "the first of the list"
    );
    // The same once more changes nothing, and one label more is one entry.
    ok(&desk, As::Admin, Method::PATCH, &path, &change).await;
    let labels = json!({ "labels": ["kiln", "glaze"] });
    ok(&desk, As::Admin, Method::PATCH, &path, &labels).await;
    let told = activities(&desk, id).await;
    assert_eq!(told.len(), 5);
    assert_eq!(
        told[4]["text"],
        "Bootstrap token added the label glaze and removed vase."
    );
    let feed = desk.found(As::Admin, "/api/v1/feed").await;
    assert_eq!(each(&feed, "text"), ["Where is it?"]);
    let shown = ok(&desk, As::Admin, Method::PATCH, &path, &json!({})).await;
    assert_eq!(shown["last_said"]["preview"], "Where is it?");
}

#[tokio::test]
async fn what_sleeps_wakes_at_its_time_also_when_that_passed_meanwhile() {
    let desk = desk().await;
    let (id, _) = desk.arrive(SHOP, "anna", "x").await;
    let (later, _) = desk.arrive(SHOP, "boris", "x").await;
    let snooze = |until: &str| json!({ "snoozed_until": until });
    for (id, until) in [
        (id, "2026-11-21T12:00:01Z"),
        (later, "2026-11-21T18:00:00Z"),
    ] {
        let path = format!("/api/v1/conversations/{id}");
        ok(&desk, As::Admin, Method::PATCH, &path, &snooze(until)).await;
    }
    // The clock of this desk stands; somebody turns it while nothing runs.
    desk.app
        .clock
        .turn_to("2026-11-21T13:00:00Z".parse().expect("a time"));
    let waking = tokio::spawn(crate::waking::run(std::sync::Arc::clone(&desk.app)));
    let status = |id: ConversationId| {
        let found = desk.app.store.conversation(&Scope::of_all_channels(), id);
        found.expect("memory").expect("there")
    };
    for _ in 0..600 {
        if status(id).status == crate::store::record::Status::Open {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(status(id).status, crate::store::record::Status::Open);
    assert_eq!(status(id).snoozed_until, None);
    assert_eq!(status(later).status, crate::store::record::Status::Snoozed);
    let told = activities(&desk, id).await;
    let last = told.last().expect("told");
    assert_eq!(last["author"]["type"], "system");
    assert_eq!(last["metadata"]["activity"]["to"], "open");
    desk.app.stopping.cancel();
    waking.await.expect("it ends");
}

#[tokio::test]
async fn t03_a_draft_is_its_writers_alone() {
    let desk = desk().await;
    let (id, question) = desk.arrive(SHOP, "anna", "x").await;
    let path = format!("/api/v1/conversations/{id}/draft");
    let none = desk.found(As::Writer, &path).await;
    assert_eq!(
        (&none["text"], &none["updated_at"]),
        (&Value::Null, &Value::Null)
    );
    let body = json!({ "text": "canary-draft", "private": true, "reply_to": question });
    let kept = ok(&desk, As::Writer, Method::PUT, &path, &body).await;
    assert_eq!(kept["text"], "canary-draft");
    let own = desk.found(As::Writer, &path).await;
    assert_eq!(own["reply_to"], question.to_string());
    assert_eq!(own["private"], true);
    let list = desk.found(As::Writer, "/api/v1/drafts").await;
    assert_eq!(each(&list, "preview"), ["canary-draft"]);
    assert_eq!(each(&list, "conversation_id"), [&json!(id)]);
    for who in [As::Admin, As::Session, As::Reader] {
        for path in [&path, "/api/v1/drafts"] {
            let answer = desk.get(who, path).await;
            assert_eq!(answer.status, StatusCode::OK);
            assert!(!answer.text().contains("canary"), "{who:?} {path}");
        }
    }
    desk.get(As::PageReader, &path).await.problem(404);
    let empty = json!({ "text": " " });
    let gone = ok(&desk, As::Writer, Method::PUT, &path, &empty).await;
    assert_eq!(gone["text"], Value::Null);
    assert_eq!(desk.delete(As::Writer, &path).await.status, 204);
    let list = desk.found(As::Writer, "/api/v1/drafts").await;
    assert_eq!(list["data"], json!([]));
}

#[tokio::test]
async fn t03_an_erased_persons_drafts_are_gone() {
    let desk = desk().await;
    let (id, _) = desk.arrive(SHOP, "anna", "x").await;
    let path = format!("/api/v1/conversations/{id}");
    let contact = desk.found(As::Admin, &path).await["contact"]["id"].clone();
    let draft = json!({ "text": "Dear Anna" });
    ok(
        &desk,
        As::Writer,
        Method::PUT,
        &format!("{path}/draft"),
        &draft,
    )
    .await;
    let contact = format!("/api/v1/contacts/{}", contact.as_str().expect("an id"));
    let ensure = crate::desk::erasure::EnsureErasureKey {
        new: "a key of the tests".to_owned(),
    };
    desk.app.writer.write(ensure).await.expect("written");
    let answer = desk.delete(As::Admin, &contact).await;
    assert_eq!(answer.status, 204, "{}", answer.text());
    let list = desk.found(As::Writer, "/api/v1/drafts").await;
    assert_eq!(list["data"], json!([]), "nothing of them is shown");
    let counts = desk.found(As::Admin, COUNTS).await;
    assert_eq!(
        (&counts["open"], &counts["unanswered"]),
        (&json!(0), &json!(0))
    );
}

#[tokio::test]
async fn r11_a_canned_reply_is_a_text_and_is_never_evaluated() {
    let desk = desk().await;
    let payloads = [
        "{{7*7}}",
        "${7*7}",
        "#{7*7}",
        "<%= 7*7 %>",
        "{% for x in y %}",
        "{{contact.name}}",
        "{{contact.first_name}}",
        "{{agent.name}}",
        "{{channel.name}}",
        "{{shop.name}}",
        "{{constructor.constructor('return 1')()}}",
        "{{__proto__}}",
        "{{#each this}}",
        "{{> partial}}",
        "{{{raw}}}",
        "{{!comment}}",
        "{{config}}",
        "{{self.__class__}}",
        "${{<%[%'\"}}%\\",
        "$(id)",
        "`id`",
        "{{request.application}}",
        "@(1+1)",
        "[[${1+1}]]",
        "*{7*7}",
        "{{'a'.repeat(9)}}",
        "<script>alert(1)</script>",
        "{{range .}}",
        "{php}echo 1;{/php}",
        "%7B%7B7*7%7D%7D",
    ];
    assert_eq!(payloads.len(), 30);
    for (place, payload) in payloads.iter().enumerate() {
        let new = json!({ "shortcut": format!("p{place}"), "title": payload, "text": payload });
        let made = ok(&desk, As::Writer, Method::POST, "/api/v1/replies", &new).await;
        assert_eq!(made["text"], *payload);
        assert_eq!(made["title"], *payload);
    }
    let list = desk.found(As::Reader, "/api/v1/replies?limit=200").await;
    assert_eq!(each(&list, "text"), payloads);
}

#[tokio::test]
async fn canned_replies_have_their_own_shortcuts_and_their_channels() {
    let desk = desk().await;
    let replies = "/api/v1/replies";
    let hours = json!({ "shortcut": "hours", "title": "Hours", "text": "Nine to five." });
    let first = desk
        .json_with_key(As::Writer, Method::POST, replies, &hours, Some("k"))
        .await;
    assert_eq!(first.status, 201);
    let again = desk
        .json_with_key(As::Writer, Method::POST, replies, &hours, Some("k"))
        .await;
    assert_eq!(again.json()["id"], first.json()["id"]);
    let taken = desk.json(As::Writer, Method::POST, replies, &hours).await;
    taken.problem(409);
    let hidden =
        json!({ "shortcut": "page", "title": "canary", "text": "x", "channels": ["page"] });
    let refused = desk.json(As::Writer, Method::POST, replies, &hidden).await;
    assert_eq!(refused.bad_field(), "/channels", "none of theirs");
    let hidden = ok(&desk, As::Admin, Method::POST, replies, &hidden).await;
    let hidden = format!("{replies}/{}", hidden["id"].as_str().expect("an id"));
    for who in [As::Reader, As::Writer] {
        let answer = desk.get(who, replies).await;
        assert!(!answer.text().contains("canary"), "{who:?}");
    }
    assert!(
        desk.get(As::PageReader, replies)
            .await
            .text()
            .contains("canary")
    );
    desk.delete(As::Writer, &hidden).await.problem(404);
    let change = json!({ "shortcut": "hours" });
    let answer = desk.json(As::Admin, Method::PATCH, &hidden, &change).await;
    answer.problem(409);
    let change = json!({ "shortcut": "p", "channels": ["page", "shop"] });
    let changed = ok(&desk, As::Admin, Method::PATCH, &hidden, &change).await;
    assert_eq!(changed["channels"], json!(["page", "shop"]));
    // Who sees one of the two channels changes nothing of the other.
    let change = json!({ "text": "y", "channels": ["shop"] });
    let changed = ok(&desk, As::Writer, Method::PATCH, &hidden, &change).await;
    assert_eq!(changed["channels"], json!(["shop"]));
    let list = desk.found(As::PageReader, replies).await;
    assert_eq!(each(&list, "channels"), [&Value::Null, &json!(["page"])]);
    assert_eq!(desk.delete(As::Admin, &hidden).await.status, 204);
    let wrong = [
        (
            json!({ "shortcut": "a b", "title": "x", "text": "x" }),
            "/shortcut",
        ),
        (
            json!({ "shortcut": "a", "title": " ", "text": "x" }),
            "/title",
        ),
        (
            json!({ "shortcut": "a", "title": "x", "text": "" }),
            "/text",
        ),
        (
            json!({ "shortcut": "a", "title": "x", "text": "x", "channels": [] }),
            "/channels",
        ),
    ];
    for (body, pointer) in wrong {
        let answer = desk.json(As::Admin, Method::POST, replies, &body).await;
        assert_eq!(answer.bad_field(), pointer);
    }
}

#[tokio::test]
async fn a_label_is_made_by_an_administrator_or_by_being_put_on_a_conversation() {
    let desk = desk().await;
    let labels = "/api/v1/labels";
    let vip = json!({ "name": "VIP", "color": "purple", "description": "Be kind." });
    desk.json(As::Writer, Method::POST, labels, &vip)
        .await
        .problem(403);
    let made = desk.json(As::Admin, Method::POST, labels, &vip).await;
    assert_eq!(made.status, 201, "{}", made.text());
    desk.json(As::Admin, Method::POST, labels, &vip)
        .await
        .problem(409);
    let odd = json!({ "name": "x", "color": "mauve" });
    let answer = desk.json(As::Admin, Method::POST, labels, &odd).await;
    assert_eq!(answer.bad_field(), "/color");
    let (id, _) = desk.arrive(SHOP, "anna", "x").await;
    let path = format!("/api/v1/conversations/{id}");
    let change = json!({ "labels": ["VIP", "broken kiln"] });
    ok(&desk, As::Writer, Method::PATCH, &path, &change).await;
    let list = desk.found(As::Reader, labels).await;
    assert_eq!(each(&list, "name"), ["VIP", "broken kiln"]);
    assert_eq!(each(&list, "color"), ["purple", "gray"]);
    let kiln = format!("{labels}/broken%20kiln");
    desk.json(As::Writer, Method::PATCH, &kiln, &json!({ "color": "red" }))
        .await
        .problem(403);
    let red = json!({ "color": "red", "description": null });
    let changed = ok(&desk, As::Admin, Method::PATCH, &kiln, &red).await;
    assert_eq!(changed["color"], "red");
    assert_eq!(desk.delete(As::Admin, &kiln).await.status, 204);
    desk.delete(As::Admin, &kiln).await.problem(404);
    let kept = desk.found(As::Admin, &path).await;
    assert_eq!(kept["labels"], json!(["VIP", "broken kiln"]));
}

#[tokio::test]
async fn t03_saved_views_are_their_owners_and_shared_ones_everybodys_who_may_see_the_channel() {
    let desk = desk().await;
    let (id, _) = desk.arrive(SHOP, "anna", "x").await;
    desk.arrive(PAGE, "boris", "x").await;
    let views = "/api/v1/views";
    let view = |name: &str, filter: Value, shared: bool| json!({ "name": name, "filter": filter, "shared": shared });
    let own = view(
        "own",
        json!({ "status": ["open"], "waiting": true, "sort": "waiting" }),
        false,
    );
    let own = ok(&desk, As::Writer, Method::POST, views, &own).await;
    assert_eq!(
        own["filter"],
        json!({ "status": ["open"], "waiting": true, "sort": "waiting" })
    );
    let refused = desk
        .json(As::Writer, Method::POST, views, &view("x", json!({}), true))
        .await;
    refused.problem(403);
    let shared = view("all open", json!({ "status": ["open"] }), true);
    let shared = ok(&desk, As::Admin, Method::POST, views, &shared).await;
    let hidden = view("canary", json!({ "channel": "page", "q": "x" }), true);
    let hidden = ok(&desk, As::Admin, Method::POST, views, &hidden).await;
    let names = |list: &Value| each(list, "name").into_iter().cloned().collect::<Vec<_>>();
    assert_eq!(
        names(&desk.found(As::Writer, views).await),
        ["own", "all open"]
    );
    assert_eq!(names(&desk.found(As::Reader, views).await), ["all open"]);
    assert_eq!(
        names(&desk.found(As::PageReader, views).await),
        ["all open", "canary"]
    );
    let id_of = |view: &Value| view["id"].as_str().expect("an id").to_owned();
    let counts = desk.found(As::Writer, COUNTS).await;
    assert_eq!(
        counts["saved"],
        json!({ id_of(&own): 1, id_of(&shared): 1 })
    );
    let counts = desk.found(As::Admin, COUNTS).await;
    assert_eq!(
        counts["saved"],
        json!({ id_of(&shared): 2, id_of(&hidden): null })
    );
    let path = |view: &Value| format!("{views}/{}", id_of(view));
    let rename = json!({ "name": "mine" });
    desk.json(As::Admin, Method::PATCH, &path(&own), &rename)
        .await
        .problem(404);
    desk.json(As::Writer, Method::PATCH, &path(&shared), &rename)
        .await
        .problem(403);
    desk.delete(As::Writer, &path(&hidden)).await.problem(404);
    let renamed = ok(&desk, As::Writer, Method::PATCH, &path(&own), &rename).await;
    assert_eq!(renamed["name"], "mine");
    assert_eq!(desk.delete(As::Writer, &path(&own)).await.status, 204);
    let change = json!({ "status": "resolved" });
    let conversation = format!("/api/v1/conversations/{id}");
    ok(&desk, As::Admin, Method::PATCH, &conversation, &change).await;
    let counts = desk.found(As::Reader, COUNTS).await;
    assert_eq!(counts["saved"], json!({ id_of(&shared): 0 }));
    let wrong = [
        (view(" ", json!({}), false), "/name"),
        (
            view("x", json!({ "status": ["closed"] }), false),
            "/filter/status/0",
        ),
        (view("x", json!({ "status": [] }), false), "/filter/status"),
        (
            view("x", json!({ "assignee": "somebody" }), false),
            "/filter",
        ),
        (
            view("x", json!({ "channel": "page" }), false),
            "/filter/channel",
        ),
    ];
    for (body, pointer) in wrong {
        let answer = desk.json(As::Writer, Method::POST, views, &body).await;
        assert_eq!(answer.bad_field(), pointer, "{body}");
    }
}

#[tokio::test]
async fn many_are_changed_at_once_and_each_says_what_became_of_it() {
    let desk = desk().await;
    let mut ids = Vec::new();
    for number in 0..120 {
        ids.push(desk.arrive(SHOP, &format!("person{number}"), "x").await.0);
    }
    let (hidden, _) = desk.arrive(PAGE, "boris", "x").await;
    ids.insert(60, hidden);
    let bulk = "/api/v1/conversations/bulk";
    let body = json!({ "ids": ids, "change": { "status": "resolved", "labels": ["done"] } });
    let answer = ok(&desk, As::Writer, Method::POST, bulk, &body).await;
    let statuses = each(&answer, "status");
    assert_eq!(statuses.len(), 121);
    assert_eq!(each(&answer, "id")[60], &json!(hidden));
    for (place, status) in statuses.into_iter().enumerate() {
        assert_eq!(*status, if place == 60 { 404 } else { 200 });
    }
    let counts = desk.found(As::Admin, COUNTS).await;
    assert_eq!(counts["open"], 1);
    assert_eq!(activities(&desk, ids[0]).await.len(), 2);
    let wrong = [
        (json!({ "ids": [], "change": {} }), "/ids"),
        (json!({ "ids": vec![ids[0]; 201], "change": {} }), "/ids"),
        (
            json!({ "ids": [ids[0]], "change": { "labels": [" "] } }),
            "/change/labels/0",
        ),
        (
            json!({ "ids": [ids[0]], "change": { "colour": 1 } }),
            "/change/colour",
        ),
    ];
    for (body, pointer) in wrong {
        let answer = desk.json(As::Writer, Method::POST, bulk, &body).await;
        assert_eq!(answer.bad_field(), pointer);
    }
}

#[tokio::test]
async fn t03_who_is_there_and_who_has_read_is_told_to_those_who_may_see_it() {
    let desk = desk().await;
    let (id, question) = desk.arrive(SHOP, "anna", "x").await;
    let path = format!("/api/v1/conversations/{id}");
    let presence = format!("{path}/presence");
    let mut live = desk.app.live.subscribe();
    let typing = json!({ "state": "typing" });
    let said = desk
        .json(As::Writer, Method::POST, &presence, &typing)
        .await;
    assert_eq!(said.status, 204);
    let there = desk.found(As::Reader, &presence).await;
    assert_eq!(there["data"][0]["state"], "typing");
    assert_eq!(there["data"][0]["user"]["name"], "Writer");
    assert_eq!(there["data"][0]["until"], "2026-11-21T12:00:30.000Z");
    let frame = live.frame().await.expect("a frame");
    assert_eq!(frame.seq, None, "it is not in the log");
    desk.get(As::PageReader, &presence).await.problem(404);
    let left = json!({ "state": "left" });
    desk.json(As::Writer, Method::POST, &presence, &left).await;
    let there = desk.found(As::Reader, &presence).await;
    assert_eq!(there["data"], json!([]));
    let odd = json!({ "state": "asleep" });
    let answer = desk.json(As::Writer, Method::POST, &presence, &odd).await;
    assert_eq!(answer.bad_field(), "/state");
    let readers = format!("{path}/readers");
    assert_eq!(desk.found(As::Reader, &readers).await["data"], json!([]));
    let read = json!({ "up_to": question });
    ok(
        &desk,
        As::Writer,
        Method::POST,
        &format!("{path}/read"),
        &read,
    )
    .await;
    let list = desk.found(As::Reader, &readers).await;
    let reader = &list["data"][0];
    assert_eq!(reader["name"], "Writer");
    assert_eq!(reader["up_to"], question.to_string());
    assert_eq!(reader["at"], "2026-11-21T12:00:00.000Z");
    assert!(
        reader["token_id"]
            .as_str()
            .is_some_and(|id| id.starts_with("tok_"))
    );
    assert_eq!(reader["user_id"], Value::Null);
    desk.get(As::PageReader, &readers).await.problem(404);
}

#[tokio::test]
async fn where_the_shop_wants_it_messages_stay_unread_until_they_are_answered() {
    let desk = desk().await;
    let settings = "/api/v1/settings";
    let first = desk.found(As::Reader, settings).await;
    assert_eq!(
        first,
        json!({ "shop_name": "", "unread_until": "read", "default_view": "unanswered" })
    );
    let (id, _) = desk.arrive(SHOP, "anna", "x").await;
    let path = format!("/api/v1/conversations/{id}");
    let read = ok(
        &desk,
        As::Admin,
        Method::POST,
        &format!("{path}/read"),
        &json!({}),
    )
    .await;
    assert_eq!(read["unread_count"], 0);
    let change = json!({ "unread_until": "answered", "shop_name": " Vases & Kilns " });
    desk.json(As::Writer, Method::PATCH, settings, &change)
        .await
        .problem(403);
    let changed = ok(&desk, As::Admin, Method::PATCH, settings, &change).await;
    assert_eq!(changed["shop_name"], "Vases & Kilns");
    desk.arrive(SHOP, "anna", "y").await;
    let read = ok(
        &desk,
        As::Admin,
        Method::POST,
        &format!("{path}/read"),
        &json!({}),
    )
    .await;
    assert_eq!(read["unread_count"], 1, "it was read, and is not answered");
    let readers = desk.found(As::Admin, &format!("{path}/readers")).await;
    assert_eq!(readers["data"].as_array().map(Vec::len), Some(1));
    let reply = json!({ "text": "Yes." });
    ok(
        &desk,
        As::Admin,
        Method::POST,
        &format!("{path}/messages"),
        &reply,
    )
    .await;
    let stands = desk.found(As::Admin, &path).await;
    assert_eq!(stands["unread_count"], 0);
    desk.arrive(SHOP, "anna", "z").await;
    let stands = desk.found(As::Admin, &path).await;
    assert_eq!(stands["unread_count"], 1);
    let resolved = json!({ "status": "resolved" });
    let stands = ok(&desk, As::Admin, Method::PATCH, &path, &resolved).await;
    assert_eq!(stands["unread_count"], 0, "it is done with");
    for view in ["nowhere", "vie_0000000000000"] {
        let odd = json!({ "default_view": view });
        let answer = desk.json(As::Admin, Method::PATCH, settings, &odd).await;
        assert_eq!(answer.bad_field(), "/default_view");
    }
    let mine = json!({ "default_view": "mine" });
    let changed = ok(&desk, As::Admin, Method::PATCH, settings, &mine).await;
    assert_eq!(changed["default_view"], "mine");
    assert_eq!(changed["unread_until"], "answered");
}

#[tokio::test]
async fn a_channel_says_what_an_answer_may_hold() {
    let desk = desk().await;
    let shop = desk.found(As::Reader, "/api/v1/channels/shop").await;
    assert_eq!(shop["limits"]["text_chars"], 2_000);
    assert_eq!(shop["limits"]["attachments"]["count"], 20);
    let bytes = &shop["limits"]["attachments"]["bytes"];
    assert_eq!(bytes["image"], 25 * 1024 * 1024);
    let page = desk.found(As::Admin, "/api/v1/channels/page").await;
    assert_eq!(page["limits"], Value::Null, "nothing is sent from here");
}
