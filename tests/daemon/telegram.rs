//! A Telegram bot, through a strict stand-in of the Bot API: everything comes, once, whatever happens to the daemon, the
//! line or the platform; answers go out once, or say honestly that nobody knows.

mod sending;
mod stand_in;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::support::bot_api::{BotApi, Fault};
use crate::support::calls::{Dice, until};
use crate::support::{ADMIN, Daemon, client, config};
use serde_json::{Value, json};

const TOKEN: &str = "4242424242:AAInventedTokenOfTheTests_0-x";
/// How long anything may take on a slow machine.
const PATIENCE: Duration = Duration::from_secs(90);
/// How often the daemon is killed.
const KILLS: usize = 20;

fn with_bot(api: &BotApi, mode: &str) -> String {
    config(&format!(
        "\n[[channels]]\nid = \"bot\"\nconnector = \"telegram\"\nname = \"Butik bot\"\napi_base = \"{}\"\nbot_token = \"{TOKEN}\"\nmode = \"{mode}\"\n",
        api.url()
    ))
}

fn daemon(folder: &Path, api: &BotApi, mode: &str) -> Daemon {
    Daemon::start(folder, &with_bot(api, mode))
}

/// The bot's messages, by their ids at Telegram.
async fn messages(daemon: &Daemon) -> BTreeMap<String, Value> {
    let mut feed = daemon.all("feed?channel=bot", 200).await;
    // An answer under way has no id yet.
    feed.retain(|item| item["external_id"].is_string());
    let count = feed.len();
    let messages: BTreeMap<String, Value> = feed
        .into_iter()
        .filter_map(|item| Some((item["external_id"].as_str()?.to_owned(), item)))
        .collect();
    assert_eq!(messages.len(), count, "an id stands twice in the feed");
    messages
}

async fn until_there(daemon: &Daemon, id: &str) -> Value {
    let mut found = Value::Null;
    until(&format!("{id} is in the feed"), PATIENCE, async || {
        found = messages(daemon).await.remove(id).unwrap_or_default();
        !found.is_null()
    })
    .await;
    found
}

/// Asserts that the daemon behaved, and that its token shows nowhere.
async fn all_is_well(daemon: &Daemon, api: &BotApi) {
    assert_eq!(api.violations(), Vec::<String>::new());
    let secret = TOKEN.split(':').nth(1).expect("a token");
    assert!(
        !daemon.log_text().contains(secret),
        "the token is in the log"
    );
    for text in [
        daemon.metrics().await,
        daemon.get("channels/bot").await.to_string(),
        daemon.get("channels/bot/health").await.to_string(),
    ] {
        assert!(!text.contains(secret), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn m12_a_file_that_a_customer_sends_is_fetched_and_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let api = BotApi::start(TOKEN);
    let daemon = daemon(folder.path(), &api, "poll");
    let content = b"%PDF-1.4 an invented invoice";
    let file = api.holds("invoice.pdf", content);
    let id = api.writes(
        2001,
        json!({ "document": { "file_id": file, "file_unique_id": "u", "file_name": "invoice.pdf", "mime_type": "application/pdf", "file_size": content.len() } }),
    );
    until_there(&daemon, &id).await;
    let mut attachment = Value::Null;
    until("the file is kept", PATIENCE, async || {
        attachment = messages(&daemon).await[&id]["attachments"][0].clone();
        attachment["state"] == "stored"
    })
    .await;
    assert_eq!(
        (&attachment["name"], &attachment["mime_type"]),
        (&json!("invoice.pdf"), &json!("application/pdf"))
    );
    let path = attachment["url"].as_str().expect("a path");
    let request = client().get(format!("{}{path}", daemon.url));
    let answer = request.bearer_auth(ADMIN).send().await.expect("answers");
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.bytes().await.expect("a body").as_ref(), content);
    all_is_well(&daemon, &api).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_people_do_in_telegram_is_on_the_desk() {
    let folder = tempfile::tempdir().expect("a folder");
    let api = BotApi::start(TOKEN);
    // What came before the daemon's first start waits at Telegram.
    let early = api.says(2001, "Dobrý deň, je to na sklade?");
    let daemon = daemon(folder.path(), &api, "poll");
    let first = until_there(&daemon, &early).await;
    assert_eq!(first["contact"]["name"], "Jana");
    // From now on the kinds that are wanted were named, reactions among them.
    let photo = api.writes(
        2001,
        json!({ "photo": [{ "file_id": "A", "file_unique_id": "a", "width": 9, "height": 9, "file_size": 5 }], "caption": "Toto" }),
    );
    let quoted: i64 = early
        .split(':')
        .nth(1)
        .and_then(|id| id.parse().ok())
        .expect("a number");
    let answer = api.writes(
        2001,
        json!({ "text": "Myslím toto", "reply_to_message": { "message_id": quoted, "date": 1, "chat": { "id": 2001, "type": "private" } } }),
    );
    let place = api.writes(
        2001,
        json!({ "location": { "latitude": 48.1, "longitude": 17.1 } }),
    );
    let strange = api.writes(2001, json!({ "hologram": { "size": 3 } }));
    let album: Vec<String> = ["b", "c", "d"]
        .iter()
        .map(|id| {
            let mut part = json!({ "media_group_id": "77", "photo": [{ "file_id": id, "file_unique_id": id, "width": 9, "height": 9 }] });
            if *id == "c" {
                part["caption"] = json!("Všetky tri");
            }
            api.writes(2001, part)
        })
        .collect();
    let person = json!({ "id": 2001, "is_bot": false, "first_name": "Jana" });
    let chat = json!({ "id": 2001, "type": "private", "first_name": "Jana" });
    let now = crate::support::now_ms() / 1000;
    api.happens(json!({ "edited_message": {
        "message_id": quoted, "from": person, "chat": chat, "date": now, "edit_date": now + 1, "text": "Dobrý deň, je to modré na sklade?",
    } }));
    api.happens(json!({ "message_reaction": {
        "chat": chat, "message_id": quoted, "user": person, "date": now, "old_reaction": [], "new_reaction": [{ "type": "emoji", "emoji": "❤" }],
    } }));
    api.happens(json!({ "callback_query": {
        "id": "8595873210000000001", "from": person, "chat_instance": "-1", "data": "yes",
        "message": { "message_id": 3, "date": now, "chat": chat, "reply_markup": { "inline_keyboard": [[{ "text": "Áno", "callback_data": "yes" }]] } },
    } }));
    api.happens(json!({ "my_chat_member": {
        "chat": chat, "from": person, "date": now, "old_chat_member": { "status": "member" }, "new_chat_member": { "status": "kicked" },
    } }));
    let last = api.says(2001, "koniec");
    until_there(&daemon, &last).await;

    let seen = messages(&daemon).await;
    assert_eq!(seen[&photo]["text"], "Toto");
    assert_eq!(seen[&photo]["attachments"][0]["kind"], "image");
    assert_eq!(seen[&answer]["reply_to"], first["id"]);
    assert_eq!(seen[&place]["attachments"][0]["latitude"], 48.1);
    assert_eq!(seen[&strange]["attachments"][0]["kind"], "unsupported");
    let whole = &seen[&album[0]];
    assert_eq!(
        whole["attachments"].as_array().map(Vec::len),
        Some(3),
        "{whole}"
    );
    assert_eq!(whole["text"], "Všetky tri");
    assert!(!seen.contains_key(&album[1]), "an album is one message");
    assert_eq!(seen[&early]["text"], "Dobrý deň, je to modré na sklade?");
    assert_eq!(seen[&early]["reactions"][0]["emoji"], "❤");
    let tap = seen
        .values()
        .find(|message| message["text"] == "Áno")
        .expect("the tap");
    assert_eq!(tap["metadata"]["payload"], "yes");
    let conversation = first["conversation_id"].as_str().expect("an id");
    let entries = daemon
        .all(&format!("conversations/{conversation}/messages"), 200)
        .await;
    assert!(
        entries.iter().any(|entry| entry["kind"] == "activity"
            && entry["text"]
                .as_str()
                .is_some_and(|text| text.contains("blocked"))),
        "{entries:?}"
    );
    let shown = daemon.get(&format!("conversations/{conversation}")).await;
    assert_eq!(shown["message_count"], 8, "six messages, an album, a tap");
    assert_eq!(shown["unread_count"], 8);
    let health = daemon.get("channels/bot/health").await;
    assert_eq!(health["state"], "up", "{health}");
    all_is_well(&daemon, &api).await;
    // A look that waits for up to 50 seconds does not hold up the end.
    let (status, took) = daemon.stop();
    assert!(
        status.success() && took < Duration::from_secs(30),
        "{status} after {took:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p13_kill_9_while_messages_flow_loses_and_doubles_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let api = Arc::new(BotApi::start(TOKEN));
    // Answers of a few updates each: many confirmations, and fewer than the limit says nothing.
    api.answers_up_to(2_000);
    let stop = Arc::new(AtomicBool::new(false));
    let writing = {
        let (api, stop) = (Arc::clone(&api), Arc::clone(&stop));
        tokio::task::spawn_blocking(move || {
            let mut written = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let number = written.len();
                let person = 2000 + i64::try_from(number % 7).expect("small");
                written.push((person, api.says(person, &format!("text {number}"))));
                std::thread::sleep(Duration::from_millis(10));
            }
            written
        })
    };
    let mut dice = Dice::new(0x7E1E);
    let mut daemon = daemon(folder.path(), &api, "poll");
    for round in 0..KILLS {
        if round % 4 == 3 {
            // Answers that get lost on their way were given all the same.
            api.next_looks([
                Fault::Cut { executed: true },
                Fault::HalfAnAnswer { executed: true },
            ]);
        }
        // However slow the machine is, something is asked for in each round; then it dies at any moment.
        let looks = api.looks();
        api.until(PATIENCE, "a look", |api| api.looks() > looks)
            .await;
        std::thread::sleep(Duration::from_millis(dice.below(300) as u64));
        daemon.kill();
        daemon = Daemon::start_as_it_is(folder.path());
    }
    stop.store(true, Ordering::Relaxed);
    let written = writing.await.expect("writes");
    api.until(PATIENCE, "all are confirmed", |api| api.waiting() == 0)
        .await;

    let seen = messages(&daemon).await;
    let lost: Vec<_> = written
        .iter()
        .filter(|(_, id)| !seen.contains_key(id))
        .collect();
    assert!(
        lost.is_empty(),
        "{} of {} lost: {lost:?}",
        lost.len(),
        written.len()
    );
    assert_eq!(seen.len(), written.len(), "none is there twice");
    assert!(written.len() > 200, "only {} flowed", written.len());
    for conversation in daemon.all("conversations?channel=bot", 50).await {
        let id = conversation["id"].as_str().expect("an id");
        let mut order: Vec<String> = daemon
            .all(&format!("conversations/{id}/messages"), 200)
            .await
            .iter()
            .map(|message| message["external_id"].as_str().expect("an id").to_owned())
            .collect();
        order.reverse();
        let person = order[0].split(':').next().expect("a chat").to_owned();
        let as_written: Vec<String> = written
            .iter()
            .filter(|(chat, _)| chat.to_string() == person)
            .map(|(_, id)| id.clone())
            .collect();
        assert_eq!(order, as_written);
        assert_eq!(conversation["message_count"], order.len());
    }
    all_is_well(&daemon, &api).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bot_in_webhook_mode_registers_itself_and_lets_nobody_else_in() {
    let folder = tempfile::tempdir().expect("a folder");
    let api = BotApi::start(TOKEN);
    let before = api.says(2001, "before the start");
    let mut daemon = daemon(folder.path(), &api, "webhook");
    until_there(&daemon, &before).await;
    let (address, secret) = api.webhook().expect("it is set");
    assert_eq!(address, format!("{}/webhooks/bot", daemon.url));
    assert!(secret.len() == 64 && !daemon.log_text().contains(&secret));

    let forged = json!({ "update_id": 1, "message": { "message_id": 900, "date": 1, "text": "forged", "chat": { "id": 2001, "type": "private" }, "from": { "id": 2001, "is_bot": false, "first_name": "Jana" } } });
    let other = "0".repeat(64);
    for header in [None, Some(""), Some(other.as_str()), Some(&secret[..63])] {
        let mut request = client().post(&address).json(&forged);
        if let Some(header) = header {
            request = request.header("x-telegram-bot-api-secret-token", header);
        }
        let answer = request.send().await.expect("answers");
        assert_eq!(answer.status(), 401, "{header:?}");
    }
    let genuine = |body: Vec<u8>| {
        let request = client()
            .post(&address)
            .header("x-telegram-bot-api-secret-token", &secret);
        request.body(body).send()
    };
    assert_eq!(
        genuine(b"[]".to_vec()).await.expect("answers").status(),
        400
    );
    let odd = br#"{"update_id":2,"message":{"message_id":"x"}}"#.to_vec();
    assert_eq!(
        genuine(odd).await.expect("answers").status(),
        200,
        "kept for the operator"
    );
    assert_eq!(messages(&daemon).await.len(), 1);

    // Somebody takes the webhook away while the daemon is down: it is ours again after the next start, and what was
    // written meanwhile comes.
    daemon.kill();
    api.somebody_sets_a_webhook("http://127.0.0.1:9/elsewhere");
    let meanwhile = api.says(2001, "meanwhile");
    daemon = Daemon::start_as_it_is(folder.path());
    until_there(&daemon, &meanwhile).await;
    let health = daemon.get("channels/bot/health").await;
    assert_eq!(health["state"], "up", "{health}");
    all_is_well(&daemon, &api).await;
    assert!(!daemon.log_text().contains(&secret));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_line_that_breaks_in_every_way_loses_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let api = BotApi::start(TOKEN);
    api.somebody_sets_a_webhook("http://127.0.0.1:9/elsewhere");
    let early = api.says(2001, "a webhook is in the way");
    let daemon = daemon(folder.path(), &api, "poll");
    until_there(&daemon, &early).await;
    assert_eq!(api.webhook(), None, "taken away, with what waits");
    for fault in [
        Fault::TooMany { retry_after: 1 },
        Fault::Trouble,
        Fault::BadGateway { executed: true },
        Fault::Cut { executed: true },
        Fault::HalfAnAnswer { executed: true },
        Fault::Refused {
            code: 409,
            description: "Conflict: terminated by setWebhook request",
        },
    ] {
        let shown = format!("{fault:?}");
        api.next_looks([fault]);
        let id = api.says(2001, &shown);
        let message = until_there(&daemon, &id).await;
        assert_eq!(message["text"], shown.as_str());
    }
    all_is_well(&daemon, &api).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_reader_of_the_same_bot_is_told_in_plain_words_and_ends_by_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    let api = BotApi::start(TOKEN);
    let daemon = daemon(folder.path(), &api, "poll");
    api.until(PATIENCE, "a look", |api| api.looks() > 0).await;
    // Somebody else asks again and again, and confirms nothing.
    let stop = Arc::new(AtomicBool::new(false));
    let address = format!("{}/bot{TOKEN}/getUpdates", api.url());
    let rival = tokio::spawn({
        let stop = Arc::clone(&stop);
        async move {
            while !stop.load(Ordering::Relaxed) {
                let body = json!({ "timeout": 0 });
                // It loses as often as we do.
                let _ = client().post(&address).json(&body).send().await;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    });
    until("the conflict shows", PATIENCE, async || {
        let channel = daemon.get("channels/bot").await;
        channel["state"] == "broken"
            && channel["detail"]
                .as_str()
                .is_some_and(|detail| detail.contains("another program"))
    })
    .await;
    stop.store(true, Ordering::Relaxed);
    rival.await.expect("ends");
    let id = api.says(2001, "we are alone again");
    until_there(&daemon, &id).await;
    until("it works again", PATIENCE, async || {
        daemon.get("channels/bot").await["state"] == "up"
    })
    .await;
    all_is_well(&daemon, &api).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn f17_a_revoked_token_is_told_to_people_and_everything_goes_on_when_it_works_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let api = BotApi::start(TOKEN);
    let daemon = daemon(folder.path(), &api, "poll");
    let before = api.says(2001, "before");
    until_there(&daemon, &before).await;
    let mut stream = client()
        .get(format!("{}/api/v1/events?after=0", daemon.url))
        .bearer_auth(ADMIN)
        .timeout(Duration::from_secs(600))
        .send()
        .await
        .expect("streams");
    api.token_is("4242424242:AAanother");
    let mut heard = String::new();
    let told = tokio::time::timeout(PATIENCE, async {
        while !(heard.contains("event: channel.health") && heard.contains("@BotFather")) {
            let chunk = stream.chunk().await.expect("streams").expect("goes on");
            heard.push_str(&String::from_utf8_lossy(&chunk));
        }
    });
    told.await.expect("people are told");
    let channel = daemon.get("channels/bot").await;
    assert_eq!(channel["state"], "broken", "{channel}");
    api.token_is(TOKEN);
    let after = api.says(2001, "after");
    until_there(&daemon, &after).await;
    until("it works again", PATIENCE, async || {
        daemon.get("channels/bot").await["state"] == "up"
    })
    .await;
    all_is_well(&daemon, &api).await;
}
