//! Cursors and bodies that somebody has tampered with.

use axum::http::Method;
use serde_json::json;

use super::matrix::{path_of, things};
use super::rights::routes;
use crate::api::testing::{As, SHOP, desk};
use crate::store::entry::Role;

#[tokio::test]
async fn t07_ten_thousand_tampered_cursors_are_refused_and_tell_nothing() {
    let desk = desk().await;
    for number in 0..3 {
        desk.arrive(SHOP, &format!("person{number}"), "canary-words")
            .await;
        desk.add_user(&format!("{number}@shop.example"), Role::Viewer, None)
            .await;
    }
    let mut refused = 0;
    for list in ["feed", "conversations", "contacts", "users", "tokens"] {
        let path = format!("/api/v1/{list}?limit=1");
        let cursor = desk.found(As::Admin, &path).await["next"].clone();
        let cursor = cursor.as_str().expect("more").to_owned();
        assert_eq!(
            desk.get(As::Admin, &format!("{path}&cursor={cursor}"))
                .await
                .status
                .as_u16(),
            200
        );
        let mut seed = 7_u64;
        for _ in 0..2_000 {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let at = usize::try_from(seed >> 33).expect("small") % cursor.len();
            let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
            let digit =
                char::from(digits[usize::try_from(seed >> 20).expect("small") % digits.len()]);
            let mut tampered = cursor.clone();
            tampered.replace_range(at..=at, &digit.to_string());
            if seed.is_multiple_of(7) {
                tampered.truncate(at);
            }
            if tampered == cursor {
                continue;
            }
            let answer = desk
                .get(As::Reader, &format!("{path}&cursor={tampered}"))
                .await;
            let wanted = if list == "tokens" { 403 } else { 400 };
            answer.problem(wanted);
            assert!(!answer.text().contains("canary"));
            refused += 1;
        }
    }
    assert!(refused > 9_500, "{refused}");
}

/// Fields that somebody would try to set who must not: of people, of records, of other desks, and of JavaScript.
const FOREIGN_FIELDS: [&str; 52] = [
    "id",
    "ID",
    "_id",
    "uuid",
    "user_id",
    "owner",
    "owner_id",
    "author",
    "author_id",
    "account_id",
    "inbox_id",
    "channel_id",
    "source_id",
    "connector_id",
    "external_id",
    "team_ids",
    "member_of",
    "role",
    "Role",
    "roles",
    "is_admin",
    "admin",
    "superuser",
    "rights",
    "permissions",
    "right",
    "disabled",
    "active",
    "generation",
    "password_hash",
    "password_digest",
    "two_factor",
    "verified",
    "email_verified",
    "invitation",
    "session",
    "session_id",
    "joined_at",
    "last_seen_at",
    "created_at",
    "updated_at",
    "received_at",
    "sent_at",
    "expires",
    "hash",
    "secret_hash",
    "version",
    "direction",
    "delivery",
    "__proto__",
    "constructor",
    "$where",
];

#[tokio::test]
async fn t04_no_body_takes_a_field_that_it_does_not_name() {
    let desk = desk().await;
    let shop = things(&desk, SHOP, "shop", "canary-of-the-shop").await;
    let (id, _) = desk.person("jana@shop.example", Role::Viewer, None).await;
    let team = desk
        .json(
            As::Admin,
            Method::POST,
            "/api/v1/teams",
            &json!({ "name": "Front" }),
        )
        .await
        .json();
    let team = team["id"].as_str().expect("an id").to_owned();
    let document = serde_json::to_value(crate::api::docs::document()).expect("JSON");
    let mut checked = 0;
    for route in routes() {
        let method = route.method.as_str().to_lowercase();
        let content =
            &document["paths"][&route.path][&method]["requestBody"]["content"]["application/json"];
        let Some(schema) = content["schema"]["$ref"].as_str() else {
            continue;
        };
        let name = schema.rsplit('/').next().expect("a name");
        let known = &document["components"]["schemas"][name]["properties"];
        assert!(known.is_object(), "{name} says what it takes");
        let path = match route.tag.as_str() {
            "users" => route.path.replace("{id}", &id.to_string()),
            "teams" => route.path.replace("{id}", &team),
            "hooks" => route.path.replace("{id}", "hok_0000000000001"),
            "replies" => route.path.replace("{id}", "rep_0000000000001"),
            "devices" => route.path.replace("{id}", "dev_0000000000001"),
            "views" => route.path.replace("{id}", "vie_0000000000001"),
            _ => path_of(&route, &shop),
        };
        for field in FOREIGN_FIELDS {
            if known.get(field).is_some() {
                continue;
            }
            for value in [json!("admin"), json!(true), json!({ "role": "admin" })] {
                let mut body = json!({});
                body[field] = value;
                let answer = desk
                    .json(As::Admin, route.method.clone(), &path, &body)
                    .await;
                let detail = answer.problem(422);
                assert!(
                    detail.contains(field),
                    "{} {path} {body}: {detail}",
                    route.method
                );
                checked += 1;
            }
        }
    }
    assert!(checked >= 2_000, "{checked}");
    let unchanged = desk.found(As::Admin, &format!("/api/v1/users/{id}")).await;
    assert_eq!(
        (&unchanged["role"], &unchanged["status"]),
        (&json!("viewer"), &json!("active"))
    );
}
