//! An event in words that people read on a telephone.

use serde_json::Value;

use super::Event;

/// How many characters of a message are told.
const MAX_TEXT_CHARS: usize = 300;
/// How many characters of a name.
const MAX_NAME_CHARS: usize = 100;

/// An event in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Words {
    /// One line: who, where.
    pub(super) title: String,
    /// What.
    pub(super) text: String,
    /// Where one sees it.
    pub(super) link: String,
    /// Whether somebody waits and nobody has come.
    pub(super) is_urgent: bool,
}

/// The words of an event.
pub(super) fn of(event: &Event<'_>) -> Words {
    let data = event.data;
    let message = event.message.unwrap_or(&data["message"]);
    let text = |value: &Value, most: usize| -> Option<String> {
        let text = value.as_str()?.trim();
        let cut: String = text.chars().take(most).collect();
        let dots = if cut.len() < text.len() { "…" } else { "" };
        (!cut.is_empty()).then(|| format!("{cut}{dots}"))
    };
    let who =
        text(&message["author"]["name"], MAX_NAME_CHARS).unwrap_or_else(|| "Somebody".to_owned());
    let channel = [
        &message["channel_id"],
        &data["ring"]["channel_id"],
        &data["channel_id"],
    ]
    .into_iter()
    .find_map(|value| text(value, MAX_NAME_CHARS))
    .unwrap_or_default();
    let what = text(&message["text"], MAX_TEXT_CHARS).unwrap_or_else(|| {
        let kinds: Vec<&str> = message["attachments"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|attachment| attachment["kind"].as_str())
            .take(5)
            .collect();
        kinds.join(", ")
    });
    let conversation = [
        &message["conversation_id"],
        &data["ring"]["conversation_id"],
        &data["conversation"]["id"],
    ]
    .into_iter()
    .find_map(Value::as_str);
    let link = match conversation {
        Some(conversation) => format!("{}/desk/stream/{conversation}", event.desk),
        None => event.desk.to_owned(),
    };
    let step = data["ring"]["step"].as_u64().unwrap_or(1);
    // What is wrong says itself what it is.
    let alarm = text(&data["ring"]["title"], MAX_TEXT_CHARS);
    let (title, text) = match event.kind {
        "bell.rung" | "bell.acknowledged" if alarm.is_some() => (
            alarm.unwrap_or_default(),
            text(&data["ring"]["detail"], MAX_TEXT_CHARS).unwrap_or_default(),
        ),
        "bell.rung" if step > 1 => (format!("{who} still waits in {channel}"), what),
        "bell.rung" => (format!("{who} waits in {channel}"), what),
        "message.created" => (format!("{who} in {channel}"), what),
        "test" => (
            "A test of Deskbell".to_owned(),
            text(&data["text"], MAX_TEXT_CHARS).unwrap_or_default(),
        ),
        "channel.health" => {
            let works = data["healthy"].as_bool().unwrap_or(false);
            let title = if works {
                "works again"
            } else {
                "does not work"
            };
            let detail = text(&data["detail"], MAX_TEXT_CHARS).unwrap_or_default();
            (format!("{channel} {title}"), detail)
        }
        kind => (format!("{kind} {channel}").trim_end().to_owned(), what),
    };
    let text = if text.is_empty() { title.clone() } else { text };
    Words {
        title,
        text,
        link,
        is_urgent: event.kind == "bell.rung" && step > 1,
    }
}
