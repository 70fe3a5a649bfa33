//! What Telegram's answer to a send means. Only Telegram's own refusal says that a message was not sent; whatever else
//! comes back may come from a gateway on the way, behind which the message went out.

use bytes::Bytes;
use deskbell_sdk::client::HttpFailure;
use deskbell_sdk::retry_after::retry_after;
use deskbell_sdk::send::{SendError, Sent};
use http::{HeaderMap, Response, StatusCode};
use serde::Deserialize;

use super::refused;
use crate::api::{NEW_TOKEN, No, Refusal, own_result};
use crate::place::{Thread, message_id};

type Answer = Result<Response<Bytes>, HttpFailure>;

/// How one call ended, where it is not an error yet.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Telegram has it.
    Sent(Accepted),
    /// Refused: the group has become another chat.
    Moved(i64),
    /// Refused: it cannot be shown as a picture.
    NoPhoto,
}

/// A message that Telegram took.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Accepted {
    chat: i64,
    message: i64,
}

impl Accepted {
    pub(super) fn in_thread(&self, thread: &Thread<'_>) -> Sent {
        Sent {
            external_id: Some(message_id(thread.connection, self.chat, self.message)),
        }
    }
}

impl Ended {
    /// The end of a second call, after which there is no third.
    pub(super) fn last_word(self) -> Result<Accepted, SendError> {
        match self {
            Self::Sent(accepted) => Ok(accepted),
            Self::Moved(_) => Err(refused(
                "400/moved",
                "The group became another one, and again another. Answer in the newest conversation of it.",
            )),
            Self::NoPhoto => Err(not_taken()),
        }
    }
}

/// A file that Telegram cannot use.
pub(super) fn not_taken() -> SendError {
    refused(
        "400/file",
        "Telegram could not take the file. Save it in another format (JPEG, PNG, MP4, PDF) and send it again, or send a \
         link to it.",
    )
}

#[derive(Deserialize)]
struct Message {
    message_id: i64,
    chat: Chat,
}

#[derive(Deserialize)]
struct Chat {
    id: i64,
}

/// The answer to a message.
pub(super) fn of_message(answer: Answer) -> Result<Ended, SendError> {
    let answer = arrived(answer)?;
    match own_result(&answer) {
        Ok(result) => match serde_json::from_str::<Message>(&result) {
            Ok(sent) => Ok(Ended::Sent(Accepted {
                chat: sent.chat.id,
                message: sent.message_id,
            })),
            Err(_) => Err(not_telegrams(answer.status())),
        },
        Err(No::Refused(refusal)) if refusal.code == 400 => match refusal.migrate_to {
            Some(chat) => Ok(Ended::Moved(chat)),
            None if refusal.says(&NO_PHOTO) => Ok(Ended::NoPhoto),
            None => Err(meaning(&refusal, answer.headers())),
        },
        Err(no) => Err(error(&no, &answer)),
    }
}

/// The answer to an action, which has no id.
pub(super) fn of_action(answer: Answer) -> Result<(), SendError> {
    let answer = arrived(answer)?;
    own_result(&answer)
        .map(|_| ())
        .map_err(|no| error(&no, &answer))
}

/// Words of Telegram's by which it refuses a picture that may still go as a file.
const NO_PHOTO: [&str; 4] = [
    "photo_invalid_dimensions",
    "image_process_failed",
    "photo_save_file_invalid",
    "photo_ext_invalid",
];

fn arrived(answer: Answer) -> Result<Response<Bytes>, SendError> {
    answer.map_err(|failure| {
        if failure.may_have_arrived {
            unknown(failure.say)
        } else {
            SendError::Retry {
                after: None,
                say: format!("{}; it is tried again", failure.say),
            }
        }
    })
}

fn unknown(why: String) -> SendError {
    SendError::Unknown {
        say: format!("{why}: the message may or may not have been sent"),
    }
}

fn not_telegrams(status: StatusCode) -> SendError {
    unknown(format!(
        "what came back ({}) is not Telegram's own answer",
        status.as_u16()
    ))
}

fn error(no: &No, answer: &Response<Bytes>) -> SendError {
    match no {
        No::Refused(refusal) => meaning(refusal, answer.headers()),
        // Whoever says so has not passed it on, be it Telegram or a gateway (RFC 6585, 4).
        No::NotTelegrams(StatusCode::TOO_MANY_REQUESTS) => SendError::Retry {
            after: retry_after(answer.headers()),
            say: "Telegram takes no more for now; it is tried again".to_owned(),
        },
        No::NotTelegrams(status) => not_telegrams(*status),
    }
}

fn meaning(refusal: &Refusal, headers: &HeaderMap) -> SendError {
    let code = refusal.code;
    if refusal.passes() {
        let what = if code == 429 {
            "Telegram takes no more for now"
        } else {
            "Telegram has a passing trouble"
        };
        return SendError::Retry {
            after: refusal.wait(headers),
            say: format!("{what} (its error {code}); it is tried again"),
        };
    }
    if refusal.is_of_token() {
        return SendError::Credentials {
            say: format!("{NEW_TOKEN} (Telegram's error {code})"),
        };
    }
    let (name, say) = for_the_agent(refusal);
    refused(&format!("{code}/{name}"), say)
}

/// What a refusal is called, what it means and what can still be done, for the agent who wrote the message. Telegram has
/// no numbers for these, only words.
fn for_the_agent(refusal: &Refusal) -> (&'static str, &'static str) {
    /// Words of Telegram's (any of them), and what they mean.
    const CASES: &[(&[&str], &str, &str)] = &[
        (
            &["blocked by the user"],
            "blocked",
            "This person has blocked the bot, so that nothing arrives. Use another way; it works again when the person \
             unblocks the bot.",
        ),
        (
            &[
                "user is deactivated",
                "peer_id_invalid",
                "input_user_deactivated",
            ],
            "deactivated",
            "This person's Telegram account is gone. Use another way.",
        ),
        (
            &[
                "can't initiate conversation",
                "bots can't send messages to bots",
            ],
            "not_started",
            "Telegram lets a bot write only to people who have written to it. It works once the person presses Start at \
             the bot.",
        ),
        (
            &[
                "bot was kicked",
                "not a member",
                "chat_write_forbidden",
                "have no rights",
                "not enough rights",
                "chat_restricted",
            ],
            "no_rights",
            "The bot may not write in this group any more. Somebody there has to take it in again or allow it.",
        ),
        (
            &["chat not found"],
            "chat_not_found",
            "Telegram does not find this chat any more; the account or the group may be gone. Use another way.",
        ),
        (
            &[
                "business_connection",
                "business connection",
                "business_peer",
            ],
            "business",
            "The business account does not let the bot answer here: it is no longer connected, or the customer's last \
             message is older than 24 hours. Answer in Telegram itself.",
        ),
        (
            &["topic_closed", "topic_deleted", "message thread not found"],
            "topic",
            "The topic of this group is closed or gone. Answer in the group itself.",
        ),
        (
            &["message is too long", "message_too_long"],
            "too_long",
            "Telegram finds this text too long. Send it in two parts.",
        ),
        (
            &["too big", "too large", "entity too large"],
            "too_large",
            "The file is too large for Telegram. Send a smaller one, or a link to it.",
        ),
        (
            &[
                "wrong file",
                "file must be non-empty",
                "failed to get http url content",
                "voice_messages_forbidden",
                "media_invalid",
            ],
            "file",
            "Telegram could not take the file. Save it in another format (JPEG, PNG, MP4, PDF) and send it again, or send \
             a link to it.",
        ),
    ];
    CASES
        .iter()
        .find(|(words, ..)| refusal.says(words))
        .map_or_else(
            || {
                let name = if refusal.code == 403 { "forbidden" } else { "refused" };
                (
                    name,
                    "Telegram refused this message. Change it and send it again, or use another way.",
                )
            },
            |(_, name, say)| (*name, *say),
        )
}
