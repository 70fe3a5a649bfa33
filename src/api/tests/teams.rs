use axum::http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::api::teams::finish_dissolutions;
use crate::api::testing::{As, Desk, SHOP, desk, each};
use crate::desk::changing::ChangeConversation;
use crate::desk::teams::DissolveTeam;
use crate::id::{ConversationId, TeamId};
use crate::store::Scope;
use crate::store::entry::{Actor, Entry, TeamEntry};

async fn made(desk: &Desk, name: &str) -> Value {
    let new = json!({ "name": name });
    let answer = desk.json(As::Admin, Method::POST, "/api/v1/teams", &new);
    let answer = answer.await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
    answer.json()
}

/// Gives a conversation to a team, by whatever way.
async fn give(desk: &Desk, conversation: ConversationId, team: TeamId) {
    let change = ChangeConversation {
        scope: Scope::of_all_channels(),
        conversation,
        author: crate::store::record::AuthorRecord::System,
        expected_assignee: None,
        status: None,
        assignee: None,
        team: Some(Some(team)),
        labels: None,
        priority: None,
        snoozed_until: None,
        subject: None,
        spam: None,
    };
    let given = desk.app.writer.write(change).await.expect("written");
    assert!(given.done().is_some());
}

fn id_of(team: &Value) -> TeamId {
    team["id"].as_str().expect("an id").parse().expect("an id")
}

#[tokio::test]
async fn teams_are_made_changed_and_listed_page_by_page() {
    let desk = desk().await;
    let sales = made(&desk, "  Sales ").await;
    assert_eq!(sales["name"], "Sales");
    assert_eq!(sales["member_ids"], json!([]));
    let after_sales = made(&desk, "After-sales").await;
    let path = format!("/api/v1/teams/{}", sales["id"].as_str().expect("an id"));
    let change = json!({ "name": "SALES" });
    let changed = desk.json(As::Admin, Method::PATCH, &path, &change).await;
    assert_eq!(changed.json()["name"], "SALES");
    let first = desk.found(As::Reader, "/api/v1/teams?limit=1").await;
    assert_eq!(each(&first, "name"), ["SALES"]);
    let next = first["next"].as_str().expect("more");
    let second = format!("/api/v1/teams?limit=1&cursor={next}");
    let second = desk.found(As::Reader, &second).await;
    assert_eq!(each(&second, "id"), [&after_sales["id"]]);
    assert_eq!(second["next"], Value::Null);
}

#[tokio::test]
async fn a_team_that_does_not_do_is_refused_by_its_field() {
    let desk = desk().await;
    let sales = made(&desk, "Sales").await;
    made(&desk, "Returns").await;
    let path = format!("/api/v1/teams/{}", sales["id"].as_str().expect("an id"));
    let cases = [
        (json!({ "name": "" }), "/name"),
        (json!({ "name": "  \n" }), "/name"),
        (json!({ "name": "x".repeat(101) }), "/name"),
        (json!({ "name": "returns" }), "/name"),
        (json!({ "name": null }), "/name"),
        (
            json!({ "name": "New", "member_ids": ["tea_0000000000001"] }),
            "/member_ids/0",
        ),
        (
            json!({ "name": "New", "member_ids": vec!["usr_0000000000001"; 501] }),
            "/member_ids",
        ),
        (
            json!({ "name": "New", "created_at": "2026-11-22T00:00:00Z" }),
            "/created_at",
        ),
    ];
    for (body, pointer) in &cases {
        for (method, path) in [
            (Method::POST, "/api/v1/teams"),
            (Method::PATCH, path.as_str()),
        ] {
            let answer = desk.json(As::Admin, method, path, body).await;
            answer.problem(422);
            let problem = answer.json();
            assert_eq!(problem["errors"][0]["pointer"], *pointer, "{body}");
        }
    }
    let unknown = "/api/v1/teams/tea_0000000000009";
    let answer = desk
        .json(As::Admin, Method::PATCH, unknown, &json!({}))
        .await;
    answer.problem(404);
    desk.delete(As::Admin, unknown).await.problem(404);
    let teams = desk.found(As::Admin, "/api/v1/teams").await;
    assert_eq!(each(&teams, "name"), ["Sales", "Returns"]);
}

#[tokio::test]
async fn the_same_request_makes_one_team_and_a_refused_one_may_come_again() {
    let desk = desk().await;
    let make = async |name: &str| {
        let new = json!({ "name": name });
        let path = "/api/v1/teams";
        desk.json_with_key(As::Admin, Method::POST, path, &new, Some("key"))
            .await
    };
    let other = made(&desk, "Sales").await;
    make("sales").await.problem(422);
    let path = format!("/api/v1/teams/{}", other["id"].as_str().expect("an id"));
    assert_eq!(desk.delete(As::Admin, &path).await.status, 204);
    let first = make("sales").await;
    assert_eq!(first.status, StatusCode::CREATED);
    assert_eq!(make("sales").await.json(), first.json());
    make("others").await.problem(422);
    let path = format!(
        "/api/v1/teams/{}",
        first.json()["id"].as_str().expect("an id")
    );
    assert_eq!(desk.delete(As::Admin, &path).await.status, 204);
    make("sales").await.problem(409);
}

#[tokio::test]
async fn the_conversations_of_a_deleted_team_belong_to_none() {
    let desk = desk().await;
    let (team, other) = (made(&desk, "Sales").await, made(&desk, "Returns").await);
    let mut given = Vec::new();
    for number in 0..250 {
        let (id, _) = desk.arrive(SHOP, &format!("visitor-{number}"), "x").await;
        let team = if number % 5 == 0 { &other } else { &team };
        give(&desk, id, id_of(team)).await;
        given.push(id);
    }
    let path = format!("/api/v1/teams/{}", team["id"].as_str().expect("an id"));
    assert_eq!(desk.delete(As::Admin, &path).await.status, 204);
    for (number, id) in given.iter().enumerate() {
        let path = format!("/api/v1/conversations/{id}");
        let wanted = if number % 5 == 0 {
            other["id"].clone()
        } else {
            Value::Null
        };
        assert_eq!(desk.found(As::Admin, &path).await["team_id"], wanted);
    }
    let left = TeamEntry::scan(&*desk.app.store, &[], None, 10).expect("memory");
    assert_eq!(left.len(), 1);
}

#[tokio::test]
async fn a_deletion_that_was_cut_off_is_finished_at_the_next_start() {
    let desk = desk().await;
    let team = id_of(&made(&desk, "Sales").await);
    let (id, _) = desk.arrive(SHOP, "anna", "x").await;
    give(&desk, id, team).await;
    let by = Actor::system();
    assert!(
        desk.app
            .writer
            .write(DissolveTeam { team, by })
            .await
            .expect("written")
    );
    assert_eq!(
        desk.found(As::Admin, "/api/v1/teams").await["data"],
        json!([])
    );
    // Its name is free, and it cannot be changed any more.
    let path = format!("/api/v1/teams/{team}");
    desk.json(As::Admin, Method::PATCH, &path, &json!({}))
        .await
        .problem(404);
    made(&desk, "Sales").await;
    finish_dissolutions(std::sync::Arc::clone(&desk.app)).await;
    let path = format!("/api/v1/conversations/{id}");
    assert_eq!(desk.found(As::Admin, &path).await["team_id"], Value::Null);
    let kept = TeamEntry::get(&*desk.app.store, &team.key()).expect("memory");
    assert_eq!(kept, None);
}
