//! Looking for a message whose answer was lost: in the Page's own conversation with the person (Conversations API),
//! which tells ids, times, senders and contents, but not the metadata that a message was sent with.

use deskbell_sdk::client::Http;
use deskbell_sdk::http_date::answered_at;
use deskbell_sdk::json::mended;
use deskbell_sdk::send::{Fate, LostSend, OutboundFile, Part, Sent};
use deskbell_sdk::{AttachmentKind, ExternalId, Time};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::graph::{Graph, GraphError, percent_encoded};

/// How much earlier than our attempt Meta may have written it down: its times are whole seconds, and clocks differ. What
/// looks like ours and is older is a doubt, however old: nobody knows how wrong this machine's clock was.
const EARLIER_MS: i64 = 5 * 1000;

#[derive(Deserialize)]
struct Conversations {
    data: Vec<Conversation>,
}

#[derive(Deserialize)]
struct Conversation {
    /// Left out where there are none.
    messages: Option<Messages>,
}

#[derive(Deserialize)]
struct Messages {
    #[serde(default)]
    data: Vec<Message>,
    paging: Option<Paging>,
}

#[derive(Deserialize)]
struct Paging {
    next: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Message {
    id: ExternalId,
    created_time: Option<String>,
    from: Option<From>,
    #[serde(default)]
    message: Option<String>,
    attachments: Option<Attachments>,
}

#[derive(Deserialize)]
struct From {
    id: ExternalId,
}

#[derive(Default, Deserialize)]
struct Attachments {
    #[serde(default)]
    data: Vec<Attachment>,
}

#[derive(Deserialize)]
struct Attachment {
    mime_type: Option<String>,
    image_data: Option<IgnoredAny>,
    video_data: Option<IgnoredAny>,
}

/// How far a message in the conversation is like the one that was sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Likeness {
    Same,
    /// It could be: Meta changes the types of files, and hides contents in some countries.
    Perhaps,
    Other,
}

/// Looks. Found is what the Page sent since the attempt, has the same content and is no known message, if it is the only
/// one. Where something else could be it, that is said, so that nothing is sent twice.
pub(super) async fn look(graph: &Graph, http: &dyn Http, lost: LostSend<'_>) -> Fate {
    let path = format!("{}/conversations", graph.page_id);
    let query = format!(
        "platform=messenger&user_id={}&fields=messages.limit(25)%7Bid,created_time,from,message,attachments%7D",
        percent_encoded(lost.thread)
    );
    let request = match graph.get(&path, &query) {
        Ok(request) => request,
        Err(say) => return Fate::Unanswered { say },
    };
    let answer = match http.call(request).await {
        Ok(answer) => answer,
        Err(failure) => return Fate::Unanswered { say: failure.say },
    };
    let status = answer.status();
    if let Some(error) = GraphError::of(status, answer.body()) {
        let of_now = error.passes() || error.of_token().is_some() || status.as_u16() == 429;
        return if of_now {
            let say = format!("Meta does not tell now (error {})", error.number());
            Fate::Unanswered { say }
        } else {
            // Such as a permission that the token does not have.
            Fate::Untold
        };
    }
    let read = serde_json::from_str::<Conversations>(&mended(answer.body()));
    match read {
        Ok(conversations) if status.is_success() => {
            // Meta's clock now: an attempt that lies ahead of it was made by a clock of ours that was wrong.
            let attempted_at = answered_at(answer.headers())
                .map_or(lost.attempted_at, |now| now.min(lost.attempted_at));
            judge(&conversations, &graph.page_id, &lost, attempted_at)
        }
        _ => Fate::Unanswered {
            say: format!(
                "what came back ({}) is not Meta's own answer",
                status.as_u16()
            ),
        },
    }
}

fn judge(
    conversations: &Conversations,
    page_id: &str,
    lost: &LostSend<'_>,
    attempted_at: Time,
) -> Fate {
    let earliest = attempted_at.plus_millis(-EARLIER_MS);
    let (mut found, mut doubt) = (Vec::new(), false);
    for messages in conversations
        .data
        .iter()
        .filter_map(|conversation| conversation.messages.as_ref())
    {
        let mut reaches_back = messages
            .paging
            .as_ref()
            .is_none_or(|paging| paging.next.is_none());
        for message in &messages.data {
            let at = message
                .created_time
                .as_deref()
                .and_then(|at| at.parse::<Time>().ok());
            reaches_back |= at.is_some_and(|at| at < earliest);
            let from_page = message
                .from
                .as_ref()
                .is_none_or(|from| from.id.as_str() == page_id);
            let is_known = lost.known.iter().any(|known| known == message.id.as_str());
            if !from_page || is_known {
                continue;
            }
            let is_certain = message.from.is_some() && at.is_some_and(|at| at >= earliest);
            match likeness(lost.part, message) {
                Likeness::Same if is_certain => found.push(message.id.as_str()),
                Likeness::Same | Likeness::Perhaps => doubt = true,
                Likeness::Other => {}
            }
        }
        doubt |= !reaches_back;
    }
    match (found.as_slice(), doubt) {
        ([id], _) => Fate::Sent(Sent {
            external_id: Some((*id).to_owned()),
        }),
        ([], false) => Fate::NotSeen,
        _ => Fate::Untold,
    }
}

fn likeness(part: &Part, message: &Message) -> Likeness {
    let text = message.message.as_deref().unwrap_or_default();
    let nothing = Attachments::default();
    let attachments = &message.attachments.as_ref().unwrap_or(&nothing).data;
    match part {
        Part::Text(sent) if attachments.is_empty() && same_words(sent, text) => Likeness::Same,
        // Not shown at all.
        Part::Text(_) if attachments.is_empty() && text.is_empty() => Likeness::Perhaps,
        Part::Text(_) => Likeness::Other,
        Part::File(_) if !text.is_empty() => Likeness::Other,
        Part::File(file) => match attachments.as_slice() {
            [only] if is_like(file, only) => Likeness::Same,
            [] | [_] => Likeness::Perhaps,
            // A call of ours sends one file.
            _ => Likeness::Other,
        },
    }
}

/// White space at the ends and its kind may change on the way.
fn same_words(sent: &str, shown: &str) -> bool {
    sent.split_whitespace().eq(shown.split_whitespace())
}

fn is_like(file: &OutboundFile, shown: &Attachment) -> bool {
    let is_of = |kind: &str| {
        shown
            .mime_type
            .as_deref()
            .is_some_and(|mime| mime.starts_with(kind))
    };
    match file.kind {
        AttachmentKind::Image => shown.image_data.is_some() || is_of("image/"),
        AttachmentKind::Video => shown.video_data.is_some() || is_of("video/"),
        AttachmentKind::Audio => is_of("audio/"),
        _ => shown.mime_type.as_deref() == Some(file.mime_type.as_str()),
    }
}
