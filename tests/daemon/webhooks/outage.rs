//! A store that cannot write: the platform is asked to come again, and nothing that was acknowledged is lost.

use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::support::calls::until;
use crate::support::graph::{Graph, Page};
use crate::support::{
    APP_SECRET, Daemon, PAGE, client, config, envelope, message, now_ms, signature,
};

/// Sets how large a file of the daemon's may become; `None`: as large as it likes.
fn limit_files(daemon: &Daemon, bytes: Option<u64>) -> bool {
    let pid = i32::try_from(daemon.pid()).ok().and_then(Pid::from_raw);
    prlimit(
        pid,
        Resource::Fsize,
        Rlimit {
            current: bytes,
            maximum: None,
        },
    )
    .is_ok()
}

#[tokio::test]
async fn f08_while_the_store_cannot_write_senders_are_asked_to_come_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let graph = Graph::start(Page {
        app_id: "4242424242".to_owned(),
        app_secret: APP_SECRET.to_owned(),
        page_id: PAGE.to_owned(),
        page_token: "invented-page-token".to_owned(),
        version: "v25.0".to_owned(),
        human_agent: false,
    });
    graph.knows("2001");
    let with_graph = config("").replace("http://127.0.0.1:9", graph.url());
    let daemon = Daemon::start(folder.path(), &with_graph);
    let delivery = |mid: &str| envelope(PAGE, &[message("2001", mid, "kept?", now_ms())]);
    assert_eq!(
        daemon
            .deliver("shop-page", APP_SECRET, delivery("m_before"))
            .await,
        200
    );
    // Nothing is to be on its way to the disk when it fails: the person is looked up and the daemon started afresh.
    until(
        "the person has a name",
        Duration::from_secs(60),
        async || daemon.get("feed").await["data"][0]["contact"]["name"].is_string(),
    )
    .await;
    daemon.stop();
    let daemon = Daemon::start_as_it_is(folder.path());
    if !limit_files(&daemon, Some(1)) {
        panic!(
            "this system does not let one process limit another's files, without which nothing is proven here"
        );
    }
    for number in 0..5 {
        let body = delivery(&format!("m_during_{number}"));
        let request = client().post(format!("{}/webhooks/shop-page", daemon.url));
        let request = request
            .header("x-hub-signature-256", signature(APP_SECRET, &body))
            .body(body);
        let answer = request.send().await.expect("the daemon lives");
        assert_eq!(answer.status(), 503);
        let seconds: u32 = answer.headers()["retry-after"]
            .to_str()
            .expect("text")
            .parse()
            .expect("seconds");
        assert!((1..=60).contains(&seconds), "{seconds}");
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
    }
    // Forged ones are told apart from what cannot be kept, and what is there can be read.
    assert_eq!(
        daemon
            .post_webhook("shop-page", &[], delivery("m_forged").into_bytes())
            .await,
        401
    );
    assert_eq!(
        client()
            .get(format!("{}/readyz", daemon.url))
            .send()
            .await
            .expect("answers")
            .status(),
        503
    );
    assert_eq!(
        client()
            .get(format!("{}/healthz", daemon.url))
            .send()
            .await
            .expect("answers")
            .status(),
        200
    );
    let feed = daemon.all("feed", 50).await;
    assert_eq!(feed.len(), 1, "reading goes on: {feed:?}");

    assert!(limit_files(&daemon, None));
    until(
        "the store takes changes again",
        Duration::from_secs(10),
        async || {
            daemon
                .deliver("shop-page", APP_SECRET, delivery("m_after"))
                .await
                == 200
        },
    )
    .await;
    // What was refused comes again, as platforms do.
    for number in 0..5 {
        assert_eq!(
            daemon
                .deliver(
                    "shop-page",
                    APP_SECRET,
                    delivery(&format!("m_during_{number}"))
                )
                .await,
            200
        );
    }
    assert_eq!(
        client()
            .get(format!("{}/readyz", daemon.url))
            .send()
            .await
            .expect("answers")
            .status(),
        200
    );
    assert_eq!(daemon.all("feed", 50).await.len(), 7, "each once");
    daemon.kill();
    let daemon = Daemon::start_as_it_is(folder.path());
    assert_eq!(daemon.all("feed", 50).await.len(), 7, "and after a crash");
}
