//! The first run: the set-up link, and what a stranger sees.

use futures_util::future::join_all;

use crate::support::{APP_SECRET, Daemon, PAGE, client, config, envelope, message, now_ms};

const CUSTOMERS_WORDS: &str = "words that only the shop may read";

async fn with_a_message(folder: &std::path::Path) -> Daemon {
    let daemon = Daemon::start(folder, &config(""));
    let body = envelope(
        PAGE,
        &[message("2001", "m_private", CUSTOMERS_WORDS, now_ms())],
    );
    assert_eq!(daemon.deliver("shop-page", APP_SECRET, body).await, 200);
    daemon
}

async fn get(url: &str, cookie: Option<&str>) -> (u16, String, Option<String>) {
    let mut request = client().get(url);
    if let Some(cookie) = cookie {
        request = request.header("cookie", cookie);
    }
    let answer = request.send().await.expect("answers");
    let cookie = answer
        .headers()
        .get("set-cookie")
        .map(|value| value.to_str().expect("text").to_owned());
    (
        answer.status().as_u16(),
        answer.text().await.expect("text"),
        cookie,
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s12_of_a_hundred_that_use_the_link_at_once_one_gets_in() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = with_a_message(folder.path()).await;
    let link = daemon.setup_url.clone();
    assert!(
        daemon.printed.contains("is ready") && daemon.printed.contains(&daemon.url),
        "{}",
        daemon.printed
    );
    // Wrong ones first: they use nothing up.
    let (before, token) = link.split_once("token=").expect("a token");
    assert!(token.len() >= 43, "256 bits");
    for wrong in [
        "",
        "x",
        &token[..42],
        &format!("{token}x"),
        &token.to_uppercase(),
        "null",
        "%00",
    ] {
        let (status, _, cookie) = get(&format!("{before}token={wrong}"), None).await;
        assert_eq!((status, cookie), (303, None), "{wrong:?}");
    }
    assert_eq!(
        get(before.trim_end_matches('?'), None).await.0,
        400,
        "no token at all"
    );
    let answers = join_all((0..100).map(|_| get(&link, None))).await;
    let sessions: Vec<_> = answers
        .iter()
        .filter(|(_, _, cookie)| cookie.is_some())
        .collect();
    assert_eq!(sessions.len(), 1, "exactly one");
    // The others are sent to where one signs in.
    for (status, body, _) in &answers {
        assert_eq!(*status, 303, "{body}");
    }
    let cookie = sessions[0].2.as_deref().expect("a cookie");
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"),
        "{cookie}"
    );
    let session = cookie.split(';').next().expect("a pair");
    let (status, page, _) = get(&format!("{}/", daemon.url), Some(session)).await;
    assert_eq!(status, 200);
    assert!(
        page.contains("<html")
            || page.contains("<!doctype html>")
            || page.contains("<!DOCTYPE html>"),
        "{page}"
    );
    let (status, feed, _) = get(&format!("{}/api/v1/feed", daemon.url), Some(session)).await;
    assert_eq!(status, 200);
    assert!(feed.contains(CUSTOMERS_WORDS));
    for who in [None, Some(session)] {
        let (status, _, cookie) = get(&link, who).await;
        assert_eq!((status, cookie), (303, None), "used up, also for who is in");
    }

    // After a restart there is a new link, the old one stays dead, and the session goes on.
    assert!(daemon.stop().0.success());
    let daemon = Daemon::start_as_it_is(folder.path());
    let old = format!("{}/setup?token={token}", daemon.url);
    assert_ne!(daemon.setup_url, old);
    assert_eq!(get(&old, None).await.2, None);
    assert_eq!(
        get(&format!("{}/api/v1/feed", daemon.url), Some(session))
            .await
            .0,
        200
    );
}

#[tokio::test]
async fn t01_without_a_session_no_page_shows_anything() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = with_a_message(folder.path()).await;
    let conversation = daemon.get("conversations").await["data"][0]["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let forged = [
        "deskbell=",
        "deskbell=x",
        "deskbell=null",
        "__Host-deskbell=x",
        "deskbell=../../x",
        "session=1; deskbell=0; admin=1",
    ];
    for cookie in [None].into_iter().chain(forged.into_iter().map(Some)) {
        let (status, page, set) = get(&format!("{}/", daemon.url), cookie).await;
        // The page is the same for everybody, and empty until its script was let in.
        assert_eq!(status, 200, "{cookie:?}");
        assert!(
            !page.contains(CUSTOMERS_WORDS) && !page.contains("shop-page") && set.is_none(),
            "{cookie:?}: {page}"
        );
        for path in [
            "feed".to_owned(),
            "conversations".to_owned(),
            format!("conversations/{conversation}"),
            format!("conversations/{conversation}/messages"),
            "contacts".to_owned(),
            "channels".to_owned(),
            "events?after=0".to_owned(),
            "tokens".to_owned(),
            "quarantine".to_owned(),
            "me".to_owned(),
        ] {
            let (status, body, _) = get(&format!("{}/api/v1/{path}", daemon.url), cookie).await;
            assert_eq!(status, 401, "{path} with {cookie:?}");
            assert!(
                !body.contains(CUSTOMERS_WORDS) && !body.contains("Page shop-page"),
                "{path}: {body}"
            );
        }
    }
    let answer = client()
        .get(format!("{}/", daemon.url))
        .send()
        .await
        .expect("answers");
    let policy = answer.headers()["content-security-policy"]
        .to_str()
        .expect("text");
    assert!(
        policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe-inline"),
        "{policy}"
    );
}
