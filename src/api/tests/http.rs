//! What holds for every address: problems, headers, the document and the reference page.

use std::collections::BTreeSet;

use axum::http::{Method, header};
use serde_json::{Value, json};

use crate::api::docs;
use crate::api::testing::{As, desk};

#[tokio::test]
async fn what_is_not_there_and_what_is_not_taken_are_problems() {
    let desk = desk().await;
    for path in [
        "/api",
        "/api/v1",
        "/api/v1/",
        "/api/v1/nothing",
        "/api/v2/feed",
        "/api/v1/feed/",
        "/nothing",
    ] {
        desk.get(As::Admin, path).await.problem(404);
    }
    for path in [
        "/api/v1/conversations/x",
        "/api/v1/conversations/msg_0000000000001",
        "/api/v1/contacts/cus_",
        "/api/v1/contacts/%ff",
        "/api/v1/conversations/cnv_0000000000001/messages",
        "/api/v1/channels/%ff",
    ] {
        desk.get(As::Admin, path).await.problem(404);
    }
    desk.delete(As::Admin, "/api/v1/tokens/tok_0000000000001")
        .await
        .problem(404);
    for (method, path, allowed) in [
        (Method::POST, "/api/v1/feed", "GET,HEAD"),
        (
            Method::DELETE,
            "/api/v1/conversations/cnv_0000000000001",
            "GET,HEAD,PATCH",
        ),
        (Method::DELETE, "/api/v1/channels", "GET,HEAD,POST"),
        (Method::POST, "/api/v1/connectors", "GET,HEAD"),
        (Method::PATCH, "/api/v1/session", "POST,DELETE"),
    ] {
        let answer = desk.json(As::Admin, method, path, &json!({})).await;
        answer.problem(405);
        assert_eq!(answer.headers[header::ALLOW], allowed, "{path}");
    }
}

#[tokio::test]
async fn s13_answers_of_all_kinds_bear_the_headers() {
    let desk = desk().await;
    let mut ids = BTreeSet::new();
    for path in [
        "/api/v1/feed",
        "/api/v1/nothing",
        "/docs/",
        "/openapi.json",
        "/",
        "/healthz",
        "/webhooks/nothing",
    ] {
        for who in [As::Nobody, As::Admin] {
            let answer = desk.get(who, path).await;
            for (name, value) in [
                ("x-content-type-options", "nosniff"),
                ("referrer-policy", "no-referrer"),
                ("x-frame-options", "DENY"),
                ("cross-origin-opener-policy", "same-origin"),
                ("cross-origin-resource-policy", "same-origin"),
            ] {
                assert_eq!(answer.headers[name], value, "{path}");
            }
            let policy = answer.headers[header::CONTENT_SECURITY_POLICY]
                .to_str()
                .expect("text");
            assert!(
                policy.contains("frame-ancestors 'none'"),
                "{path}: {policy}"
            );
            assert!(!answer.headers.contains_key(header::SERVER));
            ids.insert(
                answer.headers["x-request-id"]
                    .clone()
                    .to_str()
                    .expect("text")
                    .to_owned(),
            );
            if path.starts_with("/api/") {
                assert_eq!(answer.headers[header::CACHE_CONTROL], "no-store");
            }
        }
    }
    assert_eq!(ids.len(), 14, "each request has an id of its own");
}

#[tokio::test]
async fn the_reference_is_served_whole_from_here() {
    let desk = desk().await;
    let document = desk.found(As::Nobody, "/openapi.json").await;
    assert_eq!(document["openapi"], "3.1.0");
    let page = desk.get(As::Nobody, "/docs/").await;
    assert_eq!(page.status, 200);
    assert!(
        page.headers[header::CONTENT_TYPE]
            .to_str()
            .expect("text")
            .starts_with("text/html")
    );
    let html = page.text();
    assert!(
        !html.contains("http://") && !html.contains("https://"),
        "nothing is loaded from elsewhere"
    );
    let named = html
        .split(['"', '\''])
        .filter(|part| part.ends_with(".js") || part.ends_with(".css"));
    let mut files = 0;
    for file in named {
        let answer = desk
            .get(
                As::Nobody,
                &format!("/docs/{}", file.trim_start_matches("./")),
            )
            .await;
        assert_eq!(answer.status, 200, "{file}");
        files += 1;
    }
    assert!(files >= 3, "{files}");
    assert!(
        !html.contains("<script>") && !html.contains("onload="),
        "nothing inline that its policy would stop"
    );
    assert_eq!(desk.get(As::Nobody, "/docs").await.status, 303);
}

#[test]
fn the_document_says_all_of_every_operation() {
    let document: Value = serde_json::from_str(&docs::text()).expect("JSON");
    assert_eq!(
        document["security"],
        json!([{ "bearer": [] }, { "cookie": [] }])
    );
    let paths = document["paths"].as_object().expect("paths");
    let mut ids = BTreeSet::new();
    for (path, item) in paths {
        assert!(path.starts_with("/api/v1/"), "{path}");
        for (method, operation) in item.as_object().expect("operations") {
            let name = format!("{method} {path}");
            for text in ["summary", "description", "operationId"] {
                assert!(
                    operation[text]
                        .as_str()
                        .is_some_and(|text| !text.is_empty()),
                    "{name} has no {text}"
                );
            }
            assert!(
                ids.insert(operation["operationId"].clone().to_string()),
                "{name}: the id stands twice"
            );
            let empty = Vec::new();
            let parameters = operation["parameters"].as_array().unwrap_or(&empty);
            for parameter in parameters {
                assert!(parameter["description"].is_string(), "{name}: {parameter}");
            }
            let in_path = parameters
                .iter()
                .filter(|parameter| parameter["in"] == "path")
                .count();
            assert_eq!(in_path, path.matches('{').count(), "{name}");
            let responses = operation["responses"].as_object().expect("responses");
            assert!(
                responses.keys().any(|status| status.starts_with('2')),
                "{name}"
            );
            for status in ["400", "401", "403", "500", "503"] {
                let problem =
                    &responses[status]["content"]["application/problem+json"]["schema"]["$ref"];
                assert_eq!(problem, "#/components/schemas/Problem", "{name} {status}");
            }
            for (status, response) in responses {
                assert!(
                    response["description"]
                        .as_str()
                        .is_some_and(|text| !text.is_empty()),
                    "{name} {status}"
                );
            }
        }
    }
    assert!(ids.len() >= 24, "{}", ids.len());
    // Every name that is referred to is there.
    let text = document.to_string();
    let schemas = document["components"]["schemas"]
        .as_object()
        .expect("schemas");
    for name in text
        .split("#/components/schemas/")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
    {
        assert!(schemas.contains_key(name), "{name}");
    }
}

#[test]
fn the_kept_document_is_fresh() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        kept == docs::text(),
        "openapi.json is out of date: run `deskbell openapi > openapi.json`"
    );
}
