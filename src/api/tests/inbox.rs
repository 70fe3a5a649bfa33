//! The inbox by who waits, its numbers, and answers that cross.

use axum::http::Method;
use serde_json::{Value, json};

use crate::api::testing::{As, Desk, PAGE, SHOP, desk, each};
use crate::id::ConversationId;

const OPEN: &str = "/api/v1/conversations?status=open,pending,snoozed";
const WAITING: &str = "/api/v1/conversations?sort=waiting";
const COUNTS: &str = "/api/v1/views/counts";

async fn change(desk: &Desk, id: ConversationId, change: &Value) -> Value {
    let path = format!("/api/v1/conversations/{id}");
    let answer = desk.json(As::Admin, Method::PATCH, &path, change).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

async fn answered(desk: &Desk, id: ConversationId) {
    let path = format!("/api/v1/conversations/{id}/messages");
    let body = json!({ "text": "Yes." });
    let answer = desk.json(As::Admin, Method::POST, &path, &body).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
}

/// The ids of a list, page by page.
async fn ids(desk: &Desk, who: As, path: &str) -> Vec<String> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = desk.found(who, &format!("{path}&limit=2{cursor}")).await;
        all.extend(
            each(&page, "id")
                .into_iter()
                .map(|id| id.as_str().expect("an id").to_owned()),
        );
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

#[tokio::test]
async fn who_waits_longest_comes_first_and_who_is_answered_is_not_there() {
    let desk = desk().await;
    let mut waiting = Vec::new();
    for person in ["anna", "boris", "cyril", "dana", "ema"] {
        waiting.push(desk.arrive(SHOP, person, "x").await.0);
    }
    // Writing once more does not make a wait shorter.
    desk.arrive(SHOP, "anna", "hello?").await;
    answered(&desk, waiting[1]).await;
    change(&desk, waiting[3], &json!({ "status": "pending" })).await;
    let wanted = [0, 2, 3, 4].map(|place: usize| waiting[place].to_string());
    assert_eq!(ids(&desk, As::Admin, WAITING).await, wanted);
    assert_eq!(ids(&desk, As::Reader, WAITING).await, wanted);
    assert!(ids(&desk, As::PageReader, WAITING).await.is_empty());
    let mut by_activity = ids(&desk, As::Admin, &format!("{OPEN}&waiting=true")).await;
    by_activity.sort();
    let mut sorted = wanted.to_vec();
    sorted.sort();
    assert_eq!(by_activity, sorted);
    change(&desk, waiting[2], &json!({ "status": "resolved" })).await;
    let until = "2026-11-22T12:00:00Z";
    change(&desk, waiting[4], &json!({ "snoozed_until": until })).await;
    let left = [0, 3].map(|place: usize| waiting[place].to_string());
    assert_eq!(ids(&desk, As::Admin, WAITING).await, left);
    let resolved = ids(&desk, As::Admin, "/api/v1/conversations?status=resolved").await;
    assert_eq!(resolved, [waiting[2].to_string()]);
    let both = "/api/v1/conversations?status=resolved,snoozed";
    assert_eq!(ids(&desk, As::Admin, both).await.len(), 2);
}

#[tokio::test]
async fn t03_the_conversations_of_a_contact_are_found_as_far_as_one_may_see_them() {
    let desk = desk().await;
    let (in_shop, _) = desk.arrive(SHOP, "anna", "x").await;
    let (on_page, _) = desk.arrive(PAGE, "anka", "x").await;
    desk.arrive(SHOP, "boris", "x").await;
    let mut contacts = Vec::new();
    for id in [in_shop, on_page] {
        let found = desk
            .found(As::Admin, &format!("/api/v1/conversations/{id}"))
            .await;
        contacts.push(found["contact"]["id"].as_str().expect("an id").to_owned());
    }
    let merge = format!("/api/v1/contacts/{}/merge", contacts[0]);
    let other = json!({ "contact_id": contacts[1] });
    let answer = desk.json(As::Admin, Method::POST, &merge, &other).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    change(&desk, on_page, &json!({ "status": "resolved" })).await;
    answered(&desk, in_shop).await;

    let theirs = format!("/api/v1/conversations?contact={}", contacts[0]);
    let of = |path: String| {
        let desk = &desk;
        async move { ids(desk, As::Admin, &path).await }
    };
    let both = [in_shop.to_string(), on_page.to_string()];
    let mut found = of(theirs.clone()).await;
    // Page by page, each once, the newest first.
    let whole = desk.found(As::Admin, &theirs).await;
    assert!(each(&whole, "id").into_iter().eq(&found), "{whole}");
    let times = each(&whole, "last_activity_at");
    assert!(times[0].as_str() >= times[1].as_str(), "{times:?}");
    found.sort();
    assert_eq!(found, both);
    let one_by_one = desk.found(As::Admin, &format!("{theirs}&limit=1")).await;
    let cursor = one_by_one["next"].as_str().expect("more");
    let second = desk
        .found(As::Admin, &format!("{theirs}&limit=1&cursor={cursor}"))
        .await;
    assert_eq!(
        (&second["data"][0]["id"], &second["next"]),
        (&whole["data"][1]["id"], &Value::Null)
    );
    // Other filters hold as well.
    assert_eq!(
        of(format!("{theirs}&status=resolved")).await,
        [on_page.to_string()]
    );
    assert_eq!(
        of(format!("{theirs}&channel=shop")).await,
        [in_shop.to_string()]
    );
    assert!(of(format!("{theirs}&waiting=true")).await.is_empty());
    assert_eq!(
        ids(&desk, As::PageReader, &theirs).await,
        [on_page.to_string()]
    );
    assert!(
        of("/api/v1/conversations?contact=cus_0000000000001".to_owned())
            .await
            .is_empty()
    );
    let wrong = "/api/v1/conversations?contact=anna";
    desk.get(As::Admin, wrong).await.problem(400);
}

#[tokio::test]
async fn t07_a_cursor_of_the_one_order_does_not_do_for_the_other() {
    let desk = desk().await;
    for person in ["anna", "boris"] {
        desk.arrive(SHOP, person, "x").await;
    }
    let page = desk.found(As::Admin, &format!("{WAITING}&limit=1")).await;
    let cursor = page["next"].as_str().expect("more");
    let answer = desk
        .get(As::Admin, &format!("{OPEN}&cursor={cursor}"))
        .await;
    answer.problem(400);
    for wrong in [
        "status=open,closed",
        "status=",
        "sort=oldest",
        "waiting=yes",
        "spam=1",
        "mentioned=none",
        "assignee=usr_1",
    ] {
        let path = format!("/api/v1/conversations?{wrong}");
        desk.get(As::Admin, &path).await.problem(400);
    }
}

#[tokio::test]
async fn t03_numbers_tell_nothing_of_channels_that_one_may_not_see() {
    let desk = desk().await;
    let (first, _) = desk.arrive(SHOP, "anna", "x").await;
    desk.arrive(SHOP, "boris", "x").await;
    desk.arrive(PAGE, "cyril", "x").await;
    let labels = json!({ "labels": ["canary-label"] });
    change(&desk, first, &labels).await;
    let all = desk.found(As::Admin, COUNTS).await;
    assert_eq!(all["unanswered"], 3);
    assert_eq!(all["unassigned"], 3);
    assert_eq!(all["channels"], json!({ "shop": 2, "page": 1 }));
    assert_eq!(all["labels"], json!({ "canary-label": 1 }));
    assert_eq!(all["mine"], 0, "a program has nothing");
    let page = desk.get(As::PageReader, COUNTS).await;
    assert!(!page.text().contains("canary"), "{}", page.text());
    let page = page.json();
    assert_eq!(page["open"], 1);
    assert_eq!(page["channels"], json!({ "page": 1 }));
    answered(&desk, first).await;
    change(&desk, first, &json!({ "status": "pending" })).await;
    let now = desk.found(As::Reader, COUNTS).await;
    assert_eq!(
        (&now["unanswered"], &now["open"], &now["pending"]),
        (&json!(1), &json!(1), &json!(1))
    );
    assert_eq!(now["labels"], json!({}));
}

#[tokio::test]
async fn spam_is_kept_and_shown_only_where_it_is_asked_for_and_comes_back_unanswered() {
    let desk = desk().await;
    let (spam, _) = desk.arrive(SHOP, "anna", "win a kiln").await;
    let (other, _) = desk.arrive(SHOP, "boris", "x").await;
    let changed = change(&desk, spam, &json!({ "spam": true })).await;
    assert_eq!(
        (&changed["spam"], &changed["waiting_since"]),
        (&json!(true), &Value::Null)
    );
    desk.arrive(SHOP, "anna", "and a vase").await;
    for path in [WAITING, OPEN, "/api/v1/conversations?"] {
        let shown = ids(&desk, As::Admin, path).await;
        assert_eq!(shown, [other.to_string()], "{path}");
    }
    for path in [
        "/api/v1/conversations?spam=true",
        &format!("{OPEN}&spam=true"),
    ] {
        assert_eq!(ids(&desk, As::Admin, path).await, [spam.to_string()]);
    }
    let counts = desk.found(As::Admin, COUNTS).await;
    assert_eq!(
        (&counts["spam"], &counts["unanswered"]),
        (&json!(1), &json!(1))
    );
    let messages = format!("/api/v1/conversations/{spam}/messages");
    let kept = desk.found(As::Admin, &messages).await;
    assert!(each(&kept, "text").contains(&&json!("and a vase")));
    change(&desk, spam, &json!({ "status": "resolved" })).await;
    desk.arrive(SHOP, "anna", "again").await;
    let still = desk
        .found(As::Admin, &format!("/api/v1/conversations/{spam}"))
        .await;
    assert_eq!(still["status"], "resolved", "spam opens nothing again");
    change(&desk, spam, &json!({ "spam": false, "status": "open" })).await;
    let waiting = ids(&desk, As::Admin, WAITING).await;
    assert_eq!(waiting, [spam.to_string(), other.to_string()]);
}

#[tokio::test]
async fn who_is_blocked_is_heard_by_nobody_until_that_is_taken_back() {
    let desk = desk().await;
    let (id, _) = desk.arrive(SHOP, "anna", "x").await;
    let path = format!("/api/v1/conversations/{id}");
    let contact = desk.found(As::Admin, &path).await["contact"]["id"].clone();
    let contact = format!("/api/v1/contacts/{}", contact.as_str().expect("an id"));
    let block = |blocked: bool| json!({ "blocked": blocked });
    let answer = desk
        .json(As::Admin, Method::PATCH, &contact, &block(true))
        .await;
    assert_eq!(answer.json()["blocked"], true);
    desk.arrive(SHOP, "anna", "you there?").await;
    let stands = desk.found(As::Admin, &path).await;
    assert_eq!(stands["blocked"], true);
    assert_eq!(stands["waiting_since"], Value::Null);
    assert_eq!(stands["message_count"], 2, "what they write is kept");
    assert!(ids(&desk, As::Admin, WAITING).await.is_empty());
    assert_eq!(ids(&desk, As::Admin, OPEN).await, [id.to_string()]);
    desk.json(As::Admin, Method::PATCH, &contact, &block(false))
        .await;
    let stands = desk.found(As::Admin, &path).await;
    assert_eq!(stands["blocked"], false);
    assert_eq!(stands["waiting_since"], "2026-11-21T12:00:00.000Z");
    assert_eq!(ids(&desk, As::Admin, WAITING).await, [id.to_string()]);
}

#[tokio::test]
async fn an_answer_that_crosses_anothers_is_409_with_that_answer_and_nothing_is_sent() {
    let desk = desk().await;
    let (id, question) = desk.arrive(SHOP, "anna", "x").await;
    let path = format!("/api/v1/conversations/{id}/messages");
    let first = json!({ "text": "From the admin.", "seen": question });
    let answer = desk.json(As::Admin, Method::POST, &path, &first).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    let body = json!({ "text": "From a program.", "seen": question });
    let crossed = desk.json(As::Writer, Method::POST, &path, &body).await;
    crossed.problem(409);
    let problem = crossed.json();
    assert_eq!(problem["type"], "/docs/problems/crossed");
    assert_eq!(problem["crossed_by"]["text"], "From the admin.");
    assert_eq!(problem["crossed_by"]["id"], answer.json()["id"]);
    let list = desk.found(As::Admin, &path).await;
    assert_eq!(each(&list, "text"), ["From the admin.", "x"]);
    let forced = json!({ "text": "From a program.", "seen": question, "force": true });
    let sent = desk.json(As::Writer, Method::POST, &path, &forced).await;
    assert_eq!(sent.status, 202, "{}", sent.text());
    let mention = json!({ "text": "x", "mentions": ["usr_0000000000001"] });
    let answer = desk.json(As::Writer, Method::POST, &path, &mention).await;
    assert_eq!(answer.bad_field(), "/mentions");
}

#[tokio::test]
async fn a_change_that_expects_another_assignee_changes_nothing() {
    let desk = desk().await;
    desk.invent_people(3).await;
    let (id, _) = desk.arrive(SHOP, "anna", "x").await;
    let (one, two) = ("usr_0000000000001", "usr_0000000000002");
    let path = format!("/api/v1/conversations/{id}");
    let body =
        |to: &str, expected: Value| json!({ "assignee_id": to, "expected_assignee_id": expected });
    let first = desk
        .json(As::Admin, Method::PATCH, &path, &body(one, Value::Null))
        .await;
    assert_eq!(first.json()["assignee_id"], one);
    let second = desk
        .json(As::Admin, Method::PATCH, &path, &body(two, Value::Null))
        .await;
    second.problem(409);
    assert_eq!(second.json()["type"], "/docs/problems/taken");
    assert_eq!(second.json()["assignee_id"], one);
    let third = desk
        .json(As::Admin, Method::PATCH, &path, &body(two, json!(one)))
        .await;
    assert_eq!(third.json()["assignee_id"], two);
    let take = format!("{path}/take");
    let program = desk.json(As::Admin, Method::POST, &take, &json!({})).await;
    program.problem(403);
    let by_id = ids(&desk, As::Admin, &format!("{OPEN}&assignee={two}")).await;
    assert_eq!(by_id, [id.to_string()]);
}

#[tokio::test]
async fn a_note_mentions_people_and_they_find_it() {
    let desk = desk().await;
    let (id, _) = desk.arrive(SHOP, "anna", "x").await;
    desk.arrive(SHOP, "boris", "x").await;
    let user = "usr_0000000000001";
    let path = format!("/api/v1/conversations/{id}/messages");
    desk.invent_people(2).await;
    let strange = json!({ "text": "x", "private": true, "mentions": [user, "usr_0000000000009"] });
    let refused = desk.json(As::Admin, Method::POST, &path, &strange).await;
    assert_eq!(refused.bad_field(), "/mentions/1");
    let note = json!({ "text": "Look here.", "private": true, "mentions": [user, user] });
    let answer = desk.json(As::Admin, Method::POST, &path, &note).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert_eq!(answer.json()["metadata"]["mentions"], json!([user, user]));
    for list in [OPEN, "/api/v1/conversations?"] {
        let found = ids(&desk, As::Admin, &format!("{list}&mentioned={user}")).await;
        assert_eq!(found, [id.to_string()]);
    }
    let none = format!("{OPEN}&mentioned=me");
    assert!(ids(&desk, As::Admin, &none).await.is_empty(), "no person");
}

#[tokio::test]
async fn what_did_not_fail_is_not_sent_again() {
    let desk = desk().await;
    let (id, question) = desk.arrive(SHOP, "anna", "x").await;
    answered(&desk, id).await;
    let path = format!("/api/v1/conversations/{id}/messages");
    let list = desk.found(As::Admin, &path).await;
    let reply = list["data"][0]["id"].as_str().expect("an id").to_owned();
    for (message, wanted) in [(question.to_string(), 409), (reply, 409)] {
        for action in ["retry", "dismiss"] {
            let path = format!("/api/v1/messages/{message}/{action}");
            let answer = desk.json(As::Writer, Method::POST, &path, &json!({})).await;
            answer.problem(wanted);
            assert_eq!(answer.json()["type"], "/docs/problems/not-failed");
        }
    }
    let (_, elsewhere) = desk.arrive(PAGE, "boris", "x").await;
    for action in ["retry", "dismiss"] {
        let path = format!("/api/v1/messages/{elsewhere}/{action}");
        let answer = desk.json(As::Writer, Method::POST, &path, &json!({})).await;
        answer.problem(404);
    }
}
