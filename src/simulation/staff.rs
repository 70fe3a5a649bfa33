//! The people of the shop: what they answer, and ask again to send until they hear that it is taken.

use std::sync::{Arc, Mutex};

use crate::desk::replies::{Kind, Write, Written};
use crate::id::{ConversationId, MessageId};
use crate::store::Scope;
use crate::store::entry::PartRecord;
use crate::store::record::AuthorRecord;
use crate::writer::Writer;

/// An answer that somebody has written.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    /// Which.
    pub(super) number: usize,
    /// Where.
    pub(super) conversation: ConversationId,
    /// What it says; no other message says it.
    pub(super) text: String,
    /// What it is cut into.
    pub(super) parts: Vec<String>,
    /// What it has become.
    pub(super) accepted: Option<MessageId>,
}

/// All answers, as the simulation and the requests on their way share them.
pub(super) type Answers = Arc<Mutex<Vec<Answer>>>;

/// How long a part has to be for the desk to know it again by its text.
const TELLING: usize = 1_000;

/// Writes an answer of `parts`.
pub(super) fn written(number: usize, conversation: ConversationId, parts: usize) -> Answer {
    let parts: Vec<String> = (0..parts)
        .map(|part| {
            let words = format!("answer {number} part {part}");
            if parts == 1 {
                words
            } else {
                format!("{words} {}", "and so on ".repeat(TELLING / 10))
            }
        })
        .collect();
    Answer {
        number,
        conversation,
        text: parts.join(" ").trim().to_owned(),
        parts,
        accepted: None,
    }
}

/// Asks to have an answer sent; the same key each time.
pub(super) async fn submit(writer: Writer, answers: Answers, answer: Answer) {
    let write = Write {
        scope: Scope::whole_desk(),
        conversation: answer.conversation,
        author: AuthorRecord::Staff(None, Some("Ana".to_owned())),
        owner: "tok_1".to_owned(),
        text: Some(answer.text.clone()),
        attachments: Vec::new(),
        reply_to: None,
        kind: Kind::Queued(answer.parts.iter().cloned().map(PartRecord::Text).collect()),
        seen: None,
        mentions: Vec::new(),
        idempotency: Some((
            format!("answer {}", answer.number).into_bytes(),
            b"the same".to_vec(),
        )),
    };
    if let Ok(Written::Message(_, id, _)) = writer.write(write).await {
        let mut answers = answers.lock().expect("nobody panicked");
        answers[answer.number].accepted = Some(id);
    }
}
