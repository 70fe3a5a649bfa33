//! Meta's verification of the address: the right answer, and nothing of a stranger's text ever.

use crate::support::{Daemon, client, config};

/// What browsers run, in many clothes.
const SCRIPTS: &[&str] = &[
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "\"><script>alert(1)</script>",
    "javascript:alert(1)",
    "<iframe srcdoc='<script>alert(1)</script>'>",
    "{{7*7}}",
    "${7*7}",
    "<body onload=alert(1)>",
    "'-alert(1)-'",
    "<math><mi xlink:href=\"javascript:alert(1)\">",
    "<a href=\"data:text/html,x\">x</a>",
    "<input autofocus onfocus=alert(1)>",
    "<details open ontoggle=alert(1)>",
    "<!--<img src=\"--><img src=x onerror=alert(1)>",
    "\u{feff}<script>alert(1)</script>",
    "<scr\0ipt>alert(1)</scr\0ipt>",
    "＜script＞alert(1)＜/script＞",
    "+ADw-script+AD4-alert(1)",
    "<?xml version=\"1.0\"?><x/>",
];

/// Each script alone and around a number, as somebody may try who knows that a number is wanted.
fn payloads() -> Vec<String> {
    let clothes: [fn(&str) -> String; 10] = [
        |script| script.to_owned(),
        |script| format!("1158201444{script}"),
        |script| format!("{script}1158201444"),
        |script| format!("1158\n{script}"),
        |script| format!("1158\r\n\r\n{script}"),
        |script| format!(" {script}"),
        |script| script.to_uppercase(),
        |script| format!("%3C{script}"),
        |script| format!("1158201444\t{script}\0"),
        |script| format!("-1{script}"),
    ];
    SCRIPTS
        .iter()
        .flat_map(|script| clothes.iter().map(|clothe| clothe(script)))
        .collect()
}

async fn verify(daemon: &Daemon, channel: &str, query: &[(&str, &str)]) -> (u16, String) {
    let request = client()
        .get(format!("{}/webhooks/{channel}", daemon.url))
        .query(query);
    let answer = request.send().await.expect("the daemon answers");
    if answer.status() != 404 {
        assert_eq!(
            answer.headers()["content-type"],
            "text/plain; charset=utf-8"
        );
    }
    assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
    (answer.status().as_u16(), answer.text().await.expect("text"))
}

const TOKEN: &str = "invented-verify-token";

#[tokio::test]
async fn w08_no_challenge_but_a_number_comes_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &config(""));
    let payloads = payloads();
    assert_eq!(payloads.len(), 200);
    for payload in &payloads {
        // With the right token, with a wrong one that is itself a script, and as the mode.
        for query in [
            [
                ("hub.mode", "subscribe"),
                ("hub.verify_token", TOKEN),
                ("hub.challenge", payload),
            ],
            [
                ("hub.mode", "subscribe"),
                ("hub.verify_token", payload),
                ("hub.challenge", payload),
            ],
            [
                ("hub.mode", payload),
                ("hub.verify_token", TOKEN),
                ("hub.challenge", "1158201444"),
            ],
        ] {
            let (status, body) = verify(&daemon, "shop-page", &query).await;
            assert_eq!(status, 403, "{payload:?}");
            assert_eq!(body, "not verified", "{payload:?}");
        }
    }
}

#[tokio::test]
async fn w08_the_right_handshake_is_answered_as_meta_documents_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &config(&crate::support::calls::echo("echo")));
    let longest = "9".repeat(128);
    for challenge in ["1158201444", "0", longest.as_str()] {
        let right = [
            ("hub.mode", "subscribe"),
            ("hub.challenge", challenge),
            ("hub.verify_token", TOKEN),
        ];
        assert_eq!(
            verify(&daemon, "shop-page", &right).await,
            (200, challenge.to_owned())
        );
    }
    let too_long = "9".repeat(129);
    for wrong in [
        vec![],
        vec![("hub.mode", "subscribe"), ("hub.verify_token", TOKEN)],
        vec![("hub.mode", "subscribe"), ("hub.challenge", "1158201444")],
        vec![("hub.verify_token", TOKEN), ("hub.challenge", "1158201444")],
        vec![
            ("hub.mode", "unsubscribe"),
            ("hub.verify_token", TOKEN),
            ("hub.challenge", "1158201444"),
        ],
        vec![
            ("hub.mode", "subscribe"),
            ("hub.verify_token", "wrong"),
            ("hub.challenge", "1158201444"),
        ],
        vec![
            ("hub.mode", "subscribe"),
            ("hub.verify_token", ""),
            ("hub.challenge", "1158201444"),
        ],
        vec![
            ("hub.mode", "subscribe"),
            ("hub.verify_token", "INVENTED-VERIFY-TOKEN"),
            ("hub.challenge", "1158201444"),
        ],
        vec![
            ("hub.mode", "subscribe"),
            ("hub.verify_token", TOKEN),
            ("hub.challenge", ""),
        ],
        vec![
            ("hub.mode", "subscribe"),
            ("hub.verify_token", TOKEN),
            ("hub.challenge", "-1"),
        ],
        vec![
            ("hub.mode", "subscribe"),
            ("hub.verify_token", TOKEN),
            ("hub.challenge", "١٢٣"),
        ],
        vec![
            ("hub.mode", "subscribe"),
            ("hub.verify_token", TOKEN),
            ("hub.challenge", &too_long),
        ],
        vec![
            ("hub_mode", "subscribe"),
            ("hub_verify_token", TOKEN),
            ("hub_challenge", "1158201444"),
        ],
        // Of a parameter that comes twice the first counts, whatever stands in the second.
        vec![
            ("hub.mode", "subscribe"),
            ("hub.verify_token", "wrong"),
            ("hub.verify_token", TOKEN),
            ("hub.challenge", "1"),
        ],
    ] {
        assert_eq!(
            verify(&daemon, "shop-page", &wrong).await,
            (403, "not verified".to_owned()),
            "{wrong:?}"
        );
    }
    // A channel without a handshake has nothing to verify, and one that is not there is no channel.
    for channel in ["echo", "site", "nobody"] {
        let right = [
            ("hub.mode", "subscribe"),
            ("hub.challenge", "1158201444"),
            ("hub.verify_token", TOKEN),
        ];
        let (status, body) = verify(&daemon, channel, &right).await;
        assert_eq!(status, 404);
        assert!(!body.contains("1158201444"));
    }
    let health = daemon.get("channels/shop-page/health").await;
    assert!(health["last_handshake_at"].is_string(), "{health}");
    for method in [
        reqwest::Method::PUT,
        reqwest::Method::DELETE,
        reqwest::Method::PATCH,
    ] {
        let answer = client()
            .request(method, format!("{}/webhooks/shop-page", daemon.url))
            .send()
            .await
            .expect("answers");
        assert_eq!(answer.status(), 405);
        assert_eq!(answer.headers()["allow"], "GET, POST");
    }
}
