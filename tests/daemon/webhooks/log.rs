//! Nothing that comes from outside makes a line of the log, or speaks to the terminal that shows it (K04).

use serde_json::json;

use crate::support::calls::signature_of;
use crate::support::{APP_SECRET, Daemon, PAGE, client, config, envelope, now_ms};

/// What begins a line, or a command to a terminal, for some reader of the log.
const BEGINNINGS: [&str; 10] = [
    "\n",
    "\r\n",
    "\r",
    "\u{1b}[2J\u{1b}[H",
    "\u{1b}]0;title\u{7}",
    "\u{9b}31m",
    "\u{2028}",
    "\u{85}",
    "\u{0}\u{8}\u{8}\u{8}",
    "\u{b}\u{c}",
];
/// What would be believed if it stood at the beginning of a line.
const FORGERIES: [&str; 10] = [
    "2026-11-22T00:00:00.000000Z ERROR forged",
    "2026-11-22T00:00:00.000000Z  INFO forged",
    "{\"level\":\"ERROR\",\"message\":\"forged\"}",
    "deskbell: forged",
    "thread 'main' panicked at forged",
    "<0>forged",
    "Nov 22 00:00:00 host sudo: forged",
    "[31mforged",
    "`rm -rf /` forged",
    "%n%s forged",
];

#[tokio::test]
async fn k04_nothing_from_outside_makes_a_line_of_the_log() {
    let folder = tempfile::tempdir().expect("a folder");
    let daemon = Daemon::start(folder.path(), &config(""));
    let mut sent = 0;
    for beginning in BEGINNINGS {
        for forgery in FORGERIES {
            let payload = format!("{beginning}{forgery} {sent}");
            // The platform's words for the operator are logged.
            let event = json!({
                "recipient": { "id": PAGE },
                "timestamp": now_ms(),
                "policy_enforcement": { "action": "warning", "reason": payload },
            });
            let undecodable = json!({ "sender": payload, "recipient": payload, "timestamp": payload, "message": payload });
            let body = envelope(PAGE, &[event, undecodable]);
            let encoded: String = payload.bytes().map(|byte| format!("%{byte:02X}")).collect();
            let answer = client()
                .post(format!("{}/webhooks/shop-page?{encoded}", daemon.url))
                .header(
                    "x-hub-signature-256",
                    signature_of(APP_SECRET, body.as_bytes()),
                )
                .body(body)
                .send()
                .await
                .expect("answers");
            assert_eq!(answer.status(), 200);
            for path in ["webhooks/", "api/v1/", "chat/"] {
                let url = format!("{}/{path}{encoded}", daemon.url);
                let answer = client().get(url).send().await.expect("answers");
                assert!(answer.status().is_client_error());
            }
            sent += 1;
        }
    }
    assert_eq!(sent, 100);
    daemon.wait_for_log("forged 99");
    let log = daemon.log();
    let told = log.lines().filter(|line| line.contains("forged")).count();
    assert!(told >= 100, "what is looked for is in the log: {told}");
    for line in log.split('\n').filter(|line| !line.is_empty()) {
        let begins_itself =
            line.len() > 20 && line.is_char_boundary(11) && line[..11].ends_with('T');
        let is_ours = begins_itself && line[..4].bytes().all(|byte| byte.is_ascii_digit());
        let control = line
            .chars()
            .find(|character| character.is_control() || "\u{2028}\u{2029}".contains(*character));
        assert!(is_ours && control.is_none(), "{line:?}");
        // Each line is told once: no second time of day stands where a line would begin.
        assert!(!line[11..].starts_with("2026"), "{line:?}");
    }
}
