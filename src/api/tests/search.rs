//! The search, as its callers meet it.

use std::time::{Duration, Instant};

use axum::http::Method;
use serde_json::{Value, json};

use crate::api::testing::{As, Desk, PAGE, SHOP, desk, each};
use crate::search::{SearchThread, start};

/// A desk whose index follows; the thread ends with it.
struct Searching {
    desk: Desk,
    thread: Option<SearchThread>,
}

impl Drop for Searching {
    fn drop(&mut self) {
        self.desk.app.stopping.cancel();
        if let Some(thread) = self.thread.take() {
            drop(thread);
        }
    }
}

impl Searching {
    async fn new() -> Self {
        let desk = desk().await;
        let thread = start(&desk.app).expect("a thread");
        Self {
            desk,
            thread: Some(thread),
        }
    }

    /// What is found once everything that was written can be.
    async fn found(&self, who: As, query: &str) -> Value {
        let until = Instant::now() + Duration::from_secs(60);
        while {
            let standing = self.desk.app.search.standing();
            !standing.is_complete || standing.seq < self.desk.app.store.head()
        } {
            assert!(Instant::now() < until);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.desk
            .found(who, &format!("/api/v1/search?{query}"))
            .await
    }
}

#[tokio::test]
async fn what_was_just_written_is_found_at_once() {
    let searching = Searching::new().await;
    let desk = &searching.desk;
    desk.arrive(SHOP, "anna", "turquoise0").await;
    searching.found(As::Admin, "q=turquoise0").await;
    let mut at_once = 0;
    for number in 1..10 {
        let word = format!("turquoise{number}");
        desk.arrive(SHOP, "anna", &word).await;
        let path = format!("/api/v1/search?type=message&q={word}");
        let mut found = desk.found(As::Admin, &path).await;
        at_once += usize::from(found["complete"] == true);
        // On a machine that has no second for it, it says so, and is asked again.
        let until = Instant::now() + Duration::from_secs(60);
        while found["complete"] == false {
            assert!(Instant::now() < until, "{found}");
            found = desk.found(As::Admin, &path).await;
        }
        assert_eq!(each(&found, "type"), ["message"], "{word}");
        assert_eq!(found["complete"], true);
    }
    assert!(at_once > 0, "it waits for what is new");
}

fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

#[tokio::test]
async fn messages_and_contacts_are_found_best_first_with_what_was_looked_for() {
    let searching = Searching::new().await;
    let desk = &searching.desk;
    let (conversation, message) = desk
        .arrive(SHOP, "anna", "Kde je moja objednávka OBJ-2026/00123?")
        .await;
    desk.arrive(PAGE, "objednavkar", "Nič.").await;
    let found = searching.found(As::Admin, "q=Objednavka").await;
    assert_eq!(found["complete"], true);
    assert_eq!(found["next"], Value::Null);
    let types = each(&found, "type");
    assert_eq!(
        types,
        ["message", "contact"],
        "a whole word before the beginning of one"
    );
    let hit = &found["data"][0];
    assert_eq!(hit["message"]["id"], message.to_string());
    assert_eq!(hit["conversation"]["id"], conversation.to_string());
    assert!(hit["score"].as_f64().expect("a number") > 0.0);
    assert!(hit.get("contact").is_none());
    let fragment = json!({ "field": "text", "parts": [
        { "text": "Kde je moja ", "hit": false },
        { "text": "objednávka", "hit": true },
        { "text": " OBJ-2026/00123?", "hit": false },
    ] });
    assert_eq!(hit["fragments"], json!([fragment]));
    let contact = &found["data"][1];
    assert_eq!(contact["contact"]["name"], "objednavkar of 2");
    assert_eq!(contact["fragments"][0]["field"], "name");
    for query in [
        "obj-2026/00123",
        "2026/00123",
        "00123",
        "\"moja objednávka\"",
        "kde objed",
    ] {
        let found = searching
            .found(As::Admin, &format!("type=message&q={}", escaped(query)))
            .await;
        assert_eq!(each(&found, "type").len(), 1, "{query}");
    }
    for query in ["\"objednávka moja\"", "objednávka nikde", "123", "🎉", ""] {
        let found = searching
            .found(As::Admin, &format!("type=message&q={}", escaped(query)))
            .await;
        assert_eq!(each(&found, "type").len(), 0, "{query}");
    }
    // Notes and files are found as well.
    let path = format!("/api/v1/conversations/{conversation}/messages");
    let file = desk
        .uploaded(As::Writer, "Faktúra-77.pdf", b"%PDF-1.4")
        .await;
    for body in [
        json!({ "text": "Pozor, reklamácia", "private": true }),
        json!({ "text": "Posielam", "attachment_ids": [file] }),
    ] {
        desk.json(As::Writer, Method::POST, &path, &body).await;
    }
    let note = searching.found(As::Admin, "q=reklamacia").await;
    assert_eq!(note["data"][0]["message"]["kind"], "note");
    let file = searching.found(As::Admin, "q=faktura-77").await;
    assert_eq!(file["data"][0]["fragments"][0]["field"], "attachment");
    let cyrillic = "Мой заказ ещё в пути";
    desk.arrive(PAGE, "boris", cyrillic).await;
    let found = searching
        .found(As::Admin, &format!("q={}", escaped("ЗАКАЗ еще")))
        .await;
    assert_eq!(found["data"][0]["message"]["text"], cyrillic);
}

#[tokio::test]
async fn t03_nothing_of_other_channels_is_found_counted_or_weighed() {
    let searching = Searching::new().await;
    let desk = &searching.desk;
    desk.arrive(SHOP, "secretperson", "canary slovo").await;
    desk.arrive(PAGE, "verejna", "slovo pre vsetkych").await;
    let alone = searching.found(As::PageReader, "q=slovo").await;
    assert_eq!(each(&alone, "type"), ["message"]);
    let score = alone["data"][0]["score"].clone();
    for number in 0..30 {
        desk.arrive(SHOP, "secretperson", &format!("canary slovo {number}"))
            .await;
    }
    for query in [
        "q=canary",
        "q=secretperson",
        "q=canary&channel=shop",
        "q=slovo&channel=shop",
        "q=secretpers&type=contact",
    ] {
        let found = searching.found(As::PageReader, query).await;
        assert_eq!(found["data"], json!([]), "{query}");
        assert_eq!(found["next"], Value::Null, "{query}");
        let seen = searching.found(As::Reader, query).await;
        assert_ne!(seen["data"], json!([]), "{query}: who may see it does");
    }
    let again = searching.found(As::PageReader, "q=slovo").await;
    assert_eq!(
        again["data"][0]["score"], score,
        "what is hidden has no weight"
    );
    assert_eq!(again["next"], Value::Null);

    // One person, known in both channels: the id in the hidden one does not tell.
    let contacts = desk.found(As::Admin, "/api/v1/contacts").await;
    let id_of = |name: &str| {
        let found = contacts["data"]
            .as_array()
            .expect("a list")
            .iter()
            .find(|one| one["name"] == name);
        found.expect("there")["id"]
            .as_str()
            .expect("an id")
            .to_owned()
    };
    let (stays, goes) = (id_of("verejna of 2"), id_of("secretperson of 1"));
    let path = format!("/api/v1/contacts/{stays}/merge");
    let merged = desk
        .json(
            As::Admin,
            Method::POST,
            &path,
            &json!({ "contact_id": goes }),
        )
        .await;
    assert_eq!(merged.status, 200, "{}", merged.text());
    for (who, query, count) in [
        (As::PageReader, "q=verejna", 1),
        (As::PageReader, "q=secretperson", 0),
        (As::Reader, "q=secretperson&type=contact", 1),
        (As::Admin, "q=secretperson&type=contact", 1),
        (As::Admin, "q=secretperson&type=contact&channel=page", 0),
    ] {
        let found = searching.found(who, query).await;
        assert_eq!(each(&found, "type").len(), count, "{who:?} {query}");
        if who == As::PageReader {
            assert!(!found.to_string().contains("secretperson"), "{query}");
        }
    }
}

#[tokio::test]
async fn pages_meet_while_messages_arrive() {
    let searching = Searching::new().await;
    let desk = &searching.desk;
    let mut there = Vec::new();
    for number in 0..23 {
        let text = if number % 3 == 0 { "skoro" } else { "skorocel" };
        there.push((
            number % 3 == 0,
            desk.arrive(SHOP, "anna", text).await.1.to_string(),
        ));
    }
    // Whole words first, then the newest.
    there.sort();
    there.reverse();
    let there: Vec<_> = there.into_iter().map(|(_, id)| id).collect();
    for limit in [1, 5, 22, 23, 24] {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let query = format!("q=skoro&type=message&limit={limit}{cursor}");
            let page = searching.found(As::Admin, &query).await;
            let items = page["data"].as_array().expect("a list");
            assert!(items.len() <= limit);
            seen.extend(
                items
                    .iter()
                    .map(|hit| hit["message"]["id"].as_str().expect("an id").to_owned()),
            );
            let Some(next) = page["next"].as_str() else {
                break;
            };
            cursor = format!("&cursor={next}");
            desk.arrive(SHOP, "anna", "skoroneskoro").await;
        }
        seen.retain(|id| there.contains(id));
        assert_eq!(seen, there, "by {limit}");
    }
}

#[tokio::test]
async fn what_is_asked_wrongly_is_told() {
    let searching = Searching::new().await;
    let desk = &searching.desk;
    for (query, named) in [
        (format!("q={}", "x".repeat(201)), "`q`"),
        ("q=x&type=note".to_owned(), "`type`"),
        ("q=x&since=yesterday".to_owned(), "`since`"),
        ("q=x&limit=0".to_owned(), "`limit`"),
        ("q=x&cursor=AAAA".to_owned(), "`cursor`"),
    ] {
        let answer = desk
            .get(As::Admin, &format!("/api/v1/search?{query}"))
            .await;
        assert!(answer.problem(400).contains(named), "{query}");
    }
    desk.arrive(SHOP, "anna", "ahoj").await;
    for (query, count) in [
        ("q=ahoj&since=2026-11-21T12:00:00Z", 1),
        ("q=ahoj&until=2026-11-21T12:00:00Z", 0),
        ("q=ahoj&since=2026-11-21T12:00:01Z", 0),
        ("q=ahoj&channel=none", 0),
        ("q=ahoj&channel=shop", 1),
        ("q=ahoj&type=contact", 0),
    ] {
        let found = searching.found(As::Admin, query).await;
        assert_eq!(each(&found, "type").len(), count, "{query}");
    }
}
