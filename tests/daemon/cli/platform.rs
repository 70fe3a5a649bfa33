//! `deskbell check`, against a stand-in for Meta's Graph API.

use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::cli::{Said, run};
use crate::support::PAGE;

const TOKEN: &str = "EAAinventedTokenThatIsNeverShown";
const APP: &str = "4242424242";

/// What the stand-in answers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mood {
    Content,
    RefusesTheToken,
    KnowsAnotherPage,
    IsInTrouble,
    HidesConversations,
}

async fn me(mood: Mood, headers: HeaderMap) -> (StatusCode, Json<Value>) {
    let presented = headers
        .get("authorization")
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
        .to_owned();
    match mood {
        // As Meta does, it repeats the token in its message.
        Mood::RefusesTheToken => {
            let error = json!({ "message": format!("Malformed access token {presented}"), "type": "OAuthException", "code": 190 });
            (StatusCode::BAD_REQUEST, Json(json!({ "error": error })))
        }
        Mood::IsInTrouble => (
            StatusCode::INTERNAL_SERVER_ERROR,
            Json(json!({ "error": { "code": 2, "is_transient": true } })),
        ),
        Mood::KnowsAnotherPage => (
            StatusCode::OK,
            Json(json!({ "id": "1111111111", "name": "Another" })),
        ),
        Mood::Content | Mood::HidesConversations if presented == format!("Bearer {TOKEN}") => {
            (StatusCode::OK, Json(json!({ "id": PAGE, "name": "Butik" })))
        }
        Mood::Content | Mood::HidesConversations => (
            StatusCode::UNAUTHORIZED,
            Json(json!({ "error": { "code": 190 } })),
        ),
    }
}

/// A stand-in for the Graph API on a free port of this machine.
async fn graph(mood: Mood) -> String {
    let fields = [
        "messages",
        "messaging_postbacks",
        "message_deliveries",
        "message_reads",
        "message_echoes",
        "message_reactions",
        "message_edits",
        "messaging_referrals",
        "messaging_optins",
        "messaging_optouts",
        "messaging_account_linking",
        "messaging_handovers",
        "standby",
        "messaging_policy_enforcement",
    ];
    let subscribed = move |Path((_, page)): Path<(String, String)>| async move {
        assert_eq!(page, PAGE);
        Json(json!({ "data": [{ "id": APP, "subscribed_fields": fields }] }))
    };
    let conversations = get(move |headers: HeaderMap| async move {
        assert!(headers.contains_key("authorization"));
        match mood {
            Mood::HidesConversations => (
                StatusCode::FORBIDDEN,
                Json(json!({ "error": { "message": "x", "type": "OAuthException", "code": 10 } })),
            ),
            _ => (StatusCode::OK, Json(json!({ "data": [] }))),
        }
    });
    let router = Router::new()
        .route("/{version}/{page}/conversations", conversations)
        .route(
            "/{version}/me",
            get(move |headers: HeaderMap| me(mood, headers)),
        )
        .route("/{version}/{page}/subscribed_apps", get(subscribed));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

async fn check(mood: Mood) -> Said {
    let folder = tempfile::tempdir().expect("a folder");
    let base = graph(mood).await;
    let config = format!(
        "[[channels]]\nid = \"shop-page\"\nconnector = \"messenger\"\nname = \"Butik\"\napi_base = \"{base}\"\napp_id = \"{APP}\"\npage_id = \"{PAGE}\"\n\
         page_access_token = \"{TOKEN}\"\napp_secret = \"invented-app-secret\"\nverify_token = \"invented-verify-token\"\n\
         [[channels]]\nid = \"site\"\nconnector = \"webchat\"\nname = \"Website\"\n"
    );
    std::fs::write(folder.path().join("deskbell.toml"), config).expect("written");
    let said = tokio::task::spawn_blocking(move || {
        let said = run(folder.path(), &["check"]);
        assert!(
            !folder.path().join("data").exists(),
            "a check makes nothing"
        );
        said
    });
    let said = said.await.expect("checked");
    for secret in [TOKEN, "invented-app-secret", "invented-verify-token"] {
        assert!(
            !said.out.contains(secret) && !said.err.contains(secret),
            "{secret} is shown: {said:?}"
        );
    }
    said
}

/// The line of a channel.
fn line<'a>(said: &'a Said, channel: &str) -> &'a str {
    said.out
        .lines()
        .find_map(|line| line.strip_prefix(&format!("{channel}: ")))
        .unwrap_or_else(|| panic!("{channel}: {said:?}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_says_of_each_channel_whether_it_works() {
    let good = check(Mood::Content).await;
    assert_eq!(good.code, Some(0), "{good:?}");
    assert!(line(&good, "shop-page").contains(PAGE), "{good:?}");
    assert!(line(&good, "site").contains("fine"), "{good:?}");

    let refused = check(Mood::RefusesTheToken).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let told = line(&refused, "shop-page");
    assert!(
        told.contains("190")
            && told.contains("page_access_token")
            && told.contains("generate a new token"),
        "{told}"
    );
    assert!(
        line(&refused, "site").contains("fine"),
        "one broken channel says nothing of the others"
    );

    let other = check(Mood::KnowsAnotherPage).await;
    assert_eq!(other.code, Some(1), "{other:?}");
    assert!(
        line(&other, "shop-page").contains("1111111111"),
        "{other:?}"
    );

    let trouble = check(Mood::IsInTrouble).await;
    assert_eq!(
        trouble.code,
        Some(1),
        "what could not be looked at is not said to work: {trouble:?}"
    );
    assert!(
        line(&trouble, "shop-page").contains("could not be looked at"),
        "{trouble:?}"
    );

    let hidden = check(Mood::HidesConversations).await;
    assert_eq!(hidden.code, Some(1), "{hidden:?}");
    assert!(
        line(&hidden, "shop-page").contains("pages_read_engagement"),
        "{hidden:?}"
    );
}
