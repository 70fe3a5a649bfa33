//! The lists: what they hold, their filters, and cursors while the desk lives on.

use std::collections::{BTreeSet, HashSet};

use serde_json::{Value, json};

use crate::api::testing::{As, Desk, PAGE, SHOP, desk, each, noon};
use axum::http::Method;

/// Reads all pages of a list, and lets something happen between them.
async fn all_pages(desk: &Desk, path: &str, mut between: impl AsyncFnMut(&Desk)) -> Vec<Value> {
    let mut items = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = desk.found(As::Admin, &format!("{path}{cursor}")).await;
        items.extend(page["data"].as_array().expect("a list").iter().cloned());
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return items,
        }
        between(desk).await;
    }
}

fn ids(items: &[Value]) -> Vec<&str> {
    items
        .iter()
        .map(|item| item["id"].as_str().expect("an id"))
        .collect()
}

#[tokio::test]
async fn the_feed_is_newest_first_with_conversation_and_contact() {
    let desk = desk().await;
    desk.arrive(SHOP, "anna", "Where is my parcel?").await;
    desk.arrive(PAGE, "boris", "Hello").await;
    let feed = desk.found(As::Admin, "/api/v1/feed").await;
    assert_eq!(each(&feed, "text"), ["Hello", "Where is my parcel?"]);
    assert_eq!(feed["next"], Value::Null);
    let item = &feed["data"][1];
    assert_eq!(item["channel_id"], "shop");
    assert_eq!(item["connector"], "chat");
    assert_eq!(item["received_at"], "2026-11-21T12:00:00.000Z");
    assert_eq!(item["conversation"]["id"], item["conversation_id"]);
    assert_eq!(item["conversation"]["unread_count"], 1);
    assert_eq!(item["contact"]["name"], "anna of 1");
    assert_eq!(item["delivery"], Value::Null);
}

#[tokio::test]
async fn the_feed_never_skips_or_repeats_while_messages_arrive() {
    let desk = desk().await;
    let mut there = Vec::new();
    for number in 0..25 {
        let channel = if number % 3 == 0 { PAGE } else { SHOP };
        there.push(
            desk.arrive(channel, &format!("p{}", number % 7), "early")
                .await
                .1
                .to_string(),
        );
    }
    there.reverse();
    for limit in [1, 4, 25] {
        let path = format!("/api/v1/feed?limit={limit}");
        let seen = all_pages(&desk, &path, async |desk: &Desk| {
            desk.arrive(SHOP, "p1", "late").await;
        });
        let mut seen = seen.await;
        seen.retain(|item| item["text"] == "early");
        assert_eq!(ids(&seen), there, "by {limit}");
    }
}

#[tokio::test]
async fn the_inbox_skips_and_repeats_nothing_that_does_not_move() {
    let desk = desk().await;
    for number in 0..12 {
        desk.app.clock.turn_to(noon().plus_millis(number * 1000));
        desk.arrive(SHOP, &format!("still{number}"), "x").await;
        desk.arrive(SHOP, &format!("moving{number}"), "x").await;
    }
    let mut moved = 0;
    let seen = all_pages(
        &desk,
        "/api/v1/conversations?limit=3",
        async |desk: &Desk| {
            desk.app.clock.turn_to(noon().plus_millis(60_000 + moved));
            desk.arrive(SHOP, &format!("moving{}", moved % 12), "y")
                .await;
            moved += 1;
        },
    );
    let seen = seen.await;
    let still = |item: &&Value| {
        item["contact"]["name"]
            .as_str()
            .is_some_and(|name| name.starts_with("still"))
    };
    let still: Vec<&Value> = seen
        .iter()
        .filter(still)
        .map(|item| &item["contact"]["name"])
        .collect();
    let names: Vec<String> = (0..12)
        .rev()
        .map(|number| format!("still{number} of 1"))
        .collect();
    let names: Vec<Value> = names.into_iter().map(Value::from).collect();
    assert_eq!(still, names.iter().collect::<Vec<_>>());
}

#[tokio::test]
async fn messages_and_contacts_are_paged_whole() {
    let desk = desk().await;
    let (conversation, _) = desk.arrive(SHOP, "anna", "0").await;
    for number in 1..17 {
        desk.arrive(SHOP, "anna", &number.to_string()).await;
        desk.arrive(PAGE, &format!("p{number}"), "x").await;
    }
    let path = format!("/api/v1/conversations/{conversation}/messages?limit=4");
    let messages = all_pages(&desk, &path, async |_: &Desk| {}).await;
    let texts: Vec<&str> = messages
        .iter()
        .filter_map(|message| message["text"].as_str())
        .collect();
    let wanted: Vec<String> = (0..17)
        .rev()
        .map(|number: i32| number.to_string())
        .collect();
    assert_eq!(texts, wanted);
    let contacts = all_pages(&desk, "/api/v1/contacts?limit=5", async |_: &Desk| {}).await;
    let distinct: HashSet<&str> = ids(&contacts).into_iter().collect();
    assert_eq!((contacts.len(), distinct.len()), (17, 17));
}

#[tokio::test]
async fn the_feed_filters() {
    let desk = desk().await;
    desk.invent_people(3).await;
    let (first, _) = desk.arrive(SHOP, "anna", "one").await;
    desk.app.clock.turn_to(noon().plus_millis(60_000));
    desk.arrive(PAGE, "boris", "two").await;
    desk.app.clock.turn_to(noon().plus_millis(120_000));
    desk.arrive(SHOP, "cyril", "three").await;
    let change =
        json!({ "status": "pending", "labels": ["vip"], "assignee_id": "usr_0000000000001" });
    let path = format!("/api/v1/conversations/{first}");
    assert_eq!(
        desk.json(As::Writer, Method::PATCH, &path, &change)
            .await
            .status,
        200
    );
    let reply = json!({ "text": "answer" });
    assert_eq!(
        desk.json(
            As::Writer,
            Method::POST,
            &format!("{path}/messages"),
            &reply
        )
        .await
        .status,
        202
    );
    let note = json!({ "text": "between us", "private": true });
    assert_eq!(
        desk.json(As::Writer, Method::POST, &format!("{path}/messages"), &note)
            .await
            .status,
        201
    );
    let cases: &[(&str, &[&str])] = &[
        ("", &["answer", "three", "two", "one"]),
        ("channel=shop", &["answer", "three", "one"]),
        ("channel=page", &["two"]),
        ("channel=nowhere", &[]),
        ("channel=page&connector=chat", &[]),
        ("connector=platform", &["two"]),
        ("direction=inbound", &["three", "two", "one"]),
        ("direction=outbound", &["answer"]),
        ("since=2026-11-21T12:01:00Z", &["answer", "three", "two"]),
        ("until=2026-11-21T12:01:00Z", &["one"]),
        (
            "since=2026-11-21T14:01:00%2B02:00&until=2026-11-21T12:02:00Z",
            &["two"],
        ),
        ("since=2026-11-22T00:00:00Z", &[]),
        ("until=2020-01-01T00:00:00Z", &[]),
        ("conversation_status=pending", &["answer", "one"]),
        ("conversation_status=open", &["three", "two"]),
        ("assignee=none", &["three", "two"]),
        ("assignee=me", &[]),
        ("assignee=usr_0000000000001", &["answer", "one"]),
        ("label=vip", &["answer", "one"]),
        ("label=VIP", &[]),
        ("label=vip&direction=inbound&limit=1", &["one"]),
    ];
    for (query, wanted) in cases {
        let feed = desk
            .found(As::Admin, &format!("/api/v1/feed?{query}"))
            .await;
        assert_eq!(each(&feed, "text"), *wanted, "{query}");
    }
    // Somebody else's channel is as unknown as none.
    let foreign = desk.found(As::Reader, "/api/v1/feed?channel=page").await;
    assert_eq!(
        foreign,
        desk.found(As::Reader, "/api/v1/feed?channel=nowhere").await
    );
}

#[tokio::test]
async fn a_filter_that_fits_little_is_followed_to_the_end() {
    let desk = desk().await;
    desk.arrive(PAGE, "anna", "the needle").await;
    for number in 0..260 {
        desk.arrive(SHOP, &format!("p{}", number % 3), "hay").await;
    }
    let seen = all_pages(
        &desk,
        "/api/v1/feed?limit=2&connector=platform",
        async |_: &Desk| {},
    )
    .await;
    assert_eq!(seen.len(), 1);
    let seen = all_pages(
        &desk,
        "/api/v1/conversations?limit=2&q=NEEDLE",
        async |_: &Desk| {},
    )
    .await;
    assert_eq!(seen.len(), 1);
}

#[tokio::test]
async fn the_inbox_filters() {
    let desk = desk().await;
    desk.invent_people(3).await;
    let (anna, _) = desk.arrive(SHOP, "anna", "About the fern").await;
    let (boris, _) = desk.arrive(PAGE, "boris", "Tea, please").await;
    let change = json!({ "team_id": "tea_0000000000002", "labels": ["vip"], "subject": "Číslo 7", "status": "resolved" });
    let path = format!("/api/v1/conversations/{boris}");
    assert_eq!(
        desk.json(As::Admin, Method::PATCH, &path, &change)
            .await
            .status,
        200
    );
    assert_eq!(
        desk.json(As::Admin, Method::POST, &format!("{path}/read"), &json!({}))
            .await
            .status,
        200
    );
    let (anna, boris) = (anna.to_string(), boris.to_string());
    let both = BTreeSet::from([anna.as_str(), boris.as_str()]);
    let (one, other) = (
        BTreeSet::from([anna.as_str()]),
        BTreeSet::from([boris.as_str()]),
    );
    let none = BTreeSet::new();
    let cases = [
        ("", &both),
        ("status=resolved", &other),
        ("status=open", &one),
        ("channel=shop", &one),
        ("channel=other", &none),
        ("assignee=none", &both),
        ("assignee=me", &none),
        ("team=tea_0000000000002", &other),
        ("team=tea_0000000000003", &none),
        ("label=vip", &other),
        ("unread=true", &one),
        ("unread=false", &both),
        ("q=FERN", &one),
        ("q=%C4%8D%C3%8DSLO", &other),
        ("q=anna", &one),
        ("q=", &both),
        ("q=nothing", &none),
    ];
    for (query, wanted) in cases {
        let inbox = desk
            .found(As::Admin, &format!("/api/v1/conversations?{query}"))
            .await;
        let seen: BTreeSet<&str> = each(&inbox, "id")
            .into_iter()
            .filter_map(Value::as_str)
            .collect();
        assert_eq!(&seen, wanted, "{query}");
    }
}

#[tokio::test]
async fn contacts_are_found_by_name_address_and_number() {
    let desk = desk().await;
    desk.arrive(SHOP, "anna", "x").await;
    desk.arrive(PAGE, "boris", "x").await;
    let all = desk.found(As::Admin, "/api/v1/contacts").await;
    assert_eq!(each(&all, "name"), ["boris of 2", "anna of 1"]);
    let id = all["data"][1]["id"].as_str().expect("an id");
    let change = json!({ "email": "anna@shop.example", "phone": "+421 900 111" });
    assert_eq!(
        desk.json(
            As::Writer,
            Method::PATCH,
            &format!("/api/v1/contacts/{id}"),
            &change
        )
        .await
        .status,
        200
    );
    for (words, wanted) in [
        ("ANNA", 1),
        ("@SHOP", 1),
        ("900%20111", 1),
        ("of", 2),
        ("zz", 0),
    ] {
        let found = desk
            .found(As::Admin, &format!("/api/v1/contacts?q={words}"))
            .await;
        assert_eq!(each(&found, "id").len(), wanted, "{words}");
    }
    // Neither the contact nor its identities in other channels are shown to who may not see them.
    let few = desk.found(As::PageReader, "/api/v1/contacts?q=of").await;
    assert_eq!(each(&few, "name"), ["boris of 2"]);
}

#[tokio::test]
async fn d04_no_words_make_a_search_explode() {
    let desk = desk().await;
    for number in 0..50 {
        let text = format!("{}{number}", "aaaaaaaaab".repeat(200));
        desk.arrive(SHOP, &format!("{}{number}", "a".repeat(150)), &text)
            .await;
    }
    let mut patterns: Vec<String> = [
        "(a+)+$",
        "(a|aa)+$",
        "(.*)*b",
        "^(([a-z])+.)+[A-Z]([a-z])+$",
        "a{1,1000}{1,1000}",
        "[[:alpha:]",
        "(?R)",
        "\\1",
        "%",
        "_",
        "*",
        "?",
        "\u{0}",
        "\u{fdfa}",
        "e\u{301}",
        "ß",
        "\u{130}",
        "\u{feff}",
        "'; DROP TABLE contacts; --",
    ]
    .map(str::to_owned)
    .to_vec();
    patterns.extend((1..=40).map(|times| "a".repeat(times * 5)));
    patterns.extend((1..=20).map(|times| "\u{fdfa}".repeat(times * 10)));
    patterns.extend((1..=20).map(|times| format!("{}!", "e\u{301}\u{327}".repeat(times * 20))));
    let mut answered = 0;
    for list in ["contacts", "conversations"] {
        for pattern in &patterns {
            let encoded: String = pattern.bytes().map(|byte| format!("%{byte:02x}")).collect();
            let path = format!("/api/v1/{list}?q={encoded}");
            let status = desk.get(As::Admin, &path).await.status.as_u16();
            assert!(matches!(status, 200 | 400 | 422), "{pattern:?}: {status}");
            answered += usize::from(status == 200);
        }
    }
    assert!(patterns.len() >= 99 && answered > 100, "{answered}");
}

#[tokio::test]
async fn t07_what_a_list_does_not_know_is_told_by_name() {
    let desk = desk().await;
    let (conversation, _) = desk.arrive(SHOP, "anna", "x").await;
    desk.arrive(SHOP, "boris", "x").await;
    let messages = format!("/api/v1/conversations/{conversation}/messages");
    let lists = [
        "/api/v1/feed",
        "/api/v1/conversations",
        &messages,
        "/api/v1/contacts",
        "/api/v1/channels",
        "/api/v1/tokens",
        "/api/v1/quarantine",
    ];
    let foreign = desk.found(As::Admin, "/api/v1/feed?limit=1").await;
    let foreign = foreign["next"].as_str().expect("a cursor");
    for list in lists {
        for (query, names) in [
            ("limit=0", "`limit`"),
            ("limit=201", "`limit`"),
            ("limit=x", "`limit`"),
            ("limit=", "`limit`"),
            ("limit=1&limit=2", "`limit`"),
            ("cursor=rubbish", "`cursor`"),
            ("cursor=", "`cursor`"),
            ("colour=red", "`colour`"),
        ] {
            let detail = desk
                .get(As::Admin, &format!("{list}?{query}"))
                .await
                .problem(400);
            assert!(detail.contains(names), "{list}?{query}: {detail}");
        }
        if list != "/api/v1/feed" {
            desk.get(As::Admin, &format!("{list}?cursor={foreign}"))
                .await
                .problem(400);
        }
    }
    for (path, names) in [
        ("/api/v1/feed?direction=up", "`direction`"),
        ("/api/v1/feed?since=noon", "`since`"),
        ("/api/v1/feed?until=1", "`until`"),
        (
            "/api/v1/feed?conversation_status=new",
            "`conversation_status`",
        ),
        ("/api/v1/feed?assignee=anna", "`assignee`"),
        ("/api/v1/conversations?status=new", "`status`"),
        ("/api/v1/conversations?team=x", "`team`"),
        ("/api/v1/conversations?unread=maybe", "`unread`"),
    ] {
        let detail = desk.get(As::Admin, path).await.problem(400);
        assert!(detail.contains(names), "{path}: {detail}");
    }
}
