//! A workflow of Teams: an Adaptive Card, at an address whose `sig` is the secret. It answers 202 to whatever has the form.

use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse as _;
use serde_json::{Value, json};

use super::stand_in::{Kind, Wrong, json_of, only, text};

const ADDRESS: &str = "/workflows/0invented0/triggers/manual/paths/invoke?api-version=2016-06-01&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=inventedInvented_0123456789";

pub(super) const TEAMS: Kind = Kind {
    name: "teams",
    address: ADDRESS,
    called: ADDRESS,
    token: None,
    read: json_of,
    check: takes,
    ok: |_| StatusCode::ACCEPTED.into_response(),
    words: "/attachments/0/content/body/1/inlines/0/text",
};

fn takes(headers: &HeaderMap, body: &Value) -> Result<(), Wrong> {
    let kind = headers.get("content-type");
    if kind.is_none_or(|kind| kind != "application/json") {
        return Err((400, "it is not JSON by its header".to_owned()));
    }
    let checked = || -> Result<(), String> {
        only(body, &["type", "attachments"])?;
        if body["type"] != "message" || body.to_string().len() > 28 * 1024 {
            return Err("it is no message, or a long one".to_owned());
        }
        let [attachment] = body["attachments"]
            .as_array()
            .map_or(&[][..], Vec::as_slice)
        else {
            return Err("one card".to_owned());
        };
        only(attachment, &["contentType", "contentUrl", "content"])?;
        let card = &attachment["content"];
        let is_card = attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
            && attachment["contentUrl"].is_null()
            && card["type"] == "AdaptiveCard"
            && card["version"] == "1.4";
        if !is_card {
            return Err(format!("no card: {attachment}"));
        }
        only(
            card,
            &["$schema", "type", "version", "body", "actions", "msteams"],
        )?;
        for block in card["body"].as_array().ok_or("no body")? {
            // A TextBlock would read mark-up in a customer's words.
            only(block, &["type", "inlines"])?;
            if block["type"] != "RichTextBlock" {
                return Err(format!("mark-up is read in {block}"));
            }
            for run in block["inlines"].as_array().ok_or("no inlines")? {
                only(run, &["type", "text", "weight"])?;
                text(run, "text", 20_000)?;
                if run["type"] != "TextRun"
                    || (run["weight"] != "Bolder" && run["weight"] != "Default")
                {
                    return Err(format!("no run: {run}"));
                }
            }
        }
        for action in card["actions"].as_array().ok_or("no actions")? {
            only(action, &["type", "title", "url"])?;
            if action["type"] != "Action.OpenUrl" {
                return Err(format!("no link: {action}"));
            }
            text(action, "title", 100)?;
            url::Url::parse(text(action, "url", 2_000)?).map_err(|error| error.to_string())?;
        }
        Ok(())
    };
    checked().map_err(|why| (400, why))
}

#[test]
fn it_refuses_what_is_not_right() {
    let mut headers = HeaderMap::new();
    let run = |text: &str| json!({ "type": "RichTextBlock", "inlines": [{ "type": "TextRun", "text": text, "weight": "Default" }] });
    let message = json!({ "type": "message", "attachments": [{
        "contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": null,
        "content": { "type": "AdaptiveCard", "version": "1.4", "body": [run("x")],
            "actions": [{ "type": "Action.OpenUrl", "title": "Open", "url": "https://desk.example" }] },
    }] });
    assert!(takes(&headers, &message).is_err(), "no header");
    headers.insert("content-type", "application/json".parse().expect("a value"));
    assert_eq!(takes(&headers, &message), Ok(()));
    for (place, value) in [
        ("/type", json!("card")),
        ("/attachments", json!([])),
        ("/attachments/0/contentType", json!("text/html")),
        ("/attachments/0/content/version", json!("1.6")),
        (
            "/attachments/0/content/body/0",
            json!({ "type": "TextBlock", "text": "**x**" }),
        ),
        ("/attachments/0/content/body/0/inlines/0/text", json!("")),
        (
            "/attachments/0/content/body/0/inlines/0/text",
            json!("x".repeat(30_000)),
        ),
        ("/attachments/0/content/actions/0/url", json!("desk")),
        (
            "/attachments/0/content/actions/0/type",
            json!("Action.Submit"),
        ),
    ] {
        let mut off = message.clone();
        *off.pointer_mut(place).expect("there") = value;
        assert!(takes(&headers, &off).is_err(), "{off}");
    }
}
