//! `deskbell channel register`, against a stand-in for Meta that calls the address back before it answers.

use deskbell_sdk::Secret;

use crate::cli::{Said, run};
use crate::support::graph::{Graph, Page};
use crate::support::{APP_SECRET, Daemon, PAGE, config, messenger};

const TOKEN: &str = "invented-page-token";
const REGISTER: [&str; 3] = ["channel", "register", "shop-page"];

fn graph() -> Graph {
    Graph::start(Page {
        app_id: "4242424242".to_owned(),
        app_secret: APP_SECRET.to_owned(),
        page_id: PAGE.to_owned(),
        page_token: TOKEN.to_owned(),
        version: "v25.0".to_owned(),
        human_agent: false,
    })
}

/// Runs a command beside the daemon of `folder`.
async fn said(folder: &std::path::Path, args: &[&str]) -> Said {
    let (folder, args) = (folder.to_owned(), args.iter().map(ToString::to_string));
    let args: Vec<String> = args.collect();
    let said = tokio::task::spawn_blocking(move || {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        run(&folder, &args)
    });
    let said = said.await.expect("it ends");
    for secret in [TOKEN, APP_SECRET, "invented-verify-token"] {
        let secret = Secret::new(secret);
        assert!(
            !said.out.contains(secret.expose()) && !said.err.contains(secret.expose()),
            "a secret is shown: {said:?}"
        );
    }
    said
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_is_registered_read_back_compared_and_undone() {
    let folder = tempfile::tempdir().expect("a folder");
    let graph = graph();
    let daemon = Daemon::start(
        folder.path(),
        &config("").replace("http://127.0.0.1:9", graph.url()),
    );
    let registered = said(folder.path(), &REGISTER).await;
    assert_eq!(registered.code, Some(0), "{registered:?}");
    for what in ["address: fine", "callback: fine", "subscription: fine"] {
        assert!(registered.out.contains(what), "{what}: {registered:?}");
    }
    let (callback, fields) = graph.app_delivers().expect("registered");
    assert_eq!(callback, format!("{}/webhooks/shop-page", daemon.url));
    let of_page = graph.subscribed_fields().expect("subscribed");
    assert_eq!((fields.len(), &fields), (14, &of_page));
    // What the stand-in delivers now arrives.
    graph.knows("2001");
    let mid = graph.person_wrote("2001", "Is it there?");
    let event = crate::support::message("2001", &mid, "Is it there?", graph.written_at(&mid));
    assert_eq!(graph.tells(vec![event]).await, 200);

    // Somebody changes something in the dashboard: the next look says what.
    graph.page_loses(&["messages", "message_reads"]);
    let health = daemon.get("channels/shop-page/health").await;
    assert!(health["findings"].is_array(), "{health}");
    let again = said(folder.path(), &REGISTER).await;
    assert_eq!(again.code, Some(0), "it may be run at any time: {again:?}");
    graph.forgets_subscriptions_to(&["messages", "message_reads"]);
    let mismatch = said(folder.path(), &REGISTER).await;
    assert_eq!(mismatch.code, Some(1), "{mismatch:?}");
    assert!(
        mismatch.out.contains("subscription: broken") && mismatch.out.contains("message_reads"),
        "{mismatch:?}"
    );
    graph.forgets_subscriptions_to(&[]);

    let undone = said(folder.path(), &[&REGISTER[..], &["--undo"]].concat()).await;
    assert_eq!(undone.code, Some(0), "{undone:?}");
    assert_eq!(
        (graph.app_delivers(), graph.subscribed_fields()),
        (None, None)
    );
    assert_eq!(graph.violations(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_registered_is_told_in_plain_words() {
    let folder = tempfile::tempdir().expect("a folder");
    let graph = graph();
    // The first Page's platform is on this machine; the other's is not, and there is no public address.
    let other = messenger("far-page", "777", "888", APP_SECRET)
        .replace("api_base = \"http://127.0.0.1:9\"\n", "");
    let daemon = Daemon::start(
        folder.path(),
        &config(&other).replace("http://127.0.0.1:9", graph.url()),
    );
    for (channel, words) in [
        ("far-page", "public_url is missing"),
        ("site", "needs no registration"),
        ("nowhere", "no such channel"),
    ] {
        let refused = said(folder.path(), &["channel", "register", channel]).await;
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.err.contains(words), "{words}: {refused:?}");
    }
    // The Page's app is another's: Meta does not know it by this secret.
    graph.token_is("another-token-now");
    let refused = said(folder.path(), &REGISTER).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.err.contains("page_access_token"), "{refused:?}");
    drop(daemon);
}
