//! That the stand-in is as strict as it says: what it lets pass proves nothing otherwise.

use serde_json::{Value, json};

use super::TOKEN;
use crate::support::bot_api::BotApi;
use crate::support::client;

async fn call(api: &BotApi, method: &str, arguments: Value) -> (u16, Value) {
    let request = client().post(format!("{}/bot{TOKEN}/{method}", api.url()));
    let answer = request.json(&arguments).send().await.expect("answers");
    (answer.status().as_u16(), answer.json().await.expect("JSON"))
}

fn numbers(answer: &Value) -> Vec<i64> {
    let updates = answer["result"].as_array().expect("a list");
    updates
        .iter()
        .filter_map(|update| update["update_id"].as_i64())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn updates_stay_until_they_are_confirmed() {
    let api = BotApi::start(TOKEN);
    for number in 0..5 {
        api.says(2001, &format!("{number}"));
    }
    let (_, first) = call(&api, "getUpdates", json!({ "limit": 2 })).await;
    let given = numbers(&first);
    assert_eq!(given.len(), 2);
    let (_, again) = call(&api, "GetUpdates", json!({ "offset": 0 })).await;
    assert_eq!(numbers(&again).len(), 5, "nothing was confirmed");
    let (_, later) = call(&api, "getUpdates", json!({ "offset": given[1] + 1 })).await;
    assert_eq!(numbers(&later).len(), 3);
    assert_eq!(api.waiting(), 3);
    // An offset that lies outside of the queue confirms nothing.
    let (_, far) = call(&api, "getUpdates", json!({ "offset": given[1] + 1000 })).await;
    assert_eq!(numbers(&far).len(), 3);
    assert_eq!(api.violations(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_never_given_must_not_be_confirmed_nor_forgotten() {
    let api = BotApi::start(TOKEN);
    api.says(2001, "one");
    api.says(2001, "two");
    let (_, first) = call(&api, "getUpdates", json!({ "limit": 1 })).await;
    let given = numbers(&first)[0];
    let (status, _) = call(&api, "getUpdates", json!({ "offset": given + 2 })).await;
    assert_eq!((status, api.violations().len()), (400, 1));
    let (status, _) = call(&api, "getUpdates", json!({ "offset": -1 })).await;
    assert_eq!((status, api.violations().len()), (400, 2));
    let (status, _) = call(
        &api,
        "deleteWebhook",
        json!({ "drop_pending_updates": true }),
    )
    .await;
    assert_eq!((status, api.violations().len()), (400, 3));
    let (status, _) = call(
        &api,
        "sendMessage",
        json!({ "chat_id": 2001, "text": "x", "txet": "y" }),
    )
    .await;
    assert_eq!((status, api.violations().len()), (400, 4));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_look_ends_the_first_and_a_webhook_ends_all() {
    let api = BotApi::start(TOKEN);
    let first = tokio::spawn({
        let request = client().post(format!("{}/bot{TOKEN}/getUpdates", api.url()));
        request
            .json(&json!({ "timeout": 50 }))
            .timeout(super::PATIENCE)
            .send()
    });
    api.until(super::PATIENCE, "the first look", |api| api.looks() == 1)
        .await;
    let second = call(&api, "getUpdates", json!({ "timeout": 0 })).await;
    assert_eq!(second.0, 200);
    let ended = first.await.expect("ends").expect("answers");
    assert_eq!(ended.status(), 409);
    let set = json!({ "url": "https://x.example/", "secret_token": "s", "allowed_updates": ["message"], "drop_pending_updates": false });
    assert_eq!(call(&api, "setWebhook", set.clone()).await.0, 200);
    assert_eq!(call(&api, "setWebhook", set).await.0, 429, "once a second");
    let (status, answer) = call(&api, "getUpdates", json!({})).await;
    assert_eq!(status, 409);
    assert!(
        answer["description"]
            .as_str()
            .is_some_and(|words| words.contains("webhook is active"))
    );
    let other = client().post(format!("{}/bot1:other/getMe", api.url()));
    assert_eq!(other.send().await.expect("answers").status(), 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kinds_that_were_not_named_do_not_come() {
    let api = BotApi::start(TOKEN);
    let reaction = || json!({ "message_reaction": { "chat": {}, "message_id": 1, "date": 1 } });
    api.happens(reaction());
    assert_eq!(api.waiting(), 0, "not in the default");
    call(
        &api,
        "getUpdates",
        json!({ "allowed_updates": ["message_reaction"] }),
    )
    .await;
    call(&api, "getUpdates", json!({})).await;
    api.happens(reaction());
    api.says(2001, "hello");
    assert_eq!(api.waiting(), 1, "what was named last stays in force");
}
